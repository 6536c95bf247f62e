//! What AWS was seen to send (`tests/observed`), through the parser of events and of the history; and that our samples in `events/`
//! have the members that were recorded.

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::arn::Scope;
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::history::{Change, ChangeKind};
use streamseal::domain::work::Work;

use super::words_of;

/// Where it was recorded.
fn there() -> Scope {
    Scope { partition: "aws".into(), region: "us-east-1".into(), account: "111122223333".into() }
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn recorded(name: &str) -> Value {
    let path = folder("tests/observed").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn recorded_items(payload: &Value) -> Vec<Item> {
    // After it was recorded: what is far ahead of now has no time.
    let after = "2026-10-01T00:00:00Z".parse().unwrap();
    match parse(payload, &there(), after) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|message| message.items).collect(),
    }
}

/// A record of CloudTrail in the envelope that was recorded around another one.
fn delivered(record: &Value) -> Value {
    let mut event = recorded("eventbridge-s3-recorded")["event"].take();
    let source = record["eventSource"].as_str().unwrap().split('.').next().unwrap();
    event["source"] = json!(format!("aws.{source}"));
    event["time"] = record["eventTime"].clone();
    event["detail"] = record.clone();
    event
}

fn work(payload: &Value) -> Work {
    match recorded_items(payload).remove(0) {
        Item::Reconcile(work) => *work,
        other => panic!("{other:?}"),
    }
}

/// Each recorded call, what it asks for as an event, and which change it is in the history.
#[test]
fn recorded_calls_are_distinguished() {
    use ChangeKind::{Start, Stop};
    let lost = "scan Lost 1234abcd-12ab-34cd-56ef-1234567890ab";
    let (disabled, scheduled) = (format!("{lost} DisableKey"), format!("{lost} ScheduleKeyDeletion"));
    let rows: &[(&str, &str, &str, Option<ChangeKind>)] = &[
        ("cloudtrail-add-tags-to-stream-by-arn", "/record", "orders AddTagsToStream", None),
        ("cloudtrail-create-stream", "/record", "orders CreateStream", None),
        ("cloudtrail-delete-stream", "/record", "ignored OtherCall", None),
        ("cloudtrail-denied-by-arn", "/record", "ignored FailedCall", None),
        ("cloudtrail-denied-by-name", "/record", "ignored FailedCall", None),
        ("cloudtrail-failed-not-found", "/record", "ignored FailedCall", None),
        ("cloudtrail-kms", "/records/0", &disabled, None),
        ("cloudtrail-kms", "/records/1", &scheduled, None),
        ("cloudtrail-kms", "/records/2", "ignored FailedCall", None),
        ("cloudtrail-remove-tags-from-stream-by-arn", "/record", "orders RemoveTagsFromStream", None),
        ("cloudtrail-start-stream-encryption-by-arn", "/record", "orders StartStreamEncryption", Some(Start)),
        ("cloudtrail-start-stream-encryption-by-name", "/record", "orders StartStreamEncryption", Some(Start)),
        ("cloudtrail-stop-stream-encryption-by-arn", "/record", "orders StopStreamEncryption", Some(Stop)),
        ("cloudtrail-tag-resource", "/record", "orders TagResource", None),
        ("cloudtrail-untag-resource", "/record", "orders UntagResource", None),
        ("cloudtrail-update-stream-mode", "/record", "ignored OtherCall", None),
    ];
    for (name, pointer, expected, change) in rows {
        let record = recorded(name).pointer(pointer).unwrap().clone();
        let event = delivered(&record);
        assert_eq!(words_of(&recorded_items(&event)), [*expected], "{name} {pointer}");
        let found = Change::parse(&record, &there());
        assert_eq!(found.as_ref().map(|change| change.kind), *change, "{name} {pointer}");
        let Some(found) = found else { continue };
        let reported = (found.stream.as_str(), found.key.as_ref().map(|key| key.as_str()), found.role.as_deref());
        assert_eq!(reported, ("orders", Some("alias/aws/kinesis"), None), "{name}: a user has no role");
        assert_eq!(found.actor.as_str(), "arn:aws:iam::111122223333:user/alice", "{name}");
        // The history has the same time as the event, to the second.
        let cause = work(&event).cause;
        assert_eq!((cause.at, cause.actor), (Some(found.at), Some(found.actor)), "{name}");
    }
    // No record was left out.
    let named = |name: &str| rows.iter().filter(|(file, ..)| *file == name).count();
    for name in std::fs::read_dir(folder("tests/observed")).unwrap() {
        let name = name.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        let records = match recorded(&name) {
            file if file.get("record").is_some() && name.starts_with("cloudtrail-") => 1,
            file => file["records"].as_array().map_or(0, Vec::len),
        };
        assert_eq!(named(&name), records, "{name}");
    }
}

/// The role is the session's issuer, also in a call that was denied.
#[test]
fn the_role_of_a_session_is_its_issuer() {
    let mut denied = recorded("cloudtrail-denied-by-arn")["record"].take();
    denied["eventName"] = json!("StopStreamEncryption");
    assert_eq!(Change::parse(&denied, &there()), None, "it changed nothing");
    let worked = denied.as_object_mut().unwrap();
    worked.remove("errorCode");
    let stopped = &recorded("cloudtrail-stop-stream-encryption-by-arn")["record"]["requestParameters"];
    worked.insert("requestParameters".to_owned(), stopped.clone());
    let role = Change::parse(&denied, &there()).unwrap().role;
    assert_eq!(role.as_deref(), Some("arn:aws:iam::111122223333:role/reader"));
}

#[test]
fn recorded_envelopes_are_read() {
    let composed = recorded("eventbridge-kinesis-composed");
    let stop = "orders StopStreamEncryption";
    assert_eq!(words_of(&recorded_items(&composed["event"])), [stop]);
    assert_eq!(words_of(&recorded_items(&json!({"Records": [composed["sqs_record"]]}))), [stop]);
    assert!(!work(&json!({"Records": [composed["sqs_record"]]})).proof_owed, "it was received for the first time");
    assert_eq!(words_of(&recorded_items(&recorded("eventbridge-s3-recorded")["event"])), ["ignored OtherEvent"]);
    let aged = &recorded("lambda-destination-event-age-exceeded")["record"];
    assert_eq!(words_of(&recorded_items(aged)), ["scan fleet sweep"], "it has no responsePayload");
}

/// Every CloudTrail record in it, also those in texts.
fn records(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("eventSource") && members.contains_key("eventName") {
                found.push(value.clone());
            }
            members.values().for_each(|member| records(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| records(item, found)),
        Value::String(text) => {
            if let Ok(inner @ Value::Object(_)) = serde_json::from_str(text) {
                records(&inner, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn members(record: &Value) -> BTreeSet<&str> {
    record.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The shape of `value`, with names and numbers of places replaced.
fn shape(value: &Value, replaced: &[(&str, &str)]) -> Value {
    let mut text = value.to_string();
    for (name, by) in replaced {
        text = text.replace(name, by);
    }
    serde_json::from_str(&text).unwrap()
}

/// Our samples were written before anything was recorded: they have what is recorded, and nothing that is not.
#[test]
fn our_samples_have_the_recorded_members() {
    let mut checked = 0;
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder("events")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for path in files {
        let mut found = Vec::new();
        records(&serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap(), &mut found);
        for record in found.iter().filter(|record| record["eventType"] == "AwsApiCall") {
            let name = format!("{}: {}", path.display(), record["eventName"]);
            let is_kinesis = record["eventSource"] == "kinesis.amazonaws.com";
            let parameters = &record["requestParameters"];
            let arn = ["streamARN", "resourceARN"].iter().find_map(|name| parameters[*name].as_str());
            let like = match record["errorCode"].as_str() {
                _ if !is_kinesis => recorded("cloudtrail-kms")["records"][1].take(),
                None if arn.is_some() => recorded("cloudtrail-stop-stream-encryption-by-arn")["record"].take(),
                None => recorded("cloudtrail-start-stream-encryption-by-name")["record"].take(),
                Some("AccessDenied") => recorded("cloudtrail-denied-by-name")["record"].take(),
                Some(_) => recorded("cloudtrail-failed-not-found")["record"].take(),
            };
            // A service on somebody's behalf has no TLS of the caller; the console has a mark of its own.
            let mut expected = members(&like);
            if record["userIdentity"].get("invokedBy").is_some() {
                expected.remove("tlsDetails");
            }
            let mut ours = members(record);
            ours.remove("sessionCredentialFromConsole");
            assert_eq!(ours, expected, "{name}");
            for member in ["eventVersion", "eventCategory", "managementEvent"] {
                assert_eq!(record[member], like[member], "{name}: {member}");
            }
            let stream = arn.map(|arn| arn.rsplit('/').next().unwrap()).or(parameters["streamName"].as_str());
            let stream = stream.unwrap_or("scratch"); // Of the call that was denied, which reports no parameters.
            let region = record["awsRegion"].as_str().unwrap();
            let reported = [(stream, "STREAM"), (region, "REGION")];
            let recorded_as = [("orders", "STREAM"), ("us-east-1", "REGION")];
            // What a call about a channel has there was never recorded.
            if is_kinesis && !arn.is_some_and(|arn| arn.contains(":channel/")) {
                assert_eq!(shape(&record["resources"], &reported), shape(&like["resources"], &recorded_as), "{name}");
            }
            if let Some(tls) = record.get("tlsDetails") {
                assert_eq!(shape(tls, &reported), shape(&like["tlsDetails"], &recorded_as), "{name}");
            }
            for pointer in ["/responseElements/deletionDate", "/requestParameters/validTo"] {
                let date = record.pointer(pointer).map(|date| date.as_str().unwrap().parse::<Timestamp>());
                assert!(date.is_none_or(|date| date.is_ok()), "{name}: {pointer}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 34, "{checked}");
    let deletion = &recorded("cloudtrail-kms")["records"][1]["responseElements"]["deletionDate"];
    assert!(deletion.as_str().unwrap().parse::<Timestamp>().is_ok(), "{deletion}");
}
