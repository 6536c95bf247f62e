//! Kinesis: streams with states that take time, a setting, and encryption that takes hold later than the setting says.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::arn::{KeyRef, StreamArn};
use streamseal::domain::failure::Failure;
use streamseal::domain::history::ChangeKind;
use streamseal::domain::model::{Encryption, KeyIdentity, Observed, StreamStatus, Tags};
use streamseal::ports::{CallLog, Clock, ProbeAnswer, ReadBack, ReadRecord, StreamApi};

use super::actors::Tool;
use super::{Op, SAYS, Sim, State, failed, own};

/// Everything that was ever under one name: a deleted stream leaves its history to the next one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    eras: Vec<Era>,
    /// From when on records are encrypted, and with which key.
    effective: Vec<(Timestamp, Option<String>)>,
    pub(crate) tags: Tags,
    pub(crate) records: Vec<Record>,
    /// When the service accepted a Start, by anybody.
    pub(crate) starts: Vec<Timestamp>,
    /// Encryption never takes hold, whatever the setting says.
    pub(crate) never_encrypts: bool,
    /// What made it.
    pub(crate) made_by: Option<Tool>,
}

/// What holds from a time on; no body where there is no such stream.
#[derive(Clone, Debug)]
struct Era {
    from: Timestamp,
    body: Option<Body>,
}

/// What DescribeStreamSummary says.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) status: StreamStatus,
    /// As it was given to Start.
    pub(crate) key: Option<String>,
    pub(crate) created: Timestamp,
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) sequence_number: String,
    pub(crate) at: Timestamp,
    pub(crate) ours: bool,
    /// The key it is encrypted with.
    pub(crate) key: Option<String>,
    /// Of the stream that it is in.
    created: Timestamp,
}

impl Stream {
    /// What there was at a time.
    pub(crate) fn at(&self, time: Timestamp) -> Option<&Body> {
        self.eras.iter().rev().find(|era| era.from <= time)?.body.as_ref()
    }

    /// Whether something held at any time between two.
    pub(crate) fn was(&self, from: Timestamp, to: Timestamp, so: impl Fn(&Body) -> bool) -> bool {
        let ends = self.eras.iter().skip(1).map(|era| era.from).chain([Timestamp::MAX]);
        let spans = self.eras.iter().zip(ends).filter(|(era, end)| era.from <= to && *end > from);
        spans.filter_map(|(era, _)| era.body.as_ref()).any(so)
    }

    /// When the present stream became ACTIVE first, or will.
    pub(crate) fn active_since(&self, now: Timestamp) -> Option<Timestamp> {
        let created = self.at(now)?.created;
        let of_it =
            |era: &&Era| matches!(&era.body, Some(b) if b.created == created && b.status == StreamStatus::Active);
        self.eras.iter().find(of_it).map(|era| era.from)
    }

    pub(super) fn encrypts_with(&self, now: Timestamp) -> Option<String> {
        let (_, key) = self.effective.iter().rev().find(|(from, _)| *from <= now)?;
        key.clone().filter(|_| !self.never_encrypts)
    }

    fn push(&mut self, from: Timestamp, body: Option<Body>) {
        self.eras.push(Era { from, body });
    }

    /// UPDATING with the old setting for a while (recorded), then ACTIVE with the new one.
    fn change(&mut self, now: Timestamp, takes: Duration, key: Option<String>) {
        let Some(before) = self.at(now).cloned() else { return };
        self.push(now, Some(Body { status: StreamStatus::Updating, ..before.clone() }));
        self.push(now + takes, Some(Body { status: StreamStatus::Active, key, ..before }));
    }
}

impl State {
    pub(crate) fn stream(&self, name: &str) -> &Stream {
        self.streams.get(name).unwrap()
    }

    /// CreateStream. Its time is in whole seconds and up to 2 s before the request (recorded); the names of a deleted stream keep their
    /// quota.
    pub(crate) fn create(&mut self, name: &str, now: Timestamp, creating: Duration, made_by: Tool) {
        let early = SignedDuration::from_millis(self.dice.i64(0..=1_000));
        let created = Timestamp::from_second((now - early).as_second()).unwrap();
        let stream = self.streams.entry(name.to_owned()).or_default();
        assert!(stream.at(now).is_none(), "`{name}` exists");
        let body = |status| Some(Body { status, key: None, created });
        stream.push(now, body(StreamStatus::Creating));
        stream.push(now + creating, body(StreamStatus::Active));
        stream.effective.push((now, None));
        stream.made_by = Some(made_by);
    }

    /// A stream that has been there for a month.
    pub(crate) fn existing(&mut self, name: &str, key: Option<&str>, now: Timestamp) {
        let created = now - SignedDuration::from_hours(30 * 24);
        let key = key.map(str::to_owned);
        let stream = self.streams.entry(name.to_owned()).or_default();
        stream.push(created, Some(Body { status: StreamStatus::Active, key: key.clone(), created }));
        stream.effective.push((created, key));
    }

    /// The real status and key, without any lag.
    pub(crate) fn body(&self, name: &str, now: Timestamp) -> Option<Body> {
        self.streams.get(name)?.at(now).cloned()
    }

    pub(crate) fn set_status(&mut self, name: &str, now: Timestamp, status: StreamStatus) {
        let body = self.body(name, now).map(|body| Body { status, ..body });
        self.streams.get_mut(name).unwrap().push(now, body);
    }

    /// DeleteStream: 3 to 7 s of DELETING (recorded).
    pub(crate) fn delete(&mut self, name: &str, now: Timestamp) {
        let takes = Duration::from_millis(self.dice.u64(3_000..=7_000));
        let stream = self.streams.get_mut(name).unwrap();
        stream.eras.retain(|era| era.from <= now);
        let body = stream.at(now).cloned();
        stream.push(now, body.map(|body| Body { status: StreamStatus::Deleting, ..body }));
        stream.push(now + takes, None);
    }

    /// A change of something else than encryption, such as the retention period.
    pub(crate) fn update(&mut self, name: &str, now: Timestamp, takes: Duration) -> Result<(), &'static str> {
        let key = self.active(name, now)?.key;
        self.streams.get_mut(name).unwrap().change(now, takes, key);
        Ok(())
    }

    /// StopStreamEncryption, by somebody else; of an unencrypted stream it is refused (recorded).
    pub(crate) fn stop(&mut self, name: &str, now: Timestamp) -> Result<(), &'static str> {
        if self.active(name, now)?.key.is_none() {
            return Err("InvalidArgumentException");
        }
        self.set_encryption(name, now, None);
        Ok(())
    }

    /// StartStreamEncryption: what the service checks, in its order.
    pub(crate) fn start(&mut self, name: &str, key: &str, now: Timestamp) -> Result<(), Failure> {
        self.active(name, now).map_err(|code| failed(Op::Start, code, SAYS))?;
        let day_ago = now - SignedDuration::from_hours(24);
        if self.stream(name).starts.iter().filter(|at| **at > day_ago).count() >= 25 {
            // Worded like a rate, as its sibling quota was recorded.
            let message = format!("Rate exceeded for stream {name} under account {}.", own().account);
            return Err(failed(Op::Start, "LimitExceededException", &message));
        }
        self.keys.usable(key, now).map_err(|code| failed(Op::Start, code, SAYS))?;
        self.streams.get_mut(name).unwrap().starts.push(now);
        self.set_encryption(name, now, Some(key.to_owned()));
        Ok(())
    }

    fn active(&self, name: &str, now: Timestamp) -> Result<Body, &'static str> {
        match self.body(name, now) {
            Some(body) if body.status == StreamStatus::Active => Ok(body),
            Some(_) => Err("ResourceInUseException"),
            None => Err("ResourceNotFoundException"),
        }
    }

    fn set_encryption(&mut self, name: &str, now: Timestamp, key: Option<String>) {
        let takes = Duration::from_millis(self.dice.u64(self.weather.update_ms.clone()));
        let later = Duration::from_millis(self.dice.u64(self.weather.propagation_ms.clone()));
        let stream = self.streams.get_mut(name).unwrap();
        stream.change(now, takes, key.clone());
        stream.effective.push((now + takes + later, key));
    }

    /// PutRecord; what the record is stored with.
    pub(crate) fn put(&mut self, name: &str, ours: bool, now: Timestamp) -> Result<Record, Failure> {
        let body = self.body(name, now).filter(|body| body.status != StreamStatus::Creating);
        let Some(Body { created, .. }) = body else {
            return Err(failed(Op::Put, "ResourceNotFoundException", SAYS));
        };
        let key = self.stream(name).encrypts_with(now);
        if let Some(key) = &key {
            let usable = self.keys.usable(key, now).and_then(|()| self.keys.allowed(key));
            usable.map_err(|code| failed(Op::Put, code, SAYS))?;
        }
        let record = Record { sequence_number: self.sequence_number(), at: now, ours, key, created };
        self.streams.get_mut(name).unwrap().records.push(record.clone());
        Ok(record)
    }

    fn read(&mut self, name: &str, which: ReadBack, now: Timestamp) -> Result<Option<ReadRecord>, Failure> {
        let Some(Body { created, .. }) = self.body(name, now) else {
            return Err(failed(Op::Read, "ResourceNotFoundException", SAYS));
        };
        let (ReadBack::Any(since) | ReadBack::Probe(since)) = which;
        let fits = |r: &Record| matches!(which, ReadBack::Any(_)) || (r.ours && r.key.is_some());
        let wanted = |r: &&Record| r.created == created && r.at >= since && fits(r);
        let Some(record) = self.stream(name).records.iter().find(wanted).cloned() else { return Ok(None) };
        if let Some(key) = &record.key {
            let usable = self.keys.usable(key, now).and_then(|()| self.keys.allowed(key));
            usable.map_err(|code| failed(Op::Read, code, SAYS))?;
        }
        Ok(Some(ReadRecord {
            shard_id: "shardId-000000000000".to_owned(),
            sequence_number: record.sequence_number,
            encryption_type: record.key.is_some().then(|| "KMS".to_owned()),
            at: record.at,
        }))
    }
}

impl StreamApi for Sim {
    async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Observed, Failure> {
        let name = stream.name.as_str();
        let described = self.call(Op::Describe, name, "", Some(log), |state, now, run| {
            let lag = Duration::from_millis(state.dice.u64(0..=state.weather.describe_lag_ms));
            let Some(body) = state.body(name, now - lag) else {
                return Err(failed(Op::Describe, "ResourceNotFoundException", SAYS));
            };
            state.watch.served_stream(run, stream.name.as_str(), &body, now - lag);
            Ok(body)
        });
        let body = described.await?;
        let encryption = match body.key {
            None => Encryption::None,
            Some(key) => Encryption::Kms(KeyRef::parse(&key).unwrap()),
        };
        let (status, created) = (body.status, body.created);
        Ok(Observed { status, encryption, created, retention_hours: 24, at: self.now() })
    }

    async fn tags(&self, stream: &StreamArn, log: &CallLog) -> Result<Tags, Failure> {
        let name = stream.name.as_str();
        self.call(Op::Tags, name, "", Some(log), |state, now, run| {
            if state.body(name, now).is_none() {
                return Err(failed(Op::Tags, "ResourceNotFoundException", SAYS));
            }
            let tags = state.stream(name).tags.clone();
            state.watch.served_tags(run, &tags);
            Ok(tags)
        })
        .await
    }

    async fn start_encryption(&self, stream: &StreamArn, key: &KeyIdentity, log: &CallLog) -> Result<(), Failure> {
        let name = stream.name.as_str();
        let started = self.call(Op::Start, name, key.as_str(), Some(log), |state, now, _| {
            state.start(name, key.as_str(), now)?;
            if state.weather.echoes {
                state.emit("StartStreamEncryption", name, Tool::Streamseal, now);
            } else {
                state.record_change(ChangeKind::Start, name, Some(key.as_str()), Tool::Streamseal, now);
            }
            Ok(())
        });
        let result = started.await;
        self.ring();
        result
    }

    async fn put_probe(&self, stream: &StreamArn, log: &CallLog) -> Result<ProbeAnswer, Failure> {
        let name = stream.name.as_str();
        self.call(Op::Put, name, "", Some(log), |state, now, _| {
            let record = state.put(name, true, now)?;
            // AWS never says `NONE` here.
            let encryption_type = record.key.is_some().then(|| "KMS".to_owned());
            Ok(ProbeAnswer {
                shard_id: "shardId-000000000000".to_owned(),
                sequence_number: record.sequence_number,
                encryption_type,
            })
        })
        .await
    }

    async fn read_back(
        &self,
        stream: &StreamArn,
        which: ReadBack,
        log: &CallLog,
    ) -> Result<Option<ReadRecord>, Failure> {
        let name = stream.name.as_str();
        self.call(Op::Read, name, "", Some(log), |state, now, _| state.read(name, which, now)).await
    }
}

/// Kinesis' code of a key that cannot be used now.
pub(crate) type Unusable = &'static str;
