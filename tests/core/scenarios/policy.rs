//! What the policy and the mode allow, and what becomes of events while neither can be used.

use serde_json::json;
use streamseal::domain::evidence::ProofState;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};
use streamseal::run::handler::answer::Unhandled;

use crate::sim::Op;
use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};

const BY_TAG: &str = r#"
version: 1
defaults: { existing: report, enforce_from: 2026-03-01T00:00:00Z }
rules:
  - { name: scratch, match: { stream: "scratch-*" }, exempt: { reason: RISK-1, until: 2026-03-31 } }
  - { name: ended, match: { stream: "old-*" }, exempt: { reason: RISK-2, until: 2026-03-01 } }
  - { name: team, match: { tags: { team: "*" } }, key: "alias/team-${tag:team}" }
  - { name: old, match: { stream: "old-*" }, key: alias/app, existing: enforce, proof: { existing: describe } }
"#;

fn by_tag() -> Scene {
    let s = Scene::new(BY_TAG);
    s.set(|state, _| state.keys.add("team-a"));
    s
}

/// No write of any kind was made.
fn assert_no_write(s: &Scene) {
    let writes: Vec<_> = s.journal().into_iter().filter(|call| matches!(call.op, Op::Start | Op::Put)).collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_exempt_stream_is_left_alone_whatever_it_is_on() {
    for key in [None, Some("alias/other")] {
        let mut s = by_tag();
        s.existing("scratch-1", key);
        s.set(|state, now| state.emit("StopStreamEncryption", "scratch-1", Tool::Cli, now));
        s.drain().await;
        assert_eq!(s.end("scratch-1"), (Compliance::NotApplicable, Reason::Exempt, ProofState::NotSought));
        assert_no_write(&s);
        assert_eq!(s.count(Op::Lookup), 0, "no key matters");
    }
}

#[tokio::test(start_paused = true)]
async fn an_exemption_that_ended_is_none() {
    let mut s = by_tag();
    s.existing("old-1", None);
    s.set(|state, now| state.emit("StopStreamEncryption", "old-1", Tool::Cli, now));
    s.drain().await;
    assert_eq!(s.end("old-1"), (Compliance::Compliant, Reason::RightKey, ProofState::Described));
    assert_eq!(s.starts("old-1"), ["app"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_no_rule_matches_is_reported_and_left_alone() {
    let mut s = by_tag();
    s.created("orders", secs(1.0));
    s.drain().await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::Unmatched));
    assert_no_write(&s);
}

#[tokio::test(start_paused = true)]
async fn an_existing_stream_is_reported_and_a_later_one_is_enforced() {
    let mut s = by_tag();
    s.existing("orders", None);
    s.set(|state, now| state.tag_by("orders", "team", "a", Tool::Cli, now));
    s.drain().await;
    assert_eq!(s.last("orders").verdict.withheld.map(|w| w.as_str()), Some("existing"));
    assert_eq!(s.end("orders").0, Compliance::NonCompliant);
    assert_no_write(&s);
    s.created("bills", secs(1.0));
    s.set(|state, now| state.tag_by("bills", "team", "a", Tool::Cli, now));
    s.drain().await;
    s.assert_sealed("bills", "team-a");
}

#[tokio::test(start_paused = true)]
async fn tags_are_read_when_the_stream_is_active_and_not_before() {
    let mut s = by_tag();
    s.created("orders", secs(20.0));
    // Until it is ACTIVE, its tags may still come.
    s.later(secs(19.0), |state, _| {
        let tags = &mut state.streams.get_mut("orders").unwrap().tags;
        tags.insert("team".to_owned(), "a".to_owned());
    });
    s.drain().await;
    s.assert_sealed("orders", "team-a");
    assert_eq!(s.starts("orders"), ["team-a"]);
}

#[tokio::test(start_paused = true)]
async fn tags_are_not_read_where_no_rule_asks_for_them() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(1.0));
    s.drain().await;
    assert_eq!(s.count(Op::Tags), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_cannot_be_part_of_an_alias_fails_closed() {
    for value in ["../app", "a/b", ""] {
        let mut s = by_tag();
        s.created("orders", secs(1.0));
        s.set(|state, now| state.tag_by("orders", "team", value, Tool::Cli, now));
        s.drain().await;
        assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyUnresolvable));
        assert_no_write(&s);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_only_reports_writes_nothing() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.parameter("/mode", "report");
    s.existing("orders", None);
    s.created("bills", secs(1.0));
    s.set(|state, now| {
        state.create("right", now, secs(0.0), Tool::Cli);
        state.start("right", "alias/app", now).unwrap();
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
        state.emit("CreateStream", "right", Tool::Cli, now);
    });
    s.drain().await;
    assert_no_write(&s);
    for stream in ["orders", "bills"] {
        assert_eq!(s.last(stream).verdict.withheld.map(|w| w.as_str()), Some("report-mode"));
    }
    assert_eq!(s.end("right"), (Compliance::Compliant, Reason::RightKey, ProofState::Described));
}

#[tokio::test(start_paused = true)]
async fn while_the_policy_cannot_be_used_every_event_is_kept_and_nothing_written() {
    for broken in ["version: 1\nrules: [{name: a, kye: alias/app}]", "", "\u{0}"] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.parameter("/policy", broken);
        s.created("orders", secs(1.0));
        s.later(hours(30), |state, _| {
            let writes = state.journal.iter().filter(|call| matches!(call.op, Op::Start | Op::Put)).count();
            assert_eq!(writes, 0);
            state.parameters.insert("/policy".to_owned(), ALL_WITH_APP.to_owned());
        });
        s.drain().await;
        // Longer than the deadline; it did not run meanwhile. The stream is not new any more, and proven all the same.
        s.assert_sealed("orders", "app");
        let kept = s.set(|state, _| state.notes.iter().filter(|note| note.outcome.as_str() == "deferred").count());
        assert!((100..250).contains(&kept), "{kept} times in 30 h");
        assert_eq!(s.all("orders").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_deadline_runs_while_the_policy_cannot_be_used() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.parameter("/policy", "");
    s.created("orders", secs(1.0));
    s.later(hours(30), |state, now| {
        state.parameters.insert("/policy".to_owned(), ALL_WITH_APP.to_owned());
        // The run after that has to be deferred once more.
        state.update("orders", now, secs(1_500.0)).unwrap();
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    let all = s.all("orders");
    assert_eq!(all[0].verdict.reason, Reason::Unfinished);
    assert!(all.iter().all(|evidence| evidence.verdict.reason != Reason::GaveUp), "{}", s.story("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_for_a_moment_loses_nothing() {
    for fault in [Fault::Throttled, Fault::LostBefore, Fault::ServerError] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.fault(Op::Parameter, fault);
        s.created("orders", secs(1.0));
        s.drain().await;
        s.assert_sealed("orders", "app");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mode_that_nobody_understands_stops_writes() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.parameter("/mode", "enfroce");
    s.created("orders", secs(1.0));
    s.later(secs(300.0), |state, _| {
        assert!(state.journal.iter().all(|call| call.op != Op::Start));
        state.parameters.insert("/mode".to_owned(), "enforce\n".to_owned());
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_an_unusable_policy_is_the_callers_to_retry() {
    let mut s = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &[]);
    s.set(|state, _| state.queue.exists = false);
    s.parameter("/policy", "rules: []");
    s.existing("orders", None);
    let answer = s.direct(&json!({"action": "reconcile", "stream": "orders"})).await;
    assert!(matches!(answer, Err(Unhandled::PolicyUnusable(_))), "{answer:?}");
    assert_no_write(&s);
}

#[tokio::test(start_paused = true)]
async fn the_policy_is_read_once_a_minute_and_not_once_an_event() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/app"));
    for second in 0..120 {
        s.later(secs(f64::from(second)), |state, now| state.command("orders", now));
    }
    s.drain().await;
    assert_eq!(s.all("orders").len(), 120);
    let reads = s.journal().iter().filter(|call| call.op == Op::Parameter && call.target == "/policy").count();
    assert!(reads <= 3 * 5, "{reads} reads by at most 5 instances in 2 minutes");
    // A new policy holds a minute later.
    s.parameter("/policy", &ALL_WITH_APP.replace("alias/app", "alias/other"));
    s.later(secs(61.0), |state, now| state.command("orders", now));
    s.drain().await;
    s.assert_sealed("orders", "other");
}

#[tokio::test(start_paused = true)]
async fn without_a_time_every_stream_is_an_existing_one() {
    let mut s = Scene::new("{version: 1, rules: [{name: all, key: alias/app}]}");
    s.created("new", secs(1.0));
    s.existing("old", None);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    for name in ["new", "old"] {
        assert_eq!(s.last(name).verdict.withheld, Some(Withheld::Existing), "{}", s.story(name));
    }
    assert_eq!((s.count(Op::Start), s.count(Op::Put)), (0, 0));
}
