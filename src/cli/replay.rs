//! `streamseal replay EVENT.json`: what the function would do with this event, by the function's own code, up to the first
//! step of each run. It looks; it never starts encryption and writes no probe.

use serde_json::{Value, json};

use super::{Exit, ModeArgument, ReplayArguments};
use crate::aws::{Aws, Connection, Queues, sdk_config};
use crate::config::{Config, ModeSource, Source};
use crate::domain::event::{self, Input, Item};
use crate::domain::evidence::Compliance;
use crate::domain::model::Mode;
use crate::domain::plan::Step;
use crate::domain::policy::Policy;
use crate::domain::scan::{Scan, Subject};
use crate::ports::{Clock, ParameterApi};
use crate::reconcile::{History, Paces, Preview, Settings, preview};
use crate::scan::of_no_concern;

/// How long one preview may take.
const PREVIEW_S: i64 = 30;

pub(crate) fn run(arguments: &ReplayArguments) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failure, &format!("the async runtime cannot be built: {error}")),
    };
    runtime.block_on(replay(arguments)).unwrap_or_else(|(exit, why)| fail(exit, &why))
}

fn fail(exit: Exit, why: &str) -> Exit {
    eprintln!("error: {why}");
    exit
}

async fn replay(arguments: &ReplayArguments) -> Result<Exit, (Exit, String)> {
    let file = arguments.event.display();
    let text = std::fs::read_to_string(&arguments.event)
        .map_err(|error| (Exit::Failure, format!("{file}: cannot be read: {error}")))?;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| (Exit::Failure, format!("{file}: not JSON: {error}")))?;
    let config = config(arguments)?;
    let connection = Connection {
        region: Some(config.own.region.clone()),
        endpoint: arguments.endpoint_url.clone(),
        ..Connection::default()
    };
    let sdk = sdk_config(&connection).await;
    let aws = Aws::new(&sdk, config.own.clone(), Queues::default());
    let items = match event::parse(&value, &config.own, aws.now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|m| m.items).collect(),
    };
    let policy = if arguments.offline { None } else { Some(load(&aws, &config).await?) };
    let mode = if arguments.offline { Mode::Report } else { mode(&aws, &config).await? };
    let (paces, history) = (Paces::new(&config), History::default());
    let mut worst = Exit::Compliant;
    for mut item in items {
        let deadline = aws.now() + jiff::SignedDuration::from_secs(PREVIEW_S);
        let settings = policy.as_ref().map(|policy| Settings {
            config: &config,
            policy,
            mode,
            run_id: "replay",
            deadline,
            paces: &paces,
            history: &history,
        });
        let seen = match (&item, &settings) {
            (Item::Reconcile(work), Some(settings)) => Some(preview(&aws, work, settings).await),
            (Item::Scan(scan), Some(settings)) => {
                if let Some(why) = of_no_concern(&aws, scan, settings).await {
                    item = Item::Ignored(why);
                }
                None
            }
            _ => None,
        };
        let (line, exit) = describe(&item, seen.as_ref(), arguments.json);
        println!("{line}");
        worst = worse(worst, exit);
    }
    Ok(worst)
}

/// The function's configuration, with the arguments in place of variables.
fn config(arguments: &ReplayArguments) -> Result<Config, (Exit, String)> {
    let policy = match &arguments.policy {
        Some(path) => Some(format!("file:{}", path.display())),
        // Nothing is decided offline.
        None => std::env::var("POLICY").ok().or_else(|| arguments.offline.then(|| "inline:none".to_owned())),
    };
    let mode = arguments.mode.map(|mode| match mode {
        ModeArgument::Report => "report".to_owned(),
        ModeArgument::Enforce => "enforce".to_owned(),
    });
    Config::from_vars(|name| match name {
        "POLICY" => policy.clone(),
        "ACCOUNT_ID" => arguments.account.clone().or_else(|| std::env::var(name).ok()),
        "AWS_REGION" => arguments.region.clone().or_else(|| std::env::var(name).ok()),
        "MODE" => mode.clone().or_else(|| std::env::var(name).ok()),
        _ => std::env::var(name).ok(),
    })
    .map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        (Exit::Usage, faults.join("\nerror: "))
    })
}

async fn load(aws: &Aws, config: &Config) -> Result<Policy, (Exit, String)> {
    let text = read(aws, &config.policy).await?;
    Policy::load(&text).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(|fault| format!("{}:{fault}", config.policy)).collect();
        (Exit::Failure, faults.join("\nerror: "))
    })
}

async fn mode(aws: &Aws, config: &Config) -> Result<Mode, (Exit, String)> {
    match &config.mode {
        ModeSource::Fixed(mode) => Ok(*mode),
        ModeSource::Read(source) => crate::config::mode(&read(aws, source).await?)
            .ok_or_else(|| (Exit::Failure, format!("the mode in {source} is neither `report` nor `enforce`"))),
    }
}

async fn read(aws: &Aws, source: &Source) -> Result<String, (Exit, String)> {
    aws.read(source).await.map_err(|failure| (Exit::Failure, format!("{source}: {failure}")))
}

/// One item in one line.
fn describe(item: &Item, seen: Option<&Preview>, as_json: bool) -> (String, Exit) {
    let (outcome, reason, words, exit) = match (item, seen) {
        (Item::Ignored(why), _) => ("ignored", why.code(), why.to_string(), Exit::Compliant),
        (Item::Rejected(why), _) => ("rejected", why.code(), why.to_string(), Exit::Failure),
        (Item::Malformed(why), _) => ("malformed", "Malformed", why.clone(), Exit::Failure),
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
            let (would, exit) = would(preview);
            let rule = preview.rule.as_deref().map(|rule| format!(" (rule `{rule}`)")).unwrap_or_default();
            ("reconcile", "Reconcile", format!("{}: {would}{rule}", work.stream), exit)
        }
    };
    let line = if as_json {
        let rule = seen.and_then(|s| s.rule.clone());
        let reasons = seen.map(|s| s.reasons.clone()).unwrap_or_default();
        json!({"outcome": outcome, "reason": reason, "detail": words, "rule": rule, "reasons": reasons}).to_string()
    } else {
        format!("{outcome}: {words}")
    };
    (line, exit)
}

fn scan_words(scan: &Scan) -> String {
    let which = match &scan.subject {
        Subject::Fleet => "every stream".to_owned(),
        Subject::Alias(alias) => format!("every stream whose rule names {alias}"),
        Subject::Key(key, _) => format!("every stream that is on {key} or should be"),
    };
    format!("would look at {which} because of {}", scan.cause.call)
}

fn would(preview: &Preview) -> (String, Exit) {
    let step = match &preview.step {
        Ok(step) => step,
        Err(failure) => return (format!("cannot be told now: {failure}"), Exit::TryAgain),
    };
    match step {
        Step::Await(condition) => (format!("would wait until it is {}", condition.as_str()), Exit::TryAgain),
        Step::Start(key) => (format!("would start encryption with {key}, then prove it"), Exit::NonCompliant),
        Step::Prove => ("is as its rule says; would prove it".to_owned(), Exit::TryAgain),
        Step::LookLater(why) => (format!("would look again later: {why}"), Exit::TryAgain),
        Step::StartAfresh => ("is another stream of the same name; would start afresh".to_owned(), Exit::TryAgain),
        Step::Finish(verdict) => {
            let withheld = verdict.withheld.map(|why| format!(", withheld ({})", why.as_str())).unwrap_or_default();
            let words = format!("{}{withheld}: {}", verdict.compliance.as_str(), verdict.detail);
            let exit = match verdict.compliance {
                Compliance::Compliant | Compliance::NotApplicable => Exit::Compliant,
                Compliance::NonCompliant => Exit::NonCompliant,
                Compliance::InsufficientData => Exit::TryAgain,
            };
            (words, exit)
        }
    }
}

fn worse(left: Exit, right: Exit) -> Exit {
    let rank = |exit| match exit {
        Exit::Compliant => 0,
        Exit::TryAgain => 1,
        Exit::NonCompliant => 2,
        Exit::Usage => 3,
        Exit::Failure => 4,
    };
    if rank(right) > rank(left) { right } else { left }
}
