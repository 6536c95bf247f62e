//! What to do next with one stream: the state table, as one pure and exhaustive function, and the facts it reads.
//!
//! [`assess`] compares what is with what the policy wants, [`permit`] says whether a change is allowed now, [`next_step`]
//! names the one next step, [`judge_probe`] and [`judge_seen`] read a proof. Nothing here calls anything; a status that
//! this version does not know is never acted on.

mod proof;
mod situation;

use jiff::{SignedDuration, Timestamp};

pub use self::proof::{Judgement, Refusal, judge_probe, judge_refusal, judge_seen};
pub use self::situation::{CurrentKey, Keys, Situation, assess, identity_of, key_needed, keys_of, material_of};
use super::bounds::later;
use super::event::{Cause, Creator};
use super::evidence::Compliance;
use super::failure::{Class, Failure};
use super::history::Contention;
use super::model::{EventText, KeyIdentity, KeyManager, Mode, Observed, ProofMode, StreamStatus};
use super::policy::{Existing, Policy, Target};

/// A stream created less than this ago is *new*, for proofs and guards.
pub const NEW: SignedDuration = SignedDuration::from_hours(1);
/// "Within 5 seconds after ACTIVE" every record is encrypted (Kinesis API reference, StartStreamEncryption).
pub const PROPAGATION: SignedDuration = SignedDuration::from_secs(5);
/// A probe that still says `NONE` this long after [`PROPAGATION`] is believed.
pub const PROBE_MARGIN: SignedDuration = SignedDuration::from_secs(3);
/// How long `observe` waits for somebody's record, after [`PROPAGATION`].
pub const OBSERVE_WINDOW: SignedDuration = SignedDuration::from_secs(10);
/// A stream that stays ACTIVE with another setting this long after our Start was changed by somebody else.
pub const OVERTAKEN_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// Right after CreateStream a describe may not know the stream yet; after this it is believed.
pub const NOT_FOUND_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A stream that is not found is described once more, so long after, before that is believed: one part of the service may be behind.
pub const NOT_FOUND_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How late CloudTrail's records were seen to come (recorded: 60 to 118 s), and so how old a creation may be that we only hear of now.
pub const TRAIL_LAG: SignedDuration = SignedDuration::from_mins(3);
/// A refusal of Start that may be a rate or the quota is taken for a rate for so long after the first one.
pub const RATE_REFUSALS: SignedDuration = SignedDuration::from_secs(60);
/// So many accepted Starts of a stream's name in 24 hours mean that a refusal is the quota of 25 (Kinesis API reference,
/// StartStreamEncryption). Not 25: the history is minutes late and may lack some.
pub const NEAR_QUOTA: usize = 20;
/// The event of a CreateStream and the stream's creation are not further apart than this.
pub const SAME_BIRTH: SignedDuration = SignedDuration::from_mins(5);
/// What a stream's first minutes may take before its creator's next calls; Terraform gives up on a create after 5 minutes.
/// A wake-up that does not know when the stream became ACTIVE takes it for settling until settle time plus this.
pub const BIRTH_MAX: SignedDuration = SignedDuration::from_mins(15);

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// No such stream, or one that is being deleted.
    Gone,
    /// Another stream of the same name than the one that the work was for.
    Recreated,
    /// It was not found once, or is so young that the describe may be late.
    NotYet,
    /// CREATING or UPDATING.
    Busy,
    /// A status that this version does not know.
    Unknown(EventText),
    /// ACTIVE, and how it stands with the policy.
    Active(Situation),
}

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

/// Why a change that is right was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withheld {
    /// `MODE` is `report`.
    ReportMode,
    /// The stream is older than `enforce_from` and its rule reports existing streams.
    Existing,
    /// It would go from a customer-managed key to an AWS-managed one.
    Downgrade,
    /// The stream's 25 new keys a day are used up.
    Quota,
    /// Somebody else changed it back again and again.
    Contested,
    /// The run is there to prove alone.
    ProveOnly,
}

impl Withheld {
    /// The word in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReportMode => "report-mode",
            Self::Existing => "existing",
            Self::Downgrade => "downgrade",
            Self::Quota => "quota",
            Self::Contested => "contested",
            Self::ProveOnly => "prove-only",
        }
    }
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

/// What this run did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The one Start request, if it was sent.
    pub started: Option<Started>,
    /// Whether a proof is owed, and how fresh it has to be.
    pub proof: Owed,
    /// Since when, after the Start, the stream has been ACTIVE and still wrong, without a break.
    pub wrong_since: Option<Timestamp>,
    /// The key before a re-key of ours to a key that turned out unusable: this run is there to put it back, once.
    pub put_back: Option<KeyIdentity>,
    /// Whether that was done by a run before, so that this one may only prove it.
    pub was_put_back: bool,
}

/// A Start request that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// Kinesis answered that it accepted it. `false`: the answer was lost, and it may or may not have taken effect.
    pub acknowledged: bool,
}

/// Whether a proof is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    /// No.
    #[default]
    No,
    /// One made since the event is enough: it may be a repeated event of a stream that was proven.
    SinceTheEvent,
    /// One made now.
    Now,
}

/// The one next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Look again soon.
    Await(Condition),
    /// Send the one Start request.
    Start(KeyIdentity),
    /// Make the proof that is owed.
    Prove,
    /// The end of this run.
    Finish(Verdict),
    /// Not to be decided now; a later run has to look.
    LookLater(String),
    /// The stream is another one: forget what was owed to the old one.
    StartAfresh,
}

/// What is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// That the stream can be described.
    Exists,
    /// That it is ACTIVE.
    Active,
    /// That it is ACTIVE *and* KMS *and* on our key.
    Applied,
    /// That its creator has had its time.
    Settled(Timestamp),
}

impl Condition {
    /// The word in logs and evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Active => "active",
            Self::Applied => "applied",
            Self::Settled(_) => "settled",
        }
    }
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// AWS Config's word for it.
    pub compliance: Compliance,
    /// Why.
    pub reason: Reason,
    /// In words, for people.
    pub detail: String,
    /// The change that was not made, and why.
    pub withheld: Option<Withheld>,
    /// Whether somebody has to look.
    pub alarm: bool,
    /// When it is looked at again without being asked.
    pub again: Again,
}

/// Whether and when a finished stream is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// By the next event or sweep.
    No,
    /// After 15 minutes, then after 1 hour, then by the next sweep.
    Twice,
    /// After 1 hour, then every 4 hours.
    ForQuota,
}

/// Why a run ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The stream is gone.
    StreamGone,
    /// A rule exempts it.
    Exempt,
    /// No rule matches.
    Unmatched,
    /// The rule's key cannot be named or found.
    KeyUnresolvable,
    /// A key that the stream is on or should be on cannot be used.
    KeyUnusable,
    /// A key or a setting could not be looked at.
    Unreadable,
    /// On the rule's key.
    RightKey,
    /// On an accepted key.
    AcceptedKey,
    /// Wrong, and the change was withheld.
    Withheld,
    /// The same, on a key of another account that nothing in its rule names.
    ForeignKey,
    /// Wrong again after our Start.
    Overtaken,
    /// Wrong, and somebody undid our Starts again and again.
    Contested,
    /// Start was refused.
    StartRefused,
    /// The setting is right and records are not encrypted.
    Unproven,
    /// The proof could not be made.
    ProofImpossible,
    /// A record was read back without an `EncryptionType`.
    ProofUnclear,
    /// Nobody wrote a record to look at.
    Idle,
    /// Our Start put the stream on a key that turned out unusable, and no key before it can be put back.
    Unwritable,
    /// Our re-key turned out unusable, and the key before it was put back.
    PutBack,
    /// We may not look at the stream.
    AccessDenied,
    /// The deadline passed.
    GaveUp,
    /// Not at its end: it goes on in a later run.
    Unfinished,
    /// A scan found it wrong; a run of its own goes on with it, as far as the scan may hand on changes.
    Found,
}

impl Reason {
    /// The word in evidence and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamGone => "stream-gone",
            Self::Exempt => "exempt",
            Self::Unmatched => "unmatched",
            Self::KeyUnresolvable => "key-unresolvable",
            Self::KeyUnusable => "key-unusable",
            Self::Unreadable => "unreadable",
            Self::RightKey => "right-key",
            Self::AcceptedKey => "accepted-key",
            Self::Withheld => "withheld",
            Self::ForeignKey => "foreign-key",
            Self::Overtaken => "overtaken",
            Self::Contested => "contested",
            Self::StartRefused => "start-refused",
            Self::Unproven => "unproven",
            Self::ProofImpossible => "proof-impossible",
            Self::ProofUnclear => "proof-unclear",
            Self::Idle => "idle",
            Self::Unwritable => "unwritable",
            Self::PutBack => "put-back",
            Self::AccessDenied => "access-denied",
            Self::GaveUp => "gave-up",
            Self::Unfinished => "unfinished",
            Self::Found => "found",
        }
    }
}

impl Verdict {
    /// A verdict that nobody is woken for and that stands until something changes.
    pub fn new(compliance: Compliance, reason: Reason, detail: impl Into<String>) -> Self {
        Self { compliance, reason, detail: detail.into(), withheld: None, alarm: false, again: Again::No }
    }

    fn alarm(self) -> Self {
        Self { alarm: true, ..self }
    }

    fn again(self, again: Again) -> Self {
        Self { again, ..self }
    }
}

/// The state table. `permission` is asked for only where the stream is wrong and nothing was started.
pub fn next_step(sight: &Sight, progress: &Progress, permission: impl FnOnce() -> Permission, now: Timestamp) -> Step {
    use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
    let situation = match sight {
        Sight::Gone => {
            return Step::Finish(Verdict::new(
                NotApplicable,
                Reason::StreamGone,
                "the stream is gone or being deleted",
            ));
        }
        Sight::Recreated => return Step::StartAfresh,
        Sight::NotYet => return Step::Await(Condition::Exists),
        Sight::Unknown(status) => return Step::LookLater(format!("the stream's status `{status}` is not known")),
        Sight::Busy => return Step::Await(Condition::Active),
        Sight::Active(situation) => situation,
    };
    let verdict = match situation {
        Situation::Exempt => Verdict::new(NotApplicable, Reason::Exempt, "a rule exempts the stream"),
        Situation::Unmatched => Verdict::new(NonCompliant, Reason::Unmatched, "no rule matches the stream"),
        // A tag that comes later wakes us.
        Situation::Unresolvable(why) => Verdict::new(NonCompliant, Reason::KeyUnresolvable, why.as_str()),
        // An alias, a key policy or a permission that is made beside the stream may only be late.
        Situation::NoSuchKey(why) => {
            Verdict::new(NonCompliant, Reason::KeyUnresolvable, why.as_str()).alarm().again(Again::Twice)
        }
        Situation::TargetUnusable(target, problem, current) => {
            if let Some(step) = put_back_step(target, current.as_ref(), progress, now) {
                return step;
            }
            let detail = format!("the rule's key {target} cannot be used: {problem}");
            Verdict::new(NonCompliant, Reason::KeyUnusable, detail).alarm().again(Again::Twice)
        }
        Situation::TargetNotReady(key, problem) => {
            return Step::LookLater(format!("the rule's key {key} is not ready: {problem}"));
        }
        Situation::Unreadable(why) => {
            Verdict::new(InsufficientData, Reason::Unreadable, why.as_str()).alarm().again(Again::Twice)
        }
        Situation::AcceptedUnusable(key, problem) => {
            Verdict::new(NonCompliant, Reason::KeyUnusable, format!("the stream's key {key} cannot be used: {problem}"))
                .alarm()
                .again(Again::Twice)
        }
        Situation::Right { key, accepted } => match progress.proof {
            Owed::Now | Owed::SinceTheEvent => return Step::Prove,
            Owed::No if *accepted => {
                Verdict::new(Compliant, Reason::AcceptedKey, format!("encrypted with {key}, which the rule accepts"))
            }
            Owed::No => Verdict::new(Compliant, Reason::RightKey, format!("encrypted with {key}")),
        },
        Situation::Wrong { target, current, target_manager: _ } => match progress.started {
            None => match permission() {
                Permission::Allowed => return Step::Start(target.clone()),
                Permission::Settling(until) => return Step::Await(Condition::Settled(until)),
                Permission::Withheld(why) => {
                    let words = wrong_words(target, current.as_ref());
                    let verdict = match current.as_ref().and_then(|current| current.foreign.as_ref()) {
                        Some(_) => Verdict::new(NonCompliant, Reason::ForeignKey, words).alarm(),
                        None => Verdict::new(NonCompliant, Reason::Withheld, words),
                    };
                    Verdict { withheld: Some(why), ..verdict }
                }
                Permission::Contested(who) => {
                    let detail = format!("{}; {who}", wrong_words(target, current.as_ref()));
                    let verdict = Verdict::new(NonCompliant, Reason::Contested, detail).alarm();
                    Verdict { withheld: Some(Withheld::Contested), ..verdict }
                }
                Permission::Unknown(why) => {
                    let detail = format!("{}; {why}", wrong_words(target, current.as_ref()));
                    Verdict::new(InsufficientData, Reason::Unreadable, detail).alarm().again(Again::Twice)
                }
            },
            Some(started) => {
                return after_start(started, progress.wrong_since, &wrong_words(target, current.as_ref()), now);
            }
        },
    };
    Step::Finish(verdict)
}

/// A Start was sent and the stream is ACTIVE without it.
fn after_start(started: Started, wrong_since: Option<Timestamp>, words: &str, now: Timestamp) -> Step {
    match wrong_since {
        Some(since) if now.duration_since(since) >= OVERTAKEN_AFTER => {}
        Some(_) | None => return Step::Await(Condition::Applied),
    }
    if !started.acknowledged {
        return Step::LookLater("the answer to StartStreamEncryption was lost and it had no effect".to_owned());
    }
    let detail = format!("somebody changed it after our Start: {words}");
    let verdict = Verdict::new(Compliance::NonCompliant, Reason::Overtaken, detail);
    Step::Finish(verdict.alarm().again(Again::Twice))
}

/// The rule's key turned out unusable after our re-key: back to the one before, once, prove that, and say so. The stream stays
/// NON_COMPLIANT, since its rule wants another key. `None` where there is nothing to put back, or somebody else moved it.
fn put_back_step(
    target: &KeyIdentity,
    current: Option<&KeyIdentity>,
    progress: &Progress,
    now: Timestamp,
) -> Option<Step> {
    let previous = progress.put_back.as_ref()?;
    if current == Some(previous) {
        if progress.proof != Owed::No {
            return Some(Step::Prove);
        }
        let detail = format!("the rule's key {target} turned out unusable, and the stream is on {previous} as before");
        return Some(Step::Finish(Verdict::new(Compliance::NonCompliant, Reason::PutBack, detail).alarm()));
    }
    match progress.started {
        Some(started) => Some(after_start(started, progress.wrong_since, "the stream is not on the key before", now)),
        None if current == Some(target) && !progress.was_put_back => Some(Step::Start(previous.clone())),
        None => None,
    }
}

fn wrong_words(target: &KeyIdentity, current: Option<&CurrentKey>) -> String {
    match current {
        None => format!("the stream is not encrypted; its rule wants {target}"),
        Some(CurrentKey { key, foreign: Some(account), .. }) => format!(
            "the stream is on the key {key} of account {account}, which nothing in its rule names; its rule wants {target}"
        ),
        Some(CurrentKey { key, foreign: None, .. }) => {
            format!("the stream is on the key {key}; its rule wants {target}")
        }
    }
}

/// How to prove a stream of this age. A function that only reports writes no probe.
pub fn proof_mode(target: &Target, created: Timestamp, mode: Mode, now: Timestamp) -> ProofMode {
    let by_rule = if is_new(created, now) { target.proof.new } else { target.proof.existing };
    match (mode, by_rule) {
        (Mode::Report, ProofMode::Probe) => ProofMode::Describe,
        (Mode::Report | Mode::Enforce | Mode::Prove, by_rule) => by_rule,
    }
}

/// Whether a stream is *new*.
pub fn is_new(created: Timestamp, now: Timestamp) -> bool {
    now.duration_since(created) < NEW
}

/// Whether the work owes a proof before the run has done anything.
pub fn proof_owed(work_owes: bool, created: Timestamp, now: Timestamp) -> Owed {
    match (work_owes, is_new(created, now)) {
        (true, _) => Owed::Now,
        (false, true) => Owed::SinceTheEvent,
        (false, false) => Owed::No,
    }
}

/// What follows from a Start that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterStart {
    /// It may have taken effect: observe.
    Observe,
    /// The end of the run.
    End(Verdict),
    /// It had no effect and may pass; not in this run, which has sent its one request.
    Later(Failure),
    /// The stream was not found, which a later run has to see once more.
    NotFound(Failure),
}

/// What [`judge_start`] has to know besides the failure.
#[derive(Clone, Copy, Debug)]
pub struct RefusedStart {
    /// Whether the stream is without encryption, or on a key that cannot be used.
    pub unprotected: bool,
    /// Starts of a stream of this name that CloudTrail shows as accepted in the last 24 hours, by anybody; `None`: it was not asked, or
    /// gave no answer.
    pub accepted: Option<usize>,
    /// When a Start for this work was refused first with words that may mean a rate or the quota.
    pub refused_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Reads a failed StartStreamEncryption. AWS words the quota of 25 new keys in 24 hours like a rate ([`Class::RateOrQuota`]).
pub fn judge_start(failure: &Failure, refused: RefusedStart) -> AfterStart {
    let RefusedStart { unprotected, accepted, refused_since, now } = refused;
    let is_rate = accepted.is_none_or(|accepted| accepted < NEAR_QUOTA) && may_be_rate(refused_since, now);
    match failure.class {
        // To be described once more before it is believed.
        Class::Ignored => AfterStart::NotFound(failure.clone()),
        Class::RateOrQuota if is_rate => AfterStart::Later(failure.clone()),
        Class::RateOrQuota | Class::Quota => AfterStart::End(Verdict {
            withheld: Some(Withheld::Quota),
            again: Again::ForQuota,
            // Whoever may start and stop can spend the 25 and leave the stream without encryption for a day.
            alarm: unprotected,
            ..Verdict::new(Compliance::NonCompliant, Reason::Withheld, failure.to_string())
        }),
        Class::Permanent(_) => {
            // A key policy or a permission that is made beside the stream may only be late.
            let verdict = Verdict::new(Compliance::NonCompliant, Reason::StartRefused, failure.to_string());
            AfterStart::End(verdict.alarm().again(Again::Twice))
        }
        Class::Waiting | Class::Retryable if failure.may_have_applied => AfterStart::Observe,
        Class::Waiting | Class::Retryable => AfterStart::Later(failure.clone()),
    }
}

/// Whether refusals that began at `refused_since` can still be those of a rate; later they are the quota, whatever CloudTrail shows.
pub fn may_be_rate(refused_since: Option<Timestamp>, now: Timestamp) -> bool {
    refused_since.is_none_or(|since| now.duration_since(since) < RATE_REFUSALS)
}

/// Whether the stream is without encryption, or on a key that cannot be used or is not known.
pub fn is_unprotected(sight: &Sight) -> bool {
    match sight {
        Sight::Active(Situation::Wrong { current: Some(current), .. }) => {
            current.info.as_ref().is_none_or(|info| info.problem.is_some())
        }
        Sight::Active(
            Situation::Wrong { current: None, .. }
            | Situation::NoSuchKey(_)
            | Situation::TargetUnusable(..)
            | Situation::AcceptedUnusable(..),
        ) => true,
        Sight::Active(
            Situation::Exempt
            | Situation::Unmatched
            | Situation::Unresolvable(_)
            | Situation::TargetNotReady(..)
            | Situation::Unreadable(_)
            | Situation::Right { .. },
        )
        | Sight::Gone
        | Sight::Recreated
        | Sight::NotYet
        | Sight::Busy
        | Sight::Unknown(_) => false,
    }
}

/// What it means that a describe did not find the stream. `known`: this work saw it before. `since` is when it was first not found
/// without having been found again, `born` when it was created, where that woke us.
pub fn sight_of_none(known: bool, since: Option<Timestamp>, born: Option<Timestamp>, now: Timestamp) -> Sight {
    let younger = |than| born.is_some_and(|born| now.duration_since(born) < than);
    let once_more = known || younger(TRAIL_LAG);
    let is_believed = since.is_some_and(|since| now.duration_since(since) >= NOT_FOUND_AGAIN);
    if younger(NOT_FOUND_GRACE) || (once_more && !is_believed) { Sight::NotYet } else { Sight::Gone }
}

/// Sorts one observation, apart from the policy's view of it; `None` where it is ACTIVE and the policy has to say.
pub fn sight_of(observed: &Observed, expected_created: Option<Timestamp>) -> Option<Sight> {
    if expected_created.is_some_and(|created| created.as_millisecond() != observed.created.as_millisecond()) {
        return Some(Sight::Recreated);
    }
    match &observed.status {
        StreamStatus::Active => None,
        StreamStatus::Creating | StreamStatus::Updating => Some(Sight::Busy),
        StreamStatus::Deleting => Some(Sight::Gone),
        StreamStatus::Unknown(text) => Some(Sight::Unknown(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Fault;

    fn at(seconds: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn what_a_refused_start_means() {
        let quota = |alarm| format!("NON_COMPLIANT withheld quota{}", if alarm { " alarm" } else { "" });
        let later = || "later".to_owned();
        // Accepted in 24 hours, seconds since the first refusal, whether the stream is unprotected.
        for (class, accepted, since, unprotected, expected) in [
            (Class::RateOrQuota, Some(20), None, true, quota(true)),
            (Class::RateOrQuota, Some(20), None, false, quota(false)),
            (Class::RateOrQuota, Some(19), None, true, later()),
            (Class::RateOrQuota, None, None, true, later()),
            (Class::RateOrQuota, Some(19), Some(59), true, later()),
            (Class::RateOrQuota, Some(19), Some(60), true, quota(true)),
            (Class::RateOrQuota, None, Some(60), false, quota(false)),
            // Of an account it is a rate, however long.
            (Class::Retryable, None, Some(600), true, later()),
            // Words that are not known.
            (Class::Quota, Some(0), None, true, quota(true)),
            (Class::Ignored, None, None, true, "not found".to_owned()),
            (Class::Permanent(Fault::Access), None, None, true, "NON_COMPLIANT start-refused alarm".to_owned()),
        ] {
            let failure = Failure { class, ..Failure::retryable("kinesis:StartStreamEncryption", "Code", "words") };
            let refused_since = since.map(|seconds| at(-seconds));
            let refused = RefusedStart { unprotected, accepted, refused_since, now: at(0) };
            let found = match judge_start(&failure, refused) {
                AfterStart::Observe => "observe".to_owned(),
                AfterStart::Later(_) => later(),
                AfterStart::NotFound(_) => "not found".to_owned(),
                AfterStart::End(Verdict { compliance, reason, withheld, alarm, .. }) => {
                    let withheld = withheld.map(|why| format!(" {}", why.as_str())).unwrap_or_default();
                    let alarm = if alarm { " alarm" } else { "" };
                    format!("{} {}{withheld}{alarm}", compliance.as_str(), reason.as_str())
                }
            };
            assert_eq!(found, expected, "{class}, {accepted:?} accepted, first refused {since:?} s ago");
        }
    }

    #[test]
    fn not_found_once_is_not_gone() {
        // Known to this work, seconds since it was not found, and since it was created.
        for (known, since, born, gone) in [
            (false, None, None, true),
            (true, None, None, false),
            (true, Some(4), None, false),
            (true, Some(5), None, true),
            (false, None, Some(29), false),
            (false, Some(20), Some(29), false),
            (false, None, Some(170), false),
            (false, Some(5), Some(170), true),
            (false, None, Some(181), true),
        ] {
            let sight = sight_of_none(known, since.map(|s: i64| at(-s)), born.map(|s: i64| at(-s)), at(0));
            let expected = if gone { Sight::Gone } else { Sight::NotYet };
            assert_eq!(sight, expected, "known {known}, not found since {since:?}, born {born:?}");
        }
    }
}
