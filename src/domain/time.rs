//! Times as documents have them, and what stands in schemas for jiff's types, which have none.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A time in UTC with three decimals, such as `2026-12-01T09:30:00.123Z`: always as many, so that times can be compared as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Timestamp);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use schemars::JsonSchema;

    /// A time in UTC, such as `2026-12-01T09:30:00.123Z`.
    #[derive(JsonSchema)]
    #[schemars(inline, with = "String", extend("format" = "date-time"))]
    struct DateTime;

    impl JsonSchema for super::Time {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> std::borrow::Cow<'static, str> {
            DateTime::schema_name()
        }

        fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
            DateTime::json_schema(generator)
        }
    }

    /// A day, such as `2026-12-01`.
    #[derive(JsonSchema)]
    #[schemars(inline, with = "String", extend("format" = "date"))]
    pub struct Day;
}

#[cfg(feature = "schema")]
pub use schema::Day;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_three_decimals_always() {
        for (text, expected) in [
            ("2026-12-01T09:30:00Z", "2026-12-01T09:30:00.000Z"),
            ("2026-12-01T09:30:00.5Z", "2026-12-01T09:30:00.500Z"),
            ("2026-12-01T09:30:00.123999999Z", "2026-12-01T09:30:00.123Z"),
        ] {
            let time = Time(text.parse().unwrap());
            assert_eq!(serde_json::to_value(time).unwrap(), expected);
            assert_eq!(time.to_string(), expected);
        }
    }
}
