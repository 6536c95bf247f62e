//! What one run knows: what it observed so far, what it did, what it owes.

use jiff::Timestamp;

use super::proof::{Owed, proof_owed};
use super::put_back;
use super::sight::{Sight, sight_of_none};
use super::situation::{CurrentKey, Keys, Situation, Wrong, material_of};
use super::step::{Progress, Started};
use crate::domain::cause::Cause;
use crate::domain::evidence::Setting;
use crate::domain::model::{KeyIdentity, KeyLookup, Mode, Observed};
use crate::domain::work::{PutBack, Work};

/// What one run knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The work as it would be left now.
    pub work: Work,
    /// `None` until the stream was seen once, since what is owed depends on its age.
    pub progress: Option<Progress>,
    /// How it stood with the policy at the last observation, where it was ACTIVE.
    pub situation: Option<Situation>,
    /// Which key the rule wants, as far as KMS said so.
    pub wanted: Option<KeyIdentity>,
    /// The first observation.
    pub before: Option<Setting>,
    /// The last one.
    pub after: Option<Setting>,
    /// What KMS said of the keys that matter.
    pub keys: Keys,
    /// Since when this run has seen the right setting, without a break.
    pub right_here: Option<Timestamp>,
}

/// What a Start changes; put back where it surely had no effect.
#[derive(Clone, Debug)]
pub struct BeforeStart(Option<Progress>, Work);

impl State {
    /// A run that has observed nothing.
    pub fn new(work: Work) -> Self {
        Self {
            work,
            progress: None,
            situation: None,
            wanted: None,
            before: None,
            after: None,
            keys: Keys::new(),
            right_here: None,
        }
    }

    /// Whether this run sent a Start.
    pub fn has_started(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.started.is_some())
    }

    /// The stream was not found.
    pub fn not_found(&mut self, now: Timestamp) -> Sight {
        let Work { cause, created, not_found_since, .. } = &mut self.work;
        let born = cause.at.filter(|_| cause.creator.is_some());
        let sight = sight_of_none(created.is_some(), *not_found_since, born, now);
        not_found_since.get_or_insert(now);
        sight
    }

    /// The stream that the work is for was found: what is owed is known from now on.
    pub fn found(&mut self, observed: &Observed, mode: Mode, has_queue: bool, now: Timestamp) {
        self.work.created = Some(observed.created);
        if self.progress.is_some() {
            return;
        }
        let mut proof = proof_owed(self.work.proof_owed, observed.created, now);
        if self.work.cause.is_about_encryption() && !has_queue {
            // Nothing else says that this event was here before, and its run was cut off between Start and proof.
            proof = proof.max(Owed::SinceTheEvent);
        }
        // A function that only reports does not put a key back either.
        let may = self.work.put_back != PutBack::No && mode == Mode::Enforce;
        let put_back = self.work.previous_key.clone().filter(|_| may).map(KeyIdentity::Arn);
        let was_put_back = self.work.put_back == PutBack::Done;
        self.progress = Some(Progress { proof, put_back, was_put_back, ..Progress::default() });
    }

    /// Keeps what evidence and later steps need of an observation.
    pub fn observed(&mut self, sight: &Sight, observed: &Observed, keys: Keys, now: Timestamp) {
        self.situation = match sight {
            Sight::Active(situation) => Some(situation.clone()),
            _ => None,
        };
        let (mut key, mut target) = (None, None);
        let mut wrong = false;
        match sight {
            Sight::Active(Situation::Right { key: on, accepted }) => {
                key = Some(on.clone());
                target = (!accepted).then(|| on.clone());
                self.is_right(observed.at);
            }
            Sight::Active(Situation::Wrong(Wrong { target: wanted, current, .. })) => {
                wrong = true;
                key = current.as_ref().and_then(|c| c.info.as_ref()).map(|info| info.identity.clone());
                target = Some(wanted.clone());
            }
            Sight::Active(Situation::TargetUnusable(wanted, _, current)) => {
                // Only a run that puts a key back starts anything here, and for it every other key is the wrong one.
                let back = self.progress.as_ref().and_then(|progress| progress.put_back.as_ref());
                if back.is_some() && current.as_ref() == back {
                    self.is_right(observed.at);
                    // Seen where it was put back to: that was the one time.
                    self.work.put_back = PutBack::Done;
                } else {
                    wrong = true;
                }
                key = current.clone();
                target = Some(wanted.clone());
            }
            Sight::Active(Situation::AcceptedUnusable(on, _)) => key = Some(on.clone()),
            Sight::Active(Situation::TargetNotReady(wanted, _)) => target = Some(wanted.clone()),
            Sight::Active(
                Situation::Exempt
                | Situation::Unmatched
                | Situation::Unresolvable(_)
                | Situation::NoSuchKey(_)
                | Situation::Unreadable(_),
            )
            | Sight::Gone
            | Sight::Recreated
            | Sight::NotYet
            | Sight::Busy
            | Sight::Unknown(_) => {}
        }
        if wrong || *sight == Sight::Busy {
            // From UPDATING it may come back with another setting.
            self.work.right_since = None;
            self.right_here = None;
        }
        if let Some(progress) = &mut self.progress {
            progress.wrong_since =
                if wrong && progress.started.is_some() { progress.wrong_since.or(Some(now)) } else { None };
        }
        if target.is_some() {
            self.wanted = target;
        }
        let material = key.as_ref().and_then(|key| material_of(key, &keys));
        let setting = Setting { observed: observed.clone(), key, material };
        self.before.get_or_insert_with(|| setting.clone());
        self.after = Some(setting);
        self.keys = keys;
    }

    fn is_right(&mut self, at: Timestamp) {
        self.work.right_since.get_or_insert(at);
        self.right_here.get_or_insert(at);
    }

    /// A Start is about to be sent. From here on it may be under way, also where the run is cut off before the answer.
    pub fn starting(&mut self, sight: &Sight, now: Timestamp) -> BeforeStart {
        let before = BeforeStart(self.progress.clone(), self.work.clone());
        let progress = self.progress.get_or_insert_default();
        progress.started = Some(Started { acknowledged: false });
        progress.proof = Owed::Now;
        progress.wrong_since = None;
        let Work { proof_owed, started, started_at, rekeyed, previous_key, put_back, .. } = &mut self.work;
        *proof_owed = true;
        *started = true;
        if let Sight::Active(Situation::Wrong(Wrong { current: Some(CurrentKey { info, .. }), .. })) = sight {
            *rekeyed = true;
            // Once a cause: where a key was put back before, there is no way back a second time.
            let usable = info.as_ref().filter(|info| info.problem.is_none() && *put_back == PutBack::No);
            *previous_key = usable.and_then(|info| match &info.identity {
                KeyIdentity::Arn(arn) => Some(arn.clone()),
                KeyIdentity::AwsManagedAlias => None,
            });
        }
        if *put_back == PutBack::No {
            *started_at = Some(now);
        }
        before
    }

    /// The Start was accepted.
    pub fn started(&mut self) {
        self.progress.get_or_insert_default().started = Some(Started { acknowledged: true });
        self.work.refused_since = None;
    }

    /// The Start surely had no effect: all is as before it, but for what its refusal says.
    pub fn not_started(&mut self, BeforeStart(progress, work): BeforeStart) {
        let Work { refused_since, not_found_since, .. } = self.work;
        self.progress = progress;
        self.work = Work { refused_since, not_found_since, ..work };
    }

    /// The run ends since what it waited for cannot be told now. A Start without an answer had no effect, or none that is known of.
    pub fn observed_in_vain(&mut self) {
        if self.progress.as_ref().is_some_and(|p| p.started == Some(Started { acknowledged: false })) {
            self.work.started_at = None;
        }
    }

    /// The proof is made.
    pub fn proven(&mut self) {
        self.progress.get_or_insert_default().proof = Owed::No;
        self.work.proof_owed = false;
        if self.work.put_back == PutBack::No {
            // It can be used. Who makes it unusable now may mean it.
            self.work.previous_key = None;
        }
    }

    /// Whether the stream is on a key that cannot be used, because a Start of ours set it a moment ago and could not be proven.
    pub fn is_left_unwritable(&self, mode: Mode, now: Timestamp) -> bool {
        let Work { proof_owed, put_back, started, started_at, .. } = &self.work;
        self.situation.as_ref().is_some_and(Situation::is_on_unusable_target)
            && *proof_owed
            && *started
            && *put_back == PutBack::No
            && mode == Mode::Enforce
            && put_back::is_in_time(*started_at, now)
    }

    /// The key before, where the key of our Start turned out unusable and that one may be put back: once a cause, and only soon after our
    /// Start. `by_probe`: our own record was refused.
    pub fn key_to_put_back(&self, by_probe: bool, now: Timestamp) -> Option<KeyIdentity> {
        let may = by_probe && self.work.put_back == PutBack::No && put_back::is_in_time(self.work.started_at, now);
        self.work.previous_key.clone().filter(|_| may).map(KeyIdentity::Arn)
    }

    /// Gives up putting a key back, unless that may still be done: `on` and `before` are what KMS says now of the key that the stream is on
    /// and of the one to put back.
    pub fn check_put_back(&mut self, only_reported: bool, on: Option<&KeyLookup>, before: &KeyLookup, now: Timestamp) {
        let may = !only_reported && put_back::is_in_time(self.work.started_at, now) && put_back::is_allowed(on, before);
        if !may {
            self.progress.get_or_insert_default().put_back = None;
        }
    }

    /// The stream is another one of the same name: forgets what belonged to the one before. Who made this one is not known.
    pub fn start_afresh(&mut self, now: Timestamp) {
        let cause = Cause { creator: None, ..self.work.cause.clone() };
        *self = Self::new(Work::new(self.work.stream.clone(), cause, now));
    }
}
