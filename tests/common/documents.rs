//! The published schemas and the documented metrics, as a judge of what the function writes. Shared by both suites; it reads the
//! committed files and nothing of the code.
//!
//! Published schemas are open: a version may grow, and readers ignore what they do not know. Here they are closed, so that a field
//! that no schema has is a fault.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::{Value, json};

const SCHEMAS: &[(&str, &str)] = &[
    ("streamseal.evidence/v1", include_str!("../../schemas/evidence.schema.json")),
    ("streamseal.summary/v1", include_str!("../../schemas/summary.schema.json")),
    ("streamseal.note/v1", include_str!("../../schemas/note.schema.json")),
    ("streamseal.impact/v1", include_str!("../../schemas/impact.schema.json")),
    ("streamseal.work/v1", include_str!("../../schemas/work.schema.json")),
    ("streamseal.scan/v1", include_str!("../../schemas/scan.schema.json")),
];
const UNPUBLISHED: &[&str] = &[
    "streamseal.audit/v1",
    "streamseal.check/v1",
    "streamseal.doctor/v1",
    "streamseal.explain/v1",
    "streamseal.planned/v1",
    "streamseal.prove/v1",
    "streamseal.replay/v1",
    "streamseal.seal/v1",
];
const METRICS: &str = include_str!("../../docs/metrics.md");

/// Every object that names its members has no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn validators() -> &'static BTreeMap<&'static str, Validator> {
    static VALIDATORS: OnceLock<BTreeMap<&'static str, Validator>> = OnceLock::new();
    VALIDATORS.get_or_init(|| {
        let validator = |text: &str| {
            let mut schema: Value = serde_json::from_str(text).unwrap();
            close(&mut schema);
            jsonschema::draft202012::options().should_validate_formats(true).build(&schema).unwrap()
        };
        SCHEMAS.iter().map(|(name, text)| (*name, validator(text))).collect()
    })
}

/// What is wrong with a line or a message by its schema, or by the table of metrics; `None` where it is neither of ours.
pub(crate) fn faults(document: &Value) -> Option<Vec<String>> {
    if document.get("_aws").is_some() {
        return Some(metric_faults(document));
    }
    let name = document.get("schema").or_else(|| document.get("streamseal"))?.as_str()?;
    // The command line's own documents have no published schema, and a probe's data is not a document.
    if UNPUBLISHED.contains(&name) || !name.starts_with("streamseal.") {
        return None;
    }
    let Some(validator) = validators().get(name) else { return Some(vec![format!("{name} has no schema")]) };
    Some(validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect())
}

/// Panics where a line or a message is not as documented.
pub(crate) fn assert_documented(document: &Value) {
    let faults = faults(document).unwrap_or_default();
    assert!(faults.is_empty(), "{document}:\n{}", faults.join("\n"));
}

/// The table's rows below a heading, cell by cell; names stand between backticks.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let (_, after) = METRICS.split_once(&format!("## {heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let table = after.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// What stands between backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// By metric: its unit, and its sets of dimensions.
type Metrics = BTreeMap<String, (String, BTreeSet<Vec<String>>)>;

fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        let row = |cells: Vec<String>| {
            // Sets are separated by `;`, and `none` is the empty one.
            let sets = cells[2].split(';').map(names).collect();
            (names(&cells[0])[0].clone(), (cells[1].clone(), sets))
        };
        rows("Metrics").into_iter().map(row).collect()
    })
}

/// By metric and dimension: its values; of a dimension that goes with another, under each value of that.
fn values() -> &'static BTreeMap<(String, String), BTreeSet<String>> {
    static VALUES: OnceLock<BTreeMap<(String, String), BTreeSet<String>>> = OnceLock::new();
    VALUES.get_or_init(|| {
        let row = |cells: Vec<String>| {
            let values: BTreeSet<String> = names(&cells[2]).into_iter().collect();
            let metrics = names(&cells[0]);
            metrics
                .into_iter()
                .map(move |metric| ((metric, names(&cells[1]).join("=")), values.clone()))
                .collect::<Vec<_>>()
        };
        rows("Dimensions").into_iter().flat_map(row).collect()
    })
}

/// What of a line of the Embedded Metric Format is not in docs/metrics.md: a name, a unit, a set of dimensions, a value, or a member.
fn metric_faults(line: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<String> = BTreeSet::from(["_aws".to_owned()]);
    for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
        if directive["Namespace"] != "Streamseal" {
            faults.push(format!("namespace {}", directive["Namespace"]));
        }
        for metric in directive["Metrics"].as_array().into_iter().flatten() {
            let name = metric["Name"].as_str().unwrap_or_default();
            known.insert(name.to_owned());
            let Some((unit, sets)) = metrics().get(name) else {
                faults.push(format!("metric {name}"));
                continue;
            };
            if metric["Unit"] != unit.as_str() || !line[name].is_u64() {
                faults.push(format!("unit or value of {name}: {metric} {}", line[name]));
            }
            for set in directive["Dimensions"].as_array().into_iter().flatten() {
                let set: Vec<String> =
                    set.as_array().into_iter().flatten().map(|it| it.as_str().unwrap_or_default().to_owned()).collect();
                if !sets.contains(&set) {
                    faults.push(format!("dimensions {set:?} of {name}"));
                }
                known.extend(set.iter().cloned());
                for dimension in &set {
                    let value = line[dimension].as_str().unwrap_or_default();
                    // `Reason` of `Items` has other values under each `Outcome`.
                    let under = set
                        .iter()
                        .filter(|other| *other < dimension)
                        .map(|other| line[other].as_str().unwrap_or_default());
                    let place = std::iter::once(dimension.as_str()).chain(under).collect::<Vec<_>>().join("=");
                    let is_key = dimension == "Key" && value.starts_with("arn:") && value.contains(":kms:");
                    if !is_key
                        && !values().get(&(name.to_owned(), place.clone())).is_some_and(|all| all.contains(value))
                    {
                        faults.push(format!("value {value} of {place} of {name}"));
                    }
                }
            }
        }
    }
    let members = line.as_object().into_iter().flat_map(|members| members.keys());
    faults.extend(members.filter(|name| !known.contains(*name)).map(|name| format!("member {name}")));
    faults
}
