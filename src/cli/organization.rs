//! Which accounts an organization has.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_organizations::types::AccountState;
use aws_types::SdkConfig;

use super::pages;
use crate::aws::{Timeouts, logged};
use crate::domain::arn::Scope;
use crate::domain::failure::Failure;
use crate::ports::CallLog;

pub(crate) const LIST_ACCOUNTS: &str = "organizations:ListAccounts";

/// So often a request is sent that is throttled or not answered.
const ATTEMPTS: u32 = 8;
/// How long it may take with all of them.
const OPERATION_MAX: Duration = Duration::from_secs(120);

/// The accounts that can have streams, in their order: those that are suspended or closed have none.
pub(crate) async fn accounts(base: &SdkConfig) -> Result<Vec<String>, Failure> {
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
    let timeouts = Timeouts { operation: OPERATION_MAX, ..Timeouts::default() };
    let config =
        aws_sdk_organizations::config::Builder::from(base).retry_config(retries).timeout_config(timeouts.into());
    let client = aws_sdk_organizations::Client::from_conf(config.build());
    let mut accounts = Vec::new();
    pages::all(async |token| {
        let request = client.list_accounts().set_next_token(token);
        let answer = logged(&CallLog::default(), LIST_ACCOUNTS, request.send()).await?;
        for account in answer.accounts.unwrap_or_default() {
            let is_active = match &account.state {
                Some(state) => *state == AccountState::Active,
                // The older field, where there is no other.
                None => account.status.as_ref().is_none_or(|status| status.as_str() == "ACTIVE"),
            };
            accounts.extend(account.id.filter(|id| is_active && Scope::is_account(id)));
        }
        Ok(answer.next_token)
    })
    .await?;
    accounts.sort_unstable();
    Ok(accounts)
}
