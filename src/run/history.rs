//! What an instance knows of CloudTrail's history: read at most once a minute, by one run for all, and what it started itself, which
//! the history shows minutes later. Losing it costs some requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::lock;
use jiff::{SignedDuration, Timestamp};

use super::paces::Paces;
use super::trail::{Limits, read, read_one};
use crate::domain::arn::{StreamArn, StreamName};
use crate::domain::failure::Unfinished;
use crate::domain::history::{Change, ChangeKind, HISTORY, Query, SETTLED_AFTER, Trail};
use crate::domain::model::KeyIdentity;
use crate::domain::text::EventText;
use crate::ports::{CallLog, Clock, TrailApi};

/// How old the history may be that is weighed.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// What one reading may cost: 200 records. Of all streams' calls, those that were refused are among them, and whoever makes many fills
/// them; of one stream's they are not.
const LIMITS: Limits = Limits { pages: 4, time: Duration::from_secs(10) };
/// A Start of this instance and the record of it are not further apart than this.
const SAME_START: SignedDuration = SignedDuration::from_secs(10);

/// The history, shared by the runs of one instance.
#[derive(Debug, Default)]
pub struct History {
    /// Held while it is read, so that the runs of a batch do not all ask, nor at once.
    known: lock::Mutex<Known>,
    ours: Mutex<Vec<Change>>,
}

/// What was read.
#[derive(Debug, Default)]
struct Known {
    of_every_stream: Option<Reading>,
    of_one: BTreeMap<StreamName, Reading>,
}

/// One reading.
#[derive(Debug)]
struct Reading {
    /// When it began.
    at: Timestamp,
    trail: Trail,
}

impl Reading {
    /// Whether it can be weighed at `now`, where it has to be made after `after`.
    fn is_fresh(&self, after: Option<Timestamp>, now: Timestamp) -> bool {
        now.duration_since(self.at) < AGE_MAX && after.is_none_or(|after| self.at >= after)
    }
}

impl History {
    /// The changes of a stream in the last day: as CloudTrail reports them, and those of this instance. Read no sooner than `after`.
    pub(crate) async fn of<W: TrailApi + Clock>(
        &self,
        stream: &StreamArn,
        after: Option<Timestamp>,
        world: &W,
        pace: (&Paces, Timestamp),
        log: &CallLog,
    ) -> Result<Trail, Unfinished> {
        let mut known = self.known.lock().await;
        let now = world.now();
        let every = match known.of_every_stream.take().filter(|reading| reading.is_fresh(after, now)) {
            Some(reading) => reading,
            None => Reading { at: now, trail: read(world, &Query::ALL, now - HISTORY, LIMITS, pace, log).await? },
        };
        let every = known.of_every_stream.insert(every);
        let mut trail = Trail { whole: every.trail.whole, ..Trail::default() };
        trail.add(every.trail.changes.iter().filter(|change| change.stream == stream.name));
        if !trail.whole {
            known.of_one.retain(|_, reading| reading.is_fresh(None, now));
            let one = match known.of_one.remove(&stream.name).filter(|reading| reading.is_fresh(after, now)) {
                Some(reading) => reading,
                None => {
                    let at = world.now();
                    Reading { at, trail: read_one(world, stream, at - HISTORY, pace, log).await? }
                }
            };
            trail.whole = one.trail.whole;
            trail.add(&one.trail.changes);
            known.of_one.insert(stream.name.clone(), one);
        }
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        for change in ours.iter().filter(|change| change.stream == stream.name) {
            let same = |reported: &Change| {
                let apart = reported.at.duration_since(change.at).abs();
                reported.kind == change.kind && reported.role == change.role && apart <= SAME_START
            };
            if !trail.changes.iter().any(same) {
                trail.changes.push(change.clone());
            }
        }
        Ok(trail)
    }

    /// The other streams than `but` that we started with this key since `since`, each with the time of the last Start, by what was read last
    /// of every stream.
    pub(crate) async fn ours_with(
        &self,
        key: &KeyIdentity,
        role: &str,
        but: &StreamName,
        since: Timestamp,
    ) -> BTreeMap<StreamName, Timestamp> {
        let is_it = |change: &&Change| {
            let is_ours = change.kind == ChangeKind::Start && change.role.as_deref() == Some(role);
            let is_with = change.key.as_ref().is_some_and(|it| it.as_str() == key.as_str());
            is_ours && is_with && change.stream != *but && change.at >= since
        };
        let known = self.known.lock().await;
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        let read = known.of_every_stream.iter().flat_map(|reading| &reading.trail.changes);
        let mut started = BTreeMap::new();
        for change in read.chain(ours.iter()).filter(is_it) {
            let last = started.entry(change.stream.clone()).or_insert(change.at);
            *last = change.at.max(*last);
        }
        started
    }

    /// A Start of ours without an answer had no effect: CloudTrail will not show it.
    pub(crate) fn had_no_effect(&self, stream: &StreamName, sent_since: Timestamp) {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        ours.retain(|change| change.stream != *stream || change.at.as_second() < sent_since.as_second());
    }

    /// A Start of ours, sent at `at`.
    pub(crate) fn started(&self, stream: &StreamName, key: &KeyIdentity, role: &str, at: Timestamp) {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        ours.retain(|change| at.duration_since(change.at) < SETTLED_AFTER * 2);
        // In whole seconds, as the history reports it.
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let (key, role, actor) = (Some(EventText::new(key.as_str())), Some(role.to_owned()), EventText::new(role));
        ours.push(Change { at, kind: ChangeKind::Start, stream: stream.clone(), key, role, actor });
    }
}
