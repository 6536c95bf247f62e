//! A change with a guard through the real function, with metrics that ministack keeps: one stream goes first, and what it breaks stops
//! the others. A watch takes ten minutes at least, so that the message of one that began long ago is put into the queue.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::scans::{FAST_FIFTY, OWN_ROLE, SETTLE_NOT, Stack};
use crate::support::{ACCOUNT, REGION, call};

const STREAMS: [&str; 4] = ["g-a", "g-b", "g-c", "g-d"];

/// Puts one value of a metric for each of some minutes, which ended so many minutes ago.
fn metric(stack: &Stack, (namespace, name): (&str, &str), dimension: (&str, &str), minutes: &[(i64, Vec<f64>)]) {
    let now = Timestamp::now();
    let data: Vec<Value> = minutes
        .iter()
        .map(|(ago, values)| {
            let at = now - SignedDuration::from_mins(*ago);
            json!({
                "MetricName": name, "Dimensions": [{"Name": dimension.0, "Value": dimension.1}],
                "Timestamp": at.as_second(), "Values": values, "Counts": vec![1.0; values.len()],
            })
        })
        .collect();
    for some in data.chunks(20) {
        let body = json!({"Namespace": namespace, "MetricData": some});
        call(&stack.parts.aws, "GraniteServiceVersion20100801.PutMetricData", "monitoring", &body).unwrap();
    }
}

/// Calls of producers: ten a minute, that worked or failed.
fn calls(stack: &Stack, stream: &str, minutes: std::ops::Range<i64>, worked: bool) {
    let values = vec![f64::from(u8::from(worked)); 10];
    let minutes: Vec<(i64, Vec<f64>)> = minutes.map(|ago| (ago, values.clone())).collect();
    metric(stack, ("AWS/Kinesis", "PutRecords.Success"), ("StreamName", stream), &minutes);
}

fn at(minutes: i64) -> String {
    (Timestamp::now() - SignedDuration::from_mins(minutes)).to_string()
}

fn stream_arn(stream: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}")
}

/// The watch of a change, from one key to another, as it would be 20 minutes later, where producers failed since the change and one observation
/// has found so.
fn watched(stream: &str, (target, back): (&str, &str)) -> Value {
    json!({
        "streamseal": "streamseal.work/v1", "stream_arn": stream_arn(stream),
        "cause": {"call": "sweep", "at": at(21)}, "first_seen": at(21), "attempt": 4, "proof_owed": false,
        "started": true, "started_at": at(21), "rekeyed": true,
        "watch": {
            "target": target, "back": back, "sent": at(21), "from": at(21), "until": at(11), "observations": 3,
            "broken_since": at(4),
        },
        "next": {"names": [], "last": false, "begins": true},
    })
}

/// What Kinesis asks KMS for the role `app`, so many minutes ago.
fn used(stack: &Stack, stream: &str, key: &str, minutes: i64, refused: bool) {
    let mut record = json!({
        "eventSource": "kms.amazonaws.com", "eventName": "GenerateDataKey", "eventTime": at(minutes),
        "userIdentity": {
            "type": "AssumedRole", "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/app/one"),
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": format!("arn:aws:iam::{ACCOUNT}:role/app")}},
        },
        "requestParameters": {"keyId": key, "encryptionContext": {"aws:kinesis:arn": stream_arn(stream)}},
        "resources": [{"ARN": key, "type": "AWS::KMS::Key"}],
    });
    if refused {
        record["errorCode"] = json!("AccessDenied");
    }
    let (status, answer) = stack.fault.control("POST", "uses", &record);
    assert_eq!(status, 200, "{answer}");
}

fn begun(one: &Value) -> bool {
    one["guard"]["state"] == "watching" && one["guard"]["watch"]["observations"] == 0
}

#[test]
fn one_stream_goes_first_and_what_it_breaks_stops_the_others() {
    let policy = format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, {SETTLE_NOT}, \
         guard: {{watch: 10m}}}}, rules: [{{name: all, key: alias/a}}]}}"
    );
    let fault = json!({"aged": [{"stream": "*", "by_s": 86_400}], "trail": {"lag_ms": 0, "role": OWN_ROLE}});
    let stack = Stack::start(20, &policy, &fault, &[]);
    let (before, key) = (stack.parts.key("alias/before"), stack.parts.key("alias/a"));
    for name in STREAMS {
        stack.parts.encrypted(name, &before);
        calls(&stack, name, 1..70, true);
    }
    stack.new_function();
    stack.send(&json!({"action": "sweep"}));
    stack.run_until(120, |stack| !stack.evidence(begun).is_empty());

    // One stream is changed, and its users were read before.
    let evidence = stack.evidence(begun).remove(0);
    let first = evidence["stream"]["name"].as_str().unwrap().to_owned();
    assert_eq!(stack.count("kinesis:StartStreamEncryption"), 1);
    assert_eq!((stack.count("cloudwatch:GetMetricData"), stack.count("kinesis:ListStreamConsumers")), (1, 1));
    let producers = &evidence["guard"]["producers"];
    assert!(producers["before"]["minutes"].as_u64() >= Some(58), "{producers}");
    assert_eq!(producers["before"]["failed"], 0, "{producers}");
    assert_eq!((&evidence["compliance"], &evidence["alarm"]), (&json!("COMPLIANT"), &json!(false)));
    for name in STREAMS {
        let expected = if name == first { &key } else { &before };
        assert_eq!(stack.parts.describe(name)["KeyId"], json!(expected), "{name}");
    }

    let others: Vec<&str> = STREAMS.into_iter().filter(|name| *name != first).collect();
    // The message that the function sent to itself, as if the change were long ago: one observation finds it broken, and one more.
    calls(&stack, &first, 1..24, false);
    let message = watches(&stack).remove(&first).unwrap();
    stack.send(&aged(&message, 25));
    let failing = |one: &Value| one["reason"] == "watching" && one["guard"]["producers"]["health"] == "broken";
    stack.run_until(60, |stack| !stack.evidence(failing).is_empty());
    let message = watches(&stack).remove(&first).unwrap();
    assert!(message["watch"]["broken_since"].is_string(), "{message}");
    assert_eq!(stack.evidence(|one| one["alarm"] == true), [] as [Value; 0], "one observation is no alarm");
    stack.send(&aged(&message, 3));
    let broken = |one: &Value| one["reason"] == "broken";
    stack.run_until(60, |stack| !stack.evidence(broken).is_empty());
    let evidence = stack.evidence(broken).remove(0);
    assert_eq!((&evidence["guard"]["state"], &evidence["alarm"]), (&json!("broken"), &json!(true)), "{evidence}");
    let mut halted: Vec<&str> =
        evidence["guard"]["halted"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    halted.sort_unstable();
    assert_eq!(halted, others, "{evidence}");
    assert_eq!((&evidence["producers"], &evidence["guard"]["exposed"]["to"]), (&json!("broken"), &Value::Null));
    assert!(evidence["guard"]["producers"]["after"]["failed"].as_u64() > Some(30), "{evidence}");
    let command = evidence["remedy"]["commands"][0].as_str().unwrap();
    assert!(command.starts_with(&format!("streamseal impact {first} ")), "{command}");
    assert_eq!(stack.parts.describe(&first)["KeyId"], json!(key), "it stays as it is");

    // A day long CloudWatch has what the line of the log said: the next sweep changes nothing.
    metric(&stack, ("Streamseal", "Broken"), ("Key", &key), &[(120, vec![1.0])]);
    stack.send(&json!({"action": "sweep"}));
    let halted = |one: &Value| one["remediation"]["withheld"] == "halted";
    stack.run_until(60, |stack| !stack.evidence(halted).is_empty());
    assert_eq!(stack.count("kinesis:StartStreamEncryption"), 1);
    for name in others {
        assert_eq!(stack.parts.describe(name)["KeyId"], json!(before), "{name}");
    }
}

#[test]
fn what_broke_goes_back_where_cloudtrail_shows_who_is_denied() {
    let policy = format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, {SETTLE_NOT}, \
         guard: {{watch: 10m, on_break: restore}}}}, rules: [{{name: all, key: alias/b}}]}}"
    );
    let fault = json!({"aged": [{"stream": "*", "by_s": 86_400}], "trail": {"lag_ms": 0, "role": OWN_ROLE}});
    let stack = Stack::start(20, &policy, &fault, &[]);
    let (before, key) = (stack.parts.key("alias/old"), stack.parts.key("alias/b"));
    let streams = ["back-known", "back-unknown"];
    for name in streams {
        stack.parts.encrypted(name, &key);
        calls(&stack, name, 21..90, true);
        calls(&stack, name, 1..20, false);
        used(&stack, name, &before, 50, false);
    }
    used(&stack, "back-known", &key, 15, true);
    stack.new_function();
    for name in streams {
        stack.send(&watched(name, (&key, &before)));
    }
    let of = |stream: &'static str, reason: &'static str| {
        move |one: &Value| one["stream"]["name"] == stream && one["reason"] == reason
    };
    stack.run_until(120, |stack| {
        let is_there = |stream, reason| !stack.evidence(of(stream, reason)).is_empty();
        is_there("back-known", "restored") && stack.evidence(of("back-unknown", "broken")).len() > 1
    });

    let broken = stack.evidence(of("back-known", "broken")).remove(0);
    let denied = &broken["guard"]["denied"][0];
    assert_eq!(denied["principal"], format!("arn:aws:iam::{ACCOUNT}:role/app"), "{broken}");
    assert_eq!((&denied["action"], &denied["calls"]), (&json!("kms:GenerateDataKey"), &json!(1)), "{broken}");
    let restored = stack.evidence(of("back-known", "restored")).remove(0);
    assert_eq!((&restored["guard"]["state"], &restored["alarm"]), (&json!("restored"), &json!(true)), "{restored}");
    assert_eq!(restored["compliance"], "NON_COMPLIANT", "{restored}");
    assert!(restored["guard"]["exposed"]["to"].is_string(), "{restored}");
    assert_eq!(stack.parts.describe("back-known")["KeyId"], json!(before));

    // Of the other one the metrics say the same, and CloudTrail says nothing.
    let alone = stack.evidence(of("back-unknown", "broken"));
    assert_eq!((&alone[0]["alarm"], &alone[1]["alarm"]), (&json!(true), &json!(false)), "{alone:?}");
    let words = alone[1]["annotation"].as_str().unwrap();
    assert!(words.contains("CloudTrail shows no user of it who is denied"), "{words}");
    assert_eq!(stack.parts.describe("back-unknown")["KeyId"], json!(key));
    assert_eq!(stack.count("kinesis:StartStreamEncryption"), 1);
}

/// The same message about the same stream, sent so many minutes earlier.
fn aged(message: &Value, minutes: i64) -> Value {
    let field = |(name, value): (&String, &Value)| {
        let is_of_stream = name == "stream_creation_timestamp";
        (name.clone(), if is_of_stream { value.clone() } else { aged(value, minutes) })
    };
    match message {
        Value::Object(fields) => fields.iter().map(field).collect(),
        Value::Array(items) => items.iter().map(|item| aged(item, minutes)).collect(),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(time) => json!((time - SignedDuration::from_mins(minutes)).to_string()),
            Err(_) => message.clone(),
        },
        other => other.clone(),
    }
}

/// The messages that the function sent of changes that are watched, by stream.
fn watches(stack: &Stack) -> BTreeMap<String, Value> {
    let sent = stack.fault.calls("sqs:SendMessage", "*");
    let bodies = sent.iter().filter_map(|call| serde_json::from_str::<Value>(call["message"].as_str()?).ok());
    let watched = bodies.filter(|body| body["watch"].is_object());
    let stream = |body: &Value| body["stream_arn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    watched.map(|body| (stream(&body), body)).collect()
}

/// Streams of a guarded rule, a sweep, and each watch in turn as if it were over: which streams were changed at a time.
fn rounds(busy: &[String], idle: &[String]) -> (Stack, String, Vec<Vec<String>>) {
    let policy = format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, {SETTLE_NOT}, \
         guard: {{watch: 10m}}}}, rules: [{{name: all, key: alias/a}}]}}"
    );
    let fault = json!({"aged": [{"stream": "*", "by_s": 86_400}], "trail": {"lag_ms": 0, "role": OWN_ROLE}});
    let stack = Stack::start(20, &policy, &fault, &FAST_FIFTY);
    let (before, key) = (stack.parts.key("alias/before"), stack.parts.key("alias/a"));
    busy.iter().chain(idle).for_each(|name| stack.parts.encrypted(name, &before));
    busy.iter().for_each(|name| calls(&stack, name, 1..70, true));
    stack.new_function();
    stack.send(&json!({"action": "sweep"}));
    let all = busy.len() + idle.len();
    let mut changed: Vec<Vec<String>> = Vec::new();
    while changed.concat().len() < all {
        let known = changed.concat();
        let new = |stack: &Stack| {
            let is_new = |(stream, _): &(String, Value)| !known.contains(stream);
            watches(stack).into_iter().filter(is_new).collect::<Vec<_>>()
        };
        stack.run_until(120, |stack| !new(stack).is_empty() && stack.has_only_delayed());
        let round = new(&stack);
        // The message that the function sends to itself is delayed: it comes at once here, as if the change were long ago.
        round.iter().for_each(|(_, message)| stack.send(&aged(message, 25)));
        changed.push(round.into_iter().map(|(stream, _)| stream).collect());
        assert_eq!(stack.count("kinesis:StartStreamEncryption"), changed.concat().len() as u64, "{changed:?}");
    }
    let ended = |one: &Value| ["passed", "quiet"].contains(&one["guard"]["state"].as_str().unwrap_or_default());
    stack.run_until(120, |stack| stack.evidence(ended).len() >= all);
    assert_eq!(stack.count("kinesis:StartStreamEncryption"), all as u64, "each once");
    (stack, key, changed)
}

#[test]
fn where_a_change_goes_well_twice_as_many_follow() {
    let busy: Vec<String> = (0..15).map(|number| format!("busy-{number:02}")).collect();
    let (stack, key, rounds) = rounds(&busy, &[]);
    assert_eq!(rounds.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 4, 8], "{rounds:?}");
    for name in &busy {
        let of_it = |one: &Value| one["stream"]["name"] == json!(name) && one["guard"]["state"] == "passed";
        let evidence = stack.evidence(of_it);
        assert_eq!((evidence.len(), &evidence[0]["producers"]), (1, &json!("fine")), "{name}: {evidence:?}");
        assert_eq!(stack.parts.describe(name)["KeyId"], json!(key), "{name}");
    }
}

#[test]
fn streams_without_calls_come_last_and_ten_at_a_time() {
    let busy = ["busy".to_owned()];
    let idle: Vec<String> = (0..22).map(|number| format!("idle-{number:02}")).collect();
    let (stack, _, rounds) = rounds(&busy, &idle);
    assert_eq!(rounds[0], busy, "{rounds:?}");
    // Two lists follow it at most, and each lets ten begin.
    assert!(rounds.len() > 2 && rounds.iter().all(|round| round.len() <= 20), "{rounds:?}");
    assert!(rounds[1].len() >= 10, "{rounds:?}");
    assert_eq!(stack.evidence(|one| one["guard"]["state"] == "quiet").len(), idle.len());
}
