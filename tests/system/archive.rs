//! `deploy/archive.yaml`: the stack in an emulator's CloudFormation, its table, and its queries over documents that the real function wrote.
//!
//! The emulator keeps the subscription, and hands no line to Firehose: what Firehose would write is written here. Its Athena guesses the
//! columns of a table; the queries run in DuckDB over the table's own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::common::{read, resources};
use crate::deploy::{ARCHIVE, deploy, known};
use crate::support::{ACCOUNT, Function, REGION, call, create_event, event, parts, root, unique};

/// Evidence goes from the function's log group to a bucket where nobody can change it.
#[test]
fn evidence_is_kept_in_a_bucket_with_object_lock() {
    let (stack, group) = (unique("archive"), format!("/aws/lambda/{}", unique("archive")));
    let database = unique("archive").replace('-', "_");
    let parameters = [("LogGroupName", group.as_str()), ("DatabaseName", &database), ("LockDays", "30")];
    let outputs = deploy(&stack, &known(ARCHIVE), &parameters);
    let made = |target: &str, service: &str, body: Value| call(&parts().aws, target, service, &body).unwrap();
    let filters = made("Logs_20140328.DescribeSubscriptionFilters", "logs", json!({"logGroupName": group}));
    let filter = &filters["subscriptionFilters"][0];
    let name = outputs("DeliveryStreamName");
    let described = made("Firehose_20150804.DescribeDeliveryStream", "firehose", json!({"DeliveryStreamName": name}));
    let delivery = &described["DeliveryStreamDescription"];
    assert_eq!(filter["destinationArn"], delivery["DeliveryStreamARN"], "{filters}");
    assert_eq!(filter["filterPattern"], r#"{ $.schema = "streamseal.*" }"#);
    assert!(delivery.to_string().contains(&format!("arn:aws:s3:::{}", outputs("BucketName"))), "{delivery}");
    let table = made("AWSGlue.GetTable", "glue", json!({"DatabaseName": database, "Name": "evidence"}));
    let location = format!("s3://{}/evidence/", outputs("BucketName"));
    assert_eq!(table["Table"]["StorageDescriptor"]["Location"], location.as_str());
    assert_eq!(table["Table"]["Parameters"]["storage.location.template"], format!("{location}dt=${{dt}}/").as_str());

    // What the emulator does not show: the lock, and that the bucket outlives the stack.
    let template = read(ARCHIVE);
    let bucket = &template["Resources"]["Bucket"];
    let lock = json!({"Mode": {"!Ref": "LockMode"}, "Days": {"!Ref": "LockDays"}});
    let properties = &bucket["Properties"];
    assert_eq!(properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"], lock);
    assert_eq!((&properties["ObjectLockEnabled"], &bucket["DeletionPolicy"]), (&json!(true), &json!("Retain")));
}

/// The table's columns.
fn columns() -> Value {
    read(ARCHIVE)["Resources"]["Table"]["Properties"]["TableInput"]["StorageDescriptor"]["Columns"].take()
}

/// The table has the fields of evidence, under their names and as deep as they are.
#[test]
fn the_table_of_the_archive_has_fields_that_evidence_has() {
    let path = root().join("schemas/evidence.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    // The type that the schema gives a field, in Glue's words.
    let kind_of = |path: &str| {
        let mut at = &schema;
        for name in path.split('.') {
            while let Some(to) = at["$ref"].as_str().or_else(|| at["anyOf"][0]["$ref"].as_str()) {
                at = schema.pointer(to.trim_start_matches('#')).unwrap();
            }
            at = &at["properties"][name];
        }
        match at["type"].as_str().or_else(|| at["type"][0].as_str()) {
            Some("boolean") => "boolean",
            Some("integer" | "number") => "double",
            _ if at.is_null() => "no field",
            _ => "string",
        }
    };
    let mut fields = Vec::new();
    for column in columns().as_array().unwrap() {
        let (name, kind) = (column["Name"].as_str().unwrap(), column["Type"].as_str().unwrap());
        match kind.strip_prefix("struct<").and_then(|inner| inner.strip_suffix('>')) {
            None => fields.push((name.to_owned(), kind.to_owned())),
            Some(inner) => fields.extend(inner.split(',').map(|field| {
                let (field, kind) = field.split_once(':').unwrap();
                (format!("{name}.{field}"), kind.to_owned())
            })),
        }
    }
    let strange: Vec<_> = fields.iter().filter(|(field, kind)| kind_of(field) != kind).collect();
    assert!(strange.is_empty() && fields.len() > 40, "{strange:?}");
}

/// What each saved query answers, by its name, from these lines of the log.
fn answers(folder: &Path, lines: &[Value]) -> impl Fn(&str) -> Vec<Value> + use<> {
    // As the subscription's filter has it, and as Firehose writes it: by day, one document a line, compressed.
    let day = folder.join(format!("dt={}", Timestamp::now().strftime("%Y-%m-%d")));
    std::fs::create_dir(&day).unwrap();
    let kept = lines.iter().filter(|line| line["schema"].as_str().is_some_and(|name| name.starts_with("streamseal.")));
    let text: String = kept.map(|line| format!("{line}\n")).collect();
    let file = std::fs::File::create(day.join("streamseal-1-2026.gz")).unwrap();
    run(Command::new("gzip").stdout(file), &text);
    let template = read(ARCHIVE);
    let queries = resources(&template, "AWS::Athena::NamedQuery");
    let texts: Vec<&Value> = queries.iter().map(|(_, query)| &query["QueryString"]).collect();
    let asked = json!({"columns": columns(), "folder": folder, "queries": texts});
    let mut python = Command::new(root().join(".local/test/bin/python"));
    let script = root().join("tests/system/athena.py");
    let out = run(python.arg("-B").arg(script).stdout(Stdio::piped()), &asked.to_string());
    let answers: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names =
        queries.iter().map(|(_, query)| query["Name"].as_str().unwrap().trim_start_matches("Streamseal/").to_owned());
    let by_name: Vec<(String, Value)> = names.zip(answers).collect();
    assert_eq!(by_name.len(), 3);
    move |name| {
        let (_, rows) = by_name.iter().find(|(known, _)| known == name).unwrap();
        rows.as_array().unwrap().clone()
    }
}

/// Runs it to its end with this input; what it wrote, where that is piped.
fn run(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// An event of this name about a stream, now.
fn called(name: &str, stream: &str) -> Value {
    let now = json!(Timestamp::now().to_string());
    let mut event = event(name);
    event["time"] = now.clone();
    event["detail"]["eventTime"] = now;
    event["detail"]["eventID"] = json!(unique("event"));
    event["detail"]["requestParameters"]["streamName"] = json!(stream);
    event
}

/// A stream is made and sealed, somebody stops its encryption unnoticed and again with an event, and it is sealed again; another is encrypted by
/// hand; a third stays open; a fourth is exempt.
#[test]
fn the_saved_queries_answer_from_what_the_function_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let alias = format!("alias/{}", unique("archive"));
    let key = parts().key(&alias);
    let [windows, by_hand, open, exempt] = ["windows", "by-hand", "open", "exempt"].map(unique);
    let policy = format!(
        "inline:{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, settle: {{terraform: 0s, \
         cloudformation: 0s, pulumi: 0s, other: 0s}}}}, rules: [{{name: exempt, match: {{stream: [exempt-*]}}, exempt: {{reason: r, owner: o}}}}, \
         {{name: all, key: {alias}}}]}}"
    );
    let enforcing = Function::start(60, &[("POLICY", &policy)]);
    let reporting = Function::start(60, &[("POLICY", &policy), ("MODE", "report")]);
    [&windows, &by_hand, &open, &exempt].into_iter().for_each(|name| parts().stream(name));
    let again = |stream: &str| json!({"action": "reconcile", "stream": stream});
    let encryption = |stream: &str| json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": key});
    let change = |call: &str, stream: &str| {
        parts().kinesis(call, encryption(stream)).unwrap();
        parts().active(stream);
    };

    let sealed = enforcing.invoke(&create_event(&windows)).body;
    change("StopStreamEncryption", &windows);
    let unnoticed = reporting.invoke(&again(&windows)).body;
    let stop = called("kinesis-stop-stream-encryption", &windows);
    let noticed = reporting.invoke(&stop).body;
    let sealed_again = enforcing.invoke(&again(&windows)).body;
    let open_by_hand = reporting.invoke(&create_event(&by_hand)).body;
    change("StartStreamEncryption", &by_hand);
    let found_by_hand = reporting.invoke(&again(&by_hand)).body;
    let left_open = reporting.invoke(&create_event(&open)).body;
    let exempted = reporting.invoke(&create_event(&exempt)).body;
    let lines = [(&enforcing, 2), (&reporting, 6)].map(|(function, documents)| {
        function.lines(documents, |line| line["schema"].is_string());
        function.lines(0, |_| true)
    });
    let lines = lines.concat();
    assert!(lines.iter().any(|line| line["schema"].is_null()), "what the subscription leaves out");
    let answers = answers(folder.path(), &lines);
    let arn = |name: &str| format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{name}");

    let columns = |query: &str, of: &[&str]| -> Vec<Value> {
        answers(query).iter().map(|row| of.iter().map(|column| row[column].clone()).collect()).collect()
    };

    let fleet = columns("state of the fleet", &["stream", "compliance", "reason", "rule", "key_in_force", "proof"]);
    let expected = [
        json!([arn(&open), "NON_COMPLIANT", "not-encrypted", "all", null, "not-sought"]),
        json!([arn(&by_hand), "COMPLIANT", "right-key", "all", key, "described"]),
        json!([arn(&exempt), "NOT_APPLICABLE", "exempt", "exempt", null, "not-sought"]),
        json!([arn(&windows), "COMPLIANT", "right-key", "all", key, "proven"]),
    ];
    assert_eq!(fleet, expected, "each once, as it was found last, the worst first");

    let exposures = columns("exposure windows", &["stream", "since", "seen_at", "encrypted_since"]);
    let since = |run: &Value| run["exposure"]["since"].clone();
    let expected = [
        // Since the call that the second of three runs about it answered.
        json!([arn(&windows), since(&noticed), unnoticed["before"]["at"], sealed_again["after"]["at"]]),
        json!([arn(&exempt), since(&exempted), exempted["before"]["at"], null]),
        json!([arn(&open), since(&left_open), left_open["before"]["at"], null]),
        json!([arn(&by_hand), since(&open_by_hand), open_by_hand["before"]["at"], found_by_hand["before"]["at"]]),
        json!([arn(&windows), since(&sealed), sealed["before"]["at"], sealed["after"]["at"]]),
    ];
    assert_eq!(exposures, expected);
    assert_eq!(since(&noticed).as_str().unwrap().get(..19), stop["time"].as_str().unwrap().get(..19));
    for row in answers("exposure windows").iter().filter(|row| !row["encrypted_since"].is_null()) {
        let at = |column: &str| row[column].as_str().unwrap().parse::<Timestamp>().unwrap();
        let lasted = at("encrypted_since").duration_since(at("since")).as_secs();
        assert!((row["seconds"].as_i64().unwrap() - lasted).abs() <= 1, "{row}");
    }

    let of = ["stream", "call", "actor", "encryption_before", "encryption_after", "key_after", "remediation", "run"];
    let dana = "arn:aws:iam::111122223333:user/dana";
    let expected = [
        json!([arn(&windows), "reconcile", null, "NONE", "KMS", key, "applied", sealed_again["run"]["id"]]),
        json!([arn(&windows), "StopStreamEncryption", dana, "NONE", "NONE", null, "withheld", noticed["run"]["id"]]),
        json!([arn(&windows), "CreateStream", dana, "NONE", "KMS", key, "applied", sealed["run"]["id"]]),
    ];
    assert_eq!(columns("who changed what", &of), expected);
}
