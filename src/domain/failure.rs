//! A call that failed, as a value that the decision can read.
//!
//! No AWS error code is named here: `domain/codes.rs` maps codes to [`Class`], once. What follows from a class is decided in
//! `domain/plan` and in the handler.

use std::fmt;

use super::text::EventText;

/// What a failed call means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The stream is gone: nothing is left to do.
    Ignored,
    /// The stream is busy with another change: a state to await.
    Waiting,
    /// It may pass: throttled, a fault of the service, no answer, an unknown code.
    Retryable,
    /// A refused Start that is either too many calls a second or [`Class::Quota`]: AWS words both alike.
    RateOrQuota,
    /// The stream's 25 new keys per rolling 24 hours are used up (Kinesis API reference, StartStreamEncryption): hours, not
    /// seconds.
    Quota,
    /// Our credentials are out of date: no call helps that is signed with them.
    Expired,
    /// Trying again cannot help until somebody changes something.
    Permanent(Fault),
}

/// What has to change before a permanent failure can pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A permission of ours: IAM, key policy, SCP. It says nothing about the stream.
    Access,
    /// Our credentials: AWS does not take them.
    Credentials,
    /// The key: disabled, deleted, in a state that refuses.
    Key,
    /// The request or the configuration.
    Request,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignored => "ignored",
            Self::Waiting => "waiting",
            Self::Retryable => "retryable",
            Self::RateOrQuota => "rate or quota",
            Self::Quota => "quota",
            Self::Expired => "credentials expired",
            Self::Permanent(_) => "permanent",
        })
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// `service:Operation`, as IAM writes it.
    pub call: &'static str,
    /// The code on the wire, or `Timeout`, `NoAnswer`, `Unreadable` and others where there was none.
    pub code: EventText,
    /// The service's words: whole where it refused for good (up to `SERVICE_TEXT_MAX`), since advice follows their end.
    pub message: EventText,
    /// Whether the call may have taken effect all the same (an answer lost on the way): observe before calling again.
    pub may_have_applied: bool,
}

impl Failure {
    /// A failure that may pass and surely had no effect.
    pub fn retryable(call: &'static str, code: &str, message: &str) -> Self {
        Self {
            class: Class::Retryable,
            call,
            code: EventText::new(code),
            message: EventText::new(message),
            may_have_applied: false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed ({}): {}", self.call, self.code, self.message)
    }
}

impl std::error::Error for Failure {}

/// Why a run or a scan did not come to its end: a later one goes on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// A call failed.
    Call(Failure),
    /// Something is not over yet, or its time was up.
    Open {
        /// What was under way.
        what: &'static str,
        /// A stable word for why.
        code: &'static str,
        /// Why, in words.
        why: EventText,
    },
}

impl Unfinished {
    /// Something that is not over yet.
    pub fn open(what: &'static str, code: &'static str, why: &str) -> Self {
        Self::Open { what, code, why: EventText::new(why) }
    }

    /// Whether our credentials are out of date.
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Call(Failure { class: Class::Expired, .. }))
    }

    /// The fault that somebody has to correct before it can go on.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Call(Failure { class: Class::Permanent(fault), .. }) => Some(*fault),
            Self::Call(_) | Self::Open { .. } => None,
        }
    }
}

impl From<Failure> for Unfinished {
    fn from(failure: Failure) -> Self {
        Self::Call(failure)
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(failure) => failure.fmt(f),
            Self::Open { what, code, why } => write!(f, "{why} ({what}, {code})"),
        }
    }
}
