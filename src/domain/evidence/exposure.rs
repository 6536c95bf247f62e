//! When a stream took records that were not encrypted, as far as a run saw it.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::cause::{Cause, STOP};
use crate::domain::model::{Encryption, Observed};
use crate::domain::time::Time;

/// When the stream took records that were not encrypted, as far as this run saw it: its first observation found it not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Exposure {
    /// Since the call of StopStreamEncryption that this run answers, else since the stream was made; somebody may have stopped encryption
    /// later than that, without an event.
    since: Time,
    /// When this run first observed it encrypted; null where it did not.
    until: Option<Time>,
}

impl Exposure {
    /// Of the first and the last observation of a run for this cause. `None` where the first found the stream encrypted, or gone.
    pub fn of(cause: &Cause, before: Option<&Observed>, after: Option<&Observed>) -> Option<Self> {
        let before = before.filter(|before| before.encryption == Encryption::None)?;
        let stopped = cause.at.filter(|at| cause.call.as_str() == STOP && *at >= before.created);
        let encrypted = after.filter(|after| matches!(after.encryption, Encryption::Kms(_)));
        Some(Self { since: Time(stopped.unwrap_or(before.created)), until: encrypted.map(|after| Time(after.at)) })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::arn::KeyRef;
    use crate::domain::model::StreamStatus;
    use crate::domain::text::EventText;

    #[test]
    fn a_stream_is_exposed_from_its_creation_or_the_stop_until_it_is_observed_encrypted() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let observed = |second, encryption| Observed {
            status: StreamStatus::Active,
            encryption,
            created: at(100),
            retention_hours: 24,
            at: at(second),
        };
        let kms = || Encryption::Kms(KeyRef::parse("alias/a").unwrap());
        let cause = |call: &str, second: Option<i64>| Cause {
            call: EventText::new(call),
            event_id: None,
            actor: None,
            at: second.map(at),
            creator: None,
        };
        let (open, sealed) = (observed(200, Encryption::None), observed(210, kms()));
        let of = |cause: &Cause, before, after| {
            Exposure::of(cause, before, after)
                .map(|it| (it.since.0.as_second(), it.until.map(|until| until.0.as_second())))
        };
        let created = cause("CreateStream", Some(101));
        assert_eq!(of(&created, Some(&open), Some(&sealed)), Some((100, Some(210))));
        assert_eq!(of(&created, Some(&open), Some(&open)), Some((100, None)));
        assert_eq!(of(&created, Some(&sealed), Some(&sealed)), None);
        assert_eq!(of(&created, None, None), None);
        assert_eq!(of(&cause(STOP, Some(150)), Some(&open), Some(&sealed)), Some((150, Some(210))));
        assert_eq!(
            of(&cause(STOP, Some(50)), Some(&open), None),
            Some((100, None)),
            "of a stream before of the same name"
        );
        assert_eq!(of(&cause(STOP, None), Some(&open), None), Some((100, None)));
    }
}
