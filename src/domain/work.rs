//! The work message: what one run leaves for the next one, in the queue. Versioned, and read as strictly as events.
//!
//! It carries a pointer (which stream, why, since when, what is owed) and never the event or a decision: the next run
//! observes afresh.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::arn::{KeyArn, Scope, StreamArn};
use super::bounds::{self, is_odd};
use super::cause::Cause;
use super::plan::guard::next::Next;
use super::plan::guard::watch::Watch;
use super::text::EventText;

/// The version that this code writes and the only one that it reads.
pub const VERSION: &str = "streamseal.work/v1";

/// Whether a key that a re-key of ours left has to be put back: at most once a cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PutBack {
    /// No.
    #[default]
    No,
    /// Yes, by the next run.
    Due,
    /// It was, and is not a second time.
    Done,
}

/// What one run leaves for the next: a message of the work queue. It points at a stream and carries no decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Streamseal work message, version 1"))]
pub struct Work {
    /// The message's version.
    #[cfg_attr(feature = "schema", schemars(extend("const" = VERSION)))]
    pub streamseal: String,
    /// The stream to observe.
    #[serde(rename = "stream_arn", deserialize_with = "stream_arn")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub stream: StreamArn,
    /// `StreamCreationTimestamp` when it was seen first; a stream with another one is a new stream of the same name.
    #[serde(rename = "stream_creation_timestamp", default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub created: Option<Timestamp>,
    /// What woke the first run.
    pub cause: Cause,
    /// When the first run began.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub first_seen: Timestamp,
    /// Where the deadline counts from: the first run, later by the times when the policy could not be used, or the observation that is
    /// due for a quota.
    #[serde(default = "bounds::unset", deserialize_with = "bounds::time", skip_serializing_if = "bounds::is_unset")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub deadline_from: Timestamp,
    /// How many runs there were before.
    #[serde(deserialize_with = "bounds::counter")]
    pub attempt: u32,
    /// Whether a run before may have started encryption without proving it.
    pub proof_owed: bool,
    /// The key before a re-key of ours, while it may have to be put back.
    #[serde(default, deserialize_with = "previous_key", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub previous_key: Option<KeyArn>,
    /// Whether that key has to be put back, since the one after it turned out unusable.
    #[serde(default)]
    pub put_back: PutBack,
    /// Whether a run before sent the Start that made the setting right.
    #[serde(default)]
    pub started: bool,
    /// When it was sent, or a later one of the same cause; a Start that puts a key back does not count. A key is put back soon after it
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub started_at: Option<Timestamp>,
    /// Whether that moved the stream from one key to another.
    #[serde(default)]
    pub rekeyed: bool,
    /// Not before this time; an earlier arrival is handed over without an observation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub not_before: Option<Timestamp>,
    /// When the stream was seen ACTIVE first; settling counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub active_since: Option<Timestamp>,
    /// When the stream was first seen with the right setting, if a proof is still owed: a record that arrived later counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub right_since: Option<Timestamp>,
    /// When a Start was refused first with words that may mean a rate or the stream's quota.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub refused_since: Option<Timestamp>,
    /// When the stream was not found, without having been found again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub not_found_since: Option<Timestamp>,
    /// How many times it was observed again after a run that ended without certainty.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub reruns: u32,
    /// How many times in a row the policy or the mode could not be read.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub unread: u32,
    /// The reason of the last alarm about this work: the same one is no alarm again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub alarmed: Option<EventText>,
    /// Events about the stream that came with the cause, and that this work answers too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<EventText>,
    /// A change that is watched. Such a run changes nothing: it observes how the stream's users fare.
    #[serde(default, deserialize_with = "watch", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Watch"))]
    pub watch: Option<Watch>,
    /// The streams that follow this one, which may be none. Only work with this makes a change that has a guard.
    #[serde(default, deserialize_with = "next", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Next"))]
    pub next: Option<Next>,
}

fn watch<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Watch>, D::Error> {
    bounds::member("watch", from)
}

fn next<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Next>, D::Error> {
    bounds::member("next", from)
}

fn stream_arn<'de, D: Deserializer<'de>>(from: D) -> Result<StreamArn, D::Error> {
    bounds::member("stream_arn", from)
}

fn previous_key<'de, D: Deserializer<'de>>(from: D) -> Result<Option<KeyArn>, D::Error> {
    bounds::member("previous_key", from)
}

/// So many other events are named at most; a batch of SQS has ten messages (`template.yaml`).
pub const ALSO_MAX: usize = 10;

impl Work {
    /// Work that begins now, because of `cause`.
    pub fn new(stream: StreamArn, cause: Cause, now: Timestamp) -> Self {
        Self {
            streamseal: VERSION.to_owned(),
            stream,
            created: None,
            cause,
            first_seen: now,
            deadline_from: now,
            attempt: 0,
            proof_owed: false,
            previous_key: None,
            put_back: PutBack::No,
            started: false,
            started_at: None,
            rekeyed: false,
            not_before: None,
            active_since: None,
            right_since: None,
            refused_since: None,
            not_found_since: None,
            reruns: 0,
            unread: 0,
            alarmed: None,
            also: Vec::new(),
            watch: None,
            next: None,
        }
    }

    /// Work on a stream of a list: its change may be made, and then `next` follow.
    pub fn of_list(stream: StreamArn, next: Next, cause: Cause, now: Timestamp) -> Self {
        Self { next: Some(next), ..Self::new(stream, cause, now) }
    }

    /// Whether an event asks for it, and no scan and no person.
    pub fn is_by_event(&self) -> bool {
        self.next.is_none() && self.cause.event_id.is_some()
    }

    /// Whether it is as an event makes it: no run and no scan has observed the stream for it.
    pub fn is_of_an_event(&self) -> bool {
        let is_first = self.attempt == 0 && self.created.is_none() && self.not_before.is_none();
        is_first && self.next.is_none() && self.cause.event_id.is_some()
    }

    /// Whether it is a copy of `other`: two runs of one message each send the next one, where the answer of SQS to the first was lost.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        let is_same_run = self.first_seen == other.first_seen && self.attempt == other.attempt;
        let is_same_run = is_same_run && self.watch == other.watch && self.next == other.next;
        is_same_run && self.stream == other.stream && self.cause == other.cause && !self.is_of_an_event()
    }

    /// Adds what a copy owes: its run may have done more than the run of this one.
    pub fn join(&mut self, copy: Self) {
        self.created = self.created.or(copy.created);
        self.proof_owed |= copy.proof_owed;
        self.started |= copy.started;
        self.started_at = self.started_at.max(copy.started_at);
        self.rekeyed |= copy.rekeyed;
        self.previous_key = self.previous_key.take().or(copy.previous_key);
        // Once a cause: what was put back is not put back again.
        self.put_back = self.put_back.max(copy.put_back);
        self.right_since = self.right_since.max(copy.right_since);
        // What one of them has to do soon does not wait for the other.
        self.not_before = self.not_before.zip(copy.not_before).map(|(one, other)| one.min(other));
        self.alarmed = self.alarmed.take().or(copy.alarmed);
    }

    /// The message's body.
    pub fn to_json(&self) -> String {
        // Only a map with keys that are not strings can fail here, and there is none.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a message of ours.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn parse(value: &serde_json::Value, own: &Scope, now: Timestamp) -> Result<Self, WorkError> {
        let mut work = Self::deserialize(value).map_err(|e| WorkError::Malformed(bounds::fault(&e)))?;
        if work.streamseal != VERSION {
            let version = bounds::fault(&work.streamseal);
            return Err(WorkError::Malformed(format!("field `streamseal`: version `{version}` is not {VERSION}")));
        }
        if work.stream.scope != *own {
            return Err(WorkError::Foreign);
        }
        // It is Kinesis's time, and distinguishes a stream from a later one of its name: without it the next observation says.
        work.created = work.created.filter(|created| !is_odd(*created, now));
        work.cause = work.cause.within_bounds(now);
        work.also.truncate(ALSO_MAX);
        if bounds::is_unset(&work.deadline_from) {
            work.deadline_from = work.first_seen.min(now);
        }
        // A time ahead of ours would keep the message going round, or a stream settling, for ever.
        for (field, time) in [
            ("first_seen", Some(work.first_seen)),
            ("deadline_from", Some(work.deadline_from)),
            ("not_before", work.not_before),
            ("started_at", work.started_at),
            ("active_since", work.active_since),
            ("right_since", work.right_since),
            ("refused_since", work.refused_since),
            ("not_found_since", work.not_found_since),
        ] {
            if time.is_some_and(|time| is_odd(time, now)) {
                return Err(WorkError::Malformed(format!("field `{field}`: {}", bounds::ODD)));
            }
        }
        if let Some(Err(why)) = work.watch.as_ref().map(|watch| watch.check(now)) {
            return Err(WorkError::Malformed(format!("field `watch`: {why}")));
        }
        // What was seen was not seen later than now, whatever another instance's clock said.
        work.first_seen = work.first_seen.min(now);
        let Self { started_at, active_since, right_since, refused_since, not_found_since, .. } = &mut work;
        for past in [started_at, active_since, right_since, refused_since, not_found_since] {
            *past = past.map(|past| past.min(now));
        }
        Ok(work)
    }
}

/// Why a work message is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkError {
    /// It is not one of ours, or not of this version.
    Malformed(String),
    /// It names a stream of another account, Region or partition.
    Foreign,
}
