//! Names of streams and keys, parsed once at the edge and trusted afterwards.
//!
//! A value of these types is well formed: a [`StreamArn`] names a stream and not a consumer, a [`KeyRef`] has one of the five forms that
//! the Kinesis API takes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::text::EventText;

/// The account, Region and partition that this deployment answers for; streams elsewhere are never acted on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// Such as `eu-west-1`.
    pub region: String,
    /// Twelve digits.
    pub account: String,
}

impl Scope {
    /// The ARN of the stream `name` here.
    pub fn stream(&self, name: StreamName) -> StreamArn {
        StreamArn { scope: self.clone(), name }
    }

    /// The name of a service here, as `kms:ViaService` has it (KMS developer guide, condition keys).
    pub fn service(&self, service: &str) -> String {
        let suffix = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        format!("{service}.{}.{suffix}", self.region)
    }

    /// Whether `text` can be an AWS account id: twelve digits.
    pub fn is_account(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
    }

    /// Whether `text` has the shape of a Region name: `eu-west-1`, `us-gov-east-1`.
    pub fn is_region(text: &str) -> bool {
        let parts: Vec<&str> = text.split('-').collect();
        (3..=5).contains(&parts.len())
            && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
            && parts.last().is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
    }

    /// The partition that a Region belongs to, by the prefixes that botocore's `partitions.json` lists.
    pub fn partition_of(region: &str) -> &'static str {
        let known = [
            ("cn-", "aws-cn"),
            ("us-gov-", "aws-us-gov"),
            ("us-isob-", "aws-iso-b"),
            ("us-isof-", "aws-iso-f"),
            ("eu-isoe-", "aws-iso-e"),
            ("us-iso-", "aws-iso"),
            ("eusc-", "aws-eusc"),
        ];
        known.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("aws", |(_, partition)| partition)
    }
}

/// A stream's name: 1 to 128 of `[a-zA-Z0-9_.-]` (Kinesis API reference, CreateStream).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(String);

impl StreamName {
    /// Parses a name; `None` where Kinesis would refuse it.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        legal.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The ARN of a data stream: `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamArn {
    /// Where the stream is.
    pub scope: Scope,
    /// Its name.
    pub name: StreamName,
}

/// What a Kinesis ARN names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KinesisArn {
    /// A data stream.
    Stream(StreamArn),
    /// A registered consumer of a stream, which has no encryption of its own.
    Consumer,
    /// Another kind of resource, such as `channel`: its kind.
    Other(EventText),
}

impl StreamArn {
    /// Parses the ARN of a stream; `None` for anything else, a consumer's ARN included.
    pub fn parse(text: &str) -> Option<Self> {
        match KinesisArn::parse(text)? {
            KinesisArn::Stream(arn) => Some(arn),
            KinesisArn::Consumer | KinesisArn::Other(_) => None,
        }
    }

    /// The stream as a command line of ours names it: a name that begins with a hyphen would be taken for an option, such as `--all`.
    pub fn argument(&self) -> String {
        if self.name.as_str().starts_with('-') { self.to_string() } else { self.name.to_string() }
    }
}

impl fmt::Display for StreamArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Scope { partition, region, account } = &self.scope;
        write!(f, "arn:{partition}:kinesis:{region}:{account}:stream/{}", self.name)
    }
}

impl KinesisArn {
    /// Parses the ARN of a stream, of a consumer (`…:stream/NAME/consumer/NAME:EPOCH`) or of another kind of resource (`…:KIND/ID`).
    pub fn parse(text: &str) -> Option<Self> {
        let (scope, resource) = split_arn(text, "kinesis")?;
        let (kind, rest) = resource.split_once('/')?;
        if kind != "stream" {
            let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            return (is_kind && !rest.is_empty()).then(|| Self::Other(EventText::new(kind)));
        }
        match rest.split_once('/') {
            None => Some(Self::Stream(StreamArn { scope, name: StreamName::parse(rest)? })),
            Some((name, consumer)) => {
                StreamName::parse(name)?;
                consumer.starts_with("consumer/").then_some(Self::Consumer)
            }
        }
    }
}

/// The parts of an ARN, `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`. Only their number is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arn<'a> {
    /// `aws`, `aws-cn`, …
    pub partition: &'a str,
    /// `kinesis`, `kms`, …
    pub service: &'a str,
    /// Empty for IAM and other global services.
    pub region: &'a str,
    /// Empty for S3 and for what belongs to AWS.
    pub account: &'a str,
    /// The rest: it may have colons.
    pub resource: &'a str,
}

impl<'a> Arn<'a> {
    /// Splits an ARN; `None` where a part is missing.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("arn:")?.splitn(5, ':');
        let mut next = || parts.next();
        let (partition, service, region, account, resource) = (next()?, next()?, next()?, next()?, next()?);
        Some(Self { partition, service, region, account, resource })
    }
}

/// The longest ARN, in bytes (Kinesis and KMS API references).
const ARN_MAX: usize = 2048;

/// Splits `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE`; `None` unless every part is well formed.
fn split_arn<'a>(text: &'a str, service: &str) -> Option<(Scope, &'a str)> {
    if text.len() > ARN_MAX {
        return None;
    }
    let Arn { partition, service: of, region, account, resource } = Arn::parse(text)?;
    let well_formed = (partition == "aws" || partition.starts_with("aws-"))
        && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
        && of == service
        && Scope::is_region(region)
        && Scope::is_account(account);
    let scope = Scope { partition: partition.to_owned(), region: region.to_owned(), account: account.to_owned() };
    well_formed.then_some((scope, resource))
}

/// The alias of the AWS-managed key that Kinesis offers.
pub const AWS_MANAGED_ALIAS: &str = "alias/aws/kinesis";

/// A key as somebody wrote it, in one of the five forms that StartStreamEncryption takes: key id, key ARN, alias name,
/// alias ARN, or `alias/aws/kinesis`.
///
/// Two of these are never compared for sameness: one key has many spellings, so sameness is decided on [`KeyIdentity`](super::model::KeyIdentity).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyRef(String);

impl KeyRef {
    /// Parses one of the five forms. At most 2,048 characters (Kinesis API reference, StartStreamEncryption). Key ids are
    /// not held to be UUIDs: multi-Region ids start with `mrk-`.
    pub fn parse(text: &str) -> Option<Self> {
        let legal = if let Some(name) = text.strip_prefix("alias/") {
            is_alias_name(name)
        } else if text.starts_with("arn:") {
            let (_, resource) = split_arn(text, "kms")?;
            match resource.split_once('/') {
                Some(("key", id)) => is_key_id(id),
                Some(("alias", name)) => is_alias_name(name),
                _ => false,
            }
        } else {
            is_key_id(text)
        };
        (legal && text.len() <= ARN_MAX).then(|| Self(text.to_owned()))
    }

    /// The reference as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's ARN where this is one already; an alias or a bare id has to be resolved first.
    pub fn as_key_arn(&self) -> Option<KeyArn> {
        KeyArn::parse(&self.0)
    }

    /// Whether this is an alias, by its name or by its ARN: it may mean another key tomorrow.
    pub fn is_alias(&self) -> bool {
        self.0.contains("alias/")
    }

    /// The account of an ARN; a bare id and an alias by its name have none of their own.
    pub fn account(&self) -> Option<&str> {
        Arn::parse(&self.0).map(|arn| arn.account)
    }

    /// The alias that this is (`alias/…`), by name or by ARN; `None` for a key id or a key's ARN.
    pub fn alias(&self) -> Option<&str> {
        let resource = Arn::parse(&self.0).map_or(self.0.as_str(), |arn| arn.resource);
        resource.starts_with("alias/").then_some(resource)
    }

    /// Whether this is the AWS-managed key's alias, by name or by its ARN in `scope`.
    pub fn is_aws_managed_alias(&self, scope: &Scope) -> bool {
        let Scope { partition, region, account } = scope;
        self.0 == AWS_MANAGED_ALIAS || self.0 == format!("arn:{partition}:kms:{region}:{account}:{AWS_MANAGED_ALIAS}")
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Alias names are 1 to 250 of `[a-zA-Z0-9:/_-]` after `alias/` (KMS API reference, CreateAlias).
fn is_alias_name(name: &str) -> bool {
    (1..=250).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-'))
}

fn is_key_id(id: &str) -> bool {
    (1..=256).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The ARN of a KMS key: `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyArn(String);

impl KeyArn {
    /// Parses a key's ARN; `None` for an alias ARN or anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (_, resource) = split_arn(text, "kms")?;
        is_key_id(resource.strip_prefix("key/")?).then(|| Self(text.to_owned()))
    }

    /// The ARN.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The Region in it.
    pub fn region(&self) -> &str {
        Arn::parse(&self.0).map(|arn| arn.region).unwrap_or_default()
    }

    /// The account in it.
    pub fn account(&self) -> &str {
        Arn::parse(&self.0).map(|arn| arn.account).unwrap_or_default()
    }

    /// Whether it is a key of this account, Region and partition.
    pub fn is_of(&self, scope: &Scope) -> bool {
        split_arn(&self.0, "kms").is_some_and(|(of, _)| of == *scope)
    }
}

impl fmt::Display for KeyArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `key` is this alias, by its name or by its ARN here.
pub fn is_alias(key: &KeyRef, alias: &KeyRef, own: &Scope) -> bool {
    let name = |key: &KeyRef| {
        let Scope { partition, region, account } = own;
        let ours = format!("arn:{partition}:kms:{region}:{account}:");
        key.as_str().strip_prefix(&ours).unwrap_or(key.as_str()).to_owned()
    };
    alias.as_key_arn().is_none() && name(key) == name(alias)
}

/// In a message an ARN is a text.
macro_rules! as_text {
    ($type:ident, $fault:literal) => {
        impl TryFrom<String> for $type {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or($fault)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

as_text!(StreamArn, "not the ARN of a stream");
as_text!(KeyArn, "not the ARN of a key");
as_text!(StreamName, "not a stream's name");
as_text!(KeyRef, "not the id, ARN or alias of a key");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts() {
        let parts = |text| Arn::parse(text).map(|a| [a.partition, a.service, a.region, a.account, a.resource]);
        assert_eq!(parts("arn:aws:s3:::bucket/a:b"), Some(["aws", "s3", "", "", "bucket/a:b"]));
        assert_eq!(
            parts("arn:aws:sqs:eu-west-1:111122223333:work"),
            Some(["aws", "sqs", "eu-west-1", "111122223333", "work"])
        );
        for text in ["", "arn", "arn:aws:kms:eu-west-1:111122223333", "urn:aws:s3:::bucket", "alias/arn:a:b:c:d:e"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn stream_arns() {
        let arn = "arn:aws:kinesis:eu-west-1:111122223333:stream/a.b_c-D1";
        assert_eq!(StreamArn::parse(arn).map(|a| a.to_string()).as_deref(), Some(arn));
        for bad in [
            "",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/a b",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/a:b",
            "arn:aws:kinesis:eu-west-1:1111:stream/a",
            "arn:aws:kinesis::111122223333:stream/a",
            "arn:aws:sqs:eu-west-1:111122223333:stream/a",
            "arn:AWS:kinesis:eu-west-1:111122223333:stream/a",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/a/b",
            "arn:aws:kinesis:eu-west-1:111122223333:stream/a/consumer/b:1",
        ] {
            assert_eq!(StreamArn::parse(bad), None, "{bad}");
        }
        let consumer = KinesisArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/a/consumer/b:1");
        assert_eq!(consumer, Some(KinesisArn::Consumer));
        let of_kind = |resource: &str| KinesisArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:{resource}"));
        assert_eq!(of_kind("channel/0a1b2c"), Some(KinesisArn::Other(EventText::new("channel"))));
        for bad in ["channel", "channel/", "/a", "Stream/a", "a b/c", "stream/a b"] {
            assert_eq!(of_kind(bad), None, "{bad}");
        }
        assert_eq!(of_kind(&format!("channel/{}", "x".repeat(ARN_MAX))), None, "longer than an ARN");
        assert!(StreamName::parse(&"x".repeat(128)).is_some());
        assert!(StreamName::parse(&"x".repeat(129)).is_none());
    }

    #[test]
    fn the_five_forms_of_a_key() {
        for good in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/team/a:b_c-D",
            "arn:aws:kms:eu-west-1:111122223333:alias/x",
            AWS_MANAGED_ALIAS,
        ] {
            assert!(KeyRef::parse(good).is_some(), "{good}");
        }
        for bad in ["", "alias/", "alias/a b", "a/b", "arn:aws:kms:eu-west-1:111122223333:grant/x", "key/1", "x y"] {
            assert!(KeyRef::parse(bad).is_none(), "{bad}");
        }
        let scope = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let arn_form = KeyRef::parse("arn:aws:kms:eu-west-1:111122223333:alias/aws/kinesis").unwrap();
        assert!(arn_form.is_aws_managed_alias(&scope));
        assert!(!KeyRef::parse("alias/aws/kinesis2").unwrap().is_aws_managed_alias(&scope));
    }

    #[test]
    fn regions_and_partitions() {
        for (region, partition) in [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
            assert!(Scope::is_region(region), "{region}");
            assert_eq!(Scope::partition_of(region), partition);
        }
        for bad in ["", "eu", "eu-west", "eu-west-x", "EU-west-1", "eu--1"] {
            assert!(!Scope::is_region(bad), "{bad}");
        }
    }

    #[test]
    fn aliases_match_exactly_by_name_or_arn() {
        let own = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let key = |text: &str| KeyRef::parse(text).unwrap();
        let alias = key("alias/app");
        assert!(is_alias(&key("alias/app"), &alias, &own));
        assert!(is_alias(&key("arn:aws:kms:eu-west-1:111122223333:alias/app"), &alias, &own));
        for other in ["alias/app2", "alias/ap", "alias/App", "arn:aws:kms:eu-west-1:999999999999:alias/app"] {
            assert!(!is_alias(&key(other), &alias, &own), "{other}");
        }
    }
}
