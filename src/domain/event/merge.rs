//! Which messages of a batch one run answers. Anybody may cause many events about one stream; one run, which observes it afterwards, answers
//! all of them. So does one request for a scan all requests about the same.
//!
//! Pure. What must be done is decided from what a run observes, so that of several events about a stream one has to run. A work message
//! is never merged into another: it knows what a run before owes. Only copies of it, which SQS or a lost answer makes, are one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::item::{Item, Message};
use crate::domain::cause::{CREATE, Cause, STOP};
use crate::domain::text::EventText;
use crate::domain::work::ALSO_MAX;

/// What is done for some messages: each of them fails where it fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What to do.
    pub item: Item,
    /// The messages, by SQS's `messageId`.
    pub messages: Vec<String>,
}

/// The tasks of one stream, one after the other; those of different streams may run at once.
pub type Lane = Vec<Task>;

/// The lanes of a batch, the most urgent first: a stream that was just created or whose encryption was stopped takes writes without
/// encryption.
pub fn lanes(messages: Vec<Message>) -> Vec<Lane> {
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    for Message { id, items } in messages {
        let about = items.iter().find_map(|item| match item {
            Item::Reconcile(work) => Some(work.stream.to_string()),
            Item::Scan(scan) => Some(format!("scan {}", scan.topic())),
            _ => None,
        });
        let lane = lanes.entry(about.unwrap_or_else(|| id.clone())).or_default();
        lane.extend(items.into_iter().map(|item| Task { item, messages: vec![id.clone()] }));
    }
    let mut lanes: Vec<Lane> = lanes.into_values().map(merged).collect();
    // A stable sort: what is as urgent keeps its order.
    lanes.sort_by_key(|lane| Reverse(lane.iter().any(|task| is_urgent(&task.item))));
    lanes
}

/// The same with one task for events about one stream, and for copies of one work message.
fn merged(lane: Lane) -> Lane {
    let mut merged: Lane = Vec::with_capacity(lane.len());
    for task in lane {
        match merged.iter_mut().find(|before| may_merge(&before.item, &task.item)) {
            Some(before) => merge(before, task),
            None => merged.push(task),
        }
    }
    merged
}

fn may_merge(one: &Item, other: &Item) -> bool {
    if let (Item::Scan(one), Item::Scan(other)) = (one, other) {
        return one.is_new() && other.is_new() && one.topic() == other.topic();
    }
    let (Item::Reconcile(one), Item::Reconcile(other)) = (one, other) else { return false };
    let are_events = one.is_of_an_event() && other.is_of_an_event() && one.stream == other.stream;
    are_events || one.is_copy_of(other)
}

fn merge(before: &mut Task, task: Task) {
    before.messages.extend(task.messages);
    let (Item::Reconcile(runs), Item::Reconcile(mut ends)) = (&mut before.item, task.item) else { return };
    if runs.is_of_an_event() && rank(&ends.cause) >= rank(&runs.cause) {
        std::mem::swap(runs, &mut ends);
    }
    let events: Vec<EventText> = ends.cause.event_id.clone().into_iter().chain(ends.also.clone()).collect();
    runs.join(*ends);
    for event in events {
        let is_new = runs.cause.event_id.as_ref() != Some(&event) && !runs.also.contains(&event);
        if is_new && runs.also.len() < ALSO_MAX {
            runs.also.push(event);
        }
    }
}

/// Of two events the one with the higher rank runs: the more urgent one, then the newer.
fn rank(cause: &Cause) -> (bool, Option<jiff::Timestamp>) {
    (is_urgent_call(&cause.call), cause.at)
}

fn is_urgent(item: &Item) -> bool {
    matches!(item, Item::Reconcile(work) if work.is_of_an_event() && is_urgent_call(&work.cause.call))
}

fn is_urgent_call(call: &EventText) -> bool {
    [CREATE, STOP].contains(&call.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::{SignedDuration, Timestamp};

    use super::*;
    use crate::domain::arn::{KeyArn, KeyRef, StreamArn};
    use crate::domain::cause::PARAMETER_CHANGE;
    use crate::domain::event::reason::IgnoreReason;
    use crate::domain::scan::Scan;
    use crate::domain::scan::subject::{KeyEvent, Subject};
    use crate::domain::work::{PutBack, Work};

    fn at(seconds: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    /// The work of an event about a stream, which happened at `seconds` and is named by that.
    fn event(stream: &str, call: &str, seconds: i64) -> Work {
        let stream = StreamArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{stream}")).unwrap();
        let (call, event_id) = (EventText::new(call), Some(EventText::new(&seconds.to_string())));
        Work::new(stream, Cause { call, event_id, actor: None, at: Some(at(seconds)), creator: None }, at(100))
    }

    /// A message of each of these works, named a, b, c, ….
    fn messages(works: &[Work]) -> Vec<Message> {
        let ids = ('a'..='z').map(String::from);
        let message =
            |(id, work): (String, &Work)| Message { id, items: vec![Item::Reconcile(Box::new(work.clone()))] };
        ids.zip(works).map(message).collect()
    }

    /// The lanes in words: what runs, for which messages, and which events end with it.
    fn words(works: &[Work]) -> Vec<Vec<String>> {
        let task = |task: &Task| {
            let Item::Reconcile(work) = &task.item else { panic!() };
            let also: Vec<&str> = work.also.iter().map(EventText::as_str).collect();
            let owed = if work.proof_owed { "!" } else { "" };
            format!(
                "{} {}{owed} for {} also {}",
                work.stream.name,
                work.cause.call,
                task.messages.concat(),
                also.join(" ")
            )
        };
        lanes(messages(works)).iter().map(|lane| lane.iter().map(task).collect()).collect()
    }

    #[test]
    fn one_run_answers_all_events_about_a_stream() {
        let tags = |seconds| event("orders", "AddTagsToStream", seconds);
        assert_eq!(words(&[tags(1), tags(3), tags(2)]), [["orders AddTagsToStream for abc also 1 2"]]);
        // What is urgent runs, however old it is.
        let stop = event("orders", STOP, 0);
        assert_eq!(words(&[tags(1), stop, tags(3)]), [[format!("orders {STOP} for abc also 1 3")]]);
        // A proof that one of them owes is owed.
        let owing = Work { proof_owed: true, ..tags(1) };
        assert_eq!(words(&[owing, tags(3)]), [["orders AddTagsToStream! for ab also 1"]]);
        // The same event twice.
        assert_eq!(words(&[tags(1), tags(1)]), [["orders AddTagsToStream for ab also "]]);
    }

    #[test]
    fn no_more_events_are_named_than_a_batch_has_messages() {
        let items = (0..32).map(|n| Item::Reconcile(Box::new(event("orders", "AddTagsToStream", n)))).collect();
        let lanes = lanes(vec![Message { id: "a".to_owned(), items }]);
        let [lane] = lanes.as_slice() else { panic!("{lanes:?}") };
        let [Task { item: Item::Reconcile(work), .. }] = lane.as_slice() else { panic!("{lane:?}") };
        assert_eq!(work.also.len(), ALSO_MAX);
    }

    #[test]
    fn what_is_urgent_comes_first() {
        let works = [
            event("a", "AddTagsToStream", 1),
            event("b", CREATE, 2),
            event("c", STOP, 3),
            event("d", "TagResource", 4),
        ];
        let first: Vec<String> =
            words(&works).concat().iter().filter_map(|words| words.split(' ').next().map(str::to_owned)).collect();
        assert_eq!(first, ["b", "c", "a", "d"]);
    }

    #[test]
    fn a_work_message_ends_with_its_copies_alone() {
        let later = |attempt| Work { attempt, created: Some(at(-9)), ..event("orders", CREATE, 1) };
        let owing = Work { proof_owed: true, ..later(1) };
        assert_eq!(words(&[later(1), owing]), [["orders CreateStream! for ab also "]]);
        let other = Work { first_seen: at(99), ..later(1) };
        let scan = Work { created: Some(at(-9)), ..event("orders", "sweep", 1) };
        let works = [later(1), later(2), other, event("orders", CREATE, 1), scan];
        let runs: Vec<usize> = words(&works).iter().map(Vec::len).collect();
        assert_eq!(runs, [5], "each runs itself, one after the other");
        // Whoever gave a command has an answer of its own.
        let mut command = event("orders", "reconcile", 2);
        command.cause.event_id = None;
        assert_eq!(words(&[command, event("orders", "AddTagsToStream", 1)]).concat().len(), 2);
    }

    #[test]
    fn copies_of_a_work_message_owe_what_each_of_them_owes() {
        let first = Work { attempt: 3, created: Some(at(-9)), ..event("orders", "TagResource", 1) };
        let key = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/k").unwrap();
        let started = Work {
            proof_owed: true,
            started: true,
            started_at: Some(at(7)),
            rekeyed: true,
            previous_key: Some(key),
            put_back: PutBack::Due,
            right_since: Some(at(8)),
            alarmed: Some(EventText::new("unproven")),
            ..first.clone()
        };
        let put_back = Work { put_back: PutBack::Done, ..started.clone() };
        let owed = |works: &[Work]| {
            let [lane] = &lanes(messages(works))[..] else { panic!() };
            let [Task { item: Item::Reconcile(work), messages }] = &lane[..] else { panic!("{lane:?}") };
            (*work.clone(), messages.concat())
        };
        // Whichever comes first.
        assert_eq!(owed(&[first.clone(), started.clone()]), (started.clone(), "ab".to_owned()));
        assert_eq!(owed(&[started.clone(), first.clone()]), (started.clone(), "ab".to_owned()));
        assert_eq!(owed(&[put_back.clone(), started]).0, put_back, "not put back twice");
        assert_eq!(owed(&[first.clone(), put_back.clone()]).0, put_back);
        // What one of them has to do now does not wait for the other.
        let later = |seconds: Option<i64>| Work { not_before: seconds.map(at), ..first.clone() };
        for (one, other, expected) in
            [(Some(500), Some(200), Some(200)), (Some(500), None, None), (None, Some(5), None)]
        {
            assert_eq!(owed(&[later(one), later(other)]).0.not_before, expected.map(at));
        }
    }

    #[test]
    fn requests_for_one_scan_are_one() {
        let request = |id: &str, call: &str, subject: Subject| {
            let (call, event_id) = (EventText::new(call), Some(EventText::new(id)));
            Scan::new(subject, Cause { call, event_id, actor: None, at: None, creator: None }, at(1))
        };
        let lost = |key: &str| {
            let key = KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{key}")).unwrap();
            Subject::Key { key, event: KeyEvent::Lost }
        };
        let alias = || Subject::Alias { alias: KeyRef::parse("alias/app").unwrap() };
        let new_policy = request("p", PARAMETER_CHANGE, Subject::Fleet);
        let waiting = request("w", "DisableKey", lost("k")).in_window(at(2), Duration::from_secs(60));
        let scans = [
            request("1", "DisableKey", lost("k")),
            request("2", "ScheduleKeyDeletion", lost("k")),
            request("3", "DisableKey", lost("j")),
            request("4", "sweep", Subject::Fleet),
            new_policy,
            // A new alias concerns fewer streams than one that is gone: it must not stand for it.
            request("6", "CreateAlias", alias()),
            request("7", "DeleteAlias", alias()),
            request("8", "UpdateAlias", alias()),
            // Each of these waits, or goes on, by itself.
            waiting.clone(),
            waiting,
        ];
        let ids = ('a'..='z').map(String::from);
        let batch = ids.zip(scans).map(|(id, scan)| Message { id, items: vec![Item::Scan(Box::new(scan))] }).collect();
        let mut messages: Vec<String> = lanes(batch).concat().iter().map(|task| task.messages.concat()).collect();
        messages.sort();
        assert_eq!(messages, ["ab", "c", "d", "e", "f", "gh", "i", "j"]);
    }

    #[test]
    fn no_message_is_lost() {
        let mut batch = messages(&[event("orders", "AddTagsToStream", 1), event("orders", "AddTagsToStream", 2)]);
        batch.push(Message { id: "none".to_owned(), items: Vec::new() });
        batch.push(Message { id: "odd".to_owned(), items: vec![Item::Ignored(IgnoreReason::Empty)] });
        let ids: Vec<String> = lanes(batch).concat().into_iter().flat_map(|task| task.messages).collect();
        assert_eq!(ids, ["a", "b", "odd"]);
    }
}
