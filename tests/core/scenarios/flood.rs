//! Floods: anybody in the account can cause events. However many they are, a new stream is encrypted soon, no event is lost, and calls and
//! lines of the log are bounded.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use streamseal::domain::evidence::Evidence;
use streamseal::domain::note::Outcome;
use streamseal::domain::verdict::Compliance;

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Weather};
use crate::sim::fleet::SEEN_LAG_MS;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{BEGIN, Op, arn, key_arn};

/// How long an event takes to arrive in these tests, in seconds.
const DELAY: f64 = 5.0;

fn scene() -> Scene {
    scene_of(7)
}

fn scene_of(seed: u64) -> Scene {
    let weather = Weather { event_delay_ms: 5_000..=5_000, trail_lag_ms: SEEN_LAG_MS, ..Weather::calm() };
    Scene::with(ALL_WITH_APP, seed, weather, &[])
}

/// Somebody creates streams, `every` so many seconds, `count` of them.
fn new_streams(s: &mut Scene, every: f64, count: u32) -> Vec<(String, f64)> {
    let stream = |number: u32| (format!("new-{number}"), every * f64::from(number + 1));
    let streams: Vec<(String, f64)> = (0..count).map(stream).collect();
    for (name, at) in streams.clone() {
        s.later(secs(at), move |state, now| {
            state.create(&name, now, secs(2.0), Tool::Cli);
            state.emit("CreateStream", &name, Tool::Cli, now);
        });
    }
    streams
}

/// How long after the event's arrival the first call about each of these streams was made, at most, in seconds.
fn worst_delay(s: &Scene, streams: &[(String, f64)]) -> f64 {
    let begin: Timestamp = BEGIN.parse().unwrap();
    let journal = s.journal();
    let delay = |(name, at): &(String, f64)| {
        let first =
            journal.iter().find(|call| call.target == *name).unwrap_or_else(|| panic!("{name} was not observed"));
        first.at.duration_since(begin).as_secs_f64() - at - DELAY
    };
    streams.iter().map(delay).fold(0.0, f64::max)
}

/// Every event that came in ended in a document of its own, or of one that names it.
fn assert_all_are_answered(s: &Scene) {
    s.assert_queues_empty();
    let (accepted, answered) = s.set(|state, _| {
        let accepted: BTreeSet<String> =
            state.queue.accepted.iter().filter_map(|event| event.event_id.clone()).collect();
        let named = |e: &Evidence| e.cause.event_id.iter().chain(&e.also).map(ToString::to_string).collect::<Vec<_>>();
        (accepted, state.evidence.iter().flat_map(named).collect::<BTreeSet<String>>())
    });
    let lost: Vec<&String> = accepted.difference(&answered).collect();
    assert!(lost.is_empty(), "{} events of {} were never answered: {lost:?}", lost.len(), accepted.len());
}

/// Lines of the log: documents, summaries and notes.
fn lines(s: &Scene) -> usize {
    s.set(|state, _| state.evidence.len() + state.summaries.len() + state.notes.len())
}

#[tokio::test(start_paused = true)]
async fn ten_tag_events_a_second_delay_no_new_stream() {
    let mut s = scene();
    s.existing("tagged", Some("app"));
    for number in 0..3_000 {
        let value = number.to_string();
        s.later(secs(0.1 * f64::from(number)), move |state, now| state.tag_by("tagged", "n", &value, Tool::Cli, now));
    }
    let streams = new_streams(&mut s, 55.0, 5);
    s.drain().await;
    let worst = worst_delay(&s, &streams);
    assert!(worst <= 15.0, "{worst} s");
    streams.iter().for_each(|(name, _)| assert_eq!(s.key(name), Some(key_arn("app")), "{name}"));
    assert_all_are_answered(&s);
    let calls = s.journal().len();
    println!("3,000 tag events: {calls} calls, {} lines, a new stream waits {worst:.1} s at most", lines(&s));
    assert!(calls <= 6_000, "{calls} calls");
}

#[tokio::test(start_paused = true)]
async fn a_first_run_waits_for_a_busy_stream_unless_another_did_of_late() {
    let mut s = scene();
    // Two minutes after the first one the instance has no patience, and ten minutes later it has.
    for (name, at) in [("first", 0.0), ("second", 120.0), ("third", 700.0)] {
        s.existing(name, Some("app"));
        s.later(secs(at), |state, now| {
            state.update(name, now, secs(15.0)).unwrap();
            state.emit("AddTagsToStream", name, Tool::Cli, now);
        });
    }
    s.drain().await;
    let runs = |name: &str| s.all(name).iter().map(|e| e.attempt).collect::<Vec<_>>();
    assert_eq!((runs("first"), runs("second"), runs("third")), (vec![0], vec![0, 1], vec![0]));
    ["first", "second", "third"].iter().for_each(|name| assert_eq!(s.end(name).0, Compliance::Compliant, "{name}"));
}

#[tokio::test(start_paused = true)]
async fn three_hundred_streams_that_stay_updating_delay_no_new_stream() {
    // Of 300 the first observations alone take a minute of the rate, and those of a new stream take turns with them. Without a limit for
    // deferred runs these seeds have one wait for 117 and 97 s.
    for (call, seed) in [("AddTagsToStream", 9), ("StartStreamEncryption", 7)] {
        let mut s = scene_of(seed);
        for number in 0..300 {
            let name = format!("stuck-{number:03}");
            s.existing(&name, None);
            s.set(|state, now| {
                state.update(&name, now, secs(6_000.0)).unwrap();
                state.emit(call, &name, Tool::Cli, now);
            });
        }
        let streams = new_streams(&mut s, 30.0, 20);
        s.drain().await;
        let worst = worst_delay(&s, &streams);
        let calls = s.journal().len();
        println!(
            "300 streams in UPDATING, {call}: {calls} calls, {} lines, a new stream waits {worst:.1} s",
            lines(&s)
        );
        assert!(worst <= 60.0, "{call}: {worst} s");
        streams.iter().for_each(|(name, _)| assert_eq!(s.key(name), Some(key_arn("app")), "{name}"));
        assert_all_are_answered(&s);
    }
}

#[tokio::test(start_paused = true)]
async fn key_events_delay_no_alias_that_a_rule_names() {
    let mut s = scene();
    for number in 0..200 {
        s.existing(&format!("app-{number:03}"), Some("app"));
    }
    // Twenty keys that no stream is on, and ten events of each; then an alias moves.
    s.set(|state, now| {
        for number in 0..20 {
            let key = format!("key-{number}");
            state.keys.add(&key);
            (0..10).for_each(|_| state.emit_key("EnableKey", None, &key, now));
        }
    });
    let moved_at = 400.0;
    s.later(secs(moved_at), |state, now| {
        state.keys.alias("alias/app", "other");
        state.emit_key("UpdateAlias", Some("alias/app"), "other", now);
    });
    s.drain().await;
    let begin: Timestamp = BEGIN.parse().unwrap();
    let summaries = s.set(|state, _| state.summaries.clone());
    let began = |kind: &str| {
        let of_kind = summaries.iter().filter(|summary| summary.scan.subject.kind() == kind);
        of_kind.map(|summary| summary.scan.started_at.unwrap().duration_since(begin).as_secs_f64()).collect::<Vec<_>>()
    };
    let alias = began("alias");
    assert_eq!((alias.len(), began("key").len()), (1, 20), "ten requests about one key are one scan");
    let waited = alias[0] - moved_at - DELAY;
    println!("200 events of 20 keys: the alias's scan begins after {waited:.1} s");
    assert!(waited <= 120.0, "{waited} s");
    let last_key = began("key").into_iter().fold(0.0, f64::max);
    assert!(last_key > alias[0], "the scans of keys go on meanwhile: {last_key} {}", alias[0]);
}

#[tokio::test(start_paused = true)]
async fn a_change_at_any_time_of_a_window_is_scanned_after_it() {
    // A first request opens the window; the alias moves at each second of it and of the next one.
    for second in 0..=130 {
        let mut s = scene();
        s.existing("orders", Some("app"));
        s.set(|state, now| state.emit_key("UpdateAlias", Some("alias/app"), "app", now));
        s.later(secs(f64::from(second)), |state, now| {
            state.keys.alias("alias/app", "other");
            state.emit_key("UpdateAlias", Some("alias/app"), "other", now);
        });
        s.drain().await;
        assert_eq!(s.key("orders"), Some(key_arn("other")), "{second}: {}", s.story("orders"));
        let scans = s.set(|state, _| state.summaries.len());
        assert!((1..=2).contains(&scans), "{second}: {scans} scans");
    }
}

#[tokio::test(start_paused = true)]
async fn each_lost_answer_of_sqs_makes_one_more_chain_at_most() {
    let runs = async |lost: usize| {
        let mut s = scene();
        s.existing("stuck", None);
        s.set(|state, now| {
            state.update("stuck", now, secs(5.0 * 3600.0)).unwrap();
            state.emit("AddTagsToStream", "stuck", Tool::Cli, now);
        });
        s.faults(Op::Send, Fault::LostAfter, lost);
        s.drain().await;
        s.assert_queues_empty();
        assert_eq!((s.key("stuck"), s.end("stuck").0), (Some(key_arn("app")), Compliance::Compliant), "{lost}");
        assert_eq!(s.starts("stuck"), ["app"], "{lost}");
        s.all("stuck").len()
    };
    let alone = runs(0).await;
    for lost in [1, 3, 8] {
        let with = runs(lost).await;
        println!("{alone} runs, {with} with {lost} lost answers");
        // The copies of a message that come together are one; those that do not go on by themselves.
        assert!(with > alone && with <= (lost + 1) * alone + lost, "{alone} runs, {with} with {lost} lost answers");
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_floods_with_everything_for_ten_minutes_is_bounded() {
    let weather =
        Weather { refused_starts: 2_000, event_delay_ms: 5_000..=5_000, trail_lag_ms: SEEN_LAG_MS, ..Weather::calm() };
    let mut s = Scene::with(ALL_WITH_APP, 7, weather, &[]);
    s.existing("tagged", Some("app"));
    s.set(|state, _| (0..5).for_each(|number| state.keys.add(&format!("mine-{number}"))));
    let seconds = 600;
    for second in 0..seconds {
        for part in 0..5 {
            let value = format!("{second}.{part}");
            let after = f64::from(second) + 0.2 * f64::from(part);
            s.later(secs(after), move |state, now| {
                state.tag_by("tagged", "n", &value, Tool::Cli, now);
                let key = format!("mine-{part}");
                state.emit_key("EnableKey", None, &key, now);
                state.enqueue(refused_call(second).to_string(), now, secs(DELAY), 0);
                state.enqueue(finding(&value, now).to_string(), now, secs(DELAY), 0);
            });
        }
    }
    let streams = new_streams(&mut s, 60.0, 9);
    s.drain().await;
    let worst = worst_delay(&s, &streams);
    for (name, _) in &streams {
        s.assert_sealed(name, "app");
    }
    assert_all_are_answered(&s);
    let (calls, lines) = (s.journal().len(), lines(&s));
    let floods = 4 * 5 * seconds;
    println!("{floods} messages in ten minutes: {calls} calls, {lines} lines, a new stream waits {worst:.1} s at most");
    assert!(worst <= 15.0, "{worst} s");
    // Two calls a message, and one line.
    assert!(calls <= 24_000, "{calls} calls");
    assert!(lines <= 12_000, "{lines} lines");
    let failed = s.set(|state, _| state.notes.iter().filter(|note| note.outcome == Outcome::Failed).count());
    assert_eq!(failed, 0);
    assert_eq!(s.count(Op::Start), streams.len(), "and nothing else is changed");
}

/// A StartStreamEncryption that was refused, as CloudTrail reports it.
fn refused_call(second: u32) -> serde_json::Value {
    let now: Timestamp = BEGIN.parse().unwrap();
    let mut event =
        crate::sim::actors::event("StartStreamEncryption", "tagged", Tool::Cli, &format!("refused-{second}"), now);
    event["detail"]["errorCode"] = json!("AccessDenied");
    event
}

/// A finding of Security Hub about the stream that is tagged.
fn finding(id: &str, now: Timestamp) -> serde_json::Value {
    let at = now - SignedDuration::from_secs(1);
    json!({
        "version": "0", "id": format!("finding-{id}"), "detail-type": "Security Hub Findings - Imported", "source": "aws.securityhub",
        "account": "111122223333", "region": "eu-west-1", "time": at,
        "detail": {"findings": [{
            "ProductFields": {"ControlId": "Kinesis.1"}, "Compliance": {"Status": "FAILED", "SecurityControlId": "Kinesis.1"},
            "AwsAccountId": "111122223333", "Region": "eu-west-1", "Workflow": {"Status": "NEW"}, "RecordState": "ACTIVE",
            "Resources": [{"Type": "AwsKinesisStream", "Id": arn("tagged").to_string()}],
        }]},
    })
}
