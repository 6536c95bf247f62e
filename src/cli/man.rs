//! `streamseal man`: the manual pages, made from the arguments themselves.

use std::path::PathBuf;

use super::arguments::WRITTEN_CODES;
use super::exit::Exit;
use super::output::{Stop, as_it_is};

/// Prints a manual page, or writes all of them into a folder
#[derive(Debug, clap::Args)]
#[command(after_help = WRITTEN_CODES)]
pub(crate) struct ManArguments {
    /// The page of this command [default: of streamseal itself]
    command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// `command` is the whole command line.
pub(super) fn run(arguments: &ManArguments, command: clap::Command) -> Result<Exit, Stop> {
    // Built, so that each command has its full name and the global options.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    if let Some(folder) = &arguments.dir {
        return match clap_mangen::generate_to(command, folder) {
            Ok(()) => Ok(Exit::Compliant),
            Err(error) => Err(Stop::failure(format!("{}: cannot be written: {error}", folder.display()))),
        };
    }
    let command = match &arguments.command {
        None => command,
        Some(name) => match command.find_subcommand(name) {
            Some(found) => found.clone(),
            None => return Err(Stop::usage(format!("there is no command `{name}`"))),
        },
    };
    let mut text = Vec::new();
    let rendered = clap_mangen::Man::new(command).render(&mut text);
    rendered.map_err(|error| Stop::failure(format!("the page cannot be made: {error}")))?;
    as_it_is(&text);
    Ok(Exit::Compliant)
}
