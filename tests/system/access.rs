//! The evaluator of `domain/access` against one that is not ours (`tools/emulators/iam.cjs`), on policies that are made up: where both
//! are certain, they agree.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};
use streamseal::domain::access::document::{Document, Place};
use streamseal::domain::access::principal::Principal;
use streamseal::domain::access::request::{Known, Request, encryption_context, through_kinesis};
use streamseal::domain::access::truth::Truth;
use streamseal::domain::arn::{KeyArn, StreamArn};

use crate::iam::ask;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1b0e6a9c-5e1f-4d2a-9f3e-0a1b2c3d4e5f";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const CONTEXT: &str = "kms:EncryptionContext:aws:kinesis:arn";
/// Who may be asked about, and whom a policy may name.
const CALLERS: [&str; 5] = [
    "arn:aws:iam::111122223333:role/app",
    "arn:aws:iam::111122223333:role/team/app2",
    "arn:aws:sts::111122223333:assumed-role/app/one",
    "arn:aws:iam::111122223333:user/alice",
    "arn:aws:iam::444455556666:role/app",
];
/// So many policies are made up.
const CASES: usize = 1_500;

/// One text or a list of some.
fn one_or_many(of: impl Strategy<Value = &'static str> + 'static) -> impl Strategy<Value = Value> {
    let of = of.boxed();
    prop_oneof![of.clone().prop_map(|text| json!(text)), prop::collection::vec(of, 1..3).prop_map(|all| json!(all))]
}

fn principals() -> impl Strategy<Value = Value> {
    let others = ["111122223333", "arn:aws:iam::111122223333:root", "arn:aws:iam::444455556666:root", "*"];
    let others = [&others[..], &["arn:aws:sts::111122223333:assumed-role/app/two", "AROAIIAUMNLVZ4EXAMPLE"]].concat();
    let named = one_or_many(select([&CALLERS[..], &others].concat()));
    prop_oneof![
        1 => Just(json!("*")),
        6 => named.prop_map(|named| json!({ "AWS": named })),
        1 => Just(json!({"Service": "firehose.amazonaws.com"})),
    ]
}

fn conditions() -> impl Strategy<Value = Value> {
    let operator = (
        select(vec!["", "", "", "ForAnyValue:", "ForAllValues:"]),
        select(vec![
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
            "ArnEquals",
            "ArnLike",
            "ArnNotEquals",
            "ArnNotLike",
            "Bool",
            "Null",
        ]),
        select(vec!["", "", "IfExists"]),
    );
    let key = select(vec![
        "kms:ViaService",
        "KMS:viaservice",
        CONTEXT,
        "kms:EncryptionContextKeys",
        "kms:CallerAccount",
        "aws:PrincipalAccount",
        "aws:PrincipalArn",
        "aws:RequestedRegion",
        "aws:ResourceAccount",
        "aws:ViaAWSService",
        "aws:PrincipalIsAWSService",
        "aws:SourceVpce",
    ]);
    let value = select(vec![
        "kinesis.eu-west-1.amazonaws.com",
        "kinesis.*.amazonaws.com",
        "KINESIS.eu-west-1.amazonaws.com",
        "sqs.eu-west-1.amazonaws.com",
        STREAM,
        "arn:aws:kinesis:*:111122223333:stream/ord*",
        "arn:aws:kinesis:eu-west-1:111122223333:stream/${*}",
        "arn:aws:kinesis:*",
        "aws:kinesis:arn",
        "111122223333",
        "1111222?3333",
        "444455556666",
        "arn:aws:iam::111122223333:role/app",
        "arn:aws:iam::*:role/*",
        "arn:aws:iam::111122223333:user/alice",
        "eu-west-1",
        "eu-*",
        "true",
        "false",
        "*",
        "${aws:PrincipalAccount}",
    ]);
    let one = (operator, key, one_or_many(value)).prop_map(|((over, compare, exists), key, value)| {
        // There is no `Null` over values, nor one for what exists.
        let operator = if compare == "Null" { compare.to_owned() } else { format!("{over}{compare}{exists}") };
        (operator, key, value)
    });
    prop::collection::vec(one, 0..3).prop_map(|all| {
        let mut operators = Map::new();
        for (operator, key, value) in all {
            operators.entry(operator).or_insert_with(|| json!({}))[key] = value;
        }
        Value::Object(operators)
    })
}

fn statement(names_principals: bool) -> impl Strategy<Value = Value> {
    let effect = select(vec!["Allow", "Allow", "Allow", "Allow", "Deny"]);
    let actions = one_or_many(select(vec![
        "kms:Decrypt",
        "kms:decrypt",
        "kms:De*",
        "kms:*",
        "*",
        "kms:GenerateDataKey",
        "kms:?ecrypt",
    ]));
    let resources = one_or_many(select(vec![
        "*",
        "*",
        KEY,
        "arn:aws:kms:eu-west-1:111122223333:key/*",
        "arn:aws:kms:eu-west-1:111122223333:key/other",
    ]));
    let not = || prop::bool::weighted(0.1);
    (effect, principals(), not(), actions, not(), resources, not(), conditions()).prop_map(
        move |(effect, principals, not_principal, actions, not_action, resources, not_resource, conditions)| {
            let name = |not: bool, name: &str| if not { format!("Not{name}") } else { name.to_owned() };
            let mut statement = json!({ "Effect": effect });
            if names_principals {
                statement[name(not_principal, "Principal")] = principals;
            }
            statement[name(not_action, "Action")] = actions;
            statement[name(not_resource, "Resource")] = resources;
            if conditions.as_object().is_some_and(|all| !all.is_empty()) {
                statement["Condition"] = conditions;
            }
            statement
        },
    )
}

fn policy(names_principals: bool, at_most: usize) -> impl Strategy<Value = Value> {
    prop::collection::vec(statement(names_principals), 0..=at_most)
        .prop_map(|all| json!({"Version": "2012-10-17", "Statement": all}))
}

/// The decision of both policies by the evaluator; `None` where it is not certain.
fn ours(principal: &str, action: &str, key_policy: &Value, identity_policy: &Value) -> (Option<&'static str>, Value) {
    let (who, stream) = (Principal::parse(principal).unwrap(), StreamArn::parse(STREAM).unwrap());
    let key = KeyArn::parse(KEY).unwrap();
    let context = through_kinesis(&who, &stream, &key);
    let pairs = encryption_context(&stream);
    let request = Request { principal: &who, action, resource: KEY, context: &context, encryption_context: &pairs };
    let by_key = Document::of(key_policy).answer(&request, Place::Resource);
    let by_identity = Document::of(identity_policy).answer(&request, Place::Identity);
    let denied = by_key.denied.truth.or(by_identity.denied.truth);
    let own = by_identity.allowed.truth;
    let allowed = if who.account.as_deref() == Some(key.account()) {
        by_key.allowed.truth.or(by_key.delegated.truth.and(own))
    } else {
        by_key.allowed.truth.or(by_key.delegated.truth).and(own)
    };
    let decision = match (denied, allowed) {
        (Truth::Yes, _) => Some("ExplicitlyDenied"),
        (Truth::No, Truth::Yes) => Some("Allowed"),
        (Truth::No, Truth::No) => Some("ImplicitlyDenied"),
        _ => None,
    };
    // The other evaluator does not know this key for these actions.
    let known = context.known().filter(|(key, _)| *key != "kms:GrantIsForAWSResource");
    let known = known.map(|(name, known)| {
        let value = match known {
            Known::One(value) => json!(value),
            Known::Many(values) => json!(values),
            Known::Absent => unreachable!("nothing is named that is absent"),
        };
        (name.to_owned(), value)
    });
    (decision, Value::Object(known.collect()))
}

#[test]
fn where_both_evaluators_are_certain_they_agree() {
    let mut runner = TestRunner::deterministic();
    let case = (
        select(CALLERS.to_vec()),
        select(vec!["kms:Decrypt", "kms:GenerateDataKey"]),
        policy(true, 3),
        policy(false, 2),
    );
    let mut questions = Vec::new();
    let mut decisions = Vec::new();
    for _ in 0..CASES {
        let (principal, action, key_policy, identity_policy) = case.new_tree(&mut runner).unwrap().current();
        let (decision, context) = ours(principal, action, &key_policy, &identity_policy);
        decisions.push(decision);
        questions.push(json!({
            "principal": principal, "action": action, "key": KEY, "key_policy": key_policy, "identity_policy": identity_policy,
            "context": context,
        }));
    }
    let answers = ask(&json!({"role": CALLERS[0], "keys": questions}))["decisions"].take();
    let (mut certain, mut disagreements) = (BTreeMap::new(), Vec::new());
    for ((question, ours), theirs) in questions.iter().zip(decisions).zip(answers.as_array().unwrap()) {
        if let (Some(ours), Some(theirs)) = (ours, theirs.as_str()) {
            *certain.entry(ours).or_insert(0) += 1;
            if ours != theirs {
                disagreements.push(format!("{ours} here, {theirs} there: {question:#}"));
            }
        }
    }
    let count = disagreements.len();
    assert!(
        count == 0,
        "{count} of {certain:?}:\n{}",
        disagreements.into_iter().take(3).collect::<Vec<_>>().join("\n")
    );
    // A test in which one of them is never certain would show nothing.
    for decision in ["Allowed", "ExplicitlyDenied", "ImplicitlyDenied"] {
        assert!(certain.get(decision).is_some_and(|count| *count >= CASES / 50), "{certain:?}");
    }
}
