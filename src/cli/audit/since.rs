//! An audit compared with one from before: which streams are wrong now and were not, which were and are not any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::change::Since;
use super::filter::Filter;
use super::report::{Audit, Ended, SCHEMA};
use crate::cli::output::Stop;
use crate::domain::arn::StreamArn;
use crate::domain::evidence::Evidence;
use crate::domain::time::Time;
use crate::domain::verdict::Compliance;

/// What an audit from before says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Before {
    source: String,
    finished_at: String,
    account: String,
    is_complete: bool,
    regions: BTreeSet<String>,
    /// The rows of its streams, by ARN.
    streams: BTreeMap<String, Value>,
}

impl Before {
    /// Reads the file that `audit --json` or `-o FILE.json` wrote.
    pub(super) fn read(path: &Path) -> Result<Self, Stop> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Stop::failure(format!("--since: {name}: cannot be read: {error}")))?;
        Self::parse(&name, &text).map_err(|why| {
            let stop = Stop::usage(format!("--since: {name}: {why}"));
            stop.help("give a file that `streamseal audit -o FILE.json` wrote")
        })
    }

    fn parse(source: &str, text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        if text_of(&json, "schema") != Some(SCHEMA) {
            return Err(format!("is not an audit: its `schema` is not \"{SCHEMA}\""));
        }
        if json.pointer("/filter/non_compliant") == Some(&Value::Bool(true)) {
            return Err("lists only streams that are non-compliant (`--non-compliant`)".to_owned());
        }
        let text = |field: &str| text_of(&json, field).map(str::to_owned).ok_or_else(|| format!("has no `{field}`"));
        let list = |field: &str| json.get(field).and_then(Value::as_array).ok_or_else(|| format!("has no `{field}`"));
        let row = |row: &Value| Some((text_of(row, "arn")?.to_owned(), row.clone()));
        let streams: Option<BTreeMap<String, Value>> = list("streams")?.iter().map(row).collect();
        let regions = list("regions")?.iter().filter_map(|region| text_of(region, "region").map(str::to_owned));
        Ok(Self {
            source: source.to_owned(),
            finished_at: text("finished_at")?,
            account: text("account")?,
            is_complete: json.get("complete") == Some(&Value::Bool(true)),
            regions: regions.collect(),
            streams: streams.ok_or("has a stream without an `arn`")?,
        })
    }

    /// Refuses the audit of another account.
    pub(super) fn is_of(&self, account: &str) -> Result<(), Stop> {
        if self.account == account {
            return Ok(());
        }
        Err(Stop::usage(format!("--since: {} is of account {}, not of {account}", self.source, self.account)))
    }

    /// What changed.
    pub(super) fn compare(self, audit: &Audit) -> Since {
        let mut since = Since { doubt: self.doubt(audit), ..Since::default() };
        let mut there = BTreeSet::new();
        for evidence in audit.streams() {
            let arn = evidence.stream.to_string();
            let was_wrong = self.streams.get(&arn).is_some_and(|row| is_wrong(row) && is_same(row, evidence));
            let stream = evidence.stream.clone();
            match (was_wrong, evidence.verdict.compliance) {
                (true, Compliance::NonCompliant) => since.unchanged.push(stream),
                (false, Compliance::NonCompliant) => since.new.push(stream),
                (true, Compliance::InsufficientData) => since.unknown.push(stream),
                (true, Compliance::Compliant | Compliance::NotApplicable) => since.fixed.push(stream),
                (false, _) => {}
            }
            there.insert(arn);
        }
        let observed: BTreeSet<&str> = audit
            .regions
            .iter()
            .filter(|region| region.ended == Ended::Complete)
            .map(|region| region.name.as_str())
            .collect();
        let gone = self.streams.iter().filter(|(arn, row)| {
            let is_here = text_of(row, "region").is_some_and(|region| observed.contains(region));
            is_wrong(row) && is_here && !there.contains(*arn) && is_about(&audit.filter, arn, row)
        });
        since.gone = gone.map(|(arn, _)| arn.clone()).collect();
        Since { source: self.source, finished_at: self.finished_at, ..since }
    }

    fn doubt(&self, audit: &Audit) -> Option<String> {
        let other: Vec<&str> = audit.regions.iter().map(|region| region.name.as_str()).collect();
        let other: Vec<&str> = other.into_iter().filter(|region| !self.regions.contains(*region)).collect();
        if !other.is_empty() {
            return Some(format!(
                "{} does not have {}: what is wrong there counts as new",
                self.source,
                other.join(", ")
            ));
        }
        let why = "is incomplete: what is wrong now and was not observed then counts as new";
        (!self.is_complete).then(|| format!("{} {why}", self.source))
    }
}

fn text_of<'a>(json: &'a Value, field: &str) -> Option<&'a str> {
    json.get(field)?.as_str()
}

fn is_wrong(row: &Value) -> bool {
    text_of(row, "compliance") == Some(Compliance::NonCompliant.as_str())
}

/// Whether it is the same stream and not a later one of its name, as far as that is known.
fn is_same(row: &Value, evidence: &Evidence) -> bool {
    let created = evidence.before.as_ref().map(|setting| Time(setting.observed.created).to_string());
    match (text_of(row, "created_at"), created) {
        (Some(then), Some(now)) => then == now,
        _ => true,
    }
}

/// Whether the audit now is about a stream that it did not find.
fn is_about(filter: &Filter, arn: &str, row: &Value) -> bool {
    let name = StreamArn::parse(arn).map(|stream| stream.name);
    name.is_some_and(|name| filter.observes(&name)) && filter.is_about(text_of(row, "rule"))
}

#[cfg(test)]
mod tests {
    use super::super::report::row_with_remedy;
    use super::super::samples;
    use super::*;

    fn before(change: impl Fn(&mut Value)) -> Result<Before, String> {
        let audit = samples::audit();
        let mut json = audit.head();
        json["streams"] = audit.streams().map(row_with_remedy).collect();
        change(&mut json);
        Before::parse("old.json", &json.to_string())
    }

    fn found(since: &Since) -> [Vec<&str>; 3] {
        [&since.new, &since.fixed, &since.unchanged].map(|s| s.iter().map(|stream| stream.name.as_str()).collect())
    }

    /// In the samples `orders-new` and `payments` are wrong, `orders` is right, `slow` is not known.
    #[test]
    fn what_was_not_wrong_is_new_and_what_is_not_wrong_is_fixed() {
        let audit = samples::audit();
        let same = before(|_| {}).unwrap().compare(&audit);
        assert_eq!(found(&same), [vec![], vec![], vec!["orders-new", "payments"]]);
        assert_eq!((same.counts().as_str(), &same.doubt), ("0 new, 0 fixed, 2 unchanged", &None));

        let set = |json: &mut Value, stream: usize, word: &str| json["streams"][stream]["compliance"] = word.into();
        let changed = before(|json| {
            set(json, 0, "NON_COMPLIANT");
            set(json, 1, "COMPLIANT");
            set(json, 4, "NON_COMPLIANT");
        });
        let changed = changed.unwrap().compare(&audit);
        assert_eq!(found(&changed), [vec!["orders-new"], vec!["orders"], vec!["payments"]]);
        assert_eq!(changed.counts(), "1 new, 1 fixed, 1 unchanged, 1 not known now");
        let later = before(|json| json["streams"][1]["created_at"] = "2020-01-01T00:00:00Z".into()).unwrap();
        assert_eq!(found(&later.compare(&audit))[0], ["orders-new"], "a later stream of the same name");
        let absent = before(|json| drop(json["streams"].as_array_mut().unwrap().remove(1))).unwrap();
        assert_eq!(found(&absent.compare(&audit))[0], ["orders-new"], "one that was not there");
        let mut fewer = samples::audit();
        fewer.regions[0].streams.remove(1);
        assert_eq!(before(|_| {}).unwrap().compare(&fewer).counts(), "0 new, 0 fixed, 1 unchanged, 1 gone");
    }

    #[test]
    fn what_cannot_be_compared_is_refused_and_what_may_mislead_is_reported() {
        let why = |change: fn(&mut Value)| before(change).unwrap_err();
        assert!(why(|json| json["schema"] = "other".into()).contains("is not an audit"));
        assert!(why(|json| json["streams"] = Value::Null).contains("has no `streams`"));
        assert!(why(|json| json["filter"]["non_compliant"] = true.into()).contains("--non-compliant"));
        assert!(Before::parse("x", "{").unwrap_err().contains("is not JSON"));
        assert!(before(|_| {}).unwrap().is_of("999999999999").is_err());
        let doubt =
            |change: fn(&mut Value)| before(change).unwrap().compare(&samples::audit()).doubt.unwrap_or_default();
        assert!(doubt(|json| json["regions"][0]["region"] = "eu-west-9".into()).contains("does not have eu-west-1"));
        assert!(doubt(|json| json["complete"] = false.into()).contains("is incomplete"));
    }
}
