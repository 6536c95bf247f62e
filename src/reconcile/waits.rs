//! How long to pause before the next look, by what the instance has seen of new streams. How long is decided in `domain/wait.rs`.

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;

use super::{Run, until};
use crate::domain::model::{Observed, StreamStatus};
use crate::domain::wait::{pause, pause_after_change};
use crate::ports::World;

impl<W: World> Run<'_, W> {
    /// The pause before the next look at a stream that is not as it should be yet.
    pub(super) fn pause_for(&mut self, now: Timestamp) -> Duration {
        let spread = self.dice.f64();
        let started = self.progress.as_ref().is_some_and(|progress| progress.started.is_some());
        let seen = self.after.as_ref().map(|setting| &setting.observed);
        match seen.filter(|seen| seen.status == StreamStatus::Creating && !started) {
            None => pause_after_change(until(self.waiting_since, now), spread),
            Some(seen) => {
                let creating = self.settings.paces.creating.lock().unwrap_or_else(PoisonError::into_inner);
                // Earlier runs have waited for it too.
                let waited = until(self.work.first_seen, now);
                pause(waited, until(seen.created, now).max(waited), creating.expected(), spread)
            }
        }
    }

    /// Learns from a look at a stream that was CREATING when this run looked before.
    pub(super) fn learn(&self, observed: &Observed) {
        let before = self.after.as_ref().map(|setting| &setting.observed);
        if let Some(before) = before.filter(|before| before.status == StreamStatus::Creating)
            && observed.status == StreamStatus::Active
        {
            let mut creating = self.settings.paces.creating.lock().unwrap_or_else(PoisonError::into_inner);
            creating.ended(until(observed.created, before.at), until(observed.created, observed.at));
        }
    }
}
