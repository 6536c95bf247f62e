//! The one observer: it describes a stream, reads its tags, decides, asks KMS about keys, and compares.
//!
//! Runs, scans, audits and previews observe through this, so that all say the same of a stream. It changes nothing. An observer
//! remembers the keys that it met and nothing that grows with the number of streams.

use std::collections::BTreeMap;
use std::sync;

use futures_util::lock::Mutex;

use super::paces::Paces;
use super::session::Session;
use crate::domain::arn::{KeyRef, Scope, StreamArn, StreamName};
use crate::domain::backoff::SCAN_CALL;
use crate::domain::failure::{Class, Failure, Unfinished};
use crate::domain::model::{Encryption, KeyIdentity, KeyLookup, Observed, Tags};
use crate::domain::pace::Pace;
use crate::domain::plan::observation::{Observation, observation_of};
use crate::domain::plan::situation::{Keys, assess, identity_of, key_needed, keys_of, material_of};
use crate::domain::policy::{Decision, Outcome};
use crate::domain::scan::subject::Group;
use crate::domain::text::EventText;
use crate::ports::{CallLog, Clock, FleetApi, KeyApi, Page, PageStart, StreamApi};

/// How often a scan tries a call.
const SCAN_TRIES: u32 = 4;

/// Observes streams, one after the other or several at once.
pub(crate) struct Observer<'a, W> {
    world: &'a W,
    session: &'a Session<'a>,
    /// The rate that is kept for describes; none for a single one.
    pace: Option<&'a sync::Mutex<Pace>>,
    /// How often a call is tried.
    tries: u32,
    /// What KMS said of the keys that were met. One observation at a time compares, so that each key is asked for once.
    keys: Mutex<Met>,
    /// The tagging API is not ours to call, or has no answer.
    tags_one_by_one: bool,
}

/// The keys that were met.
#[derive(Debug, Default)]
struct Met {
    /// What KMS said of them.
    keys: Keys,
    /// Those that could not be read after all tries: one that many streams are on costs its tries once.
    unread: BTreeMap<KeyRef, Failure>,
}

/// Why a stream was not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unobserved {
    /// A call failed, and so did all its tries. Other streams may be observed.
    Failed(Failure),
    /// The time was up before all tries were made.
    NoTime(Unfinished),
}

impl Unobserved {
    /// What failed last.
    pub(crate) fn why(self) -> Unfinished {
        match self {
            Self::Failed(failure) => failure.into(),
            Self::NoTime(why) => why,
        }
    }

    /// Whether the stream is gone.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Failed(failure) if failure.class == Class::Ignored)
    }
}

/// A stream that was observed, and what was decided of it.
pub(crate) struct Compared {
    pub(crate) observed: Observed,
    /// Which key it is on, where that is known.
    pub(crate) key: Option<KeyIdentity>,
    /// The current material of that key, where KMS said so.
    pub(crate) material: Option<EventText>,
    /// Which key it should be on, where that is known.
    pub(crate) desired: Option<KeyIdentity>,
    pub(crate) observation: Observation,
    /// What KMS said of the keys that matter for this stream.
    pub(crate) keys: Keys,
}

impl Compared {
    /// What an observation says of a stream, by what is known of the keys that were looked up for it.
    pub(crate) fn of(
        outcome: &Outcome,
        observed: Observed,
        observation: Observation,
        known: &Keys,
        own: &Scope,
    ) -> Self {
        let key = observed.encryption.key().and_then(|key| identity_of(key, known, own));
        let material = key.as_ref().and_then(|key| material_of(key, known));
        let desired = outcome.target().and_then(|target| identity_of(&target.key, known, own));
        let keys = keys_of(outcome, &observed.encryption, known);
        Self { observed, key, material, desired, observation, keys }
    }

    /// The key that the stream is on, for counting: its ARN, or as its setting names it; `None` where it is not encrypted.
    pub(crate) fn key_words(&self) -> Option<&str> {
        match (&self.key, &self.observed.encryption) {
            (Some(key), _) => Some(key.as_str()),
            (None, Encryption::Kms(key)) => Some(key.as_str()),
            (None, Encryption::Unreadable(text)) => Some(text.as_str()),
            (None, Encryption::None) => None,
        }
    }
}

impl<'a, W> Observer<'a, W> {
    /// The observer of one run, which tries again by observing afresh.
    pub(crate) fn of_run(world: &'a W, session: &'a Session<'a>) -> Self {
        let (pace, keys) = (Some(&session.paces.describes), Mutex::default());
        Self { world, session, pace, tries: 1, keys, tags_one_by_one: true }
    }

    /// The same for one observation alone: whoever asks for many of them keeps a rate.
    pub(crate) fn of_preview(world: &'a W, session: &'a Session<'a>) -> Self {
        Self { pace: None, ..Self::of_run(world, session) }
    }

    /// The observer of many streams, at the rate of this group of scans.
    pub(crate) fn of_scan(world: &'a W, session: &'a Session<'a>, group: Group) -> Self {
        let (pace, keys) = (Some(session.paces.of_scans(group)), Mutex::default());
        Self { world, session, pace, tries: SCAN_TRIES, keys, tags_one_by_one: false }
    }

    /// What KMS said of a key that was met.
    pub(crate) async fn met(&self, key: &KeyRef) -> Option<KeyLookup> {
        self.keys.lock().await.keys.get(key).cloned()
    }

    /// What KMS said may not hold any more.
    pub(crate) async fn forget_keys(&self) {
        self.keys.lock().await.keys.clear();
    }
}

impl<W: FleetApi + Clock> Observer<'_, W> {
    /// One page of names. A token may have expired or be broken: the last name does as well, where there is one, whatever a token is
    /// refused with.
    pub(crate) async fn page(
        &self,
        from: &PageStart,
        last: Option<&StreamName>,
        log: &CallLog,
    ) -> Result<Page, Unfinished> {
        let mut from = from.clone();
        let mut tries = 0;
        loop {
            match self.world.list(&from, log).await {
                Ok(page) => return Ok(page),
                Err(failure) => {
                    let by_token = matches!(from, PageStart::Token(_));
                    if let (true, Some(last)) = (by_token, last) {
                        from = PageStart::After(last.clone());
                        if matches!(failure.class, Class::Permanent(_)) {
                            continue;
                        }
                    }
                    self.pause(&mut tries, failure).await.map_err(Unobserved::why)?;
                }
            }
        }
    }

    /// The tags of a page's streams, where the policy reads tags and the tagging API may be asked.
    pub(crate) async fn tags_of(&mut self, names: &[StreamName], log: &CallLog) -> BTreeMap<StreamName, Tags> {
        if !self.session.policy.reads().tags || self.tags_one_by_one || names.is_empty() {
            return BTreeMap::new();
        }
        let own = &self.session.config.own;
        let streams: Vec<StreamArn> = names.iter().map(|name| own.stream(name.clone())).collect();
        let mut tries = 0;
        loop {
            match self.world.tags_of(&streams, log).await {
                Ok(tags) => return tags,
                Err(failure) => {
                    if self.pause(&mut tries, failure).await.is_err() {
                        self.tags_one_by_one = true;
                        return BTreeMap::new();
                    }
                }
            }
        }
    }
}

impl<W: KeyApi> Observer<'_, W> {
    /// What KMS says of a key now, whatever it said before.
    pub(crate) async fn ask_again(&self, key: &KeyRef, log: &CallLog) -> Result<KeyLookup, Failure> {
        let found = self.world.lookup(key, log).await?;
        self.keys.lock().await.keys.insert(key.clone(), found.clone());
        Ok(found)
    }
}

impl<W: StreamApi + KeyApi + Clock> Observer<'_, W> {
    /// What the policy requires of `stream`, with the tags from [`Self::tags_of`].
    pub(crate) async fn decide(
        &self,
        stream: &StreamArn,
        tags: Option<&Tags>,
        log: &CallLog,
    ) -> Result<Decision, Unobserved> {
        let Session { policy, paces, deadline, .. } = *self.session;
        // Streams without tags are missing in the tagging API's answer.
        let mut tags = tags.cloned().unwrap_or_default();
        if policy.reads().tags && self.tags_one_by_one {
            let mut tries = 0;
            tags = loop {
                let turn = Paces::wait(&paces.tags, self.world, deadline, "kinesis:ListTagsForStream").await;
                turn.map_err(Unobserved::NoTime)?;
                match self.world.tags(stream, log).await {
                    Ok(tags) => break tags,
                    Err(failure) => self.pause(&mut tries, failure).await?,
                }
            };
        }
        Ok(policy.decide(stream, &tags, self.world.now()))
    }

    /// DescribeStreamSummary; `None` where the stream is gone.
    pub(crate) async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Option<Observed>, Unobserved> {
        let mut tries = 0;
        loop {
            if let Some(pace) = self.pace {
                let deadline = self.session.deadline;
                let turn = Paces::wait(pace, self.world, deadline, "kinesis:DescribeStreamSummary").await;
                turn.map_err(Unobserved::NoTime)?;
            }
            match self.world.describe(stream, log).await {
                Ok(observed) => return Ok(Some(observed)),
                Err(failure) if failure.class == Class::Ignored => return Ok(None),
                Err(failure) => self.pause(&mut tries, failure).await?,
            }
        }
    }

    /// Compares with the decision, with one DescribeKey for each key that was not met before. `all_keys`: which key the stream is on, or
    /// should be, is asked whatever else is so.
    pub(crate) async fn compare(
        &self,
        decision: &Decision,
        observed: Observed,
        all_keys: bool,
        log: &CallLog,
    ) -> Result<Compared, Unobserved> {
        let (encryption, outcome, own) = (&observed.encryption, &decision.outcome, &self.session.config.own);
        let mut met = self.keys.lock().await;
        let not_active = observation_of(&observed, None);
        if not_active.is_none() || all_keys {
            while let Some(key) = key_needed(outcome, encryption, &met.keys, own) {
                self.ask(key, &mut met, log).await?;
            }
        }
        if let (true, Encryption::Kms(key)) = (all_keys, encryption)
            && identity_of(key, &met.keys, own).is_none()
            && !met.keys.contains_key(key)
        {
            self.ask(key.clone(), &mut met, log).await?;
        }
        let known = &met.keys;
        let observation = not_active.unwrap_or_else(|| Observation::Active(assess(outcome, &observed, known, own)));
        Ok(Compared::of(outcome, observed, observation, known, own))
    }

    /// The current material of a key, where KMS says so; asked for unless the key was met.
    pub(crate) async fn material(
        &self,
        identity: &KeyIdentity,
        key: Option<KeyRef>,
        log: &CallLog,
    ) -> Option<EventText> {
        let mut met = self.keys.lock().await;
        if material_of(identity, &met.keys).is_none()
            && let Some(key) = key
        {
            // What KMS does not say now is left out.
            let _ = self.ask(key, &mut met, log).await;
        }
        material_of(identity, &met.keys)
    }

    /// Asks KMS for a key, unless it could not be read before.
    async fn ask(&self, key: KeyRef, met: &mut Met, log: &CallLog) -> Result<(), Unobserved> {
        if let Some(failure) = met.unread.get(&key) {
            return Err(Unobserved::Failed(failure.clone()));
        }
        let mut tries = 0;
        loop {
            match self.world.lookup(&key, log).await {
                Ok(found) => {
                    met.keys.insert(key, found);
                    return Ok(());
                }
                Err(failure) => {
                    let ended = self.pause(&mut tries, failure).await;
                    // A run asks again at its next observation.
                    if let Err(Unobserved::Failed(failure)) = &ended
                        && self.tries > 1
                    {
                        met.unread.insert(key.clone(), failure.clone());
                    }
                    ended?;
                }
            }
        }
    }
}

impl<W: Clock> Observer<'_, W> {
    /// Waits before another try; why there is none to be made.
    async fn pause(&self, tries: &mut u32, failure: Failure) -> Result<(), Unobserved> {
        *tries += 1;
        if *tries >= self.tries || matches!(failure.class, Class::Permanent(_) | Class::Ignored | Class::Expired) {
            return Err(Unobserved::Failed(failure));
        }
        let pause = SCAN_CALL.pause(*tries - 1, 0.0);
        if self.world.now() + pause > self.session.deadline {
            return Err(Unobserved::NoTime(failure.into()));
        }
        self.world.sleep(pause).await;
        Ok(())
    }
}
