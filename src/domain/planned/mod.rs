//! Streams that a plan of Terraform or a template of CloudFormation would create or change, judged by the policy before anything is made.
//!
//! Pure, and it knows no more than the plan: where a value is known only after the plan is applied, the answer is that it is not known.

pub mod cloudformation;
pub mod judge;
pub mod terraform;

use super::arn::{KeyRef, StreamName};
use super::model::Tags;

/// A stream of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedStream {
    /// How the plan names it: a resource address of Terraform, a logical id of CloudFormation.
    pub address: String,
    /// What would be done.
    pub change: Change,
    /// Its name; `None` where that is known only after it is made.
    pub name: Option<StreamName>,
    /// Its tags; `None` where some of them are known only after it is made.
    pub tags: Option<Tags>,
    /// The Region, where the plan says so.
    pub region: Option<String>,
    /// How it would be encrypted.
    pub encryption: PlannedEncryption,
}

/// What would be done to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is made.
    Create,
    /// It is deleted and made anew: its records are lost, and its encryption with them.
    Replace,
    /// It is changed.
    Update,
    /// A template does not say whether it is there already.
    Declare,
}

impl Change {
    /// The word in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Update => "update",
            Self::Declare => "declare",
        }
    }
}

/// How a stream would be encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedEncryption {
    /// Not at all.
    None,
    /// With this key.
    Kms(KeyRef),
    /// With a key that is known only later; why, in words.
    UnknownKey(String),
    /// It is known only later whether it is; why, in words.
    Unknown(String),
    /// What is written cannot be a setting; why, in words.
    Illegal(String),
}

/// A key, as a plan writes it.
fn planned_key(text: &str) -> PlannedEncryption {
    match KeyRef::parse(text) {
        Some(key) => PlannedEncryption::Kms(key),
        None => PlannedEncryption::Illegal(format!("`{}` is not a key", super::text::EventText::new(text))),
    }
}
