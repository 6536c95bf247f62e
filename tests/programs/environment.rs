//! Calls what its environment names, once as the command line is configured and once as the function is: a program of
//! `tests/system/wire.rs`, since the environment belongs to a whole process.
//!
//! `test-environment STREAM-ARN QUEUE-URL SCAN-QUEUE-URL`; it panics where an answer is not the one expected.
#![expect(clippy::unwrap_used, reason = "it is part of a test")]

use std::collections::BTreeMap;

use jiff::Timestamp;
use streamseal::aws::{Aws, Queues, function_config};
use streamseal::cli::connect::{Connection, sdk_config};
use streamseal::config::Source;
use streamseal::domain::arn::{KeyRef, Scope, StreamArn};
use streamseal::domain::history::Query;
use streamseal::domain::model::KeyLookup;
use streamseal::ports::{CallLog, FleetApi, KeyApi, ParameterApi, StreamApi, TrailApi, TrailPage};

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(calls());
}

async fn calls() {
    let mut arguments = std::env::args().skip(1);
    let stream = StreamArn::parse(&arguments.next().unwrap()).unwrap();
    let queues = Queues { work: arguments.next(), scans: arguments.next() };
    let scope = Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() };
    let since: Timestamp = "2026-08-07T12:00:00Z".parse().unwrap();
    for sdk in [sdk_config(&Connection::default()).await, function_config().await] {
        let aws = Aws::new(&sdk, scope.clone(), queues.clone());
        let log = CallLog::default();
        aws.describe(&stream, &log).await.unwrap();
        let key = KeyRef::parse("alias/x").unwrap();
        assert_eq!(aws.lookup(&key, &log).await.unwrap(), KeyLookup::NotFound);
        assert_eq!(aws.read(&Source::File("policy.yaml".into())).await.unwrap(), "version: 1\n");
        assert_eq!(aws.tags_of(std::slice::from_ref(&stream), &log).await.unwrap(), BTreeMap::new());
        for query in Query::ALL {
            assert_eq!(aws.trail_page(&query, since, None, &log).await.unwrap(), TrailPage::default());
        }
    }
    // Not on here, since the SDK refuses either together with an endpoint of one's own.
    let config = function_config().await;
    assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(false), Some(false)));
}
