//! What happened to KMS keys and aliases, and what else asks for a scan: schedules, and parameters that changed.
//!
//! Which rules and streams a key or an alias concerns is not known here: an event becomes a scan that was asked for, and the
//! handler, who has the policy, may drop it. That goes for keys of other accounts too, whose events somebody forwards: they are
//! a reason to check where the policy names the key or its alias, and rejected where it does not.

use jiff::Timestamp;
use serde_json::Value;

use super::call::{cause_of, recorded_call};
use super::item::Item;
use super::reason::{IgnoreReason, RejectReason};
use super::record::{account_of, check_scope, text};
use crate::domain::arn::{KeyArn, KeyRef, Scope};
use crate::domain::bounds::happened_at;
use crate::domain::cause::{Cause, PARAMETER_CHANGE};
use crate::domain::scan::Scan;
use crate::domain::scan::subject::{KeyEvent, Subject};
use crate::domain::text::EventText;

/// The calls of KMS whose events ask for a scan, and what each says of its key; `None`: of an alias.
pub const KEY_CALLS: [(&str, Option<KeyEvent>); 11] = [
    ("CancelKeyDeletion", Some(KeyEvent::Changed)),
    ("CreateAlias", None),
    ("DeleteAlias", None),
    ("DeleteImportedKeyMaterial", Some(KeyEvent::Lost)),
    ("DisableKey", Some(KeyEvent::Lost)),
    ("EnableKey", Some(KeyEvent::Changed)),
    ("ImportKeyMaterial", Some(KeyEvent::Changed)),
    ("PutKeyPolicy", Some(KeyEvent::Changed)),
    ("RotateKeyOnDemand", Some(KeyEvent::Rotated)),
    ("ScheduleKeyDeletion", Some(KeyEvent::Lost)),
    ("UpdateAlias", None),
];
/// The same of those that KMS makes by itself (`AWS Service Event via CloudTrail`).
pub const KEY_SERVICE_EVENTS: [(&str, Option<KeyEvent>); 3] = [
    ("DeleteExpiredKeyMaterial", Some(KeyEvent::Lost)),
    ("DeleteKey", Some(KeyEvent::Lost)),
    ("RotateKey", Some(KeyEvent::Rotated)),
];
/// KMS's own events: the end of a key, new material, the end of imported material. They need no trail.
pub const KEY_EVENTS: [(&str, KeyEvent); 3] = [
    ("KMS CMK Deletion", KeyEvent::Lost),
    ("KMS CMK Rotation", KeyEvent::Rotated),
    ("KMS Imported Key Material Expiration", KeyEvent::Lost),
];

/// One of [`KEY_EVENTS`].
pub(super) fn direct(event: &Value, kind: &str, own: &Scope, now: Timestamp) -> Item {
    let Some((_, key_event)) = KEY_EVENTS.into_iter().find(|(known, _)| *known == kind) else {
        return Item::Ignored(IgnoreReason::OtherEvent(EventText::new("aws.kms"), EventText::new(kind)));
    };
    let call = EventText::new(kind);
    let account = match account_of(event, &Value::Null, own) {
        Ok(account) => account,
        Err(reason) => return Item::Rejected(reason),
    };
    let resource = event.pointer("/resources/0").and_then(Value::as_str);
    let named = resource.or_else(|| event.pointer("/detail/key-id").and_then(Value::as_str));
    let key = match named.map(|named| key_arn(named, &account, own)) {
        Some(Ok(key)) => key,
        Some(Err(reason)) => return Item::Rejected(reason),
        None => return Item::Rejected(RejectReason::NoKey(call)),
    };
    let cause = Cause {
        call,
        event_id: text(event, "id").map(EventText::new),
        actor: None,
        at: happened_at(text(event, "time"), now),
        creator: None,
    };
    Item::Scan(Box::new(Scan::new(Subject::Key { key, event: key_event }, cause, now)))
}

/// A call of KMS that CloudTrail recorded, AWS's own (`AWS Service Event via CloudTrail`) included.
pub(super) fn call(event: &Value, own: &Scope, now: Timestamp) -> Item {
    // WorkMail and Lambda have calls of these names too.
    let (detail, name, call) = match recorded_call(event, "kms") {
        Ok(recorded) => recorded,
        Err(item) => return item,
    };
    let mut known = KEY_CALLS.into_iter().chain(KEY_SERVICE_EVENTS);
    let Some((_, key_event)) = known.find(|(known, _)| *known == name) else {
        return Item::Ignored(IgnoreReason::OtherKeyCall(call));
    };
    let account = match account_of(event, detail, own) {
        Ok(account) => account,
        Err(reason) => return Item::Rejected(reason),
    };
    let subject = match key_event {
        Some(key_event) => key_of(detail, &call, &account, own).map(|key| Subject::Key { key, event: key_event }),
        None => alias_of(detail, &call, &account, own).map(|alias| Subject::Alias { alias }),
    };
    let cause = cause_of(event, detail, call, now);
    match subject {
        Ok(subject) => Item::Scan(Box::new(Scan::new(subject, cause, now))),
        Err(reason) => Item::Rejected(reason),
    }
}

/// The alias that a call was about: by its name where it is one of ours, by its ARN where it is another account's.
fn alias_of(detail: &Value, call: &EventText, account: &str, own: &Scope) -> Result<KeyRef, RejectReason> {
    let Some(name) = detail.pointer("/requestParameters/aliasName").filter(|name| !name.is_null()) else {
        return Err(RejectReason::NoKey(call.clone()));
    };
    let name = name.as_str().unwrap_or("(not text)");
    let Scope { partition, region, account: ours } = own;
    let alias = KeyRef::parse(name).filter(|_| name.starts_with("alias/"));
    let alias = alias.and_then(|alias| match account == ours {
        true => Some(alias),
        false => KeyRef::parse(&format!("arn:{partition}:kms:{region}:{account}:{alias}")),
    });
    alias.ok_or_else(|| RejectReason::IllegalKey("requestParameters.aliasName", EventText::new(name)))
}

/// The key that a call was about: its ARN stands in `resources`, or in the answer; the parameters may have it by its id alone, and
/// of calls that AWS made itself only `serviceEventDetails` names it.
fn key_of(detail: &Value, call: &EventText, account: &str, own: &Scope) -> Result<KeyArn, RejectReason> {
    let resources = detail.get("resources").and_then(Value::as_array).into_iter().flatten();
    let mut arns = resources.filter_map(|resource| text(resource, "ARN"));
    let places = ["/responseElements/keyId", "/requestParameters/keyId", "/serviceEventDetails/keyId"];
    let named = arns.find(|arn| arn.contains(":key/")).or_else(|| {
        // An alias names no key for good.
        let texts = places.iter().filter_map(|place| detail.pointer(place)?.as_str());
        texts.filter(|named| !named.contains("alias/")).max_by_key(|named| named.starts_with("arn:"))
    });
    match named {
        Some(named) => key_arn(named, account, own),
        None => Err(RejectReason::NoKey(call.clone())),
    }
}

/// A key by its ARN, or by its id: then it is one of the event's account. A key of another account may serve streams here, one of
/// another Region cannot. What another account's event says of a third account's key, or of ours, is not believed.
fn key_arn(named: &str, account: &str, own: &Scope) -> Result<KeyArn, RejectReason> {
    let Scope { partition, region, account: ours } = own;
    let arn =
        KeyArn::parse(named).or_else(|| KeyArn::parse(&format!("arn:{partition}:kms:{region}:{account}:key/{named}")));
    let arn = arn.ok_or_else(|| RejectReason::IllegalKey("key", EventText::new(named)))?;
    let here = Scope { account: arn.account().to_owned(), ..own.clone() };
    let whose = account == ours || account == arn.account();
    if arn.is_of(&here) && whose { Ok(arn) } else { Err(RejectReason::Foreign("key", EventText::new(named))) }
}

/// A schedule of EventBridge, or of its Scheduler with no input of its own: a sweep.
pub(super) fn schedule(event: &Value, own: &Scope, now: Timestamp) -> Item {
    if let Err(reason) = check_scope(event, &Value::Null, own) {
        return Item::Rejected(reason);
    }
    let cause = Cause {
        call: EventText::new("schedule"),
        event_id: text(event, "id").map(EventText::new),
        actor: event.pointer("/resources/0").and_then(Value::as_str).map(EventText::new),
        at: happened_at(text(event, "time"), now),
        creator: None,
    };
    Item::Scan(Box::new(Scan::new(Subject::Fleet, cause, now)))
}

/// A parameter of Systems Manager changed: a sweep, if it is the policy's or the mode's.
pub(super) fn parameter_change(event: &Value, own: &Scope, now: Timestamp) -> Item {
    let Some(name) = event.pointer("/detail/name").and_then(Value::as_str) else {
        return Item::malformed("field `detail.name` is missing");
    };
    let operation = event.pointer("/detail/operation").and_then(Value::as_str).unwrap_or_default();
    if !matches!(operation, "Create" | "Update") {
        return Item::Ignored(IgnoreReason::OtherCall(EventText::new(operation)));
    }
    if let Err(reason) = check_scope(event, &Value::Null, own) {
        return Item::Rejected(reason);
    }
    let cause = Cause {
        call: EventText::new(PARAMETER_CHANGE),
        event_id: text(event, "id").map(EventText::new),
        actor: None,
        at: happened_at(text(event, "time"), now),
        creator: None,
    };
    Item::PolicyChanged(EventText::new(name), Box::new(Scan::new(Subject::Fleet, cause, now)))
}
