//! The work queue behind [`WorkQueue`]. It only sends; Lambda receives and deletes.

use std::time::Duration;

use super::Aws;
use super::errors::failure;
use crate::domain::failure::Failure;
use crate::domain::work::Work;
use crate::ports::WorkQueue;

const SEND_MESSAGE: &str = "sqs:SendMessage";

/// The longest `DelaySeconds` (SQS API reference, SendMessage).
const DELAY_MAX_SECONDS: u64 = 900;

impl WorkQueue for Aws {
    fn has_queue(&self) -> bool {
        self.queue_url.is_some()
    }

    async fn send(&self, work: &Work, delay: Duration) -> Result<(), Failure> {
        let Some(url) = &self.queue_url else {
            return Err(Failure::retryable(SEND_MESSAGE, "NoQueue", "no work queue is configured"));
        };
        let request =
            self.sqs.send_message().queue_url(url).message_body(work.to_json()).delay_seconds(delay_seconds(delay));
        request.send().await.map_err(|error| failure(SEND_MESSAGE, &error))?;
        Ok(())
    }
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
