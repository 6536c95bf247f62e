//! Starts the parts and talks to them as any client would. Nothing here knows Streamseal's code.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::documents_shared::assert_documented;

/// The account and Region of both emulators.
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const REGION: &str = "eu-west-1";
/// How long to wait for what will happen: only a test that fails takes so long, however slow and loaded the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The package's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An event file.
pub(crate) fn event(name: &str) -> Value {
    let path = root().join("events").join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The function: cargo's own build of it, or the one that the variable names, say the release build that `sam build` made (`make sam-test`).
pub(crate) fn bootstrap() -> PathBuf {
    let named = std::env::var_os("STREAMSEAL_BOOTSTRAP").map(|path| root().join(path));
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_bootstrap")))
}

/// `python3 tools NAME`, without arguments yet.
pub(crate) fn tool(name: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg("-B").arg(root().join("tools")).arg(name);
    command
}

/// A program of `tools/` that says in one line of JSON where it listens, and that ends when its standard input does: also
/// when a test fails, and when this process is killed.
pub(crate) struct Tool {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) ready: Value,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Tool {
    pub(crate) fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = tool(name);
        command.args(arguments).envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let (log, reader) = keep(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            child.wait().unwrap();
            panic!("`tools {name}` did not start: {}", log.lock().unwrap().join("\n"))
        });
        Self { child, stdin: Some(stdin), ready, log, reader: Some(reader) }
    }

    pub(crate) fn signal(&self, signal: &str) {
        send(signal, &[self.child.id().to_string()]);
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// What it, and the function in it, wrote so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Tool {
    /// Ends it, and reads what it wrote to the end.
    fn end(&mut self) {
        // Not by KILL: it has children to end.
        self.stdin = None;
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        self.end();
    }
}

/// Every shell has a `kill` of its own.
fn send(signal: &str, pids: &[String]) {
    Command::new("sh").args(["-c", &format!("kill -{signal} {}", pids.join(" "))]).status().unwrap();
}

/// Keeps a pipe's lines as they come.
fn keep(pipe: impl Read + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
    (lines, reader)
}

/// Kinesis and the rest, once for all tests of this process; they end with it, since its end closes their input.
pub(crate) fn parts() -> &'static Parts {
    static PARTS: OnceLock<Parts> = OnceLock::new();
    PARTS.get_or_init(|| Parts::start(&[]))
}

/// The emulators.
pub(crate) struct Parts {
    _tool: Tool,
    pub(crate) kinesis: String,
    pub(crate) aws: String,
}

impl Parts {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let tool = Tool::start("parts", arguments, &[]);
        let url = |name: &str| tool.ready[name].as_str().unwrap().to_owned();
        let (kinesis, aws) = (url("kinesis"), url("aws"));
        assert_eq!((tool.ready["account"].as_str(), tool.ready["region"].as_str()), (Some(ACCOUNT), Some(REGION)));
        Self { kinesis, aws, _tool: tool }
    }

    pub(crate) fn kinesis(&self, operation: &str, body: Value) -> Result<Value, Value> {
        call(&self.kinesis, &format!("Kinesis_20131202.{operation}"), "kinesis", &body)
    }

    pub(crate) fn kms(&self, operation: &str, body: Value) -> Value {
        call(&self.aws, &format!("TrentService.{operation}"), "kms", &body).unwrap()
    }

    pub(crate) fn ssm(&self, operation: &str, body: Value) -> Value {
        call(&self.aws, &format!("AmazonSSM.{operation}"), "ssm", &body).unwrap()
    }

    pub(crate) fn events(&self, operation: &str, body: Value) -> Value {
        call(&self.aws, &format!("AWSEvents.{operation}"), "events", &body).unwrap()
    }

    pub(crate) fn sqs(&self, operation: &str, body: Value) -> Value {
        call(&self.aws, &format!("AmazonSQS.{operation}"), "sqs", &body).unwrap()
    }

    pub(crate) fn cloudtrail(&self, operation: &str, body: Value) -> Value {
        let target = format!("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.{operation}");
        call(&self.aws, &target, "cloudtrail", &body).unwrap()
    }

    /// A new role with this inline policy; its ARN.
    pub(crate) fn role(&self, name: &str, policy: &Value) -> String {
        let trust = json!({"Version": "2012-10-17", "Statement": []}).to_string();
        let policy = policy.to_string();
        for form in [
            vec![("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", &trust)],
            vec![("Action", "PutRolePolicy"), ("RoleName", name), ("PolicyName", "p"), ("PolicyDocument", &policy)],
        ] {
            self.form("us-east-1/iam", "2010-05-08", &form);
        }
        format!("arn:aws:iam::{ACCOUNT}:role/{name}")
    }

    /// One call of an AWS query API, such as `eu-west-1/cloudformation`; its answer in XML.
    pub(crate) fn form(&self, scope: &str, version: &str, asked: &[(&str, &str)]) -> String {
        form(&self.aws, scope, version, asked)
    }

    /// A new key behind a new alias; its ARN.
    pub(crate) fn key(&self, alias: &str) -> String {
        let made = self.kms("CreateKey", json!({}));
        let id = made["KeyMetadata"]["KeyId"].as_str().unwrap();
        self.kms("CreateAlias", json!({"AliasName": alias, "TargetKeyId": id}));
        made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
    }

    /// A new stream, still CREATING. No more than five may be CREATING at once, here as on AWS.
    pub(crate) fn stream(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.kinesis("CreateStream", json!({"StreamName": name, "ShardCount": 1})) {
                Ok(_) => return,
                Err(error) if Instant::now() < end && error.to_string().contains("LimitExceeded") => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    pub(crate) fn describe(&self, name: &str) -> Value {
        self.kinesis("DescribeStreamSummary", json!({"StreamName": name})).unwrap()["StreamDescriptionSummary"].take()
    }

    /// Waits until the stream is ACTIVE.
    pub(crate) fn active(&self, name: &str) {
        let end = Instant::now() + PATIENCE;
        while self.describe(name)["StreamStatus"] != "ACTIVE" {
            assert!(Instant::now() < end, "{name} did not become ACTIVE");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A new stream that is ACTIVE and encrypted with `key`.
    pub(crate) fn encrypted(&self, name: &str, key: &str) {
        self.stream(name);
        self.active(name);
        let body = json!({"StreamName": name, "EncryptionType": "KMS", "KeyId": key});
        self.kinesis("StartStreamEncryption", body).unwrap();
        self.active(name);
    }

    /// Every record of a stream of one shard.
    pub(crate) fn records(&self, name: &str) -> Vec<Value> {
        let shards = self.kinesis("ListShards", json!({"StreamName": name})).unwrap();
        let shard = &shards["Shards"][0]["ShardId"];
        let body = json!({"StreamName": name, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = self.kinesis("GetShardIterator", body).unwrap()["ShardIterator"].take();
        let answer = self.kinesis("GetRecords", json!({"ShardIterator": iterator})).unwrap();
        answer["Records"].as_array().unwrap().clone()
    }
}

/// Runs commands of the real AWS CLI against these endpoints, in one process: what each printed, or its exit code and why it failed.
/// `aws` is left off.
pub(crate) fn aws_cli(parts: &Parts, commands: &[Vec<String>], folder: &Path) -> Vec<Result<String, String>> {
    // The CLI's `sqs` does not go by AWS_ENDPOINT_URL.
    let commands = commands.iter().map(|command| {
        let url = if command.first().is_some_and(|service| service == "kinesis") { &parts.kinesis } else { &parts.aws };
        [command.as_slice(), &["--endpoint-url".to_owned(), url.clone()]].concat()
    });
    aws_cli_as_given(&json!(commands.collect::<Vec<_>>()), folder)
}

/// The same of commands as `aws_commands.py` takes them.
pub(crate) fn aws_cli_as_given(commands: &Value, folder: &Path) -> Vec<Result<String, String>> {
    use std::io::Write;
    let mut child = Command::new(root().join(".local/test/bin/python"))
        .args(["-B", root().join("tests/system/aws_commands.py").to_str().unwrap()])
        .current_dir(folder)
        .env_clear()
        .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_EC2_METADATA_DISABLED", "true")])
        .envs([("AWS_DEFAULT_REGION", REGION), ("NO_PROXY", "127.0.0.1"), ("HOME", folder.to_str().unwrap())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(commands.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "`make setup` installs the AWS CLI");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answer = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        if answer["code"] == 0 { Ok(text("out")) } else { Err(format!("{}: {}", answer["code"], text("err"))) }
    };
    answers.lines().map(answer).collect()
}

/// One call of an AWS JSON API; the emulators observe the shape of the signature only.
pub(crate) fn call(url: &str, target: &str, service: &str, body: &Value) -> Result<Value, Value> {
    let signature = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=00"
    );
    let mut answer = agent()
        .post(url)
        .header("x-amz-target", target)
        .header(
            "content-type",
            if service == "sqs" { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" },
        )
        .header("x-amz-date", "20260101T000000Z")
        .header("authorization", signature)
        .send(body.to_string())
        .unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let value = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
    if answer.status().is_success() { Ok(value) } else { Err(value) }
}

/// One call of an AWS query API at `url`; its answer in XML.
pub(crate) fn form(url: &str, scope: &str, version: &str, asked: &[(&str, &str)]) -> String {
    let signature =
        format!("AWS4-HMAC-SHA256 Credential=test/20260101/{scope}/aws4_request, SignedHeaders=host, Signature=00");
    let request = agent().post(url).header("authorization", signature);
    let mut answer = request.send_form(asked.iter().copied().chain([("Version", version)])).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    assert!(answer.status().is_success(), "{text}");
    text
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(300)))
        .build()
        .into()
}

/// The fault layer between whoever asks and the parts of this process, with a configuration.
pub(crate) struct Layer {
    _tool: Tool,
    pub(crate) url: String,
}

impl Layer {
    pub(crate) fn start(config: &Value) -> Self {
        Self::start_at(parts(), config)
    }

    /// In front of these parts.
    pub(crate) fn start_at(parts: &Parts, config: &Value) -> Self {
        let tool = Tool::start("fault", &["--kinesis", &parts.kinesis, "--aws", &parts.aws], &[]);
        let url = tool.ready["url"].as_str().unwrap().to_owned();
        let layer = Self { _tool: tool, url };
        let (status, answer) = layer.control("PUT", "config", config);
        assert_eq!(status, 200, "{answer}");
        layer
    }

    pub(crate) fn control(&self, method: &str, what: &str, body: &Value) -> (u16, Value) {
        let url = format!("{}/_fault/{what}", self.url);
        let mut answer = match method {
            "GET" => agent().get(url).call().unwrap(),
            "PUT" => agent().put(url).send_json(body).unwrap(),
            _ => agent().post(url).send_json(body).unwrap(),
        };
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
    }

    /// Stops the layer's clock and moves it on: what a test then sees does not depend on how long its calls take.
    pub(crate) fn advance(&self, ms: u64) {
        let (status, answer) = self.control("POST", "clock", &json!({"advance_ms": ms}));
        assert_eq!(status, 200, "{answer}");
    }

    /// What the layer has seen of an operation on a stream, oldest first.
    pub(crate) fn calls(&self, call: &str, stream: &str) -> Vec<Value> {
        let (_, calls) = self.control("GET", &format!("calls?call={call}&stream={stream}"), &Value::Null);
        calls.as_array().unwrap().clone()
    }
}

/// The real `bootstrap` under AWS's Lambda emulator.
pub(crate) struct Function {
    pub(crate) tool: Tool,
    url: String,
}

/// What an invocation came to.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) body: Value,
}

impl Function {
    /// `variables` on top of what every test needs; the parts are those of this process.
    pub(crate) fn start(timeout_s: u32, variables: &[(&str, &str)]) -> Self {
        let parts = parts();
        Self::start_at(&parts.kinesis, &parts.aws, timeout_s, variables)
    }

    pub(crate) fn start_at(kinesis: &str, aws: &str, timeout_s: u32, variables: &[(&str, &str)]) -> Self {
        Self::start_program(&bootstrap(), kinesis, aws, timeout_s, variables)
    }

    pub(crate) fn start_program(
        program: &Path,
        kinesis: &str,
        aws: &str,
        timeout_s: u32,
        variables: &[(&str, &str)],
    ) -> Self {
        let all = [
            ("AWS_ENDPOINT_URL", aws),
            ("AWS_ENDPOINT_URL_KINESIS", kinesis),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1"),
            ("ACCOUNT_ID", ACCOUNT),
            ("MODE", "enforce"),
        ];
        let variables: Vec<(&str, &str)> = all.iter().chain(variables).copied().collect();
        let arguments = ["--timeout", &timeout_s.to_string(), program.to_str().unwrap()];
        let tool = Tool::start("rie", &arguments, &variables);
        let url = tool.ready["invoke"].as_str().unwrap().to_owned();
        Self { tool, url }
    }

    pub(crate) fn invoke(&self, payload: &Value) -> Answered {
        self.invoke_text(&payload.to_string())
    }

    pub(crate) fn invoke_text(&self, payload: &str) -> Answered {
        // A function that is killed has no answer.
        let Ok(mut answer) = agent().post(&self.url).send(payload) else { return Answered { body: Value::Null } };
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answered { body }
    }

    /// Ends the emulator and the function in it at once, as a power cut would: what is under way has no answer.
    pub(crate) fn kill(&self) {
        send("KILL", &self.processes());
    }

    /// The function, which is a child of the emulator in a group of its own, and the emulator.
    pub(crate) fn processes(&self) -> Vec<String> {
        let emulator = self.tool.ready["pids"][0].to_string();
        let mut processes = Vec::new();
        for thread in std::fs::read_dir(format!("/proc/{emulator}/task")).unwrap() {
            let children = std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
            processes.extend(children.split_whitespace().map(str::to_owned));
        }
        processes.push(emulator);
        processes
    }

    /// The process of the function itself, once it was invoked.
    pub(crate) fn pid(&self) -> String {
        self.processes().swap_remove(0)
    }

    /// What ends the emulator and the function in it, from another thread.
    pub(crate) fn killer(&self) -> impl FnOnce() + Send + use<> {
        let processes = self.processes();
        move || send("KILL", &processes)
    }

    /// What the function wrote so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.tool.log()
    }

    /// The JSON lines that fit; waits for `least` of them, since what the function writes comes by way of a pipe.
    pub(crate) fn lines(&self, least: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let lines = self.log().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            let lines: Vec<Value> = lines.filter(&fits).collect();
            if lines.len() >= least || Instant::now() > end {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whatever a test is about: every line that the function wrote is as its schema and docs/metrics.md say.
impl Drop for Function {
    fn drop(&mut self) {
        self.tool.end();
        if !std::thread::panicking() {
            self.log().iter().for_each(|line| assert_lines_documented(line));
        }
    }
}

/// Every document in a text that is JSON, or whose lines are.
pub(crate) fn assert_lines_documented(text: &str) {
    fn walk(value: &Value) {
        assert_documented(value);
        match value {
            Value::Object(members) => members.values().for_each(walk),
            Value::Array(items) => items.iter().for_each(walk),
            _ => {}
        }
    }
    match serde_json::from_str(text) {
        Ok(value) => walk(&value),
        Err(_) => text.lines().filter_map(|line| serde_json::from_str(line).ok()).for_each(|value| walk(&value)),
    }
}

impl Answered {
    /// The operations that the run called, in order.
    pub(crate) fn calls(&self) -> Vec<&str> {
        let calls = self.body["calls"].as_array().unwrap_or_else(|| panic!("no evidence: {}", self.body));
        calls.iter().map(|call| call["call"].as_str().unwrap().split(':').nth(1).unwrap()).collect()
    }

    /// How often the run called an operation.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls().iter().filter(|call| **call == operation).count()
    }

    /// The calls that change something.
    pub(crate) fn writes(&self) -> Vec<&str> {
        let reads = ["Describe", "List", "Get"];
        self.calls().into_iter().filter(|call| !reads.iter().any(|read| call.starts_with(read))).collect()
    }
}

/// A name that no other test has.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{prefix}-{}-{count}", std::process::id())
}

/// The CreateStream event of a stream that was made just now.
pub(crate) fn create_event(stream: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    let mut event = event("kinesis-create-stream-provisioned");
    event["time"] = json!(now);
    event["detail"]["eventTime"] = json!(now);
    event["detail"]["requestParameters"] = json!({"streamName": stream, "shardCount": 1});
    event
}

/// A batch of SQS with these bodies; the messages are `m0`, `m1`, … and were received `count` times.
pub(crate) fn batch(bodies: &[String], count: u32) -> Value {
    let template = event("sqs-batch-eventbridge")["Records"][0].clone();
    let records = bodies.iter().enumerate().map(|(i, body)| {
        let mut record = template.clone();
        record["messageId"] = json!(format!("m{i}"));
        record["body"] = json!(body);
        record["attributes"]["ApproximateReceiveCount"] = json!(count.to_string());
        record
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

/// A file that goes with its folder.
pub(crate) fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}
