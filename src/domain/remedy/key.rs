//! Remedies about keys and aliases: what is wrong with one, what makes it usable again, and where an alias could go instead.

use super::advice::{Advice, Facts, Remedy, named};
use super::permission::to_describe;
use crate::domain::arn::{KeyArn, KeyRef, Scope};
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem};
use crate::domain::plan::situation::{identity_of, keys_that_matter};
use crate::domain::policy::{Outcome, Target};
use crate::domain::recorded::NOT_RECORDED;
use crate::domain::text::EventText;

/// A key that cannot be used. `by` is how the rule names it; without, it is the key that the stream is on.
pub(super) fn key_trouble(facts: &Facts<'_>, by: Option<&KeyRef>, key: &KeyIdentity, problem: &KeyProblem) -> Remedy {
    let KeyIdentity::Arn(arn) = key else { return Remedy::None };
    let whose = if by.is_some() { "the rule's key" } else { "the stream's key" };
    let alias = by.and_then(|by| Some((by, by.alias()?)));
    let instead = match (alias, by) {
        (Some((_, alias)), _) => format!(", or point {alias} at a key that can be used"),
        (None, Some(_)) => format!(", or name another key in the rule{}", named(facts)),
        (None, None) => String::new(),
    };
    let begin = format!("{whose} {arn} cannot be used ({problem}): ");
    match problem {
        KeyProblem::NotReady(_) => Remedy::None,
        KeyProblem::State(state) => {
            let (what, command) = to_enable(arn, state.as_str());
            let advice = Advice::new(format!("{begin}{what}{}{instead}", with_credentials(arn.account(), facts)));
            let moved = alias.and_then(|(by, alias)| {
                let (current, region) = place_for(by, facts)?;
                Some(format!("aws kms update-alias --alias-name {alias} --target-key-id {current} --region {region}"))
            });
            Remedy::Key(advice.command(Some(command).filter(|command| !command.is_empty())).command(moved))
        }
        KeyProblem::Usage(_) | KeyProblem::Spec(_) => match alias {
            Some((by, alias)) => {
                let text = format!(
                    "{begin}this cannot be changed. Point {alias} at a symmetric encryption key (SYMMETRIC_DEFAULT, \
                     ENCRYPT_DECRYPT). KMS moves an alias only between keys of one kind, so delete it and create it \
                     again"
                );
                let moved = place_for(by, facts).map(|(current, region)| {
                    format!(
                        "aws kms delete-alias --alias-name {alias} --region {region} && aws kms create-alias --alias-name {alias} \
                         --target-key-id {current} --region {region}"
                    )
                });
                Remedy::Alias(Advice::new(text).command(moved))
            }
            None => Remedy::Key(Advice::new(format!(
                "{begin}this cannot be changed. Name a symmetric encryption key (SYMMETRIC_DEFAULT, ENCRYPT_DECRYPT) \
                 in the rule{}",
                named(facts)
            ))),
        },
        KeyProblem::Region(_) => {
            let region = &facts.stream.scope.region;
            let advice = Advice::new(format!(
                "{begin}a stream in {region} needs a key of {region}. Name one in the rule{}",
                named(facts)
            ));
            if alias.is_some() { Remedy::Alias(advice) } else { Remedy::Key(advice) }
        }
    }
}

/// What makes a key in this state usable again, in words and as a command; which states there are: KMS developer guide, "Key
/// states". The command is empty where one command cannot do it.
fn to_enable(key: &KeyArn, state: &str) -> (&'static str, String) {
    let at = format!("--key-id {key} --region {}", key.region());
    let describe = format!("aws kms describe-key {at}");
    match state {
        // A key whose deletion was cancelled is Disabled (KMS API reference, CancelKeyDeletion).
        "PendingDeletion" | "PendingReplicaDeletion" => (
            "cancel its deletion and enable it",
            format!("aws kms cancel-key-deletion {at} && aws kms enable-key {at}"),
        ),
        "Disabled" => ("enable it", format!("aws kms enable-key {at}")),
        "PendingImport" => ("import its key material (GetParametersForImport, then ImportKeyMaterial)", String::new()),
        "Unavailable" => (
            "connect its custom key store",
            format!(
                "aws kms connect-custom-key-store --region {} --custom-key-store-id \"$({describe} --query \
                 KeyMetadata.CustomKeyStoreId --output text)\"",
                key.region()
            ),
        ),
        _ => ("find out what is wrong with it", describe),
    }
}

/// `, with credentials of account …`, where that is not the stream's own.
fn with_credentials(account: &str, facts: &Facts<'_>) -> String {
    if account == facts.stream.scope.account {
        String::new()
    } else {
        format!(" (with credentials of account {account})")
    }
}

/// Where an alias could point instead: the key that the stream is on, where that can be used and is a customer's of the alias's own
/// account and Region.
fn place_for<'a>(alias: &KeyRef, facts: &Facts<'a>) -> Option<(&'a KeyArn, &'a str)> {
    let Some(Encryption::Kms(current)) = facts.encryption else { return None };
    let Some(KeyLookup::Found(KeyInfo {
        identity: KeyIdentity::Arn(arn),
        manager: KeyManager::Customer,
        problem: None,
        ..
    })) = facts.keys.get(current)
    else {
        return None;
    };
    let scope = &facts.stream.scope;
    let fits = arn.account() == alias.account().unwrap_or(&scope.account) && arn.region() == scope.region;
    fits.then_some((arn, scope.region.as_str()))
}

/// The rule's key cannot be found, or is hidden from us.
pub(super) fn no_such_key(facts: &Facts<'_>, key: &KeyRef) -> Remedy {
    match facts.keys.get(key) {
        Some(KeyLookup::NotFound) => {}
        Some(KeyLookup::Denied { code, words }) => return describable(facts, key, (code, words)),
        Some(KeyLookup::Found(_)) | None => return Remedy::None,
    }
    let Scope { region, account, .. } = &facts.stream.scope;
    let of = key.account().unwrap_or(account);
    let rule = named(facts);
    let check = "`streamseal check --resolve` checks every key of a policy";
    match key.alias() {
        Some(alias) => {
            let text = format!(
                "KMS does not know {alias} in account {of} and {region}: create it there, or correct the rule{rule}; \
                 {check}"
            );
            let made = place_for(key, facts).map(|(current, region)| {
                format!("aws kms create-alias --alias-name {alias} --target-key-id {current} --region {region}")
            });
            Remedy::Alias(Advice::new(text).command(made))
        }
        None => Remedy::Key(Advice::new(format!(
            "KMS does not know the key {key} in account {of} and {region}: name an existing key in the rule{rule}; \
             {check}"
        ))),
    }
}

/// One of the keys that would decide is hidden from us.
pub(super) fn hidden_key(facts: &Facts<'_>, target: &Target) -> Remedy {
    let hidden = keys_that_matter(target, facts.encryption).find_map(|key| match facts.keys.get(key) {
        Some(KeyLookup::Denied { code, words }) => Some((key, (code, words))),
        Some(KeyLookup::Found(_) | KeyLookup::NotFound) | None => None,
    });
    hidden.map_or(Remedy::None, |(key, why)| describable(facts, key, why))
}

/// What lets us know of a key that we were refused, with this code and these words.
fn describable(facts: &Facts<'_>, key: &KeyRef, (code, words): (&EventText, &EventText)) -> Remedy {
    let own = &facts.stream.scope;
    if code.as_str() == NOT_RECORDED {
        return Remedy::Key(Advice::new(format!(
            "AWS Config has not recorded {key}: configure it to record AWS::KMS::Key and AWS::KMS::Alias in account \
             {} and {}, or observe the \
             stream itself, with a role in its account (`streamseal audit --accounts {} --role NAME --region {}`)",
            key.account().unwrap_or(&own.account),
            own.region,
            own.account,
            own.region
        )));
    }
    Remedy::Permission(to_describe(key, words.as_str(), own))
}

/// Kinesis says that the key which it was to use, or that the stream is on, cannot be used.
pub(super) fn unwritable_key(facts: &Facts<'_>) -> Remedy {
    let Some(target) = facts.outcome.and_then(Outcome::target) else { return Remedy::None };
    let own = &facts.stream.scope;
    let Some(key) = identity_of(&target.key, facts.keys, own) else {
        return no_such_key(facts, &target.key);
    };
    let problem = facts.keys.values().find_map(|found| match found {
        KeyLookup::Found(KeyInfo { identity, problem: Some(problem), .. }) if *identity == key => Some(problem),
        KeyLookup::Found(_) | KeyLookup::NotFound | KeyLookup::Denied { .. } => None,
    });
    match (problem, &key) {
        (Some(problem), _) => key_trouble(facts, Some(&target.key), &key, problem),
        (None, KeyIdentity::Arn(arn)) => {
            let text = format!(
                "Kinesis cannot use the key {arn}: check its state and its key policy{}",
                with_credentials(arn.account(), facts)
            );
            let see = format!("aws kms describe-key --key-id {arn} --region {}", arn.region());
            Remedy::Key(Advice::new(text).command(Some(see)))
        }
        (None, KeyIdentity::AwsManagedAlias) => Remedy::None,
    }
}
