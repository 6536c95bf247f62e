//! What one observation of a stream means, apart from its policy.

use jiff::{SignedDuration, Timestamp};

use super::situation::Situation;
use crate::domain::model::{Observed, StreamStatus};
use crate::domain::text::EventText;

/// Right after CreateStream a describe may not know the stream yet; after this it is believed.
pub const NOT_FOUND_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// A stream that is not found is described once more, so long after, before that is believed: one part of the service may be behind.
pub const NOT_FOUND_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How late CloudTrail's records were seen to come (recorded: 60 to 118 s), and so how old a creation may be that we only hear of now.
pub const TRAIL_LAG: SignedDuration = SignedDuration::from_mins(3);

/// What one observation found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a run holds one at a time")]
pub enum Observation {
    /// No such stream, or one that is being deleted.
    Gone,
    /// Another stream of the same name than the one that the work was for.
    Recreated,
    /// It was not found once, or is so young that the describe may be late.
    NotYet,
    /// CREATING or UPDATING.
    Busy,
    /// A status that this version does not know.
    Unknown(EventText),
    /// ACTIVE, and how it stands with the policy.
    Active(Situation),
}

impl Observation {
    /// How an ACTIVE stream stands with the policy.
    pub fn situation(&self) -> Option<&Situation> {
        if let Self::Active(situation) = self { Some(situation) } else { None }
    }
}

/// What it means that a describe did not find the stream. `known`: this work saw it before. `since` is when it was first not found
/// without having been found again, `born` when it was created, where that woke us.
pub fn observation_of_none(
    known: bool,
    since: Option<Timestamp>,
    born: Option<Timestamp>,
    now: Timestamp,
) -> Observation {
    let younger = |than| born.is_some_and(|born| now.duration_since(born) < than);
    let once_more = known || younger(TRAIL_LAG);
    let is_believed = since.is_some_and(|since| now.duration_since(since) >= NOT_FOUND_AGAIN);
    if younger(NOT_FOUND_GRACE) || (once_more && !is_believed) { Observation::NotYet } else { Observation::Gone }
}

/// Sorts one observation, apart from the policy's view of it; `None` where it is ACTIVE and the policy has to say.
pub fn observation_of(observed: &Observed, expected_created: Option<Timestamp>) -> Option<Observation> {
    if expected_created.is_some_and(|created| created.as_millisecond() != observed.created.as_millisecond()) {
        return Some(Observation::Recreated);
    }
    match &observed.status {
        StreamStatus::Active => None,
        StreamStatus::Creating | StreamStatus::Updating => Some(Observation::Busy),
        StreamStatus::Deleting => Some(Observation::Gone),
        StreamStatus::Unknown(text) => Some(Observation::Unknown(text.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn not_found_once_is_not_gone() {
        // Known to this work, seconds since it was not found, and since it was created.
        for (known, since, born, gone) in [
            (false, None, None, true),
            (true, None, None, false),
            (true, Some(4), None, false),
            (true, Some(5), None, true),
            (false, None, Some(29), false),
            (false, Some(20), Some(29), false),
            (false, None, Some(170), false),
            (false, Some(5), Some(170), true),
            (false, None, Some(181), true),
        ] {
            let observation = observation_of_none(known, since.map(|s: i64| at(-s)), born.map(|s: i64| at(-s)), at(0));
            let expected = if gone { Observation::Gone } else { Observation::NotYet };
            assert_eq!(observation, expected, "known {known}, not found since {since:?}, born {born:?}");
        }
    }
}
