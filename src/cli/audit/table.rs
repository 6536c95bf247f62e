//! The audit as text for people at a terminal: what is wrong first, and the sums at the end.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::found::Verified;
use super::next;
use super::report::{Audit, Ended, ORDER, Region, Row, Source, for_all_streams};
use super::summary::{left_out, summary};
use super::without;
use crate::cli::columns::Columns;
use crate::cli::words;
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::WouldWire;
use crate::domain::verdict::Compliance;

/// The column that is never cut: it is what the table is for.
const WHOLE: &str = "COMPLIANCE";
/// So many streams are named with what to do about them.
const NAMED_MAX: usize = 5;

/// So many Regions are named in one line: more than there are, for one account.
const REGIONS_MAX: usize = 60;
const HEAD: [&str; 6] = ["STREAM", "COMPLIANCE", "REASON", "WOULD", "RULE", "KEY"];

/// How the table is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    /// With the escape sequences of a terminal.
    pub(super) coloured: bool,
    /// Cells are cut so that lines are no longer; `None`: nothing is cut.
    pub(super) width: Option<usize>,
    /// With changes to make, by key.
    pub(super) fix: bool,
}

pub(super) fn render(audit: &Audit, shown: Shown) -> String {
    let fix = shown.fix;
    let mut text = header(audit) + &rows(audit, shown);
    text.push_str(&left_out(audit));
    if fix {
        let changes = audit.streams().map(|evidence| (evidence.stream.name.as_str(), &evidence.remedy));
        text.extend(words::changes(changes, str::to_owned).map(|lines| lines + "\n\n"));
    }
    text.push_str(&others(audit));
    text.push_str(&exempt(audit));
    let keys = audit.streams().flat_map(|evidence| &evidence.keys);
    text.extend(words::keys(keys, str::to_owned).map(|lines| lines + "\n\n"));
    text.push_str(&summary(audit));
    text.push_str(&sums(audit));
    text.push_str(&audit.verified.as_ref().map(Verified::lines).unwrap_or_default());
    if let Some(since) = &audit.since {
        text.push_str(&since.text());
    }
    let next = next::next(audit, fix);
    if !next.is_empty() {
        let _ = writeln!(text, "{next}");
    }
    text
}

/// The table alone, the most severe first; empty where there is no stream.
fn rows(audit: &Audit, shown: Shown) -> String {
    let Shown { coloured, width, .. } = shown;
    let (accounts, regions) = (audit.accounts() > 1, audit.region_names().len() > 1);
    let by_policy = !without::is_of(audit);
    let mut head = if by_policy { HEAD.to_vec() } else { without::HEAD.to_vec() };
    if regions {
        head.insert(0, "REGION");
    }
    if accounts {
        head.insert(0, "ACCOUNT");
    }
    let mut lines: Vec<(Compliance, Vec<String>)> = Vec::new();
    for compliance in ORDER {
        for evidence in audit.rows().filter(|evidence| evidence.verdict.compliance == compliance) {
            let mut cells: Vec<String> =
                if by_policy { cells(evidence).into() } else { without::cells(evidence).into() };
            if regions {
                cells.insert(0, evidence.stream.scope.region.clone());
            }
            if accounts {
                cells.insert(0, evidence.stream.scope.account.clone());
            }
            lines.push((compliance, cells));
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let head: Vec<String> = head.into_iter().map(str::to_owned).collect();
    let columns = Columns::new([&head].into_iter().chain(lines.iter().map(|(_, cells)| cells)), WHOLE, width);
    let mut text = columns.line(&head, |_, cell| cell) + "\n";
    let at = usize::from(accounts) + usize::from(regions) + 1;
    for (compliance, cells) in &lines {
        let style = |column: usize, cell: String| match colour(*compliance) {
            code if coloured && column == at => format!("\u{1b}[{code}m{cell}\u{1b}[0m"),
            _ => cell,
        };
        text.push_str(&columns.line(cells, style));
        text.push('\n');
    }
    text.push('\n');
    text
}

/// One stream as its rule sees it.
fn cells(evidence: &Evidence) -> [String; 6] {
    let row = Row::new(evidence);
    let would = row.would.as_ref().map_or_else(|| "-".to_owned(), would);
    let key = row.key();
    // The id says it all where every key is of one account and Region.
    let id = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
    let key = row.key_alias.unwrap_or(id);
    [row.stream, row.compliance, row.reason, &would, row.rule.unwrap_or("-"), key].map(str::to_owned)
}

/// Whose streams these are, where, and by what they were judged.
fn header(audit: &Audit) -> String {
    let Audit { policy_source, mode, .. } = audit;
    let names = audit.region_names();
    let regions = match (names.len(), names.first()) {
        (1, Some(region)) => format!("Region {region}"),
        (several, _) => format!("{several} Regions"),
    };
    let regions = match audit.source {
        Source::Aggregator { .. } => format!("{} accounts, {regions}", audit.accounts()),
        Source::Kinesis | Source::Config { .. } => regions,
    };
    let by = if audit.source == Source::Kinesis { "" } else { ", as AWS Config recorded it" };
    let filter = match audit.filter.words() {
        words if words.is_empty() => words,
        words => format!("\n{words}"),
    };
    if without::is_of(audit) {
        let asked = "checks only whether streams are encrypted with a usable key";
        return format!("{}, {regions}, no policy: {asked}{by}{filter}\n\n", audit.whose());
    }
    format!("{}, {regions}, policy {policy_source}, mode {}{by}{filter}\n\n", audit.whose(), mode.as_str())
}

/// What a run in the mode `enforce` does.
fn would(would: &WouldWire) -> String {
    would.withheld.map_or_else(|| would.action.to_owned(), |why| format!("{} (withheld: {why})", would.action))
}

/// Exemptions in words, each once with the streams that it is for.
pub(super) fn exemptions(audit: &Audit) -> BTreeMap<String, Vec<&str>> {
    let mut streams: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for evidence in audit.streams() {
        if let Some(exemption) = &evidence.exemption {
            streams.entry(exemption.words()).or_default().push(evidence.stream.name.as_str());
        }
    }
    streams
}

fn exempt(audit: &Audit) -> String {
    let streams = exemptions(audit);
    let lines: String = streams.iter().map(|(words, streams)| format!("  {}\n    {words}\n", named(streams))).collect();
    if lines.is_empty() { lines } else { format!("exempt\n{lines}\n") }
}

/// The first streams by name, and how many more.
pub(super) fn named(streams: &[&str]) -> String {
    let more = streams.len().saturating_sub(NAMED_MAX);
    let named = streams.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// What to do about keys, aliases, permissions and rules, each once with the streams that it is for.
fn others(audit: &Audit) -> String {
    let mut streams: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for evidence in audit.streams().filter(|evidence| evidence.remedy.at_source().is_none()) {
        if let Some(lines) = words::remedy(&evidence.remedy) {
            streams.entry(for_all_streams(evidence, &lines)).or_default().push(evidence.stream.name.as_str());
        }
    }
    let lines = streams.iter().map(|(lines, streams)| format!("  {}\n{}\n", named(streams), indented(lines)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("what to do\n{lines}\n") }
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// `500 streams: 12 NON_COMPLIANT, …`, and the Regions that are missing in it.
pub(super) fn sums(audit: &Audit) -> String {
    let totals = audit.totals();
    let (all, total) = (totals.all, totals.all.sum());
    let s = if total == 1 { "" } else { "s" };
    let by_compliance = ORDER
        .iter()
        .map(|compliance| (all.of(*compliance), compliance.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"));
    let parts: Vec<String> = if without::is_of(audit) { without::counts(&totals) } else { by_compliance.collect() };
    let colon = if parts.is_empty() { "" } else { ": " };
    let mut text = format!("{total} stream{s}{colon}{}\n", parts.join(", "));
    let several = audit.accounts() > 1;
    let name = |region: &Region| match several {
        true => format!("{} {}", region.account, region.name),
        false => region.name.clone(),
    };
    let named = |is_one: fn(&Ended) -> bool| {
        let regions = audit.regions.iter().filter(|region| is_one(&region.ended) && region.listed == 0);
        listed(regions.map(name).collect())
    };
    match named(|ended| *ended == Ended::Complete) {
        empty if empty.is_empty() => {}
        empty if several => {
            let _ = writeln!(text, "no stream in {empty}");
        }
        empty => {
            let _ = writeln!(text, "account {} has no stream in {empty}", audit.account);
        }
    }
    let silent = named(|ended| *ended == Ended::Silent);
    if !silent.is_empty() {
        let _ = writeln!(text, "AWS Config returned no streams (none exist, or they are not recorded): {silent}");
    }
    let gone: usize = audit.regions.iter().map(|region| region.gone).sum();
    if gone > 0 {
        let (s, exists) = if gone == 1 { ("", "exists") } else { ("s", "exist") };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{gone} listed stream{s} no longer {exists}");
    }
    let denied = audit.regions.iter().filter(|region| region.ended == Ended::Denied);
    let denied = listed(denied.map(name).collect());
    if !denied.is_empty() {
        let _ = writeln!(text, "not observed, denied by the organization: {denied}");
    }
    if !audit.is_complete() {
        let failed = audit.regions.iter().filter(|r| matches!(r.ended, Ended::Failed(_) | Ended::Interrupted));
        let lacks = audit.lacks.iter().map(|lack| lack.what.clone());
        let failed = listed(lacks.chain(failed.map(name)).collect());
        let _ = writeln!(text, "incomplete: {}", if failed.is_empty() { "no Region" } else { &failed });
    }
    text
}

/// The first ones, and how many there are besides.
fn listed(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(REGIONS_MAX);
    let first = names.into_iter().take(REGIONS_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

fn colour(compliance: Compliance) -> &'static str {
    match compliance {
        Compliance::Compliant => "32",
        Compliance::NonCompliant => "31",
        Compliance::InsufficientData => "33",
        Compliance::NotApplicable => "2",
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::FailOn;
    use super::super::report::count;
    use super::super::samples;
    use super::*;
    use crate::cli::exit::Exit;
    use crate::domain::plan::step::Condition;
    use crate::domain::verdict::{Action, Withheld};

    #[test]
    fn what_is_wrong_comes_first_and_the_sums_last() {
        let text = render(&samples::audit(), Shown { fix: true, ..Shown::default() });
        assert!(
            text.starts_with("account 111122223333, Region eu-west-1, policy file:policy.yaml, mode report\n\nSTREAM"),
            "{text}"
        );
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert!(lines[1].contains("NON_COMPLIANT"), "{text}");
        let sums = "5 streams: 2 NON_COMPLIANT, 1 INSUFFICIENT_DATA, 1 COMPLIANT, 1 NOT_APPLICABLE\nnext: `streamseal seal --all";
        assert!(text.contains(sums), "{text}");
        assert!(!text.contains('\u{1b}'));
        let source = text.split_once("\nchanges to make, by key\n").unwrap().1;
        assert!(source.contains("    Terraform, in aws_kinesis_stream\n      encryption_type = …\n"), "{text}");
        assert!(
            source.contains("    CloudFormation, in the Properties of AWS::Kinesis::Stream\n      StreamEncryption")
        );
        assert!(source.contains("    AWS CLI\n      aws kinesis start"), "{text}");
        assert_eq!(source.matches("aws kinesis start").count(), 1, "of the one stream whose key is known: {text}");
        assert!(text.contains("\nwhat to do\n  payments\n    tag it\n      one\n      two\n"), "{text}");
        let coloured = render(&samples::audit(), Shown { coloured: true, ..Shown::default() });
        assert!(coloured.contains("\u{1b}[31mNON_COMPLIANT\u{1b}[0m"));
        assert!(!coloured.contains("by key") && coloured.contains("next: `streamseal audit --fix`"), "{coloured}");
        let column = lines[0].find("COMPLIANCE").unwrap();
        assert!(lines[1..6].iter().all(|line| line.as_bytes()[column - 1] == b' '), "{text}");
    }

    #[test]
    fn what_is_wrong_and_what_would_be_done_are_two_columns() {
        let mut audit = samples::audit();
        let text = render(&audit, Shown::default());
        let row = |text: &str, name: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
            line.split("  ").filter(|cell| !cell.is_empty()).map(|cell| cell.trim().to_owned()).collect()
        };
        assert_eq!(row(&text, "STREAM")[2..4], ["REASON", "WOULD"]);
        assert_eq!(row(&text, "orders-new")[1..4], ["NON_COMPLIANT", "not-encrypted", "encrypt"]);
        assert_eq!(row(&text, "scratch-1")[2..4], ["exempt", "-"]);
        assert_eq!(row(&text, "orders").last().unwrap(), "alias/orders", "people know keys by their alias");
        assert!(
            text.contains("exempt\n  scratch-1\n    synthetic data; owner data-platform; until 2026-12-01\n"),
            "{text}"
        );
        let verdict = audit.regions[0].streams[1].verdict.clone();
        audit.regions[0].streams[1].verdict = verdict.would(Action::Rekey, Some(Withheld::Downgrade));
        assert_eq!(row(&render(&audit, Shown::default()), "orders-new")[3], "re-key (withheld: downgrade)");
    }

    /// Its creator is at work on it: nobody has to do anything, and the command does not fail.
    #[test]
    fn a_stream_that_settles_is_no_failure() {
        let mut audit = samples::audit();
        let settled = Condition::Settled("2026-11-24T12:02:00Z".parse().unwrap());
        audit.regions[0].streams.truncate(1);
        audit.regions[0].streams[0].verdict = settled.not_yet();
        let text = render(&audit, Shown::default());
        assert!(text.contains("settling") && text.contains("  wait  ") && !text.contains("doctor"), "{text}");
        assert_eq!(audit.exit(None), Exit::Compliant);
        assert_eq!(audit.exit(Some(FailOn::Unknown)), Exit::TryAgain);
    }

    #[test]
    fn without_a_policy_streams_that_are_not_kept_are_counted_too() {
        let mut audit = samples::audit();
        audit.policy_source = without::SOURCE.into();
        for evidence in std::mem::take(&mut audit.regions[0].streams) {
            count(&mut audit.written, &evidence);
        }
        assert_eq!(sums(&audit), "5 streams: 2 not encrypted, 1 unknown, 2 encrypted\n");
    }

    #[test]
    fn a_region_that_failed_is_reported() {
        let text = render(&samples::incomplete(), Shown::default());
        let mut audit = samples::audit();
        audit.regions[0].gone = 2;
        assert!(sums(&audit).ends_with("1 NOT_APPLICABLE\n2 listed streams no longer exist\n"));
        assert!(
            text.contains("2 Regions") && text.contains("\nREGION") && text.contains("incomplete: eu-west-2\n"),
            "{text}"
        );
    }

    #[test]
    fn a_table_fits_the_terminal_and_is_never_cut_elsewhere() {
        let mut audit = samples::audit();
        let long = "x".repeat(120);
        audit.regions[0].streams[0].rule = Some((0, long.clone()));
        assert!(render(&audit, Shown::default()).contains(&long));
        for width in [80, 100, 140] {
            let text = render(&audit, Shown { width: Some(width), ..Shown::default() });
            let table = text.lines().skip(2).take(6);
            let longest = table.map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width && longest > width - 20, "{width}: {text}");
            assert!(!text.contains(&long) && text.contains("x…"), "{text}");
        }
    }

    #[test]
    fn an_account_without_streams_is_named_with_its_region() {
        let mut audit = samples::audit();
        audit.regions[0].streams.clear();
        audit.regions[0].listed = 0;
        let text = render(&audit, Shown::default());
        let end = "0 streams\naccount 111122223333 has no stream in eu-west-1\nnext: `streamseal audit --all-regions`";
        assert!(text.contains(end), "{text}");
    }
}
