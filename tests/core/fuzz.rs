//! Fuzz targets: the parser of payloads and the loader of policies take any bytes and answer.
//!
//! Under `cargo test` each target runs its corpus (`__fuzz__/…/corpus`: links to `events/` and `tests/policies/bad/`) and a bounded number of inputs
//! drawn from seeds, the same each time; the `damaged_…` ones corpus files with bytes changed. `BOLERO_RANDOM_ITERATIONS=1000000 cargo test …`
//! tries other ones each time, and under `cargo bolero test` (which has its own toolchain needs) the same targets are guided by
//! coverage. A crash that is found becomes a file of the corpus.

use std::path::{Path, PathBuf};

use bolero::check;
use jiff::Timestamp;
use serde_json::Value;
use streamseal::domain::event::{Input, Item, parse};
use streamseal::domain::model::{EVENT_TEXT_MAX, EventText, Scope};
use streamseal::domain::policy::Policy;

const CASES: u64 = 20_000;
/// The longest drawn input, in bytes.
const LENGTH_MAX: usize = 4_096;

/// Bytes to overwrite: where (of 65,536 parts of the text) and with what.
type Edits = Vec<(u16, u8)>;

fn own() -> Scope {
    Scope { partition: "aws".into(), region: "eu-west-1".into(), account: "111122223333".into() }
}

#[test]
fn payloads() {
    (0..CASES).for_each(|seed| payload(&bytes(seed)));
    check!().with_iterations(0).for_each(|bytes: &[u8]| payload(bytes));
}

#[test]
fn damaged_payloads() {
    let corpus = corpus("events");
    (0..CASES).for_each(|seed| payload(&damaged_by(&corpus, seed)));
    check!().with_iterations(0).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        payload(&damaged(&corpus, *which, edits));
    });
}

#[test]
fn policies() {
    (0..CASES).for_each(|seed| policy(&bytes(seed)));
    check!().with_iterations(0).for_each(|bytes: &[u8]| policy(bytes));
}

#[test]
fn damaged_policies() {
    let corpus = corpus("tests/policies");
    (0..CASES / 10).for_each(|seed| policy(&damaged_by(&corpus, seed)));
    check!().with_iterations(0).with_type::<(u8, Edits)>().for_each(|(which, edits)| {
        policy(&damaged(&corpus, *which, edits));
    });
}

/// Escaping is safe and happens once.
#[test]
fn texts() {
    (0..CASES).for_each(|seed| text(&bytes(seed)));
    check!().with_iterations(0).for_each(|bytes: &[u8]| text(bytes));
}

/// The bytes of a seed, most often few; every other time printable, so that some of them are text.
fn bytes(seed: u64) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let most = dice.usize(1..=LENGTH_MAX.ilog2() as usize);
    let length = dice.usize(0..=1 << most);
    let printable = dice.bool();
    (0..length).map(|_| if printable { dice.u8(b' '..=b'~') } else { dice.u8(..) }).collect()
}

/// A file of the corpus with up to sixteen bytes changed.
fn damaged_by(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let which = dice.u8(..);
    let edits: Edits = (0..dice.usize(0..=16)).map(|_| (dice.u16(..), dice.u8(..))).collect();
    damaged(corpus, which, &edits)
}

fn text(bytes: &[u8]) {
    let once = EventText::new(&String::from_utf8_lossy(bytes));
    loggable(once.as_str());
    assert_eq!(EventText::new(once.as_str()), once);
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
