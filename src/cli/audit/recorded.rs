//! An audit of what AWS Config recorded: keys and aliases first, then the streams, each judged as its page comes, by the same code as
//! observed ones and by the keys of its own account and Region. Nothing that grows with the streams is kept.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use jiff::Timestamp;
use serde_json::Value;

use super::reach::Asked;
use super::report::{Broken, Ended, Found, Lack, Region};
use super::sink::Sink;
use crate::cli::context::Context;
use crate::cli::output::Stop;
use crate::cli::recorder::{Delivered, Queries, SourceStatus};
use crate::domain::arn::Scope;
use crate::domain::cause::Cause;
use crate::domain::codes::is_token_refused;
use crate::domain::evidence::Evidence;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::model::KeyIdentity;
use crate::domain::plan::observation::Observation;
use crate::domain::recorded::{Kind, RecordedKeys, RecordedStream, Unreadable, query};
use crate::domain::text::EventText;
use crate::ports::{CallLog, Clock};
use crate::run::inspect::Inspection;
use crate::run::observe::Compared;
use crate::run::session::Session;

/// A query has at most 4,096 characters (Config API reference, Expression): so many accounts go into one, beside every Region there is.
const ACCOUNTS_IN_A_QUERY: usize = 150;
/// So many answers that cannot be read are reported one by one.
const UNREAD: usize = 5;

/// Reads and judges everything that was asked for.
pub(super) async fn audit(
    asked: &Asked,
    (context, session): (&Context, &Session<'_>),
    rate: u32,
    sink: Sink<'_>,
    bar: &ProgressBar,
) -> Result<Found, Stop> {
    let queries = Queries::new(&context.sdk, &context.aws, asked.aggregator.as_deref(), rate);
    let own = &session.config.own;
    let cause = Cause { call: EventText::new("audit"), event_id: None, actor: None, at: None, creator: None };
    let mut round = Round {
        inspection: Inspection { session, cause, requested_at: context.aws.now(), attempt: 0, by: "an audit" },
        keys: RecordedKeys::default(),
        regions: BTreeMap::new(),
        unread: Vec::new(),
        unread_more: 0,
        sink,
    };
    let sources = match &asked.aggregator {
        Some(name) => match queries.sources().await {
            Ok(sources) => sources,
            Err(failure) => return Err(no_sources(name, &failure, &queries, own).await),
        },
        None => {
            let words = String::new();
            let (id, region) = (own.account.clone(), own.region.clone());
            vec![SourceStatus { id, is_account: true, region, delivered: Delivered::Succeeded, words }]
        }
    };
    for kind in [Kind::Aliases, Kind::Keys, Kind::Streams] {
        bar.set_message(words(kind));
        bar.set_position(0);
        bar.set_length(0);
        for expression in expressions(kind, asked) {
            round.read(kind, &expression, &queries, context, bar).await?;
        }
    }
    let Round { regions, sink, unread, unread_more, .. } = round;
    let (written, suspects) = sink.end();
    let (regions, mut lacks) = with_sources(regions, &sources, asked);
    let more = (unread_more > 0).then(|| format!("{unread_more} more results cannot be read"));
    let unread = unread.into_iter().map(|Unreadable(why)| why.to_string()).chain(more);
    lacks.extend(unread.map(|why| Lack { what: "AWS Config".to_owned(), broken: lasting(why) }));
    Ok(Found { regions, written, lacks, calls: queries.calls(), suspects })
}

/// As they are called in words.
fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Aliases => "aliases",
        Kind::Keys => "keys",
        Kind::Streams => "streams",
    }
}

/// The queries for everything of one kind.
fn expressions(kind: Kind, asked: &Asked) -> Vec<String> {
    // A key may be in another account than the streams on it.
    if asked.accounts.is_empty() || kind != Kind::Streams {
        return vec![query(kind, &[], &asked.regions)];
    }
    asked.accounts.chunks(ACCOUNTS_IN_A_QUERY).map(|accounts| query(kind, accounts, &asked.regions)).collect()
}

/// Why the sources of an aggregator cannot be read, and where it is not there, which ones are.
async fn no_sources(name: &str, failure: &Failure, queries: &Queries<'_>, own: &Scope) -> Stop {
    let what = format!("the sources of the aggregator {name} of account {} in {}", own.account, own.region);
    let stop = Stop::call(&what, failure, Some(own), &[]);
    if failure.class != Class::Permanent(Fault::Request) {
        return stop;
    }
    match queries.aggregators().await.unwrap_or_default().as_slice() {
        [] => stop
            .help(format!("account {} has no aggregator in {}: `--region` names its Region", own.account, own.region)),
        some => stop.help(format!(
            "account {} has these in {}: {}",
            own.account,
            own.region,
            some.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// Pages that break off: what was read is not all, and half of an audit is none.
fn broken_off(kind: Kind, read: u64, failure: &Failure, context: &Context) -> Stop {
    let what = format!("after {read} {} that AWS Config recorded, nothing was written", words(kind));
    if is_token_refused(failure) {
        let why = format!("{what}: {} failed ({}): {}", failure.call, failure.code, failure.message);
        return Stop::failure(why).help("its next page cannot be asked for any more: start the audit anew");
    }
    Stop::call(&what, failure, Some(&context.config.own), &[])
}

struct Round<'a> {
    inspection: Inspection<'a>,
    keys: RecordedKeys,
    /// By account and name.
    regions: BTreeMap<(String, String), Region>,
    unread: Vec<Unreadable>,
    unread_more: usize,
    sink: Sink<'a>,
}

impl Round<'_> {
    /// Takes every page of one query.
    async fn read(
        &mut self,
        kind: Kind,
        expression: &str,
        queries: &Queries<'_>,
        context: &Context,
        bar: &ProgressBar,
    ) -> Result<(), Stop> {
        let mut token: Option<String> = None;
        loop {
            let page = queries.page(expression, token.as_deref()).await;
            let page = page.map_err(|failure| broken_off(kind, bar.position(), &failure, context))?;
            self.take(kind, &page.results, context.aws.now())?;
            let results = u64::try_from(page.results.len()).unwrap_or_default();
            bar.inc_length(results);
            bar.inc(results);
            if page.next.is_some() && page.next == token {
                let why = format!("AWS Config gives the same page of {} for ever", words(kind));
                return Err(Stop::failure(format!("{why}: nothing was written")));
            }
            token = page.next;
            if token.is_none() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, kind: Kind, results: &[Value], now: Timestamp) -> Result<(), Stop> {
        for result in results {
            let read = match kind {
                Kind::Aliases => self.keys.take_alias(result),
                Kind::Keys => self.keys.take_key(result),
                Kind::Streams => match RecordedStream::read(result) {
                    Ok(stream) => {
                        self.judge(&stream, now)?;
                        Ok(())
                    }
                    Err(unreadable) => Err(unreadable),
                },
            };
            match read {
                Err(unreadable) if self.unread.len() < UNREAD => self.unread.push(unreadable),
                Err(_) => self.unread_more += 1,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn judge(&mut self, stream: &RecordedStream, now: Timestamp) -> Result<(), Stop> {
        let evidence = evidence(&self.inspection, stream, &self.keys, now);
        let scope = &stream.stream.scope;
        let place = (scope.account.clone(), scope.region.clone());
        let region = self.regions.entry(place).or_insert_with(|| Region::new(&scope.account, &scope.region));
        region.listed += 1;
        self.sink.take(region, evidence)
    }
}

/// What is said of a stream as it was recorded, as an audit says it of one that it observed.
fn evidence(inspection: &Inspection<'_>, recorded: &RecordedStream, keys: &RecordedKeys, now: Timestamp) -> Evidence {
    let RecordedStream { stream, observed, tags } = recorded;
    let own = &stream.scope;
    let decision = inspection.session.policy.decide(stream, tags, now);
    let (situation, mut known) = recorded.situation(&decision.outcome, keys);
    if let Some(key) = observed.encryption.key() {
        known.entry(key.clone()).or_insert_with(|| keys.lookup(key, own));
    }
    let observation = Observation::Active(situation);
    let compared = Compared::of(&decision.outcome, observed.clone(), observation, &known, own);
    let verdict = inspection.verdict(&compared, now).unwrap_or_else(|step| inspection.unfinished(&step));
    let mut evidence =
        inspection.evidence(stream, &decision, Some(&compared), verdict, Vec::new(), (&CallLog::default(), now));
    for key in &mut evidence.keys {
        if let KeyIdentity::Arn(arn) = &key.info.identity {
            key.alias = keys.name_of(arn).map(str::to_owned);
        }
    }
    evidence
}

/// The Regions with what the aggregator says of them, those that delivered nothing too, and what was asked for and is no source.
fn with_sources(
    mut regions: BTreeMap<(String, String), Region>,
    sources: &[SourceStatus],
    asked: &Asked,
) -> (Vec<Region>, Vec<Lack>) {
    let is_asked = |all: &[String], one: &String| all.is_empty() || all.contains(one);
    let mut lacks = Vec::new();
    for source in sources {
        if !source.is_account {
            if source.delivered == Delivered::Failed {
                let what = format!("the organization {} in {}", source.id, source.region);
                lacks.push(Lack { what, broken: lasting(format!("AWS Config cannot read it: {}", source.words)) });
            }
            continue;
        }
        if !is_asked(&asked.accounts, &source.id) || !is_asked(&asked.regions, &source.region) {
            continue;
        }
        let place = (source.id.clone(), source.region.clone());
        let region = regions.entry(place).or_insert_with(|| Region::new(&source.id, &source.region));
        region.ended = match source.delivered {
            Delivered::Failed => Ended::Failed(lasting(format!("AWS Config delivers nothing new: {}", source.words))),
            Delivered::Outdated => Ended::Outdated(source.words.clone()),
            Delivered::Succeeded if region.listed == 0 => Ended::Silent,
            Delivered::Succeeded => Ended::Complete,
        };
    }
    for account in &asked.accounts {
        if !regions.keys().any(|(known, _)| known == account) {
            let why = "it is no source of the aggregator".to_owned();
            lacks.push(Lack { what: format!("account {account}"), broken: lasting(why) });
        }
    }
    for region in &asked.regions {
        if !regions.keys().any(|(_, known)| known == region) {
            let why = "the aggregator collects nothing there".to_owned();
            lacks.push(Lack { what: format!("Region {region}"), broken: lasting(why) });
        }
    }
    (regions.into_values().collect(), lacks)
}

/// What is no better with the next try.
fn lasting(why: String) -> Broken {
    Broken { why, help: None, passes: false }
}
