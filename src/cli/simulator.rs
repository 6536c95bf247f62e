//! IAM's policy simulator: the one request that is made of it, and what its answer says of each call on each resource.

use std::collections::BTreeSet;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{
    ContextEntry, ContextKeyTypeEnum, EvaluationResult, PermissionsBoundaryDecisionDetail,
    PolicyEvaluationDecisionType, Statement,
};

use crate::aws::logged;
use crate::domain::access::request::{Context, Known};
use crate::domain::failure::Failure;
use crate::domain::text::EventText;
use crate::ports::CallLog;

/// The name of the request.
pub(crate) const SIMULATE: &str = "iam:SimulatePrincipalPolicy";

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

/// What is said of one call on one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Why it is refused; `None` where it is allowed.
    pub(crate) refusal: Option<Refusal>,
    /// The condition keys of the policies that the request had no value of.
    pub(crate) missing: BTreeSet<String>,
    /// The word of a decision that is not known here.
    pub(crate) other: Option<EventText>,
}

impl Answer {
    /// The condition keys that the answer may turn on: the request had no value of them, and nothing else is known of them.
    pub(crate) fn unknown(&self, context: &Context) -> BTreeSet<String> {
        self.missing.iter().filter(|key| context.get(key).is_none()).cloned().collect()
    }
}

/// What is said of all calls of a request.
#[derive(Debug)]
pub(crate) struct Answers {
    results: Vec<EvaluationResult>,
    /// The resource, where the request named one alone.
    only: Option<String>,
}

/// Asks whether the policies of `who` allow each of `calls` on each of `resources`.
pub(crate) async fn simulate(
    client: &Client,
    who: &str,
    calls: &[&str],
    resources: &[&str],
    context: Vec<ContextEntry>,
) -> Result<Answers, Failure> {
    let texts = |all: &[&str]| Some(all.iter().map(ToString::to_string).collect());
    let request = client
        .simulate_principal_policy()
        .policy_source_arn(who)
        .set_action_names(texts(calls))
        .set_resource_arns(texts(resources))
        .set_context_entries(Some(context));
    // A page has a hundred calls with all of their resources, and nobody asks for as many.
    let answer = logged(&CallLog::default(), SIMULATE, request.send()).await?;
    let only = match resources {
        [one] => Some((*one).to_owned()),
        _ => None,
    };
    Ok(Answers { results: answer.evaluation_results.unwrap_or_default(), only })
}

impl Answers {
    /// What is said of a call on a resource; `None` where nothing is.
    pub(crate) fn of(&self, call: &str, resource: &str) -> Option<Answer> {
        let of_call = || self.results.iter().filter(|result| result.eval_action_name == call);
        let named = of_call().find_map(|result| {
            let one = result.resource_specific_results().iter().find(|one| one.eval_resource_name == resource)?;
            let missing = result.missing_context_values().iter().chain(one.missing_context_values());
            let boundary = one.permissions_boundary_decision_detail().or(result.permissions_boundary_decision_detail());
            Some(answer(result, &one.eval_resource_decision, one.matched_statements(), boundary, missing))
        });
        named.or_else(|| {
            let is_it = |result: &&EvaluationResult| result.eval_resource_name() == Some(resource);
            let is_only = self.only.as_deref() == Some(resource);
            let result = of_call().find(is_it).or_else(|| of_call().next().filter(|_| is_only))?;
            // Of a request with resources the keys that were missing may be with those alone (IAM API reference, EvaluationResult).
            let each = result.resource_specific_results().iter().flat_map(|one| one.missing_context_values());
            let missing = result.missing_context_values().iter().chain(each);
            let boundary = result.permissions_boundary_decision_detail();
            Some(answer(result, &result.eval_decision, result.matched_statements(), boundary, missing))
        })
    }
}

fn answer<'a>(
    result: &EvaluationResult,
    decision: &PolicyEvaluationDecisionType,
    matched: &[Statement],
    boundary: Option<&PermissionsBoundaryDecisionDetail>,
    missing: impl Iterator<Item = &'a String>,
) -> Answer {
    use PolicyEvaluationDecisionType::{Allowed, ExplicitDeny, ImplicitDeny};
    let is_known = matches!(decision, Allowed | ExplicitDeny | ImplicitDeny);
    let other = (!is_known).then(|| EventText::new(decision.as_str()));
    let organization = result.organizations_decision_detail();
    let refusal = match decision {
        Allowed => None,
        ExplicitDeny => {
            let policies: BTreeSet<&str> = matched.iter().filter_map(|s| s.source_policy_id()).collect();
            Some(Refusal::Denied(policies.into_iter().map(str::to_owned).collect()))
        }
        _ if boundary.is_some_and(|boundary| !boundary.allowed_by_permissions_boundary) => Some(Refusal::Boundary),
        _ if organization.is_some_and(|of| !of.allowed_by_organizations) => Some(Refusal::Organization),
        _ => Some(Refusal::NoStatement),
    };
    Answer { refusal, missing: missing.cloned().collect(), other }
}

/// A condition key with its value, as the simulator takes it.
pub(crate) fn entry(name: &str, known: &Known) -> Option<ContextEntry> {
    let entry = ContextEntry::builder().context_key_name(name);
    let (kind, values) = match known {
        Known::One(value) if value == "true" || value == "false" => (ContextKeyTypeEnum::Boolean, vec![value.clone()]),
        Known::One(value) => (ContextKeyTypeEnum::String, vec![value.clone()]),
        Known::Many(values) => (ContextKeyTypeEnum::StringList, values.clone()),
        Known::Absent => return None,
    };
    Some(entry.context_key_type(kind).set_context_key_values(Some(values)).build())
}

#[cfg(test)]
mod tests {
    use aws_sdk_iam::types::builders::EvaluationResultBuilder;
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, ResourceSpecificResult};

    use super::*;

    const CALL: &str = "sqs:SendMessage";

    fn result(decision: &str) -> EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name(CALL).eval_decision(decision.into())
    }

    fn boundary(allows: bool) -> PermissionsBoundaryDecisionDetail {
        PermissionsBoundaryDecisionDetail::builder().allowed_by_permissions_boundary(allows).build()
    }

    fn statement(policy: &str) -> Statement {
        Statement::builder().source_policy_id(policy).build()
    }

    /// What is said of the one resource that was asked about.
    fn only(result: EvaluationResultBuilder) -> Option<Answer> {
        Answers { results: vec![result.build().unwrap()], only: Some("a".to_owned()) }.of(CALL, "a")
    }

    #[test]
    fn a_refusal_is_that_of_what_refuses() {
        let organization = OrganizationsDecisionDetail::builder().allowed_by_organizations(false).build();
        for (result, expected) in [
            (result("allowed"), None),
            (result("implicitDeny"), Some(Refusal::NoStatement)),
            (result("explicitDeny").matched_statements(statement("p")), Some(Refusal::Denied(vec!["p".into()]))),
            (result("explicitDeny"), Some(Refusal::Denied(vec![]))),
            (result("implicitDeny").permissions_boundary_decision_detail(boundary(false)), Some(Refusal::Boundary)),
            (result("implicitDeny").permissions_boundary_decision_detail(boundary(true)), Some(Refusal::NoStatement)),
            (result("implicitDeny").organizations_decision_detail(organization), Some(Refusal::Organization)),
        ] {
            assert_eq!(only(result).unwrap().refusal, expected);
        }
        assert_eq!(only(result("novel")).unwrap().other, Some(EventText::new("novel")));
    }

    /// In the shapes that AWS was seen to answer: with several resources the result of a call names none of them.
    #[test]
    fn each_resource_has_its_own_answer() {
        let of = |name: &str, decision: &str| {
            ResourceSpecificResult::builder().eval_resource_name(name).eval_resource_decision(decision.into())
        };
        let denied = of("b", "explicitDeny").matched_statements(statement("p"));
        let bounded = of("c", "implicitDeny").permissions_boundary_decision_detail(boundary(false));
        let lacking = of("d", "implicitDeny").missing_context_values("aws:SourceVpce");
        let all = [of("a", "allowed"), denied, bounded, lacking].map(|one| one.build().unwrap());
        let aggregate = result("implicitDeny").eval_resource_name("arn:aws:sqs:*:${Account}:${Queue}");
        let aggregate = aggregate.set_resource_specific_results(Some(all.to_vec())).build().unwrap();
        let answers = Answers { results: vec![aggregate], only: None };
        let refusal = |resource| answers.of(CALL, resource).unwrap().refusal;
        assert_eq!(refusal("a"), None);
        assert_eq!(refusal("b"), Some(Refusal::Denied(vec!["p".into()])));
        assert_eq!(refusal("c"), Some(Refusal::Boundary));
        assert_eq!(answers.of(CALL, "d").unwrap().missing, BTreeSet::from(["aws:SourceVpce".to_owned()]));
        assert!(answers.of(CALL, "a").unwrap().missing.is_empty());
        // Nothing is said of what was not asked.
        assert_eq!((answers.of(CALL, "e"), answers.of("sqs:ReceiveMessage", "a")), (None, None));
        // Of one resource the keys may be in either place, whatever the resource is called.
        let one = of("a", "allowed").missing_context_values("aws:SourceIp").build().unwrap();
        let found = only(result("allowed").resource_specific_results(one).missing_context_values("aws:SourceVpce"));
        let expected = ["aws:SourceIp", "aws:SourceVpce"].map(str::to_owned);
        assert_eq!(found.unwrap().missing, BTreeSet::from(expected));
        assert_eq!(only(result("allowed").eval_resource_name("*")).unwrap().refusal, None);
    }
}
