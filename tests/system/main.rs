//! The real parts: SDK clients over HTTP, the emulators, the two binaries, the template.
// So that clippy takes the helpers for test code too.
#![cfg(test)]

mod access;
mod accounts;
mod archive;
mod audit;
mod cli;
#[path = "../common/template.rs"]
mod common;
mod deploy;
#[path = "../common/documents.rs"]
mod documents_shared;
mod fault;
mod flood;
mod guard;
mod iam;
mod organization;
mod results;
mod rules;
mod runtime;
mod scans;
mod support;
mod template;
mod tools;
mod wire;
