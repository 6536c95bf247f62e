//! EventBridge rules, on every bus, whose targets are a stream.

use aws_sdk_eventbridge::Client;

use super::calls::{LIST_BUSES, LIST_RULE_NAMES, LIST_TARGETS};
use super::search::Search;
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const WHAT: &str = "EventBridge rules";

pub(super) async fn search(search: &mut Search<'_>) {
    let client = Client::new(&search.context.sdk);
    let buses = match buses(&client, search).await {
        Ok(buses) => buses,
        Err(failure) => return search.failed(WHAT, &failure),
    };
    let streams: Vec<String> = search.streams.iter().map(|stream| stream.arn.to_string()).collect();
    for bus in &buses {
        for stream in &streams {
            if let Err(failure) = rules(&client, search, bus, stream).await {
                return search.failed(WHAT, &failure);
            }
        }
    }
}

async fn buses(client: &Client, search: &mut Search<'_>) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    search
        .pages(WHAT, async |_, token| {
            let request = client.list_event_buses().set_next_token(token);
            let page = logged(&CallLog::default(), LIST_BUSES, request.send()).await?;
            names.extend(page.event_buses().iter().filter_map(|bus| bus.name()).map(str::to_owned));
            Ok(page.next_token)
        })
        .await?;
    Ok(names)
}

async fn rules(client: &Client, search: &mut Search<'_>, bus: &str, stream: &str) -> Result<(), Failure> {
    search
        .pages(WHAT, async |search, token| {
            let request =
                client.list_rule_names_by_target().target_arn(stream).event_bus_name(bus).set_next_token(token);
            let page = logged(&CallLog::default(), LIST_RULE_NAMES, request.send()).await?;
            for rule in page.rule_names() {
                targets(client, search, bus, rule, stream).await?;
            }
            Ok(page.next_token)
        })
        .await
}

async fn targets(client: &Client, search: &mut Search<'_>, bus: &str, rule: &str, stream: &str) -> Result<(), Failure> {
    search
        .pages(WHAT, async |search, token| {
            let request = client.list_targets_by_rule().rule(rule).event_bus_name(bus).set_next_token(token);
            let page = logged(&CallLog::default(), LIST_TARGETS, request.send()).await?;
            for target in page.targets().iter().filter(|target| target.arn() == stream) {
                let how = format!("EventBridge rule {} on {}", EventText::new(rule), EventText::new(bus));
                search.configured(stream, target.role_arn(), Side::Producer, &how);
            }
            Ok(page.next_token)
        })
        .await
}
