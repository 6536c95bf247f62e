//! Scans on their way: asked for, merged with others of their window, put into their queue, run a part at a time, deferred, given up.
//!
//! What goes for streams goes for scans: a part that is not the last sends the next one on *before* it is acknowledged.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tracing::{error, info};

use super::answer::{Reported, Unhandled};
use super::{App, Under};
use crate::config::{ModeSource, Source};
use crate::domain::backoff::{DELAY_MAX, WORK};
use crate::domain::bounds::{self, until};
use crate::domain::cause::Cause;
use crate::domain::event::reason::IgnoreReason;
use crate::domain::failure::Unfinished;
use crate::domain::note::Outcome;
use crate::domain::scan::Scan;
use crate::domain::scan::subject::Subject;
use crate::domain::scan::v1::Summary;
use crate::domain::scan::window::Entry;
use crate::domain::text::EventText;
use crate::domain::work::Work;
use crate::ports::{Clock, Credentials, EvidenceSink, FleetApi, KeyApi, StreamApi, TrafficApi, TrailApi, WorkQueue};
use crate::run::concern::{not_named, of_concern};
use crate::run::scan::{ScanEnd, given_up, scan};
use crate::run::session::{Session, dice};

/// A scan that still fails so long after it was asked for is given up.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_hours(48);
/// One that is refused so often in a row is given up then: a refusal may be stale for some seconds after a permission was given.
const REFUSALS_MAX: u32 = 5;

/// Other instances keep the policy for so long (`POLICY_AGE_MAX`).
const POLICY_DELAY: Duration = Duration::from_secs(60);
/// How many messages are sent at once.
const SENDS_AT_ONCE: usize = 10;

impl<W> App<W>
where
    W: StreamApi + FleetApi + KeyApi + TrailApi + TrafficApi + WorkQueue + Credentials + EvidenceSink + Clock,
{
    /// A parameter changed: a sweep, where it is the policy or the mode.
    pub(super) async fn parameter_changed(
        &self,
        name: &EventText,
        scan: Scan,
        session: Under<'_>,
    ) -> Result<Reported, Unhandled> {
        let mode = match &self.config.mode {
            ModeSource::Read(source) => Some(source),
            ModeSource::Fixed(_) => None,
        };
        let ours = [Some(&self.config.policy), mode];
        let is_it = |source: &&Source| matches!(source, Source::Parameter(ours) if ours == name.as_str());
        if ours.into_iter().flatten().any(|source| is_it(&source)) {
            self.ask_for_scan(scan, session).await
        } else {
            Ok(self.ignored(&IgnoreReason::OtherParameter(name.clone())))
        }
    }

    /// A scan that is asked for, unless its key or alias can be no stream's: it waits for its window to end and then goes into its queue.
    /// Without a queue it runs here.
    pub(super) async fn ask_for_scan(&self, scan: Scan, session: Under<'_>) -> Result<Reported, Unhandled> {
        if !self.world.has_scan_queue() {
            return self.run_scan(scan, session).await;
        }
        if scan.started_at.is_some() {
            return self.queue(&scan, Entry::Again).await;
        }
        let scan = match &session {
            Ok(session) if scan.is_new() => match self.of_concern(scan, session).await {
                Ok(scan) => scan,
                Err(reported) => return Ok(reported),
            },
            // Whether it concerns a stream is decided when it begins.
            Ok(_) | Err(_) => scan,
        };
        self.line_up(scan).await
    }

    /// A part of a scan whose turn it is.
    pub(super) async fn run_scan(&self, asked: Scan, session: Under<'_>) -> Result<Reported, Unhandled> {
        let session = match session {
            Ok(session) => session,
            Err(unusable) => return self.wait_for_policy(asked, unusable).await,
        };
        let mut asked = Scan { unread: 0, ..asked };
        // The policy could not be read when it was asked for, or is another one now.
        if asked.started_at.is_none() {
            asked = match self.of_concern(asked, &session).await {
                Ok(asked) => asked,
                Err(reported) => return Ok(reported),
            };
        }
        info!(scan = asked.id, part = asked.parts, "scan");
        match scan(&self.world, asked, &session, &self.results).await {
            ScanEnd::Done(summary, works) => {
                self.hand_over_all(&summary, works, session).await?;
                Ok(Reported::Document(self.results.summary(&self.world, &summary)))
            }
            ScanEnd::Unfinished(next) if self.world.has_scan_queue() => self.queue(&next, Entry::Next).await,
            ScanEnd::Unfinished(next) => {
                let why = format!(
                    "{} streams were observed; SCAN_QUEUE_URL is not set, so the scan cannot continue",
                    next.tally.listed
                );
                let why = Unfinished::open("streamseal:Scan", "NoQueue", &why);
                self.give_up(why, *next, session).await
            }
            ScanEnd::Failed(why, next) => self.scan_failed(why, *next, session).await,
        }
    }

    /// The changes first, each through a run of its own: the summary is written when they are all on their way.
    async fn hand_over_all(&self, summary: &Summary, works: Vec<Work>, session: Session<'_>) -> Result<(), Unhandled> {
        // Other instances go on with the policy that they read up to a minute ago.
        let delay = if summary.scan.cause.is_a_new_policy() { POLICY_DELAY } else { Duration::ZERO };
        if self.world.has_queue() {
            return self.hand_over(&works, delay).await;
        }
        for work in works {
            self.reconcile(work, Ok(session)).await?;
        }
        Ok(())
    }

    async fn scan_failed(&self, why: Unfinished, next: Scan, session: Session<'_>) -> Result<Reported, Unhandled> {
        let now = self.world.now();
        let refused = why.fault().is_some() && next.failures >= REFUSALS_MAX;
        if refused || now.duration_since(next.deadline_from) > GIVE_UP_AFTER {
            return self.give_up(why, next, session).await;
        }
        let delay = WORK.pause(next.failures.saturating_sub(1), dice(now));
        self.defer_scan(&next, delay, &Unhandled::Retryable(why)).await
    }

    /// A scan that cannot go on: what it found is handed over all the same, and its summary says why it ended. Without a queue of scans
    /// whoever asked for it is notified.
    async fn give_up(&self, why: Unfinished, scan: Scan, session: Session<'_>) -> Result<Reported, Unhandled> {
        error!(scan = scan.id, "given up: {why}");
        let (summary, works) = given_up(scan, &session, &why, self.world.now());
        if self.world.has_queue() {
            self.hand_over_all(&summary, works, session).await?;
        }
        if !self.world.has_scan_queue() {
            return Err(Unhandled::Retryable(why));
        }
        Ok(Reported::Document(self.results.summary(&self.world, &summary)))
    }
}

impl<W: KeyApi + EvidenceSink + Clock> App<W> {
    /// The scan to make of a request, or what is reported instead.
    async fn of_concern(&self, scan: Scan, session: &Session<'_>) -> Result<Scan, Reported> {
        if let Some(why) = not_named(&self.world, &scan, session).await {
            return Err(self.rejected(&why));
        }
        of_concern(&self.world, scan, session).await.map_err(|why| self.ignored(&why))
    }
}

impl<W: WorkQueue> App<W> {
    /// Sends these works.
    pub(super) async fn hand_over(&self, works: &[Work], delay: Duration) -> Result<(), Unhandled> {
        // There may be little time left, and one after the other five hundred take too long.
        for some in works.chunks(SENDS_AT_ONCE) {
            let sends = some.iter().map(|work| self.world.send(work, delay));
            join_all(sends)
                .await
                .into_iter()
                .collect::<Result<Vec<()>, _>>()
                .map_err(|failure| Unhandled::Retryable(failure.into()))?;
        }
        Ok(())
    }

    async fn defer_scan(&self, scan: &Scan, delay: Duration, why: &Unhandled) -> Result<Reported, Unhandled> {
        if !self.world.has_queue() || !self.world.has_scan_queue() {
            return Err(why.clone());
        }
        self.world.defer_scan(scan, delay).await.map_err(|failure| Unhandled::Retryable(failure.into()))?;
        Ok(Reported::Other(json!({
            "outcome": "deferred", "reason": why.kind(), "detail": why.to_string(),
            "scan": scan.id, "delay_s": delay.as_secs(),
        })))
    }
}

impl<W: WorkQueue + EvidenceSink + Clock> App<W> {
    /// Puts a request into the queue of scans, or lets it wait for its window to end.
    async fn line_up(&self, scan: Scan) -> Result<Reported, Unhandled> {
        let now = self.world.now();
        let length = self.config.scan_window.unwrap_or_else(|| scan.subject.group().window());
        let scan = if scan.is_new() { scan.in_window(now, length) } else { scan.asked_again(length) };
        match scan.not_before.filter(|at| *at > now) {
            Some(at) => self.await_window(&scan, at, until(now, at).min(DELAY_MAX)).await,
            None => self.queue(&scan, Entry::Asked).await,
        }
    }

    /// A change that waits for its turn: the next sweep finds it. Asked for where there is a queue of scans, in which it is merged with
    /// others.
    pub(super) async fn ask_for_sweep(&self, cause: &Cause) -> Result<(), Unhandled> {
        if !self.world.has_scan_queue() {
            return Ok(());
        }
        let now = self.world.now();
        self.line_up(Scan::new(Subject::Fleet, cause.of_sweep(now), now)).await.map(drop)
    }

    /// No policy, no scan; it is asked for again until there is one.
    async fn wait_for_policy(&self, scan: Scan, unusable: &Unhandled) -> Result<Reported, Unhandled> {
        let (unread, delay) = self.kept(unusable, scan.unread, &format!("scan {}", scan.id));
        // Another part, or the queue of scans would take it for one that it has had.
        let (parts, deadline_from) = (scan.next_part(), bounds::later(scan.deadline_from, delay));
        let next = Scan { parts, deadline_from, unread, ..scan };
        self.defer_scan(&next, delay, unusable).await
    }

    async fn await_window(&self, scan: &Scan, at: Timestamp, delay: Duration) -> Result<Reported, Unhandled> {
        self.world.defer_scan(scan, delay).await.map_err(|failure| Unhandled::Retryable(failure.into()))?;
        Ok(self.note(Outcome::Queued, scan.subject.kind(), &format!("scan {}: starts after {at}", scan.id)))
    }

    async fn queue(&self, scan: &Scan, entry: Entry) -> Result<Reported, Unhandled> {
        self.world.send_scan(scan, entry).await.map_err(|failure| Unhandled::Retryable(failure.into()))?;
        let listed = scan.tally.listed;
        Ok(self.note(
            Outcome::Queued,
            scan.subject.kind(),
            &format!("scan {}: {listed} streams observed so far", scan.id),
        ))
    }
}
