//! `streamseal prove STREAM…`: the proof alone, by the same loop in a mode that starts nothing.

use serde_json::json;

use super::arguments::{EXIT_CODES, Globals};
use super::context::Context;
use super::exit::Exit;
use super::heading::{self, document, header};
use super::output::{Stop, result, to_stderr};
use super::runs::{Ran, run_all};
use super::words;
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::Document;
use crate::domain::model::{Mode, ProofMode};
use crate::domain::policy::{Effect, Policy, Proof};
use crate::domain::verdict::Compliance;

/// Proves that streams are encrypted as their rule asks; never changes a setting
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ProveArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required = true)]
    streams: Vec<String>,
    /// Write nothing: search for a record of a producer, whatever the rule says
    #[arg(long)]
    observe: bool,
    /// Print what to change as well, for each key: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    fix: bool,
}

pub(super) async fn run(arguments: &ProveArguments, globals: &Globals) -> Result<Exit, Stop> {
    let context = Context::open(globals, None, &arguments.streams).await?;
    let mut policy = context.policy().await?;
    // A probe is written without a question.
    to_stderr(header(&context, Some(Mode::Prove)));
    if arguments.observe {
        observe_only(&mut policy);
    }
    let streams = context.streams(&arguments.streams)?;
    let works = streams.into_iter().map(|stream| {
        let mut work = context.work(stream, "prove");
        work.proof_owed = true;
        (work, None)
    });
    let ran = run_all(&context, &policy, Mode::Prove, works.collect(), "proving", globals.json).await?;
    if globals.json {
        let done: Vec<Document<'_>> = ran.done.iter().map(Document::from).collect();
        let left: Vec<String> = ran.left.iter().map(ToString::to_string).collect();
        result(document(&context, "streamseal.prove/v1", json!({"evidence": done, "left": left})));
    } else {
        if arguments.fix {
            ran.changes().into_iter().for_each(result);
        }
        result(next(&context.given, &ran, arguments.fix));
    }
    Ok(ran.exit())
}

/// The command that comes next.
fn next(given: &str, ran: &Ran, fix: bool) -> String {
    let names = |of: fn(&Evidence) -> bool| -> Vec<&str> {
        ran.done.iter().filter(|evidence| of(evidence)).map(|evidence| evidence.stream.name.as_str()).collect()
    };
    let wrong = names(|evidence| evidence.remedy.at_source().is_some());
    let open = names(|evidence| evidence.verdict.compliance == Compliance::InsufficientData);
    match (wrong.first(), open.first()) {
        (Some(_), _) if !fix => heading::next(given, &format!("prove {} --fix", wrong.join(" ")), words::FIX),
        (Some(_), _) => {
            heading::next(given, &format!("seal {} --dry-run", wrong.join(" ")), "shows what it would change")
        }
        (None, Some(name)) => heading::next(given, &format!("explain {name}"), "says how the stream is now"),
        (None, None) => heading::next(given, "audit", "shows how every stream stands with the policy"),
    }
}

/// Every rule's proof becomes one that writes nothing; which rule and which key stay as they are.
fn observe_only(policy: &mut Policy) {
    for rule in &mut policy.rules {
        if let Effect::Encrypt(encrypt) = &mut rule.effect {
            encrypt.proof = Proof { new: ProofMode::Observe, existing: ProofMode::Observe };
        }
    }
}
