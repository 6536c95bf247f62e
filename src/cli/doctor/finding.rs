//! One thing that `doctor` observed: its state, and how to fix it.

use serde::Serialize;

use crate::cli::output::{BAD, FAINT, GOOD, ODD, advice, result, styled};
use crate::domain::arn::Scope;
use crate::domain::failure::{Class, Failure, Fault};

/// How to fix it.
pub(super) const REDEPLOY: &str = "deploy the stack again: sam build && sam deploy";

/// One thing that was observed.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) about: &'static str,
    pub(super) state: State,
    #[serde(rename = "detail")]
    pub(super) words: String,
    pub(super) fix: Option<String>,
}

/// How it stands with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Good,
    Fault,
    /// It could not be checked.
    Unknown,
}

impl Finding {
    pub(super) fn good(about: &'static str, words: impl Into<String>) -> Self {
        Self { about, state: State::Good, words: words.into(), fix: None }
    }

    pub(super) fn fault(about: &'static str, words: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about, state: State::Fault, words: words.into(), fix: Some(fix.into()) }
    }

    pub(super) fn unknown(about: &'static str, words: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about, state: State::Unknown, words: words.into(), fix: Some(fix.into()) }
    }

    /// A call of ours that failed says nothing of what it was to observe.
    pub(super) fn unobserved(about: &'static str, failure: &Failure, own: &Scope) -> Self {
        let words = format!("not checked: {} failed ({}): {}", failure.call, failure.code, failure.message);
        Self { about, state: State::Unknown, words, fix: advice(failure, Some(own), &[]) }
    }

    pub(super) fn print(&self) {
        let (style, word) = match self.state {
            State::Good => (GOOD, "ok"),
            State::Fault => (BAD, "FAULT"),
            State::Unknown => (ODD, "?"),
        };
        result(format_args!("{} {:<11} {}", styled(style, format_args!("{word:<5}")), self.about, self.words));
        if let Some(fix) = &self.fix {
            for line in fix.lines() {
                result(format_args!("      {}", styled(FAINT, line)));
            }
        }
    }
}

/// Whether a call failed since what it names is not there.
pub(super) fn is_absent(failure: &Failure) -> bool {
    matches!(failure.class, Class::Ignored | Class::Permanent(Fault::Request))
}
