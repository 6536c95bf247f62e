//! Fuzz targets: the parser of payloads and the loader of policies take any bytes and answer.
//!
//! Under `cargo test` each target runs its corpus (`__fuzz__/…/corpus`: links to `events/` and `tests/policies/bad/`) and a bounded number of inputs
//! drawn from seeds, the same each time; the `damaged_…` ones corpus files with bytes changed. `BOLERO_RANDOM_ITERATIONS=1000000 cargo test …`
//! tries other ones each time, and under `cargo bolero test` (which has its own toolchain needs) the same targets are guided by
//! coverage. A crash that is found becomes a file of the corpus.

use std::path::{Path, PathBuf};

use bolero::check;
use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::arn::Scope;
use streamseal::domain::cause::Cause;
use streamseal::domain::event::found::{REPORTED_MAX, TODO_MAX};
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::policy::Policy;
use streamseal::domain::scan::Scan;
use streamseal::domain::text::{EVENT_TEXT_MAX, EventText};
use streamseal::domain::work::Work;

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

/// Messages and events of ours with odd numbers and times, texts without end, lists without end and depth without end put in.
#[test]
fn odd_payloads() {
    let corpus = corpus("events");
    (0..CASES / 20).for_each(|seed| payload(&odd(&corpus, seed)));
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

/// A file of the corpus with up to four of its members replaced by something odd, and every other time in a queue's message.
fn odd(corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut event: Value = serde_json::from_slice(&corpus[dice.usize(..corpus.len())]).unwrap();
    for _ in 0..dice.usize(1..=4) {
        let mut places = Vec::new();
        places_of(&event, "", &mut places);
        let place = &places[dice.usize(..places.len())];
        let was = event.pointer(place).cloned().unwrap_or_default();
        *event.pointer_mut(place).unwrap() = oddity(&mut dice, was);
    }
    if dice.bool() {
        let source = "arn:aws:sqs:eu-west-1:111122223333:q.fifo";
        let record =
            json!({"eventSource": "aws:sqs", "messageId": "1", "body": event.to_string(), "eventSourceARN": source});
        event = json!({"Records": [record]});
    }
    event.to_string().into_bytes()
}

/// Something that nobody hands over purpose, in place of what was there.
fn oddity(dice: &mut fastrand::Rng, was: Value) -> Value {
    let numbers = [
        json!(u64::MAX),
        json!(u64::MAX - 1),
        json!(i64::MIN),
        json!(u64::from(u32::MAX) + 1),
        json!(1e308),
        json!(-0.5),
        json!(999_988_887_777_u64),
    ];
    let times = [
        "9999-12-30T22:00:00.999999999Z",
        "-009999-01-02T01:59:59Z",
        "2026-03-03T08:00:00Z",
        "2026-03-02T12:59:59Z",
        "2012-12-31T23:59:59Z",
        "2013-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
    ];
    let (wide, deep) = (dice.usize(11..300), dice.usize(1..120));
    match dice.u8(0..10) {
        0..=2 => numbers[dice.usize(..numbers.len())].clone(),
        3..=4 => json!(times[dice.usize(..times.len())]),
        5 => json!("\u{202e}\n\"x".repeat(wide)),
        6 => json!("a".repeat(wide)),
        7 => Value::Array(vec![was; wide]),
        8 => (0..deep).fold(was, |inner, _| json!([inner])),
        _ => (0..wide).map(|number| (format!("{number} {}", "k".repeat(300)), was.clone())).collect(),
    }
}

/// Every pointer into a value.
fn places_of(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| {
            places_of(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(number, inner)| places_of(inner, &format!("{at}/{number}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn text(bytes: &[u8]) {
    let once = EventText::new(&String::from_utf8_lossy(bytes));
    loggable(once.as_str());
    assert_eq!(EventText::new(once.as_str()), once);
}

/// Neither a control character nor one that changes how others are read, such as a bidirectional mark (Unicode, General_Category Cc, Cf).
pub(crate) fn is_shown(character: char) -> bool {
    let is_format = matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    );
    !character.is_control() && !is_format
}

/// When the fuzzed payloads come in: as the files of `events/` say, or soon after.
fn now() -> Timestamp {
    "2026-03-02T08:00:00Z".parse().unwrap()
}

/// Whatever comes in, a run is only ever for a stream of ours, no message makes more than so many items, every text in them can be
/// logged, and what the function would hand over is read again as it was sent.
fn payload(bytes: &[u8]) {
    let Ok(payload) = serde_json::from_slice::<Value>(bytes) else { return };
    let messages = match parse(&payload, &own(), now()) {
        Input::Direct(items) => vec![items],
        Input::Batch(messages) => {
            assert!(messages.iter().all(|message| !message.id.is_empty()));
            messages.into_iter().map(|message| message.items).collect()
        }
    };
    assert!(!messages.is_empty());
    for items in messages {
        assert!(!items.is_empty());
        let leads_to_nothing = |item: &&Item| matches!(item, Item::Ignored(_) | Item::Rejected(_) | Item::Malformed(_));
        let reported = items.iter().filter(leads_to_nothing).count();
        let rest = items.iter().filter(|item| matches!(item, Item::Rest(_))).count();
        // Of the rest there is one for each reason.
        assert!(
            reported <= REPORTED_MAX && rest <= 25 && items.len() - reported - rest <= TODO_MAX,
            "{} items",
            items.len()
        );
        items.into_iter().for_each(item);
    }
}

fn item(item: Item) {
    match item {
        Item::Reconcile(work) => {
            assert_eq!(work.stream.scope, own());
            cause(&work.cause);
            let json = work.to_json();
            assert!(json.len() < 5_000, "{json}");
            // One more run, as late as can be.
            let next = Work { attempt: work.attempt.saturating_add(1), reruns: work.reruns.saturating_add(1), ..*work };
            let later = now() + std::time::Duration::from_secs(900);
            let read = Work::parse(&serde_json::from_str(&next.to_json()).unwrap(), &own(), later);
            assert_eq!(read, Ok(next));
        }
        Item::Scan(scan) | Item::ScanNow(scan) | Item::PolicyChanged(_, scan) => {
            cause(&scan.cause);
            assert!(scan.id.chars().count() <= 801, "{}", scan.id);
            let json = scan.to_json();
            assert!(json.len() < 256 * 1024, "{} bytes", json.len());
            assert_eq!(Scan::parse(&serde_json::from_str(&json).unwrap(), now()), Ok(*scan));
        }
        Item::Ignored(why) => loggable(&why.to_string()),
        Item::Rejected(why) => loggable(&why.to_string()),
        Item::Malformed(why) => loggable(why.as_str()),
        Item::Rest(rest) => assert!(rest.count > 0),
    }
}

/// No time that was not checked, no text that was not cut.
fn cause(cause: &Cause) {
    let at: Vec<&EventText> =
        [Some(&cause.call), cause.event_id.as_ref(), cause.actor.as_ref()].into_iter().flatten().collect();
    at.iter().for_each(|text| loggable(text.as_str()));
    assert!(cause.at.is_none_or(|at| at <= now() && at.to_string().as_str() >= "2013"), "{cause:?}");
}

fn loggable(text: &str) {
    assert!(text.chars().all(is_shown), "{text:?}");
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
