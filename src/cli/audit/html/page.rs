//! What stands in the report's HTML itself, to be read without a script: the head, the answer, the exemptions, and a row for each stream.

use std::fmt::Write;

use crate::cli::audit::report::{Audit, Ended, NO_RULE, Region, Row, Source, TOOL};
use crate::cli::audit::severity::Severity;
use crate::cli::audit::without;
use crate::domain::evidence::Evidence;
use crate::domain::verdict::Compliance;

/// So many Regions are named in one notice.
const NAMED_MAX: usize = 40;

fn is_recorded(audit: &Audit) -> bool {
    audit.source != Source::Kinesis
}

/// Account, Regions, time, policy.
pub(super) fn facts(audit: &Audit) -> String {
    let (accounts, names) = (audit.accounts(), audit.region_names());
    let of_accounts = number(accounts as u64);
    let complete = audit.regions.iter().filter(|region| region.ended == Ended::Complete).count();
    let regions = match (names.len(), names.first()) {
        (1, Some(one)) => (*one).to_owned(),
        (several, _) if accounts > 1 => number(several as u64),
        (several, _) => format!("{complete} of {several} observed"),
    };
    let policy = if without::is_of(audit) { "none" } else { audit.policy_source.as_str() };
    let started = time(&audit.started_at.to_string());
    let facts = [
        if accounts > 1 { ("Accounts", of_accounts.as_str()) } else { ("Account", audit.account.as_str()) },
        (if names.len() == 1 { "Region" } else { "Regions" }, &regions),
        (if is_recorded(audit) { "Asked AWS Config" } else { "Observed" }, &started),
        ("Policy", policy),
        ("Mode assumed", audit.mode.as_str()),
    ];
    facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escaped(value))).collect()
}

/// What is missing in the report, or will change. `left_out`: the streams that there is no room for.
pub(super) fn notices(audit: &Audit, left_out: &[(Compliance, u64)]) -> String {
    let (mut bad, mut mild) = (incomplete(audit), Vec::new());
    bad.extend(audit.lacks.iter().map(|lack| format!("Incomplete: {}. {}", lack.what, lack.broken.why)));
    if let Some(verified) = &audit.verified {
        let (streams, differ) = (number(verified.streams as u64), verified.differences.len() as u64);
        let words = format!(
            "To verify what was recorded, {streams} of the worst streams were observed: {} differ.",
            number(differ)
        );
        if differ > 0 { &mut bad } else { &mut mild }.push(words);
    }
    mild.extend(not_observed(audit));
    mild.extend(room(left_out));
    let ending = audit.exemptions_ending.iter();
    mild.extend(ending.map(|(rule, until)| format!("The exemption of rule {rule} ends on {until}.")));
    let filter = audit.filter.words();
    if !filter.is_empty() {
        mild.push(format!("Not the whole fleet: {filter}."));
    }
    let since = audit.since.iter();
    mild.extend(
        since.map(|since| format!("Since {} ({}): {}.", since.source, time(&since.finished_at), since.counts())),
    );
    let notice = |kind: &str, words: &String| format!("<p class=\"notice{kind}\">{}</p>", escaped(words));
    bad.iter().map(|words| notice("", words)).chain(mild.iter().map(|words| notice(" mild", words))).collect()
}

/// A Region, with its account where there are several.
fn place(audit: &Audit, region: &Region) -> String {
    match audit.accounts() > 1 {
        true => format!("{} {}", region.account, region.name),
        false => region.name.clone(),
    }
}

/// The Regions that were not observed to their end.
fn incomplete(audit: &Audit) -> Vec<String> {
    let mut bad = Vec::new();
    for region in &audit.regions {
        let (name, seen) = (place(audit, region), region.streams.len() + region.written);
        match &region.ended {
            Ended::Failed(broken) if is_recorded(audit) => bad.push(format!("Incomplete: {name}. {}", broken.why)),
            Ended::Failed(broken) => bad.push(format!(
                "Incomplete: {name} could not be observed to its end, after {seen} of {} streams. {}",
                region.listed, broken.why
            )),
            Ended::Interrupted => {
                bad.push(format!(
                    "Incomplete: the audit was stopped in {name} after {seen} of {} streams.",
                    region.listed
                ));
            }
            Ended::Complete | Ended::NotEnabled | Ended::Denied | Ended::Silent | Ended::Outdated(_) => {}
        }
    }
    bad
}

/// The Regions that were left out, and why.
fn not_observed(audit: &Audit) -> Vec<String> {
    let named = |is_one: fn(&Ended) -> bool| {
        let regions: Vec<String> =
            audit.regions.iter().filter(|region| is_one(&region.ended)).map(|region| place(audit, region)).collect();
        let more = regions.len().saturating_sub(NAMED_MAX);
        let first = regions.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{first} and {} more", number(more as u64)) } else { first }
    };
    let groups = [
        (
            "AWS Config delivered no stream of these: there is none, or it is not recorded there",
            named(|ended| *ended == Ended::Silent),
        ),
        ("What AWS Config has of these may be out of date", named(|ended| matches!(ended, Ended::Outdated(_)))),
        ("Left out, since the account has not enabled them", named(|ended| *ended == Ended::NotEnabled)),
        ("Not observed, since a policy of the organization denies them", named(|ended| *ended == Ended::Denied)),
    ];
    let groups = groups.into_iter().filter(|(_, names)| !names.is_empty());
    groups.map(|(why, names)| format!("{why}: {names}.")).collect()
}

/// Which streams there is no room for.
fn room(left_out: &[(Compliance, u64)]) -> Option<String> {
    let all: u64 = left_out.iter().map(|(_, count)| count).sum();
    let parts = left_out.iter().map(|(compliance, count)| format!("{} {}", number(*count), state(*compliance).2));
    let parts = parts.collect::<Vec<_>>().join(", ").to_lowercase();
    (all > 0).then(|| {
        format!(
            "The list below leaves out {} stream{}, so that this page opens quickly: {parts}. Every noncompliant stream is in it, and \
             every stream is counted above. The CSV and JSON of the audit have all.",
            number(all),
            if all == 1 { "" } else { "s" }
        )
    })
}

/// The answer in one sentence.
pub(super) fn verdict(audit: &Audit) -> String {
    let all = audit.totals().all;
    let (total, bad, unknown) = (all.sum(), all.of(Compliance::NonCompliant), all.of(Compliance::InsufficientData));
    let as_what =
        if without::is_of(audit) { "encrypted with a key that can be relied on" } else { "as the policy says" };
    let s = if total == 1 { "" } else { "s" };
    let are = if bad == 1 { "is" } else { "are" };
    match (total, bad, unknown) {
        (0, ..) => "There are no streams.".to_owned(),
        (_, 0, 0) if all.of(Compliance::NotApplicable) == total => "Every stream is exempt.".to_owned(),
        (_, 0, 0) => format!("All streams are {as_what}."),
        (_, 0, unknown) => format!("No stream is known to be wrong; {} could not be determined.", number(unknown)),
        (_, bad, _) => format!("{} of {} stream{s} {are} not {as_what}.", number(bad), number(total)),
    }
}

/// What is wrong, by what it is, and the rest.
pub(super) fn beside(audit: &Audit) -> String {
    let totals = audit.totals();
    let parts = [
        (totals.of(Severity::High), "not encrypted"),
        (totals.of(Severity::Medium), "with the wrong key"),
        (totals.of(Severity::Critical), "on a key that cannot be relied on"),
        (totals.all.of(Compliance::Compliant), "compliant"),
        (totals.all.of(Compliance::InsufficientData), "could not be determined"),
        (totals.all.of(Compliance::NotApplicable), "exempt"),
    ];
    let parts = parts.iter().filter(|(count, word)| *count > 0 || *word == "compliant");
    let parts: Vec<String> = parts.map(|(count, word)| format!("{} {word}", number(*count))).collect();
    let mut text = if totals.all.sum() > 0 { format!("{}.", parts.join(", ")) } else { String::new() };
    if totals.blocked > 0 {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            " {} blocked: a key, an alias, a permission or a rule has to be fixed first.",
            number(totals.blocked)
        );
    }
    if !audit.is_complete() {
        text.push_str(" The audit is incomplete.");
    }
    text
}

/// Classes of the table: what each row says only where it differs.
pub(super) fn columns(audit: &Audit) -> String {
    let classes = [
        (audit.accounts() > 1, "accounts"),
        (audit.accounts() > 1 || audit.region_names().len() > 1, "places"),
        (is_recorded(audit), "recorded"),
    ];
    classes.iter().filter(|(is, _)| *is).map(|(_, class)| *class).collect::<Vec<_>>().join(" ")
}

/// Who accepted what, and until when.
pub(super) fn exemptions(audit: &Audit) -> String {
    let totals = audit.totals();
    let [_, _, by_rule, _] = totals.groups();
    let mut text = String::new();
    for (rule, exemption) in &audit.exemptions {
        let count = by_rule.get(rule).map_or(0, |counts| counts.sum());
        let until = exemption.until.map_or_else(|| "no end".to_owned(), |until| until.to_string());
        let owner = exemption.owner.as_deref().unwrap_or("nobody named");
        let cells = [rule.as_str(), &exemption.reason, owner, &until, &number(count)];
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        let _ = write!(text, "<tr>{cells}</tr>");
    }
    text
}

/// One row, without a line's end in it.
pub(super) fn row(evidence: &Evidence) -> String {
    let row = Row::new(evidence);
    let (kind, sign, word) = state(evidence.verdict.compliance);
    let withheld = row.withheld.map(|why| format!(": {why}")).unwrap_or_default();
    let key = row.key();
    format!(
        "<tr><th scope=\"row\" class=\"col-stream\"><span class=\"open\"><span>{}</span></span>\
         <span class=\"under place\"><span class=\"account\">{} </span>{}</span>\
         <span class=\"under as-of\">as of {}</span><span class=\"under phone\">{}{withheld}</span></th>\
         <td class=\"col-state\"><span class=\"pill {kind}\"><span aria-hidden=\"true\">{sign}</span>{word}</span></td>\
         <td class=\"col-why why\">{}</td><td class=\"col-rule\">{}</td><td class=\"col-key\" title=\"{}\">{}</td></tr>",
        escaped(row.stream),
        escaped(row.account),
        escaped(row.region),
        time(&row.as_of.to_string()),
        row.reason,
        escaped(&brief(row.annotation, evidence)),
        escaped(row.rule.unwrap_or(NO_RULE)),
        escaped(key),
        escaped(name_of(key, evidence)),
    )
}

/// What a key is called where space is short: by KMS, by the rule that names it, else its id.
fn name_of<'k>(key: &'k str, evidence: &'k Evidence) -> &'k str {
    let known = evidence.keys.iter().find(|known| known.info.identity.as_str() == key);
    let known = known.and_then(|known| known.alias.as_deref());
    let desired = evidence.desired.as_ref();
    let desired = desired.filter(|(_, identity)| identity.as_ref().is_some_and(|identity| identity.as_str() == key));
    let desired = desired.and_then(|(named, _)| named.alias());
    known.or(desired).unwrap_or_else(|| key.rsplit_once(":key/").map_or(key, |(_, id)| id))
}

/// A sentence with what keys are called in place of their ARNs.
fn brief(text: &str, evidence: &Evidence) -> String {
    let is_of_arn = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '-' | '_');
    let mut short = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("arn:") {
        let (before, arn) = rest.split_at(at);
        let (arn, after) = arn.split_at(arn.find(|c| !is_of_arn(c)).unwrap_or(arn.len()));
        short.push_str(before);
        short.push_str(name_of(arn, evidence));
        rest = after;
    }
    short + rest
}

/// Its class, its sign and its word.
fn state(compliance: Compliance) -> (&'static str, &'static str, &'static str) {
    match compliance {
        Compliance::NonCompliant => ("bad", "\u{2715}", "Noncompliant"),
        Compliance::InsufficientData => ("unknown", "?", "Insufficient data"),
        Compliance::Compliant => ("ok", "\u{2713}", "Compliant"),
        Compliance::NotApplicable => ("none", "\u{2013}", "Not applicable"),
    }
}

/// How the audit came to know.
pub(super) fn how(audit: &Audit) -> &'static str {
    if is_recorded(audit) {
        "The audit asked AWS Config what it recorded of streams, keys and aliases, and observed no stream itself: each row says as of when."
    } else {
        "The audit read each stream's setting and asked KMS for each key."
    }
}

pub(super) fn foot(audit: &Audit) -> String {
    let (from, to) = (time(&audit.started_at.to_string()), time(&audit.finished_at.to_string()));
    escaped(&format!("Made by {TOOL} from {from} to {to}. Policy {}.", audit.policy_digest))
}

/// `2026-11-29 12:00:00 UTC`.
fn time(text: &str) -> String {
    let (date, time) = text.trim_end_matches('Z').split_once('T').unwrap_or((text, ""));
    let seconds = time.split_once('.').map_or(time, |(seconds, _)| seconds);
    format!("{date} {seconds} UTC")
}

/// `10,000`.
fn number(count: u64) -> String {
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

/// Text that is text wherever it stands in the page, in one line.
pub(super) fn escaped(text: &str) -> String {
    let text = text.replace(|c: char| c.is_control(), " ");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::audit::found::Verified;
    use crate::cli::audit::samples;

    #[test]
    fn the_head_says_what_is_wrong_by_what_it_is() {
        let audit = samples::audit();
        assert_eq!(verdict(&audit), "2 of 5 streams are not as the policy says.");
        let words = "2 not encrypted, 1 compliant, 1 could not be determined, 1 exempt. 1 blocked: a key, an alias, a permission or a rule \
                     has to be fixed first.";
        assert_eq!(beside(&audit), words);
        assert!(beside(&samples::incomplete()).ends_with(" The audit is incomplete."));
        let listed = exemptions(&audit);
        assert!(listed.contains("<td>RISK-1421</td><td>data-platform</td><td>2026-12-01</td><td>1</td>"), "{listed}");
    }

    #[test]
    fn each_thing_that_is_missing_is_a_notice() {
        let mut audit = samples::incomplete();
        let of = |ended: Ended, name: &str| Region { ended, ..Region::new("111122223333", name) };
        audit.regions.push(of(Ended::Interrupted, "eu-west-3"));
        audit.regions.extend((0..42).map(|n| of(Ended::NotEnabled, &format!("r{n}"))));
        audit.regions.push(of(Ended::Denied, "ap-south-1"));
        let text = notices(&audit, &[(Compliance::Compliant, 1_000), (Compliance::NotApplicable, 1)]);
        let expected = [
            "<p class=\"notice\">Incomplete: eu-west-2 could not be observed to its end, after 0 of 0 streams. kinesis:ListStreams failed",
            "<p class=\"notice\">Incomplete: the audit was stopped in eu-west-3 after 0 of 0 streams.</p>",
            "<p class=\"notice mild\">Left out, since the account has not enabled them: r0, r1,",
            ", r39 and 2 more.</p>",
            "<p class=\"notice mild\">Not observed, since a policy of the organization denies them: ap-south-1.</p>",
            "leaves out 1,001 streams, so that this page opens quickly: 1,000 compliant, 1 not applicable.",
            "<p class=\"notice mild\">The exemption of rule scratch ends on 2026-12-01.</p>",
        ];
        expected.iter().for_each(|words| assert!(text.contains(words), "{words}: {text}"));
        assert!(!text.contains("AWS Config"), "{text}");
        audit.source = Source::Config { region: "eu-west-1".into() };
        audit.regions.push(of(Ended::Silent, "eu-north-1"));
        audit.regions.push(of(Ended::Outdated("it delivered last in May".into()), "eu-south-1"));
        let text = notices(&audit, &[]);
        assert!(
            text.contains("or it is not recorded there: eu-north-1.</p>") && text.contains("of date: eu-south-1.</p>")
        );
        assert!(text.contains("Incomplete: eu-west-2. kinesis:") && !text.contains("leaves out"));
        audit.verified = Some(Verified { streams: 20, ..Verified::default() });
        let words = "<p class=\"notice mild\">To verify what was recorded, 20 of the worst streams were observed: 0 differ.</p>";
        assert!(notices(&audit, &[]).contains(words));
    }

    #[test]
    fn a_row_says_where_only_where_that_differs() {
        let mut audit = samples::audit();
        assert_eq!(columns(&audit), "");
        audit.regions.push(Region::new("111122223333", "eu-west-2"));
        assert_eq!(columns(&audit), "places");
        audit.regions.push(Region::new("444455556666", "eu-west-2"));
        audit.source = Source::Aggregator { name: "org".into(), region: "eu-west-1".into() };
        assert_eq!(columns(&audit), "accounts places recorded");
    }

    #[test]
    fn numbers_times_and_keys_are_short() {
        assert_eq!([number(7), number(999), number(10_000), number(1_234_567)], ["7", "999", "10,000", "1,234,567"]);
        assert_eq!(time("2026-11-29T12:00:00.123Z"), "2026-11-29 12:00:00 UTC");
        let mut evidence = samples::audit().regions.remove(0).streams.remove(0);
        let arn = evidence.keys[0].info.identity.as_str().to_owned();
        let id = arn.rsplit_once('/').unwrap().1;
        assert_eq!(brief(&format!("on {arn}; not {arn}2"), &evidence), format!("on alias/orders; not {id}2"));
        evidence.keys.clear();
        assert_eq!(name_of(&arn, &evidence), "alias/orders", "as its rule names it");
        evidence.desired = None;
        assert_eq!(name_of(&arn, &evidence), id);
    }
}
