//! Who is denied a stream's new key, as CloudTrail's KMS events show it. Metrics say that calls fail, and anybody who may put records can
//! fake that: only this says that the change is why.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::codes::class_of;
use crate::domain::failure::{Class, Fault};
use crate::domain::impact::finding::{Side, Who};
use crate::domain::impact::usage::Usage;

/// Somebody who is denied the new key and used the stream before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Who.
    pub who: Who,
    /// What it needs the key for.
    pub side: Side,
    /// How many calls the records show.
    pub calls: u64,
    /// The last one.
    pub last: Timestamp,
}

/// The change that is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'a> {
    /// Of which stream.
    pub stream: &'a StreamArn,
    /// To which key: its ARN.
    pub target: &'a str,
    /// When it was asked for.
    pub sent: Timestamp,
    /// The key that the stream was on before, by whose use its users are known; `None` where it was not encrypted.
    pub before: Option<&'a str>,
    /// Our own role: that it cannot use the key is no user's trouble.
    pub own_role: &'a str,
}

/// Who is denied the key of a change since it was made, and used the stream before: by its use of the key before, which a message cannot
/// invent, or, where there was none, unless it was refused then too.
pub fn denied(uses: &[Usage], changed: &Changed<'_>) -> Vec<Denied> {
    let Changed { stream, target, sent, before, own_role } = *changed;
    let is_on = |key: &Option<KeyArn>, arn: &str| key.as_ref().is_some_and(|key| key.as_str() == arn);
    let is_before = |usage: &&Usage| usage.at < sent && usage.stream.as_ref() == Some(stream);
    let used_it = |who: &Who| {
        let mut earlier = uses.iter().filter(is_before).filter(|usage| usage.who == *who);
        match before {
            Some(key) => earlier.any(|usage| usage.refused.is_none() && is_on(&usage.key, key)),
            None => earlier.all(|usage| usage.refused.is_none()),
        }
    };
    let is_own = |who: &Who| who.principal().is_some_and(|principal| principal.acts_as(own_role));
    let mut found: BTreeMap<(&Who, Side), Denied> = BTreeMap::new();
    for usage in uses.iter().filter(|usage| usage.at >= sent && is_denied(usage) && is_on(&usage.key, target)) {
        // A record without its parameters does not say for which stream; then it counts for whoever is known to use this one.
        let may_be_it = usage.stream.as_ref().map_or(before.is_some(), |of| of == stream);
        if !may_be_it || is_own(&usage.who) || !used_it(&usage.who) {
            continue;
        }
        let one = Denied { who: usage.who.clone(), side: usage.side, calls: 0, last: usage.at };
        let one = found.entry((&usage.who, usage.side)).or_insert(one);
        (one.calls, one.last) = (one.calls.saturating_add(1), one.last.max(usage.at));
    }
    found.into_values().collect()
}

/// Whether KMS refused the call because a permission is missing. A disabled key does not count.
fn is_denied(usage: &Usage) -> bool {
    let class = |code: &str| class_of("kms:GenerateDataKey", code, "");
    usage.refused.as_ref().is_some_and(|code| class(code.as_str()) == Class::Permanent(Fault::Access))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::domain::access::principal::Principal;
    use crate::domain::text::EventText;

    const TARGET: &str = "arn:aws:kms:eu-west-1:111122223333:key/new";
    const OLD: &str = "arn:aws:kms:eu-west-1:111122223333:key/old";
    const OURS: &str = "arn:aws:iam::111122223333:role/streamseal";

    fn at(minutes: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn stream(name: &str) -> StreamArn {
        StreamArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}")).unwrap()
    }

    fn role(name: &str) -> Who {
        Who::Principal(Principal::parse(&format!("arn:aws:iam::111122223333:role/{name}")).unwrap())
    }

    /// A use of the stream `orders` by the role `app`, so many minutes after the change.
    fn usage(minutes: i64, key: &str, refused: Option<&str>) -> Usage {
        Usage {
            stream: Some(stream("orders")),
            who: role("app"),
            side: Side::Producer,
            at: at(minutes),
            key: KeyArn::parse(&format!("arn:aws:kms:eu-west-1:111122223333:key/{key}")),
            refused: refused.map(EventText::new),
        }
    }

    fn found(uses: &[Usage], was_encrypted: bool) -> usize {
        let stream = stream("orders");
        let before = was_encrypted.then_some(OLD);
        let changed = Changed { stream: &stream, target: TARGET, sent: at(0), before, own_role: OURS };
        denied(uses, &changed).len()
    }

    #[test]
    fn who_is_denied() {
        const NO: Option<&str> = Some("AccessDenied");
        let before = || usage(-5, "old", None);
        let of = |adapt: fn(&mut Usage)| {
            let mut one = usage(1, "new", NO);
            adapt(&mut one);
            one
        };
        let rows: &[(&str, Vec<Usage>, bool, usize)] = &[
            ("used the key before", vec![before(), usage(1, "new", NO)], true, 1),
            ("used another key before", vec![usage(-5, "other", None), usage(1, "new", NO)], true, 0),
            ("nobody knows it", vec![usage(1, "new", NO)], true, 0),
            ("there was no key before", vec![usage(1, "new", NO)], false, 1),
            ("it was refused before too", vec![usage(-5, "new", NO), usage(1, "new", NO)], false, 0),
            ("it was refused the key before", vec![usage(-5, "old", NO), usage(1, "new", NO)], true, 0),
            ("before the change alone", vec![before(), usage(-1, "new", NO)], true, 0),
            ("it may", vec![before(), usage(1, "new", None)], true, 0),
            ("another key", vec![before(), usage(1, "old", NO)], true, 0),
            ("the key is disabled", vec![before(), usage(1, "new", Some("DisabledException"))], true, 0),
            ("another stream", vec![before(), of(|one| one.stream = Some(stream("bills")))], true, 0),
            (
                "used another stream before",
                vec![Usage { stream: Some(stream("bills")), ..before() }, of(|_| {})],
                true,
                0,
            ),
            ("a record without parameters", vec![before(), of(|one| one.stream = None)], true, 1),
            ("the same, of an unencrypted stream", vec![of(|one| one.stream = None)], false, 0),
            ("no key", vec![before(), of(|one| one.key = None)], true, 0),
            ("ourselves", vec![of(|one| one.who = role("streamseal"))], false, 0),
            ("both sides", vec![before(), of(|_| {}), of(|one| one.side = Side::Consumer)], true, 2),
        ];
        for (name, uses, was_encrypted, expect) in rows {
            assert_eq!(found(uses, *was_encrypted), *expect, "{name}");
        }
    }

    #[test]
    fn calls_of_one_principal_are_counted_together() {
        let refused = |minutes| usage(minutes, "new", Some("AccessDenied"));
        let stream = stream("orders");
        let changed = Changed { stream: &stream, target: TARGET, sent: at(0), before: None, own_role: OURS };
        let found = denied(&[refused(7), refused(1)], &changed);
        assert_eq!(found, [Denied { who: role("app"), side: Side::Producer, calls: 2, last: at(7) }]);
    }
}
