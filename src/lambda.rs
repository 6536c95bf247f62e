//! The function on Lambda: telemetry, and the runtime's event loop around the handler.
//!
//! It translates between the runtime's types and the handler's and decides nothing. A failed item is an answer of SQS
//! (`batchItemFailures`) or a function error with our own type; a panic outside of an item is reported by the runtime.

use std::fmt;
use std::io::Write;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse};
use futures_util::FutureExt;
use jiff::Timestamp;
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::tower::layer::layer_fn;
use lambda_runtime::{BoxFuture, Diagnostic, Error, LambdaEvent, LambdaInvocation, Runtime, Service, service_fn};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

use crate::config::LogLevel;
use crate::domain::text::EventText;
use crate::ports::{Credentials, World};
use crate::run::handler::App;
use crate::run::handler::answer::{Answer, Invocation};

/// Starts log lines: JSON on standard error, ours at `level`, those of libraries from `warn` up, and a panic at any level.
pub fn start_telemetry(level: LogLevel) {
    report_panics();
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let lines = tracing_subscriber::fmt::layer().json().with_current_span(false).with_span_list(false);
    let filter = Targets::new().with_target("streamseal", level).with_default(LevelFilter::WARN.min(level));
    let subscriber = tracing_subscriber::registry().with(lines.with_writer(std::io::stderr).with_filter(filter));
    // A second subscriber (in tests) is refused; the first one goes on.
    let _ = subscriber.try_init();
}

/// From now on a panic is one line of JSON on standard error, like all others. It is written without the subscriber, since a panic may be
/// that of a subscriber.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let line = panic_line(panic.payload_as_str(), place.as_deref(), Timestamp::now());
        // Nobody is left to know when standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }));
}

/// What a panic is reported as. Its words may hold what came in: they are escaped and cut.
fn panic_line(words: Option<&str>, place: Option<&str>, at: Timestamp) -> Value {
    let (words, place) = (EventText::new(words.unwrap_or("without words")), EventText::new(place.unwrap_or("unknown")));
    let fields = json!({"message": format!("panicked: {words}"), "place": place});
    json!({"timestamp": at, "level": "ERROR", "fields": fields, "target": "streamseal"})
}

/// Takes invocations until the platform ends the process, or until the credentials are out of date: Lambda gives new ones to a new
/// process alone.
///
/// # Errors
/// Where the runtime's own interface cannot be reached.
pub async fn serve<W: World + 'static>(app: App<W>) -> Result<(), Error> {
    let app = Arc::new(app);
    let served = Arc::clone(&app);
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let app = Arc::clone(&served);
        // Boxed, as the item is in the handler: the compiler's recursion limit is not ours to raise in every binary.
        async move { invoke(&app, event).await }.boxed()
    });
    let until = layer_fn(move |inner| Until { inner, app: Arc::clone(&app) });
    match Runtime::new(handler).layer(TracingLayer::new()).layer(until).run().boxed().await {
        Err(error) if error.is::<Expired>() => {
            warn!("{error}");
            Ok(())
        }
        ended => ended,
    }
}

/// What the runtime calls for an invocation: it returns when the answer was sent.
struct Until<S, W> {
    inner: S,
    app: Arc<App<W>>,
}

impl<S, W> Service<LambdaInvocation> for Until<S, W>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: Send + 'static,
    W: Credentials + 'static,
{
    type Response = ();
    type Error = Error;
    type Future = BoxFuture<'static, Result<(), Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let (answered, app) = (self.inner.call(invocation), Arc::clone(&self.app));
        async move {
            answered.await?;
            if app.world().have_expired() { Err(Expired.into()) } else { Ok(()) }
        }
        .boxed()
    }
}

/// Why the process ends.
#[derive(Debug)]
struct Expired;

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the credentials of this process are out of date: it ends, and Lambda starts another one")
    }
}

impl std::error::Error for Expired {}

/// The payload comes as it is: one that is nested too deeply for a JSON value must be reported so in our words.
async fn invoke<W: World>(app: &App<W>, event: LambdaEvent<Box<RawValue>>) -> Result<Value, Diagnostic> {
    let deadline = i64::try_from(event.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let invocation = Invocation {
        id: event.context.request_id,
        // Every invocation has one; without it the earliest possible is the safe reading.
        deadline: deadline.unwrap_or_else(|| app.world().now()),
    };
    match app.handle(event.payload.get(), &invocation).await {
        Ok(Answer::Direct(value)) => Ok(value),
        Ok(Answer::Batch(failed)) => {
            let failures = failed.into_iter().map(|id| {
                let mut failure = BatchItemFailure::default();
                failure.item_identifier = id;
                failure
            });
            let mut answer = SqsBatchResponse::default();
            answer.batch_item_failures = failures.collect();
            serde_json::to_value(&answer)
                .map_err(|error| Diagnostic { error_type: "Unwritable".to_owned(), error_message: error.to_string() })
        }
        Err(unhandled) => {
            Err(Diagnostic { error_type: unhandled.kind().to_owned(), error_message: unhandled.to_string() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line_of_json_escaped_and_cut() {
        let words = format!("no \"{}\"\n{{}}\u{1b}[31m", "x".repeat(100_000));
        for words in [Some(words.as_str()), Some("on\npurpose"), None] {
            let line = panic_line(words, Some("src/a.rs:1:2"), Timestamp::UNIX_EPOCH).to_string();
            assert!(line.len() < 500 && !line.contains('\n') && !line.contains('\u{1b}'), "{line}");
            let read: Value = serde_json::from_str(&line).unwrap();
            assert_eq!((&read["level"], &read["fields"]["place"]), (&json!("ERROR"), &json!("src/a.rs:1:2")));
            assert!(read["fields"]["message"].as_str().unwrap().starts_with("panicked: "), "{line}");
        }
    }
}
