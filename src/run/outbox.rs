//! Results on their way: each is written to the log first and, where there is a bus, kept for the end of the invocation, when all
//! are sent together, so that no stream waits for them.
//!
//! The log is the record. Whatever fails here is reported (a note, a metric, an alarm) and changes no answer: a run whose result was
//! not delivered is as finished as any other, and its message does not come again. A result may come twice, since a request
//! whose answer was lost is sent again: its `id` identifies it. An invocation that is killed before its end may have sent
//! nothing: messages of a queue come again, with new evidence, and one that somebody invoked by hand does not. A part of a scan that
//! is killed here has already sent the scan on, so that the rest of it may run twice.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use jiff::{SignedDuration, Timestamp};
use tracing::{error, warn};

use crate::domain::backoff::ENTRY;
use crate::domain::bounds::until;
use crate::domain::bus::{ResultEvent, requests};
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::document;
use crate::domain::failure::{Class, Failure};
use crate::domain::note::{Note, Outcome};
use crate::domain::scan::v1::Summary;
use crate::ports::{Clock, EvidenceSink, ResultBus};

/// Sending may take so long, however much time is left: with a bus that does not answer, each invocation is longer by this.
const SEND_TIME: SignedDuration = SignedDuration::from_secs(8);
/// What is left of the invocation's time for its answer.
const ANSWER_TIME: SignedDuration = SignedDuration::from_secs(1);
/// Requests under way at once.
const REQUESTS_AT_ONCE: usize = 10;
/// How often an entry is sent that EventBridge refuses for now. The request as a whole is repeated by the SDK.
const ATTEMPTS: u32 = 3;

/// What an invocation found, on its way to the log and to the bus.
#[derive(Debug, Default)]
pub struct Outbox {
    has_bus: bool,
    waiting: Mutex<Vec<ResultEvent>>,
}

/// How sending goes.
#[derive(Debug, Default)]
struct Progress {
    sent: usize,
    failure: Option<Failure>,
    /// A whole request was refused for good, and so will the others be.
    refused: bool,
}

impl Progress {
    /// Why a request failed. The first refusal for good says most.
    fn request_failed(&mut self, failure: Failure) {
        if !self.refused {
            self.refused = matches!(failure.class, Class::Permanent(_) | Class::Expired);
            self.failure = Some(failure);
        }
    }

    /// Why one entry of a request failed, which says nothing of the others.
    fn entry_failed(&mut self, failure: Failure) {
        if !self.refused {
            self.failure = Some(failure);
        }
    }
}

impl Outbox {
    /// With a bus to send to, or without: then results go to the log alone.
    pub fn new(has_bus: bool) -> Self {
        Self { has_bus, waiting: Mutex::default() }
    }

    /// Writes evidence, and a line of the error log where somebody has to act. Returns the document, which is written out once.
    pub fn evidence<W: EvidenceSink>(&self, world: &W, evidence: &Evidence) -> String {
        if evidence.verdict.alarm {
            error!(stream = %evidence.stream, reason = evidence.verdict.reason.as_str(), "{}", evidence.verdict.detail);
        }
        let document = document(evidence);
        // The record before its copy: what is sent has been written.
        world.record(evidence, &document);
        if self.has_bus {
            lock(&self.waiting).push(ResultEvent::of_evidence(evidence, &document));
        }
        document
    }

    /// Writes what a scan found. Returns the document.
    pub fn summary<W: EvidenceSink>(&self, world: &W, summary: &Summary) -> String {
        if summary.alarm() {
            error!(scan = summary.scan.id, "a scan found problems that need attention");
        }
        let document = summary.to_json().to_string();
        world.summary(summary, &document);
        if self.has_bus {
            lock(&self.waiting).push(ResultEvent::of_summary(summary, &document));
        }
        document
    }

    /// Sends what has gathered, and reports what may not have arrived. It ends before `deadline`, and whatever happens in it stays
    /// in it.
    pub async fn send<W: ResultBus + EvidenceSink + Clock>(&self, world: &W, deadline: Timestamp) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        if waiting.is_empty() {
            return;
        }
        let all = waiting.len();
        let progress = Mutex::new(Progress::default());
        let now = world.now();
        let time = until(now, (deadline - ANSWER_TIME).min(now + SEND_TIME));
        let sending = AssertUnwindSafe(send_all(world, requests(waiting), &progress)).catch_unwind();
        let panicked = match select(pin!(sending), pin!(world.sleep(time))).await {
            Either::Left((ended, _)) => ended.is_err(),
            Either::Right(((), _)) => false,
        };
        let (reason, why) = match (panicked, lock(&progress).failure.take()) {
            (true, _) => ("Panicked", "internal error".to_owned()),
            (false, Some(failure)) => (reason(&failure), failure.to_string()),
            (false, None) => ("NoTimeLeft", "no time was left".to_owned()),
        };
        let lost = all.saturating_sub(lock(&progress).sent);
        if lost > 0 {
            warn!(results = lost, "results may not have reached the bus: {why}");
            let detail = format!("{lost} of {all} results may not have reached the bus; they are in the log: {why}");
            let outcome = Outcome::Lost(u64::try_from(lost).unwrap_or(u64::MAX));
            world.note(&Note::new(outcome, reason, &detail, world.now()));
        }
    }
}

/// All of them, some at once. Where a whole request is refused for good the others would be too: they are not tried.
async fn send_all<W: ResultBus + Clock>(world: &W, requests: Vec<Vec<ResultEvent>>, progress: &Mutex<Progress>) {
    for some in requests.chunks(REQUESTS_AT_ONCE) {
        join_all(some.iter().map(|request| send_request(world, request.clone(), progress))).await;
        if lock(progress).refused {
            return;
        }
    }
}

/// One request, and again those of its entries that were refused for now.
async fn send_request<W: ResultBus + Clock>(world: &W, mut entries: Vec<ResultEvent>, progress: &Mutex<Progress>) {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            world.sleep(ENTRY.pause(attempt - 1, 0.0)).await;
        }
        let answers = match world.put_results(&entries).await {
            Ok(answers) => answers,
            Err(failure) => {
                lock(progress).request_failed(failure);
                return;
            }
        };
        let mut again = Vec::new();
        for (entry, answer) in entries.into_iter().zip(answers) {
            let mut progress = lock(progress);
            match answer {
                Ok(()) => progress.sent += 1,
                Err(failure) => {
                    if failure.class == Class::Retryable {
                        again.push(entry);
                    }
                    progress.entry_failed(failure);
                }
            }
        }
        if again.is_empty() {
            return;
        }
        entries = again;
    }
}

/// A stable word for why.
fn reason(failure: &Failure) -> &'static str {
    match failure.class {
        Class::Permanent(_) => "Refused",
        Class::Ignored | Class::Waiting | Class::Retryable | Class::RateOrQuota | Class::Quota | Class::Expired => {
            "Retryable"
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
