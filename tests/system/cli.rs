//! The command line as a user meets it: arguments in, text and exit code out. What is printed stands in files beside the tests
//! (`INSTA_UPDATE=always cargo test --test system cli` writes them anew; read the difference).

mod check;
mod doctor;
mod environments;
mod explain;
mod frame;
mod impact;
mod impact_deep;
mod impact_wire;
mod init;
mod network;
mod permissions;
mod prove;
mod remedies;
mod replay;
mod retries;
mod seal;
mod settings;
mod simulator;
mod watching;

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{ACCOUNT, Parts, REGION, assert_lines_documented, parts, root};

/// What a command printed, and its exit code.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// A command with test credentials and nothing else of the environment.
fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamseal"));
    command
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs(variables.iter().copied());
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let Output { status, stdout, stderr } = command(arguments, variables).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) };
    assert_lines_documented(&ran.out);
    ran
}

/// A command that reaches the parts.
fn at_parts(arguments: &[&str], policy: Option<&Path>) -> Ran {
    let mut all = arguments.to_vec();
    if let Some(policy) = policy {
        all.extend(["--policy", policy.to_str().unwrap()]);
    }
    run(&all, &reach())
}

/// The variables that reach the parts.
fn reach() -> [(&'static str, &'static str); 4] {
    reach_of(parts())
}

fn reach_of(parts: &Parts) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL", &parts.aws),
        ("AWS_ENDPOINT_URL_KINESIS", &parts.kinesis),
        ("AWS_REGION", REGION),
        ("NO_PROXY", "127.0.0.1"),
    ]
}

/// `text` without what differs from run to run: what is named, where the policy is, and digests.
fn steady(text: &str, names: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in names {
        text = text.replace(from, to);
    }
    if let Some((before, after)) = text.split_once(", policy file:") {
        let rest = after.trim_start_matches(|c: char| !matches!(c, ',' | ' ' | '\n'));
        text = format!("{before}, policy file:POLICY{rest}");
    }
    if let Some((before, after)) = text.split_once(" --policy /") {
        let (_, rest) = after.split_once('`').unwrap();
        text = format!("{before} --policy POLICY`{rest}");
    }
    let mut steady = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("sha256:") {
        steady += before;
        steady += "sha256:DIGEST";
        rest = after.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    }
    steady + rest
}

/// JSON as it is read in a review.
fn pretty(json: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(json).unwrap();
    // What is another one each time.
    for (field, length) in [("id", 36), ("time", 24)] {
        if let Some(text) = value.get_mut(field).filter(|field| field.is_string()) {
            assert_eq!(text.as_str().unwrap().len(), length, "{text}");
            *text = field.to_uppercase().into();
        }
    }
    format!("{value:#}")
}

/// A command at a terminal of its own: what it printed there, and its exit code. Each of `answers` is typed after its text
/// was printed.
fn at_terminal(arguments: &[&str], variables: &[(&str, &str)], answers: &[(&str, &str)]) -> (i32, String) {
    let script = root().join("tests/system/cli/terminal.py");
    let answers = serde_json::to_string(answers).unwrap();
    let mut command = Command::new("python3");
    let Output { stdout, stderr, .. } = command
        .arg(script)
        .arg(answers)
        .arg(env!("CARGO_BIN_EXE_streamseal"))
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs([("PATH", std::env::var("PATH").unwrap().as_str()), ("TERM", "xterm"), ("COLUMNS", "120")])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said: serde_json::Value =
        serde_json::from_slice(&stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&stderr)));
    (i32::try_from(said["code"].as_i64().unwrap()).unwrap(), said["text"].as_str().unwrap().to_owned())
}

/// The account of the parts, for statements.
fn stream_arn(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
}
