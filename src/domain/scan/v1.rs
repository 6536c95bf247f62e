//! What a scan found, `streamseal.summary/v1`. Frozen like evidence: fields may be added, none is renamed, moved or given another
//! meaning.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Scan;
use super::subject::Subject;
use super::tally::Names;
use crate::domain::arn::Scope;
use crate::domain::hash::uuid;
use crate::domain::model::Mode;
use crate::domain::runner::{Function, Runner};
use crate::domain::text::EventText;
use crate::domain::time::Time;

/// The document's name and version.
pub const SCHEMA: &str = "streamseal.summary/v1";

/// A scan at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The scan with all that it counted.
    pub scan: Scan,
    /// The account and Region.
    pub own: Scope,
    /// Who ran it.
    pub runner: Runner,
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
    /// Why it was given up before it had seen every stream.
    pub gave_up: Option<String>,
}

/// What a scan found: one line of the log at its end, and the detail of the event `Streamseal Scan Summary`.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(title = "Streamseal scan summary, version 1"))]
pub(crate) struct Document<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    schema: &'static str,
    /// The document's own id.
    id: String,
    /// When the scan ended.
    time: Time,
    /// Whether somebody has to act.
    alarm: bool,
    scan: ScanWire<'a>,
    cause: CauseWire<'a>,
    policy: Policy<'a>,
    streams: Streams<'a>,
    /// Streams that are not as they should be, or could not be determined.
    not_compliant: Listed<NotCompliant<'a>>,
    changes: Changes<'a>,
    /// Streams handed over to be proven.
    to_prove: u64,
    /// Rules whose exemption ends within two weeks.
    exemptions_ending: Vec<Ending<'a>>,
    /// New streams that no event had reported.
    missed_by_events: Listed<Missed<'a>>,
    /// Streams with records under the key that was lost.
    under_lost_key: Listed<UnderLostKey<'a>>,
    /// Why the scan was given up before it had seen every stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    gave_up: Option<&'a str>,
    /// Why `under_lost_key` could not be determined, or not of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    history_unknown: Option<&'a str>,
    /// Requests sent, by operation.
    calls: &'a BTreeMap<String, u64>,
}

/// The scan.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct ScanWire<'a> {
    /// Its own id: the same in each line and message of it.
    id: &'a str,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["sweep", "alias", "aliases", "key"])))]
    kind: &'static str,
    account: &'a str,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    alias: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "super::subject::KeyEvent"))]
    key_event: Option<super::subject::KeyEvent>,
    /// The material of the key that was rotated, as KMS says it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    key_material_id: Option<&'a str>,
    /// The program and its version.
    tool: &'static str,
    /// The role that ran it, where it is known.
    actor: Option<&'a str>,
    /// The function of the last part.
    function: Option<&'a Function>,
    mode: Mode,
    requested_at: Time,
    started_at: Option<Time>,
    finished_at: Time,
    /// How many invocations it took.
    parts: u32,
}

/// What asked for it.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct CauseWire<'a> {
    call: &'a EventText,
    event_id: Option<&'a EventText>,
    actor: Option<&'a EventText>,
    at: Option<Time>,
}

/// The policy.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Policy<'a> {
    source: &'a str,
    /// `sha256:` and the digest of its text.
    digest: &'a str,
}

/// How many streams there are.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Streams<'a> {
    /// All of the account and Region.
    listed: u64,
    /// Those that the scan is about.
    relevant: u64,
    /// Of those, by AWS Config's words.
    by_compliance: &'a BTreeMap<String, u64>,
    /// By rule.
    by_rule: &'a BTreeMap<String, u64>,
    /// By the key that they are on.
    by_key: &'a BTreeMap<String, u64>,
}

/// What a run goes on with.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Changes<'a> {
    /// Streams handed over to be changed.
    handed_over: Vec<&'a str>,
    /// Streams whose change has a guard, by the key that they are to get: one goes first, the others follow.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    guarded: Vec<Guarded<'a>>,
    /// Those that were not, since there were too many.
    withheld: Listed<Withheld<'a>>,
}

/// Streams that go one after the other.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Guarded<'a> {
    /// The key that they are to get.
    key: &'a str,
    /// Their names; the first goes first.
    streams: Vec<&'a str>,
}

/// A rule whose exemption ends.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Ending<'a> {
    rule: &'a str,
    /// Its last day, UTC.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Day"))]
    until: Date,
}

/// Streams by name, the first hundred, and how many there are.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Listed<T> {
    count: u64,
    streams: Vec<T>,
    /// How many are not in the list.
    more: u64,
}

/// A stream that is not as it should be, and the reason as in its evidence.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct NotCompliant<'a> {
    stream: &'a str,
    reason: &'a str,
}

/// A stream that was not handed over.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Withheld<'a> {
    stream: &'a str,
    why: &'a str,
}

/// A stream that was missed.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Missed<'a> {
    stream: &'a str,
    created_at: &'a str,
}

/// A stream with records under the lost key.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct UnderLostKey<'a> {
    stream: &'a str,
    /// When the last of them expires.
    until: &'a str,
}

fn listed<'a, T>(names: &'a Names, reported: impl Fn(&'a str, &'a str) -> T) -> Listed<T> {
    let streams = names.names.iter().map(|(name, said)| reported(name, said)).collect();
    Listed { count: names.count(), streams, more: names.more }
}

impl Summary {
    /// Whether somebody has to act: an event was lost, records cannot be read, or it was given up.
    pub fn alarm(&self) -> bool {
        let tally = &self.scan.tally;
        self.gave_up.is_some() || tally.missed.count() > 0 || tally.under_lost_key.count() > 0
    }

    /// Its JSON form.
    pub fn to_json(&self) -> Value {
        let Scan { id, subject, cause, requested_at, started_at, parts, tally, .. } = &self.scan;
        let (alias, key, key_event) = match subject {
            Subject::Fleet | Subject::Aliases => (None, None, None),
            Subject::Alias { alias } => (Some(alias.as_str()), None, None),
            Subject::Key { key, event } => (None, Some(key.as_str()), Some(*event)),
        };
        let document = Document {
            schema: SCHEMA,
            id: uuid(&[id, &self.finished_at.to_string()]),
            time: Time(self.finished_at),
            alarm: self.alarm(),
            scan: ScanWire {
                id,
                kind: subject.kind(),
                account: &self.own.account,
                region: &self.own.region,
                alias,
                key,
                key_event,
                key_material_id: self.key_material.as_deref(),
                tool: concat!("streamseal/", env!("CARGO_PKG_VERSION")),
                actor: self.runner.actor.as_deref(),
                function: self.runner.function.as_ref(),
                mode: self.mode,
                requested_at: Time(*requested_at),
                started_at: started_at.map(Time),
                finished_at: Time(self.finished_at),
                parts: parts.saturating_add(1),
            },
            cause: CauseWire {
                call: &cause.call,
                event_id: cause.event_id.as_ref(),
                actor: cause.actor.as_ref(),
                at: cause.at.map(Time),
            },
            policy: Policy { source: &self.policy_source, digest: &self.policy_digest },
            streams: Streams {
                listed: tally.listed,
                relevant: tally.streams,
                by_compliance: &tally.by_compliance,
                by_rule: &tally.by_rule,
                by_key: &tally.by_key,
            },
            not_compliant: listed(&tally.not_compliant, |stream, reason| NotCompliant { stream, reason }),
            changes: Changes {
                handed_over: tally.candidates.iter().map(|candidate| candidate.stream.as_str()).collect(),
                guarded: tally
                    .guarded
                    .iter()
                    .map(|(key, list)| Guarded { key, streams: list.iter().map(|(_, name)| name.as_str()).collect() })
                    .collect(),
                withheld: listed(&tally.withheld, |stream, why| Withheld { stream, why }),
            },
            to_prove: tally.to_prove,
            exemptions_ending: self
                .exemptions_ending
                .iter()
                .map(|(rule, until)| Ending { rule, until: *until })
                .collect(),
            missed_by_events: listed(&tally.missed, |stream, created_at| Missed { stream, created_at }),
            under_lost_key: listed(&tally.under_lost_key, |stream, until| UnderLostKey { stream, until }),
            gave_up: self.gave_up.as_deref(),
            history_unknown: tally.history_unknown.as_deref(),
            calls: &tally.calls,
        };
        // Plain data: it always has a JSON form.
        serde_json::to_value(&document).unwrap_or_default()
    }
}
