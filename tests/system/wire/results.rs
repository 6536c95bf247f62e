//! Results on the wire: what PutEvents is sent, how its answer is read entry by entry, and where the request goes.

use streamseal::domain::bus::{Bus, EVIDENCE, ResultEvent, SUMMARY};
use streamseal::ports::ResultBus;

use super::*;

const BUS: &str = "arn:aws:events:eu-central-1:999999999999:event-bus/results";

fn results() -> Vec<ResultEvent> {
    let time = time("2026-08-07T12:00:00.123Z");
    let detail = |n: u32| json!({ "schema": "streamseal.evidence/v1", "n": n }).to_string();
    let resource = Some(STREAM.to_owned());
    vec![
        ResultEvent { detail_type: EVIDENCE, time, resource, detail: detail(0) },
        ResultEvent { detail_type: SUMMARY, time, resource: None, detail: detail(1) },
        ResultEvent { detail_type: EVIDENCE, time, resource: None, detail: detail(2) },
    ]
}

async fn with_bus(server: &MockServer, bus: &str) -> Aws {
    aws_at(&server.uri(), Timeouts::default()).await.with_bus(Some(Bus::parse(bus, "aws").unwrap()))
}

fn taken(entries: usize) -> ResponseTemplate {
    let entries: Vec<Value> = (0..entries).map(|n| json!({ "EventId": format!("e{n}") })).collect();
    ok(json!({ "FailedEntryCount": 0, "Entries": entries }))
}

#[tokio::test]
async fn entries_carry_source_type_stream_time_and_document_to_the_buss_own_region() {
    let wire = Wire::start().await;
    for (bus, region) in [(BUS, "eu-central-1"), ("results", "eu-west-1")] {
        wire.server.reset().await;
        wire.always("PutEvents", taken(3)).await;
        let answers = with_bus(&wire.server, bus).await.put_results(&results()).await.unwrap();
        assert_eq!(answers, [Ok(()), Ok(()), Ok(())]);
        let entry = |kind: &str, detail: &str| json!({ "EventBusName": bus, "Source": "streamseal", "DetailType": kind, "Detail": detail, "Time": 1_786_104_000.123 });
        let mut expected: Vec<Value> = results().iter().map(|it| entry(it.detail_type, &it.detail)).collect();
        expected[0]["Resources"] = json!([STREAM]);
        assert_eq!(wire.requests("PutEvents").await, [json!({ "Entries": expected })], "one request");
        let signed = wire.server.received_requests().await.unwrap()[0].headers["authorization"].clone();
        let signed = signed.to_str().unwrap();
        assert!(
            signed.contains(&format!("/{region}/events/aws4_request")),
            "another Region does not know the bus: {signed}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_read_entry_by_entry() {
    let wire = Wire::start().await;
    let aws = with_bus(&wire.server, BUS).await;
    let rows = [
        ("InternalFailure", Class::Retryable),
        ("ThrottlingException", Class::Retryable),
        ("NeverHeardOfException", Class::Retryable),
        ("AccessDeniedException", ACCESS),
        ("NotAuthorizedForSourceException", ACCESS),
        ("NotAuthorizedForDetailTypeException", ACCESS),
        ("InvalidAccountIdException", BAD_REQUEST),
        ("InvalidArgument", BAD_REQUEST),
        ("MalformedDetail", BAD_REQUEST),
    ];
    for (code, class) in rows {
        wire.server.reset().await;
        let failed = json!({ "ErrorCode": code, "ErrorMessage": "because" });
        let entries = json!([{ "EventId": "e" }, failed, { "EventId": "f" }]);
        wire.always("PutEvents", ok(json!({ "FailedEntryCount": 1, "Entries": entries }))).await;
        let answers = aws.put_results(&results()).await.unwrap();
        assert_eq!((&answers[0], &answers[2]), (&Ok(()), &Ok(())), "{code}");
        let failure = answers[1].clone().unwrap_err();
        let is = (failure.class, failure.call, failure.code.as_str(), failure.message.as_str());
        assert_eq!(is, (class, "events:PutEvents", code, "because"));
        assert_eq!(wire.requests("PutEvents").await.len(), 1, "{code}: what is sent again is not the SDK's to say");
    }
    // An answer that says nothing of an entry, or neither of both things, is not taken for a yes.
    for entries in [json!([{ "EventId": "e" }]), json!([{ "EventId": "e" }, {}, {}]), Value::Null] {
        wire.server.reset().await;
        wire.always("PutEvents", ok(json!({ "FailedEntryCount": 0, "Entries": entries }))).await;
        let answers = aws.put_results(&results()).await.unwrap();
        assert_eq!(answers.len(), 3);
        let failure = answers[2].clone().unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "Unreadable"), "{entries}");
    }
}

#[tokio::test]
async fn a_request_that_fails_is_repeated_where_that_may_help() {
    let wire = Wire::start().await;
    let aws = with_bus(&wire.server, BUS).await;
    for (status, code, class, requests) in [
        (500, "InternalException", Class::Retryable, 3),
        (400, "ThrottlingException", Class::Retryable, 3),
        (400, "ResourceNotFoundException", BAD_REQUEST, 1),
        (400, "AccessDeniedException", ACCESS, 1),
        (400, "ValidationException", BAD_REQUEST, 1),
    ] {
        wire.server.reset().await;
        wire.always("PutEvents", error(status, code, "so")).await;
        let failure = aws.put_results(&results()).await.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
        assert_eq!(wire.requests("PutEvents").await.len(), requests, "{code}");
    }
    // What is no bus is sent nothing.
    let failure = wire.aws.put_results(&results()).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "NoBus");
}
