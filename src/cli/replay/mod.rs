//! `streamseal replay EVENT.json`: what the function would do with this event, by the function's own code, up to the first
//! step of each run. It only reads; it never starts encryption and writes no probe.

mod records;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use self::records::{messages, place, tags};
use super::arguments::{EXIT_CODES, Globals, MODES};
use super::context::{Context, given_account, given_region, loaded, policy_source, read_file, source_of_account};
use super::exit::Exit;
use super::heading::offline_document;
use super::iam::observe;
use super::output::{Stop, result};
use super::settings::source_of_region;
use super::words::{decided_by, would};
use crate::domain::arn::Scope;
use crate::domain::event;
use crate::domain::event::item::{Fate, Input, Item, Rest};
use crate::domain::evidence::v1::ExemptionWire;
use crate::domain::model::Tags;
use crate::domain::policy::{Exemption, Outcome, Policy};
use crate::domain::scan::Scan;
use crate::domain::scan::subject::Subject;
use crate::domain::text::EventText;
use crate::domain::work::Work;
use crate::ports::Clock;
use crate::run::concern::{not_named, of_concern};
use crate::run::reconcile::preview::{Preview, preview};
use crate::run::session::Session;

/// Shows what the function would do with an event; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct ReplayArguments {
    /// The event's file, or `-` for standard input: an EventBridge event, an SQS batch, a command; or records of CloudTrail: one, a log
    /// file, or what `aws cloudtrail lookup-events` prints
    #[arg(required_unless_present = "print_iam")]
    event: Option<PathBuf>,
    /// The mode to assume [env: MODE; else report]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Make no call and use no credentials: show only the event and, where there is a policy, its rule and key
    #[arg(long)]
    offline: bool,
}

/// How long one preview may take.
const PREVIEW_MAX: jiff::SignedDuration = jiff::SignedDuration::from_secs(30);

/// What it takes.
pub(super) fn permissions(arguments: &ReplayArguments) -> Vec<Value> {
    if arguments.offline { Vec::new() } else { vec![observe()] }
}

pub(super) async fn run(arguments: &ReplayArguments, globals: &Globals) -> Result<Exit, Stop> {
    let Some(event) = &arguments.event else { return Err(Stop::usage("no event is named")) };
    let file = event.display();
    let text = read_event(event)?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| Stop::failure(format!("{file}: not JSON: {error}")))?;
    let messages = messages(value).map_err(|why| Stop::failure(format!("{file}: {why}")))?;
    let replayed =
        if arguments.offline { offline(&messages, globals)? } else { online(&messages, arguments, globals).await? };
    let (mut worst, mut ignored) = (Exit::Compliant, BTreeMap::<&str, u64>::new());
    for Replayed { item, came } in &replayed {
        match item {
            // A log file has hundreds of records that concern nobody here.
            Item::Ignored(why) if messages.len() > 1 => *ignored.entry(why.code()).or_default() += 1,
            item => worst = worst.worse(print(item, came, globals.json)),
        }
    }
    for (code, count) in ignored {
        let item = Item::Rest(Rest { fate: Fate::Ignored, code, count });
        worst = worst.worse(print(&item, &Came::Nowhere, globals.json));
    }
    Ok(worst)
}

fn read_event(path: &Path) -> Result<String, Stop> {
    let is_compressed = std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(&[0x1f, 0x8b]));
    if is_compressed && path != Path::new("-") {
        let path = path.display();
        return Err(Stop::failure(format!("{path}: the file is compressed"))
            .help(format!("`gunzip -c {path} | streamseal replay -`")));
    }
    read_file(path)
}

/// An item, and how far it was followed.
struct Replayed {
    item: Item,
    came: Came,
}

/// How far an item was followed.
enum Came {
    /// No further than to the item.
    Nowhere,
    /// To the first step of a run.
    ToStep(Box<Preview>),
    /// To a rule and its key, which are all that the event and the policy say.
    ToRule(ByRule),
}

/// What the policy says of the stream of an event, offline.
struct ByRule {
    rule: Option<String>,
    reasons: Vec<String>,
    tags: Tags,
    exemption: Option<Exemption>,
    key: Option<String>,
    words: String,
}

async fn online(messages: &[Value], arguments: &ReplayArguments, globals: &Globals) -> Result<Vec<Replayed>, Stop> {
    let context = Context::open(globals, arguments.mode.as_deref(), &[]).await?;
    let aws = &context.aws;
    let (policy, mode) = (context.policy().await?, context.mode().await?);
    let mut replayed = Vec::new();
    for message in messages {
        for mut item in items(message, &context.config.own, aws.now()) {
            let session = context.session(&policy, mode, PREVIEW_MAX);
            let came = match &item {
                Item::Reconcile(work) => Came::ToStep(Box::new(preview(aws, work, &session).await)),
                Item::Scan(scan) => {
                    item = concern(&context, scan, &session).await;
                    Came::Nowhere
                }
                _ => Came::Nowhere,
            };
            replayed.push(Replayed { item, came });
        }
    }
    Ok(replayed)
}

/// A scan, or why there would be none.
async fn concern(context: &Context, scan: &Scan, session: &Session<'_>) -> Item {
    if let Some(why) = not_named(&context.aws, scan, session).await {
        return Item::Rejected(why);
    }
    match of_concern(&context.aws, Scan::clone(scan), session).await {
        Ok(scan) => Item::Scan(Box::new(scan)),
        Err(why) => Item::Ignored(why),
    }
}

fn offline(messages: &[Value], globals: &Globals) -> Result<Vec<Replayed>, Stop> {
    let policy = match policy_source(globals) {
        Some(source) if source.starts_with("ssm:") => {
            let stop = Stop::usage(format!("`--offline` cannot read the policy in {source}"));
            return Err(stop.help("name a file with `--policy`"));
        }
        Some(source) => Some(read_policy(&source)?),
        None => None,
    };
    let (own, now) = (own(messages, globals)?, Timestamp::now());
    let follow = |item: Item, tags: Option<&Tags>| {
        let came = match (&item, &policy) {
            (Item::Reconcile(work), Some(policy)) => Came::ToRule(by_rule(policy, work, tags, now)),
            _ => Came::Nowhere,
        };
        Replayed { item, came }
    };
    let of_message = |message: &Value| {
        let tags = tags(message);
        items(message, &own, now).into_iter().map(|item| follow(item, tags.as_ref())).collect::<Vec<_>>()
    };
    Ok(messages.iter().flat_map(of_message).collect())
}

fn read_policy(source: &str) -> Result<Policy, Stop> {
    let text = match source.split_once(':') {
        Some(("file", path)) => read_file(Path::new(path))?,
        Some((_, text)) => text.to_owned(),
        None => source.to_owned(),
    };
    let name = if source.starts_with("file:") { source } else { "inline" };
    loaded(name, &text)
}

/// The account and Region of the function: those that are named, else the event's.
fn own(messages: &[Value], globals: &Globals) -> Result<Scope, Stop> {
    let event = messages.iter().find_map(place);
    let account = given_account(globals).or_else(|| Some(event.as_ref()?.account.clone()));
    let region = given_region(globals).or_else(|| Some(event?.region));
    let (Some(account), Some(region)) = (account, region) else {
        let stop = Stop::usage("the event has no account and Region");
        return Err(stop.help("set `--account` and `--region`"));
    };
    if !Scope::is_account(&account) {
        let from = given_account(globals).map_or("the event", |_| source_of_account(globals));
        return Err(Stop::usage(format!("{from}: `{}` is not an account ID (12 digits)", EventText::new(&account))));
    }
    if !Scope::is_region(&region) {
        let from = given_region(globals).map_or_else(|| "the event".to_owned(), |_| source_of_region(globals));
        return Err(Stop::usage(format!("{from}: `{}` is not a Region", EventText::new(&region))));
    }
    Ok(Scope { partition: Scope::partition_of(&region).to_owned(), region, account })
}

/// The rule and the key. `tags` are those of the event; `None`: nobody knows them here.
fn by_rule(policy: &Policy, work: &Work, tags: Option<&Tags>, now: Timestamp) -> ByRule {
    let none = Tags::new();
    let decision = policy.decide(&work.stream, tags.unwrap_or(&none), now);
    let rule = decision.rule.map(|rule| rule.name);
    let (key, words) = match &decision.outcome {
        Outcome::Encrypt(target) => (Some(target.key.as_str().to_owned()), format!("key {}", target.key)),
        Outcome::Exempt(exemption) => (None, format!("exempt: {}", exemption.words())),
        Outcome::Unmatched => (None, "no rule matches".to_owned()),
        Outcome::Unresolvable(why) => (None, format!("no key: {why}")),
    };
    let of_rule = rule.as_deref().map(|rule| format!("rule `{rule}`, ")).unwrap_or_default();
    let if_untagged = if tags.is_none() && policy.reads().tags { " (if the stream has no tags)" } else { "" };
    let exemption = decision.outcome.exemption().cloned();
    let (reasons, tags) = (decision.reasons, decision.tags);
    ByRule { rule, reasons, tags, exemption, key, words: format!("{of_rule}{words}{if_untagged}") }
}

fn items(message: &Value, own: &Scope, now: Timestamp) -> Vec<Item> {
    match event::parse(message, own, now) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|message| message.items).collect(),
    }
}

/// One item in one line.
fn print(item: &Item, came: &Came, as_json: bool) -> Exit {
    let because = |work: &Work| format!("reconcile {} because of {}", work.stream, work.cause.call);
    let (outcome, reason, words, exit) = match (item, came) {
        (Item::Ignored(why), _) => ("ignored", why.code(), why.to_string(), Exit::Compliant),
        (Item::Rejected(why), _) => ("rejected", why.code(), why.to_string(), Exit::Failure),
        (Item::Malformed(why), _) => ("malformed", "Malformed", why.to_string(), Exit::Failure),
        (Item::Rest(Rest { fate, code, count }), _) => {
            let (outcome, exit) = match fate {
                Fate::Ignored => ("ignored", Exit::Compliant),
                Fate::Rejected => ("rejected", Exit::Failure),
                Fate::Malformed => ("malformed", Exit::Failure),
            };
            (outcome, *code, format!("{count} more items ({code})"), exit)
        }
        (Item::Scan(scan) | Item::ScanNow(scan), _) => ("scan", "Scan", scan_words(scan), Exit::Compliant),
        (Item::PolicyChanged(name, scan), _) => {
            let words = format!("{}, if `{name}` is the parameter of the policy or the mode", scan_words(scan));
            ("scan", "Scan", words, Exit::Compliant)
        }
        (Item::Reconcile(work), Came::Nowhere) => ("reconcile", "Reconcile", because(work), Exit::Compliant),
        (Item::Reconcile(work), Came::ToRule(by)) => {
            ("reconcile", "Reconcile", format!("{}: {}", because(work), by.words), Exit::Compliant)
        }
        (Item::Reconcile(work), Came::ToStep(preview)) => {
            let (would, exit) = would(&preview.step, &preview.remedy);
            let by = decided_by(preview.rule.as_deref(), &preview.tags);
            ("reconcile", "Reconcile", format!("{}: {would}{by}", work.stream), exit)
        }
    };
    if as_json {
        let none = Tags::new();
        let (rule, reasons, key) = match came {
            Came::Nowhere => (None, &[][..], None),
            Came::ToStep(by) => {
                (by.rule.as_ref(), by.reasons.as_slice(), by.desired.as_ref().map(|key| key.as_str().to_owned()))
            }
            Came::ToRule(by) => (by.rule.as_ref(), by.reasons.as_slice(), by.key.clone()),
        };
        let (tags, exemption) = match came {
            Came::Nowhere => (&none, None),
            Came::ToStep(by) => (&by.tags, by.exemption.as_ref()),
            Came::ToRule(by) => (&by.tags, by.exemption.as_ref()),
        };
        let fields = json!({
            "outcome": outcome, "reason": reason, "detail": words, "rule": rule, "reasons": reasons, "key": key,
            "tags": tags, "exemption": exemption.map(ExemptionWire::from),
        });
        result(offline_document("streamseal.replay/v1", fields));
    } else {
        result(format_args!("{outcome}: {words}"));
    }
    exit
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
