//! `streamseal doctor`: what must be there so that the function sees streams and can act, each fault with the command or the
//! statement that fixes it. It only reads, and says what it could not check.

mod aggregator;
mod calls;
mod checks;
mod deployed;
mod finding;
mod function;
mod judge;
mod needs;
mod role;
mod rules;
mod trail;

use serde_json::json;

pub(super) use self::calls::permission;
pub(crate) use self::deployed::DoctorArguments;
use self::deployed::{Deployed, deployed};
use self::finding::{Finding, State};
use self::role::Works;
use super::arguments::{Globals, options};
use super::caller::identity;
use super::context::{Context, named_policy};
use super::exit::Exit;
use super::heading::{self, document, header_by};
use super::output::{FAINT, Stop, result, styled};
use crate::config::Source;
use crate::domain::model::Mode;

pub(super) async fn run(arguments: &DoctorArguments, globals: &Globals) -> Result<Exit, Stop> {
    let named = named_policy(globals);
    // Without a policy there is still much to observe, and the function may name it.
    let none = || Some("inline:none".to_owned());
    let context = Context::with_policy(globals, None, &[], named.clone().or_else(none)).await?;
    if let Some(name) = &arguments.aggregator {
        let mut findings = vec![caller(&context).await];
        findings.extend(aggregator::aggregator(&context, name).await);
        print(&context, (None, None), &findings, arguments, globals.json);
        return Ok(findings.iter().map(exit_of).fold(Exit::Compliant, Exit::worse));
    }
    let (deployed, of_deployed) = deployed(&context, arguments).await;
    let (policy, not_checked) = chosen(named, deployed.variable("POLICY"));
    let context = match &policy {
        Some(_) => {
            let globals = Globals { account: Some(context.config.own.account.clone()), ..globals.clone() };
            Context::with_policy(&globals, None, &[], policy.clone()).await?
        }
        None => context,
    };
    let mut findings = vec![caller(&context).await];
    findings.extend(of_deployed);
    findings.push(checks::streams(&context).await);
    findings.push(trail::trail(&context).await);
    // Those that hold the policy and the mode.
    let sources = [policy.clone(), deployed.variable("MODE")].into_iter().flatten();
    let parameters: Vec<String> = sources.filter_map(|source| source.strip_prefix("ssm:").map(str::to_owned)).collect();
    let (of_parts, mode) = of_parts(&context, &deployed, &parameters).await;
    findings.extend(of_parts);
    let (keys, needs) = match &policy {
        Some(_) => {
            findings.extend(not_checked);
            let (of_policy, keys, needs) = checks::policy(&context).await;
            findings.extend(of_policy);
            (keys, needs)
        }
        None => {
            let how = "give it with `--policy`, such as `--policy ssm:/streamseal/policy`";
            findings.push(Finding::unknown("policy", "not checked: its name is not given", how));
            (Vec::new(), checks::Needs::UNKNOWN)
        }
    };
    match &deployed.role {
        Some(role) => {
            let works = Works { parameters: &parameters, keys: &keys, needs };
            findings.extend(role::role(&context, &deployed, role, &works).await);
        }
        None => findings.push(unnamed("role", "", "--role", "RoleArn")),
    }
    let source = policy.is_some().then_some(&context.config.policy);
    print(&context, (source, mode), &findings, arguments, globals.json);
    Ok(findings.iter().map(exit_of).fold(Exit::Compliant, Exit::worse))
}

/// What is said of the queues and the function of a deployment, and the function's mode.
async fn of_parts(context: &Context, deployed: &Deployed, parameters: &[String]) -> (Vec<Finding>, Option<Mode>) {
    let (mut findings, mut mode) = (Vec::new(), None);
    match &deployed.work {
        Some(url) => findings.extend(checks::queue(context, deployed, url, parameters).await),
        None => {
            findings.push(unnamed("queue", ", and the rules that send to it neither", "--queue-url", "WorkQueueUrl"))
        }
    }
    match &deployed.scans {
        Some(url) => findings.extend(checks::scans(context, deployed, url).await),
        None => findings.push(unnamed("scans", "", "--scan-queue-url", "ScanQueueUrl")),
    }
    match &deployed.function {
        Some(_) => {
            let of_function;
            (of_function, mode) = function::function(context, deployed).await;
            findings.extend(of_function);
        }
        None => findings.push(unnamed("function", "", "--function", "FunctionName")),
    }
    (findings, mode)
}

fn print(
    context: &Context,
    (policy, mode): (Option<&Source>, Option<Mode>),
    findings: &[Finding],
    arguments: &DoctorArguments,
    as_json: bool,
) {
    if as_json {
        let fields = json!({"findings": findings, "not_checked": NOT_CHECKED});
        result(document(context, "streamseal.doctor/v1", fields));
    } else {
        result(header_by(context, policy, mode));
        findings.iter().for_each(Finding::print);
        result(styled(FAINT, format_args!("not checked by this command: {NOT_CHECKED}")));
        let are_good = findings.iter().all(|finding| finding.state == State::Good);
        let (command, does) = match (are_good, &arguments.aggregator) {
            (true, None) => ("audit".to_owned(), "compares every stream with the policy"),
            (true, name) => (format!("audit{}", options("aggregator", name)), "compares every stream with the policy"),
            (false, _) => (format!("doctor{}", arguments.again()), "checks again what you changed"),
        };
        result(heading::next(&context.given, &command, does));
    }
}

/// Whose credentials these are.
async fn caller(context: &Context) -> Finding {
    let own = &context.config.own;
    let answer = match identity(&context.sdk).await {
        Ok(answer) => answer,
        Err(failure) => return Finding::unobserved("caller", &failure, own),
    };
    let arn = answer.arn.unwrap_or_default();
    let words = format!("{arn}, for the streams of {} in {}", own.account, own.region);
    if answer.account.as_deref() == Some(own.account.as_str()) {
        return Finding::good("caller", words);
    }
    let how = "name the account's profile with `--profile`";
    Finding::fault("caller", format!("{words}, which is another account"), how)
}

fn exit_of(finding: &Finding) -> Exit {
    match finding.state {
        State::Good => Exit::Compliant,
        State::Unknown => Exit::TryAgain,
        State::Fault => Exit::NonCompliant,
    }
}

const NOT_CHECKED: &str = "key policies, service control policies, the conditions of a queue's policy that are not about the rule, \
                             VPC endpoints, alarms";

/// Which policy is observed: that of the function, if it can be read from here. A finding where another one was named.
fn chosen(named: Option<String>, of_function: Option<String>) -> (Option<String>, Option<Finding>) {
    let short =
        |source: &str| if source.starts_with("inline:") { "an inline policy".to_owned() } else { source.to_owned() };
    let reported = |words: String| {
        let how = "name the function's policy, or leave `--policy` out; `streamseal check --resolve` checks another \
                   policy";
        Some(Finding::unknown("policy", words, how))
    };
    match (named, of_function) {
        (Some(named), Some(own)) if named == own => (Some(own), None),
        // A file of its package may be the one that is named, and no other can be read.
        (Some(named), Some(own)) if own.starts_with("file:") => {
            let is_file = named.starts_with("file:");
            let words = format!("the function uses {own} of its package; {} is checked in its place", short(&named));
            (Some(named), if is_file { None } else { reported(words) })
        }
        (Some(named), Some(own)) => {
            let (named, by) = (short(&named), short(&own));
            (Some(own), reported(format!("{named} is not checked, because the function uses {by}")))
        }
        (named, own) => (named.or(own.filter(|source| !source.starts_with("file:"))), None),
    }
}

/// What is not checked, since nobody named it.
fn unnamed(about: &'static str, more: &str, option: &str, output: &str) -> Finding {
    let how = format!(
        "name the stack with `--stack`, or give it with `{option}`, the output of:\naws cloudformation describe-stacks --stack-name \
         NAME --query \"Stacks[0].Outputs[?OutputKey=='{output}'].OutputValue\" --output text"
    );
    Finding::unknown(about, format!("not checked{more}: its name is not given"), how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_of_the_function_goes_before_one_that_is_named() {
        for (named, own, chosen_one, reported) in [
            (None, None, None, None),
            (Some("ssm:/a"), None, Some("ssm:/a"), None),
            (None, Some("ssm:/a"), Some("ssm:/a"), None),
            (None, Some("file:policy.yaml"), None, None),
            (Some("ssm:/a"), Some("ssm:/a"), Some("ssm:/a"), None),
            (Some("file:mine.yaml"), Some("file:policy.yaml"), Some("file:mine.yaml"), None),
            (Some("ssm:/a"), Some("file:policy.yaml"), Some("ssm:/a"), Some("the function uses file:policy.yaml")),
            (Some("file:mine.yaml"), Some("ssm:/a"), Some("ssm:/a"), Some("file:mine.yaml is not checked")),
            (Some("ssm:/b"), Some("inline:version: 1"), Some("inline:version: 1"), Some("uses an inline policy")),
        ] {
            let (policy, finding) = chosen(named.map(str::to_owned), own.map(str::to_owned));
            assert_eq!(policy.as_deref(), chosen_one, "{named:?} {own:?}");
            let words = finding.as_ref().map(|finding| finding.words.as_str());
            assert_eq!(words.is_some(), reported.is_some(), "{finding:?}");
            assert!(words.unwrap_or_default().contains(reported.unwrap_or_default()), "{finding:?}");
        }
    }
}
