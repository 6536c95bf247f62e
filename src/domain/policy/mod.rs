//! The policy: its text is loaded (`yaml`, `scalar`, `key`, `load`) into rules, and these decide (`decide`). What only people need
//! of it is in `cli/policy`.

pub(crate) mod decide;
pub(crate) mod fault;
pub mod guard;
mod key;
pub(crate) mod load;
pub(crate) mod scalar;
pub(crate) mod yaml;

pub use self::decide::{
    Accept, Decision, Effect, Encrypt, Exemption, Existing, NamedKey, Outcome, Policy, Proof, Reads, Rule, RuleId,
    Selectors, Settle, Target, WARN_DAYS,
};
pub use self::fault::{Place, PolicyFault};
pub use self::key::KeyTemplate;
