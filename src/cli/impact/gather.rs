//! What is read and found for a report on each stream: its keys, its users, and what their own policies say.

use std::collections::{BTreeMap, BTreeSet};

use indicatif::ProgressBar;
use jiff::{SignedDuration, Timestamp};

use super::calls::DESCRIBE_KEY;
use super::identity::Identities;
use super::keys::Keys;
use super::search::{Search, Searched};
use crate::cli::context::Context;
use crate::cli::output::Stop;
use crate::domain::arn::{KeyArn, KeyRef, StreamArn};
use crate::domain::impact::finding::merged;
use crate::domain::impact::judge::{Facts, asks};
use crate::domain::impact::key::{KeyFacts, Setting};
use crate::domain::impact::report::{NotChecked, Report};
use crate::domain::model::{Encryption, KeyLookup, Observed};
use crate::ports::Clock;

/// A stream with the key to be.
pub(crate) struct Asked {
    pub(crate) stream: StreamArn,
    pub(crate) key: KeyRef,
    /// What was observed of it already.
    pub(crate) observed: Option<Observed>,
}

/// How far the search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Depth {
    /// How far back CloudTrail is read.
    pub(crate) since: SignedDuration,
    /// Whether the policies of all roles and users are searched too.
    pub(crate) deep: bool,
}

/// The bar counts the streams that are read, the sources, and the streams that are judged.
struct Steps<'a>(&'a ProgressBar);

impl Steps<'_> {
    fn begin(&self, streams: usize, deep: bool) {
        self.0.set_prefix("checking");
        self.0.set_position(0);
        self.0.set_length(2 * u64::try_from(streams).unwrap_or(u64::MAX / 2) + SOURCES + u64::from(deep));
    }

    fn next(&self, what: impl ToString) {
        self.0.set_message(what.to_string());
        self.0.inc(1);
    }
}

/// Those that are searched in any case.
const SOURCES: u64 = 7;

/// What was read of a stream before its users are searched for.
struct Read {
    observed: Observed,
    current: Setting,
    target: KeyFacts,
    notes: Vec<String>,
}

/// A report on each stream. `known` is what KMS was asked already.
pub(crate) async fn reports(
    context: &Context,
    asked: Vec<Asked>,
    known: &BTreeMap<KeyRef, KeyLookup>,
    depth: Depth,
    bar: &ProgressBar,
) -> Result<Vec<Report>, Stop> {
    let own = &context.config.own.account;
    let is_own = context.is_of_credentials().await?;
    let now = context.aws.now();
    let since = now.checked_sub(depth.since).unwrap_or(Timestamp::UNIX_EPOCH);
    let steps = Steps(bar);
    steps.begin(asked.len(), depth.deep);
    let mut keys = Keys::new(context);
    keys.learn(known);
    let (mut read, mut streams) = (Vec::new(), Vec::new());
    for asked in asked {
        steps.next(&asked.stream.name);
        streams.push(asked.stream.clone());
        read.push(read_stream(context, &mut keys, asked).await?);
    }
    let current: BTreeSet<KeyArn> = read.iter().filter_map(|read| key_in(&read.current).cloned()).collect();
    let mut identities = Identities::new(context, streams.len() > 1);
    let mut search = Search::new(context, streams);
    if !is_own {
        let why = format!("sts:GetCallerIdentity failed: every list may be of another account than {own}");
        search.not_checked.push(NotChecked { what: "the account of the credentials".to_owned(), why });
    }
    search_everywhere(
        &mut search,
        &mut identities,
        &current.into_iter().collect::<Vec<_>>(),
        (since, depth.deep),
        &steps,
    )
    .await;
    let Search { streams, not_checked, .. } = search;
    let mut reports = Vec::new();
    for (Searched { arn, findings, not_checked: of_stream, notes, .. }, read) in streams.into_iter().zip(read) {
        steps.next(&arn.name);
        let Read { observed, current, target, notes: of_key } = read;
        let facts =
            Facts { stream: &arn, retention_hours: observed.retention_hours, current: &current, target: &target, now };
        let findings = merged(findings);
        for finding in &findings {
            let Some(who) = finding.who.principal() else { continue };
            let asked = asks(&facts, who, finding.side);
            let keys: BTreeSet<&KeyArn> = asked.iter().map(|(_, key)| *key).collect();
            identities.ask(who, finding.side.actions(), &keys, &arn).await;
        }
        let not_checked = not_checked.iter().cloned().chain(of_stream).collect();
        let notes = of_key.into_iter().chain(notes).collect();
        let identity = |who: &_, action: &str, key: &_| identities.get(who, action, key, &arn);
        reports.push(Report::new(&facts, since, &findings, not_checked, notes, &identity));
    }
    Ok(reports)
}

/// Searches every source for users of the streams.
async fn search_everywhere(
    search: &mut Search<'_>,
    identities: &mut Identities<'_>,
    current: &[KeyArn],
    (since, deep): (Timestamp, bool),
    steps: &Steps<'_>,
) {
    steps.next("Kinesis");
    super::kinesis::search(search).await;
    steps.next("Lambda");
    super::lambda::search(search).await;
    steps.next("Firehose");
    super::firehose::search(search).await;
    steps.next("EventBridge Pipes");
    super::pipes::search(search).await;
    steps.next("EventBridge");
    super::events::search(search).await;
    steps.next("CloudWatch Logs");
    super::logs::search(search).await;
    steps.next("CloudTrail");
    super::trail::search(search, current, since).await;
    if deep {
        steps.next("IAM");
        super::permitted::search(search, identities).await;
    }
}

fn key_in(setting: &Setting) -> Option<&KeyArn> {
    match setting {
        Setting::Key(key) => key.arn(),
        Setting::Unencrypted | Setting::Unknown(_) => None,
    }
}

async fn read_stream(context: &Context, keys: &mut Keys<'_>, asked: Asked) -> Result<Read, Stop> {
    let own = &context.config.own;
    let Asked { stream, key, observed } = &asked;
    let observed = match observed {
        Some(observed) => observed.clone(),
        None => {
            context.turn().await?;
            context.describe(stream, "the stream", no_such_stream).await?
        }
    };
    let mut notes = Vec::new();
    let of_key = |failure| Stop::call(&format!("the key `{key}`"), &failure, Some(own), &[]);
    let target = match keys.lookup(key).await.map_err(of_key)? {
        KeyLookup::Found(info) => {
            notes.extend(info.problem.as_ref().map(|problem| format!("{key} cannot encrypt a stream now: {problem}")));
            keys.facts(&info).await
        }
        KeyLookup::NotFound => {
            return Err(Stop::failure(format!(
                "KMS knows no key `{key}` in {} of account {}",
                own.region, own.account
            )));
        }
        KeyLookup::Denied { code, .. } => match key.as_key_arn() {
            Some(arn) => Keys::hidden(arn, &format!("{} failed ({code})", DESCRIBE_KEY)),
            None => {
                let stop =
                    Stop::failure(format!("the key `{key}` cannot be identified: {} failed ({code})", DESCRIBE_KEY));
                return Err(
                    stop.help("name the key by its ARN, or see `streamseal impact --print-iam` for the permissions")
                );
            }
        },
    };
    let current = match &observed.encryption {
        Encryption::None => Setting::Unencrypted,
        Encryption::Unreadable(what) => Setting::Unknown(format!("its setting {what} cannot be read")),
        Encryption::Kms(reference) => match keys.lookup(reference).await {
            Ok(KeyLookup::Found(info)) => Setting::Key(keys.facts(&info).await),
            Ok(KeyLookup::NotFound) => {
                Setting::Unknown(format!("KMS knows no key {reference}, which the stream is on"))
            }
            Ok(KeyLookup::Denied { code, .. }) => match reference.as_key_arn() {
                Some(arn) => Setting::Key(Keys::hidden(arn, &format!("{} failed ({code})", DESCRIBE_KEY))),
                None => Setting::Unknown(format!("the key {reference} cannot be identified ({code})")),
            },
            Err(failure) => Setting::Unknown(format!("the key {reference} cannot be identified ({})", failure.code)),
        },
    };
    Ok(Read { observed, current, target, notes })
}

pub(super) fn no_such_stream(stream: &StreamArn) -> Stop {
    Stop::failure(format!("{stream}: no such stream, or it is being deleted"))
}
