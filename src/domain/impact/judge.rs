//! The judgement of one finding: whether it may use a key for the stream, now and with the key to be.

use jiff::{SignedDuration, Timestamp};

use super::finding::{Finding, Side, Who};
use super::key::{Identity, KeyFacts, Setting};
use super::remedy::{Lack, Place, Remedy, remedies};
use crate::domain::access::document::{Answer, Place as Attached, Said};
use crate::domain::access::principal::{Principal, PrincipalKind};
use crate::domain::access::request::{Request, encryption_context, through_kinesis};
use crate::domain::access::truth::{Doubt, Truth};
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::model::KeyManager;
use crate::domain::text::EventText;

/// Whether somebody has access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// It has no access: it loses what it had, or had none.
    Loses,
    /// It is not known.
    Unknown,
    /// It gets access that it had not.
    Gains,
    /// It has access.
    Keeps,
    /// The stream is not encrypted: nobody needs a key.
    NotNeeded,
}

/// How certain that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confidence {
    /// An explicit Deny, or no path at all in policies that were read.
    Sure,
    /// IAM's simulator and the policies that were read say so. Resource control policies, session policies and policies of VPC
    /// endpoints are taken to be absent.
    Estimated,
    /// It is not known.
    Unknown,
}

/// What is said of one principal and one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether it has access.
    pub access: Access,
    /// How certain that is.
    pub confidence: Confidence,
    /// Why, for people.
    pub why: String,
    /// What gives it access.
    pub remedies: Vec<Remedy>,
}

/// A finding with its verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Who, and where it was found.
    pub finding: Finding,
    /// With the stream's setting now.
    pub before: Verdict,
    /// With the key to be.
    pub after: Verdict,
    /// For a consumer of a stream that leaves a key: records under that key are there until then.
    pub keep: Option<(KeyArn, Timestamp)>,
}

/// What the judgement of a stream starts from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// Its `RetentionPeriodHours`.
    pub retention_hours: u32,
    /// Its setting now.
    pub current: &'a Setting,
    /// The key to be.
    pub target: &'a KeyFacts,
    /// Now.
    pub now: Timestamp,
}

impl Access {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loses => "loses",
            Self::Unknown => "unknown",
            Self::Gains => "gains",
            Self::Keeps => "keeps",
            Self::NotNeeded => "not-needed",
        }
    }
}

impl Confidence {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::Estimated => "estimated",
            Self::Unknown => "unknown",
        }
    }
}

impl Judged {
    /// Whether the change takes its access away.
    pub fn loses(&self) -> bool {
        self.after.access == Access::Loses && self.before.access != Access::Loses
    }
}

/// The calls that IAM's simulator has to be asked about for a finding: of principals of the stream's account alone, since it knows no
/// others.
pub fn asks<'a>(facts: &Facts<'a>, who: &'a Principal, side: Side) -> Vec<(&'static str, &'a KeyArn)> {
    let is_ours = who.account.as_deref() == Some(facts.stream.scope.account.as_str());
    if !is_ours || !matches!(who.kind, PrincipalKind::Role | PrincipalKind::User) {
        return Vec::new();
    }
    let current = match facts.current {
        Setting::Key(key) => key.arn(),
        Setting::Unencrypted | Setting::Unknown(_) => None,
    };
    let mut keys: Vec<&KeyArn> = current.into_iter().chain(facts.target.arn()).collect();
    keys.dedup();
    keys.into_iter().flat_map(|key| side.actions().iter().map(move |action| (*action, key))).collect()
}

/// Judges a finding. `identity` says what the policies of the principal's own account say of an action on a key.
pub fn judge(facts: &Facts<'_>, finding: &Finding, identity: &dyn Fn(&Principal, &str, &KeyArn) -> Identity) -> Judged {
    let by = |key: &KeyFacts| with_key(facts, finding, key, identity);
    let before = match facts.current {
        Setting::Unencrypted => verdict(Access::NotNeeded, Confidence::Sure, "the stream is not encrypted"),
        Setting::Key(key) => by(key),
        Setting::Unknown(why) => verdict(Access::Unknown, Confidence::Unknown, why),
    };
    let mut after = by(facts.target);
    if after.access == Access::Keeps && before.access == Access::Loses {
        after.access = Access::Gains;
    }
    let left = match facts.current {
        Setting::Key(key) if key.manager == KeyManager::Customer && key.identity != facts.target.identity => key.arn(),
        Setting::Unencrypted | Setting::Key(_) | Setting::Unknown(_) => None,
    };
    let until = facts.now.checked_add(SignedDuration::from_hours(facts.retention_hours.into())).ok();
    let keep = left.cloned().zip(until).filter(|_| finding.side.consumes());
    Judged { finding: finding.clone(), before, after, keep }
}

fn verdict(access: Access, confidence: Confidence, why: impl Into<String>) -> Verdict {
    Verdict { access, confidence, why: why.into(), remedies: Vec::new() }
}

/// What one call comes to.
struct One {
    access: Access,
    confidence: Confidence,
    why: String,
    lacks: Vec<Lack>,
}

impl One {
    fn keeps(why: impl Into<String>) -> Self {
        Self { access: Access::Keeps, confidence: Confidence::Estimated, why: why.into(), lacks: Vec::new() }
    }

    fn loses(confidence: Confidence, why: impl Into<String>, lacks: Vec<Lack>) -> Self {
        Self { access: Access::Loses, confidence, why: why.into(), lacks }
    }

    fn unknown(why: impl Into<String>, lacks: Vec<Lack>) -> Self {
        Self { access: Access::Unknown, confidence: Confidence::Unknown, why: why.into(), lacks }
    }
}

/// All calls of a finding with one key: it has access where each of them is allowed.
fn with_key(
    facts: &Facts<'_>,
    finding: &Finding,
    key: &KeyFacts,
    identity: &dyn Fn(&Principal, &str, &KeyArn) -> Identity,
) -> Verdict {
    let principal = match &finding.who {
        Who::Principal(principal) => principal,
        Who::Unnamed(_) => {
            return verdict(Access::Unknown, Confidence::Unknown, "no API says which role or user this is");
        }
        Who::Everybody => {
            return verdict(
                Access::Unknown,
                Confidence::Unknown,
                "a resource policy allows everybody and names no principal",
            );
        }
    };
    let mut worst: Option<One> = None;
    let mut lacks = Vec::new();
    for action in finding.side.actions() {
        let says = key.arn().map(|arn| identity(principal, action, arn));
        let mut one = one_call(facts.stream, principal, action, key, says.as_ref());
        // What happened is no opinion: where the policies do not explain it, they were not all read, or have changed.
        if one.access == Access::Loses
            && says != Some(Identity::Gone)
            && let Some(at) = key.arn().and_then(|arn| finding.used(arn))
        {
            let why = format!("CloudTrail shows that it used this key at {at}, but: {}", one.why);
            one = One::unknown(why, one.lacks);
        }
        lacks.extend(one.lacks.iter().map(|lack| (*action, lack.clone())));
        if worst.as_ref().is_none_or(|worst| one.access < worst.access) {
            worst = Some(one);
        }
    }
    let Some(One { access, confidence, why, .. }) = worst else {
        return verdict(Access::Unknown, Confidence::Unknown, "it makes no call");
    };
    Verdict { access, confidence, why, remedies: remedies(&lacks, principal, key.arn(), facts.stream) }
}

fn one_call(
    stream: &StreamArn,
    principal: &Principal,
    action: &'static str,
    key: &KeyFacts,
    identity: Option<&Identity>,
) -> One {
    let of_key_account = key.identity.account().unwrap_or(&stream.scope.account);
    let is_foreign = principal.account.as_deref().is_some_and(|account| account != of_key_account);
    if key.manager == KeyManager::Aws && is_foreign {
        // Kinesis developer guide, sharing access to an encrypted stream.
        let lack = Lack::Other(Place::Key, "choose a customer-managed key, whose policy can allow it".to_owned());
        let why = "the AWS-managed key cannot be shared with another account";
        return One::loses(Confidence::Sure, why, vec![lack]);
    }
    if let Some(refused) = identity.and_then(|identity| refused_by_own(principal, action, identity)) {
        return refused;
    }
    let Some(arn) = key.arn() else {
        return One::keeps(
            "KMS creates the AWS-managed key on first use, and its policy allows every principal of the \
             account",
        );
    };
    let own = || Lack::Statement(Place::IdentityPolicy(principal.name.clone()));
    let of_key = || match key.manager {
        KeyManager::Customer => Lack::Statement(Place::KeyPolicy(arn.to_string())),
        KeyManager::Aws => {
            let text = "the policy of an AWS-managed key cannot be changed: choose a customer-managed key";
            Lack::Other(Place::Key, text.to_owned())
        }
    };
    let document = match &key.policy {
        Ok(document) => document,
        Err(why) => return One::unknown(format!("the key policy of {arn} was not read: {why}"), vec![of_key(), own()]),
    };
    let context = through_kinesis(principal, stream, arn);
    let pairs = encryption_context(stream);
    let request = Request { principal, action, resource: arn.as_str(), context: &context, encryption_context: &pairs };
    let answer = document.answer(&request, Attached::Resource);
    let grants = match &key.grants {
        Ok(grants) => Truth::any(grants.iter().map(|grant| grant.allows(&request))),
        Err(why) => Truth::Unknown(Doubt::Unread(EventText::new(why))),
    };
    if answer.denied.truth.is_yes() {
        let by = answer.denied.by.as_ref().map(|by| format!("statement {by} of ")).unwrap_or_default();
        let text =
            format!("remove the Deny of {principal} from {by}the key policy of {arn}: an Allow cannot override a Deny");
        let lack = Lack::Other(Place::KeyPolicy(arn.to_string()), text);
        return One::loses(Confidence::Sure, format!("{by}the key policy denies {action}"), vec![lack]);
    }
    if principal.account.is_none() {
        let why = "it is an AWS service, and which access to the key it needs is not known";
        return One::unknown(why, if answer.allowed.truth.is_yes() { Vec::new() } else { vec![of_key()] });
    }
    if is_foreign {
        return of_another_account(&answer, grants, action, [of_key(), own()]);
    }
    of_the_keys_account(&answer, grants, action, identity, [of_key(), own()])
}

/// Where the policies of its own account stop it, whatever the key policy says.
fn refused_by_own(principal: &Principal, action: &str, identity: &Identity) -> Option<One> {
    let name = &principal.name;
    Some(match identity {
        Identity::ExplicitDeny(policies) => {
            let by = if policies.is_empty() { format!("the policies of {name}") } else { policies.join(", ") };
            let text = format!("remove the Deny of {action} from {by}: an Allow cannot override a Deny");
            let lack = Lack::Other(Place::IdentityPolicy(name.clone()), text);
            One::loses(Confidence::Sure, format!("a statement of {by} denies {action}"), vec![lack])
        }
        Identity::Boundary => {
            let lack = Lack::Statement(Place::Boundary(name.clone()));
            One::loses(Confidence::Sure, format!("its permissions boundary does not allow {action}"), vec![lack])
        }
        Identity::Organization => {
            let lack = Lack::Statement(Place::Organization);
            One::loses(Confidence::Sure, format!("a policy of the organization does not allow {action}"), vec![lack])
        }
        Identity::Gone => One::loses(Confidence::Sure, "it was deleted: IAM does not know it", Vec::new()),
        Identity::Allowed | Identity::ImplicitDeny | Identity::Unknown(_) => return None,
    })
}

/// The key policy has to allow it, and so has the principal's own account, which cannot be read from here.
fn of_another_account(answer: &Answer, grants: Truth, action: &str, [of_key, own]: [Lack; 2]) -> One {
    let let_in = answer.allowed.truth.clone().or(answer.delegated.truth.clone()).or(grants);
    if let_in.is_no() {
        let why = format!("neither the key policy nor a grant allows {action} to it or to its account");
        return One::loses(Confidence::Sure, why, vec![of_key, own]);
    }
    if let Some(doubt) = doubt(answer, &let_in, None) {
        return One::unknown(format!("{doubt}; and the policies of its account cannot be read"), vec![of_key, own]);
    }
    One::unknown("the key policy allows its account; the policies of that account cannot be read", vec![own])
}

fn of_the_keys_account(
    answer: &Answer,
    grants: Truth,
    action: &str,
    identity: Option<&Identity>,
    [of_key, own]: [Lack; 2],
) -> One {
    let (own_allows, own_does_not_deny) = match identity {
        Some(Identity::Allowed) => (Truth::Yes, Truth::Yes),
        Some(Identity::Unknown(why)) => {
            let unknown = || Truth::Unknown(Doubt::Unread(EventText::new(why)));
            (unknown(), unknown())
        }
        None => {
            let unknown = || Truth::Unknown(Doubt::Unread(EventText::new("what its own policies say is not known")));
            (unknown(), unknown())
        }
        Some(_) => (Truth::No, Truth::Yes),
    };
    let by_account = answer.delegated.truth.clone().and(own_allows.clone());
    let path = answer.allowed.truth.clone().or(by_account).or(grants.clone());
    match path.clone().and(answer.denied.truth.clone().not()).and(own_does_not_deny) {
        Truth::Yes => One::keeps(why_allowed(answer, &grants)),
        Truth::No if answer.delegated.truth.is_no() => {
            let why = format!("neither the key policy nor a grant allows {action} to it or to its account");
            One::loses(Confidence::Sure, why, vec![of_key])
        }
        Truth::No if answer.delegated.truth.is_yes() => {
            let why = format!(
                "the key policy leaves {action} to the IAM policies of its account, and none of its own \
                 policies allows it"
            );
            One::loses(Confidence::Estimated, why, vec![own])
        }
        Truth::No => {
            let why = format!("its own policies do not allow {action}, and the key policy does not allow it directly");
            One::loses(Confidence::Estimated, why, vec![of_key])
        }
        Truth::Unknown(last) => {
            let why = doubt(answer, &path, identity).unwrap_or_else(|| last.to_string());
            // A Deny that may apply is outweighed by no statement.
            let lacks = if answer.denied.truth.is_no() && !path.is_yes() { vec![of_key] } else { Vec::new() };
            One::unknown(why, lacks)
        }
    }
}

fn why_allowed(answer: &Answer, grants: &Truth) -> String {
    let by = |said: &Said| said.by.as_ref().map(ToString::to_string).unwrap_or_default();
    if answer.allowed.truth.is_yes() {
        format!("statement {} of the key policy allows it", by(&answer.allowed))
    } else if grants.is_yes() {
        "a grant of the key allows it".to_owned()
    } else {
        format!(
            "statement {} of the key policy leaves it to the IAM policies of its account, and its own policies allow \
             it",
            by(&answer.delegated)
        )
    }
}

/// The first thing that makes an answer unknown; `None` where nothing does.
fn doubt(answer: &Answer, path: &Truth, identity: Option<&Identity>) -> Option<String> {
    let of_key = |doubt: String| format!("key policy, {doubt}");
    if let Some(denied) = answer.denied.doubt() {
        return Some(of_key(format!("{denied}; it may deny")));
    }
    if let Some(Identity::Unknown(why)) = identity
        && (!answer.allowed.truth.is_no() || answer.delegated.truth.is_yes())
    {
        return Some(why.clone());
    }
    if let Truth::Unknown(doubt) = path {
        let said = answer.allowed.doubt().or_else(|| answer.delegated.doubt()).map(of_key);
        return Some(said.unwrap_or_else(|| doubt.to_string()));
    }
    None
}
