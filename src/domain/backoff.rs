//! Pauses that double with each try. Pure: the caller has the dice.

use std::time::Duration;

/// How a pause grows.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The first pause.
    pub first: Duration,
    /// How often it doubles at most.
    pub doublings: u32,
    /// The longest pause.
    pub longest: Duration,
    /// By which factor a pause is spread, from and to, so that many that began together do not come back together.
    pub spread: (f64, f64),
}

/// The longest delay that SQS knows (SQS API reference, SendMessage).
pub const DELAY_MAX: Duration = Duration::from_secs(900);

/// Work that goes on in a later run.
pub const WORK: Backoff =
    Backoff { first: Duration::from_secs(15), doublings: 16, longest: DELAY_MAX, spread: (0.8, 1.2) };
/// An observation that failed, in a run.
pub const OBSERVATION: Backoff =
    Backoff { first: Duration::from_millis(400), doublings: 4, longest: Duration::from_secs(10), spread: (0.5, 1.5) };
/// A call that failed, in a scan.
pub const SCAN_CALL: Backoff =
    Backoff { first: Duration::from_secs(1), doublings: 6, longest: Duration::from_secs(64), spread: (1.0, 1.0) };
/// Work and scans whose policy could not be read.
pub const UNREAD: Backoff =
    Backoff { first: Duration::from_secs(15), doublings: 8, longest: Duration::from_secs(240), spread: (1.0, 1.0) };
/// An entry that EventBridge refuses for now.
pub const ENTRY: Backoff =
    Backoff { first: Duration::from_millis(200), doublings: 8, longest: Duration::from_secs(5), spread: (1.0, 1.0) };

impl Backoff {
    /// The pause after so many tries before the one that failed; `dice` is from 0 to 1.
    pub fn pause(&self, before: u32, dice: f64) -> Duration {
        let grown = self.first.saturating_mul(2_u32.saturating_pow(before.min(self.doublings))).min(self.longest);
        let (from, to) = self.spread;
        Duration::from_secs_f64(grown.as_secs_f64() * (from + (to - from) * dice.clamp(0.0, 1.0))).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &Backoff, dice: f64) -> Vec<f64> {
        [0, 1, 2, 3, 4, 5, 6, 60, u32::MAX].map(|before| backoff.pause(before, dice).as_secs_f64()).to_vec()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let work = [15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0];
        assert_eq!(seconds(&WORK, 0.5), work);
        assert_eq!(seconds(&WORK, 0.0), work.map(|pause| pause * 0.8));
        assert_eq!(seconds(&WORK, 1.0), work.map(|pause| (pause * 1.2).min(900.0)));
        assert_eq!(seconds(&OBSERVATION, 0.5), [0.4, 0.8, 1.6, 3.2, 6.4, 6.4, 6.4, 6.4, 6.4]);
        assert_eq!(seconds(&OBSERVATION, 1.0).last(), Some(&9.6));
        assert_eq!(seconds(&SCAN_CALL, 1.0), [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0, 64.0]);
        assert_eq!(seconds(&UNREAD, 0.0), [15.0, 30.0, 60.0, 120.0, 240.0, 240.0, 240.0, 240.0, 240.0]);
        assert_eq!(seconds(&ENTRY, 0.0).get(..3), Some([0.2, 0.4, 0.8].as_slice()));
    }
}
