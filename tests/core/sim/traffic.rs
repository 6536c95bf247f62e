//! Users of streams, each with the keys that it may use, and what CloudWatch counts of their calls.

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::access::principal::Principal;
use streamseal::domain::arn::{KeyArn, StreamArn};
use streamseal::domain::evidence::Evidence;
use streamseal::domain::evidence::guard::Guard;
use streamseal::domain::failure::Failure;
use streamseal::domain::history::Query as TrailQuery;
use streamseal::domain::impact::finding::{Side, Who};
use streamseal::domain::impact::usage::{DECRYPT, GENERATE_DATA_KEY, Usage};
use streamseal::domain::model::KeyManager;
use streamseal::domain::text::EventText;
use streamseal::domain::traffic::queries::{Query, queries};
use streamseal::domain::traffic::{Calls, Minute, Traffic, minute_of};
use streamseal::ports::{Asked, CallLog, Consumer, Measured, TrafficApi};

use super::actors::Tool;
use super::{Op, Sim, State, arn, key_arn};

/// A minute is there so long after its end (recorded: after 110 s it was, after 50 s it was not).
const SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(100);

/// The metric of readers' calls.
const GET_RECORDS: &str = "GetRecords.Success";

/// A metric of the function's own is there after this.
pub(crate) const BROKEN_SHOWN_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// Which calls to KMS CloudTrail shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KmsRecords {
    All,
    None,
    /// Those that were refused, and none of those that worked.
    RefusedAlone,
    /// Those that were refused are found by their names alone, and not by the key.
    RefusedLoseKey,
    /// All of them are the function's own.
    OfOurRole,
}

/// Somebody who uses a stream all the time.
#[derive(Clone, Debug)]
pub(crate) struct User {
    stream: String,
    /// The metric of its calls.
    metric: &'static str,
    /// As a registered consumer, by this name.
    consumer: Option<&'static str>,
    calls_a_minute: u32,
    /// The keys that it may use.
    may_use: Vec<&'static str>,
    /// One that it may use from some time on.
    later: Option<(&'static str, Timestamp)>,
    /// On this key its calls work, and it falls behind.
    slow_on: Option<&'static str>,
}

impl User {
    /// Calls that work in one minute, of those that it makes. A stream that is not encrypted asks for no key.
    fn calls(&self, state: &State, minute: Minute) -> Calls {
        let end = Timestamp::from_second((minute + 1) * 60).unwrap();
        let key = state.streams.get(&self.stream).and_then(|stream| stream.encrypts_with(end));
        let may = key.is_none_or(|key| self.may(state, &key, end));
        let sent = u64::from(self.calls_a_minute);
        Calls { sent, worked: if may { sent } else { 0 }, ..Calls::default() }
    }

    /// How far it is behind at the end of a minute: a consumer that gets no record falls behind by a minute each minute.
    fn behind_ms(&self, state: &State, minute: Minute) -> u64 {
        let is_stuck = |minute: &Minute| {
            let end = Timestamp::from_second((minute + 1) * 60).unwrap();
            let key = state.streams.get(&self.stream).and_then(|stream| stream.encrypts_with(end));
            let is_slow = self.slow_on.is_some_and(|id| key == Some(key_arn(id)));
            is_slow || self.calls(state, *minute).worked == 0
        };
        let stuck = (0..60).map(|ago| minute - ago).take_while(is_stuck).count();
        u64::try_from(stuck).unwrap() * 60_000
    }

    /// Whether it may use a key: everybody of the account may use the one that AWS manages.
    fn may(&self, state: &State, key: &str, at: Timestamp) -> bool {
        let by_now = self.later.is_some_and(|(id, from)| at >= from && key_arn(id) == key);
        by_now || state.keys.manager(key) == Some(KeyManager::Aws) || self.may_use.iter().any(|id| key_arn(id) == key)
    }

    /// Its call to KMS in one minute.
    fn usage(&self, state: &State, minute: Minute) -> Option<Usage> {
        let end = Timestamp::from_second((minute + 1) * 60).unwrap();
        let key = state.streams.get(&self.stream)?.encrypts_with(end)?;
        let may = self.may(state, &key, end);
        let side = if self.metric.starts_with("Put") { Side::Producer } else { Side::Consumer };
        let role = format!("arn:aws:iam::111122223333:role/{}-{}", self.stream, side.as_str());
        let (is_due, role) = match state.kms_records {
            KmsRecords::All | KmsRecords::RefusedLoseKey => (!may || minute % 5 == 0, role),
            KmsRecords::None => (false, role),
            KmsRecords::RefusedAlone => (!may, role),
            KmsRecords::OfOurRole => (!may || minute % 5 == 0, Tool::Streamseal.role().to_owned()),
        };
        is_due.then(|| Usage {
            stream: Some(arn(&self.stream)),
            who: Who::Principal(Principal::parse(&role).unwrap()),
            side,
            at: Timestamp::from_second(minute * 60 + 30).unwrap(),
            key: KeyArn::parse(&key),
            refused: (!may).then(|| EventText::new("AccessDenied")),
        })
    }

    fn is_counted_by(&self, query: &Query) -> bool {
        query.metric == self.metric && query.consumer.as_deref() == self.consumer
    }
}

fn call_of(side: Side) -> &'static str {
    if side == Side::Producer { GENERATE_DATA_KEY } else { DECRYPT }
}

impl State {
    /// Somebody puts so many records a minute, and may use these keys.
    pub(crate) fn producer(&mut self, stream: &str, calls_a_minute: u32, may_use: &[&'static str]) {
        self.user(stream, "PutRecords.Success", None, calls_a_minute, may_use);
    }

    /// Somebody reads so often a minute.
    pub(crate) fn reader(&mut self, stream: &str, calls_a_minute: u32, may_use: &[&'static str]) {
        self.user(stream, GET_RECORDS, None, calls_a_minute, may_use);
    }

    /// Somebody reads so often a minute, and falls behind on this key, though its calls work.
    pub(crate) fn slow_reader(&mut self, stream: &str, calls_a_minute: u32, slow_on: &'static str) {
        self.reader(stream, calls_a_minute, &["other", "app"]);
        self.users.last_mut().unwrap().slow_on = Some(slow_on);
    }

    /// A registered consumer.
    pub(crate) fn consumer(&mut self, stream: &str, name: &'static str, may_use: &[&'static str]) {
        self.user(stream, "SubscribeToShardEvent.Success", Some(name), 60, may_use);
    }

    fn user(
        &mut self,
        stream: &str,
        metric: &'static str,
        consumer: Option<&'static str>,
        calls_a_minute: u32,
        may_use: &[&'static str],
    ) {
        let (stream, may_use) = (stream.to_owned(), may_use.to_vec());
        self.users.push(User { stream, metric, consumer, calls_a_minute, may_use, later: None, slow_on: None });
    }

    /// From now on the users of a stream may use this key.
    pub(crate) fn may_use_from(&mut self, stream: &str, key: &'static str, now: Timestamp) {
        self.users.iter_mut().filter(|user| user.stream == stream).for_each(|user| user.later = Some((key, now)));
    }

    /// How often a document of the last day said that a change to this key broke a stream. CloudWatch shows it a minute later.
    fn broken(&self, key: &str, now: Timestamp) -> u64 {
        let is_shown =
            |at: Timestamp| (BROKEN_SHOWN_AFTER..SignedDuration::from_hours(24)).contains(&now.duration_since(at));
        let of_it = |e: &&Evidence| e.guard.as_ref().and_then(Guard::broken_on) == Some(key) && is_shown(e.finished_at);
        u64::try_from(self.evidence.iter().filter(of_it).count()).unwrap()
    }

    /// The uses of keys that CloudTrail's history shows by `now`: everybody asks KMS anew each 5 minutes, or at once where it is refused.
    pub(crate) fn uses(&self, query: &TrailQuery, since: Timestamp, now: Timestamp) -> Vec<Usage> {
        let lag = SignedDuration::from_millis(i64::try_from(*self.weather.trail_lag_ms.end()).unwrap());
        let mut uses = Vec::new();
        // The history of a stream goes back for a month.
        let is_of_keys = match query {
            TrailQuery::Calls(name) => [GENERATE_DATA_KEY, DECRYPT].contains(name),
            TrailQuery::Resource(name) => name.contains(":key/"),
        };
        if !is_of_keys {
            return uses;
        }
        for minute in minute_of(since)..=minute_of(now - lag) {
            let of_minute = self.users.iter().filter_map(|user| user.usage(self, minute));
            uses.extend(
                of_minute.filter(|usage| usage.at >= since && usage.at <= now - lag && self.is_asked(query, usage)),
            );
        }
        uses
    }

    fn is_asked(&self, query: &TrailQuery, usage: &Usage) -> bool {
        match query {
            TrailQuery::Calls(name) => *name == call_of(usage.side),
            TrailQuery::Resource(name) => {
                let has_resources = usage.refused.is_none() || self.kms_records != KmsRecords::RefusedLoseKey;
                has_resources && usage.key.as_ref().is_some_and(|key| key.as_str() == name)
            }
        }
    }

    fn traffic(&self, asked: &Asked<'_>, now: Timestamp) -> Traffic {
        let mut traffic = Traffic::of(asked.consumers);
        let last = minute_of(now - SHOWN_AFTER).min(minute_of(asked.to));
        for minute in minute_of(asked.from)..last {
            let at = Timestamp::from_second(minute * 60).unwrap();
            for query in &queries(asked.consumers) {
                let of_it = || self.users.iter().filter(|user| user.stream == asked.stream.as_str());
                let readers = || of_it().filter(|user| user.metric == GET_RECORDS);
                match query.metric {
                    "GetRecords.IteratorAgeMilliseconds" if readers().count() > 0 => {
                        let behind = readers().map(|user| user.behind_ms(self, minute)).max().unwrap_or_default();
                        traffic.add(query, at, f64::from(u32::try_from(behind).unwrap()));
                    }
                    // Where nobody is there who puts records, somebody puts one all the same.
                    "IncomingRecords" if readers().count() > 0 => traffic.add(query, at, 1.0),
                    _ => {}
                }
                for user in of_it().filter(|user| user.is_counted_by(query)) {
                    let calls = user.calls(self, minute);
                    let count = if query.stat == "Sum" { calls.worked } else { calls.sent };
                    traffic.add(query, at, f64::from(u32::try_from(count).unwrap()));
                }
            }
        }
        traffic
    }
}

impl TrafficApi for Sim {
    async fn traffic(&self, asked: &Asked<'_>, log: &CallLog) -> Result<Measured, Failure> {
        let measured = |state: &mut State, now: Timestamp, _| {
            let broken = asked.broken_on.map_or(0, |key| state.broken(key.as_str(), now));
            Ok(Measured { traffic: state.traffic(asked, now), broken })
        };
        self.call(Op::Metrics, asked.stream.as_str(), "", Some(log), measured).await
    }

    async fn consumers(&self, stream: &StreamArn, log: &CallLog) -> Result<Vec<Consumer>, Failure> {
        self.call(Op::Consumers, stream.name.as_str(), "", Some(log), |state, _, _| {
            let of_it = state.users.iter().filter(|user| user.stream == stream.name.as_str());
            let named = of_it.filter_map(|user| user.consumer);
            Ok(named
                .map(|name| Consumer { name: name.to_owned(), arn: format!("{stream}/consumer/{name}:1") })
                .collect())
        })
        .await
    }

    async fn resource_policy(&self, arn: &str, log: &CallLog) -> Result<Option<String>, Failure> {
        self.call(Op::ResourcePolicy, arn, "", Some(log), |state, _, _| Ok(state.resource_policies.get(arn).cloned()))
            .await
    }
}
