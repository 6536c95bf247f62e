//! What AWS was seen to answer (`tests/observed`), through the adapters: each recorded case, and that what we send is what was sent then.

use std::collections::BTreeSet;

use streamseal::domain::history::{ChangeKind, Query};

use super::*;

/// Where it was recorded.
fn there(region: &str) -> Scope {
    Scope { partition: "aws".into(), region: region.into(), account: "111122223333".into() }
}

fn orders() -> StreamArn {
    StreamArn::parse("arn:aws:kinesis:us-east-1:111122223333:stream/orders").unwrap()
}

fn recorded(name: &str) -> Value {
    let path = crate::support::root().join(format!("tests/observed/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn label(case: &Value) -> &str {
    case["label"].as_str().unwrap()
}

/// The cases of a file, each with what is expected of it: none is left out, and none is made up.
fn cases<'r, T>(name: &str, rows: &'r [(&str, T)]) -> Vec<(Value, &'r T)> {
    let cases = recorded(name)["cases"].as_array().unwrap().clone();
    let recorded: BTreeSet<&str> = cases.iter().map(label).collect();
    assert_eq!(recorded, rows.iter().map(|(label, _)| *label).collect(), "{name}");
    let expected = |case: &Value| rows.iter().find(|(of, _)| *of == label(case)).map(|(_, expected)| expected).unwrap();
    cases.iter().map(|case| (case.clone(), expected(case))).collect()
}

fn case(name: &str, wanted: &str) -> Value {
    let found = recorded(name)["cases"].as_array().unwrap().iter().find(|case| label(case) == wanted).cloned();
    found.unwrap_or_else(|| panic!("{name} has no {wanted}"))
}

fn answered(case: &Value) -> ResponseTemplate {
    ResponseTemplate::new(u16::try_from(case["status"].as_u64().unwrap()).unwrap())
        .insert_header("x-amzn-requestid", "req-recorded")
        .set_body_json(&case["body"])
}

async fn wire_in(region: &str) -> Wire {
    let server = MockServer::start().await;
    let aws = aws_of(there(region), &server.uri(), Timeouts::default()).await;
    Wire { server, aws, log: CallLog::default() }
}

/// The recorded words of a refusal, as far as every failure keeps them.
fn words(case: &Value) -> String {
    let body = &case["body"];
    let words = body["message"].as_str().or(body["Message"].as_str()).or(case["message"].as_str()).unwrap();
    words.chars().take(150).collect()
}

#[tokio::test]
async fn streams_as_they_are_described() {
    use StreamStatus::{Active, Creating, Deleting, Updating};
    let managed = || Encryption::Kms(key_ref("alias/aws/kinesis"));
    let first = [
        ("creating", (Creating, Encryption::None)),
        ("active-unencrypted", (Active, Encryption::None)),
        ("updating-after-start", (Updating, Encryption::None)),
        ("active-encrypted", (Active, managed())),
        ("on-demand", (Active, Encryption::None)),
    ];
    let second = [
        ("updating-same-key", (Updating, managed())),
        ("active-same-key", (Active, managed())),
        ("updating-after-stop", (Updating, managed())),
        ("active-after-stop", (Active, Encryption::None)),
        ("deleting", (Deleting, Encryption::None)),
    ];
    let mut wire = wire_in("us-east-1").await;
    let rows = cases("kinesis-describe-stream-summary-1", &first);
    for (case, (status, encryption)) in rows.into_iter().chain(cases("kinesis-describe-stream-summary-2", &second)) {
        wire.reset().await;
        wire.always("DescribeStreamSummary", answered(&case)).await;
        let observed = wire.aws.describe(&orders(), &wire.log).await.unwrap();
        assert_eq!((&observed.status, &observed.encryption), (status, encryption), "{}", label(&case));
        let created = case["body"]["StreamDescriptionSummary"]["StreamCreationTimestamp"].as_f64().unwrap();
        assert_eq!(created.fract(), 0.0, "whole seconds");
        assert_eq!(observed.created, Timestamp::from_second(created as i64).unwrap(), "{}", label(&case));
        assert_eq!(observed.retention_hours, 24);
    }
}

#[tokio::test]
async fn refusals_of_kinesis() {
    use Port::{Describe, List, Probe, Start};
    let rows = [
        ("not-found", (Describe, Class::Ignored)),
        ("name-and-arn-disagree", (Describe, BAD_REQUEST)),
        ("name-is-an-arn", (Describe, BAD_REQUEST)),
        ("no-name", (Describe, BAD_REQUEST)),
        ("account-that-does-not-exist", (Describe, BAD_REQUEST)),
        ("other-region", (Describe, BAD_REQUEST)),
        ("exists", (Start, Class::Waiting)),
        ("busy", (Start, Class::Waiting)),
        ("quota-of-24-hours", (Start, Class::RateOrQuota)),
        ("denied", (Describe, ACCESS)),
        ("denied-list", (List, ACCESS)),
        ("denied-by-the-streams-policy", (Describe, ACCESS)),
        ("dry-run", (Probe, BAD_REQUEST)),
    ];
    let mut wire = wire_in("us-east-1").await;
    for (case, &(port, class)) in cases("kinesis-errors", &rows) {
        let code = case["body"]["__type"].as_str().unwrap();
        let failure = check(&mut wire, port, answered(&case), class, code).await;
        assert!(failure.message.as_str().starts_with(&words(&case)), "{failure:?}");
        assert!(!failure.may_have_applied, "{failure:?}");
    }
    let start = [
        ("start", None),
        ("start-same-key", None),
        ("start-wrong-type", Some(BAD_REQUEST)),
        ("stop", None),
        ("stop-unencrypted", Some(BAD_REQUEST)),
    ];
    for (case, refused) in cases("kinesis-start-stop", &start) {
        wire.reset().await;
        wire.always("StartStreamEncryption", answered(&case)).await;
        let started = wire.aws.start_encryption(&orders(), &KeyIdentity::AwsManagedAlias, &wire.log).await;
        assert_eq!(started.err().map(|failure| failure.class), *refused, "{}", label(&case));
        // What was sent then, Stop's too, has the members that we send.
        let mut sent = case["request"].clone();
        sent["EncryptionType"] = json!("KMS");
        assert_eq!(wire.requests("StartStreamEncryption").await, [sent], "{}", label(&case));
    }
}

#[tokio::test]
async fn pages_of_streams() {
    let name = |text: &str| vec![text.to_owned()];
    let rows = [
        ("first-page", Ok((name("orders"), true))),
        ("second-page-by-name", Ok((name("orders-b"), true))),
        ("last-page-by-token", Ok((name("orders-b"), false))),
        ("nothing-left", Ok((Vec::new(), false))),
        ("token-and-name", Err(BAD_REQUEST)),
        ("bad-token", Err(BAD_REQUEST)),
        ("limit-zero", Err(BAD_REQUEST)),
    ];
    let mut wire = wire_in("us-east-1").await;
    for (case, expected) in cases("kinesis-list-streams", &rows) {
        wire.reset().await;
        wire.always("ListStreams", answered(&case)).await;
        let token = case["body"]["NextToken"].as_str().map(|token| PageStart::Token(token.to_owned()));
        match (wire.aws.list(&PageStart::Beginning, &wire.log).await, expected) {
            (Ok(page), Ok((names, more))) => {
                assert_eq!(page.names.iter().map(ToString::to_string).collect::<Vec<_>>(), *names, "{}", label(&case));
                assert_eq!((page.next.is_some(), page.next), (*more, token), "{}", label(&case));
            }
            (Err(failure), Err(class)) => {
                assert_eq!((failure.class, failure.message.as_str()), (*class, &*words(&case)), "{}", label(&case));
            }
            (found, _) => panic!("{}: {found:?}", label(&case)),
        }
    }
}

#[tokio::test]
async fn tags_of_one_stream_and_of_many() {
    let wire = wire_in("us-east-1").await;
    let all = case("kinesis-list-tags", "resource")["body"]["Tags"].as_array().unwrap().clone();
    for page in ["page-1", "page-2"] {
        wire.then("ListTagsForStream", answered(&case("kinesis-list-tags", page))).await;
    }
    // The third page was not recorded; the whole list was.
    wire.then("ListTagsForStream", ok(json!({ "HasMoreTags": false, "Tags": all[4..] }))).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let expected: Tags = all.iter().map(|tag| (text(&tag["Key"]), text(&tag["Value"]))).collect();
    assert_eq!(expected.len(), 5);
    assert_eq!(wire.aws.tags(&orders(), &wire.log).await.unwrap(), expected);
    let after: Vec<Value> =
        wire.requests("ListTagsForStream").await.iter().map(|body| body["ExclusiveStartTagKey"].clone()).collect();
    assert_eq!(
        after,
        [Value::Null, case("kinesis-list-tags", "page-2")["request"]["ExclusiveStartTagKey"].clone(), json!("new")]
    );
    wire.then("ListTagsForStream", answered(&case("kinesis-list-tags", "stream"))).await;
    let tags = [("Case", "one"), ("owner", "probe")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(wire.aws.tags(&orders(), &wire.log).await.unwrap(), tags.into_iter().collect::<Tags>());

    let orders_alone =
        || [(orders().name, [("owner".to_owned(), "probe".to_owned())].into_iter().collect::<Tags>())].into();
    let rows = [
        ("tagged-and-not", Ok(orders_alone())),
        ("absent", Ok(BTreeMap::new())),
        ("invalid-parameter", Err(BAD_REQUEST)),
        ("validation", Err(BAD_REQUEST)),
    ];
    let mut wire = wire_in("us-east-1").await;
    for (case, expected) in cases("tagging-get-resources", &rows) {
        wire.reset().await;
        wire.always("GetResources", answered(&case)).await;
        let asked = case["request"]["ResourceARNList"].as_array().into_iter().flatten();
        let mut asked: Vec<StreamArn> = asked.map(|arn| StreamArn::parse(arn.as_str().unwrap()).unwrap()).collect();
        if asked.is_empty() {
            asked.push(orders());
        }
        let found = wire.aws.tags_of(&asked, &wire.log).await.map_err(|failure| failure.class);
        assert_eq!(found, *expected, "{}", label(&case));
        let sent: BTreeSet<String> = asked.iter().map(ToString::to_string).collect();
        assert_eq!(wire.requests("GetResources").await, [json!({ "ResourceARNList": sent })], "{}", label(&case));
    }
}

#[tokio::test]
async fn records_of_a_stream_that_is_not_encrypted_have_no_type() {
    assert!(
        !recorded("kinesis-records")["cases"].to_string().contains("EncryptionType"),
        "the text NONE was never seen"
    );
    let mut wire = wire_in("us-east-1").await;
    for put in ["put", "put-empty-data"] {
        let case = case("kinesis-records", put);
        wire.reset().await;
        wire.always("PutRecord", answered(&case)).await;
        let answer = wire.aws.put_probe(&orders(), &wire.log).await.unwrap();
        assert_eq!(answer.encryption_type, None, "{put}");
        let reported = json!({ "SequenceNumber": answer.sequence_number, "ShardId": answer.shard_id });
        assert_eq!(reported, case["body"], "{put}");
        let sent = wire.requests("PutRecord").await[0].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(sent, case["request"].as_object().unwrap().keys().cloned().collect(), "{put}");
    }

    // Reading: the shards, the place, the records.
    let shards = case("kinesis-list-shards", "one-open-shard");
    let at = case("kinesis-records", "a-record")["body"]["Records"][0]["ApproximateArrivalTimestamp"].as_f64().unwrap();
    let at = Timestamp::from_millisecond((at * 1000.0).round() as i64).unwrap();
    for (records, expected) in [("nothing", None), ("end-of-a-closed-shard", None), ("a-record", Some(at))] {
        wire.reset().await;
        wire.always("ListShards", answered(&shards)).await;
        wire.always("GetShardIterator", answered(&case("kinesis-records", "iterator"))).await;
        wire.always("GetRecords", answered(&case("kinesis-records", records))).await;
        let found = wire.aws.read_back(&orders(), ReadBack::Any(at), &wire.log).await.unwrap();
        assert_eq!(
            found.as_ref().map(|found| (found.at, found.encryption_type.as_deref())),
            expected.map(|at| (at, None)),
            "{records}"
        );
        let place = &case("kinesis-records", "iterator")["body"]["ShardIterator"];
        assert_eq!(wire.requests("GetRecords").await[0]["ShardIterator"], *place, "{records}");
        let sent = &wire.requests("GetShardIterator").await[0];
        let then = &case("kinesis-records", "iterator")["request"];
        assert_eq!((&sent["ShardId"], &sent["StreamARN"]), (&then["ShardId"], &then["StreamARN"]), "{records}");
    }
    wire.reset().await;
    wire.always("ListShards", answered(&shards)).await;
    let future = case("kinesis-records", "iterator-in-the-future");
    wire.always("GetShardIterator", answered(&future)).await;
    let failure = wire.aws.read_back(&orders(), ReadBack::Any(at), &wire.log).await.unwrap_err();
    assert_eq!(failure.class, BAD_REQUEST);
    assert!(failure.message.as_str().starts_with(&words(&future)), "{failure:?}");

    // After a split records land in the children; the probe may be in the parent still.
    let split = case("kinesis-list-shards", "split");
    assert_eq!(split["request"], json!({ "StreamARN": orders().to_string() }));
    let shard = |number: u8| format!("shardId-{number:012}");
    for (which, expected) in [(ReadBack::Any(at), [1, 2]), (ReadBack::Probe(at), [2, 0])] {
        wire.reset().await;
        wire.always("ListShards", answered(&split)).await;
        wire.always("GetShardIterator", answered(&case("kinesis-records", "iterator"))).await;
        wire.always("GetRecords", answered(&case("kinesis-records", "nothing"))).await;
        assert_eq!(wire.aws.read_back(&orders(), which, &wire.log).await.unwrap(), None);
        let asked: Vec<Value> =
            wire.requests("GetShardIterator").await.iter().map(|body| body["ShardId"].clone()).collect();
        assert_eq!(asked, expected.map(|number| json!(shard(number))), "{which:?}");
    }
}

/// The slowest answer that was recorded is GetRecords of a new shard. The client's clock jumps, see
/// [`a_late_answer_is_a_timeout_that_may_have_applied_and_is_not_repeated`].
#[tokio::test]
async fn a_search_for_records_outlasts_the_slowest_that_was_recorded() {
    let slowest = Duration::from_secs_f64(case("kinesis-records", "nothing")["seconds"].as_f64().unwrap());
    let mut wire = wire_in("us-east-1").await;
    for port in Port::ALL {
        let (there, is_there) = mpsc::channel();
        let holds_the_clock = tokio::task::spawn_blocking(move || is_there.recv_timeout(PATIENCE));
        tokio::time::pause();
        check(&mut wire, port, Late(there), Class::Retryable, "Timeout").await;
        tokio::time::resume();
        holds_the_clock.await.unwrap().unwrap();
        let waited = wire.log.calls().pop().unwrap().duration;
        let seconds = if matches!(port, Port::Records) { 8 } else { 5 };
        assert_eq!(waited.as_secs(), seconds, "{port:?}");
        assert_eq!(waited > slowest + Duration::from_secs(2), matches!(port, Port::Records), "{port:?}");
    }
}

#[tokio::test]
async fn keys_as_they_are_described() {
    let text = EventText::new;
    let state = |name: &str| Some(KeyProblem::State(text(name)));
    let (aws, customer) = (KeyManager::Aws, KeyManager::Customer);
    let first = [
        ("aws-managed", (aws, None)),
        ("customer", (customer, None)),
        ("hmac", (customer, Some(KeyProblem::Usage(text("GENERATE_VERIFY_MAC"))))),
        ("pending-deletion", (customer, state("PendingDeletion"))),
        ("disabled", (customer, state("Disabled"))),
    ];
    let second = [
        ("pending-import", (customer, state("PendingImport"))),
        ("multi-region-primary", (customer, None)),
        ("multi-region-replica-creating", (customer, Some(KeyProblem::NotReady(text("Creating"))))),
    ];
    for (case, (manager, problem)) in
        cases("kms-describe-key-1", &first).into_iter().chain(cases("kms-describe-key-2", &second))
    {
        let metadata = &case["body"]["KeyMetadata"];
        let arn = KeyArn::parse(metadata["Arn"].as_str().unwrap()).unwrap();
        let material = metadata["CurrentKeyMaterialId"].as_str().map(EventText::new);
        let info = |problem: Option<KeyProblem>| {
            let said = |name: &str| metadata[name].as_str().map(EventText::new);
            let (state, origin, material) = (said("KeyState"), said("Origin"), material.clone());
            assert!(state.is_some() && origin.is_some(), "{metadata}");
            let known = KeyInfo::new(KeyIdentity::Arn(arn.clone()), *manager, problem);
            KeyLookup::Found(KeyInfo { state, origin, material, ..known })
        };
        // From the key's own Region, and from another one.
        for (region, problem) in [
            (arn.region().to_owned(), problem.clone()),
            ("eu-west-1".to_owned(), Some(KeyProblem::Region(text(arn.region())))),
        ] {
            let wire = wire_in(&region).await;
            wire.always("DescribeKey", answered(&case)).await;
            let found = wire.aws.lookup(&key_ref("alias/x"), &wire.log).await.unwrap();
            assert_eq!(found, info(problem), "{} from {region}", label(&case));
        }
    }
}

/// Refusals of other calls of KMS too, since Kinesis hands over what KMS said.
#[tokio::test]
async fn refusals_of_kms() {
    let rows = [
        ("no-such-alias", BAD_KEY),
        ("disabled", BAD_KEY),
        ("pending-deletion", BAD_KEY),
        ("alias-where-a-key-is-asked-for", BAD_REQUEST),
    ];
    let mut wire = wire_in("us-east-1").await;
    for (case, class) in cases("kms-errors", &rows) {
        let code = case["code"].as_str().unwrap();
        let status = u16::try_from(case["status"].as_u64().unwrap()).unwrap();
        let failure = check(&mut wire, Port::Start, error(status, code, &words(&case)), *class, code).await;
        assert_eq!(failure.message.as_str(), words(&case));
    }
    let missing = case("kms-errors", "no-such-alias");
    wire.reset().await;
    wire.always("DescribeKey", error(400, missing["code"].as_str().unwrap(), &words(&missing))).await;
    assert_eq!(wire.aws.lookup(&key_ref("alias/app"), &wire.log).await.unwrap(), KeyLookup::NotFound);
}

#[tokio::test]
async fn the_history_of_changes() {
    let recorded = recorded("cloudtrail-lookup-events");
    let events = recorded["body"]["Events"].as_array().unwrap();
    let start = (ChangeKind::Start, "orders".to_owned(), "2026-09-19T11:31:50Z".to_owned());
    let stop = (ChangeKind::Stop, "orders".to_owned(), "2026-09-19T11:31:57Z".to_owned());
    // Start was by name and Stop by ARN, and so are the resources that each is found by.
    let [by_name, by_arn] = Query::of(&orders());
    for (query, attribute, expected) in [
        (Query::Calls("StartStreamEncryption"), "EventName", &start),
        (Query::Calls("StopStreamEncryption"), "EventName", &stop),
        (by_name, "ResourceName", &start),
        (by_arn, "ResourceName", &stop),
    ] {
        let is_it = |event: &&Value| {
            let resources = event["Resources"].as_array().unwrap().iter().map(|resource| &resource["ResourceName"]);
            [&event["EventName"]].into_iter().chain(resources).any(|value| value == query.value())
        };
        let found: Vec<&Value> = events.iter().filter(is_it).collect();
        assert_eq!(found.len(), 1, "{query:?}");
        let wire = wire_in("us-east-1").await;
        let asked = json!({ "LookupAttributes": [{ "AttributeKey": attribute, "AttributeValue": query.value() }] });
        wire.always_for("LookupEvents", asked, ok(json!({ "Events": found }))).await;
        let page = wire.aws.trail_page(&query, time("2026-09-19T00:00:00Z"), None, &wire.log).await.unwrap();
        assert_eq!(page.next, None, "NextToken is absent from the last page");
        let [change] = &page.changes[..] else { panic!("{query:?}: {page:?}") };
        assert_eq!((change.kind, change.stream.to_string(), change.at.to_string()), *expected, "{query:?}");
        assert_eq!(
            found[0]["EventTime"].as_f64().unwrap() as i64,
            change.at.as_second(),
            "the event's time is the record's"
        );
    }
}
