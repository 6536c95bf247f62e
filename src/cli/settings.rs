//! What variables and profile files say of the way to AWS, with the words that the AWS CLI has. It is checked before the SDK reads it, which
//! takes some of it for no setting at all and panics on some. Nothing here sends a request.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use aws_config::profile::ProfileSet;
use aws_config::retry::RetryConfig;
use aws_types::SdkConfig;
use aws_types::os_shim_internal::{Env, Fs};
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use http::Uri;

use super::arguments::{Globals, shell_word};
use super::output::Stop;
use crate::domain::text::EventText;

/// The services that are called, by the ids that variables and profiles name them with (SDKs and tools reference guide, service-specific
/// endpoints).
const SERVICES: &[&str] = &[
    "CloudFormation",
    "CloudTrail",
    "CloudWatch",
    "CloudWatch Logs",
    "Config Service",
    "EventBridge",
    "Firehose",
    "IAM",
    "Kinesis",
    "KMS",
    "Lambda",
    "Organizations",
    "Pipes",
    "Resource Groups Tagging API",
    "SQS",
    "SSM",
    "STS",
];

/// How often the AWS CLI sends a call in its mode `legacy` where nothing else is said (botocore 1.43, `_retry.json`).
const LEGACY_ATTEMPTS: u32 = 5;
/// The longest pause between two of them.
const LEGACY_PAUSE_MAX: Duration = Duration::from_secs(2);

/// The profile files, and the profile that is in use.
pub(crate) struct Settings {
    profiles: ProfileSet,
    /// Whether the profile was named on the command line: then the credentials are the profile's, and not the environment's.
    is_named: bool,
}

impl Settings {
    /// Reads the profile files. `profile` is the one of the command line. It refuses one that does not exist: the SDK would go on
    /// without it.
    pub(crate) async fn load(profile: Option<&str>) -> Result<Self, Stop> {
        for name in ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] {
            if let Some(why) = variable(name).and_then(|path| unreadable(Path::new(&path))) {
                return Err(Stop::usage(format!("{name}: {why}")));
            }
        }
        let named = profile.map(|name| name.to_owned().into());
        let profiles = aws_config::profile::load(&Fs::real(), &Env::real(), &Default::default(), named).await;
        let profiles =
            profiles.map_err(|error| Stop::usage(format!("the profiles cannot be read: {}", in_one_line(&error))))?;
        let settings = Self { profiles, is_named: profile.is_some() };
        settings.exists()?;
        settings.can_be_used()?;
        Ok(settings)
    }

    fn name(&self) -> &str {
        self.profiles.selected_profile()
    }

    /// What the profile says, where it says something.
    pub(crate) fn of_profile(&self, key: &str) -> Option<&str> {
        self.profiles.get(key).map(str::trim).filter(|text| !text.is_empty())
    }

    fn exists(&self) -> Result<(), Stop> {
        let name = self.name();
        if name == "default" || self.profiles.get_profile(name).is_some() {
            return Ok(());
        }
        let mut known: Vec<&str> = self.profiles.profiles().collect();
        known.sort_unstable();
        let stop = Stop::usage(format!("there is no profile `{}`", EventText::new(name)));
        Err(stop.help(match known.as_slice() {
            [] => "the AWS CLI files have no profile; `aws configure` creates one".to_owned(),
            known => format!("profiles in the files: {}", EventText::new(&known.join(", "))),
        }))
    }

    /// Refuses a profile whose credentials only the AWS CLI can get. Where the environment has credentials they go first.
    fn can_be_used(&self) -> Result<(), Stop> {
        if !self.is_named && variable("AWS_ACCESS_KEY_ID").is_some() {
            return Ok(());
        }
        let Some(name) = self.asks_for_a_code() else { return Ok(()) };
        let name = EventText::new(name);
        let why = format!("the profile `{name}` needs an MFA code (`mfa_serial`); streamseal does not support that");
        let how = format!(
            "get credentials with the AWS CLI, then run the command without `--profile` and AWS_PROFILE:\n  \
             eval \"$(aws configure export-credentials --profile {} --format env)\"",
            shell_word(&EventText::new(self.name()).to_string())
        );
        Err(Stop::usage(why).help(how))
    }

    /// The profile with `mfa_serial` among those that the credentials come from, one after the other.
    fn asks_for_a_code(&self) -> Option<&str> {
        let mut chain = vec![self.name()];
        loop {
            let name = *chain.last()?;
            let profile = self.profiles.get_profile(name)?;
            profile.get("role_arn")?;
            if profile.get("mfa_serial").is_some_and(|serial| !serial.trim().is_empty()) {
                return Some(name);
            }
            let source = profile.get("source_profile")?;
            if chain.contains(&source) {
                return None;
            }
            chain.push(source);
        }
    }

    /// How often a call is sent. In the words of the AWS CLI; each has as many attempts as there.
    pub(crate) fn retries(&self) -> Result<RetryConfig, Stop> {
        retries(variable, |key| self.of_profile(key).map(str::to_owned)).map_err(Stop::usage)
    }

    /// Refuses an endpoint that is none: the SDK would call AWS in its place, or panic.
    pub(crate) fn endpoints(&self, sdk: &SdkConfig) -> Result<(), Stop> {
        for service in SERVICES {
            let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            let url = key.build().ok().and_then(|key| sdk.service_config()?.load_config(key));
            let Some(url) = url.filter(|url| !is_endpoint(url)) else { continue };
            let of_service = format!("AWS_ENDPOINT_URL_{}", service.to_uppercase().replace(' ', "_"));
            let from = [of_service.as_str(), "AWS_ENDPOINT_URL"]
                .into_iter()
                .find(|name| variable(name).as_ref() == Some(&url));
            let profile = || format!("`endpoint_url` of the profile `{}`", EventText::new(self.name()));
            return Err(no_endpoint(&from.map_or_else(profile, str::to_owned), &url));
        }
        Ok(())
    }
}

/// Why a file that is there cannot be read: the SDK would go on without it. What is no file, such as a pipe, is left to it.
fn unreadable(path: &Path) -> Option<String> {
    let kind = std::fs::metadata(path).ok()?;
    let error = match kind.is_dir() {
        true => "is a folder, not a file".to_owned(),
        false if kind.is_file() => format!("cannot be read: {}", std::fs::File::open(path).err()?),
        false => return None,
    };
    Some(format!("{} {error}", EventText::new(&path.display().to_string())))
}

/// Where the Region comes from that is in use.
pub(crate) fn source_of_region(globals: &Globals) -> String {
    if !globals.region.is_empty() {
        return "--region".to_owned();
    }
    let from = ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find(|name| variable(name).is_some());
    from.unwrap_or("`region` of the profile").to_owned()
}

/// The endpoint that `--endpoint-url` names. `None`: it is blank.
pub(crate) fn endpoint_of(argument: Option<&str>) -> Result<Option<String>, Stop> {
    match argument.map(str::trim).filter(|url| !url.is_empty()) {
        Some(url) if !is_endpoint(url) => Err(no_endpoint("--endpoint-url", url)),
        url => Ok(url.map(str::to_owned)),
    }
}

fn no_endpoint(from: &str, url: &str) -> Stop {
    let stop = Stop::usage(format!("{from}: `{}` is not a valid endpoint URL", EventText::new(url)));
    stop.help("use `https://HOST` or `http://HOST:PORT`, or remove it to call AWS")
}

fn is_endpoint(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    // Behind the brackets of an IPv6 address a colon stands for a port.
    let is_port =
        !authority.as_str().rsplit(']').next().unwrap_or_default().contains(':') || authority.port_u16().is_some();
    matches!(uri.scheme_str(), Some("http" | "https")) && !authority.host().is_empty() && is_port
}

/// Settings of services without those that are blank.
#[derive(Debug)]
pub(super) struct NoBlanks(pub(super) SdkConfig);

impl LoadServiceConfig for NoBlanks {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.service_config()?.load_config(key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

fn retries(
    variable: impl Fn(&str) -> Option<String>,
    profile: impl Fn(&str) -> Option<String>,
) -> Result<RetryConfig, String> {
    let setting = |name: &'static str, key: &'static str| {
        let of_profile = || profile(key).map(|text| (format!("`{key}` of the profile"), text));
        variable(name).map(|text| (name.to_owned(), text)).or_else(of_profile)
    };
    let retries = RetryConfig::standard();
    let retries = match setting("AWS_RETRY_MODE", "retry_mode") {
        None => retries,
        Some((from, text)) => match text.trim().to_ascii_lowercase().as_str() {
            // With shorter pauses, so that the last attempt is made before a call takes too long.
            "legacy" => retries.with_max_attempts(LEGACY_ATTEMPTS).with_max_backoff(LEGACY_PAUSE_MAX),
            // The SDK's own `adaptive` waits 20 s after a first throttle, and so longer than a call may take; `--rate` sets the pace.
            "standard" | "adaptive" => retries,
            _ => return Err(format!("{from}: `{}` is not `legacy`, `standard` or `adaptive`", EventText::new(&text))),
        },
    };
    let Some((from, text)) = setting("AWS_MAX_ATTEMPTS", "max_attempts") else { return Ok(retries) };
    match text.trim().parse() {
        Ok(attempts @ 1..) => Ok(retries.with_max_attempts(attempts)),
        _ => Err(format!("{from}: `{}` is not a whole number of 1 or more", EventText::new(&text))),
    }
}

/// A variable that is set to something.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// An error with what is behind it.
fn in_one_line(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    let words =
        sources.flat_map(|error| error.to_string().lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>());
    EventText::of_service(&words.collect::<Vec<_>>().join(" ")).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], profile: &[(&str, &str)]) -> Result<u32, String> {
        let of = |all: &[(&str, &str)], name: &str| {
            all.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(retries(|name| of(variables, name), |key| of(profile, key))?.max_attempts())
    }

    #[test]
    fn retries_in_the_words_of_the_aws_cli() {
        const MODE: &str = "AWS_RETRY_MODE";
        const MOST: &str = "AWS_MAX_ATTEMPTS";
        for (variables, profile, expect) in [
            (&[][..], &[][..], Ok(3)),
            (&[(MODE, "legacy")], &[], Ok(5)),
            (&[(MODE, "legacy"), (MOST, "2")], &[], Ok(2)),
            (&[(MODE, "Standard"), (MOST, "7")], &[], Ok(7)),
            (&[(MODE, "adaptive")], &[("retry_mode", "legacy"), ("max_attempts", "2")], Ok(2)),
            (&[(MODE, "often")], &[], Err("AWS_RETRY_MODE: `often` is not `legacy`, `standard` or `adaptive`")),
            (
                &[],
                &[("retry_mode", "x\ny")],
                Err("`retry_mode` of the profile: `x\\ny` is not `legacy`, `standard` or `adaptive`"),
            ),
            (&[(MOST, "0")], &[], Err("AWS_MAX_ATTEMPTS: `0` is not a whole number of 1 or more")),
            (&[(MOST, "-1")], &[], Err("AWS_MAX_ATTEMPTS: `-1` is not a whole number of 1 or more")),
            (&[(MOST, " 4 ")], &[("max_attempts", "0")], Ok(4)),
            (
                &[],
                &[("max_attempts", "99999999999")],
                Err("`max_attempts` of the profile: `99999999999` is not a whole number of 1 or more"),
            ),
        ] {
            assert_eq!(read(variables, profile), expect.map_err(str::to_owned), "{variables:?} {profile:?}");
        }
    }

    #[test]
    fn an_endpoint_has_a_scheme_and_a_host() {
        for url in [
            "http://127.0.0.1:4566",
            "https://[::1]:80/",
            "https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com",
            "HTTP://a/b",
        ] {
            assert!(is_endpoint(url), "{url}");
        }
        for url in [
            "",
            "localhost:4566",
            "ftp://a",
            "http://",
            "http:///a",
            "http://a b",
            "http://a:99999",
            "https://a:",
            "a",
            "/a",
            "http://a\n",
        ] {
            assert!(!is_endpoint(url), "{url}");
        }
        assert_eq!(endpoint_of(Some(" ")).unwrap(), None);
        assert_eq!(endpoint_of(None).unwrap(), None);
        assert_eq!(endpoint_of(Some("x")).unwrap_err().words(), "--endpoint-url: `x` is not a valid endpoint URL");
    }
}
