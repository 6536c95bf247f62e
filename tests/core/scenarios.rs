//! Stories with virtual time: what the function asks of the world, and how it leaves it. Whatever happens in them, the rules
//! of `sim::watch` hold.

mod aliases;
mod bounds;
mod contested;
mod flood;
mod foreign_keys;
mod forged;
mod guard;
mod interplay;
mod keys;
mod lifecycle;
mod policy;
mod proofs;
mod queue;
mod remedies;
mod restore;
mod results;
mod scans;
mod settling;
mod unobserved;
mod unread;
mod watch;
