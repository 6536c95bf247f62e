//! Changes of many streams, each watched, in one process that stays: one first, then two, four, eight. Which stream follows which is decided in
//! `domain/plan/guard/next.rs`.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;

use futures_util::future::{Either, join_all, select};
use jiff::{SignedDuration, Timestamp};

use super::watch::{Found, Watched, watch};
use crate::domain::arn::StreamName;
use crate::domain::failure::Failure;
use crate::domain::model::KeyIdentity;
use crate::domain::plan::guard::next::{Ended, Message, Next, Turn};
use crate::domain::plan::guard::watch::{Standing, Step, Watch};
use crate::domain::traffic::judge::Users;
use crate::ports::{CallLog, Clock, KeyApi, StreamApi, TrafficApi};

/// What an attempt to change a stream came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is on this key, which was asked for at this time.
    Yes(KeyIdentity, Timestamp),
    /// Nothing was changed.
    No,
    /// Nothing was changed, and nothing else is to be.
    Stop,
    /// It was changed, or may have been; it is not to be watched, and nothing else is to be changed.
    Unwatched,
}

/// What became of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not reached.
    Left,
    /// Nothing was changed, since nobody would see what that does.
    Blind(Failure),
    /// Nothing was changed.
    NotChanged,
    /// It was changed, or may have been, and was not watched to the end.
    Unwatched,
    /// It was changed and watched; `None` where it is gone.
    Watched(Option<Standing>),
}

/// What is done with the streams, and what is said of it.
pub struct Rounds<C, R, S> {
    /// How long each change is watched.
    pub watch: SignedDuration,
    /// Changes one stream.
    pub change: C,
    /// Reports one observation.
    pub report: R,
    /// Ends where the watching is to end.
    pub stopped: S,
}

/// Changes the streams in rounds. Where one is found broken, no other is changed any more.
pub async fn in_rounds<W, C, R, S>(
    world: &W,
    streams: &[Watched],
    rounds: Rounds<C, R, S>,
) -> Vec<(StreamName, Outcome)>
where
    W: StreamApi + KeyApi + TrafficApi + Clock,
    C: AsyncFnMut(&Watched) -> Changed,
    R: Fn(&Watched, &Found, &Step),
    S: AsyncFn(),
{
    let Rounds { watch: watched_for, mut change, report, stopped } = rounds;
    let mut course = Course::of(streams);
    let mut is_last = false;
    while !course.waiting.is_empty() && !is_last {
        let mut begun = Vec::new();
        while let Some((name, next)) = course.waiting.pop_front() {
            let Some(stream) = course.by_name.get(&name).copied() else { continue };
            let log = CallLog::default();
            let users = match select(pin!(stream.before(world, &log)), pin!(stopped())).await {
                Either::Left((users, _)) => users,
                Either::Right(_) => return course.end(streams),
            };
            let Some(next) = course.turn(stream, next, users) else { continue };
            let changed = change(stream).await;
            if let Changed::Yes(key, sent) = &changed {
                begun.push((stream, next.clone(), Watch::new(key, *sent, watched_for, world.now())));
            }
            // What was changed in this round is watched all the same.
            is_last = course.is_last(stream, next, &changed);
            if is_last {
                break;
            }
        }
        let all = begun.into_iter().map(async |(stream, next, begun)| {
            let standing = watch(world, stream, begun, |found, step| report(stream, found, step)).await;
            (stream, next, standing)
        });
        let ended = match select(pin!(join_all(all)), pin!(stopped())).await {
            Either::Left((ended, _)) => ended,
            Either::Right(_) => break,
        };
        for (stream, next, standing) in ended {
            course.outcomes.insert(&stream.stream.name, Outcome::Watched(standing));
            course.waiting.extend(next.after(Ended::of(standing)));
        }
        if course.outcomes.values().any(|outcome| *outcome == Outcome::Watched(Some(Standing::Broken))) {
            break;
        }
    }
    course.end(streams)
}

/// Where the rounds are.
struct Course<'a> {
    by_name: BTreeMap<&'a StreamName, &'a Watched>,
    outcomes: BTreeMap<&'a StreamName, Outcome>,
    waiting: VecDeque<Message>,
}

impl<'a> Course<'a> {
    fn of(streams: &'a [Watched]) -> Self {
        let by_name: BTreeMap<&StreamName, &Watched> = streams.iter().map(|it| (&it.stream.name, it)).collect();
        let outcomes = by_name.keys().map(|name| (*name, Outcome::Left)).collect();
        let (first, _) = Next::of(streams.iter().map(|it| it.stream.name.clone()).collect());
        Self { by_name, outcomes, waiting: first.into_iter().collect() }
    }

    /// The list that a stream is changed with, where it is its turn, by how its users fare.
    fn turn(&mut self, stream: &'a Watched, next: Next, users: Result<Users, Failure>) -> Option<Next> {
        let had_traffic = match users {
            Ok(users) => users.had_traffic(),
            // What follows it is dropped: it would be changed unwatched.
            Err(why) => {
                self.outcomes.insert(&stream.stream.name, Outcome::Blind(why));
                return None;
            }
        };
        match next.turn(&stream.stream.name, had_traffic) {
            Turn::Later(message) => {
                self.waiting.push_back(message);
                None
            }
            Turn::Now(next, others) => {
                self.waiting.extend(others);
                Some(next)
            }
        }
    }

    /// Notes what came of a change, and whether no other is to be made.
    fn is_last(&mut self, stream: &'a Watched, next: Next, changed: &Changed) -> bool {
        let name = &stream.stream.name;
        match changed {
            Changed::Yes(..) => drop(self.outcomes.insert(name, Outcome::Unwatched)),
            Changed::No => {
                self.outcomes.insert(name, Outcome::NotChanged);
                self.waiting.extend(next.after(Ended::NotStarted));
            }
            Changed::Unwatched => {
                self.outcomes.insert(name, Outcome::Unwatched);
                return true;
            }
            Changed::Stop => return true,
        }
        false
    }

    fn end(mut self, streams: &[Watched]) -> Vec<(StreamName, Outcome)> {
        streams.iter().filter_map(|it| Some((it.stream.name.clone(), self.outcomes.remove(&it.stream.name)?))).collect()
    }
}
