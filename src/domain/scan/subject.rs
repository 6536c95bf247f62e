//! What a scan is about, which streams concern it, and which scans run one after the other.

use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::arn::{KeyArn, KeyRef, Scope, is_alias};
use crate::domain::bounds;
use crate::domain::model::{Encryption, KeyIdentity};
use crate::domain::policy::Outcome;

/// What a scan is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Subject {
    /// Every stream.
    #[serde(rename = "sweep")]
    Fleet,
    /// The streams whose rule, or whose setting, names this alias: it means another key now, or none.
    Alias {
        /// By its name or its ARN.
        #[serde(deserialize_with = "alias")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        alias: KeyRef,
    },
    /// The streams whose setting names an alias, where their rule accepts other keys than its own: some alias that no rule names means
    /// another key now, or none.
    Aliases,
    /// The streams that are on this key, or that should be.
    Key {
        /// The key.
        #[serde(deserialize_with = "key")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        key: KeyArn,
        /// What happened to it.
        event: KeyEvent,
    },
}

fn alias<'de, D: Deserializer<'de>>(from: D) -> Result<KeyRef, D::Error> {
    let key: KeyRef = bounds::member("alias", from)?;
    if key.is_alias() { Ok(key) } else { Err(D::Error::custom("field `alias`: not an alias")) }
}

fn key<'de, D: Deserializer<'de>>(from: D) -> Result<KeyArn, D::Error> {
    bounds::member("key", from)
}

/// The scans that run one after the other. Anybody may have a key and cause events about it: scans about keys have a queue and a rate of their
/// own, so that they delay no sweep and no alias that a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Sweeps, new policies, and aliases that a rule names.
    Policy,
    /// What happened to keys, and to aliases that no rule names.
    Keys,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Policy, Self::Keys];

    /// The message group in the queue of scans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Keys => "keys",
        }
    }

    /// Requests about the same that arrive in one window are one scan: the windows' length.
    pub fn window(self) -> Duration {
        match self {
            Self::Policy => Duration::from_mins(1),
            Self::Keys => Duration::from_mins(5),
        }
    }
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum KeyEvent {
    /// It has new material: its streams are observed and proven, and none is changed.
    Rotated,
    /// It may be usable again, or by others than before.
    Changed,
    /// It cannot be used any more, or will not be.
    Lost,
}

impl KeyEvent {
    /// The word in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Changed => "changed",
            Self::Lost => "lost",
        }
    }
}

impl Subject {
    /// The word in logs and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fleet => "sweep",
            Self::Alias { .. } => "alias",
            Self::Aliases => "aliases",
            Self::Key { .. } => "key",
        }
    }

    /// Which scans it runs with, one after the other.
    pub fn group(&self) -> Group {
        match self {
            Self::Fleet | Self::Alias { .. } => Group::Policy,
            Self::Aliases | Self::Key { .. } => Group::Keys,
        }
    }

    /// Whether a stream with this decision can concern the scan, before anybody has observed the stream.
    pub fn may_concern(&self, outcome: &Outcome, own: &Scope) -> bool {
        match self {
            Self::Fleet | Self::Key { .. } => true,
            Self::Alias { alias } => names(outcome, alias, own) || accepts_others(outcome),
            Self::Aliases => accepts_others(outcome),
        }
    }

    /// Whether a stream concerns the scan that has this decision and this setting, is on `current` and should be on `desired`.
    pub fn concerns(
        &self,
        outcome: &Outcome,
        setting: &Encryption,
        current: Option<&KeyIdentity>,
        desired: Option<&KeyIdentity>,
        own: &Scope,
    ) -> bool {
        let is = |identity: Option<&KeyIdentity>, key: &KeyArn| identity.is_some_and(|identity| identity.is(key));
        match (self, setting) {
            (Self::Fleet, _) => true,
            (Self::Alias { alias }, Encryption::Kms(key)) => names(outcome, alias, own) || is_alias(key, alias, own),
            (Self::Alias { alias }, Encryption::None | Encryption::Unreadable(_)) => names(outcome, alias, own),
            // The alias of AWS's own key stays where it is.
            (Self::Aliases, Encryption::Kms(key)) => key.is_alias() && !key.is_aws_managed_alias(own),
            (Self::Aliases, Encryption::None | Encryption::Unreadable(_)) => false,
            // New material is of no concern to a stream that only should be on the key.
            (Self::Key { key, event: KeyEvent::Rotated }, _) => is(current, key),
            (Self::Key { key, event: KeyEvent::Changed | KeyEvent::Lost }, _) => is(current, key) || is(desired, key),
        }
    }

    /// Whether a stream that is wrong may be handed over to be changed.
    pub fn may_change(&self) -> bool {
        !matches!(self, Self::Key { event: KeyEvent::Rotated, .. })
    }
}

/// Whether the rule behind a decision names this alias.
fn names(outcome: &Outcome, alias: &KeyRef, own: &Scope) -> bool {
    match outcome {
        Outcome::Encrypt(target) => {
            target.accept.iter().any(|accept| accept.names(alias, own)) || is_alias(&target.key, alias, own)
        }
        Outcome::Exempt(_) | Outcome::Unmatched | Outcome::Unresolvable(_) => false,
    }
}

/// Whether the rule behind a decision accepts other keys than its own.
fn accepts_others(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Encrypt(target) if !target.accept.is_empty())
}
