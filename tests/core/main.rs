//! The core ring without AWS: decisions, the loop and the handler, against a simulated world with virtual time.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

#[path = "../common/template.rs"]
mod common;
mod docs;
mod documents;
#[path = "../common/documents.rs"]
mod documents_shared;
mod events;
mod fuzz;
mod layout;
mod lines;
mod planned;
mod policy;
mod properties;
mod scenarios;
mod schedules;
mod sim;
mod tidy;
mod versions;
mod watching;
