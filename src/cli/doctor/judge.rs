//! What an answer of CloudTrail, EventBridge or SQS means for us. Pure: nothing here calls anything.

use serde_json::Value;

/// Whose events a trail logs, of one selector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Logged {
    /// Management events that write, of Kinesis.
    pub(super) kinesis: bool,
    /// The same of KMS, whose high volume some trails leave out.
    pub(super) kms: bool,
}

impl Logged {
    pub(super) fn or(self, other: Self) -> Self {
        Self { kinesis: self.kinesis || other.kinesis, kms: self.kms || other.kms }
    }
}

/// A basic selector.
pub(super) fn basic(management: bool, read_only: bool, excluded: &[String]) -> Logged {
    let writes = management && !read_only;
    Logged { kinesis: writes, kms: writes && !excluded.iter().any(|source| source == "kms.amazonaws.com") }
}

/// A field of an advanced selector: its name, what it may be and what it may not be.
pub(super) type Field<'a> = (&'a str, &'a [String], &'a [String]);

/// An advanced selector: all its fields have to hold.
pub(super) fn advanced(fields: &[Field<'_>]) -> Logged {
    let of = |source: &str| {
        fields.iter().all(|(name, equals, not_equals)| {
            let value = match *name {
                "eventCategory" => "Management",
                "readOnly" => "false",
                "eventSource" => source,
                // Narrower than any event in general.
                _ => return false,
            };
            (equals.is_empty() || equals.iter().any(|equal| equal == value))
                && !not_equals.iter().any(|not| not == value)
        })
    };
    let management = fields.iter().any(|(name, equals, _)| *name == "eventCategory" && !equals.is_empty());
    Logged { kinesis: management && of("kinesis.amazonaws.com"), kms: management && of("kms.amazonaws.com") }
}

/// Whether it is worth to ask if a pattern lets an event through: `false` where it lists the sources of events, and not this one's.
pub(super) fn may_pass(pattern: &str, event: &Value) -> bool {
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let Some(sources) = pattern.get("source").and_then(Value::as_array) else { return true };
    // One that is no text is a filter, such as a prefix.
    sources.iter().any(|source| !source.is_string() || Some(source) == event.get("source"))
}

/// The rules that a queue's policy does not let send to it. A condition that is not about the source is taken to hold where a statement
/// allows, and not to hold where it denies.
pub(super) fn refused<'r>(policy: &Value, rules: &'r [String]) -> Vec<&'r str> {
    let one_or_more = |value: Option<&Value>| match value {
        Some(Value::Array(all)) => all.clone(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![one.clone()],
    };
    let has = |value: Option<&Value>, words: &[&str]| {
        one_or_more(value)
            .iter()
            .filter_map(Value::as_str)
            .any(|text| words.iter().any(|word| text.eq_ignore_ascii_case(word)))
    };
    let statements = one_or_more(policy.get("Statement"));
    let is_about_us = |statement: &&Value, effect: &str| {
        let of = |place: &str| statement.pointer(place);
        let anybody = has(of("/Principal"), &["*"]) || has(of("/Principal/AWS"), &["*"]);
        has(of("/Effect"), &[effect])
            && (anybody || has(of("/Principal/Service"), &["events.amazonaws.com"]))
            && has(of("/Action"), &["sqs:SendMessage", "sqs:*", "*"])
    };
    // Whether its conditions hold for a rule.
    let holds = |statement: &Value, rule: &str, others: bool| {
        let Some(conditions) = statement.get("Condition").and_then(Value::as_object) else { return true };
        conditions.values().flat_map(|of| of.as_object().into_iter().flatten()).all(|(key, values)| {
            if !key.eq_ignore_ascii_case("aws:SourceArn") {
                return others;
            }
            one_or_more(Some(values))
                .iter()
                .filter_map(Value::as_str)
                .any(|arn| wildmatch::WildMatch::new(arn).matches(rule))
        })
    };
    let lets = |rule: &str| {
        let some = |effect: &str, others: bool| {
            statements.iter().filter(|statement| is_about_us(statement, effect)).any(|s| holds(s, rule, others))
        };
        some("Allow", true) && !some("Deny", false)
    };
    rules.iter().map(String::as_str).filter(|rule| !lets(rule)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trails() {
        let kms = ["kms.amazonaws.com".to_owned()];
        for (selector, kinesis, with_kms) in [
            (basic(true, false, &[]), true, true),
            (basic(true, true, &[]), false, false),
            (basic(false, false, &[]), false, false),
            (basic(true, false, &kms), true, false),
        ] {
            assert_eq!(selector, Logged { kinesis, kms: with_kms });
        }
        let [management, data, yes, no] = ["Management", "Data", "true", "false"].map(|word| [word.to_owned()]);
        let category: Field<'_> = ("eventCategory", &management, &[]);
        for (fields, kinesis, with_kms) in [
            (vec![category], true, true),
            (vec![("eventCategory", &data[..], &[][..])], false, false),
            (vec![category, ("readOnly", &no, &[])], true, true),
            (vec![category, ("readOnly", &yes, &[])], false, false),
            (vec![category, ("eventSource", &[], &kms)], true, false),
            (vec![category, ("eventSource", &kms, &[])], false, true),
            (vec![category, ("eventName", &yes, &[])], false, false),
            (vec![("readOnly", &no, &[])], false, false),
        ] {
            assert_eq!(advanced(&fields), Logged { kinesis, kms: with_kms }, "{fields:?}");
        }
    }

    #[test]
    fn a_pattern_of_other_sources_is_not_asked_about() {
        let event = json!({"source": "aws.kinesis"});
        for (pattern, expected) in [
            (json!({"source": ["aws.kinesis"], "detail": {"x": ["y"]}}), true),
            (json!({"source": ["aws.kms", "aws.kinesis"]}), true),
            (json!({"source": ["aws.kms"]}), false),
            (json!({"source": [{"prefix": "aws."}]}), true),
            (json!({"detail-type": ["x"]}), true),
        ] {
            assert_eq!(may_pass(&pattern.to_string(), &event), expected, "{pattern}");
        }
        assert!(may_pass("not JSON", &event));
    }

    #[test]
    fn queue_policies() {
        let rule = "arn:aws:events:eu-west-1:111122223333:rule/a".to_owned();
        let events = json!({"Service": "events.amazonaws.com"});
        let is_refused =
            |statement: Value| !refused(&json!({"Statement": [statement]}), std::slice::from_ref(&rule)).is_empty();
        let of = |condition: Value| json!({"Effect": "Allow", "Principal": events, "Action": "sqs:SendMessage", "Condition": condition});
        assert!(!is_refused(of(Value::Null)));
        assert!(!is_refused(of(json!({"ArnEquals": {"aws:SourceArn": [rule]}}))));
        assert!(!is_refused(of(json!({"ArnLike": {"aws:sourcearn": "arn:aws:events:*:rule/*"}}))));
        assert!(is_refused(of(
            json!({"ArnEquals": {"aws:SourceArn": "arn:aws:events:eu-west-1:111122223333:rule/b"}})
        )));
        assert!(!is_refused(of(json!({"Bool": {"aws:SecureTransport": "true"}}))));
        assert!(!is_refused(json!({"Effect": "Allow", "Principal": "*", "Action": ["sqs:*"]})));
        assert!(is_refused(json!({"Effect": "Deny", "Principal": "*", "Action": ["sqs:*"]})));
        assert!(is_refused(json!({"Effect": "Allow", "Principal": events, "Action": "sqs:ReceiveMessage"})));
        assert!(is_refused(json!({"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "*"})));
        assert_eq!(refused(&Value::Null, std::slice::from_ref(&rule)), [&*rule]);
        let both = |deny: Value| {
            let policy = json!({"Statement": [of(Value::Null), deny]});
            refused(&policy, std::slice::from_ref(&rule)).len()
        };
        let deny =
            |condition: Value| json!({"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": condition});
        assert_eq!(both(json!({"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage"})), 1);
        assert_eq!(both(deny(json!({"ArnEquals": {"aws:SourceArn": rule}}))), 1);
        assert_eq!(both(deny(json!({"Bool": {"aws:SecureTransport": "false"}}))), 0);
    }
}
