//! The command line as a user meets it: arguments in, text and exit code out.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{ACCOUNT, REGION, create_event, file, parts, root, unique};

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_streamseal"))
        .args(arguments)
        .current_dir(root())
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

#[test]
fn check_names_every_fault_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(
        &folder,
        "good.yaml",
        "version: 1\ndefaults: {existing: enforce}\nrules:\n  - name: all\n    key: alias/x\n",
    );
    let (code, out, _) = run(&["check", good.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("good.yaml: valid, 1 rule"), "{out}");

    let bad = file(&folder, "bad.yaml", "version: 2\nrules:\n  - name: all\n    kye: alias/x\n");
    let (code, out, err) = run(&["check", bad.to_str().unwrap()], &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("bad.yaml:1:10: ") && err.contains("bad.yaml:4:5: "), "{err}");

    let (code, _, err) = run(&["check", "/nowhere.yaml"], &[]);
    assert!(code == 1 && err.contains("/nowhere.yaml: cannot be read"), "{err}");
    assert_eq!(run(&["check"], &[]).0, 2);
}

fn replay(event: &Path, policy: Option<&Path>, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["replay", event.to_str().unwrap(), "--account", ACCOUNT, "--region", REGION];
    if let Some(policy) = policy {
        arguments.extend(["--policy", policy.to_str().unwrap()]);
    }
    arguments.extend(more);
    let parts = parts();
    run(&arguments, &[("AWS_ENDPOINT_URL", &parts.aws), ("AWS_ENDPOINT_URL_KINESIS", &parts.kinesis)])
}

#[test]
fn replay_tells_every_event_file_apart_without_calling_anything() {
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let (code, out, err) = replay(&path, None, &["--offline"]);
        assert_eq!(code, 0, "{}: {out}{err}", path.display());
        let word = out.split(':').next().unwrap();
        assert!(["reconcile", "ignored"].contains(&word), "{}: {out}", path.display());
    }
}

#[test]
fn replay_shows_the_first_step_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let alias = format!("alias/{}", unique("replay"));
    let key = parts().key(&alias);
    let text = format!("version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - name: all\n    key: {alias}\n");
    let policy = file(&folder, "policy.yaml", &text);
    let stream = unique("replay");
    parts().stream(&stream);
    parts().active(&stream);
    let event = file(&folder, "event.json", &create_event(&stream).to_string());

    let (code, out, err) = replay(&event, Some(&policy), &["--mode", "enforce"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains(&format!("would start encryption with {key}")) && out.contains("rule `all`"), "{out}");
    let (code, out, _) = replay(&event, Some(&policy), &["--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &line["outcome"], &line["rule"]), (3, &json!("reconcile"), &json!("all")));
    assert!(out.contains("withheld (report-mode)"), "the careful default: {out}");
    assert_eq!(parts().describe(&stream)["EncryptionType"], "NONE");

    parts().encrypted(&unique("replay-other"), &key);
    let done = unique("replay-done");
    parts().encrypted(&done, &key);
    let event = file(&folder, "done.json", &create_event(&done).to_string());
    let (code, out, _) = replay(&event, Some(&policy), &["--mode", "enforce"]);
    // The setting is right; whether records are encrypted is not told without a proof.
    assert!(code == 4 && out.contains("would prove it"), "{out}");
    assert_eq!(parts().records(&done).len(), 0);
}

#[test]
fn replay_says_what_is_wrong_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(&folder, "text.json", "not json");
    let (code, _, err) = replay(&text, None, &["--offline"]);
    assert!(code == 1 && err.contains("not JSON"), "{err}");
    let odd = file(&folder, "odd.json", "{}");
    let (code, out, _) = replay(&odd, None, &["--offline"]);
    assert!(code == 1 && out.starts_with("malformed: "), "{out}");
    let (code, _, err) = run(&["replay", odd.to_str().unwrap(), "--account", "12"], &[]);
    assert!(code == 2 && err.contains("ACCOUNT_ID") && err.contains("POLICY") && err.contains("AWS_REGION"), "{err}");
}
