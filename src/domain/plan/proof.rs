//! What an answer of PutRecord or GetRecords says of a stream's encryption, and what follows where the key refuses.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

use crate::domain::cause::Cause;
use crate::domain::failure::{Class, Failure, Fault, Unfinished};
use crate::domain::model::{KeyInfo, KeyLookup, Mode, ProofMode};
use crate::domain::policy::{Outcome, Target};
use crate::domain::text::EventText;
use crate::domain::verdict::{Again, Compliance, Reason, Verdict};

/// A stream created less than this ago is *new*, for proofs and guards.
pub const NEW: SignedDuration = SignedDuration::from_hours(1);
/// "Within 5 seconds after ACTIVE" every record is encrypted (Kinesis API reference, StartStreamEncryption).
pub const PROPAGATION: SignedDuration = SignedDuration::from_secs(5);
/// A probe that still says `NONE` this long after [`PROPAGATION`] is believed.
pub const PROBE_MARGIN: SignedDuration = SignedDuration::from_secs(3);
/// How long `observe` waits for somebody's record, after [`PROPAGATION`].
pub const OBSERVE_WINDOW: SignedDuration = SignedDuration::from_secs(10);

/// Whether a proof is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owed {
    /// No.
    #[default]
    No,
    /// One made since the event is enough: it may be a repeated event of a stream that was proven.
    SinceTheEvent,
    /// One made now.
    Now,
}

/// How to prove a stream of this age. A function that only reports writes no probe.
pub fn proof_mode(target: &Target, created: Timestamp, mode: Mode, now: Timestamp) -> ProofMode {
    let by_rule = if is_new(created, now) { target.proof.new } else { target.proof.existing };
    match (mode, by_rule) {
        (Mode::Report, ProofMode::Probe) => ProofMode::Describe,
        (Mode::Report | Mode::Enforce | Mode::Prove, by_rule) => by_rule,
    }
}

/// What a proof is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HowToProve {
    /// How.
    pub mode: ProofMode,
    /// A probe of ours since then is proof enough.
    pub earlier_since: Option<Timestamp>,
}

/// How the proof that is owed has to be made, of a stream made at `created`.
pub fn how_to_prove(
    outcome: Option<&Outcome>,
    owed: Owed,
    cause: &Cause,
    created: Option<Timestamp>,
    (mode, now): (Mode, Timestamp),
) -> HowToProve {
    let (Some(Outcome::Encrypt(target)), Some(created)) = (outcome, created) else {
        return HowToProve { mode: ProofMode::Describe, earlier_since: None };
    };
    let mode = proof_mode(target, created, mode, now);
    let may_be_earlier = mode == ProofMode::Probe && owed == Owed::SinceTheEvent;
    HowToProve { mode, earlier_since: cause.proof_since(created).filter(|_| may_be_earlier) }
}

/// Whether a stream is *new*.
pub fn is_new(created: Timestamp, now: Timestamp) -> bool {
    now.duration_since(created) < NEW
}

/// Whether the work owes a proof before the run has done anything.
pub fn proof_owed(work_owes: bool, created: Timestamp, now: Timestamp) -> Owed {
    match (work_owes, is_new(created, now)) {
        (true, _) => Owed::Now,
        (false, true) => Owed::SinceTheEvent,
        (false, false) => Owed::No,
    }
}

/// What a try to prove came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The record is encrypted.
    Encrypted,
    /// Too soon to know.
    TryAgain,
    /// It is not to be proven now: the end of the run.
    End(Verdict),
    /// The stream is gone.
    Gone,
    /// The key itself refused, which DescribeKey has to confirm.
    KeyRefused(Failure),
    /// It may pass, in a later run.
    Later(Unfinished),
}

/// Reads a PutRecord. `right_since` is when this run first saw the stream ACTIVE with the right setting. AWS leaves `EncryptionType` out
/// of its answer where the record is not encrypted (recorded in more than 100 answers; the text `NONE` never was).
pub fn judge_probe(answer: &Result<Option<&str>, Failure>, right_since: Timestamp, now: Timestamp) -> Judgement {
    let early = now < right_since + PROPAGATION + PROBE_MARGIN;
    match answer {
        Ok(Some("KMS")) => Judgement::Encrypted,
        Ok(None | Some("NONE")) if early => Judgement::TryAgain,
        Ok(None | Some("NONE")) => Judgement::End(unproven()),
        Ok(Some(other)) => {
            impossible(format!("PutRecord returned an unknown EncryptionType `{}`", EventText::new(other)))
        }
        Err(failure) => failed_proof(failure, early),
    }
}

/// Reads a search for somebody's record: its `EncryptionType` if one was seen.
pub fn judge_read_back(
    read: &Result<Option<Option<&str>>, Failure>,
    right_since: Timestamp,
    now: Timestamp,
) -> Judgement {
    let early = now < right_since + PROPAGATION + OBSERVE_WINDOW;
    match read {
        Ok(Some(Some("KMS"))) => Judgement::Encrypted,
        Ok(Some(Some("NONE"))) => Judgement::End(unproven()),
        Ok(Some(None)) => {
            // Of an unencrypted record AWS leaves it out; what it says of an encrypted one that is read back was not recorded.
            let detail = "GetRecords returned a record without EncryptionType; AWS does not document what that means";
            let verdict = Verdict::new(Compliance::InsufficientData, Reason::ProofUnclear, detail);
            Judgement::End(verdict.again(Again::Twice))
        }
        Ok(Some(Some(other))) => impossible(format!(
            "GetRecords returned a record with an unknown EncryptionType `{}`",
            EventText::new(other)
        )),
        Ok(None) if early => Judgement::TryAgain,
        Ok(None) => {
            let detail = "no producer wrote a record to observe; the setting is as required";
            Judgement::End(Verdict::new(Compliance::InsufficientData, Reason::Idle, detail).again(Again::Twice))
        }
        Err(failure) => failed_proof(failure, early),
    }
}

/// An answer that proves nothing either way.
fn impossible(detail: String) -> Judgement {
    let verdict = Verdict::new(Compliance::InsufficientData, Reason::ProofImpossible, detail);
    Judgement::End(verdict.again(Again::Twice))
}

/// What a failed PutRecord or GetRecords comes to.
fn failed_proof(failure: &Failure, early: bool) -> Judgement {
    match failure.class {
        Class::Ignored => Judgement::Gone,
        Class::Waiting | Class::Retryable | Class::RateOrQuota | Class::Quota if early => Judgement::TryAgain,
        Class::Waiting | Class::Retryable | Class::RateOrQuota | Class::Quota | Class::Expired => {
            Judgement::Later(failure.clone().into())
        }
        Class::Permanent(fault) => denied_proof(failure, fault),
    }
}

fn unproven() -> Verdict {
    let detail = "the setting is as required, but a record was stored unencrypted";
    Verdict::new(Compliance::NonCompliant, Reason::Unproven, detail).alarm().again(Again::Twice)
}

fn denied_proof(failure: &Failure, fault: Fault) -> Judgement {
    match fault {
        Fault::Key => Judgement::KeyRefused(failure.clone()),
        Fault::Access | Fault::Credentials | Fault::Request => Judgement::End(no_proof(failure)),
    }
}

/// A refusal says only that *our role* cannot use the key or the stream.
fn no_proof(why: &dyn Display) -> Verdict {
    let verdict = Verdict::new(Compliance::InsufficientData, Reason::ProofImpossible, format!("no proof: {why}"));
    verdict.alarm().again(Again::Twice)
}

/// What follows when a key refused a probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The end of the run.
    End(Verdict),
    /// A new run has to put the key before it back.
    PutBack(Verdict),
}

/// Reads a probe that the stream's key refused, with what DescribeKey says now of that key and of the one before a re-key
/// of ours. Where KMS does not confirm it, it was our role's trouble only.
pub fn judge_refusal(why: &Unfinished, now_on: &KeyLookup, before: Option<&KeyLookup>) -> Refusal {
    let confirmed = match now_on {
        KeyLookup::NotFound => true,
        KeyLookup::Found(info) => info.problem.is_some(),
        KeyLookup::Denied { .. } => false,
    };
    if !confirmed {
        return Refusal::End(no_proof(why));
    }
    let detail = format!("the stream's key turned out to be unusable: {why}");
    let verdict = Verdict::new(Compliance::NonCompliant, Reason::Unwritable, detail).alarm();
    match before {
        Some(KeyLookup::Found(KeyInfo { problem: None, .. })) => Refusal::PutBack(verdict),
        Some(KeyLookup::Found(_) | KeyLookup::NotFound | KeyLookup::Denied { .. }) | None => {
            Refusal::End(verdict.again(Again::Twice))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs_f64(seconds)
    }

    fn end(judgement: Judgement) -> String {
        match judgement {
            Judgement::End(Verdict { compliance, reason, alarm, .. }) => {
                format!("{} {}{}", compliance.as_str(), reason.as_str(), if alarm { " alarm" } else { "" })
            }
            other => format!("{other:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn a_probe_is_read_as_aws_answers() {
        let unproven = "NON_COMPLIANT unproven alarm";
        for (answer, seconds, expected) in [
            (Some("KMS"), 0.0, "Encrypted"),
            // AWS leaves it out of an unencrypted record, emulators say NONE.
            (None, 0.0, "TryAgain"),
            (None, 7.9, "TryAgain"),
            (None, 8.0, unproven),
            (Some("NONE"), 7.9, "TryAgain"),
            (Some("NONE"), 8.0, unproven),
            (Some("AES"), 0.0, "INSUFFICIENT_DATA proof-impossible"),
        ] {
            assert_eq!(end(judge_probe(&Ok(answer), at(0.0), at(seconds))), expected, "{answer:?} after {seconds} s");
        }
    }

    #[test]
    fn a_record_that_was_read_back_is_no_proof_without_its_type() {
        for (read, seconds, expected) in [
            (Some(Some("KMS")), 0.0, "Encrypted"),
            (Some(Some("NONE")), 20.0, "NON_COMPLIANT unproven alarm"),
            (Some(None), 20.0, "INSUFFICIENT_DATA proof-unclear"),
            (Some(Some("AES")), 20.0, "INSUFFICIENT_DATA proof-impossible"),
            (None, 14.9, "TryAgain"),
            (None, 15.0, "INSUFFICIENT_DATA idle"),
        ] {
            assert_eq!(end(judge_read_back(&Ok(read), at(0.0), at(seconds))), expected, "{read:?} after {seconds} s");
        }
    }
}
