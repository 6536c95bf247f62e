//! Kinesis Data Streams behind [`StreamApi`]: reads a stream's setting, tags and records, starts encryption, puts the probe.
//!
//! It names streams by ARN only, sends each request once, and cannot stop encryption or delete anything. Payloads of other
//! people's records are dropped unread.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{self as sdk, ShardIteratorType};
use jiff::Timestamp;

use super::connect::records_timeouts;
use super::errors::unreadable;
use super::{Aws, from_sdk, to_sdk};
use crate::domain::arn::StreamArn;
use crate::domain::codes::START_STREAM_ENCRYPTION;
use crate::domain::failure::Failure;
use crate::domain::model::{Encryption, KeyIdentity, Observed, StreamStatus, Tags};
use crate::domain::probe::{PROBE_DATA, PROBE_HASH, PROBE_PARTITION_KEY};
use crate::domain::text::EventText;
use crate::ports::{CallLog, ProbeAnswer, ReadBack, ReadRecord, StreamApi};

const DESCRIBE: &str = "kinesis:DescribeStreamSummary";
const LIST_TAGS: &str = "kinesis:ListTagsForStream";
const LIST_SHARDS: &str = "kinesis:ListShards";
const GET_ITERATOR: &str = "kinesis:GetShardIterator";
const GET_RECORDS: &str = "kinesis:GetRecords";
const PUT_RECORD: &str = "kinesis:PutRecord";

/// The largest page of ListTagsForStream (Kinesis API reference).
const TAGS_PER_PAGE: i32 = 50;
/// A stream has at most 50 tags (Kinesis API reference, TagResource), so that a tenth page is a server that never ends.
const TAG_PAGES_MAX: usize = 10;
/// The usual page of ListShards (Kinesis API reference).
const SHARDS_PER_PAGE: i32 = 1_000;
/// Ten thousand shards; what lies beyond is not checked.
const SHARD_PAGES_MAX: usize = 10;
/// Shards that one observation reads from: enough to meet a record where there is traffic, few enough to stay cheap.
const SHARDS_MAX: usize = 8;

impl StreamApi for Aws {
    async fn describe(&self, stream: &StreamArn, log: &CallLog) -> Result<Observed, Failure> {
        let request = self.kinesis().describe_stream_summary().stream_arn(stream.to_string());
        let answer = self.logged(log, DESCRIBE, request.send()).await?;
        let at = super::now();
        let summary =
            answer.stream_description_summary.ok_or_else(|| unreadable(DESCRIBE, "no summary in the answer"))?;
        // The SDK fills an absent time with the epoch, and no stream is that old.
        let created = from_sdk(&summary.stream_creation_timestamp)
            .filter(|created| *created > Timestamp::UNIX_EPOCH)
            .ok_or_else(|| unreadable(DESCRIBE, "no creation time in the answer"))?;
        Ok(Observed {
            status: status(&summary.stream_status),
            encryption: Encryption::read(
                summary.encryption_type.as_ref().map(sdk::EncryptionType::as_str),
                summary.key_id.as_deref(),
            ),
            created,
            retention_hours: retention_hours(summary.retention_period_hours),
            at,
        })
    }

    async fn tags(&self, stream: &StreamArn, log: &CallLog) -> Result<Tags, Failure> {
        let mut tags = Tags::new();
        let mut after = None;
        for _ in 0..TAG_PAGES_MAX {
            let request = self
                .kinesis()
                .list_tags_for_stream()
                .stream_arn(stream.to_string())
                .set_exclusive_start_tag_key(after.take())
                .limit(TAGS_PER_PAGE);
            let page = self.logged(log, LIST_TAGS, request.send()).await?;
            after = page.tags.last().map(|tag| tag.key.clone());
            tags.extend(page.tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())));
            if !page.has_more_tags {
                return Ok(tags);
            }
            if after.is_none() {
                break;
            }
        }
        Err(unreadable(LIST_TAGS, "the list of tags does not end"))
    }

    async fn start_encryption(&self, stream: &StreamArn, key: &KeyIdentity, log: &CallLog) -> Result<(), Failure> {
        let request = self
            .kinesis()
            .start_stream_encryption()
            .stream_arn(stream.to_string())
            .encryption_type(sdk::EncryptionType::Kms)
            .key_id(key.as_str());
        self.logged(log, START_STREAM_ENCRYPTION, request.send()).await?;
        Ok(())
    }

    async fn put_probe(&self, stream: &StreamArn, log: &CallLog) -> Result<ProbeAnswer, Failure> {
        let request = self
            .kinesis()
            .put_record()
            .stream_arn(stream.to_string())
            .partition_key(PROBE_PARTITION_KEY)
            .data(Blob::new(PROBE_DATA));
        let answer = self.logged(log, PUT_RECORD, request.send()).await?;
        if answer.shard_id.is_empty() || answer.sequence_number.is_empty() {
            return Err(unreadable(PUT_RECORD, "no sequence number in the answer"));
        }
        Ok(ProbeAnswer {
            shard_id: answer.shard_id,
            sequence_number: answer.sequence_number,
            encryption_type: answer.encryption_type.map(|kind| kind.as_str().to_owned()),
        })
    }

    async fn read_back(
        &self,
        stream: &StreamArn,
        which: ReadBack,
        log: &CallLog,
    ) -> Result<Option<ReadRecord>, Failure> {
        let (ReadBack::Any(since) | ReadBack::Probe(since)) = which;
        // Nothing can have arrived yet, and Kinesis refuses a time to come as an invalid argument.
        if since > Timestamp::now() {
            return Ok(None);
        }
        let arn = stream.to_string();
        for shard in self.shards(&arn, which, log).await? {
            if let Some(record) = self.read_shard(&arn, &shard, which, since, log).await? {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }
}

impl Aws {
    /// Other timeouts than those of the client.
    fn records_config(&self) -> aws_sdk_kinesis::config::Builder {
        let others = self.kinesis().config().timeout_config();
        aws_sdk_kinesis::Config::builder().timeout_config(records_timeouts(others))
    }

    /// The shards worth an observation, at most [`SHARDS_MAX`].
    async fn shards(&self, arn: &str, which: ReadBack, log: &CallLog) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..SHARD_PAGES_MAX {
            // The last shard of a page marks the place as well as `NextToken` does, which the API reference has without the
            // stream's ARN, and without the ARN the request goes to another host. (Kinesis was seen to take both.)
            let request = self
                .kinesis()
                .list_shards()
                .stream_arn(arn)
                .set_exclusive_start_shard_id(after.take())
                .max_results(SHARDS_PER_PAGE);
            let page = self.logged(log, LIST_SHARDS, request.send()).await?;
            let more = page.next_token.is_some();
            let shards = page.shards.unwrap_or_default();
            after = shards.last().map(|shard| shard.shard_id.clone());
            found.extend(shards.into_iter().filter(|shard| is_wanted(shard, which)).map(|shard| shard.shard_id));
            let enough = matches!(which, ReadBack::Any(_)) && found.len() >= SHARDS_MAX;
            if !more || after.is_none() || enough {
                break;
            }
        }
        // A probe is in the shard that took its key last, or in one of those before it.
        if matches!(which, ReadBack::Probe(_)) {
            found.reverse();
        }
        found.truncate(SHARDS_MAX);
        Ok(found)
    }

    /// The first record of `which` in one shard, with a bounded number of requests.
    async fn read_shard(
        &self,
        arn: &str,
        shard: &str,
        which: ReadBack,
        since: Timestamp,
        log: &CallLog,
    ) -> Result<Option<ReadRecord>, Failure> {
        // Any record will do: one record and three more requests, since a stretch without records takes several. The probe
        // may stand behind others of the same second.
        let (limit, requests) = match which {
            ReadBack::Any(_) => (1, 4),
            ReadBack::Probe(_) => (100, 5),
        };
        let request = self
            .kinesis()
            .get_shard_iterator()
            .stream_arn(arn)
            .shard_id(shard)
            .shard_iterator_type(ShardIteratorType::AtTimestamp)
            .timestamp(to_sdk(since));
        let mut iterator = self.logged(log, GET_ITERATOR, request.send()).await?.shard_iterator;
        for _ in 0..requests {
            // None is left at the end of a closed shard.
            let Some(place) = iterator else { break };
            let request = self.kinesis().get_records().stream_arn(arn).shard_iterator(place).limit(limit).customize();
            let request = request.config_override(self.records_config());
            let answer = self.logged(log, GET_RECORDS, request.send()).await?;
            let read_record = answer.records.into_iter().find_map(|record| read_record(record, shard, which, since));
            if read_record.is_some() {
                return Ok(read_record);
            }
            // At the tip; absent is taken for it, so that nothing is asked for ever.
            if answer.millis_behind_latest.unwrap_or_default() <= 0 {
                break;
            }
            iterator = answer.next_shard_iterator;
        }
        Ok(None)
    }
}

/// An open shard for any record; for the probe each one that has or had its key, since a stream may be resharded meanwhile.
fn is_wanted(shard: &sdk::Shard, which: ReadBack) -> bool {
    match which {
        // Kinesis API reference, SequenceNumberRange: open shards have no ending number.
        ReadBack::Any(_) => {
            shard.sequence_number_range.as_ref().is_none_or(|range| range.ending_sequence_number.is_none())
        }
        ReadBack::Probe(_) => shard.hash_key_range.as_ref().is_some_and(|range| {
            let bounds = (range.starting_hash_key.parse::<u128>(), range.ending_hash_key.parse::<u128>());
            matches!(bounds, (Ok(first), Ok(last)) if (first..=last).contains(&PROBE_HASH))
        }),
    }
}

/// What is kept of a record that `which` asks for; its payload ends here. Without a time of arrival it proves nothing.
fn read_record(record: sdk::Record, shard: &str, which: ReadBack, since: Timestamp) -> Option<ReadRecord> {
    let at = from_sdk(record.approximate_arrival_timestamp.as_ref()?)?;
    let encrypted = record.encryption_type == Some(sdk::EncryptionType::Kms);
    let probe = encrypted && record.partition_key.as_deref() == Some(PROBE_PARTITION_KEY);
    // Arrival has milliseconds, our times have more.
    let late_enough = at.as_millisecond() >= since.as_millisecond();
    let fits = probe || matches!(which, ReadBack::Any(_));
    (fits && late_enough).then(|| ReadRecord {
        shard_id: shard.to_owned(),
        sequence_number: record.sequence_number,
        encryption_type: record.encryption_type.map(|kind| kind.as_str().to_owned()),
        at,
    })
}

/// The SDK fills an absent number with 0, which no stream has: a new one keeps its records for 24 hours (Kinesis API
/// reference, CreateStream), and nothing sets less.
fn retention_hours(hours: i32) -> u32 {
    match hours {
        0 => 24,
        hours => u32::try_from(hours).unwrap_or_default(),
    }
}

fn status(status: &sdk::StreamStatus) -> StreamStatus {
    match status {
        sdk::StreamStatus::Creating => StreamStatus::Creating,
        sdk::StreamStatus::Active => StreamStatus::Active,
        sdk::StreamStatus::Updating => StreamStatus::Updating,
        sdk::StreamStatus::Deleting => StreamStatus::Deleting,
        other => StreamStatus::Unknown(EventText::new(other.as_str())),
    }
}
