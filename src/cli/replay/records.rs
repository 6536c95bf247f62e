//! CloudTrail's records as people have them (one record, a log file, what LookupEvents answers) as the EventBridge events that the function
//! gets; and what an event says of where it happened.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::arn::{Scope, StreamArn};
use crate::domain::model::Tags;

/// How deep an event may stand in other messages: in a notification, in the body of a message, in a record of a batch.
const DEPTH_MAX: usize = 8;

/// What `value` has, one after the other: a message itself, or an event for each record of CloudTrail.
pub(super) fn messages(value: Value) -> Result<Vec<Value>, String> {
    if is_record(&value) {
        return Ok(vec![event(value)]);
    }
    if value.get("CloudTrailEvent").is_some() {
        return Ok(vec![looked_up(&value)?]);
    }
    let list = |name: &str, is_one: fn(&Value) -> bool| {
        value.get(name).and_then(Value::as_array).filter(|all| !all.is_empty() && all.iter().all(is_one)).cloned()
    };
    if let Some(records) = list("Records", is_record) {
        return Ok(records.into_iter().map(event).collect());
    }
    if let Some(events) = list("Events", |event| event.get("CloudTrailEvent").is_some()) {
        return events.iter().map(looked_up).collect();
    }
    Ok(vec![value])
}

/// Whether it is a record (CloudTrail user guide, record contents). Notifications of S3 have the same fields, of `aws:s3`.
fn is_record(value: &Value) -> bool {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    text("eventVersion").is_some()
        && text("eventName").is_some()
        && text("eventSource").is_some_and(|from| !from.starts_with("aws:"))
}

/// An item of LookupEvents: the record is a text in it.
fn looked_up(item: &Value) -> Result<Value, String> {
    let text = item.get("CloudTrailEvent").and_then(Value::as_str).ok_or("field `CloudTrailEvent` is not a text")?;
    let record = serde_json::from_str(text).map_err(|error| format!("field `CloudTrailEvent` is not JSON: {error}"))?;
    Ok(event(record))
}

/// The event that EventBridge makes of a record (EventBridge user guide, events from AWS services via CloudTrail).
fn event(record: Value) -> Value {
    let of = |name: &str| record.get(name).cloned().unwrap_or_default();
    let source = record.get("eventSource").and_then(Value::as_str).unwrap_or_default();
    let source = source.strip_suffix(".amazonaws.com").unwrap_or(source);
    let kind = match record.get("eventType").and_then(Value::as_str) {
        Some("AwsServiceEvent") => "AWS Service Event via CloudTrail",
        _ => "AWS API Call via CloudTrail",
    };
    json!({
        "version": "0", "id": of("eventID"), "detail-type": kind, "source": format!("aws.{source}"),
        "account": of("recipientAccountId"), "time": of("eventTime"), "region": of("awsRegion"), "resources": [], "detail": record,
    })
}

/// The account and Region of the first event, or of the stream of a command.
pub(super) fn place(value: &Value) -> Option<Scope> {
    at_depth(value, DEPTH_MAX, &|value| {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        if let (Some(account), Some(region), Some(_)) = (text("account"), text("region"), text("detail-type")) {
            let partition = Scope::partition_of(region).to_owned();
            return Some(Scope { partition, region: region.to_owned(), account: account.to_owned() });
        }
        let stream = text("stream").or_else(|| text("stream_arn"))?;
        StreamArn::parse(stream).map(|arn| arn.scope)
    })
}

/// The tags that a stream is created with. `None`: the event says nothing of them.
pub(super) fn tags(value: &Value) -> Option<Tags> {
    let detail = value.get("detail")?;
    if detail.get("eventName").and_then(Value::as_str) != Some("CreateStream") {
        return None;
    }
    let tags: BTreeMap<String, String> = match detail.get("requestParameters")?.get("tags") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(tags) => serde_json::from_value(tags.clone()).ok()?,
    };
    Some(tags)
}

/// What `found` says of the first value that it says something of; also of JSON that is a text.
fn at_depth<T>(value: &Value, depth: usize, found: &impl Fn(&Value) -> Option<T>) -> Option<T> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::Object(fields) => {
            found(value).or_else(|| fields.values().find_map(|value| at_depth(value, deeper, found)))
        }
        Value::Array(values) => values.iter().find_map(|value| at_depth(value, deeper, found)),
        Value::String(text) if text.starts_with('{') => at_depth(&serde_json::from_str(text).ok()?, deeper, found),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str) -> Value {
        json!({
            "eventVersion": "1.11", "eventSource": "kinesis.amazonaws.com", "eventName": name, "awsRegion": "eu-west-1",
            "eventTime": "2026-03-02T08:14:05Z", "eventID": "1", "recipientAccountId": "111122223333",
            "requestParameters": {"streamName": "orders", "tags": {"team": "a"}},
        })
    }

    #[test]
    fn records_become_events_and_other_messages_stay_what_they_are() {
        let item = |name: &str| json!({"EventId": "1", "CloudTrailEvent": record(name).to_string()});
        let one = messages(record("CreateStream")).unwrap();
        assert_eq!(
            (&one[0]["detail-type"], &one[0]["source"]),
            (&json!("AWS API Call via CloudTrail"), &json!("aws.kinesis"))
        );
        assert_eq!((&one[0]["account"], &one[0]["region"]), (&json!("111122223333"), &json!("eu-west-1")));
        assert_eq!(messages(item("CreateStream")).unwrap(), one);
        let two = [record("CreateStream"), record("DeleteStream")].map(event).to_vec();
        assert_eq!(messages(json!({"Records": [record("CreateStream"), record("DeleteStream")]})).unwrap(), two);
        assert_eq!(
            messages(json!({"Events": [item("CreateStream"), item("DeleteStream")], "NextToken": "x"})).unwrap(),
            two
        );
        for other in [
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": "{}"}]}),
            json!({"Records": [{"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]}),
            json!({"action": "sweep"}),
            json!([1]),
            one[0].clone(),
        ] {
            assert_eq!(messages(other.clone()).unwrap(), [other]);
        }
        assert!(messages(json!({"CloudTrailEvent": "{"})).unwrap_err().contains("is not JSON"));
        let mut service = record("RotateKey");
        service["eventType"] = json!("AwsServiceEvent");
        assert_eq!(messages(service).unwrap()[0]["detail-type"], "AWS Service Event via CloudTrail");
    }

    #[test]
    fn an_event_says_where_it_happened_and_with_which_tags() {
        let event = event(record("CreateStream"));
        let scope = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let sqs = json!({"Records": [{"eventSource": "aws:sqs", "body": event.to_string()}]});
        let command = json!({"action": "reconcile", "stream": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders"});
        for value in [&event, &sqs, &command] {
            assert_eq!(place(value).as_ref(), Some(&scope), "{value}");
        }
        assert_eq!(place(&json!({"action": "sweep"})), None);
        assert_eq!(tags(&event), Some(BTreeMap::from([("team".to_owned(), "a".to_owned())])));
        let mut none = event.clone();
        none["detail"]["requestParameters"] = json!({"streamName": "orders"});
        assert_eq!(tags(&none), Some(Tags::new()));
        none["detail"]["eventName"] = json!("AddTagsToStream");
        assert_eq!(tags(&none), None);
    }
}
