//! What one run knows: what it observed so far, what it did, what it owes.

use jiff::Timestamp;

use super::observation::{Observation, observation_of_none};
use super::proof::{Owed, PROPAGATION, proof_owed};
use super::put_back;
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
    /// Which key the rule requires, as far as KMS said so.
    pub desired: Option<KeyIdentity>,
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
            desired: None,
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

    /// Whether Kinesis said that it accepted it.
    pub fn is_accepted(&self) -> bool {
        let started = self.progress.as_ref().and_then(|progress| progress.started);
        started == Some(Started { acknowledged: true })
    }

    /// The stream was not found.
    pub fn not_found(&mut self, now: Timestamp) -> Observation {
        let Work { cause, created, not_found_since, .. } = &mut self.work;
        let born = cause.at.filter(|_| cause.creator.is_some());
        let observation = observation_of_none(created.is_some(), *not_found_since, born, now);
        not_found_since.get_or_insert(now);
        observation
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
    pub fn observed(&mut self, observation: &Observation, observed: &Observed, keys: Keys, now: Timestamp) {
        self.situation = match observation {
            Observation::Active(situation) => Some(situation.clone()),
            _ => None,
        };
        let is_right = match observation {
            Observation::Active(situation) => self.is_right(situation),
            Observation::Busy => Some(false),
            _ => None,
        };
        match is_right {
            Some(true) => {
                self.work.right_since.get_or_insert(observed.at);
                self.right_here.get_or_insert(observed.at);
            }
            // From UPDATING it may come back with another setting.
            Some(false) => (self.work.right_since, self.right_here) = (None, None),
            None => {}
        }
        let is_wrong = is_right == Some(false) && *observation != Observation::Busy;
        if let Some(progress) = &mut self.progress {
            progress.wrong_since =
                if is_wrong && progress.started.is_some() { progress.wrong_since.or(Some(now)) } else { None };
        }
        if is_right == Some(true) && matches!(observation, Observation::Active(Situation::TargetUnusable(..))) {
            // Seen where it was put back to: that was the one time.
            self.work.put_back = PutBack::Done;
        }
        let (key, target) = match observation {
            Observation::Active(situation) => keys_in(situation),
            _ => (None, None),
        };
        if target.is_some() {
            self.desired = target;
        }
        let material = key.as_ref().and_then(|key| material_of(key, &keys));
        let setting = Setting { observed: observed.clone(), key, material };
        self.before.get_or_insert_with(|| setting.clone());
        self.after = Some(setting);
        self.keys = keys;
    }

    /// Whether the stream is where this run requires it; `None` where that cannot be determined, or is of no concern.
    fn is_right(&self, situation: &Situation) -> Option<bool> {
        match situation {
            Situation::Right { .. } => Some(true),
            Situation::Wrong(_) => Some(false),
            // Only a run that puts a key back starts anything here, and for it every other key is the wrong one.
            Situation::TargetUnusable(_, _, current) => {
                let back = self.progress.as_ref().and_then(|progress| progress.put_back.as_ref());
                Some(back.is_some() && current.as_ref() == back)
            }
            Situation::AcceptedUnusable(..)
            | Situation::TargetNotReady(..)
            | Situation::Exempt(_)
            | Situation::Unmatched
            | Situation::Unresolvable(_)
            | Situation::NoSuchKey { .. }
            | Situation::Unreadable(_) => None,
        }
    }

    /// A Start is about to be sent. From here on it may be under way, also where the run is cut off before the answer.
    pub fn starting(&mut self, observation: &Observation, now: Timestamp) -> BeforeStart {
        let before = BeforeStart(self.progress.clone(), self.work.clone());
        let progress = self.progress.get_or_insert_default();
        progress.started = Some(Started { acknowledged: false });
        progress.proof = Owed::Now;
        progress.wrong_since = None;
        let Work { proof_owed, started, started_at, rekeyed, previous_key, put_back, .. } = &mut self.work;
        *proof_owed = true;
        *started = true;
        if let Observation::Active(Situation::Wrong(Wrong { current: Some(CurrentKey { info, .. }), .. })) = observation
        {
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

    /// The run ends since what it waited for cannot be determined now. A Start without an answer had no effect, or none that is known of.
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

    /// The key that is to be put back, about which KMS has to be asked. Given up where the rule only reports the stream, or our Start is
    /// too long ago: then there is nothing to ask.
    pub fn key_due_back(&mut self, only_reported: bool, now: Timestamp) -> Option<KeyIdentity> {
        let progress = self.progress.as_mut()?;
        if only_reported || !put_back::is_in_time(self.work.started_at, now) {
            progress.put_back = None;
        }
        progress.put_back.clone()
    }

    /// Gives up putting a key back, unless `on` and `before` allow it: what KMS says now of the key that the stream is on and of the one to
    /// put back.
    pub fn check_put_back(&mut self, on: Option<&KeyLookup>, before: &KeyLookup) {
        if !put_back::is_allowed(on, before) {
            self.progress.get_or_insert_default().put_back = None;
        }
    }

    /// From when on a probe proves something, where the setting has been right since `right_since`: until then a record may be encrypted with
    /// the key before, which says nothing of the new one. Only where our own Start found the stream unencrypted is there no such key.
    pub fn probe_from(&self, right_since: Timestamp) -> Timestamp {
        let from_plain = self.has_started() && !self.work.rekeyed;
        if from_plain { right_since } else { right_since + PROPAGATION }
    }

    /// The stream is another one of the same name: forgets what belonged to the one before. Who made this one is not known.
    pub fn start_afresh(&mut self, now: Timestamp) {
        let cause = Cause { creator: None, ..self.work.cause.clone() };
        *self = Self::new(Work::new(self.work.stream.clone(), cause, now));
    }
}

/// The key that the stream is on, and the one that its rule requires, as far as they are known.
fn keys_in(situation: &Situation) -> (Option<KeyIdentity>, Option<KeyIdentity>) {
    match situation {
        Situation::Right { key, accepted } => (Some(key.clone()), (!accepted).then(|| key.clone())),
        Situation::Wrong(Wrong { target, current, .. }) => {
            let info = current.as_ref().and_then(|current| current.info.as_ref());
            (info.map(|info| info.identity.clone()), Some(target.clone()))
        }
        Situation::TargetUnusable(target, _, current) => (current.clone(), Some(target.clone())),
        Situation::AcceptedUnusable(key, _) => (Some(key.clone()), None),
        Situation::TargetNotReady(target, _) => (None, Some(target.clone())),
        Situation::Exempt(_)
        | Situation::Unmatched
        | Situation::Unresolvable(_)
        | Situation::NoSuchKey { .. }
        | Situation::Unreadable(_) => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::arn::{KeyArn, KeyRef, StreamArn};
    use crate::domain::cause::Creator;
    use crate::domain::model::{Encryption, KeyInfo, KeyManager, KeyProblem, StreamStatus};
    use crate::domain::policy::Existing;
    use crate::domain::text::EventText;

    fn at(seconds: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    fn arn(id: &str) -> KeyArn {
        KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{id}")).unwrap()
    }

    fn key(id: &str) -> KeyIdentity {
        KeyIdentity::Arn(arn(id))
    }

    fn state(call: &str) -> State {
        let cause = Cause { call: EventText::new(call), event_id: None, actor: None, at: Some(at(0)), creator: None };
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        State::new(Work::new(stream, cause, at(0)))
    }

    fn observed(age: i64, seconds: i64) -> Observed {
        let (created, at) = (at(-age), at(seconds));
        Observed { status: StreamStatus::Active, encryption: Encryption::None, created, retention_hours: 24, at }
    }

    fn info(id: &str, problem: Option<KeyProblem>) -> KeyInfo {
        KeyInfo::new(key(id), KeyManager::Customer, problem)
    }

    fn wrong(current: Option<KeyInfo>) -> Observation {
        let current =
            current.map(|info| CurrentKey { key: KeyRef::parse("alias/x").unwrap(), info: Some(info), foreign: None });
        Observation::Active(Situation::Wrong(Wrong {
            target: key("app"),
            target_manager: KeyManager::Customer,
            current,
            existing: Existing::Enforce,
            replace_customer_key: false,
            created: at(0),
            at: at(0),
        }))
    }

    fn right(id: &str) -> Observation {
        Observation::Active(Situation::Right { key: key(id), accepted: false })
    }

    fn unusable(current: &str) -> Observation {
        let problem = KeyProblem::State(EventText::new("Disabled"));
        Observation::Active(Situation::TargetUnusable(key("app"), problem, Some(key(current))))
    }

    #[test]
    fn what_is_owed_at_first() {
        let (young, old) = (60, 86_400);
        for (call, owed, age, has_queue, expected) in [
            ("CreateStream", false, young, true, Owed::SinceTheEvent),
            ("CreateStream", true, young, true, Owed::Now),
            ("sweep", false, old, true, Owed::No),
            ("StartStreamEncryption", false, old, true, Owed::No),
            // Without a queue nothing says that the event was here before.
            ("StartStreamEncryption", false, old, false, Owed::SinceTheEvent),
            ("StartStreamEncryption", true, old, false, Owed::Now),
        ] {
            let mut state = state(call);
            state.work.proof_owed = owed;
            state.found(&observed(age, 0), Mode::Enforce, has_queue, at(0));
            assert_eq!(state.progress.unwrap().proof, expected, "{call} {owed} {age} {has_queue}");
        }
    }

    #[test]
    fn a_key_is_put_back_in_enforce_mode_where_the_message_says_so() {
        for (put_back, mode, expected) in [
            (PutBack::No, Mode::Enforce, None),
            (PutBack::Due, Mode::Enforce, Some(key("old"))),
            (PutBack::Done, Mode::Enforce, Some(key("old"))),
            (PutBack::Due, Mode::Report, None),
            (PutBack::Due, Mode::Prove, None),
        ] {
            let mut state = state("sweep");
            (state.work.put_back, state.work.previous_key) = (put_back, Some(arn("old")));
            state.found(&observed(86_400, 0), mode, true, at(0));
            let progress = state.progress.unwrap();
            assert_eq!(progress.put_back, expected, "{put_back:?} {mode:?}");
            assert_eq!(progress.was_put_back, put_back == PutBack::Done);
        }
    }

    #[test]
    fn since_when_it_is_right_or_wrong() {
        let mut state = state("sweep");
        state.found(&observed(60, 0), Mode::Enforce, true, at(0));
        let mut see = |observation: &Observation, seconds: i64, started: bool| {
            if started {
                state.progress.get_or_insert_default().started = Some(Started { acknowledged: true });
            }
            state.observed(observation, &observed(60, seconds), Keys::new(), at(seconds));
            let wrong_since = state.progress.as_ref().and_then(|progress| progress.wrong_since);
            let offset = |time: Option<Timestamp>| time.map(|time| time.duration_since(at(0)).as_secs());
            (offset(state.work.right_since), offset(wrong_since))
        };
        assert_eq!(see(&wrong(None), 1, false), (None, None), "wrong before our Start");
        assert_eq!(see(&wrong(None), 2, true), (None, Some(2)));
        assert_eq!(see(&wrong(None), 3, true), (None, Some(2)), "without a break");
        assert_eq!(see(&Observation::Busy, 4, true), (None, None));
        assert_eq!(see(&right("app"), 5, true), (Some(5), None));
        assert_eq!(see(&right("app"), 6, true), (Some(5), None), "the first time counts");
        assert_eq!(see(&Observation::Unknown(EventText::new("NEW")), 7, true), (Some(5), None));
        assert_eq!(see(&Observation::Busy, 8, true), (None, None), "it may come back with another setting");
        assert_eq!(see(&right("app"), 9, true), (Some(9), None));
        assert_eq!(see(&wrong(None), 10, true), (None, Some(10)));
    }

    #[test]
    fn a_key_that_was_put_back_is_seen_once() {
        let mut state = state("sweep");
        (state.work.put_back, state.work.previous_key) = (PutBack::Due, Some(arn("old")));
        state.found(&observed(60, 0), Mode::Enforce, true, at(0));
        state.observed(&unusable("app"), &observed(60, 1), Keys::new(), at(1));
        assert_eq!((state.work.put_back, state.work.right_since), (PutBack::Due, None));
        state.observed(&unusable("old"), &observed(60, 2), Keys::new(), at(2));
        assert_eq!((state.work.put_back, state.work.right_since), (PutBack::Done, Some(at(2))));
        assert_eq!((state.after.unwrap().key, state.desired), (Some(key("old")), Some(key("app"))));
    }

    #[test]
    fn a_start_is_remembered_unless_it_surely_had_no_effect() {
        let usable = || Some(info("old", None));
        let broken = || Some(info("old", Some(KeyProblem::State(EventText::new("Disabled")))));
        for (current, put_back, rekeyed, previous) in [
            (None, PutBack::No, false, None),
            (usable(), PutBack::No, true, Some(arn("old"))),
            // A key that cannot be used is none to go back to, and there is one way back a cause.
            (broken(), PutBack::No, true, None),
            (usable(), PutBack::Done, true, None),
        ] {
            let mut state = state("sweep");
            state.work.put_back = put_back;
            let unchanged = state.clone();
            let before = state.starting(&wrong(current), at(7));
            let Work { started, started_at, proof_owed, .. } = state.work;
            assert!(started && proof_owed && state.has_started());
            assert_eq!(started_at, (put_back == PutBack::No).then_some(at(7)));
            assert_eq!((state.work.rekeyed, &state.work.previous_key), (rekeyed, &previous));
            // What the refusal says stays.
            state.work.refused_since = Some(at(8));
            state.not_started(before);
            assert_eq!(state.work.refused_since.take(), Some(at(8)));
            assert_eq!(state, unchanged);
        }
    }

    #[test]
    fn who_may_put_a_key_back() {
        let mut state = state("sweep");
        state.found(&observed(60, 0), Mode::Enforce, true, at(0));
        let _ = state.starting(&wrong(Some(info("old", None))), at(0));
        state.observed(&unusable("app"), &observed(60, 1), Keys::new(), at(1));
        assert!(state.is_left_unwritable(Mode::Enforce, at(900)));
        assert!(!state.is_left_unwritable(Mode::Report, at(900)) && !state.is_left_unwritable(Mode::Enforce, at(901)));
        assert_eq!(state.key_to_put_back(true, at(900)), Some(key("old")));
        assert_eq!((state.key_to_put_back(false, at(900)), state.key_to_put_back(true, at(901))), (None, None));
        // Once a cause.
        state.work.put_back = PutBack::Done;
        assert_eq!((state.key_to_put_back(true, at(1)), state.is_left_unwritable(Mode::Enforce, at(1))), (None, false));
        state.work.put_back = PutBack::No;
        // On another key it is nobody's to put back, and a proof says that it could be written.
        let mut elsewhere = state.clone();
        elsewhere.observed(&unusable("other"), &observed(60, 2), Keys::new(), at(2));
        assert!(!elsewhere.is_left_unwritable(Mode::Enforce, at(2)));
        state.proven();
        assert_eq!((state.is_left_unwritable(Mode::Enforce, at(2)), state.work.previous_key), (false, None));
    }

    #[test]
    fn a_key_that_may_not_be_put_back_any_more_is_given_up() {
        let found = |id: &str, problem| KeyLookup::Found(info(id, problem));
        let broken = || Some(KeyProblem::State(EventText::new("Disabled")));
        // The last two: whether KMS is asked, and whether it is still to be put back.
        for (only_reported, before, seconds, asked, expected) in [
            (false, found("old", None), 60, true, true),
            (true, found("old", None), 60, false, false),
            (false, found("old", broken()), 60, true, false),
            (false, KeyLookup::NotFound, 60, true, false),
            (false, found("old", None), 901, false, false),
        ] {
            let mut state = state("sweep");
            (state.work.put_back, state.work.previous_key) = (PutBack::Due, Some(arn("old")));
            state.work.started_at = Some(at(0));
            state.found(&observed(60, 0), Mode::Enforce, true, at(0));
            let due = state.key_due_back(only_reported, at(seconds));
            assert_eq!(due, asked.then(|| key("old")), "{only_reported} {seconds}");
            if asked {
                state.check_put_back(Some(&found("app", broken())), &before);
            }
            let left = state.progress.unwrap().put_back.is_some();
            assert_eq!(left, expected, "{only_reported} {before:?} {seconds}");
        }
    }

    #[test]
    fn records_under_a_key_that_cannot_be_used_are_warned_of() {
        let before = Observed { encryption: Encryption::Kms(KeyRef::parse("alias/x").unwrap()), ..observed(60, 0) };
        let disabled = Some(KeyProblem::State(EventText::new("Disabled")));
        let warning = |current: Option<CurrentKey>, before: Option<&Observed>| {
            let Observation::Active(Situation::Wrong(wrong)) = wrong(None) else { panic!() };
            Wrong { current, ..wrong }.old_records(before)
        };
        let on = |info, foreign: Option<&str>| {
            let foreign = foreign.map(str::to_owned);
            Some(CurrentKey { key: KeyRef::parse("alias/x").unwrap(), info, foreign })
        };
        for (current, expected) in [
            (None, None),
            (on(Some(info("old", None)), None), None),
            (
                on(Some(info("old", disabled)), None),
                Some("the previous key alias/x cannot be used: its KeyState is Disabled;"),
            ),
            (on(None, None), Some("the previous key alias/x is no longer known to KMS;")),
            (
                on(None, Some("999988887777")),
                Some("the previous key alias/x belongs to account 999988887777 and is not known here;"),
            ),
        ] {
            let found = warning(current.clone(), Some(&before));
            assert_eq!(found.is_some(), expected.is_some(), "{current:?}");
            if let (Some(found), Some(expected)) = (found, expected) {
                assert!(found.starts_with(expected) && found.ends_with("within 24 hours"), "{found}");
            }
        }
        assert_eq!(warning(on(None, None), Some(&observed(60, 0))), None, "it was not encrypted");
        assert_eq!(warning(on(None, None), None), None);
    }

    #[test]
    fn a_probe_waits_for_the_key_before_it_and_for_nothing_else() {
        let mut state = state("CreateStream");
        state.found(&observed(60, 0), Mode::Enforce, true, at(0));
        // Somebody else set it: maybe from another key.
        assert_eq!(state.probe_from(at(10)), at(10) + PROPAGATION);
        let _ = state.starting(&wrong(None), at(0));
        assert_eq!(state.probe_from(at(10)), at(10));
        state.work.rekeyed = true;
        assert_eq!(state.probe_from(at(10)), at(10) + PROPAGATION);
    }

    #[test]
    fn a_stream_that_was_re_created_is_another_one() {
        let mut state = state("CreateStream");
        state.work.cause.creator = Some(Creator::Terraform);
        state.found(&observed(60, 0), Mode::Enforce, true, at(0));
        let _ = state.starting(&wrong(Some(info("old", None))), at(0));
        state.observed(&right("app"), &observed(60, 1), Keys::new(), at(1));
        state.start_afresh(at(5));
        let mut anew = self::state("CreateStream");
        anew.work = Work::new(anew.work.stream.clone(), anew.work.cause.clone(), at(5));
        assert_eq!(state, anew, "nothing of the one before is left");
    }

    #[test]
    fn what_is_not_found_is_observed_once_more() {
        let mut state = state("sweep");
        assert_eq!(state.not_found(at(0)), Observation::Gone, "it was never there");
        let mut known = self::state("sweep");
        known.found(&observed(86_400, 0), Mode::Enforce, true, at(0));
        assert_eq!((known.not_found(at(1)), known.not_found(at(5))), (Observation::NotYet, Observation::NotYet));
        assert_eq!((known.not_found(at(6)), known.work.not_found_since), (Observation::Gone, Some(at(1))));
    }
}
