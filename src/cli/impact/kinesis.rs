//! What Kinesis itself knows of a stream's users: registered consumers, resource policies, channels.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::StreamFilter;

use super::calls::{DESCRIBE_CHANNEL, LIST_CHANNELS};
use super::search::{Search, Searched, pages};
use crate::aws::logged;
use crate::domain::access::document::Document;
use crate::domain::access::principal::Principal;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::{Finding, Side, Tier, Who};
use crate::domain::impact::permitted::{READS, WRITES};
use crate::domain::impact::report::NotChecked;
use crate::domain::text::EventText;
use crate::ports::{CallLog, Consumer, TrafficApi};

const CONSUMERS: &str = "registered consumers";
const POLICIES: &str = "resource policies";
const CHANNELS: &str = "channels";

pub(super) async fn search(search: &mut Search<'_>) {
    let client = Client::new(&search.context.sdk);
    let aws = &search.context.aws;
    for stream in &mut search.streams {
        let consumers = aws.consumers(&stream.arn, &CallLog::default()).await.unwrap_or_else(|failure| {
            stream.failed(CONSUMERS, &failure);
            Vec::new()
        });
        for Consumer { name, arn } in consumers {
            // Nothing says whose credentials it reads with.
            let name = EventText::new(&format!("registered consumer {name}"));
            stream.findings.push(Finding::new(Who::Unnamed(name), Side::Consumer, Tier::Configured, CONSUMERS));
            stream.consumers.push(arn);
        }
        for arn in [stream.arn.to_string()].into_iter().chain(stream.consumers.clone()) {
            match aws.resource_policy(&arn, &CallLog::default()).await {
                Ok(Some(text)) => resource_policy(stream, &arn, &text),
                Ok(None) => {}
                Err(failure) => stream.failed(POLICIES, &failure),
            }
        }
        if let Err(failure) = channels(&client, stream).await {
            stream.failed(CHANNELS, &failure);
        }
    }
}

/// Who is let in by a policy of the stream or a consumer.
fn resource_policy(stream: &mut Searched, arn: &str, text: &str) {
    let of = if arn == stream.arn.to_string() { "the stream" } else { "a consumer" };
    let document = Document::read(text);
    if document.is_unreadable() {
        let why = format!("the resource policy of {of} cannot be read");
        return stream.not_checked.push(NotChecked { what: POLICIES.to_owned(), why });
    }
    for (actions, side) in [(&WRITES, Side::Producer), (&READS, Side::Consumer)] {
        for (named, _) in document.let_in(actions) {
            let how = format!("resource policy of {of}");
            let who = match named.as_deref() {
                Some("*") => Who::Everybody,
                Some(text) => match Principal::parse(text) {
                    Some(principal) => Who::Principal(principal),
                    None if text.starts_with("AROA") || text.starts_with("AIDA") => {
                        let gone = EventText::new(text);
                        stream
                            .notes
                            .push(format!("the {how} names {gone}, which was deleted: nobody has access by it"));
                        continue;
                    }
                    None => Who::Unnamed(EventText::new(text)),
                },
                None => Who::Unnamed(EventText::new("a principal that cannot be read")),
            };
            stream.findings.push(Finding::new(who, side, Tier::Configured, how));
        }
    }
    stream.notes.dedup();
}

async fn channels(client: &Client, stream: &mut Searched) -> Result<(), Failure> {
    let Ok(filter) = StreamFilter::builder().stream_arn(stream.arn.to_string()).build() else { return Ok(()) };
    let whole = pages(async |token| {
        let request = client.list_channels().stream_filter(filter.clone()).set_next_token(token);
        let page = logged(&CallLog::default(), LIST_CHANNELS, request.send()).await?;
        for channel in page.channel_summaries() {
            let request = client.describe_channel().channel_arn(channel.channel_arn());
            let answer = logged(&CallLog::default(), DESCRIBE_CHANNEL, request.send()).await?;
            let role = answer.channel_description().map(|of| of.service_execution_role_arn().to_owned());
            let how = format!("channel {}", EventText::new(channel.channel_name()));
            stream.configured(role.as_deref(), Side::Consumer, &how);
        }
        Ok(page.next_token)
    })
    .await?;
    if !whole {
        stream.cut(CHANNELS);
    }
    Ok(())
}
