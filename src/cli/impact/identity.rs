//! What the policies of a role or user say of a call to KMS, as IAM's simulator answers: its own, its boundary's, the organization's.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::Client;

use super::search::turn;
use crate::cli::context::Context;
use crate::cli::simulator::{Answer, Answers, Refusal, entry, simulate};
use crate::domain::access::principal::Principal;
use crate::domain::access::request::{Context as Known, STREAM_KEY, through_kinesis};
use crate::domain::arn::{KeyArn, StreamArn};
use crate::domain::codes::is_no_such_entity;
use crate::domain::failure::Failure;
use crate::domain::impact::finding::Side;
use crate::domain::impact::key::Identity;
use crate::domain::pace::Pace;
use crate::domain::text::EventText;

/// What the simulator takes is not documented; this is not much.
const PER_SECOND: u32 = 5;

/// A principal, a call and a key.
type Call = (String, String, String);

/// The answers so far.
pub(super) struct Identities<'a> {
    context: &'a Context,
    client: Client,
    pace: Pace,
    /// Whether there are several streams, which one answer may do for.
    is_shared: bool,
    /// Answers that do for every stream; `None` where the policies ask which stream it is.
    of_all: BTreeMap<Call, Option<Identity>>,
    /// Answers for one stream.
    of_one: BTreeMap<(Call, String), Identity>,
}

impl<'a> Identities<'a> {
    pub(super) fn new(context: &'a Context, is_shared: bool) -> Self {
        let client = Client::new(&context.sdk);
        let pace = Pace::new(PER_SECOND, 1, PER_SECOND);
        Self { context, client, pace, is_shared, of_all: BTreeMap::new(), of_one: BTreeMap::new() }
    }

    /// What was answered of a call for a stream.
    pub(super) fn get(&self, who: &Principal, action: &str, key: &KeyArn, stream: &StreamArn) -> Identity {
        let call = call(who, action, key);
        let known = match self.of_all.get(&call) {
            Some(Some(known)) => Some(known),
            Some(None) | None => self.of_one.get(&(call, stream.to_string())),
        };
        known.cloned().unwrap_or_else(|| Identity::Unknown("its own policies were not evaluated".to_owned()))
    }

    /// Asks about some calls with some keys: once for all streams where the policies do not ask which stream it is.
    pub(super) async fn ask(
        &mut self,
        who: &Principal,
        actions: &[&'static str],
        keys: &BTreeSet<&KeyArn>,
        stream: &StreamArn,
    ) {
        // Keys of two accounts are two requests: the account is one of the things that conditions ask for.
        let accounts: BTreeSet<&str> = keys.iter().map(|key| key.account()).collect();
        for account in accounts {
            let keys: Vec<&KeyArn> = keys.iter().filter(|key| key.account() == account).copied().collect();
            self.ask_of_one_account(who, actions, &keys, stream).await;
        }
    }

    async fn ask_of_one_account(
        &mut self,
        who: &Principal,
        actions: &[&'static str],
        keys: &[&KeyArn],
        stream: &StreamArn,
    ) {
        let Some(context) = keys.first().map(|key| through_kinesis(who, stream, key)) else { return };
        let mut rest: Vec<&KeyArn> = keys.to_vec();
        if self.is_shared {
            // What another stream's users do is asked along with it.
            let both = Side::Both.actions();
            let is_new = |key: &&KeyArn| both.iter().any(|action| !self.of_all.contains_key(&call(who, action, key)));
            let new: Vec<&KeyArn> = keys.iter().copied().filter(is_new).collect();
            if !new.is_empty() {
                let known = context.clone().without(STREAM_KEY);
                let answers = self.simulate(who, both, &arns(&new), &known).await;
                for (action, key) in each(both, &new) {
                    let answer = answers.as_ref().map(|answers| answers.of(action, key.as_str()));
                    let identity = (!asks_which_stream(&answer)).then(|| identity_of(action, answer, &context));
                    self.of_all.insert(call(who, action, key), identity);
                }
            }
            let is_open = |action: &&str, key: &KeyArn| matches!(self.of_all.get(&call(who, action, key)), Some(None));
            rest.retain(|key| actions.iter().any(|action| is_open(action, key)));
        }
        if rest.is_empty() {
            return;
        }
        let answers = self.simulate(who, actions, &arns(&rest), &context).await;
        for (action, key) in each(actions, &rest) {
            let answer = answers.as_ref().map(|answers| answers.of(action, key.as_str()));
            let place = (call(who, action, key), stream.to_string());
            self.of_one.insert(place, identity_of(action, answer, &context));
        }
    }

    /// Asks the simulator, at its rate.
    pub(super) async fn simulate(
        &mut self,
        who: &Principal,
        calls: &[&str],
        resources: &[&str],
        context: &Known,
    ) -> Result<Answers, Failure> {
        turn(&mut self.pace, self.context).await;
        let context = context.known().filter_map(|(name, known)| entry(name, known)).collect();
        simulate(&self.client, &who.name, calls, resources, context).await
    }
}

fn call(who: &Principal, action: &str, key: &KeyArn) -> Call {
    (who.name.clone(), action.to_owned(), key.to_string())
}

fn arns<'k>(keys: &[&'k KeyArn]) -> Vec<&'k str> {
    keys.iter().map(|key| key.as_str()).collect()
}

/// Every call with every key.
fn each<'k>(actions: &[&'static str], keys: &[&'k KeyArn]) -> Vec<(&'static str, &'k KeyArn)> {
    actions.iter().flat_map(|action| keys.iter().map(|key| (*action, *key))).collect()
}

fn asks_which_stream(answer: &Result<Option<Answer>, &Failure>) -> bool {
    let missing = answer.as_ref().ok().and_then(Option::as_ref).map(|answer| &answer.missing);
    missing.is_some_and(|missing| missing.iter().any(|key| key.eq_ignore_ascii_case(STREAM_KEY)))
}

/// What an answer says. A condition on a key that the simulator has no value of may turn every answer around: that makes it unknown.
fn identity_of(action: &str, answer: Result<Option<Answer>, &Failure>, context: &Known) -> Identity {
    let answer = match answer {
        Ok(Some(answer)) => answer,
        Ok(None) => return Identity::Unknown(format!("IAM's policy simulator returned nothing for {action}")),
        Err(failure) if is_no_such_entity(failure) => return Identity::Gone,
        Err(failure) => return Identity::Unknown(format!("{} failed ({})", failure.call, failure.code)),
    };
    let unknown = answer.unknown(context);
    if !unknown.is_empty() {
        let keys = EventText::new(&unknown.into_iter().collect::<Vec<_>>().join(", "));
        return Identity::Unknown(format!(
            "its own policies have conditions on {keys}, which is not known before the call"
        ));
    }
    if let Some(said) = answer.other {
        return Identity::Unknown(format!("IAM's policy simulator returned {said}"));
    }
    match answer.refusal {
        None => Identity::Allowed,
        Some(Refusal::NoStatement) => Identity::ImplicitDeny,
        Some(Refusal::Denied(policies)) => {
            Identity::ExplicitDeny(policies.iter().map(|policy| EventText::new(policy).to_string()).collect())
        }
        Some(Refusal::Boundary) => Identity::Boundary,
        Some(Refusal::Organization) => Identity::Organization,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(refusal: Option<Refusal>, missing: &[&str]) -> Answer {
        Answer { refusal, missing: missing.iter().map(ToString::to_string).collect(), other: None }
    }

    #[test]
    fn an_answer_of_the_simulator_is_read_with_what_it_lacked() {
        let who = Principal::parse("arn:aws:iam::111122223333:role/app").unwrap();
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let key = KeyArn::parse("arn:aws:kms:eu-west-1:111122223333:key/0000abcd-12ab-34cd-56ef-1234567890ab").unwrap();
        let context = through_kinesis(&who, &stream, &key);
        let read = |answer: Answer| identity_of("kms:Decrypt", Ok(Some(answer)), &context);
        for (answer, expected) in [
            (answer(None, &[]), Identity::Allowed),
            (answer(Some(Refusal::NoStatement), &[]), Identity::ImplicitDeny),
            (answer(Some(Refusal::Denied(vec!["p".into()])), &[]), Identity::ExplicitDeny(vec!["p".into()])),
            (answer(Some(Refusal::Boundary), &[]), Identity::Boundary),
            (answer(Some(Refusal::Organization), &[]), Identity::Organization),
            // What is known to be so is nothing that was lacking.
            (answer(None, &["kms:viaservice"]), Identity::Allowed),
        ] {
            assert_eq!(read(answer), expected);
        }
        for refusal in [None, Some(Refusal::NoStatement), Some(Refusal::Denied(Vec::new()))] {
            let unknown = read(answer(refusal, &["aws:SourceVpce"]));
            assert!(matches!(&unknown, Identity::Unknown(why) if why.contains("aws:SourceVpce")), "{unknown:?}");
        }
        let other = Answer { other: Some(EventText::new("novel")), ..answer(Some(Refusal::NoStatement), &[]) };
        assert!(matches!(read(other), Identity::Unknown(_)));
        assert!(matches!(identity_of("kms:Decrypt", Ok(None), &context), Identity::Unknown(_)));
        // Only policies that ask which stream it is need an answer for each.
        assert!(asks_which_stream(&Ok(Some(answer(None, &["KMS:EncryptionContext:aws:kinesis:arn"])))));
        assert!(!asks_which_stream(&Ok(Some(answer(None, &["aws:SourceVpce"])))));
    }
}
