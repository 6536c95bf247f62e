//! Delivery streams of Firehose that read from a stream. One list for all streams.

use aws_sdk_firehose::Client;
use aws_sdk_firehose::types::DeliveryStreamType;

use super::calls::{DESCRIBE_DELIVERY_STREAM, LIST_DELIVERY_STREAMS};
use super::search::Search;
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const WHAT: &str = "Firehose";

pub(super) async fn search(search: &mut Search<'_>) {
    if let Err(failure) = delivery_streams(search).await {
        search.failed(WHAT, &failure);
    }
}

async fn delivery_streams(search: &mut Search<'_>) -> Result<(), Failure> {
    let client = Client::new(&search.context.sdk);
    search
        .pages(WHAT, async |search, after| {
            let request = client
                .list_delivery_streams()
                .delivery_stream_type(DeliveryStreamType::KinesisStreamAsSource)
                .set_exclusive_start_delivery_stream_name(after);
            let page = logged(&CallLog::default(), LIST_DELIVERY_STREAMS, request.send()).await?;
            for name in page.delivery_stream_names() {
                let request = client.describe_delivery_stream().delivery_stream_name(name);
                let answer = logged(&CallLog::default(), DESCRIBE_DELIVERY_STREAM, request.send()).await?;
                let source = answer.delivery_stream_description().and_then(|of| of.source());
                let source = source.and_then(|source| source.kinesis_stream_source_description());
                if let Some(source) = source {
                    let how = format!("Firehose {}", EventText::new(name));
                    let stream = source.kinesis_stream_arn().unwrap_or_default();
                    search.configured(stream, source.role_arn(), Side::Consumer, &how);
                }
            }
            Ok(page.delivery_stream_names().last().cloned().filter(|_| page.has_more_delivery_streams()))
        })
        .await
}
