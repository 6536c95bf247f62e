//! What an answer of CloudTrail, EventBridge or SQS means for us. Pure: nothing here calls anything.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::domain::access::document::{Document, Place};
use crate::domain::access::principal::Principal;
use crate::domain::access::request::{Context, Known, Request};

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

/// What a trail logs, in CloudTrail's own words; it has selectors of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selectors {
    Basic(Vec<Value>),
    Advanced(Vec<Value>),
}

impl Selectors {
    /// An event is logged where one of them lets it through (CloudTrail user guide, filtering).
    pub(super) fn log(&self) -> Logged {
        match self {
            Self::Basic(all) => all.iter().map(basic).fold(Logged::default(), Logged::or),
            Self::Advanced(all) => all.iter().map(advanced).fold(Logged::default(), Logged::or),
        }
    }

    /// The same, and management events that write, those of KMS too.
    pub(super) fn widened(&self) -> Self {
        match self {
            Self::Basic(all) => Self::Basic(widened(all)),
            Self::Advanced(all) => {
                let writes = json!({"Name": "Management events that write", "FieldSelectors": [
                    {"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "readOnly", "Equals": ["false"]},
                ]});
                Self::Advanced(all.iter().cloned().chain([writes]).collect())
            }
        }
    }
}

/// So long after it was switched on a trail may not deliver yet: of a call 1.5 s after StartLogging no event was seen, of one 3 min 20 s
/// after it there was.
const SETTLES: SignedDuration = SignedDuration::from_mins(5);

/// Whether a trail was switched on so recently that it says nothing that it delivers no events, by when logging was last started and
/// stopped.
pub(super) fn is_fresh(started: Option<Timestamp>, stopped: Option<Timestamp>, now: Timestamp) -> bool {
    let since = |started: Timestamp| (SignedDuration::ZERO..SETTLES).contains(&now.duration_since(started));
    started.is_some_and(|started| since(started) && stopped.is_none_or(|stopped| stopped < started))
}

const KMS: &str = "kms.amazonaws.com";

/// What is not said holds: management events, reads and writes (CloudTrail API reference, EventSelector).
fn is_of_management(selector: &Value) -> bool {
    selector.get("IncludeManagementEvents") != Some(&json!(false))
}

fn is_read_only(selector: &Value) -> bool {
    selector.get("ReadWriteType") == Some(&json!("ReadOnly"))
}

fn values<'v>(of: &'v Value, name: &str) -> &'v [Value] {
    of.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn basic(selector: &Value) -> Logged {
    let writes = is_of_management(selector) && !is_read_only(selector);
    Logged { kinesis: writes, kms: writes && !values(selector, "ExcludeManagementEventSources").contains(&json!(KMS)) }
}

fn widened(selectors: &[Value]) -> Vec<Value> {
    let mut all = selectors.to_vec();
    let mut of_management: Vec<&mut Value> = all.iter_mut().filter(|selector| is_of_management(selector)).collect();
    // One for reads that has data events beside it would log their writes too: it stays as it is.
    let at = of_management
        .iter()
        .position(|selector| !is_read_only(selector))
        .or_else(|| of_management.iter().position(|selector| values(selector, "DataResources").is_empty()));
    let Some(members) = at.and_then(|at| of_management.get_mut(at)).and_then(|selector| selector.as_object_mut())
    else {
        all.push(json!({"ReadWriteType": "WriteOnly", "IncludeManagementEvents": true}));
        return all;
    };
    if members.get("ReadWriteType") == Some(&json!("ReadOnly")) {
        members.insert("ReadWriteType".to_owned(), json!("All"));
    }
    if let Some(excluded) = members.get_mut("ExcludeManagementEventSources").and_then(Value::as_array_mut) {
        excluded.retain(|source| source != KMS);
    }
    all
}

/// An advanced selector: all its fields have to hold.
fn advanced(selector: &Value) -> Logged {
    let fields = values(selector, "FieldSelectors");
    let of = |source: &str| {
        fields.iter().filter_map(Value::as_object).all(|field| {
            let value = match field.get("Field").and_then(Value::as_str) {
                Some("eventCategory") => json!("Management"),
                Some("readOnly") => json!("false"),
                Some("eventSource") => json!(source),
                // Narrower than any event in general.
                _ => return false,
            };
            field.iter().all(|(operator, values)| {
                let has = values.as_array().is_some_and(|values| values.contains(&value));
                match operator.as_str() {
                    "Field" => true,
                    "Equals" => has,
                    "NotEquals" => !has,
                    _ => false,
                }
            })
        })
    };
    let is_category =
        |field: &Value| field.get("Field") == Some(&json!("eventCategory")) && field.get("Equals").is_some();
    let management = fields.iter().any(is_category);
    Logged { kinesis: management && of("kinesis.amazonaws.com"), kms: management && of(KMS) }
}

/// Whether it is worth to ask if a pattern lets an event through: `false` where it lists the sources of events, and not this one's.
pub(super) fn may_pass(pattern: &str, event: &Value) -> bool {
    let pattern: Value = serde_json::from_str(pattern).unwrap_or_default();
    let Some(sources) = pattern.get("source").and_then(Value::as_array) else { return true };
    // One that is no text is a filter, such as a prefix.
    sources.iter().any(|source| !source.is_string() || Some(source) == event.get("source"))
}

/// The rules that a queue's policy does not let send to it. What is not known of EventBridge's call is taken to hold where a statement
/// allows, and not to hold where it denies.
pub(super) fn refused<'r>(policy: &Document, queue: &str, rules: &'r [String]) -> Vec<&'r str> {
    let Some(principal) = Principal::parse("events.amazonaws.com") else { return Vec::new() };
    let nothing = BTreeMap::new();
    let lets = |rule: &str| {
        let context = Context::default().with("aws:SourceArn", Known::One(rule.to_owned()));
        let request = Request {
            principal: &principal,
            action: "sqs:SendMessage",
            resource: queue,
            context: &context,
            encryption_context: &nothing,
        };
        let answer = policy.answer(&request, Place::Resource);
        !answer.allowed.truth.is_no() && !answer.denied.truth.is_yes()
    };
    rules.iter().map(String::as_str).filter(|rule| !lets(rule)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_trail_is_fresh_for_five_minutes() {
        let now: Timestamp = "2026-09-19T12:00:00Z".parse().unwrap();
        let ago = |seconds: Option<i64>| seconds.map(|seconds| now - SignedDuration::from_secs(seconds));
        // Seconds since logging was started and stopped.
        for (started, stopped, expected) in [
            (Some(0), None, true),
            (Some(299), None, true),
            (Some(300), None, false),
            (Some(10), Some(11), true),
            (Some(10), Some(10), false),
            (Some(10), Some(5), false),
            (None, None, false),
            (None, Some(5), false),
            // By a clock that is not ours.
            (Some(-1), None, false),
        ] {
            assert_eq!(is_fresh(ago(started), ago(stopped), now), expected, "{started:?} {stopped:?}");
        }
    }

    #[test]
    fn trails() {
        for (selector, kinesis, kms) in [
            (json!({}), true, true),
            (json!({"IncludeManagementEvents": true, "ReadWriteType": "WriteOnly"}), true, true),
            (json!({"ReadWriteType": "ReadOnly"}), false, false),
            (json!({"IncludeManagementEvents": false, "ReadWriteType": "All"}), false, false),
            (json!({"ExcludeManagementEventSources": [KMS]}), true, false),
            (json!({"ExcludeManagementEventSources": ["rdsdata.amazonaws.com"]}), true, true),
        ] {
            assert_eq!(basic(&selector), Logged { kinesis, kms }, "{selector}");
        }
        let category = json!({"Field": "eventCategory", "Equals": ["Management"]});
        for (fields, kinesis, kms) in [
            (json!([category]), true, true),
            (json!([{"Field": "eventCategory", "Equals": ["Data"]}]), false, false),
            (json!([category, {"Field": "readOnly", "Equals": ["false"]}]), true, true),
            (json!([category, {"Field": "readOnly", "Equals": ["true"]}]), false, false),
            (json!([category, {"Field": "eventSource", "NotEquals": [KMS]}]), true, false),
            (json!([category, {"Field": "eventSource", "Equals": [KMS]}]), false, true),
            (json!([category, {"Field": "eventSource", "NotStartsWith": ["k"]}]), false, false),
            (json!([category, {"Field": "eventName", "Equals": ["PutKeyPolicy"]}]), false, false),
            (json!([{"Field": "readOnly", "Equals": ["false"]}]), false, false),
        ] {
            assert_eq!(advanced(&json!({"FieldSelectors": fields})), Logged { kinesis, kms }, "{fields}");
        }
    }

    #[test]
    fn a_trail_is_widened_and_keeps_what_it_logs() {
        let data = json!([{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket/"]}]);
        let append = json!({"ReadWriteType": "WriteOnly", "IncludeManagementEvents": true});
        let of_data = json!({"ReadWriteType": "All", "IncludeManagementEvents": false, "DataResources": data});
        let reads =
            |data: &Value| json!({"ReadWriteType": "ReadOnly", "IncludeManagementEvents": true, "DataResources": data});
        let reads_and_writes = json!({"ReadWriteType": "All", "IncludeManagementEvents": true, "DataResources": []});
        let excludes = |sources: Value| json!({"ReadWriteType": "WriteOnly", "DataResources": data, "ExcludeManagementEventSources": sources});
        for (before, after) in [
            (vec![], vec![append.clone()]),
            (vec![of_data.clone()], vec![of_data.clone(), append.clone()]),
            (vec![reads(&json!([]))], vec![reads_and_writes]),
            (vec![reads(&data)], vec![reads(&data), append]),
            (
                vec![reads(&data), excludes(json!(["rdsdata.amazonaws.com", KMS]))],
                vec![reads(&data), excludes(json!(["rdsdata.amazonaws.com"]))],
            ),
        ] {
            let widened = Selectors::Basic(before).widened();
            assert_eq!(widened, Selectors::Basic(after));
            assert_eq!(widened.log(), Logged { kinesis: true, kms: true }, "{widened:?}");
        }
        let of_data = json!({"Name": "data", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]});
        let widened = Selectors::Advanced(vec![of_data.clone()]).widened();
        assert_eq!(widened.log(), Logged { kinesis: true, kms: true }, "{widened:?}");
        let Selectors::Advanced(all) = widened else { panic!("another kind") };
        assert_eq!((all.len(), &all[0]), (2, &of_data));
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
        let queue = "arn:aws:sqs:eu-west-1:111122223333:work";
        let judge = |statements: &[Value]| {
            let on_queue = statements.iter().cloned().map(|mut statement| {
                statement["Resource"] = json!(queue);
                statement
            });
            let policy = json!({"Version": "2012-10-17", "Statement": on_queue.collect::<Vec<_>>()});
            refused(&Document::of(&policy), queue, std::slice::from_ref(&rule)).len()
        };
        let is_refused = |statement: Value| judge(&[statement]) == 1;
        let of = |condition: Value| json!({"Effect": "Allow", "Principal": events, "Action": "sqs:SendMessage", "Condition": condition});
        assert!(!is_refused(of(json!({}))));
        assert!(!is_refused(of(json!({"ArnEquals": {"aws:SourceArn": [rule]}}))));
        assert!(!is_refused(of(json!({"ArnLike": {"aws:sourcearn": "arn:aws:events:*:*:rule/*"}}))));
        assert!(is_refused(of(
            json!({"ArnEquals": {"aws:SourceArn": "arn:aws:events:eu-west-1:111122223333:rule/b"}})
        )));
        assert!(!is_refused(of(json!({"Bool": {"aws:SecureTransport": "true"}}))));
        assert!(!is_refused(json!({"Effect": "Allow", "Principal": "*", "Action": ["sqs:*"]})));
        assert!(is_refused(json!({"Effect": "Deny", "Principal": "*", "Action": ["sqs:*"]})));
        assert!(is_refused(json!({"Effect": "Allow", "Principal": events, "Action": "sqs:ReceiveMessage"})));
        assert!(is_refused(json!({"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "*"})));
        assert_eq!(refused(&Document::empty(), queue, std::slice::from_ref(&rule)), [&*rule]);
        let both = |deny: Value| judge(&[of(json!({})), deny]);
        let deny =
            |condition: Value| json!({"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": condition});
        assert_eq!(both(json!({"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage"})), 1);
        assert_eq!(both(deny(json!({"ArnEquals": {"aws:SourceArn": rule}}))), 1);
        assert_eq!(both(deny(json!({"Bool": {"aws:SecureTransport": "false"}}))), 0);
        // A statement about another queue says nothing of this one.
        let elsewhere = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "arn:aws:sqs:eu-west-1:111122223333:other"},
        ]});
        assert_eq!(refused(&Document::of(&elsewhere), queue, std::slice::from_ref(&rule)), [&*rule]);
        // Actions are patterns that know no case.
        for (action, expected) in
            [("sqs:Send*", false), ("SQS:sendmessage", false), ("sqs:?endMessage", false), ("sqs:Receive*", true)]
        {
            let statement = json!({"Effect": "Allow", "Principal": events, "Action": action});
            assert_eq!(is_refused(statement), expected, "{action}");
        }
        let deny_all_but = |action: &str| json!({"Effect": "Deny", "Principal": "*", "NotAction": action});
        assert_eq!([both(deny_all_but("sqs:ReceiveMessage")), both(deny_all_but("sqs:S*"))], [1, 0]);
        let deny_all_but =
            |service: &str| json!({"Effect": "Deny", "NotPrincipal": {"Service": service}, "Action": "sqs:*"});
        assert_eq!([both(deny_all_but("sns.amazonaws.com")), both(deny_all_but("events.amazonaws.com"))], [1, 0]);
        // Operators say no as well as yes, with patterns and without.
        for (operator, value, denied) in [
            ("ArnLike", "arn:aws:events:*:*:rule/*", 1),
            ("ArnNotLike", "arn:aws:events:*:*:rule/*", 0),
            ("ArnNotEqualsIfExists", "arn:aws:events:eu-west-1:111122223333:rule/b", 1),
            ("StringEquals", "arn:aws:events:*:*:rule/*", 0),
            ("StringNotEquals", &*rule, 0),
            ("ForAnyValue:StringLike", "*:rule/a", 1),
            ("Null", "true", 0),
            ("Null", "false", 1),
        ] {
            assert_eq!(both(deny(json!({operator: {"aws:SourceArn": value}}))), denied, "{operator} {value}");
        }
    }
}
