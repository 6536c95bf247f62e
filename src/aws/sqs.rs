//! The work queue and the queue of scans behind [`WorkQueue`]. It only sends; Lambda receives and deletes.

use std::time::Duration;

use aws_sdk_sqs::operation::send_message::builders::SendMessageFluentBuilder;

use super::Aws;
use crate::domain::failure::Failure;
use crate::domain::hash::hex;
use crate::domain::scan::Scan;
use crate::domain::scan::window::Entry;
use crate::domain::work::Work;
use crate::ports::WorkQueue;

const SEND_MESSAGE: &str = "sqs:SendMessage";

/// The longest `DelaySeconds` (SQS API reference, SendMessage).
const DELAY_MAX_SECONDS: u64 = 900;

impl WorkQueue for Aws {
    fn has_queue(&self) -> bool {
        self.queues.work.is_some()
    }

    async fn send(&self, work: &Work, delay: Duration) -> Result<(), Failure> {
        self.send_later(work.to_json(), delay).await
    }

    fn has_scan_queue(&self) -> bool {
        self.queues.scans.is_some()
    }

    async fn send_scan(&self, scan: &Scan, entry: Entry) -> Result<(), Failure> {
        // No delay: FIFO queues take none for a single message (SQS API reference, SendMessage).
        let message = self
            .message(self.queues.scans.as_deref(), scan.to_json())?
            // Messages of one group are handed out one at a time, in order (SQS developer guide, FIFO queues).
            .message_group_id(scan.subject.group().as_str())
            .message_deduplication_id(part_id(scan, entry));
        self.posted(message).await
    }

    async fn defer_scan(&self, scan: &Scan, delay: Duration) -> Result<(), Failure> {
        self.send_later(scan.to_json(), delay).await
    }
}

impl Aws {
    /// Through the work queue, so that it arrives after `delay`.
    async fn send_later(&self, body: String, delay: Duration) -> Result<(), Failure> {
        self.posted(self.message(self.queues.work.as_deref(), body)?.delay_seconds(delay_seconds(delay))).await
    }

    fn message(&self, url: Option<&str>, body: String) -> Result<SendMessageFluentBuilder, Failure> {
        let url = url.ok_or_else(|| Failure::retryable(SEND_MESSAGE, "NoQueue", "no such queue is configured"))?;
        Ok(self.sqs().send_message().queue_url(url).message_body(body))
    }

    async fn posted(&self, message: SendMessageFluentBuilder) -> Result<(), Failure> {
        message.send().await.map_err(|error| self.failure(SEND_MESSAGE, &error))?;
        Ok(())
    }
}

/// Names one part of one scan, whatever it counted: a part that is done twice sends the next one twice. A digest, since an id
/// of SQS has at most 128 characters, and not every character is legal in it (SQS API reference, SendMessage).
///
/// SQS drops a second message with this id for 5 minutes, even when the first was received and deleted (SQS developer guide,
/// FIFO deduplication): a part that comes back sooner has to come with another number.
fn part_id(scan: &Scan, entry: Entry) -> String {
    hex(&format!("{} {} {}", entry.as_str(), scan.parts, scan.id))
}

/// Whole seconds, rounded up so that no message is early, at most [`DELAY_MAX_SECONDS`].
fn delay_seconds(delay: Duration) -> i32 {
    let seconds = delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0));
    i32::try_from(seconds.min(DELAY_MAX_SECONDS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_rounded_up_and_bounded() {
        for (delay, seconds) in
            [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (900_000, 900), (900_001, 900), (u64::MAX, 900)]
        {
            assert_eq!(delay_seconds(Duration::from_millis(delay)), seconds, "{delay} ms");
        }
        assert_eq!(delay_seconds(Duration::MAX), 900);
    }
}
