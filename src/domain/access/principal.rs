//! Who calls, and whether a policy's `Principal` or `NotPrincipal` names that caller.

use std::fmt;

use serde_json::Value;

use super::truth::{Doubt, Truth};
use crate::domain::arn::{Arn, Scope};
use crate::domain::text::EventText;

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Principal {
    /// What kind it is.
    pub kind: PrincipalKind,
    /// Its ARN; of a service its name.
    pub name: String,
    /// The account that it is of; a service is of none.
    pub account: Option<String>,
}

/// The kinds of principals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PrincipalKind {
    /// The root of an account. As somebody whom a policy lets in it stands for every principal of the account.
    Root,
    /// A role, in whatever session.
    Role,
    /// An IAM user.
    User,
    /// One session of a role.
    Session,
    /// An AWS service, by a name such as `firehose.amazonaws.com`.
    Service,
}

/// How a policy names a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The principal itself, or everybody.
    pub itself: Truth,
    /// The account that it is of, so that the policies of that account decide.
    pub account: Truth,
}

impl Principal {
    /// Reads an ARN of IAM or STS, the id of an account, or the name of a service.
    pub fn parse(text: &str) -> Option<Self> {
        let made = |kind, account: &str| Self { kind, name: text.to_owned(), account: Some(account.to_owned()) };
        if Scope::is_account(text) {
            return Some(Self { name: format!("arn:aws:iam::{text}:root"), ..made(PrincipalKind::Root, text) });
        }
        if text.ends_with(".amazonaws.com") || text.ends_with(".amazonaws.com.cn") {
            let is_name = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
            return is_name.then(|| Self { kind: PrincipalKind::Service, name: text.to_owned(), account: None });
        }
        let Arn { service, region, account, resource, .. } = Arn::parse(text)?;
        if !region.is_empty() || !Scope::is_account(account) {
            return None;
        }
        let kind = match (service, resource.split_once('/')) {
            ("iam", None) if resource == "root" => PrincipalKind::Root,
            ("iam", Some(("role", name))) if !name.is_empty() => PrincipalKind::Role,
            ("iam", Some(("user", name))) if !name.is_empty() => PrincipalKind::User,
            ("sts", Some(("assumed-role", name))) if name.split('/').count() == 2 => PrincipalKind::Session,
            _ => return None,
        };
        Some(made(kind, account))
    }

    /// `aws:PrincipalArn`: of a session that is its role's, which is known where the role has no path.
    pub fn principal_arn(&self) -> Option<&str> {
        match self.kind {
            PrincipalKind::Root | PrincipalKind::Role | PrincipalKind::User => Some(&self.name),
            PrincipalKind::Session | PrincipalKind::Service => None,
        }
    }

    /// The name of the role that this is, or is a session of.
    fn role_name(&self) -> Option<&str> {
        let resource = Arn::parse(&self.name)?.resource;
        match self.kind {
            PrincipalKind::Role => resource.rsplit('/').next(),
            PrincipalKind::Session => resource.split('/').nth(1),
            PrincipalKind::Root | PrincipalKind::User | PrincipalKind::Service => None,
        }
    }

    /// Whether it is the role with this ARN, or a session of it.
    pub fn acts_as(&self, role: &str) -> bool {
        Self::parse(role).is_some_and(|role| *self == role || self.is_session_or_role_of(&role))
    }

    /// Whether one is a session and the other its role. Names of roles are unique in an account, whatever their paths (IAM user guide,
    /// quotas and name requirements).
    fn is_session_or_role_of(&self, other: &Self) -> bool {
        let partition = |of: &'_ str| Arn::parse(of).map(|arn| arn.partition.to_owned());
        self.kind != other.kind
            && self.account == other.account
            && partition(&self.name) == partition(&other.name)
            && self.role_name().is_some_and(|name| other.role_name() == Some(name))
    }

    /// How an element that lists principals names this one.
    pub fn named_by(&self, element: &Value) -> Named {
        let mut named = Named { itself: Truth::No, account: Truth::No };
        for (kind, text) in entries(element) {
            let (itself, account) = match (kind, text) {
                (Kind::Aws, Some(text)) => self.named_by_text(text),
                (Kind::Service, Some(text)) => {
                    (Truth::of(self.kind == PrincipalKind::Service && self.name == text), Truth::No)
                }
                (Kind::Other, Some(text)) => (maybe(text), Truth::No),
                (_, None) => (unreadable(), Truth::No),
            };
            named.itself = named.itself.or(itself);
            named.account = named.account.or(account);
        }
        named
    }

    /// The same for one text under `AWS`, or the `*` that stands for all.
    fn named_by_text(&self, text: &str) -> (Truth, Truth) {
        if text == "*" {
            return (Truth::Yes, Truth::No);
        }
        // IAM takes no pattern for a part of a principal.
        if text.contains(['*', '?', '$']) {
            return (maybe(text), Truth::No);
        }
        if let Some(other) = Self::parse(text) {
            if other.kind == PrincipalKind::Root {
                let is_account = other.account == self.account;
                return match self.kind {
                    PrincipalKind::Root => (Truth::of(is_account), Truth::No),
                    _ => (Truth::No, Truth::of(is_account)),
                };
            }
            let itself = match (self.kind, other.kind) {
                _ if other.kind == PrincipalKind::Service => unreadable(),
                _ if self.name == other.name => Truth::Yes,
                // A session has what its role is allowed. What is allowed to one session, others of the role have not.
                (PrincipalKind::Session, PrincipalKind::Role) => Truth::of(self.is_session_or_role_of(&other)),
                (PrincipalKind::Role, PrincipalKind::Session) if self.is_session_or_role_of(&other) => maybe(text),
                // Everybody of an account is not one of them.
                (PrincipalKind::Root, _) if self.account == other.account => maybe(text),
                _ => Truth::No,
            };
            return (itself, Truth::No);
        }
        // What is left of a role or a user that was deleted: its id, which nobody has (IAM user guide, IAM identifiers).
        let is_id = text.len() >= 16 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if is_id && ["AROA", "AIDA", "AGPA"].iter().any(|prefix| text.starts_with(prefix)) {
            return (Truth::No, Truth::No);
        }
        (maybe(text), Truth::No)
    }

    /// Whether a `NotPrincipal` leaves the statement to apply to this one. To leave somebody out surely, a Deny has to list the account
    /// too, and of a role the session (IAM user guide, NotPrincipal).
    pub fn is_left_by(&self, element: &Value) -> Truth {
        if entries(element).iter().any(|(kind, text)| *kind == Kind::Aws && *text == Some("*")) {
            return Truth::No;
        }
        let Named { itself, account } = self.named_by(element);
        match (&itself, &account) {
            (Truth::No, Truth::No) => Truth::Yes,
            (Truth::Yes, Truth::Yes) if matches!(self.kind, PrincipalKind::User) => Truth::No,
            (Truth::Yes, _) if matches!(self.kind, PrincipalKind::Root | PrincipalKind::Service) => Truth::No,
            (unknown @ Truth::Unknown(_), _) => unknown.clone(),
            _ => Truth::Unknown(Doubt::Principal(EventText::new("a NotPrincipal"))),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The kinds of a `Principal` element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `AWS`, or the `*` that stands for all.
    Aws,
    /// `Service`.
    Service,
    /// `Federated`, `CanonicalUser`, or one that is not known.
    Other,
}

/// The principals that an element lists; no text where one is none.
pub fn entries(element: &Value) -> Vec<(Kind, Option<&str>)> {
    let Value::Object(members) = element else {
        let all = element.as_str().filter(|text| *text == "*");
        return vec![(Kind::Aws, all)];
    };
    let each = members.iter().flat_map(|(name, value)| {
        let kind = match name.as_str() {
            "AWS" => Kind::Aws,
            "Service" => Kind::Service,
            _ => Kind::Other,
        };
        let texts: Vec<Option<&str>> = match value {
            Value::Array(all) => all.iter().map(Value::as_str).collect(),
            one => vec![one.as_str()],
        };
        texts.into_iter().map(move |text| (kind, text))
    });
    each.collect()
}

fn maybe(text: &str) -> Truth {
    Truth::Unknown(Doubt::Principal(EventText::new(text)))
}

fn unreadable() -> Truth {
    Truth::Unknown(Doubt::Unreadable(EventText::new("a Principal")))
}
