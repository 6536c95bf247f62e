//! The policy: its text is loaded (`yaml`, `scalar`, `key`, `load`) into rules, and these decide (`decide`).

mod decide;
mod fault;
mod key;
pub(crate) mod load;
pub(crate) mod scalar;
pub(crate) mod yaml;

pub mod cases;
mod cover;
#[cfg(feature = "schema")]
pub mod document;
mod explain;
mod warnings;

pub(crate) use self::decide::utc_date;
pub use self::decide::{
    Accept, Decision, Effect, Encrypt, Exemption, Existing, NamedKey, Outcome, Policy, Proof, Rule, RuleId, Selectors,
    Settle, Target, WARN_DAYS,
};
pub use self::explain::{Explanation, PassedOver};
pub(crate) use self::fault::{Flaw, write_placed};
pub use self::fault::{Place, PolicyFault};
pub use self::key::KeyTemplate;
pub use self::warnings::PolicyWarning;
