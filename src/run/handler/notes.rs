//! What becomes of items that lead to no run: the first of an invocation are reported one by one, the rest counted and reported together
//! at its end, so that no payload fills the log. The counts are exact, in the log and in the metrics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::domain::note::{Note, Outcome};
use crate::ports::{Clock, EvidenceSink};

/// How many are reported one by one, an invocation. A batch of ten messages (`template.yaml`) that are one event each stays far below it.
const REPORTED_MAX: usize = 30;

/// The notes of an invocation.
#[derive(Debug, Default)]
pub(super) struct Notes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    reported: usize,
    rest: BTreeMap<(Outcome, &'static str), u64>,
}

impl Notes {
    /// A new invocation begins.
    pub(super) fn begin(&self) {
        self.lock().reported = 0;
    }

    /// Whether one more may be reported by itself; otherwise it is counted.
    pub(super) fn may_report(&self, outcome: Outcome, reason: &'static str) -> bool {
        let mut inner = self.lock();
        if inner.reported < REPORTED_MAX {
            inner.reported += 1;
            return true;
        }
        drop(inner);
        self.count(outcome, reason, 1);
        false
    }

    /// Counts so many more.
    pub(super) fn count(&self, outcome: Outcome, reason: &'static str, more: u64) {
        if more == 0 {
            return;
        }
        let mut inner = self.lock();
        let count = inner.rest.entry((outcome, reason)).or_default();
        *count = count.saturating_add(more);
    }

    /// Reports those that were counted.
    pub(super) fn report_rest<W: EvidenceSink + Clock>(&self, world: &W) {
        for ((outcome, reason), count) in std::mem::take(&mut self.lock().rest) {
            let detail = format!("{count} more items, not listed individually");
            warn!(outcome = outcome.as_str(), reason, count, "{detail}");
            world.note(&Note { items: count, ..Note::new(outcome, reason, &detail, world.now()) });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
