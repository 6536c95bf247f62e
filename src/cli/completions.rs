//! `streamseal completions SHELL`: made from the arguments themselves.

use clap_complete::Shell;

use super::arguments::WRITTEN_CODES;
use super::exit::Exit;
use super::output::{Stop, as_it_is};

/// Prints the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = WRITTEN_CODES)]
pub(crate) struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

/// `command` is the whole command line.
pub(super) fn run(arguments: &CompletionsArguments, mut command: clap::Command) -> Result<Exit, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "streamseal", &mut text);
    as_it_is(&text);
    Ok(Exit::Compliant)
}
