//! What a scan warns of, besides each stream's compliance: a new stream that no event reported, and records under a lost key.

use jiff::{SignedDuration, Timestamp};

use super::Scan;
use super::subject::{KeyEvent, Subject};
use crate::domain::arn::{KeyArn, StreamName};
use crate::domain::bounds::later;
use crate::domain::history::Left;
use crate::domain::model::{Encryption, KeyIdentity, Observed};
use crate::domain::plan::proof::NEW;
use crate::domain::plan::step::Step;

/// A stream this old whose creation nobody reported was missed: EventBridge delivers within minutes.
pub const MISSED_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// A sweep that comes late may not take streams for older than the sweep before.
const SWEEP_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// Records of a stream that are under a key which was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRecords {
    /// The key.
    pub key: KeyArn,
    /// When the stream left the key.
    pub left: Left,
    /// When the last of the records expires.
    pub until: Timestamp,
}

impl OldRecords {
    /// The warning in the stream's evidence.
    pub fn words(&self) -> String {
        let Self { key, left: Left { at, certain }, until } = self;
        let are = if *certain { "are" } else { "may be" };
        format!(
            "records that were put before {at} {are} under {key}, which cannot be used any more or will not be; they cannot be read \
             until it can, and expire by {until}"
        )
    }
}

impl Scan {
    /// Whether a stream was created since the last sweep, `sweep_hours` ago, and seems to have come without an event: one that was
    /// reported is encrypted by now. One that we may not change is the same in both cases and is not taken for missed, nor is one that a
    /// new policy or mode has just made ours to change. `step` is what a run would do first.
    pub fn is_missed(&self, observed: &Observed, step: &Step, sweep_hours: u32, now: Timestamp) -> bool {
        let since = SignedDuration::from_hours(sweep_hours.into()) + SWEEP_SLACK;
        let created = observed.created;
        self.subject == Subject::Fleet
            && !self.cause.is_a_new_policy()
            && matches!(step, Step::Start(_) | Step::ReadHistory(_))
            && observed.encryption == Encryption::None
            && now.duration_since(created) > MISSED_AFTER
            && self.started_at.unwrap_or(now).duration_since(created) < since
    }

    /// Whether records under the key that was lost are still in a stream that is on the key `current` now.
    pub fn old_records(
        &self,
        stream: &StreamName,
        observed: &Observed,
        current: Option<&KeyIdentity>,
        now: Timestamp,
    ) -> Option<OldRecords> {
        let Subject::Key { key, event: KeyEvent::Lost } = &self.subject else { return None };
        let left = *self.tally.left.get(stream.as_str())?;
        let Left { at, certain } = left;
        let created = observed.created;
        let until = later(at, SignedDuration::from_hours(observed.retention_hours.into()));
        let is_on_it = current.is_some_and(|current| current.is(key));
        // Of an earlier stream of the name, or its first encryption: there was no key before.
        let is_first = at < created || (!certain && at.duration_since(created) < NEW);
        let are_there = !is_on_it && !is_first && until > now;
        are_there.then(|| OldRecords { key: key.clone(), left, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::KeyRef;
    use crate::domain::cause::{Cause, PARAMETER_CHANGE};
    use crate::domain::model::{KeyManager, StreamStatus};
    use crate::domain::plan::situation::Wrong;
    use crate::domain::policy::Existing;
    use crate::domain::text::EventText;

    fn at(minutes: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn key(id: &str) -> KeyArn {
        KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{id}")).unwrap()
    }

    fn observed(created: i64) -> Observed {
        Observed {
            status: StreamStatus::Active,
            encryption: Encryption::None,
            created: at(created),
            retention_hours: 24,
            at: at(0),
        }
    }

    fn scan(subject: Subject, call: &str) -> Scan {
        let cause = Cause { call: EventText::new(call), event_id: None, actor: None, at: None, creator: None };
        Scan { started_at: Some(at(0)), ..Scan::new(subject, cause, at(0)) }
    }

    #[test]
    fn a_new_stream_that_nobody_encrypted_was_missed() {
        let id = KeyIdentity::Arn(key("app"));
        let wrong = Wrong {
            target: id.clone(),
            target_manager: KeyManager::Customer,
            current: None,
            existing: Existing::Enforce,
            replace_customer_key: false,
            created: at(0),
            at: at(0),
        };
        let (start, read) = (Step::Start(id), Step::ReadHistory(Box::new(wrong)));
        let fleet = || scan(Subject::Fleet, "sweep");
        for (scan, created, step, expected) in [
            (fleet(), -16, &start, true),
            (fleet(), -16, &read, true),
            // An event may still come.
            (fleet(), -15, &start, false),
            // The sweep before saw it.
            (fleet(), -25 * 60, &start, false),
            (fleet(), -25 * 60 + 1, &start, true),
            (fleet(), -16, &Step::Prove, false),
            (scan(Subject::Fleet, PARAMETER_CHANGE), -16, &start, false),
            (scan(Subject::Aliases, "sweep"), -16, &start, false),
        ] {
            let missed = scan.is_missed(&observed(created), step, 24, at(0));
            assert_eq!(missed, expected, "{:?} {created} {step:?}", scan.subject);
        }
        let encrypted = Observed { encryption: Encryption::Kms(KeyRef::parse("alias/app").unwrap()), ..observed(-16) };
        assert!(!fleet().is_missed(&encrypted, &start, 24, at(0)));
    }

    #[test]
    fn records_under_a_lost_key_are_there_until_they_expire() {
        let stream = StreamName::parse("orders").unwrap();
        let on = |id: &str| Some(KeyIdentity::Arn(key(id)));
        for (left, certain, created, current, now, expected) in [
            (-60, true, -10_000, on("new"), 0, true),
            (-60, true, -10_000, None, 0, true),
            // It is on the key: its own compliance says so.
            (-60, true, -10_000, on("lost"), 0, false),
            (-60, true, -10_000, on("new"), 23 * 60 - 1, true),
            (-60, true, -10_000, on("new"), 23 * 60, false),
            // An earlier stream of the name.
            (-60, true, -30, on("new"), 0, false),
            // Its first encryption: there was no key before.
            (-60, false, -119, on("new"), 0, false),
            (-60, true, -119, on("new"), 0, true),
            (-60, false, -120, on("new"), 0, true),
        ] {
            let mut scan = scan(Subject::Key { key: key("lost"), event: KeyEvent::Lost }, "DisableKey");
            scan.tally.left.insert("orders".to_owned(), Left { at: at(left), certain });
            let found = scan.old_records(&stream, &observed(created), current.as_ref(), at(now));
            assert_eq!(found.is_some(), expected, "{left} {certain} {created} {current:?} {now}");
            if let Some(found) = found {
                assert_eq!(found.until, at(left + 24 * 60));
                assert_eq!(found.words().contains(" may be under "), !certain);
            }
            let rotated = Scan { subject: Subject::Key { key: key("lost"), event: KeyEvent::Rotated }, ..scan };
            assert_eq!(rotated.old_records(&stream, &observed(created), None, at(now)), None);
        }
    }
}
