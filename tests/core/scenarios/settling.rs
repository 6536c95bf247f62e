//! A stream that somebody's tool is still working on is left to it.

use crate::sim::Op;
use crate::sim::actors::{Resource, Tool, terraform_apply};
use crate::sim::faults::Weather;
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use jiff::Timestamp;
use streamseal::domain::evidence::{Evidence, ProofState};
use streamseal::domain::verdict::Compliance;

/// Terraform creates a stream, while events of its tags, commands to observe it and sweeps keep coming in. None of Terraform's calls
/// may fail; `Scene::drain` ensures that.
async fn terraform_with_others_about(creating: f64, key: Option<&'static str>, seed: u64) -> Scene {
    let weather = Weather { event_delay_ms: 500..=20_000, describe_lag_ms: 1_000, echoes: true, ..Weather::calm() };
    let mut s = Scene::with(ALL_WITH_APP, seed, weather, &[]);
    let (creating, updating) = (secs(creating), secs(4.0));
    s.terraform(Resource { name: "orders", creating, updating, key });
    for second in (1..400).step_by(13) {
        let at = secs(f64::from(second));
        s.later(at, |state, now| state.emit("AddTagsToStream", "orders", Tool::Terraform, now));
        s.later(at + secs(5.0), |state, now| state.command("orders", now));
    }
    for second in (3..400).step_by(37) {
        s.later(secs(f64::from(second)), |state, now| state.sweep(now));
    }
    s.drain().await;
    s
}

#[tokio::test(start_paused = true)]
async fn terraform_is_never_in_our_way_nor_we_in_its() {
    for creating in [0.5, 60.0, 180.0] {
        for (seed, key) in [(1, None), (2, Some("alias/app")), (3, Some("alias/other"))] {
            let s = terraform_with_others_about(creating, key, seed).await;
            let words = format!("CREATING {creating} s, Terraform's key {key:?}: {}", s.story("orders"));
            assert_eq!(s.end("orders").0, Compliance::Compliant, "{words}");
            assert!(s.key("orders").is_some_and(|key| key.ends_with("/app")), "{words}");
            let proven = |e: &Evidence| matches!(e.proof.state, ProofState::Proven | ProofState::Observed);
            assert!(s.all("orders").iter().any(proven), "{words}");
            s.assert_queues_empty();
            // Where Terraform set the right key itself, there was nothing to change.
            assert_eq!(s.starts("orders").is_empty(), key == Some("alias/app"), "{words}");
        }
    }
}

/// When the function started encryption, in seconds since the stream was created.
async fn started_after(tool: Tool, policy: &str) -> f64 {
    let mut s = Scene::new(policy);
    let begun: Timestamp = crate::sim::BEGIN.parse().unwrap();
    s.created_by("orders", secs(1.0), tool);
    s.drain().await;
    s.assert_sealed("orders", "app");
    let start = s.journal().into_iter().find(|call| call.op == Op::Start).unwrap();
    start.at.duration_since(begun).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn each_tool_has_its_time() {
    for (tool, least, most) in [
        (Tool::Cli, 6.0, 8.0),
        (Tool::CloudFormation, 66.0, 70.0),
        (Tool::Terraform, 126.0, 130.0),
        (Tool::Pulumi, 126.0, 130.0),
    ] {
        let after = started_after(tool, ALL_WITH_APP).await;
        assert!((least..most).contains(&after), "{tool:?}: {after} s");
    }
    let slower = ALL_WITH_APP.replace("existing: enforce,", "existing: enforce, settle: { terraform: 10m },");
    let after = started_after(Tool::Terraform, &slower).await;
    assert!((606.0..610.0).contains(&after), "{after} s");
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_that_does_not_know_who_made_a_young_stream_waits_as_long_as_any() {
    for (age, waits) in [(30.0, true), (600.0, true), (1_100.0, false)] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.set(|state, now| {
            state.create("orders", now - secs(age), secs(1.0), Tool::Cli);
            state.command("orders", now);
        });
        s.drain().await;
        s.assert_sealed("orders", "app");
        assert_eq!(s.elapsed() > 120.0, waits, "{age} s old: {} s", s.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_settled_right_is_not_touched_but_proven() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.created_by("orders", secs(1.0), Tool::Terraform);
    s.later(secs(100.0), |state, now| state.start("orders", "alias/app", now).unwrap());
    s.drain().await;
    assert!(s.starts("orders").is_empty());
    let (compliance, _, proof) = s.end("orders");
    assert_eq!((compliance, proof), (Compliance::Compliant, ProofState::Proven));
}

#[tokio::test(start_paused = true)]
async fn one_that_turns_exempt_while_it_settles_is_left_alone() {
    let policy = "
version: 1
defaults: { existing: enforce }
rules:
  - { name: scratch, match: { stream: orders, tags: { kind: scratch } }, exempt: { reason: RISK-1 } }
  - { name: all, key: alias/app }
";
    let mut s = Scene::new(policy);
    s.created_by("orders", secs(1.0), Tool::Terraform);
    s.later(secs(60.0), |state, now| state.tag_by("orders", "kind", "scratch", Tool::Terraform, now));
    s.drain().await;
    assert!(s.starts("orders").is_empty());
    assert_eq!(s.end("orders").0, Compliance::NotApplicable);
}

#[tokio::test(start_paused = true)]
async fn a_stream_made_anew_by_another_tool_is_left_to_that_tool() {
    // Somebody's stream, not settled for. Its run is deferred, and meanwhile Terraform makes another of the same name.
    let mut s = Scene::new(ALL_WITH_APP);
    s.created("orders", secs(300.0));
    s.later(secs(48.0), |state, now| state.delete("orders", now));
    let sim = s.sim.clone();
    s.actors.spawn(async move {
        tokio::time::sleep(secs(56.0)).await;
        let resource = Resource { name: "orders", creating: secs(20.0), updating: secs(4.0), key: None };
        terraform_apply(sim, resource).await.unwrap();
    });
    s.drain().await;
    s.assert_sealed("orders", "app");
    let anew = |e: &Evidence| e.cause.creator.is_none() && e.after.is_some();
    assert!(s.all("orders").iter().any(anew), "the run that was deferred met the new stream: {}", s.story("orders"));
}
