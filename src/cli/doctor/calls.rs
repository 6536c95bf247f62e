//! Every call that `doctor` makes.

use serde_json::Value;

use super::deployed::DoctorArguments;
use crate::cli::iam::allow;
use crate::cli::organization::LIST_ACCOUNTS;
use crate::cli::recorder::{AGGREGATORS, SELECT_AGGREGATE, SOURCES};
use crate::cli::simulator::SIMULATE;

/// About a function and what is deployed with it.
const OF_FUNCTION: [&str; 20] = [
    "cloudformation:DescribeStacks",
    "cloudformation:ListStackResources",
    "cloudtrail:DescribeTrails",
    "cloudtrail:GetEventSelectors",
    "cloudtrail:GetTrailStatus",
    "events:DescribeRule",
    "events:ListRuleNamesByTarget",
    "events:ListTargetsByRule",
    "events:TestEventPattern",
    SIMULATE,
    "kinesis:DescribeStreamSummary",
    "kinesis:ListStreams",
    "kinesis:ListTagsForStream",
    "kms:DescribeKey",
    "lambda:GetFunctionConcurrency",
    "lambda:GetFunctionConfiguration",
    "lambda:ListEventSourceMappings",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "ssm:GetParameter",
];

/// About an aggregator.
const OF_AGGREGATOR: [&str; 4] = [AGGREGATORS, SOURCES, SELECT_AGGREGATE, LIST_ACCOUNTS];

/// What it takes.
pub(crate) fn permission(arguments: &DoctorArguments) -> Value {
    let calls = if arguments.aggregator.is_some() { &OF_AGGREGATOR[..] } else { &OF_FUNCTION };
    allow("StreamsealDoctor", calls, "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file of this folder calls is named here.
    #[test]
    fn every_call_is_in_the_printed_policy() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/doctor");
        let mut requests = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for call in text.split(concat!("logg", "ed(")).skip(1) {
                let name = call.split('"').nth(1).unwrap();
                assert!(OF_FUNCTION.contains(&name), "{name}");
                requests += 1;
            }
        }
        assert!(requests > 10, "{requests}");
        let verbs = ["Describe", "Get", "List", "Select", "Simulate", "Test"];
        let reads = |call: &&str| verbs.iter().any(|verb| call.split(':').nth(1).unwrap().starts_with(verb));
        assert!(OF_FUNCTION.iter().chain(&OF_AGGREGATOR).all(reads));
    }
}
