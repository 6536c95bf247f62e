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
    assert!(out.contains("withheld (report-mode; in enforce mode it would encrypt)"), "the careful default: {out}");
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

/// Records as people have them, with no credentials and nothing that could be called: the event says where it happened, and the policy which
/// rule and key follow.
#[test]
fn records_of_cloudtrail_are_replayed_to_their_rule_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = "version: 1\ndefaults: {existing: enforce}\nrules:\n  - {name: pci, match: {tags: {data-class: [pci]}}, key: alias/pci}\n  \
                - {name: rest, key: 'alias/kinesis/${stream}'}\n";
    let policy = file(&folder, "streamseal.yaml", text);
    let event = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(root().join(format!("events/{name}.json"))).unwrap()).unwrap()
    };
    let offline = |value: &Value, more: &[&str]| {
        let path = file(&folder, "record.json", &value.to_string());
        let mut command = super::command(&[&["replay", path.to_str().unwrap(), "--offline"], more].concat(), &[]);
        let output = command.env_clear().current_dir(folder.path()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    };
    let created = event("kinesis-create-stream-provisioned");
    let record = &created["detail"];
    let name = record["requestParameters"]["streamName"].as_str().unwrap();
    let line = format!(
        "reconcile: reconcile arn:aws:kinesis:eu-west-1:111122223333:stream/{name} because of CreateStream: rule `rest`, key \
         alias/kinesis/{name}\n"
    );
    let looked_up = json!({"EventId": "1", "CloudTrailEvent": record.to_string()});
    let file_of_log = json!({"Records": [record, event("kinesis-delete-stream")["detail"], event("kinesis-delete-stream")["detail"]]});
    for (value, more) in [
        (created.clone(), ""),
        (record.clone(), ""),
        (looked_up.clone(), ""),
        (json!({"Events": [looked_up]}), ""),
        (file_of_log, "ignored: 2 more items (OtherCall)\n"),
    ] {
        let Ran { code, out, err } = offline(&value, &[]);
        assert_eq!((code, out), (0, format!("{line}{more}")), "{err}");
    }
    // Tags that the event has decide; where it does not say, that is said.
    let mut tagged = record.clone();
    tagged["requestParameters"]["tags"] = json!({"data-class": "pci"});
    let line: Value = serde_json::from_str(&offline(&tagged, &["--json"]).out).unwrap();
    assert_eq!((&line["rule"], &line["key"]), (&json!("pci"), &json!("alias/pci")));
    let Ran { out, .. } = offline(&event("kinesis-stop-stream-encryption"), &[]);
    assert!(out.contains("rule `rest`, key alias/kinesis/") && out.contains("(if the stream has no tags)"), "{out}");
    // Without a policy only the event is read.
    std::fs::remove_file(policy).unwrap();
    let Ran { code, out, .. } = offline(record, &[]);
    assert!(code == 0 && out.ends_with("because of CreateStream\n"), "{out}");
    let Ran { code, err, .. } = offline(&json!({"action": "sweep"}), &[]);
    assert!(code == 2 && err.contains("the event has no account and Region"), "{err}");
    let Ran { code, err, .. } = offline(record, &["--policy", "ssm:/p"]);
    assert!(code == 2 && err.contains("cannot read the policy in ssm:/p"), "{err}");
    let path = file(&folder, "log.json.gz", "");
    std::fs::write(&path, [0x1f, 0x8b, 0]).unwrap();
    let Ran { code, err, .. } = replay(&path, None, &["--offline"]);
    assert!(code == 1 && err.contains("gunzip -c"), "{err}");
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
    assert!(code == 2 && err.contains("no Region is set"), "{err}");
    let arguments = ["replay", odd.to_str().unwrap(), "--account", "12", "--region", "here"];
    let Ran { code, err, .. } = run(&arguments, &[]);
    assert!(code == 2 && err.contains("--account: `12` is not") && err.contains("--region: `here` is not"), "{err}");
    assert!(err.contains("no policy is set"), "{err}");
}
