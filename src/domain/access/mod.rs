//! Whether a policy document allows a call: an evaluator of IAM's language for key policies, resource policies, grants and identity
//! policies.
//!
//! Pure, and total: a document that is not understood gives *unknown* where it could matter, and never an error. Every answer is one
//! of three ([`truth::Truth`]), and *unknown* says why. Deny and Allow are answered apart, so that a Deny under an unknown condition
//! is never taken for an Allow.
//!
//! What is taken as known of a request is in [`request`]. The rules are those of the IAM user guide (policy evaluation logic, JSON
//! policy elements) and of the KMS developer guide (key policies, grants).

pub mod condition;
pub mod document;
pub mod glob;
pub mod grant;
pub mod principal;
pub mod request;
#[cfg(test)]
mod tests;
pub mod truth;
