//! What changed between two audits, as a value, in words and in JSON.

use serde_json::{Value, json};

use crate::domain::arn::StreamArn;

/// What changed since then, by the streams' ARNs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Since {
    /// The file that the audit before is in, and when that audit ended.
    pub(super) source: String,
    pub(super) finished_at: String,
    /// Wrong now, and not then: or not there, or another stream of the same name.
    pub(super) new: Vec<StreamArn>,
    /// Wrong then, and not now.
    pub(super) fixed: Vec<StreamArn>,
    /// Wrong then and now.
    pub(super) unchanged: Vec<StreamArn>,
    /// Wrong then, and not known now.
    pub(super) unknown: Vec<StreamArn>,
    /// Wrong then, and not there any more.
    pub(super) gone: Vec<String>,
    /// Why a stream may be called new although it is not.
    pub(super) doubt: Option<String>,
}

impl Since {
    /// `2 new, 1 fixed, 10 unchanged`.
    pub(super) fn counts(&self) -> String {
        let always = [(self.new.len(), "new"), (self.fixed.len(), "fixed"), (self.unchanged.len(), "unchanged")];
        let some = [(self.unknown.len(), "not known now"), (self.gone.len(), "gone")];
        let some = some.into_iter().filter(|(count, _)| *count > 0);
        always.into_iter().chain(some).map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
    }

    /// For people: the counts, and the names of what changed.
    pub(super) fn text(&self) -> String {
        let mut text = format!("since {} ({}): {}\n", self.source, self.finished_at, self.counts());
        for (word, streams) in [("new", &self.new), ("fixed", &self.fixed)] {
            if !streams.is_empty() {
                text.push_str(&format!("  {word}: {}\n", names(streams)));
            }
        }
        text
    }

    pub(super) fn to_json(&self) -> Value {
        let arns = |streams: &[StreamArn]| streams.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "source": self.source, "finished_at": self.finished_at, "new": arns(&self.new), "fixed": arns(&self.fixed),
            "unchanged": arns(&self.unchanged), "unknown": arns(&self.unknown), "gone": self.gone, "doubt": self.doubt,
        })
    }
}

fn names(streams: &[StreamArn]) -> String {
    const NAMED_MAX: usize = 20;
    let named: Vec<&str> = streams.iter().take(NAMED_MAX).map(|stream| stream.name.as_str()).collect();
    let more = streams.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    named.join(", ") + &more
}
