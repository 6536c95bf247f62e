//! What only a command asks KMS of keys, for people: their aliases, with one list for all of them, and how a customer's key is rotated.
//! What KMS does not say is left out: nothing is decided by it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::Client;
use aws_types::SdkConfig;
use futures_util::{StreamExt, stream};

use super::pages;
use crate::aws::logged;
use crate::domain::arn::Scope;
use crate::domain::evidence::known::{KnownKey, Rotation};
use crate::domain::failure::{Class, Failure};
use crate::domain::model::{KeyIdentity, KeyManager};
use crate::ports::CallLog;

/// So many pages of aliases are read, of a hundred each.
const PAGES_MAX: usize = 20;
/// Of so many keys it is asked how they are rotated.
const KEYS_MAX: usize = 100;
/// Requests under way at once.
const AT_ONCE: usize = 8;

/// The names of aliases by the ids of their keys.
pub(super) type Aliases = BTreeMap<String, BTreeSet<String>>;

/// What KMS says of keys of one account and Region.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    aliases: BTreeMap<String, String>,
    rotations: BTreeMap<String, Rotation>,
}

/// Adds what KMS says of these keys.
pub(crate) async fn complete(sdk: &SdkConfig, own: &Scope, mut keys: Vec<&mut KnownKey>, log: &CallLog) {
    let facts = facts(sdk, own, &keys, log).await;
    for key in &mut keys {
        let arn = key.info.identity.as_str();
        key.alias = facts.aliases.get(arn).cloned();
        key.rotation = key.rotation.or_else(|| facts.rotations.get(arn).copied());
    }
}

async fn facts(sdk: &SdkConfig, own: &Scope, keys: &[&mut KnownKey], log: &CallLog) -> Facts {
    let is_own = |identity: &KeyIdentity| matches!(identity, KeyIdentity::Arn(arn) if arn.is_of(own));
    let mut ours: BTreeMap<&str, KeyManager> = BTreeMap::new();
    for key in keys.iter().filter(|key| is_own(&key.info.identity)) {
        ours.insert(key.info.identity.as_str(), key.info.manager);
    }
    // Where no stream is on a key, or should be, there is nothing to ask for.
    if ours.is_empty() {
        return Facts::default();
    }
    let client = Client::new(sdk);
    let Scope { partition, region, account } = own;
    let (names, _) = aliases(&client, PAGES_MAX, log).await;
    // Of several aliases the first by name.
    let first = |(id, names): (String, BTreeSet<String>)| {
        Some((format!("arn:{partition}:kms:{region}:{account}:key/{id}"), names.into_iter().next()?))
    };
    let aliases = names.into_iter().filter_map(first).collect();
    let customers = ours.iter().filter(|(_, manager)| **manager == KeyManager::Customer).map(|(arn, _)| *arn);
    let customers: Vec<&str> = customers.take(KEYS_MAX).collect();
    Facts { aliases, rotations: rotations(&client, &customers, log).await }
}

/// The names of keys: the aliases of an account and Region by the ids of their keys, of so many pages at most, and why the list breaks off.
pub(super) async fn aliases(client: &Client, pages_max: usize, log: &CallLog) -> (Aliases, Option<Failure>) {
    let mut found = Aliases::new();
    let read = pages::at_most(pages_max, async |marker| {
        let request = client.list_aliases().limit(100).set_marker(marker);
        let page = logged(log, "kms:ListAliases", request.send()).await?;
        for alias in page.aliases.unwrap_or_default() {
            if let (Some(name), Some(id)) = (alias.alias_name, alias.target_key_id) {
                found.entry(id).or_default().insert(name);
            }
        }
        Ok(page.next_marker)
    });
    let failure = read.await.err();
    (found, failure)
}

/// How customers' keys are rotated. Where the first may not be asked about, the others are not.
async fn rotations(client: &Client, keys: &[&str], log: &CallLog) -> BTreeMap<String, Rotation> {
    let mut found = BTreeMap::new();
    let ask = async |key: &str| -> Result<Rotation, Failure> {
        let request = client.get_key_rotation_status().key_id(key);
        let answer = logged(log, "kms:GetKeyRotationStatus", request.send()).await?;
        let days = answer.rotation_period_in_days.unwrap_or(365);
        Ok(if answer.key_rotation_enabled { Rotation::Days(days) } else { Rotation::Off })
    };
    let Some((first, others)) = keys.split_first() else { return found };
    match ask(first).await {
        Ok(rotation) => {
            found.insert((*first).to_owned(), rotation);
        }
        Err(Failure { class: Class::Permanent(_) | Class::Expired, .. }) => return found,
        Err(_) => {}
    }
    let mut answers = stream::iter(others).map(async |key| (*key, ask(key).await)).buffer_unordered(AT_ONCE);
    while let Some((key, answer)) = answers.next().await {
        if let Ok(rotation) = answer {
            found.insert(key.to_owned(), rotation);
        }
    }
    found
}
