//! `streamseal check`: faults and warnings in the source, keys, and the policy's own tests.

use serde_json::{Value, json};

use super::{Ran, at_parts, pretty, run, steady};
use crate::support::{Function, aws_cli, create_event, file, parts, unique};

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
    assert!(code == 1 && out.contains("valid, 4 rules") && err.contains("warnings (--strict)"), "{out}{err}");
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
    // The names are not as long in each run.
    let out = out.replace(&format!("\"bytes\":{}", text.len()), "\"bytes\":0");
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

    // The argument names it as the option does, and comes before that.
    let by_argument = |more: &[&str]| {
        let named = format!("ssm:{name}");
        at_parts(&[&["check", &named], more].concat(), None)
    };
    let Ran { code, out, err } = by_argument(&["--policy", "/nowhere.yaml"]);
    assert!(code == 0 && out.contains(&format!("ssm:{name}: valid, 4 rules")), "{out}{err}");
    let Ran { code, err, .. } = by_argument(&["--test"]);
    assert!(code == 2 && err.contains("the policy is not a file"), "{err}");
    let folder = tempfile::tempdir().unwrap();
    let tests = file(&folder, "tests.yaml", "- {name: all, given: {stream: orders}, expect: {key: alias/eu}}\n");
    let Ran { code, out, err } = by_argument(&[&format!("--test={}", tests.display())]);
    assert!(code == 0 && out.contains("1 passed, 0 failed"), "{out}{err}");
}

/// A policy is put where it fits by the commands that docs/deploy.md has, and is then the one that the command line and the function read.
#[test]
fn a_policy_of_any_size_has_a_place_and_the_commands_are_documented() {
    let documented = include_str!("../../../docs/deploy.md");
    let command = |with: &str| {
        let line = documented.lines().find(|line| line.starts_with("$ ") && line.contains(with));
        line.unwrap_or_else(|| panic!("{with}")).trim_start_matches("$ ").to_owned()
    };
    let folder = tempfile::tempdir().unwrap();
    let checked = |policy: &str| -> Value {
        let Ran { code, out, err } = at_parts(&["check", policy, "--json"], None);
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    };
    let fits = |checked: &Value| {
        ["variable", "ssm_standard", "ssm_advanced", "package"].map(|place| checked["size"]["fits"][place] == true)
    };
    let digest_of = |variables: &[(&str, &str)]| {
        let stream = unique("sized");
        parts().stream(&stream);
        let function = Function::start(60, &[&[("MODE", "report")], variables].concat());
        function.invoke(&create_event(&stream)).body["policy"]["digest"].clone()
    };

    let small = file(&folder, "policy.yaml", GOOD);
    let found = checked(small.to_str().unwrap());
    assert_eq!((&found["size"]["bytes"], fits(&found)), (&json!(GOOD.len()), [true; 4]));

    // With the tier that its size needs.
    for (text, tier, with) in [
        (GOOD, "Standard", "put-parameter --name /streamseal/policy --type String --value"),
        (include_str!("../../policies/large/6-kilobytes.yaml"), "Advanced", "--tier Advanced"),
    ] {
        let by_file = checked(file(&folder, "policy.yaml", text).to_str().unwrap());
        assert_eq!(by_file["size"]["bytes"], text.len());
        assert_eq!(
            (by_file["size"]["fits"]["ssm_advanced"].clone(), fits(&by_file)[1]),
            (json!(true), tier == "Standard")
        );
        let name = format!("/{}", unique("policy"));
        let put = command(with).replace("/streamseal/policy", &name);
        let words = put.split(' ').skip(1).map(str::to_owned).collect();
        let answer = aws_cli(parts(), &[words], folder.path()).remove(0).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["Tier"], tier, "{put}");
        let source = format!("ssm:{name}");
        assert_eq!(checked(&source)["digest"], by_file["digest"]);
        assert_eq!(digest_of(&[("POLICY", &source)]), by_file["digest"]);
    }

    // The largest goes beside the program.
    let text = include_str!("../../policies/large/26-kilobytes.yaml");
    let by_file = checked(file(&folder, "policy.yaml", text).to_str().unwrap());
    assert_eq!((&by_file["size"]["bytes"], fits(&by_file)), (&json!(text.len()), [false, false, false, true]));
    assert_eq!(command("cp policy.yaml"), "cp policy.yaml .aws-sam/build/Function/");
    assert!(documented.contains("Mode=report PolicyFile=policy.yaml\n"));
    let stack = crate::common::Deployed::new(&[("PolicyFile", "policy.yaml")]);
    let policy = stack.properties("Function").unwrap()["Environment"]["Variables"]["POLICY"].clone();
    let package = [("POLICY", policy.as_str().unwrap()), ("LAMBDA_TASK_ROOT", folder.path().to_str().unwrap())];
    assert_eq!(digest_of(&package), by_file["digest"]);
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

#[test]
fn the_streams_of_plans_and_templates_are_judged_before_they_are_made() {
    let plans = crate::support::root().join("tests/plans");
    let path = |name: &str| plans.join(name).to_str().unwrap().to_owned();
    let (policy, plan, template) = (path("policy.yaml"), path("plan.json"), path("template.yaml"));
    let folder = plans.to_str().unwrap().to_owned();
    let both = ["check", &policy, "--terraform", &plan, "--cloudformation", &template];
    let shown = |more: &[&str]| {
        let Ran { code, out, err } = run(&[&both[..], more].concat(), &[]);
        assert_eq!((code, err.as_str()), (3, ""), "{out}");
        steady(&out, &[(&folder, "plans")])
    };
    insta::assert_snapshot!("check_plans", shown(&[]));
    insta::assert_snapshot!("check_plans_github", shown(&["--format", "github"]));
    insta::assert_snapshot!("check_plans_sarif", pretty(&shown(&["--format", "sarif"])));
    insta::assert_snapshot!("check_plans_json", pretty(&shown(&["--json"])));

    // Nothing is wrong with it; where --strict is given, what is not known is too much.
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(&plan).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["resource_changes"]
        .as_array_mut()
        .unwrap()
        .retain(|one| one["name"] == "sealed" || one["name"] == "named_later");
    let fine = file(&folder, "plan.json", &json.to_string());
    let fine = fine.to_str().unwrap();
    assert_eq!(run(&["check", &policy, "--terraform", fine], &[]).code, 0);
    assert_eq!(run(&["check", &policy, "--terraform", fine, "--strict"], &[]).code, 1);
    let Ran { code, err, .. } = run(&["check", &policy, "--terraform", &template], &[]);
    assert!(code == 1 && err.contains("template.yaml: invalid JSON") && err.contains("terraform show -json"), "{err}");
    let odd = file(&folder, "odd.yaml", "Resources: [a");
    let Ran { code, err, .. } = run(&["check", &policy, "--cloudformation", odd.to_str().unwrap()], &[]);
    assert!(code == 1 && err.contains("not YAML"), "{err}");
    assert_eq!(run(&["check", &policy, "--terraform", fine, "--format", "sarif", "--json"], &[]).code, 2);
}

/// As pre-commit runs it: the entry of the hook, and the files of a commit behind it.
#[test]
fn several_policies_are_checked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fine = file(
        &folder,
        "fine.yaml",
        "version: 1\ndefaults: {existing: enforce}\nrules:\n  - {name: all, key: alias/aws/kinesis}\n",
    );
    let bad = file(
        &folder,
        "bad.yaml",
        "version: 2\ndefaults: {existing: enforce}\nrules:\n  - {name: all, key: alias/aws/kinesis}\n",
    );
    let (fine, bad) = (fine.to_str().unwrap(), bad.to_str().unwrap());
    let hooks = std::fs::read_to_string(crate::support::root().join(".pre-commit-hooks.yaml")).unwrap();
    let entry = hooks.lines().find_map(|line| line.trim().strip_prefix("entry: streamseal ")).unwrap();
    let hook: Vec<&str> = entry.split(' ').collect();
    assert_eq!(run(&[hook.as_slice(), &[fine, fine]].concat(), &[]).code, 0);
    let Ran { code, out, err } = run(&[hook.as_slice(), &[bad, fine, bad]].concat(), &[]);
    assert_eq!(
        (code, out.matches("fine.yaml: valid").count(), err.matches("bad.yaml: 1 error").count()),
        (1, 1, 2),
        "{out}{err}"
    );
    let Ran { code, out, .. } = run(&["check", bad, fine, "--json"], &[]);
    let valid: Vec<Value> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["valid"].take()).collect();
    assert_eq!((code, valid), (1, vec![json!(false), json!(true)]));
    let Ran { code, err, .. } = run(&["check", fine, bad, "--test=x.yaml"], &[]);
    assert!(code == 2 && err.contains("works with one policy"), "{err}");
    let Ran { code, err, .. } = run(&["check", "/nowhere.yaml", fine], &[]);
    assert!(code == 1 && err.contains("/nowhere.yaml: cannot be read"), "{err}");
}
