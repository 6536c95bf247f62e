//! The async ring: what is done with one payload, one stream, one scan. It asks the world through `ports` only and decides nothing
//! that `domain` can decide.

pub mod concern;
pub mod handler;
pub mod history;
pub(crate) mod inspect;
pub(crate) mod observe;
pub mod outbox;
pub mod paces;
pub mod reconcile;
pub mod rounds;
pub mod scan;
pub mod session;
pub mod trail;
pub mod watch;
