//! The last lines of `seal`: what was done, in numbers, and the one thing that comes next.

use super::action::Action;
use super::{Planned, SealArguments};
use crate::cli::heading;
use crate::cli::watching::Done;
use crate::domain::evidence::{Evidence, Remediation};
use crate::domain::model::Encryption;
use crate::domain::plan::step::Step;
use crate::domain::verdict::{Compliance, Withheld};

/// `plan` was carried out as far as `applied` says. `given`: the options that say which streams and which policy.
pub(super) fn closing(given: &str, applied: Option<&Done>, plan: &[Planned], arguments: &SealArguments) -> String {
    match applied {
        Some(done) => format!("{}\n{}", done_words(done), after(given, done)),
        None => before(given, plan, arguments),
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
        (ran.left.len(), "left out after Ctrl-C"),
    ];
    let words = words.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{encrypted} encrypted, {} re-keyed{}", applied - encrypted, words.collect::<String>())
}

/// Whether the stream was not encrypted before the run.
fn was_open(evidence: &Evidence) -> bool {
    evidence.before.as_ref().is_some_and(|setting| setting.observed.encryption == Encryption::None)
}

fn after(given: &str, done: &Done) -> String {
    let ran = done.ran();
    let left: Vec<&str> = ran.left.iter().map(|stream| stream.name.as_str()).collect();
    if !left.is_empty() {
        return heading::next(given, &format!("seal {}", left.join(" ")), "goes on with the rest");
    }
    match ran.done.iter().find(|evidence| evidence.verdict.compliance != Compliance::Compliant) {
        Some(evidence) => {
            let explain = format!("explain {}", evidence.stream.name);
            heading::next(given, &explain, "says how the stream is now, and why")
        }
        None => heading::next(given, "audit", "compares every stream with the policy"),
    }
}

fn before(given: &str, plan: &[Planned], arguments: &SealArguments) -> String {
    let named = |of: fn(&&Planned) -> bool| -> Vec<&str> {
        plan.iter().filter(of).map(|planned| planned.stream.name.as_str()).collect()
    };
    let changes = named(|planned| planned.action.changes());
    let existing = named(
        |planned| matches!(&planned.preview.step, Ok(Step::Finish(verdict)) if verdict.withheld == Some(Withheld::Existing)),
    );
    let blocked = named(|planned| matches!(planned.action, Action::Withheld | Action::Fault | Action::Unknown));
    if !changes.is_empty() {
        let streams = if arguments.all { "--all".to_owned() } else { changes.join(" ") };
        let option = |flag, value: &Option<String>| value.as_ref().map(|value| format!(" --{flag} {value}"));
        let [key, only] =
            [option("key", &arguments.key), option("only", &arguments.only)].map(Option::unwrap_or_default);
        let existing = if arguments.include_existing { " --include-existing" } else { "" };
        let command = format!("seal {streams}{key}{only}{existing}");
        return heading::next(given, &command, "asks, and then makes these changes");
    }
    match (existing.first(), blocked.first()) {
        (Some(_), _) => {
            let command = format!("seal {} --include-existing --dry-run", existing.join(" "));
            heading::next(given, &command, "changes streams that are older than `enforce_from`, too")
        }
        (None, Some(name)) => heading::next(given, &format!("explain {name}"), "says why it is left"),
        (None, None) => heading::next(given, "prove STREAM", "proves a stream with a record"),
    }
}
