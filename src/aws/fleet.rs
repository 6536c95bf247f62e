//! All streams of the account and Region behind [`FleetApi`]: their names page by page, and their tags a hundred at a time.
//!
//! It reads only. A page is one request; which page is next, and what a token that went out of date means, is the caller's.

use std::collections::BTreeMap;

use super::Aws;
use super::errors::unreadable;
use crate::domain::arn::{StreamArn, StreamName};
use crate::domain::failure::Failure;
use crate::domain::model::Tags;
use crate::domain::text::EventText;
use crate::ports::{CallLog, FleetApi, Page, PageStart};

const LIST_STREAMS: &str = "kinesis:ListStreams";
/// As IAM writes it; the service calls itself `resourcegroupstaggingapi`.
const GET_RESOURCES: &str = "tag:GetResources";

/// The largest page of ListStreams (Kinesis API reference).
const STREAMS_PER_PAGE: i32 = 100;

impl FleetApi for Aws {
    async fn list(&self, from: &PageStart, log: &CallLog) -> Result<Page, Failure> {
        let request = self.kinesis().list_streams().limit(STREAMS_PER_PAGE);
        let request = match from {
            PageStart::Beginning => request,
            PageStart::After(name) => request.exclusive_start_stream_name(name.as_str()),
            PageStart::Token(token) => request.next_token(token),
        };
        // Of the answer only the names are used: `StreamSummaries` is optional in the API's model.
        let answer = self.logged(log, LIST_STREAMS, request.send()).await?;
        let names = answer.stream_names.iter().map(|name| {
            StreamName::parse(name)
                .ok_or_else(|| unreadable(LIST_STREAMS, &format!("not a stream's name: `{}`", EventText::new(name))))
        });
        let names = names.collect::<Result<Vec<_>, _>>()?;
        let token = answer.next_token.filter(|token| !token.is_empty());
        let next = match (token, names.last()) {
            (None, _) if !answer.has_more_streams => None,
            // It says that there are more and shows none: a list that never ends.
            (_, None) => return Err(unreadable(LIST_STREAMS, "more streams are promised and none is named")),
            (Some(token), Some(_)) => Some(PageStart::Token(token)),
            (None, Some(last)) => Some(PageStart::After(last.clone())),
        };
        Ok(Page { names, next })
    }

    async fn tags_of(&self, streams: &[StreamArn], log: &CallLog) -> Result<BTreeMap<StreamName, Tags>, Failure> {
        let asked: BTreeMap<String, &StreamName> =
            streams.iter().map(|stream| (stream.to_string(), &stream.name)).collect();
        if asked.is_empty() {
            // Without ARNs the request would mean every resource of the account.
            return Ok(BTreeMap::new());
        }
        // Nothing beside the ARNs: filters and pages are refused together with them (tagging API reference, GetResources).
        let request = self.tagging().get_resources().set_resource_arn_list(Some(asked.keys().cloned().collect()));
        let answer = self.logged(log, GET_RESOURCES, request.send()).await?;
        // No second page can be asked for, and half of the tags could mean another rule.
        if answer.pagination_token.is_some_and(|token| !token.is_empty()) {
            return Err(unreadable(GET_RESOURCES, "the answer was cut"));
        }
        let mut found: BTreeMap<StreamName, Tags> = BTreeMap::new();
        for resource in answer.resource_tag_mapping_list.unwrap_or_default() {
            let Some(name) = resource.resource_arn.as_ref().and_then(|arn| asked.get(arn)) else { continue };
            let tags = resource.tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value));
            found.entry((*name).clone()).or_default().extend(tags);
        }
        Ok(found)
    }
}
