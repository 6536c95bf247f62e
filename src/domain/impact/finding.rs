//! Who uses a stream, and where that was found.

use jiff::Timestamp;

use crate::domain::access::principal::Principal;
use crate::domain::arn::KeyArn;
use crate::domain::text::EventText;

/// Who was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A principal.
    Principal(Principal),
    /// Somebody whose principal no API names, such as a registered consumer.
    Unnamed(EventText),
    /// The `*` of a resource policy.
    Everybody,
}

/// What it does with the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It writes, and needs `kms:GenerateDataKey`.
    Producer,
    /// It reads, and needs `kms:Decrypt`.
    Consumer,
    /// Both.
    Both,
}

/// How well it is known, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// CloudTrail shows its use of a key for this stream.
    Observed,
    /// A resource names both the role and the stream.
    Configured,
    /// Its policies allow it.
    Permitted,
}

/// One place where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// How well it is known.
    pub tier: Tier,
    /// Where, for people.
    pub how: String,
    /// When it last used the stream.
    pub last_seen: Option<Timestamp>,
    /// The key that it then used with success.
    pub used: Option<KeyArn>,
}

/// Somebody who uses the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Who.
    pub who: Who,
    /// What it does.
    pub side: Side,
    /// Where it was found, the best first.
    pub found: Vec<Found>,
}

impl Side {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Both => "both",
        }
    }

    /// What it needs of KMS (Kinesis developer guide, permissions to use user-generated KMS keys).
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Producer => &["kms:GenerateDataKey"],
            Self::Consumer => &["kms:Decrypt"],
            Self::Both => &["kms:Decrypt", "kms:GenerateDataKey"],
        }
    }

    /// Whether it reads.
    pub fn consumes(self) -> bool {
        matches!(self, Self::Consumer | Self::Both)
    }

    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Both }
    }
}

impl Tier {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Configured => "configured",
            Self::Permitted => "permitted",
        }
    }
}

impl Who {
    /// The principal, where it is known.
    pub fn principal(&self) -> Option<&Principal> {
        match self {
            Self::Principal(principal) => Some(principal),
            Self::Unnamed(_) | Self::Everybody => None,
        }
    }

    /// Its ARN, or what is known instead.
    pub fn name(&self) -> &str {
        match self {
            Self::Principal(principal) => &principal.name,
            Self::Unnamed(what) => what.as_str(),
            Self::Everybody => "*",
        }
    }
}

impl Finding {
    /// Found in one place.
    pub fn new(who: Who, side: Side, tier: Tier, how: impl Into<String>) -> Self {
        Self { who, side, found: vec![Found { tier, how: how.into(), last_seen: None, used: None }] }
    }

    /// The best of its tiers.
    pub fn tier(&self) -> Option<Tier> {
        self.found.iter().map(|found| found.tier).min()
    }

    /// Whether it used `key` with success, and when.
    pub fn used(&self, key: &KeyArn) -> Option<Timestamp> {
        let uses = self.found.iter().filter(|found| found.used.as_ref() == Some(key));
        uses.filter_map(|found| found.last_seen).max()
    }
}

/// Each principal once, with every place where it was found; in the order of their names.
pub fn merged(findings: impl IntoIterator<Item = Finding>) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for finding in findings {
        match all.iter_mut().find(|known| known.who == finding.who) {
            Some(known) => {
                known.side = known.side.and(finding.side);
                for found in finding.found {
                    add(&mut known.found, found);
                }
            }
            None => all.push(finding),
        }
    }
    for finding in &mut all {
        finding.found.sort_by(|one, other| (one.tier, &one.how).cmp(&(other.tier, &other.how)));
    }
    all.sort_by(|one, other| one.who.cmp(&other.who));
    all
}

/// One line for a place, with the latest time.
fn add(known: &mut Vec<Found>, found: Found) {
    match known.iter_mut().find(|it| (it.tier, &it.how, &it.used) == (found.tier, &found.how, &found.used)) {
        Some(it) => it.last_seen = it.last_seen.max(found.last_seen),
        None => known.push(found),
    }
}
