//! The keys that matter for a stream, as far as they are known, and as documents have them.

use std::fmt;

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::model::{KeyInfo, KeyLookup, KeyManager};
use crate::domain::plan::situation::Keys;

/// A key that matters for a stream, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// What KMS said of it.
    pub info: KeyInfo,
    /// Its alias. Only a command asks for it.
    pub alias: Option<String>,
    /// How it is rotated. Only a command asks for it, where it is not AWS's own.
    pub rotation: Option<Rotation>,
}

/// How KMS rotates a key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It does not.
    Off,
    /// Every so many days.
    Days(i32),
}

impl fmt::Display for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Days(days) => write!(f, "every {days} days"),
        }
    }
}

impl KnownKey {
    /// KMS rotates its own keys every year (KMS developer guide, key rotation).
    fn new(info: &KeyInfo) -> Self {
        let rotation = (info.manager == KeyManager::Aws).then_some(Rotation::Days(365));
        Self { info: info.clone(), alias: None, rotation }
    }

    /// Takes the alias and the rotation from the same key among `others`.
    pub fn learn(&mut self, others: &[&Self]) {
        if let Some(same) = others.iter().find(|key| key.info.identity == self.info.identity) {
            self.alias.clone_from(&same.alias);
            self.rotation = same.rotation;
        }
    }
}

/// What KMS said of keys, each once.
pub fn known(keys: &Keys) -> Vec<KnownKey> {
    let mut known: Vec<KnownKey> = Vec::new();
    for lookup in keys.values() {
        if let KeyLookup::Found(info) = lookup
            && known.iter().all(|key| key.info.identity != info.identity)
        {
            known.push(KnownKey::new(info));
        }
    }
    known
}

/// A key that matters for the stream: its rule's, its own, or one that its rule accepts.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct KeyWire<'a> {
    /// Its ARN, or `alias/aws/kinesis` while KMS has not made that key.
    key: &'a str,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = [KeyManager::Customer.as_str(), KeyManager::Aws.as_str()])))]
    manager: &'static str,
    /// `KeyState`.
    state: Option<&'a str>,
    /// `Origin`: who made its material.
    origin: Option<&'a str>,
    /// Why it cannot encrypt the stream now; `null` where it can.
    problem: Option<String>,
    /// How KMS rotates it by itself. Only a command asks for it where the key is a customer's: not there where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    rotation: Option<String>,
    /// Its alias. Only a command asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    alias: Option<&'a str>,
}

impl<'a> From<&'a KnownKey> for KeyWire<'a> {
    fn from(KnownKey { info, alias, rotation }: &'a KnownKey) -> Self {
        Self {
            key: info.identity.as_str(),
            manager: info.manager.as_str(),
            state: info.state.as_ref().map(|state| state.as_str()),
            origin: info.origin.as_ref().map(|origin| origin.as_str()),
            problem: info.problem.as_ref().map(ToString::to_string),
            rotation: rotation.map(|rotation| rotation.to_string()),
            alias: alias.as_deref(),
        }
    }
}
