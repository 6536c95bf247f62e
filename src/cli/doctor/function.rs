//! The function itself: whether it runs, in which mode, and whether its queues wake it. Reads only.

use aws_sdk_lambda::types::{EventSourceMappingConfiguration, FunctionResponseType, LastUpdateStatus, State};

use super::deployed::{Deployed, queue_arn};
use super::finding::{Finding, REDEPLOY, State as How};
use crate::aws::logged;
use crate::cli::arguments::shell_word;
use crate::cli::context::Context;
use crate::cli::pages;
use crate::config::{Config, ModeSource, mode};
use crate::domain::model::Mode;
use crate::ports::CallLog;

/// How the function stands, and its mode; nothing where its configuration is not known.
pub(super) async fn function(context: &Context, deployed: &Deployed) -> (Vec<Finding>, Option<Mode>) {
    let (Some(name), Some(configuration)) = (&deployed.function, &deployed.configuration) else {
        return (Vec::new(), None);
    };
    let region = &context.config.own.region;
    let mut findings = Vec::new();
    match (&configuration.state, &configuration.last_update_status) {
        (Some(State::Failed), _) => {
            let why = configuration.state_reason.as_deref().unwrap_or("no reason is given");
            findings.push(Finding::fault("function", format!("{name} cannot run: {why}"), REDEPLOY));
        }
        (_, Some(LastUpdateStatus::Failed)) => {
            let why = configuration.last_update_status_reason.as_deref().unwrap_or("no reason is given");
            findings.push(Finding::fault("function", format!("the last update of {name} failed: {why}"), REDEPLOY));
        }
        (Some(State::Pending), _) | (_, Some(LastUpdateStatus::InProgress)) => {
            let words = format!("{name} is being changed");
            findings.push(Finding::unknown("function", words, "try again when that is over"));
        }
        _ => {}
    }
    let (wrong, runs) = variables(context, deployed, name).await;
    findings.extend(wrong);
    let client = aws_sdk_lambda::Client::new(&context.sdk);
    let asked = client.get_function_concurrency().function_name(name).send();
    match logged(&CallLog::default(), "lambda:GetFunctionConcurrency", asked).await {
        Ok(answer) if answer.reserved_concurrent_executions == Some(0) => {
            let how = format!("aws lambda delete-function-concurrency --function-name {name} --region {region}");
            let words = format!("{name} cannot run: its reserved concurrency is 0");
            findings.push(Finding::fault("function", words, how));
        }
        Ok(_) => {}
        Err(failure) => findings.push(Finding::unobserved("function", &failure, &context.config.own)),
    }
    // Nothing is said to run that something keeps from it.
    if findings.iter().all(|finding| finding.state != How::Fault)
        && let Some(mode) = &runs
    {
        findings.push(runs_in(name, mode));
    }
    findings.extend(sources(context, deployed, name).await);
    (findings, runs.map(|(mode, _)| mode))
}

/// That it runs, and what it does in the mode that the source says.
fn runs_in(name: &str, (mode, source): &(Mode, String)) -> Finding {
    let does = match mode {
        Mode::Enforce => "enforce: it changes streams",
        Mode::Report | Mode::Prove => "report: it changes nothing and says what it would do",
    };
    Finding::good("function", format!("{name} runs in mode{source} {does}"))
}

/// What is wrong with its variables, by its own code, and the mode that they say, with where it is.
async fn variables(context: &Context, deployed: &Deployed, name: &str) -> (Vec<Finding>, Option<(Mode, String)>) {
    let region = &context.config.own.region;
    let config = Config::from_vars(|variable| match variable {
        // Lambda sets it.
        "AWS_REGION" => Some(region.clone()),
        _ => deployed.variable(variable),
    });
    let see = format!(
        "deploy the stack again, or see: aws lambda get-function-configuration --function-name {name} --region {region}"
    );
    let config = match config {
        Ok(config) => config,
        Err(faults) => {
            let fault =
                |fault: &crate::config::ConfigFault| Finding::fault("function", format!("{name}: {fault}"), &*see);
            return (faults.iter().map(fault).collect(), None);
        }
    };
    let mut findings = Vec::new();
    for (variable, value, expected) in [
        ("ACCOUNT_ID", Some(&config.own.account), Some(&context.config.own.account)),
        ("WORK_QUEUE_URL", config.queue_url.as_ref(), deployed.work.as_ref()),
        ("SCAN_QUEUE_URL", config.scan_queue_url.as_ref(), deployed.scans.as_ref()),
        ("OWN_ROLE_ARN", config.own_role_arn.as_ref(), deployed.role.as_ref()),
    ] {
        if let Some(expected) = expected.filter(|expected| value != Some(*expected)) {
            let value = value.map_or("not set", String::as_str);
            let words = format!("{name}: variable {variable} is {value}, not {expected}");
            findings.push(Finding::fault("function", words, &*see));
        }
    }
    let (mode, source) = match &config.mode {
        ModeSource::Fixed(mode) => (*mode, String::new()),
        ModeSource::Read(source) => match context.read(source).await.map(|text| mode(&text)) {
            Ok(Some(mode)) => (mode, format!(" {source},")),
            Ok(None) => {
                let parameter = source.to_string();
                let parameter = shell_word(parameter.trim_start_matches("ssm:"));
                let how =
                    format!("aws ssm put-parameter --name {parameter} --value report --overwrite --region {region}");
                let words = format!("{source}: the mode must be `report` or `enforce`; every event is kept");
                findings.push(Finding::fault("function", words, how));
                return (findings, None);
            }
            Err(stop) => {
                findings.push(Finding::unknown("function", format!("its mode: {}", stop.words()), stop.what_to_do()));
                return (findings, None);
            }
        },
    };
    (findings, Some((mode, source)))
}

/// Whether each queue wakes it, and a message that fails comes back alone.
async fn sources(context: &Context, deployed: &Deployed, name: &str) -> Vec<Finding> {
    let own = &context.config.own;
    let client = aws_sdk_lambda::Client::new(&context.sdk);
    let mut mappings = Vec::new();
    let read = pages::all(async |marker| {
        let asked = client.list_event_source_mappings().function_name(name).set_marker(marker).send();
        let page = logged(&CallLog::default(), "lambda:ListEventSourceMappings", asked).await?;
        mappings.extend(page.event_source_mappings.unwrap_or_default());
        Ok(page.next_marker)
    });
    if let Err(failure) = read.await {
        return vec![Finding::unobserved("source", &failure, own)];
    }
    let queues = [("work", &deployed.work), ("scan", &deployed.scans)];
    let queues = queues.into_iter().filter_map(|(what, url)| Some((what, queue_arn(url.as_deref()?, own))));
    queues.map(|(what, arn)| source(&mappings, what, &arn, name, &own.region)).collect()
}

/// One queue.
fn source(mappings: &[EventSourceMappingConfiguration], what: &str, queue: &str, name: &str, region: &str) -> Finding {
    let size = if what == "scan" { " --batch-size 1" } else { "" };
    let options = format!("--function-response-types ReportBatchItemFailures{size} --region {region}");
    let Some(mapping) = mappings.iter().find(|mapping| mapping.event_source_arn.as_deref() == Some(queue)) else {
        let how = format!(
            "aws lambda create-event-source-mapping --function-name {name} --event-source-arn {queue} {options}"
        );
        return Finding::fault("source", format!("the {what} queue does not invoke {name}"), how);
    };
    let uuid = mapping.uuid.as_deref().unwrap_or_default();
    let update = |more: &str| format!("aws lambda update-event-source-mapping --uuid {uuid} {more}");
    match mapping.state.as_deref() {
        Some("Enabled") => {}
        Some("Disabled" | "Disabling") => {
            let words = format!("the {what} queue does not invoke {name}: its event source mapping is disabled");
            return Finding::fault("source", words, update(&format!("--enabled --region {region}")));
        }
        state => {
            let words =
                format!("the event source mapping of the {what} queue is {}", state.unwrap_or("in an unknown state"));
            return Finding::unknown("source", words, "try again when that is over");
        }
    }
    if mapping.filter_criteria.as_ref().is_some_and(|criteria| !criteria.filters().is_empty()) {
        // Lambda deletes it (Lambda developer guide, event filtering with SQS).
        let words = format!(
            "the event source mapping of the {what} queue has filters: a message that they do not match never \
             reaches {name} and is deleted"
        );
        let how = update(&format!("--filter-criteria '{{}}' --region {region}"));
        return Finding::fault("source", words, how);
    }
    let alone =
        mapping.function_response_types.iter().flatten().any(|t| *t == FunctionResponseType::ReportBatchItemFailures);
    if !alone {
        let words = format!(
            "a whole batch of the {what} queue is received again when one message fails (ReportBatchItemFailures is \
             off)"
        );
        return Finding::fault("source", words, update(&options));
    }
    match mapping.batch_size {
        Some(several) if what == "scan" && several != 1 => {
            let words = format!("the scan queue hands {several} scans to one invocation, and it must be one");
            Finding::fault("source", words, update(&options))
        }
        _ => Finding::good("source", format!("the {what} queue invokes {name}")),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::types::{Filter, FilterCriteria};

    use super::*;

    #[test]
    fn a_filter_on_a_queue_is_a_fault() {
        let queue = "arn:aws:sqs:eu-west-1:111122223333:work";
        let mapping = |criteria: Option<FilterCriteria>| {
            let mapping = EventSourceMappingConfiguration::builder().uuid("u").event_source_arn(queue).state("Enabled");
            let mapping = mapping.function_response_types(FunctionResponseType::ReportBatchItemFailures);
            [mapping.set_filter_criteria(criteria).build()]
        };
        let filter = Filter::builder().pattern(r#"{"body": {"a": ["b"]}}"#).build();
        for (criteria, state) in [
            (None, How::Good),
            (Some(FilterCriteria::builder().build()), How::Good),
            (Some(FilterCriteria::builder().filters(filter).build()), How::Fault),
        ] {
            let finding = source(&mapping(criteria), "work", queue, "f", "eu-west-1");
            assert_eq!(finding.state, state, "{finding:?}");
        }
    }
}
