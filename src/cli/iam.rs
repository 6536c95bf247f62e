//! `--print-iam`: the IAM policy that whoever runs a command needs. It allows what the command may call, and nothing else.

use serde_json::{Value, json};

use super::arguments::Globals;
use super::context::{given_region, policy_source, variable};
use crate::domain::arn::Scope;

/// What it takes to observe streams, as far as a policy reads tags.
pub(crate) const OBSERVE: [&str; 7] = [
    "kinesis:DescribeStreamSummary",
    "kinesis:ListStreams",
    "kinesis:ListTagsForStream",
    "kms:DescribeKey",
    "kms:GetKeyRotationStatus",
    "kms:ListAliases",
    "tag:GetResources",
];
/// What it takes to change one. CloudTrail's history says whether somebody else does so too.
const CHANGE: [&str; 2] = ["cloudtrail:LookupEvents", "kinesis:StartStreamEncryption"];
/// What it takes to write a record, and to read records.
const PROVE: [&str; 4] = ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kinesis:PutRecord"];
/// What Kinesis asks KMS for then, in the name of who called.
const RECORDS: [&str; 2] = ["kms:Decrypt", "kms:GenerateDataKey"];
/// What it takes to watch the users of a stream.
const WATCH: [&str; 3] = ["cloudwatch:GetMetricData", "kinesis:GetResourcePolicy", "kinesis:ListStreamConsumers"];

/// To observe streams.
pub(crate) fn observe() -> Value {
    allow("StreamsealObserve", &OBSERVE, "*")
}

/// To change streams, to watch their users, and to prove that it is in force.
pub(crate) fn seal() -> Vec<Value> {
    let sealing = allow("StreamsealSeal", &[&CHANGE[..], &WATCH].concat(), "*");
    [vec![observe(), sealing], prove()].concat()
}

/// To prove that encryption is in force, by a record.
pub(crate) fn prove() -> Vec<Value> {
    vec![allow("StreamsealProve", &PROVE, "*"), records()]
}

pub(crate) fn allow(sid: &str, actions: &[&str], resource: &str) -> Value {
    json!({"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resource})
}

pub(crate) fn policy(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// By way of Kinesis alone.
fn records() -> Value {
    let mut statement = allow("StreamsealRecords", &RECORDS, "*");
    if let Some(fields) = statement.as_object_mut() {
        let through = json!({"StringLike": {"kms:ViaService": "kinesis.*"}});
        fields.insert("Condition".to_owned(), through);
    }
    statement
}

/// What it takes to read the policy and the mode, where they are parameters.
pub(crate) fn parameters_of(globals: &Globals) -> Vec<Value> {
    parameters(globals, policy_source(globals).into_iter().chain(variable("MODE")))
}

/// The same of these sources.
pub(crate) fn parameters(globals: &Globals, sources: impl IntoIterator<Item = String>) -> Vec<Value> {
    let partition = given_region(globals).map_or("aws", |region| Scope::partition_of(&region));
    let resource = |source: String| {
        let name = source.strip_prefix("ssm:")?.trim_start_matches('/');
        Some(format!("arn:{partition}:ssm:*:*:parameter/{name}"))
    };
    let resources: Vec<String> = sources.into_iter().filter_map(resource).collect();
    let statement = json!({
        "Sid": "StreamsealParameters", "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": resources,
    });
    if resources.is_empty() { Vec::new() } else { vec![statement] }
}
