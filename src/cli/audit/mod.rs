//! `streamseal audit`: how every stream stands with the policy, as a table, JSON, CSV, HTML, findings or evidence.
//!
//! It observes as a scan does and decides nothing itself; it changes no stream and writes no record. The result is written once
//! and whole. An audit that is stopped before its end writes what it has, and says that it is incomplete.

mod accounts;
mod asff;
mod change;
mod csv;
mod file;
pub(crate) mod filter;
mod found;
mod html;
mod iam;
mod markdown;
mod next;
mod observe;
mod ocsf;
mod outputs;
mod reach;
mod recorded;
mod regions;
mod report;
mod roles;
mod rows;
#[cfg(test)]
mod samples;
mod severity;
mod since;
mod sink;
mod summary;
mod table;
mod totals;
mod verify;
pub(crate) mod without;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;

use self::accounts::Observers;
use self::file::try_to_write;
use self::filter::{Filter, Given};
use self::observe::LONGEST;
use self::outputs::{Format, Outputs};
use self::reach::{Asked, Reach, ReachArguments};
use self::regions::Chosen;
use self::report::{Audit, Broken, Ended, FailOn, Source};
use self::since::Before;
use self::sink::Sink;
use self::table::Shown;
use self::totals::Totals;
use super::arguments::{Globals, MODES, options, switch};
use super::columns::terminal_width;
use super::context::{Context, policy_source};
use super::exit::Exit;
use super::output::{GOOD, Stop, in_lines, styled, to_stderr};
use crate::domain::model::Mode;
use crate::domain::policy::Policy;
use crate::domain::remedy::advice::Remedy;

const CODES: &str = "Exit codes: 0 compliant, 1 failure, incomplete, or interrupted, 2 usage, 3 non-compliant (without a policy: not \
                           encrypted, or with a key that cannot be used), 4 try again, since something could not be determined now.";

/// So many calls a second where nobody says it.
const RATE: u32 = 5;

/// Compares every stream with the policy, also as a report; without a policy, shows whether it is encrypted and with
/// whose key. Changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct AuditArguments {
    /// Observe every Region that has Kinesis Data Streams
    #[arg(long, conflicts_with = "region")]
    all_regions: bool,
    /// The mode to assume [env: MODE] [default: report]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Calls a second: DescribeStreamSummary in each Region of an account (AWS allows 20 in all, for every caller),
    /// or queries to AWS Config
    #[arg(long, default_value_t = RATE, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// The format of the result [default: by the extension of FILE, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the result to this file, or to standard output for `-`; may be repeated. The extension (.html .json .csv .jsonl .txt .md) gives
    /// the format
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// What makes the exit code other than 0 [default: streams that are non-compliant or not known yet]
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    /// Compare with an earlier audit, written by `-o FILE.json`: what is new, fixed, unchanged
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    /// Also print the change to make, grouped by key, in the table: for Terraform, CloudFormation and the AWS CLI
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    reach: ReachArguments,
}

impl AuditArguments {
    fn given(&self, globals: &Globals) -> Given {
        let Self { all_regions, mode, rate, reach, .. } = self;
        let rate = Some(rate.to_string()).filter(|_| *rate != RATE);
        let options =
            [switch("all-regions", *all_regions), options("mode", mode), options("rate", &rate), reach.given()];
        Given { globals: globals.clone(), options: options.concat(), all_regions: *all_regions }
    }
}

/// The IAM policies that an audit needs: the caller's and, with a role, the role's and its trust policy. AWS is asked for the account alone.
pub(super) async fn permissions(arguments: &AuditArguments, globals: &Globals) -> Result<Value, Stop> {
    iam::policies(&arguments.reach.reach(globals)?, globals).await
}

pub(super) async fn run(arguments: &AuditArguments, globals: &Globals) -> Result<Exit, Stop> {
    let reach = arguments.reach.reach(globals)?;
    let asked = outputs(arguments, globals).map_err(Stop::usage)?;
    // Better now than after minutes.
    for path in asked.iter().filter_map(|(path, _)| *path) {
        try_to_write(path).map_err(|error| not_written(Some(path), &error))?;
    }
    if arguments.fail_on == Some(FailOn::New) && arguments.since.is_none() {
        return Err(Stop::usage("`--fail-on new` compares with an audit before: name it with `--since FILE.json`"));
    }
    if arguments.since.is_some() && reach != Reach::Own {
        return Err(Stop::usage("`--since` compares audits of one account, whose streams are observed"));
    }
    let before = arguments.since.as_deref().map(Before::read).transpose()?;
    let mut outputs = Outputs::new(asked).map_err(|(path, error)| not_written(Some(&path), &error))?;
    let bar = bar();
    let done = audit(arguments, globals, (&reach, before), &mut outputs, &bar).await;
    let (at, of) = (bar.position(), bar.length().unwrap_or_default());
    bar.finish_and_clear();
    let audit = done?;
    if audit.regions.iter().any(|region| region.ended == Ended::Interrupted) {
        Stop::failure(format!("interrupted after {at} of {of} streams: the audit is incomplete")).print();
    }
    report_lacks(&audit);
    for lines in refusals(&audit) {
        to_stderr(format_args!("{}: some streams or keys could not be checked: {lines}", styled(GOOD, "help")));
    }
    for evidence in audit.rows().filter(|_| reach == Reach::Own) {
        outputs.push(evidence).map_err(|error| not_written(None, &error))?;
    }
    outputs.write(&audit, shown(arguments)).map_err(|(path, error)| not_written(path.as_deref(), &error))?;
    if !outputs.is_printed() {
        to_stderr(table::sums(&audit).trim_end());
        if let Some(since) = &audit.since {
            to_stderr(since.text().trim_end());
        }
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
            Ended::Complete | Ended::NotEnabled | Ended::Silent | Ended::Interrupted => {}
        }
    }
    let more = lacks.len().saturating_sub(LACKS_NAMED);
    lacks.truncate(LACKS_NAMED);
    // What fails alike is one error: most often nothing can be reached at all.
    let mut errors: Vec<(&Broken, Vec<&str>)> = Vec::new();
    for lack in &lacks {
        match lack {
            Lacks::LeftOut(line) => to_stderr(line),
            Lacks::Broken(what, broken) => match errors.iter_mut().find(|(known, _)| known == broken) {
                Some((_, names)) => names.push(what),
                None => errors.push((broken, vec![what])),
            },
        }
    }
    for (Broken { why, help, .. }, names) in errors {
        let stop = Stop::failure(format!("{}: {why}", names.join(", ")));
        help.iter().fold(stop, |stop, help| stop.help(help.as_str())).print();
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
            let endings = ".html, .json, .csv, .jsonl, .txt or .md";
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

/// Observes every Region and account, until somebody stops it. What was not begun before that is no audit, and neither is half of what AWS
/// Config recorded.
async fn audit(
    arguments: &AuditArguments,
    globals: &Globals,
    (reach, before): (&Reach, Option<Before>),
    outputs: &mut Outputs,
    bar: &ProgressBar,
) -> Result<Audit, Stop> {
    let stop = stopped().boxed_local().shared();
    let prepared = match select(pin!(prepared(arguments, globals)), stop.clone()).await {
        Either::Left((prepared, _)) => prepared?,
        Either::Right(_) => return Err(interrupted(bar)),
    };
    let mut audit = prepared.begin(arguments, globals, before.as_ref())?;
    let Prepared { contexts, regions, is_known, policy, mode, has_policy } = prepared;
    let first = contexts.first().ok_or_else(no_region)?;
    let (own, policy) = (first, &policy);
    let (filter, regions) = (&arguments.filter, regions.as_slice());
    let observers = Observers { regions, own, policy, mode, bar, filter };
    match reach {
        Reach::Recorded(asked) => {
            one_region(&contexts)?;
            let session = first.session(policy, mode, LONGEST);
            let sink = Sink::new(outputs, (filter, has_policy), asked.verify);
            let found = recorded::audit(asked, (first, &session), arguments.rate, sink, bar);
            let found = unless_interrupted(found, stop.clone(), bar).await?;
            audit.source = source(asked, first);
            if asked.verify > 0 {
                bar.set_message("streams to verify");
                // In the account of the credentials none is assumed.
                let role = asked.role.clone().unwrap_or_default();
                audit.verified = Some(verify::verify(found.suspects.clone(), &role, observers, stop.clone()).await);
            }
            audit.take(found);
        }
        Reach::Accounts { named, role, at_once } => {
            let sink = Sink::new(outputs, (filter, has_policy), 0);
            let named = unless_interrupted(accounts::named(named.as_deref(), own), stop.clone(), bar).await?;
            audit.take(accounts::audit(&named, (role, *at_once), observers, sink, stop.clone()).await?);
        }
        Reach::Own => {
            // Each Region has quotas of its own.
            let audits = contexts.iter().zip(regions).map(async |(context, (_, opt_in))| {
                let session = context.session(policy, mode, LONGEST);
                observe::region(context, &session, (*opt_in, &arguments.filter, None), bar, stop.clone()).await
            });
            audit.regions = join_all(audits).await;
            if !is_known {
                audit.regions.iter_mut().for_each(report::Region::doubt);
            }
            if !has_policy {
                let streams = audit.regions.iter_mut().flat_map(|region| &mut region.streams);
                streams.for_each(without::leave_out_rule);
            }
        }
    }
    audit.finished_at = now();
    audit.since = before.map(|before| before.compare(&audit));
    Ok(audit)
}

fn no_region() -> Stop {
    Stop::usage("there is no Region to observe")
}

fn one_region(contexts: &[Context]) -> Result<(), Stop> {
    if contexts.len() > 1 {
        let stop = Stop::usage("AWS Config is asked in one Region; `--region` is there more than once");
        return Err(stop.help("`--regions` names those of the aggregator's Regions that are not left out"));
    }
    Ok(())
}

/// Where the settings are from that AWS Config was asked for.
fn source(asked: &Asked, context: &Context) -> Source {
    let region = context.config.own.region.clone();
    match asked.aggregator.clone() {
        Some(name) => Source::Aggregator { name, region },
        None => Source::Config { region },
    }
}

fn interrupted(bar: &ProgressBar) -> Stop {
    let (at, of) = (bar.position(), bar.length().unwrap_or_default());
    Stop::failure(format!("interrupted after {at} of {of} streams; nothing was written"))
}

/// What comes of it, unless somebody stops it first.
async fn unless_interrupted<T>(
    found: impl Future<Output = Result<T, Stop>>,
    stop: impl Future<Output = ()> + Unpin,
    bar: &ProgressBar,
) -> Result<T, Stop> {
    match select(pin!(found), stop).await {
        Either::Left((found, _)) => found,
        Either::Right(_) => Err(interrupted(bar)),
    }
}

/// What has to be known before the first stream is observed.
struct Prepared {
    contexts: Vec<Context>,
    /// Of each, its name, and whether the account may be without it.
    regions: Vec<(String, bool)>,
    /// Whether the account is known to be the one that the credentials are of.
    is_known: bool,
    policy: Policy,
    mode: Mode,
    has_policy: bool,
}

impl Prepared {
    /// An audit that begins now, and has observed nothing. `before` has to be of the same account.
    fn begin(&self, arguments: &AuditArguments, globals: &Globals, before: Option<&Before>) -> Result<Audit, Stop> {
        let Self { contexts, policy, mode, has_policy, .. } = self;
        let first = contexts.first().ok_or_else(no_region)?;
        let (account, filter) = (first.config.own.account.clone(), arguments.filter.clone());
        filter.check(policy)?;
        before.map_or(Ok(()), |before| before.is_of(&account))?;
        let started_at = now();
        Ok(Audit {
            id: first.run_id.clone(),
            actor: first.config.runner.actor.clone(),
            given: arguments.given(globals),
            account,
            source: Source::Kinesis,
            mode: *mode,
            policy_source: if *has_policy { first.config.policy.to_string() } else { without::SOURCE.to_owned() },
            policy_digest: policy.digest.clone(),
            rules: policy.rules.iter().map(|rule| rule.name.clone()).collect(),
            exemptions: policy.exemptions(),
            exemptions_ending: policy.exemptions_ending(started_at),
            started_at,
            finished_at: started_at,
            regions: Vec::new(),
            written: Totals::default(),
            calls: BTreeMap::new(),
            lacks: Vec::new(),
            verified: None,
            filter,
            since: None,
        })
    }
}

async fn prepared(arguments: &AuditArguments, globals: &Globals) -> Result<Prepared, Stop> {
    let Chosen { regions, own } = regions::chosen(globals, arguments.all_regions).await?;
    let named = policy_source(globals);
    let has_policy = named.is_some();
    if arguments.all_regions && own.is_none() && named.as_ref().is_some_and(|source| source.starts_with("ssm:")) {
        let stop = Stop::usage("no Region is set to read the policy in");
        return Err(stop.help("set AWS_REGION, or `region` in the profile"));
    }
    let source = named.unwrap_or_else(without::source);
    let (contexts, is_known) =
        Context::of_regions(globals, source, arguments.mode.as_deref(), arguments.rate, &regions).await?;
    let is_own = |context: &&Context| own.as_ref().is_some_and(|own| context.config.own.region == *own);
    let own = contexts.iter().find(is_own).or_else(|| contexts.first()).ok_or_else(no_region)?;
    let (policy, mode) = (own.policy().await?, own.mode().await?);
    Ok(Prepared { contexts, regions, is_known, policy, mode, has_policy })
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
async fn stopped() {
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
    Shown { coloured: is_coloured(), width: terminal_width(), fix: arguments.fix }
}
