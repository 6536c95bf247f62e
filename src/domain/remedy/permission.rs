//! Remedies about permissions: what to add to which policy, by what AWS's own words say refused the call.

use serde_json::json;

use super::advice::Advice;
use crate::domain::arn::{Arn, KeyRef, Scope};
use crate::domain::denial::{DeniedBy, PolicyKind, denial};

/// What permits `call`, which was refused with these `words`; it is granted on `resources`, where they are known.
pub fn to_permit(call: &str, words: &str, own: Option<&Scope>, resources: &[&str]) -> Advice {
    let said = denial(words);
    // The words may name another action than the call: PutRecord is refused for `kms:GenerateDataKey`.
    let other = said.action.as_deref().filter(|action| *action != call);
    let action = other.unwrap_or(call);
    let named = said.resource.as_deref();
    let granted_on: Vec<&str> = match (other, named) {
        (Some(_), Some(named)) => vec![named],
        (Some(_), None) => Vec::new(),
        (None, _) => resources.to_vec(),
    };
    let identity = statement(action, own, &granted_on);
    let resource = named.or(match granted_on.as_slice() {
        [one] => Some(*one),
        _ => None,
    });
    let foreign = resource.and_then(account_of).filter(|account| own.is_some_and(|own| own.account != *account));
    let Some(DeniedBy { kind, explicit, policy }) = said.by else {
        return match (foreign, resource) {
            (Some(account), Some(resource)) => by_its_policy(action, resource, Some(account), own),
            _ => by_identity(identity),
        };
    };
    let at = policy.map(|policy| format!(" ({policy})")).unwrap_or_default();
    let does = if explicit { "denies" } else { "does not allow" };
    let organization =
        || "whoever manages the organization has to change it; no policy of an account can override it".to_owned();
    match (kind, explicit, resource) {
        (PolicyKind::Identity, false, _) => by_identity(identity),
        (PolicyKind::Identity, true, _) => Advice::new(format!(
            "an identity-based policy of the caller{at} denies {action}: remove that Deny; an Allow cannot override it"
        )),
        (PolicyKind::Resource, false, Some(resource)) => by_its_policy(action, resource, foreign, own),
        (PolicyKind::Resource, _, resource) => {
            let resource = resource.map(|resource| format!(" of {resource}")).unwrap_or_default();
            let by = foreign.map(|account| format!(", in account {account},")).unwrap_or_default();
            Advice::new(format!("the resource-based policy{resource}{by} {does} {action}: its owner has to change it"))
        }
        (PolicyKind::ServiceControl, ..) => {
            Advice::new(format!("a service control policy{at} {does} {action}: {}", organization()))
        }
        (PolicyKind::ResourceControl, ..) => {
            Advice::new(format!("a resource control policy{at} {does} {action}: {}", organization()))
        }
        (PolicyKind::Boundary, ..) => Advice::new(format!(
            "the permissions boundary of the caller's role or user{at} {does} {action}: change the boundary; no other \
             policy can override it"
        )),
        (PolicyKind::Session, ..) => Advice::new(format!(
            "the session policy that the role was assumed with{at} {does} {action}: assume it with one that allows \
             it, or without one"
        )),
        (PolicyKind::Endpoint, ..) => Advice::new(format!(
            "the policy of the VPC endpoint that the call went through{at} {does} {action}: change that policy"
        )),
    }
}

/// What permits to ask KMS for a key that is hidden from us. The right is granted on the key, not on its alias.
pub fn to_describe(key: &KeyRef, words: &str, own: &Scope) -> Advice {
    let Scope { partition, region, account } = own;
    let resource = match key.as_key_arn() {
        Some(arn) => arn.to_string(),
        None => format!("arn:{partition}:kms:{region}:{}:key/*", key.account().unwrap_or(account)),
    };
    to_permit("kms:DescribeKey", words, Some(own), &[&resource])
}

fn by_identity(statement: String) -> Advice {
    let text = "add this statement to a policy of the caller's role or user";
    Advice { statement: Some(statement), ..Advice::new(text) }
}

/// The policy of the resource has to allow it: with the account as the principal, policies of the caller's account decide.
fn by_its_policy(action: &str, resource: &str, foreign: Option<&str>, own: Option<&Scope>) -> Advice {
    let is_key = Arn::parse(resource).is_some_and(|arn| arn.service == "kms");
    let (what, of) = if is_key { ("key policy", "*") } else { ("resource-based policy", resource) };
    let whose = foreign.map(|account| format!(", in account {account},")).unwrap_or_default();
    let text = format!(
        "the {what} of {resource}{whose} has to allow it: its owner adds this statement there, and a policy of the caller's role or \
         user has to allow {action} on it too"
    );
    let statement = own.map(|Scope { partition, account, .. }| {
        let principal = json!({"AWS": format!("arn:{partition}:iam::{account}:root")});
        json!({"Effect": "Allow", "Principal": principal, "Action": action, "Resource": of}).to_string()
    });
    Advice { statement, ..Advice::new(text) }
}

fn account_of(arn: &str) -> Option<&str> {
    Arn::parse(arn).map(|arn| arn.account).filter(|account| Scope::is_account(account))
}

/// The IAM statement that allows `call`, on `resources` where they are known.
pub fn statement(call: &str, own: Option<&Scope>, resources: &[&str]) -> String {
    let service = call.split(':').next().unwrap_or_default();
    let resource = match (resources, own, service) {
        // These take no narrower one, or one that has to be spelled out (service authorization reference).
        (_, _, "tag" | "cloudtrail" | "cloudwatch" | "cloudformation" | "iam" | "sts") => json!("*"),
        _ if [
            "kinesis:ListStreams",
            "events:ListRuleNamesByTarget",
            "events:TestEventPattern",
            "lambda:ListEventSourceMappings",
        ]
        .contains(&call) =>
        {
            json!("*")
        }
        ([one], ..) => json!(one),
        ([], Some(Scope { partition, region, account }), service) => {
            let kind = match service {
                "kinesis" => "stream/*",
                "kms" => "key/*",
                "ssm" => "parameter/*",
                "lambda" => "function:*",
                "events" => "rule/*",
                _ => "*",
            };
            json!(format!("arn:{partition}:{service}:{region}:{account}:{kind}"))
        }
        ([], None, _) => json!("*"),
        (several, ..) => json!(several),
    };
    json!({"Effect": "Allow", "Action": call, "Resource": resource}).to_string()
}
