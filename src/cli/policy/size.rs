//! What can hold a policy of a size: the places that the function reads one from, with the limits that AWS has for each.

use serde_json::{Value, json};

/// What a parameter of Systems Manager has room for, by its tier, in bytes: AWS counts characters, of which there are never more (Systems
/// Manager user guide, parameter tiers). The stack's parameter `Policy` has as much as the first (CloudFormation quotas, parameter value).
const STANDARD: usize = 4096;
const ADVANCED: usize = 8192;
/// What all variables of a function have room for together (Lambda quotas), less what its others take: URLs, ARNs and names.
const VARIABLE: usize = 4096 - 1024;

/// The size of a policy's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PolicySize(usize);

/// A place that a policy is read from.
struct Place {
    key: &'static str,
    words: &'static str,
    /// The most bytes; `None`: any number.
    most: Option<usize>,
}

const PLACES: [Place; 4] = [
    Place { key: "variable", words: "the variable POLICY as `inline:`", most: Some(VARIABLE) },
    Place { key: "ssm_standard", words: "a Standard parameter", most: Some(STANDARD) },
    Place { key: "ssm_advanced", words: "an Advanced parameter", most: Some(ADVANCED) },
    Place { key: "package", words: "the function's package", most: None },
];

impl PolicySize {
    pub(crate) fn of(text: &str) -> Self {
        Self(text.len())
    }

    fn fits(self, place: &Place) -> bool {
        place.most.is_none_or(|most| self.0 <= most)
    }

    /// In one line.
    pub(crate) fn words(self) -> String {
        let (fit, too_small): (Vec<&Place>, Vec<&Place>) = PLACES.iter().partition(|place| self.fits(place));
        let fit: Vec<&str> = fit.iter().map(|place| place.words).collect();
        let too_small: Vec<String> =
            too_small.iter().filter_map(|place| Some(format!("{} (at most {})", place.words, place.most?))).collect();
        let but = if too_small.is_empty() { String::new() } else { format!("; too large for {}", joined(&too_small)) };
        format!("{} bytes; fits in {}{but}", self.0, joined(&fit))
    }

    pub(crate) fn to_json(self) -> Value {
        let fits: serde_json::Map<_, _> =
            PLACES.iter().map(|place| (place.key.to_owned(), json!(self.fits(place)))).collect();
        json!({"bytes": self.0, "fits": fits})
    }
}

/// `a`, `a or b`, `a, b or c`.
fn joined<T: AsRef<str>>(all: &[T]) -> String {
    match all.split_last() {
        None => String::new(),
        Some((last, [])) => last.as_ref().to_owned(),
        Some((last, before)) => {
            let before: Vec<&str> = before.iter().map(AsRef::as_ref).collect();
            format!("{} or {}", before.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_takes_what_it_has_room_for() {
        for (bytes, variable, standard, advanced) in [
            (0, true, true, true),
            (3072, true, true, true),
            (3073, false, true, true),
            (4096, false, true, true),
            (4097, false, false, true),
            (8192, false, false, true),
            (8193, false, false, false),
            (1_000_000, false, false, false),
        ] {
            let fits =
                json!({"variable": variable, "ssm_standard": standard, "ssm_advanced": advanced, "package": true});
            assert_eq!(PolicySize(bytes).to_json(), json!({"bytes": bytes, "fits": fits}));
        }
        // Bytes, of which a character may have several.
        assert_eq!(PolicySize::of(&"\u{fc}".repeat(2049)).to_json()["fits"]["ssm_standard"], false);
    }

    #[test]
    fn the_words_name_every_place_and_each_limit_that_is_passed() {
        for (bytes, words) in [
            (
                100,
                "100 bytes; fits in the variable POLICY as `inline:`, a Standard parameter, an Advanced parameter or the \
                 function's package",
            ),
            (
                6_000,
                "6000 bytes; fits in an Advanced parameter or the function's package; too large for the variable POLICY as \
                 `inline:` (at most 3072) or a Standard parameter (at most 4096)",
            ),
            (
                26_000,
                "26000 bytes; fits in the function's package; too large for the variable POLICY as `inline:` (at most 3072), \
                 a Standard parameter (at most 4096) or an Advanced parameter (at most 8192)",
            ),
        ] {
            assert_eq!(PolicySize(bytes).words(), words);
        }
    }
}
