//! Who changed streams' encryption lately, by CloudTrail's history, and whether somebody else is changing one back.
//!
//! Pure: [`Change::parse`] reads one record, [`contention`] weighs those of one stream. The history lags by minutes
//! (CloudTrail user guide: about five on average, not guaranteed), so that what it does not show may have happened all the same.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
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

/// Weighs what the history shows of one stream, made at `created`, that is wrong now. `own_role` is the ARN of the function's role,
/// `cause` what woke this run.
pub fn contention(
    changes: &[Change],
    (stream, created): (&StreamName, Timestamp),
    own_role: &str,
    cause: &Cause,
    now: Timestamp,
) -> Contention {
    // What an earlier stream of the same name went through is none of this one's.
    let since = (now - HISTORY).max(whole_second(created));
    let mut of_it: Vec<&Change> = changes.iter().filter(|c| c.stream == *stream && c.at >= since).collect();
    // Of one second, ours first: somebody who undoes it comes after it.
    let is_ours = |change: &Change| change.role.as_deref() == Some(own_role);
    of_it.sort_by_key(|change| (change.at, !is_ours(change)));
    let (mut rounds, mut undone, mut newest) = (0, Vec::new(), None);
    let mut ours: Option<&Change> = None;
    for change in of_it.iter().copied() {
        if is_ours(change) {
            if change.kind == ChangeKind::Start {
                rounds += usize::from(ours.is_none());
                ours = Some(change);
                newest = Some(change.at);
            }
        } else if let Some(before) = ours {
            // Whoever starts it with the same key agrees with us.
            let agrees = change.kind == ChangeKind::Start && change.key.is_some() && change.key == before.key;
            if !agrees {
                undone.push(change);
                ours = None;
            }
        }
    }
    // Where ours stands by the history, it is the very change that woke us that undid it, or its rule wants another key now.
    let undone_again = ours.is_none() || cause.is_about_encryption();
    if rounds >= ROUNDS_MAX && undone_again {
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
    let quiet = match cause.at {
        Some(at) if cause.is_about_encryption() => (!shown(at)).then(|| at + QUIET),
        // Whoever tags a stream may have changed its encryption in the same breath: that has an event of its own, which is not
        // kept waiting, and the history will show it.
        Some(at) if cause.is_about_tags() => Some(at + SETTLED_AFTER),
        Some(_) | None => None,
    };
    quiet.filter(|until| *until > now).map_or(Contention::Clear, Contention::Wait)
}

/// How many Starts among `changes`, all of one stream's name, were accepted in the 24 hours before `now`, whoever called. The quota
/// of new keys outlives a stream: one of the same name goes on with it (recorded of a sibling quota).
pub fn accepted_starts(changes: &[Change], now: Timestamp) -> usize {
    changes.iter().filter(|change| change.kind == ChangeKind::Start && now.duration_since(change.at) < HISTORY).count()
}

fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// That a stream left a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Left {
    /// When.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::schema::Time"))]
    pub at: Timestamp,
    /// Whether it was on that key. A Start tells the key that was set and not the one before: where that was set before the history
    /// begins, or by an alias, it may have been this one.
    pub surely: bool,
}

/// When streams left `key` (its ARN), or may have left it, for another one or for none, by the latest change of each; `changes` in
/// any order.
pub fn left_key(changes: &[Change], key: &str) -> BTreeMap<StreamName, Left> {
    let id = key.rsplit('/').next().unwrap_or(key);
    // `None`: an alias, which may have meant it.
    let is_it = |change: &Change| {
        let text = change.key.as_ref()?.as_str();
        if text == key || text == id { Some(true) } else { (!text.contains("alias/")).then_some(false) }
    };
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by(|a, b| (&a.stream, a.at).cmp(&(&b.stream, b.at)));
    let mut left = BTreeMap::new();
    let mut before: Option<(&StreamName, Option<bool>)> = None;
    for change in sorted {
        let known = before.filter(|(stream, _)| *stream == &change.stream).and_then(|(_, on)| on);
        let (was, is) = match change.kind {
            ChangeKind::Stop => (is_it(change).or(known), Some(false)),
            ChangeKind::Start => (known, is_it(change)),
        };
        if is != Some(true) && was != Some(false) {
            left.insert(change.stream.clone(), Left { at: change.at, surely: was == Some(true) });
        }
        before = Some((&change.stream, is));
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
        contention(changes, (&name("orders"), at(-9_000)), OURS, cause, at(now))
    }

    /// `n` times: we start, they undo it a minute later; a round every 20 minutes.
    fn fight(n: i64, undo: ChangeKind) -> Vec<Change> {
        (0..n).flat_map(|i| [change(20 * i, ChangeKind::Start, OURS), change(20 * i + 1, undo, THEIRS)]).collect()
    }

    #[test]
    fn three_rounds_are_a_fight() {
        let again = cause("StopStreamEncryption", 41);
        let stopped = |n| fight(n, ChangeKind::Stop);
        let re_keyed = |n| -> Vec<Change> {
            let theirs = |c: Change| match c.role.as_deref() {
                Some(OURS) => c,
                _ => Change { key: Some(EventText::new("k2")), ..c },
            };
            fight(n, ChangeKind::Start).into_iter().map(theirs).collect()
        };
        let fights = [
            ("StopStreamEncryption by", stopped(2), stopped(3)),
            ("StartStreamEncryption by", re_keyed(2), re_keyed(3)),
        ];
        for (undone, two, three) in fights {
            assert_eq!(weigh(&two, &again, 60), Contention::Clear);
            let Contention::Contested(words) = weigh(&three, &again, 60) else { panic!("{undone}") };
            assert!([undone, "somebody", "3 times"].iter().all(|word| words.contains(word)), "{words}");
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
        // Nor is a new key that our rule wants, though two before were undone.
        let ours = [fight(2, ChangeKind::Stop), vec![change(45, ChangeKind::Start, OURS)]].concat();
        assert_eq!(weigh(&ours, &cause("UpdateAlias", 200), 200), Contention::Clear);
        assert!(
            matches!(weigh(&ours, &cause("StopStreamEncryption", 200), 200), Contention::Contested(_)),
            "it was undone"
        );
        // Nor is somebody who wants the same key.
        assert_eq!(weigh(&fight(5, ChangeKind::Start), &cause("sweep", 0), 200), Contention::Clear);
        // Nor is what happened to an earlier stream of the name.
        let young =
            contention(&fight(5, ChangeKind::Stop), (&name("orders"), at(95)), OURS, &cause("sweep", 0), at(200));
        assert_eq!(young, Contention::Clear);
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
        let tagged = cause("AddTagsToStream", 1);
        assert_eq!(weigh(&[], &tagged, 2), Contention::Wait(at(16)), "it may come with another change");
        assert_eq!(weigh(&[], &tagged, 16), Contention::Clear);
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
        let left = |changes: &[Change]| -> Vec<(String, i64, bool)> {
            let minutes = |left: &Left| left.at.duration_since(at(0)).as_mins();
            left_key(changes, key)
                .iter()
                .map(|(stream, left)| (stream.to_string(), minutes(left), left.surely))
                .collect()
        };
        let orders = |minute, surely| vec![("orders".to_owned(), minute, surely)];
        assert_eq!(left(&[to(9, "k2"), to(0, key)]), orders(9, true), "in any order, by id too");
        assert_eq!(left(&[to(0, "k1"), to(5, "k1"), to(9, "k2")]), orders(9, true));
        assert_eq!(left(&[to(0, "k1")]), [], "it is on it still");
        assert_eq!(left(&[to(0, "k1"), to(3, "k2"), to(5, "k1"), to(9, "k2")]), orders(9, true));
        assert_eq!(
            left(&[to(0, "k1"), to(3, "k2"), to(5, "k3")]),
            orders(3, true),
            "and not when it left the next one"
        );
        assert_eq!(left(&[change(4, ChangeKind::Stop, THEIRS)]), orders(4, true), "Stop names it");
        // What it was on before the first change, or by an alias, is not told.
        assert_eq!(left(&[to(0, "k2"), to(5, "k3")]), orders(0, false));
        assert_eq!(left(&[to(0, "k2"), to(5, "alias/app"), to(9, "k3")]), orders(9, false));
        let bills = Change { stream: name("bills"), ..to(1, "k2") };
        assert_eq!(left(&[to(0, "k1"), bills]), [("bills".to_owned(), 1, false)], "each stream for itself");
    }
}
