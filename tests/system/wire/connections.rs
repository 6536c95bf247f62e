//! Connections: which request goes on which, and what becomes of one that breaks, falls silent or is not used.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::config::SharedHttpClient;
use futures_util::future::join_all;
use serde_json::json;
use streamseal::aws::{Aws, Connections, Timeouts};
use streamseal::cli::connect::Connection;
use streamseal::config::Source;
use streamseal::domain::failure::Failure;
use streamseal::ports::{CallLog, KeyApi, ParameterApi, StreamApi};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{aws_with, key_ref, scope, stream, summary};
use crate::support::PATIENCE;

/// What the peer does with a request.
#[derive(Clone, Copy)]
enum Reply {
    Ok,
    Unavailable,
    /// Ends the connection with RST, as a host does that has forgotten it.
    Reset,
    /// Ends it with FIN.
    Close,
    /// Nothing, and the connection stays.
    Silence,
    /// Answers when so many requests are there.
    Together(usize),
}

#[derive(Default)]
struct Compared {
    /// The connection, counted from 0, and the operation of each request.
    requests: Vec<(usize, String)>,
    /// The connections that the client closed.
    closed: Vec<usize>,
    connections: usize,
}

/// A peer that speaks HTTP/1.1, keeps connections, and answers as `script` says of the n-th request and its connection.
struct Peer {
    endpoint: String,
    seen: Arc<watch::Sender<Compared>>,
}

impl Peer {
    async fn start(script: impl Fn(usize, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(watch::Sender::new(Compared::default()));
        let (script, sender) = (Arc::new(script), Arc::clone(&seen));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let mut number = 0;
                sender.send_modify(|seen| (number, seen.connections) = (seen.connections, seen.connections + 1));
                tokio::spawn(serve(socket, number, Arc::clone(&sender), Arc::clone(&script)));
            }
        });
        Self { endpoint, seen }
    }

    /// Waits until what was seen is so.
    async fn until(&self, is_so: impl FnMut(&Compared) -> bool) {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(PATIENCE, seen.wait_for(is_so)).await.expect("it does not come to that").unwrap();
    }

    /// On which connection each request came.
    fn used(&self) -> Vec<usize> {
        self.seen.borrow().requests.iter().map(|(connection, _)| *connection).collect()
    }

    fn operations(&self) -> Vec<String> {
        self.seen.borrow().requests.iter().map(|(_, operation)| operation.clone()).collect()
    }

    async fn aws(&self, timeouts: Timeouts) -> Aws {
        self.aws_by(timeouts, None).await
    }

    async fn aws_by(&self, timeouts: Timeouts, client: Option<SharedHttpClient>) -> Aws {
        let endpoint = Some(self.endpoint.clone());
        aws_with(scope(), Connection { endpoint, timeouts, client, ..Connection::default() }).await
    }
}

/// Reads one request; its operation, or `None` where the client closed.
async fn request(socket: &mut TcpStream) -> Option<String> {
    let (mut text, mut byte) = (Vec::new(), [0]);
    while !text.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8(text).unwrap();
    let header = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    socket.read_exact(&mut vec![0; length]).await.ok()?;
    header("x-amz-target")?.rsplit('.').next().map(str::to_owned)
}

async fn serve(
    mut socket: TcpStream,
    number: usize,
    seen: Arc<watch::Sender<Compared>>,
    script: Arc<impl Fn(usize, usize) -> Reply>,
) {
    while let Some(operation) = request(&mut socket).await {
        let body = match operation.as_str() {
            "DescribeStreamSummary" => summary(json!({})),
            "GetParameter" => json!({"Parameter": {"Type": "String", "Value": "text"}}),
            _ => json!({"__type": "NotFoundException"}),
        };
        let mut nth = 0;
        seen.send_modify(|seen| {
            nth = seen.requests.len();
            seen.requests.push((number, operation));
        });
        let status = match script(nth, number) {
            Reply::Ok if body.get("__type").is_some() => "400 Bad Request",
            Reply::Ok => "200 OK",
            Reply::Unavailable => "503 Service Unavailable",
            Reply::Reset => {
                socket.set_zero_linger().unwrap();
                return;
            }
            Reply::Close => return,
            Reply::Silence => continue,
            Reply::Together(count) => {
                let mut all = seen.subscribe();
                all.wait_for(|seen| seen.requests.len() >= count).await.unwrap();
                "200 OK"
            }
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.to_string().len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            break;
        }
    }
    seen.send_modify(|seen| seen.closed.push(number));
}

async fn describe(aws: &Aws) -> Result<(), Failure> {
    aws.describe(&stream(), &CallLog::default()).await.map(drop)
}

/// So many at once, each on a connection of its own.
async fn describe_at_once(aws: &Aws, count: usize) {
    join_all((0..count).map(|_| describe(aws))).await.into_iter().collect::<Result<Vec<()>, _>>().unwrap();
}

#[tokio::test]
async fn services_share_the_connections_to_a_host() {
    let peer = Peer::start(|_, _| Reply::Ok).await;
    let aws = peer.aws(Timeouts::default()).await;
    describe(&aws).await.unwrap();
    aws.lookup(&key_ref("alias/x"), &CallLog::default()).await.unwrap();
    aws.read(&Source::Parameter("/p".to_owned())).await.unwrap();
    assert_eq!(peer.operations(), ["DescribeStreamSummary", "DescribeKey", "GetParameter"]);
    assert_eq!(peer.used(), [0, 0, 0]);
}

#[tokio::test]
async fn a_connection_that_answered_503_is_not_used_again() {
    let peer = Peer::start(|nth, _| if nth < 5 { Reply::Unavailable } else { Reply::Ok }).await;
    let aws = peer.aws(Timeouts::default()).await;
    for _ in 0..5 {
        describe(&aws).await.unwrap_err();
    }
    describe(&aws).await.unwrap();
    describe(&aws).await.unwrap();
    assert_eq!(peer.used(), [0, 1, 2, 3, 4, 5, 5]);
}

#[tokio::test]
async fn a_read_that_was_lost_with_its_connection_is_sent_once_more_at_once_on_a_new_one() {
    for lost in [Reply::Reset, Reply::Close] {
        let peer = Peer::start(move |nth, _| if nth == 1 { lost } else { Reply::Ok }).await;
        let aws = peer.aws(Timeouts::default()).await;
        describe(&aws).await.unwrap();
        let log = CallLog::default();
        aws.describe(&stream(), &log).await.unwrap();
        assert_eq!(peer.used(), [0, 0, 1]);
        assert_eq!(log.calls().len(), 1);
    }
}

#[tokio::test]
async fn a_read_is_sent_twice_at_most_and_a_write_once() {
    let peer = Peer::start(|nth, _| if nth == 0 { Reply::Ok } else { Reply::Reset }).await;
    let aws = peer.aws(Timeouts::default()).await;
    describe(&aws).await.unwrap();
    let failure = describe(&aws).await.unwrap_err();
    assert_eq!((failure.code.as_str(), peer.used()), ("NoAnswer", vec![0, 0, 1]));
    let failure = aws.start_encryption(&stream(), &super::key(), &CallLog::default()).await.unwrap_err();
    assert!(failure.may_have_applied, "{failure:?}");
    assert_eq!(peer.used(), [0, 0, 1, 2]);
}

/// A host that was away, or a function that was frozen: what is true of one connection is true of those beside it.
#[tokio::test]
async fn after_a_reset_no_connection_of_that_time_is_used() {
    let peer = Peer::start(|nth, connection| match (nth, connection) {
        (0..4, _) => Reply::Together(4),
        (_, 0..4) => Reply::Reset,
        _ => Reply::Ok,
    })
    .await;
    let aws = peer.aws(Timeouts::default()).await;
    describe_at_once(&aws, 4).await;
    for _ in 0..4 {
        describe(&aws).await.unwrap();
    }
    let used = peer.used();
    assert!(used[4] < 4, "one of those that were there: {used:?}");
    assert_eq!(used[5..], [4, 4, 4, 4]);
}

/// What lies between the two dropped the connection and reports nobody.
#[tokio::test]
async fn a_peer_that_forgot_the_connections_without_a_word_costs_one_timeout() {
    let peer = Peer::start(|nth, connection| match (nth, connection) {
        (0..3, _) => Reply::Together(3),
        (_, 0..3) => Reply::Silence,
        _ => Reply::Ok,
    })
    .await;
    let aws = peer.aws(Timeouts { attempt: Duration::from_millis(300), ..Timeouts::default() }).await;
    describe_at_once(&aws, 3).await;
    assert_eq!(describe(&aws).await.unwrap_err().code.as_str(), "Timeout");
    describe(&aws).await.unwrap();
    assert_eq!(peer.used()[4..], [3]);
}

#[tokio::test]
async fn a_connection_that_nobody_used_for_fifteen_seconds_is_not_used_again() {
    let peer = Peer::start(|_, _| Reply::Ok).await;
    let aws = peer.aws(Timeouts::default()).await;
    describe(&aws).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(14)).await;
    tokio::time::resume();
    describe(&aws).await.unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(16)).await;
    tokio::time::resume();
    describe(&aws).await.unwrap();
    assert_eq!(peer.used(), [0, 0, 1]);
}

#[tokio::test]
async fn few_connections_that_nobody_uses_are_kept() {
    let peer = Peer::start(|_, _| Reply::Together(5)).await;
    let (connect, idle) = (Duration::from_secs(2), Duration::from_secs(15));
    let connections = Connections { connect, idle, idle_max: 2, proxies: false, trust: None };
    let aws = peer.aws_by(Timeouts::default(), Some(connections.client())).await;
    describe_at_once(&aws, 5).await;
    peer.until(|seen| seen.closed.len() == 3).await;
    describe(&aws).await.unwrap();
    assert_eq!(peer.seen.borrow().connections, 5, "one of the two is used");
}
