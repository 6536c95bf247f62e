//! What to do about a stream that is not as it should be: one function for every output.
//!
//! Pure. A remedy has to be true: nobody is asked to move a stream to a key that this very observation found unusable, unknown, of another
//! Region or hidden from us, nor away from a key that its rule accepts. There it is about the key, the alias, the rule, or a
//! permission. What stands in `commands` and `statement` can be pasted as it is.

pub mod advice;
mod key;
pub mod permission;
#[cfg(test)]
mod tests;

use self::advice::{Advice, AtSource, Facts, Remedy, named};
use self::key::{hidden_key, key_trouble, no_such_key, unwritable_key};
use self::permission::to_permit;
use super::arn::StreamArn;
use super::failure::{Class, Failure, Fault};
use super::model::KeyIdentity;
use super::plan::guard::before::is_guarded;
use super::plan::situation::{CurrentKey, Situation, Wrong, identity_of};
use super::policy::Outcome;
use super::verdict::{Compliance, Reason, Verdict, Withheld};

/// Whether a verdict that nothing is known can become another one with the next try, and nothing done about it.
pub fn may_pass(verdict: &Verdict, remedy: &Remedy) -> bool {
    verdict.compliance == Compliance::InsufficientData
        && verdict.reason != Reason::AccessDenied
        && !remedy.is_needed_first()
}

/// What to do about a stream.
pub fn remedy(facts: &Facts<'_>) -> Remedy {
    let Some(verdict) = facts.verdict else { return by_situation(facts) };
    if let Some(remedy) = verdict.withheld.and_then(|why| of_guard(facts, why)) {
        return remedy;
    }
    match verdict.reason {
        Reason::StreamGone | Reason::Exempt | Reason::AcceptedKey | Reason::Unproven | Reason::Idle => Remedy::None,
        // Its creator may be about to set the key.
        Reason::Settling => Remedy::None,
        // A record that is read back says too little: nobody can do anything about that.
        Reason::ProofUnclear => Remedy::None,
        Reason::Broken | Reason::Inconclusive | Reason::Restored => of_watched(facts),
        Reason::RightKey | Reason::Watching => match facts.situation {
            // The call is made; what the source does not say, its next apply removes.
            Some(Situation::Right { key, .. }) if facts.changed => {
                Remedy::Source(without_call(at_source(key, facts.stream)))
            }
            _ => Remedy::None,
        },
        Reason::AccessDenied => refused(facts, &[]),
        Reason::StartRefused => refused(facts, &["kinesis:StartStreamEncryption"]),
        Reason::ProofImpossible => refused(
            facts,
            &["kinesis:PutRecord", "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards"],
        ),
        Reason::Unwritable => unwritable_key(facts),
        // Where the stream can be judged, it is the history that may not be read.
        Reason::Unreadable if matches!(facts.situation, Some(Situation::Wrong(_))) => {
            refused(facts, &["cloudtrail:LookupEvents"])
        }
        // What was begun goes on by itself.
        Reason::Unfinished if facts.changed => Remedy::None,
        _ if is_undone_or_refused(verdict) => match by_situation(facts) {
            Remedy::Source(change) => Remedy::Source(without_call(change)),
            other => other,
        },
        Reason::Unmatched
        | Reason::KeyUnresolvable
        | Reason::KeyMissing
        | Reason::KeyUnusable
        | Reason::Unreadable
        | Reason::NotEncrypted
        | Reason::WrongKey
        | Reason::ForeignKey
        | Reason::Contested
        | Reason::Overtaken
        | Reason::PutBack
        | Reason::GaveUp
        | Reason::Unfinished
        | Reason::Halted => by_situation(facts),
    }
}

/// What to do about a change that did its stream no good, or may not have.
fn of_watched(facts: &Facts<'_>) -> Remedy {
    match facts.situation {
        Some(Situation::Wrong(Wrong { target, .. })) => find_who(facts.stream, target),
        Some(Situation::Right { key, .. }) => Remedy::Key(
            Advice::new(format!(
                "run the command to find who may not use {key}, and add the statements that it prints"
            ))
            .command(Some(impact(facts.stream, Some(key)))),
        ),
        _ => by_situation(facts),
    }
}

/// The command that says who may use a key of a stream. With the key it needs no policy.
pub fn impact(stream: &StreamArn, key: Option<&KeyIdentity>) -> String {
    let key = key.map_or_else(String::new, |key| format!(" --key {key}"));
    format!("streamseal impact {} --region {}{key}", stream.argument(), stream.scope.region)
}

/// What to do about a change that broke a stream, this one or another, and that this stream still needs.
fn find_who(stream: &StreamArn, target: &KeyIdentity) -> Remedy {
    Remedy::Key(
        Advice::new(format!(
            "find who may not use {target}, add the statements that the first command prints, and change the stream with the second"
        ))
        .command(Some(impact(stream, Some(target))))
        .command(Some(seal_watched(stream))),
    )
}

/// What to do about a change that the guard withholds; `None` where it is something else that does. Never the call itself: that would be the
/// change that nobody watches.
fn of_guard(facts: &Facts<'_>, why: Withheld) -> Option<Remedy> {
    let Some(Situation::Wrong(Wrong { target, .. })) = facts.situation else { return None };
    Some(match why {
        Withheld::GuardBlind => {
            refused(facts, &["cloudwatch:GetMetricData", "kinesis:GetResourcePolicy", "kinesis:ListStreamConsumers"])
        }
        Withheld::WouldLockOut => Remedy::Rule(Advice::new(format!(
            "change the rule{} to require a customer-managed key whose policy allows the other account, or remove \
             that account from the stream's resource policy",
            named(facts)
        ))),
        Withheld::Held | Withheld::Halted => find_who(facts.stream, target),
        // A sweep asks for it.
        Withheld::WaitsItsTurn => Remedy::None,
        Withheld::ReportMode
        | Withheld::Existing
        | Withheld::Downgrade
        | Withheld::Quota
        | Withheld::Contested
        | Withheld::ProveOnly
        | Withheld::PlanOutOfDate => return None,
    })
}

/// Somebody would undo the call, or Kinesis would refuse it: the source alone helps.
fn is_undone_or_refused(verdict: &Verdict) -> bool {
    matches!(verdict.withheld, Some(Withheld::Contested | Withheld::Quota))
}

fn by_situation(facts: &Facts<'_>) -> Remedy {
    let target = facts.outcome.and_then(Outcome::target);
    match facts.situation {
        None | Some(Situation::Exempt(_) | Situation::Right { .. } | Situation::TargetNotReady(..)) => Remedy::None,
        Some(Situation::Unmatched) => {
            Remedy::Rule(Advice::new("add a rule to the policy that matches the stream, or one that exempts it"))
        }
        Some(Situation::Unresolvable(why)) => {
            Remedy::Rule(Advice::new(format!("{why}: change the stream's tags, or the rule{}", named(facts))))
        }
        Some(Situation::NoSuchKey { .. }) => target.map_or(Remedy::None, |target| no_such_key(facts, &target.key)),
        Some(Situation::TargetUnusable(key, problem, _)) => {
            target.map_or(Remedy::None, |target| key_trouble(facts, Some(&target.key), key, problem))
        }
        Some(Situation::AcceptedUnusable(key, problem)) => key_trouble(facts, None, key, problem),
        Some(Situation::Unreadable(_)) => target.map_or(Remedy::None, |target| hidden_key(facts, target)),
        Some(Situation::Wrong(wrong)) if wrong.is_downgrade() => {
            Remedy::Rule(instead_of_a_downgrade(facts, wrong.current.as_ref()))
        }
        Some(Situation::Wrong(wrong)) => {
            let source = at_source(&wrong.target, facts.stream);
            let is_watched = target.is_some_and(|target| is_guarded(&target.guard, wrong, wrong.at));
            // The call itself would be a change that nobody watches.
            let call = if is_watched { Some(seal_watched(facts.stream)) } else { source.cli };
            Remedy::Source(AtSource { cli: call, ..source })
        }
    }
}

/// The command that changes a stream and watches its users.
fn seal_watched(stream: &StreamArn) -> String {
    format!("streamseal seal {} --region {} --watch 20m", stream.argument(), stream.scope.region)
}

/// A customer's key is not given up for one of AWS's unless the rule says so: it is the rule that says what is right.
fn instead_of_a_downgrade(facts: &Facts<'_>, current: Option<&CurrentKey>) -> Advice {
    let rule = named(facts);
    let replace = "to replace it, add `replace_customer_key: true` to the rule";
    let usable = current.filter(|current| current.info.as_ref().is_some_and(|info| info.problem.is_none()));
    let text = match usable.map(|current| &current.foreign) {
        Some(None) => format!(
            "the stream is on a customer-managed key and its rule{rule} requires an AWS-managed one: to leave it \
             there, add `accept: [customer-managed]` to the rule; {replace}"
        ),
        Some(Some(account)) => format!(
            "the stream is on a customer-managed key of account {account} and its rule{rule} requires an AWS-managed \
             one: to leave it there, add `accept: [{{customer-managed: [\"{account}\"]}}]` to the rule; {replace}"
        ),
        None => format!(
            "the stream is on a customer-managed key that cannot be used or is not known, and its rule{rule} requires an AWS-managed \
             one: {replace}"
        ),
    };
    Advice::new(text)
}

/// The last call of these (of any, where none is named) that was refused for good.
fn refused(facts: &Facts<'_>, calls: &[&str]) -> Remedy {
    let is_one = |failure: &&Failure| calls.is_empty() || calls.contains(&failure.call);
    let failures = facts.calls.iter().rev().filter_map(|call| call.error.as_ref());
    match failures.into_iter().find(is_one) {
        Some(failure) => of_failure(facts, failure),
        None => Remedy::None,
    }
}

/// What to do about a call that failed; nothing where trying again may do.
pub fn of_failure(facts: &Facts<'_>, failure: &Failure) -> Remedy {
    match failure.class {
        Class::Permanent(Fault::Access) => {
            let stream = facts.stream.to_string();
            let target = facts.outcome.and_then(Outcome::target).map(|target| &target.key);
            let key = target.and_then(|key| identity_of(key, facts.keys, &facts.stream.scope));
            let resources = resources_of(failure.call, &stream, key.as_ref());
            Remedy::Permission(to_permit(failure.call, failure.message.as_str(), Some(&facts.stream.scope), &resources))
        }
        Class::Permanent(Fault::Key) => unwritable_key(facts),
        Class::Permanent(Fault::Credentials | Fault::Request)
        | Class::Ignored
        | Class::Waiting
        | Class::Retryable
        | Class::RateOrQuota
        | Class::Quota
        | Class::Expired => Remedy::None,
    }
}

/// What the right to make a call is granted on.
fn resources_of<'a>(call: &str, stream: &'a str, key: Option<&'a KeyIdentity>) -> Vec<&'a str> {
    let key = key.map(KeyIdentity::as_str).filter(|key| key.starts_with("arn:"));
    // StartStreamEncryption is granted on the stream and on the key (service authorization reference).
    match (call.split(':').next(), key) {
        (Some("kms"), Some(key)) => vec![key],
        (Some("kinesis"), Some(key)) if call.ends_with(":StartStreamEncryption") => vec![stream, key],
        (Some("kinesis"), _) => vec![stream],
        _ => Vec::new(),
    }
}

fn without_call(change: AtSource) -> AtSource {
    AtSource { cli: None, ..change }
}

/// Terraform's and CloudFormation's defaults are *no encryption*: without this their next apply plans to remove it.
fn at_source(key: &KeyIdentity, stream: &StreamArn) -> AtSource {
    AtSource {
        terraform: format!("encryption_type = \"KMS\"\nkms_key_id      = \"{key}\""),
        cloudformation: format!("StreamEncryption: {{ EncryptionType: KMS, KeyId: \"{key}\" }}"),
        cli: Some(format!(
            "aws kinesis start-stream-encryption --stream-arn {stream} --encryption-type KMS --key-id {key} --region {}",
            stream.scope.region
        )),
    }
}
