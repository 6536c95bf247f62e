//! Tables of conditions: each operator, and what is known of a call.

use serde_json::{Value, json};

use super::{ROLE, ROOT, SERVICE, SESSION, STREAM, allow, answer, letters};
use crate::domain::access::condition;
use crate::domain::access::request::{Context, Known};
use crate::domain::access::truth::Truth;

/// A condition on a key whose value is one of these, on several, on one that the request does not have, and on one of which nothing
/// is known.
#[test]
fn condition_operators() {
    let context = Context::default()
        .with("one", Known::One("Value".into()))
        .with("many", Known::Many(vec!["a".into(), "b".into()]))
        .with("none", Known::Many(Vec::new()))
        .with("no", Known::Absent)
        .with("arn", Known::One(ROLE.into()))
        .with("true", Known::One("true".into()));
    for (operator, key, values, expected) in [
        ("StringEquals", "one", json!("Value"), "yes"),
        ("StringEquals", "ONE", json!(["x", "Value"]), "yes"),
        ("StringEquals", "one", json!("value"), "no"),
        ("StringEquals", "one", json!("V*"), "no"),
        ("StringEquals", "no", json!("Value"), "no"),
        ("StringEquals", "unheard", json!("Value"), "unknown"),
        ("StringEquals", "one", json!("${aws:username}"), "unknown"),
        ("StringEquals", "one", json!(["Value", "${aws:username}"]), "yes"),
        ("StringEquals", "many", json!("a"), "unknown"),
        ("StringEquals", "one", json!([]), "unknown"),
        ("StringEquals", "one", json!({"a": 1}), "unknown"),
        ("StringEquals", "one", json!([null]), "unknown"),
        ("StringEqualsIfExists", "no", json!("x"), "yes"),
        ("StringEqualsIfExists", "one", json!("x"), "no"),
        ("StringEqualsIfExists", "unheard", json!("x"), "unknown"),
        ("StringNotEquals", "one", json!(["a", "b"]), "yes"),
        ("StringNotEquals", "one", json!(["a", "Value"]), "no"),
        ("StringNotEquals", "no", json!("a"), "yes"),
        ("StringNotEquals", "unheard", json!("a"), "unknown"),
        ("StringEqualsIgnoreCase", "one", json!("VALUE"), "yes"),
        ("StringEqualsIgnoreCase", "one", json!("other"), "no"),
        ("StringNotEqualsIgnoreCase", "one", json!("VALUE"), "no"),
        ("StringLike", "one", json!("V?l*"), "yes"),
        ("StringLike", "one", json!("v*"), "no"),
        ("StringLike", "no", json!("*"), "no"),
        ("StringNotLike", "one", json!("v*"), "yes"),
        ("StringNotLike", "no", json!("*"), "yes"),
        ("ArnEquals", "arn", json!("arn:aws:iam::*:role/app/*"), "yes"),
        ("ArnLike", "arn", json!("arn:aws:iam::111122223333:role/other"), "no"),
        ("ArnLike", "arn", json!("arn:aws:*"), "unknown"),
        ("ArnNotLike", "arn", json!("arn:aws:iam::444455556666:role/*"), "yes"),
        ("ArnNotEquals", "arn", json!(ROLE), "no"),
        ("ArnNotEquals", "no", json!(ROLE), "yes"),
        ("Bool", "true", json!("true"), "yes"),
        ("Bool", "true", json!(true), "yes"),
        ("Bool", "true", json!("False"), "no"),
        ("Bool", "no", json!("false"), "no"),
        ("Bool", "true", json!("yes"), "unknown"),
        ("Bool", "one", json!("true"), "unknown"),
        ("BoolIfExists", "no", json!("false"), "yes"),
        ("Null", "no", json!("true"), "yes"),
        ("Null", "no", json!(false), "no"),
        ("Null", "one", json!("false"), "yes"),
        ("Null", "one", json!(["true", "false"]), "yes"),
        ("Null", "one", json!("maybe"), "unknown"),
        ("Null", "unheard", json!("true"), "unknown"),
        ("ForAnyValue:StringEquals", "many", json!(["b", "c"]), "yes"),
        ("ForAnyValue:StringEquals", "many", json!("c"), "no"),
        ("ForAnyValue:StringEquals", "no", json!("c"), "no"),
        ("ForAnyValue:StringNotEquals", "many", json!("a"), "yes"),
        ("ForAnyValue:StringNotEquals", "many", json!(["a", "b"]), "no"),
        ("ForAnyValue:StringNotEquals", "no", json!("a"), "no"),
        ("ForAnyValue:StringEquals", "none", json!("a"), "no"),
        ("ForAnyValue:StringEqualsIfExists", "no", json!("a"), "unknown"),
        ("ForAllValues:StringEquals", "many", json!(["a", "b", "c"]), "yes"),
        ("ForAllValues:StringEquals", "many", json!("a"), "no"),
        ("ForAllValues:StringEquals", "no", json!("a"), "yes"),
        ("ForAllValues:StringNotEquals", "many", json!("c"), "yes"),
        ("ForAllValues:StringNotEquals", "many", json!("a"), "no"),
        ("ForAllValues:StringLike", "one", json!("V*"), "yes"),
        ("ForSomeValues:StringEquals", "many", json!("a"), "unknown"),
        ("IpAddress", "unheard", json!("10.0.0.0/8"), "unknown"),
        ("IpAddress", "no", json!("10.0.0.0/8"), "no"),
        ("NotIpAddress", "no", json!("10.0.0.0/8"), "yes"),
        ("NumericLessThan", "one", json!(7), "unknown"),
        ("DateGreaterThan", "no", json!("2026-01-01T00:00:00Z"), "no"),
        ("stringEquals", "one", json!("Value"), "unknown"),
        ("StringMatches", "one", json!("Value"), "unknown"),
    ] {
        let condition = json!({ operator: { key: values } });
        let found = match condition::met(Some(&condition), &context) {
            Truth::Yes => "yes",
            Truth::No => "no",
            Truth::Unknown(_) => "unknown",
        };
        assert_eq!(found, expected, "{condition}");
    }
}

#[test]
fn every_operator_and_every_key_of_a_condition_has_to_be_met() {
    let met = |condition: Value| letters(&answer(&allow(json!({"Condition": condition})), ROLE));
    let via = json!("kinesis.eu-west-1.amazonaws.com");
    let stream = "kms:EncryptionContext:aws:kinesis:arn";
    assert_eq!(met(json!({"StringEquals": {"kms:ViaService": via, stream: STREAM}})), "P");
    assert_eq!(met(json!({"StringEquals": {"kms:ViaService": via, stream: "x"}})), "");
    assert_eq!(met(json!({"StringEquals": {"kms:ViaService": via}, "StringLike": {stream: "x*"}})), "");
    assert_eq!(met(json!({"StringEquals": {"kms:ViaService": via, "aws:SourceIp": "x"}})), "p");
    assert_eq!(met(json!({"StringEquals": {"kms:ViaService": "x", "aws:SourceIp": "x"}})), "", "a sure no is one");
    assert_eq!(met(json!({})), "P");
    for strange in [json!([]), json!("x"), json!({"StringEquals": "x"}), json!({"StringEquals": {"a": {}}})] {
        assert_eq!(met(strange.clone()), "p", "{strange}");
    }
}

/// What is known of a call that Kinesis makes for somebody.
#[test]
fn what_is_known_of_a_call_through_kinesis() {
    let met = |who: &str, operator: &str, key: &str, value: Value| {
        let principal = json!({ "Principal": "*", "Condition": { operator: { key: value } } });
        letters(&answer(&allow(principal), who))
    };
    for (operator, key, value) in [
        ("StringEquals", "kms:CallerAccount", "111122223333"),
        ("StringEquals", "aws:PrincipalAccount", "111122223333"),
        ("ArnEquals", "aws:PrincipalArn", ROLE),
        ("StringEquals", "aws:RequestedRegion", "eu-west-1"),
        ("StringEquals", "aws:ResourceAccount", "111122223333"),
        ("Bool", "kms:GrantIsForAWSResource", "false"),
        ("Bool", "aws:ViaAWSService", "true"),
        ("Bool", "aws:PrincipalIsAWSService", "false"),
        ("ForAllValues:StringEquals", "kms:EncryptionContextKeys", "aws:kinesis:arn"),
        ("Null", "kms:EncryptionContext:AWS:Kinesis:arn", "false"),
        // Kinesis gives no other pair.
        ("Null", "kms:EncryptionContext:aws:s3:arn", "true"),
    ] {
        assert_eq!(met(ROLE, operator, key, json!(value)), "P", "{operator} {key}");
    }
    for key in ["aws:SourceIp", "aws:SourceVpce", "aws:PrincipalOrgID", "aws:PrincipalTag/team", "aws:CurrentTime"] {
        assert_eq!(met(ROLE, "StringEquals", key, json!("x")), "p", "{key}");
    }
    assert_eq!(met(SESSION, "ArnEquals", "aws:PrincipalArn", json!(ROLE)), "p", "its role may have a path");
    assert_eq!(met(ROOT, "ArnEquals", "aws:PrincipalArn", json!(ROLE)), "p", "it stands for many");
    assert_eq!(met(SERVICE, "StringEquals", "kms:CallerAccount", json!("111122223333")), "p");
}
