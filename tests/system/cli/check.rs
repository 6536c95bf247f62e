//! `streamseal check`: faults and warnings in the source, keys, and the policy's own tests.

use serde_json::{Value, json};

use super::{Ran, at_parts, pretty, run, steady};
use crate::support::{file, parts, unique};

const BAD: &str = "version: 2\nrules:\n  - name: all\n    kye: alias/x\n  - name: \"b\u{fc} c\"\n    key: alias/x\n    proof: { new: no }\n";

const GOOD: &str = "\
version: 1
defaults: { existing: enforce }
rules:
  - name: scratch
    match: { stream: ['scratch-*'] }
    exempt: { reason: synthetic, until: 2020-01-01 }
  - name: team
    match: { tags: { team: '*' } }
    key: 'alias/team-${tag:team}'
  - name: eu
    match: { region: 'eu-*' }
    key: alias/eu
  - name: orders
    match: { region: eu-west-1, stream: orders }
    key: alias/orders
";

#[test]
fn every_fault_is_shown_in_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(&folder, "bad.yaml", BAD);
    let path = bad.to_str().unwrap();
    let Ran { code, out, err } = run(&["check", path], &[]);
    assert_eq!((code, out.as_str()), (1, ""));
    insta::assert_snapshot!("check_faults", steady(&err, &[(path, "bad.yaml")]));

    let Ran { code, out, err } = run(&["check", path, "--json"], &[]);
    assert_eq!((code, err.as_str()), (1, ""));
    insta::assert_snapshot!("check_faults_json", pretty(&steady(&out, &[(path, "bad.yaml")])));
    let place = |fault: &Value| (fault["line"].clone(), fault["column"].clone());
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(place(&json["faults"][0]), (json!(1), json!(10)));

    let Ran { code, err, .. } = run(&["check", "/nowhere.yaml"], &[]);
    assert!(code == 1 && err.contains("/nowhere.yaml: cannot be read"), "{err}");
    assert_eq!(run(&["check"], &[]).code, 2);
    assert_eq!(run(&["check"], &[("POLICY", &format!("file:{path}"))]).code, 1);
}

#[test]
fn warnings_stand_beside_a_valid_policy() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(&folder, "good.yaml", GOOD);
    let path = good.to_str().unwrap();
    let Ran { code, out, err } = run(&["check", path], &[]);
    assert_eq!(code, 0, "{err}");
    insta::assert_snapshot!("check_warnings", steady(&format!("{err}{out}"), &[(path, "good.yaml")]));
    let Ran { code, out, err } = run(&["check", path, "--json"], &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    insta::assert_snapshot!("check_warnings_json", pretty(&steady(&out, &[(path, "good.yaml")])));
    // For CI: a warning fails where that was asked for, and nothing else does.
    let Ran { code, out, err } = run(&["check", path, "--strict"], &[]);
    assert!(code == 1 && out.contains("valid, 4 rules") && err.contains("none is allowed (--strict)"), "{out}{err}");
    let Ran { code, out, err } = run(&["check", path, "--strict", "--json"], &[]);
    assert!(code == 1 && out.contains("\"valid\":true") && err.is_empty(), "{out}{err}");
    let fine =
        file(&folder, "fine.yaml", "version: 1\ndefaults: {existing: enforce}\nrules: [{name: all, key: alias/x}]\n");
    assert_eq!(run(&["check", fine.to_str().unwrap(), "--strict"], &[]).code, 0);
}

#[test]
fn keys_are_looked_up_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (known, unknown, off) = (
        format!("alias/{}", unique("known")),
        format!("alias/{}", unique("unknown")),
        format!("alias/{}", unique("off")),
    );
    let (key, disabled) = (parts().key(&known), parts().key(&off));
    parts().kms("DisableKey", json!({"KeyId": disabled}));
    let text = format!(
        "version: 1\ndefaults: {{existing: enforce}}\nrules:\n  - {{name: a, match: {{stream: a}}, key: {known}}}\n  - {{name: b, \
         match: {{stream: b}}, key: '{known}-${{stream}}', accept: [{unknown}, customer-managed]}}\n  - {{name: c, key: {off}}}\n"
    );
    let policy = file(&folder, "policy.yaml", &text);
    let path = policy.to_str().unwrap();
    let names = [
        (path, "policy.yaml"),
        (&*known, "alias/known"),
        (&*unknown, "alias/unknown"),
        (&*off, "alias/off"),
        (&*key, "KEY"),
        (&*disabled, "DISABLED"),
    ];
    let Ran { code, out, err } = at_parts(&["check", path, "--resolve"], None);
    assert_eq!(code, 0, "{err}");
    assert_eq!(err.matches("warning").count(), 2, "{err}");
    assert!(err.contains(&format!("the key `{unknown}` of rule `b` is not known to KMS in eu-west-1")), "{err}");
    assert!(err.contains(&format!("the key `{off}` of rule `c` cannot be used: its KeyState is Disabled")), "{err}");
    assert!(out.contains("valid, 3 rules"), "{out}");
    let Ran { out, .. } = at_parts(&["check", path, "--resolve", "--json"], None);
    insta::assert_snapshot!("check_resolve_json", pretty(&steady(&out, &names)));
}

#[test]
fn a_policy_in_a_parameter_is_checked_too() {
    let name = format!("/{}", unique("policy"));
    parts().ssm("PutParameter", json!({"Name": name, "Type": "String", "Value": GOOD}));
    let Ran { code, out, err } = at_parts(&["check", "--policy", &format!("ssm:{name}")], None);
    assert!(code == 0 && out.contains(&format!("ssm:{name}: valid, 4 rules")), "{out}{err}");
    let Ran { code, err, .. } = at_parts(&["check", "--policy", &format!("ssm:{name}-not")], None);
    assert!(code == 1 && err.contains("ssm:GetParameter failed (ParameterNotFound)"), "{err}");
    assert!(err.contains(&format!("aws ssm put-parameter --name {name}-not --type String")), "{err}");
}

#[test]
fn the_tests_of_a_policy_run_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", GOOD);
    let path = policy.to_str().unwrap();
    let tests = "\
- name: an exemption that ended lets streams through
  given: { stream: scratch-1 }
  expect: { rule: eu, key: alias/eu }
- name: while it holds they are exempt
  given: { stream: scratch-1, at: 2019-12-31T23:00:00Z }
  expect: { rule: scratch, exempt: true }
";
    let file_of_tests = file(&folder, "policy.test.yaml", tests);
    let names = [(file_of_tests.to_str().unwrap(), "policy.test.yaml"), (path, "policy.yaml")];
    let Ran { code, out, .. } = run(&["check", path, "--test"], &[]);
    assert_eq!(code, 0, "{out}");
    insta::assert_snapshot!("check_test_passes", steady(&out, &names));

    let fails = format!(
        "{tests}- name: nobody else's\n  given: {{ stream: orders, region: us-east-1, tags: {{ team: a }} }}\n  expect: {{ unmatched: true }}\n"
    );
    let other = file(&folder, "other.yaml", &fails);
    let other = format!("--test={}", other.display());
    let names = [(other.strip_prefix("--test=").unwrap(), "other.yaml"), (path, "policy.yaml")];
    let Ran { code, out, .. } = run(&["check", path, &other], &[]);
    assert_eq!(code, 3, "{out}");
    insta::assert_snapshot!("check_test_fails", steady(&out, &names));
    let Ran { code, out, .. } = run(&["check", path, &other, "--json"], &[]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &json["tests"][1]["passed"], &json["tests"][2]["passed"]), (3, &json!(true), &json!(false)));

    let broken = file(&folder, "broken.yaml", "- name: x\n  given: { steam: a }\n  expect: { exempt: false }\n");
    let arguments = format!("--test={}", broken.display());
    let names = [(broken.to_str().unwrap(), "broken.yaml"), (path, "policy.yaml")];
    let Ran { code, err, .. } = run(&["check", path, &arguments], &[]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("check_test_broken", steady(&err, &names));
    let Ran { code, err, .. } = run(&["check", path, "--test=/nowhere.yaml"], &[]);
    assert!(code == 1 && err.contains("/nowhere.yaml: cannot be read"), "{err}");
}
