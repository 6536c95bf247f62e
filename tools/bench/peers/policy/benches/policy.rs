//! How long a policy of a thousand rules takes to load, and to decide one stream: by its first rule, by its last, and by none.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::Timestamp;
use streamseal::domain::model::Tags;
use streamseal::domain::arn::{Scope, StreamName};
use streamseal::domain::policy::Policy;

/// Rules by name, by tag and by both, as teams write them; the last takes every stream that has a tag `team`.
fn thousand() -> String {
    let mut text = String::from("version: 1\ndefaults: { existing: enforce }\nrules:\n");
    for i in 0..999 {
        let match_ = match i % 3 {
            0 => format!("stream: \"team-{i}-*\""),
            1 => format!("tags: {{ data-class: [\"class-{i}\", \"class-{i}-*\"] }}"),
            _ => format!("stream: \"*-{i}-events\", tags: {{ team: \"team-{i}\" }}"),
        };
        let _ = writeln!(text, "  - {{ name: \"rule-{i}\", match: {{ {match_} }}, key: alias/key-{i} }}");
    }
    text.push_str("  - { name: last, match: { tags: { team: \"*\" } }, key: alias/last }\n");
    text
}

fn policy(c: &mut Criterion) {
    let text = thousand();
    let load = || Policy::load(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
    let policy = load();
    let scope = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
    let now: Timestamp = "2026-08-07T12:00:00Z".parse().unwrap();
    let stream = |name: &str| scope.stream(StreamName::parse(name).unwrap());
    let tags = |pairs: &[(&str, &str)]| -> Tags { pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() };

    let mut group = c.benchmark_group("a thousand rules");
    group.bench_function("load", |b| b.iter(|| black_box(load())));
    group.throughput(Throughput::Elements(1));
    let cases = [
        ("decide by the first rule", stream("team-0-orders"), tags(&[]), Some("rule-0")),
        ("decide by the last rule", stream("orders"), tags(&[("team", "payments"), ("data-class", "pii")]), Some("last")),
        ("decide by no rule", stream("orders"), tags(&[("data-class", "pii")]), None),
    ];
    for (name, stream, tags, rule) in cases {
        let decided = policy.decide(&stream, &tags, now).rule.map(|rule| rule.name);
        assert_eq!(decided.as_deref(), rule, "{name}");
        group.bench_function(name, |b| b.iter(|| policy.decide(black_box(&stream), black_box(&tags), now)));
    }
    group.finish();
}

criterion_group!(benches, policy);
criterion_main!(benches);
