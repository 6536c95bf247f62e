//! Every call of `impact`, and the statement that lets an operator make them.

use crate::cli::simulator::SIMULATE;

pub(super) const DESCRIBE_STREAM: &str = "kinesis:DescribeStreamSummary";
pub(super) const LIST_TAGS: &str = "kinesis:ListTagsForStream";
pub(super) const LIST_CONSUMERS: &str = "kinesis:ListStreamConsumers";
pub(super) const GET_RESOURCE_POLICY: &str = "kinesis:GetResourcePolicy";
pub(super) const LIST_CHANNELS: &str = "kinesis:ListChannels";
pub(super) const DESCRIBE_CHANNEL: &str = "kinesis:DescribeChannel";
pub(super) const LIST_MAPPINGS: &str = "lambda:ListEventSourceMappings";
pub(super) const GET_FUNCTION: &str = "lambda:GetFunctionConfiguration";
pub(super) const LIST_DELIVERY_STREAMS: &str = "firehose:ListDeliveryStreams";
pub(super) const DESCRIBE_DELIVERY_STREAM: &str = "firehose:DescribeDeliveryStream";
pub(super) const LIST_PIPES: &str = "pipes:ListPipes";
pub(super) const DESCRIBE_PIPE: &str = "pipes:DescribePipe";
pub(super) const LIST_BUSES: &str = "events:ListEventBuses";
pub(super) const LIST_RULE_NAMES: &str = "events:ListRuleNamesByTarget";
pub(super) const LIST_TARGETS: &str = "events:ListTargetsByRule";
pub(super) const DESCRIBE_DESTINATIONS: &str = "logs:DescribeDestinations";
pub(super) const DESCRIBE_ACCOUNT_POLICIES: &str = "logs:DescribeAccountPolicies";
pub(super) const LOOKUP_EVENTS: &str = "cloudtrail:LookupEvents";
pub(super) const DESCRIBE_KEY: &str = "kms:DescribeKey";
pub(super) const GET_KEY_POLICY: &str = "kms:GetKeyPolicy";
pub(super) const LIST_GRANTS: &str = "kms:ListGrants";
pub(super) const AUTHORIZATION_DETAILS: &str = "iam:GetAccountAuthorizationDetails";

/// All of them. `sts:GetCallerIdentity` needs no permission.
pub(super) const ALL: [&str; 23] = [
    LOOKUP_EVENTS,
    LIST_BUSES,
    LIST_RULE_NAMES,
    LIST_TARGETS,
    DESCRIBE_DELIVERY_STREAM,
    LIST_DELIVERY_STREAMS,
    AUTHORIZATION_DETAILS,
    SIMULATE,
    DESCRIBE_CHANNEL,
    DESCRIBE_STREAM,
    GET_RESOURCE_POLICY,
    LIST_CHANNELS,
    LIST_CONSUMERS,
    LIST_TAGS,
    DESCRIBE_KEY,
    GET_KEY_POLICY,
    LIST_GRANTS,
    GET_FUNCTION,
    LIST_MAPPINGS,
    DESCRIBE_ACCOUNT_POLICIES,
    DESCRIBE_DESTINATIONS,
    DESCRIBE_PIPE,
    LIST_PIPES,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Each request goes by a name of this file, and each name is in the printed statement.
    #[test]
    fn every_call_is_in_the_printed_policy() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/impact");
        let (mut files, mut requests) = (0, 0);
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let calls = text.split("logged(&CallLog::default(), ").skip(1);
            let named: Vec<&str> = calls.map(|rest| rest.split(',').next().unwrap()).collect();
            for name in &named {
                let is_constant = name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
                assert!(is_constant || text.contains("fn every_call_is_in_the_printed_policy"), "{name}");
                requests += usize::from(is_constant);
            }
            files += 1;
        }
        assert!(files >= 10 && requests >= 16, "{files} files, {requests} requests");
        let (code, _) = include_str!("calls.rs").split_once("#[cfg(test)]").unwrap();
        // The simulator's name is in its own file.
        assert_eq!(code.matches(": &str = \"").count() + 1, ALL.len(), "each constant is in ALL");
        let once: std::collections::BTreeSet<&str> = ALL.into_iter().collect();
        assert_eq!(once.len(), ALL.len());
    }

    #[test]
    fn what_is_called_reads_and_changes_nothing() {
        for action in ALL {
            let operation = action.split(':').nth(1).unwrap();
            let reads = ["Describe", "Get", "List", "Lookup", "Simulate"];
            assert!(reads.iter().any(|verb| operation.starts_with(verb)), "{operation}");
        }
    }
}
