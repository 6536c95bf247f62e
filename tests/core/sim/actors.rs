//! Everybody else: the events that CloudTrail makes of calls, and Terraform creating a stream.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::history::ChangeKind;
use streamseal::domain::model::StreamStatus;

use super::kms::key_arn;
use super::queue::Accepted;
use super::{Sim, State, own};

/// Who calls, as CloudTrail reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Somebody with the AWS CLI.
    Cli,
    Terraform,
    CloudFormation,
    Pulumi,
    /// The function itself.
    Streamseal,
}

impl Tool {
    fn user_agent(self) -> &'static str {
        match self {
            Self::Cli => "aws-cli/2.27.9",
            Self::Terraform => "APN/1.0 HashiCorp/1.0 Terraform/1.9.5 terraform-provider-aws/5.80.0",
            Self::CloudFormation => "cloudformation.amazonaws.com",
            Self::Pulumi => "APN/1.0 HashiCorp/1.0 Terraform/1.5.5 terraform-provider-aws/dev pulumi/3.1",
            Self::Streamseal => "aws-sdk-rust/1.3 app/streamseal",
        }
    }

    /// The role whose session calls.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Streamseal => OWN_ROLE,
            Self::Cli => "arn:aws:iam::111122223333:role/somebody",
            Self::Terraform => "arn:aws:iam::111122223333:role/terraform",
            Self::CloudFormation => "arn:aws:iam::111122223333:role/cloudformation",
            Self::Pulumi => "arn:aws:iam::111122223333:role/pulumi",
        }
    }
}

/// The function's role.
pub(crate) const OWN_ROLE: &str = "arn:aws:iam::111122223333:role/streamseal";

/// The event of a call of KMS about this alias, or this key.
pub(crate) fn key_event(call: &str, alias: Option<&str>, key: &str, id: &str, at: Timestamp) -> Value {
    let at = Timestamp::from_second(at.as_second()).unwrap();
    json!({
        "version": "0", "id": id, "detail-type": "AWS API Call via CloudTrail", "source": "aws.kms",
        "account": "111122223333", "region": "eu-west-1", "time": at,
        "detail": {
            "eventSource": "kms.amazonaws.com", "eventName": call, "eventTime": at, "awsRegion": "eu-west-1", "readOnly": false,
            "requestParameters": {"aliasName": alias, "keyId": key},
            "resources": [{"ARN": key_arn(key)}],
            "userIdentity": {"arn": "arn:aws:sts::111122223333:assumed-role/somebody/session"},
        },
    })
}

/// The event of a successful call.
pub(crate) fn event(call: &str, stream: &str, tool: Tool, id: &str, at: Timestamp) -> Value {
    // CloudTrail's times have whole seconds.
    let at = Timestamp::from_second(at.as_second()).unwrap();
    json!({
        "version": "0", "id": id, "detail-type": "AWS API Call via CloudTrail", "source": "aws.kinesis",
        "account": "111122223333", "region": "eu-west-1", "time": at,
        "detail": {
            "eventSource": "kinesis.amazonaws.com", "eventName": call, "eventTime": at, "awsRegion": "eu-west-1",
            "userAgent": tool.user_agent(), "requestParameters": {"streamName": stream}, "readOnly": false,
            "userIdentity": {"arn": "arn:aws:sts::111122223333:assumed-role/somebody/session"},
        },
    })
}

impl State {
    /// A call that somebody made, on its way to the queue through CloudTrail and EventBridge, once or twice.
    pub(crate) fn emit(&mut self, call: &str, stream: &str, tool: Tool, now: Timestamp) {
        self.record_call(call, stream, tool, now);
        self.deliver(call, stream, tool, now);
    }

    fn deliver(&mut self, call: &str, stream: &str, tool: Tool, now: Timestamp) {
        let id = format!("event-{}", self.queue.accepted.len() + 1);
        let body = event(call, stream, tool, &id, now).to_string();
        self.queue.accepted.push(Accepted { stream: stream.to_owned(), event_id: Some(id), at: now });
        let copies = if self.chance(self.weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(self.dice.u64(self.weather.event_delay_ms.clone()));
            self.enqueue(body.clone(), now, delay, 0);
        }
    }

    /// What there is an event of, there is a record of.
    pub(crate) fn record_call(&mut self, call: &str, stream: &str, tool: Tool, now: Timestamp) {
        for kind in [ChangeKind::Start, ChangeKind::Stop] {
            if call == kind.event_name() {
                self.record_change(kind, stream, None, tool, now);
            }
        }
    }

    /// A call of KMS that somebody made, on its way to the queue, once or twice.
    pub(crate) fn emit_key(&mut self, call: &str, alias: Option<&str>, key: &str, now: Timestamp) {
        let id = format!("scan-{}", self.queue.scans_asked.len() + 1);
        let body = key_event(call, alias, key, &id, now).to_string();
        self.ask_for_scan(&body, now);
    }

    /// The schedule of sweeps.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let id = format!("scan-{}", self.queue.scans_asked.len() + 1);
        let body = json!({"action": "sweep", "executionId": id}).to_string();
        self.ask_for_scan(&body, now);
    }

    /// PutParameter, and the event of it.
    pub(crate) fn set_parameter(&mut self, name: &str, text: &str, now: Timestamp) {
        self.parameters.insert(name.to_owned(), text.to_owned());
        let id = format!("scan-{}", self.queue.scans_asked.len() + 1);
        let at = Timestamp::from_second(now.as_second()).unwrap();
        let body = json!({
            "version": "0", "id": id, "detail-type": "Parameter Store Change", "source": "aws.ssm", "account": "111122223333",
            "region": "eu-west-1", "time": at, "detail": {"name": name, "operation": "Update", "type": "String"},
        });
        self.ask_for_scan(&body.to_string(), now);
    }

    /// How often we started a stream's encryption after somebody else had changed it, or for the first time.
    pub(crate) fn rounds_of(&self, stream: &str) -> usize {
        let changes = self.trail.iter().map(|record| &record.change).filter(|change| change.stream.as_str() == stream);
        let mut ours: Vec<bool> = changes.map(|change| change.role.as_deref() == Some(OWN_ROLE)).collect();
        ours.dedup();
        ours.into_iter().filter(|ours| *ours).count()
    }

    fn ask_for_scan(&mut self, body: &str, now: Timestamp) {
        let Input::Direct(items) = parse(&serde_json::from_str(body).unwrap(), &own(), now) else { panic!("{body}") };
        for item in items {
            let (Item::Scan(scan) | Item::PolicyChanged(_, scan)) = item else { panic!("{item:?}") };
            self.queue.scans_asked.push((scan.topic(), now));
        }
        let copies = if self.chance(self.weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = Duration::from_millis(self.dice.u64(self.weather.event_delay_ms.clone()));
            self.enqueue(body.to_owned(), now, delay, 0);
        }
    }

    /// A command to observe a stream.
    pub(crate) fn command(&mut self, stream: &str, now: Timestamp) {
        self.queue.accepted.push(Accepted { stream: stream.to_owned(), event_id: None, at: now });
        self.enqueue(json!({"action": "reconcile", "stream": stream}).to_string(), now, Duration::ZERO, 0);
    }

    /// Somebody stops encryption; it makes an event where it succeeds.
    pub(crate) fn stop_by(&mut self, stream: &str, tool: Tool, now: Timestamp) -> Result<(), &'static str> {
        self.stop(stream, now)?;
        self.emit("StopStreamEncryption", stream, tool, now);
        Ok(())
    }

    /// Somebody starts encryption; it makes an event where it succeeds.
    pub(crate) fn start_by(&mut self, stream: &str, key: &str, tool: Tool, now: Timestamp) -> Result<(), String> {
        self.start(stream, key, now).map_err(|failure| failure.code.to_string())?;
        self.record_change(ChangeKind::Start, stream, Some(key), tool, now);
        self.deliver("StartStreamEncryption", stream, tool, now);
        Ok(())
    }

    /// Somebody sets a tag.
    pub(crate) fn tag_by(&mut self, stream: &str, tag: &str, value: &str, tool: Tool, now: Timestamp) {
        self.streams.get_mut(stream).unwrap().tags.insert(tag.to_owned(), value.to_owned());
        self.emit("AddTagsToStream", stream, tool, now);
    }
}

/// A Terraform resource to be created.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: &'static str,
    /// How long CREATING lasts.
    pub(crate) creating: Duration,
    /// How long each change keeps it UPDATING.
    pub(crate) updating: Duration,
    /// `kms_key_id`, where the configuration has one.
    pub(crate) key: Option<&'static str>,
}

/// What the Terraform provider does to create a stream (`internal/service/kinesis/stream.go`): each step needs the stream
/// ACTIVE and is followed by 10 s and a wait for ACTIVE. The error names the step that failed.
pub(crate) async fn terraform_apply(world: Sim, resource: Resource) -> Result<(), String> {
    let Resource { name, creating, updating, key } = resource;
    world.with(|state, now| {
        state.create(name, now, creating, Tool::Terraform);
        state.emit("CreateStream", name, Tool::Terraform, now);
    });
    world.ring();
    wait(&world, name, &StreamStatus::Creating).await.map_err(|why| format!("after CreateStream: {why}"))?;
    for step in ["IncreaseStreamRetentionPeriod", "EnableEnhancedMonitoring"] {
        world.with(|state, now| state.update(name, now, updating)).map_err(|why| format!("{step}: {why}"))?;
        wait(&world, name, &StreamStatus::Updating).await.map_err(|why| format!("after {step}: {why}"))?;
    }
    if let Some(key) = key {
        world
            .with(|state, now| state.start_by(name, key, Tool::Terraform, now))
            .map_err(|why| format!("Start: {why}"))?;
        world.ring();
        wait(&world, name, &StreamStatus::Updating).await.map_err(|why| format!("after Start: {why}"))?;
    }
    Ok(())
}

/// 10 s, then an observation every 3 s: ACTIVE is the target, `pending` is waited for, anything else fails.
async fn wait(world: &Sim, name: &str, pending: &StreamStatus) -> Result<(), String> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    loop {
        match world.with(|state, now| state.body(name, now)) {
            Some(body) if body.status == StreamStatus::Active => return Ok(()),
            Some(body) if body.status == *pending => tokio::time::sleep(Duration::from_secs(3)).await,
            Some(body) => return Err(format!("unexpected state '{}', wanted target 'ACTIVE'", body.status)),
            None => return Err("the stream is gone".to_owned()),
        }
    }
}
