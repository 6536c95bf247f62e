//! The command line: arguments, one file a command, exit codes.
//!
//! Results go to standard output, everything else to standard error. Only `seal` changes a stream's encryption, and only after
//! it was told to.

mod arguments;
mod audit;
mod check;
mod context;
mod doctor;
mod explain;
mod output;
mod progress;
mod prove;
mod replay;
mod runs;
mod seal;
mod shell;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use self::arguments::{Arguments, Color, Command, Globals};
use self::output::Stop;

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

impl Exit {
    /// The one of two that says more.
    pub(crate) fn worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Compliant => 0,
            Self::TryAgain => 1,
            Self::NonCompliant => 2,
            Self::Usage => 3,
            Self::Failure => 4,
        };
        if rank(other) > rank(self) { other } else { self }
    }
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

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // What is wrong with the arguments is told in colours too, and so `--color` is looked for first.
    let color = Color::of(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()));
    color.write_global();
    let parsed = Arguments::command().color(color.of_clap()).try_get_matches();
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
    let Arguments { command, globals } = parsed.unwrap_or_else(|error| error.exit());
    // It has a runtime of its own.
    if let Command::Audit(mut arguments) = command {
        arguments.globals = globals;
        return audit::run(&arguments).into();
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Stop::failure(format!("the async runtime cannot be built: {error}")).told().into(),
    };
    let exit = runtime.block_on(run(command, &globals)).unwrap_or_else(|stop| stop.told());
    // A question may still wait for its answer, on a thread that nobody waits for.
    runtime.shutdown_background();
    exit.into()
}

async fn run(command: Command, globals: &Globals) -> Result<Exit, Stop> {
    match command {
        Command::Check(arguments) => check::run(&arguments, globals).await,
        Command::Explain(arguments) => explain::run(&arguments, globals).await,
        Command::Seal(arguments) => seal::run(&arguments, globals).await,
        Command::Prove(arguments) => prove::run(&arguments, globals).await,
        Command::Replay(arguments) => replay::run(&arguments, globals).await,
        Command::Doctor(arguments) => doctor::run(&arguments, globals).await,
        // Taken care of before.
        Command::Audit(_) => Ok(Exit::Compliant),
        Command::Schema { of } => shell::schema(of),
        Command::Completions { shell } => shell::completions(shell),
        Command::Man(arguments) => shell::man(&arguments),
    }
}
