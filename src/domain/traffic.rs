//! What CloudWatch counted of a stream's producers and consumers, minute by minute.
//!
//! [`queries`] says which metrics are asked for, [`judge`] what they say of a change. A minute without calls has no value in CloudWatch,
//! which is another thing than a minute in which none worked. Nothing is kept between two observations: each reads all minutes again,
//! since late samples change a minute.

pub mod judge;
pub mod queries;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// A minute, counted from 1970.
pub type Minute = i64;

/// CloudWatch shows a minute one to two minutes after its end (recorded: 110 s after it there, 50 s after it not yet): a younger one is
/// not judged.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// How long after ACTIVE the new setting may not hold yet (Kinesis API reference, StartStreamEncryption).
pub const TAKES_HOLD: SignedDuration = SignedDuration::from_secs(5);

/// For so long a change that broke a stream stops other changes to its key.
pub const HALTED_FOR: SignedDuration = SignedDuration::from_hours(24);

/// The minute that `at` lies in.
pub fn minute_of(at: Timestamp) -> Minute {
    at.as_second().div_euclid(60)
}

/// The first minute that begins at `at` or later.
fn whole_minute_from(at: Timestamp) -> Minute {
    let minute = minute_of(at);
    let begins = at.as_second().rem_euclid(60) == 0 && at.subsec_nanosecond() == 0;
    if begins { minute } else { minute + 1 }
}

/// The calls of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// How many there were.
    pub sent: u64,
    /// How many of them worked.
    pub worked: u64,
    /// What was throttled: that fails too, and says nothing of a key. Of consumers these are calls, of producers records.
    pub throttled: u64,
    /// What is in calls of PutRecords.
    pub batches: Batches,
}

/// The calls of PutRecords in one minute, and the records in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    /// How many calls there were.
    pub calls: u64,
    /// How many records were in them.
    pub records: u64,
    /// How many of the records were throttled.
    pub throttled: u64,
}

impl Calls {
    /// How many failed for another reason than that the stream was at its limits.
    pub fn failed(self) -> u64 {
        self.sent.saturating_sub(self.worked).saturating_sub(self.throttled_calls())
    }

    /// So many calls failed at most since they were throttled. One of PutRecords works where one of its records does, so that it fails for
    /// that only where all its records are throttled.
    fn throttled_calls(self) -> u64 {
        let Batches { calls, records, throttled } = self.batches;
        let in_batches = throttled.min(self.throttled);
        let whole_batches = match records {
            0 => in_batches,
            records => {
                u64::try_from(u128::from(in_batches) * u128::from(calls) / u128::from(records)).unwrap_or(u64::MAX)
            }
        };
        (self.throttled - in_batches).saturating_add(whole_batches)
    }

    /// Whether half of them or more failed.
    fn is_half_failed(self) -> bool {
        self.sent > 0 && self.failed().saturating_mul(2) >= self.sent
    }
}

/// One kind of user of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// Their calls. A minute without any may be missing.
    pub calls: BTreeMap<Minute, Calls>,
    /// How far they were behind the newest record, in milliseconds: the worst of each minute. Consumers alone have it.
    pub behind_ms: BTreeMap<Minute, u64>,
}

/// All users of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whoever puts records.
    pub producers: Series,
    /// Whoever reads with GetRecords: all together, since CloudWatch does not say who.
    pub readers: Series,
    /// Registered consumers, each by its name.
    pub consumers: BTreeMap<String, Series>,
    /// Records that went in.
    pub incoming: BTreeMap<Minute, u64>,
}

/// Whole minutes: from the first on, up to the last without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first.
    pub from: Minute,
    /// The one after the last.
    pub to: Minute,
}

impl Window {
    /// How many minutes it has.
    pub fn len(self) -> u64 {
        u64::try_from(self.to.saturating_sub(self.from)).unwrap_or_default()
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// The times of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// From when on minutes count as before it.
    pub before_from: Timestamp,
    /// When it was asked for.
    pub sent: Timestamp,
    /// When the stream was observed ACTIVE with it.
    pub active: Timestamp,
    /// Until when it is watched.
    pub until: Timestamp,
}

impl Change {
    /// A change that would be made at `now`, of a stream that was made at `created`: compared with `baseline` before it.
    pub fn at(now: Timestamp, baseline: SignedDuration, created: Timestamp) -> Self {
        let before_from = now.saturating_sub(baseline).unwrap_or(created).max(created).min(now);
        Self { before_from, sent: now, active: now, until: now }
    }

    /// The minutes before it.
    pub fn before(self) -> Window {
        let from = whole_minute_from(self.before_from);
        Window { from, to: minute_of(self.sent).max(from) }
    }

    /// The minutes after it that can be judged at `now`. Those that touch the change itself are neither before nor after it.
    pub fn after(self, now: Timestamp) -> Window {
        let from = whole_minute_from(self.active + TAKES_HOLD);
        let to = minute_of(now - SETTLED_AFTER).min(whole_minute_from(self.until));
        Window { from, to: to.max(from) }
    }
}
