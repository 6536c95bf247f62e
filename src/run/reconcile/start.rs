//! The one Start request of a run: its turn, the call, and what follows where it fails. What an answer means is decided in
//! `domain/plan/start.rs`.

use tracing::info;

use super::Run;
use crate::domain::failure::{Class, Failure};
use crate::domain::history::accepted_starts;
use crate::domain::model::KeyIdentity;
use crate::domain::plan::close::{After, End, later, no_time_left};
use crate::domain::plan::guard::life;
use crate::domain::plan::observation::Observation;
use crate::domain::plan::situation::Situation;
use crate::domain::plan::start::{AfterStart, RefusedStart, judge_start, may_be_rate};
use crate::domain::verdict::{Action, Reason};
use crate::domain::wait::longest;
use crate::domain::work::Work;
use crate::ports::{Clock, StreamApi, TrailApi};
use crate::run::paces::Paces;
use crate::run::session::Session;

impl<W: StreamApi + TrailApi + Clock> Run<'_, W> {
    /// The one Start request of a run.
    pub(super) async fn start(&mut self, key: &KeyIdentity, observation: &Observation) -> Option<End> {
        if !self.has_turn {
            let Session { paces, deadline, .. } = *self.session;
            match Paces::wait(&paces.starts, self.world, deadline, "kinesis:StartStreamEncryption").await {
                Err(why) => return Some(later(why)),
                Ok(waited) => self.has_turn = waited,
            }
            if self.has_turn {
                // What was seen before the wait may not be so any more: observe again, then start without another wait.
                self.observer.forget_keys().await;
                return None;
            }
        }
        if self.no_time() {
            return Some(no_time_left("no time was left to start encryption"));
        }
        info!(stream = %self.state.work.stream, %key, "StartStreamEncryption");
        let sent = self.world.now();
        let before = self.state.starting(observation, sent);
        let result = self.world.start_encryption(&self.state.work.stream, key, &self.log).await;
        self.waiting_since = self.world.now();
        self.wait_until =
            self.waiting_since + longest(&self.state.work, true, self.session.has_queue, self.session.config.wait);
        let surely_not = match result {
            Ok(()) => {
                self.state.started();
                None
            }
            Err(failure) => match self.refused_start(&failure, observation).await {
                AfterStart::Observe => None,
                AfterStart::End(verdict) => Some((verdict, After::Verdict)),
                AfterStart::Later(failure) | AfterStart::NotFound(failure) => Some(later(failure)),
            },
        };
        if surely_not.is_some() {
            self.state.not_started(before);
            return surely_not;
        }
        self.guarding.back = life::back(&self.state.work);
        if let Some(role) = &self.session.config.own_role_arn {
            self.session.history.started(&self.state.work.stream.name, key, role, sent);
        }
        if let Observation::Active(Situation::Wrong(wrong)) = observation {
            self.warnings.extend(wrong.old_records(self.state.before.as_ref().map(|before| &before.observed)));
        }
        None
    }

    /// What follows from a Start that failed. CloudTrail is asked only where the words and the time leave it open.
    async fn refused_start(&mut self, failure: &Failure, observation: &Observation) -> AfterStart {
        let may_be_quota = failure.class == Class::RateOrQuota;
        let is_open = may_be_quota && may_be_rate(self.state.work.refused_since, self.world.now());
        let accepted = if is_open { self.accepted_starts().await } else { None };
        let now = self.world.now();
        // A stream that is to go back has users that fail, as one without protection has.
        let goes_back = self.state.work.watch.is_some();
        let unprotected = goes_back || observation.situation().is_some_and(Situation::is_unprotected);
        let (reason, action) = match observation {
            Observation::Active(Situation::Wrong(wrong)) => (wrong.reason(), wrong.action()),
            _ if goes_back => (Reason::Broken, Action::Rekey),
            // A key is put back in place of one that cannot be used.
            _ => (Reason::KeyUnusable, Action::Rekey),
        };
        let Work { refused_since, not_found_since, .. } = &mut self.state.work;
        let refused = RefusedStart { reason, action, unprotected, accepted, refused_since: *refused_since, now };
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
        let Session { config, history, paces, deadline, .. } = *self.session;
        config.own_role_arn.as_ref()?;
        // Where it was not read whole these are some of them: the quota where they are enough, and else as if it was not read.
        let trail = history.of(&self.state.work.stream, None, self.world, (paces, deadline), &self.log).await.ok()?;
        Some(accepted_starts(&trail.changes, self.world.now()))
    }
}
