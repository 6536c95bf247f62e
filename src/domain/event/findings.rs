//! Findings of AWS Config and Security Hub that a stream is not encrypted. A finding says no more than any event: observe
//! that stream. What it says of the state is not believed.
//!
//! Delegated administrators and aggregation Regions receive findings of other accounts and Regions: those are rejected.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::found::Found;
use super::item::Item;
use super::reason::{IgnoreReason, RejectReason};
use super::record::{scalar, text};
use crate::domain::arn::{Scope, StreamArn, StreamName};
use crate::domain::bounds::happened_at;
use crate::domain::cause::Cause;
use crate::domain::text::EventText;
use crate::domain::work::Work;

/// Security Hub's control for encryption at rest; its others about Kinesis ask for tags and retention.
const CONTROL: &str = "Kinesis.1";

/// `Config Rules Compliance Change`. Rules have many names (Security Hub's and conformance packs' copies among them), so the
/// resource's type decides and not the rule.
pub(super) fn config_change(event: &Value, own: &Scope, now: Timestamp) -> Item {
    let Some(detail) = event.get("detail").filter(|d| d.is_object()) else {
        return Item::malformed("field `detail` is not an object");
    };
    if text(detail, "resourceType") != Some("AWS::Kinesis::Stream") {
        let kind = EventText::new(text(detail, "resourceType").unwrap_or("(none)"));
        return Item::Ignored(IgnoreReason::OtherResource(kind));
    }
    let compliance = detail.get("newEvaluationResult").and_then(|r| text(r, "complianceType")).unwrap_or("(none)");
    if compliance != "NON_COMPLIANT" {
        return Item::Ignored(IgnoreReason::NotAFault(EventText::new(compliance)));
    }
    let places = [
        ("detail.awsAccountId", scalar(detail, "awsAccountId"), &own.account),
        ("detail.awsRegion", scalar(detail, "awsRegion"), &own.region),
        ("account", scalar(event, "account"), &own.account),
    ];
    if let Err(reason) = ours(&places) {
        return Item::Rejected(reason);
    }
    let rule = text(detail, "configRuleName").unwrap_or("(unnamed)");
    let at = detail.get("newEvaluationResult").and_then(|r| text(r, "resultRecordedTime"));
    let call = format!("NON_COMPLIANT by Config rule {rule}");
    finding("detail.resourceId", text(detail, "resourceId"), &call, event, at, own, now)
}

/// `Security Hub Findings - Imported` and `- Custom Action` (ASFF), `Findings Imported V2` (OCSF): `findings` is an array in all.
pub(super) fn security_hub(event: &Value, own: &Scope, now: Timestamp, found: &mut Found) {
    let v2 = text(event, "detail-type") == Some("Findings Imported V2");
    let Some(findings) = event.get("detail").and_then(|d| d.get("findings")).and_then(Value::as_array) else {
        return found.push(Item::malformed("field `detail.findings` is not an array"));
    };
    if findings.is_empty() {
        return found.push(Item::Ignored(IgnoreReason::Empty));
    }
    let each = if v2 { ocsf } else { asff };
    findings.iter().for_each(|finding| each(finding, event, own, now, found));
}

fn asff(finding: &Value, event: &Value, own: &Scope, now: Timestamp, found: &mut Found) {
    let at = |path: &str| finding.pointer(path).and_then(Value::as_str).unwrap_or_default();
    // Without consolidated control findings the control is the end of the generator's id.
    let generator = at("/GeneratorId").rsplit('/').next().unwrap_or_default();
    if ![at("/Compliance/SecurityControlId"), generator].contains(&CONTROL) {
        return found.push(Item::Ignored(IgnoreReason::OtherControl(EventText::new(at("/GeneratorId")))));
    }
    let open = matches!(at("/Compliance/Status"), "FAILED" | "WARNING")
        && matches!(at("/RecordState"), "ACTIVE" | "")
        && matches!(at("/Workflow/Status"), "NEW" | "NOTIFIED" | "");
    if !open {
        let state = [at("/Compliance/Status"), at("/RecordState"), at("/Workflow/Status")].join(" ");
        return found.push(Item::Ignored(IgnoreReason::NotAFault(EventText::new(&state))));
    }
    let places = [
        ("AwsAccountId", scalar(finding, "AwsAccountId"), &own.account),
        ("Region", scalar(finding, "Region"), &own.region),
    ];
    if let Err(reason) = ours(&places) {
        return found.push(Item::Rejected(reason));
    }
    resources(finding, ["Resources", "Type", "AwsKinesisStream"], found, |resource| {
        let updated = text(finding, "UpdatedAt");
        self::finding("Resources.Id", text(resource, "Id"), "Security Hub Kinesis.1", event, updated, own, now)
    });
}

fn ocsf(finding: &Value, event: &Value, own: &Scope, now: Timestamp, found: &mut Found) {
    let at = |path: &str| finding.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let number = |path: &str| finding.pointer(path).and_then(Value::as_i64);
    if at("/compliance/control") != CONTROL {
        return found.push(Item::Ignored(IgnoreReason::OtherControl(EventText::new(at("/compliance/control")))));
    }
    let status = at("/compliance/status").to_ascii_lowercase();
    // status_id: 3 suppressed, 4 resolved, 5 archived; activity_id 3: closed.
    let open = matches!(status.as_str(), "fail" | "failed" | "warning")
        && !matches!(number("/status_id"), Some(3..=5))
        && number("/activity_id") != Some(3);
    if !open {
        return found
            .push(Item::Ignored(IgnoreReason::NotAFault(EventText::new(&format!("{status} {}", at("/status"))))));
    }
    let account = finding.pointer("/cloud/account").and_then(|account| scalar(account, "uid"));
    let region = finding.get("cloud").and_then(|cloud| scalar(cloud, "region"));
    if let Err(reason) = ours(&[("cloud.account.uid", account, &own.account), ("cloud.region", region, &own.region)]) {
        return found.push(Item::Rejected(reason));
    }
    resources(finding, ["resources", "type", "AWS::Kinesis::Stream"], found, |resource| {
        // The ARN stands in any of these, and sometimes only the name does.
        let names = ["uid_alt", "uid", "name"].map(|field| text(resource, field));
        let arn = names.iter().flatten().find(|name| name.starts_with("arn:"));
        let named = arn.or_else(|| names.iter().flatten().next()).copied();
        let modified = finding.pointer("/finding_info/modified_time_dt").and_then(Value::as_str);
        self::finding("resources.uid", named, "Security Hub Kinesis.1", event, modified, own, now)
    });
}

/// The streams among a finding's resources: `list`, whose members have `kind` in their `field`.
fn resources(finding: &Value, [list, field, kind]: [&str; 3], found: &mut Found, item: impl Fn(&Value) -> Item) {
    let all = finding.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut streams = all.iter().filter(|resource| text(resource, field) == Some(kind)).peekable();
    if streams.peek().is_none() {
        let kinds = all.first().and_then(|resource| text(resource, field)).unwrap_or("(none)");
        return found.push(Item::Ignored(IgnoreReason::OtherResource(EventText::new(kinds))));
    }
    streams.for_each(|resource| found.push(item(resource)));
}

/// Each of these must be there and be ours.
fn ours(places: &[(&'static str, Option<Cow<'_, str>>, &String)]) -> Result<(), RejectReason> {
    for (field, value, ours) in places {
        match value {
            Some(value) if value != ours.as_str() => {
                return Err(RejectReason::Foreign(field, EventText::new(value)));
            }
            Some(_) => {}
            None => return Err(RejectReason::NoScope(field)),
        }
    }
    Ok(())
}

fn finding(
    field: &'static str,
    named: Option<&str>,
    call: &str,
    event: &Value,
    at: Option<&str>,
    own: &Scope,
    now: Timestamp,
) -> Item {
    let Some(named) = named else { return Item::Rejected(RejectReason::NoStream(EventText::new(call))) };
    let stream = match (StreamName::parse(named), StreamArn::parse(named)) {
        (Some(name), _) => own.stream(name),
        (None, Some(arn)) if arn.scope == *own => arn,
        (None, Some(_)) => return Item::Rejected(RejectReason::Foreign(field, EventText::new(named))),
        (None, None) => return Item::Rejected(RejectReason::IllegalName(field, EventText::new(named))),
    };
    let cause = Cause {
        call: EventText::new(call),
        event_id: text(event, "id").map(EventText::new),
        actor: None,
        at: happened_at(at.or_else(|| text(event, "time")), now),
        creator: None,
    };
    Item::Reconcile(Box::new(Work::new(stream, cause, now)))
}
