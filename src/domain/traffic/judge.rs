//! Whether a stream's users fare worse after a change than before it. Pure: the same minutes give the same answer.
//!
//! What the answer needs is in the minutes themselves, the ones before the change included: one producer that always fails is no sign of
//! anything. Metrics cannot say why a call fails, so that nothing is done to a stream on their word alone.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Calls, Change, Minute, Series, Traffic, Window};

/// Fewer minutes with calls before the change say nothing of what comes after it.
const BEFORE_MIN: usize = 3;
/// The last minutes with calls that are weighed, and how many have to be there to find them fine.
const RECENT: usize = 5;
/// So many of those that failed more than ever before are no accident.
const BAD_MIN: usize = 3;
/// So many failures in a minute are nothing: iterators that expire, a shard that is split.
const NOISE: u64 = 3;
/// How many times the worst minute before is still nothing.
const TIMES_WORST: u64 = 2;
/// Silence counts from so many minutes on.
const SILENT_MIN: u64 = 5;
/// And from so many times the longest silence before.
const TIMES_LONGEST: u64 = 3;
/// So far behind nobody is who keeps up.
const KEEPS_UP_MS: u64 = 60_000;
/// A consumer that has stopped falls behind by 60 s a minute.
const FALLS_BEHIND_MS: u64 = 50_000;
/// For so many minutes.
const FALLING_MIN: usize = 5;

/// How users fare, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Health {
    /// Too few calls to say anything, before the change or after it.
    Quiet,
    /// As well as before.
    Fine,
    /// It cannot be determined: no metrics, or calls already failed before the change.
    Unknown,
    /// Something is wrong that may have another cause.
    Suspect,
    /// Calls fail that did not before.
    Broken,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Quiet, Self::Fine, Self::Unknown, Self::Suspect, Self::Broken];

    /// The word in evidence and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Suspect => "suspect",
            Self::Broken => "broken",
        }
    }
}

/// What a window has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Minutes with calls.
    pub minutes: u64,
    /// Calls.
    pub calls: u64,
    /// Calls that failed, but for those that were throttled.
    pub failed: u64,
}

/// What is said of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    /// How they fare.
    pub health: Health,
    /// Why, in words.
    pub why: String,
    /// What was counted before the change.
    pub before: Counts,
    /// What was counted after it.
    pub after: Counts,
    /// How far consumers were behind at worst after it, in milliseconds.
    pub behind_ms: Option<u64>,
    /// Whether calls fail in the last minute that has any.
    pub fails_last: bool,
}

impl Side {
    fn blind(why: &str) -> Self {
        let (before, after) = (Counts::default(), Counts::default());
        Self { health: Health::Unknown, why: why.to_owned(), before, after, behind_ms: None, fails_last: false }
    }

    /// The two taken together, with the words of the worse.
    fn and(self, other: Self) -> Self {
        let sum = |a: Counts, b: Counts| Counts {
            minutes: a.minutes.max(b.minutes),
            calls: a.calls.saturating_add(b.calls),
            failed: a.failed.saturating_add(b.failed),
        };
        let (before, after) = (sum(self.before, other.before), sum(self.after, other.after));
        let behind_ms = self.behind_ms.max(other.behind_ms);
        let worse = if other.health > self.health { other } else { self };
        Self { before, after, behind_ms, ..worse }
    }
}

/// What is said of a stream's users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users {
    /// Of those who put records.
    pub producers: Side,
    /// Of those who read them.
    pub consumers: Side,
}

impl Users {
    /// Where nothing could be measured: why.
    pub fn blind(why: &str) -> Self {
        Self { producers: Side::blind(why), consumers: Side::blind(why) }
    }

    /// The worse of the two.
    pub fn health(&self) -> Health {
        self.producers.health.max(self.consumers.health)
    }

    /// Whether calls of a side that is broken fail in the last minute that has any.
    pub fn fail_last(&self) -> bool {
        [&self.producers, &self.consumers].iter().any(|side| side.health == Health::Broken && side.fails_last)
    }

    /// The words of the worse of the two.
    pub fn why(&self) -> &str {
        let Self { producers, consumers } = self;
        if consumers.health > producers.health { &consumers.why } else { &producers.why }
    }

    /// Whether calls came before the change: a stream without any shows nothing.
    pub fn had_traffic(&self) -> bool {
        let active = |side: &Side| usize::try_from(side.before.minutes).unwrap_or(usize::MAX) >= BEFORE_MIN;
        active(&self.producers) || active(&self.consumers)
    }
}

/// What `traffic` says at `now` of a change.
pub fn judge(traffic: &Traffic, change: Change, now: Timestamp) -> Users {
    let (before, after) = (change.before(), change.after(now));
    let judged = |who: &str, series| one(who, series, &traffic.incoming, before, after);
    let readers = judged("GetRecords", &traffic.readers);
    let consumers = traffic.consumers.iter().map(|(name, series)| judged(&format!("consumer {name}"), series));
    Users {
        producers: judged("PutRecord and PutRecords", &traffic.producers),
        consumers: consumers.fold(readers, Side::and),
    }
}

/// The minutes of a window in which there were calls.
fn active(series: &Series, window: Window) -> Vec<(Minute, Calls)> {
    let in_it = series.calls.range(window.from..window.to.max(window.from));
    in_it.filter(|(_, calls)| calls.sent > 0).map(|(minute, calls)| (*minute, *calls)).collect()
}

fn counts(active: &[(Minute, Calls)]) -> Counts {
    active.iter().fold(Counts::default(), |counts, (_, calls)| Counts {
        minutes: counts.minutes + 1,
        calls: counts.calls.saturating_add(calls.sent),
        failed: counts.failed.saturating_add(calls.failed()),
    })
}

fn one(who: &str, series: &Series, incoming: &BTreeMap<Minute, u64>, before: Window, after: Window) -> Side {
    let (was, is) = (active(series, before), active(series, after));
    let behind = |window: Window| -> Vec<(Minute, u64)> {
        series.behind_ms.range(window.from..window.to.max(window.from)).map(|(minute, ms)| (*minute, *ms)).collect()
    };
    let (behind_before, behind_after) = (behind(before), behind(after));
    let by_calls = by_calls(&was, &is, before, after);
    let by_lag = by_lag(&behind_before, &behind_after, incoming);
    let worse = by_lag.filter(|lag| lag.0 > by_calls.0);
    let (health, why) = worse.unwrap_or(by_calls);
    let behind_ms = behind_after.iter().map(|(_, ms)| *ms).max();
    let fails_last = is.last().is_some_and(|(_, calls)| calls.failed() > bound(&was) || calls.is_half_failed());
    Side { health, why: format!("{who}: {why}"), before: counts(&was), after: counts(&is), behind_ms, fails_last }
}

type Said = (Health, String);

fn said(health: Health, why: &str) -> Said {
    (health, why.to_owned())
}

/// What the calls of one kind of user say. Everything that depends on failures after the change can only become worse with them.
fn by_calls(was: &[(Minute, Calls)], is: &[(Minute, Calls)], before: Window, after: Window) -> Said {
    let half_failed = |minutes: &[(Minute, Calls)]| minutes.iter().filter(|(_, calls)| calls.is_half_failed()).count();
    let failing_before = half_failed(was);
    if failing_before.saturating_mul(5) > was.len() {
        return said(Health::Unknown, "calls already failed before the change");
    }
    if after.is_empty() {
        return said(Health::Unknown, "no minute after the change can be read yet");
    }
    let bound = bound(was);
    let recent = is.get(is.len().saturating_sub(RECENT)..).unwrap_or_default();
    let bad = recent.iter().filter(|(_, calls)| calls.failed() > bound).count();
    let half = half_failed(recent);
    // Two running, and more of them than there were in all the time before.
    let running = recent.windows(2).any(|pair| pair.iter().all(|(_, calls)| calls.is_half_failed()));
    let any_bad = bad > 0 || half > failing_before;
    if was.len() < BEFORE_MIN {
        return match any_bad {
            true => said(Health::Suspect, "calls fail, and before the change there were too few to compare with"),
            false => said(Health::Quiet, "too few calls before the change"),
        };
    }
    if bad >= BAD_MIN || (running && half > failing_before) {
        return said(Health::Broken, "calls fail that did not fail before the change");
    }
    if is_silent(was, is, before, after) {
        return said(Health::Suspect, "no calls any more, though there were calls all the time before the change");
    }
    if is.len() < RECENT {
        return match any_bad {
            true => said(Health::Suspect, "calls fail, and there were too few after the change to be certain"),
            false => said(Health::Quiet, "too few calls after the change"),
        };
    }
    said(Health::Fine, "as before the change")
}

/// So many calls may fail in a minute after it, by those before it.
fn bound(was: &[(Minute, Calls)]) -> u64 {
    let worst = was.iter().map(|(_, calls)| calls.failed()).max().unwrap_or_default();
    worst.saturating_mul(TIMES_WORST).max(NOISE)
}

/// Whether whoever called in most minutes before has stopped: a client that gave up, or waits longer and longer, shows so.
fn is_silent(was: &[(Minute, Calls)], is: &[(Minute, Calls)], before: Window, after: Window) -> bool {
    let since = |last: Option<&(Minute, Calls)>, window: Window| last.map_or(window.from, |(minute, _)| minute + 1);
    let minutes = |from: Minute, to: Minute| Window { from, to }.len();
    let silent = minutes(since(is.last(), after), after.to);
    let ends = was.iter().map(|(minute, _)| *minute).chain([before.to]);
    let begins = std::iter::once(before.from).chain(was.iter().map(|(minute, _)| minute + 1));
    let longest = begins.zip(ends).map(|(from, to)| minutes(from, to)).max().unwrap_or_default();
    let active = u64::try_from(was.len()).unwrap_or(u64::MAX);
    let steady = active.saturating_mul(5) >= before.len().saturating_mul(4);
    steady && silent >= SILENT_MIN && silent > longest.saturating_mul(TIMES_LONGEST)
}

/// Whether a consumer that kept up falls behind while records go in, as one that has stopped does. That has many causes.
fn by_lag(was: &[(Minute, u64)], is: &[(Minute, u64)], incoming: &BTreeMap<Minute, u64>) -> Option<Said> {
    let kept_up = !was.is_empty() && was.iter().all(|(_, ms)| *ms < KEEPS_UP_MS);
    let last = is.get(is.len().checked_sub(FALLING_MIN + 1)?..)?;
    let falls = last.windows(2).all(|pair| {
        let [(minute, ms), (next, more)] = pair else { return false };
        let goes_in = incoming.get(next).is_some_and(|records| *records > 0);
        *next == minute + 1 && more.saturating_sub(*ms) >= FALLS_BEHIND_MS && goes_in
    });
    (kept_up && falls).then(|| said(Health::Suspect, "falls further behind each minute, and kept up before the change"))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::traffic::Batches;

    /// The change of the tests is asked for at this minute, and the stream is on its new key within it.
    const CHANGE: Minute = 1_000_000;
    /// The first minute after it.
    const AFTER: Minute = CHANGE + 1;
    const BASELINE: usize = 60;

    fn at(minute: Minute, seconds: i64) -> Timestamp {
        Timestamp::from_second(minute * 60 + seconds).unwrap()
    }

    fn change() -> Change {
        let before_from = at(CHANGE - i64::try_from(BASELINE).unwrap(), 0);
        Change { before_from, sent: at(CHANGE, 10), active: at(CHANGE, 15), until: at(CHANGE + 20, 20) }
    }

    /// The earliest time at which so many minutes after the change can be judged.
    fn after(minutes: usize) -> Timestamp {
        at(AFTER + i64::try_from(minutes).unwrap() + 3, 0)
    }

    fn calls(sent: u64, failed: u64) -> Calls {
        Calls { sent, worked: sent - failed, ..Calls::default() }
    }

    fn series(before: &[Calls], after: &[Calls]) -> Series {
        let first = CHANGE - i64::try_from(before.len()).unwrap();
        let all = (first..).zip(before).chain((AFTER..).zip(after));
        let calls = all.filter(|(_, calls)| **calls != Calls::default()).map(|(minute, calls)| (minute, *calls));
        Series { calls: calls.collect(), behind_ms: BTreeMap::new() }
    }

    /// Producers with these calls in the minutes before and after.
    fn producers(before: &[Calls], after_it: &[Calls]) -> Side {
        let traffic = Traffic { producers: series(before, after_it), ..Traffic::default() };
        judge(&traffic, change(), after(after_it.len())).producers
    }

    fn steady(sent: u64, failed: u64) -> Vec<Calls> {
        vec![calls(sent, failed); BASELINE]
    }

    #[test]
    fn how_users_fare() {
        use Health::{Broken, Fine, Quiet, Suspect, Unknown};
        let none = Calls::default();
        let throttled = Calls { sent: 100, worked: 40, throttled: 60, ..Calls::default() };
        // Every call has ten records; of those of 60 calls all are throttled, or of each one some.
        let batches = Batches { calls: 100, records: 1_000, throttled: 600 };
        let batched = |failed: u64| Calls { sent: 100, worked: 100 - failed, throttled: 600, batches };
        let every = |nth: usize| -> Vec<Calls> {
            (0..BASELINE).map(|minute| if minute % nth == 0 { calls(50, 0) } else { none }).collect()
        };
        let one_bad = |failed| [vec![calls(100, 0); BASELINE - 1], vec![calls(100, failed)]].concat();
        let then = |minutes: &[Calls]| [vec![calls(100, 0); 5], minutes.to_vec()].concat();
        let rows: Vec<(&str, Vec<Calls>, Vec<Calls>, Health)> = vec![
            ("clean", steady(100, 0), vec![calls(100, 0); 5], Fine),
            ("one minute too few", steady(100, 0), vec![calls(100, 0); 4], Quiet),
            ("nothing to read yet", steady(100, 0), vec![], Unknown),
            ("all fail", steady(100, 0), vec![calls(100, 100); 2], Broken),
            ("all fail, and few clients are left", steady(100, 0), vec![calls(2, 2); 2], Broken),
            ("half fail", steady(100, 0), vec![calls(100, 50); 2], Broken),
            ("less than half, in two minutes", steady(100, 0), vec![calls(100, 49); 2], Suspect),
            ("one of ten fails", steady(100, 0), then(&[calls(100, 10); 3]), Broken),
            ("the same for two minutes", steady(100, 0), then(&[calls(100, 10); 2]), Fine),
            ("one of ten failed before too", steady(100, 10), vec![calls(100, 10); 10], Fine),
            ("twice as bad as the worst before", steady(100, 10), vec![calls(100, 20); 10], Fine),
            ("worse than that", steady(100, 10), vec![calls(100, 21); 10], Broken),
            ("a few iterators expire", steady(100, 0), vec![calls(100, 3); 10], Fine),
            ("a split shard: one minute", steady(100, 0), then(&[calls(100, 90), calls(100, 0)]), Fine),
            ("it was all well again", steady(100, 0), [vec![calls(9, 9); 3], vec![calls(9, 0); 5]].concat(), Fine),
            ("the worst minute before", one_bad(30), vec![calls(100, 45); 6], Fine),
            ("one half-failed minute before hides no two", one_bad(60), vec![calls(2, 2); 2], Broken),
            ("throttled", steady(100, 0), vec![throttled; 10], Fine),
            ("whole batches are throttled", steady(100, 0), vec![batched(60); 10], Fine),
            (
                "records of batches are throttled, and half of the calls fail",
                steady(100, 0),
                vec![batched(100); 3],
                Broken,
            ),
            ("throttled, and all the rest fails", steady(100, 0), vec![Calls { worked: 0, ..throttled }; 3], Broken),
            ("failing already", steady(100, 50), vec![calls(100, 100); 10], Unknown),
            (
                "failing in a fifth of the minutes",
                [vec![calls(9, 9); 12], vec![calls(9, 0); 48]].concat(),
                vec![calls(9, 0); 5],
                Fine,
            ),
            (
                "in more than a fifth",
                [vec![calls(9, 9); 13], vec![calls(9, 0); 47]].concat(),
                vec![calls(9, 0); 5],
                Unknown,
            ),
            ("idle", vec![none; BASELINE], vec![none; 10], Quiet),
            ("sparse", every(20), vec![calls(50, 0); 1], Quiet),
            ("sparse, and it fails", every(20), vec![calls(50, 50); 1], Suspect),
            ("nothing before, and it fails", vec![none; BASELINE], vec![calls(50, 50); 5], Suspect),
            ("two minutes before", [vec![none; 58], vec![calls(9, 0); 2]].concat(), vec![calls(9, 0); 9], Quiet),
            ("silent", steady(100, 0), vec![none; 5], Suspect),
            ("silent for four minutes", steady(100, 0), vec![none; 4], Quiet),
            ("silent after some calls", steady(100, 0), [vec![calls(9, 0); 5], vec![none; 5]].concat(), Suspect),
            ("silent, as often before", every(2), vec![none; 20], Quiet),
        ];
        for (name, before, after, expected) in rows {
            let side = producers(&before, &after);
            assert_eq!(side.health, expected, "{name}: {}", side.why);
        }
    }

    #[test]
    fn a_gap_before_allows_a_longer_one_after() {
        let mut before = steady(100, 0);
        before[20..24].fill(Calls::default());
        let silent = |minutes: usize| producers(&before, &vec![Calls::default(); minutes]).health;
        assert_eq!((silent(12), silent(13)), (Health::Quiet, Health::Suspect), "three times four minutes");
    }

    #[test]
    fn only_minutes_that_are_over_for_long_enough_count() {
        let late = [vec![calls(9, 0); 5], vec![calls(9, 9); 2]].concat();
        let traffic = Traffic { producers: series(&steady(9, 0), &late), ..Traffic::default() };
        let health = |seconds: i64| {
            let now = after(7) + SignedDuration::from_secs(seconds);
            judge(&traffic, change(), now).producers.health
        };
        assert_eq!((health(-1), health(0)), (Health::Fine, Health::Broken));
        // The minute in which the change was made counts for neither side, and those behind the end of the watch do not count.
        let mut busy = traffic.clone();
        busy.producers.calls.insert(CHANGE, calls(900, 900));
        assert_eq!(judge(&busy, change(), after(5)), judge(&traffic, change(), after(5)));
        let later = series(&steady(9, 0), &[vec![calls(9, 0); 20], vec![calls(9, 9); 9]].concat());
        let later = Traffic { producers: later, ..Traffic::default() };
        assert_eq!(judge(&later, change(), after(60)).producers.health, Health::Fine);
    }

    #[test]
    fn a_minute_that_changes_later_changes_the_answer() {
        let mut traffic = Traffic { producers: series(&steady(9, 0), &[calls(9, 9); 2]), ..Traffic::default() };
        assert_eq!(judge(&traffic, change(), after(2)).producers.health, Health::Broken);
        // Samples that came late: most of that minute worked.
        traffic.producers.calls.insert(AFTER, calls(90, 9));
        assert_eq!(judge(&traffic, change(), after(2)).producers.health, Health::Suspect);
    }

    #[test]
    fn lag_is_suspect_where_it_grows_by_the_minute_and_records_go_in() {
        let judged = |before: u64, steps: &[u64], incoming: u64| {
            let readers = series(&steady(9, 0), &vec![calls(9, 0); steps.len()]);
            let mut traffic = Traffic { readers, ..Traffic::default() };
            traffic.readers.behind_ms.insert(CHANGE - 1, before);
            let mut behind = 0;
            for (minute, step) in (AFTER..).zip(steps) {
                behind += step;
                traffic.readers.behind_ms.insert(minute, behind);
                traffic.incoming.insert(minute, incoming);
            }
            let users = judge(&traffic, change(), after(steps.len()));
            (users.consumers.health, users.consumers.behind_ms)
        };
        let stopped = [0, 60_000, 60_000, 60_000, 60_000, 60_000];
        assert_eq!(judged(0, &stopped, 9), (Health::Suspect, Some(300_000)));
        assert_eq!(judged(60_000, &stopped, 9).0, Health::Fine, "it was behind before");
        assert_eq!(judged(0, &stopped, 0).0, Health::Fine, "nothing goes in");
        assert_eq!(judged(0, &stopped[..5], 9).0, Health::Fine, "not long enough");
        assert_eq!(judged(0, &[0, 60_000, 60_000, 49_999, 60_000, 60_000], 9).0, Health::Fine);
    }

    #[test]
    fn the_two_sides_and_each_consumer_are_apart() {
        let producers = series(&steady(9, 0), &[calls(9, 0); 5]);
        let readers = series(&steady(900, 0), &[calls(900, 0); 5]);
        let mut traffic = Traffic { producers, readers, ..Traffic::default() };
        traffic.consumers.insert("audit".to_owned(), series(&steady(9, 0), &[calls(9, 9); 5]));
        let users = judge(&traffic, change(), after(5));
        assert_eq!((users.producers.health, users.consumers.health), (Health::Fine, Health::Broken));
        assert!(users.consumers.why.starts_with("consumer audit: "), "{}", users.consumers.why);
        assert_eq!(users.consumers.after, Counts { minutes: 5, calls: 5 * 909, failed: 45 });
        assert_eq!(users.consumers.before, Counts { minutes: 60, calls: 60 * 909, failed: 0 });
        assert_eq!((users.health(), users.had_traffic()), (Health::Broken, true));
        let idle = judge(&Traffic::default(), change(), after(5));
        assert_eq!((idle.health(), idle.had_traffic()), (Health::Quiet, false));
        assert_eq!(Users::blind("no").health(), Health::Unknown);
    }

    #[test]
    fn whether_the_last_minute_fails() {
        let good = || vec![calls(9, 0); 2];
        for (after, expect) in [
            (vec![calls(9, 9); 5], true),
            ([vec![calls(9, 9); 4], vec![calls(9, 0)]].concat(), false),
            ([good(), vec![calls(9, 5)]].concat(), true),
            ([good(), vec![calls(100, 4)]].concat(), true),
            ([good(), vec![calls(100, 3)]].concat(), false),
            // The last one that has any.
            ([vec![calls(9, 9)], vec![Calls::default(); 3]].concat(), true),
            (Vec::new(), false),
        ] {
            assert_eq!(producers(&steady(100, 0), &after).fails_last, expect, "{after:?}");
        }
    }

    /// Minutes of a few calls, of which some fail and some are throttled.
    fn some_minutes(most: usize) -> impl Strategy<Value = Vec<Calls>> {
        let minute = (0_u64..20, 0_u64..20, 0_u64..4).prop_map(|(sent, failed, throttled)| {
            let failed = failed.min(sent);
            Calls { sent, worked: sent - failed, throttled, ..Calls::default() }
        });
        // Most are without failures, or nothing could be said after any of them.
        let fine = (0_u64..20).prop_map(|sent| Calls { sent, worked: sent, ..Calls::default() });
        prop::collection::vec(prop_oneof![1 => minute, 4 => fine], 0..most)
    }

    proptest! {
        #[test]
        fn nothing_is_broken_by_what_was_there_before(
            (before, after) in some_minutes(BASELINE).prop_flat_map(|before| {
                (Just(before.clone()), Just(before).prop_shuffle())
            })
        ) {
            let side = producers(&before, &after);
            prop_assert_ne!(side.health, Health::Broken, "{}", side.why);
        }

        #[test]
        fn more_failures_never_make_it_better(
            before in some_minutes(BASELINE),
            after in some_minutes(20),
            which in any::<prop::sample::Index>(),
            more in 1_u64..20,
        ) {
            prop_assume!(!after.is_empty());
            let mut worse = after.clone();
            let minute = &mut worse[which.index(after.len())];
            minute.worked = minute.worked.saturating_sub(more);
            prop_assert!(producers(&before, &worse).health >= producers(&before, &after).health);
        }

        #[test]
        fn any_numbers_are_judged(
            calls in prop::collection::btree_map(any::<i64>(), any::<[u64; 6]>(), 0..20),
            behind_ms in prop::collection::btree_map(any::<i64>(), any::<u64>(), 0..20),
        ) {
            let of = |[sent, worked, throttled, calls, records, of_records]: [u64; 6]| {
                let batches = Batches { calls, records, throttled: of_records };
                Calls { sent, worked, throttled, batches }
            };
            let calls = calls.into_iter().map(|(at, numbers)| (at, of(numbers)));
            let readers = Series { calls: calls.collect(), behind_ms };
            let traffic = Traffic { readers, ..Traffic::default() };
            judge(&traffic, change(), after(5));
        }
    }
}
