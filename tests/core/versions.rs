//! What `docs/versioning.md` promises: messages of the first version are read, what is not known is refused whole, and no name that
//! others read goes away.

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::event;
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::work::PutBack;

use crate::sim::actors::Tool;
use crate::sim::own;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};

/// A work message with no field but those that the first version had to have.
fn first_work() -> Value {
    json!({
        "streamseal": "streamseal.work/v1",
        "stream_arn": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders",
        "cause": {"call": "CreateStream"},
        "first_seen": "2026-03-02T07:59:00Z",
        "attempt": 1,
        "proof_owed": true,
    })
}

/// The same of a scan.
fn first_scan() -> Value {
    json!({
        "streamseal": "streamseal.scan/v1",
        "subject": {"kind": "sweep"},
        "id": "sweep@1",
        "cause": {"call": "sweep"},
        "requested_at": "2026-03-02T07:59:00Z",
    })
}

fn read(message: &Value) -> Item {
    let now: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
    let Input::Direct(mut items) = event::parse(message, &own(), now) else { panic!("not direct") };
    assert_eq!(items.len(), 1);
    items.remove(0)
}

#[test]
fn messages_of_the_first_version_are_read() {
    let Item::Reconcile(work) = read(&first_work()) else { panic!("not work") };
    assert_eq!((work.attempt, work.proof_owed, work.reruns), (1, true, 0));
    assert_eq!(work.deadline_from, work.first_seen);
    assert_eq!((work.put_back, work.started, work.started_at, work.rekeyed), (PutBack::No, false, None, false));
    assert_eq!((work.previous_key, work.not_before, work.active_since, work.right_since), (None, None, None, None));
    let Item::Scan(scan) = read(&first_scan()) else { panic!("not a scan") };
    assert_eq!((scan.deadline_from, scan.parts, scan.failures), (scan.requested_at, 0, 0));
    assert_eq!((scan.started_at, scan.after, scan.tally), (None, None, Default::default()));
}

#[test]
fn messages_of_a_later_version_are_refused_whole() {
    for first in [first_work(), first_scan()] {
        for (place, value) in
            [("/later", json!(1)), ("/cause/later", json!(1)), ("/streamseal", json!("streamseal.work/v2"))]
        {
            let mut message = first.clone();
            let (parent, field) = place.rsplit_once('/').unwrap();
            message.pointer_mut(parent).unwrap()[field] = value;
            let Item::Malformed(why) = read(&message) else { panic!("{place} is skipped") };
            assert!(why.as_str().contains(field) || why.as_str().contains("v2"), "{why}");
        }
    }
}

/// Every name in a document, `a.b` where one stands below another; of lists that of their first member.
fn names(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                found.push(at.clone());
                names(value, &at, found);
            }
        }
        Value::Array(items) => items.iter().take(1).for_each(|item| names(item, at, found)),
        _ => {}
    }
}

fn assert_has(document: &Value, expected: &str) {
    let mut found = Vec::new();
    names(document, "", &mut found);
    for name in expected.split_whitespace() {
        assert!(found.iter().any(|it| it == name), "{name} is gone: {found:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_name_that_others_read_goes_away() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(1.0));
    s.drain().await;
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let evidence = s.all("orders").into_iter().find(|e| e.proof.shard_id.is_some()).unwrap();
    assert_has(
        &serde_json::to_value(Document::from(&evidence)).unwrap(),
        "schema id time compliance reason annotation alarm run.id run.actor run.function run.tool run.mode run.attempt run.started_at run.finished_at
         run.duration_ms stream.arn stream.name stream.account stream.region stream.created_at cause.call cause.event_id
         cause.actor cause.at cause.first_seen policy.source policy.digest policy.rule policy.rule_index policy.tags reasons exemption keys.key keys.manager keys.state keys.origin keys.problem before.status
         before.encryption_type before.key_id before.key_arn before.at desired.key desired.key_arn calls.call calls.at
         calls.duration_ms calls.request_id calls.result after.status after.key_arn proof.state proof.mode proof.shard_id
         proof.sequence_number proof.encryption_type proof.at remediation.state remediation.withheld remediation.next_run_at
         would at_source.terraform at_source.cloudformation remedy.about remedy.text",
    );
    s.parameter("/mode", "report");
    s.existing("bills", None);
    s.set(|state, now| state.emit("StopStreamEncryption", "bills", Tool::Cli, now));
    s.drain().await;
    let wrong = s.all("bills").into_iter().find(|e| e.verdict.withheld.is_some()).unwrap();
    assert_has(
        &serde_json::to_value(Document::from(&wrong)).unwrap(),
        "at_source.cli remedy.commands would.action would.withheld",
    );
    let summary = s.set(|state, _| state.summaries.clone()).pop().unwrap();
    assert_has(
        &summary.to_json(),
        "schema id time alarm scan.id scan.kind scan.actor scan.function scan.tool scan.mode scan.requested_at scan.started_at scan.finished_at scan.parts cause.call
         cause.event_id cause.actor cause.at policy.source policy.digest streams.listed streams.relevant streams.by_compliance
         streams.by_rule streams.by_key not_compliant.count not_compliant.streams not_compliant.more changes.handed_over changes.withheld to_prove
         exemptions_ending missed_by_events.count under_lost_key.count calls",
    );
    let note = s.set(|state, _| state.notes.clone()).pop().unwrap();
    assert_has(&note.to_json(), "schema outcome reason detail");
}
