//! All streams at once: pages of names, tags of many, and CloudTrail's history of who changed which stream's encryption, which lags.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::arn::{StreamArn, StreamName};
use streamseal::domain::failure::Failure;
use streamseal::domain::history::{Change, ChangeKind, NewPolicy, PUT_KEY_POLICY, Query};
use streamseal::domain::model::Tags;
use streamseal::domain::text::EventText;
use streamseal::ports::{CallLog, FleetApi, Page, PageStart, TrailApi, TrailPage};

use super::actors::Tool;
use super::{Op, Sim, State, arn, failed};

/// From a call to its record in the history, as it was seen of AWS. Each record has a lag of its own: an older one may be missing while
/// newer ones are shown.
pub(crate) const SEEN_LAG_MS: RangeInclusive<u64> = 60_000..=118_000;
/// Records a page of LookupEvents.
const RECORDS: usize = 50;

/// One record of CloudTrail's history.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) change: Change,
    /// The stream as the caller wrote it: its name or its ARN.
    named: String,
    /// From when on the history shows it.
    shown: Timestamp,
}

impl State {
    /// Every change of a stream's encryption that took effect.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.trail.iter().map(|record| &record.change)
    }

    /// A change of a stream's encryption that took effect, for CloudTrail.
    pub(crate) fn record_change(
        &mut self,
        kind: ChangeKind,
        stream: &str,
        key: Option<&str>,
        tool: Tool,
        now: Timestamp,
    ) {
        let at = Timestamp::from_second(now.as_second()).unwrap();
        let role = tool.role();
        let change = Change {
            at,
            kind,
            stream: StreamName::parse(stream).unwrap(),
            key: key.map(EventText::new),
            role: Some(role.to_owned()),
            actor: EventText::new(role),
        };
        let named = if tool == Tool::Streamseal { arn(stream).to_string() } else { stream.to_owned() };
        let lag = Duration::from_millis(self.dice.u64(self.weather.trail_lag_ms.clone()));
        self.trail.push(Recorded { change, named, shown: now + lag });
    }

    /// A page of the history: records that it shows by now, the newest first. A record without a change is a call that was refused.
    fn trail_page(&self, query: &Query, since: Timestamp, token: Option<&str>, now: Timestamp) -> TrailPage {
        // A token goes on with what was there when the first page was made.
        let (now, place) = match token.map(|token| token.split_once('/').unwrap()) {
            Some((at, place)) => (at.parse().unwrap(), place.parse().unwrap()),
            None => (now, 0),
        };
        if let Query::Resource(name) = query
            && self.crowded.contains(name)
        {
            return TrailPage { next: Some(format!("{now}/{}", place + RECORDS)), ..TrailPage::default() };
        }
        if *query == Query::Calls(PUT_KEY_POLICY) {
            let shown = |policy: &&NewPolicy| policy.at >= since && policy.at < now;
            let policies = self.new_policies.iter().filter(shown).cloned().collect();
            return TrailPage { policies, ..TrailPage::default() };
        }
        let asked = |record: &&Recorded| match query {
            Query::Calls(name) => record.change.kind.event_name() == *name,
            Query::Resource(name) => record.named == *name,
        };
        let shown = |record: &&Recorded| record.shown <= now && record.change.at >= since;
        let of_it = self.trail.iter().filter(asked).filter(shown);
        let mut records: Vec<_> = of_it.map(|record| (record.change.at, Some(&record.change))).collect();
        if *query == Query::Calls(ChangeKind::Start.event_name()) {
            // Spread over the day.
            let refused = self.weather.refused_starts;
            let apart = SignedDuration::from_hours(24) / i32::try_from(refused.max(1)).unwrap();
            let times = (0..refused).map(|number| now - apart * i32::try_from(number).unwrap());
            records.extend(times.filter(|at| *at >= since).map(|at| (at, None)));
        }
        let uses = self.uses(query, since, now);
        let mut records: Vec<_> = records.into_iter().map(|(at, change)| (at, change, None)).collect();
        records.extend(uses.into_iter().map(|usage| (usage.at, None, Some(usage))));
        records.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let rest = records.get(place..).unwrap_or_default();
        let page = || rest.iter().take(RECORDS);
        let changes = page().filter_map(|(_, change, _)| change.cloned()).collect();
        let uses = page().filter_map(|(_, _, usage)| usage.clone()).collect();
        TrailPage {
            changes,
            uses,
            policies: Vec::new(),
            next: (rest.len() > RECORDS).then(|| format!("{now}/{}", place + RECORDS)),
        }
    }

    fn page(&mut self, from: &PageStart, now: Timestamp) -> Result<Page, Failure> {
        let after = match from {
            PageStart::Beginning => String::new(),
            PageStart::After(name) => name.to_string(),
            PageStart::Token(token) if token.starts_with("token:") => token.trim_start_matches("token:").to_owned(),
            // A broken one.
            PageStart::Token(_) => return Err(failed(Op::List, "InvalidArgumentException", "Invalid NextToken.")),
        };
        let there: Vec<String> = self
            .streams
            .iter()
            .filter(|(name, stream)| **name > after && stream.at(now).is_some())
            .map(|(name, _)| name.clone())
            .collect();
        let names: Vec<StreamName> =
            there.iter().take(self.page_size).map(|name| StreamName::parse(name).unwrap()).collect();
        let more = there.len() > names.len();
        let next = names.last().filter(|_| more).map(|last| match self.dice.u8(0..3) {
            0 => PageStart::After(last.clone()),
            1 => PageStart::Token(format!("token:{last}")),
            _ => PageStart::Token("broken".to_owned()),
        });
        Ok(Page { names, next })
    }
}

impl FleetApi for Sim {
    async fn list(&self, from: &PageStart, log: &CallLog) -> Result<Page, Failure> {
        self.call(Op::List, "", "", Some(log), |state, now, _| state.page(from, now)).await
    }

    async fn tags_of(&self, streams: &[StreamArn], log: &CallLog) -> Result<BTreeMap<StreamName, Tags>, Failure> {
        assert!(streams.len() <= 100, "the tagging API takes a hundred");
        self.call(Op::TagsOf, "", "", Some(log), |state, now, _| {
            let tagged = |stream: &StreamArn| {
                let name = stream.name.as_str();
                let tags = state.body(name, now).map(|_| state.stream(name).tags.clone())?;
                (!tags.is_empty()).then(|| (stream.name.clone(), tags))
            };
            Ok(streams.iter().filter_map(tagged).collect())
        })
        .await
    }
}

impl TrailApi for Sim {
    async fn trail_page(
        &self,
        query: &Query,
        since: Timestamp,
        token: Option<&str>,
        log: &CallLog,
    ) -> Result<TrailPage, Failure> {
        let page = |state: &mut State, now, _| Ok(state.trail_page(query, since, token, now));
        self.call(Op::Trail, query.value(), "", Some(log), page).await
    }
}
