//! What is asked of a policy: who calls what, and what is known of the call before it is made.

use std::collections::BTreeMap;

use super::principal::{Principal, PrincipalKind};
use crate::domain::arn::{KeyArn, Scope, StreamArn};

/// The key of the one pair that Kinesis gives KMS as the encryption context (Kinesis developer guide, permissions to use
/// user-generated KMS keys).
pub const CONTEXT_KEY: &str = "aws:kinesis:arn";
/// The condition key that says of a call to KMS which stream it is for.
pub const STREAM_KEY: &str = "kms:EncryptionContext:aws:kinesis:arn";

/// What is known of a condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The one value.
    One(String),
    /// The values of a key that may have several.
    Many(Vec<String>),
    /// The request has no such key.
    Absent,
}

/// What is known of a call's condition keys. Of a key that is not here nothing is known, not even whether the call has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// By their names in lower case; each with its name as it is written.
    keys: BTreeMap<String, (String, Known)>,
    /// Prefixes of keys that the request does not have unless they are among `keys`.
    absent: Vec<&'static str>,
}

impl Context {
    /// With one more key. Names of condition keys have no case (IAM JSON policy elements, Condition).
    #[must_use]
    pub fn with(mut self, key: &str, known: Known) -> Self {
        self.keys.insert(key.to_ascii_lowercase(), (key.to_owned(), known));
        self
    }

    /// The same without what is known of a key.
    #[must_use]
    pub fn without(mut self, key: &str) -> Self {
        self.keys.remove(&key.to_ascii_lowercase());
        self
    }

    /// What is known of a key; `None` for nothing.
    pub fn get(&self, key: &str) -> Option<&Known> {
        let key = key.to_ascii_lowercase();
        let absent = || self.absent.iter().any(|prefix| key.starts_with(prefix)).then_some(&Known::Absent);
        self.keys.get(&key).map(|(_, known)| known).or_else(absent)
    }

    /// The keys and values that are known, as another evaluator takes them.
    pub fn known(&self) -> impl Iterator<Item = (&str, &Known)> {
        self.keys.values().map(|(key, known)| (key.as_str(), known))
    }
}

/// One question to a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// Such as `kms:Decrypt`.
    pub action: &'a str,
    /// The ARN that the call is on.
    pub resource: &'a str,
    /// What is known of the call.
    pub context: &'a Context,
    /// The encryption context of a call to KMS.
    pub encryption_context: &'a BTreeMap<String, String>,
}

/// The encryption context of what Kinesis asks of KMS for `stream`.
pub fn encryption_context(stream: &StreamArn) -> BTreeMap<String, String> {
    BTreeMap::from([(CONTEXT_KEY.to_owned(), stream.to_string())])
}

/// The name that `kms:ViaService` has for Kinesis in the stream's Region.
pub fn via_kinesis(stream: &StreamArn) -> String {
    stream.scope.service("kinesis")
}

/// What is known of a call that Kinesis makes to KMS with the credentials of `principal`. Whatever is not here (addresses, VPC
/// endpoints, the organization, tags, MFA, times) is not known.
pub fn through_kinesis(principal: &Principal, stream: &StreamArn, key: &KeyArn) -> Context {
    let one = |value: &str| Known::One(value.to_owned());
    let context = Context { absent: vec!["kms:encryptioncontext:"], ..Context::default() }
        .with("kms:ViaService", one(&via_kinesis(stream)))
        .with(STREAM_KEY, one(&stream.to_string()))
        .with("kms:EncryptionContextKeys", Known::Many(vec![CONTEXT_KEY.to_owned()]))
        .with("aws:ResourceAccount", one(key.account()))
        .with("kms:GrantIsForAWSResource", one("false"))
        .with("aws:ViaAWSService", one("true"));
    match &principal.account {
        Some(account) => of_principal(context, principal, &stream.scope.region).with("kms:CallerAccount", one(account)),
        None => of_principal(context, principal, &stream.scope.region),
    }
}

/// What is known of a call that a principal makes to Kinesis itself, about a stream of this Region and account.
pub fn to_kinesis(principal: &Principal, scope: &Scope) -> Context {
    let context = Context::default().with("aws:ResourceAccount", Known::One(scope.account.clone()));
    of_principal(context, principal, &scope.region)
}

/// With what is known of who calls, and where.
fn of_principal(context: Context, principal: &Principal, region: &str) -> Context {
    let one = |value: &str| Known::One(value.to_owned());
    let mut context = context
        .with("aws:RequestedRegion", one(region))
        .with("aws:PrincipalIsAWSService", Known::One((principal.kind == PrincipalKind::Service).to_string()));
    // A root stands for every principal of its account here, and those have ARNs of their own.
    let arn = principal.principal_arn().filter(|_| principal.kind != PrincipalKind::Root);
    for (key, value) in [("aws:PrincipalAccount", principal.account.as_deref()), ("aws:PrincipalArn", arn)] {
        if let Some(value) = value {
            context = context.with(key, one(value));
        }
    }
    context
}
