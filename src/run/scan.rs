//! The loop of a scan: pages of streams, one observation of each, the same decision as a run's, and what follows from it counted, reported
//! or handed over. It changes no stream itself.
//!
//! It holds one page and the keys it met, and nothing that grows with the number of streams; before its time is up it ends with
//! the place to go on from. Work messages carry the changes, so that each is made by a run that observes again.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};

use super::inspect::{Inspected, Inspection, inspect, unobserved};
use super::observe::{Compared, Observer, Unobserved};
use super::outbox::Outbox;
use super::session::{CALL_TIME, Session};
use super::trail::{Limits, read};
use crate::domain::arn::{KeyArn, KeyRef, Scope, StreamName};
use crate::domain::bounds::until;
use crate::domain::failure::Unfinished;
use crate::domain::history::{Query, left_key};
use crate::domain::model::{KeyIdentity, Tags};
use crate::domain::plan::guard::before::is_guarded;
use crate::domain::plan::guard::next::Next as List;
use crate::domain::plan::step::Step;
use crate::domain::policy::{Decision, Outcome};
use crate::domain::scan::Scan;
use crate::domain::scan::subject::{KeyEvent, Subject};
use crate::domain::scan::tally::{Candidate, LEFT_MAX};
use crate::domain::scan::v1::Summary;
use crate::domain::time::Time;
use crate::domain::verdict::{Compliance, Verdict};
use crate::domain::work::Work;
use crate::ports::{CallLog, Clock, EvidenceSink, FleetApi, KeyApi, Page, PageStart, StreamApi, TrailApi, WorkQueue};

/// CloudTrail keeps events for so long (CloudTrail user guide, event history), and a stream its records for up to a year.
const HISTORY_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);
/// What reading it may cost: the scan itself must come forward in each part. CloudTrail answers two requests a second.
const HISTORY_LIMITS: Limits = Limits { pages: 80, time: Duration::from_secs(45) };
/// How a part of a scan ended.
#[derive(Debug)]
pub enum ScanEnd {
    /// The scan is complete: its summary, and the streams to hand over.
    Done(Box<Summary>, Vec<Work>),
    /// The time was up: what is left is another part.
    Unfinished(Box<Scan>),
    /// It cannot go on now; what it has is kept.
    Failed(Unfinished, Box<Scan>),
}

/// Runs one part of `scan`.
pub async fn scan<W>(world: &W, scan: Scan, session: &Session<'_>, results: &Outbox) -> ScanEnd
where
    W: StreamApi + FleetApi + KeyApi + TrailApi + WorkQueue + EvidenceSink + Clock,
{
    let was_at = scan.after.clone();
    let inspection = Inspection {
        session,
        cause: scan.cause.clone(),
        requested_at: scan.requested_at,
        attempt: scan.parts,
        by: "a scan",
    };
    let mut part = Part {
        world,
        session,
        results,
        own: &session.config.own,
        observer: Observer::of_scan(world, session, scan.subject.group()),
        inspection,
        to_prove: Vec::new(),
        at: None,
        scan,
    };
    let time = until(world.now(), session.deadline);
    let ended = match select(pin!(part.run()), pin!(world.sleep(time))).await {
        Either::Left((end, _)) => end,
        Either::Right(((), _)) => Ok(false),
    };
    if matches!(ended, Ok(false)) && part.scan.after == was_at {
        part.skip();
    }
    let came_forward = part.scan.after != was_at;
    match ended {
        Ok(true) => part.done().await,
        Ok(false) if came_forward => ScanEnd::Unfinished(Box::new(part.next())),
        Ok(false) => {
            let why = Unfinished::open("streamseal:Scan", "NoTimeLeft", "the time was up before one stream was seen");
            ScanEnd::Failed(why, Box::new(part.again(false)))
        }
        Err(failure) => ScanEnd::Failed(failure, Box::new(part.again(came_forward))),
    }
}

/// The end of a scan that is given up because of `why`: what it found so far, and the streams of these to hand over.
pub fn given_up(scan: Scan, session: &Session<'_>, why: &Unfinished, now: Timestamp) -> (Summary, Vec<Work>) {
    end(scan, session, now, None, Some(why.to_string()))
}

struct Part<'a, W> {
    world: &'a W,
    session: &'a Session<'a>,
    results: &'a Outbox,
    own: &'a Scope,
    scan: Scan,
    observer: Observer<'a, W>,
    inspection: Inspection<'a>,
    /// What could not be handed over, for want of a queue.
    to_prove: Vec<Work>,
    /// The stream that is being observed, and the last failure where the time was up before its tries were made.
    at: Option<(StreamName, Option<Unfinished>)>,
}

impl<W: StreamApi + FleetApi + KeyApi + TrailApi + WorkQueue + EvidenceSink + Clock> Part<'_, W> {
    /// `false` where the time was up first.
    async fn run(&mut self) -> Result<bool, Unfinished> {
        if self.scan.started_at.is_none() {
            self.scan.started_at = Some(self.world.now());
            if let Subject::Key { key, event: KeyEvent::Lost } = &self.scan.subject {
                let key = key.clone();
                self.read_history(&key).await;
            }
        }
        let mut from = self.scan.after.clone().map_or(PageStart::Beginning, PageStart::After);
        loop {
            let log = CallLog::default();
            let page = self.observer.page(&from, self.scan.after.as_ref(), &log).await;
            self.count_calls(&log);
            let Page { names, next } = page?;
            let log = CallLog::default();
            let tags = self.observer.tags_of(&names, &log).await;
            self.count_calls(&log);
            for name in names {
                if self.world.now() + CALL_TIME > self.session.deadline {
                    return Ok(false);
                }
                self.at = Some((name.clone(), None));
                if !self.stream(&name, tags.get(&name)).await? {
                    return Ok(false);
                }
                self.at = None;
                self.scan.after = Some(name);
            }
            match next {
                Some(next) => from = next,
                None => return Ok(true),
            }
        }
    }

    /// Observes one stream, and reports it also where it cannot be observed; `false` where the time was up first. Only a queue that
    /// takes no message is a failure of the scan.
    async fn stream(&mut self, name: &StreamName, tags: Option<&Tags>) -> Result<bool, Unfinished> {
        let log = CallLog::default();
        let ended = self.observe(name, tags, &log).await;
        self.count_calls(&log);
        if let Ok(true) = ended {
            self.scan.tally.listed_one();
        }
        ended
    }

    async fn observe(&mut self, name: &StreamName, tags: Option<&Tags>, log: &CallLog) -> Result<bool, Unfinished> {
        let stream = self.own.stream(name.clone());
        let decision = match self.observer.decide(&stream, tags, log).await {
            Ok(decision) => decision,
            Err(unobserved) if unobserved.is_gone() => return Ok(true),
            Err(unobserved) => return Ok(self.not_observed(name, &no_decision(), unobserved, log)),
        };
        if !self.scan.subject.may_concern(&decision.outcome, self.own) {
            return Ok(true);
        }
        // Which key it is on, or should be, concerns a scan for a key whatever else is so.
        let all_keys = matches!(self.scan.subject, Subject::Key { .. });
        let inspected = match inspect(&self.observer, stream, &decision, all_keys, log).await {
            Ok(Some(inspected)) => inspected,
            Ok(None) => return Ok(true),
            Err(unobserved) => return Ok(self.not_observed(name, &decision, unobserved, log)),
        };
        let Compared { key, desired, observed, .. } = &inspected.compared;
        let (outcome, subject) = (&decision.outcome, &self.scan.subject);
        if subject.concerns(outcome, &observed.encryption, key.as_ref(), desired.as_ref(), self.own) {
            self.conclude(&inspected, log).await?;
        } else if let Some(warning) = self.old_records(&inspected) {
            // It is of no other concern: reported, and not counted.
            let verdict = self.inspection.verdict(&inspected.compared, self.world.now());
            let verdict = verdict.unwrap_or_else(|step| self.inspection.unfinished(&step));
            self.record(&inspected, verdict, vec![warning], log);
        }
        Ok(true)
    }
}

impl<W: WorkQueue + EvidenceSink + Clock> Part<'_, W> {
    /// Counts a stream that concerns the scan, and reports or hands over what follows.
    async fn conclude(&mut self, inspected: &Inspected<'_>, log: &CallLog) -> Result<(), Unfinished> {
        let Inspected { stream, decision, compared } = inspected;
        let name = &stream.name;
        let verdict = match self.inspection.verdict(compared, self.world.now()) {
            Ok(verdict) => verdict,
            Err(step) => {
                if self.scan.is_missed(&compared.observed, &step, self.session.config.sweep_hours, self.world.now()) {
                    self.scan.tally.missed.push(name.as_str(), &Time(compared.observed.created).to_string());
                }
                if self.scan.subject.may_change() {
                    self.is_to_change(inspected, &step);
                }
                self.inspection.unfinished(&step)
            }
        };
        let is_right = verdict.compliance == Compliance::Compliant;
        let to_prove = is_right && matches!(self.scan.subject, Subject::Key { event: KeyEvent::Rotated, .. });
        if to_prove {
            self.hand_over_to_prove(inspected).await?;
        }
        let rule = decision.rule.as_ref().map(|rule| rule.name.as_str());
        self.scan.tally.count(verdict.compliance.as_str(), rule, compared.key_words());
        if !matches!(verdict.compliance, Compliance::Compliant | Compliance::NotApplicable) {
            self.scan.tally.not_compliant.push(name.as_str(), verdict.reason.as_str());
        }
        // One that is right is reported too: the document before may say that it was not. A run will report one that is to be proven.
        if !to_prove {
            let warnings = self.old_records(inspected).into_iter().collect();
            self.record(inspected, verdict, warnings, log);
        }
        Ok(())
    }

    /// New material: the run observes again and proves, and has nothing to change.
    async fn hand_over_to_prove(&mut self, inspected: &Inspected<'_>) -> Result<(), Unfinished> {
        let mut work = Work::new(inspected.stream.clone(), self.scan.cause.clone(), self.world.now());
        work.created = Some(inspected.compared.observed.created);
        work.proof_owed = true;
        if self.session.has_queue {
            self.world.send(&work, Duration::ZERO).await?;
        } else {
            self.to_prove.push(work);
        }
        self.scan.tally.proves_one();
        Ok(())
    }
}

impl<W: TrailApi + Clock> Part<'_, W> {
    /// Which streams left the key that was lost, while their records may still be there.
    async fn read_history(&mut self, key: &KeyArn) {
        let log = CallLog::default();
        let Session { paces, deadline, .. } = *self.session;
        let since = self.world.now() - HISTORY_MAX;
        let unknown = match read(self.world, &Query::ALL, since, HISTORY_LIMITS, (paces, deadline), &log).await {
            Ok(trail) => {
                let mut left = left_key(&trail.changes, key.as_str()).into_iter();
                let some = left.by_ref().take(LEFT_MAX).map(|(stream, left)| (stream.to_string(), left));
                self.scan.tally.left = some.collect();
                let more = left.next().is_some();
                (more || !trail.whole).then(|| "CloudTrail's history reports more than is kept".to_owned())
            }
            Err(failure) => Some(failure.to_string()),
        };
        self.scan.tally.history_unknown = unknown;
        self.count_calls(&log);
    }
}

impl<W: EvidenceSink + Clock> Part<'_, W> {
    /// A stream that could not be observed: reported, where all tries were made; `false` where the time was up before.
    fn not_observed(&mut self, name: &StreamName, decision: &Decision, unobserved: Unobserved, log: &CallLog) -> bool {
        match unobserved {
            Unobserved::Failed(failure) => {
                self.report_unobserved(name, decision, &failure.into(), log);
                true
            }
            Unobserved::NoTime(why) => {
                self.at = Some((name.clone(), Some(why)));
                false
            }
        }
    }

    /// One stream takes all the time of a part, and did so before: it is reported, and the scan goes on behind it.
    fn skip(&mut self) {
        if self.scan.failures == 0 {
            return;
        }
        let Some((name, why)) = self.at.take() else { return };
        let no_time = || Unfinished::open("streamseal:Scan", "NoTimeLeft", "observing it took all the time of a part");
        self.report_unobserved(&name, &no_decision(), &why.unwrap_or_else(no_time), &CallLog::default());
        self.scan.tally.listed_one();
        self.scan.after = Some(name);
    }

    /// A stream that could not be observed: what is wrong is not its own, and a run may have more luck.
    fn report_unobserved(&mut self, name: &StreamName, decision: &Decision, why: &Unfinished, log: &CallLog) {
        let stream = self.own.stream(name.clone());
        let permanent = why.fault().is_some();
        let verdict = unobserved(why);
        if !permanent && self.scan.subject.may_change() {
            let candidate = Candidate { place: self.scan.place(name), stream: name.to_string(), created: None };
            self.scan.tally.compete(candidate, self.session.config.max_changes);
        }
        let rule = decision.rule.as_ref().map_or("(unknown)", |rule| rule.name.as_str());
        self.scan.tally.count(verdict.compliance.as_str(), Some(rule), Some("(not seen)"));
        self.scan.tally.not_compliant.push(name.as_str(), verdict.reason.as_str());
        let when = (log, self.world.now());
        let evidence = self.inspection.evidence(&stream, decision, None, verdict, Vec::new(), when);
        self.results.evidence(self.world, &evidence);
    }

    fn record(&self, inspected: &Inspected<'_>, verdict: Verdict, warnings: Vec<String>, log: &CallLog) {
        let alarm = verdict.alarm || !warnings.is_empty();
        let (verdict, Inspected { stream, decision, compared }) = (Verdict { alarm, ..verdict }, inspected);
        let when = (log, self.world.now());
        let evidence = self.inspection.evidence(stream, decision, Some(compared), verdict, warnings, when);
        self.results.evidence(self.world, &evidence);
    }
}

impl<W: Clock> Part<'_, W> {
    /// A run could do more about it: by itself, or in a list where its change has a guard.
    fn is_to_change(&mut self, Inspected { stream, decision, compared }: &Inspected<'_>, step: &Step) {
        let (place, now) = (self.scan.place(&stream.name), self.world.now());
        if let (Outcome::Encrypt(target), Step::ReadHistory(wrong)) = (&decision.outcome, step)
            && self.session.guards
            && self.session.has_queue
            && is_guarded(&target.guard, wrong, now)
        {
            self.scan.tally.line_up(wrong.target.as_str(), place, &stream.name);
            return;
        }
        let candidate = Candidate { place, stream: stream.name.to_string(), created: Some(compared.observed.created) };
        self.scan.tally.compete(candidate, self.session.config.max_changes);
    }

    /// Counts a stream that has records under the key that was lost: the warning about it.
    fn old_records(&mut self, Inspected { stream, compared, .. }: &Inspected<'_>) -> Option<String> {
        let found = self.scan.old_records(&stream.name, &compared.observed, compared.key.as_ref(), self.world.now())?;
        self.scan.tally.under_lost_key.push(stream.name.as_str(), &Time(found.until).to_string());
        Some(found.words())
    }
}

impl<W: StreamApi + KeyApi + Clock> Part<'_, W> {
    async fn done(mut self) -> ScanEnd {
        let mut key_material = None;
        if let Subject::Key { key, event: KeyEvent::Rotated } = &self.scan.subject {
            let identity = KeyIdentity::Arn(key.clone());
            let log = CallLog::default();
            let material = self.observer.material(&identity, KeyRef::parse(key.as_str()), &log).await;
            key_material = material.map(|id| id.to_string());
            self.count_calls(&log);
        }
        let (summary, mut works) = end(self.scan, self.session, self.world.now(), key_material, None);
        works.append(&mut self.to_prove);
        ScanEnd::Done(Box::new(summary), works)
    }
}

impl<W> Part<'_, W> {
    fn count_calls(&mut self, log: &CallLog) {
        for call in log.calls() {
            self.scan.tally.called(call.call);
        }
    }

    /// The part after this one.
    fn next(self) -> Scan {
        let parts = self.scan.next_part();
        Scan { parts, failures: 0, ..self.scan }
    }

    /// The part that tries again what this one could not.
    fn again(self, had_come_forward: bool) -> Scan {
        let failures = if had_come_forward { 0 } else { self.scan.failures };
        Scan { failures: failures.saturating_add(1), ..self.next() }
    }
}

/// What is said of a stream whose tags could not be read, so that no rule can be determined.
fn no_decision() -> Decision {
    Decision { rule: None, outcome: Outcome::Unmatched, tags: Tags::new(), reasons: Vec::new() }
}

/// The summary of a scan, and the streams to hand over, chosen from all that it found.
fn end(
    mut scan: Scan,
    session: &Session<'_>,
    now: Timestamp,
    key_material: Option<String>,
    gave_up: Option<String>,
) -> (Summary, Vec<Work>) {
    let Session { config, policy, mode, .. } = *session;
    // Also where fewer are allowed than when the scan began, or than its message says.
    scan.tally.cut(config.max_changes);
    let candidates = scan.tally.candidates.iter();
    let mut works: Vec<Work> = candidates
        .filter_map(|candidate| {
            let stream = config.own.stream(StreamName::parse(&candidate.stream)?);
            // One that has a guard after all is the first of a list of its own.
            let next = List { begins: true, ..List::default() };
            let work = Work::of_list(stream, next, scan.cause.clone(), now);
            Some(Work { created: candidate.created, ..work })
        })
        .collect();
    for list in scan.tally.guarded.values() {
        let names = list.iter().filter_map(|(_, name)| StreamName::parse(name)).collect();
        let (first, left_out) = List::of(names);
        for (_, name) in list.iter().rev().take(left_out) {
            scan.tally.withheld.push(name, "guard");
        }
        let to_first = first.map(|(name, next)| Work::of_list(config.own.stream(name), next, scan.cause.clone(), now));
        works.extend(to_first);
    }
    let summary = Summary {
        own: config.own.clone(),
        runner: config.runner.clone(),
        finished_at: now,
        mode,
        policy_source: config.policy.to_string(),
        policy_digest: policy.digest.clone(),
        exemptions_ending: policy.exemptions_ending(now),
        key_material,
        gave_up,
        scan,
    };
    (summary, works)
}
