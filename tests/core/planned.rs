//! Plans of Terraform and templates of CloudFormation, judged by a policy. The files of `tests/plans` are in the shapes that HashiCorp (JSON
//! output format, 1.x) and AWS document.

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::planned::judge::{Place, judge};
use streamseal::domain::planned::{PlannedStream, cloudformation, terraform};
use streamseal::domain::policy::Policy;

use crate::common;

const PLAN: &str = include_str!("../plans/plan.json");
const TEMPLATE: &str = include_str!("../plans/template.yaml");
const POLICY: &str = include_str!("../plans/policy.yaml");

fn now() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

fn policy(text: &str) -> Policy {
    Policy::load(text).unwrap()
}

/// Each stream's address, change, rule and reason.
fn words(policy: &Policy, streams: Vec<PlannedStream>, place: &Place) -> Vec<String> {
    let word = |stream| {
        let judged = judge(policy, stream, place, now());
        let rule = judged.rule.as_deref().unwrap_or("-");
        format!("{} {} {rule} {}", judged.stream.address, judged.stream.change.as_str(), judged.reason)
    };
    streams.into_iter().map(word).collect()
}

fn plan() -> Value {
    serde_json::from_str(PLAN).unwrap()
}

#[test]
fn the_streams_of_a_plan_are_judged_by_the_policy() {
    let streams = terraform::read(&plan()).unwrap();
    assert_eq!(
        words(&policy(POLICY), streams.clone(), &Place::default()),
        [
            "aws_kinesis_stream.sealed create orders right-key",
            "aws_kinesis_stream.plain create orders not-encrypted",
            "aws_kinesis_stream.wrong update orders wrong-key",
            "module.regulated[\"eu.west\"].aws_kinesis_stream.this[\"payments\"] create regulated unknown",
            "aws_kinesis_stream.named_later create - unknown",
            "aws_kinesis_stream.tagged_later create - unknown",
            "aws_kinesis_stream.replaced replace orders not-encrypted",
            "aws_kinesis_stream.scratch create scratch exempt",
        ]
    );
    // Where a value is not known, what it comes from is.
    let detail = |address: &str| {
        let stream = streams.iter().find(|stream| stream.address == address).unwrap().clone();
        judge(&policy(POLICY), stream, &Place::default(), now()).detail
    };
    let payments = detail("module.regulated[\"eu.west\"].aws_kinesis_stream.this[\"payments\"]");
    assert!(payments.contains("from aws_kms_key.regulated.arn"), "{payments}");
    assert_eq!(streams[0].region.as_deref(), Some("eu-west-1"), "the provider's");
}

#[test]
fn the_streams_of_a_template_are_judged_by_the_policy() {
    let streams = cloudformation::read(&common::read(TEMPLATE)).unwrap();
    let mut words = words(&policy(POLICY), streams, &Place::default());
    words.sort();
    assert_eq!(
        words,
        [
            "Maybe declare orders unknown",
            "NoValue declare orders not-encrypted",
            "OwnKey declare regulated unknown",
            "Plain declare orders not-encrypted",
            "Scratch declare scratch exempt",
            "Sealed declare orders right-key",
            "Unnamed declare - unknown",
            "Wrong declare orders wrong-key",
        ]
    );
}

/// A plan of one stream, with this after it.
fn one(after: &Value) -> Value {
    let mut plan = plan();
    plan["resource_changes"] = json!([{
        "address": "aws_kinesis_stream.it", "mode": "managed", "type": "aws_kinesis_stream", "name": "it",
        "change": {"actions": ["create"], "before": null, "after": after, "after_unknown": {}},
    }]);
    plan
}

#[test]
fn keys_are_compared_as_far_as_a_plan_can_say() {
    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const FOREIGN: &str = "arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let alias = "arn:aws:kms:eu-west-1:111122223333:alias/app";
    let id = KEY.rsplit('/').next().unwrap();
    let rule = |rest: &str| format!("{{version: 1, defaults: {{existing: enforce}}, rules: [{{name: all, {rest}}}]}}");
    let named = format!("key: '{KEY}'");
    for (policy_text, kind, key, expected) in [
        ("key: alias/app", "KMS", "alias/app", "right-key"),
        ("key: alias/app", "KMS", alias, "right-key"),
        ("key: alias/app", "KMS", "alias/other", "wrong-key"),
        ("key: alias/app", "KMS", "no key at all", "wrong-key"),
        ("key: alias/app", "NONE", "alias/app", "not-encrypted"),
        ("key: alias/app", "SSE", "alias/app", "wrong-key"),
        // KMS alone knows which key an alias is of.
        ("key: alias/app", "KMS", KEY, "unknown"),
        (named.as_str(), "KMS", KEY, "right-key"),
        (named.as_str(), "KMS", id, "right-key"),
        (named.as_str(), "KMS", FOREIGN, "wrong-key"),
        ("key: alias/app, accept: [alias/other]", "KMS", "alias/other", "accepted-key"),
        ("key: alias/aws/kinesis, accept: [customer-managed]", "KMS", "alias/other", "accepted-key"),
        ("key: alias/aws/kinesis, accept: [customer-managed]", "KMS", KEY, "accepted-key"),
        ("key: alias/aws/kinesis, accept: [customer-managed]", "KMS", FOREIGN, "unknown"),
        ("key: alias/app, accept: [customer-managed]", "KMS", "alias/aws/kinesis", "wrong-key"),
        ("key: alias/app, accept: [aws-managed]", "KMS", "alias/aws/kinesis", "accepted-key"),
    ] {
        let after = json!({"name": "orders", "encryption_type": kind, "kms_key_id": key, "tags_all": {}});
        let stream = terraform::read(&one(&after)).unwrap().remove(0);
        let place = Place { account: Some("111122223333".into()), region: None };
        let judged = judge(&policy(&rule(policy_text)), stream, &place, now());
        assert_eq!(judged.reason, expected, "{policy_text} {kind} {key}: {}", judged.detail);
    }
}

#[test]
fn what_nobody_says_is_no_difference() {
    const ALIAS: &str = "arn:aws:kms:eu-west-1:111122223333:alias/app";
    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const AWS: &str = "arn:aws:kms:eu-west-1:111122223333:alias/aws/kinesis";
    let id = KEY.rsplit('/').next().unwrap();
    let by_arn = format!("key: '{KEY}'");
    for (rule, key, expected) in [
        ("key: alias/app", ALIAS, "unknown"),
        ("key: alias/app", "arn:aws:kms:eu-west-1:111122223333:alias/other", "wrong-key"),
        (by_arn.as_str(), id, "unknown"),
        ("key: alias/app, accept: [aws-managed]", AWS, "accepted-key"),
        ("key: alias/app, accept: [customer-managed]", AWS, "wrong-key"),
        ("key: alias/app, accept: [customer-managed]", "alias/xaws/kinesis", "accepted-key"),
    ] {
        let after = json!({"name": "orders", "encryption_type": "KMS", "kms_key_id": key, "tags_all": {}});
        let mut plan = one(&after);
        plan["configuration"] = json!({});
        let policy =
            policy(&format!("{{version: 1, defaults: {{existing: enforce}}, rules: [{{name: all, {rule}}}]}}"));
        let judged = judge(&policy, terraform::read(&plan).unwrap().remove(0), &Place::default(), now());
        assert_eq!(judged.reason, expected, "{rule} {key}: {}", judged.detail);
    }
}

#[test]
fn a_parameters_default_counts_where_it_is_the_value() {
    let policy = policy("{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/app}]}");
    for (parameter, expected) in [
        (json!({"Type": "String", "Default": "alias/app"}), "right-key"),
        // The name of a parameter of Systems Manager.
        (json!({"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/app/key"}), "unknown"),
        (json!({"Type": "String", "Default": ""}), "unknown"),
        (json!({"Type": "String", "Default": "alias/secret", "NoEcho": true}), "unknown"),
    ] {
        let template = json!({
            "Parameters": {"Key": parameter},
            "Resources": {"It": {"Type": "AWS::Kinesis::Stream", "Properties": {
                "Name": "orders", "StreamEncryption": {"EncryptionType": "KMS", "KeyId": {"Ref": "Key"}},
            }}},
        });
        let judged = judge(&policy, cloudformation::read(&template).unwrap().remove(0), &Place::default(), now());
        assert_eq!(judged.reason, expected, "{parameter}: {}", judged.detail);
    }
}

#[test]
fn what_rules_read_has_to_be_known() {
    let after = json!({"name": "orders", "encryption_type": "KMS", "kms_key_id": "alias/app"});
    let place = |account: Option<&str>, region: Option<&str>| Place {
        account: account.map(str::to_owned),
        region: region.map(str::to_owned),
    };
    let (account, region) = (Some("111122223333"), Some("eu-west-1"));
    for (rule, place, expected) in [
        ("match: {account: '1*'}, key: alias/app", place(None, region), "unknown"),
        ("match: {account: '1*'}, key: alias/app", place(account, region), "right-key"),
        ("key: 'alias/a-${account}'", place(None, region), "unknown"),
        ("key: 'alias/a-${account}'", place(account, region), "wrong-key"),
        ("match: {region: 'eu-*'}, key: alias/app", place(None, None), "unknown"),
        ("match: {region: 'eu-*'}, key: alias/app", place(None, region), "right-key"),
        ("match: {region: 'us-*'}, key: alias/app", place(None, region), "unmatched"),
        ("key: alias/app", place(None, None), "right-key"),
    ] {
        let mut plan = one(&after);
        plan["configuration"] = json!({});
        let stream = terraform::read(&plan).unwrap().remove(0);
        let policy =
            policy(&format!("{{version: 1, defaults: {{existing: enforce}}, rules: [{{name: all, {rule}}}]}}"));
        let judged = judge(&policy, stream, &place, now());
        assert_eq!(judged.reason, expected, "{rule} {place:?}: {}", judged.detail);
    }
}

#[test]
fn one_tag_that_is_not_known_is_enough() {
    let policy = policy(
        "{version: 1, defaults: {existing: enforce}, rules: [{name: all, match: {tags: {a: '*'}}, key: alias/app}]}",
    );
    let after = json!({"name": "orders", "encryption_type": "KMS", "kms_key_id": "alias/app", "tags_all": {"a": "b"}});
    for (unknown, expected) in
        [(json!({"tags_all": {"c": true}}), "unknown"), (json!({"tags_all": {}, "id": true}), "right-key")]
    {
        let mut plan = one(&after);
        plan["resource_changes"][0]["change"]["after_unknown"] = unknown.clone();
        let judged = judge(&policy, terraform::read(&plan).unwrap().remove(0), &Place::default(), now());
        assert_eq!(judged.reason, expected, "{unknown}: {}", judged.detail);
    }
}

#[test]
fn a_wrong_file_is_named_for_what_it_is() {
    let mut broken = one(&json!({"name": "orders"}));
    broken["resource_changes"][0]["change"]["actions"] = json!(["explode"]);
    for (plan, words) in [
        (json!({"format_version": "2.0"}), "field `format_version`: `2.0` is not 1.x"),
        (json!({}), "`terraform show -json PLAN`"),
        (json!([]), "field `format_version` is missing"),
        (json!({"format_version": "1.0", "values": {}}), "this is a state, not a plan"),
        (json!({"format_version": "1.0", "resource_changes": {}}), "field `resource_changes`: not a list"),
        (json!({"Resources": {}}), "use --cloudformation"),
        (json!({"format_version": "1.0", "errored": true, "resource_changes": []}), "field `errored`"),
        (broken, "field `resource_changes[0].change.actions`: not known"),
        (one(&json!({"name": "not a name"})), "`not a name` cannot be a stream's name"),
    ] {
        let why = terraform::read(&plan).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
    assert_eq!(terraform::read(&json!({"format_version": "1.0", "planned_values": {}})), Ok(Vec::new()));
    for (template, words) in [
        (json!({"format_version": "1.0"}), "use --terraform"),
        (json!({"AWSTemplateFormatVersion": "2010-09-09"}), "field `Resources` is missing"),
        (json!({"Resources": []}), "field `Resources`: not a mapping"),
        (json!({"Resources": {"Fn::ForEach::Streams": []}}), "a loop is not read"),
        (
            json!({"Resources": {"A": {"Type": "AWS::Kinesis::Stream", "Properties": 1}}}),
            "field `Resources.A.Properties`",
        ),
    ] {
        let why = cloudformation::read(&template).unwrap_err();
        assert!(why.contains(words), "{why}");
    }
}
