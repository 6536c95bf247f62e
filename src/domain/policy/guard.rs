//! How a change of an existing stream is watched, as a policy says it.

use jiff::SignedDuration;

/// How a change of a stream older than an hour is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// For how long; `None`: it is not watched, and nothing else here means anything.
    pub watch: Option<SignedDuration>,
    /// The time before the change that the time after it is compared with.
    pub baseline: SignedDuration,
    /// What is done about a stream that its change broke.
    pub on_break: OnBreak,
    /// Where a stream goes back to that was not encrypted before.
    pub fall_back: FallBack,
    /// For how long a stream whose change was taken back is left alone.
    pub hold: SignedDuration,
}

/// What is done about a stream that its change broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBreak {
    /// An alarm alone.
    Alarm,
    /// Besides, it goes back to the key before, where CloudTrail shows who is denied.
    Restore,
}

/// Where a stream goes back to that was not encrypted before: encryption is never stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallBack {
    /// To the key that AWS manages.
    AwsManaged,
    /// Nowhere: it stays as it is.
    None,
}

/// The shortest and the longest time that a change can be watched. A producer renews its data key after 5 minutes (Kinesis developer guide,
/// costs of server-side encryption), metrics are there 3 minutes after they are made, and one minute alone says nothing.
pub const WATCH: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(10), SignedDuration::from_hours(2));
/// The shortest and the longest baseline.
pub const BASELINE: (SignedDuration, SignedDuration) = (SignedDuration::from_mins(10), SignedDuration::from_hours(24));
/// The shortest and the longest time that a stream is left alone. CloudTrail's event history has 90 days (CloudTrail user guide).
pub const HOLD: (SignedDuration, SignedDuration) =
    (SignedDuration::from_hours(24), SignedDuration::from_hours(90 * 24));

impl Default for Guard {
    fn default() -> Self {
        Self {
            watch: None,
            baseline: SignedDuration::from_hours(1),
            on_break: OnBreak::Alarm,
            fall_back: FallBack::AwsManaged,
            hold: SignedDuration::from_hours(30 * 24),
        }
    }
}
