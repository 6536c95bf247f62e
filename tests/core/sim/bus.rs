//! The event bus that results go to: what arrived, and what was refused entry by entry. It watches that nothing is sent that was
//! not written before.

use std::collections::{BTreeSet, HashSet};

use streamseal::domain::bus::{BYTES_MAX, ENTRIES_MAX, ResultEvent};
use streamseal::domain::evidence::v1;
use streamseal::domain::failure::{Class, Failure};
use streamseal::domain::note::Outcome;
use streamseal::ports::ResultBus;

use super::{Op, SAYS, Sim, State, failed};

/// The bus and what there is to know of it.
#[derive(Debug, Default)]
pub(crate) struct Bus {
    /// In the order of arrival; twice where the answer was lost.
    pub(crate) arrived: Vec<ResultEvent>,
    /// Requests, by the number of their entries.
    pub(crate) requests: Vec<usize>,
    /// What the next request says of its entries, by their place in it.
    pub(crate) refusals: Vec<(usize, Class)>,
    /// Documents that the log has.
    pub(crate) written: HashSet<String>,
    /// Invocations that were not killed.
    pub(crate) ended: BTreeSet<String>,
}

impl State {
    fn take(&mut self, entries: &[ResultEvent]) -> Vec<Result<(), Failure>> {
        let bytes: usize = entries.iter().map(ResultEvent::size).sum();
        assert!((1..=ENTRIES_MAX).contains(&entries.len()) && bytes <= BYTES_MAX, "EventBridge refuses this request");
        for entry in entries {
            assert!(self.bus.written.contains(&entry.detail), "sent and not in the log: {}", entry.detail);
        }
        self.bus.requests.push(entries.len());
        let refusals = std::mem::take(&mut self.bus.refusals);
        let answer = |(place, entry): (usize, &ResultEvent)| {
            let scripted = refusals.iter().find(|(refused, _)| *refused == place).map(|(_, class)| *class);
            let by_chance = self.chance(self.weather.faults).then_some(Class::Retryable);
            match scripted.or(by_chance) {
                Some(class) => Err(Failure { class, ..failed(Op::Bus, "so", SAYS) }),
                None => {
                    self.bus.arrived.push(entry.clone());
                    Ok(())
                }
            }
        };
        entries.iter().enumerate().map(answer).collect()
    }

    /// How many results the function said may be lost.
    pub(crate) fn reported_lost(&self) -> u64 {
        let lost = |outcome| if let Outcome::Lost(results) = outcome { results } else { 0 };
        self.notes.iter().map(|note| lost(note.outcome)).sum()
    }

    /// Evidence of invocations that ended which did not arrive.
    pub(crate) fn missing(&self) -> Vec<String> {
        let arrived: HashSet<&String> = self.bus.arrived.iter().map(|event| &event.detail).collect();
        let ended = self.evidence.iter().filter(|evidence| self.bus.ended.contains(&evidence.run_id));
        let details = ended.map(|evidence| ResultEvent::of_evidence(evidence, &v1::document(evidence)).detail);
        details.filter(|detail| !arrived.contains(detail)).collect()
    }
}

impl ResultBus for Sim {
    async fn put_results(&self, entries: &[ResultEvent]) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.call(Op::Bus, "", "", None, |state, _, _| Ok(state.take(entries))).await
    }
}
