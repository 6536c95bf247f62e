//! The guarded life of a change of an existing stream: [`before`] says whether it may be made now, [`watch`] what comes of it, [`denied`] who
//! lost access, [`restore`] whether and how the stream goes back, [`next`] which streams follow, [`life`] what a run of it leaves.
//!
//! A guarded change is one of a scan's, or a person's: an event may come for hundreds of streams at once, and would change them all before
//! one of them was watched.

pub mod before;
pub mod denied;
pub mod life;
pub mod next;
pub mod restore;
pub mod watch;
