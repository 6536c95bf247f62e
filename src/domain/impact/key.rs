//! What was read of a key, and of a principal's own policies.

use crate::domain::access::document::Document;
use crate::domain::access::grant::Grant;
use crate::domain::arn::KeyArn;
use crate::domain::model::{KeyIdentity, KeyManager};

/// What is known of a key. What could not be read has the reason instead.
#[derive(Clone, Debug)]
pub struct KeyFacts {
    /// Which key.
    pub identity: KeyIdentity,
    /// Who manages it.
    pub manager: KeyManager,
    /// Its policy.
    pub policy: Result<Document, String>,
    /// Its grants.
    pub grants: Result<Vec<Grant>, String>,
}

impl KeyFacts {
    /// Its ARN; `None` for the AWS-managed key while KMS has not made it.
    pub fn arn(&self) -> Option<&KeyArn> {
        match &self.identity {
            KeyIdentity::Arn(arn) => Some(arn),
            KeyIdentity::AwsManagedAlias => None,
        }
    }
}

/// The stream's setting, with what is known of its key.
#[derive(Clone, Debug)]
pub enum Setting {
    /// No encryption.
    Unencrypted,
    /// Encrypted with this key.
    Key(KeyFacts),
    /// It is not known with which key.
    Unknown(String),
}

/// What the policies of a principal's own account say of a call, as IAM's simulator answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// They allow it.
    Allowed,
    /// No statement allows it.
    ImplicitDeny,
    /// A statement of these policies denies it.
    ExplicitDeny(Vec<String>),
    /// The permissions boundary does not allow it.
    Boundary,
    /// A policy of the organization does not allow it.
    Organization,
    /// IAM does not know the principal: it was deleted.
    Gone,
    /// It is not known, for this reason.
    Unknown(String),
}
