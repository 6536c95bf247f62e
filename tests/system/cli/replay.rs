//! `streamseal replay`: the function's own code, up to the first step.

use std::path::Path;

use serde_json::{Value, json};

use super::{Ran, pretty, run, steady};
use crate::support::{ACCOUNT, REGION, create_event, file, parts, root, unique};

fn replay(event: &Path, policy: Option<&Path>, more: &[&str]) -> Ran {
    let mut arguments = vec!["replay", event.to_str().unwrap(), "--account", ACCOUNT, "--region", REGION];
    if let Some(policy) = policy {
        arguments.extend(["--policy", policy.to_str().unwrap()]);
    }
    arguments.extend(more);
    let parts = parts();
    run(&arguments, &[("AWS_ENDPOINT_URL", &parts.aws), ("AWS_ENDPOINT_URL_KINESIS", &parts.kinesis)])
}

#[test]
fn replay_reads_every_event_file_without_calling_anything() {
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let Ran { code, out, err } = replay(&path, None, &["--offline"]);
        assert_eq!(code, 0, "{}: {out}{err}", path.display());
        let word = out.split(':').next().unwrap();
        assert!(["reconcile", "scan", "ignored"].contains(&word), "{}: {out}", path.display());
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

    let Ran { code, out, err } = replay(&event, Some(&policy), &["--mode", "enforce"]);
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains(&format!("would start encryption with {key}")) && out.contains("rule `all`"), "{out}");
    let Ran { code, out, .. } = replay(&event, Some(&policy), &["--json"]);
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &line["outcome"], &line["rule"]), (3, &json!("reconcile"), &json!("all")));
    assert!(out.contains("withheld (report-mode)"), "the careful default: {out}");
    insta::assert_snapshot!("replay_wrong_json", pretty(&steady(&out, &[(&*stream, "STREAM"), (&*key, "KEY")])));
    assert_eq!(parts().describe(&stream)["EncryptionType"], "NONE");

    parts().encrypted(&unique("replay-other"), &key);
    let done = unique("replay-done");
    parts().encrypted(&done, &key);
    let event = file(&folder, "done.json", &create_event(&done).to_string());
    let Ran { code, out, .. } = replay(&event, Some(&policy), &["--mode", "enforce"]);
    // The setting is right; whether records are encrypted is for `prove`.
    assert_eq!(code, 0, "{out}");
    let names = [(&*done, "STREAM"), (&*key, "KEY")];
    insta::assert_snapshot!("replay_right", steady(&out, &names));
    let Ran { out, .. } = replay(&event, Some(&policy), &["--mode", "enforce", "--json"]);
    insta::assert_snapshot!("replay_right_json", pretty(&steady(&out, &names)));
    assert_eq!(parts().records(&done).len(), 0);
}

#[test]
fn replay_says_what_is_wrong_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(&folder, "text.json", "not json");
    let Ran { code, err, .. } = replay(&text, None, &["--offline"]);
    assert!(code == 1 && err.contains("not JSON"), "{err}");
    let odd = file(&folder, "odd.json", "{}");
    let Ran { code, out, .. } = replay(&odd, None, &["--offline"]);
    assert!(code == 1 && out.starts_with("malformed: "), "{out}");
    let Ran { code, err, .. } = run(&["replay", odd.to_str().unwrap(), "--account", "12"], &[]);
    assert!(code == 2 && err.contains("the Region of the streams is not known"), "{err}");
    let arguments = ["replay", odd.to_str().unwrap(), "--account", "12", "--region", "here"];
    let Ran { code, err, .. } = run(&arguments, &[]);
    assert!(code == 2 && err.contains("ACCOUNT_ID") && err.contains("POLICY") && err.contains("AWS_REGION"), "{err}");
}
