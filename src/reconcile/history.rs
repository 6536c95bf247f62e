//! What an instance knows of CloudTrail's history: read at most once a minute, and what it started itself, which the history
//! shows minutes later. Losing it costs two requests.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::failure::Failure;
use crate::domain::history::{Change, ChangeKind, HISTORY, SETTLED_AFTER};
use crate::domain::model::{EventText, StreamName};
use crate::ports::{CallLog, World};

/// How old the history may be that is weighed; CloudTrail allows two requests a second for the whole account (CloudTrail API
/// reference, LookupEvents).
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// The history, shared by the runs of one instance.
#[derive(Debug, Default)]
pub struct History {
    read: Mutex<Option<(Timestamp, Arc<Vec<Change>>)>>,
    ours: Mutex<Vec<Change>>,
}

impl History {
    /// The changes of the last day: as CloudTrail tells them, and those of this instance.
    pub(super) async fn changes<W: World>(&self, world: &W, log: &CallLog) -> Result<Vec<Change>, Failure> {
        let now = world.now();
        let kept = self.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = match kept {
            Some((at, changes)) if now.duration_since(at) < AGE_MAX => changes,
            Some(_) | None => {
                let changes = Arc::new(world.changes(now - HISTORY, log).await?);
                *self.read.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&changes)));
                changes
            }
        };
        let mut changes = read.as_ref().clone();
        changes.extend(self.ours.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        Ok(changes)
    }

    /// A Start of ours, sent at `at`.
    pub(super) fn started(&self, stream: &StreamName, role: &str, at: Timestamp) {
        let mut ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        ours.retain(|change| at.duration_since(change.at) < SETTLED_AFTER * 2);
        // In whole seconds, as the history tells it.
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        let (kind, role, actor) = (ChangeKind::Start, Some(role.to_owned()), EventText::new(role));
        ours.push(Change { at, kind, stream: stream.clone(), key: None, role, actor });
    }
}
