//! Roles in other accounts: their credentials, fetched anew before they expire.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use aws_types::SdkConfig;

use super::reach::RoleName;
use crate::aws::{Timeouts, logged};
use crate::domain::arn::Scope;
use crate::domain::failure::Failure;
use crate::ports::CallLog;

pub(super) const ASSUME_ROLE: &str = "sts:AssumeRole";

/// So often a request is sent that is throttled or not answered: many accounts ask at once.
const ATTEMPTS: u32 = 8;
/// How long the credentials may take, with all its attempts.
const LOAD_MAX: Duration = Duration::from_secs(120);

/// For so long a refusal answers for all streams that follow: each would otherwise have STS asked as often.
const REST: Duration = Duration::from_secs(30);

/// How many roles were assumed.
#[derive(Debug, Default)]
pub(super) struct Assumed(AtomicU64);

impl Assumed {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A role in one account.
#[derive(Debug)]
struct Role {
    client: aws_sdk_sts::Client,
    arn: String,
    external_id: Option<String>,
    /// Those that were fetched to try the role, until somebody asks.
    first: Mutex<Option<Credentials>>,
    /// When it could not be assumed any more, and why.
    refused: Mutex<Option<(Instant, Failure)>>,
    assumed: std::sync::Arc<Assumed>,
}

impl Role {
    async fn assume(&self) -> Result<Credentials, Failure> {
        self.assumed.0.fetch_add(1, Ordering::Relaxed);
        let request = self.client.assume_role().role_arn(&self.arn).role_session_name("streamseal-audit");
        let request = request.set_external_id(self.external_id.clone());
        let answer = logged(&CallLog::default(), ASSUME_ROLE, request.send()).await?;
        let given =
            answer.credentials.ok_or_else(|| Failure::retryable(ASSUME_ROLE, "Unreadable", "no credentials"))?;
        let expires = SystemTime::try_from(given.expiration).ok();
        let (id, secret, token) = (given.access_key_id, given.secret_access_key, given.session_token);
        Ok(Credentials::new(id, secret, Some(token), expires, "AssumeRole"))
    }

    async fn assume_again(&self) -> Result<Credentials, Failure> {
        let refused = self.refused.lock().ok().and_then(|refused| refused.clone());
        if let Some((at, failure)) = refused
            && at.elapsed() < REST
        {
            return Err(failure);
        }
        let assumed = self.assume().await;
        if let (Err(failure), Ok(mut refused)) = (&assumed, self.refused.lock()) {
            *refused = Some((Instant::now(), failure.clone()));
        }
        assumed
    }
}

impl ProvideCredentials for Role {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let first = self.first.lock().ok().and_then(|mut first| first.take());
        future::ProvideCredentials::new(async move {
            match first {
                Some(credentials) => Ok(credentials),
                None => self.assume_again().await.map_err(CredentialsError::provider_error),
            }
        })
    }
}

/// The configuration of clients in another account. The role is assumed here for the first time, so that why it cannot be is known.
pub(super) async fn in_account(
    base: &SdkConfig,
    own: &Scope,
    account: &str,
    role: &RoleName,
    assumed: &std::sync::Arc<Assumed>,
) -> Result<SdkConfig, Failure> {
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS);
    let timeouts = Timeouts { operation: LOAD_MAX, ..Timeouts::default() };
    let config = aws_sdk_sts::config::Builder::from(base).retry_config(retries).timeout_config(timeouts.into()).build();
    let role = Role {
        client: aws_sdk_sts::Client::from_conf(config),
        arn: role.arn(&own.partition, account),
        external_id: role.external_id.clone(),
        first: Mutex::default(),
        refused: Mutex::default(),
        assumed: std::sync::Arc::clone(assumed),
    };
    let credentials = role.assume().await?;
    if let Ok(mut first) = role.first.lock() {
        *first = Some(credentials);
    }
    // A cache of its own: it goes with the account.
    let cache = IdentityCache::lazy().load_timeout(LOAD_MAX).build();
    let provider = SharedCredentialsProvider::new(role);
    Ok(base.to_builder().credentials_provider(provider).identity_cache(cache).build())
}
