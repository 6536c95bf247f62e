//! CloudTrail's KMS events: who used the keys that the streams are on. One list a key, for all streams that are on it.

use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use aws_sdk_kinesis::primitives::DateTime;
use jiff::Timestamp;
use serde_json::Value;

use super::calls::LOOKUP_EVENTS;
use super::search::{Search, turn};
use crate::aws::logged;
use crate::domain::arn::KeyArn;
use crate::domain::failure::Failure;
use crate::domain::impact::usage::Usage;
use crate::domain::pace::Pace;
use crate::ports::CallLog;

const WHAT: &str = "CloudTrail's KMS events";
/// The largest page (CloudTrail API reference, LookupEvents).
const EVENTS_PER_PAGE: i32 = 50;
/// An account has two a second in a Region (the same), and the function needs some.
const PER_SECOND: u32 = 1;

pub(super) async fn search(search: &mut Search<'_>, keys: &[KeyArn], since: Timestamp) {
    let mut pace = Pace::new(PER_SECOND, 1, 1);
    for key in keys {
        if let Err(failure) = events(search, key, since, &mut pace).await {
            return search.failed(WHAT, &failure);
        }
    }
}

async fn events(search: &mut Search<'_>, key: &KeyArn, since: Timestamp, pace: &mut Pace) -> Result<(), Failure> {
    let client = Client::new(&search.context.sdk);
    let attribute = LookupAttribute::builder()
        .attribute_key(LookupAttributeKey::ResourceName)
        .attribute_value(key.as_str())
        .build()
        .ok();
    search
        .pages(WHAT, async |search, token| {
            turn(pace, search.context).await;
            let request = client
                .lookup_events()
                .set_lookup_attributes(attribute.clone().map(|attribute| vec![attribute]))
                .start_time(DateTime::from_secs(since.as_second()))
                .max_results(EVENTS_PER_PAGE)
                .set_next_token(token);
            let page = logged(&CallLog::default(), LOOKUP_EVENTS, request.send()).await?;
            for event in page.events() {
                let record: Option<Value> = serde_json::from_str(event.cloud_trail_event().unwrap_or_default()).ok();
                let usage = record.as_ref().and_then(Usage::parse).filter(|usage| usage.at >= since);
                if let Some(usage) = usage
                    && let Some(of) = &usage.stream
                    && let Some(stream) = search.stream(&of.to_string())
                {
                    stream.findings.push(usage.into_finding());
                }
            }
            Ok(page.next_token)
        })
        .await
}
