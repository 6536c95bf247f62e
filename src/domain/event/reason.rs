//! Why nothing follows from an event, or must not.

use std::fmt;

use crate::domain::text::EventText;

/// Why an event was woken for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreReason {
    /// A source and detail type that nothing follows from.
    OtherEvent(EventText, EventText),
    /// A call that does not change encryption, or that this version does not know.
    OtherCall(EventText),
    /// A call about a key that no stream's encryption follows from.
    OtherKeyCall(EventText),
    /// An alias that no rule names.
    OtherAlias(EventText),
    /// A key that no stream can be encrypted with, or is to be.
    OtherKey(EventText),
    /// A parameter that is neither the policy nor the mode.
    OtherParameter(EventText),
    /// The call failed, so nothing changed.
    FailedCall(EventText, EventText),
    /// The call only read.
    ReadOnly(EventText),
    /// The tags of a consumer, which has no encryption.
    Consumer,
    /// It is about another kind of resource.
    OtherResource(EventText),
    /// A finding of another control.
    OtherControl(EventText),
    /// A finding that is closed, or says that all is well.
    NotAFault(EventText),
    /// AWS Config calling a custom rule, which this function is not.
    ConfigRule,
    /// A batch or a notification with nothing in it.
    Empty,
}

impl IgnoreReason {
    /// A stable word for logs and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OtherEvent(..) => "OtherEvent",
            Self::OtherCall(_) => "OtherCall",
            Self::OtherKeyCall(_) => "OtherKeyCall",
            Self::OtherAlias(_) => "OtherAlias",
            Self::OtherKey(_) => "OtherKey",
            Self::OtherParameter(_) => "OtherParameter",
            Self::FailedCall(..) => "FailedCall",
            Self::ReadOnly(_) => "ReadOnly",
            Self::Consumer => "Consumer",
            Self::OtherResource(_) => "OtherResource",
            Self::OtherControl(_) => "OtherControl",
            Self::NotAFault(_) => "NotAFault",
            Self::ConfigRule => "ConfigRule",
            Self::Empty => "Empty",
        }
    }
}

impl fmt::Display for IgnoreReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherEvent(source, kind) => write!(f, "`{kind}` of `{source}` needs no action"),
            Self::OtherCall(call) => write!(f, "`{call}` does not change a stream's encryption or tags"),
            Self::OtherKeyCall(call) => {
                write!(f, "`{call}` does not change a key, its state or its aliases")
            }
            Self::OtherAlias(alias) => {
                write!(f, "no rule names `{alias}`, and no rule accepts a stream that uses it")
            }
            Self::OtherKey(key) => write!(f, "no stream uses `{key}` and no rule requires it"),
            Self::OtherParameter(name) => write!(f, "the parameter `{name}` is neither the policy nor the mode"),
            Self::FailedCall(call, code) => write!(f, "`{call}` failed with `{code}`, so nothing changed"),
            Self::ReadOnly(call) => write!(f, "`{call}` is a read-only call"),
            Self::Consumer => f.write_str("the resource is a stream consumer; consumers have no encryption setting"),
            Self::OtherResource(kind) => write!(f, "the resource type is `{kind}`, not a stream"),
            Self::OtherControl(control) => write!(f, "the finding is for control `{control}`, not Kinesis.1"),
            Self::NotAFault(state) => write!(f, "the finding is `{state}`, which needs no action"),
            Self::ConfigRule => f.write_str("the event invokes an AWS Config custom rule; this function is not one"),
            Self::Empty => f.write_str("the message is empty"),
        }
    }
}

/// The code of an event about another account's key that no rule names.
pub const FOREIGN_KEY: &str = "ForeignKey";

/// Why an event must not be acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// It is of another account, Region or partition: the field and its value.
    Foreign(&'static str, EventText),
    /// It is about a key or an alias of another account that no rule names.
    ForeignKey(EventText),
    /// It does not say of which account or Region it is.
    NoScope(&'static str),
    /// Its name and its ARN name two streams.
    Disagreement(EventText, EventText),
    /// A name or an ARN that Kinesis would refuse: the field and its value.
    IllegalName(&'static str, EventText),
    /// It names no stream.
    NoStream(EventText),
    /// What KMS would refuse as a key or an alias: the field and its value.
    IllegalKey(&'static str, EventText),
    /// It names no key and no alias.
    NoKey(EventText),
}

impl RejectReason {
    /// A stable word for logs and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign(..) => "Foreign",
            Self::ForeignKey(_) => FOREIGN_KEY,
            Self::NoScope(_) => "NoScope",
            Self::Disagreement(..) => "Disagreement",
            Self::IllegalName(..) => "IllegalName",
            Self::NoStream(_) => "NoStream",
            Self::IllegalKey(..) => "IllegalKey",
            Self::NoKey(_) => "NoKey",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(field, value) => {
                write!(f, "field `{field}`: `{value}` belongs to another account, Region or partition")
            }
            Self::ForeignKey(key) => {
                write!(f, "`{key}` belongs to another account, and no rule names its ARN or the ARN of its alias")
            }
            Self::NoScope(field) => {
                write!(f, "field `{field}` is missing: the account and Region of the event are unknown")
            }
            Self::Disagreement(name, arn) => write!(f, "the name `{name}` and the ARN `{arn}` name different streams"),
            Self::IllegalName(field, value) => {
                write!(f, "field `{field}`: `{value}` is not a valid stream name or ARN")
            }
            Self::NoStream(call) => write!(f, "`{call}` names no stream"),
            Self::IllegalKey(field, value) => write!(f, "field `{field}`: `{value}` is not a valid key or alias"),
            Self::NoKey(call) => write!(f, "`{call}` names no key"),
        }
    }
}
