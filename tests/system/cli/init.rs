//! `streamseal init`, and `streamseal audit` without a policy: a new user's first minute.

use std::path::Path;

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::{Ran, command, reach_of, steady};
use crate::audit::stub;
use crate::support::{Parts, REGION};

/// A command in a folder of its own, which may have a policy.
fn ran(folder: &Path, parts: &Parts, tagging: &str, arguments: &[&str]) -> Ran {
    let mut command = command(arguments, &reach_of(parts));
    command.env("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", tagging);
    let output = command.current_dir(folder).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Streams on keys of every kind; the keys' ids.
fn fleet(parts: &Parts) -> Vec<(String, &'static str)> {
    let keys = ["orders", "blue", "red", "off"].map(|name| {
        let alias = if matches!(name, "blue" | "red") { format!("alias/team/{name}") } else { format!("alias/{name}") };
        (name, parts.key(&alias))
    });
    let foreign = format!("arn:aws:kms:{REGION}:444455556666:key/11111111-2222-3333-4444-555555555555");
    let of = |name: &str| keys.iter().find(|(is, _)| *is == name).map(|(_, key)| key.clone());
    for (stream, key, team) in [
        ("orders-1", of("orders"), None),
        ("orders-2", of("orders"), None),
        ("blue", of("blue"), Some("blue")),
        ("red", of("red"), Some("red")),
        ("red-new", None, Some("red")),
        ("base", Some("alias/aws/kinesis".to_owned()), None),
        ("lost", of("off"), None),
        ("their", Some(foreign), None),
        ("plain", None, None),
    ] {
        parts.stream(stream);
        parts.active(stream);
        if let Some(team) = team {
            parts.kinesis("AddTagsToStream", json!({"StreamName": stream, "Tags": {"team": team}})).unwrap();
        }
        if let Some(key) = key {
            let body = json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": key});
            parts.kinesis("StartStreamEncryption", body).unwrap();
            parts.active(stream);
        }
    }
    parts.kms("DisableKey", json!({"KeyId": of("off")}));
    let id = |key: &str| key.rsplit_once('/').unwrap().1.to_owned();
    let names = ["KEY-ORDERS", "KEY-BLUE", "KEY-RED", "KEY-OFF"];
    keys.iter().map(|(_, key)| id(key)).zip(names).collect()
}

#[test]
fn an_audit_needs_no_policy_and_init_writes_one_that_keeps_each_stream_on_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::start(&["--create-ms", "1", "--update-ms", "1"]);
    let keys = fleet(&parts);
    let names: Vec<(&str, &str)> = keys.iter().map(|(id, name)| (id.as_str(), *name)).collect();
    // ministack's tagging API knows no stream. Where it may not be asked, tags are read one stream at a time.
    let denied = json!({"__type": "AccessDeniedException", "message": "no"});
    let tagging = stub(move |_| ResponseTemplate::new(400).set_body_json(&denied));
    let ran = |arguments: &[&str]| ran(folder.path(), &parts, &tagging.uri(), arguments);

    let Ran { code, out, err } = ran(&["audit"]);
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    insta::assert_snapshot!("audit_without_a_policy", steady(&out, &names));
    let Ran { code, out, .. } = ran(&["audit", "--json"]);
    let without: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &without["policy"]["source"]), (3, &json!("none")));

    let Ran { code, out, err } = ran(&["init", "-"]);
    let now = out.lines().find_map(|line| line.strip_prefix("  enforce_from: ")).unwrap().to_owned();
    let dated: Vec<(&str, &str)> =
        names.iter().copied().chain([(&*now, "NOW"), (now.get(..10).unwrap(), "TODAY")]).collect();
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("init", steady(&out, &dated));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let Ran { code, out, err } = ran(&["init"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    insta::assert_snapshot!("init_said", err);
    let Ran { code, err, .. } = ran(&["init"]);
    assert!(code == 2 && err.contains("streamseal.yaml: file already exists; it was not changed"), "{err}");
    let Ran { code, out, err } = ran(&["check", "--strict"]);
    assert_eq!(code, 0, "{out}{err}");

    // Its streams are minutes old in an account that somebody has; here they are made by the test.
    let path = folder.path().join("streamseal.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let settled = "defaults:\n  settle: { terraform: 0s, cloudformation: 0s, pulumi: 0s }\n";
    std::fs::write(&path, text.replacen("defaults:\n", settled, 1)).unwrap();
    // By it, what was not encrypted or cannot be relied on is wrong, and nothing else.
    let Ran { out, .. } = ran(&["audit", "--json"]);
    let with: Value = serde_json::from_str(&out).unwrap();
    let wrong = |audit: &Value| -> Vec<String> {
        let rows = audit["streams"].as_array().unwrap().iter().filter(|row| row["compliance"] == "NON_COMPLIANT");
        rows.map(|row| row["stream"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(wrong(&with), ["lost", "plain", "red-new", "their"], "{with:#}");
    assert_eq!(wrong(&without), wrong(&with));
    let rule = with["streams"].as_array().unwrap().iter().find(|row| row["stream"] == "red-new").unwrap();
    assert_eq!((&rule["rule"], &rule["desired_key"]), (&json!("team-by-team"), &json!("alias/team/red")));

    // What is the same as before is no reason to fail; what is new is.
    std::fs::write(folder.path().join("old.json"), &out).unwrap();
    let since = ["audit", "--since", "old.json", "--fail-on", "new"];
    let Ran { code, out, .. } = ran(&since);
    assert!(
        code == 0 && out.contains("\nsince old.json (") && out.contains("): 0 new, 0 fixed, 4 unchanged\n"),
        "{out}"
    );
    parts.stream("orders-3");
    parts.active("orders-3");
    let key = keys.iter().find(|(_, name)| *name == "KEY-RED").unwrap().0.clone();
    let body = json!({"StreamName": "red-new", "EncryptionType": "KMS", "KeyId": key});
    parts.kinesis("StartStreamEncryption", body).unwrap();
    parts.active("red-new");
    let Ran { code, out, .. } = ran(&since);
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("): 1 new, 1 fixed, 3 unchanged\n  new: orders-3\n  fixed: red-new\n"), "{out}");
    let Ran { out, .. } = ran(&[&since[..], &["--stream", "red*", "--json"]].concat());
    let some: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(some["since"]["gone"], json!([]), "what is not asked for is not gone: {some:#}");
    let Ran { code, err, .. } = ran(&["audit", "--fail-on", "new"]);
    assert!(code == 2 && err.contains("--since"), "{err}");
    let Ran { code, err, .. } = ran(&["audit", "--since", "streamseal.yaml"]);
    assert!(code == 2 && err.contains("is not JSON") && err.contains("-o FILE.json"), "{err}");

    // Some of the streams, and only the wrong ones among them.
    let calls = |out: &str| -> Value { serde_json::from_str::<Value>(out).unwrap()["regions"][0]["calls"].clone() };
    let Ran { out, .. } = ran(&["audit", "--json", "--stream", "orders-*", "--stream", "red"]);
    assert_eq!(calls(&out)["kinesis:DescribeStreamSummary"], 4, "others are not observed: {out}");
    let Ran { out, .. } = ran(&["audit", "--only", "orders", "--non-compliant"]);
    assert!(out.contains("\nonly rule orders, only non-compliant streams are listed\n"), "{out}");
    assert!(out.contains("\norders-3 ") && !out.contains("orders-1"), "{out}");
    assert!(out.contains("\n3 streams: 1 NON_COMPLIANT, 2 COMPLIANT\n"), "all are counted: {out}");
    let Ran { code, err, .. } = ran(&["audit", "--only", "odrers"]);
    assert!(code == 2 && err.contains("the policy has no rule `odrers`") && err.contains("everything-else"), "{err}");
}

/// A new user's path: the README's commands, one after the other, against streams that are there.
#[test]
fn the_commands_of_the_readme_lead_from_the_first_audit_to_a_plan() {
    let folder = tempfile::tempdir().unwrap();
    let parts = Parts::start(&["--create-ms", "1", "--update-ms", "1"]);
    let key = parts.key("alias/orders");
    for (stream, is_encrypted) in [("orders-1", true), ("plain", false)] {
        parts.stream(stream);
        parts.active(stream);
        if is_encrypted {
            let body = json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": key});
            parts.kinesis("StartStreamEncryption", body).unwrap();
            parts.active(stream);
        }
    }
    let denied = json!({"__type": "AccessDeniedException", "message": "no"});
    let tagging = stub(move |_| ResponseTemplate::new(400).set_body_json(&denied));
    let readme = include_str!("../../../README.md");
    let (_, audit) = readme.split_once("\n## Audit: three commands\n").unwrap();
    let section = audit.split("\n## ").next().unwrap();
    let commands: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix("$ streamseal ")).collect();
    let first: Vec<&str> = commands.iter().map(|command| command.split(' ').next().unwrap()).collect();
    assert_eq!(first, ["audit", "init", "audit", "check", "explain", "seal"]);
    for command in commands {
        let arguments: Vec<&str> =
            command.split(' ').map(|word| if word == "STREAM" { "plain" } else { word }).collect();
        let Ran { code, out, err } = ran(folder.path(), &parts, &tagging.uri(), &arguments);
        // One stream is not encrypted, which `init` and `check` do not judge; by the policy it is still left to its creator.
        let expected: &[i32] = match arguments[0] {
            "init" | "check" => &[0],
            "audit" if arguments.len() == 1 => &[3],
            _ => &[0, 3, 4],
        };
        assert!(expected.contains(&code), "{command}: {code}: {out}{err}");
        let answer = match arguments[0] {
            "audit" if arguments.len() == 1 => "2 streams: 1 not encrypted, 1 encrypted",
            "init" => "wrote streamseal.yaml: ",
            "check" => "streamseal.yaml: valid, 2 rules",
            "explain" => "everything-else",
            "seal" => "plan for 1 stream",
            _ => "2 streams: ",
        };
        assert!(format!("{out}{err}").contains(answer), "{command}: {out}{err}");
    }
    assert_eq!(parts.describe("plain")["EncryptionType"], "NONE", "nothing was changed");
    assert!(["audit.html", "audit.json", "streamseal.yaml"].iter().all(|file| folder.path().join(file).exists()));
}
