//! The policy and the mode as an instance keeps them between invocations.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::answer::Unhandled;
use crate::domain::model::Mode;
use crate::domain::policy::Policy;

/// The policy and the mode of one invocation, or why they cannot be used.
pub(super) type InForce = Result<(Arc<Policy>, Mode), Unhandled>;

/// What an instance keeps of them.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) policy: Mutex<Option<Loaded<Arc<Policy>>>>,
    pub(super) mode: Mutex<Option<Loaded<Mode>>>,
}

/// What was read, and when.
#[derive(Clone, Debug)]
pub(super) struct Loaded<T> {
    pub(super) what: T,
    pub(super) at: Timestamp,
}

/// What was read, unless it is too old by now.
pub(super) fn still_good<T: Clone>(
    loaded: &Mutex<Option<Loaded<T>>>,
    age_max: SignedDuration,
    now: Timestamp,
) -> Option<T> {
    let loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
    loaded.as_ref().filter(|loaded| now.duration_since(loaded.at) < age_max).map(|loaded| loaded.what.clone())
}
