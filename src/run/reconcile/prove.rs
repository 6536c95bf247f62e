//! The proof: a record of ours or of somebody else's, and what follows where the key refuses it.
//!
//! It makes the calls; what an answer means is decided in `domain/plan/proof.rs`.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Run, Taken};
use crate::domain::arn::KeyRef;
use crate::domain::bounds::until;
use crate::domain::evidence::ProofState;
use crate::domain::failure::Unfinished;
use crate::domain::model::{KeyLookup, ProofMode};
use crate::domain::plan::close::{After, End, TROUBLES_MAX, later, no_time_left};
use crate::domain::plan::proof::{
    HowToProve, Judgement, PROBE_MARGIN, PROPAGATION, Refusal, how_to_prove, judge_probe, judge_read_back,
    judge_refusal,
};
use crate::domain::plan::put_back;
use crate::domain::text::EventText;
use crate::domain::verdict::{Reason, Verdict};
use crate::ports::{Clock, KeyApi, ReadBack, ReadRecord, StreamApi};
use crate::run::session::CALL_TIME;

/// How far our clock may be ahead of Kinesis's.
const CLOCK_SLACK: SignedDuration = SignedDuration::from_secs(1);
/// How far back somebody's record may lie and still count: the observations that wait for one are over by then, and a message that says
/// that the setting was right before, since it lay in a queue for long or is not ours, does not know what happened since.
const SEEN_SINCE_MAX: SignedDuration = SignedDuration::from_hours(2);
/// Between two tries of a proof.
const PROOF_PAUSE: Duration = Duration::from_millis(2500);

impl<W: StreamApi + KeyApi + Clock> Run<'_, W> {
    /// Makes the proof that is owed.
    pub(super) async fn prove(&mut self) -> Taken {
        let now = self.world.now();
        let HowToProve { mode, earlier_since } = self.how_to_prove(now);
        let right_since = self.state.work.right_since.unwrap_or(now);
        self.proof.mode = Some(mode);
        if let Some(since) = earlier_since
            && self.earlier_probe(since).await
        {
            return self.proven(ProofState::Observed);
        }
        loop {
            if self.no_time() {
                return Taken::End(no_time_left("no time was left to prove the encryption"));
            }
            let judgement = match mode {
                ProofMode::Describe => return self.proven(ProofState::Described),
                // What an earlier run saw may have been undone and done again since.
                ProofMode::Probe => self.probe(right_since.max(self.state.right_here.unwrap_or(now))).await,
                ProofMode::Observe => self.find_record(right_since.max(now - SEEN_SINCE_MAX)).await,
            };
            match judgement {
                Judgement::Encrypted if mode == ProofMode::Probe => return self.proven(ProofState::Proven),
                Judgement::Encrypted => return self.proven(ProofState::Observed),
                // It may have been a shard only: whether the stream is gone is for an observation to say.
                Judgement::Gone => {
                    self.proofs_gone += 1;
                    if self.proofs_gone < TROUBLES_MAX {
                        return Taken::ObserveAgain;
                    }
                    let why = "the shard or record for the proof was not found, but the stream exists";
                    return Taken::End(later(Unfinished::open("streamseal:Prove", "NotFound", why)));
                }
                Judgement::End(verdict) => {
                    self.proof.state = match verdict.reason {
                        // Nobody wrote: what can be said is what the setting says.
                        Reason::Idle => ProofState::Described,
                        _ => ProofState::Failed,
                    };
                    return Taken::End((verdict, After::Verdict));
                }
                Judgement::KeyRefused(failure) => {
                    // A record of somebody's that is refused was put after our Start: the key could be used then.
                    let by_probe = mode == ProofMode::Probe;
                    return Taken::End(self.key_refused(failure.into(), by_probe).await);
                }
                Judgement::Later(failure) => return Taken::End(later(failure)),
                Judgement::TryAgain => self.world.sleep(PROOF_PAUSE).await,
            }
        }
    }

    fn how_to_prove(&self, now: Timestamp) -> HowToProve {
        let outcome = self.decision.as_ref().map(|decision| &decision.outcome);
        let owed = self.state.progress.as_ref().map(|progress| progress.proof).unwrap_or_default();
        how_to_prove(outcome, owed, &self.state.work.cause, self.state.work.created, (self.session.mode, now))
    }

    /// KMS says that the key of our Start cannot be used. Only a probe that is refused says that the stream cannot be written: where there
    /// is a key to put back one is sent, and another later where that one was taken.
    pub(super) async fn unwritable(&mut self, verdict: &Verdict) -> End {
        let why = Unfinished::open("streamseal:Observe", "KeyUnusable", &verdict.detail);
        let now = self.world.now();
        let HowToProve { mode, .. } = self.how_to_prove(now);
        if !put_back::needs_probe(mode, self.state.work.previous_key.as_ref()) {
            return self.key_refused(why, false).await;
        }
        self.proof.mode = Some(mode);
        if self.no_time() {
            return no_time_left("no time was left to probe the stream");
        }
        match self.probe(now).await {
            Judgement::KeyRefused(failure) => self.key_refused(failure.into(), true).await,
            // The alarm does not wait.
            _ => (verdict.clone(), After::Later(why, None)),
        }
    }

    /// The stream's key refused our probe, or is said to be unusable: asks KMS about it and, where a probe was refused, about the key
    /// before it.
    async fn key_refused(&mut self, why: Unfinished, by_probe: bool) -> End {
        self.proof.state = ProofState::Failed;
        let previous = self.state.key_to_put_back(by_probe, self.world.now());
        let current = self.state.after.as_ref().and_then(|after| after.observed.encryption.key()).cloned();
        let now_on = match current {
            Some(key) => match self.observer.ask_again(&key, &self.log).await {
                Ok(found) => {
                    self.state.keys.insert(key, found.clone());
                    found
                }
                Err(failure) => return later(failure),
            },
            None => KeyLookup::NotFound,
        };
        let before = match previous.and_then(|key| KeyRef::parse(key.as_str())) {
            Some(key) => match self.observer.ask_again(&key, &self.log).await {
                Ok(found) => Some(found),
                Err(failure) => return later(failure),
            },
            None => None,
        };
        let before = before.filter(|before| put_back::is_allowed(Some(&now_on), before));
        match judge_refusal(&why, &now_on, before.as_ref()) {
            Refusal::End(verdict) => (verdict, After::Verdict),
            Refusal::PutBack(verdict) => (verdict, After::PutBack(why)),
        }
    }

    /// The proof is made: the next step sees that nothing is owed.
    fn proven(&mut self, state: ProofState) -> Taken {
        self.proof.state = state;
        self.state.proven();
        Taken::SameObservation
    }

    async fn probe(&mut self, right_since: Timestamp) -> Judgement {
        let (now, since) = (self.world.now(), self.state.probe_from(right_since));
        if now < since {
            if since + CALL_TIME > self.session.deadline {
                let why = "no time was left to prove the encryption";
                return Judgement::Later(Unfinished::open("streamseal:Prove", "NoTimeLeft", why));
            }
            self.world.sleep(until(now, since)).await;
        }
        let answer = self.world.put_probe(&self.state.work.stream, &self.log).await;
        let now = self.world.now();
        if let Ok(answer) = &answer {
            self.proof.shard_id = Some(answer.shard_id.clone());
            self.proof.sequence_number = Some(answer.sequence_number.clone());
            self.proof.encryption_type = answer.encryption_type.as_deref().map(EventText::new);
            self.proof.at = Some(now);
        }
        let kind = answer.as_ref().map(|a| a.encryption_type.as_deref()).map_err(Clone::clone);
        judge_probe(&kind, right_since, now)
    }

    async fn find_record(&mut self, right_since: Timestamp) -> Judgement {
        // Not a record that was on its way when encryption took hold, by a clock that is not ours.
        let since = right_since + PROPAGATION + PROBE_MARGIN;
        let now = self.world.now();
        // A little later still, since Kinesis refuses a time that is ahead of its own clock.
        let resume = since + CLOCK_SLACK;
        if now < resume && resume < self.session.deadline {
            self.world.sleep(until(now, resume)).await;
        }
        let read = self.world.read_back(&self.state.work.stream, ReadBack::Any(since), &self.log).await;
        if let Ok(Some(record)) = &read {
            self.keep(record);
        }
        let kind = match &read {
            Ok(Some(record)) => Ok(Some(record.encryption_type.as_deref())),
            Ok(None) => Ok(None),
            Err(failure) => Err(failure.clone()),
        };
        judge_read_back(&kind, right_since, self.world.now())
    }

    /// Whether an encrypted probe of ours since the event is in the stream: then this is a repeated event, and nothing is
    /// written. Any failure to search means that it was not found.
    async fn earlier_probe(&mut self, since: Timestamp) -> bool {
        let found =
            self.world.read_back(&self.state.work.stream, ReadBack::Probe(since), &self.log).await.ok().flatten();
        if let Some(record) = &found {
            self.keep(record);
        }
        found.is_some()
    }

    fn keep(&mut self, record: &ReadRecord) {
        self.proof.shard_id = Some(record.shard_id.clone());
        self.proof.sequence_number = Some(record.sequence_number.clone());
        self.proof.encryption_type = record.encryption_type.as_deref().map(EventText::new);
        self.proof.at = Some(record.at);
    }
}
