//! One payload in, one answer out: reads the payload, runs each item, and ensures that nothing is lost.
//!
//! An item that is not finished is handed over as a work message *before* it is acknowledged; where there is no queue, or the
//! send fails, the item fails and whoever sent it sends it again. Messages of one batch run concurrently, those of one stream
//! (and the items of one message) one after the other, and one that panics fails alone. Once AWS says that the credentials are out of
//! date everything that is unfinished fails: the next process has others. Shared by the function and `streamseal replay`.

pub mod answer;
mod in_force;
mod notes;
mod parameters;
mod report;
mod scans;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use jiff::SignedDuration;
use serde_json::{Value, json};

use self::answer::{Answer, Invocation, Reported, Unhandled};
use self::notes::Notes;
use self::parameters::{InForce, Parameters};
use super::history::History;
use super::outbox::Outbox;
use super::paces::Paces;
use super::reconcile::{RunEnd, reconcile};
use super::session::{Session, dice};
use crate::config::Config;
use crate::domain::backoff::{DELAY_MAX, WORK};
use crate::domain::bounds::until;
use crate::domain::event::item::{Input, Item, Message};
use crate::domain::event::merge::{Task, lanes};
use crate::domain::failure::Unfinished;
use crate::domain::plan::close::Next;
use crate::domain::text::EventText;
use crate::domain::work::{PutBack, Work};
use crate::domain::{bounds, event};
use crate::ports::{Clock, Credentials, EvidenceSink, KeyApi, StreamApi, TrafficApi, TrailApi, WorkQueue, World};

/// What is kept of an invocation's time for the answer and for handing work over.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// What holds for an invocation, or why nothing is changed in it.
type Under<'a> = Result<Session<'a>, &'a Unhandled>;

/// The function: built once, handles any number of payloads.
#[derive(Debug)]
pub struct App<W> {
    world: W,
    config: Config,
    parameters: Parameters,
    paces: Paces,
    history: History,
    results: Outbox,
    notes: Notes,
}

impl<W> App<W> {
    /// A function with this configuration; nothing is read or called yet.
    pub fn new(world: W, config: Config) -> Self {
        let paces = Paces::new(&config);
        let results = Outbox::new(config.result_bus.is_some());
        let (parameters, history) = (Parameters::default(), History::default());
        Self { world, config, parameters, paces, history, results, notes: Notes::default() }
    }

    /// The world that it acts on.
    pub fn world(&self) -> &W {
        &self.world
    }
}

// An item may be of any kind: what leads to all of them needs what all of them need.
impl<W: World> App<W> {
    /// Handles one payload.
    ///
    /// # Errors
    /// Where the payload, as a whole, must come again or end in the dead-letter queue.
    pub async fn handle(&self, payload: &str, invocation: &Invocation) -> Result<Answer, Unhandled> {
        self.notes.begin();
        let answer = self.answer(payload, invocation).await;
        self.notes.report_rest(&self.world);
        answer
    }

    async fn answer(&self, payload: &str, invocation: &Invocation) -> Result<Answer, Unhandled> {
        let value: Value = serde_json::from_str(payload)
            .map_err(|error| self.unhandled(Unhandled::Malformed(format!("the payload is not JSON: {error}"))))?;
        let now = self.world.now();
        // Once for the whole invocation: what is kept for the end must not shrink with each message.
        let time = invocation.deadline.duration_since(now);
        let its_end = invocation.deadline;
        let invocation = &Invocation { deadline: its_end - MARGIN.min(time / 2), ..invocation.clone() };
        let answer = match event::parse(&value, &self.config.own, now) {
            Input::Direct(items) => self.direct(items, invocation).await,
            Input::Batch(messages) => Ok(Answer::Batch(self.batch(messages, invocation).await)),
        };
        // Before the answer, since nothing runs after it; with no bearing on it.
        self.results.send(&self.world, its_end).await;
        answer
    }

    async fn direct(&self, items: Vec<Item>, invocation: &Invocation) -> Result<Answer, Unhandled> {
        let in_force = self.in_force(items.iter()).await;
        let session = self.session(&in_force, invocation);
        self.paces.begin(1);
        let mut ends = Vec::with_capacity(items.len());
        for item in items {
            ends.push(self.guarded(item, session).await);
        }
        let answers = ends.into_iter().map(|reported| reported.map(Reported::into_value));
        let mut answers = answers.collect::<Result<Vec<Value>, Unhandled>>()?;
        match (answers.pop(), answers.is_empty()) {
            (Some(only), true) => Ok(Answer::Direct(only)),
            (Some(last), false) => {
                answers.push(last);
                Ok(Answer::Direct(Value::Array(answers)))
            }
            (None, _) => Ok(Answer::Direct(Value::Null)),
        }
    }

    async fn batch(&self, messages: Vec<Message>, invocation: &Invocation) -> Vec<String> {
        let in_force = self.in_force(messages.iter().flat_map(|m| &m.items)).await;
        let lanes = lanes(messages);
        let session = self.session(&in_force, invocation);
        self.paces.begin(lanes.len());
        let lanes = lanes.into_iter().map(|lane| async move {
            let mut failed = BTreeSet::new();
            for Task { item, messages } in lane {
                if self.guarded(item, session).await.is_err() {
                    failed.extend(messages);
                }
            }
            failed
        });
        join_all(lanes).await.into_iter().flatten().collect()
    }

    /// One item, whose panic is its own.
    async fn guarded(&self, item: Item, session: Under<'_>) -> Result<Reported, Unhandled> {
        // Boxed: the run's future is large, and its type so deep that the compiler loses its way in it.
        match AssertUnwindSafe(self.item(item, session).boxed()).catch_unwind().await {
            Ok(end) => end.map_err(|unhandled| self.unhandled(unhandled)),
            Err(panic) => {
                let words = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
                let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
                // The words may hold what came in.
                let words =
                    words.map_or_else(|| "without words".to_owned(), |words| EventText::new(&words).to_string());
                Err(self.unhandled(Unhandled::Panicked(words)))
            }
        }
    }

    async fn item(&self, item: Item, session: Under<'_>) -> Result<Reported, Unhandled> {
        match item {
            Item::Ignored(why) => Ok(self.ignored(&why)),
            Item::Rejected(why) => Ok(self.rejected(&why)),
            Item::Malformed(why) => Err(Unhandled::Malformed(why.to_string())),
            Item::Rest(rest) => self.rest(rest),
            _ if self.world.have_expired() => Err(Unhandled::CredentialsExpired),
            Item::Reconcile(work) => self.reconcile(*work, session).await,
            Item::Scan(scan) => self.ask_for_scan(*scan, session).await,
            Item::ScanNow(scan) => self.run_scan(*scan, session).await,
            Item::PolicyChanged(name, scan) => self.parameter_changed(&name, *scan, session).await,
        }
    }

    /// What holds for this invocation, where the policy can be used.
    fn session<'a>(&'a self, in_force: &'a InForce, invocation: &'a Invocation) -> Under<'a> {
        let (policy, mode) = in_force.as_ref()?;
        Ok(Session {
            config: &self.config,
            policy,
            mode: *mode,
            run_id: &invocation.id,
            deadline: invocation.deadline,
            paces: &self.paces,
            history: &self.history,
            has_queue: self.world.has_queue(),
            planned: None,
            guards: true,
        })
    }
}

impl<W: StreamApi + KeyApi + TrailApi + TrafficApi + WorkQueue + Credentials + EvidenceSink + Clock> App<W> {
    async fn reconcile(&self, work: Work, session: Under<'_>) -> Result<Reported, Unhandled> {
        let now = self.world.now();
        if let Some(at) = work.not_before.filter(|at| *at > now) {
            let delay = until(now, at).min(DELAY_MAX);
            return self.defer(&work, delay, "TooEarly", "not due yet").await;
        }
        let session = match session {
            Ok(session) => session,
            Err(unusable) => return self.keep(work, unusable).await,
        };
        let work = Work { unread: 0, ..work };
        if now >= session.deadline {
            // An earlier message of this batch took the time: this one is for another invocation.
            let delay = WORK.pause(0, dice(now));
            return self.defer(&work, delay, "NoTimeLeft", "no time was left").await;
        }
        let mut end = reconcile(&self.world, &work, &session).await;
        if let Next::Must(work, delay, _) = &end.next
            && work.put_back == PutBack::Due
        {
            let document = self.results.evidence(&self.world, &end.evidence);
            if self.send(work, *delay).await.is_ok() {
                return Ok(Reported::Document(document));
            }
            // The event that comes again would not know of the key to put back: here and now, then.
            let work = work.clone();
            end = reconcile(&self.world, &work, &session).await;
        }
        let RunEnd { evidence, next, others, asks_for_scan } = end;
        let document = self.results.evidence(&self.world, &evidence);
        self.hand_over(&others, Duration::ZERO).await?;
        if asks_for_scan {
            self.ask_for_sweep(&work.cause).await?;
        }
        match next {
            Next::Nothing => {}
            Next::May(work, delay) => {
                if let Err(Some(not_sent)) = self.send(&work, delay).await {
                    return Err(not_sent);
                }
            }
            Next::Must(work, delay, why) => {
                if let Err(not_sent) = self.send(&work, delay).await {
                    return Err(not_sent.unwrap_or(Unhandled::Retryable(why)));
                }
            }
        }
        Ok(Reported::Document(document))
    }
}

impl<W: WorkQueue + Credentials + EvidenceSink + Clock> App<W> {
    /// No policy, no writes; the event is kept until it can be used, and no deadline runs meanwhile.
    async fn keep(&self, mut work: Work, unusable: &Unhandled) -> Result<Reported, Unhandled> {
        let (unread, delay) = self.kept(unusable, work.unread, &format!("`{}`", work.stream.name));
        work.unread = unread;
        // Not anew: a policy that can be read now and then would have it followed for ever.
        work.deadline_from = bounds::later(work.deadline_from, delay);
        match self.send(&work, delay).await {
            Ok(()) => Ok(deferred(&work, delay, unusable.kind(), &unusable.to_string())),
            Err(_) => Err(unusable.clone()),
        }
    }
}

impl<W: WorkQueue + Credentials> App<W> {
    /// Sends work on without a run.
    async fn defer(&self, work: &Work, delay: Duration, code: &str, why: &str) -> Result<Reported, Unhandled> {
        match self.send(work, delay).await {
            Ok(()) => Ok(deferred(work, delay, code, why)),
            Err(Some(not_sent)) => Err(not_sent),
            Err(None) => {
                let why = "the work is not due yet, and WORK_QUEUE_URL is not set";
                Err(Unhandled::Retryable(Unfinished::open("sqs:SendMessage", "NoQueue", why)))
            }
        }
    }

    /// Sends work on; `Err(None)` where there is no queue to send it to.
    async fn send(&self, work: &Work, delay: Duration) -> Result<(), Option<Unhandled>> {
        if self.world.have_expired() {
            return Err(Some(Unhandled::CredentialsExpired));
        }
        if !self.world.has_queue() {
            return Err(None);
        }
        self.world.send(work, delay).await.map_err(|failure| Some(Unhandled::Retryable(failure.into())))
    }
}

fn deferred(work: &Work, delay: Duration, code: &str, why: &str) -> Reported {
    Reported::Other(json!({
        "outcome": "deferred", "reason": code, "detail": why,
        "stream": work.stream.to_string(), "delay_s": delay.as_secs(),
    }))
}
