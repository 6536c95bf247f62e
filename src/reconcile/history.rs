//! What an instance knows of CloudTrail's history: read at most once a minute, by one run for all, and what it started itself, which
//! the history shows minutes later. Losing it costs two requests.

use std::sync::{Mutex, PoisonError};

use futures_util::lock;
use jiff::{SignedDuration, Timestamp};

use crate::domain::failure::Failure;
use crate::domain::history::{Change, ChangeKind, HISTORY, SETTLED_AFTER};
use crate::domain::model::{EventText, KeyIdentity, StreamName};
use crate::ports::{CallLog, World};

/// How old the history may be that is weighed; CloudTrail allows two requests a second for the whole account (CloudTrail API
/// reference, LookupEvents).
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// The history, shared by the runs of one instance.
#[derive(Debug, Default)]
pub struct History {
    /// Held while it is read, so that the runs of a batch do not all ask.
    read: lock::Mutex<Option<(Timestamp, Vec<Change>)>>,
    ours: Mutex<Vec<Change>>,
}

impl History {
    /// The changes of a stream in the last day: as CloudTrail tells them, and those of this instance. Read after `cause_at`, since
    /// what was read before it cannot show it.
    pub(super) async fn of<W: World>(
        &self,
        stream: &StreamName,
        cause_at: Option<Timestamp>,
        world: &W,
        log: &CallLog,
    ) -> Result<Vec<Change>, Failure> {
        let mut read = self.read.lock().await;
        let now = world.now();
        let fresh = |at: &Timestamp| now.duration_since(*at) < AGE_MAX && cause_at.is_none_or(|cause| *at > cause);
        if !read.as_ref().is_some_and(|(at, _)| fresh(at)) {
            // Of a history that is too long the newest will do.
            *read = Some((now, world.changes(now - HISTORY, log).await?.changes));
        }
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        let all = read.iter().flat_map(|(_, changes)| changes).chain(ours.iter());
        Ok(all.filter(|change| change.stream == *stream).cloned().collect())
    }

    /// A Start of ours, sent at `at`.
    pub(super) fn started(&self, stream: &StreamName, key: &KeyIdentity, role: &str, at: Timestamp) {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        ours.retain(|change| at.duration_since(change.at) < SETTLED_AFTER * 2);
        // In whole seconds, as the history tells it.
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let (key, role, actor) = (Some(EventText::new(key.as_str())), Some(role.to_owned()), EventText::new(role));
        ours.push(Change { at, kind: ChangeKind::Start, stream: stream.clone(), key, role, actor });
    }
}
