//! Fuzz targets: the parser of payloads and the loader of policies take any bytes and answer.
//!
//! Under `cargo test` each target runs its corpus (`__fuzz__/…/corpus`: links to `events/` and `tests/policies/bad/`) and a bounded number of random
//! inputs, and the `damaged_…` ones corpus files with bytes changed; under `cargo bolero test` (which has its own toolchain
//! needs) the same targets are guided by coverage. A crash that is found becomes a file of the corpus.

use std::path::{Path, PathBuf};

use bolero::check;
use jiff::Timestamp;
use serde_json::Value;
use streamseal::domain::event::{Input, Item, parse};
use streamseal::domain::model::{EVENT_TEXT_MAX, EventText, Scope};
use streamseal::domain::policy::Policy;

const CASES: usize = 20_000;

/// Bytes to overwrite: where (of 65,536 parts of the text) and with what.
type Edits = Vec<(u16, u8)>;

fn own() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

#[test]
fn payloads() {
    check!().with_iterations(CASES).for_each(|bytes: &[u8]| payload(bytes));
}

#[test]
fn damaged_payloads() {
    let corpus = corpus("events");
    check!().with_iterations(CASES).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        payload(&damaged(&corpus, *which, edits));
    });
}

#[test]
fn policies() {
    check!().with_iterations(CASES).for_each(|bytes: &[u8]| policy(bytes));
}

#[test]
fn damaged_policies() {
    let corpus = corpus("tests/policies");
    check!().with_iterations(CASES / 10).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        policy(&damaged(&corpus, *which, edits));
    });
}

/// Escaping is safe and happens once.
#[test]
fn texts() {
    check!().with_iterations(CASES).for_each(|bytes: &[u8]| {
        let once = EventText::new(&String::from_utf8_lossy(bytes));
        loggable(once.as_str());
        assert_eq!(EventText::new(once.as_str()), once);
    });
}

/// Whatever comes in, a run is only ever for a stream of ours, and every reason can be logged.
fn payload(bytes: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else { return };
    let items = match parse(&payload, &own(), Timestamp::UNIX_EPOCH) {
        Input::Direct(items) => items,
        Input::Batch(messages) => {
            assert!(messages.iter().all(|message| !message.id.is_empty()));
            messages.into_iter().flat_map(|message| message.items).collect()
        }
    };
    assert!(!items.is_empty());
    for item in items {
        match item {
            Item::Reconcile(work) => {
                assert_eq!(work.stream.scope, own());
                assert!(serde_json::from_str::<Value>(&work.to_json()).is_ok());
            }
            Item::Scan(scan) | Item::ScanNow(scan) | Item::PolicyChanged(_, scan) => {
                assert!(serde_json::from_str::<Value>(&scan.to_json()).is_ok());
            }
            Item::Ignored(why) => loggable(&why.to_string()),
            Item::Rejected(why) => loggable(&why.to_string()),
            Item::Malformed(why) => loggable(&why),
        }
    }
}

fn loggable(text: &str) {
    assert!(text.chars().all(|c| c == ' ' || c == '…' || c.is_ascii_graphic()), "{text:?}");
    assert!(!text.contains('\n') && text.chars().count() < 3 * EVENT_TEXT_MAX, "{text:?}");
}

/// A policy is taken, or refused with places that are in the text.
fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // YAML takes a lone carriage return for the end of a line, and the end of the text is a place too.
    let lines = text.matches(['\n', '\r']).count() + 2;
    match Policy::load(&text) {
        Ok(policy) => assert!(!policy.rules.is_empty() && policy.digest.starts_with("sha256:")),
        Err(faults) => {
            assert!(!faults.is_empty());
            for fault in faults {
                assert!((1..=lines).contains(&fault.line), "{fault:?} in {lines} lines");
                assert!(fault.column >= 1, "{fault:?}");
            }
        }
    }
}

fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let mut files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
    files.sort();
    assert!(files.len() > 20, "the corpus in {folder} is there");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn damaged(corpus: &[Vec<u8>], which: u8, edits: &Edits) -> Vec<u8> {
    let mut bytes = corpus[usize::from(which) % corpus.len()].clone();
    for (place, byte) in edits {
        let place = usize::from(*place) * bytes.len() / 65_536;
        // Printable bytes only: what is not text is refused at once and teaches nothing.
        bytes[place] = b' ' + byte % 95;
    }
    bytes
}
