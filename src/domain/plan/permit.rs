//! Whether a change that is right may be made now.

use jiff::{SignedDuration, Timestamp};

use super::situation::CurrentKey;
use crate::domain::bounds::later;
use crate::domain::cause::{Cause, Creator};
use crate::domain::history::Contention;
use crate::domain::model::{KeyManager, Mode};
use crate::domain::policy::{Existing, Policy, Target};
use crate::domain::verdict::Withheld;

/// The event of a CreateStream and the stream's creation are not further apart than this.
pub const SAME_BIRTH: SignedDuration = SignedDuration::from_mins(5);
/// What a stream's first minutes may take before its creator's next calls; Terraform gives up on a create after 5 minutes.
/// A wake-up that does not know when the stream became ACTIVE takes it for settling until settle time plus this.
pub const BIRTH_MAX: SignedDuration = SignedDuration::from_mins(15);

/// Whether a change may be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Yes.
    Allowed,
    /// Its creator is still at work on it, or somebody may be undoing our changes: not before this time.
    Settling(Timestamp),
    /// No.
    Withheld(Withheld),
    /// No: somebody undoes our changes, as these words tell.
    Contested(String),
    /// It cannot be told, and this is why.
    Unknown(String),
}

/// What [`permit`] weighs.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The mode in force.
    pub mode: Mode,
    /// The policy, for `enforce_from` and `settle`.
    pub policy: &'a Policy,
    /// What woke the run.
    pub cause: &'a Cause,
    /// When the stream was made.
    pub created: Timestamp,
    /// When it was first seen ACTIVE, by this run or one before.
    pub active_since: Timestamp,
    /// What CloudTrail's history says of it; [`Contention::Clear`] where it was not asked.
    pub contention: &'a Contention,
    /// Now.
    pub now: Timestamp,
}

/// Whether the change from `current` to a key of `target_manager` may be made. Settling comes first: a stream whose
/// creator may be about to encrypt it is not reported either.
pub fn permit(
    target: &Target,
    current: Option<&CurrentKey>,
    target_manager: KeyManager,
    circumstances: &Circumstances<'_>,
) -> Permission {
    let Circumstances { mode, policy, cause, created, active_since, contention, now } = *circumstances;
    if mode == Mode::Prove {
        // Whoever asks for a proof wants to know now.
        return Permission::Withheld(Withheld::ProveOnly);
    }
    let settled = settled_at(policy, cause, created, active_since);
    if now < settled {
        return Permission::Settling(settled);
    }
    if mode == Mode::Report {
        return Permission::Withheld(Withheld::ReportMode);
    }
    if is_only_reported(target, policy, created) {
        return Permission::Withheld(Withheld::Existing);
    }
    if is_downgrade(target, current, target_manager) {
        return Permission::Withheld(Withheld::Downgrade);
    }
    match contention {
        Contention::Clear => Permission::Allowed,
        Contention::Wait(until) if now < *until => Permission::Settling(*until),
        Contention::Wait(_) => Permission::Allowed,
        Contention::Contested(who) => Permission::Contested(who.clone()),
        Contention::Unknown(why) => Permission::Unknown(why.clone()),
    }
}

/// Whether the change would go from a customer-managed key to an AWS-managed one, and the rule does not say that it may.
pub fn is_downgrade(target: &Target, current: Option<&CurrentKey>, target_manager: KeyManager) -> bool {
    // A key that KMS does not know any more counts as a customer's: only those can be deleted.
    let from_customer = current.is_some_and(|c| c.info.as_ref().is_none_or(|i| i.manager == KeyManager::Customer));
    from_customer && target_manager == KeyManager::Aws && !target.replace_customer_key
}

/// Whether the stream is older than `enforce_from` and its rule reports existing streams: nothing is changed there, and so no key is
/// put back either.
pub fn is_only_reported(target: &Target, policy: &Policy, created: Timestamp) -> bool {
    target.existing == Existing::Report && policy.enforce_from.is_some_and(|from| created < from)
}

/// Until when a stream is left to its creator: its settle time from when it was first seen ACTIVE, and not beyond its
/// first minutes. A wake-up that does not say who made the stream waits as long as any creator may need.
fn settled_at(policy: &Policy, cause: &Cause, created: Timestamp, active_since: Timestamp) -> Timestamp {
    // The creator of an event that is not about this stream's birth says nothing of this stream.
    let born = |at: Timestamp| created.duration_since(at).abs() < SAME_BIRTH;
    let settle = match cause.creator.filter(|_| cause.at.is_some_and(born)) {
        Some(Creator::Terraform) => policy.settle.terraform,
        Some(Creator::CloudFormation) => policy.settle.cloudformation,
        Some(Creator::Pulumi) => policy.settle.pulumi,
        Some(Creator::Other) => policy.settle.other,
        None => policy.settle.longest(),
    };
    later(active_since, settle).min(later(later(created, BIRTH_MAX), settle))
}
