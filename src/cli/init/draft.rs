//! A policy from what is there, as text with comments: a rule for each customer-managed key in use, and one for everything else.
//!
//! A rule takes what the streams on its key have in common: a tag, else the beginning of their names, else the names themselves. By
//! the policy every stream stays on the key that it is on.

mod selector;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use jiff::Timestamp;

pub(super) use self::selector::Stream;
use self::selector::{Selector, quoted};
use crate::domain::arn::{KeyRef, Scope};
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager};
use crate::domain::policy::decide::utc_date;
use crate::domain::text::EventText;

/// So many tags, and values of each, are named in a comment.
const NAMED_MAX: usize = 8;
/// The rule for whatever no other one takes.
const REST: &str = "everything-else";

/// What was found in one Region of an account.
pub(super) struct Found<'a> {
    pub(super) own: &'a Scope,
    pub(super) at: Timestamp,
    pub(super) streams: &'a [Stream],
    /// What KMS says of each key that a stream's setting names.
    pub(super) keys: &'a BTreeMap<KeyRef, KeyLookup>,
    /// The aliases of keys, by the id of the key.
    pub(super) aliases: &'a BTreeMap<String, BTreeSet<String>>,
}

/// Where a stream stands, as far as a policy is concerned.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Not encrypted.
    Plain,
    /// On the AWS-managed key.
    Aws,
    /// On a customer-managed key of the account, that can be used.
    Own(String),
    /// On one that cannot: the key and why.
    Unusable(String, String),
    /// On a key of this other account.
    Foreign(String),
    /// On a key that KMS does not know, or does not say anything of.
    Unknown(String),
}

/// A rule of the policy to be.
struct Rule {
    /// The alias by its name, or the key's ARN.
    key: String,
    selector: Option<Selector>,
    count: usize,
    others: Vec<String>,
}

pub(super) fn draft(found: &Found<'_>) -> String {
    let places: Vec<Place> = found.streams.iter().map(|stream| found.place(stream)).collect();
    let mut text = head(found, &places);
    text.push_str("rules:\n");
    text.push_str(EXEMPTION);
    let mut names = BTreeSet::from([REST.to_owned()]);
    for rule in merged(rules(found, &places)) {
        text.push_str(&rule.text(&mut names));
    }
    text.push_str(&rest(found, &places));
    text
}

const EXEMPTION: &str = "  \
  # Example of an exemption: reason, owner and end date.
  # - name: scratch
  #   match: { stream: [\"scratch-*\"] }
  #   exempt: { reason: \"synthetic data, RISK-1421\", owner: data-platform, until: 2027-06-30 }
";

impl Found<'_> {
    fn place(&self, stream: &Stream) -> Place {
        let key = match &stream.encryption {
            Encryption::None => return Place::Plain,
            Encryption::Unreadable(text) => return Place::Unknown(text.to_string()),
            Encryption::Kms(key) => key,
        };
        let of = |account: Option<&str>| account.filter(|account| **account != self.own.account).map(str::to_owned);
        match self.keys.get(key) {
            Some(KeyLookup::Found(KeyInfo { manager: KeyManager::Aws, .. })) => Place::Aws,
            Some(KeyLookup::Found(info)) => match (of(info.identity.account()), &info.identity, &info.problem) {
                (Some(account), ..) => Place::Foreign(account),
                (None, identity, Some(problem)) => Place::Unusable(self.named(identity), problem.to_string()),
                (None, identity, None) => Place::Own(identity.as_str().to_owned()),
            },
            _ => of(key.account()).map_or_else(|| Place::Unknown(key.to_string()), Place::Foreign),
        }
    }

    /// The aliases of a key, those first that a stream's setting names.
    fn aliases(&self, key: &str) -> Vec<String> {
        let id = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
        let set: BTreeSet<&str> = self
            .keys
            .iter()
            .filter(|(_, lookup)| matches!(lookup, KeyLookup::Found(info) if info.identity.as_str() == key))
            .filter_map(|(named, _)| named.alias())
            .collect();
        let known = self.aliases.get(id).into_iter().flatten().map(String::as_str);
        let rest: Vec<&str> = known.filter(|alias| !set.contains(alias)).collect();
        set.into_iter().chain(rest).map(str::to_owned).collect()
    }

    fn named(&self, key: &KeyIdentity) -> String {
        self.aliases(key.as_str()).into_iter().next().unwrap_or_else(|| key.to_string())
    }
}

fn head(found: &Found<'_>, places: &[Place]) -> String {
    let Found { own: Scope { account, region, .. }, at, streams, .. } = found;
    let (today, all) = (utc_date(*at), plural(streams.len(), "stream"));
    let now = Timestamp::from_second(at.as_second()).unwrap_or(*at);
    let count = |is: fn(&Place) -> bool| places.iter().filter(|place| is(place)).count();
    let (plain, aws) = (count(|place| *place == Place::Plain), count(|place| *place == Place::Aws));
    let own = count(|place| matches!(place, Place::Own(_) | Place::Unusable(..)));
    let other = streams.len() - plain - aws - own;
    let mut text = format!(
        "\
# yaml-language-server: $schema=policy.schema.json
# (For help in an editor: `streamseal schema > policy.schema.json`.)
#
# Which KMS key each Kinesis data stream is encrypted with. `streamseal init` wrote this from the {all} of account
# {account} in {region} on {today}: {plain} not encrypted, {aws} encrypted with the AWS-managed key,
# {own} with customer-managed keys of the account, {other} with other keys.
#
# The first rule that matches a stream decides. Check each rule and correct it where needed. Then:
#   streamseal check    checks this file
#   streamseal audit    compares every stream with it, and changes nothing
"
    );
    text.push_str(&tags(streams));
    let _ = write!(
        text,
        "\
version: 1
defaults:
  # Streams that were made before `enforce_from` are only reported. `enforce` encrypts them too.
  existing: report
  enforce_from: {now}
"
    );
    text
}

/// The tags in use, as a comment: what rules can choose by.
fn tags(streams: &[Stream]) -> String {
    let mut values: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (name, value) in streams.iter().flat_map(|stream| &stream.tags) {
        let (count, values) = values.entry(name).or_default();
        *count += 1;
        values.insert(value);
    }
    values.retain(|name, _| !name.starts_with("aws:"));
    if values.is_empty() {
        return String::new();
    }
    let mut text = "#\n# Tags in use; a rule can match them (`match: { tags: { NAME: [VALUE, …] } }`):\n".to_owned();
    let more = values.len().saturating_sub(NAMED_MAX);
    for (name, (count, values)) in values.iter().take(NAMED_MAX) {
        let some = values.iter().take(NAMED_MAX).map(|value| EventText::new(value).to_string());
        let some: Vec<String> = some.collect();
        let and_more = if values.len() > NAMED_MAX { ", …" } else { "" };
        let _ = writeln!(
            text,
            "#   {} on {}: {}{and_more}",
            EventText::new(name),
            plural(*count, "stream"),
            some.join(", ")
        );
    }
    if more > 0 {
        let _ = writeln!(text, "#   and {}", plural(more, "other tag"));
    }
    text
}

fn rules(found: &Found<'_>, places: &[Place]) -> Vec<Rule> {
    let mut groups: BTreeMap<&str, Vec<&Stream>> = BTreeMap::new();
    for (stream, place) in found.streams.iter().zip(places) {
        if let Place::Own(key) = place {
            groups.entry(key).or_default().push(stream);
        }
    }
    let rules = groups.into_iter().map(|(key, on_it)| {
        let is_elsewhere = |stream: &&Stream| !on_it.iter().any(|one| one.name == stream.name);
        let encrypted = found.streams.iter().zip(places).filter(|(_, place)| **place != Place::Plain);
        let elsewhere: Vec<&Stream> = encrypted.map(|(stream, _)| stream).filter(is_elsewhere).collect();
        let mut aliases = found.aliases(key).into_iter();
        Rule {
            key: aliases.next().unwrap_or_else(|| key.to_owned()),
            others: aliases.collect(),
            count: on_it.len(),
            selector: Selector::of(&on_it, &elsewhere),
        }
    });
    let mut rules: Vec<Rule> = rules.collect();
    rules.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
    rules
}

/// Rules whose aliases end with the value of the same tag become one.
fn merged(rules: Vec<Rule>) -> Vec<Rule> {
    let start_of = |rule: &Rule| match &rule.selector {
        Some(Selector::Tag(name, values)) if selector::is_plain(name) && rule.key.starts_with("alias/") => {
            let value = values.first().filter(|value| selector::is_plain(value))?;
            Some((name.clone(), rule.key.strip_suffix(value.as_str())?.to_owned()))
        }
        _ => None,
    };
    let mut merged: Vec<Rule> = Vec::new();
    for rule in rules {
        let start = start_of(&rule);
        let same = start.as_ref().and_then(|start| {
            merged.iter_mut().find(|other| {
                let of_template = other.key == template(start);
                of_template || start_of(other).as_ref() == Some(start)
            })
        });
        match (same, start, &rule.selector) {
            (Some(other), Some(start), Some(Selector::Tag(_, more))) => {
                other.key = template(&start);
                other.count += rule.count;
                if let Some(Selector::Tag(_, values)) = &mut other.selector {
                    values.extend(more.iter().cloned());
                    values.sort();
                }
                other.others.clear();
            }
            _ => merged.push(rule),
        }
    }
    merged
}

/// The key of all streams whose alias ends with the value of this tag.
fn template((tag, start): &(String, String)) -> String {
    format!("{start}${{tag:{tag}}}")
}

impl Rule {
    fn text(&self, names: &mut BTreeSet<String>) -> String {
        let Self { key, selector, count, others } = self;
        let on = plural(*count, "stream");
        let Some(selector) = selector else {
            return format!(
                "  # {on} on {key} share no tag and no name prefix that distinguishes them from other streams.\n  \
                 # The last rule accepts their current key. To require that key, add a rule for them.\n"
            );
        };
        let others = match others.as_slice() {
            [] => String::new(),
            others => format!(" Its other aliases: {}.", others.join(", ")),
        };
        format!(
            "  # {on} encrypted with this key now.{others}\n  - name: {}\n    match: {{ {} }}\n    key: {}\n",
            name_of(key, names),
            selector.text(),
            quoted(key)
        )
    }
}

/// A rule's name that no other has.
fn name_of(key: &str, names: &mut BTreeSet<String>) -> String {
    let key = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
    let key = key.strip_prefix("alias/").unwrap_or(key).replace("${tag:", "by-").replace('}', "");
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' };
    let base: String = key.chars().map(legal).take(56).collect();
    let numbered = (2..).map(|n| format!("{base}-{n}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !names.contains(name));
    let name = free.unwrap_or(base);
    names.insert(name.clone());
    name
}

/// The last rule, and what it leaves to be done.
fn rest(found: &Found<'_>, places: &[Place]) -> String {
    let mut text = "  \
  # All other streams: encrypt with the AWS-managed key; keep a customer-managed key of the account where there is one.
"
    .to_owned();
    let mut counts: BTreeMap<&Place, usize> = BTreeMap::new();
    for place in places {
        *counts.entry(place).or_default() += 1;
    }
    for (place, count) in counts {
        let on = plural(count, "stream");
        let words = match place {
            Place::Plain => format!("{on} not encrypted."),
            Place::Aws | Place::Own(_) => continue,
            Place::Unusable(key, why) => format!("{on} on {key}, which cannot be used: {why}."),
            Place::Foreign(account) => format!(
                "{on} encrypted with keys of account {account}, whose owner can disable them. To accept these keys, add:\n  #   accept: \
                 [customer-managed: [\"{account}\"]]"
            ),
            Place::Unknown(key) => format!("{on} encrypted with {}, which KMS does not know.", EventText::new(key)),
        };
        let _ = writeln!(text, "  # - {words}");
    }
    if found.streams.is_empty() {
        text.push_str("  # There is no stream in the Region now.\n");
    }
    let _ = write!(text, "  - name: {REST}\n    key: alias/aws/kinesis\n    accept: [customer-managed]\n");
    text
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
