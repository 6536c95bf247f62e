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
    /// The calls that change something: one that starts with neither `Describe`, `List`, `Get` nor `Lookup`.
    pub fn is_write(&self) -> bool {
        let operation = self.call.split(':').nth(1).unwrap_or_default();
        !["Describe", "List", "Get", "Lookup"].iter().any(|read| operation.starts_with(read))
    }
}
