//! How a change of an existing stream is watched, in evidence: a block of `streamseal.evidence/v1`.

use serde::Serialize;

use crate::domain::arn::StreamName;
use crate::domain::plan::guard::life::{Left, Watched};
use crate::domain::plan::guard::watch::{Standing, Step, Watch};
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
    /// The streams that do not follow.
    pub halted: Vec<StreamName>,
}

impl Guard {
    /// What a run knows: its watch where it had one, what it found, what is left. `None` where there is nothing to say.
    pub fn of(watch: Option<&Watch>, watched: Option<&Watched>, before: Option<&Users>, left: &Left) -> Option<Self> {
        let standing = match watched.map(|watched| &watched.step) {
            Some(Step::Again(..)) => Some(Standing::Watching),
            Some(Step::End(standing)) => Some(*standing),
            Some(Step::Drop) => None,
            None => left.begun.as_ref().map(|_| Standing::Watching),
        };
        let guard = Self {
            standing,
            watch: watch.or(left.begun.as_ref()).cloned(),
            users: watched.and_then(|watched| watched.users.as_ref()).or(before).cloned(),
            halted: left.halted.clone(),
        };
        (guard != Self::default()).then_some(guard)
    }

    /// The key of a change that broke the stream.
    pub fn broken_on(&self) -> Option<&str> {
        self.watch.as_ref().filter(|_| self.standing == Some(Standing::Broken)).map(|watch| watch.target.as_str())
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
        let Guard { standing, watch, users, halted } = guard;
        let watch = watch.as_ref();
        Self {
            state: standing.map(Standing::as_str),
            watch: watch.map(|Watch { target, sent, from, until, observations, .. }| WatchWire {
                target,
                sent: Time(*sent),
                from: Time(*from),
                until: Time(*until),
                observations: *observations,
            }),
            producers: users.as_ref().map(|users| side(&users.producers)),
            consumers: users.as_ref().map(|users| side(&users.consumers)),
            exposed: watch
                .filter(|_| *standing == Some(Standing::Broken))
                .map(|watch| Exposed { from: Time(watch.sent), to: None }),
            halted: halted.iter().map(StreamName::as_str).collect(),
        }
    }
}

fn side(Side { health, why, before, after, behind_ms }: &Side) -> SideWire<'_> {
    let counts =
        |Counts { minutes, calls, failed }: &Counts| CountsWire { minutes: *minutes, calls: *calls, failed: *failed };
    SideWire { health: health.as_str(), why, before: counts(before), after: counts(after), behind_ms: *behind_ms }
}
