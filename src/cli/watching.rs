//! `seal --watch`: each change is watched while this process stays, one stream first, then two, four, eight. Ctrl-C ends the watch and leaves
//! the changes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::Exit;
use super::output::{BAD, GOOD, ODD, Stop, result, styled, to_stderr};
use super::runs::{Ran, interrupt, run_all};
use crate::domain::arn::{StreamArn, StreamName};
use crate::domain::codes::START_STREAM_ENCRYPTION;
use crate::domain::evidence::{Evidence, Remediation};
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::plan::guard::watch::{Standing, Step};
use crate::domain::policy::guard::{Guard, WATCH};
use crate::domain::policy::{Effect, Policy};
use crate::domain::text::EventText;
use crate::domain::traffic::judge::{Health, Side, Users};
use crate::domain::verdict::Reason;
use crate::ports::Clock;
use crate::run::rounds::{Changed, Outcome, Rounds, in_rounds};
use crate::run::watch::{Found, Watched};

/// What came of changes that were watched.
pub(super) struct Watching {
    /// The runs.
    ran: Ran,
    outcomes: Vec<(StreamName, Outcome)>,
    /// What was found of each last.
    users: BTreeMap<StreamName, Users>,
}

/// A change of a plan.
pub(super) struct ToChange {
    pub(super) stream: StreamArn,
    /// When the stream was made, where it was observed.
    pub(super) created: Option<Timestamp>,
    /// The key of the plan. A stream that is not ready may have none there; its rule's is taken then.
    pub(super) key: Option<KeyIdentity>,
    /// Its rule, which says with how long before the change it is compared.
    pub(super) rule: Option<String>,
}

/// What came of a plan.
pub(super) enum Done {
    Ran(Ran),
    Watched(Watching),
}

impl Done {
    pub(super) fn ran(&self) -> &Ran {
        match self {
            Self::Ran(ran) | Self::Watched(Watching { ran, .. }) => ran,
        }
    }

    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Ran(ran) => ran.exit(),
            Self::Watched(watching) => watching.exit(),
        }
    }

    /// What was watched, for `--json`.
    pub(super) fn watched(&self) -> Option<Value> {
        match self {
            Self::Ran(_) => None,
            Self::Watched(watching) => Some(watching.to_json()),
        }
    }
}

/// Makes these changes one after the other, or watched where there is a time for that.
pub(super) async fn carry_out(
    context: &Context,
    policy: &Policy,
    changes: Vec<ToChange>,
    (watch, as_json): (Option<SignedDuration>, bool),
) -> Result<Done, Stop> {
    let Some(watch) = watch else {
        let works = changes.into_iter().map(|change| (context.work(change.stream, "seal"), change.key));
        let ran = run_all(context, policy, Mode::Enforce, works.collect(), "sealing", as_json).await?;
        return Ok(Done::Ran(ran));
    };
    let watched = changes.into_iter().map(|ToChange { stream, created, key, rule }| {
        let created = created.unwrap_or_else(|| context.aws.now());
        (Watched { stream, created, baseline: baseline(policy, rule.as_deref()) }, key)
    });
    let watched: Vec<_> = watched.collect();
    Ok(Done::Watched(seal(context, policy, &watched, watch, as_json).await?))
}

/// The guard of a rule that encrypts.
pub(super) fn guard_of<'p>(policy: &'p Policy, rule: Option<&str>) -> Option<&'p Guard> {
    match &policy.rules.iter().find(|it| Some(it.name.as_str()) == rule)?.effect {
        Effect::Encrypt(encrypt) => Some(&encrypt.guard),
        Effect::Exempt(_) => None,
    }
}

/// The baseline of a rule's guard.
fn baseline(policy: &Policy, rule: Option<&str>) -> SignedDuration {
    guard_of(policy, rule).copied().unwrap_or_default().baseline
}

/// How long `--watch` says.
pub(super) fn watched_for(text: &str) -> Result<SignedDuration, Stop> {
    let time: Option<SignedDuration> = text.parse().ok();
    time.filter(|time| (WATCH.0..=WATCH.1).contains(time)).ok_or_else(|| {
        let stop = Stop::usage(format!("--watch: `{}` is not a duration from 10m to 2h", EventText::new(text)));
        stop.help("such as `20m`: producers may keep a key for 5 minutes, and metrics are there 3 minutes later")
    })
}

/// Changes these streams to the key beside each, and watches each change for so long.
async fn seal(
    context: &Context,
    policy: &Policy,
    streams: &[(Watched, Option<KeyIdentity>)],
    watch: SignedDuration,
    as_json: bool,
) -> Result<Watching, Stop> {
    let ran = RefCell::new(Ran { done: Vec::new(), left: Vec::new(), interrupted: false });
    let (stop, users) = (RefCell::new(None), RefCell::new(BTreeMap::new()));
    let all: Vec<Watched> = streams.iter().map(|(watched, _)| watched.clone()).collect();
    let change = async |watched: &Watched| {
        let planned = streams.iter().find(|(it, _)| it == watched).and_then(|(_, key)| key.clone());
        let work = (context.work(watched.stream.clone(), "seal"), planned);
        match run_all(context, policy, Mode::Enforce, vec![work], "sealing", as_json).await {
            Ok(one) => {
                let came = one.done.first().map_or(Changed::Stop, |evidence| changed(evidence, one.interrupted));
                if matches!(came, Changed::Yes(..)) {
                    let words = format!("{}: watched for {watch:#}", watched.stream.name);
                    to_stderr(format_args!("{words}; Ctrl-C ends the watch and leaves the change"));
                }
                let mut all = ran.borrow_mut();
                all.done.extend(one.done);
                all.left.extend(one.left);
                came
            }
            Err(why) => {
                *stop.borrow_mut() = Some(why);
                Changed::Stop
            }
        }
    };
    let report = |watched: &Watched, found: &Found, step: &Step| {
        if let Ok(found) = &found.users {
            users.borrow_mut().insert(watched.stream.name.clone(), found.clone());
        }
        to_stderr(line(&watched.stream.name, found, step));
    };
    let outcomes = in_rounds(&context.aws, &all, Rounds { watch, change, report, stopped: interrupt }).await;
    if let Some(why) = stop.into_inner() {
        return Err(why);
    }
    let watching = Watching { ran: ran.into_inner(), outcomes, users: users.into_inner() };
    watching.say(as_json);
    Ok(watching)
}

/// What a run came to. After a Ctrl-C nothing follows it.
fn changed(evidence: &Evidence, interrupted: bool) -> Changed {
    let mut calls = evidence.calls.iter().rev();
    let sent = calls.find(|call| call.call == START_STREAM_ENCRYPTION && call.error.is_none());
    let key = evidence.after.as_ref().and_then(|after| after.key.clone());
    match (sent, key, evidence.remediation) {
        (None, ..) if interrupted => Changed::Stop,
        // The key cannot be used, or AWS refuses the change: the others would fare no better.
        _ if matches!(evidence.verdict.reason, Reason::PutBack | Reason::Unwritable | Reason::StartRefused) => {
            Changed::Stop
        }
        (Some(sent), Some(key), Remediation::Applied) if !interrupted => Changed::Yes(key, sent.at),
        (None, _, Remediation::None | Remediation::Withheld | Remediation::Due) => Changed::No,
        _ => Changed::Unwatched,
    }
}

/// One observation in a line.
fn line(name: &StreamName, found: &Found, step: &Step) -> String {
    let users = match &found.users {
        Err(why) => return styled(ODD, format_args!("{name}: not measured: {why}")),
        Ok(users) => users,
    };
    let side = |who: &str, Side { health, after, .. }: &Side| {
        format!("{who} {}: {} calls, {} failed", health.as_str(), after.calls, after.failed)
    };
    let words = format!("{name}: {}; {}", side("producers", &users.producers), side("consumers", &users.consumers));
    match (users.health(), step) {
        (Health::Broken, Step::Again(..)) => {
            styled(BAD, format_args!("{words}; a second observation must confirm this"))
        }
        (Health::Broken, _) => styled(BAD, words),
        (Health::Suspect | Health::Unknown, _) => styled(ODD, words),
        (Health::Fine | Health::Quiet, _) => words,
    }
}

impl Watching {
    /// What became of each stream, where there is more to say than its run did.
    fn say(&self, as_json: bool) {
        for (name, outcome) in &self.outcomes {
            let line = match outcome {
                Outcome::NotChanged => continue,
                Outcome::Left => styled(ODD, format_args!("{name}: not changed")),
                Outcome::Blind(why) => {
                    styled(BAD, format_args!("{name}: not changed: its users cannot be watched: {why}"))
                }
                Outcome::Unwatched => styled(ODD, format_args!("{name}: changed, no longer watched")),
                Outcome::Watched(None) => styled(ODD, format_args!("{name}: deleted")),
                Outcome::Watched(Some(standing)) => {
                    let style = match standing {
                        Standing::Passed | Standing::Quiet => GOOD,
                        Standing::Broken => BAD,
                        Standing::Watching
                        | Standing::Inconclusive
                        | Standing::Overtaken
                        | Standing::Restored
                        | Standing::FellBack => ODD,
                    };
                    let why = self.users.get(name).map(|users| format!(": {}", users.why())).unwrap_or_default();
                    styled(style, format_args!("{name}: watched: {}{why}", standing.as_str()))
                }
            };
            if as_json {
                to_stderr(line)
            } else {
                result(line)
            }
            if *outcome == Outcome::Watched(Some(Standing::Broken)) {
                let command =
                    self.ran.done.iter().rfind(|evidence| evidence.stream.name == *name).map(Evidence::impact);
                let command = command.unwrap_or_else(|| format!("streamseal impact {name}"));
                let help = format!("`{command}` says who may not use the key, and what to add where");
                to_stderr(format_args!("{}: {help}", styled(GOOD, "help")));
            }
        }
    }

    /// The exit code of all of it.
    fn exit(&self) -> Exit {
        self.outcomes.iter().fold(self.ran.exit(), |exit, (_, outcome)| {
            exit.worse(match outcome {
                Outcome::NotChanged | Outcome::Watched(None | Some(Standing::Passed | Standing::Quiet)) => {
                    Exit::Compliant
                }
                Outcome::Left | Outcome::Blind(_) | Outcome::Watched(Some(Standing::Broken)) => Exit::NonCompliant,
                Outcome::Unwatched
                | Outcome::Watched(Some(
                    Standing::Watching
                    | Standing::Inconclusive
                    | Standing::Overtaken
                    | Standing::Restored
                    | Standing::FellBack,
                )) => Exit::TryAgain,
            })
        })
    }

    /// For `--json`.
    fn to_json(&self) -> Value {
        let side = |Side { health, why, before, after, behind_ms, .. }: &Side| {
            json!({
                "health": health.as_str(), "why": why, "behind_ms": behind_ms,
                "before": {"minutes": before.minutes, "calls": before.calls, "failed": before.failed},
                "after": {"minutes": after.minutes, "calls": after.calls, "failed": after.failed},
            })
        };
        let watched = self.outcomes.iter().map(|(name, outcome)| {
            let word = match outcome {
                Outcome::Left => "left",
                Outcome::Blind(_) => "blind",
                Outcome::NotChanged => "not-changed",
                Outcome::Unwatched => "unwatched",
                Outcome::Watched(None) => "gone",
                Outcome::Watched(Some(standing)) => standing.as_str(),
            };
            let users = self.users.get(name);
            json!({
                "stream": name.as_str(), "outcome": word,
                "producers": users.map(|users| side(&users.producers)),
                "consumers": users.map(|users| side(&users.consumers)),
            })
        });
        watched.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Unfinished;
    use crate::domain::plan::guard::watch::{On, Watch};
    use crate::domain::traffic::judge::Counts;

    #[test]
    fn a_watch_is_compared_with_the_time_that_its_rule_names() {
        let text = "{version: 1, defaults: {guard: {watch: 20m, baseline: 2h}}, rules: [{name: a, match: {stream: a}, key: alias/a, \
                    guard: {baseline: 3h}}, {name: b, key: alias/b}]}";
        let policy = Policy::load(text).unwrap();
        for (rule, hours) in [(Some("a"), 3), (Some("b"), 2), (None, 1)] {
            assert_eq!(baseline(&policy, rule), SignedDuration::from_hours(hours), "{rule:?}");
        }
    }

    #[test]
    fn an_observation_is_a_line_with_its_counts() {
        let name = StreamName::parse("orders").unwrap();
        let users = |health| {
            let mut users = Users::blind("");
            (users.producers.health, users.consumers.health) = (health, Health::Quiet);
            users.producers.after = Counts { minutes: 5, calls: 300, failed: 12 };
            users
        };
        let sent: Timestamp = "2026-03-02T08:00:00Z".parse().unwrap();
        let watch = Watch::new(&KeyIdentity::AwsManagedAlias, sent, SignedDuration::from_mins(20), sent);
        let (again, ended) = (Step::Again(watch, sent), Step::End(Standing::Broken));
        let counts = "orders: producers broken: 300 calls, 12 failed; consumers quiet: 0 calls, 0 failed";
        for (health, step, expect) in [
            (Health::Broken, &again, format!("{counts}; a second observation must confirm this")),
            (Health::Broken, &ended, counts.to_owned()),
            (Health::Fine, &again, counts.replace("broken", "fine")),
        ] {
            let found = Found { on: On::Target, users: Ok(users(health)) };
            let line = line(&name, &found, step);
            assert!(line.contains(&expect), "{line}");
        }
        let why = Unfinished::open("cloudwatch:GetMetricData", "PartialData", "two metrics are missing");
        let blind = line(&name, &Found { on: On::Target, users: Err(why) }, &ended);
        assert!(blind.contains("orders: not measured: two metrics are missing"), "{blind}");
    }

    #[test]
    fn a_watch_has_its_bounds() {
        for (text, mins) in [("10m", 10), ("20m", 20), ("2h", 120), ("1h30m", 90)] {
            assert_eq!(watched_for(text).unwrap(), SignedDuration::from_mins(mins), "{text}");
        }
        for bad in ["9m", "599s", "121m", "off", "", "-20m", "20"] {
            assert!(watched_for(bad).is_err(), "{bad}");
        }
    }
}
