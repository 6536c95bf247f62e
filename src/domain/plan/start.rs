//! What follows from a StartStreamEncryption that was refused. AWS words the quota of 25 new keys in 24 hours like a rate.

use jiff::{SignedDuration, Timestamp};

use crate::domain::failure::{Class, Failure};
use crate::domain::verdict::{Action, Again, Compliance, Reason, Verdict, Withheld};

/// A refusal of Start that may be a rate or the quota is taken for a rate for so long after the first one.
pub const RATE_REFUSALS: SignedDuration = SignedDuration::from_secs(60);
/// So many accepted Starts of a stream's name in 24 hours mean that a refusal is the quota of 25 (Kinesis API reference,
/// StartStreamEncryption). Not 25: the history is minutes late and may lack some.
pub const NEAR_QUOTA: usize = 20;

/// What follows from a Start that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AfterStart {
    /// It may have taken effect: observe.
    Observe,
    /// The end of the run.
    End(Verdict),
    /// It had no effect and may pass; not in this run, which has sent its one request.
    Later(Failure),
    /// The stream was not found, which a later run has to see once more.
    NotFound(Failure),
}

/// What [`judge_start`] has to know besides the failure.
#[derive(Clone, Copy, Debug)]
pub struct RefusedStart {
    /// What is wrong with the stream.
    pub reason: Reason,
    /// What was to be done about it.
    pub action: Action,
    /// Whether the stream is without encryption, or on a key that cannot be used.
    pub unprotected: bool,
    /// Starts of a stream of this name that CloudTrail shows as accepted in the last 24 hours, by anybody; `None`: it was not asked, or
    /// gave no answer.
    pub accepted: Option<usize>,
    /// When a Start for this work was refused first with words that may mean a rate or the quota.
    pub refused_since: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// Reads a failed StartStreamEncryption. AWS words the quota of 25 new keys in 24 hours like a rate ([`Class::RateOrQuota`]).
pub fn judge_start(failure: &Failure, refused: RefusedStart) -> AfterStart {
    let RefusedStart { reason, action, unprotected, accepted, refused_since, now } = refused;
    let is_rate = accepted.is_none_or(|accepted| accepted < NEAR_QUOTA) && may_be_rate(refused_since, now);
    match failure.class {
        // To be described once more before it is believed.
        Class::Ignored => AfterStart::NotFound(failure.clone()),
        Class::RateOrQuota if is_rate => AfterStart::Later(failure.clone()),
        Class::RateOrQuota | Class::Quota => AfterStart::End(Verdict {
            withheld: Some(Withheld::Quota),
            again: Again::ForQuota,
            // Whoever may start and stop can spend the 25 and leave the stream without encryption for a day.
            alarm: unprotected,
            ..Verdict::new(Compliance::NonCompliant, reason, failure.to_string()).would(action, Some(Withheld::Quota))
        }),
        Class::Permanent(_) => {
            // A key policy or a permission that is made beside the stream may only be late.
            let verdict = Verdict::new(Compliance::NonCompliant, Reason::StartRefused, failure.to_string());
            AfterStart::End(verdict.alarm().again(Again::Twice))
        }
        Class::Waiting | Class::Retryable if failure.may_have_applied => AfterStart::Observe,
        Class::Waiting | Class::Retryable | Class::Expired => AfterStart::Later(failure.clone()),
    }
}

/// Whether refusals that began at `refused_since` can still be those of a rate; later they are the quota, whatever CloudTrail shows.
pub fn may_be_rate(refused_since: Option<Timestamp>, now: Timestamp) -> bool {
    refused_since.is_none_or(|since| now.duration_since(since) < RATE_REFUSALS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Fault;

    fn at(seconds: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn what_a_refused_start_means() {
        let quota = |alarm| format!("NON_COMPLIANT wrong-key quota{}", if alarm { " alarm" } else { "" });
        let later = || "later".to_owned();
        // Accepted in 24 hours, seconds since the first refusal, whether the stream is unprotected.
        for (class, accepted, since, unprotected, expected) in [
            (Class::RateOrQuota, Some(20), None, true, quota(true)),
            (Class::RateOrQuota, Some(20), None, false, quota(false)),
            (Class::RateOrQuota, Some(19), None, true, later()),
            (Class::RateOrQuota, None, None, true, later()),
            (Class::RateOrQuota, Some(19), Some(59), true, later()),
            (Class::RateOrQuota, Some(19), Some(60), true, quota(true)),
            (Class::RateOrQuota, None, Some(60), false, quota(false)),
            // Of an account it is a rate, however long.
            (Class::Retryable, None, Some(600), true, later()),
            // Words that are not known.
            (Class::Quota, Some(0), None, true, quota(true)),
            (Class::Ignored, None, None, true, "not found".to_owned()),
            (Class::Permanent(Fault::Access), None, None, true, "NON_COMPLIANT start-refused alarm".to_owned()),
        ] {
            let failure = Failure { class, ..Failure::retryable("kinesis:StartStreamEncryption", "Code", "words") };
            let refused_since = since.map(|seconds| at(-seconds));
            let (reason, action) = (Reason::WrongKey, Action::Rekey);
            let refused = RefusedStart { reason, action, unprotected, accepted, refused_since, now: at(0) };
            let found = match judge_start(&failure, refused) {
                AfterStart::Observe => "observe".to_owned(),
                AfterStart::Later(_) => later(),
                AfterStart::NotFound(_) => "not found".to_owned(),
                AfterStart::End(Verdict { compliance, reason, withheld, alarm, .. }) => {
                    let withheld = withheld.map(|why| format!(" {}", why.as_str())).unwrap_or_default();
                    let alarm = if alarm { " alarm" } else { "" };
                    format!("{} {}{withheld}{alarm}", compliance.as_str(), reason.as_str())
                }
            };
            assert_eq!(found, expected, "{class}, {accepted:?} accepted, first refused {since:?} s ago");
        }
    }
}
