//! A CloudFormation template, as a tree of JSON: the Kinesis streams that it declares. Of a YAML template `!Ref X` is `{"!Ref": "X"}` here.
//!
//! Nothing is deployed and no macro is run: what an intrinsic function comes to is not known, but for a parameter's default.

use serde_json::{Map, Value};

use super::{Change, PlannedEncryption, PlannedStream, planned_key};
use crate::domain::arn::StreamName;
use crate::domain::model::Tags;
use crate::domain::text::EventText;

/// The type of resource.
const STREAM: &str = "AWS::Kinesis::Stream";

/// A value of a template.
enum Known<'a> {
    Absent,
    Text(&'a str),
    /// What it comes from, in words.
    Later(String),
}

/// The streams of a template.
///
/// # Errors
/// Why it is no template, naming the field.
pub fn read(template: &Value) -> Result<Vec<PlannedStream>, String> {
    if template.get("format_version").is_some() {
        return Err("this seems to be a plan of Terraform: use --terraform".to_owned());
    }
    let resources =
        template.get("Resources").ok_or("field `Resources` is missing: this is no CloudFormation template")?;
    let resources = resources.as_object().ok_or("field `Resources`: not a mapping")?;
    let mut streams = Vec::new();
    for (id, resource) in resources {
        if id.starts_with("Fn::ForEach") {
            return Err(format!(
                "field `Resources.{}`: a loop is not read; expand the template first",
                EventText::new(id)
            ));
        }
        if resource.get("Type").and_then(Value::as_str) != Some(STREAM) {
            continue;
        }
        let empty = Map::new();
        let properties = match resource.get("Properties") {
            None => &empty,
            Some(properties) => properties
                .as_object()
                .ok_or_else(|| format!("field `Resources.{}.Properties`: not a mapping", EventText::new(id)))?,
        };
        streams.push(PlannedStream {
            address: EventText::new(id).to_string(),
            change: Change::Declare,
            name: name(template, properties, id)?,
            tags: tags(template, properties),
            region: None,
            encryption: encryption(template, properties),
        });
    }
    Ok(streams)
}

fn name(template: &Value, properties: &Map<String, Value>, id: &str) -> Result<Option<StreamName>, String> {
    match known(template, properties.get("Name")) {
        // Without one CloudFormation makes it.
        Known::Absent | Known::Later(_) => Ok(None),
        Known::Text(name) => match StreamName::parse(name) {
            Some(name) => Ok(Some(name)),
            None => Err(format!("{}: `{}` cannot be a stream's name", EventText::new(id), EventText::new(name))),
        },
    }
}

fn tags(template: &Value, properties: &Map<String, Value>) -> Option<Tags> {
    let Some(tags) = properties.get("Tags") else { return Some(Tags::new()) };
    let one = |tag: &Value| {
        let part = |field| match known(template, tag.get(field)) {
            Known::Text(text) => Some(text.to_owned()),
            Known::Absent | Known::Later(_) => None,
        };
        Some((part("Key")?, part("Value")?))
    };
    tags.as_array()?.iter().map(one).collect()
}

fn encryption(template: &Value, properties: &Map<String, Value>) -> PlannedEncryption {
    let setting = match properties.get("StreamEncryption") {
        None => return PlannedEncryption::None,
        Some(setting) => setting,
    };
    if let Some(function) = function(setting) {
        return if is_no_value(setting) {
            PlannedEncryption::None
        } else {
            PlannedEncryption::Unknown(later(function))
        };
    }
    match known(template, setting.get("EncryptionType")) {
        Known::Text("KMS") => {}
        Known::Text("NONE") | Known::Absent => return PlannedEncryption::None,
        Known::Text(other) => {
            return PlannedEncryption::Illegal(format!("`{}` is no encryption type", EventText::new(other)));
        }
        Known::Later(why) => return PlannedEncryption::Unknown(why),
    }
    match known(template, setting.get("KeyId")) {
        Known::Text(key) => planned_key(key),
        Known::Absent => PlannedEncryption::Illegal("`EncryptionType` is KMS and there is no `KeyId`".to_owned()),
        Known::Later(why) => PlannedEncryption::UnknownKey(why),
    }
}

/// A value, through the default of a parameter.
fn known<'a>(template: &'a Value, value: Option<&'a Value>) -> Known<'a> {
    match value {
        None | Some(Value::Null) => Known::Absent,
        Some(Value::String(text)) => Known::Text(text),
        Some(value) if is_no_value(value) => Known::Absent,
        Some(value) => {
            let default = referred(value).and_then(|name| default(template, name));
            match (default, function(value)) {
                (Some(default), _) => Known::Text(default),
                (None, Some(name)) => Known::Later(later(name)),
                (None, None) => Known::Later("it is no text".to_owned()),
            }
        }
    }
}

/// The default of a parameter that is a text: of other types it is a name, or no single value. One with `NoEcho` is not for output.
fn default<'a>(template: &'a Value, name: &str) -> Option<&'a str> {
    let parameter = template.get("Parameters")?.get(name)?;
    let is_text = parameter.get("Type").and_then(Value::as_str) == Some("String") && parameter.get("NoEcho").is_none();
    parameter.get("Default")?.as_str().filter(|default| is_text && !default.is_empty())
}

fn later(function: &str) -> String {
    format!("known only after the template is deployed (from {})", EventText::new(function))
}

/// The intrinsic function that a value is, by its name.
fn function(value: &Value) -> Option<&str> {
    let members = value.as_object()?;
    let (name, _) = members.iter().next().filter(|_| members.len() == 1)?;
    (name == "Ref" || name.starts_with("Fn::") || name.starts_with('!')).then_some(name)
}

/// What a `Ref` refers to.
fn referred(value: &Value) -> Option<&str> {
    value.get("Ref").or_else(|| value.get("!Ref"))?.as_str()
}

fn is_no_value(value: &Value) -> bool {
    referred(value) == Some("AWS::NoValue")
}
