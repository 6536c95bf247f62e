//! `streamseal impact`: who would lose access if a stream moved to a key, and the statement that prevents it. It reads; it changes
//! nothing.

mod before;
mod calls;
mod events;
mod firehose;
mod gather;
mod identity;
mod keys;
mod kinesis;
mod lambda;
mod logs;
mod permitted;
mod pipes;
mod search;
mod table;
mod trail;

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::SignedDuration;
use serde_json::Value;

pub(crate) use self::before::Before;
use self::gather::{Asked, Depth, no_such_stream, reports};
use super::arguments::{Globals, options, switch};
use super::columns::terminal_width;
use super::context::{Context, new_id, policy_source};
use super::exit::Exit;
use super::heading::{self, header_by};
use super::iam::allow;
use super::output::{Stop, result};
use super::progress::bar;
use crate::domain::arn::{KeyRef, StreamArn};
use crate::domain::impact::report::{Outcome, Report};
use crate::domain::impact::v1::Document;
use crate::domain::policy::{Outcome as Decided, Policy};
use crate::domain::text::EventText;
use crate::ports::Clock;

const CODES: &str = "Exit codes: 0 no loss found, 1 failure, 2 usage, 3 a principal would lose access, 4 something is \
                     unknown (with --fail-on unknown).";

/// How far back it reads where nobody says.
const SINCE: &str = "30m";

/// CloudTrail's event history goes back 90 days (CloudTrail user guide, event history).
const SINCE_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Says who would lose access if a stream moved to a key, and which policy statement prevents it
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct ImpactArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required_unless_present = "print_iam")]
    streams: Vec<String>,
    /// The key that the streams would move to: an id, an ARN or an alias [default: the key that the policy names for
    /// the stream]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// How far back to read CloudTrail's KMS events, such as `24h`
    #[arg(long, value_name = "TIME", default_value = SINCE)]
    since: String,
    /// Also find roles and users whose policies allow them to use the stream; takes minutes in a large account
    #[arg(long)]
    deep: bool,
    /// What makes the exit code other than 0
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    fail_on: FailOn,
}

/// What ends the command with another exit code than 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// A principal would lose access
    #[default]
    Loss,
    /// A principal would lose access, or something is unknown
    Unknown,
}

/// What it takes.
pub(super) fn permission() -> Value {
    allow("StreamsealImpact", &calls::ALL, "*")
}

pub(super) async fn run(arguments: &ImpactArguments, globals: &Globals) -> Result<Exit, Stop> {
    let since = since(&arguments.since)?;
    let key = arguments.key.as_deref().map(key_of).transpose()?;
    // With a key no policy is needed, and none has to be named.
    let source = policy_source(globals).or_else(|| key.is_some().then(|| "inline:".to_owned() + NO_POLICY));
    let context = Context::with_policy(globals, None, &arguments.streams, source).await?;
    let streams = context.streams(&arguments.streams)?;
    let policy = if key.is_none() { Some(context.policy().await?) } else { None };
    let mut asked = Vec::new();
    for stream in streams {
        let key = match (&key, &policy) {
            (Some(key), _) => key.clone(),
            (None, Some(policy)) => by_policy(&context, policy, &stream).await?,
            (None, None) => return Err(Stop::usage("no key is named")),
        };
        asked.push(Asked { stream, key, observed: None });
    }
    let checking = bar(asked.len(), "checking");
    let depth = Depth { since, deep: arguments.deep };
    let reports = reports(&context, asked, &BTreeMap::new(), depth, &checking).await;
    checking.finish_and_clear();
    let reports = reports?;
    if !globals.json {
        // The change is assumed, in whichever mode.
        let policy = policy.is_some().then_some(&context.config.policy);
        result(header_by(&context, policy, None));
    }
    for (index, report) in reports.iter().enumerate() {
        if globals.json {
            let document = serde_json::to_string(&Document::new(report, &new_id()));
            result(document.map_err(|error| Stop::failure(format!("the report cannot be written: {error}")))?);
        } else {
            if index > 0 {
                result("");
            }
            result(table::render(report, terminal_width()));
        }
    }
    if !globals.json {
        result(next(&context.given, &reports, arguments));
    }
    Ok(reports.iter().fold(Exit::Compliant, |exit, report| exit.worse(exit_of(report, arguments.fail_on))))
}

/// The command that comes next.
fn next(given: &str, reports: &[Report], arguments: &ImpactArguments) -> String {
    let key = options("key", &arguments.key);
    let fail_on = switch("fail-on unknown", arguments.fail_on == FailOn::Unknown);
    let again =
        format!("{key}{}{fail_on}", options("since", &Some(arguments.since.clone()).filter(|time| time != SINCE)));
    let streams = |of: fn(&Report) -> bool| -> Option<String> {
        let names: Vec<String> =
            reports.iter().filter(|report| of(report)).map(|report| report.stream.argument()).collect();
        (!names.is_empty()).then(|| names.join(" "))
    };
    if let Some(names) = streams(|report| report.outcome() == Outcome::Loss) {
        let deep = switch("deep", arguments.deep);
        return heading::next(given, &format!("impact {names}{again}{deep}"), "checks again what you added");
    }
    match streams(|report| report.outcome() == Outcome::Unknown) {
        Some(names) if !arguments.deep => heading::next(
            given,
            &format!("impact {names}{again} --deep"),
            "also finds who is allowed to use the stream",
        ),
        _ => {
            let names = streams(|_| true).unwrap_or_default();
            heading::next(given, &format!("seal {names}{key} --dry-run"), "shows what it would change")
        }
    }
}

/// A policy that is never read.
const NO_POLICY: &str = "{}";

fn exit_of(report: &Report, fail_on: FailOn) -> Exit {
    match report.outcome() {
        Outcome::Loss => Exit::NonCompliant,
        Outcome::Unknown if fail_on == FailOn::Unknown => Exit::TryAgain,
        Outcome::Unknown | Outcome::NoLoss => Exit::Compliant,
    }
}

fn since(text: &str) -> Result<SignedDuration, Stop> {
    let since: Option<SignedDuration> = text.parse().ok();
    since.filter(|since| *since > SignedDuration::ZERO && *since <= SINCE_MAX).ok_or_else(|| {
        let stop = Stop::usage(format!("`--since {}` is not a time of at most 90 days", EventText::new(text)));
        stop.help("write it as `30m`, `24h` or `168h`")
    })
}

/// A key as it stands on the command line.
pub(crate) fn key_of(text: &str) -> Result<KeyRef, Stop> {
    KeyRef::parse(text).ok_or_else(|| {
        let stop = Stop::usage(format!("`{}` is neither the id, the ARN nor the alias of a key", EventText::new(text)));
        stop.help("an alias begins with `alias/`")
    })
}

/// The key that the policy names for a stream.
async fn by_policy(context: &Context, policy: &Policy, stream: &StreamArn) -> Result<KeyRef, Stop> {
    let tags = context.tags(policy, stream, no_such_stream).await?;
    match policy.decide(stream, &tags, context.aws.now()).outcome {
        Decided::Encrypt(target) => Ok(target.key),
        Decided::Exempt(_) | Decided::Unmatched | Decided::Unresolvable(_) => {
            let stop = Stop::usage(format!("the policy names no key for {}", stream.name));
            Err(stop.help(format!("name one with `--key`; `streamseal explain {}` says why", stream.argument())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_one_within_cloudtrails_history() {
        for (text, minutes) in [("30m", 30), ("24h", 24 * 60), ("2160h", 90 * 24 * 60)] {
            assert_eq!(since(text).unwrap(), SignedDuration::from_mins(minutes), "{text}");
        }
        for bad in ["", "0s", "-1h", "soon", "2161h", "30"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
