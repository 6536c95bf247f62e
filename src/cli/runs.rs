//! Runs of the loop, one stream after the other, each reported as it ends. Ctrl-C lets a run that has written something come to its
//! end, and leaves the rest; a second one cuts that run off, and says what is not known then.

use std::pin::pin;

use futures_util::future::{Either, select};

use super::context::{Context, RUN_MAX};
use super::exit::Exit;
use super::output::{BAD, FAINT, GOOD, ODD, Stop, in_lines, result, styled, to_stderr};
use super::progress::{Watched, bar};
use super::words::{self, exit_of};
use crate::domain::arn::StreamArn;
use crate::domain::evidence::{Evidence, ProofState, Remediation};
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::plan::close::Next;
use crate::domain::policy::Policy;
use crate::domain::remedy::advice::Remedy;
use crate::domain::verdict::{Compliance, Reason, Withheld};
use crate::domain::work::{PutBack, Work};
use crate::run::reconcile::reconcile;
use crate::run::session::Session;

/// What became of the runs.
pub(crate) struct Ran {
    /// Those that came to their end.
    pub(crate) done: Vec<Evidence>,
    /// The streams that were skipped after Ctrl-C.
    pub(crate) left: Vec<StreamArn>,
    /// Whether there was a Ctrl-C.
    pub(crate) interrupted: bool,
}

impl Ran {
    /// What to change at the source of those that are not as their rule says.
    pub(crate) fn changes(&self) -> Option<String> {
        let wrong = self.done.iter().filter(|evidence| evidence.verdict.compliance != Compliance::Compliant);
        words::changes(wrong.map(|evidence| (evidence.stream.name.as_str(), &evidence.remedy)), words::faint)
    }

    /// The exit code of all of them.
    pub(crate) fn exit(&self) -> Exit {
        let left = if self.left.is_empty() { Exit::Compliant } else { Exit::TryAgain };
        self.done.iter().fold(left, |exit, evidence| {
            exit.worse(match evidence.verdict.reason {
                // Whoever named it meant one that is there.
                Reason::StreamGone => Exit::Failure,
                _ => exit_of(&evidence.verdict, &evidence.remedy),
            })
        })
    }
}

/// Runs each of `works`, and starts no other key than the one beside it, where there is one. `doing` is the word on the bar.
pub(crate) async fn run_all(
    context: &Context,
    policy: &Policy,
    mode: Mode,
    works: Vec<(Work, Option<KeyIdentity>)>,
    doing: &'static str,
    as_json: bool,
) -> Result<Ran, Stop> {
    let bar = bar(works.len(), doing);
    let mut ran = Ran { done: Vec::new(), left: Vec::new(), interrupted: false };
    for (work, planned) in works {
        if ran.interrupted {
            ran.left.push(work.stream);
            continue;
        }
        let watched = Watched::new(&context.aws, &bar);
        let mut run = pin!(one(context, &watched, policy, mode, (&work, planned.as_ref())));
        let evidence = loop {
            match select(run.as_mut(), pin!(interrupt())).await {
                Either::Left((evidence, _)) => break Some(evidence),
                Either::Right(_) if !watched.wrote() => break None,
                Either::Right(_) if ran.interrupted => {
                    bar.finish_and_clear();
                    let name = &work.stream.name;
                    let why = format!("stopped while {name} was being changed or proven; the result is unknown");
                    return Err(Stop::failure(why)
                        .help(format!("`streamseal explain {}` says how it is now", work.stream.argument())));
                }
                Either::Right(_) => {
                    let words =
                        format!("{}: finishing the current change; press Ctrl-C again to stop now", work.stream.name);
                    bar.suspend(|| to_stderr(styled(ODD, words)));
                }
            }
            ran.interrupted = true;
        };
        match evidence {
            Some(evidence) => {
                if is_out_of_date(&evidence) {
                    bar.suspend(|| to_stderr(styled(ODD, out_of_date(&evidence))));
                } else if !as_json {
                    bar.suspend(|| report_run(&evidence));
                }
                ran.done.push(evidence);
            }
            None => {
                ran.interrupted = true;
                ran.left.push(work.stream.clone());
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if !ran.left.is_empty() {
        let names: Vec<&str> = ran.left.iter().map(|stream| stream.name.as_str()).collect();
        to_stderr(styled(ODD, format_args!("interrupted; not changed: {}", names.join(", "))));
    }
    Ok(ran)
}

/// One run, and the one that puts a key back where that is called for.
async fn one(
    context: &Context,
    world: &Watched<'_>,
    policy: &Policy,
    mode: Mode,
    (work, planned): (&Work, Option<&KeyIdentity>),
) -> Evidence {
    let end = reconcile(world, work, &Session { planned, ..context.session(policy, mode, RUN_MAX) }).await;
    match end.next {
        Next::Must(again, ..) if again.put_back == PutBack::Due => {
            reconcile(world, &again, &context.session(policy, mode, RUN_MAX)).await.evidence
        }
        Next::Nothing | Next::May(..) | Next::Must(..) => end.evidence,
    }
}

/// Whether nothing was changed because the stream would now get another key than its plan said.
pub(crate) fn is_out_of_date(evidence: &Evidence) -> bool {
    evidence.verdict.withheld == Some(Withheld::PlanOutOfDate)
}

/// What is said of a stream whose plan is out of date.
fn out_of_date(evidence: &Evidence) -> String {
    let key = evidence.desired.as_ref().and_then(|(_, key)| key.as_ref()).map_or("(unknown)", KeyIdentity::as_str);
    format!("{}: not changed: the plan is out of date; the policy now requires {key}", evidence.stream.name)
}

/// Ends with the next Ctrl-C; where that cannot be heard, never.
pub(crate) async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// One run in a line or two.
fn report_run(evidence: &Evidence) {
    let Evidence { stream, verdict, remediation, .. } = evidence;
    let (style, word) = match (verdict.compliance, remediation, evidence.mode) {
        (Compliance::Compliant, Remediation::Applied, _) => (GOOD, "sealed"),
        (Compliance::Compliant, _, Mode::Prove) if is_proven(evidence) => (GOOD, "proven"),
        (Compliance::Compliant, _, Mode::Prove) => (FAINT, "skipped"),
        (Compliance::Compliant, ..) => (GOOD, "compliant"),
        (Compliance::NotApplicable, ..) => (FAINT, "skipped"),
        (Compliance::NonCompliant, ..) => (BAD, "wrong"),
        (Compliance::InsufficientData, ..) => (ODD, "unknown"),
    };
    let name = &stream.name;
    let line = format!(
        "{} {name}: {}{}: {}",
        styled(style, format_args!("{word:<7}")),
        verdict.reason.as_str(),
        words::withheld(verdict),
        verdict.detail
    );
    let proof = proof_words(evidence).map(|proof| format!("\n        proof: {proof}")).unwrap_or_default();
    result(line + &proof);
    for warning in &evidence.warnings {
        result(format_args!("        {}: {warning}", styled(ODD, "warning")));
    }
    if let (Remedy::Permission(_), Some(text)) = (&evidence.remedy, evidence.remedy.text()) {
        let lines = in_lines(text, &evidence.remedy.commands(), evidence.remedy.statement());
        to_stderr(format_args!("{}: {lines}", styled(GOOD, "help")));
    } else if verdict.compliance != Compliance::Compliant
        && let Some(lines) = words::remedy(&evidence.remedy)
    {
        // The plan of `seal` has it for what is changed.
        result(lines);
    }
}

/// Whether a record shows that the stream is encrypted.
pub(crate) fn is_proven(evidence: &Evidence) -> bool {
    matches!(evidence.proof.state, ProofState::Proven | ProofState::Observed)
}

/// The proof in words; `None` where none was sought.
fn proof_words(evidence: &Evidence) -> Option<String> {
    let proof = &evidence.proof;
    let record = || {
        let (shard, number) =
            (proof.shard_id.as_deref().unwrap_or("?"), proof.sequence_number.as_deref().unwrap_or("?"));
        let kind = proof.encryption_type.as_ref().map_or("absent", |kind| kind.as_str());
        format!("{shard} {number}, EncryptionType {kind}")
    };
    match proof.state {
        ProofState::Proven => Some(format!("probe {}", record())),
        ProofState::Observed => Some(format!("a producer's record {}", record())),
        ProofState::Described => Some("encryption setting only".to_owned()),
        // A stream that is gone owes none.
        ProofState::Owed if evidence.verdict.reason == Reason::StreamGone => None,
        ProofState::Owed => Some("not made yet".to_owned()),
        ProofState::Failed => Some("failed".to_owned()),
        ProofState::NotSought => None,
    }
}
