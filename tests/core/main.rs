//! The core ring without AWS: decisions, the loop and the handler.

mod events;
