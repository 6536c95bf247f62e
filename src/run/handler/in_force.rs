//! The policy and the mode in force: read when they are too old, and what becomes of work while they cannot be used.
//!
//! "Cannot be read now" and "not valid" are two things. What cannot be read is asked for once more, and then the work waits for
//! seconds, since most such failures pass; a policy that is not valid waits for a person.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::{error, warn};

use super::App;
use super::answer::{POLICY_UNUSABLE, Unhandled};
use super::parameters::{InForce, Loaded, still_good};
use crate::config::{self, ModeSource, Source};
use crate::domain::backoff::{UNREAD, WORK};
use crate::domain::event::item::Item;
use crate::domain::model::Mode;
use crate::domain::note::{Note, Outcome};
use crate::domain::policy::Policy;
use crate::ports::{Clock, Credentials, EvidenceSink, ParameterApi, WorkQueue};
use crate::run::session::dice;

/// A policy that lives in a parameter is read again when it is older than this.
const POLICY_AGE_MAX: SignedDuration = SignedDuration::from_secs(60);
/// The same where a scan is asked for: less than the margin after which the sweep for a new policy begins (`domain/scan/window.rs`).
const ASKED_AGE_MAX: SignedDuration = SignedDuration::from_secs(5);
/// How many of a policy's faults go into one log line; `streamseal check` shows all.
const FAULTS_MAX: usize = 20;
/// A mode that lives in a parameter is read again when it is older than this.
const MODE_AGE_MAX: SignedDuration = SignedDuration::from_secs(5);
/// While the policy is not valid, work comes back as after this many attempts: every few minutes.
const KEPT_ATTEMPT: u32 = 5;
/// The pause before the policy or the mode is read a second time in one invocation.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// From so many times in a row on, a policy that cannot be read is an alarm.
const UNREAD_ALARM: u32 = 2;

impl<W: ParameterApi + WorkQueue + Credentials + Clock> App<W> {
    /// The policy and the mode, once for all items; not read where no item needs them. For scans the policy is read afresh: one may
    /// be there because of a new policy. So is the mode where it may be what changed. A request that waits for its window is dropped where no
    /// rule names its alias, by a policy of a few seconds ago: a newer one has a sweep of its own, which begins after it.
    pub(super) async fn in_force<'a>(&self, items: impl Iterator<Item = &'a Item>) -> InForce {
        let ages = |item: &Item| match item {
            Item::Scan(_) | Item::PolicyChanged(..) if self.world.has_scan_queue() => {
                Some((ASKED_AGE_MAX, MODE_AGE_MAX))
            }
            Item::Scan(scan) | Item::ScanNow(scan) | Item::PolicyChanged(_, scan) => {
                let mode_age = if scan.cause.is_a_new_policy() { SignedDuration::ZERO } else { MODE_AGE_MAX };
                Some((SignedDuration::ZERO, mode_age))
            }
            Item::Reconcile(_) => Some((POLICY_AGE_MAX, MODE_AGE_MAX)),
            Item::Ignored(_) | Item::Rejected(_) | Item::Malformed(_) | Item::Rest(_) => None,
        };
        let youngest = |one: (SignedDuration, SignedDuration), other: (SignedDuration, SignedDuration)| {
            (one.0.min(other.0), one.1.min(other.1))
        };
        let Some((policy_age, mode_age)) = items.filter_map(ages).reduce(youngest) else {
            return Err(Unhandled::PolicyUnread("not read".to_owned()));
        };
        let policy = self.policy(policy_age).await?;
        let mode = self.mode(mode_age).await?;
        Ok((policy, mode))
    }

    async fn policy(&self, age_max: SignedDuration) -> Result<Arc<Policy>, Unhandled> {
        let source = &self.config.policy;
        let age_max = if matches!(source, Source::Parameter(_)) { age_max } else { SignedDuration::MAX };
        if let Some(policy) = still_good(&self.parameters.policy, age_max, self.world.now()) {
            return Ok(policy);
        }
        let (text, at) = self.read(source).await?;
        let policy = Policy::load(&text).map_err(|faults| {
            // What was in force before is not any more.
            *self.parameters.policy.lock().unwrap_or_else(PoisonError::into_inner) = None;
            let more = faults.len().saturating_sub(FAULTS_MAX);
            let mut faults: Vec<String> = faults.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
            if more > 0 {
                faults.push(format!("and {more} more"));
            }
            Unhandled::PolicyUnusable(format!("the policy in {source} is not valid: {}", faults.join("; ")))
        })?;
        let policy = Arc::new(policy);
        let loaded = Loaded { what: Arc::clone(&policy), at };
        *self.parameters.policy.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        Ok(policy)
    }

    async fn mode(&self, age_max: SignedDuration) -> Result<Mode, Unhandled> {
        let source = match &self.config.mode {
            ModeSource::Fixed(mode) => return Ok(*mode),
            ModeSource::Read(source) => source,
        };
        if let Some(mode) = still_good(&self.parameters.mode, age_max, self.world.now()) {
            return Ok(mode);
        }
        let (text, at) = self.read(source).await?;
        let mode = config::mode(&text);
        *self.parameters.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode.map(|what| Loaded { what, at });
        mode.ok_or_else(|| Unhandled::PolicyUnusable(format!("{source}: the mode must be `report` or `enforce`")))
    }

    /// Reads the policy or the mode, once more where that fails, and says when it asked for what it got.
    async fn read(&self, source: &Source) -> Result<(String, Timestamp), Unhandled> {
        let first = self.world.now();
        match self.world.read(source).await {
            Ok(text) => return Ok((text, first)),
            Err(_) if self.world.have_expired() => return Err(Unhandled::CredentialsExpired),
            Err(_) => {}
        }
        self.world.sleep(READ_PAUSE).await;
        let second = self.world.now();
        let text = self.world.read(source).await.map_err(|failure| Unhandled::PolicyUnread(failure.to_string()))?;
        Ok((text, second))
    }
}

impl<W: EvidenceSink + Clock> App<W> {
    /// Notes that something is kept, after `before` times in a row at which the policy could not be read: how many these are now, and
    /// how long it waits. A policy that is not valid is an alarm at once, and one that cannot be read is one the second time.
    pub(super) fn kept(&self, unusable: &Unhandled, before: u32, what: &str) -> (u32, Duration) {
        let unread = match unusable {
            Unhandled::PolicyUnread(_) => before.saturating_add(1),
            _ => 0,
        };
        let alarm = unread == 0 || unread >= UNREAD_ALARM;
        let reason = if alarm { POLICY_UNUSABLE } else { unusable.kind() };
        self.world.note(&Note::new(Outcome::Deferred, reason, &unusable.to_string(), self.world.now()));
        if alarm {
            error!("{what} is kept: {unusable}");
        } else {
            warn!("{what} is kept: {unusable}");
        }
        (unread, deferred_for(unread, self.world.now()))
    }
}

/// How long work is kept whose policy could not be read so many times in a row; 0: it is not valid.
fn deferred_for(unread: u32, now: Timestamp) -> Duration {
    match unread.checked_sub(1) {
        None => WORK.pause(KEPT_ATTEMPT, dice(now)),
        Some(before) => UNREAD.pause(before, 0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_waits_for_seconds_and_what_is_not_valid_for_minutes() {
        let waits =
            [1, 2, 3, 4, 5, 6, 60, u32::MAX].map(|unread| deferred_for(unread, Timestamp::UNIX_EPOCH).as_secs());
        assert_eq!(waits, [15, 30, 60, 120, 240, 240, 240, 240]);
        for at in 0..50 {
            let waits = deferred_for(0, Timestamp::from_second(at).unwrap()).as_secs();
            assert!((384..=576).contains(&waits), "{waits}");
        }
    }
}
