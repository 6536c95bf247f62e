//! The calls of `doctor`: each asks one service how it stands there, and makes findings of the answer. Reads only.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};

use super::deployed::{Deployed, queue_arn};
use super::finding::{Finding, REDEPLOY, is_absent};
use super::judge::refused;
use super::rules::{Checked, rules};
use crate::aws::logged;
use crate::cli::arguments::shell_word;
use crate::cli::context::Context;
use crate::cli::output::{Stop, in_lines};
use crate::cli::policy::keys::resolve;
use crate::config::Source;
use crate::domain::access::document::Document;
use crate::domain::arn::{AWS_MANAGED_ALIAS, Arn, KeyRef};
use crate::domain::failure::Class;
use crate::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager, ProofMode};
use crate::domain::policy::guard::{FallBack, Guard, OnBreak};
use crate::domain::policy::{Effect, Encrypt, Policy};
use crate::domain::remedy::permission::to_describe;
use crate::ports::{CallLog, FleetApi, KeyApi, PageStart, ParameterApi, StreamApi};

/// Whether the caller may list streams and observe one.
pub(super) async fn streams(context: &Context) -> Finding {
    let (own, log) = (&context.config.own, CallLog::default());
    let page = match context.aws.list(&PageStart::Beginning, &log).await {
        Ok(page) => page,
        Err(failure) => return Finding::unobserved("streams", &failure, own),
    };
    let more = if page.next.is_some() { " at least" } else { "" };
    let streams = if page.names.len() == 1 { "stream" } else { "streams" };
    let words = format!("{} {streams}{more} can be listed", page.names.len());
    let Some(name) = page.names.first() else { return Finding::good("streams", words) };
    let stream = own.stream(name.clone());
    let described = match context.aws.describe(&stream, &log).await {
        Ok(_) => context.aws.tags(&stream, &log).await.map(|_| ()),
        Err(failure) => Err(failure),
    };
    match described {
        Err(failure) if failure.class != Class::Ignored => Finding::unobserved("streams", &failure, own),
        _ => Finding::good("streams", format!("{words} and observed")),
    }
}

/// The customer managed key of each of the two queues, by its ARN: SQS uses it in the name of whoever sends and receives. What could not
/// be observed is a finding; a queue that is not there has been reported.
pub(super) async fn queue_keys(context: &Context, deployed: &Deployed) -> (Vec<String>, Vec<Finding>) {
    let own = &context.config.own;
    let (mut arns, mut findings) = (BTreeSet::new(), Vec::new());
    for url in [&deployed.work, &deployed.scans].into_iter().flatten() {
        let Ok(attributes) = attributes(context, "role", url).await else { continue };
        let key = attributes.get(&QueueAttributeName::KmsMasterKeyId).and_then(|key| KeyRef::parse(key));
        // That which AWS manages for SQS lets everybody of the account in.
        let Some(key) = key.filter(|key| !key.as_str().ends_with("alias/aws/sqs")) else { continue };
        match context.aws.lookup(&key, &CallLog::default()).await {
            Ok(KeyLookup::Found(KeyInfo { manager: KeyManager::Customer, identity, .. })) => {
                arns.insert(identity.to_string());
            }
            Ok(KeyLookup::Found(_)) => {}
            Ok(KeyLookup::NotFound) => {
                let words = format!("{url} is encrypted with the key {key}, which KMS does not know");
                findings.push(Finding::fault("queue", words, REDEPLOY));
            }
            Ok(KeyLookup::Denied { code, words: said }) => {
                let advice = to_describe(&key, said.as_str(), own);
                let words = format!(
                    "whether the role can use the key {key} of {url} is unknown: kms:DescribeKey failed \
                     ({code})"
                );
                let how = in_lines(&advice.text, &[], advice.statement.as_deref());
                findings.push(Finding::unknown("role", words, how));
            }
            Err(failure) => findings.push(Finding::unobserved("role", &failure, own)),
        }
    }
    (arns.into_iter().collect(), findings)
}

/// A queue's attributes; a finding where they are not to be had.
async fn attributes(
    context: &Context,
    about: &'static str,
    url: &str,
) -> Result<HashMap<QueueAttributeName, String>, Finding> {
    let own = &context.config.own;
    let client = aws_sdk_sqs::Client::new(&context.sdk);
    let asked = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send();
    match logged(&CallLog::default(), "sqs:GetQueueAttributes", asked).await {
        Ok(answer) => Ok(answer.attributes.unwrap_or_default()),
        Err(failure) if is_absent(&failure) => Err(Finding::fault(about, format!("there is no queue {url}"), REDEPLOY)),
        Err(failure) => Err(Finding::unobserved(about, &failure, own)),
    }
}

/// What is wrong with a queue by itself: what fails in it has to go somewhere.
fn redrives(
    about: &'static str,
    url: &str,
    attributes: &HashMap<QueueAttributeName, String>,
    dead: Option<String>,
) -> Option<Finding> {
    let dead = dead.unwrap_or_else(|| "DLQ-ARN".to_owned());
    if attributes.get(&QueueAttributeName::RedrivePolicy).is_some_and(|redrive| !redrive.is_empty()) {
        return None;
    }
    let redrive = json!({"RedrivePolicy": json!({"deadLetterTargetArn": dead, "maxReceiveCount": 5}).to_string()});
    let words = "it has no dead-letter queue: a message that fails is retried until it expires, and nobody is notified";
    let how = format!("aws sqs set-queue-attributes --queue-url {url} --attributes '{redrive}'");
    Some(Finding::fault(about, words, how))
}

/// The queue of work, the rules that send to it, and the queues of what they cannot deliver.
pub(super) async fn queue(context: &Context, deployed: &Deployed, url: &str, parameters: &[String]) -> Vec<Finding> {
    let attributes = match attributes(context, "queue", url).await {
        Ok(attributes) => attributes,
        Err(finding) => return vec![finding],
    };
    let attribute = |name: QueueAttributeName| attributes.get(&name).cloned().unwrap_or_default();
    let arn = attribute(QueueAttributeName::QueueArn);
    let Checked { on, undelivered, mut findings } = rules(context, deployed, &arn, parameters).await;
    let before = findings.len();
    findings.extend(lets_in("queue", &arn, &attribute(QueueAttributeName::Policy), &on));
    // EventBridge cannot use the key that AWS manages for SQS (SQS developer guide, key management).
    if attribute(QueueAttributeName::KmsMasterKeyId).ends_with("alias/aws/sqs") {
        let how = format!(
            "aws sqs set-queue-attributes --queue-url {url} --attributes '{}'",
            json!({"KmsMasterKeyId": "", "SqsManagedSseEnabled": "true"})
        );
        let words = "EventBridge cannot use the queue's key alias/aws/sqs: every event is lost";
        findings.push(Finding::fault("queue", words, how));
    }
    let dead = deployed.dead_letters.as_deref().map(|url| queue_arn(url, &context.config.own));
    findings.extend(redrives("queue", url, &attributes, dead));
    // Whom it should let in is not known where there is no rule.
    if findings.len() == before && !on.is_empty() {
        findings.push(Finding::good("queue", format!("{arn} lets EventBridge send to it")));
    }
    for (dead, rules) in undelivered {
        findings.extend(dead_letters(context, &dead, &rules).await);
    }
    findings
}

/// A fault where the policy of a queue does not let these rules send to it.
fn lets_in(about: &'static str, arn: &str, policy: &str, rules: &[String]) -> Option<Finding> {
    // SQS answers with no text where there is no policy.
    let document = if policy.is_empty() { Document::empty() } else { Document::read(policy) };
    let refused = refused(&document, arn, rules);
    if refused.is_empty() {
        return None;
    }
    let allow = json!({
        "Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": refused}},
    });
    let words = format!("its policy does not let these rules send to it: {}", refused.join(", "));
    Some(Finding::fault(about, words, format!("add to the policy of {arn}:\n{allow}")))
}

/// A queue that takes what EventBridge cannot deliver.
async fn dead_letters(context: &Context, arn: &str, rules: &[String]) -> Option<Finding> {
    let client = aws_sdk_sqs::Client::new(&context.sdk);
    let name = Arn::parse(arn).map(|arn| arn.resource).unwrap_or_default();
    let asked = client.get_queue_url().queue_name(name).send();
    let url = match logged(&CallLog::default(), "sqs:GetQueueUrl", asked).await {
        Ok(answer) => answer.queue_url.unwrap_or_default(),
        Err(failure) if is_absent(&failure) => {
            let words =
                format!("there is no queue {arn}, and what EventBridge cannot deliver to the work queue must go there");
            return Some(Finding::fault("undelivered", words, REDEPLOY));
        }
        Err(failure) => return Some(Finding::unobserved("undelivered", &failure, &context.config.own)),
    };
    match attributes(context, "undelivered", &url).await {
        Ok(attributes) => {
            let policy = attributes.get(&QueueAttributeName::Policy).cloned().unwrap_or_default();
            let good = || Finding::good("undelivered", format!("{arn} takes what EventBridge cannot deliver"));
            Some(lets_in("undelivered", arn, &policy, rules).unwrap_or_else(good))
        }
        Err(finding) => Some(finding),
    }
}

/// The queue of scans.
pub(super) async fn scans(context: &Context, deployed: &Deployed, url: &str) -> Vec<Finding> {
    let attributes = match attributes(context, "scans", url).await {
        Ok(attributes) => attributes,
        Err(finding) => return vec![finding],
    };
    let arn = attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default();
    let dead = deployed.scan_dead_letters.as_deref().map(|url| queue_arn(url, &context.config.own));
    let mut findings: Vec<Finding> = redrives("scans", url, &attributes, dead).into_iter().collect();
    if attributes.get(&QueueAttributeName::FifoQueue).is_none_or(|fifo| fifo != "true") {
        let words = format!("{arn} is not a FIFO queue: several scans would run at the same time");
        findings.push(Finding::fault("scans", words, REDEPLOY));
    }
    if findings.is_empty() {
        findings
            .push(Finding::good("scans", format!("{arn} is a FIFO queue: one scan of a message group runs at a time")));
    }
    findings
}

/// What the rules of a policy make the function call besides what it always does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    /// It reads records.
    pub(super) observes: bool,
    /// It reads metrics of streams.
    pub(super) guards: bool,
    /// It may bring a stream back to the key that AWS manages.
    pub(super) falls_back: bool,
}

impl Needs {
    /// What is not known may be needed. Metrics are read by few.
    pub(super) const UNKNOWN: Self = Self { observes: true, guards: false, falls_back: false };

    fn of(policy: &Policy) -> Self {
        let some = |needs: fn(&Encrypt) -> bool| {
            policy.rules.iter().any(|rule| matches!(&rule.effect, Effect::Encrypt(encrypt) if needs(encrypt)))
        };
        Self {
            observes: some(|rule| [rule.proof.new, rule.proof.existing].contains(&ProofMode::Observe)),
            guards: some(|rule| rule.guard.watch.is_some()),
            falls_back: some(|rule| {
                let Guard { watch, on_break, fall_back, .. } = rule.guard;
                watch.is_some() && on_break == OnBreak::Restore && fall_back == FallBack::AwsManaged
            }),
        }
    }
}

/// The policy and its keys: what is wrong, the ARNs of the keys that can be used, and what its rules need.
pub(super) async fn policy(context: &Context) -> (Vec<Finding>, Vec<String>, Needs) {
    let own = &context.config.own;
    let reported = |stop: Stop| Finding::unknown("policy", stop.words(), stop.what_to_do());
    let source = &context.config.policy;
    let text = match source {
        Source::Parameter(name) => context.aws.read(source).await.map_err(|failure| {
            if is_absent(&failure) {
                let how = format!(
                    "aws ssm put-parameter --name {} --type String --value file://policy.yaml --region {}",
                    shell_word(name),
                    own.region
                );
                Finding::fault("policy", format!("there is no parameter {name}: every event is kept"), how)
            } else {
                Finding::unobserved("policy", &failure, own)
            }
        }),
        Source::File(_) | Source::Inline(_) => context.read(source).await.map_err(reported),
    };
    let text = match text {
        Ok(text) => text,
        Err(finding) => return (vec![finding], Vec::new(), Needs::UNKNOWN),
    };
    let policy = match Policy::load(&text) {
        Ok(policy) => policy,
        Err(faults) => {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            let words = format!("the policy in {source} is not valid, so every event is kept: {}", faults.join("; "));
            return (
                vec![Finding::fault("policy", words, "`streamseal check` shows the places")],
                Vec::new(),
                Needs::UNKNOWN,
            );
        }
    };
    let needs = Needs::of(&policy);
    let mut warnings = Vec::new();
    let keys = match resolve(context, &policy, &mut warnings).await {
        Ok(keys) => keys,
        Err(stop) => return (vec![reported(stop)], Vec::new(), needs),
    };
    let usable = keys.iter().filter(|key| key.get("usable") == Some(&json!(true)));
    let usable = usable.filter_map(|key| key.get("key").and_then(Value::as_str));
    let mut usable: Vec<String> = usable.filter(|key| key.starts_with("arn:")).map(str::to_owned).collect();
    if needs.falls_back {
        usable.extend(aws_managed(context).await);
    }
    let how = "make or enable the key, or correct the rule: `streamseal check --resolve` shows the place";
    let mut findings: Vec<Finding> =
        warnings.into_iter().map(|warning| Finding::fault("keys", warning.message, how)).collect();
    if findings.is_empty() {
        findings.push(all_usable(&keys, &source.to_string()));
    }
    (findings, usable, needs)
}

/// The key that AWS manages, where there is one yet and it may be looked up.
async fn aws_managed(context: &Context) -> Option<String> {
    let found = context.aws.lookup(&KeyRef::parse(AWS_MANAGED_ALIAS)?, &CallLog::default()).await.ok()?;
    let KeyLookup::Found(KeyInfo { identity: KeyIdentity::Arn(arn), .. }) = found else { return None };
    Some(arn.to_string())
}

/// What is said where no key is wrong: `keys` are those of the rules, as `streamseal check --resolve` has them.
fn all_usable(keys: &[Value], source: &str) -> Finding {
    let named = |depends: bool| {
        let of = keys.iter().filter(|key| (key.get("depends_on_stream") == Some(&json!(true))) == depends);
        of.filter_map(|key| key.get("named").and_then(Value::as_str)).collect::<BTreeSet<_>>().len()
    };
    let (fixed, dependent) = (named(false), named(true));
    if dependent == 0 {
        let words = format!("every key that {source} names can be used");
        return Finding::good("keys", if fixed == 0 { format!("{source} names no key") } else { words });
    }
    let depend = if dependent == 1 { "key depends" } else { "keys depend" };
    let not_checked = format!("{dependent} {depend} on a stream's name or tags: not checked");
    if fixed == 0 {
        let how = "`streamseal audit` checks each stream's key, `streamseal explain STREAM` that of one stream";
        return Finding::unknown("keys", format!("{source}: {not_checked}"), how);
    }
    let keys = if fixed == 1 { "key" } else { "keys" };
    Finding::good("keys", format!("the {fixed} fixed {keys} that {source} names can be used; {not_checked}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn what_the_rules_of_a_policy_need() {
        let needs = |guard: &str| {
            let text = format!("{{version: 1, rules: [{{name: a, key: alias/a, guard: {{{guard}}}}}]}}");
            let Needs { guards, falls_back, .. } = Needs::of(&Policy::load(&text).unwrap());
            (guards, falls_back)
        };
        assert_eq!(needs("watch: off, on_break: restore"), (false, false));
        assert_eq!(needs("watch: 20m"), (true, false));
        assert_eq!(needs("watch: 20m, on_break: restore"), (true, true));
        assert_eq!(needs("watch: 20m, on_break: restore, fall_back: none"), (true, false));
    }

    #[test]
    fn a_key_that_was_not_checked_is_not_said_to_be_usable() {
        let fixed = |name: &str| json!({"named": name, "usable": true});
        let depends = |name: &str| json!({"named": name, "depends_on_stream": true});
        for (keys, state, words) in [
            (vec![], State::Good, "p names no key"),
            (vec![fixed("a"), fixed("b")], State::Good, "every key that p names can be used"),
            (
                vec![fixed("a"), fixed("a"), depends("x")],
                State::Good,
                "the 1 fixed key that p names can be used; 1 key depends on",
            ),
            (
                vec![fixed("a"), fixed("b"), depends("x"), depends("y")],
                State::Good,
                "the 2 fixed keys that p names can be used; 2 keys depend on",
            ),
            (vec![depends("x")], State::Unknown, "p: 1 key depends on"),
        ] {
            let finding = all_usable(&keys, "p");
            assert!(finding.state == state && finding.words.starts_with(words), "{finding:?}");
        }
    }
}
