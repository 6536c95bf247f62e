//! One request to AWS, as evidence lists it.

use std::time::Duration;

use jiff::Timestamp;

use super::failure::Failure;

/// One request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `service:Operation`, as IAM writes it.
    pub call: &'static str,
    /// When it was sent.
    pub at: Timestamp,
    /// Until the answer.
    pub duration: Duration,
    /// The service's request id, where it gave one.
    pub request_id: Option<String>,
    /// `None` when it succeeded.
    pub error: Option<Failure>,
}

impl Call {
    /// Whether it changes something.
    pub fn is_write(&self) -> bool {
        is_write(self.call)
    }
}

/// Whether a call (`service:Operation`) changes something.
pub fn is_write(call: &str) -> bool {
    !is_read(call.split(':').nth(1).unwrap_or_default())
}

/// Whether an operation changes nothing: one that starts with `Describe`, `List`, `Get` or `Lookup`.
pub fn is_read(operation: &str) -> bool {
    ["Describe", "List", "Get", "Lookup"].iter().any(|read| operation.starts_with(read))
}
