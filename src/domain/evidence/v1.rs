//! The wire form of evidence, `streamseal.evidence/v1`. Frozen: fields may be added, none is renamed, moved or given
//! another meaning; that takes a `v2` beside it.

use jiff::Timestamp;
use serde::Serialize;

use super::super::model::{Encryption, KeyIdentity, Mode, ProofMode, StreamArn};
use super::{Call, Evidence, Proof, Setting};

/// The document's name and version.
pub const SCHEMA: &str = "streamseal.evidence/v1";

/// One document, ready to be serialised.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    compliance: &'static str,
    reason: &'static str,
    annotation: &'a str,
    alarm: bool,
    run: Run<'a>,
    stream: Stream<'a>,
    cause: Cause<'a>,
    policy: Policy<'a>,
    reasons: &'a [String],
    before: Option<SettingWire<'a>>,
    desired: Option<Desired<'a>>,
    calls: Vec<CallWire<'a>>,
    after: Option<SettingWire<'a>>,
    proof: ProofWire<'a>,
    remediation: RemediationWire,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    producers: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_source: Option<AtSource>,
}

#[derive(Debug, Serialize)]
struct Run<'a> {
    id: &'a str,
    tool: &'static str,
    mode: Mode,
    attempt: u32,
    started_at: Timestamp,
    finished_at: Timestamp,
    duration_ms: i64,
}

#[derive(Debug, Serialize)]
struct Stream<'a> {
    arn: String,
    name: &'a str,
    account: &'a str,
    region: &'a str,
    created_at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct Cause<'a> {
    call: &'a str,
    event_id: Option<&'a str>,
    actor: Option<&'a str>,
    at: Option<Timestamp>,
    first_seen: Timestamp,
}

#[derive(Debug, Serialize)]
struct Policy<'a> {
    source: &'a str,
    digest: &'a str,
    rule: Option<&'a str>,
    rule_index: Option<usize>,
}

#[derive(Debug, Serialize)]
struct SettingWire<'a> {
    status: String,
    encryption_type: &'a str,
    key_id: Option<&'a str>,
    key_arn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_material_id: Option<&'a str>,
    at: Timestamp,
}

#[derive(Debug, Serialize)]
struct Desired<'a> {
    key: &'a str,
    key_arn: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct CallWire<'a> {
    call: &'a str,
    at: Timestamp,
    duration_ms: u64,
    request_id: Option<&'a str>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ProofWire<'a> {
    state: &'static str,
    mode: Option<ProofMode>,
    shard_id: Option<&'a str>,
    sequence_number: Option<&'a str>,
    encryption_type: Option<&'a str>,
    at: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct RemediationWire {
    state: &'static str,
    withheld: Option<&'static str>,
    next_look_at: Option<Timestamp>,
}

/// The change at the source that keeps the next apply from undoing ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AtSource {
    /// The attributes of `aws_kinesis_stream`.
    pub terraform: String,
    /// The property of `AWS::Kinesis::Stream`.
    pub cloudformation: String,
    /// The call.
    pub cli: String,
}

impl<'a> From<&'a Evidence> for Document<'a> {
    fn from(evidence: &'a Evidence) -> Self {
        let verdict = &evidence.verdict;
        let wanted = evidence.desired.as_ref().and_then(|(_, identity)| identity.as_ref());
        let differs = evidence.before.as_ref().is_some_and(|before| before.key.as_ref() != wanted);
        Self {
            schema: SCHEMA,
            compliance: verdict.compliance.as_str(),
            reason: verdict.reason.as_str(),
            annotation: &verdict.detail,
            alarm: verdict.alarm,
            run: Run {
                id: &evidence.run_id,
                tool: concat!("streamseal/", env!("CARGO_PKG_VERSION")),
                mode: evidence.mode,
                attempt: evidence.attempt,
                started_at: evidence.started_at,
                finished_at: evidence.finished_at,
                duration_ms: millis(evidence.started_at, evidence.finished_at),
            },
            stream: Stream {
                arn: evidence.stream.to_string(),
                name: evidence.stream.name.as_str(),
                account: &evidence.stream.scope.account,
                region: &evidence.stream.scope.region,
                created_at: evidence.before.as_ref().map(|b| b.observed.created),
            },
            cause: Cause {
                call: evidence.cause.call.as_str(),
                event_id: evidence.cause.event_id.as_ref().map(|id| id.as_str()),
                actor: evidence.cause.actor.as_ref().map(|actor| actor.as_str()),
                at: evidence.cause.at,
                first_seen: evidence.first_seen,
            },
            policy: Policy {
                source: &evidence.policy_source,
                digest: &evidence.policy_digest,
                rule: evidence.rule.as_ref().map(|(_, name)| name.as_str()),
                rule_index: evidence.rule.as_ref().map(|(index, _)| *index),
            },
            reasons: &evidence.reasons,
            before: evidence.before.as_ref().map(setting),
            desired: evidence
                .desired
                .as_ref()
                .map(|(key, identity)| Desired { key: key.as_str(), key_arn: identity.as_ref().and_then(key_arn) }),
            calls: evidence.calls.iter().map(call).collect(),
            after: evidence.after.as_ref().map(setting),
            proof: proof(&evidence.proof),
            remediation: RemediationWire {
                state: evidence.remediation.as_str(),
                withheld: verdict.withheld.map(|why| why.as_str()),
                next_look_at: evidence.next_look,
            },
            warnings: &evidence.warnings,
            producers: evidence.rekeyed.then_some("unknown"),
            at_source: wanted.filter(|_| differs).map(|key| at_source(key, &evidence.stream)),
        }
    }
}

fn millis(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

fn key_arn(identity: &KeyIdentity) -> Option<&str> {
    match identity {
        KeyIdentity::Arn(arn) => Some(arn.as_str()),
        KeyIdentity::AwsManagedAlias => None,
    }
}

fn setting(setting: &Setting) -> SettingWire<'_> {
    let (encryption_type, key_id) = match &setting.observed.encryption {
        Encryption::None => ("NONE", None),
        Encryption::Kms(key) => ("KMS", Some(key.as_str())),
        Encryption::Unreadable(text) => (text.as_str(), None),
    };
    SettingWire {
        status: setting.observed.status.to_string(),
        encryption_type,
        key_id,
        key_arn: setting.key.as_ref().and_then(key_arn),
        key_material_id: setting.material.as_ref().map(|id| id.as_str()),
        at: setting.observed.at,
    }
}

fn call(call: &Call) -> CallWire<'_> {
    CallWire {
        call: call.call,
        at: call.at,
        duration_ms: u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX),
        request_id: call.request_id.as_deref(),
        result: call.error.as_ref().map_or("ok", |(code, _)| code.as_str()),
        message: call.error.as_ref().map(|(_, message)| message.as_str()),
    }
}

fn proof(proof: &Proof) -> ProofWire<'_> {
    ProofWire {
        state: proof.state.as_str(),
        mode: proof.mode,
        shard_id: proof.shard_id.as_deref(),
        sequence_number: proof.sequence_number.as_deref(),
        encryption_type: proof.encryption_type.as_ref().map(|t| t.as_str()),
        at: proof.at,
    }
}

impl Document<'_> {
    /// The change to make at the source, where the setting differs from what is wanted or is contested.
    pub fn at_source(&self) -> Option<&AtSource> {
        self.at_source.as_ref()
    }
}

/// Terraform's and CloudFormation's defaults are *no encryption*: without this their next apply plans to remove it.
pub fn at_source(key: &KeyIdentity, stream: &StreamArn) -> AtSource {
    AtSource {
        terraform: format!("aws_kinesis_stream: encryption_type = \"KMS\", kms_key_id = \"{key}\""),
        cloudformation: format!("AWS::Kinesis::Stream: StreamEncryption: {{ EncryptionType: KMS, KeyId: \"{key}\" }}"),
        cli: format!(
            "aws kinesis start-stream-encryption --stream-arn {stream} --encryption-type KMS --key-id {key} --region {}",
            stream.scope.region
        ),
    }
}
