//! Commands of people and schedules, and our own messages.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::item::Item;
use super::reason::RejectReason;
use super::record::text;
use crate::domain::arn::{Scope, StreamArn, StreamName};
use crate::domain::cause::Cause;
use crate::domain::scan::subject::Subject;
use crate::domain::scan::{self, Scan};
use crate::domain::text::EventText;
use crate::domain::work::{self, Work, WorkError};

/// `{"action": "reconcile", "stream": "<name or ARN>", "prove": true}` or `{"action": "sweep"}`.
pub(super) fn command(value: &Value, own: &Scope, now: Timestamp) -> Item {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Command {
        action: String,
        stream: String,
        #[serde(default)]
        prove: bool,
    }
    match text(value, "action") {
        Some("reconcile") => {}
        Some("sweep") => return sweep(value, now),
        Some(other) => {
            let other = EventText::new(other);
            return Item::malformed(&format!("field `action`: unknown action `{other}`; use `reconcile` or `sweep`"));
        }
        None => return Item::malformed("field `action` must be text"),
    }
    let command = match Command::deserialize(value) {
        Ok(command) => command,
        Err(error) => return Item::malformed(&format!("command `reconcile`: {error}")),
    };
    let stream = match StreamName::parse(&command.stream) {
        Some(name) => own.stream(name),
        None => match StreamArn::parse(&command.stream) {
            Some(arn) if arn.scope == *own => arn,
            Some(arn) => return Item::Rejected(RejectReason::Foreign("stream", EventText::new(&arn.to_string()))),
            None => return Item::Rejected(RejectReason::IllegalName("stream", EventText::new(&command.stream))),
        },
    };
    let cause =
        Cause { call: EventText::new(&command.action), event_id: None, actor: None, at: Some(now), creator: None };
    let mut work = Work::new(stream, cause, now);
    work.proof_owed = command.prove;
    Item::Reconcile(Box::new(work))
}

/// `{"action": "sweep"}`; the Scheduler's context may stand beside it, and is not needed.
fn sweep(value: &Value, now: Timestamp) -> Item {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sweep {
        #[serde(rename = "action")]
        _action: String,
        #[serde(rename = "scheduleArn")]
        schedule: Option<EventText>,
        #[serde(rename = "scheduledTime")]
        _at: Option<Value>,
        #[serde(rename = "executionId")]
        execution: Option<EventText>,
        #[serde(rename = "attempt")]
        _attempt: Option<Value>,
    }
    match Sweep::deserialize(value) {
        Ok(Sweep { schedule, execution, .. }) => {
            let cause = Cause {
                call: EventText::new("sweep"),
                event_id: execution,
                actor: schedule,
                at: Some(now),
                creator: None,
            };
            Item::Scan(Box::new(Scan::new(Subject::Fleet, cause, now)))
        }
        Err(error) => Item::malformed(&format!("command `sweep`: {error}")),
    }
}

pub(super) fn scan_message(value: &Value, now: Timestamp) -> Item {
    match Scan::parse(value, now) {
        Ok(scan) => Item::Scan(Box::new(scan)),
        Err(why) => Item::malformed(&format!("scan message ({}): {why}", scan::VERSION)),
    }
}

pub(super) fn work_message(value: &Value, own: &Scope, now: Timestamp) -> Item {
    match Work::parse(value, own, now) {
        Ok(work) => Item::Reconcile(Box::new(work)),
        Err(WorkError::Foreign) => {
            let arn = EventText::new(text(value, "stream_arn").unwrap_or_default());
            Item::Rejected(RejectReason::Foreign("stream_arn", arn))
        }
        Err(WorkError::Malformed(why)) => Item::malformed(&format!("work message ({}): {why}", work::VERSION)),
    }
}
