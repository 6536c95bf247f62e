//! Whether a scan that was asked for has to be made: by what its key or alias is, and whether the policy names it.
//!
//! What somebody forwards from another account is a reason to check only where a rule names that key, by its ARN or by an alias's. KMS is
//! asked about aliases and keys alone, and where it does not say, the scan is made: it changes nothing.

use super::observe::Observer;
use super::session::Session;
use crate::domain::arn::{AWS_MANAGED_ALIAS, KeyArn, KeyRef};
use crate::domain::event::reason::{IgnoreReason, RejectReason};
use crate::domain::model::{KeyInfo, KeyLookup, KeyManager, KeyProblem};
use crate::domain::policy::NamedKey;
use crate::domain::scan::Scan;
use crate::domain::scan::subject::Subject;
use crate::domain::text::EventText;
use crate::ports::{CallLog, KeyApi};

/// The scan to make of one that was asked for, or why none need be made: its key or alias can be no stream's. Where that is not
/// known, it is made.
///
/// # Errors
/// Why it need not be made.
pub async fn of_concern<W: KeyApi>(world: &W, scan: Scan, session: &Session<'_>) -> Result<Scan, IgnoreReason> {
    let Session { config, policy, .. } = *session;
    match &scan.subject {
        Subject::Fleet | Subject::Aliases => Ok(scan),
        Subject::Alias { alias } if policy.names_alias(alias, &config.own) => Ok(scan),
        // A stream's setting may name it.
        Subject::Alias { .. } if policy.accepts_others() && !scan.cause.is_a_new_alias() => Ok(scan.of_all_aliases()),
        Subject::Alias { alias } => Err(IgnoreReason::OtherAlias(EventText::new(alias.as_str()))),
        Subject::Key { key, .. } if is_no_streams_key(&Observer::of_run(world, session), key).await => {
            Err(IgnoreReason::OtherKey(EventText::new(key.as_str())))
        }
        Subject::Key { .. } => Ok(scan),
    }
}

/// Whether no stream can be encrypted with a key; where KMS does not say, it may be.
async fn is_no_streams_key<W: KeyApi>(observer: &Observer<'_, W>, key: &KeyArn) -> bool {
    let Some(KeyLookup::Found(KeyInfo { manager, problem, .. })) = look_up(observer, key.as_str()).await else {
        return false;
    };
    match (manager, problem) {
        (_, Some(KeyProblem::Usage(_) | KeyProblem::Spec(_) | KeyProblem::Region(_))) => true,
        // Of AWS's own keys a stream can have one only.
        (KeyManager::Aws, _) => {
            let kinesis = look_up(observer, AWS_MANAGED_ALIAS).await;
            matches!(kinesis, Some(KeyLookup::Found(info)) if !info.identity.is(key))
        }
        (KeyManager::Customer, _) => false,
    }
}

async fn look_up<W: KeyApi>(observer: &Observer<'_, W>, key: &str) -> Option<KeyLookup> {
    observer.ask_again(&KeyRef::parse(key)?, &CallLog::default()).await.ok()
}

/// Why a scan that was asked for must not be made: it is about a key or an alias of another account that no rule names.
pub async fn not_named<W: KeyApi>(world: &W, scan: &Scan, session: &Session<'_>) -> Option<RejectReason> {
    let own = &session.config.own;
    match &scan.subject {
        Subject::Fleet | Subject::Aliases => None,
        Subject::Alias { alias } => {
            let is_foreign = alias.account().is_some_and(|account| account != own.account);
            (is_foreign && !session.policy.names_alias(alias, own))
                .then(|| RejectReason::ForeignKey(EventText::new(alias.as_str())))
        }
        Subject::Key { key, .. } if key.account() == own.account => None,
        Subject::Key { key, .. } => {
            let observer = Observer::of_run(world, session);
            for named in session.policy.keys_of(key.account()) {
                let may_be_it = match named {
                    NamedKey::Key(named) => named == *key,
                    // One that is gone, or that we may not look up, may have been an alias of this key.
                    NamedKey::Alias(alias) => match look_up(&observer, alias.as_str()).await {
                        Some(KeyLookup::Found(info)) => info.identity.is(key),
                        Some(KeyLookup::NotFound | KeyLookup::Denied { .. }) | None => true,
                    },
                    NamedKey::SomeAlias => true,
                };
                if may_be_it {
                    return None;
                }
            }
            Some(RejectReason::ForeignKey(EventText::new(key.as_str())))
        }
    }
}
