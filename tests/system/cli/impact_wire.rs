//! `streamseal impact` on the wire: what emulators do not have. KMS events that Kinesis forwards, the simulator's context, pages,
//! throttles, calls that are denied; and that the printed policy allows every call that is made.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{Ran, at_terminal, run};

pub(super) const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const OLD: &str = "arn:aws:kms:eu-west-1:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab";
pub(super) const NEW: &str = "arn:aws:kms:eu-west-1:111122223333:key/1111abcd-12ab-34cd-56ef-1234567890ab";

pub(super) fn role(name: &str) -> String {
    format!("arn:aws:iam::111122223333:role/{name}")
}

/// A request as AWS has it: the call, and the body or the query.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) call: String,
    pub(super) body: Value,
}

/// Answers as AWS does, and keeps what was asked.
#[derive(Clone, Default)]
pub(super) struct Aws {
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
    /// The account of the credentials; none where STS does not answer.
    pub(super) account: Option<&'static str>,
    /// Answers that take the place of the usual ones.
    pub(super) instead: Option<fn(&str, &Value) -> Option<ResponseTemplate>>,
}

pub(super) fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

fn refused(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_json(json!({"__type": code, "message": "no"}))
        .insert_header("x-amzn-errortype", code)
}

impl Respond for Aws {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let target = request.headers.get("x-amz-target").map(|target| target.to_str().unwrap().to_owned());
        let form: Vec<(String, String)> = url_decoded(&String::from_utf8_lossy(&request.body));
        let (call, body) = match target {
            Some(target) => {
                let (service, operation) = target.rsplit_once('.').unwrap();
                let services = [
                    ("Kinesis", "kinesis"),
                    ("Trent", "kms"),
                    ("CloudTrail", "cloudtrail"),
                    ("Firehose", "firehose"),
                    ("AWSEvents", "events"),
                    ("Logs", "logs"),
                ];
                let named =
                    services.iter().find(|(name, _)| service.contains(name)).unwrap_or_else(|| panic!("{service}")).1;
                (format!("{named}:{operation}"), serde_json::from_slice(&request.body).unwrap_or_default())
            }
            None if request.url.path().contains("event-source-mappings") => {
                ("lambda:ListEventSourceMappings".to_owned(), json!(request.url.query()))
            }
            None if request.url.path().contains("/v1/pipes/") => {
                ("pipes:DescribePipe".to_owned(), json!(request.url.path()))
            }
            None if request.url.path().contains("/v1/pipes") => {
                ("pipes:ListPipes".to_owned(), json!(request.url.query()))
            }
            None if form.contains(&("Action".to_owned(), "GetCallerIdentity".to_owned())) => {
                ("sts:GetCallerIdentity".to_owned(), Value::Null)
            }
            None if request.url.path().contains("/functions/") => {
                ("lambda:GetFunctionConfiguration".to_owned(), json!(request.url.path()))
            }
            None => {
                let action = form.iter().find(|(name, _)| name == "Action").unwrap();
                (format!("iam:{}", action.1), json!(form))
            }
        };
        let before = {
            let mut asked = self.asked.lock().unwrap();
            let before = asked.iter().filter(|asked| asked.call == call).count();
            asked.push(Asked { call: call.clone(), body: body.clone() });
            before
        };
        if call == "sts:GetCallerIdentity" {
            return identity(&self.account);
        }
        let instead = self.instead.and_then(|instead| instead(&call, &body));
        instead.unwrap_or_else(|| answer(&call, &body, &form, before))
    }
}

/// What is between `&` and `=`.
pub(super) fn url_decoded(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let bytes: Vec<&str> = text.split('%').collect();
        let mut out = bytes[0].to_owned();
        for part in &bytes[1..] {
            let (code, rest) = part.split_at(2.min(part.len()));
            out.push(u8::from_str_radix(code, 16).map_or('?', char::from));
            out.push_str(rest);
        }
        out
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value))).collect()
}

fn answer(call: &str, body: &Value, form: &[(String, String)], before: usize) -> ResponseTemplate {
    match call {
        "kinesis:DescribeStreamSummary" => ok(json!({"StreamDescriptionSummary": {
            "StreamName": "orders", "StreamARN": STREAM, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 48,
            "StreamCreationTimestamp": 1_700_000_000, "EncryptionType": "KMS", "KeyId": OLD, "EnhancedMonitoring": [], "OpenShardCount": 1,
        }})),
        "kinesis:ListStreamConsumers" => ok(json!({"Consumers": []})),
        "kinesis:GetResourcePolicy" => refused(400, "ResourceNotFoundException"),
        "kinesis:ListChannels" => ok(json!({"ChannelSummaries": []})),
        "kms:DescribeKey" => ok(json!({"KeyMetadata": {
            "KeyId": body["KeyId"], "Arn": body["KeyId"], "KeyState": "Enabled", "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": "SYMMETRIC_DEFAULT", "KeyManager": "CUSTOMER",
        }})),
        "kms:GetKeyPolicy" => ok(json!({"Policy": key_policy(body["KeyId"] == NEW), "PolicyName": "default"})),
        "kms:ListGrants" => ok(json!({"Grants": [], "Truncated": false})),
        "cloudtrail:LookupEvents" => ok(events(body)),
        "lambda:ListEventSourceMappings" => refused(403, "AccessDeniedException"),
        "firehose:ListDeliveryStreams" => ok(json!({"DeliveryStreamNames": [], "HasMoreDeliveryStreams": false})),
        "pipes:ListPipes" => ok(json!({"Pipes": []})),
        "events:ListEventBuses" if before == 0 => refused(400, "ThrottlingException"),
        "events:ListEventBuses" => ok(json!({"EventBuses": []})),
        "logs:DescribeDestinations" => ok(json!({"destinations": []})),
        "logs:DescribeAccountPolicies" => ok(json!({"accountPolicies": []})),
        _ => simulated(form),
    }
}

fn identity(account: &Option<&'static str>) -> ResponseTemplate {
    let Some(account) = account else { return refused(403, "AccessDenied") };
    let text = format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn</Arn>\
         <UserId>u</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
    );
    ResponseTemplate::new(200).set_body_raw(text, "text/xml")
}

/// 32 KB with two hundred statements; the new key's lets the writer in, and one that was deleted.
fn key_policy(is_new: bool) -> String {
    let named = if is_new { json!([role("writer"), "AROAIIAUMNLVZ4EXAMPLE"]) } else { json!(["*"]) };
    let mut statements: Vec<Value> = (0..199)
        .map(|n| json!({"Sid": format!("s{n}"), "Effect": "Allow", "Principal": {"AWS": role(&format!("{n:040}"))}, "Action": "kms:*", "Resource": "*"}))
        .collect();
    statements.push(
        json!({"Sid": "use", "Effect": "Allow", "Principal": {"AWS": named}, "Action": "kms:*", "Resource": "*"}),
    );
    statements.push(
        json!({"Sid": "all", "Effect": "Allow", "Principal": {"AWS": role("vpc")}, "Action": "kms:*", "Resource": "*"}),
    );
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

/// Two pages of KMS events.
fn events(asked: &Value) -> Value {
    let now = jiff::Timestamp::now();
    let event = |name: &str, who: &str, stream: &str, error: Option<&str>| {
        let mut record = json!({
            "eventSource": "kms.amazonaws.com", "eventName": name, "eventTime": format!("{now:.0}"),
            "userIdentity": {"type": "AssumedRole", "arn": format!("arn:aws:sts::111122223333:assumed-role/{who}/s"),
                "sessionContext": {"sessionIssuer": {"type": "Role", "arn": role(who)}}},
            "requestParameters": {"encryptionContext": {"aws:kinesis:arn": stream}, "keySpec": "AES_256"},
            "resources": [{"ARN": OLD, "type": "AWS::KMS::Key", "accountId": "111122223333"}],
        });
        if let Some(error) = error {
            record["errorCode"] = json!(error);
        }
        json!({"EventId": "1", "CloudTrailEvent": record.to_string()})
    };
    if asked["NextToken"] == "more" {
        return json!({"Events": [
            event("Decrypt", "reader", STREAM, None),
            event("Decrypt", "vpc", STREAM, None),
            event("Decrypt", "ghost", STREAM, Some("AccessDenied")),
            event("Decrypt", "stranger", "arn:aws:kinesis:eu-west-1:111122223333:stream/others", None),
            {"EventId": "2", "CloudTrailEvent": "not JSON"},
        ]});
    }
    json!({"Events": [event("GenerateDataKey", "writer", STREAM, None)], "NextToken": "more"})
}

/// The simulator: all may, but of one it lacks a value, and one is not there.
fn simulated(form: &[(String, String)]) -> ResponseTemplate {
    let who = value(form, "PolicySourceArn");
    if who == role("ghost") {
        let error = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>";
        return ResponseTemplate::new(404).set_body_raw(error, "text/xml");
    }
    let lacks: &[&str] = if who == role("vpc") { &["aws:SourceVpce"] } else { &[] };
    simulation(form, |_, _| ("allowed", lacks.iter().map(ToString::to_string).collect()))
}

/// A value of a form; nothing where there is none.
pub(super) fn value<'f>(form: &'f [(String, String)], name: &str) -> &'f str {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// The members of a list in a form.
pub(super) fn members<'f>(form: &'f [(String, String)], list: &str) -> Vec<&'f str> {
    let start = format!("{list}.member.");
    form.iter().filter(|(key, _)| key.starts_with(&start)).map(|(_, value)| value.as_str()).collect()
}

/// An answer of the simulator, as AWS was seen to give it: a result for each call, with one for each resource in it. `decide` says of a
/// call on a resource what it comes to, and which values are missing.
pub(super) fn simulation(
    form: &[(String, String)],
    decide: impl Fn(&str, &str) -> (&'static str, Vec<String>),
) -> ResponseTemplate {
    let mut results = String::new();
    for call in members(form, "ActionNames") {
        let mut each = String::new();
        for resource in members(form, "ResourceArns") {
            let (decision, missing) = decide(call, resource);
            let missing: String = missing.iter().map(|key| format!("<member>{key}</member>")).collect();
            each.push_str(&format!(
                "<member><EvalResourceName>{resource}</EvalResourceName><EvalResourceDecision>{decision}</EvalResourceDecision>\
                 <MissingContextValues>{missing}</MissingContextValues></member>"
            ));
        }
        results.push_str(&format!(
            "<member><EvalActionName>{call}</EvalActionName><EvalResourceName>arn:aws:x:${{Account}}</EvalResourceName>\
             <EvalDecision>implicitDeny</EvalDecision><ResourceSpecificResults>{each}</ResourceSpecificResults></member>"
        ));
    }
    let text = format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult>\
         <EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>\
         </SimulatePrincipalPolicyResponse>"
    );
    ResponseTemplate::new(200).set_body_raw(text, "text/xml")
}

/// What the command printed, and what it asked for.
async fn asked(aws: Aws, arguments: &[&str]) -> (Ran, Vec<Asked>) {
    asked_about(aws, &["orders"], arguments).await
}

/// The same about these streams.
pub(super) async fn asked_about(aws: Aws, streams: &[&str], arguments: &[&str]) -> (Ran, Vec<Asked>) {
    asked_by(aws, &[&["impact"], streams, &["--account", "111122223333"], arguments].concat()).await
}

/// The same of any command.
pub(super) async fn asked_by(aws: Aws, arguments: &[&str]) -> (Ran, Vec<Asked>) {
    asked_with(aws, arguments, run).await
}

/// Runs the command line with arguments and variables.
type Runs<T> = fn(&[&str], &[(&str, &str)]) -> T;

/// The same, run by `run`.
async fn asked_with<T: Send + 'static>(aws: Aws, arguments: &[&str], run: Runs<T>) -> (T, Vec<Asked>) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(aws.clone()).mount(&server).await;
    let (url, arguments) = (server.uri(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = [("AWS_ENDPOINT_URL", &*url), ("AWS_REGION", "eu-west-1"), ("NO_PROXY", "127.0.0.1")];
        run(&arguments, &variables)
    });
    let ran = ran.await.unwrap();
    let asked = aws.asked.lock().unwrap().clone();
    (ran, asked)
}

pub(super) fn ours() -> Aws {
    Aws { account: Some("111122223333"), ..Aws::default() }
}

/// Times are other ones in each run.
fn timeless(text: &str) -> String {
    let is_time =
        |word: &&str| word.len() >= 20 && word.starts_with("20") && word.trim_end_matches([':', ',']).ends_with('Z');
    let line =
        |line: &str| {
            line.split(' ')
                .map(|word| {
                    if is_time(&word) {
                        word.replace(word.trim_end_matches([':', ',']), "TIME")
                    } else {
                        word.to_owned()
                    }
                })
                .collect::<Vec<_>>()
                .join(" ")
        };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// In a pipe nothing is cut.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_names_those_who_lose_first_and_fits_the_terminal() {
    let (Ran { code, out, err }, _) = asked(ours(), &["--key", NEW]).await;
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    insta::assert_snapshot!("impact_table", timeless(&out));

    let arguments = ["impact", "orders", "--account", "111122223333", "--key", NEW, "--color", "never"];
    let narrow = |arguments: &[&str], variables: &[(&str, &str)]| {
        at_terminal(arguments, &[variables, &[("COLUMNS", "70")]].concat(), &[])
    };
    let ((code, text), _) = asked_with(ours(), &arguments, narrow).await;
    assert_eq!(code, 3, "{text}");
    let table: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("PRINCIPAL")).take(5).collect();
    assert!(table.iter().all(|line| line.chars().count() <= 70), "{table:#?}");
    assert!(table.last().is_some_and(|line| line.contains('…') && line.contains("  keeps ")), "{table:#?}");
}

/// What is listed is of the account of the credentials, whatever account was named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_another_account_find_nobody_and_say_so() {
    let other = Aws { account: Some("999999999999"), ..Aws::default() };
    let (Ran { code, out, err }, requests) = asked(other, &["--key", NEW]).await;
    assert!(code == 2 && out.is_empty(), "{code}: {out}{err}");
    assert!(err.contains("the credentials belong to account 999999999999, not to 111122223333"), "{err}");
    assert!(requests.iter().all(|request| request.call == "sts:GetCallerIdentity"), "{requests:?}");
    let (Ran { code, out, .. }, _) = asked(Aws::default(), &["--key", NEW]).await;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("the account of the credentials: sts:GetCallerIdentity failed"), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_cloudtrail_shows_are_judged_and_what_was_refused_is_said() {
    let (Ran { code, out, err }, asked) = asked(ours(), &["--key", NEW, "--json"]).await;
    assert_eq!(code, 3, "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let found: Vec<[String; 5]> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| ["principal", "side", "before", "after", "confidence"].map(|name| text(finding, name)))
        .collect();
    let expected = [
        [&*role("reader"), "consumer", "keeps", "loses", "sure"],
        // A condition of its own policies on what nobody knows.
        [&role("vpc"), "consumer", "unknown", "unknown", "unknown"],
        // It was deleted.
        [&role("ghost"), "consumer", "loses", "loses", "sure"],
        [&role("writer"), "producer", "keeps", "keeps", "estimated"],
    ];
    assert_eq!(found, expected, "{report:#}");
    assert!(text(&report["findings"][1], "why").contains("aws:SourceVpce"), "{report:#}");
    assert_eq!(report["findings"][2]["found"][0]["how"], "CloudTrail: kms:Decrypt, refused (AccessDenied)");
    assert_eq!(report["findings"][0]["found"][0]["tier"], "observed");
    assert_eq!(report["findings"][0]["keep_decrypt"]["key"], OLD, "{report:#}");
    // What was throttled was asked for again; what was denied is said.
    let places: Vec<&str> =
        report["not_checked"].as_array().unwrap().iter().map(|of| of["what"].as_str().unwrap()).collect();
    assert_eq!(places, ["Lambda event source mappings"], "{report:#}");
    assert!(text(&report["not_checked"][0], "why").contains("AccessDeniedException"));

    let of = |call: &str| asked.iter().filter(|asked| asked.call == call).map(|asked| &asked.body).collect::<Vec<_>>();
    let pages = of("cloudtrail:LookupEvents");
    assert_eq!(pages.len(), 2);
    for page in &pages {
        let attribute = json!([{"AttributeKey": "ResourceName", "AttributeValue": OLD}]);
        assert_eq!((&page["LookupAttributes"], &page["MaxResults"]), (&attribute, &json!(50)), "{page}");
        let age = jiff::Timestamp::now().as_second() - page["StartTime"].as_f64().unwrap() as i64;
        assert!((1_795..1_830).contains(&age), "half an hour: {age}");
    }
    assert_eq!(pages[1]["NextToken"], "more");
    assert_eq!(of("kms:GetKeyPolicy").len(), 2, "each key once");
    // The simulator is reported what is known of the call.
    let simulations = of("iam:SimulatePrincipalPolicy");
    assert_eq!(simulations.len(), 4, "each of four roles with both keys");
    let form = simulations[0].to_string();
    for known in ["kms:ViaService", "kinesis.eu-west-1.amazonaws.com", "kms:EncryptionContext:aws:kinesis:arn", STREAM]
    {
        assert!(form.contains(known), "{known}: {form}");
    }
    // Whoever has the printed policy may make each call.
    let policy: Value = serde_json::from_str(&run(&["impact", "--print-iam"], &[]).out).unwrap();
    let allowed: BTreeSet<&str> =
        policy["Statement"][0]["Action"].as_array().unwrap().iter().map(|action| action.as_str().unwrap()).collect();
    // Nobody needs a permission to ask who they are.
    let made = asked.iter().map(|asked| asked.call.as_str()).filter(|call| *call != "sts:GetCallerIdentity");
    let made: BTreeSet<&str> = made.collect();
    assert!(made.is_subset(&allowed) && made.len() == 15, "{made:?}");
}

pub(super) const OTHERS: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders-2";

/// Something in every place, on two pages wherever there can be two.
fn populated(call: &str, body: &Value) -> Option<ResponseTemplate> {
    let text = body.as_str().unwrap_or_default();
    let consumer = |name: &str| {
        json!({
            "ConsumerName": name, "ConsumerARN": format!("{STREAM}/consumer/{name}:1"), "ConsumerStatus": "ACTIVE",
            "ConsumerCreationTimestamp": 1_700_000_000,
        })
    };
    let function = |name: &str| {
        let arn = format!("arn:aws:lambda:eu-west-1:111122223333:function:{name}");
        json!({"FunctionArn": arn, "State": "Enabled"})
    };
    let is_first = body["NextToken"].is_null() && body["nextToken"].is_null();
    Some(ok(match call {
        "kinesis:ListStreamConsumers" if is_first => json!({"Consumers": [consumer("one")], "NextToken": "more"}),
        "kinesis:ListStreamConsumers" => json!({"Consumers": [consumer("two")]}),
        "kinesis:GetResourcePolicy" => resource_policy(body["ResourceARN"].as_str().unwrap()),
        "kinesis:ListChannels" => json!({"ChannelSummaries": [{
            "ChannelName": "c", "ChannelARN": "arn:channel", "ChannelId": "i", "ChannelStatus": "ACTIVE", "ChannelDestinationType": "S3",
            "ChannelCreationTimestamp": 1_700_000_000, "Streams": [],
        }]}),
        "kinesis:DescribeChannel" => json!({"ChannelDescription": {
            "ChannelName": "c", "ChannelARN": "arn:channel", "ChannelId": "i", "ChannelStatus": "ACTIVE",
            "ChannelCreationTimestamp": 1_700_000_000, "ServiceExecutionRoleARN": role("channel"), "StreamConfigurationList": [],
        }}),
        "lambda:ListEventSourceMappings" if text.contains("consumer%2Fone") => {
            json!({"EventSourceMappings": [function("fanned")]})
        }
        "lambda:ListEventSourceMappings" if text.contains("consumer") => json!({"EventSourceMappings": []}),
        "lambda:ListEventSourceMappings" if text.contains("Marker") => {
            json!({"EventSourceMappings": [function("gone")]})
        }
        "lambda:ListEventSourceMappings" => json!({"EventSourceMappings": [function("first")], "NextMarker": "more"}),
        "lambda:GetFunctionConfiguration" if text.contains("gone") => {
            return Some(refused(404, "ResourceNotFoundException"));
        }
        "lambda:GetFunctionConfiguration" if text.contains("fanned") => json!({"Role": role("fanned")}),
        "lambda:GetFunctionConfiguration" => json!({"Role": role("first")}),
        "firehose:ListDeliveryStreams" if body["ExclusiveStartDeliveryStreamName"].is_null() => {
            json!({"DeliveryStreamNames": ["other"], "HasMoreDeliveryStreams": true})
        }
        "firehose:ListDeliveryStreams" => json!({"DeliveryStreamNames": ["ours"], "HasMoreDeliveryStreams": false}),
        "firehose:DescribeDeliveryStream" => {
            let source = if body["DeliveryStreamName"] == "ours" { STREAM } else { OTHERS };
            json!({"DeliveryStreamDescription": {
                "DeliveryStreamName": "d", "DeliveryStreamARN": "a", "DeliveryStreamStatus": "ACTIVE", "VersionId": "1",
                "DeliveryStreamType": "KinesisStreamAsSource", "HasMoreDestinations": false, "Destinations": [],
                "Source": {"KinesisStreamSourceDescription": {"KinesisStreamARN": source, "RoleARN": role("delivery")}},
            }})
        }
        "pipes:ListPipes" if text.contains("SourcePrefix") && !text.contains("NextToken") => {
            json!({"Pipes": [{"Name": "near", "Source": OTHERS, "Target": "t"}], "NextToken": "more"})
        }
        "pipes:ListPipes" if text.contains("SourcePrefix") => {
            json!({"Pipes": [{"Name": "from", "Source": STREAM, "Target": "t"}]})
        }
        "pipes:ListPipes" => json!({"Pipes": [{"Name": "to", "Source": "s", "Target": STREAM}]}),
        "pipes:DescribePipe" => json!({"RoleArn": role(text.rsplit('/').next().unwrap())}),
        "events:ListEventBuses" if is_first => json!({"EventBuses": [{"Name": "default"}], "NextToken": "more"}),
        "events:ListEventBuses" => json!({"EventBuses": [{"Name": "own"}]}),
        "events:ListRuleNamesByTarget" if body["EventBusName"] == "default" => json!({"RuleNames": []}),
        "events:ListRuleNamesByTarget" if is_first => json!({"RuleNames": [], "NextToken": "more"}),
        "events:ListRuleNamesByTarget" => json!({"RuleNames": ["ruled"]}),
        "events:ListTargetsByRule" if is_first => {
            json!({"Targets": [{"Id": "1", "Arn": OTHERS, "RoleArn": role("other")}], "NextToken": "more"})
        }
        "events:ListTargetsByRule" => json!({"Targets": [{"Id": "2", "Arn": STREAM, "RoleArn": role("rule")}]}),
        "logs:DescribeDestinations" if is_first => json!({"destinations": [], "nextToken": "more"}),
        "logs:DescribeDestinations" => {
            json!({"destinations": [{"destinationName": "d", "targetArn": STREAM, "roleArn": role("logs")}]})
        }
        "logs:DescribeAccountPolicies" => {
            let document =
                json!({"DestinationArn": STREAM, "RoleArn": role("account"), "FilterPattern": ""}).to_string();
            json!({"accountPolicies": [{"policyName": "p", "policyDocument": document}]})
        }
        "cloudtrail:LookupEvents" => json!({"Events": []}),
        _ => return None,
    }))
}

fn resource_policy(of: &str) -> Value {
    let statement =
        |who: Value, action: &str| json!({"Effect": "Allow", "Principal": who, "Action": action, "Resource": "*"});
    let statements = match of {
        STREAM => vec![
            statement(json!("*"), "kinesis:PutRecords"),
            statement(json!({"AWS": "AROAIIAUMNLVZ4EXAMPLE"}), "kinesis:*"),
        ],
        consumer if consumer.contains("two") => {
            vec![statement(json!({"AWS": role("subscriber")}), "kinesis:SubscribeToShard")]
        }
        // As AWS may say that there is none.
        _ => return json!({"Policy": "{}"}),
    };
    json!({"Policy": json!({"Version": "2012-10-17", "Statement": statements}).to_string()})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_source_is_read_to_its_last_page_and_names_its_role() {
    let aws = Aws { instead: Some(populated), ..ours() };
    let (Ran { out, err, .. }, asked) = asked(aws, &["--key", NEW, "--json"]).await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let mut found: Vec<(String, String)> = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        for place in finding["found"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let who = text(&finding["principal"]).rsplit('/').next().unwrap().to_owned();
            found.push((format!("{who} {}", text(&finding["side"])), text(&place["how"])));
        }
    }
    found.sort();
    let expected = [
        ("* producer", "resource policy of the stream"),
        ("Lambda function gone (Enabled) consumer", "Lambda function gone (Enabled)"),
        ("account producer", "Logs account policy p"),
        ("channel consumer", "channel c"),
        ("delivery consumer", "Firehose ours"),
        ("fanned consumer", "Lambda function fanned (Enabled)"),
        ("first consumer", "Lambda function first (Enabled)"),
        ("from consumer", "pipe from"),
        ("logs producer", "Logs destination d"),
        ("registered consumer one consumer", "registered consumers"),
        ("registered consumer two consumer", "registered consumers"),
        ("rule producer", "EventBridge rule ruled on own"),
        ("subscriber consumer", "resource policy of a consumer"),
        ("to producer", "pipe to"),
    ];
    assert_eq!(found, expected.map(|(who, how)| (who.to_owned(), how.to_owned())), "{report:#}");
    assert_eq!(report["not_checked"][0]["what"], "roles of Lambda functions", "{report:#}");
    let note =
        "the resource policy of the stream names AROAIIAUMNLVZ4EXAMPLE, which was deleted: nobody has access by it";
    assert_eq!(report["notes"], json!([note]), "{report:#}");
    let described = asked.iter().filter(|asked| asked.call == "pipes:DescribePipe").count();
    assert_eq!(described, 2, "a stream with a longer name is another one");
}

/// A key whose policy cannot be read: it is of another account, or that is denied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_policy_that_cannot_be_read_makes_it_unknown_and_says_why() {
    let foreign = NEW.replace("111122223333", "444455556666");
    let (Ran { code, out, err }, requests) = asked(ours(), &["--key", &foreign]).await;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("it belongs to account 444455556666 and can be read only there"), "{out}");
    assert!(out.contains(&format!("in the key's account, add to the key policy of {foreign}:")), "{out}");
    assert!(out.contains("in the principal's account, add to a policy of "), "{out}");
    assert!(out.lines().rev().nth(1).unwrap().starts_with("no loss found among 4 principals"), "{out}");
    let read = requests.iter().filter(|asked| asked.call == "kms:GetKeyPolicy").map(|asked| &asked.body["KeyId"]);
    assert_eq!(read.collect::<Vec<_>>(), [OLD], "nobody asks for what cannot be had");
    let denied: fn(&str, &Value) -> Option<ResponseTemplate> =
        |call, _| (call == "kms:GetKeyPolicy").then(|| refused(400, "AccessDeniedException"));
    let (Ran { out, .. }, _) = asked(Aws { instead: Some(denied), ..ours() }, &["--key", NEW]).await;
    assert!(out.contains("was not read: kms:GetKeyPolicy failed (AccessDeniedException)"), "{out}");
}
