//! What AWS Config recorded: streams, keys and aliases, from the results of its queries. Everything here is as of when Config took it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::arn::{Arn, KeyArn, KeyRef, Scope, StreamArn, StreamName};
use super::model::{Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem, Observed, StreamStatus, Tags};
use super::plan::situation::{Keys, Situation, assess, key_needed};
use super::policy::Outcome;
use super::text::EventText;

/// Stands for the code of an answer, where Config does not know a key. It may be there: not every account records KMS.
pub const NOT_RECORDED: &str = "NotRecorded";

/// A stream as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedStream {
    /// Which one.
    pub stream: StreamArn,
    /// Its setting. Config does not record the status: a stream that it knows is taken to be ACTIVE.
    pub observed: Observed,
    /// Its tags.
    pub tags: Tags,
}

/// What is asked of Config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Aliases of keys.
    Aliases,
    /// Keys.
    Keys,
    /// Streams.
    Streams,
}

impl Kind {
    fn resource_type(self) -> &'static str {
        match self {
            Self::Aliases => "AWS::KMS::Alias",
            Self::Keys => "AWS::KMS::Key",
            Self::Streams => "AWS::Kinesis::Stream",
        }
    }
}

/// A query for the accounts that have something of one kind recorded, each once.
pub fn accounts_with(kind: Kind) -> String {
    format!("SELECT accountId, COUNT(*) WHERE resourceType = '{}' GROUP BY accountId", kind.resource_type())
}

/// A query for everything of one kind that was recorded in these accounts and Regions; none stands for all. In the order of accounts and
/// Regions, so that its pages are too. The texts are ids and names of those, and have no quotes.
pub fn query(kind: Kind, accounts: &[String], regions: &[String]) -> String {
    let (of, fields) = (
        kind.resource_type(),
        match kind {
            Kind::Aliases => "configuration.AliasName, configuration.TargetKeyId",
            Kind::Keys => {
                "configuration.keyState, configuration.keyManager, configuration.keyUsage, configuration.customerMasterKeySpec, \
             configuration.origin"
            }
            Kind::Streams => {
                "resourceName, resourceCreationTime, configurationItemCaptureTime, configuration.Name, \
             configuration.RetentionPeriodHours, configuration.StreamEncryption.EncryptionType, \
             configuration.StreamEncryption.KeyId, tags"
            }
        },
    );
    let within = |field: &str, values: &[String]| {
        let values: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
        if values.is_empty() { String::new() } else { format!(" AND {field} IN ({})", values.join(", ")) }
    };
    format!(
        "SELECT accountId, awsRegion, arn, {fields} WHERE resourceType = '{of}'{}{} ORDER BY accountId, awsRegion",
        within("accountId", accounts),
        within("awsRegion", regions)
    )
}

/// What cannot be read of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub EventText);

/// The text of a member, by its path.
fn text<'v>(item: &'v Value, path: &[&str]) -> Option<&'v str> {
    let mut value = item;
    for name in path {
        value = value.get(name)?;
    }
    value.as_str()
}

/// A time: Config writes them as texts or as milliseconds.
fn time(item: &Value, name: &str) -> Option<Timestamp> {
    match item.get(name)? {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => Timestamp::from_millisecond(number.as_i64()?).ok(),
        _ => None,
    }
}

/// The account and Region of a result.
fn scope(item: &Value) -> Option<Scope> {
    let (region, account) = (text(item, &["awsRegion"])?, text(item, &["accountId"])?);
    let is_one = Scope::is_region(region) && Scope::is_account(account);
    let partition = text(item, &["arn"]).and_then(Arn::parse).map(|arn| arn.partition).filter(|of| !of.is_empty());
    let partition = partition.unwrap_or_else(|| Scope::partition_of(region));
    is_one.then(|| Scope { partition: partition.to_owned(), region: region.to_owned(), account: account.to_owned() })
}

impl RecordedStream {
    /// Reads one result of a query for streams.
    pub fn read(item: &Value) -> Result<Self, Unreadable> {
        let lacks = |what: &str| Unreadable(EventText::new(&format!("{what} cannot be read of {item}")));
        let scope = scope(item).ok_or_else(|| lacks("account and Region"))?;
        let name = text(item, &["configuration", "Name"]).or_else(|| text(item, &["resourceName"]));
        let name = name.and_then(StreamName::parse).ok_or_else(|| lacks("the stream's name"))?;
        let at = time(item, "configurationItemCaptureTime").ok_or_else(|| lacks("when it was recorded"))?;
        let encryption = item.pointer("/configuration/StreamEncryption");
        let of = |name: &str| encryption.and_then(|of| text(of, &[name]));
        let hours = item.pointer("/configuration/RetentionPeriodHours").and_then(Value::as_u64);
        let observed = Observed {
            status: StreamStatus::Active,
            encryption: Encryption::read(of("EncryptionType"), of("KeyId")),
            // Where it is not recorded the stream counts as older than any date of a policy: it is reported, as it stands.
            created: time(item, "resourceCreationTime").unwrap_or(Timestamp::UNIX_EPOCH),
            retention_hours: hours.and_then(|hours| u32::try_from(hours).ok()).unwrap_or_default(),
            at,
        };
        Ok(Self { stream: scope.stream(name), observed, tags: tags(item) })
    }

    /// How it stands with what the policy requires of it, by the recorded keys; and those that matter.
    pub fn situation(&self, outcome: &Outcome, recorded: &RecordedKeys) -> (Situation, Keys) {
        let (own, mut keys) = (&self.stream.scope, Keys::new());
        while let Some(key) = key_needed(outcome, &self.observed.encryption, &keys, own) {
            let found = recorded.lookup(&key, own);
            keys.insert(key, found);
        }
        (assess(outcome, &self.observed, &keys, own), keys)
    }
}

fn tags(item: &Value) -> Tags {
    let all = item.get("tags").and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|tag| Some((text(tag, &["key"])?.to_owned(), text(tag, &["value"]).unwrap_or_default().to_owned())))
        .collect()
}

/// The keys and aliases that were recorded, of all accounts and Regions.
#[derive(Clone, Debug, Default)]
pub struct RecordedKeys {
    keys: BTreeMap<KeyArn, KeyInfo>,
    /// The key of each alias, by the alias's ARN.
    aliases: BTreeMap<String, KeyArn>,
    /// The first alias of each key, by its name.
    names: BTreeMap<KeyArn, String>,
}

impl RecordedKeys {
    /// Takes one result of a query for keys.
    pub fn take_key(&mut self, item: &Value) -> Result<(), Unreadable> {
        let lacks = || Unreadable(EventText::new(&format!("the key's ARN cannot be read of {item}")));
        let of = |name: &str| text(item, &["configuration", name]);
        let arn = text(item, &["arn"]).or_else(|| of("arn")).and_then(KeyArn::parse).ok_or_else(lacks)?;
        let manager = if of("keyManager") == Some("AWS") { KeyManager::Aws } else { KeyManager::Customer };
        let spec = of("keySpec").or_else(|| of("customerMasterKeySpec"));
        let problem = KeyProblem::of(of("keyUsage"), spec, of("keyState"));
        let [state, origin] = [of("keyState"), of("origin")].map(|said| said.map(EventText::new));
        let info = KeyInfo { state, origin, ..KeyInfo::new(KeyIdentity::Arn(arn.clone()), manager, problem) };
        self.keys.insert(arn, info);
        Ok(())
    }

    /// Takes one result of a query for aliases. One without a key means none.
    pub fn take_alias(&mut self, item: &Value) -> Result<(), Unreadable> {
        let lacks = || Unreadable(EventText::new(&format!("the alias cannot be read of {item}")));
        let scope = scope(item).ok_or_else(lacks)?;
        let alias = text(item, &["configuration", "AliasName"]).or_else(|| text(item, &["resourceName"]));
        let alias = alias.and_then(KeyRef::parse).filter(KeyRef::is_alias).ok_or_else(lacks)?;
        let Some(key) = text(item, &["configuration", "TargetKeyId"]) else { return Ok(()) };
        let key = key_arn(key, &scope).ok_or_else(lacks)?;
        let name = alias.alias().unwrap_or_default().to_owned();
        self.aliases.insert(alias_arn(&alias, &scope).ok_or_else(lacks)?, key.clone());
        let first = self.names.entry(key).or_insert_with(|| name.clone());
        if name < *first {
            *first = name;
        }
        Ok(())
    }

    /// What a key is called: the first of its aliases.
    pub fn name_of(&self, key: &KeyArn) -> Option<&str> {
        self.names.get(key).map(String::as_str)
    }

    /// Which key a reference means in an account and Region, as DescribeKey would say there; a key that was not recorded is not known.
    pub fn lookup(&self, key: &KeyRef, own: &Scope) -> KeyLookup {
        let resolved = match alias_arn(key, own) {
            Some(alias) => self.aliases.get(&alias).cloned(),
            None => key_arn(key.as_str(), own),
        };
        let recorded = resolved.as_ref().and_then(|arn| self.keys.get(arn));
        match recorded {
            Some(info) => {
                let elsewhere = resolved.as_ref().map(KeyArn::region).filter(|region| *region != own.region);
                let elsewhere = elsewhere.map(|region| KeyProblem::Region(EventText::new(region)));
                let info = info.clone();
                KeyLookup::Found(KeyInfo { problem: elsewhere.or(info.problem), ..info })
            }
            // AWS's own key is always usable, whether it is recorded or not.
            None if key.is_aws_managed_alias(own) => {
                let identity = resolved.map_or(KeyIdentity::AwsManagedAlias, KeyIdentity::Arn);
                KeyLookup::Found(KeyInfo::new(identity, KeyManager::Aws, None))
            }
            None => KeyLookup::Denied {
                code: EventText::new(NOT_RECORDED),
                words: EventText::new(&format!("AWS Config has not recorded {key}")),
            },
        }
    }

    /// How many keys and aliases there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.aliases.len())
    }
}

/// A key by its ARN or its id.
fn key_arn(text: &str, own: &Scope) -> Option<KeyArn> {
    let Scope { partition, region, account } = own;
    KeyArn::parse(text).or_else(|| KeyArn::parse(&format!("arn:{partition}:kms:{region}:{account}:key/{text}")))
}

/// The ARN of an alias; `None` where it is none.
fn alias_arn(key: &KeyRef, own: &Scope) -> Option<String> {
    let Scope { partition, region, account } = own;
    let alias = key.alias()?;
    let is_arn = key.as_str() != alias;
    Some(if is_arn { key.as_str().to_owned() } else { format!("arn:{partition}:kms:{region}:{account}:{alias}") })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::policy::Policy;

    fn own() -> Scope {
        Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
    }

    /// As the schemas of AWS Config have it, with more than is read.
    fn stream(configuration: Value) -> Value {
        json!({
            "accountId": "111122223333", "awsRegion": "eu-west-1", "resourceName": "orders",
            "arn": "arn:aws:kinesis:eu-west-1:111122223333:stream/orders", "resourceCreationTime": "2026-01-02T03:04:05.000Z",
            "configurationItemCaptureTime": "2026-11-28T10:00:00.123Z", "configuration": configuration,
            "tags": [{"key": "team", "value": "a", "tag": "team=a"}, {"key": "empty", "tag": "empty="}], "unknown": [1],
        })
    }

    #[test]
    fn a_stream_is_read_as_it_was_recorded() {
        let read = |configuration| RecordedStream::read(&stream(configuration)).unwrap();
        let none = read(json!({"Name": "orders", "RetentionPeriodHours": 48}));
        assert_eq!(none.stream.to_string(), "arn:aws:kinesis:eu-west-1:111122223333:stream/orders");
        assert_eq!(none.observed.encryption, Encryption::None);
        assert_eq!((none.observed.retention_hours, &none.observed.status), (48, &StreamStatus::Active));
        assert_eq!(none.observed.at.to_string(), "2026-11-28T10:00:00.123Z");
        assert_eq!(none.observed.created.to_string(), "2026-01-02T03:04:05Z");
        let tags = [("empty".to_owned(), String::new()), ("team".to_owned(), "a".to_owned())];
        assert_eq!(none.tags, Tags::from(tags));
        for (setting, expected) in [
            (json!({"EncryptionType": "NONE"}), Encryption::None),
            (
                json!({"EncryptionType": "KMS", "KeyId": "alias/app"}),
                Encryption::Kms(KeyRef::parse("alias/app").unwrap()),
            ),
            (json!({"EncryptionType": "NEW"}), Encryption::Unreadable(EventText::new("NEW"))),
        ] {
            let found = read(json!({"Name": "orders", "StreamEncryption": setting}));
            assert_eq!(found.observed.encryption, expected);
        }
        // A number of milliseconds is a time too; what has none counts as old.
        let mut item = stream(json!({"Name": "orders"}));
        item["resourceCreationTime"] = json!(1_767_323_045_000_i64);
        assert_eq!(RecordedStream::read(&item).unwrap().observed.created.to_string(), "2026-01-02T03:04:05Z");
        item["resourceCreationTime"].take();
        assert_eq!(RecordedStream::read(&item).unwrap().observed.created, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_result_that_says_too_little_is_no_stream() {
        for (member, value) in [
            ("accountId", json!("1")),
            ("accountId", Value::Null),
            ("awsRegion", json!("nowhere")),
            ("configurationItemCaptureTime", json!("soon")),
            ("configurationItemCaptureTime", Value::Null),
        ] {
            let mut item = stream(json!({"Name": "orders"}));
            item[member] = value;
            assert!(RecordedStream::read(&item).is_err(), "{member}");
        }
        let mut item = stream(json!({"Name": "no/name"}));
        assert!(RecordedStream::read(&item).is_err());
        item["configuration"].take();
        assert_eq!(RecordedStream::read(&item).unwrap().stream.name.as_str(), "orders");
        assert!(RecordedStream::read(&json!("text")).is_err());
    }

    fn key(account: &str, region: &str, id: &str, configuration: Value) -> Value {
        let mut usual = json!({
            "keyId": id, "keyState": "Enabled", "keyManager": "CUSTOMER", "keyUsage": "ENCRYPT_DECRYPT",
            "customerMasterKeySpec": "SYMMETRIC_DEFAULT",
        });
        for (name, value) in configuration.as_object().unwrap() {
            usual[name] = value.clone();
        }
        let arn = format!("arn:aws:kms:{region}:{account}:key/{id}");
        json!({"accountId": account, "awsRegion": region, "arn": arn, "configuration": usual})
    }

    fn alias(account: &str, region: &str, name: &str, target: &str) -> Value {
        json!({"accountId": account, "awsRegion": region, "configuration": {"AliasName": name, "TargetKeyId": target}})
    }

    #[test]
    fn a_key_is_the_one_of_the_streams_own_account_and_region() {
        let mut keys = RecordedKeys::default();
        for item in [
            key("111122223333", "eu-west-1", "one", json!({})),
            key("111122223333", "eu-west-1", "off", json!({"keyState": "Disabled"})),
            key("111122223333", "eu-west-1", "rsa", json!({"customerMasterKeySpec": "RSA_2048"})),
            key("111122223333", "eu-west-1", "aws", json!({"keyManager": "AWS"})),
            key("111122223333", "us-east-1", "far", json!({})),
            key("444455556666", "eu-west-1", "other", json!({})),
        ] {
            keys.take_key(&item).unwrap();
        }
        for (account, name, target) in [
            ("111122223333", "alias/app", "one"),
            ("444455556666", "alias/app", "other"),
            ("111122223333", "alias/unrecorded", "nowhere"),
        ] {
            keys.take_alias(&alias(account, "eu-west-1", name, target)).unwrap();
        }
        // Made for a key that was deleted since.
        keys.take_alias(&json!({"accountId": "111122223333", "awsRegion": "eu-west-1", "configuration": {"AliasName": "alias/none"}}))
            .unwrap();
        assert_eq!(keys.counts(), (6, 3));
        let one = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/one").unwrap();
        assert_eq!(keys.name_of(&one), Some("alias/app"));
        keys.take_alias(&alias("111122223333", "eu-west-1", "alias/also", "one")).unwrap();
        assert_eq!(keys.name_of(&one), Some("alias/also"), "the first one");
        let said = |text: &str| match keys.lookup(&KeyRef::parse(text).unwrap(), &own()) {
            KeyLookup::Found(KeyInfo { identity, manager, problem, .. }) => {
                let id = identity.as_str().rsplit(':').next().unwrap().to_owned();
                let problem = problem.map(|problem| format!(" ({problem})")).unwrap_or_default();
                format!("{id} {manager:?}{problem}")
            }
            KeyLookup::Denied { code, .. } => code.to_string(),
            KeyLookup::NotFound => "not found".to_owned(),
        };
        for (text, expected) in [
            ("one", "key/one Customer"),
            ("arn:aws:kms:eu-west-1:111122223333:key/one", "key/one Customer"),
            ("alias/app", "key/one Customer"),
            ("arn:aws:kms:eu-west-1:111122223333:alias/app", "key/one Customer"),
            // Of another account, where it is named with it.
            ("arn:aws:kms:eu-west-1:444455556666:alias/app", "key/other Customer"),
            ("arn:aws:kms:eu-west-1:444455556666:key/other", "key/other Customer"),
            ("other", NOT_RECORDED),
            ("off", "key/off Customer (its KeyState is Disabled)"),
            ("rsa", "key/rsa Customer (its KeySpec is RSA_2048, not SYMMETRIC_DEFAULT)"),
            ("aws", "key/aws Aws"),
            ("arn:aws:kms:us-east-1:111122223333:key/far", "key/far Customer (it is a key of Region us-east-1)"),
            // What was not recorded may be there all the same.
            ("nowhere", NOT_RECORDED),
            ("alias/nothing", NOT_RECORDED),
            ("alias/unrecorded", NOT_RECORDED),
            ("alias/none", NOT_RECORDED),
            ("alias/aws/kinesis", "alias/aws/kinesis Aws"),
        ] {
            assert_eq!(said(text), expected, "{text}");
        }
        // Where the alias is recorded, that is the key; its state need not be.
        keys.take_alias(&alias("111122223333", "eu-west-1", "alias/aws/kinesis", "managed")).unwrap();
        let found = keys.lookup(&KeyRef::parse("alias/aws/kinesis").unwrap(), &own());
        let KeyLookup::Found(info) = found else { panic!("{found:?}") };
        assert_eq!(info.identity.as_str(), "arn:aws:kms:eu-west-1:111122223333:key/managed");
        assert_eq!((info.manager, info.problem), (KeyManager::Aws, None));
        for item in [json!({}), json!({"arn": "arn:aws:kms:eu-west-1:111122223333:alias/app"})] {
            assert!(keys.take_key(&item).is_err() && keys.take_alias(&item).is_err(), "{item}");
        }
    }

    /// By the same policy, each in its own account: the alias is another key there.
    #[test]
    fn a_stream_is_judged_by_the_keys_of_its_own_account() {
        let mut keys = RecordedKeys::default();
        for (account, id) in [("111122223333", "one"), ("444455556666", "other")] {
            keys.take_key(&key(account, "eu-west-1", id, json!({}))).unwrap();
            keys.take_alias(&alias(account, "eu-west-1", "alias/app", id)).unwrap();
        }
        let text = "{version: 1, defaults: {existing: enforce}, rules: [{name: app, match: {tags: {team: a}}, key: alias/app}, {name: scratch, exempt: {reason: r}}]}";
        let policy = Policy::load(text).unwrap();
        let judged = |account: &str, team: &str, setting: Value| {
            let mut item = stream(json!({"Name": "orders", "StreamEncryption": setting}));
            item["accountId"] = json!(account);
            item["arn"].take();
            item["tags"] = json!([{"key": "team", "value": team}]);
            let stream = RecordedStream::read(&item).unwrap();
            let decision = policy.decide(&stream.stream, &stream.tags, stream.observed.at);
            match stream.situation(&decision.outcome, &keys).0 {
                Situation::Right { key, .. } => format!("right {}", key.as_str().rsplit(':').next().unwrap()),
                Situation::Wrong(wrong) => format!("wrong {}", wrong.target.as_str().rsplit(':').next().unwrap()),
                other => format!("{other:?}").split(['(', ' ']).next().unwrap().to_owned(),
            }
        };
        let kms = |key: &str| json!({"EncryptionType": "KMS", "KeyId": key});
        for (account, team, setting, expected) in [
            ("111122223333", "a", kms("alias/app"), "right key/one"),
            ("111122223333", "a", kms("one"), "right key/one"),
            ("444455556666", "a", kms("alias/app"), "right key/other"),
            ("444455556666", "a", kms("arn:aws:kms:eu-west-1:111122223333:key/one"), "wrong key/other"),
            ("111122223333", "a", Value::Null, "wrong key/one"),
            ("111122223333", "b", kms("one"), "Exempt"),
            // What was not recorded is not known, whatever it may be.
            ("111122223333", "a", kms("unrecorded"), "Unreadable"),
            ("777788889999", "a", kms("alias/app"), "Unreadable"),
            // A stream without encryption is wrong whatever its key is.
            ("777788889999", "a", Value::Null, "NoSuchKey"),
        ] {
            assert_eq!(judged(account, team, setting.clone()), expected, "{account} {team} {setting}");
        }
    }

    #[test]
    fn a_query_asks_for_what_is_read() {
        let [account, region] = [["111122223333".to_owned()], ["eu-west-1".to_owned()]];
        let all = query(Kind::Aliases, &[], &[]);
        assert_eq!(
            all,
            "SELECT accountId, awsRegion, arn, configuration.AliasName, configuration.TargetKeyId WHERE resourceType = \
             'AWS::KMS::Alias' ORDER BY accountId, awsRegion"
        );
        let some = query(Kind::Keys, &account, &[region[0].clone(), "us-east-1".to_owned()]);
        let within =
            "'AWS::KMS::Key' AND accountId IN ('111122223333') AND awsRegion IN ('eu-west-1', 'us-east-1') ORDER BY";
        assert!(some.contains(within), "{some}");
        let streams = query(Kind::Streams, &[], &region);
        for member in
            ["configurationItemCaptureTime", "configuration.StreamEncryption.KeyId", "resourceCreationTime", ", tags "]
        {
            assert!(streams.contains(member), "{member}: {streams}");
        }
    }
}
