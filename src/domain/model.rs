//! What is known of a stream and of a key, as AWS reported it. Nothing here decides.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arn::{AWS_MANAGED_ALIAS, KeyArn, KeyRef};
use super::text::EventText;

/// Which key it is, whatever it was called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyIdentity {
    /// The resolved ARN.
    Arn(KeyArn),
    /// `alias/aws/kinesis` while KMS does not know it yet: the key is made on first use, so the alias is all there is.
    AwsManagedAlias,
}

impl KeyIdentity {
    /// Whether it is the key of this ARN.
    pub fn is(&self, key: &KeyArn) -> bool {
        matches!(self, Self::Arn(arn) if arn == key)
    }

    /// The account of the key; `None` for one that is not there yet, which will be of the stream's own.
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Arn(arn) => Some(arn.account()),
            Self::AwsManagedAlias => None,
        }
    }

    /// What StartStreamEncryption is given as `KeyId`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Arn(arn) => arn.as_str(),
            Self::AwsManagedAlias => AWS_MANAGED_ALIAS,
        }
    }
}

impl fmt::Display for KeyIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What DescribeKey said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Which key.
    pub identity: KeyIdentity,
    /// Who manages it.
    pub manager: KeyManager,
    /// Why it cannot encrypt a stream of this Region now; `None` when it can.
    pub problem: Option<KeyProblem>,
    /// `KeyState`, where KMS says it.
    pub state: Option<EventText>,
    /// `Origin`, where KMS says it: who made its material.
    pub origin: Option<EventText>,
    /// `CurrentKeyMaterialId`, where KMS says it: rotation changes it and nothing else.
    pub material: Option<EventText>,
}

impl KeyInfo {
    /// A key of which nothing else is known.
    pub fn new(identity: KeyIdentity, manager: KeyManager, problem: Option<KeyProblem>) -> Self {
        Self { identity, manager, problem, state: None, origin: None, material: None }
    }
}

/// `KeyManager` of KMS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyManager {
    /// An AWS-managed key.
    Aws,
    /// A customer-managed key.
    Customer,
}

impl KeyManager {
    /// The word in documents and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "AWS-managed",
            Self::Customer => "customer-managed",
        }
    }
}

/// Why a key cannot be used for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// Its `KeyState` is not `Enabled`.
    State(EventText),
    /// A multi-Region key that is `Creating` or `Updating`: it passes by itself.
    NotReady(EventText),
    /// Its `KeyUsage` is not `ENCRYPT_DECRYPT`.
    Usage(EventText),
    /// Its `KeySpec` is not `SYMMETRIC_DEFAULT`.
    Spec(EventText),
    /// It is a key of another Region.
    Region(EventText),
}

impl KeyProblem {
    /// Services encrypt with symmetric keys (KMS developer guide, key concepts), and of the states only `Enabled` is sure to encrypt
    /// (the same, key states). What can never pass is named first, what passes by itself last.
    pub fn of(usage: Option<&str>, spec: Option<&str>, state: Option<&str>) -> Option<Self> {
        // What stands for a member that the answer does not have.
        let word = |of: Option<&str>| EventText::new(of.unwrap_or("absent"));
        match (usage, spec, state) {
            (usage, ..) if usage != Some("ENCRYPT_DECRYPT") => Some(Self::Usage(word(usage))),
            (_, spec, _) if spec != Some("SYMMETRIC_DEFAULT") => Some(Self::Spec(word(spec))),
            (.., Some("Enabled")) => None,
            (.., Some("Creating" | "Updating")) => Some(Self::NotReady(word(state))),
            _ => Some(Self::State(word(state))),
        }
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(state) | Self::NotReady(state) => write!(f, "its KeyState is {state}"),
            Self::Usage(usage) => write!(f, "its KeyUsage is {usage}, not ENCRYPT_DECRYPT"),
            Self::Spec(spec) => write!(f, "its KeySpec is {spec}, not SYMMETRIC_DEFAULT"),
            Self::Region(region) => write!(f, "it is a key of Region {region}"),
        }
    }
}

/// The answer to "which key is this, and can it be used".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyLookup {
    /// KMS knows it.
    Found(KeyInfo),
    /// KMS does not know it.
    NotFound,
    /// KMS would not say: our role may not call DescribeKey on it.
    Denied {
        /// The code as KMS gave it.
        code: EventText,
        /// Its words, whole.
        words: EventText,
    },
}

/// `StreamStatus` of Kinesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamStatus {
    /// Just made; nothing can be set yet.
    Creating,
    /// Ready.
    Active,
    /// A change is under way; reads and writes go on.
    Updating,
    /// Going away.
    Deleting,
    /// A status that this version does not know, and never acts on.
    Unknown(EventText),
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Unknown(text) => text.as_str(),
        })
    }
}

/// The stream's setting: what DescribeStreamSummary says of its encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// `NONE`, or absent, which means the same (it is optional in the API's model).
    None,
    /// `KMS` with the key as it was given to Start.
    Kms(KeyRef),
    /// A type or a key id that this version cannot read; never acted on.
    Unreadable(EventText),
}

impl Encryption {
    /// The key, as it was given to Start.
    pub fn key(&self) -> Option<&KeyRef> {
        match self {
            Self::Kms(key) => Some(key),
            Self::None | Self::Unreadable(_) => None,
        }
    }

    /// By `EncryptionType` and `KeyId`.
    pub fn read(kind: Option<&str>, key: Option<&str>) -> Self {
        match kind {
            None | Some("NONE") => Self::None,
            Some("KMS") => {
                let key = key.unwrap_or_default();
                let unreadable = || Self::Unreadable(EventText::new(&format!("KMS with KeyId `{key}`")));
                KeyRef::parse(key).map_or_else(unreadable, Self::Kms)
            }
            Some(other) => Self::Unreadable(EventText::new(other)),
        }
    }
}

/// Tags of a stream.
pub type Tags = BTreeMap<String, String>;

/// One observation of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Its status.
    pub status: StreamStatus,
    /// Its setting.
    pub encryption: Encryption,
    /// `StreamCreationTimestamp`: with the ARN it distinguishes a stream from a later one of the same name.
    pub created: Timestamp,
    /// `RetentionPeriodHours`: how long its records stay.
    pub retention_hours: u32,
    /// When we observed.
    pub at: Timestamp,
}

/// How a stream's encryption is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProofMode {
    /// A small record is put into the stream and the answer's `EncryptionType` read.
    Probe,
    /// A record that somebody else put is read and its `EncryptionType` observed; nothing is written.
    Observe,
    /// The setting alone.
    Describe,
}

/// Whether the function may change streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Mode {
    /// Evidence only.
    Report,
    /// Evidence and repair.
    Enforce,
    /// Evidence and the proof that the rule asks for; no repair. For the command line alone: no variable says it.
    Prove,
}

impl Mode {
    /// The word in evidence and in texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Enforce => "enforce",
            Self::Prove => "prove",
        }
    }
}
