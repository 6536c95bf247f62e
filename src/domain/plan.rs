//! What to do next with one stream: pure functions of what was observed, what is owed and what time it is.
//!
//! [`situation`] compares what is with what the policy requires, [`permit`] says whether a change is allowed now, [`step`] names the one
//! next step, [`start`] and [`proof`] read the answers, [`put_back`] says when a key may be put back, [`state`] is what a run knows, [`guard`]
//! watches a change of an existing stream, and [`close`] says what its end means. Nothing here calls anything; a
//! status that this version does not know is never acted on.

pub mod close;
pub mod guard;
pub mod observation;
pub mod permit;
pub mod proof;
pub mod put_back;
pub mod situation;
pub mod start;
pub mod state;
pub mod step;
