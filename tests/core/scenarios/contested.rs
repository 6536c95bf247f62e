//! Two who want different things of one stream: when the function stops, and that it says who the other is.

use jiff::SignedDuration;
use streamseal::domain::evidence::Compliance;
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::model::StreamStatus;
use streamseal::domain::plan::{Reason, Withheld};

use crate::sim::Op;
use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};

/// Terraform without encryption in its configuration, applied whenever somebody has encrypted the stream, for a day; it may tag the
/// stream each time too. Every invocation of the function is a cold start.
async fn fight(lag_ms: u64, applied_after: f64, tags: bool) -> Scene {
    let weather = Weather { trail_lag_ms: lag_ms, ..Weather::calm() };
    let mut s = Scene::with(ALL_WITH_APP, 7, weather, &[]);
    s.lambda.always_cold = true;
    s.existing("orders", Some("app"));
    let sim = s.sim.clone();
    s.actors.spawn(async move {
        let end = sim.with(|_, now| now) + SignedDuration::from_hours(24);
        while sim.with(|_, now| now) < end {
            let encrypted = sim.with(|state, now| {
                state.body("orders", now).is_some_and(|body| body.status == StreamStatus::Active && body.key.is_some())
            });
            if encrypted {
                tokio::time::sleep(secs(applied_after)).await;
                sim.with(|state, now| {
                    if state.stop_by("orders", Tool::Terraform, now).is_ok() && tags {
                        state.tag_by("orders", "applied", "again", Tool::Terraform, now);
                    }
                });
                sim.ring();
            }
            tokio::time::sleep(secs(1.0)).await;
        }
    });
    s.drain().await;
    s
}

/// The key changes that were spent: a Start that is refused, since another is under way, costs none.
fn spent(s: &Scene) -> usize {
    s.journal().iter().filter(|call| call.op == Op::Start && call.took_effect).count()
}

#[tokio::test(start_paused = true)]
async fn with_a_history_that_is_up_to_date_we_stop_after_three() {
    let s = fight(0, 1.0, false).await;
    assert_eq!(spent(&s), 3, "{}", s.story("orders"));
    let last = s.last("orders");
    assert_eq!((last.verdict.compliance, last.verdict.reason), (Compliance::NonCompliant, Reason::Contested));
    assert_eq!((last.verdict.withheld, last.verdict.alarm), (Some(Withheld::Contested), true));
    assert!(last.verdict.detail.contains("role/terraform") && last.verdict.detail.contains("StopStreamEncryption"));
    let told = serde_json::to_value(Document::from(&last)).unwrap();
    let terraform = told["at_source"]["terraform"].as_str().unwrap();
    assert!(terraform.contains("encryption_type") && terraform.contains("kms_key_id"), "{terraform}");
    assert!(told["at_source"]["cloudformation"].as_str().unwrap().contains("StreamEncryption"));
}

#[tokio::test(start_paused = true)]
async fn with_a_history_that_lags_we_spend_no_more_than_about_half_of_the_quota() {
    for minutes in [2, 5, 10, 15] {
        for applied_after in [0.0, 20.0, 100.0] {
            let s = fight(minutes * 60_000, applied_after, false).await;
            let starts = spent(&s);
            assert!((3..=13).contains(&starts), "{starts} with a lag of {minutes} min: {}", s.story("orders"));
            assert_eq!(s.last("orders").verdict.reason, Reason::Contested);
        }
    }
}

/// Each round wakes us twice, and two cold starts do not know of each other.
#[tokio::test(start_paused = true)]
async fn one_who_tags_too_costs_more_and_never_the_whole_quota() {
    for minutes in [0, 5, 15] {
        let s = fight(minutes * 60_000, 0.0, true).await;
        assert!((3..=20).contains(&spent(&s)), "{} with a lag of {minutes} min", spent(&s));
        assert_eq!(s.last("orders").verdict.reason, Reason::Contested);
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_stops_it_once_is_answered_at_once() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("app"));
    s.set(|state, now| state.stop_by("orders", Tool::Cli, now).unwrap());
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert!(s.elapsed() < 30.0, "{} s", s.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_the_history_may_not_be_read_existing_streams_are_left_alone() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.faults(Op::Trail, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied"), 9);
    s.set(|state, now| state.command("orders", now));
    s.created("new", secs(1.0));
    s.drain().await;
    let told = s.all("orders").remove(0);
    assert_eq!((told.verdict.compliance, told.verdict.alarm), (Compliance::InsufficientData, true));
    assert_eq!(s.starts("orders"), [] as [&str; 0]);
    assert!(told.verdict.detail.contains("LookupEvents"), "{}", told.verdict.detail);
    assert_eq!(s.end("new").0, Compliance::Compliant, "a new stream needs no history");
}

#[tokio::test(start_paused = true)]
async fn a_history_that_is_throttled_is_asked_again() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.existing("orders", None);
    s.faults(Op::Trail, Fault::Throttled, 10);
    s.set(|state, now| state.command("orders", now));
    s.drain().await;
    s.assert_sealed("orders", "app");
}

#[tokio::test(start_paused = true)]
async fn the_history_is_read_once_a_minute_however_many_streams_are_changed() {
    let mut s = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &[("MAX_CONCURRENCY", "1")]);
    let names: Vec<String> = (0..20).map(|number| format!("app-{number}")).collect();
    for name in &names {
        s.existing(name, None);
        s.set(|state, now| state.command(name, now));
    }
    s.drain().await;
    names.iter().for_each(|name| s.assert_sealed(name, "app"));
    assert!(s.count(Op::Trail) <= 4, "{}", s.count(Op::Trail));
}
