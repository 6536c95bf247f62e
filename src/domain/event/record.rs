//! The one reader of CloudTrail's records, for events and for the event history. Every member is optional: about a fifth of real records
//! lack one that a typed structure would ask for.

use std::borrow::Cow;

use serde_json::Value;

use super::reason::RejectReason;
use crate::domain::arn::Scope;
use crate::domain::cause::Creator;
use crate::domain::text::EventText;

/// Why a recorded call failed. A call that worked has no such member; an empty one says no more.
pub(in crate::domain) fn error_of(record: &Value) -> Option<EventText> {
    let code = record.get("errorCode").filter(|code| !code.is_null() && code.as_str() != Some(""))?;
    Some(EventText::new(code.as_str().unwrap_or_default()))
}

/// The ARN in a call's parameters, in either spelling, and under which one; an error where the two differ. CloudTrail lower-cases only the
/// first letter of the API's member; `streamArn` was never seen and is taken all the same.
pub(in crate::domain) fn arn_of<'a>(
    parameters: &'a Value,
    fields: [&'static str; 2],
) -> Result<Option<(&'static str, &'a Value)>, RejectReason> {
    let [first, second] = fields.map(|field| parameters.get(field).filter(|value| !value.is_null()));
    if let (Some(first), Some(second)) = (first, second)
        && first != second
    {
        let [first, second] = [first, second].map(|arn| EventText::new(arn.as_str().unwrap_or("(not text)")));
        return Err(RejectReason::Disagreement(first, second));
    }
    Ok(fields.into_iter().zip([first, second]).find_map(|(field, value)| Some((field, value?))))
}

/// Whose event it is: envelope and record must name this account and Region wherever they name one.
pub(super) fn check_scope(event: &Value, detail: &Value, own: &Scope) -> Result<(), RejectReason> {
    let account = account_of(event, detail, own)?;
    if account == own.account { Ok(()) } else { Err(RejectReason::Foreign("account", EventText::new(&account))) }
}

/// The account of an event of this Region; envelope and record must agree. Where one of them is another's than ours, that one is
/// returned or named.
pub(super) fn account_of(event: &Value, detail: &Value, own: &Scope) -> Result<String, RejectReason> {
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
pub(super) fn scalar<'a>(value: &'a Value, field: &str) -> Option<Cow<'a, str>> {
    match value.get(field)? {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(match number.as_u64() {
            Some(number) => Cow::Owned(format!("{number:012}")),
            None => Cow::Owned(number.to_string()),
        }),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Some(Cow::Borrowed("(not text)")),
    }
}

/// Pulumi before Terraform: its AWS provider is built on Terraform's and names both.
pub(super) fn creator(detail: &Value) -> Creator {
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

/// Who called.
pub(in crate::domain) fn actor(detail: &Value) -> Option<EventText> {
    let identity = detail.get("userIdentity")?;
    let named = ["arn", "invokedBy", "principalId", "accountId"].iter().find_map(|field| scalar(identity, field));
    named.map(|named| EventText::new(&named))
}

/// A member as text.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}
