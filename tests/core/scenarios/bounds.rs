//! Odd input, through the whole function: junk of any size makes a few lines, odd times and counters stop nothing, and no message of
//! our own becomes one that we refuse.

use serde_json::{Value, json};
use streamseal::domain::evidence::emf;
use streamseal::domain::evidence::v1::Document;

use crate::lines::Lines;
use crate::sim::actors::{Tool, event};
use crate::sim::queue::TIMEOUT;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{Op, arn};

/// "At most some dozens of log lines": of 30 items that are reported one by one, three each, and the counted rest.
const LINES_MAX: usize = 110;
/// No line of junk is as long as one of evidence.
const LENGTH_MAX: usize = 5_000;

/// What somebody may send, of about so many bytes: a name, the payload, and how many items are in it where that is known.
fn junk(bytes: usize) -> Vec<(&'static str, String, Option<u64>)> {
    let many = |item: &str| format!("[{}]", vec![item; bytes / (item.len() + 1)].join(","));
    let count = |item: &str| u64::try_from(bytes / (item.len() + 1)).unwrap();
    let long = "\\u202e\\n".repeat(bytes / 8);
    let records = |item: &str| format!(r#"{{"Records":{}}}"#, many(item));
    let sns = |message: &str| json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": message}}]}).to_string();
    let sqs = |body: &str| json!({"Records": [{"eventSource": "aws:sqs", "messageId": "m", "body": body}]}).to_string();
    let message = r#"{"eventSource":"aws:sqs","messageId":"m"}"#;
    let findings = |item: &str| {
        let source = r#""source":"aws.securityhub","detail-type":"Security Hub Findings - Imported""#;
        format!(r#"{{{source},"detail":{{"findings":{}}}}}"#, many(item))
    };
    let ours = r#"{"AwsAccountId":"111122223333","Region":"eu-west-1","GeneratorId":"/Kinesis.1","Compliance":{"Status":"FAILED"},"Resources":"#;
    let stream = |id: &str| format!(r#"{ours}[{{"Type":"AwsKinesisStream","Id":"{id}"}}]}}"#);
    let call = |name: &str| {
        format!(
            r#"{{"source":"aws.kinesis","detail-type":"AWS API Call via CloudTrail","account":"111122223333","region":"eu-west-1",
               "detail":{{"eventSource":"kinesis.amazonaws.com","eventName":"{name}","requestParameters":{{"streamName":"a b"}}}}}}"#
        )
    };
    let work = |more: &str| {
        format!(
            r#"{{"streamseal":"streamseal.work/v1","stream_arn":"{}","cause":{{"call":"{more}","actor":"{more}"}},
               "first_seen":"2026-03-02T08:00:00Z","attempt":1,"proof_owed":false}}"#,
            arn("nobody")
        )
    };
    let scan = |more: &str| {
        format!(
            r#"{{"streamseal":"streamseal.scan/v1","subject":{{"kind":"sweep"}},"id":"{more}","cause":{{"call":"sweep"}},"requested_at":"2026-03-02T08:00:00Z",
               "tally":{{"by_rule":{{"{more}":1}},"by_key":{{"{more}":1}},"history_unknown":"{more}"}}}}"#
        )
    };
    let plain = "x".repeat(bytes / 4);
    vec![
        ("records", records("{}"), Some(count("{}"))),
        ("numbers", records("0"), Some(count("0"))),
        ("in a notification", sns(&records("{}")), Some(count("{}"))),
        ("in notifications in a message", sqs(&sns(&records("0"))), Some(count("0"))),
        ("messages", records(message), Some(count(message))),
        ("findings", findings("{}"), Some(count("{}"))),
        ("findings of nobody", findings(&stream("a b")), Some(count(&stream("a b")))),
        ("findings of streams", findings(&stream("orders")), Some(1)),
        ("depth", "[".repeat(bytes), Some(1)),
        ("depth in a message", sqs(&"{\"a\":".repeat(bytes / 5)), Some(1)),
        ("a long name of a call", call(&long), Some(1)),
        ("a long name in one that is rejected", call("CreateStream").replace("a b", &long), Some(1)),
        ("a long text", format!("\"{long}\""), Some(1)),
        ("a long field", format!(r#"{{"streamseal":"streamseal.work/v1","{plain}":1}}"#), Some(1)),
        ("a long version", format!(r#"{{"streamseal":"{plain}","subject":{{"kind":"{plain}"}}}}"#), Some(1)),
        ("a long action", format!(r#"{{"action":"{plain}"}}"#), Some(1)),
        ("a long command", format!(r#"{{"action":"reconcile","stream":"{plain}"}}"#), Some(1)),
        ("work with long texts", work(&plain), None),
        ("a scan with long texts", scan(&plain), None),
    ]
}

/// How long each line is that the function wrote for one payload, and how many items it reported.
async fn lines_of(payload: &str) -> (Vec<usize>, u64) {
    let mut s = Scene::new(ALL_WITH_APP);
    // What leads to nothing is dropped here, and not tried again.
    s.set(|state, _| (state.queue.exists, state.queue.has_scans) = (false, false));
    let lines = Lines::of_this_thread();
    let _ = s.lambda.invoke(payload, TIMEOUT).await.expect("not killed");
    s.check();
    let mut lengths: Vec<usize> = lines.take().iter().map(String::len).collect();
    let items = s.set(|state, _| {
        for note in &state.notes {
            lengths.extend([note.to_json().to_string().len(), note.metrics().to_string().len()]);
        }
        for evidence in &state.evidence {
            let document = serde_json::to_string(&Document::from(evidence)).unwrap();
            lengths.extend([document.len(), emf::of_evidence(evidence).to_string().len()]);
        }
        for summary in &state.summaries {
            lengths.push(summary.to_json().to_string().len());
            lengths.extend(emf::of_summary(summary).iter().map(|line| line.to_string().len()));
        }
        state.notes.iter().map(|note| note.items).sum()
    });
    (lengths, items)
}

#[tokio::test(start_paused = true)]
async fn junk_of_any_size_makes_some_dozens_of_lines_and_all_of_it_is_counted() {
    // Of the largest payload that Lambda takes a few kinds: each takes its time here.
    let large = ["in notifications in a message", "messages", "a long text"];
    for bytes in [60_000, 6_000_000] {
        for (name, payload, items) in junk(bytes) {
            if bytes > 60_000 && !large.contains(&name) {
                continue;
            }
            let (lengths, reported) = lines_of(&payload).await;
            let (count, longest) = (lengths.len(), lengths.iter().max().copied().unwrap_or_default());
            assert!((1..=LINES_MAX).contains(&count), "{name} of {bytes} bytes: {count} lines");
            assert!(longest <= LENGTH_MAX, "{name} of {bytes} bytes: a line of {longest}");
            assert!(
                items.is_none_or(|items| items == reported),
                "{name} of {bytes} bytes: {reported} of {items:?} reported"
            );
        }
    }
}

/// Every message of a batch is answered for, however many are reported in one line.
#[tokio::test(start_paused = true)]
async fn a_batch_of_junk_fails_whole_and_alone() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    let record = |id: usize, body: Value| json!({"eventSource": "aws:sqs", "messageId": id.to_string(), "body": body});
    let good = s.set(|_, now| event("StopStreamEncryption", "orders", Tool::Cli, "e", now)).to_string();
    let mut records: Vec<Value> = (0..500).map(|id| record(id, json!("junk"))).collect();
    records.push(record(500, json!(good)));
    records.push(record(501, json!(json!({"Records": vec![0; 1_000]}).to_string())));
    let failed = s.direct(&json!({"Records": records})).await.unwrap();
    let mut failed: Vec<usize> =
        failed.as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse().unwrap()).collect();
    failed.sort_unstable();
    assert_eq!(failed, (0..500).chain([501]).collect::<Vec<_>>());
    s.drain().await;
    s.assert_sealed("orders", "app");
    let reported: u64 = s.set(|state, _| state.notes.iter().map(|note| note.items).sum());
    assert_eq!(reported, 500 + 1_000);
    // The next invocation reports its own.
    let before = s.set(|state, _| state.notes.len());
    assert!(s.direct(&json!({})).await.is_err());
    assert_eq!(s.set(|state, _| state.notes.split_off(before)).iter().map(|note| note.items).sum::<u64>(), 1);
}

/// What an event says of its time decides when we observe: an odd one must not send the stream's work where nothing brings it back.
#[tokio::test(start_paused = true)]
async fn an_event_of_an_odd_time_is_done_as_any_other() {
    for time in [
        "2026-03-03T08:00:00Z",
        "9999-12-30T22:00:00Z",
        "2026-03-02T12:59:59Z",
        "1970-01-01T00:00:00Z",
        "-009999-01-02T02:00:00Z",
    ] {
        for call in ["AddTagsToStream", "StopStreamEncryption", "CreateStream", "StartStreamEncryption"] {
            let mut s = Scene::new(ALL_WITH_APP);
            s.existing("orders", None);
            let mut odd = s.set(|_, now| event(call, "orders", Tool::Terraform, "odd", now));
            odd["detail"]["eventTime"] = json!(time);
            s.set(|state, now| state.enqueue(odd.to_string(), now, secs(0.0), 0));
            s.drain().await;
            s.assert_sealed("orders", "app");
            assert_eq!(s.starts("orders"), ["app"], "{call} at {time}: {}", s.story("orders"));
            assert!(s.elapsed() < 1_800.0, "{call} at {time} took {} s", s.elapsed());
        }
    }
}

/// The same of a sweep, and of a key's event.
#[tokio::test(start_paused = true)]
async fn a_scan_that_is_asked_for_at_an_odd_time_is_made() {
    for time in ["2026-03-03T08:00:00Z", "9999-12-30T22:00:00Z", "1970-01-01T00:00:00Z"] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        let schedule = json!({
            "version": "0", "id": "e", "detail-type": "Scheduled Event", "source": "aws.events", "account": "111122223333",
            "region": "eu-west-1", "time": time, "detail": {}, "resources": [],
        });
        s.set(|state, now| state.enqueue(schedule.to_string(), now, secs(0.0), 0));
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.set(|state, _| state.summaries.len()), 1, "{time}");
    }
}

/// Counters at their end neither overflow nor make the follow-up one that is refused, wherever a message is deferred.
#[tokio::test(start_paused = true)]
async fn counters_at_their_end_stop_nothing() {
    for most in [u64::from(u32::MAX), u64::MAX] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.created("orders", secs(300.0));
        let work = json!({
            "streamseal": "streamseal.work/v1", "stream_arn": arn("orders").to_string(), "cause": {"call": "CreateStream"},
            "first_seen": "2026-03-02T08:00:00Z", "attempt": most, "reruns": most, "proof_owed": true,
        });
        let scan = json!({
            "streamseal": "streamseal.scan/v1", "subject": {"kind": "sweep"}, "id": "sweep@odd", "cause": {"call": "sweep"}, "parts": most - 1,
            "requested_at": "2026-03-02T08:00:00Z", "started_at": "2026-03-02T08:00:00Z", "failures": most, "tally": {"listed": most, "streams": most, "calls": {"a": most}},
        });
        for message in [work, scan] {
            s.set(|state, now| state.enqueue(message.to_string(), now, secs(0.0), 0));
        }
        // A part that fails, and one that is kept while the policy cannot be used.
        s.fault(Op::List, crate::sim::faults::Fault::Throttled);
        let good = s.set(|state, _| state.parameters.insert("/policy".to_owned(), "rules: []".to_owned())).unwrap();
        s.later(secs(100.0), move |state, _| {
            state.parameters.insert("/policy".to_owned(), good);
        });
        s.drain().await;
        s.assert_sealed("orders", "app");
        let reported = s.set(|state, _| state.summaries.pop()).unwrap();
        assert_eq!(reported.scan.tally.listed, most.saturating_add(1));
        s.assert_queues_empty();
    }
}
