//! What came in: any JSON at all becomes a list of [`Item`]s, each of which is work, or is ignored, rejected or
//! malformed with a reason.
//!
//! Total and pure: no input makes this fail, and nothing here observes the world. An event only says *observe this stream
//! now*; what it says about the stream's state is never believed. Everything in an event is optional, because about a fifth
//! of real CloudTrail records miss something that a typed structure would ask for.

mod call;
mod command;
mod findings;
pub mod found;
pub mod item;
pub mod keys;
mod kinesis;
pub mod merge;
pub mod reason;
pub mod record;

use jiff::Timestamp;
use serde_json::Value;

use self::command::{command, scan_message, work_message};
use self::found::Found;
use self::item::{Input, Item, Message};
use self::kinesis::kinesis_call;
use self::reason::IgnoreReason;
use self::record::text;
use super::arn::Scope;
use super::cause::PARAMETER_CHANGE;
use super::text::EventText;

/// How deep envelopes may stand in each other (a destination record of a notification of an event is three).
const ENVELOPES_MAX: usize = 4;

/// Reads a payload. `now` is when the work begins; `own` is what this deployment answers for.
pub fn parse(payload: &Value, own: &Scope, now: Timestamp) -> Input {
    if let Some(records) = payload.get("Records").and_then(Value::as_array)
        && records.iter().any(|r| record_source(r) == Some("aws:sqs"))
    {
        return batch(records, own, now);
    }
    Input::Direct(items_of(payload, own, now))
}

/// What one message holds, within bounds.
fn items_of(value: &Value, own: &Scope, now: Timestamp) -> Vec<Item> {
    let mut found = Found::default();
    items(value, own, now, ENVELOPES_MAX, &mut found);
    found.end()
}

/// An SQS batch. A record that cannot be answered for by its id makes the whole batch fail, since nothing else keeps it.
fn batch(records: &[Value], own: &Scope, now: Timestamp) -> Input {
    let mut messages = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let Some(id) = text(record, "messageId").filter(|id| !id.is_empty()) else {
            return Input::Direct(vec![Item::malformed(&format!("field `Records[{index}].messageId` is missing"))]);
        };
        let mut items = match text(record, "body") {
            Some(body) => match serde_json::from_str(body) {
                Ok(value) => items_of(&value, own, now),
                Err(error) => vec![Item::malformed(&format!("field `body` is not JSON: {error}"))],
            },
            None => vec![Item::malformed("field `body` is missing")],
        };
        if record_source(record) != Some("aws:sqs") {
            items =
                vec![Item::malformed("field `eventSource`: must be `aws:sqs` as in the other records of the batch")];
        }
        // Of the scans that are asked for, this one's turn has come. (The names of FIFO queues end so: SQS developer guide.)
        if text(record, "eventSourceARN").is_some_and(|arn| arn.ends_with(".fifo")) {
            for item in &mut items {
                if let Item::Scan(scan) = item {
                    *item = Item::ScanNow(scan.clone());
                }
            }
        }
        if received_before(record) {
            // The run that had it may have been killed between Start and proof.
            for item in &mut items {
                if let Item::Reconcile(work) = item {
                    work.proof_owed = true;
                    // And a change that a person asked for may have been made, with nobody to watch it.
                    if work.cause.event_id.is_none() && !work.started {
                        work.next.get_or_insert_default();
                    }
                }
            }
        }
        messages.push(Message { id: id.to_owned(), items });
    }
    Input::Batch(messages)
}

fn record_source(record: &Value) -> Option<&str> {
    text(record, "eventSource").or_else(|| text(record, "EventSource"))
}

fn received_before(record: &Value) -> bool {
    let count = record.get("attributes").and_then(|a| text(a, "ApproximateReceiveCount"));
    count.and_then(|c| c.parse::<u64>().ok()).is_some_and(|c| c > 1)
}

/// Everything that one payload, body or message holds, whatever it is wrapped in.
fn items(value: &Value, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    let Some(deeper) = depth.checked_sub(1) else {
        return found.push(Item::malformed(&format!("messages are nested more than {ENVELOPES_MAX} levels deep")));
    };
    let Some(object) = value.as_object() else {
        return found.push(Item::malformed("the payload is not a JSON object"));
    };
    if let Some(records) = object.get("Records") {
        let Some(records) = records.as_array() else {
            return found.push(Item::malformed("field `Records` is not an array"));
        };
        if records.is_empty() {
            return found.push(Item::Ignored(IgnoreReason::Empty));
        }
        return records.iter().enumerate().for_each(|(i, record)| notification(record, i, own, now, deeper, found));
    }
    if object.contains_key("invokingEvent") && object.contains_key("resultToken") {
        return found.push(Item::Ignored(IgnoreReason::ConfigRule));
    }
    if let (Some(_), Some(payload)) = (object.get("requestContext"), object.get("requestPayload")) {
        return items(payload, own, now, deeper, found);
    }
    if object.contains_key("detail-type") && object.contains_key("source") {
        return event(value, own, now, found);
    }
    if object.contains_key("action") {
        return found.push(command(value, own, now));
    }
    if text(value, "streamseal").is_some_and(|version| version.starts_with("streamseal.scan/")) {
        return found.push(scan_message(value, now));
    }
    if object.contains_key("streamseal") {
        return found.push(work_message(value, own, now));
    }
    // SNS to SQS without raw delivery: the body is the notification itself.
    if text(value, "Type") == Some("Notification") && object.contains_key("TopicArn") {
        return sns_message(value, "Message", own, now, deeper, found);
    }
    let known = "an EventBridge event (`detail-type`, `source`), `Records`, a destination record (`requestContext`, \
                 `requestPayload`), a command (`action`) or a work message (`streamseal`)";
    found.push(Item::malformed(&format!("unknown event, none of: {known}")));
}

fn notification(record: &Value, index: usize, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    match record_source(record) {
        Some("aws:sns") => match record.get("Sns") {
            Some(sns) => sns_message(sns, "Sns.Message", own, now, depth, found),
            None => found.malformed(|| format!("field `Records[{index}].Sns` is missing")),
        },
        Some("aws:sqs") => found.malformed(|| "an SQS batch inside another message is not supported".to_owned()),
        Some(other) => found.malformed(|| {
            let other = EventText::new(other);
            format!("field `Records[{index}].eventSource`: `{other}` must be `aws:sqs` or `aws:sns`")
        }),
        None => found.malformed(|| format!("field `Records[{index}].eventSource` is missing")),
    }
}

fn sns_message(sns: &Value, field: &str, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    match text(sns, "Message").map(serde_json::from_str::<Value>) {
        Some(Ok(value)) => items(&value, own, now, depth, found),
        Some(Err(error)) => found.malformed(|| format!("field `{field}` is not JSON: {error}")),
        None => found.malformed(|| format!("field `{field}` is missing")),
    }
}

/// An EventBridge event, by source and detail type.
fn event(event: &Value, own: &Scope, now: Timestamp, found: &mut Found) {
    let (Some(source), Some(kind)) = (text(event, "source"), text(event, "detail-type")) else {
        return found.push(Item::malformed("fields `source` and `detail-type` must be text"));
    };
    let item = match (source, kind) {
        // The China edition of the documentation prints "Amazon API Call via CloudTrail": either brand is taken.
        ("aws.kinesis", _) if kind.ends_with(" API Call via CloudTrail") => kinesis_call(event, own, now),
        ("aws.kms", _)
            if kind.ends_with(" API Call via CloudTrail") || kind.ends_with(" Service Event via CloudTrail") =>
        {
            keys::call(event, own, now)
        }
        ("aws.kms", _) => keys::direct(event, kind, own, now),
        ("aws.events" | "aws.scheduler", "Scheduled Event") => keys::schedule(event, own, now),
        ("aws.ssm", PARAMETER_CHANGE) => keys::parameter_change(event, own, now),
        ("aws.config", "Config Rules Compliance Change") => findings::config_change(event, own, now),
        (
            "aws.securityhub",
            "Security Hub Findings - Imported" | "Security Hub Findings - Custom Action" | "Findings Imported V2",
        ) => return findings::security_hub(event, own, now, found),
        _ => Item::Ignored(IgnoreReason::OtherEvent(EventText::new(source), EventText::new(kind))),
    };
    found.push(item);
}
