//! The loop: look at one stream, ask [`next_step`], do that one thing, look again, until the run ends.
//!
//! It decides nothing itself: every branch on the state of the world is in `domain/plan.rs`. It touches the world only
//! through the ports, never calls Start twice in a run, and believes nothing after a Start until it has seen the stream
//! ACTIVE and encrypted with that key.

mod history;
mod paces;
mod preview;
mod proof;
mod start;
mod waits;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use tracing::debug;

use crate::config::Config;
use crate::domain::arn::KeyRef;
use crate::domain::cause::Cause;
use crate::domain::evidence::{Evidence, Proof, ProofState, Remediation, Setting, previous_key_needed_until};
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::history::{Check, Contention, check_of, contention, is_changed, read_after};
use crate::domain::model::{KeyIdentity, Mode, Observed, Tags};
use crate::domain::plan::permit::{Circumstances, Permission, is_only_reported, permit};
use crate::domain::plan::proof::{Owed, is_new, proof_owed};
use crate::domain::plan::put_back;
use crate::domain::plan::sight::{Sight, sight_of, sight_of_none};
use crate::domain::plan::situation::{Keys, Situation, assess, key_needed, material_of};
use crate::domain::plan::step::{Condition, Progress, Started, Step, next_step};
use crate::domain::policy::{Decision, Outcome, Policy};
use crate::domain::remedy::remedy;
use crate::domain::verdict::{Again, Compliance, Reason, Verdict};
use crate::domain::work::{PutBack, Work};
use crate::ports::{CallLog, World};

pub use self::history::History;
pub use self::paces::Paces;
pub use self::preview::{Preview, preview};
use self::proof::Proved;

/// Failed looks in a row before a run leaves the rest to a later one.
const TROUBLES_MAX: u32 = 6;
/// What one request may take (`ATTEMPT_TIMEOUT` of the adapters): with less time left no write is begun.
pub const CALL_TIME: SignedDuration = SignedDuration::from_secs(5);
/// The first delay of a run that has to go on later; it doubles with each attempt.
const DELAY_FIRST_S: u64 = 15;
/// Looks at a stream whose quota is used up: after 1 h and then every 4 h, past the 24 h that the quota counts over.
const QUOTA_LOOKS_MAX: u32 = 8;
/// The longest delay that SQS knows (SQS API reference, SendMessage).
pub const DELAY_MAX: Duration = Duration::from_secs(900);

/// What holds for a whole invocation.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The function's configuration.
    pub config: &'a Config,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The mode in force.
    pub mode: Mode,
    /// The invocation's id.
    pub run_id: &'a str,
    /// When the run must have ended.
    pub deadline: Timestamp,
    /// The rates that runs share.
    pub paces: &'a Paces,
    /// What is known of CloudTrail's history.
    pub history: &'a History,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// What it saw, did and can prove.
    pub evidence: Evidence,
    /// What is left.
    pub next: Next,
}

/// What a run leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Another look would be good; events and sweeps look too.
    May(Box<Work>, Duration),
    /// It is not finished: this work must be done, or the event is lost.
    Must(Box<Work>, Duration, Failure),
}

/// Runs until the stream is right and proven, or cannot be made so now.
pub async fn reconcile<W: World>(world: &W, work: &Work, settings: &Settings<'_>) -> RunEnd {
    let mut run = Run::new(world, work, settings);
    // Whatever a call takes, the run is over in time to send on what is left.
    let time = until(world.now(), settings.deadline);
    let ended = match select(pin!(run.go()), pin!(world.sleep(time))).await {
        Either::Left((end, _)) => Some(end),
        Either::Right(((), _)) => None,
    };
    let (verdict, after) = ended.unwrap_or_else(|| no_time_left("the time was up"));
    run.end(verdict, after)
}

/// The pauses of a run follow from what it is for, so that it can be repeated.
fn seed(work: &Work, run_id: &str) -> u64 {
    let text = format!("{}{run_id}{}", work.stream, work.attempt);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

struct Run<'a, W> {
    world: &'a W,
    settings: &'a Settings<'a>,
    log: CallLog,
    started_at: Timestamp,
    wait_until: Timestamp,
    waiting_since: Timestamp,
    troubles: u32,
    dice: fastrand::Rng,
    /// `None` until the stream was seen once, since what is owed depends on its age.
    progress: Option<Progress>,
    decision: Option<Decision>,
    wanted: Option<KeyIdentity>,
    /// How it stood with the policy at the last look, where it was ACTIVE.
    situation: Option<Situation>,
    keys: Keys,
    before: Option<Setting>,
    after: Option<Setting>,
    proof: Proof,
    /// Looks in vain for what a proof is made with, though the stream is there.
    proofs_gone: u32,
    /// Since when this run has seen the right setting, without a break.
    right_here: Option<Timestamp>,
    /// Whether the run has waited for its turn to start and not used it yet.
    has_turn: bool,
    /// What CloudTrail's history says of the change that is due.
    contention: Contention,
    /// What else has to be known, for people.
    warnings: Vec<String>,
    work: Work,
}

/// The end of a run, before it is made into evidence.
type End = (Verdict, After);

/// What a run's end asks for.
#[derive(Debug)]
enum After {
    /// What the verdict says.
    Verdict,
    /// A new run has to put the previous key back.
    PutBack(Failure),
    /// The rest has to be done later.
    Later(Failure, Option<Timestamp>),
}

impl<'a, W: World> Run<'a, W> {
    fn new(world: &'a W, work: &Work, settings: &'a Settings<'a>) -> Self {
        let now = world.now();
        Self {
            world,
            settings,
            log: CallLog::default(),
            started_at: now,
            wait_until: now + settings.config.wait,
            waiting_since: now,
            troubles: 0,
            dice: fastrand::Rng::with_seed(seed(work, settings.run_id)),
            progress: None,
            decision: None,
            wanted: None,
            situation: None,
            keys: Keys::new(),
            before: None,
            after: None,
            proof: Proof::default(),
            proofs_gone: 0,
            right_here: None,
            has_turn: false,
            contention: Contention::Clear,
            warnings: Vec::new(),
            work: work.clone(),
        }
    }

    async fn go(&mut self) -> End {
        loop {
            let Settings { paces, deadline, .. } = *self.settings;
            let turn = Paces::wait(&paces.describes, self.world, deadline, "kinesis:DescribeStreamSummary").await;
            if let Err(failure) = turn {
                return later(failure);
            }
            let (sight, observed) = match self.look().await {
                Ok(seen) => seen,
                Err(failure) => match self.after_failed_look(failure).await {
                    Some(end) => return end,
                    None => continue,
                },
            };
            self.troubles = 0;
            loop {
                let now = self.world.now();
                let progress = self.progress.clone().unwrap_or_default();
                let step = next_step(&sight, &progress, || self.permit(&sight, observed.as_ref(), now), now);
                debug!(stream = %self.work.stream, ?sight, ?step, "step");
                if !matches!(step, Step::Start(_)) {
                    self.has_turn = false;
                }
                match step {
                    Step::Await(condition) => {
                        if !self.pause(condition).await {
                            return self.not_finished(condition);
                        }
                    }
                    Step::Start(key) => {
                        if let Some(end) = self.start(&key, &sight).await {
                            return end;
                        }
                    }
                    Step::Prove => match self.prove(observed.as_ref()).await {
                        // The same sight, with the proof made: no need to look again for what was just seen.
                        Proved::Made => continue,
                        Proved::LookAgain => {}
                        Proved::End(end) => return end,
                    },
                    Step::Finish(verdict) if self.left_unwritable(&sight) => return self.unwritable(&verdict).await,
                    Step::Finish(verdict) => return (verdict, After::Verdict),
                    Step::LookLater(why) => {
                        if self.progress.as_ref().is_some_and(|p| p.started == Some(Started { acknowledged: false })) {
                            // It had no effect, or none that is known of.
                            self.work.started_at = None;
                        }
                        return later(Failure::retryable("streamseal:Look", "LookLater", &why));
                    }
                    Step::StartAfresh => {
                        let started = self.progress.as_ref().is_some_and(|p| p.started.is_some());
                        self.start_afresh();
                        if started {
                            let why = "the stream was re-created while this run was under way";
                            return later(Failure::retryable("streamseal:Look", "Recreated", why));
                        }
                    }
                }
                break;
            }
        }
    }

    /// Looks once, and decides where there is something to decide.
    async fn look(&mut self) -> Result<(Sight, Option<Observed>), Failure> {
        let observed = match self.world.describe(&self.work.stream, &self.log).await {
            Ok(observed) => observed,
            Err(failure) if failure.class == Class::Ignored => {
                let Work { cause, created, not_found_since, .. } = &mut self.work;
                let (now, born) = (self.world.now(), cause.at.filter(|_| cause.creator.is_some()));
                let sight = sight_of_none(created.is_some(), *not_found_since, born, now);
                not_found_since.get_or_insert(now);
                return Ok((sight, None));
            }
            Err(failure) => return Err(failure),
        };
        self.work.not_found_since = None;
        let sight = sight_of(&observed, self.work.created);
        if sight == Some(Sight::Recreated) {
            return Ok((Sight::Recreated, Some(observed)));
        }
        self.work.created = Some(observed.created);
        if self.progress.is_none() {
            let mut proof = proof_owed(self.work.proof_owed, observed.created, self.world.now());
            if self.work.cause.is_about_encryption() && !self.world.has_queue() {
                // Nothing else says that this event was here before, and its run was cut off between Start and proof.
                proof = proof.max(Owed::SinceTheEvent);
            }
            // A function that only reports does not put a key back either.
            let may = self.work.put_back != PutBack::No && self.settings.mode == Mode::Enforce;
            let put_back = self.work.previous_key.clone().filter(|_| may).map(KeyIdentity::Arn);
            let was_put_back = self.work.put_back == PutBack::Done;
            self.progress = Some(Progress { proof, put_back, was_put_back, ..Progress::default() });
        }
        let sight = match sight {
            Some(sight) => sight,
            None => {
                self.work.active_since.get_or_insert(observed.at);
                Sight::Active(self.assess(&observed).await?)
            }
        };
        self.remember(&sight, &observed);
        self.contention = Contention::Clear;
        if self.permit(&sight, Some(&observed), self.world.now()) == Permission::Allowed {
            self.contention = self.weigh(&observed).await?;
        }
        Ok((sight, Some(observed)))
    }

    /// What CloudTrail's history says of a change that would be made now.
    async fn weigh(&self, observed: &Observed) -> Result<Contention, Failure> {
        let Settings { config, history, paces, deadline, .. } = *self.settings;
        let Work { stream, cause, started, started_at, .. } = &self.work;
        let started_now = self.progress.as_ref().is_some_and(|p| p.started.is_some());
        let check = check_of(cause, is_new(observed.created, self.world.now()), *started);
        let Some(own_role) = config.own_role_arn.as_deref() else { return Ok(Contention::Clear) };
        if started_now || check == Check::None {
            return Ok(Contention::Clear);
        }
        let of_it = (&stream.name, observed.created);
        let after = read_after(cause, self.world.now());
        match history.of(stream, after, self.world, (paces, deadline), &self.log).await {
            Ok(trail) if check == Check::IfChanged && !is_changed(&trail, of_it, own_role) => Ok(Contention::Clear),
            Ok(trail) => Ok(contention(&trail, of_it, own_role, (cause, *started_at), self.world.now())),
            Err(_) if check == Check::IfChanged => Ok(Contention::Clear),
            Err(failure) if matches!(failure.class, Class::Permanent(_)) => {
                Ok(Contention::Unknown(format!("whether somebody else changes it cannot be told: {failure}")))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Decides (until a Start was sent: from then on the run keeps to its decision) and compares.
    async fn assess(&mut self, observed: &Observed) -> Result<Situation, Failure> {
        let own = &self.settings.config.own;
        let started = self.progress.as_ref().is_some_and(|p| p.started.is_some());
        let decision = match self.decision.take() {
            Some(decision) if started => decision,
            _ => {
                let policy = self.settings.policy;
                let tags = if policy.needs_tags() {
                    let Settings { paces, deadline, .. } = *self.settings;
                    Paces::wait(&paces.tags, self.world, deadline, "kinesis:ListTagsForStream").await?;
                    self.world.tags(&self.work.stream, &self.log).await?
                } else {
                    Tags::new()
                };
                policy.decide(&self.work.stream, &tags, self.world.now())
            }
        };
        let decision = self.decision.insert(decision);
        while let Some(key) = key_needed(&decision.outcome, &observed.encryption, &self.keys, own) {
            let found = self.world.lookup(&key, &self.log).await?;
            self.keys.insert(key, found);
        }
        let situation = assess(&decision.outcome, &observed.encryption, &self.keys, own);
        if !started && is_on_unusable_target(&situation) {
            self.check_put_back(observed).await?;
        }
        Ok(situation)
    }

    /// A key that is to be put back has to be one that may be, now and not only when that was decided; and the stream has to be one that
    /// its rule lets us change, whatever the message says that was done to it.
    async fn check_put_back(&mut self, observed: &Observed) -> Result<(), Failure> {
        let key = self.progress.as_ref().and_then(|p| p.put_back.as_ref()).and_then(|key| KeyRef::parse(key.as_str()));
        let (Some(key), Some(Outcome::Encrypt(target))) = (key, self.decision.as_ref().map(|d| &d.outcome)) else {
            return Ok(());
        };
        let may = !is_only_reported(target, self.settings.policy, observed.created)
            && put_back::is_in_time(self.work.started_at, self.world.now())
            && put_back::is_allowed(self.keys.get(&target.key), &self.world.lookup(&key, &self.log).await?);
        if !may {
            self.progress.get_or_insert_default().put_back = None;
        }
        Ok(())
    }

    /// Keeps what evidence and later steps need of a look.
    fn remember(&mut self, sight: &Sight, observed: &Observed) {
        self.learn(observed);
        self.situation = match sight {
            Sight::Active(situation) => Some(situation.clone()),
            _ => None,
        };
        let now = self.world.now();
        let (mut key, mut target) = (None, None);
        let mut wrong = false;
        if let Sight::Active(situation) = sight {
            match situation {
                Situation::Right { key: on, accepted } => {
                    key = Some(on.clone());
                    target = (!accepted).then(|| on.clone());
                    self.work.right_since.get_or_insert(observed.at);
                    self.right_here.get_or_insert(observed.at);
                }
                Situation::Wrong { target: wanted, current, .. } => {
                    wrong = true;
                    key = current.as_ref().and_then(|c| c.info.as_ref()).map(|info| info.identity.clone());
                    target = Some(wanted.clone());
                    self.work.right_since = None;
                    self.right_here = None;
                }
                Situation::TargetUnusable(wanted, _, current) => {
                    // Only a run that puts a key back starts anything here, and for it every other key is the wrong one.
                    let back = self.progress.as_ref().and_then(|p| p.put_back.as_ref());
                    if back.is_some() && current.as_ref() == back {
                        self.work.right_since.get_or_insert(observed.at);
                        self.right_here.get_or_insert(observed.at);
                        // Seen where it was put back to: that was the one time.
                        self.work.put_back = PutBack::Done;
                    } else {
                        wrong = true;
                        self.work.right_since = None;
                        self.right_here = None;
                    }
                    key = current.clone();
                    target = Some(wanted.clone());
                }
                Situation::AcceptedUnusable(on, _) => key = Some(on.clone()),
                Situation::TargetNotReady(wanted, _) => {
                    target = Some(wanted.clone());
                }
                Situation::Exempt
                | Situation::Unmatched
                | Situation::Unresolvable(_)
                | Situation::NoSuchKey(_)
                | Situation::Unreadable(_) => {}
            }
        }
        if *sight == Sight::Busy {
            // It may come back with another setting.
            self.work.right_since = None;
            self.right_here = None;
        }
        if let Some(progress) = &mut self.progress {
            progress.wrong_since = match (wrong && progress.started.is_some(), progress.wrong_since) {
                (true, None) => Some(now),
                (true, since) => since,
                (false, _) => None,
            };
        }
        if target.is_some() {
            self.wanted = target;
        }
        let material = key.as_ref().and_then(|key| material_of(key, &self.keys));
        let setting = Setting { observed: observed.clone(), key, material };
        self.before.get_or_insert_with(|| setting.clone());
        self.after = Some(setting);
    }

    fn permit(&self, sight: &Sight, observed: Option<&Observed>, now: Timestamp) -> Permission {
        // Asked for only by the row of a wrong stream, which has all of these.
        let (
            Sight::Active(Situation::Wrong { current, target_manager, .. }),
            Some(observed),
            Some(Outcome::Encrypt(target)),
        ) = (sight, observed, self.decision.as_ref().map(|d| &d.outcome))
        else {
            return Permission::Settling(now);
        };
        let circumstances = Circumstances {
            mode: self.settings.mode,
            policy: self.settings.policy,
            cause: &self.work.cause,
            created: observed.created,
            active_since: self.work.active_since.unwrap_or(observed.at),
            contention: &self.contention,
            now,
        };
        permit(target, current.as_ref(), *target_manager, &circumstances)
    }

    /// Whether too little time is left to begin a write.
    fn no_time(&self) -> bool {
        self.world.now() + CALL_TIME > self.settings.deadline
    }

    /// Pauses before the next look; `false` when this run has waited long enough.
    async fn pause(&mut self, condition: Condition) -> bool {
        let now = self.world.now();
        let resume = match condition {
            Condition::Settled(until) => until,
            Condition::Exists | Condition::Active | Condition::Applied => now + self.pause_for(now),
        };
        // Without a queue, what is left to a later run begins to settle anew: wait here as long as there is time.
        let settles_here = matches!(condition, Condition::Settled(_)) && !self.world.has_queue();
        let limit = if settles_here { self.settings.deadline } else { self.wait_until.min(self.settings.deadline) };
        if resume > limit {
            return false;
        }
        if self.progress.as_ref().is_none_or(|p| p.started.is_none()) {
            // What KMS said before the wait may not hold after it.
            self.keys.clear();
        }
        self.world.sleep(until(now, resume)).await;
        true
    }

    /// A look that failed: again after a pause, or the end.
    async fn after_failed_look(&mut self, failure: Failure) -> Option<End> {
        if let Class::Permanent(fault) = failure.class {
            let what = match fault {
                Fault::Access => "we may not look at it",
                Fault::Key | Fault::Request | Fault::Credentials => "it cannot be looked at",
            };
            let detail = format!("{what}: {failure}");
            let verdict = Verdict::new(Compliance::InsufficientData, Reason::AccessDenied, detail);
            return Some((Verdict { alarm: true, again: Again::Twice, ..verdict }, After::Verdict));
        }
        self.troubles += 1;
        let now = self.world.now();
        let pause = 0.2 * f64::from(1_u32 << self.troubles.min(5)) * (0.5 + self.dice.f64());
        let resume = now + Duration::from_secs_f64(pause);
        if self.troubles >= TROUBLES_MAX || resume > self.wait_until.min(self.settings.deadline) {
            return Some(later(failure));
        }
        self.world.sleep(until(now, resume)).await;
        None
    }

    fn not_finished(&self, condition: Condition) -> End {
        let what = condition.as_str();
        let failure = Failure::retryable("streamseal:Wait", "StillWaiting", &format!("still waiting for: {what}"));
        let not_before = match condition {
            Condition::Settled(until) => Some(until),
            Condition::Exists | Condition::Active | Condition::Applied => None,
        };
        (unfinished(&failure), After::Later(failure, not_before))
    }

    /// Forgets what belonged to the stream that had this name before; who made this one is not known.
    fn start_afresh(&mut self) {
        let cause = Cause { creator: None, ..self.work.cause.clone() };
        self.work = Work::new(self.work.stream.clone(), cause, self.world.now());
        self.progress = None;
        self.decision = None;
        self.wanted = None;
        self.situation = None;
        self.keys.clear();
        self.before = None;
        self.after = None;
        self.proof = Proof::default();
        self.warnings.clear();
    }

    /// Makes the evidence and the work that is left.
    fn end(mut self, mut verdict: Verdict, after: After) -> RunEnd {
        let now = self.world.now();
        let progress = self.progress.clone().unwrap_or_default();
        let owed = progress.proof != Owed::No || self.work.proof_owed;
        self.work.proof_owed = owed && progress.proof != Owed::SinceTheEvent;
        let given_up = now.duration_since(self.work.deadline_from)
            >= SignedDuration::try_from(self.settings.config.give_up_after).unwrap_or(SignedDuration::MAX);
        let (attempt, looks) = (self.work.attempt, self.work.looks);
        let mut next_work = self.work.clone();
        next_work.attempt = attempt.saturating_add(1);
        // A proof that was sought in vain is sought again, and one that nobody sought yet is not forgotten because the stream
        // is not new any more when the next run comes.
        let in_vain =
            matches!(verdict.reason, Reason::Unproven | Reason::ProofImpossible | Reason::ProofUnclear | Reason::Idle);
        let by_then = now + again_after(verdict.again, looks).unwrap_or_default().max(DELAY_MAX);
        let old_by_then = self.work.created.is_some_and(|created| !is_new(created, by_then));
        next_work.proof_owed |= progress.proof == Owed::SinceTheEvent && (in_vain || old_by_then);
        next_work.not_before = None;
        let mut again = |again: Again| {
            let delay = again_after(again, next_work.looks)?;
            next_work.looks = next_work.looks.saturating_add(1);
            next_work.not_before = Some(now + delay);
            if again == Again::ForQuota {
                // It takes longer than an event is followed: each look has a deadline of its own.
                next_work.deadline_from = now + delay;
            }
            Some(Next::May(Box::new(next_work.clone()), delay.min(DELAY_MAX)))
        };
        let next = match after {
            After::Verdict if verdict.again == Again::ForQuota && looks >= QUOTA_LOOKS_MAX => {
                verdict = given_up_verdict(&verdict.detail);
                Next::Nothing
            }
            After::Verdict => again(verdict.again).unwrap_or(Next::Nothing),
            After::PutBack(failure) => {
                next_work.put_back = PutBack::Due;
                Next::Must(Box::new(next_work), Duration::ZERO, failure)
            }
            After::Later(failure, _) if given_up => {
                verdict = given_up_verdict(&failure.to_string());
                again(Again::Twice).unwrap_or(Next::Nothing)
            }
            After::Later(failure, Some(at)) => {
                next_work.not_before = Some(at);
                Next::Must(Box::new(next_work), until(now, at).min(DELAY_MAX), failure)
            }
            After::Later(failure, None) => {
                let delay = backoff(attempt, &mut self.dice);
                Next::Must(Box::new(next_work), delay, failure)
            }
        };
        let owes = match (progress.proof, verdict.compliance) {
            (_, Compliance::NotApplicable) | (Owed::No, _) => self.work.proof_owed,
            (Owed::Now, _) => true,
            (Owed::SinceTheEvent, _) => verdict.reason == Reason::Unfinished,
        };
        if owes && self.proof.state == ProofState::NotSought {
            self.proof.state = ProofState::Owed;
        }
        let next_look = match &next {
            Next::Nothing => None,
            Next::May(..) if !self.world.has_queue() => None,
            Next::May(work, delay) | Next::Must(work, delay, _) => Some(work.not_before.unwrap_or(now + *delay)),
        };
        let started = self.work.started;
        let remediation = match (started, verdict.reason) {
            (_, Reason::StartRefused | Reason::Overtaken) => Remediation::Failed,
            _ if verdict.withheld.is_some() => Remediation::Withheld,
            (false, _) => Remediation::None,
            (true, _) if self.work.right_since.is_some() => Remediation::Applied,
            (true, _) => Remediation::Started,
        };
        let calls = self.log.calls();
        let remedy = remedy(&self.facts(Some(&verdict), &calls));
        let changed_at = self.work.right_since.unwrap_or(now);
        let retention = self.after.as_ref().map(|after| after.observed.retention_hours).filter(|_| self.work.rekeyed);
        let previous_key_needed_until = retention.and_then(|hours| previous_key_needed_until(changed_at, hours));
        let (rule, reasons, desired) = match self.decision {
            None => (None, Vec::new(), None),
            Some(decision) => {
                let key = match decision.outcome {
                    Outcome::Encrypt(target) => Some((target.key, self.wanted)),
                    Outcome::Exempt(_) | Outcome::Unmatched | Outcome::Unresolvable(_) => None,
                };
                (decision.rule.map(|rule| (rule.index, rule.name)), decision.reasons, key)
            }
        };
        let evidence = Evidence {
            run_id: self.settings.run_id.to_owned(),
            attempt,
            mode: self.settings.mode,
            started_at: self.started_at,
            finished_at: now,
            stream: self.work.stream,
            cause: self.work.cause,
            first_seen: self.work.first_seen,
            policy_source: self.settings.config.policy.to_string(),
            policy_digest: self.settings.policy.digest.clone(),
            rule,
            reasons,
            before: self.before,
            after: self.after,
            desired,
            calls,
            proof: self.proof,
            verdict,
            warnings: self.warnings,
            remediation,
            rekeyed: self.work.rekeyed,
            previous_key_needed_until,
            remedy,
            next_look,
        };
        RunEnd { evidence, next }
    }
}

fn no_time_left(why: &str) -> End {
    later(Failure::retryable("streamseal:Run", "NoTimeLeft", why))
}

fn is_on_unusable_target(situation: &Situation) -> bool {
    matches!(situation, Situation::TargetUnusable(target, _, current) if current.as_ref() == Some(target))
}

fn later(failure: Failure) -> End {
    (unfinished(&failure), After::Later(failure, None))
}

fn unfinished(failure: &Failure) -> Verdict {
    Verdict::new(Compliance::InsufficientData, Reason::Unfinished, failure.to_string())
}

fn given_up_verdict(why: &str) -> Verdict {
    let detail = format!("the deadline passed: {why}");
    let verdict = Verdict::new(Compliance::InsufficientData, Reason::GaveUp, detail);
    Verdict { alarm: true, again: Again::Twice, ..verdict }
}

/// 15 s, doubled with each attempt up to SQS's 15 min, and spread by a fifth so that a burst does not come back as one.
pub fn backoff(attempt: u32, dice: &mut fastrand::Rng) -> Duration {
    let grown = DELAY_FIRST_S.saturating_mul(1_u64.checked_shl(attempt.min(16)).unwrap_or(u64::MAX));
    let seconds = Duration::from_secs(grown).min(DELAY_MAX).as_secs_f64();
    Duration::from_secs_f64((seconds * (0.8 + 0.4 * dice.f64())).min(DELAY_MAX.as_secs_f64()))
}

/// When a finished stream is looked at again, by how often it was.
fn again_after(again: Again, looks: u32) -> Option<Duration> {
    match (again, looks) {
        (Again::No, _) => None,
        (Again::Twice, 0) => Some(Duration::from_mins(15)),
        (Again::Twice, 1) | (Again::ForQuota, 0) => Some(Duration::from_hours(1)),
        (Again::Twice, _) => None,
        (Again::ForQuota, _) => Some(Duration::from_hours(4)),
    }
}

/// From `now` to `then`; nothing where that is past.
pub fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}
