//! The watch of a change: which observation comes next, and how it ends.
//!
//! What is known between two observations is in the work message alone: when the change was made and until when it is watched. Whether it
//! broke the stream is judged afresh each time; only that the observation before found so is kept, since one alone may be an accident.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

use crate::domain::arn::{AWS_MANAGED_ALIAS, KeyArn};
use crate::domain::bounds::{self, later};
use crate::domain::model::KeyIdentity;
use crate::domain::policy::guard::WATCH;
use crate::domain::traffic::judge::{Health, Users};
use crate::domain::traffic::{Change, SETTLED_AFTER};

/// The shortest time between two observations: a minute of metrics is there three minutes after its end.
const EVERY_MIN: SignedDuration = SignedDuration::from_mins(3);
/// The longest, within the longest delay of a message.
const EVERY_MAX: SignedDuration = SignedDuration::from_mins(10);
/// A watch is observed about so many times.
const TIMES: i32 = 5;
/// So far apart are the two observations that find a stream broken.
const APART: SignedDuration = SignedDuration::from_mins(1);
/// So much of what can be judged says how the users of a stream fare now: five whole minutes, wherever in a minute it begins.
const LAST_MINUTES: SignedDuration = SignedDuration::from_mins(7);
/// For so long after its end the metrics of a watch are asked for again, where they could not be read.
const BLIND_MAX: SignedDuration = SignedDuration::from_mins(15);

/// A change that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Watch {
    /// The key that was set: an ARN, or the alias of the key that AWS manages.
    #[serde(deserialize_with = "target")]
    pub target: String,
    /// When the change was asked for.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub sent: Timestamp,
    /// When the stream was observed ACTIVE with it.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub from: Timestamp,
    /// Until when it is watched.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub until: Timestamp,
    /// How many observations there were.
    #[serde(default, deserialize_with = "bounds::counter")]
    pub observations: u32,
    /// When an observation first found the stream broken, where all since then did too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub broken_since: Option<Timestamp>,
    /// The key that the stream can go back to: the one before, or the alias of the key that AWS manages where it was not encrypted.
    #[serde(default, deserialize_with = "back", skip_serializing_if = "Option::is_none")]
    pub back: Option<String>,
    /// How far the stream is on its way back, where the change broke it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restore>,
}

fn target<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    key("target", String::deserialize(from)?)
}

fn back<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    key("back", String::deserialize(from)?).map(Some)
}

fn key<E: serde::de::Error>(field: &str, text: String) -> Result<String, E> {
    let is_key = text == AWS_MANAGED_ALIAS || KeyArn::parse(&text).is_some();
    is_key.then_some(text).ok_or_else(|| E::custom(format!("field `watch.{field}`: not the ARN of a key")))
}

/// How far a stream is on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restore {
    /// When the second observation found it broken.
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub since: Timestamp,
    /// When the Start that brings it back was accepted: there is no second one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub sent: Option<Timestamp>,
    /// When it was observed on the key that it went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub restored: Option<Timestamp>,
}

/// Where the stream is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// On the key that was set.
    Target,
    /// On another one, or on none.
    Other,
    /// It is gone, or another one of its name.
    Gone,
}

/// How a watch stands, in the evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It goes on.
    Watching,
    /// Its users fare as before.
    Passed,
    /// There were too few calls to say anything.
    Quiet,
    /// It could not be determined, or something is wrong that may have another cause.
    Inconclusive,
    /// The change broke something.
    Broken,
    /// Somebody else changed the stream.
    Overtaken,
    /// The change broke something, and the stream is on its previous key again.
    Restored,
    /// The same of a stream that was not encrypted before: it is on the key that AWS manages.
    FellBack,
}

impl Standing {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Watching,
        Self::Passed,
        Self::Quiet,
        Self::Inconclusive,
        Self::Broken,
        Self::Overtaken,
        Self::Restored,
        Self::FellBack,
    ];

    /// The word in evidence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Watching => "watching",
            Self::Passed => "passed",
            Self::Quiet => "quiet",
            Self::Inconclusive => "inconclusive",
            Self::Broken => "broken",
            Self::Overtaken => "overtaken",
            Self::Restored => "restored",
            Self::FellBack => "fell-back",
        }
    }

    /// Whether somebody has to act.
    pub fn is_alarm(self) -> bool {
        match self {
            Self::Inconclusive | Self::Broken | Self::Overtaken | Self::Restored | Self::FellBack => true,
            Self::Watching | Self::Passed | Self::Quiet => false,
        }
    }
}

/// What follows from one observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is nothing to watch any more.
    Drop,
    /// The watch goes on: the message, and when it is observed again.
    Again(Watch, Timestamp),
    /// It ended so, and the stream's way back goes on: the message, and when it is observed again.
    Then(Standing, Watch, Timestamp),
    /// The watch is over.
    End(Standing),
}

impl Step {
    /// How the watch stands; `None` where there is nothing to watch any more.
    pub fn standing(&self) -> Option<Standing> {
        match self {
            Self::Drop => None,
            Self::Again(..) => Some(Standing::Watching),
            Self::Then(standing, ..) | Self::End(standing) => Some(*standing),
        }
    }
}

impl Watch {
    /// The watch of a change to `target` that was asked for at `sent`, of a stream that is observed ACTIVE with it at `now`.
    pub fn new(target: &KeyIdentity, sent: Timestamp, watch: SignedDuration, now: Timestamp) -> Self {
        let until = later(now, watch.min(WATCH.1));
        Self {
            target: target.as_str().to_owned(),
            sent: sent.min(now),
            from: now,
            until,
            observations: 0,
            broken_since: None,
            back: None,
            restore: None,
        }
    }

    /// How it stands, by the message alone.
    pub fn standing(&self) -> Standing {
        match self.restore {
            None => Standing::Watching,
            Some(Restore { restored: None, .. }) => Standing::Broken,
            Some(_) => self.went_back(),
        }
    }

    /// How a stream stands that went back.
    pub fn went_back(&self) -> Standing {
        if self.back.as_deref() == Some(AWS_MANAGED_ALIAS) { Standing::FellBack } else { Standing::Restored }
    }

    /// The change as the metrics are judged by it, compared with `baseline` before it. A stream that was made within it has a shorter one.
    pub fn change(&self, baseline: SignedDuration, created: Timestamp, now: Timestamp) -> Change {
        let from = self.sent.saturating_sub(baseline).unwrap_or(created);
        let before_from = from.max(created).min(self.sent);
        // Of a stream that was found broken the last minutes count, since somebody may have put it right; of one that went back those since
        // then.
        let (active, until) = match self.restore {
            None => (self.from, self.until),
            Some(Restore { restored: None, .. }) => {
                (self.from.max(now.saturating_sub(LAST_MINUTES + SETTLED_AFTER).unwrap_or(self.from)), now)
            }
            Some(Restore { restored: Some(at), .. }) => (at, now.max(at)),
        };
        Change { before_from, sent: self.sent, active, until }
    }

    /// When it is observed the next time, from `now` on.
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        let every = (self.until.duration_since(self.from) / TIMES).clamp(EVERY_MIN, EVERY_MAX);
        let (next, last) = (now + every, self.last_at());
        // A shorter pause than the shortest would only read the same minutes again.
        if next < last { next } else { last.max(now + EVERY_MIN) }
    }

    /// When all its minutes can be judged.
    fn last_at(&self) -> Timestamp {
        later(self.until, SETTLED_AFTER + SignedDuration::from_mins(1))
    }

    /// What follows from an observation at `now`. `users`: how they fare, or `None` where the metrics could not be read: that is no sign of
    /// anything, and what the observation before found stands.
    pub fn step(&self, on: On, users: Option<&Users>, now: Timestamp) -> Step {
        match on {
            On::Gone => return Step::Drop,
            On::Other => return Step::End(Standing::Overtaken),
            On::Target => {}
        }
        let is_over = now >= self.last_at();
        let Some(health) = users.map(Users::health) else {
            let is_blind = now >= later(self.last_at(), BLIND_MAX);
            return if is_blind { Step::End(Standing::Inconclusive) } else { self.again(self.broken_since, now) };
        };
        match (health, self.broken_since) {
            (Health::Broken, Some(since)) if now.duration_since(since) >= APART => Step::End(Standing::Broken),
            (Health::Broken, since) => self.again(since.or(Some(now)), now),
            (_, _) if !is_over => self.again(None, now),
            (Health::Fine, _) => Step::End(Standing::Passed),
            (Health::Quiet, _) => Step::End(Standing::Quiet),
            (Health::Unknown | Health::Suspect, _) => Step::End(Standing::Inconclusive),
        }
    }

    fn again(&self, broken_since: Option<Timestamp>, now: Timestamp) -> Step {
        let at = match broken_since {
            // The second observation is the one that counts.
            Some(_) => now + EVERY_MIN,
            None => self.next_at(now),
        };
        Step::Again(Self { observations: self.observations.saturating_add(1), broken_since, ..self.clone() }, at)
    }

    /// Whether the message can be right: its times are in order, and none is odd.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, now: Timestamp) -> Result<(), &'static str> {
        let Self { sent, from, until, broken_since, restore, .. } = self;
        let times = [Some(*sent), Some(*from), Some(*until), *broken_since];
        let back = restore.as_ref().map(Restore::times).unwrap_or_default();
        if times.into_iter().chain(back).flatten().any(|at| bounds::is_odd(at, now)) {
            return Err(bounds::ODD);
        }
        let since = |at: Option<Timestamp>| at.is_none_or(|at| at >= *from);
        let in_order = sent <= from
            && from <= until
            && until.duration_since(*from) <= WATCH.1
            && since(*broken_since)
            && since(restore.map(|restore| restore.since));
        if in_order { Ok(()) } else { Err("its times are in no order") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::traffic::judge::{Counts, Side};

    const WATCHED: SignedDuration = SignedDuration::from_mins(20);

    fn at(minutes: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    /// A watch of 20 minutes that began at minute 0.
    fn watch() -> Watch {
        Watch::new(&KeyIdentity::AwsManagedAlias, at(0) - SignedDuration::from_secs(5), WATCHED, at(0))
    }

    fn users(health: Health) -> Users {
        let side = |health| Side {
            health,
            why: "because".to_owned(),
            before: Counts::default(),
            after: Counts::default(),
            behind_ms: None,
            fails_last: health == Health::Broken,
        };
        Users { producers: side(health), consumers: side(Health::Quiet) }
    }

    #[test]
    fn a_stream_on_its_way_back_is_judged_by_five_minutes() {
        let begun = Watch { restore: Some(Restore::begin(at(30))), ..watch() };
        for second in 0..60 {
            let now = at(40) + SignedDuration::from_secs(second);
            let minutes = begun.change(SignedDuration::from_hours(1), at(-600), now).after(now).len();
            assert!((5..=6).contains(&minutes), "{second}: {minutes}");
        }
    }

    /// The end of the step, or in how many minutes it goes on and since how many minutes it is broken.
    fn came_of(step: &Step, now: i64) -> (&'static str, i64, Option<i64>) {
        let minutes = |at: Timestamp, from: Timestamp| at.duration_since(from).as_mins();
        match step {
            Step::Drop => ("drop", 0, None),
            Step::End(standing) | Step::Then(standing, ..) => (standing.as_str(), 0, None),
            Step::Again(watch, again) => {
                assert_eq!(watch.observations, 1);
                ("again", minutes(*again, at(now)), watch.broken_since.map(|since| minutes(at(now), since)))
            }
        }
    }

    #[test]
    fn what_follows_from_an_observation() {
        use Health::{Broken, Fine, Quiet, Suspect, Unknown};
        // Where the stream is, how its users fare, the minute, the minute of the first that found it broken.
        let rows = [
            ((On::Gone, Some(Broken), 4, Some(1)), ("drop", 0, None)),
            ((On::Other, Some(Fine), 4, None), ("overtaken", 0, None)),
            ((On::Other, None, 4, Some(1)), ("overtaken", 0, None)),
            ((On::Target, Some(Fine), 4, None), ("again", 4, None)),
            ((On::Target, Some(Quiet), 4, None), ("again", 4, None)),
            ((On::Target, Some(Suspect), 4, None), ("again", 4, None)),
            ((On::Target, Some(Unknown), 4, None), ("again", 4, None)),
            ((On::Target, None, 4, None), ("again", 4, None)),
            // The last observation is when all minutes are there.
            ((On::Target, Some(Fine), 22, None), ("again", 3, None)),
            ((On::Target, Some(Fine), 23, None), ("again", 3, None)),
            ((On::Target, Some(Fine), 24, None), ("passed", 0, None)),
            ((On::Target, Some(Quiet), 24, None), ("quiet", 0, None)),
            ((On::Target, Some(Suspect), 24, None), ("inconclusive", 0, None)),
            ((On::Target, Some(Unknown), 24, None), ("inconclusive", 0, None)),
            // Blind: asked again for a while, and then an alarm.
            ((On::Target, None, 24, None), ("again", 3, None)),
            ((On::Target, None, 38, None), ("again", 3, None)),
            ((On::Target, None, 39, None), ("inconclusive", 0, None)),
            // Broken twice, a minute apart, also behind the end.
            ((On::Target, Some(Broken), 4, None), ("again", 3, Some(0))),
            ((On::Target, Some(Broken), 4, Some(4)), ("again", 3, Some(0))),
            ((On::Target, Some(Broken), 5, Some(4)), ("broken", 0, None)),
            ((On::Target, Some(Broken), 24, None), ("again", 3, Some(0))),
            ((On::Target, Some(Broken), 27, Some(24)), ("broken", 0, None)),
            // An observation that fails stands for nothing, and one that finds it well begins anew.
            ((On::Target, None, 7, Some(4)), ("again", 3, Some(3))),
            ((On::Target, Some(Suspect), 7, Some(4)), ("again", 4, None)),
            ((On::Target, Some(Fine), 24, Some(21)), ("passed", 0, None)),
        ];
        for ((on, health, now, since), expected) in rows {
            let watch = Watch { broken_since: since.map(at), ..watch() };
            let step = watch.step(on, health.map(users).as_ref(), at(now));
            assert_eq!(came_of(&step, now), expected, "{on:?} {health:?} at {now}, broken since {since:?}");
        }
    }

    #[test]
    fn a_watch_ends_in_time_and_takes_few_observations() {
        for (mins, most) in [(10, 6), (20, 7), (60, 9), (120, 15)] {
            let watched = SignedDuration::from_mins(mins);
            let mut watch = Watch::new(&KeyIdentity::AwsManagedAlias, at(0), watched, at(0));
            let mut now = watch.next_at(at(0));
            loop {
                assert!(now <= at(mins + 10), "{mins}: {now}");
                match watch.step(On::Target, Some(&users(Health::Fine)), now) {
                    Step::Again(next, again) => {
                        let pause = again.duration_since(now);
                        assert!((EVERY_MIN..=EVERY_MAX).contains(&pause), "{mins}: {pause}");
                        (watch, now) = (next, again);
                    }
                    step => break assert_eq!(step, Step::End(Standing::Passed)),
                }
            }
            assert!(watch.observations < most, "{mins}: {}", watch.observations);
        }
    }

    #[test]
    fn the_baseline_begins_no_earlier_than_the_stream() {
        let hour = SignedDuration::from_hours(1);
        let change = watch().change(hour, at(-600), at(30));
        assert_eq!((change.before_from, change.active, change.until), (watch().sent - hour, at(0), at(20)));
        assert_eq!(watch().change(hour, at(-30), at(30)).before_from, at(-30));
        assert_eq!(watch().change(hour, at(30), at(30)).before_from, watch().sent, "whatever a message says");
        let begun = Restore { since: at(12), sent: None, restored: None };
        let change = |restore, now| {
            let change = Watch { restore: Some(restore), ..watch() }.change(hour, at(-600), at(now));
            (change.active, change.until)
        };
        assert_eq!(change(begun, 8), (at(0), at(8)), "not before the change");
        assert_eq!(change(begun, 30), (at(20), at(30)), "beyond the end of the watch");
        let restored = Restore { restored: Some(at(15)), ..begun };
        assert_eq!(change(restored, 30), (at(15), at(30)));
    }

    #[test]
    fn a_message_is_read_as_it_was_written_or_refused() {
        let restore = Restore { since: at(5), sent: Some(at(5)), restored: Some(at(6)) };
        let back = Some(AWS_MANAGED_ALIAS.to_owned());
        let good = Watch { observations: 3, broken_since: Some(at(4)), back, restore: Some(restore), ..watch() };
        let json = serde_json::to_value(&good).unwrap();
        assert_eq!(serde_json::from_value::<Watch>(json.clone()).unwrap(), good);
        assert_eq!(good.check(at(5)), Ok(()));
        for bad in [
            Watch { broken_since: Some(at(-1)), ..good.clone() },
            Watch { restore: Some(Restore { since: at(-1), ..restore }), ..good.clone() },
        ] {
            assert_eq!(bad.check(at(5)), Err("its times are in no order"));
        }
        for target in ["alias/app", "", "arn:aws:kms:eu-west-1:111122223333:alias/app", "1234abcd"] {
            let mut bad = json.clone();
            bad["target"] = target.into();
            assert!(serde_json::from_value::<Watch>(bad).is_err(), "{target}");
            let mut bad = json.clone();
            bad["back"] = target.into();
            assert!(serde_json::from_value::<Watch>(bad).is_err(), "{target}");
        }
        let mut more = json;
        more["undo"] = "due".into();
        assert!(serde_json::from_value::<Watch>(more).is_err());
        for bad in [
            Watch { until: at(-1), ..good.clone() },
            Watch { until: at(121), ..good.clone() },
            Watch { sent: at(1), ..good.clone() },
            Watch { sent: Timestamp::MIN, ..good.clone() },
            Watch { broken_since: Some(Timestamp::MAX), ..good.clone() },
            Watch { restore: Some(Restore { restored: Some(Timestamp::MAX), ..restore }), ..good.clone() },
        ] {
            assert!(bad.check(at(5)).is_err(), "{bad:?}");
        }
    }
}
