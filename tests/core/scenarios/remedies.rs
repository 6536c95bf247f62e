//! What evidence says is to be done: never to move a stream to a key that cannot be used; and what becomes of older records.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::actors::Tool;
use crate::sim::faults::Fault;
use crate::sim::scene::{ALL_WITH_APP, Scene};
use crate::sim::{Op, key_arn};

fn reported(s: &Scene, stream: &str) -> Value {
    serde_json::to_value(Document::from(&s.last(stream))).unwrap()
}

/// The rule's alias is left on a key that is going away, and the streams are on a good one.
#[tokio::test(start_paused = true)]
async fn no_remedy_moves_a_stream_to_a_key_that_is_going_away() {
    let mut s = Scene::new(ALL_WITH_APP);
    let names: Vec<String> = (0..14).map(|n| format!("orders-{n}")).collect();
    names.iter().for_each(|name| s.existing(name, Some(&key_arn("other"))));
    s.set(|state, now| state.keys.set_state("app", "PendingDeletion", now));
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0);
    for name in &names {
        let reported = reported(&s, name);
        assert_eq!((&reported["compliance"], &reported["reason"]), (&json!("NON_COMPLIANT"), &json!("key-unusable")));
        assert_eq!(reported["at_source"], Value::Null, "the key is going away");
        let (dying, good) = (key_arn("app"), key_arn("other"));
        let at = format!("--key-id {dying} --region eu-west-1");
        let commands = json!([
            format!("aws kms cancel-key-deletion {at} && aws kms enable-key {at}"),
            format!("aws kms update-alias --alias-name alias/app --target-key-id {good} --region eu-west-1"),
        ]);
        assert_eq!(
            (&reported["remedy"]["about"], &reported["remedy"]["commands"]),
            (&json!("key"), &commands),
            "{reported}"
        );
    }
}

/// What we did ourselves has to be written into the source; what somebody else set right, and what a rule accepts, has not.
#[tokio::test(start_paused = true)]
async fn a_compliant_stream_gets_no_remedy_but_to_keep_what_we_set() {
    let policy = "{version: 1, defaults: {existing: enforce, proof: {existing: describe}}, rules: [{name: all, key: alias/aws/kinesis, \
                  accept: [customer-managed]}]}";
    let mut s = Scene::new(policy);
    s.existing("accepted", Some("alias/other"));
    s.existing("plain", None);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let accepted = reported(&s, "accepted");
    assert_eq!(accepted["reason"], "accepted-key");
    assert_eq!((&accepted["at_source"], &accepted["remedy"]), (&Value::Null, &Value::Null), "a downgrade is no remedy");
    let plain = reported(&s, "plain");
    assert_eq!((&plain["reason"], &plain["remedy"]["about"]), (&json!("right-key"), &json!("source")));
    assert!(plain["at_source"]["terraform"].as_str().unwrap().contains("alias/aws/kinesis"), "{plain}");
    assert_eq!(plain["at_source"]["cli"], Value::Null, "that call was made");
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(reported(&s, "plain")["remedy"], Value::Null, "it was right when this sweep came");
}

#[tokio::test(start_paused = true)]
async fn a_key_of_an_account_that_nobody_named_is_reported_with_an_alarm_and_replaced_where_that_is_allowed() {
    const STRANGE: &str = "arn:aws:kms:eu-west-1:999988887777:key/strange";
    let policy = "
version: 1
defaults: { existing: report, enforce_from: 2026-03-01T00:00:00Z, proof: { existing: describe } }
rules:
  - { name: old, match: { stream: old }, key: alias/app, accept: [customer-managed] }
  - { name: named, match: { stream: named }, key: alias/app, accept: [customer-managed: [\"999988887777\"]] }
  - { name: all, key: alias/app, accept: [customer-managed], existing: enforce }
";
    let mut s = Scene::new(policy);
    s.set(|state, _| state.keys.add(STRANGE));
    for name in ["old", "named", "hidden"] {
        s.existing(name, Some(STRANGE));
        s.set(|state, now| state.emit("StartStreamEncryption", name, Tool::Cli, now));
        s.drain().await;
    }
    let old = s.last("old");
    assert_eq!((old.verdict.compliance, old.verdict.reason), (Compliance::NonCompliant, Reason::ForeignKey));
    assert!(old.verdict.alarm && old.verdict.detail.contains("of account 999988887777, which its rule does not name"));
    assert_eq!(old.verdict.withheld.map(|why| why.as_str()), Some("existing"));
    assert!(reported(&s, "old")["at_source"]["cli"].as_str().unwrap().contains(&key_arn("app")));
    assert_eq!(s.last("named").verdict.reason, Reason::AcceptedKey);
    assert_eq!((s.starts("old"), s.starts("named")), (vec![], vec![]));
    assert_eq!(s.starts("hidden"), ["app"], "{}", s.story("hidden"));
    // That KMS hides it from us makes it no better.
    let mut s = Scene::new(policy);
    s.set(|state, _| {
        state.keys.add(STRANGE);
        state.keys.key(STRANGE).secret = true;
    });
    for name in ["old", "named", "hidden"] {
        s.existing(name, Some(STRANGE));
        s.set(|state, now| state.emit("StartStreamEncryption", name, Tool::Cli, now));
        s.drain().await;
    }
    assert_eq!(s.last("old").verdict.reason, Reason::ForeignKey);
    assert_eq!(s.last("named").verdict.reason, Reason::Unreadable);
    assert_eq!(s.starts("hidden"), ["app"]);
    let warnings = s.all("hidden").into_iter().flat_map(|evidence| evidence.warnings);
    let warnings: Vec<String> = warnings.collect();
    assert!(warnings[0].contains("belongs to account 999988887777 and is not known here"), "{warnings:?}");
}

/// Records stay under the key that they were put with, for as long as the stream keeps them.
#[tokio::test(start_paused = true)]
async fn after_a_re_key_evidence_says_until_when_the_key_before_is_needed() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("plain", None);
    s.existing("orders", Some("alias/other"));
    // Busy for so long that another run proves it.
    s.set(|state, _| state.weather.update_ms = 90_000..=90_000);
    for name in ["plain", "orders"] {
        s.set(|state, now| state.command(name, now));
    }
    s.drain().await;
    s.assert_sealed("orders", "app");
    let all = s.all("orders");
    assert!(all.len() > 1, "{}", s.story("orders"));
    let hours = all[0].before.as_ref().unwrap().observed.retention_hours;
    for evidence in &all {
        let until = evidence.previous_key_needed_until.unwrap();
        let document = serde_json::to_value(Document::from(evidence)).unwrap();
        let written: Timestamp = document["previous_key_needed_until"].as_str().unwrap().parse().unwrap();
        assert_eq!(written, until);
    }
    // Counted from the first observation that saw it on the new key, and not from when the last run ended.
    let last = all.last().unwrap();
    let observed_at = last.after.as_ref().unwrap().observed.at;
    let until = last.previous_key_needed_until.unwrap();
    assert!(
        until >= observed_at.min(last.finished_at) + SignedDuration::from_hours(i64::from(hours)),
        "{until} {observed_at}"
    );
    assert!(until <= last.finished_at + SignedDuration::from_hours(i64::from(hours)) + SignedDuration::from_secs(5));
    s.set(|state, now| state.command("orders", now));
    s.drain().await;
    assert_eq!(s.last("orders").previous_key_needed_until, None, "it changed nothing");
    assert!(
        s.all("plain").iter().all(|evidence| evidence.previous_key_needed_until.is_none()),
        "there was no key before"
    );
}

/// AWS's own words decide what is advised, to their very end.
#[tokio::test(start_paused = true)]
async fn advice_follows_the_end_of_awss_words() {
    let who = format!(
        "User: arn:aws:sts::111122223333:assumed-role/{}/{} is not authorized to perform: kinesis:StartStreamEncryption on resource: \
         arn:aws:kinesis:eu-west-1:111122223333:stream/orders",
        "r".repeat(64),
        "s".repeat(64)
    );
    let organization = "with an explicit deny in a service control policy";
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    let words = Box::leak(format!("{who} {organization}").into_boxed_str());
    s.faults(Op::Start, Fault::Denied(words), 9);
    s.set(|state, now| state.command("orders", now));
    s.drain().await;
    let reported = reported(&s, "orders");
    assert_eq!(reported["reason"], "start-refused");
    let start =
        reported["calls"].as_array().unwrap().iter().find(|call| call["call"] == "kinesis:StartStreamEncryption");
    let message = start.unwrap()["message"].as_str().unwrap();
    assert!(message.len() > 200 && message.ends_with(organization), "{message}");
    assert!(reported["annotation"].as_str().unwrap().ends_with(organization), "{}", reported["annotation"]);
    let remedy = &reported["remedy"];
    assert_eq!(remedy["about"], "permission");
    assert!(
        remedy["text"].as_str().unwrap().starts_with("a service control policy denies kinesis:StartStreamEncryption"),
        "{remedy}"
    );
    assert_eq!(remedy["statement"], Value::Null, "no statement of ours can make up for it");
}
