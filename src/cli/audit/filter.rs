//! Which streams an audit is about, and which of them it lists.

use serde_json::{Value, json};
use wildmatch::WildMatch;

use crate::cli::arguments::{Globals, options, switch};
use crate::cli::output::Stop;
use crate::domain::arn::StreamName;
use crate::domain::evidence::Evidence;
use crate::domain::policy::Policy;
use crate::domain::verdict::Compliance;

/// What the audit was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) globals: Globals,
    /// The audit's own options, but for those of [`Filter`], of its form and of where it is written.
    pub(super) options: String,
    pub(super) all_regions: bool,
}

/// Which streams.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only streams that this rule decides
    #[arg(long, value_name = "RULE")]
    only: Option<String>,
    /// Only streams whose name matches, such as `orders-*`; may be given several times. Others are not observed
    #[arg(long, value_name = "GLOB")]
    stream: Vec<String>,
    /// List only streams that are non-compliant; all are counted
    #[arg(long)]
    non_compliant: bool,
}

impl Filter {
    /// Whether the rule that it names is there.
    pub(super) fn check(&self, policy: &Policy) -> Result<(), Stop> {
        self.only.as_ref().map_or(Ok(()), |only| has_rule(policy, only))
    }

    /// Whether a stream of this name is observed.
    pub(super) fn observes(&self, name: &StreamName) -> bool {
        self.stream.is_empty() || self.stream.iter().any(|glob| WildMatch::new(glob).matches(name.as_str()))
    }

    /// Whether the audit is about a stream that was observed.
    pub(super) fn is_about(&self, rule: Option<&str>) -> bool {
        self.only.is_none() || rule == self.only.as_deref()
    }

    /// Whether a stream is listed.
    pub(super) fn lists(&self, evidence: &Evidence) -> bool {
        !self.non_compliant || evidence.verdict.compliance == Compliance::NonCompliant
    }

    /// Whether streams of every name are observed.
    pub(super) fn is_of_all_names(&self) -> bool {
        self.stream.is_empty()
    }

    /// Whether the audit is not about every stream.
    pub(super) fn leaves_out(&self) -> bool {
        self.only.is_some() || !self.stream.is_empty()
    }

    /// The option that names the rule.
    pub(super) fn of_rule(&self) -> String {
        options("only", &self.only)
    }

    /// The options as they are typed.
    pub(super) fn given(&self) -> String {
        self.of_rule() + &options("stream", &self.stream) + &switch("non-compliant", self.non_compliant)
    }

    /// What is left out, in words; empty where nothing is.
    pub(super) fn words(&self) -> String {
        let mut words = Vec::new();
        if let Some(only) = &self.only {
            words.push(format!("only rule {only}"));
        }
        if !self.stream.is_empty() {
            words.push(format!("only streams {}", self.stream.join(" or ")));
        }
        if self.non_compliant {
            words.push("only non-compliant streams are listed".to_owned());
        }
        words.join(", ")
    }

    pub(super) fn to_json(&self) -> Value {
        json!({"rule": self.only, "streams": self.stream, "non_compliant": self.non_compliant})
    }
}

/// A rule that is named on the command line has to be there.
pub(crate) fn has_rule(policy: &Policy, named: &str) -> Result<(), Stop> {
    if policy.rules.iter().any(|rule| rule.name == named) {
        return Ok(());
    }
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    let stop = Stop::usage(format!("the policy has no rule `{named}`"));
    Err(stop.help(format!("its rules are {}", names.join(", "))))
}
