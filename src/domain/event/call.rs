//! Calls that CloudTrail recorded, as EventBridge delivers them.

use jiff::Timestamp;
use serde_json::Value;

use super::item::Item;
use super::reason::IgnoreReason;
use super::record::{actor, error_of, text};
use crate::domain::bounds::happened_at;
use crate::domain::cause::Cause;
use crate::domain::text::EventText;

/// What CloudTrail recorded of a call of `service` that took effect: the record, the call's name, and the same as text. A call of
/// another service by the same name, or one that failed, is what is returned instead.
pub(super) fn recorded_call<'a>(event: &'a Value, service: &str) -> Result<(&'a Value, &'a str, EventText), Item> {
    let Some(detail) = event.get("detail").filter(|d| d.is_object()) else {
        return Err(Item::malformed("field `detail` is not an object"));
    };
    let Some(name) = text(detail, "eventName") else {
        return Err(Item::malformed("field `detail.eventName` is missing"));
    };
    let call = EventText::new(name);
    let source = text(detail, "eventSource").unwrap_or_default();
    if !matches!(source.strip_prefix(service), Some(".amazonaws.com" | ".amazonaws.com.cn")) {
        return Err(Item::Ignored(IgnoreReason::OtherEvent(EventText::new(source), call)));
    }
    if let Some(code) = error_of(detail) {
        return Err(Item::Ignored(IgnoreReason::FailedCall(call, code)));
    }
    Ok((detail, name, call))
}

/// What woke us, of a call that CloudTrail recorded in an event.
pub(super) fn cause_of(event: &Value, detail: &Value, call: EventText, now: Timestamp) -> Cause {
    Cause {
        call,
        event_id: text(event, "id").map(EventText::new),
        actor: actor(detail),
        at: happened_at(text(detail, "eventTime").or_else(|| text(event, "time")), now),
        creator: None,
    }
}
