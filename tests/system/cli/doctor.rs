//! `streamseal doctor`: an account with nothing, the same one with everything, and one that refuses to be looked at.

use serde_json::{Value, json};

use super::{Ran, pretty, reach_of, run, steady};
use crate::support::{ACCOUNT, Parts, REGION, file};

/// How each thing stands, by what it is about.
fn states(out: &str) -> Vec<(String, String)> {
    let json: Value = serde_json::from_str(out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    json["findings"].as_array().unwrap().iter().map(|f| (text(&f["about"]), text(&f["state"]))).collect()
}

fn are(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(about, state)| ((*about).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn each_fault_comes_with_what_mends_it() {
    let own = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let policy = file(
        &folder,
        "policy.yaml",
        "version: 1\ndefaults: {existing: enforce}\nrules: [{name: a, match: {stream: a}, key: alias/a}, {name: b, key: alias/b}]\n",
    );
    let policy = policy.to_str().unwrap();
    let doctor = |arguments: &[&str]| run(&[&["doctor", "--policy", policy], arguments].concat(), &reach_of(&own));

    let Ran { code, out, .. } = run(&["doctor", "--json"], &reach_of(&own));
    assert_eq!(code, 3, "no trail: {out}");
    let unnamed = [
        ("caller", "good"),
        ("streams", "good"),
        ("trail", "fault"),
        ("queue", "unknown"),
        ("policy", "unknown"),
        ("role", "unknown"),
    ];
    assert_eq!(states(&out), are(&unnamed));

    let key = own.key("alias/a");
    let made = own.sqs("CreateQueue", json!({"QueueName": "work"}));
    let (url, queue) = (made["QueueUrl"].as_str().unwrap(), format!("arn:aws:sqs:{REGION}:{ACCOUNT}:work"));
    let describe = json!({"Statement": [{"Effect": "Allow", "Action": "kinesis:Describe*", "Resource": "*"}]});
    let role = own.role("narrow", &describe);
    let named = ["--queue-url", url, "--role", &role];
    let port = own.aws.clone();
    let names = [(policy, "policy.yaml"), (&*key, "KEY"), (&*port, "http://AWS")];
    let Ran { code, out, .. } = doctor(&named);
    assert_eq!(code, 3, "{out}");
    insta::assert_snapshot!("doctor_faults", steady(&out, &names));
    let Ran { out, .. } = doctor(&[&named[..], &["--json"]].concat());
    insta::assert_snapshot!("doctor_faults_json", pretty(&steady(&out, &names)));

    // Now as the words say, one after the other.
    own.cloudtrail("CreateTrail", json!({"Name": "management", "S3BucketName": "bucket"}));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("is switched off: EventBridge gets no events") && out.contains("start-logging"), "{out}");
    own.cloudtrail("StartLogging", json!({"Name": "management"}));
    let selectors = |kind: &str| json!({"TrailName": "management", "EventSelectors": [{"ReadWriteType": kind, "IncludeManagementEvents": true, "DataResources": []}]});
    own.cloudtrail("PutEventSelectors", selectors("ReadOnly"));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("does not log management events that write") && out.contains("put-event-selectors"), "{out}");
    own.cloudtrail("PutEventSelectors", selectors("WriteOnly"));

    let pattern = json!({"source": ["aws.kinesis"], "detail-type": ["AWS API Call via CloudTrail"]}).to_string();
    own.events("PutRule", json!({"Name": "streams", "EventPattern": pattern, "State": "DISABLED"}));
    own.events("PutTargets", json!({"Rule": "streams", "Targets": [{"Id": "work", "Arn": queue}]}));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("streams is switched off") && out.contains("aws events enable-rule --name streams"), "{out}");
    own.events("EnableRule", json!({"Name": "streams"}));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("its policy does not let these rules send to it") && out.contains("rule/streams\""), "{out}");
    let allow = json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue}]});
    own.sqs("CreateQueue", json!({"QueueName": "dead"}));
    let redrive = json!({"deadLetterTargetArn": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:dead"), "maxReceiveCount": 5})
        .to_string();
    own.sqs(
        "SetQueueAttributes",
        json!({"QueueUrl": url, "Attributes": {"Policy": allow.to_string(), "RedrivePolicy": redrive}}),
    );
    own.key("alias/b");
    let all = json!({"Statement": [{"Effect": "Allow", "Action": ["kinesis:*", "kms:*"], "Resource": "*"}]});
    let wide = own.role("wide", &all);
    own.stream("a");
    own.active("a");

    let Ran { code, out, err } = doctor(&["--queue-url", url, "--role", &wide, "--json"]);
    let good = ["caller", "streams", "trail", "rules", "queue", "keys", "role"].map(|about| (about, "good"));
    assert_eq!(states(&out), are(&good), "{out}{err}");
    assert_eq!(code, 0, "{out}");
}

#[test]
fn what_may_not_be_looked_at_is_said_to_be_so() {
    let refusing = super::frame::refusing();
    let variables = [("AWS_ENDPOINT_URL", &*refusing), ("AWS_REGION", REGION), ("ACCOUNT_ID", ACCOUNT)];
    let Ran { code, out, .. } = run(&["doctor", "--json", "--policy", "ssm:/p"], &variables);
    assert_eq!(code, 4, "{out}");
    assert!(states(&out).iter().all(|(_, state)| state == "unknown"), "{out}");
    assert!(
        out.contains("cloudtrail:DescribeTrails failed (AccessDenied")
            && out.contains("\\\"Action\\\":\\\"cloudtrail:DescribeTrails\\\""),
        "{out}"
    );
}
