//! The core ring without AWS: decisions, the loop and the handler.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

mod docs;
mod events;
mod fuzz;
mod policy;
