//! What a run would do first, without doing it.

use super::Run;
use crate::domain::evidence::Setting;
use crate::domain::failure::Unfinished;
use crate::domain::model::{KeyIdentity, ProofMode, Tags};
use crate::domain::plan::proof::proof_mode;
use crate::domain::plan::situation::{Keys, Situation};
use crate::domain::plan::state::State;
use crate::domain::plan::step::{Step, after_history};
use crate::domain::policy::{Decision, Exemption, Outcome};
use crate::domain::remedy::advice::{Facts, Remedy};
use crate::domain::remedy::{of_failure, remedy};
use crate::domain::work::Work;
use crate::ports::{Clock, KeyApi, StreamApi, TrailApi};
use crate::run::observe::{Observer, Unobserved};
use crate::run::session::Session;

/// What a run would do first.
#[derive(Debug)]
pub struct Preview {
    /// The first step, or why it cannot be determined.
    pub step: Result<Step, Unfinished>,
    /// How the stream stands with the policy, where it is ACTIVE.
    pub situation: Option<Situation>,
    /// The deciding rule.
    pub rule: Option<String>,
    /// Why that rule.
    pub reasons: Vec<String>,
    /// The stream's tags that it reads.
    pub tags: Tags,
    /// Its exemption, where it has one.
    pub exemption: Option<Exemption>,
    /// What was seen, where anything was.
    pub setting: Option<Setting>,
    /// Which key the rule requires, as far as KMS said so.
    pub desired: Option<KeyIdentity>,
    /// How it would be proven.
    pub proof: Option<ProofMode>,
    /// What KMS said of the keys that matter.
    pub keys: Keys,
    /// What to do about it.
    pub remedy: Remedy,
}

/// Observes once and names the first step; does nothing.
pub async fn preview<W>(world: &W, work: &Work, session: &Session<'_>) -> Preview
where
    W: StreamApi + KeyApi + TrailApi + Clock,
{
    let mut run = Run::new(world, work, session);
    run.observer = Observer::of_preview(world, session);
    let step = run.first_step().await;
    let State { work, situation, desired, after, keys, .. } = &run.state;
    let outcome = run.decision.as_ref().map(|decision| &decision.outcome);
    let proof = outcome
        .and_then(Outcome::target)
        .zip(after.as_ref())
        .map(|(target, setting)| proof_mode(target, setting.observed.created, session.mode, world.now()));
    let calls = run.log.calls();
    let (verdict, calls) = match &step {
        Ok(Step::Finish(verdict)) => (Some(verdict), calls.as_slice()),
        Ok(_) | Err(_) => (None, [].as_slice()),
    };
    let facts = Facts {
        stream: &work.stream,
        outcome,
        rule: run.decision.as_ref().and_then(|decision| decision.rule.as_ref()).map(|rule| rule.name.as_str()),
        encryption: after.as_ref().map(|after| &after.observed.encryption),
        situation: situation.as_ref(),
        keys,
        verdict,
        calls,
        changed: work.started,
    };
    let remedy = match &step {
        Err(Unfinished::Call(failure)) => of_failure(&facts, failure),
        Err(Unfinished::Open { .. }) => Remedy::None,
        Ok(_) => remedy(&facts),
    };
    let (desired, setting, keys, situation) = (desired.clone(), after.clone(), keys.clone(), situation.clone());
    let exemption = outcome.and_then(Outcome::exemption).cloned();
    let (rule, reasons, tags) = match run.decision {
        Some(Decision { rule, reasons, tags, .. }) => (rule.map(|rule| rule.name), reasons, tags),
        None => (None, Vec::new(), Tags::new()),
    };
    Preview { step, situation, rule, reasons, tags, exemption, setting, desired, proof, keys, remedy }
}

impl<W: StreamApi + KeyApi + TrailApi + Clock> Run<'_, W> {
    async fn first_step(&mut self) -> Result<Step, Unfinished> {
        let observation = self.observe().await.map_err(Unobserved::why)?;
        let step = self.next_step(&observation);
        let Step::ReadHistory(wrong) = step else { return Ok(step) };
        let contention = self.read_history(wrong.created).await?;
        Ok(after_history(&wrong, &contention, self.world.now()))
    }
}
