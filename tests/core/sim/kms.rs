//! KMS: keys with their states over time, aliases, and what our role may do with them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use streamseal::domain::arn::{AWS_MANAGED_ALIAS, KeyArn, KeyRef};
use streamseal::domain::failure::Failure;
use streamseal::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem};
use streamseal::domain::text::EventText;
use streamseal::ports::{CallLog, KeyApi};

use super::kinesis::Unusable;
use super::{Op, Sim};

/// All keys, by id, and the aliases.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, String>,
}

/// One key.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    manager: KeyManager,
    /// `KeyState`, from when on.
    states: Vec<(Timestamp, String)>,
    /// DescribeKey is denied to us.
    pub(crate) secret: bool,
    /// GenerateDataKey and Decrypt are denied to us.
    pub(crate) forbidden: bool,
    /// How often it got new material.
    pub(crate) rotations: u32,
}

/// The ARN of a key here; that of another account is its own id.
pub(crate) fn key_arn(id: &str) -> String {
    if id.starts_with("arn:") { id.to_owned() } else { format!("arn:aws:kms:eu-west-1:111122223333:key/{id}") }
}

impl Key {
    fn state(&self, now: Timestamp) -> &str {
        self.states.iter().rev().find(|(from, _)| *from <= now).map_or("Creating", |(_, state)| state)
    }
}

impl Keys {
    /// Adds an enabled customer-managed key with an alias of the same name: `alias/ID`.
    pub(crate) fn add(&mut self, id: &str) {
        let states = vec![(Timestamp::MIN, "Enabled".to_owned())];
        let key = Key { manager: KeyManager::Customer, states, secret: false, forbidden: false, rotations: 0 };
        self.keys.insert(id.to_owned(), key);
        self.alias(&format!("alias/{id}"), id);
    }

    /// The key `aws/kinesis`, as it is after its first use.
    pub(crate) fn add_aws_managed(&mut self) {
        self.add("aws-kinesis");
        self.make_aws_managed("aws-kinesis");
        self.alias(AWS_MANAGED_ALIAS, "aws-kinesis");
    }

    /// Makes a key one of AWS's own.
    pub(crate) fn make_aws_managed(&mut self, id: &str) {
        self.key(id).manager = KeyManager::Aws;
    }

    /// Points an alias somewhere.
    pub(crate) fn alias(&mut self, alias: &str, id: &str) {
        self.aliases.insert(alias.to_owned(), id.to_owned());
    }

    /// DeleteAlias.
    pub(crate) fn remove_alias(&mut self, alias: &str) {
        self.aliases.remove(alias);
    }

    pub(crate) fn key(&mut self, id: &str) -> &mut Key {
        self.keys.get_mut(id).unwrap()
    }

    pub(crate) fn set_state(&mut self, id: &str, state: &str, now: Timestamp) {
        self.key(id).states.push((now, state.to_owned()));
    }

    /// The id that a reference means.
    pub(crate) fn resolve(&self, key: &str) -> Option<&str> {
        let own = "arn:aws:kms:eu-west-1:111122223333:";
        let key = key.strip_prefix(own).unwrap_or(key);
        match self.aliases.get(key) {
            Some(id) => Some(id),
            None => self.keys.get_key_value(key.strip_prefix("key/").unwrap_or(key)).map(|(id, _)| id.as_str()),
        }
    }

    /// Whether two references mean one key.
    pub(crate) fn same(&self, one: &str, other: &str) -> bool {
        one == other || (self.resolve(one).is_some() && self.resolve(one) == self.resolve(other))
    }

    fn get(&self, key: &str) -> Option<&Key> {
        self.keys.get(self.resolve(key)?)
    }

    /// Whether a key can encrypt now. `alias/aws/kinesis` can before there is a key behind it: that is made then.
    pub(crate) fn usable(&mut self, key: &str, now: Timestamp) -> Result<(), Unusable> {
        if key == AWS_MANAGED_ALIAS && self.get(key).is_none() {
            self.add_aws_managed();
        }
        match self.get(key).map(|key| key.state(now)) {
            None => Err("KMSNotFoundException"),
            Some("Enabled") => Ok(()),
            Some("Disabled") => Err("KMSDisabledException"),
            Some(_) => Err("KMSInvalidStateException"),
        }
    }

    /// The same, without bringing one into being.
    pub(crate) fn is_usable(&self, key: &str, now: Timestamp) -> bool {
        key == AWS_MANAGED_ALIAS || self.get(key).is_some_and(|key| key.state(now) == "Enabled")
    }

    pub(crate) fn manager(&self, key: &str) -> Option<KeyManager> {
        if key == AWS_MANAGED_ALIAS { Some(KeyManager::Aws) } else { self.get(key).map(|key| key.manager) }
    }

    /// Whether our role may use a key.
    pub(crate) fn allowed(&self, key: &str) -> Result<(), Unusable> {
        let forbidden = self.get(key).is_some_and(|key| key.forbidden);
        if forbidden { Err("KMSAccessDeniedException") } else { Ok(()) }
    }

    /// DescribeKey, as the adapters answer it.
    pub(crate) fn describe(&self, key: &str, now: Timestamp) -> KeyLookup {
        let Some(id) = self.resolve(key) else {
            let (identity, manager) = (KeyIdentity::AwsManagedAlias, KeyManager::Aws);
            let unborn = KeyInfo::new(identity, manager, None);
            return if key == AWS_MANAGED_ALIAS { KeyLookup::Found(unborn) } else { KeyLookup::NotFound };
        };
        let found = &self.keys[id];
        if found.secret {
            let (code, words) = (EventText::new("AccessDeniedException"), EventText::new("so says the simulation"));
            return KeyLookup::Denied { code, words };
        }
        let state = found.state(now);
        let problem = match state {
            "Enabled" => None,
            "Creating" | "Updating" => Some(KeyProblem::NotReady(EventText::new(state))),
            _ => Some(KeyProblem::State(EventText::new(state))),
        };
        let identity = KeyIdentity::Arn(KeyArn::parse(&key_arn(id)).unwrap());
        let material = Some(EventText::new(&format!("{id}-{}", found.rotations)));
        let (state, origin) = (Some(EventText::new(state)), Some(EventText::new("AWS_KMS")));
        KeyLookup::Found(KeyInfo { state, origin, material, ..KeyInfo::new(identity, found.manager, problem) })
    }
}

impl KeyApi for Sim {
    async fn lookup(&self, key: &KeyRef, log: &CallLog) -> Result<KeyLookup, Failure> {
        self.call(Op::Lookup, key.as_str(), "", Some(log), |state, now, run| {
            let found = state.keys.describe(key.as_str(), now);
            state.watch.served_key(run, key.as_str(), &found, now);
            Ok(found)
        })
        .await
    }
}
