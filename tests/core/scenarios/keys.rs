//! Which key: aliases, the AWS-managed key, accepted keys, downgrades, keys that cannot be used or observed.

use serde_json::json;
use streamseal::domain::arn::AWS_MANAGED_ALIAS;
use streamseal::domain::evidence::ProofState;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::actors::Tool;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{Op, key_arn};

/// An AWS-managed key, unless a customer's is there already.
const AWS_OR_ANY: &str = "
version: 1
defaults: { existing: enforce, proof: { new: probe, existing: describe } }
rules:
  - { name: all, key: alias/aws/kinesis, accept: [customer-managed] }
";

/// A stream on `key`, observed because of an event.
async fn observed_at(policy: &str, key: Option<&str>, set: impl FnOnce(&Scene)) -> Scene {
    let mut s = Scene::new(policy);
    s.existing("orders", key);
    set(&s);
    s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
    s.drain().await;
    s
}

/// The same, where it must not be changed.
async fn left_alone(policy: &str, key: Option<&str>, set: impl FnOnce(&Scene)) -> Scene {
    let s = observed_at(policy, key, set).await;
    assert!(s.journal().iter().all(|call| !matches!(call.op, Op::Start | Op::Put)), "{}", s.story("orders"));
    s
}

fn disabled(key: &'static str) -> impl FnOnce(&Scene) {
    move |s| s.set(|state, now| state.keys.set_state(key, "Disabled", now))
}

#[tokio::test(start_paused = true)]
async fn every_form_of_the_right_key_is_the_right_key() {
    for form in ["alias/app", "app", &key_arn("app"), "arn:aws:kms:eu-west-1:111122223333:alias/app"] {
        let s = left_alone(ALL_WITH_APP, Some(form), |_| ()).await;
        assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::NotSought), "{form}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_was_pointed_elsewhere_means_the_other_key() {
    let s = observed_at(ALL_WITH_APP, Some("app"), |s| s.set(|state, _| state.keys.alias("alias/app", "other"))).await;
    s.assert_sealed("orders", "other");
}

#[tokio::test(start_paused = true)]
async fn the_aws_managed_key_is_made_by_its_first_use() {
    let policy = "{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/aws/kinesis}]}";
    let mut s = Scene::new(policy);
    s.created("orders", secs(1.0));
    s.drain().await;
    assert_eq!(s.starts("orders"), [AWS_MANAGED_ALIAS]);
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::Proven));
    // From now on it has an ARN, and the alias that the stream is on means that.
    s.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Streamseal, now));
    s.drain().await;
    assert_eq!(s.starts("orders").len(), 1);
    assert_eq!(s.end("orders").0, Compliance::Compliant);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_key_is_left() {
    let s = left_alone(AWS_OR_ANY, Some("alias/other"), |_| ()).await;
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::AcceptedKey, ProofState::NotSought));
}

#[tokio::test(start_paused = true)]
async fn an_accepted_key_that_cannot_be_used_is_an_alarm() {
    let s = left_alone(AWS_OR_ANY, Some("alias/other"), disabled("other")).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyUnusable));
    assert!(s.alarmed("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_customers_key_is_not_replaced_by_an_aws_managed_one() {
    let policy = "{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/aws/kinesis}]}";
    let s = left_alone(policy, Some("alias/other"), |_| ()).await;
    assert_eq!(s.last("orders").verdict.withheld.map(|w| w.as_str()), Some("downgrade"));
    assert_eq!(s.end("orders").0, Compliance::NonCompliant);
    // Nor is one that is gone: only a customer's can be.
    let s = left_alone(policy, Some("12345678-1234-1234-1234-123456789012"), |_| ()).await;
    assert_eq!(s.last("orders").verdict.withheld.map(|w| w.as_str()), Some("downgrade"));
    let reported_to = policy.replace("key:", "replace_customer_key: true, proof: {existing: describe}, key:");
    let s = observed_at(&reported_to, Some("alias/other"), |_| ()).await;
    assert_eq!(s.starts("orders"), [AWS_MANAGED_ALIAS]);
    assert_eq!(s.end("orders"), (Compliance::Compliant, Reason::RightKey, ProofState::Described));
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_put_on_a_key_that_cannot_be_used() {
    for state in ["Disabled", "PendingDeletion", "PendingImport", "Unavailable", "PendingReplicaDeletion"] {
        let set = |s: &Scene| s.set(|world, now| world.keys.set_state("app", state, now));
        let s = left_alone(ALL_WITH_APP, None, set).await;
        assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyUnusable), "{state}");
        assert!(s.alarmed("orders"), "it stays unencrypted until somebody checks: {state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_its_own_rules_key_that_cannot_be_used_is_an_alarm() {
    let s = left_alone(ALL_WITH_APP, Some("alias/app"), disabled("app")).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyUnusable));
    assert!(s.alarmed("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_will_be_ready_in_a_moment_is_waited_for() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.set(|state, now| {
        state.keys.set_state("app", "Creating", now);
        state.emit("StopStreamEncryption", "orders", Tool::Cli, now);
    });
    s.later(secs(60.0), |state, now| state.keys.set_state("app", "Enabled", now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.starts("orders"), ["app"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_kms_does_not_know_fails_closed() {
    let policy = ALL_WITH_APP.replace("alias/app", "alias/nothing");
    let s = left_alone(&policy, None, |_| ()).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyMissing));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_we_may_not_observe_is_never_taken_for_right() {
    let hidden = |key: &'static str| move |s: &Scene| s.set(|state, _| state.keys.key(key).secret = true);
    let s = left_alone(ALL_WITH_APP, Some("alias/other"), hidden("other")).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::InsufficientData, Reason::Unreadable));
    let s = left_alone(ALL_WITH_APP, Some("alias/app"), hidden("app")).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::InsufficientData, Reason::Unreadable));
    assert!(s.alarmed("orders"));
    // A stream that is not encrypted is wrong whatever that key is.
    let s = left_alone(ALL_WITH_APP, None, hidden("app")).await;
    assert_eq!((s.end("orders").0, s.end("orders").1), (Compliance::NonCompliant, Reason::KeyUnresolvable));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_disabled_while_the_run_waits_is_observed_again() {
    // Settling: the key was fine when the stream was first seen ACTIVE and is not when its creator has had its time.
    let mut s = Scene::with(ALL_WITH_APP, 7, crate::sim::faults::Weather::calm(), &[("WAIT_SECONDS", "100")]);
    s.created_by("orders", secs(1.0), Tool::CloudFormation);
    s.later(secs(30.0), |state, now| state.keys.set_state("app", "Disabled", now));
    s.drain().await;
    assert!(s.starts("orders").is_empty());
    assert!(s.all("orders").iter().all(|evidence| evidence.verdict.reason == Reason::KeyUnusable));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_disabled_while_a_start_waits_for_its_turn_is_observed_again() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("bills", None);
    s.existing("orders", None);
    // Both at once: the second Start has to wait for some seconds, by the rate that is kept.
    let record = |stream: &str| {
        let body = json!({"action": "reconcile", "stream": stream}).to_string();
        json!({"messageId": stream, "body": body, "eventSource": "aws:sqs"})
    };
    let batch = json!({"Records": [record("bills"), record("orders")]});
    s.later(secs(1.0), |state, now| state.keys.set_state("app", "Disabled", now));
    s.lambda.invoke(&batch.to_string(), secs(120.0)).await.expect("not killed").unwrap();
    s.drain().await;
    assert_eq!(s.journal().iter().filter(|call| call.op == Op::Start).count(), 1, "{}", s.story("orders"));
}
