//! How often a call is sent that the server fails: by the command line and by the AWS CLI, with the same settings.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::settings::{Given, POLICY};
use crate::support::{aws_cli_as_given, file};

/// Counts requests by the key id that signed them, and answers each with a fault, or with a throttle where the key id says so.
#[derive(Clone, Default)]
pub(super) struct Server {
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

impl Server {
    /// Starts one; its URL. It ends with the process.
    pub(super) fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                std::thread::spawn(move || server.serve(socket));
            }
        });
        url
    }

    fn serve(&self, socket: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(&socket);
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name.to_ascii_lowercase().as_str() {
                "authorization" => value.split_once("Credential=")?.1.split('/').next()?.clone_into(&mut id),
                "content-length" => length = value.trim().parse().ok()?,
                _ => {}
            }
        }
        reader.read_exact(&mut vec![0; length]).ok()?;
        let (status, code) = if id.ends_with(THROTTLED) { (400, "Throttling") } else { (500, "InternalFailure") };
        *self.counts.lock().unwrap().entry(id).or_default() += 1;
        let body = format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>");
        let head = format!("HTTP/1.1 {status} No\r\ncontent-type: text/xml\r\nconnection: close\r\n");
        write!(&socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).ok()
    }

    fn count(&self, id: &str) -> usize {
        self.counts.lock().unwrap().get(id).copied().unwrap_or_default()
    }
}

const THROTTLED: &str = "THROTTLED";
const MODE: &str = "AWS_RETRY_MODE";
const MOST: &str = "AWS_MAX_ATTEMPTS";

/// Why we differ from the AWS CLI that the tests have, on purpose.
#[derive(Clone, Copy, Debug, PartialEq)]
enum But {
    Same,
    /// Nothing is set: its second version has the mode `standard`, and so have we; its first has `legacy`.
    AsItsSecondVersion,
    /// It ends with a message of Python; for us what is blank is not set.
    BlankIsNotSet,
}

/// Variables, lines of the profile, how often the AWS CLI sends the call, how often we do, and why not as often.
type Row = (&'static [(&'static str, &'static str)], &'static str, usize, usize, But);

const ROWS: &[Row] = &[
    (&[], "", 5, 3, But::AsItsSecondVersion),
    (&[(MODE, "legacy")], "", 5, 5, But::Same),
    (&[(MODE, "standard")], "", 3, 3, But::Same),
    (&[(MODE, "adaptive")], "", 3, 3, But::Same),
    (&[(MODE, "")], "", 0, 3, But::BlankIsNotSet),
    (&[(MOST, "1")], "", 1, 1, But::Same),
    (&[(MOST, "2")], "", 2, 2, But::Same),
    (&[(MOST, "")], "", 0, 3, But::BlankIsNotSet),
    (&[(MODE, "legacy"), (MOST, "1")], "", 1, 1, But::Same),
    (&[(MODE, "legacy"), (MOST, "3")], "", 3, 3, But::Same),
    (&[(MODE, "legacy"), (MOST, "")], "", 0, 5, But::BlankIsNotSet),
    (&[(MODE, "standard"), (MOST, "1")], "", 1, 1, But::Same),
    (&[(MODE, "standard"), (MOST, "4")], "", 4, 4, But::Same),
    (&[(MODE, "standard"), (MOST, "")], "", 0, 3, But::BlankIsNotSet),
    (&[(MODE, "adaptive"), (MOST, "1")], "", 1, 1, But::Same),
    (&[(MODE, "adaptive"), (MOST, "2")], "", 2, 2, But::Same),
    (&[(MODE, "adaptive"), (MOST, "")], "", 0, 3, But::BlankIsNotSet),
    (&[(MODE, ""), (MOST, "1")], "", 0, 1, But::BlankIsNotSet),
    (&[], "retry_mode = standard\nmax_attempts = 2\n", 2, 2, But::Same),
    (&[], "retry_mode = legacy\n", 5, 5, But::Same),
    (&[], "max_attempts = 1\n", 1, 1, But::Same),
    (&[(MODE, "standard")], "retry_mode = legacy\n", 3, 3, But::Same),
    (&[(MOST, "1")], "retry_mode = standard\nmax_attempts = 2\n", 1, 1, But::Same),
    (&[], "retry_mode =\nmax_attempts =\n", 0, 3, But::BlankIsNotSet),
];

/// The same call, GetCallerIdentity, to a server that fails or throttles each.
#[test]
fn a_call_that_fails_is_sent_as_often_as_the_aws_cli_sends_it() {
    let server = Server::default();
    let url = server.start();
    let folder = tempfile::tempdir().unwrap();
    let profile = |(row, (_, lines, ..)): (usize, &Row)| format!("[profile row{row}]\nregion = eu-west-1\n{lines}");
    file(&folder, "config", &ROWS.iter().enumerate().map(profile).collect::<String>());
    // Every other row is throttled, so that each mode has both.
    let id = |who: &str, row: usize| format!("{who}{row}{}", if row.is_multiple_of(2) { "FAILED" } else { THROTTLED });
    let given = |who: &str, row: usize| {
        let (id, profile) = (id(who, row), format!("row{row}"));
        let own = [("AWS_ENDPOINT_URL", &*url), ("AWS_PROFILE", &profile), ("AWS_ACCESS_KEY_ID", &id)];
        let all = [&own[..], &[("AWS_SECRET_ACCESS_KEY", "test")], ROWS[row].0].concat();
        Given::new(folder.path(), &all, &[])
    };
    // The AWS CLI waits long between attempts, and takes a while to start.
    std::thread::scope(|scope| {
        for row in 0..ROWS.len() {
            let (given, folder) = (&given, &folder);
            scope.spawn(move || {
                let command = given("aws", row).for_aws(&["sts", "get-caller-identity"]);
                assert!(aws_cli_as_given(&json!([command]), folder.path())[0].is_err());
            });
            scope.spawn(move || {
                let ran = given("own", row).streamseal(&["explain", "--name", "x", "--policy", POLICY]);
                assert_eq!(ran.code, 4, "{}", ran.err);
            });
        }
    });
    for (row, &(variables, lines, of_aws, of_us, why)) in ROWS.iter().enumerate() {
        let sent = ["aws", "own"].map(|who| server.count(&id(who, row)));
        assert_eq!(sent, [of_aws, of_us], "{variables:?} {lines:?}");
        assert_eq!(of_aws == of_us, why == But::Same, "{variables:?} {lines:?}");
    }
}
