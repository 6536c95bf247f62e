//! What a plan of `seal` does with one stream.

use crate::domain::model::Encryption;
use crate::domain::plan::step::Step;
use crate::domain::verdict::{Compliance, Reason};
use crate::run::reconcile::preview::Preview;

/// What is to be done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It gets its first key.
    Encrypt,
    /// It gets another key.
    Rekey,
    /// It is not ready to be decided; the run waits.
    Wait,
    /// Right as it is, or none of ours.
    Nothing,
    /// The change is right and is not made.
    Withheld,
    /// It is wrong, and cannot be made right by a change of its key.
    Fault,
    /// It cannot be determined now.
    Unknown,
    /// It vanished after it was listed.
    Gone,
}

impl Action {
    pub(super) fn of(preview: &Preview) -> Self {
        let is_encrypted = preview.setting.as_ref().is_some_and(|s| s.observed.encryption != Encryption::None);
        match &preview.step {
            Ok(Step::Start(_) | Step::ReadHistory(_)) if is_encrypted => Self::Rekey,
            Ok(Step::Start(_) | Step::ReadHistory(_)) => Self::Encrypt,
            Ok(Step::Await(_)) => Self::Wait,
            // Whether records are encrypted is for `prove`.
            Ok(Step::Prove) => Self::Nothing,
            Ok(Step::Finish(verdict)) if verdict.reason == Reason::StreamGone => Self::Gone,
            Ok(Step::Finish(verdict)) if verdict.withheld.is_some() => Self::Withheld,
            Ok(Step::Finish(verdict)) => match verdict.compliance {
                Compliance::Compliant | Compliance::NotApplicable => Self::Nothing,
                Compliance::NonCompliant => Self::Fault,
                Compliance::InsufficientData => Self::Unknown,
            },
            Ok(Step::Defer(_) | Step::StartAfresh) | Err(_) => Self::Unknown,
        }
    }

    pub(super) fn changes(self) -> bool {
        matches!(self, Self::Encrypt | Self::Rekey | Self::Wait)
    }

    /// The lower ones come first.
    pub(super) fn turn(self) -> u8 {
        match self {
            Self::Encrypt => 0,
            Self::Rekey => 1,
            Self::Wait => 2,
            Self::Nothing | Self::Withheld | Self::Fault | Self::Unknown | Self::Gone => 3,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Rekey => "re-key",
            Self::Wait => "wait",
            Self::Nothing => "nothing",
            Self::Withheld => "withheld",
            Self::Fault => "fault",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
        }
    }
}
