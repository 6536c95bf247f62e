//! What people watch the function by (the alarms, the dashboard and the saved queries of `template.yaml`) against what the function
//! writes in the simulation: there is no list of metrics or fields here that could be wrong in the same way.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::{Value, json};
use streamseal::domain::evidence::emf;
use streamseal::domain::evidence::guard::Guard;
use streamseal::domain::evidence::v1::Document;
use streamseal::domain::failure::{Class, Fault};
use streamseal::ports::Clock;

use crate::common::{Deployed, resources, template};
use crate::sim::actors::Tool;
use crate::sim::faults::{Fault as SimFault, Weather};
use crate::sim::scene::{ALL_WITH_APP, Scene, hours, secs};
use crate::sim::{Op, key_arn};

/// What the function wrote: its documents, and its lines for CloudWatch.
#[derive(Default)]
struct Written {
    evidence: Vec<Value>,
    metrics: Vec<Value>,
}

impl Written {
    /// As `aws/log.rs` writes it.
    fn take(&mut self, scene: &Scene) {
        scene.set(|state, _| {
            for evidence in &state.evidence {
                self.evidence.push(serde_json::to_value(Document::from(evidence)).unwrap());
                self.metrics.push(emf::of_evidence(evidence));
                let broken = evidence.guard.as_ref().and_then(Guard::broken_on);
                self.metrics.extend(broken.map(|key| emf::of_broken(key, evidence.finished_at)));
            }
            self.metrics.extend(state.notes.iter().map(streamseal::domain::note::Note::metrics));
            self.metrics.extend(state.summaries.iter().flat_map(emf::of_summary));
            self.metrics.extend(state.policy_changes.iter().cloned());
        });
    }

    /// Each metric above nought with each set of its dimensions, as CloudWatch sees it.
    fn emitted(&self) -> BTreeSet<(String, Vec<(String, String)>)> {
        let mut emitted = BTreeSet::new();
        for line in &self.metrics {
            for directive in line["_aws"]["CloudWatchMetrics"].as_array().unwrap() {
                assert_eq!(directive["Namespace"], emf::NAMESPACE);
                for metric in directive["Metrics"].as_array().unwrap() {
                    let name = metric["Name"].as_str().unwrap();
                    let value = line[name].as_u64().unwrap_or_else(|| panic!("{name} has no value: {line}"));
                    for set in directive["Dimensions"].as_array().unwrap().iter().filter(|_| value > 0) {
                        let pair = |dimension: &Value| {
                            let dimension = dimension.as_str().unwrap();
                            (dimension.to_owned(), line[dimension].as_str().unwrap().to_owned())
                        };
                        emitted.insert((name.to_owned(), set.as_array().unwrap().iter().map(pair).collect()));
                    }
                }
            }
        }
        emitted
    }
}

/// Stages on which everything goes wrong that an alarm is for, and some of what is well.
async fn everything() -> Written {
    let mut written = Written::default();
    let stopped = || {
        let s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        s
    };
    let mut sealed = stopped();
    sealed.drain().await;
    written.take(&sealed);

    let mut unproven = stopped();
    unproven.set(|state, _| state.streams.get_mut("orders").unwrap().never_encrypts = true);
    unproven.drain().await;
    written.take(&unproven);

    let mut unwritable = stopped();
    unwritable.later(secs(7.5), |state, now| state.keys.set_state("app", "Disabled", now));
    unwritable.drain().await;
    written.take(&unwritable);

    let mut gave_up = Scene::new(ALL_WITH_APP);
    gave_up.created("orders", hours(24 * 30));
    gave_up.drain().await;
    written.take(&gave_up);

    // Somebody undoes each Start.
    let mut contested = stopped();
    let sim = contested.sim.clone();
    contested.actors.spawn(async move {
        for _ in 0..24 * 360 {
            tokio::time::sleep(secs(10.0)).await;
            sim.with(|state, now| {
                if state.body("orders", now).is_some_and(|body| body.key.is_some()) {
                    let _ = state.stop_by("orders", Tool::Terraform, now);
                }
            });
            sim.ring();
        }
    });
    contested.drain().await;
    written.take(&contested);

    for op in [Op::Describe, Op::Start] {
        let mut refused = stopped();
        refused.fault(op, SimFault::Refused(Class::Permanent(Fault::Access), "AccessDeniedException"));
        refused.drain().await;
        written.take(&refused);
    }
    // A change that breaks a stream, which goes back, and the sweep after it.
    let mut broken = Scene::new(
        &ALL_WITH_APP.replace("existing: enforce,", "existing: enforce, guard: {watch: 20m, on_break: restore},"),
    );
    for name in ["orders", "bills"] {
        broken.existing(name, Some(&key_arn("other")));
        broken.set(|state, _| state.producer(name, 60, &["other"]));
    }
    for _ in 0..2 {
        broken.set(|state, now| state.sweep(now));
        broken.drain().await;
        broken.sim.sleep(secs(300.0)).await;
    }
    written.take(&broken);
    // Its owner is nobody that the rule names.
    let mut foreign = Scene::new(ALL_WITH_APP);
    foreign.existing("orders", Some("arn:aws:kms:eu-west-1:444455556666:key/theirs"));
    foreign.parameter("/mode", "report");
    foreign.set(|state, now| state.emit("StartStreamEncryption", "orders", Tool::Cli, now));
    foreign.drain().await;
    written.take(&foreign);

    let mut unusable = stopped();
    unusable.parameter("/policy", "rules: []");
    unusable.later(secs(600.0), |state, _| {
        state.parameters.insert("/policy".to_owned(), ALL_WITH_APP.to_owned());
    });
    unusable.drain().await;
    written.take(&unusable);

    let mut unheard = Scene::with(ALL_WITH_APP, 7, Weather::calm(), &[("RESULT_BUS", "results")]);
    unheard.created("orders", secs(1.0));
    unheard.set(|state, _| state.bus.refusals = vec![(0, Class::Permanent(Fault::Request))]);
    unheard.drain().await;
    written.take(&unheard);

    // Another policy, and a stream of another account.
    let mut changed = stopped();
    changed.parameter("/policy", ALL_WITH_APP);
    changed.drain().await;
    changed.set(|state, now| {
        state.set_parameter("/policy", &format!("{ALL_WITH_APP} "), now);
        let command = json!({"action": "reconcile", "stream": "arn:aws:kinesis:eu-west-1:444455556666:stream/orders"});
        state.enqueue(command.to_string(), now, secs(0.0), 0);
    });
    changed.drain().await;
    written.take(&changed);

    // A sweep that finds every kind of stream, and one that nobody reported; and scans of the other kinds.
    let mut swept = Scene::new(
        "{version: 1, defaults: {existing: enforce}, rules: [{name: scratch, match: {stream: ['scratch*']}, exempt: {reason: r}}, \
         {name: lost, match: {stream: [lost]}, key: alias/nobody}, {name: all, key: alias/app, accept: [alias/other]}]}",
    );
    for (name, key) in [("right", Some("alias/app")), ("scratch", None), ("lost", None), ("odd", None)] {
        swept.existing(name, key);
    }
    swept.set(|state, now| {
        state.create("unheard", now - SignedDuration::from_mins(30), secs(1.0), Tool::Cli);
        state.create("slow", now, secs(600.0), Tool::Cli);
        state.sweep(now);
    });
    swept.drain().await;
    swept.set(|state, now| {
        state.emit_key("UpdateAlias", Some("alias/app"), "app", now);
        state.emit_key("UpdateAlias", Some("alias/theirs"), "app", now);
        state.emit_key("EnableKey", None, "app", now);
    });
    swept.drain().await;
    written.take(&swept);
    written
}

fn alarms() -> Vec<(String, Value)> {
    let (template, stack) = (template(), Deployed::new(&[("PolicyParameterName", "/policy")]));
    let all = resources(&template, "AWS::CloudWatch::Alarm");
    all.into_iter().map(|(name, _)| (name.to_owned(), stack.properties(name).unwrap())).collect()
}

#[tokio::test(start_paused = true)]
async fn every_alarm_is_on_a_metric_that_is_emitted() {
    let emitted = everything().await.emitted();
    let mut ours = 0;
    for (name, alarm) in alarms() {
        if alarm["Namespace"] != emf::NAMESPACE {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
        let dimensions: Vec<_> = dimensions.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect();
        let wanted = (text(&alarm["MetricName"]), dimensions);
        assert!(emitted.contains(&wanted), "{name} waits for {wanted:?}, and there is {emitted:#?}");
        ours += 1;
    }
    assert!(ours >= 8, "{ours}");
}

/// How often an alarm's metric was above nought, line by line.
fn times(written: &Written, alarm: &str) -> usize {
    let (_, alarm) = alarms().into_iter().find(|(name, _)| name == alarm).unwrap();
    assert!(alarm.get("Dimensions").is_none(), "{alarm}");
    let metric = alarm["MetricName"].as_str().unwrap();
    written.metrics.iter().filter(|line| line[metric].as_u64() > Some(0)).count()
}

/// Without a table an instance knows its own last policy alone; the cause of the sweep that follows says the rest.
#[tokio::test(start_paused = true)]
async fn a_changed_policy_is_an_alarm_with_the_first_document_by_it() {
    const OTHER: &str = "{version: 1, defaults: {existing: enforce}, rules: [{name: none, exempt: {reason: r}}]}";
    for cold in [false, true] {
        for (parameter, text, alarms_then) in [
            ("/policy", OTHER, 1),
            // The same text again, and the mode. An instance that is new does not know.
            ("/policy", ALL_WITH_APP, usize::from(cold)),
            ("/mode", "report", usize::from(cold)),
        ] {
            let mut s = Scene::new(ALL_WITH_APP);
            s.lambda.always_cold = cold;
            s.parameter("/policy", ALL_WITH_APP);
            s.existing("orders", None);
            s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
            s.set(|state, now| state.sweep(now));
            s.drain().await;
            let mut written = Written::default();
            written.take(&s);
            assert_eq!(times(&written, "PolicyChangedAlarm"), 0, "before {parameter}");
            s.set(|state, now| state.set_parameter(parameter, text, now));
            s.drain().await;
            written.take(&s);
            assert_eq!(times(&written, "PolicyChangedAlarm"), alarms_then, "{parameter}, cold: {cold}");
            // The document that the log has at that time is by the new policy.
            if text == OTHER {
                let digest = &written.evidence.last().unwrap()["policy"]["digest"];
                assert_ne!(digest, &written.evidence[0]["policy"]["digest"]);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_done_is_an_alarm_and_another_accounts_key_is_none() {
    let reconcile = |stream: &str| json!({"action": "reconcile", "stream": stream});
    let file = |name: &str| -> Value {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    };
    for (body, alarms_then) in [
        (reconcile("arn:aws:kinesis:eu-west-1:444455556666:stream/orders"), 1),
        (reconcile("arn:aws:kinesis:us-east-1:111122223333:stream/orders"), 1),
        (reconcile("orders"), 0),
        (json!({"source": "aws.other", "detail-type": "x", "account": "111122223333", "region": "eu-west-1"}), 0),
        (file("kms-disable-key-other-account"), 0),
    ] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.set(|state, now| state.enqueue(body.to_string(), now, secs(0.0), 0));
        s.drain().await;
        let mut written = Written::default();
        written.take(&s);
        assert_eq!(times(&written, "RejectedAlarm"), alarms_then, "{body}");
    }
    // Those that are counted together are all of them.
    let mut findings = file("securityhub-findings-imported-kinesis1");
    let mut finding = findings["detail"]["findings"][0].clone();
    finding["AwsAccountId"] = json!("444455556666");
    findings["detail"]["findings"] = json!(vec![finding; 20]);
    let mut s = Scene::new(ALL_WITH_APP);
    s.set(|state, now| state.enqueue(findings.to_string(), now, secs(0.0), 0));
    s.drain().await;
    let mut written = Written::default();
    written.take(&s);
    let counts: Vec<u64> = written.metrics.iter().filter_map(|line| line["Rejected"].as_u64()).collect();
    assert!(counts.iter().sum::<u64>() == 20 && counts.len() < 20, "{counts:?}");
}

/// Most failed reads pass within seconds: the first one, with its second try, wakes nobody, and the next one does.
#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_is_an_alarm_from_the_second_time_on() {
    for (reads, alarms_then) in [(1, false), (2, false), (3, true)] {
        let mut s = Scene::new(ALL_WITH_APP);
        s.existing("orders", None);
        s.set(|state, now| state.emit("StopStreamEncryption", "orders", Tool::Cli, now));
        s.faults(Op::Parameter, SimFault::Throttled, reads);
        // The third is the first of the next invocation, and its second try fails too.
        s.faults(Op::Parameter, SimFault::Throttled, usize::from(alarms_then));
        s.drain().await;
        let mut written = Written::default();
        written.take(&s);
        let (_, alarm) = alarms().into_iter().find(|(name, _)| name == "PolicyUnusableAlarm").unwrap();
        let dimensions = alarm["Dimensions"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let wanted = (
            text(&alarm["MetricName"]),
            dimensions.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect::<Vec<_>>(),
        );
        assert_eq!(written.emitted().contains(&wanted), alarms_then, "{reads} failed reads");
    }
}

/// The widgets of the dashboard, as CloudFormation hands them on.
fn widgets() -> Vec<Value> {
    let body = Deployed::new(&[("PolicyParameterName", "/policy")]).properties("Dashboard").unwrap();
    let body: Value = serde_json::from_str(body["DashboardBody"].as_str().unwrap()).expect("the dashboard is JSON");
    body["widgets"].as_array().unwrap().clone()
}

/// The metrics of a widget with what `.` and `...` stand for written out (CloudWatch dashboard body structure).
fn metrics(widget: &Value) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    for row in widget["properties"]["metrics"].as_array().unwrap() {
        let before = all.last().cloned().unwrap_or_default();
        let row: Vec<&str> = row.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let row = match row.as_slice() {
            ["..."] => before,
            _ => row
                .iter()
                .enumerate()
                .map(|(i, part)| if *part == "." { before[i].clone() } else { (*part).to_owned() })
                .collect(),
        };
        all.push(row);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn the_dashboard_shows_what_is_emitted_and_every_alarm() {
    let emitted = everything().await.emitted();
    let template = template();
    let stack = Deployed::new(&[("PolicyParameterName", "/policy")]);
    let queues = resources(&template, "AWS::SQS::Queue").into_iter();
    let queues: BTreeSet<String> = queues
        .map(|(name, _)| {
            stack.resolved(&json!({"!GetAtt": format!("{name}.QueueName")})).unwrap().as_str().unwrap().to_owned()
        })
        .collect();
    let function = stack.resolved(&json!({"!Ref": "Function"})).unwrap();
    let (mut shown, mut alarms_shown, mut queues_shown) = (0, BTreeSet::new(), BTreeSet::new());
    for widget in widgets() {
        let title = &widget["properties"]["title"];
        if widget["type"] == "alarm" {
            let all = widget["properties"]["alarms"].as_array().unwrap();
            alarms_shown.extend(all.iter().map(|arn| arn.as_str().unwrap().to_owned()));
            continue;
        }
        assert_eq!(
            (&widget["type"], &widget["properties"]["region"]),
            (&json!("metric"), &json!(Deployed::REGION)),
            "{title}"
        );
        // A search names the dimensions, and the metric.
        for row in widget["properties"]["metrics"].as_array().unwrap() {
            let Some(search) = row[0]["expression"].as_str() else { continue };
            let of_it = search.strip_prefix("SEARCH('{Streamseal,").unwrap_or_else(|| panic!("{search}"));
            let (dimensions, rest) = of_it.split_once("} MetricName=\"").unwrap();
            let metric = rest.split_once('"').unwrap().0;
            let fits = |(name, pairs): &&(String, Vec<(String, String)>)| {
                name == metric && pairs.iter().map(|(name, _)| name.as_str()).eq(dimensions.split(','))
            };
            assert!(emitted.iter().any(|one| fits(&one)), "{title}: {search}");
            shown += 1;
        }
        for row in metrics(&widget).into_iter().filter(|row| !row.is_empty()) {
            match row[0].as_str() {
                "Streamseal" => {
                    let pairs = row[2..].chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
                    let wanted = (row[1].clone(), pairs);
                    assert!(emitted.contains(&wanted), "{title}: {wanted:?} is not in {emitted:#?}");
                }
                "AWS/SQS" => {
                    assert!(queues.contains(&row[3]) && row[2] == "QueueName", "{title}: {row:?}");
                    queues_shown.insert(row[3].clone());
                }
                "AWS/Lambda" => assert_eq!((row[2].as_str(), &json!(row[3])), ("FunctionName", &function), "{title}"),
                other => panic!("{title}: {other}"),
            }
            shown += 1;
        }
    }
    assert!(shown > 20, "{shown}");
    assert_eq!(queues_shown, queues);
    let alarms = resources(&template, "AWS::CloudWatch::Alarm").into_iter();
    let alarms: BTreeSet<String> = alarms
        .map(|(name, _)| {
            stack.resolved(&json!({"!GetAtt": format!("{name}.Arn")})).unwrap().as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(alarms_shown, alarms);
    assert!(Deployed::new(&[("CreateDashboard", "false")]).properties("Dashboard").is_none());
}

/// Every place in a document that has a value, as Logs Insights names it.
fn places(value: &Value, place: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &if place.is_empty() { name.clone() } else { format!("{place}.{name}") }, into);
            }
        }
        Value::Null => {}
        _ => drop(into.insert(place.to_owned())),
    }
}

/// The fields that a query reads: its words, without comments, literals, commands, functions and the names that it gives itself.
fn fields(query: &str) -> Vec<String> {
    const WORDS: &[&str] =
        &["filter", "stats", "latest", "by", "sort", "desc", "asc", "limit", "display", "and", "or", "ispresent"];
    let code: Vec<&str> = query.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let code = code.join("\n");
    let code: String = code.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let mut words =
        code.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.')).filter(|word| !word.is_empty());
    let (mut found, mut given) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "as" => given.push(words.next().unwrap()),
            _ if WORDS.contains(&word) || word.parse::<u32>().is_ok() => {}
            _ => found.push(word.to_owned()),
        }
    }
    found.retain(|word| !given.contains(&word.as_str()));
    found
}

#[tokio::test(start_paused = true)]
async fn the_saved_queries_ask_for_fields_that_evidence_has() {
    let evidence = everything().await.evidence;
    let mut known = BTreeSet::new();
    evidence.iter().for_each(|document| places(document, "", &mut known));
    let (template, stack) = (template(), Deployed::new(&[("PolicyParameterName", "/policy")]));
    let queries = resources(&template, "AWS::Logs::QueryDefinition");
    assert_eq!(queries.len(), 4);
    for (name, _) in queries {
        let query = stack.properties(name).unwrap();
        assert!(Deployed::new(&[("CreateDashboard", "false")]).properties(name).is_none(), "{name}");
        assert_eq!(query["LogGroupNames"], json!([stack.resolved(&json!({"!Ref": "LogGroup"}))]), "{name}");
        let text = query["QueryString"].as_str().unwrap();
        let fields = fields(text);
        assert!(fields.len() > 4, "{name}: {fields:?}");
        for field in fields {
            assert!(known.contains(&field), "{name} asks for {field}, which no evidence has");
        }
        // What it compares with is found: `field = "value"`.
        for (left, right) in text.split("= \"").zip(text.split("= \"").skip(1)) {
            let (field, value) = (left.split_whitespace().last().unwrap(), right.split('"').next().unwrap());
            let pointer = format!("/{}", field.replace('.', "/"));
            let found = evidence.iter().any(|document| document.pointer(&pointer) == Some(&json!(value)));
            assert!(found || value == "NAME", "{name}: no evidence has {field} = {value}");
        }
    }
}
