//! `streamseal audit` of many accounts: what AWS Config recorded, over the wire and against the same fleet observed directly, and roles in
//! each account.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::{MockServer, Request, ResponseTemplate};

use crate::audit::{POLICY, audit, command, fleet, ran, stub};
use crate::support::{ACCOUNT, PATIENCE, REGION, Tool, file};

const OTHER: &str = "444455556666";

pub(crate) fn error(code: &str) -> ResponseTemplate {
    ResponseTemplate::new(400).set_body_json(json!({"__type": code, "message": "no"}))
}

pub(crate) fn operation(request: &Request) -> String {
    let target = request.headers.get("x-amz-target").map(|value| value.to_str().unwrap()).unwrap_or_default();
    match target.rsplit('.').next() {
        Some("") | None => {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
            action.unwrap_or_default().to_owned()
        }
        Some(operation) => operation.to_owned(),
    }
}

/// Of the credentials that it was signed with.
pub(crate) fn access_key(request: &Request) -> String {
    let header = request.headers.get("authorization").map(|value| value.to_str().unwrap()).unwrap_or_default();
    let signed = header.split("Credential=").nth(1).unwrap_or_default();
    signed.split('/').next().unwrap().to_owned()
}

/// Of the role that an AssumeRole names.
pub(crate) fn account_of_role(request: &Request) -> String {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    body.split("iam%3A%3A").nth(1).unwrap().chars().take(12).collect()
}

/// What STS answers when it refuses. Where it throttles, it has the SDK wait no longer than tests like to.
pub(crate) fn refused(code: &str, message: &str) -> ResponseTemplate {
    let error =
        format!("<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
    let status = if code == "Throttling" { 400 } else { 403 };
    ResponseTemplate::new(status).insert_header("x-amz-retry-after", "10").set_body_string(error)
}

fn xml(operation: &str, result: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_string(format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result>{result}</{operation}Result>\
         </{operation}Response>"
    ))
}

fn caller() -> ResponseTemplate {
    xml("GetCallerIdentity", &format!("<Account>{ACCOUNT}</Account>"))
}

/// The command, with everything at this endpoint.
fn at(url: &str, policy: &Path, arguments: &[&str]) -> Command {
    let mut command = command(policy, &["--region", REGION]);
    command.args(arguments).env("AWS_ENDPOINT_URL", url).env_remove("ACCOUNT_ID");
    command
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// Everything that AWS Config would record of the fleet in the emulators.
fn recorded() -> Vec<Value> {
    let parts = &fleet().parts;
    let item = |kind: &str, arn: &str, configuration: Value| {
        json!({
            "resourceType": kind, "accountId": ACCOUNT, "awsRegion": REGION, "arn": arn,
            "configurationItemCaptureTime": "2026-11-28T10:00:00.000Z", "configuration": configuration,
        })
    };
    let mut items = Vec::new();
    for key in parts.kms("ListKeys", json!({}))["Keys"].as_array().unwrap() {
        let found = parts.kms("DescribeKey", json!({"KeyId": key["KeyId"]}))["KeyMetadata"].clone();
        let configuration = json!({
            "keyId": found["KeyId"], "keyState": found["KeyState"], "keyManager": found["KeyManager"],
            "keyUsage": found["KeyUsage"], "customerMasterKeySpec": found["CustomerMasterKeySpec"],
            "origin": found["Origin"],
        });
        items.push(item("AWS::KMS::Key", found["Arn"].as_str().unwrap(), configuration));
    }
    for alias in parts.kms("ListAliases", json!({}))["Aliases"].as_array().unwrap() {
        let configuration = json!({"AliasName": alias["AliasName"], "TargetKeyId": alias["TargetKeyId"]});
        items.push(item("AWS::KMS::Alias", alias["AliasArn"].as_str().unwrap(), configuration));
    }
    let tags = crate::audit::tags_by_stream();
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map_or(json!({}), |name| json!({"ExclusiveStartStreamName": name}));
        let page = parts.kinesis("ListStreams", after).unwrap();
        names.extend(page["StreamNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        if page["HasMoreStreams"] != true {
            break;
        }
    }
    for name in names {
        let found = parts.describe(&name);
        let mut configuration = json!({"Name": name, "RetentionPeriodHours": found["RetentionPeriodHours"]});
        if found["EncryptionType"] == "KMS" {
            configuration["StreamEncryption"] = json!({"EncryptionType": "KMS", "KeyId": found["KeyId"]});
        }
        let arn = found["StreamARN"].as_str().unwrap();
        let mut stream = item("AWS::Kinesis::Stream", arn, configuration);
        stream["resourceCreationTime"] = json!((found["StreamCreationTimestamp"].as_f64().unwrap() * 1000.0) as i64);
        stream["tags"] = tags
            .get(&name)
            .map(|(key, value)| json!([{"key": key, "value": value, "tag": format!("{key}={value}")}]))
            .unwrap_or(json!([]));
        items.push(stream);
    }
    items
}

/// The same fleet, observed stream by stream and by what was recorded of it: right to the last one.
#[test]
fn what_was_recorded_is_judged_as_what_is_observed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let items = recorded();
    let path = file(&folder, "items.json", &Value::Array(items).to_string());
    let double = Tool::start("config", &["--items", path.to_str().unwrap()], &[]);
    let url = double.ready["url"].as_str().unwrap();
    let (code, out, err) = ran(audit(&policy, &["--json", "--rate", "1000"]).env_remove("AWS_MAX_ATTEMPTS"));
    assert_eq!((code, err.as_str()), (3, ""));
    let observed = parsed(&out);
    for way in [&["--aggregator", "org"][..], &["--config"]] {
        let (code, out, err) = ran(at(url, &policy, &["--json", "--rate", "1000"]).args(way));
        assert_eq!((code, err.as_str()), (3, ""), "{way:?}");
        let found = parsed(&out);
        let rows = |of: &Value| -> BTreeMap<String, Value> {
            let rows = of["streams"].as_array().unwrap().iter();
            rows.map(|row| (row["arn"].as_str().unwrap().to_owned(), row.clone())).collect()
        };
        let (observed, found) = (rows(&observed), rows(&found));
        assert_eq!((observed.len(), found.len()), (500, 500));
        for (arn, row) in &observed {
            let recorded = &found[arn];
            for (field, value) in row.as_object().unwrap() {
                // What KMS does not know and what Config did not record are two things.
                let differs = row["reason"] == "key-missing" && ["annotation", "remedy"].contains(&field.as_str());
                let same = match field.as_str() {
                    "as_of" => recorded[field] == "2026-11-28T10:00:00.000Z",
                    // Config does not record how a key is rotated.
                    "key_rotation" => recorded[field].is_null(),
                    "reason" if row["reason"] == "key-missing" => recorded[field] == "key-unresolvable",
                    _ if differs => recorded[field].to_string().contains("ecorded"),
                    _ => recorded[field] == *value,
                };
                assert!(same, "{arn}: {field}: {value} {}", recorded[field]);
            }
        }
    }
    // Each: five pages of streams, one of keys and one of aliases.
    let calls = ureq::get(&format!("{url}/_config/calls")).call().unwrap().body_mut().read_to_string().unwrap();
    let calls = parsed(&calls);
    assert_eq!((&calls["SelectAggregateResourceConfig"], &calls["SelectResourceConfig"]), (&json!(7), &json!(7)));
}

/// An item of a stream; without encryption unless `key` is there.
fn item(account: &str, name: &str, key: Option<&str>) -> Value {
    let mut configuration = json!({"Name": name, "RetentionPeriodHours": 24});
    if let Some(key) = key {
        configuration["StreamEncryption"] = json!({"EncryptionType": "KMS", "KeyId": key});
    }
    json!({
        "accountId": account, "awsRegion": REGION, "resourceName": name, "configuration": configuration,
        "configurationItemCaptureTime": "2026-11-28T10:00:00.000Z", "somethingNew": [1],
    })
}

/// An AWS Config that answers each query for streams with the next of `pages`, over and over, and has no keys.
fn config(pages: Vec<ResponseTemplate>, sources: Value) -> (MockServer, Arc<Mutex<Vec<Value>>>) {
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let log = Arc::clone(&asked);
    let server = stub(move |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match operation(request).as_str() {
            "GetCallerIdentity" => caller(),
            "DescribeConfigurationAggregatorSourcesStatus" if body["ConfigurationAggregatorName"] == "denied" => {
                error("AccessDeniedException")
            }
            "DescribeConfigurationAggregatorSourcesStatus" if body["ConfigurationAggregatorName"] != "org" => {
                error("NoSuchConfigurationAggregatorException")
            }
            "DescribeConfigurationAggregatorSourcesStatus" => {
                ResponseTemplate::new(200).set_body_json(json!({"AggregatedSourceStatusList": sources}))
            }
            "DescribeConfigurationAggregators" => ResponseTemplate::new(200)
                .set_body_json(json!({"ConfigurationAggregators": [{"ConfigurationAggregatorName": "org"}]})),
            _ if !body["Expression"].as_str().unwrap().contains("'AWS::Kinesis::Stream'") => {
                ResponseTemplate::new(200).set_body_json(json!({"Results": []}))
            }
            _ => {
                let mut asked = log.lock().unwrap();
                asked.push(body);
                pages[(asked.len() - 1) % pages.len()].clone()
            }
        }
    });
    (server, asked)
}

fn page(items: &[Value], next: Option<&str>) -> ResponseTemplate {
    let results: Vec<String> = items.iter().map(Value::to_string).collect();
    ResponseTemplate::new(200).set_body_json(json!({"Results": results, "NextToken": next}))
}

fn source(account: &str, region: &str, status: &str) -> Value {
    json!({
        "SourceId": account, "SourceType": "ACCOUNT", "AwsRegion": region, "LastUpdateStatus": status,
        "LastUpdateTime": 1_795_860_000, "LastErrorCode": if status == "SUCCEEDED" { Value::Null } else { json!("ACCESS") },
    })
}

#[test]
fn every_page_is_read_and_what_is_missing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    let pages = vec![
        page(&[item(ACCOUNT, "scratch-1", None), item(ACCOUNT, "orders-1", Some(&key))], Some("two")),
        page(&[], Some("three")),
        page(&[item(OTHER, "orders-2", None), json!({"accountId": OTHER})], None),
    ];
    let sources = json!([
        source(ACCOUNT, REGION, "SUCCEEDED"), source(OTHER, REGION, "OUTDATED"), source(OTHER, "us-east-1", "SUCCEEDED"),
        source("777788889999", REGION, "FAILED"),
        {"SourceId": "o-1", "SourceType": "ORGANIZATION", "AwsRegion": REGION, "LastUpdateStatus": "SUCCEEDED"},
    ]);
    let (server, asked) = config(pages, sources);
    let (code, out, err) = ran(&mut at(&server.uri(), &policy, &["--aggregator", "org", "--json", "--rate", "1000"]));
    assert_eq!(code, 1, "what cannot be read makes it incomplete: {err}");
    let found = parsed(&out);
    let row = |name: &str| {
        let rows = found["streams"].as_array().unwrap().iter();
        let row = rows.clone().find(|row| row["stream"] == name).unwrap();
        ["account", "compliance", "reason"].map(|field| row[field].as_str().unwrap().to_owned())
    };
    assert_eq!(row("scratch-1"), [ACCOUNT, "NOT_APPLICABLE", "exempt"]);
    assert_eq!(row("orders-1"), [ACCOUNT, "INSUFFICIENT_DATA", "unreadable"], "its key was not recorded");
    assert_eq!(row("orders-2"), [OTHER, "NON_COMPLIANT", "key-unresolvable"]);
    let remedy = &found["streams"][1]["remedy"];
    assert_eq!((&remedy["about"], &remedy["statement"]), (&json!("key"), &Value::Null), "no permission would help");
    assert!(remedy["text"].as_str().unwrap().starts_with("AWS Config has not recorded"), "{remedy}");
    let regions: Vec<[&str; 3]> = found["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| ["account", "region", "state"].map(|field| region[field].as_str().unwrap()))
        .collect();
    let expected = [
        [ACCOUNT, REGION, "complete"],
        [OTHER, REGION, "outdated"],
        [OTHER, "us-east-1", "no-streams"],
        ["777788889999", REGION, "failed"],
    ];
    assert_eq!(regions, expected);
    assert!(found["lacks"][0]["why"].as_str().unwrap().starts_with("account and Region cannot be read of"), "{found}");
    assert_eq!(found["lacks"].as_array().unwrap().len(), 1);
    let says = |text: &str| assert!(err.contains(text), "{text}: {err}");
    says("error: AWS Config: account and Region cannot be read of");
    says(&format!("account 777788889999, {REGION}: AWS Config delivers nothing new: it delivered last at"));
    says(&format!("account {OTHER}, {REGION}: what AWS Config has may be out of date"));
    let tokens: Vec<Value> = asked.lock().unwrap().iter().map(|body| body["NextToken"].clone()).collect();
    assert_eq!(tokens, [Value::Null, json!("two"), json!("three")]);
    assert!(
        asked.lock().unwrap().iter().all(|body| body["Limit"] == 100 && body["ConfigurationAggregatorName"] == "org")
    );
    // The table has the same, and says what is where.
    let (_, out, _) = ran(&mut at(&server.uri(), &policy, &["--aggregator", "org", "--rate", "1000"]));
    assert!(
        out.starts_with(&format!("aggregator org of account {ACCOUNT} in {REGION}, 3 accounts, 2 Regions, policy ")),
        "{out}"
    );
    assert!(out.contains(&format!("they are not recorded): {OTHER} us-east-1\n")), "{out}");
    assert!(out.contains("\nby account\n  ") && out.contains("\nincomplete: AWS Config, 777788889999"), "{out}");
}

#[test]
fn accounts_and_regions_that_are_not_collected_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let sources = json!([source(ACCOUNT, REGION, "SUCCEEDED"), source(OTHER, REGION, "SUCCEEDED")]);
    let (server, asked) = config(vec![page(&[item(ACCOUNT, "scratch-1", None)], None)], sources);
    let accounts = format!("{ACCOUNT},777788889999");
    let filter = ["--aggregator", "org", "--accounts", &accounts, "--regions", "eu-west-1,eu-north-1", "--json"];
    let (code, out, err) = ran(&mut at(&server.uri(), &policy, &filter));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("account 777788889999: it is no source of the aggregator"), "{err}");
    assert!(err.contains("Region eu-north-1: the aggregator collects nothing there"), "{err}");
    assert_eq!(parsed(&out)["regions"].as_array().unwrap().len(), 1, "{OTHER} was not asked for");
    let expression = asked.lock().unwrap()[0]["Expression"].as_str().unwrap().to_owned();
    let within = format!("AND accountId IN ('{ACCOUNT}', '777788889999') AND awsRegion IN ('eu-west-1', 'eu-north-1')");
    assert!(expression.contains(&within), "{expression}");
    // A query has at most 4,096 characters.
    let many: Vec<String> = (0..1000).map(|number| format!("{}", 200_000_000_000_u64 + number)).collect();
    let list = file(&folder, "accounts", &many.join("\n"));
    asked.lock().unwrap().clear();
    let every = REGIONS.join(",");
    let filter =
        ["--aggregator", "org", "--accounts-file", list.to_str().unwrap(), "--regions", &every, "--rate", "1000"];
    ran(&mut at(&server.uri(), &policy, &filter));
    let asked = asked.lock().unwrap();
    let named: BTreeSet<&str> =
        asked.iter().flat_map(|body| body["Expression"].as_str().unwrap().split('\'')).collect();
    assert!(many.iter().all(|account| named.contains(account.as_str())), "each is asked for");
    let longest = asked.iter().map(|body| body["Expression"].as_str().unwrap().len()).max().unwrap();
    assert!(longest <= 4096 && asked.len() < 10, "{longest} characters, {} queries", asked.len());
}

/// As many as the partition `aws` has, with the longest names.
const REGIONS: [&str; 34] = [
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-south-1",
    "ap-south-2",
    "ca-central-1",
    "ca-west-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

#[test]
fn pages_that_break_off_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let report = file(&folder, "report.csv", "the one before");
    let first = || page(&[item(ACCOUNT, "scratch-1", None)], Some("two"));
    let sources = || json!([source(ACCOUNT, REGION, "SUCCEEDED")]);
    let throttled = || error("ThrottlingException");
    let last = || page(&[item(ACCOUNT, "scratch-2", None)], None);
    let cases = [
        (
            vec![first(), error("InvalidNextTokenException")],
            1,
            "after 1 streams that AWS Config recorded, nothing was written",
            2,
        ),
        (vec![first(), error("AccessDeniedException")], 1, "AccessDeniedException", 2),
        (vec![first(), first()], 1, "AWS Config gives the same page of streams for ever: nothing was written", 2),
        // A query that is throttled is sent again, so often and no more.
        (vec![first(), throttled(), throttled(), last()], 0, "", 4),
        ([first()].into_iter().chain((0..9).map(|_| throttled())).collect(), 4, "this may be temporary: try again", 7),
    ];
    for (pages, expected, words, requests) in cases {
        let (server, asked) = config(pages, sources());
        let output = ["--aggregator", "org", "--rate", "1000", "--output", report.to_str().unwrap()];
        let (code, out, err) = ran(&mut at(&server.uri(), &policy, &output));
        assert_eq!((code, out.as_str()), (expected, ""), "{err}");
        assert!(err.contains(words), "{words}: {err}");
        assert_eq!(asked.lock().unwrap().len(), requests, "{words}");
        let text = std::fs::read_to_string(&report).unwrap();
        assert_eq!(text == "the one before", expected != 0, "{words}");
        std::fs::write(&report, "the one before").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
    }
    let (server, _) = config(vec![last()], sources());
    let (code, _, err) = ran(&mut at(&server.uri(), &policy, &["--aggregator", "other"]));
    assert_eq!(code, 1);
    assert!(err.contains(&format!("account {ACCOUNT} has these in {REGION}: org")), "{err}");
    let (code, _, err) = ran(&mut at(&server.uri(), &policy, &["--aggregator", "denied"]));
    assert!(code == 1 && err.contains("config:DescribeConfigurationAggregatorSourcesStatus\""), "{err}");
}

/// Accounts with a Kinesis each: a request is of the account whose role its access key is of.
struct Accounts {
    server: MockServer,
    /// The session of each role that was assumed, with what was asked.
    assumed: Arc<Mutex<Vec<(String, String)>>>,
    /// The access keys that streams were described with.
    used: Arc<Mutex<Vec<String>>>,
}

/// Credentials expire after `lives`; five to ten seconds before that the SDK has others fetched. `throttles` says of each request of STS whether
/// it is refused, by the account and how many there were for it.
fn accounts(
    streams: &'static [(&'static str, &'static [&'static str])],
    lives: Duration,
    throttles: impl Fn(&str, usize) -> bool + Send + Sync + 'static,
) -> Accounts {
    let assumed: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let used: Arc<Mutex<Vec<String>>> = Arc::default();
    let issued: Mutex<HashMap<String, Instant>> = Mutex::default();
    let (log, keys, asked) = (Arc::clone(&assumed), Arc::clone(&used), Mutex::new(HashMap::<String, usize>::new()));
    let server = stub(move |request| {
        let key = access_key(request);
        let account = key.strip_prefix("AK").and_then(|key| key.get(..12)).unwrap_or(ACCOUNT).to_owned();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let json: Value = serde_json::from_str(&body).unwrap_or_default();
        let of_account = streams.iter().find(|(known, _)| *known == account).map_or(&[][..], |(_, names)| *names);
        match operation(request).as_str() {
            "GetCallerIdentity" => caller(),
            "ListAccounts" => ResponseTemplate::new(200).set_body_json(match json["NextToken"].as_str() {
                None => json!({"Accounts": [{"Id": OTHER, "State": "ACTIVE"}, {"Id": "999900001111", "State": "SUSPENDED"}], "NextToken": "2"}),
                Some(_) => json!({"Accounts": [{"Id": ACCOUNT, "Status": "ACTIVE"}]}),
            }),
            "AssumeRole" => {
                let of = account_of_role(request);
                let mut asked = asked.lock().unwrap();
                let count = asked.entry(of.clone()).or_default();
                *count += 1;
                if throttles(&of, *count) {
                    return refused("Throttling", "Rate exceeded");
                }
                log.lock().unwrap().push((of.clone(), body.clone()));
                if of == "777788889999" {
                    return refused("AccessDenied", "not authorized");
                }
                let key = format!("AK{of}N{}", log.lock().unwrap().len());
                issued.lock().unwrap().insert(key.clone(), Instant::now());
                let expires = jiff::Timestamp::now() + lives;
                xml("AssumeRole", &format!(
                    "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
                     <Expiration>{expires}</Expiration></Credentials>"
                ))
            }
            "ListStreams" => ResponseTemplate::new(200).set_body_json(json!({"StreamNames": of_account, "HasMoreStreams": false})),
            "DescribeStreamSummary" => {
                let issued = issued.lock().unwrap();
                // Those of AWS are good until they expire, and not after that.
                if issued.get(&key).is_some_and(|at| at.elapsed() > lives - Duration::from_secs(2)) {
                    return error("ExpiredTokenException");
                }
                keys.lock().unwrap().push(key.clone());
                let arn = json["StreamARN"].as_str().unwrap();
                let name = arn.rsplit('/').next().unwrap();
                if !arn.contains(&account) || !of_account.contains(&name) {
                    return error("ResourceNotFoundException");
                }
                ResponseTemplate::new(200).set_body_json(json!({"StreamDescriptionSummary": {
                    "StreamName": name, "StreamARN": arn, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                    "StreamCreationTimestamp": 1_790_000_000, "OpenShardCount": 1, "EnhancedMonitoring": [],
                }}))
            }
            "DescribeKey" => error("NotFoundException"),
            _ => ResponseTemplate::new(200).set_body_json(json!({"ResourceTagMappingList": []})),
        }
    });
    Accounts { server, assumed, used }
}

const HOUR: Duration = Duration::from_secs(3600);
const TWO: &[(&str, &[&str])] = &[(ACCOUNT, &["scratch-0"]), (OTHER, &["scratch-1", "stray-1"])];

#[test]
fn a_role_is_assumed_in_each_account_and_one_that_denies_it_stops_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let world = accounts(TWO, HOUR, |account, count| account == OTHER && count <= 2);
    let list = format!("{OTHER},777788889999,{ACCOUNT}");
    let asked = ["--accounts", &list, "--role", "security/audit", "--external-id", "e-1", "--rate", "1000", "--json"];
    let (code, out, err) = ran(&mut at(&world.server.uri(), &policy, &asked));
    assert_eq!(code, 1, "an account is missing: {err}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 2, "one line, and what to do: {err}");
    assert!(
        lines[0].starts_with("error: account 777788889999: sts:AssumeRole failed (AccessDenied): not authorized"),
        "{err}"
    );
    let found = parsed(&out);
    let rows: Vec<[&str; 3]> = found["streams"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| ["account", "stream", "reason"].map(|field| row[field].as_str().unwrap()))
        .collect();
    let expected = [[OTHER, "scratch-1", "exempt"], [OTHER, "stray-1", "unmatched"], [ACCOUNT, "scratch-0", "exempt"]];
    assert_eq!(rows, expected, "in the order of the accounts");
    assert_eq!(
        found["totals"]["by_account"][OTHER],
        json!({"NON_COMPLIANT": 1, "INSUFFICIENT_DATA": 0, "COMPLIANT": 0, "NOT_APPLICABLE": 1})
    );
    assert_eq!((&found["complete"], &found["calls"]["sts:AssumeRole"]), (&json!(false), &json!(2)));
    let assumed = world.assumed.lock().unwrap();
    let of: BTreeSet<&str> = assumed.iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(
        of,
        BTreeSet::from([OTHER, "777788889999"]),
        "none in the account of the credentials; throttled ones are asked again"
    );
    assert!(
        assumed.iter().all(|(_, body)| body.contains("role%2Fsecurity%2Faudit") && body.contains("ExternalId=e-1"))
    );
    let used = world.used.lock().unwrap();
    assert_eq!(used.iter().filter(|key| key.starts_with("AK4444")).count(), 2, "{used:?}");
}

/// Whether streams are encrypted is a question without a policy, in every account and by both ways to them; then no rule is advised on.
#[test]
fn many_accounts_are_audited_without_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let run = |url: &str, asked: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_streamseal"));
        command.args(["audit", "--region", REGION, "--rate", "1000", "--json"]).args(asked).current_dir(folder.path());
        command.env_clear().envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
        let (code, out, err) = ran(command.env("AWS_ENDPOINT_URL", url));
        assert_eq!((code, err.as_str()), (3, ""), "{out}");
        let found = parsed(&out);
        assert_eq!(found["policy"]["source"], "none");
        let row = |row: &Value| ["account", "stream", "reason"].map(|field| row[field].as_str().unwrap().to_owned());
        let rows: Vec<[String; 3]> = found["streams"].as_array().unwrap().iter().map(row).collect();
        (rows, found["streams"][0]["remedy"].clone())
    };
    let world = accounts(TWO, HOUR, |_, _| false);
    let (rows, _) = run(&world.server.uri(), &["--accounts", &format!("{OTHER},{ACCOUNT}"), "--role", "audit"]);
    let open = |account: &str, name: &str| [account, name, "not-encrypted"].map(str::to_owned);
    assert_eq!(rows, [open(OTHER, "scratch-1"), open(OTHER, "stray-1"), open(ACCOUNT, "scratch-0")]);
    // Another account's key: with a policy, a rule could accept it.
    let key = format!("arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab");
    let items = page(&[item(OTHER, "shared", Some(&key))], None);
    let (server, _) = config(vec![items], json!([source(OTHER, REGION, "SUCCEEDED")]));
    let (rows, remedy) = run(&server.uri(), &["--aggregator", "org"]);
    assert_eq!((rows, remedy), (vec![[OTHER, "shared", "foreign-key"].map(str::to_owned)], Value::Null));
}

#[test]
fn the_organization_has_the_accounts_that_are_active() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let world = accounts(TWO, HOUR, |_, _| false);
    let (code, out, err) =
        ran(&mut at(&world.server.uri(), &policy, &["--organization", "--role", "audit", "--rate", "1000", "--json"]));
    assert_eq!((code, err.as_str()), (3, ""));
    let found = parsed(&out);
    let accounts: Vec<&str> =
        found["regions"].as_array().unwrap().iter().map(|region| region["account"].as_str().unwrap()).collect();
    assert_eq!(accounts, [ACCOUNT, OTHER]);
    assert_eq!(found["totals"]["streams"], 3);
}

const SLOW: &[(&str, &[&str])] = &[(
    OTHER,
    &[
        "scratch-01",
        "scratch-02",
        "scratch-03",
        "scratch-04",
        "scratch-05",
        "scratch-06",
        "scratch-07",
        "scratch-08",
        "scratch-09",
        "scratch-10",
        "scratch-11",
        "scratch-12",
        "scratch-13",
        "scratch-14",
    ],
)];

/// Half way through an account its credentials expire: they are fetched anew, and no stream is missing.
#[test]
fn a_role_that_expires_half_way_is_assumed_again() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let world = accounts(SLOW, Duration::from_secs(12), |_, _| false);
    let asked = ["--accounts", OTHER, "--role", "audit", "--rate", "1", "--json"];
    let (code, out, err) = ran(&mut at(&world.server.uri(), &policy, &asked));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(parsed(&out)["totals"]["by_compliance"]["NOT_APPLICABLE"], 14, "{out}");
    let used: BTreeSet<String> = world.used.lock().unwrap().iter().cloned().collect();
    assert!(used.len() > 1, "one session would have expired: {used:?}");
    assert_eq!(world.assumed.lock().unwrap().len(), used.len(), "each time once");
}

/// An account that STS throttles for longer than is worth waiting for is one line, says so, and stops no other.
#[test]
fn an_account_that_sts_goes_on_throttling_is_missing_and_stops_no_other() {
    const STREAMS: &[(&str, &[&str])] = &[(ACCOUNT, &["scratch-0"]), (OTHER, &["scratch-1"])];
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let requests = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&requests);
    let world = accounts(STREAMS, HOUR, move |account, count| {
        let throttles = account == "666677778888";
        if throttles {
            *counted.lock().unwrap() = count;
        }
        throttles
    });
    let asked = |list: &str| {
        let asked = ["--accounts", list, "--role", "audit", "--rate", "1000", "--json"];
        ran(&mut at(&world.server.uri(), &policy, &asked))
    };
    let (code, out, err) = asked(&format!("666677778888,{OTHER},{ACCOUNT}"));
    assert_eq!(code, 4, "it may go well with the next try: {err}");
    let why = "sts:AssumeRole failed (Throttling): Rate exceeded";
    let expected = format!("error: account 666677778888: {why}\nhelp: this may be temporary: try again\n");
    assert_eq!((err.as_str(), *requests.lock().unwrap()), (expected.as_str(), 8));
    let found = parsed(&out);
    assert_eq!((&found["complete"], &found["lacks"][0]["why"]), (&json!(false), &json!(why)));
    assert_eq!(found["totals"]["by_compliance"]["NOT_APPLICABLE"], 2, "{found}");
    // One that denies the role is there for the next try too.
    let (code, _, err) = asked(&format!("666677778888,777788889999,{OTHER}"));
    assert_eq!(code, 1, "{err}");
    assert_eq!(err.lines().filter(|line| line.starts_with("error: ")).count(), 2, "{err}");
    assert!(
        err.contains("help: sts:AssumeRole needs a statement") && err.contains("help: this may be temporary"),
        "{err}"
    );
}

/// The same half way: each stream that is left says why, and STS is not asked about every one.
#[test]
fn streams_whose_role_cannot_be_assumed_again_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let requests = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&requests);
    let world = accounts(SLOW, Duration::from_secs(5), move |_, count| {
        *counted.lock().unwrap() = count;
        count > 1
    });
    let asked = ["--accounts", OTHER, "--role", "audit", "--rate", "1000", "--json"];
    let (code, out, err) = ran(&mut at(&world.server.uri(), &policy, &asked));
    assert_eq!((code, err.as_str()), (4, ""), "{out}");
    let found = parsed(&out);
    let rows = found["streams"].as_array().unwrap();
    let unknown: Vec<&Value> = rows.iter().filter(|row| row["reason"] != "exempt").collect();
    assert!(rows.len() == 14 && unknown.len() > 1, "{out}");
    let says = |row: &&Value| row["annotation"].as_str().unwrap().contains("sts:AssumeRole failed (Throttling)");
    assert!(unknown.iter().all(|row| says(row) && row["compliance"] == "INSUFFICIENT_DATA"), "{unknown:?}");
    assert_eq!(*requests.lock().unwrap(), 1 + 8, "once for all of them");
}

/// Stopped half way it writes what it has, of one account in part and of others nothing, and says so.
#[test]
fn accounts_that_were_not_reached_are_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let report = folder.path().join("report.json");
    let world = accounts(SLOW, HOUR, |_, _| false);
    let list = format!("{ACCOUNT},{OTHER},666677778888,555566667777");
    let asked = ["--accounts", &list, "--role", "audit", "--at-once", "1", "--rate", "1", "--output"];
    let mut command = at(&world.server.uri(), &policy, &asked);
    let child = command.arg(&report).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let end = Instant::now() + PATIENCE;
    while world.used.lock().unwrap().is_empty() {
        assert!(Instant::now() < end, "it observes no stream");
        std::thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("of 14 streams: the audit is incomplete"), "{err}");
    let missing = "2 accounts, from 666677778888 on";
    assert!(err.contains(&format!("error: {missing}: not observed, since the audit was interrupted")), "{err}");
    let found = parsed(&std::fs::read_to_string(&report).unwrap());
    assert_eq!((&found["complete"], &found["lacks"][0]["what"]), (&json!(false), &json!(missing)));
    let states = found["regions"].as_array().unwrap().iter().map(|region| (&region["account"], &region["state"]));
    let expected = [(json!(ACCOUNT), json!("complete")), (json!(OTHER), json!("interrupted"))];
    assert_eq!(states.collect::<Vec<_>>(), expected.each_ref().map(|(account, state)| (account, state)));
    assert!((1..14).contains(&found["streams"].as_array().unwrap().len()), "{found}");
}

/// What was recorded as wrong is observed, and what differs is said.
#[test]
fn the_worst_are_verified_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let world = accounts(TWO, HOUR, |_, _| false);
    let items = [
        item(OTHER, "stray-1", None),
        item(OTHER, "stray-gone", None),
        item("777788889999", "stray-2", None),
        item(OTHER, "scratch-1", None),
    ];
    let sources = json!([source(OTHER, REGION, "SUCCEEDED"), source("777788889999", REGION, "SUCCEEDED")]);
    let (config, _) = config(vec![page(&items, None)], sources);
    let asked = ["--aggregator", "org", "--verify", "all", "--role", "audit", "--rate", "1000"];
    let mut command = at(&world.server.uri(), &policy, &asked);
    command.env("AWS_ENDPOINT_URL_CONFIG_SERVICE", config.uri());
    let (code, out, err) = ran(command.arg("--json"));
    assert_eq!(code, 3, "{err}");
    let verified = &parsed(&out)["verified"];
    assert_eq!(verified["streams"], 2, "{verified}");
    let differences = verified["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 1);
    assert!(differences[0]["arn"].as_str().unwrap().ends_with("stray-gone") && differences[0]["observed"].is_null());
    assert_eq!(differences[0]["recorded"]["reason"], "unmatched");
    assert!(verified["lacks"][0]["what"] == "account 777788889999", "{verified}");
    let described = world.used.lock().unwrap().len();
    assert_eq!(described, 2, "and no other stream");
}

/// The report of more streams than it shows at once and than it has room for, as a person reads it; how fast is measured by `make bench`.
#[test]
fn a_report_of_many_accounts_opens_with_few_rows_and_says_what_it_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "version: 1\ndefaults: {existing: enforce}\nrules:\n  - {name: all, key: alias/key-0, accept: [customer-managed]}\n";
    let (policy, report) = (file(&folder, "policy.yaml", policy), folder.path().join("a.html"));
    let double = Tool::start("config", &["--accounts", "30", "--streams", "10500"], &[]);
    let arguments = ["--aggregator", "org", "--rate", "1000", "--output", report.to_str().unwrap()];
    let (code, _, err) = ran(&mut at(double.ready["url"].as_str().unwrap(), &policy, &arguments));
    assert_eq!((code, err.as_str()), (3, "10500 streams: 1050 NON_COMPLIANT, 9450 COMPLIANT\n"));
    let axe = crate::support::root().join(".local/kinesis/node_modules/axe-core/axe.min.js");
    let violations = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id))";
    let shown = "document.querySelectorAll('#rows > tr').length";
    let steps = json!([
        {"evaluate": format!("[{shown}, document.getElementById('more').textContent, document.getElementById('shown').textContent]")},
        {"evaluate": "document.getElementById('notices').textContent"},
        {"evaluate": format!("document.getElementById('more').click(), {shown}")},
        {"evaluate": "[...document.querySelectorAll('#accounts .bar .count')].slice(0, 2).map(e => e.textContent)"},
        {"evaluate": format!("document.querySelector('#accounts .bar').click(), [{shown}, document.getElementById('shown').textContent]")},
        {"evaluate": "document.getElementById('tools').reset()"},
        {"evaluate_file": axe}, {"evaluate": violations},
        {"size": [390, 844], "phone": true}, {"evaluate": "[document.documentElement.scrollWidth, innerWidth]"}, {"evaluate": violations},
        // On paper they all are.
        {"evaluate": format!("(() => {{ dispatchEvent(new Event('beforeprint')); const all = {shown}; dispatchEvent(new Event('afterprint')); return [all, {shown}]; }})()")},
        // Without the script they are all there, and say where they are and as of when.
        {"scripts": false},
        {"evaluate": "(() => { const rows = [...document.querySelectorAll('#rows > tr')]; const last = rows.at(-1); return [rows.length, rows.filter(row => row.textContent.includes('Noncompliant')).length, last.checkVisibility(), /^\\d{12} [a-z]+-[a-z]+-1$/.test(last.querySelector('.place').innerText.trim()), last.querySelector('.as-of').innerText.startsWith('as of 20')]; })()"},
        {"evaluate": "document.getElementById('facts').innerText"},
    ]);
    let Some(found) = crate::audit::browser(&report, &steps) else { return };
    let values = found["values"].as_array().unwrap();
    let status = "10,000 of 10,500 streams, 500 of which are left out here";
    assert_eq!(values[0], json!([500, "Show 500 streams more", status]));
    let notice = values[1].as_str().unwrap();
    assert!(notice.contains("leaves out 500 streams") && notice.contains("500 compliant"), "{notice}");
    assert_eq!((&values[2], &values[3]), (&json!(1000), &json!(["350", "350"])), "sums are of all streams");
    assert!(values[4][0].as_u64().unwrap() <= 350, "{}", values[4]);
    assert_eq!((&values[6], &values[8]), (&json!([]), &json!([])), "axe finds fault with the page");
    assert!(values[7][0].as_i64() <= values[7][1].as_i64(), "{}", values[7]);
    assert_eq!(values[9], json!([10_000, 500]));
    assert_eq!(values[10], json!([10_000, 1050, true, true, true]));
    let facts = values[11].as_str().unwrap();
    assert!(facts.starts_with("Accounts\n30\n") && facts.contains("Asked AWS Config"), "{facts}");
}

/// `doctor --aggregator`, with everything at this endpoint: its exit code, and each finding as `state about: detail`.
fn doctor(url: &str) -> (i32, Vec<String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamseal"));
    command.args(["doctor", "--aggregator", "org", "--region", REGION, "--json"]).env_clear().envs([
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", url),
    ]);
    let (code, out, err) = ran(&mut command);
    assert_eq!(err, "");
    let line = |finding: &Value| {
        let [state, about, detail] = ["state", "about", "detail"].map(|field| finding[field].as_str().unwrap());
        format!("{state} {about}: {detail}")
    };
    (code, parsed(&out)["findings"].as_array().unwrap().iter().skip(1).map(line).collect())
}

#[test]
fn doctor_says_what_an_aggregator_covers_and_what_it_lacks() {
    let good = Tool::start("config", &["--accounts", "3", "--streams", "9"], &[]);
    let (code, findings) = doctor(good.ready["url"].as_str().unwrap());
    assert_eq!(code, 0, "{findings:?}");
    let expected = [
        "good aggregator: org collects from every account of the organization, in every Region",
        "good sources: 3 accounts, 3 Regions in all, delivered",
        "good accounts: all 3 active accounts of the organization are sources",
        "good recorded: streams, keys and aliases, of 3 accounts with streams",
    ];
    assert_eq!(findings, expected);
    let folder = tempfile::tempdir().unwrap();
    let mut stream = item(OTHER, "orders-1", None);
    stream["resourceType"] = json!("AWS::Kinesis::Stream");
    let mut failed = source(OTHER, REGION, "FAILED");
    failed["resourceType"] = json!("source");
    let items = file(&folder, "items.json", &json!([stream, failed]).to_string());
    let bad = Tool::start("config", &["--items", items.to_str().unwrap()], &[]);
    let (code, findings) = doctor(bad.ready["url"].as_str().unwrap());
    assert_eq!(code, 3, "{findings:?}");
    let says = |text: &str| assert!(findings.iter().any(|finding| finding.starts_with(text)), "{text}: {findings:?}");
    says("fault sources: of 1 accounts, 1 Regions in all, 1 failed and 0 are out of date: 444455556666 eu-west-1");
    says("fault recorded: 1 of 1 accounts with streams have no key or no alias recorded: 444455556666");
}

/// What the command prints is what it calls.
#[test]
fn the_printed_policies_allow_what_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let world = accounts(TWO, HOUR, |_, _| false);
    let asked = ["--organization", "--role", "security/audit", "--external-id", "e-1", "--print-iam"];
    let (code, out, err) = ran(&mut at(&world.server.uri(), &policy, &asked));
    assert_eq!((code, err.as_str()), (0, ""));
    let printed = parsed(&out);
    let trust = &printed["role_trusts"]["Statement"][0];
    assert_eq!(trust["Principal"]["AWS"], format!("arn:aws:iam::{ACCOUNT}:root"));
    assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"], "e-1");
    assert_eq!(printed["caller"]["Statement"][0]["Resource"], "arn:aws:iam::*:role/security/audit");
    assert!(
        world.assumed.lock().unwrap().is_empty() && world.used.lock().unwrap().is_empty(),
        "nothing else is called"
    );
    let all = printed.to_string();
    let mut called: BTreeSet<String> = ["sts:AssumeRole", "organizations:ListAccounts"].map(str::to_owned).into();
    let (_, out, _) =
        ran(&mut at(&world.server.uri(), &policy, &["--organization", "--role", "audit", "--rate", "1000", "--json"]));
    let found = parsed(&out);
    for calls in found["regions"].as_array().unwrap().iter().map(|region| &region["calls"]).chain([&found["calls"]]) {
        called.extend(calls.as_object().unwrap().keys().cloned());
    }
    assert!(called.len() >= 5 && called.iter().all(|call| all.contains(&format!("\"{call}\""))), "{called:?}: {all}");
}
