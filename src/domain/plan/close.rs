//! How a run is closed: when to give up, when to observe again, what is owed, what was done. A run's end becomes the work that is left.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::proof::{Owed, is_new};
use super::state::State;
use super::step::Condition;
use crate::domain::backoff::{DELAY_MAX, WORK};
use crate::domain::bounds::until;
use crate::domain::evidence::{ProofState, Remediation, previous_key_needed_until};
use crate::domain::failure::{Fault, Unfinished};
use crate::domain::text::EventText;
use crate::domain::verdict::{Again, Compliance, Reason, Verdict};
use crate::domain::work::{PutBack, Work};

/// Observes a stream whose quota is used up: after 1 h and then every 4 h, past the 24 h that the quota counts over.
const QUOTA_RERUNS_MAX: u32 = 8;
/// Observations that fail in a row before a run leaves the rest to a later one.
pub const TROUBLES_MAX: u32 = 6;

/// What a run's end asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// What the verdict says.
    Verdict,
    /// A new run has to put the previous key back.
    PutBack(Unfinished),
    /// The rest has to be done later; not before this time, where there is one.
    Later(Unfinished, Option<Timestamp>),
}

/// The end of a run, before it is closed.
pub type End = (Verdict, After);

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Another observation would be good; events and sweeps observe too.
    May(Box<Work>, Duration),
    /// It is not finished: this work must be done, or the event is lost.
    Must(Box<Work>, Duration, Unfinished),
}

/// What [`close`] reads.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// What the run knows.
    pub state: &'a State,
    /// How it ended.
    pub end: End,
    /// How far the proof came.
    pub proof: ProofState,
    /// How long an event is followed.
    pub give_up_after: Duration,
    /// From 0 to 1, for the pause before the next run.
    pub dice: f64,
    /// Now.
    pub now: Timestamp,
}

/// A run that is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The verdict as it is reported.
    pub verdict: Verdict,
    /// What is left.
    pub next: Next,
    /// How far the proof came, and whether one is still owed.
    pub proof: ProofState,
    /// What was done.
    pub remediation: Remediation,
    /// Until when the key before a re-key is needed.
    pub previous_key_needed_until: Option<Timestamp>,
}

/// Closes a run.
pub fn close(ending: Ending<'_>) -> Closed {
    let Ending { state, end: (verdict, after), proof, give_up_after, dice, now } = ending;
    let owed = state.progress.as_ref().map(|progress| progress.proof).unwrap_or_default();
    let mut work = state.work.clone();
    work.proof_owed = owed == Owed::Now || (owed == Owed::No && work.proof_owed);
    let (mut verdict, mut next) = match after {
        After::Verdict if verdict.again == Again::ForQuota && work.reruns >= QUOTA_RERUNS_MAX => {
            (given_up(&verdict.detail), Next::Nothing)
        }
        After::Verdict => {
            let left = left(&work, owed, &verdict, now);
            let next = again(left, verdict.again, now);
            (verdict, next)
        }
        After::PutBack(why) => {
            let left = Work { put_back: PutBack::Due, ..left(&work, owed, &verdict, now) };
            (verdict, Next::Must(Box::new(left), Duration::ZERO, why))
        }
        After::Later(why, _) if is_over(&work, give_up_after, now) => {
            // What is owed then is what was owed when it ended.
            let left = left(&work, owed, &verdict, now);
            (given_up(&why.to_string()), again(left, Again::Twice, now))
        }
        After::Later(why, not_before) => {
            let left = Work { not_before, ..left(&work, owed, &verdict, now) };
            let delay = match not_before {
                Some(at) => until(now, at).min(DELAY_MAX),
                None => WORK.pause(work.attempt, dice),
            };
            (verdict, Next::Must(Box::new(left), delay, why))
        }
    };
    if verdict.alarm {
        let reason = verdict.reason.as_str();
        // Once for each reason: work that comes again and again with the same one would hide what else there is.
        verdict.alarm = state.work.alarmed.as_ref().is_none_or(|alarmed| alarmed.as_str() != reason);
        if let Next::May(work, _) | Next::Must(work, ..) = &mut next {
            work.alarmed = Some(EventText::new(reason));
        }
    }
    let owes = match (owed, verdict.compliance) {
        (_, Compliance::NotApplicable) | (Owed::No, _) => work.proof_owed,
        (Owed::Now, _) => true,
        (Owed::SinceTheEvent, _) => verdict.reason.is_open(),
    };
    let retention = state.after.as_ref().map(|after| after.observed.retention_hours).filter(|_| work.rekeyed);
    let changed_at = work.right_since.unwrap_or(now);
    Closed {
        remediation: remediation(&work, &verdict),
        proof: if owes && proof == ProofState::NotSought { ProofState::Owed } else { proof },
        previous_key_needed_until: retention.and_then(|hours| previous_key_needed_until(changed_at, hours)),
        verdict,
        next,
    }
}

/// When the stream is observed again.
pub fn next_run(next: &Next, has_queue: bool, now: Timestamp) -> Option<Timestamp> {
    match next {
        Next::Nothing => None,
        Next::May(..) if !has_queue => None,
        Next::May(work, delay) | Next::Must(work, delay, _) => Some(work.not_before.unwrap_or(now + *delay)),
    }
}

/// Whether an event was followed for long enough.
fn is_over(work: &Work, give_up_after: Duration, now: Timestamp) -> bool {
    now.duration_since(work.deadline_from) >= SignedDuration::try_from(give_up_after).unwrap_or(SignedDuration::MAX)
}

/// The work that a run with this end leaves. A proof that was sought in vain is sought again, and one that nobody sought yet is not
/// forgotten because the stream is not new any more when the next run comes.
fn left(work: &Work, owed: Owed, verdict: &Verdict, now: Timestamp) -> Work {
    let in_vain =
        matches!(verdict.reason, Reason::Unproven | Reason::ProofImpossible | Reason::ProofUnclear | Reason::Idle);
    let by_then = now + again_after(verdict.again, work.reruns).unwrap_or_default().max(DELAY_MAX);
    let old_by_then = work.created.is_some_and(|created| !is_new(created, by_then));
    let proof_owed = work.proof_owed || (owed == Owed::SinceTheEvent && (in_vain || old_by_then));
    Work { attempt: work.attempt.saturating_add(1), proof_owed, not_before: None, ..work.clone() }
}

/// Another observation of a stream whose run is over.
fn again(left: Work, again: Again, now: Timestamp) -> Next {
    let Some(delay) = again_after(again, left.reruns) else { return Next::Nothing };
    let at = now + delay;
    // A quota takes longer than an event is followed: each observation has a deadline of its own.
    let deadline_from = if again == Again::ForQuota { at } else { left.deadline_from };
    let reruns = left.reruns.saturating_add(1);
    Next::May(Box::new(Work { reruns, not_before: Some(at), deadline_from, ..left }), delay.min(DELAY_MAX))
}

/// When a finished stream is observed again, by how often it was.
fn again_after(again: Again, reruns: u32) -> Option<Duration> {
    match (again, reruns) {
        (Again::No, _) => None,
        (Again::Twice, 0) => Some(Duration::from_mins(15)),
        (Again::Twice, 1) | (Again::ForQuota, 0) => Some(Duration::from_hours(1)),
        (Again::Twice, _) => None,
        (Again::ForQuota, _) => Some(Duration::from_hours(4)),
    }
}

/// What was done about a wrong setting, by this run and those before it for the same cause.
fn remediation(work: &Work, verdict: &Verdict) -> Remediation {
    match (work.started, verdict.reason) {
        (_, Reason::StartRefused | Reason::Overtaken | Reason::Restored) => Remediation::Failed,
        _ if verdict.withheld.is_some() => Remediation::Withheld,
        (false, _) => Remediation::None,
        (true, _) if work.right_since.is_some() => Remediation::Applied,
        (true, _) => Remediation::Started,
    }
}

/// A run that is not finished.
pub fn later(why: impl Into<Unfinished>) -> End {
    let why = why.into();
    (unfinished(&why), After::Later(why, None))
}

/// The verdict of a run that is not finished.
pub fn unfinished(why: &Unfinished) -> Verdict {
    Verdict::new(Compliance::InsufficientData, Reason::Unfinished, why.to_string())
}

/// The run has waited long enough; a later one goes on.
pub fn still_waits(condition: Condition) -> End {
    let why = Unfinished::open("streamseal:Wait", "StillWaiting", &format!("it waits {}", condition.words()));
    (condition.not_yet(), After::Later(why, condition.not_before()))
}

/// The time of a run is up.
pub fn no_time_left(why: &str) -> End {
    later(Unfinished::open("streamseal:Run", "NoTimeLeft", why))
}

fn given_up(why: &str) -> Verdict {
    let detail = format!("gave up at the deadline: {why}");
    Verdict::new(Compliance::InsufficientData, Reason::GaveUp, detail).alarm().again(Again::Twice)
}

/// What follows from an observation that failed, with those before it in a row: the end of the run, or `None`: once more.
pub fn failed_observation(why: &Unfinished, troubles: u32) -> Option<End> {
    if let Some(fault) = why.fault() {
        let what = match fault {
            Fault::Access => "Streamseal is not allowed to observe it",
            Fault::Key | Fault::Request | Fault::Credentials => "it cannot be checked",
        };
        let verdict = Verdict::new(Compliance::InsufficientData, Reason::AccessDenied, format!("{what}: {why}"));
        return Some((verdict.alarm().again(Again::Twice), After::Verdict));
    }
    (troubles >= TROUBLES_MAX || why.is_expired()).then(|| later(why.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::StreamArn;
    use crate::domain::cause::Cause;
    use crate::domain::failure::{Class, Failure};
    use crate::domain::plan::step::Progress;
    use crate::domain::verdict::Withheld;

    fn now() -> Timestamp {
        "2026-03-02T08:00:00Z".parse().unwrap()
    }

    /// The state of a run for an event of so many hours ago, about a stream of that age.
    fn state(hours: i64) -> State {
        let at = now() - SignedDuration::from_hours(hours);
        let cause =
            Cause { call: EventText::new("CreateStream"), event_id: None, actor: None, at: Some(at), creator: None };
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let mut state = State::new(Work::new(stream, cause, at));
        state.work.created = Some(at);
        state.work.attempt = 2;
        state.progress = Some(Progress::default());
        state
    }

    fn closed(state: &State, end: End) -> Closed {
        let give_up_after = Duration::from_hours(24);
        let proof = ProofState::NotSought;
        close(Ending { state, end, proof, give_up_after, dice: 0.5, now: now() })
    }

    fn verdict(reason: Reason, again: Again) -> Verdict {
        Verdict::new(Compliance::NonCompliant, reason, "because").again(again)
    }

    fn open() -> Unfinished {
        Unfinished::open("streamseal:Wait", "StillWaiting", "still waiting")
    }

    /// The kind of what is left, its delay in seconds, and in how many seconds the stream is observed again.
    fn left(closed: &Closed) -> (&'static str, u64, i64) {
        let again = next_run(&closed.next, true, now()).map_or(-1, |at| at.duration_since(now()).as_secs());
        match &closed.next {
            Next::Nothing => ("nothing", 0, again),
            Next::May(_, delay) => ("may", delay.as_secs(), again),
            Next::Must(_, delay, _) => ("must", delay.as_secs(), again),
        }
    }

    fn work(closed: Closed) -> Work {
        match closed.next {
            Next::May(work, _) | Next::Must(work, ..) => *work,
            Next::Nothing => panic!("{closed:?}"),
        }
    }

    #[test]
    fn when_a_stream_is_observed_again() {
        let at = now() + SignedDuration::from_secs(40);
        let far = now() + SignedDuration::from_hours(2);
        let finished = |again| (verdict(Reason::WrongKey, again), After::Verdict);
        let unfinished = |not_before| (unfinished(&open()), After::Later(open(), not_before));
        for (reruns, end, expected) in [
            (0, finished(Again::No), ("nothing", 0, -1)),
            (0, finished(Again::Twice), ("may", 900, 900)),
            (1, finished(Again::Twice), ("may", 900, 3600)),
            (2, finished(Again::Twice), ("nothing", 0, -1)),
            (0, finished(Again::ForQuota), ("may", 900, 3600)),
            (7, finished(Again::ForQuota), ("may", 900, 4 * 3600)),
            (8, finished(Again::ForQuota), ("nothing", 0, -1)),
            // The third attempt: 15 s doubled twice.
            (0, unfinished(None), ("must", 60, 60)),
            (0, unfinished(Some(at)), ("must", 40, 40)),
            (0, unfinished(Some(far)), ("must", 900, 7200)),
            (0, (verdict(Reason::Unwritable, Again::No), After::PutBack(open())), ("must", 0, 0)),
        ] {
            let mut state = state(1);
            state.work.reruns = reruns;
            assert_eq!(left(&closed(&state, end.clone())), expected, "after {reruns} observations: {end:?}");
        }
    }

    #[test]
    fn the_same_reason_is_an_alarm_once() {
        let alarm = |reason| (verdict(reason, Again::Twice).alarm(), After::Verdict);
        for (alarmed, end, expected, next) in [
            (None, alarm(Reason::KeyUnusable), true, Some("key-unusable")),
            (Some("key-unusable"), alarm(Reason::KeyUnusable), false, Some("key-unusable")),
            (Some("unproven"), alarm(Reason::KeyUnusable), true, Some("key-unusable")),
            // What is no alarm says nothing of the last one.
            (Some("unproven"), later(open()), false, Some("unproven")),
            (None, later(open()), false, None),
        ] {
            let mut state = state(1);
            state.work.alarmed = alarmed.map(EventText::new);
            let closed = closed(&state, end.clone());
            assert_eq!(closed.verdict.alarm, expected, "{alarmed:?} {end:?}");
            assert_eq!(work(closed).alarmed, next.map(EventText::new), "{alarmed:?} {end:?}");
        }
    }

    #[test]
    fn an_event_is_followed_for_so_long() {
        let later = || later(open());
        assert_eq!(closed(&state(23), later()).verdict.reason, Reason::Unfinished);
        let closed_late = closed(&state(24), later());
        let Verdict { reason, alarm, .. } = closed_late.verdict;
        assert_eq!((reason, alarm, left(&closed(&state(24), later()))), (Reason::GaveUp, true, ("may", 900, 900)));
        let mut state = state(48);
        state.work.reruns = 8;
        let quota = closed(&state, (verdict(Reason::WrongKey, Again::ForQuota), After::Verdict));
        assert_eq!((quota.verdict.reason, quota.verdict.alarm), (Reason::GaveUp, true), "the quota lasts 24 h");
    }

    #[test]
    fn what_the_next_run_gets() {
        let mut state = state(1);
        state.work.not_before = Some(now());
        let next = work(closed(&state, later(open())));
        assert_eq!((next.attempt, next.not_before, next.put_back), (3, None, PutBack::No));
        let put_back = work(closed(&state, (verdict(Reason::Unwritable, Again::No), After::PutBack(open()))));
        assert_eq!(put_back.put_back, PutBack::Due);
        // An observation for the quota has a deadline of its own, any other one has that of its event.
        let quota = work(closed(&state, (verdict(Reason::WrongKey, Again::ForQuota), After::Verdict)));
        assert_eq!((quota.deadline_from, quota.reruns), (now() + SignedDuration::from_hours(1), 1));
        let twice = work(closed(&state, (verdict(Reason::WrongKey, Again::Twice), After::Verdict)));
        assert_eq!((twice.deadline_from, twice.reruns), (state.work.deadline_from, 1));
    }

    #[test]
    fn what_is_owed_goes_on() {
        use Compliance::{Compliant, InsufficientData, NotApplicable};
        // What the run owes, what the work owed, the stream's age in hours, its end; whether the next run owes a proof, and the state.
        for (owed, before, hours, (compliance, reason), (next, state_of_proof)) in [
            (Owed::Now, false, 0, (InsufficientData, Reason::Unfinished), (true, ProofState::Owed)),
            (Owed::Now, false, 0, (InsufficientData, Reason::ProofImpossible), (true, ProofState::Owed)),
            (Owed::No, true, 0, (InsufficientData, Reason::Unfinished), (true, ProofState::Owed)),
            (Owed::No, false, 0, (Compliant, Reason::RightKey), (false, ProofState::NotSought)),
            // Nobody sought it yet: an event that is repeated while the stream is new owes it anew.
            (Owed::SinceTheEvent, true, 0, (InsufficientData, Reason::Unfinished), (false, ProofState::Owed)),
            // By the next run the stream is not new any more.
            (Owed::SinceTheEvent, false, 1, (InsufficientData, Reason::Unfinished), (true, ProofState::Owed)),
            // Sought in vain.
            (Owed::SinceTheEvent, false, 0, (InsufficientData, Reason::Idle), (true, ProofState::NotSought)),
            (Owed::Now, false, 0, (NotApplicable, Reason::Exempt), (true, ProofState::Owed)),
        ] {
            let mut state = state(hours);
            state.work.proof_owed = before;
            state.progress = Some(Progress { proof: owed, ..Progress::default() });
            let end = Verdict::new(compliance, reason, "because").again(Again::Twice);
            let after = if reason == Reason::Unfinished { After::Later(open(), None) } else { After::Verdict };
            let closed = closed(&state, (end, after));
            let row = format!("{owed:?} {before} {hours} {reason:?}");
            assert_eq!(closed.proof, state_of_proof, "{row}");
            assert_eq!(work(closed).proof_owed, next, "{row}");
        }
    }

    #[test]
    fn what_was_done() {
        let right = Some(now());
        for (started, right_since, reason, withheld, expected) in [
            (false, None, Reason::RightKey, None, Remediation::None),
            (true, right, Reason::RightKey, None, Remediation::Applied),
            (true, None, Reason::Unfinished, None, Remediation::Started),
            (true, right, Reason::Overtaken, None, Remediation::Failed),
            (false, None, Reason::StartRefused, None, Remediation::Failed),
            (false, None, Reason::WrongKey, Some(Withheld::Existing), Remediation::Withheld),
            (true, right, Reason::Contested, Some(Withheld::Contested), Remediation::Withheld),
        ] {
            let mut state = state(1);
            (state.work.started, state.work.right_since) = (started, right_since);
            let verdict = Verdict { withheld, ..verdict(reason, Again::No) };
            let closed = closed(&state, (verdict, After::Verdict));
            assert_eq!(closed.remediation, expected, "{started} {right_since:?} {reason:?}");
        }
    }

    #[test]
    fn a_failed_observation_ends_the_run_or_not() {
        let failed = |class| {
            Unfinished::Call(Failure { class, ..Failure::retryable("kinesis:DescribeStreamSummary", "Code", "words") })
        };
        let end = |why: &Unfinished, troubles| {
            failed_observation(why, troubles).map(|(verdict, after)| (verdict.reason, verdict.alarm, after))
        };
        for fault in [Fault::Access, Fault::Key, Fault::Credentials, Fault::Request] {
            let refused = failed(Class::Permanent(fault));
            assert_eq!(end(&refused, 1), Some((Reason::AccessDenied, true, After::Verdict)), "{fault:?}");
        }
        let expired = failed(Class::Expired);
        let later = After::Later(expired.clone(), None);
        assert_eq!(end(&expired, 1), Some((Reason::Unfinished, false, later)), "no second call with these credentials");
        for passing in [failed(Class::Retryable), failed(Class::Waiting), open()] {
            assert_eq!(end(&passing, TROUBLES_MAX - 1), None);
            let later = After::Later(passing.clone(), None);
            assert_eq!(end(&passing, TROUBLES_MAX), Some((Reason::Unfinished, false, later)));
        }
    }
}
