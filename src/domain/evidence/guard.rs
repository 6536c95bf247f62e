//! How a change of an existing stream is watched, in evidence: a block of `streamseal.evidence/v1`.

use serde::Serialize;

use crate::domain::arn::StreamName;
use crate::domain::plan::guard::denied::Denied;
use crate::domain::plan::guard::watch::{Standing, Watch};
use crate::domain::time::Time;
#[cfg(feature = "schema")]
use crate::domain::traffic::judge::Health;
use crate::domain::traffic::judge::{Counts, Side, Users};

/// What is known of a guarded change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// How its watch stands; `None` where nothing was changed.
    pub standing: Option<Standing>,
    /// The watch.
    pub watch: Option<Watch>,
    /// How the stream's users fare, where that could be measured.
    pub users: Option<Users>,
    /// Who is denied the new key, where the change broke the stream.
    pub denied: Vec<Denied>,
    /// The streams that do not follow.
    pub halted: Vec<StreamName>,
}

impl Guard {
    /// The key of a change that broke the stream. Said once: a stream on its way back is not broken again.
    pub fn broken_on(&self) -> Option<&str> {
        let watch = self.watch.as_ref().filter(|watch| watch.restore.is_none());
        watch.filter(|_| self.standing == Some(Standing::Broken)).map(|watch| watch.target.as_str())
    }

    /// When records were put under the key that broke the stream.
    fn exposed(&self) -> Option<Exposed> {
        let watch = self.watch.as_ref()?;
        let to = watch.restore.and_then(|restore| restore.restored);
        match self.standing? {
            Standing::Broken | Standing::Restored | Standing::FellBack => {
                Some(Exposed { from: Time(watch.sent), to: to.map(Time) })
            }
            Standing::Watching | Standing::Passed | Standing::Quiet | Standing::Inconclusive | Standing::Overtaken => {
                None
            }
        }
    }
}

/// How a change of an existing stream is watched.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct GuardWire<'a> {
    /// How the watch stands; `null` where nothing was changed.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = states())))]
    state: Option<&'static str>,
    watch: Option<WatchWire<'a>>,
    /// Whoever puts records.
    producers: Option<SideWire<'a>>,
    /// Whoever reads them.
    consumers: Option<SideWire<'a>>,
    /// Where the change broke something: records that were put in this time are under its key, and whoever reads them needs that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Exposed"))]
    exposed: Option<Exposed>,
    /// Who is denied the new key, where the change broke something and CloudTrail's KMS events show it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    denied: Vec<DeniedWire<'a>>,
    /// Streams that are not changed, since this one broke, or nobody knows. The next sweep finds them again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    halted: Vec<&'a str>,
}

/// A watch.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct WatchWire<'a> {
    /// The key that was set: an ARN, or the alias of the key that AWS manages.
    target: &'a str,
    /// When the change was asked for.
    sent: Time,
    /// Since when it is watched.
    from: Time,
    /// Until when.
    until: Time,
    /// How many observations there were before this one.
    observations: u32,
    /// The key that the stream can go back to: an ARN, or the alias of the key that AWS manages.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    back: Option<&'a str>,
}

/// Somebody who is denied the new key.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct DeniedWire<'a> {
    /// Its ARN, or whatever CloudTrail names it by.
    principal: &'a str,
    /// What it needs.
    action: &'static str,
    /// How many refused calls CloudTrail shows.
    calls: u64,
    /// The last one.
    last: Time,
}

/// Users of one kind.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct SideWire<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Health::ALL.map(Health::as_str))))]
    health: &'static str,
    /// Why, in words.
    why: &'a str,
    before: CountsWire,
    after: CountsWire,
    /// How far they were behind the newest record at worst after the change, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "u64"))]
    behind_ms: Option<u64>,
}

/// What was counted in some minutes.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct CountsWire {
    /// Minutes with calls.
    minutes: u64,
    calls: u64,
    /// Calls that failed, but for those that were throttled.
    failed: u64,
}

/// A time in which records were put.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Exposed {
    from: Time,
    /// `null` while it goes on.
    to: Option<Time>,
}

#[cfg(feature = "schema")]
fn states() -> Vec<Option<&'static str>> {
    std::iter::once(None).chain(Standing::ALL.map(Standing::as_str).map(Some)).collect()
}

impl<'a> From<&'a Guard> for GuardWire<'a> {
    fn from(guard: &'a Guard) -> Self {
        let Guard { standing, watch, users, denied, halted } = guard;
        let watch = watch.as_ref();
        Self {
            state: standing.map(Standing::as_str),
            watch: watch.map(|Watch { target, sent, from, until, observations, back, .. }| WatchWire {
                target,
                back: back.as_deref(),
                sent: Time(*sent),
                from: Time(*from),
                until: Time(*until),
                observations: *observations,
            }),
            producers: users.as_ref().map(|users| side(&users.producers)),
            consumers: users.as_ref().map(|users| side(&users.consumers)),
            exposed: guard.exposed(),
            denied: denied.iter().map(DeniedWire::from).collect(),
            halted: halted.iter().map(StreamName::as_str).collect(),
        }
    }
}

impl<'a> From<&'a Denied> for DeniedWire<'a> {
    fn from(Denied { who, side, calls, last }: &'a Denied) -> Self {
        let action = side.actions().first().copied().unwrap_or_default();
        Self { principal: who.name(), action, calls: *calls, last: Time(*last) }
    }
}

fn side(Side { health, why, before, after, behind_ms, .. }: &Side) -> SideWire<'_> {
    let counts =
        |Counts { minutes, calls, failed }: &Counts| CountsWire { minutes: *minutes, calls: *calls, failed: *failed };
    SideWire { health: health.as_str(), why, before: counts(before), after: counts(after), behind_ms: *behind_ms }
}
