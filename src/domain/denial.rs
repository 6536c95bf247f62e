//! Which policy refused a call, as AWS's own words say at their end (IAM user guide, "Troubleshoot access denied error messages").
//!
//! Pure. It reads text, names no error code, and says `None` where the words do not say it: services and their versions differ.

/// What AWS's words say of a refused call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// What was to be done, as IAM writes it (`kms:GenerateDataKey`). It may be another action than the call.
    pub action: Option<String>,
    /// On which resource: an ARN.
    pub resource: Option<String>,
    /// Which policy refused it.
    pub by: Option<DeniedBy>,
}

/// The policy that refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedBy {
    /// What kind of policy.
    pub kind: PolicyKind,
    /// It has a Deny; otherwise it lacks an Allow.
    pub explicit: bool,
    /// Its ARN, where AWS reports it.
    pub policy: Option<String>,
}

/// The kinds of policies that AWS names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Of the caller's role or user.
    Identity,
    /// Of the resource: the key policy of a key.
    Resource,
    /// Of the organization, for the caller.
    ServiceControl,
    /// Of the organization, for the resource.
    ResourceControl,
    /// The boundary of the caller's role or user.
    Boundary,
    /// What the role was assumed with.
    Session,
    /// Of the VPC endpoint that the call went through.
    Endpoint,
}

/// By their words. The last two are found in others' sentences too, and so they come last.
const KINDS: [(&str, PolicyKind); 7] = [
    ("service control polic", PolicyKind::ServiceControl),
    ("resource control polic", PolicyKind::ResourceControl),
    ("permissions boundary", PolicyKind::Boundary),
    ("session polic", PolicyKind::Session),
    ("endpoint polic", PolicyKind::Endpoint),
    ("identity-based polic", PolicyKind::Identity),
    ("resource-based polic", PolicyKind::Resource),
];

/// Reads the words.
pub fn denial(words: &str) -> Denial {
    let action = after(words, "is not authorized to perform: ").filter(|text| is_action(text));
    let resource = after(words, " on resource: ").filter(|text| text.starts_with("arn:"));
    let denies = words.rsplit_once(" with an explicit deny in ").map(|(_, end)| (end, true));
    let lacks = || words.rsplit_once(" because ").map(|(_, end)| (end, false));
    let by = denies.or_else(lacks).and_then(|(end, explicit)| {
        let (_, kind) = KINDS.iter().find(|(name, _)| end.contains(name))?;
        let policy = end.rsplit_once(": ").map(|(_, arn)| arn.trim_end_matches('.'));
        let policy = policy.filter(|arn| arn.starts_with("arn:") && !arn.contains(' '));
        Some(DeniedBy { kind: *kind, explicit, policy: policy.map(str::to_owned) })
    });
    Denial { action, resource, by }
}

/// The word that follows `mark`.
fn after(words: &str, mark: &str) -> Option<String> {
    let (_, rest) = words.split_once(mark)?;
    let word = rest.split(' ').next().unwrap_or_default();
    Some(word.trim_matches(['"', '\'', ',', '.', ';']).to_owned())
}

fn is_action(text: &str) -> bool {
    let named = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    text.split_once(':').is_some_and(|(service, action)| named(service) && named(action))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHO: &str = "User: arn:aws:sts::111122223333:assumed-role/streamseal/because is not authorized to perform: \
                       kms:DescribeKey on resource: arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn the_end_of_the_words_says_which_policy() {
        use PolicyKind::{Boundary, Endpoint, Identity, Resource, ResourceControl, ServiceControl, Session};
        let lacks = |kind: &str| format!("because no {kind} allows the kms:DescribeKey action");
        let denies = |kind: &str| format!("with an explicit deny in {kind}");
        for (end, kind, explicit) in [
            (lacks("identity-based policy"), Identity, false),
            (denies("an identity-based policy"), Identity, true),
            (lacks("resource-based policy"), Resource, false),
            (denies("a resource-based policy"), Resource, true),
            (lacks("service control policy"), ServiceControl, false),
            (denies("a service control policy"), ServiceControl, true),
            (lacks("resource control policy"), ResourceControl, false),
            (denies("a resource control policy"), ResourceControl, true),
            (lacks("permissions boundary"), Boundary, false),
            (denies("a permissions boundary"), Boundary, true),
            (lacks("session policy"), Session, false),
            (denies("a session policy"), Session, true),
            (lacks("VPC endpoint policy"), Endpoint, false),
            (denies("a VPC endpoint policy"), Endpoint, true),
            // What KMS says of a key of another account.
            (
                "because the resource does not exist in this Region, no resource-based policies allow access, or a \
                 resource-based policy explicitly denies access"
                    .to_owned(),
                Resource,
                false,
            ),
        ] {
            let said = denial(&format!("{WHO} {end}"));
            assert_eq!(said.by, Some(DeniedBy { kind, explicit, policy: None }), "{end}");
            assert_eq!(said.action.as_deref(), Some("kms:DescribeKey"));
            assert_eq!(
                said.resource.as_deref(),
                Some("arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab")
            );
        }
    }

    #[test]
    fn the_policy_itself_is_named_where_aws_names_it() {
        let policy = "arn:aws:organizations::987654321098:policy/o-qv5af4abcd/service_control_policy/p-2kgnabcd";
        let said = denial(&format!("{WHO} with an explicit deny in a service control policy: {policy}"));
        let by = DeniedBy { kind: PolicyKind::ServiceControl, explicit: true, policy: Some(policy.to_owned()) };
        assert_eq!(said.by, Some(by));
    }

    #[test]
    fn words_that_do_not_say_it_are_left() {
        for words in [
            "",
            "not authorized",
            "because of the weather",
            "no",
            "is not authorized to perform: what, on resource: it",
        ] {
            assert_eq!(denial(words), Denial::default(), "{words}");
        }
        assert_eq!(denial(WHO).by, None, "no end, or one that was cut");
    }
}
