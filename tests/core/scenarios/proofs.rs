//! What counts as a proof, what does not, and what follows from a key that turns out unusable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use streamseal::domain::evidence::ProofState;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, key_arn};

/// Existing streams proven by other people's records.
const OBSERVED: &str = "
version: 1
defaults: { existing: enforce }
rules:
  - { name: all, key: alias/app }
";

/// A stream on no key, about to be observed because of an event.
fn unencrypted(policy: &str) -> Scene {
    let s = Scene::new(policy);
    s.existing("orders", None);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s
}

/// The same on the key `other`.
fn on_other() -> Scene {
    let s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/other"));
    s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
    s
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_not_encrypted_within_5_s_is_not_yet_a_failure() {
    let mut s = unencrypted(ALL_WITH_APP);
    s.set(|state, _| state.weather.propagation_ms = 5_000..=5_000);
    s.drain().await;
    s.assert_sealed("orders", "app");
    let records = s.set(|state, _| state.stream("orders").records.clone());
    assert!(records.len() >= 3 && records[0].key.is_none(), "{records:?}");
}

#[tokio::test(start_paused = true)]
async fn encryption_that_never_takes_hold_is_unproven_and_observed_twice_more() {
    let mut s = unencrypted(ALL_WITH_APP);
    s.set(|state, _| state.streams.get_mut("orders").unwrap().never_encrypts = true);
    s.drain().await;
    let all = s.all("orders");
    assert_eq!(all.len(), 3);
    for evidence in &all {
        assert_eq!(evidence.verdict.compliance, Compliance::NonCompliant);
        assert_eq!((evidence.verdict.reason, evidence.proof.state), (Reason::Unproven, ProofState::Failed));
    }
    assert_eq!(s.alarms("orders"), [Reason::Unproven]);
    // Not before 5 s after it was seen ACTIVE, and not much later.
    let observed_at = all[0].after.as_ref().unwrap().observed.at;
    let judged = all[0].finished_at.duration_since(observed_at).as_secs_f64();
    assert!((5.0..12.0).contains(&judged), "{judged} s");
    assert_eq!(s.starts("orders"), ["app"], "no Start can help");
    assert!((4_500.0..4_700.0).contains(&s.elapsed()), "15 min and 1 h later: {} s", s.elapsed());
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_probe_denied_to_our_role_says_nothing_about_the_stream() {
    let mut s = on_other();
    s.set(|state, _| state.keys.key("app").forbidden = true);
    s.drain().await;
    assert_eq!(s.end("orders"), (Compliance::InsufficientData, Reason::ProofImpossible, ProofState::Failed));
    assert!(s.alarmed("orders"));
    assert_eq!(s.starts("orders"), ["app"], "and nothing is put back");
}

#[tokio::test(start_paused = true)]
async fn a_first_key_that_turns_out_unusable_has_no_way_back() {
    let mut s = unencrypted(ALL_WITH_APP);
    // The stream is UPDATING to it.
    s.later(secs(7.5), |state, now| state.keys.set_state("app", "Disabled", now));
    s.drain().await;
    let first = &s.all("orders")[0];
    assert_eq!((first.verdict.compliance, first.verdict.reason), (Compliance::NonCompliant, Reason::Unwritable));
    assert!(first.verdict.alarm);
    assert_eq!(s.starts("orders"), ["app"]);
}

#[tokio::test(start_paused = true)]
async fn a_re_key_that_turns_out_unusable_is_put_back_once() {
    let mut s = on_other();
    s.later(secs(7.5), |state, now| state.keys.set_state("app", "Disabled", now));
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app", "other"], "{}", s.story("orders"));
    let all = s.all("orders");
    assert_eq!((all[0].verdict.reason, all[0].verdict.alarm), (Reason::Unwritable, true));
    assert!(all[0].rekeyed && all[0].proof.state == ProofState::Failed);
    // The second run put it back, proved that, and says that the rule is not kept.
    assert_eq!(s.end("orders"), (Compliance::NonCompliant, Reason::PutBack, ProofState::Proven));
    assert!(s.alarmed("orders"));
    // The next event does not start it all over.
    s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    assert_eq!(s.starts("orders").len(), 2);
    assert_eq!(s.end("orders").1, Reason::KeyUnusable);
}

#[tokio::test(start_paused = true)]
async fn a_re_key_that_took_long_is_put_back_too() {
    let mut s = on_other();
    // So long that the run that re-keyed is not the one that sees the key fail.
    s.set(|state, _| state.weather.update_ms = 100_000..=100_000);
    s.later(secs(50.0), |state, now| state.keys.set_state("app", "Disabled", now));
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app", "other"], "{}", s.story("orders"));
    assert_eq!(s.end("orders").1, Reason::PutBack, "{}", s.story("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_re_key_whose_probe_is_still_taken_is_put_back_when_one_is_refused() {
    let mut s = on_other();
    s.set(|state, _| state.weather.update_ms = 100_000..=100_000);
    s.later(secs(50.0), |state, now| state.keys.set_state("app", "Disabled", now));
    // Data keys outlive their key for some minutes: until then records are taken.
    s.set(|state, _| state.streams.get_mut("orders").unwrap().never_encrypts = true);
    s.later(secs(300.0), |state, _| state.streams.get_mut("orders").unwrap().never_encrypts = false);
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app", "other"], "{}", s.story("orders"));
    let back = s.journal().into_iter().rfind(|call| call.op == Op::Start).unwrap();
    assert!(back.at > "2026-03-02T08:05:00Z".parse().unwrap(), "no probe was refused before: {back:?}");
    let alarms: Vec<Reason> =
        s.all("orders").iter().filter(|e| e.verdict.alarm).map(|evidence| evidence.verdict.reason).collect();
    assert_eq!(alarms.first(), Some(&Reason::KeyUnusable), "the alarm does not wait: {}", s.story("orders"));
    assert_eq!(s.end("orders").1, Reason::PutBack);
}

/// On AWS's own key, where its rule requires a customer's.
fn on_awss_own() -> Scene {
    let s = Scene::new(ALL_WITH_APP);
    s.set(|state, _| state.keys.add_aws_managed());
    s.existing("orders", Some("alias/aws/kinesis"));
    s.set(|state, now| state.command("orders", now));
    s
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_back_from_a_customers_key_to_one_of_awss_own() {
    for (after, updating) in [(2.0, 1_500), (50.0, 100_000)] {
        let mut s = on_awss_own();
        s.set(|state, _| state.weather.update_ms = updating..=updating);
        s.later(secs(after), |state, now| state.keys.set_state("app", "PendingDeletion", now));
        s.drain().await;
        assert_eq!(s.starts("orders"), ["app"], "{}", s.story("orders"));
        let reported = s.all("orders").into_iter().find(|e| e.verdict.reason == Reason::Unwritable).unwrap();
        assert!(reported.verdict.alarm && reported.rekeyed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_somebody_disables_later_is_no_reason_to_put_one_back() {
    // The proof is still owed: nobody writes, or no probe gets through.
    for (policy, refused) in [(OBSERVED, 0), (ALL_WITH_APP, 60)] {
        for minutes in [14.0, 40.0] {
            let mut s = Scene::new(policy);
            s.existing("orders", Some("alias/other"));
            s.set(|state, now| state.command("orders", now));
            s.faults(Op::Put, Fault::Throttled, refused);
            s.later(secs(minutes * 60.0), |state, now| {
                state.keys.set_state("app", "Disabled", now);
                state.emit_key("DisableKey", None, "app", now);
            });
            s.later(hours(2), |state, _| state.script.clear());
            s.drain().await;
            assert_eq!(s.starts("orders"), ["app"], "after {minutes} min: {}", s.story("orders"));
            assert!(s.alarmed("orders"), "{}", s.story("orders"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_back_once_for_a_cause() {
    // Before the run that has to prove the key that was put back, and while it does.
    for [enabled, started, disabled] in [[22.0, 23.0, 30.0], [45.0, 46.0, 50.0]] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", Some("alias/other"));
        s.set(|state, now| state.command("orders", now));
        s.later(secs(2.0), |state, now| state.keys.set_state("app", "Disabled", now));
        // The run that puts it back cannot prove that, and leaves the proof to a later one.
        let back = Arc::new(AtomicBool::new(false));
        for tick in 10..40 {
            let back = Arc::clone(&back);
            s.later(secs(f64::from(tick) * 0.5), move |state, now| {
                let is_back = state.body("orders", now).is_some_and(|body| body.key == Some(key_arn("other")));
                if is_back && !back.swap(true, Ordering::Relaxed) {
                    let throttled = Script { op: Op::Put, target: None, fault: Fault::Throttled };
                    state.script.extend(std::iter::repeat_n(throttled, 3));
                }
            });
        }
        // Meanwhile somebody sets the rule's key, and it turns out unusable once more.
        s.later(secs(enabled), |state, now| state.keys.set_state("app", "Enabled", now));
        s.later(secs(started), |state, now| state.start("orders", "app", now).unwrap());
        s.later(secs(disabled), |state, now| state.keys.set_state("app", "Disabled", now));
        s.drain().await;
        assert!(back.load(Ordering::Relaxed) && s.all("orders").len() > 2, "{}", s.story("orders"));
        assert_eq!(s.starts("orders"), ["app", "other"], "{}", s.story("orders"));
        assert_eq!((s.end("orders").1, s.alarmed("orders")), (Reason::KeyUnusable, true));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_back_where_the_key_before_is_unusable_too() {
    let mut s = on_other();
    s.later(secs(7.5), |state, now| {
        state.keys.set_state("app", "Disabled", now);
        state.keys.set_state("other", "PendingDeletion", now);
    });
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app"]);
    assert_eq!(s.all("orders")[0].verdict.reason, Reason::Unwritable);
}

#[tokio::test(start_paused = true)]
async fn the_key_to_put_back_is_observed_again_before_it_is() {
    let mut s = on_other();
    s.later(secs(7.5), |state, now| state.keys.set_state("app", "Disabled", now));
    // The message that asks to put `other` back is on its way for so long that `other` is disabled too.
    s.later(secs(9.2), |state, _| state.parameters.insert("/mode".to_owned(), "nonsense".to_owned()).map_or((), drop));
    s.later(secs(30.0), |state, now| state.keys.set_state("other", "Disabled", now));
    s.later(secs(40.0), |state, _| state.parameters.insert("/mode".to_owned(), "enforce".to_owned()).map_or((), drop));
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app"], "{}", s.story("orders"));
    assert!(s.alarmed("orders"));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_back_once_the_function_only_reports() {
    let mut s = on_other();
    s.later(secs(7.5), |state, now| state.keys.set_state("app", "Disabled", now));
    s.later(secs(9.2), |state, _| state.parameters.insert("/mode".to_owned(), "report".to_owned()).map_or((), drop));
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app"], "{}", s.story("orders"));
}

#[tokio::test(start_paused = true)]
async fn an_existing_stream_is_proven_by_somebody_elses_record() {
    let mut s = unencrypted(OBSERVED);
    for tenths in 0..200 {
        s.later(secs(f64::from(tenths) / 10.0), |state, now| drop(state.put("orders", false, now)));
    }
    s.drain().await;
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::Observed));
    assert_eq!(s.count(Op::Put), 0, "nothing is written into a stream that has consumers");
    // Not one that was put before encryption is sure to have taken hold.
    let number = s.last("orders").proof.sequence_number;
    let record = s.set(|state, _| {
        state.stream("orders").records.iter().find(|r| Some(&r.sequence_number) == number.as_ref()).cloned()
    });
    let observed_right = s.last("orders").after.unwrap().observed.at;
    assert!(record.unwrap().at >= observed_right + secs(5.0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_not_called_proven() {
    let mut s = unencrypted(OBSERVED);
    s.drain().await;
    assert_eq!(s.end("orders"), (Compliance::InsufficientData, Reason::Idle, ProofState::Described));
    assert_eq!((s.count(Op::Put), s.all("orders").len()), (0, 3));
    // It waits for somebody's record for 10 s after the 5 s in which encryption takes hold, and one more try.
    let first = &s.all("orders")[0];
    let waited = first.finished_at.duration_since(first.after.as_ref().unwrap().observed.at).as_secs_f64();
    assert!((15.0..18.5).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_minute_of_throttled_reads_only_puts_the_proof_off() {
    let mut s = unencrypted(OBSERVED);
    s.faults(Op::Read, Fault::Throttled, 12);
    for second in 0..200 {
        s.later(secs(f64::from(second)), |state, now| drop(state.put("orders", false, now)));
    }
    s.drain().await;
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::Observed));
    let all = s.all("orders");
    assert!(all.len() > 1 && all.iter().all(|e| !e.verdict.alarm), "{}", s.story("orders"));
    assert_eq!((s.count(Op::Put), s.count(Op::Start)), (0, 1));
    assert!(s.count(Op::Read) <= 20, "{} reads", s.count(Op::Read));
}

#[tokio::test(start_paused = true)]
async fn a_record_read_back_without_a_type_is_unclear_and_wakes_nobody() {
    let mut s = unencrypted(OBSERVED);
    s.set(|state, _| state.streams.get_mut("orders").unwrap().never_encrypts = true);
    for second in 0..200 {
        s.later(secs(f64::from(second)), |state, now| drop(state.put("orders", false, now)));
    }
    s.drain().await;
    assert_eq!(s.end("orders"), (Compliance::InsufficientData, Reason::ProofUnclear, ProofState::Failed));
    assert!(s.all("orders").iter().all(|e| !e.verdict.alarm));
}

#[tokio::test(start_paused = true)]
async fn a_proof_is_made_when_asked_for() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/app"));
    let command = |prove| serde_json::json!({"action": "reconcile", "stream": "orders", "prove": prove});
    s.direct(&command(false)).await.unwrap();
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::NotSought));
    assert_eq!(s.count(Op::Put), 0);
    s.direct(&command(true)).await.unwrap();
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::Proven));
    assert_eq!((s.count(Op::Put), s.count(Op::Start)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_proof_owed_for_a_new_stream_is_not_forgotten_when_it_grows_old() {
    let mut s = Scene::new(ALL_WITH_APP);
    // Right from the start of its life, and impossible to observe until it is more than an hour old.
    s.set(|state, now| {
        state.create("orders", now - secs(3_500.0), secs(0.0), Tool::Cli);
        state.start("orders", "alias/app", now - secs(3_400.0)).unwrap();
        state.emit("StartStreamEncryption", "orders", Tool::Cli, now);
    });
    s.faults(Op::Put, Fault::Throttled, 10);
    s.drain().await;
    assert_eq!(s.all("orders")[0].proof.state, ProofState::Owed, "{}", s.story("orders"));
    assert_eq!(s.end("orders").2, ProofState::Proven, "{}", s.story("orders"));
}
