//! Whether one rule takes every stream that another one matches, as far as that can be determined from the two alone.
//!
//! A `true` is certain. A `false` may only mean that it was not seen: several rules together can cover one, and so can patterns
//! that overlap in ways that are not searched for here.

use wildmatch::WildMatch;

use crate::domain::policy::{Rule, Selectors};

impl Rule {
    /// Whether every stream that `later` matches is matched by this rule.
    pub(super) fn covers(&self, later: &Self) -> bool {
        let lets_through = match (&self.unless, &later.unless) {
            (None, _) => false,
            // What this one leaves out, the other one leaves out too.
            (Some(ours), Some(theirs)) => !theirs.cover(ours),
            (Some(_), None) => true,
        };
        !lets_through && self.selectors.cover(&later.selectors)
    }
}

impl Selectors {
    /// Whether streams of any name match, in any account and Region.
    pub(super) fn is_any_stream(&self) -> bool {
        self.fixed().into_iter().all(|(_, patterns, _)| is_anything(patterns))
    }

    /// Whether every stream that `other` matches is matched by these.
    pub(super) fn cover(&self, other: &Self) -> bool {
        let mut fixed = self.fixed().into_iter().zip(other.fixed());
        fixed.all(|((_, ours, _), (_, theirs, _))| is_anything(ours) || all_cover(ours, theirs))
            && self
                .tags
                .iter()
                .all(|(name, ours)| other.tags.iter().any(|(other, theirs)| other == name && all_cover(ours, theirs)))
    }
}

/// Whether any value matches.
pub(super) fn is_anything(patterns: &[WildMatch]) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.pattern_chars() == ['*'])
}

/// Whether each of `theirs` is covered by one of `ours`; none at all means any value.
fn all_cover(ours: &[WildMatch], theirs: &[WildMatch]) -> bool {
    !theirs.is_empty() && theirs.iter().all(|theirs| ours.iter().any(|ours| covers(&chars(ours), &chars(theirs))))
}

fn chars(pattern: &WildMatch) -> Vec<char> {
    pattern.pattern_chars().to_vec()
}

/// Whether `wide` matches whatever `narrow` matches: it matches the text of `narrow`, where only `*` stands for a `*`, and `?` or
/// `*` for a `?`. Row by row, since patterns with many `*` must not take exponential time.
fn covers(wide: &[char], narrow: &[char]) -> bool {
    // After each piece of `wide`: which beginnings of `narrow` it can have taken.
    let mut taken: Vec<bool> = (0..=narrow.len()).map(|length| length == 0).collect();
    for piece in wide {
        let mut next = Vec::with_capacity(taken.len());
        let mut before = false;
        let mut seen = false;
        for (index, here) in taken.iter().enumerate() {
            seen |= here;
            next.push(match piece {
                '*' => seen,
                '?' => before && index.checked_sub(1).and_then(|i| narrow.get(i)).is_some_and(|c| *c != '*'),
                literal => before && index.checked_sub(1).and_then(|i| narrow.get(i)) == Some(literal),
            });
            before = *here;
        }
        taken = next;
    }
    taken.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::Policy;

    #[test]
    fn patterns() {
        for (wide, narrow, expect) in [
            ("a*", "ab", true),
            ("a*", "a", true),
            ("a*", "a*", true),
            ("a*", "a?*", true),
            ("a*", "*a", false),
            ("*", "*", true),
            ("*", "a?*", true),
            ("?", "*", false),
            ("?", "?", true),
            ("?", "a", true),
            ("a", "?", false),
            ("*?*", "a", true),
            ("*?*", "*", false),
            ("a*c", "abbc", true),
            ("a*c", "a*c*", false),
            ("a*b*c", "axb?c", true),
            ("ab", "a", false),
            ("a", "ab", false),
        ] {
            let (wide, narrow) = (WildMatch::new(wide), WildMatch::new(narrow));
            assert_eq!(covers(&chars(&wide), &chars(&narrow)), expect, "{wide} {narrow}");
        }
    }

    #[test]
    fn rules() {
        let rule = |fields: &str| {
            let text = format!("version: 1\nrules: [{{ name: a, {fields}, exempt: {{ reason: r }} }}]");
            Policy::load(&text).unwrap().rules.remove(0)
        };
        for (earlier, later, expect) in [
            ("match: { stream: 'a*' }", "match: { stream: [ab, ac] }", true),
            ("match: { stream: 'a*' }", "match: { stream: [ab, bc] }", false),
            ("match: { stream: 'a*' }", "match: { region: eu-west-1 }", false),
            ("match: { stream: 'a*', region: 'eu-*' }", "match: { stream: ab }", false),
            ("match: { stream: 'a*', region: '*' }", "match: { stream: ab }", true),
            ("match: { tags: { t: '*' } }", "match: { tags: { t: x, u: y } }", true),
            ("match: { tags: { t: '*' } }", "match: { tags: { u: y } }", false),
            ("match: { tags: { t: x } }", "match: { tags: { t: [x, y] } }", false),
            ("match: { stream: 'a*' }, unless: { stream: ab }", "match: { stream: ab }", false),
            (
                "match: { stream: 'a*' }, unless: { stream: ab }",
                "match: { stream: 'a*' }, unless: { stream: '?b' }",
                true,
            ),
            (
                "match: { stream: 'a*' }, unless: { stream: '?b' }",
                "match: { stream: 'a*' }, unless: { stream: ab }",
                false,
            ),
            ("match: { stream: 'a*' }", "match: { stream: 'a*' }, unless: { stream: ab }", true),
        ] {
            assert_eq!(rule(earlier).covers(&rule(later)), expect, "{earlier} / {later}");
        }
    }
}
