//! CloudWatch's metrics and a stream's own policies on the wire.

use streamseal::domain::evidence::emf;
use streamseal::domain::traffic::judge::Health;
use streamseal::domain::traffic::{Calls, minute_of};
use streamseal::ports::{Asked, Consumer, Measured, TrafficApi};
use wiremock::matchers::path;

use super::cbor::{decode, encode};
use super::*;

const PATH: &str = "/service/GraniteServiceVersion20100801/operation/GetMetricData";
const FROM: &str = "2026-08-07T12:00:00Z";
const TO: &str = "2026-08-07T13:00:00Z";

fn cbor(status: u16, body: &Value) -> ResponseTemplate {
    let answer = ResponseTemplate::new(status).insert_header("smithy-protocol", "rpc-v2-cbor");
    answer.insert_header("x-amzn-requestid", "req-ok").set_body_raw(encode(body), "application/cbor")
}

async fn then(wire: &Wire, answer: ResponseTemplate) {
    Mock::given(path(PATH)).respond_with(answer).up_to_n_times(1).mount(&wire.server).await;
}

/// The values of one metric, a minute each from `FROM` on.
fn result(id: &str, status: &str, values: &[f64]) -> Value {
    let start = time(FROM).as_second();
    let times: Vec<Value> = (start..).step_by(60).zip(values).map(|(at, _)| json!({ "time": at })).collect();
    json!({ "Id": id, "Label": id, "Timestamps": times, "Values": values, "StatusCode": status })
}

/// An answer that has every metric but those of `others`, without values.
fn answer(count: usize, others: Vec<Value>) -> Value {
    let is_in = |id: &String| others.iter().any(|other| other["Id"] == **id);
    let rest = (0..count).map(|number| format!("m{number}")).chain(["broken".to_owned()]).filter(|id| !is_in(id));
    let rest: Vec<Value> = rest.map(|id| result(&id, "Complete", &[])).collect();
    let all = [others, rest].concat();
    json!({ "MetricDataResults": all, "Messages": [] })
}

async fn measured(wire: &Wire, consumers: &[String]) -> Result<Measured, Failure> {
    let (stream, key) = (stream().name, key());
    let asked = Asked { stream: &stream, consumers, from: time(FROM), to: time(TO), broken_on: Some(&key) };
    wire.aws.traffic(&asked, &wire.log).await
}

#[tokio::test]
async fn without_the_guards_own_metric_no_more_than_the_baseline_is_asked_for() {
    let wire = Wire::start().await;
    then(&wire, cbor(200, &answer(12, vec![]))).await;
    let name = stream().name;
    let asked = Asked { stream: &name, consumers: &[], from: time(FROM), to: time(TO), broken_on: None };
    wire.aws.traffic(&asked, &wire.log).await.unwrap();
    let [body] = bodies(&wire).await.try_into().unwrap();
    assert_eq!(body["StartTime"]["time"], seconds(FROM));
}

async fn bodies(wire: &Wire) -> Vec<Value> {
    let all = wire.server.received_requests().await.unwrap();
    all.iter().filter(|request| request.url.path() == PATH).map(|request| decode(&request.body)).collect()
}

#[tokio::test]
async fn one_request_asks_for_every_metric_and_for_the_guards_own() {
    let wire = Wire::start().await;
    then(&wire, cbor(200, &answer(17, vec![]))).await;
    measured(&wire, &["audit".to_owned()]).await.unwrap();
    let [body] = bodies(&wire).await.try_into().unwrap();
    // A change that broke a stream counts for a day, and one request has one time for all metrics.
    let a_day_before = seconds("2026-08-06T13:00:00Z");
    assert_eq!((&body["StartTime"]["time"], &body["EndTime"]["time"]), (&a_day_before, &seconds(TO)));
    let stream = json!({ "Name": "StreamName", "Value": "orders" });
    let consumer = json!({ "Name": "ConsumerName", "Value": "audit" });
    let mut asked = Vec::new();
    for query in body["MetricDataQueries"].as_array().unwrap() {
        let (metric, stat) = (&query["MetricStat"]["Metric"], &query["MetricStat"]["Stat"]);
        assert_eq!((&query["MetricStat"]["Period"], &query["ReturnData"]), (&json!(60), &json!(true)));
        let name = metric["MetricName"].as_str().unwrap();
        let expected = match (name, &query["Id"]) {
            (_, id) if id == "broken" => (emf::NAMESPACE, json!([{ "Name": "Key", "Value": KEY }])),
            (name, _) if name.starts_with("SubscribeToShard") => ("AWS/Kinesis", json!([stream, consumer])),
            _ => ("AWS/Kinesis", json!([stream])),
        };
        assert_eq!((metric["Namespace"].as_str().unwrap(), &metric["Dimensions"]), (expected.0, &expected.1), "{name}");
        asked.push(format!("{name} {}", stat.as_str().unwrap()));
    }
    let expected = [
        "PutRecord.Success SampleCount",
        "PutRecord.Success Sum",
        "PutRecords.Success SampleCount",
        "PutRecords.Success Sum",
        "PutRecords.TotalRecords Sum",
        "PutRecords.ThrottledRecords Sum",
        "WriteProvisionedThroughputExceeded Sum",
        "IncomingRecords Sum",
        "GetRecords.Success SampleCount",
        "GetRecords.Success Sum",
        "ReadProvisionedThroughputExceeded Sum",
        "GetRecords.IteratorAgeMilliseconds Maximum",
        "SubscribeToShard.Success SampleCount",
        "SubscribeToShard.Success Sum",
        "SubscribeToShardEvent.Success SampleCount",
        "SubscribeToShardEvent.Success Sum",
        "SubscribeToShardEvent.MillisBehindLatest Maximum",
        "Broken Sum",
    ];
    assert_eq!(asked, expected);
    let calls: Vec<&str> = wire.log.calls().iter().map(|call| call.call).collect();
    assert_eq!(calls, ["cloudwatch:GetMetricData"]);
}

fn seconds(text: &str) -> Value {
    json!(f64::from(u32::try_from(time(text).as_second()).unwrap()))
}

#[tokio::test]
async fn values_find_their_minutes_over_all_pages() {
    let wire = Wire::start().await;
    let mut first = answer(
        12,
        vec![
            result("m0", "Complete", &[10.0, 4.0]),
            result("m1", "PartialData", &[9.0]),
            result("broken", "Complete", &[1.0, 2.0]),
        ],
    );
    first["NextToken"] = json!("more");
    then(&wire, cbor(200, &first)).await;
    let mut late = result("m1", "Complete", &[0.0, 4.0]);
    late["Timestamps"].as_array_mut().unwrap().remove(0);
    late["Values"].as_array_mut().unwrap().remove(0);
    then(&wire, cbor(200, &json!({ "MetricDataResults": [late], "Messages": [] }))).await;
    let Measured { traffic, broken } = measured(&wire, &[]).await.unwrap();
    let minute = minute_of(time(FROM));
    assert_eq!(broken, 3);
    assert_eq!(traffic.producers.calls[&minute], Calls { sent: 10, worked: 9, ..Calls::default() });
    assert_eq!(traffic.producers.calls[&(minute + 1)], Calls { sent: 4, worked: 4, ..Calls::default() });
    let asked = bodies(&wire).await;
    assert_eq!((asked.len(), &asked[1]["NextToken"]), (2, &json!("more")));
}

/// Half an answer would say that nobody calls.
#[tokio::test]
async fn what_does_not_come_whole_is_a_failure() {
    let part = |status: &str| answer(12, vec![result("m4", status, &[1.0])]);
    let mut missing = answer(12, vec![]);
    missing["MetricDataResults"].as_array_mut().unwrap().remove(0);
    let mut uneven = answer(12, vec![result("m4", "Complete", &[1.0])]);
    uneven["MetricDataResults"][0]["Timestamps"] = json!([]);
    for (body, code, class) in [
        (part("PartialData"), "PartialData", Class::Retryable),
        (part("InternalError"), "InternalError", Class::Retryable),
        (part("Forbidden"), "Forbidden", ACCESS),
        (part("NeverHeardOf"), "NeverHeardOf", Class::Retryable),
        (missing, "PartialData", Class::Retryable),
        (answer(13, vec![]), "Unreadable", Class::Retryable),
        (uneven, "Unreadable", Class::Retryable),
    ] {
        let wire = Wire::start().await;
        then(&wire, cbor(200, &body)).await;
        let failure = measured(&wire, &[]).await.expect_err(code);
        assert_eq!((failure.code.as_str(), failure.class, failure.call), (code, class, "cloudwatch:GetMetricData"));
    }
}

#[tokio::test]
async fn a_request_that_is_refused_has_its_class() {
    for (status, code, class, requests) in [
        (400, "AccessDenied", ACCESS, 1),
        (400, "AccessDeniedException", ACCESS, 1),
        (400, "ValidationError", BAD_REQUEST, 1),
        (400, "Throttling", Class::Retryable, 3),
        (500, "InternalServiceFault", Class::Retryable, 3),
    ] {
        let wire = Wire::start().await;
        let body = json!({ "__type": format!("com.amazonaws.cloudwatch#{code}"), "message": "so" });
        Mock::given(path(PATH)).respond_with(cbor(status, &body)).mount(&wire.server).await;
        let failure = measured(&wire, &[]).await.expect_err(code);
        assert_eq!((failure.code.as_str(), failure.class), (code, class));
        assert_eq!(wire.count().await, requests, "{code}");
    }
}

#[tokio::test]
async fn registered_consumers_are_listed_to_the_end() {
    let wire = Wire::start().await;
    let consumer = |name: &str| json!({ "ConsumerName": name, "ConsumerARN": format!("{STREAM}/consumer/{name}:1"), "ConsumerStatus": "ACTIVE", "ConsumerCreationTimestamp": 1_786_104_000 });
    wire.then("ListStreamConsumers", ok(json!({ "Consumers": [consumer("a")], "NextToken": "more" }))).await;
    wire.then("ListStreamConsumers", ok(json!({ "Consumers": [consumer("b")] }))).await;
    let found = wire.aws.consumers(&stream(), &wire.log).await.unwrap();
    let expected = |name: &str| Consumer { name: name.to_owned(), arn: format!("{STREAM}/consumer/{name}:1") };
    assert_eq!(found, [expected("a"), expected("b")]);
    assert_eq!(wire.requests("ListStreamConsumers").await[1], json!({ "StreamARN": STREAM, "NextToken": "more" }));
    let endless = Wire::start().await;
    endless.always("ListStreamConsumers", ok(json!({ "Consumers": [], "NextToken": "more" }))).await;
    assert!(endless.aws.consumers(&stream(), &endless.log).await.is_err());
}

#[tokio::test]
async fn a_stream_without_a_policy_has_none_however_that_is_answered() {
    for (answer, expected) in [
        (ok(json!({ "Policy": "{\"Statement\": []}" })), Some("{\"Statement\": []}")),
        (ok(json!({ "Policy": "{}" })), None),
        (ok(json!({ "Policy": " " })), None),
        (ok(json!({})), None),
        (error(400, "ResourceNotFoundException", "no policy"), None),
    ] {
        let wire = Wire::start().await;
        wire.then("GetResourcePolicy", answer).await;
        let found = wire.aws.resource_policy(STREAM, &wire.log).await.unwrap();
        assert_eq!(found.as_deref(), expected);
        assert_eq!(wire.requests("GetResourcePolicy").await, [json!({ "ResourceARN": STREAM })]);
    }
    let denied = Wire::start().await;
    denied.then("GetResourcePolicy", error(400, "AccessDeniedException", "not authorized")).await;
    assert_eq!(denied.aws.resource_policy(STREAM, &denied.log).await.unwrap_err().class, ACCESS);
}

/// What was measured is judged as it is.
#[tokio::test]
async fn a_stream_whose_calls_fail_is_found_on_the_wire() {
    use jiff::SignedDuration;
    use streamseal::domain::traffic::Change;
    use streamseal::domain::traffic::judge::judge;
    let wire = Wire::start().await;
    let sent = [vec![60.0; 40], vec![60.0; 10]].concat();
    let worked = [vec![60.0; 40], vec![0.0; 10]].concat();
    let body = answer(12, vec![result("m2", "Complete", &sent), result("m3", "Complete", &worked)]);
    then(&wire, cbor(200, &body)).await;
    let traffic = measured(&wire, &[]).await.unwrap().traffic;
    let at = |mins| time(FROM) + SignedDuration::from_mins(mins);
    let change = Change { before_from: at(0), sent: at(39), active: at(39), until: at(60) };
    let users = judge(&traffic, change, at(50));
    assert_eq!((users.producers.health, users.consumers.health), (Health::Broken, Health::Quiet));
}
