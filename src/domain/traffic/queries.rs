//! Which metrics of Kinesis say how a stream's users fare, and where each value belongs.

use jiff::Timestamp;

use super::{Series, Traffic, minute_of};

/// The namespace of Kinesis's metrics.
pub const NAMESPACE: &str = "AWS/Kinesis";
/// So many registered consumers a stream may have at most (Kinesis developer guide, quotas); more are not asked about.
pub const CONSUMERS_MAX: usize = 50;

const SUM: &str = "Sum";
const COUNT: &str = "SampleCount";
const MAXIMUM: &str = "Maximum";

/// One metric of a stream, a value a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub metric: &'static str,
    /// The statistic.
    pub stat: &'static str,
    /// The registered consumer that it is of: a dimension beside the stream's name.
    pub consumer: Option<String>,
    of: Of,
    value: Value,
}

/// Which users a value is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Producers,
    Readers,
    Consumer,
}

/// What a value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Sent,
    /// Calls of PutRecords.
    SentBatches,
    /// The records in them.
    Records,
    /// Those of them that were throttled.
    ThrottledRecords,
    Worked,
    Throttled,
    Behind,
    Incoming,
}

/// A `Success` metric has one sample a call, 1 or 0 (Kinesis developer guide, monitoring): `SampleCount` is how many calls there were, and
/// `Sum` how many worked. A call that fails for the key fails whole, and so shows here and not in `PutRecords.FailedRecords`.
///
/// `WriteProvisionedThroughputExceeded` counts records (AWS knowledge centre, "Why are my Kinesis Data Streams throttling?"), the one of reads
/// calls.
const METRICS: [(Of, Value, &str, &str); 17] = [
    (Of::Producers, Value::Sent, "PutRecord.Success", COUNT),
    (Of::Producers, Value::Worked, "PutRecord.Success", SUM),
    (Of::Producers, Value::SentBatches, "PutRecords.Success", COUNT),
    (Of::Producers, Value::Worked, "PutRecords.Success", SUM),
    (Of::Producers, Value::Records, "PutRecords.TotalRecords", SUM),
    (Of::Producers, Value::ThrottledRecords, "PutRecords.ThrottledRecords", SUM),
    (Of::Producers, Value::Throttled, "WriteProvisionedThroughputExceeded", SUM),
    (Of::Producers, Value::Incoming, "IncomingRecords", SUM),
    (Of::Readers, Value::Sent, "GetRecords.Success", COUNT),
    (Of::Readers, Value::Worked, "GetRecords.Success", SUM),
    (Of::Readers, Value::Throttled, "ReadProvisionedThroughputExceeded", SUM),
    (Of::Readers, Value::Behind, "GetRecords.IteratorAgeMilliseconds", MAXIMUM),
    // A registered consumer has metrics under its own name alone (recorded: none under the stream's).
    (Of::Consumer, Value::Sent, "SubscribeToShard.Success", COUNT),
    (Of::Consumer, Value::Worked, "SubscribeToShard.Success", SUM),
    (Of::Consumer, Value::Sent, "SubscribeToShardEvent.Success", COUNT),
    (Of::Consumer, Value::Worked, "SubscribeToShardEvent.Success", SUM),
    (Of::Consumer, Value::Behind, "SubscribeToShardEvent.MillisBehindLatest", MAXIMUM),
];

/// What is asked about a stream with these registered consumers.
pub fn queries(consumers: &[String]) -> Vec<Query> {
    let of_one = |consumer: Option<&String>| {
        let consumer = consumer.cloned();
        let fits = move |of: &Of| (*of == Of::Consumer) == consumer.is_some();
        METRICS.iter().filter(move |(of, ..)| fits(of))
    };
    let query = |consumer: Option<&String>, &(of, value, metric, stat): &(Of, Value, &'static str, &'static str)| {
        Query { metric, stat, consumer: consumer.cloned(), of, value }
    };
    let all = std::iter::once(None).chain(consumers.iter().take(CONSUMERS_MAX).map(Some));
    all.flat_map(|consumer| of_one(consumer).map(move |metric| query(consumer, metric))).collect()
}

impl Traffic {
    /// What it has before any answer: no calls, and a place for each registered consumer.
    pub fn of(consumers: &[String]) -> Self {
        let consumers = consumers.iter().take(CONSUMERS_MAX).map(|name| (name.clone(), Series::default()));
        Self { consumers: consumers.collect(), ..Self::default() }
    }

    /// Adds the value of one minute. What is not a count is taken for none: no metric here is negative.
    pub fn add(&mut self, query: &Query, at: Timestamp, value: f64) {
        let minute = minute_of(at);
        let value = count(value);
        let series = match (query.of, &query.consumer) {
            (Of::Producers, _) => &mut self.producers,
            (Of::Readers, _) => &mut self.readers,
            (Of::Consumer, Some(name)) => self.consumers.entry(name.clone()).or_default(),
            (Of::Consumer, None) => return,
        };
        let counted = match query.value {
            Value::Sent => &mut series.calls.entry(minute).or_default().sent,
            Value::SentBatches => {
                let calls = series.calls.entry(minute).or_default();
                calls.batches.calls = calls.batches.calls.saturating_add(value);
                &mut calls.sent
            }
            Value::Worked => &mut series.calls.entry(minute).or_default().worked,
            Value::Throttled => &mut series.calls.entry(minute).or_default().throttled,
            Value::Records => &mut series.calls.entry(minute).or_default().batches.records,
            Value::ThrottledRecords => &mut series.calls.entry(minute).or_default().batches.throttled,
            Value::Incoming => self.incoming.entry(minute).or_default(),
            Value::Behind => {
                let behind = series.behind_ms.entry(minute).or_default();
                *behind = value.max(*behind);
                return;
            }
        };
        *counted = counted.saturating_add(value);
    }
}

/// A value of CloudWatch as a count: they are whole numbers, sent as floating ones.
pub fn count(value: f64) -> u64 {
    // It saturates, and what is not a number is 0.
    value.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::traffic::{Batches, Calls};

    #[test]
    fn a_value_finds_its_place() {
        let (at, names) = ("2026-03-02T08:00:00Z".parse().unwrap(), ["app".to_owned(), "audit".to_owned()]);
        let mut traffic = Traffic::of(&names);
        let all = queries(&names);
        assert_eq!(all.len(), 12 + 2 * 5);
        for (number, query) in (1_u32..).zip(&all) {
            traffic.add(query, at, f64::from(number));
        }
        let minute = minute_of(at);
        let calls = |series: &Series| series.calls[&minute];
        let none = Batches::default();
        let batches = Batches { calls: 3, records: 5, throttled: 6 };
        assert_eq!(calls(&traffic.producers), Calls { sent: 1 + 3, worked: 2 + 4, throttled: 7, batches });
        assert_eq!(traffic.incoming[&minute], 8);
        assert_eq!(calls(&traffic.readers), Calls { sent: 9, worked: 10, throttled: 11, batches: none });
        assert_eq!(traffic.readers.behind_ms[&minute], 12);
        let of_app = Calls { sent: 13 + 15, worked: 14 + 16, throttled: 0, batches: none };
        assert_eq!(calls(&traffic.consumers["app"]), of_app);
        assert_eq!(traffic.consumers["app"].behind_ms[&minute], 17);
        let of_audit = Calls { sent: 18 + 20, worked: 19 + 21, throttled: 0, batches: none };
        assert_eq!(calls(&traffic.consumers["audit"]), of_audit);
    }

    #[test]
    fn what_is_no_count_is_none() {
        let rows =
            [(2.0, 2), (2.4, 2), (2.5, 3), (-1.0, 0), (f64::NAN, 0), (f64::INFINITY, u64::MAX), (1e300, u64::MAX)];
        for (value, expected) in rows {
            assert_eq!(count(value), expected, "{value}");
        }
    }

    #[test]
    fn no_more_consumers_are_asked_about_than_one_request_takes() {
        let names: Vec<String> = (0..200).map(|number| format!("c{number}")).collect();
        assert!(queries(&names).len() <= 499, "GetMetricData takes 500 queries, and one is the guard's own");
        assert_eq!(Traffic::of(&names).consumers.len(), CONSUMERS_MAX);
    }
}
