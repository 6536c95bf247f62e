//! Which changes of a plan were taken back before. The function leaves such a stream alone for its rule's `hold`. A person is not bound by
//! that, and the plan says so.

use jiff::{SignedDuration, Timestamp};

use super::planned::Planned;
use crate::cli::context::{Context, OBSERVATION_MAX};
use crate::cli::watching::guard_of;
use crate::domain::arn::StreamArn;
use crate::domain::failure::Unfinished;
use crate::domain::model::{KeyIdentity, Mode};
use crate::domain::plan::guard::before::taken_back;
use crate::domain::policy::Policy;
use crate::ports::{CallLog, Clock};
use crate::run::trail::read_one;

/// What is said of a change that was taken back before; `None` where it was not, or where its rule has no guard.
pub(super) async fn undone(context: &Context, policy: &Policy, planned: &Planned) -> Option<String> {
    let (true, Some(key)) = (planned.action.changes(), &planned.preview.desired) else { return None };
    let guard = guard_of(policy, planned.preview.rule.as_deref()).filter(|guard| guard.watch.is_some())?;
    let hold = guard.hold;
    match since(context, policy, (&planned.stream, key), hold).await {
        Ok(None) => None,
        Ok(Some(at)) => Some(format!(
            "its change to this key was undone at {at:.0}; the function leaves the stream alone for {} days, `seal` does not",
            hold.as_hours() / 24
        )),
        Err(why) => Some(format!("whether its change to this key was undone before is not known: {why}")),
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
    let trail = read_one(&context.aws, stream, since, pace, &CallLog::default()).await?;
    Ok(taken_back(&trail.changes, key, None))
}
