//! What a message can do that somebody else put into the queue, in the words of the function's own: no more than `docs/threat-model.md` says.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use streamseal::domain::evidence::ProofState;
use streamseal::domain::scan::Scan;
use streamseal::domain::verdict::{Reason, Withheld};

use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, arn, key_arn};

/// Streams made before today are reported; none is on another key than it should be for want of leave.
const REPORTED: &str = "
version: 1
defaults: { existing: report, enforce_from: 2026-03-01T00:00:00Z }
rules:
  - { name: scratch, match: { stream: 'scratch*' }, exempt: { reason: RISK-1, until: 2026-03-31 } }
  - { name: all, key: alias/app }
";

/// As in production: existing streams are observed.
const OBSERVED: &str = "{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/app}]}";

/// A work message that says all that a forger could wish: that the function began this, and that nothing is to be waited for.
fn forged(stream: &str, more: &[(&str, Value)]) -> String {
    let mut message = json!({
        "streamseal": "streamseal.work/v1",
        "stream_arn": arn(stream).to_string(),
        "cause": {"call": "CreateStream", "actor": "us", "at": "2026-03-02T07:59:00Z", "creator": "other"},
        "first_seen": "2026-03-02T07:59:00Z",
        "attempt": 3,
        "proof_owed": false,
        "started": true,
        "started_at": "2026-03-02T07:59:30Z",
        "rekeyed": true,
        "active_since": "2026-01-01T00:00:00Z",
    });
    more.iter().for_each(|(field, value)| message[*field] = value.clone());
    message.to_string()
}

fn put_back() -> [(&'static str, Value); 2] {
    put_back_to("other")
}

fn put_back_to(key: &str) -> [(&'static str, Value); 2] {
    [("put_back", json!("due")), ("previous_key", json!(key_arn(key)))]
}

fn send(s: &Scene, body: String) {
    s.set(|state, now| {
        state.watch.forged = true;
        state.enqueue(body, now, secs(0.0), 0);
    });
}

#[tokio::test(start_paused = true)]
async fn it_changes_nothing_that_the_policy_or_the_mode_withholds() {
    let mut s = Scene::new(REPORTED);
    s.existing("orders", None);
    s.existing("scratch", None);
    send(&s, forged("orders", &[]));
    send(&s, forged("scratch", &[]));
    s.drain().await;
    assert_eq!(s.last("orders").verdict.withheld, Some(Withheld::Existing));
    assert_eq!(s.end("scratch").1, Reason::Exempt);

    let mut s = Scene::new(ALL_WITH_APP);
    s.parameter("/mode", "report");
    s.existing("orders", None);
    send(&s, forged("orders", &put_back()));
    s.drain().await;
    assert_eq!(s.last("orders").verdict.withheld, Some(Withheld::ReportMode));
    assert_eq!(s.count(Op::Start), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_to_put_back_is_of_no_use_where_the_rules_key_can_be_used() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("app"));
    s.existing("bills", None);
    send(&s, forged("orders", &put_back()));
    send(&s, forged("bills", &put_back()));
    s.drain().await;
    assert_eq!(s.starts("orders"), Vec::<String>::new(), "{}", s.story("orders"));
    assert_eq!(s.starts("bills"), ["app"], "the rule's key, and no other");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_back_only_where_the_rule_lets_us_change_the_stream() {
    for (policy, expect) in [(REPORTED, &[][..]), (ALL_WITH_APP, &["other"][..])] {
        let mut s = Scene::new(policy);
        s.existing("orders", Some("app"));
        s.set(|state, now| state.keys.set_state("app", "Disabled", now));
        send(&s, forged("orders", &put_back()));
        s.drain().await;
        // Where it does, a forger may choose the key of a stream that cannot be written: never in silence.
        assert_eq!(s.starts("orders"), expect, "{}", s.story("orders"));
        assert!(s.all("orders").iter().any(|evidence| evidence.verdict.alarm));
    }
}

#[tokio::test(start_paused = true)]
async fn no_message_has_a_customers_key_replaced_by_one_of_awss_own() {
    let replace = ALL_WITH_APP.replace("key: alias/app", "key: alias/app, replace_customer_key: true");
    for policy in [ALL_WITH_APP, &replace] {
        for state in ["Disabled", "PendingDeletion"] {
            let mut s = Scene::new(policy);
            s.existing("orders", Some("app"));
            s.set(|world, now| {
                world.keys.add_aws_managed();
                world.keys.set_state("app", state, now);
            });
            send(&s, forged("orders", &put_back_to("aws-kinesis")));
            s.drain().await;
            assert_eq!(s.count(Op::Start), 0, "{}", s.story("orders"));
            assert_eq!((s.last("orders").verdict.reason, s.alarmed("orders")), (Reason::KeyUnusable, true));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_put_back_only_soon_after_the_start_that_the_message_names() {
    let [due, previous] = put_back();
    for started_at in [json!("2026-03-02T07:40:00Z"), json!(null)] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", Some("app"));
        s.set(|state, now| state.keys.set_state("app", "Disabled", now));
        send(&s, forged("orders", &[due.clone(), previous.clone(), ("started_at", started_at.clone())]));
        s.drain().await;
        assert_eq!(s.count(Op::Start), 0, "{started_at}: {}", s.story("orders"));
        assert!(s.alarmed("orders"));
        // KMS is not asked about a key that may not be put back.
        let previous = key_arn("other");
        let asked = s.journal().iter().filter(|entry| entry.op == Op::Lookup && entry.target == previous).count();
        assert_eq!(asked, 0, "{started_at}: {}", s.story("orders"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_record_proves_nothing_whatever_the_message_says_of_the_past() {
    let mut s = Scene::new(OBSERVED);
    s.existing("orders", Some("app"));
    s.set(|state, now| state.put("orders", false, now).unwrap());
    tokio::time::sleep(hours(3)).await;
    let right = ("right_since", json!("2026-03-02T07:00:00Z"));
    send(&s, forged("orders", &[right, ("proof_owed", json!(true))]));
    s.drain().await;
    assert_eq!((s.end("orders").1, s.end("orders").2), (Reason::Idle, ProofState::Described), "{}", s.story("orders"));
}

#[tokio::test(start_paused = true)]
async fn a_scan_hands_over_no_more_than_allowed_whatever_its_message_says() {
    let mut s = Scene::new(ALL_WITH_APP);
    let names: Vec<String> = (0..25).map(|number| format!("app-{number:02}")).collect();
    names.iter().for_each(|name| s.existing(name, None));
    let now: Timestamp = s.set(|_, now| now);
    let candidates: Vec<Value> = names.iter().map(|name| json!({"place": 1, "stream": name})).collect();
    let message = json!({
        "streamseal": "streamseal.scan/v1", "subject": {"kind": "sweep"}, "id": "sweep@forged",
        "cause": {"call": "sweep"}, "requested_at": now, "started_at": now, "after": "zzz",
        "tally": {"candidates": candidates},
    });
    let scan = Scan::parse(&message, now + SignedDuration::from_secs(1)).unwrap();
    s.direct(&serde_json::from_str(&scan.to_json()).unwrap()).await.unwrap();
    s.drain().await;
    assert_eq!(s.count(Op::Start), 10, "MAX_CHANGES");
    let reported = s.set(|state, _| state.summaries.clone()).pop().unwrap().scan.tally;
    assert_eq!((reported.candidates.len(), reported.withheld.count()), (10, 15));
}
