//! What a command's exit code says.

use std::process::ExitCode;

/// What the exit code says; the later one of two says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: nothing is wrong.
    Compliant,
    /// 4: it could not be determined now; try again.
    TryAgain,
    /// 3: a stream is not as its rule says, or would be changed.
    NonCompliant,
    /// 2: the arguments or variables are wrong (clap exits with it too).
    Usage,
    /// 1: the command failed.
    Failure,
}

impl Exit {
    /// The one of two that says more.
    pub(crate) fn worse(self, other: Self) -> Self {
        self.max(other)
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
