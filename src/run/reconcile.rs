//! The loop of one run: observe the stream, ask for the next step, do that one thing, observe again, until the run ends.
//!
//! It decides nothing itself: what an observation means, what may be done, and what a run's end leaves is decided in `domain/plan`. It
//! touches the world only through the ports, never calls Start twice in a run, and believes nothing after a Start until it has observed
//! the stream ACTIVE and encrypted with that key.

mod guard;
mod guarding;
pub mod preview;
mod prove;
mod restore;
mod start;
mod wait;

use std::pin::pin;

use futures_util::future::{Either, select};
use jiff::Timestamp;
use tracing::debug;

use self::guarding::Guarding;
use super::observe::{Observer, Unobserved};
use super::paces::Paces;
use super::session::{CALL_TIME, Session};
use crate::domain::arn::KeyRef;
use crate::domain::backoff::OBSERVATION;
use crate::domain::bounds::until;
use crate::domain::evidence::{Evidence, Judged, Proof};
use crate::domain::failure::Unfinished;
use crate::domain::hash::hash;
use crate::domain::history::{Check, Contention, check_of, read_after, weigh};
use crate::domain::plan::close::{
    After, End, Ending, Next, close, failed_observation, later, next_run, no_time_left, still_waits,
};
use crate::domain::plan::guard::life;
use crate::domain::plan::observation::{Observation, observation_of};
use crate::domain::plan::permit::is_only_reported;
use crate::domain::plan::proof::is_new;
use crate::domain::plan::state::State;
use crate::domain::plan::step::{Step, after_history};
use crate::domain::policy::{Decision, Outcome};
use crate::domain::text::EventText;
use crate::domain::wait::{longest, longest_turn};
use crate::domain::work::Work;
use crate::ports::{CallLog, Clock, KeyApi, StreamApi, TrafficApi, TrailApi};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// What it saw, did and can prove.
    pub evidence: Evidence,
    /// What is left.
    pub next: Next,
    /// The work of other streams, which follow this one.
    pub others: Vec<Work>,
    /// Whether a scan of all streams has to ask for its change.
    pub asks_for_scan: bool,
}

/// Runs until the stream is right and proven, or cannot be made so now.
pub async fn reconcile<W>(world: &W, work: &Work, session: &Session<'_>) -> RunEnd
where
    W: StreamApi + KeyApi + TrailApi + TrafficApi + Clock,
{
    let mut run = Run::new(world, work, session);
    // Whatever a call takes, the run is over in time to hand over what is left.
    let time = until(world.now(), session.deadline);
    let ended = match select(pin!(run.run()), pin!(world.sleep(time))).await {
        Either::Left((end, _)) => Some(end),
        Either::Right(((), _)) => None,
    };
    run.close(ended.unwrap_or_else(|| no_time_left("the time was up")))
}

struct Run<'a, W> {
    world: &'a W,
    session: &'a Session<'a>,
    observer: Observer<'a, W>,
    log: CallLog,
    started_at: Timestamp,
    wait_until: Timestamp,
    waiting_since: Timestamp,
    /// Observations that failed in a row.
    troubles: u32,
    dice: fastrand::Rng,
    state: State,
    decision: Option<Decision>,
    proof: Proof,
    /// Observations in vain for what a proof is made with, though the stream is there.
    proofs_gone: u32,
    /// Whether the run has waited for its turn to start and not used it yet.
    has_turn: bool,
    /// What else has to be known, for people.
    warnings: Vec<String>,
    guarding: Guarding,
}

impl<'a, W: Clock> Run<'a, W> {
    fn new(world: &'a W, work: &Work, session: &'a Session<'a>) -> Self {
        let now = world.now();
        let patience = longest(work, false, session.has_queue, session.config.wait);
        // The pauses of a run follow from what it is for, so that it can be repeated.
        let seed = hash(&format!("{}{}{}", work.stream, session.run_id, work.attempt));
        Self {
            world,
            session,
            observer: Observer::of_run(world, session),
            log: CallLog::default(),
            started_at: now,
            wait_until: now + patience,
            waiting_since: now,
            troubles: 0,
            dice: fastrand::Rng::with_seed(seed),
            state: State::new(work.clone()),
            decision: None,
            proof: Proof::default(),
            proofs_gone: 0,
            has_turn: false,
            warnings: Vec::new(),
            guarding: Guarding { back: life::back(work), ..Guarding::default() },
        }
    }
}

impl<W: StreamApi + KeyApi + TrailApi + TrafficApi + Clock> Run<'_, W> {
    async fn run(&mut self) -> End {
        if let Some(watch) = self.state.work.watch.clone() {
            return match watch.restore {
                Some(restore) => self.restore(&watch, restore).await,
                None => self.watch(&watch).await,
            };
        }
        let Session { paces, has_queue, .. } = *self.session;
        if longest_turn(&self.state.work, has_queue)
            .is_some_and(|most| Paces::is_busy(&paces.describes, self.world, most))
        {
            let why = "rate limited: other streams come first";
            return later(Unfinished::open("kinesis:DescribeStreamSummary", "RateLimited", why));
        }
        loop {
            let observation = match self.observe_at_last().await {
                Ok(observation) => observation,
                Err(end) => return end,
            };
            let mut step = self.next_step(&observation);
            loop {
                debug!(stream = %self.state.work.stream, ?observation, ?step, "step");
                if !matches!(step, Step::Start(_) | Step::ReadHistory(_)) {
                    self.has_turn = false;
                }
                if !matches!(step, Step::ReadHistory(_)) {
                    self.troubles = 0;
                }
                step = match self.take(step, &observation).await {
                    Taken::Next(step) => step,
                    Taken::SameObservation => self.next_step(&observation),
                    Taken::ObserveAgain => break,
                    Taken::End(end) => return end,
                };
            }
        }
    }

    /// Takes one step.
    async fn take(&mut self, step: Step, observation: &Observation) -> Taken {
        match step {
            Step::Await(condition) => match self.pause(condition).await {
                true => Taken::ObserveAgain,
                false => Taken::End(still_waits(condition)),
            },
            Step::Start(key) => self.start(&key, observation).await.map_or(Taken::ObserveAgain, Taken::End),
            Step::Prove => self.prove().await,
            Step::Finish(verdict) if self.state.is_left_unwritable(self.session.mode, self.world.now()) => {
                Taken::End(self.unwritable(&verdict).await)
            }
            Step::Finish(verdict) => Taken::End(match self.ask_who_changed_it().await {
                Ok(()) => (verdict, After::Verdict),
                Err(why) => later(why),
            }),
            Step::Defer(why) => {
                self.state.observed_in_vain();
                Taken::End(later(Unfinished::open("streamseal:Observe", "Deferred", &why)))
            }
            Step::StartAfresh => {
                let started = self.state.has_started();
                self.start_afresh().await;
                if started {
                    let why = "the stream was re-created while this run was under way";
                    return Taken::End(later(Unfinished::open("streamseal:Observe", "Recreated", why)));
                }
                Taken::ObserveAgain
            }
            Step::ReadHistory(wrong) => match self.read_history(wrong.created).await {
                Ok(contention) => self.ask_guard(&wrong, after_history(&wrong, &contention, self.world.now())).await,
                Err(why) => self.after_failed(why).await.map_or(Taken::ObserveAgain, Taken::End),
            },
        }
    }
}

impl<W: StreamApi + KeyApi + Clock> Run<'_, W> {
    /// Observes once, and decides where there is something to decide.
    async fn observe(&mut self) -> Result<Observation, Unobserved> {
        let Some(observed) = self.observer.describe(&self.state.work.stream, &self.log).await? else {
            return Ok(self.state.not_found(self.world.now()));
        };
        self.state.work.not_found_since = None;
        let observation = observation_of(&observed, self.state.work.created);
        if observation == Some(Observation::Recreated) {
            return Ok(Observation::Recreated);
        }
        self.state.found(&observed, self.session.mode, self.session.has_queue, self.world.now());
        let (observation, keys) = match observation {
            Some(observation) => (observation, self.state.keys.clone()),
            None => {
                self.state.work.active_since.get_or_insert(observed.at);
                let decision = self.decide().await?;
                let compared = self.observer.compare(&decision, observed.clone(), false, &self.log).await?;
                self.check_put_back(&compared.observation, &decision, observed.created).await?;
                (compared.observation, compared.keys)
            }
        };
        self.learn(&observed);
        self.state.observed(&observation, &observed, keys, self.world.now());
        Ok(observation)
    }

    /// The same, again where it fails for now; the end of the run where it fails for long.
    async fn observe_at_last(&mut self) -> Result<Observation, End> {
        loop {
            match self.observe().await {
                Ok(observation) => return Ok(observation),
                Err(unobserved) => match self.after_failure(unobserved).await {
                    Some(end) => return Err(end),
                    None => continue,
                },
            }
        }
    }

    /// Decides, until a Start was sent: from then on the run keeps to its decision.
    async fn decide(&mut self) -> Result<Decision, Unobserved> {
        if let Some(decision) = self.decision.as_ref().filter(|_| self.state.has_started()) {
            return Ok(decision.clone());
        }
        // Where the tags cannot be read now, those that were read before say nothing.
        self.decision = None;
        let decision = self.observer.decide(&self.state.work.stream, None, &self.log).await?;
        Ok(self.decision.insert(decision).clone())
    }

    /// A key that is to be put back has to be one that may be, now and not only when that was decided; and the stream has to be one that
    /// its rule lets us change, whatever the message says that was done to it.
    async fn check_put_back(
        &mut self,
        observation: &Observation,
        decision: &Decision,
        created: Timestamp,
    ) -> Result<(), Unobserved> {
        let is_on_it = matches!(observation, Observation::Active(situation) if situation.is_on_unusable_target());
        let (Outcome::Encrypt(target), true) = (&decision.outcome, is_on_it && !self.state.has_started()) else {
            return Ok(());
        };
        let only_reported = is_only_reported(target.existing, self.session.policy, created);
        let due = self.state.key_due_back(only_reported, self.world.now());
        if let Some(key) = due.and_then(|key| KeyRef::parse(key.as_str())) {
            let before = self.observer.ask_again(&key, &self.log).await.map_err(Unobserved::Failed)?;
            let on = self.observer.met(&target.key).await;
            self.state.check_put_back(on.as_ref(), &before);
        }
        Ok(())
    }
}

impl<W: TrailApi + Clock> Run<'_, W> {
    /// What CloudTrail's history says of a change that would be made now, of a stream that was made at `created`.
    async fn read_history(&self, created: Timestamp) -> Result<Contention, Unfinished> {
        let Session { config, history, paces, deadline, .. } = *self.session;
        let Work { stream, cause, started, started_at, .. } = &self.state.work;
        let check = check_of(cause, is_new(created, self.world.now()), *started);
        let Some(own_role) = config.own_role_arn.as_deref() else { return Ok(Contention::Clear) };
        if check == Check::None {
            return Ok(Contention::Clear);
        }
        let after = read_after(cause, self.world.now());
        let reading = history.of(stream, after, self.world, (paces, deadline), &self.log).await;
        let (of_it, since) = ((&stream.name, created), (cause, *started_at));
        weigh(check, reading.as_ref().map_err(Clone::clone), of_it, own_role, since, self.world.now())
    }
}

impl<W: Clock> Run<'_, W> {
    fn next_step(&self, observation: &Observation) -> Step {
        let Work { cause, active_since, .. } = &self.state.work;
        let progress = self.state.progress.clone().unwrap_or_default();
        self.session.next_step(observation, &progress, cause, *active_since, self.world.now())
    }

    /// Whether too little time is left to begin a write.
    fn no_time(&self) -> bool {
        self.world.now() + CALL_TIME > self.session.deadline
    }

    /// An observation that failed: again after a pause, or the end.
    async fn after_failure(&mut self, unobserved: Unobserved) -> Option<End> {
        match unobserved {
            Unobserved::Failed(failure) => self.after_failed(failure.into()).await,
            Unobserved::NoTime(why) => Some(later(why)),
        }
    }

    async fn after_failed(&mut self, why: Unfinished) -> Option<End> {
        self.troubles += 1;
        let now = self.world.now();
        let pause = OBSERVATION.pause(self.troubles - 1, self.dice.f64());
        let end = failed_observation(&why, self.troubles);
        if end.is_some() {
            return end;
        }
        let resume = now + pause;
        if resume > (self.started_at + self.session.config.wait).min(self.session.deadline) {
            return Some(later(why));
        }
        self.world.sleep(until(now, resume)).await;
        None
    }

    /// Forgets what belonged to the stream that had this name before.
    async fn start_afresh(&mut self) {
        self.state.start_afresh(self.world.now());
        // A new stream, whose own event may be lost.
        self.wait_until = self.world.now() + self.session.config.wait;
        self.decision = None;
        self.observer.forget_keys().await;
        self.proof = Proof::default();
        self.warnings.clear();
    }

    /// Makes the evidence and the work that is left.
    fn close(mut self, end: End) -> RunEnd {
        let now = self.world.now();
        let closed = close(Ending {
            state: &self.state,
            end,
            proof: self.proof.state,
            give_up_after: self.session.config.give_up_after,
            dice: self.dice.f64(),
            now,
        });
        self.proof.state = closed.proof;
        if closed.verdict.alarm {
            self.state.work.alarmed = Some(EventText::new(closed.verdict.reason.as_str()));
        }
        let (next, left) = self.left(closed.next, &closed.verdict, now);
        let others = std::mem::take(&mut self.guarding.others).into_iter().chain(left.others.clone());
        let other = |(name, list)| {
            let Work { stream, cause, .. } = &self.state.work;
            Work::of_list(stream.scope.stream(name), list, cause.clone(), now)
        };
        let others = others.map(other).collect();
        let watch = self.state.work.watch.as_ref();
        let guard = life::in_evidence(watch, self.guarding.watched.as_ref(), self.guarding.users.as_ref(), &left);
        let State { work, situation, desired, before, after, keys, .. } = &self.state;
        let evidence = Evidence {
            attempt: work.attempt,
            started_at: self.started_at,
            first_seen: work.first_seen,
            also: work.also.clone(),
            before: before.clone(),
            after: after.clone(),
            calls: self.log.calls(),
            proof: self.proof,
            warnings: self.warnings,
            remediation: closed.remediation,
            rekeyed: work.rekeyed,
            previous_key_needed_until: closed.previous_key_needed_until,
            next_run: next_run(&next, self.session.has_queue, now),
            guard,
            ..self.session.evidence(&work.stream, &work.cause, closed.verdict, now)
        };
        let (decision, desired, situation) = (self.decision.as_ref(), desired.as_ref(), situation.as_ref());
        let evidence = evidence.judged(&Judged { decision, desired, situation, keys, started: work.started });
        RunEnd { evidence, next, others, asks_for_scan: self.guarding.asks_for_scan }
    }
}

/// What taking a step came to.
enum Taken {
    /// Nothing about the stream changed: this is the next step.
    Next(Step),
    /// Nothing about the stream changed: the next step follows from the same observation.
    SameObservation,
    /// It has to be observed again.
    ObserveAgain,
    /// The run is over.
    End(End),
}
