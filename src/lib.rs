//! Streamseal keeps every Kinesis data stream encrypted with the KMS key that a policy names, and proves it with a record.
//!
//! ```text
//! payload ─► run::handler ─► domain::event ──► run::reconcile ◄──► ports (aws/, or the tests' simulation)
//!                                               │  observe, decide (domain::policy, domain::plan), one call, observe again
//!                                               └─► domain::evidence ─► run::outbox ─► aws::log, aws::bus
//! ```
//!
//! Modules in reading order. The core (everything but `aws`, `lambda` and `cli`) has no AWS and no Lambda crate.

pub mod domain;

pub mod config;

pub mod ports;

pub mod run;

#[cfg(feature = "aws")]
pub mod aws;

#[cfg(feature = "lambda")]
pub mod lambda;

#[cfg(feature = "cli")]
pub mod cli;
