//! Where the streams of an audit go that may have any number: written at once, counted, and only some of those that are wrong kept.

use super::filter::Filter;
use super::found::Suspect;
use super::outputs::Outputs;
use super::report::{Region, Row, count};
use super::totals::{Counts, Totals};
use super::without;
use crate::cli::output::Stop;
use crate::domain::evidence::Evidence;
use crate::domain::verdict::Compliance;

/// So many streams of each kind that is wrong are kept, for the table.
const KEPT: u64 = 100;

#[derive(Debug)]
pub(super) struct Sink<'a> {
    outputs: &'a mut Outputs,
    filter: &'a Filter,
    has_policy: bool,
    written: Totals,
    /// How many streams are in Regions.
    kept: Counts,
    /// So many are to be verified.
    verify: usize,
    /// Those with an alarm, and the others.
    suspects: [Vec<Suspect>; 2],
}

impl<'a> Sink<'a> {
    /// `verify`: so many of the worst streams are remembered.
    pub(super) fn new(outputs: &'a mut Outputs, (filter, has_policy): (&'a Filter, bool), verify: usize) -> Self {
        let (written, kept) = (Totals::default(), Counts::default());
        Self { outputs, filter, has_policy, written, kept, verify, suspects: [Vec::new(), Vec::new()] }
    }

    /// Takes a stream of this Region.
    pub(super) fn take(&mut self, region: &mut Region, mut evidence: Evidence) -> Result<(), Stop> {
        if !self.has_policy {
            without::leave_out_rule(&mut evidence);
        }
        let rule = evidence.rule.as_ref().map(|(_, name)| name.as_str());
        if !self.filter.observes(&evidence.stream.name) || !self.filter.is_about(rule) {
            return Ok(());
        }
        if self.filter.lists(&evidence) {
            let pushed = self.outputs.push(&evidence);
            pushed.map_err(|error| Stop::failure(format!("a row cannot be written: {error}")))?;
        }
        let compliance = evidence.verdict.compliance;
        if compliance == Compliance::NonCompliant {
            self.suspect(&evidence);
        }
        let is_shown = matches!(compliance, Compliance::NonCompliant | Compliance::InsufficientData);
        if is_shown && self.kept.of(compliance) < KEPT {
            self.kept.add(compliance);
            region.streams.push(evidence);
        } else {
            count(&mut self.written, &evidence);
            region.written += 1;
        }
        Ok(())
    }

    fn suspect(&mut self, evidence: &Evidence) {
        let [alarms, others] = &mut self.suspects;
        let place = if evidence.verdict.alarm { alarms } else { others };
        if place.len() < self.verify {
            let row = Row::new(evidence);
            place.push(Suspect { stream: evidence.stream.clone(), said: row.said(), as_of: row.as_of.0 });
        }
    }

    /// What was counted, and the worst streams.
    pub(super) fn end(self) -> (Totals, Vec<Suspect>) {
        let suspects = self.suspects.into_iter().flatten().take(self.verify).collect();
        (self.written, suspects)
    }
}
