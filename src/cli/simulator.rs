//! What an answer of IAM's policy simulator says of one call.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};

/// Why a call is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// No statement allows it.
    NoStatement,
    /// Statements of these policies deny it, which goes before all that allow.
    Denied(Vec<String>),
    /// The permissions boundary does not allow it.
    Boundary,
    /// A policy of the organization does not allow it.
    Organization,
}

/// Why a call is refused; `None` where it is allowed.
pub(crate) fn refusal(result: &EvaluationResult) -> Option<Refusal> {
    if result.eval_decision == PolicyEvaluationDecisionType::Allowed {
        return None;
    }
    if result.eval_decision == PolicyEvaluationDecisionType::ExplicitDeny {
        let policies: BTreeSet<&str> =
            result.matched_statements().iter().filter_map(|s| s.source_policy_id()).collect();
        return Some(Refusal::Denied(policies.into_iter().map(str::to_owned).collect()));
    }
    let boundary = result.permissions_boundary_decision_detail();
    if boundary.is_some_and(|boundary| !boundary.allowed_by_permissions_boundary) {
        return Some(Refusal::Boundary);
    }
    let organization = result.organizations_decision_detail();
    if organization.is_some_and(|organization| !organization.allowed_by_organizations) {
        return Some(Refusal::Organization);
    }
    Some(Refusal::NoStatement)
}
