//! Two who require different things of one stream: when the function stops, and that it says who the other is.

use jiff::SignedDuration;
use streamseal::domain::evidence::Evidence;
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::failure::{Class, Fault as Lasting};
use streamseal::domain::model::StreamStatus;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script, Weather};
use crate::sim::fleet::SEEN_LAG_MS;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{Op, arn};

/// Terraform without encryption in its configuration, applied whenever somebody has encrypted the stream, for a day; it may tag the
/// stream each time too. Every invocation of the function is a cold start.
async fn fight(lag_ms: u64, applied_after: f64, tags: bool) -> Scene {
    let weather = Weather { trail_lag_ms: lag_ms..=lag_ms, ..Weather::calm() };
    fight_in(weather, applied_after, tags).await
}

async fn fight_in(weather: Weather, applied_after: f64, tags: bool) -> Scene {
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
    let reported = serde_json::to_value(Document::from(&last)).unwrap();
    let terraform = reported["at_source"]["terraform"].as_str().unwrap();
    assert!(terraform.contains("encryption_type") && terraform.contains("kms_key_id"), "{terraform}");
    assert!(reported["at_source"]["cloudformation"].as_str().unwrap().contains("StreamEncryption"));
}

#[tokio::test(start_paused = true)]
async fn with_the_history_that_aws_was_seen_to_have_we_stop_after_few() {
    for applied_after in [0.0, 20.0, 100.0] {
        let weather = Weather { trail_lag_ms: SEEN_LAG_MS, ..Weather::calm() };
        let s = fight_in(weather, applied_after, false).await;
        assert_eq!(spent(&s), 3, "{}", s.story("orders"));
        assert_eq!(s.last("orders").verdict.reason, Reason::Contested);
    }
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
    let reported = s.all("orders").remove(0);
    assert_eq!((reported.verdict.compliance, reported.verdict.alarm), (Compliance::InsufficientData, true));
    assert_eq!(s.starts("orders"), [] as [&str; 0]);
    assert!(reported.verdict.detail.contains("LookupEvents"), "{}", reported.verdict.detail);
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
    // A page of Starts and one of Stops.
    let readings = s.count(Op::Trail).div_ceil(2);
    // A command is answered with what was read after it, and so each batch of them reads once.
    assert!(readings <= 6, "{readings} in {} s", s.elapsed());
}

/// As it was seen of AWS, and filled by somebody without any rights, who calls StartStreamEncryption all day and is refused.
fn filled() -> Weather {
    Weather { trail_lag_ms: SEEN_LAG_MS, refused_starts: 2_000, ..Weather::calm() }
}

/// The requests to CloudTrail of one run: what was asked for, in order.
fn lookups(evidence: &Evidence) -> usize {
    evidence.calls.iter().filter(|call| call.call == Op::Trail.name()).count()
}

#[tokio::test(start_paused = true)]
async fn two_thousand_refused_calls_keep_no_stream_from_being_encrypted() {
    let mut s = Scene::with(ALL_WITH_APP, 7, filled(), &[("MAX_CONCURRENCY", "5")]);
    s.lambda.always_cold = true;
    let names = ["orders", "bills", "users", "clicks", "views"];
    s.set(|state, _| state.queue.batch = 1);
    for name in names {
        s.existing(name, None);
        s.set(|state, now| state.command(name, now));
    }
    s.drain().await;
    for name in names {
        s.assert_sealed(name, "app");
        assert_eq!(s.starts(name), ["app"]);
        for run in s.all(name) {
            let took = run.finished_at.duration_since(run.started_at).as_secs();
            assert!(took <= 60, "{took} s: {}", s.story(name));
        }
    }
    let lookups = s.count(Op::Trail);
    assert!(lookups <= 200, "{lookups} requests in {} s", s.elapsed());
    assert!(s.elapsed() < 300.0, "{} s", s.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_thousand_refused_calls_hide_no_fight() {
    for applied_after in [0.0, 20.0, 100.0] {
        let s = fight_in(filled(), applied_after, false).await;
        assert!((3..=13).contains(&spent(&s)), "{}: {}", spent(&s), s.story("orders"));
        assert_eq!(s.last("orders").verdict.reason, Reason::Contested);
        assert!(s.all("orders").iter().all(|run| lookups(run) <= 8), "{}", s.story("orders"));
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_history_that_is_too_long_the_streams_own_part_is_read() {
    let mut s = Scene::with(ALL_WITH_APP, 7, filled(), &[]);
    s.existing("orders", None);
    s.set(|state, now| state.command("orders", now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let asked: Vec<String> = s.journal().into_iter().filter(|call| call.op == Op::Trail).map(|c| c.target).collect();
    let mut expected = vec!["StartStreamEncryption".to_owned(); 4];
    expected.extend(["orders".to_owned(), arn("orders").to_string()]);
    assert_eq!(asked, expected);
}

#[tokio::test(start_paused = true)]
async fn pages_that_come_slowly_are_not_waited_for() {
    let mut s =
        Scene::with(ALL_WITH_APP, 7, Weather { latency_ms: 2_000..=2_000, ..filled() }, &[("WAIT_SECONDS", "60")]);
    s.existing("orders", None);
    s.set(|state, now| state.command("orders", now));
    s.drain().await;
    s.assert_sealed("orders", "app");
    let asked: Vec<String> = s.journal().into_iter().filter(|call| call.op == Op::Trail).map(|c| c.target).collect();
    let expected = ["StartStreamEncryption", "StartStreamEncryption", "StartStreamEncryption", "orders"];
    assert_eq!(asked[..4], expected, "none is begun after 10 s");
    assert_eq!(asked[4..], [arn("orders").to_string()]);
}

#[tokio::test(start_paused = true)]
async fn where_that_is_too_long_as_well_nothing_is_started_and_an_alarm_fires() {
    for by in ["orders".to_owned(), arn("orders").to_string()] {
        let mut s = Scene::with(ALL_WITH_APP, 7, filled(), &[]);
        s.existing("orders", None);
        s.set(|state, now| {
            state.crowded.insert(by.clone());
            state.command("orders", now);
        });
        s.drain().await;
        assert_eq!(s.starts("orders"), [] as [&str; 0]);
        for run in s.all("orders") {
            assert_eq!(run.verdict.compliance, Compliance::InsufficientData);
            assert!(run.verdict.detail.contains("too long"), "{}", run.verdict.detail);
            assert_eq!(lookups(&run), 8, "four pages of all streams and four of this one");
        }
        assert_eq!(s.alarms("orders"), [Reason::Unreadable], "once, however often it is observed again");
        assert_eq!(s.all("orders").len(), 3, "it is observed again twice");
    }
}

#[tokio::test(start_paused = true)]
async fn a_streams_own_history_that_is_throttled_is_asked_again_and_one_that_is_denied_is_unknown() {
    let of_it = |fault| Script { op: Op::Trail, target: Some("orders".to_owned()), fault };
    let mut s = Scene::with(ALL_WITH_APP, 7, filled(), &[]);
    s.existing("orders", None);
    s.set(|state, now| {
        state.script.extend(std::iter::repeat_n(of_it(Fault::Throttled), 10));
        state.command("orders", now);
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert!(s.all("orders").iter().all(|run| !run.verdict.alarm), "{}", s.story("orders"));

    let denied = Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied");
    let mut s = Scene::with(ALL_WITH_APP, 7, filled(), &[]);
    s.existing("orders", None);
    s.set(|state, now| {
        state.script.extend(std::iter::repeat_n(of_it(denied), 10));
        state.command("orders", now);
    });
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0);
    assert_eq!((s.end("orders").0, s.alarmed("orders")), (Compliance::InsufficientData, true));
}

/// Somebody stops the encryption of a stream that was made a moment ago, whenever it is encrypted, for as long as it is new.
async fn fight_for_a_new_one(weather: Weather, tags: bool) -> Scene {
    let mut s = Scene::with(ALL_WITH_APP, 7, weather, &[]);
    s.lambda.always_cold = true;
    s.created("orders", secs(1.0));
    let sim = s.sim.clone();
    s.actors.spawn(async move {
        let end = sim.with(|_, now| now) + SignedDuration::from_mins(59);
        while sim.with(|_, now| now) < end {
            sim.with(|state, now| {
                let encrypted = state.body("orders", now).is_some_and(|body| body.key.is_some());
                if encrypted && state.stop_by("orders", Tool::Cli, now).is_ok() && tags {
                    state.tag_by("orders", "applied", "again", Tool::Cli, now);
                }
            });
            sim.ring();
            tokio::time::sleep(secs(1.0)).await;
        }
    });
    s.drain().await;
    s
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_that_somebody_stops_again_and_again_is_contested_too() {
    for (lag, tags) in [(0..=0, false), (SEEN_LAG_MS, false), (SEEN_LAG_MS, true)] {
        let weather = Weather { trail_lag_ms: lag.clone(), ..Weather::calm() };
        let s = fight_for_a_new_one(weather, tags).await;
        let starts = s.journal().into_iter().filter(|call| call.op == Op::Start).map(|call| call.at);
        let starts: Vec<_> = starts.collect();
        let begun: jiff::Timestamp = crate::sim::BEGIN.parse().unwrap();
        assert!(starts[0] < begun + secs(10.0), "the first Start is free: {starts:?}");
        assert!((3..=12).contains(&spent(&s)), "{lag:?}, tags {tags}: {}: {}", spent(&s), s.story("orders"));
        let reported =
            s.all("orders").into_iter().any(|run| run.verdict.reason == Reason::Contested && run.verdict.alarm);
        assert!(reported, "{}", s.story("orders"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_whose_alias_moves_follows_it() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(1.0));
    s.later(secs(400.0), |state, now| {
        state.keys.alias("alias/app", "other");
        state.command("orders", now);
    });
    s.drain().await;
    s.assert_sealed("orders", "other");
    // Its creator's time, and no quarter of an hour since our Start: nobody else changed it.
    assert!(s.elapsed() < 600.0, "{} s", s.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_that_somebody_stopped_needs_the_history_and_its_first_start_does_not() {
    for wake in ["AddTagsToStream", "CreateStream"] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.faults(Op::Trail, Fault::Refused(Class::Permanent(Lasting::Access), "AccessDenied"), 20);
        s.set(|state, now| {
            state.create("orders", now, secs(1.0), Tool::Cli);
            state.emit(wake, "orders", Tool::Cli, now);
        });
        s.later(secs(300.0), |state, now| state.stop_by("orders", Tool::Cli, now).unwrap());
        s.drain().await;
        assert_eq!(s.starts("orders"), ["app"], "{}", s.story("orders"));
        let sealed = s.all("orders").into_iter().any(|run| run.verdict.compliance == Compliance::Compliant);
        assert!(sealed, "{}", s.story("orders"));
        assert_eq!((s.end("orders").0, s.alarmed("orders")), (Compliance::InsufficientData, true));
    }
}
