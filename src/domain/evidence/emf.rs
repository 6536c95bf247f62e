//! What CloudWatch counts: evidence and notes as lines of the Embedded Metric Format (CloudWatch user guide).
//!
//! Dimensions are bounded: compliance, reason and outcome, never a stream's name. The format is fixed by CloudWatch; the
//! names are what alarms are wired to.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Evidence;
use crate::domain::event::reason::FOREIGN_KEY;
use crate::domain::scan::subject::Subject;
use crate::domain::scan::v1::Summary;

/// The metrics' namespace.
pub const NAMESPACE: &str = "Streamseal";
/// Changes to a key that were found to break a stream: the guard reads this metric of its own before the next one.
pub const BROKEN: &str = "Broken";
/// Its dimension: keys are few.
pub const KEY: &str = "Key";

/// One evaluation of a stream: `Evaluations` by `Compliance`, and `Alarms` in all and by `Reason` where somebody has to act.
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

/// One scan that ended: `Scans` by `Kind`, `MissedByEvents` and `Alarms` in all, and after a sweep `Streams` by `Compliance`, which
/// takes a line each. One that was given up has not seen every stream: it counts as an alarm, and neither as a scan nor its streams.
pub fn of_summary(summary: &Summary) -> Vec<Value> {
    let scan = &summary.scan;
    let at = summary.finished_at.as_millisecond();
    let directives = [
        directive("Scans", json!([["Kind"]])),
        directive("MissedByEvents", json!([[]])),
        directive("Alarms", json!([[]])),
    ];
    let mut lines = vec![json!({
        "_aws": {"Timestamp": at, "CloudWatchMetrics": directives},
        "Kind": scan.subject.kind(),
        "Scans": u8::from(summary.gave_up.is_none()),
        "MissedByEvents": scan.tally.missed.count(),
        "Alarms": u8::from(summary.alarm()),
    })];
    if scan.subject == Subject::Fleet && summary.gave_up.is_none() {
        lines.extend(scan.tally.by_compliance.iter().map(|(compliance, streams)| {
            json!({
                "_aws": {"Timestamp": at, "CloudWatchMetrics": [directive("Streams", json!([["Compliance"]]))]},
                "Compliance": compliance,
                "Streams": streams,
            })
        }));
    }
    lines
}

/// So many items that led to no run: `Items` by `Outcome` and `Reason`.
pub fn of_note(outcome: &str, reason: &str, items: u64, at: Timestamp) -> Value {
    json!({
        "_aws": {
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [directive("Items", json!([["Outcome", "Reason"]]))],
        },
        "Outcome": outcome,
        "Reason": reason,
        "Items": items,
    })
}

/// The same of items that were rejected, and `Rejected` in all: those that only somebody who asks for what must not be done can cause, so that
/// an alarm may stand on it.
pub fn of_rejected(reason: &str, items: u64, at: Timestamp) -> Value {
    // A bus forwards the events of all keys of an account, also of those that the policy does not name (docs/many-accounts.md).
    let counted = if reason == FOREIGN_KEY { 0 } else { items };
    let directives = [directive("Items", json!([["Outcome", "Reason"]])), directive("Rejected", json!([[]]))];
    json!({
        "_aws": {"Timestamp": at.as_millisecond(), "CloudWatchMetrics": directives},
        "Outcome": "rejected",
        "Reason": reason,
        "Items": items,
        "Rejected": counted,
    })
}

/// The first document by another policy than before: `PolicyChanged` in all.
pub fn of_policy_change(at: Timestamp) -> Value {
    json!({
        "_aws": {"Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive("PolicyChanged", json!([[]]))]},
        "PolicyChanged": 1,
    })
}

/// A change to a key was found to break a stream: `Broken` in all and by `Key`.
pub fn of_broken(key: &str, at: Timestamp) -> Value {
    json!({
        "_aws": {"Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive(BROKEN, json!([[], [KEY]]))]},
        KEY: key,
        BROKEN: 1,
    })
}

/// Results that may not have reached the bus: `ResultsLost` in all.
pub fn of_lost(results: u64, at: Timestamp) -> Value {
    json!({
        "_aws": {"Timestamp": at.as_millisecond(), "CloudWatchMetrics": [directive("ResultsLost", json!([[]]))]},
        "ResultsLost": results,
    })
}

fn directive(metric: &str, dimensions: Value) -> Value {
    json!({"Namespace": NAMESPACE, "Dimensions": dimensions, "Metrics": [{"Name": metric, "Unit": "Count"}]})
}
