//! The question before something is written, and what Ctrl-C means until then.

use std::io::{BufRead, Write};
use std::pin::pin;

use futures_util::future::{Either, select};

use super::output::{STRONG, Stop, to_stderr};
use super::runs::interrupt;

/// What comes before the first change: Ctrl-C ends it, and says what that means.
pub(crate) async fn unless_interrupted<T>(work: impl Future<Output = T>) -> Option<T> {
    match select(pin!(work), pin!(interrupt())).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => {
            to_stderr("\nnothing was changed");
            None
        }
    }
}

/// Asks on the terminal. The answer is read on a thread of its own, which nobody waits for after Ctrl-C.
pub(crate) async fn confirmed(question: &str) -> Result<bool, Stop> {
    {
        let mut terminal = anstream::stderr().lock();
        let _ = write!(terminal, "{STRONG}{question}{STRONG:#} Type \"yes\" to continue: ");
        let _ = terminal.flush();
    }
    let read = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).map(|_| answer)
    });
    let read = read.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    let answer = read.map_err(|error| Stop::failure(format!("the answer cannot be read: {error}")))?;
    let yes = answer.trim() == "yes";
    if !yes {
        to_stderr("nothing was changed");
    }
    Ok(yes)
}
