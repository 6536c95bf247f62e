//! The last lines of `seal`: what was done, in numbers, and the one thing that comes next.

use super::action::Action;
use super::arguments::{MAX_CHANGES, SealArguments};
use super::planned::Planned;
use crate::cli::arguments::{options, switch};
use crate::cli::heading;
use crate::cli::watching::Done;
use crate::domain::arn::StreamArn;
use crate::domain::evidence::{Evidence, Remediation};
use crate::domain::model::Encryption;
use crate::domain::plan::step::Step;
use crate::domain::verdict::{Compliance, Withheld};

/// `plan` was carried out as far as `applied` says. `given`: the options that say which streams and which policy.
pub(super) fn closing(given: &str, applied: Option<&Done>, plan: &[Planned], arguments: &SealArguments) -> String {
    match applied {
        Some(done) => format!("{}\n{}", done_words(done), after(given, done, arguments)),
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
        (unfinished, "changed but not yet in effect"),
        (failed, "failed"),
        (rest, "not changed"),
        (ran.left.len(), "skipped after Ctrl-C"),
    ];
    let words = words.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}"));
    format!("{encrypted} encrypted, {} re-keyed{}", applied - encrypted, words.collect::<String>())
}

/// Whether the stream was not encrypted before the run.
fn was_open(evidence: &Evidence) -> bool {
    evidence.before.as_ref().is_some_and(|setting| setting.observed.encryption == Encryption::None)
}

fn after(given: &str, done: &Done, arguments: &SealArguments) -> String {
    let ran = done.ran();
    let left: Vec<String> = ran.left.iter().map(StreamArn::argument).collect();
    if !left.is_empty() {
        return heading::next(
            given,
            &format!("seal {}{}", left.join(" "), again(arguments, false)),
            "continues with the remaining streams",
        );
    }
    match ran.done.iter().find(|evidence| evidence.verdict.compliance != Compliance::Compliant) {
        Some(evidence) if arguments.key.is_none() => {
            let explain = format!("explain {}", evidence.stream.argument());
            heading::next(given, &explain, "shows the state of the stream")
        }
        _ => heading::next(given, "audit", "compares every stream with the policy"),
    }
}

fn before(given: &str, plan: &[Planned], arguments: &SealArguments) -> String {
    let named = |of: fn(&&Planned) -> bool| -> Vec<String> {
        plan.iter().filter(of).map(|planned| planned.stream.argument()).collect()
    };
    let is_withheld = |planned: &&Planned| matches!(&planned.preview.step, Ok(Step::Finish(verdict)) if verdict.withheld == Some(Withheld::Existing));
    let streams = Streams {
        changes: named(|planned| planned.action.changes()),
        existing: named(is_withheld),
        blocked: named(|planned| matches!(planned.action, Action::Withheld | Action::Fault | Action::Unknown)),
        right: named(|planned| planned.action == Action::Nothing && planned.preview.desired.is_some()),
    };
    streams.next(given, arguments)
}

/// The streams of a plan, by what can be done about them.
#[derive(Clone, Debug, Default)]
struct Streams {
    changes: Vec<String>,
    /// Left alone since they are older than `enforce_from`.
    existing: Vec<String>,
    blocked: Vec<String>,
    right: Vec<String>,
}

impl Streams {
    /// The command that comes next, of a plan that was not carried out.
    fn next(&self, given: &str, arguments: &SealArguments) -> String {
        let Self { changes, existing, blocked, right } = self;
        let (more, has_policy) = (again(arguments, arguments.all), arguments.key.is_none());
        if !changes.is_empty() {
            let streams = if arguments.all { "--all".to_owned() } else { changes.join(" ") };
            return heading::next(
                given,
                &format!("seal {streams}{more}"),
                "asks for confirmation and makes these changes",
            );
        }
        match (existing.first(), blocked.first(), right.first()) {
            (Some(_), ..) => {
                let first = existing.iter().take(MAX_CHANGES).cloned().collect::<Vec<_>>().join(" ");
                let including = if arguments.include_existing { "" } else { " --include-existing" };
                let command = format!("seal {first}{}{including} --dry-run", again(arguments, false));
                heading::next(
                    given,
                    &command,
                    "shows what it would change of streams that are older than `enforce_from`",
                )
            }
            (None, Some(name), _) if has_policy => {
                heading::next(given, &format!("explain {name}"), "explains why it is not changed")
            }
            (None, Some(name), _) => {
                heading::next(given, &format!("seal {name}{more} --dry-run"), "checks again what you changed")
            }
            (None, None, Some(name)) if has_policy => {
                heading::next(given, &format!("prove {name}"), "proves a stream with a record")
            }
            (None, None, _) => heading::next(given, "audit", "compares every stream with the policy"),
        }
    }
}

/// The options that the same change needs again. Some do not go with `--all`.
fn again(arguments: &SealArguments, all: bool) -> String {
    let SealArguments { only, key, watch, max_changes, include_existing, accept_loss, .. } = arguments;
    let max_changes = Some(max_changes.to_string()).filter(|_| !matches!(*max_changes, 0 | MAX_CHANGES));
    [
        options("key", key),
        options("only", only),
        options("max-changes", &max_changes),
        switch("include-existing", *include_existing && !all),
        switch("accept-loss", *accept_loss),
        options("watch", watch),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        seal: SealArguments,
        #[command(flatten)]
        _globals: crate::cli::arguments::Globals,
    }

    #[test]
    fn the_next_command_keeps_what_was_given() {
        let some = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let none = Streams::default;
        let changes = Streams { changes: some(&["a", "b"]), right: some(&["c"]), ..none() };
        let many: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
        let first = many[..10].join(" ");
        for (given, streams, expected) in [
            ("--all", changes.clone(), "seal --all"),
            (
                "--all --only r --max-changes 3 --accept-loss --watch 20m",
                changes.clone(),
                "seal --all --only r --max-changes 3 --accept-loss --watch 20m",
            ),
            (
                "a b c --key alias/$x --include-existing --dry-run",
                changes,
                "seal a b --key 'alias/$x' --include-existing",
            ),
            (
                "--all --only r",
                Streams { existing: many, ..none() },
                &format!("seal {first} --only r --include-existing --dry-run"),
            ),
            ("a", Streams { blocked: some(&["a"]), ..none() }, "explain a"),
            ("a --key alias/x", Streams { blocked: some(&["a"]), ..none() }, "seal a --key alias/x --dry-run"),
            ("--all", Streams { right: some(&["c", "d"]), ..none() }, "prove c"),
            ("--all", none(), "audit"),
            ("a --key alias/x", Streams { right: some(&["a"]), ..none() }, "audit"),
        ] {
            let line = Line::try_parse_from(["seal"].into_iter().chain(given.split(' '))).unwrap();
            let next = streams.next(" --region eu-west-1", &line.seal);
            assert!(crate::cli::takes(next.split('`').nth(1).unwrap()), "{next}");
            assert!(next.starts_with(&format!("next: `streamseal {expected} --region eu-west-1` ")), "{given}: {next}");
        }
    }
}
