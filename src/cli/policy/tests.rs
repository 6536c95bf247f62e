//! Rules that are made up: `explain` agrees with `decide`, and a rule that is called unreachable never decides.

use proptest::prelude::*;

use crate::domain::arn::StreamArn;
use crate::domain::model::Tags;
use crate::domain::policy::Policy;

/// A pattern over a small alphabet, so that patterns and names meet often.
fn pattern() -> impl Strategy<Value = String> {
    "[ab*?]{1,3}"
}

fn selectors() -> impl Strategy<Value = String> {
    let stream = proptest::option::of(proptest::collection::vec(pattern(), 1..3));
    let tag = proptest::option::of(("[tu]", pattern()));
    let region = proptest::option::of(prop_oneof![Just("eu-*"), Just("*"), Just("us-east-1")]);
    (stream, tag, region).prop_filter_map("no selector", |(stream, tag, region)| {
        let mut all = Vec::new();
        all.extend(stream.map(|patterns| format!("stream: ['{}']", patterns.join("', '"))));
        all.extend(tag.map(|(name, pattern)| format!("tags: {{ {name}: '{pattern}' }}")));
        all.extend(region.map(|region| format!("region: '{region}'")));
        (!all.is_empty()).then(|| format!("{{ {} }}", all.join(", ")))
    })
}

fn rule() -> impl Strategy<Value = String> {
    let until = prop_oneof![Just(""), Just(", until: 2020-01-01"), Just(", until: 2099-01-01")];
    let effect =
        prop_oneof![Just("key: alias/k".to_owned()), until.prop_map(|u| format!("exempt: {{ reason: r{u} }}"))];
    (proptest::option::of(selectors()), proptest::option::weighted(0.3, selectors()), effect).prop_map(
        |(matches, unless, effect)| {
            let matches = matches.map(|m| format!("match: {m}, ")).unwrap_or_default();
            let unless = unless.map(|u| format!("unless: {u}, ")).unwrap_or_default();
            format!("{matches}{unless}{effect}")
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    proptest::collection::vec(rule(), 1..5).prop_map(|rules| {
        let rules: Vec<String> =
            rules.iter().enumerate().map(|(i, r)| format!("  - {{ name: r{i}, {r} }}\n")).collect();
        let text = format!("version: 1\ndefaults: {{ existing: enforce }}\nrules:\n{}", rules.concat());
        Policy::load(&text).unwrap_or_else(|faults| panic!("{text}{faults:?}"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn explain_agrees_with_decide_and_what_is_unreachable_never_decides(
        policy in policy(),
        streams in proptest::collection::vec(("[ab]{1,3}", proptest::option::of("[ab]{0,2}"), proptest::option::of("[ab]{0,2}"), any::<bool>()), 8),
    ) {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let unreachable: Vec<String> = policy
            .warnings(now)
            .into_iter()
            .filter(|warning| warning.message.contains("is never reached"))
            .map(|warning| warning.path)
            .collect();
        for (name, t, u, eu) in streams {
            let region = if eu { "eu-west-1" } else { "us-east-1" };
            let stream = StreamArn::parse(&format!("arn:aws:kinesis:{region}:111122223333:stream/{name}")).unwrap();
            let tags: Tags = [("t", t), ("u", u)].into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect();
            let explained = policy.explain(&stream, &tags, now);
            prop_assert_eq!(&explained.decision, &policy.decide(&stream, &tags, now));
            let index = explained.decision.rule.as_ref().map_or(policy.rules.len(), |rule| rule.index);
            prop_assert_eq!(explained.passed_over.len(), index);
            prop_assert!(explained.passed_over.iter().all(|passed| !passed.why.is_empty()));
            prop_assert!(!unreachable.contains(&format!("rules[{index}]")), "{} decided by rules[{}]", stream, index);
        }
    }
}
