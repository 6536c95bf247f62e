//! What holds for every command: options, Regions, accounts and profiles, colours, errors, completions and manual pages.

use serde_json::{Value, json};

use super::{Ran, at_parts, reach, run, stream_arn};
use crate::support::{ACCOUNT, REGION, file, parts, unique};

const POLICY: &str = "inline:{version: 1, defaults: {existing: enforce, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s}}, rules: [{name: all, key: alias/aws/kinesis}]}";
const COMMANDS: &[&str] = &[
    "init",
    "check",
    "explain",
    "impact",
    "seal",
    "prove",
    "audit",
    "replay",
    "doctor",
    "schema",
    "completions",
    "man",
];

#[test]
fn every_command_is_documented_and_completed() {
    let Ran { code, out, .. } = run(&["--help"], &[]);
    assert_eq!(code, 0);
    for command in COMMANDS {
        assert!(out.contains(&format!("\n  {command} ")), "{command}: {out}");
        let Ran { code, out, .. } = run(&["man", command], &[]);
        assert!(code == 0 && out.contains(&format!("streamseal\\-{command}")), "{command}: {out}");
        let Ran { out: help, .. } = run(&[command, "--help"], &[]);
        assert!(help.contains("Exit codes: 0 "), "{help}");
        assert!(out.contains("\\-\\-profile") && out.contains("\\-\\-color"), "global options: {out}");
    }
    assert!(out.contains("0 compliant, 1 failure, 2 usage, 3 non-compliant, 4 try again"), "{out}");
    for (shell, start) in
        [("bash", "_streamseal()"), ("zsh", "#compdef streamseal"), ("fish", "complete -c streamseal")]
    {
        let Ran { code, out, .. } = run(&["completions", shell], &[]);
        assert!(code == 0 && out.contains(start) && out.contains("explain"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&["man", "--dir", folder.path().to_str().unwrap()], &[]).code, 0);
    for page in ["streamseal.1", "streamseal-check.1", "streamseal-explain.1"] {
        assert!(folder.path().join(page).exists(), "{page}");
    }
    assert_eq!(run(&["man", "nothing"], &[]).code, 2);
    let Ran { code, out, .. } = run(&["schema"], &[]);
    let stored = std::fs::read_to_string(crate::support::root().join("policy.schema.json")).unwrap();
    assert_eq!((code, out), (0, stored));
    for of in ["evidence", "summary", "note", "impact", "work", "scan"] {
        let Ran { code, out, .. } = run(&["schema", of], &[]);
        let path = crate::support::root().join(format!("schemas/{of}.schema.json"));
        assert_eq!((code, out), (0, std::fs::read_to_string(path).unwrap()), "{of}");
    }
    assert_eq!(run(&["explain", "--no-such-option"], &[]).code, 2);
}

#[test]
fn colours_are_there_when_asked_for_and_never_in_a_pipe() {
    let arguments = |more: &[&'static str]| [&["check", "tests/policies/bad/version-2.yaml"], more].concat();
    for (more, variables, coloured) in [
        (&[][..], &[][..], false),
        (&["--color", "always"], &[], true),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&["--color", "never"], &[("CLICOLOR_FORCE", "1")], false),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        // What clap says of wrong arguments goes by it as well, wherever it stands.
        for arguments in
            [arguments(more), [more, &["explain", "--no-such-option"]].concat(), [&["nothing"], more].concat()]
        {
            let Ran { err, .. } = run(&arguments, variables);
            assert_eq!(err.contains('\u{1b}'), coloured, "{arguments:?} {variables:?}: {err}");
        }
    }
    let Ran { err, .. } = run(&["explain", "--no-such-option", "--color=always"], &[]);
    assert!(err.contains('\u{1b}'), "{err}");
}

#[test]
fn region_and_account_are_found_as_the_aws_cli_finds_them() {
    let [aws, kinesis, _, proxy] = reach();
    let key = |variables: &[(&str, &str)], more: &[&str]| {
        let all: Vec<(&str, &str)> =
            [aws, kinesis, proxy, ("POLICY", POLICY)].iter().chain(variables).copied().collect();
        let Ran { code, out, err } = run(&[&["explain", "--json", "--name", "x"], more].concat(), &all);
        (code, serde_json::from_str::<Value>(&out).map_or(err, |json| json["stream"].as_str().unwrap().to_owned()))
    };
    let arn = |region: &str, account: &str| (0, format!("arn:aws:kinesis:{region}:{account}:stream/x"));
    // The account from sts:GetCallerIdentity.
    assert_eq!(key(&[("AWS_REGION", REGION)], &[]), arn(REGION, ACCOUNT));
    assert_eq!(key(&[("AWS_REGION", REGION), ("ACCOUNT_ID", "999999999999")], &[]), arn(REGION, "999999999999"));
    let more = ["--region", "eu-north-1", "--account", "888888888888"];
    assert_eq!(
        key(&[("AWS_REGION", REGION), ("ACCOUNT_ID", "999999999999")], &more),
        arn("eu-north-1", "888888888888")
    );
    // `audit`, which may be of several Regions, asks once.
    let variables = [aws, kinesis, proxy, ("POLICY", POLICY), ("AWS_REGION", REGION)];
    let Ran { out, err, .. } = run(&["audit", "--json", "--rate", "1000"], &variables);
    let audit: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!(audit["account"], ACCOUNT);
    let (code, err) = key(&[], &[]);
    assert!(code == 2 && err.contains("`--region`") && err.contains("AWS_REGION"), "{err}");
    let (code, err) = key(&[], &["--region", "eu-west-1", "--region", "eu-west-2"]);
    assert!(code == 2 && err.contains("more than once"), "{err}");
    let (code, err) = key(&[], &["--region", "nowhere", "--account", "1"]);
    assert!(
        code == 2 && err.contains("`nowhere` is not a Region") && err.contains("`1` is not an account ID"),
        "{err}"
    );

    // A profile, with credentials from a program and a Region of its own.
    let folder = tempfile::tempdir().unwrap();
    let text = json!({"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"}).to_string();
    let program = file(&folder, "credentials.json", &text);
    let text = format!("[profile team]\nregion = eu-south-1\ncredential_process = cat {}\n", program.display());
    let config = file(&folder, "config", &text);
    let profiles = [
        aws,
        kinesis,
        proxy,
        ("POLICY", POLICY),
        ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ("PATH", "/usr/bin:/bin"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    for (arguments, variables) in [(&["--profile", "team"][..], &[][..]), (&[], &[("AWS_PROFILE", "team")])] {
        let mut command = super::command(&[&["explain", "--json", "--name", "x"], arguments].concat(), &profiles);
        // Not from the environment: the profile has to give them.
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").envs(variables.iter().copied());
        let output = command.output().unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!(json["stream"], json!(arn("eu-south-1", ACCOUNT).1));
    }
    // One that is nowhere, though there are credentials in the environment.
    for (arguments, variables) in [(&["--profile", "taem"][..], &[][..]), (&[], &[("AWS_PROFILE", "taem")])] {
        for command in [&["explain", "--name", "x"][..], &["audit"]] {
            let variables: Vec<(&str, &str)> = profiles.iter().chain(variables).copied().collect();
            let Ran { code, err, .. } = run(&[command, arguments].concat(), &variables);
            assert!(
                code == 2 && err.contains("there is no profile `taem`") && err.contains("profiles in the files: team"),
                "{err}"
            );
        }
    }
    // One that is there gives the credentials, also beside those of the environment: its program has none.
    let text = "[profile broken]\nregion = eu-west-1\ncredential_process = false\n";
    let config = file(&folder, "broken", text);
    let variables: Vec<(&str, &str)> =
        profiles.iter().copied().chain([("AWS_CONFIG_FILE", config.to_str().unwrap())]).collect();
    let Ran { code, err, .. } = run(&["explain", "--name", "x", "--profile", "broken"], &variables);
    assert!(code != 0 && err.contains("sts:GetCallerIdentity"), "{code}: {err}");

    // What is listed is of the account of the credentials.
    let variables = [aws, kinesis, proxy, ("POLICY", POLICY), ("AWS_REGION", REGION), ("ACCOUNT_ID", "999999999999")];
    for command in [&["audit", "--rate", "1000"][..], &["seal", "--all", "--dry-run"]] {
        let Ran { code, out, err } = run(command, &variables);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(&format!("the credentials belong to account {ACCOUNT}, not to 999999999999")), "{err}");
    }
}

#[test]
fn an_arn_says_where_its_stream_is() {
    let stream = unique("arn");
    parts().stream(&stream);
    parts().active(&stream);
    let [aws, kinesis, _, proxy] = reach();
    let reach = [aws, kinesis, proxy, ("POLICY", POLICY)];
    let Ran { code, out, err } = run(&["explain", &stream_arn(&stream)], &reach);
    assert!(code == 3 && out.contains(&stream_arn(&stream)), "{out}{err}");
    let Ran { code, err, .. } = run(&["explain", &stream_arn(&stream), "--region", "eu-west-2"], &reach);
    assert!(code == 2 && err.contains("is not in account"), "{err}");
    let Ran { code, err, .. } = run(&["explain", "no stream", "--region", REGION], &reach);
    assert!(code == 2 && err.contains("is not a stream name or stream ARN"), "{err}");
}

#[test]
fn errors_name_the_call_the_code_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["explain", "orders", "--region", REGION, "--account", ACCOUNT];
    // Nobody listens there.
    let dead = ("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    let tags = "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: a, key: 'alias/a${tag:t}'}]}";
    let Ran { code, err, .. } = run(&arguments, &[dead, ("POLICY", tags)]);
    assert_eq!(code, 4, "{err}");
    assert!(err.contains("kinesis:ListTagsForStream failed (NoAnswer)") && err.contains("--endpoint-url"), "{err}");

    // No credentials at all.
    let empty = file(&folder, "empty", "");
    let mut command = super::command(
        &arguments,
        &[
            ("POLICY", tags),
            ("AWS_CONFIG_FILE", empty.to_str().unwrap()),
            ("AWS_SHARED_CREDENTIALS_FILE", empty.to_str().unwrap()),
        ],
    );
    let output = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("no credentials") && err.contains("--profile"), "{err}");

    // A refusal, from a server that refuses everything.
    let refusing = refusing();
    let Ran { code, err, .. } =
        run(&[&arguments[..], &["--endpoint-url", &refusing]].concat(), &[dead, ("POLICY", tags)]);
    assert_eq!(code, 1, "{err}");
    let statement = format!(
        "{{\"Action\":\"kinesis:ListTagsForStream\",\"Effect\":\"Allow\",\"Resource\":\"{}\"}}",
        stream_arn("orders")
    );
    assert!(err.contains("kinesis:ListTagsForStream failed (AccessDenied") && err.contains(&statement), "{err}");
    let Ran { code, err, .. } = run(
        &["explain", "orders", "--region", REGION],
        &[("AWS_ENDPOINT_URL", &refusing), ("POLICY", "ssm:/a/b"), ("ACCOUNT_ID", ACCOUNT)],
    );
    let statement = format!(
        "\"Action\":\"ssm:GetParameter\",\"Effect\":\"Allow\",\"Resource\":\"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/a/b\""
    );
    assert!(code == 1 && err.contains(&statement), "{err}");

    let key =
        "\"Action\":\"kms:DescribeKey\",\"Effect\":\"Allow\",\"Resource\":\"arn:aws:kms:eu-west-1:111122223333:key/*\"";
    let reach = [("AWS_ENDPOINT_URL", &*refusing), ("AWS_REGION", REGION), ("ACCOUNT_ID", ACCOUNT), ("POLICY", POLICY)];
    let Ran { err, .. } = run(&["check", "--resolve"], &reach);
    assert!(err.contains(key), "{err}");
    // Of a stream it is the remedy.
    let Ran { out, .. } = run(&["explain", "--name", "orders"], &reach);
    assert!(out.contains(key), "{out}");

    // A profile of single sign-on, where nobody has logged in: it is known, and what to do is said.
    let text = "[profile team]\nregion = eu-west-1\nsso_session = s\nsso_account_id = 111122223333\nsso_role_name = r\n\
                [sso-session s]\nsso_region = eu-west-1\nsso_start_url = https://example.com/start\n";
    let config = file(&folder, "sso", text);
    let variables =
        [("POLICY", tags), ("HOME", folder.path().to_str().unwrap()), ("AWS_CONFIG_FILE", config.to_str().unwrap())];
    let mut command = super::command(&["explain", "orders", "--profile", "team"], &variables);
    let output = command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && err.contains("aws sso login") && !err.contains("feature"), "{err}");

    let Ran { code, err, .. } = at_parts(&["explain", "orders"], None);
    assert!(code == 2 && err.contains("no policy is set"), "{err}");
    let bad = at_parts(&["explain", "orders"], Some(std::path::Path::new("tests/policies/bad/version-2.yaml")));
    assert!(bad.code == 1 && bad.err.contains("version-2.yaml:2:10: version: expected the number 1"), "{}", bad.err);
}

/// A server that answers every call with a refusal; it ends with the test process.
pub(super) fn refusing() -> String {
    use std::io::{BufRead, BufReader, Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let body = r#"{"__type":"AccessDeniedException","message":"User is not authorized"}"#;
            let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/x-amz-json-1.1\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    url
}
