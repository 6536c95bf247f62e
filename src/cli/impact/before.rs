//! Who would lose access by a plan of `seal`, said before anything is changed.

use indicatif::ProgressBar;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::gather::{Asked, Depth, reports};
use crate::cli::context::Context;
use crate::cli::output::{BAD, GOOD, ODD, STRONG, styled};
use crate::domain::arn::{KeyRef, StreamArn};
use crate::domain::impact::report::{Counts, Outcome, Report};
use crate::domain::plan::situation::Keys;
use crate::run::reconcile::preview::Preview;

/// As `impact` does where nothing is said.
const DEPTH: Depth = Depth { since: SignedDuration::from_mins(30), deep: false };

/// What a plan would take from whom.
pub(crate) struct Before {
    reports: Vec<Report>,
    /// Why it was not checked.
    unchecked: Option<String>,
}

impl Before {
    /// Checks these streams, each as the plan has it.
    pub(crate) async fn check<'a>(
        context: &Context,
        changes: impl Iterator<Item = (&'a StreamArn, &'a Preview)>,
        bar: &ProgressBar,
    ) -> Self {
        let (mut asked, mut known) = (Vec::new(), Keys::new());
        for (stream, preview) in changes {
            // A stream that is not ready may have no key yet.
            let Some(key) = preview.desired.as_ref().and_then(|key| KeyRef::parse(key.as_str())) else { continue };
            let observed = preview.setting.as_ref().map(|setting| setting.observed.clone());
            asked.push(Asked { stream: stream.clone(), key, observed });
            known.extend(preview.keys.clone());
        }
        if asked.is_empty() {
            return Self { reports: Vec::new(), unchecked: None };
        }
        match reports(context, asked, &known, DEPTH, bar).await {
            Ok(reports) => Self { reports, unchecked: None },
            Err(stop) => Self { reports: Vec::new(), unchecked: Some(stop.words()) },
        }
    }

    /// How many principals would lose access, over all streams.
    pub(crate) fn losses(&self) -> usize {
        self.reports.iter().map(|report| report.counts().loses).sum()
    }

    /// One line a stream; none where nothing is changed.
    pub(crate) fn lines(&self) -> Vec<String> {
        if let Some(why) = &self.unchecked {
            return vec![styled(ODD, format_args!("who would lose access was not checked: {why}"))];
        }
        if self.reports.is_empty() {
            return Vec::new();
        }
        let line = |report: &Report| {
            let colour = match report.outcome() {
                Outcome::Loss => BAD,
                Outcome::Unknown => ODD,
                Outcome::NoLoss => GOOD,
            };
            format!("  {}: {}", report.stream.name, styled(colour, report.summary()))
        };
        let head = styled(STRONG, "who would lose access (`streamseal impact STREAM --key KEY` names them)");
        std::iter::once(head).chain(self.reports.iter().map(line)).collect()
    }

    /// The same of one stream, for machines.
    pub(crate) fn to_json(&self, stream: &StreamArn) -> Value {
        let Some(report) = self.reports.iter().find(|report| report.stream == *stream) else { return Value::Null };
        let Counts { loses, without, unknown, gains, keeps } = report.counts();
        json!({
            "outcome": report.outcome().as_str(), "loses": loses, "without": without, "unknown": unknown, "gains": gains,
            "keeps": keeps, "not_checked": report.not_checked.len(),
        })
    }
}
