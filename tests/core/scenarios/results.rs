//! Results on the bus: what arrives, when it is sent, and that nothing but a note follows where it cannot be.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use streamseal::domain::bus::{EVIDENCE, ResultEvent, SOURCE, SUMMARY};
use streamseal::domain::evidence::v1;
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::note::{Note, Outcome};

use crate::sim::actors::{Tool, event};
use crate::sim::faults::{Fault, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{Op, arn};

fn with_a_bus() -> Scene {
    Scene::with(ALL_WITH_APP, 7, Weather::calm(), &[("RESULT_BUS", "results")])
}

impl Scene {
    fn arrived(&self) -> Vec<ResultEvent> {
        self.set(|state, _| state.bus.arrived.clone())
    }

    fn bus_requests(&self) -> Vec<usize> {
        self.set(|state, _| state.bus.requests.clone())
    }

    /// The notes of lost results.
    fn lost(&self) -> Vec<Note> {
        let lost = |note: &&Note| matches!(note.outcome, Outcome::Lost(_));
        self.set(|state, _| state.notes.iter().filter(lost).cloned().collect())
    }

    fn assert_nothing_missing(&self) {
        assert_eq!(self.set(|state, _| state.missing()), [] as [String; 0]);
        assert_eq!(self.lost(), []);
    }

    /// So many streams that are a month old and not encrypted, each with an event on its way.
    fn stopped(&self, count: usize) {
        for i in 0..count {
            let name = format!("orders-{i}");
            self.existing(&name, None);
            self.set(|state, now| state.emit("StopStreamEncryption", &name, Tool::Cli, now));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_run_is_one_event_with_the_content_of_its_line() {
    let mut s = with_a_bus();
    s.created("orders", secs(20.0));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let all = s.all("orders");
    let expected: Vec<ResultEvent> = all.iter().map(|one| ResultEvent::of_evidence(one, &v1::document(one))).collect();
    assert_eq!(s.arrived(), expected);
    let last = s.arrived().pop().unwrap();
    assert_eq!((last.detail_type, last.resource.as_deref()), (EVIDENCE, Some(arn("orders").to_string().as_str())));
    let detail: Value = serde_json::from_str(&last.detail).unwrap();
    assert_eq!((&detail["schema"], &detail["compliance"]), (&json!("streamseal.evidence/v1"), &json!("COMPLIANT")));
    s.assert_nothing_missing();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_with_one_request_and_a_sweep_with_few() {
    let mut s = with_a_bus();
    s.stopped(10);
    s.drain().await;
    let runs = s.arrived().len();
    assert!(runs >= 10, "{runs}");
    // Messages come in batches of any size; the results of each batch go together.
    let invocations = s.set(|state, _| state.bus.ended.len());
    assert!(s.bus_requests().len() <= invocations, "{:?} of {invocations} invocations", s.bus_requests());

    let before = s.bus_requests().len();
    let answer = s.direct(&json!({"action": "sweep"})).await.unwrap();
    assert_eq!(answer["outcome"], "queued");
    s.drain().await;
    // They are under way at once, so that the second may arrive first.
    let mut requests = s.bus_requests().split_off(before);
    requests.sort_unstable();
    assert_eq!(requests, [1, 10], "ten streams and the summary");
    let last = s.arrived().into_iter().rfind(|result| result.detail_type == SUMMARY).unwrap();
    assert_eq!((last.detail_type, last.resource), (SUMMARY, None));
    let detail: Value = serde_json::from_str(&last.detail).unwrap();
    assert_eq!(detail, s.set(|state, _| state.summaries.last().unwrap().to_json()));
    s.assert_nothing_missing();
}

#[tokio::test(start_paused = true)]
async fn without_a_bus_nothing_is_sent() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(5.0));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!((s.arrived(), s.lost(), s.count(Op::Bus)), (vec![], vec![], 0));
}

/// Whatever the bus does, the stream is sealed, no message comes again and no run is made twice.
#[tokio::test(start_paused = true)]
async fn a_bus_that_fails_costs_its_results_and_nothing_else() {
    let refused = Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied");
    for (fault, reason) in [
        (refused, "Refused"),
        (Fault::ServerError, "Retryable"),
        (Fault::LostBefore, "Retryable"),
        (Fault::Panic, "Panicked"),
    ] {
        let mut calm = with_a_bus();
        calm.created("orders", secs(5.0));
        calm.drain().await;
        let mut s = with_a_bus();
        s.created("orders", secs(5.0));
        s.faults(Op::Bus, fault, 20);
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.all("orders").len(), calm.all("orders").len(), "{fault:?}: as many runs as with a bus");
        for op in [Op::Describe, Op::Start, Op::Put, Op::Read, Op::Send] {
            assert_eq!(s.count(op), calm.count(op), "{fault:?}: {op:?}");
        }
        assert_eq!(s.arrived(), [], "{fault:?}");
        let lost = s.lost();
        assert!(!lost.is_empty(), "{fault:?}: it is reported");
        assert!(lost.iter().all(|note| note.reason == reason), "{fault:?}: {lost:?}");
        assert_eq!(s.set(|state, _| state.reported_lost()), u64::try_from(s.all("orders").len()).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_not_tried_for_the_rest() {
    let mut s = with_a_bus();
    (0..120).for_each(|i| s.existing(&format!("s-{i:03}"), None));
    s.faults(Op::Bus, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied"), 10);
    // Without a queue of scans it runs where it is asked for.
    s.set(|state, _| state.queue.has_scans = false);
    s.direct(&json!({"action": "sweep"})).await.unwrap();
    // Ten requests were under way when the first refusal came; the thirteenth is not made.
    assert_eq!(s.count(Op::Bus), 10);
    assert_eq!(s.lost()[0].to_json()["results"], 121);
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_refused_for_now_are_sent_again_and_no_others() {
    let mut s = with_a_bus();
    (0..4).for_each(|i| s.existing(&format!("s-{i}"), None));
    s.set(|state, _| state.bus.refusals = vec![(1, Class::Retryable), (2, Class::Permanent(Lasting::Request))]);
    s.set(|state, _| state.queue.has_scans = false);
    s.direct(&json!({"action": "sweep"})).await.unwrap();
    // Four streams and the summary; then the one that may pass.
    assert_eq!(s.bus_requests(), [5, 1]);
    assert_eq!(s.arrived().len(), 4);
    let lost = s.lost();
    assert_eq!((lost.len(), lost[0].outcome, lost[0].reason), (1, Outcome::Lost(1), "Refused"));
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    s.arrived().into_iter().for_each(|event| *times.entry(event.detail).or_default() += 1);
    assert!(times.values().all(|times| *times == 1), "nothing twice");
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_is_refused_for_good_costs_no_other() {
    let mut s = with_a_bus();
    (0..120).for_each(|i| s.existing(&format!("s-{i:03}"), None));
    s.set(|state, _| state.bus.refusals = vec![(1, Class::Permanent(Lasting::Request))]);
    s.set(|state, _| state.queue.has_scans = false);
    s.direct(&json!({"action": "sweep"})).await.unwrap();
    // More requests than are under way at once, and all of them made.
    assert_eq!((s.count(Op::Bus), s.arrived().len()), (13, 120));
    let lost = s.lost();
    assert_eq!((lost.len(), lost[0].outcome, lost[0].reason), (1, Outcome::Lost(1), "Refused"));
}

/// No request is waited for beyond the end of the invocation, which Lambda would kill, and with it the acknowledgement.
#[tokio::test(start_paused = true)]
async fn a_bus_that_does_not_answer_is_not_waited_for_past_the_deadline() {
    let mut s = with_a_bus();
    s.existing("orders", Some("app"));
    // A request to the simulation is given up after 5 s; of 4 s one is left for the answer.
    s.faults(Op::Bus, Fault::LostAfter, 20);
    let event = s.set(|_, now| event("StopStreamEncryption", "orders", Tool::Cli, "e", now));
    let answer = s.lambda.invoke(&event.to_string(), secs(4.0)).await.expect("it ended in time");
    answer.unwrap();
    assert!((2.9..3.1).contains(&s.elapsed()), "{} s", s.elapsed());
    let lost = s.lost();
    assert_eq!((lost.len(), lost[0].reason), (1, "NoTimeLeft"), "{lost:?}");
}

/// Our own events follow from what we do; one that reaches us must not make us do anything.
#[tokio::test(start_paused = true)]
async fn an_event_of_ours_that_comes_back_is_ignored() {
    let mut s = with_a_bus();
    s.created("orders", secs(5.0));
    s.drain().await;
    s.direct(&json!({"action": "sweep"})).await.unwrap();
    s.drain().await;
    let (arrived, calls) = (s.arrived(), s.journal().len());
    assert!(arrived.iter().any(|event| event.detail_type == SUMMARY));
    for event in &arrived {
        let detail: Value = serde_json::from_str(&event.detail).unwrap();
        let envelope = json!({
            "version": "0", "id": "1", "source": SOURCE, "detail-type": event.detail_type, "account": "111122223333",
            "region": "eu-west-1", "time": "2026-03-02T08:00:00Z", "resources": event.resource, "detail": detail,
        });
        let answer = s.direct(&envelope).await.unwrap();
        assert_eq!((&answer["outcome"], &answer["reason"]), (&json!("ignored"), &json!("OtherEvent")), "{answer}");
    }
    assert_eq!(s.journal().len(), calls, "no call at all, and no result of a result");
}
