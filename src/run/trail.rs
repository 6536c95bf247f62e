//! Reads CloudTrail's event history page by page, within bounds: of pages, of time, and of the rate that the account has for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::paces::Paces;
use crate::domain::arn::StreamArn;
use crate::domain::failure::Unfinished;
use crate::domain::history::{Query, Trail};
use crate::ports::{CallLog, Clock, TrailApi, TrailPage};

/// What one reading may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests, over all queries.
    pub pages: usize,
    /// After this no page is begun. A request that is under way has its own timeout, so that a refusal is seen as one.
    pub time: Duration,
}

/// What reading the history of one stream may cost: a stream is changed seldom.
pub const OF_ONE: Limits = Limits { pages: 4, time: Duration::from_secs(10) };

/// Reads the changes of one stream from `since` on, as [`read`] does.
///
/// # Errors
/// As those of [`read`].
pub async fn read_one<W: TrailApi + Clock>(
    world: &W,
    stream: &StreamArn,
    since: Timestamp,
    pace: (&Paces, Timestamp),
    log: &CallLog,
) -> Result<Trail, Unfinished> {
    let mut trail = read(world, &Query::of(stream), since, OF_ONE, pace, log).await?;
    // Another resource may have the name.
    trail.changes.retain(|change| change.stream == stream.name);
    Ok(trail)
}

/// Reads the records of `queries` from `since` on, the newest of each first, at the pace that `paces` keeps until `deadline`. Where a
/// limit is reached, what was read so far is the answer, and it is not whole.
///
/// # Errors
/// The first request that fails, or that the pace leaves no time for.
pub async fn read<W: TrailApi + Clock>(
    world: &W,
    queries: &[Query],
    since: Timestamp,
    limits: Limits,
    (paces, deadline): (&Paces, Timestamp),
    log: &CallLog,
) -> Result<Trail, Unfinished> {
    let end = world.now() + SignedDuration::try_from(limits.time).unwrap_or(SignedDuration::ZERO);
    let mut trail = Trail::default();
    let mut pages_left = limits.pages;
    for query in queries {
        let mut token: Option<String> = None;
        loop {
            if pages_left == 0 || world.now() >= end {
                return Ok(trail);
            }
            pages_left -= 1;
            Paces::wait(&paces.trail, world, deadline, "cloudtrail:LookupEvents").await?;
            let TrailPage { changes, uses, policies, next } =
                world.trail_page(query, since, token.as_deref(), log).await?;
            trail.changes.extend(changes);
            trail.uses.extend(uses);
            trail.policies.extend(policies);
            match next {
                Some(next) => token = Some(next),
                None => break,
            }
        }
    }
    trail.whole = true;
    Ok(trail)
}
