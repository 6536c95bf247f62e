//! The queries to AWS Config, page by page, of one account and Region or by an aggregator. It reads only.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_config::Client;
use aws_sdk_config::config::retry::RetryConfig;
use aws_sdk_config::types::{AggregatedSourceStatusType, AggregatedSourceType};
use aws_types::SdkConfig;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::pages;
use crate::aws::{Aws, Timeouts, logged};
use crate::domain::failure::{Failure, Unfinished};
use crate::domain::pace::Pace;
use crate::ports::{CallLog, Clock};
use crate::run::paces::Paces;

pub(crate) const SELECT: &str = "config:SelectResourceConfig";
pub(crate) const SELECT_AGGREGATE: &str = "config:SelectAggregateResourceConfig";
pub(crate) const SOURCES: &str = "config:DescribeConfigurationAggregatorSourcesStatus";
pub(crate) const AGGREGATORS: &str = "config:DescribeConfigurationAggregators";

/// The largest page of a query (Config developer guide, "Querying the current configuration state").
const PAGE: i32 = 100;
/// So often a query is sent that is throttled or not answered; nobody says how many a second are taken.
const ATTEMPTS: u32 = 6;
/// How long an answer may take, and one query with all its attempts.
const TIMES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(180));
/// Longer than a query may wait for its turn.
const TURN_MAX: SignedDuration = SignedDuration::from_hours(1);

/// AWS Config, at a rate of our own.
#[derive(Debug)]
pub(crate) struct Queries<'a> {
    client: Client,
    aws: &'a Aws,
    aggregator: Option<&'a str>,
    pace: Mutex<Pace>,
    log: Mutex<BTreeMap<&'static str, u64>>,
}

/// One page of results, each as it came, and the token of the next page.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) results: Vec<Value>,
    pub(crate) next: Option<String>,
}

/// What an aggregator collects from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Aggregator {
    pub(crate) name: String,
    /// The Regions of the whole organization, where it is that: none stands for all.
    pub(crate) of_organization: Option<Vec<String>>,
    /// How many accounts are named.
    pub(crate) accounts: usize,
}

/// How an aggregator stands with one of its sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceStatus {
    /// An account, or the id of an organization.
    pub(crate) id: String,
    pub(crate) is_account: bool,
    pub(crate) region: String,
    pub(crate) delivered: Delivered,
    /// When it delivered last, and what it said then.
    pub(crate) words: String,
}

/// What came of the last update of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    Succeeded,
    Failed,
    Outdated,
}

impl<'a> Queries<'a> {
    pub(crate) fn new(sdk: &SdkConfig, aws: &'a Aws, aggregator: Option<&'a str>, rate: u32) -> Self {
        let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
        let timeouts = Timeouts { attempt: TIMES.0, operation: TIMES.1, ..Timeouts::default() };
        let config = aws_sdk_config::config::Builder::from(sdk).retry_config(retries).timeout_config(timeouts.into());
        let config = config.build();
        let (client, pace) = (Client::from_conf(config), Mutex::new(Pace::new(rate, 1, 1)));
        Self { client, aws, aggregator, pace, log: Mutex::default() }
    }

    /// Requests sent, by operation.
    pub(crate) fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    async fn turn(&self, call: &'static str) -> Result<(), Failure> {
        let deadline = self.aws.now() + TURN_MAX;
        let turn = Paces::wait(&self.pace, self.aws, deadline, call).await;
        if let Ok(mut log) = self.log.lock() {
            *log.entry(call).or_default() += 1;
        }
        turn.map(drop).map_err(|why| match why {
            Unfinished::Call(failure) => failure,
            Unfinished::Open { .. } => Failure::retryable(call, "RateLimited", &why.to_string()),
        })
    }

    /// One page of what a query finds.
    pub(crate) async fn page(&self, expression: &str, token: Option<&str>) -> Result<Page, Failure> {
        let log = CallLog::default();
        let (results, next) = match self.aggregator {
            Some(name) => {
                self.turn(SELECT_AGGREGATE).await?;
                let request = self.client.select_aggregate_resource_config().configuration_aggregator_name(name);
                let request = request.expression(expression).limit(PAGE).set_next_token(token.map(str::to_owned));
                let answer = logged(&log, SELECT_AGGREGATE, request.send()).await?;
                (answer.results.unwrap_or_default(), answer.next_token)
            }
            None => {
                self.turn(SELECT).await?;
                let request = self.client.select_resource_config().expression(expression).limit(PAGE);
                let answer = logged(&log, SELECT, request.set_next_token(token.map(str::to_owned)).send()).await?;
                (answer.results.unwrap_or_default(), answer.next_token)
            }
        };
        // What is no JSON is nothing that can be read of it, and is reported as that.
        let results = results.into_iter().map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
        Ok(Page { results: results.collect(), next: next.filter(|token| !token.is_empty()) })
    }

    /// How each source of the aggregator delivered.
    pub(crate) async fn sources(&self) -> Result<Vec<SourceStatus>, Failure> {
        let mut sources = Vec::new();
        pages::all(async |token| {
            self.turn(SOURCES).await?;
            let request = self.client.describe_configuration_aggregator_sources_status();
            let request = request.set_configuration_aggregator_name(self.aggregator.map(str::to_owned)).limit(PAGE);
            let answer = logged(&CallLog::default(), SOURCES, request.set_next_token(token).send()).await?;
            for status in answer.aggregated_source_status_list.unwrap_or_default() {
                let delivered = match status.last_update_status {
                    Some(AggregatedSourceStatusType::Succeeded) => Delivered::Succeeded,
                    Some(AggregatedSourceStatusType::Outdated) => Delivered::Outdated,
                    // What nobody knows is no success.
                    _ => Delivered::Failed,
                };
                let at = status.last_update_time.and_then(|at| Timestamp::from_second(at.secs()).ok());
                let at = at.map_or("it never delivered".to_owned(), |at| format!("it delivered last at {at}"));
                let said = [status.last_error_code, status.last_error_message];
                let words: Vec<String> = [Some(at)].into_iter().chain(said).flatten().collect();
                sources.push(SourceStatus {
                    id: status.source_id.unwrap_or_default(),
                    is_account: status.source_type == Some(AggregatedSourceType::Account),
                    region: status.aws_region.unwrap_or_default(),
                    delivered,
                    words: words.join(": "),
                });
            }
            Ok(answer.next_token)
        })
        .await?;
        Ok(sources)
    }

    /// The aggregators of the account and Region.
    pub(crate) async fn aggregators(&self) -> Result<Vec<Aggregator>, Failure> {
        let mut aggregators = Vec::new();
        pages::all(async |token| {
            self.turn(AGGREGATORS).await?;
            let request = self.client.describe_configuration_aggregators().set_next_token(token);
            let answer = logged(&CallLog::default(), AGGREGATORS, request.send()).await?;
            for found in answer.configuration_aggregators.unwrap_or_default() {
                let Some(name) = found.configuration_aggregator_name else { continue };
                let accounts = found.account_aggregation_sources.unwrap_or_default();
                let accounts = accounts.into_iter().flat_map(|source| source.account_ids).count();
                let of_organization =
                    found.organization_aggregation_source.map(|source| match source.all_aws_regions {
                        true => Vec::new(),
                        false => source.aws_regions.unwrap_or_default(),
                    });
                aggregators.push(Aggregator { name, of_organization, accounts });
            }
            Ok(answer.next_token)
        })
        .await?;
        Ok(aggregators)
    }
}
