//! What is said of one stream: who, in which order, what was not checked, and what to do first.

use jiff::Timestamp;

use super::finding::{Finding, Who};
use super::judge::{Access, Facts, Judged, judge};
use super::key::{Identity, Setting};
use crate::domain::access::principal::Principal;
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::model::KeyIdentity;

/// A place where users of the stream may be, and that was not checked, or not to its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotChecked {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What was found out about one stream.
#[derive(Clone, Debug)]
pub struct Report {
    /// The stream.
    pub stream: StreamArn,
    /// The key that it is on; `None` where it is not encrypted, or the key is not known.
    pub current: Option<KeyIdentity>,
    /// Whether it is encrypted at all.
    pub is_encrypted: bool,
    /// The key to be.
    pub target: KeyIdentity,
    /// How far back CloudTrail was read.
    pub since: Timestamp,
    /// When.
    pub at: Timestamp,
    /// Who uses it, those who lose access first.
    pub judged: Vec<Judged>,
    /// What was not checked.
    pub not_checked: Vec<NotChecked>,
    /// What else has to be known, for people.
    pub notes: Vec<String>,
    /// What to do first.
    pub advice: Vec<String>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A principal would lose access.
    Loss,
    /// No loss was found, and something is not known or was not checked.
    Unknown,
    /// No loss was found.
    NoLoss,
}

impl Outcome {
    /// The word of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Unknown => "unknown",
            Self::NoLoss => "no-loss",
        }
    }
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The change takes their access away.
    pub loses: usize,
    /// They have none now, nor afterwards.
    pub without: usize,
    /// It is not known.
    pub unknown: usize,
    /// They get access.
    pub gains: usize,
    /// They keep it.
    pub keeps: usize,
}

impl Report {
    /// Judges every finding. `not_checked` and `notes` are what the search for them came to besides.
    pub fn new(
        facts: &Facts<'_>,
        since: Timestamp,
        findings: &[Finding],
        mut not_checked: Vec<NotChecked>,
        notes: Vec<String>,
        identity: &dyn Fn(&Principal, &str, &KeyArn) -> Identity,
    ) -> Self {
        let mut judged: Vec<Judged> = findings.iter().map(|finding| judge(facts, finding, identity)).collect();
        judged.sort_by(|one, other| (rank(one), &one.finding.who).cmp(&(rank(other), &other.finding.who)));
        let is_encrypted = !matches!(facts.current, Setting::Unencrypted);
        let mut advice = Vec::new();
        let unobserved = match facts.current {
            Setting::Unencrypted => {
                advice.extend(stepping_stone(facts, findings));
                Some("the stream is not encrypted, so its users do not call KMS and are not recorded".to_owned())
            }
            Setting::Unknown(why) => Some(why.clone()),
            Setting::Key(_) => None,
        };
        let what = "CloudTrail's KMS events".to_owned();
        not_checked.extend(unobserved.map(|why| NotChecked { what, why }));
        not_checked.sort();
        not_checked.dedup();
        let current = match facts.current {
            Setting::Key(key) => Some(key.identity.clone()),
            Setting::Unencrypted | Setting::Unknown(_) => None,
        };
        Self {
            stream: facts.stream.clone(),
            current,
            is_encrypted,
            target: facts.target.identity.clone(),
            since,
            at: facts.now,
            judged,
            not_checked,
            notes,
            advice,
        }
    }

    /// How many of each.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for judged in &self.judged {
            let of = match judged.after.access {
                Access::Loses if judged.loses() => &mut counts.loses,
                Access::Loses => &mut counts.without,
                Access::Unknown => &mut counts.unknown,
                Access::Gains => &mut counts.gains,
                Access::Keeps | Access::NotNeeded => &mut counts.keeps,
            };
            *of += 1;
        }
        counts
    }

    /// What it comes to.
    pub fn outcome(&self) -> Outcome {
        let Counts { loses, unknown, .. } = self.counts();
        if loses > 0 {
            Outcome::Loss
        } else if unknown > 0 || !self.not_checked.is_empty() {
            Outcome::Unknown
        } else {
            Outcome::NoLoss
        }
    }

    /// One line.
    pub fn summary(&self) -> String {
        let Counts { loses, without, unknown, gains, keeps } = self.counts();
        let principals =
            |count: usize| if count == 1 { "1 principal".to_owned() } else { format!("{count} principals") };
        let mut parts = vec![if self.judged.is_empty() {
            "no user of the stream was found".to_owned()
        } else if loses == 0 {
            format!("no loss found among {}", principals(self.judged.len()))
        } else if loses == 1 {
            "1 principal would lose access".to_owned()
        } else {
            format!("{loses} principals would lose access")
        }];
        let others = [
            (keeps, ["keeps access", "keep access"]),
            (gains, ["gains access", "gain access"]),
            (without, ["has no access already", "have no access already"]),
            (unknown, ["unknown", "unknown"]),
        ];
        let others = others.iter().filter(|(count, _)| *count > 0);
        parts.extend(others.map(|(count, [one, many])| format!("{count} {}", if *count == 1 { one } else { many })));
        let places = match self.not_checked.len() {
            0 => String::new(),
            1 => "; 1 source not checked".to_owned(),
            several => format!("; {several} sources not checked"),
        };
        format!("{}{places}", parts.join(", "))
    }
}

fn rank(judged: &Judged) -> u8 {
    match judged.after.access {
        Access::Loses if judged.loses() => 0,
        Access::Unknown => 1,
        Access::Loses => 2,
        Access::Gains => 3,
        Access::Keeps | Access::NotNeeded => 4,
    }
}

/// How the users of a stream that is not encrypted get to be known. On the AWS-managed key those of the account need nothing; those of
/// other accounts can never use it.
fn stepping_stone(facts: &Facts<'_>, findings: &[Finding]) -> Vec<String> {
    let (name, argument, own) = (&facts.stream.name, facts.stream.argument(), &facts.stream.scope.account);
    let is_foreign = |finding: &Finding| match &finding.who {
        Who::Principal(who) => who.account.as_ref().is_some_and(|account| account != own),
        Who::Everybody => true,
        Who::Unnamed(_) => false,
    };
    if findings.iter().any(is_foreign) {
        return vec![format!(
            "another account uses {name}, or may use it, and cannot use the AWS-managed key: ask that account who \
             uses the stream"
        )];
    }
    vec![
        format!(
            "who uses {name} is not recorded while it is not encrypted. First put it on the AWS-managed key, for which the principals of \
             the account need no permission: streamseal seal {argument} --key alias/aws/kinesis"
        ),
        format!(
            "a day later CloudTrail names every producer and consumer: streamseal impact {argument} --since 24h --key {}",
            facts.target.identity
        ),
    ]
}
