//! What people need to understand a policy, and the function does not: why it decides as it does, what about it is likely not
//! meant, whether its tests pass and its keys can be used, what can hold it, and the shape of its text for editors.

pub(crate) mod cases;
mod cover;
pub mod document;
mod explain;
pub(crate) mod keys;
pub(crate) mod size;
mod warnings;

#[cfg(test)]
mod tests;

pub use self::explain::{Explanation, PassedOver};
pub use self::warnings::PolicyWarning;
