//! The policy loader against the corpus in `tests/policies`, the JSON Schema against both, and what must hold for any text.
//!
//! A bad policy opens with the faults it has to be refused for, one `#! ` line each, just as they are shown to people.
//! `STREAMSEAL_BLESS=1 cargo test --test core policy` writes those lines and `policy.schema.json` anew; read the
//! difference before believing it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::prelude::*;
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Value, json};
use streamseal::domain::arn::StreamArn;
use streamseal::domain::model::Tags;
use streamseal::domain::policy::{Outcome, Policy};

use crate::properties::cases;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policy.schema.json");

/// Faulty documents and rules that the schema lets pass, since a schema cannot say what is wrong with them.
const BEYOND_THE_SCHEMA: &[&str] = &[
    // It depends on the rules.
    // There is no such day.
    "exemptions.yaml rules[3]",
    // It depends on another rule.
    "names.yaml rules[1]",
    "same-name.yaml rules[2]",
    "until-no-such-day.yaml rules[0]",
];

fn corpus(which: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies").join(which);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

fn blessing() -> bool {
    std::env::var_os("STREAMSEAL_BLESS").is_some()
}

fn faults(text: &str) -> Vec<String> {
    Policy::load(text).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(SCHEMA).unwrap()).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// What an editor hands to a schema; `None` for what is not one YAML document that JSON could hold.
fn to_json(text: &str) -> Option<Value> {
    fn convert(yaml: &Yaml<'_>) -> Option<Value> {
        Some(match yaml {
            Yaml::Value(Scalar::Null) => Value::Null,
            Yaml::Value(Scalar::Boolean(value)) => json!(value),
            Yaml::Value(Scalar::Integer(value)) => json!(value),
            Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
            Yaml::Value(Scalar::String(value)) => json!(value),
            Yaml::Sequence(items) => Value::Array(items.iter().map(convert).collect::<Option<_>>()?),
            Yaml::Mapping(entries) => {
                let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| Some((key.as_str()?.to_owned(), convert(value)?));
                Value::Object(entries.iter().map(entry).collect::<Option<_>>()?)
            }
            Yaml::Tagged(..) | Yaml::Alias(_) | Yaml::BadValue | Yaml::Representation(..) => return None,
        })
    }
    match Yaml::load_from_str(text).ok()?.as_slice() {
        [document] => convert(document),
        _ => None,
    }
}

#[test]
fn good_policies_load_and_satisfy_the_schema() {
    let schema = validator();
    for (name, text) in corpus("good") {
        assert_eq!(faults(&text), [""; 0], "{name}");
        let document = to_json(&text).unwrap_or_else(|| panic!("{name} is not JSON"));
        let complaints: Vec<String> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert_eq!(complaints, [""; 0], "{name}");
    }
}

#[test]
fn bad_policies_are_refused_for_every_fault_at_its_place() {
    for (name, text) in corpus("bad") {
        if blessing() {
            bless(&name, &text);
            continue;
        }
        let expected: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("#! ")).collect();
        assert!(!expected.is_empty(), "{name} does not say what is wrong with it");
        assert_eq!(faults(&text), expected, "{name}");
    }
}

fn bless(name: &str, text: &str) {
    let body: String =
        text.lines().skip_while(|line| line.starts_with("#! ")).map(|line| format!("{line}\n")).collect();
    let blank = "#! \n".repeat(faults(&body).len());
    let header: String = faults(&format!("{blank}{body}")).iter().map(|fault| format!("#! {fault}\n")).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/bad").join(name);
    std::fs::write(path, header + &body).unwrap();
}

/// Rule by rule, so that no fault hides behind another.
#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let schema = validator();
    let mut passed = Vec::new();
    for (name, text) in corpus("bad") {
        let Some(mut document) = to_json(&text) else {
            continue;
        };
        let faults = Policy::load(&text).unwrap_err();
        let rules = document["rules"].as_array().cloned().unwrap_or_default();
        for (i, rule) in rules.iter().enumerate() {
            let at = format!("rules[{i}]");
            let faulty = faults.iter().any(|fault| fault.path.starts_with(&at));
            if faulty && schema.is_valid(&json!({ "version": 1, "rules": [rule] })) {
                passed.push(format!("{name} {at}"));
            }
        }
        if !rules.is_empty() {
            document["rules"] = json!([{ "name": "good", "key": "alias/good" }]);
        }
        if faults.iter().any(|fault| !fault.path.starts_with("rules[")) && schema.is_valid(&document) {
            passed.push(name);
        }
    }
    assert_eq!(passed, BEYOND_THE_SCHEMA);
}

#[cfg(feature = "cli")]
#[test]
fn policy_schema_is_current() {
    let schema = streamseal::cli::policy::document::schema();
    if blessing() {
        std::fs::write(SCHEMA, &schema).unwrap();
    }
    // Compared as values: the order of fields depends on the features that other crates ask of serde_json.
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let stored = std::fs::read_to_string(SCHEMA).unwrap_or_default();
    let command = "STREAMSEAL_BLESS=1 cargo test --test core policy_schema";
    assert!(read(&stored) == read(&schema), "policy.schema.json is out of date; write it anew with `{command}`");
}

/// A stack that overflows ends the whole process, and nobody's alarm would say why.
#[test]
fn hostile_texts_are_refused_without_a_crash() {
    for (what, text) in [
        ("lists", "[".repeat(100_000)),
        ("mappings", "{a: ".repeat(60_000)),
        ("block lists", "- ".repeat(100_000)),
        ("block mappings", (0..700).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("complex keys", "? ".repeat(100_000)),
        ("closing brackets", "]".repeat(100_000)),
        ("one long line", "a".repeat(262_144)),
        ("laughs", format!("a: &a [x]\n{}", "b: &b [*a, *a, *a, *a]\n".repeat(5_000))),
        ("unknown fields", (0..20_000).map(|i| format!("f{i}: 1\n")).collect()),
        ("long unknown field", format!("{}: 1\n", "k".repeat(200_000))),
        ("nul", "version: 1\0".to_owned()),
    ] {
        let faults = Policy::load(&text).expect_err(what);
        assert!(faults.iter().all(|fault| fault.to_string().len() < 1_000), "{what}: faults are cut");
    }
}

#[test]
fn a_policy_has_256_kib_at_most() {
    let good = "version: 1\nrules: [{ name: a, exempt: { reason: r } }]\n#";
    let padded = |length: usize| format!("{good}{}", "x".repeat(length - good.len()));
    assert_eq!(faults(&padded(262_144)), [""; 0]);
    assert_eq!(faults(&padded(262_145)), ["1:1: the policy is 262145 bytes long; the maximum is 262144"]);
}

fn stream() -> StreamArn {
    StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/clicks").unwrap()
}

/// Text that is nearly a policy: its words and marks in any order.
fn policy_like() -> impl Strategy<Value = String> {
    let words = [
        "version: 1",
        "rules:",
        "defaults:",
        "name",
        "match",
        "unless",
        "key",
        "exempt",
        "accept",
        "existing",
        "enforce",
        "proof",
        "tags",
        "stream",
        "alias/a",
        "alias/${tag:t}",
        "${",
        "}",
        "{",
        "[",
        "]",
        ",",
        ":",
        ": ",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "? ",
        "&a",
        "*a",
        "!t ",
        "\"",
        "'",
        "|\n",
        ">\n",
        "#",
        "---\n",
        "...\n",
        "\t",
        "~",
        "1",
        "120s",
        "true",
        "2027-03-31",
        "\u{feff}",
        "\r\n",
        "%YAML 1.2\n",
        "<<",
        "ü",
        "@",
        "`",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|words| words.concat())
}

fn loads_or_says_why(text: &str) {
    match Policy::load(text) {
        Ok(policy) => assert!(!policy.rules.is_empty()),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            let lines = text.split('\n').count();
            for fault in faults {
                assert!((1..=lines + 1).contains(&fault.line) && fault.column >= 1 && !fault.message.is_empty());
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(2_000))]

    #[test]
    fn any_text_loads_or_says_why(text in any::<String>()) {
        loads_or_says_why(&text);
    }

    #[test]
    fn anything_like_a_policy_loads_or_says_why(text in policy_like()) {
        loads_or_says_why(&text);
    }

    /// One character less or more in a good policy.
    #[test]
    fn damaged_policies_load_or_say_why(at in any::<prop::sample::Index>(), put in prop::option::of(any::<char>())) {
        let good = corpus("good");
        let mut text: Vec<char> = good[at.index(good.len())].1.chars().collect();
        let position = at.index(text.len());
        match put {
            Some(character) => text.insert(position, character),
            None => { text.remove(position); }
        }
        loads_or_says_why(&text.into_iter().collect::<String>());
    }

    /// A tag that no rule mentions changes nothing, and one that a rule mentions does.
    #[test]
    fn tags_that_no_rule_mentions_change_nothing(
        tags in prop::collection::btree_map("[a-z]{1,8}", "[A-Za-z0-9_-]{0,8}", 0..6),
        team in prop::option::of("[A-Za-z0-9_-]{1,8}"),
    ) {
        let (_, text) = corpus("good").into_iter().find(|(name, _)| name == "handbook.yaml").unwrap();
        let policy = Policy::load(&text).unwrap();
        let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let mentioned: Tags = team.iter().map(|team| ("team".to_owned(), team.clone())).collect();
        let mut all: BTreeMap<String, String> = tags.into_iter().filter(|(name, _)| name != "team").collect();
        all.extend(mentioned.clone());
        let decision = policy.decide(&stream(), &all, now);
        prop_assert_eq!(&decision, &policy.decide(&stream(), &mentioned, now));
        let Outcome::Encrypt(target) = decision.outcome else { panic!("{decision:?}") };
        let expected = team.map_or("alias/aws/kinesis".to_owned(), |team| format!("alias/kinesis/{team}"));
        prop_assert_eq!(target.key.as_str(), expected);
    }

    /// The crate that matches patterns, against the meaning of patterns.
    #[test]
    fn patterns_match_as_they_should(pattern in "[aAb*?]{1,6}", name in "[aAb]{1,8}") {
        fn matches(pattern: &[u8], name: &[u8]) -> bool {
            match pattern.split_first() {
                None => name.is_empty(),
                Some((b'*', rest)) => (0..=name.len()).any(|i| matches(rest, &name[i..])),
                Some((b'?', rest)) => !name.is_empty() && matches(rest, &name[1..]),
                Some((first, rest)) => name.first() == Some(first) && matches(rest, &name[1..]),
            }
        }
        let text = format!("version: 1\nrules: [{{ name: a, match: {{ stream: '{pattern}' }}, exempt: {{ reason: r }} }}]");
        let stream = StreamArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}")).unwrap();
        let decision = Policy::load(&text).unwrap().decide(&stream, &Tags::new(), Timestamp::UNIX_EPOCH);
        prop_assert_eq!(decision.rule.is_some(), matches(pattern.as_bytes(), name.as_bytes()));
    }
}
