//! A Lambda function that does nothing: answers each event with null.

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;

fn main() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(service_fn(|_: LambdaEvent<Value>| async { Ok::<_, Error>(Value::Null) })))
}
