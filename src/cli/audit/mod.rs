//! `streamseal audit`: how every stream stands with the policy, as a table, JSON, CSV, HTML, findings or evidence.
//!
//! It looks as a scan does and decides nothing itself; it changes no stream and writes no record. The result is written once
//! and whole: an audit that is broken off leaves no file and no output.

mod asff;
mod csv;
mod html;
mod look;
mod regions;
mod report;
#[cfg(test)]
mod samples;
mod table;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::ValueEnum;
use futures_util::future::{Either, join_all, select};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use self::report::{Audit, Broken, Ended};
use super::arguments::{Globals, ModeArgument};
use super::context::{caller, is_account_of, known_profile, policy, policy_source, read, variable};
use super::exit::Exit;
use super::output::{GOOD, Stop, in_lines, styled, tell};
use crate::aws::{Aws, Connection, Queues, sdk_config};
use crate::config::{Config, ModeSource};
use crate::domain::arn::Scope;
use crate::domain::model::Mode;
use crate::domain::remedy::advice::Remedy;
use crate::run::history::History;
use crate::run::paces::Paces;
use crate::run::session::Session;

/// Longer than any audit: what ends one is its end, or its user.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

const CODES: &str = "Exit codes: 0 compliant, 1 failure, incomplete, or broken off, 2 usage, 3 non-compliant, 4 try again, since \
                           something could not be told now.";

/// Shows how every stream stands with the policy, also as a report; changes nothing
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct AuditArguments {
    /// Look at every Region that has Kinesis Data Streams
    #[arg(long, conflicts_with = "region")]
    all_regions: bool,
    /// The mode to assume [env: MODE] [default: report]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// DescribeStreamSummary a second in each Region; the account has 20, and others need them too
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// The form of the result [default: by the ending of FILE, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The options of every command.
    #[arg(skip)]
    pub(crate) globals: Globals,
    /// Write the result to this file; may be given several times, each ending (.html .json .csv .jsonl .txt) is its form
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people, what is wrong first
    Table,
    /// One document, streamseal.audit/v1
    Json,
    /// One line a stream, for spreadsheets
    Csv,
    /// A report for people that needs nothing but a browser
    Html,
    /// One document a line and stream, streamseal.evidence/v1
    Evidence,
    /// Findings for Security Hub (ASFF)
    Asff,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Table),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "html" | "htm" => Some(Self::Html),
            "jsonl" | "ndjson" => Some(Self::Evidence),
            _ => None,
        }
    }

    fn render(self, audit: &Audit, coloured: bool) -> String {
        match self {
            Self::Table => table::render(audit, coloured),
            Self::Json => format!("{:#}\n", audit.to_json()),
            Self::Csv => csv::render(audit),
            Self::Html => html::render(audit),
            Self::Evidence => audit.to_evidence(),
            Self::Asff => format!("{:#}\n", asff::render(audit)),
        }
    }
}

pub(crate) fn run(arguments: &AuditArguments) -> Exit {
    let outputs = match outputs(arguments) {
        Ok(outputs) => outputs,
        Err(why) => return Stop::usage(why).told(),
    };
    // Better now than after minutes.
    for path in outputs.iter().filter_map(|(path, _)| *path) {
        if let Err(error) = try_to_write(path) {
            return Stop::failure(format!("{}: cannot be written: {error}", path.display())).told();
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Stop::failure(format!("the async runtime cannot be built: {error}")).told(),
    };
    let bar = bar();
    let done = runtime.block_on(async {
        match select(pin!(audit(arguments, &bar)), pin!(broken_off())).await {
            Either::Left((done, _)) => done,
            Either::Right(((), _)) => {
                let (at, of) = (bar.position(), bar.length().unwrap_or_default());
                let why =
                    format!("broken off after {at} of {of} streams: the audit is incomplete, and nothing was written");
                Err(Stop::failure(why))
            }
        }
    });
    bar.finish_and_clear();
    let audit = match done {
        Ok(audit) => audit,
        Err(stop) => return stop.told(),
    };
    for region in &audit.regions {
        match &region.ended {
            Ended::Failed(Broken { why, help, .. }) => {
                let stop = Stop::failure(format!("{}: {why}", region.name));
                let stop = help.iter().fold(stop, |stop, help| stop.help(help.as_str()));
                stop.told();
            }
            Ended::NotEnabled if audit.regions.len() > 1 => {
                tell(format_args!("{}: left out, the account has not enabled it", region.name));
            }
            Ended::Complete | Ended::NotEnabled => {}
        }
    }
    for lines in refusals(&audit) {
        tell(format_args!("{}: some streams or keys could not be looked at: {lines}", styled(GOOD, "help")));
    }
    for (path, format) in &outputs {
        let written = match path {
            Some(path) => write_whole(path, &format.render(&audit, false))
                .map_err(|error| format!("{}: cannot be written: {error}", path.display())),
            None => print_all(&format.render(&audit, is_coloured()))
                .map_err(|error| format!("standard output: cannot be written: {error}")),
        };
        if let Err(why) = written {
            return Stop::failure(why).told();
        }
    }
    if outputs.iter().all(|(path, _)| path.is_some()) {
        tell(table::sums(&audit).trim_end());
    }
    audit.exit()
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
fn outputs(arguments: &AuditArguments) -> Result<Vec<(Option<&Path>, Format)>, String> {
    if arguments.globals.json && arguments.format.is_some() {
        return Err("`--json` is short for `--format json`: give one of them".to_owned());
    }
    let asked = if arguments.globals.json { Some(Format::Json) } else { arguments.format };
    if arguments.output.is_empty() {
        return Ok(vec![(None, asked.unwrap_or(Format::Table))]);
    }
    if asked.is_some() && arguments.output.len() > 1 {
        return Err("the forms of several files are those of their endings: --format goes with one".to_owned());
    }
    let of = |path: &PathBuf| {
        let why = || format!("{}: its ending says no form; give --format", path.display());
        asked.or_else(|| Format::of(path)).ok_or_else(why)
    };
    arguments.output.iter().map(|path| Ok((Some(path.as_path()), of(path)?))).collect()
}

async fn audit(arguments: &AuditArguments, bar: &ProgressBar) -> Result<Audit, Stop> {
    let connection = |region: Option<String>| Connection {
        region,
        profile: arguments.globals.profile.clone(),
        endpoint: arguments.globals.endpoint_url.clone(),
        ..Connection::default()
    };
    known_profile(&arguments.globals).await?;
    let regions = regions(arguments, &connection(None)).await?;
    let given = arguments.globals.account.clone().or_else(|| variable("ACCOUNT_ID"));
    // What is wrong with the arguments comes before any call.
    for (region, _) in &regions {
        config(arguments, region, given.clone().unwrap_or_else(|| "000000000000".to_owned()))?;
    }
    // A Region that the account may not have takes no credentials of it.
    let asked = regions.iter().find(|(_, opt_in)| !opt_in).or_else(|| regions.first());
    let asked = sdk_config(&connection(asked.map(|(region, _)| region.clone()))).await;
    let (account, is_known) = match given {
        Some(account) => (account.clone(), is_account_of(&asked, &account).await?),
        None => (caller(&asked).await?, true),
    };
    let mut places = Vec::new();
    for (region, opt_in) in regions {
        let sdk = sdk_config(&connection(Some(region.clone()))).await;
        let config = config(arguments, &region, account.clone())?;
        let aws = Aws::new(&sdk, config.own.clone(), Queues::default());
        let paces = Paces::new(&config);
        places.push((config, aws, paces, opt_in));
    }
    let Some((config, aws, ..)) = places.first() else {
        return Err(Stop::usage("there is no Region to look at"));
    };
    let (policy, mode) = (policy(aws, config).await?, mode(aws, config).await?);
    let (history, started_at) = (History::default(), now());
    let settings: Vec<(Session<'_>, &Aws, bool)> = places
        .iter()
        .map(|(config, aws, paces, opt_in)| {
            let deadline = started_at.saturating_add(LONGEST).unwrap_or(Timestamp::MAX);
            let settings = Session {
                config,
                policy: &policy,
                mode,
                run_id: "audit",
                deadline,
                paces,
                history: &history,
                has_queue: false,
                planned: None,
            };
            (settings, aws, *opt_in)
        })
        .collect();
    // Each Region has quotas of its own.
    let looks = settings.iter().map(|(settings, aws, opt_in)| look::region(aws, settings, *opt_in, bar));
    let mut found = join_all(looks).await;
    if !is_known {
        found.iter_mut().for_each(report::Region::doubt);
    }
    Ok(Audit {
        account: config.own.account.clone(),
        mode,
        policy_source: config.policy.to_string(),
        policy_digest: policy.digest.clone(),
        rules: policy.rules.iter().map(|rule| rule.name.clone()).collect(),
        exemptions_ending: policy.exemptions_ending(started_at),
        started_at,
        finished_at: now(),
        regions: found,
    })
}

/// To the second: people read it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The Regions to look at, and whether an account may be without each.
async fn regions(arguments: &AuditArguments, connection: &Connection) -> Result<Vec<(String, bool)>, Stop> {
    if !arguments.globals.region.is_empty() {
        let mut regions: Vec<(String, bool)> = Vec::new();
        for region in &arguments.globals.region {
            if !regions.iter().any(|(known, _)| known == region) {
                regions.push((region.clone(), false));
            }
        }
        return Ok(regions);
    }
    let own = sdk_config(connection).await.region().map(ToString::to_string);
    if arguments.all_regions {
        let partition = own.as_deref().map_or("aws", Scope::partition_of);
        let known = regions::of_partition(partition);
        return Ok(known.into_iter().map(|region| (region.name.to_owned(), region.opt_in)).collect());
    }
    let why = "no Region is named: give --region or --all-regions, or set AWS_REGION";
    own.map(|region| vec![(region, false)]).ok_or_else(|| Stop::usage(why))
}

/// The function's configuration, with the arguments in place of variables.
fn config(arguments: &AuditArguments, region: &str, account: String) -> Result<Config, Stop> {
    let policy = policy_source(&arguments.globals);
    let mode = arguments.mode.map(|mode| match mode {
        ModeArgument::Report => "report".to_owned(),
        ModeArgument::Enforce => "enforce".to_owned(),
    });
    Config::from_vars(|name| match name {
        "POLICY" => policy.clone(),
        "ACCOUNT_ID" => Some(account.clone()),
        "AWS_REGION" => Some(region.to_owned()),
        "MODE" => mode.clone().or_else(|| variable(name)),
        "SCAN_DESCRIBES_PER_SECOND" | "DESCRIBES_PER_SECOND" => Some(arguments.rate.to_string()),
        "MAX_CONCURRENCY" => Some("1".to_owned()),
        // The rest is the function's and of no concern here.
        _ => None,
    })
    .map_err(|faults| {
        let mut faults = faults.iter().map(|fault| match fault.variable {
            "POLICY" if policy.is_none() => "no policy is named: give it with `--policy FILE` or POLICY".to_owned(),
            _ => fault.to_string(),
        });
        Stop::usage(faults.next().unwrap_or_default()).and(faults)
    })
}

async fn mode(aws: &Aws, config: &Config) -> Result<Mode, Stop> {
    match &config.mode {
        ModeSource::Fixed(mode) => Ok(*mode),
        ModeSource::Read(source) => crate::config::mode(&read(aws, &config.own, source).await?)
            .ok_or_else(|| Stop::failure(format!("the mode in {source} is neither `report` nor `enforce`"))),
    }
}

/// Nothing is drawn where standard error is no terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    // The template is a constant; a fault in it would only change how the bar looks.
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

/// Whoever reads may stop reading.
fn print_all(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A name beside `path` that nobody else uses; `None` for a device or a pipe, which cannot be replaced.
fn beside(path: &Path) -> std::io::Result<Option<PathBuf>> {
    if path.exists() && !path.is_file() {
        return if path.is_dir() { Err(ErrorKind::IsADirectory.into()) } else { Ok(None) };
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
    name.push(format!(".{}", std::process::id()));
    Ok(Some(path.with_file_name(name)))
}

/// Whether a file can be made where `path` is to be.
fn try_to_write(path: &Path) -> std::io::Result<()> {
    let Some(beside) = beside(path)? else { return Ok(()) };
    std::fs::File::create_new(&beside).and_then(|_| std::fs::remove_file(&beside))
}

/// Writes beside `path` and renames: there is the whole file, or the one before.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let Some(beside) = beside(path)? else { return std::fs::write(path, text) };
    let written = std::fs::File::create_new(&beside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is wrong is told by the first error.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(write_whole(&folder.path().join("none/report.html"), "x").is_err());
        assert!(write_whole(folder.path(), "x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn the_ending_says_the_form() {
        assert_eq!(Format::of(Path::new("a/b.html")), Some(Format::Html));
        assert_eq!(Format::of(Path::new("b.jsonl")), Some(Format::Evidence));
        assert_eq!(Format::of(Path::new("b.pdf")), None);
        assert_eq!(Format::of(Path::new("html")), None);
    }
}
