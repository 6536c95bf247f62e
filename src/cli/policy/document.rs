//! The shape of a policy's text, for `policy.schema.json` alone: editors complete and check policies by it.
//!
//! Nothing is ever read into these types; `load` reads, and knows more than a schema can say. The comments on the fields
//! become the schema's descriptions. Fields that may be left out are marked as not always written, which is what makes them
//! optional in the schema without letting them be `null`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::domain::model::ProofMode;

/// The JSON Schema of a policy (draft 2020-12), as it stands in `policy.schema.json`.
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    format!("{:#}\n", generator.into_root_schema_for::<Document>().to_value())
}

/// Which KMS key each Kinesis data stream is encrypted with. The first rule that matches a stream decides.
#[derive(JsonSchema)]
#[schemars(title = "Streamseal policy", deny_unknown_fields)]
pub struct Document {
    /// Where this schema is, for editors.
    #[schemars(rename = "$schema", skip_serializing_if = "absent")]
    pub schema: String,
    /// For people.
    #[schemars(skip_serializing_if = "absent")]
    pub description: String,
    /// The version of this format.
    #[schemars(with = "serde_json::Value", extend("const" = 1))]
    pub version: u8,
    /// What rules say unless they say otherwise, and what holds for all of them.
    #[schemars(skip_serializing_if = "absent")]
    pub defaults: Defaults,
    /// Tried in this order.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
}

/// What rules say unless they say otherwise, and what holds for all of them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Defaults {
    /// How encryption is proven; without it, `probe` for new streams and `observe` for existing ones.
    #[schemars(skip_serializing_if = "absent")]
    pub proof: Proof,
    /// What becomes of streams that are older than `enforce_from`; without it, `report`.
    #[schemars(skip_serializing_if = "absent")]
    pub existing: Existing,
    /// Streams made before this are existing ones; without it every stream is. A time such as
    /// `2026-12-01T00:00:00Z`, or a date for its midnight in UTC.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(regex(
        pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2}))?$"
    ))]
    pub enforce_from: String,
    /// How long a new stream is left alone, by the tool that made it, counted from when it was first seen ACTIVE.
    #[schemars(skip_serializing_if = "absent")]
    pub settle: Settle,
    /// How changes of streams older than an hour are watched.
    #[schemars(skip_serializing_if = "absent")]
    pub guard: Guard,
}

/// How encryption is proven.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Proof {
    /// On streams that were made less than an hour ago.
    #[schemars(skip_serializing_if = "absent")]
    pub new: ProofMode,
    /// On older streams. `probe` puts a small record into them, which their consumers see.
    #[schemars(skip_serializing_if = "absent")]
    pub existing: ProofMode,
}

/// What becomes of streams that are older than `enforce_from`.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Existing {
    /// They are reported on and left as they are.
    Report,
    /// They are encrypted as new ones are.
    Enforce,
}

/// How long a new stream is left alone, by the tool that made it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Settle {
    /// Terraform; 120s unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    pub terraform: Duration,
    /// CloudFormation; 60s unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    pub cloudformation: Duration,
    /// Pulumi; 120s unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    pub pulumi: Duration,
    /// Anything else; 0s unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    pub other: Duration,
}

/// How changes of streams older than an hour are watched. One stream goes first; what it breaks stops the others.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Guard {
    /// For how long each change is watched, from `10m` to `2h`; `off` unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(regex(pattern = r"^(off|0*([1-9][0-9]|1[01][0-9]|120)m|0*[12]h)$"))]
    pub watch: String,
    /// The time before the change that it is compared with, from `10m` to `24h`; `1h` unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(regex(
        pattern = r"^0*(([1-9][0-9]{1,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|([1-9]|1[0-9]|2[0-4])h|1d)$"
    ))]
    pub baseline: String,
    /// What is done about a stream that its change broke: `alarm` unless said otherwise. `restore` gives it its previous key, where
    /// CloudTrail shows who is denied.
    #[schemars(skip_serializing_if = "absent")]
    pub on_break: OnBreak,
    /// Where a stream goes back to that was not encrypted before: `aws-managed`, the key that AWS manages, unless said otherwise; with
    /// `none` it stays as it is.
    #[schemars(skip_serializing_if = "absent")]
    pub fall_back: FallBack,
    /// For how long a stream is left alone whose change was taken back, from `1d` to `90d`; `30d` unless said otherwise.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(regex(
        pattern = r"^0*(([1-9]|[1-8][0-9]|90)d|(2[4-9]|[3-9][0-9]|[1-9][0-9]{2}|1[0-9]{3}|20[0-9]{2}|21[0-5][0-9]|2160)h|(14[4-9][0-9]|1[5-9][0-9]{2}|[2-9][0-9]{3}|[1-9][0-9]{4}|1[01][0-9]{4}|12[0-8][0-9]{3}|129[0-5][0-9]{2}|129600)m)$"
    ))]
    pub hold: String,
}

/// What is done about a stream that its change broke.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum OnBreak {
    /// An alarm alone.
    Alarm,
    /// Besides, the stream goes back to its previous key.
    Restore,
}

/// Where a stream goes back to that was not encrypted before.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum FallBack {
    /// To `alias/aws/kinesis`.
    AwsManaged,
    /// Nowhere.
    None,
}

/// A time from `0s` to `900s`, in seconds (`120s`) or minutes (`2m`).
#[derive(JsonSchema)]
pub struct Duration(#[schemars(regex(pattern = r"^0*(([0-9]{1,2}|[1-8][0-9]{2}|900)s|([0-9]|1[0-5])m)$"))] pub String);

/// A rule asks for a key, or exempts.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Rule {
    /// Streams are encrypted with a key.
    Encrypt(Encrypt),
    /// Streams may be as they are.
    Exempt(Exempt),
}

/// Streams are encrypted with a key.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Encrypt {
    /// Unique in the policy; evidence names the rule by it.
    pub name: Name,
    /// For people.
    #[schemars(skip_serializing_if = "absent")]
    pub description: String,
    /// Which streams; every stream where it is left out.
    #[schemars(skip_serializing_if = "absent")]
    pub r#match: Selectors,
    /// Which of those not.
    #[schemars(skip_serializing_if = "absent")]
    pub unless: Selectors,
    /// A key id, a key ARN, an alias name or an alias ARN. After `alias/` and the beginning of a name, `${tag:NAME}`,
    /// `${stream}`, `${account}` and `${region}` are filled in; a value that is missing or has more than letters, digits, `_`
    /// and `-` fails closed: the stream is reported and left alone.
    #[schemars(regex(pattern = KEY))]
    pub key: String,
    /// What is just as good where a stream has it already: keys, `customer-managed` (of the stream's own account; of others where
    /// they are listed) or `aws-managed`.
    #[schemars(skip_serializing_if = "absent")]
    pub accept: OneOrMore<Accept>,
    /// What becomes of streams that are older than `enforce_from`.
    #[schemars(skip_serializing_if = "absent")]
    pub existing: Existing,
    /// How encryption is proven.
    #[schemars(skip_serializing_if = "absent")]
    pub proof: Proof,
    /// Whether an AWS-managed key may take the place of a customer-managed one; without it, it may not.
    #[schemars(skip_serializing_if = "absent")]
    pub replace_customer_key: bool,
    /// How changes of streams older than an hour are watched; what is left out is as the defaults say.
    #[schemars(skip_serializing_if = "absent")]
    pub guard: Guard,
}

/// Streams may be as they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Exempt {
    /// Unique in the policy; evidence names the rule by it.
    pub name: Name,
    /// For people.
    #[schemars(skip_serializing_if = "absent")]
    pub description: String,
    /// Which streams; every stream where it is left out.
    #[schemars(skip_serializing_if = "absent")]
    pub r#match: Selectors,
    /// Which of those not.
    #[schemars(skip_serializing_if = "absent")]
    pub unless: Selectors,
    /// Why these streams may be as they are. They are never decrypted.
    pub exempt: Exemption,
}

/// Why streams may be as they are.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Exemption {
    /// The reason.
    pub reason: Words,
    /// Who answers for it.
    #[schemars(skip_serializing_if = "absent")]
    pub owner: Words,
    /// The last day, in UTC, on which it holds, such as `2027-03-31`. After it the rule is skipped.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub until: String,
}

/// 1 to 64 letters, digits, `_`, `.` and `-`.
#[derive(JsonSchema)]
pub struct Name(#[schemars(regex(pattern = r"^[A-Za-z0-9_.-]{1,64}$"))] pub String);

/// Text that says something.
#[derive(JsonSchema)]
pub struct Words(#[schemars(regex(pattern = r"\S"))] pub String);

/// Which streams: every selector that is there has to match, and does when one of its patterns does. `*` stands for any
/// characters, `?` for exactly one; upper and lower case differ.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
pub struct Selectors {
    /// Patterns for the stream's name.
    #[schemars(skip_serializing_if = "absent")]
    pub stream: OneOrMore<StreamPattern>,
    /// Names of tags, which all have to be there, with patterns for their values.
    #[schemars(skip_serializing_if = "absent")]
    #[schemars(extend("minProperties" = 1, "propertyNames" = { "minLength": 1, "maxLength": 128 }))]
    pub tags: BTreeMap<String, OneOrMore<TagPattern>>,
    /// Patterns for the account, such as `"111122223333"`.
    #[schemars(skip_serializing_if = "absent")]
    pub account: OneOrMore<AccountPattern>,
    /// Patterns for the Region, such as `eu-*`.
    #[schemars(skip_serializing_if = "absent")]
    pub region: OneOrMore<RegionPattern>,
}

/// One value, or a list of them.
#[derive(JsonSchema)]
#[schemars(untagged, rename = "OneOrMore{T}")]
pub enum OneOrMore<T> {
    /// One.
    One(T),
    /// A list.
    More(#[schemars(length(min = 1))] Vec<T>),
}

/// A pattern for the name of a stream.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["string", "number", "boolean"]))]
pub struct StreamPattern(#[schemars(regex(pattern = r"^[A-Za-z0-9_.*?-]+$"))] pub String);

/// A pattern for the value of a tag.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["string", "number", "boolean"]))]
pub struct TagPattern(#[schemars(length(min = 1))] pub String);

/// A pattern for an account.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["string", "integer"]))]
pub struct AccountPattern(#[schemars(regex(pattern = r"^([0-9?]{12}|[0-9?]*\*[0-9*?]*)$"))] pub String);

/// A pattern for a Region.
#[derive(JsonSchema)]
pub struct RegionPattern(
    #[schemars(regex(pattern = r"^([a-z0-9-]*[*?][a-z0-9*?-]*|[a-z0-9]+(-[a-z0-9]+){1,3}-[0-9]+)$"))] pub String,
);

/// A key, or a kind of key.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum Accept {
    /// Any customer-managed key of the stream's own account, or any AWS-managed key.
    Kind(AcceptKind),
    /// Any customer-managed key of the stream's own account or of these.
    Of(AcceptOf),
    /// This key.
    Key(#[schemars(regex(pattern = LITERAL_KEY))] String),
}

/// A kind of key.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
pub enum AcceptKind {
    /// Any customer-managed key of the stream's own account.
    CustomerManaged,
    /// Any AWS-managed key.
    AwsManaged,
}

/// Customer-managed keys, of other accounts too.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcceptOf {
    /// The other accounts. The stream's own need not be among them.
    pub customer_managed: OneOrMore<Account>,
}

/// An account, such as `"444455556666"`.
#[derive(JsonSchema)]
#[schemars(extend("type" = ["string", "integer"]))]
pub struct Account(#[schemars(regex(pattern = r"^[0-9]{12}$"))] pub String);

/// The forms of a key with nothing to fill in.
const LITERAL_KEY: &str = r"^((mrk-)?[0-9a-fA-F-]{32,}|(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?alias/(aws/kinesis$|(?!aws/)[A-Za-z0-9:/_-]{1,250})|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$";
/// The same, and an alias with something to fill in after its beginning.
const KEY: &str = r"^((mrk-)?[0-9a-fA-F-]{32,}|(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:)?alias/(aws/kinesis$|(?!aws/)[A-Za-z0-9:/_-]+(\$\{(stream|account|region|tag:[^${}]{1,128})\}|[A-Za-z0-9:/_-])*)|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+)$";
