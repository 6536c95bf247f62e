//! One look at each of many streams: a page of names, their tags in bulk, the decision, DescribeStreamSummary at the rate of
//! scans, DescribeKey once a key, the verdict or the step that a run would take, and the evidence of it.
//!
//! A scan and an audit look through this, so that both say the same of a stream. It changes nothing, and it remembers the keys
//! that it met and nothing that grows with the number of streams.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::lock::Mutex;
use jiff::Timestamp;

use crate::domain::arn::{KeyRef, Scope, StreamArn, StreamName};
use crate::domain::cause::Cause;
use crate::domain::evidence::{Evidence, Proof, Remediation, Setting};
use crate::domain::failure::{Class, Failure};
use crate::domain::history::Contention;
use crate::domain::model::{Encryption, KeyIdentity, Observed, Tags};
use crate::domain::plan::permit::{Circumstances, Permission, permit};
use crate::domain::plan::sight::{Sight, sight_of};
use crate::domain::plan::situation::{Keys, Situation, assess, identity_of, key_needed, keys_of, material_of};
use crate::domain::plan::step::{Progress, Step, next_step};
use crate::domain::policy::{Decision, Outcome};
use crate::domain::remedy::{Facts, remedy};
use crate::domain::text::EventText;
use crate::domain::verdict::{Compliance, Reason, Verdict};
use crate::ports::{CallLog, Page, PageStart, World};
use crate::reconcile::{Paces, Settings};

/// How often a call is tried, with growing pauses between.
const TRIES: u32 = 4;
/// The pause before a second try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// What the looks are for, as it goes into evidence.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// What asked for them.
    pub(crate) cause: Cause,
    /// When they were asked for.
    pub(crate) asked: Timestamp,
    /// How many parts there were before.
    pub(crate) attempt: u32,
    /// Who looks, in words: `a scan`.
    pub(crate) by: &'static str,
}

/// Looks at streams, one after the other or several at once.
pub(crate) struct Looker<'a, W> {
    world: &'a W,
    settings: &'a Settings<'a>,
    own: &'a Scope,
    purpose: Purpose,
    /// What KMS said of the keys that were met. One look at a time compares, so that each key is asked for once.
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

/// What one look came to.
pub(crate) enum Looked<'d> {
    Seen(Box<Seen<'d>>),
    Gone,
}

/// Why a stream was not observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unseen {
    /// A call failed, and so did all its tries. Other streams may be observed.
    Failed(Failure),
    /// The time was up before all tries were made.
    NoTime(Failure),
}

impl Unseen {
    /// The call that failed last.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::Failed(failure) | Self::NoTime(failure) => failure,
        }
    }
}

/// A stream that was looked at, and what was decided of it.
pub(crate) struct Seen<'d> {
    pub(crate) stream: StreamArn,
    pub(crate) decision: &'d Decision,
    pub(crate) observed: Observed,
    /// Which key it is on, where that is known.
    pub(crate) key: Option<KeyIdentity>,
    /// The current material of that key, where KMS said so.
    material: Option<EventText>,
    /// Which key it should be on, where that is known.
    pub(crate) wanted: Option<KeyIdentity>,
    pub(crate) sight: Sight,
    /// What KMS said of the keys that matter for this stream.
    known: Keys,
}

impl<'a, W: World> Looker<'a, W> {
    pub(crate) fn new(world: &'a W, settings: &'a Settings<'a>, purpose: Purpose) -> Self {
        let own = &settings.config.own;
        Self { world, settings, own, purpose, keys: Mutex::default(), tags_one_by_one: false }
    }

    /// One page of names. A token may have expired or be broken: the last name does as well, where there is one, whatever a token is
    /// refused with.
    pub(crate) async fn page(
        &self,
        from: &PageStart,
        last: Option<&StreamName>,
        log: &CallLog,
    ) -> Result<Page, Failure> {
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
                    self.pause(&mut tries, failure).await.map_err(Unseen::failure)?;
                }
            }
        }
    }

    /// The tags of a page's streams, where the policy looks at tags and the tagging API may be asked.
    pub(crate) async fn tags_of(&mut self, names: &[StreamName], log: &CallLog) -> BTreeMap<StreamName, Tags> {
        if !self.settings.policy.needs_tags() || self.tags_one_by_one || names.is_empty() {
            return BTreeMap::new();
        }
        let streams: Vec<StreamArn> = names.iter().map(|name| self.own.stream(name.clone())).collect();
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

    /// What the policy wants of `stream`, with the tags from [`Self::tags_of`]; `None` where the stream is gone.
    pub(crate) async fn decide(
        &self,
        stream: &StreamArn,
        tags: Option<&Tags>,
        log: &CallLog,
    ) -> Result<Option<Decision>, Unseen> {
        let Settings { policy, paces, deadline, .. } = *self.settings;
        let own_tags = if policy.needs_tags() && self.tags_one_by_one {
            let mut tries = 0;
            loop {
                let turn = Paces::wait(&paces.tags, self.world, deadline, "kinesis:ListTagsForStream").await;
                turn.map_err(Unseen::NoTime)?;
                match self.world.tags(stream, log).await {
                    Ok(tags) => break Some(tags),
                    Err(failure) if failure.class == Class::Ignored => return Ok(None),
                    Err(failure) => self.pause(&mut tries, failure).await?,
                }
            }
        } else {
            None
        };
        // Streams without tags are missing in the tagging API's answer.
        let none = Tags::new();
        Ok(Some(policy.decide(stream, own_tags.as_ref().or(tags).unwrap_or(&none), self.world.now())))
    }

    /// Looks at `stream`. `all_keys`: which key it is on, or should be, is asked whatever else is so.
    pub(crate) async fn look<'d>(
        &self,
        stream: StreamArn,
        decision: &'d Decision,
        all_keys: bool,
        log: &CallLog,
    ) -> Result<Looked<'d>, Unseen> {
        let Some(observed) = self.describe(&stream, log).await? else { return Ok(Looked::Gone) };
        let seen = self.assess(stream, decision, observed, all_keys, log).await?;
        Ok(if seen.sight == Sight::Gone { Looked::Gone } else { Looked::Seen(Box::new(seen)) })
    }

    /// DescribeStreamSummary at the rate of scans; `None` where the stream is gone.
    async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Option<Observed>, Unseen> {
        let Settings { paces, deadline, .. } = *self.settings;
        let mut tries = 0;
        loop {
            let turn = Paces::wait(&paces.scans, self.world, deadline, "kinesis:DescribeStreamSummary").await;
            turn.map_err(Unseen::NoTime)?;
            match self.world.describe(stream, log).await {
                Ok(observed) => return Ok(Some(observed)),
                Err(failure) if failure.class == Class::Ignored => return Ok(None),
                Err(failure) => self.pause(&mut tries, failure).await?,
            }
        }
    }

    /// Compares, with one DescribeKey for each key that was not met before.
    async fn assess<'d>(
        &self,
        stream: StreamArn,
        decision: &'d Decision,
        observed: Observed,
        all_keys: bool,
        log: &CallLog,
    ) -> Result<Seen<'d>, Unseen> {
        let (encryption, outcome) = (&observed.encryption, &decision.outcome);
        let mut met = self.keys.lock().await;
        let not_active = sight_of(&observed, None);
        if not_active.is_none() || all_keys {
            while let Some(key) = key_needed(outcome, encryption, &met.keys, self.own) {
                self.ask(key, &mut met, log).await?;
            }
        }
        if let (true, Encryption::Kms(key)) = (all_keys, encryption)
            && identity_of(key, &met.keys, self.own).is_none()
            && !met.keys.contains_key(key)
        {
            self.ask(key.clone(), &mut met, log).await?;
        }
        let keys = &met.keys;
        let wanted = match outcome {
            Outcome::Encrypt(target) => identity_of(&target.key, keys, self.own),
            Outcome::Exempt(_) | Outcome::Unmatched | Outcome::Unresolvable(_) => None,
        };
        let key = match encryption {
            Encryption::Kms(key) => identity_of(key, keys, self.own),
            Encryption::None | Encryption::Unreadable(_) => None,
        };
        let material = key.as_ref().and_then(|key| material_of(key, keys));
        let sight = not_active.unwrap_or_else(|| Sight::Active(assess(outcome, encryption, keys, self.own)));
        let known = keys_of(outcome, encryption, keys);
        Ok(Seen { stream, decision, observed, key, material, wanted, sight, known })
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
    async fn ask(&self, key: KeyRef, met: &mut Met, log: &CallLog) -> Result<(), Unseen> {
        if let Some(failure) = met.unread.get(&key) {
            return Err(Unseen::Failed(failure.clone()));
        }
        let mut tries = 0;
        loop {
            match self.world.lookup(&key, log).await {
                Ok(found) => {
                    met.keys.insert(key, found);
                    return Ok(());
                }
                Err(failure) => {
                    if let Err(unseen) = self.pause(&mut tries, failure).await {
                        if let Unseen::Failed(failure) = &unseen {
                            met.unread.insert(key, failure.clone());
                        }
                        return Err(unseen);
                    }
                }
            }
        }
    }

    /// Waits before another try; why there is none to be made.
    async fn pause(&self, tries: &mut u32, failure: Failure) -> Result<(), Unseen> {
        *tries += 1;
        if *tries >= TRIES || matches!(failure.class, Class::Permanent(_) | Class::Ignored) {
            return Err(Unseen::Failed(failure));
        }
        let pause = PAUSE * (1 << (*tries - 1).min(6));
        if self.world.now() + pause > self.settings.deadline {
            return Err(Unseen::NoTime(failure));
        }
        self.world.sleep(pause).await;
        Ok(())
    }

    /// The end of a run that looked now and did nothing, or the step that it would take.
    pub(crate) fn verdict(&self, seen: &Seen<'_>) -> Result<Verdict, Step> {
        let now = self.world.now();
        match next_step(&seen.sight, &Progress::default(), || self.permit(seen, now), now) {
            Step::Finish(verdict) => Ok(verdict),
            step @ (Step::Start(_) | Step::Await(_) | Step::LookLater(_) | Step::Prove | Step::StartAfresh) => {
                Err(step)
            }
        }
    }

    fn permit(&self, seen: &Seen<'_>, now: Timestamp) -> Permission {
        let (Sight::Active(Situation::Wrong { current, target_manager, .. }), Outcome::Encrypt(target)) =
            (&seen.sight, &seen.decision.outcome)
        else {
            return Permission::Settling(now);
        };
        let circumstances = Circumstances {
            mode: self.settings.mode,
            policy: self.settings.policy,
            cause: &self.purpose.cause,
            created: seen.observed.created,
            active_since: seen.observed.at,
            // The run that is to change it asks.
            contention: &Contention::Clear,
            now,
        };
        permit(target, current.as_ref(), *target_manager, &circumstances)
    }

    /// What is said of a stream that a run could do more about.
    pub(crate) fn unfinished(&self, step: &Step) -> Verdict {
        let by = self.purpose.by;
        match step {
            Step::Start(key) => {
                let detail = format!("found by {by}; its rule wants {key}");
                Verdict::new(Compliance::NonCompliant, Reason::Found, detail)
            }
            Step::Await(condition) => {
                let detail = format!("not to be told yet: waiting for {}", condition.as_str());
                Verdict::new(Compliance::InsufficientData, Reason::Unfinished, detail)
            }
            Step::LookLater(why) => Verdict::new(Compliance::InsufficientData, Reason::Unfinished, why.as_str()),
            Step::Finish(verdict) => verdict.clone(),
            Step::Prove | Step::StartAfresh => {
                let detail = format!("not to be told by {by}");
                Verdict::new(Compliance::InsufficientData, Reason::Unfinished, detail)
            }
        }
    }

    /// The evidence of one look; without `seen` it could not be made.
    pub(crate) fn evidence(
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
            material: seen.material.clone(),
        });
        let calls = log.calls();
        let nothing = Keys::new();
        let remedy = remedy(&Facts {
            stream,
            outcome: Some(&decision.outcome),
            rule: decision.rule.as_ref().map(|rule| rule.name.as_str()),
            encryption: seen.map(|seen| &seen.observed.encryption),
            situation: seen.and_then(|seen| match &seen.sight {
                Sight::Active(situation) => Some(situation),
                _ => None,
            }),
            keys: seen.map_or(&nothing, |seen| &seen.known),
            verdict: Some(&verdict),
            calls: &calls,
            changed: false,
        });
        Evidence {
            run_id: run_id.to_owned(),
            attempt: self.purpose.attempt,
            mode,
            started_at: calls.first().map_or(now, |call| call.at),
            finished_at: now,
            stream: stream.clone(),
            cause: self.purpose.cause.clone(),
            first_seen: self.purpose.asked,
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
            previous_key_needed_until: None,
            remedy,
            next_look: None,
        }
    }
}

/// What is said of a stream that could not be looked at: what is wrong is not its own, and a run may have more luck.
pub(crate) fn unseen(failure: &Failure) -> Verdict {
    let permanent = matches!(failure.class, Class::Permanent(_));
    let reason = if permanent { Reason::AccessDenied } else { Reason::Unfinished };
    let verdict = Verdict::new(Compliance::InsufficientData, reason, failure.to_string());
    Verdict { alarm: permanent, ..verdict }
}

impl Seen<'_> {
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
