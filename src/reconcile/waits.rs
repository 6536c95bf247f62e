//! How long to pause before the next look, by what the instance has seen of such waits. How long is decided in `domain/wait.rs`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Run, until};
use crate::domain::model::{Observed, StreamStatus};
use crate::domain::wait::{Waits, pause};
use crate::ports::World;

/// What the runs of one instance have seen of waits.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// A new stream's, from its creation until it is ACTIVE.
    creating: Mutex<Waits>,
    /// From a Start's answer until it holds.
    updating: Mutex<Waits>,
}

impl<W: World> Run<'_, W> {
    /// The pause before the next look at a stream that is not as it should be yet.
    pub(super) fn pause_for(&mut self, now: Timestamp) -> Duration {
        let seen = &self.settings.paces.seen;
        let creating = self.after.as_ref().map(|s| &s.observed).filter(|seen| seen.status == StreamStatus::Creating);
        let (waits, from, since) = match (self.is_started(), creating) {
            (true, _) => (Some(&seen.updating), self.waiting_since, self.waiting_since),
            // Earlier runs have waited for it too.
            (false, Some(seen_so)) => (Some(&seen.creating), self.work.first_seen, seen_so.created),
            (false, None) => (None, self.waiting_since, self.waiting_since),
        };
        let expected = waits.and_then(|w| w.lock().unwrap_or_else(PoisonError::into_inner).expected());
        let (waited, since) = (until(from, now), until(since, now));
        pause(waited, since.max(waited), expected, self.dice.f64())
    }

    /// Learns from a look that shows the end of a wait. `right`: with the key that the run has set.
    pub(super) fn learn(&self, observed: &Observed, right: bool) {
        let Some(before) = self.after.as_ref().map(|setting| &setting.observed) else { return };
        let seen = &self.settings.paces.seen;
        let (waits, since) = match (&before.status, &observed.status) {
            (StreamStatus::Creating, StreamStatus::Active) => (&seen.creating, observed.created),
            (_, StreamStatus::Active) if self.is_started() && right && self.right_here.is_none() => {
                (&seen.updating, self.waiting_since)
            }
            _ => return,
        };
        let (not_before, at) = (until(since, before.at), until(since, observed.at));
        waits.lock().unwrap_or_else(PoisonError::into_inner).ended(not_before, at);
    }

    fn is_started(&self) -> bool {
        self.progress.as_ref().is_some_and(|progress| progress.started.is_some())
    }
}
