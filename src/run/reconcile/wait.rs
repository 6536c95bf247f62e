//! Waiting between two observations: how long follows from what the instance has seen of new streams (`domain/wait.rs`).

use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;

use super::Run;
use crate::domain::bounds::until;
use crate::domain::model::{Observed, StreamStatus};
use crate::domain::plan::step::Condition;
use crate::domain::wait::{needs_patience, pause, pause_after_change};
use crate::ports::Clock;
use crate::run::paces::Paces;
use crate::run::session::Session;

impl<W: Clock> Run<'_, W> {
    /// Pauses before the next observation; `false` when this run has waited long enough.
    pub(super) async fn pause(&mut self, condition: Condition) -> bool {
        let now = self.world.now();
        let resume = condition.not_before().unwrap_or_else(|| now + self.pause_for(now));
        let Session { config, paces, has_queue, deadline, .. } = *self.session;
        if resume > condition.wait_limit(has_queue, self.wait_until, deadline) {
            return false;
        }
        if needs_patience(&self.state.work, self.state.has_started(), has_queue) {
            // Where others wait for their turn to observe, this one leaves it to them.
            let is_busy = Paces::is_busy(&paces.describes, self.world, Duration::ZERO);
            if is_busy || !paces.have_patience(now, resume, config.wait) {
                return false;
            }
        }
        if !self.state.has_started() {
            // What KMS said before the wait may not hold after it.
            self.observer.forget_keys().await;
        }
        self.world.sleep(until(now, resume)).await;
        true
    }

    /// The pause before the next observation of a stream that is not as it should be yet, by what the instance has seen of new streams.
    fn pause_for(&mut self, now: Timestamp) -> Duration {
        let spread = self.dice.f64();
        let last = self.state.after.as_ref().map(|setting| &setting.observed);
        match last.filter(|last| last.status == StreamStatus::Creating && !self.state.has_started()) {
            None => pause_after_change(until(self.waiting_since, now), spread),
            Some(last) => {
                let creating = self.session.paces.creating.lock().unwrap_or_else(PoisonError::into_inner);
                // Earlier runs have waited for it too.
                let waited = until(self.state.work.first_seen, now);
                pause(waited, until(last.created, now).max(waited), creating.expected(), spread)
            }
        }
    }

    /// Learns from a stream that was CREATING when this run observed it before.
    pub(super) fn learn(&self, observed: &Observed) {
        let before = self.state.after.as_ref().map(|setting| &setting.observed);
        if let Some(before) = before.filter(|before| before.status == StreamStatus::Creating)
            && observed.status == StreamStatus::Active
        {
            let mut creating = self.session.paces.creating.lock().unwrap_or_else(PoisonError::into_inner);
            creating.ended(until(observed.created, before.at), until(observed.created, observed.at));
        }
    }
}
