//! What a run would do first, and what is told of one: what a remedy follows from, and what becomes of older records.

use super::{Run, Settings};
use crate::domain::call::Call;
use crate::domain::evidence::Setting;
use crate::domain::failure::Failure;
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, ProofMode};
use crate::domain::plan::proof::proof_mode;
use crate::domain::plan::situation::CurrentKey;
use crate::domain::plan::step::{Step, next_step};
use crate::domain::policy::Outcome;
use crate::domain::remedy::{Facts, Remedy, of_failure, remedy};
use crate::domain::verdict::Verdict;
use crate::domain::work::Work;
use crate::ports::World;

/// What a run would do first.
#[derive(Debug)]
pub struct Preview {
    /// The first step, or why it cannot be told.
    pub step: Result<Step, Failure>,
    /// The deciding rule.
    pub rule: Option<String>,
    /// Why that rule.
    pub reasons: Vec<String>,
    /// What was seen, where anything was.
    pub setting: Option<Setting>,
    /// Which key the rule wants, as far as KMS said so.
    pub wanted: Option<KeyIdentity>,
    /// How it would be proven.
    pub proof: Option<ProofMode>,
    /// What to do about it.
    pub remedy: Remedy,
}

/// Looks once and names the first step; does nothing.
pub async fn preview<W: World>(world: &W, work: &Work, settings: &Settings<'_>) -> Preview {
    let mut run = Run::new(world, work, settings);
    let step = match run.look().await {
        Err(failure) => Err(failure),
        Ok((sight, observed)) => {
            let now = world.now();
            let progress = run.progress.clone().unwrap_or_default();
            Ok(next_step(&sight, &progress, || run.permit(&sight, observed.as_ref(), now), now))
        }
    };
    let proof = match (run.decision.as_ref().map(|d| &d.outcome), &run.after) {
        (Some(Outcome::Encrypt(target)), Some(seen)) => {
            Some(proof_mode(target, seen.observed.created, settings.mode, world.now()))
        }
        _ => None,
    };
    let remedy = match &step {
        Err(failure) => of_failure(&run.facts(None, &[]), failure),
        Ok(Step::Finish(verdict)) => remedy(&run.facts(Some(verdict), &run.log.calls())),
        Ok(_) => remedy(&run.facts(None, &[])),
    };
    let (rule, reasons) = run.decision.map_or((None, Vec::new()), |d| (d.rule.map(|r| r.name), d.reasons));
    Preview { step, rule, reasons, setting: run.after, wanted: run.wanted, proof, remedy }
}

impl<W: World> Run<'_, W> {
    /// What a remedy follows from.
    pub(super) fn facts<'f>(&'f self, verdict: Option<&'f Verdict>, calls: &'f [Call]) -> Facts<'f> {
        Facts {
            stream: &self.work.stream,
            outcome: self.decision.as_ref().map(|decision| &decision.outcome),
            rule: self.decision.as_ref().and_then(|decision| decision.rule.as_ref()).map(|rule| rule.name.as_str()),
            encryption: self.after.as_ref().map(|after| &after.observed.encryption),
            situation: self.situation.as_ref(),
            keys: &self.keys,
            verdict,
            calls,
            changed: self.work.started,
        }
    }

    /// Records stay under the key that they were put with: where that one cannot be used any more, they cannot be read.
    pub(super) fn warn_of_old_records(&mut self, current: &CurrentKey) {
        let Some(before) = &self.before else { return };
        let hours = before.observed.retention_hours;
        let why = match (&current.info, &current.foreign) {
            (Some(KeyInfo { problem: Some(problem), .. }), _) => format!("cannot be used: {problem}"),
            (Some(KeyInfo { problem: None, .. }), _) => return,
            (None, Some(account)) => format!("is of account {account} and is not known to us"),
            (None, None) => "is not known to KMS any more".to_owned(),
        };
        let Encryption::Kms(key) = &before.observed.encryption else { return };
        self.warnings.push(format!(
            "the key before, {key}, {why}; records under it cannot be read until it can be used, and expire within {hours} hours"
        ));
    }
}
