//! What a run knows of a change that has a guard.

use crate::domain::plan::guard::life::Watched;
use crate::domain::plan::guard::next::Message;
use crate::domain::traffic::judge::Users;

/// What a run knows of a guarded change.
#[derive(Debug, Default)]
pub(super) struct Guarding {
    /// Whether there is nothing to watch: the stream is new, its key cannot be used, or somebody else set the rule's key.
    pub(super) needs_none: bool,
    /// Whether the change may be made, by what was read in this run.
    pub(super) is_given: bool,
    /// How the stream's users fare.
    pub(super) users: Option<Users>,
    /// The key that the stream could go back to from the change that this work is.
    pub(super) back: Option<String>,
    /// Streams that may be changed at the same time, each with its list.
    pub(super) others: Vec<Message>,
    /// The list that goes on before this stream, whose turn comes later.
    pub(super) turned_away: Option<Message>,
    /// What an observation of a watched change found.
    pub(super) watched: Option<Watched>,
    /// Whether a scan has to ask for this change.
    pub(super) asks_for_scan: bool,
}
