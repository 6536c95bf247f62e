//! The tools that start the parts leave nothing behind, however they end.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Function, PATIENCE, Tool};

/// Whether a process is there; one that has ended and that nobody has asked about is not.
fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}

fn all_end(pids: &[String], how: &str) {
    let end = Instant::now() + PATIENCE;
    while let Some(pid) = pids.iter().find(|pid| runs(pid)) {
        assert!(Instant::now() < end, "{pid} runs on after {how}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_a_tool_started_ends_with_it() {
    for how in ["KILL", "TERM", "the end of its standard input"] {
        let mut tool = Tool::start("parts", &["--kinesis"], &[]);
        let pids: Vec<String> = tool.ready["pids"].as_array().unwrap().iter().map(ToString::to_string).collect();
        assert!(!pids.is_empty() && pids.iter().all(|pid| runs(pid)));
        if how.contains(' ') {
            tool.close_stdin()
        } else {
            tool.signal(how)
        }
        all_end(&pids, how);
    }
}

#[test]
fn the_function_ends_with_its_emulator() {
    let function = Function::start(60, &[("POLICY", "inline:nothing")]);
    function.invoke(&json!({}));
    let pids = function.processes();
    assert!(pids.len() == 2 && pids.iter().all(|pid| runs(pid)), "{pids:?}");
    function.tool.signal("KILL");
    all_end(&pids, "KILL");
}
