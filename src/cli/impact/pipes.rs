//! EventBridge Pipes that read from a stream or write to one.

use aws_sdk_pipes::Client;

use super::calls::{DESCRIBE_PIPE, LIST_PIPES};
use super::search::Search;
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const WHAT: &str = "EventBridge Pipes";

/// Of one stream its pipes are asked for; of several the list of all pipes costs less.
pub(super) async fn search(search: &mut Search<'_>) {
    let filters = match search.streams.as_slice() {
        [one] => vec![(Some(one.arn.to_string()), None), (None, Some(one.arn.to_string()))],
        _ => vec![(None, None)],
    };
    for (source, target) in filters {
        if let Err(failure) = pipes(search, source, target).await {
            return search.failed(WHAT, &failure);
        }
    }
}

async fn pipes(search: &mut Search<'_>, source: Option<String>, target: Option<String>) -> Result<(), Failure> {
    let client = Client::new(&search.context.sdk);
    search
        .pages(WHAT, async |search, token| {
            let request = client
                .list_pipes()
                .set_source_prefix(source.clone())
                .set_target_prefix(target.clone())
                .set_next_token(token);
            let page = logged(&CallLog::default(), LIST_PIPES, request.send()).await?;
            for pipe in page.pipes() {
                // A prefix is also one of the ARN of a stream with a longer name.
                let of = |arn: Option<&str>, wanted: bool| arn.filter(|_| wanted).map(str::to_owned);
                let sides = [
                    (of(pipe.source(), target.is_none()), Side::Consumer),
                    (of(pipe.target(), source.is_none()), Side::Producer),
                ];
                let sides: Vec<(String, Side)> = sides
                    .into_iter()
                    .filter_map(|(arn, side)| Some((arn.filter(|arn| search.stream(arn).is_some())?, side)))
                    .collect();
                if sides.is_empty() {
                    continue;
                }
                let name = pipe.name().unwrap_or_default();
                let request = client.describe_pipe().name(name);
                let answer = logged(&CallLog::default(), DESCRIBE_PIPE, request.send()).await?;
                for (arn, side) in sides {
                    search.configured(&arn, answer.role_arn(), side, &format!("pipe {}", EventText::new(name)));
                }
            }
            Ok(page.next_token)
        })
        .await
}
