//! What CloudTrail's record of a call to KMS says of who uses a stream.
//!
//! Kinesis calls KMS with the credentials of whoever writes or reads, and gives it the stream's ARN as the encryption context: a
//! GenerateDataKey is a producer's, a Decrypt a consumer's.

use jiff::Timestamp;
use serde_json::Value;

use super::finding::{Finding, Found, Side, Tier, Who};
use crate::domain::access::principal::Principal;
use crate::domain::access::request::CONTEXT_KEY;
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::denial::denial;
use crate::domain::event::record::{actor, error_of};
use crate::domain::text::EventText;

/// The call of a producer: records are encrypted with a data key.
pub const GENERATE_DATA_KEY: &str = "GenerateDataKey";
/// The call of a consumer.
pub const DECRYPT: &str = "Decrypt";
/// By this name Kinesis calls, where a record says through which service a call came (seen of other services; CloudTrail user guide).
const KINESIS: &str = "kinesis.amazonaws.com";

/// The use of a key for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// For which stream; `None` where it was refused and the record has lost its parameters, as those of Kinesis's own calls do.
    pub stream: Option<StreamArn>,
    /// Who.
    pub who: Who,
    /// What it did.
    pub side: Side,
    /// When.
    pub at: Timestamp,
    /// Which key, where the record names it.
    pub key: Option<KeyArn>,
    /// Why KMS refused, where it did.
    pub refused: Option<EventText>,
}

impl Usage {
    /// Reads a record; `None` for another call, and for one that is not known to be for a stream.
    pub fn parse(record: &Value) -> Option<Self> {
        let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
        if text("/eventSource").is_some_and(|source| source != "kms.amazonaws.com") {
            return None;
        }
        let side = match text("/eventName")? {
            GENERATE_DATA_KEY => Side::Producer,
            DECRYPT => Side::Consumer,
            _ => return None,
        };
        let refused = error_of(record);
        let is_by_kinesis = [text("/userIdentity/invokedBy"), text("/sourceIPAddress")].contains(&Some(KINESIS));
        let stream = match record.pointer("/requestParameters/encryptionContext") {
            Some(context) => Some(StreamArn::parse(context.get(CONTEXT_KEY)?.as_str()?)?),
            None if refused.is_some() && is_by_kinesis => None,
            None => return None,
        };
        let resources = record.get("resources").and_then(Value::as_array);
        let arns = resources.into_iter().flatten().filter_map(|resource| resource.get("ARN")?.as_str());
        // A refused call may have no resources; its words name the key.
        let named = text("/errorMessage").and_then(|words| denial(words).resource);
        Some(Self {
            stream,
            who: who(record)?,
            side,
            at: text("/eventTime")?.parse().ok()?,
            key: arns.chain(text("/requestParameters/keyId")).chain(named.as_deref()).find_map(KeyArn::parse),
            refused,
        })
    }

    /// The finding that it is.
    pub fn into_finding(self) -> Finding {
        let call = self.side.actions().first().copied().unwrap_or_default();
        let (how, used) = match &self.refused {
            None => (format!("CloudTrail: {call}"), self.key),
            Some(code) => (format!("CloudTrail: {call}, refused ({code})"), None),
        };
        let found = Found { tier: Tier::Observed, how, last_seen: Some(self.at), used };
        Finding { who: self.who, side: self.side, found: vec![found] }
    }
}

/// The role of a session, or else whoever the record names.
fn who(record: &Value) -> Option<Who> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let issuer = text("/userIdentity/sessionContext/sessionIssuer/arn").and_then(Principal::parse);
    let arn = || text("/userIdentity/arn").and_then(Principal::parse);
    let service = || text("/userIdentity/invokedBy").and_then(Principal::parse);
    let known = issuer.or_else(arn).or_else(service).map(Who::Principal);
    known.or_else(|| Some(Who::Unnamed(actor(record)?)))
}
