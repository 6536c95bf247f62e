//! Who changed streams' encryption lately, by CloudTrail's history, and whether somebody else is changing one back.
//!
//! Pure: [`Change::parse`] reads one record, [`contention`] weighs those of one stream. The history lags (60 to 118 s were seen;
//! CloudTrail user guide: about five minutes on average, not guaranteed) and is out of order: a change may be missing while newer
//! ones are there. What it does not show may have happened all the same.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arn::{KeyArn, KinesisArn, Scope, StreamArn, StreamName};
use super::cause::{Cause, START, STOP};
use super::event::record::{actor, arn_of, error_of};
use super::failure::Unfinished;
use super::impact::usage::{DECRYPT, GENERATE_DATA_KEY, Usage};
use super::text::EventText;
use super::time::Time;

/// How far back changes count.
pub const HISTORY: SignedDuration = SignedDuration::from_hours(24);
/// A stream that we changed is not changed again sooner than this: until then the history may not show what came after.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// How far behind the history is taken to be. A Start of ours just before the change that woke us may not be shown sooner, so that
/// changes are kept this far apart; then even a lag of [`SETTLED_AFTER`] hides few of them. 118 s is the longest lag that was seen.
pub const QUIET: SignedDuration = SignedDuration::from_mins(3);
/// A history that shows a change this soon does not lag as CloudTrail's does (60 s is the shortest lag that was seen).
pub const PROMPT: SignedDuration = SignedDuration::from_secs(30);
/// So many Starts of ours, each undone by somebody else, are a fight and no accident.
pub const ROUNDS_MAX: usize = 3;

/// Which records of the history are asked for; LookupEvents takes one attribute a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// By EventName: the calls on every stream or key, those that were refused too.
    Calls(&'static str),
    /// By ResourceName, as the caller wrote it: a stream's name or its ARN; of a key its ARN. A call that was refused may have no
    /// resources.
    Resource(String),
}

impl Query {
    /// Every change of every stream.
    pub const ALL: [Self; 2] = [Self::Calls(START), Self::Calls(STOP)];
    /// Every call that needs a key for a stream's records, and for others' data too.
    pub const USES: [Self; 2] = [Self::Calls(GENERATE_DATA_KEY), Self::Calls(DECRYPT)];

    /// Every change of one stream, however the caller named it.
    pub fn of(stream: &StreamArn) -> [Self; 2] {
        [Self::Resource(stream.name.to_string()), Self::Resource(stream.to_string())]
    }

    /// The value that the records are asked for by.
    pub fn value(&self) -> &str {
        match self {
            Self::Calls(name) => name,
            Self::Resource(name) => name,
        }
    }
}

/// The call that gives a key another policy.
pub const PUT_KEY_POLICY: &str = "PutKeyPolicy";

/// A key that got another policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPolicy {
    /// Which key.
    pub key: KeyArn,
    /// When.
    pub at: Timestamp,
}

impl NewPolicy {
    /// Reads a CloudTrail record; `None` for a call that failed, another call, or one that does not name its key.
    pub fn parse(record: &Value) -> Option<Self> {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        let is_it = text("/eventName") == Some(PUT_KEY_POLICY) && error_of(record).is_none();
        let resources = record.get("resources").and_then(Value::as_array);
        let arns = resources.into_iter().flatten().filter_map(|resource| resource.get("ARN")?.as_str());
        let key = arns.chain(text("/requestParameters/keyId")).find_map(KeyArn::parse).filter(|_| is_it)?;
        Some(Self { key, at: text("/eventTime")?.parse().ok()? })
    }
}

/// What CloudTrail's event history showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail {
    /// Changes of streams' encryption here that took effect, in any order.
    pub changes: Vec<Change>,
    /// Uses of keys for streams here, also those that KMS refused, in any order.
    pub uses: Vec<Usage>,
    /// Keys that got another policy, in any order.
    pub policies: Vec<NewPolicy>,
    /// Whether these are all: of a history that is too long only the newest are read.
    pub whole: bool,
}

impl Trail {
    /// Adds what another reading showed, each change once.
    pub fn add<'a>(&mut self, changes: impl IntoIterator<Item = &'a Change>) {
        for change in changes {
            if !self.changes.contains(change) {
                self.changes.push(change.clone());
            }
        }
    }
}

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
            Self::Start => START,
            Self::Stop => STOP,
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
        if error_of(record).is_some() {
            return None;
        }
        let parameters = record.get("requestParameters").unwrap_or(&Value::Null);
        let arn = arn_of(parameters, ["streamARN", "streamArn"]).ok()?.and_then(|(_, arn)| arn.as_str());
        let stream = match arn {
            Some(arn) => match KinesisArn::parse(arn)? {
                KinesisArn::Stream(arn) if arn.scope == *own => arn.name,
                KinesisArn::Stream(_) | KinesisArn::Consumer | KinesisArn::Other(_) => return None,
            },
            None => StreamName::parse(text("/requestParameters/streamName")?)?,
        };
        Some(Self {
            at: text("/eventTime")?.parse().ok()?,
            kind,
            stream,
            key: text("/requestParameters/keyId").map(EventText::new),
            role: text("/userIdentity/sessionContext/sessionIssuer/arn").map(str::to_owned),
            actor: actor(record).unwrap_or_else(|| EventText::new("somebody")),
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
    /// The history may not be read, or was not read whole: why.
    Unknown(String),
}

/// What has to be known of the history before a Start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing: it is the first Start on a new stream, which is nobody's fight.
    None,
    /// All of it, where it shows that somebody else changed this new stream. Where it cannot be read, nothing says so.
    IfChanged,
    /// All of it.
    Full,
}

/// What has to be known of the history before a Start for `cause`. `started`: whether a run before, for the same cause, sent one.
pub fn check_of(cause: &Cause, is_new: bool, started: bool) -> Check {
    match (is_new && !cause.is_about_encryption(), cause.creator) {
        (false, _) => Check::Full,
        (true, Some(_)) if !started => Check::None,
        (true, _) => Check::IfChanged,
    }
}

/// The history has to be read after this to be weighed at `now` for `cause`: what was read before cannot show the cause, nor, once
/// [`QUIET`] is over, all that was before it.
pub fn read_after(cause: &Cause, now: Timestamp) -> Option<Timestamp> {
    let at = cause.at?;
    let quiet = at.saturating_add(QUIET).unwrap_or(at);
    Some(if cause.is_about_encryption() && now >= quiet { quiet } else { at })
}

/// What a reading of the history means for a Start on a stream that is wrong now: its changes, or why it was not read.
///
/// # Errors
/// Why it was not read, where it may be read later.
pub fn weigh(
    check: Check,
    reading: Result<&Trail, Unfinished>,
    of_it: (&StreamName, Timestamp),
    own_role: &str,
    since: (&Cause, Option<Timestamp>),
    now: Timestamp,
) -> Result<Contention, Unfinished> {
    match (check, reading) {
        (Check::None, _) | (Check::IfChanged, Err(_)) => Ok(Contention::Clear),
        (Check::IfChanged, Ok(trail)) if !is_changed(trail, of_it, own_role) => Ok(Contention::Clear),
        (Check::IfChanged | Check::Full, Ok(trail)) => Ok(contention(trail, of_it, own_role, since, now)),
        (Check::Full, Err(why)) if why.fault().is_some() => {
            Ok(Contention::Unknown(format!("whether somebody else changes it cannot be determined: {why}")))
        }
        (Check::Full, Err(why)) => Err(why),
    }
}

/// Whether the history shows that somebody else than `own_role` changed the encryption of this stream, made at `created`.
pub fn is_changed(trail: &Trail, (stream, created): (&StreamName, Timestamp), own_role: &str) -> bool {
    let theirs = |change: &&Change| change.role.as_deref() != Some(own_role);
    trail.changes.iter().filter(theirs).any(|change| change.stream == *stream && change.at >= whole_second(created))
}

/// Weighs what the history shows of one stream, made at `created`, that is wrong now. `own_role` is the ARN of the function's role,
/// `cause` what woke this run, `started_at` when a run before, for the same cause, sent a Start. A history that was not read whole can
/// show a fight, and never that there is none.
pub fn contention(
    trail: &Trail,
    (stream, created): (&StreamName, Timestamp),
    own_role: &str,
    (cause, started_at): (&Cause, Option<Timestamp>),
    now: Timestamp,
) -> Contention {
    // What an earlier stream of the same name went through is none of this one's.
    let since = (now - HISTORY).max(whole_second(created));
    let mut of_it: Vec<&Change> = trail.changes.iter().filter(|c| c.stream == *stream && c.at >= since).collect();
    // Of one second, ours first: somebody who undoes it comes after it.
    let is_ours = |change: &Change| change.role.as_deref() == Some(own_role);
    of_it.sort_by_key(|change| (change.at, !is_ours(change)));
    let Rounds { rounds, undone, newest, stands } = rounds_of(&of_it, is_ours);
    // Where ours stands by the history, it is the very change that woke us that undid it, or its rule requires another key now.
    let undone_again = !stands || cause.is_about_encryption();
    if rounds >= ROUNDS_MAX && undone_again {
        let reported: Vec<String> = undone
            .iter()
            .rev()
            .take(ROUNDS_MAX)
            .map(|change| format!("{} by {} at {}", change.kind.event_name(), change.actor, Time(change.at)))
            .collect();
        return Contention::Contested(format!(
            "Streamseal started encryption {rounds} times in 24 hours, and each time it was changed back: {}",
            reported.join(", ")
        ));
    }
    if !trail.whole {
        let why = "whether somebody else changes it back cannot be determined: CloudTrail's history of the last 24 \
                   hours is too long to be read to its end";
        return Contention::Unknown(why.to_owned());
    }
    if let Some(until) = newest.max(started_at).map(|at| at + SETTLED_AFTER).filter(|until| *until > now) {
        return Contention::Wait(until);
    }
    let shown = |at: Timestamp| of_it.iter().any(|c| c.kind.event_name() == cause.call.as_str() && c.at == at);
    let quiet = match cause.at {
        // That it shows the cause does not say that it shows what was before.
        Some(at) if cause.is_about_encryption() => {
            let prompt = shown(at) && now.duration_since(at) < PROMPT;
            (!prompt).then(|| at + QUIET)
        }
        // Whoever tags a stream may have changed its encryption in the same breath: that has an event of its own, which is not
        // kept waiting, and the history will show it.
        Some(at) if cause.is_about_tags() => Some(at + SETTLED_AFTER),
        Some(_) | None => None,
    };
    quiet.filter(|until| *until > now).map_or(Contention::Clear, Contention::Wait)
}

/// What the changes of one stream say of a fight.
struct Rounds<'a> {
    /// How many Starts of ours somebody else undid, or that stand.
    rounds: usize,
    /// With what they were undone.
    undone: Vec<&'a Change>,
    /// Our newest Start.
    newest: Option<Timestamp>,
    /// Whether it stands.
    stands: bool,
}

/// Reads the changes of one stream, in their order.
fn rounds_of<'a>(changes: &[&'a Change], is_ours: impl Fn(&Change) -> bool) -> Rounds<'a> {
    let (mut rounds, mut undone, mut newest) = (0, Vec::new(), None);
    let mut ours: Option<&Change> = None;
    for change in changes.iter().copied() {
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
    Rounds { rounds, undone, newest, stands: ours.is_some() }
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
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub at: Timestamp,
    /// Whether it was on that key. A Start reports the key that was set and not the one before: where that was set before the history
    /// begins, or by an alias, it may have been this one.
    pub certain: bool,
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
            left.insert(change.stream.clone(), Left { at: change.at, certain: was == Some(true) });
        }
        before = Some((&change.stream, is));
    }
    left
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::failure::{Class, Failure, Fault};

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

    fn weighed(changes: &[Change], cause: &Cause, now: i64) -> Contention {
        let trail = Trail { changes: changes.to_vec(), whole: true, ..Trail::default() };
        contention(&trail, (&name("orders"), at(-9_000)), OURS, (cause, None), at(now))
    }

    /// `n` times: we start, they undo it a minute later; a round every 20 minutes.
    fn fight(n: i64, undo: ChangeKind) -> Vec<Change> {
        (0..n).flat_map(|i| [change(20 * i, ChangeKind::Start, OURS), change(20 * i + 1, undo, THEIRS)]).collect()
    }

    #[test]
    fn what_a_reading_means_depends_on_what_has_to_be_known() {
        let name = name("orders");
        let stopped = Trail { changes: vec![change(0, ChangeKind::Stop, THEIRS)], whole: true, ..Trail::default() };
        let quiet = Trail { changes: Vec::new(), whole: true, ..Trail::default() };
        let cut = Trail { changes: Vec::new(), whole: false, ..Trail::default() };
        let denied = || {
            Unfinished::Call(Failure {
                class: Class::Permanent(Fault::Access),
                call: "cloudtrail:LookupEvents",
                code: EventText::new("AccessDeniedException"),
                message: EventText::new("no"),
                may_have_applied: false,
            })
        };
        let throttled = || Unfinished::open("cloudtrail:LookupEvents", "ThrottlingException", "later");
        let meaning = |check, reading| {
            let tag = cause("AddTagsToStream", 0);
            match super::weigh(check, reading, (&name, at(-9_000)), OURS, (&tag, None), at(1)) {
                Ok(Contention::Clear) => "clear",
                Ok(Contention::Wait(_)) => "wait",
                Ok(Contention::Contested(_)) => "contested",
                Ok(Contention::Unknown(_)) => "unknown",
                Err(_) => "later",
            }
        };
        for (check, reading, expected) in [
            (Check::None, Err(denied()), "clear"),
            (Check::IfChanged, Ok(&quiet), "clear"),
            (Check::IfChanged, Ok(&cut), "clear"),
            (Check::IfChanged, Ok(&stopped), "wait"),
            (Check::IfChanged, Err(throttled()), "clear"),
            (Check::Full, Ok(&quiet), "wait"),
            (Check::Full, Ok(&cut), "unknown"),
            (Check::Full, Err(denied()), "unknown"),
            (Check::Full, Err(throttled()), "later"),
        ] {
            assert_eq!(meaning(check, reading.clone()), expected, "{check:?} {reading:?}");
        }
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
            assert_eq!(weighed(&two, &again, 60), Contention::Clear);
            let Contention::Contested(words) = weighed(&three, &again, 60) else { panic!("{undone}") };
            assert!([undone, "somebody", "3 times"].iter().all(|word| words.contains(word)), "{words}");
        }
        // A day later it is forgotten.
        assert_eq!(weighed(&fight(3, ChangeKind::Stop), &again, 42 + 24 * 60), Contention::Clear);
    }

    #[test]
    fn starts_that_nobody_undid_are_none() {
        let mut ours: Vec<Change> = (0..9).map(|i| change(20 * i, ChangeKind::Start, OURS)).collect();
        assert_eq!(weighed(&ours, &cause("sweep", 0), 200), Contention::Clear);
        ours.push(change(181, ChangeKind::Stop, THEIRS));
        assert_eq!(weighed(&ours, &cause("sweep", 0), 200), Contention::Clear);
        // Nor is what others do among themselves.
        let theirs: Vec<Change> = fight(5, ChangeKind::Stop).into_iter().map(|c| Change { role: None, ..c }).collect();
        assert_eq!(weighed(&theirs, &cause("sweep", 0), 200), Contention::Clear);
        // Nor is a new key that our rule requires, though two before were undone.
        let ours = [fight(2, ChangeKind::Stop), vec![change(45, ChangeKind::Start, OURS)]].concat();
        assert_eq!(weighed(&ours, &cause("UpdateAlias", 200), 200), Contention::Clear);
        assert!(
            matches!(weighed(&ours, &cause("StopStreamEncryption", 200), 200), Contention::Contested(_)),
            "it was undone"
        );
        // Nor is somebody who wants the same key.
        assert_eq!(weighed(&fight(5, ChangeKind::Start), &cause("sweep", 0), 200), Contention::Clear);
        // Nor is what happened to an earlier stream of the name.
        let fought = Trail { changes: fight(5, ChangeKind::Stop), whole: true, ..Trail::default() };
        let young = contention(&fought, (&name("orders"), at(95)), OURS, (&cause("sweep", 0), None), at(200));
        assert_eq!(young, Contention::Clear);
        // Nor are other streams.
        let other: Vec<Change> =
            fight(5, ChangeKind::Stop).into_iter().map(|c| Change { stream: name("bills"), ..c }).collect();
        assert_eq!(weighed(&other, &cause("sweep", 0), 200), Contention::Clear);
    }

    #[test]
    fn what_we_changed_lately_waits() {
        let changes = [change(0, ChangeKind::Start, OURS), change(1, ChangeKind::Stop, THEIRS)];
        let stopped = cause("StopStreamEncryption", 1);
        assert_eq!(weighed(&changes, &stopped, 2), Contention::Wait(at(15)));
        assert_eq!(weighed(&changes, &stopped, 14), Contention::Wait(at(15)));
        assert_eq!(weighed(&changes, &stopped, 15), Contention::Clear);
        // Nor is what the message says that we did and the history does not show yet.
        let started = |now| {
            let (trail, stream) = (Trail { changes: Vec::new(), whole: true, ..Trail::default() }, name("orders"));
            contention(&trail, (&stream, at(-9_000)), OURS, (&cause("sweep", 0), Some(at(20))), at(now))
        };
        assert_eq!((started(25), started(35)), (Contention::Wait(at(35)), Contention::Clear));
    }

    #[test]
    fn a_history_that_lags_keeps_changes_apart() {
        let stopped = cause("StopStreamEncryption", 1);
        assert_eq!(weighed(&[], &stopped, 2), Contention::Wait(at(4)));
        assert_eq!(weighed(&[], &stopped, 4), Contention::Clear);
        // One that shows the cause may not show our Start of seconds before it: records come out of order.
        let stop = [change(1, ChangeKind::Stop, THEIRS)];
        assert_eq!(weighed(&stop, &stopped, 2), Contention::Wait(at(4)));
        assert_eq!(weighed(&stop, &stopped, 4), Contention::Clear);
        // One that shows it at once does not lag.
        assert_eq!(weighed(&stop, &stopped, 1), Contention::Clear);
        let tagged = cause("AddTagsToStream", 1);
        assert_eq!(weighed(&[], &tagged, 2), Contention::Wait(at(16)), "it may come with another change");
        assert_eq!(weighed(&[], &tagged, 16), Contention::Clear);
        // What is no change of anybody's has nothing to wait for.
        assert_eq!(weighed(&[], &cause("sweep", 1), 2), Contention::Clear);
    }

    #[test]
    fn a_history_that_was_not_read_whole_is_never_clear() {
        let weighed = |changes: &[Change], cause: &Cause, now: i64| {
            let trail = Trail { changes: changes.to_vec(), whole: false, ..Trail::default() };
            contention(&trail, (&name("orders"), at(-9_000)), OURS, (cause, None), at(now))
        };
        let stopped = cause("StopStreamEncryption", 41);
        for changes in [vec![], fight(2, ChangeKind::Stop), vec![change(50, ChangeKind::Start, OURS)]] {
            for cause in [&stopped, &cause("sweep", 0)] {
                let Contention::Unknown(why) = weighed(&changes, cause, 60) else { panic!("{changes:?}") };
                assert!(why.contains("too long to be read"), "{why}");
            }
        }
        assert!(matches!(weighed(&fight(3, ChangeKind::Stop), &stopped, 60), Contention::Contested(_)), "that is seen");
    }

    #[test]
    fn the_first_start_on_a_new_stream_is_free_and_one_on_a_stream_that_was_stopped_is_not() {
        let born = Cause { creator: Some(crate::domain::cause::Creator::Other), ..cause("CreateStream", 0) };
        let rows = [
            (&born, true, false, Check::None),
            (&born, true, true, Check::IfChanged),
            (&born, false, false, Check::Full),
            (&cause("StopStreamEncryption", 1), true, false, Check::Full),
            (&cause("StartStreamEncryption", 1), true, false, Check::Full),
            (&cause("AddTagsToStream", 1), true, false, Check::IfChanged),
            (&cause("sweep", 1), true, false, Check::IfChanged),
            (&cause("sweep", 1), true, true, Check::IfChanged),
            (&cause("StopStreamEncryption", 1), true, true, Check::Full),
            (&cause("sweep", 1), false, false, Check::Full),
        ];
        for (cause, is_new, started, expect) in rows {
            assert_eq!(check_of(cause, is_new, started), expect, "{} {is_new} {started}", cause.call);
        }
        let by = |role| Trail { changes: vec![change(1, ChangeKind::Stop, role)], whole: true, ..Trail::default() };
        assert!(is_changed(&by(THEIRS), (&name("orders"), at(0)), OURS));
        assert!(!is_changed(&by(OURS), (&name("orders"), at(0)), OURS), "its alias may have moved since");
        assert!(!is_changed(&by(THEIRS), (&name("bills"), at(0)), OURS));
        assert!(!is_changed(&by(THEIRS), (&name("orders"), at(2)), OURS), "that was an earlier stream of the name");
    }

    #[test]
    fn what_is_weighed_is_read_after_the_cause_and_after_all_before_it_is_shown() {
        let stopped = cause("StopStreamEncryption", 1);
        assert_eq!(read_after(&stopped, at(2)), Some(at(1)));
        assert_eq!(read_after(&stopped, at(4)), Some(at(4)));
        assert_eq!(read_after(&stopped, at(90)), Some(at(4)));
        assert_eq!(read_after(&cause("sweep", 1), at(90)), Some(at(1)));
        assert_eq!(read_after(&Cause { at: None, ..stopped }, at(90)), None);
    }

    #[test]
    fn what_two_readings_show_counts_once() {
        let mut trail = Trail { changes: vec![change(1, ChangeKind::Start, OURS)], whole: true, ..Trail::default() };
        trail.add(&[change(1, ChangeKind::Start, OURS), change(1, ChangeKind::Stop, THEIRS)]);
        trail.add(&fight(1, ChangeKind::Stop));
        assert_eq!(trail.changes.len(), 3, "{trail:?}");
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
        assert!(with("/errorCode", json!("")).is_some() && with("/errorCode", json!(null)).is_some(), "no error");
        let (one, other) =
            ["orders", "bills"].map(|name| format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}")).into();
        assert!(with("/requestParameters", json!({"streamARN": one, "streamArn": one})).is_some());
        assert_eq!(with("/requestParameters", json!({"streamARN": one, "streamArn": other})), None, "of two streams");
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
                .map(|(stream, left)| (stream.to_string(), minutes(left), left.certain))
                .collect()
        };
        let orders = |minute, certain| vec![("orders".to_owned(), minute, certain)];
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
        // What it was on before the first change, or by an alias, is not reported.
        assert_eq!(left(&[to(0, "k2"), to(5, "k3")]), orders(0, false));
        assert_eq!(left(&[to(0, "k2"), to(5, "alias/app"), to(9, "k3")]), orders(9, false));
        let bills = Change { stream: name("bills"), ..to(1, "k2") };
        assert_eq!(left(&[to(0, "k1"), bills]), [("bills".to_owned(), 1, false)], "each stream for itself");
    }
}
