//! What is deployed, by its names: as the arguments and variables say, as CloudFormation says of a stack, and as the function's
//! own configuration says. Reads only.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::Client;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;

use super::finding::{Finding, is_absent};
use crate::aws::logged;
use crate::cli::arguments::options;
use crate::cli::context::{Context, variable};
use crate::cli::pages;
use crate::domain::arn::Scope;
use crate::domain::failure::Failure;
use crate::ports::CallLog;

const CODES: &str = "Exit codes: 0 no fault, 1 failure, 2 usage, 3 a fault was found, 4 no fault, but something could \
                     not be \
                            observed.";

/// Says whether events reach the function and whether it has its permissions, and how to fix what is wrong
#[derive(Debug, clap::Args)]
#[command(after_help = CODES)]
pub(crate) struct DoctorArguments {
    /// The stack that the function was deployed with
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The function: the stack's output FunctionName
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// The work queue: the stack's output WorkQueueUrl [env: WORK_QUEUE_URL]
    #[arg(long, value_name = "URL")]
    queue_url: Option<String>,
    /// The scan queue: the stack's output ScanQueueUrl [env: SCAN_QUEUE_URL]
    #[arg(long, value_name = "URL")]
    scan_queue_url: Option<String>,
    /// The function's role: the stack's output RoleArn [env: OWN_ROLE_ARN]
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Check this aggregator of AWS Config and nothing else: whether it covers the organization, and records streams, keys and aliases
    #[arg(long, value_name = "NAME", conflicts_with_all = ["stack", "function", "queue_url", "scan_queue_url", "role"])]
    pub(super) aggregator: Option<String>,
}

impl DoctorArguments {
    /// The options of the same check again.
    pub(super) fn again(&self) -> String {
        let Self { stack, function, queue_url, scan_queue_url, role, aggregator } = self;
        let given = [("stack", stack), ("function", function), ("queue-url", queue_url), ("role", role)];
        let more = [("scan-queue-url", scan_queue_url), ("aggregator", aggregator)];
        given.into_iter().chain(more).map(|(flag, value)| options(flag, value)).collect()
    }
}

/// The names of its parts, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Deployed {
    /// The function's name, and how it is configured.
    pub(super) function: Option<String>,
    pub(super) configuration: Option<GetFunctionConfigurationOutput>,
    /// An ARN.
    pub(super) role: Option<String>,
    /// The URLs of the queues of work and of scans, and of the one that takes what EventBridge cannot deliver.
    pub(super) work: Option<String>,
    pub(super) scans: Option<String>,
    pub(super) undelivered: Option<String>,
    /// Those of what fails in them.
    pub(super) dead_letters: Option<String>,
    pub(super) scan_dead_letters: Option<String>,
    /// The name of the group of its log.
    pub(super) log_group: Option<String>,
    /// The stack's rules: names by the resources of the template.
    pub(super) rules: BTreeMap<String, String>,
}

impl Deployed {
    /// A variable of the function.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let environment = self.configuration.as_ref()?.environment.as_ref()?;
        environment.variables.as_ref()?.get(name).cloned().filter(|value| !value.is_empty())
    }
}

/// Finds it. An argument goes before the stack, the stack before the function's configuration, and that before the variables of
/// whoever asks, which may be of another deployment.
pub(super) async fn deployed(context: &Context, arguments: &DoctorArguments) -> (Deployed, Vec<Finding>) {
    let mut found = Deployed {
        function: arguments.function.clone(),
        role: arguments.role.clone(),
        work: arguments.queue_url.clone(),
        scans: arguments.scan_queue_url.clone(),
        ..Deployed::default()
    };
    let mut findings = Vec::new();
    if let Some(name) = &arguments.stack {
        findings.extend(stack(context, name, &mut found).await);
    }
    if let Some(name) = found.function.clone() {
        findings.extend(configuration(context, &name, &mut found).await);
    }
    found.role = found.role.or_else(|| variable("OWN_ROLE_ARN"));
    found.work = found.work.or_else(|| variable("WORK_QUEUE_URL"));
    found.scans = found.scans.or_else(|| variable("SCAN_QUEUE_URL"));
    (found, findings)
}

/// The outputs and the rules of a stack.
async fn stack(context: &Context, name: &str, found: &mut Deployed) -> Vec<Finding> {
    let (own, log) = (&context.config.own, CallLog::default());
    let client = Client::new(&context.sdk);
    let asked = client.describe_stacks().stack_name(name).send();
    let stack = match logged(&log, "cloudformation:DescribeStacks", asked).await {
        Ok(answer) => answer.stacks.unwrap_or_default().into_iter().next(),
        Err(failure) if is_absent(&failure) => None,
        Err(failure) => return vec![Finding::unobserved("stack", &failure, own)],
    };
    let region = &own.region;
    let Some(stack) = stack else {
        let how =
            format!("name one of: aws cloudformation describe-stacks --query 'Stacks[].StackName' --region {region}");
        return vec![Finding::fault("stack", format!("there is no stack {name} in {region}"), how)];
    };
    for output in stack.outputs.unwrap_or_default() {
        let value = output.output_value;
        let known = match output.output_key.as_deref() {
            Some("FunctionName") => &mut found.function,
            Some("RoleArn") => &mut found.role,
            Some("WorkQueueUrl") => &mut found.work,
            Some("ScanQueueUrl") => &mut found.scans,
            Some("UndeliveredQueueUrl") => &mut found.undelivered,
            Some("DeadLetterQueueUrl") => &mut found.dead_letters,
            Some("ScanDeadLetterQueueUrl") => &mut found.scan_dead_letters,
            Some("LogGroupName") => &mut found.log_group,
            _ => continue,
        };
        *known = known.take().or(value);
    }
    if let Err(failure) = rules(&client, name, found).await {
        return vec![Finding::unobserved("stack", &failure, own)];
    }
    let status = stack.stack_status.map(|status| status.as_str().to_owned()).unwrap_or_default();
    vec![if found.work.is_none() || found.function.is_none() {
        let how = "name the stack that `sam deploy` made of template.yaml";
        let words = format!("{name} has no output WorkQueueUrl or FunctionName: it is not a stack of Streamseal");
        Finding::fault("stack", words, how)
    } else if status.ends_with("_IN_PROGRESS") {
        Finding::unknown("stack", format!("{name} is being changed ({status})"), "try again when that is over")
    } else if status.ends_with("_FAILED") || status == "ROLLBACK_COMPLETE" {
        let how = format!(
            "see why, then deploy it again: aws cloudformation describe-stack-events --stack-name {name} --region {region}"
        );
        Finding::fault("stack", format!("{name} is {status}"), how)
    } else {
        Finding::good("stack", format!("{name} is {status}"))
    }]
}

/// The rules among a stack's resources.
async fn rules(client: &Client, name: &str, found: &mut Deployed) -> Result<(), Failure> {
    pages::all(async |token| {
        let asked = client.list_stack_resources().stack_name(name).set_next_token(token).send();
        let page = logged(&CallLog::default(), "cloudformation:ListStackResources", asked).await?;
        for resource in page.stack_resource_summaries.unwrap_or_default() {
            if let (Some("AWS::Events::Rule"), Some(logical), Some(physical)) =
                (resource.resource_type.as_deref(), resource.logical_resource_id, resource.physical_resource_id)
            {
                found.rules.insert(logical, physical);
            }
        }
        Ok(page.next_token)
    })
    .await
}

/// The function's configuration, and what it says of the rest.
async fn configuration(context: &Context, name: &str, found: &mut Deployed) -> Vec<Finding> {
    let (own, log) = (&context.config.own, CallLog::default());
    let client = aws_sdk_lambda::Client::new(&context.sdk);
    let asked = client.get_function_configuration().function_name(name).send();
    match logged(&log, "lambda:GetFunctionConfiguration", asked).await {
        Ok(answer) => {
            found.role = found.role.take().or_else(|| answer.role.clone());
            found.configuration = Some(answer);
            found.work = found.work.take().or_else(|| found.variable("WORK_QUEUE_URL"));
            found.scans = found.scans.take().or_else(|| found.variable("SCAN_QUEUE_URL"));
            Vec::new()
        }
        Err(failure) if is_absent(&failure) => {
            let words = format!("there is no function {name} in {}", own.region);
            vec![Finding::fault("function", words, "deploy the stack: sam build && sam deploy")]
        }
        Err(failure) => vec![Finding::unobserved("function", &failure, own)],
    }
}

/// The ARN of a queue, by its URL.
pub(super) fn queue_arn(url: &str, own: &Scope) -> String {
    let Scope { partition, region, account } = own;
    let name = url.rsplit('/').next().unwrap_or_default();
    format!("arn:{partition}:sqs:{region}:{account}:{name}")
}
