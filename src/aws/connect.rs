//! How clients reach AWS: timeouts, Region, credentials, endpoints.
//!
//! The function takes all of it from the environment, where Lambda puts it ([`function_config`]); the command line from wherever
//! the AWS CLI does (`sdk_config`). Nothing here sends a request.

use std::env::var;
use std::time::Duration;

#[cfg(feature = "cli")]
use aws_config::profile::ProfileFileCredentialsProvider;
#[cfg(feature = "cli")]
use aws_config::provider_config::ProviderConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{AppName, BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
#[cfg(feature = "cli")]
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::http::http;

/// In the user agent of every request, so that CloudTrail shows who called.
const APP_NAME: &str = "streamseal";

/// Until TCP stands. Endpoints are in the same Region, milliseconds away.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// One request with its answer, the connection and the credentials included. These calls take tens of milliseconds; what
/// takes five seconds will not come, and a lost answer costs one more observation.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer GetRecords may take: of a shard that was never written to it was seen to take 5.1 s.
const RECORDS_EXTRA: Duration = Duration::from_secs(3);
/// One operation with the SDK's retries, where they are on: room for two attempts and a pause, well below a function's
/// timeout.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(12);

/// How long to wait for answers.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// One request with its answer.
    pub attempt: Duration,
    /// One operation, with the SDK's retries where they are on.
    pub operation: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: CONNECT_TIMEOUT, attempt: ATTEMPT_TIMEOUT, operation: OPERATION_TIMEOUT }
    }
}

impl From<Timeouts> for TimeoutConfig {
    fn from(Timeouts { connect, attempt, operation }: Timeouts) -> Self {
        Self::builder().connect_timeout(connect).operation_attempt_timeout(attempt).operation_timeout(operation).build()
    }
}

/// The timeouts of a request for records, where `others` are those of the other requests.
pub(super) fn records_timeouts(others: Option<&TimeoutConfig>) -> TimeoutConfig {
    let others = others.cloned().unwrap_or_else(|| Timeouts::default().into());
    let attempt = others.operation_attempt_timeout().unwrap_or(ATTEMPT_TIMEOUT) + RECORDS_EXTRA;
    others.into_builder().operation_attempt_timeout(attempt).build()
}

/// The function's configuration of the SDK, from the variables that Lambda sets (Lambda developer guide, environment variables)
/// and those that any SDK knows (SDKs and tools reference guide): `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
/// `AWS_SESSION_TOKEN`, `AWS_USE_FIPS_ENDPOINT`, `AWS_USE_DUALSTACK_ENDPOINT`, `AWS_ENDPOINT_URL` and `AWS_ENDPOINT_URL_KINESIS`
/// (`_KMS`, `_SSM`, `_SQS`, `_EVENTBRIDGE`, `_CLOUDTRAIL`, `_RESOURCE_GROUPS_TAGGING_API`). No file is read. Credentials of a role end with the
/// environment that they came in, and so they are read once.
pub fn function_config() -> SdkConfig {
    let given = |name: &str| var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let on = |name: &str| given(name).map(|text| text.eq_ignore_ascii_case("true"));
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http(CONNECT_TIMEOUT))
        .timeout_config(Timeouts::default().into())
        .service_config(Environment)
        .region(given("AWS_REGION").map(Region::new));
    config.set_app_name(app_name());
    config.set_use_fips(on("AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(on("AWS_USE_DUALSTACK_ENDPOINT"));
    config.set_endpoint_url(given("AWS_ENDPOINT_URL"));
    if let (Some(id), Some(secret)) = (given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")) {
        let credentials = Credentials::new(id, secret, given("AWS_SESSION_TOKEN"), None, "Environment");
        config.set_credentials_provider(Some(SharedCredentialsProvider::new(credentials)));
    }
    config.build()
}

/// What is set for one service: the variable's name, `_`, and the service's id in capitals, with `_` for blanks and hyphens.
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_uppercase().replace([' ', '-'], "_");
        var(format!("{}_{service}", key.env())).ok().filter(|text| !text.is_empty())
    }
}

/// How to reach AWS from a command line. What is `None` comes from where every SDK takes it: the variables of
/// [`function_config`], `AWS_PROFILE` and the profile files.
#[cfg(feature = "cli")]
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The Region to call.
    pub region: Option<String>,
    /// The profile of `~/.aws/config`. Where it is named here its credentials are taken, as the AWS CLI does, and not the environment's.
    pub profile: Option<String>,
    /// One endpoint for every service; it goes before the environment's.
    pub endpoint: Option<String>,
    /// How long to wait for answers.
    pub timeouts: Timeouts,
}

/// A command line's configuration of the SDK. It reads environment and profile files; it uses the network only to find the
/// Region where neither names one. Credentials are fetched by the first request.
#[cfg(feature = "cli")]
pub async fn sdk_config(connection: &Connection) -> SdkConfig {
    let http = http(connection.timeouts.connect);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .timeout_config(connection.timeouts.into());
    if let Some(name) = app_name() {
        loader = loader.app_name(name);
    }
    if let Some(region) = &connection.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &connection.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &connection.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let config = loader.load().await;
    let Some(profile) = &connection.profile else { return config };
    let provider = ProviderConfig::without_region().with_region(config.region().cloned()).with_http_client(http);
    let provider = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&provider).build();
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

/// The names of the profiles in the files of the AWS CLI, in order. `Err`: why they cannot be read.
#[cfg(feature = "cli")]
pub(crate) async fn profiles() -> Result<Vec<String>, String> {
    let (fs, env) = (Fs::real(), Env::real());
    let found = aws_config::profile::load(&fs, &env, &Default::default(), None).await;
    let found = found.map_err(|error| error.to_string())?;
    let mut names: Vec<String> = found.profiles().map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}

/// The name is a constant of legal characters; without it requests are only harder to distinguish.
fn app_name() -> Option<AppName> {
    AppName::new(APP_NAME).ok()
}
