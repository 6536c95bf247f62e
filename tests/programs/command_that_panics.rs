//! The command line, `streamseal`, over a library that panics: the first event that the SDK reports ends in one.
#![expect(clippy::panic, clippy::expect_used, reason = "it is part of a test, and panics on purpose")]

use std::process::ExitCode;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn main() -> ExitCode {
    tracing::subscriber::set_global_default(Panics).expect("no other is set");
    streamseal::cli::main()
}

/// Listens to what libraries report, and panics at the first word as they do: in several lines, with values for developers.
struct Panics;

impl Subscriber for Panics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("aws_")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        panic!("not a \u{202e}URL\nSdkConfig {{ endpoint_url: None, .. }}\n  left: 1");
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
