//! The role: whether it may make every call of the function, and those that others make in its name, as IAM's simulator says. Reads
//! only.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_lambda::types::TracingMode;

use super::checks::{Needs, queue_keys};
use super::deployed::{Deployed, queue_arn};
use super::finding::Finding;
use crate::cli::context::{Context, parameter_arn};
use crate::cli::simulator::{Answer, Refusal, entry, simulate};
use crate::domain::access::request::{Known, STREAM_KEY};
use crate::domain::arn::{Arn, Scope};
use crate::domain::bus::Bus;
use crate::domain::remedy::permission::statement;

/// What the function works with.
pub(super) struct Works<'a> {
    /// Names of the parameters that hold the policy and the mode.
    pub(super) parameters: &'a [String],
    /// ARNs of the keys that streams may get.
    pub(super) keys: &'a [String],
    /// What its rules need.
    pub(super) needs: Needs,
}

/// Calls on the same resources, in the same circumstances.
struct Asked {
    calls: Vec<&'static str>,
    resources: Vec<String>,
    /// The service by way of which a key is used.
    through: Option<&'static str>,
}

/// Every call that the function makes, or that others make in its name; `queue_keys` are the keys of the queues.
fn calls_of(own: &Scope, deployed: &Deployed, works: &Works<'_>, queue_keys: Vec<String>) -> Vec<Asked> {
    let Works { parameters, keys, needs: Needs { observes, guards, .. } } = *works;
    let Scope { partition, region, account } = own;
    let of = |calls: &[&'static str], resources: Vec<String>| Asked { calls: calls.to_vec(), resources, through: None };
    let streams = vec![format!("arn:{partition}:kinesis:{region}:{account}:stream/any")];
    let keys = match keys {
        [] => vec![format!("arn:{partition}:kms:{region}:{account}:key/any")],
        keys => keys.to_vec(),
    };
    let mut all = vec![
        of(
            &[
                "kinesis:DescribeStreamSummary",
                "kinesis:ListTagsForStream",
                "kinesis:PutRecord",
                "kinesis:StartStreamEncryption",
            ],
            streams.clone(),
        ),
        of(&["cloudtrail:LookupEvents", "kinesis:ListStreams", "tag:GetResources"], vec!["*".to_owned()]),
        of(&["kinesis:StartStreamEncryption", "kms:DescribeKey"], keys.clone()),
    ];
    if guards {
        all.push(of(&["cloudwatch:GetMetricData"], vec!["*".to_owned()]));
        all.push(of(&["kinesis:GetResourcePolicy", "kinesis:ListStreamConsumers"], streams.clone()));
    }
    let mut of_records = vec!["kms:GenerateDataKey"];
    if observes {
        all.push(of(&["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"], streams));
        of_records.push("kms:Decrypt");
    }
    all.push(Asked { through: Some("kinesis"), ..of(&of_records, keys) });
    all.push(of(&["ssm:GetParameter"], parameters.iter().map(|name| parameter_arn(own, name)).collect()));
    let queues = [&deployed.work, &deployed.scans].into_iter().flatten();
    all.push(of(
        &["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"],
        queues.map(|url| queue_arn(url, own)).collect(),
    ));
    let log = deployed
        .log_group
        .iter()
        .map(|name| format!("arn:{partition}:logs:{region}:{account}:log-group:{name}:log-stream:any"));
    all.push(of(&["logs:CreateLogStream", "logs:PutLogEvents"], log.collect()));
    // SQS encrypts what is sent and decrypts what is received (SQS developer guide, key management).
    all.push(Asked { through: Some("sqs"), ..of(&["kms:Decrypt", "kms:GenerateDataKey"], queue_keys) });
    // A bus without a Region in its name is one of this account and Region.
    let bus = deployed.variable("RESULT_BUS").and_then(|bus| Bus::parse(&bus, partition));
    let bus = bus.map(|Bus { name, region: of }| match of {
        Some(_) => name,
        None => format!("arn:{partition}:events:{region}:{account}:event-bus/{name}"),
    });
    all.push(of(&["events:PutEvents"], bus.into_iter().collect()));
    let tracing = deployed.configuration.as_ref().and_then(|of| of.tracing_config.as_ref()?.mode.as_ref());
    if tracing == Some(&TracingMode::Active) {
        all.push(of(&["xray:PutTelemetryRecords", "xray:PutTraceSegments"], vec!["*".to_owned()]));
    }
    all
}

/// Why a call is refused; `None` where it is allowed. One that the simulator says nothing of is allowed by nothing.
fn refused_by(answer: Option<Answer>) -> Option<Refusal> {
    answer.map_or(Some(Refusal::NoStatement), |answer| answer.refusal)
}

/// What is said of a call that is refused on these resources, and how to fix it.
fn finding(call: &str, why: &Refusal, resources: &[&str], role: &str, own: &Scope) -> Finding {
    let allow = statement(call, Some(own), resources);
    match why {
        Refusal::NoStatement => Finding::fault(
            "role",
            format!("it is not allowed to call {call}"),
            format!(
                "add to a policy of \
                 {role}:\n{allow}"
            ),
        ),
        Refusal::Denied(policies) => {
            let of = match policies.as_slice() {
                [] => format!("the policies of {role}"),
                some => format!("{} of {role}", some.join(", ")),
            };
            let on = resources.join(", ");
            let how = format!("remove the Deny of {call} on {on} from {of}: an Allow cannot override a Deny");
            Finding::fault("role", format!("a statement denies {call}"), how)
        }
        Refusal::Boundary => Finding::fault(
            "role",
            format!("the permissions boundary of {role} does not allow {call}"),
            format!("add to its permissions boundary:\n{allow}"),
        ),
        Refusal::Organization => Finding::fault(
            "role",
            format!("a policy of the organization does not allow {role} to call {call}"),
            format!("ask those who manage the organization's service control policies to allow it:\n{allow}"),
        ),
    }
}

/// Whether the role may make the function's calls, as far as its own policies say.
pub(super) async fn role(context: &Context, deployed: &Deployed, role: &str, works: &Works<'_>) -> Vec<Finding> {
    let own = &context.config.own;
    let client = aws_sdk_iam::Client::new(&context.sdk);
    let (keys, mut findings) = queue_keys(context, deployed).await;
    let (mut refused, mut asked_of) = (BTreeMap::<(&str, Refusal), Vec<String>>::new(), BTreeSet::new());
    for Asked { calls, resources, through } in calls_of(own, deployed, works, keys) {
        for resource in resources {
            let context = circumstances(own, &resource, through);
            let context = context.into_iter().filter_map(|(name, value)| entry(name, &Known::One(value))).collect();
            let answers = match simulate(&client, role, &calls, &[&resource], context).await {
                Ok(answers) => answers,
                Err(failure) => return vec![Finding::unobserved("role", &failure, own)],
            };
            for call in &calls {
                asked_of.insert(*call);
                if let Some(why) = refused_by(answers.of(call, &resource)) {
                    let resource = resource.replace("/any", "/*").replace(":log-stream:any", ":*");
                    refused.entry((call, why)).or_default().push(resource);
                }
            }
        }
    }
    if refused.is_empty() {
        let words = format!("the policies of {role} allow the {} calls of the function", asked_of.len());
        findings.push(Finding::good("role", words));
    }
    findings.extend(refused.iter().map(|((call, why), resources)| {
        let resources: Vec<&str> = resources.iter().map(String::as_str).collect();
        finding(call, why, &resources, role, own)
    }));
    findings
}

/// What the conditions of the template's statements ask for: condition keys and their values.
fn circumstances(own: &Scope, resource: &str, through: Option<&str>) -> Vec<(&'static str, String)> {
    let Scope { partition, region, account } = own;
    let of_resource = Arn::parse(resource).map(|arn| arn.account).filter(|of| !of.is_empty()).unwrap_or(account);
    let mut all = vec![("aws:ResourceAccount", of_resource.to_owned()), ("aws:RequestedRegion", region.clone())];
    if let Some(service) = through {
        all.push(("kms:ViaService", own.service(service)));
    }
    if through == Some("kinesis") {
        let stream = format!("arn:{partition}:kinesis:{region}:{account}:stream/any");
        all.push((STREAM_KEY, stream));
    }
    all
}

#[cfg(test)]
#[path = "../../../tests/common/template.rs"]
#[allow(dead_code, reason = "the tests of the system use the rest of it")]
mod template;

#[cfg(test)]
mod tests {
    use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
    use aws_sdk_lambda::types::{EnvironmentResponse, TracingConfigResponse};
    use serde_json::{Map, Value};
    use wildmatch::WildMatch;

    use super::*;

    fn own() -> Scope {
        Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
    }

    /// Everything that can be switched on.
    fn all_calls() -> Vec<Asked> {
        let environment = EnvironmentResponse::builder()
            .variables("RESULT_BUS", "arn:aws:events:eu-west-1:999999999999:event-bus/central")
            .build();
        let tracing = TracingConfigResponse::builder().mode(TracingMode::Active).build();
        let configuration =
            GetFunctionConfigurationOutput::builder().environment(environment).tracing_config(tracing).build();
        let deployed = Deployed {
            configuration: Some(configuration),
            work: Some("https://sqs/111122223333/work".into()),
            scans: Some("https://sqs/111122223333/scans.fifo".into()),
            log_group: Some("log".into()),
            ..Deployed::default()
        };
        let works = Works {
            parameters: &["/policy".to_owned()],
            keys: &[],
            needs: Needs { observes: true, guards: true, falls_back: false },
        };
        calls_of(&own(), &deployed, &works, vec!["arn:aws:kms:eu-west-1:111122223333:key/of-queues".into()])
    }

    /// The statements of the template's role, those under a condition of CloudFormation's too.
    fn statements() -> Vec<Value> {
        let template = template::template();
        let all = &template["Resources"]["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"];
        let all = all.as_array().unwrap().iter();
        all.map(|statement| statement.pointer("/!If/1").unwrap_or(statement).clone()).collect()
    }

    fn actions(statement: &Value) -> Vec<String> {
        let of = &statement["Action"];
        match of.pointer("/!If/1").unwrap_or(of) {
            Value::Array(all) => all.iter().map(|action| action.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        }
    }

    /// A value of a condition, as CloudFormation would have it.
    fn value(of: &Value) -> String {
        let text = match (of.get("!Ref"), of.get("!Sub")) {
            (Some(name), _) => format!("${{{}}}", name.as_str().unwrap()),
            (_, Some(text)) => text.as_str().unwrap().to_owned(),
            _ => of.as_str().unwrap().to_owned(),
        };
        let Scope { partition, region, account } = own();
        let text = text.replace("${AWS::Partition}", &partition).replace("${AWS::Region}", &region);
        text.replace("${AWS::AccountId}", &account).replace("${AWS::URLSuffix}", "amazonaws.com")
    }

    /// The conditions that these circumstances do not meet.
    fn unmet(statement: &Value, circumstances: &[(&str, String)]) -> Vec<String> {
        let none = Map::new();
        let operators = statement.get("Condition").map_or(&none, |of| of.as_object().unwrap());
        let mut unmet = Vec::new();
        for (operator, of) in operators {
            assert!(["StringEquals", "StringLike"].contains(&operator.as_str()), "{operator}");
            for (key, expected) in of.as_object().unwrap() {
                let pattern = WildMatch::new(&value(expected));
                if !circumstances.iter().any(|(name, value)| name == key && pattern.matches(value)) {
                    unmet.push(format!("{key} is not {pattern}"));
                }
            }
        }
        unmet
    }

    #[test]
    fn the_calls_are_those_that_the_templates_role_allows() {
        let asked: BTreeSet<String> =
            all_calls().iter().flat_map(|asked| &asked.calls).map(ToString::to_string).collect();
        let allowed: BTreeSet<String> = statements().iter().flat_map(actions).collect();
        assert_eq!(asked, allowed);
        assert!(all_calls().iter().all(|asked| !asked.resources.is_empty()), "a call on nothing is not asked for");
    }

    #[test]
    fn each_call_is_asked_for_in_the_circumstances_that_the_template_asks_for() {
        let statements = statements();
        for Asked { calls, resources, through } in all_calls() {
            let circumstances = circumstances(&own(), &resources[0], through);
            for call in calls {
                let of = statements.iter().filter(|statement| actions(statement).iter().any(|action| action == call));
                let unmet: Vec<Vec<String>> = of.map(|statement| unmet(statement, &circumstances)).collect();
                assert!(unmet.iter().any(Vec::is_empty), "{call}: {unmet:?}");
            }
        }
        // And no statement asks for what none of them is.
        for statement in &statements {
            for action in actions(statement) {
                let asked = all_calls().into_iter().filter(|asked| asked.calls.contains(&action.as_str()));
                let unmet: Vec<Vec<String>> = asked
                    .map(|asked| unmet(statement, &circumstances(&own(), &asked.resources[0], asked.through)))
                    .collect();
                assert!(unmet.iter().any(Vec::is_empty), "{action}: {unmet:?}");
            }
        }
    }

    #[test]
    fn a_refusal_is_reported_by_what_refuses() {
        for (why, words, fix) in [
            (Refusal::NoStatement, "it is not allowed to call", "add to a policy of ROLE:\n{"),
            (Refusal::Denied(vec!["guardrail".into()]), "a statement denies sqs:SendMessage", "from guardrail of ROLE"),
            (Refusal::Denied(vec![]), "a statement denies", "from the policies of ROLE"),
            (Refusal::Boundary, "the permissions boundary of ROLE", "its permissions boundary:\n{"),
            (Refusal::Organization, "a policy of the organization", "service control policies"),
        ] {
            let finding =
                finding("sqs:SendMessage", &why, &["arn:aws:sqs:eu-west-1:111122223333:work"], "ROLE", &own());
            assert!(finding.words.starts_with(words), "{finding:?}");
            assert!(finding.fix.as_ref().unwrap().contains(fix), "{finding:?}");
            assert!(finding.fix.unwrap().contains("111122223333:work"));
        }
        // One that the simulator says nothing of is allowed by nothing.
        assert_eq!(refused_by(None), Some(Refusal::NoStatement));
        let allowed = Answer { refusal: None, missing: BTreeSet::new(), other: None };
        assert_eq!(refused_by(Some(allowed)), None);
    }
}
