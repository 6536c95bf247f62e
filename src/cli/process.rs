//! What holds for the whole process, before any command: its variables, as the AWS CLI reads them, and what is said of a panic.

use std::collections::BTreeMap;
use std::env::{args_os, current_exe, vars_os};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::panic::{PanicHookInfo, UnwindSafe, catch_unwind, set_hook};
use std::process::Command;

use super::exit::Exit;
use super::output::Stop;
use crate::domain::text::EventText;

type Variables = BTreeMap<OsString, OsString>;

/// Starts the program anew, in this process, where its variables are not as the SDK needs them. The SDK reads them itself, in many
/// places, and a variable of a running process cannot be changed safely.
pub(super) fn with_tidy_variables() -> Result<(), Stop> {
    let given: Variables = vars_os().collect();
    if let Some(name) =
        given.iter().find(|(name, value)| is_read(name) && value.to_str().is_none()).map(|(name, _)| name)
    {
        return Err(Stop::usage(format!("{}: the value is not UTF-8", EventText::new(&name.to_string_lossy()))));
    }
    let tidy = tidied(&given);
    if tidy == given {
        return Ok(());
    }
    let mut arguments = args_os();
    let name = arguments.next();
    let anew = current_exe().map(|program| {
        let mut command = Command::new(program);
        command.arg0(name.unwrap_or_else(|| "streamseal".into())).args(arguments).env_clear().envs(tidy).exec()
    });
    // Where it worked nothing comes back.
    let error = anew.unwrap_or_else(|error| error);
    let stop = Stop::failure(format!(
        "streamseal could not restart itself to apply blank variables and AWS_DEFAULT_PROFILE: {error}"
    ));
    Err(stop.help("unset the blank AWS_… and …_PROXY variables, and set AWS_PROFILE instead of AWS_DEFAULT_PROFILE"))
}

/// The variables as the AWS CLI reads them: what is blank is not set, and AWS_DEFAULT_PROFILE goes before AWS_PROFILE (botocore 1.43,
/// `configprovider.py`).
fn tidied(given: &Variables) -> Variables {
    let mut tidy: Variables = given
        .iter()
        .filter(|(name, value)| !is_setting(name) || !is_blank(value))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    if let Some(profile) = tidy.get(OsStr::new("AWS_DEFAULT_PROFILE")).cloned() {
        tidy.insert("AWS_PROFILE".into(), profile);
    }
    tidy
}

/// Whether a variable says how to reach AWS.
fn is_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    name.starts_with("AWS_") || name.ends_with("_PROXY")
}

/// Whether a variable is read here or by the SDK.
fn is_read(name: &OsStr) -> bool {
    is_setting(name) || ["POLICY", "MODE", "ACCOUNT_ID"].iter().any(|own| name == *own)
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|value| value.trim().is_empty())
}

/// From here on a panic, which is a fault of this program or of a library, is reported in one line, and not as Rust does.
pub(super) fn report_panics() {
    set_hook(Box::new(|panic| {
        Stop::failure(format!("internal error in streamseal: {}", words_of(panic)))
            .help("please report it, with the command and this line")
            .print();
    }));
}

/// Runs `main`, in which a panic is a failure.
pub(super) fn caught(main: impl FnOnce() -> Exit + UnwindSafe) -> Exit {
    catch_unwind(main).unwrap_or(Exit::Failure)
}

/// What it was, and where.
fn words_of(panic: &PanicHookInfo<'_>) -> String {
    let what = panic.payload_as_str().and_then(|what| what.lines().next()).unwrap_or("panic without a message");
    let place = panic.location().map(|at| format!(" ({}:{})", file_name(at.file()), at.line())).unwrap_or_default();
    format!("{}{place}", EventText::new(what))
}

/// Without the folders of whoever built it.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> Variables {
        all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn blank_settings_are_not_set_and_the_default_profile_goes_first() {
        for (given, tidy) in [
            (&[("AWS_REGION", ""), ("AWS_ENDPOINT_URL_KMS", " \t"), ("https_proxy", "")][..], &[][..]),
            (&[("POLICY", ""), ("HOME", "")], &[("POLICY", ""), ("HOME", "")]),
            (&[("AWS_PROFILE", "a"), ("AWS_REGION", "r")], &[("AWS_PROFILE", "a"), ("AWS_REGION", "r")]),
            (&[("AWS_DEFAULT_PROFILE", "b")], &[("AWS_DEFAULT_PROFILE", "b"), ("AWS_PROFILE", "b")]),
            (
                &[("AWS_DEFAULT_PROFILE", "b"), ("AWS_PROFILE", "a")],
                &[("AWS_DEFAULT_PROFILE", "b"), ("AWS_PROFILE", "b")],
            ),
            (&[("AWS_DEFAULT_PROFILE", ""), ("AWS_PROFILE", "a")], &[("AWS_PROFILE", "a")]),
        ] {
            let tidy = variables(tidy);
            assert_eq!(tidied(&variables(given)), tidy, "{given:?}");
            assert_eq!(tidied(&tidy), tidy, "a second time changes nothing, or the program would start for ever");
        }
    }

    #[test]
    fn a_panic_is_a_failure() {
        assert_eq!(caught(|| panic!("of a library\nwith more lines")), Exit::Failure);
        assert_eq!(caught(|| Exit::NonCompliant), Exit::NonCompliant);
    }

    #[test]
    fn nothing_of_the_machine_that_built_it_is_shown() {
        assert_eq!(file_name("/home/me/.cargo/registry/src/x/src/lib.rs"), "lib.rs");
    }
}
