//! The templates of `deploy/` in an emulator's CloudFormation: an event that is put on the central bus arrives where it should, in
//! words where people read it, and nothing else does.
//!
//! ministack knows neither saved queries nor connections nor API destinations as resources of a stack: the queries are left out, and
//! the webhook is made with the properties that stand in the template. It does not deliver to log groups, and knows no organization:
//! that target and the bus's policy are held to by reading.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::{read, resources};
use crate::results::received;
use crate::support::{ACCOUNT, Function, PATIENCE, REGION, create_event, parts, unique};

const CENTRAL: &str = include_str!("../../deploy/central.yaml");
const NOTIFY: &str = include_str!("../../deploy/notify.yaml");
pub(crate) const ARCHIVE: &str = include_str!("../../deploy/archive.yaml");
/// What ministack's CloudFormation does not know.
const UNKNOWN: &[&str] = &[
    "AWS::Athena::NamedQuery",
    "AWS::Events::ApiDestination",
    "AWS::Events::Connection",
    "AWS::Logs::QueryDefinition",
];

/// The template in CloudFormation's JSON: `!GetAtt A.B` is `{"Fn::GetAtt": ["A", "B"]}`.
fn in_json(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(in_json).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| match name.strip_prefix('!') {
                None => (name.clone(), in_json(member)),
                Some(tag @ ("Ref" | "Condition")) => (tag.to_owned(), in_json(member)),
                Some("GetAtt") => {
                    let (resource, attribute) = member.as_str().unwrap().split_once('.').unwrap();
                    ("Fn::GetAtt".to_owned(), json!([resource, attribute]))
                }
                Some(tag) => (format!("Fn::{tag}"), in_json(member)),
            })
            .collect(),
        other => other.clone(),
    }
}

/// The file as ministack takes it.
pub(crate) fn known(text: &str) -> Value {
    let mut template = in_json(&read(text));
    let resources = template["Resources"].as_object_mut().unwrap();
    resources.retain(|_, resource| !UNKNOWN.contains(&resource["Type"].as_str().unwrap()));
    template
}

/// Deploys it; its outputs.
pub(crate) fn deploy(stack: &str, template: &Value, parameters: &[(&str, &str)]) -> impl Fn(&str) -> String + use<> {
    let body = template.to_string();
    let mut form = vec![
        ("Action".to_owned(), "CreateStack".to_owned()),
        ("StackName".to_owned(), stack.to_owned()),
        ("TemplateBody".to_owned(), body),
        ("Capabilities.member.1".to_owned(), "CAPABILITY_IAM".to_owned()),
    ];
    for (i, (name, value)) in parameters.iter().enumerate() {
        form.push((format!("Parameters.member.{}.ParameterKey", i + 1), (*name).to_owned()));
        form.push((format!("Parameters.member.{}.ParameterValue", i + 1), (*value).to_owned()));
    }
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let call = |form: &[(&str, &str)]| parts().form(&format!("{REGION}/cloudformation"), "2010-05-15", form);
    call(&form);
    let end = Instant::now() + PATIENCE;
    let described = loop {
        let described = call(&[("Action", "DescribeStacks"), ("StackName", stack)]);
        if described.contains("<StackStatus>CREATE_COMPLETE<") {
            break described;
        }
        assert!(described.contains("<StackStatus>CREATE_IN_PROGRESS<") && Instant::now() < end, "{described}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let stack = stack.to_owned();
    move |output| {
        let (_, after) = described
            .split_once(&format!("<OutputKey>{output}</OutputKey>"))
            .unwrap_or_else(|| panic!("{stack}: {output}"));
        let value = after.split_once("<OutputValue>").unwrap().1;
        value.split_once("</OutputValue>").unwrap().0.to_owned()
    }
}

fn put(bus: &str, source: &str, kind: &str, detail: &Value) {
    let entry = json!({"EventBusName": bus, "Source": source, "DetailType": kind, "Detail": detail.to_string()});
    let answer = parts().events("PutEvents", json!({"Entries": [entry]}));
    assert_eq!(answer["FailedEntryCount"], 0, "{answer}");
}

fn detail(compliance: &str, reason: &str, alarm: bool) -> Value {
    json!({
        "schema": "streamseal.evidence/v1", "compliance": compliance, "reason": reason, "alarm": alarm, "run": {"id": "run-1"},
        "remediation": {"state": if reason == "due" { "due" } else { "none" }},
        "stream": {"arn": "arn", "name": "orders", "account": "999999999999", "region": "eu-north-1"},
    })
}

#[test]
fn what_somebody_has_to_check_arrives_in_the_central_queue() {
    let bus = unique("central");
    let outputs = deploy(&bus, &known(CENTRAL), &[("OrganizationId", "o-a1b2c3d4e5"), ("BusName", &bus)]);
    let arn = outputs("BusArn");
    assert_eq!(arn, format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}"));
    let wrong = detail("NON_COMPLIANT", "wrong-key", false);
    put(&arn, "streamseal", "Streamseal Evidence", &detail("COMPLIANT", "right-key", false));
    put(&arn, "streamseal", "Streamseal Evidence", &detail("NON_COMPLIANT", "due", false));
    put(&arn, "another", "Streamseal Evidence", &wrong);
    put(&arn, "streamseal", "Another", &wrong);
    put(&arn, "streamseal", "Streamseal Scan Summary", &json!({"schema": "streamseal.summary/v1", "alarm": false}));
    put(&arn, "streamseal", "Streamseal Evidence", &wrong);
    put(&arn, "streamseal", "Streamseal Evidence", &detail("INSUFFICIENT_DATA", "gave-up", true));
    put(&arn, "streamseal", "Streamseal Scan Summary", &json!({"schema": "streamseal.summary/v1", "alarm": true}));

    // And a result of the real function, by the ARN that a StackSet would give it.
    let policy =
        "inline:{version: 1, defaults: {existing: enforce}, rules: [{name: all, key: alias/nobody-made-this}]}";
    let function = Function::start(60, &[("POLICY", policy), ("RESULT_BUS", &arn)]);
    let stream = unique("central");
    parts().stream(&stream);
    let answer = function.invoke(&create_event(&stream)).body;
    assert_eq!(answer["reason"], "key-missing", "{answer}");

    let queue = outputs("AttentionQueueUrl");
    let mut arrived: Vec<Value> = received(&queue, 4).iter().map(|event| event["detail"].clone()).collect();
    arrived.sort_by_key(|detail| detail["reason"].as_str().unwrap_or_default().to_owned());
    assert_eq!(arrived.len(), 4, "{arrived:?}");
    assert_eq!(arrived[0]["schema"], "streamseal.summary/v1");
    assert_eq!(arrived[1]["reason"], "gave-up");
    assert_eq!((&arrived[2], &arrived[3]), (&answer, &wrong));
}

/// A chat: takes two requests and keeps the header and the body of each.
fn chat() -> (String, std::thread::JoinHandle<[(String, Value); 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/secret", listener.local_addr().unwrap());
    let take = move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut text = String::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).unwrap();
            text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Ok(body) = serde_json::from_str(body)
            {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                return (head.to_owned(), body);
            }
            assert!(read > 0, "{text}");
        }
    };
    (url, std::thread::spawn(move || [take(), take()]))
}

#[test]
fn people_are_notified_by_the_topic_and_in_the_chat() {
    let name = unique("notify");
    parts().events("CreateEventBus", json!({"Name": name}));
    let mut template = known(NOTIFY);
    // What stands in the template, made by calls.
    let (chat, taken) = chat();
    let made = in_json(&read(NOTIFY));
    let properties = |resource: &str| made["Resources"][resource]["Properties"].clone();
    let mut connection = properties("WebhookConnection");
    connection["Name"] = json!(name);
    connection["AuthParameters"]["ApiKeyAuthParameters"]["ApiKeyValue"] = json!("token");
    let connection = parts().events("CreateConnection", connection)["ConnectionArn"].clone();
    let mut webhook = properties("Webhook");
    assert_eq!(
        (&webhook["InvocationEndpoint"], &webhook["ConnectionArn"]),
        (&json!({"Ref": "WebhookUrl"}), &json!({"Fn::GetAtt": ["WebhookConnection", "Arn"]}),)
    );
    webhook["Name"] = json!(name);
    webhook["InvocationEndpoint"] = json!(chat);
    webhook["ConnectionArn"] = connection;
    let webhook = parts().events("CreateApiDestination", webhook)["ApiDestinationArn"].as_str().unwrap().to_owned();
    let text = template.to_string().replace(r#"{"Fn::GetAtt":["Webhook","Arn"]}"#, &json!(webhook).to_string());
    template = serde_json::from_str(&text).unwrap();

    let variables =
        [("BusName", name.as_str()), ("WebhookUrl", "https://chat.example/hook"), ("WebhookToken", "token")];
    let outputs = deploy(&name, &template, &variables);
    let topic = outputs("TopicArn");
    let queue = parts().sqs("CreateQueue", json!({"QueueName": name}))["QueueUrl"].as_str().unwrap().to_owned();
    let endpoint = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
    let subscribe = [("Action", "Subscribe"), ("TopicArn", &topic), ("Protocol", "sqs"), ("Endpoint", &endpoint)];
    parts().form(&format!("{REGION}/sns"), "2010-03-31", &subscribe);

    put(&name, "streamseal", "Streamseal Evidence", &detail("COMPLIANT", "right-key", false));
    put(&name, "streamseal", "Streamseal Evidence", &detail("NON_COMPLIANT", "due", false));
    put(&name, "streamseal", "Streamseal Evidence", &detail("NON_COMPLIANT", "wrong-key", false));
    let summary = |alarm: bool| {
        json!({
            "alarm": alarm, "scan": {"id": "scan-1", "account": "999999999999", "region": "eu-north-1"},
            "missed_by_events": {"count": 3}, "under_lost_key": {"count": 0},
        })
    };
    put(&name, "streamseal", "Streamseal Scan Summary", &summary(false));
    put(&name, "streamseal", "Streamseal Scan Summary", &summary(true));
    let reported = received(&queue, 2);
    assert_eq!(reported.len(), 2);
    for words in [
        "Kinesis stream orders in account 999999999999, eu-north-1: NON_COMPLIANT (wrong-key).",
        "Scan of account 999999999999, eu-north-1: new streams that no event reported: 3, streams with records under a lost key: 0.",
    ] {
        let about = |message: &&Value| message["Message"].as_str().unwrap().contains(words);
        let message = reported.iter().find(about).unwrap_or_else(|| panic!("{words}: {reported:?}"));
        assert!(message["Message"].as_str().unwrap().contains(&format!("Sent by account {ACCOUNT}.")), "{message}");
    }
    let mut taken = taken.join().unwrap();
    taken.sort_by_key(|(_, body)| body["text"].to_string());
    let texts = taken.each_ref().map(|(_, body)| body.clone());
    let sent = format!("sent by account {ACCOUNT}");
    let stream = format!(
        "Kinesis stream orders in account 999999999999, eu-north-1: *NON_COMPLIANT* (wrong-key), run run-1, {sent}"
    );
    let scan = format!(
        "Scan of account 999999999999, eu-north-1: new streams that no event reported: *3*, streams with records under a lost key: *0*, \
         scan scan-1, {sent}"
    );
    assert_eq!(texts, [json!({"text": stream}), json!({"text": scan})]);
    for (head, _) in taken {
        let head = head.to_lowercase();
        assert!(head.starts_with("post /hook/secret ") && head.contains("x-streamseal-token: token"), "{head}");
    }
}

/// The queue and the people get the same, and may both be sent to by the rules that there are.
#[test]
fn people_are_notified_of_what_the_central_queue_has() {
    let (central, notify) = (read(CENTRAL), read(NOTIFY));
    let pattern = |of: &Value, rule: &str| of["Resources"][rule]["Properties"]["EventPattern"].clone();
    let queue = pattern(&central, "Attention");
    let (streams, scans) = (pattern(&notify, "Attention"), pattern(&notify, "ScanAttention"));
    assert_eq!(queue["detail-type"], json!([streams["detail-type"][0], scans["detail-type"][0]]));
    assert_eq!(queue["detail"], streams["detail"]);
    assert!(queue["detail"]["$or"].as_array().unwrap().contains(&scans["detail"]), "{scans}");
    let rules: Vec<Value> = resources(&notify, "AWS::Events::Rule")
        .iter()
        .map(|(name, _)| json!({"!GetAtt": format!("{name}.Arn")}))
        .collect();
    for policy in ["TopicPolicy", "UndeliveredQueuePolicy"] {
        let statement = &notify["Resources"][policy]["Properties"]["PolicyDocument"]["Statement"][0];
        assert_eq!(statement["Condition"]["ArnEquals"]["aws:SourceArn"], json!(rules), "{policy}");
    }
}

/// The statements of every policy in a value.
fn statements<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| statements(one, into)),
        Value::Object(members) => {
            into.extend(members.get("Statement").and_then(Value::as_array).into_iter().flatten());
            members.values().for_each(|member| statements(member, into));
        }
        _ => {}
    }
}

/// A service writes for whoever asks it to: the account that it does so for is named wherever one may.
#[test]
fn services_may_write_for_this_account_alone() {
    for (text, least) in [(include_str!("../../template.yaml"), 2), (CENTRAL, 2), (NOTIFY, 4), (ARCHIVE, 2)] {
        let template = read(text);
        let mut all = Vec::new();
        statements(&template, &mut all);
        // Lambda takes the function's role for that function, and says of no account (Lambda developer guide, execution role).
        let by_services = all.iter().filter(|it| {
            let service = &it["Principal"]["Service"];
            service.is_string() && service != "lambda.amazonaws.com"
        });
        let mut seen = 0;
        for statement in by_services {
            let account = &statement["Condition"]["StringEquals"]["aws:SourceAccount"];
            assert_eq!(account, &json!({"!Ref": "AWS::AccountId"}), "{statement}");
            seen += 1;
        }
        assert!(seen >= least, "{seen}");
        for (name, queue) in resources(&template, "AWS::SQS::Queue") {
            if name == "UndeliveredQueue" {
                assert_eq!(queue["RedriveAllowPolicy"], json!({"redrivePermission": "denyAll"}));
            }
        }
    }
}

/// What no emulator here shows.
#[test]
fn the_central_bus_is_the_organizations_and_its_log_takes_every_result() {
    let template = read(CENTRAL);
    let bus = resources(&template, "AWS::Events::EventBus")[0].1;
    let statements = bus["Policy"]["Statement"].as_array().unwrap();
    assert_eq!(statements.len(), 1);
    assert_eq!((&statements[0]["Effect"], &statements[0]["Action"]), (&json!("Allow"), &json!("events:PutEvents")));
    // Everybody, but for this condition.
    let org = json!({
        "StringEquals": {"aws:PrincipalOrgID": {"!Ref": "OrganizationId"}},
        "ForAllValues:StringEquals": {"events:source": ["streamseal"]},
    });
    assert_eq!(statements[0]["Condition"], org);
    let all = &template["Resources"]["AllResults"]["Properties"];
    let log = json!({"!Sub": "arn:${AWS::Partition}:logs:${AWS::Region}:${AWS::AccountId}:log-group:${Log}"});
    assert_eq!(all["Targets"][0]["Arn"], log);
    let kinds = json!([streamseal::domain::bus::EVIDENCE, streamseal::domain::bus::SUMMARY]);
    assert_eq!(all["EventPattern"], json!({"source": [streamseal::domain::bus::SOURCE], "detail-type": kinds}));
    let policy = &template["Resources"]["LogPolicy"]["Properties"]["PolicyDocument"]["!Sub"];
    let policy: Value = serde_json::from_str(policy.as_str().unwrap()).unwrap();
    let group = &template["Resources"]["Log"]["Properties"]["LogGroupName"]["!Sub"];
    let resource = policy["Statement"][0]["Resource"].as_str().unwrap();
    assert!(resource.ends_with(&format!(":log-group:{}:*", group.as_str().unwrap())), "{resource}");
    let dashboard = &template["Resources"]["Dashboard"]["Properties"]["DashboardBody"]["!Sub"];
    serde_json::from_str::<Value>(dashboard.as_str().unwrap()).unwrap();
}

/// A field that a query or a transformer names is one that the schemas have.
#[test]
fn queries_and_messages_name_fields_that_there_are() {
    let schemas = ["evidence", "summary"].map(|of| {
        let path = crate::support::root().join(format!("schemas/{of}.schema.json"));
        serde_json::from_str::<Value>(&std::fs::read_to_string(path).unwrap()).unwrap()
    });
    let is_there = |path: &str| {
        schemas.iter().any(|schema| {
            let mut at = schema;
            path.split('.').all(|name| {
                while let Some(to) = at["$ref"].as_str().or_else(|| at["anyOf"][0]["$ref"].as_str()) {
                    at = schema.pointer(to.trim_start_matches('#')).unwrap();
                }
                at = &at["properties"][name];
                !at.is_null()
            })
        })
    };
    assert!(is_there("after.key_arn") && is_there("scan.account") && !is_there("stream.nothing"));
    let mut count = 0;
    for text in [CENTRAL, NOTIFY] {
        for path in text.split("detail.").skip(1) {
            let path: String =
                path.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')).collect();
            assert!(is_there(path.trim_end_matches('.')), "{path}");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
