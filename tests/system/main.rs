//! The real parts: SDK clients over HTTP, the emulators, the two binaries, the template.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

mod audit;
mod cli;
mod deploy;
#[path = "../shared/documents.rs"]
mod documents_shared;
mod fault;
mod iam;
mod results;
mod rules;
mod runtime;
mod scans;
#[path = "../shared/template.rs"]
mod shared;
mod support;
mod template;
mod tools;
mod wire;
