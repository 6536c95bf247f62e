//! Bounds of what messages say: which times and counters are computed with, and how long a text may be.
//!
//! Events and messages are checked with this where they are read, so that no arithmetic after it can overflow and no message of
//! our own becomes one that we refuse.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, TimestampArithmetic};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::text::EventText;

/// Kinesis was announced in November 2013: nothing that a message can be about happened before that year.
pub const EARLIEST: Timestamp = Timestamp::constant(1_356_998_400, 0);
/// The longest that anything is deferred is four hours, for the quota.
pub const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(5);
/// How that is said of a field.
pub const ODD: &str = "the time is before 2013 or more than 5 hours in the future";

/// Whether a time cannot be right: before 2013, or more than five hours ahead.
pub fn is_odd(at: Timestamp, now: Timestamp) -> bool {
    at < EARLIEST || at.duration_since(now) > AHEAD_MAX
}

/// When something happened that a message reports. An odd time is dropped. One that is a little ahead is taken for now: clocks
/// differ, and nothing is reported before it happens.
pub fn happened(at: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    at.filter(|at| !is_odd(*at, now)).map(|at| at.min(now))
}

/// [`happened`] for a time as an event writes it; one that cannot be read is dropped too.
pub fn happened_at(text: Option<&str>, now: Timestamp) -> Option<Timestamp> {
    happened(text.and_then(|text| text.parse().ok()), now)
}

/// `at` and so long after it, or the last time that there is.
pub fn later(at: Timestamp, by: impl Into<TimestampArithmetic>) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// From `now` to `then`; nothing where that is past.
pub fn until(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
}

/// Reads a counter. One that is too large for its type stands at the type's end: a message of ours never has it, and a retry
/// count does not make a message unreadable.
pub(super) fn counter<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let count = u64::deserialize(from)?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Reads a member of a message; a fault names it.
pub(super) fn member<'de, T: Deserialize<'de>, D: Deserializer<'de>>(name: &str, from: D) -> Result<T, D::Error> {
    T::deserialize(from).map_err(|fault| D::Error::custom(format!("field `{name}`: {fault}")))
}

/// The time of a field that is missing or null.
pub(super) fn unset() -> Timestamp {
    Timestamp::MIN
}

pub(super) fn is_unset(at: &Timestamp) -> bool {
    *at == unset()
}

/// Reads a time that may be null.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_else(unset))
}

/// Cuts a text to `most` characters, and marks where it was cut.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default().trim_end_matches('…')),
    }
}

/// A text that is part of a fault: escaped and cut like any other.
pub(super) fn fault(error: &impl ToString) -> String {
    EventText::new(&error.to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_right_dropped_or_taken_for_now() {
        let now = at("2026-03-02T08:00:00Z");
        for (text, expected) in [
            ("2026-03-02T07:59:00Z", Some("2026-03-02T07:59:00Z")),
            ("2013-01-01T00:00:00Z", Some("2013-01-01T00:00:00Z")),
            ("2026-03-02T08:00:01Z", Some("2026-03-02T08:00:00Z")),
            ("2026-03-02T13:00:00Z", Some("2026-03-02T08:00:00Z")),
            ("2026-03-02T13:00:01Z", None),
            ("2026-03-03T08:00:00Z", None),
            ("9999-12-30T22:00:00Z", None),
            ("2012-12-31T23:59:59Z", None),
            ("-009999-01-02T02:00:00Z", None),
            ("yesterday", None),
        ] {
            assert_eq!(happened_at(Some(text), now), expected.map(at), "{text}");
        }
        assert_eq!(happened_at(None, now), None);
    }

    #[test]
    fn sums_of_times_end_where_time_does() {
        assert_eq!(later(at("2026-03-02T08:00:00Z"), Duration::from_secs(5)), at("2026-03-02T08:00:05Z"));
        assert_eq!(later(Timestamp::MAX, SignedDuration::from_secs(1)), Timestamp::MAX);
        assert_eq!(later(Timestamp::MIN, Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn texts_are_cut_once() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut(&cut("abcd", 3), 3), "abc…");
        assert_eq!(cut("äöüß", 2), "äö…");
    }
}
