//! What gives a principal access: a statement, and the policy that it goes into.

use serde_json::{Map, Value, json};

use crate::domain::access::principal::{Principal, PrincipalKind};
use crate::domain::access::request::{STREAM_KEY, via_kinesis};
use crate::domain::arn::{KeyArn, StreamArn};

/// Where something has to change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The policy of this key.
    KeyPolicy(String),
    /// A policy of this role or user.
    IdentityPolicy(String),
    /// The permissions boundary of this role or user.
    Boundary(String),
    /// A policy of the organization.
    Organization,
    /// The choice of the key.
    Key,
}

impl Place {
    /// The word of it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::KeyPolicy(_) => "key-policy",
            Self::IdentityPolicy(_) => "identity-policy",
            Self::Boundary(_) => "permissions-boundary",
            Self::Organization => "organization",
            Self::Key => "key",
        }
    }

    /// What the policy is of.
    pub fn of(&self) -> Option<&str> {
        match self {
            Self::KeyPolicy(of) | Self::IdentityPolicy(of) | Self::Boundary(of) => Some(of),
            Self::Organization | Self::Key => None,
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Where.
    pub place: Place,
    /// What, in words.
    pub text: String,
    /// The statement to add, as JSON; none where a statement has to go, or where no statement helps.
    pub statement: Option<String>,
}

/// What one call lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// A statement there.
    Statement(Place),
    /// Something else.
    Other(Place, String),
}

/// The remedies for what several calls lack: one statement a place, with all of its actions.
pub(super) fn remedies(
    lacks: &[(&'static str, Lack)],
    principal: &Principal,
    key: Option<&KeyArn>,
    stream: &StreamArn,
) -> Vec<Remedy> {
    let mut all: Vec<Remedy> = Vec::new();
    let mut places: Vec<&Place> = Vec::new();
    for (_, lack) in lacks {
        match lack {
            Lack::Statement(place) if !places.contains(&place) => {
                places.push(place);
                let actions = lacks.iter().filter(|(_, other)| *other == Lack::Statement(place.clone()));
                let actions: Vec<&str> = actions.map(|(action, _)| *action).collect();
                if let Some(key) = key {
                    all.push(Remedy {
                        place: place.clone(),
                        text: words(place, principal, key),
                        statement: Some(statement(&actions, place, principal, key, stream)),
                    });
                }
            }
            Lack::Statement(_) => {}
            Lack::Other(place, text) => {
                let remedy = Remedy { place: place.clone(), text: text.clone(), statement: None };
                if !all.contains(&remedy) {
                    all.push(remedy);
                }
            }
        }
    }
    all
}

fn words(place: &Place, principal: &Principal, key: &KeyArn) -> String {
    let elsewhere = principal.account.as_deref() != Some(key.account());
    match place {
        Place::KeyPolicy(of) if elsewhere => format!("in the key's account, add to the key policy of {of}"),
        Place::KeyPolicy(of) => format!("add to the key policy of {of}"),
        Place::IdentityPolicy(of) if elsewhere => format!("in the principal's account, add to a policy of {of}"),
        Place::IdentityPolicy(of) => format!("add to a policy of {of}"),
        Place::Boundary(of) => format!("add to the permissions boundary of {of}"),
        Place::Organization => "ask those who manage the organization to allow".to_owned(),
        Place::Key => "choose a key that allows".to_owned(),
    }
}

/// The statement: no wider than calls that Kinesis makes for this stream.
fn statement(actions: &[&str], place: &Place, principal: &Principal, key: &KeyArn, stream: &StreamArn) -> String {
    let mut statement = Map::new();
    statement.insert("Effect".to_owned(), json!("Allow"));
    let is_of_key = matches!(place, Place::KeyPolicy(_));
    if is_of_key {
        let kind = if principal.kind == PrincipalKind::Service { "Service" } else { "AWS" };
        statement.insert("Principal".to_owned(), json!({ kind: principal.name }));
    }
    let one_or_many = match actions {
        [one] => json!(one),
        several => json!(several),
    };
    statement.insert("Action".to_owned(), one_or_many);
    statement.insert("Resource".to_owned(), if is_of_key { json!("*") } else { json!(key.as_str()) });
    let condition = json!({"StringEquals": {"kms:ViaService": via_kinesis(stream), STREAM_KEY: stream.to_string()}});
    statement.insert("Condition".to_owned(), condition);
    Value::Object(statement).to_string()
}
