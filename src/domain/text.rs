//! Text that came from outside, safe to log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text from outside that is kept, in characters; the rest is cut and marked with `…`.
pub const EVENT_TEXT_MAX: usize = 200;
/// The same for AWS's own words about a call that it refused: which policy denied it stands at their end, behind two ARNs.
pub const SERVICE_TEXT_MAX: usize = 2_000;

/// Text that somebody else wrote (an event, an error message), escaped and cut so that it can go into a log line.
///
/// Only printable ASCII is kept as it is. Everything else is escaped as `\u{…}`: control characters forge log lines and
/// bidirectional marks make them read differently from what they say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventText(String);

impl EventText {
    /// Escapes and cuts `text`. Never longer than [`EVENT_TEXT_MAX`] characters and the mark.
    pub fn new(text: &str) -> Self {
        Self::cut_at(text, EVENT_TEXT_MAX)
    }

    /// The same for the words of AWS about a refused call: [`SERVICE_TEXT_MAX`] characters and the mark.
    pub fn of_service(text: &str) -> Self {
        Self::cut_at(text, SERVICE_TEXT_MAX)
    }

    fn cut_at(text: &str, most: usize) -> Self {
        let mut out = String::new();
        let mut length = 0;
        for character in text.chars() {
            let piece: String = if character == ' ' || character.is_ascii_graphic() {
                character.into()
            } else {
                character.escape_default().collect()
            };
            if length + piece.len() > most {
                out.push('…');
                break;
            }
            length += piece.len();
            out.push_str(&piece);
        }
        // A text that went through here before carries the mark itself, and must come out the same.
        if let Some(head) = text.strip_suffix('…')
            && head.chars().all(|c| c == ' ' || c.is_ascii_graphic())
            && head.len() <= most
        {
            out = text.to_owned();
        }
        Self(out)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for EventText {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl fmt::Display for EventText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_events_is_escaped_and_cut() {
        assert_eq!(EventText::new("plain text").as_str(), "plain text");
        assert_eq!(EventText::new("a\nb\u{202e}c").as_str(), "a\\nb\\u{202e}c");
        let long = EventText::new(&"x".repeat(5000));
        assert_eq!(long.as_str().chars().count(), EVENT_TEXT_MAX + 1);
        assert!(long.as_str().ends_with('…'));
        assert_eq!(EventText::new(long.as_str()), long, "escaping twice changes nothing");
        assert!(EventText::new(&"\u{1F600}".repeat(5000)).as_str().len() < 300);
        let long = EventText::of_service(&"x".repeat(5000));
        assert_eq!(long.as_str().chars().count(), SERVICE_TEXT_MAX + 1);
        assert_eq!(EventText::of_service(long.as_str()), long);
        assert_eq!(EventText::of_service("a\nb").as_str(), "a\\nb", "escaped as any other");
    }
}
