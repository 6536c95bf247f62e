//! The Lambda function: reads the configuration, builds the clients once, serves. Nothing else.

use std::process::ExitCode;

use streamseal::aws::{Aws, Queues, function_config};
use streamseal::config::{Config, LogLevel};
use streamseal::lambda::{serve, start_telemetry};
use streamseal::run::handler::App;

fn main() -> ExitCode {
    let config = match Config::from_vars(|name| std::env::var(name).ok()) {
        Ok(config) => config,
        Err(faults) => {
            start_telemetry(LogLevel::Error);
            for fault in faults {
                tracing::error!(variable = fault.variable, "configuration: {fault}");
            }
            return ExitCode::FAILURE;
        }
    };
    start_telemetry(config.log_level);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("the async runtime cannot be built: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = runtime.block_on(async {
        let queues = Queues { work: config.queue_url.clone(), scans: config.scan_queue_url.clone() };
        let aws = Aws::new(&function_config().await, config.own.clone(), queues).with_bus(config.result_bus.clone());
        serve(App::new(aws, config)).await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the runtime ended: {error}");
            ExitCode::FAILURE
        }
    }
}
