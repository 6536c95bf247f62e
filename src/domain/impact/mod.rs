//! Who would lose access when a stream moves to another key: principals that were found, judged for the key now and for the key to be.
//!
//! Pure: what was found and read comes in as values. Nothing here says that a change is safe: it says that no loss was found, and what
//! was not checked.

pub mod finding;
pub mod judge;
pub mod key;
pub mod permitted;
pub mod remedy;
pub mod report;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod v1;
