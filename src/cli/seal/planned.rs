//! One stream of the plan of `seal`: what would be done with it, in words and for machines.

use serde_json::{Value, json};

use super::action::Action;
use crate::cli::exit::Exit;
use crate::cli::impact::Before;
use crate::cli::output::{BAD, FAINT, GOOD, ODD, styled};
use crate::cli::watching::ToChange;
use crate::cli::words::{self, exit_of};
use crate::domain::arn::StreamArn;
use crate::domain::evidence::known::{KeyWire, KnownKey};
use crate::domain::evidence::v1::ExemptionWire;
use crate::domain::model::{KeyIdentity, ProofMode};
use crate::domain::plan::step::{Condition, Step};
use crate::domain::verdict::Compliance;
use crate::run::reconcile::preview::Preview;

/// One stream of the plan.
pub(super) struct Planned {
    pub(super) stream: StreamArn,
    pub(super) preview: Preview,
    /// The keys that matter, as far as they are known.
    pub(super) keys: Vec<KnownKey>,
    pub(super) action: Action,
    /// What is said of its change where that was taken back before.
    pub(super) undone: Option<String>,
}

impl Planned {
    pub(super) fn mark(&self) -> String {
        match self.action {
            Action::Encrypt => styled(GOOD, "+"),
            Action::Rekey | Action::Wait => styled(ODD, "~"),
            Action::Nothing | Action::Gone => styled(FAINT, "="),
            Action::Withheld | Action::Fault => styled(BAD, "!"),
            Action::Unknown => styled(ODD, "?"),
        }
    }

    /// What is changed to `key`, and how it is proven.
    fn change(&self, key: &KeyIdentity) -> String {
        let proof = match self.preview.proof {
            Some(ProofMode::Probe) => "; writes a small record that consumers receive",
            Some(ProofMode::Observe) => "; proven with a record of a producer",
            Some(ProofMode::Describe) | None => "",
        };
        format!("{} -> {}{proof}", self.from(), self.named(key))
    }

    /// The key with its alias, where it has one.
    fn named(&self, key: &KeyIdentity) -> String {
        let known = self.keys.iter().find(|known| known.info.identity == *key);
        let alias = known.and_then(|known| known.alias.as_deref()).filter(|alias| *alias != key.as_str());
        alias.map_or_else(|| key.to_string(), |alias| format!("{key} ({alias})"))
    }

    /// The stream's setting.
    fn from(&self) -> String {
        self.preview.setting.as_ref().map(|s| words::setting(&s.observed.encryption)).unwrap_or_default()
    }

    pub(super) fn words(&self) -> String {
        match &self.preview.step {
            Ok(Step::Start(key)) => self.change(key),
            Ok(Step::ReadHistory(wrong)) => self.change(&wrong.target),
            Ok(Step::Await(Condition::Settled(until))) => {
                let desired =
                    self.preview.desired.as_ref().map(|key| format!("{} -> {}, ", self.from(), self.named(key)));
                let desired = desired.unwrap_or_default();
                format!("{desired}not before {until:.0}, because its creator may still set the key")
            }
            Ok(Step::Await(condition)) => format!("waits {}", condition.words()),
            Ok(Step::Prove) => "complies with its rule".to_owned(),
            Ok(Step::Finish(verdict)) if verdict.compliance == Compliance::Compliant => {
                "complies with its rule".to_owned()
            }
            Ok(Step::Finish(verdict)) => match verdict.withheld {
                Some(why) => format!("withheld ({}): {}", why.as_str(), verdict.detail),
                None => format!("{}: {}", verdict.reason.as_str(), verdict.detail),
            },
            step @ (Ok(Step::Defer(_) | Step::StartAfresh) | Err(_)) => words::would(step, &self.preview.remedy).0,
        }
    }

    pub(super) fn exit(&self) -> Exit {
        match (self.action, &self.preview.step) {
            (Action::Nothing | Action::Gone, _) => Exit::Compliant,
            (Action::Encrypt | Action::Rekey | Action::Withheld | Action::Fault, _) => Exit::NonCompliant,
            (_, Ok(Step::Finish(verdict))) => exit_of(verdict, &self.preview.remedy),
            (Action::Wait, _) => Exit::TryAgain,
            (Action::Unknown, step) => words::would(step, &self.preview.remedy).1,
        }
    }

    pub(super) fn to_change(&self) -> ToChange {
        let created = self.preview.setting.as_ref().map(|s| s.observed.created);
        let (key, rule) = (self.preview.desired.clone(), self.preview.rule.clone());
        ToChange { stream: self.stream.clone(), created, key, rule }
    }

    pub(super) fn to_json(&self, left_for_max: bool, before: &Before) -> Value {
        let setting = self.preview.setting.as_ref();
        json!({
            "stream": self.stream.to_string(),
            "action": self.action.word(),
            "rule": self.preview.rule,
            "reasons": self.preview.reasons,
            "tags": self.preview.tags,
            "exemption": self.preview.exemption.as_ref().map(ExemptionWire::from),
            "keys": self.keys.iter().map(KeyWire::from).collect::<Vec<_>>(),
            "setting": setting.map(|s| words::setting_json(&s.observed.status, &s.observed.encryption)),
            "key": self.preview.desired.as_ref().map(|key| key.as_str()),
            "detail": self.words(),
            "beyond_max_changes": left_for_max,
            "undone": self.undone,
            "impact": before.to_json(&self.stream),
            "at_source": self.preview.remedy.at_source(),
            "remedy": words::remedy_json(&self.preview.remedy),
        })
    }
}
