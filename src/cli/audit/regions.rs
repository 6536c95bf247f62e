//! The Regions that an audit observes: those that are named, or all that have Kinesis Data Streams; and which of these an account
//! has without asking for them.

use crate::cli::arguments::Globals;
use crate::cli::context::sdk_of;
use crate::cli::output::Stop;
use crate::domain::arn::Scope;

/// The Regions to observe, and whether an account may be without each.
pub(super) async fn chosen(globals: &Globals, all: bool) -> Result<Vec<(String, bool)>, Stop> {
    if !globals.region.is_empty() {
        let mut regions: Vec<(String, bool)> = Vec::new();
        for region in &globals.region {
            if !regions.iter().any(|(known, _)| known == region) {
                regions.push((region.clone(), false));
            }
        }
        return Ok(regions);
    }
    let own = sdk_of(globals, None).await?.region().map(ToString::to_string);
    if all {
        let partition = own.as_deref().map_or("aws", Scope::partition_of);
        return Ok(of_partition(partition).into_iter().map(|known| (known.name.to_owned(), known.opt_in)).collect());
    }
    let why = "no Region is named: give --region or --all-regions, or set AWS_REGION";
    own.map(|region| vec![(region, false)]).ok_or_else(|| Stop::usage(why))
}

/// One Region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    name: &'static str,
    /// An account has it only where somebody enabled it (AWS account management reference guide, Regions introduced after
    /// March 20, 2019).
    opt_in: bool,
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
fn of_partition(partition: &str) -> Vec<Known> {
    KNOWN.iter().filter(|region| Scope::partition_of(region.name) == partition).copied().collect()
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
