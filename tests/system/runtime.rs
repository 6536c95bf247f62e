//! The real `bootstrap` under AWS's Lambda emulator, on kinesis-local and ministack: events in, the right calls out, and
//! the right streams at the end.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::arn::Scope;
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::verdict::Reason;

use crate::support::{
    ACCOUNT, Function, Layer, PATIENCE, Parts, REGION, batch, bootstrap, create_event, event, parts, root, unique,
};

fn is_evidence(line: &Value) -> bool {
    line["schema"] == "streamseal.evidence/v1"
}

fn is_metrics(line: &Value) -> bool {
    line.get("_aws").is_some()
}

/// One rule for every stream, on `alias`.
fn policy(alias: &str) -> String {
    format!(
        "inline:{{version: 1, defaults: {{proof: {{new: probe, existing: observe}}, existing: enforce, \
         settle: {{terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}}}}, rules: [{{name: all, key: {alias}}}]}}"
    )
}

/// A function that enforces a new key; the key's ARN.
fn enforcing(variables: &[(&str, &str)]) -> (Function, String) {
    let alias = format!("alias/{}", unique("key"));
    let key = parts().key(&alias);
    let policy = policy(&alias);
    let all: Vec<(&str, &str)> = [("POLICY", policy.as_str())].iter().chain(variables).copied().collect();
    (Function::start(60, &all), key)
}

/// The stream ends ACTIVE, on this key, with these records, all encrypted.
fn sealed(stream: &str, key: &str, records: usize) {
    let now = parts().describe(stream);
    assert_eq!(
        (&now["StreamStatus"], &now["EncryptionType"], &now["KeyId"]),
        (&json!("ACTIVE"), &json!("KMS"), &json!(key))
    );
    let kept = parts().records(stream);
    assert_eq!(kept.len(), records, "{kept:?}");
    assert!(kept.iter().all(|record| record["EncryptionType"] == "KMS"), "{kept:?}");
}

/// Waits until the layer has answered a call of the function's.
fn until_observed(fault: &Layer, operation: &str, stream: &str, function: &Function) {
    let end = Instant::now() + PATIENCE;
    while fault.calls(&format!("kinesis:{operation}"), stream).is_empty() {
        assert!(Instant::now() < end, "no {operation}: {:?}", function.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn untouched(stream: &str) {
    let now = parts().describe(stream);
    assert_eq!((&now["EncryptionType"], parts().records(stream).len()), (&json!("NONE"), 0));
}

#[test]
fn a_stream_that_is_still_creating_is_sealed_and_the_event_again_writes_nothing() {
    let alias = format!("alias/{}", unique("key"));
    let (key, policy) = (parts().key(&alias), policy(&alias));
    // CREATING until the function has seen it, however long its start takes.
    let fault = Layer::start(&json!({"hold": [{"creating_ms": 600_000}]}));
    let function = Function::start_at(&fault.url, &fault.url, 120, &[("POLICY", &policy)]);
    let stream = unique("created");
    parts().stream(&stream);
    let event = create_event(&stream);

    let first = std::thread::scope(|scope| {
        let invoked = scope.spawn(|| function.invoke(&event));
        until_observed(&fault, "DescribeStreamSummary", &stream, &function);
        fault.control("PUT", "config", &json!({}));
        invoked.join().unwrap()
    });
    assert_eq!(first.body["compliance"], "COMPLIANT", "{}", first.body);
    assert_eq!(first.body["before"]["status"], "CREATING");
    assert_eq!((first.count("StartStreamEncryption"), first.count("PutRecord")), (1, 1), "{:?}", first.calls());
    assert_eq!(first.count("ListTagsForStream"), 0, "no selector of the policy reads tags");
    sealed(&stream, &key, 1);
    let record = &parts().records(&stream)[0];
    assert_eq!(first.body["proof"]["state"], "proven");
    assert_eq!(first.body["proof"]["sequence_number"], record["SequenceNumber"]);
    assert_eq!(record["PartitionKey"], "streamseal-probe");
    assert_eq!(function.lines(1, is_evidence), std::slice::from_ref(&first.body), "the line in the log is the answer");

    let second = function.invoke(&event);
    assert_eq!((second.body["compliance"].as_str(), second.writes()), (Some("COMPLIANT"), vec![]));
    assert_eq!(second.body["proof"]["state"], "observed");
    assert_eq!(second.body["proof"]["sequence_number"], record["SequenceNumber"]);
    sealed(&stream, &key, 1);
}

#[test]
fn after_a_run_that_was_killed_between_start_and_proof_the_proof_is_made_and_no_second_start() {
    // After the Start the stream stays UPDATING until the layer's clock is moved on: long enough to kill the function.
    let fault = Layer::start(&json!({"hold": [{"updating_ms": 600_000}]}));
    let alias = format!("alias/{}", unique("key"));
    let key = parts().key(&alias);
    let policy = policy(&alias);
    for by_queue in [false, true] {
        let stream = unique("killed");
        parts().stream(&stream);
        let event = create_event(&stream);
        let payload = if by_queue { batch(&[event.to_string()], 1) } else { event.clone() };
        let killed = Function::start_at(&fault.url, &fault.url, 120, &[("POLICY", &policy)]);
        std::thread::scope(|scope| {
            let invoked = scope.spawn(|| killed.invoke(&payload));
            until_observed(&fault, "StartStreamEncryption", &stream, &killed);
            killed.kill();
            let answer = invoked.join().unwrap();
            assert!(answer.body.get("compliance").is_none(), "{}", answer.body);
        });
        assert_eq!(fault.calls("kinesis:PutRecord", &stream), [] as [Value; 0], "it was killed before the proof");
        fault.advance(600_000);
        let again = Function::start_at(&fault.url, &fault.url, 120, &[("POLICY", &policy)]);
        if by_queue {
            let answer = again.invoke(&batch(&[event.to_string()], 2));
            assert_eq!(answer.body, json!({"batchItemFailures": []}));
        } else {
            let answer = again.invoke(&event);
            assert_eq!(answer.writes(), ["PutRecord"], "{}", answer.body);
            assert_eq!(answer.body["proof"]["state"], "proven");
        }
        assert_eq!(fault.calls("kinesis:StartStreamEncryption", &stream).len(), 1, "no second Start");
        sealed(&stream, &key, 1);
    }
}

/// A file of `events/` about new streams in place of those that it names, and the new streams.
fn about_new_streams(name: &str) -> (Value, Vec<String>) {
    let own = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    let mut event = event(name);
    renew(&mut event);
    let items = match parse(&event, &own, Timestamp::now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|message| message.items).collect(),
    };
    let mut text = event.to_string();
    let mut streams = Vec::new();
    for item in items {
        let Item::Reconcile(work) = item else { continue };
        let stream = unique("shape");
        parts().stream(&stream);
        parts().active(&stream);
        text = text.replace(work.stream.name.as_str(), &stream);
        streams.push(stream);
    }
    (serde_json::from_str(&text).unwrap(), streams)
}

/// Work messages of the files are long past their deadline, and of another stream of the same name.
fn renew(event: &mut Value) {
    if event.get("streamseal").is_some() && event.get("subject").is_none() {
        event["first_seen"] = json!(Timestamp::now().to_string());
        event.as_object_mut().unwrap().remove("stream_creation_timestamp");
    }
    for record in event.get_mut("Records").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(mut body) = record["body"].as_str().and_then(|body| serde_json::from_str(body).ok()) {
            renew(&mut body);
            record["body"] = json!(body.to_string());
        }
    }
}

fn asks_for_a_scan(payload: &Value) -> bool {
    let own = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    let items = match parse(payload, &own, Timestamp::now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|message| message.items).collect(),
    };
    items.iter().any(|item| matches!(item, Item::Scan(_) | Item::ScanNow(_) | Item::PolicyChanged(..)))
}

#[test]
fn every_shape_of_event_makes_the_right_calls() {
    // Scans are put into a queue and not run: they would meet the streams of every other test.
    let queue = |name: &str, fifo: &str| {
        let body = match fifo {
            "" => json!({"QueueName": unique(name)}),
            _ => json!({"QueueName": format!("{}{fifo}", unique(name)), "Attributes": {"FifoQueue": "true"}}),
        };
        parts().sqs("CreateQueue", body)["QueueUrl"].as_str().unwrap().to_owned()
    };
    let (work, scans) = (queue("shapes", ""), queue("shapes", ".fifo"));
    let (function, key) = enforcing(&[]);
    let (with_queues, _) = enforcing(&[
        ("WORK_QUEUE_URL", &work),
        ("SCAN_QUEUE_URL", &scans),
        ("POLICY", &policy("alias/streams-default")),
    ]);
    let (mut worked, mut ignored, mut queued) = (0, 0, 0);
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let (payload, streams) = about_new_streams(&name);
        if asks_for_a_scan(&payload) {
            let answer = with_queues.invoke(&payload);
            if answer.body.get("batchItemFailures").is_some() {
                assert_eq!(answer.body, json!({"batchItemFailures": []}), "{name}");
            } else if ["ssm-parameter-store-change", "streamseal-scan-message"].contains(&name.as_str()) {
                // The policy is in no parameter here, and no rule names that message's alias any more.
                let outcome = answer.body["outcome"].as_str().unwrap();
                assert!(["ignored", "queued"].contains(&outcome), "{name}: {}", answer.body);
            } else if name == "kms-disable-key-other-account" {
                // No rule here names that key.
                let reported = (&answer.body["outcome"], &answer.body["reason"]);
                assert_eq!(reported, (&json!("rejected"), &json!("ForeignKey")), "{name}");
            } else {
                assert_eq!(answer.body["outcome"], "queued", "{name}: {}", answer.body);
                queued += 1;
            }
            continue;
        }
        let answer = function.invoke(&payload);
        if streams.is_empty() {
            assert_eq!(answer.body["outcome"], "ignored", "{name}: {}", answer.body);
            ignored += 1;
        } else if answer.body.get("batchItemFailures").is_some() {
            assert_eq!(answer.body, json!({"batchItemFailures": []}), "{name}");
        } else {
            assert_eq!(answer.writes(), ["StartStreamEncryption", "PutRecord"], "{name}: {}", answer.body);
            assert_eq!(answer.body["compliance"], "COMPLIANT", "{name}: {}", answer.body);
        }
        for stream in streams {
            sealed(&stream, &key, 1);
            worked += 1;
        }
    }
    assert!(worked > 20 && ignored > 4 && queued > 15, "{worked}, {ignored}, {queued}");
    let mut foreign = event("kinesis-stop-stream-encryption");
    foreign["account"] = json!("999999999999");
    assert_eq!(function.invoke(&foreign).body["outcome"], "rejected");
}

#[test]
fn a_batch_answers_for_each_message() {
    let (function, key) = enforcing(&[]);
    let (one, two) = (unique("batch"), unique("batch"));
    parts().stream(&one);
    parts().stream(&two);
    let ignored = event("kinesis-delete-stream").to_string();
    let bodies = [create_event(&one).to_string(), "not json".to_owned(), create_event(&two).to_string(), ignored];
    let answer = function.invoke(&batch(&bodies, 1));
    assert_eq!(answer.body, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
    sealed(&one, &key, 1);
    sealed(&two, &key, 1);
}

#[test]
fn a_key_by_tag_is_chosen_and_tags_are_read_when_the_policy_asks() {
    let alias = format!("alias/{}", unique("team"));
    let key = parts().key(&alias);
    let team = alias.strip_prefix("alias/t").unwrap();
    let policy = "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: teams, match: {tags: {team: '*'}}, \
                  key: 'alias/t${tag:team}'}]}";
    let function = Function::start(60, &[("POLICY", policy)]);
    let (tagged, bare) = (unique("tagged"), unique("bare"));
    for stream in [&tagged, &bare] {
        parts().stream(stream);
        parts().active(stream);
    }
    parts().kinesis("AddTagsToStream", json!({"StreamName": tagged, "Tags": {"team": team}})).unwrap();
    let answer = function.invoke(&create_event(&tagged));
    assert_eq!((answer.body["compliance"].as_str(), answer.count("ListTagsForStream")), (Some("COMPLIANT"), 1));
    assert_eq!(answer.body["policy"]["rule"], "teams");
    sealed(&tagged, &key, 1);
    let answer = function.invoke(&create_event(&bare));
    assert_eq!((answer.body["reason"].as_str(), answer.writes()), (Some("unmatched"), vec![]));
    untouched(&bare);
}

#[test]
fn report_mode_writes_nothing() {
    let (function, _) = enforcing(&[("MODE", "report")]);
    let stream = unique("report");
    parts().stream(&stream);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!(answer.body["compliance"], "NON_COMPLIANT");
    assert_eq!((answer.body["remediation"]["withheld"].as_str(), answer.writes()), (Some("report-mode"), vec![]));
    let would = json!({"action": "encrypt", "withheld": null});
    assert_eq!((&answer.body["reason"], &answer.body["would"]), (&json!("not-encrypted"), &would));
    untouched(&stream);
}

#[test]
fn a_disabled_key_a_missing_key_and_a_missing_stream_are_reported_and_nothing_is_written() {
    let (function, key) = enforcing(&[]);
    parts().kms("DisableKey", json!({"KeyId": key}));
    let stream = unique("disabled");
    parts().stream(&stream);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!((answer.body["compliance"].as_str(), answer.writes()), (Some("NON_COMPLIANT"), vec![]));
    assert_eq!(answer.body["reason"], "key-unusable");
    assert!(answer.body["annotation"].as_str().unwrap().contains("Disabled"), "{}", answer.body);
    untouched(&stream);

    let policy = policy("alias/nobody-made-this");
    let function = Function::start(60, &[("POLICY", &policy)]);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!((answer.body["reason"].as_str(), answer.writes()), (Some("key-missing"), vec![]));
    untouched(&stream);

    let mut gone = create_event(&unique("nobody-made-this"));
    gone["detail"]["eventTime"] = json!("2026-03-02T08:14:05Z");
    let answer = function.invoke(&gone);
    assert_eq!(
        (answer.body["compliance"].as_str(), answer.body["reason"].as_str()),
        (Some("NOT_APPLICABLE"), Some("stream-gone"))
    );
    assert_eq!(answer.calls(), ["DescribeStreamSummary"]);
}

#[test]
fn policy_and_mode_come_from_parameters_and_a_bad_one_stops_writes() {
    let alias = format!("alias/{}", unique("ssm"));
    let key = parts().key(&alias);
    let (policy_name, mode_name) = (format!("/{}", unique("policy")), format!("/{}", unique("mode")));
    let put = |name: &str, value: &str| {
        parts().ssm("PutParameter", json!({"Name": name, "Value": value, "Type": "String", "Overwrite": true}));
    };
    let good = policy(&alias);
    put(&policy_name, good.strip_prefix("inline:").unwrap());
    put(&mode_name, "report");
    let variables = [("POLICY", format!("ssm:{policy_name}")), ("MODE", format!("ssm:{mode_name}"))];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let function = Function::start(60, &variables);
    let stream = unique("parameters");
    parts().stream(&stream);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!(answer.body["remediation"]["withheld"], "report-mode", "{}", answer.body);
    put(&mode_name, "enforce");
    // The mode is read every five seconds.
    let began = Instant::now();
    let answer = loop {
        let answer = function.invoke(&create_event(&stream));
        if answer.body["compliance"] == "COMPLIANT" {
            break answer;
        }
        assert_eq!(answer.body["remediation"]["withheld"], "report-mode", "{}", answer.body);
        assert!(began.elapsed() < PATIENCE, "{}", answer.body);
    };
    assert_eq!(answer.body["policy"]["source"], format!("ssm:{policy_name}"));
    sealed(&stream, &key, 1);

    put(&policy_name, "version: 1\nrules:\n  - name: a\n    kye: alias/x\n");
    let function = Function::start(60, &variables);
    let other = unique("parameters");
    parts().stream(&other);
    let answer = function.invoke(&create_event(&other));
    assert_eq!(answer.body["errorType"], "PolicyUnusable", "{}", answer.body);
    assert!(answer.body["errorMessage"].as_str().unwrap().contains("4:5"), "{}", answer.body);
    parts().active(&other);
    untouched(&other);
    // It was not the end of the function: once the policy is good, the same process goes on.
    put(&policy_name, good.strip_prefix("inline:").unwrap());
    assert_eq!(function.invoke(&create_event(&other)).body["compliance"], "COMPLIANT");
}

#[test]
fn what_is_not_finished_is_sent_on_through_the_queue() {
    let queue = unique("work");
    let made = parts().sqs("CreateQueue", json!({"QueueName": queue}));
    let url = made["QueueUrl"].as_str().unwrap();
    let policy = policy("alias/aws/kinesis");
    let slow = Parts::start(&["--kinesis", "--aws", "--create-ms", "600000"]);
    let variables = [("POLICY", policy.as_str()), ("WORK_QUEUE_URL", url), ("WAIT_SECONDS", "1")];
    let function = Function::start_at(&slow.kinesis, &parts().aws, 60, &variables);
    let stream = unique("slow");
    slow.stream(&stream);
    let answer = function.invoke(&batch(&[create_event(&stream).to_string()], 1));
    assert_eq!(answer.body, json!({"batchItemFailures": []}), "{:?}", function.log());
    let waiting = parts().sqs("GetQueueAttributes", json!({"QueueUrl": url, "AttributeNames": ["All"]}));
    assert_eq!(waiting["Attributes"]["ApproximateNumberOfMessagesDelayed"], "1", "{waiting}");
    let evidence = function.lines(1, is_evidence).remove(0);
    assert_eq!(evidence["reason"], "unfinished");

    // Without a queue the event itself has to come again.
    let function = Function::start_at(&slow.kinesis, &parts().aws, 60, &[("POLICY", &policy), ("WAIT_SECONDS", "1")]);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!(answer.body["errorType"], "Retryable", "{}", answer.body);
    let answer = function.invoke(&batch(&[create_event(&stream).to_string()], 1));
    assert_eq!(answer.body, json!({"batchItemFailures": [{"itemIdentifier": "m0"}]}));
}

#[test]
fn a_run_ends_before_the_function_is_ended() {
    let slow = Parts::start(&["--kinesis", "--aws", "--create-ms", "600000"]);
    let policy = policy("alias/aws/kinesis");
    let function = Function::start_at(&slow.kinesis, &slow.aws, 16, &[("POLICY", &policy), ("MAX_CONCURRENCY", "1")]);
    let stream = unique("deadline");
    slow.stream(&stream);
    let answer = function.invoke(&create_event(&stream));
    assert_eq!(answer.body["errorType"], "Retryable", "{}", answer.body);
    // It stops at a pause that would be too long, or is cut off within an observation.
    let words = answer.body["errorMessage"].as_str().unwrap();
    assert!(words.contains("until the stream is ACTIVE") || words.contains("NoTimeLeft"), "{}", answer.body);
}

/// A service that takes requests and never answers.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_service_that_never_answers_does_not_end_the_function() {
    let (_silent, url) = silent();
    let policy = policy("alias/aws/kinesis");
    // The run gets half of it, less than the five seconds of one request, and the answer the other half.
    let function = Function::start_at(&url, &parts().aws, 9, &[("POLICY", &policy)]);
    let answer = function.invoke(&create_event("any"));
    assert_eq!(answer.body["errorType"], "Retryable", "{}", answer.body);
    assert!(answer.body["errorMessage"].as_str().unwrap().contains("NoTimeLeft"), "{}", answer.body);
}

#[test]
fn a_function_that_is_ended_is_reported() {
    // It has less time than one request for its policy may take.
    let (_silent, url) = silent();
    let function = Function::start_at(&parts().kinesis, &url, 2, &[("POLICY", "ssm:/policy")]);
    let answer = function.invoke(&create_event("any"));
    assert!(answer.body.to_string().contains("timed out"), "{answer:?}");
}

#[test]
fn odd_payloads_get_clear_words_and_the_function_goes_on() {
    let (function, key) = enforcing(&[]);
    let deep = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let answer = function.invoke_text(&deep);
    assert_eq!(answer.body["errorType"], "Malformed", "{}", answer.body);
    assert!(answer.body["errorMessage"].as_str().unwrap().contains("recursion limit"), "{}", answer.body);
    for payload in ["[]", "17", "{}", "{\"action\":\"fly\"}"] {
        assert_eq!(function.invoke_text(payload).body["errorType"], "Malformed", "{payload}");
    }
    let stream = unique("large");
    parts().stream(&stream);
    let mut large = create_event(&stream);
    large["detail"]["userAgent"] = json!("x".repeat(1_000_000));
    let answer = function.invoke(&large);
    assert_eq!(answer.body["compliance"], "COMPLIANT", "{}", answer.body);
    sealed(&stream, &key, 1);
    assert!(!function.lines(1, is_evidence).is_empty());
    assert!(function.log().iter().all(|line| line.len() < 20_000), "no log line carries the event");
}

#[test]
fn a_bad_configuration_names_every_fault() {
    let output = Command::new(bootstrap())
        .env_clear()
        .envs([("ACCOUNT_ID", "12"), ("MODE", "on"), ("AWS_REGION", "eu-west-1")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for variable in ["ACCOUNT_ID", "MODE", "POLICY"] {
        assert!(text.contains(&format!("variable {variable}: ")), "{text}");
    }
    assert!(!text.contains("variable AWS_REGION"), "{text}");
}

/// The reasons that an alarm may be wired to, as docs/metrics.md lists them.
const REASONS: [&str; 11] = [
    Reason::AccessDenied.as_str(),
    Reason::ForeignKey.as_str(),
    Reason::StartRefused.as_str(),
    Reason::Unwritable.as_str(),
    Reason::GaveUp.as_str(),
    Reason::KeyUnusable.as_str(),
    Reason::Contested.as_str(),
    Reason::Unproven.as_str(),
    Reason::Broken.as_str(),
    Reason::Halted.as_str(),
    Reason::Restored.as_str(),
];

#[test]
fn alarms_are_wired_to_metrics_that_the_function_emits() {
    let (function, key) = enforcing(&[]);
    parts().kms("DisableKey", json!({"KeyId": key}));
    let stream = unique("alarm");
    parts().encrypted(&stream, &key);
    assert_eq!(function.invoke(&create_event(&stream)).body["reason"], "key-unusable");
    let is_error = |line: &Value| line["level"] == "ERROR";
    let arn = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}");
    assert_eq!(function.lines(1, is_error)[0]["fields"]["stream"], arn);
    let unusable = Function::start(60, &[("POLICY", "inline:nothing")]);
    unusable.invoke(&create_event(&stream));
    // A sweep that changes nothing, whatever other tests have there.
    let nothing = "inline:{version: 1, rules: [{name: all, exempt: {reason: nothing to do}}]}";
    let sweeping = Function::start(60, &[("POLICY", nothing), ("SCAN_DESCRIBES_PER_SECOND", "500")]);
    let swept = sweeping.invoke(&json!({"action": "sweep"}));
    assert_eq!(swept.body["schema"], "streamseal.summary/v1", "{}", swept.body);
    let no_bus = Layer::start(&json!({"rules": [{"op": "events:*", "error": "AccessDeniedException", "status": 400}]}));
    let bus = [("RESULT_BUS", "results"), ("POLICY", nothing)];
    let unheard = Function::start_at(&no_bus.url, &no_bus.url, 60, &bus);
    unheard.invoke(&create_event(&stream));
    let is_lost = |line: &Value| line.get("ResultsLost").is_some();
    let of_scan = |line: &Value| is_metrics(line) && (line.get("Scans").is_some() || line.get("Streams").is_some());

    let parameter = format!("/{}", unique("policy"));
    let put = |text: &str| {
        parts().ssm("PutParameter", json!({"Name": parameter, "Type": "String", "Value": text, "Overwrite": true}))
    };
    let text = nothing.strip_prefix("inline:").unwrap();
    put(text);
    let changing =
        Function::start(60, &[("POLICY", &format!("ssm:{parameter}")), ("SCAN_DESCRIBES_PER_SECOND", "500")]);
    let other = format!("arn:aws:kinesis:{REGION}:444455556666:stream/{stream}");
    changing.invoke(&json!({"action": "reconcile", "stream": other}));
    changing.invoke(&json!({"action": "sweep"}));
    put(&text.replace("nothing to do", "still nothing to do"));
    changing.invoke(&json!({"action": "sweep"}));
    let of_policy = |line: &Value| line.get("PolicyChanged").is_some();
    let of_change = |line: &Value| of_policy(line) || line.get("Rejected").is_some();

    // Each emitted metric as CloudWatch would see it: its name, and each set of dimensions with the values in the line.
    let mut emitted = Vec::new();
    // One line for the evidence; one for the event that is kept and, since there is no queue for it, one for its failure.
    let lines = function.lines(1, is_metrics).into_iter().chain(unusable.lines(2, is_metrics));
    let lines = lines.chain(unheard.lines(1, is_lost)).chain(changing.lines(2, of_change));
    for line in lines.chain(sweeping.lines(2, of_scan)) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            let metric = directive["Metrics"][0]["Name"].as_str().unwrap();
            assert_eq!(directive["Namespace"], "Streamseal");
            assert!(line[metric].is_number(), "{line}");
            for set in directive["Dimensions"].as_array().unwrap() {
                let names = set.as_array().unwrap().iter().map(|name| name.as_str().unwrap());
                let pairs: Vec<(String, String)> =
                    names.map(|name| (name.to_owned(), line[name].as_str().unwrap().to_owned())).collect();
                emitted.push((metric.to_owned(), pairs));
            }
        }
    }
    let template = crate::common::template();
    let alarms =
        template["Resources"].as_object().unwrap().values().filter(|r| r["Properties"]["Namespace"] == "Streamseal");
    let mut ours = 0;
    for alarm in alarms {
        let alarm = &alarm["Properties"];
        let metric = alarm["MetricName"].as_str().unwrap();
        let text = |pair: &Value, field: &str| pair[field].as_str().unwrap().to_owned();
        let wanted: Vec<(String, String)> =
            alarm["Dimensions"].as_array().into_iter().flatten().map(|p| (text(p, "Name"), text(p, "Value"))).collect();
        // A reason that this test does not bring about has to be one that the function knows.
        let of_a_reason = |pairs: &[(String, String)]| match pairs {
            [(name, value)] if name == "Reason" => REASONS.contains(&value.as_str()),
            _ => false,
        };
        let known = emitted.iter().any(|(name, pairs)| {
            let both = of_a_reason(pairs) && of_a_reason(&wanted) && metric == "Alarms";
            name == metric && (*pairs == wanted || both)
        });
        assert!(known, "{metric} {wanted:?} is not in {emitted:?}");
        ours += 1;
    }
    assert_eq!(ours, 18);
    // However many documents there are by the new policy.
    assert_eq!(changing.lines(1, of_policy).len(), 1);
}

#[test]
fn the_probe_is_found_again_in_a_stream_of_many_shards() {
    let (function, _) = enforcing(&[]);
    let stream = unique("shards");
    parts().kinesis("CreateStream", json!({"StreamName": stream, "ShardCount": 7})).unwrap();
    let event = create_event(&stream);
    assert_eq!(function.invoke(&event).body["proof"]["state"], "proven");
    let second = function.invoke(&event);
    assert_eq!((second.writes(), second.body["proof"]["state"].as_str()), (vec![], Some("observed")));
    assert_eq!(second.count("GetShardIterator"), 1, "only the shard that the probe's key falls into is read");
}

#[test]
fn a_panic_is_reported_and_takes_nothing_with_it() {
    let policy = policy("alias/aws/kinesis");
    let bootstrap = Path::new(env!("CARGO_BIN_EXE_test-bootstrap-that-panics"));
    let variables = [("POLICY", policy.as_str())];
    let function = Function::start_program(bootstrap, "http://127.0.0.1:9", "http://127.0.0.1:9", 20, &variables);
    let answer = function.invoke(&create_event("any"));
    assert_eq!(answer.body["errorType"], "Panicked", "{}", answer.body);
    assert!(answer.body["errorMessage"].as_str().unwrap().contains("on purpose"), "{}", answer.body);
    // It is one line of JSON in the log, and no other line is longer for it.
    let is_panic =
        |line: &Value| line["fields"]["message"].as_str().is_some_and(|m| m.starts_with("panicked: on purpose"));
    let reported =
        function.lines(1, |line| is_panic(line) && line["level"] == "ERROR" && line["fields"]["place"].is_string());
    assert_eq!(reported.len(), 1, "{:?}", function.log());
    assert!(function.log().iter().all(|line| line.len() < 1_000), "{:?}", function.log());
    // In a batch it fails alone, and the process goes on.
    let ignored = event("kinesis-delete-stream").to_string();
    let answer = function.invoke(&batch(&[create_event("any").to_string(), ignored], 1));
    assert_eq!(answer.body, json!({"batchItemFailures": [{"itemIdentifier": "m0"}]}));
}

/// What a service says of credentials that are out of date.
fn expired(op: &str) -> Value {
    json!({"rules": [{"op": op, "error": "ExpiredTokenException", "message": "The security token is expired", "status": 400}]})
}

#[test]
fn credentials_that_expire_in_mid_batch_fail_what_is_unfinished_and_the_process_ends_behind_its_answer() {
    let alias = format!("alias/{}", unique("key"));
    let (key, policy) = (parts().key(&alias), policy(&alias));
    let fault = Layer::start(&expired("kinesis:StartStreamEncryption"));
    let function = Function::start_at(&fault.url, &fault.url, 60, &[("POLICY", &policy)]);
    let (done, open) = (unique("done"), unique("open"));
    parts().encrypted(&done, &key);
    parts().stream(&open);
    parts().active(&open);
    // Two messages of the stream whose Start is refused, and one that the credentials are not needed for.
    let ignored = event("kinesis-delete-stream").to_string();
    let bodies = [create_event(&open).to_string(), create_event(&open).to_string(), ignored];

    let answer = function.invoke(&batch(&bodies, 1));
    let failed = json!({"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]});
    assert_eq!(answer.body, failed, "{:?}", function.log());
    assert_eq!(fault.calls("kinesis:StartStreamEncryption", &open).len(), 1);
    assert_eq!(fault.calls("kinesis:DescribeStreamSummary", &open).len(), 1, "the second message costs no call");
    let ends = |line: &Value| line["fields"]["message"].as_str().is_some_and(|m| m.contains("it ends"));
    assert_eq!(function.lines(1, ends).len(), 1, "{:?}", function.log());

    fault.control("PUT", "config", &json!({}));
    let answer = function.invoke(&batch(&bodies, 2));
    assert_eq!(answer.body, json!({"batchItemFailures": []}), "{:?}", function.log());
    // One run for both messages, which owe one proof.
    sealed(&open, &key, 1);
}

#[test]
fn a_process_whose_credentials_are_in_force_goes_on() {
    let (function, _) = enforcing(&[]);
    let stream = unique("goes-on");
    parts().stream(&stream);
    function.invoke(&create_event(&stream));
    let pid = function.pid();
    function.invoke(&create_event(&stream));
    assert_eq!(function.pid(), pid);
}

/// What the test above holds of the code, here of the program: cargo-lambda builds one that aborts unless the profile says otherwise. One that
/// unwinds has the class of Rust's exceptions in it; other processors' code has it in pieces.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_program_unwinds() {
    let program = std::fs::read(bootstrap()).unwrap();
    let class = b"MOZ\0RUST";
    assert!(program.windows(class.len()).any(|window| window == class));
}
