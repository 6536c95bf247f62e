//! The lists of guarded streams that the function sent: what must hold of them all.

use std::collections::BTreeSet;

use jiff::Timestamp;
use streamseal::domain::work::Work;

/// The list of one message.
#[derive(Clone, Debug)]
pub(crate) struct ListSent {
    /// What it began with: a sweep.
    cause: (String, Option<Timestamp>),
    /// The stream that the message is about.
    stream: String,
    /// Those that follow it.
    names: BTreeSet<String>,
    /// Whether a stream of it was changed.
    has_begun: bool,
}

impl ListSent {
    pub(crate) fn of(work: &Work) -> Option<Self> {
        let list = work.next.as_ref()?;
        let names: BTreeSet<String> = list.all().map(ToString::to_string).collect();
        let cause = (work.cause.call.as_str().to_owned(), work.cause.at);
        (!names.is_empty()).then(|| Self {
            cause,
            stream: work.stream.name.to_string(),
            names,
            has_begun: !list.begins,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.stream == name || self.names.contains(name)
    }

    /// Whether it can be what is left of another one.
    fn is_of(&self, other: &Self) -> bool {
        self.cause == other.cause && other.has(&self.stream) && self.names.iter().all(|name| other.has(name))
    }
}

/// A list that has a name which the one that it comes of had not, or, where every message comes once, a stream of two lists. A scan that is
/// repeated sends its lists again, and may find more then: those have not begun.
pub(crate) fn wrong(lists: &[ListSent], each_comes_once: bool) -> Option<String> {
    let pairs =
        lists.iter().enumerate().flat_map(|(place, later)| lists.iter().take(place).map(move |one| (one, later)));
    let grown = lists.iter().enumerate().filter(|(_, list)| list.has_begun).find(|(place, list)| {
        let mut before =
            lists.iter().take(*place).filter(|one| one.cause == list.cause && one.has(&list.stream)).peekable();
        before.peek().is_some() && !before.any(|one| list.is_of(one))
    });
    let grown = grown.map(|(_, list)| format!("a list has grown: {list:?}"));
    let shared = |(one, later): &(&ListSent, &ListSent)| {
        one.cause == later.cause && !later.is_of(one) && one.names.iter().any(|name| later.has(name))
    };
    let overlap =
        || pairs.clone().find(shared).map(|(one, later)| format!("two lists have a stream: {one:?}, {later:?}"));
    grown.or_else(|| if each_comes_once { overlap() } else { None })
}
