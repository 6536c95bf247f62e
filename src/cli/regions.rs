//! The Regions that have Kinesis Data Streams, and which of these an account has without asking for them.

use std::net::ToSocketAddrs;

use aws_types::SdkConfig;
use wildmatch::WildMatch;

use super::output::Stop;
use super::settings::variable;
use crate::domain::arn::Scope;

/// One Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) name: &'static str,
    /// An account has it only where somebody enabled it (AWS account management reference guide, Regions introduced after
    /// March 20, 2019).
    pub(crate) opt_in: bool,
}

const fn always(name: &'static str) -> Known {
    Known { name, opt_in: false }
}

const fn opt_in(name: &'static str) -> Known {
    Known { name, opt_in: true }
}

/// The endpoints of the service `kinesis` in botocore 1.43.106, `endpoints.json`, of the public partitions and the European
/// sovereign one. A Region that is not here yet can be named with `--region`.
const KNOWN: &[Known] = &[
    opt_in("af-south-1"),
    opt_in("ap-east-1"),
    opt_in("ap-east-2"),
    always("ap-northeast-1"),
    always("ap-northeast-2"),
    always("ap-northeast-3"),
    always("ap-south-1"),
    opt_in("ap-south-2"),
    always("ap-southeast-1"),
    always("ap-southeast-2"),
    opt_in("ap-southeast-3"),
    opt_in("ap-southeast-4"),
    opt_in("ap-southeast-5"),
    opt_in("ap-southeast-6"),
    opt_in("ap-southeast-7"),
    always("ca-central-1"),
    opt_in("ca-west-1"),
    always("eu-central-1"),
    opt_in("eu-central-2"),
    always("eu-north-1"),
    opt_in("eu-south-1"),
    opt_in("eu-south-2"),
    always("eu-west-1"),
    always("eu-west-2"),
    always("eu-west-3"),
    opt_in("il-central-1"),
    opt_in("me-central-1"),
    opt_in("me-south-1"),
    opt_in("mx-central-1"),
    always("sa-east-1"),
    always("us-east-1"),
    always("us-east-2"),
    always("us-west-1"),
    always("us-west-2"),
    always("cn-north-1"),
    always("cn-northwest-1"),
    always("us-gov-east-1"),
    always("us-gov-west-1"),
    always("eusc-de-east-1"),
];

/// The Regions of one partition: credentials are of one partition too.
pub(crate) fn of_partition(partition: &str) -> Vec<Known> {
    KNOWN.iter().filter(|region| Scope::partition_of(region.name) == partition).copied().collect()
}

/// Whether a pattern matches some Region. Those that are in no public network are not known here, and may be meant.
pub(crate) fn matches_some(pattern: &WildMatch) -> bool {
    let text: String = pattern.pattern_chars().iter().collect();
    domain(&text).is_none() || KNOWN.iter().any(|region| pattern.matches(region.name))
}

/// Refuses a Region that is not known here and has no host at AWS either; `from` says where it was given. Where an endpoint is named, or a proxy finds the host, nobody can
/// know.
pub(crate) fn exists(region: &str, sdk: &SdkConfig, from: &str) -> Result<(), Stop> {
    let is_known = KNOWN.iter().any(|known| known.name == region);
    let is_elsewhere = sdk.endpoint_url().is_some()
        || ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().any(|name| variable(name).is_some())
        || std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("AWS_ENDPOINT_URL_"));
    let Some(domain) = domain(region).filter(|_| !is_known && !is_elsewhere) else { return Ok(()) };
    let host = format!("kinesis.{region}.{domain}");
    if (host.as_str(), 443).to_socket_addrs().is_ok() {
        return Ok(());
    }
    let stop = Stop::usage(format!("there is no Region `{region}`: the host {host} cannot be found"));
    Err(stop.help(format!("check {from}")))
}

/// What the hosts of a partition end with (botocore, `partitions.json`); `None` for those that are in no public network.
fn domain(region: &str) -> Option<&'static str> {
    match Scope::partition_of(region) {
        "aws" | "aws-us-gov" => Some("amazonaws.com"),
        "aws-cn" => Some("amazonaws.com.cn"),
        "aws-eusc" => Some("amazonaws.eu"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_one_and_stands_once() {
        let mut names: Vec<&str> = KNOWN.iter().map(|region| region.name).collect();
        assert!(names.iter().all(|name| Scope::is_region(name)), "{names:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len());
        let (aws, china) = (of_partition("aws"), of_partition("aws-cn"));
        assert_eq!((aws.len(), china.len(), of_partition("aws-us-gov").len()), (34, 2, 2));
        assert_eq!(aws.iter().filter(|region| !region.opt_in).count(), 17);
    }
}
