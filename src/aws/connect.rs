//! How the function's clients reach AWS: timeouts, Region, credentials, endpoints, all from the environment, where Lambda puts it. Nothing
//! here sends a request. The command line's are in `cli/connect.rs`.

use std::env::var;
use std::time::Duration;

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{AppName, BehaviorVersion, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

use super::connections::Connections;

/// In the user agent of every request, so that CloudTrail shows who called.
const APP_NAME: &str = "streamseal";

/// Until TCP stands. Endpoints are in the same Region, milliseconds away.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a connection that nobody uses is kept. A function is frozen between invocations, for minutes; what lies between it and AWS
/// forgets a connection that is silent for so long without a word, and a request on it waits for its timeout.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// How many of them for each host.
const IDLE_MAX: usize = 4;
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
/// (`_KMS`, `_SSM`, `_SQS`, `_EVENTBRIDGE`, `_CLOUDTRAIL`, `_RESOURCE_GROUPS_TAGGING_API`). No file is read, no proxy is used. Credentials of
/// a role end with the process that they were given to: see [`Credentials`](crate::ports::Credentials).
pub async fn function_config() -> SdkConfig {
    let given = |name: &str| var(name).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let on = |name: &str| given(name).map(|text| text.eq_ignore_ascii_case("true"));
    let connections =
        Connections { connect: CONNECT_TIMEOUT, idle: IDLE_TIMEOUT, idle_max: IDLE_MAX, proxies: false, trust: None };
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(connections.client())
        .timeout_config(Timeouts::default().into())
        .service_config(Environment)
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()));
    config.set_app_name(app_name());
    config.set_use_fips(on("AWS_USE_FIPS_ENDPOINT"));
    config.set_use_dual_stack(on("AWS_USE_DUALSTACK_ENDPOINT"));
    config.set_endpoint_url(given("AWS_ENDPOINT_URL"));
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

/// The name is a constant of legal characters; without it requests are only harder to distinguish.
pub(crate) fn app_name() -> Option<AppName> {
    AppName::new(APP_NAME).ok()
}
