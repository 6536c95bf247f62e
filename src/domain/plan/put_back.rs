//! When the key before a re-key of ours may be put back. Pure: what the work message says, and what KMS says now.
//!
//! It is a way out of a re-key that made a stream unwritable, and no way round the guard against downgrades: whoever makes a key
//! unusable later may mean it.

use jiff::{SignedDuration, Timestamp};

use crate::domain::arn::KeyArn;
use crate::domain::model::{KeyInfo, KeyLookup, KeyManager, ProofMode};

/// So long after our Start a key that turns out unusable is put down to that Start. Later somebody else made it unusable.
pub const PUT_BACK_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How far the clock of the instance that sent the Start may be ahead.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_mins(1);

/// Whether our Start, sent at `started_at`, is so young that the key before it may be put back.
pub fn is_in_time(started_at: Option<Timestamp>, now: Timestamp) -> bool {
    started_at.map(|at| now.duration_since(at)).is_some_and(|age| age <= PUT_BACK_WITHIN && age >= -CLOCK_SLACK)
}

/// Whether a probe has to show that the stream cannot be written, before the key before is put back: only a refused record of ours says so.
/// Without such a key, or where no probe may be sent, KMS's word about the stream's key is all there is.
pub fn needs_probe(mode: ProofMode, previous: Option<&KeyArn>) -> bool {
    mode == ProofMode::Probe && previous.is_some()
}

/// Whether a stream may go back from the key that it is on to the one before, by what KMS says of both now: that one has to be usable,
/// and is not AWS's own where the other is a customer's. A key that KMS does not know any more, or does not report, counts as a customer's.
pub fn is_allowed(on: Option<&KeyLookup>, before: &KeyLookup) -> bool {
    let KeyLookup::Found(KeyInfo { manager, problem: None, .. }) = before else { return false };
    let from_aws = matches!(on, Some(KeyLookup::Found(KeyInfo { manager: KeyManager::Aws, .. })));
    from_aws || *manager == KeyManager::Customer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model::{KeyIdentity, KeyProblem};
    use crate::domain::text::EventText;

    fn key(manager: KeyManager, problem: Option<KeyProblem>) -> KeyLookup {
        KeyLookup::Found(KeyInfo::new(KeyIdentity::AwsManagedAlias, manager, problem))
    }

    #[test]
    fn only_soon_after_our_own_start() {
        let now: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let ago = |seconds| is_in_time(Some(now - SignedDuration::from_secs(seconds)), now);
        let rows = [(0, true), (900, true), (901, false), (-60, true), (-61, false), (86_400, false)];
        for (seconds, expect) in rows {
            assert_eq!(ago(seconds), expect, "{seconds} s ago");
        }
        assert!(!is_in_time(None, now));
        assert!(!is_in_time(Some(Timestamp::MIN), now) && !is_in_time(Some(Timestamp::MAX), now));
    }

    #[test]
    fn a_probe_is_sent_where_it_may_be_and_there_is_a_key_to_put_back() {
        let previous = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/old").unwrap();
        for (mode, previous, expect) in [
            (ProofMode::Probe, Some(&previous), true),
            (ProofMode::Probe, None, false),
            (ProofMode::Observe, Some(&previous), false),
            (ProofMode::Describe, Some(&previous), false),
        ] {
            assert_eq!(needs_probe(mode, previous), expect, "{mode:?} {previous:?}");
        }
    }

    #[test]
    fn never_from_a_customers_key_to_one_of_awss_own() {
        let (customer, aws) = (key(KeyManager::Customer, None), key(KeyManager::Aws, None));
        let (code, words) = (EventText::new("AccessDeniedException"), EventText::new("no"));
        let denied = KeyLookup::Denied { code, words };
        let rows = [
            (Some(&customer), &customer, true),
            (Some(&customer), &aws, false),
            (Some(&aws), &customer, true),
            (Some(&aws), &aws, true),
            // Only a customer's key can be gone.
            (Some(&KeyLookup::NotFound), &aws, false),
            (Some(&KeyLookup::NotFound), &customer, true),
            (Some(&denied), &aws, false),
            (None, &aws, false),
            (Some(&customer), &denied, false),
            (Some(&customer), &KeyLookup::NotFound, false),
        ];
        for (on, before, expect) in rows {
            assert_eq!(is_allowed(on, before), expect, "{on:?} {before:?}");
        }
        let disabled = key(KeyManager::Customer, Some(KeyProblem::State(EventText::new("Disabled"))));
        assert!(!is_allowed(Some(&customer), &disabled));
    }
}
