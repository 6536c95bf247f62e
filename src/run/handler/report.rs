//! What is reported of an item that leads to no run, in the log, as a note, and to whoever asked.

use tracing::{error, info, warn};

use super::App;
use super::answer::{Reported, Unhandled};
use crate::domain::event::item::{Fate, Rest};
use crate::domain::event::reason::{IgnoreReason, RejectReason};
use crate::domain::note::{Note, Outcome};
use crate::ports::{Clock, EvidenceSink};

impl<W: EvidenceSink + Clock> App<W> {
    pub(super) fn ignored(&self, why: &IgnoreReason) -> Reported {
        self.note(Outcome::Ignored, why.code(), &why.to_string())
    }

    pub(super) fn rejected(&self, why: &RejectReason) -> Reported {
        self.note(Outcome::Rejected, why.code(), &why.to_string())
    }

    /// More of a message that led to nothing: counted. Where they could not be read, the message fails.
    pub(super) fn rest(&self, Rest { fate, code, count }: Rest) -> Result<Reported, Unhandled> {
        let (outcome, counted) = match fate {
            Fate::Ignored => (Outcome::Ignored, count),
            Fate::Rejected => (Outcome::Rejected, count),
            // The failure itself is one of them.
            Fate::Malformed => (Outcome::Failed, count.saturating_sub(1)),
        };
        self.notes.count(outcome, code, counted);
        let note = Note {
            items: count,
            ..Note::new(outcome, code, &format!("{count} more items of the message"), self.world.now())
        };
        match fate {
            Fate::Ignored | Fate::Rejected => Ok(Reported::Other(note.to_json())),
            Fate::Malformed => Err(Unhandled::Malformed(note.detail.to_string())),
        }
    }

    pub(super) fn note(&self, outcome: Outcome, code: &'static str, detail: &str) -> Reported {
        let note = Note::new(outcome, code, detail, self.world.now());
        if self.notes.may_report(outcome, code) {
            match outcome {
                Outcome::Ignored => info!(reason = code, "ignored: {detail}"),
                Outcome::Rejected => warn!(reason = code, "rejected: {detail}"),
                Outcome::Queued | Outcome::Deferred | Outcome::Failed | Outcome::Lost(_) => {}
            }
            self.world.note(&note);
        }
        Reported::Other(note.to_json())
    }

    pub(super) fn unhandled(&self, unhandled: Unhandled) -> Unhandled {
        if self.notes.may_report(Outcome::Failed, unhandled.kind()) {
            error!(kind = unhandled.kind(), "{unhandled}");
            let (kind, words) = (unhandled.kind(), unhandled.to_string());
            self.world.note(&Note::new(Outcome::Failed, kind, &words, self.world.now()));
        }
        unhandled
    }
}
