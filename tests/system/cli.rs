//! The command line as a user meets it: arguments in, text and exit code out. What is printed stands in files beside the tests
//! (`INSTA_UPDATE=always cargo test --test system cli` writes them anew; read the difference).

mod check;
mod explain;
mod frame;
mod replay;

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{ACCOUNT, REGION, parts, root};

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
    Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
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
    let parts = parts();
    [
        ("AWS_ENDPOINT_URL", &parts.aws),
        ("AWS_ENDPOINT_URL_KINESIS", &parts.kinesis),
        ("AWS_REGION", REGION),
        ("NO_PROXY", "127.0.0.1"),
    ]
}

/// `text` without what differs from run to run: what is named, and digests.
fn steady(text: &str, names: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (from, to) in names {
        text = text.replace(from, to);
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
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    format!("{value:#}")
}

/// The account of the parts, for statements.
fn stream_arn(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
}
