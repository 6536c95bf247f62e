//! What a payload holds: things to do, and reasons why there is nothing to do.

use super::reason::{IgnoreReason, RejectReason};
use crate::domain::scan::Scan;
use crate::domain::text::EventText;
use crate::domain::work::Work;

/// An invocation's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Invoked with it directly, or through SNS or a destination: one answer for all items.
    Direct(Vec<Item>),
    /// An SQS batch: one answer a message.
    Batch(Vec<Message>),
}

/// One message of an SQS batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// SQS's `messageId`, which names it in the answer.
    pub id: String,
    /// What it holds.
    pub items: Vec<Item>,
}

/// One thing to do, or the reason why there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Observe a stream.
    Reconcile(Box<Work>),
    /// A scan is asked for.
    Scan(Box<Scan>),
    /// A scan, or a part of one, whose turn it is: it comes from the queue of scans.
    ScanNow(Box<Scan>),
    /// A parameter of this name changed: where it is the policy's or the mode's, a sweep is asked for.
    PolicyChanged(EventText, Box<Scan>),
    /// Nothing follows from it: acknowledged.
    Ignored(IgnoreReason),
    /// It asks for what must not be done: acknowledged, never acted on.
    Rejected(RejectReason),
    /// It cannot be read: it fails, so that it ends in the dead-letter queue and not in silence.
    Malformed(EventText),
    /// More of the same message that led to nothing: counted, since one message must not fill the log.
    Rest(Rest),
}

impl Item {
    /// What cannot be read, and why.
    pub(super) fn malformed(why: &str) -> Self {
        Self::Malformed(EventText::new(why))
    }
}

/// What becomes of an item that leads to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is ignored.
    Ignored,
    /// It is rejected.
    Rejected,
    /// It cannot be read, and so its message fails.
    Malformed,
}

/// So many items of one message that had the same fate for the same reason, beyond those that are reported one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// What becomes of them.
    pub fate: Fate,
    /// The stable word for why.
    pub code: &'static str,
    /// How many they are.
    pub count: u64,
}
