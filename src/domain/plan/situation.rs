//! How an ACTIVE stream stands with the policy: which keys have to be known for that, and what follows from what KMS says of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::arn::{KeyRef, Scope};
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem, Observed};
use crate::domain::policy::{Accept, Exemption, Existing, Outcome, Target};
use crate::domain::text::EventText;
use crate::domain::verdict::{Action, Compliance, Reason, Verdict};

/// How an ACTIVE stream stands with the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Situation {
    /// A rule exempts it.
    Exempt(Exemption),
    /// No rule matches it.
    Unmatched,
    /// The rule's key cannot be named, for want of a tag: why.
    Unresolvable(String),
    /// KMS does not know the rule's key, or would not say, and the stream is not encrypted.
    NoSuchKey {
        /// Why, in words.
        why: String,
        /// KMS would not say.
        denied: bool,
    },
    /// The rule's key cannot be used now; the key that the stream is on, where that is known.
    TargetUnusable(KeyIdentity, KeyProblem, Option<KeyIdentity>),
    /// The rule's key will be usable in a moment.
    TargetNotReady(KeyIdentity, KeyProblem),
    /// The stream's own key, or one that the rule accepts, cannot be checked: why.
    Unreadable(String),
    /// On an accepted key that cannot be used now.
    AcceptedUnusable(KeyIdentity, KeyProblem),
    /// On the rule's key, or on an accepted one.
    Right {
        /// The key it is on.
        key: KeyIdentity,
        /// Not the rule's key but one that it accepts.
        accepted: bool,
    },
    /// On no key or on another one.
    Wrong(Wrong),
}

/// A stream on no key or on another one than its rule requires, with all that decides whether it may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The key to set.
    pub target: KeyIdentity,
    /// Who manages the key to set.
    pub target_manager: KeyManager,
    /// Where the stream is on: `None` when it is not encrypted.
    pub current: Option<CurrentKey>,
    /// What its rule says of streams that are older than `enforce_from`.
    pub existing: Existing,
    /// Whether its rule lets one of AWS's keys take the place of a customer's.
    pub replace_customer_key: bool,
    /// When the stream was made.
    pub created: Timestamp,
    /// When it was observed.
    pub at: Timestamp,
}

impl Wrong {
    /// What is wrong with it.
    pub fn reason(&self) -> Reason {
        match &self.current {
            None => Reason::NotEncrypted,
            Some(CurrentKey { foreign: Some(_), .. }) => Reason::ForeignKey,
            Some(CurrentKey { foreign: None, .. }) => Reason::WrongKey,
        }
    }

    /// The same in words.
    pub fn words(&self) -> String {
        let Self { target, current, .. } = self;
        match current {
            None => format!("the stream is not encrypted; its rule requires {target}"),
            Some(CurrentKey { key, foreign: Some(account), .. }) => format!(
                "the stream is on the key {key} of account {account}, which its rule does not name; its rule requires \
                 {target}"
            ),
            Some(CurrentKey { key, foreign: None, .. }) => {
                format!("the stream is on the key {key}; its rule requires {target}")
            }
        }
    }

    /// What is said of it where a run may change it and has not.
    pub fn verdict(&self) -> Verdict {
        Verdict::new(Compliance::NonCompliant, self.reason(), self.words()).would(self.action(), None)
    }

    /// What is to be done about it.
    pub fn action(&self) -> Action {
        if self.current.is_none() { Action::Encrypt } else { Action::Rekey }
    }

    /// Whether the change would go from a customer-managed key to an AWS-managed one, and the rule does not say that it may.
    pub fn is_downgrade(&self) -> bool {
        // A key that KMS does not know any more counts as a customer's: only those can be deleted.
        let from_customer =
            self.current.as_ref().is_some_and(|c| c.info.as_ref().is_none_or(|i| i.manager == KeyManager::Customer));
        from_customer && self.target_manager == KeyManager::Aws && !self.replace_customer_key
    }

    /// What to warn of where a stream, observed as `before`, leaves its key: records stay under the key that they were put with, and where
    /// that one cannot be used any more, they cannot be read.
    pub fn old_records(&self, before: Option<&Observed>) -> Option<String> {
        let (current, before) = (self.current.as_ref()?, before?);
        let why = match (&current.info, &current.foreign) {
            (Some(KeyInfo { problem: Some(problem), .. }), _) => format!("cannot be used: {problem}"),
            (Some(KeyInfo { problem: None, .. }), _) => return None,
            (None, Some(account)) => format!("belongs to account {account} and is not known here"),
            (None, None) => "is no longer known to KMS".to_owned(),
        };
        let Encryption::Kms(key) = &before.encryption else { return None };
        let hours = before.retention_hours;
        Some(format!(
            "the previous key {key} {why}; records encrypted with it cannot be read until it can be used, and expire \
             within {hours} hours"
        ))
    }
}

impl Situation {
    /// Whether the stream is on the very key of its rule, which cannot be used.
    pub fn is_on_unusable_target(&self) -> bool {
        matches!(self, Self::TargetUnusable(target, _, current) if current.as_ref() == Some(target))
    }

    /// Whether the stream is without encryption, or on a key that cannot be used or is not known.
    pub fn is_unprotected(&self) -> bool {
        match self {
            Self::Wrong(Wrong { current: Some(CurrentKey { info: Some(info), .. }), .. }) => info.problem.is_some(),
            Self::Wrong(_) | Self::NoSuchKey { .. } | Self::TargetUnusable(..) | Self::AcceptedUnusable(..) => true,
            Self::Exempt(_)
            | Self::Unmatched
            | Self::Unresolvable(_)
            | Self::TargetNotReady(..)
            | Self::Unreadable(_)
            | Self::Right { .. } => false,
        }
    }
}

/// The key of a stream that is on another one than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentKey {
    /// As the stream's setting names it.
    pub key: KeyRef,
    /// What KMS knows of it; `None` when it does not know it (any more), or would not say it of a foreign key.
    pub info: Option<KeyInfo>,
    /// The key's account, where it is not the stream's and nothing in the rule names it: its owner can take the data away.
    pub foreign: Option<String>,
}

impl CurrentKey {
    /// Its ARN, or as the stream's setting names it.
    pub fn as_str(&self) -> &str {
        self.info.as_ref().map_or(self.key.as_str(), |info| info.identity.as_str())
    }
}

/// The keys that were looked up so far.
pub type Keys = BTreeMap<KeyRef, KeyLookup>;

/// The next key that [`assess`] has to know; `None` when it knows enough. Asked again after each lookup, so that no key
/// is looked up that does not matter.
pub fn key_needed(outcome: &Outcome, encryption: &Encryption, keys: &Keys, own: &Scope) -> Option<KeyRef> {
    let target = outcome.target()?;
    let Some(looked_up) = keys.get(&target.key) else { return Some(target.key.clone()) };
    let (Encryption::Kms(current), KeyLookup::Found(found)) = (encryption, looked_up) else { return None };
    if identity_of(current, keys, own).as_ref() == Some(&found.identity) {
        return None;
    }
    if !keys.contains_key(current) {
        return Some(current.clone());
    }
    target.accept.iter().find_map(|accept| match accept {
        Accept::Key(key) if identity_of(key, keys, own).is_none() && !keys.contains_key(key) => Some(key.clone()),
        Accept::Key(_) | Accept::CustomerManaged { .. } | Accept::AwsManaged => None,
    })
}

/// What was looked up of the keys that matter for one stream: its rule's, its own, and those that its rule accepts.
pub fn keys_of(outcome: &Outcome, encryption: &Encryption, keys: &Keys) -> Keys {
    let Some(target) = outcome.target() else { return Keys::new() };
    let matter = keys_that_matter(target, Some(encryption));
    matter.filter_map(|key| Some((key.clone(), keys.get(key)?.clone()))).collect()
}

/// The rule's key, the one that the stream is on, and those that the rule accepts.
pub fn keys_that_matter<'a>(
    target: &'a Target,
    encryption: Option<&'a Encryption>,
) -> impl Iterator<Item = &'a KeyRef> {
    let accepted = target.accept.iter().filter_map(|accept| match accept {
        Accept::Key(key) => Some(key),
        Accept::CustomerManaged { .. } | Accept::AwsManaged => None,
    });
    std::iter::once(&target.key).chain(encryption.and_then(Encryption::key)).chain(accepted)
}

/// Which key a reference means, as far as it is known: what KMS said, or the ARN that it is itself.
pub fn identity_of(key: &KeyRef, keys: &Keys, own: &Scope) -> Option<KeyIdentity> {
    match keys.get(key) {
        Some(KeyLookup::Found(info)) => Some(info.identity.clone()),
        _ if key.is_aws_managed_alias(own) && keys.values().any(is_unborn_aws_key) => {
            Some(KeyIdentity::AwsManagedAlias)
        }
        _ => key.as_key_arn().map(KeyIdentity::Arn),
    }
}

/// The current material of a key, as far as KMS was asked and said so.
pub fn material_of(key: &KeyIdentity, keys: &Keys) -> Option<EventText> {
    keys.values().find_map(|lookup| match lookup {
        KeyLookup::Found(info) if info.identity == *key => info.material.clone(),
        KeyLookup::Found(_) | KeyLookup::NotFound | KeyLookup::Denied { .. } => None,
    })
}

fn is_unborn_aws_key(lookup: &KeyLookup) -> bool {
    matches!(lookup, KeyLookup::Found(KeyInfo { identity: KeyIdentity::AwsManagedAlias, .. }))
}

/// Compares an ACTIVE stream's setting with what its rule requires. `keys` has what [`key_needed`] asked for.
pub fn assess(outcome: &Outcome, observed: &Observed, keys: &Keys, own: &Scope) -> Situation {
    let encryption = &observed.encryption;
    let target = match outcome {
        Outcome::Exempt(exemption) => return Situation::Exempt(exemption.clone()),
        Outcome::Unmatched => return Situation::Unmatched,
        Outcome::Unresolvable(why) => return Situation::Unresolvable(why.clone()),
        Outcome::Encrypt(target) => target,
    };
    let desired = match keys.get(&target.key) {
        Some(KeyLookup::Found(info)) => info,
        Some(KeyLookup::NotFound) => {
            let why = format!("KMS does not know the key `{}`", target.key);
            return Situation::NoSuchKey { why, denied: false };
        }
        Some(KeyLookup::Denied { code, .. }) => {
            let why = format!("the key `{}` cannot be looked up ({code})", target.key);
            // A stream that is not encrypted is wrong whatever that key is; one that is may be right.
            return match encryption {
                Encryption::None => Situation::NoSuchKey { why, denied: true },
                Encryption::Kms(_) | Encryption::Unreadable(_) => Situation::Unreadable(why),
            };
        }
        None => return Situation::Unreadable(format!("the key `{}` was not looked up", target.key)),
    };
    let current_identity = encryption.key().and_then(|current| identity_of(current, keys, own));
    let on_target = current_identity.as_ref() == Some(&desired.identity);
    match &desired.problem {
        Some(KeyProblem::NotReady(state)) => {
            return Situation::TargetNotReady(desired.identity.clone(), KeyProblem::NotReady(state.clone()));
        }
        Some(problem) => {
            return Situation::TargetUnusable(desired.identity.clone(), problem.clone(), current_identity);
        }
        None => {}
    }
    let wrong = |current| {
        Situation::Wrong(Wrong {
            target: desired.identity.clone(),
            target_manager: desired.manager,
            current,
            existing: target.existing,
            replace_customer_key: target.replace_customer_key,
            created: observed.created,
            at: observed.at,
        })
    };
    match encryption {
        Encryption::None => wrong(None),
        Encryption::Unreadable(text) => Situation::Unreadable(format!("the setting cannot be read: {text}")),
        Encryption::Kms(_) if on_target => Situation::Right { key: desired.identity.clone(), accepted: false },
        Encryption::Kms(current) => {
            on_another_key((target, &desired.identity), current, keys, own, |current| wrong(Some(current)))
        }
    }
}

/// How a stream stands that is on another key than its rule's.
fn on_another_key(
    (target, desired): (&Target, &KeyIdentity),
    current: &KeyRef,
    keys: &Keys,
    own: &Scope,
    wrong: impl FnOnce(CurrentKey) -> Situation,
) -> Situation {
    let foreign = foreign_account(target, desired, current, keys, own);
    let info = match keys.get(current) {
        Some(KeyLookup::Found(info)) => Some(info),
        Some(KeyLookup::NotFound) => None,
        // Whatever it is: it is none of those that the rule names.
        Some(KeyLookup::Denied { .. }) if foreign.is_some() => None,
        Some(KeyLookup::Denied { code, .. }) => {
            return Situation::Unreadable(format!("the stream's key `{current}` cannot be looked up ({code})"));
        }
        None => return Situation::Unreadable(format!("the stream's key `{current}` was not looked up")),
    };
    if let Some(info) = info {
        match accepts(target, info, keys, own) {
            Ok(true) => {
                return match &info.problem {
                    None | Some(KeyProblem::NotReady(_)) => {
                        Situation::Right { key: info.identity.clone(), accepted: true }
                    }
                    Some(problem) => Situation::AcceptedUnusable(info.identity.clone(), problem.clone()),
                };
            }
            Ok(false) => {}
            Err(why) => return Situation::Unreadable(why),
        }
    }
    wrong(CurrentKey { key: current.clone(), info: info.cloned(), foreign })
}

/// The account of the stream's key, where that is neither the stream's own nor one that the rule names: by its key, by a key that it
/// accepts, or in the list of `customer-managed`.
fn foreign_account(
    target: &Target,
    desired: &KeyIdentity,
    current: &KeyRef,
    keys: &Keys,
    own: &Scope,
) -> Option<String> {
    let account_of = |key: &KeyRef| match identity_of(key, keys, own) {
        Some(identity) => identity.account().map(str::to_owned),
        None => key.account().map(str::to_owned),
    };
    let account = account_of(current).filter(|account| *account != own.account)?;
    let by_target = desired.account() == Some(&account) || target.key.account() == Some(&account);
    let named = by_target
        || target.accept.iter().any(|accept| match accept {
            Accept::Key(key) => account_of(key).as_ref() == Some(&account) || key.account() == Some(&account),
            Accept::CustomerManaged { of } => of.contains(&account),
            Accept::AwsManaged => false,
        });
    (!named).then_some(account)
}

/// Whether the rule accepts a stream on this key. An accepted key that cannot be observed leaves it open.
fn accepts(target: &Target, current: &KeyInfo, keys: &Keys, own: &Scope) -> Result<bool, String> {
    let mut unknown = None;
    for accept in &target.accept {
        let accepted = match accept {
            Accept::CustomerManaged { of } => {
                let account = current.identity.account();
                let is_named = account.is_some_and(|account| account == own.account || of.iter().any(|a| a == account));
                current.manager == KeyManager::Customer && is_named
            }
            Accept::AwsManaged => current.manager == KeyManager::Aws,
            Accept::Key(key) => {
                let identity = identity_of(key, keys, own);
                if let (None, Some(KeyLookup::Denied { code, .. })) = (&identity, keys.get(key)) {
                    unknown = Some(format!("the accepted key `{key}` cannot be looked up ({code})"));
                }
                identity.as_ref() == Some(&current.identity)
            }
        };
        if accepted {
            return Ok(true);
        }
    }
    unknown.map_or(Ok(false), Err)
}
