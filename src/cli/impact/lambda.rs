//! Functions that Lambda invokes with the stream's records, and their roles.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::EventSourceMappingConfiguration;

use super::calls::{GET_FUNCTION, LIST_MAPPINGS};
use super::search::{Search, Searched, pages};
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const WHAT: &str = "Lambda event source mappings";

/// The role of each function that was asked about, or why it is not known.
type Roles = BTreeMap<String, Result<Option<String>, Failure>>;

/// Of the stream, and of each of its registered consumers. Of several streams the list of all mappings costs less, where it can be read
/// to its end.
pub(super) async fn search(search: &mut Search<'_>) {
    let client = Client::new(&search.context.sdk);
    let mut roles = Roles::new();
    if search.streams.len() > 1 {
        match mappings(&client, None).await {
            Ok((mappings, true)) => {
                for stream in &mut search.streams {
                    for mapping in &mappings {
                        let source = mapping.event_source_arn().unwrap_or_default();
                        if stream.arn.to_string() == source || stream.consumers.iter().any(|arn| arn == source) {
                            user(&client, &mut roles, stream, mapping).await;
                        }
                    }
                }
                return;
            }
            Ok((_, false)) => {}
            Err(failure) => return search.failed(WHAT, &failure),
        }
    }
    for stream in &mut search.streams {
        let sources: Vec<String> = std::iter::once(stream.arn.to_string()).chain(stream.consumers.clone()).collect();
        for source in sources {
            let (mappings, whole) = match mappings(&client, Some(&source)).await {
                Ok(read) => read,
                Err(failure) => {
                    stream.failed(WHAT, &failure);
                    break;
                }
            };
            for mapping in &mappings {
                user(&client, &mut roles, stream, mapping).await;
            }
            if !whole {
                stream.cut(WHAT);
            }
        }
    }
}

/// The mappings of a source, or all; and whether they were read to their end.
async fn mappings(
    client: &Client,
    source: Option<&str>,
) -> Result<(Vec<EventSourceMappingConfiguration>, bool), Failure> {
    let mut mappings = Vec::new();
    let whole = pages(async |token| {
        let request = client.list_event_source_mappings();
        let request = request.set_event_source_arn(source.map(str::to_owned)).set_marker(token);
        let page = logged(&CallLog::default(), LIST_MAPPINGS, request.send()).await?;
        mappings.extend(page.event_source_mappings().iter().cloned());
        Ok(page.next_marker)
    })
    .await?;
    Ok((mappings, whole))
}

/// The function that a mapping names; each is asked about once.
async fn user(client: &Client, roles: &mut Roles, stream: &mut Searched, mapping: &EventSourceMappingConfiguration) {
    let Some(function) = mapping.function_arn() else { return };
    if !roles.contains_key(function) {
        let request = client.get_function_configuration().function_name(function);
        // A function may be gone, and others are not.
        let answer = logged(&CallLog::default(), GET_FUNCTION, request.send()).await;
        roles.insert(function.to_owned(), answer.map(|answer| answer.role));
    }
    let role = match roles.get(function) {
        Some(Ok(role)) => role.clone(),
        Some(Err(failure)) => {
            stream.failed("roles of Lambda functions", failure);
            None
        }
        None => None,
    };
    let name = EventText::new(function.rsplit(":function:").next().unwrap_or(function));
    let state = mapping.state().map(|state| format!(" ({})", EventText::new(state))).unwrap_or_default();
    stream.configured(role.as_deref(), Side::Consumer, &format!("Lambda function {name}{state}"));
}
