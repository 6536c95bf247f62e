//! The audit as a summary in Markdown, for a pull request or a pipeline's page.

use std::fmt::Write;

use super::report::{Audit, ORDER, Row};
use super::table;
use super::without;
use crate::domain::time::Time;

/// So many streams are listed: a pipeline's page has room for no more than 1 MiB (GitHub, job summaries).
const LISTED_MAX: usize = 100;

pub(super) fn render(audit: &Audit) -> String {
    let mut text = format!("## Kinesis encryption: {}\n\n", headline(audit));
    let regions: Vec<&str> = audit.regions.iter().map(|region| region.name.as_str()).collect();
    let policy = if without::is_of(audit) { "no policy".to_owned() } else { format!("policy {}", audit.policy_source) };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "Account {}, {}, {}, {}.\n",
        audit.account,
        regions.join(", "),
        escaped(&policy),
        Time(audit.finished_at)
    );
    for compliance in ORDER {
        let count = audit.totals().all.of(compliance);
        if count > 0 {
            let _ = writeln!(text, "- **{count}** {}", compliance.as_str());
        }
    }
    if let Some(since) = &audit.since {
        let _ = writeln!(text, "\n{}", escaped(&since.text()).replace('\n', "  \n").trim_end());
    }
    let wrong: Vec<_> = ORDER
        .iter()
        .take(2)
        .flat_map(|word| audit.rows().filter(move |evidence| evidence.verdict.compliance == *word))
        .collect();
    if !wrong.is_empty() {
        text.push_str("\n| stream | Region | compliance | why | rule |\n|---|---|---|---|---|\n");
    }
    for evidence in wrong.iter().take(LISTED_MAX) {
        let row = Row::new(evidence);
        let cells = [row.stream, row.region, row.compliance, row.annotation, row.rule.unwrap_or("-")];
        let cells: Vec<String> = cells.iter().map(|cell| escaped(cell)).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if wrong.len() > LISTED_MAX {
        let _ = writeln!(text, "\n{} more are not listed here.", wrong.len() - LISTED_MAX);
    }
    let exemptions = table::exemptions(audit);
    if !exemptions.is_empty() {
        text.push_str("\n| exempt | why |\n|---|---|\n");
    }
    for (words, streams) in exemptions {
        let _ = writeln!(text, "| {} | {} |", escaped(&table::named(&streams)), escaped(&words));
    }
    for line in table::sums(audit).lines().skip(1) {
        let _ = writeln!(text, "\n{}", escaped(line));
    }
    text
}

/// The answer in half a line.
fn headline(audit: &Audit) -> String {
    use crate::domain::verdict::Compliance::{InsufficientData, NonCompliant};
    let all = audit.totals().all;
    let (total, wrong, unknown) = (all.sum(), all.of(NonCompliant), all.of(InsufficientData));
    match (total, wrong, unknown) {
        (0, ..) => "no streams".to_owned(),
        (total, 0, 0) => format!("all {total} as required"),
        (total, 0, unknown) => format!("{unknown} of {total} not known"),
        (total, wrong, _) => format!("{wrong} of {total} not as required"),
    }
}

/// Text that is text in Markdown and in a table's cell, whatever is in it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '@' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_summary_says_what_is_wrong_and_lets_no_mark_up_in() {
        let text = render(&samples::audit());
        insta::assert_snapshot!("markdown", text);
        assert!(!text.contains("<img"), "{text}");
        let exempt = "| scratch-1 | synthetic data; owner data-platform; until 2026-12-01 |\n";
        assert!(text.contains(exempt) && text.contains(", 2026-11-24T12:00:00.000Z."), "{text}");
        let mut right = samples::audit();
        right.regions[0].streams.truncate(1);
        assert!(render(&right).starts_with("## Kinesis encryption: all 1 as required\n"));
        assert!(render(&samples::incomplete()).contains("incomplete: eu-west-2"));
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let mut audit = samples::audit();
        let wrong = audit.regions[0].streams[1].clone();
        audit.regions[0].streams = vec![wrong; LISTED_MAX + 7];
        let text = render(&audit);
        assert_eq!(text.matches("| orders-new |").count(), LISTED_MAX);
        assert!(text.contains("\n7 more are not listed here.\n"));
    }
}
