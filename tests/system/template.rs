//! `template.yaml` as the function relies on it: every property whose loss would lose events, loop, or let the function do more
//! than it needs. Reads the file only; `sam validate --lint` (`make sam`) says whether CloudFormation would take it.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};

/// The template with each tag as an object of one member: `!GetAtt A.Arn` is `{"!GetAtt": "A.Arn"}`.
pub(crate) fn template() -> Value {
    let documents = Yaml::load_from_str(include_str!("../../template.yaml")).unwrap_or_default();
    assert_eq!(documents.len(), 1, "template.yaml is not one YAML document");
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

/// What stands at a place such as `WorkQueue/VisibilityTimeout`, below the resources and their `Properties`.
fn property(template: &Value, place: &str) -> Value {
    let (resource, path) = place.split_once('/').unwrap_or((place, ""));
    template.pointer(&format!("/Resources/{resource}/Properties/{path}")).cloned().unwrap_or(Value::Null)
}

fn number(template: &Value, place: &str) -> i64 {
    property(template, place).as_i64().unwrap_or_default()
}

/// Every text in `value`, sorted, without repetitions; names of conditions, which are no list of texts, left out.
fn texts(value: &Value) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => into.push(text.clone()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(members) => match members.get("!If").and_then(Value::as_array).and_then(|all| all.get(1..)) {
                Some(branches) => branches.iter().for_each(|branch| collect(branch, into)),
                None => members.values().for_each(|member| collect(member, into)),
            },
            _ => {}
        }
    }
    let mut all = Vec::new();
    collect(value, &mut all);
    all.sort();
    all.dedup();
    all
}

/// The statements of the function's role, those under a condition included.
fn role_statements(template: &Value) -> Vec<Value> {
    let statements = property(template, "Role/Policies/0/PolicyDocument/Statement");
    statements.as_array().into_iter().flatten().map(|one| one.pointer("/!If/1").unwrap_or(one).clone()).collect()
}

#[test]
fn nothing_is_lost_between_eventbridge_and_the_function() {
    let template = template();
    for (place, expected) in [
        // A message waits for up to two weeks, wherever it is.
        ("WorkQueue/MessageRetentionPeriod", json!(1_209_600)),
        ("DeadLetterQueue/MessageRetentionPeriod", json!(1_209_600)),
        ("UndeliveredQueue/MessageRetentionPeriod", json!(1_209_600)),
        // A message that fails again and again is put aside.
        ("WorkQueue/RedrivePolicy/deadLetterTargetArn", json!({"!GetAtt": "DeadLetterQueue.Arn"})),
        ("WorkQueue/RedrivePolicy/maxReceiveCount", json!(5)),
        // One that fails comes back alone: without this the rest of its batch would be deleted unhandled.
        ("Function/Events/Work/Properties/FunctionResponseTypes", json!(["ReportBatchItemFailures"])),
        ("Function/Events/Work/Properties/Queue", json!({"!GetAtt": "WorkQueue.Arn"})),
        ("Function/Events/Work/Type", json!("SQS")),
        // Throttling at the source mapping, not at the function, where it would use up receive counts.
        ("Function/Events/Work/Properties/ScalingConfig/MaximumConcurrency", json!({"!Ref": "MaximumConcurrency"})),
        ("Function/ReservedConcurrentExecutions", Value::Null),
        // The chain of deferred messages is ours to bound: Lambda would cut it after about 16.
        ("Function/RecursiveLoop", json!("Allow")),
    ] {
        assert_eq!(property(&template, place), expected, "{place}");
    }
}

#[test]
fn every_rule_for_events_brings_them_to_the_queue() {
    let template = template();
    let rules = template["Resources"].as_object().unwrap().iter().filter(|(_, it)| it["Type"] == "AWS::Events::Rule");
    let rules: Vec<_> = rules.filter(|(_, it)| !it["Properties"]["EventPattern"].is_null()).collect();
    assert!(rules.len() >= 4);
    for (rule, _) in rules {
        for (place, expected) in [
            ("Targets/0/Arn", json!({"!GetAtt": "WorkQueue.Arn"})),
            // What EventBridge cannot deliver: a day of attempts, then a queue.
            ("Targets/0/RetryPolicy/MaximumEventAgeInSeconds", json!(86_400)),
            ("Targets/0/RetryPolicy/MaximumRetryAttempts", json!(185)),
            ("Targets/0/DeadLetterConfig/Arn", json!({"!GetAtt": "UndeliveredQueue.Arn"})),
            // The event itself arrives: an input of the target's own would replace it.
            ("Targets/0/Input", Value::Null),
            ("Targets/0/InputPath", Value::Null),
            ("Targets/0/InputTransformer", Value::Null),
            ("State", Value::Null),
            ("Targets/1", Value::Null),
        ] {
            let place = format!("{rule}/{place}");
            assert_eq!(property(&template, &place), expected, "{place}");
        }
    }
}

#[test]
fn the_queue_gives_the_function_time() {
    let template = template();
    let timeout = number(&template, "Function/Timeout");
    assert_eq!(timeout, 120);
    let window = number(&template, "Function/Events/Work/Properties/MaximumBatchingWindowInSeconds");
    assert!(
        number(&template, "WorkQueue/VisibilityTimeout") >= 6 * timeout + window,
        "six times the function's timeout"
    );
    assert!(
        (1..=10).contains(&number(&template, "Function/Events/Work/Properties/BatchSize")),
        "at most ten in a batch"
    );
}

#[test]
fn concurrency_is_what_the_function_is_told() {
    let template = template();
    let bounds = template.pointer("/Parameters/MaximumConcurrency").cloned().unwrap_or_default();
    assert_eq!((&bounds["Default"], &bounds["MinValue"], &bounds["MaxValue"]), (&json!(5), &json!(2), &json!(50)));
    assert_eq!(
        property(&template, "Function/Environment/Variables/MAX_CONCURRENCY"),
        property(&template, "Function/Events/Work/Properties/ScalingConfig/MaximumConcurrency"),
    );
}

#[test]
fn every_queue_is_encrypted() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let queues: Vec<_> =
        resources.iter().filter(|(_, it)| it["Type"] == "AWS::SQS::Queue").map(|(name, _)| name).collect();
    assert_eq!(queues.len(), 3);
    for queue in queues {
        assert_eq!(property(&template, &format!("{queue}/SqsManagedSseEnabled")), json!(true), "{queue}");
    }
}

#[test]
fn only_our_rules_may_send_to_the_queues() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let rules: Vec<_> = resources
        .iter()
        .filter(|(_, it)| it["Type"] == "AWS::Events::Rule")
        .map(|(name, _)| json!({ "!GetAtt": format!("{name}.Arn") }))
        .collect();
    assert!(!rules.is_empty());
    for (policy, queue) in [("QueuePolicy", "WorkQueue"), ("UndeliveredQueuePolicy", "UndeliveredQueue")] {
        assert_eq!(property(&template, &format!("{policy}/Queues")), json!([{"!Ref": queue}]));
        let statements = property(&template, &format!("{policy}/PolicyDocument/Statement"));
        assert_eq!(
            statements,
            json!([{
                "Sid": "OurRules",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": {"!GetAtt": format!("{queue}.Arn")},
                "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
            }]),
            "{policy}"
        );
    }
}

#[test]
fn the_rule_names_the_calls_that_are_handled() {
    assert_eq!(
        property(&template(), "StreamCalls/EventPattern"),
        json!({
            "source": ["aws.kinesis"],
            "detail-type": ["AWS API Call via CloudTrail"],
            "detail": {
                "eventSource": ["kinesis.amazonaws.com"],
                "eventName": [
                    "AddTagsToStream",
                    "CreateStream",
                    "RemoveTagsFromStream",
                    "StartStreamEncryption",
                    "StopStreamEncryption",
                    "TagResource",
                    "UntagResource",
                ],
                "errorCode": [{"exists": false}],
            },
        })
    );
}

/// Every `service:Operation` that the adapters name, as IAM writes it: each call in the log has one.
fn calls_in_the_adapters() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/aws");
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for quoted in text.split('"').skip(1).step_by(2) {
            let Some((service, operation)) = quoted.split_once(':') else { continue };
            let is_call = ["kinesis", "kms", "sqs", "ssm"].contains(&service)
                && operation.starts_with(|c: char| c.is_ascii_uppercase())
                && operation.chars().all(|c| c.is_ascii_alphabetic());
            if is_call && !calls.contains(&quoted.to_owned()) {
                calls.push(quoted.to_owned());
            }
        }
    }
    calls
}

#[test]
fn the_role_allows_what_is_called_and_nothing_else() {
    let template = template();
    let statements = role_statements(&template);
    let actions = texts(&statements.iter().map(|statement| statement["Action"].clone()).collect());
    let mut expected = calls_in_the_adapters();
    assert!(expected.len() > 8, "{expected:?}");
    // By Kinesis in our name (the probe, and the observation of what others wrote), and by Lambda (the log, the event source).
    let in_our_name = ["kms:Decrypt", "kms:GenerateDataKey", "logs:CreateLogStream", "logs:PutLogEvents"];
    let by_lambda = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
    expected.extend(in_our_name.into_iter().chain(by_lambda).map(str::to_owned));
    expected.sort();
    assert_eq!(actions, expected);
    for (member, expected) in [("ManagedPolicyArns", Value::Null), ("Policies/1", Value::Null)] {
        assert_eq!(property(&template, &format!("Role/{member}")), expected, "{member}");
    }
    assert_eq!(property(&template, "Function/Role"), json!({"!GetAtt": "Role.Arn"}));
    assert_eq!(property(&template, "Function/Policies"), Value::Null);
}

#[test]
fn the_role_is_bound_to_this_account_and_to_kinesis() {
    let template = template();
    let streams = "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/*";
    let keys = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*";
    // To look at the key that a stream is on, and to use it by way of Kinesis: it may be another account's.
    let any_key = "arn:${AWS::Partition}:kms:${AWS::Region}:*:key/*";
    let mut on_streams = 0;
    for statement in role_statements(&template) {
        let (sid, resources) = (&statement["Sid"], texts(&statement["Resource"]));
        assert_eq!(statement["Effect"], "Allow", "{sid}");
        assert!(resources.iter().all(|one| one != "*"), "{sid}");
        if resources == [streams] {
            on_streams += 1;
            let account = json!({"StringEquals": {"aws:ResourceAccount": {"!Ref": "AWS::AccountId"}}});
            assert_eq!(statement["Condition"], account, "{sid}");
        }
        let actions = texts(&statement["Action"]);
        if actions.iter().any(|one| one == "kms:GenerateDataKey" || one == "kms:Decrypt") {
            let through_kinesis = json!({
                "StringEquals": {"kms:ViaService": {"!Sub": "kinesis.${AWS::Region}.${AWS::URLSuffix}"}},
                "StringLike": {"kms:EncryptionContext:aws:kinesis:arn": {"!Sub": streams}},
            });
            assert_eq!(statement["Condition"], through_kinesis, "{sid}");
        }
        if actions.iter().any(|one| one.starts_with("kms:")) {
            assert_eq!(resources, [any_key], "{sid}");
        }
        if actions.iter().any(|one| one == "kinesis:StartStreamEncryption") && resources != [streams] {
            assert!(
                resources.iter().all(|one| one == "KeyArns" || one == keys),
                "what may be set: {sid}: {resources:?}"
            );
        }
    }
    assert_eq!(on_streams, 2, "one statement for what is always called, one for observing");
    // Start is authorised twice, on the stream and on the key.
    let on = |resource: &str| {
        let allows = |it: &Value| texts(&it["Action"]).iter().any(|one| one == "kinesis:StartStreamEncryption");
        role_statements(&template)
            .iter()
            .any(|it| allows(it) && texts(&it["Resource"]).iter().any(|one| one == resource))
    };
    assert!(on(streams) && on("KeyArns") && on(keys));
}

#[test]
fn reading_records_can_be_forbidden() {
    let template = template();
    for action in ["kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards", "kms:Decrypt"] {
        let statements = property(&template, "Role/Policies/0/PolicyDocument/Statement");
        let allowing: Vec<_> =
            statements.as_array().unwrap().iter().filter(|it| texts(it).iter().any(|one| one == action)).collect();
        assert_eq!(allowing.len(), 1, "{action}");
        // Either the statement or its list of actions is chosen by the condition, and the other branch lacks the action.
        let choice = allowing[0].get("!If").or_else(|| allowing[0].pointer("/Action/!If")).expect(action);
        assert_eq!(choice[0], "MayObserve", "{action}");
        assert!(!texts(&choice[2]).iter().any(|one| one == action), "{action}");
    }
}

#[test]
fn the_function_is_told_what_it_needs() {
    let template = template();
    let variables = property(&template, "Function/Environment/Variables");
    let names: Vec<_> = variables.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected =
        ["POLICY", "MODE", "ACCOUNT_ID", "PARTITION", "WORK_QUEUE_URL", "MAX_CONCURRENCY", "LOG_LEVEL"].to_vec();
    expected.sort_unstable();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert_eq!(variables["WORK_QUEUE_URL"], json!({"!Ref": "WorkQueue"}));
    assert_eq!(texts(&variables["POLICY"]), ["ssm:${PolicyParameterName}", "ssm:${PolicyParameter}"]);
    assert_eq!(
        variables["MODE"],
        json!({"!If": ["HasModeParameter", {"!Sub": "ssm:${ModeParameterName}"}, {"!Ref": "Mode"}]})
    );
    assert_eq!(template.pointer("/Parameters/Mode/Default"), Some(&json!("report")), "enforcing is a decision");
    assert_eq!(property(&template, "LogGroup/RetentionInDays"), json!({"!Ref": "LogRetentionDays"}));
}

#[test]
fn trouble_raises_an_alarm() {
    let template = template();
    for (alarm, queue, metric) in [
        ("DeadLettersAlarm", "DeadLetterQueue", "ApproximateNumberOfMessagesVisible"),
        ("UndeliveredAlarm", "UndeliveredQueue", "ApproximateNumberOfMessagesVisible"),
        ("BacklogAlarm", "WorkQueue", "ApproximateAgeOfOldestMessage"),
    ] {
        assert_eq!(property(&template, &format!("{alarm}/MetricName")), json!(metric), "{alarm}");
        let dimension = json!([{"Name": "QueueName", "Value": {"!GetAtt": format!("{queue}.QueueName")}}]);
        assert_eq!(property(&template, &format!("{alarm}/Dimensions")), dimension, "{alarm}");
    }
}
