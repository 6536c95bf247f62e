//! `streamseal prove STREAM…`: the proof alone, by the same loop in a mode that starts nothing.

use serde_json::json;

use super::arguments::{EXIT_CODES, Globals};
use super::context::Context;
use super::exit::Exit;
use super::output::{Stop, result, to_stderr};
use super::runs::run_all;
use crate::domain::evidence::v1::Document;
use crate::domain::model::{Mode, ProofMode};
use crate::domain::policy::{Effect, Policy, Proof};

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
}

pub(super) async fn run(arguments: &ProveArguments, globals: &Globals) -> Result<Exit, Stop> {
    let context = Context::open(globals, None, &arguments.streams).await?;
    let mut policy = context.policy().await?;
    // A probe is written without a question.
    to_stderr(context.place());
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
        result(json!({"schema": "streamseal.prove/v1", "evidence": done, "left": left}));
    }
    Ok(ran.exit())
}

/// Every rule's proof becomes one that writes nothing; which rule and which key stay as they are.
fn observe_only(policy: &mut Policy) {
    for rule in &mut policy.rules {
        if let Effect::Encrypt(encrypt) = &mut rule.effect {
            encrypt.proof = Proof { new: ProofMode::Observe, existing: ProofMode::Observe };
        }
    }
}
