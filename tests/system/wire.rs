//! The adapters on the wire: the real SDK clients over loopback HTTP against scripted answers.
//!
//! Each AWS error code to its class, requests as intended, one request where one is meant. No AWS, no emulator.
#![cfg(test)]

pub(crate) mod cbor;
mod connections;
mod observed;
mod results;
mod scans;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use streamseal::aws::{Aws, Queues, Timeouts};
use streamseal::cli::connect::{Connection, sdk_config};
use streamseal::config::Source;
use streamseal::domain::arn::{KeyArn, KeyRef, Scope, StreamArn};
use streamseal::domain::cause::Cause;
use streamseal::domain::failure::{Class, Failure, Fault};
use streamseal::domain::model::{
    Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem, StreamStatus, Tags,
};
use streamseal::domain::probe::{PROBE_DATA, PROBE_HASH, PROBE_PARTITION_KEY};
use streamseal::domain::text::EventText;
use streamseal::domain::work::Work;
use streamseal::ports::{
    CallLog, Clock, FleetApi, KeyApi, PageStart, ParameterApi, ReadBack, ReadRecord, StreamApi, TrailApi, WorkQueue,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use wiremock::matchers::{body_partial_json, header};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use crate::support::PATIENCE;

const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const QUEUE: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/work";
const SCANS: &str = "https://sqs.eu-west-1.amazonaws.com/111122223333/scans.fifo";

const ACCESS: Class = Class::Permanent(Fault::Access);
const CREDENTIALS: Class = Class::Permanent(Fault::Credentials);
const BAD_KEY: Class = Class::Permanent(Fault::Key);
const BAD_REQUEST: Class = Class::Permanent(Fault::Request);

fn scope() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

fn stream() -> StreamArn {
    StreamArn::parse(STREAM).unwrap()
}

fn key() -> KeyIdentity {
    KeyIdentity::Arn(KeyArn::parse(KEY).unwrap())
}

fn key_ref(text: &str) -> KeyRef {
    KeyRef::parse(text).unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The adapter, as it is built in production but for the credentials.
async fn aws_at(endpoint: &str, timeouts: Timeouts) -> Aws {
    aws_of(scope(), endpoint, timeouts).await
}

async fn aws_of(scope: Scope, endpoint: &str, timeouts: Timeouts) -> Aws {
    aws_with(scope, Connection { endpoint: Some(endpoint.to_owned()), timeouts, ..Connection::default() }).await
}

async fn aws_with(scope: Scope, connection: Connection) -> Aws {
    let connection = Connection { region: Some("eu-west-1".to_owned()), ..connection };
    let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
    let sdk = sdk_config(&connection).await;
    let sdk = sdk.into_builder().credentials_provider(SharedCredentialsProvider::new(credentials)).build();
    Aws::new(&sdk, scope, queues())
}

fn queues() -> Queues {
    Queues { work: Some(QUEUE.to_owned()), scans: Some(SCANS.to_owned()) }
}

/// A server with a script, and the adapter that talks to it.
struct Wire {
    server: MockServer,
    aws: Aws,
    log: CallLog,
}

impl Wire {
    async fn start() -> Self {
        Self::with_timeouts(Timeouts::default()).await
    }

    async fn with_timeouts(timeouts: Timeouts) -> Self {
        let server = MockServer::start().await;
        let aws = aws_at(&server.uri(), timeouts).await;
        Self { server, aws, log: CallLog::default() }
    }

    /// Forgets script and log; connections stay.
    async fn reset(&mut self) {
        self.server.reset().await;
        self.log = CallLog::default();
    }

    /// The next answer to `operation`; answers are used up in order.
    async fn then(&self, operation: &str, answer: ResponseTemplate) {
        Mock::given(header("x-amz-target", target(operation)))
            .respond_with(answer)
            .up_to_n_times(1)
            .mount(&self.server)
            .await;
    }

    /// The answer to every further request of `operation`.
    async fn always(&self, operation: &str, answer: impl Respond + 'static) {
        Mock::given(header("x-amz-target", target(operation))).respond_with(answer).mount(&self.server).await;
    }

    /// The answer to every further request of `operation` whose body has what `part` has.
    async fn always_for(&self, operation: &str, part: Value, answer: ResponseTemplate) {
        Mock::given(header("x-amz-target", target(operation)))
            .and(body_partial_json(part))
            .respond_with(answer)
            .mount(&self.server)
            .await;
    }

    /// The bodies of all requests of `operation`, in order.
    async fn requests(&self, operation: &str) -> Vec<Value> {
        let all = self.server.received_requests().await.unwrap();
        let ours = all.iter().filter(|request| request.headers["x-amz-target"] == target(operation));
        ours.map(|request| request.body_json().unwrap()).collect()
    }

    /// How many requests there were in all.
    async fn count(&self) -> usize {
        self.server.received_requests().await.unwrap().len()
    }
}

fn target(operation: &str) -> String {
    let service = match operation {
        "DescribeKey" => "TrentService",
        "GetParameter" => "AmazonSSM",
        "SendMessage" => "AmazonSQS",
        "GetResources" => "ResourceGroupsTaggingAPI_20170126",
        "LookupEvents" => "CloudTrail_20131101",
        "PutEvents" => "AWSEvents",
        _ => "Kinesis_20131202",
    };
    format!("{service}.{operation}")
}

fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).insert_header("x-amzn-requestid", "req-ok").set_body_json(body)
}

fn error(status: u16, code: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("x-amzn-requestid", "req-error")
        .set_body_json(json!({ "__type": code, "message": message }))
}

fn summary(more: Value) -> Value {
    let mut summary = json!({
        "StreamName": "orders", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1_786_104_000.123, "EnhancedMonitoring": [], "OpenShardCount": 1
    });
    summary.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "StreamDescriptionSummary": summary })
}

fn shard(id: &str, first: u128, last: u128, open: bool) -> Value {
    let mut range = json!({ "StartingSequenceNumber": "1" });
    if !open {
        range["EndingSequenceNumber"] = json!("2");
    }
    let keys = json!({ "StartingHashKey": first.to_string(), "EndingHashKey": last.to_string() });
    json!({ "ShardId": id, "HashKeyRange": keys, "SequenceNumberRange": range })
}

fn record(sequence: &str, key: &str, arrival: f64) -> Value {
    json!({
        "SequenceNumber": sequence, "PartitionKey": key, "Data": "c2VjcmV0", "EncryptionType": "KMS",
        "ApproximateArrivalTimestamp": arrival
    })
}

fn records(records: &[Value], behind: i64, next: Option<&str>) -> ResponseTemplate {
    let mut body = json!({ "Records": records, "MillisBehindLatest": behind });
    if let Some(next) = next {
        body["NextShardIterator"] = json!(next);
    }
    ok(body)
}

// --- errors -------------------------------------------------------------------------------------------------------------

/// A port's method with all that stands before its last request.
#[derive(Clone, Copy, Debug)]
enum Port {
    Describe,
    Tags,
    Start,
    Probe,
    Shards,
    Iterator,
    Records,
    Key,
    List,
}

impl Port {
    const ALL: [Self; 9] = [
        Self::Describe,
        Self::Tags,
        Self::Start,
        Self::Probe,
        Self::Shards,
        Self::Iterator,
        Self::Records,
        Self::Key,
        Self::List,
    ];

    fn operation(self) -> &'static str {
        match self {
            Self::Describe => "DescribeStreamSummary",
            Self::Tags => "ListTagsForStream",
            Self::Start => "StartStreamEncryption",
            Self::Probe => "PutRecord",
            Self::Shards => "ListShards",
            Self::Iterator => "GetShardIterator",
            Self::Records => "GetRecords",
            Self::Key => "DescribeKey",
            Self::List => "ListStreams",
        }
    }

    fn call(self) -> String {
        let service = if matches!(self, Self::Key) { "kms" } else { "kinesis" };
        format!("{service}:{}", self.operation())
    }

    fn is_write(self) -> bool {
        matches!(self, Self::Start | Self::Probe)
    }

    /// Answers what comes before the request that the row is about.
    async fn prepare(self, wire: &Wire) {
        if matches!(self, Self::Iterator | Self::Records) {
            wire.always("ListShards", ok(json!({ "Shards": [shard("shardId-0", 0, u128::MAX, true)] }))).await;
        }
        if matches!(self, Self::Records) {
            wire.always("GetShardIterator", ok(json!({ "ShardIterator": "it" }))).await;
        }
    }

    async fn run(self, aws: &Aws, log: &CallLog) -> Result<(), Failure> {
        let stream = stream();
        match self {
            Self::Describe => aws.describe(&stream, log).await.map(drop),
            Self::Tags => aws.tags(&stream, log).await.map(drop),
            Self::Start => aws.start_encryption(&stream, &key(), log).await,
            Self::Probe => aws.put_probe(&stream, log).await.map(drop),
            Self::Shards | Self::Iterator | Self::Records => {
                aws.read_back(&stream, ReadBack::Any(time("2026-08-07T12:00:00Z")), log).await.map(drop)
            }
            Self::Key => aws.lookup(&key_ref("alias/x"), log).await.map(drop),
            Self::List => aws.list(&PageStart::Beginning, log).await.map(drop),
        }
    }
}

/// `answer` to the last request of `port`: its class and code, and that nothing was sent twice.
async fn check(wire: &mut Wire, port: Port, answer: impl Respond + 'static, class: Class, code: &str) -> Failure {
    wire.reset().await;
    port.prepare(wire).await;
    wire.always(port.operation(), answer).await;
    let failure = port.run(&wire.aws, &wire.log).await.expect_err(code);
    let name = format!("{port:?} {code}: {failure:?}");
    assert_eq!(failure.class, class, "{name}");
    assert_eq!(failure.code.as_str(), code, "{name}");
    assert_eq!(failure.call, port.call(), "{name}");
    assert_eq!(wire.requests(port.operation()).await.len(), 1, "one request: {name}");
    let last = wire.log.calls().pop().expect("the call is in the log");
    assert_eq!(last.call, port.call(), "{name}");
    assert_eq!(last.error.as_ref(), Some(&failure), "{name}");
    assert_eq!(wire.log.calls().len(), wire.count().await, "the log has what was on the wire: {name}");
    failure
}

/// Every code that a service answers with, and what it means. Status 500 where the service's model says fault.
#[tokio::test]
async fn each_error_code_has_its_class() {
    use Port::{Describe, Iterator, Key, List, Probe, Records, Shards, Start, Tags};
    const RATE: &str = "Rate exceeded for account 111122223333.";
    let rows: &[(Port, u16, &str, &str, Class)] = &[
        // The eleven of StartStreamEncryption.
        (Start, 400, "AccessDeniedException", "not authorized", ACCESS),
        (Start, 400, "InvalidArgumentException", "Encryption type cannot be NONE.", BAD_REQUEST),
        (Start, 400, "KMSAccessDeniedException", "no access to the key", ACCESS),
        (Start, 400, "KMSDisabledException", "the key is disabled", BAD_KEY),
        (Start, 400, "KMSInvalidStateException", "pending deletion", BAD_KEY),
        (Start, 400, "KMSNotFoundException", "no such key", BAD_KEY),
        (Start, 400, "KMSOptInRequired", "needs a subscription", ACCESS),
        (Start, 400, "KMSThrottlingException", "slow down", Class::Retryable),
        (Start, 400, "LimitExceededException", RATE, Class::Retryable),
        (Start, 400, "LimitExceededException", "25 changes in 24 hours", Class::Quota),
        (Start, 400, "LimitExceededException", "", Class::Quota),
        (Start, 400, "LimitExceededException", "The limit: Rate exceeded", Class::Quota),
        (Start, 400, "ResourceInUseException", "not ACTIVE", Class::Waiting),
        (Start, 400, "ResourceNotFoundException", "no such stream", Class::Ignored),
        // Its faults and the common errors.
        (Start, 500, "InternalFailure", "", Class::Retryable),
        (Start, 503, "ServiceUnavailable", "", Class::Retryable),
        (Start, 400, "ThrottlingException", RATE, Class::Retryable),
        (Start, 400, "UnrecognizedClientException", "the token is invalid", CREDENTIALS),
        (Start, 400, "InvalidSignatureException", "does not match", CREDENTIALS),
        (Start, 400, "ExpiredTokenException", "the token is expired", Class::Expired),
        (Start, 400, "ValidationException", "1 validation error", BAD_REQUEST),
        (Start, 400, "NeverHeardOfException", "new in 2031", Class::Retryable),
        // PutRecord.
        (Probe, 400, "KMSAccessDeniedException", "not authorized to perform: kms:GenerateDataKey", ACCESS),
        (Probe, 400, "KMSDisabledException", "", BAD_KEY),
        (Probe, 400, "KMSInvalidStateException", "", BAD_KEY),
        (Probe, 400, "KMSNotFoundException", "", BAD_KEY),
        (Probe, 400, "KMSOptInRequired", "", ACCESS),
        (Probe, 400, "KMSThrottlingException", "", Class::Retryable),
        (Probe, 400, "ProvisionedThroughputExceededException", RATE, Class::Retryable),
        (Probe, 400, "AccessDeniedException", "", ACCESS),
        (Probe, 400, "ResourceNotFoundException", "", Class::Ignored),
        (Probe, 400, "InvalidArgumentException", "", BAD_REQUEST),
        (Probe, 500, "InternalFailureException", "", Class::Retryable),
        // GetRecords and what comes before it.
        (Records, 400, "KMSAccessDeniedException", "not authorized to decrypt records", ACCESS),
        (Records, 400, "KMSDisabledException", "", BAD_KEY),
        (Records, 400, "KMSInvalidStateException", "", BAD_KEY),
        (Records, 400, "KMSNotFoundException", "", BAD_KEY),
        (Records, 400, "KMSOptInRequired", "", ACCESS),
        (Records, 400, "KMSThrottlingException", "", Class::Retryable),
        (Records, 400, "ProvisionedThroughputExceededException", "", Class::Retryable),
        (Records, 400, "ExpiredIteratorException", "", Class::Retryable),
        (Records, 400, "AccessDeniedException", "", ACCESS),
        (Records, 500, "InternalFailureException", "", Class::Retryable),
        (Shards, 400, "LimitExceededException", RATE, Class::Retryable),
        (Shards, 400, "ResourceInUseException", "", Class::Waiting),
        (Iterator, 400, "ProvisionedThroughputExceededException", "", Class::Retryable),
        // The reads: here a limit is always a rate.
        (Describe, 400, "LimitExceededException", RATE, Class::Retryable),
        (Describe, 400, "LimitExceededException", "something else", Class::Retryable),
        (Describe, 400, "ResourceNotFoundException", "", Class::Ignored),
        (Describe, 400, "AccessDeniedException", "", ACCESS),
        (Describe, 400, "InvalidArgumentException", "", BAD_REQUEST),
        (Describe, 400, "ThrottlingException", "", Class::Retryable),
        (Tags, 400, "LimitExceededException", RATE, Class::Retryable),
        (Tags, 400, "ResourceNotFoundException", "", Class::Ignored),
        (Tags, 400, "AccessDeniedException", "", ACCESS),
        (List, 400, "LimitExceededException", RATE, Class::Retryable),
        (List, 400, "LimitExceededException", "too many at once", Class::Retryable),
        (List, 400, "ExpiredNextTokenException", "the token is expired", Class::Retryable),
        (List, 400, "InvalidArgumentException", "", BAD_REQUEST),
        (List, 400, "AccessDeniedException", "", ACCESS),
        // KMS; what it does not know or does not say is an answer, see `keys_are_looked_up`.
        (Key, 400, "InvalidArnException", "", BAD_REQUEST),
        (Key, 400, "ThrottlingException", "", Class::Retryable),
        (Key, 500, "DependencyTimeoutException", "", Class::Retryable),
        (Key, 500, "KMSInternalException", "", Class::Retryable),
    ];
    let mut wire = Wire::start().await;
    for &(port, status, code, message, class) in rows {
        let failure = check(&mut wire, port, error(status, code, message), class, code).await;
        assert_eq!(failure.message.as_str(), message, "{port:?} {code}");
        assert_eq!(failure.may_have_applied, port.is_write() && status >= 500, "{port:?} {code}");
        let call = wire.log.calls().pop().unwrap();
        assert_eq!(call.request_id.as_deref(), Some("req-error"), "{port:?} {code}");
    }
}

/// Codes come with a namespace too, in the body or in the header.
#[tokio::test]
async fn error_codes_are_read_wherever_they_stand() {
    let mut wire = Wire::start().await;
    let spelled = error(400, "com.amazonaws.kinesis.v20131202#ResourceInUseException", "");
    check(&mut wire, Port::Start, spelled, Class::Waiting, "ResourceInUseException").await;
    let headed = ResponseTemplate::new(400)
        .insert_header("x-amzn-errortype", "KMSDisabledException:http://internal.amazon.com/coral/")
        .set_body_json(json!({ "message": "off" }));
    check(&mut wire, Port::Start, headed, BAD_KEY, "KMSDisabledException").await;
}

#[tokio::test]
async fn an_answer_without_a_code_is_retryable_and_may_have_applied() {
    let mut wire = Wire::start().await;
    let html = "<html>upstream is down</html>";
    let answers = [
        ResponseTemplate::new(500),
        ResponseTemplate::new(503),
        ResponseTemplate::new(500).set_body_string(html),
        ResponseTemplate::new(503).set_body_json(json!({})),
        ResponseTemplate::new(502).set_body_json(json!({ "message": "bad gateway" })),
        ResponseTemplate::new(404),
    ];
    // A page that no service of AWS sends; a fault from 500 on may pass, whoever sends it.
    let page = (ResponseTemplate::new(403).set_body_string(html), "NotAws");
    for (answer, code) in answers.into_iter().map(|answer| (answer, "Unreadable")).chain([page]) {
        for port in Port::ALL {
            let failure = check(&mut wire, port, answer.clone(), Class::Retryable, code).await;
            assert_eq!(failure.may_have_applied, port.is_write(), "{port:?} {failure:?}");
            assert!(failure.message.as_str().starts_with("HTTP "), "{failure:?}");
        }
    }
}

#[tokio::test]
async fn a_success_that_cannot_be_read_is_retryable_and_may_have_applied() {
    let mut wire = Wire::start().await;
    let garbage = ResponseTemplate::new(200).set_body_string("<html>hello</html>");
    // Start's answer is empty by design, so that its body is never observed.
    for port in Port::ALL.into_iter().filter(|port| !matches!(port, Port::Start)) {
        let failure = check(&mut wire, port, garbage.clone(), Class::Retryable, "NotAws").await;
        assert_eq!(failure.may_have_applied, port.is_write(), "{port:?} {failure:?}");
    }
    // Readable, and without what the call is made for.
    for (port, body) in [
        (Port::Describe, json!({})),
        (Port::Describe, json!({ "StreamDescriptionSummary": { "StreamStatus": "ACTIVE" } })),
        (Port::Probe, json!({})),
        (Port::Probe, json!({ "ShardId": "shardId-0" })),
        (Port::Key, json!({})),
        (Port::Key, json!({ "KeyMetadata": { "KeyId": "1234abcd" } })),
        (Port::Key, json!({ "KeyMetadata": { "KeyId": "x", "Arn": "arn:aws:kms:eu-west-1:111122223333:alias/x" } })),
    ] {
        wire.reset().await;
        wire.always(port.operation(), ok(body.clone())).await;
        let failure = port.run(&wire.aws, &wire.log).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "Unreadable"), "{port:?} {body}");
        assert_eq!(failure.may_have_applied, port.is_write(), "{port:?} {body}");
        assert_eq!(wire.count().await, 1);
    }
}

#[tokio::test]
async fn texts_of_services_are_escaped_and_cut() {
    let mut wire = Wire::start().await;
    let long = format!("a\nb\u{202e}{}", "x".repeat(5_000));
    let failure =
        check(&mut wire, Port::Start, error(400, "AccessDenied\n", &long), Class::Retryable, "AccessDenied\\n").await;
    assert!(failure.message.as_str().starts_with("a\\nb\\u{202e}xxx"), "{failure:?}");
    assert!(failure.message.as_str().chars().count() <= 201);
}

// --- no answer ----------------------------------------------------------------------------------------------------------

/// One request is given up early, and an operation late; and the other way round.
const QUICK_ATTEMPT: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    attempt: Duration::from_millis(200),
    operation: Duration::from_secs(60),
};
const QUICK_OPERATION: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    attempt: Duration::from_secs(60),
    operation: Duration::from_millis(200),
};

/// Longer than the timeouts above, and than the test takes.
const LATE: Duration = Duration::from_secs(600);

/// Says at once that the request is there, and answers late.
struct Late(mpsc::Sender<()>);

impl Respond for Late {
    fn respond(&self, _: &Request) -> ResponseTemplate {
        self.0.send(()).unwrap();
        ok(json!({})).set_delay(LATE)
    }
}

/// The client's clock stands still until the server has the request, and then jumps to the timeout: tokio moves a paused
/// clock on where nothing is left to do but wait, and not while a blocking task runs. How fast this machine is plays no part.
#[tokio::test]
async fn a_late_answer_is_a_timeout_that_may_have_applied_and_is_not_repeated() {
    for timeouts in [QUICK_ATTEMPT, QUICK_OPERATION] {
        let mut wire = Wire::with_timeouts(timeouts).await;
        for port in Port::ALL {
            let (there, is_there) = mpsc::channel();
            let holds_the_clock = tokio::task::spawn_blocking(move || is_there.recv_timeout(PATIENCE));
            tokio::time::pause();
            let failure = check(&mut wire, port, Late(there), Class::Retryable, "Timeout").await;
            tokio::time::resume();
            holds_the_clock.await.unwrap().unwrap();
            assert_eq!(failure.may_have_applied, port.is_write(), "{port:?} {failure:?}");
            let call = wire.log.calls().pop().unwrap();
            assert!(call.duration >= Duration::from_millis(200) && call.duration < LATE, "{call:?}");
            assert_eq!(call.request_id, None);
        }
    }
}

/// Takes connections on loopback and does `serve` with each; counts them.
async fn listener<F, T>(serve: F) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>)
where
    F: Fn(tokio::net::TcpStream) -> T + Send + 'static,
    T: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = count.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            serve(socket).await;
        }
    });
    (endpoint, count)
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    // Bound, so that no other test is given the port, and not listening.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let aws = aws_at(&format!("http://{}", deaf.local_addr().unwrap()), Timeouts::default()).await;
    for port in Port::ALL.into_iter().filter(|port| !matches!(port, Port::Iterator | Port::Records)) {
        let log = CallLog::default();
        let failure = port.run(&aws, &log).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "NoAnswer"), "{failure:?}");
        assert!(!failure.may_have_applied, "{failure:?}");
        assert_eq!(log.calls(), [], "what was not sent is no call");
    }
}

#[tokio::test]
async fn a_connection_that_ends_early_may_have_applied_and_is_not_repeated() {
    const HALF: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"ShardId\":";
    const BROKEN: &[&str] = &["NoAnswer", "Unreadable"];
    for (name, reads, answer, codes) in [
        ("closed at once", false, &b""[..], BROKEN),
        ("closed after the request", true, &b""[..], BROKEN),
        ("closed within the answer", true, HALF, BROKEN),
        ("not HTTP", true, &b"SSH-2.0-OpenSSH_9.6\r\n"[..], &["NotAws"]),
    ] {
        let (endpoint, connections) = listener(move |mut socket| async move {
            if reads {
                let mut buffer = [0; 16 * 1024];
                let _ = socket.read(&mut buffer).await;
            }
            let _ = socket.write_all(answer).await;
        })
        .await;
        let aws = aws_at(&endpoint, Timeouts::default()).await;
        for (asked, port) in [Port::Start, Port::Probe].into_iter().enumerate() {
            let log = CallLog::default();
            let failure = port.run(&aws, &log).await.unwrap_err();
            assert_eq!(failure.class, Class::Retryable, "{name}: {failure:?}");
            assert!(codes.contains(&failure.code.as_str()), "{name}: {failure:?}");
            assert!(failure.may_have_applied, "{name}: {failure:?}");
            assert_eq!(connections.load(std::sync::atomic::Ordering::SeqCst), asked + 1, "{name}");
            assert_eq!(log.calls().len(), 1, "{name}");
        }
    }
}

// --- Kinesis ------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn describe_reads_the_setting() {
    let kms = |key: &str| Encryption::Kms(key_ref(key));
    let unreadable = |text: &str| Encryption::Unreadable(EventText::new(text));
    let rows = [
        (json!({}), StreamStatus::Active, Encryption::None),
        (json!({ "EncryptionType": "NONE" }), StreamStatus::Active, Encryption::None),
        (json!({ "EncryptionType": "NONE", "KeyId": "alias/old" }), StreamStatus::Active, Encryption::None),
        (json!({ "EncryptionType": "KMS", "KeyId": KEY }), StreamStatus::Active, kms(KEY)),
        (json!({ "EncryptionType": "KMS", "KeyId": "alias/x" }), StreamStatus::Active, kms("alias/x")),
        (json!({ "EncryptionType": "KMS", "KeyId": "mrk-12ab" }), StreamStatus::Active, kms("mrk-12ab")),
        (json!({ "EncryptionType": "KMS" }), StreamStatus::Active, unreadable("KMS with KeyId ``")),
        (json!({ "EncryptionType": "KMS", "KeyId": "a b" }), StreamStatus::Active, unreadable("KMS with KeyId `a b`")),
        (json!({ "EncryptionType": "PQC", "KeyId": KEY }), StreamStatus::Active, unreadable("PQC")),
        (json!({ "StreamStatus": "CREATING" }), StreamStatus::Creating, Encryption::None),
        (json!({ "StreamStatus": "UPDATING" }), StreamStatus::Updating, Encryption::None),
        (json!({ "StreamStatus": "DELETING" }), StreamStatus::Deleting, Encryption::None),
        (json!({ "StreamStatus": "N\nW" }), StreamStatus::Unknown(EventText::new("N\nW")), Encryption::None),
    ];
    let mut wire = Wire::start().await;
    for (more, status, encryption) in rows {
        wire.reset().await;
        wire.always("DescribeStreamSummary", ok(summary(more.clone()))).await;
        let before = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
        let observed = wire.aws.describe(&stream(), &wire.log).await.unwrap();
        assert_eq!((observed.status, observed.encryption), (status, encryption), "{more}");
        assert_eq!(observed.created, time("2026-08-07T12:00:00.123Z"), "{more}");
        assert!(observed.at >= before && observed.at <= Timestamp::now());
        assert_eq!(wire.requests("DescribeStreamSummary").await, [json!({ "StreamARN": STREAM })]);
    }
}

#[tokio::test]
async fn describe_reads_the_retention() {
    let mut wire = Wire::start().await;
    for (reported, hours) in [(json!(24), 24), (json!(8_760), 8_760), (json!(null), 24), (json!(0), 24), (json!(-1), 0)]
    {
        wire.reset().await;
        wire.always("DescribeStreamSummary", ok(summary(json!({ "RetentionPeriodHours": reported })))).await;
        let observed = wire.aws.describe(&stream(), &wire.log).await.unwrap();
        assert_eq!(observed.retention_hours, hours, "{reported}");
    }
}

#[tokio::test]
async fn calls_are_logged_with_their_request_ids() {
    let wire = Wire::start().await;
    wire.always("DescribeStreamSummary", ok(summary(json!({})))).await;
    wire.always("StartStreamEncryption", ResponseTemplate::new(200).insert_header("x-amzn-RequestId", "req-2")).await;
    // The log keeps milliseconds.
    let before = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    wire.aws.describe(&stream(), &wire.log).await.unwrap();
    wire.aws.start_encryption(&stream(), &key(), &wire.log).await.unwrap();
    let calls = wire.log.calls();
    let found: Vec<_> = calls.iter().map(|call| (call.call, call.request_id.as_deref(), call.is_write())).collect();
    let expected = [
        ("kinesis:DescribeStreamSummary", Some("req-ok"), false),
        ("kinesis:StartStreamEncryption", Some("req-2"), true),
    ];
    assert_eq!(found, expected);
    for call in &calls {
        assert!(call.error.is_none() && call.duration > Duration::ZERO && call.at >= before, "{call:?}");
    }
    let requests = wire.server.received_requests().await.unwrap();
    for request in &requests {
        let agent = request.headers["user-agent"].to_str().unwrap();
        assert!(agent.contains("app/streamseal"), "{agent}");
    }
}

#[tokio::test]
async fn start_names_the_stream_by_arn_and_the_key_as_resolved() {
    let mut wire = Wire::start().await;
    for (key, id) in [(key(), KEY), (KeyIdentity::AwsManagedAlias, "alias/aws/kinesis")] {
        wire.reset().await;
        wire.always("StartStreamEncryption", ResponseTemplate::new(200)).await;
        wire.aws.start_encryption(&stream(), &key, &wire.log).await.unwrap();
        let body = json!({ "StreamARN": STREAM, "EncryptionType": "KMS", "KeyId": id });
        assert_eq!(wire.requests("StartStreamEncryption").await, [body], "nothing else, no StreamName above all");
    }
}

#[tokio::test]
async fn the_probe_is_the_documented_record() {
    let mut wire = Wire::start().await;
    for (kind, expected) in
        [(Some("KMS"), Some("KMS")), (Some("NONE"), Some("NONE")), (Some("PQC"), Some("PQC")), (None, None)]
    {
        wire.reset().await;
        let mut body = json!({ "ShardId": "shardId-7", "SequenceNumber": "49" });
        if let Some(kind) = kind {
            body["EncryptionType"] = json!(kind);
        }
        wire.always("PutRecord", ok(body)).await;
        let answer = wire.aws.put_probe(&stream(), &wire.log).await.unwrap();
        assert_eq!((answer.shard_id.as_str(), answer.sequence_number.as_str()), ("shardId-7", "49"));
        assert_eq!(answer.encryption_type.as_deref(), expected);
        let requests = wire.requests("PutRecord").await;
        // printf '%s' '{"streamseal":"probe","v":1,…}' | base64
        let data = "eyJzdHJlYW1zZWFsIjoicHJvYmUiLCJ2IjoxLCJpbmZvIjoic3ludGhldGljIHJlY29yZCB0aGF0IHByb3ZlcyBlbmNyeXB0aW9uOyBp\
                    Z25vcmUgaXQifQ==";
        assert_eq!(requests, [json!({ "StreamARN": STREAM, "PartitionKey": PROBE_PARTITION_KEY, "Data": data })]);
        assert!(serde_json::from_str::<Value>(PROBE_DATA).unwrap().is_object());
    }
}

#[tokio::test]
async fn tags_are_read_over_all_pages() {
    let wire = Wire::start().await;
    let page = |tags: Value, more: bool| ok(json!({ "Tags": tags, "HasMoreTags": more }));
    wire.then("ListTagsForStream", page(json!([{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }]), true))
        .await;
    wire.then("ListTagsForStream", page(json!([{ "Key": "c" }]), true)).await;
    wire.then("ListTagsForStream", page(json!([{ "Key": "d", "Value": "4" }]), false)).await;
    let tags = wire.aws.tags(&stream(), &wire.log).await.unwrap();
    let expected = [("a", "1"), ("b", "2"), ("c", ""), ("d", "4")];
    assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Tags>());
    let expected = [
        json!({ "StreamARN": STREAM, "Limit": 50 }),
        json!({ "StreamARN": STREAM, "Limit": 50, "ExclusiveStartTagKey": "b" }),
        json!({ "StreamARN": STREAM, "Limit": 50, "ExclusiveStartTagKey": "c" }),
    ];
    assert_eq!(wire.requests("ListTagsForStream").await, expected);
    assert_eq!(wire.log.calls().len(), 3);
}

#[tokio::test]
async fn a_list_of_tags_that_never_ends_is_given_up() {
    for (tags, requests) in [(json!([{ "Key": "a", "Value": "1" }]), 10), (json!([]), 1)] {
        let wire = Wire::start().await;
        wire.always("ListTagsForStream", ok(json!({ "Tags": tags, "HasMoreTags": true }))).await;
        let failure = wire.aws.tags(&stream(), &wire.log).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "Unreadable"));
        assert_eq!(wire.count().await, requests);
    }
}

#[tokio::test]
async fn a_later_page_that_fails_fails_the_whole_list() {
    let wire = Wire::start().await;
    wire.then("ListTagsForStream", ok(json!({ "Tags": [{ "Key": "a", "Value": "1" }], "HasMoreTags": true }))).await;
    wire.then("ListTagsForStream", error(400, "LimitExceededException", "Rate exceeded for account")).await;
    let failure = wire.aws.tags(&stream(), &wire.log).await.unwrap_err();
    assert_eq!(failure.class, Class::Retryable, "half of the tags could mean another rule");
    assert_eq!(wire.count().await, 2);
}

// --- reading records back -----------------------------------------------------------------------------------------------

/// 2026-08-07T12:00:00Z.
const SINCE_SECONDS: f64 = 1_786_104_000.0;

fn since() -> Timestamp {
    time("2026-08-07T12:00:00Z")
}

/// The shards that were read from, in order, and how many GetRecords there were.
async fn reads(wire: &Wire) -> (Vec<String>, usize) {
    let iterators = wire.requests("GetShardIterator").await;
    let shards = iterators.iter().map(|body| body["ShardId"].as_str().unwrap().to_owned()).collect();
    (shards, wire.requests("GetRecords").await.len())
}

#[tokio::test]
async fn the_first_record_of_any_producer_will_do() {
    let wire = Wire::start().await;
    let shards = [shard("shardId-0", 0, 9, false), shard("shardId-1", 0, 9, true), shard("shardId-2", 0, 9, true)];
    wire.always("ListShards", ok(json!({ "Shards": shards }))).await;
    wire.always_for("GetShardIterator", json!({ "ShardId": "shardId-1" }), ok(json!({ "ShardIterator": "it-1" })))
        .await;
    wire.always_for("GetShardIterator", json!({ "ShardId": "shardId-2" }), ok(json!({ "ShardIterator": "it-2" })))
        .await;
    wire.always_for("GetRecords", json!({ "ShardIterator": "it-1" }), records(&[], 0, Some("it-1b"))).await;
    let found = records(&[record("42", "customer-7", SINCE_SECONDS + 0.123)], 0, Some("it-2b"));
    wire.always_for("GetRecords", json!({ "ShardIterator": "it-2" }), found).await;
    let found = wire.aws.read_back(&stream(), ReadBack::Any(since()), &wire.log).await.unwrap().unwrap();
    let expected = ReadRecord {
        shard_id: "shardId-2".into(),
        sequence_number: "42".into(),
        encryption_type: Some("KMS".into()),
        at: time("2026-08-07T12:00:00.123Z"),
    };
    assert_eq!(found, expected);
    assert_eq!(wire.requests("ListShards").await, [json!({ "StreamARN": STREAM, "MaxResults": 1000 })]);
    let iterators = wire.requests("GetShardIterator").await;
    let at = json!(SINCE_SECONDS as i64);
    let body =
        |id: &str| json!({ "StreamARN": STREAM, "ShardId": id, "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": at });
    assert_eq!(iterators, [body("shardId-1"), body("shardId-2")], "the closed shard is not asked");
    let body = |id: &str| json!({ "StreamARN": STREAM, "ShardIterator": id, "Limit": 1 });
    assert_eq!(wire.requests("GetRecords").await, [body("it-1"), body("it-2")]);
}

#[tokio::test]
async fn a_search_for_any_record_is_bounded() {
    let shards: Vec<_> = (0..20).map(|n| shard(&format!("shardId-{n}"), 0, 9, true)).collect();
    // Behind and never at the tip; at the tip; the end of the shard; a time of arrival that is too early or absent.
    let early = record("1", "k", SINCE_SECONDS - 0.001);
    let mut timeless = record("1", "k", SINCE_SECONDS);
    timeless.as_object_mut().unwrap().remove("ApproximateArrivalTimestamp");
    for (answer, each) in [
        (records(&[], 5_000, Some("next")), 4),
        (records(&[], 0, Some("next")), 1),
        (records(&[], 5_000, None), 1),
        (ok(json!({ "Records": [], "NextShardIterator": "next" })), 1),
        (records(&[early], 5_000, Some("next")), 4),
        (records(&[timeless], 5_000, Some("next")), 4),
    ] {
        let wire = Wire::start().await;
        wire.always("ListShards", ok(json!({ "Shards": shards }))).await;
        wire.always("GetShardIterator", ok(json!({ "ShardIterator": "first" }))).await;
        wire.always("GetRecords", answer).await;
        assert_eq!(wire.aws.read_back(&stream(), ReadBack::Any(since()), &wire.log).await.unwrap(), None);
        let (read, records) = reads(&wire).await;
        assert_eq!(read, (0..8).map(|n| format!("shardId-{n}")).collect::<Vec<_>>());
        assert_eq!(records, 8 * each);
        let places: Vec<_> = wire.requests("GetRecords").await;
        assert_eq!(places[0]["ShardIterator"], "first");
        assert!(each == 1 || places[1]["ShardIterator"] == "next");
        assert_eq!(wire.log.calls().len(), wire.count().await);
    }
}

#[tokio::test]
async fn the_probe_is_searched_for_where_its_key_can_be() {
    let wire = Wire::start().await;
    let shards = [
        shard("shardId-0-parent", 0, u128::MAX, false),
        shard("shardId-1-below", 0, PROBE_HASH - 1, true),
        shard("shardId-2-exact", PROBE_HASH, PROBE_HASH, true),
        shard("shardId-3-above", PROBE_HASH + 1, u128::MAX, true),
        json!({ "ShardId": "shardId-4-odd", "HashKeyRange": { "StartingHashKey": "x", "EndingHashKey": "y" },
                "SequenceNumberRange": { "StartingSequenceNumber": "1" } }),
    ];
    wire.always("ListShards", ok(json!({ "Shards": shards }))).await;
    let iterator = |id: &str| ok(json!({ "ShardIterator": id }));
    wire.always_for("GetShardIterator", json!({ "ShardId": "shardId-2-exact" }), iterator("exact")).await;
    wire.always_for("GetShardIterator", json!({ "ShardId": "shardId-0-parent" }), iterator("parent")).await;
    // Somebody else's, an older probe of ours, one of ours without a time: none of them is it.
    let mut timeless = record("3", PROBE_PARTITION_KEY, 0.0);
    timeless.as_object_mut().unwrap().remove("ApproximateArrivalTimestamp");
    let others = [
        record("1", "customer-7", SINCE_SECONDS + 1.0),
        record("2", PROBE_PARTITION_KEY, SINCE_SECONDS - 0.001),
        timeless,
    ];
    wire.always_for("GetRecords", json!({ "ShardIterator": "exact" }), records(&others, 9, None)).await;
    let found = [record("4", "x", SINCE_SECONDS + 1.0), record("5", PROBE_PARTITION_KEY, SINCE_SECONDS + 0.456)];
    wire.always_for("GetRecords", json!({ "ShardIterator": "parent" }), records(&found, 9, None)).await;
    let which = ReadBack::Probe(since() + SignedDuration::from_nanos(123_999));
    let found = wire.aws.read_back(&stream(), which, &wire.log).await.unwrap().unwrap();
    assert_eq!((found.shard_id.as_str(), found.sequence_number.as_str()), ("shardId-0-parent", "5"));
    assert_eq!(found.at, time("2026-08-07T12:00:00.456Z"));
    let (read, _) = reads(&wire).await;
    assert_eq!(read, ["shardId-2-exact", "shardId-0-parent"], "the newest first, and closed ones too");
    assert!(wire.requests("GetRecords").await.iter().all(|body| body["Limit"] == 100 && body["StreamARN"] == STREAM));
}

#[tokio::test]
async fn arrival_is_compared_to_the_millisecond() {
    // The probe was put at …123.456 ms and arrived, as Kinesis reports it, at …123 ms; and a fraction of seconds is inexact.
    for (nanos, arrival, found) in [
        (123_456_000, 0.123, true),
        (123_000_000, 0.123, true),
        (123_000_000, 0.122, false),
        (999_999_999, 0.999, true),
    ] {
        let wire = Wire::start().await;
        wire.always("ListShards", ok(json!({ "Shards": [shard("shardId-0", 0, u128::MAX, true)] }))).await;
        wire.always("GetShardIterator", ok(json!({ "ShardIterator": "it" }))).await;
        wire.always("GetRecords", records(&[record("1", PROBE_PARTITION_KEY, SINCE_SECONDS + arrival)], 0, None)).await;
        let which = ReadBack::Probe(since() + SignedDuration::from_nanos(nanos));
        let read = wire.aws.read_back(&stream(), which, &wire.log).await.unwrap();
        assert_eq!(read.is_some(), found, "{nanos} {arrival}");
    }
}

#[tokio::test]
async fn a_search_for_the_probe_is_bounded() {
    let wire = Wire::start().await;
    let shards: Vec<_> = (0..20).map(|n| shard(&format!("shardId-{n}"), 0, u128::MAX, n == 19)).collect();
    wire.always("ListShards", ok(json!({ "Shards": shards }))).await;
    wire.always("GetShardIterator", ok(json!({ "ShardIterator": "first" }))).await;
    wire.always("GetRecords", records(&[record("1", "x", SINCE_SECONDS)], 5_000, Some("next"))).await;
    assert_eq!(wire.aws.read_back(&stream(), ReadBack::Probe(since()), &wire.log).await.unwrap(), None);
    let (read, records) = reads(&wire).await;
    assert_eq!(read, (12..20).rev().map(|n| format!("shardId-{n}")).collect::<Vec<_>>());
    assert_eq!(records, 8 * 5);
}

#[tokio::test]
async fn shards_are_listed_over_all_pages() {
    let wire = Wire::start().await;
    let page =
        |id: &str, next: Option<&str>| ok(json!({ "Shards": [shard(id, 0, u128::MAX, false)], "NextToken": next }));
    wire.then("ListShards", page("shardId-0", Some("t1"))).await;
    wire.then("ListShards", page("shardId-1", Some("t2"))).await;
    wire.then("ListShards", page("shardId-2", None)).await;
    wire.always("GetShardIterator", ok(json!({ "ShardIterator": "it" }))).await;
    wire.always("GetRecords", records(&[], 0, None)).await;
    wire.aws.read_back(&stream(), ReadBack::Probe(since()), &wire.log).await.unwrap();
    let expected = [
        json!({ "StreamARN": STREAM, "MaxResults": 1000 }),
        json!({ "StreamARN": STREAM, "MaxResults": 1000, "ExclusiveStartShardId": "shardId-0" }),
        json!({ "StreamARN": STREAM, "MaxResults": 1000, "ExclusiveStartShardId": "shardId-1" }),
    ];
    assert_eq!(wire.requests("ListShards").await, expected, "each with the ARN, which the host follows from");
    assert_eq!(reads(&wire).await.0, ["shardId-2", "shardId-1", "shardId-0"]);
}

#[tokio::test]
async fn a_list_of_shards_that_never_ends_is_cut() {
    for (shards, which, requests) in [
        (json!([shard("shardId-0", 0, 9, false)]), ReadBack::Any(since()), 10),
        (json!([]), ReadBack::Any(since()), 1),
        (json!([shard("shardId-0", 0, 9, true)]), ReadBack::Any(since()), 8),
        (json!([shard("shardId-0", 0, 9, true)]), ReadBack::Probe(since()), 10),
    ] {
        let wire = Wire::start().await;
        wire.always("ListShards", ok(json!({ "Shards": shards, "NextToken": "t" }))).await;
        wire.always("GetShardIterator", ok(json!({ "ShardIterator": "it" }))).await;
        wire.always("GetRecords", records(&[], 0, None)).await;
        assert_eq!(wire.aws.read_back(&stream(), which, &wire.log).await.unwrap(), None);
        assert_eq!(wire.requests("ListShards").await.len(), requests, "{which:?}");
    }
}

#[tokio::test]
async fn nothing_is_asked_about_a_time_to_come() {
    let wire = Wire::start().await;
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    for which in [ReadBack::Any(soon), ReadBack::Probe(soon)] {
        assert_eq!(wire.aws.read_back(&stream(), which, &wire.log).await.unwrap(), None);
    }
    assert_eq!(wire.count().await, 0);
}

// --- KMS ----------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_key_is_described() {
    let good = json!({
        "KeyId": "1234abcd", "Arn": KEY, "KeyManager": "CUSTOMER", "KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT"
    });
    let text = EventText::new;
    let elsewhere = "arn:aws:kms:us-east-1:111122223333:key/1";
    let other_account = "arn:aws:kms:eu-west-1:999988887777:key/mrk-1";
    let (customer, aws) = (KeyManager::Customer, KeyManager::Aws);
    type Row<'a> = (Value, &'a str, KeyManager, Option<KeyProblem>);
    let rows: Vec<Row> = vec![
        (json!({}), KEY, customer, None),
        (json!({ "KeyManager": "AWS" }), KEY, aws, None),
        (json!({ "KeyManager": null }), KEY, customer, None),
        (json!({ "KeyManager": "ALIENS" }), KEY, customer, None),
        (json!({ "Arn": other_account }), other_account, customer, None),
        (json!({ "KeyState": "Disabled" }), KEY, customer, Some(KeyProblem::State(text("Disabled")))),
        (json!({ "KeyState": "PendingDeletion" }), KEY, customer, Some(KeyProblem::State(text("PendingDeletion")))),
        (json!({ "KeyState": "PendingImport" }), KEY, customer, Some(KeyProblem::State(text("PendingImport")))),
        (json!({ "KeyState": "Unavailable" }), KEY, customer, Some(KeyProblem::State(text("Unavailable")))),
        (json!({ "KeyState": "Sleeping" }), KEY, customer, Some(KeyProblem::State(text("Sleeping")))),
        (json!({ "KeyState": null }), KEY, customer, Some(KeyProblem::State(text("absent")))),
        (json!({ "KeyState": "Creating" }), KEY, customer, Some(KeyProblem::NotReady(text("Creating")))),
        (json!({ "KeyState": "Updating" }), KEY, customer, Some(KeyProblem::NotReady(text("Updating")))),
        (json!({ "KeyUsage": "SIGN_VERIFY" }), KEY, customer, Some(KeyProblem::Usage(text("SIGN_VERIFY")))),
        (json!({ "KeyUsage": null }), KEY, customer, Some(KeyProblem::Usage(text("absent")))),
        (json!({ "KeySpec": "RSA_2048" }), KEY, customer, Some(KeyProblem::Spec(text("RSA_2048")))),
        (json!({ "KeySpec": null }), KEY, customer, Some(KeyProblem::Spec(text("absent")))),
        (json!({ "KeySpec": null, "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT" }), KEY, customer, None),
        (
            json!({ "KeySpec": null, "CustomerMasterKeySpec": "RSA_4096" }),
            KEY,
            customer,
            Some(KeyProblem::Spec(text("RSA_4096"))),
        ),
        (json!({ "Arn": elsewhere }), elsewhere, customer, Some(KeyProblem::Region(text("us-east-1")))),
        // What can never pass goes first.
        (
            json!({ "KeyState": "Disabled", "KeySpec": "RSA_2048" }),
            KEY,
            customer,
            Some(KeyProblem::Spec(text("RSA_2048"))),
        ),
    ];
    let mut wire = Wire::start().await;
    for (more, arn, manager, problem) in rows {
        let mut metadata = good.clone();
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wire.reset().await;
        wire.always("DescribeKey", ok(json!({ "KeyMetadata": metadata }))).await;
        let found = wire.aws.lookup(&key_ref("alias/x"), &wire.log).await.unwrap();
        let identity = KeyIdentity::Arn(KeyArn::parse(arn).unwrap());
        let text = |name: &str| metadata[name].as_str().map(EventText::new);
        let known =
            KeyInfo { state: text("KeyState"), origin: text("Origin"), ..KeyInfo::new(identity, manager, problem) };
        assert_eq!(found, KeyLookup::Found(known), "{more}");
    }
}

#[tokio::test]
async fn the_material_of_a_key_is_reported() {
    let mut wire = Wire::start().await;
    let id = "123d90926f00e7f1adbb2b4b1e1e1fbe3f2a4b2d9b1c4c8d0f5e6a7b8c9d0e1f";
    for (material, expected) in
        [(json!(id), Some(EventText::new(id))), (json!("a\nb"), Some(EventText::new("a\nb"))), (json!(null), None)]
    {
        wire.reset().await;
        let metadata = json!({ "KeyId": "1234abcd", "Arn": KEY, "CurrentKeyMaterialId": material });
        wire.always("DescribeKey", ok(json!({ "KeyMetadata": metadata }))).await;
        let KeyLookup::Found(key) = wire.aws.lookup(&key_ref(KEY), &wire.log).await.unwrap() else { panic!() };
        assert_eq!(key.material, expected);
    }
}

#[tokio::test]
async fn keys_are_looked_up_as_they_are_written() {
    let managed = KeyLookup::Found(KeyInfo::new(KeyIdentity::AwsManagedAlias, KeyManager::Aws, None));
    let denied = |code: &str| KeyLookup::Denied { code: EventText::new(code), words: EventText::new("no") };
    let rows = [
        ("alias/aws/kinesis", "NotFoundException", managed.clone()),
        ("arn:aws:kms:eu-west-1:111122223333:alias/aws/kinesis", "NotFoundException", managed),
        // Of another Region, of another account, another alias: not the one that the account will have.
        ("arn:aws:kms:us-east-1:111122223333:alias/aws/kinesis", "NotFoundException", KeyLookup::NotFound),
        ("arn:aws:kms:eu-west-1:999988887777:alias/aws/kinesis", "NotFoundException", KeyLookup::NotFound),
        ("alias/aws/kinesis2", "NotFoundException", KeyLookup::NotFound),
        ("alias/x", "NotFoundException", KeyLookup::NotFound),
        ("1234abcd-12ab-34cd-56ef-1234567890ab", "NotFoundException", KeyLookup::NotFound),
        (KEY, "NotFoundException", KeyLookup::NotFound),
        (KEY, "AccessDeniedException", denied("AccessDeniedException")),
        ("alias/aws/kinesis", "AccessDeniedException", denied("AccessDeniedException")),
        ("alias/aws/kinesis", "UnrecognizedClientException", denied("UnrecognizedClientException")),
    ];
    let mut wire = Wire::start().await;
    for (key, code, expected) in rows {
        wire.reset().await;
        wire.always("DescribeKey", error(400, code, "no")).await;
        assert_eq!(wire.aws.lookup(&key_ref(key), &wire.log).await.unwrap(), expected, "{key} {code}");
        assert_eq!(wire.requests("DescribeKey").await, [json!({ "KeyId": key })]);
        let call = wire.log.calls().pop().unwrap();
        assert_eq!(
            call.error.map(|failure| failure.code),
            Some(EventText::new(code)),
            "evidence shows the refusal as it was"
        );
    }
}

// --- SSM, files ---------------------------------------------------------------------------------------------------------

fn parameter() -> Source {
    Source::Parameter("/streamseal/policy".to_owned())
}

#[tokio::test]
async fn a_parameter_is_read_without_decryption() {
    let wire = Wire::start().await;
    let body = json!({ "Parameter": { "Name": "/streamseal/policy", "Type": "String", "Value": "version: 1\n" } });
    wire.always("GetParameter", ok(body)).await;
    assert_eq!(wire.aws.read(&parameter()).await.unwrap(), "version: 1\n");
    let body = json!({ "Name": "/streamseal/policy", "WithDecryption": false });
    assert_eq!(wire.requests("GetParameter").await, [body]);
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_has_its_class() {
    let mut wire = Wire::start().await;
    let secure = json!({ "Parameter": { "Type": "SecureString", "Value": "AQICAHh…" } });
    let rows = [
        (error(400, "ParameterNotFound", ""), BAD_REQUEST, "ParameterNotFound"),
        (error(400, "ParameterVersionNotFound", ""), BAD_REQUEST, "ParameterVersionNotFound"),
        (error(400, "AccessDeniedException", "not authorized"), ACCESS, "AccessDeniedException"),
        (error(400, "ValidationException", ""), BAD_REQUEST, "ValidationException"),
        (ok(secure), BAD_REQUEST, "SecureString"),
        (ok(json!({})), Class::Retryable, "Unreadable"),
        (ok(json!({ "Parameter": { "Type": "String" } })), Class::Retryable, "Unreadable"),
    ];
    for (answer, class, code) in rows {
        wire.reset().await;
        wire.always("GetParameter", answer).await;
        let failure = wire.aws.read(&parameter()).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (class, code), "{failure:?}");
        assert_eq!((failure.call, failure.may_have_applied), ("ssm:GetParameter", false));
        assert_eq!(wire.count().await, 1);
    }
}

#[tokio::test]
async fn ssm_and_sqs_are_asked_three_times() {
    let (work, mut wire) = (work(), Wire::start().await);
    for answer in [error(400, "ThrottlingException", "Rate exceeded"), ResponseTemplate::new(503)] {
        wire.reset().await;
        wire.always("GetParameter", answer.clone()).await;
        wire.always("SendMessage", answer).await;
        let failure = wire.aws.read(&parameter()).await.unwrap_err();
        assert_eq!(failure.class, Class::Retryable, "{failure:?}");
        assert_eq!(wire.requests("GetParameter").await.len(), 3);
        let failure = wire.aws.send(&work, Duration::ZERO).await.unwrap_err();
        assert_eq!(failure.class, Class::Retryable, "{failure:?}");
        assert_eq!(wire.requests("SendMessage").await.len(), 3);
    }
}

#[tokio::test]
async fn files_and_texts_are_read_as_they_are() {
    let wire = Wire::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "version: 1\n").unwrap();
    assert_eq!(wire.aws.read(&Source::File(path)).await.unwrap(), "version: 1\n");
    assert_eq!(wire.aws.read(&Source::Inline("version: 1".to_owned())).await.unwrap(), "version: 1");
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    for (path, code) in
        [(folder.path().join("absent"), "NotFound"), (binary, "NotText"), (folder.path().to_owned(), "NotText")]
    {
        let failure = wire.aws.read(&Source::File(path)).await.unwrap_err();
        assert_eq!(
            (failure.class, failure.code.as_str(), failure.call),
            (BAD_REQUEST, code, "file:Read"),
            "{failure:?}"
        );
    }
    assert_eq!(wire.count().await, 0);
}

// --- SQS, time ----------------------------------------------------------------------------------------------------------

fn work() -> Work {
    let call = EventText::new("CreateStream");
    let cause = Cause { call, event_id: None, actor: None, at: None, creator: None };
    Work::new(stream(), cause, time("2026-08-07T12:00:00Z"))
}

#[tokio::test]
async fn work_is_sent_with_its_delay() {
    let mut wire = Wire::start().await;
    assert!(wire.aws.has_queue());
    for (delay, seconds) in [(0, 0), (1, 1), (29_001, 30), (900_000, 900), (86_400_000, 900)] {
        wire.reset().await;
        wire.always("SendMessage", ok(json!({ "MessageId": "m", "MD5OfMessageBody": "x" }))).await;
        wire.aws.send(&work(), Duration::from_millis(delay)).await.unwrap();
        let body = json!({ "QueueUrl": QUEUE, "MessageBody": work().to_json(), "DelaySeconds": seconds });
        assert_eq!(wire.requests("SendMessage").await, [body], "{delay} ms");
    }
}

#[tokio::test]
async fn a_queue_that_is_gone_is_permanent() {
    let wire = Wire::start().await;
    // SQS also gives the code of its old protocol, and the SDK prefers it.
    let gone = error(400, "com.amazonaws.sqs#QueueDoesNotExist", "no such queue")
        .insert_header("x-amzn-query-error", "AWS.SimpleQueueService.NonExistentQueue;Sender");
    wire.then("SendMessage", gone).await;
    wire.then("SendMessage", error(400, "com.amazonaws.sqs#QueueDoesNotExist", "no such queue")).await;
    wire.then("SendMessage", error(403, "AccessDenied", "not authorized")).await;
    for class in [BAD_REQUEST, BAD_REQUEST, ACCESS] {
        let failure = wire.aws.send(&work(), Duration::ZERO).await.unwrap_err();
        assert_eq!((failure.class, failure.call), (class, "sqs:SendMessage"), "{failure:?}");
    }
}

#[tokio::test]
async fn without_a_queue_nothing_is_sent() {
    let sdk = sdk_config(&Connection { region: Some("eu-west-1".into()), ..Connection::default() }).await;
    let aws = Aws::new(&sdk, scope(), Queues::default());
    assert!(!aws.has_queue());
    let failure = aws.send(&work(), Duration::ZERO).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str(), failure.may_have_applied), (Class::Retryable, "NoQueue", false));
    let before = aws.now();
    aws.sleep(Duration::from_millis(20)).await;
    assert!(aws.now().duration_since(before) >= SignedDuration::from_millis(20));
}

// --- the environment ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn endpoints_and_the_package_come_from_the_environment() {
    let (kinesis, tagging, trail, rest) =
        (Wire::start().await, Wire::start().await, Wire::start().await, Wire::start().await);
    kinesis.always("DescribeStreamSummary", ok(summary(json!({})))).await;
    tagging.always("GetResources", ok(json!({}))).await;
    trail.always("LookupEvents", ok(json!({}))).await;
    rest.always("DescribeKey", error(400, "NotFoundException", "")).await;
    let package = tempfile::tempdir().unwrap();
    std::fs::write(package.path().join("policy.yaml"), "version: 1\n").unwrap();
    let variables = BTreeMap::from([
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ("AWS_SESSION_TOKEN", "token".to_owned()),
        ("AWS_USE_FIPS_ENDPOINT", "false".to_owned()),
        ("AWS_USE_DUALSTACK_ENDPOINT", "false".to_owned()),
        ("AWS_ENDPOINT_URL", rest.server.uri()),
        ("AWS_ENDPOINT_URL_KINESIS", kinesis.server.uri()),
        ("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", tagging.server.uri()),
        ("AWS_ENDPOINT_URL_CLOUDTRAIL", trail.server.uri()),
        ("LAMBDA_TASK_ROOT", package.path().display().to_string()),
    ]);
    // In a process of its own, since the environment belongs to the whole process.
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_test-environment"))
        .args([STREAM, QUEUE, SCANS])
        .envs(variables)
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), child).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    // Once as the command line is configured, and once as the function is.
    assert_eq!((kinesis.count().await, kinesis.requests("DescribeStreamSummary").await.len()), (2, 2));
    assert_eq!((tagging.count().await, tagging.requests("GetResources").await.len()), (2, 2));
    assert_eq!((trail.count().await, trail.requests("LookupEvents").await.len()), (4, 4));
    assert_eq!((rest.count().await, rest.requests("DescribeKey").await.len()), (2, 2));
    for request in kinesis.server.received_requests().await.unwrap() {
        let header = |name: &str| request.headers.get(name).unwrap().to_str().unwrap().to_owned();
        let signed = header("authorization");
        assert!(signed.contains("Credential=AKIDEXAMPLE/") && signed.contains("/eu-west-1/kinesis/"), "{signed}");
        assert_eq!(header("x-amz-security-token"), "token");
        assert!(header("user-agent").contains("app/streamseal"), "{request:?}");
    }
}

/// The futures of the ports cross threads, as the Lambda runtime asks.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn all<T: StreamApi + KeyApi + ParameterApi + WorkQueue + Clock + Debug>(aws: &T, log: &CallLog) {
        is_send(aws.read_back(&stream(), ReadBack::Any(since()), log));
    }
    let _ = all::<Aws>;
}
