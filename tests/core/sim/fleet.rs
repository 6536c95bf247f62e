//! All streams at once: pages of names, tags of many, and CloudTrail's history of who changed which stream's encryption, which lags.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::failure::{Class, Failure};
use streamseal::domain::history::{Change, ChangeKind};
use streamseal::domain::model::{EventText, StreamArn, StreamName, Tags};
use streamseal::ports::{CallLog, FleetApi, Page, PageStart, Trail, TrailApi};

use super::actors::Tool;
use super::{Op, Sim, State, failed};

impl State {
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
        self.trail.push(Change {
            at,
            kind,
            stream: StreamName::parse(stream).unwrap(),
            key: key.map(EventText::new),
            role: Some(role.to_owned()),
            actor: EventText::new(role),
        });
    }

    fn page(&mut self, from: &PageStart, now: Timestamp) -> Result<Page, Failure> {
        let after = match from {
            PageStart::Beginning => String::new(),
            PageStart::After(name) => name.to_string(),
            PageStart::Token(token) if token.starts_with("token:") => token.trim_start_matches("token:").to_owned(),
            PageStart::Token(_) => return Err(failed(Op::List, Class::Retryable, "ExpiredNextTokenException")),
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
            _ => PageStart::Token("expired".to_owned()),
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
    async fn changes(&self, since: Timestamp, log: &CallLog) -> Result<Trail, Failure> {
        self.call(Op::Trail, "", "", Some(log), |state, now, _| {
            let lag = SignedDuration::try_from(Duration::from_millis(state.weather.trail_lag_ms)).unwrap();
            let known = |change: &&Change| change.at >= since && change.at + lag <= now;
            Ok(Trail { changes: state.trail.iter().filter(known).cloned().collect(), whole: true })
        })
        .await
    }
}
