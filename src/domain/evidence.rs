//! Evidence: what one run saw, did and can prove, as a value.
//!
//! `evidence/v1.rs` renders it; nothing here writes or decides.

pub mod digest;
pub mod emf;
pub mod exposure;
pub mod guard;
pub mod known;
pub mod v1;

use jiff::{SignedDuration, Timestamp};

use self::known::{KnownKey, known};
use super::arn::{KeyRef, StreamArn};
use super::call::Call;
use super::cause::Cause;
use super::hash::uuid;
use super::model::{KeyIdentity, Mode, Observed, ProofMode, Tags};
use super::plan::proof::PROPAGATION;
use super::plan::situation::{Keys, Situation};
use super::policy::{Decision, Exemption, Outcome};
use super::remedy::advice::{Facts, Remedy};
use super::remedy::{self, remedy};
use super::runner::Runner;
use super::text::EventText;
use super::verdict::Verdict;

/// A stream's setting at one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What was seen.
    pub observed: Observed,
    /// Which key that is, where it is known.
    pub key: Option<KeyIdentity>,
    /// Which material that key encrypts with now, where KMS said so.
    pub material: Option<EventText>,
}

/// What can be said of the records, apart from the setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProofState {
    /// Our record was stored encrypted.
    Proven,
    /// A record that was there already is stored encrypted.
    Observed,
    /// The rule asks for the setting alone.
    Described,
    /// A proof has to be made and was not yet.
    Owed,
    /// It was tried and did not succeed.
    Failed,
    /// None was asked for.
    #[default]
    NotSought,
}

impl ProofState {
    /// The word in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Observed => "observed",
            Self::Described => "described",
            Self::Owed => "owed",
            Self::Failed => "failed",
            Self::NotSought => "not-sought",
        }
    }
}

/// The proof. It says *encrypted*; with which key is the setting's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// How far it came.
    pub state: ProofState,
    /// How it was sought.
    pub mode: Option<ProofMode>,
    /// The record's shard.
    pub shard_id: Option<String>,
    /// The record's sequence number.
    pub sequence_number: Option<String>,
    /// The record's `EncryptionType`.
    pub encryption_type: Option<EventText>,
    /// When the record was put.
    pub at: Option<Timestamp>,
}

/// What was done about a wrong setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Remediation {
    /// Nothing was to be done.
    None,
    /// StartStreamEncryption was accepted and is in force.
    Applied,
    /// StartStreamEncryption was sent, and what came of it is not known yet.
    Started,
    /// It was refused or overtaken.
    Failed,
    /// It was not made, on purpose.
    Withheld,
    /// It is due: a scan found it, and a run of its own goes on with it, as far as the scan may hand over changes.
    Due,
}

impl Remediation {
    /// The word in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Applied => "applied",
            Self::Started => "started",
            Self::Failed => "failed",
            Self::Withheld => "withheld",
            Self::Due => "due",
        }
    }
}

/// What one run saw, did and can prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The document's own id.
    pub id: String,
    /// The invocation's id.
    pub run_id: String,
    /// Who ran it.
    pub runner: Runner,
    /// How many runs there were before, for the same cause.
    pub attempt: u32,
    /// The mode in force.
    pub mode: Mode,
    /// When the run began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// The stream.
    pub stream: StreamArn,
    /// What woke the first run, and when that was.
    pub cause: Cause,
    /// When the first run for this cause began.
    pub first_seen: Timestamp,
    /// Other events that the run answers.
    pub also: Vec<EventText>,
    /// Where the policy came from.
    pub policy_source: String,
    /// The digest of its text.
    pub policy_digest: String,
    /// The deciding rule, counted from 0.
    pub rule: Option<(usize, String)>,
    /// The stream's tags that it reads.
    pub tags: Tags,
    /// Its exemption, where it has one.
    pub exemption: Option<Exemption>,
    /// Why that rule.
    pub reasons: Vec<String>,
    /// The first observation.
    pub before: Option<Setting>,
    /// The last observation.
    pub after: Option<Setting>,
    /// The key that the rule names, and which key that is.
    pub desired: Option<(KeyRef, Option<KeyIdentity>)>,
    /// The keys that matter, as far as KMS said what they are.
    pub keys: Vec<KnownKey>,
    /// Every request that was sent.
    pub calls: Vec<Call>,
    /// The proof.
    pub proof: Proof,
    /// The end.
    pub verdict: Verdict,
    /// What else has to be known, for people.
    pub warnings: Vec<String>,
    /// What was done.
    pub remediation: Remediation,
    /// Whether producers' access to the new key is unknown, since this run moved the stream from one key to another.
    pub rekeyed: bool,
    /// Until when records under the key before a re-key of ours are in the stream.
    pub previous_key_needed_until: Option<Timestamp>,
    /// What to do about it.
    pub remedy: Remedy,
    /// When it is observed again.
    pub next_run: Option<Timestamp>,
    /// How its change is watched, where that is so.
    pub guard: Option<guard::Guard>,
}

/// What the policy and KMS said of the stream: evidence quotes it, and its remedy follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What the policy says of the stream, where that was decided.
    pub decision: Option<&'a Decision>,
    /// Which key the rule requires, as far as KMS said so.
    pub desired: Option<&'a KeyIdentity>,
    /// How it stood with the policy at the last observation, where it was ACTIVE.
    pub situation: Option<&'a Situation>,
    /// What KMS said of the keys that matter.
    pub keys: &'a Keys,
    /// Whether encryption was started for this cause.
    pub started: bool,
}

impl Evidence {
    /// Evidence of a run that ended so, before anything else is said of it.
    pub fn new(stream: &StreamArn, cause: &Cause, verdict: Verdict, now: Timestamp) -> Self {
        Self {
            id: String::new(),
            run_id: String::new(),
            runner: Runner::default(),
            attempt: 0,
            mode: Mode::Report,
            started_at: now,
            finished_at: now,
            stream: stream.clone(),
            cause: cause.clone(),
            first_seen: now,
            also: Vec::new(),
            policy_source: String::new(),
            policy_digest: String::new(),
            rule: None,
            tags: Tags::new(),
            exemption: None,
            reasons: Vec::new(),
            before: None,
            after: None,
            desired: None,
            keys: Vec::new(),
            calls: Vec::new(),
            proof: Proof::default(),
            verdict,
            warnings: Vec::new(),
            remediation: Remediation::None,
            rekeyed: false,
            previous_key_needed_until: None,
            remedy: Remedy::None,
            next_run: None,
            guard: None,
        }
    }

    /// The same with its id, what it quotes, and the remedy that follows. All else is in it by now.
    pub fn judged(self, by: &Judged<'_>) -> Self {
        let Judged { decision, desired, situation, keys, started } = *by;
        let rule = decision.and_then(|decision| decision.rule.as_ref());
        let outcome = decision.map(|decision| &decision.outcome);
        let remedy = remedy(&Facts {
            stream: &self.stream,
            outcome,
            rule: rule.map(|rule| rule.name.as_str()),
            encryption: self.after.as_ref().map(|after| &after.observed.encryption),
            situation,
            keys,
            verdict: Some(&self.verdict),
            calls: &self.calls,
            changed: started,
        });
        let [started_at, finished_at] = [self.started_at, self.finished_at].map(|at| at.to_string());
        let event = self.cause.event_id.as_ref().map_or("", |id| id.as_str());
        let (stream, attempt) = (self.stream.to_string(), self.attempt.to_string());
        Self {
            id: uuid(&[&self.run_id, &stream, self.cause.call.as_str(), event, &attempt, &started_at, &finished_at]),
            rule: rule.map(|rule| (rule.index, rule.name.clone())),
            tags: decision.map(|decision| decision.tags.clone()).unwrap_or_default(),
            exemption: outcome.and_then(Outcome::exemption).cloned(),
            reasons: decision.map(|decision| decision.reasons.clone()).unwrap_or_default(),
            desired: outcome.and_then(Outcome::target).map(|target| (target.key.clone(), desired.cloned())),
            keys: known(keys),
            remedy,
            ..self
        }
    }
}

/// Until when records that were put before a re-key may be in the stream: as long as it keeps records, counted from when the new key
/// was in force. `changed_at` is when the stream was first seen ACTIVE on the new key, or now where it was not seen so yet.
pub fn previous_key_needed_until(changed_at: Timestamp, retention_hours: u32) -> Option<Timestamp> {
    let retention = SignedDuration::from_hours(i64::from(retention_hours));
    changed_at.checked_add(PROPAGATION).and_then(|from| from.checked_add(retention)).ok()
}

impl Evidence {
    /// What is known of the key that the stream is on.
    pub fn current_key(&self) -> Option<&KnownKey> {
        let current = self.after.as_ref().and_then(|after| after.key.as_ref())?;
        self.keys.iter().find(|key| key.info.identity == *current)
    }

    /// The command that says who may use the key that the stream is on.
    pub fn impact(&self) -> String {
        remedy::impact(&self.stream, self.after.as_ref().and_then(|after| after.key.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_previous_key_is_needed_for_the_retention_after_the_new_one_is_in_force() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let changed = at("2026-11-28T10:00:00Z");
        assert_eq!(previous_key_needed_until(changed, 24), Some(at("2026-11-29T10:00:05Z")));
        assert_eq!(previous_key_needed_until(changed, 8760), Some(at("2027-11-28T10:00:05Z")));
        assert_eq!(previous_key_needed_until(changed, u32::MAX), None, "no time that can be determined");
        assert_eq!(previous_key_needed_until(Timestamp::MAX, 24), None);
    }
}
