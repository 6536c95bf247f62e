//! The real parts: SDK clients over HTTP, the emulators, the two binaries, the template.

mod cli;
mod runtime;
mod support;
mod template;
mod wire;
