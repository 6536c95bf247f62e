//! What CloudWatch counts: evidence and notes as lines of the Embedded Metric Format (CloudWatch user guide).
//!
//! Dimensions are bounded: compliance, reason and outcome, never a stream's name. The format is fixed by CloudWatch; the
//! names are what alarms are wired to.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Evidence;

/// The metrics' namespace.
pub const NAMESPACE: &str = "Streamseal";

/// One evaluation of a stream: `Evaluations` by `Compliance`, and `Alarms` in all and by `Reason` where somebody has to look.
pub fn of_evidence(evidence: &Evidence) -> Value {
    let verdict = &evidence.verdict;
    let directives = [directive("Evaluations", json!([["Compliance"]])), directive("Alarms", json!([[], ["Reason"]]))];
    json!({
        "_aws": {"Timestamp": evidence.finished_at.as_millisecond(), "CloudWatchMetrics": directives},
        "Compliance": verdict.compliance.as_str(),
        "Reason": verdict.reason.as_str(),
        "Evaluations": 1,
        "Alarms": u8::from(verdict.alarm),
    })
}

/// One item that led to no run: `Items` by `Outcome` and `Reason`.
pub fn of_note(outcome: &str, reason: &str, at: Timestamp) -> Value {
    json!({
        "_aws": {
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [directive("Items", json!([["Outcome", "Reason"]]))],
        },
        "Outcome": outcome,
        "Reason": reason,
        "Items": 1,
    })
}

fn directive(metric: &str, dimensions: Value) -> Value {
    json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": [{"Name": metric, "Unit": "Count"}]})
}
