//! Evidence on its way out: one JSON line a document on standard output, which Lambda sends to CloudWatch Logs, and one
//! line of metrics beside it, more than one beside the summary of a scan.
//!
//! It may not fail and may not decide: what cannot be written is lost to the log, never to the queue.

use std::io::Write;
use std::sync::PoisonError;

use jiff::Timestamp;
use tracing::warn;

use crate::aws::Aws;
use crate::domain::cause::Cause;
use crate::domain::evidence::guard::Guard;
use crate::domain::evidence::{Evidence, emf};
use crate::domain::note::Note;
use crate::domain::scan::v1::Summary;
use crate::ports::EvidenceSink;

impl EvidenceSink for Aws {
    fn record(&self, evidence: &Evidence, document: &str) {
        line(document);
        line(&emf::of_evidence(evidence).to_string());
        if let Some(key) = evidence.guard.as_ref().and_then(Guard::broken_on) {
            line(&emf::of_broken(key, evidence.finished_at).to_string());
        }
        self.goes_by(&evidence.policy_digest, &evidence.cause);
    }

    fn summary(&self, summary: &Summary, document: &str) {
        line(document);
        for metrics in emf::of_summary(summary) {
            line(&metrics.to_string());
        }
        self.goes_by(&summary.policy_digest, &summary.scan.cause);
    }

    fn note(&self, note: &Note) {
        line(&note.to_json().to_string());
        line(&note.metrics(Timestamp::now()).to_string());
    }
}

impl Aws {
    /// Counts the first document by another policy.
    fn goes_by(&self, digest: &str, cause: &Cause) {
        if self.reported.lock().unwrap_or_else(PoisonError::into_inner).changes(digest, cause) {
            warn!(digest, cause = %cause.call, "the policy is another one than before");
            line(&emf::of_policy_change(Timestamp::now()).to_string());
        }
    }
}

/// One write a line, so that lines of concurrent runs do not mix.
fn line(text: &str) {
    // Nobody is left to know when standard output is gone.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
