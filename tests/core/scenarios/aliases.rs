//! Aliases that no rule names, or not the rule of the stream: a stream's setting may name one all the same.

use streamseal::domain::scan::subject::Subject;
use streamseal::domain::scan::v1::Summary;
use streamseal::domain::verdict::{Compliance, Reason};

use crate::sim::scene::{ALL_WITH_APP, Scene};
use crate::sim::{Op, key_arn};

const ACCEPTING: &str = r#"
version: 1
defaults: { existing: enforce, proof: { existing: probe } }
rules:
  - { name: own, match: { stream: "own*" }, key: alias/app }
  - { name: two, match: { stream: "two*" }, key: alias/app, accept: [alias/good] }
  - { name: any, key: alias/aws/kinesis, accept: [customer-managed] }
"#;

fn accepting() -> Scene {
    let s = Scene::new(ACCEPTING);
    s.set(|state, _| {
        state.keys.add("good");
        state.keys.add("bad");
        state.keys.alias("alias/theirs", "good");
    });
    // On an alias that no rule names; the same key by its ARN; on AWS's own.
    s.existing("any", Some("alias/theirs"));
    s.existing("any-by-arn", Some(&key_arn("good")));
    s.existing("any-aws", Some("alias/aws/kinesis"));
    s.existing("two", Some("alias/theirs"));
    s.existing("own", Some("alias/app"));
    s
}

fn happened(s: &Scene, call: &'static str, alias: &'static str, key: Option<&'static str>) {
    s.set(|state, now| {
        match key {
            Some(key) => state.keys.alias(alias, key),
            None => state.keys.remove_alias(alias),
        }
        state.emit_key(call, Some(alias), key.unwrap_or("good"), now);
    });
}

fn summaries(s: &Scene) -> Vec<Summary> {
    s.set(|state, _| state.summaries.clone())
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_only_a_streams_setting_names_is_followed() {
    let mut s = accepting();
    s.set(|state, now| state.keys.set_state("bad", "Disabled", now));
    happened(&s, "UpdateAlias", "alias/theirs", Some("bad"));
    s.drain().await;
    let reported = summaries(&s);
    assert_eq!(reported.iter().map(|reported| reported.scan.subject.clone()).collect::<Vec<_>>(), [Subject::Aliases]);
    assert_eq!(reported[0].to_json()["scan"]["kind"], "aliases");
    assert_eq!(
        (reported[0].scan.tally.listed, reported[0].scan.tally.streams),
        (5, 2),
        "those on an alias that may move"
    );
    let any = s.last("any");
    assert_eq!((any.verdict.reason, any.verdict.alarm), (Reason::KeyUnusable, true), "{}", s.story("any"));
    assert_eq!(any.cause.call.as_str(), "UpdateAlias");
    // Its rule has a key that it should be on now.
    s.assert_sealed("two", "app");
    for name in ["any-by-arn", "any-aws", "own"] {
        assert!(s.all(name).is_empty(), "{name} is on no alias that moved");
    }
    assert!(
        s.journal().iter().all(|call| call.op != Op::Describe || call.target != "own"),
        "its rule accepts no other"
    );
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_is_deleted_counts_and_one_that_is_made_does_not() {
    let mut s = accepting();
    happened(&s, "DeleteAlias", "alias/theirs", None);
    s.drain().await;
    assert_eq!(summaries(&s).len(), 1);
    assert_eq!(s.last("any").verdict.compliance, Compliance::NonCompliant, "{}", s.story("any"));
    s.assert_sealed("two", "app");

    // Nothing can be on an alias that was not there.
    happened(&s, "CreateAlias", "alias/new", Some("good"));
    s.drain().await;
    assert_eq!(summaries(&s).len(), 1);
    let ignored = s.set(|state, _| state.notes.iter().filter(|note| note.reason == "OtherAlias").count());
    assert_eq!(ignored, 1);
}

#[tokio::test(start_paused = true)]
async fn a_scan_for_an_alias_that_rules_name_takes_the_streams_along_whose_setting_names_it() {
    let mut s = accepting();
    s.existing("any-app", Some("alias/app"));
    s.set(|state, now| state.keys.set_state("bad", "Disabled", now));
    happened(&s, "UpdateAlias", "alias/app", Some("bad"));
    s.drain().await;
    let any = s.last("any-app");
    assert_eq!((any.verdict.reason, any.verdict.alarm), (Reason::KeyUnusable, true), "{}", s.story("any-app"));
    // Those whose rule names it, and that one.
    let reported = summaries(&s);
    assert_eq!((reported.len(), reported[0].scan.tally.streams), (1, 3));
    assert!(s.all("any").is_empty() && s.all("any-by-arn").is_empty());
    // It moves back: what was reported is not so any more.
    happened(&s, "UpdateAlias", "alias/app", Some("app"));
    s.drain().await;
    assert_eq!(s.end("any-app").0, Compliance::Compliant);
}

#[tokio::test(start_paused = true)]
async fn where_no_rule_accepts_another_key_an_alias_of_no_rule_is_ignored() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, _| state.keys.alias("alias/theirs", "app"));
    s.existing("orders", Some("alias/theirs"));
    happened(&s, "UpdateAlias", "alias/theirs", Some("other"));
    happened(&s, "DeleteAlias", "alias/theirs", None);
    s.drain().await;
    assert!(summaries(&s).is_empty() && s.journal().iter().all(|call| !call.op.name().starts_with("kinesis:")));
}
