//! Calls of Kinesis that CloudTrail recorded.

use jiff::Timestamp;
use serde_json::Value;

use super::call::{cause_of, recorded_call};
use super::item::Item;
use super::reason::{IgnoreReason, RejectReason};
use super::record::{arn_of, check_scope, creator};
use crate::domain::arn::{KinesisArn, Scope, StreamArn, StreamName};
use crate::domain::cause::{CREATE, Cause, WAKING_CALLS};
use crate::domain::text::EventText;
use crate::domain::work::Work;

/// A Kinesis call that CloudTrail recorded.
pub(super) fn kinesis_call(event: &Value, own: &Scope, now: Timestamp) -> Item {
    let (detail, name, call) = match recorded_call(event, "kinesis") {
        Ok(recorded) => recorded,
        Err(item) => return item,
    };
    if detail.get("readOnly").and_then(Value::as_bool) == Some(true) {
        return Item::Ignored(IgnoreReason::ReadOnly(call));
    }
    if !WAKING_CALLS.contains(&name) {
        return Item::Ignored(IgnoreReason::OtherCall(call));
    }
    let tags_a_resource = matches!(name, "TagResource" | "UntagResource");
    if let Err(reason) = check_scope(event, detail, own) {
        return Item::Rejected(reason);
    }
    let parameters = detail.get("requestParameters").unwrap_or(&Value::Null);
    let stream = match named_stream(parameters, tags_a_resource, &call, own) {
        Ok(Named::Stream(stream)) => stream,
        Ok(Named::Other(why)) => return Item::Ignored(why),
        Err(reason) => return Item::Rejected(reason),
    };
    let creator = (name == CREATE).then(|| creator(detail));
    let cause = Cause { creator, ..cause_of(event, detail, call, now) };
    Item::Reconcile(Box::new(Work::new(stream, cause, now)))
}

/// What a call's parameters name.
enum Named {
    /// A stream of ours.
    Stream(StreamArn),
    /// A resource that nothing follows from, and why.
    Other(IgnoreReason),
}

/// What a call's parameters name. Every name that is given must agree with the others.
fn named_stream(
    parameters: &Value,
    tags_a_resource: bool,
    call: &EventText,
    own: &Scope,
) -> Result<Named, RejectReason> {
    let fields: [&'static str; 2] =
        if tags_a_resource { ["resourceARN", "resourceArn"] } else { ["streamARN", "streamArn"] };
    let mut stream: Option<StreamArn> = None;
    if let Some((field, value)) = arn_of(parameters, fields)? {
        let illegal = || RejectReason::IllegalName(field, EventText::new(value.as_str().unwrap_or("(not text)")));
        match KinesisArn::parse(value.as_str().unwrap_or_default()).ok_or_else(illegal)? {
            KinesisArn::Consumer => return Ok(Named::Other(IgnoreReason::Consumer)),
            // Tags of a channel, say, of which this version need not know more.
            KinesisArn::Other(kind) if tags_a_resource => return Ok(Named::Other(IgnoreReason::OtherResource(kind))),
            KinesisArn::Other(_) => return Err(illegal()),
            KinesisArn::Stream(arn) if arn.scope != *own => {
                return Err(RejectReason::Foreign(field, EventText::new(&arn.to_string())));
            }
            KinesisArn::Stream(arn) => stream = Some(arn),
        }
    }
    if !tags_a_resource && let Some(value) = parameters.get("streamName").filter(|v| !v.is_null()) {
        let illegal =
            || RejectReason::IllegalName("streamName", EventText::new(value.as_str().unwrap_or("(not text)")));
        let name = value.as_str().and_then(StreamName::parse).ok_or_else(illegal)?;
        match &stream {
            Some(arn) if arn.name != name => return Err(disagreement(name.as_str(), arn)),
            _ => stream = Some(own.stream(name)),
        }
    }
    stream.map(Named::Stream).ok_or_else(|| RejectReason::NoStream(call.clone()))
}

fn disagreement(name: &str, arn: &StreamArn) -> RejectReason {
    RejectReason::Disagreement(EventText::new(name), EventText::new(&arn.to_string()))
}
