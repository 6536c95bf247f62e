//! `template.yaml` as a value, and as CloudFormation would resolve it for given parameters. For the tests of both rings, which
//! include this file; it decides nothing about what the template should say.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The template with each tag as an object of one member: `!GetAtt A.Arn` is `{"!GetAtt": "A.Arn"}`.
pub(crate) fn template() -> Value {
    read(include_str!("../../template.yaml"))
}

/// Any template, in the same way.
pub(crate) fn read(text: &str) -> Value {
    let documents = Yaml::load_from_str(text).unwrap_or_default();
    assert_eq!(documents.len(), 1, "the template is not one YAML document");
    documents.first().map_or(Value::Null, to_json)
}

fn to_json(node: &Yaml) -> Value {
    match node {
        Yaml::Mapping(members) => {
            members.iter().map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), to_json(value))).collect()
        }
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Tagged(tag, inner) => json!({ tag.to_string(): to_json(inner) }),
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::String(value)) => json!(value),
        _ => Value::Null,
    }
}

/// Names and properties of the resources of one type.
pub(crate) fn resources<'a>(template: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let all = template["Resources"].as_object().into_iter().flatten();
    all.filter(|(_, it)| it["Type"] == kind).map(|(name, it)| (name.as_str(), &it["Properties"])).collect()
}

/// The template in an account and Region, with parameters.
pub(crate) struct Deployed {
    template: Value,
    given: BTreeMap<String, String>,
}

impl Deployed {
    pub(crate) const ACCOUNT: &str = "111122223333";
    pub(crate) const REGION: &str = "eu-west-1";
    const NAME: &str = "streamseal";

    /// This template with these parameters, and the others at their defaults.
    pub(crate) fn new(parameters: &[(&str, &str)]) -> Self {
        let template = template();
        for (name, _) in parameters {
            assert!(template["Parameters"].get(name).is_some(), "{name} is no parameter of the template");
        }
        let given = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { template, given }
    }

    /// The properties of a resource, with every intrinsic function resolved and without what has no value. `None` where the
    /// resource's condition does not hold.
    pub(crate) fn properties(&self, resource: &str) -> Option<Value> {
        let whole = &self.template["Resources"][resource];
        assert!(whole.is_object(), "{resource} is no resource of the template");
        whole["Condition"]
            .as_str()
            .is_none_or(|name| self.holds(name))
            .then(|| self.resolved(&whole["Properties"]).unwrap_or_default())
    }

    fn holds(&self, condition: &str) -> bool {
        let of_it = &self.template["Conditions"][condition];
        assert!(of_it.is_object(), "{condition} is no condition of the template");
        self.is_true(of_it)
    }

    fn is_true(&self, value: &Value) -> bool {
        let (name, of_it) = value.as_object().and_then(|one| one.iter().next()).unwrap();
        match name.as_str() {
            "!Not" => !self.is_true(&of_it[0]),
            "!And" => of_it.as_array().unwrap().iter().all(|one| self.is_true(one)),
            "!Or" => of_it.as_array().unwrap().iter().any(|one| self.is_true(one)),
            "!Equals" => self.resolved(&of_it[0]) == self.resolved(&of_it[1]),
            "!Condition" | "Condition" => self.holds(of_it.as_str().unwrap()),
            other => panic!("{other} is no function of conditions that is known here"),
        }
    }

    /// `None` is `AWS::NoValue`.
    pub(crate) fn resolved(&self, value: &Value) -> Option<Value> {
        let tag = value.as_object().filter(|one| one.len() == 1).and_then(|one| one.iter().next());
        match tag {
            Some((name, of_it)) if name == "!Ref" => self.reference(of_it.as_str().unwrap()),
            Some((name, of_it)) if name == "!GetAtt" => Some(json!(self.attribute(of_it.as_str().unwrap()))),
            Some((name, of_it)) if name == "!Sub" => Some(json!(match of_it.as_array() {
                Some(with) => self.substituted(with[0].as_str().unwrap(), &with[1]),
                None => self.substituted(of_it.as_str().unwrap(), &Value::Null),
            })),
            Some((name, of_it)) if name == "!Select" => {
                let index = usize::try_from(of_it[0].as_u64().unwrap()).unwrap();
                Some(self.resolved(&of_it[1]).unwrap()[index].take())
            }
            Some((name, of_it)) if name == "!Split" => {
                let whole = self.resolved(&of_it[1]).unwrap();
                Some(whole.as_str().unwrap().split(of_it[0].as_str().unwrap()).map(|part| json!(part)).collect())
            }
            Some((name, of_it)) if name == "!If" => {
                self.resolved(&of_it[if self.holds(of_it[0].as_str().unwrap()) { 1 } else { 2 }])
            }
            Some((name, of_it)) if name == "!Join" => {
                let parts = self.resolved(&of_it[1]).unwrap();
                let parts: Vec<&str> = parts.as_array().unwrap().iter().map(|part| part.as_str().unwrap()).collect();
                Some(json!(parts.join(of_it[0].as_str().unwrap())))
            }
            Some((name, _)) if name.starts_with('!') => panic!("{name} is not known here"),
            _ => Some(match value {
                Value::Array(items) => items.iter().filter_map(|item| self.resolved(item)).collect(),
                Value::Object(members) => {
                    let resolved = members.iter().filter_map(|(name, it)| Some((name.clone(), self.resolved(it)?)));
                    Value::Object(resolved.collect::<Map<_, _>>())
                }
                other => other.clone(),
            }),
        }
    }

    fn reference(&self, name: &str) -> Option<Value> {
        let text = match name {
            "AWS::NoValue" => return None,
            "AWS::AccountId" => Self::ACCOUNT.to_owned(),
            "AWS::Partition" => "aws".to_owned(),
            "AWS::Region" => Self::REGION.to_owned(),
            "AWS::StackName" => Self::NAME.to_owned(),
            "AWS::StackId" => {
                let (region, account, name) = (Self::REGION, Self::ACCOUNT, Self::NAME);
                format!("arn:aws:cloudformation:{region}:{account}:stack/{name}/5f1e0a2c-0b1d-4a6e-9c3f-7d2b8e4a6f10")
            }
            "AWS::URLSuffix" => "amazonaws.com".to_owned(),
            _ => {
                let parameter = &self.template["Parameters"][name];
                if parameter.is_object() {
                    return Some(self.parameter(name, parameter));
                }
                self.physical(name)
            }
        };
        Some(json!(text))
    }

    fn parameter(&self, name: &str, parameter: &Value) -> Value {
        let default = match &parameter["Default"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let text = self.given.get(name).cloned().unwrap_or(default);
        match parameter["Type"].as_str().unwrap() {
            "CommaDelimitedList" => text.split(',').map(|one| json!(one.trim())).collect(),
            _ => json!(text),
        }
    }

    /// What `Ref` gives of a resource: its name, or the URL of a queue.
    fn physical(&self, resource: &str) -> String {
        let of_it = &self.template["Resources"][resource];
        let properties = &of_it["Properties"];
        let name = match properties.get("Name").or_else(|| properties.get("QueueName")) {
            Some(name) => self.resolved(name).unwrap().as_str().unwrap().to_owned(),
            None => format!("{}-{resource}{}", Self::NAME, Self::suffix(of_it)),
        };
        match of_it["Type"].as_str() {
            Some("AWS::SQS::Queue") => format!("https://sqs.{}.amazonaws.com/{}/{name}", Self::REGION, Self::ACCOUNT),
            Some(_) => name,
            None => panic!("{resource} is neither a parameter nor a resource of the template"),
        }
    }

    fn suffix(resource: &Value) -> &str {
        if resource["Properties"]["FifoQueue"] == true { ".fifo" } else { "" }
    }

    fn attribute(&self, place: &str) -> String {
        let (resource, attribute) = place.split_once('.').unwrap();
        let of_it = &self.template["Resources"][resource];
        let physical = self.physical(resource);
        let name = physical.rsplit('/').next().unwrap();
        let arn = |service: &str, what: &str| format!("arn:aws:{service}:{}:{}:{what}", Self::REGION, Self::ACCOUNT);
        match (of_it["Type"].as_str().unwrap(), attribute) {
            ("AWS::SQS::Queue", "Arn") => arn("sqs", name),
            ("AWS::SQS::Queue", "QueueName") => name.to_owned(),
            ("AWS::IAM::Role", "Arn") => format!("arn:aws:iam::{}:role/{name}", Self::ACCOUNT),
            ("AWS::Serverless::Function", "Arn") => arn("lambda", &format!("function:{name}")),
            ("AWS::Events::Rule", "Arn") => arn("events", &format!("rule/{name}")),
            ("AWS::CloudWatch::Alarm", "Arn") => arn("cloudwatch", &format!("alarm:{name}")),
            // With this end (CloudFormation user guide, AWS::Logs::LogGroup, return values).
            ("AWS::Logs::LogGroup", "Arn") => arn("logs", &format!("log-group:{name}:*")),
            (kind, attribute) => panic!("{attribute} of {kind} is not known here"),
        }
    }

    /// A text with its names replaced, those of `with` before all others.
    fn substituted(&self, text: &str, with: &Value) -> String {
        let mut parts = text.split("${");
        let mut whole = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            let value = match name {
                _ if with.get(name).is_some() => self.resolved(&with[name]).unwrap().as_str().unwrap().to_owned(),
                _ if name.contains("::") || !name.contains('.') => match self.reference(name).unwrap() {
                    Value::String(text) => text,
                    other => panic!("{name} is {other}, and no text"),
                },
                _ => self.attribute(name),
            };
            whole.push_str(&value);
            whole.push_str(rest);
        }
        whole
    }
}
