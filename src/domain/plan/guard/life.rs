//! What becomes of a guarded change when a run ends: its watch begins, goes on or is over, and the streams of its list follow or do not.
//!
//! The state is in the work message alone. A run that is repeated may send a list twice; the second time its first stream is found right,
//! and then that list is dropped: nothing goes faster than the watch.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::denied::Denied;
use super::next::{Ended, Message, Next as List};
use super::watch::{On, Standing, Step, Watch};
use crate::domain::arn::{AWS_MANAGED_ALIAS, StreamName};
use crate::domain::backoff::DELAY_MAX;
use crate::domain::bounds::until;
use crate::domain::evidence::guard::Guard;
use crate::domain::failure::Unfinished;
use crate::domain::model::{Encryption, KeyIdentity};
use crate::domain::plan::close::Next;
use crate::domain::plan::observation::Observation;
use crate::domain::plan::proof::is_new;
use crate::domain::plan::situation::Situation;
use crate::domain::plan::state::State;
use crate::domain::traffic::judge::{Health, Users};
use crate::domain::verdict::{Again, Compliance, Reason, Verdict, Withheld};
use crate::domain::work::Work;

/// What evidence says of the guard: the run's watch where it had one, what it found, what is left. `None` where there is nothing to say.
pub fn in_evidence(
    watch: Option<&Watch>,
    watched: Option<&Watched>,
    before: Option<&Users>,
    left: &Left,
) -> Option<Guard> {
    let standing = match watched {
        Some(watched) => watched.step.standing(),
        // Not observed to the end: as the message says.
        None => watch.map(Watch::standing).or(left.begun.as_ref().map(|_| Standing::Watching)),
    };
    let guard = Guard {
        standing,
        watch: watch.or(left.begun.as_ref()).cloned(),
        users: watched.and_then(|watched| watched.users.as_ref()).or(before).cloned(),
        denied: watched.map(|watched| watched.denied.clone()).unwrap_or_default(),
        halted: left.halted.clone(),
    };
    (guard != Guard::default()).then_some(guard)
}

/// What a run leaves besides its own work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The streams that follow, each with its list.
    pub others: Vec<Message>,
    /// The streams that do not follow, since this one broke, or nobody knows.
    pub halted: Vec<StreamName>,
    /// The watch that has just begun.
    pub begun: Option<Watch>,
}

/// What a run of a watched change found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// What follows from it.
    pub step: Step,
    /// How the stream's users fare, where that could be measured.
    pub users: Option<Users>,
    /// Who is denied the new key, where the change broke the stream and CloudTrail shows it.
    pub denied: Vec<Denied>,
    /// What became of a way back, where there is something to say.
    pub restoring: Option<String>,
}

/// Where a stream is whose change to `target` is watched; `None` where that is not known now. `setting` is what the observation saw.
pub fn on(observation: &Observation, setting: Option<(&Encryption, Option<&KeyIdentity>)>, target: &str) -> Option<On> {
    match observation {
        Observation::Gone | Observation::Recreated => return Some(On::Gone),
        Observation::NotYet | Observation::Unknown(_) | Observation::Busy => return None,
        Observation::Active(_) => {}
    }
    let is = |same: bool| Some(if same { On::Target } else { On::Other });
    match setting? {
        (Encryption::None, _) => Some(On::Other),
        (Encryption::Unreadable(_), _) => None,
        (Encryption::Kms(named), _) if named.as_str() == target => Some(On::Target),
        (Encryption::Kms(_), Some(key)) => is(key.as_str() == target),
        // Which key an alias is was not asked.
        (Encryption::Kms(named), None) => named.as_key_arn().map(|_| On::Other),
    }
}

/// The key that a stream can go back to whose change is this work: the one before, or the one that AWS manages where it was not encrypted.
pub fn back(work: &Work) -> Option<String> {
    match (work.started, work.rekeyed) {
        (false, _) => None,
        (true, false) => Some(AWS_MANAGED_ALIAS.to_owned()),
        (true, true) => work.previous_key.as_ref().map(|key| key.as_str().to_owned()),
    }
}

/// What an observation of a watched change comes to: `base` is what is said of the stream itself.
pub fn verdict(base: Verdict, watched: &Watched, watch: &Watch) -> Verdict {
    let why = watched.users.as_ref().map_or("its users cannot be watched", Users::why);
    let Some(standing) = watched.step.standing() else { return base };
    let target = &watch.target;
    let (reason, mut words) = match standing {
        Standing::Watching => (Reason::Watching, format!("watched until {}: {why}", watch.until)),
        Standing::Passed | Standing::Quiet => {
            return Verdict { detail: format!("{}; watched: {why}", base.detail), ..base };
        }
        Standing::Inconclusive => (Reason::Inconclusive, why.to_owned()),
        Standing::Broken => {
            let still = watched.users.as_ref().is_none_or(|users| users.health() == Health::Broken);
            let fail = if still { "have been failing since" } else { "failed after" };
            (Reason::Broken, format!("users {fail} the change to {target}: {why}"))
        }
        Standing::Overtaken => {
            (Reason::Overtaken, format!("it was changed again while its change to {target} was watched"))
        }
        Standing::Restored | Standing::FellBack => restored(watched, watch),
    };
    words.extend(watched.restoring.iter().flat_map(|restoring| ["; ", restoring.as_str()]));
    let is_alarm = standing.is_alarm();
    // What is wrong with the stream itself comes first.
    let reason = if base.alarm && !is_alarm { base.reason } else { reason };
    let again = if reason == Reason::Overtaken { Again::Twice } else { base.again };
    Verdict { reason, detail: format!("{}; {words}", base.detail), alarm: base.alarm || is_alarm, again, ..base }
}

/// What is said of a stream that went back: first that it did, and when its users were observed once more, how they fare.
fn restored(Watched { step, users, .. }: &Watched, Watch { target, back, .. }: &Watch) -> (Reason, String) {
    let words = format!(
        "users failed after the change to {target}, and it is on {} again",
        back.as_deref().unwrap_or("another key")
    );
    match (step, users.as_ref().map(Users::health)) {
        (Step::Then(_, _, at), _) => {
            (Reason::Restored, format!("{words}; its users are observed once more at {at:.0}"))
        }
        (_, Some(Health::Broken)) => (Reason::Broken, format!("{words}; users still fail")),
        (_, Some(Health::Fine)) => (Reason::Restored, format!("{words}; its users work as before the change")),
        (_, _) => (Reason::Restored, format!("{words}; whether its users work is not known")),
    }
}

/// What a run that watches leaves: `next` is what its verdict alone would leave.
pub fn after_watch(work: &Work, watched: &Watched, next: Next, now: Timestamp) -> (Next, Left) {
    let list = work.next.clone().unwrap_or_default();
    let over = |next: Next| match next {
        // The proof that it owes.
        Next::Nothing if work.proof_owed => Next::May(Box::new(unwatched(work.clone())), Duration::ZERO),
        Next::Nothing => Next::Nothing,
        Next::May(work, delay) => Next::May(Box::new(unwatched(*work)), delay),
        Next::Must(work, delay, why) => Next::Must(Box::new(unwatched(*work)), delay, why),
    };
    match &watched.step {
        Step::Again(watch, at) => {
            let work = base(&next, work);
            (watching(work, watch.clone(), list, *at, now), Left::default())
        }
        // What follows the stream ends with its watch.
        Step::Then(standing, watch, at) => {
            // What fails on the way back is tried again soon, however long the watch was.
            let work = Work { attempt: 0, ..base(&next, work) };
            (watching(work, watch.clone(), List::default(), *at, now), ended(list, Ended::of(Some(*standing))))
        }
        Step::Drop => (over(next), ended(list, Ended::of(None))),
        Step::End(standing) => (over(next), ended(list, Ended::of(Some(*standing)))),
    }
}

fn unwatched(work: Work) -> Work {
    Work { watch: None, next: None, not_before: None, ..work }
}

/// The work as it would be left.
fn base(next: &Next, work: &Work) -> Work {
    match next {
        Next::Nothing => work.clone(),
        Next::May(work, _) | Next::Must(work, ..) => (**work).clone(),
    }
}

/// The work of a watch, which goes on at this time.
fn watching(work: Work, watch: Watch, list: List, at: Timestamp, now: Timestamp) -> Next {
    let why = Unfinished::open("streamseal:Watch", "Watching", "its users are watched");
    let attempt = work.attempt.saturating_add(1);
    let work = Work { watch: Some(watch), next: Some(list), not_before: Some(at), attempt, ..work };
    Next::Must(Box::new(work), until(now, at).min(DELAY_MAX), why)
}

fn ended(list: List, ended: Ended) -> Left {
    let halted = if ended == Ended::Badly { list.all().cloned().collect() } else { Vec::new() };
    Left { others: list.after(ended), halted, begun: None }
}

/// Whether a change is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watching {
    /// For so long.
    For(SignedDuration),
    /// The stream has no users who could be hurt (it was new, or its key could not be used), or somebody else changed it.
    NotNeeded,
    /// Its rule has no guard.
    Off,
}

impl Watching {
    /// By how long the rule has changes watched, whether this run found that there is nothing to watch, and whether the stream was new then.
    pub fn of(watch: Option<SignedDuration>, needs_none: bool, work: &Work, now: Timestamp) -> Self {
        let was_new = work.created.is_some_and(|created| is_new(created, work.started_at.unwrap_or(now)));
        match watch {
            None => Self::Off,
            Some(_) if needs_none || was_new => Self::NotNeeded,
            Some(time) => Self::For(time),
        }
    }
}

/// What a run leaves that made a guarded change, or did not: `next` is what its verdict alone would leave, `watch` whether the change is
/// watched, `back` the key that the stream could go back to, `turned_away` the list that goes on before it, where its turn comes later.
pub fn after_run(
    state: &State,
    verdict: &Verdict,
    next: Next,
    watch: Watching,
    back: Option<String>,
    turned_away: Option<Message>,
    now: Timestamp,
) -> (Next, Left) {
    let work = &state.work;
    let Some(list) = work.next.clone() else { return (next, Left::default()) };
    // It goes on with its list.
    if matches!(next, Next::Must(..)) {
        return (next, Left::default());
    }
    // Observed again by itself, it is the first of a new list.
    let alone = |next: Next| match next {
        Next::May(work, delay) => {
            let list = List { begins: true, ..List::default() };
            Next::May(Box::new(Work { next: Some(list), ..*work }), delay)
        }
        next => next,
    };
    if let Some(message) = turned_away {
        return (Next::Nothing, Left { others: vec![message], ..Left::default() });
    }
    let on = match &state.situation {
        Some(Situation::Right { key, .. }) => Some(key),
        _ => None,
    };
    match (on, watch) {
        (Some(key), Watching::For(time)) => {
            // Where this work did not set the key, a copy of it may have: that one has the list, and the stream alone is watched, from
            // before the copy could have changed it.
            let sent = work.started_at.filter(|_| work.started).unwrap_or(work.first_seen);
            let watch = Watch { back, ..Watch::new(key, sent, time, now) };
            let (list, halted) = if work.started { (list, List::default()) } else { (List::default(), list) };
            let next = watching(base(&next, work), watch.clone(), list, watch.next_at(now), now);
            let halted = halted.all().cloned().collect();
            (next, Left { halted, begun: Some(watch), ..Left::default() })
        }
        // The next one is what this one would have been.
        (Some(_), Watching::NotNeeded) => (alone(next), ended(list, Ended::NotStarted)),
        // The rule has no guard any more.
        (Some(_), Watching::Off) => (alone(next), ended(list, Ended::Fine)),
        // The next sweep finds it: what hinders one stream may hinder all of a list, which would be changed together when that is over.
        (None, Watching::For(_)) if !work.started => (Next::Nothing, ended(list, of_verdict(verdict, work.proof_owed))),
        (None, _) => (alone(next), ended(list, of_verdict(verdict, work.started))),
    }
}

/// How a stream of a list ended that is not on its key. `started`: this work, or a run of the same message before, may have changed it.
fn of_verdict(verdict: &Verdict, started: bool) -> Ended {
    match (verdict.withheld, verdict.reason) {
        // What stops this one stops all of the list.
        (Some(Withheld::Halted | Withheld::GuardBlind | Withheld::WaitsItsTurn), _) => Ended::Badly,
        (Some(Withheld::ReportMode | Withheld::ProveOnly), _) => Ended::Badly,
        (_, Reason::StartRefused | Reason::PutBack | Reason::Unwritable) => Ended::Badly,
        // Nobody knows what became of the Start.
        _ if started && verdict.compliance != Compliance::NotApplicable => Ended::Badly,
        _ => Ended::NotStarted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::{KeyArn, StreamArn};
    use crate::domain::cause::Cause;
    use crate::domain::text::EventText;

    #[test]
    fn the_key_that_a_stream_can_go_back_to() {
        let old = "arn:aws:kms:eu-west-1:111122223333:key/old";
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let cause = Cause { call: EventText::new("sweep"), event_id: None, actor: None, at: None, creator: None };
        let work = Work::new(stream, cause, Timestamp::UNIX_EPOCH);
        for (started, rekeyed, previous_key, expect) in [
            (true, true, Some(old), Some(old)),
            (true, true, None, None),
            (true, false, None, Some(AWS_MANAGED_ALIAS)),
            // Nothing of ours changed it.
            (false, false, None, None),
            (false, true, Some(old), None),
        ] {
            let previous_key = previous_key.and_then(KeyArn::parse);
            let work = Work { started, rekeyed, previous_key, ..work.clone() };
            assert_eq!(back(&work).as_deref(), expect, "{work:?}");
        }
    }
}
