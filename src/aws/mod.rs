//! The adapters: [`Aws`] implements the ports with the AWS SDK, and SDK types stop here.
//!
//! They send what they are asked to send and report what came back; nothing here decides, and nothing here repeats a
//! request to Kinesis or KMS that was answered, or that writes. One call of a port is one request (one a page, for lists), so that the loop owns
//! every retry and the call log counts what was on the wire. Only where a request that is sent twice does no harm (tagging, CloudTrail, CloudWatch, SSM,
//! SQS, EventBridge, any read whose connection broke) it is sent again here; the log then has one call, as it ended.

mod bus;
mod connect;
mod connections;
mod errors;
mod fleet;
mod kinesis;
mod kms;
mod log;
mod sqs;
mod ssm;
mod traffic;
mod trail;

use std::error::Error;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_sdk_kinesis::config::Region;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::primitives::DateTime;
use aws_types::SdkConfig;
use jiff::Timestamp;
use tokio::time::Instant;

use self::connect::CONNECT_TIMEOUT;
#[cfg(feature = "cli")]
pub(crate) use self::connect::{IDLE_TIMEOUT, app_name};
pub use self::connect::{Timeouts, function_config};
pub use self::connections::Connections;
#[cfg(feature = "cli")]
pub(crate) use self::connections::trust_in;
use crate::domain::arn::Scope;
use crate::domain::bus::Bus;
use crate::domain::call::Call;
use crate::domain::evidence::digest::LastDigest;
use crate::domain::failure::{Class, Failure};
use crate::domain::text::EventText;
use crate::ports::{CallLog, Clock, Credentials};

/// For what is sent at the end of an invocation, in the 10 s that the handler keeps for it.
const SEND_TIMEOUTS: Timeouts =
    Timeouts { connect: CONNECT_TIMEOUT, attempt: Duration::from_millis(2500), operation: Duration::from_secs(8) };
/// For SSM, SQS, EventBridge, tagging, CloudTrail and CloudWatch, where a request that is sent twice does no harm: the SDK's standard retries, three
/// attempts in all.
const ATTEMPTS: u32 = 3;

/// The URLs of the queues, where there are any.
#[derive(Clone, Debug, Default)]
pub struct Queues {
    /// Where unfinished work goes.
    pub work: Option<String>,
    /// The FIFO queue where scans run one at a time.
    pub scans: Option<String>,
}

/// AWS, as the ports see it. Built once; cloning and building cost no request.
#[derive(Clone, Debug)]
pub struct Aws {
    scope: Scope,
    queues: Queues,
    package: PathBuf,
    clients: Arc<Clients>,
    bus: Option<Bus>,
    reported: Arc<Mutex<LastDigest>>,
}

/// Each is built on first use: a cold start waits for each that is built, and no invocation needs all.
#[derive(Debug)]
struct Clients {
    sdk: SdkConfig,
    began: Instant,
    expired: AtomicBool,
    kinesis: OnceLock<aws_sdk_kinesis::Client>,
    kms: OnceLock<aws_sdk_kms::Client>,
    ssm: OnceLock<aws_sdk_ssm::Client>,
    sqs: OnceLock<aws_sdk_sqs::Client>,
    tagging: OnceLock<aws_sdk_resourcegroupstagging::Client>,
    trail: OnceLock<aws_sdk_cloudtrail::Client>,
    metrics: OnceLock<aws_sdk_cloudwatch::Client>,
    bus: OnceLock<aws_sdk_eventbridge::Client>,
}

/// The client of a service, made when it is first asked for.
macro_rules! client {
    ($name:ident, $service:ident, $retries:expr) => {
        fn $name(&self) -> &$service::Client {
            self.clients.$name.get_or_init(|| {
                let config = $service::config::Builder::from(&self.clients.sdk).retry_config($retries);
                $service::Client::from_conf(config.build())
            })
        }
    };
}

impl Aws {
    /// `scope` is the account and Region of the streams, and `sdk` has to be of the same Region.
    pub fn new(sdk: &SdkConfig, scope: Scope, queues: Queues) -> Self {
        let clients = Clients {
            sdk: sdk.clone(),
            began: Instant::now(),
            expired: AtomicBool::new(false),
            kinesis: OnceLock::new(),
            kms: OnceLock::new(),
            ssm: OnceLock::new(),
            sqs: OnceLock::new(),
            tagging: OnceLock::new(),
            trail: OnceLock::new(),
            metrics: OnceLock::new(),
            bus: OnceLock::new(),
        };
        Self {
            scope,
            queues,
            // Where Lambda unpacks the function's package (Lambda developer guide, environment variables).
            package: std::env::var_os("LAMBDA_TASK_ROOT").map(PathBuf::from).unwrap_or_default(),
            clients: Arc::new(clients),
            bus: None,
            reported: Arc::default(),
        }
    }

    /// The same, with a bus for results.
    pub fn with_bus(self, bus: Option<Bus>) -> Self {
        Self { bus, ..self }
    }

    // INVARIANT: no write to Kinesis is repeated here. A second StartStreamEncryption could spend another of the
    // stream's 25 changes, a second PutRecord writes a second record.
    client!(kinesis, aws_sdk_kinesis, RetryConfig::disabled());
    client!(kms, aws_sdk_kms, RetryConfig::disabled());
    client!(ssm, aws_sdk_ssm, three_tries());
    client!(tagging, aws_sdk_resourcegroupstagging, three_tries());
    client!(trail, aws_sdk_cloudtrail, three_tries());
    client!(metrics, aws_sdk_cloudwatch, three_tries());

    fn sqs(&self) -> &aws_sdk_sqs::Client {
        self.clients.sqs.get_or_init(|| {
            let config = aws_sdk_sqs::config::Builder::from(&self.clients.sdk).retry_config(three_tries());
            aws_sdk_sqs::Client::from_conf(config.timeout_config(SEND_TIMEOUTS.into()).build())
        })
    }

    /// In the bus's own Region: another Region's EventBridge does not know it.
    fn events(&self, bus: &Bus) -> &aws_sdk_eventbridge::Client {
        self.clients.bus.get_or_init(|| {
            let sdk = &self.clients.sdk;
            let config = aws_sdk_eventbridge::config::Builder::from(sdk)
                .retry_config(three_tries())
                .timeout_config(SEND_TIMEOUTS.into());
            let region = bus.region.clone().map(Region::new).or_else(|| sdk.region().cloned());
            aws_sdk_eventbridge::Client::from_conf(config.region(region).build())
        })
    }
}

fn three_tries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS)
}

impl Clock for Aws {
    fn now(&self) -> Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.clients.began.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

impl Credentials for Aws {
    fn have_expired(&self) -> bool {
        self.clients.expired.load(Ordering::Relaxed)
    }
}

impl Aws {
    /// [`logged`], for a request of these clients.
    async fn logged<T, E>(
        &self,
        log: &CallLog,
        call: &'static str,
        request: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Failure>
    where
        T: RequestId,
        E: ProvideErrorMetadata + Error + 'static,
    {
        logged(log, call, request).await.map_err(|failure| self.noticed(failure))
    }

    /// The failure of a request that is in no log.
    fn failure<E>(&self, call: &'static str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.noticed(errors::failure(call, error))
    }

    fn noticed(&self, failure: Failure) -> Failure {
        if failure.class == Class::Expired {
            self.clients.expired.store(true, Ordering::Relaxed);
        }
        failure
    }
}

/// Sends one request and writes it into the log. A request that surely never left (no connection, nothing to send) is a
/// failure and no call.
pub(crate) async fn logged<T, E>(
    log: &CallLog,
    call: &'static str,
    request: impl Future<Output = Result<T, SdkError<E>>>,
) -> Result<T, Failure>
where
    T: RequestId,
    E: ProvideErrorMetadata + Error + 'static,
{
    let at = now();
    let started = Instant::now();
    let result = request.await;
    let duration = started.elapsed();
    let (sent, request_id, result) = match result {
        Ok(answer) => (true, answer.request_id().map(str::to_owned), Ok(answer)),
        Err(error) => {
            (errors::was_sent(&error), error.request_id().map(str::to_owned), Err(errors::failure(call, &error)))
        }
    };
    if sent {
        let error = result.as_ref().err().cloned();
        // A header of the answer, hence text from outside.
        let request_id = request_id.map(|id| EventText::new(&id).as_str().to_owned());
        log.push(Call { call, at, duration, request_id, error });
    }
    result
}

/// Now, to the millisecond: no service reports finer times, and people read these.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A time from the SDK, to the nearest millisecond: the services keep no more, and their JSON carries it as a fraction
/// of seconds whose nanoseconds are noise. `None` beyond the years that can be determined.
fn from_sdk(at: &DateTime) -> Option<Timestamp> {
    let millis = (at.as_nanos() + 500_000).div_euclid(1_000_000);
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
}

/// A time for the SDK, cut to the millisecond.
fn to_sdk(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_milliseconds() {
        let at: Timestamp = "2026-08-07T12:00:00.123Z".parse().unwrap();
        assert_eq!(from_sdk(&to_sdk(at)), Some(at));
        // As the SDK reads 1786104000.123 from JSON.
        assert_eq!(from_sdk(&DateTime::from_secs_f64(1_786_104_000.123)), Some(at));
        assert_eq!(from_sdk(&DateTime::from_secs(i64::MAX)), None);
        let finer: Timestamp = "2026-08-07T12:00:00.123999Z".parse().unwrap();
        assert_eq!(from_sdk(&to_sdk(finer)), Some(at));
    }
}
