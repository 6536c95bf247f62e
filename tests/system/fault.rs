//! The fault layer (`tools/emulators/fault`) does what it says: each of its powers, as the adapters meet it and as its log reports it.
//!
//! Real SDK clients, the layer, the emulators.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use streamseal::aws::{Aws, Queues, Timeouts};
use streamseal::cli::connect::{Connection, sdk_config};
use streamseal::domain::arn::{KeyArn, KeyRef, Scope, StreamArn};
use streamseal::domain::failure::{Class, Failure, Fault as Permanent};
use streamseal::domain::history::{ChangeKind, Query};
use streamseal::domain::model::{Encryption, KeyIdentity, Observed, StreamStatus};
use streamseal::domain::work::Work;
use streamseal::ports::{CallLog, FleetApi, KeyApi, PageStart, ReadBack, StreamApi, TrailApi, WorkQueue};

use crate::support::{ACCOUNT, Layer, PATIENCE, REGION, create_event, parts, root, unique};

/// A key that nobody observes, unless the layer is asked to.
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const BAD_KEY: Class = Class::Permanent(Permanent::Key);

/// The layer, and the adapter that talks through it.
struct Fault {
    layer: Layer,
    aws: Aws,
    log: CallLog,
}

impl Fault {
    async fn start(config: Value) -> Self {
        Self::with_timeouts(config, Timeouts::default()).await
    }

    async fn with_timeouts(config: Value, timeouts: Timeouts) -> Self {
        let layer = Layer::start(&config);
        let aws = aws_as("AKIDOURS", &layer.url, timeouts).await;
        Self { layer, aws, log: CallLog::default() }
    }

    fn configure(&self, config: Value) {
        let (status, answer) = self.control("PUT", "config", &config);
        assert_eq!(status, 200, "{answer}");
    }

    fn advance(&self, ms: u64) {
        self.layer.advance(ms);
    }

    fn control(&self, method: &str, what: &str, body: &Value) -> (u16, Value) {
        self.layer.control(method, what, body)
    }

    /// A call that the adapter does not make.
    fn ask(&self, target: &str, body: &Value) -> (u16, Value) {
        let service = match target {
            _ if target.starts_with("Kinesis") => "kinesis",
            _ if target.starts_with("ResourceGroupsTagging") => "tagging",
            _ => "cloudtrail",
        };
        let scope = format!("AKIDOTHER/20260101/{REGION}/{service}/aws4_request");
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .post(&self.layer.url)
            .header("x-amz-target", target)
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"))
            .content_type("application/x-amz-json-1.1")
            .send(body.to_string())
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    /// What the layer has seen of an operation on a stream, oldest first.
    fn calls(&self, call: &str, stream: &str) -> Vec<Value> {
        self.layer.calls(call, stream)
    }

    fn last(&self, call: &str, stream: &str) -> Value {
        self.calls(call, stream).pop().unwrap_or_else(|| panic!("no {call} on {stream}"))
    }

    async fn describe(&self, stream: &str) -> Result<Observed, Failure> {
        self.aws.describe(&arn(stream), &self.log).await
    }

    async fn status(&self, stream: &str) -> StreamStatus {
        self.describe(stream).await.unwrap().status
    }

    async fn active(&self, stream: &str) {
        let end = Instant::now() + PATIENCE;
        while self.status(stream).await != StreamStatus::Active {
            assert!(Instant::now() < end, "{stream} did not become ACTIVE");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn encrypt(&self, stream: &str, key: &str) -> Result<(), Failure> {
        let key = KeyIdentity::Arn(KeyArn::parse(key).unwrap());
        self.aws.start_encryption(&arn(stream), &key, &self.log).await
    }

    async fn probe(&self, stream: &str) -> Result<Option<String>, Failure> {
        self.aws.put_probe(&arn(stream), &self.log).await.map(|answer| answer.encryption_type)
    }
}

async fn aws_as(access_key_id: &str, url: &str, timeouts: Timeouts) -> Aws {
    let connection =
        Connection { region: Some(REGION.into()), endpoint: Some(url.to_owned()), timeouts, ..Connection::default() };
    let credentials = Credentials::new(access_key_id, "secret", None, None, "test");
    let sdk = sdk_config(&connection).await;
    let sdk = sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    let scope = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    Aws::new(&sdk, scope, Queues { work: Some(format!("{url}/{ACCOUNT}/none")), scans: None })
}

fn arn(stream: &str) -> StreamArn {
    StreamArn::parse(&format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}")).unwrap()
}

/// A new stream that is ACTIVE and not encrypted.
fn plain(prefix: &str) -> String {
    let name = unique(prefix);
    parts().stream(&name);
    parts().active(&name);
    name
}

fn is_encrypted(stream: &str) -> bool {
    parts().describe(stream)["EncryptionType"] == "KMS"
}

#[tokio::test]
async fn without_a_configuration_nothing_fails_and_every_call_is_logged() {
    let fault = Fault::start(json!({})).await;
    let (stream, key) = (plain("fault-none"), parts().key("alias/fault-none"));
    fault.aws.lookup(&KeyRef::parse("alias/fault-none").unwrap(), &fault.log).await.unwrap();
    fault.encrypt(&stream, &key).await.unwrap();
    fault.active(&stream).await;
    assert_eq!(fault.probe(&stream).await.unwrap().as_deref(), Some("KMS"));

    let start = fault.last("kinesis:StartStreamEncryption", &stream);
    let expected = json!({"stream": stream, "key": key, "by": "AKIDOURS", "status": 200, "applied": true, "injected": [], "code": null});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&start[field], value, "{start}");
    }
    // The same request id on both sides, and every call of the adapter's own log in the layer's.
    let ours: Vec<_> = fault.log.calls().iter().map(|call| (call.call.to_owned(), call.request_id.clone())).collect();
    let theirs: Vec<_> = fault
        .calls("*", "*")
        .iter()
        .map(|c| (c["call"].as_str().unwrap().to_owned(), c["request_id"].as_str().map(str::to_owned)))
        .collect();
    assert_eq!(ours, theirs);

    let (_, counters) = fault.control("GET", "counters", &Value::Null);
    let key_calls = json!({"calls": 1, "applied": 1, "injected": {}, "most_a_second": 1});
    assert_eq!(counters["kms:DescribeKey"], key_calls);
    fault.control("POST", "reset", &Value::Null);
    assert_eq!(fault.control("GET", "counters", &Value::Null).1, json!({}));
}

/// A recorded case of AWS.
fn recorded(file: &str, label: &str) -> Value {
    let path = root().join(format!("tests/observed/{file}.json"));
    let cases: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let found = cases["cases"].as_array().unwrap().iter().find(|case| case["label"] == label).cloned();
    found.unwrap_or_else(|| panic!("{file} has no {label}"))
}

/// A recorded record of CloudTrail.
fn recorded_call(file: &str) -> Value {
    let path = root().join(format!("tests/observed/{file}.json"));
    serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap()["record"].take()
}

fn members(of: &Value) -> Vec<&str> {
    let mut members: Vec<&str> = of.as_object().unwrap_or_else(|| panic!("{of}")).keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

/// With no configuration: what the emulator of Kinesis says otherwise than AWS was seen to.
#[tokio::test]
async fn kinesis_answers_as_aws_was_seen_to() {
    let fault = Fault::start(json!({})).await;
    let stream = plain("fault-observed");
    let ask = |operation: &str, more: Value| {
        let mut body = json!({"StreamName": stream});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fault.ask(&format!("Kinesis_20131202.{operation}"), &body)
    };
    // Of a record that is not encrypted nothing is said, neither to who writes nor to who reads.
    let put = |label: &str| recorded("kinesis-records", label);
    let (_, answer) = ask("PutRecord", json!({"Data": "eA==", "PartitionKey": "same"}));
    assert_eq!(members(&answer), members(&put("put")["body"]));
    let records = json!([{"Data": "eA==", "PartitionKey": "same"}]);
    let (_, answer) = ask("PutRecords", json!({"Records": records}));
    assert_eq!(members(&answer), members(&put("put-records")["body"]));
    // The emulator says null of what AWS leaves out.
    let mut first = answer["Records"][0].clone();
    first.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    assert_eq!(members(&first), members(&put("put-records")["body"]["Records"][0]));
    let from = json!({"ShardId": answer["Records"][0]["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
    let (_, place) = ask("GetShardIterator", from);
    let (_, answer) = fault.ask("Kinesis_20131202.GetRecords", &json!({"ShardIterator": place["ShardIterator"]}));
    assert_eq!(answer["Records"].as_array().unwrap().len(), 2);
    assert_eq!(members(&answer["Records"][1]), members(&put("a-record")["body"]["Records"][0]));

    // A stream that is not encrypted says so in words, and cannot be stopped.
    let describe = || ask("DescribeStreamSummary", json!({})).1["StreamDescriptionSummary"].take();
    let setting = |summary: &Value| {
        ["StreamStatus", "EncryptionType", "KeyId"].map(|member| summary[member].as_str().map(str::to_owned))
    };
    let as_recorded = |label: &str, key: Option<&str>| {
        let file = if label.contains("stop") {
            "kinesis-describe-stream-summary-2"
        } else {
            "kinesis-describe-stream-summary-1"
        };
        let mut expected = setting(&recorded(file, label)["body"]["StreamDescriptionSummary"]);
        expected[2] = expected[2].take().and(key.map(str::to_owned));
        expected
    };
    assert_eq!(setting(&describe()), as_recorded("active-unencrypted", None));
    let stop = json!({"EncryptionType": "KMS", "KeyId": KEY});
    let refused = recorded("kinesis-start-stop", "stop-unencrypted");
    assert_eq!(ask("StopStreamEncryption", stop.clone()), (400, refused["body"].clone()));
    // Creation has whole seconds, and is not later than it was.
    let found = describe()["StreamCreationTimestamp"].as_f64().unwrap();
    let made = parts().describe(&stream)["StreamCreationTimestamp"].as_f64().unwrap();
    assert!(found.fract() == 0.0 && (0.0..1.0).contains(&(made - found)), "{found} {made}");
    let list = |body: Value| fault.ask("Kinesis_20131202.ListStreams", &body);
    let case = |label: &str| recorded("kinesis-list-streams", label)["body"].clone();
    assert_eq!(list(json!({"NextToken": "not-a-token"})), (400, case("bad-token")));
    assert_eq!(list(json!({"NextToken": "AAAA"})), (400, case("bad-token")));
    assert_eq!(list(json!({"NextToken": "x", "ExclusiveStartStreamName": "a"})), (400, case("token-and-name")));

    // While UPDATING the old setting is shown, after Start and after Stop.
    fault.configure(json!({"hold": [{"updating_ms": 3_000}]}));
    fault.advance(0);
    fault.encrypt(&stream, KEY).await.unwrap();
    assert_eq!(setting(&describe()), as_recorded("updating-after-start", None));
    parts().active(&stream);
    fault.advance(2_990);
    assert_eq!(setting(&describe()), as_recorded("updating-after-start", None));
    fault.advance(20);
    assert_eq!(setting(&describe()), as_recorded("active-encrypted", Some(KEY)));
    assert_eq!(ask("StopStreamEncryption", stop).0, 200);
    parts().active(&stream);
    assert_eq!(setting(&describe()), as_recorded("updating-after-stop", Some(KEY)));
    fault.advance(3_000);
    assert_eq!(setting(&describe()), as_recorded("active-after-stop", None));
}

#[tokio::test]
async fn a_history_comes_late_out_of_order_and_in_the_recorded_form() {
    let fault = Fault::start(json!({"trail": {"lag_ms": [60_000, 118_000]}})).await;
    let stream = plain("fault-history");
    fault.advance(0);
    for second in 0..20 {
        let tags = json!({"StreamName": stream, "Tags": {"second": second.to_string()}});
        assert_eq!(fault.ask("Kinesis_20131202.AddTagsToStream", &tags).0, 200);
        fault.advance(1_000);
    }
    let by_name = json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "AddTagsToStream"}], "MaxResults": 3});
    let found = || {
        let events = look_up(&fault, &by_name);
        let records = events
            .iter()
            .map(|event| serde_json::from_str::<Value>(event["CloudTrailEvent"].as_str().unwrap()).unwrap());
        records
            .map(|record| record["requestParameters"]["tags"]["second"].as_str().unwrap().parse().unwrap())
            .collect::<Vec<u32>>()
    };
    fault.advance(38_000);
    assert_eq!(found(), [] as [u32; 0], "the first is 58 s old");
    fault.advance(35_000);
    let some = found();
    assert!(some.windows(2).all(|pair| pair[0] > pair[1]), "the newest first: {some:?}");
    let newest = some[0];
    assert!((0..newest).any(|older| !some.contains(&older)), "one is missing that is older than another: {some:?}");
    assert_eq!(some, found(), "what is there stays, and what is not does not come by asking");
    fault.advance(60_000);
    assert_eq!(found(), (0..20).rev().collect::<Vec<_>>());

    // What was denied has neither parameters nor resources to be found by.
    fault.configure(json!({"trail": {}, "rules": [{"op": "Start*", "error": "AccessDeniedException"}]}));
    fault.encrypt(&stream, KEY).await.unwrap_err();
    let by_name =
        json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "StartStreamEncryption"}]});
    fault.advance(1_000);
    let [event] = &look_up(&fault, &by_name)[..] else { panic!("one was made") };
    assert_eq!(event["Resources"], json!([]));
    let record: Value = serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap();
    let expected = recorded_call("cloudtrail-denied-by-arn");
    for member in ["errorCode", "requestParameters", "eventVersion", "eventCategory"] {
        assert_eq!(record[member], expected[member], "{member}");
    }
    for (record, file) in
        [(record, "cloudtrail-denied-by-arn"), (last_call(&fault, "AddTagsToStream"), "cloudtrail-create-stream")]
    {
        let expected = recorded_call(file);
        let as_ours = |resources: &Value| {
            let text = resources.to_string().replace("orders", &stream).replace("us-east-1", REGION);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert_eq!(record["resources"], as_ours(&expected["resources"]), "{file}");
        let mut without_tls = members(&expected);
        without_tls.retain(|member| *member != "tlsDetails");
        assert_eq!(members(&record), without_tls, "{file}");
    }
}

/// The newest record of a call in the history.
fn last_call(fault: &Fault, call: &str) -> Value {
    let by_name = json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": call}]});
    serde_json::from_str(look_up(fault, &by_name)[0]["CloudTrailEvent"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_configuration_that_is_none_is_refused_with_words() {
    let fault = Fault::start(json!({"seed": 7})).await;
    for (wrong, words) in [
        (json!({"rule": []}), "rules"),
        (json!({"rules": [{"op": "*", "probability": 1, "drop": "before"}]}), "one_of"),
        (json!({"rules": [{"op": "*", "drop": "sometimes"}]}), "`before` or `after`"),
        (json!({"rules": [{"op": "*"}]}), "nothing would happen"),
        (json!({"hold": [{"creating": 1}]}), "creating_ms"),
        (json!({"aged": [{"stream": "old-*"}]}), "number of seconds"),
        (json!({"aged": [{"by": 1}]}), "by_s"),
    ] {
        let (status, answer) = fault.control("PUT", "config", &wrong);
        assert_eq!(status, 400, "{wrong}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(fault.control("GET", "config", &Value::Null).1, json!({"seed": 7}));
}

#[tokio::test]
async fn latency_and_a_client_that_gives_up() {
    let timeouts = Timeouts { attempt: Duration::from_secs(3), ..Timeouts::default() };
    let fault = Fault::with_timeouts(json!({"rules": [{"op": "Describe*", "delay_ms": [100, 150]}]}), timeouts).await;
    let stream = plain("fault-slow");
    fault.describe(&stream).await.unwrap();
    let found = fault.log.calls()[0].duration;
    assert!(found >= Duration::from_millis(100) && found < timeouts.attempt, "{found:?}");
    assert_eq!(fault.last("kinesis:DescribeStreamSummary", &stream)["injected"], json!(["delay"]));

    // Too slow for the client, and it takes effect all the same.
    fault.configure(json!({"rules": [{"op": "StartStreamEncryption", "delay_ms": 8000}]}));
    let failure = fault.encrypt(&stream, KEY).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class, failure.may_have_applied), ("Timeout", Class::Retryable, true));
    assert!(!is_encrypted(&stream));
    let end = Instant::now() + PATIENCE;
    while !is_encrypted(&stream) {
        assert!(Instant::now() < end, "it never took effect");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn connections_that_break_before_and_after_the_effect() {
    let fault = Fault::start(json!({})).await;
    for (when, applied) in [("before", false), ("after", true)] {
        let stream = plain("fault-drop");
        fault.configure(json!({"rules": [{"op": "kinesis:Start*", "stream": stream, "next": 1, "drop": when}]}));
        let failure = fault.encrypt(&stream, KEY).await.unwrap_err();
        let reported = (failure.code.as_str(), failure.class, failure.may_have_applied);
        assert_eq!(reported, ("NoAnswer", Class::Retryable, true), "{when}");
        assert_eq!(is_encrypted(&stream), applied, "{when}");
        let calls = fault.calls("kinesis:StartStreamEncryption", &stream);
        assert_eq!(calls.len(), 1, "nobody repeats a Start: {calls:?}");
        let expected = (json!([format!("drop:{when}")]), json!(applied), Value::Null);
        let call = &calls[0];
        assert_eq!((call["injected"].clone(), call["applied"].clone(), call["status"].clone()), expected);
    }
}

#[tokio::test]
async fn any_modelled_error_by_operation_and_for_the_next_calls() {
    let fault = Fault::start(json!({})).await;
    let stream = plain("fault-errors");
    let quota = json!({"error": "LimitExceededException", "message": "no more changes today"});
    for (action, class) in [
        (json!({"error": "AccessDeniedException"}), Class::Permanent(Permanent::Access)),
        (json!({"error": "InvalidArgumentException"}), Class::Permanent(Permanent::Request)),
        (json!({"error": "KMSAccessDeniedException"}), Class::Permanent(Permanent::Access)),
        (json!({"error": "KMSDisabledException"}), BAD_KEY),
        (json!({"error": "KMSInvalidStateException"}), BAD_KEY),
        (json!({"error": "KMSNotFoundException"}), BAD_KEY),
        (json!({"error": "KMSOptInRequired"}), Class::Permanent(Permanent::Access)),
        (json!({"error": "KMSThrottlingException"}), Class::Retryable),
        (json!({"error": "LimitExceededException"}), Class::Retryable),
        (quota, Class::Quota),
        (json!({"error": "ResourceInUseException"}), Class::Waiting),
        (json!({"error": "ResourceNotFoundException"}), Class::Ignored),
        (json!({"error": "InternalFailure"}), Class::Retryable),
        (json!({"error": "ServiceUnavailable"}), Class::Retryable),
        (json!({"error": "Whatever", "status": 418}), Class::Retryable),
    ] {
        let mut rule = action.clone();
        rule["op"] = json!("StartStreamEncryption");
        rule["next"] = json!(1);
        fault.configure(json!({"rules": [rule]}));
        let failure = fault.encrypt(&stream, KEY).await.unwrap_err();
        assert_eq!((json!(failure.code.as_str()), failure.class), (action["error"].clone(), class), "{failure}");
        let call = fault.last("kinesis:StartStreamEncryption", &stream);
        let faulty = matches!(failure.code.as_str(), "InternalFailure" | "ServiceUnavailable");
        assert_eq!(failure.may_have_applied, faulty, "{failure}");
        assert_eq!((&call["code"], &call["applied"]), (&action["error"], &json!(false)));
        assert_eq!(call["request_id"].as_str(), fault.log.calls().last().unwrap().request_id.as_deref());
        // Other operations are left alone.
        fault.describe(&stream).await.unwrap();
    }
    assert!(!is_encrypted(&stream));
    let rule = json!({"op": "Start*", "next": 1, "error": "InternalFailure", "after": true});
    fault.configure(json!({"rules": [rule]}));
    assert!(fault.encrypt(&stream, KEY).await.unwrap_err().may_have_applied);
    assert!(is_encrypted(&stream));
    parts().active(&stream);
    // The next one is spared.
    fault.encrypt(&stream, KEY).await.unwrap();
}

#[tokio::test]
async fn chance_comes_from_the_seed() {
    let fault = Fault::start(json!({})).await;
    // The dice know the stream by its name, so that a name of this process only would be another throw each time.
    let stream = "fault-dice".to_owned();
    parts().stream(&stream);
    parts().active(&stream);
    let mut patterns = Vec::new();
    for seed in [1, 1, 2] {
        let one_of = json!([{"error": "InternalFailure"}, {"error": "LimitExceededException"}]);
        fault.control("POST", "reset", &Value::Null);
        fault.configure(json!({"seed": seed, "rules": [{"op": "Describe*", "p": 0.3, "one_of": one_of}]}));
        for _ in 0..40 {
            let _ = fault.describe(&stream).await;
        }
        let calls = fault.calls("kinesis:DescribeStreamSummary", &stream);
        patterns.push(calls.iter().map(|call| call["injected"].clone()).collect::<Vec<_>>());
    }
    assert_eq!(patterns[0], patterns[1]);
    assert_ne!(patterns[0], patterns[2]);
    let hit = patterns[0].iter().filter(|injected| **injected != json!([])).count();
    assert!((4..=20).contains(&hit), "{hit} of 40");
    for kind in ["error:InternalFailure", "error:LimitExceededException"] {
        assert!(patterns[0].contains(&json!([kind])), "{kind}");
    }
}

#[tokio::test]
async fn rates_are_limited_for_the_whole_account() {
    let throttled = json!({"per_second": 2, "error": "ThrottlingException", "message": "Rate exceeded"});
    let fault =
        Fault::start(json!({"limits": {"kinesis:DescribeStreamSummary": 5, "kms:DescribeKey": throttled}})).await;
    let streams = [plain("fault-rate"), plain("fault-rate")];
    fault.advance(0);
    let mut refused = Vec::new();
    for round in 0..5 {
        for stream in &streams {
            refused.extend(fault.describe(stream).await.err().map(|failure| (round, failure)));
        }
    }
    // Whatever the stream, five at once and then five a second.
    assert_eq!(refused.len(), 5, "{refused:?}");
    for (_, failure) in &refused {
        let reported = (failure.code.as_str(), failure.class);
        assert_eq!(reported, ("LimitExceededException", Class::Retryable));
        assert_eq!(failure.message.as_str(), format!("Rate exceeded for account {ACCOUNT}"));
    }
    let (_, counters) = fault.control("GET", "counters", &Value::Null);
    assert_eq!(counters["kinesis:DescribeStreamSummary"]["injected"], json!({"limit": refused.len()}));
    fault.advance(300);
    fault.describe(&streams[0]).await.unwrap();
    fault.describe(&streams[0]).await.unwrap_err();

    let key = KeyRef::parse("alias/nobody").unwrap();
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(fault.aws.lookup(&key, &fault.log).await.err().map(|failure| failure.code.as_str().to_owned()));
    }
    assert_eq!(codes, [None, None, Some("ThrottlingException".to_owned())]);
}

#[tokio::test]
async fn a_limit_is_one_for_all_clients_and_every_call_is_counted() {
    let fault = Fault::start(json!({"limits": {"kinesis:DescribeStreamSummary": 20}})).await;
    let stream = arn(&plain("fault-shared"));
    let other = aws_as("AKIDOTHER", &fault.layer.url, Timeouts::default()).await;
    let (mut answered, mut calls) = (0, 0);
    let began = Instant::now();
    while calls < 60 {
        for aws in [&fault.aws, &other] {
            calls += 1;
            answered += usize::from(aws.describe(&stream, &fault.log).await.is_ok());
        }
    }
    // A second's worth at once, and then as many a second, for both together.
    let most = 20 + (began.elapsed().as_secs_f64() * 20.0).ceil() as usize;
    assert!((20..=most).contains(&answered), "{answered} of {calls}, at most {most}");
    let (_, counters) = fault.control("GET", "counters", &Value::Null);
    let counter = &counters["kinesis:DescribeStreamSummary"];
    assert_eq!((&counter["calls"], &counter["applied"]), (&json!(calls), &json!(answered)));
    let seconds = began.elapsed().as_secs() + 2;
    let busiest = counter["most_a_second"].as_u64().unwrap();
    assert!((60 / seconds..=60).contains(&busiest), "{busiest}, over at most {seconds} seconds");
}

#[tokio::test]
async fn streams_are_held_in_creating_and_updating() {
    let fault = Fault::start(json!({"hold": [
        {"stream": "fault-held-*", "creating_ms": 300_000, "updating_ms": [1500, 1600]},
        {"creating_ms": 600_000},
    ]}))
    .await;
    let stream = plain("fault-held");
    fault.advance(0);
    assert_eq!(fault.status(&stream).await, StreamStatus::Creating);
    let refused = fault.encrypt(&stream, KEY).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.class), ("ResourceInUseException", Class::Waiting));
    let call = fault.last("kinesis:StartStreamEncryption", &stream);
    assert_eq!((&call["injected"], &call["applied"]), (&json!(["hold:CREATING"]), &json!(false)));
    assert!(!is_encrypted(&stream));

    fault.advance(300_000);
    assert_eq!(fault.status(&stream).await, StreamStatus::Active);
    fault.encrypt(&stream, KEY).await.unwrap();
    parts().active(&stream);
    fault.advance(1_490);
    assert_eq!(fault.status(&stream).await, StreamStatus::Updating, "the emulator alone would be ACTIVE by now");
    assert_eq!(fault.encrypt(&stream, KEY).await.unwrap_err().class, Class::Waiting);
    // Records are taken meanwhile.
    fault.probe(&stream).await.unwrap();
    fault.advance(120);
    assert_eq!(fault.status(&stream).await, StreamStatus::Active);
    fault.encrypt(&stream, KEY).await.unwrap();

    // Another name falls under the other entry.
    assert_eq!(fault.status(&plain("fault-other")).await, StreamStatus::Creating);
}

#[tokio::test]
async fn records_are_plain_until_a_while_after_active() {
    let fault = Fault::start(json!({"lag": {"encryption_ms": 1500}})).await;
    let stream = plain("fault-lag");
    let since = Timestamp::now() - SignedDuration::from_secs(1);
    fault.advance(0);
    assert_eq!(fault.probe(&stream).await.unwrap(), None);
    fault.encrypt(&stream, KEY).await.unwrap();
    assert_eq!(fault.probe(&stream).await.unwrap(), None, "UPDATING");
    fault.active(&stream).await;
    assert_eq!(fault.probe(&stream).await.unwrap(), None, "just ACTIVE");
    assert_eq!(fault.last("kinesis:PutRecord", &stream)["injected"], json!(["lag:encryption"]));
    fault.advance(1_490);
    assert_eq!(fault.probe(&stream).await.unwrap(), None);
    fault.advance(20);
    assert_eq!(fault.probe(&stream).await.unwrap().as_deref(), Some("KMS"));
    // Who reads sees the same as who wrote.
    let first = fault.aws.read_back(&arn(&stream), ReadBack::Any(since), &fault.log).await.unwrap().unwrap();
    assert_eq!(first.encryption_type, None);
    // Also where the call names no stream: the one before the last was plain, the last one is not.
    let (_, shards) = fault.ask("Kinesis_20131202.ListShards", &json!({"StreamName": stream}));
    let from =
        json!({"StreamName": stream, "ShardId": shards["Shards"][0]["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
    let (_, place) = fault.ask("Kinesis_20131202.GetShardIterator", &from);
    let (_, read) = fault.ask("Kinesis_20131202.GetRecords", &json!({"ShardIterator": place["ShardIterator"]}));
    let types: Vec<_> =
        read["Records"].as_array().unwrap().iter().map(|record| record["EncryptionType"].as_str()).collect();
    assert_eq!(types, [None, None, None, None, Some("KMS")]);

    // From one key to another nothing is ever plain.
    fault.encrypt(&stream, &KEY.replace('b', "c")).await.unwrap();
    fault.active(&stream).await;
    assert_eq!(fault.probe(&stream).await.unwrap().as_deref(), Some("KMS"));
}

#[tokio::test]
async fn describes_lag_behind_changes() {
    let fault = Fault::start(json!({"lag": {"describe_ms": 1500}})).await;
    let stream = unique("fault-stale");
    fault.advance(0);
    let end = Instant::now() + PATIENCE;
    // Five may be CREATING at once, of all tests together.
    while fault.ask("Kinesis_20131202.CreateStream", &json!({"StreamName": stream, "ShardCount": 1})).0 != 200 {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let failure = fault.describe(&stream).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.class), ("ResourceNotFoundException", Class::Ignored));
    fault.advance(1_490);
    fault.describe(&stream).await.unwrap_err();
    fault.advance(20);
    fault.active(&stream).await;

    fault.encrypt(&stream, KEY).await.unwrap();
    let stale = fault.describe(&stream).await.unwrap();
    assert_eq!((stale.status, stale.encryption), (StreamStatus::Active, Encryption::None));
    assert_eq!(fault.last("kinesis:DescribeStreamSummary", &stream)["injected"], json!(["lag:describe"]));
    fault.advance(1_510);
    fault.active(&stream).await;
    assert_eq!(fault.describe(&stream).await.unwrap().encryption, Encryption::Kms(KeyRef::parse(KEY).unwrap()));
}

#[tokio::test]
async fn a_stream_has_its_quota_of_key_changes() {
    let fault = Fault::start(json!({"start_quota": 2, "hold": [{"updating_ms": 1000}]})).await;
    let [spent, other] = [plain("fault-quota"), plain("fault-quota")];
    fault.advance(0);
    for change in 0..2 {
        fault.encrypt(&spent, KEY).await.unwrap_or_else(|failure| panic!("{change}: {failure}"));
        // Refused calls do not count.
        assert_eq!(fault.encrypt(&spent, KEY).await.unwrap_err().class, Class::Waiting);
        fault.advance(1_000);
        fault.active(&spent).await;
    }
    let failure = fault.encrypt(&spent, KEY).await.unwrap_err();
    let words =
        recorded("kinesis-errors", "quota-of-24-hours")["body"]["message"].as_str().unwrap().replace("orders", &spent);
    let reported = (failure.code.as_str(), failure.message.as_str(), failure.class);
    assert_eq!(reported, ("LimitExceededException", &*words, Class::RateOrQuota));
    assert_eq!(fault.last("kinesis:StartStreamEncryption", &spent)["injected"], json!(["quota"]));
    fault.encrypt(&other, KEY).await.unwrap();
    // The quota is the name's: a stream that is made anew has none of its own.
    let made_anew = plain("fault-quota-anew");
    for key in [KEY, &KEY.replace('b', "c")] {
        fault.encrypt(&made_anew, key).await.unwrap();
        fault.advance(1_000);
        fault.active(&made_anew).await;
    }
    fault.advance(1_000);
    assert_eq!(fault.ask("Kinesis_20131202.DeleteStream", &json!({"StreamName": made_anew})).0, 200);
    let end = Instant::now() + PATIENCE;
    while parts().kinesis("DescribeStreamSummary", json!({"StreamName": made_anew})).is_ok() {
        assert!(Instant::now() < end);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let body = json!({"StreamName": made_anew, "ShardCount": 1});
    assert_eq!(fault.ask("Kinesis_20131202.CreateStream", &body).0, 200);
    parts().active(&made_anew);
    assert_eq!(fault.encrypt(&made_anew, KEY).await.unwrap_err().code.as_str(), "LimitExceededException");
    // They come back 24 hours after each was made; the second was made a second later.
    fault.advance(24 * 3_600_000 - 4_500);
    fault.encrypt(&spent, KEY).await.unwrap();
    fault.advance(1_000);
    fault.active(&spent).await;
    fault.encrypt(&spent, KEY).await.unwrap();
}

#[tokio::test]
async fn keys_refuse_by_their_state_in_kms() {
    let fault = Fault::start(json!({"key_states": true})).await;
    let stream = plain("fault-keys");
    let key = |what: &str| {
        let arn = parts().key(&format!("alias/{}", unique("fault-key")));
        match what {
            "disabled" => parts().kms("DisableKey", json!({"KeyId": arn})),
            "deleted" => parts().kms("ScheduleKeyDeletion", json!({"KeyId": arn, "PendingWindowInDays": 7})),
            _ => Value::Null,
        };
        arn
    };
    let good = key("enabled");
    for (key, code) in [
        (key("disabled"), "KMSDisabledException"),
        (key("deleted"), "KMSInvalidStateException"),
        (KEY.to_owned(), "KMSNotFoundException"),
    ] {
        let failure = fault.encrypt(&stream, &key).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.class), (code, BAD_KEY));
    }
    assert_eq!(fault.probe(&stream).await.unwrap(), None, "no key is asked about a plain stream");
    fault.encrypt(&stream, &good).await.unwrap();
    fault.active(&stream).await;
    assert_eq!(fault.probe(&stream).await.unwrap().as_deref(), Some("KMS"));

    parts().kms("DisableKey", json!({"KeyId": good}));
    assert_eq!(fault.probe(&stream).await.unwrap_err().code.as_str(), "KMSDisabledException");
    assert_eq!(fault.last("kinesis:PutRecord", &stream)["injected"], json!(["key:Disabled"]));
    parts().kms("EnableKey", json!({"KeyId": good}));
    fault.probe(&stream).await.unwrap();

    // The emulator of KMS does not make AWS's own key on first use, as AWS does.
    fault.aws.start_encryption(&arn(&stream), &KeyIdentity::AwsManagedAlias, &fault.log).await.unwrap();
}

/// LookupEvents, all pages.
fn look_up(fault: &Fault, body: &Value) -> Vec<Value> {
    let mut events = Vec::new();
    let mut body = body.clone();
    loop {
        let (_, mut page) = fault.ask("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents", &body);
        events.extend(page["Events"].as_array().unwrap().iter().cloned());
        match page["NextToken"].take() {
            Value::Null => return events,
            token => body["NextToken"] = token,
        }
    }
}

#[tokio::test]
async fn cloudtrail_reports_the_changes_it_saw() {
    let (ours, theirs) = ("arn:aws:iam::111122223333:role/streamseal", "arn:aws:iam::111122223333:role/terraform");
    let roles = json!({"AKIDOURS": ours, "AKIDTHEIRS": theirs});
    let fault =
        Fault::start(json!({"trail": {"roles": roles, "lag_ms": 3_600_000}, "hold": [{"updating_ms": 1000}]})).await;
    let stream = plain("fault-trail");
    fault.advance(0);
    let other = aws_as("AKIDTHEIRS", &fault.layer.url, Timeouts::default()).await;
    fault.encrypt(&stream, KEY).await.unwrap();
    let key = KeyIdentity::Arn(KeyArn::parse(KEY).unwrap());
    // Refused while UPDATING: recorded all the same.
    other.start_encryption(&arn(&stream), &key, &fault.log).await.unwrap_err();
    fault.advance(1_000);
    fault.active(&stream).await;
    other.start_encryption(&arn(&stream), &key, &fault.log).await.unwrap();
    fault.probe(&stream).await.unwrap();

    let by_name = json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "StartStreamEncryption"}], "MaxResults": 2});
    // Times are reported in whole seconds, so that the lag counts from up to a second before the first call.
    fault.advance(3_598_000);
    assert_eq!(look_up(&fault, &by_name), [] as [Value; 0], "the history lags");
    fault.advance(2_000);
    let events = look_up(&fault, &by_name);
    let records: Vec<Value> =
        events.iter().map(|event| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap()).collect();
    let role = |record: &Value| record["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"].clone();
    let reported: Vec<_> = records.iter().map(|record| (role(record), record["errorCode"].clone())).collect();
    let expected = [(theirs, Value::Null), (theirs, json!("ResourceInUseException")), (ours, Value::Null)];
    assert_eq!(reported, expected.map(|(role, code)| (json!(role), code)), "the newest first");
    for (event, record) in events.iter().zip(&records) {
        assert_eq!(event["EventName"], "StartStreamEncryption");
        assert_eq!(event["Resources"][0]["ResourceName"], arn(&stream).to_string(), "as it was named");
        assert_eq!(event["Resources"][1]["ResourceName"], KEY);
        assert_eq!(record["requestParameters"]["streamARN"], arn(&stream).to_string());
        assert_eq!((&record["eventSource"], &record["eventID"]), (&json!("kinesis.amazonaws.com"), &event["EventId"]));
    }
    let of =
        |resource: &str| json!({"LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": resource}]});
    assert_eq!(look_up(&fault, &of(&arn(&stream).to_string())).len(), 3, "neither reads nor records are in it");
    assert_eq!(look_up(&fault, &of(&stream)), [] as [Value; 0], "nobody named it by its name");
    let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
    let [starts, _] = Query::ALL;
    let changes = fault.aws.trail_page(&starts, hour_ago, None, &fault.log).await.unwrap().changes;
    let reported: Vec<_> = changes.iter().map(|c| (c.kind, c.stream.as_str(), c.role.as_deref())).collect();
    let start = |role| (ChangeKind::Start, stream.as_str(), Some(role));
    assert_eq!(reported, [start(theirs), start(ours)], "the adapter leaves out what was refused");
    let later = json!({"StartTime": Timestamp::now().as_second() + 7_200});
    assert_eq!(look_up(&fault, &later), [] as [Value; 0]);
}

#[tokio::test]
async fn lists_of_streams_have_pages_with_tokens() {
    let fault = Fault::start(json!({"list_streams_page": 2})).await;
    let mut wanted: Vec<String> = (0..5).map(|_| plain("fault-page")).collect();
    let (mut names, mut token) = (Vec::new(), Value::Null);
    loop {
        let body = if token.is_null() { json!({}) } else { json!({"NextToken": token}) };
        let (_, mut page) = fault.ask("Kinesis_20131202.ListStreams", &body);
        let found = page["StreamNames"].as_array().unwrap();
        assert!(found.len() <= 2);
        names.extend(found.iter().map(|name| name.as_str().unwrap().to_owned()));
        token = page["NextToken"].take();
        assert_eq!(token.is_null(), page["HasMoreStreams"] == false);
        if token.is_null() {
            break;
        }
    }
    names.retain(|name| wanted.contains(name));
    wanted.sort();
    assert_eq!(names, wanted, "each once");
    // The adapter sees the same; and from the emulator itself, which takes a name for a place.
    let (mut names, mut next) = (Vec::new(), Some(PageStart::Beginning));
    while let Some(from) = next {
        let page = fault.aws.list(&from, &fault.log).await.unwrap();
        names.extend(page.names.iter().map(ToString::to_string));
        next = page.next;
    }
    names.retain(|name| wanted.contains(name));
    assert_eq!(names, wanted, "each once");
    fault.configure(json!({}));
    let after = PageStart::After(arn(&wanted[2]).name);
    let page = fault.aws.list(&after, &fault.log).await.unwrap();
    let names: Vec<String> = page.names.iter().map(ToString::to_string).filter(|name| wanted.contains(name)).collect();
    assert_eq!(names, wanted[3..]);
}

/// All pages of ListStreams: names, and summaries where there are any.
fn list(fault: &Fault) -> (Vec<String>, Vec<Value>) {
    let (mut names, mut summaries, mut from) = (Vec::new(), Vec::new(), json!({}));
    loop {
        let (_, page) = fault.ask("Kinesis_20131202.ListStreams", &from);
        names.extend(page["StreamNames"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()));
        summaries.extend(page["StreamSummaries"].as_array().into_iter().flatten().cloned());
        if page["HasMoreStreams"] == false {
            return (names, summaries);
        }
        from = json!({"ExclusiveStartStreamName": names.last()});
    }
}

#[tokio::test]
async fn lists_of_streams_have_summaries_where_asked_for() {
    let fault = Fault::start(json!({})).await;
    let stream = plain("fault-brief");
    assert_eq!(list(&fault).1, [] as [Value; 0], "the emulator has none");
    fault.configure(json!({"list_streams_summaries": true, "hold": [{"stream": stream, "creating_ms": 600_000}]}));
    let (_, summaries) = list(&fault);
    let summary = summaries.iter().find(|summary| summary["StreamName"] == json!(stream)).unwrap();
    let created = parts().describe(&stream)["StreamCreationTimestamp"].as_f64().unwrap().floor();
    let expected = json!({
        "StreamName": stream, "StreamARN": arn(&stream).to_string(), "StreamStatus": "CREATING",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "StreamCreationTimestamp": created,
    });
    assert_eq!(summary, &expected);
    fault.configure(json!({"list_streams_page": 100}));
}

#[tokio::test]
async fn streams_seem_older_than_they_are() {
    let (old, young) = (plain("fault-old"), plain("fault-young"));
    let aged = json!([{"stream": old, "by_s": 7200}]);
    let fault = Fault::start(json!({"aged": aged, "hold": [{"creating_ms": 600_000}]})).await;
    assert_eq!(fault.status(&old).await, StreamStatus::Creating, "how long it is held goes by its true age");
    fault.configure(json!({"aged": aged, "list_streams_summaries": true}));
    let created = |stream: &str| parts().describe(stream)["StreamCreationTimestamp"].as_f64().unwrap();
    for (stream, by) in [(&old, 7200.0), (&young, 0.0)] {
        let name = json!({"StreamName": stream});
        let (_, summary) = fault.ask("Kinesis_20131202.DescribeStreamSummary", &name);
        let (_, description) = fault.ask("Kinesis_20131202.DescribeStream", &name);
        let (_, summaries) = list(&fault);
        let listed = summaries.iter().find(|summary| summary["StreamName"] == json!(stream)).unwrap();
        for described in [&summary["StreamDescriptionSummary"], &description["StreamDescription"], listed] {
            let seems = described["StreamCreationTimestamp"].as_f64().unwrap();
            assert_eq!(seems, (created(stream) - by).floor(), "{stream}: {described}");
        }
    }
    // What is so old as to be from before a change is so too.
    fault.configure(json!({"aged": [{"by_s": 60}], "lag": {"describe_ms": 600_000}}));
    fault.encrypt(&young, KEY).await.unwrap();
    let stale = fault.describe(&young).await.unwrap();
    assert_eq!(stale.encryption, Encryption::None);
    assert_eq!(stale.created.as_second(), (created(&young) - 60.0).floor() as i64);
}

#[tokio::test]
async fn tags_of_many_streams_are_answered_at_once() {
    const GET: &str = "ResourceGroupsTaggingAPI_20170126.GetResources";
    let fault = Fault::start(json!({"tagging": true})).await;
    let [blue, plain_one] = [plain("fault-tags"), plain("fault-tags")];
    // More than Kinesis reports at once.
    let tags: Vec<(String, String)> = (0..12).map(|n| (format!("key-{n:02}"), format!("value {n}"))).collect();
    for some in tags.chunks(5) {
        let tags: Value = some.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
        parts().kinesis("AddTagsToStream", json!({"StreamName": blue, "Tags": tags})).unwrap();
    }
    let unknown = unique("fault-tags-unknown");
    let arns: Vec<String> = [&blue, &plain_one, &unknown].map(|stream| arn(stream).to_string()).into();
    let foreign = arn(&blue).to_string().replace(ACCOUNT, "999999999999");
    let body = json!({"ResourceARNList": [arns[0], arns[1], arns[2], foreign]});
    let (status, answer) = fault.ask(GET, &body);
    let expected: Vec<Value> = tags.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect();
    let found = json!([{"ResourceARN": arns[0], "Tags": expected}]);
    assert_eq!((status, &answer["ResourceTagMappingList"]), (200, &found), "{answer}");
    assert_eq!(fault.last("tag:GetResources", "*")["by"], "AKIDOTHER");
    let reported = fault.aws.tags_of(&[arn(&plain_one), arn(&blue)], &fault.log).await.unwrap();
    assert_eq!(reported, [(arn(&blue).name, tags.iter().cloned().collect())].into());
    assert_eq!(fault.calls("kinesis:*", "*"), [] as [Value; 0], "what the layer asks itself is nobody's call");

    let too_many = vec![&arns[0]; 101];
    for wrong in [json!({}), json!({"ResourceARNList": too_many}), json!({"ResourceARNList": arns, "TagFilters": []})] {
        let (status, answer) = fault.ask(GET, &wrong);
        assert_eq!((status, &answer["__type"]), (400, &json!("InvalidParameterException")), "{wrong}");
    }
    // Like any other call it is limited and fails; and without the switch it is the other emulator's, who knows no such stream.
    let fails = json!({"op": "tag:*", "error": "ThrottledException"});
    fault.configure(json!({"tagging": true, "rules": [fails]}));
    assert_eq!(fault.ask(GET, &body).1["__type"], "ThrottledException");
    let none = json!({"per_second": 0, "error": "InternalServiceException"});
    fault.configure(json!({"tagging": true, "limits": {"tag:GetResources": none}}));
    assert_eq!(fault.ask(GET, &body).1["__type"], "InternalServiceException");
    fault.configure(json!({}));
    assert_eq!(fault.ask(GET, &body).1["ResourceTagMappingList"], json!([]));
}

#[tokio::test]
async fn other_services_meet_faults_too() {
    let queue = parts().sqs("CreateQueue", json!({"QueueName": unique("fault-queue")}))["QueueUrl"].take();
    let lost = json!({"op": "sqs:SendMessage", "next": 1, "drop": "after"});
    let fault = Fault::start(json!({"rules": [lost]})).await;
    let connection =
        Connection { region: Some(REGION.into()), endpoint: Some(fault.layer.url.clone()), ..Connection::default() };
    let credentials = SharedCredentialsProvider::new(Credentials::new("AKIDOURS", "secret", None, None, "test"));
    let sdk = sdk_config(&connection).await.into_builder().credentials_provider(credentials).build();
    let scope = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    let aws = Aws::new(&sdk, scope, Queues { work: queue.as_str().map(str::to_owned), scans: None });
    let event = create_event("fault-queue");
    let cause = serde_json::from_value(json!({"call": "CreateStream", "event_id": event["id"]})).unwrap();
    aws.send(&Work::new(arn("fault-queue"), cause, Timestamp::now()), Duration::ZERO).await.unwrap();
    // The lost answer made the SDK send it twice: at least once is what a queue promises.
    let calls = fault.calls("sqs:SendMessage", "*");
    assert_eq!(calls.iter().map(|call| call["applied"] == true).collect::<Vec<_>>(), [true, true]);
    assert_eq!(calls[0]["id"], calls[1]["id"], "one call of the client, two requests");
    let asked =
        json!({"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"], "MaxNumberOfMessages": 10});
    let received = parts().sqs("ReceiveMessage", asked);
    assert_eq!(received["Messages"].as_array().unwrap().len(), 2);
}
