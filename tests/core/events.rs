//! Every file of `events/` and every way to be wrong: what the parser makes of it.

mod observed;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::arn::Scope;
use streamseal::domain::cause::Creator;
use streamseal::domain::event::found::{REPORTED_MAX, TODO_MAX};
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::event::reason::{IgnoreReason, RejectReason};
use streamseal::domain::scan::Scan;
use streamseal::domain::scan::subject::Subject;
use streamseal::domain::work::Work;

fn own() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

fn now() -> Timestamp {
    "2026-03-02T08:15:00Z".parse().unwrap()
}

fn file(name: &str) -> Value {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn items(payload: &Value) -> Vec<Item> {
    match parse(payload, &own(), now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|m| m.items).collect(),
    }
}

/// `stream call`, `ignored Code`, `rejected Code` or `malformed`, for each item.
fn words(payload: &Value) -> Vec<String> {
    words_of(&items(payload))
}

fn words_of(items: &[Item]) -> Vec<String> {
    let word = |item: &Item| match item {
        Item::Reconcile(work) => format!("{} {}", work.stream.name, work.cause.call),
        Item::Scan(scan) => format!("scan {} {}", scan_subject(scan), scan.cause.call),
        Item::ScanNow(scan) => format!("now scan {} {}", scan_subject(scan), scan.cause.call),
        Item::PolicyChanged(name, scan) => format!("scan {} {} {name}", scan_subject(scan), scan.cause.call),
        Item::Ignored(why) => format!("ignored {}", why.code()),
        Item::Rejected(why) => format!("rejected {}", why.code()),
        Item::Malformed(why) => format!("malformed {why}"),
        Item::Rest(rest) => format!("{} more {:?} {}", rest.count, rest.fate, rest.code),
    };
    items.iter().map(word).collect()
}

fn scan_subject(scan: &Scan) -> String {
    match &scan.subject {
        Subject::Fleet => "fleet".to_owned(),
        Subject::Alias { alias } => alias.to_string(),
        Subject::Aliases => "aliases".to_owned(),
        Subject::Key { key, event } => format!("{event:?} {}", key.as_str().rsplit('/').next().unwrap()),
    }
}

fn work(payload: &Value) -> Work {
    match items(payload).remove(0) {
        Item::Reconcile(work) => *work,
        other => panic!("{other:?}"),
    }
}

/// Sets `/a/b/c` of an event file.
fn with(name: &str, pointer: &str, value: Value) -> Value {
    let mut event = file(name);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match field.parse::<usize>() {
        Ok(index) => event.pointer_mut(parent).unwrap()[index] = value,
        Err(_) => event.pointer_mut(parent).unwrap()[field] = value,
    }
    event
}

#[test]
fn every_file_is_distinguished() {
    let config = "orders-ingest NON_COMPLIANT by Config rule kinesis-stream-encrypted";
    let hub = "orders-ingest Security Hub Kinesis.1";
    let expected: &[(&str, &[&str])] = &[
        ("config-compliance-change-compliant", &["ignored NotAFault"]),
        ("config-compliance-change-noncompliant", &[config]),
        ("config-configuration-item-change", &["ignored OtherEvent"]),
        ("config-custom-rule-configuration-change", &["ignored ConfigRule"]),
        ("config-custom-rule-scheduled", &["ignored ConfigRule"]),
        ("kinesis-add-tags-to-stream", &["orders-ingest AddTagsToStream"]),
        ("kinesis-create-stream-cloudformation", &["billing-stack-EventsStream-9QX2K7LMPD4A CreateStream"]),
        ("kinesis-create-stream-failed-access-denied", &["ignored FailedCall"]),
        ("kinesis-create-stream-failed-resource-in-use", &["ignored FailedCall"]),
        ("kinesis-create-stream-on-demand", &["clickstream-raw CreateStream"]),
        ("kinesis-create-stream-provisioned", &["orders-ingest CreateStream"]),
        ("kinesis-create-stream-with-tags", &["telemetry.device_v2 CreateStream"]),
        ("kinesis-delete-stream", &["ignored OtherCall"]),
        ("kinesis-remove-tags-from-stream", &["orders-ingest RemoveTagsFromStream"]),
        ("kinesis-start-stream-encryption", &["orders-ingest StartStreamEncryption"]),
        ("kinesis-start-stream-encryption-arn", &["billing-stack-EventsStream-9QX2K7LMPD4A StartStreamEncryption"]),
        ("kinesis-start-stream-encryption-by-enforcer", &["clickstream-raw StartStreamEncryption"]),
        ("kinesis-stop-stream-encryption", &["orders-ingest StopStreamEncryption"]),
        ("kinesis-stop-stream-encryption-arn", &["telemetry.device_v2 StopStreamEncryption"]),
        ("kinesis-tag-resource", &["clickstream-raw TagResource"]),
        // A public report: channels are a kind of resource that Kinesis has since 2026, and their tags wake us too.
        ("kinesis-tag-resource-channel", &["ignored OtherResource"]),
        ("kinesis-untag-resource", &["clickstream-raw UntagResource"]),
        ("kinesis-update-shard-count", &["ignored OtherCall"]),
        ("kinesis-update-stream-mode", &["ignored OtherCall"]),
        ("kms-cancel-key-deletion", &["scan Changed 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 CancelKeyDeletion"]),
        ("kms-cmk-deletion", &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 KMS CMK Deletion"]),
        ("kms-cmk-rotation", &["scan Rotated 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 KMS CMK Rotation"]),
        ("kms-create-alias", &["scan alias/streams-default CreateAlias"]),
        ("kms-delete-alias", &["scan alias/streams-default DeleteAlias"]),
        (
            "kms-delete-expired-key-material-service-event",
            &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 DeleteExpiredKeyMaterial"],
        ),
        (
            "kms-delete-imported-key-material",
            &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 DeleteImportedKeyMaterial"],
        ),
        ("kms-delete-key-service-event", &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 DeleteKey"]),
        ("kms-disable-key", &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 DisableKey"]),
        // As an EventBridge bus of another account forwards it: whether the policy names the key is for the handler to say.
        ("kms-disable-key-other-account", &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 DisableKey"]),
        ("kms-enable-key", &["scan Changed 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 EnableKey"]),
        ("kms-enable-key-rotation", &["ignored OtherKeyCall"]),
        ("kms-import-key-material", &["scan Changed 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 ImportKeyMaterial"]),
        (
            "kms-imported-key-material-expiration",
            &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 KMS Imported Key Material Expiration"],
        ),
        ("kms-put-key-policy", &["scan Changed 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 PutKeyPolicy"]),
        ("kms-rotate-key-on-demand", &["scan Rotated 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 RotateKeyOnDemand"]),
        ("kms-rotate-key-service-event", &["scan Rotated 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 RotateKey"]),
        ("kms-schedule-key-deletion", &["scan Lost 7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13 ScheduleKeyDeletion"]),
        ("kms-update-alias", &["scan alias/streams-default UpdateAlias"]),
        ("lambda-destination-on-failure-record", &["payments-audit-2 CreateStream"]),
        ("scheduled-event-rule", &["scan fleet schedule"]),
        ("scheduler-custom-input", &["scan fleet sweep"]),
        ("scheduler-default-payload", &["scan fleet schedule"]),
        ("securityhub-findings-custom-action-kinesis1", &["clickstream-raw Security Hub Kinesis.1"]),
        ("securityhub-findings-imported-kinesis1", &[hub]),
        ("securityhub-findings-imported-v2-kinesis1", &[hub]),
        ("sns-eventbridge", &["payments-audit-2 CreateStream"]),
        ("sqs-batch-eventbridge", &["payments-audit CreateStream", "orders-ingest StopStreamEncryption"]),
        ("sqs-batch-scan-message", &["now scan alias/kinesis/regulated UpdateAlias"]),
        ("sqs-batch-sns", &["payments-audit-2 CreateStream"]),
        ("sqs-batch-work-message", &["orders-ingest CreateStream"]),
        ("ssm-parameter-store-change", &["scan fleet Parameter Store Change /streamseal/policy"]),
        ("streamseal-command-reconcile", &["orders-ingest reconcile"]),
        ("streamseal-command-sweep", &["scan fleet sweep"]),
        ("streamseal-evidence-event", &["ignored OtherEvent"]),
        ("streamseal-scan-message", &["scan alias/kinesis/regulated UpdateAlias"]),
        ("streamseal-summary-event", &["ignored OtherEvent"]),
        ("streamseal-work-message", &["orders-ingest CreateStream"]),
    ];
    for (name, words_expected) in expected {
        assert_eq!(words(&file(name)), *words_expected, "{name}");
    }
    let folder = format!("{}/events", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    files.sort();
    assert_eq!(files, expected.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
}

#[test]
fn keys_are_found_wherever_they_stand() {
    let id = "7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13";
    let disabled = format!("scan Lost {id} DisableKey");
    let disable = |pointer, value| words(&with("kms-disable-key", pointer, value));
    let bare = |mut event: Value| {
        event["detail"]["resources"] = json!(null);
        event["detail"]["responseElements"] = json!(null);
        event
    };
    // The alias may come first, and old records have no list.
    let both = json!([{"ARN": "arn:aws:kms:eu-west-1:111122223333:alias/x"}, {"ARN": format!("arn:aws:kms:eu-west-1:111122223333:key/{id}")}]);
    assert_eq!(disable("/detail/resources", both), [disabled.as_str()]);
    assert_eq!(words(&bare(file("kms-disable-key"))), [disabled.as_str()], "by its id alone");
    assert_eq!(words(&bare(file("kms-rotate-key-service-event"))), [format!("scan Rotated {id} RotateKey")]);
    let mut alias = bare(file("kms-disable-key"));
    alias["detail"]["requestParameters"]["keyId"] = json!("alias/x");
    assert_eq!(words(&alias), ["rejected NoKey"]);
    assert_eq!(disable("/detail/requestParameters", json!(null)), [disabled.as_str()]);
    let elsewhere = json!([{"ARN": "arn:aws:kms:us-east-1:111122223333:key/x"}]);
    assert_eq!(disable("/detail/resources", elsewhere), ["rejected Foreign"]);
    assert_eq!(
        disable("/detail/resources", json!([{"ARN": "arn:aws:kms:eu-west-1:1:key/x"}])),
        ["rejected IllegalKey"]
    );
    // A key of another account may serve streams here.
    let other = json!([{"ARN": "arn:aws:kms:eu-west-1:999999999999:key/x"}]);
    assert_eq!(disable("/detail/resources", other), ["scan Lost x DisableKey"]);
    assert_eq!(disable("/detail/errorCode", json!("AccessDenied")), ["ignored FailedCall"]);
    assert_eq!(disable("/detail/eventSource", json!("workmail.amazonaws.com")), ["ignored OtherEvent"]);
    assert_eq!(disable("/account", json!("999999999999")), ["rejected Foreign"]);
    assert_eq!(disable("/detail", json!("{}")), ["malformed field `detail` is not an object"]);
    let alias = |value| words(&with("kms-update-alias", "/detail/requestParameters/aliasName", value));
    assert_eq!(alias(json!("streams-default")), ["rejected IllegalKey"]);
    assert_eq!(alias(json!(null)), ["rejected NoKey"]);
    assert_eq!(alias(json!(7)), ["rejected IllegalKey"]);
}

#[test]
fn what_asks_for_a_sweep_is_ours() {
    assert_eq!(words(&with("scheduled-event-rule", "/account", json!("999999999999"))), ["rejected Foreign"]);
    assert_eq!(words(&with("ssm-parameter-store-change", "/region", json!("us-east-1"))), ["rejected Foreign"]);
    assert_eq!(words(&with("ssm-parameter-store-change", "/detail/operation", json!("Delete"))), ["ignored OtherCall"]);
    let all = words(&json!({"action": "sweep", "every": "stream"}));
    assert!(all[0].starts_with("malformed command `sweep`") && all[0].contains("every"), "{all:?}");
    let unknown = words(&json!({"action": "stop"}));
    assert!(unknown[0].contains("`reconcile` or `sweep`"), "{unknown:?}");
}

#[test]
fn the_turn_of_a_scan_comes_from_the_queue_of_scans_alone() {
    let standard = json!("arn:aws:sqs:eu-west-1:111122223333:streamseal-WorkQueue-1X2Y3Z");
    let asked = with("sqs-batch-scan-message", "/Records/0/eventSourceARN", standard);
    assert_eq!(words(&asked), ["scan alias/kinesis/regulated UpdateAlias"]);
    let broken = with("streamseal-scan-message", "/subject", json!("all"));
    assert!(words(&broken)[0].starts_with("malformed scan message (streamseal.scan/v1): field `subject`"));
    let deep = with("streamseal-scan-message", "/streamseal", json!("streamseal.scan/v2"));
    assert!(words(&deep)[0].contains("streamseal.scan/v2"), "{:?}", words(&deep));
}

#[test]
fn a_cause_keeps_who_and_when() {
    let event = file("kinesis-create-stream-with-tags");
    let Input::Direct(mut items) = parse(&event, &own(), "2026-03-02T10:00:00Z".parse().unwrap()) else { panic!() };
    let Item::Reconcile(work) = items.remove(0) else { panic!() };
    assert_eq!(work.cause.event_id.unwrap().as_str(), "c9498373-78c0-4b33-b10d-70c35dd3ecf5");
    assert_eq!(work.cause.actor.unwrap().as_str(), "arn:aws:sts::111122223333:assumed-role/terraform-apply/run-4471");
    assert_eq!(work.cause.at.unwrap().to_string(), "2026-03-02T09:20:03Z");
    assert_eq!((work.first_seen.to_string(), work.attempt, work.proof_owed), ("2026-03-02T10:00:00Z".into(), 0, false));
}

/// Nothing before 2013 or more than five hours ahead is computed with; a little ahead is now. Wherever an event has its time.
#[test]
fn an_odd_time_of_an_event_is_dropped() {
    let at = |name: &str, pointer: &str, time: &str| {
        let mut event = with(name, pointer, json!(time));
        if pointer == "/time"
            && let Some(detail) = event["detail"].as_object_mut()
        {
            detail.remove("eventTime");
        }
        match items(&event).remove(0) {
            Item::Reconcile(work) => work.cause.at,
            Item::Scan(scan) | Item::PolicyChanged(_, scan) => scan.cause.at,
            other => panic!("{other:?}"),
        }
    };
    let some = |text: &str| Some(text.parse::<Timestamp>().unwrap());
    for (name, pointer) in [
        ("kinesis-stop-stream-encryption", "/detail/eventTime"),
        ("kinesis-stop-stream-encryption", "/time"),
        ("kms-update-alias", "/detail/eventTime"),
        ("kms-cmk-rotation", "/time"),
        ("scheduled-event-rule", "/time"),
        ("ssm-parameter-store-change", "/time"),
        ("config-compliance-change-noncompliant", "/detail/newEvaluationResult/resultRecordedTime"),
        ("securityhub-findings-imported-kinesis1", "/detail/findings/0/UpdatedAt"),
        ("securityhub-findings-imported-v2-kinesis1", "/detail/findings/0/finding_info/modified_time_dt"),
    ] {
        assert_eq!(at(name, pointer, "2026-03-02T08:00:00Z"), some("2026-03-02T08:00:00Z"), "{name}");
        assert_eq!(at(name, pointer, "2026-03-02T12:00:00Z"), Some(now()), "{name}: hours ahead");
        for odd in ["2026-03-03T08:15:00Z", "9999-12-30T22:00:00Z", "2012-12-31T23:59:59Z", "-009999-01-02T02:00:00Z"] {
            assert_eq!(at(name, pointer, odd), None, "{name}: {odd}");
        }
    }
}

/// A message of ours with an odd time is refused, but for what is no time of ours: then that is not known.
#[test]
fn an_odd_time_of_a_message_is_refused_or_dropped() {
    let odd = ["2026-03-02T13:15:01Z", "9999-12-30T22:00:00Z", "2012-12-31T23:59:59Z", "-009999-01-02T02:00:00Z"];
    let (own_work, own_scan) = ("streamseal-work-message", "streamseal-scan-message");
    for time in odd {
        for field in [
            "first_seen",
            "deadline_from",
            "not_before",
            "active_since",
            "right_since",
            "refused_since",
            "not_found_since",
        ] {
            let read = words(&with(own_work, &format!("/{field}"), json!(time)));
            assert!(read[0].starts_with("malformed") && read[0].contains(field), "{time}: {read:?}");
        }
        for field in ["requested_at", "started_at", "deadline_from"] {
            let read = words(&with(own_scan, &format!("/{field}"), json!(time)));
            assert!(read[0].starts_with("malformed") && read[0].contains(field), "{time}: {read:?}");
        }
        assert_eq!(work(&with(own_work, "/stream_creation_timestamp", json!(time))).created, None);
        assert_eq!(work(&with(own_work, "/cause/at", json!(time))).cause.at, None);
        let Item::Scan(scan) = items(&with(own_scan, "/cause/at", json!(time))).remove(0) else { panic!() };
        assert_eq!(scan.cause.at, None);
        let left = with(own_scan, "/tally", json!({"left": {"a": {"at": time, "certain": true}}}));
        assert!(words(&left)[0].contains("tally.left"), "{time}");
        let candidates = json!({"candidates": [{"place": 1, "stream": "a", "created": time}]});
        let Item::Scan(scan) = items(&with(own_scan, "/tally", candidates)).remove(0) else { panic!() };
        assert_eq!(scan.tally.candidates[0].created, None);
    }
    // What was seen was not seen later than now.
    let ahead = json!("2026-03-02T12:00:00Z");
    assert_eq!(work(&with(own_work, "/active_since", ahead.clone())).active_since, Some(now()));
    assert_eq!(work(&with(own_work, "/not_before", ahead)).not_before, Some("2026-03-02T12:00:00Z".parse().unwrap()));
}

#[test]
fn a_counter_near_its_end_stays_there() {
    for most in [u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX] {
        let mut message = with("streamseal-work-message", "/attempt", json!(most));
        message["reruns"] = json!(most);
        message["unread"] = json!(most);
        let work = work(&message);
        assert_eq!([work.attempt, work.reruns, work.unread], [u32::MAX; 3]);
        let mut message = with("streamseal-scan-message", "/parts", json!(most));
        message["failures"] = json!(most);
        message["tally"] = json!({"listed": most, "streams": most, "to_prove": most, "not_compliant": {"names": [], "more": most},
            "by_rule": {"a": most}, "candidates": [{"place": most, "stream": "a"}]});
        let Item::Scan(mut scan) = items(&message).remove(0) else { panic!("{message}") };
        assert_eq!((scan.parts, scan.failures), (u32::MAX, u32::MAX));
        for _ in 0..200 {
            scan.tally.listed_one();
            scan.tally.proves_one();
            scan.tally.count("COMPLIANT", Some("a"), None);
            scan.tally.not_compliant.push("b", "wrong-key");
        }
        let reported = &scan.tally;
        for count in [reported.listed, reported.streams, reported.to_prove, reported.by_rule["a"]] {
            assert_eq!(count, most.saturating_add(200));
        }
        // A list keeps its first hundred.
        assert_eq!(
            (reported.not_compliant.more, reported.not_compliant.count()),
            (most.saturating_add(100), most.saturating_add(200))
        );
        assert!(matches!(&items(&serde_json::from_str(&scan.to_json()).unwrap())[..], [Item::Scan(_)]));
    }
}

/// What one message holds is bounded; nothing of it is lost in silence.
#[test]
fn a_message_with_too_many_items_is_counted_or_fails() {
    const ASFF: &str = "securityhub-findings-imported-kinesis1";
    let findings = |count: usize, status: &str| {
        let mut finding = file(ASFF)["detail"]["findings"][0].clone();
        finding["Compliance"]["Status"] = json!(status);
        with(ASFF, "/detail/findings", Value::Array(vec![finding; count]))
    };
    assert_eq!(words(&findings(TODO_MAX, "FAILED")), vec!["orders-ingest Security Hub Kinesis.1"; TODO_MAX]);
    let all = words(&findings(TODO_MAX + 1, "FAILED"));
    assert!(all.len() == 1 && all[0].starts_with("malformed the message has 33 items"), "{all:?}");
    let quiet = words(&findings(1_000, "PASSED"));
    assert_eq!(quiet.len(), REPORTED_MAX + 1);
    assert_eq!(quiet.last().unwrap(), "990 more Ignored NotAFault");

    // The things to do are all there, wherever they stand.
    let mut mixed = findings(1_000, "PASSED");
    let open = file(ASFF)["detail"]["findings"][0].clone();
    mixed["detail"]["findings"].as_array_mut().unwrap().push(open);
    let mixed = words(&mixed);
    assert_eq!(mixed.iter().filter(|word| *word == "orders-ingest Security Hub Kinesis.1").count(), 1);

    // What cannot be read is counted too, and fails its message.
    let junk = words(&json!({"Records": vec![json!({}); 5_000]}));
    assert_eq!((junk.len(), junk.last().unwrap().as_str()), (REPORTED_MAX + 1, "4990 more Malformed Malformed"));
    let resources = vec![json!({"Type": "AwsKinesisStream", "Id": "a b"}); 50_000];
    let foreign = words(&with(ASFF, "/detail/findings/0/Resources", json!(resources)));
    assert_eq!(
        (foreign.len(), foreign.last().unwrap().as_str()),
        (REPORTED_MAX + 1, "49990 more Rejected IllegalName")
    );
}

#[test]
fn an_account_that_is_a_number_is_compared() {
    const STOP: &str = "kinesis-stop-stream-encryption";
    const CONFIG: &str = "config-compliance-change-noncompliant";
    const ASFF: &str = "securityhub-findings-imported-kinesis1";
    const OCSF: &str = "securityhub-findings-imported-v2-kinesis1";
    let places = [
        (STOP, "/account"),
        (STOP, "/detail/recipientAccountId"),
        ("kms-update-alias", "/detail/recipientAccountId"),
        ("scheduled-event-rule", "/account"),
        (CONFIG, "/account"),
        (CONFIG, "/detail/awsAccountId"),
        (ASFF, "/detail/findings/0/AwsAccountId"),
        (OCSF, "/detail/findings/0/cloud/account/uid"),
    ];
    for (name, place) in places {
        for foreign in [json!(999_999_999_999_u64), json!(1), json!(1.5), json!(-1), json!(true), json!([]), json!({})]
        {
            assert_eq!(words(&with(name, place, foreign.clone())), ["rejected Foreign"], "{name} {place} {foreign}");
        }
        let ours = words(&with(name, place, json!(111_122_223_333_u64)));
        assert_eq!(ours, words(&file(name)), "{name} {place}");
    }
    // One with zeros in front, which a number has not.
    let own = Scope { account: "000012345678".into(), ..own() };
    let mut event = with(STOP, "/account", json!(12_345_678));
    event["detail"]["recipientAccountId"] = json!("000012345678");
    let Input::Direct(read) = parse(&event, &own, now()) else { panic!() };
    assert!(matches!(&read[..], [Item::Reconcile(_)]), "{read:?}");
    let unnamed = with(STOP, "/detail/userIdentity", json!({"accountId": 12_345_678}));
    assert_eq!(work(&unnamed).cause.actor.unwrap().as_str(), "000012345678");
}

/// An event of another account about a key of that account asks for a scan, by ARNs alone; the handler has the policy.
#[test]
fn what_happened_to_a_key_of_another_account_is_asked_about() {
    let theirs = "arn:aws:kms:eu-west-1:999988887777:";
    let of_them = |name: &str| {
        let mut event = with(name, "/account", json!("999988887777"));
        if event["detail"]["recipientAccountId"].is_string() {
            event["detail"]["recipientAccountId"] = json!("999988887777");
        }
        event
    };
    let subject = |event: &Value| match items(event).remove(0) {
        Item::Scan(scan) => match scan.subject {
            Subject::Key { key, .. } => key.to_string(),
            Subject::Alias { alias } => alias.to_string(),
            Subject::Fleet | Subject::Aliases => scan.subject.kind().to_owned(),
        },
        Item::Rejected(why) => format!("rejected {}", why.code()),
        other => panic!("{other:?}"),
    };
    let id = "7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13";
    assert_eq!(subject(&file("kms-disable-key-other-account")), format!("{theirs}key/{id}"));
    assert_eq!(subject(&of_them("kms-update-alias")), format!("{theirs}alias/streams-default"));
    // KMS's own event, by the ARN or by the id alone.
    let mut deleted = of_them("kms-cmk-deletion");
    deleted["resources"] = json!([format!("{theirs}key/{id}")]);
    assert_eq!(subject(&deleted), format!("{theirs}key/{id}"));
    deleted["resources"] = json!([]);
    assert_eq!(subject(&deleted), format!("{theirs}key/{id}"));

    // Their word about our keys, or about a third account's, is not believed; nor is one of another Region.
    assert_eq!(subject(&of_them("kms-disable-key")), "rejected Foreign", "our key");
    let disabled = |pointer, value| subject(&with("kms-disable-key-other-account", pointer, value));
    let third = json!([{"ARN": format!("arn:aws:kms:eu-west-1:444455556666:key/{id}")}]);
    assert_eq!(disabled("/detail/resources", third), "rejected Foreign");
    let elsewhere = json!([{"ARN": format!("arn:aws:kms:us-east-1:999988887777:key/{id}")}]);
    assert_eq!(disabled("/detail/resources", elsewhere), "rejected Foreign");
    let partition = json!([{"ARN": format!("arn:aws-cn:kms:eu-west-1:999988887777:key/{id}")}]);
    assert_eq!(disabled("/detail/resources", partition), "rejected Foreign");
    assert_eq!(disabled("/region", json!("us-east-1")), "rejected Foreign");
    assert_eq!(disabled("/account", json!("111122223333")), "rejected Foreign", "envelope and record disagree");
    assert_eq!(disabled("/account", json!("somebody")), "rejected Foreign");

    // Streams, schedules and parameters of other accounts: never.
    for name in ["kinesis-stop-stream-encryption", "scheduled-event-rule", "ssm-parameter-store-change"] {
        assert_eq!(words(&of_them(name)), ["rejected Foreign"], "{name}");
    }
}

#[test]
fn agent_and_caller_name_the_creator() {
    let agent = |text: &str| with("kinesis-create-stream-on-demand", "/detail/userAgent", json!(text));
    for (event, creator) in [
        (file("kinesis-create-stream-with-tags"), Creator::Terraform),
        (file("kinesis-create-stream-cloudformation"), Creator::CloudFormation),
        (file("kinesis-create-stream-provisioned"), Creator::Other),
        (
            agent(
                "APN/1.0 HashiCorp/1.0 Terraform/1.5.5 (+https://www.terraform.io) terraform-provider-aws/dev pulumi",
            ),
            Creator::Pulumi,
        ),
        (agent("APN/1.0 OpenTofu/1.9.0 aws-sdk-go-v2"), Creator::Terraform),
    ] {
        assert_eq!(work(&event).cause.creator, Some(creator));
    }
    assert_eq!(work(&file("kinesis-stop-stream-encryption")).cause.creator, None);
}

#[test]
fn both_spellings_of_the_arn_and_a_name_that_agrees() {
    let arn = json!("arn:aws:kinesis:eu-west-1:111122223333:stream/orders-ingest");
    let event = with("kinesis-create-stream-provisioned", "/detail/requestParameters", json!({"streamArn": arn}));
    assert_eq!(words(&event), ["orders-ingest CreateStream"]);
    let event = with("kinesis-stop-stream-encryption", "/detail/requestParameters/streamARN", arn);
    assert_eq!(words(&event), ["orders-ingest StopStreamEncryption"]);
    let event = both_arns("kinesis-stop-stream-encryption", "orders-ingest", "orders-ingest");
    assert_eq!(words(&event), ["orders-ingest StopStreamEncryption"]);
}

/// With both spellings of the ARN.
fn both_arns(name: &str, one: &str, other: &str) -> Value {
    let [one, other] = [one, other].map(|name| format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}"));
    with(name, "/detail/requestParameters", json!({"streamARN": one, "streamArn": other}))
}

#[test]
fn what_must_not_be_acted_on_is_rejected() {
    const STOP: &str = "kinesis-stop-stream-encryption";
    const STOP_ARN: &str = "kinesis-stop-stream-encryption-arn";
    let name = "/detail/requestParameters/streamName";
    let arn = "/detail/requestParameters/streamARN";
    for (event, reason) in [
        (with(STOP, "/account", json!("999999999999")), "Foreign"),
        (with(STOP, "/region", json!("us-east-1")), "Foreign"),
        (with(STOP, "/detail/recipientAccountId", json!("999999999999")), "Foreign"),
        (with(STOP, "/detail/awsRegion", json!("us-east-1")), "Foreign"),
        (with(STOP_ARN, arn, json!("arn:aws:kinesis:eu-west-1:999999999999:stream/clickstream-raw")), "Foreign"),
        (with(STOP_ARN, arn, json!("arn:aws:kinesis:us-east-1:111122223333:stream/clickstream-raw")), "Foreign"),
        (with(STOP_ARN, arn, json!("arn:aws-cn:kinesis:eu-west-1:111122223333:stream/clickstream-raw")), "Foreign"),
        (with(STOP, arn, json!("arn:aws:kinesis:eu-west-1:111122223333:stream/another")), "Disagreement"),
        (both_arns(STOP, "orders-ingest", "another"), "Disagreement"),
        (both_arns(STOP, "another", "orders-ingest"), "Disagreement"),
        (with(STOP, arn, json!("arn:aws:kinesis:eu-west-1:111122223333:channel/a")), "IllegalName"),
        (with(STOP, name, json!("a/b")), "IllegalName"),
        (with(STOP, name, json!("x".repeat(129))), "IllegalName"),
        (with(STOP, name, json!(17)), "IllegalName"),
        (with(STOP, arn, json!("orders-ingest")), "IllegalName"),
        (with(STOP, "/detail/requestParameters", Value::Null), "NoStream"),
        (with("kinesis-tag-resource", "/detail/requestParameters", json!({"streamName": "a"})), "NoStream"),
    ] {
        assert_eq!(words(&event), [format!("rejected {reason}")], "{event}");
    }
    let mut nowhere = file(STOP);
    nowhere.as_object_mut().unwrap().remove("account");
    nowhere["detail"].as_object_mut().unwrap().remove("recipientAccountId");
    assert_eq!(items(&nowhere), [Item::Rejected(RejectReason::NoScope("account"))]);
    // CloudTrail reports the account that called too: the caller's account is not the stream's.
    let cross = with(STOP, "/detail/userIdentity/accountId", json!("999999999999"));
    assert_eq!(words(&cross), ["orders-ingest StopStreamEncryption"]);
}

#[test]
fn what_nothing_follows_from_is_ignored() {
    const CREATE: &str = "kinesis-create-stream-provisioned";
    let consumer = "arn:aws:kinesis:eu-west-1:111122223333:stream/a/consumer/b:1700000000";
    let channel = "arn:aws:kinesis:eu-west-1:111122223333:channel/0a1b2c3d4e5f60718293a4b5c6d7e8f9";
    for (event, reason) in [
        (with(CREATE, "/source", json!("aws.kinesisvideo")), "OtherEvent"),
        (with(CREATE, "/detail/eventSource", json!("kinesisvideo.amazonaws.com")), "OtherEvent"),
        (with(CREATE, "/detail-type", json!("AWS Service Event via CloudTrail")), "OtherEvent"),
        (with(CREATE, "/detail/eventName", json!("CreateChannel")), "OtherCall"),
        (with(CREATE, "/detail/readOnly", json!(true)), "ReadOnly"),
        (with(CREATE, "/detail/errorCode", json!("ThrottlingException")), "FailedCall"),
        (with("kinesis-tag-resource", "/detail/requestParameters/resourceARN", json!(consumer)), "Consumer"),
        (with("kinesis-untag-resource", "/detail/requestParameters/resourceARN", json!(channel)), "OtherResource"),
        (json!({"Records": []}), "Empty"),
        (json!({"invokingEvent": "{}", "resultToken": "t"}), "ConfigRule"),
    ] {
        assert_eq!(words(&event), [format!("ignored {reason}")], "{event}");
    }
    for none in [Value::Null, json!("")] {
        let fine = with(CREATE, "/detail/errorCode", none.clone());
        assert_eq!(words(&fine), ["orders-ingest CreateStream"]);
        let fine = with("kms-disable-key", "/detail/errorCode", none);
        assert_eq!(words(&fine), words(&file("kms-disable-key")));
    }
    let china = with(CREATE, "/detail-type", json!("Amazon API Call via CloudTrail"));
    assert_eq!(words(&china), ["orders-ingest CreateStream"]);
}

#[test]
fn only_open_findings_of_ours_about_a_stream_are_work() {
    const CONFIG: &str = "config-compliance-change-noncompliant";
    const ASFF: &str = "securityhub-findings-imported-kinesis1";
    const OCSF: &str = "securityhub-findings-imported-v2-kinesis1";
    let finding = |name: &str, field: &str, value: Value| with(name, &format!("/detail/findings/0{field}"), value);
    for (event, word) in [
        (with(CONFIG, "/detail/resourceType", json!("AWS::S3::Bucket")), "ignored OtherResource"),
        (with(CONFIG, "/detail/newEvaluationResult", Value::Null), "ignored NotAFault"),
        (with(CONFIG, "/detail/awsAccountId", json!("999999999999")), "rejected Foreign"),
        (with(CONFIG, "/detail/awsRegion", json!("us-east-1")), "rejected Foreign"),
        (with(CONFIG, "/detail/awsRegion", Value::Null), "rejected NoScope"),
        (with(CONFIG, "/detail/resourceId", json!("a b")), "rejected IllegalName"),
        (with(CONFIG, "/detail/resourceId", Value::Null), "rejected NoStream"),
        (
            with(CONFIG, "/detail/resourceId", json!("arn:aws:kinesis:eu-west-1:999999999999:stream/a")),
            "rejected Foreign",
        ),
        (finding(ASFF, "/Compliance/Status", json!("PASSED")), "ignored NotAFault"),
        (finding(ASFF, "/RecordState", json!("ARCHIVED")), "ignored NotAFault"),
        (finding(ASFF, "/Workflow/Status", json!("SUPPRESSED")), "ignored NotAFault"),
        (finding(ASFF, "/AwsAccountId", json!("999999999999")), "rejected Foreign"),
        (finding(ASFF, "/Region", json!("us-east-1")), "rejected Foreign"),
        (finding(ASFF, "/Resources/0/Type", json!("AwsS3Bucket")), "ignored OtherResource"),
        (finding(ASFF, "/Resources", Value::Null), "ignored OtherResource"),
        (finding(OCSF, "/compliance/control", json!("Kinesis.3")), "ignored OtherControl"),
        (finding(OCSF, "/compliance/status", json!("Pass")), "ignored NotAFault"),
        (finding(OCSF, "/status_id", json!(3)), "ignored NotAFault"),
        (finding(OCSF, "/status_id", json!(5)), "ignored NotAFault"),
        (finding(OCSF, "/activity_id", json!(3)), "ignored NotAFault"),
        (finding(OCSF, "/cloud/account/uid", json!("999999999999")), "rejected Foreign"),
        (finding(OCSF, "/resources/0/type", json!("AWS::S3::Bucket")), "ignored OtherResource"),
    ] {
        assert_eq!(words(&event), [word], "{event}");
    }
    // Without consolidated findings only the generator names the control.
    let mut old = finding(ASFF, "/GeneratorId", json!("aws-foundational-security-best-practices/v/1.0.0/Kinesis.1"));
    old["detail"]["findings"][0]["Compliance"].as_object_mut().unwrap().remove("SecurityControlId");
    assert_eq!(words(&old), ["orders-ingest Security Hub Kinesis.1"]);
    old["detail"]["findings"][0]["GeneratorId"] = json!("aws-foundational-security-best-practices/v/1.0.0/Kinesis.2");
    assert_eq!(words(&old), ["ignored OtherControl"]);
    // A stream by its name alone, and by an ARN in another field.
    let by_name = finding(OCSF, "/resources/0", json!({"type": "AWS::Kinesis::Stream", "uid": "a"}));
    assert_eq!(words(&by_name), ["a Security Hub Kinesis.1"]);
    let arn = "arn:aws:kinesis:eu-west-1:111122223333:stream/b";
    let by_arn = finding(OCSF, "/resources/0", json!({"type": "AWS::Kinesis::Stream", "uid": arn, "name": "a"}));
    assert_eq!(words(&by_arn), ["b Security Hub Kinesis.1"]);
    // A custom action may carry several findings: one item each.
    let mut two = file("securityhub-findings-custom-action-kinesis1");
    let mut other = two["detail"]["findings"][0].clone();
    other["Compliance"]["Status"] = json!("PASSED");
    two["detail"]["findings"].as_array_mut().unwrap().push(other);
    assert_eq!(words(&two), ["clickstream-raw Security Hub Kinesis.1", "ignored NotAFault"]);
    let none = with(ASFF, "/detail/findings", json!({}));
    assert!(matches!(&items(&none)[..], [Item::Malformed(why)] if why.as_str().contains("`detail.findings`")));
}

#[test]
fn text_from_outside_is_escaped_and_cut() {
    let event = with(
        "kinesis-create-stream-provisioned",
        "/detail/eventName",
        json!(format!("a\n\u{202e}{}", "x".repeat(9999))),
    );
    let [Item::Ignored(why @ IgnoreReason::OtherCall(_))] = &items(&event)[..] else { panic!() };
    let text = why.to_string();
    assert!(text.starts_with("`a\\n\\u{202e}xxx"), "{text}");
    assert!(text.len() < 300);
}

#[test]
fn what_cannot_be_read_is_malformed_and_says_where() {
    let sqs = |record: Value| json!({"Records": [record]});
    let good = file("sqs-batch-eventbridge")["Records"][0].clone();
    let change = |field: &str, value: Value| {
        let mut record = good.clone();
        record[field] = value;
        sqs(record)
    };
    for (payload, place) in [
        (json!([]), "not a JSON object"),
        (json!("text"), "not a JSON object"),
        (json!({}), "none of"),
        (json!({"detail-type": "x"}), "none of"),
        (json!({"detail-type": 1, "source": "aws.kinesis"}), "`source` and `detail-type`"),
        (json!({"Records": {}}), "`Records`"),
        (json!({"Records": [{}]}), "`Records[0].eventSource`"),
        (json!({"Records": [{"eventSource": "aws:s3"}]}), "`aws:s3`"),
        (json!({"Records": [{"EventSource": "aws:sns"}]}), "`Records[0].Sns`"),
        (json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": "{"}}]}), "`Sns.Message`"),
        (change("messageId", json!("")), "`Records[0].messageId`"),
        (change("body", json!("{")), "`body`"),
        (change("body", Value::Null), "`body`"),
        (change("body", json!("[".repeat(200))), "`body`"),
        (with("kinesis-create-stream-provisioned", "/detail", json!("{}")), "`detail`"),
        (with("kinesis-create-stream-provisioned", "/detail/eventName", json!(1)), "`detail.eventName`"),
        (json!({"action": "sweeep"}), "`sweeep`"),
        (json!({"action": 1}), "`action`"),
        (json!({"action": "reconcile"}), "stream"),
        (json!({"action": "reconcile", "stream": "a", "force": true}), "force"),
        (with("streamseal-work-message", "/streamseal", json!("streamseal.work/v2")), "`streamseal`"),
        (with("streamseal-work-message", "/stream_arn", json!("orders")), "`stream_arn`"),
        (with("streamseal-work-message", "/first_seen", json!("yesterday")), "streamseal.work/v1"),
        (with("streamseal-work-message", "/unknown", json!(1)), "unknown"),
        (with("streamseal-work-message", "/not_before", json!("9999-01-01T00:00:00Z")), "`not_before`"),
        (with("streamseal-work-message", "/put_back", json!("maybe")), "maybe"),
        (with("streamseal-work-message", "/previous_key", json!("alias/x")), "`previous_key`"),
    ] {
        let [Item::Malformed(why)] = &items(&payload)[..] else { panic!("{payload}: {:?}", items(&payload)) };
        assert!(why.as_str().contains(place), "{payload}: {why}");
    }
    let nested = (0..6).fold(
        file("kinesis-create-stream-provisioned"),
        |inner, _| json!({"requestContext": {}, "requestPayload": inner}),
    );
    assert!(matches!(&items(&nested)[..], [Item::Malformed(_)]));
    let foreign =
        with("streamseal-work-message", "/stream_arn", json!("arn:aws:kinesis:eu-west-1:999999999999:stream/a"));
    assert_eq!(words(&foreign), ["rejected Foreign"]);
}

#[test]
fn one_bad_message_of_a_batch_is_alone() {
    let mut batch = file("sqs-batch-eventbridge");
    batch["Records"][0]["body"] = json!("not json");
    let Input::Batch(messages) = parse(&batch, &own(), now()) else { panic!() };
    assert!(matches!(messages[0].items[..], [Item::Malformed(_)]));
    assert!(matches!(messages[1].items[..], [Item::Reconcile(_)]));
    assert_eq!(messages[1].id, "6106ff76-8ef2-4d5e-a7e1-1fc6636f73e3");
    batch["Records"][0]["eventSource"] = json!("aws:sns");
    let Input::Batch(messages) = parse(&batch, &own(), now()) else { panic!() };
    assert!(matches!(messages[0].items[..], [Item::Malformed(_)]), "a neighbour of another source");
}

#[test]
fn a_message_received_before_owes_a_proof() {
    let mut batch = file("sqs-batch-eventbridge");
    assert!(!work(&batch).proof_owed);
    batch["Records"][0]["attributes"]["ApproximateReceiveCount"] = json!("2");
    assert!(work(&batch).proof_owed);
}

#[test]
fn a_work_message_comes_back_as_it_was_sent() {
    let sent = work(&file("streamseal-work-message"));
    assert_eq!(sent.attempt, 1);
    assert!(sent.proof_owed);
    let again = serde_json::from_str(&sent.to_json()).unwrap();
    assert_eq!(work(&again), sent);
}

#[test]
fn a_command_names_a_stream_of_ours() {
    let command = |stream: &str| json!({"action": "reconcile", "stream": stream});
    assert!(work(&file("streamseal-command-reconcile")).proof_owed);
    assert!(!work(&command("a")).proof_owed);
    assert_eq!(words(&command("arn:aws:kinesis:eu-west-1:111122223333:stream/a")), ["a reconcile"]);
    assert_eq!(words(&command("arn:aws:kinesis:eu-west-1:999999999999:stream/a")), ["rejected Foreign"]);
    assert_eq!(words(&command("a b")), ["rejected IllegalName"]);
}
