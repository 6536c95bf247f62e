//! Who may use a stream by the policies of roles and users: which of them IAM's simulator has to be asked about, and what its answers
//! come to.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Side, Tier, Who};
use crate::domain::access::document::{Document, Place};
use crate::domain::access::principal::Principal;
use crate::domain::access::request::{Context, Request};
use crate::domain::access::truth::Truth;

/// What a producer calls.
pub const WRITES: [&str; 2] = ["kinesis:PutRecord", "kinesis:PutRecords"];
/// What a consumer calls on the stream.
pub const GET: &str = "kinesis:GetRecords";
/// What a consumer calls on what it is registered as.
pub const SUBSCRIBE: &str = "kinesis:SubscribeToShard";
/// What reads.
pub const READS: [&str; 2] = [GET, SUBSCRIBE];

/// What an account's IAM has that decides who may use a stream: of each policy the statements about that alone.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Its roles and users.
    pub holders: Vec<Holder>,
    /// The policies of each group, by its name.
    pub groups: BTreeMap<String, Policies>,
    /// Managed policies by their ARNs.
    pub managed: BTreeMap<String, Document>,
}

/// A role or a user.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Which.
    pub principal: Principal,
    /// Its own policies.
    pub policies: Policies,
    /// The groups that a user is in.
    pub groups: Vec<String>,
    /// The managed policy that is its permissions boundary.
    pub boundary: Option<String>,
}

/// The policies of a role, a user or a group.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    /// Those in it.
    pub inline: Vec<Document>,
    /// The ARNs of those that are attached.
    pub attached: Vec<String>,
}

/// A policy as it is kept here.
pub fn document(text: &str) -> Document {
    Document::read(text).about(&[WRITES, READS].concat())
}

impl Account {
    /// Whether the policies that were read leave it open that a call on a resource is allowed: a sure Deny, no Allow at all, and a
    /// boundary that surely does not allow it do not.
    pub fn may(&self, holder: &Holder, action: &str, resource: &str, context: &Context) -> bool {
        let nothing = BTreeMap::new();
        let request = Request { principal: &holder.principal, action, resource, context, encryption_context: &nothing };
        // What is attached and was not read may say anything.
        let unread = Document::read("");
        let managed = |arn: &String| self.managed.get(arn).unwrap_or(&unread);
        let groups = holder.groups.iter().filter_map(|group| self.groups.get(group));
        let allows = |documents: &mut dyn Iterator<Item = &Document>| {
            let answers: Vec<_> = documents.map(|document| document.answer(&request, Place::Identity)).collect();
            let denied = Truth::any(answers.iter().map(|answer| answer.denied.truth.clone()));
            Truth::any(answers.into_iter().map(|answer| answer.allowed.truth)).and(denied.not())
        };
        let policies = || std::iter::once(&holder.policies).chain(groups.clone());
        let mut documents =
            policies().flat_map(|policies| policies.inline.iter().chain(policies.attached.iter().map(managed)));
        let within = match &holder.boundary {
            Some(boundary) => allows(&mut std::iter::once(managed(boundary))),
            None => Truth::Yes,
        };
        !within.is_no() && !allows(&mut documents).is_no()
    }
}

/// What the simulator says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It is allowed.
    Allowed,
    /// It is allowed or not by these condition keys, whose values are not known.
    Depends(BTreeSet<String>),
    /// It is not allowed.
    Refused,
}

/// The findings about one principal and one stream: one for each side that its policies allow.
pub fn permitted(principal: &Principal, calls: &[(&'static str, Permission)]) -> Vec<Finding> {
    let side = |actions: &[&str], side: Side| {
        let of: Vec<_> = calls.iter().filter(|(call, _)| actions.contains(call)).collect();
        let names = |fits: fn(&Permission) -> bool| -> Vec<&str> {
            let mut names: Vec<&str> = of.iter().filter(|(_, said)| fits(said)).map(|(call, _)| *call).collect();
            names.dedup();
            names
        };
        let allowed = names(|said| *said == Permission::Allowed);
        let how = if allowed.is_empty() {
            let depends = names(|said| matches!(said, Permission::Depends(_)));
            let keys: BTreeSet<&str> = of
                .iter()
                .filter_map(|(_, said)| match said {
                    Permission::Depends(keys) => Some(keys),
                    Permission::Allowed | Permission::Refused => None,
                })
                .flatten()
                .map(String::as_str)
                .collect();
            if depends.is_empty() {
                return None;
            }
            let keys: Vec<&str> = keys.into_iter().collect();
            format!("policies that may allow {}, by {}", depends.join(", "), keys.join(", "))
        } else {
            format!("policies that allow {}", allowed.join(", "))
        };
        Some(Finding::new(Who::Principal(principal.clone()), side, Tier::Permitted, how))
    };
    [side(&WRITES, Side::Producer), side(&READS, Side::Consumer)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::access::request::to_kinesis;
    use crate::domain::arn::StreamArn;

    const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
    const OTHER: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/other";

    fn of(statements: Value) -> Document {
        document(&json!({"Version": "2012-10-17", "Statement": statements}).to_string())
    }

    /// Calls of Kinesis, or of another service that is named with them.
    fn statement(effect: &str, calls: &str, resource: &str) -> Value {
        let action = if calls.contains(':') { calls.to_owned() } else { ["kinesis", calls].join(":") };
        json!({"Effect": effect, "Action": action, "Resource": resource})
    }

    /// Whether it has to be asked about PutRecord.
    fn may(account: &Account, policies: Policies, groups: &[&str], boundary: Option<&str>) -> bool {
        let principal = Principal::parse("arn:aws:iam::111122223333:user/alice").unwrap();
        let stream = StreamArn::parse(STREAM).unwrap();
        let context = to_kinesis(&principal, &stream.scope);
        let groups = groups.iter().map(ToString::to_string).collect();
        let holder = Holder { principal, policies, groups, boundary: boundary.map(str::to_owned) };
        account.may(&holder, "kinesis:PutRecord", STREAM, &context)
    }

    fn inline(statements: Value) -> Policies {
        Policies { inline: vec![of(statements)], attached: Vec::new() }
    }

    #[test]
    fn the_simulator_is_asked_where_a_policy_may_allow_it() {
        let allow = statement("Allow", "Put*", "*");
        let account = Account {
            holders: Vec::new(),
            groups: BTreeMap::from([("writers".to_owned(), inline(json!([allow])))]),
            managed: BTreeMap::from([
                ("all".to_owned(), of(json!([statement("Allow", "*:*", "*")]))),
                ("reads".to_owned(), of(json!([statement("Allow", "Get*", "*")]))),
            ]),
        };
        let attached = |arn: &str| Policies { inline: Vec::new(), attached: vec![arn.to_owned()] };
        let when = |condition: Value| {
            let mut statement = statement("Allow", "*", "*");
            statement["Condition"] = condition;
            inline(json!([statement]))
        };
        let mut deny_when = statement("Deny", "*", "*");
        deny_when["Condition"] = json!({"Bool": {"aws:MultiFactorAuthPresent": "false"}});
        for (policies, groups, boundary, expected) in [
            (inline(json!([allow])), &[][..], None, true),
            (inline(json!([statement("Allow", "*", STREAM)])), &[], None, true),
            (inline(json!([statement("Allow", "*:*", OTHER)])), &[], None, false),
            (inline(json!([statement("Allow", "GetRecords", "*")])), &[], None, false),
            (inline(json!([statement("Allow", "s3:*", "*")])), &[], None, false),
            (Policies::default(), &[], None, false),
            // A Deny that is sure leaves nothing to ask; one under a condition does not.
            (inline(json!([allow, statement("Deny", "*", "*")])), &[], None, false),
            (inline(json!([allow, deny_when])), &[], None, true),
            // By a group, by an attached policy, and by one that was not read.
            (Policies::default(), &["writers"], None, true),
            (Policies::default(), &["others"], None, false),
            (attached("all"), &[], None, true),
            (attached("reads"), &[], None, false),
            (attached("nowhere"), &[], None, true),
            // A boundary allows nothing by itself.
            (attached("all"), &[], Some("reads"), false),
            (attached("all"), &[], Some("all"), true),
            (attached("all"), &[], Some("nowhere"), true),
            (Policies::default(), &[], Some("all"), false),
            // Conditions on what is known decide, others leave it open.
            (when(json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}})), &[], None, true),
            (when(json!({"StringEquals": {"aws:RequestedRegion": "us-east-1"}})), &[], None, false),
            (when(json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}})), &[], None, true),
        ] {
            let shown = format!("{policies:?} {groups:?} {boundary:?}");
            assert_eq!(may(&account, policies, groups, boundary), expected, "{shown}");
        }
    }

    #[test]
    fn only_statements_about_streams_are_kept() {
        let document = of(json!([
            statement("Allow", "s3:*", "*"),
            statement("Allow", "ListShards", "*"),
            statement("Deny", "SubscribeToShard", "*"),
            {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
        ]));
        assert_eq!(document.statement_count(), 2);
        // What cannot be read is no empty policy.
        assert!(super::document("nonsense").is_unreadable());
    }

    #[test]
    fn what_the_simulator_says_makes_a_finding_a_side() {
        let principal = Principal::parse("arn:aws:iam::111122223333:role/app").unwrap();
        let depends = |key: &str| Permission::Depends(BTreeSet::from([key.to_owned()]));
        let found = |calls: &[(&'static str, Permission)]| -> Vec<(Side, String)> {
            let all = permitted(&principal, calls);
            assert!(all.iter().all(|finding| finding.tier() == Some(Tier::Permitted)));
            all.into_iter().map(|finding| (finding.side, finding.found[0].how.clone())).collect()
        };
        assert_eq!(found(&[(WRITES[0], Permission::Refused), (GET, Permission::Refused)]), []);
        assert_eq!(
            found(&[
                (WRITES[0], Permission::Allowed),
                (WRITES[1], depends("aws:SourceIp")),
                (GET, Permission::Refused),
                (SUBSCRIBE, Permission::Allowed),
                (SUBSCRIBE, Permission::Allowed),
            ]),
            [
                (Side::Producer, "policies that allow kinesis:PutRecord".to_owned()),
                (Side::Consumer, "policies that allow kinesis:SubscribeToShard".to_owned()),
            ]
        );
        assert_eq!(
            found(&[(GET, depends("aws:SourceVpce")), (SUBSCRIBE, depends("aws:SourceIp"))]),
            [(
                Side::Consumer,
                "policies that may allow kinesis:GetRecords, kinesis:SubscribeToShard, by aws:SourceIp, aws:SourceVpce"
                    .to_owned()
            )]
        );
    }
}
