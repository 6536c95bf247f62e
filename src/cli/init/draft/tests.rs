//! Drafts of fleets: each is a policy, and takes no stream off its key.

use super::*;
use crate::domain::arn::{KeyArn, StreamName};
use crate::domain::model::KeyProblem;
use crate::domain::policy::{Outcome, Policy};

const NOON: &str = "2026-11-29T12:00:00Z";

fn own() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

fn arn(account: &str, id: &str) -> String {
    format!("arn:aws:kms:eu-west-1:{account}:key/{id}")
}

fn stream(name: &str, key: Option<&str>, tags: &[(&str, &str)]) -> Stream {
    Stream {
        name: StreamName::parse(name).unwrap(),
        encryption: key.map_or(Encryption::None, |key| Encryption::Kms(KeyRef::parse(key).unwrap())),
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
    }
}

fn known(arn: &str, manager: KeyManager, problem: Option<KeyProblem>) -> KeyLookup {
    let identity = KeyIdentity::Arn(KeyArn::parse(arn).unwrap());
    KeyLookup::Found(KeyInfo { identity, manager, problem, material: None, state: None, origin: None })
}

/// Keys of the account by their ids, each with an alias that `alias` makes of it.
fn fleet(streams: &[Stream], alias: impl Fn(&str) -> Vec<String>) -> String {
    let own = own();
    let (mut keys, mut aliases) = (BTreeMap::new(), BTreeMap::new());
    for stream in streams {
        let Encryption::Kms(key) = &stream.encryption else { continue };
        let arn = key.as_key_arn().unwrap();
        let id = arn.as_str().rsplit_once('/').unwrap().1;
        let manager = if id.starts_with("aws") { KeyManager::Aws } else { KeyManager::Customer };
        let problem = id.starts_with("off").then(|| KeyProblem::State(EventText::new("Disabled")));
        keys.insert(key.clone(), known(arn.as_str(), manager, problem));
        aliases.insert(id.to_owned(), alias(id).into_iter().collect());
    }
    draft(&Found { own: &own, at: NOON.parse().unwrap(), streams, keys: &keys, aliases: &aliases })
}

/// The policy is valid, has no warnings, and takes no stream off the key that it is on.
fn keeps(text: &str, streams: &[Stream], aliases: impl Fn(&str) -> Vec<String>) {
    let policy = Policy::load(text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}"));
    let warnings = policy.warnings(NOON.parse().unwrap());
    assert!(warnings.is_empty(), "{warnings:?}\n{text}");
    for stream in streams {
        let Encryption::Kms(key) = &stream.encryption else { continue };
        let id = key.as_str().rsplit_once('/').unwrap().1;
        let decision = policy.decide(&own().stream(stream.name.clone()), &stream.tags, NOON.parse().unwrap());
        let Outcome::Encrypt(target) = &decision.outcome else { panic!("{}: {decision:?}\n{text}", stream.name) };
        let names = aliases(id);
        let is_named = target.key == *key || names.iter().any(|alias| alias == target.key.as_str());
        let is_rest = decision.rule.as_ref().unwrap().name == REST;
        assert!(is_named || is_rest, "{} is on {key}: {decision:?}\n{text}", stream.name);
        assert_eq!(is_rest, target.key.as_str() == "alias/aws/kinesis", "{text}");
    }
}

#[test]
fn each_key_in_use_has_a_rule_by_what_its_streams_have_in_common() {
    let k = |id: &str| arn("111122223333", id);
    let streams = [
        stream("orders-1", Some(&k("orders")), &[]),
        stream("orders-2", Some(&k("orders")), &[("stage", "live")]),
        stream("blue", Some(&k("blue")), &[("team", "blue"), ("stage", "live")]),
        stream("red", Some(&k("red")), &[("team", "red")]),
        stream("red-new", None, &[("team", "red"), ("aws:cloudformation:stack-name", "x")]),
        stream("lone", Some(&k("bare")), &[]),
        stream("old", Some(&k("off")), &[]),
        stream("their", Some(&arn("444455556666", "their")), &[]),
        stream("base", Some(&k("aws")), &[]),
    ];
    let alias = |id: &str| match id {
        "orders" => vec!["alias/orders".to_owned(), "alias/orders-2027".to_owned()],
        "bare" => Vec::new(),
        "blue" | "red" => vec![format!("alias/team/{id}")],
        other => vec![format!("alias/{other}")],
    };
    let text = fleet(&streams, alias);
    keeps(&text, &streams[..6], alias);
    insta::assert_snapshot!("draft", text);
}

#[test]
fn a_region_without_streams_gets_the_last_rule_alone() {
    let text = fleet(&[], |_| Vec::new());
    assert_eq!(Policy::load(&text).unwrap().rules.len(), 1, "{text}");
    assert!(text.contains("no stream in the Region"), "{text}");
}

#[test]
fn what_a_tag_says_stays_in_its_quotes_and_its_comment() {
    let key = arn("111122223333", "k");
    for value in ["a\"] } }\n  - name: x", "# no", "*", "?", "{tag:x}", "'", "\u{202e}", "é", "null", "yes", "0x1"] {
        let streams = [stream("one", Some(&key), &[(value, value)]), stream("two", Some(&key), &[(value, value)])];
        let alias = |_: &str| vec!["alias/k".to_owned()];
        let text = fleet(&streams, alias);
        keeps(&text, &streams, alias);
        assert!(text.lines().all(|line| line.starts_with([' ', '#']) || line.contains(':')), "{text}");
    }
}

/// Fleets made at random: names, tags and keys in every mixture.
#[test]
fn no_stream_is_taken_off_its_key() {
    for seed in 0..400 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
        let count = 1 + usize::try_from(seed).unwrap() % 30;
        let streams: Vec<Stream> = (0..count)
            .map(|n| {
                let key = pick(&["", "blue", "red", "x", "aws", "y"]);
                let team = pick(&["blue", "red", "x*", "", key]);
                let key = (!key.is_empty()).then(|| arn("111122223333", key));
                let name = format!("{}{}{n}", pick(&["a", "b", "orders"]), pick(&["-", "_", ".", ""]));
                stream(
                    &name,
                    key.as_deref(),
                    &[("team", team), ("stage", pick(&["live", "test"]))][pick(&["", "1"]).len()..],
                )
            })
            .collect();
        let alias = |id: &str| match id {
            "y" => Vec::new(),
            id => vec![format!("alias/team/{id}")],
        };
        keeps(&fleet(&streams, alias), &streams, alias);
    }
}
