//! One observation of each of many streams, for scans and audits: what a run would say of it or do first, and the evidence of it.

use jiff::Timestamp;

use super::observe::{Compared, Observer, Unobserved};
use super::session::Session;
use crate::domain::arn::StreamArn;
use crate::domain::cause::Cause;
use crate::domain::evidence::{Evidence, Judged, Remediation, Setting};
use crate::domain::failure::Unfinished;
use crate::domain::plan::observation::Observation;
use crate::domain::plan::situation::Keys;
use crate::domain::plan::step::Step;
use crate::domain::policy::Decision;
use crate::domain::verdict::{Action, Compliance, Reason, Verdict};
use crate::ports::{CallLog, Clock, KeyApi, StreamApi};

/// A stream that was observed, and what was decided of it.
pub(crate) struct Inspected<'d> {
    pub(crate) stream: StreamArn,
    pub(crate) decision: &'d Decision,
    pub(crate) compared: Compared,
}

/// Observes `stream`; `None` where it is gone. `all_keys`: which key it is on, or should be, is asked whatever else is so.
pub(crate) async fn inspect<'d, W: StreamApi + KeyApi + Clock>(
    observer: &Observer<'_, W>,
    stream: StreamArn,
    decision: &'d Decision,
    all_keys: bool,
    log: &CallLog,
) -> Result<Option<Inspected<'d>>, Unobserved> {
    let Some(observed) = observer.describe(&stream, log).await? else { return Ok(None) };
    let compared = observer.compare(decision, observed, all_keys, log).await?;
    Ok((compared.observation != Observation::Gone).then_some(Inspected { stream, decision, compared }))
}

/// What the observations are for, as it goes into evidence.
#[derive(Clone, Debug)]
pub(crate) struct Inspection<'a> {
    /// Under which policy and mode.
    pub(crate) session: &'a Session<'a>,
    /// What asked for them.
    pub(crate) cause: Cause,
    /// When they were asked for.
    pub(crate) requested_at: Timestamp,
    /// How many parts there were before.
    pub(crate) attempt: u32,
    /// Who observes, in words: `a scan`.
    pub(crate) by: &'static str,
}

impl Inspection<'_> {
    /// The end of a run that observed now and did nothing, or the step that it would take.
    pub(crate) fn verdict(&self, compared: &Compared, now: Timestamp) -> Result<Verdict, Step> {
        match self.session.first_step(&compared.observation, &self.cause, now) {
            Step::Finish(verdict) => Ok(verdict),
            step => Err(step),
        }
    }

    /// What is said of a stream that a run could do more about.
    pub(crate) fn unfinished(&self, step: &Step) -> Verdict {
        let unknown =
            || Verdict::new(Compliance::InsufficientData, Reason::Unfinished, format!("not known by {}", self.by));
        step.verdict(None).unwrap_or_else(unknown)
    }

    /// The evidence of one observation; without `seen` it could not be made.
    pub(crate) fn evidence(
        &self,
        stream: &StreamArn,
        decision: &Decision,
        compared: Option<&Compared>,
        verdict: Verdict,
        warnings: Vec<String>,
        (log, now): (&CallLog, Timestamp),
    ) -> Evidence {
        let setting = compared.map(|compared| Setting {
            observed: compared.observed.clone(),
            key: compared.key.clone(),
            material: compared.material.clone(),
        });
        let (calls, no_keys) = (log.calls(), Keys::new());
        let remediation = match (verdict.withheld, verdict.would.map(|would| would.action)) {
            (Some(_), _) => Remediation::Withheld,
            (None, Some(Action::Encrypt | Action::Rekey)) => Remediation::Due,
            (None, Some(Action::Wait) | None) => Remediation::None,
        };
        let evidence = Evidence {
            attempt: self.attempt,
            started_at: calls.first().map_or(now, |call| call.at),
            first_seen: self.requested_at,
            before: setting.clone(),
            after: setting,
            calls,
            remediation,
            warnings,
            ..self.session.evidence(stream, &self.cause, verdict, now)
        };
        evidence.judged(&Judged {
            decision: Some(decision),
            desired: compared.and_then(|compared| compared.desired.as_ref()),
            situation: compared.and_then(|compared| compared.observation.situation()),
            keys: compared.map_or(&no_keys, |compared| &compared.keys),
            started: false,
        })
    }
}

/// What is said of a stream that could not be observed: what is wrong is not its own, and a run may have more luck.
pub(crate) fn unobserved(why: &Unfinished) -> Verdict {
    let permanent = why.fault().is_some();
    let reason = if permanent { Reason::AccessDenied } else { Reason::Unfinished };
    let verdict = Verdict::new(Compliance::InsufficientData, reason, why.to_string());
    Verdict { alarm: permanent, ..verdict }
}
