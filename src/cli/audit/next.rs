//! The command that comes after an audit.

use super::filter::{Filter, Given};
use super::report::{Audit, Source};
use super::without;
use crate::cli::arguments::{Globals, repeated};
use crate::cli::{heading, words};
use crate::domain::arn::Scope;
use crate::domain::evidence::Evidence;
use crate::domain::verdict::{Compliance, Reason};

/// So many streams are named in a command: as many as `seal` changes where nobody says more.
const NAMED_MAX: usize = 10;

pub(super) fn next(audit: &Audit, fix: bool) -> String {
    let all = audit.totals().all;
    let is_at_source = audit.streams().any(|evidence| evidence.remedy.at_source().is_some());
    let first = |is_one: fn(&Evidence) -> bool| audit.streams().find(|evidence| is_one(evidence));
    if all.sum() == 0 {
        return empty(audit);
    }
    if without::is_of(audit) {
        let scope = audit.streams().map(|evidence| &evidence.stream.scope).next();
        return in_one(audit, scope, "init", "writes a first policy from these streams");
    }
    if is_at_source && !fix {
        return again(audit, &audit.filter, " --fix", words::FIX);
    }
    if let Some(wrong) = first(|evidence| evidence.verdict.compliance == Compliance::NonCompliant) {
        let scope = &wrong.stream.scope;
        let command = format!("seal {}{} --dry-run", to_seal(audit, scope), audit.filter.of_rule());
        return in_one(audit, Some(scope), &command, "shows what it would change");
    }
    if let Some(unknown) = first(is_unknown) {
        return in_one(audit, Some(&unknown.stream.scope), "doctor", "says which permissions are missing");
    }
    match first(|evidence| evidence.verdict.compliance == Compliance::Compliant) {
        Some(right) => {
            let command = format!("prove {}", right.stream.argument());
            in_one(audit, Some(&right.stream.scope), &command, "proves a stream with a record")
        }
        None => again(audit, &audit.filter, " -o report.html", "writes a report"),
    }
}

/// Whether it cannot be determined, and not only because its creator is at work on it.
fn is_unknown(evidence: &Evidence) -> bool {
    evidence.verdict.compliance == Compliance::InsufficientData && evidence.verdict.reason != Reason::Settling
}

/// The streams of one account and Region as `seal` takes them: by name where the audit is about some of them.
fn to_seal(audit: &Audit, scope: &Scope) -> String {
    if audit.filter.is_of_all_names() {
        return "--all".to_owned();
    }
    let wrong = audit.streams().filter(|evidence| evidence.verdict.compliance == Compliance::NonCompliant);
    let wrong = wrong.filter(|evidence| evidence.stream.scope == *scope).take(NAMED_MAX);
    wrong.map(|evidence| evidence.stream.argument()).collect::<Vec<_>>().join(" ")
}

/// No stream was found, which is no reason to search on where something failed.
fn empty(audit: &Audit) -> String {
    let Given { globals, options, all_regions } = &audit.given;
    if !audit.is_complete() {
        return again(audit, &audit.filter, "", "tries again");
    }
    if audit.filter.leaves_out() {
        return again(audit, &Filter::default(), "", "observes the other streams too");
    }
    match &audit.source {
        Source::Aggregator { name, .. } => {
            let doctor = format!("doctor{}", crate::cli::arguments::options("aggregator", [name]));
            heading::next(&repeated(globals), &doctor, "says what the aggregator records")
        }
        Source::Config { .. } => heading::next(&repeated(globals), "audit", "observes the streams themselves"),
        // There is nowhere else to search.
        Source::Kinesis if *all_regions => String::new(),
        Source::Kinesis => {
            let everywhere = Globals { region: Vec::new(), ..globals.clone() };
            heading::next(&repeated(&everywhere), &format!("audit{options} --all-regions"), "searches every Region")
        }
    }
}

/// The same audit, with `more`.
fn again(audit: &Audit, filter: &Filter, more: &str, does: &str) -> String {
    let Given { globals, options, .. } = &audit.given;
    heading::next(&repeated(globals), &format!("audit{options}{}{more}", filter.given()), does)
}

/// A command that works in one account and Region.
fn in_one(audit: &Audit, scope: Option<&Scope>, command: &str, does: &str) -> String {
    let Some(scope) = scope else { return again(audit, &audit.filter, " -o report.html", "writes a report") };
    let mut globals = audit.given.globals.clone();
    let is_other = scope.account != audit.account;
    if is_other || audit.source != Source::Kinesis || audit.region_names().len() > 1 {
        globals.region = vec![scope.region.clone()];
    }
    if is_other {
        (globals.profile, globals.account) = (None, Some(scope.account.clone()));
    }
    let line = heading::next(&repeated(&globals), command, does);
    if is_other { format!("{line}, with credentials of the account {}", scope.account) } else { line }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::AuditArguments;
    use super::super::report::{Broken, Ended};
    use super::super::samples;
    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        audit: AuditArguments,
        #[command(flatten)]
        globals: Globals,
    }

    /// The sample as if this had been typed.
    fn audit(line: &str) -> Audit {
        let line = Line::try_parse_from(["audit"].into_iter().chain(line.split(' ').filter(|word| !word.is_empty())));
        let Line { audit: arguments, globals } = line.unwrap();
        let mut audit = samples::audit();
        (audit.given, audit.filter) = (arguments.given(&globals), arguments.filter.clone());
        if arguments.all_regions || globals.region.len() > 1 {
            audit.regions.push(super::super::report::Region::new("111122223333", "eu-west-2"));
        }
        audit
    }

    fn assert_next(audit: &Audit, fix: bool, expected: &str) {
        let next = next(audit, fix);
        assert!(crate::cli::takes(next.split('`').nth(1).unwrap()), "{next}");
        assert!(next.starts_with(&format!("next: `streamseal {expected}` ")), "{expected}: {next}");
    }

    #[test]
    fn the_next_command_keeps_what_was_given() {
        let many = "--all-regions --mode enforce --only r --stream a* --stream b --rate 9 --profile p --policy x.yaml";
        let same = "audit --all-regions --mode enforce --rate 9 --only r --stream 'a*' --stream b";
        assert_next(&audit(many), false, &format!("{same} --fix --profile p --policy x.yaml"));
        let seal = "seal orders-new payments --only r --dry-run --profile p --policy x.yaml --region eu-west-1";
        assert_next(&audit(many), true, seal);
        assert_next(&audit(""), true, "seal --all --dry-run");
        assert_next(&audit("--region eu-west-1"), true, "seal --all --dry-run --region eu-west-1");
        let two = audit("--region eu-west-1 --region eu-west-2 --only r");
        assert_next(&two, true, "seal --all --only r --dry-run --region eu-west-1");
        assert_next(&two, false, "audit --only r --fix --region eu-west-1 --region eu-west-2");
        let accounts = "--accounts 111122223333,444455556666 --role a --external-id x --at-once 3";
        let again = "audit --accounts 111122223333 --accounts 444455556666 --role a --external-id x --at-once 3 --fix";
        assert_next(&audit(accounts), false, again);
        assert_next(&audit("--organization --role a"), false, "audit --organization --role a --fix");
        let mut recorded = audit("--aggregator org --regions eu-west-1 --verify 5 --role a --accounts-file f");
        recorded.source = Source::Aggregator { name: "org".into(), region: "eu-central-1".into() };
        recorded.account = "999999999999".into();
        let again = "audit --aggregator org --accounts-file f --regions eu-west-1 --role a --verify 5 --fix";
        assert_next(&recorded, false, again);
        assert_next(&recorded, true, "seal --all --dry-run --account 111122223333 --region eu-west-1");
        assert!(next(&recorded, true).ends_with("with credentials of the account 111122223333"));
        assert_next(&audit("--config --verify all"), false, "audit --config --verify all --fix");
    }

    #[test]
    fn a_stream_that_is_to_be_proven_is_named() {
        let mut right = audit("--all-regions");
        right.regions[0].streams.truncate(1);
        assert_next(&right, false, "prove orders --region eu-west-1");
        let mut exempt = audit("--only scratch");
        exempt.regions[0].streams = vec![exempt.regions[0].streams[3].clone()];
        assert_next(&exempt, false, "audit --only scratch -o report.html");
        let mut unknown = audit("");
        unknown.regions[0].streams = vec![unknown.regions[0].streams[4].clone()];
        assert_next(&unknown, false, "doctor");
        unknown.policy_source = without::SOURCE.into();
        assert_next(&unknown, false, "init");
    }

    #[test]
    fn it_is_searched_on_only_where_there_may_be_streams() {
        let none = |line: &str| {
            let mut audit = audit(line);
            audit.regions.iter_mut().for_each(|region| region.streams.clear());
            audit
        };
        assert_next(&none("--region eu-west-1 --mode enforce"), false, "audit --mode enforce --all-regions");
        assert_next(&none("--stream a --only r"), false, "audit");
        assert_eq!(next(&none("--all-regions"), false), "");
        let mut failed = none("--region eu-west-1");
        failed.regions[0].ended = Ended::Failed(Broken { why: "no".into(), help: None, passes: false });
        assert_next(&failed, false, "audit --region eu-west-1");
        let mut recorded = none("--aggregator org");
        recorded.source = Source::Aggregator { name: "org".into(), region: "eu-west-1".into() };
        assert_next(&recorded, false, "doctor --aggregator org");
        recorded.source = Source::Config { region: "eu-west-1".into() };
        assert_next(&recorded, false, "audit");
    }
}
