//! An invocation and its answer, or why there is none.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::failure::Unfinished;

/// The reason that the alarm of a policy that cannot be used counts.
pub(super) const POLICY_UNUSABLE: &str = "PolicyUnusable";

/// One invocation.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Its id.
    pub id: String,
    /// When the platform ends it.
    pub deadline: Timestamp,
}

/// The answer to a payload.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To a direct invocation: evidence, or why there is none.
    Direct(Value),
    /// To an SQS batch: the ids of the messages that must come again.
    Batch(Vec<String>),
}

/// What became of one item. A document is not read back unless somebody waits for the answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reported {
    /// Evidence or a summary, as it was written out.
    Document(String),
    /// Why there is none.
    Other(Value),
}

impl Reported {
    /// As it is answered.
    pub(super) fn into_value(self) -> Value {
        match self {
            Self::Document(text) => serde_json::from_str(&text).unwrap_or_default(),
            Self::Other(value) => value,
        }
    }
}

/// Why an invocation, or one item, has to come again or ends in the dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unhandled {
    /// It cannot be read: sending it again does not help.
    Malformed(String),
    /// The policy or the mode is not valid.
    PolicyUnusable(String),
    /// The policy or the mode cannot be read now.
    PolicyUnread(String),
    /// The credentials of this process are out of date: it is for another one.
    CredentialsExpired,
    /// The run could not be finished and could not be handed over.
    Retryable(Unfinished),
    /// A fault of ours.
    Panicked(String),
}

impl Unhandled {
    /// The function error's type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "Malformed",
            Self::PolicyUnusable(_) => POLICY_UNUSABLE,
            Self::PolicyUnread(_) => "PolicyUnread",
            Self::CredentialsExpired => "CredentialsExpired",
            Self::Retryable(_) => "Retryable",
            Self::Panicked(_) => "Panicked",
        }
    }
}

impl fmt::Display for Unhandled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::PolicyUnusable(why) => write!(f, "the policy is not valid, so nothing is changed: {why}"),
            Self::PolicyUnread(why) => write!(f, "nothing is changed while the policy cannot be read: {why}"),
            Self::CredentialsExpired => {
                f.write_str("the credentials of this process have expired; the next process will retry")
            }
            Self::Retryable(why) => write!(f, "{why}"),
            Self::Panicked(why) => write!(f, "internal error: {why}"),
        }
    }
}

impl std::error::Error for Unhandled {}
