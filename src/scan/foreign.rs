//! Keys of other accounts: whether the policy names the one that a scan was asked for.
//!
//! What somebody forwards from another account is a reason to check only where a rule names that key, by its ARN or by an
//! alias's. It asks KMS about aliases alone, and where KMS does not say, the key may be meant: a scan changes nothing.

use super::look_up;
use crate::domain::event::RejectReason;
use crate::domain::model::KeyLookup;
use crate::domain::policy::NamedKey;
use crate::domain::scan::{Scan, Subject};
use crate::domain::text::EventText;
use crate::ports::World;
use crate::reconcile::Settings;

/// Why a scan that was asked for must not be made: it is about a key or an alias of another account that no rule names.
pub async fn not_named<W: World>(world: &W, scan: &Scan, settings: &Settings<'_>) -> Option<RejectReason> {
    let own = &settings.config.own;
    match &scan.subject {
        Subject::Fleet | Subject::Aliases => None,
        Subject::Alias(alias) => {
            let is_foreign = alias.account().is_some_and(|account| account != own.account);
            (is_foreign && !settings.policy.names_alias(alias, own))
                .then(|| RejectReason::ForeignKey(EventText::new(alias.as_str())))
        }
        Subject::Key(key, _) if key.account() == own.account => None,
        Subject::Key(key, _) => {
            for named in settings.policy.keys_of(key.account()) {
                let may_be_it = match named {
                    NamedKey::Key(named) => named == *key,
                    // One that is gone, or that we may not look up, may have been an alias of this key.
                    NamedKey::Alias(alias) => match look_up(world, alias.as_str()).await {
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
