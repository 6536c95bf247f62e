//! Text that came from outside, safe to log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text from outside that is kept, in bytes (of ASCII: characters); the rest is cut and marked with `…`.
pub const EVENT_TEXT_MAX: usize = 200;
/// The same for AWS's own words about a call that it refused: which policy denied it stands at their end, behind two ARNs.
pub const SERVICE_TEXT_MAX: usize = 2_000;

/// Text that somebody else wrote (an event, an error message), escaped and cut so that it can go into a log line.
///
/// Letters and signs of every script are kept as they are. What cannot be seen is escaped as `\u{…}`: control characters forge log lines,
/// and bidirectional marks make them read differently from what they say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventText(String);

impl EventText {
    /// Escapes and cuts `text`. Never longer than [`EVENT_TEXT_MAX`] bytes and the mark.
    pub fn new(text: &str) -> Self {
        Self::cut_at(text, EVENT_TEXT_MAX)
    }

    /// The same for the words of AWS about a refused call: [`SERVICE_TEXT_MAX`] bytes and the mark.
    pub fn of_service(text: &str) -> Self {
        Self::cut_at(text, SERVICE_TEXT_MAX)
    }

    fn cut_at(text: &str, most: usize) -> Self {
        let mut out = String::new();
        let mut length = 0;
        for character in text.chars() {
            let piece: String =
                if can_be_seen(character) { character.into() } else { character.escape_default().collect() };
            if length + piece.len() > most {
                out.push('…');
                break;
            }
            length += piece.len();
            out.push_str(&piece);
        }
        Self(out)
    }

    /// The escaped text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a character is seen as what it is, as Rust's tables of printable characters have it. An accent that stands behind its letter is.
fn can_be_seen(character: char) -> bool {
    if character.is_ascii() {
        return character == ' ' || character.is_ascii_graphic();
    }
    let behind_a_letter: String = ['a', character].into_iter().collect();
    behind_a_letter.escape_debug().eq(behind_a_letter.chars())
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
    fn letters_of_every_script_are_kept_and_what_cannot_be_seen_is_escaped() {
        for kept in ["Z\u{fc}rich", "Zu\u{308}rich", "東京", "नमस्ते", "שלום", "\u{1F600}", "a\"b'c\\d", "…"]
        {
            assert_eq!(EventText::new(kept).as_str(), kept);
        }
        let invisible = [
            '\u{0}',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200e}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202b}',
            '\u{202c}',
            '\u{202d}',
            '\u{202e}',
            '\u{2066}',
            '\u{2067}',
            '\u{2068}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0001}',
        ];
        for character in invisible {
            let text = EventText::new(&format!("a{character}b"));
            assert!(text.as_str().is_ascii() && text.as_str().starts_with("a\\u{"), "{text}");
        }
    }

    #[test]
    fn text_from_events_is_escaped_and_cut() {
        assert_eq!(EventText::new("plain text").as_str(), "plain text");
        assert_eq!(EventText::new("a\nb\u{202e}c").as_str(), "a\\nb\\u{202e}c");
        let long = EventText::new(&"x".repeat(5000));
        assert_eq!(long.as_str().chars().count(), EVENT_TEXT_MAX + 1);
        assert!(long.as_str().ends_with('…'));
        assert_eq!(EventText::new(long.as_str()), long, "escaping twice changes nothing");
        assert!(EventText::new(&"\u{1F600}".repeat(5000)).as_str().len() < 300);
        for cut in
            [long.as_str().to_owned(), "\u{1F600}".repeat(5000), "\u{200b}".repeat(5000), "x\u{202e}".repeat(199)]
        {
            let once = EventText::new(&cut);
            assert_eq!(EventText::new(once.as_str()), once, "what was cut comes out the same");
        }
        let long = EventText::of_service(&"x".repeat(5000));
        assert_eq!(long.as_str().chars().count(), SERVICE_TEXT_MAX + 1);
        assert_eq!(EventText::of_service(long.as_str()), long);
        assert_eq!(EventText::of_service("a\nb").as_str(), "a\\nb", "escaped as any other");
    }
}
