//! What every command says is to be done: true, and as it can be pasted.

use std::process::Command;

use serde_json::{Value, json};

use super::{Ran, reach_of, run};
use crate::support::{ACCOUNT, Layer, Parts, REGION, aws_cli, file, parts, unique};

/// A rule whose alias was left on a key that is going away.
const DYING: &str = include_str!("../../policies/good/alias-on-a-dying-key.yaml");
/// A rule with a key of another account.
const OTHER_ACCOUNT: &str = include_str!("../../policies/good/key-of-another-account.yaml");
const STRANGE: &str = "arn:aws:kms:eu-west-1:999988887777:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/// Whether a shell takes it for a command.
fn assert_shell(command: &str) {
    let status = Command::new("bash").args(["-n", "-c", command]).status().unwrap();
    assert!(status.success(), "{command}");
}

/// Fourteen streams are on a good key, and their rule's alias is on one that is pending deletion: no output says to move a stream
/// there, and what each says to do instead does it.
#[test]
fn no_output_moves_a_stream_to_a_dying_key() {
    let own = Parts::start(&["--create-ms", "1", "--update-ms", "1"]);
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", DYING);
    let (dying, good) = (own.key("alias/hunt-gone"), own.key("alias/good"));
    let names: Vec<String> = (0..14).map(|n| format!("orders-{n:02}")).collect();
    names.iter().for_each(|name| own.encrypted(name, &good));
    own.kms("ScheduleKeyDeletion", json!({"KeyId": dying, "PendingWindowInDays": 7}));
    let at_own = |arguments: &[&str]| {
        let all = [arguments, &["--policy", policy.to_str().unwrap()]].concat();
        run(&all, &[&reach_of(&own)[..], &[("ACCOUNT_ID", ACCOUNT)]].concat())
    };
    let enabled = format!(
        "aws kms cancel-key-deletion --key-id {dying} --region {REGION} && aws kms enable-key --key-id {dying} --region {REGION}"
    );
    let moved = format!("aws kms update-alias --alias-name alias/hunt-gone --target-key-id {good} --region {REGION}");
    for (what, arguments) in [
        ("explain", &["explain", "orders-00"][..]),
        ("explain --json", &["explain", "orders-00", "--json"]),
        ("seal", &["seal", "--dry-run", "orders-00"]),
        ("seal --json", &["seal", "--dry-run", "--json", "orders-00"]),
        ("prove", &["prove", "orders-00"]),
        ("prove --json", &["prove", "--json", "orders-00"]),
        ("table", &["audit", "--rate", "1000", "--format", "table"]),
        ("csv", &["audit", "--rate", "1000", "--format", "csv"]),
        ("json", &["audit", "--rate", "1000", "--format", "json"]),
        ("evidence", &["audit", "--rate", "1000", "--format", "evidence"]),
        ("asff", &["audit", "--rate", "1000", "--format", "asff"]),
        ("html", &["audit", "--rate", "1000", "--format", "html"]),
    ] {
        let Ran { code, out, err } = at_own(arguments);
        assert_eq!(code, 3, "{what}: {out}{err}");
        // As it is in JSON, in a page and in text.
        let reported = out.replace("\\u0026", "&");
        assert!(
            !reported.contains("start-stream-encryption") && !reported.contains("kms_key_id"),
            "{what}: {reported}"
        );
        assert!(reported.contains(&enabled) && reported.contains(&moved), "{what}: {reported}");
    }
    let Ran { out, .. } = at_own(&["audit", "--rate", "1000"]);
    assert_eq!(out.matches(&enabled).count(), 1, "what holds for all is reported once: {out}");
    assert!(out.contains("orders-04 and 9 more"), "{out}");
    // The remedy, as it was printed.
    let Ran { out, .. } = at_own(&["explain", "orders-00", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    let commands: Vec<&str> =
        json["remedy"]["commands"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(commands, [&*enabled, &*moved]);
    commands.iter().for_each(|command| assert_shell(command));
    let words: Vec<String> = moved.split(' ').skip(1).map(str::to_owned).collect();
    aws_cli(&own, &[words], folder.path())[0].as_ref().unwrap();
    let Ran { code, out, .. } = at_own(&["audit", "--rate", "1000"]);
    let next =
        format!("next: `streamseal prove orders-00 --policy {}` proves a stream with a record\n", policy.display());
    let end = format!("14 streams: 14 COMPLIANT\n{next}");
    assert!(code == 0 && out.contains("\n\nSTREAM") && out.ends_with(&end), "{out}");
    assert!(!out.contains("what to change") && !out.contains("what to do"), "{out}");
}

/// The key policy of another account is not ours to change, and no try after this one goes better.
#[test]
fn a_key_policy_of_another_account_is_its_owners_to_change() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", OTHER_ACCOUNT);
    let stream = unique("shared");
    let key = parts().key(&format!("alias/{stream}"));
    parts().encrypted(&stream, &key);
    let words = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/{}/{} is not authorized to perform: kms:DescribeKey on resource: {STRANGE} \
         because no resource-based policy allows the kms:DescribeKey action",
        "operations".repeat(6),
        "session".repeat(9)
    );
    let rule = json!({"op": "DescribeKey", "error": "AccessDeniedException", "status": 400, "message": words});
    let layer = Layer::start(&json!({"rules": [rule]}));
    let variables = [("AWS_ENDPOINT_URL", &*layer.url), ("AWS_REGION", REGION)];
    let named = ["--account", ACCOUNT, "--policy", policy.to_str().unwrap()];
    let statement = json!({
        "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")}, "Action": "kms:DescribeKey", "Resource": "*",
    });
    let says = format!(
        "the key policy of {STRANGE}, in account 999988887777, has to allow it: its owner adds this statement there"
    );
    for command in ["explain", "prove", "seal"] {
        let more: &[&str] = if command == "seal" { &["--dry-run"] } else { &[] };
        let Ran { code, out, err } = run(&[&[command, &*stream], more, &named[..]].concat(), &variables);
        assert_eq!(code, 1, "{command}: to try again is of no use: {out}{err}");
        let reported = format!("{out}{err}");
        assert!(reported.contains(&says) && reported.contains(&statement.to_string()), "{command}: {reported}");
        assert!(!reported.contains("try again"), "{command}: {reported}");
    }
    let Ran { code, out, .. } = run(&[&["prove", &*stream, "--json"], &named[..]].concat(), &variables);
    assert_eq!(code, 1, "{out}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let evidence = &json["evidence"][0];
    assert_eq!((&evidence["reason"], &evidence["remedy"]["about"]), (&json!("unreadable"), &json!("permission")));
    let asked = evidence["calls"].as_array().unwrap().iter().find(|call| call["call"] == "kms:DescribeKey").unwrap();
    assert!(words.len() > 250 && asked["message"] == *words, "AWS's words are kept to their end: {asked}");
    // A call that fails for a moment is another matter.
    let rule = json!({"op": "DescribeKey", "error": "ThrottlingException", "status": 400, "message": "slow down"});
    let layer = Layer::start(&json!({"rules": [rule]}));
    let variables = [("AWS_ENDPOINT_URL", &*layer.url), ("AWS_REGION", REGION)];
    let Ran { code, out, err } = run(&[&["explain", &*stream], &named[..]].concat(), &variables);
    assert!(code == 4 && err.contains("this may be temporary: try again"), "{out}{err}");
}

#[test]
fn what_the_organization_denies_no_policy_of_ours_can_allow() {
    let folder = tempfile::tempdir().unwrap();
    let stream = unique("guarded");
    parts().key(&format!("alias/{stream}"));
    let text = format!(
        "version: 1\ndefaults: {{existing: enforce, settle: {{terraform: 0s, cloudformation: 0s, pulumi: 0s}}}}\nrules: [{{name: all, \
         key: alias/{stream}}}]\n"
    );
    let policy = file(&folder, "policy.yaml", &text);
    parts().stream(&stream);
    parts().active(&stream);
    let scp = "arn:aws:organizations::987654321098:policy/o-qv5af4abcd/service_control_policy/p-2kgnabcd";
    let words = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/ops/{} is not authorized to perform: kinesis:StartStreamEncryption on resource: \
         arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream} with an explicit deny in a service control policy: {scp}",
        "session".repeat(9)
    );
    let rule =
        json!({"op": "StartStreamEncryption", "error": "AccessDeniedException", "status": 400, "message": words});
    let layer = Layer::start(&json!({"rules": [rule]}));
    let arguments = ["seal", "--yes", &stream, "--policy", policy.to_str().unwrap(), "--account", ACCOUNT];
    let Ran { code, out, err } = run(&arguments, &[("AWS_ENDPOINT_URL", &layer.url), ("AWS_REGION", REGION)]);
    assert_eq!(code, 3, "{out}{err}");
    let says = format!(
        "a service control policy ({scp}) denies kinesis:StartStreamEncryption: whoever manages the organization"
    );
    assert!(err.contains(&says), "{err}");
    assert!(!err.contains("\"Effect\""), "no statement of ours can make up for it: {err}");
    assert!(out.contains(&words), "the words to their end: {out}");
}
