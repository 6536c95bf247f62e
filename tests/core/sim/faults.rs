//! What can go wrong with a call, by script or by chance, and what `src/domain/codes.rs` makes of it.

use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::failure::{Class, Failure};

use super::{Op, SAYS, State, failed};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request never arrives; the caller waits for an answer in vain.
    LostBefore,
    /// The answer never arrives; the call took effect.
    LostAfter,
    /// Refused for the rate of calls.
    Throttled,
    /// Refused by KMS for the rate of calls, which no SDK retries.
    KmsThrottled,
    /// HTTP 500.
    ServerError,
    /// Refused with this class.
    Refused(Class, &'static str),
    /// Refused for want of a permission, in these words.
    Denied(&'static str),
    /// The function's own code fails.
    Panic,
}

/// Refused because the credentials of the process are out of date.
pub(crate) const EXPIRED: Fault = Fault::Refused(Class::Expired, "ExpiredTokenException");

impl Fault {
    /// The failure that the adapters would make of it.
    pub(crate) fn failure(self, op: Op) -> Failure {
        let failed = |code| failed(op, code, SAYS);
        let lost = |code| Failure { may_have_applied: op.is_write(), ..failed(code) };
        match self {
            Self::LostBefore | Self::LostAfter => lost("Timeout"),
            Self::ServerError => lost("InternalFailure"),
            Self::Throttled => super::failed(op, "LimitExceededException", "Rate exceeded for account 111122223333."),
            Self::KmsThrottled => failed("KMSThrottlingException"),
            Self::Refused(class, code) => Failure { class, ..failed(code) },
            Self::Denied(words) => super::failed(op, "AccessDeniedException", words),
            Self::Panic => failed("Panic"),
        }
    }
}

/// A fault that strikes once: the next call of this kind, of this target if one is named.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) op: Op,
    pub(crate) target: Option<String>,
    pub(crate) fault: Fault,
}

/// What is left to chance. Calm by default.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// One way, in milliseconds.
    pub(crate) latency_ms: RangeInclusive<u64>,
    /// By how much a describe may be out of date.
    pub(crate) describe_lag_ms: u64,
    /// How long a stream is UPDATING after a Start.
    pub(crate) update_ms: RangeInclusive<u64>,
    /// After ACTIVE, until records are encrypted; 5 s at the most.
    pub(crate) propagation_ms: RangeInclusive<u64>,
    /// From a call to its event in the queue.
    pub(crate) event_delay_ms: RangeInclusive<u64>,
    /// Of 1000 calls, how many fail in a way that passes.
    pub(crate) faults: u32,
    /// Of 1000 messages, how many come twice.
    pub(crate) duplicates: u32,
    /// Of 1000 invocations, how many are killed at some await point.
    pub(crate) kills: u32,
    /// Whether our own Start comes back as an event.
    pub(crate) echoes: bool,
    /// From a call to its record in CloudTrail's history; each record has a lag of its own.
    pub(crate) trail_lag_ms: RangeInclusive<u64>,
    /// How many calls of StartStreamEncryption that were refused the last day of the history has.
    pub(crate) refused_starts: usize,
}

impl Weather {
    /// Nothing goes wrong: UPDATING takes 3 s and events take 6 s (recorded: 2 to 4 and 5 to 8), and
    /// encryption takes 2 s to take hold.
    pub(crate) fn calm() -> Self {
        Self {
            latency_ms: 10..=30,
            describe_lag_ms: 0,
            update_ms: 3_000..=3_000,
            propagation_ms: 2_000..=2_000,
            event_delay_ms: 6_000..=6_000,
            faults: 0,
            duplicates: 0,
            kills: 0,
            echoes: false,
            trail_lag_ms: 0..=0,
            refused_starts: 0,
        }
    }
}

impl State {
    pub(crate) fn latency(&mut self) -> Duration {
        Duration::from_millis(self.dice.u64(self.weather.latency_ms.clone()))
    }

    /// Whether something happens that happens `per_mille` times of 1000.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.dice.u32(0..1000) < per_mille
    }

    /// What goes wrong with the next call; scripted faults first.
    pub(crate) fn fault(&mut self, op: Op, target: &str, now: Timestamp, spared: bool) -> Option<Fault> {
        let scripted = |s: &Script| s.op == op && s.target.as_deref().is_none_or(|t| t == target);
        if let Some(index) = self.script.iter().position(scripted) {
            return Some(self.script.remove(index).fault);
        }
        if let Some(always) = self.always.iter().find(|s| scripted(s)) {
            return Some(always.fault);
        }
        if self.over_the_rate(op, now) {
            return Some(Fault::Throttled);
        }
        // A message that is out of luck is spared what would bring it to the dead-letter queue.
        if (spared && matches!(op, Op::Send | Op::Parameter)) || !self.chance(self.weather.faults) {
            return None;
        }
        Some(match self.dice.u8(0..5) {
            0 => Fault::LostBefore,
            1 => Fault::LostAfter,
            2 => Fault::Throttled,
            3 if matches!(op, Op::Start | Op::Put) => Fault::KmsThrottled,
            _ => Fault::ServerError,
        })
    }

    /// The account's rates a second (Kinesis developer guide, quotas); Start's is not published, its neighbours have 5.
    fn over_the_rate(&mut self, op: Op, now: Timestamp) -> bool {
        let limit = match op {
            Op::Describe => 20,
            Op::Tags | Op::Start => 5,
            Op::List => 5,
            Op::Trail => 2,
            Op::Put
            | Op::Read
            | Op::Lookup
            | Op::Parameter
            | Op::Send
            | Op::TagsOf
            | Op::Bus
            | Op::Metrics
            | Op::Consumers
            | Op::ResourcePolicy => return false,
        };
        self.recent.retain(|(at, _)| now.duration_since(*at) < SignedDuration::from_secs(1));
        let recent = self.recent.iter().filter(|(_, o)| *o == op).count();
        self.recent.push((now, op));
        recent >= limit
    }
}
