//! Each reason and each fault of a key with its remedy, and what holds of all of them.

mod permissions;

use super::*;
use crate::domain::arn::{KeyArn, KeyRef, Scope};
use crate::domain::call::Call;
use crate::domain::model::{
    Encryption, KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem, Observed, StreamStatus,
};
use crate::domain::plan::situation::{Keys, assess, identity_of};
use crate::domain::policy::Policy;
use crate::domain::text::EventText;
use jiff::Timestamp;
use std::time::Duration;

const TARGET: &str = "arn:aws:kms:eu-west-1:111122223333:key/11111111-1111-1111-1111-111111111111";
const GOOD: &str = "arn:aws:kms:eu-west-1:111122223333:key/22222222-2222-2222-2222-222222222222";
const FOREIGN: &str = "arn:aws:kms:eu-west-1:999988887777:key/33333333-3333-3333-3333-333333333333";
const AWS: &str = "arn:aws:kms:eu-west-1:111122223333:key/44444444-4444-4444-4444-444444444444";

fn stream() -> StreamArn {
    StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap()
}

fn found(arn: &str, problem: Option<KeyProblem>) -> KeyLookup {
    let manager = if arn == AWS { KeyManager::Aws } else { KeyManager::Customer };
    KeyLookup::Found(KeyInfo::new(KeyIdentity::Arn(KeyArn::parse(arn).unwrap()), manager, problem))
}

fn state(state: &str) -> Option<KeyProblem> {
    Some(KeyProblem::State(EventText::new(state)))
}

fn denied(words: &str) -> KeyLookup {
    KeyLookup::Denied { code: EventText::new("Denied"), words: EventText::of_service(words) }
}

/// One observation of the stream `orders`.
struct Case {
    rule: &'static str,
    on: Option<&'static str>,
    keys: Vec<(&'static str, KeyLookup)>,
    calls: Vec<Call>,
    changed: bool,
    withheld: Option<Withheld>,
}

/// A stream on `on`, whose rule has `key: alias/app` or what else stands in `rule`.
fn case(rule: &'static str, on: Option<&'static str>, keys: &[(&'static str, KeyLookup)]) -> Case {
    Case { rule, on, keys: keys.to_vec(), calls: vec![], changed: false, withheld: None }
}

impl Case {
    /// Its remedy, where the run ended for this reason, or goes on.
    fn ended(&self, reason: Option<Reason>) -> Remedy {
        let text = format!("version: 1\ndefaults: {{existing: enforce}}\nrules: [{{name: r, {}}}]\n", self.rule);
        let policy = Policy::load(&text).unwrap();
        let (stream, now) = (stream(), "2026-11-28T00:00:00Z".parse().unwrap());
        let outcome = policy.decide(&stream, &Default::default(), now).outcome;
        let encryption = self.on.map_or(Encryption::None, |key| Encryption::Kms(KeyRef::parse(key).unwrap()));
        let keys: Keys = self.keys.iter().map(|(key, found)| (KeyRef::parse(key).unwrap(), found.clone())).collect();
        let observed = Observed {
            status: StreamStatus::Active,
            encryption: encryption.clone(),
            created: "2026-11-27T00:00:00Z".parse().unwrap(),
            retention_hours: 24,
            at: now,
        };
        let situation = assess(&outcome, &observed, &keys, &stream.scope);
        let verdict = reason.map(|reason| Verdict {
            withheld: self.withheld,
            ..Verdict::new(Compliance::NonCompliant, reason, "because")
        });
        let remedy = remedy(&Facts {
            stream: &stream,
            outcome: Some(&outcome),
            rule: Some("r"),
            encryption: Some(&encryption),
            situation: Some(&situation),
            keys: &keys,
            verdict: verdict.as_ref(),
            calls: &self.calls,
            changed: self.changed,
        });
        is_true(&remedy, &keys, &stream.scope);
        remedy
    }

    fn refused(mut self, call: &'static str, class: Class, words: &str) -> Self {
        let failure =
            Failure { class, message: EventText::of_service(words), ..Failure::retryable(call, "Denied", "") };
        let at = Timestamp::UNIX_EPOCH;
        self.calls.push(Call { call, at, duration: Duration::ZERO, request_id: None, error: Some(failure) });
        self
    }

    fn changed(self) -> Self {
        Self { changed: true, ..self }
    }

    fn withheld(self, why: Withheld) -> Self {
        Self { withheld: Some(why), ..self }
    }
}

/// What holds of every remedy: it names no key as the place to go to that was not found usable, and its commands are shell.
fn is_true(remedy: &Remedy, keys: &Keys, own: &Scope) {
    let usable = |arn: &str| {
        keys.values().any(|found| match found {
            KeyLookup::Found(info) => info.identity.as_str() == arn && info.problem.is_none(),
            KeyLookup::NotFound | KeyLookup::Denied { .. } => false,
        })
    };
    let after = |command: &str, option: &str| -> Vec<String> {
        let words: Vec<&str> = command.split(' ').collect();
        words.windows(2).filter(|pair| pair[0] == option).map(|pair| pair[1].to_owned()).collect()
    };
    for command in remedy.commands() {
        assert!(command.starts_with("aws ") || command.starts_with("streamseal "), "{command}");
        assert!(!command.contains(['<', '>', '…', '`', '\n']), "{command}");
        assert_eq!(command.matches('"').count() % 2, 0, "{command}");
        for target in after(command, "--target-key-id") {
            assert!(usable(&target), "{command}");
        }
        if command.starts_with("aws kinesis start-stream-encryption") {
            let keys = after(command, "--key-id");
            assert!(keys.iter().all(|key| usable(key)), "{command}");
        }
    }
    if let Some(change) = remedy.at_source() {
        let named = keys
            .keys()
            .filter_map(|key| identity_of(key, keys, own))
            .any(|identity| change.terraform.contains(identity.as_str()) && usable(identity.as_str()));
        assert!(named, "{change:?}");
    }
    if let Some(statement) = remedy.statement() {
        let _: serde_json::Value = serde_json::from_str(statement).unwrap();
    }
}

const RULE: &str = "key: alias/app";

fn enabled() -> Vec<(&'static str, KeyLookup)> {
    vec![("alias/app", found(TARGET, None)), (GOOD, found(GOOD, None))]
}

/// Every state of the rule's key but one: the remedy is about the key, and moves no stream there.
#[test]
fn a_rules_key_that_cannot_be_used_is_no_place_to_move_to() {
    let at = format!("--key-id {TARGET} --region eu-west-1");
    let moved = format!("aws kms update-alias --alias-name alias/app --target-key-id {GOOD} --region eu-west-1");
    let connect = format!(
        "aws kms connect-custom-key-store --region eu-west-1 --custom-key-store-id \"$(aws kms describe-key {at} --query \
         KeyMetadata.CustomKeyStoreId --output text)\""
    );
    for (is, command) in [
        ("PendingDeletion", Some(format!("aws kms cancel-key-deletion {at} && aws kms enable-key {at}"))),
        ("PendingReplicaDeletion", Some(format!("aws kms cancel-key-deletion {at} && aws kms enable-key {at}"))),
        ("Disabled", Some(format!("aws kms enable-key {at}"))),
        ("PendingImport", None),
        ("Unavailable", Some(connect)),
        ("Strange", Some(format!("aws kms describe-key {at}"))),
    ] {
        let keys = [("alias/app", found(TARGET, state(is))), (GOOD, found(GOOD, None))];
        for (on, alternative) in [(Some(GOOD), Some(&moved)), (None, None), (Some("alias/app"), None)] {
            let remedy = case(RULE, on, &keys).ended(Some(Reason::KeyUnusable));
            assert_eq!(remedy.about(), Some("key"), "{is}");
            let expected: Vec<&str> = command.iter().chain(alternative).map(String::as_str).collect();
            assert_eq!(remedy.commands(), expected, "{is} on {on:?}");
            let text = remedy.text().unwrap();
            assert!(
                text.contains(TARGET) && text.contains(is) && text.contains("or point alias/app at a key"),
                "{text}"
            );
        }
        // Also before the run is over, and where a key was put back.
        for reason in [None, Some(Reason::PutBack), Some(Reason::GaveUp)] {
            assert_eq!(case(RULE, Some(GOOD), &keys).ended(reason).about(), Some("key"), "{is} {reason:?}");
        }
        let by_arn = "key: 'arn:aws:kms:eu-west-1:111122223333:key/11111111-1111-1111-1111-111111111111'";
        let remedy = case(by_arn, None, &[(TARGET, found(TARGET, state(is)))]).ended(Some(Reason::KeyUnusable));
        assert!(remedy.text().unwrap().ends_with("or name another key in the rule `r`"), "{remedy:?}");
    }
    let ready = Some(KeyProblem::NotReady(EventText::new("Creating")));
    let keys = [("alias/app", found(TARGET, ready))];
    assert_eq!(case(RULE, None, &keys).ended(None), Remedy::None, "it passes by itself");
}

#[test]
fn a_key_that_never_can_encrypt_a_stream_is_replaced_behind_its_alias_or_in_the_rule() {
    let usage = Some(KeyProblem::Usage(EventText::new("SIGN_VERIFY")));
    let mac = Some(KeyProblem::Usage(EventText::new("GENERATE_VERIFY_MAC")));
    let spec = Some(KeyProblem::Spec(EventText::new("RSA_2048")));
    for problem in [usage, mac, spec] {
        let keys = [("alias/app", found(TARGET, problem.clone())), (GOOD, found(GOOD, None))];
        let remedy = case(RULE, Some(GOOD), &keys).ended(Some(Reason::KeyUnusable));
        assert_eq!(remedy.about(), Some("alias"));
        // KMS moves an alias between keys of one kind only.
        let again = format!(
            "aws kms delete-alias --alias-name alias/app --region eu-west-1 && aws kms create-alias --alias-name alias/app \
             --target-key-id {GOOD} --region eu-west-1"
        );
        assert_eq!(remedy.commands(), [again.as_str()]);
        assert_eq!(case(RULE, None, &keys).ended(Some(Reason::KeyUnusable)).commands(), [""; 0]);
        let by_id = case(
            "key: 11111111-1111-1111-1111-111111111111",
            None,
            &[("11111111-1111-1111-1111-111111111111", found(TARGET, problem))],
        );
        let remedy = by_id.ended(Some(Reason::KeyUnusable));
        assert!(remedy.about() == Some("key") && remedy.text().unwrap().contains("in the rule `r`"), "{remedy:?}");
    }
    let other = "arn:aws:kms:us-east-1:111122223333:key/11111111-1111-1111-1111-111111111111";
    let keys = [(other, found(other, Some(KeyProblem::Region(EventText::new("us-east-1")))))];
    let rule = "key: 'arn:aws:kms:us-east-1:111122223333:key/11111111-1111-1111-1111-111111111111'";
    let remedy = case(rule, None, &keys).ended(Some(Reason::KeyUnusable));
    assert!(remedy.about() == Some("key") && remedy.text().unwrap().contains("needs a key of eu-west-1"), "{remedy:?}");
    let alias = "arn:aws:kms:us-east-1:111122223333:alias/app";
    let keys = [(alias, found(other, Some(KeyProblem::Region(EventText::new("us-east-1")))))];
    let rule = "key: 'arn:aws:kms:us-east-1:111122223333:alias/app'";
    assert_eq!(case(rule, None, &keys).ended(Some(Reason::KeyUnusable)).about(), Some("alias"));
}

#[test]
fn a_streams_own_key_that_cannot_be_used_is_to_be_made_usable() {
    let keys = [("alias/app", found(TARGET, None)), (GOOD, found(GOOD, state("Disabled")))];
    let rule = "key: alias/app, accept: [customer-managed]";
    let remedy = case(rule, Some(GOOD), &keys).ended(Some(Reason::KeyUnusable));
    assert_eq!(remedy.commands(), [format!("aws kms enable-key --key-id {GOOD} --region eu-west-1")]);
    assert!(remedy.text().unwrap().starts_with("the stream's key"), "{remedy:?}");
    // Of another account: its owner has to.
    let rule = "key: 'arn:aws:kms:eu-west-1:999988887777:key/33333333-3333-3333-3333-333333333333'";
    let remedy = case(rule, None, &[(FOREIGN, found(FOREIGN, state("Disabled")))]).ended(Some(Reason::KeyUnusable));
    assert!(remedy.text().unwrap().contains("with credentials of account 999988887777"), "{remedy:?}");
    // Kinesis found it out.
    let keys = [("alias/app", found(TARGET, state("Disabled")))];
    let remedy = case(RULE, Some("alias/app"), &keys).changed().ended(Some(Reason::Unwritable));
    assert_eq!(remedy.commands(), [format!("aws kms enable-key --key-id {TARGET} --region eu-west-1")]);
    let remedy = case(RULE, Some("alias/app"), &enabled()).changed().ended(Some(Reason::Unwritable));
    assert_eq!(remedy.commands(), [format!("aws kms describe-key --key-id {TARGET} --region eu-west-1")]);
}

#[test]
fn a_key_that_kms_does_not_know() {
    let keys = [("alias/app", KeyLookup::NotFound), (GOOD, found(GOOD, None))];
    let remedy = case(RULE, Some(GOOD), &keys).ended(Some(Reason::KeyMissing));
    assert_eq!(remedy.about(), Some("alias"));
    let make = format!("aws kms create-alias --alias-name alias/app --target-key-id {GOOD} --region eu-west-1");
    assert_eq!(remedy.commands(), [make.as_str()]);
    assert_eq!(case(RULE, None, &keys).ended(Some(Reason::KeyUnresolvable)).commands(), [""; 0]);
    let rule = "key: 'arn:aws:kms:eu-west-1:999988887777:key/33333333-3333-3333-3333-333333333333'";
    let remedy = case(rule, Some(GOOD), &[(FOREIGN, KeyLookup::NotFound)]).ended(Some(Reason::KeyUnresolvable));
    assert!(remedy.about() == Some("key") && remedy.text().unwrap().contains("in account 999988887777"), "{remedy:?}");
}

#[test]
fn a_stream_that_is_fine_gets_no_remedy() {
    let accepting = "key: alias/aws/kinesis, accept: [customer-managed]";
    let keys = [("alias/aws/kinesis", found(AWS, None)), (GOOD, found(GOOD, None))];
    for (case, reason) in [
        (case(accepting, Some(GOOD), &keys), Some(Reason::AcceptedKey)),
        (case(accepting, Some(GOOD), &keys), None),
        (case(RULE, Some("alias/app"), &enabled()), Some(Reason::RightKey)),
        (case(RULE, Some("alias/app"), &enabled()), None),
        (case("exempt: { reason: r }", None, &[]), Some(Reason::Exempt)),
        (case("exempt: { reason: r }", Some(GOOD), &[]), None),
        (case(RULE, None, &enabled()), Some(Reason::StreamGone)),
        (case(RULE, Some("alias/app"), &enabled()), Some(Reason::Unproven)),
        (case(RULE, Some("alias/app"), &enabled()), Some(Reason::Idle)),
        (case(RULE, None, &enabled()).changed(), Some(Reason::Unfinished)),
        (case(RULE, None, &enabled()), Some(Reason::Settling)),
    ] {
        assert_eq!(case.ended(reason), Remedy::None, "{} {reason:?}", case.rule);
    }
    // What we set has to be kept, and the call for it is made.
    let kept = case(RULE, Some("alias/app"), &enabled()).changed().ended(Some(Reason::RightKey));
    assert!(kept.about() == Some("source") && kept.commands().is_empty(), "{kept:?}");
}

#[test]
fn a_stream_on_no_key_or_another_one_is_changed_at_its_source() {
    for on in [None, Some(GOOD)] {
        for reason in
            [None, Some(Reason::NotEncrypted), Some(Reason::WrongKey), Some(Reason::Overtaken), Some(Reason::GaveUp)]
        {
            let remedy = case(RULE, on, &enabled()).withheld(Withheld::ReportMode).ended(reason);
            let change = remedy.at_source().unwrap();
            assert!(change.terraform.contains(TARGET) && change.cloudformation.contains(TARGET), "{reason:?}");
            assert!(remedy.commands()[0].contains(&format!("--key-id {TARGET} ")), "{reason:?}");
        }
        for why in [Withheld::Contested, Withheld::Quota] {
            let reason = if why == Withheld::Contested { Reason::Contested } else { Reason::WrongKey };
            let remedy = case(RULE, on, &enabled()).withheld(why).ended(Some(reason));
            assert!(remedy.at_source().is_some() && remedy.commands().is_empty(), "undone, or refused: {remedy:?}");
        }
    }
    let keys = [("alias/app", found(TARGET, None)), (FOREIGN, found(FOREIGN, None))];
    let foreign = case(RULE, Some(FOREIGN), &keys).withheld(Withheld::Existing).ended(Some(Reason::ForeignKey));
    assert_eq!(foreign.about(), Some("source"));
}

/// Whatever withholds the change: a customer's key is not given up for one of AWS's because of a remedy.
#[test]
fn no_remedy_is_a_downgrade() {
    let rule = "key: alias/aws/kinesis";
    let keys = |on: &'static str, problem| [("alias/aws/kinesis", found(AWS, None)), (on, found(on, problem))];
    for why in
        [Withheld::Downgrade, Withheld::ReportMode, Withheld::Existing, Withheld::ProveOnly, Withheld::PlanOutOfDate]
    {
        for (on, problem, says) in [
            (GOOD, None, "`accept: [customer-managed]`"),
            (GOOD, state("Disabled"), "that cannot be used or is not known"),
            (FOREIGN, None, "`accept: [{customer-managed: [\"999988887777\"]}]`"),
        ] {
            let reason = if on == FOREIGN { Reason::ForeignKey } else { Reason::WrongKey };
            let remedy = case(rule, Some(on), &keys(on, problem)).withheld(why).ended(Some(reason));
            let text = remedy.text().unwrap();
            assert!(
                remedy.about() == Some("rule") && text.contains(says) && text.contains("replace_customer_key"),
                "{text}"
            );
        }
    }
    let reported = "key: alias/aws/kinesis, replace_customer_key: true";
    let remedy =
        case(reported, Some(GOOD), &keys(GOOD, None)).withheld(Withheld::ReportMode).ended(Some(Reason::WrongKey));
    assert_eq!(remedy.about(), Some("source"), "the rule says that it may");
}

/// A stream that a scan finds, and whose rule has a guard.
#[test]
fn a_change_that_has_a_guard_is_advised_with_its_watch() {
    for (rule, expect) in [
        ("key: alias/app, guard: { watch: 20m }", "streamseal seal orders --region eu-west-1 --watch 20m"),
        (RULE, "aws kinesis start-stream-encryption"),
    ] {
        let remedy = case(rule, None, &enabled()).ended(Some(Reason::NotEncrypted));
        let Remedy::Source(source) = &remedy else { panic!("{remedy:?}") };
        assert!(source.cli.as_deref().is_some_and(|call| call.starts_with(expect)), "{source:?}");
    }
}

/// The call by hand would be the change that nobody watches.
#[test]
fn what_the_guard_stopped_is_not_to_be_called_by_hand() {
    for on in [None, Some(GOOD)] {
        let withheld = |why| case(RULE, on, &enabled()).withheld(why);
        for (why, about, commands) in [
            (Withheld::GuardBlind, None, 0),
            (Withheld::WouldLockOut, Some("rule"), 0),
            (Withheld::Held, Some("key"), 2),
            (Withheld::Halted, Some("key"), 2),
            (Withheld::WaitsItsTurn, None, 0),
        ] {
            let remedy = withheld(why).ended(Some(Reason::WrongKey));
            assert_eq!((remedy.about(), remedy.commands().len()), (about, commands), "{why:?}");
            assert!(remedy.commands().iter().all(|command| command.starts_with("streamseal ")), "{remedy:?}");
        }
        let blind = withheld(Withheld::GuardBlind).refused(
            "cloudwatch:GetMetricData",
            Class::Permanent(Fault::Access),
            "no identity-based policy allows",
        );
        assert_eq!(blind.ended(Some(Reason::WrongKey)).about(), Some("permission"));
    }
}

#[test]
fn a_rule_that_is_missing_or_names_no_key_is_to_be_corrected() {
    let other = case("match: { stream: other }, key: alias/app", None, &[]).ended(Some(Reason::Unmatched));
    assert_eq!(other.about(), Some("rule"));
    let by_tag = case("key: 'alias/k-${tag:team}'", None, &[]).ended(Some(Reason::KeyUnresolvable));
    assert!(by_tag.about() == Some("rule") && by_tag.text().unwrap().contains("needs the tag `team`"), "{by_tag:?}");
}

#[test]
fn trying_again_is_of_no_use_where_somebody_has_to_do_something_first() {
    let verdict = |compliance, reason| Verdict::new(compliance, reason, "because");
    let unknown = verdict(Compliance::InsufficientData, Reason::Unreadable);
    let permission = Remedy::Permission(Advice::new("allow it"));
    assert!(may_pass(&unknown, &Remedy::None));
    assert!(!may_pass(&unknown, &permission));
    assert!(!may_pass(&verdict(Compliance::InsufficientData, Reason::AccessDenied), &Remedy::None));
    let source = case(RULE, None, &enabled()).ended(None);
    assert!(may_pass(&verdict(Compliance::InsufficientData, Reason::Unfinished), &source));
    assert!(!may_pass(&verdict(Compliance::NonCompliant, Reason::WrongKey), &Remedy::None), "that is known");
}
