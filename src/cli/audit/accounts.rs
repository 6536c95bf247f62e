//! An audit of many accounts: a role is assumed in each, and each stream is observed there, at the rate of its own account and Region.
//! Some accounts are observed at once, and reported in their order. One that denies the role stops no other.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use aws_types::SdkConfig;
use futures_util::future::{Either, join_all, select};
use futures_util::{StreamExt, stream};
use indicatif::ProgressBar;

use super::filter::Filter;
use super::observe::{self, LONGEST};
use super::reach::RoleName;
use super::report::{Broken, Found, Lack, Region};
use super::roles::{ASSUME_ROLE, Assumed, in_account};
use super::sink::Sink;
use crate::cli::context::Context;
use crate::cli::organization::{LIST_ACCOUNTS, accounts};
use crate::cli::output::{Stop, advice, passes};
use crate::config::Config;
use crate::domain::arn::StreamName;
use crate::domain::codes::Refusal;
use crate::domain::model::Mode;
use crate::domain::policy::Policy;

/// What to do where a role may not be assumed.
const TO_ASSUME: &str = "sts:AssumeRole needs a statement in a policy of the caller, and the role has to trust the caller: `streamseal \
                         audit --print-iam` prints both";

/// How accounts are observed.
#[derive(Clone, Copy)]
pub(super) struct Observers<'a> {
    /// The Regions, and whether an account may be without each.
    pub(super) regions: &'a [(String, bool)],
    /// Of the account of the credentials.
    pub(super) own: &'a Context,
    pub(super) policy: &'a Policy,
    pub(super) mode: Mode,
    pub(super) bar: &'a ProgressBar,
    /// Which streams are observed.
    pub(super) filter: &'a Filter,
}

impl Observers<'_> {
    /// The configuration of clients in an account.
    async fn sdk(self, account: &str, role: &RoleName, assumed: &Arc<Assumed>) -> Result<SdkConfig, Lack> {
        let own = &self.own.config.own;
        if account == own.account {
            return Ok(self.own.sdk.clone());
        }
        in_account(&self.own.sdk, own, account, role, assumed).await.map_err(|failure| {
            let why = format!("{} failed ({}): {}", failure.call, failure.code, failure.message);
            let help = match Refusal::of(&failure) {
                Refusal::Permission => Some(TO_ASSUME.to_owned()),
                _ => advice(&failure, Some(own), &[]),
            };
            let broken = Broken { why, help, passes: passes(&failure) };
            Lack { what: format!("account {account}"), broken }
        })
    }

    /// Who observes an account: the role that is assumed there.
    fn actor(self, account: &str, role: &RoleName) -> Option<String> {
        let Config { own, runner, .. } = &self.own.config;
        if account == own.account { runner.actor.clone() } else { Some(role.arn(&own.partition, account)) }
    }

    /// Every stream of an account, or of those in `names` alone, until `stop` ends. `None`: that was before it had begun.
    pub(super) async fn account(
        self,
        account: &str,
        (role, assumed): (&RoleName, &Arc<Assumed>),
        names: Option<&BTreeMap<String, Vec<StreamName>>>,
        stop: impl Future<Output = ()> + Clone + Unpin,
    ) -> Result<Option<Vec<Region>>, Lack> {
        let sdk = match select(pin!(self.sdk(account, role, assumed)), stop.clone()).await {
            Either::Left((sdk, _)) => sdk?,
            Either::Right(_) => return Ok(None),
        };
        let regions: Vec<(String, bool)> = match names {
            Some(names) => names.keys().map(|region| (region.clone(), false)).collect(),
            None => self.regions.to_vec(),
        };
        let contexts = self.own.in_account(&sdk, (account, self.actor(account, role)), &regions);
        let audits = contexts.iter().zip(&regions).map(async |(context, (region, opt_in))| {
            let session = context.session(self.policy, self.mode, LONGEST);
            let names = names.and_then(|names| names.get(region)).cloned();
            observe::region(context, &session, (*opt_in, self.filter, names), self.bar, stop.clone()).await
        });
        Ok(Some(join_all(audits).await))
    }
}

/// The accounts to observe: those that are named, else the active ones of the organization, with how often that was asked.
pub(super) struct Named {
    accounts: Vec<String>,
    calls: u64,
}

pub(super) async fn named(named: Option<&[String]>, own: &Context) -> Result<Named, Stop> {
    if let Some(named) = named {
        return Ok(Named { accounts: named.to_vec(), calls: 0 });
    }
    let why = |failure| Stop::call("the accounts of the organization", &failure, Some(&own.config.own), &[]);
    Ok(Named { accounts: accounts(&own.sdk).await.map_err(why)?, calls: 1 })
}

/// Observes these accounts, so many at once, until `stop` ends.
pub(super) async fn audit(
    Named { accounts, calls: listed }: &Named,
    (role, at_once): (&RoleName, usize),
    observers: Observers<'_>,
    mut sink: Sink<'_>,
    stop: impl Future<Output = ()> + Clone + Unpin,
) -> Result<Found, Stop> {
    let assumed = Arc::new(Assumed::default());
    let bar = observers.bar;
    let (mut regions, mut lacks, mut left) = (Vec::new(), Vec::new(), Vec::new());
    let count = accounts.len();
    let mut found = stream::iter(accounts)
        .map(|account| observers.account(account, (role, &assumed), None, stop.clone()))
        .buffered(at_once)
        .enumerate();
    bar.set_message(format!("account 1 of {count}, streams"));
    while let Some((index, of_account)) = found.next().await {
        bar.set_message(format!("account {} of {count}, streams", (index + 2).min(count)));
        match of_account {
            Ok(None) => left.extend(accounts.get(index)),
            Ok(Some(of_account)) => {
                for mut region in of_account {
                    for evidence in std::mem::take(&mut region.streams) {
                        sink.take(&mut region, evidence)?;
                    }
                    regions.push(region);
                }
            }
            Err(lack) => lacks.push(lack),
        }
    }
    drop(found);
    if let Some(first) = left.first() {
        lacks.push(Lack::interrupted(format!("{} accounts, from {first} on", left.len())));
    }
    let mut said = BTreeSet::new();
    for lack in &mut lacks {
        // What to do about many is said once.
        lack.broken.help.take_if(|help| !said.insert(help.clone()));
    }
    let mut calls = BTreeMap::from([(ASSUME_ROLE, assumed.count())]);
    if *listed > 0 {
        calls.insert(LIST_ACCOUNTS, *listed);
    }
    Ok(Found { regions, written: sink.end().0, lacks, calls, suspects: Vec::new() })
}
