//! What a command's exit code says.

use std::process::ExitCode;

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
