//! What scans and the guard against fights ask for, on the wire: the list of streams, tags in bulk, CloudTrail's history, and the
//! queue of scans.

use streamseal::domain::arn::{KeyArn, StreamName};
use streamseal::domain::history::{Change, ChangeKind, Query};
use streamseal::domain::scan::Scan;
use streamseal::domain::scan::subject::{KeyEvent, Subject};
use streamseal::domain::scan::window::Entry;
use streamseal::ports::{FleetApi, Page, PageStart, TrailApi};

use super::*;

fn name(text: &str) -> StreamName {
    StreamName::parse(text).unwrap()
}

fn arn(name: &str) -> String {
    format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}")
}

fn arns(names: &[&str]) -> Vec<StreamArn> {
    names.iter().map(|name| StreamArn::parse(&arn(name)).unwrap()).collect()
}

/// The failure is that of an answer to a read that cannot be used.
fn assert_unreadable(failure: &Failure, call: &str) {
    let is = (failure.class, failure.code.as_str(), failure.call, failure.may_have_applied);
    assert_eq!(is, (Class::Retryable, "Unreadable", call, false), "{failure:?}");
}

// --- the list of streams ------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_page_of_names_begins_where_the_request_says() {
    let mut wire = Wire::start().await;
    for (from, body) in [
        (PageStart::Beginning, json!({ "Limit": 100 })),
        (PageStart::After(name("bills")), json!({ "Limit": 100, "ExclusiveStartStreamName": "bills" })),
        (PageStart::Token("t/1=".to_owned()), json!({ "Limit": 100, "NextToken": "t/1=" })),
    ] {
        wire.reset().await;
        // `StreamSummaries` is not in every answer.
        wire.always("ListStreams", ok(json!({ "StreamNames": ["z", "a"], "HasMoreStreams": false }))).await;
        let page = wire.aws.list(&from, &wire.log).await.unwrap();
        assert_eq!(page, Page { names: vec![name("z"), name("a")], next: None }, "in the order of the service");
        assert_eq!(wire.requests("ListStreams").await, [body], "never both, and one request");
        let calls = wire.log.calls();
        assert_eq!((calls.len(), calls[0].call, calls[0].error.as_ref()), (1, "kinesis:ListStreams", None));
    }
}

#[tokio::test]
async fn the_next_page_is_known_by_token_or_by_name() {
    let token = |text: &str| Some(PageStart::Token(text.to_owned()));
    let mut wire = Wire::start().await;
    for (more, next) in [
        (json!({ "HasMoreStreams": true, "NextToken": "t1" }), token("t1")),
        (json!({ "HasMoreStreams": true }), Some(PageStart::After(name("b")))),
        (json!({ "HasMoreStreams": true, "NextToken": null }), Some(PageStart::After(name("b")))),
        (json!({ "HasMoreStreams": true, "NextToken": "" }), Some(PageStart::After(name("b")))),
        (json!({ "HasMoreStreams": false, "NextToken": "t1" }), token("t1")),
        (json!({ "HasMoreStreams": false, "NextToken": "" }), None),
        (json!({ "HasMoreStreams": false }), None),
    ] {
        wire.reset().await;
        let mut body = json!({ "StreamNames": ["a", "b"] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        wire.always("ListStreams", ok(body)).await;
        let page = wire.aws.list(&PageStart::Beginning, &wire.log).await.unwrap();
        assert_eq!(page, Page { names: vec![name("a"), name("b")], next }, "{more}");
    }
    wire.reset().await;
    wire.always("ListStreams", ok(json!({ "StreamNames": [], "HasMoreStreams": false }))).await;
    let page = wire.aws.list(&PageStart::Beginning, &wire.log).await.unwrap();
    assert_eq!(page, Page { names: vec![], next: None }, "an account may have no stream");
}

#[tokio::test]
async fn a_list_that_cannot_be_followed_is_a_failure() {
    let mut wire = Wire::start().await;
    for (body, reported) in [
        (json!({ "StreamNames": [], "HasMoreStreams": true }), "none is named"),
        (json!({ "StreamNames": [], "HasMoreStreams": true, "NextToken": "t" }), "none is named"),
        (json!({ "HasMoreStreams": true }), "none is named"),
        (json!({ "StreamNames": ["a", "b c"], "HasMoreStreams": false }), "`b c`"),
        (json!({ "StreamNames": ["a\nb"], "HasMoreStreams": false }), "`a\\nb`"),
        (json!({ "StreamNames": [""], "HasMoreStreams": true }), "``"),
    ] {
        wire.reset().await;
        wire.always("ListStreams", ok(body.clone())).await;
        let failure = wire.aws.list(&PageStart::Beginning, &wire.log).await.unwrap_err();
        assert_unreadable(&failure, "kinesis:ListStreams");
        assert!(failure.message.as_str().contains(reported), "{body}: {failure:?}");
        assert_eq!(wire.count().await, 1);
    }
}

// --- tags ---------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn tags_of_many_streams_take_one_request() {
    let wire = Wire::start().await;
    let tag = |key: &str, value: &str| json!({ "Key": key, "Value": value });
    let found = json!([
        { "ResourceARN": arn("a"), "Tags": [tag("team", "x"), tag("env", "")] },
        // Had tags once.
        { "ResourceARN": arn("b"), "Tags": [] },
        // Not asked for: another stream, another Region, a consumer, no ARN at all.
        { "ResourceARN": arn("d"), "Tags": [tag("team", "y")] },
        { "ResourceARN": arn("c").replace("eu-west-1", "us-east-1"), "Tags": [tag("team", "y")] },
        { "ResourceARN": format!("{}/consumer/x:1", arn("c")), "Tags": [tag("team", "y")] },
        { "Tags": [tag("team", "y")] },
    ]);
    wire.always("GetResources", ok(json!({ "ResourceTagMappingList": found, "PaginationToken": "" }))).await;
    let tags = wire.aws.tags_of(&arns(&["a", "b", "c"]), &wire.log).await.unwrap();
    let of_a = [("env", ""), ("team", "x")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(tags, BTreeMap::from([(name("a"), Tags::from(of_a)), (name("b"), Tags::new())]));
    let body = json!({ "ResourceARNList": [arn("a"), arn("b"), arn("c")] });
    assert_eq!(wire.requests("GetResources").await, [body], "no filter and no page beside the ARNs");
    let calls = wire.log.calls();
    assert_eq!((calls.len(), calls[0].call, calls[0].request_id.as_deref()), (1, "tag:GetResources", Some("req-ok")));
}

#[tokio::test]
async fn tags_of_no_stream_take_no_request() {
    let wire = Wire::start().await;
    assert_eq!(wire.aws.tags_of(&[], &wire.log).await.unwrap(), BTreeMap::new());
    assert_eq!((wire.count().await, wire.log.calls().len()), (0, 0));
}

#[tokio::test]
async fn tags_that_were_cut_are_a_failure() {
    let wire = Wire::start().await;
    let body =
        json!({ "ResourceTagMappingList": [{ "ResourceARN": arn("a"), "Tags": [] }], "PaginationToken": "more" });
    wire.always("GetResources", ok(body)).await;
    let failure = wire.aws.tags_of(&arns(&["a", "b"]), &wire.log).await.unwrap_err();
    assert_unreadable(&failure, "tag:GetResources");
    assert_eq!(wire.count().await, 1);
}

// --- CloudTrail ---------------------------------------------------------------------------------------------------------

/// An event as LookupEvents has it: the record is text within it. `parameters` names the stream.
fn trail_event(name: &str, at: &str, parameters: Value, more: Value) -> Value {
    let mut record = json!({
        "eventVersion": "1.08", "eventName": name, "eventTime": at, "requestParameters": parameters,
        "userIdentity": {
            "type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/terraform/ci",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/terraform"}},
        },
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "EventId": "e-1", "EventName": name, "EventTime": 1_786_104_000, "CloudTrailEvent": record.to_string() })
}

fn trail_page(events: &[Value], next: Option<&str>) -> ResponseTemplate {
    let mut body = json!({ "Events": events });
    if let Some(next) = next {
        body["NextToken"] = json!(next);
    }
    ok(body)
}

fn named(name: &str) -> Value {
    json!({ "LookupAttributes": [{ "AttributeKey": "EventName", "AttributeValue": name }] })
}

/// The request for calls of this name; `token` is that of a page behind the first.
fn lookup(name: &str, token: Option<&str>) -> Value {
    let mut body = named(name);
    body["StartTime"] = json!(SINCE_SECONDS as i64);
    body["MaxResults"] = json!(50);
    if let Some(token) = token {
        body["NextToken"] = json!(token);
    }
    body
}

/// All pages of Starts, and then all of Stops.
async fn changes(aws: &Aws, since: Timestamp, log: &CallLog) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    for query in Query::ALL {
        let mut token = None;
        loop {
            let page = aws.trail_page(&query, since, token.as_deref(), log).await?;
            changes.extend(page.changes);
            token = page.next;
            if token.is_none() {
                break;
            }
        }
    }
    Ok(changes)
}

const START: &str = "StartStreamEncryption";
const STOP: &str = "StopStreamEncryption";

#[tokio::test]
async fn changes_are_looked_up_by_both_names_over_all_pages() {
    let wire = Wire::start().await;
    let by_arn = |name: &str, key: &str| json!({ "streamARN": arn(name), "keyId": key, "encryptionType": "KMS" });
    let first = trail_page(
        &[
            trail_event(START, "2026-08-07T12:09:00Z", by_arn("orders", KEY), json!({})),
            // Failed, and so changed nothing; of another Region; without parameters.
            trail_event(START, "2026-08-07T12:08:00Z", by_arn("orders", KEY), json!({ "errorCode": "ResourceInUse" })),
            trail_event(START, "2026-08-07T12:07:00Z", json!({ "streamARN": arn("x").replace("eu", "us") }), json!({})),
            trail_event(START, "2026-08-07T12:06:00Z", json!(null), json!({})),
        ],
        Some("t1"),
    );
    let parameters = json!({ "streamName": "bills", "keyId": "alias/x", "encryptionType": "KMS" });
    let third = trail_page(&[trail_event(START, "2026-08-07T12:01:00Z", parameters, json!({}))], None);
    wire.then("LookupEvents", first).await;
    // Pages may be empty and not the last.
    wire.then("LookupEvents", trail_page(&[], Some("t2"))).await;
    wire.then("LookupEvents", third).await;
    let stopped = trail_event(STOP, "2026-08-07T12:03:00Z", by_arn("orders", KEY), json!({ "errorCode": null }));
    wire.then("LookupEvents", trail_page(&[stopped], Some(""))).await;

    // Event times have whole seconds.
    let since = since() + SignedDuration::from_millis(900);
    let changes = changes(&wire.aws, since, &wire.log).await.unwrap();
    let found: Vec<_> = changes.iter().map(|c| (c.kind, c.stream.as_str(), c.at)).collect();
    let expected = [
        (ChangeKind::Start, "orders", time("2026-08-07T12:09:00Z")),
        (ChangeKind::Start, "bills", time("2026-08-07T12:01:00Z")),
        (ChangeKind::Stop, "orders", time("2026-08-07T12:03:00Z")),
    ];
    assert_eq!(found, expected);
    let change = &changes[0];
    assert_eq!(change.key, Some(EventText::new(KEY)));
    assert_eq!(change.role.as_deref(), Some("arn:aws:iam::111122223333:role/terraform"));
    assert_eq!(change.actor.as_str(), "arn:aws:sts::111122223333:assumed-role/terraform/ci");

    let expected = [lookup(START, None), lookup(START, Some("t1")), lookup(START, Some("t2")), lookup(STOP, None)];
    assert_eq!(wire.requests("LookupEvents").await, expected, "a token goes with the same parameters");
    let calls = wire.log.calls();
    assert_eq!(calls.iter().map(|call| call.call).collect::<Vec<_>>(), ["cloudtrail:LookupEvents"; 4]);
}

#[tokio::test]
async fn the_changes_of_one_stream_are_looked_up_by_its_name_and_by_its_arn() {
    let wire = Wire::start().await;
    let stopped = trail_event(STOP, "2026-08-07T12:03:00Z", json!({ "streamName": "orders" }), json!({}));
    // Of something else with that name, or of a call that changes no encryption.
    let tagged = trail_event("AddTagsToStream", "2026-08-07T12:02:00Z", json!({ "streamName": "orders" }), json!({}));
    let table = trail_event("CreateTable", "2026-08-07T12:01:00Z", json!({ "tableName": "orders" }), json!({}));
    wire.then("LookupEvents", trail_page(&[stopped, tagged, table], Some("t1"))).await;
    wire.always("LookupEvents", trail_page(&[], None)).await;
    let [by_name, by_arn] = Query::of(&StreamArn::parse(&arn("orders")).unwrap());
    let page = wire.aws.trail_page(&by_name, since(), None, &wire.log).await.unwrap();
    assert_eq!((page.changes.len(), page.changes[0].kind, page.next.as_deref()), (1, ChangeKind::Stop, Some("t1")));
    wire.aws.trail_page(&by_name, since(), page.next.as_deref(), &wire.log).await.unwrap();
    wire.aws.trail_page(&by_arn, since(), None, &wire.log).await.unwrap();
    let of = |value: &str, token: Option<&str>| {
        let mut body = lookup(START, token);
        body["LookupAttributes"] = json!([{ "AttributeKey": "ResourceName", "AttributeValue": value }]);
        body
    };
    let expected = [of("orders", None), of("orders", Some("t1")), of(&arn("orders"), None)];
    assert_eq!(wire.requests("LookupEvents").await, expected);
}

#[tokio::test]
async fn a_history_without_events_has_no_changes() {
    let wire = Wire::start().await;
    wire.then("LookupEvents", trail_page(&[], None)).await;
    wire.then("LookupEvents", ok(json!({}))).await;
    assert_eq!(changes(&wire.aws, since(), &wire.log).await.unwrap(), []);
    assert_eq!(wire.requests("LookupEvents").await, [lookup(START, None), lookup(STOP, None)]);
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_a_failure() {
    let mut wire = Wire::start().await;
    for event in [
        json!({ "EventId": "e-9", "CloudTrailEvent": "{\"eventName\": \"StartStr" }),
        json!({ "EventId": "e-9", "CloudTrailEvent": "" }),
        json!({ "EventId": "e-9" }),
    ] {
        wire.reset().await;
        let good = trail_event(START, "2026-08-07T12:09:00Z", json!({ "streamName": "orders" }), json!({}));
        wire.always("LookupEvents", trail_page(&[good, event.clone()], None)).await;
        let failure = changes(&wire.aws, since(), &wire.log).await.unwrap_err();
        assert_unreadable(&failure, "cloudtrail:LookupEvents");
        assert!(failure.message.as_str().contains("`e-9`"), "{event}: {failure:?}");
    }
}

// --- errors -------------------------------------------------------------------------------------------------------------

/// Each code of the two services that the SDK asks again by itself: class, and how often it asked.
#[tokio::test]
async fn codes_of_tagging_and_cloudtrail_have_their_class() {
    let (tags, trail) = ("GetResources", "LookupEvents");
    let rows = [
        (tags, 400, "InvalidParameterException", BAD_REQUEST, 1),
        (tags, 400, "PaginationTokenExpiredException", Class::Retryable, 1),
        (tags, 400, "AccessDeniedException", ACCESS, 1),
        (tags, 400, "ThrottledException", Class::Retryable, 3),
        (tags, 500, "InternalServiceException", Class::Retryable, 3),
        (trail, 400, "InvalidEventCategoryException", BAD_REQUEST, 1),
        (trail, 400, "InvalidLookupAttributesException", BAD_REQUEST, 1),
        (trail, 400, "InvalidMaxResultsException", BAD_REQUEST, 1),
        (trail, 400, "InvalidTimeRangeException", BAD_REQUEST, 1),
        (trail, 400, "UnsupportedOperationException", BAD_REQUEST, 1),
        (trail, 400, "InvalidNextTokenException", Class::Retryable, 1),
        (trail, 400, "OperationNotPermittedException", ACCESS, 1),
        (trail, 400, "AccessDeniedException", ACCESS, 1),
        (trail, 400, "ThrottlingException", Class::Retryable, 3),
        (trail, 503, "ServiceUnavailable", Class::Retryable, 3),
    ];
    let mut wire = Wire::start().await;
    for (operation, status, code, class, requests) in rows {
        wire.reset().await;
        wire.always(operation, error(status, code, "no")).await;
        let failure = match operation {
            "GetResources" => wire.aws.tags_of(&arns(&["a"]), &wire.log).await.unwrap_err(),
            _ => changes(&wire.aws, since(), &wire.log).await.unwrap_err(),
        };
        let is = (failure.class, failure.code.as_str(), failure.message.as_str(), failure.may_have_applied);
        assert_eq!(is, (class, code, "no", false), "{operation} {code}: {failure:?}");
        assert_eq!(wire.count().await, requests, "{operation} {code}");
        let calls = wire.log.calls();
        assert_eq!((calls.len(), calls[0].call), (1, failure.call), "{operation} {code}");
        assert_eq!(calls[0].error, Some(failure));
    }
}

#[tokio::test]
async fn a_later_page_that_fails_fails_the_whole_history() {
    let wire = Wire::start().await;
    let good = trail_event(START, "2026-08-07T12:09:00Z", json!({ "streamName": "orders" }), json!({}));
    wire.then("LookupEvents", trail_page(&[good], Some("t1"))).await;
    wire.then("LookupEvents", error(400, "InvalidNextTokenException", "used before")).await;
    let failure = changes(&wire.aws, since(), &wire.log).await.unwrap_err();
    assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "InvalidNextTokenException"));
    assert_eq!((wire.count().await, wire.log.calls().len()), (2, 2));
}

// --- the queue of scans -------------------------------------------------------------------------------------------------

fn scan(id: &str) -> Scan {
    let call = EventText::new("sweep");
    let cause = Cause { call, event_id: Some(EventText::new(id)), actor: None, at: None, creator: None };
    Scan::new(Subject::Fleet, cause, time("2026-08-07T12:00:00Z"))
}

#[tokio::test]
async fn scans_stand_in_one_line_and_each_part_once() {
    let wire = Wire::start().await;
    assert!(wire.aws.has_scan_queue());
    wire.always("SendMessage", ok(json!({ "MessageId": "m", "MD5OfMessageBody": "x" }))).await;
    let mut counted = scan("e1");
    counted.tally.listed = 7;
    let (next, eleventh) = (Scan { parts: 1, ..scan("e1") }, Scan { parts: 11, ..scan("e1") });
    let key = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/k").unwrap();
    let of_a_key = Scan { subject: Subject::Key { key, event: KeyEvent::Lost }, ..scan("e3") };
    let sent = [scan("e1"), counted, next, eleventh, scan("e2"), of_a_key];
    for scan in &sent {
        wire.aws.send_scan(scan, Entry::Next).await.unwrap();
    }
    let requests = wire.requests("SendMessage").await;
    let mut ids = Vec::new();
    for (mut body, scan) in requests.into_iter().zip(&sent) {
        let id = body["MessageDeduplicationId"].take();
        // Whoever has a key of his own delays no sweep.
        let group = if matches!(scan.subject, Subject::Key { .. }) { "keys" } else { "policy" };
        let expected = json!({
            "QueueUrl": SCANS, "MessageBody": scan.to_json(), "MessageGroupId": group, "MessageDeduplicationId": null
        });
        assert_eq!(body, expected, "a FIFO queue takes no delay for one message");
        let id = id.as_str().unwrap().to_owned();
        assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        ids.push(id);
    }
    // printf '%s' 'next 0 sweep@e1' | sha256sum
    assert_eq!(ids[0], "328f9d117916a37a778daac6a70a0f31a561353411e53ad32cc0ea2c88a1511a");
    assert_eq!(ids[0], ids[1], "the same part, whatever it counted");
    // What comes another way is another message: a forged one on its way through the work queue stands for no part of a scan.
    for entry in [Entry::Asked, Entry::Again] {
        wire.aws.send_scan(&scan("e1"), entry).await.unwrap();
        let body = wire.requests("SendMessage").await.pop().unwrap();
        ids.push(body["MessageDeduplicationId"].as_str().unwrap().to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7, "each other part, and each other scan");
}

#[tokio::test]
async fn a_scan_is_put_off_through_the_work_queue() {
    let mut wire = Wire::start().await;
    for (delay, seconds) in [(0, 0), (29_001, 30), (86_400_000, 900)] {
        wire.reset().await;
        wire.always("SendMessage", ok(json!({ "MessageId": "m", "MD5OfMessageBody": "x" }))).await;
        wire.aws.defer_scan(&scan("e1"), Duration::from_millis(delay)).await.unwrap();
        let body = json!({ "QueueUrl": QUEUE, "MessageBody": scan("e1").to_json(), "DelaySeconds": seconds });
        assert_eq!(wire.requests("SendMessage").await, [body], "{delay} ms");
    }
}

#[tokio::test]
async fn a_scan_that_is_not_sent_is_a_failure() {
    let wire = Wire::start().await;
    wire.always("SendMessage", error(403, "AccessDenied", "not authorized")).await;
    for failure in
        [wire.aws.send_scan(&scan("e1"), Entry::Asked).await, wire.aws.defer_scan(&scan("e1"), Duration::ZERO).await]
    {
        let failure = failure.unwrap_err();
        assert_eq!((failure.class, failure.call), (ACCESS, "sqs:SendMessage"), "{failure:?}");
    }
    // Each of the queues for itself.
    let sdk = sdk_config(&Connection { region: Some("eu-west-1".into()), ..Connection::default() }).await;
    let aws = |work: Option<&str>, scans: Option<&str>| {
        let queues = Queues { work: work.map(str::to_owned), scans: scans.map(str::to_owned) };
        Aws::new(&sdk, scope(), queues)
    };
    let (no_scans, no_work) = (aws(Some(QUEUE), None), aws(None, Some(SCANS)));
    assert_eq!((no_scans.has_queue(), no_scans.has_scan_queue()), (true, false));
    assert_eq!((no_work.has_queue(), no_work.has_scan_queue()), (false, true));
    let (scan, zero) = (scan("e1"), Duration::ZERO);
    for failure in [no_scans.send_scan(&scan, Entry::Asked).await, no_work.defer_scan(&scan, zero).await] {
        let failure = failure.unwrap_err();
        assert_eq!((failure.class, failure.code.as_str()), (Class::Retryable, "NoQueue"), "{failure:?}");
    }
}

/// The futures of the ports cross threads, as the Lambda runtime asks.
#[test]
fn futures_are_send() {
    fn is_send<T: Send>(_: T) {}
    fn all<T: FleetApi + TrailApi>(aws: &T, log: &CallLog) {
        is_send(aws.list(&PageStart::Beginning, log));
        is_send(aws.trail_page(&Query::Resource(String::new()), since(), None, log));
    }
    let _ = all::<Aws>;
}
