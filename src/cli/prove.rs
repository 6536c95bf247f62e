//! `streamseal prove STREAM…`: the proof alone, by the same loop in a mode that starts nothing. A proof may be a record that is written,
//! which consumers see: that is said and asked first.

use std::io::IsTerminal;

use serde_json::{Value, json};

use super::arguments::{Globals, shell_word, switch};
use super::confirm::{confirmed, unless_interrupted};
use super::context::{Context, OBSERVATION_MAX};
use super::exit::Exit;
use super::heading::{self, document, header};
use super::keys::complete;
use super::output::{FAINT, GOOD, ODD, STRONG, Stop, result, styled, to_stderr};
use super::progress::bar;
use super::runs::{Ran, is_proven, run_all};
use super::words::{self, would};
use crate::domain::arn::StreamArn;
use crate::domain::evidence::Evidence;
use crate::domain::evidence::known::{KeyWire, KnownKey, known};
use crate::domain::evidence::v1::{Document, ExemptionWire};
use crate::domain::model::{Mode, ProofMode};
use crate::domain::plan::step::Step;
use crate::domain::policy::{Effect, Policy, Proof};
use crate::domain::verdict::Compliance;
use crate::domain::work::Work;
use crate::ports::CallLog;
use crate::run::reconcile::preview::{Preview, preview};

const CODES: &str = "Exit codes: 0 proven, or nothing to prove, 1 failure, 2 usage, 3 non-compliant, 4 try again, or stopped by Ctrl-C.";

/// Proves that streams are encrypted as their rule requires; never changes a setting. It may write a small record,
/// which consumers see, and asks before it does
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct ProveArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required_unless_present = "print_iam")]
    streams: Vec<String>,
    /// Write nothing: search for a record that a producer wrote, whatever the rule says
    #[arg(long)]
    observe: bool,
    /// Also print the change to make, grouped by key: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    fix: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Only show what would be written, and where
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// One stream, and how it would be proven.
struct Planned {
    stream: StreamArn,
    preview: Preview,
    /// The keys that matter, as far as they are known.
    keys: Vec<KnownKey>,
}

impl Planned {
    /// Whether a record would be written. A stream that is not ready is decided later, as its rule says.
    fn writes(&self) -> bool {
        self.preview.proof == Some(ProofMode::Probe) && matches!(self.preview.step, Ok(Step::Prove | Step::Await(_)))
    }

    fn line(&self) -> String {
        let (mark, words) = match (&self.preview.step, self.preview.proof) {
            (Ok(Step::Prove), Some(ProofMode::Probe)) => {
                (styled(ODD, "+"), "writes one small record, which consumers receive".to_owned())
            }
            (Ok(Step::Prove), Some(ProofMode::Observe)) => {
                (styled(GOOD, "="), "writes nothing: searches for a producer's record".to_owned())
            }
            (Ok(Step::Prove), _) => {
                (styled(FAINT, "="), "writes nothing: its rule requires only the encryption setting".to_owned())
            }
            (step, _) => (styled(ODD, "!"), would(step, &self.preview.remedy).0),
        };
        let by = words::decided_by(self.preview.rule.as_deref(), &self.preview.tags);
        format!("{mark} {}: {words}{by}", self.stream.name)
    }

    fn to_json(&self) -> Value {
        let proof = self.preview.proof.map(|proof| match proof {
            ProofMode::Probe => "probe",
            ProofMode::Observe => "observe",
            ProofMode::Describe => "describe",
        });
        json!({"stream": self.stream.to_string(), "rule": self.preview.rule, "proof": proof, "writes": self.writes(),
            "keys": self.keys.iter().map(KeyWire::from).collect::<Vec<_>>(), "tags": self.preview.tags, "exemption": self.preview.exemption.as_ref().map(ExemptionWire::from)})
    }
}

pub(super) async fn run(arguments: &ProveArguments, globals: &Globals) -> Result<Exit, Stop> {
    let context = Context::open(globals, None, &arguments.streams).await?;
    let mut policy = context.policy().await?;
    to_stderr(header(&context, Mode::Prove));
    if arguments.observe {
        observe_only(&mut policy);
    }
    let streams = context.streams(&arguments.streams)?;
    let Some(plan) = unless_interrupted(planned(&context, &policy, streams)).await else { return Ok(Exit::TryAgain) };
    let plan = plan?;
    let writes = plan.iter().filter(|planned| planned.writes()).count();
    let asks = writes > 0 && !arguments.yes && !arguments.dry_run;
    if arguments.dry_run || asks {
        let mut lines: Vec<String> = plan.iter().map(Planned::line).collect();
        lines.extend(words::keys(plan.iter().flat_map(|planned| &planned.keys), words::faint));
        if globals.json { to_stderr(lines.join("\n")) } else { result(lines.join("\n")) }
    }
    if arguments.dry_run {
        if globals.json {
            result(to_json(&context, &plan, None));
        } else {
            let does = if writes > 0 { "asks for confirmation and writes the records" } else { "makes the proof" };
            let named = arguments.streams.iter().map(|stream| shell_word(stream)).collect::<Vec<_>>().join(" ");
            result(heading::next(&context.given, &format!("prove {named}{}", again(arguments)), does));
        }
        return Ok(Exit::Compliant);
    }
    if asks {
        if !std::io::stdin().is_terminal() {
            let stop = Stop::usage("prove must ask before it writes a record, but standard input is not a terminal");
            return Err(stop.help("use `--yes` to write without asking, or `--observe` to write nothing"));
        }
        let answer = unless_interrupted(confirmed(&question(writes))).await.transpose()?;
        match answer {
            Some(true) => {}
            Some(false) => return Ok(Exit::Compliant),
            None => return Ok(Exit::TryAgain),
        }
    }
    let works = plan.iter().map(|planned| (work(&context, planned.stream.clone()), None));
    let mut ran = run_all(&context, &policy, Mode::Prove, works.collect(), "proving", globals.json).await?;
    let facts: Vec<&KnownKey> = plan.iter().flat_map(|planned| &planned.keys).collect();
    ran.done.iter_mut().flat_map(|evidence| &mut evidence.keys).for_each(|key| key.learn(&facts));
    if globals.json {
        result(to_json(&context, &plan, Some(&ran)));
    } else {
        if arguments.fix {
            ran.changes().into_iter().for_each(result);
        }
        // What was asked about has them above the question.
        if !asks {
            words::keys(ran.done.iter().flat_map(|evidence| &evidence.keys), words::faint).into_iter().for_each(result);
        }
        result(closing(&context.given, &ran, arguments));
    }
    Ok(ran.exit())
}

/// The options of the same proof again.
fn again(arguments: &ProveArguments) -> String {
    switch("observe", arguments.observe) + &switch("fix", arguments.fix)
}

/// The command that comes next.
fn next(given: &str, ran: &Ran, arguments: &ProveArguments) -> String {
    let names = |of: fn(&Evidence) -> bool| -> Vec<String> {
        ran.done.iter().filter(|evidence| of(evidence)).map(|evidence| evidence.stream.argument()).collect()
    };
    let wrong = names(|evidence| evidence.remedy.at_source().is_some());
    let open = names(|evidence| evidence.verdict.compliance == Compliance::InsufficientData);
    match (wrong.first(), open.first()) {
        (Some(_), _) if !arguments.fix => {
            heading::next(given, &format!("prove {}{} --fix", wrong.join(" "), again(arguments)), words::FIX)
        }
        (Some(_), _) => {
            heading::next(given, &format!("seal {} --dry-run", wrong.join(" ")), "shows what it would change")
        }
        (None, Some(name)) => heading::next(given, &format!("explain {name}"), "says how the stream is now"),
        (None, None) => heading::next(given, "audit", "compares every stream with the policy"),
    }
}

fn question(writes: usize) -> String {
    match writes {
        1 => "Write one small record to 1 stream?".to_owned(),
        several => format!("Write one small record to each of {several} streams?"),
    }
}

fn to_json(context: &Context, plan: &[Planned], ran: Option<&Ran>) -> Value {
    let plan: Vec<Value> = plan.iter().map(Planned::to_json).collect();
    let done = ran.map(|ran| ran.done.iter().map(Document::from).collect::<Vec<_>>());
    let left = ran.map(|ran| ran.left.iter().map(ToString::to_string).collect::<Vec<_>>());
    document(context, "streamseal.prove/v1", json!({"plan": plan, "evidence": done, "left": left}))
}

fn work(context: &Context, stream: StreamArn) -> Work {
    let mut work = context.work(stream, "prove");
    work.proof_owed = true;
    work
}

/// One observation of each stream: what its proof would be.
async fn planned(context: &Context, policy: &Policy, streams: Vec<StreamArn>) -> Result<Vec<Planned>, Stop> {
    let observing = bar(streams.len(), "observing");
    let mut plan = Vec::new();
    for stream in streams {
        context.turn().await?;
        let session = context.session(policy, Mode::Prove, OBSERVATION_MAX);
        let preview = preview(&context.aws, &work(context, stream.clone()), &session).await;
        let keys = known(&preview.keys);
        plan.push(Planned { stream, preview, keys });
        observing.inc(1);
    }
    let keys = plan.iter_mut().flat_map(|planned| &mut planned.keys);
    complete(&context.sdk, &context.config.own, keys.collect(), &CallLog::default()).await;
    observing.finish_and_clear();
    Ok(plan)
}

/// How many ended how, and what comes next.
fn closing(given: &str, ran: &Ran, arguments: &ProveArguments) -> String {
    let count = |compliance: Compliance| ran.done.iter().filter(|e| e.verdict.compliance == compliance).count();
    let compliant = ran.done.iter().filter(|evidence| evidence.verdict.compliance == Compliance::Compliant);
    let proven = compliant.filter(|evidence| is_proven(evidence)).count();
    let skipped = count(Compliance::Compliant) - proven + count(Compliance::NotApplicable) + ran.left.len();
    let (wrong, unknown) = (count(Compliance::NonCompliant), count(Compliance::InsufficientData));
    let line = format!("{proven} proven, {wrong} wrong, {skipped} skipped, {unknown} unknown");
    format!("{}\n{}", styled(STRONG, line), next(given, ran, arguments))
}

/// Every rule's proof becomes one that writes nothing; which rule and which key stay as they are.
fn observe_only(policy: &mut Policy) {
    for rule in &mut policy.rules {
        if let Effect::Encrypt(encrypt) = &mut rule.effect {
            encrypt.proof = Proof { new: ProofMode::Observe, existing: ProofMode::Observe };
        }
    }
}
