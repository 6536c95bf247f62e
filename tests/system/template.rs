//! `template.yaml` as the function relies on it: every property whose loss would lose events, loop, or let the function do more
//! than it needs. Reads the file only; `sam validate --lint` (`make sam`) says whether CloudFormation would take it.

use serde_json::{Value, json};
use streamseal::domain::cause::WAKING_CALLS;
use streamseal::domain::event::keys::{KEY_CALLS, KEY_EVENTS, KEY_SERVICE_EVENTS};
use streamseal::domain::scan::subject::KeyEvent;

use crate::common::{Deployed, resources, template};
use crate::support::{event, root};

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
        ("ScanQueue/MessageRetentionPeriod", json!(1_209_600)),
        ("ScanDeadLetterQueue/MessageRetentionPeriod", json!(1_209_600)),
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
fn every_rule_delivers_to_the_work_queue_or_puts_aside() {
    let template = template();
    let rules = resources(&template, "AWS::Events::Rule");
    assert_eq!(rules.len(), 8);
    for (name, rule) in rules {
        // The event itself arrives: an input of the target's own would replace it. A day of attempts, then a queue.
        let mut target = json!({
            "Id": "work",
            "Arn": {"!GetAtt": "WorkQueue.Arn"},
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86_400, "MaximumRetryAttempts": 185},
            "DeadLetterConfig": {"Arn": {"!GetAtt": "UndeliveredQueue.Arn"}},
        });
        let mut members = vec!["Description", "EventPattern", "Targets"];
        if name == "Sweep" {
            // A schedule has no event to hand over: a command.
            target["Input"] = json!(r#"{"action":"sweep"}"#);
            members[1] = "ScheduleExpression";
        }
        assert_eq!(rule["Targets"], json!([target]), "{name}");
        // No `State`: all are in force.
        assert_eq!(rule.as_object().unwrap().keys().collect::<Vec<_>>(), members, "{name}");
    }
    let command: Value = serde_json::from_str(r#"{"action":"sweep"}"#).unwrap();
    assert_eq!(command, event("streamseal-command-sweep"));
    assert_eq!(property(&template, "Sweep/ScheduleExpression"), json!({"!Ref": "SweepSchedule"}));
}

#[test]
fn scans_run_one_at_a_time_and_none_is_lost() {
    let template = template();
    for (place, expected) in [
        // One message group, which the adapter names, is handled by one instance at a time.
        ("ScanQueue/FifoQueue", json!(true)),
        ("Function/Events/Scans/Type", json!("SQS")),
        ("Function/Events/Scans/Properties/Queue", json!({"!GetAtt": "ScanQueue.Arn"})),
        ("Function/Events/Scans/Properties/BatchSize", json!(1)),
        ("Function/Events/Scans/Properties/FunctionResponseTypes", json!(["ReportBatchItemFailures"])),
        // Each scan says itself which it is: two parts of one are not to be taken for one, whatever their content.
        ("ScanQueue/ContentBasedDeduplication", Value::Null),
        ("ScanQueue/RedrivePolicy/deadLetterTargetArn", json!({"!GetAtt": "ScanDeadLetterQueue.Arn"})),
        ("ScanQueue/RedrivePolicy/maxReceiveCount", json!(5)),
        // SQS takes dead letters of a FIFO queue only into another one.
        ("ScanDeadLetterQueue/FifoQueue", json!(true)),
    ] {
        assert_eq!(property(&template, place), expected, "{place}");
    }
    for queue in ["WorkQueue", "DeadLetterQueue", "UndeliveredQueue"] {
        assert_eq!(property(&template, &format!("{queue}/FifoQueue")), Value::Null, "{queue}: EventBridge, and delays");
    }
}

#[test]
fn the_queues_give_the_function_time() {
    let template = template();
    let timeout = number(&template, "Function/Timeout");
    assert_eq!(timeout, 120);
    for (queue, source) in [("WorkQueue", "Work"), ("ScanQueue", "Scans")] {
        let window = number(&template, &format!("Function/Events/{source}/Properties/MaximumBatchingWindowInSeconds"));
        let visible_again = number(&template, &format!("{queue}/VisibilityTimeout"));
        assert!(visible_again >= 6 * timeout + window, "{queue}: six times the function's timeout");
        let batch = number(&template, &format!("Function/Events/{source}/Properties/BatchSize"));
        assert!((1..=10).contains(&batch), "{source}: at most ten in a batch");
    }
}

#[test]
fn the_function_knows_its_concurrency() {
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
    let queues = resources(&template, "AWS::SQS::Queue");
    assert_eq!(queues.len(), 5);
    let key = "arn:aws:kms:eu-west-1:111122223333:key/1b0e6a9c-5e1f-4d2a-9f3e-0a1b2c3d4e5f";
    let (managed, customer) = (Deployed::new(&[]), Deployed::new(&[("QueueAndLogKeyArn", key)]));
    for (name, _) in queues {
        // Either way of it, and never both: SQS takes one.
        let queue = managed.properties(name).unwrap();
        assert_eq!((&queue["SqsManagedSseEnabled"], queue.get("KmsMasterKeyId")), (&json!(true), None), "{name}");
        let queue = customer.properties(name).unwrap();
        assert_eq!((queue.get("SqsManagedSseEnabled"), &queue["KmsMasterKeyId"]), (None, &json!(key)), "{name}");
    }
    assert_eq!(managed.properties("LogGroup").unwrap().get("KmsKeyId"), None);
    assert_eq!(customer.properties("LogGroup").unwrap()["KmsKeyId"], key);
}

#[test]
fn the_evidence_outlives_the_stack() {
    let group = &template()["Resources"]["LogGroup"];
    assert_eq!((&group["DeletionPolicy"], &group["UpdateReplacePolicy"]), (&json!("Retain"), &json!("Retain")));
}

#[test]
fn only_our_rules_may_send_to_the_queues() {
    let template = template();
    let rules: Vec<_> = resources(&template, "AWS::Events::Rule")
        .iter()
        .map(|(name, _)| json!({ "!GetAtt": format!("{name}.Arn") }))
        .collect();
    assert!(!rules.is_empty());
    // Scans come from the function alone, by its role.
    assert_eq!(resources(&template, "AWS::SQS::QueuePolicy").len(), 3);
    let open = Deployed::new(&[]);
    assert_eq!(open.properties("ScanQueuePolicy"), None);
    for (policy, queue) in [("QueuePolicy", "WorkQueue"), ("UndeliveredQueuePolicy", "UndeliveredQueue")] {
        let given = json!([{
            "Sid": "OurRules",
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": {"!GetAtt": format!("{queue}.Arn")},
            // Of this account, whoever else knows the name of a rule of ours.
            "Condition": {
                "StringEquals": {"aws:SourceAccount": {"!Ref": "AWS::AccountId"}},
                "ArnEquals": {"aws:SourceArn": rules},
            },
        }]);
        let found = open.properties(policy).unwrap();
        assert_eq!(found["Queues"], json!([open.resolved(&json!({"!Ref": queue}))]), "{policy}");
        assert_eq!(found["PolicyDocument"]["Statement"], open.resolved(&given).unwrap(), "{policy}");
    }
}

#[test]
fn only_the_queues_of_the_stack_put_dead_letters_aside() {
    let stack = Deployed::new(&[]);
    let arn = |queue: &str| stack.resolved(&json!({"!GetAtt": format!("{queue}.Arn")})).unwrap();
    for (dead, of) in [("DeadLetterQueue", "WorkQueue"), ("ScanDeadLetterQueue", "ScanQueue")] {
        let allowed = json!({"redrivePermission": "byQueue", "sourceQueueArns": [arn(of)]});
        assert_eq!(stack.properties(dead).unwrap()["RedriveAllowPolicy"], allowed, "{dead}");
        assert_eq!(stack.properties(of).unwrap()["RedrivePolicy"]["deadLetterTargetArn"], arn(dead), "{of}");
        // A name is one of 80 characters at most, of one stack and no other.
        let name = stack.properties(of).unwrap()["QueueName"].as_str().unwrap().to_owned();
        assert!(name.len() <= 80 && name.contains("5f1e0a2c-0b1d-4a6e-9c3f-7d2b8e4a6f10"), "{name}");
        assert_eq!(name.ends_with(".fifo"), of == "ScanQueue", "{name}");
        // By CloudFormation's own names the two would need each other.
        let text = template()["Resources"][dead].to_string();
        assert!(!text.contains(&format!("{of}.Arn")), "{dead} waits for {of}, which waits for it");
    }
    let undelivered = json!({"redrivePermission": "denyAll"});
    assert_eq!(stack.properties("UndeliveredQueue").unwrap()["RedriveAllowPolicy"], undelivered);
}

#[test]
fn the_queues_can_be_closed_to_all_other_senders() {
    let template = template();
    assert_eq!(template.pointer("/Parameters/RestrictQueueSenders/Default"), Some(&json!("false")));
    let redrive = "arn:aws:iam::111122223333:role/ops/*";
    let closed = |roles: &str| Deployed::new(&[("RestrictQueueSenders", "true"), ("RedriveRoleArns", roles)]);
    for (roles, given) in [("", None), (redrive, Some(json!({"aws:PrincipalArn": [redrive]})))] {
        let stack = closed(roles);
        for (policy, queue) in [("QueuePolicy", "WorkQueue"), ("ScanQueuePolicy", "ScanQueue")] {
            let found = stack.properties(policy).unwrap();
            let statement = found["PolicyDocument"]["Statement"].as_array().unwrap().last().unwrap().clone();
            let mut expected = json!({
                "Sid": "NobodyElse",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:SendMessage",
                "Resource": {"!GetAtt": format!("{queue}.Arn")},
                "Condition": {
                    "Bool": {"aws:PrincipalIsAWSService": "false"},
                    "ArnNotEquals": {"aws:PrincipalArn": {"!GetAtt": "Role.Arn"}},
                },
            });
            if let Some(given) = &given {
                expected["Condition"]["ArnNotLike"] = given.clone();
            }
            assert_eq!(statement, stack.resolved(&expected).unwrap(), "{policy} {roles}");
            assert_eq!(found["Queues"], json!([stack.resolved(&json!({"!Ref": queue}))]));
        }
        // Dead letters and undelivered events come in all the same.
        assert_eq!(stack.properties("UndeliveredQueuePolicy"), Deployed::new(&[]).properties("UndeliveredQueuePolicy"));
    }
}

#[test]
fn the_key_rules_name_the_events_that_are_handled() {
    let names = |events: &[(&str, Option<KeyEvent>)]| -> Vec<String> {
        events.iter().map(|(name, _)| (*name).to_owned()).collect()
    };
    let sorted = |path: &str| {
        let mut found = texts(&property(&template(), path));
        found.sort();
        found
    };
    let mut calls = [names(&KEY_CALLS), names(&KEY_SERVICE_EVENTS)].concat();
    calls.sort();
    assert_eq!(sorted("KeyCalls/EventPattern/detail/eventName"), calls);
    let mut events: Vec<String> = KEY_EVENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    events.sort();
    assert_eq!(sorted("KeyEvents/EventPattern/detail-type"), events);
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
                "eventName": WAKING_CALLS,
                "errorCode": [{"exists": false}],
            },
        })
    );
}

/// Every `service:Operation` that the adapters name, as IAM writes it: each call in the log has one.
fn calls_in_the_adapters() -> Vec<String> {
    let src = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut calls = Vec::new();
    // The table of codes names two of them.
    let files = std::fs::read_dir(src.join("aws")).unwrap().map(|entry| entry.unwrap().path());
    for path in files.chain([src.join("domain/codes.rs")]) {
        let text = std::fs::read_to_string(path).unwrap();
        for quoted in text.split('"').skip(1).step_by(2) {
            let Some((service, operation)) = quoted.split_once(':') else { continue };
            let is_call = ["cloudtrail", "cloudwatch", "events", "kinesis", "kms", "sqs", "ssm", "tag"]
                .contains(&service)
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
    // By Kinesis in our name (the probe, and the observation of what others wrote), and by Lambda (the log, the event source, traces).
    let in_our_name = ["kms:Decrypt", "kms:GenerateDataKey", "logs:CreateLogStream", "logs:PutLogEvents"];
    let by_lambda = [
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    ];
    expected.extend(in_our_name.into_iter().chain(by_lambda).map(str::to_owned));
    expected.sort();
    assert_eq!(actions, expected);
    for (member, expected) in [("ManagedPolicyArns", Value::Null), ("Policies/1", Value::Null)] {
        assert_eq!(property(&template, &format!("Role/{member}")), expected, "{member}");
    }
    assert_eq!(property(&template, "Function/Role"), json!({"!GetAtt": "Role.Arn"}));
    assert_eq!(property(&template, "Function/Policies"), Value::Null);
}

/// What may be asked of everything, and why it cannot be asked of less.
const OF_EVERYTHING: &[(&str, &str)] = &[
    ("cloudwatch:GetMetricData", "IAM knows no resource for it, whatever metrics it is asked about"),
    ("cloudtrail:LookupEvents", "the history is the account's, and IAM knows no part of it"),
    ("kinesis:ListStreams", "it names no stream, so that IAM knows no resource for it"),
    ("tag:GetResources", "IAM knows no resource for it, whatever resources it is asked about"),
    ("xray:PutTelemetryRecords", "IAM knows no resource for it"),
    ("xray:PutTraceSegments", "IAM knows no resource for it"),
];

#[test]
fn the_role_is_bound_to_this_account_and_to_kinesis() {
    let template = template();
    let streams = "arn:${AWS::Partition}:kinesis:${AWS::Region}:${AWS::AccountId}:stream/*";
    let keys = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*";
    // To observe the key that a stream is on, and to use it by way of Kinesis: it may be another account's.
    let any_key = "arn:${AWS::Partition}:kms:${AWS::Region}:*:key/*";
    let mut on_streams = 0;
    for statement in role_statements(&template) {
        let (sid, resources) = (&statement["Sid"], texts(&statement["Resource"]));
        assert_eq!(statement["Effect"], "Allow", "{sid}");
        let actions = texts(&statement["Action"]);
        if resources.iter().any(|one| one == "*") {
            let narrow = |action: &&String| !OF_EVERYTHING.iter().any(|(listed, _)| listed == action);
            assert_eq!(actions.iter().find(narrow), None, "{sid}");
            let region = json!({"StringEquals": {"aws:RequestedRegion": {"!Ref": "AWS::Region"}}});
            assert_eq!(statement["Condition"], region, "{sid}");
        }
        if resources == [streams] {
            on_streams += 1;
            let account = json!({"StringEquals": {"aws:ResourceAccount": {"!Ref": "AWS::AccountId"}}});
            assert_eq!(statement["Condition"], account, "{sid}");
        }
        if sid == "QueueKey" {
            let through_queues =
                json!({"StringEquals": {"kms:ViaService": {"!Sub": "sqs.${AWS::Region}.${AWS::URLSuffix}"}}});
            assert_eq!(
                (&statement["Resource"], &statement["Condition"]),
                (&json!({"!Ref": "QueueAndLogKeyArn"}), &through_queues)
            );
            continue;
        }
        if actions.iter().any(|one| one == "kms:GenerateDataKey" || one == "kms:Decrypt") {
            let through_kinesis = json!({
                "StringEquals": {"kms:ViaService": {"!Sub": "kinesis.${AWS::Region}.${AWS::URLSuffix}"}},
                "StringLike": {"kms:EncryptionContext:aws:kinesis:arn": {"!Sub": streams}},
            });
            assert_eq!(statement["Condition"], through_kinesis, "{sid}");
        }
        if actions.iter().any(|one| one.starts_with("sqs:")) {
            assert_eq!(resources, ["ScanQueue.Arn", "WorkQueue.Arn"], "{sid}: both are read and written, and no other");
        }
        if actions.iter().any(|one| one.starts_with("events:")) {
            assert_eq!(
                (actions, resources),
                (vec!["events:PutEvents".to_owned()], vec!["ResultBusArn".to_owned()]),
                "{sid}"
            );
            continue;
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
    assert_eq!(on_streams, 3, "one statement for what is always called, one for observing, one for the guard");
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
        // The queues' own key has nothing to do with records.
        let of_records = |it: &&Value| it.pointer("/!If/0") != Some(&json!("HasQueueAndLogKey"));
        let statements = statements.as_array().unwrap().iter().filter(of_records);
        let allowing: Vec<_> = statements.filter(|it| texts(it).iter().any(|one| one == action)).collect();
        assert_eq!(allowing.len(), 1, "{action}");
        // Either the statement or its list of actions is chosen by the condition, and the other branch lacks the action.
        let choice = allowing[0].get("!If").or_else(|| allowing[0].pointer("/Action/!If")).expect(action);
        assert_eq!(choice[0], "MayObserve", "{action}");
        assert!(!texts(&choice[2]).iter().any(|one| one == action), "{action}");
    }
}

/// Without a bus the role has no right on any.
#[test]
fn only_the_bus_that_is_given_is_written_to() {
    let template = template();
    let statements = property(&template, "Role/Policies/0/PolicyDocument/Statement");
    let results: Vec<_> = statements.as_array().unwrap().iter().filter(|it| it["!If"][0] == "HasResultBus").collect();
    assert_eq!(results.len(), 1);
    assert_eq!(results[0]["!If"][1]["Action"], "events:PutEvents");
    assert_eq!(results[0]["!If"][2], json!({"!Ref": "AWS::NoValue"}));
    let given = json!({"!Not": [{"!Equals": [{"!Ref": "ResultBusArn"}, ""]}]});
    assert_eq!(template["Conditions"]["HasResultBus"], given);
    assert_eq!(template.pointer("/Parameters/ResultBusArn/Default"), Some(&json!("")));
}

#[test]
fn the_function_gets_what_it_needs() {
    let template = template();
    let variables = property(&template, "Function/Environment/Variables");
    let names: Vec<_> = variables.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "ACCOUNT_ID",
        "LOG_LEVEL",
        "MAX_CHANGES",
        "MAX_CONCURRENCY",
        "MODE",
        "OWN_ROLE_ARN",
        "PARTITION",
        "POLICY",
        "RESULT_BUS",
        "SCAN_DESCRIBES_PER_SECOND",
        "SCAN_QUEUE_URL",
        "SWEEP_HOURS",
        "WORK_QUEUE_URL",
    ];
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for (variable, from) in [
        ("WORK_QUEUE_URL", json!({"!Ref": "WorkQueue"})),
        ("SCAN_QUEUE_URL", json!({"!Ref": "ScanQueue"})),
        ("SCAN_DESCRIBES_PER_SECOND", json!({"!Ref": "SweepRate"})),
        ("MAX_CHANGES", json!({"!Ref": "MaxChanges"})),
        ("SWEEP_HOURS", json!({"!Ref": "SweepHours"})),
        ("RESULT_BUS", json!({"!Ref": "ResultBusArn"})),
        // By another role it would take its own changes for somebody else's.
        ("OWN_ROLE_ARN", property(&template, "Function/Role")),
    ] {
        assert_eq!(variables[variable], from, "{variable}");
    }
    for (parameter, value, policy) in [
        ("Policy", "version: 1", "ssm:/streamseal/policy"),
        ("PolicyParameterName", "/p", "ssm:/p"),
        ("PolicyFile", "policies/policy.yaml", "file:policies/policy.yaml"),
    ] {
        let stack = Deployed::new(&[(parameter, value)]);
        let function = stack.properties("Function").unwrap();
        assert_eq!(function["Environment"]["Variables"]["POLICY"], policy, "{parameter}");
        // What is in the package needs no right, and no pattern is without a name.
        let role = stack.properties("Role").unwrap().to_string();
        assert_eq!(role.contains("ssm:GetParameter"), parameter != "PolicyFile", "{parameter}");
        let names = &stack.properties("PolicyChanges").unwrap()["EventPattern"]["detail"]["name"];
        assert_eq!(names.as_array().unwrap().len(), 1, "{parameter}: {names}");
    }
    assert_eq!(
        variables["MODE"],
        json!({"!If": ["HasModeParameter", {"!Sub": "ssm:${ModeParameterName}"}, {"!Ref": "Mode"}]})
    );
    assert_eq!(template.pointer("/Parameters/Mode/Default"), Some(&json!("report")), "enforcing is a decision");
    assert_eq!(property(&template, "LogGroup/RetentionInDays"), json!({"!Ref": "LogRetentionDays"}));
}

#[test]
fn sweeps_are_daily_and_gentle_unless_set_otherwise() {
    let template = template();
    assert_eq!(template.pointer("/Parameters/SweepSchedule/Default"), Some(&json!("rate(1 day)")));
    for (parameter, default, least, most) in [
        ("SweepHours", 24, 1, 168),
        ("SweepAlarmHours", 26, 2, 168),
        ("SweepRate", 5, 1, 20),
        ("MaxChanges", 10, 0, 500),
    ] {
        let given = &template["Parameters"][parameter];
        let bounds = (&given["Default"], &given["MinValue"], &given["MaxValue"]);
        assert_eq!(bounds, (&json!(default), &json!(least), &json!(most)), "{parameter}");
    }
}

#[test]
fn every_parameter_is_described_and_has_its_place_in_the_form() {
    let template = template();
    let groups = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"];
    let listed: Vec<&Value> =
        groups.as_array().unwrap().iter().flat_map(|group| group["Parameters"].as_array().unwrap()).collect();
    let parameters = template["Parameters"].as_object().unwrap();
    assert_eq!(listed.len(), parameters.len());
    for (name, parameter) in parameters {
        assert!(listed.contains(&&json!(name)), "{name}");
        assert!(parameter["Description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
        let label = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"][name]["default"];
        assert!(label.is_string(), "{name} has no label");
        // Nothing that CloudFormation would find wrong only in the middle of a deployment.
        let bounded = ["AllowedValues", "AllowedPattern", "MaxLength", "MinValue"];
        assert!(bounded.iter().any(|bound| parameter.get(bound).is_some()), "{name} takes anything");
        let said = parameter.get("AllowedPattern").is_none() || parameter["ConstraintDescription"].is_string();
        assert!(said, "{name}: a pattern is no message");
    }
    let labels = &template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterLabels"];
    assert_eq!(labels.as_object().unwrap().len(), parameters.len());
}

#[test]
fn the_published_application_is_this_one() {
    let template = template();
    let reported = &template["Metadata"]["AWS::ServerlessRepo::Application"];
    assert_eq!(reported["SemanticVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(reported["SpdxLicenseId"], env!("CARGO_PKG_LICENSE"));
    assert_eq!(reported["Name"], env!("CARGO_PKG_NAME"));
    for file in ["LicenseUrl", "ReadmeUrl"] {
        let path = root().join(reported[file].as_str().unwrap());
        assert!(path.is_file(), "{file}: {}", path.display());
    }
    for place in ["HomePageUrl", "SourceCodeUrl"] {
        assert_eq!(reported.get(place), None, "there is none yet");
    }
}

/// An alarm, and the namespace, the metric and the dimensions that it watches.
type Alarm = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const ALARMS: &[Alarm] = &[
    ("AccessDeniedAlarm", "Streamseal", "Alarms", &[("Reason", "access-denied")]),
    ("AttentionAlarm", "Streamseal", "Alarms", &[]),
    ("BacklogAlarm", "AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", "WorkQueue")]),
    ("BrokenAlarm", "Streamseal", "Alarms", &[("Reason", "broken")]),
    ("ContestedAlarm", "Streamseal", "Alarms", &[("Reason", "contested")]),
    ("DeadLettersAlarm", "AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "DeadLetterQueue")]),
    ("ForeignKeyAlarm", "Streamseal", "Alarms", &[("Reason", "foreign-key")]),
    ("FunctionErrorsAlarm", "AWS/Lambda", "Errors", &[("FunctionName", "Function")]),
    ("GaveUpAlarm", "Streamseal", "Alarms", &[("Reason", "gave-up")]),
    ("HaltedAlarm", "Streamseal", "Alarms", &[("Reason", "halted")]),
    ("KeyUnusableAlarm", "Streamseal", "Alarms", &[("Reason", "key-unusable")]),
    ("MissedByEventsAlarm", "Streamseal", "MissedByEvents", &[]),
    ("PolicyChangedAlarm", "Streamseal", "PolicyChanged", &[]),
    ("PolicyUnusableAlarm", "Streamseal", "Items", &[("Outcome", "deferred"), ("Reason", "PolicyUnusable")]),
    ("RejectedAlarm", "Streamseal", "Rejected", &[]),
    ("RestoredAlarm", "Streamseal", "Alarms", &[("Reason", "restored")]),
    ("ResultsLostAlarm", "Streamseal", "ResultsLost", &[]),
    ("ScanBacklogAlarm", "AWS/SQS", "ApproximateAgeOfOldestMessage", &[("QueueName", "ScanQueue")]),
    ("ScanDeadLettersAlarm", "AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "ScanDeadLetterQueue")]),
    ("StartRefusedAlarm", "Streamseal", "Alarms", &[("Reason", "start-refused")]),
    ("SweepMissingAlarm", "Streamseal", "Scans", &[("Kind", "sweep")]),
    ("UndeliveredAlarm", "AWS/SQS", "ApproximateNumberOfMessagesVisible", &[("QueueName", "UndeliveredQueue")]),
    ("UnprovenAlarm", "Streamseal", "Alarms", &[("Reason", "unproven")]),
    ("UnwritableAlarm", "Streamseal", "Alarms", &[("Reason", "unwritable")]),
];

#[test]
fn trouble_raises_an_alarm() {
    let template = template();
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    assert_eq!(
        alarms.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ALARMS.iter().map(|it| it.0).collect::<Vec<_>>()
    );
    for ((name, alarm), (_, namespace, metric, dimensions)) in alarms.iter().zip(ALARMS) {
        assert_eq!((&alarm["Namespace"], &alarm["MetricName"]), (&json!(namespace), &json!(metric)), "{name}");
        let value = |dimension: &str, value: &str| match dimension {
            "QueueName" => json!({"!GetAtt": format!("{value}.QueueName")}),
            "FunctionName" => json!({"!Ref": value}),
            _ => json!(value),
        };
        let expected: Vec<Value> =
            dimensions.iter().map(|(key, of)| json!({"Name": key, "Value": value(key, of)})).collect();
        assert_eq!(alarm["Dimensions"].as_array().cloned().unwrap_or_default(), expected, "{name}");
        let notify = json!({"!If": ["HasAlarmTopic", [{"!Ref": "AlarmTopicArn"}], {"!Ref": "AWS::NoValue"}]});
        assert_eq!(alarm["AlarmActions"], notify, "{name}");
        let test = (&alarm["ComparisonOperator"], &alarm["Threshold"], &alarm["TreatMissingData"]);
        // Of all but one, no data is good news, and anything is bad.
        match *name {
            "SweepMissingAlarm" => {
                assert_eq!(test, (&json!("LessThanThreshold"), &json!(1), &json!("breaching")), "{name}");
                let hours = json!({"!Ref": "SweepAlarmHours"});
                assert_eq!((&alarm["EvaluationPeriods"], &alarm["DatapointsToAlarm"]), (&hours, &hours), "{name}");
                assert_eq!((&alarm["Period"], &alarm["Statistic"]), (&json!(3600), &json!("Sum")), "{name}");
            }
            _ => {
                let least = match *name {
                    "BacklogAlarm" => 1_800,
                    "ScanBacklogAlarm" => 21_600,
                    _ => 0,
                };
                assert_eq!(test, (&json!("GreaterThanThreshold"), &json!(least), &json!("notBreaching")), "{name}");
                assert_eq!(alarm["EvaluationPeriods"], json!(1), "{name}");
            }
        }
    }
}
