//! CloudTrail's event history behind [`TrailApi`]: who changed which stream's encryption lately. It reads only, and weighs nothing.

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_kinesis::primitives::DateTime;
use jiff::Timestamp;
use serde_json::Value;

use super::errors::unreadable;
use super::{Aws, logged};
use crate::domain::failure::Failure;
use crate::domain::history::{Change, ChangeKind};
use crate::ports::{CallLog, Trail, TrailApi};

const LOOKUP_EVENTS: &str = "cloudtrail:LookupEvents";

/// The largest page (CloudTrail API reference, LookupEvents).
const EVENTS_PER_PAGE: i32 = 50;
/// Two thousand calls of one name. The service answers two lookups a second (CloudTrail API reference), so that a longer
/// history would outlast the run that asks for it.
const PAGES_MAX: usize = 40;

impl TrailApi for Aws {
    async fn changes(&self, since: Timestamp, log: &CallLog) -> Result<Trail, Failure> {
        let mut trail = Trail { changes: Vec::new(), whole: true };
        // One attribute a request is all that the API takes.
        for kind in [ChangeKind::Start, ChangeKind::Stop] {
            trail.whole &= self.calls_named(kind, since, log, &mut trail.changes).await?;
        }
        Ok(trail)
    }
}

impl Aws {
    /// The pages of one name, and whether these are all: the newest events come first (CloudTrail API reference).
    async fn calls_named(
        &self,
        kind: ChangeKind,
        since: Timestamp,
        log: &CallLog,
        changes: &mut Vec<Change>,
    ) -> Result<bool, Failure> {
        let mut name = LookupAttribute::builder().attribute_key(LookupAttributeKey::EventName);
        name = name.attribute_value(kind.event_name());
        let name = name.build().map_err(|error| unreadable(LOOKUP_EVENTS, &error.to_string()))?;
        let mut token = None;
        for _ in 0..PAGES_MAX {
            // A token goes with the parameters of the first request (CloudTrail API reference). Event times have whole seconds,
            // and one of the second that `since` is in may be later than it.
            let request = self
                .trail()
                .lookup_events()
                .lookup_attributes(name.clone())
                .start_time(DateTime::from_secs(since.as_second()))
                .max_results(EVENTS_PER_PAGE)
                .set_next_token(token.take());
            let page = logged(log, LOOKUP_EVENTS, request.send()).await?;
            for event in page.events.unwrap_or_default() {
                let text = event.cloud_trail_event.unwrap_or_default();
                let record: Value = serde_json::from_str(&text).map_err(|error| {
                    let id = event.event_id.unwrap_or_default();
                    unreadable(LOOKUP_EVENTS, &format!("the record of event `{id}` is not JSON: {error}"))
                })?;
                changes.extend(Change::parse(&record, &self.scope));
            }
            token = page.next_token.filter(|token| !token.is_empty());
            if token.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
