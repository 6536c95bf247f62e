//! `streamseal audit`: how every stream stands with the policy, as a table, JSON, CSV, HTML, findings or evidence.
//!
//! It observes as a scan does and decides nothing itself; it changes no stream and writes no record. The result is written once
//! and whole. An audit that is stopped before its end writes what it has, and says that it is incomplete.

mod asff;
mod change;
mod csv;
mod file;
pub(crate) mod filter;
mod html;
mod markdown;
mod observe;
mod ocsf;
mod regions;
mod report;
#[cfg(test)]
mod samples;
mod severity;
mod since;
mod table;
pub(crate) mod without;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;

use clap::ValueEnum;
use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{SignedDuration, Timestamp};

use self::file::{try_to_write, write_whole};
use self::filter::Filter;
use self::report::{Audit, Broken, Ended, FailOn};
use self::since::Before;
use self::table::Shown;
use super::arguments::{Globals, MODES};
use super::context::{Context, policy_source};
use super::exit::Exit;
use super::output::{GOOD, Stop, in_lines, styled, to_stderr};
use crate::domain::model::Mode;
use crate::domain::policy::Policy;
use crate::domain::remedy::advice::Remedy;

/// Longer than any audit: what ends one is its end, or its user.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

const CODES: &str = "Exit codes: 0 compliant, 1 failure, incomplete, or stopped, 2 usage, 3 non-compliant (without a policy: not \
                           encrypted, or with a key that cannot be used), 4 try again, since something could not be determined now.";

/// Shows how every stream stands with the policy, also as a report; without a policy, whether it is encrypted and with whose key.
/// Changes nothing
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
    /// The form of the result [default: by the ending of FILE, else table]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the result to this file, or to standard output for `-`; may be given several times, each ending (.html .json .csv
    /// .jsonl .txt .md) is its form
    #[arg(long, short, value_name = "FILE")]
    output: Vec<PathBuf>,
    /// What ends the command with another exit code than 0 [default: what is non-compliant, and what is unknown and may be known with
    /// another try]
    #[arg(long, value_enum)]
    fail_on: Option<FailOn>,
    /// Compare with this audit, which `-o FILE.json` wrote before: what is new, fixed, unchanged
    #[arg(long, value_name = "FILE")]
    since: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
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
    /// Findings for Security Hub (ASFF), one batch of at most 100 a line, by Region
    Asff,
    /// Compliance Findings of OCSF, one a line
    Ocsf,
    /// A summary for a pull request or a pipeline
    Markdown,
}

impl Format {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Table),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "html" | "htm" => Some(Self::Html),
            "jsonl" | "ndjson" => Some(Self::Evidence),
            "md" => Some(Self::Markdown),
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
            Self::Asff => asff::render(audit),
            Self::Ocsf => ocsf::render(audit),
            Self::Markdown => markdown::render(audit),
        }
    }
}

pub(super) async fn run(arguments: &AuditArguments, globals: &Globals) -> Result<Exit, Stop> {
    let outputs = outputs(arguments, globals).map_err(Stop::usage)?;
    // Better now than after minutes.
    for path in outputs.iter().filter_map(|(path, _)| *path) {
        try_to_write(path).map_err(|error| not_written(Some(path), &error))?;
    }
    if arguments.fail_on == Some(FailOn::New) && arguments.since.is_none() {
        return Err(Stop::usage("`--fail-on new` compares with an audit before: name it with `--since FILE.json`"));
    }
    let before = arguments.since.as_deref().map(Before::read).transpose()?;
    let bar = bar();
    let done = audit(arguments, globals, before, &bar).await;
    let (at, of) = (bar.position(), bar.length().unwrap_or_default());
    bar.finish_and_clear();
    let audit = done?;
    if audit.regions.iter().any(|region| region.ended == Ended::Interrupted) {
        Stop::failure(format!("stopped after {at} of {of} streams: the audit is incomplete")).print();
    }
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
            Ended::Complete | Ended::NotEnabled | Ended::Interrupted => {}
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
        return Err("the forms of several files are those of their endings: --format goes with one".to_owned());
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

/// Observes every Region, until somebody stops it. What was not begun before that is no audit.
async fn audit(
    arguments: &AuditArguments,
    globals: &Globals,
    before: Option<Before>,
    bar: &ProgressBar,
) -> Result<Audit, Stop> {
    let stop = stopped().boxed_local().shared();
    let prepared = match select(pin!(prepared(arguments, globals)), stop.clone()).await {
        Either::Left((prepared, _)) => prepared?,
        Either::Right(_) => return Err(Stop::failure("stopped before any stream was observed; nothing was written")),
    };
    let Prepared { contexts, opt_in, is_known, policy, mode, has_policy } = prepared;
    let Some(first) = contexts.first() else { return Err(Stop::usage("there is no Region to observe")) };
    let account = first.config.own.account.clone();
    arguments.filter.check(&policy)?;
    before.iter().try_for_each(|before| before.is_of(&account))?;
    let started_at = now();
    // Each Region has quotas of its own.
    let audits = contexts.iter().zip(opt_in).map(async |(context, opt_in)| {
        let session = context.session(&policy, mode, LONGEST);
        observe::region(context, &session, (opt_in, &arguments.filter), bar, stop.clone()).await
    });
    let mut found = join_all(audits).await;
    if !is_known {
        found.iter_mut().for_each(report::Region::doubt);
    }
    if !has_policy {
        found.iter_mut().for_each(without::leave_out_rules);
    }
    let mut audit = Audit {
        id: first.run_id.clone(),
        actor: first.config.runner.actor.clone(),
        account,
        mode,
        policy_source: if has_policy { first.config.policy.to_string() } else { without::SOURCE.to_owned() },
        policy_digest: policy.digest.clone(),
        rules: policy.rules.iter().map(|rule| rule.name.clone()).collect(),
        exemptions: policy.exemptions(),
        exemptions_ending: policy.exemptions_ending(started_at),
        started_at,
        finished_at: now(),
        regions: found,
        filter: arguments.filter.clone(),
        since: None,
    };
    audit.since = before.map(|before| before.compare(&audit));
    Ok(audit)
}

/// What has to be known before the first stream is observed.
struct Prepared {
    contexts: Vec<Context>,
    /// Of each, whether the account may be without its Region.
    opt_in: Vec<bool>,
    /// Whether the account is known to be the one that the credentials are of.
    is_known: bool,
    policy: Policy,
    mode: Mode,
    has_policy: bool,
}

async fn prepared(arguments: &AuditArguments, globals: &Globals) -> Result<Prepared, Stop> {
    let regions = regions::chosen(globals, arguments.all_regions).await?;
    let named = policy_source(globals);
    let has_policy = named.is_some();
    let source = named.unwrap_or_else(without::source);
    let (contexts, is_known) =
        Context::of_regions(globals, source, arguments.mode.as_deref(), arguments.rate, &regions).await?;
    let Some(first) = contexts.first() else { return Err(Stop::usage("there is no Region to observe")) };
    let (policy, mode) = (first.policy().await?, first.mode().await?);
    let opt_in = regions.into_iter().map(|(_, opt_in)| opt_in).collect();
    Ok(Prepared { contexts, opt_in, is_known, policy, mode, has_policy })
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
