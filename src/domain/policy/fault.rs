//! What is wrong with a policy, and where.

use std::fmt;

use serde::Serialize;

/// Where something stands in the policy's text; both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong with a policy. Displayed as `12:5: rules[2].key: message (help)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyFault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What it is about, such as `rules[2].key`; empty for the document as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl PolicyFault {
    pub(crate) fn new(place: Place, path: impl Into<String>, flaw: Flaw) -> Self {
        let Flaw { message, help } = flaw;
        Self { line: place.line, column: place.column, path: path.into(), message, help }
    }
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_placed(f, self.line, self.column, &self.path, &self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// A message with its place before it.
pub(crate) fn write_placed(
    f: &mut fmt::Formatter<'_>,
    line: usize,
    column: usize,
    path: &str,
    message: &str,
) -> fmt::Result {
    write!(f, "{line}:{column}: ")?;
    if !path.is_empty() {
        write!(f, "{path}: ")?;
    }
    f.write_str(message)
}

/// What is wrong with one value, before it is known where that stands.
#[derive(Debug)]
pub(crate) struct Flaw {
    message: String,
    help: Option<String>,
}

impl Flaw {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}
