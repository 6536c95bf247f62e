//! What a scan found, `streamseal.summary/v1`. Frozen like evidence: fields may be added, none is renamed, moved or given another
//! meaning.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Names, Scan, Subject};
use crate::domain::model::Mode;

/// The document's name and version.
pub const SCHEMA: &str = "streamseal.summary/v1";

/// A scan at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The scan with all that it counted.
    pub scan: Scan,
    /// When its last part ended.
    pub finished_at: Timestamp,
    /// The mode in force.
    pub mode: Mode,
    /// Where the policy came from.
    pub policy_source: String,
    /// The digest of its text.
    pub policy_digest: String,
    /// Rules whose exemption ends soon, with its last day.
    pub exemptions_ending: BTreeMap<String, Date>,
    /// The material of the key that was rotated, as KMS says it now.
    pub key_material: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    alarm: bool,
    scan: ScanWire<'a>,
    cause: Value,
    policy: Value,
    streams: Streams<'a>,
    wrong: Value,
    changes: Value,
    to_prove: u64,
    exemptions_ending: Vec<Value>,
    missed_by_events: Value,
    under_lost_key: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_unknown: Option<&'a str>,
    calls: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct ScanWire<'a> {
    id: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_event: Option<super::KeyEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<&'a str>,
    tool: &'static str,
    mode: Mode,
    asked_at: Timestamp,
    began_at: Option<Timestamp>,
    finished_at: Timestamp,
    parts: u32,
}

#[derive(Serialize)]
struct Streams<'a> {
    listed: u64,
    concerned: u64,
    by_compliance: &'a BTreeMap<String, u64>,
    by_rule: &'a BTreeMap<String, u64>,
    by_key: &'a BTreeMap<String, u64>,
}

/// The names, each with what there is to say of it under `what`, and how many more there are.
fn names(names: &Names, what: &str) -> Value {
    let told = names.names.iter().map(|(name, said)| json!({"stream": name, what: said})).collect::<Vec<_>>();
    json!({"count": names.count(), "streams": told, "more": names.more})
}

impl Summary {
    /// Whether somebody has to look: an event was lost, or records cannot be read.
    pub fn alarm(&self) -> bool {
        self.scan.tally.missed.count() > 0 || self.scan.tally.under_lost_key.count() > 0
    }

    /// Its JSON form.
    pub fn to_json(&self) -> Value {
        let Scan { id, subject, cause, asked, began, parts, tally, .. } = &self.scan;
        let (alias, key, key_event) = match subject {
            Subject::Fleet => (None, None, None),
            Subject::Alias(alias) => (Some(alias.as_str()), None, None),
            Subject::Key(key, event) => (None, Some(key.as_str()), Some(*event)),
        };
        let document = Document {
            schema: SCHEMA,
            alarm: self.alarm(),
            scan: ScanWire {
                id,
                kind: subject.kind(),
                alias,
                key,
                key_event,
                key_material_id: self.key_material.as_deref(),
                tool: concat!("streamseal/", env!("CARGO_PKG_VERSION")),
                mode: self.mode,
                asked_at: *asked,
                began_at: *began,
                finished_at: self.finished_at,
                parts: parts.saturating_add(1),
            },
            cause: json!({"call": cause.call, "event_id": cause.event_id, "actor": cause.actor, "at": cause.at}),
            policy: json!({"source": self.policy_source, "digest": self.policy_digest}),
            streams: Streams {
                listed: tally.listed,
                concerned: tally.streams,
                by_compliance: &tally.by_compliance,
                by_rule: &tally.by_rule,
                by_key: &tally.by_key,
            },
            wrong: names(&tally.wrong, "reason"),
            changes: json!({
                "handed_on": tally.candidates.iter().map(|candidate| &candidate.stream).collect::<Vec<_>>(),
                "withheld": names(&tally.withheld, "why"),
            }),
            to_prove: tally.to_prove,
            exemptions_ending: self
                .exemptions_ending
                .iter()
                .map(|(rule, until)| json!({"rule": rule, "until": until}))
                .collect(),
            missed_by_events: names(&tally.missed, "created_at"),
            under_lost_key: names(&tally.under_lost_key, "until"),
            history_unknown: tally.history_unknown.as_deref(),
            calls: &tally.calls,
        };
        // Plain data: it always has a JSON form.
        serde_json::to_value(&document).unwrap_or_default()
    }
}
