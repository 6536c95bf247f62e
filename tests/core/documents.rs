//! The published schemas and the documented metrics: they are current, they refuse what they should, and they are what the
//! simulation holds every line and message to (`sim`).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::evidence::{ProofState, emf};
use streamseal::domain::verdict::Reason;

use crate::documents_shared::{assert_documented, faults};
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};

/// Writes the schemas anew where `STREAMSEAL_BLESS` is set, as for the policy's.
#[cfg(feature = "schema")]
#[test]
fn document_schemas_are_current() {
    use streamseal::domain::schema::Kind;
    for kind in Kind::ALL {
        let path = format!("{}/schemas/{}", env!("CARGO_MANIFEST_DIR"), kind.file());
        let schema = kind.schema();
        if std::env::var_os("STREAMSEAL_BLESS").is_some() {
            std::fs::write(&path, &schema).unwrap();
        }
        // Compared as values: the order of fields depends on the features that other crates ask of serde_json.
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        let stored = std::fs::read_to_string(&path).unwrap_or_default();
        let command =
            "STREAMSEAL_BLESS=1 cargo test --no-default-features --features schema --test core document_schemas";
        assert!(read(&stored) == read(&schema), "{path} is out of date; write it anew with `{command}`");
    }
}

async fn evidence() -> Value {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(5.0));
    s.drain().await;
    let last = s.last("orders");
    assert_eq!((last.verdict.reason, last.proof.state), (Reason::RightKey, ProofState::Proven));
    serde_json::to_value(Document::from(&last)).unwrap()
}

/// The files to try one's own rules with.
#[test]
fn the_sample_events_are_as_their_schemas_say() {
    for name in ["streamseal-evidence-event", "streamseal-summary-event"] {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(faults(&event["detail"]), Some(vec![]), "{name}");
        let kinds = [streamseal::domain::bus::EVIDENCE, streamseal::domain::bus::SUMMARY];
        assert!(
            event["source"] == streamseal::domain::bus::SOURCE
                && kinds.iter().any(|kind| event["detail-type"] == *kind)
        );
    }
}

/// A judge that lets all pass would be none: each change of a good document is refused, wherever it is.
#[tokio::test(start_paused = true)]
async fn what_is_not_documented_is_refused() {
    let good = evidence().await;
    assert_documented(&good);
    let mut places = Vec::new();
    fn walk(value: &Value, place: &str, places: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                places.push(place.to_owned());
                members.iter().for_each(|(name, member)| walk(member, &format!("{place}/{name}"), places));
            }
            Value::Array(items) => items.first().into_iter().for_each(|item| walk(item, &format!("{place}/0"), places)),
            _ => {}
        }
    }
    walk(&good, "", &mut places);
    assert!(places.len() >= 10, "{places:?}");
    for place in places {
        let change = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
            let mut document = good.clone();
            change(document.pointer_mut(&place).unwrap().as_object_mut().unwrap());
            faults(&document).unwrap()
        };
        let more = change(&|members| drop(members.insert("undocumented".to_owned(), json!(1))));
        assert_eq!(more.len(), 1, "{place} takes a field that no schema has");
        let names: BTreeSet<String> = good.pointer(&place).unwrap().as_object().unwrap().keys().cloned().collect();
        // Without its name it is no document at all.
        for name in names.into_iter().filter(|name| name != "schema") {
            let other = change(&|members| drop(members.insert(name.clone(), json!({"neither": {"this": 1}}))));
            assert!(!other.is_empty(), "{place}/{name} takes anything");
            let optional = [
                "message",
                "warnings",
                "producers",
                "impact",
                "previous_key_needed_until",
                "exposure",
                "at_source",
                "cli",
                "remedy",
                "commands",
                "statement",
                "key_material_id",
                "rotation",
                "alias",
            ]
            .contains(&name.as_str());
            let without = change(&|members| drop(members.remove(&name)));
            assert_eq!(without.is_empty(), optional, "{place}/{name} may be left out: {without:?}");
        }
    }
    for (place, value) in
        [("/reason", "fine"), ("/compliance", "compliant"), ("/run/started_at", "today"), ("/proof/state", "sure")]
    {
        let mut document = good.clone();
        *document.pointer_mut(place).unwrap() = json!(value);
        assert_eq!(faults(&document).unwrap().len(), 1, "{place}");
    }
    assert!(!faults(&json!({"schema": "streamseal.unheard/v1"})).unwrap().is_empty());
    assert_eq!(faults(&json!({"other": "line"})), None);
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_is_not_documented_is_refused() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(5.0));
    s.drain().await;
    let last = s.last("orders");
    let good = emf::of_evidence(&last);
    assert_documented(&good);
    for (place, value) in [
        ("/_aws/CloudWatchMetrics/0/Namespace", json!("Other")),
        ("/_aws/CloudWatchMetrics/0/Metrics/0/Name", json!("Other")),
        ("/_aws/CloudWatchMetrics/0/Metrics/0/Unit", json!("Seconds")),
        ("/_aws/CloudWatchMetrics/0/Dimensions/0", json!(["Compliance", "Reason"])),
        ("/_aws/CloudWatchMetrics/0/Dimensions/0", json!(["Stream"])),
        ("/Compliance", json!("orders")),
        ("/Reason", json!("orders")),
        ("/Evaluations", json!("one")),
    ] {
        let mut line = good.clone();
        *line.pointer_mut(place).unwrap() = value;
        assert!(!faults(&line).unwrap().is_empty(), "{place}");
    }
    let mut line = good.clone();
    line["stream"] = json!("orders");
    assert_eq!(faults(&line).unwrap(), ["member stream"]);
    let swapped = emf::of_note("deferred", "OtherEvent", 1, last.finished_at);
    assert!(!faults(&swapped).unwrap().is_empty(), "a reason is one of its outcome's");
}
