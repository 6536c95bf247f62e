//! Who runs Streamseal, as far as that is known without a call.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

/// Who runs Streamseal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runner {
    /// The ARN of the function's role, or of the caller of a command.
    pub actor: Option<String>,
    /// The function on Lambda.
    pub function: Option<Function>,
}

/// A function on Lambda.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its version, or `$LATEST`.
    pub version: Option<String>,
}
