//! Policy text to a [`Policy`], or to every fault in it with its place.
//!
//! A policy is valid as a whole or not at all: after a fault reading goes on only to find the others, with whatever stands
//! in for what was wrong, and nothing of it is handed out. The shape it holds the text to is also written down in
//! `cli/policy/document.rs`, for the JSON Schema; the corpus in `tests/policies` holds the two together.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wildmatch::WildMatch;

use super::decide::{Accept, Effect, Encrypt, Exemption, Existing, Policy, Proof, Rule, Selectors, Settle};
use super::fault::{Flaw, Place, PolicyFault};
use super::guard::{self, Guard};
use super::key::{KeyTemplate, TAG_NAME_MAX, is_tag_name};
use super::scalar::{
    self, accepted, account, account_pattern, boolean, date, duration, existing, expected, nearest, proof_mode,
    region_pattern, rule_name, some_text, stream_pattern, text, ticked, timestamp, written,
};
use super::yaml::{self, Key, Node, Value, join};
use crate::domain::hash::hex;
use crate::domain::model::ProofMode;
use crate::domain::text::EventText;

/// Longest policy, in bytes.
const TEXT_MAX: usize = 256 * 1024;
const RULE: &[&str] = &[
    "name",
    "description",
    "match",
    "unless",
    "key",
    "exempt",
    "accept",
    "existing",
    "proof",
    "replace_customer_key",
    "guard",
];
const ENCRYPT_ONLY: &[&str] = &["accept", "existing", "proof", "replace_customer_key", "guard"];

impl Policy {
    /// Reads and checks a whole policy: YAML, or JSON. All its faults come at once, in the order of the text.
    pub fn load(text: &str) -> Result<Self, Vec<PolicyFault>> {
        load(text)
    }
}

fn load(text: &str) -> Result<Policy, Vec<PolicyFault>> {
    if text.len() > TEXT_MAX {
        let flaw = Flaw::new(format!("the policy is {} bytes long; the maximum is {TEXT_MAX}", text.len()));
        return Err(vec![PolicyFault::new(Place { line: 1, column: 1 }, "", flaw)]);
    }
    let mut loader = Loader::default();
    let root = yaml::read(text, "policy", &mut loader.faults).map_err(|fault| vec![fault])?;
    let policy = loader.policy(&Item { node: &root, path: String::new() }, format!("sha256:{}", hex(text)));
    loader.faults.sort_by_key(|fault| (fault.line, fault.column));
    match policy {
        Some(policy) if loader.faults.is_empty() => Ok(policy),
        _ => Err(loader.faults),
    }
}

/// A node and what it is called.
pub(crate) struct Item<'a> {
    pub(crate) node: &'a Node,
    pub(crate) path: String,
}

/// A mapping whose fields are known.
pub(crate) struct Fields<'a> {
    pub(crate) place: Place,
    pub(crate) path: String,
    pub(crate) entries: &'a [(Key, Node)],
}

impl<'a> Fields<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<Item<'a>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(Item { node, path: join(&self.path, name) })
    }

    /// Whether a field that is not `known` was meant as one of `these`.
    fn has_near(&self, these: &[&str], known: &[&str]) -> bool {
        let strange = self.entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str()));
        strange.filter_map(|(key, _)| nearest(&key.text, known)).any(|near| these.contains(&near))
    }

    /// Where the name of a field stands.
    fn key(&self, name: &str) -> Option<(Place, String)> {
        let (key, _) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some((key.place, join(&self.path, name)))
    }
}

/// What rules inherit.
struct Defaults {
    proof: Proof,
    existing: Existing,
    enforce_from: Option<Timestamp>,
    settle: Settle,
    guard: Guard,
}

#[derive(Default)]
pub(crate) struct Loader {
    pub(crate) faults: Vec<PolicyFault>,
}

impl Loader {
    fn policy(&mut self, root: &Item<'_>, digest: String) -> Option<Policy> {
        let fields = self.fields(root, &["$schema", "description", "version", "defaults", "rules"])?;
        self.said(&fields, &["$schema", "description"]);
        match fields.get("version") {
            None => self.missing(&fields, "version", "write `version: 1`"),
            Some(item) if matches!(&item.node.value, Value::Bare(text) if text == "1") => {}
            Some(item) => self.fault(&item, expected("the number 1", item.node)),
        }
        let defaults = self.defaults(fields.get("defaults"));
        let mut rules = Vec::new();
        match fields.get("rules") {
            None => self.missing(&fields, "rules", "write at least one rule"),
            Some(item) => {
                let mut names = BTreeMap::new();
                for item in self.list(&item, "a list of rules") {
                    rules.extend(self.rule(&item, &defaults, &mut names));
                }
            }
        }
        Some(Policy { digest, rules, enforce_from: defaults.enforce_from, settle: defaults.settle })
    }

    /// What is there for people and editors alone has to be text.
    fn said(&mut self, fields: &Fields<'_>, names: &[&str]) {
        for item in names.iter().filter_map(|name| fields.get(name)) {
            self.keep(&item, some_text(item.node));
        }
    }

    fn defaults(&mut self, item: Option<Item<'_>>) -> Defaults {
        let mut defaults = Defaults {
            proof: Proof { new: ProofMode::Probe, existing: ProofMode::Observe },
            existing: Existing::Report,
            enforce_from: None,
            settle: Settle::default(),
            guard: Guard::default(),
        };
        let Some(item) = item else {
            return defaults;
        };
        let Some(fields) = self.fields(&item, &["proof", "existing", "enforce_from", "settle", "guard"]) else {
            return defaults;
        };
        defaults.proof = self.proof(fields.get("proof"), defaults.proof);
        if let Some(item) = fields.get("existing") {
            defaults.existing = self.keep(&item, existing(item.node)).unwrap_or(Existing::Report);
        }
        if let Some(item) = fields.get("enforce_from") {
            defaults.enforce_from = self.keep(&item, timestamp(item.node));
        }
        if let Some(item) = fields.get("settle")
            && let Some(fields) = self.fields(&item, &["terraform", "cloudformation", "pulumi", "other"])
        {
            let Settle { terraform, cloudformation, pulumi, other } = &mut defaults.settle;
            for (name, time) in
                [("terraform", terraform), ("cloudformation", cloudformation), ("pulumi", pulumi), ("other", other)]
            {
                if let Some(item) = fields.get(name) {
                    *time = self.keep(&item, duration(item.node)).unwrap_or(*time);
                }
            }
        }
        defaults.guard = self.guard(fields.get("guard"), defaults.guard);
        defaults
    }

    /// How changes are watched: field by field as it is inherited.
    fn guard(&mut self, item: Option<Item<'_>>, inherited: Guard) -> Guard {
        let mut guard = inherited;
        let known = ["watch", "baseline", "on_break", "fall_back", "hold"];
        let Some(fields) = item.and_then(|item| self.fields(&item, &known)) else { return guard };
        let Guard { watch, baseline, on_break, fall_back, hold } = &mut guard;
        if let Some(item) = fields.get("watch") {
            *watch = self.keep(&item, scalar::watch(item.node)).unwrap_or(*watch);
        }
        if let Some(item) = fields.get("baseline") {
            let span = scalar::span(item.node, guard::BASELINE, "from 10m to 24h", "for example `1h`");
            *baseline = self.keep(&item, span).unwrap_or(*baseline);
        }
        if let Some(item) = fields.get("on_break") {
            *on_break = self.keep(&item, scalar::on_break(item.node)).unwrap_or(*on_break);
        }
        if let Some(item) = fields.get("fall_back") {
            *fall_back = self.keep(&item, scalar::fall_back(item.node)).unwrap_or(*fall_back);
        }
        if let Some(item) = fields.get("hold") {
            let span = scalar::span(item.node, guard::HOLD, "from 1d to 90d", "for example `30d`");
            *hold = self.keep(&item, span).unwrap_or(*hold);
        }
        guard
    }

    fn proof(&mut self, item: Option<Item<'_>>, inherited: Proof) -> Proof {
        let mut proof = inherited;
        if let Some(item) = item
            && let Some(fields) = self.fields(&item, &["new", "existing"])
        {
            for (name, mode) in [("new", &mut proof.new), ("existing", &mut proof.existing)] {
                if let Some(item) = fields.get(name) {
                    *mode = self.keep(&item, proof_mode(item.node)).unwrap_or(*mode);
                }
            }
        }
        proof
    }

    fn rule(&mut self, item: &Item<'_>, defaults: &Defaults, names: &mut BTreeMap<String, usize>) -> Option<Rule> {
        let fields = self.fields(item, RULE)?;
        self.said(&fields, &["description"]);
        let mut name = String::new();
        match fields.get("name") {
            None => self.missing(&fields, "name", "give the rule a name; evidence and warnings use it"),
            Some(item) => name = self.keep(&item, rule_name(item.node)).unwrap_or_default(),
        }
        if !name.is_empty() {
            let line = item.node.place.line;
            if let Some(other) = names.get(&name) {
                let path = join(&item.path, "name");
                let place = fields.get("name").map_or(item.node.place, |item| item.node.place);
                let flaw =
                    Flaw::new(format!("duplicate rule name `{name}`: the rule on line {other} has the same name"));
                self.faults.push(PolicyFault::new(place, path, flaw));
            } else {
                names.insert(name.clone(), line);
            }
        }
        let selectors = fields.get("match").map(|item| self.selectors(&item, "match", "match every stream"));
        let unless = fields.get("unless").map(|item| self.selectors(&item, "unless", "exclude no stream"));
        let effect = self.effect(&fields, defaults)?;
        Some(Rule { name, selectors: selectors.unwrap_or_default(), unless, effect, place: item.node.place })
    }

    fn effect(&mut self, fields: &Fields<'_>, defaults: &Defaults) -> Option<Effect> {
        let (key, exempt) = (fields.get("key"), fields.get("exempt"));
        // Read whatever is there, so that all its faults are found.
        let exemption = exempt.as_ref().map(|item| self.exemption(item));
        let encrypt = self.encrypt(fields, defaults);
        match (key, exempt) {
            // It is there, misspelt, and that is reported already.
            (None, None) if fields.has_near(&["key", "exempt"], RULE) => None,
            (None, None) => {
                let flaw = Flaw::new("a rule needs `key` or `exempt`");
                self.faults.push(PolicyFault::new(fields.place, fields.path.clone(), flaw));
                None
            }
            (Some(_), Some(_)) => {
                self.fault_at(fields.key("exempt"), Flaw::new("a rule has `key` or `exempt`, not both"));
                None
            }
            (None, Some(_)) => {
                for name in ENCRYPT_ONLY {
                    let flaw = Flaw::new(format!("`{name}` cannot be used together with `exempt`"));
                    self.fault_at(fields.key(name), flaw);
                }
                exemption.map(Effect::Exempt)
            }
            (Some(_), None) => Some(Effect::Encrypt(encrypt?)),
        }
    }

    fn exemption(&mut self, item: &Item<'_>) -> Exemption {
        let mut exemption = Exemption { reason: String::new(), owner: None, until: None };
        if let Some(fields) = self.fields(item, &["reason", "owner", "until"]) {
            match fields.get("reason") {
                None => self.missing(&fields, "reason", "give the reason for the exemption"),
                Some(item) => exemption.reason = self.keep(&item, some_text(item.node)).unwrap_or_default(),
            }
            exemption.owner = fields.get("owner").and_then(|item| self.keep(&item, some_text(item.node)));
            exemption.until = fields.get("until").and_then(|item| self.keep(&item, date(item.node)));
        }
        exemption
    }

    fn encrypt(&mut self, fields: &Fields<'_>, defaults: &Defaults) -> Option<Encrypt> {
        let key = fields.get("key").and_then(|item| self.keep(&item, text(item.node).and_then(KeyTemplate::parse)));
        let mut accept = Vec::new();
        if let Some(item) = fields.get("accept") {
            accept = self.accepts(&item);
        }
        let existing = fields.get("existing").and_then(|item| self.keep(&item, existing(item.node)));
        let proof = self.proof(fields.get("proof"), defaults.proof);
        let guard = self.guard(fields.get("guard"), defaults.guard);
        let replace = fields.get("replace_customer_key").and_then(|item| self.keep(&item, boolean(item.node)));
        Some(Encrypt {
            key: key?,
            accept,
            existing: existing.unwrap_or(defaults.existing),
            proof,
            replace_customer_key: replace.unwrap_or(false),
            guard,
        })
    }

    /// What `accept` names: words, keys, and `customer-managed` with a list of accounts, which is a mapping.
    fn accepts(&mut self, item: &Item<'_>) -> Vec<Accept> {
        let items = match &item.node.value {
            Value::Map(_) => vec![Item { node: item.node, path: item.path.clone() }],
            _ => self.one_or_more(item),
        };
        let mut accept = Vec::new();
        for item in items {
            accept.extend(match &item.node.value {
                Value::Map(_) => self.customer_managed_of(&item),
                _ => self.keep(&item, accepted(item.node)),
            });
        }
        accept
    }

    fn customer_managed_of(&mut self, item: &Item<'_>) -> Option<Accept> {
        let known = ["customer-managed"];
        let fields = self.fields(item, &known)?;
        let Some(accounts) = fields.get("customer-managed") else {
            // One that is misspelt is reported already.
            if !fields.has_near(&known, &known) {
                self.missing(&fields, "customer-managed", "list the accounts whose keys are accepted");
            }
            return None;
        };
        let of = self.one_or_more(&accounts);
        Some(Accept::CustomerManaged { of: of.iter().filter_map(|item| self.keep(item, account(item.node))).collect() })
    }

    fn selectors(&mut self, item: &Item<'_>, name: &str, effect: &str) -> Selectors {
        let mut selectors = Selectors::default();
        let Some(fields) = self.fields(item, &["stream", "tags", "account", "region"]) else {
            return selectors;
        };
        let empty = |what: &str| Flaw::new(format!("`{what}` must not be empty"));
        if fields.entries.is_empty() {
            self.fault(item, empty(name).help(format!("remove `{name}` to {effect}")));
        }
        selectors.stream = self.patterns(fields.get("stream"), stream_pattern);
        selectors.account = self.patterns(fields.get("account"), account_pattern);
        selectors.region = self.patterns(fields.get("region"), region_pattern);
        if let Some(item) = fields.get("tags") {
            let Value::Map(entries) = &item.node.value else {
                self.fault(&item, expected("a mapping of tag names to value patterns", item.node));
                return selectors;
            };
            if entries.is_empty() {
                self.fault(&item, empty("tags"));
            }
            for (key, node) in entries {
                let path = join(&item.path, &key.text);
                if !is_tag_name(&key.text) {
                    let flaw = Flaw::new(format!("a tag name must have 1 to {TAG_NAME_MAX} characters"));
                    self.faults.push(PolicyFault::new(key.place, path.clone(), flaw));
                }
                let patterns = self.patterns(Some(Item { node, path }), |_| Ok(()));
                selectors.tags.push((key.text.clone(), patterns));
            }
        }
        selectors
    }

    fn patterns(&mut self, item: Option<Item<'_>>, check: fn(&str) -> Result<(), Flaw>) -> Vec<WildMatch> {
        let Some(item) = item else {
            return Vec::new();
        };
        let items = self.one_or_more(&item);
        let pattern = |item: &Item<'_>| {
            let text = written(item.node)?;
            if text.is_empty() {
                return Err(Flaw::new("the pattern must not be empty").help("use `*` to match any value"));
            }
            check(text).map(|()| WildMatch::new(text))
        };
        items.iter().filter_map(|item| self.keep(item, pattern(item))).collect()
    }

    /// The fields of a mapping, those that are not `known` reported.
    pub(crate) fn fields<'a>(&mut self, item: &Item<'a>, known: &[&str]) -> Option<Fields<'a>> {
        let Value::Map(entries) = &item.node.value else {
            self.fault(item, expected("a mapping", item.node));
            return None;
        };
        for (key, _) in entries.iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let flaw = Flaw::new(format!("unknown field `{}`", EventText::new(&key.text)));
            let help = match nearest(&key.text, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("valid fields: {}", ticked(known, "and")),
            };
            self.faults.push(PolicyFault::new(key.place, join(&item.path, &key.text), flaw.help(help)));
        }
        Some(Fields { place: item.node.place, path: item.path.clone(), entries })
    }

    /// The items of a list that may not be empty.
    pub(crate) fn list<'a>(&mut self, item: &Item<'a>, what: &str) -> Vec<Item<'a>> {
        let Value::List(nodes) = &item.node.value else {
            self.fault(item, expected(what, item.node));
            return Vec::new();
        };
        if nodes.is_empty() {
            self.fault(item, Flaw::new("the list must not be empty"));
        }
        nodes.iter().enumerate().map(|(i, node)| Item { node, path: format!("{}[{i}]", item.path) }).collect()
    }

    /// The items of a list, or the one that stands in its place.
    fn one_or_more<'a>(&mut self, item: &Item<'a>) -> Vec<Item<'a>> {
        match &item.node.value {
            Value::List(_) => self.list(item, "a list"),
            Value::Map(_) => {
                self.fault(item, expected("text or a list of texts", item.node));
                Vec::new()
            }
            _ => vec![Item { node: item.node, path: item.path.clone() }],
        }
    }

    pub(crate) fn missing(&mut self, fields: &Fields<'_>, name: &str, help: &str) {
        let flaw = Flaw::new(format!("`{name}` is missing")).help(help);
        self.faults.push(PolicyFault::new(fields.place, join(&fields.path, name), flaw));
    }

    pub(crate) fn fault(&mut self, item: &Item<'_>, flaw: Flaw) {
        self.faults.push(PolicyFault::new(item.node.place, item.path.clone(), flaw));
    }

    /// Reports a flaw in a field by the place of its name; nothing where the field is not there.
    fn fault_at(&mut self, key: Option<(Place, String)>, flaw: Flaw) {
        self.faults.extend(key.map(|(place, path)| PolicyFault::new(place, path, flaw)));
    }

    pub(crate) fn keep<T>(&mut self, item: &Item<'_>, result: Result<T, Flaw>) -> Option<T> {
        result.map_err(|flaw| self.fault(item, flaw)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rule_inherits_each_field_of_the_guard() {
        let text = "version: 1\ndefaults: {guard: {watch: 20m, hold: 2d}}\nrules: [{name: a, key: alias/a, guard: {watch: 30m}}, {name: b, key: alias/b, guard: {watch: off}}]";
        let policy = load(text).unwrap();
        let guards: Vec<_> = policy
            .rules
            .iter()
            .filter_map(|rule| match &rule.effect {
                Effect::Encrypt(encrypt) => Some(encrypt.guard),
                Effect::Exempt(_) => None,
            })
            .collect();
        let mins = jiff::SignedDuration::from_mins;
        let hold = jiff::SignedDuration::from_hours(48);
        let a = Guard { watch: Some(mins(30)), hold, ..Guard::default() };
        assert_eq!(guards, [a, Guard { watch: None, ..a }]);
    }

    /// A policy that has one rule with `fields` and says nothing else.
    fn check(fields: &str, expect: Result<&dyn Fn(&Policy), &str>) {
        let text = format!("version: 1\nrules: [{{ name: a, {fields} }}]");
        match (load(&text), expect) {
            (Ok(policy), Ok(verify)) => verify(&policy),
            (Err(faults), Err(expected)) => {
                let faults: Vec<String> = faults.iter().map(|fault| fault.message.clone()).collect();
                assert_eq!(faults, [expected], "{fields}");
            }
            (loaded, _) => panic!("{fields}: {loaded:?}"),
        }
    }

    fn encrypt(policy: &Policy) -> &Encrypt {
        match &policy.rules[0].effect {
            Effect::Encrypt(encrypt) => encrypt,
            Effect::Exempt(_) => panic!("{policy:?}"),
        }
    }

    #[test]
    fn what_is_not_said_is_filled_in() {
        check(
            "key: alias/k, existing: enforce",
            Ok(&|policy| {
                let proof = Proof { new: ProofMode::Probe, existing: ProofMode::Observe };
                let key = KeyTemplate::parse("alias/k").unwrap();
                let (accept, existing) = (vec![], Existing::Enforce);
                let guard = Guard::default();
                let expected = Encrypt { key, accept, existing, proof, replace_customer_key: false, guard };
                assert_eq!(encrypt(policy), &expected);
                assert_eq!(policy.rules[0].selectors, Selectors::default());
                assert_eq!((policy.enforce_from, policy.rules[0].unless.clone()), (None, None));
                let seconds = |s| Duration::from_secs(s);
                let (terraform, cloudformation, pulumi, other) = (seconds(120), seconds(60), seconds(120), seconds(0));
                assert_eq!(policy.settle, Settle { terraform, cloudformation, pulumi, other });
            }),
        );
    }

    #[test]
    fn rules_inherit_and_overrule() {
        let text = "
version: 1
defaults:
  proof: { new: describe }
  enforce_from: 2026-12-01
  settle: { terraform: 15m, other: 7s }
rules:
  - { name: a, key: alias/a, accept: [aws-managed, alias/b, customer-managed, customer-managed: [444455556666]] }
  - { name: b, key: alias/b, accept: { customer-managed: 012345678901 }, proof: { existing: probe }, existing: enforce, replace_customer_key: true }
";
        let policy = load(text).unwrap();
        assert_eq!(policy.enforce_from, Some("2026-12-01T00:00:00Z".parse().unwrap()));
        let Settle { terraform, cloudformation, pulumi, other } = policy.settle;
        assert_eq!([terraform, cloudformation, pulumi, other].map(|time| time.as_secs()), [900, 60, 120, 7]);
        let [Effect::Encrypt(a), Effect::Encrypt(b)] = [&policy.rules[0].effect, &policy.rules[1].effect] else {
            panic!("{policy:?}")
        };
        assert_eq!((a.proof.new, a.proof.existing), (ProofMode::Describe, ProofMode::Observe));
        assert_eq!((b.proof.new, b.proof.existing), (ProofMode::Describe, ProofMode::Probe));
        assert_eq!((a.existing, b.existing), (Existing::Report, Existing::Enforce));
        assert_eq!((a.replace_customer_key, b.replace_customer_key), (false, true));
        let other = Accept::Key(crate::domain::arn::KeyRef::parse("alias/b").unwrap());
        let customer = |of: &[&str]| Accept::CustomerManaged { of: of.iter().map(|a| (*a).to_owned()).collect() };
        assert_eq!(a.accept, [Accept::AwsManaged, other, customer(&[]), customer(&["444455556666"])]);
        assert_eq!(b.accept, [customer(&["012345678901"])], "one stands in for a list");
        assert_eq!(policy.rules[1].place, Place { line: 9, column: 5 });
    }

    #[test]
    fn the_digest_is_that_of_the_text() {
        let text = "version: 1\nrules: [{ name: a, exempt: { reason: r } }]\n";
        // sha256sum
        let expected = "sha256:d7958888043560c8e2d231ec36f5b5b6b4b0501b913f71b18c05eac2ed59025f";
        assert_eq!(load(text).unwrap().digest, expected);
    }

    #[test]
    fn patterns_keep_their_spelling() {
        check(
            "exempt: { reason: r }, match: { account: 012345678901, tags: { v: [1.10, True, 0x1F, '~', \"\\u00fc\"] } }",
            Ok(&|policy| {
                let spelled = |patterns: &[WildMatch]| patterns.iter().map(ToString::to_string).collect::<Vec<_>>();
                let selectors = &policy.rules[0].selectors;
                assert_eq!(spelled(&selectors.account), ["012345678901"]);
                assert_eq!(spelled(&selectors.tags[0].1), ["1.10", "True", "0x1F", "~", "\u{fc}"]);
            }),
        );
        for (written, read) in [
            ("null", "an empty value"),
            ("~", "an empty value"),
            ("true", "`true`"),
            ("1e3", "`1e3`"),
            ("-.5", "`-.5`"),
            ("0o17", "`0o17`"),
            (".inf", "`.inf`"),
            ("99999999999999999999", "`99999999999999999999`"),
        ] {
            check(&format!("exempt: {{ reason: {written} }}"), Err(&format!("expected text, found {read}")));
        }
        for text in ["yes", "inf", "nan", "0x", "1_000", "1.2.3", "2027-01-01"] {
            check(
                &format!("exempt: {{ reason: {text} }}"),
                Ok(&|policy| {
                    let Effect::Exempt(exemption) = &policy.rules[0].effect else { panic!() };
                    assert_eq!(exemption.reason, text);
                }),
            );
        }
    }

    #[test]
    fn times() {
        let of = |field: &str| {
            let text = format!("version: 1\ndefaults: {{ {field} }}\nrules: [{{ name: a, exempt: {{ reason: r }} }}]");
            load(&text).ok()
        };
        for (text, seconds) in [
            ("0s", Some(0)),
            ("900s", Some(900)),
            ("901s", None),
            ("0m", Some(0)),
            ("15m", Some(900)),
            ("16m", None),
            ("007s", Some(7)),
            ("s", None),
            ("1", None),
            ("1h", None),
            ("+1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("18446744073709551615m", None),
            ("99999999999999999999s", None),
            ("ms", None),
            ("1sm", None),
        ] {
            let other = of(&format!("settle: {{ other: {text} }}")).map(|policy| policy.settle.other.as_secs());
            assert_eq!(other, seconds, "{text}");
        }
        for (text, time) in [
            ("2026-12-01", Some("2026-12-01T00:00:00Z")),
            ("2026-12-01T10:00:00Z", Some("2026-12-01T10:00:00Z")),
            ("2026-12-01t10:00:00.5z", Some("2026-12-01T10:00:00.5Z")),
            ("2026-12-01T01:00:00+02:00", Some("2026-11-30T23:00:00Z")),
            ("2026-12-01T10:00:00", None),
            ("2026-12-01T10:00Z", None),
            ("20261201T100000Z", None),
            ("2026-12-01T10:00:00Z[UTC]", None),
            ("2026-02-30", None),
            ("now", None),
        ] {
            let from = of(&format!("enforce_from: \"{text}\"")).map(|policy| policy.enforce_from.unwrap());
            assert_eq!(from, time.map(|time| time.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn the_word_that_was_meant() {
        for (text, expect) in [
            ("exmept", Some("exempt")),
            ("keys", Some("key")),
            ("replace_customer_key", Some("replace_customer_key")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, RULE), expect, "{text}");
        }
    }
}
