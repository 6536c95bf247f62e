//! The core ring without AWS: decisions, the loop and the handler, against a simulated world with virtual time.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

mod docs;
mod documents;
#[path = "../shared/documents.rs"]
mod documents_shared;
mod events;
mod fuzz;
mod policy;
mod properties;
mod rules;
mod scenarios;
mod schedules;
#[path = "../shared/template.rs"]
mod shared;
mod sim;
mod tidy;
mod versions;
mod watching;
