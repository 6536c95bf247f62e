//! Functions that Lambda invokes with the stream's records, and their roles.

use aws_sdk_lambda::Client;

use super::calls::{GET_FUNCTION, LIST_MAPPINGS};
use super::search::{Search, Searched, next, pages};
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const WHAT: &str = "Lambda event source mappings";

/// Of the stream, and of each of its registered consumers.
pub(super) async fn search(search: &mut Search<'_>) {
    let client = Client::new(&search.context.sdk);
    for stream in &mut search.streams {
        let sources: Vec<String> = std::iter::once(stream.arn.to_string()).chain(stream.consumers.clone()).collect();
        for source in sources {
            if let Err(failure) = mappings(&client, stream, &source).await {
                stream.failed(WHAT, &failure);
                break;
            }
        }
    }
}

async fn mappings(client: &Client, stream: &mut Searched, source: &str) -> Result<(), Failure> {
    let whole = pages(async |token| {
        let request = client.list_event_source_mappings().event_source_arn(source).set_marker(token);
        let page = logged(&CallLog::default(), LIST_MAPPINGS, request.send()).await?;
        for mapping in page.event_source_mappings() {
            let Some(function) = mapping.function_arn() else { continue };
            let request = client.get_function_configuration().function_name(function);
            // A function may be gone, and others are not.
            let answer = logged(&CallLog::default(), GET_FUNCTION, request.send()).await;
            let role = match &answer {
                Ok(answer) => answer.role(),
                Err(failure) => {
                    stream.failed("roles of Lambda functions", failure);
                    None
                }
            };
            let name = EventText::new(function.rsplit(":function:").next().unwrap_or(function));
            let state = mapping.state().map(|state| format!(" ({})", EventText::new(state))).unwrap_or_default();
            stream.configured(role, Side::Consumer, &format!("Lambda function {name}{state}"));
        }
        Ok(next(page.next_marker()))
    })
    .await?;
    if !whole {
        stream.cut(WHAT);
    }
    Ok(())
}
