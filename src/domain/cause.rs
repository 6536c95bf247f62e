//! What woke a run, and what that says of when to observe. It never says what is right.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bounds::happened;
use super::text::EventText;

/// EventBridge's detail type of a change of a parameter of Systems Manager, and the cause that it becomes.
pub const PARAMETER_CHANGE: &str = "Parameter Store Change";

/// The calls to Kinesis whose events wake a run. A rule of EventBridge has to name each of them.
pub const WAKING_CALLS: [&str; 7] =
    ["AddTagsToStream", CREATE, "RemoveTagsFromStream", START, STOP, "TagResource", "UntagResource"];
/// The call that starts encryption, or moves it to another key.
pub const START: &str = "StartStreamEncryption";
/// The call that stops it.
pub const STOP: &str = "StopStreamEncryption";
/// The call that makes a stream.
pub const CREATE: &str = "CreateStream";

/// What woke a run. It goes into evidence and decides *when* we observe and whether a proof is owed, never *what* is right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cause {
    /// `CreateStream`, … for a CloudTrail event, `reconcile` for a command.
    pub call: EventText,
    /// EventBridge's event id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<EventText>,
    /// Who called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<EventText>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::domain::time::Time"))]
    pub at: Option<Timestamp>,
    /// What made the stream, where the event is its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<Creator>,
}

impl Cause {
    /// As it may be computed with: without a time that is odd.
    pub fn within_bounds(self, now: Timestamp) -> Self {
        Self { at: happened(self.at, now), ..self }
    }

    /// The cause of a sweep that this one asks for: it is about every stream, and whoever did this to one did nothing to the others.
    pub fn of_sweep(&self, now: Timestamp) -> Self {
        let (call, event_id) = (EventText::new("sweep"), self.event_id.clone());
        Self { call, event_id, actor: None, at: Some(now), creator: None }
    }

    /// Since when a proof counts for a stream made at `created`: since its birth, where the event is that, else since the
    /// event, which may have led to another key. `None`: only one made now.
    pub fn proof_since(&self, created: Timestamp) -> Option<Timestamp> {
        match self.call.as_str() {
            CREATE => Some(created),
            _ => self.at,
        }
    }

    /// Whether the policy or the mode changed.
    pub fn is_a_new_policy(&self) -> bool {
        self.call.as_str() == PARAMETER_CHANGE
    }

    /// Whether somebody made an alias: no stream's setting can name one that was not there.
    pub fn is_a_new_alias(&self) -> bool {
        self.call.as_str() == "CreateAlias"
    }

    /// Whether somebody changed a stream's tags.
    pub fn is_about_tags(&self) -> bool {
        matches!(self.call.as_str(), "AddTagsToStream" | "RemoveTagsFromStream" | "TagResource" | "UntagResource")
    }

    /// Whether somebody changed a stream's encryption, so that a run for it may have changed it too.
    pub fn is_about_encryption(&self) -> bool {
        matches!(self.call.as_str(), START | STOP)
    }
}

/// The kind of tool that made a stream, by the user agent and the service that called; each makes further calls that need
/// the stream ACTIVE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Creator {
    /// Terraform or OpenTofu.
    Terraform,
    /// CloudFormation, and so the CDK and SAM.
    CloudFormation,
    /// Pulumi.
    Pulumi,
    /// Anything else.
    Other,
}
