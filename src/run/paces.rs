//! What the runs of one instance share: the rates that are kept on our side, and what they have seen of waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Config;
use crate::domain::bounds::until;
use crate::domain::failure::Unfinished;
use crate::domain::pace::Pace;
use crate::domain::scan::subject::Group;
use crate::domain::wait::{Patience, Waits};
use crate::ports::Clock;

/// ListTagsForStream has 5 a second, for the account or for the stream, depending on the page one reads (Kinesis API reference
/// and developer guide), where DescribeStreamSummary has 20: of every five observations a second three may read tags.
const TAGS_OF_DESCRIBES: (u32, u32) = (3, 5);

/// What a scan about keys observes in a second. Another instance may run a sweep meanwhile, and neither knows of the other.
const KEY_SCAN_DESCRIBES_PER_SECOND: u32 = 2;

/// What LookupEvents has for the account and Region (CloudTrail API reference, LookupEvents).
const LOOKUPS_PER_SECOND: u32 = 2;

/// What the runs of one instance share.
#[derive(Debug)]
pub struct Paces {
    pub(crate) describes: Mutex<Pace>,
    pub(crate) tags: Mutex<Pace>,
    pub(crate) starts: Mutex<Pace>,
    scans: Mutex<Pace>,
    key_scans: Mutex<Pace>,
    pub(crate) trail: Mutex<Pace>,
    /// How long new streams were CREATING.
    pub(crate) creating: Mutex<Waits>,
    /// Its waits in runs that nobody waits for.
    patience: Mutex<Patience>,
}

impl Paces {
    /// The configured rates, divided by how many instances share them. Bursts are small: a few observations in the first second of
    /// a wait, for one run.
    pub fn new(config: &Config) -> Self {
        let sharers = config.max_concurrency;
        let (of, describes) = TAGS_OF_DESCRIBES;
        let tags_per_second = config.describes_per_second.saturating_mul(of).div_ceil(describes);
        Self {
            describes: Mutex::new(Pace::new(config.describes_per_second, sharers, 6)),
            tags: Mutex::new(Pace::new(tags_per_second, sharers, 4)),
            starts: Mutex::new(Pace::new(config.starts_per_second, sharers, 1)),
            // One scan of a group runs at a time, whatever the number of instances.
            scans: Mutex::new(Pace::new(config.scan_describes_per_second, 1, 1)),
            key_scans: Mutex::new(Pace::new(KEY_SCAN_DESCRIBES_PER_SECOND, 1, 1)),
            // Not divided: few instances read it at once, and it is read for a minute.
            trail: Mutex::new(Pace::new(LOOKUPS_PER_SECOND, 1, 1)),
            creating: Mutex::new(Waits::default()),
            patience: Mutex::default(),
        }
    }

    /// The rate of the scans of a group.
    pub(crate) fn of_scans(&self, group: Group) -> &Mutex<Pace> {
        match group {
            Group::Policy => &self.scans,
            Group::Keys => &self.key_scans,
        }
    }

    /// So many runs begin at once: where they are many, other instances are likely to have as many, and each waits for its turn.
    pub(crate) fn begin(&self, runs: usize) {
        let runs = u32::try_from(runs).unwrap_or(u32::MAX);
        for pace in [&self.describes, &self.tags] {
            pace.lock().unwrap_or_else(PoisonError::into_inner).share_burst(runs);
        }
    }

    /// Whether a run that nobody waits for may wait until `resume`.
    pub(crate) fn have_patience(&self, now: Timestamp, resume: Timestamp, most: Duration) -> bool {
        self.patience.lock().unwrap_or_else(PoisonError::into_inner).allows(now, resume, most)
    }

    /// Whether the next place of `pace` is to be waited for longer than `most`.
    pub(crate) fn is_busy<W: Clock>(pace: &Mutex<Pace>, world: &W, most: Duration) -> bool {
        pace.lock().unwrap_or_else(PoisonError::into_inner).wait(world.elapsed()) > most
    }

    /// Waits for the next place of `pace`, and says whether it had to; fails where that would leave no time for the call.
    pub(crate) async fn wait<W: Clock>(
        pace: &Mutex<Pace>,
        world: &W,
        deadline: Timestamp,
        call: &'static str,
    ) -> Result<bool, Unfinished> {
        let limit = until(world.now(), deadline);
        let taken = pace.lock().unwrap_or_else(PoisonError::into_inner).take(world.elapsed(), limit);
        let Some(wait) = taken else {
            let why = "the rate limit left no time for this call";
            return Err(Unfinished::open(call, "RateLimited", why));
        };
        if wait.is_zero() {
            return Ok(false);
        }
        world.sleep(wait).await;
        Ok(true)
    }
}
