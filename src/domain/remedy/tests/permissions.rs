//! Tables of remedies about permissions: what AWS's own words say refused a call.

use super::*;

const WHO: &str = "User: arn:aws:sts::111122223333:assumed-role/streamseal/s is not authorized to perform: ";

/// The words, and what the advice has to say; with the statement's action, resource and principal, where there is one.
#[test]
fn advice_follows_the_end_of_the_words() {
    let key = format!("{WHO}kms:DescribeKey on resource: {FOREIGN}");
    let other_account = "arn:aws:iam::111122223333:root";
    for (words, says, statement) in [
        // A key policy of another account is not ours to change, and a policy of ours alone does not help.
        (
            format!("{key} because no resource-based policy allows the kms:DescribeKey action"),
            "the key policy of arn:aws:kms:eu-west-1:999988887777:key/33333333-3333-3333-3333-333333333333, in account 999988887777,",
            Some(("*", Some(other_account))),
        ),
        (
            format!(
                "{key} because the resource does not exist in this Region, no resource-based policies allow access, or a \
                 resource-based policy explicitly denies access"
            ),
            "in account 999988887777, has to allow it: its owner adds this statement there",
            Some(("*", Some(other_account))),
        ),
        ("no".to_owned(), "in account 999988887777, has to allow it", Some(("*", Some(other_account)))),
        (
            format!("{key} because no identity-based policy allows the kms:DescribeKey action"),
            "to a policy of the caller's role or user",
            Some((FOREIGN, None)),
        ),
        (
            format!("{key} with an explicit deny in an identity-based policy: arn:aws:iam::111122223333:policy/p"),
            "(arn:aws:iam::111122223333:policy/p) denies kms:DescribeKey: remove that Deny",
            None,
        ),
        (
            format!("{key} with an explicit deny in a resource-based policy"),
            "in account 999988887777, denies kms:DescribeKey: its owner has to change it",
            None,
        ),
        (
            format!("{key} with an explicit deny in a service control policy"),
            "a service control policy denies kms:DescribeKey: whoever manages the organization",
            None,
        ),
        (
            format!("{key} because no service control policy allows the kms:DescribeKey action"),
            "a service control policy does not allow kms:DescribeKey",
            None,
        ),
        (
            format!("{key} with an explicit deny in a resource control policy"),
            "a resource control policy denies kms:DescribeKey: whoever manages the organization",
            None,
        ),
        (
            format!("{key} because no permissions boundary allows the kms:DescribeKey action"),
            "the permissions boundary of the caller's role or user does not allow",
            None,
        ),
        (
            format!("{key} because no session policy allows the kms:DescribeKey action"),
            "the session policy that the role was assumed with does not allow",
            None,
        ),
        (
            format!("{key} because no VPC endpoint policy allows the kms:DescribeKey action"),
            "the policy of the VPC endpoint that the call went through does not allow",
            None,
        ),
    ] {
        let rule = "key: 'arn:aws:kms:eu-west-1:999988887777:key/33333333-3333-3333-3333-333333333333'";
        for on in [None, Some(GOOD)] {
            let reason = if on.is_some() { Reason::Unreadable } else { Reason::KeyUnresolvable };
            let remedy = case(rule, on, &[(FOREIGN, denied(&words)), (GOOD, found(GOOD, None))]).ended(Some(reason));
            assert_eq!(remedy.about(), Some("permission"), "{words}");
            assert!(remedy.text().unwrap().contains(says), "{words}\n{remedy:?}");
            let written: Option<serde_json::Value> = remedy.statement().map(|text| serde_json::from_str(text).unwrap());
            let parts = written.as_ref().map(|s| (s["Resource"].as_str().unwrap(), s["Principal"]["AWS"].as_str()));
            assert_eq!(parts, statement, "{words}");
        }
    }
}

#[test]
fn a_refused_call_is_reported_with_the_permission_that_it_lacked() {
    let access = Class::Permanent(Fault::Access);
    let statement =
        |remedy: &Remedy| -> serde_json::Value { serde_json::from_str(remedy.statement().unwrap()).unwrap() };
    let start = case(RULE, None, &enabled()).refused("kinesis:StartStreamEncryption", access, "no");
    let allow = statement(&start.ended(Some(Reason::StartRefused)));
    assert_eq!(allow["Resource"], serde_json::json!([stream().to_string(), TARGET]));
    // The words name what was lacking, which is not the call.
    let words =
        format!("{WHO}kms:GenerateDataKey on resource: {GOOD} because no identity-based policy allows the action");
    let put = case(RULE, Some("alias/app"), &enabled()).refused("kinesis:PutRecord", access, &words);
    let put = put.refused("kms:DescribeKey", access, "another matter");
    let allow = statement(&put.ended(Some(Reason::ProofImpossible)));
    assert_eq!(
        (&allow["Action"], &allow["Resource"]),
        (&serde_json::json!("kms:GenerateDataKey"), &serde_json::json!(GOOD))
    );
    let describe = case(RULE, None, &[]).refused("kinesis:DescribeStreamSummary", access, "no");
    assert_eq!(statement(&describe.ended(Some(Reason::AccessDenied)))["Resource"], stream().to_string());
    let history = case(RULE, None, &enabled()).refused("cloudtrail:LookupEvents", access, "no");
    assert_eq!(statement(&history.ended(Some(Reason::Unreadable)))["Action"], "cloudtrail:LookupEvents");
    // The key, the request and the credentials are no matter of permissions; a fault that passes is none of anything.
    let key = case(RULE, None, &enabled()).refused(
        "kinesis:StartStreamEncryption",
        Class::Permanent(Fault::Key),
        "it is off",
    );
    assert_eq!(key.ended(Some(Reason::StartRefused)).about(), Some("key"));
    for class in
        [Class::Permanent(Fault::Request), Class::Permanent(Fault::Credentials), Class::Retryable, Class::Quota]
    {
        let other = case(RULE, None, &enabled()).refused("kinesis:StartStreamEncryption", class, "no");
        assert_eq!(other.ended(Some(Reason::StartRefused)), Remedy::None, "{class:?}");
    }
}
