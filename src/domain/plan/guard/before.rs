//! Whether a guarded change may be made now. Pure: what was read goes in, the answer comes out.
//!
//! Whatever cannot be read stops the change: a guard that cannot see nothing is none.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::domain::access::document::Document;
use crate::domain::access::principal::Principal;
use crate::domain::arn::KeyArn;
use crate::domain::cause::START;
use crate::domain::history::{Change, ChangeKind, HISTORY, accepted_starts};
use crate::domain::model::{KeyIdentity, KeyManager};
use crate::domain::plan::proof::is_new;
use crate::domain::plan::situation::Wrong;
use crate::domain::policy::guard::Guard;
use crate::domain::verdict::{Reason, Verdict, Withheld};
use crate::domain::work::Work;

/// A stream may get so many new keys in 24 hours (Kinesis API reference, StartStreamEncryption).
const STARTS_MAX: usize = 25;
/// A guarded change needs so many: itself, and the way back.
const STARTS_NEEDED: usize = 2;
/// A change that the history does not show, though the stream's setting does, will be there after this, or is not waited for.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(30);
/// A change that is taken back later than this was not taken back for what it broke: no watch is longer than 2 hours.
const TAKEN_BACK_WITHIN: SignedDuration = SignedDuration::from_hours(3);
/// How long until the history is asked again.
const AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// What was read before a guarded change.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// Whether an event asks for it.
    pub by_event: bool,
    /// Whether it is the first of a list, and a change of another stream to the same key may still be watched.
    pub is_busy: bool,
    /// The key to set, and who manages it.
    pub target: (&'a KeyIdentity, KeyManager),
    /// The key that the stream is on: its ARN, or as its setting names it; `None` where it is not encrypted.
    pub current: Option<&'a str>,
    /// The accounts beside the stream's own that its resource policy, or a consumer's, lets in; or why that is not known. Only where AWS
    /// manages the key to set.
    pub lets_in: Result<&'a [String], &'a str>,
    /// How often a change to this key broke a stream within the last 24 hours; or why the metrics cannot be read.
    pub broken: Result<u64, &'a str>,
    /// What the history shows of this stream, as far back as a stream is held; `None` where it is too long to be read whole.
    pub changes: Option<&'a [Change]>,
    /// The role whose Starts are ours.
    pub own_role: &'a str,
    /// For how long a stream that was restored is left alone.
    pub hold: SignedDuration,
    /// Since when this work waits for the history to show what the stream is on.
    pub waiting_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leave {
    /// The change may be made.
    Given,
    /// Not before this time.
    Wait(Timestamp),
    /// No: why, in a word and in words.
    Refused(Withheld, String),
    /// The same, for a reason that is this stream's alone: its list goes on.
    Passed(Withheld, String),
}

impl Before<'_> {
    /// Whether the change may be made. What costs no request comes first.
    pub fn leave(&self) -> Leave {
        let Self { target: (target, _), now, .. } = *self;
        let changes = self.changes.unwrap_or_default();
        if self.by_event {
            let words = "its rule has a guard: the next sweep makes this change, beginning with one stream";
            return Leave::Refused(Withheld::WaitsItsTurn, words.to_owned());
        }
        if self.changes.is_none() {
            let words = "CloudTrail's history of the stream is too long to read completely";
            return Leave::Passed(Withheld::GuardBlind, words.to_owned());
        }
        let starts = accepted_starts(changes, now);
        if starts + STARTS_NEEDED > STARTS_MAX {
            let words = format!(
                "{starts} of the {STARTS_MAX} new keys that Kinesis accepts in 24 hours are used, and restoring the \
                 stream needs one"
            );
            return Leave::Passed(Withheld::Quota, words);
        }
        if let Some(leave) = self.locks_out().or_else(|| self.broke()) {
            return leave;
        }
        if self.is_busy {
            let words =
                format!("a change of another stream to {target} is being watched; the next sweep makes this one");
            return Leave::Refused(Withheld::WaitsItsTurn, words);
        }
        if let Some(since) = self.held() {
            let words = format!("a change to {target} was undone at {since}");
            return Leave::Passed(Withheld::Held, words);
        }
        if is_shown(changes, self.current, now) {
            return Leave::Given;
        }
        let since = self.waiting_since.unwrap_or(now);
        if now.duration_since(since) < SHOWN_WITHIN {
            return Leave::Wait(now + AGAIN);
        }
        let words = "CloudTrail's history does not show how the stream came to its key".to_owned();
        Leave::Passed(Withheld::GuardBlind, words)
    }

    /// Since when the stream is left alone, where its change to this key was taken back.
    pub fn held(&self) -> Option<Timestamp> {
        let since = taken_back(self.changes?, self.target.0, Some(self.own_role))?;
        (self.now.duration_since(since) < self.hold).then_some(since)
    }

    /// Whether another account would lose its access, or may.
    fn locks_out(&self) -> Option<Leave> {
        let (_, manager) = self.target;
        match self.lets_in {
            _ if manager != KeyManager::Aws => None,
            Ok([]) => None,
            Ok(accounts) => {
                let words = format!(
                    "a resource policy allows {}, and other accounts cannot use an AWS-managed key",
                    accounts.join(", ")
                );
                Some(Leave::Passed(Withheld::WouldLockOut, words))
            }
            Err(why) => {
                let words = format!("whether other accounts use the stream is not known: {why}");
                Some(Leave::Refused(Withheld::GuardBlind, words))
            }
        }
    }

    /// Whether a change to the same key broke a stream, or may have.
    fn broke(&self) -> Option<Leave> {
        let (target, _) = self.target;
        match self.broken {
            Ok(0) => None,
            Ok(times) => {
                let words = format!("changes to {target} broke {times} streams in the last 24 hours");
                Some(Leave::Refused(Withheld::Halted, words))
            }
            Err(why) => Some(Leave::Refused(Withheld::GuardBlind, format!("its users cannot be watched: {why}"))),
        }
    }
}

/// Whether a change has a guard: that of a stream older than an hour, which has users to compare with. One whose key cannot be used has
/// none who could be hurt.
pub fn is_guarded(guard: &Guard, wrong: &Wrong, now: Timestamp) -> bool {
    let info = wrong.current.as_ref().and_then(|current| current.info.as_ref());
    let is_usable = info.is_none_or(|info| info.problem.is_none());
    guard.watch.is_some() && !is_new(wrong.created, now) && is_usable
}

/// Whether work that has to wait for its turn asks for a scan: an event, but for a Start of our own that leaves its stream wrong. That
/// one brought the stream back.
pub fn asks_for_scan(work: &Work, own_role: &str) -> bool {
    let actor = work.cause.actor.as_ref().and_then(|actor| Principal::parse(actor.as_str()));
    let is_own = work.cause.call.as_str() == START && actor.is_some_and(|actor| actor.acts_as(own_role));
    work.is_by_event() && !is_own
}

/// The end of a run whose change is refused.
pub fn refused(wrong: &Wrong, why: Withheld, words: &str) -> Verdict {
    let verdict = wrong.verdict();
    let reason = if why == Withheld::Halted { Reason::Halted } else { verdict.reason };
    let alarm = matches!(why, Withheld::Halted | Withheld::GuardBlind | Withheld::WouldLockOut);
    let verdict = Verdict { reason, detail: format!("{}; {words}", verdict.detail), alarm, ..verdict };
    Verdict { withheld: Some(why), ..verdict.would(wrong.action(), Some(why)) }
}

/// What lets others use a stream by a policy of its own.
const USES: [&str; 4] = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:GetRecords", "kinesis:SubscribeToShard"];

/// The accounts beside `own` that a resource policy of a stream, or of a consumer, lets in; `everybody` where it names no account.
///
/// # Errors
/// Why that cannot be said.
pub fn lets_in(policy: &str, own: &str) -> Result<Vec<String>, &'static str> {
    let document = Document::read(policy);
    if document.is_unreadable() {
        return Err("its resource policy cannot be read");
    }
    let mut accounts = BTreeSet::new();
    for (named, _) in document.let_in(&USES) {
        match named.as_deref() {
            Some("*") => drop(accounts.insert("everybody".to_owned())),
            Some(text) => match Principal::parse(text) {
                Some(Principal { account: Some(account), .. }) if account == own => {}
                Some(Principal { account: Some(account), .. }) => drop(accounts.insert(format!("account {account}"))),
                // A service acts for this account, with a role of its own.
                Some(Principal { account: None, .. }) => {}
                // The id of a principal that is gone, of which nobody has the access.
                None if text.starts_with("AROA") || text.starts_with("AIDA") => {}
                None => return Err("its resource policy names a principal that cannot be read"),
            },
            None => return Err("its resource policy names a principal that cannot be read"),
        }
    }
    Ok(accounts.into_iter().collect())
}

/// In their order: of one second, the later in the list is the later one.
fn in_order(changes: &[Change]) -> Vec<&Change> {
    let mut ordered: Vec<&Change> = changes.iter().collect();
    ordered.sort_by_key(|change| change.at);
    ordered
}

/// When a Start with `target` by this role, or by anybody, was last taken back: soon followed by a Start with another key, by us or by somebody who had to help.
/// That change is not made again, whoever sets the other key once more, unless somebody else made it since. A Stop ends that: a stream is
/// not left without encryption.
pub fn taken_back(changes: &[Change], target: &KeyIdentity, by: Option<&str>) -> Option<Timestamp> {
    let (mut ours, mut held) = (None, None);
    for change in in_order(changes) {
        let is_with_target = change.key.as_ref().is_some_and(|key| key.as_str() == target.as_str());
        match (change.kind, is_with_target, by.is_none_or(|by| change.role.as_deref() == Some(by))) {
            (ChangeKind::Start, true, true) => ours = Some(change.at),
            (ChangeKind::Start, true, false) | (ChangeKind::Stop, ..) => (ours, held) = (None, None),
            (ChangeKind::Start, false, _) => {
                let taken_back = ours.take().filter(|at| change.at.duration_since(*at) <= TAKEN_BACK_WITHIN);
                held = taken_back.map(|_| change.at).or(held);
            }
        }
    }
    held
}

/// Whether somebody else set this key, by the newest change that the history shows.
pub fn was_set_by_another(changes: &[Change], key: &KeyIdentity, own_role: &str) -> bool {
    let newest = in_order(changes).pop();
    newest.is_some_and(|change| {
        let is_it = change.key.as_ref().is_some_and(|set| set.as_str() == key.as_str());
        change.kind == ChangeKind::Start && is_it && change.role.as_deref() != Some(own_role)
    })
}

/// Whether the newest change that the history shows is how the stream came to what it is on. An alias says nothing: it may have been moved.
fn is_shown(changes: &[Change], current: Option<&str>, now: Timestamp) -> bool {
    let recent = |change: &&&Change| now.duration_since(change.at) < HISTORY;
    let ordered = in_order(changes);
    let Some(newest) = ordered.iter().rfind(recent) else { return true };
    match (newest.kind, &newest.key, current) {
        (ChangeKind::Stop, _, current) => current.is_none(),
        (ChangeKind::Start, _, None) => false,
        (ChangeKind::Start, Some(key), Some(current)) => {
            let is_arn = |key: &str| KeyArn::parse(key).is_some();
            !is_arn(key.as_str()) || !is_arn(current) || key.as_str() == current
        }
        (ChangeKind::Start, None, Some(_)) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::{KeyArn, StreamArn, StreamName};
    use crate::domain::cause::Cause;
    use crate::domain::text::EventText;

    const OURS: &str = "arn:aws:iam::111122223333:role/streamseal";

    fn now() -> Timestamp {
        "2026-03-02T08:00:00Z".parse().unwrap()
    }

    fn key(id: &str) -> KeyIdentity {
        KeyIdentity::Arn(KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{id}")).unwrap())
    }

    /// A change of so many minutes ago.
    fn change(minutes: i64, key: Option<&str>, ours: bool) -> Change {
        Change {
            at: now() - SignedDuration::from_mins(minutes),
            kind: if key.is_some() { ChangeKind::Start } else { ChangeKind::Stop },
            stream: StreamName::parse("orders").unwrap(),
            key: key.map(EventText::new),
            role: Some(if ours { OURS.to_owned() } else { "other".to_owned() }),
            actor: EventText::new("somebody"),
        }
    }

    /// The answer for a change of a stream that is on `current` to the key `new`.
    fn leave(current: Option<&str>, changes: &[Change], adapt: impl Fn(&mut Before<'_>)) -> Leave {
        let (target, current) = (key("new"), current.map(key));
        let mut before = Before {
            by_event: false,
            is_busy: false,
            target: (&target, KeyManager::Customer),
            current: current.as_ref().map(KeyIdentity::as_str),
            lets_in: Ok(&[]),
            broken: Ok(0),
            changes: Some(changes),
            own_role: OURS,
            hold: SignedDuration::from_hours(30 * 24),
            waiting_since: None,
            now: now(),
        };
        adapt(&mut before);
        before.leave()
    }

    fn word(leave: &Leave) -> &'static str {
        match leave {
            Leave::Given => "given",
            Leave::Wait(_) => "wait",
            Leave::Refused(why, _) | Leave::Passed(why, _) => why.as_str(),
        }
    }

    #[test]
    fn who_set_the_key() {
        let (new, old) = (key("new").as_str().to_owned(), key("old").as_str().to_owned());
        for (changes, expect) in [
            (vec![change(5, Some(&new), false)], true),
            (vec![change(5, Some(&new), true)], false),
            (vec![change(9, Some(&new), true), change(5, Some(&new), false)], true),
            (vec![change(5, Some(&new), true), change(9, Some(&new), false)], false),
            (vec![change(9, Some(&new), false), change(5, Some(&old), false)], false),
            (vec![change(9, Some(&new), false), change(5, None, false)], false),
            (Vec::new(), false),
        ] {
            assert_eq!(was_set_by_another(&changes, &key("new"), OURS), expect, "{changes:?}");
        }
    }

    #[test]
    fn a_start_of_our_own_asks_for_no_scan() {
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let session = "arn:aws:sts::111122223333:assumed-role/streamseal/streamseal-function";
        for (call, event, actor, expect) in [
            ("AddTagsToStream", Some("e"), session, true),
            (START, Some("e"), session, false),
            (START, Some("e"), OURS, false),
            (START, Some("e"), "arn:aws:sts::111122223333:assumed-role/deploy/ci", true),
            (START, Some("e"), "somebody", true),
            ("sweep", None, OURS, false),
        ] {
            let (call, actor) = (EventText::new(call), Some(EventText::new(actor)));
            let cause = Cause { call, event_id: event.map(EventText::new), actor, at: None, creator: None };
            let work = Work::new(stream.clone(), cause, now());
            assert_eq!(asks_for_scan(&work, OURS), expect, "{work:?}");
        }
    }

    #[test]
    fn what_stops_a_guarded_change() {
        let others = ["444455556666".to_owned()];
        type Adapt<'a> = &'a dyn Fn(&mut Before<'_>);
        let aws = |before: &mut Before<'_>| before.target.1 = KeyManager::Aws;
        let rows: &[(&str, Adapt<'_>)] = &[
            ("given", &|_| {}),
            ("waits-its-turn", &|before| before.by_event = true),
            ("given", &aws),
            ("given", &|before| before.lets_in = Err("denied")),
            ("guard-blind", &|before| before.changes = None),
            ("guard-blind", &|before| {
                aws(before);
                before.lets_in = Err("denied");
            }),
            ("guard-blind", &|before| before.broken = Err("denied")),
            ("waits-its-turn", &|before| before.is_busy = true),
            ("halted", &|before| (before.broken, before.is_busy) = (Ok(1), true)),
        ];
        for (expected, adapt) in rows {
            assert_eq!(word(&leave(Some("old"), &[], adapt)), *expected);
        }
        let target = key("new");
        let locked = Before { lets_in: Ok(&others), target: (&target, KeyManager::Aws), ..blank(&target) };
        assert_eq!(word(&locked.leave()), "would-lock-out");
        let shared = Before { target: (&target, KeyManager::Customer), ..locked };
        assert_eq!(word(&shared.leave()), "given", "a customer's key can be shared");
    }

    fn blank(target: &KeyIdentity) -> Before<'_> {
        Before {
            by_event: false,
            is_busy: false,
            target: (target, KeyManager::Customer),
            current: None,
            lets_in: Ok(&[]),
            broken: Ok(0),
            changes: Some(&[]),
            own_role: OURS,
            hold: SignedDuration::from_hours(24),
            waiting_since: None,
            now: now(),
        }
    }

    #[test]
    fn a_way_back_is_left_in_the_quota() {
        let starts = |count: usize| vec![change(60, Some("alias/x"), false); count];
        for (count, expected) in [(23, "given"), (24, "quota"), (25, "quota")] {
            assert_eq!(word(&leave(Some("old"), &starts(count), |_| {})), expected, "{count}");
        }
        let yesterday = vec![change(24 * 60, Some("alias/x"), false); 25];
        assert_eq!(word(&leave(Some("old"), &yesterday, |_| {})), "given");
    }

    #[test]
    fn a_change_that_was_taken_back_is_not_made_again() {
        let arn = |id: &str| key(id).as_str().to_owned();
        let (new, old) = (arn("new"), arn("old"));
        let back = [change(90, Some(&new), true), change(60, Some(&old), true)];
        let held = leave(Some("old"), &back, |_| {});
        assert_eq!(word(&held), "held", "{held:?}");
        // Two copies of one message brought it back.
        let mut twice = back.to_vec();
        twice.push(change(59, Some(&old), true));
        assert_eq!(word(&leave(Some("old"), &twice, |_| {})), "held");
        // The history is in no order.
        let reversed: Vec<Change> = back.iter().rev().cloned().collect();
        assert_eq!(word(&leave(Some("old"), &reversed, |_| {})), "held");
        let hold = |minutes| move |before: &mut Before<'_>| before.hold = SignedDuration::from_mins(minutes);
        assert_eq!(word(&leave(Some("old"), &back, hold(61))), "held");
        assert_eq!(word(&leave(Some("old"), &back, hold(60))), "given");
        let theirs = [change(90, Some(&new), false), change(60, Some(&old), true)];
        assert_eq!(word(&leave(Some("old"), &theirs, |_| {})), "given", "somebody else set that key");
        let undone = [change(90, Some(&new), true), change(60, Some(&old), false)];
        assert_eq!(word(&leave(Some("old"), &undone, |_| {})), "held", "somebody had to help");
        let stopped = [change(90, Some(&new), true), change(60, None, false)];
        assert_eq!(word(&leave(None, &stopped, |_| {})), "given", "a fight is weighed elsewhere");
        let later = [change(60 + 181, Some(&new), true), change(60, Some(&old), true)];
        assert_eq!(word(&leave(Some("old"), &later, |_| {})), "given", "for another reason");
        for (more, expect) in [
            // Whoever has the old key in a configuration sets it again.
            (vec![change(30, Some(&old), false)], "held"),
            (vec![change(30, Some(&new), false), change(20, Some(&old), false)], "given"),
            (vec![change(30, None, false), change(20, Some(&old), false)], "given"),
        ] {
            let since = [back.as_slice(), &more].concat();
            assert_eq!(word(&leave(Some("old"), &since, |_| {})), expect, "{more:?}");
        }
        assert_eq!(taken_back(&theirs, &key("new"), Some(OURS)), None);
        assert_eq!(taken_back(&theirs, &key("new"), None), Some(theirs[1].at), "by anybody");
        let other = [change(90, Some(&arn("third")), true), change(60, Some(&old), true)];
        assert_eq!(word(&leave(Some("old"), &other, |_| {})), "given", "it was another key");
    }

    #[test]
    fn a_change_that_the_history_does_not_show_yet_is_waited_for() {
        let old = key("old").as_str().to_owned();
        let since = |minutes| {
            move |before: &mut Before<'_>| before.waiting_since = Some(now() - SignedDuration::from_mins(minutes))
        };
        let shown = [change(60, Some(&old), false)];
        assert_eq!(word(&leave(Some("old"), &shown, |_| {})), "given");
        assert_eq!(leave(Some("other"), &shown, |_| {}), Leave::Wait(now() + AGAIN));
        assert_eq!(word(&leave(Some("other"), &shown, since(29))), "wait");
        assert_eq!(word(&leave(Some("other"), &shown, since(30))), "guard-blind");
        assert_eq!(word(&leave(None, &shown, |_| {})), "wait", "it was stopped");
        assert_eq!(word(&leave(Some("old"), &[change(60, None, false)], |_| {})), "wait", "it was started");
        assert_eq!(word(&leave(None, &[change(60, None, false)], |_| {})), "given");
        // An alias may have been moved since.
        for by in ["alias/app", "arn:aws:kms:eu-west-1:111122223333:alias/app", "1234abcd"] {
            assert_eq!(word(&leave(Some("other"), &[change(60, Some(by), false)], |_| {})), "given", "{by}");
        }
        // So may the one that its setting names, of a key that is not known.
        let by_alias =
            leave(Some("other"), &shown, |before| before.current = Some("arn:aws:kms:eu-west-1:444455556666:alias/x"));
        assert_eq!(word(&by_alias), "given");
        let long_ago = [change(24 * 60, Some(&old), false)];
        assert_eq!(word(&leave(Some("other"), &long_ago, |_| {})), "given");
    }

    #[test]
    fn whom_a_resource_policy_lets_in() {
        let policy = |principal: &str, action: &str| {
            format!(
                "{{\"Statement\": [{{\"Effect\": \"Allow\", \"Principal\": {principal}, \"Action\": \"{action}\", \"Resource\": \"*\"}}]}}"
            )
        };
        let own = "{\"AWS\": \"arn:aws:iam::111122223333:role/app\"}";
        let other = "{\"AWS\": [\"444455556666\", \"arn:aws:iam::111122223333:root\"]}";
        for (principal, action, expected) in [
            (own, "kinesis:PutRecord", Ok(vec![])),
            (other, "kinesis:PutRecord", Ok(vec!["account 444455556666"])),
            (other, "*", Ok(vec!["account 444455556666"])),
            (other, "kinesis:DescribeStreamSummary", Ok(vec![])),
            ("\"*\"", "kinesis:GetRecords", Ok(vec!["everybody"])),
            ("{\"Service\": \"firehose.amazonaws.com\"}", "kinesis:GetRecords", Ok(vec![])),
            ("{\"AWS\": \"AROAEXAMPLE\"}", "kinesis:GetRecords", Ok(vec![])),
            ("{\"AWS\": \"who\"}", "kinesis:GetRecords", Err(())),
        ] {
            let found = lets_in(&policy(principal, action), "111122223333");
            let found = found.as_ref().map(|all| all.iter().map(String::as_str).collect()).map_err(|_| ());
            assert_eq!(found, expected, "{principal} {action}");
        }
        assert!(lets_in("not JSON", "111122223333").is_err());
    }
}
