//! What came in, told apart: any JSON at all becomes a list of [`Item`]s, each of which is work, or is ignored, rejected or
//! malformed with a reason.
//!
//! Total and pure: no input makes this fail, and nothing here looks at the world. An event only says *look at this stream
//! now*; what it says about the stream's state is never believed. Everything in an event is optional, because about a fifth
//! of real CloudTrail records miss something that a typed structure would ask for.

mod findings;
mod found;
mod keys;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use self::found::Found;
pub use self::found::{Fate, REPORTED_MAX, Rest, TODO_MAX};
use super::arn::{KinesisArn, Scope, StreamArn, StreamName};
use super::bounds::happened_at;
use super::cause::{Cause, Creator, PARAMETER_CHANGE, WAKING_CALLS};
use super::scan::{self, Scan, Subject};
use super::text::EventText;
use super::work::{self, Work, WorkError};

/// How deep envelopes may stand in each other (a destination record of a notification of an event is three).
const ENVELOPES_MAX: usize = 4;

/// An invocation's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Invoked with it directly, or through SNS or a destination: one answer for all items.
    Direct(Vec<Item>),
    /// An SQS batch: one answer a message.
    Batch(Vec<Message>),
}

/// One message of an SQS batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// SQS's `messageId`, which names it in the answer.
    pub id: String,
    /// What it holds.
    pub items: Vec<Item>,
}

/// One thing to do, or the reason why there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Look at a stream.
    Reconcile(Box<Work>),
    /// A scan is asked for.
    Scan(Box<Scan>),
    /// A scan, or a part of one, whose turn it is: it comes from the queue of scans.
    ScanNow(Box<Scan>),
    /// A parameter of this name changed: where it is the policy's or the mode's, a sweep is asked for.
    PolicyChanged(EventText, Box<Scan>),
    /// Nothing follows from it: acknowledged.
    Ignored(IgnoreReason),
    /// It asks for what must not be done: acknowledged, never acted on.
    Rejected(RejectReason),
    /// It cannot be read: it fails, so that it ends in the dead-letter queue and not in silence.
    Malformed(EventText),
    /// More of the same message that led to nothing: counted, since one message must not fill the log.
    Rest(Rest),
}

impl Item {
    /// What cannot be read, and why.
    pub(super) fn malformed(why: &str) -> Self {
        Self::Malformed(EventText::new(why))
    }
}

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
            Self::OtherEvent(source, kind) => write!(f, "nothing follows from `{kind}` of `{source}`"),
            Self::OtherCall(call) => write!(f, "`{call}` does not change a stream's encryption or tags"),
            Self::OtherKeyCall(call) => {
                write!(f, "`{call}` does not change what a key can be used for, or by which alias")
            }
            Self::OtherAlias(alias) => {
                write!(f, "no rule names `{alias}`, and no stream that a rule accepts can be on it")
            }
            Self::OtherKey(key) => write!(f, "no stream is or can be rightly encrypted with `{key}`"),
            Self::OtherParameter(name) => write!(f, "the parameter `{name}` is neither the policy nor the mode"),
            Self::FailedCall(call, code) => write!(f, "`{call}` failed with `{code}`, so nothing changed"),
            Self::ReadOnly(call) => write!(f, "`{call}` only reads"),
            Self::Consumer => f.write_str("the resource is a consumer, which has no encryption of its own"),
            Self::OtherResource(kind) => write!(f, "it is about `{kind}`, not about a stream"),
            Self::OtherControl(control) => write!(f, "the finding is of `{control}`, not of Kinesis.1"),
            Self::NotAFault(state) => write!(f, "the finding is `{state}`, which asks for nothing"),
            Self::ConfigRule => f.write_str("this function is not a custom rule of AWS Config"),
            Self::Empty => f.write_str("there is nothing in it"),
        }
    }
}

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
            Self::ForeignKey(_) => "ForeignKey",
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
                write!(f, "field `{field}`: `{value}` is not this account, Region and partition")
            }
            Self::ForeignKey(key) => {
                write!(f, "`{key}` is of another account, and no rule names it by its ARN or an alias's")
            }
            Self::NoScope(field) => write!(f, "field `{field}` is missing, so it cannot be told whose event this is"),
            Self::Disagreement(name, arn) => write!(f, "the name `{name}` and the ARN `{arn}` are of two streams"),
            Self::IllegalName(field, value) => write!(f, "field `{field}`: `{value}` cannot name a stream"),
            Self::NoStream(call) => write!(f, "`{call}` names no stream"),
            Self::IllegalKey(field, value) => write!(f, "field `{field}`: `{value}` cannot name a key or an alias"),
            Self::NoKey(call) => write!(f, "`{call}` names no key"),
        }
    }
}

/// Tells a payload apart. `now` is when the work begins; `own` is what this deployment answers for.
pub fn parse(payload: &Value, own: &Scope, now: Timestamp) -> Input {
    if let Some(records) = payload.get("Records").and_then(Value::as_array)
        && records.iter().any(|r| record_source(r) == Some("aws:sqs"))
    {
        return batch(records, own, now);
    }
    Input::Direct(items_of(payload, own, now))
}

/// What one message holds, within bounds.
fn items_of(value: &Value, own: &Scope, now: Timestamp) -> Vec<Item> {
    let mut found = Found::default();
    items(value, own, now, ENVELOPES_MAX, &mut found);
    found.end()
}

/// An SQS batch. A record that cannot be answered for by its id makes the whole batch fail, since nothing else keeps it.
fn batch(records: &[Value], own: &Scope, now: Timestamp) -> Input {
    let mut messages = Vec::with_capacity(records.len());
    for (index, record) in records.iter().enumerate() {
        let Some(id) = text(record, "messageId").filter(|id| !id.is_empty()) else {
            return Input::Direct(vec![Item::malformed(&format!("field `Records[{index}].messageId` is missing"))]);
        };
        let mut items = match text(record, "body") {
            Some(body) => match serde_json::from_str(body) {
                Ok(value) => items_of(&value, own, now),
                Err(error) => vec![Item::malformed(&format!("field `body` is not JSON: {error}"))],
            },
            None => vec![Item::malformed("field `body` is missing")],
        };
        if record_source(record) != Some("aws:sqs") {
            items = vec![Item::malformed("field `eventSource` is not `aws:sqs`, unlike its neighbours'")];
        }
        // Of the scans that are asked for, this one's turn has come. (The names of FIFO queues end so: SQS developer guide.)
        if text(record, "eventSourceARN").is_some_and(|arn| arn.ends_with(".fifo")) {
            for item in &mut items {
                if let Item::Scan(scan) = item {
                    *item = Item::ScanNow(scan.clone());
                }
            }
        }
        if received_before(record) {
            // The run that had it may have been killed between Start and proof.
            for item in &mut items {
                if let Item::Reconcile(work) = item {
                    work.proof_owed = true;
                }
            }
        }
        messages.push(Message { id: id.to_owned(), items });
    }
    Input::Batch(messages)
}

fn record_source(record: &Value) -> Option<&str> {
    text(record, "eventSource").or_else(|| text(record, "EventSource"))
}

fn received_before(record: &Value) -> bool {
    let count = record.get("attributes").and_then(|a| text(a, "ApproximateReceiveCount"));
    count.and_then(|c| c.parse::<u64>().ok()).is_some_and(|c| c > 1)
}

/// Everything that one payload, body or message holds, whatever it is wrapped in.
fn items(value: &Value, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    let Some(deeper) = depth.checked_sub(1) else {
        return found.push(Item::malformed(&format!("more than {ENVELOPES_MAX} envelopes in each other")));
    };
    let Some(object) = value.as_object() else {
        return found.push(Item::malformed("the payload is not a JSON object"));
    };
    if let Some(records) = object.get("Records") {
        let Some(records) = records.as_array() else {
            return found.push(Item::malformed("field `Records` is not an array"));
        };
        if records.is_empty() {
            return found.push(Item::Ignored(IgnoreReason::Empty));
        }
        return records.iter().enumerate().for_each(|(i, record)| notification(record, i, own, now, deeper, found));
    }
    if object.contains_key("invokingEvent") && object.contains_key("resultToken") {
        return found.push(Item::Ignored(IgnoreReason::ConfigRule));
    }
    if let (Some(_), Some(payload)) = (object.get("requestContext"), object.get("requestPayload")) {
        return items(payload, own, now, deeper, found);
    }
    if object.contains_key("detail-type") && object.contains_key("source") {
        return event(value, own, now, found);
    }
    if object.contains_key("action") {
        return found.push(command(value, own, now));
    }
    if object.contains_key("scan") && object.contains_key("streamseal") {
        return found.push(scan_message(value, now));
    }
    if object.contains_key("streamseal") {
        return found.push(work_message(value, own, now));
    }
    // SNS to SQS without raw delivery: the body is the notification itself.
    if text(value, "Type") == Some("Notification") && object.contains_key("TopicArn") {
        return sns_message(value, "Message", own, now, deeper, found);
    }
    let known = "an EventBridge event (`detail-type`, `source`), `Records`, a destination record (`requestContext`, \
                 `requestPayload`), a command (`action`) or a work message (`streamseal`)";
    found.push(Item::malformed(&format!("the payload is none of: {known}")));
}

fn notification(record: &Value, index: usize, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    match record_source(record) {
        Some("aws:sns") => match record.get("Sns") {
            Some(sns) => sns_message(sns, "Sns.Message", own, now, depth, found),
            None => found.malformed(|| format!("field `Records[{index}].Sns` is missing")),
        },
        Some("aws:sqs") => found.malformed(|| "a batch of SQS inside another envelope".to_owned()),
        Some(other) => found.malformed(|| {
            let other = EventText::new(other);
            format!("field `Records[{index}].eventSource`: `{other}` is neither aws:sqs nor aws:sns")
        }),
        None => found.malformed(|| format!("field `Records[{index}].eventSource` is missing")),
    }
}

fn sns_message(sns: &Value, field: &str, own: &Scope, now: Timestamp, depth: usize, found: &mut Found) {
    match text(sns, "Message").map(serde_json::from_str::<Value>) {
        Some(Ok(value)) => items(&value, own, now, depth, found),
        Some(Err(error)) => found.malformed(|| format!("field `{field}` is not JSON: {error}")),
        None => found.malformed(|| format!("field `{field}` is missing")),
    }
}

/// An EventBridge event, by source and detail type.
fn event(event: &Value, own: &Scope, now: Timestamp, found: &mut Found) {
    let (Some(source), Some(kind)) = (text(event, "source"), text(event, "detail-type")) else {
        return found.push(Item::malformed("fields `source` and `detail-type` are not both texts"));
    };
    let item = match (source, kind) {
        // The China edition of the documentation prints "Amazon API Call via CloudTrail": either brand is taken.
        ("aws.kinesis", _) if kind.ends_with(" API Call via CloudTrail") => kinesis_call(event, own, now),
        ("aws.kms", _)
            if kind.ends_with(" API Call via CloudTrail") || kind.ends_with(" Service Event via CloudTrail") =>
        {
            keys::call(event, own, now)
        }
        ("aws.kms", _) => keys::direct(event, kind, own, now),
        ("aws.events" | "aws.scheduler", "Scheduled Event") => keys::schedule(event, own, now),
        ("aws.ssm", PARAMETER_CHANGE) => keys::parameter_change(event, own, now),
        ("aws.config", "Config Rules Compliance Change") => findings::config_change(event, own, now),
        (
            "aws.securityhub",
            "Security Hub Findings - Imported" | "Security Hub Findings - Custom Action" | "Findings Imported V2",
        ) => return findings::security_hub(event, own, now, found),
        _ => Item::Ignored(IgnoreReason::OtherEvent(EventText::new(source), EventText::new(kind))),
    };
    found.push(item);
}

/// What CloudTrail recorded of a call of `service` that took effect: the record, the call's name, and the same as text. A call of
/// another service by the same name, or one that failed, is what is returned instead.
fn recorded_call<'a>(event: &'a Value, service: &str) -> Result<(&'a Value, &'a str, EventText), Item> {
    let Some(detail) = event.get("detail").filter(|d| d.is_object()) else {
        return Err(Item::malformed("field `detail` is not an object"));
    };
    let Some(name) = text(detail, "eventName") else {
        return Err(Item::malformed("field `detail.eventName` is missing"));
    };
    let call = EventText::new(name);
    let source = text(detail, "eventSource").unwrap_or_default();
    if !matches!(source.strip_prefix(service), Some(".amazonaws.com" | ".amazonaws.com.cn")) {
        return Err(Item::Ignored(IgnoreReason::OtherEvent(EventText::new(source), call)));
    }
    // A call that worked has no such member; an empty one says no more.
    if let Some(code) = detail.get("errorCode").filter(|code| !code.is_null() && code.as_str() != Some("")) {
        let code = EventText::new(code.as_str().unwrap_or_default());
        return Err(Item::Ignored(IgnoreReason::FailedCall(call, code)));
    }
    Ok((detail, name, call))
}

/// A Kinesis call that CloudTrail recorded.
fn kinesis_call(event: &Value, own: &Scope, now: Timestamp) -> Item {
    let (detail, name, call) = match recorded_call(event, "kinesis") {
        Ok(recorded) => recorded,
        Err(item) => return item,
    };
    if detail.get("readOnly").and_then(Value::as_bool) == Some(true) {
        return Item::Ignored(IgnoreReason::ReadOnly(call));
    }
    if !WAKING_CALLS.contains(&name) {
        return Item::Ignored(IgnoreReason::OtherCall(call));
    }
    let tags_a_resource = matches!(name, "TagResource" | "UntagResource");
    if let Err(reason) = check_scope(event, detail, own) {
        return Item::Rejected(reason);
    }
    let parameters = detail.get("requestParameters").unwrap_or(&Value::Null);
    let stream = match named_stream(parameters, tags_a_resource, &call, own) {
        Ok(Named::Stream(stream)) => stream,
        Ok(Named::Other(why)) => return Item::Ignored(why),
        Err(reason) => return Item::Rejected(reason),
    };
    let creator = (name == "CreateStream").then(|| creator(detail));
    let time = happened_at(text(detail, "eventTime").or_else(|| text(event, "time")), now);
    let cause =
        Cause { call, event_id: text(event, "id").map(EventText::new), actor: actor(detail), at: time, creator };
    Item::Reconcile(Box::new(Work::new(stream, cause, now)))
}

/// Whose event it is: envelope and record must name this account and Region wherever they name one.
fn check_scope(event: &Value, detail: &Value, own: &Scope) -> Result<(), RejectReason> {
    let account = account_of(event, detail, own)?;
    if account == own.account { Ok(()) } else { Err(RejectReason::Foreign("account", EventText::new(&account))) }
}

/// The account of an event of this Region; envelope and record must agree. Where one of them is another's than ours, that one is
/// returned or named.
fn account_of(event: &Value, detail: &Value, own: &Scope) -> Result<String, RejectReason> {
    let accounts =
        [("account", scalar(event, "account")), ("detail.recipientAccountId", scalar(detail, "recipientAccountId"))];
    let regions = [("region", scalar(event, "region")), ("detail.awsRegion", scalar(detail, "awsRegion"))];
    if let Some((field, Some(value))) =
        regions.iter().find(|(_, value)| value.as_ref().is_some_and(|v| *v != own.region))
    {
        return Err(RejectReason::Foreign(field, EventText::new(value)));
    }
    if regions.iter().all(|(_, value)| value.is_none()) {
        return Err(RejectReason::NoScope("region"));
    }
    match accounts {
        [(_, None), (_, None)] => Err(RejectReason::NoScope("account")),
        [(_, Some(one)), (field, Some(other))] if one != other => {
            let (field, foreign) = if one == own.account { (field, other) } else { ("account", one) };
            Err(RejectReason::Foreign(field, EventText::new(&foreign)))
        }
        [(_, Some(account)), _] | [_, (_, Some(account))] => Ok(account.into_owned()),
    }
}

/// A member as text, also where it is a number: then with the zeros in front that an account has. Anything else is no account's
/// or Region's name. `None` where it is missing or null.
fn scalar<'a>(value: &'a Value, field: &str) -> Option<Cow<'a, str>> {
    match value.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(match number.as_u64() {
            Some(number) => Cow::Owned(format!("{number:012}")),
            None => Cow::Owned(number.to_string()),
        }),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(Cow::Borrowed("(not a text)")),
    }
}

/// What a call's parameters name.
enum Named {
    /// A stream of ours.
    Stream(StreamArn),
    /// A resource that nothing follows from, and why.
    Other(IgnoreReason),
}

/// What a call's parameters name. Every name that is given must agree with the others.
fn named_stream(
    parameters: &Value,
    tags_a_resource: bool,
    call: &EventText,
    own: &Scope,
) -> Result<Named, RejectReason> {
    // CloudTrail lower-cases only the first letter of the API's member; `streamArn` was never seen and is taken all the same.
    let fields: [&'static str; 2] =
        if tags_a_resource { ["resourceARN", "resourceArn"] } else { ["streamARN", "streamArn"] };
    let [first, second] = fields.map(|field| parameters.get(field).filter(|value| !value.is_null()));
    if let (Some(first), Some(second)) = (first, second)
        && first != second
    {
        let [first, second] = [first, second].map(|arn| EventText::new(arn.as_str().unwrap_or("(not a text)")));
        return Err(RejectReason::Disagreement(first, second));
    }
    let mut stream: Option<StreamArn> = None;
    if let Some((field, value)) =
        fields.into_iter().zip([first, second]).find_map(|(field, value)| Some((field, value?)))
    {
        let illegal = || RejectReason::IllegalName(field, EventText::new(value.as_str().unwrap_or("(not a text)")));
        match KinesisArn::parse(value.as_str().unwrap_or_default()).ok_or_else(illegal)? {
            KinesisArn::Consumer => return Ok(Named::Other(IgnoreReason::Consumer)),
            // Tags of a channel, say, of which this version need not know more.
            KinesisArn::Other(kind) if tags_a_resource => return Ok(Named::Other(IgnoreReason::OtherResource(kind))),
            KinesisArn::Other(_) => return Err(illegal()),
            KinesisArn::Stream(arn) if arn.scope != *own => {
                return Err(RejectReason::Foreign(field, EventText::new(&arn.to_string())));
            }
            KinesisArn::Stream(arn) => stream = Some(arn),
        }
    }
    if !tags_a_resource && let Some(value) = parameters.get("streamName").filter(|v| !v.is_null()) {
        let illegal =
            || RejectReason::IllegalName("streamName", EventText::new(value.as_str().unwrap_or("(not a text)")));
        let name = value.as_str().and_then(StreamName::parse).ok_or_else(illegal)?;
        match &stream {
            Some(arn) if arn.name != name => return Err(disagreement(name.as_str(), arn)),
            _ => stream = Some(own.stream(name)),
        }
    }
    stream.map(Named::Stream).ok_or_else(|| RejectReason::NoStream(call.clone()))
}

fn disagreement(name: &str, arn: &StreamArn) -> RejectReason {
    RejectReason::Disagreement(EventText::new(name), EventText::new(&arn.to_string()))
}

/// Pulumi before Terraform: its AWS provider is built on Terraform's and names both.
fn creator(detail: &Value) -> Creator {
    let agent = text(detail, "userAgent").unwrap_or_default();
    let invoked_by = detail.get("userIdentity").and_then(|u| text(u, "invokedBy")).unwrap_or_default();
    let has = |word: &str| agent.to_ascii_lowercase().contains(word);
    if has("pulumi") {
        Creator::Pulumi
    } else if has("terraform") || has("opentofu") {
        Creator::Terraform
    } else if invoked_by == "cloudformation.amazonaws.com" || has("cloudformation") {
        Creator::CloudFormation
    } else {
        Creator::Other
    }
}

fn actor(detail: &Value) -> Option<EventText> {
    let identity = detail.get("userIdentity")?;
    let named = ["arn", "invokedBy", "principalId", "accountId"].iter().find_map(|field| scalar(identity, field));
    named.map(|named| EventText::new(&named))
}

/// `{"action": "reconcile", "stream": "<name or ARN>", "prove": true}` or `{"action": "sweep"}`.
fn command(value: &Value, own: &Scope, now: Timestamp) -> Item {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Command {
        action: String,
        stream: String,
        #[serde(default)]
        prove: bool,
    }
    match text(value, "action") {
        Some("reconcile") => {}
        Some("sweep") => return sweep(value, now),
        Some(other) => {
            let other = EventText::new(other);
            return Item::malformed(&format!(
                "field `action`: `{other}` is not known; there are `reconcile` and `sweep`"
            ));
        }
        None => return Item::malformed("field `action` is not a text"),
    }
    let command = match Command::deserialize(value) {
        Ok(command) => command,
        Err(error) => return Item::malformed(&format!("command `reconcile`: {error}")),
    };
    let stream = match StreamName::parse(&command.stream) {
        Some(name) => own.stream(name),
        None => match StreamArn::parse(&command.stream) {
            Some(arn) if arn.scope == *own => arn,
            Some(arn) => return Item::Rejected(RejectReason::Foreign("stream", EventText::new(&arn.to_string()))),
            None => return Item::Rejected(RejectReason::IllegalName("stream", EventText::new(&command.stream))),
        },
    };
    let cause =
        Cause { call: EventText::new(&command.action), event_id: None, actor: None, at: Some(now), creator: None };
    let mut work = Work::new(stream, cause, now);
    work.proof_owed = command.prove;
    Item::Reconcile(Box::new(work))
}

/// `{"action": "sweep"}`; the Scheduler's context may stand beside it, and is not needed.
fn sweep(value: &Value, now: Timestamp) -> Item {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sweep {
        #[serde(rename = "action")]
        _action: String,
        #[serde(rename = "scheduleArn")]
        schedule: Option<EventText>,
        #[serde(rename = "scheduledTime")]
        _at: Option<Value>,
        #[serde(rename = "executionId")]
        execution: Option<EventText>,
        #[serde(rename = "attempt")]
        _attempt: Option<Value>,
    }
    match Sweep::deserialize(value) {
        Ok(Sweep { schedule, execution, .. }) => {
            let cause = Cause {
                call: EventText::new("sweep"),
                event_id: execution,
                actor: schedule,
                at: Some(now),
                creator: None,
            };
            Item::Scan(Box::new(Scan::new(Subject::Fleet, cause, now)))
        }
        Err(error) => Item::malformed(&format!("command `sweep`: {error}")),
    }
}

fn scan_message(value: &Value, now: Timestamp) -> Item {
    match Scan::parse(value, now) {
        Ok(scan) => Item::Scan(Box::new(scan)),
        Err(why) => Item::malformed(&format!("scan message ({}): {why}", scan::VERSION)),
    }
}

fn work_message(value: &Value, own: &Scope, now: Timestamp) -> Item {
    match Work::parse(value, own, now) {
        Ok(work) => Item::Reconcile(Box::new(work)),
        Err(WorkError::Foreign) => {
            let arn = EventText::new(text(value, "stream_arn").unwrap_or_default());
            Item::Rejected(RejectReason::Foreign("stream_arn", arn))
        }
        Err(WorkError::Malformed(why)) => Item::malformed(&format!("work message ({}): {why}", work::VERSION)),
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}
