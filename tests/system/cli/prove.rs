//! `streamseal prove`: a proof, and never a Start.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Ran, at_parts, at_terminal, reach, steady, stream_arn};
use crate::support::{ACCOUNT, REGION, file, parts, unique};

#[test]
fn a_proof_is_made_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, right, quiet, busy] = ["plain", "right", "quiet", "busy"].map(unique);
    let alias = format!("alias/{}", unique("prove"));
    let key = parts().key(&alias);
    // With the settle times that are the default: whoever asks for a proof wants to know now.
    let text = format!("version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: all, key: {alias}}}\n");
    let policy = file(&folder, "policy.yaml", &text);
    parts().stream(&plain);
    parts().active(&plain);
    [&right, &quiet, &busy].iter().for_each(|name| parts().encrypted(name, &key));

    let head = format!("account {ACCOUNT}, Region {REGION}, policy file:{}, mode prove\n", policy.display());
    let Ran { code, out, err } = at_parts(&["prove", &plain, "--fix"], Some(&policy));
    assert_eq!((code, err), (3, head), "{out}");
    assert!(
        out.ends_with(&format!(
            "next: `streamseal seal {plain} --dry-run --policy {}` shows what it would change\n",
            policy.display()
        )),
        "{out}"
    );
    assert!(out.contains(&format!("wrong   {plain}: not-encrypted, withheld (prove-only; in enforce mode it would encrypt): the stream is not encrypted")), "{out}");
    for change in [
        format!("      encryption_type = \"KMS\"\n      kms_key_id      = \"{key}\"\n"),
        format!("      StreamEncryption: {{ EncryptionType: KMS, KeyId: \"{key}\" }}\n"),
        format!("    AWS CLI\n      aws kinesis start-stream-encryption --stream-arn {}", stream_arn(&plain)),
    ] {
        assert!(out.contains(&change), "{change}: {out}");
    }
    let Ran { out, .. } = at_parts(&["prove", &plain], Some(&policy));
    assert!(!out.contains("Terraform, in"), "without --fix: {out}");
    assert!(out.ends_with(&format!("next: `streamseal prove {plain} --fix --policy {}` prints what to change, for Terraform, CloudFormation and the AWS CLI\n", policy.display())), "{out}");
    // A run of the command line has an id of its own, as an invocation has.
    let ids = [1, 2].map(|_| {
        let Ran { out, err, .. } = at_parts(&["prove", &plain, "--json"], Some(&policy));
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
        json["evidence"][0]["run"]["id"].as_str().unwrap().to_owned()
    });
    let lengths: Vec<usize> = ids[0].split('-').map(str::len).collect();
    assert!(lengths == [8, 4, 4, 4, 12] && ids[0] != ids[1], "{ids:?}");
    assert_eq!((&parts().describe(&plain)["EncryptionType"], parts().records(&plain).len()), (&json!("NONE"), 0));

    let Ran { code, out, .. } = at_parts(&["prove", "--yes", &right], Some(&policy));
    assert_eq!(code, 0, "{out}");
    let record = &parts().records(&right)[0];
    let number = record["SequenceNumber"].as_str().unwrap();
    let names = [(&*right, "STREAM"), (&*key, "KEY"), (&*alias, "ALIAS"), (number, "NUMBER")];
    insta::assert_snapshot!("prove", steady(&out, &names));
    let Ran { code, out, .. } = at_parts(&["prove", "--yes", &right, &stream_arn(&right), "--json"], Some(&policy));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["evidence"][0]["run"]["mode"]), (0, &json!("prove")));
    assert_eq!((&json["evidence"][0]["proof"]["state"], parts().records(&right).len()), (&json!("proven"), 2));
    assert_eq!(json["evidence"].as_array().unwrap().len(), 1, "a stream that is named twice is one");
    insta::assert_snapshot!("prove_json_fields", fields("", &json).join("\n"));

    let Ran { code, out, .. } = at_parts(&["prove", &unique("gone")], Some(&policy));
    assert!(code == 1 && out.contains("stream-gone"), "a slip of the pen is no proof: {out}");
    assert!(!out.contains("proof:"), "a stream that is gone owes none: {out}");

    // Somebody writes into one of them meanwhile.
    let done = std::sync::atomic::AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                parts().kinesis("PutRecord", json!({"StreamName": busy, "PartitionKey": "p", "Data": "eA=="})).unwrap();
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        let ran = at_parts(&["prove", "--observe", &busy, &quiet], Some(&policy));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        ran
    });
    assert_eq!(ran.code, 4, "nobody wrote into the other one: {ran:?}");
    assert!(
        ran.out.contains("proof: a producer's record ") && ran.out.contains(&format!("unknown {quiet}: idle")),
        "{ran:?}"
    );
    assert_eq!(parts().records(&quiet).len(), 0);
    assert!(parts().records(&busy).iter().all(|record| record["PartitionKey"] == "p"));
}

/// The fields of a document by their paths: its values differ from run to run, and evidence has a schema of its own.
fn fields(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.iter().flat_map(|(name, value)| fields(&format!("{path}/{name}"), value)).collect(),
        Value::Array(items) => items.first().map(|item| fields(&format!("{path}/*"), item)).unwrap_or_default(),
        _ => vec![path.to_owned()],
    }
}

/// What is written is said before, and nothing is written without a yes.
#[test]
fn a_record_is_written_after_a_yes_alone() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, right, described] = ["plain", "right", "described"].map(unique);
    let alias = format!("alias/{}", unique("ask"));
    let key = parts().key(&alias);
    let text = format!(
        "version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: quiet, match: {{stream: '{described}'}}, key: {alias}, proof: \
         {{new: describe, existing: describe}}}}\n  - {{name: all, key: {alias}}}\n"
    );
    let policy = file(&folder, "policy.yaml", &text);
    parts().stream(&plain);
    parts().active(&plain);
    [&right, &described].iter().for_each(|name| parts().encrypted(name, &key));
    let streams = [&*plain, &right, &described];
    let names =
        [(&*plain, "PLAIN"), (&*right, "RIGHT"), (&*described, "DESCRIBED"), (&*key, "KEY"), (&*alias, "ALIAS")];
    let is_untouched = || streams.iter().all(|name| parts().records(name).is_empty());

    let Ran { code, out, .. } = at_parts(&[&["prove", "--dry-run"], &streams[..]].concat(), Some(&policy));
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!("prove_dry_run", steady(&out, &names));
    let Ran { out, .. } = at_parts(&[&["prove", "--dry-run", "--json"], &streams[..]].concat(), Some(&policy));
    let json: Value = serde_json::from_str(&out).unwrap();
    let writes = json["plan"].as_array().unwrap().iter().map(|planned| &planned["writes"]).collect::<Vec<_>>();
    assert_eq!((writes, &json["evidence"]), (vec![&json!(false), &json!(true), &json!(false)], &Value::Null));
    // Nobody to ask: only where a record would be written.
    let Ran { code, err, .. } = at_parts(&["prove", &right], Some(&policy));
    assert!(code == 2 && err.contains("`--yes`") && err.contains("`--observe`"), "{err}");
    let path = policy.to_str().unwrap();
    let variables = reach();
    let question = "Write one small record to 1 stream?";
    let answered = |answer: &str| at_terminal(&["prove", &right, "--policy", path], &variables, &[(question, answer)]);
    let (code, text) = answered("y\n");
    assert!(code == 0 && text.contains("nothing was changed") && !text.contains("proven"), "{text}");
    let (code, text) = answered("\u{3}");
    assert!(code == 4 && text.contains("nothing was changed"), "{text}");
    assert!(is_untouched());

    let (code, text) = answered("yes\n");
    assert!(code == 0 && text.contains("1 proven, 0 wrong, 0 skipped, 0 unknown"), "{text}");
    assert_eq!(parts().records(&right).len(), 1);
    let Ran { code, out, .. } = at_parts(&[&["prove", "--yes"], &streams[..]].concat(), Some(&policy));
    assert_eq!((code, parts().records(&right).len()), (3, 2), "{out}");
    let ends = "1 proven, 1 wrong, 1 skipped, 0 unknown\nnext: `streamseal prove ";
    assert!(
        out.contains(ends) && out.ends_with("prints what to change, for Terraform, CloudFormation and the AWS CLI\n"),
        "{out}"
    );
    assert!(out.contains(&format!("skipped {described}: right-key")), "{out}");
}
