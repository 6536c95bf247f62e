//! What may stand on the command line. Nothing is read or called here; names and meanings are those of the AWS CLI where it has
//! the same thing.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::domain::model::Mode;

const EXIT_CODES: &str = "Exit codes: 0 compliant, 1 failure, 2 usage, 3 non-compliant, 4 try again.";
const CHECK_CODES: &str =
    "Exit codes: 0 valid, 1 not valid or not to be read, or with --strict a warning, 2 usage, 3 a test failed.";
const SEAL_CODES: &str = "Exit codes: 0 compliant, 1 failure, or stopped by a second Ctrl-C, 2 usage, 3 non-compliant, left out, or to be \
                          changed by a plan that is not carried out, 4 try again, or stopped by Ctrl-C.";
const AUDIT_CODES: &str = "Exit codes: 0 compliant, 1 failure, incomplete, or broken off, 2 usage, 3 non-compliant, 4 try again, since \
                           something could not be told now.";
const DOCTOR_CODES: &str = "Exit codes: 0 all is well, 1 failure, 2 usage, 3 a fault was found, 4 no fault, but something could not be \
                            looked at.";
const SHELL_CODES: &str = "Exit codes: 0 printed or written, 1 failure, 2 usage.";

/// Keeps Kinesis data streams encrypted with the KMS key that a policy names.
#[derive(Debug, Parser)]
#[command(name = "streamseal", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) globals: Globals,
}

/// Options of every command.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Use this profile of ~/.aws/config [env: AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The Region of the streams; for `audit` it may be repeated [env: AWS_REGION; else the profile's]
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// Call this URL instead of AWS's, for every service [env: AWS_ENDPOINT_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// The account of the streams [env: ACCOUNT_ID; else the one that the credentials are of]
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// The policy: a file, or `ssm:NAME` for a parameter of Systems Manager [env: POLICY]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) policy: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colours: `auto` has them on a terminal where NO_COLOR is not set
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
}

/// What has a JSON Schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A policy
    Policy,
    /// A run's evidence: a line of the log, and the detail of an event
    Evidence,
    /// What a scan found
    Summary,
    /// An item that led to no run
    Note,
    /// A message of the work queue
    Work,
    /// A message of the queue of scans
    Scan,
}

/// When to print in colours.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// The one that stands among arguments that nobody has read yet.
    pub(crate) fn of(arguments: impl Iterator<Item = String>) -> Self {
        let (mut color, mut is_next) = (Self::default(), false);
        for argument in arguments.take_while(|argument| argument != "--") {
            let value = if is_next { Some(argument.as_str()) } else { argument.strip_prefix("--color=") };
            if let Some(named) = value.and_then(|value| Self::from_str(value, false).ok()) {
                color = named;
            }
            is_next = argument == "--color";
        }
        color
    }

    /// The same for what clap prints itself.
    pub(crate) fn of_clap(self) -> clap::ColorChoice {
        match self {
            Self::Auto => clap::ColorChoice::Auto,
            Self::Always => clap::ColorChoice::Always,
            Self::Never => clap::ColorChoice::Never,
        }
    }

    /// From here on everything that is printed goes by it.
    pub(crate) fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Checks a policy: all faults at once, in its source, and warnings
    #[command(after_help = CHECK_CODES)]
    Check(CheckArguments),
    /// Says which rule decides a stream, why, with which key, and what a run would do now
    #[command(after_help = EXIT_CODES)]
    Explain(ExplainArguments),
    /// Encrypts streams with their rule's key: shows the plan, asks, does it, proves it
    #[command(after_help = SEAL_CODES)]
    Seal(SealArguments),
    /// Proves that streams are encrypted as their rule asks; never changes a setting
    #[command(after_help = EXIT_CODES)]
    Prove(ProveArguments),
    /// Shows how every stream stands with the policy, also as a report; changes nothing
    #[command(after_help = AUDIT_CODES)]
    Audit(super::audit::AuditArguments),
    /// Shows what the function would do with an event; changes nothing
    #[command(after_help = EXIT_CODES)]
    Replay(ReplayArguments),
    /// Says whether the account and the function are able to see streams and to act, and how to mend what is not
    #[command(after_help = DOCTOR_CODES)]
    Doctor(DoctorArguments),
    /// Prints the JSON Schema of policies, for editors, or of what the function writes and reads
    #[command(after_help = SHELL_CODES)]
    Schema {
        /// Of what
        #[arg(value_enum, default_value_t = SchemaOf::Policy)]
        of: SchemaOf,
    },
    /// Prints the completions for a shell
    #[command(after_help = SHELL_CODES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Prints a manual page, or writes all of them into a folder
    #[command(after_help = SHELL_CODES)]
    Man(ManArguments),
}

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArguments {
    /// The policy's file [default: what --policy or POLICY names]
    #[arg(value_name = "POLICY")]
    pub(crate) file: Option<PathBuf>,
    /// Ask KMS for each key that the policy names
    #[arg(long)]
    pub(crate) resolve: bool,
    /// Fail (exit code 1) where there is a warning, too
    #[arg(long)]
    pub(crate) strict: bool,
    /// Run the policy's own tests [default FILE: beside the policy, `policy.test.yaml` for `policy.yaml`]
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub(crate) test: Option<Option<PathBuf>>,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArguments {
    /// The stream: its name or ARN
    #[arg(required_unless_present = "name")]
    pub(crate) stream: Option<String>,
    /// The name of a stream that need not exist; nothing is asked of Kinesis
    #[arg(long, conflicts_with = "stream")]
    pub(crate) name: Option<String>,
    /// A tag of that stream; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", requires = "name")]
    pub(crate) tags: Vec<String>,
    /// The mode to assume [env: MODE; else report]
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeArgument>,
}

/// Arguments of `seal`.
#[derive(Debug, clap::Args)]
pub(crate) struct SealArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required_unless_present = "all")]
    pub(crate) streams: Vec<String>,
    /// Every stream of the Region
    #[arg(long, conflicts_with = "streams")]
    pub(crate) all: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Only show the plan
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
    /// Change at most so many streams
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) max_changes: usize,
    /// Only streams that this rule decides
    #[arg(long, value_name = "RULE")]
    pub(crate) only: Option<String>,
}

/// Arguments of `prove`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProveArguments {
    /// The streams: names or ARNs
    #[arg(value_name = "STREAM", required = true)]
    pub(crate) streams: Vec<String>,
    /// Write nothing: look for a record of a producer, whatever the rule says
    #[arg(long)]
    pub(crate) observe: bool,
}

/// Arguments of `replay`; what is not given comes from the variables of the function.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArguments {
    /// The event's file: an EventBridge event, an SQS batch, a command, …
    pub(crate) event: PathBuf,
    /// The mode to assume [env: MODE; else report]
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeArgument>,
    /// Only tell the event apart; call nothing
    #[arg(long)]
    pub(crate) offline: bool,
}

/// Arguments of `doctor`. The stack knows all the others, and the function most.
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArguments {
    /// The stack that the function was deployed with
    #[arg(long, value_name = "NAME")]
    pub(crate) stack: Option<String>,
    /// The function: the stack's output FunctionName
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Option<String>,
    /// The queue of work: the stack's output WorkQueueUrl [env: WORK_QUEUE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) queue_url: Option<String>,
    /// The queue of scans: the stack's output ScanQueueUrl [env: SCAN_QUEUE_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) scan_queue_url: Option<String>,
    /// The function's role: the stack's output RoleArn [env: OWN_ROLE_ARN]
    #[arg(long, value_name = "ARN")]
    pub(crate) role: Option<String>,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArguments {
    /// The page of this command [default: of streamseal itself]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ModeArgument {
    Report,
    Enforce,
}

impl From<ModeArgument> for Mode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Report => Self::Report,
            ModeArgument::Enforce => Self::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_arguments_hold_together() {
        Arguments::command().debug_assert();
    }
}
