//! Whether a change that is right may be made now.

use jiff::{SignedDuration, Timestamp};

use super::situation::Wrong;
use crate::domain::bounds::later;
use crate::domain::cause::{Cause, Creator};
use crate::domain::history::Contention;
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::policy::{Existing, Policy};
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
    /// Its creator is still at work on it: not before this time.
    Settling(Timestamp),
    /// Somebody may be undoing our changes, and CloudTrail's history does not show it yet: not before this time.
    NotShownYet(Timestamp),
    /// No.
    Withheld {
        /// Why.
        why: Withheld,
        /// Why a run in the mode `enforce` would not do it either, as far as that is known here.
        enforced: Option<Withheld>,
    },
    /// No: somebody undoes our changes, as these words report.
    Contested(String),
    /// It cannot be determined, and this is why.
    Unknown(String),
    /// Nothing else speaks against it: CloudTrail's history has to be asked.
    Unweighed,
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
    /// When the stream was first observed ACTIVE, where that was before this observation.
    pub active_since: Option<Timestamp>,
    /// The one key that a person agreed to, where there is a plan.
    pub planned: Option<&'a KeyIdentity>,
    /// Now.
    pub now: Timestamp,
}

/// Whether the stream may be given its rule's key. Settling comes first: a stream whose creator may be about to encrypt it is not
/// reported either. What somebody else does comes last, since CloudTrail is asked for it.
pub fn permit(wrong: &Wrong, circumstances: &Circumstances<'_>) -> Permission {
    let Circumstances { mode, policy, cause, active_since, now, .. } = *circumstances;
    if mode == Mode::Prove {
        // Whoever asks for a proof wants to know now.
        return Permission::Withheld { why: Withheld::ProveOnly, enforced: by_policy(wrong, circumstances) };
    }
    let settled = settled_at(policy, cause, wrong.created, active_since.unwrap_or(wrong.at));
    if now < settled {
        return Permission::Settling(settled);
    }
    match (mode, by_policy(wrong, circumstances)) {
        (Mode::Report, enforced) => Permission::Withheld { why: Withheld::ReportMode, enforced },
        (Mode::Enforce | Mode::Prove, Some(why)) => Permission::Withheld { why, enforced: Some(why) },
        (Mode::Enforce | Mode::Prove, None) => Permission::Unweighed,
    }
}

/// Why the policy, or the plan that a person agreed to, does not let the stream be changed, whatever the mode is.
fn by_policy(wrong: &Wrong, circumstances: &Circumstances<'_>) -> Option<Withheld> {
    let Circumstances { policy, planned, .. } = *circumstances;
    if is_only_reported(wrong.existing, policy, wrong.created) {
        return Some(Withheld::Existing);
    }
    if wrong.is_downgrade() {
        return Some(Withheld::Downgrade);
    }
    planned.is_some_and(|planned| *planned != wrong.target).then_some(Withheld::PlanOutOfDate)
}

/// What CloudTrail's history says of a change against which nothing else speaks.
pub fn by_history(contention: &Contention, now: Timestamp) -> Permission {
    match contention {
        Contention::Clear => Permission::Allowed,
        Contention::Wait(until) if now < *until => Permission::NotShownYet(*until),
        Contention::Wait(_) => Permission::Allowed,
        Contention::Contested(who) => Permission::Contested(who.clone()),
        Contention::Unknown(why) => Permission::Unknown(why.clone()),
    }
}

/// Whether a stream is older than `enforce_from` and its rule reports existing streams: nothing is changed there, and so no key is put
/// back either.
pub fn is_only_reported(existing: Existing, policy: &Policy, created: Timestamp) -> bool {
    existing == Existing::Report && policy.enforce_from.is_none_or(|from| created < from)
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
