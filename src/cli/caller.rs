//! Who calls: the account of the credentials, and whose ARN they are.

use std::time::Duration;

use aws_sdk_sts::operation::get_caller_identity::GetCallerIdentityOutput;
use aws_types::SdkConfig;
use tokio::time::timeout;

use super::output::Stop;
use crate::aws::logged;
use crate::domain::failure::Failure;
use crate::domain::runner::Runner;
use crate::ports::CallLog;

/// How long it is waited for who calls, where nothing else is asked of STS.
const CALLER_MAX: Duration = Duration::from_secs(2);

/// Whose the credentials are.
pub(crate) async fn identity(sdk: &SdkConfig) -> Result<GetCallerIdentityOutput, Failure> {
    let client = aws_sdk_sts::Client::new(sdk);
    logged(&CallLog::default(), "sts:GetCallerIdentity", client.get_caller_identity().send()).await
}

/// Who calls.
pub(super) struct Caller {
    pub(super) account: String,
    pub(super) arn: Option<String>,
}

/// A command's runner: its caller, where STS was asked.
pub(super) fn by(actor: Option<String>) -> Runner {
    Runner { actor, function: None }
}

/// Whose the credentials are: GetCallerIdentity, which needs no permission.
pub(super) async fn caller(sdk: &SdkConfig) -> Result<Caller, Stop> {
    let how = "or set the account with `--account` or ACCOUNT_ID";
    match identity(sdk).await {
        Ok(GetCallerIdentityOutput { account: Some(account), arn, .. }) => Ok(Caller { account, arn }),
        Ok(_) => Err(Stop::failure("sts:GetCallerIdentity returned no account").help(how)),
        Err(failure) => Err(Stop::call("the account cannot be determined", &failure, None, &[]).help(how)),
    }
}

/// The account and the ARN of who calls, as far as STS says so in a moment: nobody depends on it.
pub(super) async fn soon(sdk: &SdkConfig) -> (Option<String>, Option<String>) {
    let caller = timeout(CALLER_MAX, identity(sdk)).await.ok().and_then(Result::ok);
    caller.map(|caller| (caller.account, caller.arn)).unwrap_or_default()
}

/// Refuses credentials of another account than `account`: lists are of the account of the credentials, and of no other. Who calls;
/// `None` where STS cannot be asked, which the account may have been named for.
pub(super) async fn is_account_of(sdk: &SdkConfig, account: &str) -> Result<Option<Caller>, Stop> {
    match identity(sdk).await {
        Ok(GetCallerIdentityOutput { account: Some(is), .. }) if is != account => {
            let stop = Stop::usage(format!("the credentials belong to account {is}, not to {account}"));
            let how =
                format!("use `--profile` with a profile of account {account}, or remove `--account` and ACCOUNT_ID");
            Err(stop.help(how))
        }
        Ok(GetCallerIdentityOutput { account: Some(account), arn, .. }) => Ok(Some(Caller { account, arn })),
        Ok(_) | Err(_) => Ok(None),
    }
}
