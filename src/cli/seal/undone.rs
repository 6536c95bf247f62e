//! Which changes of a plan were taken back before. The function leaves such a stream alone for its rule's `hold`. A person is not bound by
//! that, and the plan says so.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Planned;
use crate::cli::context::{Context, OBSERVATION_MAX};
use crate::domain::arn::StreamArn;
use crate::domain::failure::Unfinished;
use crate::domain::history::Query;
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::plan::guard::before::taken_back;
use crate::domain::policy::{Effect, Policy};
use crate::ports::{CallLog, Clock};
use crate::run::trail::{Limits, read};

/// What reading the history of one stream may cost.
const LIMITS: Limits = Limits { pages: 4, time: Duration::from_secs(10) };

/// What is said of a change that was taken back before; `None` where it was not, or where its rule has no guard.
pub(super) async fn undone(context: &Context, policy: &Policy, planned: &Planned) -> Option<String> {
    let (true, Some(key)) = (planned.action.changes(), &planned.preview.desired) else { return None };
    let hold = hold(policy, planned.preview.rule.as_deref())?;
    match since(context, policy, (&planned.stream, key), hold).await {
        Ok(None) => None,
        Ok(Some(at)) => Some(format!(
            "its change to this key was undone at {at:.0}; the function leaves the stream alone for {} days, `seal` does not",
            hold.as_hours() / 24
        )),
        Err(why) => Some(format!("whether its change to this key was undone before is not known: {why}")),
    }
}

/// For how long a stream of this rule is left alone whose change was taken back.
fn hold(policy: &Policy, rule: Option<&str>) -> Option<SignedDuration> {
    let rule = policy.rules.iter().find(|it| Some(it.name.as_str()) == rule)?;
    match &rule.effect {
        Effect::Encrypt(encrypt) => encrypt.guard.watch.map(|_| encrypt.guard.hold),
        Effect::Exempt(_) => None,
    }
}

async fn since(
    context: &Context,
    policy: &Policy,
    (stream, key): (&StreamArn, &KeyIdentity),
    hold: SignedDuration,
) -> Result<Option<Timestamp>, Unfinished> {
    let session = context.session(policy, Mode::Enforce, OBSERVATION_MAX);
    let pace = (session.paces, session.deadline);
    let since = context.aws.now() - hold;
    let trail = read(&context.aws, &Query::of(stream), since, LIMITS, pace, &CallLog::default()).await?;
    let of_it: Vec<_> = trail.changes.into_iter().filter(|change| change.stream == stream.name).collect();
    Ok(taken_back(&of_it, key, None))
}
