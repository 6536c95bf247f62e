//! What is under way, on a terminal: a bar over many streams, or which call one of them waits for. It watches the world and
//! passes every call on as it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::aws::Aws;
use crate::config::Source;
use crate::domain::arn::{KeyRef, StreamArn, StreamName};
use crate::domain::evidence::Evidence;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::history::Query;
use crate::domain::model::{KeyIdentity, KeyLookup, Observed, Tags};
use crate::domain::note::Note;
use crate::domain::result::ResultEvent;
use crate::domain::scan::Scan;
use crate::domain::scan::v1::Summary;
use crate::domain::work::Work;
use crate::ports::{
    CallLog, Clock, EvidenceSink, FleetApi, KeyApi, Look, Page, PageStart, ParameterApi, ProbeAnswer, ResultBus,
    SeenRecord, StreamApi, TrailApi, TrailPage, WorkQueue,
};

/// How often it moves while nothing is heard.
const TICK: Duration = Duration::from_millis(120);

/// A bar over `length` streams on standard error; nothing where that is no terminal.
pub(crate) fn bar(length: usize, doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
    // Without colours, and so the same under NO_COLOR; a template that does not parse leaves the default one.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {pos}/{len} [{bar:24}] {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(doing);
    bar.enable_steady_tick(TICK);
    bar
}

/// The world, with each call told to a bar before it is made.
pub(crate) struct Watched<'a> {
    aws: &'a Aws,
    bar: &'a ProgressBar,
    sent: AtomicBool,
    /// The key of the plan that somebody agreed to, until its run is over.
    planned: Mutex<Option<KeyIdentity>>,
    /// The key that the run would have started instead.
    other: OnceLock<KeyIdentity>,
}

impl<'a> Watched<'a> {
    /// `planned`: the one key that may be started; where there is no plan, any.
    pub(crate) fn new(aws: &'a Aws, bar: &'a ProgressBar, planned: Option<KeyIdentity>) -> Self {
        Self { aws, bar, sent: AtomicBool::new(false), planned: Mutex::new(planned), other: OnceLock::new() }
    }

    /// From here on it is not the plan's key that may be started: a run puts the key before it back.
    pub(crate) fn planned_is_over(&self) {
        if let Ok(mut planned) = self.planned.lock() {
            *planned = None;
        }
    }

    /// The key that a run was about to start, and which is not the plan's.
    pub(crate) fn other(&self) -> Option<&KeyIdentity> {
        self.other.get()
    }

    /// Whether anything was written: a run that wrote must not be cut off unsaid.
    pub(crate) fn wrote(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    fn says(&self, stream: &StreamArn, what: &str) {
        self.bar.set_message(format!("{}: {what}", stream.name));
    }
}

impl StreamApi for Watched<'_> {
    async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Observed, Failure> {
        let seen = self.aws.describe(stream, log).await;
        if let Ok(observed) = &seen {
            self.says(stream, &observed.status.to_string());
        }
        seen
    }

    async fn tags(&self, stream: &StreamArn, log: &CallLog) -> Result<Tags, Failure> {
        self.aws.tags(stream, log).await
    }

    async fn start_encryption(&self, stream: &StreamArn, key: &KeyIdentity, log: &CallLog) -> Result<(), Failure> {
        let is_planned = self.planned.lock().is_ok_and(|planned| planned.as_ref().is_none_or(|planned| planned == key));
        if !is_planned {
            let failure = Failure::retryable("kinesis:StartStreamEncryption", "NotSent", "the plan is out of date");
            let _ = self.other.set(key.clone());
            return Err(Failure { class: Class::Permanent(Fault::Request), ..failure });
        }
        self.sent.store(true, Ordering::Relaxed);
        self.says(stream, "starting encryption");
        self.aws.start_encryption(stream, key, log).await
    }

    async fn put_probe(&self, stream: &StreamArn, log: &CallLog) -> Result<ProbeAnswer, Failure> {
        self.sent.store(true, Ordering::Relaxed);
        self.says(stream, "proving with a record");
        self.aws.put_probe(stream, log).await
    }

    async fn read_back(&self, stream: &StreamArn, look: Look, log: &CallLog) -> Result<Option<SeenRecord>, Failure> {
        self.says(stream, "looking for a record");
        self.aws.read_back(stream, look, log).await
    }
}

impl FleetApi for Watched<'_> {
    async fn list(&self, from: &PageStart, log: &CallLog) -> Result<Page, Failure> {
        self.aws.list(from, log).await
    }

    async fn tags_of(&self, streams: &[StreamArn], log: &CallLog) -> Result<BTreeMap<StreamName, Tags>, Failure> {
        self.aws.tags_of(streams, log).await
    }
}

impl KeyApi for Watched<'_> {
    async fn lookup(&self, key: &KeyRef, log: &CallLog) -> Result<KeyLookup, Failure> {
        self.aws.lookup(key, log).await
    }
}

impl TrailApi for Watched<'_> {
    async fn trail_page(
        &self,
        query: &Query,
        since: Timestamp,
        token: Option<&str>,
        log: &CallLog,
    ) -> Result<TrailPage, Failure> {
        self.aws.trail_page(query, since, token, log).await
    }
}

impl ParameterApi for Watched<'_> {
    async fn read(&self, source: &Source) -> Result<String, Failure> {
        self.aws.read(source).await
    }
}

impl WorkQueue for Watched<'_> {
    fn has_queue(&self) -> bool {
        self.aws.has_queue()
    }

    async fn send(&self, work: &Work, delay: Duration) -> Result<(), Failure> {
        self.aws.send(work, delay).await
    }

    fn has_scan_queue(&self) -> bool {
        self.aws.has_scan_queue()
    }

    async fn send_scan(&self, scan: &Scan) -> Result<(), Failure> {
        self.aws.send_scan(scan).await
    }

    async fn put_off_scan(&self, scan: &Scan, delay: Duration) -> Result<(), Failure> {
        self.aws.put_off_scan(scan, delay).await
    }
}

impl ResultBus for Watched<'_> {
    async fn put_results(&self, entries: &[ResultEvent]) -> Result<Vec<Result<(), Failure>>, Failure> {
        self.aws.put_results(entries).await
    }
}

impl Clock for Watched<'_> {
    fn now(&self) -> Timestamp {
        self.aws.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.aws.sleep(duration).await;
    }
}

/// A command prints its results itself.
impl EvidenceSink for Watched<'_> {
    fn record(&self, _: &Evidence) {}

    fn summary(&self, _: &Summary) {}

    fn note(&self, _: &Note) {}
}
