//! The operator's command line. Nothing is decided here.

use std::process::ExitCode;

fn main() -> ExitCode {
    streamseal::cli::main()
}
