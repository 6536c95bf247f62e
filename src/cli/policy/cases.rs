//! Tests of a policy, as its owner writes them: for a stream such as this, that rule and that key. Read like a policy, with
//! every fault at its place, and run by [`Policy::decide`] alone.

use jiff::Timestamp;

use crate::domain::arn::{KeyRef, Scope, StreamArn, StreamName};
use crate::domain::model::Tags;
use crate::domain::policy::fault::Flaw;
use crate::domain::policy::load::{Fields, Item, Loader};
use crate::domain::policy::scalar::{boolean, expected, some_text, text, timestamp, written};
use crate::domain::policy::yaml::{self, Node, Value, join};
use crate::domain::policy::{Outcome, Place, Policy, PolicyFault};
use crate::domain::text::EventText;

/// Where the stream of a test is that does not say it: the account of AWS's own examples.
const ACCOUNT: &str = "111122223333";
/// The Region of such a stream.
const REGION: &str = "eu-west-1";

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    /// Where it starts in its file.
    pub(crate) place: Place,
    stream: StreamArn,
    tags: Tags,
    at: Option<Timestamp>,
    rule: Option<String>,
    outcome: Option<Expected>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expected {
    Key(String),
    Exempt,
    Unmatched,
    Unresolvable,
}

impl Case {
    /// Runs it: what is not as expected, and why the policy decides so. `now` is the time where the test does not name one.
    ///
    /// # Errors
    /// Each difference, then the policy's reasons.
    pub(crate) fn run(&self, policy: &Policy, now: Timestamp) -> Result<(), Vec<String>> {
        let decision = policy.decide(&self.stream, &self.tags, self.at.unwrap_or(now));
        let mut wrong = Vec::new();
        let rule = decision.rule.as_ref().map(|rule| rule.name.as_str());
        if let Some(desired) = self.rule.as_deref().filter(|desired| rule != Some(desired)) {
            let unknown = policy.rules.iter().all(|rule| rule.name != desired);
            let unknown = if unknown { ", which is not in the policy" } else { "" };
            let got = rule.map_or("no rule".to_owned(), |rule| format!("rule `{rule}`"));
            wrong.push(format!("expected rule `{desired}`{unknown}; {got} decided"));
        }
        if let Some(desired) = self.outcome.as_ref().filter(|desired| !desired.fits(&decision.outcome)) {
            wrong.push(format!("expected {}, got {}", desired.words(), words(&decision.outcome)));
        }
        if wrong.is_empty() {
            return Ok(());
        }
        wrong.extend(decision.reasons);
        Err(wrong)
    }
}

impl Expected {
    fn fits(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Self::Key(key), Outcome::Encrypt(target)) => target.key.as_str() == key,
            (Self::Exempt, Outcome::Exempt(_))
            | (Self::Unmatched, Outcome::Unmatched)
            | (Self::Unresolvable, Outcome::Unresolvable(_)) => true,
            _ => false,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Key(key) => format!("the key `{key}`"),
            Self::Exempt => "an exemption".to_owned(),
            Self::Unmatched => "no rule to match".to_owned(),
            Self::Unresolvable => "a key that cannot be resolved".to_owned(),
        }
    }
}

fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Exempt(exemption) => format!("exempt ({})", EventText::new(&exemption.reason)),
        Outcome::Unmatched => "unmatched".to_owned(),
        Outcome::Unresolvable(why) => format!("unresolvable: {why}"),
        Outcome::Encrypt(target) => format!("the key `{}`", target.key),
    }
}

/// Reads a file of tests: a list.
///
/// # Errors
/// All its faults, in the order of the text.
pub(crate) fn load(text: &str) -> Result<Vec<Case>, Vec<PolicyFault>> {
    let mut loader = Loader::default();
    let root = yaml::read(text, "list of tests", &mut loader.faults).map_err(|fault| vec![fault])?;
    let items = loader.list(&Item { node: &root, path: String::new() }, "a list of tests");
    let cases: Vec<Case> = items.iter().filter_map(|item| case(&mut loader, item)).collect();
    loader.faults.sort_by_key(|fault| (fault.line, fault.column));
    if loader.faults.is_empty() { Ok(cases) } else { Err(loader.faults) }
}

fn case(loader: &mut Loader, item: &Item<'_>) -> Option<Case> {
    let fields = loader.fields(item, &["name", "given", "expect"])?;
    let name = required(loader, &fields, "name", "give the test a name", some_text);
    let given = match fields.get("given") {
        Some(item) => given(loader, &item),
        None => {
            loader.missing(&fields, "given", "give the stream, for example `given: { stream: orders }`");
            None
        }
    };
    let expect = match fields.get("expect") {
        Some(item) => expect(loader, &item),
        None => {
            loader.missing(
                &fields,
                "expect",
                "give the expected result, for example `expect: { rule: NAME, key: alias/x }`",
            );
            None
        }
    };
    let (stream, tags, at) = given?;
    let (rule, outcome) = expect?;
    Some(Case { name: name?, place: item.node.place, stream, tags, at, rule, outcome })
}

fn given(loader: &mut Loader, item: &Item<'_>) -> Option<(StreamArn, Tags, Option<Timestamp>)> {
    let fields = loader.fields(item, &["stream", "tags", "account", "region", "at"])?;
    let name = required(loader, &fields, "stream", "give the stream name", |node| {
        StreamName::parse(written(node)?).ok_or_else(|| {
            expected("the name of a stream", node).help("a stream name has 1 to 128 letters, digits, `_`, `.` and `-`")
        })
    });
    let account = optional(loader, &fields, "account", |node| {
        let text = written(node)?;
        let legal = Scope::is_account(text);
        if legal { Ok(text.to_owned()) } else { Err(expected("an account ID of 12 digits", node)) }
    });
    let region = optional(loader, &fields, "region", |node| {
        let text = text(node)?;
        let legal = Scope::is_region(text);
        if legal { Ok(text.to_owned()) } else { Err(expected("a Region", node).help("such as `eu-west-1`")) }
    });
    let at = optional(loader, &fields, "at", timestamp);
    let mut tags = Tags::new();
    if let Some(item) = fields.get("tags") {
        match &item.node.value {
            Value::Map(entries) => {
                for (key, node) in entries {
                    let item = Item { node, path: join(&item.path, &key.text) };
                    let value = loader.keep(&item, written(node).map(str::to_owned));
                    tags.extend(value.map(|value| (key.text.clone(), value)));
                }
            }
            _ => loader.fault(&item, expected("a mapping of tag names to values", item.node)),
        }
    }
    let region = region.unwrap_or_else(|| REGION.to_owned());
    let account = account.unwrap_or_else(|| ACCOUNT.to_owned());
    let scope = Scope { partition: Scope::partition_of(&region).to_owned(), region, account };
    Some((scope.stream(name?), tags, at))
}

fn expect(loader: &mut Loader, item: &Item<'_>) -> Option<(Option<String>, Option<Expected>)> {
    let fields = loader.fields(item, &["rule", "key", "exempt", "unmatched", "unresolvable"])?;
    let rule = optional(loader, &fields, "rule", some_text);
    let mut outcomes = Vec::new();
    outcomes.extend(optional(loader, &fields, "key", |node| {
        let key = text(node)?;
        let is_key = KeyRef::parse(key).is_some();
        if is_key {
            Ok(Expected::Key(key.to_owned()))
        } else {
            Err(expected("a key", node).help("without `${…}`: write the resolved key"))
        }
    }));
    let words =
        [("exempt", Expected::Exempt), ("unmatched", Expected::Unmatched), ("unresolvable", Expected::Unresolvable)];
    for (name, outcome) in words {
        let said = optional(loader, &fields, name, |node| match boolean(node)? {
            true => Ok(outcome),
            false => Err(Flaw::new("only `true` is allowed; to expect something else use `key` or `rule`")),
        });
        outcomes.extend(said);
    }
    let named = fields.entries.iter().filter(|(key, _)| key.text != "rule").count();
    if fields.entries.is_empty() {
        loader.fault(
            item,
            Flaw::new("`expect` must not be empty")
                .help("there are `rule`, `key`, `exempt`, `unmatched` and `unresolvable`"),
        );
    } else if named > 1 {
        loader.fault(item, Flaw::new("use only one of `key`, `exempt`, `unmatched` and `unresolvable`"));
    }
    Some((rule, outcomes.pop()))
}

fn optional<T>(
    loader: &mut Loader,
    fields: &Fields<'_>,
    name: &str,
    read: impl FnOnce(&Node) -> Result<T, Flaw>,
) -> Option<T> {
    let item = fields.get(name)?;
    loader.keep(&item, read(item.node))
}

fn required<T>(
    loader: &mut Loader,
    fields: &Fields<'_>,
    name: &str,
    help: &str,
    read: impl FnOnce(&Node) -> Result<T, Flaw>,
) -> Option<T> {
    if fields.get(name).is_none() {
        loader.missing(fields, name, help);
    }
    optional(loader, fields, name, read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "
version: 1
defaults: { existing: enforce }
rules:
  - { name: scratch, match: { stream: 'scratch-*' }, exempt: { reason: r, until: 2027-03-31 } }
  - { name: team, match: { tags: { team: '*' } }, key: 'alias/k-${tag:team}-${account}' }
  - { name: eu, match: { region: 'eu-*' }, key: alias/eu }
";

    fn results(tests: &str) -> Vec<Vec<String>> {
        let policy = Policy::load(POLICY).unwrap();
        let now = "2027-01-01T00:00:00Z".parse().unwrap();
        load(tests).unwrap().iter().map(|case| case.run(&policy, now).err().unwrap_or_default()).collect()
    }

    #[test]
    fn what_is_as_expected_passes() {
        let tests = "
- { name: a, given: { stream: scratch-1 }, expect: { rule: scratch, exempt: true } }
- { name: b, given: { stream: scratch-1, at: 2027-04-01 }, expect: { rule: eu, key: alias/eu } }
- { name: c, given: { stream: x, tags: { team: t }, account: '999999999999' }, expect: { key: alias/k-t-999999999999 } }
- { name: d, given: { stream: x, tags: { team: 'a b' } }, expect: { rule: team, unresolvable: true } }
- { name: e, given: { stream: x, region: us-east-1 }, expect: { unmatched: true } }
- { name: f, given: { stream: x, tags: { team: 7 } }, expect: { key: alias/k-7-111122223333 } }
";
        assert_eq!(results(tests), [const { Vec::<String>::new() }; 6]);
    }

    #[test]
    fn what_is_not_says_so_with_the_reasons() {
        let tests = "
- { name: a, given: { stream: x }, expect: { rule: tema, exempt: true } }
- { name: b, given: { stream: x, region: us-east-1 }, expect: { rule: eu, key: alias/eu } }
";
        let of = |name: &str| format!("rule `eu` matched: region `{name}` matches `eu-*`");
        let unknown = "expected rule `tema`, which is not in the policy; rule `eu` decided".to_owned();
        assert_eq!(
            results(tests),
            [
                vec![unknown, "expected an exemption, got the key `alias/eu`".to_owned(), of("eu-west-1")],
                vec![
                    "expected rule `eu`; no rule decided".to_owned(),
                    "expected the key `alias/eu`, got unmatched".to_owned(),
                    "no rule matches the stream".to_owned()
                ],
            ]
        );
    }

    #[test]
    fn faults_come_all_at_once_with_their_places() {
        let tests = "
- { name: a, given: { stream: 'a b', regio: x }, expect: { } }
- { given: { stream: x, account: 12, at: noon }, expect: { rule: r, exempt: false, key: x y } }
- { name: c, expect: { exempt: true, unmatched: true } }
";
        let faults: Vec<String> = load(tests).unwrap_err().iter().map(ToString::to_string).collect();
        let starts = |start: &str| assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start}: {faults:#?}");
        starts("2:31: [0].given.stream: expected the name of a stream");
        starts("2:38: [0].given.regio: unknown field `regio` (did you mean `region`?)");
        starts("2:58: [0].expect: `expect` must not be empty");
        starts("3:3: [1].name: `name` is missing");
        starts("3:34: [1].given.account: expected an account ID of 12 digits");
        starts("3:42: [1].given.at: expected a timestamp");
        starts("3:77: [1].expect.exempt: only `true` is allowed");
        starts("3:89: [1].expect.key: expected a key");
        starts("3:58: [1].expect: use only one of");
        starts("4:3: [2].given: `given` is missing");
        starts("4:22: [2].expect: use only one of");
        assert_eq!(faults.len(), 11, "{faults:#?}");
        assert_eq!(load("a: b").unwrap_err()[0].message, "expected a list of tests, found a mapping");
        assert_eq!(load("").unwrap_err()[0].message, "the list of tests is empty");
    }
}
