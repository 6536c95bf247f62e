//! The function in a world whose describe panics: what `tests/system/runtime.rs` gives to the Lambda emulator as its bootstrap.
#![expect(clippy::unwrap_used, clippy::panic, reason = "it is part of a test, and panics on purpose")]

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use streamseal::config::{Config, Source};
use streamseal::domain::arn::{KeyRef, StreamArn, StreamName};
use streamseal::domain::bus::ResultEvent;
use streamseal::domain::evidence::Evidence;
use streamseal::domain::failure::Failure;
use streamseal::domain::history::Query;
use streamseal::domain::model::{KeyIdentity, KeyLookup, Observed, Tags};
use streamseal::domain::note::Note;
use streamseal::domain::scan::Scan;
use streamseal::domain::scan::v1::Summary;
use streamseal::domain::scan::window::Entry;
use streamseal::domain::work::Work;
use streamseal::ports::{
    Asked, CallLog, Clock, Consumer, Credentials, EvidenceSink, FleetApi, KeyApi, Measured, Page, PageStart,
    ParameterApi, ProbeAnswer, ReadBack, ReadRecord, ResultBus, StreamApi, TrafficApi, TrailApi, TrailPage, WorkQueue,
};
use streamseal::run::handler::App;

fn main() {
    let config = Config::from_vars(|name| std::env::var(name).ok()).unwrap();
    streamseal::lambda::start_telemetry(config.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(streamseal::lambda::serve(App::new(Panics, config))).unwrap();
}

/// A world whose describe panics; everything else is out of reach.
struct Panics;

impl StreamApi for Panics {
    async fn describe(&self, _: &StreamArn, _: &CallLog) -> Result<Observed, Failure> {
        panic!("on purpose\n{}", "x".repeat(10_000))
    }
    async fn tags(&self, _: &StreamArn, _: &CallLog) -> Result<Tags, Failure> {
        unreachable!()
    }
    async fn start_encryption(&self, _: &StreamArn, _: &KeyIdentity, _: &CallLog) -> Result<(), Failure> {
        unreachable!()
    }
    async fn put_probe(&self, _: &StreamArn, _: &CallLog) -> Result<ProbeAnswer, Failure> {
        unreachable!()
    }
    async fn read_back(&self, _: &StreamArn, _: ReadBack, _: &CallLog) -> Result<Option<ReadRecord>, Failure> {
        unreachable!()
    }
}

impl FleetApi for Panics {
    async fn list(&self, _: &PageStart, _: &CallLog) -> Result<Page, Failure> {
        unreachable!()
    }
    async fn tags_of(&self, _: &[StreamArn], _: &CallLog) -> Result<BTreeMap<StreamName, Tags>, Failure> {
        unreachable!()
    }
}

impl TrailApi for Panics {
    async fn trail_page(&self, _: &Query, _: Timestamp, _: Option<&str>, _: &CallLog) -> Result<TrailPage, Failure> {
        unreachable!()
    }
}

impl TrafficApi for Panics {
    async fn traffic(&self, _: &Asked<'_>, _: &CallLog) -> Result<Measured, Failure> {
        unreachable!()
    }
    async fn consumers(&self, _: &StreamArn, _: &CallLog) -> Result<Vec<Consumer>, Failure> {
        unreachable!()
    }
    async fn resource_policy(&self, _: &str, _: &CallLog) -> Result<Option<String>, Failure> {
        unreachable!()
    }
}

impl KeyApi for Panics {
    async fn lookup(&self, _: &KeyRef, _: &CallLog) -> Result<KeyLookup, Failure> {
        unreachable!()
    }
}

impl ParameterApi for Panics {
    async fn read(&self, source: &Source) -> Result<String, Failure> {
        match source {
            Source::Inline(text) => Ok(text.clone()),
            Source::File(_) | Source::Parameter(_) => unreachable!(),
        }
    }
}

impl WorkQueue for Panics {
    fn has_queue(&self) -> bool {
        false
    }
    async fn send(&self, _: &Work, _: Duration) -> Result<(), Failure> {
        unreachable!()
    }
    fn has_scan_queue(&self) -> bool {
        false
    }
    async fn send_scan(&self, _: &Scan, _: Entry) -> Result<(), Failure> {
        unreachable!()
    }
    async fn defer_scan(&self, _: &Scan, _: Duration) -> Result<(), Failure> {
        unreachable!()
    }
}

impl ResultBus for Panics {
    async fn put_results(&self, _: &[ResultEvent]) -> Result<Vec<Result<(), Failure>>, Failure> {
        unreachable!()
    }
}

impl Clock for Panics {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Credentials for Panics {
    fn have_expired(&self) -> bool {
        false
    }
}

impl EvidenceSink for Panics {
    fn record(&self, _: &Evidence, _: &str) {}
    fn summary(&self, _: &Summary, _: &str) {}
    fn note(&self, _: &Note) {}
}
