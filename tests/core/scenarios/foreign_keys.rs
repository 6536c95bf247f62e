//! Keys of another account, whose events somebody forwards: a reason to check where the policy names the key, and rejected where not.

use serde_json::{Value, json};
use streamseal::domain::note::Outcome;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::scene::{Scene, secs};
use crate::sim::{Op, key_arn};

const CENTRAL: &str = "arn:aws:kms:eu-west-1:999988887777:key/7c1f0a52-3b9d-4e61-8f25-0d6a94c7be13";
const ALIAS: &str = "arn:aws:kms:eu-west-1:999988887777:alias/central";
const OTHER: &str = "arn:aws:kms:eu-west-1:999988887777:key/00000000-3b9d-4e61-8f25-0d6a94c7be13";

/// A stream on the central key, and a policy that names keys so.
fn scene(rule: &str) -> Scene {
    let s = Scene::new(&format!("{{version: 1, defaults: {{existing: enforce}}, rules: [{{name: all, {rule}}}]}}"));
    s.set(|state, now| {
        state.keys.add(CENTRAL);
        state.keys.add(OTHER);
        state.keys.alias(ALIAS, CENTRAL);
        state.existing("orders", Some(CENTRAL), now);
    });
    s
}

/// The call as the other account's bus forwards it: a public report of such an event, with another call and key put in.
fn forwarded(call: &str, key: &str) -> Value {
    let path = format!("{}/events/kms-disable-key-other-account.json", env!("CARGO_MANIFEST_DIR"));
    let mut event: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    event["detail"]["eventName"] = json!(call);
    event["detail"]["resources"][0]["ARN"] = json!(key);
    if call.ends_with("Alias") {
        event["detail"]["requestParameters"]["aliasName"] = json!("alias/central");
    }
    event
}

fn send(s: &Scene, event: &Value) {
    s.set(|state, now| state.enqueue(event.to_string(), now, secs(0.0), 0));
}

/// Whether the last event was rejected for its key; nothing else may be.
fn was_rejected(s: &Scene) -> bool {
    let notes = s.set(|state, _| state.notes.clone());
    let rejected: Vec<_> = notes.iter().filter(|note| note.outcome == Outcome::Rejected).collect();
    assert!(rejected.iter().all(|note| note.reason == "ForeignKey"), "{rejected:?}");
    !rejected.is_empty()
}

#[tokio::test(start_paused = true)]
async fn what_happened_to_a_key_that_a_rule_names_is_a_reason_to_check() {
    for rule in [
        format!("key: '{CENTRAL}'"),
        format!("key: '{ALIAS}'"),
        format!("key: alias/app, accept: ['{CENTRAL}']"),
        format!("key: alias/app, accept: ['{ALIAS}']"),
    ] {
        let mut s = scene(&rule);
        s.set(|state, now| state.keys.set_state(CENTRAL, "Disabled", now));
        send(&s, &forwarded("DisableKey", CENTRAL));
        s.drain().await;
        assert!(!was_rejected(&s), "{rule}");
        assert_eq!(s.set(|state, _| state.summaries.len()), 1, "{rule}");
        let end = s.end("orders");
        assert_eq!((end.0, end.1), (Compliance::NonCompliant, Reason::KeyUnusable), "{rule}: {}", s.story("orders"));
        assert_eq!(s.last("orders").cause.call.as_str(), "DisableKey");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alias_of_another_account_that_moves_moves_its_streams() {
    let mut s = scene(&format!("key: '{ALIAS}'"));
    s.set(|state, _| state.keys.alias(ALIAS, OTHER));
    send(&s, &forwarded("UpdateAlias", OTHER));
    s.drain().await;
    assert!(!was_rejected(&s));
    assert_eq!(s.starts("orders"), [OTHER], "{}", s.story("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_no_rule_names_is_rejected_without_an_observation_of_any_stream() {
    let of_a_third = CENTRAL.replace("999988887777", "444455556666");
    for (rule, call, key) in [
        ("key: alias/app".to_owned(), "DisableKey", CENTRAL),
        ("key: alias/central".to_owned(), "UpdateAlias", CENTRAL),
        ("key: 'alias/kinesis/${tag:team}'".to_owned(), "UpdateAlias", CENTRAL),
        (format!("key: '{OTHER}'"), "DisableKey", CENTRAL),
        (format!("key: alias/app, accept: ['{OTHER}', customer-managed]"), "DisableKey", CENTRAL),
        // The alias is another key's.
        (format!("key: '{ALIAS}'"), "DisableKey", OTHER),
        (format!("key: '{of_a_third}'"), "ScheduleKeyDeletion", CENTRAL),
        (format!("key: '{CENTRAL}'"), "UpdateAlias", CENTRAL),
    ] {
        let mut s = scene(&rule);
        send(&s, &forwarded(call, key));
        s.drain().await;
        assert!(was_rejected(&s), "{rule} {call} {key}");
        assert_eq!((s.count(Op::List), s.count(Op::Describe), s.count(Op::Send)), (0, 0, 0), "{rule} {call}");
        s.assert_queues_empty();
    }
}

/// Where KMS does not say which key the alias is of, it may be this one: a scan changes nothing.
#[tokio::test(start_paused = true)]
async fn where_it_cannot_be_determined_it_is_checked() {
    for gone in [true, false] {
        let mut s = scene(&format!("key: '{ALIAS}'"));
        s.set(|state, _| match gone {
            true => state.keys.remove_alias(ALIAS),
            false => state.keys.key(CENTRAL).secret = true,
        });
        send(&s, &forwarded("DeleteKey", CENTRAL));
        s.drain().await;
        assert!(!was_rejected(&s));
        assert_eq!(s.set(|state, _| state.summaries.len()), 1);
    }
    let mut s = scene("key: 'arn:aws:kms:eu-west-1:999988887777:alias/kinesis/${tag:team}'");
    send(&s, &forwarded("DisableKey", CENTRAL));
    s.drain().await;
    assert!(!was_rejected(&s));
}

/// The policy is asked when the scan's turn comes too: it may have been unreadable before.
#[tokio::test(start_paused = true)]
async fn while_the_policy_cannot_be_used_it_waits_and_is_rejected_then() {
    let mut s = scene(&format!("key: '{OTHER}'"));
    let good = s.set(|state, _| state.parameters.insert("/policy".to_owned(), "rules: []".to_owned())).unwrap();
    send(&s, &forwarded("DisableKey", CENTRAL));
    s.later(secs(60.0), move |state, _| {
        state.parameters.insert("/policy".to_owned(), good);
    });
    s.drain().await;
    assert!(was_rejected(&s));
    assert_eq!((s.count(Op::List), s.count(Op::Describe)), (0, 0));
    assert_eq!(key_arn(CENTRAL), CENTRAL);
    s.assert_queues_empty();
}
