//! What holds for a whole invocation, and the time that is left of it.

use jiff::{SignedDuration, Timestamp};

use super::history::History;
use super::paces::Paces;
use crate::config::Config;
use crate::domain::arn::StreamArn;
use crate::domain::cause::Cause;
use crate::domain::evidence::Evidence;
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::plan::observation::Observation;
use crate::domain::plan::permit::{Circumstances, permit};
use crate::domain::plan::step::{Progress, Step, next_step};
use crate::domain::policy::Policy;
use crate::domain::verdict::Verdict;

/// What one request may take (`ATTEMPT_TIMEOUT` of the adapters): with less time left no write is begun.
pub const CALL_TIME: SignedDuration = SignedDuration::from_secs(5);

/// What holds for a whole invocation.
#[derive(Clone, Copy, Debug)]
pub struct Session<'a> {
    /// The function's configuration.
    pub config: &'a Config,
    /// The policy in force.
    pub policy: &'a Policy,
    /// The mode in force.
    pub mode: Mode,
    /// The invocation's id.
    pub run_id: &'a str,
    /// When the run must have ended.
    pub deadline: Timestamp,
    /// The rates that runs share.
    pub paces: &'a Paces,
    /// What is known of CloudTrail's history.
    pub history: &'a History,
    /// Whether there is a queue for work that is not finished.
    pub has_queue: bool,
    /// The one key that a person agreed to, where there is a plan.
    pub planned: Option<&'a KeyIdentity>,
    /// Whether changes are watched as their rules say. A person at the command line watches himself.
    pub guards: bool,
}

impl Session<'_> {
    /// The next step of a run for `cause`: what was observed, what the run did so far, and when the stream was first observed ACTIVE.
    pub(crate) fn next_step(
        &self,
        observation: &Observation,
        progress: &Progress,
        cause: &Cause,
        active_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Step {
        let Self { mode, policy, planned, .. } = *self;
        let circumstances = Circumstances { mode, policy, cause, active_since, planned, now };
        next_step(observation, progress, |wrong| permit(wrong, &circumstances), now)
    }

    /// Evidence of a run of this invocation that ended so.
    pub(crate) fn evidence(&self, stream: &StreamArn, cause: &Cause, verdict: Verdict, now: Timestamp) -> Evidence {
        Evidence {
            run_id: self.run_id.to_owned(),
            runner: self.config.runner.clone(),
            mode: self.mode,
            policy_source: self.config.policy.to_string(),
            policy_digest: self.policy.digest.clone(),
            ..Evidence::new(stream, cause, verdict, now)
        }
    }

    /// The first step of a run that has observed the stream and read nothing else.
    pub(crate) fn first_step(&self, observation: &Observation, cause: &Cause, now: Timestamp) -> Step {
        self.next_step(observation, &Progress::default(), cause, None, now)
    }
}

/// Dice from 0 to 1 that a time throws, so that what happens then can be repeated.
pub fn dice(now: Timestamp) -> f64 {
    fastrand::Rng::with_seed(now.as_millisecond().unsigned_abs()).f64()
}
