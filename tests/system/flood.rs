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
         rules: [{{name: b, match: {{stream: 'b-*'}}, key: alias/b}}, {{name: all, key: alias/app}}]}}"
    );
    let fault = json!({
        "aged": [{"stream": "tagged", "by_s": 86_400}, {"stream": "b-*", "by_s": 86_400}], "trail": {"lag_ms": 0},
        "hold": [{"stream": "stuck-*", "creating_ms": 3_600_000}],
    });
    let stack = Stack::start(20, &policy, &fault, &[("MAX_CONCURRENCY", "1"), ("DESCRIBES_PER_SECOND", "50")]);
    let (key, theirs) = (stack.parts.key("alias/app"), stack.parts.key("alias/theirs"));
    let (before, after) = (stack.parts.key("alias/b"), stack.parts.key("alias/b2"));
    stack.parts.encrypted("tagged", &key);
    stack.parts.encrypted("b-0", &before);
    stack.parts.stream("new");
    let stuck: Vec<String> = (0..60).map(|number| format!("stuck-{number}")).collect();
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
    stack.parts.kms("UpdateAlias", json!({"AliasName": "alias/b", "TargetKeyId": after}));
    stack.send(&kms_event("kms-update-alias", Some("alias/b"), &after));
    let sent_at = jiff::Timestamp::now();
    let answered = |stack: &Stack| -> BTreeSet<String> {
        let events = |one: Value| {
            let also = one["cause"]["also"].as_array().cloned().unwrap_or_default();
            also.into_iter().chain([one["cause"]["event_id"].clone()]).filter_map(|id| id.as_str().map(str::to_owned))
        };
        stack.evidence(|_| true).into_iter().flat_map(events).collect()
    };
    // Every event is answered; the streams that are held come again and again.
    let is_moved = |stack: &Stack| stack.parts.describe("b-0")["KeyId"] == json!(after);
    stack.run_until(400, |stack| stack.summaries().len() >= 2 && sent.is_subset(&answered(stack)) && is_moved(stack));

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
    let (of_aliases, of_keys): (Vec<Value>, Vec<Value>) =
        stack.summaries().into_iter().partition(|summary| summary["scan"]["kind"] == json!("alias"));
    let scans = of_keys.len();
    assert!((1..=6).contains(&scans) && of_aliases.len() == 1, "{scans} scans for 20 events, and {of_aliases:?}");
    let calls =
        ["kinesis:DescribeStreamSummary", "kms:DescribeKey", "kinesis:StartStreamEncryption", "kinesis:PutRecord"];
    let [describes, lookups, starts, puts] = calls.map(|call| stack.count(call));
    // When they came, for people: how fast this machine is, is no part of the test.
    let after = |at: &Value| at.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().duration_since(sent_at).as_secs();
    println!(
        "422 messages: {} runs, {scans} scans of keys, {describes} describes, {lookups} lookups of keys; the new stream after {} s, the alias's scan after {} s",
        all.len(),
        after(&sealed["run"]["started_at"]),
        after(&of_aliases[0]["scan"]["started_at"])
    );
    assert_eq!((starts, puts), (2, 1), "the new stream's, and the alias's");
    assert!(describes <= 1_500 && lookups <= 400, "{describes} describes, {lookups} lookups of keys");
}
