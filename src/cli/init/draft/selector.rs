//! What the streams on one key have in common, and no stream on another key has.

use crate::domain::arn::StreamName;
use crate::domain::model::{Encryption, Tags};

/// So many streams are named one by one.
const NAMES_MAX: usize = 20;

/// One stream.
pub(crate) struct Stream {
    pub(crate) name: StreamName,
    pub(crate) encryption: Encryption,
    pub(crate) tags: Tags,
}

/// What a rule chooses its streams by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selector {
    /// A tag with one of these values.
    Tag(String, Vec<String>),
    /// The beginning of their names.
    Start(String),
    /// Their names.
    Names(Vec<String>),
}

impl Selector {
    /// Of the streams on one key; `elsewhere` are the ones that are encrypted with another.
    pub(super) fn of(on_it: &[&Stream], elsewhere: &[&Stream]) -> Option<Self> {
        let (first, rest) = on_it.split_first()?;
        let has = |stream: &Stream, name: &str, value: &str| stream.tags.get(name).is_some_and(|is| is == value);
        let tag = first.tags.iter().find(|(name, value)| {
            is_literal(value)
                && !name.starts_with("aws:")
                && rest.iter().all(|stream| has(stream, name, value))
                && !elsewhere.iter().any(|stream| has(stream, name, value))
        });
        if let Some((name, value)) = tag {
            return Some(Self::Tag(name.clone(), vec![value.clone()]));
        }
        let names = |streams: &[&Stream]| streams.iter().map(|s| s.name.to_string()).collect::<Vec<String>>();
        let names = (names(on_it), names(elsewhere));
        let start = start_of(&names.0).filter(|start| !names.1.iter().any(|name| name.starts_with(start.as_str())));
        match start {
            Some(start) => Some(Self::Start(start)),
            None => (on_it.len() <= NAMES_MAX).then_some(Self::Names(names.0)),
        }
    }

    /// As a rule has it.
    pub(super) fn text(&self) -> String {
        let list = |values: &[String]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
        match self {
            Self::Tag(name, values) => format!("tags: {{ {}: [{}] }}", quoted(name), list(values)),
            Self::Start(start) => format!("stream: [{}]", quoted(&format!("{start}*"))),
            Self::Names(names) => format!("stream: [{}]", list(names)),
        }
    }
}

/// The longest beginning that several names have in common and that ends with a separator.
fn start_of(names: &[String]) -> Option<String> {
    let (first, rest) = names.split_first()?;
    if rest.is_empty() {
        return None;
    }
    let ends = first.match_indices(['-', '_', '.']).map(|(at, separator)| at + separator.len());
    let starts = ends.filter_map(|end| first.get(..end));
    let mut common = starts.filter(|start| rest.iter().all(|name| name.starts_with(start)));
    common.next_back().map(str::to_owned)
}

/// Whether it stands for itself in a pattern.
fn is_literal(value: &str) -> bool {
    !value.is_empty() && !value.contains(['*', '?'])
}

/// Whether it may stand in `${tag:…}`, or come from it.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Text that YAML takes for text, whatever is in it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
