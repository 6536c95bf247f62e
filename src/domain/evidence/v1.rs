//! The wire form of evidence, `streamseal.evidence/v1`. Frozen: fields may be added, none is renamed, moved or given
//! another meaning; that takes a `v2` beside it.

use jiff::Timestamp;
use jiff::civil::Date;
#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use super::super::model::{Encryption, KeyIdentity, Mode, ProofMode, Tags};
use super::exposure::Exposure;
use super::guard::GuardWire;
use super::known::KeyWire;
use super::{Evidence, Proof, Setting};
#[cfg(feature = "schema")]
use super::{ProofState, Remediation};
use crate::domain::call::Call;
use crate::domain::policy::Exemption;
use crate::domain::remedy::advice::{AtSource, Remedy};
use crate::domain::runner::Function;
use crate::domain::text::EventText;
use crate::domain::time::Time;
use crate::domain::traffic::judge::Health;
#[cfg(feature = "schema")]
use crate::domain::verdict::{Action, Compliance, Reason};
use crate::domain::verdict::{Withheld, Would};

/// The document's name and version.
pub const SCHEMA: &str = "streamseal.evidence/v1";

/// What one run of Streamseal saw of one stream, did about it and can prove: a line of the log, the answer of an invocation, and the
/// detail of the event `Streamseal Evidence`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(title = "Streamseal evidence, version 1"))]
pub struct Document<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    schema: &'static str,
    /// The document's own id: no other document has it.
    id: &'a str,
    /// When the run ended.
    time: Time,
    /// AWS Config's word.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::COMPLIANCE.map(Compliance::as_str))))]
    compliance: &'static str,
    /// Why, in a stable word.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::REASON.map(Reason::as_str))))]
    reason: &'static str,
    /// Why, in a sentence for people.
    annotation: &'a str,
    /// Whether somebody has to act.
    alarm: bool,
    run: Run<'a>,
    stream: Stream<'a>,
    cause: Cause<'a>,
    policy: Policy<'a>,
    /// Why the rule that decided did, in sentences.
    reasons: &'a [String],
    /// The setting at the first observation.
    before: Option<SettingWire<'a>>,
    /// Why the stream may be as it is, where its rule exempts it.
    exemption: Option<ExemptionWire<'a>>,
    /// The key that the rule requires.
    desired: Option<Desired<'a>>,
    /// The keys that matter for the stream, as far as KMS said what they are.
    keys: Vec<KeyWire<'a>>,
    /// Every request that was answered or failed, in their order.
    calls: Vec<CallWire<'a>>,
    /// The setting at the last observation.
    after: Option<SettingWire<'a>>,
    proof: ProofWire<'a>,
    remediation: RemediationWire,
    /// What a run in the mode `enforce` does about the stream, or would do; `null` where nothing is due.
    would: Option<WouldWire>,
    /// What else has to be known, for people.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    /// How producers fare since this run moved the stream from one key to another; `unknown` where that is not watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("enum" = Health::ALL.map(Health::as_str))))]
    producers: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "GuardWire<'static>"))]
    guard: Option<GuardWire<'a>>,
    /// The command that says which producers and consumers may use that key, and what to add for the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    impact: Option<String>,
    /// After a re-key of ours: until then records under the key before may be in the stream, and nobody can read them without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Time"))]
    previous_key_needed_until: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Exposure"))]
    exposure: Option<Exposure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "AtSource"))]
    at_source: Option<&'a AtSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "RemedyWire<'static>"))]
    remedy: Option<RemedyWire<'a>>,
}

/// The run.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Run<'a> {
    /// The invocation's id.
    id: &'a str,
    /// The program and its version.
    tool: &'static str,
    /// The ARN of the role that ran it, or of the caller of a command; `null` where that is not known without a call.
    actor: Option<&'a str>,
    /// The function on Lambda; `null` for a command.
    function: Option<&'a Function>,
    mode: Mode,
    /// How many runs there were before, for the same cause.
    attempt: u32,
    started_at: Time,
    finished_at: Time,
    duration_ms: i64,
}

/// The stream.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Stream<'a> {
    arn: String,
    name: &'a str,
    account: &'a str,
    region: &'a str,
    /// `StreamCreationTimestamp`, where the stream was seen.
    created_at: Option<Time>,
}

/// What woke the first run.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Cause<'a> {
    /// The call that an event reported, or the command.
    call: &'a str,
    /// EventBridge's id of that event.
    event_id: Option<&'a str>,
    /// Who called.
    actor: Option<&'a str>,
    /// When.
    at: Option<Time>,
    /// When the first run for this cause began.
    first_seen: Time,
    /// EventBridge's ids of other events about the stream that came with this one: this run answers them too.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    also: &'a [EventText],
}

/// The policy, and what decided in it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Policy<'a> {
    source: &'a str,
    /// `sha256:` and the digest of its text.
    digest: &'a str,
    rule: Option<&'a str>,
    /// Counted from 0.
    rule_index: Option<usize>,
    /// The stream's tags that this rule reads: those that it matches by, and those that its key is named by.
    #[cfg_attr(feature = "schema", schemars(with = "std::collections::BTreeMap<String, String>"))]
    tags: &'a Tags,
}

/// Why a stream may be as it is.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct ExemptionWire<'a> {
    /// As the policy has it.
    pub reason: &'a str,
    /// Who answers for it.
    pub owner: Option<&'a str>,
    /// The last day on which it holds, UTC.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::domain::time::Day>"))]
    pub until: Option<Date>,
}

impl<'a> From<&'a Exemption> for ExemptionWire<'a> {
    fn from(Exemption { reason, owner, until }: &'a Exemption) -> Self {
        Self { reason, owner: owner.as_deref(), until: *until }
    }
}

/// A stream's setting at one observation.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct SettingWire<'a> {
    /// `StreamStatus`.
    status: String,
    /// `EncryptionType`: `NONE`, `KMS`, or what else Kinesis said.
    encryption_type: &'a str,
    /// `KeyId`, as the setting has it.
    key_id: Option<&'a str>,
    /// Which key that is.
    key_arn: Option<&'a str>,
    /// The material that this key encrypts with now, where KMS said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    key_material_id: Option<&'a str>,
    at: Time,
}

/// The key that the rule requires.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Desired<'a> {
    /// As the rule names it.
    key: &'a str,
    /// Which key that is, where KMS said so.
    key_arn: Option<&'a str>,
}

/// One request.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct CallWire<'a> {
    /// `service:Operation`, as IAM writes it.
    call: &'a str,
    at: Time,
    duration_ms: u64,
    /// The service's id of the request, by which CloudTrail has it too.
    request_id: Option<&'a str>,
    /// `ok`, or the error's code.
    result: &'a str,
    /// The error's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    message: Option<&'a str>,
}

/// What can be said of the records, apart from the setting: that they are encrypted, not with which key.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct ProofWire<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::PROOF.map(ProofState::as_str))))]
    state: &'static str,
    mode: Option<ProofMode>,
    shard_id: Option<&'a str>,
    sequence_number: Option<&'a str>,
    /// The record's own `EncryptionType`.
    encryption_type: Option<&'a str>,
    /// When the record was put.
    at: Option<Time>,
}

/// What was done about a wrong setting.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct RemediationWire {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::REMEDIATION.map(Remediation::as_str))))]
    state: &'static str,
    /// Why the change was not made, on purpose, by this run in its mode.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::withheld())))]
    withheld: Option<&'static str>,
    /// When the function observes again by itself.
    next_run_at: Option<Time>,
}

/// What a run in the mode `enforce` does about a stream.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct WouldWire {
    /// `encrypt` with its first key, `re-key` to another one, `wait` and observe again.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Action::ALL.map(Action::as_str))))]
    pub action: &'static str,
    /// Why that run would not do it either, as far as this one knows. CloudTrail's history and the guard are asked only by a run that
    /// changes.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = words::withheld())))]
    pub withheld: Option<&'static str>,
}

impl From<Would> for WouldWire {
    fn from(Would { action, withheld }: Would) -> Self {
        Self { action: action.as_str(), withheld: withheld.map(Withheld::as_str) }
    }
}

/// What to do about the stream.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct RemedyWire<'a> {
    /// What it is about: `source` is the stream's setting (then there is `at_source` too), `key` and `alias` the key that cannot be
    /// used and the alias that points to it, `permission` one of the caller, `rule` the rule that decided.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = Remedy::ABOUT)))]
    about: &'static str,
    /// What to do, in words.
    text: &'a str,
    /// Shell commands; each by itself is enough.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<&'a str>,
    /// The statement to add to the policy that the words name, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    statement: Option<&'a str>,
}

/// Every word that stands in a document, for its schema; `tests/core/sim` holds the documents to it.
#[cfg(feature = "schema")]
pub(crate) mod words {
    use super::super::{ProofState, Remediation};
    use crate::domain::verdict::{Compliance, Reason, Withheld};

    pub(crate) const COMPLIANCE: [Compliance; 4] =
        [Compliance::Compliant, Compliance::NonCompliant, Compliance::NotApplicable, Compliance::InsufficientData];

    pub(crate) const REASON: [Reason; 30] = [
        Reason::StreamGone,
        Reason::Exempt,
        Reason::Unmatched,
        Reason::KeyUnresolvable,
        Reason::KeyMissing,
        Reason::KeyUnusable,
        Reason::Unreadable,
        Reason::RightKey,
        Reason::AcceptedKey,
        Reason::NotEncrypted,
        Reason::WrongKey,
        Reason::ForeignKey,
        Reason::Settling,
        Reason::Overtaken,
        Reason::Contested,
        Reason::StartRefused,
        Reason::Unproven,
        Reason::ProofImpossible,
        Reason::ProofUnclear,
        Reason::Idle,
        Reason::Unwritable,
        Reason::PutBack,
        Reason::AccessDenied,
        Reason::GaveUp,
        Reason::Unfinished,
        Reason::Watching,
        Reason::Broken,
        Reason::Restored,
        Reason::Inconclusive,
        Reason::Halted,
    ];

    pub(super) const PROOF: [ProofState; 6] = [
        ProofState::Proven,
        ProofState::Observed,
        ProofState::Described,
        ProofState::Owed,
        ProofState::Failed,
        ProofState::NotSought,
    ];

    pub(super) const REMEDIATION: [Remediation; 6] = [
        Remediation::None,
        Remediation::Applied,
        Remediation::Started,
        Remediation::Failed,
        Remediation::Withheld,
        Remediation::Due,
    ];

    /// With the one that says that nothing was withheld.
    pub(super) fn withheld() -> [Option<&'static str>; 13] {
        let mut words = [None; 13];
        words.iter_mut().zip(Withheld::ALL).for_each(|(word, why)| *word = Some(why.as_str()));
        words
    }
}

/// A document as it is written.
pub fn document(evidence: &Evidence) -> String {
    // Plain data: it always has a JSON form.
    serde_json::to_string(&Document::from(evidence)).unwrap_or_default()
}

impl<'a> From<&'a Evidence> for Document<'a> {
    fn from(evidence: &'a Evidence) -> Self {
        let verdict = &evidence.verdict;
        Self {
            schema: SCHEMA,
            id: &evidence.id,
            time: Time(evidence.finished_at),
            compliance: verdict.compliance.as_str(),
            reason: verdict.reason.as_str(),
            annotation: &verdict.detail,
            alarm: verdict.alarm,
            run: Run {
                id: &evidence.run_id,
                tool: concat!("streamseal/", env!("CARGO_PKG_VERSION")),
                actor: evidence.runner.actor.as_deref(),
                function: evidence.runner.function.as_ref(),
                mode: evidence.mode,
                attempt: evidence.attempt,
                started_at: Time(evidence.started_at),
                finished_at: Time(evidence.finished_at),
                duration_ms: millis(evidence.started_at, evidence.finished_at),
            },
            stream: Stream {
                arn: evidence.stream.to_string(),
                name: evidence.stream.name.as_str(),
                account: &evidence.stream.scope.account,
                region: &evidence.stream.scope.region,
                created_at: evidence.before.as_ref().map(|b| Time(b.observed.created)),
            },
            cause: Cause {
                call: evidence.cause.call.as_str(),
                event_id: evidence.cause.event_id.as_ref().map(|id| id.as_str()),
                actor: evidence.cause.actor.as_ref().map(|actor| actor.as_str()),
                at: evidence.cause.at.map(Time),
                first_seen: Time(evidence.first_seen),
                also: &evidence.also,
            },
            policy: Policy {
                source: &evidence.policy_source,
                digest: &evidence.policy_digest,
                rule: evidence.rule.as_ref().map(|(_, name)| name.as_str()),
                rule_index: evidence.rule.as_ref().map(|(index, _)| *index),
                tags: &evidence.tags,
            },
            reasons: &evidence.reasons,
            before: evidence.before.as_ref().map(setting),
            desired: evidence
                .desired
                .as_ref()
                .map(|(key, identity)| Desired { key: key.as_str(), key_arn: identity.as_ref().and_then(key_arn) }),
            exemption: evidence.exemption.as_ref().map(ExemptionWire::from),
            keys: evidence.keys.iter().map(KeyWire::from).collect(),
            calls: evidence.calls.iter().map(call).collect(),
            after: evidence.after.as_ref().map(setting),
            proof: proof(&evidence.proof),
            remediation: RemediationWire {
                state: evidence.remediation.as_str(),
                withheld: verdict.withheld.map(|why| why.as_str()),
                next_run_at: evidence.next_run.map(Time),
            },
            would: verdict.would.map(WouldWire::from),
            warnings: &evidence.warnings,
            producers: evidence.rekeyed.then(|| producers(evidence)),
            guard: evidence.guard.as_ref().map(GuardWire::from),
            impact: evidence.rekeyed.then(|| evidence.impact()),
            previous_key_needed_until: evidence.previous_key_needed_until.map(Time),
            exposure: exposure(evidence),
            at_source: evidence.remedy.at_source(),
            remedy: remedy(&evidence.remedy),
        }
    }
}

fn exposure(evidence: &Evidence) -> Option<Exposure> {
    let (before, after) = (evidence.before.as_ref(), evidence.after.as_ref());
    Exposure::of(&evidence.cause, before.map(|setting| &setting.observed), after.map(|setting| &setting.observed))
}

fn producers(evidence: &Evidence) -> &'static str {
    let guard = evidence.guard.as_ref().filter(|guard| guard.watch.is_some());
    guard.and_then(|guard| guard.users.as_ref()).map_or(Health::Unknown, |users| users.producers.health).as_str()
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
        at: Time(setting.observed.at),
    }
}

fn call(call: &Call) -> CallWire<'_> {
    CallWire {
        call: call.call,
        at: Time(call.at),
        duration_ms: u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX),
        request_id: call.request_id.as_deref(),
        result: call.error.as_ref().map_or("ok", |failure| failure.code.as_str()),
        message: call.error.as_ref().map(|failure| failure.message.as_str()),
    }
}

fn proof(proof: &Proof) -> ProofWire<'_> {
    ProofWire {
        state: proof.state.as_str(),
        mode: proof.mode,
        shard_id: proof.shard_id.as_deref(),
        sequence_number: proof.sequence_number.as_deref(),
        encryption_type: proof.encryption_type.as_ref().map(|t| t.as_str()),
        at: proof.at.map(Time),
    }
}

fn remedy(remedy: &Remedy) -> Option<RemedyWire<'_>> {
    let (about, text) = (remedy.about()?, remedy.text()?);
    Some(RemedyWire { about, text, commands: remedy.commands(), statement: remedy.statement() })
}
