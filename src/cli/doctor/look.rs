//! The calls of `doctor`: each asks one service how it stands there, and makes findings of the answer. Reads only.

use std::collections::BTreeMap;

use aws_config::Region;
use aws_sdk_cloudtrail::types::{ReadWriteType, Trail};
use aws_sdk_eventbridge::types::RuleState;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::Finding;
use super::judge::{Logged, advanced, basic, missing_calls, refused};
use crate::aws::logged;
use crate::cli::check::resolve;
use crate::cli::context::Context;
use crate::cli::output::{Stop, statement};
use crate::domain::event::WAKING_CALLS;
use crate::domain::failure::{Class, Failure};
use crate::domain::model::Scope;
use crate::ports::{CallLog, FleetApi, PageStart, StreamApi};

/// Whether the caller may list streams and look at one.
pub(super) async fn streams(context: &Context) -> Finding {
    let (own, log) = (&context.config.own, CallLog::default());
    let page = match context.aws.list(&PageStart::Beginning, &log).await {
        Ok(page) => page,
        Err(failure) => return Finding::unseen("streams", &failure, own),
    };
    let more = if page.next.is_some() { " at least" } else { "" };
    let words = format!("{} streams{more} can be listed", page.names.len());
    let Some(name) = page.names.first() else { return Finding::good("streams", words) };
    let stream = own.stream(name.clone());
    let looked = match context.aws.describe(&stream, &log).await {
        Ok(_) => context.aws.tags(&stream, &log).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    match looked {
        Err(failure) if failure.class != Class::Ignored => Finding::unseen("streams", &failure, own),
        _ => Finding::good("streams", format!("{words} and looked at")),
    }
}

/// A trail that logs management events that write, without which EventBridge gets none.
pub(super) async fn trail(context: &Context) -> Finding {
    let own = &context.config.own;
    let client = aws_sdk_cloudtrail::Client::new(&context.sdk);
    let log = CallLog::default();
    let trails = match logged(&log, "cloudtrail:DescribeTrails", client.describe_trails().send()).await {
        Ok(answer) => answer.trail_list.unwrap_or_default(),
        Err(failure) => return Finding::unseen("trail", &failure, own),
    };
    let mut idle: Option<String> = None;
    let mut without: Option<String> = None;
    let mut unseen: Option<Failure> = None;
    let mut all = Logged::default();
    let mut named = Vec::new();
    for trail in &trails {
        let arn = trail.trail_arn.clone().unwrap_or_default();
        let status = client.get_trail_status().name(&arn).send();
        match logged(&log, "cloudtrail:GetTrailStatus", status).await {
            Ok(status) if status.is_logging == Some(true) => {}
            Ok(_) => {
                idle = Some(arn);
                continue;
            }
            Err(failure) => {
                unseen = Some(failure);
                continue;
            }
        }
        match selectors(context, trail, &arn).await {
            Ok(Logged { kinesis: false, .. }) => without = Some(arn),
            Ok(logs) => {
                all = all.or(logs);
                named.push(trail.name.clone().unwrap_or_default());
            }
            Err(failure) => unseen = Some(failure),
        }
    }
    let names = named.join(", ");
    match (all, unseen, without, idle) {
        (Logged { kinesis: true, kms: true }, ..) => {
            Finding::good("trail", format!("{names} logs management events that write"))
        }
        (Logged { kinesis: true, kms: false }, ..) => Finding::fault(
            "trail",
            format!(
                "{names} leaves out the events of KMS, so that a key that is disabled or deleted is seen by sweeps alone"
            ),
            put_selectors(named.first().map_or("NAME", String::as_str)),
        ),
        (_, Some(failure), ..) => Finding::unseen("trail", &failure, own),
        (_, _, Some(arn), _) => {
            let words = format!("{arn} does not log management events that write: EventBridge gets none");
            Finding::fault("trail", words, put_selectors(&arn))
        }
        (_, _, _, Some(arn)) => Finding::fault(
            "trail",
            format!("{arn} is switched off: EventBridge gets no events"),
            format!("aws cloudtrail start-logging --name {arn} --region {}", own.region),
        ),
        (_, _, _, None) => Finding::fault(
            "trail",
            format!("no trail logs in {}: EventBridge gets no events", own.region),
            "aws cloudtrail create-trail --name management --s3-bucket-name BUCKET --is-multi-region-trail\naws cloudtrail \
             start-logging --name management",
        ),
    }
}

fn put_selectors(trail: &str) -> String {
    let selectors = json!([{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": true}]);
    format!("aws cloudtrail put-event-selectors --trail-name {trail} --event-selectors '{selectors}'")
}

/// What a trail logs; its home Region has to be asked.
async fn selectors(context: &Context, trail: &Trail, arn: &str) -> Result<Logged, Failure> {
    let mut config = aws_sdk_cloudtrail::config::Builder::from(&context.sdk);
    if let Some(home) = &trail.home_region {
        config = config.region(Region::new(home.clone()));
    }
    let client = aws_sdk_cloudtrail::Client::from_conf(config.build());
    let asked = client.get_event_selectors().trail_name(arn).send();
    let answer = logged(&CallLog::default(), "cloudtrail:GetEventSelectors", asked).await?;
    let mut logs = Logged::default();
    for selector in answer.event_selectors.unwrap_or_default() {
        let read_only = selector.read_write_type == Some(ReadWriteType::ReadOnly);
        let excluded = selector.exclude_management_event_sources.unwrap_or_default();
        // What is not said holds: management events, reads and writes (CloudTrail API reference, EventSelector).
        logs = logs.or(basic(selector.include_management_events.unwrap_or(true), read_only, &excluded));
    }
    for selector in answer.advanced_event_selectors.unwrap_or_default() {
        let fields: Vec<_> = selector
            .field_selectors
            .iter()
            .map(|field| {
                (
                    field.field.as_str(),
                    field.equals.as_deref().unwrap_or_default(),
                    field.not_equals.as_deref().unwrap_or_default(),
                )
            })
            .collect();
        logs = logs.or(advanced(&fields));
    }
    Ok(logs)
}

/// The queue, and the rules that send to it.
pub(super) async fn queue(context: &Context, url: &str) -> Vec<Finding> {
    let (own, log) = (&context.config.own, CallLog::default());
    let client = aws_sdk_sqs::Client::new(&context.sdk);
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send();
    let attributes = match logged(&log, "sqs:GetQueueAttributes", asked).await {
        Ok(answer) => answer.attributes.unwrap_or_default(),
        Err(failure) => return vec![Finding::unseen("queue", &failure, own)],
    };
    let attribute = |name: QueueAttributeName| attributes.get(&name).cloned().unwrap_or_default();
    let arn = attribute(QueueAttributeName::QueueArn);
    let mut findings = Vec::new();
    let (on, of_rules) = rules(context, &arn).await;
    findings.extend(of_rules);
    let policy: Value = serde_json::from_str(&attribute(QueueAttributeName::Policy)).unwrap_or_default();
    let refused = refused(&policy, &on);
    if on.is_empty() {
        // Whom it should let in is not known.
    } else if refused.is_empty() {
        findings.push(Finding::good("queue", format!("{arn} lets EventBridge send to it")));
    } else {
        let allow = json!({
            "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
            "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": refused}},
        });
        let words = format!("its policy does not let these rules send to it: {}", refused.join(", "));
        findings.push(Finding::fault("queue", words, format!("add to the policy of {arn}:\n{allow}")));
    }
    if attribute(QueueAttributeName::RedrivePolicy).is_empty() {
        let redrive =
            json!({"RedrivePolicy": json!({"deadLetterTargetArn": "DLQ-ARN", "maxReceiveCount": 5}).to_string()});
        findings.push(Finding::fault(
            "queue",
            "it has no dead-letter queue: what cannot be read is tried until it expires, and nobody is told",
            format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{redrive}'"),
        ));
    }
    findings
}

/// The rules that send to the queue: the ARNs of those that are on, and what is wrong.
async fn rules(context: &Context, queue: &str) -> (Vec<String>, Vec<Finding>) {
    let (own, log) = (&context.config.own, CallLog::default());
    let client = aws_sdk_eventbridge::Client::new(&context.sdk);
    let asked = client.list_rule_names_by_target().target_arn(queue).send();
    let names = match logged(&log, "events:ListRuleNamesByTarget", asked).await {
        Ok(answer) => answer.rule_names.unwrap_or_default(),
        Err(failure) => return (Vec::new(), vec![Finding::unseen("rules", &failure, own)]),
    };
    let (mut on, mut patterns, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    for name in &names {
        let rule = match logged(&log, "events:DescribeRule", client.describe_rule().name(name).send()).await {
            Ok(rule) => rule,
            Err(failure) => {
                findings.push(Finding::unseen("rules", &failure, own));
                continue;
            }
        };
        if rule.state == Some(RuleState::Disabled) {
            let mend = format!("aws events enable-rule --name {name} --region {}", own.region);
            findings.push(Finding::fault("rules", format!("{name} is switched off"), mend));
            continue;
        }
        on.extend(rule.arn);
        patterns.extend(rule.event_pattern.and_then(|pattern| serde_json::from_str::<Value>(&pattern).ok()));
    }
    let missing = missing_calls(&patterns);
    if missing.is_empty() {
        findings.push(Finding::good(
            "rules",
            format!("{} rules send to the queue, and the calls of Kinesis are among them", on.len()),
        ));
    } else {
        let pattern = json!({
            "source": ["aws.kinesis"], "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {"eventSource": ["kinesis.amazonaws.com"], "eventName": WAKING_CALLS, "errorCode": [{"exists": false}]},
        });
        let region = &own.region;
        let mend = format!(
            "aws events put-rule --name streamseal-kinesis --event-pattern '{pattern}' --region {region}\naws events put-targets \
             --rule streamseal-kinesis --targets Id=work,Arn={queue} --region {region}"
        );
        findings.push(Finding::fault(
            "rules",
            format!("no rule that is on sends these calls to the queue: {}", missing.join(", ")),
            mend,
        ));
    }
    (on, findings)
}

/// The policy and its keys; the ARNs of the keys that can be used.
pub(super) async fn policy(context: &Context) -> (Vec<Finding>, Vec<String>) {
    let told = |stop: Stop| Finding::unknown("policy", stop.words(), "see `streamseal check`");
    let policy = match context.policy().await {
        Ok(policy) => policy,
        Err(stop) => return (vec![told(stop)], Vec::new()),
    };
    let mut warnings = Vec::new();
    let keys = match resolve(context, &policy, &mut warnings).await {
        Ok(keys) => keys,
        Err(stop) => return (vec![told(stop)], Vec::new()),
    };
    let usable = keys.iter().filter(|key| key.get("usable") == Some(&json!(true)));
    let usable = usable.filter_map(|key| key.get("key").and_then(Value::as_str));
    let usable: Vec<String> = usable.filter(|key| key.starts_with("arn:")).map(str::to_owned).collect();
    let how = "make or enable the key, or correct the rule: `streamseal check --resolve` shows the place";
    let mut findings: Vec<Finding> =
        warnings.into_iter().map(|warning| Finding::fault("keys", warning.message, how)).collect();
    if findings.is_empty() {
        findings.push(Finding::good("keys", format!("every key that {} names can be used", context.config.policy)));
    }
    (findings, usable)
}

/// Whether the role may make the function's calls, as far as its own policies say.
pub(super) async fn role(context: &Context, role: &str, keys: &[String]) -> Vec<Finding> {
    let own = &context.config.own;
    let Scope { partition, region, account } = own;
    let stream = format!("arn:{partition}:kinesis:{region}:{account}:stream/*");
    let keys = match keys {
        [] => vec![format!("arn:{partition}:kms:{region}:{account}:key/*")],
        keys => keys.to_vec(),
    };
    let asked = [
        ("kinesis:DescribeStreamSummary", vec![stream.clone()]),
        ("kinesis:ListTagsForStream", vec![stream.clone()]),
        ("kinesis:PutRecord", vec![stream.clone()]),
        ("kinesis:StartStreamEncryption", [vec![stream], keys.clone()].concat()),
        ("kms:DescribeKey", keys.clone()),
        ("kms:GenerateDataKey", keys),
    ];
    let client = aws_sdk_iam::Client::new(&context.sdk);
    let mut denied: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (action, resources) in asked {
        for resource in resources {
            let request = client
                .simulate_principal_policy()
                .policy_source_arn(role)
                .action_names(action)
                .resource_arns(&resource)
                .set_context_entries(Some(circumstances(own)));
            let answer = match logged(&CallLog::default(), "iam:SimulatePrincipalPolicy", request.send()).await {
                Ok(answer) => answer,
                Err(failure) => return vec![Finding::unseen("role", &failure, own)],
            };
            let results = answer.evaluation_results.unwrap_or_default();
            if !results.iter().all(|one| one.eval_decision == PolicyEvaluationDecisionType::Allowed)
                || results.is_empty()
            {
                denied.entry(action).or_default().push(resource);
            }
        }
    }
    if denied.is_empty() {
        return vec![Finding::good("role", format!("the policies of {role} allow the function's calls"))];
    }
    let finding = |(action, resources): (&&str, &Vec<String>)| {
        let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
        let allow = statement(action, Some(own), &resources);
        Finding::fault("role", format!("it may not call {action}"), format!("add to a policy of {role}:\n{allow}"))
    };
    denied.iter().map(finding).collect()
}

/// What the conditions of the template's statements ask for.
fn circumstances(own: &Scope) -> Vec<ContextEntry> {
    let Scope { partition, region, account } = own;
    let suffix = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    let entries = [
        ("aws:ResourceAccount", account.clone()),
        ("kms:ViaService", format!("kinesis.{region}.{suffix}")),
        ("kms:EncryptionContext:aws:kinesis:arn", format!("arn:{partition}:kinesis:{region}:{account}:stream/any")),
    ];
    let entry = |(name, value): (&str, String)| {
        ContextEntry::builder()
            .context_key_name(name)
            .context_key_type(ContextKeyTypeEnum::String)
            .context_key_values(value)
            .build()
    };
    entries.into_iter().map(entry).collect()
}
