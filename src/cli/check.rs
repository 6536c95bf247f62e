//! `streamseal check POLICY`: is this policy valid, and what about it is likely not meant.

use std::path::Path;

use jiff::Timestamp;

use super::Exit;
use crate::domain::policy::Policy;

/// Faults and warnings as `FILE:LINE:COLUMN: …`, which editors understand.
pub(crate) fn run(path: &Path) -> Exit {
    let file = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("{file}: cannot be read: {error}");
            return Exit::Failure;
        }
    };
    match Policy::load(&text) {
        Ok(policy) => {
            for warning in policy.warnings(Timestamp::now()) {
                eprintln!("{file}:{warning}");
            }
            println!("{file}: valid, {} rules, {}", policy.rules.len(), policy.digest);
            Exit::Compliant
        }
        Err(faults) => {
            for fault in &faults {
                eprintln!("{file}:{fault}");
            }
            let s = if faults.len() == 1 { "" } else { "s" };
            eprintln!("{file}: {} fault{s}", faults.len());
            Exit::Failure
        }
    }
}
