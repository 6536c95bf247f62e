//! What is read and found for a report on each stream: its keys, its users, and what their own policies say.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::calls::DESCRIBE_KEY;
use super::identity::Identities;
use super::keys::Keys;
use super::search::{Search, Searched};
use crate::cli::context::Context;
use crate::cli::output::Stop;
use crate::domain::arn::{KeyArn, KeyRef, StreamArn};
use crate::domain::failure::Class;
use crate::domain::impact::finding::merged;
use crate::domain::impact::judge::{Facts, asks};
use crate::domain::impact::key::{KeyFacts, Setting};
use crate::domain::impact::report::{NotChecked, Report};
use crate::domain::model::{Encryption, KeyLookup, Observed};
use crate::ports::{CallLog, Clock, StreamApi};

/// A stream with the key to be.
pub(crate) struct Asked {
    pub(crate) stream: StreamArn,
    pub(crate) key: KeyRef,
}

/// What was read of a stream before its users are searched for.
struct Read {
    observed: Observed,
    current: Setting,
    target: KeyFacts,
    notes: Vec<String>,
}

/// A report on each stream. `doing` hears of each before it is judged.
pub(crate) async fn reports(
    context: &Context,
    asked: Vec<Asked>,
    since: SignedDuration,
    doing: &dyn Fn(&StreamArn),
) -> Result<Vec<Report>, Stop> {
    let own = &context.config.own.account;
    let is_own = context.is_of_credentials().await?;
    let now = context.aws.now();
    let since = now.checked_sub(since).unwrap_or(Timestamp::UNIX_EPOCH);
    let mut keys = Keys::new(context);
    let mut read = Vec::new();
    for Asked { stream, key } in &asked {
        doing(stream);
        read.push(read_stream(context, &mut keys, stream, key).await?);
    }
    let current: BTreeSet<KeyArn> = read.iter().filter_map(|read| key_in(&read.current).cloned()).collect();
    let mut search = Search::new(context, asked.into_iter().map(|asked| asked.stream));
    if !is_own {
        let why = format!("sts:GetCallerIdentity gave no answer: every list may be of another account than {own}");
        search.not_checked.push(NotChecked { what: "the account of the credentials".to_owned(), why });
    }
    super::kinesis::search(&mut search).await;
    super::lambda::search(&mut search).await;
    super::firehose::search(&mut search).await;
    super::pipes::search(&mut search).await;
    super::events::search(&mut search).await;
    super::logs::search(&mut search).await;
    super::trail::search(&mut search, &current.into_iter().collect::<Vec<_>>(), since).await;
    let Search { streams, not_checked, .. } = search;
    let mut identities = Identities::new(context);
    let mut reports = Vec::new();
    for (Searched { arn, findings, not_checked: of_stream, notes, .. }, read) in streams.into_iter().zip(read) {
        doing(&arn);
        let Read { observed, current, target, notes: of_key } = read;
        let facts =
            Facts { stream: &arn, retention_hours: observed.retention_hours, current: &current, target: &target, now };
        let findings = merged(findings);
        for finding in &findings {
            let Some(who) = finding.who.principal() else { continue };
            let asked = asks(&facts, who, finding.side);
            let keys: BTreeSet<&KeyArn> = asked.iter().map(|(_, key)| *key).collect();
            for key in keys {
                identities.ask(who, finding.side.actions(), key, &arn).await;
            }
        }
        let not_checked = not_checked.iter().cloned().chain(of_stream).collect();
        let notes = of_key.into_iter().chain(notes).collect();
        let identity = |who: &_, action: &str, key: &_| identities.get(who, action, key, &arn);
        reports.push(Report::new(&facts, since, &findings, not_checked, notes, &identity));
    }
    Ok(reports)
}

fn key_in(setting: &Setting) -> Option<&KeyArn> {
    match setting {
        Setting::Key(key) => key.arn(),
        Setting::Unencrypted | Setting::Unknown(_) => None,
    }
}

async fn read_stream(context: &Context, keys: &mut Keys<'_>, stream: &StreamArn, key: &KeyRef) -> Result<Read, Stop> {
    let own = &context.config.own;
    let observed = context.aws.describe(stream, &CallLog::default()).await.map_err(|failure| match failure.class {
        Class::Ignored => no_such_stream(stream),
        _ => Stop::call("the stream", &failure, Some(own), &[&stream.to_string()]),
    })?;
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
                    Stop::failure(format!("which key `{key}` is was not read: {} failed ({code})", DESCRIBE_KEY));
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
                None => Setting::Unknown(format!("which key {reference} is was not read ({code})")),
            },
            Err(failure) => Setting::Unknown(format!("which key {reference} is was not read ({})", failure.code)),
        },
    };
    Ok(Read { observed, current, target, notes })
}

pub(super) fn no_such_stream(stream: &StreamArn) -> Stop {
    Stop::failure(format!("{stream} is not there, or is being deleted"))
}
