//! CloudWatch's metrics of a stream's users behind [`TrafficApi`], and who may use it by policies of the stream's own. It reads only, and
//! weighs nothing.

use std::collections::BTreeSet;

use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use aws_sdk_kinesis::primitives::DateTime;

use super::errors::unreadable;
use super::{Aws, from_sdk};
use crate::domain::arn::{StreamArn, StreamName};
use crate::domain::codes::{METRICS_FORBIDDEN, of_entry};
use crate::domain::evidence::emf;
use crate::domain::failure::{Class, Failure};
use crate::domain::traffic::queries::{self, Query, queries};
use crate::domain::traffic::{HALTED_FOR, Traffic};
use crate::ports::{Asked, CallLog, Consumer, Measured, TrafficApi};

const GET_METRIC_DATA: &str = "cloudwatch:GetMetricData";
const LIST_CONSUMERS: &str = "kinesis:ListStreamConsumers";
const GET_RESOURCE_POLICY: &str = "kinesis:GetResourcePolicy";

/// The period of every metric, in seconds.
const MINUTE: i32 = 60;
/// One page has 100,800 values (CloudWatch API reference, GetMetricData): all that is asked about a day has fewer than three such pages.
const PAGES_MAX: usize = 4;
/// A page of ListStreamConsumers has as many as a stream can have (Kinesis API reference), so that a third is a server that never ends.
const CONSUMER_PAGES_MAX: usize = 3;
/// The id of the guard's own metric; the others are numbered.
const BROKEN: &str = "broken";

impl TrafficApi for Aws {
    async fn traffic(&self, asked: &Asked<'_>, log: &CallLog) -> Result<Measured, Failure> {
        let about = queries(asked.consumers);
        let mut sent = about.iter().enumerate().map(|(number, query)| of_the_stream(number, query, asked.stream));
        let mut all = sent.by_ref().collect::<Result<Vec<_>, _>>()?;
        if let Some(key) = asked.broken_on {
            let dimension = dimension(emf::KEY, key.as_str());
            all.push(metric_query(BROKEN, (emf::NAMESPACE, emf::BROKEN, "Sum"), vec![dimension])?);
        }
        // One request has one time for all metrics.
        let from = asked.broken_on.map_or(asked.from, |_| asked.from.min(asked.to - HALTED_FOR));
        let missing = all.iter().filter_map(|query| query.id().map(str::to_owned)).collect();
        let mut answer = Answer { about, missing, measured: Measured::default() };
        answer.measured.traffic = Traffic::of(asked.consumers);
        let mut token: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let request = self
                .metrics()
                .get_metric_data()
                .set_metric_data_queries(Some(all.clone()))
                .start_time(DateTime::from_secs(from.as_second()))
                .end_time(DateTime::from_secs(asked.to.as_second()))
                .set_next_token(token.take());
            let page = self.logged(log, GET_METRIC_DATA, request.send()).await?;
            for result in page.metric_data_results.unwrap_or_default() {
                answer.add(&result)?;
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                break;
            }
        }
        answer.whole()
    }

    async fn consumers(&self, stream: &StreamArn, log: &CallLog) -> Result<Vec<Consumer>, Failure> {
        let (mut consumers, mut token) = (Vec::new(), None);
        for _ in 0..CONSUMER_PAGES_MAX {
            let request =
                self.kinesis().list_stream_consumers().stream_arn(stream.to_string()).set_next_token(token.take());
            let page = self.logged(log, LIST_CONSUMERS, request.send()).await?;
            consumers.extend(page.consumers().iter().map(|consumer| Consumer {
                name: consumer.consumer_name().to_owned(),
                arn: consumer.consumer_arn().to_owned(),
            }));
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(consumers);
            }
        }
        Err(unreadable(LIST_CONSUMERS, "the list of consumers does not end"))
    }

    async fn resource_policy(&self, arn: &str, log: &CallLog) -> Result<Option<String>, Failure> {
        let request = self.kinesis().get_resource_policy().resource_arn(arn);
        match self.logged(log, GET_RESOURCE_POLICY, request.send()).await {
            // One that has none may be answered with an empty document, or with none.
            Ok(answer) => Ok(Some(answer.policy).filter(|text| !matches!(text.trim(), "" | "{}"))),
            Err(Failure { class: Class::Ignored, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// What came so far of an answer.
struct Answer {
    about: Vec<Query>,
    /// The ids of the metrics that are not whole yet.
    missing: BTreeSet<String>,
    measured: Measured,
}

impl Answer {
    /// Adds a part of one metric.
    fn add(&mut self, result: &MetricDataResult) -> Result<(), Failure> {
        let id = result.id().unwrap_or_default();
        let words = || result.messages().iter().filter_map(|said| said.value()).collect::<Vec<_>>().join("; ");
        match result.status_code() {
            Some(StatusCode::Complete) => drop(self.missing.remove(id)),
            // More of it comes with the next page, or it stays missing.
            Some(StatusCode::PartialData) => {}
            Some(StatusCode::Forbidden) => return Err(of_entry(GET_METRIC_DATA, METRICS_FORBIDDEN, &words())),
            Some(other) => return Err(of_entry(GET_METRIC_DATA, other.as_str(), &words())),
            None => return Err(unreadable(GET_METRIC_DATA, &format!("no status of `{id}` in the answer"))),
        }
        let (times, values) = (result.timestamps(), result.values());
        if times.len() != values.len() {
            return Err(unreadable(GET_METRIC_DATA, &format!("`{id}` has {} times", times.len())));
        }
        if id == BROKEN {
            let sum: f64 = values.iter().sum();
            self.measured.broken = self.measured.broken.saturating_add(queries::count(sum));
            return Ok(());
        }
        let number = id.strip_prefix('m').and_then(|number| number.parse::<usize>().ok());
        let query = number.and_then(|number| self.about.get(number));
        let query = query.ok_or_else(|| unreadable(GET_METRIC_DATA, "an answer that nobody asked for"))?;
        for (time, value) in times.iter().zip(values) {
            let at = from_sdk(time).ok_or_else(|| unreadable(GET_METRIC_DATA, "a time that cannot be read"))?;
            self.measured.traffic.add(query, at, *value);
        }
        Ok(())
    }

    /// The whole answer.
    fn whole(self) -> Result<Measured, Failure> {
        match self.missing.len() {
            0 => Ok(self.measured),
            missing => Err(Failure::retryable(
                GET_METRIC_DATA,
                StatusCode::PartialData.as_str(),
                &format!("{missing} metrics did not come whole"),
            )),
        }
    }
}

fn of_the_stream(number: usize, query: &Query, stream: &StreamName) -> Result<MetricDataQuery, Failure> {
    let consumer = query.consumer.iter().map(|name| dimension("ConsumerName", name));
    let dimensions = std::iter::once(dimension("StreamName", stream.as_str())).chain(consumer).collect();
    metric_query(&format!("m{number}"), (queries::NAMESPACE, query.metric, query.stat), dimensions)
}

fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(value).build()
}

fn metric_query(
    id: &str,
    (namespace, name, stat): (&str, &str, &str),
    dimensions: Vec<Dimension>,
) -> Result<MetricDataQuery, Failure> {
    let metric = Metric::builder().namespace(namespace).metric_name(name).set_dimensions(Some(dimensions));
    let stat = MetricStat::builder().metric(metric.build()).period(MINUTE).stat(stat).build();
    Ok(MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build())
}
