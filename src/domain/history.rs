//! Who changed streams' encryption lately, by CloudTrail's history, and whether somebody else is changing one back.
//!
//! Pure: [`Change::parse`] reads one record, [`contention`] weighs those of one stream. The history lags by minutes
//! (CloudTrail user guide: about five on average, not guaranteed), so that what it does not show may have happened all the same.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::event::Cause;
use super::model::{EventText, KinesisArn, Scope, StreamName};

/// How far back changes count.
pub const HISTORY: SignedDuration = SignedDuration::from_hours(24);
/// A stream that we changed is not changed again sooner than this: until then the history may not show what came after.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// While the history does not show the very change that woke us, it lags, and may hide a fight: changes made meanwhile are kept
/// this far apart, so that even a lag of [`SETTLED_AFTER`] hides few of them.
pub const QUIET: SignedDuration = SignedDuration::from_mins(2);
/// So many Starts of ours, each undone by somebody else, are a fight and no accident.
pub const ROUNDS_MAX: usize = 3;

/// What a change was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Encryption was started, or moved to another key.
    Start,
    /// Encryption was stopped.
    Stop,
}

impl ChangeKind {
    /// CloudTrail's `eventName`.
    pub fn event_name(self) -> &'static str {
        match self {
            Self::Start => "StartStreamEncryption",
            Self::Stop => "StopStreamEncryption",
        }
    }
}

/// One change that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `eventTime`, in whole seconds.
    pub at: Timestamp,
    /// What it was.
    pub kind: ChangeKind,
    /// Of which stream of this account and Region.
    pub stream: StreamName,
    /// `keyId` as it was written: the key that was set, or the one that was left.
    pub key: Option<EventText>,
    /// The role whose session called (`sessionIssuer`), if it was one.
    pub role: Option<String>,
    /// Who called, for people.
    pub actor: EventText,
}

impl Change {
    /// Reads a CloudTrail record; `None` for a call that failed, another call, or a stream that is not ours.
    pub fn parse(record: &Value, own: &Scope) -> Option<Self> {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let kind = [ChangeKind::Start, ChangeKind::Stop]
            .into_iter()
            .find(|kind| text("/eventName") == Some(kind.event_name()))?;
        if record.get("errorCode").is_some_and(|code| !code.is_null()) {
            return None;
        }
        let arn = text("/requestParameters/streamARN").or_else(|| text("/requestParameters/streamArn"));
        let stream = match arn {
            Some(arn) => match KinesisArn::parse(arn)? {
                KinesisArn::Stream(arn) if arn.scope == *own => arn.name,
                KinesisArn::Stream(_) | KinesisArn::Consumer => return None,
            },
            None => StreamName::parse(text("/requestParameters/streamName")?)?,
        };
        let actor = ["arn", "invokedBy", "principalId", "accountId"];
        let actor = actor.iter().find_map(|field| record.get("userIdentity")?.get(field)?.as_str());
        Some(Self {
            at: text("/eventTime")?.parse().ok()?,
            kind,
            stream,
            key: text("/requestParameters/keyId").map(EventText::new),
            role: text("/userIdentity/sessionContext/sessionIssuer/arn").map(str::to_owned),
            actor: EventText::new(actor.unwrap_or("somebody")),
        })
    }
}

/// Whether a change of one stream meets somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Contention {
    /// Nothing speaks against it.
    #[default]
    Clear,
    /// Not before this time: until then the history may hide a fight.
    Wait(Timestamp),
    /// Somebody undid our change again and again: who, and with which calls.
    Contested(String),
    /// The history may not be read: why.
    Unknown(String),
}

/// Weighs what the history shows of one stream. `own_role` is the ARN of the function's role, `cause` what woke this run.
pub fn contention(
    changes: &[Change],
    stream: &StreamName,
    own_role: &str,
    cause: &Cause,
    now: Timestamp,
) -> Contention {
    let since = now - HISTORY;
    let mut of_it: Vec<&Change> = changes.iter().filter(|c| c.stream == *stream && c.at >= since).collect();
    // Of one second, ours first: somebody who undoes it comes after it.
    let is_ours = |change: &Change| change.role.as_deref() == Some(own_role);
    of_it.sort_by_key(|change| (change.at, !is_ours(change)));
    let (mut rounds, mut undone, mut newest) = (0, Vec::new(), None);
    let mut ours_stands = false;
    for change in of_it.iter().copied() {
        if is_ours(change) {
            if change.kind == ChangeKind::Start {
                rounds += usize::from(!ours_stands);
                ours_stands = true;
                newest = Some(change.at);
            }
        } else {
            if ours_stands {
                undone.push(change);
            }
            ours_stands = false;
        }
    }
    if rounds >= ROUNDS_MAX {
        let told: Vec<String> = undone
            .iter()
            .rev()
            .take(ROUNDS_MAX)
            .map(|change| format!("{} by {} at {}", change.kind.event_name(), change.actor, change.at))
            .collect();
        return Contention::Contested(format!(
            "we started encryption {rounds} times in 24 hours and each time it was changed again: {}",
            told.join(", ")
        ));
    }
    if let Some(until) = newest.map(|at| at + SETTLED_AFTER).filter(|until| *until > now) {
        return Contention::Wait(until);
    }
    let shown = |at: Timestamp| of_it.iter().any(|c| c.kind.event_name() == cause.call.as_str() && c.at == at);
    match cause.at.filter(|_| cause.is_about_encryption()) {
        Some(at) if !shown(at) && at + QUIET > now => Contention::Wait(at + QUIET),
        Some(_) | None => Contention::Clear,
    }
}

/// When streams left `key` (its ARN) for another one, or for none, by the latest change of each; `changes` in any order.
pub fn left_key(changes: &[Change], key: &str) -> Vec<(StreamName, Timestamp)> {
    let id = key.rsplit('/').next().unwrap_or(key);
    let is_it = |change: &Change| change.key.as_ref().is_some_and(|text| text.as_str() == key || text.as_str() == id);
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by(|a, b| (&a.stream, a.at).cmp(&(&b.stream, b.at)));
    let mut left: Vec<(StreamName, Timestamp)> = Vec::new();
    let mut on: Option<&StreamName> = None;
    for change in sorted {
        let was_on_it = on == Some(&change.stream) || (change.kind == ChangeKind::Stop && is_it(change));
        on = (change.kind == ChangeKind::Start && is_it(change)).then_some(&change.stream);
        if was_on_it && on.is_none() {
            left.retain(|(stream, _)| *stream != change.stream);
            left.push((change.stream.clone(), change.at));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OURS: &str = "arn:aws:iam::111122223333:role/streamseal";
    const THEIRS: &str = "arn:aws:iam::111122223333:role/terraform";

    fn at(minute: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minute)
    }

    fn name(text: &str) -> StreamName {
        StreamName::parse(text).unwrap()
    }

    fn change(minute: i64, kind: ChangeKind, role: &str) -> Change {
        let key = Some(EventText::new("arn:aws:kms:eu-west-1:111122223333:key/k1"));
        let actor = EventText::new("somebody");
        Change { at: at(minute), kind, stream: name("orders"), key, role: Some(role.to_owned()), actor }
    }

    fn cause(call: &str, minute: i64) -> Cause {
        Cause { call: EventText::new(call), event_id: None, actor: None, at: Some(at(minute)), creator: None }
    }

    fn weigh(changes: &[Change], cause: &Cause, now: i64) -> Contention {
        contention(changes, &name("orders"), OURS, cause, at(now))
    }

    /// `n` times: we start, they undo it a minute later; a round every 20 minutes.
    fn fight(n: i64, undo: ChangeKind) -> Vec<Change> {
        (0..n).flat_map(|i| [change(20 * i, ChangeKind::Start, OURS), change(20 * i + 1, undo, THEIRS)]).collect()
    }

    #[test]
    fn three_rounds_are_a_fight() {
        let again = cause("StopStreamEncryption", 41);
        for undo in [ChangeKind::Stop, ChangeKind::Start] {
            assert_eq!(weigh(&fight(2, undo), &again, 60), Contention::Clear);
            let Contention::Contested(words) = weigh(&fight(3, undo), &again, 60) else { panic!() };
            assert!(
                words.contains(undo.event_name()) && words.contains("somebody") && words.contains("3 times"),
                "{words}"
            );
        }
        // A day later it is forgotten.
        assert_eq!(weigh(&fight(3, ChangeKind::Stop), &again, 42 + 24 * 60), Contention::Clear);
    }

    #[test]
    fn starts_that_nobody_undid_are_none() {
        let mut ours: Vec<Change> = (0..9).map(|i| change(20 * i, ChangeKind::Start, OURS)).collect();
        assert_eq!(weigh(&ours, &cause("sweep", 0), 200), Contention::Clear);
        ours.push(change(181, ChangeKind::Stop, THEIRS));
        assert_eq!(weigh(&ours, &cause("sweep", 0), 200), Contention::Clear);
        // Nor is what others do among themselves.
        let theirs: Vec<Change> = fight(5, ChangeKind::Stop).into_iter().map(|c| Change { role: None, ..c }).collect();
        assert_eq!(weigh(&theirs, &cause("sweep", 0), 200), Contention::Clear);
        // Nor are other streams.
        let other: Vec<Change> =
            fight(5, ChangeKind::Stop).into_iter().map(|c| Change { stream: name("bills"), ..c }).collect();
        assert_eq!(weigh(&other, &cause("sweep", 0), 200), Contention::Clear);
    }

    #[test]
    fn what_we_changed_lately_waits() {
        let changes = [change(0, ChangeKind::Start, OURS), change(1, ChangeKind::Stop, THEIRS)];
        let stopped = cause("StopStreamEncryption", 1);
        assert_eq!(weigh(&changes, &stopped, 2), Contention::Wait(at(15)));
        assert_eq!(weigh(&changes, &stopped, 14), Contention::Wait(at(15)));
        assert_eq!(weigh(&changes, &stopped, 15), Contention::Clear);
    }

    #[test]
    fn a_history_that_lags_keeps_changes_apart() {
        let stopped = cause("StopStreamEncryption", 1);
        assert_eq!(weigh(&[], &stopped, 2), Contention::Wait(at(3)));
        assert_eq!(weigh(&[], &stopped, 3), Contention::Clear);
        // One that shows the cause does not lag.
        assert_eq!(weigh(&[change(1, ChangeKind::Stop, THEIRS)], &stopped, 2), Contention::Clear);
        // What is no change of anybody's has nothing to wait for.
        assert_eq!(weigh(&[], &cause("sweep", 1), 2), Contention::Clear);
    }

    #[test]
    fn records_are_read_and_others_are_not() {
        let own = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let record = json!({
            "eventName": "StopStreamEncryption", "eventTime": "2026-03-02T08:01:00Z",
            "requestParameters": {"streamARN": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders", "keyId": "k"},
            "userIdentity": {"arn": "arn:x\n", "sessionContext": {"sessionIssuer": {"arn": THEIRS}}},
        });
        let read = Change::parse(&record, &own).unwrap();
        assert_eq!((read.kind, read.at, read.stream.as_str()), (ChangeKind::Stop, at(1), "orders"));
        assert_eq!((read.role.as_deref(), read.actor.as_str()), (Some(THEIRS), "arn:x\\n"));
        let with = |pointer: &str, value: Value| {
            let mut record = record.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            record.pointer_mut(parent).unwrap()[field] = value;
            Change::parse(&record, &own)
        };
        assert_eq!(with("/errorCode", json!("ResourceInUse")), None, "it changed nothing");
        assert_eq!(with("/eventName", json!("CreateStream")), None);
        assert_eq!(with("/requestParameters", json!(null)), None);
        assert_eq!(with("/requestParameters", json!({"streamName": "bills"})).unwrap().stream.as_str(), "bills");
        let foreign = "arn:aws:kinesis:us-east-1:111122223333:stream/orders";
        assert_eq!(with("/requestParameters/streamARN", json!(foreign)), None);
        assert!(with("/userIdentity", json!(null)).unwrap().role.is_none());
    }

    #[test]
    fn streams_that_left_a_key() {
        let key = "arn:aws:kms:eu-west-1:111122223333:key/k1";
        let to =
            |minute, key: &str| Change { key: Some(EventText::new(key)), ..change(minute, ChangeKind::Start, OURS) };
        assert_eq!(left_key(&[to(9, "k2"), to(0, key)], key), [(name("orders"), at(9))], "in any order, by id too");
        assert_eq!(left_key(&[to(0, "k1"), to(5, "k1"), to(9, "k2")], key), [(name("orders"), at(9))]);
        assert_eq!(left_key(&[to(0, "k1")], key), [], "it is on it still");
        assert_eq!(left_key(&[to(0, "k2"), to(5, "k3")], key), []);
        assert_eq!(left_key(&[to(0, "k1"), to(3, "k2"), to(5, "k1"), to(9, "k2")], key), [(name("orders"), at(9))]);
        assert_eq!(left_key(&[change(4, ChangeKind::Stop, THEIRS)], key), [(name("orders"), at(4))], "Stop names it");
        let bills = Change { stream: name("bills"), ..to(1, "k2") };
        assert_eq!(left_key(&[to(0, "k1"), bills], key), [], "each stream for itself");
    }
}
