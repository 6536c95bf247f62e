//! Whether what AWS Config recorded is still so: the worst streams are observed, and what differs is reported.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use super::accounts::Observers;
use super::found::{Broken, Difference, INTERRUPTED, Lack, Said, Suspect, Verified};
use super::reach::RoleName;
use super::report::{Ended, Row};
use super::roles::Assumed;
use crate::domain::arn::StreamName;

/// Observes the suspects, one account after the other, until `stop` ends.
pub(super) async fn verify(
    suspects: Vec<Suspect>,
    role: &RoleName,
    observers: Observers<'_>,
    stop: impl Future<Output = ()> + Clone + Unpin,
) -> Verified {
    let mut accounts: BTreeMap<String, BTreeMap<String, Vec<StreamName>>> = BTreeMap::new();
    for Suspect { stream, .. } in &suspects {
        let regions = accounts.entry(stream.scope.account.clone()).or_default();
        regions.entry(stream.scope.region.clone()).or_default().push(stream.name.clone());
    }
    let (assumed, mut verified) = (Arc::new(Assumed::default()), Verified::default());
    let mut observed: BTreeMap<String, Said> = BTreeMap::new();
    let mut unknown: Vec<(String, String)> = Vec::new();
    for (account, names) in &accounts {
        match observers.account(account, (role, &assumed), Some(names), stop.clone()).await {
            Ok(None) => {
                unknown.extend(names.keys().map(|region| (account.clone(), region.clone())));
                verified.lacks.push(Lack::interrupted(format!("account {account}")));
            }
            Ok(Some(regions)) => {
                for region in regions {
                    observed
                        .extend(region.streams.iter().map(|found| (found.stream.to_string(), Row::new(found).said())));
                    let why = match region.ended {
                        Ended::Failed(Broken { why, .. }) => why,
                        Ended::Denied => "a policy of the organization denies it".to_owned(),
                        Ended::Interrupted => INTERRUPTED.to_owned(),
                        _ => continue,
                    };
                    unknown.push((account.clone(), region.name.clone()));
                    let what = format!("account {account}, {}", region.name);
                    verified.lacks.push(Lack { what, broken: Broken { why, help: None, passes: false } });
                }
            }
            Err(lack) => {
                unknown.extend(names.keys().map(|region| (account.clone(), region.clone())));
                verified.lacks.push(lack);
            }
        }
    }
    for suspect in suspects {
        let place = (suspect.stream.scope.account.clone(), suspect.stream.scope.region.clone());
        match observed.remove(&suspect.stream.to_string()) {
            Some(said) => {
                verified.streams += 1;
                if said != suspect.said {
                    verified.differences.push(Difference { suspect, observed: Some(said) });
                }
            }
            // Where the Region could not be observed to its end nobody knows.
            None if unknown.contains(&place) => {}
            None => {
                verified.streams += 1;
                verified.differences.push(Difference { suspect, observed: None });
            }
        }
    }
    verified
}
