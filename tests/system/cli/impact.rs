//! `streamseal impact` against emulators: each kind of user of a stream is found, and the statements that are printed give access.

use std::path::Path;

use serde_json::{Value, json};

use super::simulator::Simulator;
use super::{Ran, at_terminal, run, stream_arn};
use crate::support::{ACCOUNT, Parts, REGION, aws_cli, call};

/// Everything is asked of one emulator, since it knows all of the services.
fn impact(parts: &Parts, arguments: &[&str]) -> Ran {
    let variables = [("AWS_ENDPOINT_URL", &*parts.aws), ("AWS_REGION", REGION), ("NO_PROXY", "127.0.0.1")];
    run(&[&["impact"], arguments, &["--account", ACCOUNT]].concat(), &variables)
}

/// The same with a simulator that evaluates conditions.
fn impact_simulated(parts: &Parts, simulator: &Simulator, arguments: &[&str]) -> Ran {
    let iam = simulator.url();
    let variables = [
        ("AWS_ENDPOINT_URL", &*parts.aws),
        ("AWS_ENDPOINT_URL_IAM", &*iam),
        ("AWS_REGION", REGION),
        ("NO_PROXY", "127.0.0.1"),
    ];
    run(&[&["impact"], arguments, &["--account", ACCOUNT]].concat(), &variables)
}

fn kinesis(parts: &Parts, operation: &str, body: Value) -> Value {
    call(&parts.aws, &format!("Kinesis_20131202.{operation}"), "kinesis", &body).unwrap()
}

/// Runs commands of the AWS CLI, each of which has to work.
fn aws(parts: &Parts, commands: &[&[&str]], folder: &Path) -> Vec<String> {
    let commands: Vec<Vec<String>> =
        commands.iter().map(|command| command.iter().map(ToString::to_string).collect()).collect();
    let answers = aws_cli(parts, &commands, folder);
    commands
        .iter()
        .zip(answers)
        .map(|(command, answer)| answer.unwrap_or_else(|why| panic!("{command:?}: {why}")))
        .collect()
}

/// An empty archive, for a function that nobody calls.
const EMPTY_ZIP: [u8; 22] = *b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A stream on an old key, with a function, a delivery stream, a pipe, a rule, a registered consumer, and a resource policy that lets
/// another account in. The role of each; all may use every key, as far as their own policies go.
struct World {
    parts: Parts,
    folder: tempfile::TempDir,
    roles: [String; 4],
    target: String,
}

const FOREIGN: &str = "arn:aws:iam::444455556666:root";

/// A key policy: its owners may manage it, and these statements.
fn key_policy(statements: &[Value]) -> String {
    let manage = json!({
        "Sid": "manage", "Effect": "Allow", "Principal": {"AWS": format!("arn:aws:iam::{ACCOUNT}:root")},
        "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:Put*"], "Resource": "*",
    });
    let all = [&[manage], statements].concat();
    json!({"Version": "2012-10-17", "Statement": all}).to_string()
}

fn world() -> World {
    let parts = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let own = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]});
    let roles = ["function", "delivery", "pipe", "rule"].map(|name| parts.role(name, &own));
    let [function, delivery, pipe, rule] = &roles;
    let (old, target) = (parts.key("alias/old"), parts.key("alias/new"));
    let stream = stream_arn("orders");
    kinesis(&parts, "CreateStream", json!({"StreamName": "orders", "ShardCount": 1}));
    kinesis(&parts, "StartStreamEncryption", json!({"StreamName": "orders", "EncryptionType": "KMS", "KeyId": old}));
    kinesis(&parts, "RegisterStreamConsumer", json!({"StreamARN": stream, "ConsumerName": "fan"}));
    let let_in = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": FOREIGN}, "Action": "kinesis:PutRecord", "Resource": stream,
    }]});
    kinesis(&parts, "PutResourcePolicy", json!({"ResourceARN": stream, "Policy": let_in.to_string()}));
    std::fs::write(folder.path().join("f.zip"), EMPTY_ZIP).unwrap();
    let decrypt = json!({"Sid": "function", "Effect": "Allow", "Principal": {"AWS": function}, "Action": "kms:Decrypt", "Resource": "*"});
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:q");
    let source = format!("KinesisStreamARN={stream},RoleARN={delivery}");
    let destination = format!("RoleARN={delivery},BucketARN=arn:aws:s3:::bucket");
    let target_of_rule = json!([{"Id": "1", "Arn": stream, "RoleArn": rule}]).to_string();
    aws(
        &parts,
        &[
            &[
                "lambda",
                "create-function",
                "--function-name",
                "reader",
                "--runtime",
                "python3.12",
                "--handler",
                "f.f",
                "--role",
                function,
                "--zip-file",
                "fileb://f.zip",
            ],
            &[
                "lambda",
                "create-event-source-mapping",
                "--function-name",
                "reader",
                "--event-source-arn",
                &stream,
                "--starting-position",
                "LATEST",
            ],
            &[
                "firehose",
                "create-delivery-stream",
                "--delivery-stream-name",
                "delivery",
                "--delivery-stream-type",
                "KinesisStreamAsSource",
                "--kinesis-stream-source-configuration",
                &source,
                "--s3-destination-configuration",
                &destination,
            ],
            &["sqs", "create-queue", "--queue-name", "q"],
            &["pipes", "create-pipe", "--name", "piped", "--source", &stream, "--target", &queue, "--role-arn", pipe],
            &["events", "create-event-bus", "--name", "other"],
            &[
                "events",
                "put-rule",
                "--name",
                "ruled",
                "--event-bus-name",
                "other",
                "--event-pattern",
                "{\"source\":[\"x\"]}",
            ],
            &["events", "put-targets", "--rule", "ruled", "--event-bus-name", "other", "--targets", &target_of_rule],
            &[
                "kms",
                "put-key-policy",
                "--key-id",
                &target,
                "--policy-name",
                "default",
                "--policy",
                &key_policy(&[decrypt]),
            ],
        ],
        folder.path(),
    );
    World { parts, folder, roles, target }
}

/// By principal: the side, before, after and confidence.
fn rows(report: &Value) -> Vec<(String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let row = |finding: &Value| {
        let words = ["side", "before", "after", "confidence"].map(|name| text(finding, name)).join(" ");
        (text(finding, "principal"), words)
    };
    let mut rows: Vec<_> = report["findings"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn each_user_of_a_stream_is_found_and_the_printed_statements_give_access() {
    let World { parts, folder, roles, target } = world();
    let simulator = Simulator::start(&parts.aws);
    let impact = |arguments: &[&str]| impact_simulated(&parts, &simulator, arguments);
    let [function, delivery, pipe, rule] = &roles;
    let expected = |lost: &str, foreign: &str| {
        let mut rows = vec![
            (FOREIGN.to_owned(), format!("producer loses {foreign}")),
            (function.clone(), "consumer keeps keeps estimated".to_owned()),
            (delivery.clone(), format!("consumer keeps {lost}")),
            (pipe.clone(), format!("consumer keeps {lost}")),
            (rule.clone(), format!("producer keeps {lost}")),
            ("registered consumer fan".to_owned(), "consumer unknown unknown unknown".to_owned()),
        ];
        rows.sort();
        rows
    };
    let Ran { code, out, err } = impact(&["orders", "--key", &target, "--json"]);
    assert_eq!(code, 3, "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(rows(&report), expected("loses sure", "loses sure"), "{report:#}");
    let how = |name: &str| {
        let findings = report["findings"].as_array().unwrap();
        let found = &findings.iter().find(|finding| finding["principal"] == name).unwrap()["found"][0];
        format!("{} {}", found["tier"].as_str().unwrap(), found["how"].as_str().unwrap())
    };
    assert!(how(function).starts_with("configured Lambda function reader"), "{}", how(function));
    assert_eq!(how(delivery), "configured Firehose delivery");
    assert_eq!(how(pipe), "configured pipe piped");
    assert_eq!(how(rule), "configured EventBridge rule ruled on other");
    assert_eq!(how(FOREIGN), "configured resource policy of the stream");
    // Whoever reads it sees those who lose access first, and each statement.
    let Ran { code, out, .. } = impact(&["orders", "--key", "alias/new"]);
    assert_eq!(code, 3, "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[0], format!("account {ACCOUNT}, Region {REGION}"));
    assert!(lines[2].starts_with("PRINCIPAL") && lines[3].contains(" loses "), "{out}");
    let [.., sums, next] = lines.as_slice() else { panic!("{out}") };
    assert!(next.starts_with("next: `streamseal impact orders --key alias/new "), "{out}");
    assert!(
        sums.starts_with("3 principals would lose access, 1 keeps access, 1 has no access already, 1 unknown"),
        "{out}"
    );
    assert!(out.contains(&format!("{delivery} needs kms:Decrypt on arn:aws:kms:")), "{out}");
    // Each statement for the key policy, as it was printed.
    let mut statements = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        for remedy in finding["remedies"].as_array().unwrap() {
            let statement = remedy["statement"].as_str().unwrap();
            assert!(out.contains(statement), "{out}");
            if remedy["place"] == "key-policy" {
                assert_eq!(remedy["of"], json!(target));
                statements.push(serde_json::from_str::<Value>(statement).unwrap());
            }
        }
    }
    assert_eq!(statements.len(), 4, "{report:#}");
    statements
        .push(json!({"Effect": "Allow", "Principal": {"AWS": function}, "Action": "kms:Decrypt", "Resource": "*"}));
    let policy = key_policy(&statements);
    aws(
        &parts,
        &[&["kms", "put-key-policy", "--key-id", &target, "--policy-name", "default", "--policy", &policy]],
        folder.path(),
    );
    let Ran { code, out, err } = impact(&["orders", "--key", &target, "--json"]);
    assert_eq!(code, 0, "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    // What the other account's own policies say cannot be read.
    assert_eq!(rows(&report), expected("keeps estimated", "unknown unknown"), "{report:#}");
    assert_eq!(report["outcome"], "unknown");
    assert_eq!(impact(&["orders", "--key", &target, "--fail-on", "unknown"]).code, 4);
}

/// A role without a right to the key, which leaves it to the account's policies: the statement that is printed gives access, and none
/// for another stream does.
#[test]
fn a_statement_for_a_roles_own_policy_gives_access() {
    let parts = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&parts.aws);
    kinesis(&parts, "CreateStream", json!({"StreamName": "plain", "ShardCount": 1}));
    let key = parts.key("alias/app");
    let writes = json!({"Effect": "Allow", "Action": ["kinesis:PutRecord", "kinesis:PutRecords"], "Resource": stream_arn("plain")});
    let policy = |more: &[Value]| {
        let all = [std::slice::from_ref(&writes), more].concat();
        json!({"Version": "2012-10-17", "Statement": all})
    };
    let writer = parts.role("writer", &policy(&[]));
    parts.role(
        "elsewhere",
        &json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}),
    );
    let verdict = || {
        let Ran { code, out, err } =
            impact_simulated(&parts, &simulator, &["plain", "--key", &key, "--deep", "--json"]);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.len() == 1 && findings[0]["principal"] == json!(writer), "{report:#}");
        assert_eq!(findings[0]["found"][0]["tier"], "permitted");
        (code, findings[0]["after"].as_str().unwrap().to_owned(), findings[0]["remedies"].clone())
    };
    let (code, after, remedies) = verdict();
    assert_eq!((code, &*after, &remedies[0]["place"]), (3, "loses", &json!("identity-policy")), "{remedies:#}");
    let statement = remedies[0]["statement"].as_str().unwrap();
    let other = statement.replace(&stream_arn("plain"), &stream_arn("plain-2"));
    for (statement, expected) in [(&*other, (3, "loses")), (statement, (0, "keeps"))] {
        let document = policy(&[serde_json::from_str(statement).unwrap()]).to_string();
        let put =
            ["iam", "put-role-policy", "--role-name", "writer", "--policy-name", "p", "--policy-document", &document];
        aws(&parts, &[&put], folder.path());
        let (code, after, _) = verdict();
        assert_eq!((code, &*after), expected, "{statement}");
    }
}

#[test]
fn what_cannot_be_answered_ends_in_clear_words() {
    let parts = Parts::start(&[]);
    let key = parts.key("alias/known");
    kinesis(&parts, "CreateStream", json!({"StreamName": "plain", "ShardCount": 1}));
    for (arguments, code, words) in [
        (&["nowhere", "--key", &key][..], 1, "stream/nowhere: no such stream, or it is being deleted"),
        (&["plain", "--key", "alias/nothing"], 1, "KMS knows no key `alias/nothing`"),
        (&["plain", "--key", "not a key"], 2, "`not a key` is neither the id, the ARN nor the alias of a key"),
        (&["plain", "--key", &key, "--since", "soon"], 2, "`--since soon` is not a time of at most 90 days"),
        (&["no/stream", "--key", &key], 2, "is not a stream name or stream ARN"),
        (&["plain"], 2, "no policy is set"),
    ] {
        let Ran { code: ended, out, err } = impact(&parts, arguments);
        assert!(ended == code && out.is_empty() && err.contains(words), "{arguments:?}: {ended} {out}{err}");
    }
    // A stream without encryption: nobody can be observed, and the way to know them is printed.
    let Ran { code, out, err } = impact(&parts, &["plain", "--key", &key]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("streamseal seal plain --key alias/aws/kinesis"), "{out}");
    assert!(out.contains("no user of the stream was found; "), "{out}");
    assert!(!out.contains("safe"), "{out}");
    // At a terminal the bar counts the stream that is read, the seven sources, and the stream that is judged.
    let variables = [("AWS_ENDPOINT_URL", &*parts.aws), ("AWS_REGION", REGION), ("NO_PROXY", "127.0.0.1")];
    let (code, text) = at_terminal(&["impact", "plain", "--key", &key, "--account", ACCOUNT], &variables, &[]);
    assert_eq!(code, 0, "{text}");
    let counted = text.split("checking ").skip(1).filter_map(|rest| rest.split_once("/9 [")?.0.parse().ok());
    let counted: std::collections::BTreeSet<u32> = counted.collect();
    assert!(counted.len() > 1 && counted.iter().all(|at| *at <= 9), "{counted:?} {text}");
    let Ran { code, out, .. } = run(&["impact", "--print-iam"], &[]);
    let policy: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, policy["Statement"][0]["Effect"].as_str()), (0, Some("Allow")));
}

/// A stream with a rule that writes to it, and a key that lets nobody in.
fn with_a_producer(parts: &Parts, folder: &Path) -> (String, String) {
    let own = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "kms:*", "Resource": "*"}]});
    let (rule, target) = (parts.role("rule", &own), parts.key("alias/closed"));
    kinesis(parts, "CreateStream", json!({"StreamName": "sealed", "ShardCount": 1}));
    let targets = json!([{"Id": "1", "Arn": stream_arn("sealed"), "RoleArn": rule}]).to_string();
    let policy = key_policy(&[]);
    aws(
        parts,
        &[
            &["events", "put-rule", "--name", "ruled", "--event-pattern", "{\"source\":[\"x\"]}"],
            &["events", "put-targets", "--rule", "ruled", "--targets", &targets],
            &["kms", "put-key-policy", "--key-id", &target, "--policy-name", "default", "--policy", &policy],
        ],
        folder,
    );
    (rule, target)
}

#[test]
fn seal_changes_nothing_unasked_that_somebody_would_lose_access_by() {
    let parts = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (_, target) = with_a_producer(&parts, folder.path());
    let variables = [("AWS_ENDPOINT_URL", &*parts.aws), ("AWS_REGION", REGION), ("NO_PROXY", "127.0.0.1")];
    let seal = |more: &[&str]| run(&[&["seal", "sealed", "--account", ACCOUNT], more].concat(), &variables);
    let key = || {
        kinesis(&parts, "DescribeStreamSummary", json!({"StreamName": "sealed"}))["StreamDescriptionSummary"]["KeyId"]
            .take()
    };
    let Ran { code, out, err } = seal(&["--key", &target, "--dry-run"]);
    assert!(code == 3 && err.is_empty(), "{code}: {out}{err}");
    assert!(out.contains("\n  sealed: 1 principal would lose access; "), "{out}");
    let Ran { code, out, err } = seal(&["--key", &target, "--yes", "--json"]);
    assert!(
        code == 3 && err.contains("error: 1 principal would lose access; nothing was changed"),
        "{code}: {out}{err}"
    );
    assert!(err.contains("--accept-loss"), "{err}");
    let plan: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&plan["plan"][0]["impact"]["outcome"], &plan["evidence"]), (&json!("loss"), &Value::Null), "{out}");
    assert_eq!(key(), Value::Null);
    // The stepping stone needs nobody's permission.
    let Ran { code, out, err } = seal(&["--key", "alias/aws/kinesis", "--yes"]);
    assert!(code == 0 && out.contains("sealed  sealed: right-key"), "{code}: {out}{err}");
    assert_ne!(key(), Value::Null);
    let Ran { code, out, err } = seal(&["--key", &target, "--yes", "--accept-loss"]);
    assert!(code == 0 && out.contains("sealed  sealed: right-key"), "{code}: {out}{err}");
    assert_eq!(key(), json!(target));
    for wrong in [&["--key", "no key"][..], &["--key", &target, "--only", "x"]] {
        assert_eq!(seal(wrong).code, 2, "{wrong:?}");
    }
}
