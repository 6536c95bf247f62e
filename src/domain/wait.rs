//! When a run observes a stream again that is not ready: soon after it is, and seldom before.
//!
//! Pure: the caller says how long it has waited and what it has seen. Who knows nothing observes in growing steps; who has seen new
//! streams become ready observes closely when the next one should be, since a service takes about as long each time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bounds::later;
use super::cause::{CREATE, Cause, STOP};
use super::work::{PutBack, Work};

/// The shortest and the longest pause between two observations.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));
/// The first pause, in which what takes a moment is over: 1 s × 2^-½.
const FIRST: Duration = Duration::from_millis(707);
/// Pauses grow with the time waited: two observations for each doubling of it (√2 - 1), and so, until pauses are the longest, no more than
/// 4 + 2 × log2(seconds) in all.
const GROWTH: f64 = 0.414_22;
/// By so much of itself a pause may be longer, and never shorter: that would be more observations.
const SPREAD: f64 = 0.03;
/// After a change of ours observations are closer, since somebody may change it back.
const GROWTH_AFTER_CHANGE: f64 = 0.4;
/// And this is the longest pause between them.
const LONGEST_AFTER_CHANGE: Duration = Duration::from_secs(20);
/// Around the time that is expected: from when observations are close, in what steps, and until when, as parts of it.
const CLOSE: (f64, f64, f64) = (0.9, 0.05, 1.3);
/// How many waits are remembered.
const REMEMBERED: usize = 7;

/// For so long a run that was deferred, and that nobody waits for, waits for its turn to observe.
const TURN: Duration = Duration::from_secs(2);
/// From this attempt on the pauses before runs are the longest. Such runs keep nobody waiting, and have waited for a quarter of an hour.
const PATIENT_FROM: u32 = 7;

/// So far apart are the spans in which an instance's first runs wait that nobody waits for.
const SPANS_APART: SignedDuration = SignedDuration::from_mins(5);

/// How long a run waits for a stream that is not ready: up to `most` where it is the first one for its event, after a Start of its own, and
/// where there is no queue to defer it to. All others observe once: many streams that are never ready keep no new one waiting.
pub fn longest(work: &Work, has_started: bool, has_queue: bool, most: Duration) -> Duration {
    if has_started || !has_queue || work.attempt == 0 { most } else { Duration::ZERO }
}

/// Whether a run waits only as its instance's [`Patience`] allows: anybody can cause many first runs that nobody waits for.
pub fn needs_patience(work: &Work, has_started: bool, has_queue: bool) -> bool {
    has_queue && !has_started && !is_awaited(work)
}

/// How long an instance waits in first runs that nobody waits for: while it does, it takes no batch that a new stream might be in. All such
/// waits lie in spans as long as the longest wait, five minutes apart; between those, what is not ready is deferred at once.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    began: Option<Timestamp>,
}

impl Patience {
    /// Begins a wait that would be over at `resume`, of `most` at the longest. Says whether the instance has the patience for it.
    pub fn allows(&mut self, now: Timestamp, resume: Timestamp, most: Duration) -> bool {
        let began = self.began.filter(|began| now.duration_since(*began) < SPANS_APART).unwrap_or(now);
        let is_allowed = resume <= later(began, most);
        if is_allowed {
            self.began = Some(began);
        }
        is_allowed
    }
}

/// How long a run waits for its turn to observe; `None`: as long as it has. One that was deferred, and that nobody waits for, takes what the
/// first runs of others leave of the rate: while it waited it would keep them waiting. After some attempts it waits for its turn again.
pub fn longest_turn(work: &Work, has_queue: bool) -> Option<Duration> {
    let owes = work.started || work.proof_owed || work.put_back == PutBack::Due || work.next.is_some();
    let is_deferred = (1..PATIENT_FROM).contains(&work.attempt);
    (has_queue && is_deferred && !is_awaited(work) && !owes).then_some(TURN)
}

/// Whether somebody waits for what a run does: a stream takes writes without encryption, or a person gave a command.
fn is_awaited(work: &Work) -> bool {
    let Cause { event_id, call, .. } = &work.cause;
    event_id.is_none() || [CREATE, STOP].contains(&call.as_str())
}

/// How long waits took of late.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    took: Vec<Duration>,
}

impl Waits {
    /// A wait was over between two observations, so long after its beginning.
    pub fn ended(&mut self, not_before: Duration, at: Duration) {
        if self.took.len() == REMEMBERED {
            self.took.remove(0);
        }
        self.took.push(not_before + at.saturating_sub(not_before) / 2);
    }

    /// How long the next one will take: the median; `None` before the first has ended.
    pub fn expected(&self) -> Option<Duration> {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// The pause before the next observation of a new stream. `waited`: since the first observation. `since`: since what is waited for began, at least as long.
/// `spread`, 0 to 1, takes many that began together a little apart.
pub fn pause(waited: Duration, since: Duration, expected: Option<Duration>, spread: f64) -> Duration {
    let (shortest, longest) = PAUSE;
    let (from, step, until) = CLOSE;
    let pause = match expected {
        Some(expected) if since < expected.mul_f64(from) => {
            let (rest, doubled) = (expected.mul_f64(from) - since, waited.max(FIRST));
            // Doubled, in case it ends much sooner this time; but no observation just before the first close one.
            if rest < doubled.mul_f64(1.5) { rest } else { doubled }
        }
        Some(expected) if since < expected.mul_f64(until) => expected.mul_f64(step),
        _ if waited < FIRST => FIRST - waited,
        _ => waited.mul_f64(GROWTH * (1.0 + SPREAD * spread.clamp(0.0, 1.0))),
    };
    pause.clamp(shortest, longest)
}

/// The pause before the next observation in any other wait.
pub fn pause_after_change(waited: Duration, spread: f64) -> Duration {
    let pause = waited.mul_f64(GROWTH_AFTER_CHANGE).clamp(PAUSE.0, LONGEST_AFTER_CHANGE);
    pause.mul_f64(0.9 + 0.2 * spread.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::StreamArn;
    use crate::domain::cause::START;
    use crate::domain::plan::guard::next::Next;
    use crate::domain::text::EventText;

    /// The work of a run so many times deferred, for this call; one without an event is a command.
    fn work(call: &str, event_id: Option<&str>, attempt: u32) -> Work {
        let event_id = event_id.map(EventText::new);
        let cause = Cause { call: EventText::new(call), event_id, actor: None, at: None, creator: None };
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        Work { attempt, ..Work::new(stream, cause, Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn a_deferred_run_waits_only_for_what_it_did() {
        let most = Duration::from_secs(20);
        for (call, event_id, attempt, has_started, expected) in [
            (CREATE, Some("e"), 0, false, 20),
            (STOP, Some("e"), 0, false, 20),
            (START, Some("e"), 0, false, 20),
            ("reconcile", None, 0, false, 20),
            ("AddTagsToStream", Some("e"), 0, false, 20),
            ("sweep", Some("e"), 0, false, 20),
            ("AddTagsToStream", Some("e"), 1, false, 0),
            (CREATE, Some("e"), 1, false, 0),
            ("reconcile", None, 7, false, 0),
            (CREATE, Some("e"), 1, true, 20),
            ("AddTagsToStream", Some("e"), 0, true, 20),
        ] {
            let work = work(call, event_id, attempt);
            let waits = |has_queue| longest(&work, has_started, has_queue, most).as_secs();
            assert_eq!((waits(true), waits(false)), (expected, 20), "{call} {attempt} {has_started}");
        }
    }

    #[test]
    fn only_runs_that_nobody_waits_for_need_patience() {
        for (call, event_id, has_started, expected) in [
            (CREATE, Some("e"), false, false),
            (STOP, Some("e"), false, false),
            ("reconcile", None, false, false),
            (START, Some("e"), false, true),
            ("AddTagsToStream", Some("e"), false, true),
            ("sweep", Some("e"), false, true),
            ("AddTagsToStream", Some("e"), true, false),
        ] {
            let needs = |has_queue| needs_patience(&work(call, event_id, 0), has_started, has_queue);
            assert_eq!((needs(true), needs(false)), (expected, false), "{call} {has_started}");
        }
    }

    #[test]
    fn an_instance_has_patience_for_one_span_in_five_minutes() {
        let mut patience = Patience::default();
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        for (now, resume, is_allowed) in [
            // A wait that is too long begins no span.
            (0, 21, false),
            (10, 30, true),
            // What waits at the same time shares the span, and ends with it.
            (12, 14, true),
            (29, 30, true),
            (29, 31, false),
            (40, 41, false),
            (309, 310, false),
            (310, 330, true),
            (330, 331, false),
            (611, 612, true),
        ] {
            let allows = patience.allows(at(now), at(resume), Duration::from_secs(20));
            assert_eq!(allows, is_allowed, "{now} {resume}");
        }
    }

    #[test]
    fn a_deferred_run_that_nobody_waits_for_leaves_the_rate_to_others() {
        for (call, event_id, attempt, is_limited) in [
            (START, Some("e"), 0, false),
            (START, Some("e"), 1, true),
            ("AddTagsToStream", Some("e"), 6, true),
            // So seldom a run may take its time: no flood keeps it from being made.
            ("AddTagsToStream", Some("e"), 7, false),
            ("sweep", Some("e"), 1, true),
            // These are waited for, however often they were deferred.
            (CREATE, Some("e"), 1, false),
            (STOP, Some("e"), 9, false),
            ("reconcile", None, 1, false),
        ] {
            let work = work(call, event_id, attempt);
            let limit = |has_queue| longest_turn(&work, has_queue);
            assert_eq!((limit(true), limit(false)), (is_limited.then_some(TURN), None), "{call} {attempt}");
            // What a run owes after a Start of its own is waited for too, and so are the streams after it.
            for owing in [
                Work { started: true, ..work.clone() },
                Work { proof_owed: true, ..work.clone() },
                Work { put_back: PutBack::Due, ..work.clone() },
                Work { next: Some(Next::default()), ..work.clone() },
            ] {
                assert_eq!(longest_turn(&owing, true), None, "{owing:?}");
            }
        }
    }

    fn observations(waits: &mut Waits, seconds: f64) -> (usize, f64) {
        observations_spread(waits, seconds, 0.5)
    }

    /// The observations of something that takes `seconds`: how many, how late the last is, and what is then expected.
    fn observations_spread(waits: &mut Waits, seconds: f64, spread: f64) -> (usize, f64) {
        let ready = Duration::from_secs_f64(seconds);
        let (mut now, mut before, mut count) = (Duration::ZERO, Duration::ZERO, 1);
        while now < ready {
            before = now;
            now += pause(now, now, waits.expected(), spread);
            count += 1;
        }
        waits.ended(before, now);
        (count, now.as_secs_f64() - seconds)
    }

    /// What a wait of so many seconds may cost in observations: four, and two more for each doubling.
    fn budget(seconds: f64) -> usize {
        let least_to_most = 2..40;
        least_to_most.rev().find(|&n| f64::from(n) <= 4.0 + 2.0 * seconds.log2()).unwrap_or(2) as usize
    }

    #[test]
    fn the_first_wait_is_followed_in_growing_steps() {
        for spread in [0.0, 0.5, 1.0] {
            for seconds in (0..85).map(|step| 0.4 * 1.07_f64.powi(step)) {
                let (count, late) = observations_spread(&mut Waits::default(), seconds, spread);
                assert!(count <= budget(seconds), "{seconds} s: {count} observations");
                let most = (0.46 * seconds).max(0.31);
                assert!(late <= most, "{seconds} s: {late} s late");
            }
        }
    }

    #[test]
    fn later_waits_are_met_when_they_end() {
        for seconds in [0.5, 1.3, 5.0, 17.0, 30.0, 77.0, 120.0_f64] {
            let mut waits = Waits::default();
            let tries: Vec<_> = (0..20).map(|_| observations(&mut waits, seconds)).collect();
            for (count, late) in tries.into_iter().skip(8) {
                assert!(late <= (0.1 * seconds).max(0.3), "{seconds} s: {late} s late");
                assert!(count <= budget(seconds).max(4), "{seconds} s: {count} observations");
            }
        }
    }

    #[test]
    fn what_changes_is_met_no_later_than_blindly_and_learnt() {
        let mut waits = Waits::default();
        for _ in 0..REMEMBERED {
            observations(&mut waits, 120.0);
        }
        let (count, late) = observations(&mut waits, 10.0);
        assert!(count <= 8 && late <= 10.0, "much sooner: {count} observations, {late} s late");
        for _ in 0..REMEMBERED {
            observations(&mut waits, 10.0);
        }
        let (count, late) = observations(&mut waits, 40.0);
        assert!(count <= 18 && late <= 20.0, "much later: {count} observations, {late} s late");
        // One that is unlike the others changes nothing.
        let expected = waits.expected().unwrap();
        assert!((9.0..=11.0).contains(&expected.as_secs_f64()), "{expected:?}");
    }

    #[test]
    fn pauses_stay_within_their_bounds() {
        let (shortest, longest) = PAUSE;
        for waited in [0, 1, 10, 1000, 100_000].map(Duration::from_secs) {
            for expected in
                [None, Some(Duration::ZERO), Some(Duration::from_secs(5)), Some(Duration::from_secs(100_000))]
            {
                for spread in [-1.0, 0.0, 1.0, 2.0] {
                    let pause = pause(waited, waited, expected, spread);
                    assert!((shortest..=longest).contains(&pause), "{waited:?} {expected:?}: {pause:?}");
                }
            }
        }
    }
}
