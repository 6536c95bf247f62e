//! What the policy says of a stream that a plan would create or change.

use jiff::Timestamp;

use super::{PlannedEncryption, PlannedStream};
use crate::domain::arn::{AWS_MANAGED_ALIAS, KeyRef, Scope, StreamName, is_alias};
use crate::domain::model::Tags;
use crate::domain::policy::{Accept, Exemption, Outcome, Policy, Target};
use crate::domain::verdict::Compliance;

/// A stream of a plan and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The stream.
    pub stream: PlannedStream,
    /// The rule that decides, where one does.
    pub rule: Option<String>,
    /// The tags that decided.
    pub tags: Tags,
    /// Its exemption, where it has one.
    pub exemption: Option<Exemption>,
    /// The key that the rule requires, where it can be worked out.
    pub desired: Option<KeyRef>,
    /// In AWS Config's words.
    pub compliance: Compliance,
    /// A word for it.
    pub reason: &'static str,
    /// The same in a sentence.
    pub detail: String,
}

/// Where the streams of a plan are, as far as somebody says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The account.
    pub account: Option<String>,
    /// The Region, for streams whose plan does not say it.
    pub region: Option<String>,
}

/// Stands for what is not known where no rule reads it.
const ANY_NAME: &str = "name";
const ANY_ACCOUNT: &str = "000000000000";
const ANY_REGION: &str = "us-east-1";

/// Judges one stream.
pub fn judge(policy: &Policy, stream: PlannedStream, place: &Place, now: Timestamp) -> Judged {
    let reads = policy.reads();
    let unknown = |stream, why: &str| judged(stream, None, (Compliance::InsufficientData, "unknown", why.to_owned()));
    let Some(name) = stream.name.clone().or_else(|| if reads.name { None } else { StreamName::parse(ANY_NAME) }) else {
        return unknown(stream, "its name is known only after it is created, and rules match by name");
    };
    let Some(tags) = stream.tags.clone().or_else(|| (!reads.tags).then(Tags::new)) else {
        return unknown(stream, "some of its tags are known only after it is created, and rules match by tags");
    };
    let region = stream.region.clone().or_else(|| place.region.clone());
    let is_known = place.account.is_some() && region.is_some();
    let Some(account) = place.account.clone().or_else(|| (!reads.account).then(|| ANY_ACCOUNT.to_owned())) else {
        return unknown(stream, "rules match by account: give it with --account");
    };
    let Some(region) = region.or_else(|| (!reads.region).then(|| ANY_REGION.to_owned())) else {
        return unknown(stream, "rules match by Region: give it with --region");
    };
    let own = Scope { partition: Scope::partition_of(&region).to_owned(), region, account };
    let decision = policy.decide(&own.stream(name), &tags, now);
    let rule = decision.rule.map(|rule| rule.name);
    let (desired, exemption, said) = match decision.outcome {
        Outcome::Exempt(exemption) => {
            let why = exemption.words();
            (None, Some(exemption), (Compliance::NotApplicable, "exempt", why))
        }
        Outcome::Unmatched => (None, None, (Compliance::NonCompliant, "unmatched", "no rule matches it".to_owned())),
        Outcome::Unresolvable(why) => (None, None, (Compliance::NonCompliant, "key-unresolvable", why)),
        Outcome::Encrypt(target) => {
            let own = Own { scope: &own, is_known };
            let said = compare(&stream.encryption, &target, own);
            (Some(target.key), None, said)
        }
    };
    Judged { rule, tags: decision.tags, exemption, ..judged(stream, desired, said) }
}

fn judged(
    stream: PlannedStream,
    desired: Option<KeyRef>,
    (compliance, reason, detail): (Compliance, &'static str, String),
) -> Judged {
    Judged { stream, rule: None, tags: Tags::new(), exemption: None, desired, compliance, reason, detail }
}

fn compare(planned: &PlannedEncryption, target: &Target, own: Own<'_>) -> (Compliance, &'static str, String) {
    use Compliance::{Compliant, InsufficientData, NonCompliant};
    let desired = &target.key;
    match planned {
        PlannedEncryption::None => {
            (NonCompliant, "not-encrypted", format!("it has no encryption; its rule requires {desired}"))
        }
        PlannedEncryption::Illegal(why) => (NonCompliant, "wrong-key", format!("{why}; its rule requires {desired}")),
        PlannedEncryption::Unknown(why) => (InsufficientData, "unknown", format!("encryption unknown: {why}")),
        PlannedEncryption::UnknownKey(why) => {
            (InsufficientData, "unknown", format!("its key: {why}; its rule requires {desired}"))
        }
        PlannedEncryption::Kms(key) => match (same_key(key, desired, own), is_accepted(key, target, own)) {
            (Some(true), _) => (Compliant, "right-key", format!("it is encrypted with {key}")),
            (_, Some(true)) => {
                (Compliant, "accepted-key", format!("it is encrypted with {key}, which its rule accepts"))
            }
            (Some(false), Some(false)) => {
                (NonCompliant, "wrong-key", format!("it is encrypted with {key}; its rule requires {desired}"))
            }
            (None, _) | (_, None) => {
                let why = format!("only KMS knows whether {key} is {desired}; use the same name as the rule");
                (InsufficientData, "unknown", why)
            }
        },
    }
}

/// The account and Region of a stream, and whether they are known: else they are no reason to say that two keys differ.
#[derive(Clone, Copy)]
struct Own<'a> {
    scope: &'a Scope,
    is_known: bool,
}

/// Whether two references are of one key, as far as that can be said without KMS. Two aliases are taken for two keys.
fn same_key(one: &KeyRef, other: &KeyRef, own: Own<'_>) -> Option<bool> {
    if one == other {
        return Some(true);
    }
    let (is_one, are_both_arns) = match (one.is_alias(), other.is_alias()) {
        (true, true) => {
            let is_one = is_alias(one, other, own.scope) || is_alias(other, one, own.scope);
            (is_one, one.account().is_some() && other.account().is_some())
        }
        (false, false) => {
            let are_both_arns = one.as_key_arn().is_some() && other.as_key_arn().is_some();
            (arn(one, own.scope) == arn(other, own.scope), are_both_arns)
        }
        (true, false) | (false, true) => return None,
    };
    // A name or an id is of the stream's own account and Region.
    let ends_alike = name(one) == name(other);
    match is_one {
        false if ends_alike && !are_both_arns && !own.is_known => None,
        is_one => Some(is_one),
    }
}

/// The name of an alias, the id of a key.
fn name(key: &KeyRef) -> &str {
    let text = key.as_str();
    key.alias().unwrap_or_else(|| text.rsplit_once('/').map_or(text, |(_, id)| id))
}

/// The ARN of a key that is named by its id or its ARN.
fn arn(key: &KeyRef, own: &Scope) -> String {
    match key.as_key_arn() {
        Some(arn) => arn.as_str().to_owned(),
        None => format!("arn:{}:kms:{}:{}:key/{key}", own.partition, own.region, own.account),
    }
}

fn is_accepted(key: &KeyRef, target: &Target, own: Own<'_>) -> Option<bool> {
    let mut unknown = false;
    // In whatever account and Region.
    let is_aws_managed = key.alias() == Some(AWS_MANAGED_ALIAS);
    for accept in &target.accept {
        let accepted = match accept {
            Accept::Key(accepted) => same_key(key, accepted, own),
            Accept::AwsManaged => Some(is_aws_managed),
            Accept::CustomerManaged { .. } if is_aws_managed => Some(false),
            Accept::CustomerManaged { of } => match key.account() {
                // A name, or an id: of the stream's own account.
                None => Some(true),
                Some(account) if of.iter().any(|named| named == account) => Some(true),
                Some(account) if own.is_known => Some(account == own.scope.account),
                Some(_) => None,
            },
        };
        match accepted {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unknown = true,
        }
    }
    if unknown { None } else { Some(false) }
}
