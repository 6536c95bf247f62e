//! Every EventBridge pattern of the template against every file of `events/`, by an emulator's own matcher (TestEventPattern):
//! what the function needs passes, and what passes only to be ignored is a listed few.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::arn::Scope;
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;

use crate::common::{Deployed, resources, template};
use crate::support::{ACCOUNT, REGION, event, parts, root};

/// Passes although nothing follows from it, and why the pattern lets it.
const PASSES_IN_VAIN: &[(&str, &str)] =
    &[("kinesis-tag-resource-channel", "the ARN alone distinguishes a channel from a stream, and few have channels")];

/// Something follows from it, and no pattern passes it, since it comes by another way.
const COMES_OTHERWISE: &[(&str, &str)] = &[
    ("scheduled-event-rule", "a rule with a schedule has no pattern; ours sends a command"),
    ("scheduler-default-payload", "EventBridge Scheduler calls its target itself"),
];

/// Where both are parameters of somebody else's, and where neither is.
pub(crate) const BY_NAME: &[(&str, &str)] =
    &[("PolicyParameterName", "/streamseal/policy"), ("ModeParameterName", "/streamseal/mode")];
const BY_VALUE: &[(&str, &str)] = &[("Policy", "version: 1")];

/// Every pattern by its rule, as CloudFormation hands it to EventBridge.
pub(crate) fn patterns(template: &Value, parameters: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let stack = Deployed::new(parameters);
    let rules = resources(template, "AWS::Events::Rule").into_iter();
    let rules = rules.filter(|(_, rule)| rule.get("EventPattern").is_some());
    rules.map(|(name, _)| (name.to_owned(), stack.properties(name).unwrap()["EventPattern"].take())).collect()
}

pub(crate) fn passes(pattern: &Value, event: &Value) -> bool {
    let body = json!({"EventPattern": pattern.to_string(), "Event": event.to_string()});
    parts().events("TestEventPattern", body)["Result"] == true
}

fn listed(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(listed, _)| *listed == name)
}

#[test]
fn the_rules_pass_what_is_needed_and_little_else() {
    let template = template();
    let patterns = patterns(&template, BY_NAME);
    assert_eq!(patterns.len(), 7);
    let own = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    let mut passed: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut count = 0;
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let event = event(&name);
        if event.get("detail-type").is_none() {
            continue;
        }
        count += 1;
        let by: Vec<&str> =
            patterns.iter().filter(|(_, pattern)| passes(pattern, &event)).map(|(rule, _)| rule.as_str()).collect();
        let Input::Direct(items) = parse(&event, &own, Timestamp::now()) else { panic!("{name}") };
        let needed = items
            .iter()
            .any(|item| !matches!(item, Item::Ignored(_) | Item::Rejected(_) | Item::Malformed(_) | Item::Rest(_)));
        let expected = (needed && !listed(COMES_OTHERWISE, &name)) || listed(PASSES_IN_VAIN, &name);
        assert_eq!(!by.is_empty(), expected, "{name} passes {by:?}");
        for rule in by {
            passed.entry(rule).or_default().push(event.clone());
        }
    }
    assert!(count > 40, "{count}");
    // A pattern that no file passes is wrong or has no file; the same holds for each name that it lists.
    for (rule, pattern) in &patterns {
        let passed = passed.get(rule.as_str()).unwrap_or_else(|| panic!("{rule}"));
        for place in ["/detail-type", "/detail/eventName"] {
            for name in pattern.pointer(place).and_then(Value::as_array).into_iter().flatten() {
                assert!(passed.iter().any(|event| event.pointer(place) == Some(name)), "{rule}: {name}");
            }
        }
    }
}

/// The file with another value at each of these places; `null` takes the member out.
fn changed(name: &str, changes: &[(&str, Value)]) -> Value {
    let mut event = event(name);
    for (place, value) in changes {
        let (parent, member) = place.rsplit_once('/').unwrap();
        let parent = event.pointer_mut(parent).and_then(Value::as_object_mut).unwrap();
        match value {
            Value::Null => drop(parent.remove(member)),
            other => drop(parent.insert(member.to_owned(), other.clone())),
        }
    }
    event
}

/// The rules are narrow, and the matcher sees it: each operator that they use refuses what is only nearly right.
#[test]
fn nearly_right_is_refused() {
    let template = template();
    let by_name = patterns(&template, BY_NAME);
    let by_value = patterns(&template, BY_VALUE);
    let all = |changes: &[(&'static str, Value)]| changes.to_vec();
    let generator = "/detail/findings/0/GeneratorId";
    let control = "/detail/findings/0/Compliance/SecurityControlId";
    let hub = |id: Value, from: &str| all(&[(control, id), (generator, json!(from))]);
    for (rule, file, changes, expected) in [
        ("StreamCalls", "kinesis-create-stream-provisioned", all(&[]), true),
        ("StreamCalls", "kinesis-create-stream-provisioned", all(&[("/source", json!("aws.kinesisvideo"))]), false),
        (
            "StreamCalls",
            "kinesis-create-stream-provisioned",
            all(&[("/detail/errorCode", json!("AccessDenied"))]),
            false,
        ),
        // An empty text is there all the same.
        ("StreamCalls", "kinesis-create-stream-provisioned", all(&[("/detail/errorCode", json!(""))]), false),
        (
            "StreamCalls",
            "kinesis-create-stream-provisioned",
            all(&[("/detail/eventName", json!("createStream"))]),
            false,
        ),
        ("StreamCalls", "kms-create-alias", all(&[]), false),
        // One branch of `$or` is enough, and neither is not; a suffix is one from its first sign to the end.
        ("SecurityHubFindings", "securityhub-findings-imported-kinesis1", hub(Value::Null, "rule/Kinesis.1"), true),
        ("SecurityHubFindings", "securityhub-findings-imported-kinesis1", hub(json!("Kinesis.1"), "rule"), true),
        ("SecurityHubFindings", "securityhub-findings-imported-kinesis1", hub(Value::Null, "rule/Kinesis.10"), false),
        ("SecurityHubFindings", "securityhub-findings-imported-kinesis1", hub(Value::Null, "rule/NoKinesis.1"), false),
        ("SecurityHubFindings", "securityhub-findings-imported-kinesis1", hub(json!("Kinesis.2"), "rule"), false),
        // To Security Hub's administrator come the findings of other accounts, and of other Regions where it aggregates them.
        (
            "SecurityHubFindings",
            "securityhub-findings-imported-kinesis1",
            all(&[("/detail/findings/0/AwsAccountId", json!("444455556666"))]),
            false,
        ),
        (
            "SecurityHubFindings",
            "securityhub-findings-imported-kinesis1",
            all(&[("/detail/findings/0/Region", json!("us-east-1"))]),
            false,
        ),
        (
            "SecurityHubFindingsV2",
            "securityhub-findings-imported-v2-kinesis1",
            all(&[("/detail/findings/0/cloud/account/uid", json!("444455556666"))]),
            false,
        ),
        (
            "SecurityHubFindingsV2",
            "securityhub-findings-imported-v2-kinesis1",
            all(&[("/detail/findings/0/cloud/region", json!("us-east-1"))]),
            false,
        ),
        ("SecurityHubFindingsV2", "securityhub-findings-imported-v2-kinesis1", all(&[]), true),
        ("KeyEvents", "kms-cmk-rotation", all(&[("/detail-type", json!("KMS CMK Rotatio"))]), false),
        ("KeyEvents", "kms-update-alias", all(&[]), false),
        ("KeyCalls", "kms-update-alias", all(&[]), true),
        ("KeyCalls", "kms-update-alias", all(&[("/detail/errorCode", json!("NotFoundException"))]), false),
        ("KeyCalls", "kms-update-alias", all(&[("/detail/eventSource", json!("workmail.amazonaws.com"))]), false),
        ("KeyCalls", "kms-update-alias", all(&[("/detail/eventName", json!("UpdateAlias20150331"))]), false),
        ("KeyCalls", "kms-update-alias", all(&[("/detail/eventName", json!("GenerateDataKey"))]), false),
        ("KeyCalls", "kms-rotate-key-service-event", all(&[]), true),
        ("KeyCalls", "kms-cmk-rotation", all(&[]), false),
        ("PolicyChanges", "ssm-parameter-store-change", all(&[]), true),
        ("PolicyChanges", "ssm-parameter-store-change", all(&[("/detail/operation", json!("Create"))]), true),
        ("PolicyChanges", "ssm-parameter-store-change", all(&[("/detail/operation", json!("Delete"))]), false),
        ("PolicyChanges", "ssm-parameter-store-change", all(&[("/detail/name", json!("/streamseal/policy2"))]), false),
        ("PolicyChanges", "ssm-parameter-store-change", all(&[("/detail/name", json!("/streamseal"))]), false),
    ] {
        let event = changed(file, &changes);
        assert_eq!(passes(&by_name[rule], &event), expected, "{rule} {file} {changes:?}");
        assert_eq!(passes(&by_value[rule], &event), expected, "{rule} {file} {changes:?}, in another deployment");
    }
    let mode = changed("ssm-parameter-store-change", &[("/detail/name", json!("/streamseal/mode"))]);
    assert!(passes(&by_name["PolicyChanges"], &mode) && !passes(&by_value["PolicyChanges"], &mode));
}
