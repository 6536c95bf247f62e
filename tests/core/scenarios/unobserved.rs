//! Streams and keys that cannot be observed for a while, or for ever: what a scan reports of them, what it goes on with, what it
//! takes in time, and how long it pauses between its tries.

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::evidence::emf;
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::scan::v1::Summary;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, key_arn};

const TWO_KEYS: &str = r#"
version: 1
defaults: { existing: enforce, proof: { existing: probe } }
rules:
  - { name: others, match: { stream: "other*" }, key: alias/other }
  - { name: all, key: alias/app }
"#;

/// What passes, as KMS or Kinesis may say it for ever.
const PASSING: [Fault; 4] = [Fault::KmsThrottled, Fault::Throttled, Fault::ServerError, Fault::LostBefore];

impl Scene {
    /// Each call of this kind, for this target where one is named, fails so from now on.
    fn always(&self, op: Op, target: Option<&str>, fault: Fault) {
        self.set(|state, _| state.always.push(Script { op, target: target.map(str::to_owned), fault }));
    }

    fn reported(&self) -> Vec<Summary> {
        self.set(|state, _| state.summaries.clone())
    }

    /// When calls of this kind for this target were made.
    fn times(&self, op: Op, target: &str) -> Vec<Timestamp> {
        self.journal().iter().filter(|call| call.op == op && call.target == target).map(|call| call.at).collect()
    }

    fn many(&self, prefix: &str, count: usize, key: Option<&str>) {
        (0..count).for_each(|number| self.existing(&format!("{prefix}-{number:04}"), key));
    }
}

fn seconds(times: &[Timestamp]) -> Vec<f64> {
    times.windows(2).map(|two| two[1].duration_since(two[0]).as_secs_f64()).collect()
}

fn took(summary: &Summary) -> f64 {
    summary.finished_at.duration_since(summary.scan.started_at.unwrap()).as_secs_f64()
}

fn refused(fault: Lasting) -> Fault {
    Fault::Refused(Class::Permanent(fault), "Refused")
}

/// What asks for a scan.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Sweep,
    Alias,
    Key,
}

#[tokio::test(start_paused = true)]
async fn a_key_that_kms_never_answers_for_stops_no_scan() {
    let lasting = [refused(Lasting::Request), refused(Lasting::Access)];
    for fault in PASSING.into_iter().chain(lasting) {
        for ask in [Ask::Sweep, Ask::Alias, Ask::Key] {
            let mut s = Scene::new(TWO_KEYS);
            // Before and after it in the list, and more of it than a scan may hand over.
            s.existing("a-plain", None);
            s.many("other", 30, Some("alias/other"));
            s.existing("z-plain", None);
            s.always(Op::Lookup, Some("alias/other"), fault);
            s.set(|state, now| match ask {
                Ask::Sweep => state.sweep(now),
                Ask::Alias => state.emit_key("UpdateAlias", Some("alias/app"), "app", now),
                Ask::Key => state.emit_key("EnableKey", None, "app", now),
            });
            s.drain().await;
            let reported = s.reported();
            assert_eq!(reported.len(), 1, "{fault:?} {ask:?}");
            assert!(
                took(&reported[0]) < 120.0 && reported[0].gave_up.is_none(),
                "{fault:?} {ask:?}: {} s",
                took(&reported[0])
            );
            s.assert_sealed("a-plain", "app");
            s.assert_sealed("z-plain", "app");
            let tally = &reported[0].scan.tally;
            // A scan for another alias does not observe them.
            let unobserved = if matches!(ask, Ask::Alias) { None } else { Some(&30) };
            assert_eq!(tally.by_compliance.get("INSUFFICIENT_DATA"), unobserved, "{fault:?} {ask:?}");
            if unobserved.is_some() {
                let first = &s.all("other-0007")[0];
                assert_eq!(first.verdict.compliance, Compliance::InsufficientData);
                let lasts = matches!(fault, Fault::Refused(..));
                let reason = if lasts { Reason::AccessDenied } else { Reason::Unfinished };
                assert_eq!((first.verdict.reason, first.verdict.alarm), (reason, lasts), "{fault:?}");
                assert_eq!(first.rule.as_ref().map(|(_, rule)| rule.as_str()), Some("others"));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_costs_its_tries_once_a_part_however_many_streams_are_on_it() {
    for fault in [Fault::LostBefore, Fault::KmsThrottled, refused(Lasting::Request)] {
        let mut s = Scene::new(TWO_KEYS);
        s.many("other", 1_000, Some("alias/other"));
        s.existing("z-plain", None);
        s.always(Op::Lookup, Some("alias/other"), fault);
        s.set(|state, now| {
            state.page_size = 100;
            state.sweep(now);
        });
        s.lambda.drain(&mut s.actors).await;
        let reported = s.reported().remove(0);
        // 1,001 observes five a second take 200 s; each part adds the tries of one key.
        assert!(took(&reported) < 320.0, "{fault:?}: {} s", took(&reported));
        let parts = u64::from(reported.scan.parts) + 1;
        let asked = reported.scan.tally.calls["kms:DescribeKey"];
        // The other key is asked for once by the part that meets it.
        assert!(asked <= 4 * parts + 1, "{fault:?}: {asked} times in {parts} parts");
        s.assert_sealed("z-plain", "app");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_observed_is_reported_after_its_tries_and_the_scan_goes_on() {
    const BY_TAG: &str = r#"
version: 1
defaults: { existing: enforce, proof: { existing: probe } }
rules:
  - { name: scratch, match: { tags: { kind: scratch } }, exempt: { reason: RISK-1 } }
  - { name: all, key: alias/app }
"#;
    for fault in [Fault::Throttled, Fault::ServerError, Fault::LostBefore] {
        for op in [Op::Describe, Op::Tags] {
            let mut s = Scene::new(BY_TAG);
            s.many("app", 4, None);
            // Then the tags of each stream are asked for by themselves.
            s.always(Op::TagsOf, None, refused(Lasting::Access));
            s.always(op, Some("app-0001"), fault);
            s.set(|state, now| state.sweep(now));
            s.drain().await;
            let reported = s.reported();
            assert_eq!(reported.len(), 1, "{op:?} {fault:?}");
            assert!(took(&reported[0]) < 60.0, "{op:?} {fault:?}: {} s", took(&reported[0]));
            for name in ["app-0000", "app-0002", "app-0003"] {
                s.assert_sealed(name, "app");
            }
            let first = &s.all("app-0001")[0];
            assert_eq!((first.verdict.compliance, first.verdict.alarm), (Compliance::InsufficientData, false));
            let tries = first.calls.iter().filter(|call| call.call == op.name()).count();
            assert_eq!(tries, 4, "{op:?} {fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_tries_of_a_scan_are_a_second_apart_then_two_then_four() {
    for (op, target) in [(Op::Describe, "app-0001"), (Op::Lookup, "alias/app"), (Op::List, ""), (Op::TagsOf, "")] {
        let mut s = Scene::new(
            "{version: 1, defaults: {existing: enforce}, rules: [{name: tagged, match: {tags: {kind: app}}, key: alias/app}, {name: all, key: alias/app}]}",
        );
        s.many("app", 3, Some("app"));
        (0..3).for_each(|_| {
            s.set(|state, _| {
                let target = (!target.is_empty()).then(|| target.to_owned());
                state.script.push(Script { op, target, fault: Fault::ServerError });
            });
        });
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        let pauses = seconds(&s.times(op, target));
        for (pause, due) in pauses.iter().zip([1.0, 2.0, 4.0]) {
            // The way there and back, and the rate of observations.
            assert!((due..due + 0.4).contains(pause), "{op:?}: {pauses:?}");
        }
        assert!(pauses.len() >= 3, "{op:?}: {pauses:?}");
        assert_eq!(s.reported()[0].scan.tally.by_compliance["COMPLIANT"], 3, "{op:?}: the fourth try is good");
    }
}

#[tokio::test(start_paused = true)]
async fn the_tries_of_a_run_are_further_and_further_apart() {
    let dues = [0.4, 0.8, 1.6, 3.2, 6.4];
    let mut shares = Vec::new();
    for seed in 0..20 {
        let mut s = Scene::with(ALL_WITH_APP, seed, Weather::calm(), &[]);
        s.existing("orders", Some("app"));
        s.faults(Op::Describe, Fault::ServerError, 6);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        s.drain().await;
        let pauses = seconds(&s.times(Op::Describe, "orders"));
        for (pause, due) in pauses.iter().zip(dues) {
            // Spread by a half; and the way there and back.
            assert!((0.5 * due..1.5 * due + 0.1).contains(pause), "{pauses:?}");
            shares.push((pause - 0.04) / due);
        }
        // The sixth in a row leaves the rest to a run of its own.
        assert!((12.0..19.0).contains(&pauses[5]), "{pauses:?}");
        assert_eq!(s.all("orders").iter().map(|e| e.calls.len()).next(), Some(6));
        assert_eq!(s.end("orders").0, Compliance::Compliant);
    }
    let mean = shares.iter().sum::<f64>() / f64::from(u32::try_from(shares.len()).unwrap());
    assert!((0.85..1.15).contains(&mean), "{mean}");
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_token_is_broken_is_asked_for_by_name() {
    let mut broken = 0;
    for seed in 0..6 {
        let mut s = Scene::with(ALL_WITH_APP, seed, Weather::calm(), &[]);
        s.many("app", 30, Some("app"));
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        let reported = s.reported().remove(0);
        assert_eq!((reported.scan.tally.listed, reported.scan.parts), (30, 0));
        // Nothing passes while one waits: the same page is asked for at once.
        assert!(took(&reported) < 10.0, "{} s", took(&reported));
        broken += s.journal().iter().filter(|call| call.op == Op::List && !call.took_effect).count();
        s.assert_queues_empty();
    }
    assert!(broken > 5, "{broken}: the simulation breaks a token now and then");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_all_the_time_of_a_part_is_passed_over() {
    // Each call takes six seconds, and the stream's key is one of twenty.
    let names: Vec<String> = (0..20).map(|number| format!("alias/k{number}")).collect();
    let policy = format!(
        "{{version: 1, defaults: {{existing: enforce}}, rules: [{{name: slow, match: {{stream: [slow]}}, key: alias/app, accept: [{}]}}, {{name: all, key: alias/app}}]}}",
        names.join(", ")
    );
    let weather = Weather { latency_ms: 3_000..=3_000, ..Weather::calm() };
    let mut s = Scene::with(&policy, 7, weather, &[("MODE", "report")]);
    s.set(|state, _| (0..20).for_each(|number| state.keys.add(&format!("k{number}"))));
    s.existing("app-0000", Some("app"));
    s.existing("slow", Some("other"));
    s.existing("z-right", Some("app"));
    s.set(|state, now| state.sweep(now));
    s.lambda.drain(&mut s.actors).await;
    let reported = s.reported();
    assert_eq!(reported.len(), 1);
    let tally = &reported[0].scan.tally;
    assert_eq!((tally.listed, tally.by_compliance["COMPLIANT"]), (3, 2));
    assert_eq!(tally.by_compliance["INSUFFICIENT_DATA"], 1);
    let first = &s.all("slow")[0];
    assert_eq!((first.verdict.compliance, first.verdict.reason), (Compliance::InsufficientData, Reason::Unfinished));
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_is_given_up_hands_over_what_it_found_and_says_why() {
    // Throttled for two days; and refused, which a person has to change.
    for (fault, within) in [(Fault::Throttled, hours(49)), (refused(Lasting::Access), hours(1))] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.many("app", 40, None);
        s.set(|state, now| {
            state.page_size = 20;
            state.sweep(now);
        });
        // The scan begins 70 s after it was asked for; the first page takes four seconds, and there is no second one.
        s.later(secs(73.0), move |state, _| state.always.push(Script { op: Op::List, target: None, fault }));
        s.drain().await;
        let reported = s.reported();
        assert_eq!(reported.len(), 1, "{fault:?}");
        let why = reported[0].gave_up.as_deref().unwrap_or_default();
        assert!(why.contains("ListStreams") && reported[0].alarm(), "{fault:?}: {why}");
        assert!(took(&reported[0]) < within.as_secs_f64(), "{fault:?}: {} s", took(&reported[0]));
        assert_eq!(reported[0].to_json()["gave_up"], why);
        // Those that were seen: ten of the first twenty, by the ring of names.
        let right: Vec<usize> = (0..40).filter(|n| s.key(&format!("app-{n:04}")) == Some(key_arn("app"))).collect();
        assert!(right.len() == 10 && right.iter().all(|n| *n < 20), "{right:?}");
        assert!(right.last() > Some(&10), "not just the first ones: {right:?}");
        // It is no sweep that ended, nor are its counts those of the account.
        let metrics = emf::of_summary(&reported[0]);
        assert_eq!((metrics.len(), &metrics[0]["Scans"], &metrics[0]["Alarms"]), (1, &0.into(), &1.into()));
        s.assert_queues_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn a_scan_that_is_refused_for_some_seconds_is_not_given_up() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.many("app", 3, Some("app"));
    s.set(|state, now| state.sweep(now));
    // As after a deployment: a permission that was just given.
    s.always(Op::List, None, refused(Lasting::Access));
    s.later(secs(30.0), |state, _| state.always.clear());
    s.drain().await;
    let reported = s.reported();
    assert_eq!((reported.len(), reported[0].gave_up.as_deref()), (1, None));
    assert_eq!(reported[0].scan.tally.by_compliance["COMPLIANT"], 3);
    assert!(reported[0].finished_at.duration_since(reported[0].scan.requested_at) < SignedDuration::from_mins(3));
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_of_scans_the_caller_gets_the_failure() {
    let mut s = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &[("SCAN_QUEUE_URL", "")]);
    s.set(|state, _| state.queue.has_scans = false);
    s.many("app", 900, None);
    s.set(|state, _| state.page_size = 100);
    let failed = s.direct(&serde_json::json!({"action": "sweep"})).await.unwrap_err();
    assert!(failed.to_string().contains("SCAN_QUEUE_URL is not set"), "{failed}");
    s.drain().await;
    let right = (0..900).filter(|n| s.key(&format!("app-{n:04}")).is_some()).count();
    assert_eq!(right, 10, "what it found is handed over all the same");
}
