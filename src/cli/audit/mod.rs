//! `streamseal audit`: how every stream stands with the policy, as a table, JSON, CSV, HTML, findings or evidence.
//!
//! It observes as a scan does and decides nothing itself; it changes no stream and writes no record. The result is written once
//! and whole: an audit that is broken off leaves no file and no output.

mod accounts;
mod asff;
mod csv;
mod file;
mod found;
mod html;
mod iam;
mod observe;
mod outputs;
mod reach;
mod recorded;
mod regions;
mod report;
mod roles;
#[cfg(test)]
mod samples;
mod sink;
mod summary;
mod table;
mod totals;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::future::{Either, join_all, select};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use self::accounts::Observers;
use self::file::try_to_write;
use self::observe::LONGEST;
use self::outputs::{Format, Outputs};
use self::reach::{Asked, Reach, ReachArguments};
use self::report::{Audit, Broken, Ended, FailOn, Source};
use self::table::Shown;
use self::totals::Totals;
use super::arguments::{Globals, MODES};
use super::context::Context;
use super::exit::Exit;
use super::output::{GOOD, Stop, in_lines, result, styled, to_stderr};
use crate::domain::remedy::advice::Remedy;

const CODES: &str = "Exit codes: 0 compliant, 1 failure, incomplete, or interrupted, 2 usage, 3 non-compliant, 4 try again, since \
                           something could not be determined now.";

/// Shows how every stream stands with the policy, also as a report; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct AuditArguments {
    /// Observe every Region that has Kinesis Data Streams
    #[arg(long, conflicts_with = "region")]
    all_regions: bool,
    /// The mode to assume [env: MODE] [default: report]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// DescribeStreamSummary a second in each Region of an account, which has 20, and others need them too; or queries a second to AWS
    /// Config
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// The format of the result [default: by the extension of FILE, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the result to this file, or to standard output for `-`; may be repeated. The extension (.html .json .csv .jsonl .txt) gives
    /// the format
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// What makes the exit code other than 0 [default: streams that are non-compliant or not known yet]
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    /// Print what to change as well, for each key, in the table: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    fix: bool,
    /// Print the IAM policies that such an audit needs, for the caller and, with --role, for the role and whom it trusts; ask AWS for
    /// nothing but the account
    #[arg(long)]
    print_iam: bool,
    #[command(flatten)]
    reach: ReachArguments,
}

pub(super) async fn run(arguments: &AuditArguments, globals: &Globals) -> Result<Exit, Stop> {
    let reach = arguments.reach.reach(globals)?;
    if arguments.print_iam {
        result(format!("{:#}", iam::policies(&reach, globals).await?));
        return Ok(Exit::Compliant);
    }
    let asked = outputs(arguments, globals).map_err(Stop::usage)?;
    // Better now than after minutes.
    for path in asked.iter().filter_map(|(path, _)| *path) {
        try_to_write(path).map_err(|error| not_written(Some(path), &error))?;
    }
    let mut outputs = Outputs::new(asked).map_err(|(path, error)| not_written(Some(&path), &error))?;
    let bar = bar();
    let done = match select(pin!(audit(arguments, globals, &reach, &mut outputs, &bar)), pin!(broken_off())).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => {
            let (at, of) = (bar.position(), bar.length().unwrap_or_default());
            let why = format!("interrupted after {at} of {of} streams; nothing was written");
            Err(Stop::failure(why))
        }
    };
    bar.finish_and_clear();
    let audit = done?;
    report_lacks(&audit);
    for lines in refusals(&audit) {
        to_stderr(format_args!("{}: some streams or keys could not be checked: {lines}", styled(GOOD, "help")));
    }
    for evidence in audit.streams().filter(|_| reach == Reach::Own) {
        outputs.push(evidence).map_err(|error| not_written(None, &error))?;
    }
    outputs.write(&audit, shown(arguments)).map_err(|(path, error)| not_written(path.as_deref(), &error))?;
    if !outputs.is_printed() {
        to_stderr(table::sums(&audit).trim_end());
    }
    Ok(audit.exit(arguments.fail_on))
}

fn not_written(path: Option<&Path>, error: &std::io::Error) -> Stop {
    let what = path.unwrap_or(Path::new("standard output")).display();
    Stop::failure(format!("{what}: cannot be written: {error}"))
}

/// So many accounts and Regions that the audit lacks are named on standard error; every one is in the JSON.
const LACKS_NAMED: usize = 20;

/// Those that the audit lacks.
fn report_lacks(audit: &Audit) {
    let several = audit.accounts() > 1;
    let mut lacks: Vec<Lacks> = Vec::new();
    for lack in &audit.lacks {
        lacks.push(Lacks::Broken(lack.what.clone(), &lack.broken));
    }
    for region in &audit.regions {
        let name = if several { format!("account {}, {}", region.account, region.name) } else { region.name.clone() };
        match &region.ended {
            Ended::Failed(broken) => lacks.push(Lacks::Broken(name, broken)),
            Ended::NotEnabled if audit.regions.len() > 1 && !several => {
                lacks.push(Lacks::LeftOut(format!("{name}: left out, the account has not enabled it")));
            }
            Ended::Denied => {
                lacks.push(Lacks::LeftOut(format!("{name}: left out, a policy of the organization denies it")));
            }
            Ended::Outdated(why) => {
                lacks.push(Lacks::LeftOut(format!("{name}: what AWS Config has may be out of date: {why}")));
            }
            Ended::Complete | Ended::NotEnabled | Ended::Silent => {}
        }
    }
    let more = lacks.len().saturating_sub(LACKS_NAMED);
    for lack in lacks.into_iter().take(LACKS_NAMED) {
        match lack {
            Lacks::LeftOut(line) => to_stderr(line),
            Lacks::Broken(what, Broken { why, help, .. }) => {
                let stop = Stop::failure(format!("{what}: {why}"));
                help.iter().fold(stop, |stop, help| stop.help(help.as_str())).print();
            }
        }
    }
    if more > 0 {
        to_stderr(format_args!("and {more} more, which are all in the JSON: `-o FILE.json`"));
    }
}

/// What is said of one that the audit lacks.
enum Lacks<'a> {
    LeftOut(String),
    Broken(String, &'a Broken),
}

/// What would allow the calls that were refused, each once.
fn refusals(audit: &Audit) -> BTreeSet<String> {
    let advice = audit.streams().filter_map(|evidence| match &evidence.remedy {
        Remedy::Permission(advice) => {
            let lines = in_lines(&advice.text, &[], advice.statement.as_deref());
            Some(report::for_all_streams(evidence, &lines))
        }
        _ => None,
    });
    advice.collect()
}

/// Where the results go and in which form; standard output where no file is named.
fn outputs<'a>(arguments: &'a AuditArguments, globals: &Globals) -> Result<Vec<(Option<&'a Path>, Format)>, String> {
    if globals.json && arguments.format.is_some() {
        return Err("`--json` is short for `--format json`: give one of them".to_owned());
    }
    let asked = if globals.json { Some(Format::Json) } else { arguments.format };
    if arguments.output.is_empty() {
        return Ok(vec![(None, asked.unwrap_or(Format::Table))]);
    }
    if asked.is_some() && arguments.output.len() > 1 {
        return Err("--format works with one file; with several files each extension gives the format".to_owned());
    }
    let of = |path: &PathBuf| {
        let why = || {
            let endings = ".html, .json, .csv, .jsonl or .txt";
            format!("{}: unknown file extension; use {endings}, or give --format", path.display())
        };
        asked.or_else(|| Format::of(path)).ok_or_else(why)
    };
    let output = |path: &'a PathBuf| match path.as_os_str() == "-" {
        true => Ok((None, asked.unwrap_or(Format::Table))),
        false => Ok((Some(path.as_path()), of(path)?)),
    };
    arguments.output.iter().map(output).collect()
}

async fn audit(
    arguments: &AuditArguments,
    globals: &Globals,
    reach: &Reach,
    outputs: &mut Outputs,
    bar: &ProgressBar,
) -> Result<Audit, Stop> {
    let regions = regions::chosen(globals, arguments.all_regions).await?;
    let (contexts, is_known) =
        Context::of_regions(globals, arguments.mode.as_deref(), arguments.rate, &regions).await?;
    let Some(first) = contexts.first() else { return Err(Stop::usage("there is no Region to observe")) };
    let (policy, mode) = (first.policy().await?, first.mode().await?);
    let started_at = now();
    let mut audit = Audit {
        id: first.run_id.clone(),
        actor: first.config.runner.actor.clone(),
        given: first.given.clone(),
        account: first.config.own.account.clone(),
        source: Source::Kinesis,
        mode,
        policy_source: first.config.policy.to_string(),
        policy_digest: policy.digest.clone(),
        rules: policy.rules.iter().map(|rule| rule.name.clone()).collect(),
        exemptions_ending: policy.exemptions_ending(started_at),
        started_at,
        finished_at: started_at,
        regions: Vec::new(),
        written: Totals::default(),
        calls: BTreeMap::new(),
        lacks: Vec::new(),
        verified: None,
    };
    let (globals, rate, own, policy) = (globals, arguments.rate, first, &policy);
    let observers = Observers { globals, regions: &regions, rate, own, policy, mode, bar };
    match reach {
        Reach::Recorded(asked) => {
            if contexts.len() > 1 {
                let stop = Stop::usage("AWS Config is asked in one Region; `--region` is there more than once");
                return Err(stop.help("`--regions` names those of the aggregator's Regions that are not left out"));
            }
            let session = first.session(policy, mode, LONGEST);
            let found = recorded::audit(asked, (first, &session), rate, outputs, bar).await?;
            audit.source = source(asked, first);
            if asked.verify > 0 {
                bar.set_message("streams to verify");
                // In the account of the credentials none is assumed.
                let role = asked.role.clone().unwrap_or_default();
                audit.verified = Some(verify::verify(found.suspects.clone(), &role, observers).await);
            }
            audit.take(found);
        }
        Reach::Accounts { named, role, at_once } => {
            let found = accounts::audit(named.as_deref(), role, *at_once, observers, outputs).await?;
            audit.take(found);
        }
        Reach::Own => {
            // Each Region has quotas of its own.
            let audits = contexts.iter().zip(&regions).map(async |(context, (_, opt_in))| {
                let session = context.session(policy, mode, LONGEST);
                observe::region(context, &session, *opt_in, None, bar).await
            });
            audit.regions = join_all(audits).await;
            if !is_known {
                audit.regions.iter_mut().for_each(report::Region::doubt);
            }
        }
    }
    audit.finished_at = now();
    Ok(audit)
}

/// Where the settings are from that AWS Config was asked for.
fn source(asked: &Asked, context: &Context) -> Source {
    let region = context.config.own.region.clone();
    match asked.aggregator.clone() {
        Some(name) => Source::Aggregator { name, region },
        None => Source::Config { region },
    }
}

/// To the second: people read it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Nothing is drawn where standard error is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    // The template is a constant; a fault in it would only change how the bar appears.
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}  {eta} left") {
        bar.set_style(style);
    }
    bar.set_message("streams");
    bar
}

/// Ctrl-C, or a TERM.
async fn broken_off() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Then the signals end the process as they do by themselves.
        return std::future::pending().await;
    };
    select(pin!(interrupt.recv()), pin!(terminate.recv())).await;
}

/// As `--color` and <https://no-color.org> have it.
fn is_coloured() -> bool {
    anstream::stdout().current_choice() != anstream::ColorChoice::Never
}

/// At a terminal as wide as it is.
fn shown(arguments: &AuditArguments) -> Shown {
    let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| usize::from(width.0));
    Shown { coloured: is_coloured(), width, fix: arguments.fix }
}
