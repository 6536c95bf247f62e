//! CloudWatch Logs: destinations, and the subscription of the whole account, that write to a stream.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::types::PolicyType;
use serde_json::Value;

use super::calls::{DESCRIBE_ACCOUNT_POLICIES, DESCRIBE_DESTINATIONS};
use super::search::Search;
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::text::EventText;
use crate::ports::CallLog;

const DESTINATIONS: &str = "CloudWatch Logs destinations";
const ACCOUNT: &str = "CloudWatch Logs account policies";

pub(super) async fn search(search: &mut Search<'_>) {
    let client = Client::new(&search.context.sdk);
    if let Err(failure) = destinations(&client, search).await {
        search.failed(DESTINATIONS, &failure);
    }
    if let Err(failure) = account_policies(&client, search).await {
        search.failed(ACCOUNT, &failure);
    }
}

async fn destinations(client: &Client, search: &mut Search<'_>) -> Result<(), Failure> {
    search
        .pages(DESTINATIONS, async |search, token| {
            let request = client.describe_destinations().set_next_token(token);
            let page = logged(&CallLog::default(), DESCRIBE_DESTINATIONS, request.send()).await?;
            for destination in page.destinations() {
                let name = EventText::new(destination.destination_name().unwrap_or_default());
                let how = format!("Logs destination {name}");
                let stream = destination.target_arn().unwrap_or_default();
                search.configured(stream, destination.role_arn(), Side::Producer, &how);
            }
            Ok(page.next_token)
        })
        .await
}

async fn account_policies(client: &Client, search: &mut Search<'_>) -> Result<(), Failure> {
    search
        .pages(ACCOUNT, async |search, token| {
            let request = client
                .describe_account_policies()
                .policy_type(PolicyType::SubscriptionFilterPolicy)
                .set_next_token(token);
            let page = logged(&CallLog::default(), DESCRIBE_ACCOUNT_POLICIES, request.send()).await?;
            for policy in page.account_policies() {
                let document: Value =
                    serde_json::from_str(policy.policy_document().unwrap_or_default()).unwrap_or_default();
                let text = |name: &str| document.get(name).and_then(Value::as_str);
                let how = format!("Logs account policy {}", EventText::new(policy.policy_name().unwrap_or_default()));
                search.configured(text("DestinationArn").unwrap_or_default(), text("RoleArn"), Side::Producer, &how);
            }
            Ok(page.next_token)
        })
        .await
}
