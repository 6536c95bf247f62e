//! The world of the tests: a small stateful AWS with virtual time, behind the ports that `src/aws` implements for the real one.
//!
//! It has what emulators lack: states with delays, describes that lag, encryption that takes hold after ACTIVE, quotas, key
//! states, lost answers, a queue that repeats and reorders, and a function that is killed. Everything random comes from one
//! seed. Each call takes time before and after it takes effect, so that each is a place where the function can be killed.
//! What happened is in the journal; what must never happen is watched by `watch` while it runs.

pub(crate) mod actors;
pub(crate) mod bus;
pub(crate) mod faults;
pub(crate) mod fleet;
pub(crate) mod kinesis;
pub(crate) mod kms;
pub(crate) mod lists;
pub(crate) mod queue;
pub(crate) mod scene;
pub(crate) mod traffic;
pub(crate) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use streamseal::config::Source;
use streamseal::domain::arn::{Scope, StreamArn, StreamName};
use streamseal::domain::bus::ResultEvent;
use streamseal::domain::call::Call;
use streamseal::domain::cause::Cause;
use streamseal::domain::codes::of_entry;
use streamseal::domain::evidence::digest::LastDigest;
use streamseal::domain::evidence::guard::Guard;
use streamseal::domain::evidence::{Evidence, emf, v1};
use streamseal::domain::failure::{Class, Failure};
use streamseal::domain::history::NewPolicy;
use streamseal::domain::note::Note;
use streamseal::domain::scan::v1::Summary;
use streamseal::ports::{CallLog, Clock, Credentials, EvidenceSink, ParameterApi};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::bus::Bus;
use self::faults::{EXPIRED, Fault, Script, Weather};
use self::fleet::Recorded;
use self::kinesis::Stream;
use self::kms::Keys;
pub(crate) use self::kms::key_arn;
use self::queue::Queue;
use self::traffic::{KmsRecords, User};
use self::watch::Watch;
use crate::documents_shared::assert_documented;

/// When every simulation begins.
pub(crate) const BEGIN: &str = "2026-03-02T08:00:00Z";
/// More calls than any test needs: whatever makes them does not end.
const CALLS_MAX: usize = 300_000;
/// How long the adapters wait for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The account and Region of the tests.
pub(crate) fn own() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

/// The ARN of a stream here.
pub(crate) fn arn(name: &str) -> StreamArn {
    own().stream(StreamName::parse(name).unwrap())
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Describe,
    Tags,
    Start,
    Put,
    Read,
    Lookup,
    Parameter,
    Send,
    List,
    TagsOf,
    Trail,
    Bus,
    Metrics,
    Consumers,
    ResourcePolicy,
}

impl Op {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Describe => "kinesis:DescribeStreamSummary",
            Self::Tags => "kinesis:ListTagsForStream",
            Self::Start => "kinesis:StartStreamEncryption",
            Self::Put => "kinesis:PutRecord",
            Self::Read => "kinesis:GetRecords",
            Self::Lookup => "kms:DescribeKey",
            Self::Parameter => "ssm:GetParameter",
            Self::Send => "sqs:SendMessage",
            Self::List => "kinesis:ListStreams",
            Self::TagsOf => "tag:GetResources",
            Self::Trail => "cloudtrail:LookupEvents",
            Self::Bus => "events:PutEvents",
            Self::Metrics => "cloudwatch:GetMetricData",
            Self::Consumers => "kinesis:ListStreamConsumers",
            Self::ResourcePolicy => "kinesis:GetResourcePolicy",
        }
    }

    pub(crate) fn is_write(self) -> bool {
        matches!(self, Self::Start | Self::Put | Self::Send | Self::Bus)
    }
}

/// One call of the function that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// When it took effect, or would have.
    pub(crate) at: Timestamp,
    pub(crate) op: Op,
    /// The stream, the key, the parameter.
    pub(crate) target: String,
    /// The key that Start was given; empty elsewhere.
    pub(crate) key: String,
    /// Whether it took effect.
    pub(crate) took_effect: bool,
}

/// Everything there is.
pub(crate) struct State {
    pub(crate) dice: fastrand::Rng,
    pub(crate) weather: Weather,
    pub(crate) script: Vec<Script>,
    /// Faults that strike each time, behind those of the script.
    pub(crate) always: Vec<Script>,
    pub(crate) streams: BTreeMap<String, Stream>,
    pub(crate) keys: Keys,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) queue: Queue,
    pub(crate) journal: Vec<Entry>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) notes: Vec<Note>,
    pub(crate) summaries: Vec<Summary>,
    /// Lines of metrics about the policy.
    pub(crate) policy_changes: Vec<Value>,
    pub(crate) bus: Bus,
    /// Who changed which stream's encryption.
    /// Which calls to KMS CloudTrail shows.
    pub(crate) kms_records: KmsRecords,
    pub(crate) trail: Vec<Recorded>,
    /// Names and ARNs that so many calls were made with that their history has no end.
    pub(crate) crowded: BTreeSet<String>,
    /// How many names a page of streams has.
    pub(crate) page_size: usize,
    pub(crate) watch: Watch,
    /// Who uses which stream.
    pub(crate) users: Vec<User>,
    /// By the ARN of a stream or a consumer.
    pub(crate) resource_policies: BTreeMap<String, String>,
    /// Keys that got another policy, for CloudTrail.
    pub(crate) new_policies: Vec<NewPolicy>,
    /// Calls of the last second, for the account's rates.
    recent: Vec<(Timestamp, Op)>,
    /// Which run a call log belongs to, by where it lives.
    logs: BTreeMap<usize, u32>,
    runs: u32,
    records: u64,
}

impl State {
    /// The next sequence number.
    fn sequence_number(&mut self) -> String {
        self.records += 1;
        format!("{:021}", self.records)
    }
}

struct Shared {
    base: Timestamp,
    zero: Instant,
    /// By how many milliseconds the clock was set back.
    set_back_ms: AtomicI64,
    state: Mutex<State>,
    /// Rung when something was put into the queue.
    bell: Notify,
}

/// The world, as one instance of the function (or an actor) holds it.
#[derive(Clone)]
pub(crate) struct Sim {
    shared: Arc<Shared>,
    instance: u32,
    /// How many times its present work was handed over before.
    pub(crate) hops: Arc<AtomicU32>,
    /// Whether a service said that the credentials of this instance are out of date.
    expired: Arc<AtomicBool>,
    /// Set when a message at hand would not survive another failure: then nothing of chance goes wrong any more.
    pub(crate) spared: Arc<AtomicBool>,
    /// What this instance last reported by.
    reported: Arc<Mutex<LastDigest>>,
}

impl Sim {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let state = State {
            dice: fastrand::Rng::with_seed(seed),
            weather,
            script: Vec::new(),
            always: Vec::new(),
            streams: BTreeMap::new(),
            keys: Keys::default(),
            parameters: BTreeMap::new(),
            queue: Queue::default(),
            journal: Vec::new(),
            evidence: Vec::new(),
            notes: Vec::new(),
            summaries: Vec::new(),
            policy_changes: Vec::new(),
            bus: Bus::default(),
            kms_records: KmsRecords::All,
            trail: Vec::new(),
            crowded: BTreeSet::new(),
            page_size: 3,
            watch: Watch::default(),
            users: Vec::new(),
            resource_policies: BTreeMap::new(),
            new_policies: Vec::new(),
            recent: Vec::new(),
            logs: BTreeMap::new(),
            runs: 0,
            records: 0,
        };
        let shared = Shared {
            base: BEGIN.parse().unwrap(),
            zero: Instant::now(),
            set_back_ms: AtomicI64::new(0),
            state: Mutex::new(state),
            bell: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            instance: 0,
            hops: Arc::default(),
            expired: Arc::default(),
            spared: Arc::default(),
            reported: Arc::default(),
        }
    }

    /// The same world for one more instance of the function.
    pub(crate) fn instance(&self, instance: u32) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            instance,
            hops: Arc::default(),
            expired: Arc::default(),
            spared: Arc::default(),
            reported: Arc::default(),
        }
    }

    /// Sets the clock of the world back; what was timed otherwise goes on.
    pub(crate) fn set_back(&self, by: SignedDuration) {
        self.shared.set_back_ms.fetch_add(by.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    /// Observes the world, or changes it, now.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.now();
        act(&mut self.lock(), now)
    }

    /// One call of the function: on its way, its effect, and back. `log` is the run's.
    async fn call<T>(
        &self,
        op: Op,
        target: &str,
        key: &str,
        log: Option<&CallLog>,
        effect: impl FnOnce(&mut State, Timestamp, u32) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let sent = self.now();
        let (run, fault, there, back) = self.with(|state, now| {
            let run = log.map_or(0, |log| state.run_of(log, self.instance));
            let spared = self.spared.load(Ordering::Relaxed);
            let fault = match self.have_expired() {
                false => state.fault(op, target, now, spared),
                // No call of this process is answered otherwise any more.
                true => Some(EXPIRED),
            };
            (run, fault, state.latency(), state.latency())
        });
        tokio::time::sleep(there).await;
        let reaches = matches!(fault, None | Some(Fault::LostAfter));
        let result = self.with(|state, now| {
            state.watch_call(run, op, target, key, now);
            let result = match &fault {
                None | Some(Fault::LostAfter) => effect(state, now, run),
                Some(fault) => Err(fault.failure(op)),
            };
            let took_effect = reaches && result.is_ok();
            let (target, key) = (target.to_owned(), key.to_owned());
            state.journal.push(Entry { at: now, op, target, key, took_effect });
            assert!(state.journal.len() < CALLS_MAX, "calls without end");
            result
        });
        assert!(fault != Some(Fault::Panic), "a panic that the test asked for");
        if result.as_ref().is_err_and(|failure| failure.class == Class::Expired) {
            self.expired.store(true, Ordering::Relaxed);
        }
        let (result, back) = match fault {
            Some(lost @ (Fault::LostBefore | Fault::LostAfter)) => (Err(lost.failure(op)), ANSWER_TIMEOUT - there),
            _ => (result, back),
        };
        tokio::time::sleep(back).await;
        if let Some(log) = log {
            let error = result.as_ref().err().cloned();
            let duration = Duration::try_from(self.now().duration_since(sent)).unwrap();
            log.push(Call { call: op.name(), at: sent, duration, request_id: Some(format!("run-{run}")), error });
        }
        result
    }
}

impl State {
    /// A log without calls is that of a new run; runs are distinguished by where their log lives.
    fn run_of(&mut self, log: &CallLog, instance: u32) -> u32 {
        let place = std::ptr::from_ref(log).addr();
        if log.calls().is_empty() {
            self.runs += 1;
            self.logs.insert(place, self.runs);
            self.watch.new_run(self.runs, instance);
        }
        self.logs.get(&place).copied().unwrap()
    }
}

impl ParameterApi for Sim {
    async fn read(&self, source: &Source) -> Result<String, Failure> {
        let Source::Parameter(name) = source else { panic!("the tests keep everything in parameters") };
        self.call(Op::Parameter, name, "", None, |state, _, _| {
            let text = state.parameters.get(name).cloned();
            let text = text.ok_or_else(|| failed(Op::Parameter, "ParameterNotFound", name))?;
            state.watch.served_parameter(self.instance, name, &text);
            Ok(text)
        })
        .await
    }
}

impl Clock for Sim {
    fn now(&self) -> Timestamp {
        let set_back = SignedDuration::from_millis(self.shared.set_back_ms.load(Ordering::Relaxed));
        self.shared.base + self.shared.zero.elapsed() - set_back
    }

    fn elapsed(&self) -> Duration {
        self.shared.zero.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Credentials for Sim {
    fn have_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }
}

impl Sim {
    /// As `aws/log.rs` has it, for each instance by itself.
    fn goes_by(&self, digest: &str, cause: &Cause) {
        if self.reported.lock().unwrap().changes(digest, cause) {
            let line = emf::of_policy_change(self.now());
            assert_documented(&line);
            self.lock().policy_changes.push(line);
        }
    }
}

impl EvidenceSink for Sim {
    fn record(&self, evidence: &Evidence, document: &str) {
        let event = ResultEvent::of_evidence(evidence, document);
        assert_eq!(document, v1::document(evidence));
        assert_documented(&serde_json::from_str(&event.detail).unwrap());
        assert_documented(&emf::of_evidence(evidence));
        let broken = evidence.guard.as_ref().and_then(Guard::broken_on);
        broken.into_iter().for_each(|key| assert_documented(&emf::of_broken(key, evidence.finished_at)));
        self.with(|state, now| {
            state.watch_evidence(evidence, now);
            state.bus.written.insert(event.detail);
            state.evidence.push(evidence.clone());
        });
        self.goes_by(&evidence.policy_digest, &evidence.cause);
    }

    fn summary(&self, summary: &Summary, document: &str) {
        assert_eq!(document, summary.to_json().to_string());
        assert_documented(&summary.to_json());
        emf::of_summary(summary).iter().for_each(assert_documented);
        let mut state = self.lock();
        state.bus.written.insert(ResultEvent::of_summary(summary, document).detail);
        state.summaries.push(summary.clone());
        drop(state);
        self.goes_by(&summary.policy_digest, &summary.scan.cause);
    }

    fn note(&self, note: &Note) {
        assert_documented(&note.to_json());
        assert_documented(&note.metrics());
        self.lock().notes.push(note.clone());
    }
}

/// The words of a refusal that says nothing more.
pub(crate) const SAYS: &str = "so says the simulation";

/// A failure with a code of a service, which had no effect: what it means is read from the code and the words, as the adapters read it.
pub(crate) fn failed(op: Op, code: &str, words: &str) -> Failure {
    of_entry(op.name(), code, words)
}
