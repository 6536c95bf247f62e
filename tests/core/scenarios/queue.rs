//! The queue: what is acknowledged, what comes again, what ends in the dead-letter queue, and at which rates.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use streamseal::domain::backoff::WORK;
use streamseal::domain::cause::STOP;
use streamseal::domain::evidence::Evidence;
use streamseal::domain::failure::{Class, Fault as Lasting, Unfinished};
use streamseal::domain::note::Outcome;
use streamseal::domain::verdict::{Compliance, Reason};
use streamseal::ports::Clock;
use streamseal::run::handler::answer::{Answer, Unhandled};

use crate::sim::actors::{Tool, event};
use crate::sim::faults::{EXPIRED, Fault, Script, Weather};
use crate::sim::queue::TIMEOUT;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{BEGIN, Op};

impl Scene {
    /// Puts any text into the queue.
    fn message(&self, body: &str) {
        self.set(|state, now| state.enqueue(body.to_owned(), now, secs(0.0), 0));
    }

    fn noted(&self, outcome: Outcome) -> usize {
        self.set(|state, _| state.notes.iter().filter(|note| note.outcome == outcome).count())
    }
}

#[tokio::test(start_paused = true)]
async fn an_ignored_event_makes_no_call_at_all() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    for call in ["DeleteStream", "UpdateShardCount", "PutRecord"] {
        s.message(&event(call, "orders", Tool::Cli, "e", BEGIN.parse().unwrap()).to_string());
    }
    s.drain().await;
    assert!(s.journal().is_empty(), "{:?}", s.journal());
    assert_eq!(s.noted(Outcome::Ignored), 3);
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_rejected_event_is_acknowledged_and_makes_no_call_at_all() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    let mut foreign = event("StopStreamEncryption", "orders", Tool::Cli, "e", BEGIN.parse().unwrap());
    foreign["account"] = json!("999999999999");
    s.message(&foreign.to_string());
    s.message(&json!({"action": "reconcile", "stream": "a/b"}).to_string());
    s.drain().await;
    assert!(s.journal().is_empty());
    assert_eq!(s.noted(Outcome::Rejected), 2);
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_malformed_message_fails_alone_and_reaches_the_dead_letter_queue() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.message("not json");
    s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    assert_eq!(s.starts("orders"), ["app"]);
    assert_eq!(s.end("orders").0, Compliance::Compliant);
    let dead = s.set(|state, _| state.queue.dead.clone());
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].body, "not json");
    assert_eq!(s.noted(Outcome::Failed), 5, "said each time");
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_its_own_item_and_no_other() {
    let mut s = Scene::new(ALL_WITH_APP);
    for stream in ["bills", "orders", "users"] {
        s.existing(stream, None);
        s.set(|state, now| state.emit("StopStreamEncryption", stream, Tool::Cli, now));
    }
    s.set(|state, _| {
        state.script.push(Script { op: Op::Lookup, target: None, fault: Fault::Panic });
    });
    s.drain().await;
    for stream in ["bills", "orders", "users"] {
        s.assert_sealed(stream, "app");
    }
    assert_eq!(s.noted(Outcome::Failed), 1);
    let soon = |e: &streamseal::domain::evidence::Evidence| e.finished_at < "2026-03-02T08:01:00Z".parse().unwrap();
    assert_eq!(s.set(|state, _| state.evidence.iter().filter(|e| soon(e)).count()), 2);
}

#[test]
fn delays_grow_and_are_spread() {
    let mut dice = fastrand::Rng::with_seed(1);
    for (attempt, middle) in [(0, 15.0), (1, 30.0), (2, 60.0), (5, 480.0), (6, 900.0), (u32::MAX, 900.0)] {
        let delays: Vec<f64> = (0..200).map(|_| WORK.pause(attempt, dice.f64()).as_secs_f64()).collect();
        let least = delays.iter().copied().fold(f64::INFINITY, f64::min);
        let most = delays.iter().copied().fold(0.0, f64::max);
        // SQS takes no delay beyond a quarter of an hour.
        let highest: f64 = 900.0;
        assert!(least >= middle * 0.8 && most <= highest.min(middle * 1.2), "{attempt}: {least} to {most}");
        assert!(most - least > middle * 0.15, "{attempt}: a burst would come back as one: {least} to {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_cannot_be_sent_on_comes_again_itself() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(100.0));
    s.fault(Op::Send, Fault::Throttled);
    s.drain().await;
    s.assert_sealed("orders", "app");
    // After the visibility timeout, and not from a message of ours.
    assert!(s.all("orders").iter().all(|e| e.attempt == 0));
    assert!(s.elapsed() > 720.0);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_what_is_not_finished_is_the_callers_to_retry() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| {
        state.queue.exists = false;
        state.create("orders", now, secs(100.0), Tool::Cli);
    });
    let answer = s.event("CreateStream", "orders", Tool::Cli).await;
    assert!(matches!(&answer, Err(Unhandled::Retryable(Unfinished::Open { code: "StillWaiting", .. }))), "{answer:?}");
    // What is finished is an answer, even if another observation would be good.
    s.existing("bills", None);
    s.fault(Op::Describe, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDeniedException"));
    let answer = s.direct(&json!({"action": "reconcile", "stream": "bills"})).await.unwrap();
    assert_eq!(answer["reason"], "access-denied");
}

#[tokio::test(start_paused = true)]
async fn events_of_one_stream_in_one_batch_are_one_run() {
    let mut merged = 0;
    for seed in 0..10 {
        let mut s = Scene::with(ALL_WITH_APP, seed, Weather::calm(), &[]);
        s.existing("orders", None);
        s.set(|state, now| {
            for call in ["AddTagsToStream", "StopStreamEncryption", "RemoveTagsFromStream"] {
                state.emit(call, "orders", Tool::Cli, now);
            }
        });
        s.lambda.concurrency = 1;
        s.drain().await;
        assert_eq!(s.starts("orders"), ["app"], "seed {seed}");
        let ended: Vec<_> = s.all("orders").into_iter().filter(|e| !e.verdict.reason.is_open()).collect();
        assert!(ended.iter().all(|e| e.verdict.compliance == Compliance::Compliant));
        let answered =
            |e: &Evidence| -> Vec<String> { e.cause.event_id.iter().chain(&e.also).map(ToString::to_string).collect() };
        let all: BTreeSet<String> = ended.iter().flat_map(answered).collect();
        assert_eq!(all.len(), 3, "each event is in evidence: {}", s.story("orders"));
        // The tags can wait, the stop cannot: its event is the second one.
        let of_the_stop = ended.iter().find(|e| answered(e).contains(&"event-2".to_owned())).unwrap();
        assert_eq!(of_the_stop.cause.call.as_str(), STOP, "seed {seed}");
        merged += ended.iter().map(|e| e.also.len()).sum::<usize>();
        s.assert_queues_empty();
    }
    assert!(merged >= 5, "{merged} of 30 events came with another one and ended with it");
}

#[tokio::test(start_paused = true)]
async fn ten_events_of_one_busy_stream_end_before_the_timeout() {
    for seed in 0..5 {
        let mut s = Scene::with(ALL_WITH_APP, seed, Weather::calm(), &[]);
        s.lambda.concurrency = 1;
        s.set(|state, now| {
            state.create("orders", now, secs(400.0), Tool::Cli);
            (0..10).for_each(|_| state.emit("CreateStream", "orders", Tool::Cli, now));
        });
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.starts("orders"), ["app"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_asked_for_with_little_time_left_ends_in_time() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| state.create("orders", now, secs(100.0), Tool::Cli));
    let payload = s.set(|_, now| event("CreateStream", "orders", Tool::Cli, "e", now)).to_string();
    let answer = s.lambda.invoke(&payload, secs(15.0)).await.expect("it was not ended by the platform").unwrap();
    assert!(format!("{answer:?}").contains("unfinished"), "{answer:?}");
    assert!(s.elapsed() <= 10.0, "{} s: some time is kept for handing over", s.elapsed());
    s.drain().await;
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn no_write_is_begun_with_less_time_left_than_one_may_take() {
    // The run has 6 s. Policy, mode, stream, key and history are asked for first, with twice the latency each; a request may take 5 s.
    for (latency, starts) in [(50, true), (300, false)] {
        let weather = Weather { latency_ms: latency..=latency, ..Weather::calm() };
        let mut s = Scene::with(ALL_WITH_APP, 0, weather, &[]);
        s.existing("orders", None);
        s.set(|state, now| state.record_call("StopStreamEncryption", "orders", Tool::Cli, now));
        let payload = s.set(|_, now| event("StopStreamEncryption", "orders", Tool::Cli, "e", now)).to_string();
        s.lambda.invoke(&payload, secs(12.0)).await.expect("it was not ended by the platform").unwrap();
        assert_eq!(s.starts("orders").len(), usize::from(starts), "{latency} ms: {}", s.story("orders"));
        s.drain().await;
        s.assert_sealed("orders", "app");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_out_of_all_proportion_is_refused_in_clear_words() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| state.record_call("StopStreamEncryption", "orders", Tool::Cli, now));
    let event = event("StopStreamEncryption", "orders", Tool::Cli, "e", BEGIN.parse().unwrap()).to_string();
    let deep = format!("{}{event}{}", r#"{"requestContext":{},"requestPayload":"#.repeat(200), "}".repeat(200));
    for (payload, words) in [
        (deep.as_str(), "the payload is not JSON: recursion limit"),
        ("", "the payload is not JSON"),
        ("[[", "the payload is not JSON"),
        ("{}", "unknown event, none of"),
    ] {
        let answer = s.lambda.invoke(payload, secs(120.0)).await.expect("not killed");
        let Err(Unhandled::Malformed(why)) = answer else { panic!("{words}: {answer:?}") };
        assert!(why.starts_with(words), "{why}");
    }
    assert!(s.journal().is_empty());
    // A large one is read like any other.
    let padding = format!("{{\"padding\":\"{}\",", "x".repeat(1 << 20));
    s.lambda.invoke(&event.replacen('{', &padding, 1), secs(120.0)).await.expect("not killed").unwrap();
    s.assert_sealed("orders", "app");
}

/// Where an invocation has many runs, other instances are likely to have as many: each has the rate, one observation a second, and no burst.
#[tokio::test(start_paused = true)]
async fn a_full_batch_has_the_rate_and_no_burst() {
    let mut s = Scene::new(ALL_WITH_APP);
    let names: Vec<String> = (0..10).map(|n| format!("stream-{n}")).collect();
    let record = |name: &String| {
        let body = s.set(|state, now| {
            state.create(name, now, secs(100.0), Tool::Cli);
            event("CreateStream", name, Tool::Cli, name, now).to_string()
        });
        let arn = "arn:aws:sqs:eu-west-1:111122223333:work";
        json!({"messageId": name, "body": body, "eventSource": "aws:sqs", "eventSourceARN": arn})
    };
    let payload = json!({"Records": names.iter().map(record).collect::<Vec<_>>()}).to_string();
    s.lambda.invoke(&payload, secs(120.0)).await.expect("it was not ended by the platform").unwrap();
    let at: Vec<_> = s.journal().iter().filter(|call| call.op == Op::Describe).map(|call| call.at).collect();
    let soon = at.iter().filter(|a| a.duration_since(at[0]) < SignedDuration::from_millis(9_500)).count();
    assert_eq!(soon, 10, "{at:?}");
    s.drain().await;
    names.iter().for_each(|name| s.assert_sealed(name, "app"));
}

/// Two hundred streams at once, each with an event; the account's rates are 20 describes and 5 starts a second, and ours are
/// a part of that.
#[tokio::test(start_paused = true)]
async fn a_storm_of_events_keeps_the_rates() {
    let mut s = Scene::new(ALL_WITH_APP);
    for number in 0..200 {
        let name = format!("stream-{number}");
        s.existing(&name, None);
        s.set(|state, now| state.emit("StopStreamEncryption", &name, Tool::Cli, now));
    }
    s.drain().await;
    for number in 0..200 {
        assert_eq!(s.end(&format!("stream-{number}")).0, Compliance::Compliant);
    }
    // 5 instances with a burst of 6 describes and 1 start each, on top of 5 and 4 a second.
    for (op, rate, burst) in [(Op::Describe, 5, 30), (Op::Start, 4, 5)] {
        let at: Vec<_> = s.journal().iter().filter(|call| call.op == op).map(|call| call.at).collect();
        for span in [1, 10, 60] {
            let within = |from: &jiff::Timestamp| {
                at.iter().filter(|a| **a >= *from && **a < *from + SignedDuration::from_secs(span)).count()
            };
            let most = at.iter().map(within).max().unwrap();
            let allowed = usize::try_from(span).unwrap() * rate + burst;
            assert!(most <= allowed, "{op:?}: {most} in {span} s, {allowed} are allowed");
        }
    }
    s.assert_queues_empty();
}

/// A batch of messages with these bodies, m0 first.
fn batch(bodies: &[String]) -> String {
    let record = |(i, body): (usize, &String)| json!({"messageId": format!("m{i}"), "body": body, "eventSource": "aws:sqs", "attributes": {"ApproximateReceiveCount": "1"}});
    json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()}).to_string()
}

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_in_mid_batch_fail_what_is_unfinished_and_the_next_process_finishes_it() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("sealed", Some("app"));
    s.set(|state, now| state.create("new", now, secs(10.0), Tool::Cli));
    let message = |stream| event("CreateStream", stream, Tool::Cli, "e", BEGIN.parse().unwrap()).to_string();
    // The first is done while one run for the two others waits for their stream.
    let payload = batch(&[message("sealed"), message("new"), message("new")]);
    s.set(|state, _| state.script.push(Script { op: Op::Start, target: Some("new".to_owned()), fault: EXPIRED }));

    let answer = s.lambda.invoke(&payload, TIMEOUT).await.unwrap().unwrap();
    assert_eq!(answer, Answer::Batch(vec!["m1".to_owned(), "m2".to_owned()]));
    let journal = s.journal();
    assert_eq!(journal.last().map(|entry| entry.op), Some(Op::Start), "no call after it: {journal:?}");
    assert_eq!(s.last("new").verdict.reason, Reason::Unfinished);
    assert_eq!(s.noted(Outcome::Failed), 1);

    let again = batch(&[message("new"), message("new")]);
    let answer = s.lambda.invoke(&again, TIMEOUT).await.unwrap().unwrap();
    assert_eq!(answer, Answer::Batch(vec![]));
    s.check();
    s.assert_sealed("new", "app");
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_with_expired_credentials_is_not_asked_for_again() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.fault(Op::Parameter, EXPIRED);
    let failed = s.event("CreateStream", "orders", Tool::Cli).await.unwrap_err();
    assert_eq!((failed, s.journal().len()), (Unhandled::CredentialsExpired, 1));
    s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_no_call_up() {
    let slow = [("DESCRIBES_PER_SECOND", "1"), ("MAX_CONCURRENCY", "1")];
    let mut s = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &slow);
    s.existing("orders", Some("app"));
    s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
    s.sim.set_back(SignedDuration::from_hours(1));
    let before = s.sim.elapsed();
    let answer = s.event("CreateStream", "orders", Tool::Cli).await.unwrap();
    assert_eq!(answer["compliance"], "COMPLIANT", "{answer}");
    let took = s.sim.elapsed() - before;
    assert!(took < secs(10.0), "{took:?}");
}
