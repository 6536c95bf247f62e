//! Errors of the SDK as failures: their code, what it means by `domain/codes.rs`, and whether the call may have taken effect all the same.

use std::error::Error;
use std::io;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::domain::call::is_write;
use crate::domain::codes::{
    NO_ANSWER, NO_CREDENTIALS, NO_HOST, NOT_AWS, NOT_SENT, TIMEOUT, UNREADABLE, UNTRUSTED, class_of, words,
};
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::text::EventText;

/// The failure that `error` is. The text of the service is kept, escaped and cut.
pub(super) fn failure<E>(call: &'static str, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let (class, code, message) = match error.code() {
        Some(code) => {
            let message = error.message().unwrap_or_default();
            (class_of(call, code, message), code, message.to_owned())
        }
        None => without_code(error, status.unwrap_or_default()),
    };
    Failure {
        class,
        call,
        code: EventText::new(code),
        message: words(class, &message),
        may_have_applied: is_write(call) && may_have_applied(error, status),
    }
}

fn without_code<E>(error: &SdkError<E, HttpResponse>, status: u16) -> (Class, &'static str, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ConstructionFailure(_) => (Class::Permanent(Fault::Request), NOT_SENT, chain(error)),
        SdkError::TimeoutError(_) => (Class::Retryable, TIMEOUT, chain(error)),
        SdkError::DispatchFailure(dispatch) if dispatch.is_timeout() => (Class::Retryable, TIMEOUT, chain(error)),
        SdkError::DispatchFailure(_) => match causes(error).find_map(distrust) {
            Some(why) => {
                let message = format!("the certificate of the endpoint is not trusted: {why}");
                (Class::Permanent(Fault::Request), UNTRUSTED, message)
            }
            None if causes(error).any(speaks_no_tls) => {
                (Class::Retryable, NOT_AWS, "the endpoint does not speak TLS: is its URL one of `http://`?".to_owned())
            }
            None if causes(error).any(speaks_no_http) => (
                Class::Retryable,
                NOT_AWS,
                "the endpoint does not speak HTTP: is its URL one of `https://`?".to_owned(),
            ),
            None if causes(error).any(is_no_host) => (Class::Retryable, NO_HOST, chain(error)),
            // The SDK has no kind for it either: credentials are fetched on the way to the request.
            None if causes(error).any(|cause| cause.to_string().contains("credential")) => {
                (Class::Retryable, NO_CREDENTIALS, chain(error))
            }
            None => (Class::Retryable, NO_ANSWER, chain(error)),
        },
        _ if error.raw_response().is_some_and(is_of_a_stranger) => {
            (Class::Retryable, NOT_AWS, format!("HTTP {status} with a page that is not of AWS"))
        }
        SdkError::ServiceError(_) => {
            let words = error.message().map(|words| format!(": {words}")).unwrap_or_default();
            (Class::Retryable, UNREADABLE, format!("HTTP {status} without an error code{words}"))
        }
        _ => (Class::Retryable, UNREADABLE, format!("HTTP {status} with an answer that cannot be read")),
    }
}

/// Whether an answer is a page or a line for people, as web servers and proxies send it: APIs answer with JSON, CBOR or XML. A fault of
/// theirs (from 500 on) may pass, and an answer of AWS's that is cut off has its type.
fn is_of_a_stranger(response: &HttpResponse) -> bool {
    let kind = response.headers().get("content-type").unwrap_or_default().to_ascii_lowercase();
    let is_for_people = ["text/html", "text/plain"].iter().any(|page| kind.starts_with(page));
    // A line without a type, and without what AWS names its requests by.
    let is_line = kind.is_empty()
        && response.headers().get("content-length") != Some("0")
        && !response.headers().iter().any(|(name, _)| name.starts_with("x-amz"));
    match response.status().as_u16() {
        500.. => false,
        400.. => is_for_people || is_line,
        _ => is_for_people,
    }
}

/// Whether the other side answered something else than TLS.
fn speaks_no_tls(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref::<rustls::Error>(), Some(rustls::Error::InvalidMessage(_)))
}

/// The same of HTTP. Hyper has no kind for it that can be asked for here, only these words.
fn speaks_no_http(error: &(dyn Error + 'static)) -> bool {
    error.to_string().starts_with("invalid HTTP version parsed")
}

/// An answer that lacks what the call is made for.
pub(super) fn unreadable(call: &'static str, what: &str) -> Failure {
    Failure { may_have_applied: is_write(call), ..Failure::retryable(call, UNREADABLE, what) }
}

/// Whether anything of the request can have left: `false` only where it surely did not.
pub(super) fn was_sent<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::DispatchFailure(_) => {
            !causes(error).any(|cause| is_no_connection(cause) || is_lookup(cause) || distrust(cause).is_some())
        }
        _ => true,
    }
}

/// A refusal with a code of a status below 500 changed nothing; with any other answer, or none, nobody can know.
fn may_have_applied<E>(error: &SdkError<E, HttpResponse>, status: Option<u16>) -> bool
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let refused = error.code().is_some() && status.is_some_and(|status| (400..500).contains(&status));
    was_sent(error) && !refused
}

/// The kinds of I/O error that only opening a connection ends with; one that breaks later is reset or closed.
fn is_no_connection(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    error.downcast_ref::<io::Error>().is_some_and(|e| {
        matches!(e.kind(), AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkUnreachable)
    })
}

/// Whether the name of the host could not be found out. The standard library has no kind for it, only these words.
fn is_lookup(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.to_string().starts_with("failed to lookup address information"))
}

/// Whether there is no such host. (`EAI_AGAIN`, which may pass, is "Temporary failure in name resolution" in glibc and "Try again" in musl.)
fn is_no_host(error: &(dyn Error + 'static)) -> bool {
    is_lookup(error) && !["Temporary failure", "Try again"].iter().any(|passes| error.to_string().contains(passes))
}

/// Why TLS did not trust the other side.
fn distrust<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::CertificateError> {
    match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(why),
        _ => None,
    }
}

/// An error with what is behind it. An I/O error names what is behind the error that it holds and not that one.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        Some(io) => io.get_ref().map(|held| held as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// What it says of a profile without credentials.
const NO_PROVIDER: &str = "the credential provider was not enabled";

/// What the SDK puts around an error, and says nothing.
const WRAPPINGS: &[&str] = &[
    "dispatch failure",
    "other",
    "io error",
    "client error (Connect)",
    "failed to construct request",
    NO_PROVIDER,
    "unhandled error",
];

/// What went wrong, from the outside in, without what says nothing. Of an error with several lines only the first one is for people.
fn chain(error: &(dyn Error + 'static)) -> String {
    let sources = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = sources.map(ToString::to_string).collect();
    let said = texts.iter().filter(|text| !WRAPPINGS.contains(&text.as_str()));
    let lines = said.map(|text| text.lines().next().unwrap_or_default().trim_end_matches(". Attempted:"));
    let mut lines: Vec<&str> = lines.collect();
    // Layers of the SDK repeat each other.
    lines.dedup();
    let words = lines.join(": ");
    // The innermost text, where there is no other.
    match texts.last() {
        _ if !words.is_empty() => words,
        Some(text) if text == NO_PROVIDER => "the profile has no credentials".to_owned(),
        last => last.cloned().unwrap_or_default(),
    }
}
