//! One test's world, function and queue, with helpers to set the stage and to ask what happened.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use streamseal::config::Config;
use streamseal::domain::evidence::{Evidence, ProofState};
use streamseal::domain::plan::guard::watch::Standing;
use streamseal::domain::policy::Policy;
use streamseal::domain::verdict::{Compliance, Reason};
use streamseal::run::handler::answer::{Answer, Unhandled};
use tokio::task::JoinSet;

use super::actors::{OWN_ROLE, Resource, Tool, event, terraform_apply};
use super::faults::{Fault, Script, Weather};
use super::kms::key_arn;
use super::queue::{Lambda, TIMEOUT};
use super::{Entry, Op, Sim, State};

/// Every stream with the key `app`.
pub(crate) const ALL_WITH_APP: &str = "
version: 1
defaults: { existing: enforce, proof: { new: probe, existing: probe } }
rules:
  - { name: all, key: alias/app }
";

/// The stage of a test.
pub(crate) struct Scene {
    pub(crate) sim: Sim,
    pub(crate) lambda: Lambda,
    pub(crate) actors: JoinSet<()>,
}

pub(crate) fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

pub(crate) fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

impl Scene {
    /// Calm weather, `MODE` `enforce`, and the enabled keys `app` and `other`.
    pub(crate) fn new(policy: &str) -> Self {
        Self::with(policy, 7, Weather::calm(), &[])
    }

    pub(crate) fn with(policy: &str, seed: u64, weather: Weather, variables: &[(&str, &str)]) -> Self {
        if let Err(faults) = Policy::load(policy) {
            panic!("the test's policy: {}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
        let sim = Sim::new(seed, weather);
        sim.with(|state, _| {
            state.keys.add("app");
            state.keys.add("other");
            state.parameters.insert("/policy".to_owned(), policy.to_owned());
            state.parameters.insert("/mode".to_owned(), "enforce".to_owned());
        });
        let given = [
            ("ACCOUNT_ID", "111122223333"),
            ("AWS_REGION", "eu-west-1"),
            ("POLICY", "ssm:/policy"),
            ("MODE", "ssm:/mode"),
            ("WORK_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/work"),
            ("SCAN_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/scans.fifo"),
            ("OWN_ROLE_ARN", OWN_ROLE),
        ];
        let variable = |name: &str| {
            let found = variables.iter().chain(&given).find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let config = Config::from_vars(variable).unwrap();
        Self { lambda: Lambda::new(sim.clone(), config), sim, actors: JoinSet::new() }
    }

    // Setting the stage.

    pub(crate) fn set<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        self.sim.with(act)
    }

    /// Somebody creates a stream with the CLI, and the event of it is on its way.
    pub(crate) fn created(&self, name: &str, creating: Duration) {
        self.created_by(name, creating, Tool::Cli);
    }

    pub(crate) fn created_by(&self, name: &str, creating: Duration, tool: Tool) {
        self.set(|state, now| {
            state.create(name, now, creating, tool);
            state.emit("CreateStream", name, tool, now);
        });
    }

    /// A stream that is a month old.
    pub(crate) fn existing(&self, name: &str, key: Option<&str>) {
        self.set(|state, now| state.existing(name, key, now));
    }

    /// The next call of this kind fails so.
    pub(crate) fn fault(&self, op: Op, fault: Fault) {
        self.set(|state, _| state.script.push(Script { op, target: None, fault }));
    }

    /// All calls of this kind, from now on, fail so.
    pub(crate) fn faults(&self, op: Op, fault: Fault, times: usize) {
        (0..times).for_each(|_| self.fault(op, fault));
    }

    pub(crate) fn parameter(&self, name: &str, text: &str) {
        self.set(|state, _| state.parameters.insert(name.to_owned(), text.to_owned()));
    }

    /// Something that happens later, while the function is at work.
    pub(crate) fn later(&mut self, after: Duration, act: impl FnOnce(&mut State, Timestamp) + Send + 'static) {
        let sim = self.sim.clone();
        self.actors.spawn(async move {
            tokio::time::sleep(after).await;
            sim.with(act);
            sim.ring();
        });
    }

    /// Terraform creates a stream while the function is at work. That none of its calls fails is part of every test.
    pub(crate) fn terraform(&mut self, resource: Resource) {
        let sim = self.sim.clone();
        self.actors.spawn(async move {
            let name = resource.name;
            if let Err(why) = terraform_apply(sim.clone(), resource).await {
                sim.with(|state, now| state.violation(now, &format!("Terraform failed on `{name}` {why}")));
            }
        });
    }

    // Running.

    /// Lets everything run until nothing is left to do; nothing may have gone against the rules meanwhile.
    pub(crate) async fn drain(&mut self) {
        self.lambda.drain(&mut self.actors).await;
        self.check();
        assert_eq!(self.lambda.timeouts, 0, "an invocation ran into its timeout");
    }

    pub(crate) fn check(&self) {
        let violations = self.set(|state, _| state.watch.violations.clone());
        assert!(violations.is_empty(), "{violations:#?}");
    }

    /// Invokes the function directly with an event of this call.
    pub(crate) async fn event(&mut self, call: &str, stream: &str, tool: Tool) -> Result<Value, Unhandled> {
        let payload = self.set(|state, now| {
            state.record_call(call, stream, tool, now);
            event(call, stream, tool, "direct-1", now)
        });
        self.direct(&payload).await
    }

    pub(crate) async fn direct(&mut self, payload: &Value) -> Result<Value, Unhandled> {
        let answer = self.lambda.invoke(&payload.to_string(), TIMEOUT).await.expect("not killed");
        self.check();
        answer.map(|answer| match answer {
            Answer::Direct(value) => value,
            Answer::Batch(failed) => Value::from(failed),
        })
    }

    // Asking.

    /// The last document about a stream.
    pub(crate) fn last(&self, stream: &str) -> Evidence {
        self.all(stream).pop().unwrap_or_else(|| panic!("no evidence for `{stream}`"))
    }

    pub(crate) fn all(&self, stream: &str) -> Vec<Evidence> {
        let of_it = |e: &&Evidence| e.stream.name.as_str() == stream;
        self.set(|state, _| state.evidence.iter().filter(of_it).cloned().collect())
    }

    /// The end of the last run for a stream.
    pub(crate) fn end(&self, stream: &str) -> (Compliance, Reason, ProofState) {
        let evidence = self.last(stream);
        (evidence.verdict.compliance, evidence.verdict.reason, evidence.proof.state)
    }

    /// The reasons of the alarms about a stream, in their order. One chain of messages has each reason once in a row.
    pub(crate) fn alarms(&self, stream: &str) -> Vec<Reason> {
        let alarms = self.all(stream).into_iter().filter(|evidence| evidence.verdict.alarm);
        alarms.map(|evidence| evidence.verdict.reason).collect()
    }

    /// Whether there was an alarm for what the last document says.
    pub(crate) fn alarmed(&self, stream: &str) -> bool {
        self.alarms(stream).contains(&self.end(stream).1)
    }

    /// Every call of the function.
    pub(crate) fn journal(&self) -> Vec<Entry> {
        self.set(|state, _| state.journal.clone())
    }

    pub(crate) fn count(&self, op: Op) -> usize {
        self.journal().iter().filter(|entry| entry.op == op).count()
    }

    /// The names of keys that the function gave to Start, whatever came of it.
    pub(crate) fn starts(&self, stream: &str) -> Vec<String> {
        let arn_prefix = key_arn("");
        let of_it = |entry: &&Entry| entry.op == Op::Start && entry.target == stream;
        let name = |entry: &Entry| entry.key.strip_prefix(&arn_prefix).unwrap_or(&entry.key).to_owned();
        self.journal().iter().filter(of_it).map(name).collect()
    }

    /// The stream's key now.
    pub(crate) fn key(&self, stream: &str) -> Option<String> {
        self.set(|state, now| state.body(stream, now)?.key)
    }

    /// Seconds since the simulation began.
    pub(crate) fn elapsed(&self) -> f64 {
        let begin: Timestamp = super::BEGIN.parse().unwrap();
        self.set(|_, now| now.duration_since(begin).as_secs_f64())
    }

    /// Sealed: on this key, proven by a record, and nothing left in any queue.
    pub(crate) fn assert_sealed(&self, stream: &str, key: &str) {
        let end = self.end(stream);
        assert_eq!(end.0, Compliance::Compliant, "{}", self.story(stream));
        // The last run may be of another event, and find the probe of the run before.
        assert!(matches!(end.2, ProofState::Proven | ProofState::Observed), "{}", self.story(stream));
        assert_eq!(self.key(stream), Some(key_arn(key)));
        self.assert_queues_empty();
    }

    /// What happened to a stream, a line for each run and each note, for those who read a failed test.
    pub(crate) fn story(&self, stream: &str) -> String {
        let runs = self.all(stream).into_iter().map(|e| {
            let calls: Vec<&str> = e.calls.iter().map(|c| c.call.rsplit(':').next().unwrap_or_default()).collect();
            let guard = e.guard.as_ref().and_then(|guard| guard.standing).map_or("-", Standing::as_str);
            format!(
                "{} {} attempt {}: {} {} ({}), proof {}, guard {guard}, {} calls: {}",
                e.finished_at,
                e.run_id,
                e.attempt,
                e.verdict.compliance.as_str(),
                e.verdict.reason.as_str(),
                e.verdict.detail,
                e.proof.state.as_str(),
                calls.len(),
                calls.join(" ")
            )
        });
        let notes = self.set(|state, _| state.notes.clone());
        let notes = notes.into_iter().map(|n| format!("{} {} {}", n.outcome.as_str(), n.reason, n.detail));
        runs.chain(notes).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn assert_queues_empty(&self) {
        self.set(|state, _| {
            assert!(
                state.queue.messages.is_empty()
                    && state.queue.scans.is_empty()
                    && state.queue.dead.is_empty()
                    && state.queue.dropped.is_empty()
            );
        });
    }
}
