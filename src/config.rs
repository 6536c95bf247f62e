//! The function's configuration, read from variables once and as a whole: every fault is named, none hides another.
//!
//! Pure: the variables come through a function, so that nothing here reads the environment.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::arn::{Arn, Scope};
use crate::domain::bus::Bus;
use crate::domain::model::Mode;
use crate::domain::runner::{Function, Runner};
use crate::domain::scan::tally::CHANGES_MAX;

/// Instances that may share one observation a second: beyond it each would wait for minutes, and no run could end.
const SHARERS_MAX: u32 = 10;

/// How the place of a policy is written.
const POLICY_FORMS: &str = "`file:PATH`, `ssm:NAME` or `inline:TEXT`";

/// Where a text lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, relative to the function's package.
    File(PathBuf),
    /// An SSM parameter's name.
    Parameter(String),
    /// The text itself.
    Inline(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Parameter(name) => write!(f, "ssm:{name}"),
            Self::Inline(_) => f.write_str("inline"),
        }
    }
}

/// Where the mode comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeSource {
    /// The variable says it.
    Fixed(Mode),
    /// An SSM parameter says it, so that writes can be stopped without a deployment.
    Read(Source),
}

/// The function's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `ACCOUNT_ID`, `AWS_REGION`, `PARTITION`.
    pub own: Scope,
    /// `POLICY`.
    pub policy: Source,
    /// `MODE`.
    pub mode: ModeSource,
    /// `WORK_QUEUE_URL`.
    pub queue_url: Option<String>,
    /// `SCAN_QUEUE_URL`: a FIFO queue, in which scans run one at a time.
    pub scan_queue_url: Option<String>,
    /// `OWN_ROLE_ARN`: by which the function knows its own changes in CloudTrail's history. Without it the history is not read,
    /// and a fight with somebody else is bounded by the stream's quota alone.
    pub own_role_arn: Option<String>,
    /// Who runs Streamseal, for documents: `OWN_ROLE_ARN`, and `AWS_LAMBDA_FUNCTION_NAME` with its version, as Lambda sets them. AWS is not
    /// asked for it.
    pub runner: Runner,
    /// `RESULT_BUS`: where results go besides the log.
    pub result_bus: Option<Bus>,
    /// `SCAN_DESCRIBES_PER_SECOND`: what a scan takes of the account's 20 DescribeStreamSummary a second. One such scan runs at a time,
    /// so that it is shared with no other; scans about keys have a rate of their own.
    pub scan_describes_per_second: u32,
    /// `SCAN_WINDOW_SECONDS`: requests for a scan that arrive within so long are one; by default as [`Group::window`](crate::domain::scan::subject::Group::window) says.
    pub scan_window: Option<Duration>,
    /// `MAX_CHANGES`: how many streams one scan hands over to be changed, at most.
    pub max_changes: u32,
    /// `SWEEP_HOURS`: how far apart sweeps are. A stream made since the last one that no event reported was missed.
    pub sweep_hours: u32,
    /// `WAIT_SECONDS`: how long one run waits for a stream before it leaves the rest to a later run. ACTIVE was seen 3 to 7 s after a
    /// Start. Which runs wait: `domain/wait.rs`.
    pub wait: Duration,
    /// `GIVE_UP_AFTER_SECONDS`: how long an event is followed.
    pub give_up_after: Duration,
    /// `DESCRIBES_PER_SECOND`: this deployment's part of the account's 20 DescribeStreamSummary a second (Kinesis developer
    /// guide, quotas).
    pub describes_per_second: u32,
    /// `STARTS_PER_SECOND`: for StartStreamEncryption no figure is published; its neighbours have 5, and this stays below in the long run. A
    /// refused one comes again.
    pub starts_per_second: u32,
    /// `MAX_CONCURRENCY`: how many instances of the function share these rates.
    pub max_concurrency: u32,
    /// `LOG_LEVEL`.
    pub log_level: LogLevel,
}

/// Levels of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// What failed for good.
    Error,
    /// What may need a check.
    Warn,
    /// What was done.
    Info,
    /// Each step.
    Debug,
}

/// One fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "variable {}: {}", self.variable, self.message)
    }
}

/// The variables, and what is wrong with them.
struct Variables<F> {
    variable: F,
    faults: Vec<ConfigFault>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    fn given(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn fault(&mut self, variable: &'static str, message: impl Into<String>) {
        self.faults.push(ConfigFault { variable, message: message.into() });
    }

    fn scope(&mut self) -> Scope {
        let account = self.given("ACCOUNT_ID").unwrap_or_default();
        if !Scope::is_account(&account) {
            self.fault("ACCOUNT_ID", format!("`{account}` is not an account ID (12 digits)"));
        }
        let region = self.given("AWS_REGION").unwrap_or_default();
        if !Scope::is_region(&region) {
            self.fault("AWS_REGION", format!("`{region}` is not a Region"));
        }
        let partition = self.given("PARTITION").unwrap_or_else(|| Scope::partition_of(&region).to_owned());
        if partition != "aws" && !partition.starts_with("aws-") {
            self.fault("PARTITION", format!("`{partition}` is not a partition (`aws`, `aws-cn`, …)"));
        }
        Scope { partition, region, account }
    }

    fn policy(&mut self) -> Option<Source> {
        let text = self.given("POLICY");
        let policy = text.as_deref().and_then(source);
        match (&text, &policy) {
            (_, Some(_)) => {}
            (Some(text), None) if text.ends_with(':') => {
                self.fault("POLICY", format!("`{text}` names nothing; use {POLICY_FORMS}"));
            }
            (Some(_), None) => self.fault("POLICY", format!("must be {POLICY_FORMS}")),
            (None, None) => self.fault("POLICY", format!("is not set; use {POLICY_FORMS}")),
        }
        policy
    }

    fn mode(&mut self) -> ModeSource {
        let Some(text) = self.given("MODE") else { return ModeSource::Fixed(Mode::Report) };
        match (mode(&text), source(&text)) {
            (Some(mode), _) => ModeSource::Fixed(mode),
            (None, Some(source @ Source::Parameter(_))) => ModeSource::Read(source),
            (None, _) => {
                self.fault("MODE", format!("`{text}` is not `report`, `enforce` or `ssm:NAME`"));
                ModeSource::Fixed(Mode::Report)
            }
        }
    }

    fn number(&mut self, name: &'static str, default: u32, range: RangeInclusive<u32>) -> u32 {
        self.optional(name, range).unwrap_or(default)
    }

    fn optional(&mut self, name: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let text = self.given(name)?;
        let value = text.parse::<u32>().ok().filter(|value| range.contains(value));
        if value.is_none() {
            self.fault(name, format!("`{text}` is not a whole number from {} to {}", range.start(), range.end()));
        }
        value
    }

    fn log_level(&mut self) -> LogLevel {
        match self.given("LOG_LEVEL").as_deref() {
            None | Some("info") => LogLevel::Info,
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            Some(other) => {
                self.fault("LOG_LEVEL", format!("`{other}` is not `error`, `warn`, `info` or `debug`"));
                LogLevel::Info
            }
        }
    }

    fn url(&mut self, name: &'static str) -> Option<String> {
        let url = self.given(name);
        if url.as_ref().is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://")) {
            self.fault(name, "must begin with `https://` or `http://`");
        }
        url
    }

    fn bus(&mut self, partition: &str) -> Option<Bus> {
        let text = self.given("RESULT_BUS")?;
        let bus = Bus::parse(&text, partition);
        if bus.is_none() {
            let forms = format!("its ARN (`arn:{partition}:events:REGION:ACCOUNT:event-bus/NAME`)");
            self.fault("RESULT_BUS", format!("`{text}` is not an event bus name or {forms}"));
        }
        bus
    }
}

impl Config {
    /// Reads the configuration from `variable`, which answers like the environment.
    ///
    /// # Errors
    /// All faults that there are.
    pub fn from_vars(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigFault>> {
        let mut vars = Variables { variable, faults: Vec::new() };
        let own = vars.scope();
        let policy = vars.policy();
        let mode = vars.mode();
        let wait = vars.number("WAIT_SECONDS", 20, 1..=600);
        // The queue keeps a message for 14 days at the most.
        let give_up_after = vars.number("GIVE_UP_AFTER_SECONDS", 6 * 3600, 60..=13 * 86_400);
        let describes_per_second = vars.number("DESCRIBES_PER_SECOND", 5, 1..=1000);
        let starts_per_second = vars.number("STARTS_PER_SECOND", 4, 1..=1000);
        let max_concurrency = vars.number("MAX_CONCURRENCY", 5, 1..=1000);
        let scan_describes_per_second = vars.number("SCAN_DESCRIBES_PER_SECOND", 5, 1..=1000);
        let scan_window = vars.optional("SCAN_WINDOW_SECONDS", 1..=600);
        let max_changes = vars.number("MAX_CHANGES", 10, 0..=CHANGES_MAX);
        let sweep_hours = vars.number("SWEEP_HOURS", 24, 1..=168);
        if max_concurrency > describes_per_second.saturating_mul(SHARERS_MAX) {
            let message =
                format!("`{max_concurrency}` instances are too many for {describes_per_second} observations a second");
            vars.fault(
                "MAX_CONCURRENCY",
                format!("{message}: the maximum is {SHARERS_MAX} instances per observation a second"),
            );
        }
        let log_level = vars.log_level();
        let queue_url = vars.url("WORK_QUEUE_URL");
        let scan_queue_url = vars.url("SCAN_QUEUE_URL");
        if scan_queue_url.as_ref().is_some_and(|url| !url.ends_with(".fifo")) {
            vars.fault("SCAN_QUEUE_URL", "is not the URL of a FIFO queue, which ends in `.fifo`");
        }
        if scan_queue_url.is_some() && queue_url.is_none() {
            vars.fault("WORK_QUEUE_URL", "is not set; it is required when SCAN_QUEUE_URL is set");
        }
        let own_role_arn = vars.given("OWN_ROLE_ARN");
        if own_role_arn.as_ref().is_some_and(|arn| !is_role(arn, &own.account)) {
            vars.fault("OWN_ROLE_ARN", format!("is not the ARN of a role of account `{}`", own.account));
        }
        let version = vars.given("AWS_LAMBDA_FUNCTION_VERSION");
        let function = vars.given("AWS_LAMBDA_FUNCTION_NAME").map(|name| Function { name, version });
        let result_bus = vars.bus(&own.partition);
        match policy {
            Some(policy) if vars.faults.is_empty() => Ok(Self {
                own,
                policy,
                mode,
                queue_url,
                scan_queue_url,
                runner: Runner { actor: own_role_arn.clone(), function },
                own_role_arn,
                result_bus,
                scan_describes_per_second,
                scan_window: scan_window.map(|seconds| Duration::from_secs(seconds.into())),
                max_changes,
                sweep_hours,
                wait: Duration::from_secs(wait.into()),
                give_up_after: Duration::from_secs(give_up_after.into()),
                describes_per_second,
                starts_per_second,
                max_concurrency,
                log_level,
            }),
            _ => Err(vars.faults),
        }
    }
}

fn is_role(arn: &str, account: &str) -> bool {
    let Some(Arn { partition, service, region, account: of, resource }) = Arn::parse(arn) else { return false };
    let of_iam = partition.starts_with("aws") && service == "iam" && region.is_empty();
    of_iam && of == account && resource.strip_prefix("role/").is_some_and(|name| !name.is_empty())
}

fn source(text: &str) -> Option<Source> {
    let (kind, rest) = text.split_once(':')?;
    if rest.trim().is_empty() {
        return None;
    }
    match kind {
        "file" => Some(Source::File(PathBuf::from(rest))),
        "ssm" => Some(Source::Parameter(rest.to_owned())),
        "inline" => Some(Source::Inline(rest.to_owned())),
        _ => None,
    }
}

/// Reads `report` or `enforce`; white space around it is taken, since people edit parameters by hand.
pub fn mode(text: &str) -> Option<Mode> {
    match text.trim() {
        "report" => Some(Mode::Report),
        "enforce" => Some(Mode::Enforce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[("ACCOUNT_ID", "111122223333"), ("AWS_REGION", "eu-west-1"), ("POLICY", "ssm:/p")];

    fn read(changes: &[(&str, &str)]) -> Result<Config, Vec<&'static str>> {
        let lookup = |name: &str| {
            let found = changes.iter().chain(GOOD).find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::from_vars(lookup).map_err(|faults| faults.iter().map(|f| f.variable).collect())
    }

    #[test]
    fn defaults_are_the_careful_ones() {
        let config = read(&[]).unwrap();
        assert_eq!(config.mode, ModeSource::Fixed(Mode::Report));
        assert_eq!((config.wait, config.give_up_after), (Duration::from_secs(20), Duration::from_secs(21_600)));
        assert_eq!(config.own.partition, "aws");
        assert_eq!(config.policy, Source::Parameter("/p".into()));
        assert_eq!((config.max_changes, config.scan_describes_per_second, config.sweep_hours), (10, 5, 24));
        assert_eq!(read(&[("AWS_REGION", "cn-north-1")]).unwrap().own.partition, "aws-cn");
    }

    #[test]
    fn who_runs_is_what_the_environment_says() {
        assert_eq!(read(&[]).unwrap().runner, Runner::default());
        let role = "arn:aws:iam::111122223333:role/streamseal";
        let of_lambda = [("AWS_LAMBDA_FUNCTION_NAME", "seal"), ("AWS_LAMBDA_FUNCTION_VERSION", "7")];
        let runner = read(&[of_lambda[0], of_lambda[1], ("OWN_ROLE_ARN", role)]).unwrap().runner;
        let function = Function { name: "seal".into(), version: Some("7".into()) };
        assert_eq!(runner, Runner { actor: Some(role.into()), function: Some(function) });
    }

    #[test]
    fn every_fault_is_named() {
        let all = [
            ("ACCOUNT_ID", "12"),
            ("AWS_REGION", "here"),
            ("POLICY", "policy.yaml"),
            ("MODE", "on"),
            ("WAIT_SECONDS", "0"),
            ("GIVE_UP_AFTER_SECONDS", "1d"),
            ("LOG_LEVEL", "loud"),
            ("WORK_QUEUE_URL", "queue"),
            ("DESCRIBES_PER_SECOND", "0"),
            ("STARTS_PER_SECOND", "many"),
            ("MAX_CONCURRENCY", "51"),
            ("PARTITION", "azure"),
            ("SCAN_DESCRIBES_PER_SECOND", "0"),
            ("SCAN_WINDOW_SECONDS", "0"),
            ("MAX_CHANGES", "501"),
            ("SWEEP_HOURS", "0"),
            ("OWN_ROLE_ARN", "arn:aws:iam::999999999999:role/other"),
            ("RESULT_BUS", "arn:aws:events:eu-west-1:111122223333:rule/bus"),
            ("SCAN_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/111122223333/no-fifo"),
        ];
        let mut named = read(&all).unwrap_err();
        let mut expected: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        named.sort_unstable();
        expected.sort_unstable();
        assert_eq!(named, expected);
        for fault in all {
            let with_a_queue = [fault, ("WORK_QUEUE_URL", "https://sqs/q")];
            assert_eq!(read(&with_a_queue).unwrap_err(), [fault.0]);
        }
        assert_eq!(read(&[("SCAN_QUEUE_URL", "https://sqs/q.fifo")]).unwrap_err(), ["WORK_QUEUE_URL"]);
    }

    #[test]
    fn the_mode_can_live_in_a_parameter() {
        let config = read(&[("MODE", "ssm:/mode")]).unwrap();
        assert_eq!(config.mode, ModeSource::Read(Source::Parameter("/mode".into())));
        assert_eq!(mode(" enforce\n"), Some(Mode::Enforce));
        assert_eq!(mode("Enforce"), None);
        assert_eq!(read(&[("POLICY", "inline: ")]).unwrap_err(), ["POLICY"]);
    }
}
