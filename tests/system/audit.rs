//! `streamseal audit` against five hundred streams: right to the last one, in every form, and the report in a browser.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use crate::support::{ACCOUNT, Layer, PATIENCE, Parts, REGION, aws_cli, file, root};

pub(crate) const POLICY: &str = r#"
version: 1
defaults: {existing: enforce, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}}
rules:
  - name: scratch
    match: {stream: ["scratch-*"]}
    exempt: {reason: "synthetic data, RISK-1421", owner: data-platform}
  - name: regulated
    match: {tags: {data-class: [pci, phi]}}
    key: alias/regulated
  - name: teams
    match: {tags: {team: "*"}}
    key: "alias/team/${tag:team}"
  - name: retiring
    match: {stream: ["retiring-*"]}
    key: alias/retired
  - name: partners
    match: {stream: ["partner-*"]}
    key: alias/orders
    accept: [customer-managed]
  - name: orders
    match: {stream: ["orders-*"]}
    key: alias/orders
  - name: nobody
    match: {stream: ["no-such-stream-*"]}
    key: alias/aws/kinesis
"#;

/// One kind of stream: `count` streams of this prefix, on `key` (an alias, or an alias whose key's ARN is set), with a tag, and
/// what is right to say of them.
struct Kind {
    prefix: &'static str,
    count: usize,
    key: Option<&'static str>,
    by_alias: bool,
    tag: Option<(&'static str, &'static str)>,
    says: (&'static str, &'static str, Option<&'static str>),
}

const fn kind(
    prefix: &'static str,
    count: usize,
    key: Option<&'static str>,
    tag: Option<(&'static str, &'static str)>,
    says: (&'static str, &'static str, Option<&'static str>),
) -> Kind {
    Kind { prefix, count, key, by_alias: false, tag, says }
}

const KINDS: &[Kind] = &[
    kind("scratch", 60, None, None, ("NOT_APPLICABLE", "exempt", Some("scratch"))),
    kind("orders-right", 90, Some("alias/orders"), None, ("COMPLIANT", "right-key", Some("orders"))),
    Kind {
        by_alias: true,
        ..kind("orders-alias", 30, Some("alias/orders"), None, ("COMPLIANT", "right-key", Some("orders")))
    },
    kind("orders-wrong", 60, Some("alias/other"), None, ("NON_COMPLIANT", "wrong-key", Some("orders"))),
    kind("orders-open", 80, None, None, ("NON_COMPLIANT", "not-encrypted", Some("orders"))),
    kind("retiring", 20, None, None, ("NON_COMPLIANT", "key-unusable", Some("retiring"))),
    kind("partner-other", 30, Some("alias/other"), None, ("COMPLIANT", "accepted-key", Some("partners"))),
    kind("partner-retired", 20, Some("alias/retired"), None, ("NON_COMPLIANT", "key-unusable", Some("partners"))),
    kind(
        "cards-right",
        30,
        Some("alias/regulated"),
        Some(("data-class", "pci")),
        ("COMPLIANT", "right-key", Some("regulated")),
    ),
    kind("orders-cards", 20, None, Some(("data-class", "phi")), ("NON_COMPLIANT", "not-encrypted", Some("regulated"))),
    kind("blue", 30, Some("alias/team/blue"), Some(("team", "blue")), ("COMPLIANT", "right-key", Some("teams"))),
    kind("red", 20, None, Some(("team", "red")), ("NON_COMPLIANT", "key-missing", Some("teams"))),
    kind("stray", 10, None, None, ("NON_COMPLIANT", "unmatched", None)),
];

/// The emulators with the fleet in them, for every test here.
pub(crate) struct Fleet {
    pub(crate) parts: Parts,
    tagging: MockServer,
    /// ARNs by alias.
    keys: HashMap<&'static str, String>,
}

/// Every stream, and its kind.
fn streams() -> Vec<(String, &'static Kind)> {
    KINDS.iter().flat_map(|kind| (0..kind.count).map(move |n| (format!("{}-{n:03}", kind.prefix), kind))).collect()
}

pub(crate) fn fleet() -> &'static Fleet {
    static FLEET: OnceLock<Fleet> = OnceLock::new();
    FLEET.get_or_init(|| {
        let began = Instant::now();
        let parts = Parts::start(&["--create-ms", "1", "--update-ms", "1"]);
        let aliases = ["alias/orders", "alias/other", "alias/retired", "alias/regulated", "alias/team/blue"];
        let keys: HashMap<_, _> = aliases.map(|alias| (alias, parts.key(alias))).into();
        let all = streams();
        each(&all, |(name, _)| {
            until_ok(&parts, "CreateStream", &json!({"StreamName": name, "ShardCount": 1}));
        });
        each(&all, |(name, kind)| {
            if let Some(alias) = kind.key {
                let key = if kind.by_alias { alias } else { &keys[alias] };
                let body = json!({"StreamName": name, "EncryptionType": "KMS", "KeyId": key});
                until_ok(&parts, "StartStreamEncryption", &body);
            }
        });
        parts.kms("DisableKey", json!({"KeyId": keys["alias/retired"]}));
        let tagging = tagging(&all);
        reported(&format!("audit: {} streams made in {:.1} s", all.len(), began.elapsed().as_secs_f32()));
        Fleet { parts, tagging, keys }
    })
}

/// Does it with a few at once: no more than five streams may be CREATING.
fn each<T: Sync>(all: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

/// A stream is not ACTIVE yet, or too many are CREATING: again.
fn until_ok(parts: &Parts, operation: &str, body: &Value) {
    let end = Instant::now() + Duration::from_secs(20);
    while let Err(error) = parts.kinesis(operation, body.clone()) {
        let text = error.to_string();
        let passes = text.contains("LimitExceeded") || text.contains("ResourceInUse");
        assert!(passes && Instant::now() < end, "{operation}: {text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The tagging API: neither emulator's knows of Kinesis's streams.
fn tagging(all: &[(String, &'static Kind)]) -> MockServer {
    let tags: HashMap<String, (&str, &str)> =
        all.iter().filter_map(|(name, kind)| Some((arn(name), kind.tag?))).collect();
    stub(move |request| {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let asked = asked["ResourceARNList"].as_array().unwrap();
        assert!(asked.len() <= 100);
        let found = asked.iter().filter_map(|arn| {
            let (key, value) = tags.get(arn.as_str().unwrap())?;
            Some(json!({"ResourceARN": arn, "Tags": [{"Key": key, "Value": value}]}))
        });
        let found: Vec<Value> = found.collect();
        ResponseTemplate::new(200).set_body_json(json!({"ResourceTagMappingList": found, "PaginationToken": ""}))
    })
}

/// The tag of each stream that has one.
pub(crate) fn tags_by_stream() -> HashMap<String, (&'static str, &'static str)> {
    streams().into_iter().filter_map(|(name, kind)| Some((name, kind.tag?))).collect()
}

/// A server that answers every request like this.
pub(crate) fn stub(answer: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).mount(&server).await;
        server
    })
}

pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}")
}

/// Past the test runner's capture.
fn reported(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// The command, with the fleet's endpoints.
pub(crate) fn audit(policy: &Path, arguments: &[&str]) -> Command {
    let fleet = fleet();
    let variables = [
        ("AWS_ENDPOINT_URL", fleet.parts.aws.clone()),
        ("AWS_ENDPOINT_URL_KINESIS", fleet.parts.kinesis.clone()),
        ("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", fleet.tagging.uri()),
    ];
    let mut command = command(policy, arguments);
    command.args(["--region", REGION]).envs(variables);
    command
}

pub(crate) fn command(policy: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_streamseal"));
    command.arg("audit").arg("--policy").arg(policy).args(arguments);
    command.env_clear().envs([
        ("ACCOUNT_ID", ACCOUNT),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    command
}

pub(crate) fn ran(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// What is so, as the AWS CLI reports it: each stream's type and key.
fn as_the_aws_cli_reports(folder: &Path) -> BTreeMap<String, (String, Option<String>)> {
    let run = |commands: &[Vec<String>]| -> Vec<Value> {
        let answers = aws_cli(&fleet().parts, commands, folder);
        answers.iter().map(|answer| serde_json::from_str(answer.as_ref().unwrap()).unwrap()).collect()
    };
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let mut names: Vec<String> = Vec::new();
    loop {
        // The CLI goes by NextToken, and this emulator has none.
        let after = names.last().map(|name| format!(" --exclusive-start-stream-name {name}")).unwrap_or_default();
        let page = run(&[words(&format!("kinesis list-streams --no-paginate{after}"))]).remove(0);
        names.extend(page["StreamNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        if page["HasMoreStreams"] != true {
            break;
        }
    }
    let describe = |name: &String| words(&format!("kinesis describe-stream-summary --stream-name {name}"));
    let reported = run(&names.iter().map(describe).collect::<Vec<_>>());
    let one = |(name, reported): (String, Value)| {
        let reported = &reported["StreamDescriptionSummary"];
        assert_eq!(reported["StreamName"], name.as_str());
        let kind = reported["EncryptionType"].as_str().unwrap().to_owned();
        (name, (kind, reported["KeyId"].as_str().map(str::to_owned)))
    };
    names.into_iter().zip(reported).map(one).collect()
}

#[test]
fn every_stream_is_reported_as_it_is_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    // Once to standard output, and once into a file of each other form; both at a time, for the time it takes.
    let names = ["a.csv", "a.txt", "a.jsonl", "a.html", "a.json"].map(|name| folder.path().join(name));
    let outputs: Vec<&str> = names.iter().flat_map(|path| ["--output", path.to_str().unwrap()]).collect();
    let (mut one, mut many) = (audit(&policy, &["--json", "--rate", "1000"]), audit(&policy, &["--rate", "1000"]));
    many.args(&outputs).arg("--fix");
    let (one, many, so) = std::thread::scope(|scope| {
        let many = scope.spawn(|| ran(&mut many));
        let so = scope.spawn(|| as_the_aws_cli_reports(folder.path()));
        (ran(&mut one), many.join().unwrap(), so.join().unwrap())
    });
    let (code, out, err) = one;
    assert_eq!((code, err.as_str()), (3, ""), "{err}");
    let found: Value = serde_json::from_str(&out).unwrap();
    crate::support::assert_lines_documented(&std::fs::read_to_string(&names[2]).unwrap());
    let rows = found["streams"].as_array().unwrap();

    let kinds = HashMap::<_, _>::from_iter(streams());
    assert_eq!((so.len(), rows.len()), (500, 500));
    let arns = &fleet().keys;
    for row in rows {
        let name = row["stream"].as_str().unwrap();
        let (encryption, key_id) = &so[name];
        let kind = kinds[name];
        let (compliance, reason, rule) = kind.says;
        assert_eq!(
            (&row["encryption_type"], &row["key_id"], &row["key_arn"], &row["arn"]),
            (&json!(encryption), &json!(key_id), &json!(kind.key.map(|alias| &arns[alias])), &json!(arn(name))),
            "{row}"
        );
        assert_eq!(
            (&row["compliance"], &row["reason"], &row["rule"]),
            (&json!(compliance), &json!(reason), &json!(rule)),
            "{row}"
        );
    }
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    KINDS.iter().for_each(|kind| *expected.entry(kind.says.0).or_default() += kind.count);
    expected.insert("INSUFFICIENT_DATA", 0);
    assert_eq!(found["totals"]["by_compliance"], json!(expected));
    assert_eq!(found["totals"]["by_rule"]["nobody"]["COMPLIANT"], 0, "a rule that decides nothing is there too");
    let region = &found["regions"][0];
    let calls = region["calls"].as_object().unwrap().keys();
    assert_eq!(
        calls.collect::<Vec<_>>(),
        [
            "kinesis:DescribeStreamSummary",
            "kinesis:ListStreams",
            "kms:DescribeKey",
            "kms:GetKeyRotationStatus",
            "kms:ListAliases",
            "tag:GetResources"
        ]
    );
    // One observation a stream, its tags a hundred at a time, each key once: six aliases, and what the streams are on.
    assert_eq!(region["calls"]["kinesis:DescribeStreamSummary"], 500);
    assert_eq!(region["calls"]["kms:ListAliases"], 1, "one for all keys: {region}");
    assert_eq!((&region["calls"]["kinesis:ListStreams"], &region["calls"]["tag:GetResources"]), (&json!(5), &json!(5)));
    assert!(region["calls"]["kms:DescribeKey"].as_u64().unwrap() <= 12, "{region}");
    // What is to be done about each kind of stream; nobody is asked to move one to a key that cannot be used, nor away from one that is
    // accepted.
    for row in rows {
        let name = row["stream"].as_str().unwrap();
        let (compliance, reason, rule) = kinds[name].says;
        let about = match (compliance, reason) {
            ("NON_COMPLIANT", "not-encrypted" | "wrong-key") => json!("source"),
            ("NON_COMPLIANT", "key-unusable") => json!("key"),
            ("NON_COMPLIANT", "key-missing") => json!("alias"),
            ("NON_COMPLIANT", "unmatched") => json!("rule"),
            _ => Value::Null,
        };
        // What enforce would do stands beside the reason, and what the key is beside its ARN.
        let would = match reason {
            "not-encrypted" => json!("encrypt"),
            "wrong-key" => json!("re-key"),
            _ => Value::Null,
        };
        assert_eq!((&row["would"]["action"], row["withheld"] == "report-mode"), (&would, !would.is_null()), "{row}");
        assert_eq!(row["exemption"]["reason"].is_string(), reason == "exempt", "{row}");
        if let Some(alias) = kinds[name].key {
            let state = if alias == "alias/retired" { "Disabled" } else { "Enabled" };
            let known =
                ["key_alias", "key_manager", "key_state", "key_origin"].map(|field| row[field].as_str().unwrap());
            assert_eq!(known, [alias, "customer-managed", state, "AWS_KMS"], "{row}");
        }
        assert_eq!(row["tags"].as_object().unwrap().len(), usize::from(kinds[name].tag.is_some()), "{row}");
        assert_eq!(row["remedy"]["about"], about, "{row}");
        assert_eq!(row["at_source"].is_object(), about == "source", "{row}");
        if about == "source" {
            let alias = if rule == Some("regulated") { "alias/regulated" } else { "alias/orders" };
            assert!(row["at_source"]["terraform"].as_str().unwrap().contains(&arns[alias]), "{row}");
        }
        if about == "key" {
            let enable = format!("aws kms enable-key --key-id {} --region {REGION}", arns["alias/retired"]);
            assert_eq!(row["remedy"]["commands"], json!([enable]), "{row}");
        }
    }

    let (code, out, err) = many;
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert_eq!(err, "500 streams: 230 NON_COMPLIANT, 210 COMPLIANT, 60 NOT_APPLICABLE\n");
    let [csv, table, evidence, html, json] = names.map(|path| std::fs::read_to_string(path).unwrap());
    let again: Value = serde_json::from_str(&json).unwrap();
    let said = |row: &Value| {
        ["stream", "compliance", "reason", "rule", "key_arn"].map(|field| row[field].as_str().unwrap_or("").to_owned())
    };
    let said_all = |rows: &Value| -> Vec<[String; 5]> { rows.as_array().unwrap().iter().map(said).collect() };
    let expected = said_all(&found["streams"]);
    assert_eq!(said_all(&again["streams"]), expected);

    let mut lines = csv.split_terminator("\r\n").map(fields);
    let head = lines.next().unwrap();
    let column = |name: &str| head.iter().position(|title| title == name).unwrap();
    let columns = ["stream", "compliance", "reason", "rule", "key_arn"].map(column);
    let lines: Vec<Vec<String>> = lines.collect();
    let in_csv: Vec<[String; 5]> = lines.iter().map(|line| columns.map(|column| line[column].clone())).collect();
    assert_eq!(in_csv, expected);
    // The same remedy in each form.
    let remedies = |rows: &[Value]| -> Vec<[String; 2]> {
        let text = |row: &Value, path: &str| row.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
        rows.iter().map(|row| ["/remedy/about", "/remedy/text"].map(|path| text(row, path))).collect()
    };
    let [about, what, cli] = ["remedy_about", "remedy", "at_source_cli"].map(column);
    let expected_remedies = remedies(rows);
    let in_csv: Vec<[String; 2]> = lines.iter().map(|line| [about, what].map(|column| line[column].clone())).collect();
    assert_eq!(in_csv, expected_remedies);
    assert!(lines.iter().all(|line| line[cli].is_empty() != (line[about] == "source")));

    let documents: Vec<Value> = evidence.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(documents.iter().all(|document| document["schema"] == "streamseal.evidence/v1"));
    assert_eq!(remedies(&documents), expected_remedies);
    let in_evidence: Vec<[String; 5]> = documents
        .iter()
        .map(|document| {
            let at = |path: &str| document.pointer(path).and_then(Value::as_str).unwrap_or("").to_owned();
            ["/stream/name", "/compliance", "/reason", "/policy/rule", "/before/key_arn"].map(at)
        })
        .collect();
    assert_eq!(in_evidence, expected);

    assert!(table.starts_with(&format!("account {ACCOUNT}, Region {REGION}, policy file:")), "{table}");
    let in_table = table.lines().skip(3).take(500).map(|line| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    });
    let in_table: BTreeMap<String, String> = in_table.collect();
    assert_eq!(in_table, expected.iter().map(|[name, compliance, ..]| (name.clone(), compliance.clone())).collect());
    assert!(table.contains("\n500 streams: 230 NON_COMPLIANT, 210 COMPLIANT, 60 NOT_APPLICABLE\nnext: "));
    // Once for each key, with every stream whose key is known: what to write into Terraform and CloudFormation and what to call.
    let key = &arns["alias/orders"];
    let change = format!(
        "\n    Terraform, in aws_kinesis_stream\n      encryption_type = \"KMS\"\n      kms_key_id      = \"{key}\"\n    CloudFormation, \
         in the Properties of AWS::Kinesis::Stream\n      StreamEncryption: {{ EncryptionType: KMS, KeyId: \"{key}\" }}\n    AWS CLI\n"
    );
    assert_eq!(table.matches(&change).count(), 1, "{table}");
    let call = format!(
        "      aws kinesis start-stream-encryption --stream-arn {} --encryption-type KMS --key-id {key} --region {REGION}\n",
        arn("orders-open-000")
    );
    assert!(table.contains(&call), "{table}");
    // Of the kinds that are wrong all but the 40 whose key is disabled, the 20 whose key is not there and the 10 that have no rule.
    assert_eq!(table.matches("      aws kinesis start-stream-encryption ").count(), 160);
    let (_, exempt) = table.split_once("\nexempt\n").unwrap();
    assert!(exempt.starts_with("  scratch-000, scratch-001, ") && exempt.contains(" and 55 more\n    "), "{exempt}");
    let ids: BTreeSet<&str> = documents.iter().map(|document| document["id"].as_str().unwrap()).collect();
    let runs: BTreeSet<&str> = documents.iter().map(|document| document["run"]["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), runs.len()), (500, 1), "each document has its own id, and all are of one run");
    let enable = format!("aws kms enable-key --key-id {} --region {REGION}", arns["alias/retired"]);
    let (_, others) = table.split_once("\nwhat to do\n").unwrap();
    // Of the 20 that are on it, and of the 20 whose rule names it.
    assert_eq!(others.matches(&enable).count(), 2, "{others}");
    assert_eq!(others.matches(" and 15 more\n").count(), 3, "{others}");

    in_a_browser(&folder, &html, &expected);
}

/// The fields of one line of CSV.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for character in line.trim_end_matches('\r').chars() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => fields.last_mut().unwrap().push(other),
        }
    }
    fields
}

/// Reads the report as a person would: what is shown, sorted, found, opened, in both schemes, on a phone and on paper.
fn in_a_browser(folder: &tempfile::TempDir, html: &str, expected: &[[String; 5]]) {
    let page = file(folder, "report.html", html);
    let axe = root().join(".local/kinesis/node_modules/axe-core/axe.min.js");
    let axe_run = "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).slice(0, 3).join(' | ')))";
    let shown = "[...document.querySelectorAll('#rows > tr:not([hidden]) > th .open')].map(b => b.textContent)";
    let luminance = "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g); return Number(r) + Number(g) + Number(b); })()";
    let steps = json!([
        {"evaluate": "({verdict: verdict.textContent, tiles: [...document.querySelectorAll('.tile')].map(t => t.textContent), status: document.getElementById('shown').textContent})"},
        {"evaluate": shown},
        // Sorted by name, up and down.
        {"evaluate": format!("document.querySelector('th.col-stream button').click(), {shown}")},
        {"evaluate": format!("document.querySelector('th.col-stream button').click(), [document.querySelector('th.col-stream').getAttribute('aria-sort'), document.querySelectorAll('[aria-sort]').length, {shown}[0]]")},
        // Found, by a word and by a tile.
        {"evaluate": format!("(() => {{ const t = document.getElementById('text'); t.value = 'orders-wrong'; t.dispatchEvent(new Event('input', {{bubbles: true}})); return [{shown}.length, document.getElementById('shown').textContent]; }})()")},
        {"evaluate": format!("(() => {{ document.getElementById('tools').reset(); return new Promise(r => setTimeout(() => {{ document.querySelectorAll('.tile')[0].click(); r([{shown}.length, document.querySelectorAll('.tile')[0].getAttribute('aria-pressed')]); }}, 50)); }})()")},
        // Opened: the evidence.
        {"evaluate": "(() => { document.querySelector('#rows > tr:not([hidden]) .open').click(); const d = document.querySelector('.detail'); d.querySelector('details').open = true; return new Promise(r => setTimeout(() => r([d.querySelector('.said').textContent, JSON.parse(d.querySelector('details pre').textContent).schema]), 50)); })()"},
        {"evaluate": luminance},
        {"scheme": "dark"}, {"evaluate": luminance},
        {"evaluate_file": axe}, {"evaluate": axe_run},
        {"scheme": "light"}, {"evaluate": axe_run},
        // On a phone nothing is wider than the window.
        {"size": [390, 844], "phone": true}, {"evaluate": "[document.documentElement.scrollWidth, innerWidth]"}, {"evaluate": axe_run},
        {"size": [1000, 1400]}, {"media": "print", "scheme": "dark"}, {"evaluate": format!("[{luminance}, getComputedStyle(document.getElementById('tools')).display, [...document.styleSheets[0].cssRules].filter(r => r.conditionText === 'print').flatMap(r => [...r.cssRules]).some(r => r instanceof CSSPageRule && r.cssText.includes('counter(page)'))]")},
        // With the keyboard alone: the way past the head, a column, a stream; one sees where one is.
        {"size": [1280, 900]}, {"media": "screen", "scheme": "light"},
        {"evaluate": "document.activeElement.blur(), scrollTo(0, 0)"}, {"press": "Tab"},
        {"evaluate": "[document.activeElement.getAttribute('href'), getComputedStyle(document.activeElement).outlineStyle]"},
        {"evaluate": "document.querySelector('th.col-rule button').focus()"}, {"press": "Enter"},
        {"evaluate": "document.querySelector('th.col-rule').getAttribute('aria-sort')"},
        {"evaluate": "document.querySelector('#rows > tr:not([hidden]) .open').focus()"}, {"press": "Enter"},
        {"evaluate": "document.activeElement.getAttribute('aria-expanded') + ' ' + (document.getElementById(document.activeElement.getAttribute('aria-controls')) !== null)"},
        // Its own policy lets no other script run.
        {"evaluate": "(() => { const s = document.createElement('script'); s.textContent = 'window.stranger = true'; document.body.append(s); return window.stranger === undefined; })()"},
        // What is to be done where the key cannot be used.
        {"evaluate": "(() => { const b = [...document.querySelectorAll('#rows > tr > th .open')].find(b => b.textContent === 'retiring-000'); if (b.getAttribute('aria-expanded') !== 'true') b.click(); const d = document.getElementById(b.getAttribute('aria-controls')); return [...d.querySelectorAll('h3, pre')].map(e => e.textContent); })()"},
        // The whole row opens and closes.
        {"evaluate": "(() => { document.getElementById('tools').reset(); return new Promise(r => setTimeout(() => { const row = document.querySelector('#rows > tr'); const is = () => row.querySelector('.open').getAttribute('aria-expanded'); const found = [is()]; for (const place of ['.col-rule', '.col-key', '.open']) { row.querySelector(place).click(); found.push(is()); } r(found); }, 50)); })()"},
        // Filters are in the address, both ways, and what is shown goes into a file.
        {"evaluate": "(() => { const s = document.getElementById('state'); s.value = 'NOT_APPLICABLE'; s.dispatchEvent(new Event('input', {bubbles: true})); return location.hash; })()"},
        {"evaluate": format!("(() => {{ location.hash = '#rule=orders&text=orders-wrong'; return new Promise(r => setTimeout(() => r({shown}.length), 200)); }})()")},
        {"evaluate": "(() => { let blob; const make = URL.createObjectURL; URL.createObjectURL = (b) => { blob = b; return '#'; }; document.getElementById('csv').click(); URL.createObjectURL = make; return blob.text().then(t => t.trim().split('\\r\\n').map(l => l.split(',').slice(0, 3).join(','))); })()"},
        {"evaluate": "(() => { const b = document.querySelector('#rows > tr:not([hidden]) .open'); if (b.getAttribute('aria-expanded') !== 'true') b.click(); const d = document.getElementById(b.getAttribute('aria-controls')); const copy = d.querySelector('.copy'); copy.click(); return new Promise(r => setTimeout(r, 200)).then(() => ({copied: copy.textContent, copies: d.querySelectorAll('.copy').length, blocks: d.querySelectorAll('.block pre').length, links: [...d.querySelectorAll('.links a')].map(a => a.href)})); })()"},
        {"evaluate": "[...document.querySelectorAll('.plainly tbody tr')].map(r => [...r.cells].map(c => c.textContent))"},
        // Without the script all of it can be read, and nothing stands there that does nothing.
        {"scripts": false}, {"size": [1280, 900]},
        {"evaluate": "({verdict: document.getElementById('verdict').textContent, beside: document.getElementById('beside').textContent, rows: [...document.querySelectorAll('#rows > tr > th .open')].map(b => b.textContent), dead: [...document.querySelectorAll('button, input, select')].filter(n => n.offsetParent !== null).length, noscript: document.querySelector('noscript').textContent.includes('turned off')})"},
    ]);
    let Some(found) = browser(&page, &steps) else { return };
    let values = found["values"].as_array().unwrap();
    assert_eq!(values[0]["verdict"], "230 of 500 streams are not as the policy says.");
    assert_eq!(
        values[0]["tiles"],
        json!(["230Noncompliant", "0Insufficient data", "210Compliant", "60Not applicable"])
    );
    assert_eq!(values[0]["status"], "All 500 streams");
    let mut names: Vec<&str> = expected.iter().map(|[name, ..]| name.as_str()).collect();
    names.sort_unstable();
    let mut worst_first = names.clone();
    // A key that cannot be used is worse than none, and that is worse than another one.
    let rank = |name: &&str| {
        let [_, compliance, reason, _, key] = expected.iter().find(|[other, ..]| other == name).unwrap();
        match (compliance.as_str(), reason.as_str(), key.as_str()) {
            ("NON_COMPLIANT", "key-unusable", key) if !key.is_empty() => 0,
            ("NON_COMPLIANT", _, "") => 1,
            ("NON_COMPLIANT", ..) => 2,
            ("INSUFFICIENT_DATA", ..) => 3,
            ("COMPLIANT", ..) => 4,
            _ => 5,
        }
    };
    worst_first.sort_by_key(rank);
    assert_eq!(values[1], json!(worst_first));
    assert_eq!(values[2], json!(names));
    assert_eq!(values[3], json!(["descending", 1, names.last()]));
    assert_eq!(values[4], json!([60, "60 of 500 streams"]));
    assert_eq!(values[5], json!([230, "true"]));
    assert_eq!(values[6][1], "streamseal.evidence/v1");
    let (light, dark) = (values[7].as_i64().unwrap(), values[8].as_i64().unwrap());
    assert!(light > 600 && dark < 150, "{light} {dark}");
    for (which, value) in [("dark", &values[9]), ("light", &values[10]), ("phone", &values[12])] {
        assert_eq!(*value, json!([]), "axe finds fault with the page, {which}");
    }
    assert!(values[11][0].as_i64() <= values[11][1].as_i64(), "{}", values[11]);
    assert_eq!(
        values[13],
        json!([765, "none", true]),
        "on paper: white, without the controls, with the pages' numbers"
    );
    assert_eq!((&values[15], &values[17]), (&json!(["#streams", "solid"]), &json!("ascending")));
    assert_eq!((&values[19], &values[20]), (&json!("true true"), &json!(true)));
    let enable = format!("aws kms enable-key --key-id {} --region {REGION}", fleet().keys["alias/retired"]);
    assert_eq!(values[21], json!(["What to do", enable, "Evidence"]));
    assert_eq!(values[22], json!(["true", "false", "true", "false"]), "it was open before");
    assert_eq!(
        (&values[23], &values[24]),
        (&json!("#state=NOT_APPLICABLE"), &json!(60)),
        "and the filter before is gone"
    );
    let lines: Vec<&str> = values[25].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert_eq!(
        (lines[0], lines[1], lines.len()),
        ("account,region,stream", format!("{ACCOUNT},{REGION},orders-wrong-000").as_str(), 61)
    );
    let detail = &values[26];
    assert!(detail["copies"].as_u64() > Some(2) && detail["copies"] == detail["blocks"], "{detail}");
    // A browser without a window has no clipboard to write to: then the text is marked.
    assert!(["Copied", "Marked"].contains(&detail["copied"].as_str().unwrap()), "{detail}");
    let stream = "https://eu-west-1.console.aws.amazon.com/kinesis/home?region=eu-west-1#/streams/details/orders-wrong-000/configuration";
    assert_eq!(detail["links"][0], stream);
    let key = fleet().keys["alias/other"].rsplit_once('/').unwrap().1;
    assert!(detail["links"][1].as_str().unwrap().ends_with(&format!("/kms/keys/{key}")), "{detail}");
    let exempt = ["scratch", "synthetic data, RISK-1421", "data-platform", "no end", "60"];
    assert_eq!(values[27], json!([exempt]));
    let read = &values[28];
    assert_eq!(read["verdict"], values[0]["verdict"]);
    let words = "150 not encrypted, 60 with the wrong key, 20 on a key that cannot be relied on, 210 compliant, 60 exempt. 70 blocked:";
    assert!(read["beside"].as_str().unwrap().starts_with(words), "{}", read["beside"]);
    assert_eq!((&read["rows"], &read["dead"], &read["noscript"]), (&json!(worst_first), &json!(0), &json!(true)));
    // axe is a script too: it reads a copy whose own script is text.
    let copy = file(folder, "static.html", &html.replace("<script>\n", "<script type=\"text/plain\">\n"));
    let steps = json!([
        {"evaluate": "document.querySelectorAll('.row').length"}, {"evaluate_file": axe}, {"evaluate": axe_run},
        {"size": [390, 844], "phone": true}, {"evaluate": "[document.documentElement.scrollWidth, innerWidth]"}, {"evaluate": axe_run},
    ]);
    let Some(read) = browser(&copy, &steps) else { return };
    assert_eq!(read["values"], json!([0, [], [390, 390], []]), "axe finds fault with the page without its script");
    // What the stranger's script came to is the one line that may be there.
    let console = found["console"].as_array().unwrap();
    assert!(
        console.len() == 1 && console[0]["text"].as_str().unwrap().contains("Content Security Policy"),
        "{console:?}"
    );
    assert_eq!(
        found["requests"].as_array().unwrap().iter().filter(|url| **url != found["requests"][0]).count(),
        0,
        "no request but for the file itself: {}",
        found["requests"]
    );
}

/// What the steps came to; `None` where there is no browser, which is reported.
pub(crate) fn browser(page: &Path, steps: &Value) -> Option<Value> {
    let mut tool = crate::support::tool("browser");
    let mut child = tool.arg(page).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended already, for want of a browser.
    let _ = child.stdin.take().unwrap().write_all(steps.to_string().as_bytes());
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    if status.code() == Some(3) {
        reported("audit: LEFT OUT: the HTML report was not opened in a browser (Debian: apt-get install chromium)");
        return None;
    }
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    Some(serde_json::from_slice(&stdout).unwrap())
}

#[test]
fn stopped_it_writes_what_it_has_and_says_that_more_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let (html, json) = (file(&folder, "report.html", "the one before"), folder.path().join("report.json"));
    for signal in ["-INT", "-TERM"] {
        let layer = Layer::start_at(&fleet().parts, &json!({}));
        let mut command = audit(&policy, &["--rate", "2", "-o", html.to_str().unwrap(), "-o", json.to_str().unwrap()]);
        command.env("AWS_ENDPOINT_URL_KINESIS", &layer.url);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let end = Instant::now() + PATIENCE;
        while layer.calls("kinesis:DescribeStreamSummary", "*").len() < 3 {
            assert!(Instant::now() < end, "it observes no stream");
            std::thread::sleep(Duration::from_millis(20));
        }
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let err = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len()), (Some(1), 0), "{err}");
        assert!(err.contains("of 500 streams: the audit is incomplete"), "{err}");
        assert!(err.contains(&format!("incomplete: {REGION}")), "{err}");
        let found: Value = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
        let region = &found["regions"][0];
        assert_eq!((&found["complete"], &region["state"]), (&json!(false), &json!("interrupted")));
        let (streams, listed) = (region["streams"].as_u64().unwrap(), region["listed"].as_u64().unwrap());
        assert!((1..100).contains(&streams) && listed == 500, "{region}");
        assert_eq!(found["streams"].as_array().map(Vec::len), usize::try_from(streams).ok());
    }
    assert!(std::fs::read_to_string(&html).unwrap().starts_with("<!doctype html>"));
}

/// A Kinesis with one stream in eu-west-1, one in us-east-1 that may not be observed, and none elsewhere; the Regions that say no
/// say so.
fn regions_stub() -> MockServer {
    stub(|request| {
        let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
        let error = |code: &str| ResponseTemplate::new(400).set_body_json(json!({"__type": code, "message": "no"}));
        // …Credential=KEY/DATE/REGION/SERVICE/aws4_request…
        let region = header("authorization").split('/').nth(2).unwrap_or_default().to_owned();
        match (region.as_str(), header("x-amz-target").split('.').nth(1).unwrap_or_default()) {
            ("eu-west-2", _) => error("AccessDeniedException"),
            ("eu-north-1", "ListStreams") => denied_by_the_organization(),
            ("af-south-1" | "me-south-1", _) => error("UnrecognizedClientException"),
            ("eu-west-1", "ListStreams") => {
                ResponseTemplate::new(200).set_body_json(json!({"StreamNames": ["scratch-1"], "HasMoreStreams": false}))
            }
            ("us-east-1", "ListStreams") => {
                ResponseTemplate::new(200).set_body_json(json!({"StreamNames": ["locked", "locked-2"], "HasMoreStreams": false}))
            }
            ("us-east-1", "DescribeStreamSummary") => error("AccessDeniedException"),
            ("eu-west-1", "GetParameter") => ResponseTemplate::new(200).set_body_json(json!({
                "Parameter": {"Name": "/policy", "Type": "String", "Value": POLICY, "Version": 1}
            })),
            (_, "GetParameter") => error("ParameterNotFound"),
            (_, "") if request.body.starts_with(b"Action=GetCallerIdentity") => ResponseTemplate::new(200).set_body_string(format!(
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Account>{ACCOUNT}\
                 </Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
            )),
            (_, "ListStreams") => {
                ResponseTemplate::new(200).set_body_json(json!({"StreamNames": [], "HasMoreStreams": false}))
            }
            ("eu-west-1", "DescribeStreamSummary") => ResponseTemplate::new(200).set_body_json(json!({
                "StreamDescriptionSummary": {
                    "StreamName": "scratch-1", "StreamARN": arn("scratch-1"), "StreamStatus": "ACTIVE",
                    "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_790_000_000, "OpenShardCount": 1,
                    "EnhancedMonitoring": [], "EncryptionType": "NONE",
                }
            })),
            _ => ResponseTemplate::new(200).set_body_json(json!({"ResourceTagMappingList": []})),
        }
    })
}

/// As AWS words it under the Region deny control of Control Tower (IAM user guide, access denied error messages).
fn denied_by_the_organization() -> ResponseTemplate {
    let message = format!(
        "User: arn:aws:sts::{ACCOUNT}:assumed-role/auditor/me is not authorized to perform: kinesis:ListStreams with an explicit \
         deny in a service control policy"
    );
    ResponseTemplate::new(400).set_body_json(json!({"__type": "AccessDeniedException", "message": message}))
}

/// How long answers take does not decide how long an audit takes, since several observations are under way; and each is reported in its place.
#[test]
fn observations_do_not_wait_for_each_others_answers() {
    const ANSWER: Duration = Duration::from_secs(3);
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let names: Vec<String> = (0..20).map(|n| format!("scratch-{n:02}")).collect();
    let arrived: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let server = {
        let (names, arrived) = (names.clone(), Arc::clone(&arrived));
        stub(move |request| {
            let target = request.headers.get("x-amz-target").map(|value| value.to_str().unwrap()).unwrap_or_default();
            let answer = match target.split('.').nth(1).unwrap_or_default() {
                "ListStreams" => json!({"StreamNames": names, "HasMoreStreams": false}),
                "DescribeStreamSummary" => {
                    arrived.lock().unwrap().push(Instant::now());
                    let asked: Value = serde_json::from_slice(&request.body).unwrap();
                    let name = asked["StreamARN"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                    // The first one's answer is the last of its round.
                    let late = if name == names[0] { ANSWER / 3 } else { Duration::ZERO };
                    let summary = json!({
                        "StreamName": name, "StreamARN": arn(&name), "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                        "StreamCreationTimestamp": 1_790_000_000, "OpenShardCount": 1, "EnhancedMonitoring": [],
                        "EncryptionType": "NONE",
                    });
                    let answer = ResponseTemplate::new(200).set_body_json(json!({"StreamDescriptionSummary": summary}));
                    return answer.set_delay(ANSWER + late);
                }
                "" => return ResponseTemplate::new(400),
                _ => json!({"ResourceTagMappingList": [], "PaginationToken": ""}),
            };
            ResponseTemplate::new(200).set_body_json(answer)
        })
    };
    let mut command = command(&policy, &["--region", REGION, "--rate", "1000", "--json"]);
    let (code, out, err) = ran(command.env("AWS_ENDPOINT_URL", server.uri()));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let found: Value = serde_json::from_str(&out).unwrap();
    let reported: Vec<&str> =
        found["streams"].as_array().unwrap().iter().map(|row| row["stream"].as_str().unwrap()).collect();
    assert_eq!(reported, names);
    let arrived = arrived.lock().unwrap();
    let after: Vec<Duration> = arrived.iter().map(|at| *at - arrived[0]).collect();
    assert_eq!(after.len(), 20);
    assert!(after[15] < ANSWER, "sixteen are asked before one is answered: {after:?}");
    assert!(after[16] >= ANSWER - Duration::from_millis(100), "and no more than that: {after:?}");
}

/// A key that KMS keeps failing on costs its tries once, and gives no Region up: each of its streams is reported, and so are the others.
#[test]
fn a_key_that_kms_never_answers_for_costs_its_tries_once() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let names: Vec<String> =
        (0..40).map(|n| format!("orders-{n:02}")).chain(["retiring-00".to_owned(), "scratch-00".to_owned()]).collect();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let server = {
        let (names, asked) = (names.clone(), Arc::clone(&asked));
        stub(move |request| {
            let target = request.headers.get("x-amz-target").map(|value| value.to_str().unwrap()).unwrap_or_default();
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            let answer = match target.split('.').nth(1).unwrap_or_default() {
                "ListStreams" => json!({"StreamNames": names, "HasMoreStreams": false}),
                "DescribeStreamSummary" => {
                    let name = body["StreamARN"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
                    json!({"StreamDescriptionSummary": {
                        "StreamName": name, "StreamARN": arn(&name), "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                        "StreamCreationTimestamp": 1_790_000_000, "OpenShardCount": 1, "EnhancedMonitoring": [],
                    }})
                }
                "DescribeKey" => {
                    let key = body["KeyId"].as_str().unwrap().to_owned();
                    let code = if key == "alias/orders" { "ThrottlingException" } else { "NotFoundException" };
                    asked.lock().unwrap().push(key);
                    return ResponseTemplate::new(400).set_body_json(json!({"__type": code, "message": "no"}));
                }
                "" => return ResponseTemplate::new(400),
                _ => json!({"ResourceTagMappingList": [], "PaginationToken": ""}),
            };
            ResponseTemplate::new(200).set_body_json(answer)
        })
    };
    let mut command = command(&policy, &["--region", REGION, "--rate", "1000", "--json"]);
    let (code, out, err) = ran(command.env("AWS_ENDPOINT_URL", server.uri()));
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out} {err}"));
    let counts = &found["totals"]["by_compliance"];
    assert_eq!((&counts["INSUFFICIENT_DATA"], &counts["NOT_APPLICABLE"]), (&json!(40), &json!(1)), "{code} {out}");
    assert_eq!(counts["NON_COMPLIANT"], 1, "the one behind them: {out}");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|key| *key == "alias/orders").count(), 4, "{asked:?}");
}

/// A list of streams is of the account of the credentials: of another account there is nothing to report.
#[test]
fn credentials_of_another_account_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let (code, out, err) = ran(audit(&policy, &[]).env("ACCOUNT_ID", "999999999999"));
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(err.contains(&format!("the credentials belong to account {ACCOUNT}, not to 999999999999")), "{err}");
    assert!(err.contains("`--profile`") && err.contains("or remove `--account` and ACCOUNT_ID"), "{err}");

    // Nobody says whose they are, and none of the listed streams is there.
    let server =
        stub(|request| {
            let target = request.headers.get("x-amz-target").map(|value| value.to_str().unwrap()).unwrap_or_default();
            match target.split('.').nth(1).unwrap_or_default() {
                "" => ResponseTemplate::new(400),
                "ListStreams" => ResponseTemplate::new(200)
                    .set_body_json(json!({"StreamNames": ["a", "b"], "HasMoreStreams": false})),
                "GetResources" => ResponseTemplate::new(200)
                    .set_body_json(json!({"ResourceTagMappingList": [], "PaginationToken": ""})),
                _ => ResponseTemplate::new(400)
                    .set_body_json(json!({"__type": "ResourceNotFoundException", "message": "no"})),
            }
        });
    let mut command = command(&policy, &["--region", REGION]);
    let (code, out, err) = ran(command.env("AWS_ENDPOINT_URL", server.uri()));
    assert!(
        code == 1 && out.contains("2 listed streams no longer exist") && out.contains("\nincomplete: eu-west-1\n"),
        "{out}{err}"
    );
    assert!(err.contains("none of the 2 listed streams exists"), "{err}");
}

#[test]
fn regions_that_fail_are_reported_and_stop_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let server = regions_stub();
    let run = |arguments: &[&str]| ran(command(&policy, arguments).env("AWS_ENDPOINT_URL", server.uri()));
    let (code, out, err) = run(&["--region", "eu-west-1", "--region", "eu-west-2", "--region", "eu-west-1"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("\n\nREGION") && out.contains("eu-west-1  scratch-1  NOT_APPLICABLE"), "{out}");
    assert!(out.contains("1 stream: 1 NOT_APPLICABLE") && out.contains("\nincomplete: eu-west-2\n"), "{out}");
    assert!(err.contains("error: eu-west-2: kinesis:ListStreams failed (AccessDenied"), "{err}");
    assert!(err.contains(r#"{"Action":"kinesis:ListStreams","Effect":"Allow","Resource":"*"}"#), "{err}");

    let (code, out, err) = run(&["--all-regions", "--json"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    let regions = found["regions"].as_array().unwrap();
    let of = |state: &str| -> Vec<&str> {
        let fits = regions.iter().filter(|region| region["state"] == state);
        fits.map(|region| region["region"].as_str().unwrap()).collect()
    };
    assert_eq!((code, regions.len(), &found["complete"]), (1, 34, &json!(false)), "{err}");
    assert_eq!((of("failed"), of("not-enabled")), (vec!["eu-west-2"], vec!["af-south-1", "me-south-1"]));
    assert_eq!((of("complete").len(), of("denied")), (30, vec!["eu-north-1"]));
    assert_eq!(found["streams"].as_array().unwrap().len(), 3);
    assert!(err.contains("af-south-1: left out, the account has not enabled it"), "{err}");
    assert!(err.contains("eu-north-1: left out, a policy of the organization denies it"), "{err}");

    // What the organization denies fails nothing, unless that is asked for.
    let some = ["--region", "eu-north-1", "--region", "eu-west-1"];
    let (code, out, err) = run(&some);
    assert!(code == 0 && out.contains("\nnot observed, denied by the organization: eu-north-1\n"), "{out}{err}");
    assert!(!err.contains("error"), "{err}");
    assert_eq!(run(&[&some[..], &["--fail-on", "unknown"]].concat()).0, 1);
    assert_eq!(run(&["--region", "us-east-1", "--fail-on", "non-compliant"]).0, 0);

    // A Region that was asked for by name is not left out silently, and credentials that are good nowhere are a failure.
    let (code, _, err) = run(&["--region", "af-south-1"]);
    assert!(code == 1 && err.contains("error: af-south-1: kinesis:ListStreams failed"), "{err}");
    assert_eq!(run(&["--region", "eu-west-1"]).0, 0, "an exempt stream is fine");
    let (code, out, err) = run(&["--region", "us-east-1", "--format", "csv"]);
    assert!(code == 1 && out.contains(",INSUFFICIENT_DATA,access-denied,"), "no try will go better: {out}{err}");
    // What would allow it, of all streams at once.
    let statement = format!(
        "{{\"Action\":\"kinesis:DescribeStreamSummary\",\"Effect\":\"Allow\",\"Resource\":\"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/*\"}}"
    );
    assert_eq!(err.matches("\"Action\"").count(), 1, "each once: {err}");
    assert!(err.contains(&statement), "{err}");

    // The policy's parameter is read in the Region that is set, in whatever Regions streams are observed.
    let all = ["--all-regions", "--json"];
    let in_region = |region: Option<&str>| {
        let mut command = command(Path::new("ssm:/policy"), &all);
        command.env_remove("AWS_REGION").envs(region.map(|region| ("AWS_REGION", region)));
        ran(command.env("AWS_ENDPOINT_URL", server.uri()))
    };
    let (code, out, err) = in_region(Some("eu-west-1"));
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!((code, &found["policy"]["source"]), (1, &json!("ssm:/policy")), "{err}");
    let (code, _, err) = in_region(None);
    assert!(code == 2 && err.contains("error: no Region is set to read the policy in\n"), "{err}");

    // Whose the streams are is asked where the account surely is: not in the first Region that there is.
    let mut command = command(&policy, &["--all-regions", "--json"]);
    let (_, out, err) = ran(command.env_remove("ACCOUNT_ID").env("AWS_ENDPOINT_URL", server.uri()));
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    assert_eq!(found["account"], ACCOUNT);
}

#[test]
fn arguments_that_are_wrong_are_reported_before_anything_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let run = |arguments: &[&str]| ran(command(&policy, arguments).env("AWS_ENDPOINT_URL", "http://127.0.0.1:1"));
    let (code, _, err) = run(&[]);
    assert!(code == 2 && err.contains("no Region is named"), "{err}");
    let (code, _, err) = run(&["--region", "here"]);
    assert!(code == 2 && err.contains("`here` is not a Region"), "{err}");
    let (code, _, err) = run(&["--region", REGION, "--output", "report.pdf"]);
    assert!(code == 2 && err.contains("report.pdf: unknown file extension; use .html"), "{err}");
    let (code, _, err) = run(&["--region", REGION, "-o", "a.html", "-o", "b.csv", "--json"]);
    assert!(code == 2 && err.contains("--format works with one file"), "{err}");
    let (code, _, err) = run(&["--region", REGION, "-o", "/nowhere/a.html"]);
    assert!(code == 1 && err.contains("/nowhere/a.html: cannot be written"), "{err}");
    assert_eq!(run(&["--region", REGION, "--all-regions"]).0, 2);
    assert_eq!(run(&["--region", REGION, "--rate", "0"]).0, 2);
    // Nobody answers.
    let (code, out, err) = run(&["--region", REGION, "--format", "csv"]);
    assert!(code == 4 && out.lines().count() == 1 && err.contains("kinesis:ListStreams failed"), "{out}{err}");
    assert!(err.contains("no answer: check") && err.contains("--endpoint-url"), "{err}");
}

/// A bar and colours on a terminal, and neither where `NO_COLOR` is set or nobody watches.
#[test]
fn a_terminal_has_a_bar() {
    let folder = tempfile::tempdir().unwrap();
    let policy = file(&folder, "policy.yaml", POLICY);
    let server = regions_stub();
    let on_a_terminal = |no_color: &str| {
        let mut inner = command(&policy, &["--region", "eu-west-1"]);
        let mut outer = Command::new("python3");
        outer.arg("-c").arg("import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))");
        outer.arg(inner.get_program()).args(inner.get_args());
        outer.env_clear().env("PATH", std::env::var("PATH").unwrap()).env("TERM", "xterm").stdin(Stdio::null());
        for (name, value) in inner.get_envs() {
            outer.env(name, value.unwrap());
        }
        outer.env("AWS_ENDPOINT_URL", server.uri()).env("NO_COLOR", no_color);
        inner.env_clear();
        ran(&mut outer)
    };
    let (code, out, err) = on_a_terminal("");
    assert!(code == 0 && out.contains("streams ") && out.contains("/1 "), "{out:?}{err}");
    assert!(out.contains("\u{1b}[2mNOT_APPLICABLE\u{1b}[0m"), "{out:?}");
    let (_, out, _) = on_a_terminal("1");
    assert!(out.contains("NOT_APPLICABLE") && !out.contains("[2mNOT_APPLICABLE"), "{out:?}");
    for (color, coloured) in [("always", true), ("never", false)] {
        let mut command = command(&policy, &["--region", "eu-west-1", "--color", color]);
        let (_, out, _) = ran(command.env("AWS_ENDPOINT_URL", server.uri()).env("CLICOLOR_FORCE", "1"));
        assert_eq!(out.contains("\u{1b}[2mNOT_APPLICABLE"), coloured, "{color}: {out:?}");
    }
}
