//! The function's role by evaluation: what the real `bootstrap` asks of AWS, recorded by the fault layer with the resources that IAM
//! authorises it on, is put to an IAM evaluator that is not ours (`tools/emulators/iam.cjs`) with the template's policy, whole and with each part of it
//! taken away. What the recording cannot have (what Lambda, Kinesis and SQS ask in the function's name) is distinguished below.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::common::Deployed;
use crate::scans::{OWN_ROLE, SETTLE_NOT, Stack};
use crate::support::{ACCOUNT, REGION, create_event, root};

/// One request as IAM sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    action: String,
    /// An ARN, or `*` for an action that has none.
    resource: String,
    context: BTreeMap<String, String>,
}

impl Request {
    /// With the keys that every request has.
    fn new(action: &str, resource: &str) -> Self {
        let mut context = BTreeMap::from([("aws:RequestedRegion".to_owned(), REGION.to_owned())]);
        // Who owns the resource, where there is one.
        if let Some(account) = resource.split(':').nth(4).filter(|account| !account.is_empty()) {
            context.insert("aws:ResourceAccount".to_owned(), account.to_owned());
        }
        Self { action: action.to_owned(), resource: resource.to_owned(), context }
    }

    /// With another value of a key, or without it.
    fn with(mut self, key: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.context.insert(key.to_owned(), value.to_owned()),
            None => self.context.remove(key),
        };
        self
    }

    /// What Kinesis asks of KMS in the name of one who writes to or reads from an encrypted stream.
    fn through_kinesis(action: &str, key: &str, stream: &str) -> Self {
        Self::new(action, key)
            .with("kms:ViaService", Some("kinesis.eu-west-1.amazonaws.com"))
            .with("kms:EncryptionContext:aws:kinesis:arn", Some(stream))
    }

    fn to_json(&self) -> Value {
        json!({"action": self.action, "resource": self.resource, "context": self.context})
    }
}

/// Which of the requests each policy allows.
fn evaluate(cases: &[(&Value, &[Request])]) -> Vec<Vec<bool>> {
    let cases: Vec<Value> = cases
        .iter()
        .map(|(policy, requests)| json!({"policy": policy, "requests": requests.iter().map(Request::to_json).collect::<Vec<_>>()}))
        .collect();
    serde_json::from_value(ask(&json!({"role": OWN_ROLE, "cases": cases, "actions": []}))["allowed"].take()).unwrap()
}

pub(crate) fn ask(question: &Value) -> Value {
    let mut command = Command::new("node");
    command.arg(root().join("tools/emulators/iam.cjs"));
    let mut tool = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tool.stdin.take().unwrap().write_all(question.to_string().as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The policy of the role, as CloudFormation hands it to IAM.
fn policy_of(deployed: &Deployed) -> Value {
    let mut role = deployed.properties("Role").unwrap();
    let policies = role["Policies"].as_array_mut().unwrap();
    assert_eq!(policies.len(), 1);
    policies[0]["PolicyDocument"].take()
}

fn statements(policy: &Value) -> &Vec<Value> {
    policy["Statement"].as_array().unwrap()
}

/// One or many texts.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap()],
    }
}

fn actions(policy: &Value) -> BTreeSet<String> {
    statements(policy).iter().flat_map(|it| texts(&it["Action"])).map(str::to_owned).collect()
}

const STREAM: &str = "arn:aws:kinesis:eu-west-1:111122223333:stream/orders";
const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1b0e6a9c-5e1f-4d2a-9f3e-0a1b2c3d4e5f";
const FOREIGN_KEY: &str = "arn:aws:kms:eu-west-1:444455556666:key/2c1f6a9c-5e1f-4d2a-9f3e-0a1b2c3d4e5f";
const QUEUE_KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/3d2a6a9c-5e1f-4d2a-9f3e-0a1b2c3d4e5f";

const BUS: &str = "arn:aws:events:eu-west-1:111122223333:event-bus/results";

/// Everything switched on.
fn whole(key_arns: &str) -> Deployed {
    Deployed::new(&[
        ("PolicyParameterName", "/streamseal/policy"),
        ("ModeParameterName", "/streamseal/mode"),
        ("KeyArns", key_arns),
        ("QueueAndLogKeyArn", QUEUE_KEY),
        ("TracingMode", "Active"),
        ("ResultBusArn", BUS),
        ("AllowGuard", "true"),
    ])
}

fn arn(deployed: &Deployed, resource: &str) -> String {
    deployed.resolved(&json!({"!GetAtt": format!("{resource}.Arn")})).unwrap().as_str().unwrap().to_owned()
}

/// What the real function asks in a run of everything that it does, and the keys that streams were put on.
fn recorded(deployed: &Deployed) -> (BTreeSet<Request>, Vec<String>) {
    let fault = json!({
        "aged": [{"stream": "old*", "by_s": 86_400}],
        "hold": [{"stream": "slow", "creating_ms": 600_000}],
        "trail": {"lag_ms": 0, "role": OWN_ROLE},
        "tagging": true,
    });
    let from_parameters = [
        ("POLICY", "ssm:/streamseal/policy"),
        ("MODE", "ssm:/streamseal/mode"),
        ("WAIT_SECONDS", "5"),
        ("RESULT_BUS", BUS),
    ];
    let stack = Stack::start(20, "", &fault, &from_parameters);
    stack.parts.events("CreateEventBus", json!({"Name": "results"}));
    let policy = format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: observe}}, existing: enforce, guard: {{watch: 10m}}, {SETTLE_NOT}}}, \
         rules: [{{name: teams, match: {{tags: {{team: '*'}}}}, key: 'alias/team-${{tag:team}}'}}, \
         {{name: all, key: alias/rest, accept: [customer-managed]}}]}}"
    );
    for (name, value) in [("/streamseal/policy", policy.as_str()), ("/streamseal/mode", "enforce")] {
        stack.parts.ssm("PutParameter", json!({"Name": name, "Value": value, "Type": "String"}));
    }
    let keys = ["alias/team-blue", "alias/rest"].map(|alias| stack.parts.key(alias));
    let accepted = stack.parts.key("alias/accepted");
    for name in ["new", "old", "unheard"] {
        stack.parts.stream(name);
        stack.parts.active(name);
    }
    stack.parts.encrypted("accepted", &accepted);
    stack.parts.kinesis("AddTagsToStream", json!({"StreamName": "new", "Tags": {"team": "blue"}})).unwrap();
    stack.new_function();
    let sealed = |stack: &Stack, name: &str| {
        stack.evidence(|one| one["stream"]["name"] == name && one["compliance"] == "COMPLIANT").len()
    };
    // Each is proven, the new one twice: by a probe, and by finding it again. The old one has somebody's record, and a history to look up.
    for (name, times) in [("new", 1), ("new", 2), ("accepted", 1)] {
        stack.send(&create_event(name));
        stack.run_until(120, |stack| sealed(stack, name) >= times);
    }
    stack.send(&json!({"action": "reconcile", "stream": "old"}));
    stack.run_until(120, |stack| stack.parts.describe("old")["EncryptionType"] == "KMS");
    // The scan finds the one that nobody reported, and hands it on.
    stack.send(&json!({"action": "sweep"}));
    stack.run_until(120, |stack| !stack.summaries().is_empty() && sealed(stack, "unheard") >= 1);
    // Work that is deferred.
    stack.parts.stream("slow");
    stack.send(&create_event("slow"));
    let unfinished = |one: &Value| one["stream"]["name"] == "slow" && one["reason"] == "unfinished";
    stack.run_until(120, |stack| !stack.evidence(unfinished).is_empty());

    let mut requests = BTreeSet::new();
    for call in stack.ask("calls").as_array().unwrap() {
        let (action, refused) = (call["call"].as_str().unwrap(), &call["code"]);
        assert_eq!(refused, &Value::Null, "this run is to meet no refusal: {call}");
        let resources = texts(&call["resources"]);
        if resources.is_empty() {
            requests.insert(Request::new(action, "*"));
        }
        for resource in &resources {
            // The queues' names are the only ones that are others here.
            let resource = match *resource {
                "arn:aws:sqs:eu-west-1:111122223333:work" => arn(deployed, "WorkQueue"),
                "arn:aws:sqs:eu-west-1:111122223333:scans.fifo" => arn(deployed, "ScanQueue"),
                other => other.to_owned(),
            };
            requests.insert(Request::new(action, &resource));
        }
        // What Kinesis then asks of KMS, with the key that the stream really has.
        let of_kms = match action {
            "kinesis:PutRecord" => "kms:GenerateDataKey",
            "kinesis:GetRecords" => "kms:Decrypt",
            _ => continue,
        };
        let setting = stack.parts.describe(call["stream"].as_str().unwrap());
        requests.insert(Request::through_kinesis(of_kms, setting["KeyId"].as_str().unwrap(), resources[0]));
    }
    (requests, keys.into())
}

/// What is asked in the function's name and never by it: by Lambda, and by SQS for a queue with a key of the user's.
fn in_its_name(deployed: &Deployed) -> Vec<Request> {
    let mut requests = Vec::new();
    for queue in ["WorkQueue", "ScanQueue"] {
        for action in ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"] {
            requests.push(Request::new(action, &arn(deployed, queue)));
        }
    }
    let group = arn(deployed, "LogGroup");
    let stream = format!("{}:log-stream:2026/11/25/[$LATEST]0", group.strip_suffix(":*").unwrap());
    requests.push(Request::new("logs:CreateLogStream", &stream));
    requests.push(Request::new("logs:PutLogEvents", &stream));
    for action in ["xray:PutTelemetryRecords", "xray:PutTraceSegments"] {
        requests.push(Request::new(action, "*"));
    }
    // By the function itself, where a guarded stream is to get AWS's own key, which the emulators do not have: of the stream and its consumers.
    for of in ["", "/consumer/audit:1"] {
        requests.push(Request::new("kinesis:GetResourcePolicy", &format!("{STREAM}{of}")));
    }
    for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
        requests.push(Request::new(action, QUEUE_KEY).with("kms:ViaService", Some("sqs.eu-west-1.amazonaws.com")));
    }
    requests
}

/// The policy with something else in the place of one statement, or nothing.
fn changed(policy: &Value, at: usize, statement: Option<Value>) -> Value {
    let mut changed = policy.clone();
    let all = changed["Statement"].as_array_mut().unwrap();
    match statement {
        Some(statement) => all[at] = statement,
        None => drop(all.remove(at)),
    }
    changed
}

/// The policy without one statement, without one action or one resource of a statement: each with what was taken away.
fn poorer(policy: &Value) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (at, statement) in statements(policy).iter().enumerate() {
        let sid = statement["Sid"].as_str().unwrap();
        all.push((sid.to_owned(), changed(policy, at, None)));
        for member in ["Action", "Resource"] {
            let texts = texts(&statement[member]);
            for taken in texts.iter().filter(|_| texts.len() > 1) {
                let mut statement = statement.clone();
                statement[member] = texts.iter().filter(|text| *text != taken).copied().collect();
                all.push((format!("{sid}: {taken}"), changed(policy, at, Some(statement))));
            }
        }
    }
    all
}

#[test]
fn the_role_allows_what_the_function_asks_and_each_part_of_it_is_needed() {
    // Names of resources do not depend on the keys.
    let (recorded, keys) = recorded(&whole(""));
    let deployed = whole(&keys.join(","));
    let policy = policy_of(&deployed);
    let requests: Vec<Request> = recorded.into_iter().chain(in_its_name(&deployed)).collect();
    let asked: BTreeSet<String> = requests.iter().map(|request| request.action.clone()).collect();
    assert_eq!(asked, actions(&policy), "what is asked, and what the role names");

    let without = poorer(&policy);
    let mut cases = vec![(&policy, requests.as_slice())];
    cases.extend(without.iter().map(|(_, policy)| (policy, requests.as_slice())));
    let mut answers = evaluate(&cases).into_iter();
    for (request, allowed) in requests.iter().zip(answers.next().unwrap()) {
        assert!(allowed, "denied: {request:?}");
    }
    let mut depending: BTreeMap<&str, Vec<&Request>> = BTreeMap::new();
    for ((taken, _), allowed) in without.iter().zip(answers) {
        let denied: Vec<_> = requests.iter().zip(allowed).filter(|(_, allowed)| !allowed).map(|(it, _)| it).collect();
        assert!(!denied.is_empty(), "nobody needs {taken}");
        depending.insert(taken, denied);
    }

    // And each condition: what a statement alone allows is denied where the condition's key has another value or none.
    let mut conditions = 0;
    for statement in statements(&policy) {
        let operators = statement["Condition"].as_object().into_iter().flatten();
        for key in operators.flat_map(|(_, keys)| keys.as_object().unwrap().keys()) {
            let of_it = &depending[statement["Sid"].as_str().unwrap()];
            let violated: Vec<Request> = of_it
                .iter()
                .flat_map(|it| [Some("elsewhere"), None].map(|value| (*it).clone().with(key, value)))
                .collect();
            for (request, allowed) in violated.iter().zip(&evaluate(&[(&policy, &violated)])[0]) {
                assert!(!allowed, "allowed in spite of {key}: {request:?}");
            }
            conditions += 1;
        }
    }
    assert!(conditions >= 7, "{conditions}");
    assert!(without.len() > 30, "{}", without.len());
}

#[test]
fn everything_is_asked_of_everything_only_where_iam_knows_no_less() {
    let policy = policy_of(&whole(""));
    let all = actions(&policy);
    let mut answer = ask(&json!({"role": OWN_ROLE, "cases": [], "actions": all}));
    let unscoped: BTreeSet<String> = serde_json::from_value(answer["wildcard_only"].take()).unwrap();
    let of_everything = statements(&policy).iter().filter(|it| it["Resource"] == "*");
    let of_everything: BTreeSet<String> =
        of_everything.flat_map(|it| texts(&it["Action"])).map(str::to_owned).collect();
    assert_eq!(of_everything, unscoped, "by the service authorisation reference");
    assert!(unscoped.len() < all.len() / 3, "{unscoped:?}");
    for resource in statements(&policy).iter().flat_map(|it| texts(&it["Resource"])).filter(|it| *it != "*") {
        let parts: Vec<&str> = resource.splitn(6, ':').collect();
        assert_eq!((parts[1], parts[3]), ("aws", REGION), "{resource}: another partition or Region");
        assert!(parts[4] == ACCOUNT || parts[2] == "kms", "{resource}: of any account");
    }
}

#[test]
fn what_the_role_may_not_do() {
    let named = [("PolicyParameterName", "/streamseal/policy")];
    let least = Deployed::new(&[named[0], ("AllowObserve", "false")]);
    let usual = Deployed::new(&named);
    let narrowed = Deployed::new(&[named[0], ("KeyArns", &format!("{KEY},{FOREIGN_KEY}"))]);
    let with_mode = Deployed::new(&[named[0], ("ModeParameterName", "/streamseal/mode")]);
    let [least_policy, usual_policy, narrowed_policy, mode_policy] =
        [&least, &usual, &narrowed, &with_mode].map(policy_of);
    let request = Request::new;
    let elsewhere = [
        "arn:aws:kinesis:eu-west-1:999999999999:stream/orders",
        "arn:aws:kinesis:us-east-1:111122223333:stream/orders",
    ];
    let start = "kinesis:StartStreamEncryption";
    let data_key = |stream: &str| Request::through_kinesis("kms:GenerateDataKey", KEY, stream);
    let other_key = KEY.replace("1b0e", "9999");
    let mut table = vec![
        // Nothing less encrypted, nothing gone, nothing else.
        (&usual_policy, request("kinesis:StopStreamEncryption", STREAM), false),
        (&usual_policy, request("kinesis:DeleteStream", STREAM), false),
        (&usual_policy, request("kinesis:PutRecords", STREAM), false),
        (&usual_policy, request("kms:ScheduleKeyDeletion", KEY), false),
        (&usual_policy, request("kms:CreateGrant", KEY), false),
        (
            &usual_policy,
            request("ssm:PutParameter", "arn:aws:ssm:eu-west-1:111122223333:parameter/streamseal/policy"),
            false,
        ),
        // Keys: any of the account and Region, or those that are named, of whatever account.
        (&usual_policy, request(start, KEY), true),
        (&usual_policy, request(start, FOREIGN_KEY), false),
        (&usual_policy, request(start, &KEY.replace("eu-west-1", "us-east-1")), false),
        (&narrowed_policy, request(start, KEY), true),
        (&narrowed_policy, request(start, FOREIGN_KEY), true),
        (&narrowed_policy, request(start, &other_key), false),
        // A key that may not be set may be observed, and used where an accepted stream has it.
        (&narrowed_policy, request("kms:DescribeKey", &other_key), true),
        (&narrowed_policy, Request::through_kinesis("kms:GenerateDataKey", &other_key, STREAM), true),
        (&usual_policy, request("kms:DescribeKey", FOREIGN_KEY), true),
        (&usual_policy, Request::through_kinesis("kms:GenerateDataKey", FOREIGN_KEY, STREAM), true),
        // Data keys by way of Kinesis alone, and for our streams alone.
        (&usual_policy, data_key(STREAM), true),
        (&usual_policy, data_key(STREAM).with("kms:ViaService", None), false),
        (&usual_policy, data_key(STREAM).with("kms:ViaService", Some("s3.eu-west-1.amazonaws.com")), false),
        (&usual_policy, data_key(STREAM).with("kms:ViaService", Some("kinesis.us-east-1.amazonaws.com")), false),
        (&usual_policy, data_key(elsewhere[0]), false),
        (&usual_policy, data_key(STREAM).with("kms:EncryptionContext:aws:kinesis:arn", None), false),
        // Reading is a choice, and writing the probe is not reading.
        (&usual_policy, Request::through_kinesis("kms:Decrypt", KEY, STREAM), true),
        (&least_policy, Request::through_kinesis("kms:Decrypt", KEY, STREAM), false),
        (&least_policy, data_key(STREAM), true),
        (&least_policy, request("kinesis:PutRecord", STREAM), true),
        // Parameters: those that are named.
        (
            &usual_policy,
            request("ssm:GetParameter", "arn:aws:ssm:eu-west-1:111122223333:parameter/streamseal/policy"),
            true,
        ),
        (
            &usual_policy,
            request("ssm:GetParameter", "arn:aws:ssm:eu-west-1:111122223333:parameter/streamseal/mode"),
            false,
        ),
        (
            &mode_policy,
            request("ssm:GetParameter", "arn:aws:ssm:eu-west-1:111122223333:parameter/streamseal/mode"),
            true,
        ),
        (
            &mode_policy,
            request("ssm:GetParameter", "arn:aws:ssm:eu-west-1:111122223333:parameter/streamseal/other"),
            false,
        ),
        // Queues: those that it works from.
        (&usual_policy, request("sqs:SendMessage", &arn(&usual, "WorkQueue")), true),
        (&usual_policy, request("sqs:SendMessage", &arn(&usual, "DeadLetterQueue")), false),
        (&usual_policy, request("sqs:ReceiveMessage", &arn(&usual, "UndeliveredQueue")), false),
        // Where nothing was asked for.
        (&usual_policy, request("xray:PutTraceSegments", "*"), false),
        (
            &usual_policy,
            request("kms:Decrypt", QUEUE_KEY).with("kms:ViaService", Some("sqs.eu-west-1.amazonaws.com")),
            false,
        ),
    ];
    for action in ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"] {
        table.push((&usual_policy, request(action, STREAM), true));
        table.push((&least_policy, request(action, STREAM), false));
    }
    for action in ["kinesis:DescribeStreamSummary", "kinesis:PutRecord", "kinesis:GetRecords", start] {
        table.push((&usual_policy, request(action, STREAM), true));
        table.extend(elsewhere.iter().map(|stream| (&usual_policy, request(action, stream), false)));
    }
    let cases: Vec<_> = table.iter().map(|(policy, request, _)| (*policy, std::slice::from_ref(request))).collect();
    for ((_, request, expected), answer) in table.iter().zip(evaluate(&cases)) {
        assert_eq!(answer, [*expected], "{request:?}");
    }
}

/// Whom the queues let send, by their own policies: principals of the account that are allowed everything, and EventBridge.
#[test]
fn only_services_the_role_and_who_is_named_send_to_queues_that_are_closed() {
    const ADMIN: &str = "arn:aws:iam::111122223333:role/admin";
    const OPERATOR: &str = "arn:aws:iam::111122223333:role/ops/operator-1b0e";
    const USER: &str = "arn:aws:iam::111122223333:user/operator";
    let everything =
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let named = format!("arn:aws:iam::111122223333:role/ops/operator-*,{USER}");
    // By the parameters: who may send to the queue of work, in the order of the principals below.
    let deployments = [
        (vec![], [true, true, true, true, true]),
        (vec![("RestrictQueueSenders", "true")], [true, true, false, false, false]),
        (vec![("RestrictQueueSenders", "true"), ("RedriveRoleArns", named.as_str())], [true, true, false, true, true]),
    ];
    for (parameters, expected) in deployments {
        let deployed = Deployed::new(&parameters);
        let role = arn(&deployed, "Role");
        for (policy, queue) in [("QueuePolicy", "WorkQueue"), ("ScanQueuePolicy", "ScanQueue")] {
            let request = |action: &str, principal: &str| {
                let service = principal == "events.amazonaws.com";
                let of_iam = json!({"aws:PrincipalIsAWSService": service.to_string(), "aws:PrincipalArn": principal});
                let rule = arn(&deployed, "StreamCalls");
                let of_service = json!({
                    "aws:PrincipalIsAWSService": "true", "aws:SourceArn": rule, "aws:SourceAccount": ACCOUNT,
                });
                json!({
                    "action": action, "principal": principal, "resource": arn(&deployed, queue),
                    "context": if service { of_service } else { of_iam },
                })
            };
            let principals = ["events.amazonaws.com", &role, ADMIN, OPERATOR, USER];
            let mut requests: Vec<Value> =
                principals.iter().map(|principal| request("sqs:SendMessage", principal)).collect();
            // Whatever else people do with a queue is none of its business.
            requests.push(request("sqs:PurgeQueue", ADMIN));
            let of_queue = deployed.properties(policy).map(|mut it| it["PolicyDocument"].take());
            let case = json!({"policy": everything, "resource_policy": of_queue, "requests": requests});
            let answer = ask(&json!({"role": role, "cases": [case], "actions": []}));
            let mut expected = expected.to_vec();
            // No rule sends scans.
            expected[0] = queue == "WorkQueue";
            expected.push(true);
            assert_eq!(answer["allowed"], json!([expected]), "{queue} {parameters:?}");
        }
    }
    // A rule of the same name in another account is none of ours.
    let deployed = Deployed::new(&[]);
    let (queue, rule) = (arn(&deployed, "WorkQueue"), arn(&deployed, "StreamCalls"));
    let from = |account: &str| {
        let context = json!({"aws:PrincipalIsAWSService": "true", "aws:SourceArn": rule, "aws:SourceAccount": account});
        json!({"action": "sqs:SendMessage", "principal": "events.amazonaws.com", "resource": queue, "context": context})
    };
    let of_queue = deployed.properties("QueuePolicy").unwrap()["PolicyDocument"].take();
    let case = json!({
        "policy": everything, "resource_policy": of_queue, "requests": [from(ACCOUNT), from("444455556666")],
    });
    let answer = ask(&json!({"role": OWN_ROLE, "cases": [case], "actions": []}));
    assert_eq!(answer["allowed"], json!([[true, false]]));
}

/// That the evaluator says no to what it does not understand, rather than yes.
#[test]
fn the_evaluator_refuses_what_it_cannot_evaluate() {
    let policy = policy_of(&Deployed::new(&[("PolicyParameterName", "/p")]));
    for (request, why) in [
        (Request::new("kinesis:FlyStream", STREAM), "FlyStream"),
        (Request::new("kinesis:PutRecord", KEY), "resource"),
        (Request::new("kinesis:PutRecord", STREAM).with("kms:ViaService", Some("x")), "kms:ViaService"),
    ] {
        let asked = std::panic::catch_unwind(|| evaluate(&[(&policy, std::slice::from_ref(&request))]));
        let words = asked.expect_err(why);
        let words = words.downcast_ref::<String>().unwrap();
        assert!(words.contains(why), "{words}");
    }
}
