//! What is made from the program itself: the JSON Schemas, completions, manual pages.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Exit;
use super::arguments::{Arguments, ManArguments, SchemaOf};
use super::output::{Stop, result};
use crate::domain::policy::document;
use crate::domain::schema::Kind;

/// `streamseal schema [OF]`.
pub(super) fn schema(of: SchemaOf) -> Result<Exit, Stop> {
    let schema = match of {
        SchemaOf::Policy => document::schema(),
        SchemaOf::Evidence => Kind::Evidence.schema(),
        SchemaOf::Summary => Kind::Summary.schema(),
        SchemaOf::Note => Kind::Note.schema(),
        SchemaOf::Work => Kind::Work.schema(),
        SchemaOf::Scan => Kind::Scan.schema(),
    };
    result(schema.trim_end());
    Ok(Exit::Compliant)
}

/// `streamseal completions SHELL`.
pub(super) fn completions(shell: Shell) -> Result<Exit, Stop> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "streamseal", &mut text);
    write(&text)
}

/// `streamseal man`.
pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Stop> {
    // Built, so that each command has its full name and the global options.
    let mut command = Arguments::command().disable_help_subcommand(true);
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
    write(&text)
}

/// As it is: no colours are taken out of it. Whoever reads may have left already.
fn write(text: &[u8]) -> Result<Exit, Stop> {
    let _ = std::io::stdout().lock().write_all(text);
    Ok(Exit::Compliant)
}
