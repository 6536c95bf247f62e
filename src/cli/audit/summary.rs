//! What an audit of many accounts comes to, in a few lines: by account, Region, rule and key, the worst first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{Audit, ORDER};
use super::totals::Counts;
use crate::domain::verdict::Compliance;

/// So many of each are named.
const NAMED_MAX: usize = 10;

/// The groups of an audit that is not of one account alone.
pub(super) fn summary(audit: &Audit) -> String {
    if audit.accounts() < 2 {
        return String::new();
    }
    let totals = audit.totals();
    let [account, region, rule, key] = totals.groups();
    let groups = [("account", account), ("Region", region), ("rule", rule), ("key", key)];
    groups.into_iter().map(|(what, group)| lines(what, group)).collect()
}

fn lines(what: &str, group: &BTreeMap<String, Counts>) -> String {
    let mut worst: Vec<(&String, &Counts)> = group.iter().collect();
    let wrong = |counts: &Counts| [Compliance::NonCompliant, Compliance::InsufficientData].map(|one| counts.of(one));
    worst.sort_by_key(|(_, counts)| Reverse(wrong(counts)));
    let mut text = format!("by {what}\n");
    for (name, counts) in worst.iter().take(NAMED_MAX) {
        let parts = ORDER.iter().map(|one| (counts.of(*one), one.as_str())).filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name}: {}", parts.join(", "));
    }
    let more = worst.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        let _ = writeln!(text, "  and {more} more, which are all in the JSON");
    }
    text + "\n"
}

/// How many streams are not in the table, and where they are.
pub(super) fn left_out(audit: &Audit) -> String {
    let missing = audit.written.all;
    if missing.sum() == 0 {
        return String::new();
    }
    let parts = ORDER.iter().map(|one| (missing.of(*one), one.as_str())).filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
    format!(
        "not shown here: {}; `-o FILE.csv` has every stream, `-o FILE.html` every one that is wrong\n\n",
        parts.join(", ")
    )
}
