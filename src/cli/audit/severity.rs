//! How bad what is wrong with a stream is, for stores of findings.

use crate::domain::evidence::Evidence;
use crate::domain::model::Encryption;
use crate::domain::verdict::{Compliance, Reason};

/// From what is fine to what needs somebody now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// As it should be, or exempt.
    Informational,
    /// Not known.
    Low,
    /// Encrypted, with another key than the rule's.
    Medium,
    /// Not encrypted.
    High,
    /// On a key that cannot be used: calls fail, and records cannot be read. Or on a key that another account can take away.
    Critical,
}

impl Severity {
    pub(super) fn of(evidence: &Evidence) -> Self {
        let verdict = &evidence.verdict;
        let encryption = evidence.before.as_ref().map(|setting| &setting.observed.encryption);
        match (verdict.compliance, verdict.reason, encryption) {
            (Compliance::Compliant | Compliance::NotApplicable, ..) => Self::Informational,
            (Compliance::InsufficientData, ..) => Self::Low,
            (Compliance::NonCompliant, _, Some(Encryption::None) | None) => Self::High,
            (Compliance::NonCompliant, Reason::KeyUnusable | Reason::Unwritable | Reason::ForeignKey, _) => {
                Self::Critical
            }
            (Compliance::NonCompliant, ..) => Self::Medium,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Informational => "Informational",
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
            Self::Critical => "Critical",
        }
    }

    /// `Severity.Label` of ASFF.
    pub(super) fn label(self) -> String {
        self.word().to_uppercase()
    }

    /// `severity_id` of OCSF.
    pub(super) fn ocsf(self) -> u32 {
        self as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::domain::arn::KeyRef;

    #[test]
    fn what_cannot_be_read_is_worse_than_what_is_not_encrypted_and_that_than_another_key() {
        let mut evidence = samples::audit().regions[0].streams[1].clone();
        let mut of = |compliance, reason, key: Option<&str>| {
            evidence.verdict.compliance = compliance;
            evidence.verdict.reason = reason;
            let setting = evidence.before.as_mut().unwrap();
            setting.observed.encryption =
                key.map_or(Encryption::None, |key| Encryption::Kms(KeyRef::parse(key).unwrap()));
            Severity::of(&evidence).label()
        };
        use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
        assert_eq!(of(Compliant, Reason::RightKey, Some("alias/a")), "INFORMATIONAL");
        assert_eq!(of(NotApplicable, Reason::Exempt, None), "INFORMATIONAL");
        assert_eq!(of(InsufficientData, Reason::Unfinished, None), "LOW");
        assert_eq!(of(NonCompliant, Reason::WrongKey, Some("alias/a")), "MEDIUM");
        assert_eq!(of(NonCompliant, Reason::NotEncrypted, None), "HIGH");
        assert_eq!(
            of(NonCompliant, Reason::KeyUnusable, None),
            "HIGH",
            "its rule's key cannot be used, and no record needs it"
        );
        assert_eq!(of(NonCompliant, Reason::KeyUnusable, Some("alias/a")), "CRITICAL");
        assert_eq!(of(NonCompliant, Reason::ForeignKey, Some("alias/a")), "CRITICAL");
    }
}
