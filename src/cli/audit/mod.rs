//! `streamseal audit`: how every stream stands with the policy, as a table, JSON, CSV, HTML, findings or evidence.
//!
//! It observes as a scan does and decides nothing itself; it changes no stream and writes no record. The result is written once
//! and whole: an audit that is broken off leaves no file and no output.

mod asff;
mod csv;
mod file;
mod html;
mod observe;
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

use self::file::{try_to_write, write_whole};
use self::report::{Audit, Broken, Ended, FailOn};
use self::table::Shown;
use super::arguments::{Globals, MODES};
use super::context::Context;
use super::exit::Exit;
use super::output::{GOOD, Stop, in_lines, styled, to_stderr};
use crate::domain::remedy::advice::Remedy;

/// Longer than any audit: what ends one is its end, or its user.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

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
    /// DescribeStreamSummary a second in each Region; the account has 20, and others need them too
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

    fn render(self, audit: &Audit, shown: Shown) -> String {
        match self {
            Self::Table => table::render(audit, shown),
            Self::Json => format!("{:#}\n", audit.to_json()),
            Self::Csv => csv::render(audit),
            Self::Html => html::render(audit),
            Self::Evidence => audit.to_evidence(),
            Self::Asff => format!("{:#}\n", asff::render(audit)),
        }
    }
}

pub(super) async fn run(arguments: &AuditArguments, globals: &Globals) -> Result<Exit, Stop> {
    let outputs = outputs(arguments, globals).map_err(Stop::usage)?;
    // Better now than after minutes.
    for path in outputs.iter().filter_map(|(path, _)| *path) {
        try_to_write(path).map_err(|error| not_written(Some(path), &error))?;
    }
    let bar = bar();
    let done = match select(pin!(audit(arguments, globals, &bar)), pin!(broken_off())).await {
        Either::Left((done, _)) => done,
        Either::Right(((), _)) => {
            let (at, of) = (bar.position(), bar.length().unwrap_or_default());
            let why = format!("interrupted after {at} of {of} streams; nothing was written");
            Err(Stop::failure(why))
        }
    };
    bar.finish_and_clear();
    let audit = done?;
    report_regions(&audit);
    for lines in refusals(&audit) {
        to_stderr(format_args!("{}: some streams or keys could not be checked: {lines}", styled(GOOD, "help")));
    }
    for (path, format) in &outputs {
        let written = match path {
            Some(path) => write_whole(path, &format.render(&audit, Shown { fix: arguments.fix, ..Shown::default() })),
            None => print_all(&format.render(&audit, shown(arguments))),
        };
        written.map_err(|error| not_written(*path, &error))?;
    }
    if outputs.iter().all(|(path, _)| path.is_some()) {
        to_stderr(table::sums(&audit).trim_end());
    }
    Ok(audit.exit(arguments.fail_on))
}

fn not_written(path: Option<&Path>, error: &std::io::Error) -> Stop {
    let what = path.unwrap_or(Path::new("standard output")).display();
    Stop::failure(format!("{what}: cannot be written: {error}"))
}

/// Those that the audit lacks.
fn report_regions(audit: &Audit) {
    for region in &audit.regions {
        match &region.ended {
            Ended::Failed(Broken { why, help, .. }) => {
                let stop = Stop::failure(format!("{}: {why}", region.name));
                let stop = help.iter().fold(stop, |stop, help| stop.help(help.as_str()));
                stop.print();
            }
            Ended::NotEnabled if audit.regions.len() > 1 => {
                to_stderr(format_args!("{}: left out, the account has not enabled it", region.name));
            }
            Ended::Denied => {
                to_stderr(format_args!("{}: left out, a policy of the organization denies it", region.name));
            }
            Ended::Complete | Ended::NotEnabled => {}
        }
    }
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

async fn audit(arguments: &AuditArguments, globals: &Globals, bar: &ProgressBar) -> Result<Audit, Stop> {
    let regions = regions::chosen(globals, arguments.all_regions).await?;
    let (contexts, is_known) =
        Context::of_regions(globals, arguments.mode.as_deref(), arguments.rate, &regions).await?;
    let Some(first) = contexts.first() else { return Err(Stop::usage("there is no Region to observe")) };
    let (policy, mode) = (first.policy().await?, first.mode().await?);
    let started_at = now();
    // Each Region has quotas of its own.
    let audits = contexts.iter().zip(&regions).map(async |(context, (_, opt_in))| {
        let session = context.session(&policy, mode, LONGEST);
        observe::region(context, &session, *opt_in, bar).await
    });
    let mut found = join_all(audits).await;
    if !is_known {
        found.iter_mut().for_each(report::Region::doubt);
    }
    Ok(Audit {
        id: first.run_id.clone(),
        actor: first.config.runner.actor.clone(),
        given: first.given.clone(),
        account: first.config.own.account.clone(),
        mode,
        policy_source: first.config.policy.to_string(),
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

/// Whoever reads may stop reading.
fn print_all(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_the_form() {
        assert_eq!(Format::of(Path::new("a/b.html")), Some(Format::Html));
        assert_eq!(Format::of(Path::new("b.jsonl")), Some(Format::Evidence));
        assert_eq!(Format::of(Path::new("b.pdf")), None);
        assert_eq!(Format::of(Path::new("html")), None);
    }
}
