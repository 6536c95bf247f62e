//! What to do about a stream, as a value, and what it follows from.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::arn::StreamArn;
use crate::domain::call::Call;
use crate::domain::model::Encryption;
use crate::domain::plan::situation::{Keys, Situation};
use crate::domain::policy::Outcome;
use crate::domain::verdict::Verdict;

/// What to do, by what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Remedy {
    /// Nothing, or nothing that is known.
    #[default]
    None,
    /// The stream's setting: the key goes into its source.
    Source(AtSource),
    /// A key: it has to be usable.
    Key(Advice),
    /// An alias: it has to be on a key that can be used.
    Alias(Advice),
    /// A permission of the caller.
    Permission(Advice),
    /// The rule that decides.
    Rule(Advice),
}

/// The change at the source that keeps the next apply from undoing ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
pub struct AtSource {
    /// The arguments of the resource `aws_kinesis_stream`, in HCL.
    pub terraform: String,
    /// The property of the resource `AWS::Kinesis::Stream`, in YAML.
    pub cloudformation: String,
    /// The call; not there where it was made already, would be undone, or would be refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub cli: Option<String>,
}

/// What to do, in words and to be pasted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// In words.
    pub text: String,
    /// Shell commands; each by itself is enough.
    pub commands: Vec<String>,
    /// The statement to add to the policy that the words name, as JSON.
    pub statement: Option<String>,
}

/// What is said with [`AtSource`].
const AT_SOURCE: &str = "write the key into the stream's source: Terraform and CloudFormation default to no encryption";

impl Advice {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    pub(super) fn command(mut self, command: Option<String>) -> Self {
        self.commands.extend(command);
        self
    }
}

impl Remedy {
    /// Every word of [`Self::about`].
    pub const ABOUT: [&str; 5] = ["source", "key", "alias", "permission", "rule"];

    /// What it is about, in a stable word; `None` where there is nothing to do.
    pub fn about(&self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Source(_) => Some("source"),
            Self::Key(_) => Some("key"),
            Self::Alias(_) => Some("alias"),
            Self::Permission(_) => Some("permission"),
            Self::Rule(_) => Some("rule"),
        }
    }

    /// What to do in words; `None` where there is nothing to do.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Source(_) => Some(AT_SOURCE),
            Self::Key(advice) | Self::Alias(advice) | Self::Permission(advice) | Self::Rule(advice) => {
                Some(&advice.text)
            }
        }
    }

    /// Commands to be pasted, each of which is enough by itself.
    pub fn commands(&self) -> Vec<&str> {
        match self {
            Self::None => Vec::new(),
            Self::Source(change) => change.cli.iter().map(String::as_str).collect(),
            Self::Key(advice) | Self::Alias(advice) | Self::Permission(advice) | Self::Rule(advice) => {
                advice.commands.iter().map(String::as_str).collect()
            }
        }
    }

    /// The statement to add to a policy.
    pub fn statement(&self) -> Option<&str> {
        match self {
            Self::None | Self::Source(_) => None,
            Self::Key(advice) | Self::Alias(advice) | Self::Permission(advice) | Self::Rule(advice) => {
                advice.statement.as_deref()
            }
        }
    }

    /// The change at the source, where it is that.
    pub fn at_source(&self) -> Option<&AtSource> {
        match self {
            Self::Source(change) => Some(change),
            Self::None | Self::Key(_) | Self::Alias(_) | Self::Permission(_) | Self::Rule(_) => None,
        }
    }

    /// Whether nothing changes until somebody does something about what is not the stream: to try again is of no use.
    pub fn is_needed_first(&self) -> bool {
        match self {
            Self::None | Self::Source(_) => false,
            Self::Key(_) | Self::Alias(_) | Self::Permission(_) | Self::Rule(_) => true,
        }
    }
}

/// What one observation came to.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The stream.
    pub stream: &'a StreamArn,
    /// What the policy requires of it, where that was decided.
    pub outcome: Option<&'a Outcome>,
    /// The name of the rule that decided.
    pub rule: Option<&'a str>,
    /// Its setting at the last observation.
    pub encryption: Option<&'a Encryption>,
    /// How it stood with the policy then, where it was ACTIVE.
    pub situation: Option<&'a Situation>,
    /// What KMS said of the keys that matter.
    pub keys: &'a Keys,
    /// The end of the run; `None` where it would go on.
    pub verdict: Option<&'a Verdict>,
    /// The requests of the run.
    pub calls: &'a [Call],
    /// Whether encryption was started for this cause.
    pub changed: bool,
}

/// ` NAME`, where the rule is known.
pub(super) fn named(facts: &Facts<'_>) -> String {
    facts.rule.map(|rule| format!(" `{rule}`")).unwrap_or_default()
}
