//! CloudTrail's event history behind [`TrailApi`]: who changed which stream's encryption lately, and who used which key for a stream. It
//! reads only, and weighs nothing.

use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_kinesis::primitives::DateTime;
use jiff::Timestamp;
use serde_json::Value;

use super::Aws;
use super::errors::unreadable;
use crate::domain::bounds::is_odd;
use crate::domain::failure::Failure;
use crate::domain::history::{Change, NewPolicy, Query};
use crate::domain::impact::usage::Usage;
use crate::ports::{CallLog, TrailApi, TrailPage};

const LOOKUP_EVENTS: &str = "cloudtrail:LookupEvents";

/// The largest page (CloudTrail API reference, LookupEvents).
const EVENTS_PER_PAGE: i32 = 50;

impl TrailApi for Aws {
    async fn trail_page(
        &self,
        query: &Query,
        since: Timestamp,
        token: Option<&str>,
        log: &CallLog,
    ) -> Result<TrailPage, Failure> {
        let key = match query {
            Query::Calls(_) => LookupAttributeKey::EventName,
            Query::Resource(_) => LookupAttributeKey::ResourceName,
        };
        // One attribute a request is all that the API takes.
        let attribute = LookupAttribute::builder().attribute_key(key).attribute_value(query.value()).build();
        let attribute = attribute.map_err(|error| unreadable(LOOKUP_EVENTS, &error.to_string()))?;
        // A token goes with the parameters of the first request (CloudTrail API reference). Event times have whole seconds, and one
        // of the second that `since` is in may be later than it.
        let request = self
            .trail()
            .lookup_events()
            .lookup_attributes(attribute)
            .start_time(DateTime::from_secs(since.as_second()))
            .max_results(EVENTS_PER_PAGE)
            .set_next_token(token.map(str::to_owned));
        let page = self.logged(log, LOOKUP_EVENTS, request.send()).await?;
        let (mut changes, mut uses, mut policies) = (Vec::new(), Vec::new(), Vec::new());
        for event in page.events.unwrap_or_default() {
            let text = event.cloud_trail_event.unwrap_or_default();
            let record: Value = serde_json::from_str(&text).map_err(|error| {
                let id = event.event_id.unwrap_or_default();
                unreadable(LOOKUP_EVENTS, &format!("the record of event `{id}` is not JSON: {error}"))
            })?;
            let now = Timestamp::now();
            changes.extend(Change::parse(&record, &self.scope).filter(|change| !is_odd(change.at, now)));
            uses.extend(Usage::parse(&record).filter(|usage| !is_odd(usage.at, now)));
            policies.extend(NewPolicy::parse(&record).filter(|policy| !is_odd(policy.at, now)));
        }
        Ok(TrailPage { changes, uses, policies, next: page.next_token.filter(|token| !token.is_empty()) })
    }
}
