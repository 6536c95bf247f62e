//! One scalar of a policy to its value, or what is wrong with it.
//!
//! Knows nothing of where the scalar stands; `load` adds the place. Text that YAML takes for a number or a boolean is text
//! only where it is a pattern (an account such as `012345678901`), and then as it was written.

use std::time::Duration;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use strsim::levenshtein;

use super::decide::{Accept, Existing};
use super::fault::Flaw;
use super::guard::{self, FallBack, OnBreak};
use super::key::literal_key;
use super::yaml::{Node, Value};
use crate::domain::arn::Scope;
use crate::domain::model::ProofMode;
use crate::domain::text::EventText;

/// Longest time to settle, in seconds: the longest delay of an SQS message (SQS API reference, SendMessage).
const SETTLE_MAX: u64 = 900;

/// Text, whether or not YAML would take it for a number or a boolean.
pub(crate) fn written(node: &Node) -> Result<&str, Flaw> {
    match &node.value {
        Value::Text(text) | Value::Bare(text) => Ok(text),
        Value::Null | Value::List(_) | Value::Map(_) => Err(expected("text", node)),
    }
}

pub(crate) fn text(node: &Node) -> Result<&str, Flaw> {
    match &node.value {
        Value::Bare(bare) => Err(expected("text", node).help(format!("put it in quotes: `\"{bare}\"`"))),
        _ => written(node),
    }
}

pub(crate) fn some_text(node: &Node) -> Result<String, Flaw> {
    let text = text(node)?.trim();
    if text.is_empty() { Err(Flaw::new("the text must not be empty")) } else { Ok(text.to_owned()) }
}

pub(super) fn rule_name(node: &Node) -> Result<String, Flaw> {
    let text = text(node)?;
    let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if legal && (1..=64).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    let flaw = Flaw::new(format!("`{}` is not a valid rule name", EventText::new(text)));
    Err(flaw.help("use 1 to 64 letters, digits, `_`, `.` and `-`"))
}

pub(super) fn existing(node: &Node) -> Result<Existing, Flaw> {
    one_of(node, &[("report", Existing::Report), ("enforce", Existing::Enforce)])
}

pub(super) fn on_break(node: &Node) -> Result<OnBreak, Flaw> {
    one_of(node, &[("alarm", OnBreak::Alarm), ("restore", OnBreak::Restore)])
}

pub(super) fn fall_back(node: &Node) -> Result<FallBack, Flaw> {
    one_of(node, &[("aws-managed", FallBack::AwsManaged), ("none", FallBack::None)])
}

pub(super) fn proof_mode(node: &Node) -> Result<ProofMode, Flaw> {
    let modes = [("probe", ProofMode::Probe), ("observe", ProofMode::Observe), ("describe", ProofMode::Describe)];
    one_of(node, &modes)
}

pub(crate) fn boolean(node: &Node) -> Result<bool, Flaw> {
    match &node.value {
        Value::Bare(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::Bare(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(expected("`true` or `false`", node)),
    }
}

fn one_of<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Flaw> {
    let found = words.iter().find(|(word, _)| matches!(&node.value, Value::Text(text) if text == word));
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    found.map(|(_, value)| *value).ok_or_else(|| expected(&ticked(&names, "or"), node))
}

pub(super) fn accepted(node: &Node) -> Result<Accept, Flaw> {
    match text(node)? {
        "customer-managed" => Ok(Accept::CustomerManaged { of: Vec::new() }),
        "aws-managed" => Ok(Accept::AwsManaged),
        text => {
            match nearest(text, &["customer-managed", "aws-managed"]) {
                Some(near) => Err(expected("a key, `customer-managed` or `aws-managed`", node)
                    .help(format!("did you mean `{near}`?"))),
                None if text.contains("${") => Err(Flaw::new("`${…}` is allowed only in `key`")),
                None => literal_key(text).map(Accept::Key),
            }
        }
    }
}

/// An account, whether or not YAML takes its id for a number.
pub(super) fn account(node: &Node) -> Result<String, Flaw> {
    let text = written(node)?;
    if Scope::is_account(text) {
        return Ok(text.to_owned());
    }
    let flaw = Flaw::new(format!("`{}` is not an account ID", EventText::new(text)));
    Err(flaw.help("an account ID has 12 digits, for example `\"444455556666\"`"))
}

/// Whether `text` has the shape of `mask`, where `0` is any digit.
fn shaped(text: &str, mask: &str) -> bool {
    text.len() == mask.len()
        && text.bytes().zip(mask.bytes()).all(|(b, m)| if m == b'0' { b.is_ascii_digit() } else { b == m })
}

const DATE: &str = "0000-00-00";

pub(super) fn date(node: &Node) -> Result<Date, Flaw> {
    let text = text(node)?;
    let date = if shaped(text, DATE) { text.parse().ok() } else { None };
    date.ok_or_else(|| expected("a date", node).help("for example `2027-03-31`"))
}

/// A timestamp of RFC 3339, or a date for its midnight in UTC.
pub(crate) fn timestamp(node: &Node) -> Result<Timestamp, Flaw> {
    let text = text(node)?;
    let full = if shaped(text, DATE) { format!("{text}T00:00:00Z") } else { text.to_ascii_uppercase() };
    // jiff reads more than RFC 3339: fewer digits, a zone in brackets.
    let strict = full.get(..19).is_some_and(|start| shaped(start, "0000-00-00T00:00:00")) && !full.contains('[');
    let parsed = if strict { full.parse().ok() } else { None };
    parsed.ok_or_else(|| expected("a timestamp or a date", node).help("for example `2026-12-01T00:00:00Z`"))
}

pub(super) fn duration(node: &Node) -> Result<Duration, Flaw> {
    match seconds(written(node)?, &[('s', 1), ('m', 60)]).filter(|seconds| *seconds <= SETTLE_MAX) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(expected("a duration of at most 900s", node).help("for example `120s` or `2m`")),
    }
}

/// A time within these bounds, in minutes, hours or days; `bounds` says them in words.
pub(super) fn span(
    node: &Node,
    (from, to): (SignedDuration, SignedDuration),
    bounds: &str,
    help: &str,
) -> Result<SignedDuration, Flaw> {
    let seconds = seconds(written(node)?, &[('m', 60), ('h', 3_600), ('d', 86_400)]);
    let span = seconds.and_then(|seconds| i64::try_from(seconds).ok()).map(SignedDuration::from_secs);
    let within = span.filter(|span| (from..=to).contains(span));
    within.ok_or_else(|| expected(&format!("a duration {bounds}"), node).help(help))
}

/// `off`, or how long a change is watched.
pub(super) fn watch(node: &Node) -> Result<Option<SignedDuration>, Flaw> {
    if matches!(&node.value, Value::Text(text) if text == "off") {
        return Ok(None);
    }
    let help = "for example `20m`: a producer may reuse a data key for 5 minutes, and metrics arrive 3 minutes later";
    span(node, guard::WATCH, "from 10m to 2h, or `off`", help).map(Some)
}

/// A whole number and a unit, in seconds.
fn seconds(text: &str, units: &[(char, u64)]) -> Option<u64> {
    let (digits, unit) = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(*name)?, *unit)))?;
    // A sign would parse too.
    let number = if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    number?.checked_mul(unit)
}

/// A pattern with a character that no value can have would never match, and its rule would silently not apply.
fn pattern(legal: bool, text: &str, of: &str, help: &str) -> Result<(), Flaw> {
    if legal {
        Ok(())
    } else {
        Err(Flaw::new(format!("the pattern `{}` cannot match any {of}", EventText::new(text))).help(help))
    }
}

pub(super) fn stream_pattern(text: &str) -> Result<(), Flaw> {
    let legal = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-*?".contains(&b));
    pattern(legal, text, "stream", "stream names have only letters, digits, `_`, `.` and `-`")
}

pub(super) fn account_pattern(text: &str) -> Result<(), Flaw> {
    let twelve = text.contains('*') || text.len() == 12;
    let legal = text.bytes().all(|b| b.is_ascii_digit() || b"*?".contains(&b));
    pattern(twelve && legal, text, "account", "an account ID has 12 digits")
}

pub(super) fn region_pattern(text: &str) -> Result<(), Flaw> {
    let whole = text.contains(['*', '?']) || Scope::is_region(text);
    let legal = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*?".contains(&b));
    pattern(whole && legal, text, "Region", "for example `eu-west-1` or `eu-*`")
}

pub(crate) fn expected(what: &str, node: &Node) -> Flaw {
    let found = match &node.value {
        Value::Null => "an empty value".to_owned(),
        Value::Bare(text) => format!("`{}`", EventText::new(text)),
        Value::Text(text) => format!("the text `{}`", EventText::new(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a mapping".to_owned(),
    };
    Flaw::new(format!("expected {what}, found {found}"))
}

/// `a`, `b` and `c`.
pub(super) fn ticked(words: &[&str], last: &str) -> String {
    let ticked: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match ticked.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => ticked.concat(),
    }
}

/// The word that was likely meant: at most two letters off.
pub(super) fn nearest<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let near = words.iter().map(|word| (levenshtein(text, word), *word)).min()?;
    (near.0 <= 2).then_some(near.1)
}
