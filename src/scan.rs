//! The loop of a scan: pages of streams, one look at each, the same decision as a run's, and what follows from it counted, told
//! or handed on. It changes no stream itself.
//!
//! It holds one page and the keys it met, and nothing that grows with the number of streams; before its time is up it ends with
//! the place to go on from. Work messages carry the changes, so that each is made by a run that looks again.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use tracing::error;

use crate::domain::event::IgnoreReason;
use crate::domain::evidence::{Compliance, Evidence, Proof, Remediation, Setting};
use crate::domain::failure::{Class, Failure};
use crate::domain::history::{Contention, Left, left_key};
use crate::domain::model::{
    AWS_MANAGED_ALIAS, Encryption, EventText, KeyArn, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem, KeyRef,
    Observed, Scope, StreamArn, StreamName, Tags,
};
use crate::domain::plan::{
    self, Circumstances, Keys, Permission, Progress, Reason, Sight, Situation, Step, Verdict, next_step,
};
use crate::domain::policy::{Decision, Outcome};
use crate::domain::scan::v1::Summary;
use crate::domain::scan::{Candidate, KeyEvent, LEFT_MAX, MISSED_AFTER, Scan, Subject};
use crate::domain::work::Work;
use crate::ports::{CallLog, PageStart, World};
use crate::reconcile::{CALL_TIME, Paces, Settings, until};

/// How often a call is tried, with growing pauses between.
const TRIES: u32 = 4;
/// The pause before a second try; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// CloudTrail keeps events for so long (CloudTrail user guide, event history), and a stream its records for up to a year.
const HISTORY_MAX: SignedDuration = SignedDuration::from_hours(90 * 24);
/// What reading it may take: the scan itself must come forward in each part. CloudTrail answers two requests a second.
const HISTORY_TIME: Duration = Duration::from_secs(45);
/// A sweep that comes late may not take streams for older than the sweep before.
const SWEEP_SLACK: SignedDuration = SignedDuration::from_hours(1);

/// How a part of a scan ended.
#[derive(Debug)]
pub enum ScanEnd {
    /// The scan is complete: its summary, and the streams to hand on.
    Done(Box<Summary>, Vec<Work>),
    /// The time was up: what is left is another part.
    Unfinished(Box<Scan>),
    /// It cannot go on now; what it has is kept.
    Failed(Failure, Box<Scan>),
}

/// Runs one part of `scan`.
pub async fn scan<W: World>(world: &W, scan: Scan, settings: &Settings<'_>) -> ScanEnd {
    let was_at = scan.after.clone();
    let mut part = Part {
        world,
        settings,
        own: &settings.config.own,
        keys: Keys::new(),
        tags_one_by_one: false,
        to_prove: Vec::new(),
        scan,
    };
    let time = until(world.now(), settings.deadline);
    let ended = match select(pin!(part.go()), pin!(world.sleep(time))).await {
        Either::Left((end, _)) => end,
        Either::Right(((), _)) => Ok(false),
    };
    let came_forward = part.scan.after != was_at;
    match ended {
        Ok(true) => part.done().await,
        Ok(false) if came_forward => ScanEnd::Unfinished(Box::new(part.next())),
        Ok(false) => {
            let failure =
                Failure::retryable("streamseal:Scan", "NoTimeLeft", "the time was up before one stream was seen");
            ScanEnd::Failed(failure, Box::new(part.again(false)))
        }
        Err(failure) => ScanEnd::Failed(failure, Box::new(part.again(came_forward))),
    }
}

/// Why a scan that was asked for need not be made: its key or alias can be no stream's. `None` where that is not known.
pub async fn of_no_concern<W: World>(world: &W, scan: &Scan, settings: &Settings<'_>) -> Option<IgnoreReason> {
    let own = &settings.config.own;
    match &scan.subject {
        Subject::Fleet => None,
        Subject::Alias(alias) => {
            let named = settings.policy.names_alias(alias, own);
            (!named).then(|| IgnoreReason::OtherAlias(EventText::new(alias.as_str())))
        }
        Subject::Key(key, _) => {
            let other = is_no_streams_key(world, key).await;
            other.then(|| IgnoreReason::OtherKey(EventText::new(key.as_str())))
        }
    }
}

/// Whether no stream can be encrypted with a key; where KMS does not say, it may be.
async fn is_no_streams_key<W: World>(world: &W, key: &KeyArn) -> bool {
    let Some(KeyLookup::Found(KeyInfo { manager, problem, .. })) = look_up(world, key.as_str()).await else {
        return false;
    };
    match (manager, problem) {
        (_, Some(KeyProblem::Usage(_) | KeyProblem::Spec(_) | KeyProblem::Region(_))) => true,
        // Of AWS's own keys a stream can have one only.
        (KeyManager::Aws, _) => {
            let kinesis = look_up(world, AWS_MANAGED_ALIAS).await;
            matches!(kinesis, Some(KeyLookup::Found(info)) if !info.identity.is(key))
        }
        (KeyManager::Customer, _) => false,
    }
}

async fn look_up<W: World>(world: &W, key: &str) -> Option<KeyLookup> {
    world.lookup(&KeyRef::parse(key)?, &CallLog::default()).await.ok()
}

struct Part<'a, W> {
    world: &'a W,
    settings: &'a Settings<'a>,
    own: &'a Scope,
    scan: Scan,
    /// What KMS said of the keys that were met.
    keys: Keys,
    /// The tagging API is not ours to call, or has no answer.
    tags_one_by_one: bool,
    /// What could not be sent on, for want of a queue.
    to_prove: Vec<Work>,
}

/// A look at one stream, and what was decided of it.
struct Seen<'d> {
    stream: StreamArn,
    decision: &'d Decision,
    observed: Observed,
    key: Option<KeyIdentity>,
    wanted: Option<KeyIdentity>,
}

impl<W: World> Part<'_, W> {
    /// `false` where the time was up first.
    async fn go(&mut self) -> Result<bool, Failure> {
        if self.scan.began.is_none() {
            self.scan.began = Some(self.world.now());
            if let Subject::Key(key, KeyEvent::Lost) = &self.scan.subject {
                let key = key.clone();
                self.read_history(&key).await;
            }
        }
        let mut from = self.scan.after.clone().map_or(PageStart::Beginning, PageStart::After);
        loop {
            let (names, next) = self.page(&from).await?;
            let tags = self.tags_of(&names).await;
            for name in names {
                if self.world.now() + CALL_TIME > self.settings.deadline {
                    return Ok(false);
                }
                self.stream(&name, tags.get(&name)).await?;
                self.scan.after = Some(name);
            }
            match next {
                Some(next) => from = next,
                None => return Ok(true),
            }
        }
    }

    /// The next page, and where the one after it begins. A token may have expired: the last name does as well.
    async fn page(&mut self, from: &PageStart) -> Result<(Vec<StreamName>, Option<PageStart>), Failure> {
        let log = CallLog::default();
        let mut from = from.clone();
        let mut tries = 0;
        let page = loop {
            match self.world.list(&from, &log).await {
                Ok(page) => break Ok(page),
                Err(failure) => {
                    if let (PageStart::Token(_), Some(after)) = (&from, &self.scan.after) {
                        from = PageStart::After(after.clone());
                    }
                    if let Err(failure) = self.pause(&mut tries, failure).await {
                        break Err(failure);
                    }
                }
            }
        };
        self.count_calls(&log);
        page.map(|page| (page.names, page.next))
    }

    /// The tags of a page's streams, where the policy looks at tags and the tagging API may be asked.
    async fn tags_of(&mut self, names: &[StreamName]) -> BTreeMap<StreamName, Tags> {
        if !self.settings.policy.needs_tags() || self.tags_one_by_one || names.is_empty() {
            return BTreeMap::new();
        }
        let streams: Vec<StreamArn> = names.iter().map(|name| self.own.stream(name.clone())).collect();
        let log = CallLog::default();
        let mut tries = 0;
        let tags = loop {
            match self.world.tags_of(&streams, &log).await {
                Ok(tags) => break tags,
                Err(failure) => {
                    if self.pause(&mut tries, failure).await.is_err() {
                        self.tags_one_by_one = true;
                        break BTreeMap::new();
                    }
                }
            }
        };
        self.count_calls(&log);
        tags
    }

    /// Waits before another try; the failure where there is none to be made.
    async fn pause(&self, tries: &mut u32, failure: Failure) -> Result<(), Failure> {
        *tries += 1;
        let pause = PAUSE * (1 << (*tries).min(6));
        let over = self.world.now() + pause > self.settings.deadline;
        if *tries >= TRIES || over || matches!(failure.class, Class::Permanent(_) | Class::Ignored) {
            return Err(failure);
        }
        self.world.sleep(pause).await;
        Ok(())
    }

    fn count_calls(&mut self, log: &CallLog) {
        for call in log.calls() {
            self.scan.tally.called(call.call);
        }
    }

    /// Looks at one stream.
    async fn stream(&mut self, name: &StreamName, tags: Option<&Tags>) -> Result<(), Failure> {
        let log = CallLog::default();
        let looked = match self.look(name, tags, &log).await {
            // What is refused for one stream or one key stops no scan.
            Err(failure) if matches!(failure.class, Class::Permanent(_)) => {
                self.tell_unseen(name, &failure, &log);
                Ok(())
            }
            looked => looked,
        };
        self.count_calls(&log);
        looked?;
        self.scan.tally.listed += 1;
        Ok(())
    }

    async fn look(&mut self, name: &StreamName, tags: Option<&Tags>, log: &CallLog) -> Result<(), Failure> {
        let stream = self.own.stream(name.clone());
        let Settings { policy, paces, deadline, .. } = *self.settings;
        let own_tags = if policy.needs_tags() && self.tags_one_by_one {
            let mut tries = 0;
            loop {
                Paces::wait(&paces.tags, self.world, deadline, "kinesis:ListTagsForStream").await?;
                match self.world.tags(&stream, log).await {
                    Ok(tags) => break Some(tags),
                    Err(failure) if failure.class == Class::Ignored => return Ok(()),
                    Err(failure) => self.pause(&mut tries, failure).await?,
                }
            }
        } else {
            None
        };
        // Streams without tags are missing in the tagging API's answer.
        let none = Tags::new();
        let decision = policy.decide(&stream, own_tags.as_ref().or(tags).unwrap_or(&none), self.world.now());
        if !self.scan.subject.may_concern(&decision.outcome, self.own) {
            return Ok(());
        }
        let observed = match self.describe(&stream, log).await? {
            Described::Seen(observed) => observed,
            Described::Gone => return Ok(()),
            Described::Refused(failure) => {
                self.tell_unseen(name, &failure, log);
                return Ok(());
            }
        };
        let (sight, key, wanted) = self.assess(&decision, &observed, log).await?;
        if sight == Sight::Gone {
            return Ok(());
        }
        let seen = Seen { stream, decision: &decision, observed, key, wanted };
        if self.scan.subject.concerns(seen.key.as_ref(), seen.wanted.as_ref()) {
            self.conclude(&seen, &sight, log).await?;
        } else if let Some(warning) = self.under_lost_key(&seen) {
            // It is of no other concern: told, and not counted.
            let verdict = self.verdict_of(&seen, &sight).unwrap_or_else(|step| unfinished(&step));
            self.record(&seen, verdict, vec![warning], log);
        }
        Ok(())
    }

    /// DescribeStreamSummary at the rate of scans. A stream that cannot be looked at stops no scan.
    async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Described, Failure> {
        let Settings { paces, deadline, .. } = *self.settings;
        let mut tries = 0;
        loop {
            Paces::wait(&paces.scans, self.world, deadline, "kinesis:DescribeStreamSummary").await?;
            match self.world.describe(stream, log).await {
                Ok(observed) => return Ok(Described::Seen(observed)),
                Err(failure) if failure.class == Class::Ignored => return Ok(Described::Gone),
                Err(failure) => {
                    if let Err(failure) = self.pause(&mut tries, failure).await {
                        return Ok(Described::Refused(failure));
                    }
                }
            }
        }
    }

    /// Compares, with one DescribeKey for each key that was not met before.
    async fn assess(
        &mut self,
        decision: &Decision,
        observed: &Observed,
        log: &CallLog,
    ) -> Result<(Sight, Option<KeyIdentity>, Option<KeyIdentity>), Failure> {
        let sight = plan::sight_of(observed, None);
        let (encryption, outcome) = (&observed.encryption, &decision.outcome);
        // Which key it is on, or should be, concerns a scan for a key whatever else is so.
        if sight.is_none() || matches!(self.scan.subject, Subject::Key(..)) {
            while let Some(key) = plan::key_needed(outcome, encryption, &self.keys, self.own) {
                self.lookup(key, log).await?;
            }
        }
        if let (Subject::Key(..), Encryption::Kms(key)) = (&self.scan.subject, encryption)
            && self.current(encryption).is_none()
            && !self.keys.contains_key(key)
        {
            self.lookup(key.clone(), log).await?;
        }
        let wanted = match outcome {
            Outcome::Encrypt(target) => plan::identity_of(&target.key, &self.keys, self.own),
            Outcome::Exempt(_) | Outcome::Unmatched | Outcome::Unresolvable(_) => None,
        };
        if let Some(sight) = sight {
            return Ok((sight, self.current(encryption), wanted));
        }
        let situation = plan::assess(outcome, encryption, &self.keys, self.own);
        Ok((Sight::Active(situation), self.current(encryption), wanted))
    }

    fn current(&self, encryption: &Encryption) -> Option<KeyIdentity> {
        match encryption {
            Encryption::Kms(key) => plan::identity_of(key, &self.keys, self.own),
            Encryption::None | Encryption::Unreadable(_) => None,
        }
    }

    async fn lookup(&mut self, key: KeyRef, log: &CallLog) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            match self.world.lookup(&key, log).await {
                Ok(found) => {
                    self.keys.insert(key, found);
                    return Ok(());
                }
                Err(failure) => self.pause(&mut tries, failure).await?,
            }
        }
    }

    /// The end of a run that looked now and did nothing, or the step that it would take.
    fn verdict_of(&self, seen: &Seen<'_>, sight: &Sight) -> Result<Verdict, Step> {
        let now = self.world.now();
        match next_step(sight, &Progress::default(), || self.permit(seen, sight, now), now) {
            Step::Finish(verdict) => Ok(verdict),
            step @ (Step::Start(_) | Step::Await(_) | Step::LookLater(_) | Step::Prove | Step::StartAfresh) => {
                Err(step)
            }
        }
    }

    fn permit(&self, seen: &Seen<'_>, sight: &Sight, now: Timestamp) -> Permission {
        let (Sight::Active(Situation::Wrong { current, target_manager, .. }), Outcome::Encrypt(target)) =
            (sight, &seen.decision.outcome)
        else {
            return Permission::Settling(now);
        };
        let circumstances = Circumstances {
            mode: self.settings.mode,
            policy: self.settings.policy,
            cause: &self.scan.cause,
            created: seen.observed.created,
            active_since: seen.observed.at,
            // The run that is to change it asks.
            contention: &Contention::Clear,
            now,
        };
        plan::permit(target, current.as_ref(), *target_manager, &circumstances)
    }

    /// Counts a stream that concerns the scan, and tells or hands on what follows.
    async fn conclude(&mut self, seen: &Seen<'_>, sight: &Sight, log: &CallLog) -> Result<(), Failure> {
        let name = &seen.stream.name;
        let verdict = match self.verdict_of(seen, sight) {
            Ok(verdict) => verdict,
            Err(step) => {
                if self.is_missed(seen, &step) {
                    self.scan.tally.missed.push(name.as_str(), &seen.observed.created.to_string());
                }
                if self.scan.subject.may_change() {
                    let (place, created) = (self.scan.place(name), Some(seen.observed.created));
                    let candidate = Candidate { place, stream: name.to_string(), created };
                    self.scan.tally.compete(candidate, self.settings.config.max_changes);
                }
                unfinished(&step)
            }
        };
        let is_right = verdict.compliance == Compliance::Compliant;
        let to_prove = is_right && matches!(self.scan.subject, Subject::Key(_, KeyEvent::Rotated));
        if to_prove {
            self.hand_on_to_prove(seen).await?;
        }
        let rule = seen.decision.rule.as_ref().map(|rule| rule.name.as_str());
        self.scan.tally.count(verdict.compliance.as_str(), rule, key_words(seen));
        if !matches!(verdict.compliance, Compliance::Compliant | Compliance::NotApplicable) {
            self.scan.tally.wrong.push(name.as_str(), verdict.reason.as_str());
        }
        // One that is right is told too: the document before may say that it was not. A run will tell of one that is to be proven.
        if !to_prove {
            let warnings = self.under_lost_key(seen).into_iter().collect();
            self.record(seen, verdict, warnings, log);
        }
        Ok(())
    }

    /// New material: the run looks again and proves, and has nothing to change.
    async fn hand_on_to_prove(&mut self, seen: &Seen<'_>) -> Result<(), Failure> {
        let mut work = Work::new(seen.stream.clone(), self.scan.cause.clone(), self.world.now());
        work.created = Some(seen.observed.created);
        work.proof_owed = true;
        if self.world.has_queue() {
            self.world.send(&work, Duration::ZERO).await?;
        } else {
            self.to_prove.push(work);
        }
        self.scan.tally.to_prove += 1;
        Ok(())
    }

    /// Whether a stream was made since the last sweep and seems to have come without an event: one that was told of is encrypted by
    /// now. One that we may not change looks the same in both cases and is not taken for missed, nor is one that a new policy
    /// or mode has just made ours to change.
    fn is_missed(&self, seen: &Seen<'_>, step: &Step) -> bool {
        let now = self.world.now();
        let (config, created) = (self.settings.config, seen.observed.created);
        let since = SignedDuration::from_hours(config.sweep_hours.into()) + SWEEP_SLACK;
        self.scan.subject == Subject::Fleet
            && !self.scan.cause.is_a_new_policy()
            && matches!(step, Step::Start(_))
            && seen.observed.encryption == Encryption::None
            && now.duration_since(created) > MISSED_AFTER
            && self.scan.began.unwrap_or(now).duration_since(created) < since
    }

    /// Which streams left the key that was lost, while their records may still be there.
    async fn read_history(&mut self, key: &KeyArn) {
        let log = CallLog::default();
        let read = pin!(self.world.changes(self.world.now() - HISTORY_MAX, &log));
        let unknown = match select(read, pin!(self.world.sleep(HISTORY_TIME))).await {
            Either::Left((Ok(trail), _)) => {
                let mut left = left_key(&trail.changes, key.as_str()).into_iter();
                let some = left.by_ref().take(LEFT_MAX).map(|(stream, left)| (stream.to_string(), left));
                self.scan.tally.left = some.collect();
                let more = left.next().is_some();
                (more || !trail.whole).then(|| "CloudTrail's history tells of more than is kept".to_owned())
            }
            Either::Left((Err(failure), _)) => Some(failure.to_string()),
            Either::Right(((), _)) => Some("CloudTrail's history is too long to be read".to_owned()),
        };
        self.scan.tally.history_unknown = unknown;
        self.count_calls(&log);
    }

    /// Whether records under the key that was lost are still in a stream that has another key now: what to say of it.
    fn under_lost_key(&mut self, seen: &Seen<'_>) -> Option<String> {
        let Subject::Key(key, KeyEvent::Lost) = &self.scan.subject else { return None };
        let Left { at, surely } = *self.scan.tally.left.get(seen.stream.name.as_str())?;
        let created = seen.observed.created;
        let until = at + SignedDuration::from_hours(seen.observed.retention_hours.into());
        let is_on_it = seen.key.as_ref().is_some_and(|current| current.is(key));
        // Of an earlier stream of the name, or its first encryption: there was no key before.
        let is_first = at < created || (!surely && at.duration_since(created) < plan::NEW);
        if is_on_it || is_first || until <= self.world.now() {
            return None;
        }
        let are = if surely { "are" } else { "may be" };
        let words = format!(
            "records that were put before {at} {are} under {key}, which cannot be used any more or will not be; they cannot be read \
             until it can, and expire by {until}"
        );
        self.scan.tally.under_lost_key.push(seen.stream.name.as_str(), &until.to_string());
        Some(words)
    }

    /// A stream that could not be looked at: what is wrong is not its own, and a run may have more luck.
    fn tell_unseen(&mut self, name: &StreamName, failure: &Failure, log: &CallLog) {
        let stream = self.own.stream(name.clone());
        let permanent = matches!(failure.class, Class::Permanent(_));
        let reason = if permanent { Reason::AccessDenied } else { Reason::Unfinished };
        if !permanent && self.scan.subject.may_change() {
            let candidate = Candidate { place: self.scan.place(name), stream: name.to_string(), created: None };
            self.scan.tally.compete(candidate, self.settings.config.max_changes);
        }
        let verdict = Verdict::new(Compliance::InsufficientData, reason, failure.to_string());
        self.scan.tally.count(verdict.compliance.as_str(), Some("(not told)"), Some("(not seen)"));
        self.scan.tally.wrong.push(name.as_str(), reason.as_str());
        let nothing = Decision { rule: None, outcome: Outcome::Unmatched, reasons: Vec::new() };
        let verdict = Verdict { alarm: permanent, ..verdict };
        self.tell(&self.evidence(&stream, &nothing, None, verdict, Vec::new(), log));
    }

    /// Writes evidence, and a line of the error log where somebody has to look.
    fn tell(&self, evidence: &Evidence) {
        if evidence.verdict.alarm {
            error!(stream = %evidence.stream, reason = evidence.verdict.reason.as_str(), "{}", evidence.verdict.detail);
        }
        self.world.record(evidence);
    }

    fn record(&self, seen: &Seen<'_>, verdict: Verdict, warnings: Vec<String>, log: &CallLog) {
        let alarm = verdict.alarm || !warnings.is_empty();
        let verdict = Verdict { alarm, ..verdict };
        self.tell(&self.evidence(&seen.stream, seen.decision, Some(seen), verdict, warnings, log));
    }

    fn evidence(
        &self,
        stream: &StreamArn,
        decision: &Decision,
        seen: Option<&Seen<'_>>,
        verdict: Verdict,
        warnings: Vec<String>,
        log: &CallLog,
    ) -> Evidence {
        let Settings { config, policy, mode, run_id, .. } = *self.settings;
        let now = self.world.now();
        let setting = seen.map(|seen| Setting {
            observed: seen.observed.clone(),
            key: seen.key.clone(),
            material: seen.key.as_ref().and_then(|key| plan::material_of(key, &self.keys)),
        });
        let calls = log.calls();
        Evidence {
            run_id: run_id.to_owned(),
            attempt: self.scan.parts,
            mode,
            started_at: calls.first().map_or(now, |call| call.at),
            finished_at: now,
            stream: stream.clone(),
            cause: self.scan.cause.clone(),
            first_seen: self.scan.asked,
            policy_source: config.policy.to_string(),
            policy_digest: policy.digest.clone(),
            rule: decision.rule.as_ref().map(|rule| (rule.index, rule.name.clone())),
            reasons: decision.reasons.clone(),
            before: setting.clone(),
            after: setting,
            desired: match &decision.outcome {
                Outcome::Encrypt(target) => Some((target.key.clone(), seen.and_then(|seen| seen.wanted.clone()))),
                Outcome::Exempt(_) | Outcome::Unmatched | Outcome::Unresolvable(_) => None,
            },
            calls,
            proof: Proof::default(),
            remediation: if verdict.withheld.is_some() { Remediation::Withheld } else { Remediation::None },
            verdict,
            warnings,
            rekeyed: false,
            next_look: None,
        }
    }

    /// The part after this one.
    fn next(self) -> Scan {
        let parts = self.scan.parts.saturating_add(1);
        Scan { parts, failures: 0, ..self.scan }
    }

    /// The part that tries again what this one could not.
    fn again(self, had_come_forward: bool) -> Scan {
        let failures = if had_come_forward { 0 } else { self.scan.failures };
        Scan { failures: failures.saturating_add(1), ..self.next() }
    }

    async fn done(mut self) -> ScanEnd {
        let Settings { config, policy, mode, .. } = *self.settings;
        let now = self.world.now();
        let mut key_material = None;
        if let Subject::Key(key, KeyEvent::Rotated) = &self.scan.subject {
            let identity = KeyIdentity::Arn(key.clone());
            if plan::material_of(&identity, &self.keys).is_none()
                && let Some(key) = KeyRef::parse(key.as_str())
            {
                let log = CallLog::default();
                // What KMS does not say now is left out.
                let _ = self.lookup(key, &log).await;
                self.count_calls(&log);
            }
            key_material = plan::material_of(&identity, &self.keys).map(|id| id.to_string());
        }
        let candidates = self.scan.tally.candidates.iter();
        let mut works: Vec<Work> = candidates
            .filter_map(|candidate| {
                let stream = self.own.stream(StreamName::parse(&candidate.stream)?);
                let mut work = Work::new(stream, self.scan.cause.clone(), now);
                work.created = candidate.created;
                Some(work)
            })
            .collect();
        works.append(&mut self.to_prove);
        let summary = Summary {
            finished_at: now,
            mode,
            policy_source: config.policy.to_string(),
            policy_digest: policy.digest.clone(),
            exemptions_ending: policy.exemptions_ending(now),
            key_material,
            scan: self.scan,
        };
        ScanEnd::Done(Box::new(summary), works)
    }
}

/// What one look came to.
enum Described {
    Seen(Observed),
    Gone,
    Refused(Failure),
}

/// What is said of a stream that a run could do more about.
fn unfinished(step: &Step) -> Verdict {
    match step {
        Step::Start(key) => {
            Verdict::new(Compliance::NonCompliant, Reason::Found, format!("found by a scan; its rule wants {key}"))
        }
        Step::Await(condition) => {
            let detail = format!("not to be told yet: waiting for {}", condition.as_str());
            Verdict::new(Compliance::InsufficientData, Reason::Unfinished, detail)
        }
        Step::LookLater(why) => Verdict::new(Compliance::InsufficientData, Reason::Unfinished, why.as_str()),
        Step::Finish(verdict) => verdict.clone(),
        Step::Prove | Step::StartAfresh => {
            Verdict::new(Compliance::InsufficientData, Reason::Unfinished, "not to be told by a scan")
        }
    }
}

/// The key that a stream is on, for counting: its ARN, or as its setting names it.
fn key_words<'s>(seen: &'s Seen<'_>) -> Option<&'s str> {
    match (&seen.key, &seen.observed.encryption) {
        (Some(key), _) => Some(key.as_str()),
        (None, Encryption::Kms(key)) => Some(key.as_str()),
        (None, Encryption::Unreadable(text)) => Some(text.as_str()),
        (None, Encryption::None) => None,
    }
}
