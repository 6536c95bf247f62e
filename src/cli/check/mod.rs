//! `streamseal check POLICY…`: is each policy valid, what about it is likely not meant, and does it decide as its own tests say.

mod planned;
mod source;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use self::planned::PlanArguments;
use self::source::Source;
use super::arguments::Globals;
use super::context::{Context, as_source, policy_source, read_file};
use super::exit::Exit;
use super::heading::offline_document;
use super::iam::{allow, parameters};
use super::output::{BAD, GOOD, Stop, result, styled, to_stderr};
use super::policy::cases::{self, Case};
use super::policy::keys::resolve;
use super::policy::size::PolicySize;
use crate::domain::policy::{Place, Policy, PolicyFault};

const SCHEMA: &str = "streamseal.check/v1";
const CODES: &str = "Exit codes: 0 valid, 1 not valid, cannot be read, or has a warning with --strict, 2 usage, 3 a test failed, or a planned stream is not compliant.";

/// Checks policies: shows every fault and warning with its line
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct CheckArguments {
    /// The policies: files, `-` for standard input, or `ssm:NAME` for a parameter of Systems Manager [default: what --policy or POLICY
    /// names, else ./streamseal.yaml]
    #[arg(value_name = "POLICY")]
    sources: Vec<String>,
    /// Ask KMS for each key that the policy names
    #[arg(long)]
    resolve: bool,
    /// Fail (exit code 1) on warnings too
    #[arg(long)]
    strict: bool,
    /// Run the policy's own tests [default FILE: beside the policy, `policy.test.yaml` for `policy.yaml`]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    test: Option<Option<PathBuf>>,
    #[command(flatten)]
    plans: PlanArguments,
}

/// The policies that are named.
fn sources(arguments: &CheckArguments, globals: &Globals) -> Vec<String> {
    match arguments.sources.as_slice() {
        [] => policy_source(globals).into_iter().collect(),
        some => some.iter().map(|source| as_source(source)).collect(),
    }
}

/// What it takes.
pub(super) fn permissions(arguments: &CheckArguments, globals: &Globals) -> Vec<Value> {
    let resolve = arguments.resolve.then(|| allow("StreamsealResolve", &["kms:DescribeKey"], "*"));
    resolve.into_iter().chain(parameters(globals, sources(arguments, globals))).collect()
}

pub(super) async fn run(arguments: &CheckArguments, globals: &Globals) -> Result<Exit, Stop> {
    let sources = sources(arguments, globals);
    if sources.is_empty() {
        let how = "use `streamseal check FILE`, `--policy FILE` or POLICY, or create ./streamseal.yaml";
        return Err(Stop::usage("no policy is set").help(how));
    }
    if sources.len() > 1 && matches!(arguments.test, Some(Some(_))) {
        return Err(Stop::usage(
            "`--test=FILE` works with one policy; use `--test` alone to run POLICY.test.yaml of each",
        ));
    }
    if arguments.plans.has_only_a_format() {
        return Err(Stop::usage("`--format` requires `--terraform` or `--cloudformation`"));
    }
    if sources.len() > 1 && arguments.plans.is_given() {
        return Err(Stop::usage("--terraform and --cloudformation work with one policy"));
    }
    let mut worst = Exit::Compliant;
    for source in &sources {
        worst = worst.worse(check(source, arguments, globals).await.unwrap_or_else(|stop| stop.print()));
    }
    Ok(worst)
}

/// Checks one policy.
async fn check(named: &str, arguments: &CheckArguments, globals: &Globals) -> Result<Exit, Stop> {
    let (name, text, context) = read(named, globals).await?;
    let source = Source::new(&name, &text);
    let policy = match Policy::load(&text) {
        Ok(policy) => policy,
        Err(faults) => {
            report_faults(&source, &faults, "policy", globals.json);
            return Ok(Exit::Failure);
        }
    };
    let mut warnings = policy.warnings(Timestamp::now());
    let mut keys = Vec::new();
    if arguments.resolve {
        let context = match context {
            Some(context) => context,
            None => Context::with_policy(globals, None, &[], Some(format!("file:{name}"))).await?,
        };
        keys = resolve(&context, &policy, &mut warnings).await?;
    }
    for warning in &warnings {
        if !globals.json {
            to_stderr(source.warning(warning));
        }
    }
    if arguments.plans.is_given() {
        let is_strict = arguments.strict && !warnings.is_empty();
        let exit = planned::run((named, &policy), &arguments.plans, globals, arguments.strict)?;
        return Ok(exit.worse(if is_strict { Exit::Failure } else { Exit::Compliant }));
    }
    let tests = match &arguments.test {
        None => None,
        Some(file) => Some(test(&policy, named, file.as_deref(), globals)?),
    };
    let failed = tests.as_ref().is_some_and(|tests| tests.iter().any(|test| test.wrong.is_some()));
    if globals.json {
        let tests = tests.map(|tests| tests.iter().map(Tested::to_json).collect::<Vec<_>>());
        let fields = json!({
            "policy": name, "valid": true, "rules": policy.rules.len(),
            "digest": policy.digest, "size": PolicySize::of(&text).to_json(), "faults": [], "warnings": warnings, "keys": keys,
            "tests": tests,
        });
        result(offline_document(SCHEMA, fields));
    } else {
        let s = if policy.rules.len() == 1 { "" } else { "s" };
        result(format_args!("{name}: valid, {} rule{s}, {}", policy.rules.len(), policy.digest));
        result(format_args!("{name}: {}", PolicySize::of(&text).words()));
    }
    let strict = if arguments.strict && !warnings.is_empty() { Exit::Failure } else { Exit::Compliant };
    if strict == Exit::Failure && !globals.json {
        let s = if warnings.len() == 1 { "" } else { "s" };
        to_stderr(format_args!("{name}: failed because of {} warning{s} (--strict)", warnings.len()));
    }
    Ok(strict.worse(if failed { Exit::NonCompliant } else { Exit::Compliant }))
}

/// The policy's name and text. What is in a parameter needs a connection.
async fn read(named: &str, globals: &Globals) -> Result<(String, String, Option<Context>), Stop> {
    match named.split_once(':') {
        Some(("file", path)) => Ok((path.to_owned(), read_file(Path::new(path))?, None)),
        Some(("inline", text)) => Ok(("inline".to_owned(), text.to_owned(), None)),
        _ => {
            let context = Context::with_policy(globals, None, &[], Some(named.to_owned())).await?;
            let text = context.policy_text().await?;
            Ok((context.config.policy.to_string(), text, Some(context)))
        }
    }
}

/// A test and what came of it.
struct Tested {
    case: Case,
    wrong: Option<Vec<String>>,
}

impl Tested {
    fn to_json(&self) -> Value {
        json!({"name": self.case.name, "line": self.case.place.line, "passed": self.wrong.is_none(), "not_compliant": self.wrong})
    }
}

/// Runs the tests of a policy, and reports as a test runner does.
fn test(policy: &Policy, named: &str, file: Option<&Path>, globals: &Globals) -> Result<Vec<Tested>, Stop> {
    let path = match (file, named.strip_prefix("file:").filter(|path| *path != "-")) {
        (Some(file), _) => file.to_owned(),
        (None, Some(policy)) => beside(Path::new(policy)),
        (None, None) => {
            return Err(Stop::usage("the policy is not a file: give the test file with `--test=FILE`"));
        }
    };
    let name = path.display().to_string();
    let text = read_file(&path)?;
    let cases = cases::load(&text).map_err(|faults| {
        report_faults(&Source::new(&name, &text), &faults, "tests", globals.json);
        Stop::failure(format!("{name}: the test file is not valid"))
    })?;
    let run = |case: Case| Tested { wrong: case.run(policy, Timestamp::now()).err(), case };
    let tests: Vec<Tested> = cases.into_iter().map(run).collect();
    if !globals.json {
        for Tested { case, wrong } in &tests {
            match wrong {
                None => result(format_args!("{} {}", styled(GOOD, "ok  "), case.name)),
                Some(wrong) => {
                    let Place { line, column } = case.place;
                    result(format_args!("{} {}\n     {name}:{line}:{column}", styled(BAD, "FAIL"), case.name));
                    for line in wrong {
                        result(format_args!("     {line}"));
                    }
                }
            }
        }
        let failed = tests.iter().filter(|test| test.wrong.is_some()).count();
        result(format_args!("{} passed, {failed} failed", tests.len() - failed));
    }
    Ok(tests)
}

/// `policy.test.yaml` for `policy.yaml`.
fn beside(policy: &Path) -> PathBuf {
    policy.with_extension("test.yaml")
}

fn report_faults(source: &Source<'_>, faults: &[PolicyFault], what: &str, as_json: bool) {
    if as_json {
        let fields = json!({what: source.name(), "valid": false, "faults": faults});
        result(offline_document(SCHEMA, fields));
        return;
    }
    for fault in faults {
        to_stderr(source.fault(fault));
    }
    let s = if faults.len() == 1 { "" } else { "s" };
    to_stderr(format_args!("{}: {} error{s}", source.name(), faults.len()));
}
