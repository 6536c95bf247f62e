//! What an audit lacks, and what came of verifying it: plain data.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::arn::StreamArn;
use crate::domain::time::Time;

/// Why a Region was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The call, the code and the service's words.
    pub(super) why: String,
    /// What to do.
    pub(super) help: Option<String>,
    /// Whether it may be over with the next try.
    pub(super) passes: bool,
}

/// Something that the audit lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// An account, or what could not be read.
    pub(super) what: String,
    pub(super) broken: Broken,
}

/// Why something is missing where somebody stopped the audit.
pub(super) const INTERRUPTED: &str = "not observed, since the audit was interrupted";

impl Lack {
    pub(super) fn interrupted(what: String) -> Self {
        Self { what, broken: Broken { why: INTERRUPTED.to_owned(), help: None, passes: false } }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"what": self.what, "why": self.broken.why})
    }
}

/// A stream that is wrong, and what was recorded of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) stream: StreamArn,
    pub(super) said: Said,
    pub(super) as_of: Timestamp,
}

/// What is said of a stream, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) compliance: &'static str,
    pub(super) reason: &'static str,
    pub(super) key: String,
}

/// What was observed to verify what was recorded.
#[derive(Debug, Default)]
pub(super) struct Verified {
    /// How many streams were observed.
    pub(super) streams: usize,
    pub(super) differences: Vec<Difference>,
    /// Those that could not be.
    pub(super) lacks: Vec<Lack>,
}

/// A stream that is not as it was recorded.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) suspect: Suspect,
    /// `None`: it is gone.
    pub(super) observed: Option<Said>,
}

impl Verified {
    pub(super) fn to_json(&self) -> Value {
        let said = |said: &Said| json!({"compliance": said.compliance, "reason": said.reason, "key": said.key});
        let difference = |Difference { suspect, observed }: &Difference| {
            json!({
                "arn": suspect.stream.to_string(), "as_of": Time(suspect.as_of), "recorded": said(&suspect.said),
                "observed": observed.as_ref().map(said),
            })
        };
        json!({
            "streams": self.streams,
            "differences": self.differences.iter().map(difference).collect::<Vec<_>>(),
            "lacks": self.lacks.iter().map(Lack::to_json).collect::<Vec<_>>(),
        })
    }

    /// In lines, for people.
    pub(super) fn lines(&self) -> String {
        let mut text = format!("verified: {} streams were observed, {} differ\n", self.streams, self.differences.len());
        for Difference { suspect, observed } in &self.differences {
            let words = |said: &Said| format!("{} ({}) on {}", said.compliance, said.reason, said.key);
            let now = observed.as_ref().map_or("it is gone".to_owned(), words);
            text +=
                &format!("  {}: {} as of {}; now {now}\n", suspect.stream, words(&suspect.said), Time(suspect.as_of));
        }
        for Lack { what, broken } in &self.lacks {
            text += &format!("  {what} could not be verified: {}\n", broken.why);
        }
        text
    }
}
