//! `streamseal impact` on the wire: what emulators do not have. KMS events that Kinesis forwards, the simulator's context, pages,
//! throttles, calls that are denied; and that the printed policy allows every call that is made.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

use super::{Ran, run};

const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const OLD: &str = "arn:aws:kms:eu-west-1:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab";
const NEW: &str = "arn:aws:kms:eu-west-1:111122223333:key/1111abcd-12ab-34cd-56ef-1234567890ab";

fn role(name: &str) -> String {
    format!("arn:aws:iam::111122223333:role/{name}")
}

/// A request as AWS has it: the call, and the body or the query.
#[derive(Clone, Debug)]
struct Asked {
    call: String,
    body: Value,
}

/// Answers as AWS does, and keeps what was asked.
#[derive(Clone, Default)]
struct Aws {
    asked: Arc<Mutex<Vec<Asked>>>,
    /// The account of the credentials; none where STS does not answer.
    account: Option<&'static str>,
}

fn ok(body: Value) -> ResponseTemplate {
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
            None if request.url.path().contains("/v1/pipes") => {
                ("pipes:ListPipes".to_owned(), json!(request.url.query()))
            }
            None if form.contains(&("Action".to_owned(), "GetCallerIdentity".to_owned())) => {
                ("sts:GetCallerIdentity".to_owned(), Value::Null)
            }
            None if request.url.path().contains("/functions/") => {
                ("lambda:GetFunctionConfiguration".to_owned(), Value::Null)
            }
            None => ("iam:SimulatePrincipalPolicy".to_owned(), json!(form)),
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
        answer(&call, &body, &form, before)
    }
}

/// What is between `&` and `=`.
fn url_decoded(text: &str) -> Vec<(String, String)> {
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
    let value =
        |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default();
    let who = value("PolicySourceArn");
    if who == role("ghost") {
        let error = "<ErrorResponse><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>";
        return ResponseTemplate::new(404).set_body_raw(error, "text/xml");
    }
    let lacks = if who == role("vpc") { "<member>aws:SourceVpce</member>" } else { "" };
    let result = format!(
        "<member><EvalActionName>{}</EvalActionName><EvalResourceName>*</EvalResourceName><EvalDecision>allowed</EvalDecision>\
         <MissingContextValues>{lacks}</MissingContextValues></member>",
        value("ActionNames.member.1")
    );
    let text = format!(
        "<SimulatePrincipalPolicyResponse xmlns=\"https://iam.amazonaws.com/doc/2010-05-08/\"><SimulatePrincipalPolicyResult>\
         <EvaluationResults>{result}</EvaluationResults><IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>\
         </SimulatePrincipalPolicyResponse>"
    );
    ResponseTemplate::new(200).set_body_raw(text, "text/xml")
}

/// What the command printed, and what it asked for.
async fn asked(aws: Aws, arguments: &[&str]) -> (Ran, Vec<Asked>) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(aws.clone()).mount(&server).await;
    let (url, arguments) = (server.uri(), arguments.iter().map(ToString::to_string).collect::<Vec<_>>());
    let ran = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let variables = [("AWS_ENDPOINT_URL", &*url), ("AWS_REGION", "eu-west-1"), ("NO_PROXY", "127.0.0.1")];
        run(&[&["impact", "orders", "--account", "111122223333"], &arguments[..]].concat(), &variables)
    });
    let ran = ran.await.unwrap();
    let asked = aws.asked.lock().unwrap().clone();
    (ran, asked)
}

fn ours() -> Aws {
    Aws { account: Some("111122223333"), ..Aws::default() }
}

/// Times are other ones in each run.
fn timeless(text: &str) -> String {
    let is_time =
        |word: &&str| word.len() >= 20 && word.starts_with("20") && word.trim_end_matches([':', ',']).ends_with('Z');
    let line = |line: &str| {
        line.split(' ')
            .map(|word| if is_time(&word) { word.replace(&word[..20], "TIME") } else { word.to_owned() })
            .collect::<Vec<_>>()
            .join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_names_those_who_lose_first() {
    let (Ran { code, out, err }, _) = asked(ours(), &["--key", NEW]).await;
    assert_eq!((code, err.as_str()), (3, ""), "{out}");
    insta::assert_snapshot!("impact_table", timeless(&out));
}

/// What is listed is of the account of the credentials, whatever account was named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_of_another_account_find_nobody_and_say_so() {
    let other = Aws { account: Some("999999999999"), ..Aws::default() };
    let (Ran { code, out, err }, requests) = asked(other, &["--key", NEW]).await;
    assert!(code == 2 && out.is_empty(), "{code}: {out}{err}");
    assert!(err.contains("the credentials are of the account 999999999999, not of 111122223333"), "{err}");
    assert_eq!(requests.len(), 1, "{requests:?}");
    let (Ran { code, out, .. }, _) = asked(Aws::default(), &["--key", NEW]).await;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("the account of the credentials: sts:GetCallerIdentity gave no answer"), "{out}");
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
    // The simulator is told what is known of the call.
    let simulations = of("iam:SimulatePrincipalPolicy");
    assert_eq!(simulations.len(), 8, "each of four roles with each of two keys");
    let form = simulations[0].to_string();
    for known in ["kms:viaservice", "kinesis.eu-west-1.amazonaws.com", "kms:encryptioncontext:aws:kinesis:arn", STREAM]
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
