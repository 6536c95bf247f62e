//! Evidence on its way out: one JSON line a document on standard output, which Lambda sends to CloudWatch Logs, and one
//! line of metrics beside it, more than one beside the summary of a scan.
//!
//! It may not fail and may not decide: what cannot be written is lost to the log, never to the queue.

use std::io::Write;

use jiff::Timestamp;

use crate::aws::Aws;
use crate::domain::evidence::{Evidence, emf};
use crate::domain::note::Note;
use crate::domain::scan::v1::Summary;
use crate::ports::EvidenceSink;

impl EvidenceSink for Aws {
    fn record(&self, evidence: &Evidence, document: &str) {
        line(document);
        line(&emf::of_evidence(evidence).to_string());
    }

    fn summary(&self, summary: &Summary, document: &str) {
        line(document);
        for metrics in emf::of_summary(summary) {
            line(&metrics.to_string());
        }
    }

    fn note(&self, note: &Note) {
        line(&note.to_json().to_string());
        line(&note.metrics(Timestamp::now()).to_string());
    }
}

/// One write a line, so that lines of concurrent runs do not mix.
fn line(text: &str) {
    // Nobody is left to know when standard output is gone.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
