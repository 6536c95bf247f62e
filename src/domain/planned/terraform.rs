//! A plan of Terraform or OpenTofu, as `terraform show -json` writes it (HashiCorp, JSON output format, 1.x): the Kinesis streams that it
//! would create or change.

use serde_json::{Map, Value};

use super::{Change, PlannedEncryption, PlannedStream, planned_key};
use crate::domain::arn::StreamName;
use crate::domain::model::Tags;
use crate::domain::text::EventText;

/// The type of resource.
const STREAM: &str = "aws_kinesis_stream";
/// Why a value is not known.
const LATER: &str = "known only after the plan is applied";

/// The streams of a plan.
///
/// # Errors
/// Why it is no such plan, naming the field.
pub fn read(plan: &Value) -> Result<Vec<PlannedStream>, String> {
    let version = plan.get("format_version").and_then(Value::as_str);
    match version {
        Some(version) if version.starts_with("1.") => {}
        Some(version) => {
            return Err(format!("field `format_version`: `{}` is not 1.x", EventText::new(version)));
        }
        None if plan.get("Resources").is_some() => {
            return Err("this seems to be a CloudFormation template: use --cloudformation".to_owned());
        }
        None => {
            return Err("field `format_version` is missing: write the file with `terraform show -json PLAN`".to_owned());
        }
    }
    if plan.get("errored") == Some(&Value::Bool(true)) {
        return Err("field `errored`: the plan failed and is incomplete".to_owned());
    }
    let Some(changes) = plan.get("resource_changes") else {
        // A plan without changes has no such field; a state has `values` and nothing that is planned.
        let is_plan = plan.get("planned_values").is_some();
        return match is_plan {
            true => Ok(Vec::new()),
            false => {
                Err("this is a state, not a plan: `terraform plan -out PLAN`, then `terraform show -json PLAN`"
                    .to_owned())
            }
        };
    };
    let Some(changes) = changes.as_array() else { return Err("field `resource_changes`: not a list".to_owned()) };
    let mut streams = Vec::new();
    for (number, resource) in changes.iter().enumerate() {
        let text = |field: &str| resource.get(field).and_then(Value::as_str);
        if text("type") != Some(STREAM) || text("mode") != Some("managed") {
            continue;
        }
        let place = || format!("resource_changes[{number}]");
        let address = text("address").ok_or_else(|| format!("field `{}.address` is missing", place()))?;
        let change = resource.get("change").and_then(Value::as_object);
        let change = change.ok_or_else(|| format!("field `{}.change` is missing", place()))?;
        let Some(what) = actions(change).ok_or_else(|| format!("field `{}.change.actions`: not known", place()))?
        else {
            continue;
        };
        let after = change.get("after").and_then(Value::as_object);
        let after = after.ok_or_else(|| format!("field `{}.change.after` is missing", place()))?;
        let unknown = change.get("after_unknown").unwrap_or(&Value::Null);
        let reference = reference(plan, address);
        streams.push(PlannedStream {
            address: EventText::new(address).to_string(),
            change: what,
            name: name(after, address)?,
            tags: tags(after, unknown),
            region: after.get("region").and_then(Value::as_str).map(str::to_owned).or_else(|| provider_region(plan)),
            encryption: encryption(after, unknown, reference.as_deref()),
        });
    }
    Ok(streams)
}

/// What the actions come to: `Some(None)` where nothing of the stream is made or changed, `None` where they are not known.
fn actions(change: &Map<String, Value>) -> Option<Option<Change>> {
    let actions: Vec<&str> = change.get("actions")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(match actions.as_slice() {
        ["no-op" | "read" | "delete" | "forget"] => None,
        ["create"] => Some(Change::Create),
        ["update"] => Some(Change::Update),
        ["delete", "create"] | ["create", "delete"] | ["create", "forget"] => Some(Change::Replace),
        _ => return None,
    })
}

fn name(after: &Map<String, Value>, address: &str) -> Result<Option<StreamName>, String> {
    match after.get("name").and_then(Value::as_str) {
        None => Ok(None),
        Some(name) => match StreamName::parse(name) {
            Some(name) => Ok(Some(name)),
            None => Err(format!("{}: `{}` cannot be a stream's name", EventText::new(address), EventText::new(name))),
        },
    }
}

/// All tags, the provider's default ones included; `None` where some are not known yet.
fn tags(after: &Map<String, Value>, unknown: &Value) -> Option<Tags> {
    let is_unknown = |field: &str| match unknown.get(field) {
        Some(Value::Bool(unknown)) => *unknown,
        Some(Value::Object(members)) => members.values().any(|member| member == &Value::Bool(true)),
        _ => false,
    };
    let field = if after.contains_key("tags_all") || is_unknown("tags_all") { "tags_all" } else { "tags" };
    if is_unknown(field) {
        return None;
    }
    let members = after.get(field).and_then(Value::as_object).into_iter().flatten();
    Some(members.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect())
}

fn encryption(after: &Map<String, Value>, unknown: &Value, reference: Option<&str>) -> PlannedEncryption {
    let is_unknown = |field: &str| unknown.get(field) == Some(&Value::Bool(true));
    let later = || reference.map_or_else(|| LATER.to_owned(), |from| format!("{LATER} (from {from})"));
    // The provider's default is NONE.
    let kind = after.get("encryption_type").and_then(Value::as_str).unwrap_or("NONE");
    match kind {
        _ if is_unknown("encryption_type") => PlannedEncryption::Unknown(LATER.to_owned()),
        "NONE" => PlannedEncryption::None,
        "KMS" if is_unknown("kms_key_id") => PlannedEncryption::UnknownKey(later()),
        "KMS" => match after.get("kms_key_id").and_then(Value::as_str) {
            Some(key) => planned_key(key),
            None => PlannedEncryption::Illegal("`encryption_type` is KMS and there is no `kms_key_id`".to_owned()),
        },
        other => {
            PlannedEncryption::Illegal(format!("`{}` is not an encryption type (NONE or KMS)", EventText::new(other)))
        }
    }
}

/// What the stream's `kms_key_id` refers to, as its module's configuration says.
fn reference(plan: &Value, address: &str) -> Option<String> {
    let mut module = plan.pointer("/configuration/root_module")?;
    let mut rest = address;
    while let Some(inner) = rest.strip_prefix("module.") {
        let end = inner.find(['.', '['])?;
        let (call, after) = inner.split_at_checked(end)?;
        module = module.get("module_calls")?.get(call)?.get("module")?;
        // `["a.b"]` or `[0]`: the key may hold anything but the end of the brackets.
        rest = match after.strip_prefix('[') {
            Some(key) => key.split_once("].")?.1,
            None => after.strip_prefix('.')?,
        };
    }
    let own = rest.split_once('[').map_or(rest, |(name, _)| name);
    let resources = module.get("resources")?.as_array()?;
    let resource = resources.iter().find(|resource| resource.get("address").and_then(Value::as_str) == Some(own))?;
    let references = resource.pointer("/expressions/kms_key_id/references")?.as_array()?;
    references.first()?.as_str().map(|reference| EventText::new(reference).to_string())
}

/// The Region of the plan's only provider of AWS, where it is a constant.
fn provider_region(plan: &Value) -> Option<String> {
    let providers = plan.pointer("/configuration/provider_config")?.as_object()?;
    let mut ours = providers.values().filter(|provider| provider.get("name").and_then(Value::as_str) == Some("aws"));
    let only = ours.next().filter(|_| ours.next().is_none())?;
    only.pointer("/expressions/region/constant_value")?.as_str().map(str::to_owned)
}
