//! The rules of EventBridge: whether all that the function acts on reaches the work queue, and what becomes of what cannot be
//! delivered. Whether a pattern lets an event through is for EventBridge's own matcher to say. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::{RuleState, Target};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::deployed::{Deployed, queue_arn};
use super::finding::Finding;
use super::judge::may_pass;
use super::needs::{Need, needs};
use crate::aws::logged;
use crate::cli::arguments::shell_word;
use crate::cli::context::Context;
use crate::cli::pages;
use crate::domain::arn::Scope;
use crate::domain::event::item::{Input, Item};
use crate::domain::event::parse;
use crate::domain::failure::{Class, Failure};
use crate::domain::scan::subject::Subject;
use crate::ports::CallLog;

/// What the rules came to.
pub(super) struct Checked {
    /// The ARNs of the rules that are on and send to the queue.
    pub(super) on: Vec<String>,
    /// Which of them send to each queue what they cannot deliver: ARNs by the queue's ARN.
    pub(super) undelivered: BTreeMap<String, Vec<String>>,
    pub(super) findings: Vec<Finding>,
}

/// A rule that sends to the queue, or of which the stack says that it does.
struct Rule {
    name: String,
    arn: String,
    on: bool,
    pattern: Option<String>,
    schedule: Option<String>,
    /// As it sends to the queue.
    target: Option<Target>,
}

impl Rule {
    /// Whether the event arrives as it is; of a schedule, whatever is sent is observed by itself.
    fn is_whole(&self, target: &Target) -> bool {
        self.schedule.is_some()
            || (target.input.is_none() && target.input_path.is_none() && target.input_transformer.is_none())
    }

    /// Whether it asks for a sweep with what it sends, or is reported since it sends nothing.
    fn sweeps(&self, own: &Scope) -> bool {
        let Some(target) = &self.target else { return self.schedule.is_some() };
        if self.schedule.is_none() {
            return false;
        }
        if target.input_path.is_some() || target.input_transformer.is_some() {
            return false;
        }
        let scheduled = json!({
            "version": "0", "id": "0", "detail-type": "Scheduled Event", "source": "aws.events", "account": own.account,
            "time": "2026-01-01T00:00:00Z", "region": own.region, "resources": [self.arn], "detail": {},
        });
        let sent = match &target.input {
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
            None => scheduled,
        };
        let Input::Direct(items) = parse(&sent, own, Timestamp::now()) else { return false };
        items.iter().any(|item| matches!(item, Item::Scan(scan) if scan.subject == Subject::Fleet))
    }
}

/// Observes all of them. `parameters` hold the policy and the mode.
pub(super) async fn rules(context: &Context, deployed: &Deployed, queue: &str, parameters: &[String]) -> Checked {
    let own = &context.config.own;
    let client = Client::new(&context.sdk);
    let mut checked = Checked { on: Vec::new(), undelivered: BTreeMap::new(), findings: Vec::new() };
    let all = match all(&client, deployed, queue).await {
        Ok(all) => all,
        Err(failure) => {
            checked.findings.push(Finding::unobserved("rules", &failure, own));
            return checked;
        }
    };
    let known = all.iter().filter_map(|rule| dead_letters(rule.target.as_ref()?)).next();
    let own_queue = deployed.undelivered.as_deref().map(|url| queue_arn(url, own));
    let dead = own_queue.or(known).unwrap_or_else(|| "DLQ-ARN".to_owned());
    for rule in &all {
        checked.findings.extend(wrong_with(rule, queue, &dead, &own.region));
        if rule.on && rule.target.is_some() {
            checked.on.push(rule.arn.clone());
        }
        if let Some(dead) = rule.target.as_ref().and_then(dead_letters) {
            checked.undelivered.entry(dead).or_default().push(rule.arn.clone());
        }
    }
    let mut come = Vec::new();
    for need in needs(own, parameters) {
        match missing(&client, &need, &all).await {
            // A rule that is wrong has been reported.
            Ok(missing) if missing.is_empty() => come.push(need.what),
            Ok(missing) => checked.findings.push(lacking(&need, &missing, deployed, queue, &dead, &own.region)),
            Err(failure) => {
                checked.findings.push(Finding::unobserved("rules", &failure, own));
                return checked;
            }
        }
    }
    match all.iter().find(|rule| rule.sweeps(own)) {
        Some(rule) => {
            let schedule = rule.schedule.as_deref().unwrap_or_default();
            if checked.findings.is_empty() {
                let words = format!(
                    "{} rules send to the queue: {}, and a sweep at {schedule}",
                    checked.on.len(),
                    come.join(", ")
                );
                checked.findings.push(Finding::good("rules", words));
            }
        }
        None => checked.findings.push(no_sweep(deployed, queue, &dead, &own.region)),
    }
    checked
}

fn no_sweep(deployed: &Deployed, queue: &str, dead: &str, region: &str) -> Finding {
    let words = "no scheduled rule asks for a sweep, so a lost event is never noticed (EventBridge Scheduler is not \
                 checked)";
    let name = named(deployed, "Sweep");
    let put = format!("aws events put-rule --name {name} --schedule-expression 'rate(1 day)' --region {region}");
    let target = target_of(queue, dead, Some(r#"{"action":"sweep"}"#));
    let how = format!("{put}\n{}", put_targets(&name, &target, region));
    Finding::fault("rules", words, how)
}

/// The rules that send to the queue, and those of the stack.
async fn all(client: &Client, deployed: &Deployed, queue: &str) -> Result<Vec<Rule>, Failure> {
    let names = names(client, queue).await?;
    let names: BTreeSet<String> = names.into_iter().chain(deployed.rules.values().cloned()).collect();
    let mut all = Vec::new();
    for name in names {
        all.extend(rule(client, &name, queue).await?);
    }
    Ok(all)
}

/// The names of the rules that send to the queue.
async fn names(client: &Client, queue: &str) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    pages::all(async |token| {
        let asked = client.list_rule_names_by_target().target_arn(queue).set_next_token(token).send();
        let page = logged(&CallLog::default(), "events:ListRuleNamesByTarget", asked).await?;
        names.extend(page.rule_names.unwrap_or_default());
        Ok(page.next_token)
    })
    .await?;
    Ok(names)
}

/// One of them; `None` where it is gone.
async fn rule(client: &Client, name: &str, queue: &str) -> Result<Option<Rule>, Failure> {
    let log = CallLog::default();
    let found = match logged(&log, "events:DescribeRule", client.describe_rule().name(name).send()).await {
        Ok(found) => found,
        Err(failure) if failure.class == Class::Ignored => return Ok(None),
        Err(failure) => return Err(failure),
    };
    // A rule has five targets at most, and a page a hundred (EventBridge quotas).
    let asked = client.list_targets_by_rule().rule(name).send();
    let targets = logged(&log, "events:ListTargetsByRule", asked).await?.targets.unwrap_or_default();
    Ok(Some(Rule {
        name: name.to_owned(),
        arn: found.arn.unwrap_or_default(),
        on: found.state != Some(RuleState::Disabled),
        pattern: found.event_pattern.filter(|pattern| !pattern.is_empty()),
        schedule: found.schedule_expression.filter(|schedule| !schedule.is_empty()),
        target: targets.into_iter().find(|target| target.arn == queue),
    }))
}

fn dead_letters(target: &Target) -> Option<String> {
    target.dead_letter_config.as_ref()?.arn.clone()
}

/// What is wrong with one rule by itself.
fn wrong_with(rule: &Rule, queue: &str, dead: &str, region: &str) -> Vec<Finding> {
    let name = &rule.name;
    let mut findings = Vec::new();
    if !rule.on {
        let how = format!("aws events enable-rule --name {name} --region {region}");
        findings.push(Finding::fault("rules", format!("{name} is disabled"), how));
    }
    let input = rule.schedule.as_ref().map(|_| r#"{"action":"sweep"}"#);
    let Some(target) = &rule.target else {
        let how = put_targets(name, &target_of(queue, dead, input), region);
        findings.push(Finding::fault("rules", format!("{name} does not send to the queue"), how));
        return findings;
    };
    if !rule.is_whole(target) {
        let mut whole = target_of(queue, dead, None);
        if let Some(members) = whole.as_object_mut() {
            members.insert("Id".to_owned(), json!(target.id));
        }
        let how = put_targets(name, &whole, region);
        let words = format!("{name} does not send the event unchanged: its target has an input of its own");
        findings.push(Finding::fault("rules", words, how));
    }
    if target.dead_letter_config.is_none() {
        let mut with = target_of(queue, dead, target.input.as_deref());
        if let Some(members) = with.as_object_mut() {
            members.insert("Id".to_owned(), json!(target.id));
        }
        let words = format!("{name} has no dead-letter queue: what EventBridge cannot deliver is lost");
        findings.push(Finding::fault("rules", words, put_targets(name, &with, region)));
    }
    findings
}

/// The samples of a need that no rule lets through.
async fn missing<'n>(client: &Client, need: &'n Need, rules: &[Rule]) -> Result<Vec<&'n str>, Failure> {
    let mut missing = Vec::new();
    for (name, event) in &need.samples {
        let mut comes = false;
        for pattern in rules.iter().filter_map(|rule| rule.pattern.as_deref()) {
            if !may_pass(pattern, event) {
                continue;
            }
            let asked = client.test_event_pattern().event_pattern(pattern).event(event.to_string()).send();
            if logged(&CallLog::default(), "events:TestEventPattern", asked).await?.result {
                comes = true;
                break;
            }
        }
        if !comes {
            missing.push(name.as_str());
        }
    }
    Ok(missing)
}

fn lacking(need: &Need, missing: &[&str], deployed: &Deployed, queue: &str, dead: &str, region: &str) -> Finding {
    let words = format!("no rule sends these {} to the queue: {}; {}", need.what, missing.join(", "), need.without);
    let name = named(deployed, need.rule);
    let put = format!("aws events put-rule --name {name} --event-pattern '{}' --region {region}", need.pattern);
    Finding::fault("rules", words, format!("{put}\n{}", put_targets(&name, &target_of(queue, dead, None), region)))
}

/// What the stack calls it: then its queue's policy knows it.
fn named(deployed: &Deployed, rule: &str) -> String {
    deployed.rules.get(rule).cloned().unwrap_or_else(|| format!("streamseal-{rule}"))
}

fn target_of(queue: &str, dead: &str, input: Option<&str>) -> Value {
    let mut target = json!({"Id": "work", "Arn": queue, "DeadLetterConfig": {"Arn": dead}});
    if let (Some(input), Some(members)) = (input, target.as_object_mut()) {
        members.insert("Input".to_owned(), json!(input));
    }
    target
}

fn put_targets(rule: &str, target: &Value, region: &str) -> String {
    // The input of a rule's own may have quotes.
    let targets = shell_word(&json!([target]).to_string());
    format!("aws events put-targets --rule {rule} --targets {targets} --region {region}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_with_quotes_is_one_word_of_a_shell() {
        let target = target_of("arn:queue", "arn:dead", Some(r#"{"why":"it's $HOME"}"#));
        let command = put_targets("sweep", &target, "eu-west-1");
        let quoted = r#"'[{"Arn":"arn:queue","DeadLetterConfig":{"Arn":"arn:dead"},"Id":"work","Input":"{\"why\":\"it'\''s $HOME\"}"}]'"#;
        assert_eq!(command, format!("aws events put-targets --rule sweep --targets {quoted} --region eu-west-1"));
    }
}
