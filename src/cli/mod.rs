//! The command line: arguments, one file a command, exit codes.
//!
//! Results go to standard output, everything else to standard error. No command here changes a stream.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod audit;
mod check;
mod replay;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: nothing is wrong.
    Compliant,
    /// 1: the command failed.
    Failure,
    /// 2: the arguments or variables are wrong (clap exits with it too).
    Usage,
    /// 3: a stream is not as its rule says, or would be changed.
    NonCompliant,
    /// 4: it could not be told now; try again.
    TryAgain,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Compliant => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
            Exit::NonCompliant => 3,
            Exit::TryAgain => 4,
        })
    }
}

/// Keeps Kinesis data streams encrypted with the KMS key that a policy names.
///
/// Exit codes: 0 compliant, 1 failure, 2 usage, 3 non-compliant, 4 try again.
#[derive(Debug, Parser)]
#[command(name = "streamseal", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks a policy: all faults at once, each with its place, and warnings
    Check {
        /// The policy's file
        policy: PathBuf,
    },
    /// Shows what the function would do with an event; changes nothing
    Replay(ReplayArguments),
    /// Shows how every stream stands with the policy, also as a report; changes nothing
    Audit(audit::AuditArguments),
}

/// Arguments of `replay`; what is not given comes from the variables of the function.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArguments {
    /// The event's file: an EventBridge event, an SQS batch, a command, …
    event: PathBuf,
    /// The policy's file [default: what POLICY names]
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The account of the streams [env: ACCOUNT_ID]
    #[arg(long)]
    account: Option<String>,
    /// The Region of the streams [env: AWS_REGION]
    #[arg(long)]
    region: Option<String>,
    /// The mode to assume [env: MODE]
    #[arg(long, value_enum)]
    mode: Option<ModeArgument>,
    /// Call this endpoint for every service
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Only tell the event apart; call nothing
    #[arg(long)]
    offline: bool,
    /// Print JSON, one line an item
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArgument {
    Report,
    Enforce,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let exit = match Arguments::parse().command {
        Command::Check { policy } => check::run(&policy),
        Command::Replay(arguments) => replay::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
    };
    exit.into()
}
