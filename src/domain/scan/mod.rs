//! A scan: an observation of every stream of the account and Region, for a sweep or because of a key or an alias. What it is for, which
//! streams concern it, what it counted, and which of the wrong ones it hands over.
//!
//! Pure. The scan goes through the queue as a message of its own that carries its place and what it counted so far, so that no
//! part of it is kept anywhere else; nothing in it grows with the number of streams. The loop is `run/scan.rs`.

pub mod subject;
pub mod tally;
pub mod v1;
pub mod warnings;
pub mod window;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use self::subject::Subject;
use self::tally::{Tally, is_plain};
use super::arn::StreamName;
use super::bounds;
use super::cause::Cause;
use super::hash::hash;

/// The version that this code writes and the only one that it reads.
pub const VERSION: &str = "streamseal.scan/v1";
/// The longest id: that of a key or an alias, and of an event. (Both are bounded, and so is what we write.)
const ID_MAX: usize = 800;

/// A scan, whole: as it was asked for, or with its place and what it counted so far. It is the message of the queue of scans, and of the
/// work queue where it is deferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Streamseal scan message, version 1"))]
pub struct Scan {
    /// The message's version.
    #[cfg_attr(feature = "schema", schemars(extend("const" = VERSION)))]
    pub streamseal: String,
    /// What it is about.
    #[serde(deserialize_with = "subject")]
    pub subject: Subject,
    /// Names it in logs and messages: requests that are one scan have one.
    pub id: String,
    /// What asked for it.
    pub cause: Cause,
    /// When it was asked for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub requested_at: Timestamp,
    /// Where the deadline counts from: when it was asked for, later by the times when the policy could not be used.
    #[serde(default = "bounds::unset", deserialize_with = "bounds::time", skip_serializing_if = "bounds::is_unset")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub deadline_from: Timestamp,
    /// Not before this time, while it is a request that waits for its window to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub not_before: Option<Timestamp>,
    /// How many parts in a row failed.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub failures: u32,
    /// How many times in a row the policy or the mode could not be read.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub unread: u32,
    /// When its first part began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub started_at: Option<Timestamp>,
    /// The last stream that was observed.
    #[serde(default, deserialize_with = "after", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub after: Option<StreamName>,
    /// How many parts there were before.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub parts: u32,
    /// What was counted so far.
    #[serde(default)]
    pub tally: Tally,
}

fn subject<'de, D: Deserializer<'de>>(from: D) -> Result<Subject, D::Error> {
    bounds::member("subject", from)
}

fn after<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StreamName>, D::Error> {
    bounds::member("after", from)
}

impl Scan {
    /// A scan that was just asked for.
    pub fn new(subject: Subject, cause: Cause, now: Timestamp) -> Self {
        let because = cause.event_id.as_ref().map_or_else(|| now.as_millisecond().to_string(), ToString::to_string);
        Self {
            streamseal: VERSION.to_owned(),
            id: format!("{}@{because}", topic(&subject, &cause)),
            subject,
            cause,
            requested_at: now,
            deadline_from: now,
            not_before: None,
            failures: 0,
            unread: 0,
            started_at: None,
            after: None,
            parts: 0,
            tally: Tally::default(),
        }
    }

    /// The same, of all streams whose setting names an alias: which one it was does not matter.
    pub fn of_all_aliases(self) -> Self {
        let Self { requested_at, deadline_from, unread, cause, .. } = self;
        Self { deadline_from, unread, ..Self::new(Subject::Aliases, cause, requested_at) }
    }

    /// What it is about, in words: requests with the same words may be one scan.
    pub fn topic(&self) -> String {
        topic(&self.subject, &self.cause)
    }

    /// How far `stream` is, on the ring of all names, from where this scan starts to choose. The start is another one in each
    /// scan, so that streams whose change fails again and again keep nobody else from theirs.
    pub fn place(&self, stream: &StreamName) -> u64 {
        hash(stream.as_str()).wrapping_sub(hash(&self.id))
    }

    /// The number of the part after this one. Another number in any case: the queue of scans drops a part that it has had.
    pub fn next_part(&self) -> u32 {
        self.parts.checked_add(1).unwrap_or_default()
    }

    /// The message's body.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are not strings can fail here, and there is none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a message of ours.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn parse(value: &serde_json::Value, now: Timestamp) -> Result<Self, String> {
        let mut scan = Self::deserialize(value).map_err(|e| bounds::fault(&e))?;
        if scan.streamseal != VERSION {
            let version = bounds::fault(&scan.streamseal);
            return Err(format!("field `streamseal`: version `{version}` is not {VERSION}"));
        }
        if bounds::is_unset(&scan.deadline_from) {
            scan.deadline_from = scan.requested_at;
        }
        let times = [
            ("requested_at", Some(scan.requested_at)),
            ("not_before", scan.not_before),
            ("started_at", scan.started_at),
            ("deadline_from", Some(scan.deadline_from)),
        ];
        for (field, time) in times {
            if time.is_some_and(|time| bounds::is_odd(time, now)) {
                return Err(format!("field `{field}`: {}", bounds::ODD));
            }
        }
        if !is_plain(&scan.id) {
            return Err("field `id`: not printable".to_owned());
        }
        scan.tally.check(now)?;
        Ok(Self {
            id: bounds::cut(&scan.id, ID_MAX),
            cause: scan.cause.within_bounds(now),
            // None of these is later than now, whatever another instance's clock said.
            requested_at: scan.requested_at.min(now),
            deadline_from: scan.deadline_from.min(now),
            started_at: scan.started_at.map(|started_at| started_at.min(now)),
            tally: scan.tally.within_bounds(now),
            ..scan
        })
    }
}

/// A new policy is a topic of its own: other instances may go on with the old one for a while, so that its changes wait. So is a new alias:
/// it concerns fewer streams than one that moved or is gone, and must not stand for it.
fn topic(subject: &Subject, cause: &Cause) -> String {
    match subject {
        Subject::Fleet if cause.is_a_new_policy() => "policy".to_owned(),
        Subject::Fleet => "sweep".to_owned(),
        Subject::Alias { alias } if cause.is_a_new_alias() => format!("new {alias}"),
        Subject::Alias { alias } => alias.to_string(),
        Subject::Aliases => "aliases".to_owned(),
        Subject::Key { key, event } => format!("{key} {}", event.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::subject::KeyEvent;
    use super::tally::{CHANGES_MAX, Candidate, LEFT_MAX};
    use super::*;
    use crate::domain::arn::{KeyArn, KeyRef};
    use crate::domain::history::Left;
    use crate::domain::text::EventText;

    fn now() -> Timestamp {
        "2026-03-02T08:00:00Z".parse().unwrap()
    }

    fn scan(id: &str) -> Scan {
        let cause = Cause {
            call: EventText::new("sweep"),
            event_id: Some(EventText::new(id)),
            actor: None,
            at: Some(now()),
            creator: None,
        };
        Scan::new(Subject::Fleet, cause, now())
    }

    fn name(text: &str) -> StreamName {
        StreamName::parse(text).unwrap()
    }

    /// What a scan with this id hands over of streams `s0`, `s1`, ….
    fn handed_over(id: &str, streams: u32, most: u32) -> (Vec<String>, u64) {
        let mut scan = scan(id);
        for number in 0..streams {
            let stream = name(&format!("s{number}"));
            let candidate = Candidate { place: scan.place(&stream), stream: stream.to_string(), created: None };
            scan.tally.compete(candidate, most);
        }
        (scan.tally.candidates.iter().map(|c| c.stream.clone()).collect(), scan.tally.withheld.count())
    }

    #[test]
    fn at_most_so_many_are_handed_over_and_the_rest_is_withheld() {
        let (chosen, withheld) = handed_over("a", 25, 10);
        assert_eq!((chosen.len(), withheld), (10, 15));
        assert_eq!(handed_over("a", 25, 10).0, chosen, "the same scan chooses the same");
        assert_eq!(handed_over("a", 5, 10), (handed_over("a", 5, 5).0, 0));
        assert_eq!(handed_over("a", 5, 0), (vec![], 5));
    }

    #[test]
    fn no_stream_is_passed_over_for_ever() {
        let mut often: BTreeMap<String, u32> = BTreeMap::new();
        for day in 0..60 {
            for stream in handed_over(&format!("day {day}"), 40, 10).0 {
                *often.entry(stream).or_default() += 1;
            }
        }
        assert_eq!(often.len(), 40, "each has its turn: {often:?}");
        assert!(often.values().all(|times| (3..=35).contains(times)), "{often:?}");
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut scan = scan("x");
        scan.after = Some(name("orders"));
        scan.started_at = Some(now());
        scan.not_before = Some(now());
        scan.parts = 3;
        scan.tally.count("COMPLIANT", Some("all"), None);
        scan.tally.not_compliant.push("bills", "wrong-key");
        scan.tally.compete(Candidate { place: 7, stream: "bills".into(), created: Some(now()) }, 10);
        let key = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/k").unwrap();
        let alias = KeyRef::parse("alias/app").unwrap();
        for subject in [Subject::Fleet, Subject::Alias { alias }, Subject::Key { key, event: KeyEvent::Lost }] {
            let scan = Scan { subject, ..scan.clone() };
            let value: serde_json::Value = serde_json::from_str(&scan.to_json()).unwrap();
            assert_eq!(Scan::parse(&value, now()).unwrap(), scan);
        }
    }

    #[test]
    fn every_fault_of_a_message_names_its_field() {
        let good: serde_json::Value = serde_json::from_str(&scan("x").to_json()).unwrap();
        for (field, value) in [
            ("subject", serde_json::json!("sweep")),
            ("subject", serde_json::json!({"kind": "all"})),
            ("subject", serde_json::json!({"kind": "alias"})),
            ("subject", serde_json::json!({"kind": "alias", "alias": "1234abcd"})),
            ("subject", serde_json::json!({"kind": "alias", "alias": "alias/app", "key": 1})),
            ("subject", serde_json::json!({"kind": "key"})),
            ("subject", serde_json::json!({"kind": "key", "key": "alias/app", "event": "lost"})),
            (
                "subject",
                serde_json::json!({"kind": "key", "key": "arn:aws:kms:eu-west-1:111122223333:key/k", "event": "x"}),
            ),
            ("after", serde_json::json!("a b")),
            ("requested_at", serde_json::json!("2027-01-01T00:00:00Z")),
            ("started_at", serde_json::json!("2027-01-01T00:00:00Z")),
            ("not_before", serde_json::json!("2027-01-01T00:00:00Z")),
            ("deadline_from", serde_json::json!("2027-01-01T00:00:00Z")),
            ("tally", serde_json::json!({"candidates": [{"place": 1, "stream": "a b"}]})),
            // What goes into the log and into metrics: no dimension that is not ours, no text that reads as another one.
            ("tally", serde_json::json!({"by_compliance": {"FINE": 1}})),
            ("tally", serde_json::json!({"by_rule": {"a\u{202e}b": 1}})),
            ("tally", serde_json::json!({"by_key": {"a\nb": 1}})),
            ("tally", serde_json::json!({"calls": (0..300).map(|n| (n.to_string(), 1)).collect::<BTreeMap<_, _>>()})),
            ("tally", serde_json::json!({"not_compliant": {"names": [["a b", "wrong-key"]], "more": 0}})),
            ("tally", serde_json::json!({"missed": {"names": [["a", "\u{7}"]], "more": 0}})),
            ("tally", serde_json::json!({"withheld": {"names": vec![("a", "b"); 101], "more": 0}})),
            ("tally", serde_json::json!({"left": {"a b": {"at": "2026-03-02T08:00:00Z", "certain": true}}})),
            ("tally", serde_json::json!({"history_unknown": "\u{1b}[31m"})),
            ("id", serde_json::json!("a\nb")),
            ("more", serde_json::json!(1)),
        ] {
            let mut bad = good.clone();
            bad[field] = value;
            let why = Scan::parse(&bad, now()).unwrap_err();
            assert!(why.contains(field), "{why}");
        }
    }

    #[test]
    fn lists_and_groups_are_bounded_and_the_message_fits() {
        let mut scan = scan("x");
        let long = |number: u32| format!("{}{number:05}", "x".repeat(123));
        for number in 0..2_000 {
            let stream = long(number);
            scan.tally.count("COMPLIANT", Some(&stream), Some(&stream));
            scan.tally.not_compliant.push(&stream, "key-missing");
            scan.tally.withheld.push(&stream, "max-changes");
            scan.tally.missed.push(&stream, "2026-03-02T08:00:00Z");
            scan.tally.under_lost_key.push(&stream, "2026-03-02T08:00:00Z");
            if scan.tally.left.len() < LEFT_MAX {
                scan.tally.left.insert(stream.clone(), Left { at: now(), certain: true });
            }
            let name = StreamName::parse(&stream).unwrap();
            scan.tally.line_up(&format!("arn:aws:kms:eu-west-1:111122223333:key/{}", number % 50), u64::MAX, &name);
            scan.tally.compete(Candidate { place: u64::MAX, stream, created: Some(now()) }, CHANGES_MAX);
        }
        assert_eq!(scan.tally.not_compliant.count(), 2_000);
        assert_eq!(scan.tally.by_rule.values().sum::<u64>(), 2_000);
        let json = scan.to_json();
        assert!(json.len() < 256 * 1024, "{} bytes", json.len());
        let read = Scan::parse(&serde_json::from_str(&json).unwrap(), now());
        assert_eq!(read.unwrap(), scan, "the largest that is written is read");
    }
}
