//! What every command says is to be done: true, and as it can be pasted.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Ran, reach_of, run};
use crate::support::{ACCOUNT, Layer, Parts, REGION, aws_cli, file, parts, root, unique};

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

/// Texts, each read as `fixes.py` does.
fn read_by_others(texts: &[Value]) -> Vec<Value> {
    let mut child = Command::new(root().join(".local/test/bin/python"))
        .args(["-B", root().join("tests/system/fixes.py").to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "`make setup` installs the parsers");
    let said: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(said.len(), texts.len());
    said
}

/// The lines under this label, without their indent: as somebody pastes them.
fn pasted(text: &str, label: &str) -> Vec<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = text.lines().skip_while(|line| line.trim() != label);
    let Some(label) = lines.next() else { return Vec::new() };
    lines.take_while(|line| indent(line) > indent(label)).map(|line| line.trim().to_owned()).collect()
}

/// A fix as one output has it: where it was printed, for Terraform, for CloudFormation, for a shell.
#[derive(Debug)]
struct Printed {
    by: String,
    stream: String,
    terraform: String,
    cloudformation: String,
    cli: Option<String>,
}

impl Printed {
    fn of(by: &str, stream: &str, terraform: &Value, cloudformation: &Value, cli: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{by}: {stream}")).to_owned();
        let cli = Some(cli).filter(|cli| !cli.is_null()).map(text);
        let (terraform, cloudformation) = (text(terraform), text(cloudformation));
        Self { by: by.to_owned(), stream: stream.to_owned(), terraform, cloudformation, cli }
    }

    /// Of text for people, about one stream.
    fn in_text(by: &str, stream: &str, text: &str) -> Self {
        let block = |label| json!(pasted(text, label).join("\n"));
        let of_stack = block("CloudFormation, in the Properties of AWS::Kinesis::Stream");
        Self::of(by, stream, &block("Terraform, in aws_kinesis_stream"), &of_stack, &block("AWS CLI"))
    }

    fn in_json(by: &str, stream: &str, at_source: &Value) -> Self {
        Self::of(by, stream, &at_source["terraform"], &at_source["cloudformation"], &at_source["cli"])
    }
}

/// The records of comma-separated values, by the names in the first.
fn records(csv: &str) -> Vec<Value> {
    const READ: &str =
        "import csv, io, json, sys; print(json.dumps(list(csv.DictReader(io.StringIO(sys.argv[1], newline='')))))";
    let output = Command::new("python3").args(["-c", READ, csv]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every fix that a command printed about these streams.
fn printed(names: &[&str], at: &dyn Fn(&[&str]) -> String, folder: &tempfile::TempDir) -> Vec<Printed> {
    let mut all = Vec::new();
    let outputs = ["a.json", "a.csv", "a.jsonl"].map(|name| folder.path().join(name));
    let [as_json, as_csv, as_evidence] = outputs.each_ref().map(|path| path.to_str().unwrap());
    at(&["audit", "-o", as_json, "-o", as_csv, "-o", as_evidence]);
    let [as_json, as_csv, as_evidence] = outputs.map(|path| std::fs::read_to_string(path).unwrap());
    let rows: Value = serde_json::from_str(&as_json).unwrap();
    for row in rows["streams"].as_array().unwrap() {
        all.push(Printed::in_json("audit --json", row["stream"].as_str().unwrap(), &row["at_source"]));
    }
    for row in records(&as_csv) {
        let [terraform, stack, cli] =
            ["terraform", "cloudformation", "cli"].map(|tool| row[format!("at_source_{tool}")].clone());
        // The name itself is kept from being a formula.
        let stream = row["arn"].as_str().unwrap().rsplit('/').next().unwrap();
        all.push(Printed::of("audit --format csv", stream, &terraform, &stack, &cli));
    }
    for line in as_evidence.lines() {
        let document: Value = serde_json::from_str(line).unwrap();
        let stream = document["stream"]["name"].as_str().unwrap().to_owned();
        all.push(Printed::in_json("evidence", &stream, &document["at_source"]));
    }
    let findings: Value = serde_json::from_str(&at(&["audit", "--format", "asff"])).unwrap();
    for finding in findings["Findings"].as_array().unwrap() {
        let fields = &finding["ProductFields"];
        let [terraform, stack] =
            ["terraform", "cloudformation"].map(|tool| &fields[format!("streamseal/at-source/{tool}")]);
        let stream = finding["Resources"][0]["Id"].as_str().unwrap().rsplit('/').next().unwrap();
        let command = &fields["streamseal/remedy/command"];
        all.push(Printed::of("audit --format asff", stream, terraform, stack, command));
    }
    for name in names {
        let arn = super::stream_arn(name);
        for command in ["explain", "prove", "seal"] {
            let more: &[&str] = if command == "seal" { &["--dry-run"] } else { &[] };
            all.push(Printed::in_text(command, name, &at(&[&[command, "--fix", &arn], more].concat())));
            let json: Value = serde_json::from_str(&at(&[&[command, "--json", &arn], more].concat())).unwrap();
            let of_one = [&json, &json["evidence"][0], &json["plan"][0]];
            let at_source = of_one.into_iter().map(|of| &of["at_source"]).find(|change| change.is_object());
            all.push(Printed::in_json(command, name, at_source.unwrap_or_else(|| panic!("{command}: {json}"))));
        }
        all.push(Printed::in_text("audit --fix", name, &at(&["audit", &format!("--stream={name}"), "--fix"])));
    }
    all
}

/// Whatever prints them, fixes say the same to parsers of others: the setting of a stream in HCL and in CloudFormation's YAML, with the
/// key that is required. What is for a shell are commands, which change this stream and no other.
#[test]
fn every_fix_is_read_by_parsers_that_are_not_ours() {
    let own = Parts::start(&["--create-ms", "1", "--update-ms", "1"]);
    let folder = tempfile::tempdir().unwrap();
    let made = own.kms("CreateKey", json!({"MultiRegion": true}));
    let many_regions = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    let key = own.key("alias/Good_1/x-y");
    let text = format!(
        "version: 1\ndefaults: {{existing: enforce, settle: {{terraform: 0s, cloudformation: 0s, pulumi: 0s}}}}\nrules:\n\
         - {{name: a, match: {{stream: '--all'}}, key: alias/Good_1/x-y}}\n\
         - {{name: b, match: {{stream: '-.a_B'}}, key: '{many_regions}', guard: {{watch: 20m}}}}\n\
         - {{name: c, match: {{stream: 'plain'}}, key: alias/aws/kinesis}}\n"
    );
    let policy = file(&folder, "policy.yaml", &text);
    let expected = [("--all", &*key), ("-.a_B", &many_regions), ("plain", "alias/aws/kinesis")];
    for (name, _) in expected {
        own.stream(name);
        own.active(name);
    }
    let at = |arguments: &[&str]| {
        let all = [arguments, &["--policy", policy.to_str().unwrap(), "--account", ACCOUNT]].concat();
        let Ran { code, out, err } = run(&all, &reach_of(&own));
        assert_eq!(code, 3, "{arguments:?}: {out}{err}");
        out
    };
    let all = printed(&expected.map(|(name, _)| name), &at, &folder);
    let kinds = std::collections::BTreeSet::from_iter(all.iter().map(|printed| printed.by.as_str()));
    assert_eq!(kinds.len(), 8, "{kinds:?}");
    assert_eq!(all.len(), 3 * (4 + 7), "each of the three in each form: {all:?}");
    let texts = all.iter().flat_map(|Printed { terraform, cloudformation, .. }| {
        let stack = format!(
            "Resources:\n  S:\n    Type: AWS::Kinesis::Stream\n    Properties:\n      ShardCount: 1\n      {cloudformation}\n"
        );
        let resource =
            format!("resource \"aws_kinesis_stream\" \"s\" {{\nshard_count = 1\n{terraform}\nname = \"s\"\n}}\n");
        [json!({"hcl": resource}), json!({"cloudformation": stack})]
    });
    let said = read_by_others(&texts.collect::<Vec<_>>());
    for (printed, said) in all.iter().zip(said.chunks(2)) {
        let (_, key) =
            expected.iter().find(|(name, _)| *name == printed.stream).unwrap_or_else(|| panic!("{printed:?}"));
        let of_resource = json!({"shard_count": 1, "encryption_type": "KMS", "kms_key_id": key, "name": "s"});
        assert_eq!(said[0], json!({"resource": [{"aws_kinesis_stream": {"s": of_resource}}]}), "{printed:?}");
        let properties = json!({"ShardCount": 1, "StreamEncryption": {"EncryptionType": "KMS", "KeyId": key}});
        assert_eq!(said[1]["Resources"]["S"]["Properties"], properties, "{printed:?}");
        let command = printed.cli.as_ref().unwrap_or_else(|| panic!("{printed:?}"));
        assert_shell(command);
        let words: Vec<&str> = command.split(' ').collect();
        let arn = super::stream_arn(&printed.stream);
        match words.as_slice() {
            ["aws", "kinesis", "start-stream-encryption", "--stream-arn", of, rest @ ..] => {
                assert_eq!((*of, rest[2..4].join(" ")), (&*arn, format!("--key-id {key}")), "{printed:?}");
            }
            // A guarded change is watched. A name that begins with a hyphen would be an option: `--all` all streams.
            ["streamseal", "seal", of, rest @ ..] => {
                let named = if printed.stream.starts_with('-') { &arn } else { &printed.stream };
                assert_eq!((of, rest[2..].join(" ")), (&&**named, "--watch 20m".to_owned()), "{printed:?}");
            }
            _ => panic!("{printed:?}"),
        }
    }
}
