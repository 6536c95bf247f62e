//! `streamseal explain`: rule, reasons, key, and what a run would do; for streams that are there and for others.

use serde_json::{Value, json};

use super::{Ran, at_parts, pretty, steady};
use crate::support::{file, parts, unique};

fn policy(folder: &tempfile::TempDir, prefix: &str) -> std::path::PathBuf {
    let text = format!(
        "\
version: 1
defaults: {{ existing: enforce, settle: {{ terraform: 0s, cloudformation: 0s, pulumi: 0s }} }}
rules:
  - name: scratch
    match: {{ stream: ['scratch-*'] }}
    exempt: {{ reason: synthetic, owner: data, until: 2099-01-01 }}
  - name: pci
    match: {{ tags: {{ data-class: [pci, phi] }} }}
    key: alias/{prefix}-pci
  - name: team
    match: {{ tags: {{ team: '*' }} }}
    unless: {{ stream: ['*-legacy'] }}
    key: 'alias/{prefix}-${{tag:team}}'
"
    );
    file(folder, "policy.yaml", &text)
}

#[test]
fn a_stream_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let (prefix, stream) = (unique("explain"), unique("explained"));
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}-blue"));
    parts().stream(&stream);
    parts().active(&stream);
    parts().kinesis("AddTagsToStream", json!({"StreamName": stream, "Tags": {"team": "blue"}})).unwrap();
    let names = [(&*stream, "STREAM"), (&*key, "KEY"), (&*prefix, "PREFIX")];

    let Ran { code, out, err } = at_parts(&["explain", &stream, "--mode", "enforce"], Some(&policy));
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    insta::assert_snapshot!("explain_wrong", steady(&out, &names));
    let Ran { code, out, .. } = at_parts(&["explain", &stream, "--json"], Some(&policy));
    assert_eq!(code, 3);
    insta::assert_snapshot!("explain_wrong_json", pretty(&steady(&out, &names)));
    assert_eq!(parts().describe(&stream)["EncryptionType"], "NONE");

    parts()
        .kinesis("StartStreamEncryption", json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": key}))
        .unwrap();
    parts().active(&stream);
    let Ran { code, out, .. } = at_parts(&["explain", &stream], Some(&policy));
    // As `audit` and `seal --dry-run` have it; whether records are encrypted is for `prove`.
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!("explain_right", steady(&out, &names));
    let Ran { code, out, .. } = at_parts(&["explain", &stream, "--json"], Some(&policy));
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["step"], &json["compliant"]), (0, &json!("prove"), &json!(true)));
    assert_eq!(parts().records(&stream).len(), 0);

    let without_tags =
        file(&folder, "all.yaml", "version: 1\ndefaults: {existing: enforce}\nrules: [{name: a, key: alias/a}]\n");
    for policy in [&policy, &without_tags] {
        let Ran { code, out, err } = at_parts(&["explain", &unique("gone")], Some(policy));
        assert!(code == 1 && out.is_empty() && err.contains("no such stream") && err.contains("--name gone-"), "{err}");
    }
}

#[test]
fn a_stream_that_need_not_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("imagined");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}-blue"));
    let names = [(&*key, "KEY"), (&*prefix, "PREFIX")];
    let explain = |arguments: &[&str]| at_parts(&[&["explain", "--name"], arguments].concat(), Some(&policy));

    let Ran { code, out, .. } = explain(&["orders", "--tag", "team=blue", "--mode", "enforce"]);
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!("explain_name", steady(&out, &names));
    // It would be wrong and stay so, which is no success to observe, though no fault of a stream that is not there.
    let Ran { code, out, .. } = explain(&["orders", "--tag", "team=blue", "--color", "always"]);
    assert!(
        code == 0
            && out
                .contains("\u{1b}[1m\u{1b}[31mNON_COMPLIANT, withheld (report-mode; in enforce mode it would encrypt)"),
        "{out:?}"
    );
    let Ran { code, out, err } = explain(&["orders", "--tag", "team=red"]);
    assert!(code == 3 && out.contains("KMS does not know it") && err.is_empty(), "{out}{err}");
    assert!(out.contains("what to do\n  KMS does not know alias/") && out.contains("check --resolve"), "{out}");
    let Ran { code, out, .. } = explain(&["orders-legacy", "--tag", "team=blue"]);
    assert_eq!(code, 3, "{out}");
    insta::assert_snapshot!("explain_unmatched", steady(&out, &names));
    let Ran { code, out, .. } = explain(&["scratch-1"]);
    assert!(code == 0 && out.contains("exempt   synthetic; owner data; until 2099-01-01"), "{out}");
    let Ran { out, .. } = explain(&["orders", "--tag", "team=a b", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&json["outcome"], &json["rule"]), (&json!("unresolvable"), &json!("team")));

    // It would not be as its rule says, though that is no fault of a stream that is not there.
    let Ran { code, out, .. } = explain(&["orders", "--tag", "team=blue", "--json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &json["step"], &json["compliant"], &json["reason"]),
        (0, &json!("withheld"), &json!(false), &json!("not-encrypted"))
    );

    let twice = ["orders", "--tag", "team=a", "--tag", "team=b"];
    for wrong in [&["a b"][..], &["orders", "--tag", "team"], &["orders", "--tag", "=x"], &["orders", "orders"], &twice]
    {
        assert_eq!(explain(wrong).code, 2, "{wrong:?}");
    }
    assert_eq!(at_parts(&["explain"], Some(&policy)).code, 2);
}

#[test]
fn tags_that_a_stream_does_not_have_are_a_what_if() {
    let folder = tempfile::tempdir().unwrap();
    let (prefix, stream) = (unique("what-if"), unique("tagged"));
    let policy = policy(&folder, &prefix);
    let [red, blue] = ["red", "blue"].map(|team| parts().key(&format!("alias/{prefix}-{team}")));
    parts().encrypted(&stream, &red);
    parts()
        .kinesis("AddTagsToStream", json!({"StreamName": stream, "Tags": {"team": "red", "data-class": "none"}}))
        .unwrap();
    let explain = |more: &[&str]| -> (i32, Value) {
        let arguments = [&["explain", &stream, "--mode", "enforce", "--json"], more].concat();
        let Ran { code, out, err } = at_parts(&arguments, Some(&policy));
        (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}")))
    };
    let (code, found) = explain(&[]);
    assert_eq!((code, &found["step"], &found["key"]["key"]), (0, &json!("prove"), &json!(red)));
    // Its setting is the real one, and so are its other tags.
    let (code, found) = explain(&["--tag", "team=blue"]);
    assert_eq!(
        (code, &found["step"], &found["key"]["key"], &found["compliant"]),
        (3, &json!("start"), &json!(blue), &json!(false))
    );
    assert_eq!((&found["setting"]["key_id"], &found["rule"]), (&json!(red), &json!("team")));
    let (code, found) = explain(&["--tag", "team=red"]);
    assert_eq!((code, &found["compliant"]), (0, &json!(true)), "{found}");
    let gone = at_parts(&["explain", &unique("gone"), "--tag", "a=b"], Some(&policy));
    assert!(gone.code == 1 && gone.err.contains("no such stream"), "{gone:?}");
}

/// How long it waits for a creator is no instant: every observation begins anew, up to one that does not move.
#[test]
fn a_stream_whose_creator_may_be_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let alias = format!("alias/{}", unique("young"));
    parts().key(&alias);
    let text = format!("version: 1\ndefaults: {{existing: enforce}}\nrules: [{{name: all, key: {alias}}}]\n");
    let policy = file(&folder, "policy.yaml", &text);
    let stream = unique("young");
    parts().stream(&stream);
    parts().active(&stream);
    let said = || {
        let Ran { code, out, .. } = at_parts(&["explain", &stream, "--mode", "enforce"], Some(&policy));
        assert!(code == 4 && out.contains(" after it is observed ACTIVE, at most until "), "{out}");
        out
    };
    let first = said();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(first, said());
}
