//! All streams at once: keys that rotate, aliases that move, keys that are lost, sweeps, and what they may change.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::json;
use streamseal::domain::evidence::ProofState;
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::history::ChangeKind;
use streamseal::domain::scan::v1::Summary;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, key_arn};

/// Streams by their name: some on `alias/app`, some on `alias/other`, some exempt.
const TWO_KEYS: &str = r#"
version: 1
defaults: { existing: enforce, proof: { new: probe, existing: probe } }
rules:
  - { name: scratch, match: { stream: "scratch*" }, exempt: { reason: RISK-1, until: 2026-03-10 } }
  - { name: others, match: { stream: "other*" }, key: alias/other }
  - { name: all, key: alias/app }
"#;

/// As in production: existing streams are observed, and get no probe.
const OBSERVED: &str = "{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/app}]}";

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:04}")).collect()
}

fn with_streams(policy: &str, prefix: &str, count: usize, key: Option<&str>) -> Scene {
    let s = Scene::new(policy);
    names(prefix, count).iter().for_each(|name| s.existing(name, key));
    s
}

fn summaries(s: &Scene) -> Vec<Summary> {
    s.set(|state, _| state.summaries.clone())
}

fn summary(s: &Scene) -> Summary {
    summaries(s).pop().expect("a summary")
}

fn update_alias(s: &Scene, alias: &'static str, key: &'static str) {
    s.set(|state, now| {
        state.keys.alias(alias, key);
        state.emit_key("UpdateAlias", Some(alias), key, now);
    });
}

fn ops(s: &Scene, op: Op) -> Vec<String> {
    s.journal().iter().filter(|call| call.op == op).map(|call| call.target.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_moved_moves_every_stream_of_its_rules_and_no_other() {
    let mut s = with_streams(TWO_KEYS, "app", 7, Some("app"));
    names("other", 4).iter().for_each(|name| s.existing(name, Some("other")));
    s.existing("scratch", None);
    s.set(|state, _| state.keys.add("new"));
    update_alias(&s, "alias/app", "new");
    s.drain().await;
    for name in names("app", 7) {
        s.assert_sealed(&name, "new");
        assert_eq!(s.starts(&name), ["new"]);
        assert_eq!(s.end(&name).2, ProofState::Proven);
        assert_eq!(s.last(&name).cause.call.as_str(), "UpdateAlias");
    }
    // Streams of other rules are not even observed.
    assert!(ops(&s, Op::Describe).iter().all(|target| target.starts_with("app-")), "{:?}", ops(&s, Op::Describe));
    let reported = summary(&s);
    assert_eq!((reported.scan.tally.listed, reported.scan.tally.streams), (12, 7));

    // The same event again.
    let before = s.count(Op::Start);
    update_alias(&s, "alias/app", "new");
    s.drain().await;
    assert_eq!(s.count(Op::Start), before);
    assert_eq!(summary(&s).scan.tally.by_compliance, BTreeMap::from([("COMPLIANT".to_owned(), 7)]));
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_is_gone_is_reported_for_every_stream_of_its_rules() {
    let mut s = with_streams(TWO_KEYS, "app", 3, Some("app"));
    s.set(|state, now| {
        state.keys.remove_alias("alias/app");
        state.emit_key("DeleteAlias", Some("alias/app"), "app", now);
    });
    s.drain().await;
    for name in names("app", 3) {
        let last = s.last(&name);
        assert_eq!((last.verdict.compliance, last.verdict.reason), (Compliance::NonCompliant, Reason::KeyMissing));
        assert!(last.verdict.alarm);
    }
    assert_eq!((s.count(Op::Start), s.count(Op::Put)), (0, 0));
    // It comes back, to another key.
    s.set(|state, now| {
        state.keys.alias("alias/app", "other");
        state.emit_key("CreateAlias", Some("alias/app"), "other", now);
    });
    s.drain().await;
    names("app", 3).iter().for_each(|name| s.assert_sealed(name, "other"));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_is_verified_and_changes_nothing() {
    let mut s = with_streams(OBSERVED, "app", 5, Some("alias/app"));
    s.existing("wrong", Some("other"));
    s.existing("plain", None);
    // Somebody writes, all the time.
    for name in names("app", 5) {
        s.set(|state, now| drop(state.put(&name, false, now).unwrap()));
    }
    s.set(|state, now| {
        state.keys.key("app").rotations += 1;
        state.emit_key("RotateKeyOnDemand", None, "app", now);
        state.emit_key("RotateKey", None, "app", now);
    });
    for name in names("app", 5) {
        s.later(secs(340.0), move |state, now| drop(state.put(&name, false, now).unwrap()));
    }
    s.drain().await;
    assert_eq!((s.count(Op::Start), s.count(Op::Put)), (0, 0));
    for name in names("app", 5) {
        assert_eq!(s.end(&name), (Compliance::Compliant, Reason::RightKey, ProofState::Observed), "{}", s.story(&name));
        let after = s.last(&name).after.unwrap();
        assert_eq!(after.material.unwrap().as_str(), "app-1", "the new material");
    }
    assert!(s.all("wrong").is_empty() && s.all("plain").is_empty(), "they are not on that key");
    let reported = summaries(&s);
    assert_eq!(reported.len(), 1, "one rotation is one scan, however often it is reported");
    assert_eq!((reported[0].scan.tally.to_prove, reported[0].key_material.as_deref()), (5, Some("app-1")));
}

#[tokio::test(start_paused = true)]
async fn a_rotation_leaves_what_is_wrong_to_others() {
    // On the key that rotates, where another is wanted.
    let mut s = with_streams(TWO_KEYS, "other", 2, Some("app"));
    s.set(|state, now| state.emit_key("RotateKeyOnDemand", None, "app", now));
    s.drain().await;
    assert_eq!((s.count(Op::Start), s.count(Op::Put)), (0, 0));
    let reported = summary(&s);
    assert_eq!((reported.scan.tally.to_prove, reported.scan.tally.not_compliant.count()), (0, 2));
    assert!(reported.scan.tally.candidates.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_key_is_reported_and_what_waited_for_it_is_repaired_when_it_is_back() {
    let mut s = with_streams(TWO_KEYS, "app", 3, Some("app"));
    s.existing("app-plain", None);
    s.existing("other-on-app", Some("app"));
    s.existing("other-0000", Some("other"));
    s.set(|state, now| {
        state.keys.set_state("app", "Disabled", now);
        state.emit_key("DisableKey", None, "app", now);
    });
    s.drain().await;
    for name in names("app", 3).iter().map(String::as_str).chain(["app-plain"]) {
        let reported = s.last(name);
        assert_eq!((reported.verdict.reason, reported.verdict.alarm), (Reason::KeyUnusable, true), "{name}");
    }
    // Its rule names a key that can be used: repaired at once, and reported that records under the old one cannot be read.
    s.assert_sealed("other-on-app", "other");
    let moved = s.all("other-on-app").into_iter().find(|e| !e.warnings.is_empty()).expect("a warning");
    assert!(moved.warnings[0].contains("Disabled") && moved.warnings[0].contains("24 hours"), "{:?}", moved.warnings);
    assert!(s.all("other-0000").is_empty(), "neither on that key nor meant for it");
    assert_eq!(s.starts("app-plain"), [] as [&str; 0]);

    s.set(|state, now| {
        state.keys.set_state("app", "Enabled", now);
        state.emit_key("EnableKey", None, "app", now);
    });
    s.drain().await;
    s.assert_sealed("app-plain", "app");
    assert_eq!(s.count(Op::Start), 2, "the others are right as they are");
}

#[tokio::test(start_paused = true)]
async fn records_under_a_key_that_is_lost_later_are_warned_of_until_they_expire() {
    let mut s = with_streams(TWO_KEYS, "app", 3, Some("app"));
    let moved = |s: &Scene, stream: &str, hours_ago: i64| {
        s.set(|state, now| {
            let at = now - SignedDuration::from_hours(hours_ago);
            state.record_change(
                ChangeKind::Start,
                stream,
                Some(&key_arn("old")),
                Tool::Streamseal,
                at - SignedDuration::from_hours(48),
            );
            state.record_change(ChangeKind::Start, stream, Some(&key_arn("app")), Tool::Streamseal, at);
        });
    };
    s.set(|state, _| state.keys.add("old"));
    moved(&s, "app-0000", 5);
    moved(&s, "app-0001", 30);
    s.set(|state, now| {
        state.keys.set_state("old", "PendingDeletion", now);
        state.emit_key("ScheduleKeyDeletion", None, "old", now);
    });
    s.drain().await;
    let reported = summary(&s);
    let at_risk: Vec<&str> = reported.scan.tally.under_lost_key.names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(at_risk, ["app-0000"], "the records of the other have expired");
    assert!(reported.alarm());
    let warned = s.last("app-0000");
    assert_eq!((warned.verdict.compliance, warned.verdict.alarm), (Compliance::Compliant, true));
    assert!(warned.warnings[0].contains(&key_arn("old")), "{:?}", warned.warnings);
    assert!(s.all("app-0001").is_empty() && s.all("app-0002").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_history_does_not_show_may_have_been_the_lost_one() {
    let mut s = with_streams(TWO_KEYS, "app", 2, Some("app"));
    s.set(|state, now| {
        // Moved to its key five hours ago, from one that was set before CloudTrail's history begins.
        let at = now - SignedDuration::from_hours(5);
        state.record_change(ChangeKind::Start, "app-0000", Some(&key_arn("app")), Tool::Streamseal, at);
        // Encrypted first when it was made, five hours ago.
        state.keys.add("old");
        state.create("app-new", at, secs(1.0), Tool::Cli);
        state.record_change(ChangeKind::Start, "app-new", Some(&key_arn("app")), Tool::Streamseal, at + secs(9.0));
        state.keys.set_state("old", "Disabled", now);
        state.emit_key("DisableKey", None, "old", now);
    });
    s.drain().await;
    let at_risk = summary(&s).scan.tally.under_lost_key.names;
    assert_eq!(at_risk.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["app-0000"]);
    assert!(s.last("app-0000").warnings[0].contains("may be under"), "{:?}", s.last("app-0000").warnings);
}

#[tokio::test(start_paused = true)]
async fn a_history_that_may_not_be_read_is_said_to_be_unknown() {
    let mut s = with_streams(TWO_KEYS, "app", 2, Some("app"));
    s.fault(Op::Trail, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied"));
    s.set(|state, now| state.emit_key("DisableKey", None, "other", now));
    s.drain().await;
    let reported = summary(&s).to_json();
    assert!(reported["history_unknown"].as_str().unwrap().contains("LookupEvents"), "{reported}");
}

#[tokio::test(start_paused = true)]
async fn an_alias_that_only_the_newest_policy_names_is_not_missed() {
    let weather = Weather { event_delay_ms: 1_000..=1_000, ..Weather::calm() };
    let mut s = Scene::with(ALL_WITH_APP, 7, weather, &[]);
    names("app", 2).iter().for_each(|name| s.existing(name, Some("app")));
    // This instance has read the policy a moment ago.
    s.event("AddTagsToStream", "app-0000", Tool::Cli).await.unwrap();
    s.set(|state, now| state.set_parameter("/policy", &ALL_WITH_APP.replace("alias/app", "alias/new"), now));
    update_alias(&s, "alias/new", "other");
    s.drain().await;
    // The scan for the alias is dropped; the sweep for the new policy begins after it.
    assert_eq!(summaries(&s).iter().map(|reported| reported.scan.topic()).collect::<Vec<_>>(), ["policy"]);
    names("app", 2).iter().for_each(|name| s.assert_sealed(name, "other"));
}

#[tokio::test(start_paused = true)]
async fn what_a_new_policy_makes_ours_to_change_was_not_missed() {
    let exempt = "{version: 1, rules: [{name: all, exempt: {reason: not yet}}]}";
    let mut s = Scene::new(exempt);
    s.created("orders", secs(1.0));
    s.drain().await;
    tokio::time::sleep(hours(2)).await;
    s.set(|state, now| state.set_parameter("/policy", ALL_WITH_APP, now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(summary(&s).scan.tally.missed.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_key_that_is_refused_stops_no_scan() {
    let mut s = with_streams(TWO_KEYS, "app", 3, Some("app"));
    names("other", 3).iter().for_each(|name| s.existing(name, None));
    let refused = Fault::Refused(Class::Permanent(Lasting::Request), "InvalidArn");
    s.set(|state, now| {
        state.script.extend((0..3).map(|_| Script {
            op: Op::Lookup,
            target: Some("alias/other".into()),
            fault: refused,
        }));
        state.sweep(now);
    });
    s.drain().await;
    let reported = summary(&s).scan.tally;
    assert_eq!(
        reported.by_compliance,
        BTreeMap::from([("COMPLIANT".to_owned(), 3), ("INSUFFICIENT_DATA".to_owned(), 3)])
    );
    assert!(s.all("other-0000")[0].verdict.alarm, "{}", s.story("other-0000"));
}

#[tokio::test(start_paused = true)]
async fn keys_and_aliases_of_no_concern_cost_no_call_of_kinesis() {
    let mut s = with_streams(TWO_KEYS, "app", 3, Some("app"));
    s.set(|state, now| {
        state.keys.add_aws_managed();
        state.keys.add("aws-s3");
        state.keys.make_aws_managed("aws-s3");
        state.emit_key("UpdateAlias", Some("alias/app2"), "app", now);
        state.emit_key("CreateAlias", Some("alias/App"), "app", now);
        state.emit_key("PutKeyPolicy", None, "aws-s3", now);
    });
    s.drain().await;
    assert!(summaries(&s).is_empty());
    let kinesis = s.journal().iter().filter(|call| call.op.name().starts_with("kinesis:")).count();
    assert_eq!(kinesis, 0);
    let notes = s.set(|state, _| state.notes.iter().map(|note| note.reason).collect::<Vec<_>>());
    assert_eq!(notes.iter().filter(|reason| **reason == "OtherAlias").count(), 2, "{notes:?}");
    assert_eq!(notes.iter().filter(|reason| **reason == "OtherKey").count(), 1, "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_finds_what_events_missed_and_counts_the_rest() {
    let mut s = with_streams(TWO_KEYS, "app", 4, Some("app"));
    names("other", 2).iter().for_each(|name| s.existing(name, Some("alias/other")));
    s.existing("scratch", None);
    s.existing("stopped", None);
    // Made half an hour ago, and nobody reported to us.
    s.set(|state, now| state.create("unheard", now - SignedDuration::from_mins(30), secs(1.0), Tool::Cli));
    s.set(|state, now| state.create("just-made", now - SignedDuration::from_mins(5), secs(1.0), Tool::Cli));
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let reported = summary(&s);
    let tally = &reported.scan.tally;
    assert_eq!((tally.listed, tally.streams), (10, 10));
    let counts = |groups: &BTreeMap<String, u64>| groups.iter().map(|(k, n)| format!("{k} {n}")).collect::<Vec<_>>();
    assert_eq!(
        counts(&tally.by_compliance),
        ["COMPLIANT 6", "INSUFFICIENT_DATA 1", "NON_COMPLIANT 2", "NOT_APPLICABLE 1"]
    );
    assert_eq!(counts(&tally.by_rule), ["all 7", "others 2", "scratch 1"]);
    let (app, other) = (key_arn("app"), key_arn("other"));
    assert_eq!(counts(&tally.by_key), ["(not encrypted) 4".to_owned(), format!("{app} 4"), format!("{other} 2")]);
    let missed: Vec<&str> = tally.missed.names.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(missed, ["unheard"]);
    let mut wrong: Vec<&str> = tally.not_compliant.names.iter().map(|(name, _)| name.as_str()).collect();
    wrong.sort_unstable();
    assert_eq!(wrong, ["just-made", "stopped", "unheard"]);
    assert_eq!(reported.exemptions_ending.keys().collect::<Vec<_>>(), ["scratch"]);
    for name in ["stopped", "unheard", "just-made"] {
        s.assert_sealed(name, "app");
    }
    // One observation each, pages of three, and one DescribeKey for each spelling of a key.
    let spellings = 3;
    assert_eq!((tally.calls["kinesis:DescribeStreamSummary"], tally.calls["kms:DescribeKey"]), (10, spellings));
    assert!(
        (4..=6).contains(&tally.calls["kinesis:ListStreams"]),
        "{:?}: pages whose token was broken are asked for again",
        tally.calls
    );
}

#[tokio::test(start_paused = true)]
async fn a_scan_hands_over_so_many_changes_and_withholds_the_rest() {
    let mut s = with_streams(ALL_WITH_APP, "app", 25, None);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    let right = |s: &Scene| names("app", 25).iter().filter(|name| s.key(name).is_some()).count();
    assert_eq!((s.count(Op::Start), right(&s)), (10, 10));
    let reported = summary(&s).scan.tally;
    assert_eq!((reported.candidates.len(), reported.withheld.count(), reported.not_compliant.count()), (10, 15, 25));
    for _ in 0..20 {
        if right(&s) == 25 {
            break;
        }
        tokio::time::sleep(hours(24)).await;
        s.set(|state, now| state.sweep(now));
        s.drain().await;
    }
    assert_eq!((right(&s), s.count(Op::Start)), (25, 25));
}

#[tokio::test(start_paused = true)]
async fn streams_whose_change_fails_for_ever_starve_nobody() {
    let mut s = with_streams(ALL_WITH_APP, "app", 24, None);
    // The first twelve are never to be changed.
    s.set(|state, _| {
        let fault = Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied");
        for name in names("app", 12) {
            state.script.extend((0..400).map(|_| Script { op: Op::Start, target: Some(name.clone()), fault }));
        }
    });
    for _ in 0..25 {
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        tokio::time::sleep(hours(24)).await;
    }
    for name in &names("app", 24)[12..] {
        assert_eq!(s.key(name), Some(key_arn("app")), "{name} had its turn");
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_only_reports_sweeps_and_changes_nothing() {
    let mut s = with_streams(ALL_WITH_APP, "app", 3, None);
    s.parameter("/mode", "report");
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!((s.count(Op::Start), s.count(Op::Put)), (0, 0));
    for name in names("app", 3) {
        assert_eq!(s.last(&name).verdict.withheld, Some(Withheld::ReportMode), "{name}");
    }
    let reported = summary(&s).scan.tally;
    assert_eq!((reported.not_compliant.count(), reported.candidates.len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_large_fleet_takes_several_parts_and_keeps_its_rate_even_when_killed() {
    for kill_at in [None, Some(2_000)] {
        let mut s = with_streams(ALL_WITH_APP, "app", 1_200, Some("app"));
        s.set(|state, now| {
            state.page_size = 100;
            state.sweep(now);
        });
        s.lambda.kill_scan_at = kill_at;
        s.drain().await;
        let reported = summary(&s);
        assert_eq!(reported.scan.tally.by_compliance, BTreeMap::from([("COMPLIANT".to_owned(), 1_200)]));
        assert!(reported.scan.parts >= 2, "{}", reported.scan.parts);
        let reruns = s.count(Op::Describe);
        let most = if kill_at.is_some() { 1_200 + 600 } else { 1_200 };
        assert!((1_200..=most).contains(&reruns), "{reruns}: what a part had done is done again");
        assert_rate(&s, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_asked_for_at_once_are_one_and_later_ones_take_turns() {
    let mut s = with_streams(ALL_WITH_APP, "app", 400, Some("app"));
    s.set(|state, now| (0..3).for_each(|_| state.sweep(now)));
    // The first one takes 80 s, from 70 s on.
    s.later(secs(75.0), |state, now| state.sweep(now));
    s.drain().await;
    let reported = summaries(&s);
    assert_eq!(reported.iter().map(|reported| reported.scan.tally.listed).collect::<Vec<_>>(), [400, 400]);
    let (first, second) = (reported[0].finished_at, reported[1].scan.started_at.unwrap());
    assert!(first <= second, "{first} {second}");
    assert_rate(&s, 5);
}

/// No more observations a second than this, at any time.
fn assert_rate(s: &Scene, most: usize) {
    let reruns: Vec<_> = s.journal().iter().filter(|call| call.op == Op::Describe).map(|call| call.at).collect();
    let second = SignedDuration::from_millis(990);
    // Latency moves an observation by some milliseconds.
    let within = |at| reruns.iter().filter(|other| **other >= at && other.duration_since(at) < second).count();
    let worst = reruns.iter().map(|at| within(*at)).max().unwrap_or_default();
    assert!(worst <= most + 1, "{worst} observations in one second");
}

#[tokio::test(start_paused = true)]
async fn tags_are_read_a_page_at_a_time_and_one_by_one_where_they_may_not_be() {
    const BY_TAG: &str = r#"
version: 1
defaults: { existing: enforce, proof: { existing: probe } }
rules:
  - { name: scratch, match: { tags: { kind: scratch } }, exempt: { reason: RISK-1 } }
  - { name: all, key: alias/app }
"#;
    for denied in [false, true] {
        let mut s = with_streams(BY_TAG, "app", 5, Some("app"));
        s.existing("tagged", None);
        s.set(|state, now| {
            state.streams.get_mut("tagged").unwrap().tags.insert("kind".into(), "scratch".into());
            state.sweep(now);
        });
        if denied {
            s.fault(Op::TagsOf, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied"));
        }
        s.drain().await;
        let reported = summary(&s).scan.tally;
        assert_eq!(reported.by_rule, BTreeMap::from([("all".to_owned(), 5), ("scratch".to_owned(), 1)]));
        let (bulk, single) = if denied { (1, 6) } else { (2, 0) };
        assert_eq!((s.count(Op::TagsOf), s.count(Op::Tags)), (bulk, single));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_waits_for_a_policy_that_can_be_used() {
    let mut s = with_streams(ALL_WITH_APP, "app", 2, None);
    s.parameter("/policy", "rules: [");
    s.set(|state, now| state.sweep(now));
    s.later(hours(2), |state, _| drop(state.parameters.insert("/policy".into(), ALL_WITH_APP.into())));
    s.drain().await;
    names("app", 2).iter().for_each(|name| s.assert_sealed(name, "app"));
    assert_eq!(summaries(&s).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_deadline_of_a_scan_runs_while_the_policy_cannot_be_used() {
    let mut s = with_streams(ALL_WITH_APP, "app", 2, None);
    s.parameter("/policy", "rules: [");
    s.set(|state, now| state.sweep(now));
    s.later(hours(60), |state, _| drop(state.parameters.insert("/policy".into(), ALL_WITH_APP.into())));
    // More than a message is received before it is given up.
    s.faults(Op::List, Fault::ServerError, 60);
    s.drain().await;
    names("app", 2).iter().for_each(|name| s.assert_sealed(name, "app"));
    assert_eq!(summaries(&s).len(), 1);
    s.assert_queues_empty();
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_is_a_sweep_and_another_parameter_is_not() {
    let mut s = with_streams(ALL_WITH_APP, "app", 2, Some("app"));
    // The instance that handles it has read the policy a moment ago.
    s.event("AddTagsToStream", "app-0000", Tool::Cli).await.unwrap();
    s.set(|state, now| {
        state.set_parameter("/policies", "rules: [", now);
        state.set_parameter("/policy", &ALL_WITH_APP.replace("alias/app", "alias/other"), now);
    });
    s.drain().await;
    names("app", 2).iter().for_each(|name| s.assert_sealed(name, "other"));
    assert_eq!(summaries(&s).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_of_scans_a_sweep_runs_where_it_is_asked_for() {
    let variables = [("WORK_QUEUE_URL", ""), ("SCAN_QUEUE_URL", "")];
    let mut s = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &variables);
    s.set(|state, _| (state.queue.exists, state.queue.has_scans) = (false, false));
    names("app", 3).iter().for_each(|name| s.existing(name, None));
    let answer = s.direct(&json!({"action": "sweep"})).await.unwrap();
    assert_eq!((&answer["schema"], &answer["streams"]["relevant"]), (&json!("streamseal.summary/v1"), &json!(3)));
    names("app", 3).iter().for_each(|name| s.assert_sealed(name, "app"));
    // One that does not fit into an invocation says so.
    names("more", 700).iter().for_each(|name| s.existing(name, Some("app")));
    let refused = s.direct(&json!({"action": "sweep"})).await.unwrap_err();
    assert!(refused.to_string().contains("SCAN_QUEUE_URL is not set"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_observed_stops_no_scan() {
    let mut s = with_streams(ALL_WITH_APP, "app", 5, Some("app"));
    s.set(|state, now| {
        let denied = Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied");
        state.script.push(Script { op: Op::Describe, target: Some("app-0001".into()), fault: denied });
        state.script.extend((0..4).map(|_| Script {
            op: Op::Describe,
            target: Some("app-0002".into()),
            fault: Fault::ServerError,
        }));
        state.sweep(now);
    });
    s.drain().await;
    let reported = summary(&s).scan.tally;
    assert_eq!(
        reported.by_compliance,
        BTreeMap::from([("COMPLIANT".to_owned(), 3), ("INSUFFICIENT_DATA".to_owned(), 2)])
    );
    assert_eq!(s.all("app-0001")[0].verdict.reason, Reason::AccessDenied);
    // What may pass is observed again by a run of its own.
    assert_eq!(s.end("app-0002").0, Compliance::Compliant, "{}", s.story("app-0002"));
}
