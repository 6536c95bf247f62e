//! Tables of the judgement: key policies, grants and identity policies, and what follows for one principal.

mod report;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::finding::{Finding, Found, Side, Tier, Who, merged};
use super::judge::{Access, Confidence, Facts, Judged, asks, judge};
use super::key::{Identity, KeyFacts, Setting};
use super::report::{Counts, NotChecked, Outcome, Report};
use super::usage::Usage;
use crate::domain::access::document::Document;
use crate::domain::access::grant::Grant;
use crate::domain::access::principal::Principal;
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::model::{KeyIdentity, KeyManager};
use crate::domain::text::EventText;

const ROLE: &str = "arn:aws:iam::111122223333:role/app";
const FOREIGN: &str = "arn:aws:iam::444455556666:role/app";
const ROOT: &str = "arn:aws:iam::111122223333:root";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const OLD: &str = "arn:aws:kms:eu-west-1:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab";
const FOREIGN_KEY: &str = "arn:aws:kms:eu-west-1:444455556666:key/5678abcd-12ab-34cd-56ef-1234567890ab";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";

fn stream() -> StreamArn {
    StreamArn::parse(STREAM).unwrap()
}

fn now() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().unwrap()
}

fn key(arn: &str, policy: Value) -> KeyFacts {
    KeyFacts {
        identity: KeyIdentity::Arn(KeyArn::parse(arn).unwrap()),
        manager: KeyManager::Customer,
        policy: Ok(Document::of(&policy)),
        grants: Ok(Vec::new()),
    }
}

fn aws_managed(policy: Value) -> KeyFacts {
    KeyFacts { manager: KeyManager::Aws, ..key(KEY, policy) }
}

/// A policy of statements on every resource.
fn policy(statements: Vec<Value>) -> Value {
    let each = statements.into_iter().map(|mut statement| {
        statement["Resource"] = json!("*");
        statement
    });
    json!({"Version": "2012-10-17", "Statement": each.collect::<Vec<_>>()})
}

fn allow(principal: &str) -> Value {
    json!({"Sid": "use", "Effect": "Allow", "Principal": {"AWS": principal}, "Action": "kms:*"})
}

fn deny(condition: Value) -> Value {
    json!({"Sid": "fence", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Condition": condition})
}

fn who(arn: &str) -> Who {
    Who::Principal(Principal::parse(arn).unwrap())
}

fn finding(arn: &str, side: Side) -> Finding {
    Finding::new(who(arn), side, Tier::Configured, "a test")
}

fn judged(finding: &Finding, current: &Setting, target: &KeyFacts, identity: &Identity) -> Judged {
    let stream = stream();
    let facts = Facts { stream: &stream, retention_hours: 24, current, target, now: now() };
    judge(&facts, finding, &|_, _, _| identity.clone())
}

/// Access, confidence and the places of the remedies; a `+` where there is a statement.
fn said(judged: &Judged) -> String {
    let places = judged.after.remedies.iter().map(|remedy| {
        let statement = if remedy.statement.is_some() { "+" } else { "" };
        format!(" {}{statement}", remedy.place.as_str())
    });
    format!("{} {}{}", judged.after.access.as_str(), judged.after.confidence.as_str(), places.collect::<String>())
}

#[test]
fn a_principal_of_the_keys_account() {
    let unknown = || Identity::Unknown("the simulator did not answer".into());
    let maybe = || json!({"StringEquals": {"aws:SourceIp": "10.0.0.1"}});
    let mut conditional = allow(ROLE);
    conditional["Condition"] = maybe();
    for (statements, identity, expected) in [
        (vec![allow(ROLE)], Identity::Allowed, "keeps estimated"),
        (vec![allow(ROLE)], Identity::ImplicitDeny, "keeps estimated"),
        (vec![allow("*")], Identity::ImplicitDeny, "keeps estimated"),
        (vec![allow(ROLE)], unknown(), "unknown unknown"),
        (vec![allow(ROLE)], Identity::ExplicitDeny(vec![]), "loses sure identity-policy"),
        (vec![allow(ROLE)], Identity::Boundary, "loses sure permissions-boundary+"),
        (vec![allow(ROLE)], Identity::Organization, "loses sure organization+"),
        (vec![allow(ROLE)], Identity::Gone, "loses sure"),
        (vec![allow(ROOT)], Identity::Allowed, "keeps estimated"),
        (vec![allow(ROOT)], Identity::ImplicitDeny, "loses estimated identity-policy+"),
        (vec![allow(ROOT)], unknown(), "unknown unknown key-policy+"),
        (vec![], Identity::Allowed, "loses sure key-policy+"),
        (vec![], Identity::ImplicitDeny, "loses sure key-policy+"),
        (vec![], unknown(), "loses sure key-policy+"),
        (vec![allow(FOREIGN)], Identity::Allowed, "loses sure key-policy+"),
        (vec![conditional.clone()], Identity::Allowed, "unknown unknown key-policy+"),
        (vec![allow(ROLE), deny(json!({}))], Identity::Allowed, "loses sure key-policy"),
        (vec![allow(ROLE), deny(maybe())], Identity::Allowed, "unknown unknown"),
        (vec![deny(maybe())], Identity::Allowed, "loses sure key-policy+"),
        (
            vec![allow(ROLE), deny(json!({"Bool": {"aws:ViaAWSService": "false"}}))],
            Identity::Allowed,
            "keeps estimated",
        ),
    ] {
        let found = judged(
            &finding(ROLE, Side::Producer),
            &Setting::Unencrypted,
            &key(KEY, policy(statements.clone())),
            &identity,
        );
        assert_eq!(said(&found), expected, "{statements:?} {identity:?}: {}", found.after.why);
        assert_eq!(found.before.access, Access::NotNeeded);
    }
}

#[test]
fn a_grant_lets_in_whom_no_policy_does() {
    let mut target = key(KEY, policy(vec![]));
    let grant =
        |operation: &str| Grant { grantee: ROLE.into(), operations: vec![operation.into()], ..Grant::default() };
    let ask = |target: &KeyFacts, identity| {
        said(&judged(&finding(ROLE, Side::Consumer), &Setting::Unencrypted, target, &identity))
    };
    target.grants = Ok(vec![grant("Decrypt")]);
    assert_eq!(ask(&target, Identity::ImplicitDeny), "keeps estimated");
    assert_eq!(ask(&target, Identity::ExplicitDeny(vec!["p".into()])), "loses sure identity-policy");
    target.grants = Ok(vec![grant("GenerateDataKey")]);
    assert_eq!(ask(&target, Identity::ImplicitDeny), "loses sure key-policy+");
    target.grants = Err("denied".into());
    assert_eq!(ask(&target, Identity::ImplicitDeny), "unknown unknown key-policy+");
    let mut denied = key(KEY, policy(vec![deny(json!({}))]));
    denied.grants = Ok(vec![grant("Decrypt")]);
    assert_eq!(ask(&denied, Identity::Allowed), "loses sure key-policy", "a Deny outweighs a grant");
}

#[test]
fn principals_and_keys_of_other_accounts() {
    let own_key = |statements| key(KEY, policy(statements));
    let hidden = |arn: &str| KeyFacts { policy: Err("it is of another account".into()), ..key(arn, json!({})) };
    let hidden_aws = KeyFacts { manager: KeyManager::Aws, ..hidden(KEY) };
    let allowed = Identity::Allowed;
    for (who, target, identity, expected) in [
        (FOREIGN, own_key(vec![allow(ROOT)]), &allowed, "loses sure key-policy+ identity-policy+"),
        (FOREIGN, own_key(vec![allow(FOREIGN)]), &allowed, "unknown unknown identity-policy+"),
        (FOREIGN, own_key(vec![allow("444455556666")]), &allowed, "unknown unknown identity-policy+"),
        (FOREIGN, own_key(vec![allow("*")]), &allowed, "unknown unknown identity-policy+"),
        (FOREIGN, own_key(vec![allow(FOREIGN), deny(json!({}))]), &allowed, "loses sure key-policy"),
        ("444455556666", own_key(vec![allow(FOREIGN)]), &allowed, "unknown unknown key-policy+ identity-policy+"),
        // The AWS-managed key cannot be shared, whatever its policy says.
        (FOREIGN, aws_managed(policy(vec![allow("*")])), &allowed, "loses sure key"),
        (ROLE, aws_managed(policy(vec![allow("*")])), &allowed, "keeps estimated"),
        // Nor can its policy be changed.
        (ROLE, hidden_aws, &allowed, "unknown unknown key identity-policy+"),
        (ROLE, aws_managed(policy(vec![])), &allowed, "loses sure key"),
        (ROLE, hidden(FOREIGN_KEY), &allowed, "unknown unknown key-policy+ identity-policy+"),
        (ROLE, hidden(FOREIGN_KEY), &Identity::ExplicitDeny(vec![]), "loses sure identity-policy"),
        (ROLE, hidden(FOREIGN_KEY), &Identity::ImplicitDeny, "unknown unknown key-policy+ identity-policy+"),
        ("firehose.amazonaws.com", own_key(vec![]), &allowed, "unknown unknown key-policy+"),
    ] {
        let found = judged(&finding(who, Side::Consumer), &Setting::Unencrypted, &target, identity);
        assert_eq!(said(&found), expected, "{who} {target:?}: {}", found.after.why);
    }
    let not_made = KeyFacts {
        identity: KeyIdentity::AwsManagedAlias,
        policy: Err("not made yet".into()),
        ..aws_managed(json!({}))
    };
    let ask = |who: &str| said(&judged(&finding(who, Side::Both), &Setting::Unencrypted, &not_made, &allowed));
    assert_eq!((ask(ROLE).as_str(), ask(FOREIGN).as_str()), ("keeps estimated", "loses sure key"));
    for nobody in [Who::Unnamed(EventText::new("a consumer")), Who::Everybody] {
        let unnamed = Finding::new(nobody, Side::Consumer, Tier::Configured, "x");
        let found = judged(&unnamed, &Setting::Unencrypted, &own_key(vec![allow("*")]), &allowed);
        assert_eq!(said(&found), "unknown unknown");
    }
}

#[test]
fn the_statement_is_bound_to_calls_for_this_stream() {
    let of = |who: &str, side: Side, target: KeyFacts| {
        let found = judged(&finding(who, side), &Setting::Unencrypted, &target, &Identity::ImplicitDeny);
        let statements = found
            .after
            .remedies
            .into_iter()
            .filter_map(|remedy| Some((remedy.text, serde_json::from_str::<Value>(&remedy.statement?).unwrap())));
        statements.collect::<Vec<_>>()
    };
    let condition = json!({"StringEquals": {
        "kms:ViaService": "kinesis.eu-west-1.amazonaws.com", "kms:EncryptionContext:aws:kinesis:arn": STREAM,
    }});
    let [(text, statement)] = &of(ROLE, Side::Both, key(KEY, policy(vec![])))[..] else { panic!() };
    assert_eq!(text, &format!("add to the key policy of {KEY}"));
    let expected = json!({
        "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "*",
        "Condition": condition,
    });
    assert_eq!(statement, &expected);
    let [(text, statement)] = &of(ROLE, Side::Producer, key(KEY, policy(vec![allow(ROOT)])))[..] else { panic!() };
    assert_eq!(text, &format!("add to a policy of {ROLE}"));
    let expected = json!({"Effect": "Allow", "Action": "kms:GenerateDataKey", "Resource": KEY, "Condition": condition});
    assert_eq!(statement, &expected);
    let both = of(FOREIGN, Side::Consumer, key(KEY, policy(vec![])));
    let texts: Vec<&str> = both.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            &*format!("in the key's account, add to the key policy of {KEY}"),
            &*format!("in the principal's account, add to a policy of {FOREIGN}")
        ]
    );
}

/// The statement that is printed, put where it says, is one that the evaluator accepts.
#[test]
fn the_statement_for_the_key_policy_gives_access() {
    let before =
        judged(&finding(ROLE, Side::Both), &Setting::Unencrypted, &key(KEY, policy(vec![])), &Identity::ImplicitDeny);
    let statement: Value = serde_json::from_str(before.after.remedies[0].statement.as_ref().unwrap()).unwrap();
    let added = key(KEY, json!({"Version": "2012-10-17", "Statement": [statement]}));
    let after = judged(&finding(ROLE, Side::Both), &Setting::Unencrypted, &added, &Identity::ImplicitDeny);
    assert_eq!((before.after.access, after.after.access), (Access::Loses, Access::Keeps));
}

#[test]
fn before_and_after_are_judged_alike() {
    let (open, closed) = (|arn| key(arn, policy(vec![allow(ROLE)])), |arn| key(arn, policy(vec![])));
    let aws = || {
        Setting::Key(KeyFacts {
            identity: KeyIdentity::Arn(KeyArn::parse(OLD).unwrap()),
            ..aws_managed(policy(vec![allow("*")]))
        })
    };
    use Access::{Gains, Keeps, Loses, Unknown};
    let until: Timestamp = "2026-12-02T00:00:00Z".parse().unwrap();
    for (current, target, side, before, after, keeps_old) in [
        (Setting::Key(open(OLD)), open(KEY), Side::Consumer, Keeps, Keeps, true),
        (Setting::Key(open(OLD)), closed(KEY), Side::Consumer, Keeps, Loses, true),
        (Setting::Key(open(OLD)), closed(KEY), Side::Producer, Keeps, Loses, false),
        (Setting::Key(closed(OLD)), open(KEY), Side::Both, Loses, Gains, true),
        (Setting::Key(closed(OLD)), closed(KEY), Side::Producer, Loses, Loses, false),
        (Setting::Key(open(KEY)), open(KEY), Side::Consumer, Keeps, Keeps, false),
        (aws(), closed(KEY), Side::Consumer, Keeps, Loses, false),
        (Setting::Unknown("not known".into()), open(KEY), Side::Consumer, Unknown, Keeps, false),
    ] {
        let found = judged(&finding(ROLE, side), &current, &target, &Identity::ImplicitDeny);
        assert_eq!((found.before.access, found.after.access), (before, after), "{current:?} {target:?}");
        let keep = keeps_old.then(|| (KeyArn::parse(OLD).unwrap(), until));
        assert_eq!(found.keep, keep, "{current:?} {target:?}");
        assert_eq!(found.loses(), after == Loses && before != Loses);
    }
}

/// One who writes and reads needs both: what he lacks decides.
#[test]
fn the_worst_of_several_calls_decides() {
    let mut half = allow(ROLE);
    half["Action"] = json!("kms:Decrypt");
    let found =
        judged(&finding(ROLE, Side::Both), &Setting::Unencrypted, &key(KEY, policy(vec![half])), &Identity::Allowed);
    assert_eq!(said(&found), "loses sure key-policy+");
    let statement = found.after.remedies[0].statement.clone().unwrap();
    assert!(
        statement.contains("\"Action\":\"kms:GenerateDataKey\""),
        "what it has already is not asked for: {statement}"
    );
}

#[test]
fn what_cloudtrail_shows_is_not_contradicted() {
    let mut seen = finding(ROLE, Side::Producer);
    let used = |key: &str| Found {
        tier: Tier::Observed,
        how: "CloudTrail".into(),
        last_seen: Some(now()),
        used: Some(KeyArn::parse(key).unwrap()),
    };
    seen.found.push(used(KEY));
    let ask = |finding: &Finding, identity: Identity| {
        judged(finding, &Setting::Unencrypted, &key(KEY, policy(vec![])), &identity).after
    };
    let contradicted = ask(&seen, Identity::ImplicitDeny);
    assert_eq!((contradicted.access, contradicted.confidence), (Access::Unknown, Confidence::Unknown));
    assert!(
        contradicted.why.starts_with("CloudTrail shows that it used this key at 2026-12-01T00:00:00Z"),
        "{}",
        contradicted.why
    );
    assert_eq!(ask(&seen, Identity::Gone).access, Access::Loses, "it was there then, and is not now");
    seen.found[1] = used(OLD);
    assert_eq!(ask(&seen, Identity::ImplicitDeny).access, Access::Loses, "that was another key");
}

#[test]
fn the_simulator_is_asked_for_principals_of_the_account_alone() {
    let (stream, current, target) = (stream(), Setting::Key(key(OLD, json!({}))), key(KEY, json!({})));
    let facts = Facts { stream: &stream, retention_hours: 24, current: &current, target: &target, now: now() };
    let of = |who: &str, side| {
        let who = Principal::parse(who).unwrap();
        asks(&facts, &who, side).into_iter().map(|(action, key)| (action, key.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(
        of(ROLE, Side::Producer),
        [("kms:GenerateDataKey", OLD.to_owned()), ("kms:GenerateDataKey", KEY.to_owned())]
    );
    assert_eq!(of(ROLE, Side::Both).len(), 4);
    for other in [FOREIGN, ROOT, "firehose.amazonaws.com"] {
        assert!(of(other, Side::Both).is_empty(), "{other}");
    }
    let same = Setting::Key(target.clone());
    assert_eq!(asks(&Facts { current: &same, ..facts }, &Principal::parse(ROLE).unwrap(), Side::Consumer).len(), 1);
}
