//! The last lines of `seal`: what was done, in numbers, and the one thing that comes next.

use super::{Action, Planned, SealArguments};
use crate::cli::watching::Done;
use crate::domain::evidence::{Evidence, Remediation};
use crate::domain::model::Encryption;
use crate::domain::plan::step::Step;
use crate::domain::verdict::{Compliance, Withheld};

/// `plan` was carried out as far as `applied` says.
pub(super) fn closing(applied: Option<&Done>, plan: &[Planned], arguments: &SealArguments) -> String {
    match applied {
        Some(done) => format!("{}\nnext: {}", done_words(done), after(done)),
        None => format!("next: {}", before(plan, arguments)),
    }
}

/// `2 encrypted, 1 re-keyed, 1 failed`.
fn done_words(done: &Done) -> String {
    let ran = done.ran();
    let count = |is: fn(&Evidence) -> bool| ran.done.iter().filter(|evidence| is(evidence)).count();
    let applied = count(|evidence| evidence.remediation == Remediation::Applied);
    let encrypted = count(|evidence| evidence.remediation == Remediation::Applied && was_open(evidence));
    let unfinished = count(|evidence| evidence.remediation == Remediation::Started);
    let failed = count(|evidence| evidence.remediation == Remediation::Failed);
    let rest = ran.done.len() - applied - unfinished - failed;
    let words = [
        (unfinished, "changed and not yet in force"),
        (failed, "failed"),
        (rest, "not changed"),
        (ran.left.len(), "left for Ctrl-C"),
    ];
    let words = words.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{encrypted} encrypted, {} re-keyed{}", applied - encrypted, words.collect::<String>())
}

/// Whether the stream was not encrypted before the run.
fn was_open(evidence: &Evidence) -> bool {
    evidence.before.as_ref().is_some_and(|setting| setting.observed.encryption == Encryption::None)
}

fn after(done: &Done) -> &'static str {
    let ran = done.ran();
    if !ran.left.is_empty() {
        return "the same command goes on with the rest";
    }
    match ran.done.iter().any(|evidence| evidence.verdict.compliance != Compliance::Compliant) {
        true => "`streamseal explain STREAM` says how a stream is now, and why",
        false => "`streamseal audit` compares every stream with the policy",
    }
}

fn before(plan: &[Planned], arguments: &SealArguments) -> &'static str {
    let is_existing = |planned: &Planned| matches!(&planned.preview.step, Ok(Step::Finish(verdict)) if verdict.withheld == Some(Withheld::Existing));
    if plan.iter().any(|planned| planned.action.changes()) {
        "the same command without `--dry-run` asks, and then makes these changes"
    } else if plan.iter().any(is_existing) && !arguments.all {
        "`--include-existing` changes streams that are older than `enforce_from`, too"
    } else if plan.iter().any(is_existing) {
        "name streams and add `--include-existing` to change those that are older than `enforce_from`"
    } else if plan.iter().any(|planned| matches!(planned.action, Action::Withheld | Action::Fault | Action::Unknown)) {
        "`streamseal explain STREAM` says why a stream is left as it is"
    } else {
        "`streamseal prove STREAM` proves with a record that a stream is encrypted"
    }
}
