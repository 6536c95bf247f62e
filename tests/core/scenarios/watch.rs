//! A change that is watched, with users who may use its key or not.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::arn::KeyArn;
use streamseal::domain::model::KeyIdentity;
use streamseal::domain::plan::guard::watch::{On, Standing, Step, Watch};
use streamseal::domain::traffic::judge::Health;
use streamseal::ports::{CallLog, Clock};
use streamseal::run::rounds::{Changed, Outcome, Rounds, in_rounds};
use streamseal::run::watch::{Found, Watched, watch};

use crate::sim::actors::Tool;
use crate::sim::faults::{Fault, Script};
use crate::sim::scene::{ALL_WITH_APP, Scene, secs};
use crate::sim::{Op, State, arn, key_arn};

/// What came of a watch: its end, in how many minutes, and what each observation found.
struct Watching {
    end: Option<Standing>,
    minutes: i64,
    found: Vec<Found>,
}

impl Watching {
    fn health(&self) -> Vec<Option<Health>> {
        self.found.iter().map(|found| found.users.as_ref().ok().map(|users| users.health())).collect()
    }
}

/// Moves the stream `orders`, which was there for a month, to the key `app`, and watches that for 20 minutes.
async fn moved(s: &mut Scene, on: Option<&str>, adapt: impl Fn(&mut State)) -> Watching {
    s.existing("orders", on.map(key_arn).as_deref());
    s.set(|state, _| adapt(state));
    let sent = s.sim.now();
    s.set(|state, now| state.start("orders", &key_arn("app"), now)).unwrap();
    s.sim.sleep(secs(10.0)).await;
    watched(s, sent).await
}

async fn watched(s: &Scene, sent: Timestamp) -> Watching {
    let from = s.sim.now();
    let created = s.set(|state, now| state.body("orders", now)).unwrap().created;
    let of_it = Watched { stream: arn("orders"), created, baseline: SignedDuration::from_hours(1) };
    let target = KeyIdentity::Arn(KeyArn::parse(&key_arn("app")).unwrap());
    let mut found = Vec::new();
    let begun = Watch::new(&target, sent, SignedDuration::from_mins(20), from);
    let end = watch(&s.sim, &of_it, begun, |it, step| {
        assert!(!matches!(step, Step::Again(next, _) if next.until != from + SignedDuration::from_mins(20)));
        found.push(it.clone());
    })
    .await;
    Watching { end, minutes: s.sim.now().duration_since(from).as_mins(), found }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_hurts_nobody_passes_and_nothing_is_written_for_it() {
    let mut s = Scene::new(ALL_WITH_APP);
    let came = moved(&mut s, Some("other"), |state| {
        state.producer("orders", 60, &["other", "app"]);
        state.reader("orders", 12, &["other", "app"]);
        state.consumer("orders", "audit", &["other", "app"]);
    })
    .await;
    assert_eq!((came.end, came.minutes), (Some(Standing::Passed), 24));
    assert_eq!(came.found.len(), 6);
    let journal = s.set(|state, _| state.journal.clone());
    assert!(journal.iter().all(|call| !call.op.is_write()), "{journal:?}");
    assert_eq!(journal.iter().filter(|call| call.op == Op::Metrics).count(), 6, "one request an observation");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_breaks_one_user_is_found_with_two_observations() {
    for which in ["producer", "reader", "consumer"] {
        let keys = |who: &str| -> &'static [&'static str] { if who == which { &["other"] } else { &["other", "app"] } };
        let (producer, reader, consumer) = (keys("producer"), keys("reader"), keys("consumer"));
        let mut s = Scene::new(ALL_WITH_APP);
        let came = moved(&mut s, Some("other"), |state| {
            state.producer("orders", 60, producer);
            state.reader("orders", 12, reader);
            state.consumer("orders", "audit", consumer);
        })
        .await;
        assert_eq!(came.end, Some(Standing::Broken), "{which}: {:?}", came.found);
        assert!(came.minutes <= 12, "{which}: {} minutes", came.minutes);
        let broken = came.health().iter().filter(|health| **health == Some(Health::Broken)).count();
        assert_eq!(broken, 2, "{which}");
        let users = came.found.last().unwrap().users.as_ref().unwrap();
        let is_producer = which == "producer";
        assert_eq!(users.producers.health == Health::Broken, is_producer, "{which}");
        assert_eq!(users.consumers.health == Health::Broken, !is_producer, "{which}");
    }
}

/// One of ten producers, where the others go on.
#[tokio::test(start_paused = true)]
async fn a_small_user_among_others_is_found() {
    let mut s = Scene::new(ALL_WITH_APP);
    let came = moved(&mut s, None, |state| {
        state.producer("orders", 540, &["app"]);
        state.producer("orders", 60, &[]);
    })
    .await;
    assert_eq!(came.end, Some(Standing::Broken), "{:?}", came.found);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_users_is_quiet() {
    let mut s = Scene::new(ALL_WITH_APP);
    let came = moved(&mut s, None, |_| {}).await;
    assert_eq!((came.end, came.minutes), (Some(Standing::Quiet), 24));
    let before = Watched { stream: arn("orders"), created: s.sim.now(), baseline: SignedDuration::from_hours(1) };
    assert!(!before.before(&s.sim, &CallLog::default()).await.unwrap().had_traffic());
}

/// Nobody is taken for broken because nothing can be measured.
#[tokio::test(start_paused = true)]
async fn a_guard_that_is_blind_never_finds_anything_broken() {
    for op in [Op::Metrics, Op::Consumers, Op::Describe] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.faults(op, Fault::Denied("no identity-based policy allows it"), 100);
        let came = moved(&mut s, Some("other"), |state| state.producer("orders", 60, &["other"])).await;
        assert_eq!(came.end, Some(Standing::Inconclusive), "{op:?}");
        assert!((39..=45).contains(&came.minutes), "{op:?}: {}", came.minutes);
        assert!(came.health().iter().all(Option::is_none), "{op:?}");
    }
}

/// An answer that is lost between the two observations that find it broken changes nothing.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_sign_and_hides_none() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.later(secs(6.0 * 60.0), |state, _| {
        state.script.push(Script { op: Op::Metrics, target: None, fault: Fault::LostAfter });
    });
    let came = moved(&mut s, Some("other"), |state| state.producer("orders", 60, &["other"])).await;
    assert_eq!(came.end, Some(Standing::Broken));
    assert!(came.health().contains(&None), "{:?}", came.health());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_somebody_moves_or_deletes_is_watched_no_more() {
    let mut s = Scene::new(ALL_WITH_APP);
    s.later(secs(300.0), |state, now| state.start("orders", &key_arn("other"), now).unwrap());
    let came = moved(&mut s, Some("other"), |_| {}).await;
    assert_eq!((came.end, came.found.last().unwrap().on), (Some(Standing::Overtaken), On::Other));

    let mut s = Scene::new(ALL_WITH_APP);
    s.later(secs(300.0), |state, now| state.stop("orders", now).unwrap());
    assert_eq!(moved(&mut s, Some("other"), |_| {}).await.end, Some(Standing::Overtaken));

    for made_anew in [false, true] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.later(secs(300.0), |state, now| state.delete("orders", now));
        if made_anew {
            s.later(secs(320.0), |state, now| state.create("orders", now, secs(2.0), Tool::Cli));
        }
        let came = moved(&mut s, Some("other"), |_| {}).await;
        assert_eq!((came.end, came.found.last().unwrap().on), (None, On::Gone), "{made_anew}");
    }
}

/// The setting may name an alias of the key.
#[tokio::test(start_paused = true)]
async fn the_key_is_known_by_an_alias_too() {
    let s = Scene::new(ALL_WITH_APP);
    s.existing("orders", Some("alias/app"));
    s.set(|state, _| state.producer("orders", 60, &["app"]));
    let sent = s.sim.now();
    assert_ne!(watched(&s, sent).await.end, Some(Standing::Overtaken));
}

/// What became of each stream, with the minute in which it was changed.
async fn sealed(s: &Scene, names: &[&str]) -> Vec<(String, Outcome, Option<i64>)> {
    let (sim, began) = (&s.sim, s.sim.now());
    let created = |name: &str| s.set(|state, now| state.body(name, now)).unwrap().created;
    let baseline = SignedDuration::from_hours(1);
    let streams = names.iter().map(|name| Watched { stream: arn(name), created: created(name), baseline });
    let streams: Vec<Watched> = streams.collect();
    let changed = RefCell::new(BTreeMap::new());
    let outcomes = in_rounds(
        sim,
        &streams,
        Rounds {
            watch: SignedDuration::from_mins(20),
            change: async |it: &Watched| {
                let (name, key, sent) = (it.stream.name.as_str(), key_arn("app"), sim.now());
                let on = sim.with(|state, now| state.body(name, now)).unwrap().key;
                if on.as_deref() == Some(&*key) {
                    return Changed::No;
                }
                changed.borrow_mut().insert(name.to_owned(), sent.duration_since(began).as_mins());
                sim.with(|state, now| state.start(name, &key, now)).unwrap();
                sim.sleep(secs(10.0)).await;
                Changed::Yes(KeyIdentity::Arn(KeyArn::parse(&key).unwrap()), sent)
            },
            report: |_: &Watched, _: &Found, _: &Step| {},
            stopped: std::future::pending::<()>,
        },
    )
    .await;
    let changed = changed.into_inner();
    outcomes.into_iter().map(|(name, it)| (name.to_string(), it, changed.get(name.as_str()).copied())).collect()
}

#[tokio::test(start_paused = true)]
async fn one_stream_goes_first_and_one_that_breaks_stops_the_others() {
    let names = ["a-right", "b-idle", "c", "d", "e", "f", "g", "h"];
    let stage = |may_use: &dyn Fn(&str) -> &'static [&'static str]| {
        let s = Scene::new(ALL_WITH_APP);
        for name in names {
            s.existing(name, Some(&key_arn(if name == "a-right" { "app" } else { "other" })));
            if name != "b-idle" {
                s.set(|state, _| state.producer(name, 60, may_use(name)));
            }
        }
        s
    };
    let passed = Outcome::Watched(Some(Standing::Passed));
    let s = stage(&|_| &["other", "app"]);
    let ended = sealed(&s, &names).await;
    let at: Vec<Option<i64>> = ended.iter().map(|(.., minute)| *minute).collect();
    assert_eq!(ended[0].1, Outcome::NotChanged, "its list went to the next");
    assert_eq!(ended[1].1, Outcome::Watched(Some(Standing::Quiet)));
    assert!(ended[2..].iter().all(|(_, outcome, _)| *outcome == passed), "{ended:?}");
    let rounds = |minute: i64| minute / 24;
    let rounds: Vec<Option<i64>> = at.iter().map(|minute| minute.map(rounds)).collect();
    assert_eq!(rounds, [None, Some(3), Some(0), Some(1), Some(2), Some(2), Some(1), Some(2)], "{at:?}");

    // The producer of one of the second round may not use the key.
    let s = stage(&|name| if name == "d" { &["other"] } else { &["other", "app"] });
    let ended = sealed(&s, &names).await;
    let became = |name: &str| &ended.iter().find(|(it, ..)| it == name).unwrap().1;
    assert_eq!((became("c"), became("g")), (&passed, &passed));
    assert_eq!(became("d"), &Outcome::Watched(Some(Standing::Broken)));
    for name in ["b-idle", "e", "f", "h"] {
        assert_eq!(became(name), &Outcome::Left, "{name}");
        let key = s.set(|state, now| state.body(name, now)).unwrap().key;
        assert_eq!(key, Some(key_arn("other")), "{name} is as it was");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_changed_that_nobody_could_watch() {
    let s = Scene::new(ALL_WITH_APP);
    ["a", "b"].iter().for_each(|name| s.existing(name, Some(&key_arn("other"))));
    s.fault(Op::Metrics, Fault::Denied("no identity-based policy allows it"));
    let ended = sealed(&s, &["a", "b"]).await;
    assert!(matches!(ended[0].1, Outcome::Blind(_)) && ended[1].1 == Outcome::Left, "{ended:?}");
    assert!(ended.iter().all(|(.., changed)| changed.is_none()));
}
