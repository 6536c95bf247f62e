//! What else happens to streams while a change with a guard is made or watched: each thing that another part of the function decides.

use jiff::SignedDuration;
use streamseal::domain::arn::KeyArn;
use streamseal::domain::history::NewPolicy;
use streamseal::domain::plan::guard::watch::Standing;
use streamseal::domain::verdict::{Compliance, Reason, Withheld};
use streamseal::ports::Clock;

use super::guard::{ALL, GUARDED, OLD, is_withheld, rounds, scene, scene_with, standing, starts, streams};
use crate::sim::actors::Tool;
use crate::sim::scene::{Scene, hours, secs};
use crate::sim::{Op, key_arn};

/// A stream whose users fail after its change, and which a person puts back.
async fn taken_back_by_a_person() -> Scene {
    let mut s = scene();
    streams(&s, &["a"], |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.later(secs(300.0), |state, now| state.start_by("a", &key_arn("other"), Tool::Cli, now).unwrap());
    s.drain().await;
    s
}

#[tokio::test(start_paused = true)]
async fn a_second_sweep_starts_no_second_stream() {
    let mut s = scene();
    streams(&s, &["a", "b", "c", "d"], |_| ALL);
    s.set(|state, now| state.sweep(now));
    s.later(secs(600.0), |state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(rounds(&s), [1, 2, 1], "{:?}", starts(&s));
    assert_eq!(s.count(Op::Start), 4);
}

#[tokio::test(start_paused = true)]
async fn two_sweeps_close_together_start_two_streams_at_most() {
    // CloudTrail shows the first Start after the second sweep, and another instance runs that one.
    let mut at_once = Vec::new();
    for gap in [20.0, 90.0, 300.0] {
        let mut s = scene();
        s.lambda.always_cold = true;
        streams(&s, &["a", "b", "c", "d"], |_| ALL);
        s.set(|state, now| state.sweep(now));
        s.later(secs(gap), |state, now| state.sweep(now));
        s.drain().await;
        at_once.push(rounds(&s)[0]);
        assert_eq!(s.count(Op::Start), 4, "each once: {:?}", starts(&s));
    }
    assert_eq!(at_once, [1, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn new_streams_make_no_list_wait() {
    for (count, waits) in [(1, false), (10, false), (11, true)] {
        let mut s = scene();
        streams(&s, &["orders"], |_| ALL);
        let new: Vec<String> = (0..count).map(|number| format!("new-{number}")).collect();
        for name in &new {
            s.created(name, secs(2.0));
        }
        s.drain().await;
        let described = s.count(Op::Describe);
        s.later(secs(300.0), |state, now| state.sweep(now));
        s.drain().await;
        assert_eq!(s.key("orders") == Some(key_arn("other")), waits, "{count}: {}", s.story("orders"));
        assert_eq!(is_withheld(&s.last("orders"), Withheld::WaitsItsTurn), waits, "{count}: {}", s.story("orders"));
        assert!(s.count(Op::Describe) - described < 2 * count + 20, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_whatever_changes_meanwhile() {
    // Report mode, another policy, a function without a policy for a while: the users are watched to the end.
    let other = GUARDED.replace("alias/app", "alias/other");
    for (name, text, at) in
        [("/mode", "report", 300.0), ("/policy", other.as_str(), 300.0), ("/policy", "rules: [", 300.0)]
    {
        let mut s = scene();
        streams(&s, &["a"], |_| OLD);
        s.set(|state, now| state.sweep(now));
        let (parameter, new) = (name, text.to_owned());
        s.later(secs(at), move |state, _| drop(state.parameters.insert(parameter.to_owned(), new)));
        s.later(secs(3_000.0), move |state, _| {
            if parameter == "/policy" {
                state.parameters.insert("/policy".to_owned(), GUARDED.to_owned());
            }
        });
        s.drain().await;
        assert_eq!(standing(&s, "a"), Some(Standing::Broken), "{name} {text}: {}", s.story("a"));
        assert!(s.alarms("a").contains(&Reason::Broken), "{name} {text}: {}", s.story("a"));
        assert_eq!(s.count(Op::Start), 1, "{name} {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_where_somebody_else_changes_the_stream() {
    let mut s = scene();
    streams(&s, &["a", "b"], |_| ALL);
    s.set(|state, now| state.sweep(now));
    s.later(secs(600.0), |state, now| {
        for name in ["a", "b"] {
            if state.body(name, now).unwrap().key == Some(key_arn("app")) {
                state.start(name, &key_arn("other"), now).unwrap();
            }
        }
    });
    s.drain().await;
    let (first, _) = starts(&s).remove(0);
    assert_eq!(standing(&s, &first), Some(Standing::Overtaken), "{}", s.story(&first));
    assert!(s.alarms(&first).contains(&Reason::Overtaken), "{}", s.story(&first));

    for made_anew in [false, true] {
        let mut s = scene();
        streams(&s, &["a"], |_| ALL);
        s.set(|state, now| state.sweep(now));
        s.later(secs(600.0), |state, now| state.delete("a", now));
        if made_anew {
            s.later(secs(620.0), |state, now| state.create("a", now, secs(2.0), Tool::Cli));
        }
        s.drain().await;
        s.assert_queues_empty();
        assert_eq!(s.last("a").guard.as_ref().and_then(|guard| guard.standing), None, "{}", s.story("a"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_back_is_left_in_the_quota() {
    let mut s = scene();
    streams(&s, &["a"], |_| ALL);
    s.set(|state, now| {
        for number in 0..24 {
            let at = now - SignedDuration::from_mins(120 + number);
            state.record_call("StartStreamEncryption", "a", Tool::Cli, at);
        }
        state.sweep(now);
    });
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0, "{}", s.story("a"));
    assert!(is_withheld(&s.last("a"), Withheld::Quota), "{}", s.story("a"));
}

/// Whoever puts a stream back by hand, since its users fail, is not overruled.
#[tokio::test(start_paused = true)]
async fn a_change_that_a_person_took_back_is_not_made_again() {
    let mut s = taken_back_by_a_person().await;
    s.sim.sleep(hours(2)).await;
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!((starts(&s).len(), s.key("a")), (1, Some(key_arn("other"))), "{}", s.story("a"));
    assert!(is_withheld(&s.last("a"), Withheld::Held), "{}", s.story("a"));
}

#[tokio::test(start_paused = true)]
async fn every_run_in_a_new_instance_ends_as_in_one() {
    // An update of the function ends its instances: the message alone goes on.
    let mut s = scene();
    s.lambda.always_cold = true;
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    streams(&s, &names, |_| ALL);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(rounds(&s), [1, 2, 4], "{:?}", starts(&s));
    assert!(names.iter().all(|name| standing(&s, name) == Some(Standing::Passed)));

    let mut s = scene_with(&GUARDED.replace("watch: 20m", "watch: 20m, on_break: restore"));
    s.lambda.always_cold = true;
    streams(&s, &["a"], |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(
        (s.starts("a"), standing(&s, "a")),
        (vec!["app".to_owned(), "other".to_owned()], Some(Standing::Restored))
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_that_kinesis_cannot_use_is_put_back_without_a_watch() {
    // The probe shows it at once: the stream is unwritable, and nobody's metrics are needed to say so.
    for on_break in ["alarm", "restore"] {
        let policy = GUARDED.replace("existing: describe", "existing: probe");
        let mut s = scene_with(&policy.replace("watch: 20m", &format!("watch: 20m, on_break: {on_break}")));
        streams(&s, &["a", "b", "c"], |_| ALL);
        s.set(|state, now| {
            state.weather.update_ms = 100_000..=100_000;
            state.sweep(now);
        });
        let sim = s.sim.clone();
        s.actors.spawn(async move {
            while sim.with(|state, _| state.journal.iter().all(|call| call.op != Op::Start || !call.took_effect)) {
                sim.sleep(secs(1.0)).await;
            }
            sim.with(|state, now| state.keys.set_state("app", "Disabled", now));
        });
        s.drain().await;
        let changed = starts(&s);
        let [(first, _), (again, _)] = changed.as_slice() else { panic!("{on_break}: {changed:?}") };
        assert_eq!((first, s.starts(first)), (again, vec!["app".to_owned(), "other".to_owned()]), "{on_break}");
        assert_eq!((s.end(first).1, standing(&s, first)), (Reason::PutBack, None), "{on_break}: {}", s.story(first));
        s.assert_queues_empty();
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_undoes_each_change_is_left_alone_after_the_first() {
    // Terraform has the other key in its configuration, and is applied soon after each change.
    let mut s = scene();
    streams(&s, &["a", "b"], |_| ALL);
    let sim = s.sim.clone();
    s.actors.spawn(async move {
        for _ in 0..7_200 {
            sim.sleep(secs(60.0)).await;
            sim.with(|state, now| {
                if state.body("a", now).is_some_and(|body| body.key == Some(key_arn("app"))) {
                    state.start_by("a", &key_arn("other"), Tool::Terraform, now).unwrap();
                }
            });
        }
    });
    for hour in 0..96 {
        s.later(hours(hour), |state, now| state.sweep(now));
    }
    s.drain().await;
    let ours = s.journal().iter().filter(|call| call.op == Op::Start && call.took_effect && call.target == "a").count();
    assert_eq!((ours, s.key("a")), (1, Some(key_arn("other"))), "{}", s.story("a"));
    assert!(is_withheld(&s.last("a"), Withheld::Held), "{}", s.story("a"));
    // The list of the other one goes on meanwhile.
    assert_eq!((s.key("b"), standing(&s, "b")), (Some(key_arn("app")), Some(Standing::Passed)), "{}", s.story("b"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_settles_is_not_guarded() {
    let mut s = scene();
    s.created_by("orders", secs(2.0), Tool::Terraform);
    s.drain().await;
    s.assert_sealed("orders", "app");
    assert_eq!(s.end("orders").0, Compliance::Compliant);
    assert_eq!((s.count(Op::Metrics), s.last("orders").guard), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_new_stream_that_a_sweep_finds_is_not_guarded() {
    // Its event was lost; with `restore`, a watch of it could take it from its rule's key.
    let mut s = scene_with(&GUARDED.replace("watch: 20m", "watch: 20m, on_break: restore"));
    streams(&s, &["a"], |_| ALL);
    s.set(|state, now| {
        state.create("orders", now, secs(2.0), Tool::Cli);
        state.producer("orders", 60, OLD);
    });
    s.later(secs(900.0), |state, now| state.sweep(now));
    s.drain().await;
    assert_eq!((s.key("orders"), standing(&s, "orders")), (Some(key_arn("app")), None), "{}", s.story("orders"));
    assert_eq!(s.starts("orders"), ["app"]);
    // The other one is watched as ever.
    assert_eq!(standing(&s, "a"), Some(Standing::Passed), "{}", s.story("a"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_a_key_that_cannot_be_used_is_not_guarded() {
    let mut s = scene();
    streams(&s, &["a"], |_| ALL);
    s.set(|state, now| {
        state.keys.set_state("other", "Disabled", now);
        state.sweep(now);
    });
    s.drain().await;
    assert_eq!((s.key("a"), standing(&s, "a")), (Some(key_arn("app")), None), "{}", s.story("a"));
    assert_eq!(s.count(Op::Metrics), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_sets_the_old_key_again_does_not_end_the_hold() {
    // Terraform has the old key in its configuration, and is applied after the stream went back.
    let mut s = scene_with(&GUARDED.replace("watch: 20m", "watch: 20m, on_break: restore"));
    streams(&s, &["a"], |_| OLD);
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(s.starts("a"), ["app", "other"], "{}", s.story("a"));
    s.set(|state, now| state.start_by("a", &key_arn("other"), Tool::Terraform, now).unwrap());
    s.drain().await;
    s.sim.sleep(hours(48)).await;
    s.set(|state, now| state.sweep(now));
    s.drain().await;
    assert_eq!(s.starts("a").len(), 2, "{}", s.story("a"));
    assert!(is_withheld(&s.last("a"), Withheld::Held), "{}", s.story("a"));
}

#[tokio::test(start_paused = true)]
async fn a_list_goes_on_where_somebody_else_set_the_key() {
    // In the hours that a list takes, its next stream is set right by a person.
    let mut s = scene();
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    streams(&s, &names, |_| ALL);
    s.set(|state, now| state.sweep(now));
    s.later(secs(600.0), move |state, now| {
        let left: Vec<&str> =
            names.into_iter().filter(|name| state.body(name, now).unwrap().key == Some(key_arn("other"))).collect();
        for name in left.into_iter().take(5) {
            state.start_by(name, &key_arn("app"), Tool::Cli, now).unwrap();
        }
    });
    s.drain().await;
    assert_eq!(s.count(Op::Start), 2, "the first one, and the one that nobody set right: {:?}", starts(&s));
    for name in names {
        assert_eq!(s.key(name), Some(key_arn("app")), "{}", s.story(name));
        assert!(
            s.all(name).iter().all(|e| e.guard.as_ref().is_none_or(|guard| guard.halted.is_empty())),
            "{}",
            s.story(name)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_policy_of_a_consumer_lets_another_account_in() {
    let mut s = scene_with(&GUARDED.replace("key: alias/app", "key: alias/aws/kinesis"));
    s.existing("a", None);
    s.set(|state, now| {
        state.producer("a", 60, ALL);
        state.consumer("a", "app", ALL);
        let policy = r#"{"Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::444455556666:root"},
            "Action": "kinesis:SubscribeToShard", "Resource": "*"}]}"#;
        state.resource_policies.insert(format!("{}/consumer/app:1", crate::sim::arn("a")), policy.to_owned());
        state.sweep(now);
    });
    s.drain().await;
    assert_eq!(s.count(Op::Start), 0, "{}", s.story("a"));
    assert!(is_withheld(&s.last("a"), Withheld::WouldLockOut), "{}", s.story("a"));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_held_says_that_the_keys_policy_was_changed_since() {
    for (id, expect) in [("app", true), ("other", false)] {
        let mut s = taken_back_by_a_person().await;
        s.sim.sleep(hours(1)).await;
        s.set(|state, now| {
            let key = KeyArn::parse(&key_arn(id)).unwrap();
            state.new_policies.push(NewPolicy { key, at: now });
        });
        s.sim.sleep(hours(1)).await;
        s.set(|state, now| state.sweep(now));
        s.drain().await;
        let last = s.last("a");
        assert!(is_withheld(&last, Withheld::Held), "{}", s.story("a"));
        let words = "the key's policy was changed at 2026-03-02T09:";
        assert_eq!(last.verdict.detail.contains(words), expect, "{id}: {}", last.verdict.detail);
    }
}
