//! Results through a real bus: the real `bootstrap`, an emulator's EventBridge with a rule, and a queue at its end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{resources, template};
use crate::rules::{BY_NAME, passes, patterns};
use crate::support::{ACCOUNT, Function, Layer, PATIENCE, REGION, batch, create_event, parts, unique};

const POLICY: &str = "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/aws/kinesis}]}";

/// A new bus with one rule for our source, and the queue behind it.
fn bus() -> (String, String) {
    let name = unique("results");
    let arn = parts().events("CreateEventBus", json!({"Name": name}))["EventBusArn"].as_str().unwrap().to_owned();
    let url = parts().sqs("CreateQueue", json!({"QueueName": name}))["QueueUrl"].as_str().unwrap().to_owned();
    let pattern = json!({"source": ["streamseal"]}).to_string();
    parts().events("PutRule", json!({"Name": name, "EventBusName": name, "EventPattern": pattern}));
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
    let targets = json!([{"Id": "queue", "Arn": queue}]);
    parts().events("PutTargets", json!({"Rule": name, "EventBusName": name, "Targets": targets}));
    (arn, url)
}

/// The events that arrived; waits for `least` of them.
pub(crate) fn received(url: &str, least: usize) -> Vec<Value> {
    let end = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while events.len() < least {
        assert!(Instant::now() < end, "{events:?}");
        let answer = parts().sqs("ReceiveMessage", json!({"QueueUrl": url, "MaxNumberOfMessages": 10}));
        for message in answer["Messages"].as_array().into_iter().flatten() {
            events.push(serde_json::from_str(message["Body"].as_str().unwrap()).unwrap());
            let handle = &message["ReceiptHandle"];
            parts().sqs("DeleteMessage", json!({"QueueUrl": url, "ReceiptHandle": handle}));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    events
}

fn is(line: &Value, schema: &str) -> bool {
    line["schema"] == schema
}

#[test]
fn a_result_arrives_with_the_content_of_its_line_and_wakes_no_rule_of_ours() {
    let (arn, url) = bus();
    let function = Function::start(60, &[("POLICY", POLICY), ("RESULT_BUS", &arn)]);
    let streams = [unique("result"), unique("result")];
    streams.iter().for_each(|stream| parts().stream(stream));
    let bodies: Vec<String> = streams.iter().map(|stream| create_event(stream).to_string()).collect();
    assert_eq!(function.invoke(&batch(&bodies, 1)).body, json!({"batchItemFailures": []}));
    let events = received(&url, 2);
    let lines = function.lines(2, |line| is(line, "streamseal.evidence/v1"));
    assert_eq!((events.len(), lines.len()), (2, 2));
    for line in lines {
        let event = events.iter().find(|event| event["detail"] == line).unwrap_or_else(|| panic!("{events:?}"));
        assert_eq!((&event["source"], &event["detail-type"]), (&json!("streamseal"), &json!("Streamseal Evidence")));
        assert_eq!(event["resources"], json!([line["stream"]["arn"]]));
        assert_eq!((&event["account"], &event["region"]), (&json!(ACCOUNT), &json!(REGION)));
        // No second run follows from it, on whatever bus it is.
        for (name, pattern) in patterns(&template(), BY_NAME) {
            assert!(!passes(&pattern, event), "{name}");
        }
        for (name, rule) in resources(&template(), "AWS::Events::Rule") {
            let sources = &rule["EventPattern"]["source"];
            assert!(
                sources.as_array().is_none_or(|all| all.iter().all(|s| s.as_str().unwrap().starts_with("aws."))),
                "{name}"
            );
        }
        assert_eq!(function.invoke(event).body["outcome"], "ignored");
    }
    let sent = parts().sqs("ReceiveMessage", json!({"QueueUrl": url}));
    assert!(sent.get("Messages").is_none_or(|messages| messages.as_array().unwrap().is_empty()), "{sent}");
    assert_eq!(function.lines(0, |line| line["outcome"] == "lost"), [] as [Value; 0]);
}

#[test]
fn a_scan_sends_its_summary_too() {
    let (arn, url) = bus();
    // It observes every stream there is, and changes none.
    let nothing = "inline:{version: 1, rules: [{name: all, exempt: {reason: nothing to do}}]}";
    let variables = [("POLICY", nothing), ("RESULT_BUS", arn.as_str()), ("SCAN_DESCRIBES_PER_SECOND", "500")];
    let function = Function::start(60, &variables);
    let stream = unique("swept");
    parts().stream(&stream);
    let answer = function.invoke(&json!({"action": "sweep"}));
    assert_eq!(answer.body["schema"], "streamseal.summary/v1", "{}", answer.body);
    let reported = function.lines(1, |line| is(line, "streamseal.evidence/v1")).len();
    let events = received(&url, reported + 1);
    let summaries: Vec<&Value> = events.iter().filter(|e| e["detail-type"] == "Streamseal Scan Summary").collect();
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0]["detail"], answer.body);
    assert_eq!(events.len(), reported + 1, "one for each line of evidence");
}

#[test]
fn a_bus_that_cannot_be_written_to_is_reported_and_changes_nothing_else() {
    // Refused; no answer, in vain for as long as it may take; and for a while only, which costs nothing.
    for (rule, reason) in [
        (json!({"op": "events:*", "error": "AccessDeniedException", "status": 400}), Some("Refused")),
        (json!({"op": "events:*", "drop": "before"}), Some("Retryable")),
        (json!({"op": "events:*", "error": "InternalException", "status": 500, "next": 2}), None),
    ] {
        let (arn, url) = bus();
        let fault = Layer::start(&json!({"rules": [rule]}));
        let function = Function::start_at(&fault.url, &fault.url, 60, &[("POLICY", POLICY), ("RESULT_BUS", &arn)]);
        let stream = unique("unheard");
        parts().stream(&stream);
        let answer = function.invoke(&create_event(&stream));
        assert_eq!(answer.body["compliance"], "COMPLIANT", "{}", answer.body);
        let Some(reason) = reason else {
            assert_eq!(received(&url, 1)[0]["detail"], answer.body);
            assert_eq!(function.lines(0, |line| line["outcome"] == "lost"), [] as [Value; 0]);
            continue;
        };
        let lost = function.lines(1, |line| line["outcome"] == "lost");
        assert_eq!((lost.len(), &lost[0]["results"], &lost[0]["reason"]), (1, &json!(1), &json!(reason)), "{lost:?}");
        assert_eq!(lost[0]["schema"], "streamseal.note/v1");
        assert_eq!(function.lines(1, |line| line.get("ResultsLost").is_some())[0]["ResultsLost"], 1);
        // The log has it all the same, and before.
        let log = function.log();
        let place = |words: &str| log.iter().position(|line| line.contains(words)).unwrap();
        assert!(place("streamseal.evidence/v1") < place("\"outcome\":\"lost\""));
    }
}
