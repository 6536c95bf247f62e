//! Variables, profiles and options, as the AWS CLI reads them; it is asked the same things, in the same environment.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Ran, command, reach, run};
use crate::support::{ACCOUNT, REGION, aws_cli_as_given, file, parts, unique};

pub(super) const POLICY: &str =
    "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/aws/kinesis}]}";

/// Two profiles of two accounts, in two Regions. (ministack takes a key id of twelve digits for the account's.)
const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile prod]\nregion = us-east-1\n";
const CREDENTIALS: &str = "[default]\naws_access_key_id = 999988887777\naws_secret_access_key = test\n\
                           [prod]\naws_access_key_id = 444455556666\naws_secret_access_key = test\n";
const DEFAULT: (&str, &str) = ("999988887777", "eu-west-1");
const PROD: (&str, &str) = ("444455556666", "us-east-1");

/// An environment, with nothing of the test's own.
pub(super) struct Given {
    variables: BTreeMap<String, String>,
    options: Vec<String>,
}

impl Given {
    pub(super) fn new(folder: &Path, variables: &[(&str, &str)], options: &[&str]) -> Self {
        let of = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let files = [("AWS_CONFIG_FILE", of("config")), ("AWS_SHARED_CREDENTIALS_FILE", of("credentials"))];
        let reach = [
            ("AWS_ENDPOINT_URL", parts().aws.as_str()),
            ("NO_PROXY", "127.0.0.1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ];
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let home = [("HOME".to_owned(), folder.to_str().unwrap().to_owned())];
        let files = files.into_iter().map(|(name, value)| (name.to_owned(), value));
        let all = home.into_iter().chain(files).chain(reach.iter().map(own)).chain(variables.iter().map(own));
        Self { variables: all.collect(), options: options.iter().map(|&option| option.to_owned()).collect() }
    }

    pub(super) fn for_aws(&self, arguments: &[&str]) -> Value {
        let arguments: Vec<&str> = arguments.iter().copied().chain(self.options.iter().map(String::as_str)).collect();
        json!({"arguments": arguments, "variables": self.variables})
    }

    /// `streamseal` with these variables and no others.
    pub(super) fn streamseal(&self, arguments: &[&str]) -> Ran {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let output = command(&[arguments, &options].concat(), &[]).env_clear().envs(&self.variables).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The account and Region that are used, or the exit code and what it says.
    fn place(&self) -> Result<(String, String), (i32, String)> {
        let Ran { code, out, err } = self.streamseal(&["explain", "--name", "x", "--json", "--policy", POLICY]);
        let Ok(json) = serde_json::from_str::<Value>(&out) else { return Err((code, err)) };
        let arn: Vec<&str> = json["stream"].as_str().unwrap().split(':').collect();
        Ok((arn[4].to_owned(), arn[3].to_owned()))
    }
}

/// Variables, options, and the account and Region that they mean; `None`: they are refused.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], Option<(&'static str, &'static str)>);

/// In each of these environments the AWS CLI and `streamseal` use the same account and Region, or both refuse.
#[test]
fn settings_are_those_of_the_aws_cli() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", CREDENTIALS);
    let url = &parts().aws;
    let of_profile = format!(
        "{CONFIG}[profile blank]\nregion = us-east-1\nendpoint_url =\nservices = some\naws_access_key_id = 444455556666\n\
         aws_secret_access_key = test\n[services some]\nsts =\n  endpoint_url =\n\
         [profile named]\nregion = us-east-1\nendpoint_url = {url}\nretry_mode = legacy\nmax_attempts = 2\n\
         aws_access_key_id = 444455556666\naws_secret_access_key = test\n\
         [profile odd]\nmax_attempts = many\nregion = us-east-1\naws_access_key_id = 444455556666\naws_secret_access_key = test\n"
    );
    file(&folder, "config", &of_profile);
    let keys = [("AWS_ACCESS_KEY_ID", "111122223333"), ("AWS_SECRET_ACCESS_KEY", "test")];
    let with_keys = |more: &'static str| [keys[0], keys[1], ("AWS_PROFILE", more)];
    let (cases, refused): (Vec<_>, Vec<_>) = [
        (&[][..], &[][..], Some(DEFAULT)),
        (&[("AWS_PROFILE", "prod")], &[], Some(PROD)),
        (&[("AWS_DEFAULT_PROFILE", "prod")], &[], Some(PROD)),
        (&[("AWS_DEFAULT_PROFILE", "prod"), ("AWS_PROFILE", "default")], &[], Some(PROD)),
        (&[("AWS_DEFAULT_PROFILE", "default"), ("AWS_PROFILE", "prod")], &[], Some(DEFAULT)),
        (&[("AWS_DEFAULT_PROFILE", "default")], &["--profile", "prod"], Some(PROD)),
        (&[], &["--profile", "prod", "--region", "eu-north-1"], Some((PROD.0, "eu-north-1"))),
        // Credentials of the environment go before those of a profile that the environment names, and not before one of the command line.
        (&with_keys("prod"), &[], Some(("111122223333", "us-east-1"))),
        (&keys, &["--profile", "prod"], Some(PROD)),
        (&[("AWS_DEFAULT_REGION", "eu-north-1")], &[], Some((DEFAULT.0, "eu-north-1"))),
        (&[("AWS_RETRY_MODE", "legacy")], &[], Some(DEFAULT)),
        (&[("AWS_RETRY_MODE", "standard"), ("AWS_MAX_ATTEMPTS", "4")], &[], Some(DEFAULT)),
        (&[("AWS_RETRY_MODE", "adaptive")], &[], Some(DEFAULT)),
        (&[("AWS_ENDPOINT_URL_STS", "")], &[], Some(DEFAULT)),
        (&[("AWS_ENDPOINT_URL", ""), ("AWS_ENDPOINT_URL_STS", url), ("AWS_ENDPOINT_URL_KMS", url)], &[], Some(DEFAULT)),
        (&[("AWS_ENDPOINT_URL", "")], &["--profile", "named"], Some(PROD)),
        (&[], &["--profile", "blank"], Some(PROD)),
        (&[("HTTPS_PROXY", ""), ("http_proxy", "")], &[], Some(DEFAULT)),
        (&[("AWS_PROFILE", "nobody")], &[], None),
        (&[("AWS_DEFAULT_PROFILE", "nobody"), ("AWS_PROFILE", "prod")], &[], None),
        (&[("AWS_MAX_ATTEMPTS", "many")], &[], None),
        (&[], &["--profile", "odd"], None),
        (&[("AWS_ENDPOINT_URL", "nowhere")], &[], None),
        (&[("AWS_ENDPOINT_URL_STS", "ftp://127.0.0.1")], &[], None),
        (&[], &["--endpoint-url", "127.0.0.1:4566"], None),
    ]
    .map(|(variables, options, expect): Case<'_>| (Given::new(folder.path(), variables, options), expect))
    .into_iter()
    .partition(|(_, expect)| expect.is_some());
    let commands = cases.iter().chain(&refused).flat_map(|(given, _)| {
        let account = ["sts", "get-caller-identity", "--query", "Account", "--output", "text"];
        [given.for_aws(&account), given.for_aws(&["configure", "list"])]
    });
    let answers = aws_cli_as_given(&json!(commands.collect::<Vec<_>>()), folder.path());
    for ((given, expect), answers) in cases.iter().chain(&refused).zip(answers.chunks(2)) {
        let shown = (&given.variables, &given.options, answers);
        let found = given.place();
        let Some((account, region)) = expect else {
            assert!(answers[0].is_err(), "{shown:?}");
            let (code, err) = found.expect_err("it is refused");
            assert_eq!((code, err.matches("error: ").count()), (2, 1), "{shown:?}: {err}");
            continue;
        };
        assert_eq!(found, Ok(((*account).to_owned(), (*region).to_owned())), "{shown:?}");
        assert_eq!(answers[0].as_deref().map(str::trim), Ok(*account), "{shown:?}");
        // NAME VALUE TYPE LOCATION
        let list = answers[1].as_deref().unwrap();
        let line = list.lines().find(|line| line.trim_start().starts_with("region")).unwrap();
        let of_aws = line.split_whitespace().nth(if line.contains(" : ") { 2 } else { 1 });
        let by_option = given.options.iter().any(|option| option == "--region");
        assert!(by_option || of_aws == Some(*region), "{shown:?}: {line}");
    }
}

/// Where the AWS CLI itself stumbles over a blank (`AWS_PROFILE`, `AWS_CA_BUNDLE`, a number), it is as if it were not set.
#[test]
fn what_is_blank_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", CREDENTIALS);
    file(&folder, "config", &format!("{CONFIG}max_attempts =\n"));
    let default = Ok((DEFAULT.0.to_owned(), DEFAULT.1.to_owned()));
    for name in [
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
        "AWS_ACCESS_KEY_ID",
        "AWS_ENDPOINT_URL_KINESIS",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CA_BUNDLE",
        "ALL_PROXY",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "ACCOUNT_ID",
        "MODE",
    ] {
        for blank in ["", "  "] {
            assert_eq!(Given::new(folder.path(), &[(name, blank)], &[]).place(), default, "{name}");
        }
    }
    for option in ["--profile", "--region", "--endpoint-url", "--account"] {
        assert_eq!(Given::new(folder.path(), &[], &[option, ""]).place(), default, "{option}");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named_where_it_was_given() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", CREDENTIALS);
    let config = format!(
        "{CONFIG}[profile bad]\nregion = nowhere\n[profile mfa]\nregion = eu-west-1\nrole_arn = arn:aws:iam::444455556666:role/x\n\
         source_profile = prod\nmfa_serial = arn:aws:iam::444455556666:mfa/me\n[profile via]\nregion = eu-west-1\n\
         role_arn = arn:aws:iam::444455556666:role/y\nsource_profile = mfa\n\
         [profile url]\nregion = eu-west-1\nservices = s\n[services s]\nkinesis =\n  endpoint_url = here\n"
    );
    file(&folder, "config", &config);
    let here = folder.path().to_str().unwrap();
    for (variables, options, why) in [
        (
            &[("AWS_RETRY_MODE", "sometimes")][..],
            &[][..],
            "AWS_RETRY_MODE: `sometimes` is not `legacy`, `standard` or `adaptive`",
        ),
        (&[("AWS_MAX_ATTEMPTS", "0")], &[], "AWS_MAX_ATTEMPTS: `0` is not a whole number of 1 or more"),
        (&[("AWS_ENDPOINT_URL", "x")], &[], "AWS_ENDPOINT_URL: `x` is not a valid endpoint URL"),
        (&[("AWS_ENDPOINT_URL_KMS", "x")], &[], "AWS_ENDPOINT_URL_KMS: `x` is not a valid endpoint URL"),
        (
            &[("AWS_ENDPOINT_URL", "")],
            &["--profile", "url"],
            "`endpoint_url` of the profile `url`: `here` is not a valid endpoint URL",
        ),
        (&[], &["--endpoint-url", "x"], "--endpoint-url: `x` is not a valid endpoint URL"),
        (&[], &["--region", "here"], "--region: `here` is not a Region"),
        (&[("AWS_REGION", "eu west")], &[], "AWS_REGION: `eu west` is not a Region"),
        (&[("AWS_DEFAULT_REGION", "x")], &[], "AWS_DEFAULT_REGION: `x` is not a Region"),
        (&[], &["--profile", "bad"], "`region` of the profile: `nowhere` is not a Region"),
        (&[], &["--account", "1"], "--account: `1` is not an account ID"),
        (&[("ACCOUNT_ID", "1")], &[], "ACCOUNT_ID: `1` is not an account ID"),
        (&[], &["--policy", "ssm:"], "--policy: `ssm:` names nothing; use "),
        (&[("POLICY", "ssm:")], &[], "POLICY: `ssm:` names nothing; use "),
        (&[("AWS_CONFIG_FILE", here)], &[], &format!("AWS_CONFIG_FILE: {here} is a folder, not a file")),
        (&[("AWS_SHARED_CREDENTIALS_FILE", here)], &[], "AWS_SHARED_CREDENTIALS_FILE: "),
        (&[("MODE", "maybe")], &[], "MODE: `maybe` is not `report`, `enforce` or `ssm:NAME`"),
        (&[], &["--profile", "mfa"], "the profile `mfa` needs an MFA code (`mfa_serial`)"),
        (&[("AWS_PROFILE", "via")], &[], "the profile `mfa` needs an MFA code (`mfa_serial`)"),
    ] {
        let policy = if why.contains("POLICY") || why.contains("--policy") { &[][..] } else { &["--policy", POLICY] };
        let given = Given::new(folder.path(), variables, options);
        let Ran { code, out, err } = given.streamseal(&[&["explain", "--name", "x"], policy].concat());
        assert_eq!(
            (code, out.as_str(), err.matches("error: ").count()),
            (2, "", 1),
            "{variables:?} {options:?}: {err}"
        );
        assert!(err.contains(&format!("error: {why}")), "{variables:?} {options:?}: {err}");
    }
    // Judged without a connection, with the same words.
    let plan = crate::support::root().join("tests/plans/plan.json");
    let check = ["check", "tests/plans/policy.yaml", "--terraform", plan.to_str().unwrap()];
    let event = ["replay", "events/kinesis-create-stream-on-demand.json", "--offline"];
    for (arguments, variables, options, why) in [
        (&check[..], &[][..], &["--account", "1"][..], "--account: `1` is not an account ID (12 digits)"),
        (&check, &[("ACCOUNT_ID", "1")], &[], "ACCOUNT_ID: `1` is not an account ID (12 digits)"),
        (&check, &[], &["--region", "here"], "--region: `here` is not a Region"),
        (&check, &[("AWS_REGION", "here")], &[], "AWS_REGION: `here` is not a Region"),
        (&event, &[("AWS_DEFAULT_REGION", "here")], &[], "AWS_DEFAULT_REGION: `here` is not a Region"),
        (&event, &[], &["--account", "1", "--region", "eu-west-1"], "--account: `1` is not an account ID (12 digits)"),
    ] {
        let Ran { code, err, .. } = Given::new(folder.path(), variables, options).streamseal(arguments);
        assert_eq!((code, err), (2, format!("error: {why}\n")), "{arguments:?} {variables:?} {options:?}");
    }
    // Bytes that are no text would be taken for a variable that is not set.
    for name in ["AWS_PROFILE", "AWS_REGION", "HTTPS_PROXY", "POLICY"] {
        let given = Given::new(folder.path(), &[], &[]);
        let mut command = command(&["explain", "--name", "x", "--policy", POLICY], &[]);
        command.env_clear().envs(&given.variables).env(name, std::ffi::OsStr::from_bytes(b"pro\xffd"));
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), err), (Some(2), format!("error: {name}: the value is not UTF-8\n")));
    }
    // No endpoint, so that the host is searched for: there is none, with a network or without.
    let given = Given::new(folder.path(), &[("AWS_ENDPOINT_URL", "")], &["--region", "eu-west-99"]);
    let (code, err) = given.place().unwrap_err();
    assert!(
        code == 2 && err.contains("there is no Region `eu-west-99`") && err.ends_with("help: check --region\n"),
        "{err}"
    );
    let broken =
        Given::new(folder.path(), &[("AWS_CONFIG_FILE", file(&folder, "broken", "[default\n").to_str().unwrap())], &[]);
    let (code, err) = broken.place().unwrap_err();
    assert!(code == 2 && err.lines().count() == 1 && err.contains("the profiles cannot be read"), "{err}");
}

/// What is shown of errors is for people: no types of the SDK, none of its layers.
#[test]
fn errors_are_in_words_and_say_whether_another_try_may_help() {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", CREDENTIALS);
    file(&folder, "config", &format!("{CONFIG}[profile bare]\nregion = us-east-1\n"));
    // Nobody listens there: somebody may, the next time.
    let (code, err) = Given::new(folder.path(), &[], &["--endpoint-url", "http://127.0.0.1:9"]).place().unwrap_err();
    assert!(code == 4 && err.contains("sts:GetCallerIdentity failed (NoAnswer): tcp connect error: "), "{err}");
    // No name of a host may be longer than 253 letters, so that nobody needs to be asked.
    let host = format!("http://{}.test", ["a".repeat(60).as_str(); 5].join("."));
    let (code, err) = Given::new(folder.path(), &[("AWS_ENDPOINT_URL", &host)], &[]).place().unwrap_err();
    assert!(code == 2 && err.contains("(NoHost)") && err.contains("the host does not exist"), "{err}");
    // A profile without credentials, and none at all.
    let (code, err) = Given::new(folder.path(), &[], &["--profile", "bare"]).place().unwrap_err();
    assert!(code == 1 && err.contains("(NoCredentials): the profile has no credentials\n"), "{err}");
    let nobody = Given::new(folder.path(), &[("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")], &[]);
    let (code, err) = nobody.place().unwrap_err();
    assert!(code == 1 && err.contains("(NoCredentials): no credentials found in chain"), "{err}");
    assert!(!err.contains("dispatch") && !err.contains("\\n"), "{err}");
}

/// A session of `aws login`: its credentials are in a file that the AWS CLI keeps.
#[test]
fn a_session_of_aws_login_is_used() {
    const SESSION: &str = "arn:aws:iam::444455556666:user/ops";
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", "");
    file(&folder, "config", &format!("[profile ops]\nregion = eu-west-1\nlogin_session = {SESSION}\n"));
    let given = Given::new(folder.path(), &[], &["--profile", "ops"]);
    let (code, err) = given.place().unwrap_err();
    assert!(code == 1 && err.contains("(NoCredentials)") && err.contains("`aws login`"), "nobody has logged in: {err}");
    let name: String = Sha256::digest(SESSION).iter().map(|byte| format!("{byte:02x}")).collect();
    // The key is one of the SDK's own tests: without one the file is none.
    let key = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIFDZHUzOG1Pzq+6F0mjMlOSp1syN9LRPBuHMoCFXTcXhoAoGCCqGSM49\nAwEHoUQDQgAE9qhj+KtcdHj1kVgwxWWWw++tqoh7H7UHs7oXh8jBbgF47rrYGC+t\ndjiIaHK3dBvvdE7MGj5HsepzLm3Kj91bqA==\n-----END EC PRIVATE KEY-----\n";
    let token = json!({
        "accessToken": {
            "accessKeyId": "444455556666", "secretAccessKey": "test", "sessionToken": "test", "accountId": "444455556666",
            "expiresAt": "2199-12-25T21:30:00Z",
        },
        "tokenType": "aws_sigv4", "refreshToken": "r", "idToken": "i", "clientId": "aws:signin:::cli/same-device", "dpopKey": key,
    });
    let cache = folder.path().join(".aws/login/cache");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::write(cache.join(format!("{name}.json")), token.to_string()).unwrap();
    assert_eq!(given.place(), Ok(("444455556666".to_owned(), "eu-west-1".to_owned())));
}

#[test]
fn whose_streams_they_are_is_said_before_anything_is_asked_or_written() {
    let stream = unique("place");
    parts().stream(&stream);
    parts().active(&stream);
    let place = |mode: &str| format!("account {ACCOUNT}, Region {REGION}, policy inline, mode {mode}\n");
    let Ran { out, err, .. } = run(&["seal", &stream, "--dry-run", "--policy", POLICY], &reach());
    assert!(out.starts_with(&place("enforce")), "{out}{err}");
    let Ran { err, .. } = run(&["prove", &stream, "--policy", POLICY], &reach());
    assert!(err.starts_with(&place("prove")), "{err}");
    // Nothing is waited for.
    let at_once = POLICY.replace("enforce}", "enforce, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s}}");
    let Ran { out, err, .. } = run(&["seal", &stream, "--yes", "--json", "--policy", &at_once], &reach());
    assert!(err.starts_with(&place("enforce")), "also where only JSON is asked for: {err}");
    assert!(out.starts_with('{') && !out.contains("mode enforce"), "{out}");
}

/// Where the account is named nobody has to ask STS for it, and the documents still say who ran the command.
#[test]
fn documents_name_who_ran_the_command_however_the_account_was_given() {
    let stream = unique("actor");
    parts().stream(&stream);
    parts().active(&stream);
    let arn = super::stream_arn(&stream);
    for arguments in [
        &["explain", &stream, "--json"][..],
        &["explain", &arn, "--json"],
        &["explain", &stream, "--json", "--account", ACCOUNT],
        &["prove", &arn, "--observe", "--json"],
        &["seal", &stream, "--dry-run", "--json", "--account", ACCOUNT],
        &["audit", "--stream", &stream, "--json", "--account", ACCOUNT],
    ] {
        let Ran { out, err, .. } = run(&[arguments, &["--policy", POLICY]].concat(), &reach());
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {err}"));
        assert_eq!(json["actor"], format!("arn:aws:iam::{ACCOUNT}:root"), "{arguments:?}");
    }
}

/// A profile with a role: it is the role's session that ran the command, and not who may assume it.
#[test]
fn documents_name_the_role_that_a_profile_assumes() {
    let (stream, role) = (unique("actor"), unique("operations"));
    parts().stream(&stream);
    parts().active(&stream);
    let all = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let role_arn = parts().role(&role, &all);
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "credentials", "[me]\naws_access_key_id = test\naws_secret_access_key = test\n");
    let ops = "[profile ops]\nregion = eu-west-1\nsource_profile = me\nrole_session_name = alice\n";
    file(&folder, "config", &format!("{ops}role_arn = {role_arn}\n"));
    let session = format!("arn:aws:sts::{ACCOUNT}:assumed-role/{role}/alice");
    let kinesis = ("AWS_ENDPOINT_URL_KINESIS", parts().kinesis.as_str());
    for (variables, options) in [(&[kinesis][..], &["--profile", "ops"][..]), (&[kinesis, ("AWS_PROFILE", "ops")], &[])]
    {
        let given = Given::new(folder.path(), variables, options);
        for arguments in [
            &["explain", &stream, "--json"][..],
            &["explain", &super::stream_arn(&stream), "--json"],
            &["prove", &stream, "--observe", "--json"],
            &["seal", &stream, "--dry-run", "--json", "--account", ACCOUNT],
            &["audit", "--stream", &stream, "--json"],
            &["audit", "--stream", &stream, "--format", "evidence"],
        ] {
            let Ran { out, err, .. } = given.streamseal(&[arguments, &["--policy", POLICY]].concat());
            let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {err}"));
            let actor = if arguments.contains(&"evidence") { &json["run"]["actor"] } else { &json["actor"] };
            assert_eq!(actor, &json!(session), "{arguments:?}");
        }
    }
}

#[test]
fn a_policy_is_a_file_a_variable_standard_input_or_streamseal_yaml() {
    use std::io::Write;
    use std::process::Stdio;
    let folder = tempfile::tempdir().unwrap();
    let text = "version: 1\ndefaults: {existing: enforce}\nrules:\n  - {name: all, key: alias/aws/kinesis}\n";
    let path = file(&folder, "policy.yaml", text);
    let explain = |arguments: &[&str], variables: &[(&str, &str)], input: &str| {
        let variables = [&reach()[..], variables].concat();
        let mut command = command(&[&["explain", "--name", "x"], arguments].concat(), &variables);
        let command =
            command.current_dir(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout) + &text(output.stderr))
    };
    let is_right = |(code, said): (i32, String)| assert!(code == 0 && said.contains("all (line 4)"), "{said}");
    is_right(explain(&["--policy", path.to_str().unwrap()], &[], ""));
    is_right(explain(&["--policy", "policy.yaml"], &[], ""));
    is_right(explain(&[], &[("POLICY", "policy.yaml")], ""));
    is_right(explain(&[], &[("POLICY", "file:policy.yaml")], ""));
    is_right(explain(&["--policy", "-"], &[], text));
    let (code, said) = explain(&[], &[], "");
    assert!(code == 2 && said.contains("no policy is set"), "{said}");
    file(&folder, "streamseal.yaml", text);
    is_right(explain(&[], &[], ""));
    // One that is named goes first.
    let (code, said) = explain(&[], &[("POLICY", "nowhere.yaml")], "");
    assert!(code == 1 && said.contains("nowhere.yaml: cannot be read"), "{said}");
}
