//! `streamseal seal --watch`: what it needs before it changes anything, and what Ctrl-C leaves. How a watch ends is shown with virtual time
//! (`tests/core/scenarios/watch.rs`), since none is shorter than ten minutes.

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::seal::{Running, active, is_sealed, policy, untouched};
use super::{Ran, at_parts, command, reach, run};
use crate::scans::SETTLE_NOT;
use crate::support::{ACCOUNT, Layer, call, file, parts, unique};
use crate::wire::cbor::{decode, encode};

/// CloudWatch as far as it is asked here. It stops with the runtime that it is on.
struct CloudWatch {
    runtime: tokio::runtime::Runtime,
    server: MockServer,
}

impl CloudWatch {
    fn start(answer: fn(&Value) -> (u16, Value)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let respond = move |request: &Request| {
            let (status, body) = answer(&decode(&request.body));
            let answer = ResponseTemplate::new(status).insert_header("smithy-protocol", "rpc-v2-cbor");
            answer.set_body_raw(encode(&body), "application/cbor")
        };
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(respond).mount(&server).await;
            server
        });
        Self { runtime, server }
    }

    fn requests(&self) -> usize {
        self.runtime.block_on(self.server.received_requests()).unwrap().len()
    }
}

/// Nobody calls.
fn nothing(asked: &Value) -> (u16, Value) {
    let queries = asked["MetricDataQueries"].as_array().unwrap().iter();
    let result = |query: &Value| json!({ "Id": query["Id"], "Label": "", "Timestamps": [], "Values": [], "StatusCode": "Complete" });
    (200, json!({ "MetricDataResults": queries.map(result).collect::<Vec<_>>(), "Messages": [] }))
}

fn denied(_: &Value) -> (u16, Value) {
    (400, json!({ "__type": "com.amazonaws.cloudwatch#AccessDenied", "message": "not authorized" }))
}

fn seal(cloudwatch: &CloudWatch, policy: &std::path::Path, streams: &[&str]) -> Running {
    let url = cloudwatch.server.uri();
    let variables = [&reach()[..], &[("AWS_ENDPOINT_URL_CLOUDWATCH", url.as_str())]].concat();
    let arguments = ["seal", "--yes", "--watch", "20m", "--policy", policy.to_str().unwrap(), "--account", ACCOUNT];
    Running::start(command(&[&arguments, streams].concat(), &variables))
}

#[test]
fn what_cannot_be_watched_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("blind");
    let policy = policy(&folder, &prefix);
    parts().key(&format!("alias/{prefix}"));
    let [one, two] = ["one", "two"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&one, &two]);
    let cloudwatch = CloudWatch::start(denied);
    let Ran { code, out, err } = seal(&cloudwatch, &policy, &[&one, &two]).end();
    assert_eq!(code, 3, "{out}{err}");
    assert!(out.contains(&format!("{one}: not changed: its users cannot be watched")), "{out}");
    assert!(out.contains(&format!("{two}: not changed")), "{out}");
    assert_eq!(cloudwatch.requests(), 1, "the first that cannot be watched stops the others");
    untouched(&one);
    untouched(&two);
}

#[test]
fn ctrl_c_ends_the_watch_and_leaves_the_change() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("watched");
    let policy = policy(&folder, &prefix);
    let key = parts().key(&format!("alias/{prefix}"));
    let one = format!("{prefix}-one");
    active(&[&one]);
    let cloudwatch = CloudWatch::start(nothing);
    let mut running = seal(&cloudwatch, &policy, &[&one]);
    running.says(&format!("{one}: watched for 20m; Ctrl-C ends the watch and leaves the change"));
    running.interrupt();
    let Ran { code, out, err } = running.end();
    assert_eq!(code, 4, "{out}{err}");
    assert!(out.contains(&format!("sealed  {one}")), "{out}");
    assert!(out.contains(&format!("{one}: changed, no longer watched")), "{out}");
    assert!(is_sealed(&one, &key));
}

#[test]
fn a_time_that_is_no_watch_is_refused_before_anything_is_called() {
    for (time, why) in [("9m", "is not a duration from 10m to 2h"), ("soon", "is not a duration from 10m to 2h")] {
        let Ran { code, err, .. } = at_parts(&["seal", "orders", "--yes", "--watch", time], None);
        assert!(code == 2 && err.contains(&format!("--watch: `{time}` {why}")), "{code} {err}");
    }
}

#[test]
fn a_plan_says_which_change_was_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = unique("undone");
    let (key, other) = (parts().key(&format!("alias/{prefix}")), parts().key(&format!("alias/{prefix}-other")));
    let [undone, calm] = ["undone", "calm"].map(|suffix| format!("{prefix}-{suffix}"));
    active(&[&undone, &calm]);
    let layer = Layer::start(&json!({"trail": {"lag_ms": 0}}));
    for (stream, keys) in [(&undone, &[&key, &other][..]), (&calm, &[&other])] {
        for key in keys {
            let body = json!({"StreamName": stream, "EncryptionType": "KMS", "KeyId": key});
            call(&layer.url, "Kinesis_20131202.StartStreamEncryption", "kinesis", &body).unwrap();
            parts().active(stream);
            // The records have whole seconds.
            std::thread::sleep(std::time::Duration::from_millis(1_100));
        }
    }
    let plan = |guard: &str, more: &[&str]| {
        let rule = format!("{{ name: all, match: {{ stream: '{prefix}*' }}, key: alias/{prefix}{guard} }}");
        let policy = file(
            &folder,
            "policy.yaml",
            &format!("version: 1\ndefaults: {{ existing: enforce, {SETTLE_NOT} }}\nrules: [{rule}]\n"),
        );
        let at_layer = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"].map(|name| (name, layer.url.as_str()));
        let variables = [&reach()[..], &at_layer].concat();
        let arguments = [&["seal", "--dry-run", "--policy", policy.to_str().unwrap(), &undone, &calm], more].concat();
        run(&arguments, &variables)
    };
    let guarded = ", guard: { watch: 20m, hold: 7d }";
    let Ran { code, out, err } = plan(guarded, &[]);
    assert_eq!(code, 3, "{out}{err}");
    let said: Vec<&str> = out.lines().filter(|line| line.contains("was undone at")).collect();
    assert!(said.len() == 1 && said[0].ends_with("leaves the stream alone for 7 days, `seal` does not"), "{out}");
    let place = |text: &str| out.find(text).unwrap();
    assert!(place(said[0]) > place(&undone), "{out}");
    let Ran { out, .. } = plan(guarded, &["--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    let of = |name: &str| {
        let plan = document["plan"].as_array().unwrap();
        plan.iter().find(|one| one["stream"].as_str().unwrap().ends_with(name)).unwrap()["undone"].clone()
    };
    assert!(of(&undone).is_string() && of(&calm).is_null(), "{out}");
    assert!(!plan("", &[]).out.contains("undone at"), "a rule without a guard leaves nothing alone");
}
