//! Why a policy decides as it does: beside the decision, what each rule before it lacked. For people; runs go by
//! [`Policy::decide`], and tests hold the two together.

use jiff::Timestamp;
use wildmatch::WildMatch;

use crate::domain::arn::StreamArn;
use crate::domain::model::Tags;
use crate::domain::policy::decide::utc_date;
use crate::domain::policy::{Decision, Effect, Place, Policy, Rule, RuleId, Selectors};
use crate::domain::text::EventText;

/// A decision and how it came to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The rules that were tried before, in their order; all of them where none matches.
    pub passed_over: Vec<PassedOver>,
}

/// A rule that did not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub rule: RuleId,
    /// Where it starts in the policy's text.
    pub place: Place,
    /// What it lacked; at least one reason.
    pub why: Vec<String>,
}

impl Policy {
    /// The decision for `stream` at `now`, and why each rule before it did not decide.
    pub fn explain(&self, stream: &StreamArn, tags: &Tags, now: Timestamp) -> Explanation {
        let mut passed_over = Vec::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let why = rule.lacks(stream, tags, now);
            if why.is_empty() {
                break;
            }
            passed_over.push(PassedOver { rule: RuleId { index, name: rule.name.clone() }, place: rule.place, why });
        }
        Explanation { decision: self.decide(stream, tags, now), passed_over }
    }
}

impl Rule {
    /// Why it does not decide this stream; nothing where it does.
    fn lacks(&self, stream: &StreamArn, tags: &Tags, now: Timestamp) -> Vec<String> {
        let why = self.selectors.lacks(stream, tags);
        if !why.is_empty() {
            return why;
        }
        if let Some(left_out) = self.unless.as_ref().and_then(|unless| unless.matched(stream, tags)) {
            return vec![format!("its `unless` matches: {}", left_out.join(" and "))];
        }
        match &self.effect {
            Effect::Exempt(exemption) if exemption.ended(utc_date(now)) => {
                exemption.until.map(|until| format!("its exemption ended on {until}")).into_iter().collect()
            }
            Effect::Exempt(_) | Effect::Encrypt(_) => Vec::new(),
        }
    }
}

impl Selectors {
    /// A phrase for each selector that does not match.
    fn lacks(&self, stream: &StreamArn, tags: &Tags) -> Vec<String> {
        let mut why = Vec::new();
        for (what, patterns, value_of) in self.fixed() {
            let value = value_of(stream);
            if !patterns.is_empty() && !patterns.iter().any(|p| p.matches(value)) {
                why.push(format!("{what} `{value}` does not match {}", alternatives(patterns)));
            }
        }
        for (name, patterns) in &self.tags {
            let name_reported = EventText::new(name);
            match tags.get(name) {
                None => why.push(format!("there is no tag `{name_reported}`")),
                Some(value) if patterns.iter().any(|p| p.matches(value)) => {}
                Some(value) => {
                    let value = EventText::new(value);
                    why.push(format!(
                        "tag `{name_reported}` is `{value}` and does not match {}",
                        alternatives(patterns)
                    ));
                }
            }
        }
        why
    }
}

fn alternatives(patterns: &[WildMatch]) -> String {
    let patterns: Vec<String> =
        patterns.iter().map(|pattern| format!("`{}`", EventText::new(&pattern.to_string()))).collect();
    patterns.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_before_says_what_it_lacked() {
        let text = "
version: 1
defaults: { existing: enforce }
rules:
  - { name: ended, exempt: { reason: r, until: 2020-01-01 } }
  - { name: other, match: { stream: [x, 'y*'], tags: { t: a, u: '*' }, region: 'us-*', account: '9*' }, key: alias/a }
  - { name: left-out, match: { stream: 'or*' }, unless: { tags: { t: b } }, key: alias/b }
  - { name: rest, key: alias/c }
  - { name: after, key: alias/d }
";
        let policy = Policy::load(text).unwrap();
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let tags = Tags::from([("t".into(), "b".into())]);
        let explained = policy.explain(&stream, &tags, "2026-01-01T00:00:00Z".parse().unwrap());
        let reported: Vec<(usize, &str, String)> =
            explained.passed_over.iter().map(|p| (p.place.line, p.rule.name.as_str(), p.why.join("; "))).collect();
        let lacks = "stream `orders` does not match `x` or `y*`; account `111122223333` does not match `9*`; region `eu-west-1` \
                     does not match `us-*`; tag `t` is `b` and does not match `a`; there is no tag `u`";
        assert_eq!(
            reported,
            [
                (5, "ended", "its exemption ended on 2020-01-01".to_owned()),
                (6, "other", lacks.to_owned()),
                (7, "left-out", "its `unless` matches: tag `t` is `b` and matches `b`".to_owned()),
            ]
        );
        assert_eq!(explained.decision.rule, Some(RuleId { index: 3, name: "rest".into() }));
    }
}
