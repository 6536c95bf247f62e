//! What is right for a stream: the policy as it is after loading, and [`Policy::decide`], the one question put to it.
//!
//! The first rule that matches wins, and a key that cannot be resolved fails closed: it never falls through to the next
//! rule. Nothing here reads YAML (`load`), asks AWS or reads a clock; the caller says which stream, which tags, when.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, tz::Offset};
use wildmatch::WildMatch;

use super::fault::Place;
use super::guard::Guard;
use super::key::KeyTemplate;
use crate::domain::arn::{KeyArn, KeyRef, Scope, StreamArn, is_alias};
use crate::domain::model::{ProofMode, Tags};
use crate::domain::text::EventText;

/// How long before its end an exemption is warned of, in days.
pub const WARN_DAYS: i32 = 14;

/// A whole policy, valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// `sha256:` and 64 hexadecimal digits, of the text it was loaded from.
    pub digest: String,
    /// In the order in which they are tried; at least one.
    pub rules: Vec<Rule>,
    /// Streams made before this are *existing*; without it every stream is.
    pub enforce_from: Option<Timestamp>,
    /// How long new streams are left to the tool that makes them.
    pub settle: Settle,
}

/// How long a new stream is left alone, counted from when it was first seen ACTIVE, by the tool that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Terraform.
    pub terraform: Duration,
    /// CloudFormation.
    pub cloudformation: Duration,
    /// Pulumi.
    pub pulumi: Duration,
    /// Anything else.
    pub other: Duration,
}

impl Settle {
    /// The longest of them: a stream older than this is settled, whoever made it.
    pub fn longest(&self) -> Duration {
        self.terraform.max(self.cloudformation).max(self.pulumi).max(self.other)
    }
}

impl Default for Settle {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self { terraform: s(120), cloudformation: s(60), pulumi: s(120), other: s(0) }
    }
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique in the policy.
    pub name: String,
    /// Which streams it is about.
    pub selectors: Selectors,
    /// Which of those it is not about.
    pub unless: Option<Selectors>,
    /// What it asks for.
    pub effect: Effect,
    /// Where it starts in the text.
    pub place: Place,
}

impl Rule {
    /// Those of a stream's tags that it reads where it decides.
    fn tags(&self, tags: &Tags) -> Tags {
        let by_key = match &self.effect {
            Effect::Encrypt(encrypt) => encrypt.key.tags(),
            Effect::Exempt(_) => Vec::new(),
        };
        let read = self.selectors.tags.iter().map(|(name, _)| name.as_str()).chain(by_key);
        read.filter_map(|name| tags.get_key_value(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// Which streams: every selector that is there has to match, and it does when one of its patterns does. `*` stands for
/// any characters, `?` for exactly one; upper and lower case differ. With no selector: every stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selectors {
    /// Patterns for the stream's name.
    pub stream: Vec<WildMatch>,
    /// Names of tags with patterns for their values. Each of these tags has to be there.
    pub tags: Vec<(String, Vec<WildMatch>)>,
    /// Patterns for the account.
    pub account: Vec<WildMatch>,
    /// Patterns for the Region.
    pub region: Vec<WildMatch>,
}

/// A selector that every stream has a value for: what it is about, its patterns, and that value.
pub(crate) type Fixed<'a> = (&'static str, &'a [WildMatch], fn(&StreamArn) -> &str);

impl Selectors {
    /// The selectors that every stream has a value for.
    pub(crate) fn fixed(&self) -> [Fixed<'_>; 3] {
        [
            ("stream", &self.stream, |stream| stream.name.as_str()),
            ("account", &self.account, |stream| &stream.scope.account),
            ("region", &self.region, |stream| &stream.scope.region),
        ]
    }

    /// Why the stream matches, a phrase for each selector; `None` where it does not.
    pub(crate) fn matched(&self, stream: &StreamArn, tags: &Tags) -> Option<Vec<String>> {
        let mut why = Vec::new();
        for (what, patterns, value_of) in self.fixed() {
            if !patterns.is_empty() {
                let value = value_of(stream);
                let pattern = patterns.iter().find(|p| p.matches(value))?;
                why.push(format!("{what} `{value}` matches `{pattern}`"));
            }
        }
        for (name, patterns) in &self.tags {
            let value = tags.get(name)?;
            let pattern = patterns.iter().find(|p| p.matches(value))?;
            why.push(format!("tag `{name}` is `{}` and matches `{pattern}`", EventText::new(value)));
        }
        Some(why)
    }
}

/// What a rule asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The stream may be as it is. Never a reason to decrypt it.
    Exempt(Exemption),
    /// The stream is encrypted.
    Encrypt(Encrypt),
}

/// Why a stream may be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// The reason, never empty.
    pub reason: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// The last day, in UTC, on which it holds.
    pub until: Option<Date>,
}

impl Exemption {
    /// In one line, for people.
    pub fn words(&self) -> String {
        let owner = self.owner.as_deref().map(|owner| format!("; owner {}", EventText::new(owner))).unwrap_or_default();
        let until = self.until.map(|until| format!("; until {until}")).unwrap_or_default();
        format!("{}{owner}{until}", EventText::new(&self.reason))
    }

    pub(crate) fn ended(&self, today: Date) -> bool {
        self.until.is_some_and(|until| until < today)
    }

    /// The last day and how many days it is off, where that is soon.
    pub(crate) fn ends_soon(&self, today: Date) -> Option<(Date, i32)> {
        let until = self.until?;
        let days = (until - today).get_days();
        (0..=WARN_DAYS).contains(&days).then_some((until, days))
    }
}

/// How streams are encrypted, the policy's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypt {
    /// With which key.
    pub key: KeyTemplate,
    /// What is just as good where it is there already.
    pub accept: Vec<Accept>,
    /// What becomes of streams that are older than [`Policy::enforce_from`].
    pub existing: Existing,
    /// How it is proven.
    pub proof: Proof,
    /// Whether an AWS-managed key may take a customer-managed key's place.
    pub replace_customer_key: bool,
    /// How a change of an older stream is watched.
    pub guard: Guard,
}

/// Encryption that is left as it is, if its key can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accept {
    /// With this key.
    Key(KeyRef),
    /// With any customer-managed key of the stream's own account.
    CustomerManaged {
        /// Other accounts whose keys are as good.
        of: Vec<String>,
    },
    /// With an AWS-managed key.
    AwsManaged,
}

impl Accept {
    /// Whether it names this alias.
    pub fn names(&self, alias: &KeyRef, own: &Scope) -> bool {
        match self {
            Self::Key(key) => is_alias(key, alias, own),
            Self::CustomerManaged { .. } | Self::AwsManaged => false,
        }
    }
}

/// How a rule names a key of another account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedKey {
    /// By its ARN.
    Key(KeyArn),
    /// By the ARN of an alias.
    Alias(KeyRef),
    /// By the ARN of an alias that depends on the stream.
    SomeAlias,
}

/// What becomes of streams that are older than [`Policy::enforce_from`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They are reported on.
    Report,
    /// They are encrypted as new ones are.
    Enforce,
}

/// How encryption is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// On a stream made less than an hour ago.
    pub new: ProofMode,
    /// On an older one.
    pub existing: ProofMode,
}

/// Which rule: its place in the list, counted from 0, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleId {
    /// Counted from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
}

/// The policy's answer for one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rule that decided; `None` where none matches.
    pub rule: Option<RuleId>,
    /// What it comes to.
    pub outcome: Outcome,
    /// The stream's tags that this rule reads: those that it matches by, and those that its key is named by.
    pub tags: Tags,
    /// Why this rule, why not one before it, and what will soon change; to be read by people.
    pub reasons: Vec<String>,
}

/// What a decision comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The stream may be as it is.
    Exempt(Exemption),
    /// No rule matches.
    Unmatched,
    /// The rule's key cannot be worked out, and this is why.
    Unresolvable(String),
    /// The stream has to be encrypted.
    Encrypt(Target),
}

impl Outcome {
    /// How it has to be encrypted, where it has to be.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Encrypt(target) => Some(target),
            Self::Exempt(_) | Self::Unmatched | Self::Unresolvable(_) => None,
        }
    }

    /// Its exemption, where it has one.
    pub fn exemption(&self) -> Option<&Exemption> {
        match self {
            Self::Exempt(exemption) => Some(exemption),
            Self::Encrypt(_) | Self::Unmatched | Self::Unresolvable(_) => None,
        }
    }
}

/// How one stream has to be encrypted: [`Encrypt`] with the key worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// With which key.
    pub key: KeyRef,
    /// What is just as good where it is there already.
    pub accept: Vec<Accept>,
    /// What becomes of it if it is older than [`Policy::enforce_from`].
    pub existing: Existing,
    /// How it is proven.
    pub proof: Proof,
    /// Whether an AWS-managed key may take a customer-managed key's place.
    pub replace_customer_key: bool,
    /// How a change of an older stream is watched.
    pub guard: Guard,
}

/// What of a stream a policy's decisions depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Its name.
    pub name: bool,
    /// Its tags.
    pub tags: bool,
    /// Its account.
    pub account: bool,
    /// Its Region.
    pub region: bool,
}

impl Policy {
    /// What of a stream its decisions depend on; nobody needs to read the rest.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        for rule in &self.rules {
            for selectors in [Some(&rule.selectors), rule.unless.as_ref()].into_iter().flatten() {
                reads.name |= !selectors.stream.is_empty();
                reads.tags |= !selectors.tags.is_empty();
                reads.account |= !selectors.account.is_empty();
                reads.region |= !selectors.region.is_empty();
            }
            if let Effect::Encrypt(encrypt) = &rule.effect {
                let [name, account, region] = encrypt.key.needs();
                reads.tags |= !encrypt.key.tags().is_empty();
                reads.name |= name;
                reads.account |= account;
                reads.region |= region;
            }
        }
        reads
    }

    /// Whether a rule's key, or a key that it accepts, can be this alias (by its name).
    pub fn names_alias(&self, alias: &KeyRef, own: &Scope) -> bool {
        self.rules.iter().any(|rule| match &rule.effect {
            Effect::Exempt(_) => false,
            Effect::Encrypt(encrypt) => {
                encrypt.accept.iter().any(|accept| accept.names(alias, own)) || encrypt.key.may_be(alias, own)
            }
        })
    }

    /// Whether some rule accepts other keys than its own, whatever they are called.
    pub fn accepts_others(&self) -> bool {
        self.rules.iter().any(|rule| matches!(&rule.effect, Effect::Encrypt(encrypt) if !encrypt.accept.is_empty()))
    }

    /// The keys of another account that rules name by an ARN: keys, and aliases.
    pub fn keys_of(&self, account: &str) -> Vec<NamedKey> {
        let literal = |key: KeyRef| match key.as_key_arn() {
            _ if key.account() != Some(account) => None,
            Some(arn) => Some(NamedKey::Key(arn)),
            None => Some(NamedKey::Alias(key)),
        };
        let encrypts = self.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Encrypt(encrypt) => Some(encrypt),
            Effect::Exempt(_) => None,
        });
        let named = encrypts.flat_map(|encrypt| {
            let key = match encrypt.key.fixed() {
                Some(key) => literal(key),
                // Which alias that is depends on the stream.
                None => (encrypt.key.account() == Some(account)).then_some(NamedKey::SomeAlias),
            };
            let accepted = encrypt.accept.iter().filter_map(|accept| match accept {
                Accept::Key(key) => literal(key.clone()),
                Accept::CustomerManaged { .. } | Accept::AwsManaged => None,
            });
            key.into_iter().chain(accepted).collect::<Vec<_>>()
        });
        named.collect()
    }

    /// What is right for `stream` at `now`. `tags` may be empty where [`Policy::reads`] says that none are needed.
    pub fn decide(&self, stream: &StreamArn, tags: &Tags, now: Timestamp) -> Decision {
        let today = utc_date(now);
        let mut reasons = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Some(matched) = rule.selectors.matched(stream, tags) else {
                continue;
            };
            let name = &rule.name;
            if let Some(why) = rule.unless.as_ref().and_then(|unless| unless.matched(stream, tags)) {
                reasons.push(format!("rule `{name}` is skipped: its `unless` matches: {}", why.join(" and ")));
                continue;
            }
            let outcome = match &rule.effect {
                Effect::Exempt(exemption) => {
                    if exemption.ended(today) {
                        let until = exemption.until.unwrap_or(today);
                        reasons.push(format!("rule `{name}` is skipped: its exemption ended on {until}"));
                        continue;
                    }
                    Outcome::Exempt(exemption.clone())
                }
                Effect::Encrypt(encrypt) => match encrypt.key.resolve(stream, tags) {
                    Err(why) => Outcome::Unresolvable(why),
                    Ok(key) => Outcome::Encrypt(Target {
                        key,
                        accept: encrypt.accept.clone(),
                        existing: encrypt.existing,
                        proof: encrypt.proof,
                        replace_customer_key: encrypt.replace_customer_key,
                        guard: encrypt.guard,
                    }),
                },
            };
            reasons.push(match matched.as_slice() {
                [] => format!("rule `{name}` matches every stream"),
                why => format!("rule `{name}` matched: {}", why.join(" and ")),
            });
            if let Outcome::Exempt(exemption) = &outcome
                && let Some((until, _)) = exemption.ends_soon(today)
            {
                reasons.push(format!("the exemption of rule `{name}` ends on {until}"));
            }
            let tags = rule.tags(tags);
            return Decision { rule: Some(RuleId { index, name: name.clone() }), outcome, tags, reasons };
        }
        reasons.push("no rule matches the stream".to_owned());
        Decision { rule: None, outcome: Outcome::Unmatched, tags: Tags::new(), reasons }
    }

    /// Every exemption, with its rule's name.
    pub fn exemptions(&self) -> Vec<(String, Exemption)> {
        let exempt = self.rules.iter().filter_map(|rule| match &rule.effect {
            Effect::Exempt(exemption) => Some((rule.name.clone(), exemption.clone())),
            Effect::Encrypt(_) => None,
        });
        exempt.collect()
    }

    /// The rules whose exemption ends within [`WARN_DAYS`], with its last day.
    pub fn exemptions_ending(&self, now: Timestamp) -> BTreeMap<String, Date> {
        let today = utc_date(now);
        let ending = |rule: &Rule| match &rule.effect {
            Effect::Exempt(exemption) => Some((rule.name.clone(), exemption.ends_soon(today)?.0)),
            Effect::Encrypt(_) => None,
        };
        self.rules.iter().filter_map(ending).collect()
    }
}

/// The day of it.
pub(crate) fn utc_date(now: Timestamp) -> Date {
    Offset::UTC.to_datetime(now).date()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const NOON: &str = "2027-03-20T12:00:00Z";

    /// A policy of these rules; everything is enforced.
    pub(crate) fn policy(rules: &[&str]) -> Policy {
        let rules: String =
            rules.iter().enumerate().map(|(i, rule)| format!("  - {{ name: r{i}, {rule} }}\n")).collect();
        let loaded = Policy::load(&format!("version: 1\ndefaults: {{ existing: enforce }}\nrules:\n{rules}"));
        loaded.unwrap_or_else(|faults| panic!("{rules}{faults:?}"))
    }

    #[test]
    fn aliases_that_a_rule_can_name() {
        let own = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
        let policy = policy(&[
            "match: { stream: a }, key: alias/a, accept: [alias/old]",
            "match: { stream: b }, key: 'arn:aws:kms:eu-west-1:111122223333:alias/b'",
            "key: 'alias/team/${tag:team}-key'",
        ]);
        let named = |alias: &str| policy.names_alias(&KeyRef::parse(alias).unwrap(), &own);
        for alias in ["alias/a", "alias/old", "alias/b", "alias/team/x-key", "alias/team/one-two-key"] {
            assert!(named(alias), "{alias}");
        }
        for alias in ["alias/A", "alias/a2", "alias/team/x", "alias/other/x-key", "alias/teams"] {
            assert!(!named(alias), "{alias}");
        }
    }

    /// What `rules` decide for a stream at `now`, in short: the key (or `exempt`, `unmatched`, `unresolvable`) and the rule.
    fn decided(rules: &[&str], stream: &str, tags: &[(&str, &str)], now: &str) -> (String, Vec<String>) {
        let stream = StreamArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{stream}")).unwrap();
        let tags: Tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let decision = policy(rules).decide(&stream, &tags, now.parse().unwrap());
        let outcome = match decision.outcome {
            Outcome::Exempt(_) => "exempt".to_owned(),
            Outcome::Unmatched => "unmatched".to_owned(),
            Outcome::Unresolvable(_) => "unresolvable".to_owned(),
            Outcome::Encrypt(target) => target.key.to_string(),
        };
        let rule = decision.rule.map(|rule| {
            assert_eq!(rule.name, format!("r{}", rule.index));
            format!(" by {}", rule.name)
        });
        (outcome + &rule.unwrap_or_default(), decision.reasons)
    }

    fn check(rules: &[&str], stream: &str, tags: &[(&str, &str)], expect: &str) {
        assert_eq!(decided(rules, stream, tags, NOON).0, expect, "{rules:?} for {stream} {tags:?}");
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules = ["match: { stream: a }, key: alias/a", "key: alias/b", "match: { stream: c }, key: alias/c"];
        check(&rules, "a", &[], "alias/a by r0");
        check(&rules, "b", &[], "alias/b by r1");
        check(&rules, "c", &[], "alias/b by r1");
        check(&["match: { stream: a }, key: alias/a"], "b", &[], "unmatched");
    }

    #[test]
    fn patterns() {
        for (pattern, name, matches) in [
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*-raw", "x-raw", true),
            ("*-raw", "x-raw2", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a?c", "abbc", false),
            ("a?", "a", false),
            ("*?*", "a", true),
            ("a.c", "abc", false),
            ("*", "a", true),
        ] {
            let expect = if matches { "exempt by r0" } else { "unmatched" };
            check(&[&format!("match: {{ stream: \"{pattern}\" }}, exempt: {{ reason: r }}")], name, &[], expect);
        }
    }

    #[test]
    fn selectors_are_anded_and_their_values_ored() {
        let rule = "match: { stream: [a, b], tags: { x: [1, 2], y: '*' }, account: ['1*'], region: ['eu-*', us-east-1] }, \
                    exempt: { reason: r }";
        for (stream, tags, matches) in [
            ("a", &[("x", "1"), ("y", "")][..], true),
            ("b", &[("x", "2"), ("y", "z"), ("z", "z")], true),
            ("c", &[("x", "1"), ("y", "z")], false),
            ("a", &[("x", "3"), ("y", "z")], false),
            ("a", &[("x", "1")], false),
            ("a", &[("x", "1"), ("Y", "z")], false),
            ("a", &[], false),
        ] {
            check(&[rule], stream, tags, if matches { "exempt by r0" } else { "unmatched" });
        }
        check(&["match: { account: '2*' }, key: alias/a"], "a", &[], "unmatched");
        check(&["match: { region: 'us-*' }, key: alias/a"], "a", &[], "unmatched");
        check(&["match: { account: 111122223333, region: eu-west-? }, key: alias/a"], "a", &[], "alias/a by r0");
    }

    #[test]
    fn unless_takes_streams_out() {
        let rules = ["match: { stream: 'a*' }, unless: { stream: '*b', tags: { t: x } }, key: alias/a", "key: alias/b"];
        check(&rules, "ab", &[("t", "x")], "alias/b by r1");
        check(&rules, "ab", &[("t", "y")], "alias/a by r0");
        check(&rules, "ac", &[("t", "x")], "alias/a by r0");
        check(&rules, "cb", &[("t", "x")], "alias/b by r1");
        let (_, reasons) = decided(&rules, "ab", &[("t", "x")], NOON);
        let why =
            "rule `r0` is skipped: its `unless` matches: stream `ab` matches `*b` and tag `t` is `x` and matches `x`";
        assert_eq!(reasons, [why, "rule `r1` matches every stream"]);
    }

    #[test]
    fn a_key_that_cannot_be_worked_out_does_not_fall_through() {
        let rules = ["match: { stream: a }, key: 'alias/k-${tag:team}'", "key: alias/b"];
        check(&rules, "a", &[("team", "x")], "alias/k-x by r0");
        check(&rules, "a", &[], "unresolvable by r0");
        check(&rules, "a", &[("team", "x y")], "unresolvable by r0");
    }

    #[test]
    fn exemptions_hold_through_their_last_day() {
        let rules = ["exempt: { reason: r, until: 2027-03-31 }", "key: alias/a"];
        for (now, expect, reasons) in [
            ("2027-03-16T23:59:59Z", "exempt by r0", &["rule `r0` matches every stream"][..]),
            (
                "2027-03-17T00:00:00Z",
                "exempt by r0",
                &["rule `r0` matches every stream", "the exemption of rule `r0` ends on 2027-03-31"],
            ),
            (
                "2027-03-31T23:59:59.999Z",
                "exempt by r0",
                &["rule `r0` matches every stream", "the exemption of rule `r0` ends on 2027-03-31"],
            ),
            (
                "2027-04-01T00:00:00Z",
                "alias/a by r1",
                &["rule `r0` is skipped: its exemption ended on 2027-03-31", "rule `r1` matches every stream"],
            ),
        ] {
            assert_eq!(
                decided(&rules, "a", &[], now),
                (expect.to_owned(), reasons.iter().map(|r| (*r).to_owned()).collect())
            );
        }
        // Where the rule would not have matched, its end is nobody's business.
        let (_, reasons) = decided(&["match: { stream: b }, exempt: { reason: r, until: 2020-01-01 }"], "a", &[], NOON);
        assert_eq!(reasons, ["no rule matches the stream"]);
    }

    #[test]
    fn reasons_name_what_matched_and_are_safe_to_log() {
        let rule = "match: { stream: 'a*', tags: { t: '*' }, account: '*', region: eu-west-1 }, key: alias/a";
        let expected = "rule `r0` matched: stream `ab` matches `a*` and account `111122223333` matches `*` and region \
                        `eu-west-1` matches `eu-west-1` and tag `t` is `x\\ny` and matches `*`";
        assert_eq!(decided(&[rule], "ab", &[("t", "x\ny")], NOON).1, [expected]);
    }

    #[test]
    fn tags_are_needed_only_where_a_rule_asks() {
        for (rule, needed) in [
            ("key: alias/a", false),
            ("match: { stream: a }, unless: { stream: b }, key: 'alias/a${stream}'", false),
            ("match: { tags: { a: b } }, key: alias/a", true),
            ("unless: { tags: { a: b } }, key: alias/a", true),
            ("key: 'alias/a${stream}${tag:x}'", true),
        ] {
            assert_eq!(policy(&["exempt: { reason: r }", rule]).reads().tags, needed, "{rule}");
        }
    }

    #[test]
    fn the_longest_time_to_settle() {
        let s = Duration::from_secs;
        let longest =
            |t, c, p, o| Settle { terraform: s(t), cloudformation: s(c), pulumi: s(p), other: s(o) }.longest();
        assert_eq!([longest(9, 1, 2, 3), longest(1, 9, 2, 3), longest(1, 2, 9, 3), longest(1, 2, 3, 9)], [s(9); 4]);
    }
}
