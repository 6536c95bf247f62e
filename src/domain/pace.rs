//! A rate that is kept on our side, so that many runs at once do not take an account's shared quota from everybody else.
//!
//! Pure: the caller says what time it is and waits as long as it is told. (The generic cell rate algorithm.)

use jiff::{SignedDuration, Timestamp};

/// A rate with room for a small burst.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: SignedDuration,
    burst: SignedDuration,
    /// When the next call would be due if calls came evenly.
    due: Timestamp,
}

impl Pace {
    /// `per_second` calls, shared with `sharers` others that keep the same pace (this one included), and up to `burst` at
    /// once.
    pub fn new(per_second: u32, sharers: u32, burst: u32) -> Self {
        let interval = SignedDuration::from_secs(1) * i32::try_from(sharers.max(1)).unwrap_or(i32::MAX)
            / i32::try_from(per_second.max(1)).unwrap_or(i32::MAX);
        let burst = interval * i32::try_from(burst.max(1) - 1).unwrap_or(i32::MAX);
        Self { interval, burst, due: Timestamp::MIN }
    }

    /// Takes the next place; how long to wait for it.
    pub fn take(&mut self, now: Timestamp) -> SignedDuration {
        let due = self.due.max(now);
        self.due = due.saturating_add(self.interval).unwrap_or(Timestamp::MAX);
        (due.duration_since(now) - self.burst).max(SignedDuration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut pace = Pace::new(5, 5, 3);
        let now = Timestamp::UNIX_EPOCH;
        let waits: Vec<i64> = (0..6).map(|_| pace.take(now).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 3]);
        // Ten quiet seconds bring the burst back, and no more than the burst.
        let later = now + SignedDuration::from_secs(20);
        let waits: Vec<i64> = (0..5).map(|_| pace.take(later).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
    }

    #[test]
    fn the_rate_is_shared() {
        let mut pace = Pace::new(10, 2, 1);
        let now = Timestamp::UNIX_EPOCH;
        let waits: Vec<i128> = (0..3).map(|_| pace.take(now).as_millis()).collect();
        assert_eq!(waits, [0, 200, 400]);
    }
}
