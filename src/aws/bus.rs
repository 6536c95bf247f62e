//! The event bus behind [`ResultBus`]: PutEvents, one request a call. It sends what it is given and reads the answer entry by
//! entry, since a request that succeeds may hold entries that did not.

use aws_sdk_eventbridge::types::{PutEventsRequestEntry, PutEventsResultEntry};

use super::errors::unreadable;
use super::{Aws, to_sdk};
use crate::domain::bus::{ResultEvent, SOURCE};
use crate::domain::codes::{PUT_EVENTS, of_entry};
use crate::domain::failure::Failure;
use crate::ports::ResultBus;

impl ResultBus for Aws {
    async fn put_results(&self, entries: &[ResultEvent]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let Some(bus) = &self.bus else {
            return Err(Failure::retryable(PUT_EVENTS, "NoBus", "no bus is configured"));
        };
        let entry = |event: &ResultEvent| {
            PutEventsRequestEntry::builder()
                .event_bus_name(&bus.name)
                .source(SOURCE)
                .detail_type(event.detail_type)
                .time(to_sdk(event.time))
                .set_resources(event.resource.clone().map(|resource| vec![resource]))
                .detail(&event.detail)
                .build()
        };
        let request = self.events(bus).put_events().set_entries(Some(entries.iter().map(entry).collect()));
        let answer = request.send().await.map_err(|error| self.failure(PUT_EVENTS, &error))?;
        // An answer that leaves an entry out says nothing of it.
        let answers = answer.entries.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat(None));
        Ok(entries.iter().zip(answers).map(|(_, answer)| of_answer(answer)).collect())
    }
}

/// An entry that was taken has an id and no error (EventBridge API reference, PutEventsResultEntry).
fn of_answer(answer: Option<PutEventsResultEntry>) -> Result<(), Failure> {
    match answer {
        Some(PutEventsResultEntry { error_code: Some(code), error_message, .. }) => {
            Err(of_entry(PUT_EVENTS, &code, error_message.as_deref().unwrap_or_default()))
        }
        Some(PutEventsResultEntry { event_id: Some(_), .. }) => Ok(()),
        _ => Err(unreadable(PUT_EVENTS, "an entry has neither an id nor an error")),
    }
}
