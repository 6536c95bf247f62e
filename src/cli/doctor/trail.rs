//! The trail, without which EventBridge gets no events: whether one logs management events that write, and the command that lets it,
//! which keeps all else that the trail logs. Reads only.

use aws_config::Region;
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::operation::get_event_selectors::GetEventSelectorsOutput;
use aws_sdk_cloudtrail::primitives::DateTime;
use aws_sdk_cloudtrail::types::{AdvancedFieldSelector, DataResource, EventSelector, Trail};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::finding::Finding;
use super::judge::{Logged, Selectors, is_fresh};
use crate::aws::logged;
use crate::cli::arguments::shell_word;
use crate::cli::context::Context;
use crate::domain::arn::Scope;
use crate::domain::failure::Failure;
use crate::ports::{CallLog, Clock};

/// What is said of a trail that was switched on a moment ago.
const FRESH: &str = "logging started less than 5 minutes ago, so events of earlier calls may be missing";

/// A trail, as far as it could be observed.
struct Found {
    name: String,
    arn: String,
    /// Where it can be changed: nowhere else (CloudTrail API reference, InvalidHomeRegionException).
    home: String,
    /// Whether it was switched on less than 5 minutes ago, as far as is known.
    fresh: bool,
    state: State,
}

enum State {
    Idle,
    Logs(Selectors),
    Unobserved(Failure),
}

/// A trail that logs management events that write, without which EventBridge gets none.
pub(super) async fn trail(context: &Context) -> Finding {
    let own = &context.config.own;
    let client = Client::new(&context.sdk);
    let asked = client.describe_trails().send();
    let trails = match logged(&CallLog::default(), "cloudtrail:DescribeTrails", asked).await {
        Ok(answer) => answer.trail_list.unwrap_or_default(),
        Err(failure) => return Finding::unobserved("trail", &failure, own),
    };
    let mut found = Vec::new();
    for trail in trails {
        found.push(observe(context, trail).await);
    }
    verdict(&found, own)
}

/// One of them, asked where its home is.
async fn observe(context: &Context, trail: Trail) -> Found {
    let home = trail.home_region.unwrap_or_else(|| context.config.own.region.clone());
    let arn = trail.trail_arn.unwrap_or_default();
    let config = aws_sdk_cloudtrail::config::Builder::from(&context.sdk).region(Region::new(home.clone()));
    let client = Client::from_conf(config.build());
    let log = CallLog::default();
    let mut fresh = false;
    let state = match logged(&log, "cloudtrail:GetTrailStatus", client.get_trail_status().name(&arn).send()).await {
        Ok(status) => {
            let at = |at: Option<DateTime>| at.and_then(|at| Timestamp::from_second(at.secs()).ok());
            fresh = is_fresh(at(status.start_logging_time), at(status.stop_logging_time), context.aws.now());
            if status.is_logging != Some(true) {
                State::Idle
            } else {
                let asked = client.get_event_selectors().trail_name(&arn).send();
                match logged(&log, "cloudtrail:GetEventSelectors", asked).await {
                    Ok(answer) => State::Logs(selectors(&answer)),
                    Err(failure) => State::Unobserved(failure),
                }
            }
        }
        Err(failure) => State::Unobserved(failure),
    };
    Found { name: trail.name.unwrap_or_default(), arn, home, fresh, state }
}

/// What all of them come to.
fn verdict(trails: &[Found], own: &Scope) -> Finding {
    let logging = || {
        trails.iter().filter_map(|trail| match &trail.state {
            State::Logs(selectors) => Some((trail, selectors)),
            State::Idle | State::Unobserved(_) => None,
        })
    };
    // Those that have been on for a while, and where these do not do, the others too.
    for with_fresh in [false, true] {
        let those = || logging().filter(|(trail, _)| with_fresh || !trail.fresh);
        let all = those().map(|(_, selectors)| selectors.log()).fold(Logged::default(), Logged::or);
        if all == (Logged { kinesis: true, kms: true }) {
            let named = those().filter(|(_, selectors)| selectors.log() != Logged::default());
            let names: Vec<&str> = named.map(|(trail, _)| trail.name.as_str()).collect();
            let (names, log) = (names.join(" and "), if names.len() == 1 { "logs" } else { "log" });
            let fresh = if with_fresh { format!("; {FRESH}") } else { String::new() };
            return Finding::good("trail", format!("{names} {log} management events that write{fresh}"));
        }
    }
    // One that could not be observed may log what the others do not.
    let unobserved = trails.iter().find_map(|trail| match &trail.state {
        State::Unobserved(failure) => Some(failure),
        State::Idle | State::Logs(_) => None,
    });
    if let Some(failure) = unobserved {
        return Finding::unobserved("trail", failure, own);
    }
    if let Some((trail, selectors)) = logging().find(|(_, selectors)| selectors.log().kinesis) {
        let words = format!(
            "{} does not log KMS events, so a key that is disabled or deleted is not noticed before the next sweep",
            trail.name
        );
        return Finding::fault("trail", words, put_selectors(trail, selectors));
    }
    if let Some((trail, selectors)) = logging().next() {
        let words = format!("{} does not log management events that write: EventBridge gets none", trail.arn);
        return Finding::fault("trail", words, put_selectors(trail, selectors));
    }
    if let Some(Found { arn, .. }) = trails.iter().find(|trail| trail.fresh) {
        let words = format!("{arn}: {FRESH}");
        return Finding::unknown("trail", words, "run it again in 5 minutes");
    }
    if let Some(Found { arn, home, .. }) = trails.first() {
        let words = format!("{arn} is not logging: EventBridge gets no events");
        return Finding::fault("trail", words, format!("aws cloudtrail start-logging --name {arn} --region {home}"));
    }
    let Scope { partition, region, account } = own;
    let how = format!(
        "aws cloudtrail create-trail --name management --s3-bucket-name BUCKET --is-multi-region-trail --region {region}\naws \
         cloudtrail start-logging --name arn:{partition}:cloudtrail:{region}:{account}:trail/management --region {region}"
    );
    Finding::fault("trail", format!("no trail logs in {region}: EventBridge gets no events"), how)
}

/// PutEventSelectors replaces all that a trail has, so that it is given all that shall stay.
fn put_selectors(Found { arn, home, .. }: &Found, selectors: &Selectors) -> String {
    let (option, value) = match selectors.widened() {
        Selectors::Basic(all) => ("--event-selectors", all),
        Selectors::Advanced(all) => ("--advanced-event-selectors", all),
    };
    let value = shell_word(&json!(value).to_string());
    format!("aws cloudtrail put-event-selectors --trail-name {arn} {option} {value} --region {home}")
}

/// The answer, in the words in which it is given back.
fn selectors(answer: &GetEventSelectorsOutput) -> Selectors {
    let advanced = answer.advanced_event_selectors();
    if advanced.is_empty() {
        return Selectors::Basic(answer.event_selectors().iter().map(basic).collect());
    }
    let selector = |selector: &aws_sdk_cloudtrail::types::AdvancedEventSelector| {
        let fields: Vec<Value> = selector.field_selectors.iter().map(field).collect();
        said([("Name", selector.name.as_ref().map(|name| json!(name))), ("FieldSelectors", Some(json!(fields)))])
    };
    Selectors::Advanced(advanced.iter().map(selector).collect())
}

fn basic(selector: &EventSelector) -> Value {
    let data = |resource: &DataResource| {
        said([
            ("Type", resource.r#type.as_ref().map(|kind| json!(kind))),
            ("Values", resource.values.as_ref().map(|values| json!(values))),
        ])
    };
    let excluded = &selector.exclude_management_event_sources;
    said([
        ("ReadWriteType", selector.read_write_type.as_ref().map(|kind| json!(kind.as_str()))),
        ("IncludeManagementEvents", selector.include_management_events.map(|yes| json!(yes))),
        ("DataResources", selector.data_resources.as_ref().map(|all| all.iter().map(data).collect())),
        ("ExcludeManagementEventSources", excluded.as_ref().map(|sources| json!(sources))),
    ])
}

fn field(field: &AdvancedFieldSelector) -> Value {
    let values = |values: &Option<Vec<String>>| values.as_ref().filter(|all| !all.is_empty()).map(|all| json!(all));
    said([
        ("Field", Some(json!(field.field))),
        ("Equals", values(&field.equals)),
        ("StartsWith", values(&field.starts_with)),
        ("EndsWith", values(&field.ends_with)),
        ("NotEquals", values(&field.not_equals)),
        ("NotStartsWith", values(&field.not_starts_with)),
        ("NotEndsWith", values(&field.not_ends_with)),
    ])
}

/// An object of the members that there are.
fn said<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::State as How;
    use super::*;

    fn found(name: &str, state: State) -> Found {
        let arn = format!("arn:aws:cloudtrail:us-east-1:111122223333:trail/{name}");
        Found { name: name.to_owned(), arn, home: "us-east-1".to_owned(), fresh: false, state }
    }

    fn verdict_of(trails: &[Found]) -> Finding {
        let own = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        verdict(trails, &own)
    }

    fn without_kms() -> State {
        State::Logs(Selectors::Basic(vec![json!({
            "ReadWriteType": "All", "IncludeManagementEvents": true,
            "DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}],
            "ExcludeManagementEventSources": ["kms.amazonaws.com", "rdsdata.amazonaws.com"],
        })]))
    }

    fn kms_alone() -> State {
        State::Logs(Selectors::Advanced(vec![json!({"Name": "it's KMS", "FieldSelectors": [
            {"Field": "eventCategory", "Equals": ["Management"]}, {"Field": "eventSource", "Equals": ["kms.amazonaws.com"]},
        ]})]))
    }

    #[test]
    fn trails_log_together_what_each_leaves_out() {
        let finding = verdict_of(&[found("a", without_kms()), found("b", kms_alone())]);
        assert_eq!((finding.state, &*finding.words), (How::Good, "a and b log management events that write"));
        let finding = verdict_of(&[found("a", without_kms())]);
        assert!(finding.state == How::Fault && finding.words.contains("does not log KMS events"), "{finding:?}");
        let finding = verdict_of(&[found("b", kms_alone())]);
        assert!(finding.state == How::Fault && finding.words.contains("does not log management events"), "{finding:?}");
    }

    #[test]
    fn a_trail_that_was_just_switched_on_is_not_broken() {
        let fresh = |name: &str, state| Found { fresh: true, ..found(name, state) };
        let all = || State::Logs(Selectors::Basic(vec![json!({})]));
        for (trails, expected, is_said) in [
            (vec![fresh("a", all())], How::Good, true),
            (vec![fresh("a", State::Idle)], How::Unknown, true),
            (vec![found("a", State::Idle)], How::Fault, false),
            (vec![found("a", State::Idle), fresh("b", State::Idle)], How::Unknown, true),
            // One that has been on for a while is enough, and by itself.
            (vec![fresh("a", all()), found("b", all())], How::Good, false),
            (vec![fresh("a", kms_alone()), found("b", without_kms())], How::Good, true),
            // What it is asked to log is wrong at any age.
            (vec![fresh("a", without_kms())], How::Fault, false),
        ] {
            let finding = verdict_of(&trails);
            assert_eq!(finding.state, expected, "{finding:?}");
            assert_eq!(finding.words.contains("less than 5 minutes ago"), is_said, "{finding:?}");
        }
        let finding = verdict_of(&[fresh("a", all()), found("b", all())]);
        assert_eq!(finding.words, "b logs management events that write");
    }

    #[test]
    fn a_trail_that_cannot_be_read_may_be_the_one() {
        let unobserved =
            || State::Unobserved(Failure::retryable("cloudtrail:GetEventSelectors", "ThrottlingException", "slower"));
        for (trails, expected) in [
            (vec![found("a", without_kms()), found("b", unobserved())], How::Unknown),
            (vec![found("a", State::Idle), found("b", unobserved())], How::Unknown),
            (vec![found("a", unobserved()), found("b", without_kms()), found("c", kms_alone())], How::Good),
        ] {
            let finding = verdict_of(&trails);
            assert_eq!(finding.state, expected, "{finding:?}");
        }
    }

    #[test]
    fn each_cure_goes_to_the_home_of_the_trail_and_keeps_what_it_logs() {
        let finding = verdict_of(&[found("a", without_kms())]);
        assert_eq!(
            finding.fix.unwrap(),
            "aws cloudtrail put-event-selectors --trail-name arn:aws:cloudtrail:us-east-1:111122223333:trail/a --event-selectors \
             '[{\"DataResources\":[{\"Type\":\"AWS::S3::Object\",\"Values\":[\"arn:aws:s3\"]}],\"ExcludeManagementEventSources\":\
             [\"rdsdata.amazonaws.com\"],\"IncludeManagementEvents\":true,\"ReadWriteType\":\"All\"}]' --region us-east-1"
        );
        let fix = verdict_of(&[found("b", kms_alone())]).fix.unwrap();
        assert!(fix.contains(r"--advanced-event-selectors '[{") && fix.contains(r#""Name":"it'\''s KMS""#), "{fix}");
        let fix = verdict_of(&[found("c", State::Idle)]).fix.unwrap();
        assert!(fix.ends_with("trail/c --region us-east-1"), "{fix}");
        let fix = verdict_of(&[]).fix.unwrap();
        assert!(fix.lines().all(|line| line.ends_with(" --region eu-west-1")), "{fix}");
    }
}
