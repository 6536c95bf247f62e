//! `streamseal schema [OF]`: the JSON Schemas, made from the program itself.

use clap::ValueEnum;

use super::arguments::WRITTEN_CODES;
use super::exit::Exit;
use super::output::{Stop, result};
use super::policy::document;
use crate::domain::schema::Kind;

/// Prints the JSON Schema of policies, for editors, or of what the function writes and reads
#[derive(Debug, clap::Args)]
#[command(after_help = WRITTEN_CODES)]
pub(crate) struct SchemaArguments {
    /// The document
    #[arg(value_enum, default_value_t = SchemaOf::Policy)]
    of: SchemaOf,
}

/// What has a JSON Schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemaOf {
    /// A policy
    Policy,
    /// A run's evidence: a line of the log, and the detail of an event
    Evidence,
    /// What a scan found
    Summary,
    /// An item that led to no run
    Note,
    /// What `impact --json` prints
    Impact,
    /// A message of the work queue
    Work,
    /// A message of the scan queue
    Scan,
}

pub(super) fn run(arguments: &SchemaArguments) -> Result<Exit, Stop> {
    let schema = match arguments.of {
        SchemaOf::Policy => document::schema(),
        SchemaOf::Evidence => Kind::Evidence.schema(),
        SchemaOf::Summary => Kind::Summary.schema(),
        SchemaOf::Note => Kind::Note.schema(),
        SchemaOf::Impact => Kind::Impact.schema(),
        SchemaOf::Work => Kind::Work.schema(),
        SchemaOf::Scan => Kind::Scan.schema(),
    };
    result(schema.trim_end());
    Ok(Exit::Compliant)
}
