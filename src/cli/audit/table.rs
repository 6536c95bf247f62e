//! The audit as text for people at a terminal: what is wrong first, and the sums at the end.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Audit, Ended, ORDER, Row, for_all_streams};
use crate::cli::words;
use crate::domain::remedy::advice::AtSource;
use crate::domain::verdict::Compliance;

/// The longest cell of a column that can be any length.
const CELL_MAX: usize = 48;
/// So many streams are named with what to do about them.
const NAMED_MAX: usize = 5;

/// `coloured`: with the escape sequences of a terminal.
pub(super) fn render(audit: &Audit, coloured: bool) -> String {
    let several = audit.regions.len() > 1;
    let mut head = vec!["STREAM", "COMPLIANCE", "REASON", "RULE", "KEY"];
    if several {
        head.insert(0, "REGION");
    }
    let mut lines: Vec<(Compliance, Vec<String>)> = Vec::new();
    for compliance in ORDER {
        for evidence in audit.streams().filter(|evidence| evidence.verdict.compliance == compliance) {
            let row = Row::new(evidence);
            let reason = row.withheld.map_or(row.reason.to_owned(), |why| format!("{}: {why}", row.reason));
            let key = row.key();
            // The id says it all where every key is of one account and Region.
            let key = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
            let mut cells: Vec<String> =
                [row.stream, row.compliance, &reason, row.rule.unwrap_or("-"), key].map(cut).into();
            if several {
                cells.insert(0, row.region.to_owned());
            }
            lines.push((compliance, cells));
        }
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = lines.iter().filter_map(|(_, cells)| cells.get(column)).map(|cell| cell.chars().count());
            cells.chain(head.get(column).map(|title| title.len())).max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    if !lines.is_empty() {
        push(&mut text, head.iter().copied(), &widths, None);
    }
    for (compliance, cells) in &lines {
        let colour = coloured.then_some((usize::from(several) + 1, colour(*compliance)));
        push(&mut text, cells.iter().map(String::as_str), &widths, colour);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(&changes(audit));
    text.push_str(&others(audit));
    text.push_str(&sums(audit));
    text
}

/// What to change at its source, of each stream whose right key is known and can be used.
fn changes(audit: &Audit) -> String {
    let changes = audit.streams().filter_map(|evidence| Some((evidence, evidence.remedy.at_source()?)));
    let lines = changes.map(|(evidence, change)| {
        let AtSource { terraform, cloudformation, cli } = change;
        let stream = &evidence.stream.name;
        let cli = cli.as_ref().map(|cli| format!("    AWS CLI        {cli}\n")).unwrap_or_default();
        format!("  {stream}\n    Terraform      {terraform}\n    CloudFormation {cloudformation}\n{cli}")
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("at the source\n{lines}\n") }
}

/// What to do about keys, aliases, permissions and rules, each once with the streams that it is for.
fn others(audit: &Audit) -> String {
    let mut streams: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for evidence in audit.streams().filter(|evidence| evidence.remedy.at_source().is_none()) {
        if let Some(lines) = words::remedy(&evidence.remedy) {
            streams.entry(for_all_streams(evidence, &lines)).or_default().push(evidence.stream.name.as_str());
        }
    }
    let lines = streams.iter().map(|(lines, streams)| {
        let more = streams.len().saturating_sub(NAMED_MAX);
        let named = streams.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("  {named}{more}\n{}\n", indented(lines))
    });
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("what to do\n{lines}\n") }
}

fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// `500 streams: 12 NON_COMPLIANT, …`, and the Regions that are missing in it.
pub(super) fn sums(audit: &Audit) -> String {
    let total = audit.streams().count();
    let s = if total == 1 { "" } else { "s" };
    let parts: Vec<String> = ORDER
        .iter()
        .map(|compliance| (audit.count(*compliance), compliance.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    let colon = if parts.is_empty() { "" } else { ": " };
    let mut text = format!("{total} stream{s}{colon}{}\n", parts.join(", "));
    let gone: usize = audit.regions.iter().map(|region| region.gone).sum();
    if gone > 0 {
        let are = if gone == 1 { "is" } else { "are" };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{gone} listed {are} gone");
    }
    let denied = audit.regions.iter().filter(|region| region.ended == Ended::Denied);
    let denied: Vec<&str> = denied.map(|region| region.name.as_str()).collect();
    if !denied.is_empty() {
        let _ = writeln!(text, "not observed, denied by the organization: {}", denied.join(", "));
    }
    if !audit.is_complete() {
        let failed = audit.regions.iter().filter(|region| matches!(region.ended, Ended::Failed(_)));
        let failed: Vec<&str> = failed.map(|region| region.name.as_str()).collect();
        let _ = writeln!(
            text,
            "incomplete: {}",
            if failed.is_empty() { "no Region".to_owned() } else { failed.join(", ") }
        );
    }
    text
}

fn push<'t>(text: &mut String, cells: impl Iterator<Item = &'t str>, widths: &[usize], colour: Option<(usize, &str)>) {
    let mut line = String::new();
    for (column, (cell, width)) in cells.zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
        match colour {
            Some((at, code)) if at == column => line.push_str(&format!("\u{1b}[{code}m{cell}\u{1b}[0m{padding}")),
            _ => line.push_str(&format!("{cell}{padding}")),
        }
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

fn cut(cell: &str) -> String {
    if cell.chars().count() <= CELL_MAX {
        return cell.to_owned();
    }
    cell.chars().take(CELL_MAX - 1).chain(['…']).collect()
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
    use super::super::samples;
    use super::*;

    #[test]
    fn what_is_wrong_comes_first_and_the_sums_last() {
        let text = render(&samples::audit(), false);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("STREAM") && lines[1].contains("NON_COMPLIANT"), "{text}");
        assert!(
            text.ends_with("5 streams: 2 NON_COMPLIANT, 1 INSUFFICIENT_DATA, 1 COMPLIANT, 1 NOT_APPLICABLE\n"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'));
        let source = text.split_once("\nat the source\n").unwrap().1;
        assert!(source.contains("  Terraform      aws_kinesis_stream: encryption_type"), "{text}");
        assert!(
            source.contains("  CloudFormation AWS::Kinesis::Stream")
                && source.contains("  AWS CLI        aws kinesis start")
        );
        assert_eq!(source.matches("aws kinesis start").count(), 1, "of the one stream whose key is known: {text}");
        assert!(text.contains("\nwhat to do\n  payments\n    tag it\n      one\n      two\n"), "{text}");
        assert!(render(&samples::audit(), true).contains("\u{1b}[31mNON_COMPLIANT\u{1b}[0m"));
        let column = lines[0].find("COMPLIANCE").unwrap();
        assert!(lines[1..6].iter().all(|line| line.as_bytes()[column - 1] == b' '), "{text}");
    }

    #[test]
    fn a_region_that_failed_is_reported() {
        let text = render(&samples::incomplete(), false);
        let mut audit = samples::audit();
        audit.regions[0].gone = 2;
        assert!(render(&audit, false).ends_with("1 NOT_APPLICABLE\n2 listed are gone\n"));
        assert!(text.starts_with("REGION") && text.ends_with("incomplete: eu-west-2\n"), "{text}");
    }
}
