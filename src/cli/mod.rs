//! The command line: which commands there are. Each has its own file or folder here, and its arguments in it.
//!
//! Results go to standard output, everything else to standard error. Only `seal` changes a stream's encryption, and only after
//! it was asked to.

mod arguments;
mod audit;
mod caller;
mod check;
mod columns;
mod completions;
mod confirm;
pub mod connect;
mod context;
mod doctor;
mod examples;
mod exit;
mod explain;
mod heading;
mod iam;
mod impact;
mod init;
mod keys;
mod man;
mod organization;
mod output;
mod pages;
pub mod policy;
mod process;
mod progress;
mod prove;
mod recorder;
mod regions;
mod replay;
mod runs;
mod schema;
mod seal;
mod settings;
mod simulator;
mod watching;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;

use self::arguments::{Color, EXIT_CODES, Globals};
use self::exit::Exit;
use self::output::Stop;

/// Keeps Kinesis data streams encrypted with the KMS key that a policy names.
#[derive(Debug, Parser)]
#[command(name = "streamseal", version, after_help = EXIT_CODES, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::InitArguments),
    Check(check::CheckArguments),
    Explain(explain::ExplainArguments),
    Impact(impact::ImpactArguments),
    Seal(seal::SealArguments),
    Prove(prove::ProveArguments),
    Audit(audit::AuditArguments),
    Replay(replay::ReplayArguments),
    Doctor(doctor::DoctorArguments),
    Schema(schema::SchemaArguments),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

/// All commands, with examples in their help.
fn arguments() -> clap::Command {
    examples::add(Arguments::command())
}

/// Whether the program takes a line that it prints as the next command.
fn takes(line: &str) -> bool {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().chain([' ']);
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            '\\' if !is_quoted => word.extend(letters.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    arguments().try_get_matches_from(words).is_ok()
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    process::report_panics();
    process::caught(started).into()
}

fn started() -> Exit {
    if let Err(stop) = process::with_tidy_variables() {
        return stop.print();
    }
    // What is wrong with the arguments is reported in colours too, and so `--color` is searched for first.
    let color = Color::of(std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()));
    color.write_global();
    let parsed = arguments().color(color.of_clap()).try_get_matches();
    let parsed = parsed.and_then(|matches| Arguments::from_arg_matches(&matches));
    let Arguments { command, globals } = parsed.unwrap_or_else(|error| error.exit());
    let globals = globals.without_blanks();
    heading::TAKES.get_or_init(|| takes);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Stop::failure(format!("the async runtime cannot be built: {error}")).print(),
    };
    let exit = runtime.block_on(run(command, &globals)).unwrap_or_else(|stop| stop.print());
    // A question may still wait for its answer, on a thread that nobody waits for.
    runtime.shutdown_background();
    exit
}

/// The policies that whoever runs a command needs.
async fn permissions(command: &Command, globals: &Globals) -> Result<Value, Stop> {
    let statements = match command {
        Command::Audit(arguments) => return audit::permissions(arguments, globals).await,
        Command::Check(arguments) => return Ok(iam::policy(&check::permissions(arguments, globals))),
        Command::Init(_) | Command::Explain(_) => vec![iam::observe()],
        Command::Impact(_) => vec![impact::permission()],
        Command::Seal(_) => [iam::seal(), vec![impact::permission()]].concat(),
        Command::Prove(_) => [vec![iam::observe()], iam::prove()].concat(),
        Command::Replay(arguments) => replay::permissions(arguments),
        Command::Doctor(arguments) => vec![doctor::permission(arguments)],
        Command::Schema(_) | Command::Completions(_) | Command::Man(_) => return Ok(iam::policy(&[])),
    };
    Ok(iam::policy(&[statements, iam::parameters_of(globals)].concat()))
}

async fn run(command: Command, globals: &Globals) -> Result<Exit, Stop> {
    if globals.print_iam {
        output::result(format!("{:#}", permissions(&command, globals).await?));
        return Ok(Exit::Compliant);
    }
    match command {
        Command::Init(arguments) => init::run(&arguments, globals).await,
        Command::Check(arguments) => check::run(&arguments, globals).await,
        Command::Explain(arguments) => explain::run(&arguments, globals).await,
        Command::Impact(arguments) => impact::run(&arguments, globals).await,
        Command::Seal(arguments) => seal::run(&arguments, globals).await,
        Command::Prove(arguments) => prove::run(&arguments, globals).await,
        Command::Audit(arguments) => audit::run(&arguments, globals).await,
        Command::Replay(arguments) => replay::run(&arguments, globals).await,
        Command::Doctor(arguments) => doctor::run(&arguments, globals).await,
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, self::arguments()),
        Command::Man(arguments) => man::run(&arguments, self::arguments()),
    }
}

#[cfg(test)]
mod tests {
    use super::arguments::{options, shell_word};
    use super::takes;

    #[test]
    fn the_arguments_are_consistent() {
        super::arguments().debug_assert();
    }

    #[test]
    fn a_line_is_taken_as_a_shell_reads_it() {
        for text in ["", "a b", "it's", "$HOME", "=a", "~", "*"] {
            assert!(takes(&format!("streamseal audit --policy {}", shell_word(text))), "{text}");
        }
        assert!(takes(&format!("streamseal audit{}", options("only", &["-a b".to_owned()]))));
        for bad in ["seal", "seal --all a", "audit --only -a", "audit --all-regions --region a", "prove a b --nothing"]
        {
            assert!(!takes(&format!("streamseal {bad}")), "{bad}");
        }
    }
}
