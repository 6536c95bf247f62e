//! Results on their way to an event bus: evidence and summaries as entries of EventBridge's PutEvents.
//!
//! Pure. The log's line is the record and this is its copy: an entry that cannot be sent is lost to those who listen, and
//! nothing else follows. `run/outbox.rs` sends.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::arn::{Arn, Scope};
use super::evidence::Evidence;
use super::scan::subject::Subject;
use super::scan::v1::Summary;

/// Who sends: what rules match on. It begins with neither `aws.` nor `aws`, and no rule of ours matches it.
pub const SOURCE: &str = "streamseal";
/// The detail type of evidence, a stream's one.
pub const EVIDENCE: &str = "Streamseal Evidence";
/// The detail type of what a scan found.
pub const SUMMARY: &str = "Streamseal Scan Summary";

/// Entries of one request, at most (EventBridge API reference, PutEvents).
pub const ENTRIES_MAX: usize = 10;
/// Bytes of all entries of one request, at most: below the 256 KB that PutEvents takes (EventBridge user guide, "Calculating
/// PutEvents event entry size"), since the event that comes of an entry is larger, and SNS takes 256 KB of it.
pub const BYTES_MAX: usize = 240_000;
/// What an entry's time counts (the same page).
const TIME_BYTES: usize = 14;

/// What may be left out of a document that is too large, in this order, by its place.
const MAY_BE_CUT: &[&str] =
    &["/calls", "/changes/handed_over", "/streams/by_key", "/streams/by_rule", "/reasons", "/warnings"];

/// An event bus, of any account and Region of the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bus {
    /// Its name or its ARN, as PutEvents takes it.
    pub name: String,
    /// The Region of its ARN, where it has one: requests go there.
    pub region: Option<String>,
}

impl Bus {
    /// Reads a bus's name or ARN; `None` where EventBridge would refuse it, or where it is of another partition (credentials end
    /// there). Names are letters, digits and `/ . - _`, 256 at most (EventBridge API reference, CreateEventBus).
    pub fn parse(text: &str, partition: &str) -> Option<Self> {
        let name = |text: &str| {
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_');
            (1..=256).contains(&text.len()) && text.bytes().all(legal)
        };
        if !text.starts_with("arn:") {
            return name(text).then(|| Self { name: text.to_owned(), region: None });
        }
        let Arn { partition: of, service, region, account, resource } = Arn::parse(text)?;
        let is_bus = of == partition && service == "events" && Scope::is_region(region) && Scope::is_account(account);
        let named = resource.strip_prefix("event-bus/").is_some_and(name);
        (is_bus && named).then(|| Self { name: text.to_owned(), region: Some(region.to_owned()) })
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultEvent {
    /// [`EVIDENCE`] or [`SUMMARY`].
    pub detail_type: &'static str,
    /// When the run or the scan ended.
    pub time: Timestamp,
    /// The stream's ARN, or the key's that a scan was for.
    pub resource: Option<String>,
    /// The document: the log's line, unless that is too large.
    pub detail: String,
}

impl ResultEvent {
    /// A stream's evidence, as it was written out.
    pub fn of_evidence(evidence: &Evidence, document: &str) -> Self {
        Self {
            detail_type: EVIDENCE,
            time: evidence.finished_at,
            resource: Some(evidence.stream.to_string()),
            detail: bounded(document),
        }
    }

    /// What a scan found, as it was written out.
    pub fn of_summary(summary: &Summary, document: &str) -> Self {
        let resource = match &summary.scan.subject {
            Subject::Key { key, .. } => Some(key.to_string()),
            Subject::Fleet | Subject::Alias { .. } | Subject::Aliases => None,
        };
        Self { detail_type: SUMMARY, time: summary.finished_at, resource, detail: bounded(document) }
    }

    /// What PutEvents counts of it, in bytes.
    pub fn size(&self) -> usize {
        let resource = self.resource.as_ref().map_or(0, String::len);
        TIME_BYTES + SOURCE.len() + self.detail_type.len() + self.detail.len() + resource
    }
}

/// The document as it is or, where it is too large, without its longest lists, which `cut` then names.
fn bounded(document: &str) -> String {
    // What is around it has a few hundred bytes, of names that are bounded.
    let most = BYTES_MAX - 1_000;
    if document.len() <= most {
        return document.to_owned();
    }
    let Ok(mut document) = serde_json::from_str::<Value>(document) else { return document.to_owned() };
    let mut cut = Vec::new();
    for place in MAY_BE_CUT {
        let Some(member) = document.pointer_mut(place) else { continue };
        *member = if member.is_array() { json!([]) } else { json!({}) };
        cut.push(place.trim_start_matches('/').replace('/', "."));
        if let Some(members) = document.as_object_mut() {
            members.insert("truncated".to_owned(), json!(cut));
        }
        let shorter = document.to_string();
        if shorter.len() <= most {
            return shorter;
        }
    }
    document.to_string()
}

/// Requests that hold all of these, in their order: as many entries each as one request takes.
pub fn requests(events: Vec<ResultEvent>) -> Vec<Vec<ResultEvent>> {
    let mut requests: Vec<Vec<ResultEvent>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.size();
        match requests.last_mut() {
            Some(last) if last.len() < ENTRIES_MAX && bytes + size <= BYTES_MAX => {
                bytes += size;
                last.push(event);
            }
            Some(_) | None => {
                bytes = size;
                requests.push(vec![event]);
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(bytes: usize) -> ResultEvent {
        let detail = "x".repeat(bytes);
        ResultEvent { detail_type: EVIDENCE, time: Timestamp::UNIX_EPOCH, resource: Some("arn".to_owned()), detail }
    }

    #[test]
    fn a_bus_is_a_name_or_an_arn() {
        let arn = "arn:aws:events:eu-central-1:999999999999:event-bus/org/results";
        let bus = |text: &str| Bus::parse(text, "aws").map(|bus| (bus.name, bus.region));
        assert_eq!(bus("results"), Some(("results".to_owned(), None)));
        assert_eq!(bus("default"), Some(("default".to_owned(), None)));
        assert_eq!(bus(arn), Some((arn.to_owned(), Some("eu-central-1".to_owned()))));
        for not in [
            "",
            "a bus",
            "arn:aws:events:eu-west-1:111122223333:rule/bus",
            "arn:aws:events:eu-west-1:111122223333:event-bus/",
            "arn:aws:events:eu-west-1:1111:event-bus/bus",
            "arn:aws:events::111122223333:event-bus/bus",
            "arn:aws:sqs:eu-west-1:111122223333:event-bus/bus",
            "arn:aws-cn:events:cn-north-1:111122223333:event-bus/bus",
        ] {
            assert_eq!(bus(not), None, "{not}");
        }
        assert_eq!(bus(&"x".repeat(257)), None);
    }

    #[test]
    fn requests_are_full_and_not_too_full() {
        let sizes = |events: Vec<ResultEvent>| requests(events).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), [] as [usize; 0]);
        assert_eq!(sizes((0..23).map(|_| event(100)).collect()), [10, 10, 3]);
        assert_eq!(sizes(vec![event(150_000), event(80_000), event(100_000), event(10)]), [2, 2]);
        let order = requests((0..12).map(event).collect()).concat();
        assert_eq!(order, (0..12).map(event).collect::<Vec<_>>());
    }

    /// The sum that the user guide gives, by hand.
    #[test]
    fn an_entry_counts_what_eventbridge_counts() {
        assert_eq!(event(100).size(), 14 + "streamseal".len() + "Streamseal Evidence".len() + 100 + 3);
    }

    #[test]
    fn what_is_too_large_loses_its_longest_lists_and_says_so() {
        let small = json!({"schema": "x", "calls": [1, 2]}).to_string();
        assert_eq!(bounded(&small), small);
        let long: Vec<String> = (0..3_000).map(|i| format!("{i:0100}")).collect();
        let large = json!({"schema": "x", "calls": long, "reasons": ["r"], "warnings": ["w"]});
        let cut: Value = serde_json::from_str(&bounded(&large.to_string())).unwrap();
        assert_eq!(
            cut,
            json!({"schema": "x", "calls": [], "reasons": ["r"], "warnings": ["w"], "truncated": ["calls"]})
        );
        let by_key =
            json!({"schema": "x", "streams": {"listed": 1, "by_key": {"k": "x".repeat(BYTES_MAX)}}, "calls": {"c": 1}});
        let cut: Value = serde_json::from_str(&bounded(&by_key.to_string())).unwrap();
        let expected = json!({"schema": "x", "streams": {"listed": 1, "by_key": {}}, "calls": {}, "truncated": ["calls", "streams.by_key"]});
        assert_eq!(cut, expected);
    }
}
