//! A rate that is kept on our side, so that many runs at once do not take an account's shared quota from everybody else.
//!
//! Pure: the caller says what time it is and waits as long as the answer says. (The generic cell rate algorithm.)

use jiff::{SignedDuration, Timestamp};

/// A rate with room for a small burst.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: SignedDuration,
    /// How many at once, where one caller has it to itself.
    burst_max: u32,
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
        let mut pace = Self { interval, burst_max: burst, burst: SignedDuration::ZERO, due: Timestamp::MIN };
        pace.share_burst(1);
        pace
    }

    /// From now on so many callers at once share the burst, down to none of it: the rate alone is left.
    pub fn share_burst(&mut self, callers: u32) {
        let burst = (self.burst_max / callers.max(1)).max(1);
        self.burst = self.interval * i32::try_from(burst - 1).unwrap_or(i32::MAX);
    }

    /// Takes the next place and says how long to wait for it; `None`, and no place taken, where that is `limit` or longer.
    pub fn take(&mut self, now: Timestamp, limit: SignedDuration) -> Option<SignedDuration> {
        let due = self.due.max(now);
        let wait = (due.duration_since(now) - self.burst).max(SignedDuration::ZERO);
        if wait >= limit {
            return None;
        }
        self.due = due.saturating_add(self.interval).unwrap_or(Timestamp::MAX);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: SignedDuration = SignedDuration::from_hours(1);

    #[test]
    fn a_burst_then_the_rate() {
        let mut pace = Pace::new(5, 5, 3);
        let now = Timestamp::UNIX_EPOCH;
        let mut take = |now, n| -> Vec<i64> { (0..n).map(|_| pace.take(now, LONG).unwrap().as_secs()).collect() };
        assert_eq!(take(now, 6), [0, 0, 0, 1, 2, 3]);
        // Ten quiet seconds bring the burst back, and no more than the burst.
        let later = now + SignedDuration::from_secs(20);
        assert_eq!(take(later, 5), [0, 0, 0, 1, 2]);
    }

    #[test]
    fn many_at_once_have_the_rate_and_no_burst() {
        let now = Timestamp::UNIX_EPOCH;
        let take = |callers, n| -> Vec<i64> {
            let mut pace = Pace::new(1, 1, 4);
            pace.share_burst(callers);
            (0..n).map(|_| pace.take(now, LONG).unwrap().as_secs()).collect()
        };
        assert_eq!(take(1, 6), [0, 0, 0, 0, 1, 2]);
        assert_eq!(take(2, 6), [0, 0, 1, 2, 3, 4]);
        assert_eq!(take(10, 4), [0, 1, 2, 3]);
        assert_eq!(take(0, 6), take(1, 6));
    }

    #[test]
    fn a_place_that_is_refused_is_not_taken() {
        let mut pace = Pace::new(1, 1, 1);
        let now = Timestamp::UNIX_EPOCH;
        let limit = SignedDuration::from_secs(2);
        let taken: Vec<Option<i64>> = (0..9).map(|_| pace.take(now, limit).map(|w| w.as_secs())).collect();
        assert_eq!(taken, [Some(0), Some(1), None, None, None, None, None, None, None]);
        assert_eq!(pace.take(now + SignedDuration::from_secs(1), limit), Some(SignedDuration::from_secs(1)));
    }

    #[test]
    fn the_rate_is_shared() {
        let mut pace = Pace::new(10, 2, 1);
        let now = Timestamp::UNIX_EPOCH;
        let waits: Vec<i128> = (0..3).map(|_| pace.take(now, LONG).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 200, 400]);
    }
}
