//! What one message holds, within bounds: the things to do, the first of those that lead to nothing, and the count of the rest.
//!
//! Whatever somebody sends, it makes a few lines of log and no more than a few things to do; and nothing of it is lost in silence: what
//! leads to nothing is counted, and a message that asks for too much fails as a whole.

use std::collections::BTreeMap;

use super::item::{Fate, Item, Rest};

/// The most that one message may ask for. A finding of Security Hub has up to 32 resources (ASFF, `Resources`), and EventBridge
/// sends one finding an event; all other events are about one stream, key or alias.
pub const TODO_MAX: usize = 32;
/// How many items that lead to nothing are reported one by one.
pub const REPORTED_MAX: usize = 10;

/// The reason of all that cannot be read.
const MALFORMED: &str = "Malformed";

/// The items of one message, as they are found.
#[derive(Debug, Default)]
pub(super) struct Found {
    items: Vec<Item>,
    todo: usize,
    reported: usize,
    rest: BTreeMap<(Fate, &'static str), u64>,
}

impl Found {
    pub(super) fn push(&mut self, item: Item) {
        let (fate, code) = match &item {
            Item::Reconcile(_) | Item::Scan(_) | Item::ScanNow(_) | Item::PolicyChanged(..) => {
                self.todo = self.todo.saturating_add(1);
                if self.todo <= TODO_MAX {
                    self.items.push(item);
                }
                return;
            }
            Item::Ignored(why) => (Fate::Ignored, why.code()),
            Item::Rejected(why) => (Fate::Rejected, why.code()),
            Item::Malformed(_) => (Fate::Malformed, MALFORMED),
            Item::Rest(Rest { fate, code, .. }) => (*fate, *code),
        };
        if self.reported < REPORTED_MAX {
            self.reported += 1;
            self.items.push(item);
        } else {
            self.count(fate, code);
        }
    }

    /// One that cannot be read. Why is worked out only where it is reported: there may be millions.
    pub(super) fn malformed(&mut self, why: impl FnOnce() -> String) {
        if self.reported < REPORTED_MAX {
            self.push(Item::malformed(&why()));
        } else {
            self.count(Fate::Malformed, MALFORMED);
        }
    }

    fn count(&mut self, fate: Fate, code: &'static str) {
        let count = self.rest.entry((fate, code)).or_default();
        *count = count.saturating_add(1);
    }

    /// All of them; where more is asked for than one message may, that the message is malformed: nothing of it is done, and it ends
    /// in the dead-letter queue, where somebody sees it.
    pub(super) fn end(self) -> Vec<Item> {
        let Self { mut items, todo, rest, .. } = self;
        if todo > TODO_MAX {
            let why = format!("the message has {todo} items; the maximum is {TODO_MAX}; none was processed");
            return vec![Item::malformed(&why)];
        }
        items.extend(rest.into_iter().map(|((fate, code), count)| Item::Rest(Rest { fate, code, count })));
        items
    }
}
