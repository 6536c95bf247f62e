//! `streamseal init`: a first policy from the streams that are there: the keys they are on, what the keys are called, how the streams are
//! tagged. It reads; it changes nothing in AWS, and no file that exists.

mod draft;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use self::draft::{Found, Stream, draft};
use super::arguments::{Globals, repeated};
use super::audit::without;
use super::context::{Context, POLICY_FILE, RUN_MAX, loaded};
use super::exit::Exit;
use super::heading::{self, header_by};
use super::keys::{self, Aliases};
use super::output::{GOOD, Stop, advice, as_it_is, styled, to_stderr};
use super::progress::bar;
use crate::domain::arn::{KeyRef, StreamArn, StreamName};
use crate::domain::failure::Failure;
use crate::domain::model::{Encryption, KeyLookup, Mode, Tags};
use crate::domain::policy::Policy;
use crate::domain::scan::subject::Group;
use crate::ports::{CallLog, Clock, FleetApi, KeyApi, StreamApi};
use crate::run::observe::Observer;

const CODES: &str = "Exit codes: 0 written, 1 failure, 2 usage, or the file exists, 4 try again.";

/// Streams whose tags are asked for with one request.
const PAGE: usize = 100;

/// Writes a first policy from the streams of a Region: their keys, aliases and tags
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct InitArguments {
    /// The file to write, which must not exist yet; `-` for standard output
    #[arg(value_name = "FILE", default_value = POLICY_FILE)]
    file: PathBuf,
}

pub(super) async fn run(arguments: &InitArguments, globals: &Globals) -> Result<Exit, Stop> {
    let file = Some(arguments.file.as_path()).filter(|file| *file != Path::new("-"));
    if let Some(file) = file.filter(|file| file.exists()) {
        return Err(exists(file));
    }
    let context = Context::with_policy(globals, None, &[], Some(without::source())).await?;
    let observing = bar(0, "observing");
    let drafted = drafted(&context, &observing).await;
    observing.finish_and_clear();
    let (text, count) = drafted?;
    // What is written is a policy.
    let policy = loaded("the drafted policy", &text)?;
    match file {
        None => as_it_is(text.as_bytes()),
        Some(file) => write_new(file, &text)?,
    }
    let (place, s) = (header_by(&context, None, None), if count == 1 { "" } else { "s" });
    let rules = policy.rules.len();
    let rules = format!("{rules} rule{}", if rules == 1 { "" } else { "s" });
    let to = file.map_or("standard output".into(), Path::to_string_lossy);
    to_stderr(format_args!("{place}, {count} stream{s}\nwrote {to}: a policy with {rules}"));
    if let Some(file) = file {
        let policy = (file != Path::new(POLICY_FILE)).then(|| to.to_string());
        let given = repeated(&Globals { policy, ..globals.clone() });
        to_stderr(heading::next(&given, "audit", "compares every stream with the policy"));
    }
    Ok(Exit::Compliant)
}

fn exists(file: &Path) -> Stop {
    let stop = Stop::usage(format!("{}: file already exists; it was not changed", file.display()));
    stop.help("give another file name, or `-` for standard output")
}

/// A file that was not there.
fn write_new(file: &Path, text: &str) -> Result<(), Stop> {
    let written = File::create_new(file).and_then(|mut new| new.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => Stop::failure(format!("{}: cannot be written: {error}", file.display())),
    })
}

/// The policy's text, and from how many streams it was made.
async fn drafted(context: &Context, bar: &ProgressBar) -> Result<(String, usize), Stop> {
    let own = &context.config.own;
    let names = context.all_streams().await?;
    bar.set_length(u64::try_from(names.len()).unwrap_or(u64::MAX));
    let mut tags = tags(context, &names).await;
    let policy = Policy::load(without::POLICY).map_err(|_| Stop::failure("the built-in policy is not valid"))?;
    let session = context.session(&policy, Mode::Report, RUN_MAX * 60);
    let observer = Observer::of_scan(&context.aws, &session, Group::Policy);
    let mut streams = Vec::new();
    for stream in names {
        let observed = observer.describe(&stream, &CallLog::default()).await;
        bar.inc(1);
        let observed = observed.map_err(|why| Stop::unfinished("observing the streams", &why.why(), Some(own)))?;
        let Some(observed) = observed else { continue };
        let tags = tags.remove(&stream.name).unwrap_or_default();
        streams.push(Stream { name: stream.name, encryption: observed.encryption, tags });
    }
    let mut keys: BTreeMap<KeyRef, KeyLookup> = BTreeMap::new();
    for stream in &streams {
        let Encryption::Kms(key) = &stream.encryption else { continue };
        if !keys.contains_key(key) {
            let found = context.aws.lookup(key, &CallLog::default()).await;
            let found = found.map_err(|failure| Stop::call("a stream's key", &failure, Some(own), &[]))?;
            keys.insert(key.clone(), found);
        }
    }
    let aliases = if keys.is_empty() { BTreeMap::new() } else { aliases(context).await };
    let found = Found { own, at: context.aws.now(), streams: &streams, keys: &keys, aliases: &aliases };
    Ok((draft(&found), streams.len()))
}

/// The tags of streams. Where they may not be read, the policy is drafted without, and that is said.
async fn tags(context: &Context, streams: &[StreamArn]) -> BTreeMap<StreamName, Tags> {
    let mut tags = BTreeMap::new();
    let mut one_by_one = false;
    for page in streams.chunks(PAGE) {
        if !one_by_one {
            match context.aws.tags_of(page, &CallLog::default()).await {
                Ok(found) => tags.extend(found),
                Err(_) => one_by_one = true,
            }
        }
        for stream in page.iter().filter(|_| one_by_one) {
            match context.aws.tags(stream, &CallLog::default()).await {
                Ok(found) => drop(tags.insert(stream.name.clone(), found)),
                Err(failure) => {
                    report_left_out("tags", &failure, context);
                    return tags;
                }
            }
        }
    }
    tags
}

/// What keys are called. A draft without aliases names keys by their ARNs.
async fn aliases(context: &Context) -> Aliases {
    let client = aws_sdk_kms::Client::new(&context.sdk);
    let (aliases, failure) = keys::aliases(&client, usize::MAX, &CallLog::default()).await;
    if let Some(failure) = failure {
        report_left_out("aliases", &failure, context);
    }
    aliases
}

fn report_left_out(what: &str, failure: &Failure, context: &Context) {
    let help = advice(failure, Some(&context.config.own), &[]).map(|help| format!(": {help}")).unwrap_or_default();
    to_stderr(format_args!(
        "{}: the policy was written without {what}: {} failed ({}){help}",
        styled(GOOD, "help"),
        failure.call,
        failure.code
    ));
}
