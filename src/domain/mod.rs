//! The pure ring: what was asked, what is right, what to do next, what can be proven.
//!
//! Nothing in here is async, opens anything, reads a clock, the environment or a random number, or logs; reasons are
//! returned as data. `tests/core/tidy.rs` holds it to that.

pub mod access;
pub mod arn;
pub mod backoff;
pub mod bounds;
pub mod bus;
pub mod call;
pub mod cause;
pub mod codes;
pub mod denial;
pub mod event;
pub mod evidence;
pub mod failure;
pub mod hash;
pub mod history;
pub mod impact;
pub mod model;
pub mod note;
pub mod pace;
pub mod plan;
pub mod planned;
pub mod policy;
pub mod probe;
pub mod recorded;
pub mod remedy;
pub mod runner;
pub mod scan;
#[cfg(feature = "schema")]
pub mod schema;
pub mod text;
pub mod time;
pub mod traffic;
pub mod verdict;
pub mod wait;
pub mod work;
