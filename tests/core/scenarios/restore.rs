//! A stream that its change broke goes back to its previous key, where its rule asks for that and CloudTrail shows who is denied.

use serde_json::json;
use streamseal::domain::plan::guard::watch::Standing;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};
use streamseal::ports::Clock;

use super::guard::{ALL, OLD, scene_with, standing, starts, streams};
use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script};
use crate::sim::scene::{Scene, hours, secs};
use crate::sim::traffic::KmsRecords;
use crate::sim::{Op, State, arn, key_arn};

/// Every stream with the key `app`; what breaks goes back.
const RESTORES: &str = "
version: 1
defaults:
  existing: enforce
  proof: { new: probe, existing: describe }
  guard: { watch: 20m, on_break: restore }
rules:
  - { name: all, key: alias/app }
";
/// What AWS calls its key for Kinesis.
const AWS: &str = "alias/aws/kinesis";

/// The stream `a`, whose producer may not use its new key, and the sweep that changes it.
fn swept(prepare: &dyn Fn(&mut State)) -> Scene {
    let s = scene_with(RESTORES);
    streams(&s, &["a"], |_| OLD);
    s.set(|state, now| {
        prepare(state);
        state.sweep(now);
    });
    s
}

/// CloudTrail shows nobody who is denied for a quarter of an hour.
fn shown_late(state: &mut State) {
    state.weather.trail_lag_ms = 840_000..=840_000;
}

/// How many Starts took effect.
fn effective_starts(s: &Scene) -> usize {
    s.journal().iter().filter(|call| call.op == Op::Start && call.took_effect).count()
}

/// Every way that its watch was reported to stand, each once.
fn standings(s: &Scene, stream: &str) -> Vec<Standing> {
    let mut all: Vec<_> = s.all(stream).iter().filter_map(|e| e.guard.as_ref()?.standing).collect();
    all.dedup();
    all
}

/// How often `Broken` counts the stream `a`.
fn times_broken(s: &Scene) -> usize {
    s.all("a").iter().filter(|e| e.guard.as_ref().is_some_and(|guard| guard.broken_on().is_some())).count()
}

#[tokio::test(start_paused = true)]
async fn what_broke_goes_back_and_is_left_alone() {
    let mut s = scene_with(RESTORES);
    let names = ["a", "b", "c"];
    streams(&s, &names, |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let all = starts(&s);
    let [(first, _), (second, _)] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(first, second, "one stream alone was changed, and went back");
    assert_eq!(s.starts(first), ["app", "other"]);
    assert_eq!(standings(&s, first), [Standing::Watching, Standing::Broken, Standing::Restored], "{}", s.story(first));
    assert_eq!(s.alarms(first), [Reason::Broken, Reason::Restored], "{}", s.story(first));
    let last = s.all(first).into_iter().rev().find(|e| e.verdict.reason == Reason::Restored).unwrap();
    assert_eq!(last.verdict.compliance, Compliance::NonCompliant);
    assert!(last.verdict.detail.contains("work as before"), "{}", last.verdict.detail);
    let broken = s.all(first).into_iter().find(|e| e.verdict.reason == Reason::Broken).unwrap().guard.unwrap();
    let denied: Vec<&str> = broken.denied.iter().map(|denied| denied.who.name()).collect();
    assert_eq!(denied, [format!("arn:aws:iam::111122223333:role/{first}-producer")]);
    assert_eq!(broken.halted.len(), 2);
    // Halted for a day, and held for a month; our own Start that brought it back asked for no sweep.
    assert_eq!(s.set(|state, _| state.summaries.len()), 1, "{}", s.story(first));
    for (after, expect) in [(1, Withheld::Halted), (30, Withheld::Held), (24 * 28, Withheld::Held)] {
        s.sim.sleep(hours(after)).await;
        s.set(|state, now| {
            for name in names.into_iter().filter(|name| name != first) {
                state.delete(name, now);
            }
            state.sweep(now);
        });
        s.drain().await;
        assert_eq!(s.last(first).verdict.withheld, Some(expect), "{after} h: {}", s.story(first));
    }
    assert_eq!(s.starts(first).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_encrypted_falls_back_to_the_key_that_aws_manages() {
    for (fall_back, expect) in [("aws-managed", Some(Standing::FellBack)), ("none", Some(Standing::Broken))] {
        let text = RESTORES.replace("on_break: restore", &format!("on_break: restore, fall_back: {fall_back}"));
        let mut s = scene_with(&text);
        s.existing("a", None);
        s.set(|state, now| {
            state.producer("a", 60, OLD);
            state.sweep(now);
        });
        s.drain().await;
        assert_eq!(standing(&s, "a"), expect, "{}", s.story("a"));
        let expect: &[&str] = if fall_back == "none" { &["app"] } else { &["app", AWS] };
        assert_eq!(s.starts("a"), expect);
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_alone_bring_nothing_back() {
    let unread = |state: &mut State| {
        let fault = Fault::Denied("because no identity-based policy allows the action");
        state.always.push(Script { op: Op::Trail, target: Some(key_arn("app")), fault });
    };
    type Prepare<'a> = &'a dyn Fn(&mut State);
    let rows: [(&str, Prepare<'_>); 4] = [
        ("nobody is denied", &|state| state.kms_records = KmsRecords::None),
        ("nobody used it before", &|state| state.kms_records = KmsRecords::RefusedAlone),
        ("our own role", &|state| state.kms_records = KmsRecords::OfOurRole),
        ("CloudTrail cannot be read", &unread),
    ];
    for (name, prepare) in rows {
        let mut s = swept(prepare);
        s.drain().await;
        assert_eq!(standing(&s, "a"), Some(Standing::Broken), "{name}: {}", s.story("a"));
        assert_eq!(s.starts("a"), ["app"], "{name}: {}", s.story("a"));
        assert_eq!(s.alarms("a"), [Reason::Broken], "{name}: {}", s.story("a"));
        assert_eq!(times_broken(&s), 1, "{name}: counted once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_denial_that_cloudtrail_shows_late_or_without_its_key_is_found() {
    type Prepare<'a> = &'a dyn Fn(&mut State);
    let rows: [(&str, Prepare<'_>); 2] =
        [("without its key", &|state| state.kms_records = KmsRecords::RefusedLoseKey), ("late", &shown_late)];
    for (name, prepare) in rows {
        let mut s = swept(prepare);
        s.drain().await;
        assert_eq!(standing(&s, "a"), Some(Standing::Restored), "{name}: {}", s.story("a"));
        assert_eq!(s.alarms("a"), [Reason::Broken, Reason::Restored], "{name}: {}", s.story("a"));
        assert_eq!(times_broken(&s), 1, "{name}: counted once, however long it takes");
    }
}

/// A consumer alone is denied: that stops what makes it worse.
#[tokio::test(start_paused = true)]
async fn a_consumer_that_is_denied_brings_its_stream_back_too() {
    let mut s = scene_with(RESTORES);
    s.existing("a", Some(&key_arn("other")));
    s.set(|state, now| {
        state.producer("a", 60, ALL);
        state.consumer("a", "fanout", OLD);
        state.sweep(now);
    });
    s.drain().await;
    assert_eq!((standing(&s, "a"), s.starts("a")), (Some(Standing::Restored), vec!["app".into(), "other".into()]));
}

/// A consumer that falls behind may have many causes. That one of its calls is denied besides is no more than noise.
#[tokio::test(start_paused = true)]
async fn lag_alone_brings_nothing_back() {
    let mut s = scene_with(RESTORES);
    s.existing("a", Some(&key_arn("other")));
    s.set(|state, now| {
        state.slow_reader("a", 60, "app");
        state.reader("a", 1, OLD);
        state.sweep(now);
    });
    s.drain().await;
    assert_eq!((standing(&s, "a"), s.starts("a").len()), (Some(Standing::Inconclusive), 1), "{}", s.story("a"));
    let last = s.all("a").into_iter().rfind(|e| e.verdict.reason == Reason::Inconclusive).unwrap();
    assert!(last.verdict.detail.contains("falls further behind"), "{}", last.verdict.detail);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_or_a_crash_makes_no_third_start() {
    for fault in [Fault::LostAfter, Fault::LostBefore, Fault::Panic] {
        let mut s = swept(&|_| ());
        let broken = secs(720.0);
        s.later(broken, move |state, _| state.script.push(Script { op: Op::Start, target: None, fault }));
        s.drain().await;
        assert_eq!(standing(&s, "a"), Some(Standing::Restored), "{fault:?}: {}", s.story("a"));
        assert_eq!((s.key("a"), effective_starts(&s)), (Some(key_arn("other")), 2), "{fault:?}: {}", s.story("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_after_the_break_stops_the_way_back() {
    type Act = fn(&mut State, jiff::Timestamp);
    let rows: [(&str, Act, Option<Standing>); 6] = [
        (
            "report mode",
            |state, _| drop(state.parameters.insert("/mode".into(), "report".into())),
            Some(Standing::Broken),
        ),
        ("alarm alone", |state, _| policy(state, "on_break: restore", "on_break: alarm"), Some(Standing::Broken)),
        ("another key", |state, _| policy(state, "alias/app", "alias/other"), Some(Standing::Broken)),
        ("its key is gone", |state, now| state.keys.set_state("other", "Disabled", now), Some(Standing::Broken)),
        ("the new key is disabled", |state, now| state.keys.set_state("app", "Disabled", now), Some(Standing::Broken)),
        ("made anew", |state, now| state.delete("a", now), None),
    ];
    for (name, act, expect) in rows {
        let mut s = swept(&shown_late);
        s.later(secs(800.0), act);
        s.drain().await;
        let last = s.all("a").iter().rev().find(|e| e.guard.is_some()).unwrap().guard.clone().unwrap();
        let standing = if expect.is_some() { last.standing } else { None };
        assert_eq!((standing, s.starts("a")), (expect, vec!["app".to_owned()]), "{name}: {}", s.story("a"));
    }
}

fn policy(state: &mut State, from: &str, to: &str) {
    state.parameters.insert("/policy".to_owned(), RESTORES.replace(from, to));
}

/// A message that says that a stream is broken, and names a key to go back to.
#[tokio::test(start_paused = true)]
async fn a_forged_way_back_leads_nowhere() {
    for (back, may_use) in [("mine", OLD), ("other", ALL)] {
        let mut s = scene_with(RESTORES);
        s.existing("a", Some(&key_arn("other")));
        s.set(|state, _| {
            state.keys.add("mine");
            state.producer("a", 60, may_use);
        });
        // Its users fail, or fare, as they would after a change of ours.
        s.sim.sleep(hours(2)).await;
        let sent = s.set(|state, now| {
            state.start("a", &key_arn("app"), now).unwrap();
            now
        });
        s.sim.sleep(secs(900.0)).await;
        s.set(|state, now| {
            let at = |seconds| (sent + jiff::SignedDuration::from_secs(seconds)).to_string();
            let watch = json!({
                "target": key_arn("app"), "sent": at(0), "from": at(10), "until": at(1_210), "observations": 3,
                "broken_since": at(600), "back": key_arn(back), "restore": {"since": at(800)},
            });
            let message = json!({
                "streamseal": "streamseal.work/v1", "stream_arn": arn("a").to_string(), "cause": {"call": "sweep"},
                "first_seen": at(0), "attempt": 3, "proof_owed": false, "next": {}, "watch": watch,
            });
            state.watch.forged = true;
            state.enqueue(message.to_string(), now, secs(0.0), 0);
        });
        s.drain().await;
        assert_eq!((s.starts("a"), s.key("a")), (Vec::new(), Some(key_arn("app"))), "{back}: {}", s.story("a"));
        assert_eq!(standing(&s, "a"), Some(Standing::Broken), "{back}: {}", s.story("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_sets_the_key_again_is_not_overruled() {
    let mut s = swept(&|_| ());
    // Between the way back and the last observation.
    s.later(secs(900.0), |state, now| state.start_by("a", &key_arn("app"), Tool::Cli, now).unwrap());
    s.drain().await;
    assert_eq!(s.starts("a"), ["app", "other"], "{}", s.story("a"));
    assert_eq!((standing(&s, "a"), s.key("a")), (Some(Standing::Overtaken), Some(key_arn("app"))), "{}", s.story("a"));
}

/// The right is given before CloudTrail shows who was denied: what the metrics say then counts, and not what they said.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_well_again_stays() {
    let mut s = swept(&shown_late);
    s.later(secs(740.0), |state, now| state.may_use_from("a", "app", now));
    s.drain().await;
    assert_eq!(s.starts("a"), ["app"], "{}", s.story("a"));
    let last = s.all("a").into_iter().rev().find(|e| e.verdict.reason == Reason::Broken).unwrap();
    assert!(last.verdict.detail.contains("not restored"), "{}", s.story("a"));
}

/// SQS hands a message over again whose run died after its Start; meanwhile a person has set the key again.
#[tokio::test(start_paused = true)]
async fn a_message_that_comes_again_overrules_nobody() {
    let mut s = swept(&|_| ());
    s.later(secs(720.0), |state, _| state.script.push(Script { op: Op::Start, target: None, fault: Fault::Panic }));
    s.later(secs(1_000.0), |state, now| state.start_by("a", &key_arn("app"), Tool::Cli, now).unwrap());
    s.drain().await;
    assert_eq!((s.key("a"), effective_starts(&s)), (Some(key_arn("app")), 1), "{}", s.story("a"));
}

#[tokio::test(start_paused = true)]
async fn existing_streams_that_are_reported_only_do_not_go_back() {
    let mut s = swept(&shown_late);
    s.later(secs(800.0), |state, _| policy(state, "existing: enforce", "existing: report"));
    s.drain().await;
    assert_eq!(s.starts("a"), ["app"], "{}", s.story("a"));
}
