//! What is legal in a policy and yet likely not meant, or about to change.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::cover::is_anything;
use crate::cli::regions::matches_some;
use crate::domain::policy::decide::utc_date;
use crate::domain::policy::fault::write_placed;
use crate::domain::policy::guard::{FallBack, Guard, OnBreak};
use crate::domain::policy::{Effect, Encrypt, Exemption, Existing, Place, Policy, Rule};

/// Something that is legal and yet worth a check. Displayed as `12:5: rules[2]: message`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyWarning {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What it is about, such as `rules[2]`.
    pub path: String,
    /// What is worth a check.
    pub message: String,
}

impl fmt::Display for PolicyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_placed(f, self.line, self.column, &self.path, &self.message)
    }
}

impl Policy {
    /// What is legal and yet likely not meant, or about to change.
    pub fn warnings(&self, now: Timestamp) -> Vec<PolicyWarning> {
        let today = utc_date(now);
        let mut warnings = Vec::new();
        let mut reports_all = false;
        let mut catch_all: Option<&str> = None;
        let mut lasting: Vec<&Rule> = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let Rule { name, selectors, unless, effect, .. } = rule;
            let mut messages = Vec::new();
            messages.extend(never_reached(rule, catch_all, &lasting));
            messages.extend(of_regions(rule));
            // An exemption that ends lets streams through some day.
            let passes = match effect {
                Effect::Exempt(exemption) => {
                    messages.extend(of_exemption(rule, exemption, today));
                    exemption.until.is_some()
                }
                Effect::Encrypt(encrypt) => {
                    messages.extend(of_key(rule, encrypt));
                    if encrypt.existing == Existing::Report && self.enforce_from.is_none() && !reports_all {
                        reports_all = true;
                        messages.push(format!(
                            "rule `{name}` only reports, also for new streams: `enforce_from` is not set, so every stream counts as existing"
                        ));
                    }
                    false
                }
            };
            if !passes {
                lasting.push(rule);
            }
            let takes_all = selectors.is_any_stream() && selectors.tags.is_empty() && unless.is_none() && !passes;
            if takes_all && catch_all.is_none() {
                catch_all = Some(name);
            }
            let Place { line, column } = rule.place;
            let placed = |message| PolicyWarning { line, column, path: format!("rules[{index}]"), message };
            warnings.extend(messages.into_iter().map(placed));
        }
        warnings
    }
}

/// Why no stream comes to a rule: one before it takes every stream, or those before it every stream that it matches, or it leaves out itself
/// what it matches.
fn never_reached(rule: &Rule, catch_all: Option<&str>, before: &[&Rule]) -> Vec<String> {
    let Rule { name, selectors, unless, .. } = rule;
    let mut warnings = Vec::new();
    if let Some(before) = catch_all {
        warnings.push(format!("rule `{name}` is never reached: the earlier rule `{before}` matches every stream"));
    } else if let Some(Rule { name: before, .. }) = before.iter().find(|before| before.covers(rule)) {
        warnings
            .push(format!("rule `{name}` is never reached: the earlier rule `{before}` matches all of its streams"));
    }
    if unless.as_ref().is_some_and(|unless| unless.cover(selectors)) {
        warnings
            .push(format!("rule `{name}` is never reached: its `unless` excludes every stream that `match` selects"));
    }
    warnings
}

/// Patterns of Regions that match none.
fn of_regions(rule: &Rule) -> impl Iterator<Item = String> {
    let Rule { name, selectors, unless, .. } = rule;
    let excepted = unless.iter().flat_map(|unless| &unless.region);
    let unknown = selectors.region.iter().chain(excepted).filter(|pattern| !matches_some(pattern));
    unknown.map(move |pattern| format!("rule `{name}`: `{pattern}` matches no Region that streamseal knows"))
}

/// What a rule's key and its guard cannot do.
fn of_key(rule: &Rule, encrypt: &Encrypt) -> Vec<String> {
    let Rule { name, selectors, .. } = rule;
    let mut warnings = Vec::new();
    if let Some(region) = encrypt.key.region()
        && !selectors.region.is_empty()
        && !selectors.region.iter().any(|pattern| pattern.matches(region))
    {
        warnings.push(format!(
            "rule `{name}`: its key is in {region}, but its `match.region` does not match that; a stream needs a key of its own Region"
        ));
    }
    warnings.extend(of_guard(&encrypt.guard).map(|message| format!("rule `{name}`: {message}")));
    warnings
}

/// What an exemption lets through for ever, or no more, or to more people than its writer may think.
fn of_exemption(rule: &Rule, exemption: &Exemption, today: Date) -> Vec<String> {
    let Rule { name, selectors, unless, .. } = rule;
    let mut warnings = Vec::new();
    match exemption.until {
        None => warnings.push(format!("the exemption of rule `{name}` never ends: add `until` with a date")),
        Some(until) if until < today => {
            warnings.push(format!("the exemption of rule `{name}` ended on {until}; the rule is skipped"));
        }
        Some(_) => {
            warnings.extend(exemption.ends_soon(today).map(|(until, days)| {
                let s = if days == 1 { "" } else { "s" };
                format!("the exemption of rule `{name}` ends on {until}, in {days} day{s}")
            }));
        }
    }
    let by_tag = !selectors.tags.is_empty() || unless.as_ref().is_some_and(|unless| !unless.tags.is_empty());
    if by_tag && is_anything(&selectors.stream) {
        warnings.push(format!(
            "rule `{name}`: the exemption depends only on tags, so anyone who can tag a stream can exempt it"
        ));
    }
    warnings
}

/// What a guard cannot do, though it is asked for it.
fn of_guard(guard: &Guard) -> Option<&'static str> {
    match (guard.watch, guard.on_break, guard.fall_back) {
        (None, OnBreak::Restore, _) => Some("`on_break: restore` has no effect because `watch` is off"),
        (Some(_), OnBreak::Restore, FallBack::None) => Some(
            "`on_break: restore` with `fall_back: none` cannot restore streams that were not encrypted before, because encryption is never stopped",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::policy::Policy;
    use crate::domain::policy::decide::tests::{NOON, policy};

    #[test]
    fn a_policy_that_changes_no_stream_says_so_once() {
        let said = |defaults: &str| {
            let rules = "rules: [{name: a, key: alias/a, match: {stream: a}}, {name: b, key: alias/b}]";
            let policy = Policy::load(&format!("{{version: 1, {defaults}{rules}}}")).unwrap();
            policy.warnings(NOON.parse().unwrap()).into_iter().map(|warning| warning.message).collect::<Vec<_>>()
        };
        let expected = "rule `a` only reports, also for new streams: `enforce_from` is not set, so every stream counts as existing";
        assert_eq!(said(""), [expected]);
        assert_eq!(said("defaults: {existing: report}, "), [expected]);
        assert_eq!(said("defaults: {existing: enforce}, "), [] as [&str; 0]);
        assert_eq!(said("defaults: {enforce_from: 2026-12-01}, "), [] as [&str; 0]);
    }

    #[test]
    fn warnings() {
        for (rules, expect) in [
            (&["key: alias/a"][..], &[][..]),
            (
                &["exempt: { reason: r, until: 2027-03-19 }"],
                &["4:5: rules[0]: the exemption of rule `r0` ended on 2027-03-19; the rule is skipped"],
            ),
            (
                &["exempt: { reason: r, until: 2027-03-20 }"],
                &["4:5: rules[0]: the exemption of rule `r0` ends on 2027-03-20, in 0 days"],
            ),
            (
                &["exempt: { reason: r, until: 2027-04-03 }"],
                &["4:5: rules[0]: the exemption of rule `r0` ends on 2027-04-03, in 14 days"],
            ),
            (&["exempt: { reason: r, until: 2027-04-04 }"], &[]),
            (
                &["key: alias/a, guard: { on_break: restore }"],
                &["4:5: rules[0]: rule `r0`: `on_break: restore` has no effect because `watch` is off"],
            ),
            (
                &["key: alias/a, guard: { watch: 20m, on_break: restore, fall_back: none }"],
                &[
                    "4:5: rules[0]: rule `r0`: `on_break: restore` with `fall_back: none` cannot restore streams that were not encrypted before, because encryption is never stopped",
                ],
            ),
            (&["key: alias/a, guard: { watch: 20m, on_break: restore }"], &[]),
            (&["key: alias/a, guard: { watch: 20m, fall_back: none }"], &[]),
            (
                &["match: { tags: { a: b }, region: 'eu-*' }, exempt: { reason: r, until: 2028-01-01 }"],
                &[
                    "4:5: rules[0]: rule `r0`: the exemption depends only on tags, so anyone who can tag a stream can exempt it",
                ],
            ),
            (
                &["match: { tags: { a: b }, stream: [x, '*'] }, exempt: { reason: r, until: 2028-01-01 }"],
                &[
                    "4:5: rules[0]: rule `r0`: the exemption depends only on tags, so anyone who can tag a stream can exempt it",
                ],
            ),
            (
                &["unless: { tags: { a: b } }, exempt: { reason: r, until: 2028-01-01 }"],
                &[
                    "4:5: rules[0]: rule `r0`: the exemption depends only on tags, so anyone who can tag a stream can exempt it",
                ],
            ),
            (&["match: { tags: { a: b }, stream: 'x*' }, exempt: { reason: r, until: 2028-01-01 }"], &[]),
            (&["match: { tags: { a: b } }, key: alias/a"], &[]),
            (
                &[
                    "match: { stream: ['a', '**'], region: '*' }, key: alias/a",
                    "key: alias/b",
                    "exempt: { reason: r, until: 2028-01-01 }",
                ],
                &[
                    "5:5: rules[1]: rule `r1` is never reached: the earlier rule `r0` matches every stream",
                    "6:5: rules[2]: rule `r2` is never reached: the earlier rule `r0` matches every stream",
                ],
            ),
            (
                &["exempt: { reason: r }"],
                &["4:5: rules[0]: the exemption of rule `r0` never ends: add `until` with a date"],
            ),
            (
                &["match: { stream: 'ab*' }, unless: { stream: ['a*', b] }, key: alias/a", "key: alias/b"],
                &["4:5: rules[0]: rule `r0` is never reached: its `unless` excludes every stream that `match` selects"],
            ),
            (&["match: { stream: 'a*' }, unless: { stream: 'ab*' }, key: alias/a", "key: alias/b"], &[]),
            (
                &["match: { region: 'us-*' }, key: 'arn:aws:kms:eu-west-1:111122223333:alias/a'", "key: alias/b"],
                &[
                    "4:5: rules[0]: rule `r0`: its key is in eu-west-1, but its `match.region` does not match that; a stream needs a key of its own Region",
                ],
            ),
            (
                &["match: { region: [eu-west-9, 'eu-*', us-iso-east-1] }, key: alias/a", "key: alias/b"],
                &["4:5: rules[0]: rule `r0`: `eu-west-9` matches no Region that streamseal knows"],
            ),
            (&["match: { region: 'eu-*' }, key: 'arn:aws:kms:eu-west-1:111122223333:alias/a'", "key: alias/b"], &[]),
            (&["match: { tags: { a: '*' } }, key: alias/a", "key: alias/b"], &[]),
            (&["unless: { stream: a }, key: alias/a", "key: alias/b"], &[]),
            (&["match: { region: 'eu-*' }, key: alias/a", "key: alias/b"], &[]),
            (&["exempt: { reason: r, until: 2028-01-01 }", "key: alias/b"], &[]),
            (
                &[
                    "match: { stream: ['a*', b] }, key: alias/a",
                    "match: { stream: [ab, 'a?c*'], region: eu-west-1 }, key: alias/b",
                ],
                &["5:5: rules[1]: rule `r1` is never reached: the earlier rule `r0` matches all of its streams"],
            ),
            (
                &[
                    "match: { stream: 'a*' }, exempt: { reason: r, until: 2028-01-01 }",
                    "match: { stream: ab }, key: alias/b",
                ],
                &[],
            ),
        ] {
            let warnings = policy(rules).warnings(NOON.parse().unwrap());
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            assert_eq!(warnings, expect, "{rules:?}");
        }
    }
}
