//! The one Start request of a run: its turn, the call, and what follows where it fails. What an answer means is decided in
//! `domain/plan.rs`.

use tracing::info;

use super::{After, End, Paces, Run, Settings, later, no_time_left};
use crate::domain::failure::{Class, Failure};
use crate::domain::history::accepted_starts;
use crate::domain::model::KeyIdentity;
use crate::domain::plan::proof::Owed;
use crate::domain::plan::sight::{Sight, is_unprotected};
use crate::domain::plan::situation::{CurrentKey, Situation};
use crate::domain::plan::start::{AfterStart, RefusedStart, judge_start, may_be_rate};
use crate::domain::plan::step::Started;
use crate::domain::work::{PutBack, Work};
use crate::ports::World;

impl<W: World> Run<'_, W> {
    /// The one Start request of a run.
    pub(super) async fn start(&mut self, key: &KeyIdentity, sight: &Sight) -> Option<End> {
        if !self.has_turn {
            let Settings { paces, deadline, .. } = *self.settings;
            match Paces::wait(&paces.starts, self.world, deadline, "kinesis:StartStreamEncryption").await {
                Err(failure) => return Some(later(failure)),
                Ok(waited) => self.has_turn = waited,
            }
            if self.has_turn {
                // What was seen before the wait may not be so any more: look again, then start without another wait.
                self.keys.clear();
                return None;
            }
        }
        if self.no_time() {
            return Some(no_time_left("no time was left to start encryption"));
        }
        info!(stream = %self.work.stream, %key, "StartStreamEncryption");
        // From here on the request may be under way, also where the run is cut off before the answer.
        let owed_before = (self.progress.clone(), self.work.clone());
        let progress = self.progress.get_or_insert_default();
        progress.started = Some(Started { acknowledged: false });
        progress.proof = Owed::Now;
        progress.wrong_since = None;
        self.work.proof_owed = true;
        self.work.started = true;
        if let Sight::Active(Situation::Wrong { current: Some(CurrentKey { info, .. }), .. }) = sight {
            self.work.rekeyed = true;
            // Once a cause: where a key was put back before, there is no way back a second time.
            let usable = info.as_ref().filter(|i| i.problem.is_none() && self.work.put_back == PutBack::No);
            self.work.previous_key = usable.and_then(|i| match &i.identity {
                KeyIdentity::Arn(arn) => Some(arn.clone()),
                KeyIdentity::AwsManagedAlias => None,
            });
        }
        let sent = self.world.now();
        if self.work.put_back == PutBack::No {
            self.work.started_at = Some(sent);
        }
        let result = self.world.start_encryption(&self.work.stream, key, &self.log).await;
        self.waiting_since = self.world.now();
        let surely_not = match result {
            Ok(()) => {
                self.progress.get_or_insert_default().started = Some(Started { acknowledged: true });
                self.work.refused_since = None;
                None
            }
            Err(failure) => match self.refused_start(&failure, sight).await {
                AfterStart::Observe => None,
                AfterStart::End(verdict) => Some((verdict, After::Verdict)),
                AfterStart::Later(failure) | AfterStart::NotFound(failure) => Some(later(failure)),
            },
        };
        if surely_not.is_some() {
            let Work { refused_since, not_found_since, .. } = self.work;
            (self.progress, self.work) = owed_before;
            (self.work.refused_since, self.work.not_found_since) = (refused_since, not_found_since);
            return surely_not;
        }
        if let Some(role) = &self.settings.config.own_role_arn {
            self.settings.history.started(&self.work.stream.name, key, role, sent);
        }
        if let Sight::Active(Situation::Wrong { current: Some(current), .. }) = sight {
            self.warn_of_old_records(current);
        }
        None
    }

    /// What follows from a Start that failed. CloudTrail is asked only where the words and the time leave it open.
    async fn refused_start(&mut self, failure: &Failure, sight: &Sight) -> AfterStart {
        let may_be_quota = failure.class == Class::RateOrQuota;
        let is_open = may_be_quota && may_be_rate(self.work.refused_since, self.world.now());
        let accepted = if is_open { self.accepted_starts().await } else { None };
        let now = self.world.now();
        let Work { refused_since, not_found_since, .. } = &mut self.work;
        let refused = RefusedStart { unprotected: is_unprotected(sight), accepted, refused_since: *refused_since, now };
        let after = judge_start(failure, refused);
        if may_be_quota {
            refused_since.get_or_insert(now);
        }
        if matches!(after, AfterStart::NotFound(_)) {
            not_found_since.get_or_insert(now);
        }
        after
    }

    /// How many Starts of a stream of this name CloudTrail shows in the last day, those of an earlier stream of the name included;
    /// `None` where it was not read.
    async fn accepted_starts(&self) -> Option<usize> {
        let Settings { config, history, paces, deadline, .. } = *self.settings;
        config.own_role_arn.as_ref()?;
        // Where it was not read whole these are some of them: the quota where they are enough, and else as if it was not read.
        let trail = history.of(&self.work.stream, None, self.world, (paces, deadline), &self.log).await.ok()?;
        Some(accepted_starts(&trail.changes, self.world.now()))
    }
}
