//! What became of an item that led to no run, or of results that were not delivered: a line of the log.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::evidence::emf;
use super::hash::uuid;
use super::text::EventText;
use super::time::Time;

/// What became of an item that led to no run, or of results that were not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When that was.
    pub at: Timestamp,
    /// What became of it.
    pub outcome: Outcome,
    /// A stable word for why.
    pub reason: &'static str,
    /// Why, in words.
    pub detail: EventText,
    /// How many items it is about: more than one where they were too many to be reported one by one.
    pub items: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Acknowledged: nothing follows from it.
    Ignored,
    /// Acknowledged: it asked for what must not be done.
    Rejected,
    /// A scan that was put into its queue.
    Queued,
    /// Deferred until the policy can be used.
    Deferred,
    /// Not acknowledged.
    Failed,
    /// So many results may not have reached the bus. They are in the log, and nothing comes again.
    Lost(u64),
}

impl Outcome {
    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Rejected => "rejected",
            Self::Queued => "queued",
            Self::Deferred => "deferred",
            Self::Failed => "failed",
            Self::Lost(_) => "lost",
        }
    }
}

const NOTE_SCHEMA: &str = "streamseal.note/v1";

/// What became of an item that led to no run, or of results that were not delivered: a line of the log.
#[derive(Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Streamseal note, version 1"))]
pub(crate) struct NoteDocument<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("const" = NOTE_SCHEMA)))]
    schema: &'static str,
    /// The document's own id.
    id: String,
    time: Time,
    /// `ignored`, `rejected` and `queued`: acknowledged. `deferred`: until the policy can be used. `failed`: it comes again, or is a dead
    /// letter. `lost`: results that may not have reached the bus.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["ignored", "rejected", "queued", "deferred", "failed", "lost"])))]
    outcome: &'static str,
    /// Why, in a stable word; docs/metrics.md lists them by outcome.
    reason: &'static str,
    /// Why, in words.
    detail: &'a EventText,
    /// How many items it is about, where they were too many to be reported one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    items: Option<u64>,
    /// Of `lost`: how many results.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    results: Option<u64>,
}

impl Note {
    /// A note.
    pub fn new(outcome: Outcome, reason: &'static str, detail: &str, at: Timestamp) -> Self {
        Self { at, outcome, reason, detail: EventText::new(detail), items: 1 }
    }

    /// Its line of metrics.
    pub fn metrics(&self) -> Value {
        let at = self.at;
        match self.outcome {
            Outcome::Lost(results) => emf::of_lost(results, at),
            Outcome::Rejected => emf::of_rejected(self.reason, self.items, at),
            outcome => emf::of_note(outcome.as_str(), self.reason, self.items, at),
        }
    }

    /// Its JSON form, `streamseal.note/v1`.
    pub fn to_json(&self) -> Value {
        let results = match self.outcome {
            Outcome::Lost(results) => Some(results),
            Outcome::Ignored | Outcome::Rejected | Outcome::Queued | Outcome::Deferred | Outcome::Failed => None,
        };
        let document = NoteDocument {
            schema: NOTE_SCHEMA,
            id: uuid(&["note", self.outcome.as_str(), self.reason, self.detail.as_str(), &self.at.to_string()]),
            time: Time(self.at),
            outcome: self.outcome.as_str(),
            reason: self.reason,
            detail: &self.detail,
            items: (self.items > 1).then_some(self.items),
            results,
        };
        // Plain data: it always has a JSON form.
        serde_json::to_value(&document).unwrap_or_default()
    }
}
