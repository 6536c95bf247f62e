//! `streamseal replay EVENT.json`: what the function would do with this event, by the function's own code, up to the first
//! step of each run. It only reads; it never starts encryption and writes no probe.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::arguments::{EXIT_CODES, Globals, MODES};
use super::context::{Context, policy_source, read_file};
use super::exit::Exit;
use super::output::{Stop, result};
use super::words::would;
use crate::domain::event;
use crate::domain::event::item::{Fate, Input, Item, Rest};
use crate::domain::model::Mode;
use crate::domain::scan::Scan;
use crate::domain::scan::subject::Subject;
use crate::ports::Clock;
use crate::run::concern::{not_named, of_concern};
use crate::run::reconcile::preview::{Preview, preview};

/// Shows what the function would do with an event; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ReplayArguments {
    /// The event's file: an EventBridge event, an SQS batch, a command, …
    event: PathBuf,
    /// The mode to assume [env: MODE; else report]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Only read the event; call nothing
    #[arg(long)]
    offline: bool,
}

/// How long one preview may take.
const PREVIEW_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

pub(super) async fn run(arguments: &ReplayArguments, globals: &Globals) -> Result<Exit, Stop> {
    let file = arguments.event.display();
    let text = read_file(&arguments.event)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| Stop::failure(format!("{file}: not JSON: {error}")))?;
    // Nothing is decided offline.
    let policy = policy_source(globals).or_else(|| arguments.offline.then(|| "inline:none".to_owned()));
    let context = Context::with_policy(globals, arguments.mode.as_deref(), &[], policy).await?;
    let aws = &context.aws;
    let items = match event::parse(&value, &context.config.own, aws.now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|m| m.items).collect(),
    };
    let policy = if arguments.offline { None } else { Some(context.policy().await?) };
    let mode = if arguments.offline { Mode::Report } else { context.mode().await? };
    let mut worst = Exit::Compliant;
    for mut item in items {
        let session = policy.as_ref().map(|policy| context.session(policy, mode, PREVIEW_MAX));
        let previewed = match (&item, &session) {
            (Item::Reconcile(work), Some(session)) => Some(preview(aws, work, session).await),
            (Item::Scan(scan), Some(session)) => {
                item = match not_named(aws, scan, session).await {
                    Some(why) => Item::Rejected(why),
                    None => match of_concern(aws, Scan::clone(scan), session).await {
                        Ok(scan) => Item::Scan(Box::new(scan)),
                        Err(why) => Item::Ignored(why),
                    },
                };
                None
            }
            _ => None,
        };
        let (line, exit) = describe(&item, previewed.as_ref(), globals.json);
        result(line);
        worst = worst.worse(exit);
    }
    Ok(worst)
}

/// One item in one line.
fn describe(item: &Item, previewed: Option<&Preview>, as_json: bool) -> (String, Exit) {
    let (outcome, reason, words, exit) = match (item, previewed) {
        (Item::Ignored(why), _) => ("ignored", why.code(), why.to_string(), Exit::Compliant),
        (Item::Rejected(why), _) => ("rejected", why.code(), why.to_string(), Exit::Failure),
        (Item::Malformed(why), _) => ("malformed", "Malformed", why.to_string(), Exit::Failure),
        (Item::Rest(Rest { fate, code, count }), _) => {
            let (outcome, exit) = match fate {
                Fate::Ignored => ("ignored", Exit::Compliant),
                Fate::Rejected => ("rejected", Exit::Failure),
                Fate::Malformed => ("malformed", Exit::Failure),
            };
            (outcome, *code, format!("{count} more items of the message"), exit)
        }
        (Item::Scan(scan) | Item::ScanNow(scan), _) => ("scan", "Scan", scan_words(scan), Exit::Compliant),
        (Item::PolicyChanged(name, scan), _) => {
            let words = format!("{}, if `{name}` is the policy's or the mode's parameter", scan_words(scan));
            ("scan", "Scan", words, Exit::Compliant)
        }
        (Item::Reconcile(work), None) => {
            let words = format!("reconcile {} because of {}", work.stream, work.cause.call);
            ("reconcile", "Reconcile", words, Exit::Compliant)
        }
        (Item::Reconcile(work), Some(preview)) => {
            let (would, exit) = would(&preview.step, &preview.remedy);
            let rule = preview.rule.as_deref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
            ("reconcile", "Reconcile", format!("{}: {would}{rule}", work.stream), exit)
        }
    };
    let line = if as_json {
        let rule = previewed.and_then(|s| s.rule.clone());
        let reasons = previewed.map(|s| s.reasons.clone()).unwrap_or_default();
        json!({"outcome": outcome, "reason": reason, "detail": words, "rule": rule, "reasons": reasons}).to_string()
    } else {
        format!("{outcome}: {words}")
    };
    (line, exit)
}

fn scan_words(scan: &Scan) -> String {
    let which = match &scan.subject {
        Subject::Fleet => "every stream".to_owned(),
        Subject::Alias { alias } => format!("every stream whose rule or setting names {alias}"),
        Subject::Aliases => "every stream whose setting names an alias and whose rule accepts other keys".to_owned(),
        Subject::Key { key, .. } => format!("every stream that is on {key} or should be"),
    };
    format!("would observe {which} because of {}", scan.cause.call)
}
