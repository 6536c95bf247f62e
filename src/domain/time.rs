//! What stands in schemas for jiff's types, which have none.

use schemars::JsonSchema;

/// A time in UTC, such as `2026-12-01T09:30:00.123Z`.
#[derive(JsonSchema)]
#[schemars(inline, with = "String", extend("format" = "date-time"))]
pub struct Time;

/// A day, such as `2026-12-01`.
#[derive(JsonSchema)]
#[schemars(inline, with = "String", extend("format" = "date"))]
pub struct Day;
