//! The `Condition` of a statement: all of its operators, over all of their keys, with one of each key's values.

use serde_json::Value;

use super::glob::{Pattern, arn_matches};
use super::request::{Context, Known};
use super::truth::{Doubt, Truth};
use crate::domain::text::EventText;

/// How a value of the request is compared with one of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    EqualInAnyCase,
    Like,
    Arn,
    Bool,
    /// Numbers, dates, addresses, bytes: the values of such keys are not known here.
    Other,
}

/// What goes before the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    One,
    ForAll,
    ForAny,
}

struct Operator {
    over: Over,
    compare: Compare,
    negated: bool,
    if_exists: bool,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        let (over, rest) = match text.split_once(':') {
            None => (Over::One, text),
            Some(("ForAllValues", rest)) => (Over::ForAll, rest),
            Some(("ForAnyValue", rest)) => (Over::ForAny, rest),
            Some(_) => return None,
        };
        let (name, if_exists) = rest.strip_suffix("IfExists").map_or((rest, false), |name| (name, true));
        let (compare, negated) = match name {
            "StringEquals" => (Compare::Equal, false),
            "StringNotEquals" => (Compare::Equal, true),
            "StringEqualsIgnoreCase" => (Compare::EqualInAnyCase, false),
            "StringNotEqualsIgnoreCase" => (Compare::EqualInAnyCase, true),
            "StringLike" => (Compare::Like, false),
            "StringNotLike" => (Compare::Like, true),
            // Both behave identically (IAM JSON policy elements, condition operators).
            "ArnEquals" | "ArnLike" => (Compare::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Compare::Arn, true),
            "Bool" => (Compare::Bool, false),
            "NumericEquals"
            | "NumericLessThan"
            | "NumericLessThanEquals"
            | "NumericGreaterThan"
            | "NumericGreaterThanEquals"
            | "DateEquals"
            | "DateLessThan"
            | "DateLessThanEquals"
            | "DateGreaterThan"
            | "DateGreaterThanEquals"
            | "BinaryEquals"
            | "IpAddress" => (Compare::Other, false),
            "NumericNotEquals" | "DateNotEquals" | "NotIpAddress" => (Compare::Other, true),
            _ => return None,
        };
        Some(Self { over, compare, negated, if_exists })
    }

    /// Whether a request without the key meets it.
    fn without_key(&self, text: &str) -> Truth {
        match self.over {
            // One says that such a request does not meet it, the other that it does (IAM user guide on each).
            Over::ForAny if self.if_exists => Truth::Unknown(Doubt::Operator(EventText::new(text))),
            Over::ForAny => Truth::No,
            Over::ForAll => Truth::Yes,
            Over::One => Truth::of(self.if_exists || self.negated),
        }
    }

    /// Whether one value of the request meets it.
    fn one(&self, value: &str, wanted: &[String]) -> Truth {
        let any = Truth::any(wanted.iter().map(|wanted| self.pair(value, wanted)));
        if self.negated { any.not() } else { any }
    }

    fn pair(&self, value: &str, wanted: &str) -> Truth {
        match self.compare {
            Compare::Equal => Pattern::literal(wanted).matches(value),
            Compare::EqualInAnyCase => Pattern::literal(wanted).matches_in_any_case(value),
            Compare::Like => Pattern::new(wanted).matches(value),
            Compare::Bool => match (truth_value(wanted), truth_value(value)) {
                (Some(wanted), Some(value)) => Truth::of(wanted == value),
                _ => unreadable("a value of Bool"),
            },
            Compare::Arn => {
                arn_matches(wanted, value).unwrap_or_else(|| Truth::Unknown(Doubt::Pattern(EventText::new(wanted))))
            }
            Compare::Other => Truth::Unknown(Doubt::Operator(EventText::new("numbers, dates or addresses"))),
        }
    }
}

/// Whether a statement's conditions are met.
pub fn met(condition: Option<&Value>, context: &Context) -> Truth {
    let operators = match condition {
        None => return Truth::Yes,
        Some(Value::Object(operators)) => operators,
        Some(_) => return unreadable("a Condition"),
    };
    Truth::all(operators.iter().map(|(operator, keys)| match keys {
        Value::Object(keys) => Truth::all(keys.iter().map(|(key, values)| one_key(operator, key, values, context))),
        _ => unreadable("a Condition"),
    }))
}

fn one_key(operator: &str, key: &str, values: &Value, context: &Context) -> Truth {
    let Some(wanted) = texts(values) else { return unreadable("a value of a Condition") };
    // An empty list is none that IAM would take.
    if wanted.is_empty() {
        return unreadable("a value of a Condition");
    }
    let known = context.get(key);
    if operator == "Null" {
        return null(known, key, &wanted);
    }
    let text = operator;
    let Some(operator) = Operator::parse(text) else {
        return Truth::Unknown(Doubt::Operator(EventText::new(text)));
    };
    match (known, operator.over) {
        (None, _) => unknown_key(key),
        (Some(Known::Absent), _) => operator.without_key(text),
        (Some(Known::One(value)), _) => operator.one(value, &wanted),
        (Some(Known::Many(values)), Over::ForAll) => {
            Truth::all(values.iter().map(|value| operator.one(value, &wanted)))
        }
        (Some(Known::Many(values)), Over::ForAny) => {
            Truth::any(values.iter().map(|value| operator.one(value, &wanted)))
        }
        // A key of several values asks for one of those (IAM user guide, multivalued context keys).
        (Some(Known::Many(_)), Over::One) => unknown_key(key),
    }
}

fn truth_value(text: &str) -> Option<bool> {
    [("true", true), ("false", false)].into_iter().find_map(|(word, of)| text.eq_ignore_ascii_case(word).then_some(of))
}

/// `Null`: whether the request has the key.
fn null(known: Option<&Known>, key: &str, wanted: &[String]) -> Truth {
    let Some(known) = known else { return unknown_key(key) };
    let wanted: Option<Vec<bool>> = wanted.iter().map(|wanted| truth_value(wanted)).collect();
    let Some(wanted) = wanted else { return unreadable("a value of Null") };
    Truth::of(wanted.contains(&(*known == Known::Absent)))
}

/// One value or several, as texts; `None` where one is neither a text, a number nor a truth value.
fn texts(values: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match values {
        Value::Array(all) => all.iter().map(text).collect(),
        one => Some(vec![text(one)?]),
    }
}

fn unknown_key(key: &str) -> Truth {
    Truth::Unknown(Doubt::Key(EventText::new(key)))
}

fn unreadable(what: &str) -> Truth {
    Truth::Unknown(Doubt::Unreadable(EventText::new(what)))
}
