//! Floods of events through the real function, with the fault layer, which counts every call. One instance handles all of it, at the rates
//! that the instances of a deployment share.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::scans::{SETTLE_NOT, Stack, kms_event};
use crate::support::{ACCOUNT, Parts, REGION, call, event, unique};

/// An event about a stream, as CloudTrail reports it now.
fn stream_event(file: &str, stream: &str) -> Value {
    let mut event = event(file);
    let now = json!(Timestamp::now().to_string());
    event["id"] = json!(unique("event"));
    event["time"] = now.clone();
    event["detail"]["eventTime"] = now;
    event["detail"]["requestParameters"] = json!({"streamName": stream});
    event["detail"]["responseElements"] = Value::Null;
    event
}

fn tagged(stream: &str) -> Value {
    stream_event("kinesis-add-tags-to-stream", stream)
}

/// A Start that was refused: it changed nothing, and is a note and no run.
fn refused(stream: &str) -> Value {
    let mut refused = stream_event("kinesis-start-stream-encryption", stream);
    refused["detail"]["errorCode"] = json!("AccessDenied");
    refused
}

/// A finding of Security Hub about a stream.
fn finding(stream: &str) -> Value {
    let mut event = event("securityhub-findings-imported-kinesis1");
    event["id"] = json!(unique("event"));
    event["time"] = json!(Timestamp::now().to_string());
    let findings = event["detail"]["findings"].as_array_mut().unwrap();
    findings.truncate(1);
    let arn = format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{stream}");
    findings[0]["Resources"] = json!([{"Type": "AwsKinesisStream", "Id": arn}]);
    event
}

/// `alias/b` for the streams `b-*`, `alias/app` for the others.
fn policy() -> String {
    format!(
        "{{version: 1, defaults: {{proof: {{new: probe, existing: describe}}, existing: enforce, {SETTLE_NOT}}}, \
         rules: [{{name: b, match: {{stream: 'b-*'}}, key: alias/b}}, {{name: all, key: alias/app}}]}}"
    )
}

/// A stack with a stream `tagged` on `alias/app`, whose key is returned.
fn start(fault: &Value, variables: &[(&str, &str)]) -> (Stack, String) {
    let alone: Vec<_> = variables.iter().copied().chain([("MAX_CONCURRENCY", "1")]).collect();
    let stack = Stack::start(20, &policy(), fault, &alone).with_batches_of_any_size();
    let key = stack.parts.key("alias/app");
    stack.parts.encrypted("tagged", &key);
    (stack, key)
}

/// Who causes events, in a thread of their own.
struct Sender<'a> {
    parts: &'a Parts,
    send: Box<dyn Fn(&Value) + Send + 'a>,
    begin: Instant,
    /// Each has to be answered.
    sent: BTreeSet<String>,
    /// Streams that somebody made, and when their events were sent.
    streams: Vec<(String, Timestamp)>,
}

impl<'a> Sender<'a> {
    fn new(stack: &'a Stack) -> Self {
        let (sent, streams) = (BTreeSet::new(), Vec::new());
        Self { parts: &stack.parts, send: Box::new(stack.sender()), begin: Instant::now(), sent, streams }
    }

    /// Waits until so many milliseconds after the beginning.
    fn wait(&self, ms: u64) {
        std::thread::sleep(Duration::from_millis(ms).saturating_sub(self.begin.elapsed()));
    }

    fn send(&mut self, event: &Value) {
        self.sent.insert(event["id"].as_str().unwrap().to_owned());
        (self.send)(event);
    }

    fn create(&mut self) {
        let name = format!("new-{}", self.streams.len());
        self.parts.stream(&name);
        self.send(&stream_event("kinesis-create-stream-provisioned", &name));
        self.streams.push((name, Timestamp::now()));
    }
}

/// Runs the function while somebody sends events, until `done`.
fn run_while(
    stack: &Stack,
    send: impl FnOnce(&mut Sender) + Send,
    done: impl Fn(&Sender) -> bool,
) -> (BTreeSet<String>, Vec<(String, Timestamp)>) {
    let mut sender = Sender::new(stack);
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            send(&mut sender);
            sender
        });
        stack.run_until(300, |_| sending.is_finished());
        let sender = sending.join().unwrap();
        stack.run_until(300, |_| done(&sender));
        (sender.sent, sender.streams)
    })
}

/// How long after its event was sent the first run about each of these streams began, at most, in seconds.
fn worst_delay(all: &[Value], streams: &[(String, Timestamp)]) -> f64 {
    let delay = |(name, sent): &(String, Timestamp)| {
        let began = all.iter().filter(|one| one["stream"]["name"] == json!(name));
        let began = began.map(|one| time(&one["run"]["started_at"])).min().unwrap_or_else(|| panic!("{name}"));
        began.duration_since(*sent).as_secs_f64()
    };
    streams.iter().map(delay).fold(0.0, f64::max)
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

/// Each of these streams was encrypted with `key` and proven.
fn assert_proven(all: &[Value], streams: &[(String, Timestamp)], key: &str) {
    for (name, _) in streams {
        let about = all.iter().filter(|one| one["stream"]["name"] == json!(name));
        let proven: Vec<&Value> = about.filter(|one| one["proof"]["state"] == "proven").collect();
        let last = proven.last().unwrap_or_else(|| panic!("{name} is not proven"));
        assert_eq!((&last["compliance"], &last["after"]["key_arn"]), (&json!("COMPLIANT"), &json!(key)), "{name}");
    }
}

/// The events that some document answers.
fn answered(all: &[Value]) -> BTreeSet<String> {
    let events = |one: &Value| {
        let also = one["cause"]["also"].as_array().cloned().unwrap_or_default();
        also.into_iter().chain([one["cause"]["event_id"].clone()]).filter_map(|id| id.as_str().map(str::to_owned))
    };
    all.iter().flat_map(events).collect()
}

fn assert_all_are_answered(all: &[Value], sent: &BTreeSet<String>) {
    let answered = answered(all);
    let lost: Vec<&String> = sent.difference(&answered).collect();
    assert!(lost.is_empty(), "{} events of {} were never answered: {lost:?}", lost.len(), sent.len());
}

/// When a scan of this kind began, in seconds after `since`.
fn began(stack: &Stack, kind: &str, since: Timestamp) -> Vec<f64> {
    let of_kind = stack.summaries().into_iter().filter(|summary| summary["scan"]["kind"] == json!(kind));
    of_kind.map(|summary| time(&summary["scan"]["started_at"]).duration_since(since).as_secs_f64()).collect()
}

#[test]
fn ten_tag_events_a_second_and_key_events_delay_neither_a_new_stream_nor_an_alias() {
    // The window of the policy's scans as it is by default.
    let (stack, key) = start(&json!({}), &[("SCAN_WINDOW_SECONDS", "60")]);
    let [theirs, before, after] = ["alias/theirs", "alias/b", "alias/b2"].map(|alias| stack.parts.key(alias));
    stack.parts.encrypted("b-0", &before);
    stack.new_function();
    (0..20).for_each(|_| stack.send(&kms_event("kms-enable-key", None, &theirs)));
    stack.parts.kms("UpdateAlias", json!({"AliasName": "alias/b", "TargetKeyId": after}));
    stack.send(&kms_event("kms-update-alias", Some("alias/b"), &after));
    let moved = Timestamp::now();
    let flood = |sender: &mut Sender| {
        for number in 0..600 {
            sender.wait(100 * number);
            sender.send(&tagged("tagged"));
            if number % 120 == 60 {
                sender.create();
            }
        }
    };
    let is_moved = || stack.parts.describe("b-0")["KeyId"] == json!(after);
    let (sent, streams) = run_while(&stack, flood, |_| is_moved() && stack.is_idle());
    let all = stack.evidence(|_| true);
    assert_all_are_answered(&all, &sent);
    assert_proven(&all, &streams, &key);
    let (worst, aliases, keys) =
        (worst_delay(&all, &streams), began(&stack, "alias", moved), began(&stack, "key", moved));
    println!(
        "600 tag events: a new stream waits {worst:.1} s at most; 20 EnableKey: the alias's scan begins after {aliases:?} s"
    );
    assert!(streams.len() == 5 && worst <= 15.0, "{worst} s");
    assert_eq!(stack.count("kinesis:StartStreamEncryption"), 6, "the new streams', and the alias's");
    assert!(aliases.len() == 1 && aliases[0] <= 120.0 && (1..=2).contains(&keys.len()), "{aliases:?} {keys:?}");
}

#[test]
fn three_hundred_streams_that_stay_updating_delay_no_new_stream() {
    let fault = json!({"hold": [{"stream": "stuck-*", "updating_ms": 3_600_000}]});
    // One instance has all of it to do, in the order in which it came.
    let (stack, key) = start(&fault, &[("DESCRIBES_PER_SECOND", "10")]);
    let stuck: Vec<String> = (0..300).map(|number| format!("stuck-{number}")).collect();
    stuck.iter().for_each(|name| stack.parts.stream(name));
    for name in &stuck {
        stack.parts.active(name);
        // Through the layer, which leaves them UPDATING.
        let body = json!({"StreamName": name, "RetentionPeriodHours": 48});
        call(&stack.fault.url, "Kinesis_20131202.IncreaseStreamRetentionPeriod", "kinesis", &body).unwrap();
    }
    stack.new_function();
    let flood = |sender: &mut Sender| {
        stuck.iter().for_each(|name| sender.send(&tagged(name)));
        for seconds in [10, 30, 60] {
            sender.wait(1_000 * seconds);
            sender.create();
        }
    };
    let is_answered = |sender: &Sender| sender.sent.is_subset(&answered(&stack.evidence(|_| true)));
    let (_, streams) = run_while(&stack, flood, |sender| {
        let proven = stack.evidence(|one| one["proof"]["state"] == json!("proven"));
        proven.len() == 3 && is_answered(sender)
    });
    let all = stack.evidence(|_| true);
    assert_proven(&all, &streams, &key);
    let (worst, describes) = (worst_delay(&all, &streams), stack.count("kinesis:DescribeStreamSummary"));
    println!(
        "300 streams in UPDATING: {} runs, {describes} describes, a new stream waits {worst:.1} s at most",
        all.len()
    );
    assert!(worst <= 60.0, "{worst} s");
}

#[test]
fn ten_minutes_of_everything_lose_no_event_and_are_bounded() {
    // The messages of one principal who causes two events a second for ten minutes, as fast as the function takes them.
    let rounds = 300;
    let fault = json!({"aged": [{"stream": "tagged", "by_s": 86_400}]});
    let (stack, key) = start(&fault, &[("DESCRIBES_PER_SECOND", "50")]);
    let theirs = stack.parts.key("alias/theirs");
    stack.new_function();
    let flood = |sender: &mut Sender| {
        for round in 0..rounds {
            sender.send(&tagged("tagged"));
            sender.send(&finding("tagged"));
            (sender.send)(&refused("tagged"));
            (sender.send)(&kms_event("kms-enable-key", None, &theirs));
            if round % 60 == 30 {
                sender.create();
            }
        }
    };
    let (sent, streams) = run_while(&stack, flood, |_| stack.is_idle());
    let all = stack.evidence(|_| true);
    assert_all_are_answered(&all, &sent);
    assert_proven(&all, &streams, &key);
    let counters = stack.ask("counters");
    let calls: u64 = counters.as_object().unwrap().values().map(|of_one| of_one["calls"].as_u64().unwrap()).sum();
    let (messages, lines) = (4 * rounds + 5, stack.documents("").len());
    println!("{messages} messages of ten minutes: {calls} calls, {lines} lines");
    assert!(calls <= 2 * messages && lines <= usize::try_from(messages).unwrap(), "{calls} calls, {lines} lines");
    let failed = stack.documents("streamseal.note/v1").iter().filter(|note| note["outcome"] == json!("failed")).count();
    assert_eq!(failed, 0);
    let writes = ["kinesis:StartStreamEncryption", "kinesis:PutRecord"].map(|call| stack.count(call));
    assert_eq!(writes, [5, 5], "the new streams', and nothing else is changed");
}
