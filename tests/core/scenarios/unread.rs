//! A policy, or a mode, that cannot be read now: what that costs, when it is an alarm, and how often both are read.

use std::time::Duration;

use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::model::Mode;
use streamseal::domain::scan::window::Entry;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};

use crate::sim::Op;
use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};

impl Scene {
    /// Reasons of what was kept, in their order.
    fn kept(&self) -> Vec<&'static str> {
        let kept = |state: &crate::sim::State| {
            let notes = state.notes.iter().filter(|note| note.outcome.as_str() == "deferred");
            notes.map(|note| note.reason).collect()
        };
        self.set(|state, _| kept(state))
    }

    fn reads(&self, name: &str) -> Vec<f64> {
        let begin = crate::sim::BEGIN.parse().unwrap();
        let reads = self.journal().into_iter().filter(|call| call.op == Op::Parameter && call.target == name);
        reads.map(|call| call.at.duration_since(begin).as_secs_f64()).collect()
    }

    /// From now on this parameter cannot be read, until that is over.
    fn unread_for(&mut self, name: &'static str, fault: Fault, time: Duration) {
        self.set(|state, _| state.always.push(Script { op: Op::Parameter, target: Some(name.to_owned()), fault }));
        self.later(time, |state, _| state.always.clear());
    }

    /// From the first time that this parameter was read to the first Start.
    fn started_after(&self, name: &str) -> f64 {
        let journal = self.journal();
        let read = journal.iter().find(|call| call.op == Op::Parameter && call.target == name).expect("a read");
        let start = journal.iter().find(|call| call.op == Op::Start).expect("a Start");
        start.at.duration_since(read.at).as_secs_f64()
    }
}

const FAULTS: [Fault; 4] = [
    Fault::Throttled,
    Fault::LostBefore,
    Fault::ServerError,
    Fault::Refused(Class::Permanent(Lasting::Access), "AccessDeniedException"),
];

#[tokio::test(start_paused = true)]
async fn one_failed_read_costs_a_second() {
    for name in ["/policy", "/mode"] {
        for fault in FAULTS {
            let mut s = Scene::new(ALL_WITH_APP);
            s.existing("orders", None);
            s.set(|state, now| {
                state.script.push(Script { op: Op::Parameter, target: Some(name.to_owned()), fault });
                state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
            });
            s.drain().await;
            s.assert_sealed("orders", "app");
            assert_eq!(s.kept(), [] as [&str; 0], "{name} {fault:?}");
            let reads = s.reads(name);
            assert_eq!(reads.len(), 2, "{name} {fault:?}: {reads:?}");
            // The pause, and the answer that was waited for.
            assert!((1.0..6.1).contains(&(reads[1] - reads[0])), "{name} {fault:?}: {reads:?}");
            assert!(s.started_after(name) < 7.0, "{name} {fault:?}: {} s", s.started_after(name));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_failed_reads_cost_a_quarter_of_a_minute_and_are_no_alarm() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.faults(Op::Parameter, Fault::Throttled, 2);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.kept(), ["PolicyUnread"]);
    assert!((16.0..18.0).contains(&s.started_after("/policy")), "{} s", s.started_after("/policy"));
}

#[tokio::test(start_paused = true)]
async fn what_stays_unread_is_asked_for_less_and_less_often_and_is_an_alarm_from_the_second_time_on() {
    for name in ["/policy", "/mode"] {
        for fault in FAULTS {
            let mut s = Scene::new(ALL_WITH_APP);
            s.existing("orders", None);
            s.unread_for(name, fault, hours(10));
            s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
            s.drain().await;
            // Longer than an event is followed: no deadline ran.
            s.assert_sealed("orders", "app");
            assert!(s.all("orders").iter().all(|e| e.verdict.reason != Reason::GaveUp));
            let kept = s.kept();
            assert_eq!(kept[0], "PolicyUnread");
            assert!(kept.len() > 100 && kept[1..].iter().all(|reason| *reason == "PolicyUnusable"), "{kept:?}");
            // Two reads each time, a second apart, and then 15 s, doubled up to four minutes.
            let begun: Vec<f64> = s.reads(name).into_iter().step_by(2).collect();
            let waits: Vec<f64> = begun.windows(2).map(|two| two[1] - two[0]).collect();
            for (wait, due) in waits.iter().zip([15.0, 30.0, 60.0, 120.0, 240.0, 240.0, 240.0]) {
                // Two reads that were not answered take eleven seconds.
                assert!((due + 1.0..due + 13.0).contains(wait), "{name} {fault:?}: {waits:?}");
            }
            assert!(waits.iter().all(|wait| *wait < 253.0), "{name} {fault:?}: {waits:?}");
            assert!(s.started_after(name) < 36_000.0 + 260.0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn failures_with_a_success_between_them_are_not_in_a_row() {
    let mut s = Scene::new(ALL_WITH_APP);
    // Work that goes round for a while.
    s.created("orders", secs(400.0));
    s.faults(Op::Parameter, Fault::ServerError, 2);
    s.later(secs(120.0), |state, _| {
        let fault = Fault::ServerError;
        state.script.extend((0..2).map(|_| Script { op: Op::Parameter, target: Some("/policy".into()), fault }));
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.kept(), ["PolicyUnread", "PolicyUnread"]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_has_no_policy_for_a_moment_waits_for_seconds_too() {
    for (times, least, most) in [(1, 1.0, 5.0), (2, 16.0, 20.0)] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        // It is its turn: it was put into its queue before.
        s.set(|state, now| {
            let cause = serde_json::json!({"call": "sweep"});
            let scan = serde_json::json!({
                "streamseal": "streamseal.scan/v1", "subject": {"kind": "sweep"}, "id": "sweep@1", "cause": cause, "requested_at": now,
                "not_before": now,
            });
            let scan = streamseal::domain::scan::Scan::parse(&scan, now).unwrap();
            state.enqueue_scan(&scan, Entry::Asked, now, 0);
        });
        s.faults(Op::Parameter, Fault::ServerError, times);
        s.drain().await;
        s.assert_sealed("orders", "app");
        let after = s.started_after("/policy");
        assert!((least..most).contains(&after), "{times}: {after} s");
        let kept: &[&str] = if times == 1 { &[] } else { &["PolicyUnread"] };
        assert_eq!(s.kept(), kept);
    }
    // For hours, longer than a scan is followed.
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.unread_for("/policy", Fault::Throttled, hours(60));
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let kept = s.kept();
    assert_eq!((kept[0], kept[1]), ("PolicyUnread", "PolicyUnusable"));
    assert_eq!(s.set(|state, _| state.summaries.len()), 1);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_not_valid_is_an_alarm_at_once_and_waits_for_minutes() {
    for (name, text) in [("/policy", "rules: ["), ("/mode", "enfroce")] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        s.parameter(name, text);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        let (name, text) = (name.to_owned(), if name == "/mode" { "enforce" } else { ALL_WITH_APP });
        let good = text.to_owned();
        s.later(hours(1), move |state, _| drop(state.parameters.insert(name, good)));
        s.drain().await;
        s.assert_sealed("orders", "app");
        let kept = s.kept();
        assert!(kept.iter().all(|reason| *reason == "PolicyUnusable"), "{kept:?}");
        assert!((6..=12).contains(&kept.len()), "{} times in an hour", kept.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_mode_is_read_every_few_seconds_and_not_once_an_event() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/app"));
    s.lambda.concurrency = 1;
    for second in 0..60 {
        s.later(secs(f64::from(second)), |state, now| state.command("orders", now));
    }
    s.drain().await;
    assert_eq!(s.all("orders").len(), 60);
    let reads = s.reads("/mode");
    assert!((10..=14).contains(&reads.len()), "{} reads in a minute: {reads:?}", reads.len());
    let apart = reads.windows(2).map(|two| two[1] - two[0]);
    assert!(apart.clone().all(|wait| (4.9..8.0).contains(&wait)), "{:?}", apart.collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_switch_to_report_holds_seconds_later_and_its_sweep_knows_it() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.lambda.concurrency = 1;
    s.existing("orders", Some("alias/app"));
    s.existing("bills", None);
    // The instance has read the mode a moment ago.
    s.set(|state, now| state.command("orders", now));
    s.later(secs(1.0), |state, now| state.set_parameter("/mode", "report", now));
    s.later(secs(6.1), |state, now| state.emit("StopStreamEncryption", "bills", Tool::Cli, now));
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0);
    assert_eq!(s.last("bills").verdict.withheld, Some(Withheld::ReportMode));
    assert_eq!(s.end("bills").0, Compliance::NonCompliant);
    let reported = s.set(|state, _| state.summaries.clone());
    assert_eq!(reported.iter().map(|reported| reported.mode).collect::<Vec<_>>(), [Mode::Report]);
}
