//! The core ring without AWS: decisions, the loop and the handler, against a simulated world with virtual time.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

mod docs;
mod events;
mod fuzz;
mod policy;
mod scenarios;
#[allow(dead_code, reason = "the rest of it is for the schedules")]
mod sim;
