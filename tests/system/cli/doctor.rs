//! `streamseal doctor`: an account with nothing, the same one with everything, and one that refuses to be observed.

use std::process::Command;

use serde_json::{Value, json};

use super::{Ran, pretty, reach_of, run, steady};
use crate::common::template;
use crate::support::{ACCOUNT, PATIENCE, Parts, REGION, aws_cli, file};

/// How each thing stands, by what it is about.
fn states(out: &str) -> Vec<(String, String)> {
    let json: Value = serde_json::from_str(out).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    json["findings"].as_array().unwrap().iter().map(|f| (text(&f["about"]), text(&f["state"]))).collect()
}

fn are(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(about, state)| ((*about).to_owned(), (*state).to_owned())).collect()
}

#[test]
fn each_fault_comes_with_its_fix() {
    let own = Parts::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let policy = file(
        &folder,
        "policy.yaml",
        "version: 1\ndefaults: {existing: enforce}\nrules: [{name: a, match: {stream: a}, key: alias/a}, {name: b, key: alias/b}]\n",
    );
    let policy = policy.to_str().unwrap();
    let doctor = |arguments: &[&str]| run(&[&["doctor", "--policy", policy], arguments].concat(), &reach_of(&own));

    let Ran { code, out, .. } = run(&["doctor", "--json"], &reach_of(&own));
    assert_eq!(code, 3, "no trail: {out}");
    let unnamed = [
        ("caller", "good"),
        ("streams", "good"),
        ("trail", "fault"),
        ("queue", "unknown"),
        ("scans", "unknown"),
        ("function", "unknown"),
        ("policy", "unknown"),
        ("role", "unknown"),
    ];
    assert_eq!(states(&out), are(&unnamed));

    let key = own.key("alias/a");
    let made = own.sqs("CreateQueue", json!({"QueueName": "work"}));
    let url = made["QueueUrl"].as_str().unwrap();
    let describe = json!({"Statement": [{"Effect": "Allow", "Action": "kinesis:Describe*", "Resource": "*"}]});
    let role = own.role("narrow", &describe);
    let named = ["--queue-url", url, "--role", &role];
    let port = own.aws.clone();
    let names = [(policy, "policy.yaml"), (&*key, "KEY"), (&*port, "http://AWS")];
    let Ran { code, out, .. } = doctor(&named);
    assert_eq!(code, 3, "{out}");
    insta::assert_snapshot!("doctor_faults", steady(&out, &names));
    let Ran { out, .. } = doctor(&[&named[..], &["--json"]].concat());
    insta::assert_snapshot!("doctor_faults_json", pretty(&steady(&out, &names)));
    // The rules that it would have one put are those of the template, to the last name.
    let (template, stack) = (template(), crate::common::Deployed::new(&[]));
    let mut rules: Vec<&str> = Vec::new();
    let faults: Value = serde_json::from_str(&out).unwrap();
    for fix in faults["findings"].as_array().unwrap().iter().filter_map(|finding| finding["fix"].as_str()) {
        let Some((put, pattern)) = fix.split_once(" --event-pattern '") else { continue };
        let names = template["Resources"].as_object().unwrap().keys();
        let name = names.into_iter().find(|name| put.ends_with(&format!("-{name}"))).unwrap();
        let pattern: Value = serde_json::from_str(pattern.split_once('\'').unwrap().0).unwrap();
        assert_eq!(pattern, stack.properties(name).unwrap()["EventPattern"], "{put}");
        rules.push(put);
    }
    assert_eq!(rules.len(), 6, "all but that of the parameters, of which there is none here: {rules:?}");

    // SQS uses the key of a queue in the role's name.
    let queue_key = own.key("alias/queues");
    let encrypt =
        |key: &str| own.sqs("SetQueueAttributes", json!({"QueueUrl": url, "Attributes": {"KmsMasterKeyId": key}}));
    encrypt("alias/queues");
    let Ran { out, .. } = doctor(&named);
    let both = |call: &str| format!(r#"{{"Action":"{call}","Effect":"Allow","Resource":["{key}","{queue_key}"]}}"#);
    assert!(out.contains(&both("kms:Decrypt")) && out.contains(&both("kms:GenerateDataKey")), "{out}");
    encrypt("alias/nothing");
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("is encrypted with the key alias/nothing, which KMS does not know"), "{out}");
    encrypt("");

    // Now as the words say, one after the other.
    own.cloudtrail("CreateTrail", json!({"Name": "management", "S3BucketName": "bucket"}));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("is not logging: EventBridge gets no events") && out.contains("start-logging"), "{out}");
    own.cloudtrail("StartLogging", json!({"Name": "management"}));
    let selectors = |kind: &str| json!({"TrailName": "management", "EventSelectors": [{"ReadWriteType": kind, "IncludeManagementEvents": true, "DataResources": []}]});
    own.cloudtrail("PutEventSelectors", selectors("ReadOnly"));
    let Ran { out, .. } = doctor(&named);
    assert!(out.contains("does not log management events that write") && out.contains("put-event-selectors"), "{out}");
    own.cloudtrail("PutEventSelectors", selectors("WriteOnly"));

    let Ran { out, .. } = doctor(&named);
    assert!(
        out.contains("ok    trail       management logs management events that write; logging started less than"),
        "{out}"
    );
}

#[test]
fn what_may_not_be_checked_is_reported() {
    let refusing = super::frame::refusing();
    let variables = [("AWS_ENDPOINT_URL", &*refusing), ("AWS_REGION", REGION), ("ACCOUNT_ID", ACCOUNT)];
    let Ran { code, out, .. } = run(&["doctor", "--json", "--policy", "ssm:/p"], &variables);
    assert_eq!(code, 4, "{out}");
    assert!(states(&out).iter().all(|(_, state)| state == "unknown"), "{out}");
    assert!(
        out.contains("cloudtrail:DescribeTrails failed (AccessDenied")
            && out.contains("\\\"Action\\\":\\\"cloudtrail:DescribeTrails\\\""),
        "{out}"
    );
}

/// `template.yaml` as CloudFormation takes it without SAM, with what `doctor` observes: its function and the event sources spelled out,
/// tags in their long form. The role's conditions are left out, since this emulator's simulator is given none of the circumstances
/// that they ask for.
fn without_sam() -> Value {
    let mut template = template();
    let events = template["Resources"]["Function"]["Properties"]["Events"].take();
    let resources = template["Resources"].as_object_mut().unwrap();
    let kinds = [
        "Events::Rule",
        "SQS::Queue",
        "SQS::QueuePolicy",
        "IAM::Role",
        "SSM::Parameter",
        "Logs::LogGroup",
        "Serverless::Function",
    ];
    resources.retain(|_, resource| kinds.iter().any(|kind| resource["Type"] == format!("AWS::{kind}")));
    let function = resources.get_mut("Function").unwrap();
    function["Type"] = json!("AWS::Lambda::Function");
    let properties = function["Properties"].as_object_mut().unwrap();
    properties.retain(|name, _| {
        ["Handler", "Runtime", "Role", "Timeout", "MemorySize", "Environment"].contains(&name.as_str())
    });
    properties.insert("Code".to_owned(), json!({"ZipFile": "x"}));
    for (name, event) in events.as_object().unwrap() {
        let mut source = event["Properties"].as_object().unwrap().clone();
        let queue = source.remove("Queue").unwrap();
        // The emulator leaves a number of a parameter a text, and its answer is none of Lambda's then.
        source.remove("ScalingConfig");
        source.extend([("EventSourceArn".to_owned(), queue), ("FunctionName".to_owned(), json!({"!Ref": "Function"}))]);
        resources
            .insert(format!("{name}Source"), json!({"Type": "AWS::Lambda::EventSourceMapping", "Properties": source}));
    }
    for statement in
        resources["Role"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"].as_array_mut().unwrap()
    {
        let statement = if statement.get("!If").is_some() { &mut statement["!If"][1] } else { statement };
        statement.as_object_mut().unwrap().remove("Condition");
    }
    let names = [
        "FunctionName",
        "RoleArn",
        "WorkQueueUrl",
        "ScanQueueUrl",
        "UndeliveredQueueUrl",
        "DeadLetterQueueUrl",
        "ScanDeadLetterQueueUrl",
        "LogGroupName",
    ];
    template["Outputs"].as_object_mut().unwrap().retain(|name, _| names.contains(&name.as_str()));
    let members = template.as_object_mut().unwrap();
    ["Transform", "Metadata", "Rules"].iter().for_each(|name| drop(members.remove(*name)));
    in_long_form(&template)
}

/// `!Ref X` as `{"Ref": "X"}`, and the others as `Fn::…`.
fn in_long_form(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(in_long_form).collect(),
        Value::Object(members) => {
            let long = |(name, value): (&String, &Value)| match (name.strip_prefix('!'), value) {
                (Some("Ref"), value) => ("Ref".to_owned(), value.clone()),
                (Some("GetAtt"), Value::String(place)) => {
                    ("Fn::GetAtt".to_owned(), json!(place.split_once('.').unwrap()))
                }
                (Some(name), value) => (format!("Fn::{name}"), in_long_form(value)),
                (None, value) => (name.clone(), in_long_form(value)),
            };
            members.iter().map(long).collect()
        }
        other => other.clone(),
    }
}

/// An account with the stack in it.
struct Deployed {
    own: Parts,
    folder: tempfile::TempDir,
    /// What the emulator calls each resource, with the template's name, and what differs from run to run.
    names: Vec<(String, String)>,
}

const STACK_POLICY: &str = "version: 1\ndefaults: {existing: enforce}\nrules: [{name: a, match: {stream: a}, key: alias/a}, {name: b, key: alias/b}]\n";

impl Deployed {
    fn start() -> Self {
        let own = Parts::start(&[]);
        let folder = tempfile::tempdir().unwrap();
        file(&folder, "template.json", &without_sam().to_string());
        file(&folder, "policy.yaml", STACK_POLICY);
        let mut names: Vec<(String, String)> =
            ["a", "b"].map(|key| (own.key(&format!("alias/{key}")), format!("KEY-{key}"))).into();
        own.stream("a");
        own.active("a");
        let mut this = Self { own, folder, names: Vec::new() };
        let key_arns = format!("ParameterKey=KeyArns,ParameterValue=arn:aws:kms:{REGION}:{ACCOUNT}:key/*");
        let policy = json!([{"ParameterKey": "Policy", "ParameterValue": STACK_POLICY}]);
        file(
            &this.folder,
            "parameters.json",
            &json!([policy[0], {"ParameterKey": "KeyArns", "ParameterValue": key_arns.rsplit('=').next()}]).to_string(),
        );
        this.aws("cloudtrail create-trail --name management --s3-bucket-name bucket");
        this.aws("cloudtrail start-logging --name management");
        this.aws("cloudformation create-stack --stack-name streamseal --template-body file://template.json --parameters file://parameters.json --capabilities CAPABILITY_IAM");
        let end = std::time::Instant::now() + PATIENCE;
        while this.aws("cloudformation describe-stacks --stack-name streamseal")["Stacks"][0]["StackStatus"]
            != "CREATE_COMPLETE"
        {
            assert!(
                std::time::Instant::now() < end,
                "{}",
                this.aws("cloudformation describe-stack-events --stack-name streamseal")
            );
        }
        let listed = this.aws("cloudformation list-stack-resources --stack-name streamseal");
        for resource in listed["StackResourceSummaries"].as_array().unwrap() {
            let text = |name: &str| resource[name].as_str().unwrap().to_owned();
            names.push((text("PhysicalResourceId"), text("LogicalResourceId")));
        }
        // A queue's is its URL, which ends with the name that its ARN has.
        let short = |(name, logical): &(String, String)| (name.rsplit('/').next().unwrap().to_owned(), logical.clone());
        names.extend(names.clone().iter().filter(|(name, _)| name.starts_with("http")).map(short));
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        names.push((this.own.aws.clone(), "http://AWS".to_owned()));
        this.names = names;
        this
    }

    /// What a resource of the template is called.
    fn name(&self, logical: &str) -> &str {
        &self.names.iter().find(|(_, of)| of == logical).unwrap().0
    }

    /// One command of the AWS CLI, without spaces in its arguments.
    fn aws(&self, command: &str) -> Value {
        self.aws_words(&[command.split(' ').map(str::to_owned).collect()]).remove(0)
    }

    fn aws_words(&self, commands: &[Vec<String>]) -> Vec<Value> {
        let answers = aws_cli(&self.own, commands, self.folder.path());
        let answers = answers.into_iter().zip(commands);
        answers
            .map(|(answer, command)| {
                serde_json::from_str(&answer.unwrap_or_else(|e| panic!("{command:?}: {e}"))).unwrap_or_default()
            })
            .collect()
    }

    fn doctor(&self, more: &[&str]) -> Ran {
        run(&[&["doctor", "--stack", "streamseal"], more].concat(), &reach_of(&self.own))
    }

    fn faults(&self) -> Vec<Value> {
        let Ran { out, err, .. } = self.doctor(&["--json"]);
        let json: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        json["findings"].as_array().unwrap().iter().filter(|finding| finding["state"] != "good").cloned().collect()
    }

    /// How long ago logging started is left out.
    fn steady(&self, text: &str) -> String {
        let text =
            &text.replace("; logging started less than 5 minutes ago, so events of earlier calls may be missing", "");
        let names: Vec<(&str, &str)> = self.names.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        steady(text, &names)
    }

    /// Runs every command that fixes a fault, as a shell would read it.
    fn fix(&self, faults: &[Value]) {
        let lines = faults.iter().flat_map(|fault| fault["fix"].as_str().unwrap().lines());
        let commands: Vec<Vec<String>> = lines.filter_map(|line| line.strip_prefix("aws ")).map(words).collect();
        self.aws_words(&commands);
    }
}

/// The words of a command, as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let printed = Command::new("sh").args(["-c", &format!("printf '%s\\n' {line}")]).output().unwrap();
    assert!(printed.status.success(), "{line}");
    String::from_utf8(printed.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn each_fault_of_a_stack_is_fixed_by_its_command() {
    let at = Deployed::start();
    let Ran { code, out, err } = at.doctor(&[]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    insta::assert_snapshot!("doctor_stack", at.steady(&out));

    // Everything at once, so that each fault stands beside the others.
    let queue = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{}", at.name("WorkQueue").rsplit('/').next().unwrap());
    let target = |more: &str| format!("[{{\"Id\":\"work\",\"Arn\":\"{queue}\"{more}}}]");
    let dead = format!(
        ",\"DeadLetterConfig\":{{\"Arn\":\"arn:aws:sqs:{REGION}:{ACCOUNT}:{}\"}}",
        at.name("UndeliveredQueue").rsplit('/').next().unwrap()
    );
    let rule = |logical: &str| at.name(logical).to_owned();
    let narrow = json!({"source": ["aws.securityhub"], "detail-type": ["Findings Imported V2"], "detail": {"findings": {"class_uid": [2004]}}});
    let only_create = json!({"source": ["aws.ssm"], "detail": {"operation": ["Create"]}});
    let put = |logical: &str, pattern: &Value| {
        ["events", "put-rule", "--name", &rule(logical), "--event-pattern", &pattern.to_string()]
            .map(str::to_owned)
            .to_vec()
    };
    let targets = |logical: &str, more: &str| {
        ["events", "put-targets", "--rule", &rule(logical), "--targets", &target(more)].map(str::to_owned).to_vec()
    };
    let plain = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    let mappings = at.aws(&format!("lambda list-event-source-mappings --function-name {}", at.name("Function")));
    let mapping = |queue: &str| {
        let all = mappings["EventSourceMappings"].as_array().unwrap();
        let name = at.name(queue).rsplit('/').next().unwrap();
        let found = all.iter().find(|one| one["EventSourceArn"].as_str().unwrap().ends_with(name)).unwrap();
        found["UUID"].as_str().unwrap().to_owned()
    };
    let function = rule("Function");
    at.aws_words(&[
        plain(format!("events disable-rule --name {}", rule("StreamCalls"))),
        plain(format!("events remove-targets --rule {} --ids work", rule("ConfigFindings"))),
        plain(format!("events remove-targets --rule {} --ids work", rule("KeyEvents"))),
        plain(format!("events delete-rule --name {}", rule("KeyEvents"))),
        targets("SecurityHubFindings", ""),
        targets("KeyCalls", &format!("{dead},\"Input\":\"{{}}\"")),
        put("SecurityHubFindingsV2", &narrow),
        put("PolicyChanges", &only_create),
        targets("Sweep", &format!("{dead},\"Input\":\"{{\\\"action\\\":\\\"nothing\\\"}}\"")),
        plain(format!(
            "sqs set-queue-attributes --queue-url {} --attributes {{\"RedrivePolicy\":\"\"}}",
            rule("WorkQueue")
        )),
        plain(format!(
            "sqs set-queue-attributes --queue-url {} --attributes {{\"RedrivePolicy\":\"\"}}",
            rule("ScanQueue")
        )),
        plain(format!("lambda update-event-source-mapping --uuid {} --no-enabled", mapping("WorkQueue"))),
        plain(format!("lambda delete-event-source-mapping --uuid {}", mapping("ScanQueue"))),
        plain(format!("lambda put-function-concurrency --function-name {function} --reserved-concurrent-executions 0")),
        plain("cloudtrail stop-logging --name management".to_owned()),
    ]);
    let Ran { code, out, .. } = at.doctor(&[]);
    assert_eq!(code, 3, "{out}");
    insta::assert_snapshot!("doctor_stack_faults", at.steady(&out));
    let faults = at.faults();
    at.fix(&faults);
    assert_eq!(at.faults(), [Value::Null; 0], "the commands fix what they stand beside");
    assert_eq!(at.doctor(&[]).code, 0);

    // A trail keeps what else it logs.
    let selected = || at.aws("cloudtrail get-event-selectors --trail-name management");
    let put = |kind: &str, selectors: &Value| {
        let selectors = selectors.to_string();
        let command = ["cloudtrail", "put-event-selectors", "--trail-name", "management", kind, &selectors];
        at.aws_words(&[command.map(str::to_owned).to_vec()]);
        let faults = at.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        at.fix(&faults);
        assert_eq!(at.faults(), [Value::Null; 0]);
    };
    let data = json!([{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::bucket/"]}]);
    let of_data = json!({"ReadWriteType": "All", "IncludeManagementEvents": false, "DataResources": data});
    put("--event-selectors", &json!([of_data]));
    assert_eq!(selected()["EventSelectors"][0]["DataResources"], data);
    assert_eq!(selected()["EventSelectors"].as_array().unwrap().len(), 2);
    let of_data = json!({"Name": "bucket's data", "FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]});
    put("--advanced-event-selectors", &json!([of_data]));
    assert_eq!(selected()["AdvancedEventSelectors"][0]["Name"], "bucket's data");

    // Lambda deletes what a filter does not match.
    let filter = json!({"Filters": [{"Pattern": "{\"body\":{\"action\":[\"sweep\"]}}"}]}).to_string();
    let uuid = mapping("WorkQueue");
    let command = ["lambda", "update-event-source-mapping", "--uuid", &uuid, "--filter-criteria", &filter];
    at.aws_words(&[command.map(str::to_owned).to_vec()]);
    let faults = at.faults();
    assert!(faults.len() == 1 && faults[0]["detail"].as_str().unwrap().contains("queue has filters"), "{faults:?}");
    at.fix(&faults);
    assert_eq!(at.faults(), [Value::Null; 0]);

    // What takes a statement rather than a command, and what hides the rest.
    let undelivered = at.name("UndeliveredQueue").to_owned();
    let allow_one = json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", rule("Sweep"))}}}]});
    let attributes = |url: &str, attributes: Value| {
        ["sqs", "set-queue-attributes", "--queue-url", url, "--attributes", &attributes.to_string()]
            .map(str::to_owned)
            .to_vec()
    };
    let work = at.name("WorkQueue").to_owned();
    at.aws_words(&[
        attributes(&work, json!({"Policy": allow_one.to_string()})),
        attributes(&work, json!({"KmsMasterKeyId": "alias/aws/sqs"})),
        attributes(&undelivered, json!({"Policy": ""})),
    ]);
    let faults = at.faults();
    let said = |about: &str, words: &str| {
        let of = faults.iter().filter(|fault| fault["about"] == about && fault["state"] == "fault");
        let fits: Vec<&Value> = of.filter(|fault| fault["detail"].as_str().unwrap().contains(words)).collect();
        assert_eq!(fits.len(), 1, "{about}: {words}: {faults:?}");
        fits[0]["fix"].as_str().unwrap().to_owned()
    };
    let statement = said("queue", "its policy does not let these rules send to it");
    assert_eq!(statement.matches(":rule/").count(), 7, "all but the sweep's: {statement}");
    assert!(said("queue", "alias/aws/sqs").contains("SqsManagedSseEnabled"));
    said("undelivered", "its policy does not let these rules send to it");
    assert_eq!(faults.len(), 3, "{faults:?}");
    // The statements, as they are printed.
    let allow = |statement: &str| {
        let statement: Value = serde_json::from_str(statement.lines().last().unwrap()).unwrap();
        json!({"Version": "2012-10-17", "Statement": [statement, allow_one["Statement"][0]]}).to_string()
    };
    at.aws_words(&[attributes(&work, json!({"Policy": allow(&statement)}))]);
    at.aws_words(&[attributes(&undelivered, json!({"Policy": allow(&said("undelivered", "its policy"))}))]);
    at.fix(&faults);
    assert_eq!(at.faults(), [Value::Null; 0]);

    // The function's own settings, and the texts that it reads.
    let variables =
        at.aws(&format!("lambda get-function-configuration --function-name {function}"))["Environment"]["Variables"]
            .take();
    let with = |changes: &[(&str, &str)]| {
        let mut variables = variables.clone();
        changes.iter().for_each(|(name, value)| variables[*name] = json!(value));
        let environment = json!({"Variables": variables}).to_string();
        let command =
            ["lambda", "update-function-configuration", "--function-name", &function, "--environment", &environment];
        at.aws_words(&[command.map(str::to_owned).to_vec()]);
        at.faults()
    };
    let of = |faults: &[Value], about: &str| -> String {
        let of = faults.iter().filter(|fault| fault["about"] == about);
        of.map(|fault| {
            format!(
                "{} {}: {}\n{}\n",
                fault["state"].as_str().unwrap(),
                about,
                fault["detail"].as_str().unwrap(),
                fault["fix"].as_str().unwrap()
            )
        })
        .collect()
    };
    let faults = with(&[("MAX_CHANGES", "many"), ("POLICY", "")]);
    let reported = of(&faults, "function");
    assert!(
        reported.contains("variable MAX_CHANGES: ") && reported.contains("variable POLICY: is not set"),
        "{reported}"
    );
    let faults = with(&[("WORK_QUEUE_URL", "http://elsewhere"), ("OWN_ROLE_ARN", "")]);
    let reported = of(&faults, "function");
    assert!(
        reported.contains("variable WORK_QUEUE_URL is http://elsewhere, not http")
            && reported.contains("variable OWN_ROLE_ARN is not set"),
        "{reported}"
    );
    // What is switched on by a variable takes a permission too.
    let bus = format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/results");
    let faults = with(&[("RESULT_BUS", &bus)]);
    let reported = of(&faults, "role");
    assert!(reported.contains("it is not allowed to call events:PutEvents") && reported.contains(&bus), "{reported}");
    with(&[]);
    // The function goes by its own policy, whatever is named; and variables of another deployment are not checked.
    let stale = [
        ("WORK_QUEUE_URL", "http://stale/work"),
        ("POLICY", "ssm:/stale"),
        ("OWN_ROLE_ARN", "arn:aws:iam::111122223333:role/stale"),
    ];
    let reach = reach_of(&at.own);
    let Ran { code, out, err } = run(&["doctor", "--stack", "streamseal"], &[&reach[..], &stale].concat());
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains("ssm:/stale is not checked, because the function uses ssm:/streamseal/policy"), "{out}");
    assert!(out.contains("every key that ssm:/streamseal/policy names") && !out.contains("FAULT"), "{out}");
    // A statement that denies goes before all that allow.
    let role = at.name("Role").to_owned();
    let denies = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "kinesis:PutRecord", "Resource": "*"}]});
    let document = denies.to_string();
    let put =
        ["iam", "put-role-policy", "--role-name", &role, "--policy-name", "guardrail", "--policy-document", &document];
    at.aws_words(&[put.map(str::to_owned).to_vec()]);
    let faults = at.faults();
    assert!(faults.len() == 1 && faults[0]["detail"] == "a statement denies kinesis:PutRecord", "{faults:?}");
    at.aws(&format!("iam delete-role-policy --role-name {role} --policy-name guardrail"));
    at.aws("ssm put-parameter --name /mode --type String --value perhaps");
    at.aws(&format!(
        "ssm delete-parameter --name {}",
        variables["POLICY"].as_str().unwrap().trim_start_matches("ssm:")
    ));
    let faults = with(&[("MODE", "ssm:/mode")]);
    assert!(of(&faults, "function").contains("ssm:/mode: the mode must be `report` or `enforce`"), "{faults:?}");
    assert!(
        of(&faults, "policy").contains("there is no parameter /streamseal/policy: every event is kept"),
        "{faults:?}"
    );
    let reported = of(&faults, "role");
    assert!(
        reported.contains("it is not allowed to call ssm:GetParameter") && reported.contains("parameter/mode"),
        "{reported}"
    );
    assert!(of(&faults, "rules").contains("Update of /mode"), "the rule knows the policy's alone: {faults:?}");
    at.fix(&faults);
    let faults = at.faults();
    assert_eq!(
        faults.iter().map(|fault| &fault["about"]).collect::<Vec<_>>(),
        ["role"],
        "that takes a statement: {faults:?}"
    );
    let Ran { out, .. } = at.doctor(&[]);
    assert!(out.contains("runs in mode ssm:/mode, report: it changes nothing"), "{out}");

    let Ran { code, out, .. } = run(&["doctor", "--stack", "another", "--json"], &reach_of(&at.own));
    assert!(code == 3 && out.contains("there is no stack another in eu-west-1"), "{out}");
}
