//! Steps, verdicts and settings in words, the same in every command, with the exit code that goes with them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exit::Exit;
use super::output::{BAD, FAINT, GOOD, ODD, may_go_on, styled};
use crate::domain::evidence::known::KnownKey;
use crate::domain::failure::Unfinished;
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, KeyLookup, StreamStatus, Tags};
use crate::domain::plan::step::Step;
use crate::domain::remedy::advice::{AtSource, Remedy};
use crate::domain::remedy::may_pass;
use crate::domain::text::EventText;
use crate::domain::verdict::{Compliance, Verdict, Would};

/// So many keys are described in a text.
const KEYS_MAX: usize = 20;

/// What a run would do first, and what there is to do about the stream.
pub(crate) fn would(step: &Result<Step, Unfinished>, remedy: &Remedy) -> (String, Exit) {
    let step = match step {
        Ok(step) => step,
        Err(why) if may_go_on(why) => return (format!("cannot be determined at the moment: {why}"), Exit::TryAgain),
        Err(why) => return (format!("cannot be determined: {why}"), Exit::Failure),
    };
    match step {
        Step::Await(condition) => (format!("would wait {}", condition.words()), Exit::TryAgain),
        Step::Start(key) => would_start(key),
        Step::ReadHistory(wrong) => would_start(&wrong.target),
        Step::Prove => ("complies with its rule; would prove it".to_owned(), Exit::Compliant),
        Step::Defer(why) => (format!("would observe again later: {why}"), Exit::TryAgain),
        Step::StartAfresh => {
            ("the stream was re-created with the same name; would start again".to_owned(), Exit::TryAgain)
        }
        Step::Finish(verdict) => {
            let words = format!("{}{}: {}", verdict.compliance.as_str(), withheld(verdict), verdict.detail);
            (words, exit_of(verdict, remedy))
        }
    }
}

/// Why nothing is changed, and what a run in the mode `enforce` does.
pub(crate) fn withheld(verdict: &Verdict) -> String {
    let Some(why) = verdict.withheld else { return String::new() };
    let would = match verdict.would {
        Some(Would { action, withheld: None }) => format!("; in enforce mode it would {}", action.as_str()),
        Some(Would { withheld: Some(_), .. }) | None => String::new(),
    };
    format!(", withheld ({}{would})", why.as_str())
}

fn would_start(key: &KeyIdentity) -> (String, Exit) {
    (format!("would start encryption with {key}, then prove it"), Exit::NonCompliant)
}

/// The exit code of a verdict. What is not known and never will be, with nothing done about it, is no reason to try again.
pub(crate) fn exit_of(verdict: &Verdict, remedy: &Remedy) -> Exit {
    match verdict.compliance {
        Compliance::Compliant | Compliance::NotApplicable => Exit::Compliant,
        Compliance::NonCompliant => Exit::NonCompliant,
        Compliance::InsufficientData if may_pass(verdict, remedy) => Exit::TryAgain,
        Compliance::InsufficientData => Exit::Failure,
    }
}

/// In the colour of what it says.
pub(crate) fn coloured(exit: Exit, words: &str) -> String {
    let style = match exit {
        Exit::Compliant => GOOD,
        Exit::NonCompliant | Exit::Failure | Exit::Usage => BAD,
        Exit::TryAgain => ODD,
    };
    styled(style, words)
}

/// A stream's setting.
pub(crate) fn setting(encryption: &Encryption) -> String {
    match encryption {
        Encryption::None => "not encrypted".to_owned(),
        Encryption::Kms(key) => key.to_string(),
        Encryption::Unreadable(text) => format!("unreadable ({text})"),
    }
}

/// The same for machines, as evidence has it.
pub(crate) fn setting_json(status: &StreamStatus, encryption: &Encryption) -> Value {
    let (encryption_type, key_id) = match encryption {
        Encryption::None => ("NONE", None),
        Encryption::Kms(key) => ("KMS", Some(key.as_str())),
        Encryption::Unreadable(text) => (text.as_str(), None),
    };
    json!({"status": status.to_string(), "encryption_type": encryption_type, "key_id": key_id})
}

/// What KMS says of a key.
pub(crate) fn key(found: &KeyLookup) -> String {
    match found {
        KeyLookup::Found(KeyInfo { identity, manager, problem, .. }) => {
            let manager = manager.as_str();
            match problem {
                None => format!("{identity} ({manager}, usable)"),
                Some(problem) => format!("{identity} ({manager}, cannot be used: {problem})"),
            }
        }
        KeyLookup::NotFound => "KMS does not know it".to_owned(),
        KeyLookup::Denied { code, .. } => format!("cannot be read from KMS ({code})"),
    }
}

/// What else is known of a key, for people.
pub(crate) fn known(key: &KnownKey) -> String {
    let KnownKey { info, alias, rotation } = key;
    let said = |what: &str, text: Option<String>| format!("{what} {}", text.unwrap_or_else(|| "unknown".to_owned()));
    let facts = [
        alias.clone().unwrap_or_else(|| "alias unknown".to_owned()),
        said("state", info.state.as_ref().map(ToString::to_string)),
        said("origin", info.origin.as_ref().map(ToString::to_string)),
        said("rotation", rotation.map(|rotation| rotation.to_string())),
    ];
    facts.join(", ")
}

/// What is known of keys, each once, one in a line, by their aliases; `None` where there are none.
pub(crate) fn keys<'k>(keys: impl Iterator<Item = &'k KnownKey>, label: fn(&str) -> String) -> Option<String> {
    let keys: BTreeMap<_, &KnownKey> = keys.map(|key| ((key.alias.as_deref(), &key.info.identity), key)).collect();
    let more = keys.len().saturating_sub(KEYS_MAX);
    let line = |key: &&KnownKey| {
        let KeyInfo { identity, manager, problem, .. } = &key.info;
        let facts = match identity {
            KeyIdentity::Arn(_) => known(key),
            KeyIdentity::AwsManagedAlias => "not created yet: KMS creates it when it is first used".to_owned(),
        };
        let problem = problem.as_ref().map(|problem| format!(", cannot be used: {problem}")).unwrap_or_default();
        format!("\n  {identity}: {}, {facts}{problem}", manager.as_str())
    };
    let lines: String = keys.values().take(KEYS_MAX).map(line).collect();
    let more = if more > 0 { format!("\n  and {more} more; documents have all of them") } else { String::new() };
    (!lines.is_empty()).then(|| format!("{}{lines}{more}", label("keys")))
}

/// The tags that decided; `None` where there are none.
pub(crate) fn tags(tags: &Tags) -> Option<String> {
    let words = tags.iter().map(|(name, value)| format!("{}={}", EventText::new(name), EventText::new(value)));
    let words: Vec<String> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// In brackets, the rule that decided, and the tags that it read.
pub(crate) fn decided_by(rule: Option<&str>, read: &Tags) -> String {
    let rule = rule.map(|rule| format!("rule `{rule}`"));
    let by: Vec<String> = rule.into_iter().chain(tags(read).map(|tags| format!("tags {tags}"))).collect();
    if by.is_empty() { String::new() } else { format!(" ({})", by.join("; ")) }
}

/// The same for machines.
pub(crate) fn key_json(found: &KeyLookup) -> Value {
    match found {
        KeyLookup::Found(KeyInfo { identity, problem, .. }) => {
            json!({"found": true, "key": identity.as_str(), "usable": problem.is_none(), "problem": problem.as_ref().map(ToString::to_string)})
        }
        KeyLookup::NotFound => json!({"found": false, "key": null, "usable": false, "problem": "KMS does not know it"}),
        KeyLookup::Denied { code, .. } => {
            json!({"found": false, "key": null, "usable": null, "problem": format!("cannot be read from KMS ({code})")})
        }
    }
}

/// What to write into a stream's source, and the calls that change it now. Each block can be pasted as it is.
fn at_source(change: &AtSource, calls: &[&str], label: impl Fn(&str) -> String) -> String {
    let AtSource { terraform, cloudformation, .. } = change;
    let blocks = [
        ("Terraform, in aws_kinesis_stream", terraform.as_str()),
        ("CloudFormation, in the Properties of AWS::Kinesis::Stream", cloudformation.as_str()),
    ];
    let calls = calls.join("\n");
    let blocks = blocks.into_iter().chain((!calls.is_empty()).then_some(("AWS CLI", calls.as_str())));
    let block = |(name, text): (&str, &str)| {
        let lines: String = text.lines().map(|line| format!("\n    {line}")).collect();
        format!("  {}{lines}", label(name))
    };
    blocks.map(block).collect::<Vec<_>>().join("\n")
}

/// What `--fix` prints.
pub(crate) const FIX: &str = "prints what to change, for Terraform, CloudFormation and the AWS CLI";

/// What to change at their source, of the streams whose right key is known and can be used: once for each key; `None` where there are
/// none.
pub(crate) fn changes<'a>(
    streams: impl Iterator<Item = (&'a str, &'a Remedy)>,
    label: fn(&str) -> String,
) -> Option<String> {
    let mut keys: BTreeMap<(&str, &str), Vec<(&str, &AtSource)>> = BTreeMap::new();
    for (name, remedy) in streams {
        if let Some(change) = remedy.at_source() {
            keys.entry((&change.terraform, &change.cloudformation)).or_default().push((name, change));
        }
    }
    let lines = keys.values().filter_map(|streams| {
        let (_, change) = streams.first()?;
        let names: Vec<&str> = streams.iter().map(|(name, _)| *name).collect();
        let calls: Vec<&str> = streams.iter().filter_map(|(_, change)| change.cli.as_deref()).collect();
        let blocks = at_source(change, &calls, label);
        let blocks: String = blocks.lines().map(|line| format!("\n  {line}")).collect();
        Some(format!("\n  {}{blocks}", names.join(", ")))
    });
    let lines: String = lines.collect();
    (!lines.is_empty()).then(|| format!("{}{lines}", label("changes to make, by key")))
}

/// The label of a block at a terminal.
pub(crate) fn faint(label: &str) -> String {
    styled(FAINT, label)
}

/// Lines with what to do where the stream's source is not what to change; `None` where there is nothing to do.
pub(crate) fn remedy(remedy: &Remedy) -> Option<String> {
    if remedy.at_source().is_some() {
        return None;
    }
    let pasted = remedy.commands().into_iter().chain(remedy.statement());
    let lines: Vec<String> = pasted.map(|line| format!("\n    {line}")).collect();
    Some(format!("  {}{}", remedy.text()?, lines.concat()))
}

/// The same for machines.
pub(crate) fn remedy_json(remedy: &Remedy) -> Value {
    match remedy.about() {
        None => Value::Null,
        Some(about) => json!({
            "about": about, "text": remedy.text(), "commands": remedy.commands(), "statement": remedy.statement(),
        }),
    }
}

/// The step in one stable word, for machines.
pub(crate) fn step_word(step: &Result<Step, Unfinished>) -> &'static str {
    match step {
        Err(_) => "unknown",
        Ok(Step::Await(_)) => "wait",
        Ok(Step::Start(_) | Step::ReadHistory(_)) => "start",
        Ok(Step::Prove) => "prove",
        Ok(Step::Defer(_)) => "defer",
        Ok(Step::StartAfresh) => "start-afresh",
        Ok(Step::Finish(Verdict { withheld: Some(_), .. })) => "withheld",
        Ok(Step::Finish(_)) => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::KeyArn;
    use crate::domain::model::{KeyManager, KeyProblem};

    #[test]
    fn keys_are_described_once_and_by_their_aliases() {
        let key = |number: usize, alias: &str| {
            let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{number:08}-12ab-34cd-56ef-1234567890ab");
            let identity = KeyIdentity::Arn(KeyArn::parse(&arn).unwrap());
            let info = KeyInfo {
                identity,
                manager: KeyManager::Customer,
                problem: None,
                state: None,
                origin: None,
                material: None,
            };
            KnownKey { info, alias: Some(alias.to_owned()), rotation: None }
        };
        let of = |known: &[KnownKey]| -> Vec<String> {
            keys(known.iter(), str::to_owned).unwrap_or_default().lines().map(str::to_owned).collect()
        };
        assert_eq!(keys([].into_iter(), str::to_owned), None);
        let mut broken = key(2, "alias/a");
        broken.info.problem = Some(KeyProblem::State(EventText::new("Disabled")));
        let lines = of(&[key(1, "alias/b"), broken, key(1, "alias/b")]);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[1].contains("/00000002") && lines[1].ends_with("cannot be used: its KeyState is Disabled"),
            "{lines:?}"
        );
        assert!(
            lines[2].contains("customer-managed, alias/b, state unknown, origin unknown, rotation unknown"),
            "{lines:?}"
        );
        let many: Vec<KnownKey> = (0..KEYS_MAX + 2).map(|number| key(number, "alias/c")).collect();
        let lines = of(&many);
        assert_eq!(
            (lines.len(), lines[KEYS_MAX + 1].as_str()),
            (KEYS_MAX + 2, "  and 2 more; documents have all of them")
        );
        let mut aws = key(3, "");
        (aws.info.identity, aws.alias) = (KeyIdentity::AwsManagedAlias, None);
        assert!(of(&[aws])[1].contains("not created yet"));
    }
}
