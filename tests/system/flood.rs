//! A flood of events through the real function, with the fault layer, which counts every call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::scans::{SETTLE_NOT, Stack, kms_event};
use crate::support::{event, unique};

/// An event about a stream, as CloudTrail reports it now.
fn stream_event(file: &str, stream: &str) -> Value {
    let mut event = event(file);
    let now = json!(jiff::Timestamp::now().to_string());
    event["id"] = json!(unique("event"));
    event["time"] = now.clone();
    event["detail"]["eventTime"] = now;
    event["detail"]["requestParameters"] = json!({"streamName": stream});
    event["detail"]["responseElements"] = Value::Null;
    event
}

fn id(event: &Value) -> String {
    event["id"].as_str().unwrap().to_owned()
}

#[test]
fn hundreds_of_events_are_few_runs_and_scans_and_none_is_lost() {
    let policy = format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, {SETTLE_NOT}}}, \
         rules: [{{name: all, key: alias/app}}]}}"
    );
    let fault = json!({"aged": [{"stream": "tagged", "by_s": 86_400}], "trail": {"lag_ms": 0}});
    let stack = Stack::start(20, &policy, &fault, &[("MAX_CONCURRENCY", "1"), ("DESCRIBES_PER_SECOND", "50")]);
    let (key, theirs) = (stack.parts.key("alias/app"), stack.parts.key("alias/theirs"));
    stack.parts.encrypted("tagged", &key);
    stack.parts.stream("new");
    stack.new_function();

    let mut sent = BTreeSet::new();
    let mut send = |event: Value| {
        sent.insert(id(&event));
        stack.send(&event);
    };
    (0..150).for_each(|_| send(stream_event("kinesis-add-tags-to-stream", "tagged")));
    send(stream_event("kinesis-create-stream-provisioned", "new"));
    (0..150).for_each(|_| send(stream_event("kinesis-add-tags-to-stream", "tagged")));
    let about_keys: Vec<Value> = (0..20).map(|_| kms_event("kms-enable-key", None, &theirs)).collect();
    about_keys.iter().for_each(|event| stack.send(event));
    stack.run_until(240, |stack| !stack.summaries().is_empty() && stack.is_idle());

    let all = stack.evidence(|_| true);
    let about = |name: &str| all.iter().filter(|one| one["stream"]["name"] == json!(name)).collect::<Vec<_>>();
    let sealed =
        about("new").into_iter().find(|one| one["proof"]["state"] == "proven").expect("the new stream is proven");
    assert_eq!((&sealed["compliance"], &sealed["after"]["key_arn"]), (&json!("COMPLIANT"), &json!(key)));
    assert_eq!(stack.parts.describe("new")["KeyId"], json!(key));
    // A batch has ten messages: one run for each, and not one for each event.
    let runs = about("tagged");
    assert!((30..=80).contains(&runs.len()), "{} runs for 300 events", runs.len());
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let answered: BTreeSet<String> = all
        .iter()
        .flat_map(|one| {
            let also = one["cause"]["also"].as_array().cloned().unwrap_or_default();
            also.iter().chain([&one["cause"]["event_id"]]).filter_map(text).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(sent.difference(&answered).collect::<Vec<_>>(), [] as [&String; 0], "every event is answered");
    // The requests of a window of one second are one scan; the batches of twenty messages may lie in some.
    let scans = stack.summaries().len();
    assert!((1..=6).contains(&scans), "{scans} scans for 20 events");
    let calls =
        ["kinesis:DescribeStreamSummary", "kms:DescribeKey", "kinesis:StartStreamEncryption", "kinesis:PutRecord"];
    let [describes, lookups, starts, puts] = calls.map(|call| stack.count(call));
    println!("321 messages: {} runs, {scans} scans, {describes} describes, {lookups} lookups of keys", all.len());
    assert_eq!((starts, puts), (1, 1), "the new stream's alone");
    assert!(describes <= 100 && lookups <= 250, "{describes} describes, {lookups} lookups of keys");
}
