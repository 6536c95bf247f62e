//! How commands reach AWS, as the AWS CLI does: profiles, Region, endpoint, proxies, and which certificates to trust. Nothing here sends a
//! request.

use aws_config::BehaviorVersion;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::config::{Region, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::TlsContext;
use aws_types::SdkConfig;

use super::settings::{NoBlanks, variable};
use crate::aws::{Connections, IDLE_TIMEOUT, Timeouts, app_name, trust_in};

/// How many unused connections are kept for each host: as many as an audit has calls under way.
const IDLE_MAX: usize = 16;

/// How to reach AWS from a command line. What is `None` comes from where every SDK takes it: its variables, `AWS_PROFILE` and the
/// profile files.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// The Region to call.
    pub region: Option<String>,
    /// The profile of `~/.aws/config`. Where it is named here its credentials are taken, as the AWS CLI does, and not the environment's.
    pub profile: Option<String>,
    /// One endpoint for every service; it goes before the environment's.
    pub endpoint: Option<String>,
    /// How often a call is sent that may be sent again.
    pub retries: Option<RetryConfig>,
    /// How long to wait for answers.
    pub timeouts: Timeouts,
    /// How to connect; `None`: directly, with the machine's root certificates.
    pub client: Option<SharedHttpClient>,
}

/// A command line's configuration of the SDK. It reads environment and profile files; it uses the network only to find the
/// Region where neither names one. Credentials are fetched by the first request.
pub async fn sdk_config(connection: &Connection) -> SdkConfig {
    let client = connection.client.clone();
    let client = client.unwrap_or_else(|| connections(connection.timeouts, false, None).client());
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(client.clone())
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
    if let Some(retries) = &connection.retries {
        loader = loader.retry_config(retries.clone());
    }
    let config = loader.load().await;
    let config = config.to_builder().service_config(NoBlanks(config)).build();
    let Some(profile) = &connection.profile else { return config };
    let provider = ProviderConfig::without_region().with_region(config.region().cloned()).with_http_client(client);
    let provider = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&provider).build();
    config.into_builder().credentials_provider(SharedCredentialsProvider::new(provider)).build()
}

fn connections(timeouts: Timeouts, proxies: bool, trust: Option<TlsContext>) -> Connections {
    Connections { connect: timeouts.connect, idle: IDLE_TIMEOUT, idle_max: IDLE_MAX, proxies, trust }
}

/// The client that goes through the proxies of the environment and trusts whom `AWS_CA_BUNDLE` or the profile's `ca_bundle` names, and, as
/// in the AWS CLI, nobody else. `Err`: why it cannot.
pub(crate) fn client(ca_bundle: Option<&str>) -> Result<SharedHttpClient, String> {
    are_proxies(variable)?;
    let bundle = match variable("AWS_CA_BUNDLE") {
        Some(path) => Some((path, "AWS_CA_BUNDLE")),
        None => ca_bundle.map(|path| (path.to_owned(), "ca_bundle")),
    };
    let trust = match bundle {
        Some((path, name)) => {
            let read = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"));
            Some(read.and_then(trust_in).map_err(|why| format!("{name}: {path}: {why}"))?)
        }
        None => None,
    };
    Ok(connections(Timeouts::default(), true, trust).client())
}

/// Whether what stands for a proxy is the URL of one: the SDK would connect directly.
fn are_proxies(variable: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    for (upper, lower) in [("HTTPS_PROXY", "https_proxy"), ("HTTP_PROXY", "http_proxy"), ("ALL_PROXY", "all_proxy")] {
        let found = variable(upper).map(|url| (upper, url)).or_else(|| variable(lower).map(|url| (lower, url)));
        if let Some((name, url)) = found {
            let url = if url.contains("://") { url } else { format!("http://{url}") };
            // Not the URL itself: it may have a password.
            ProxyConfig::all(url).map_err(|_| format!("{name}: not a valid HTTP proxy URL; use `http://HOST:PORT`"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_with_http_or_https_or_without_a_scheme() {
        let set = |name: &'static str, url: &'static str| {
            are_proxies(move |asked| (asked == name).then(|| url.to_owned())).map_err(|_| name)
        };
        for url in ["http://proxy:3128", "https://me:secret@proxy", "proxy:3128", "10.0.0.1:3128/"] {
            assert_eq!(set("HTTPS_PROXY", url), Ok(()), "{url}");
            assert_eq!(set("http_proxy", url), Ok(()), "{url}");
        }
        for url in ["socks5://proxy:1080", "http://", "a proxy"] {
            assert_eq!(set("https_proxy", url), Err("https_proxy"), "{url}");
            assert_eq!(set("ALL_PROXY", url), Err("ALL_PROXY"), "{url}");
        }
        let both = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://proxy:3128".to_owned()),
            "https_proxy" => Some("socks5://proxy".to_owned()),
            _ => None,
        };
        assert_eq!(are_proxies(both), Ok(()), "the one in capitals goes first");
    }
}
