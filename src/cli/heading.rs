//! What stands around the result of a command: whose streams these are and by what they are judged, and the command that comes next.

use std::sync::OnceLock;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::context::{Context, new_id};
use crate::config::Source;
use crate::domain::arn::Scope;
use crate::domain::model::Mode;
use crate::domain::time::Time;
use crate::ports::Clock;

/// Who says so.
pub(crate) const TOOL: &str = concat!("streamseal/", env!("CARGO_PKG_VERSION"));

/// Whose streams these are, where, and by what they are judged.
pub(crate) fn header(context: &Context, mode: Mode) -> String {
    header_by(context, Some(&context.config.policy), Some(mode))
}

/// The same where there may be no policy, or no mode that counts.
pub(crate) fn header_by(context: &Context, policy: Option<&Source>, mode: Option<Mode>) -> String {
    let Scope { account, region, .. } = &context.config.own;
    let policy = policy.map(|policy| format!(", policy {policy}")).unwrap_or_default();
    let mode = mode.map(|mode| format!(", mode {}", mode.as_str())).unwrap_or_default();
    format!("account {account}, Region {region}{policy}{mode}")
}

/// Whether the program takes a command line, for debug builds to try what they print.
pub(crate) static TAKES: OnceLock<fn(&str) -> bool> = OnceLock::new();

/// The one command that comes next, and what it is for. `given` are the options that say which streams and which policy.
pub(crate) fn next(given: &str, command: &str, does: &str) -> String {
    let command = format!("streamseal {command}{given}");
    debug_assert!(TAKES.get().is_none_or(|takes| takes(&command)), "{command}");
    format!("next: `{command}` {does}")
}

/// What every document of a command begins with.
pub(crate) fn document(context: &Context, schema: &str, fields: Value) -> Value {
    let head = json!({
        "schema": schema, "id": context.run_id, "time": Time(context.aws.now()), "tool": TOOL,
        "actor": context.config.runner.actor,
    });
    joined(head, fields)
}

/// The same of a document that may be made without a connection, and may be one of several.
pub(crate) fn offline_document(schema: &str, fields: Value) -> Value {
    joined(json!({"schema": schema, "id": new_id(), "time": Time(Timestamp::now()), "tool": TOOL}), fields)
}

fn joined(head: Value, fields: Value) -> Value {
    let of = |value| if let Value::Object(fields) = value { fields } else { Map::new() };
    Value::Object(of(head).into_iter().chain(of(fields)).collect())
}
