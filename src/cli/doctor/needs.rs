//! What has to reach the work queue: an event of each kind that the function acts on, and the pattern of a rule that lets it
//! through. Pure: whether a rule does is asked of EventBridge's own matcher (TestEventPattern), with these events.

use serde_json::{Value, json};

use crate::domain::arn::Scope;
use crate::domain::cause::WAKING_CALLS;
use crate::domain::event::keys::{KEY_CALLS, KEY_EVENTS, KEY_SERVICE_EVENTS};

/// How CloudTrail's records come.
const CALL: &str = "AWS API Call via CloudTrail";
const SERVICE_EVENT: &str = "AWS Service Event via CloudTrail";

/// One kind of event that has to come.
#[derive(Debug)]
pub(super) struct Need {
    /// The resource of `template.yaml` that lets it through.
    pub(super) rule: &'static str,
    /// What it is.
    pub(super) what: &'static str,
    /// What does not happen without it.
    pub(super) without: &'static str,
    /// The pattern that lets all of it through, as the template has it.
    pub(super) pattern: Value,
    /// An event of each sort, by its name.
    pub(super) samples: Vec<(String, Value)>,
}

/// All of them. `parameters` are the parameters of Systems Manager that hold the policy and the mode.
pub(super) fn needs(own: &Scope, parameters: &[String]) -> Vec<Need> {
    let mut needs = vec![stream_calls(own), config(own), security_hub(own), security_hub_v2(own), key_events(own)];
    needs.push(key_calls(own));
    if !parameters.is_empty() {
        needs.push(parameter_changes(own, parameters));
    }
    needs
}

fn stream_calls(own: &Scope) -> Need {
    let sample = |name: &&str| {
        let parameters = match *name {
            "TagResource" | "UntagResource" => json!({"resourceARN": stream(own)}),
            _ => json!({"streamName": "any"}),
        };
        ((*name).to_owned(), call(own, "kinesis", CALL, name, &parameters, &json!([])))
    };
    Need {
        rule: "StreamCalls",
        what: "Kinesis calls",
        without: "a stream stays as it is until the next sweep",
        pattern: json!({
            "source": ["aws.kinesis"], "detail-type": [CALL],
            "detail": {"eventSource": ["kinesis.amazonaws.com"], "eventName": WAKING_CALLS, "errorCode": [{"exists": false}]},
        }),
        samples: WAKING_CALLS.iter().map(sample).collect(),
    }
}

fn config(own: &Scope) -> Need {
    let kind = "Config Rules Compliance Change";
    let detail = json!({
        "messageType": "ComplianceChangeNotification", "resourceType": "AWS::Kinesis::Stream", "resourceId": "any",
        "configRuleName": "kinesis-stream-encrypted", "awsAccountId": own.account, "awsRegion": own.region,
        "newEvaluationResult": {"complianceType": "NON_COMPLIANT"},
    });
    Need {
        rule: "ConfigFindings",
        what: "AWS Config findings",
        without: "a stream that AWS Config finds unencrypted is not observed before the next sweep",
        pattern: json!({
            "source": ["aws.config"], "detail-type": [kind],
            "detail": {
                "messageType": ["ComplianceChangeNotification"], "resourceType": ["AWS::Kinesis::Stream"],
                "newEvaluationResult": {"complianceType": ["NON_COMPLIANT"]},
            },
        }),
        samples: vec![(kind.to_owned(), event(own, "aws.config", kind, &json!([]), detail))],
    }
}

fn security_hub(own: &Scope) -> Need {
    let kinds = ["Security Hub Findings - Imported", "Security Hub Findings - Custom Action"];
    let finding = json!({
        "AwsAccountId": own.account, "Region": own.region, "GeneratorId": "security-control/Kinesis.1",
        "Compliance": {"Status": "FAILED", "SecurityControlId": "Kinesis.1"}, "RecordState": "ACTIVE",
        "Workflow": {"Status": "NEW"}, "Resources": [{"Type": "AwsKinesisStream", "Id": stream(own)}],
    });
    let sample = |kind: &str| {
        (kind.to_owned(), event(own, "aws.securityhub", kind, &json!([]), json!({"findings": [finding.clone()]})))
    };
    Need {
        rule: "SecurityHubFindings",
        what: "Security Hub findings (ASFF)",
        without: "a stream that Security Hub finds unencrypted is not observed before the next sweep",
        pattern: json!({
            "source": ["aws.securityhub"], "detail-type": kinds,
            "detail": {"findings": {
                "AwsAccountId": [own.account], "Region": [own.region],
                "Compliance": {"Status": ["FAILED", "WARNING"]}, "RecordState": ["ACTIVE"],
                "Workflow": {"Status": ["NEW", "NOTIFIED"]},
                "$or": [{"Compliance": {"SecurityControlId": ["Kinesis.1"]}}, {"GeneratorId": [{"suffix": "/Kinesis.1"}]}],
            }},
        }),
        samples: kinds.into_iter().map(sample).collect(),
    }
}

fn security_hub_v2(own: &Scope) -> Need {
    let kind = "Findings Imported V2";
    let finding = json!({
        "class_uid": 2003, "status_id": 1, "cloud": {"account": {"uid": own.account}, "region": own.region},
        "compliance": {"control": "Kinesis.1", "status": "Fail", "status_id": 3},
        "resources": [{"type": "AWS::Kinesis::Stream", "uid": stream(own)}],
    });
    Need {
        rule: "SecurityHubFindingsV2",
        what: "Security Hub findings (OCSF)",
        without: "a stream that Security Hub finds unencrypted is not observed before the next sweep",
        pattern: json!({
            "source": ["aws.securityhub"], "detail-type": [kind],
            "detail": {"findings": {
                "class_uid": [2003], "cloud": {"account": {"uid": [own.account]}, "region": [own.region]},
                "compliance": {"control": ["Kinesis.1"]},
            }},
        }),
        samples: vec![(
            kind.to_owned(),
            event(own, "aws.securityhub", kind, &json!([]), json!({"findings": [finding]})),
        )],
    }
}

fn key_events(own: &Scope) -> Need {
    let sample =
        |kind: &str| (kind.to_owned(), event(own, "aws.kms", kind, &json!([key(own)]), json!({"key-id": "any"})));
    Need {
        rule: "KeyEvents",
        what: "KMS events",
        without: "a key that is rotated or deleted is not noticed before the next sweep",
        pattern: json!({"source": ["aws.kms"], "detail-type": KEY_EVENTS.map(|(kind, _)| kind)}),
        samples: KEY_EVENTS.into_iter().map(|(kind, _)| sample(kind)).collect(),
    }
}

fn key_calls(own: &Scope) -> Need {
    let resources = json!([{"ARN": key(own), "type": "AWS::KMS::Key"}]);
    let parameters = json!({"aliasName": "alias/any", "keyId": key(own)});
    let sample = |(kind, name): (&str, &str)| (name.to_owned(), call(own, "kms", kind, name, &parameters, &resources));
    let calls = KEY_CALLS.into_iter().map(|(name, _)| (CALL, name));
    let mut names: Vec<&str> = KEY_CALLS.into_iter().chain(KEY_SERVICE_EVENTS).map(|(name, _)| name).collect();
    names.sort_unstable();
    Need {
        rule: "KeyCalls",
        what: "KMS calls",
        without: "an alias that moves, or a key that is disabled, is not noticed before the next sweep",
        pattern: json!({
            "source": ["aws.kms"], "detail-type": [CALL, SERVICE_EVENT],
            "detail": {"eventSource": ["kms.amazonaws.com"], "eventName": names, "errorCode": [{"exists": false}]},
        }),
        samples: calls
            .chain(KEY_SERVICE_EVENTS.into_iter().map(|(name, _)| (SERVICE_EVENT, name)))
            .map(sample)
            .collect(),
    }
}

fn parameter_changes(own: &Scope, parameters: &[String]) -> Need {
    let kind = "Parameter Store Change";
    let sample = |name: &String| {
        let of = |operation: &str| {
            let detail = json!({"name": name, "type": "String", "operation": operation});
            (format!("{operation} of {name}"), event(own, "aws.ssm", kind, &json!([]), detail))
        };
        [of("Create"), of("Update")]
    };
    Need {
        rule: "PolicyChanges",
        what: "changes of the policy and the mode",
        without: "a new policy or mode is not applied to streams before the next sweep",
        pattern: json!({
            "source": ["aws.ssm"], "detail-type": [kind],
            "detail": {"name": parameters, "operation": ["Create", "Update"]},
        }),
        samples: parameters.iter().flat_map(sample).collect(),
    }
}

fn stream(own: &Scope) -> String {
    format!("arn:{}:kinesis:{}:{}:stream/any", own.partition, own.region, own.account)
}

fn key(own: &Scope) -> String {
    format!("arn:{}:kms:{}:{}:key/00000000-0000-4000-8000-000000000000", own.partition, own.region, own.account)
}

/// A record of CloudTrail.
fn call(own: &Scope, service: &str, kind: &str, name: &str, parameters: &Value, resources: &Value) -> Value {
    let detail = json!({
        "eventVersion": "1.11", "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
        "eventTime": "2026-01-01T00:00:00Z", "awsRegion": own.region, "recipientAccountId": own.account,
        "requestParameters": parameters, "resources": resources,
    });
    event(own, &format!("aws.{service}"), kind, &json!([]), detail)
}

/// An event with all that TestEventPattern asks for.
fn event(own: &Scope, source: &str, kind: &str, resources: &Value, detail: Value) -> Value {
    json!({
        "version": "0", "id": "00000000-0000-4000-8000-000000000000", "detail-type": kind, "source": source,
        "account": own.account, "time": "2026-01-01T00:00:00Z", "region": own.region, "resources": resources,
        "detail": detail,
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::event::item::{Input, Item};
    use crate::domain::event::parse;

    #[test]
    fn each_sample_is_an_event_that_the_function_acts_on() {
        let own = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let needs = needs(&own, &["/streamseal/policy".to_owned(), "/streamseal/mode".to_owned()]);
        assert_eq!(needs.len(), 7);
        for (name, sample) in needs.iter().flat_map(|need| &need.samples) {
            let Input::Direct(items) = parse(sample, &own, Timestamp::now()) else { panic!("{name}") };
            assert!(
                items.iter().any(|i| matches!(i, Item::Reconcile(_) | Item::Scan(_) | Item::PolicyChanged(..))),
                "{name}: {items:?}"
            );
        }
        // And each that a pattern names is among them.
        for need in &needs {
            let names = need.pattern.pointer("/detail/eventName").or(need.pattern.get("detail-type"));
            for name in names.and_then(Value::as_array).unwrap() {
                let sampled = |(_, sample): &(String, Value)| {
                    [sample.pointer("/detail/eventName"), sample.get("detail-type")].contains(&Some(name))
                };
                assert!(need.samples.iter().any(sampled), "{name}");
            }
        }
    }
}
