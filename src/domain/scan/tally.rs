//! What a scan counted, within bounds: it travels in the scan's message.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::arn::{AWS_MANAGED_ALIAS, KeyArn, StreamName};
use crate::domain::bounds;
use crate::domain::history::Left;
use crate::domain::plan::guard::next;
use crate::domain::text::EventText;
use crate::domain::verdict::Compliance;

/// How many names a list carries; the rest is counted.
pub const NAMES_MAX: usize = 100;
/// How many streams that left a lost key are carried along; of a key with more, the rest is unknown.
pub const LEFT_MAX: usize = 200;
/// How many rules and keys are counted each for itself; the rest together. With [`NAMES_MAX`] this keeps the message far below
/// SQS's 256 KiB.
const GROUPS_MAX: usize = 200;
/// The most streams that one scan may hand over to be changed.
pub const CHANGES_MAX: u32 = 500;
/// So many streams whose change has a guard are carried along: as many as one list takes, and its first.
const GUARDED_MAX: usize = next::NAMES_MAX + 1;
/// The longest words about the history, in characters.
const WORDS_MAX: usize = 2_500;
/// Where streams are counted whose rule or key is one of too many.
const OTHERS: &str = "(others)";

/// A stream that a run could do more about, and when it was made: which of them are handed over is known at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// How far it is from where this scan starts to choose.
    pub place: u64,
    /// Its name.
    pub stream: String,
    /// When it was made, where that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub created: Option<Timestamp>,
}

/// A list of names that does not grow without bounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Names {
    /// The first [`NAMES_MAX`], each with what there is to say of it.
    pub names: Vec<(String, String)>,
    /// How many more there are.
    pub more: u64,
}

impl Names {
    /// Adds a name and what there is to say of it.
    pub fn push(&mut self, name: &str, what: &str) {
        if self.names.len() < NAMES_MAX {
            self.names.push((name.to_owned(), EventText::new(what).to_string()));
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// How many there are in all.
    pub fn count(&self) -> u64 {
        u64::try_from(self.names.len()).unwrap_or(u64::MAX).saturating_add(self.more)
    }
}

/// What a scan counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tally {
    /// Streams listed.
    pub listed: u64,
    /// Streams that concern the scan.
    pub streams: u64,
    /// Of those, by compliance.
    pub by_compliance: BTreeMap<String, u64>,
    /// By rule.
    pub by_rule: BTreeMap<String, u64>,
    /// By the key that they are on.
    pub by_key: BTreeMap<String, u64>,
    /// Those that are not as they should be, or could not be determined, with the reason.
    pub not_compliant: Names,
    /// Those that a run could do more about: the nearest to where the scan starts to choose.
    pub candidates: Vec<Candidate>,
    /// Those whose change has a guard, by the key that they are to get, with how far each is from where the scan starts to choose: they go
    /// one after the other.
    pub guarded: BTreeMap<String, Vec<(u64, String)>>,
    /// Those that were not handed over since there were too many.
    pub withheld: Names,
    /// Streams of whose creation no event came.
    pub missed: Names,
    /// Streams handed over to be proven.
    pub to_prove: u64,
    /// Streams with records under the lost key that have not expired, and until when.
    pub under_lost_key: Names,
    /// When streams left the lost key, or may have, by CloudTrail's history, which is read once a scan.
    pub left: BTreeMap<String, Left>,
    /// Why that could not be determined, or not of all.
    pub history_unknown: Option<String>,
    /// Requests sent, by operation.
    pub calls: BTreeMap<String, u64>,
}

/// Counts one more of `group`.
fn count(groups: &mut BTreeMap<String, u64>, group: &str) {
    add(groups, group, 1);
}

/// Adds to the count of `group`, whose name is cut.
fn add(groups: &mut BTreeMap<String, u64>, group: &str, more: u64) {
    let group = EventText::new(group);
    let group = if groups.contains_key(group.as_str()) || groups.len() < GROUPS_MAX { group.as_str() } else { OTHERS };
    let count = groups.entry(group.to_owned()).or_default();
    *count = count.saturating_add(more);
}

impl Tally {
    /// Counts a stream that concerns the scan.
    pub fn count(&mut self, compliance: &str, rule: Option<&str>, key: Option<&str>) {
        self.streams = self.streams.saturating_add(1);
        count(&mut self.by_compliance, compliance);
        count(&mut self.by_rule, rule.unwrap_or("(no rule)"));
        count(&mut self.by_key, key.unwrap_or("(not encrypted)"));
    }

    /// Counts a request.
    pub fn called(&mut self, call: &str) {
        count(&mut self.calls, call);
    }

    /// One more stream that a run could do more about. At most `most` are kept: those nearest to where this scan starts to
    /// choose; the others are listed as withheld. Streams that were not seen have what room those leave that were seen to be wrong.
    pub fn compete(&mut self, candidate: Candidate, most: u32) {
        fn order(candidate: &Candidate) -> (bool, u64, &str) {
            (candidate.created.is_none(), candidate.place, &candidate.stream)
        }
        let place = self.candidates.partition_point(|other| order(other) < order(&candidate));
        self.candidates.insert(place, candidate);
        self.cut(most);
        self.cut_guarded();
    }

    /// One more stream whose change has a guard. As many are kept as one list has, of all keys together and less those whose change has none:
    /// those nearest to where this scan starts to choose.
    pub fn line_up(&mut self, key: &str, place: u64, stream: &StreamName) {
        let list = self.guarded.entry(key.to_owned()).or_default();
        let at = list.partition_point(|other| *other < (place, stream.to_string()));
        list.insert(at, (place, stream.to_string()));
        self.cut_guarded();
    }

    /// Lists the farthest of those whose change has a guard as withheld, where the message has no room for it. There is one too many at most.
    fn cut_guarded(&mut self) {
        if self.guarded.values().map(Vec::len).sum::<usize>() + self.candidates.len() <= GUARDED_MAX {
            return;
        }
        let farthest = self.guarded.iter_mut().max_by_key(|(_, list)| list.last().map(|(place, _)| *place));
        let Some((key, list)) = farthest else { return };
        let (key, last) = (key.clone(), list.pop());
        if list.is_empty() {
            self.guarded.remove(&key);
        }
        if let Some((_, stream)) = last {
            self.withheld.push(&stream, "guard");
        }
    }

    /// Lists as withheld what is beyond `most` of those that a run could do more about.
    pub fn cut(&mut self, most: u32) {
        while self.candidates.len() > usize::try_from(most).unwrap_or(usize::MAX) {
            if let Some(last) = self.candidates.pop() {
                self.withheld.push(&last.stream, "max-changes");
            }
        }
    }

    /// One more stream that was listed.
    pub fn listed_one(&mut self) {
        self.listed = self.listed.saturating_add(1);
    }

    /// One more stream that is handed over to be proven.
    pub fn proves_one(&mut self) {
        self.to_prove = self.to_prove.saturating_add(1);
    }

    /// As [`Self::count`] and the like would have made it: what is longer than they write is cut. A time of Kinesis's that is odd
    /// is left out, as in a work message.
    pub(super) fn within_bounds(mut self, now: Timestamp) -> Self {
        for candidate in &mut self.candidates {
            candidate.created = candidate.created.filter(|created| !bounds::is_odd(*created, now));
        }
        for groups in [&mut self.by_compliance, &mut self.by_rule, &mut self.by_key, &mut self.calls] {
            let mut short = BTreeMap::new();
            // The others are one more, and are none of the names that there is room for.
            let others = groups.remove(OTHERS);
            groups.iter().for_each(|(group, number)| add(&mut short, group, *number));
            short.extend(others.map(|number| (OTHERS.to_owned(), number)));
            *groups = short;
        }
        for list in [&mut self.not_compliant, &mut self.withheld, &mut self.missed, &mut self.under_lost_key] {
            list.names.iter_mut().for_each(|(_, what)| *what = EventText::new(what).to_string());
        }
        self.history_unknown = self.history_unknown.map(|why| bounds::cut(&why, WORDS_MAX));
        self
    }

    /// Whether it can be what [`Self::count`] and the like made: it goes into the log, and the compliances are a metric's dimension.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), String> {
        let Self { by_compliance, by_rule, by_key, candidates, guarded, left, calls, .. } = self;
        if candidates.iter().any(|candidate| StreamName::parse(&candidate.stream).is_none()) {
            return Err("field `tally.candidates`: not a stream's name".to_owned());
        }
        if candidates.len() > usize::try_from(CHANGES_MAX).unwrap_or(usize::MAX) {
            return Err(format!("field `tally.candidates`: more than {CHANGES_MAX}"));
        }
        let is_key = |key: &String| key == AWS_MANAGED_ALIAS || KeyArn::parse(key).is_some();
        let are_names = |list: &Vec<(u64, String)>| list.iter().all(|(_, name)| StreamName::parse(name).is_some());
        if !guarded.keys().all(is_key) || !guarded.values().all(are_names) {
            return Err("field `tally.guarded`: not the ARN of a key, or not a stream's name".to_owned());
        }
        if guarded.values().map(Vec::len).sum::<usize>() > GUARDED_MAX {
            return Err(format!("field `tally.guarded`: more than {GUARDED_MAX} names"));
        }
        if left.values().any(|left| bounds::is_odd(left.at, now)) {
            return Err(format!("field `tally.left`: {}", bounds::ODD));
        }
        if !by_compliance.keys().all(|word| Compliance::ALL.iter().any(|known| known.as_str() == word)) {
            return Err("field `tally.by_compliance`: not a compliance".to_owned());
        }
        for (field, groups) in [("by_rule", by_rule), ("by_key", by_key), ("calls", calls)] {
            // The others are one more.
            if groups.len() > GROUPS_MAX + 1 || !groups.keys().all(|group| is_plain(group)) {
                return Err(format!("field `tally.{field}`: more than {GROUPS_MAX} names, or not printable"));
            }
        }
        self.check_lists()?;
        if left.len() > LEFT_MAX || !left.keys().all(|name| StreamName::parse(name).is_some()) {
            return Err(format!("field `tally.left`: more than {LEFT_MAX} names, or not a stream's name"));
        }
        if !self.history_unknown.iter().all(|why| is_plain(why)) {
            return Err("field `tally.history_unknown`: not printable".to_owned());
        }
        Ok(())
    }

    fn check_lists(&self) -> Result<(), String> {
        let lists = [
            ("not_compliant", &self.not_compliant),
            ("withheld", &self.withheld),
            ("missed", &self.missed),
            ("under_lost_key", &self.under_lost_key),
        ];
        for (field, Names { names, .. }) in lists {
            let fits = |(name, said): &(String, String)| StreamName::parse(name).is_some() && is_plain(said);
            if names.len() > NAMES_MAX || !names.iter().all(fits) {
                return Err(format!("field `tally.{field}`: more than {NAMES_MAX} names, or not a stream's name"));
            }
        }
        Ok(())
    }
}

/// Whether a text is as those are that went through [`EventText`], of any length.
pub(super) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c == ' ' || c == '…' || c.is_ascii_graphic())
}
