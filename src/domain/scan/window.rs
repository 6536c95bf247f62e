//! When a scan that was asked for begins: requests about the same that arrive in one window are one scan, which begins when the window is
//! over. So it observes after whatever they were asked for, and somebody who causes many events causes few scans.
//!
//! Pure. A request waits for the end of its window as a delayed message of the work queue and then enters the queue of scans, which takes
//! the first message of a window and drops the others by their id.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Scan;
use crate::domain::bounds::later;

/// A scan begins so long after its window has ended: the clocks of two instances may differ by so much, one of which receives a last
/// request while another starts the scan.
const MARGIN: SignedDuration = SignedDuration::from_secs(10);

impl Scan {
    /// The request that arrives `now`, as one of its window of this length: all of them have the same id, and none begins before the window has ended.
    #[must_use]
    pub fn in_window(self, now: Timestamp, length: Duration) -> Self {
        let length = i64::try_from(length.as_secs()).unwrap_or(i64::MAX).max(1);
        let start = now.as_second().div_euclid(length).saturating_mul(length);
        let start = Timestamp::from_second(start).unwrap_or(now);
        let not_before = later(start, SignedDuration::from_secs(length) + MARGIN);
        Self { id: format!("{}@{start}", self.topic()), not_before: Some(not_before), ..self }
    }

    /// A request that comes back after its window of this length: it is nothing but what was asked for. Anybody who may write to the work
    /// queue knows the ids of windows; such a message must not stand for a scan that observes nothing.
    #[must_use]
    pub fn asked_again(self, length: Duration) -> Self {
        let Self { subject, cause, requested_at, deadline_from, not_before, parts, unread, .. } = self;
        let asked = Self { deadline_from, not_before, parts, unread, ..Self::new(subject, cause, requested_at) };
        let Some(begin) = not_before else { return asked };
        let length = SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX);
        let start = begin.saturating_sub(length).and_then(|end| end.saturating_sub(MARGIN)).unwrap_or(begin);
        Self { id: format!("{}@{start}", asked.topic()), ..asked }
    }

    /// Whether it is a request that has no window yet.
    pub fn is_new(&self) -> bool {
        self.started_at.is_none() && self.not_before.is_none()
    }
}

/// How a part of a scan comes to its queue. The queue drops a second message with one id: what comes one way must not be taken for what
/// comes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A request whose window has ended.
    Asked,
    /// A part that failed or found no policy, through the work queue.
    Again,
    /// The part after another one.
    Next,
}

impl Entry {
    /// The word in the id.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Again => "again",
            Self::Next => "next",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::domain::arn::{KeyArn, KeyRef};
    use crate::domain::cause::{Cause, PARAMETER_CHANGE};
    use crate::domain::scan::subject::{Group, KeyEvent, Subject};
    use crate::domain::text::EventText;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/k";

    fn request(subject: Subject, call: &str, at: Timestamp) -> Scan {
        let cause = Cause { call: EventText::new(call), event_id: None, actor: None, at: Some(at), creator: None };
        let length = subject.group().window();
        Scan::new(subject, cause, at).in_window(at, length)
    }

    fn subjects() -> [Subject; 6] {
        let key = |event| Subject::Key { key: KeyArn::parse(KEY).unwrap(), event };
        let alias = KeyRef::parse("alias/app").unwrap();
        [
            Subject::Fleet,
            Subject::Alias { alias },
            Subject::Aliases,
            key(KeyEvent::Lost),
            key(KeyEvent::Changed),
            key(KeyEvent::Rotated),
        ]
    }

    /// Two windows of five minutes, a second at a time and a moment around each.
    fn times() -> impl Iterator<Item = Timestamp> {
        let begin: Timestamp = "2026-03-02T07:58:00Z".parse().unwrap();
        (0..=660)
            .flat_map(move |second| [0, 1, 500, 999].map(|ms| begin + SignedDuration::from_millis(second * 1000 + ms)))
    }

    #[test]
    fn whatever_arrives_in_a_window_is_scanned_after_it() {
        for subject in subjects() {
            let window = SignedDuration::try_from(subject.group().window()).unwrap();
            let mut begins: BTreeMap<String, BTreeSet<Timestamp>> = BTreeMap::new();
            for at in times() {
                let scan = request(subject.clone(), "x", at);
                let begin = scan.not_before.unwrap();
                // SQS drops all but the first of one id: the one that is left must not begin before the last has arrived, by any clock
                // that is ten seconds behind.
                assert!(begin - at > SignedDuration::from_secs(10), "{at} {begin}");
                assert!(begin - at <= window + MARGIN, "{at} {begin}");
                begins.entry(scan.id).or_default().insert(begin);
            }
            let seconds = window.as_secs();
            assert!(begins.len() <= usize::try_from(660 / seconds + 2).unwrap(), "{begins:?}");
            assert!(begins.values().all(|begins| begins.len() == 1), "one id, one beginning: {begins:?}");
            let distinct: BTreeSet<&Timestamp> = begins.values().flatten().collect();
            assert_eq!(distinct.len(), begins.len(), "each window has an id of its own");
        }
    }

    #[test]
    fn what_is_about_something_else_is_another_scan() {
        let at = "2026-03-02T08:00:30Z".parse().unwrap();
        let mut ids: Vec<String> = subjects().into_iter().map(|subject| request(subject, "x", at).id).collect();
        ids.push(request(Subject::Fleet, PARAMETER_CHANGE, at).id);
        assert_eq!(
            ids,
            [
                "sweep@2026-03-02T08:00:00Z",
                "alias/app@2026-03-02T08:00:00Z",
                "aliases@2026-03-02T08:00:00Z",
                &format!("{KEY} lost@2026-03-02T08:00:00Z"),
                &format!("{KEY} changed@2026-03-02T08:00:00Z"),
                &format!("{KEY} rotated@2026-03-02T08:00:00Z"),
                "policy@2026-03-02T08:00:00Z",
            ]
        );
        assert_eq!(request(Subject::Fleet, "x", at).not_before, Some("2026-03-02T08:01:10Z".parse().unwrap()));
        assert_eq!(request(Subject::Aliases, "x", at).not_before, Some("2026-03-02T08:05:10Z".parse().unwrap()));
    }

    #[test]
    fn a_request_that_comes_back_is_nothing_but_a_request() {
        let at: Timestamp = "2026-03-02T08:00:30Z".parse().unwrap();
        for subject in subjects() {
            let length = subject.group().window();
            let asked = request(subject, "x", at);
            assert_eq!(asked.clone().asked_again(length), asked, "as it was sent");
            let mut forged = Scan { id: "sweep@2026-03-02T09:00:00Z".to_owned(), ..asked.clone() };
            forged.after = crate::domain::arn::StreamName::parse("zzzz");
            forged.failures = 3;
            forged.tally.listed = 1_000;
            assert_eq!(forged.asked_again(length), asked);
        }
    }

    #[test]
    fn nobody_with_a_key_shares_a_group_with_sweeps() {
        let groups = subjects().map(|subject| subject.group());
        use Group::{Keys, Policy};
        assert_eq!(groups, [Policy, Policy, Keys, Keys, Keys, Keys]);
    }

    #[test]
    fn a_time_at_the_end_of_all_times_is_no_panic() {
        for at in [Timestamp::MIN, Timestamp::MAX] {
            assert!(request(Subject::Fleet, "x", at).not_before.is_some());
        }
    }
}
