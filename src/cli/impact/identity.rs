//! What the policies of a role or user say of a call to KMS, as IAM's simulator answers: its own, its boundary's, the organization's.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, EvaluationResult, PolicyEvaluationDecisionType};

use super::calls::SIMULATE;
use super::search::turn;
use crate::aws::logged;
use crate::cli::context::Context;
use crate::cli::simulator::{Refusal, refusal};
use crate::domain::access::principal::Principal;
use crate::domain::access::request::{Known, through_kinesis};
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::codes::is_no_such_entity;
use crate::domain::impact::key::Identity;
use crate::domain::pace::Pace;
use crate::domain::text::EventText;
use crate::ports::CallLog;

/// What the simulator takes is not documented; this is not much.
const PER_SECOND: u32 = 5;

/// The answers so far.
pub(super) struct Identities<'a> {
    context: &'a Context,
    client: Client,
    pace: Pace,
    answers: BTreeMap<(String, String, String, String), Identity>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        let client = Client::new(&context.sdk);
        Self { context, client, pace: Pace::new(PER_SECOND, 1, PER_SECOND), answers: BTreeMap::new() }
    }

    /// What was answered of a call for a stream.
    pub(super) fn get(&self, who: &Principal, action: &str, key: &KeyArn, stream: &StreamArn) -> Identity {
        let place = (who.name.clone(), action.to_owned(), key.to_string(), stream.to_string());
        let unknown = || Identity::Unknown("its own policies were not evaluated".to_owned());
        self.answers.get(&place).cloned().unwrap_or_else(unknown)
    }

    /// Asks about some calls with one key, in one request.
    pub(super) async fn ask(&mut self, who: &Principal, actions: &[&str], key: &KeyArn, stream: &StreamArn) {
        let context = through_kinesis(who, stream, key);
        turn(&mut self.pace, self.context).await;
        let request = self
            .client
            .simulate_principal_policy()
            .policy_source_arn(&who.name)
            .set_action_names(Some(actions.iter().map(ToString::to_string).collect()))
            .resource_arns(key.as_str())
            .set_context_entries(Some(context.known().filter_map(|(name, known)| entry(name, known)).collect()));
        let answer = logged(&CallLog::default(), SIMULATE, request.send()).await;
        for action in actions {
            let identity = match &answer {
                Ok(answer) => {
                    let result = answer.evaluation_results().iter().find(|result| result.eval_action_name == *action);
                    result.map_or_else(
                        || Identity::Unknown(format!("IAM's simulator said nothing of {action}")),
                        |result| identity_of(result, &|key| context.get(key).is_some()),
                    )
                }
                Err(failure) if is_no_such_entity(failure) => Identity::Gone,
                Err(failure) => Identity::Unknown(format!("{} failed ({})", failure.call, failure.code)),
            };
            let place = (who.name.clone(), (*action).to_owned(), key.to_string(), stream.to_string());
            self.answers.insert(place, identity);
        }
    }
}

/// What an answer says. A condition on a key that the simulator has no value of may turn every answer around: that makes it unknown.
fn identity_of(result: &EvaluationResult, is_known: &dyn Fn(&str) -> bool) -> Identity {
    let missing: BTreeSet<&str> =
        result.missing_context_values().iter().map(String::as_str).filter(|key| !is_known(key)).collect();
    if !missing.is_empty() {
        let keys: Vec<&str> = missing.into_iter().collect();
        let keys = EventText::new(&keys.join(", "));
        return Identity::Unknown(format!(
            "its own policies have conditions on {keys}, which is not known before the call"
        ));
    }
    use PolicyEvaluationDecisionType::{Allowed, ExplicitDeny, ImplicitDeny};
    if !matches!(result.eval_decision, Allowed | ExplicitDeny | ImplicitDeny) {
        let said = EventText::new(result.eval_decision.as_str());
        return Identity::Unknown(format!("IAM's simulator said {said}"));
    }
    match refusal(result) {
        None => Identity::Allowed,
        Some(Refusal::NoStatement) => Identity::ImplicitDeny,
        Some(Refusal::Denied(policies)) => {
            Identity::ExplicitDeny(policies.iter().map(|policy| EventText::new(policy).to_string()).collect())
        }
        Some(Refusal::Boundary) => Identity::Boundary,
        Some(Refusal::Organization) => Identity::Organization,
    }
}

/// A condition key with its value, as the simulator takes it.
fn entry(name: &str, known: &Known) -> Option<ContextEntry> {
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
    use aws_sdk_iam::types::{OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail, Statement};

    use super::*;

    fn result(decision: &str) -> aws_sdk_iam::types::builders::EvaluationResultBuilder {
        EvaluationResult::builder().eval_action_name("kms:Decrypt").eval_decision(decision.into())
    }

    #[test]
    fn an_answer_of_the_simulator_is_read_with_what_it_lacked() {
        let boundary =
            |allows| PermissionsBoundaryDecisionDetail::builder().allowed_by_permissions_boundary(allows).build();
        let organization = |allows| OrganizationsDecisionDetail::builder().allowed_by_organizations(allows).build();
        let statement = Statement::builder().source_policy_id("p").build();
        for (result, expected) in [
            (result("allowed"), Identity::Allowed),
            (result("implicitDeny"), Identity::ImplicitDeny),
            (result("explicitDeny").matched_statements(statement), Identity::ExplicitDeny(vec!["p".into()])),
            (result("implicitDeny").permissions_boundary_decision_detail(boundary(false)), Identity::Boundary),
            (result("implicitDeny").permissions_boundary_decision_detail(boundary(true)), Identity::ImplicitDeny),
            (result("implicitDeny").organizations_decision_detail(organization(false)), Identity::Organization),
            // What is known to be so is nothing that was lacking.
            (result("allowed").missing_context_values("known"), Identity::Allowed),
        ] {
            assert_eq!(identity_of(&result.build().unwrap(), &|key| key == "known"), expected);
        }
        for decision in ["allowed", "explicitDeny", "implicitDeny"] {
            let unknown = result(decision).missing_context_values("aws:SourceVpce").build().unwrap();
            assert!(matches!(identity_of(&unknown, &|_| false), Identity::Unknown(_)), "{decision}");
        }
        assert!(matches!(identity_of(&result("novel").build().unwrap(), &|_| true), Identity::Unknown(_)));
    }
}
