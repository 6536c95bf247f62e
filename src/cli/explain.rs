//! `streamseal explain`: which rule decides a stream and why, why no rule before it did, with which key, and what a run would do
//! now. It only reads; it changes nothing.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::arguments::{EXIT_CODES, Globals, MODES, options};
use super::context::{Context, OBSERVATION_MAX};
use super::exit::Exit;
use super::heading::{self, document, header};
use super::keys::complete;
use super::output::{GOOD, STRONG, Stop, advice_on, result, styled, to_stderr};
use super::policy::Explanation;
use super::words::{self, coloured, would};
use crate::domain::arn::{KeyRef, StreamArn, StreamName};
use crate::domain::cause::{Cause, Creator};
use crate::domain::evidence::known::{KeyWire, KnownKey, known};
use crate::domain::evidence::v1::{ExemptionWire, WouldWire};
use crate::domain::failure::Unfinished;
use crate::domain::model::{Encryption, KeyLookup, Mode, Observed, StreamStatus, Tags};
use crate::domain::plan::observation::{Observation, observation_of};
use crate::domain::plan::permit::BIRTH_MAX;
use crate::domain::plan::situation::{Keys, assess, key_needed};
use crate::domain::plan::step::{Condition, Step};
use crate::domain::policy::{Outcome, Policy};
use crate::domain::remedy::advice::{Facts, Remedy};
use crate::domain::remedy::remedy;
use crate::domain::text::EventText;
use crate::domain::verdict::{Compliance, Reason, Verdict, Withheld};
use crate::ports::{CallLog, Clock};
use crate::run::observe::Observer;
use crate::run::reconcile::preview::preview;
use crate::run::session::Session;

/// Says which rule decides a stream, why, which key it requires, and what a run would do now
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ExplainArguments {
    /// The stream: its name or ARN
    #[arg(required_unless_present_any = ["name", "print_iam"])]
    stream: Option<String>,
    /// The name of a stream, whether it exists or not; Kinesis is not called
    #[arg(long, conflicts_with = "stream")]
    name: Option<String>,
    /// A tag of the stream; may be repeated. An existing stream is explained as if it had this tag too
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// The mode to assume [env: MODE; else report]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Also print the change to make: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    fix: bool,
}

/// All that is reported.
struct Reported {
    stream: StreamArn,
    /// `None` for a stream that need not exist.
    setting: Option<(StreamStatus, Encryption)>,
    /// When it was made; now, for one that need not be there.
    created: Option<Timestamp>,
    explanation: Explanation,
    key: Option<(KeyRef, KeyLookup)>,
    /// The keys that matter, as far as they are known.
    keys: Vec<KnownKey>,
    step: Result<Step, Unfinished>,
    /// What is said of it as it is, where that is known.
    verdict: Option<Verdict>,
    remedy: Remedy,
}

pub(super) async fn run(arguments: &ExplainArguments, globals: &Globals) -> Result<Exit, Stop> {
    let named: Vec<String> = arguments.stream.iter().cloned().collect();
    let context = Context::open(globals, arguments.mode.as_deref(), &named).await?;
    let policy = context.policy().await?;
    let mode = context.mode().await?;
    let (mut reported, exit) = match (&arguments.stream, &arguments.name) {
        (Some(stream), _) if arguments.tags.is_empty() => existing(&context, &policy, mode, stream).await?,
        (Some(stream), _) => tagged(&context, &policy, mode, stream, &arguments.tags).await?,
        (None, name) => imagined(&context, &policy, mode, name.as_deref().unwrap_or_default(), &arguments.tags).await?,
    };
    complete(&context.sdk, &context.config.own, reported.keys.iter_mut().collect(), &CallLog::default()).await;
    let advice = advice_of(&reported, &context);
    if globals.json {
        result(document(&context, "streamseal.explain/v1", reported.to_json(&policy)));
    } else {
        result(header(&context, mode));
        reported.print(&policy, exit);
        if arguments.fix {
            let change = words::changes([(reported.stream.name.as_str(), &reported.remedy)].into_iter(), words::faint);
            change.into_iter().for_each(result);
        }
        reported.next(&context.given, arguments).into_iter().for_each(result);
    }
    if let Some(advice) = advice {
        to_stderr(format_args!("{}: {advice}", styled(GOOD, "help")));
    }
    Ok(exit)
}

/// A stream that is there.
async fn existing(context: &Context, policy: &Policy, mode: Mode, stream: &str) -> Result<(Reported, Exit), Stop> {
    let stream = context.stream(stream)?;
    let tags = context.tags(policy, &stream, no_such_stream).await?;
    let explanation = policy.explain(&stream, &tags, context.aws.now());
    let session = context.session(policy, mode, OBSERVATION_MAX);
    let previewed = preview(&context.aws, &context.work(stream.clone(), "explain"), &session).await;
    if matches!(&previewed.step, Ok(Step::Finish(verdict)) if verdict.reason == Reason::StreamGone) {
        return Err(no_such_stream(&stream));
    }
    let key = match explanation.decision.outcome.target() {
        Some(target) => Some((target.key.clone(), look_up(context, &session, &target.key).await?)),
        None => None,
    };
    let setting = previewed.setting.as_ref().map(|s| (s.observed.status.clone(), s.observed.encryption.clone()));
    let created = previewed.setting.as_ref().map(|s| s.observed.created);
    let (_, exit) = would(&previewed.step, &previewed.remedy);
    let verdict = previewed.step.as_ref().ok().and_then(|step| step.verdict(previewed.situation.as_ref()));
    let (keys, step, remedy) = (known(&previewed.keys), previewed.step, previewed.remedy);
    Ok((Reported { stream, setting, created, explanation, key, keys, step, verdict, remedy }, exit))
}

fn no_such_stream(stream: &StreamArn) -> Stop {
    let stop = Stop::failure(format!("{stream}: no such stream, or it is being deleted"));
    stop.help(format!(
        "`streamseal explain --name {} --tag KEY=VALUE` explains a stream that does not exist yet",
        stream.name
    ))
}

/// A stream that need not be there: as if it were made now, by hand.
async fn imagined(
    context: &Context,
    policy: &Policy,
    mode: Mode,
    name: &str,
    tags: &[String],
) -> Result<(Reported, Exit), Stop> {
    let tags = tags_of(tags)?;
    let name = StreamName::parse(name)
        .ok_or_else(|| Stop::usage(format!("--name: `{}` is not a valid stream name", EventText::new(name))))?;
    let now = context.aws.now();
    let observed = Observed {
        status: StreamStatus::Active,
        encryption: Encryption::None,
        created: now,
        retention_hours: 24,
        at: now,
    };
    let creator = Some(Creator::Other);
    let cause = Cause { call: EventText::new("CreateStream"), event_id: None, actor: None, at: Some(now), creator };
    let stream = context.config.own.stream(name);
    let reported = what_if(context, policy, mode, (stream, &tags), &observed, &cause).await?;
    let exit = match &reported.step {
        Ok(step) => exit_of_imagined(step, &reported.remedy),
        Err(_) => Exit::TryAgain,
    };
    Ok((Reported { setting: None, ..reported }, exit))
}

/// A stream that is there, as if it had these tags besides its own.
async fn tagged(
    context: &Context,
    policy: &Policy,
    mode: Mode,
    stream: &str,
    tags: &[String],
) -> Result<(Reported, Exit), Stop> {
    let (more, stream) = (tags_of(tags)?, context.stream(stream)?);
    let mut tags = context.tags(policy, &stream, no_such_stream).await?;
    tags.extend(more);
    let observed = context.describe(&stream, "the stream's setting", no_such_stream).await?;
    let cause = context.work(stream.clone(), "explain").cause;
    let reported = what_if(context, policy, mode, (stream, &tags), &observed, &cause).await?;
    let (_, exit) = would(&reported.step, &reported.remedy);
    Ok((reported, exit))
}

/// What the policy says of a stream with these tags that is so, and what a run would do.
async fn what_if(
    context: &Context,
    policy: &Policy,
    mode: Mode,
    (stream, tags): (StreamArn, &Tags),
    observed: &Observed,
    cause: &Cause,
) -> Result<Reported, Stop> {
    let (own, now) = (&context.config.own, context.aws.now());
    let explanation = policy.explain(&stream, tags, now);
    let outcome = &explanation.decision.outcome;
    let session = context.session(policy, mode, OBSERVATION_MAX);
    let mut keys = Keys::new();
    while let Some(key) = key_needed(outcome, &observed.encryption, &keys, own) {
        let found = look_up(context, &session, &key).await?;
        keys.insert(key, found);
    }
    let observation =
        observation_of(observed, None).unwrap_or_else(|| Observation::Active(assess(outcome, observed, &keys, own)));
    let step = session.first_step(&observation, cause, now);
    let situation = observation.situation();
    let ended = if let Step::Finish(verdict) = &step { Some(verdict) } else { None };
    let verdict = step.verdict(situation);
    let facts = Facts {
        stream: &stream,
        outcome: Some(outcome),
        rule: explanation.decision.rule.as_ref().map(|rule| rule.name.as_str()),
        encryption: Some(&observed.encryption),
        situation,
        keys: &keys,
        verdict: ended,
        calls: &[],
        changed: false,
    };
    let remedy = remedy(&facts);
    let key = outcome.target().and_then(|target| Some((target.key.clone(), keys.get(&target.key)?.clone())));
    let setting = Some((observed.status.clone(), observed.encryption.clone()));
    let (created, keys, step) = (Some(observed.created), known(&keys), Ok(step));
    Ok(Reported { stream, setting, created, explanation, key, keys, step, verdict, remedy })
}

/// Tags as they stand on the command line, each once.
fn tags_of(arguments: &[String]) -> Result<Tags, Stop> {
    let mut tags = Tags::new();
    for tag in arguments {
        let Some((key, value)) = tag.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Stop::usage(format!("--tag: `{}` is not KEY=VALUE", EventText::new(tag))));
        };
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(Stop::usage(format!(
                "--tag: `{}` is given more than once; a tag has only one value",
                EventText::new(key)
            )));
        }
    }
    Ok(tags)
}

/// Only what would stay wrong is a fault of a stream that is not there.
fn exit_of_imagined(step: &Step, remedy: &Remedy) -> Exit {
    match step {
        Step::Finish(verdict) if verdict.withheld.is_none() => words::exit_of(verdict, remedy),
        Step::Defer(_) => Exit::TryAgain,
        Step::Finish(_) | Step::Start(_) | Step::Await(_) | Step::ReadHistory(_) | Step::Prove | Step::StartAfresh => {
            Exit::Compliant
        }
    }
}

/// Whether the stream is as its rule says, as far as the step says so; a stream that need not be there is one that is
/// not encrypted.
fn is_compliant(step: &Result<Step, Unfinished>) -> Option<bool> {
    match step {
        Ok(Step::Prove) => Some(true),
        Ok(Step::Start(_) | Step::ReadHistory(_)) => Some(false),
        Ok(Step::Finish(verdict)) => match verdict.compliance {
            Compliance::Compliant | Compliance::NotApplicable => Some(true),
            Compliance::NonCompliant => Some(false),
            Compliance::InsufficientData => None,
        },
        Ok(Step::Await(_) | Step::Defer(_) | Step::StartAfresh) | Err(_) => None,
    }
}

async fn look_up(context: &Context, session: &Session<'_>, key: &KeyRef) -> Result<KeyLookup, Stop> {
    let found = Observer::of_preview(&context.aws, session).ask_again(key, &CallLog::default()).await;
    let own = Some(&context.config.own);
    found.map_err(|failure| Stop::call(&format!("the key `{key}`"), &failure, own, &[]))
}

/// What to do about what could not be seen, where that is no remedy of the stream's.
fn advice_of(reported: &Reported, context: &Context) -> Option<String> {
    match (&reported.step, &reported.remedy) {
        (Err(why), Remedy::None) => advice_on(why, Some(&context.config.own), &[&reported.stream.to_string()]),
        _ => None,
    }
}

impl Reported {
    fn print(&self, policy: &Policy, exit: Exit) {
        let label = |name: &str| styled(STRONG, format_args!("{name:<9}"));
        result(format_args!("{}{}", label("stream"), self.stream));
        if let Some((status, encryption)) = &self.setting {
            result(format_args!("{}{status}, {}", label("setting"), words::setting(encryption)));
        }
        let decision = &self.explanation.decision;
        let place = decision.rule.as_ref().and_then(|rule| policy.rules.get(rule.index)).map(|rule| rule.place.line);
        let rule = match (&decision.rule, place) {
            (Some(rule), Some(line)) => format!("{} (line {line})", rule.name),
            (Some(rule), None) => rule.name.clone(),
            (None, _) => "none".to_owned(),
        };
        result(format_args!("{}{rule}", label("rule")));
        for reason in &decision.reasons {
            result(format_args!("{}{reason}", label("")));
        }
        if let Some(tags) = words::tags(&decision.tags) {
            result(format_args!("{}{tags}", label("tags")));
        }
        for (index, passed) in self.explanation.passed_over.iter().enumerate() {
            let name = if index == 0 { "skipped" } else { "" };
            let why = passed.why.join("; ");
            result(format_args!("{}{} (line {}): {why}", label(name), passed.rule.name, passed.place.line));
        }
        match (&self.key, &decision.outcome) {
            (Some((key, found)), _) => {
                result(format_args!("{}{key}\n{}= {}", label("key"), label(""), words::key(found)));
                if let Some(facts) = self.known(found).map(words::known) {
                    result(format_args!("{}{facts}", label("")));
                }
            }
            (None, Outcome::Unresolvable(why)) => result(format_args!("{}none: {why}", label("key"))),
            (None, Outcome::Exempt(exemption)) => result(format_args!("{}{}", label("exempt"), exemption.words())),
            (None, Outcome::Unmatched | Outcome::Encrypt(_)) => {}
        }
        // In the colour of what it says: a stream that need not be there may be wrong at first, and that is no fault of it.
        let colour = match &self.step {
            Ok(Step::Finish(verdict)) => words::exit_of(verdict, &self.remedy),
            _ => exit,
        };
        result(format_args!("{}{}", label("now"), coloured(colour, &self.words(policy))));
        if let Some(lines) = words::remedy(&self.remedy) {
            result(format_args!("{}\n{lines}", styled(STRONG, "what to do")));
        }
    }

    /// The command that comes next; `None` where something has to be done first.
    fn next(&self, given: &str, arguments: &ExplainArguments) -> Option<String> {
        let (name, fix) = (self.stream.argument(), arguments.fix);
        let is_there = self.setting.is_some();
        let mode = options("mode", &arguments.mode);
        if is_there && !arguments.tags.is_empty() {
            return Some(heading::next(
                given,
                &format!("explain {name}{mode}"),
                "explains it with the tags that it has",
            ));
        }
        let (command, does) = match (&self.step, self.verdict.as_ref().map(|verdict| verdict.compliance)) {
            (Ok(Step::Start(_) | Step::ReadHistory(_)), _) if is_there => {
                (format!("impact {name}"), "says who would lose access")
            }
            _ if self.remedy.at_source().is_some() && !fix && is_there => {
                (format!("explain {name}{mode} --fix"), words::FIX)
            }
            (_, Some(Compliance::NonCompliant)) if self.remedy.at_source().is_some() && is_there => {
                (format!("seal {name} --dry-run"), "shows what it would change")
            }
            (Ok(Step::Prove), _) | (_, Some(Compliance::Compliant)) if is_there => {
                (format!("prove {name}"), "proves it with a record")
            }
            (_, Some(Compliance::NotApplicable)) => (format!("audit{mode}"), "shows every stream"),
            _ => return None,
        };
        Some(heading::next(given, &command, does))
    }

    /// What is known of a key that was looked up.
    fn known(&self, found: &KeyLookup) -> Option<&KnownKey> {
        let KeyLookup::Found(info) = found else { return None };
        self.keys.iter().find(|key| key.info.identity == info.identity)
    }

    /// What a run would do. How long it would wait for a creator is counted from when it sees the stream ACTIVE, so that no
    /// instant holds for the next run.
    fn words(&self, policy: &Policy) -> String {
        match (&self.step, self.created) {
            (Ok(Step::Await(Condition::Settled(until))), Some(created)) => {
                let settle = if self.setting.is_some() { policy.settle.longest() } else { policy.settle.other };
                let latest = created + BIRTH_MAX + settle;
                if *until >= latest {
                    return would(&self.step, &self.remedy).0;
                }
                let most = if self.setting.is_some() { format!(", at most until {latest:.0}") } else { String::new() };
                let settle = jiff::SignedDuration::try_from(settle).unwrap_or_default();
                format!(
                    "would wait {settle:#} after it is observed ACTIVE{most}, because its creator may still set the key"
                )
            }
            _ => would(&self.step, &self.remedy).0,
        }
    }

    fn to_json(&self, policy: &Policy) -> Value {
        let decision = &self.explanation.decision;
        let words = self.words(policy);
        let passed: Vec<Value> = self
            .explanation
            .passed_over
            .iter()
            .map(|passed| json!({"rule": passed.rule.name, "line": passed.place.line, "why": passed.why}))
            .collect();
        let exemption = decision.outcome.exemption().map(ExemptionWire::from);
        let outcome = match &decision.outcome {
            Outcome::Exempt(_) => "exempt",
            Outcome::Unmatched => "unmatched",
            Outcome::Unresolvable(_) => "unresolvable",
            Outcome::Encrypt(_) => "encrypt",
        };
        json!({
            "stream": self.stream.to_string(),
            "setting": self.setting.as_ref().map(|(status, encryption)| words::setting_json(status, encryption)),
            "policy": policy.digest,
            "outcome": outcome,
            "rule": decision.rule.as_ref().map(|rule| &rule.name),
            "reasons": decision.reasons,
            "tags": decision.tags,
            "exemption": exemption,
            "keys": self.keys.iter().map(KeyWire::from).collect::<Vec<_>>(),
            "passed_over": passed,
            "named_key": self.key.as_ref().map(|(key, _)| key.as_str()),
            "key": self.key.as_ref().map(|(_, found)| words::key_json(found)),
            "step": words::step_word(&self.step),
            "detail": words,
            "compliant": is_compliant(&self.step),
            "reason": self.verdict.as_ref().map(|verdict| verdict.reason.as_str()),
            "withheld": self.verdict.as_ref().and_then(|verdict| verdict.withheld).map(Withheld::as_str),
            "would": self.verdict.as_ref().and_then(|verdict| verdict.would).map(WouldWire::from),
            "at_source": self.remedy.at_source(),
            "remedy": words::remedy_json(&self.remedy),
        })
    }
}
