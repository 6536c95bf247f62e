//! What stands in the report's HTML itself, to be read without a script: the head, the answer, the exemptions, and a row for each stream.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cli::audit::report::{Audit, Ended, NO_RULE, Row, TOOL};
use crate::cli::audit::severity::Severity;
use crate::cli::audit::without;
use crate::domain::evidence::Evidence;
use crate::domain::remedy::advice::Remedy;
use crate::domain::verdict::{Compliance, Reason};

/// The streams in the order of the page: the most severe first.
pub(super) fn in_order(audit: &Audit) -> Vec<&Evidence> {
    let mut rows: Vec<&Evidence> = audit.rows().collect();
    rows.sort_by_key(|evidence| {
        let is_exempt = evidence.verdict.compliance == Compliance::NotApplicable;
        (std::cmp::Reverse(Severity::of(evidence)), is_exempt, &evidence.stream.name, &evidence.stream.scope.region)
    });
    rows
}

/// What keys are called: by the rules that name them, and by KMS.
pub(super) fn aliases(audit: &Audit) -> BTreeMap<String, String> {
    let desired = audit.streams().filter_map(|evidence| evidence.desired.as_ref());
    let named = desired.filter_map(|(key, identity)| Some((identity.as_ref()?.as_str(), key.alias()?)));
    let known = audit.streams().flat_map(|evidence| &evidence.keys);
    let known = known.filter_map(|key| Some((key.info.identity.as_str(), key.alias.as_deref()?)));
    named.chain(known).map(|(arn, alias)| (arn.to_owned(), alias.to_owned())).collect()
}

/// Account, Regions, time, policy.
pub(super) fn facts(audit: &Audit) -> String {
    let complete = audit.regions.iter().filter(|region| region.ended == Ended::Complete).count();
    let regions = match audit.regions.as_slice() {
        [one] => one.name.clone(),
        several => format!("{complete} of {} observed", several.len()),
    };
    let policy = if without::is_of(audit) { "none" } else { audit.policy_source.as_str() };
    let mode = serde_json::to_value(audit.mode).unwrap_or_default();
    let started = time(&audit.started_at.to_string());
    let facts = [
        ("Account", audit.account.as_str()),
        (if audit.regions.len() == 1 { "Region" } else { "Regions" }, &regions),
        ("Observed", &started),
        ("Policy", policy),
        ("Mode assumed", mode.as_str().unwrap_or_default()),
    ];
    facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value))).collect()
}

/// What is missing in the report, or will change.
pub(super) fn notices(audit: &Audit) -> String {
    let mut text = String::new();
    let mut notice = |words: &str, is_mild: bool| {
        let mild = if is_mild { " mild" } else { "" };
        let _ = write!(text, "<p class=\"notice{mild}\">{}</p>", escaped(words));
    };
    for region in &audit.regions {
        let seen = format!("{} of {} streams", region.streams.len(), region.listed);
        match &region.ended {
            Ended::Failed(broken) => notice(
                &format!("Incomplete: {} could not be observed to its end, after {seen}. {}", region.name, broken.why),
                false,
            ),
            Ended::Interrupted => {
                notice(&format!("Incomplete: the audit was stopped in {} after {seen}.", region.name), false);
            }
            Ended::Complete | Ended::NotEnabled | Ended::Denied => {}
        }
    }
    let named = |ended: &Ended| {
        let regions = audit.regions.iter().filter(|region| region.ended == *ended);
        regions.map(|region| region.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    for (ended, why) in [
        (Ended::NotEnabled, "Left out, since the account has not enabled them"),
        (Ended::Denied, "Not observed, since a policy of the organization denies them"),
    ] {
        let regions = named(&ended);
        if !regions.is_empty() {
            notice(&format!("{why}: {regions}."), true);
        }
    }
    for (rule, until) in &audit.exemptions_ending {
        notice(&format!("The exemption of rule {rule} ends on {until}."), true);
    }
    let filter = audit.filter.words();
    if !filter.is_empty() {
        notice(&format!("Not the whole fleet: {filter}."), true);
    }
    if let Some(since) = &audit.since {
        notice(&format!("Since {} ({}): {}.", since.source, time(&since.finished_at), since.counts()), true);
    }
    text
}

/// The answer in one sentence.
pub(super) fn verdict(audit: &Audit) -> String {
    let total = audit.streams().count();
    let count = |compliance| audit.count(compliance);
    let (bad, unknown) = (count(Compliance::NonCompliant), count(Compliance::InsufficientData));
    let as_what =
        if without::is_of(audit) { "encrypted with a key that can be relied on" } else { "as the policy says" };
    let s = if total == 1 { "" } else { "s" };
    let are = if bad == 1 { "is" } else { "are" };
    match (total, bad, unknown) {
        (0, ..) => "There are no streams.".to_owned(),
        (_, 0, 0) if count(Compliance::NotApplicable) == total => "Every stream is exempt.".to_owned(),
        (_, 0, 0) => format!("All streams are {as_what}."),
        (_, 0, unknown) => format!("No stream is known to be wrong; {} could not be determined.", number(unknown)),
        (_, bad, _) => format!("{} of {} stream{s} {are} not {as_what}.", number(bad), number(total)),
    }
}

/// What is wrong, by what it is, and the rest.
pub(super) fn beside(audit: &Audit) -> String {
    let wrong = |is: fn(&Row<'_>, &Evidence) -> bool| {
        let wrong = audit.streams().filter(|evidence| evidence.verdict.compliance == Compliance::NonCompliant);
        wrong.filter(|evidence| is(&Row::new(evidence), evidence)).count()
    };
    let open = wrong(|row, _| matches!(row.encryption_type, Some("NONE") | None));
    let lost = wrong(|row, evidence| row.encryption_type != Some("NONE") && is_lost(evidence));
    let other = wrong(|_, _| true) - open - lost;
    let blocked = wrong(|_, evidence| !matches!(evidence.remedy, Remedy::Source(_)));
    let parts = [
        (open, "not encrypted"),
        (other, "with another key"),
        (lost, "on a key that cannot be relied on"),
        (audit.count(Compliance::Compliant), "compliant"),
        (audit.count(Compliance::InsufficientData), "could not be determined"),
        (audit.count(Compliance::NotApplicable), "exempt"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, word)| *count > 0 || *word == "compliant")
        .map(|(count, word)| format!("{} {word}", number(*count)))
        .collect();
    let mut text = format!("{}.", parts.join(", "));
    if blocked > 0 {
        let _ = write!(
            text,
            " {} blocked: a key, an alias, a permission or a rule has to be put right first.",
            number(blocked)
        );
    }
    if !audit.is_complete() {
        text.push_str(" The audit is incomplete.");
    }
    text
}

fn is_lost(evidence: &Evidence) -> bool {
    matches!(evidence.verdict.reason, Reason::KeyUnusable | Reason::Unwritable | Reason::ForeignKey)
}

/// Who accepted what, and until when.
pub(super) fn exemptions(audit: &Audit) -> String {
    let mut text = String::new();
    for (rule, exemption) in &audit.exemptions {
        let has = |evidence: &&Evidence| evidence.rule.as_ref().is_some_and(|(_, name)| name == rule);
        let count = audit.streams().filter(has).count();
        let until = exemption.until.map_or_else(|| "without end".to_owned(), |until| until.to_string());
        let owner = exemption.owner.as_deref().unwrap_or("nobody named");
        let cells = [rule.as_str(), &exemption.reason, owner, &until, &number(count)];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = write!(text, "<tr>{cells}</tr>");
    }
    text
}

/// One row for each stream.
pub(super) fn rows(audit: &Audit, rows: &[&Evidence], aliases: &BTreeMap<String, String>) -> String {
    let several = audit.regions.len() > 1;
    let mut text = String::new();
    for evidence in rows {
        let row = Row::new(evidence);
        let (kind, sign, word) = state(evidence.verdict.compliance);
        let region =
            if several { format!("<span class=\"under\">{}</span>", escaped(row.region)) } else { String::new() };
        let key = row.key();
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\" class=\"col-stream\"><span class=\"open\"><span>{}</span></span>{region}<span class=\"under phone\">{}</span></th><td \
             class=\"col-state\"><span class=\"pill {kind}\"><span aria-hidden=\"true\">{sign}</span>{word}</span></td><td class=\"col-why \
             why\">{}</td><td class=\"col-rule\">{}</td><td class=\"col-key\" title=\"{}\">{}</td></tr>",
            escaped(row.stream),
            escaped(row.reason),
            escaped(&brief(row.annotation, aliases)),
            escaped(row.rule.unwrap_or(NO_RULE)),
            escaped(key),
            escaped(name_of(key, aliases)),
        );
    }
    text
}

/// What a key is called where space is short: its alias, else its id.
pub(super) fn name_of<'k>(key: &'k str, aliases: &'k BTreeMap<String, String>) -> &'k str {
    let id = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
    aliases.get(key).map_or(id, String::as_str)
}

/// A sentence with what keys are called in place of their ARNs.
fn brief(text: &str, aliases: &BTreeMap<String, String>) -> String {
    let is_of_arn = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '-' | '_');
    let mut short = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("arn:") {
        let (before, arn) = rest.split_at(at);
        let (arn, after) = arn.split_at(arn.find(|c| !is_of_arn(c)).unwrap_or(arn.len()));
        short.push_str(before);
        short.push_str(name_of(arn, aliases));
        rest = after;
    }
    short + rest
}

fn state(compliance: Compliance) -> (&'static str, &'static str, &'static str) {
    match compliance {
        Compliance::NonCompliant => ("bad", "\u{2715}", "Noncompliant"),
        Compliance::InsufficientData => ("unknown", "?", "Insufficient data"),
        Compliance::Compliant => ("ok", "\u{2713}", "Compliant"),
        Compliance::NotApplicable => ("none", "\u{2013}", "Not applicable"),
    }
}

pub(super) fn foot(audit: &Audit) -> String {
    let (from, to) = (time(&audit.started_at.to_string()), time(&audit.finished_at.to_string()));
    escaped(&format!("Made by {TOOL} from {from} to {to}. Policy {}.", audit.policy_digest))
}

/// `2026-11-29 12:00:00 UTC`.
fn time(text: &str) -> String {
    text.replacen('T', " ", 1).replace('Z', " UTC")
}

/// `10,000`.
fn number(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::samples;

    #[test]
    fn the_head_says_what_is_wrong_by_what_it_is() {
        let audit = samples::audit();
        assert_eq!(verdict(&audit), "2 of 5 streams are not as the policy says.");
        let words = "2 not encrypted, 1 compliant, 1 could not be determined, 1 exempt. 1 blocked: a key, an alias, a permission or a rule \
                     has to be put right first.";
        assert_eq!(beside(&audit), words);
        assert!(beside(&samples::incomplete()).ends_with(" The audit is incomplete."));
        let names: Vec<&str> = in_order(&audit).iter().map(|evidence| evidence.stream.name.as_str()).collect();
        assert_eq!(names, ["orders-new", "payments", "slow", "orders", "scratch-1"]);
        let listed = exemptions(&audit);
        assert!(listed.contains("<td>RISK-1421</td><td>data-platform</td><td>2026-12-01</td><td>1</td>"), "{listed}");
    }

    #[test]
    fn numbers_and_keys_are_short() {
        assert_eq!([number(7), number(999), number(10_000), number(1_234_567)], ["7", "999", "10,000", "1,234,567"]);
        let arn = "arn:aws:kms:eu-west-1:111122223333:key/1b0e";
        let aliases = BTreeMap::from([(arn.to_owned(), "alias/orders".to_owned())]);
        assert_eq!(brief(&format!("on {arn}; not {arn}2"), &aliases), "on alias/orders; not 1b0e2");
    }
}
