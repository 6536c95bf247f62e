//! A report as text: who loses access first, then what to do about it, what was not checked, and one line of numbers.

use std::fmt::Write;

use crate::cli::columns::Columns;
use crate::cli::output::{BAD, FAINT, GOOD, ODD, STRONG, styled};
use crate::domain::impact::judge::{Access, Judged};
use crate::domain::impact::report::{Outcome, Report};

const HEAD: [&str; 6] = ["PRINCIPAL", "SIDE", "FOUND", "BEFORE", "AFTER", "CONFIDENCE"];
/// The column that is never cut: it is what the table is for.
const WHOLE: &str = "AFTER";

/// At a terminal as wide as it is; `None`: nothing is cut.
pub(super) fn render(report: &Report, width: Option<usize>) -> String {
    let current = match (&report.current, report.is_encrypted) {
        (Some(key), _) => key.to_string(),
        (None, true) => "a key that is not known".to_owned(),
        (None, false) => "not encrypted".to_owned(),
    };
    let mut text = styled(STRONG, format_args!("{}: {current} -> {}", report.stream.name, report.target));
    text.push('\n');
    text.push_str(&rows(&report.judged, width));
    for judged in &report.judged {
        text.push_str(&details(judged));
    }
    let mut section = |head: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}\n", styled(STRONG, head));
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    };
    let keeps = report.judged.iter().filter_map(|judged| {
        let (key, until) = judged.keep.as_ref()?;
        let name = judged.finding.who.name();
        Some(format!(
            "{name} needs kms:Decrypt on {key} until {until:.0}: records encrypted with it are in the stream until then"
        ))
    });
    section("the previous key", keeps.collect());
    section("notes", report.notes.clone());
    section("not checked", report.not_checked.iter().map(|of| format!("{}: {}", of.what, of.why)).collect());
    section("first", report.advice.clone());
    let colour = match report.outcome() {
        Outcome::Loss => BAD,
        Outcome::Unknown => ODD,
        Outcome::NoLoss => GOOD,
    };
    let _ = write!(text, "\n{}", styled(colour, report.summary()));
    text
}

fn rows(judged: &[Judged], width: Option<usize>) -> String {
    let cells: Vec<[String; 6]> = judged
        .iter()
        .map(|judged| {
            let tier = judged.finding.tier().map(|tier| tier.as_str()).unwrap_or_default();
            [
                judged.finding.who.name(),
                judged.finding.side.as_str(),
                tier,
                judged.before.access.as_str(),
                judged.after.access.as_str(),
                judged.after.confidence.as_str(),
            ]
            .map(str::to_owned)
        })
        .collect();
    if cells.is_empty() {
        return String::new();
    }
    let head = HEAD.map(str::to_owned);
    let columns = Columns::new([&head].into_iter().chain(&cells), WHOLE, width);
    let mut text = columns.line(&head, |_, cell| cell) + "\n";
    for (row, judged) in cells.iter().zip(judged) {
        let colour = match judged.after.access {
            Access::Loses if judged.loses() => BAD,
            Access::Loses | Access::Unknown => ODD,
            Access::Gains | Access::Keeps | Access::NotNeeded => GOOD,
        };
        let _ = writeln!(text, "{}", styled(colour, columns.line(row, |_, cell| cell)));
    }
    text
}

/// Where somebody was found who has no access or may have none, why, and what gives it access.
fn details(judged: &Judged) -> String {
    if !matches!(judged.after.access, Access::Loses | Access::Unknown) {
        return String::new();
    }
    let name = judged.finding.who.name();
    let mut text = format!("\n{}: {}\n", styled(STRONG, name), judged.after.why);
    for found in &judged.finding.found {
        let at = found.last_seen.map(|at| format!(", last {at:.0}")).unwrap_or_default();
        let _ = writeln!(text, "  {}", styled(FAINT, format_args!("{}: {}{at}", found.tier.as_str(), found.how)));
    }
    for remedy in &judged.after.remedies {
        let _ = match &remedy.statement {
            Some(statement) => writeln!(text, "  {}:\n    {statement}", remedy.text),
            None => writeln!(text, "  {}", remedy.text),
        };
    }
    text
}
