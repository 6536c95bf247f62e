//! The Regions that an audit observes: those that are named, or all that have Kinesis Data Streams.

use crate::cli::arguments::Globals;
use crate::cli::context::sdk_of;
use crate::cli::output::Stop;
use crate::cli::regions::of_partition;
use crate::domain::arn::Scope;

/// The Regions to observe.
pub(super) struct Chosen {
    /// Of each, its name, and whether an account may be without it.
    pub(super) regions: Vec<(String, bool)>,
    /// The one that is set, where all are observed: parameters are read there.
    pub(super) own: Option<String>,
}

pub(super) async fn chosen(globals: &Globals, all: bool) -> Result<Chosen, Stop> {
    if !globals.region.is_empty() {
        let mut regions: Vec<(String, bool)> = Vec::new();
        for region in &globals.region {
            if !regions.iter().any(|(known, _)| known == region) {
                regions.push((region.clone(), false));
            }
        }
        return Ok(Chosen { regions, own: None });
    }
    let own = sdk_of(globals, None).await?.region().map(ToString::to_string);
    if all {
        let partition = own.as_deref().map_or("aws", Scope::partition_of);
        let regions = of_partition(partition).into_iter().map(|known| (known.name.to_owned(), known.opt_in)).collect();
        return Ok(Chosen { regions, own });
    }
    let why = "no Region is named: give --region or --all-regions, or set AWS_REGION";
    let regions = own.map(|region| vec![(region, false)]).ok_or_else(|| Stop::usage(why))?;
    Ok(Chosen { regions, own: None })
}
