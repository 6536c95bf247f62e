//! A policy document: what its statements say of one request.

use serde_json::Value;

use super::condition::met;
use super::glob::{Pattern, resource_matches};
use super::principal::{Named, entries};
use super::request::Request;
use super::truth::{Doubt, Truth};
use crate::domain::text::EventText;

/// A policy, as it was read. Any text is one: what cannot be read makes every answer unknown.
#[derive(Clone, Debug)]
pub struct Document {
    statements: Vec<Statement>,
    /// Why it cannot be read.
    unreadable: Option<Doubt>,
}

#[derive(Clone, Debug)]
struct Statement {
    /// Its `Sid`, or its number.
    name: EventText,
    body: Value,
    /// Whether what it says is certain, as far as it can be said without a request.
    sound: Truth,
}

/// The elements of a statement.
const ELEMENTS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
/// The version of the language in which `${…}` is a variable.
const VERSION: &str = "2012-10-17";

/// Where a policy is attached, and so what its elements mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The policy of a key or of another resource: it names principals.
    Resource,
    /// A policy of a role or a user, which is the principal.
    Identity,
}

/// What a policy says of a request. The three are asked apart: a Deny outweighs both others, whatever is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether a statement denies it.
    pub denied: Said,
    /// Whether a statement allows it to the principal itself, or to everybody.
    pub allowed: Said,
    /// Whether a statement leaves it to the policies of the principal's account.
    pub delegated: Said,
}

/// One answer, with the statement that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The answer.
    pub truth: Truth,
    /// The `Sid` or the number of the statement that says so; `None` for a no.
    pub by: Option<EventText>,
}

impl Said {
    fn no() -> Self {
        Self { truth: Truth::No, by: None }
    }

    /// The first that is sure, else the first that is unknown.
    fn or(self, truth: Truth, by: &EventText) -> Self {
        match (&self.truth, &truth) {
            (Truth::Yes, _) | (_, Truth::No) | (Truth::Unknown(_), Truth::Unknown(_)) => self,
            (Truth::No, _) | (Truth::Unknown(_), Truth::Yes) => Self { truth, by: Some(by.clone()) },
        }
    }

    /// The reason where it is unknown, with the statement.
    pub fn doubt(&self) -> Option<String> {
        let Truth::Unknown(doubt) = &self.truth else { return None };
        let of = self.by.as_ref().map(|by| format!("statement {by}: ")).unwrap_or_default();
        Some(format!("{of}{doubt}"))
    }
}

impl Document {
    /// Reads a document from its JSON.
    pub fn read(text: &str) -> Self {
        match serde_json::from_str(text) {
            Ok(value) => Self::of(&value),
            Err(_) => Self::unreadable("the document"),
        }
    }

    /// A document that denies and allows nothing, as that of a resource without a policy.
    pub fn empty() -> Self {
        Self { statements: Vec::new(), unreadable: None }
    }

    fn unreadable(what: &str) -> Self {
        Self { statements: Vec::new(), unreadable: Some(Doubt::Unreadable(EventText::new(what))) }
    }

    /// The same from a value.
    pub fn of(value: &Value) -> Self {
        let Value::Object(members) = value else { return Self::unreadable("the document") };
        let bodies = match members.get("Statement") {
            Some(Value::Array(all)) => all.clone(),
            Some(one @ Value::Object(_)) => vec![one.clone()],
            None if members.is_empty() => Vec::new(),
            _ => return Self::unreadable("its Statement"),
        };
        let has_variables = members.get("Version").is_some_and(|version| version == VERSION);
        let statements = bodies.into_iter().enumerate().map(|(index, body)| {
            let sid = body.get("Sid").and_then(Value::as_str).filter(|sid| !sid.is_empty());
            let name = sid.map_or_else(|| EventText::new(&format!("{}", index + 1)), EventText::new);
            let sound = sound(&body, has_variables);
            Statement { name, body, sound }
        });
        Self { statements: statements.collect(), unreadable: None }
    }

    /// The same without the statements that are surely about none of these actions: its answers about them are the same.
    #[must_use]
    pub fn about(mut self, actions: &[&str]) -> Self {
        self.statements.retain(|statement| actions.iter().any(|action| !action_of(&statement.body, action).is_no()));
        self
    }

    /// What it says of a request.
    pub fn answer(&self, request: &Request<'_>, place: Place) -> Answer {
        let start = match &self.unreadable {
            Some(doubt) => Said { truth: Truth::Unknown(doubt.clone()), by: None },
            None => Said::no(),
        };
        let mut answer = Answer { denied: start.clone(), allowed: start.clone(), delegated: start };
        for Statement { name, body, sound } in &self.statements {
            let effect = body.get("Effect").and_then(Value::as_str);
            let named = principal(body, request, place, effect);
            let rest = about(body, request).and(sound.clone());
            if effect != Some("Allow") {
                let applies = named.itself.clone().or(named.account.clone()).and(rest.clone());
                let applies = if effect == Some("Deny") { applies } else { applies.and(unreadable("its Effect")) };
                answer.denied = answer.denied.or(applies, name);
            }
            if effect != Some("Deny") {
                let of = |truth: Truth| {
                    let truth = truth.and(rest.clone());
                    if effect == Some("Allow") { truth } else { truth.and(unreadable("its Effect")) }
                };
                answer.allowed = answer.allowed.or(of(named.itself), name);
                answer.delegated = answer.delegated.or(of(named.account), name);
            }
        }
        answer
    }

    /// The principals that an Allow of one of `actions` names, whatever its conditions; with the actions that it has.
    pub fn let_in<'a>(&self, actions: &[&'a str]) -> Vec<(Option<String>, Vec<&'a str>)> {
        let allows =
            self.statements.iter().filter(|statement| statement.body.get("Effect").is_some_and(|it| it == "Allow"));
        let named = allows.flat_map(|Statement { body, .. }| {
            let has: Vec<&str> = actions.iter().copied().filter(|action| !action_of(body, action).is_no()).collect();
            let all = body.get("Principal").map(entries).unwrap_or_default();
            let all = if has.is_empty() { Vec::new() } else { all };
            all.into_iter().map(move |(_, text)| (text.map(str::to_owned), has.clone())).collect::<Vec<_>>()
        });
        named.collect()
    }

    /// How many statements it has.
    #[cfg(test)]
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// Whether it could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.unreadable.is_some()
    }
}

/// Whether a statement is about the principal.
fn principal(body: &Value, request: &Request<'_>, place: Place, effect: Option<&str>) -> Named {
    let all = Named { itself: Truth::Yes, account: Truth::No };
    let unclear = |what| Named { itself: unreadable(what), account: Truth::No };
    match (place, body.get("Principal"), body.get("NotPrincipal")) {
        (Place::Identity, None, None) => all,
        (Place::Identity, ..) => unclear("a policy of a role or user that names a principal"),
        (Place::Resource, Some(named), None) => request.principal.named_by(named),
        (Place::Resource, None, Some(others)) => {
            let left = request.principal.is_left_by(others);
            // An Allow of all others is not what anybody should have, and AWS advises against it.
            let allow = || Truth::Unknown(Doubt::Principal(EventText::new("a NotPrincipal")));
            let itself = if effect == Some("Allow") { left.and(allow()) } else { left };
            Named { itself, account: Truth::No }
        }
        (Place::Resource, Some(_), Some(_)) => unclear("a Principal beside a NotPrincipal"),
        (Place::Resource, None, None) => unclear("a statement without a Principal"),
    }
}

/// Whether a statement is one, with elements that are known. In an older version of the language `${…}` is no variable, nor an escape.
fn sound(body: &Value, has_variables: bool) -> Truth {
    let Value::Object(members) = body else { return unreadable("a statement") };
    if let Some(other) = members.keys().find(|name| !ELEMENTS.contains(&name.as_str())) {
        return unreadable(&format!("the element {other}"));
    }
    if !has_variables && body.to_string().contains("${") {
        return Truth::Unknown(Doubt::Variable(EventText::new("in an older version of the language")));
    }
    Truth::Yes
}

/// Whether action, resource and conditions are those of the request.
fn about(body: &Value, request: &Request<'_>) -> Truth {
    let resource = match (body.get("Resource"), body.get("NotResource")) {
        (Some(resources), None) => any_of(resources, "its Resource", |text| resource_matches(text, request.resource)),
        (None, Some(others)) => {
            any_of(others, "its NotResource", |text| resource_matches(text, request.resource)).not()
        }
        _ => unreadable("its Resource"),
    };
    action_of(body, request.action).and(resource).and(met(body.get("Condition"), request.context))
}

fn action_of(body: &Value, action: &str) -> Truth {
    match (body.get("Action"), body.get("NotAction")) {
        (Some(actions), None) => any_of(actions, "its Action", |text| matches_action(text, action)),
        (None, Some(others)) => any_of(others, "its NotAction", |text| matches_action(text, action)).not(),
        _ => unreadable("its Action"),
    }
}

fn matches_action(pattern: &str, action: &str) -> Truth {
    Pattern::new(pattern).matches_in_any_case(action)
}

/// One text or several.
fn any_of(value: &Value, what: &str, matches: impl Fn(&str) -> Truth) -> Truth {
    let one = |value: &Value| value.as_str().map_or_else(|| unreadable(what), &matches);
    match value {
        Value::Array(all) if !all.is_empty() => Truth::any(all.iter().map(one)),
        Value::Array(_) => unreadable(what),
        value => one(value),
    }
}

fn unreadable(what: &str) -> Truth {
    Truth::Unknown(Doubt::Unreadable(EventText::new(what)))
}
