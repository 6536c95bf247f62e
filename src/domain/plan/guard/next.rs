//! Which streams follow a watched one: a list in its work message, that is halved on the way.
//!
//! One stream goes first. Where it fares well its list is cut in two, and the first of each half goes on with the rest of its half: 1, 2, 4, 8
//! at a time, with no place where anything is counted. Where it does not, its list is dropped. A list never grows, and a name is in one list
//! alone.

use serde::{Deserialize, Deserializer, Serialize};

use super::watch::Standing;
use crate::domain::arn::StreamName;

/// So many names a list has at most; the others wait for the next sweep.
pub const NAMES_MAX: usize = 500;
/// A list takes so much of a message at most, in bytes of JSON: a message of SQS has 256 KiB.
const BYTES_MAX: usize = 64 * 1024;
/// So many streams without traffic are changed at a time: there is nothing to see there.
const AT_A_TIME: usize = 10;

/// The streams that follow one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Next {
    /// Those of which nobody knows yet whether they have traffic.
    #[serde(deserialize_with = "names", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(max = NAMES_MAX)))]
    pub names: Vec<StreamName>,
    /// Those without traffic: they come last.
    #[serde(deserialize_with = "names", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", length(max = NAMES_MAX)))]
    pub quiet: Vec<StreamName>,
    /// Whether it is the turn of those without traffic.
    pub last: bool,
    /// Whether no stream of it was changed yet.
    pub begins: bool,
}

fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<StreamName>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    let names: Option<Vec<StreamName>> = texts.iter().map(|text| StreamName::parse(text)).collect();
    match names {
        Some(names) if names.len() <= NAMES_MAX => Ok(names),
        Some(_) => Err(serde::de::Error::custom(format!("field `next`: more than {NAMES_MAX} names"))),
        None => Err(serde::de::Error::custom("field `next`: not a stream's name")),
    }
}

/// The next message of a list: to which stream, and what follows it.
pub type Message = (StreamName, Next);

/// How a stream of a list ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was changed, and its users fare as before.
    Fine,
    /// It was changed, and nothing could be seen.
    Quiet,
    /// Nothing was started on it.
    NotStarted,
    /// It broke, or nobody knows: the list is dropped.
    Badly,
}

impl Ended {
    /// As the watch of its change ended; `None` where the stream is gone, and nothing is known of the key.
    pub fn of(standing: Option<Standing>) -> Self {
        match standing {
            None => Self::NotStarted,
            Some(Standing::Passed) => Self::Fine,
            Some(Standing::Quiet) => Self::Quiet,
            Some(
                Standing::Watching
                | Standing::Inconclusive
                | Standing::Broken
                | Standing::Overtaken
                | Standing::Restored
                | Standing::FellBack,
            ) => Self::Badly,
        }
    }
}

/// What a stream does that is about to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is its turn: it is changed now, with what follows it; and so are these, each with what follows it.
    Now(Next, Vec<Message>),
    /// It has no traffic, and others may have: the list goes to this one, with itself behind it.
    Later(Message),
}

impl Next {
    /// The lists of these streams that have room in one message, and how many names are left out.
    pub fn of(names: Vec<StreamName>) -> (Option<Message>, usize) {
        let all = names.len();
        let mut bytes = 0;
        let has_room = |name: &StreamName| {
            // With its quotes and its comma.
            bytes += name.as_str().len() + 3;
            bytes <= BYTES_MAX
        };
        // One of them is the message's own stream.
        let kept: Vec<StreamName> = names.into_iter().take(NAMES_MAX + 1).take_while(has_room).collect();
        let left_out = all - kept.len();
        (first(kept, Vec::new()).map(|message| begins(message, true)), left_out)
    }

    /// Whether nothing follows.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.quiet.is_empty()
    }

    /// All names in it.
    pub fn all(&self) -> impl Iterator<Item = &StreamName> {
        self.names.iter().chain(&self.quiet)
    }

    /// What the stream `own` does that this list is with, and that could be changed now.
    pub fn turn(self, own: &StreamName, had_traffic: bool) -> Turn {
        if had_traffic || self.last {
            return Turn::Now(self, Vec::new());
        }
        let Self { names, mut quiet, begins: is_first, .. } = self;
        if !names.is_empty() {
            quiet.push(own.clone());
            if let Some(message) = first(names, quiet) {
                return Turn::Later(begins(message, is_first));
            }
            return Turn::Now(Self::default(), Vec::new());
        }
        // None of them has traffic: itself and nine others now, and the rest with itself.
        let (now, rest) = split(quiet, AT_A_TIME - 1);
        let others = now.into_iter().map(|name| (name, Self { last: true, ..Self::default() })).collect();
        Turn::Now(Self { quiet: rest, last: true, ..Self::default() }, others)
    }

    /// The messages that follow the end of the stream that this list is with.
    pub fn after(self, ended: Ended) -> Vec<Message> {
        let Self { names, quiet, last, begins: is_first } = self;
        match ended {
            Ended::Badly => Vec::new(),
            // Nothing was tried: the next one is what this one would have been.
            Ended::NotStarted if last => {
                let (first, rest) = split(quiet, 1);
                first.into_iter().map(|name| (name, Self { quiet: rest.clone(), last, ..Self::default() })).collect()
            }
            Ended::NotStarted => first(names, quiet).map(|message| begins(message, is_first)).into_iter().collect(),
            Ended::Fine | Ended::Quiet if names.is_empty() => {
                // The first of them goes on with the rest.
                let (now, rest) = split(quiet, AT_A_TIME);
                let mut rest = Some(rest);
                let next = |quiet: Option<Vec<StreamName>>| Self {
                    quiet: quiet.unwrap_or_default(),
                    last: true,
                    ..Self::default()
                };
                now.into_iter().map(|name| (name, next(rest.take()))).collect()
            }
            // It showed nothing: another one goes first in its place.
            Ended::Quiet => first(names, quiet).into_iter().collect(),
            Ended::Fine => {
                let half = names.len().div_ceil(2);
                let (one, other) = split(names, half);
                [first(one, quiet), first(other, Vec::new())].into_iter().flatten().collect()
            }
        }
    }
}

/// The message to the first of `names`, or of `quiet` where there is none.
fn first(names: Vec<StreamName>, quiet: Vec<StreamName>) -> Option<Message> {
    let (head, names) = split(names, 1);
    match head.into_iter().next() {
        Some(name) => Some((name, Next { names, quiet, ..Next::default() })),
        None => {
            let (head, quiet) = split(quiet, 1);
            head.into_iter().next().map(|name| (name, Next { quiet, last: true, ..Next::default() }))
        }
    }
}

/// The same message, of a list of which no stream was changed yet, or some.
fn begins((name, next): Message, is_first: bool) -> Message {
    (name, Next { begins: is_first, ..next })
}

fn split(mut names: Vec<StreamName>, at: usize) -> (Vec<StreamName>, Vec<StreamName>) {
    let rest = names.split_off(at.min(names.len()));
    (names, rest)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn name(number: usize) -> StreamName {
        StreamName::parse(&format!("s{number:03}")).unwrap()
    }

    fn names(count: usize) -> Vec<StreamName> {
        (0..count).map(name).collect()
    }

    /// Runs lists to their end: who had traffic, and how each one ends. Who was changed in which round, a round being a watch.
    fn rounds(count: usize, traffic: impl Fn(usize) -> bool, ended: impl Fn(usize) -> Ended) -> Vec<BTreeSet<usize>> {
        let number = |name: &StreamName| name.as_str().trim_start_matches('s').parse::<usize>().unwrap();
        let mut waiting: Vec<Message> = Next::of(names(count)).0.into_iter().collect();
        let mut rounds = Vec::new();
        while !waiting.is_empty() {
            let (mut changed, mut following) = (BTreeSet::new(), Vec::new());
            while let Some((name, next)) = waiting.pop() {
                let stream = number(&name);
                if ended(stream) == Ended::NotStarted {
                    waiting.extend(next.after(Ended::NotStarted));
                    continue;
                }
                match next.turn(&name, traffic(stream)) {
                    Turn::Later(message) => waiting.push(message),
                    Turn::Now(next, others) => {
                        waiting.extend(others);
                        assert!(changed.insert(stream), "{stream} twice");
                        let end = if traffic(stream) { ended(stream) } else { Ended::Quiet };
                        following.extend(next.after(end));
                    }
                }
            }
            rounds.push(changed);
            waiting = following;
        }
        rounds
    }

    fn sizes(rounds: &[BTreeSet<usize>]) -> Vec<usize> {
        rounds.iter().map(BTreeSet::len).collect()
    }

    #[test]
    fn one_goes_first_and_twice_as_many_follow_each_time() {
        assert_eq!(sizes(&rounds(31, |_| true, |_| Ended::Fine)), [1, 2, 4, 8, 16]);
        assert_eq!(sizes(&rounds(501, |_| true, |_| Ended::Fine)), [1, 2, 4, 8, 16, 32, 64, 128, 246]);
        assert_eq!(sizes(&rounds(1, |_| true, |_| Ended::Fine)), [1]);
    }

    #[test]
    fn streams_without_traffic_come_last_ten_at_a_time() {
        let ended = rounds(40, |stream| stream >= 33, |_| Ended::Fine);
        assert_eq!(ended[0], BTreeSet::from([33]), "the first one with traffic");
        assert_eq!(sizes(&ended), [1, 2, 4, 10, 10, 10, 3]);
        assert_eq!(sizes(&rounds(25, |_| false, |_| Ended::Fine)), [10, 10, 5]);
    }

    #[test]
    fn one_that_was_not_started_gives_its_list_to_the_next() {
        let ended = |stream| if stream < 3 { Ended::NotStarted } else { Ended::Fine };
        let rounds = rounds(10, |_| true, ended);
        assert_eq!(rounds[0], BTreeSet::from([3]));
        assert_eq!(sizes(&rounds), [1, 2, 4]);
    }

    #[test]
    fn one_that_showed_nothing_lets_another_one_go_first() {
        let (_, next) = Next::of(names(5)).0.unwrap();
        let after = next.after(Ended::Quiet);
        assert_eq!(after.len(), 1);
        assert_eq!((after[0].0.as_str(), after[0].1.names.len()), ("s001", 3));
    }

    #[test]
    fn a_list_is_dropped_where_it_ends_badly() {
        let bad = |stream| if stream == 1 { Ended::Badly } else { Ended::Fine };
        let rounds = rounds(31, |_| true, bad);
        let changed: usize = rounds.iter().map(BTreeSet::len).sum();
        assert_eq!(changed, 1 + 1 + 15, "the half that went well goes on");
    }

    #[test]
    fn a_list_has_room_in_a_message() {
        let (message, left_out) = Next::of(names(700));
        assert_eq!((message.unwrap().1.names.len(), left_out), (NAMES_MAX, 199));
        let long: Vec<StreamName> =
            (0..600).map(|n| StreamName::parse(&format!("{}{n:03}", "x".repeat(125))).unwrap()).collect();
        let (message, left_out) = Next::of(long);
        let next = message.unwrap().1;
        let json = serde_json::to_string(&next).unwrap();
        assert!(json.len() <= BYTES_MAX + 64 && next.names.len() + 1 + left_out == 600, "{} bytes", json.len());
        assert_eq!(serde_json::from_str::<Next>(&json).unwrap(), next);
        assert_eq!(Next::of(Vec::new()), (None, 0));
    }

    #[test]
    fn a_message_that_cannot_be_ours_is_refused() {
        let many: Vec<String> = names(NAMES_MAX + 1).iter().map(ToString::to_string).collect();
        for bad in [
            serde_json::json!({ "names": ["a b"] }),
            serde_json::json!({ "quiet": [1] }),
            serde_json::json!({ "names": many }),
            serde_json::json!({ "more": [] }),
        ] {
            assert!(serde_json::from_value::<Next>(bad).is_err());
        }
        assert_eq!(serde_json::from_str::<Next>("{\"last\":false}").unwrap(), Next::default());
    }

    proptest! {
        #[test]
        fn every_stream_is_changed_once_where_all_goes_well(
            count in 1_usize..400,
            traffic in prop::collection::vec(any::<bool>(), 400),
        ) {
            let rounds = rounds(count, |stream| traffic[stream], |_| Ended::Fine);
            let changed: Vec<usize> = rounds.iter().flatten().copied().collect();
            prop_assert_eq!(changed.len(), count);
            prop_assert_eq!(rounds[0].len(), if traffic[..count].iter().any(|it| *it) { 1 } else { count.min(10) });
        }

        #[test]
        fn lists_never_overlap_and_never_grow(
            count in 0_usize..200,
            quiet in 0_usize..200,
            last in any::<bool>(),
            which in 0_u8..4,
            had_traffic in any::<bool>(),
        ) {
            let list = Next { names: names(count), quiet: names(400).split_off(400 - quiet), last, ..Next::default() };
            let ended = [Ended::Fine, Ended::Quiet, Ended::NotStarted, Ended::Badly][usize::from(which)];
            let own = name(999);
            let turned = match list.clone().turn(&own, had_traffic) {
                Turn::Now(next, others) => {
                    let mut all = others;
                    all.push((own.clone(), next));
                    all
                }
                Turn::Later(message) => vec![message],
            };
            for (messages, known) in [(turned, Some(own)), (list.clone().after(ended), None)] {
                let mut times: BTreeMap<&StreamName, usize> = BTreeMap::new();
                let in_them = messages.iter().flat_map(|(name, next)| std::iter::once(name).chain(next.all()));
                in_them.for_each(|name| *times.entry(name).or_default() += 1);
                prop_assert!(times.values().all(|times| *times == 1), "a name is in two lists");
                let may = list.all().chain(&known).collect::<BTreeSet<_>>();
                prop_assert!(times.keys().all(|name| may.contains(*name)), "a name came from nowhere");
            }
        }
    }
}
