//! What CloudTrail's records, findings and reports come to.

use serde_json::{Value, json};

use super::*;

/// The record of a call that Kinesis made for a role.
fn record() -> Value {
    json!({
        "eventSource": "kms.amazonaws.com", "eventName": "GenerateDataKey", "eventTime": "2026-12-01T00:00:00Z",
        "userIdentity": {
            "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/app/one",
            "sessionContext": {"sessionIssuer": {"type": "Role", "arn": ROLE}},
        },
        "requestParameters": {"keyId": "alias/app", "encryptionContext": {"aws:kinesis:arn": STREAM}},
        "resources": [{"ARN": KEY, "type": "AWS::KMS::Key"}],
    })
}

#[test]
fn a_kms_event_names_the_role_the_side_and_the_key() {
    let usage = Usage::parse(&record()).unwrap();
    assert_eq!((usage.who.name(), usage.side, usage.at), (ROLE, Side::Producer, now()));
    assert_eq!(
        (usage.stream.as_ref().unwrap().to_string().as_str(), usage.key.as_ref().map(KeyArn::as_str)),
        (STREAM, Some(KEY))
    );
    let found = usage.into_finding();
    assert_eq!((found.tier(), found.used(&KeyArn::parse(KEY).unwrap())), (Some(Tier::Observed), Some(now())));
    type Change = (&'static str, Value);
    let with = |changes: &[Change]| {
        let mut record = record();
        for (pointer, value) in changes {
            *record.pointer_mut(pointer).unwrap() = value.clone();
        }
        Usage::parse(&record)
    };
    assert_eq!(with(&[("/eventName", json!("Decrypt"))]).unwrap().side, Side::Consumer);
    let user = json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/alice"});
    assert_eq!(with(&[("/userIdentity", user)]).unwrap().who.name(), "arn:aws:iam::111122223333:user/alice");
    let strange = json!({"type": "WebIdentityUser", "principalId": "someone\n"});
    assert_eq!(with(&[("/userIdentity", strange)]).unwrap().who, Who::Unnamed(EventText::new("someone\n")));
    for other in [
        ("/eventSource", json!("payment-cryptography.amazonaws.com")),
        ("/eventName", json!("Encrypt")),
        ("/requestParameters", Value::Null),
        ("/requestParameters/encryptionContext", json!({"aws:s3:arn": STREAM})),
        ("/requestParameters/encryptionContext/aws:kinesis:arn", json!("orders")),
        ("/eventTime", json!("yesterday")),
        ("/userIdentity", Value::Null),
    ] {
        assert_eq!(with(std::slice::from_ref(&other)), None, "{other:?}");
    }
    let mut refused = record();
    refused["errorCode"] = json!("AccessDenied");
    let refused = Usage::parse(&refused).unwrap().into_finding();
    assert_eq!(refused.found[0].how, "CloudTrail: kms:GenerateDataKey, refused (AccessDenied)");
    assert_eq!(refused.used(&KeyArn::parse(KEY).unwrap()), None, "a refused call is no use of the key");
}

#[test]
fn a_refused_call_that_has_lost_its_parameters_is_kinesiss_or_nobodys() {
    let mut record = record();
    record["requestParameters"] = Value::Null;
    record["resources"] = json!([]);
    record["errorMessage"] =
        json!(format!("User: {ROLE} is not authorized to perform: kms:GenerateDataKey on resource: {KEY} because no"));
    record["userIdentity"]["invokedBy"] = json!("kinesis.amazonaws.com");
    assert_eq!(Usage::parse(&record), None, "it was not refused");
    record["errorCode"] = json!("AccessDenied");
    let usage = Usage::parse(&record).unwrap();
    assert_eq!((usage.stream, usage.key.as_ref().map(KeyArn::as_str)), (None, Some(KEY)));
    record["userIdentity"]["invokedBy"] = json!("s3.amazonaws.com");
    assert_eq!(Usage::parse(&record), None);
    record["sourceIPAddress"] = json!("kinesis.amazonaws.com");
    assert!(Usage::parse(&record).is_some());
}

#[test]
fn a_principal_that_was_found_twice_is_listed_once() {
    let mut later = Usage::parse(&record()).unwrap().into_finding();
    later.found[0].last_seen = Some("2026-12-01T01:00:00Z".parse().unwrap());
    let all = merged([
        finding(FOREIGN, Side::Consumer),
        finding(ROLE, Side::Consumer),
        Usage::parse(&record()).unwrap().into_finding(),
        later.clone(),
        finding(ROLE, Side::Consumer),
    ]);
    assert_eq!(all.len(), 2);
    let (role, foreign) = (&all[0], &all[1]);
    assert_eq!((role.who.name(), role.side, role.tier()), (ROLE, Side::Both, Some(Tier::Observed)));
    assert_eq!(role.found.len(), 2, "the same place is one line: {role:?}");
    assert_eq!(role.found[0].last_seen, later.found[0].last_seen, "with the latest time");
    assert_eq!((foreign.who.name(), foreign.side), (FOREIGN, Side::Consumer));
}

fn report(current: &Setting, target: &KeyFacts, findings: &[Finding], not_checked: Vec<NotChecked>) -> Report {
    let stream = stream();
    let facts = Facts { stream: &stream, retention_hours: 24, current, target, now: now() };
    let answers = BTreeMap::from([("arn:aws:iam::111122223333:role/denied", Identity::ExplicitDeny(vec![]))]);
    Report::new(&facts, now(), findings, not_checked, Vec::new(), &|who, _, _| {
        answers.get(who.name.as_str()).cloned().unwrap_or(Identity::ImplicitDeny)
    })
}

#[test]
fn those_who_lose_come_first_and_are_counted_apart() {
    let open = |arn| key(arn, policy(vec![allow("*")]));
    let of = |name: &str| finding(&format!("arn:aws:iam::111122223333:role/{name}"), Side::Consumer);
    let target = key(
        KEY,
        policy(vec![allow("arn:aws:iam::111122223333:role/good"), allow("arn:aws:iam::111122223333:role/denied")]),
    );
    let unnamed = Finding::new(Who::Unnamed(EventText::new("a consumer")), Side::Consumer, Tier::Configured, "x");
    let findings = [of("good"), of("denied"), unnamed.clone(), of("loser")];
    let found = report(&Setting::Key(open(OLD)), &target, &findings, Vec::new());
    let order: Vec<&str> = found.judged.iter().map(|judged| judged.finding.who.name()).collect();
    let [good, denied, loser] =
        ["good", "denied", "loser"].map(|name| format!("arn:aws:iam::111122223333:role/{name}"));
    assert_eq!(order, [&*loser, "a consumer", &denied, &good]);
    assert_eq!(found.counts(), Counts { loses: 1, without: 1, unknown: 1, gains: 0, keeps: 1 });
    assert_eq!(found.outcome(), Outcome::Loss);
    assert_eq!(found.summary(), "1 principal would lose access, 1 keeps access, 1 has no access already, 1 unknown");
    // One who has no access already is not the change's doing.
    let found = report(&Setting::Key(open(OLD)), &target, &[of("good"), of("denied")], Vec::new());
    assert_eq!(found.outcome(), Outcome::NoLoss);
    assert_eq!(found.summary(), "no loss found among 2 principals, 1 keeps access, 1 has no access already");
    let found = report(&Setting::Key(open(OLD)), &target, &[unnamed], Vec::new());
    assert_eq!(found.outcome(), Outcome::Unknown);
    let place = NotChecked { what: "Firehose".into(), why: "denied".into() };
    let found = report(&Setting::Key(open(OLD)), &target, &[of("good")], vec![place.clone(), place]);
    assert_eq!(found.outcome(), Outcome::Unknown, "what was not checked may be a loss");
    assert_eq!(found.summary(), "no loss found among 1 principal, 1 keeps access; 1 source not checked");
    assert!(found.advice.is_empty());
    let found = report(&Setting::Unknown("no such key".into()), &target, &[of("good")], Vec::new());
    assert_eq!(found.not_checked, [NotChecked { what: "CloudTrail's KMS events".into(), why: "no such key".into() }]);
}

/// Nothing shows the users of a stream that is not encrypted: first the AWS-managed key, then the other.
#[test]
fn an_unencrypted_stream_comes_with_the_stepping_stone() {
    let target = key(KEY, policy(vec![allow("*")]));
    let found = report(&Setting::Unencrypted, &target, &[], Vec::new());
    assert_eq!(found.outcome(), Outcome::Unknown);
    assert_eq!(found.summary(), "no user of the stream was found; 1 source not checked");
    assert!(found.advice[0].ends_with("streamseal seal orders --key alias/aws/kinesis"), "{:?}", found.advice);
    assert!(
        found.advice[1].ends_with(&format!("streamseal impact orders --since 24h --key {KEY}")),
        "{:?}",
        found.advice
    );
    for foreign in [finding(FOREIGN, Side::Producer), Finding::new(Who::Everybody, Side::Both, Tier::Configured, "x")] {
        let found = report(&Setting::Unencrypted, &target, &[foreign], Vec::new());
        assert!(!found.advice.iter().any(|advice| advice.contains("seal ")), "{:?}", found.advice);
    }
}
