//! What is printed: lines, colours, and the end of a command that cannot go on. It decides nothing.

use std::fmt::Display;
use std::io::Write;

use super::exit::Exit;
use crate::domain::arn::Scope;
use crate::domain::codes::Refusal;
use crate::domain::failure::{Class, Failure, Unfinished};
use crate::domain::remedy::permission::to_permit;
use anstyle::{AnsiColor, Style};

/// What is fine.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What may need a check.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// What stands out.
pub(crate) const STRONG: Style = Style::new().bold();
/// What is beside the point.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// `text` in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A result: one write, so that what was printed is whole when the command is cut off. Whoever reads may have left already
/// (`| head`), which is no fault.
pub(crate) fn result(text: impl Display) {
    let _ = writeln!(anstream::stdout().lock(), "{text}");
}

/// Anything else.
pub(crate) fn to_stderr(text: impl Display) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// A result of which no colours are taken out. Whoever reads may have left already.
pub(crate) fn as_it_is(text: &[u8]) {
    let _ = std::io::stdout().lock().write_all(text);
}

/// A command that cannot go on: why, and what to do.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: Exit,
    why: Vec<String>,
    help: Vec<String>,
}

impl Stop {
    /// With exit code 1.
    pub(crate) fn failure(why: impl Into<String>) -> Self {
        Self { exit: Exit::Failure, why: vec![why.into()], help: Vec::new() }
    }

    /// With exit code 2.
    pub(crate) fn usage(why: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, ..Self::failure(why) }
    }

    /// Several reasons at once.
    pub(crate) fn and(mut self, why: impl IntoIterator<Item = String>) -> Self {
        self.why.extend(why);
        self
    }

    /// What to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// A call that failed, while `doing` something about `resource`.
    pub(crate) fn call(doing: &str, failure: &Failure, own: Option<&Scope>, resources: &[&str]) -> Self {
        let exit = match Refusal::of(failure) {
            Refusal::Host | Refusal::Stranger => Exit::Usage,
            _ if passes(failure) => Exit::TryAgain,
            _ => Exit::Failure,
        };
        let why = format!("{doing}: {} failed ({}): {}", failure.call, failure.code, failure.message);
        Self { exit, why: vec![why], help: advice(failure, own, resources).into_iter().collect() }
    }

    /// Something that did not come to its end, while `doing` something.
    pub(crate) fn unfinished(doing: &str, why: &Unfinished, own: Option<&Scope>) -> Self {
        match why {
            Unfinished::Call(failure) => Self::call(doing, failure, own, &[]),
            Unfinished::Open { what, code, why } => {
                let why = format!("{doing}: {what} failed ({code}): {why}");
                Self { exit: Exit::TryAgain, why: vec![why], help: vec![TRY_AGAIN.to_owned()] }
            }
        }
    }

    /// Why, in one line.
    pub(crate) fn words(&self) -> String {
        self.why.join("; ")
    }

    /// What to do, as far as that is known.
    pub(crate) fn what_to_do(&self) -> String {
        self.help.join("\n")
    }

    /// Prints it; the exit code.
    pub(crate) fn print(&self) -> Exit {
        for why in &self.why {
            to_stderr(format_args!("{BAD}error{BAD:#}: {why}"));
        }
        for help in &self.help {
            to_stderr(format_args!("{GOOD}help{GOOD:#}: {help}"));
        }
        self.exit
    }
}

/// Whether it may go well with the next try, with nothing done about it.
pub(crate) fn passes(failure: &Failure) -> bool {
    let class = matches!(failure.class, Class::Waiting | Class::Retryable | Class::RateOrQuota | Class::Quota);
    class
        && !matches!(
            Refusal::of(failure),
            Refusal::Credentials | Refusal::Certificate | Refusal::Host | Refusal::Stranger
        )
}

/// The same of what did not come to its end.
pub(crate) fn may_go_on(why: &Unfinished) -> bool {
    match why {
        Unfinished::Call(failure) => passes(failure),
        Unfinished::Open { .. } => true,
    }
}

const TRY_AGAIN: &str = "this may be temporary: try again";

/// What to do about what did not come to its end.
pub(crate) fn advice_on(why: &Unfinished, own: Option<&Scope>, resources: &[&str]) -> Option<String> {
    match why {
        Unfinished::Call(failure) => advice(failure, own, resources),
        Unfinished::Open { .. } => Some(TRY_AGAIN.to_owned()),
    }
}

/// What to do about a call that failed.
pub(crate) fn advice(failure: &Failure, own: Option<&Scope>, resources: &[&str]) -> Option<String> {
    match Refusal::of(failure) {
        Refusal::Permission => {
            let advice = to_permit(failure.call, failure.message.as_str(), own, resources);
            Some(in_lines(&advice.text, &[], advice.statement.as_deref()))
        }
        Refusal::Credentials => Some(
            "no valid AWS credentials: use `--profile`, `aws login` or `aws sso login`, or set AWS_ACCESS_KEY_ID and \
             AWS_SECRET_ACCESS_KEY"
                .to_owned(),
        ),
        Refusal::NoAnswer => Some(
            "no answer: check the network, the Region (`--region`) and the endpoint (`--endpoint-url`)".to_owned(),
        ),
        Refusal::Host => Some(
            "the host does not exist: check the Region (`--region`) and the endpoint (`--endpoint-url`)".to_owned(),
        ),
        Refusal::Stranger => Some(
            "check the endpoint (`--endpoint-url`, AWS_ENDPOINT_URL) and the proxy (HTTPS_PROXY, HTTP_PROXY)".to_owned(),
        ),
        Refusal::Certificate => Some(
            "set AWS_CA_BUNDLE, or `ca_bundle` in the profile, to a PEM file with the certificates to trust (a proxy that \
             inspects TLS has its own certificate authority)"
                .to_owned(),
        ),
        Refusal::Other => matches!(failure.class, Class::Retryable | Class::Waiting | Class::RateOrQuota | Class::Quota)
            .then(|| TRY_AGAIN.to_owned()),
    }
}

/// Advice as it is reported at a terminal: the words, and below them what is to be pasted.
pub(crate) fn in_lines(text: &str, commands: &[&str], statement: Option<&str>) -> String {
    let pasted = commands.iter().copied().chain(statement);
    let lines: Vec<String> = pasted.map(|line| format!("\n  {line}")).collect();
    let colon = if lines.is_empty() { "" } else { ":" };
    format!("{text}{colon}{}", lines.concat())
}
