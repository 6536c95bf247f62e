//! Scans with real parts: the queues of SQS polled as Lambda polls them, the real `bootstrap`, and the fault layer between it and
//! kinesis-local and ministack, which counts.
//!
//! `STREAMSEAL_SWEEP` is how many streams the large sweep has, and `STREAMSEAL_SWEEP_RATE` its rate (`make sweep`).

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{ACCOUNT, Function, Layer, Parts, REGION, event, unique};

/// The role of the function, by the access key id that it signs with.
pub(crate) const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/streamseal";

fn variable(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// Parts of this test's own (a sweep observes every stream there is), two queues, and the function behind the fault layer.
pub(crate) struct Stack {
    pub(crate) parts: Parts,
    pub(crate) fault: Layer,
    work: String,
    scans: String,
    variables: Vec<(String, String)>,
    timeout_s: u32,
    function: Cell<Option<Function>>,
    /// Messages to a batch of the work queue, at most: drawn for each batch, as SQS has it.
    batch: RefCell<Option<fastrand::Rng>>,
}

impl Stack {
    pub(crate) fn start(create_ms: u32, policy: &str, fault: &Value, variables: &[(&str, &str)]) -> Self {
        let parts = Parts::start(&["--create-ms", &create_ms.to_string(), "--update-ms", "200"]);
        let fault = Layer::start_at(&parts, fault);
        let queue = |name: &str, attributes: Value| {
            let made = parts.sqs("CreateQueue", json!({"QueueName": name, "Attributes": attributes}));
            made["QueueUrl"].as_str().unwrap().to_owned()
        };
        let work = queue("work", json!({"VisibilityTimeout": "720"}));
        let scans = queue("scans.fifo", json!({"VisibilityTimeout": "720", "FifoQueue": "true"}));
        let policy = format!("inline:{policy}");
        let all = [
            ("POLICY", policy.as_str()),
            ("WORK_QUEUE_URL", &work),
            ("SCAN_QUEUE_URL", &scans),
            ("OWN_ROLE_ARN", OWN_ROLE),
            ("SCAN_WINDOW_SECONDS", "1"),
        ];
        let variables = all.iter().chain(variables).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let function = Cell::new(None);
        Self { parts, fault, work, scans, variables, timeout_s: 60, function, batch: RefCell::new(None) }
    }

    /// From now on batches have from one to ten messages, and not as many as there are.
    pub(crate) fn with_batches_of_any_size(self) -> Self {
        Self { batch: RefCell::new(Some(fastrand::Rng::with_seed(7))), ..self }
    }

    pub(crate) fn ask(&self, what: &str) -> Value {
        self.fault.control("GET", what, &Value::Null).1
    }

    fn reset(&self) {
        self.fault.control("POST", "reset", &Value::Null);
    }

    /// How often an operation was called, of any stream.
    pub(crate) fn count(&self, call: &str) -> u64 {
        self.ask("counters")[call]["calls"].as_u64().unwrap_or_default()
    }

    /// A cold start.
    pub(crate) fn new_function(&self) {
        let variables: Vec<(&str, &str)> = self.variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        self.function.set(Some(Function::start_at(&self.fault.url, &self.fault.url, self.timeout_s, &variables)));
    }

    fn with_function<T>(&self, act: impl FnOnce(&Function) -> T) -> T {
        let function = self.function.take().expect("a function");
        let result = act(&function);
        self.function.set(Some(function));
        result
    }

    pub(crate) fn send(&self, body: &Value) {
        self.sender()(body);
    }

    /// The same, for another thread.
    pub(crate) fn sender(&self) -> impl Fn(&Value) + Send {
        let (parts, work) = (&self.parts, self.work.clone());
        move |body| drop(parts.sqs("SendMessage", json!({"QueueUrl": work, "MessageBody": body.to_string()})))
    }

    /// One batch of a queue through the function, as Lambda's event source mapping does it; `false` where there is none.
    fn poll(&self, url: &str, most: u32) -> bool {
        let asked = json!({"QueueUrl": url, "MaxNumberOfMessages": most, "AttributeNames": ["All"]});
        let received = self.parts.sqs("ReceiveMessage", asked);
        let Some(messages) = received["Messages"].as_array().filter(|messages| !messages.is_empty()) else {
            return false;
        };
        let name = url.rsplit('/').next().unwrap();
        let record = |message: &Value| {
            json!({
                "messageId": message["MessageId"], "receiptHandle": message["ReceiptHandle"], "body": message["Body"],
                "attributes": message["Attributes"], "messageAttributes": {}, "eventSource": "aws:sqs",
                "eventSourceARN": format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"), "awsRegion": REGION,
            })
        };
        let payload = json!({"Records": messages.iter().map(record).collect::<Vec<_>>()});
        let answer = self.with_function(|function| function.invoke(&payload).body);
        let failed = answer["batchItemFailures"].as_array().cloned();
        let is_failed = |message: &&Value| {
            failed.as_ref().is_none_or(|all| all.iter().any(|one| one["itemIdentifier"] == message["MessageId"]))
        };
        let (again, done): (Vec<&Value>, Vec<&Value>) = messages.iter().partition(is_failed);
        for message in again {
            // A batch that is not acknowledged comes again: at once here, since nobody waits twelve minutes for it.
            let handle = &message["ReceiptHandle"];
            let now = json!({"QueueUrl": url, "ReceiptHandle": handle, "VisibilityTimeout": 0});
            self.parts.sqs("ChangeMessageVisibility", now);
        }
        let entry = |message: &Value| json!({"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]});
        let entries: Vec<Value> = done.into_iter().map(entry).collect();
        if !entries.is_empty() {
            self.parts.sqs("DeleteMessageBatch", json!({"QueueUrl": url, "Entries": entries}));
        }
        true
    }

    /// Polls both queues until `done`.
    pub(crate) fn run_until(&self, seconds: u64, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while !done(self) {
            assert!(Instant::now() < end, "not done: {:#?}", self.documents("").last());
            let scanned = self.poll(&self.scans, 1);
            let most = self.batch.borrow_mut().as_mut().map_or(10, |dice| dice.u32(1..=10));
            if !self.poll(&self.work, most) && !scanned {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// Both queues are empty, what is delayed or in flight included.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_none(&["", "NotVisible", "Delayed"])
    }

    /// What is left in the queues is delayed.
    pub(crate) fn has_only_delayed(&self) -> bool {
        self.has_none(&["", "NotVisible"])
    }

    fn has_none(&self, kinds: &[&str]) -> bool {
        [&self.work, &self.scans].iter().all(|url| {
            let asked = json!({"QueueUrl": url, "AttributeNames": ["All"]});
            let reported = self.parts.sqs("GetQueueAttributes", asked)["Attributes"].take();
            let number = |name: &str| reported[name].as_str().map_or(0, |text| text.parse::<u64>().unwrap());
            kinds.iter().all(|kind| number(&format!("ApproximateNumberOfMessages{kind}")) == 0)
        })
    }

    /// The documents of the present function whose schema begins so.
    pub(crate) fn documents(&self, schema: &str) -> Vec<Value> {
        let lines = self.with_function(Function::log);
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["schema"].as_str().is_some_and(|of| of.starts_with(schema))).collect()
    }

    pub(crate) fn summaries(&self) -> Vec<Value> {
        self.documents("streamseal.summary/v1")
    }

    /// The evidence of runs that were reported `compliance`, by stream.
    pub(crate) fn evidence(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.documents("streamseal.evidence/v1").into_iter().filter(fits).collect()
    }

    /// The most memory that the function had at any time, in KiB.
    fn peak_memory(&self) -> u64 {
        self.with_function(|function| {
            let status = std::fs::read_to_string(format!("/proc/{}/status", function.pid())).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        })
    }
}

/// An event file with what it says about aliases and keys replaced.
pub(crate) fn kms_event(name: &str, alias: Option<&str>, key_arn: &str) -> Value {
    let mut event = event(name);
    event["id"] = json!(unique("event"));
    let detail = &mut event["detail"];
    let now = json!(jiff::Timestamp::now().to_string());
    if detail.get("eventTime").is_some() {
        detail["eventTime"] = now.clone();
        detail["resources"] = json!([{"ARN": key_arn, "accountId": ACCOUNT, "type": "AWS::KMS::Key"}]);
        if let Some(alias) = alias {
            detail["requestParameters"] = json!({"aliasName": alias, "targetKeyId": key_arn});
        }
    } else {
        event["resources"] = json!([key_arn]);
    }
    event["time"] = now;
    event
}

pub(crate) const SETTLE_NOT: &str = "settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s, other: 0s}";

/// `alias/a` for the streams `a-*`, `alias/b` for the others.
fn two_aliases(existing: &str) -> String {
    format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: {existing}}}, existing: enforce, {SETTLE_NOT}}}, \
         rules: [{{name: a, match: {{stream: 'a-*'}}, key: alias/a}}, {{name: b, key: alias/b}}]}}"
    )
}

/// One instance alone, at rates that let fifty streams move in seconds.
pub(crate) const FAST_FIFTY: [(&str, &str); 4] =
    [("MAX_CHANGES", "50"), ("MAX_CONCURRENCY", "1"), ("DESCRIBES_PER_SECOND", "50"), ("STARTS_PER_SECOND", "20")];

#[test]
fn an_alias_that_is_pointed_elsewhere_moves_its_fifty_streams_and_no_other() {
    let trail = json!({"trail": {"lag_ms": 0, "role": OWN_ROLE}});
    let stack = Stack::start(20, &two_aliases("describe"), &trail, &FAST_FIFTY);
    let (first, second, other) = (stack.parts.key("alias/a"), stack.parts.key("alias/a2"), stack.parts.key("alias/b"));
    let names: Vec<String> = (0..50).map(|number| format!("a-{number:03}")).collect();
    let others: Vec<String> = (0..5).map(|number| format!("b-{number}")).collect();
    names.iter().for_each(|name| stack.parts.encrypted(name, &first));
    others.iter().for_each(|name| stack.parts.encrypted(name, &other));
    stack.new_function();

    stack.parts.kms("UpdateAlias", json!({"AliasName": "alias/a", "TargetKeyId": second}));
    let moved = kms_event("kms-update-alias", Some("alias/a"), &second);
    stack.send(&moved);
    stack.run_until(240, |stack| !stack.summaries().is_empty() && stack.is_idle());
    for name in &names {
        let now = stack.parts.describe(name);
        assert_eq!((&now["StreamStatus"], &now["KeyId"]), (&json!("ACTIVE"), &json!(second)), "{name}");
        let of_it = |one: &Value| one["stream"]["name"] == json!(name) && one["proof"]["state"] == "proven";
        let proven = stack.evidence(of_it);
        assert_eq!(proven.len(), 1, "{name}: {proven:?}");
        assert_eq!((&proven[0]["compliance"], &proven[0]["producers"]), (&json!("COMPLIANT"), &json!("unknown")));
        // The record is really there.
        let records = stack.parts.records(name);
        assert_eq!(records.len(), 1, "{name}");
        assert_eq!(
            (&records[0]["EncryptionType"], &records[0]["SequenceNumber"]),
            (&json!("KMS"), &proven[0]["proof"]["sequence_number"])
        );
    }
    for name in &others {
        let now = stack.parts.describe(name);
        assert_eq!((&now["KeyId"], stack.parts.records(name).len()), (&json!(other), 0), "{name}");
    }
    assert_eq!((stack.count("kinesis:StartStreamEncryption"), stack.count("kinesis:PutRecord")), (50, 50));
    let reruns = stack.ask("calls?call=kinesis:DescribeStreamSummary&stream=b-*");
    assert_eq!(reruns, json!([]), "streams of other rules are not checked");

    // The same event again, and the same change reported by another event: one scan, or two where a window ends between them.
    stack.reset();
    stack.send(&moved);
    stack.send(&kms_event("kms-update-alias", Some("alias/a"), &second));
    stack.run_until(120, |stack| stack.summaries().len() >= 2 && stack.is_idle());
    assert_eq!((stack.count("kinesis:StartStreamEncryption"), stack.count("kinesis:PutRecord")), (0, 0));
    assert_eq!(stack.summaries()[1]["streams"]["by_compliance"], json!({"COMPLIANT": 50}));
}

#[test]
fn a_rotation_starts_nothing_and_puts_nothing_into_existing_streams() {
    let fault = json!({"aged": [{"stream": "*", "by_s": 86_400}], "trail": {"lag_ms": 0}});
    let stack = Stack::start(20, &two_aliases("observe"), &fault, &[]);
    let key = stack.parts.key("alias/a");
    let other = stack.parts.key("alias/b");
    let names: Vec<String> = (0..4).map(|number| format!("a-{number}")).collect();
    names.iter().for_each(|name| stack.parts.encrypted(name, &key));
    stack.parts.encrypted("b-0", &other);
    stack.new_function();
    // KMS reports it directly and through CloudTrail.
    stack.send(&kms_event("kms-cmk-rotation", None, &key));
    stack.send(&kms_event("kms-rotate-key-on-demand", None, &key));
    let proven = |stack: &Stack| stack.evidence(|one| one["proof"]["state"] == "observed").len();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn({
            let (kinesis, names, done) = (stack.parts.kinesis.clone(), &names, &done);
            move || {
                // The producers.
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    for name in names {
                        let record = json!({"StreamName": name, "Data": "eA==", "PartitionKey": "p"});
                        crate::support::call(&kinesis, "Kinesis_20131202.PutRecord", "kinesis", &record).unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
        });
        stack.run_until(120, |stack| proven(stack) >= 4 && stack.is_idle());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
    });
    // The producers do not go through the layer: these are the function's own calls.
    assert_eq!((stack.count("kinesis:StartStreamEncryption"), stack.count("kinesis:PutRecord")), (0, 0));
    let reported = stack.summaries();
    // One, or two where a window ends between the reports.
    assert!(
        (1..=2).contains(&reported.len()) && reported.iter().all(|one| one["to_prove"] == json!(4)),
        "{reported:?}"
    );
    assert!(reported[0]["scan"]["key_material_id"].is_string(), "{}", reported[0]);
    for one in stack.evidence(|one| one["proof"]["state"] == "observed") {
        assert_eq!((&one["compliance"], &one["remediation"]["state"]), (&json!("COMPLIANT"), &json!("none")), "{one}");
        assert_eq!(one["after"]["key_material_id"], reported[0]["scan"]["key_material_id"]);
        assert!(one["stream"]["name"].as_str().unwrap().starts_with("a-"));
    }
}

/// Sweeps under the account's limit of 20 observations a second: at the configured rate, one after the other, killed half way.
#[test]
fn a_large_sweep_keeps_its_rate_and_survives_a_kill() {
    let (streams, rate) = (variable("STREAMSEAL_SWEEP", 200), variable("STREAMSEAL_SWEEP_RATE", 15));
    let few = (streams / 10).max(20);
    let limits = json!({"limits": {"kinesis:DescribeStreamSummary": 20}, "aged": [{"stream": "*", "by_s": 864_000}], "trail": {"lag_ms": 0}});
    let rate_text = rate.to_string();
    let variables = [("SCAN_DESCRIBES_PER_SECOND", rate_text.as_str()), ("LOG_LEVEL", "warn")];
    let stack = Stack::start(20, &two_aliases("describe"), &limits, &variables);
    let (a, b) = (stack.parts.key("alias/a"), stack.parts.key("alias/b"));
    let time_for = |streams: u32| u64::from(streams / rate * 2 + 60);
    let make = |range: std::ops::Range<u32>| {
        let name = |number: u32| format!("{}-{number:05}", if number.is_multiple_of(2) { "a" } else { "b" });
        let names: Vec<String> = range.map(name).collect();
        names.iter().for_each(|name| stack.parts.stream(name));
        for name in &names {
            stack.parts.active(name);
            let key = if name.starts_with('a') { &a } else { &b };
            let body = json!({"StreamName": name, "EncryptionType": "KMS", "KeyId": key});
            stack.parts.kinesis("StartStreamEncryption", body).unwrap();
        }
        names.iter().for_each(|name| stack.parts.active(name));
    };

    // A tenth of the fleet, for its memory.
    make(0..few);
    stack.new_function();
    stack.send(&json!({"action": "sweep"}));
    stack.run_until(time_for(few), |stack| !stack.summaries().is_empty());
    let memory_of_few = stack.peak_memory();
    make(few..streams);

    // Two at once, which were asked for in windows of their own.
    stack.new_function();
    stack.reset();
    let asked_for = |sweeps: usize| move |stack: &Stack| stack.documents("streamseal.note/v1").len() >= sweeps;
    stack.send(&json!({"action": "sweep", "executionId": "one"}));
    stack.run_until(30, asked_for(1));
    std::thread::sleep(Duration::from_millis(1_500));
    stack.send(&json!({"action": "sweep", "executionId": "two"}));
    stack.run_until(2 * time_for(streams), |stack| stack.summaries().len() == 2 && stack.is_idle());
    let memory_of_many = stack.peak_memory();
    let (pages, keys) = (u64::from(streams.div_ceil(100)), 2);
    for reported in stack.summaries() {
        assert_eq!(reported["streams"]["by_compliance"], json!({"COMPLIANT": streams}), "{reported}");
        let parts = reported["scan"]["parts"].as_u64().unwrap();
        assert_eq!(reported["calls"]["kinesis:DescribeStreamSummary"], json!(streams), "{}", reported["calls"]);
        // Each part begins a page of its own and asks for the keys anew.
        let (lists, lookups) = (&reported["calls"]["kinesis:ListStreams"], &reported["calls"]["kms:DescribeKey"]);
        assert!((pages..pages + parts).contains(&lists.as_u64().unwrap()), "{}", reported["calls"]);
        assert!((keys..=keys * parts).contains(&lookups.as_u64().unwrap()), "{}", reported["calls"]);
    }
    assert_eq!(stack.count("kinesis:DescribeStreamSummary"), u64::from(2 * streams));
    let throttled = stack.ask("counters")["kinesis:DescribeStreamSummary"]["injected"].clone();
    assert_eq!(throttled, json!({}), "no observation is one too many");
    let seconds = |calls: &Value| {
        let at: Vec<f64> = calls.as_array().unwrap().iter().map(|call| call["at"].as_f64().unwrap()).collect();
        at.last().unwrap() - at.first().unwrap()
    };
    let took = seconds(&stack.ask("calls?call=kinesis:DescribeStreamSummary"));
    assert!(
        took >= f64::from(2 * streams - 2) / f64::from(rate),
        "{took:.1} s for {} observes {rate} a second",
        2 * streams
    );
    let grown = memory_of_many * 100 / memory_of_few;
    println!(
        "peak memory: {memory_of_few} KiB with {few} streams, {memory_of_many} KiB with {streams}; two sweeps in {took:.0} s"
    );
    assert!(grown <= 110, "{grown} % of the memory for ten times the streams");

    // Killed half way: the message comes again, to another instance.
    stack.new_function();
    stack.reset();
    stack.send(&json!({"action": "sweep"}));
    // It is asked for, and then put into its queue.
    stack.run_until(60, asked_for(2));
    let half = u64::from(streams / 2);
    std::thread::scope(|scope| {
        let url = format!("{}/_fault/counters", stack.fault.url);
        let kill = stack.with_function(Function::killer);
        scope.spawn(move || {
            loop {
                let counters: Value = ureq::get(&url).call().unwrap().body_mut().read_json().unwrap();
                if counters["kinesis:DescribeStreamSummary"]["calls"].as_u64().unwrap_or_default() >= half {
                    return kill();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        // Until the kill, which ends the invocation and lets the message be received again.
        let end = Instant::now() + Duration::from_secs(time_for(streams));
        while stack.count("kinesis:DescribeStreamSummary") < half {
            assert!(Instant::now() < end);
            stack.poll(&stack.scans, 1);
        }
    });
    stack.new_function();
    stack.run_until(time_for(streams), |stack| !stack.summaries().is_empty() && stack.is_idle());
    let reported = &stack.summaries()[0];
    assert_eq!(reported["streams"]["by_compliance"], json!({"COMPLIANT": streams}), "{reported}");
    assert_eq!((stack.count("kinesis:StartStreamEncryption"), stack.count("kinesis:PutRecord")), (0, 0));
    // What the part that was killed had seen is seen again, and no more than that.
    let reruns = stack.count("kinesis:DescribeStreamSummary");
    let again = u64::from(rate) * u64::from(stack.timeout_s);
    assert!(reruns > u64::from(streams) && reruns <= u64::from(streams) + again.min(half + 50), "{reruns}");
}
