//! The work message: what one run leaves for the next one, in the queue. Versioned, and read as strictly as events.
//!
//! It carries a pointer (which stream, why, since when, what is owed) and never the event or a decision: the next run
//! observes afresh.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arn::{KeyArn, Scope, StreamArn};
use super::bounds::{self, is_odd};
use super::cause::Cause;

/// The version that this code writes and the only one that it reads.
pub const VERSION: &str = "streamseal.work/v1";

/// Whether a key that a re-key of ours left has to be put back: at most once a cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// What one run leaves for the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The stream to look at.
    pub stream: StreamArn,
    /// `StreamCreationTimestamp` when it was seen first; a stream with another one is a new stream of the same name.
    pub created: Option<Timestamp>,
    /// What woke the first run.
    pub cause: Cause,
    /// When the first run began.
    pub first_seen: Timestamp,
    /// Where the deadline counts from: the first run, later by the times when the policy could not be used, or the look that is
    /// due for a quota.
    pub deadline_from: Timestamp,
    /// How many runs there were before.
    pub attempt: u32,
    /// Whether a run before may have started encryption without proving it.
    pub proof_owed: bool,
    /// The key before a re-key of ours, while it may have to be put back.
    pub previous_key: Option<KeyArn>,
    /// Whether that key has to be put back, since the one after it turned out unusable.
    pub put_back: PutBack,
    /// Whether a run before sent the Start that made the setting right.
    pub started: bool,
    /// When it was sent, or a later one of the same cause; a Start that puts a key back does not count. A key is put back soon after it
    /// only.
    pub started_at: Option<Timestamp>,
    /// Whether that moved the stream from one key to another.
    pub rekeyed: bool,
    /// Not before this time; an earlier arrival is sent on without a look.
    pub not_before: Option<Timestamp>,
    /// When the stream was seen ACTIVE first; settling counts from here.
    pub active_since: Option<Timestamp>,
    /// When the stream was first seen with the right setting, if a proof is still owed: a record that arrived later counts.
    pub right_since: Option<Timestamp>,
    /// When a Start was refused first with words that may mean a rate or the stream's quota.
    pub refused_since: Option<Timestamp>,
    /// When the stream was not found, without having been found again.
    pub not_found_since: Option<Timestamp>,
    /// How many times it was looked at again after a run that ended without certainty.
    pub looks: u32,
    /// How many times in a row the policy or the mode could not be read.
    pub unread: u32,
}

impl Work {
    /// Work that begins now, because of `cause`.
    pub fn new(stream: StreamArn, cause: Cause, now: Timestamp) -> Self {
        Self {
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
            looks: 0,
            unread: 0,
        }
    }

    /// The message's body.
    pub fn to_json(&self) -> String {
        let wire = Wire {
            streamseal: VERSION.to_owned(),
            stream_arn: self.stream.to_string(),
            stream_creation_timestamp: self.created,
            cause: self.cause.clone(),
            first_seen: self.first_seen,
            deadline_from: Some(self.deadline_from),
            attempt: self.attempt,
            proof_owed: self.proof_owed,
            previous_key: self.previous_key.as_ref().map(ToString::to_string),
            put_back: self.put_back,
            started: self.started,
            started_at: self.started_at,
            rekeyed: self.rekeyed,
            not_before: self.not_before,
            active_since: self.active_since,
            right_since: self.right_since,
            refused_since: self.refused_since,
            not_found_since: self.not_found_since,
            looks: self.looks,
            unread: self.unread,
        };
        // Only a map with keys that are not strings can fail here, and there is none.
        serde_json::to_string(&wire).unwrap_or_default()
    }

    /// Reads a message of ours.
    ///
    /// # Errors
    /// What is wrong with it, naming the field.
    pub fn parse(value: &serde_json::Value, own: &Scope, now: Timestamp) -> Result<Self, WorkError> {
        let wire = Wire::deserialize(value).map_err(|e| WorkError::Malformed(bounds::fault(&e)))?;
        if wire.streamseal != VERSION {
            return Err(WorkError::Malformed(format!(
                "field `streamseal`: version `{}` is not {VERSION}",
                bounds::fault(&wire.streamseal)
            )));
        }
        let stream = StreamArn::parse(&wire.stream_arn)
            .ok_or_else(|| WorkError::Malformed("field `stream_arn`: not the ARN of a stream".to_owned()))?;
        if stream.scope != *own {
            return Err(WorkError::Foreign);
        }
        // A time ahead of ours would keep the message going round, or a stream settling, for ever.
        let times = [
            ("first_seen", Some(wire.first_seen)),
            ("deadline_from", wire.deadline_from),
            ("not_before", wire.not_before),
            ("started_at", wire.started_at),
            ("active_since", wire.active_since),
            ("right_since", wire.right_since),
            ("refused_since", wire.refused_since),
            ("not_found_since", wire.not_found_since),
        ];
        for (field, time) in times {
            if time.is_some_and(|time| is_odd(time, now)) {
                return Err(WorkError::Malformed(format!("field `{field}`: {}", bounds::ODD)));
            }
        }
        // What was seen was not seen later than now, whatever another instance's clock said.
        let seen = |time: Timestamp| time.min(now);
        let previous_key = match wire.previous_key {
            None => None,
            Some(text) => Some(
                KeyArn::parse(&text)
                    .ok_or_else(|| WorkError::Malformed("field `previous_key`: not the ARN of a key".to_owned()))?,
            ),
        };
        Ok(Self {
            stream,
            // It is Kinesis's time, and tells a stream from a later one of its name: without it the next look says.
            created: wire.stream_creation_timestamp.filter(|created| !is_odd(*created, now)),
            cause: wire.cause.within_bounds(now),
            first_seen: seen(wire.first_seen),
            deadline_from: wire.deadline_from.unwrap_or(seen(wire.first_seen)),
            attempt: wire.attempt,
            proof_owed: wire.proof_owed,
            previous_key,
            put_back: wire.put_back,
            started: wire.started,
            started_at: wire.started_at.map(seen),
            rekeyed: wire.rekeyed,
            not_before: wire.not_before,
            active_since: wire.active_since.map(seen),
            right_since: wire.right_since.map(seen),
            refused_since: wire.refused_since.map(seen),
            not_found_since: wire.not_found_since.map(seen),
            looks: wire.looks,
            unread: wire.unread,
        })
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

/// What one run leaves for the next: a message of the work queue. It points at a stream and carries no decision.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(title = "Streamseal work message, version 1"))]
pub(crate) struct Wire {
    #[cfg_attr(feature = "schema", schemars(extend("const" = VERSION)))]
    streamseal: String,
    stream_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    stream_creation_timestamp: Option<Timestamp>,
    cause: Cause,
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    first_seen: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    deadline_from: Option<Timestamp>,
    #[serde(deserialize_with = "bounds::counter")]
    attempt: u32,
    proof_owed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_key: Option<String>,
    #[serde(default)]
    put_back: PutBack,
    #[serde(default)]
    started: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    started_at: Option<Timestamp>,
    #[serde(default)]
    rekeyed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    not_before: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    active_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    right_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    refused_since: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    not_found_since: Option<Timestamp>,
    #[serde(default, deserialize_with = "bounds::counter")]
    looks: u32,
    #[serde(default, deserialize_with = "bounds::counter")]
    unread: u32,
}
