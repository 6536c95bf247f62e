//! Tables of the evaluator: documents, and what they say of one request.

mod conditions;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::document::{Answer, Document, Place};
use super::grant::Grant;
use super::principal::{Principal, PrincipalKind};
use super::request::{Context, Request, encryption_context, through_kinesis};
use super::truth::Truth;
use crate::domain::arn::{KeyArn, StreamArn};

const ROLE: &str = "arn:aws:iam::111122223333:role/app/producer";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/producer/one";
const USER: &str = "arn:aws:iam::111122223333:user/alice";
const ROOT: &str = "arn:aws:iam::111122223333:root";
const OTHER_ROOT: &str = "arn:aws:iam::444455556666:root";
const SERVICE: &str = "firehose.amazonaws.com";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";

fn principal(text: &str) -> Principal {
    Principal::parse(text).unwrap_or_else(|| panic!("{text}"))
}

fn answer_in(document: &Document, who: &str, action: &str, place: Place) -> Answer {
    let (who, stream) = (principal(who), StreamArn::parse(STREAM).unwrap());
    let context = through_kinesis(&who, &stream, &KeyArn::parse(KEY).unwrap());
    let pairs = encryption_context(&stream);
    document.answer(
        &Request { principal: &who, action, resource: KEY, context: &context, encryption_context: &pairs },
        place,
    )
}

fn answer(document: &Value, who: &str) -> Answer {
    answer_in(&Document::of(document), who, "kms:Decrypt", Place::Resource)
}

/// The three answers in a word: `D` denied, `P` allowed to the principal, `A` left to the account; small where unknown.
fn letters(answer: &Answer) -> String {
    [(&answer.denied, 'D'), (&answer.allowed, 'P'), (&answer.delegated, 'A')]
        .iter()
        .filter_map(|(said, letter)| match said.truth {
            Truth::Yes => Some(*letter),
            Truth::No => None,
            Truth::Unknown(_) => Some(letter.to_ascii_lowercase()),
        })
        .collect()
}

/// A key policy of one Allow, with other elements than the usual ones.
fn allow(elements: Value) -> Value {
    let mut statement =
        json!({"Sid": "one", "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:Decrypt", "Resource": "*"});
    let members = statement.as_object_mut().unwrap();
    for (name, value) in elements.as_object().unwrap() {
        if value.is_null() {
            members.remove(name)
        } else {
            members.insert(name.clone(), value.clone())
        };
    }
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

#[test]
fn who_is_who() {
    use PrincipalKind::{Role, Root, Service, Session, User};
    for (text, kind, account) in [
        ("111122223333", Root, Some("111122223333")),
        (ROOT, Root, Some("111122223333")),
        (ROLE, Role, Some("111122223333")),
        (USER, User, Some("111122223333")),
        (SESSION, Session, Some("111122223333")),
        (SERVICE, Service, None),
        ("arn:aws-cn:iam::111122223333:role/x", Role, Some("111122223333")),
    ] {
        let parsed = principal(text);
        assert_eq!((parsed.kind, parsed.account.as_deref()), (kind, account), "{text}");
    }
    for bad in [
        "",
        "*",
        "1234",
        "AROAEXAMPLEEXAMPLEID",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:group/x",
        "arn:aws:sts::111122223333:assumed-role/x",
        "arn:aws:sts::111122223333:federated-user/x",
        "arn:aws:iam::*:role/x",
        "arn:aws:iam:eu-west-1:111122223333:role/x",
        "not a.amazonaws.com",
    ] {
        assert_eq!(Principal::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_principal_element_names_the_caller_its_account_or_nobody() {
    let aws = |value: Value| json!({ "AWS": value });
    for (element, who, expected) in [
        (json!("*"), ROLE, "P"),
        (aws(json!("*")), ROLE, "P"),
        (aws(json!("*")), SERVICE, "P"),
        (aws(json!(ROLE)), ROLE, "P"),
        (aws(json!(ROLE)), SESSION, "P"),
        (aws(json!(ROLE)), USER, ""),
        (aws(json!("arn:aws:iam::111122223333:role/producer")), ROLE, ""),
        (aws(json!("arn:aws-cn:iam::111122223333:role/producer")), SESSION, ""),
        (aws(json!("arn:aws:iam::444455556666:role/app/producer")), SESSION, ""),
        (aws(json!(USER)), USER, "P"),
        (aws(json!(ROOT)), ROLE, "A"),
        (aws(json!("111122223333")), SESSION, "A"),
        (aws(json!(ROOT)), ROOT, "P"),
        (aws(json!(OTHER_ROOT)), ROLE, ""),
        (aws(json!([OTHER_ROOT, ROOT, ROLE])), ROLE, "PA"),
        // One session of a role is not every session of it.
        (aws(json!(SESSION)), ROLE, "p"),
        (aws(json!(SESSION)), SESSION, "P"),
        (aws(json!("arn:aws:sts::111122223333:assumed-role/producer/two")), SESSION, ""),
        (aws(json!("arn:aws:sts::111122223333:assumed-role/other/one")), ROLE, ""),
        // Everybody of an account is not one of them.
        (aws(json!(ROLE)), ROOT, "p"),
        // What is left of a role that was deleted.
        (aws(json!("AROAIIAUMNLVZ4EXAMPLE")), ROLE, ""),
        (aws(json!("AIDACKCEVSQ6C2EXAMPLE")), USER, ""),
        (aws(json!("arn:aws:iam::111122223333:role/app/*")), ROLE, "p"),
        (aws(json!("nobody knows")), ROLE, "p"),
        (json!({"Service": SERVICE}), SERVICE, "P"),
        (json!({"Service": "firehose.amazonaws.com.cn"}), SERVICE, ""),
        (json!({"Service": SERVICE}), ROLE, ""),
        (json!({"Service": ["events.amazonaws.com", SERVICE], "AWS": USER}), USER, "P"),
        (json!({"Federated": "cognito-identity.amazonaws.com"}), ROLE, "p"),
        (json!({"Novel": ROLE}), ROLE, "p"),
        (json!(ROLE), ROLE, "p"),
        (json!(7), ROLE, "p"),
        (aws(json!([7])), ROLE, "p"),
        (aws(json!([])), ROLE, ""),
        (json!({}), ROLE, ""),
    ] {
        let found = letters(&answer(&allow(json!({"Principal": element})), who));
        assert_eq!(found, expected, "{element} {who}");
    }
}

/// A Deny that leaves somebody out has to list the account, and of a role the session too.
#[test]
fn a_not_principal_leaves_out_only_whom_it_lists_wholly() {
    let deny = |list: Value| allow(json!({"Effect": "Deny", "Principal": null, "NotPrincipal": list}));
    for (list, who, expected) in [
        (json!({"AWS": OTHER_ROOT}), ROLE, "D"),
        (json!({"AWS": [USER, ROOT]}), USER, ""),
        (json!({"AWS": USER}), USER, "d"),
        (json!({"AWS": ROOT}), USER, "d"),
        (json!({"AWS": [ROLE, ROOT]}), ROLE, "d"),
        (json!({"AWS": SESSION}), ROLE, "d"),
        (json!({"AWS": USER}), ROLE, "D"),
        (json!({"Service": SERVICE}), SERVICE, ""),
        (json!({"Service": SERVICE}), ROLE, "D"),
        (json!({"AWS": "*"}), ROLE, ""),
        (json!("*"), ROLE, ""),
    ] {
        assert_eq!(letters(&answer(&deny(list.clone()), who)), expected, "{list} {who}");
    }
    let allowed = allow(json!({"Principal": null, "NotPrincipal": {"AWS": USER}}));
    assert_eq!(letters(&answer(&allowed, ROLE)), "p", "an Allow of all others is taken for no sure path");
    assert_eq!(letters(&answer(&allow(json!({"NotPrincipal": {"AWS": USER}})), ROLE)), "p", "both at once");
    assert_eq!(letters(&answer(&allow(json!({"Principal": null})), ROLE)), "p", "none at all");
}

#[test]
fn actions_and_resources() {
    for (elements, expected) in [
        (json!({"Action": "kms:decrypt"}), "P"),
        (json!({"Action": "KMS:De*"}), "P"),
        (json!({"Action": ["kms:Encrypt", "kms:*"]}), "P"),
        (json!({"Action": "*"}), "P"),
        (json!({"Action": "kms:Decryp?"}), "P"),
        (json!({"Action": "kms:Decrypt "}), ""),
        (json!({"Action": "kms:Encrypt"}), ""),
        (json!({"Action": null, "NotAction": "kms:Encrypt"}), "P"),
        (json!({"Action": null, "NotAction": ["kms:Encrypt", "kms:D*"]}), ""),
        (json!({"Action": null}), "p"),
        (json!({"NotAction": "kms:Encrypt"}), "p"),
        (json!({"Action": []}), "p"),
        (json!({"Action": [1]}), "p"),
        (json!({"Resource": KEY}), "P"),
        (json!({"Resource": "arn:aws:kms:*:111122223333:key/*"}), "P"),
        (json!({"Resource": "arn:aws:kms:eu-west-1:111122223333:key/other"}), ""),
        (json!({"Resource": "arn:aws:kms:*"}), "p"),
        (json!({"Resource": null, "NotResource": "arn:aws:kms:eu-west-1:111122223333:key/other"}), "P"),
        (json!({"Resource": null, "NotResource": KEY}), ""),
        (json!({"Resource": null}), "p"),
        (json!({"Effect": "allow"}), "dp"),
        (json!({"Effect": null}), "dp"),
        (json!({"Effect": null, "Action": "kms:Encrypt"}), ""),
        (json!({"Element": "new"}), "p"),
        (json!({"Element": "new", "Action": "kms:Encrypt"}), ""),
    ] {
        assert_eq!(letters(&answer(&allow(elements.clone()), ROLE)), expected, "{elements}");
    }
}

#[test]
fn a_deny_under_an_unknown_condition_is_never_an_allow() {
    let statements = |condition: Value| {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": ROOT}, "Action": "kms:*", "Resource": "*"},
            {"Sid": "use", "Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:Decrypt", "Resource": "*"},
            {"Sid": "fence", "Effect": "Deny", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition},
        ]})
    };
    let unknown = answer(&statements(json!({"StringNotEquals": {"aws:SourceVpce": "vpce-1"}})), ROLE);
    assert_eq!(letters(&unknown), "dPA");
    assert_eq!(
        unknown.denied.doubt().as_deref(),
        Some("statement fence: it has a condition on aws:SourceVpce, whose value is not known before the call")
    );
    let denied = answer(&statements(json!({"StringEquals": {"kms:CallerAccount": "111122223333"}})), ROLE);
    assert_eq!((letters(&denied).as_str(), denied.denied.by.unwrap().as_str()), ("DPA", "fence"));
    assert_eq!(denied.delegated.by.unwrap().as_str(), "1", "a statement without a name has its number");
    assert_eq!(letters(&answer(&statements(json!({"Bool": {"aws:ViaAWSService": "false"}})), ROLE)), "PA");
    let of_account = allow(json!({"Effect": "Deny", "Principal": {"AWS": ROOT}}));
    assert_eq!(letters(&answer(&of_account, ROLE)), "D", "a Deny of an account is one of each of its principals");
}

#[test]
fn a_sure_statement_goes_before_one_that_may_hold() {
    let one = |condition: Value| json!({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*", "Condition": condition});
    let maybe = one(json!({"StringEquals": {"aws:SourceIp": "10.0.0.1"}}));
    for statements in [json!([maybe, one(json!({}))]), json!([one(json!({})), maybe])] {
        assert_eq!(letters(&answer(&json!({"Version": "2012-10-17", "Statement": statements}), ROLE)), "P");
    }
    let single = json!({"Statement": one(json!({}))});
    assert_eq!(letters(&answer(&single, ROLE)), "P", "one statement need not be in a list");
}

#[test]
fn a_strange_document_says_nothing_sure() {
    for text in ["", "null", "[]", "7", "{\"Statement\": 7}", "{\"Statement\": null}", "{\"statement\": []}", "{"] {
        let document = Document::read(text);
        assert!(document.is_unreadable(), "{text}");
        assert_eq!(letters(&answer_in(&document, ROLE, "kms:Decrypt", Place::Resource)), "dpa", "{text}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Document::read(&deep).is_unreadable());
    for text in ["{}", "{\"Statement\": []}", "{\"Version\": \"2012-10-17\", \"Statement\": []}"] {
        assert_eq!(letters(&answer_in(&Document::read(text), ROLE, "kms:Decrypt", Place::Resource)), "", "{text}");
    }
    assert_eq!(letters(&answer_in(&Document::empty(), ROLE, "kms:Decrypt", Place::Resource)), "");
    let mixed = json!({"Statement": [7, {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}]});
    assert_eq!(letters(&answer(&mixed, ROLE)), "dP");
    // Before 2012-10-17 there are no variables.
    let mut old = allow(json!({"Resource": "arn:aws:kms:eu-west-1:111122223333:key/${*}"}));
    assert_eq!(letters(&answer(&old, ROLE)), "");
    old["Version"] = json!("2008-10-17");
    assert_eq!(letters(&answer(&old, ROLE)), "", "whatever it means, it is another key");
    let mut old = allow(json!({"Condition": {"StringNotEquals": {"kms:ViaService": "${*}"}}}));
    assert_eq!(letters(&answer(&old, ROLE)), "P");
    old["Version"].take();
    assert_eq!(letters(&answer(&old, ROLE)), "p");
}

#[test]
fn a_policy_of_a_role_has_no_principal() {
    let of = |statement: Value, action: &str| {
        letters(&answer_in(&Document::of(&json!({ "Statement": statement })), ROLE, action, Place::Identity))
    };
    let statement = json!({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY});
    assert_eq!(of(statement.clone(), "kms:Decrypt"), "P");
    assert_eq!(of(statement.clone(), "kms:GenerateDataKey"), "");
    let mut named = statement;
    named["Principal"] = json!("*");
    assert_eq!(of(named, "kms:Decrypt"), "p");
}

#[test]
fn a_grant_allows_its_operations_under_its_constraints() {
    let pair = |key: &str, value: &str| Some(BTreeMap::from([(key.to_owned(), value.to_owned())]));
    let grant = |grantee: &str, operation: &str, subset, equals| Grant {
        id: "1".into(),
        grantee: grantee.into(),
        operations: vec!["Encrypt".into(), operation.into()],
        subset,
        equals,
        source_arn: None,
    };
    let bound = |grantee: &str| Grant { source_arn: Some(STREAM.into()), ..grant(grantee, "Decrypt", None, None) };
    let ours = || pair("aws:kinesis:arn", STREAM);
    for (grant, who, expected) in [
        (grant(ROLE, "Decrypt", None, None), ROLE, "yes"),
        (grant(ROLE, "Decrypt", None, None), SESSION, "yes"),
        (grant(ROLE, "Decrypt", None, None), USER, "no"),
        (grant(ROLE, "GenerateDataKey", None, None), ROLE, "no"),
        (grant(ROLE, "decrypt", None, None), ROLE, "no"),
        (grant(ROLE, "Decrypt", ours(), None), ROLE, "yes"),
        (grant(ROLE, "Decrypt", Some(BTreeMap::new()), None), ROLE, "yes"),
        (grant(ROLE, "Decrypt", pair("aws:kinesis:arn", "other"), None), ROLE, "no"),
        (grant(ROLE, "Decrypt", pair("team", "x"), None), ROLE, "no"),
        (grant(ROLE, "Decrypt", None, ours()), ROLE, "yes"),
        (grant(ROLE, "Decrypt", None, Some(BTreeMap::new())), ROLE, "no"),
        (grant(ROLE, "Decrypt", None, pair("aws:kinesis:arn", "other")), ROLE, "no"),
        (grant(SESSION, "Decrypt", None, None), ROLE, "unknown"),
        (grant(ROOT, "Decrypt", None, None), ROLE, "unknown"),
        (grant(OTHER_ROOT, "Decrypt", None, None), ROLE, "no"),
        (grant(SERVICE, "Decrypt", None, None), SERVICE, "yes"),
        (grant(SERVICE, "Decrypt", None, None), ROLE, "no"),
        (grant("AROAIIAUMNLVZ4EXAMPLE", "Decrypt", None, None), ROLE, "no"),
        (grant("", "Decrypt", None, None), ROLE, "unknown"),
        (bound(ROLE), ROLE, "unknown"),
        (bound(USER), ROLE, "no"),
    ] {
        let (who, stream) = (principal(who), StreamArn::parse(STREAM).unwrap());
        let (context, pairs) = (Context::default(), encryption_context(&stream));
        let request = Request {
            principal: &who,
            action: "kms:Decrypt",
            resource: KEY,
            context: &context,
            encryption_context: &pairs,
        };
        let found = match grant.allows(&request) {
            Truth::Yes => "yes",
            Truth::No => "no",
            Truth::Unknown(_) => "unknown",
        };
        assert_eq!(found, expected, "{grant:?} {who}");
    }
}

#[test]
fn whom_a_resource_policy_lets_in() {
    let document = Document::of(&json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": [OTHER_ROOT, ROLE]}, "Action": "kinesis:PutRecord", "Resource": STREAM},
        {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Action": "Kinesis:*", "Resource": STREAM},
        {"Effect": "Deny", "Principal": "*", "Action": "Kinesis:*", "Resource": STREAM},
        {"Effect": "Allow", "Principal": {"AWS": USER}, "Action": "kinesis:ListShards", "Resource": STREAM},
        {"Effect": "Allow", "Principal": 7, "NotAction": "kinesis:PutRecord", "Resource": STREAM},
    ]}));
    let let_in = document.let_in(&["kinesis:PutRecord", "kinesis:GetRecords"]);
    let expected = [
        (Some(OTHER_ROOT), vec!["kinesis:PutRecord"]),
        (Some(ROLE), vec!["kinesis:PutRecord"]),
        (Some(SERVICE), vec!["kinesis:PutRecord", "kinesis:GetRecords"]),
        (None, vec!["kinesis:GetRecords"]),
    ];
    assert_eq!(let_in, expected.map(|(who, actions)| (who.map(str::to_owned), actions)));
}
