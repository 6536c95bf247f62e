//! What an audit counts: by compliance, reason, rule, key, account and Region. It is all that is kept of a stream that was written already.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::severity::Severity;
use crate::cli::exit::Exit;
use crate::domain::verdict::Compliance;

/// The worst first, as people read it.
pub(super) const ORDER: [Compliance; 4] =
    [Compliance::NonCompliant, Compliance::InsufficientData, Compliance::Compliant, Compliance::NotApplicable];

/// How many streams there are of each compliance, in the order of [`ORDER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts([u64; 4]);

impl Counts {
    /// Counts one.
    pub(super) fn add(&mut self, compliance: Compliance) {
        for (count, known) in self.0.iter_mut().zip(ORDER) {
            *count += u64::from(known == compliance);
        }
    }

    /// Those of one compliance.
    pub(super) fn of(&self, compliance: Compliance) -> u64 {
        self.0.iter().zip(ORDER).filter(|(_, known)| *known == compliance).map(|(count, _)| count).sum()
    }

    /// All of them.
    pub(super) fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    fn to_json(self) -> Value {
        ORDER.iter().zip(self.0).map(|(compliance, count)| (compliance.as_str().to_owned(), json!(count))).collect()
    }
}

/// What is counted of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) compliance: Compliance,
    pub(super) reason: &'static str,
    pub(super) severity: Severity,
    /// Whether something else has to be put right before its setting can be.
    pub(super) is_blocked: bool,
    /// Its account, Region, rule and key.
    pub(super) groups: [&'a str; 4],
    pub(super) exit: Exit,
    /// Whether its creator is at work on it.
    pub(super) is_settling: bool,
}

/// The counts of an audit.
#[derive(Clone, Debug)]
pub(super) struct Totals {
    pub(super) all: Counts,
    by_severity: BTreeMap<Severity, u64>,
    /// Streams that are wrong, and where something else has to be fixed first.
    pub(super) blocked: u64,
    by_account: BTreeMap<String, Counts>,
    by_region: BTreeMap<String, Counts>,
    by_rule: BTreeMap<String, Counts>,
    by_key: BTreeMap<String, Counts>,
    by_reason: BTreeMap<&'static str, u64>,
    /// The exit code that says the most of all streams.
    pub(super) worst: Exit,
    /// The same without those that their creators are at work on.
    pub(super) worst_settled: Exit,
}

impl Default for Totals {
    fn default() -> Self {
        let [by_account, by_region, by_rule, by_key] = std::array::from_fn(|_| BTreeMap::new());
        Self {
            all: Counts::default(),
            by_severity: BTreeMap::new(),
            blocked: 0,
            by_account,
            by_region,
            by_rule,
            by_key,
            by_reason: BTreeMap::new(),
            worst: Exit::Compliant,
            worst_settled: Exit::Compliant,
        }
    }
}

impl Totals {
    /// Counts one stream.
    pub(super) fn add(&mut self, stream: Counted<'_>) {
        let Counted { compliance, severity, exit, .. } = stream;
        self.all.add(compliance);
        *self.by_severity.entry(severity).or_default() += 1;
        self.blocked += u64::from(stream.is_blocked);
        *self.by_reason.entry(stream.reason).or_default() += 1;
        let all = [&mut self.by_account, &mut self.by_region, &mut self.by_rule, &mut self.by_key];
        for (group, name) in all.into_iter().zip(stream.groups) {
            // Most streams are in a group that is there.
            if let Some(counts) = group.get_mut(name) {
                counts.add(compliance);
            } else {
                group.entry(name.to_owned()).or_default().add(compliance);
            }
        }
        self.worst = self.worst.worse(exit);
        if !stream.is_settling {
            self.worst_settled = self.worst_settled.worse(exit);
        }
    }

    /// How many streams are as bad as this.
    pub(super) fn of(&self, severity: Severity) -> u64 {
        self.by_severity.get(&severity).copied().unwrap_or_default()
    }

    /// By account, Region, rule and key.
    pub(super) fn groups(&self) -> [&BTreeMap<String, Counts>; 4] {
        [&self.by_account, &self.by_region, &self.by_rule, &self.by_key]
    }

    /// With each of `rules`, also those that decided nothing.
    pub(super) fn to_json(&self, rules: &[String]) -> Value {
        let mut by_rule: BTreeMap<String, Counts> =
            rules.iter().map(|rule| (rule.clone(), Counts::default())).collect();
        by_rule.extend(self.by_rule.clone());
        let counts = |group: &BTreeMap<String, Counts>| {
            Value::Object(group.iter().map(|(name, counts)| (name.clone(), counts.to_json())).collect::<Map<_, _>>())
        };
        json!({
            "streams": self.all.sum(),
            "by_compliance": self.all.to_json(),
            "by_reason": self.by_reason,
            "by_account": counts(&self.by_account),
            "by_region": counts(&self.by_region),
            "by_rule": counts(&by_rule),
            "by_key": counts(&self.by_key),
        })
    }
}
