//! A rule with a guard, through the whole function: one stream goes first, and what it breaks stops the others.

use jiff::Timestamp;
use streamseal::domain::evidence::Evidence;
use streamseal::domain::plan::guard::watch::Standing;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};
use streamseal::ports::Clock;

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script, Weather};
use crate::sim::fleet::SEEN_LAG_MS;
use crate::sim::scene::{Scene, hours, secs};
use crate::sim::{BEGIN, Op, arn, key_arn};

/// Every stream with the key `app`, each change watched for 20 minutes.
pub(super) const GUARDED: &str = "
version: 1
defaults: { existing: enforce, proof: { new: probe, existing: describe }, guard: { watch: 20m } }
rules:
  - { name: all, key: alias/app }
";

fn weather() -> Weather {
    Weather { trail_lag_ms: SEEN_LAG_MS, event_delay_ms: 5_000..=5_000, ..Weather::calm() }
}

/// Streams on the key `other`, each with a producer that may use these keys.
pub(super) fn streams(s: &Scene, names: &[&str], may_use: impl Fn(&str) -> &'static [&'static str]) {
    for name in names {
        s.existing(name, Some(&key_arn("other")));
        s.set(|state, _| state.producer(name, 60, may_use(name)));
    }
}

pub(super) const ALL: &[&str] = &["other", "app"];
pub(super) const OLD: &[&str] = &["other"];

pub(super) fn scene() -> Scene {
    scene_with(GUARDED)
}

pub(super) fn scene_with(policy: &str) -> Scene {
    Scene::with(policy, 7, weather(), &[])
}

/// In which minute each Start that took effect was sent, by stream.
pub(super) fn starts(s: &Scene) -> Vec<(String, i64)> {
    let begin: Timestamp = BEGIN.parse().unwrap();
    let journal = s.journal();
    let starts = journal.iter().filter(|call| call.op == Op::Start && call.took_effect);
    starts.map(|call| (call.target.clone(), call.at.duration_since(begin).as_mins())).collect()
}

/// How the watch of a stream ended.
pub(super) fn standing(s: &Scene, stream: &str) -> Option<Standing> {
    s.all(stream).iter().rev().find_map(|evidence| evidence.guard.as_ref()?.standing)
}

pub(super) fn is_withheld(evidence: &Evidence, why: Withheld) -> bool {
    evidence.verdict.withheld == Some(why)
}

/// How many are changed by each time that a watch can be over.
pub(super) fn rounds(s: &Scene) -> Vec<usize> {
    let mut rounds: Vec<(i64, usize)> = Vec::new();
    for (_, minute) in starts(s) {
        match rounds.last_mut() {
            Some((began, count)) if minute - *began < 10 => *count += 1,
            _ => rounds.push((minute, 1)),
        }
    }
    rounds.into_iter().map(|(_, count)| count).collect()
}

#[tokio::test(start_paused = true)]
async fn one_goes_first_and_where_it_fares_well_the_others_follow() {
    let mut s = scene();
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    streams(&s, &names, |_| ALL);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(rounds(&s), [1, 2, 4], "{:?}", starts(&s));
    for name in names {
        assert_eq!(
            (s.key(name), standing(&s, name)),
            (Some(key_arn("app")), Some(Standing::Passed)),
            "{}",
            s.story(name)
        );
        assert_eq!(s.end(name).0, Compliance::Compliant, "{}", s.story(name));
        assert_eq!(s.alarms(name), [], "{}", s.story(name));
    }
    s.assert_queues_empty();
    assert_eq!(s.count(Op::Start), names.len());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_stops_the_others_until_a_person_goes_on() {
    let mut s = scene();
    let names = ["a", "b", "c", "d"];
    streams(&s, &names, |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let first = starts(&s);
    let [(broken, _)] = first.as_slice() else { panic!("{first:?}") };
    assert_eq!((standing(&s, broken), s.alarms(broken)), (Some(Standing::Broken), vec![Reason::Broken]));
    let evidence = s.last(broken);
    let guard = evidence.guard.as_ref().unwrap();
    let mut others: Vec<&str> = guard.halted.iter().map(|name| name.as_str()).collect();
    others.sort_unstable();
    assert_eq!(others, names.into_iter().filter(|name| name != broken).collect::<Vec<_>>());
    let users = guard.users.as_ref().unwrap();
    assert_eq!(users.producers.before.failed, 0);
    assert!((59..=60).contains(&users.producers.before.minutes), "{users:?}");
    assert!(users.producers.after.failed > 100, "{users:?}");
    // It was found with two observations, soon.
    let minutes = evidence.finished_at.duration_since(guard.watch.as_ref().unwrap().from).as_mins();
    assert!(minutes <= 12, "{minutes}");
    // It stays as it is: nothing is stopped, and nothing restored.
    assert_eq!(s.key(broken), Some(key_arn("app")));
    // The next sweep changes nothing, and says why.
    s.sim.sleep(secs(300.0)).await;
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(starts(&s), first);
    let halted = |name: &&str| is_withheld(&s.last(name), Withheld::Halted) && s.alarms(name) == [Reason::Halted];
    assert_eq!(names.iter().filter(|name| halted(name)).count(), 1, "{}", s.story("b"));
    // A day later it is tried once more.
    s.sim.sleep(hours(25)).await;
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(s.count(Op::Start), 2, "{:?}", starts(&s));
}

#[tokio::test(start_paused = true)]
async fn an_event_changes_no_stream_that_has_a_guard_and_asks_for_a_sweep() {
    for call in ["AddTagsToStream", "StopStreamEncryption"] {
        let mut s = scene();
        streams(&s, &["a", "b", "c"], |_| ALL);
        s.set(|state, now| {
            for name in ["a", "b", "c"] {
                match call {
                    "StopStreamEncryption" => state.stop_by(name, Tool::Cli, now).unwrap(),
                    _ => state.tag_by(name, "team", "x", Tool::Cli, now),
                }
            }
        });
        s.drain().await;
        let waits =
            |name: &&str| s.all(name).iter().any(|e| is_withheld(e, Withheld::WaitsItsTurn) && !e.verdict.alarm);
        assert_eq!(["a", "b", "c"].iter().filter(|name| waits(name)).count(), 3, "{call}: {}", s.story("a"));
        assert_eq!(s.set(|state, _| state.summaries.len()), 1, "{call}: one sweep for all three");
        assert_eq!(rounds(&s), [1, 2], "{call}: {:?}", starts(&s));
        for name in ["a", "b", "c"] {
            assert_eq!(s.key(name), Some(key_arn("app")), "{call}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_is_not_guarded() {
    let mut s = scene();
    s.created("orders", secs(2.0));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!((s.count(Op::Metrics), s.count(Op::Consumers), s.last("orders").guard), (0, 0, None));
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_cannot_see_changes_nothing() {
    for op in [Op::Metrics, Op::Consumers] {
        let mut s = scene();
        streams(&s, &["a", "b"], |_| ALL);
        let fault = Fault::Denied("because no identity-based policy allows the action");
        s.set(|state, _| state.always.push(Script { op, target: None, fault }));
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        assert_eq!(s.count(Op::Start), 0, "{op:?}");
        let blind = |name: &&str| is_withheld(&s.last(name), Withheld::GuardBlind) && s.last(name).verdict.alarm;
        assert_eq!(["a", "b"].iter().filter(|name| blind(name)).count(), 1, "{op:?}: the first alone is tried");
    }
    // One that may pass is tried again.
    let mut s = scene();
    streams(&s, &["a"], |_| ALL);
    s.fault(Op::Metrics, Fault::LostAfter);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!((s.key("a"), standing(&s, "a")), (Some(key_arn("app")), Some(Standing::Passed)), "{}", s.story("a"));
}

/// What hinders every stream of a list for a while lets none of them go when it is over but the first of the next sweep's list.
#[tokio::test(start_paused = true)]
async fn what_hinders_a_whole_list_lets_it_not_go_at_once() {
    let mut s = scene();
    let names = ["a", "b", "c", "d", "e"];
    streams(&s, &names, |_| ALL);
    let fault = Fault::Denied("because no identity-based policy allows the action");
    s.set(|state, now| {
        state.always.push(Script { op: Op::Trail, target: None, fault });
        state.sweep(now);
    });
    s.later(secs(300.0), |state, _| state.always.clear());
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0, "{:?}", starts(&s));
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(rounds(&s), [1, 2, 2], "{:?}", starts(&s));
}

/// What hinders one stream alone hinders no other.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_history_is_too_long_lets_its_list_go_on() {
    let mut s = scene();
    let names = ["a", "b", "c"];
    streams(&s, &names, |_| ALL);
    for name in ["a", "b"] {
        s.set(|state, _| state.crowded.insert(name.to_owned()));
    }
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(starts(&s).iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["c"]);
    for name in ["a", "b"] {
        let last = s.last(name);
        assert!(is_withheld(&last, Withheld::GuardBlind) && last.verdict.alarm, "{}", s.story(name));
    }
}

#[tokio::test(start_paused = true)]
async fn another_account_is_not_locked_out() {
    let to_aws = GUARDED.replace("key: alias/app", "key: alias/aws/kinesis");
    let policy = |principal: &str| {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Principal": {{"AWS": "{principal}"}},
            "Action": ["kinesis:GetRecords", "kinesis:PutRecord"], "Resource": "*"}}]}}"#
        )
    };
    for (principal, withheld) in
        [("arn:aws:iam::444455556666:root", true), ("*", true), ("arn:aws:iam::111122223333:root", false)]
    {
        let mut s = Scene::with(&to_aws, 7, weather(), &[]);
        s.existing("a", None);
        s.set(|state, _| {
            state.producer("a", 60, &["other"]);
            state.resource_policies.insert(arn("a").to_string(), policy(principal));
        });
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        assert_eq!(s.count(Op::Start) == 0, withheld, "{principal}: {}", s.story("a"));
        assert_eq!(is_withheld(&s.last("a"), Withheld::WouldLockOut), withheld, "{principal}: {}", s.story("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn streams_without_traffic_come_last_and_ten_at_a_time() {
    let mut s = scene();
    let busy = ["m", "n", "o"];
    streams(&s, &busy, |_| ALL);
    let idle: Vec<String> = (0..25).map(|number| format!("idle-{number:02}")).collect();
    idle.iter().for_each(|name| s.existing(name, Some(&key_arn("other"))));
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    // The first one is one that is called. Each half of its list has its idle ones behind the others, and takes ten of them at a time.
    let (starts, rounds) = (starts(&s), rounds(&s));
    assert!(busy.contains(&starts[0].0.as_str()) && rounds[0] == 1, "{starts:?}");
    assert!(rounds.len() >= 3 && rounds.iter().all(|round| *round <= 20), "{starts:?}");
    let place = |name: &str| starts.iter().position(|(it, _)| it == name).unwrap();
    assert!(busy.iter().all(|name| place(name) < starts.len() - 6), "{starts:?}");
    for name in &idle {
        assert_eq!(
            (s.key(name), standing(&s, name)),
            (Some(key_arn("app")), Some(Standing::Quiet)),
            "{}",
            s.story(name)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_twice_make_nothing_faster() {
    for seed in 0..6 {
        let weather = Weather { duplicates: 100, kills: 100, ..weather() };
        let mut s = Scene::with(GUARDED, seed, weather, &[]);
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        streams(&s, &names, |_| ALL);
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        // What a list lost is found by the next sweeps.
        for _ in 0..5 {
            s.set(|state, now| state.sweep(now));
            s.drain().await;
        }
        let minutes: Vec<i64> = starts(&s).iter().map(|(_, minute)| *minute).collect();
        for (place, minute) in minutes.iter().enumerate() {
            let over = minutes.iter().filter(|before| minute - **before >= 20).count();
            // Two sweeps at the same time may each let one go first: CloudTrail shows a Start a minute later.
            assert!(place < 2 * over + 2, "seed {seed}: {minutes:?}");
        }
        for name in names {
            assert_eq!(s.key(name), Some(key_arn("app")), "seed {seed}: {}", s.story(name));
            assert!(standing(&s, name).is_some_and(|it| it != Standing::Watching), "seed {seed}: {}", s.story(name));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn metrics_that_cannot_be_read_are_no_sign_of_anything() {
    let mut s = scene();
    streams(&s, &["a", "b"], |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.later(secs(200.0), |state, _| {
        state.always.push(Script {
            op: Op::Metrics,
            target: None,
            fault: Fault::Denied("because of a service control policy"),
        });
    });
    s.drain().await;
    let [(first, _)] = starts(&s).try_into().unwrap();
    assert_eq!((standing(&s, &first), s.alarms(&first)), (Some(Standing::Inconclusive), vec![Reason::Inconclusive]));
    assert_eq!(s.last(&first).guard.unwrap().halted.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_names_a_stream_has_it_changed_and_watched() {
    let mut s = scene();
    streams(&s, &["a", "b"], |_| ALL);
    s.set(|state, now| state.command("a", now));
    s.drain().await;
    assert_eq!(starts(&s).len(), 1);
    assert_eq!(standing(&s, "a"), Some(Standing::Passed), "{}", s.story("a"));
}

/// The message of its watch is lost, in the first run or in one that was deferred: whichever comes again begins the watch.
#[tokio::test(start_paused = true)]
async fn a_change_that_a_person_asked_for_is_watched_though_sqs_refuses_the_message() {
    for unmeasured in [0, 1] {
        let mut s = scene();
        streams(&s, &["a"], |_| ALL);
        s.faults(Op::Metrics, Fault::ServerError, unmeasured);
        // Nothing to watch is sent before; the deferred run comes after 12 s at the soonest.
        let lost_from = if unmeasured == 0 { 0.0 } else { 8.0 };
        s.later(secs(lost_from), |state, _| {
            state.script.push(Script { op: Op::Send, target: Some("a".to_owned()), fault: Fault::LostBefore });
        });
        s.set(|state, now| state.command("a", now));
        s.drain().await;
        assert_eq!(starts(&s).len(), 1, "{}", s.story("a"));
        assert_eq!(standing(&s, "a"), Some(Standing::Passed), "{unmeasured}: {}", s.story("a"));
    }
}

/// With no guard in the policy there is not one call more.
#[tokio::test(start_paused = true)]
async fn without_a_guard_nothing_of_it_is_asked() {
    let mut s = Scene::with(&GUARDED.replace(", guard: { watch: 20m }", ""), 7, weather(), &[]);
    streams(&s, &["a", "b"], |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let asked = |call: &crate::sim::Entry| matches!(call.op, Op::Metrics | Op::Consumers | Op::ResourcePolicy);
    assert_eq!(s.journal().iter().filter(|call| asked(call)).count(), 0);
    assert_eq!(s.count(Op::Start), 2);
}

/// A list has 501 streams at most: the others are of the next sweep, a day later. `STREAMSEAL_STREAMS=1000` tries so many.
#[tokio::test(start_paused = true)]
async fn hundreds_of_streams_take_hours() {
    let count: usize = std::env::var("STREAMSEAL_STREAMS").map_or(200, |text| text.parse().unwrap());
    let mut s = scene();
    let names: Vec<String> = (0..count).map(|number| format!("s-{number:04}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    streams(&s, &all, |_| ALL);
    let mut sweeps = Vec::new();
    for _ in 0..count.div_ceil(501) {
        let (began, before) = (s.elapsed() / 60.0, starts(&s).len());
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        let (_, last) = starts(&s).pop().unwrap();
        let minutes = f64::from(i32::try_from(last).unwrap()) - began;
        sweeps.push((starts(&s).len() - before, minutes.round()));
        s.sim.sleep(hours(24)).await;
    }
    println!(
        "{count} streams, each change watched for 20 minutes: streams changed and minutes until the last, by sweep: {sweeps:?}; \
         {} GetMetricData, {} LookupEvents, {} calls in all; rounds of {:?}",
        s.count(Op::Metrics),
        s.count(Op::Trail),
        s.journal().len(),
        rounds(&s)
    );
    assert_eq!(starts(&s).len(), count);
    assert!(sweeps.iter().all(|(streams, minutes)| *streams <= 501 && *minutes < 8.0 * 60.0), "{sweeps:?}");
}
