//! What the loop and the handler may ask of the world, one narrow trait a capability.
//!
//! There is no method that stops encryption: a capability that is not linked cannot be misused. Adapters in `aws/`
//! implement these; the tests' simulation is the second implementation. Futures are `Send` because the Lambda runtime
//! asks for it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::arn::{KeyRef, StreamArn, StreamName};
use crate::domain::bus::ResultEvent;
use crate::domain::call::Call;
use crate::domain::evidence::Evidence;
use crate::domain::failure::Failure;
use crate::domain::history::{Change, NewPolicy, Query};
use crate::domain::impact::usage::Usage;
use crate::domain::model::{KeyIdentity, KeyLookup, Observed, Tags};
use crate::domain::note::Note;
use crate::domain::scan::Scan;
use crate::domain::scan::v1::Summary;
use crate::domain::scan::window::Entry;
use crate::domain::traffic::Traffic;
use crate::domain::work::Work;

/// The calls of one run, in the order they ended; every adapter writes each request that it sends.
#[derive(Debug, Default)]
pub struct CallLog(Mutex<Vec<Call>>);

impl CallLog {
    /// Adds a call.
    pub fn push(&self, call: Call) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(call);
    }

    /// What was called so far.
    pub fn calls(&self) -> Vec<Call> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// What PutRecord answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// Where the record went.
    pub shard_id: String,
    /// Its sequence number.
    pub sequence_number: String,
    /// `KMS` where the record is encrypted; AWS leaves it out where it is not, emulators say `NONE`.
    pub encryption_type: Option<String>,
}

/// A record that was read back; its payload was dropped unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// The shard it is in.
    pub shard_id: String,
    /// Its sequence number.
    pub sequence_number: String,
    /// Its own `EncryptionType`, as it was when it was put. AWS leaves it out of an unencrypted one.
    pub encryption_type: Option<String>,
    /// `ApproximateArrivalTimestamp`.
    pub at: Timestamp,
}

/// Which records to search for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// The first record of any producer that arrived at or after this time, in any open shard.
    Any(Timestamp),
    /// An encrypted probe of ours (by its partition key) that arrived at or after this time. One that is not encrypted is no
    /// proof, and may be followed by one that is.
    Probe(Timestamp),
}

/// Kinesis Data Streams.
pub trait StreamApi: Send + Sync {
    /// DescribeStreamSummary.
    fn describe(&self, stream: &StreamArn, log: &CallLog) -> impl Future<Output = Result<Observed, Failure>> + Send;
    /// ListTagsForStream, all pages.
    fn tags(&self, stream: &StreamArn, log: &CallLog) -> impl Future<Output = Result<Tags, Failure>> + Send;
    /// StartStreamEncryption by ARN, one request, never repeated by the SDK.
    fn start_encryption(
        &self,
        stream: &StreamArn,
        key: &KeyIdentity,
        log: &CallLog,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
    /// PutRecord of the probe, one request.
    fn put_probe(&self, stream: &StreamArn, log: &CallLog)
    -> impl Future<Output = Result<ProbeAnswer, Failure>> + Send;
    /// GetRecords until a record of `which` is found or the shards have nothing more to show now; a bounded number of requests.
    fn read_back(
        &self,
        stream: &StreamArn,
        which: ReadBack,
        log: &CallLog,
    ) -> impl Future<Output = Result<Option<ReadRecord>, Failure>> + Send;
}

/// What is asked of CloudWatch about one stream: its users' calls, minute by minute.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The stream.
    pub stream: &'a StreamName,
    /// Its registered consumers, whose metrics are under their own names.
    pub consumers: &'a [String],
    /// From this minute on.
    pub from: Timestamp,
    /// Up to this one, without it.
    pub to: Timestamp,
    /// The key whose `Broken` is asked for too, with the same request: how often a change to it was found to break a stream in the last
    /// [`HALTED_FOR`](crate::domain::traffic::HALTED_FOR).
    pub broken_on: Option<&'a KeyIdentity>,
}

/// What CloudWatch answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The users' calls.
    pub traffic: Traffic,
    /// How often a change to the key was found to break a stream.
    pub broken: u64,
}

/// A consumer that is registered with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name, the dimension of its metrics.
    pub name: String,
    /// Its ARN, by which it has a resource policy of its own.
    pub arn: String,
}

/// Who uses a stream, for a change that is watched.
pub trait TrafficApi: Send + Sync {
    /// GetMetricData, one request unless CloudWatch answers in pages. Metrics that are not whole are a failure: half an answer would
    /// say that nobody calls.
    fn traffic(&self, asked: &Asked<'_>, log: &CallLog) -> impl Future<Output = Result<Measured, Failure>> + Send;
    /// ListStreamConsumers, all pages.
    fn consumers(
        &self,
        stream: &StreamArn,
        log: &CallLog,
    ) -> impl Future<Output = Result<Vec<Consumer>, Failure>> + Send;
    /// GetResourcePolicy of a stream or a consumer, by its ARN; `None` where it has none.
    fn resource_policy(&self, arn: &str, log: &CallLog)
    -> impl Future<Output = Result<Option<String>, Failure>> + Send;
}

/// Where a page of names begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// With the first stream.
    Beginning,
    /// Behind this one, whether it is still there or not (`ExclusiveStartStreamName`).
    After(StreamName),
    /// Where the page before ended (`NextToken`).
    Token(String),
}

/// One page of the account's streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of the service.
    pub names: Vec<StreamName>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<PageStart>,
}

/// All streams of the account and Region.
pub trait FleetApi: Send + Sync {
    /// ListStreams, one page with one request.
    fn list(&self, from: &PageStart, log: &CallLog) -> impl Future<Output = Result<Page, Failure>> + Send;
    /// GetResources of the tagging API: the tags of up to 100 streams with one request. Streams without tags may be missing.
    fn tags_of(
        &self,
        streams: &[StreamArn],
        log: &CallLog,
    ) -> impl Future<Output = Result<BTreeMap<StreamName, Tags>, Failure>> + Send;
}

/// One page of CloudTrail's event history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrailPage {
    /// Changes of any stream's encryption here that took effect, among the records of the page.
    pub changes: Vec<Change>,
    /// Uses of keys for streams here, also those that KMS refused, among the records of the page.
    pub uses: Vec<Usage>,
    /// Keys that got another policy, among the records of the page.
    pub policies: Vec<NewPolicy>,
    /// Where the next page begins; `None` behind the last one.
    pub next: Option<String>,
}

/// CloudTrail's event history.
pub trait TrailApi: Send + Sync {
    /// LookupEvents, one page with one request: the records of `query` from `since` on, the newest first. `token` is where the page
    /// before ended.
    fn trail_page(
        &self,
        query: &Query,
        since: Timestamp,
        token: Option<&str>,
        log: &CallLog,
    ) -> impl Future<Output = Result<TrailPage, Failure>> + Send;
}

/// AWS KMS.
pub trait KeyApi: Send + Sync {
    /// DescribeKey. Not found and denied are answers; a failure is what may pass.
    fn lookup(&self, key: &KeyRef, log: &CallLog) -> impl Future<Output = Result<KeyLookup, Failure>> + Send;
}

/// Where the policy and the mode may live.
pub trait ParameterApi: Send + Sync {
    /// The text of a file in the function's package, or of an SSM parameter.
    fn read(&self, source: &crate::config::Source) -> impl Future<Output = Result<String, Failure>> + Send;
}

/// The work queue.
pub trait WorkQueue: Send + Sync {
    /// Whether a queue is configured; without one what is not finished is the caller's to send again.
    fn has_queue(&self) -> bool;
    /// Sends `work` so that it arrives after `delay`, at most 900 s (SQS API reference, SendMessage).
    fn send(&self, work: &Work, delay: Duration) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Whether there is a queue of scans; without one a scan runs where it is asked for.
    fn has_scan_queue(&self) -> bool;
    /// Puts `scan` at the end of its group in the queue of scans, where they run one at a time. The same part of the same scan that comes
    /// the same way is taken once within 5 minutes (SQS developer guide, FIFO deduplication).
    fn send_scan(&self, scan: &Scan, entry: Entry) -> impl Future<Output = Result<(), Failure>> + Send;
    /// Sends `scan` through the work queue so that it is asked for again after `delay`, at most 900 s.
    fn defer_scan(&self, scan: &Scan, delay: Duration) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The event bus that results go to besides the log.
pub trait ResultBus: Send + Sync {
    /// PutEvents: one request of at most [`ENTRIES_MAX`](crate::domain::bus::ENTRIES_MAX) entries, and for each, in their order,
    /// what became of it. A request whose answer was lost is sent again, so that an entry may arrive twice.
    fn put_results(
        &self,
        entries: &[ResultEvent],
    ) -> impl Future<Output = Result<Vec<Result<(), Failure>>, Failure>> + Send;
}

/// Time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// How much time passed since some moment in the past: what paces calls must not be held up, nor let go, by a clock that is set.
    fn elapsed(&self) -> Duration;
    /// Waits.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

/// What every call is signed with.
pub trait Credentials: Send + Sync {
    /// Whether AWS refused them as out of date. The function has them from the environment of its process, and gets no others there.
    fn have_expired(&self) -> bool;
}

/// Where evidence goes.
pub trait EvidenceSink: Send + Sync {
    /// Writes one document, which is evidence written out; it must not fail, since evidence is the last thing that a run does.
    fn record(&self, evidence: &Evidence, document: &str);
    /// Writes what a scan found.
    fn summary(&self, summary: &Summary, document: &str);
    /// Writes what became of an item that led to no run.
    fn note(&self, note: &Note);
}

/// What a payload may need, whatever is in it: for what serves payloads, and for nothing that one of them leads to.
pub trait World:
    StreamApi
    + FleetApi
    + KeyApi
    + TrailApi
    + TrafficApi
    + ParameterApi
    + WorkQueue
    + ResultBus
    + Clock
    + Credentials
    + EvidenceSink
{
}

impl<T> World for T where
    T: StreamApi
        + FleetApi
        + KeyApi
        + TrailApi
        + TrafficApi
        + ParameterApi
        + WorkQueue
        + ResultBus
        + Clock
        + Credentials
        + EvidenceSink
{
}
