//! `--print-iam` of each command, in an emulator that checks identity policies: with what is printed the command does its work.

use std::process::Command;

use serde_json::{Value, json};

use crate::accounts::Cloud;
use crate::audit::ran;
use crate::support::{ACCOUNT, REGION, create_event, file};

/// What the emulator says to whoever may not call.
const DENIED: &str = "AccessDenied";

fn command(cloud: &Cloud, arguments: &str, (id, secret): (&str, &str)) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamseal"));
    command.args(arguments.split(' ')).current_dir(cloud.folder.path()).env_clear().envs([
        ("AWS_ACCESS_KEY_ID", id),
        ("AWS_SECRET_ACCESS_KEY", secret),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL", cloud.url()),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    command
}

/// A user with each policy; the ids and the secrets of their access keys.
fn users(cloud: &Cloud, policies: &[Value]) -> Vec<(String, String)> {
    let commands = policies.iter().enumerate().flat_map(|(number, policy)| {
        let document = cloud.document(&format!("{number}.json"), policy);
        [
            format!("iam create-user --user-name u{number}"),
            format!("iam put-user-policy --user-name u{number} --policy-name p --policy-document {document}"),
            format!("iam create-access-key --user-name u{number}"),
        ]
    });
    let commands: Vec<(&str, String)> = commands.map(|command| (ACCOUNT, command)).collect();
    let text = |key: &Value, field: &str| key["AccessKey"][field].as_str().unwrap().to_owned();
    let made = cloud.run(&commands);
    made.chunks(3).map(|made| (text(&made[2], "AccessKeyId"), text(&made[2], "SecretAccessKey"))).collect()
}

#[test]
fn each_command_works_with_the_policy_that_it_prints() {
    let cloud = Cloud::start();
    let event = create_event("orders").to_string();
    file(&cloud.folder, "event.json", &event);
    let policy = "{version: 1, defaults: {existing: enforce, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}}, \
                  rules: [{name: all, key: alias/orders}]}";
    file(&cloud.folder, "policy.yaml", policy);
    let parameter = format!(
        "ssm put-parameter --name /streamseal/policy --type String --value file://{}/policy.yaml",
        cloud.folder.path().display()
    );
    let stream = |name: &str| (ACCOUNT, format!("kinesis create-stream --stream-name {name} --shard-count 1"));
    let made =
        cloud.run(&[(ACCOUNT, "kms create-key".to_owned()), (ACCOUNT, parameter), stream("orders"), stream("others")]);
    let key = made[0]["KeyMetadata"]["KeyId"].as_str().unwrap();
    cloud.run(&[(ACCOUNT, format!("kms create-alias --alias-name alias/orders --target-key-id {key}"))]);
    let at = "--policy ssm:/streamseal/policy";
    let commands = [
        ("check", "check ssm:/streamseal/policy --resolve".to_owned(), "kms:DescribeKey"),
        ("init", "init -".to_owned(), "kinesis:ListStreams"),
        ("explain", format!("explain orders {at}"), "kinesis:DescribeStreamSummary"),
        ("replay", format!("replay event.json {at}"), "kinesis:DescribeStreamSummary"),
        ("audit", format!("audit {at}"), "ssm:GetParameter"),
        ("impact", format!("impact orders --since 1m {at}"), "lambda:ListEventSourceMappings"),
        ("seal", format!("seal orders --yes {at}"), "kinesis:StartStreamEncryption"),
        ("prove", format!("prove orders --yes {at}"), "kinesis:PutRecord"),
        ("doctor", format!("doctor {at}"), "cloudtrail:DescribeTrails"),
    ];
    let printed = |(name, arguments, _): &(&str, String, &str)| {
        let (code, printed, err) = ran(command(&cloud, arguments, ("test", "test")).arg("--print-iam"));
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        let printed: Value = serde_json::from_str(&printed).unwrap();
        if *name == "audit" { printed["caller"].clone() } else { printed }
    };
    let both = commands.iter().flat_map(|command| {
        let printed = printed(command);
        [without(printed.clone(), command.2), printed]
    });
    let users = users(&cloud, &both.collect::<Vec<_>>());
    for ((name, arguments, needed), users) in commands.iter().zip(users.chunks(2)) {
        let run = |(id, secret): &(String, String)| ran(&mut command(&cloud, arguments, (id, secret)));
        // Without one call of it the emulator says so.
        let (_, out, err) = run(&users[0]);
        let all = format!("{out}{err}");
        assert!(all.contains(DENIED) && all.contains(needed), "{name}: {all}");
        let (code, out, err) = run(&users[1]);
        assert!(!out.contains(DENIED) && !err.contains(DENIED), "{name}: {out}{err}");
        // There is no trail, and a stream was not sealed yet.
        let expected = if ["explain", "replay", "audit", "doctor"].contains(name) { 3 } else { 0 };
        assert_eq!(code, expected, "{name}: {out}{err}");
    }
    let offline = ["check policy.yaml", "replay event.json --offline", "schema", "seal", "prove", "explain"];
    for arguments in offline {
        let (code, printed, _) = ran(command(&cloud, arguments, ("test", "test")).arg("--print-iam"));
        let printed: Value = serde_json::from_str(&printed).unwrap();
        let statements = printed["Statement"].as_array().unwrap();
        assert_eq!((code, statements.is_empty()), (0, arguments.contains('.') || arguments == "schema"), "{arguments}");
    }
}

/// A policy without one of its actions.
fn without(mut policy: Value, action: &str) -> Value {
    for statement in policy["Statement"].as_array_mut().unwrap() {
        let mut actions = match statement["Action"].take() {
            Value::Array(actions) => actions,
            one => vec![one],
        };
        actions.retain(|one| one != action);
        // There has to be one.
        actions.push(json!("sts:GetCallerIdentity"));
        statement["Action"] = json!(actions);
    }
    policy
}
