//! A flood of events through the real function, with the fault layer, which counts every call.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::scans::{SETTLE_NOT, Stack, kms_event};
use crate::support::{ACCOUNT, REGION, call, event, unique};

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

/// A finding of Security Hub about a stream.
fn finding(stream: &str) -> Value {
    let mut event = event("securityhub-findings-imported-kinesis1");
    event["id"] = json!(unique("event"));
    event["time"] = json!(jiff::Timestamp::now().to_string());
    let findings = event["detail"]["findings"].as_array_mut().unwrap();
    findings.truncate(1);
    let arn = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}");
    findings[0]["Resources"] = json!([{"Type": "AwsKinesisStream", "Id": arn}]);
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
    let fault = json!({
        "aged": [{"stream": "tagged", "by_s": 86_400}], "trail": {"lag_ms": 0},
        "hold": [{"stream": "stuck-*", "creating_ms": 3_600_000}],
    });
    let stack = Stack::start(20, &policy, &fault, &[("MAX_CONCURRENCY", "1"), ("DESCRIBES_PER_SECOND", "50")]);
    let (key, theirs) = (stack.parts.key("alias/app"), stack.parts.key("alias/theirs"));
    stack.parts.encrypted("tagged", &key);
    stack.parts.stream("new");
    let stuck: Vec<String> = (0..40).map(|number| format!("stuck-{number}")).collect();
    for name in &stuck {
        // Through the layer, which leaves them CREATING.
        let body = json!({"StreamName": name, "ShardCount": 1});
        call(&stack.fault.url, "Kinesis_20131202.CreateStream", "kinesis", &body).unwrap();
    }
    stack.new_function();

    let mut sent = BTreeSet::new();
    let mut send = |event: Value| {
        sent.insert(id(&event));
        stack.send(&event);
    };
    (0..150).for_each(|_| send(stream_event("kinesis-add-tags-to-stream", "tagged")));
    stuck.iter().for_each(|name| send(stream_event("kinesis-add-tags-to-stream", name)));
    (0..20).for_each(|_| send(finding("tagged")));
    for _ in 0..20 {
        let mut refused = stream_event("kinesis-start-stream-encryption", "tagged");
        refused["detail"]["errorCode"] = json!("AccessDenied");
        // It changed nothing: a note, and no run.
        stack.send(&refused);
    }
    send(stream_event("kinesis-create-stream-provisioned", "new"));
    (0..150).for_each(|_| send(stream_event("kinesis-add-tags-to-stream", "tagged")));
    let about_keys: Vec<Value> = (0..20).map(|_| kms_event("kms-enable-key", None, &theirs)).collect();
    about_keys.iter().for_each(|event| stack.send(event));
    let answered = |stack: &Stack| -> BTreeSet<String> {
        let events = |one: Value| {
            let also = one["cause"]["also"].as_array().cloned().unwrap_or_default();
            also.into_iter().chain([one["cause"]["event_id"].clone()]).filter_map(|id| id.as_str().map(str::to_owned))
        };
        stack.evidence(|_| true).into_iter().flat_map(events).collect()
    };
    // Every event is answered; the streams that are held come again and again.
    stack.run_until(240, |stack| !stack.summaries().is_empty() && sent.is_subset(&answered(stack)));

    let all = stack.evidence(|_| true);
    let about = |name: &str| all.iter().filter(|one| one["stream"]["name"] == json!(name)).collect::<Vec<_>>();
    let sealed =
        about("new").into_iter().find(|one| one["proof"]["state"] == "proven").expect("the new stream is proven");
    assert_eq!((&sealed["compliance"], &sealed["after"]["key_arn"]), (&json!("COMPLIANT"), &json!(key)));
    assert_eq!(stack.parts.describe("new")["KeyId"], json!(key));
    // A batch has ten messages: one run for each, and not one for each event.
    let runs = about("tagged");
    assert!((30..=80).contains(&runs.len()), "{} runs for 320 events", runs.len());
    // The requests of a window of one second are one scan; the batches of twenty messages may lie in some.
    let scans = stack.summaries().len();
    assert!((1..=6).contains(&scans), "{scans} scans for 20 events");
    let calls =
        ["kinesis:DescribeStreamSummary", "kms:DescribeKey", "kinesis:StartStreamEncryption", "kinesis:PutRecord"];
    let [describes, lookups, starts, puts] = calls.map(|call| stack.count(call));
    println!("401 messages: {} runs, {scans} scans, {describes} describes, {lookups} lookups of keys", all.len());
    assert_eq!((starts, puts), (1, 1), "the new stream's alone");
    assert!(describes <= 300 && lookups <= 250, "{describes} describes, {lookups} lookups of keys");
}
