//! `streamseal impact --deep` and runs over several streams, on the wire: who may use a stream by policies, whom the simulator is asked
//! about, and what streams share.

use serde_json::{Value, json};
use wiremock::ResponseTemplate;

use super::Ran;
use super::impact_wire::{
    Asked, Aws, NEW, OTHERS, STREAM, asked_about, asked_by, members, ok, ours, role, simulation, value,
};

/// As IAM gives a document: as a part of a URL.
fn encoded(statements: &Value) -> String {
    let text = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

fn inline(statements: &Value) -> String {
    format!("<member><PolicyName>p</PolicyName><PolicyDocument>{}</PolicyDocument></member>", encoded(statements))
}

fn role_detail(name: &str, policies: &str, attached: &str) -> String {
    format!(
        "<member><RoleName>{name}</RoleName><Arn>{}</Arn><RolePolicyList>{policies}</RolePolicyList>\
         <AttachedManagedPolicies>{attached}</AttachedManagedPolicies></member>",
        role(name)
    )
}

const ADMINISTRATOR: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

/// Two pages: what is attached on the first comes with the second.
fn details(marker: &str) -> ResponseTemplate {
    let attached = format!("<member><PolicyArn>{ADMINISTRATOR}</PolicyArn></member>");
    let (content, rest) = if marker.is_empty() {
        let roles = [
            role_detail("admin", "", &attached),
            role_detail("s3", &inline(&json!([allow("s3:*", "*")])), ""),
            role_detail(
                "fenced",
                &inline(&json!([allow("kinesis:*", "*"), {"Effect": "Deny", "Action": "kinesis:*", "Resource": "*"}])),
                "",
            ),
            role_detail("reader", &inline(&json!([allow("kinesis:Get*", OTHERS)])), ""),
            role_detail("stopped", &inline(&json!([allow("kinesis:*", "*")])), ""),
        ];
        let user = "<member><UserName>alice</UserName><Arn>arn:aws:iam::111122223333:user/alice</Arn><GroupList><member>writers\
                    </member></GroupList></member>";
        let lists =
            format!("<RoleDetailList>{}</RoleDetailList><UserDetailList>{user}</UserDetailList>", roles.concat());
        (lists, "<IsTruncated>true</IsTruncated><Marker>more</Marker>".to_owned())
    } else {
        let group = inline(&json!([allow("kinesis:PutRecords", "arn:aws:kinesis:*:*:stream/*")]));
        let version = |document: &Value, is_default: bool| {
            format!(
                "<member><Document>{}</Document><IsDefaultVersion>{is_default}</IsDefaultVersion></member>",
                encoded(document)
            )
        };
        // What was in force before is not asked for.
        let versions = version(&json!([allow("s3:*", "*")]), false) + &version(&json!([allow("*", "*")]), true);
        let lists = format!(
            "<GroupDetailList><member><GroupName>writers</GroupName><GroupPolicyList>{group}</GroupPolicyList></member></GroupDetailList>\
             <Policies><member><Arn>{ADMINISTRATOR}</Arn><PolicyVersionList>{versions}</PolicyVersionList></member></Policies>"
        );
        (lists, "<IsTruncated>false</IsTruncated>".to_owned())
    };
    let text = format!(
        "<GetAccountAuthorizationDetailsResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\">\
         <GetAccountAuthorizationDetailsResult>{content}{rest}</GetAccountAuthorizationDetailsResult>\
         </GetAccountAuthorizationDetailsResponse>"
    );
    ResponseTemplate::new(200).set_body_raw(text, "text/xml")
}

fn form_of(body: &Value) -> Vec<(String, String)> {
    serde_json::from_value(body.clone()).unwrap()
}

const CONSUMER: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders/consumer/fan:1";
const STREAM_KEY: &str = "kms:EncryptionContext:aws:kinesis:arn";

fn consumers(body: &Value) -> Value {
    let consumer = json!({
        "ConsumerName": "fan", "ConsumerARN": CONSUMER, "ConsumerStatus": "ACTIVE", "ConsumerCreationTimestamp": 1_700_000_000,
    });
    json!({"Consumers": if body["StreamARN"] == STREAM { vec![consumer] } else { Vec::new() }})
}

fn deep(call: &str, body: &Value) -> Option<ResponseTemplate> {
    Some(match call {
        "cloudtrail:LookupEvents" => ok(json!({"Events": []})),
        "kinesis:ListStreamConsumers" => ok(consumers(body)),
        "iam:GetAccountAuthorizationDetails" => details(value(&form_of(body), "Marker")),
        "iam:SimulatePrincipalPolicy" => {
            let form = form_of(body);
            let who = value(&form, "PolicySourceArn").rsplit('/').next().unwrap().to_owned();
            simulation(&form, |call, resource| match (&*who, call) {
                // A policy of the organization, which the simulator alone knows.
                ("stopped", _) => ("implicitDeny", Vec::new()),
                ("alice", "kinesis:PutRecords") => ("allowed", Vec::new()),
                ("alice", call) if call.starts_with("kinesis:") => ("implicitDeny", Vec::new()),
                ("reader", "kinesis:GetRecords") if resource == OTHERS => {
                    ("implicitDeny", vec!["aws:SourceVpce".to_owned()])
                }
                ("reader", call) if call.starts_with("kinesis:") => ("implicitDeny", Vec::new()),
                _ => ("allowed", Vec::new()),
            })
        }
        _ => return None,
    })
}

fn of<'a>(asked: &'a [Asked], call: &str) -> Vec<&'a Value> {
    asked.iter().filter(|asked| asked.call == call).map(|asked| &asked.body).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_and_users_that_policies_let_use_a_stream_are_found() {
    let aws = Aws { instead: Some(deep), ..ours() };
    let (Ran { out, err, .. }, asked) =
        asked_about(aws, &["orders", "orders-2"], &["--key", NEW, "--deep", "--json"]).await;
    let reports: Vec<Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{out}{err}"))).collect();
    assert_eq!(reports.len(), 2, "{out}{err}");
    let permitted = |report: &Value| -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for finding in report["findings"].as_array().unwrap() {
            for place in finding["found"].as_array().unwrap().iter().filter(|place| place["tier"] == "permitted") {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let who = text(&finding["principal"]).rsplit('/').next().unwrap().to_owned();
                found.push((who, text(&finding["side"]), text(&place["how"])));
            }
        }
        found.sort();
        found
    };
    let text = |all: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        all.iter().map(|(who, side, how)| (who.to_string(), side.to_string(), how.to_string())).collect()
    };
    let writes = "policies that allow kinesis:PutRecord, kinesis:PutRecords";
    assert_eq!(
        permitted(&reports[0]),
        text(&[
            ("admin", "both", "policies that allow kinesis:GetRecords, kinesis:SubscribeToShard"),
            ("admin", "both", writes),
            ("alice", "producer", "policies that allow kinesis:PutRecords"),
        ]),
        "{:#}",
        reports[0]
    );
    assert_eq!(
        permitted(&reports[1]),
        text(&[
            ("admin", "both", "policies that allow kinesis:GetRecords"),
            ("admin", "both", writes),
            ("alice", "producer", "policies that allow kinesis:PutRecords"),
            ("reader", "consumer", "policies that may allow kinesis:GetRecords, by aws:SourceVpce"),
        ]),
        "{:#}",
        reports[1]
    );
    // One listing for both streams, of what is attached too.
    let listed = of(&asked, "iam:GetAccountAuthorizationDetails");
    assert_eq!(listed.len(), 2);
    let kinds = ["Role", "User", "Group", "LocalManagedPolicy", "AWSManagedPolicy"];
    assert_eq!(members(&form_of(listed[0]), "Filter"), kinds);
    // Nobody is asked about whose policies surely do not allow it; both streams go into one request.
    let mut simulated: Vec<(String, Vec<String>, Vec<String>)> = Vec::new();
    for body in of(&asked, "iam:SimulatePrincipalPolicy") {
        let form = form_of(body);
        let list = |name: &str| members(&form, name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let who = value(&form, "PolicySourceArn").rsplit('/').next().unwrap().to_owned();
        if list("ActionNames").iter().all(|call| call.starts_with("kinesis:")) {
            simulated.push((who, list("ActionNames"), list("ResourceArns")));
        }
    }
    let on_streams = ["kinesis:PutRecord", "kinesis:PutRecords", "kinesis:GetRecords"].map(str::to_owned).to_vec();
    let subscribe = vec!["kinesis:SubscribeToShard".to_owned()];
    let both = vec![STREAM.to_owned(), OTHERS.to_owned()];
    let consumer = vec![CONSUMER.to_owned()];
    let expected = [
        ("admin", &on_streams, &both),
        ("admin", &subscribe, &consumer),
        ("reader", &on_streams, &vec![OTHERS.to_owned()]),
        ("stopped", &on_streams, &both),
        ("stopped", &subscribe, &consumer),
        ("alice", &on_streams, &both),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(who, calls, resources)| (who.to_owned(), calls.clone(), resources.clone()))
        .collect();
    assert_eq!(simulated, expected);
}

/// One role that reads both streams; its policies ask which stream it is, or do not.
fn with_a_reader(asks: bool) -> fn(&str, &Value) -> Option<ResponseTemplate> {
    fn events() -> Value {
        let event = |stream: &str| {
            let record = json!({
                "eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventTime": format!("{:.0}", jiff::Timestamp::now()),
                "userIdentity": {"type": "AssumedRole", "arn": "arn:aws:sts::111122223333:assumed-role/reader/s",
                    "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role("reader")}}},
                "requestParameters": {"encryptionContext": {"aws:kinesis:arn": stream}},
                "resources": [],
            });
            json!({"EventId": "1", "CloudTrailEvent": record.to_string()})
        };
        json!({"Events": [event(STREAM), event(OTHERS)]})
    }
    fn answer(asks: bool, call: &str, body: &Value) -> Option<ResponseTemplate> {
        Some(match call {
            "cloudtrail:LookupEvents" => ok(events()),
            // One function that reads both.
            "lambda:ListEventSourceMappings" => {
                let mapping = |source: &str| json!({"FunctionArn": "arn:f:function:f", "EventSourceArn": source, "State": "Enabled"});
                let others = mapping(&STREAM.replace("orders", "more"));
                ok(json!({"EventSourceMappings": [mapping(STREAM), mapping(OTHERS), others]}))
            }
            "lambda:GetFunctionConfiguration" => ok(json!({"Role": role("reader")})),
            "iam:SimulatePrincipalPolicy" => {
                let form = form_of(body);
                let names_stream = form.iter().any(|(_, value)| value == STREAM_KEY);
                let of_orders = form.iter().any(|(_, value)| value == STREAM);
                simulation(&form, |_, _| match (asks, names_stream) {
                    (false, _) => ("allowed", Vec::new()),
                    // As of a statement under a condition on the stream: it is allowed for one of them.
                    (true, false) => ("implicitDeny", vec![STREAM_KEY.to_lowercase()]),
                    (true, true) => (if of_orders { "allowed" } else { "implicitDeny" }, Vec::new()),
                })
            }
            "kms:GetKeyPolicy" => {
                let root = json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "kms:*", "Resource": "*"});
                ok(
                    json!({"Policy": json!({"Version": "2012-10-17", "Statement": [root]}).to_string(), "PolicyName": "default"}),
                )
            }
            _ => return None,
        })
    }
    if asks { |call, body| answer(true, call, body) } else { |call, body| answer(false, call, body) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_share_the_simulators_answer_unless_policies_ask_which_stream_it_is() {
    let after = |out: &str| -> Vec<String> {
        let reports = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        reports.map(|report| report["findings"][0]["after"].as_str().unwrap().to_owned()).collect()
    };
    for (asks, requests, expected) in [(false, 1, ["keeps", "keeps"]), (true, 3, ["keeps", "loses"])] {
        let aws = Aws { instead: Some(with_a_reader(asks)), ..ours() };
        let (Ran { out, err, .. }, asked) = asked_about(aws, &["orders", "orders-2"], &["--key", NEW, "--json"]).await;
        assert_eq!(after(&out), expected, "{asks}: {out}{err}");
        let simulations = of(&asked, "iam:SimulatePrincipalPolicy");
        assert_eq!(simulations.len(), requests, "{asks}: {simulations:?}");
        // The first is without the stream, and for both keys.
        let first = form_of(simulations[0]);
        assert!(first.iter().all(|(_, value)| value != STREAM_KEY), "{first:?}");
        assert_eq!(members(&first, "ResourceArns").len(), 2, "{first:?}");
        // Each key and each page once, each list once.
        for (call, count) in [
            ("kms:GetKeyPolicy", 2),
            ("kms:ListGrants", 2),
            ("kms:DescribeKey", 2),
            ("cloudtrail:LookupEvents", 1),
            ("lambda:ListEventSourceMappings", 1),
            ("lambda:GetFunctionConfiguration", 1),
            ("pipes:ListPipes", 1),
            ("firehose:ListDeliveryStreams", 1),
            ("sts:GetCallerIdentity", 1),
            ("kinesis:DescribeStreamSummary", 2),
        ] {
            assert_eq!(of(&asked, call).len(), count, "{call}");
        }
    }
}

/// What the plan observed of the stream and its keys is not asked for once more, to say who would lose access by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seal_asks_for_nothing_a_second_time() {
    let aws = Aws { instead: Some(with_a_reader(false)), ..ours() };
    let arguments = ["seal", "orders", "--key", NEW, "--dry-run", "--account", "111122223333"];
    let (Ran { code, out, err }, asked) = asked_by(aws, &arguments).await;
    assert!(code == 3 && out.contains("orders: no loss found among 1 principal, 1 keeps access"), "{code}: {out}{err}");
    for (call, count) in [
        ("kinesis:DescribeStreamSummary", 1),
        ("kms:DescribeKey", 2),
        ("kms:GetKeyPolicy", 2),
        ("sts:GetCallerIdentity", 1),
    ] {
        assert_eq!(of(&asked, call).len(), count, "{call}: {asked:?}");
    }
}
