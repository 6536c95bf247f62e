//! What is under way, on a terminal: a bar over many streams, or which call one of them waits for. It watches the world and
//! passes every call on as it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use crate::aws::Aws;
use crate::domain::arn::{KeyRef, StreamArn};
use crate::domain::failure::Failure;
use crate::domain::history::Query;
use crate::domain::model::{KeyIdentity, KeyLookup, Observed, Tags};
use crate::ports::{
    Asked, CallLog, Clock, Consumer, KeyApi, Measured, ProbeAnswer, ReadBack, ReadRecord, StreamApi, TrafficApi,
    TrailApi, TrailPage,
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

/// The world, with each call reported to a bar before it is made.
pub(crate) struct Watched<'a> {
    aws: &'a Aws,
    bar: &'a ProgressBar,
    sent: AtomicBool,
}

impl<'a> Watched<'a> {
    /// The world, reported to `bar`.
    pub(crate) fn new(aws: &'a Aws, bar: &'a ProgressBar) -> Self {
        Self { aws, bar, sent: AtomicBool::new(false) }
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
        let answer = self.aws.describe(stream, log).await;
        if let Ok(observed) = &answer {
            self.says(stream, &observed.status.to_string());
        }
        answer
    }

    async fn tags(&self, stream: &StreamArn, log: &CallLog) -> Result<Tags, Failure> {
        self.aws.tags(stream, log).await
    }

    async fn start_encryption(&self, stream: &StreamArn, key: &KeyIdentity, log: &CallLog) -> Result<(), Failure> {
        self.sent.store(true, Ordering::Relaxed);
        self.says(stream, "starting encryption");
        self.aws.start_encryption(stream, key, log).await
    }

    async fn put_probe(&self, stream: &StreamArn, log: &CallLog) -> Result<ProbeAnswer, Failure> {
        self.sent.store(true, Ordering::Relaxed);
        self.says(stream, "proving with a record");
        self.aws.put_probe(stream, log).await
    }

    async fn read_back(
        &self,
        stream: &StreamArn,
        which: ReadBack,
        log: &CallLog,
    ) -> Result<Option<ReadRecord>, Failure> {
        self.says(stream, "searching for a record");
        self.aws.read_back(stream, which, log).await
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

impl TrafficApi for Watched<'_> {
    async fn traffic(&self, asked: &Asked<'_>, log: &CallLog) -> Result<Measured, Failure> {
        self.aws.traffic(asked, log).await
    }

    async fn consumers(&self, stream: &StreamArn, log: &CallLog) -> Result<Vec<Consumer>, Failure> {
        self.aws.consumers(stream, log).await
    }

    async fn resource_policy(&self, arn: &str, log: &CallLog) -> Result<Option<String>, Failure> {
        self.aws.resource_policy(arn, log).await
    }
}

impl Clock for Watched<'_> {
    fn now(&self) -> Timestamp {
        self.aws.now()
    }

    fn elapsed(&self) -> Duration {
        self.aws.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        self.aws.sleep(duration).await;
    }
}
