//! From CREATING to proven: waiting, deferring, repeating, being killed on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use streamseal::domain::evidence::{ProofState, Remediation};
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::history::ChangeKind;
use streamseal::domain::model::StreamStatus;
use streamseal::domain::text::EventText;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, key_arn};

#[tokio::test(start_paused = true)]
async fn a_new_stream_is_sealed_in_seconds() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(0.5));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.starts("orders"), ["app"]);
    let evidence = s.last("orders");
    assert_eq!((evidence.attempt, evidence.remediation), (0, Remediation::Applied));
    // One record: encryption took hold 2 s after ACTIVE, and the probes before that were not counted as proof.
    let records = s.set(|state, _| state.stream("orders").records.clone());
    let kinds: Vec<bool> = records.iter().map(|record| record.key.is_some()).collect();
    assert_eq!(kinds, [false, true]);
    assert_eq!(evidence.proof.sequence_number.as_ref(), Some(&records[1].sequence_number));
    assert!(s.elapsed() < 15.0, "{} s", s.elapsed());
}

#[tokio::test(start_paused = true)]
async fn however_long_creating_lasts() {
    for (creating, runs, reruns) in [(0.5, 1, 10), (60.0, 3, 45), (180.0, 5, 100), (900.0, 9, 220)] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.created("orders", secs(creating));
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.starts("orders"), ["app"], "{creating} s");
        let attempts: Vec<u32> = s.all("orders").iter().map(|e| e.attempt).collect();
        assert_eq!(attempts, (0..u32::try_from(attempts.len()).unwrap()).collect::<Vec<_>>());
        assert!(attempts.len() <= runs, "{creating} s: {} runs", attempts.len());
        assert!(s.count(Op::Describe) <= reruns, "{creating} s: {} observations", s.count(Op::Describe));
        // Encrypted within a quarter of an hour of being ACTIVE, and within 15 s where it was quick.
        let late = s.elapsed() - creating;
        assert!(late < if creating < 60.0 { 20.0 } else { 920.0 }, "{creating} s: {late} s late");
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_run_after_a_finished_one_writes_nothing() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| state.create("orders", now, secs(0.5), Tool::Cli));
    s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
    s.assert_sealed("orders", "app");
    let first = s.journal().len();
    let record = s.last("orders").proof.sequence_number;
    let again = s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
    let second = s.journal().split_off(first);
    assert!(second.iter().all(|call| !call.op.is_write()), "{second:#?}");
    assert_eq!(again["compliance"], "COMPLIANT");
    // The proof is the first run's record, read back.
    assert_eq!(s.end("orders").2, ProofState::Observed);
    assert_eq!(s.last("orders").proof.sequence_number, record);
}

#[tokio::test(start_paused = true)]
async fn killed_between_start_and_proof_it_makes_the_proof_and_no_second_start() {
    for direct in [true, false] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        if direct {
            s.set(|state, now| {
                state.delete("orders", now - hours(1));
                state.create("orders", now, secs(0.0), Tool::Cli);
            });
        }
        // The probe is the first call after the Start that can be known from others; the run dies of it.
        s.fault(Op::Put, Fault::Panic);
        if direct {
            s.event("CreateStream", "orders", Tool::Cli).await.unwrap_err();
            assert_eq!(s.count(Op::Put), 1);
            s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
        } else {
            s.set(|state, now| state.emit("AddTagsToStream", "orders", Tool::Cli, now));
            s.drain().await;
        }
        s.assert_sealed("orders", "app");
        assert_eq!(s.starts("orders"), ["app"]);
    }
}

/// Every await point of the whole run, one after the other.
#[tokio::test(start_paused = true)]
async fn killed_anywhere_it_ends_sealed_with_one_start() {
    for point in 1..500 {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", Some("alias/other"));
        s.lambda.kill_next_at = Some(point);
        s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
        s.drain().await;
        s.assert_sealed("orders", "app");
        let effective = s.journal().iter().filter(|call| call.op == Op::Start && call.took_effect).count();
        assert_eq!(effective, 1, "killed at await point {point}");
        if s.elapsed() < 60.0 {
            assert!(point > 20, "only {point} await points were tried");
            return;
        }
    }
    panic!("no run ended before it was to be killed");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_start_is_observed_and_not_repeated() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.fault(Op::Start, Fault::LostAfter);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!((s.starts("orders").len(), s.all("orders").len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_never_arrived_is_sent_again_by_a_later_run() {
    for fault in [Fault::LostBefore, Fault::ServerError, Fault::KmsThrottled, Fault::Throttled] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        s.fault(Op::Start, fault);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.starts("orders"), ["app", "app"], "{fault:?}");
        assert!(s.all("orders").len() >= 2, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_turns_busy_just_before_start_is_left_to_a_later_run() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    let busy = Fault::Refused(Class::Waiting, "ResourceInUseException");
    s.fault(Op::Start, busy);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.starts("orders").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_while_the_stream_is_updating() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.update("orders", now, secs(20.0)).unwrap();
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    let journal = s.journal();
    let start = journal.iter().find(|call| call.op == Op::Start).unwrap();
    assert!(start.at >= "2026-03-02T08:00:20Z".parse().unwrap(), "{start:?}");
}

#[tokio::test(start_paused = true)]
async fn describes_that_lag_are_not_believed_too_soon() {
    for seed in 0..20 {
        let weather = Weather { describe_lag_ms: 4_000, ..Weather::calm() };
        let mut s = Scene::with(ALL_WITH_APP, seed, weather, &[]);
        s.created("orders", secs(0.5));
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.starts("orders"), ["app"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_described_yet_is_waited_for() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(0.5));
    s.faults(Op::Describe, Fault::Refused(Class::Ignored, "ResourceNotFoundException"), 4);
    s.drain().await;
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_exist_is_not_applicable_and_not_touched() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| state.emit("StopStreamEncryption", "ghost", Tool::Cli, now));
    s.set(|state, now| state.emit("CreateStream", "phantom", Tool::Cli, now));
    s.drain().await;
    for stream in ["ghost", "phantom"] {
        assert_eq!(s.end(stream), (Compliance::NotApplicable, Reason::StreamGone, ProofState::NotSought), "{stream}");
    }
    assert!(s.journal().iter().all(|call| matches!(call.op, Op::Describe | Op::Parameter | Op::Send)));
    assert!((30.0..60.0).contains(&s.elapsed()), "a new one gets its 30 s: {} s", s.elapsed());
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_stream_deleted_under_way_ends_in_evidence() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(30.0));
    s.later(secs(10.0), |state, now| state.delete("orders", now));
    s.drain().await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NotApplicable, Reason::StreamGone));
    assert!(s.starts("orders").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_created_anew_under_the_same_name_starts_afresh() {
    let mut s = Scene::new(ALL_WITH_APP);
    // The first one is still CREATING when its run defers; the message of it meets the second one.
    s.created("orders", secs(3_000.0));
    s.later(secs(47.0), |state, now| state.delete("orders", now));
    s.later(secs(55.0), |state, now| state.create("orders", now, secs(1.0), Tool::Cli));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let evidence = s.last("orders");
    assert!(evidence.attempt <= 1, "it settled once, and the first one's attempts are not its own");
    let created = evidence.after.unwrap().observed.created;
    assert!(evidence.first_seen >= created, "nor is the time that was spent on it");
    assert_eq!(s.starts("orders"), ["app"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_status_is_never_acted_on() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.set_status("orders", now, StreamStatus::Unknown(EventText::new("MIGRATING")));
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    s.later(secs(100.0), |state, now| state.set_status("orders", now, StreamStatus::Active));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert!(s.all("orders").len() > 1, "it was observed again by a later run");
}

#[tokio::test(start_paused = true)]
async fn after_the_deadline_it_gives_up_and_says_so() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", hours(24 * 30));
    s.drain().await;
    let all = s.all("orders");
    let gave_up: Vec<_> = all.iter().filter(|e| e.verdict.reason == Reason::GaveUp).collect();
    // At the deadline, and at each of the two observations after it.
    assert_eq!(gave_up.len(), 3);
    assert!(gave_up.iter().all(|e| e.verdict.compliance == Compliance::InsufficientData));
    assert_eq!(s.alarms("orders"), [Reason::GaveUp]);
    let after = |e: &streamseal::domain::evidence::Evidence| e.finished_at.duration_since(e.first_seen).as_secs();
    assert!((6 * 3600..6 * 3600 + 1_100).contains(&after(gave_up[0])), "{} s", after(gave_up[0]));
    assert!(s.starts("orders").is_empty());
    assert!(all.len() < 45, "{} runs", all.len());
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_is_broken_now_and_then_does_not_have_it_followed_for_ever() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", hours(24 * 30));
    for hour in 0..48 {
        let broken = f64::from(hour) * 3_600.0 + 600.0;
        s.later(secs(broken), |state, _| drop(state.parameters.insert("/policy".to_owned(), String::new())));
        s.later(secs(broken + 1_800.0), |state, _| {
            state.parameters.insert("/policy".to_owned(), ALL_WITH_APP.to_owned());
        });
    }
    s.drain().await;
    let gave_up = s.all("orders").into_iter().find(|e| e.verdict.reason == Reason::GaveUp).expect("it gives up");
    // The half of the time in which there was no policy does not count.
    let after = gave_up.finished_at.duration_since(gave_up.first_seen).as_hours();
    assert!((9..=14).contains(&after), "{after} h");
}

#[tokio::test(start_paused = true)]
async fn a_deferred_run_still_owes_the_proof() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.weather.update_ms = 100_000..=100_000;
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    let all = s.all("orders");
    assert_eq!(all[0].proof.state, ProofState::Owed);
    assert!(all.len() > 1);
    assert_eq!(s.starts("orders"), ["app"]);
}

#[tokio::test(start_paused = true)]
async fn somebody_who_changes_it_back_at_once_is_reported() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    // As soon as our Start is through, while we still wait for it to show.
    let done = Arc::new(AtomicBool::new(false));
    for tick in 0..400 {
        let done = Arc::clone(&done);
        s.later(secs(f64::from(tick) * 0.025), move |state, now| {
            let through = state.body("orders", now).is_some_and(|body| body.key.is_some());
            if through && !done.load(Ordering::Relaxed) && state.stop("orders", now).is_ok() {
                done.store(true, Ordering::Relaxed);
            }
        });
    }
    s.set(|state, _| state.weather.update_ms = 1_000..=1_000);
    s.drain().await;
    let overtaken = s.all("orders").into_iter().find(|e| e.verdict.reason == Reason::Overtaken).unwrap();
    assert!(overtaken.verdict.alarm);
    assert_eq!(overtaken.remediation, Remediation::Failed);
    // It is observed again a quarter of an hour later, and then it holds.
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn refused_for_good_it_ends_with_an_alarm_and_is_tried_again_much_later() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.fault(Op::Start, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDeniedException"));
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    let [first, second] = &s.all("orders")[..] else { panic!("one run and one more") };
    assert_eq!((first.verdict.compliance, first.verdict.reason), (Compliance::NonCompliant, Reason::StartRefused));
    assert!(first.verdict.alarm);
    // A permission may only have been late.
    assert_eq!(second.started_at.duration_since(first.finished_at).as_mins(), 15);
    s.assert_sealed("orders", "app");
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_we_may_not_observe_is_insufficient_data_with_an_alarm() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.faults(Op::Describe, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDeniedException"), 3);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::InsufficientData, Reason::AccessDenied));
    // Now, after 15 min, after 1 h more.
    assert_eq!(s.all("orders").len(), 3);
    assert_eq!(s.alarms("orders"), [Reason::AccessDenied], "the first of the three");
    assert!((4_500.0..4_600.0).contains(&s.elapsed()), "{} s", s.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_days_quota_is_waited_for_and_not_hammered() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    spend_the_quota(&s, 25);
    s.drain().await;
    s.assert_sealed("orders", "app");
    let at: Vec<f64> = s.journal().iter().filter(|c| c.op == Op::Start).map(|c| hours_since_begin(c.at)).collect();
    let rounded: Vec<f64> = at.iter().map(|h| (h * 10.0).round() / 10.0).collect();
    assert_eq!(rounded, [0.0, 1.0, 5.0, 9.0, 13.0, 17.0, 21.0, 25.0]);
    let first = &s.all("orders")[0].verdict;
    assert_eq!(first.withheld.map(|w| w.as_str()), Some("quota"));
    assert!(first.alarm, "whoever may start and stop left it without encryption for a day");
}

/// 25 Starts of `orders`, all in the hour before, of which CloudTrail shows `shown`; then somebody stops encryption.
fn spend_the_quota(s: &Scene, shown: usize) {
    s.set(|state, now| {
        let starts: Vec<_> = (0..25).map(|i| now - secs(f64::from(i) * 100.0)).collect();
        for at in starts.iter().take(shown) {
            state.record_change(ChangeKind::Start, "orders", Some("alias/other"), Tool::Cli, *at);
        }
        state.streams.get_mut("orders").unwrap().starts.extend(starts);
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_the_history_does_not_show_is_taken_for_a_rate_for_a_minute() {
    for shown in [0, 19] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        spend_the_quota(&s, shown);
        s.drain().await;
        s.assert_sealed("orders", "app");
        let all = s.all("orders");
        let first = all.iter().position(|e| e.verdict.withheld.is_some()).unwrap();
        assert!(all[..first].iter().all(|e| e.verdict.reason == Reason::Unfinished), "{}", s.story("orders"));
        let (from, to) = (all[0].finished_at, all[first].finished_at);
        // Three minutes after a Stop the history is taken for complete.
        assert!((60.0..200.0).contains(&to.duration_since(from).as_secs_f64()), "{from} to {to}");
        assert!(all[first].verdict.alarm, "the stream is not encrypted");
        // The minute's refusals, and then those of the hours.
        assert!((9..=12).contains(&s.starts("orders").len()), "{:?}", s.starts("orders"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_quota_of_a_deleted_stream_is_its_successors() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        for i in 0..25 {
            let at = now - secs(f64::from(i) * 100.0);
            state.streams.get_mut("orders").unwrap().starts.push(at);
            state.record_change(ChangeKind::Start, "orders", None, Tool::Cli, at);
        }
        state.delete("orders", now);
    });
    s.later(secs(60.0), |state, now| {
        state.create("orders", now, secs(1.0), Tool::Cli);
        state.emit("CreateStream", "orders", Tool::Cli, now);
    });
    s.drain().await;
    let first = s.all("orders").remove(0);
    assert_eq!(first.verdict.withheld.map(|why| why.as_str()), Some("quota"), "{}", s.story("orders"));
    assert!(first.verdict.alarm);
}

#[tokio::test(start_paused = true)]
async fn a_spent_quota_on_a_usable_key_wakes_nobody() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/other"));
    spend_the_quota(&s, 25);
    s.drain().await;
    let first = s.all("orders").remove(0);
    assert_eq!((first.verdict.withheld.map(|why| why.as_str()), first.verdict.alarm), (Some("quota"), false));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_found_once_is_not_gone() {
    let gone = || Fault::Refused(Class::Ignored, "ResourceNotFoundException");
    for op in [Op::Describe, Op::Start] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        // A run that has seen the stream before: its message says so.
        s.fault(Op::Start, Fault::Throttled);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        s.later(secs(10.0), move |state, _| state.script.push(Script { op, target: None, fault: gone() }));
        s.drain().await;
        s.assert_sealed("orders", "app");
    }
    // Nor is a new one, whose event may be older than the grace of a describe that is late.
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| {
        state.create("orders", now - secs(100.0), secs(1.0), Tool::Cli);
        state.emit("CreateStream", "orders", Tool::Cli, now - secs(90.0));
    });
    s.fault(Op::Describe, gone());
    s.drain().await;
    s.assert_sealed("orders", "app");
    // One that is not found twice is.
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.fault(Op::Start, Fault::Throttled);
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.later(secs(10.0), |state, now| state.delete("orders", now));
    s.drain().await;
    assert_eq!(s.end("orders").1, Reason::StreamGone);
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_moments_trouble_does_not_end_the_wait_for_the_quota() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.streams.get_mut("orders").unwrap().starts.extend((0..25).map(|_| now));
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    // Nine hours later, longer than an event is followed, the observation goes wrong once.
    s.later(hours(9) - secs(60.0), |state, _| {
        let once = |op, fault| Script { op, target: None, fault };
        state.script.push(once(Op::Start, Fault::Throttled));
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn without_leave_to_recurse_lambda_would_cut_such_a_chain() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.queue.loops_allowed = false;
        state.streams.get_mut("orders").unwrap().starts.extend((0..25).map(|_| now));
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    s.drain().await;
    assert_eq!(s.set(|state, _| state.queue.dropped.len()), 1, "the template has to say RecursiveLoop: Allow");
    assert_eq!(s.key("orders"), None);
}

fn hours_since_begin(at: jiff::Timestamp) -> f64 {
    at.duration_since(crate::sim::BEGIN.parse().unwrap()).as_secs_f64() / 3600.0
}

#[tokio::test(start_paused = true)]
async fn evidence_names_the_key_before_and_after() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/other"));
    s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let evidence = s.last("orders");
    let key = |setting: &Option<streamseal::domain::evidence::Setting>| {
        setting.as_ref().and_then(|s| s.key.as_ref()).map(ToString::to_string)
    };
    assert_eq!((key(&evidence.before), key(&evidence.after)), (Some(key_arn("other")), Some(key_arn("app"))));
    assert!(evidence.rekeyed);
    // Who may use that key is for another command to say.
    let document = serde_json::to_value(streamseal::domain::evidence::v1::Document::from(&evidence)).unwrap();
    let command = format!("streamseal impact orders --region eu-west-1 --key {}", key_arn("app"));
    assert_eq!((&document["producers"], &document["impact"]), (&"unknown".into(), &command.into()));
}
