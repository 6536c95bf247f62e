//! A rate that is kept on our side, so that many runs at once do not take an account's shared quota from everybody else.
//!
//! Pure: the caller says what time it is and waits as long as the answer says. (The generic cell rate algorithm.)

use std::time::Duration;

/// A rate with room for a small burst. Times are those of a clock that nobody sets.
#[derive(Clone, Debug)]
pub struct Pace {
    interval: Duration,
    /// How many at once, where one caller has it to itself.
    burst_max: u32,
    burst: Duration,
    /// When the next call would be due if calls came evenly.
    due: Duration,
}

impl Pace {
    /// `per_second` calls, shared with `sharers` others that keep the same pace (this one included), and up to `burst` at
    /// once.
    pub fn new(per_second: u32, sharers: u32, burst: u32) -> Self {
        let interval = Duration::from_secs(1).saturating_mul(sharers.max(1)) / per_second.max(1);
        let mut pace = Self { interval, burst_max: burst, burst: Duration::ZERO, due: Duration::ZERO };
        pace.share_burst(1);
        pace
    }

    /// From now on so many callers at once share the burst, down to none of it: the rate alone is left.
    pub fn share_burst(&mut self, callers: u32) {
        let burst = (self.burst_max / callers.max(1)).max(1);
        self.burst = self.interval.saturating_mul(burst - 1);
    }

    /// How long the next place is to be waited for.
    pub fn wait(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now).saturating_sub(self.burst)
    }

    /// Takes the next place and says how long to wait for it; `None`, and no place taken, where that is `limit` or longer.
    pub fn take(&mut self, now: Duration, limit: Duration) -> Option<Duration> {
        let wait = self.wait(now);
        if wait >= limit {
            return None;
        }
        self.due = self.due.max(now).saturating_add(self.interval);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn a_burst_then_the_rate() {
        let mut pace = Pace::new(5, 5, 3);
        let now = NOW;
        let mut take = |now, n| -> Vec<u64> { (0..n).map(|_| pace.take(now, LONG).unwrap().as_secs()).collect() };
        assert_eq!(take(now, 6), [0, 0, 0, 1, 2, 3]);
        // Ten quiet seconds bring the burst back, and no more than the burst.
        let later = now + Duration::from_secs(20);
        assert_eq!(take(later, 5), [0, 0, 0, 1, 2]);
    }

    #[test]
    fn many_at_once_have_the_rate_and_no_burst() {
        let now = NOW;
        let take = |callers, n| -> Vec<u64> {
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
        let now = NOW;
        let limit = Duration::from_secs(2);
        let taken: Vec<Option<u64>> = (0..9).map(|_| pace.take(now, limit).map(|w| w.as_secs())).collect();
        assert_eq!(taken, [Some(0), Some(1), None, None, None, None, None, None, None]);
        assert_eq!(pace.take(now + Duration::from_secs(1), limit), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_rate_is_shared() {
        let mut pace = Pace::new(10, 2, 1);
        let now = NOW;
        let waits: Vec<u128> = (0..3).map(|_| pace.take(now, LONG).unwrap().as_millis()).collect();
        assert_eq!(waits, [0, 200, 400]);
    }
}
