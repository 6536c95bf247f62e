//! Random variables and profile files: a command ends with one of its exit codes, and says why in a few lines.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::retries::Server;
use super::settings::POLICY;
use super::{command, run};
use crate::support::{file, root};

/// What is read here or by the SDK. What takes requests away from loopback is below, in [`WAYS`].
const NAMES: &[&str] = &[
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_RETRY_MODE",
    "AWS_MAX_ATTEMPTS",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_KINESIS",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_SDK_UA_APP_ID",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_DEFAULTS_MODE",
    "AWS_NEW_RETRIES_2026",
    "AWS_AUTH_SCHEME_PREFERENCE",
    "AWS_SIGV4A_SIGNING_REGION_SET",
    "AWS_LOGIN_CACHE_DIRECTORY",
    "ACCOUNT_ID",
    "POLICY",
    "RESULT_BUS",
    "WORK_QUEUE_URL",
    "SCAN_QUEUE_URL",
    "AWS_LAMBDA_FUNCTION_NAME",
    "LAMBDA_TASK_ROOT",
    "MODE",
    "PARTITION",
    "OWN_ROLE_ARN",
    "DESCRIBES_PER_SECOND",
    "TERM",
    "COLUMNS",
    "NO_COLOR",
    "HOME",
];
const KEYS: &[&str] = &[
    "region",
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
    "role_arn",
    "source_profile",
    "credential_source",
    "mfa_serial",
    "sso_session",
    "sso_start_url",
    "sso_region",
    "sso_account_id",
    "sso_role_name",
    "login_session",
    "credential_process",
    "web_identity_token_file",
    "retry_mode",
    "max_attempts",
    "endpoint_url",
    "services",
    "ca_bundle",
    "use_fips_endpoint",
    "duration_seconds",
    "external_id",
    "role_session_name",
    "ignore_configured_endpoint_urls",
    "sdk_ua_app_id",
];
const VALUES: &[&str] = &[
    "",
    " ",
    "0",
    "-1",
    "1",
    "18446744073709551616",
    "true",
    "maybe",
    "legacy",
    "adaptive",
    "a",
    "b",
    "default",
    "eu-west-1",
    "eu west 1",
    "us-iso-east-1",
    "http://127.0.0.1:9",
    "https://127.0.0.1:9/x?y#z",
    "http://",
    "://",
    "x y",
    "/nowhere",
    ".",
    "Environment",
    "Ec2InstanceMetadata",
    "arn:aws:iam::444455556666:role/x",
    "arn:::::",
    "111122223333",
    "Zürich",
    "\u{202e}",
    "%s%n",
    "'\"`$(id)",
    "{}",
    "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/aws/kinesis}]}",
    "report",
    "*",
    "false",
    "cat /nowhere",
    "\u{1}",
    "a=b",
    "[a]",
    "#",
];

/// How requests get out of the process, the files that are read on the way, and where the streams are.
const WAYS: &[&str] = &[
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "AWS_CA_BUNDLE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "ACCOUNT_ID",
    "POLICY",
    "MODE",
];
/// Proxies on loopback, what is none, files and what is none, and bytes that are no text. No other host is named.
const OF_WAYS: &[&[u8]] = &[
    b"",
    b" \t",
    b"*",
    b"127.0.0.1",
    b"127.0.0.1,::1,.test",
    b"http://127.0.0.1:9",
    b"https://127.0.0.1:9",
    b"127.0.0.1:9",
    b"http://me:p%40ss@127.0.0.1:9/",
    b"http://me:p%zz@127.0.0.1:9",
    b"socks5://127.0.0.1:9",
    b"http://",
    b"://",
    b"http://127.0.0.1:99999",
    b"http://[::1]:9",
    b"http://[::1",
    b"x y",
    b"\xff\xfe",
    b"127.0.0.1\xff",
    "\u{202e}".as_bytes(),
    b"\x01",
    b"/",
    b"/nowhere/x",
    b"/dev/null",
    b"FOLDER",
    b"FOLDER/config",
    b"FOLDER/bytes",
    b"FOLDER/broken",
    b"FOLDER/certificate",
    b"eu-west-1",
    b"eu west 1",
    b"111122223333",
    b"report",
    b"a",
];

/// Arguments of each command: the first are those of one that does its work. A command that is not here is run without any.
const ARGUMENTS: &[(&str, &[&[&str]])] = &[
    ("explain", &[&["--name", "x"], &["x"], &["x", "--json", "--fix"]]),
    (
        "audit",
        &[&[], &["--fix", "--json"], &["--organization", "--role", "r"], &["--aggregator", "a"], &["--all-regions"]],
    ),
    ("check", &[&["--resolve"], &["POLICY"], &["POLICY", "--terraform", "ROOT/tests/plans/plan.json"]]),
    ("seal", &[&["x", "--dry-run"], &["x", "--yes", "--json"], &["--all", "--watch", "20m", "--yes"]]),
    ("prove", &[&["x", "--yes"], &["x", "--observe", "--json"]]),
    ("doctor", &[&[], &["--stack", "s", "--json"], &["--aggregator", "a"]]),
    ("impact", &[&["x"], &["x", "--key", "alias/x", "--json"]]),
    ("init", &[&["-"], &[]]),
    ("replay", &[&["EVENT"], &["EVENT", "--offline"], &["EVENT", "--json"]]),
    ("schema", &[&[], &["evidence"]]),
    ("completions", &[&["bash"], &[]]),
    ("man", &[&[], &["audit"]]),
];

/// The commands, as the program lists them: a new one is tried too.
fn commands() -> &'static BTreeSet<String> {
    static COMMANDS: OnceLock<BTreeSet<String>> = OnceLock::new();
    COMMANDS.get_or_init(|| {
        let help = run(&["--help"], &[]).out;
        let list =
            help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| line.starts_with("  "));
        let names = list.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        let names: BTreeSet<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
        assert!(ARGUMENTS.iter().all(|(name, _)| names.contains(*name)), "{names:?}");
        names
    })
}

/// One of the commands, with the arguments of this number.
fn command_line() -> impl Strategy<Value = Vec<String>> {
    let names: Vec<String> = commands().iter().cloned().collect();
    (prop::sample::select(names), any::<prop::sample::Index>()).prop_map(|(name, which)| {
        const NONE: &[&[&str]] = &[&[]];
        let all = ARGUMENTS.iter().find(|(known, _)| *known == name).map_or(NONE, |(_, all)| *all);
        let root = root().to_str().unwrap();
        let place = |word: &&str| match *word {
            "POLICY" => format!("{root}/tests/plans/policy.yaml"),
            "EVENT" => format!("{root}/events/kinesis-create-stream-on-demand.json"),
            other => other.replace("ROOT", root),
        };
        [name].into_iter().chain(all[which.index(all.len())].iter().map(place)).collect()
    })
}

fn profiles() -> impl Strategy<Value = String> {
    const SECTIONS: &[&str] =
        &["default", "profile a", "profile b", "a", "sso-session a", "services a", "profile ", "x"];
    let keys = prop::collection::vec((prop::sample::select(KEYS), prop::sample::select(VALUES)), 0..5);
    let section = (prop::sample::select(SECTIONS), keys).prop_map(|(name, keys)| {
        format!("[{name}]\n{}", keys.iter().map(|(key, value)| format!("{key} = {value}\n")).collect::<String>())
    });
    prop::collection::vec(section, 0..4).prop_map(|sections| sections.concat())
}

/// Runs it with these variables and no others, in a folder of its own with these profiles: nothing worse than an error.
fn ends_well(
    arguments: &[String],
    variables: &BTreeMap<OsString, OsString>,
    profiles: &str,
) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    file(&folder, "config", profiles);
    file(&folder, "credentials", &profiles.replace("[profile ", "["));
    file(&folder, "broken", "[default\n=\n");
    file(&folder, "certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    std::fs::write(folder.path().join("bytes"), b"\xff\x00\xfe[default]\n").unwrap();
    let at = |name: &str| folder.path().join(name).into_os_string();
    let placed = |value: &OsString| match value.to_str().and_then(|value| value.strip_prefix("FOLDER")) {
        Some(rest) => at(rest.trim_start_matches('/')),
        None => value.clone(),
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = command(&arguments, &[]);
    command.current_dir(folder.path()).env_clear();
    command.envs([("AWS_CONFIG_FILE", at("config")), ("AWS_SHARED_CREDENTIALS_FILE", at("credentials"))]);
    command.envs([("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_REGION", "eu-west-1"), ("POLICY", POLICY)]);
    let began = Instant::now();
    let output = command.envs(variables.iter().map(|(name, value)| (name, placed(value)))).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    let shown = format!("{arguments:?} {variables:?} {profiles}: {err}");
    prop_assert!(output.status.code().is_some_and(|code| (0..=4).contains(&code)), "{:?} {shown}", output.status);
    prop_assert!(!err.contains("panicked") && !err.contains("internal error"), "{shown}");
    prop_assert!(err.lines().count() <= 24 && err.len() <= 6_000, "{shown}");
    // These print what they are for.
    let is_printer = ["schema", "completions", "man"].contains(&arguments[0]);
    let length = output.stdout.len();
    prop_assert!(is_printer || length <= 20_000, "{length} bytes on standard output: {shown}");
    prop_assert!(began.elapsed() < Duration::from_secs(60), "{shown}");
    Ok(())
}

fn words(all: &[(&str, &str)]) -> BTreeMap<OsString, OsString> {
    all.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()
}

/// The variables of a command whose requests go to a proxy that does not answer, with one more.
fn through_no_proxy(name: &str, value: &str) -> BTreeMap<OsString, OsString> {
    let proxies = ["HTTPS_PROXY", "HTTP_PROXY"].map(|name| (name, "http://127.0.0.1:9"));
    words(&[&proxies[..], &[("AWS_MAX_ATTEMPTS", "1"), (name, value)]].concat())
}

/// Variables of a command whose requests go to a server on loopback that fails each, and what makes them go there.
fn to_server() -> (BTreeMap<OsString, OsString>, [String; 2]) {
    static SERVER: OnceLock<String> = OnceLock::new();
    let url = SERVER.get_or_init(|| Server::default().start()).clone();
    let keys = [("AWS_ACCESS_KEY_ID", "own"), ("AWS_SECRET_ACCESS_KEY", "x"), ("AWS_MAX_ATTEMPTS", "1")];
    (words(&keys), ["--endpoint-url".to_owned(), url])
}

/// A command that reads them all.
fn explain(options: &[String]) -> Vec<String> {
    [&["explain", "--name", "x"].map(str::to_owned)[..], options].concat()
}

/// Those values that may be none of a kind.
const ODD: &[&str] = &[
    "",
    "0",
    "-1",
    "18446744073709551616",
    "maybe",
    "http://",
    "://",
    "https://127.0.0.1:9/x?y#z",
    "x y",
    "eu-west-1",
    ".",
    "arn:::::",
    "Zürich",
    "{}",
    "\u{1}",
];

/// Each setting with each of them, since a random name and its odd value seldom meet.
#[test]
fn no_single_variable_makes_a_command_panic() {
    for (name, value) in NAMES.iter().flat_map(|name| ODD.iter().map(move |value| (name, value))) {
        ends_well(&explain(&[]), &through_no_proxy(name, value), "").unwrap();
    }
}

#[test]
fn no_single_line_of_a_profile_makes_a_command_panic() {
    for (key, value) in KEYS.iter().flat_map(|key| ODD.iter().map(move |value| (key, value))) {
        let profile = format!("[default]\n{key} = {value}\n");
        ends_well(&explain(&[]), &through_no_proxy("AWS_ACCESS_KEY_ID", ""), &profile).unwrap();
    }
    let (variables, options) = to_server();
    for (name, value) in WAYS.iter().flat_map(|name| OF_WAYS.iter().map(move |value| (name, value))) {
        let one = [(OsString::from(name), OsStr::from_bytes(value).to_owned())];
        ends_well(&explain(&options), &variables.clone().into_iter().chain(one).collect(), "").unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever variables and profile files say. Everything that would leave this machine goes to a proxy that does not answer.
    #[test]
    fn no_environment_makes_a_command_panic(
        variables in prop::collection::btree_map(prop::sample::select(NAMES), prop::sample::select(VALUES), 0..6),
        profiles in profiles(),
        command_line in command_line(),
        profile in prop::option::of(prop::sample::select(&["a", "b", "default", ""][..])),
    ) {
        let mut all = words(&[("HTTPS_PROXY", "http://127.0.0.1:9"), ("HTTP_PROXY", "http://127.0.0.1:9")]);
        all.extend(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))));
        let options = profile.map(|profile| vec!["--profile".to_owned(), profile.to_owned()]).unwrap_or_default();
        ends_well(&[command_line, options].concat(), &all, &profiles)?;
    }

    /// Whatever says how requests go out. All go to a server on loopback, which fails each; the credentials are in the environment, so that
    /// none are asked for.
    #[test]
    fn no_way_to_aws_makes_a_command_panic(
        ways in prop::collection::btree_map(prop::sample::select(WAYS), prop::sample::select(OF_WAYS), 0..5),
        profiles in profiles(),
        command_line in command_line(),
    ) {
        let (mut all, endpoint) = to_server();
        all.extend(ways.iter().map(|(name, value)| (OsString::from(name), OsStr::from_bytes(value).to_owned())));
        ends_well(&[&command_line[..], &endpoint].concat(), &all, &profiles)?;
    }
}

/// A library that panics in the middle of a command: what the user sees is an error as any other.
#[test]
fn a_panic_is_one_line_and_exit_code_1() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_test-command-that-panics"));
    let (variables, options) = to_server();
    command.args(explain(&options)).args(["--policy", POLICY, "--region", "eu-west-1"]);
    let output = command.env_clear().envs(variables).env("RUST_BACKTRACE", "full").output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{err}");
    let [error, help] = err.lines().collect::<Vec<_>>()[..] else { panic!("{err}") };
    let place = error.strip_prefix(r"error: internal error in streamseal: not a \u{202e}URL (command_that_panics.rs:");
    assert!(place.is_some_and(|line| line.trim_end_matches(')').parse::<u32>().is_ok()), "{error}");
    assert_eq!(help, "help: please report it, with the command and this line");
}
