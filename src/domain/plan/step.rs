//! The state table: the one next step of a run, as a pure and exhaustive function.

use jiff::{SignedDuration, Timestamp};

use super::observation::Observation;
use super::permit::{Permission, by_history};
use super::proof::Owed;
use super::situation::{Situation, Wrong};
use crate::domain::bounds::later;
use crate::domain::history::Contention;
use crate::domain::model::KeyIdentity;
use crate::domain::verdict::{Action, Again, Compliance, Reason, Verdict, Withheld};

/// A stream that stays ACTIVE with another setting this long after our Start was changed by somebody else.
pub const OVERTAKEN_AFTER: SignedDuration = SignedDuration::from_secs(30);

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

/// The one next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Observe again soon.
    Await(Condition),
    /// Read CloudTrail's history, and go on with [`after_history`]: where nobody else changes the stream, encryption is started.
    ReadHistory(Box<Wrong>),
    /// Send the one Start request.
    Start(KeyIdentity),
    /// Make the proof that is owed.
    Prove,
    /// The end of this run.
    Finish(Verdict),
    /// Not to be decided now; a later run has to observe.
    Defer(String),
    /// The stream is another one: forget what was owed to the old one.
    StartAfresh,
}

impl Step {
    /// What is said of a stream where this step is not taken: nothing where only a run of its own can know.
    pub fn verdict(&self, situation: Option<&Situation>) -> Option<Verdict> {
        match (self, situation) {
            (Self::Finish(verdict), _) => Some(verdict.clone()),
            (Self::ReadHistory(wrong), _) => Some(wrong.verdict()),
            (Self::Start(_), Some(Situation::Wrong(wrong))) => Some(wrong.verdict()),
            (Self::Await(condition), _) => Some(condition.not_yet()),
            (Self::Defer(why), _) => Some(Verdict::new(Compliance::InsufficientData, Reason::Unfinished, why.as_str())),
            (Self::Start(_) | Self::Prove | Self::StartAfresh, _) => None,
        }
    }
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
    /// That CloudTrail's history shows what somebody else may have done to it.
    Shown(Timestamp),
}

impl Condition {
    /// The time that is awaited; `None` where the stream has to be observed to know.
    pub fn not_before(self) -> Option<Timestamp> {
        match self {
            Self::Settled(until) | Self::Shown(until) => Some(until),
            Self::Exists | Self::Active | Self::Applied => None,
        }
    }

    /// How long a run waits for it: no longer than `wait_until`, so that a later run goes on. Without a queue a later run would let the
    /// stream settle anew, so that this one waits while it has time. And only the run that sent a Start can know that somebody undid it.
    pub fn wait_limit(self, has_queue: bool, wait_until: Timestamp, deadline: Timestamp) -> Timestamp {
        match self {
            Self::Settled(_) | Self::Shown(_) if !has_queue => deadline,
            Self::Applied => later(wait_until, OVERTAKEN_AFTER).min(deadline),
            Self::Settled(_) | Self::Shown(_) | Self::Exists | Self::Active => wait_until.min(deadline),
        }
    }

    /// The word in logs and evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::Active => "active",
            Self::Applied => "applied",
            Self::Settled(_) => "settled",
            Self::Shown(_) => "shown",
        }
    }

    /// What is awaited, in words that go on `it waits`.
    pub fn words(self) -> String {
        match self {
            Self::Exists => "until the stream can be described".to_owned(),
            Self::Active => "until the stream is ACTIVE".to_owned(),
            Self::Applied => "until the stream is ACTIVE with the new key".to_owned(),
            Self::Settled(until) => format!("until {until:.0}, because its creator may still set the key"),
            Self::Shown(until) => format!("until {until:.0}: CloudTrail's history does not show the last changes yet"),
        }
    }

    /// What is said of a stream where a run ends before that.
    pub fn not_yet(self) -> Verdict {
        let (reason, action) = match self {
            Self::Settled(_) => (Reason::Settling, Some(Action::Wait)),
            Self::Exists | Self::Active | Self::Applied | Self::Shown(_) => (Reason::Unfinished, None),
        };
        let verdict =
            Verdict::new(Compliance::InsufficientData, reason, format!("not known yet: waiting {}", self.words()));
        action.map_or(verdict.clone(), |action| verdict.would(action, None))
    }
}

/// The state table. `permission` is asked for only where the stream is wrong and nothing was started.
pub fn next_step(
    observation: &Observation,
    progress: &Progress,
    permission: impl FnOnce(&Wrong) -> Permission,
    now: Timestamp,
) -> Step {
    match observation {
        Observation::Gone => {
            let words = "the stream was deleted or is being deleted";
            Step::Finish(Verdict::new(Compliance::NotApplicable, Reason::StreamGone, words))
        }
        Observation::Recreated => Step::StartAfresh,
        Observation::NotYet => Step::Await(Condition::Exists),
        Observation::Unknown(status) => Step::Defer(format!("the stream's status `{status}` is not known")),
        Observation::Busy => Step::Await(Condition::Active),
        Observation::Active(situation) => next_step_of_active(situation, progress, permission, now),
    }
}

/// The part of the state table for a stream that is ACTIVE.
fn next_step_of_active(
    situation: &Situation,
    progress: &Progress,
    permission: impl FnOnce(&Wrong) -> Permission,
    now: Timestamp,
) -> Step {
    use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
    let verdict = match situation {
        Situation::Exempt(exemption) => Verdict::new(NotApplicable, Reason::Exempt, exemption.words()),
        Situation::Unmatched => Verdict::new(NonCompliant, Reason::Unmatched, "no rule matches the stream"),
        // A tag that comes later wakes us.
        Situation::Unresolvable(why) => Verdict::new(NonCompliant, Reason::KeyUnresolvable, why.as_str()),
        // An alias, a key policy or a permission that is made beside the stream may only be late.
        Situation::NoSuchKey { why, denied } => {
            let reason = if *denied { Reason::KeyUnresolvable } else { Reason::KeyMissing };
            Verdict::new(NonCompliant, reason, why.as_str()).alarm().again(Again::Twice)
        }
        Situation::TargetUnusable(target, problem, current) => {
            if let Some(step) = put_back_step(target, current.as_ref(), progress, now) {
                return step;
            }
            let detail = format!("the rule's key {target} cannot be used: {problem}");
            Verdict::new(NonCompliant, Reason::KeyUnusable, detail).alarm().again(Again::Twice)
        }
        Situation::TargetNotReady(key, problem) => {
            return Step::Defer(format!("the rule's key {key} is not ready: {problem}"));
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
        Situation::Wrong(wrong) => match progress.started {
            None => return permitted(wrong, permission(wrong)),
            Some(started) => return after_start(started, progress.wrong_since, &wrong.words(), now),
        },
    };
    Step::Finish(verdict)
}

/// The step after [`Step::ReadHistory`]: `contention` is what the history says of a change of a stream that is `wrong`.
pub fn after_history(wrong: &Wrong, contention: &Contention, now: Timestamp) -> Step {
    permitted(wrong, by_history(contention, now))
}

/// The step for a stream that is wrong and was not changed, by whether it may be changed.
fn permitted(wrong: &Wrong, permission: Permission) -> Step {
    use Compliance::{InsufficientData, NonCompliant};
    let words = wrong.words();
    Step::Finish(match permission {
        Permission::Allowed => return Step::Start(wrong.target.clone()),
        Permission::Unweighed => return Step::ReadHistory(Box::new(wrong.clone())),
        Permission::Settling(until) => return Step::Await(Condition::Settled(until)),
        Permission::NotShownYet(until) => return Step::Await(Condition::Shown(until)),
        Permission::Withheld { why, enforced } => {
            let reason = wrong.reason();
            let verdict = Verdict::new(NonCompliant, reason, words).would(wrong.action(), enforced);
            Verdict { withheld: Some(why), alarm: reason == Reason::ForeignKey, ..verdict }
        }
        Permission::Contested(who) => {
            let verdict = Verdict::new(NonCompliant, Reason::Contested, format!("{words}; {who}")).alarm();
            let why = Some(Withheld::Contested);
            Verdict { withheld: why, ..verdict.would(wrong.action(), why) }
        }
        Permission::Unknown(why) => {
            Verdict::new(InsufficientData, Reason::Unreadable, format!("{words}; {why}")).alarm().again(Again::Twice)
        }
    })
}

/// A Start was sent and the stream is ACTIVE without it.
fn after_start(started: Started, wrong_since: Option<Timestamp>, words: &str, now: Timestamp) -> Step {
    match wrong_since {
        Some(since) if now.duration_since(since) >= OVERTAKEN_AFTER => {}
        Some(_) | None => return Step::Await(Condition::Applied),
    }
    if !started.acknowledged {
        return Step::Defer("StartStreamEncryption had no effect, and its answer was lost".to_owned());
    }
    let detail = format!("somebody changed it after Streamseal started encryption: {words}");
    let verdict = Verdict::new(Compliance::NonCompliant, Reason::Overtaken, detail);
    Step::Finish(verdict.alarm().again(Again::Twice))
}

/// The rule's key turned out unusable after our re-key: back to the one before, once, prove that, and say so. The stream stays
/// NON_COMPLIANT, since its rule requires another key. `None` where there is nothing to put back, or somebody else moved it.
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
        let detail = format!(
            "the rule's key {target} turned out to be unusable, and the stream is on its previous \
             key {previous}"
        );
        return Some(Step::Finish(Verdict::new(Compliance::NonCompliant, Reason::PutBack, detail).alarm()));
    }
    match progress.started {
        Some(started) => Some(after_start(started, progress.wrong_since, "the stream is not on its previous key", now)),
        None if current == Some(target) && !progress.was_put_back => Some(Step::Start(previous.clone())),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_waits_for_a_creator_as_long_as_it_has_time_where_no_other_run_would() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (condition, has_queue, expected) in [
            (Condition::Settled(at(500)), false, at(900)),
            (Condition::Settled(at(500)), true, at(20)),
            (Condition::Active, false, at(20)),
            (Condition::Active, true, at(20)),
            (Condition::Applied, true, at(50)),
        ] {
            assert_eq!(condition.wait_limit(has_queue, at(20), at(900)), expected, "{condition:?} {has_queue}");
        }
        assert_eq!(Condition::Applied.wait_limit(true, at(20), at(10)), at(10), "never beyond the deadline");
        assert_eq!(Condition::Settled(at(500)).not_before(), Some(at(500)));
        assert_eq!(Condition::Exists.not_before(), None);
    }
}
