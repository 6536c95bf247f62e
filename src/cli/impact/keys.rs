//! What is read of a key: which one it is, its policy, its grants. Each key once, for all streams.

use std::collections::BTreeMap;

use aws_sdk_kms::Client;

use super::calls::{GET_KEY_POLICY, LIST_GRANTS};
use super::search::{PAGES_MAX, pages};
use crate::aws::logged;
use crate::cli::context::Context;
use crate::domain::access::document::Document;
use crate::domain::access::grant::Grant;
use crate::domain::arn::{KeyArn, KeyRef};
use crate::domain::failure::Failure;
use crate::domain::impact::key::KeyFacts;
use crate::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager};
use crate::ports::{CallLog, KeyApi};

/// The keys that were read.
pub(super) struct Keys<'a> {
    context: &'a Context,
    client: Client,
    looked_up: BTreeMap<KeyRef, KeyLookup>,
    facts: BTreeMap<KeyIdentity, KeyFacts>,
}

impl<'a> Keys<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        let client = Client::new(&context.sdk);
        Self { context, client, looked_up: BTreeMap::new(), facts: BTreeMap::new() }
    }

    /// Takes over what was looked up already, where that found the key.
    pub(super) fn learn(&mut self, known: &BTreeMap<KeyRef, KeyLookup>) {
        let found = known.iter().filter(|(_, lookup)| matches!(lookup, KeyLookup::Found(_)));
        self.looked_up.extend(found.map(|(key, lookup)| (key.clone(), lookup.clone())));
        // A key goes by its ARN too.
        let by_arn = known.values().filter_map(|lookup| match lookup {
            KeyLookup::Found(info) => Some((KeyRef::parse(info.identity.as_str())?, lookup.clone())),
            KeyLookup::NotFound | KeyLookup::Denied { .. } => None,
        });
        self.looked_up.extend(by_arn);
    }

    /// Which key this is.
    pub(super) async fn lookup(&mut self, key: &KeyRef) -> Result<KeyLookup, Failure> {
        if let Some(known) = self.looked_up.get(key) {
            return Ok(known.clone());
        }
        let found = self.context.aws.lookup(key, &CallLog::default()).await?;
        self.looked_up.insert(key.clone(), found.clone());
        Ok(found)
    }

    /// Its policy and its grants.
    pub(super) async fn facts(&mut self, info: &KeyInfo) -> KeyFacts {
        if let Some(known) = self.facts.get(&info.identity) {
            return known.clone();
        }
        let (policy, grants) = match &info.identity {
            KeyIdentity::AwsManagedAlias => (Err("KMS has not created it yet".to_owned()), Ok(Vec::new())),
            // Of a key of another account neither can be read (KMS API reference, GetKeyPolicy).
            KeyIdentity::Arn(arn) if arn.account() != self.context.config.own.account => {
                let why = format!("it belongs to account {} and can be read only there", arn.account());
                (Err(why.clone()), Err(why))
            }
            KeyIdentity::Arn(arn) => {
                let words = |failure: Failure| format!("{} failed ({})", failure.call, failure.code);
                (self.policy(arn).await.map_err(words), self.grants(arn).await.map_err(words).and_then(|of| of))
            }
        };
        let facts = KeyFacts { identity: info.identity.clone(), manager: info.manager, policy, grants };
        self.facts.insert(info.identity.clone(), facts.clone());
        facts
    }

    /// What is known of a key that KMS does not show us.
    pub(super) fn hidden(arn: KeyArn, why: &str) -> KeyFacts {
        let identity = KeyIdentity::Arn(arn);
        KeyFacts { identity, manager: KeyManager::Customer, policy: Err(why.to_owned()), grants: Err(why.to_owned()) }
    }

    async fn policy(&self, arn: &KeyArn) -> Result<Document, Failure> {
        // Every key has one policy, of this name (KMS API reference, GetKeyPolicy).
        let request = self.client.get_key_policy().key_id(arn.as_str()).policy_name("default");
        let answer = logged(&CallLog::default(), GET_KEY_POLICY, request.send()).await?;
        Ok(Document::read(answer.policy().unwrap_or_default()))
    }

    async fn grants(&self, arn: &KeyArn) -> Result<Result<Vec<Grant>, String>, Failure> {
        let mut grants = Vec::new();
        let whole = pages(async |marker| {
            let request = self.client.list_grants().key_id(arn.as_str()).set_marker(marker);
            let page = logged(&CallLog::default(), LIST_GRANTS, request.send()).await?;
            grants.extend(page.grants().iter().map(grant));
            Ok(page.next_marker.filter(|_| page.truncated))
        })
        .await?;
        let too_long = || format!("only the first {PAGES_MAX} pages of the key's grants were read");
        Ok(if whole { Ok(grants) } else { Err(too_long()) })
    }
}

fn grant(entry: &aws_sdk_kms::types::GrantListEntry) -> Grant {
    let pairs = |of: Option<&std::collections::HashMap<String, String>>| {
        of.map(|of| of.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<BTreeMap<_, _>>())
    };
    let constraints = entry.constraints();
    Grant {
        id: entry.grant_id().unwrap_or_default().to_owned(),
        grantee: entry.grantee_principal().or(entry.grantee_service_principal()).unwrap_or_default().to_owned(),
        operations: entry.operations().iter().map(|operation| operation.as_str().to_owned()).collect(),
        subset: pairs(constraints.and_then(|of| of.encryption_context_subset())),
        equals: pairs(constraints.and_then(|of| of.encryption_context_equals())),
        source_arn: constraints.and_then(|of| of.source_arn()).map(str::to_owned),
    }
}
