//! Streamseal keeps every Kinesis data stream encrypted with the KMS key that a policy names, and proves it with a record.
//!
//! ```text
//! payload ─► handler ─► domain::event ──► reconcile ◄──► ports (aws/, or the tests' simulation)
//!                                          │  observe, decide (domain::policy, domain::plan), one call, observe again
//!                                          └─► domain::evidence ─► sink
//! ```
//!
//! Modules in reading order. The core (everything but `aws`, `lambda` and `cli`) has no AWS and no Lambda crate.

pub mod config;
pub mod domain;
pub mod handler;
mod look;
pub mod ports;
pub mod reconcile;
mod results;
pub mod scan;
pub mod trail;

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "lambda")]
pub mod lambda;
#[cfg(any(feature = "lambda", feature = "cli"))]
pub mod sink;
