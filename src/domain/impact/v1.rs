//! The wire form of a report, `streamseal.impact/v1`. Fields may be added; none is renamed, moved or given another meaning.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use super::judge::{Judged, Verdict};
use super::report::{Counts, Report};
use crate::domain::time::Time;

/// The document's name and version.
pub const SCHEMA: &str = "streamseal.impact/v1";

#[cfg(feature = "schema")]
const ACCESS: [&str; 5] = ["keeps", "loses", "gains", "not-needed", "unknown"];

/// Who would lose access to one stream if it moved to a key: a document of `streamseal impact --json`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema), schemars(title = "Streamseal impact, version 1"))]
pub struct Document<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("const" = SCHEMA)))]
    schema: &'static str,
    /// An id that no other document has.
    id: &'a str,
    /// When the report was made.
    time: Time,
    /// The stream's ARN.
    stream: String,
    /// Its setting now.
    current: Current<'a>,
    /// The key that the stream would move to: its ARN, or `alias/aws/kinesis` while KMS has not created that key.
    target: &'a str,
    /// How far back CloudTrail was read.
    since: Time,
    /// `loss` where somebody loses access; `unknown` where no loss was found and something is not known or was not checked.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["loss", "unknown", "no-loss"])))]
    outcome: &'static str,
    counts: CountsWire,
    /// Who uses the stream, those who lose access first.
    findings: Vec<FindingWire<'a>>,
    /// Where users may be that were not found.
    not_checked: Vec<NotCheckedWire<'a>>,
    /// What else has to be known, in sentences.
    notes: &'a [String],
    /// What to do first, in sentences.
    advice: &'a [String],
}

/// A setting.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct Current<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["NONE", "KMS"])))]
    encryption: &'static str,
    /// The key, where it is known.
    key: Option<&'a str>,
}

/// How many of each.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct CountsWire {
    /// The change takes their access away.
    loses: usize,
    /// They have none now, nor afterwards.
    without: usize,
    unknown: usize,
    gains: usize,
    keeps: usize,
}

/// Somebody who uses the stream.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct FindingWire<'a> {
    /// The ARN of a role, a user or an account's root, the name of a service, or what is known instead.
    principal: &'a str,
    /// Its account, where it has one that is known.
    account: Option<&'a str>,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["producer", "consumer", "both"])))]
    side: &'static str,
    /// Where it was found, the best first.
    found: Vec<FoundWire<'a>>,
    /// Whether it has access with the setting now.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ACCESS)))]
    before: &'static str,
    /// Whether it has access with the key to be.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ACCESS)))]
    after: &'static str,
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["sure", "estimated", "unknown"])))]
    confidence: &'static str,
    /// Why, in a sentence.
    why: &'a str,
    /// What gives it access.
    remedies: Vec<RemedyWire<'a>>,
    /// Of a consumer: the key before, for which it needs `kms:Decrypt` until its records have expired.
    keep_decrypt: Option<KeepWire<'a>>,
}

/// One place where somebody was found.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct FoundWire<'a> {
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["observed", "configured", "permitted"])))]
    tier: &'static str,
    /// Where, for people.
    how: &'a str,
    /// When it last used the stream.
    last_seen: Option<Time>,
}

/// What to do about one who has no access.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct RemedyWire<'a> {
    #[cfg_attr(
        feature = "schema",
        schemars(extend("enum" = ["key-policy", "identity-policy", "permissions-boundary", "organization", "key"]))
    )]
    place: &'static str,
    /// The key, role or user that the policy is of.
    of: Option<&'a str>,
    /// What to do, in words.
    text: &'a str,
    /// The statement to add, as JSON.
    statement: Option<&'a str>,
}

/// A key that is still needed.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct KeepWire<'a> {
    key: &'a str,
    until: Time,
}

/// What was not checked.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
struct NotCheckedWire<'a> {
    what: &'a str,
    why: &'a str,
}

impl<'a> Document<'a> {
    /// The document of a report, under an id of its own.
    pub fn new(report: &'a Report, id: &'a str) -> Self {
        let Counts { loses, without, unknown, gains, keeps } = report.counts();
        Self {
            schema: SCHEMA,
            id,
            time: Time(report.at),
            stream: report.stream.to_string(),
            current: Current {
                encryption: if report.is_encrypted { "KMS" } else { "NONE" },
                key: report.current.as_ref().map(|key| key.as_str()),
            },
            target: report.target.as_str(),
            since: Time(report.since),
            outcome: report.outcome().as_str(),
            counts: CountsWire { loses, without, unknown, gains, keeps },
            findings: report.judged.iter().map(FindingWire::from).collect(),
            not_checked: report.not_checked.iter().map(|of| NotCheckedWire { what: &of.what, why: &of.why }).collect(),
            notes: &report.notes,
            advice: &report.advice,
        }
    }
}

impl<'a> From<&'a Judged> for FindingWire<'a> {
    fn from(judged: &'a Judged) -> Self {
        let Judged { finding, before, after, keep } = judged;
        let Verdict { access, confidence, why, remedies } = after;
        let found = finding.found.iter().map(|found| FoundWire {
            tier: found.tier.as_str(),
            how: &found.how,
            last_seen: found.last_seen.map(Time),
        });
        let remedies = remedies.iter().map(|remedy| RemedyWire {
            place: remedy.place.as_str(),
            of: remedy.place.of(),
            text: &remedy.text,
            statement: remedy.statement.as_deref(),
        });
        Self {
            principal: finding.who.name(),
            account: finding.who.principal().and_then(|who| who.account.as_deref()),
            side: finding.side.as_str(),
            found: found.collect(),
            before: before.access.as_str(),
            after: access.as_str(),
            confidence: confidence.as_str(),
            why,
            remedies: remedies.collect(),
            keep_decrypt: keep.as_ref().map(|(key, until)| KeepWire { key: key.as_str(), until: Time(*until) }),
        }
    }
}
