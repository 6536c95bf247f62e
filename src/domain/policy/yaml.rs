//! YAML text to a tree that knows where everything stands and how it was written.
//!
//! Built from the parser's events rather than with a ready-made loader: a policy has to name every duplicate key and not the
//! first alone, `012345678901` must keep its zero, and a hostile text must not overflow the stack. Knows nothing of policies.

use std::collections::BTreeSet;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::fault::{Flaw, Place, PolicyFault};
use crate::domain::text::EventText;

/// Deepest nesting; a policy needs 6.
const DEPTH_MAX: usize = 16;

/// A value and where it starts.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

/// A value by how YAML 1.2 reads it (core schema), with the text as it was written.
#[derive(Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// An unquoted number or boolean.
    Bare(String),
    /// Any other scalar.
    Text(String),
    List(Vec<Node>),
    /// May hold a key twice; that has been reported then.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) text: String,
}

/// The path of the field `name` of what is at `path`.
pub(crate) fn join(path: &str, name: &str) -> String {
    let name = EventText::new(name);
    if path.is_empty() { name.to_string() } else { format!("{path}.{name}") }
}

/// Reads one document; `what` names it in faults. What has no meaning in it (anchors, tags, a key twice) goes to `faults` and reading goes on;
/// an `Err` is the only fault worth reporting.
pub(crate) fn read(text: &str, what: &'static str, faults: &mut Vec<PolicyFault>) -> Result<Node, PolicyFault> {
    let mut builder = Builder { what, open: Vec::new(), root: None, faults };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let mark = error.marker();
            let flaw = Flaw::new(format!("invalid YAML: {}", EventText::new(error.info())));
            // `stream: *-raw` names an anchor in YAML.
            let glob = error.info().contains("anchor");
            let flaw = if glob { flaw.help("put a pattern that begins with `*` in quotes") } else { flaw };
            PolicyFault::new(Place { line: mark.line(), column: mark.col() + 1 }, "", flaw)
        })?;
        let place = Place { line: span.start.line(), column: span.start.col() + 1 };
        let fatal = |message: String| Err(PolicyFault::new(place, "", Flaw::new(message)));
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    return fatal(format!("a {what} must be a single YAML document; a second one starts here"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                builder.refuse(place, anchor > 0, tag.is_some());
                let value = match style {
                    ScalarStyle::Plain => plain(&text),
                    _ => Value::Text(text.into_owned()),
                };
                builder.add(Node { place, value });
            }
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) if builder.open.len() >= DEPTH_MAX => {
                builder.refuse(place, anchor > 0, tag.is_some());
                return fatal(format!("nested too deeply for a {what}"));
            }
            Event::SequenceStart(anchor, tag) => {
                builder.refuse(place, anchor > 0, tag.is_some());
                builder.open.push(Open { place, inside: Inside::List(Vec::new()) });
            }
            Event::MappingStart(anchor, tag) => {
                builder.refuse(place, anchor > 0, tag.is_some());
                let inside = Inside::Map { entries: Vec::new(), key: None, seen: BTreeSet::new() };
                builder.open.push(Open { place, inside });
            }
            Event::SequenceEnd | Event::MappingEnd => builder.close(),
            Event::Alias(_) => {
                builder.refuse(place, true, false);
                builder.add(Node { place, value: Value::Null });
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
    }
    match builder.root {
        Some(Node { value: Value::Null, .. }) | None => {
            let start = Place { line: 1, column: 1 };
            Err(PolicyFault::new(start, "", Flaw::new(format!("the {what} is empty"))))
        }
        Some(root) => Ok(root),
    }
}

/// A collection whose end is yet to come.
struct Open {
    place: Place,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, key: Option<Key>, seen: BTreeSet<String> },
}

struct Builder<'f> {
    /// What is read, in a word.
    what: &'static str,
    open: Vec<Open>,
    root: Option<Node>,
    faults: &'f mut Vec<PolicyFault>,
}

impl Builder<'_> {
    /// Where the next node goes.
    fn path(&self) -> String {
        self.open.iter().fold(String::new(), |path, open| match &open.inside {
            Inside::List(items) => format!("{path}[{}]", items.len()),
            Inside::Map { key: Some(key), .. } => join(&path, &key.text),
            Inside::Map { key: None, .. } => path,
        })
    }

    fn refuse(&mut self, place: Place, anchor: bool, tag: bool) {
        if anchor {
            let flaw = Flaw::new(format!("YAML anchors and aliases (`&`, `*`) are not supported in a {}", self.what));
            self.faults.push(PolicyFault::new(
                place,
                self.path(),
                flaw.help("put text that begins with `&`, `*` or `!` in quotes"),
            ));
        }
        if tag {
            let flaw = Flaw::new(format!("YAML tags (`!`) are not supported in a {}", self.what));
            self.faults.push(PolicyFault::new(
                place,
                self.path(),
                flaw.help("put text that begins with `&`, `*` or `!` in quotes"),
            ));
        }
    }

    fn add(&mut self, mut node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        let mut flaw = None;
        let place = node.place;
        match &mut open.inside {
            Inside::List(items) => items.push(node),
            Inside::Map { entries, key, seen } => match key.take() {
                Some(key) => {
                    // An absent value stands wherever the parser noticed; its key is what can be seen.
                    if matches!(node.value, Value::Null) {
                        node.place = key.place;
                    }
                    entries.push((key, node));
                }
                None => {
                    let text = match node.value {
                        Value::Text(text) | Value::Bare(text) => text,
                        Value::Null | Value::List(_) | Value::Map(_) => {
                            flaw = Some(Flaw::new("a mapping key must be text"));
                            String::new()
                        }
                    };
                    if flaw.is_none() && !seen.insert(text.clone()) {
                        flaw = Some(Flaw::new(format!("duplicate field `{}`", EventText::new(&text))));
                    }
                    *key = Some(Key { place, text });
                }
            },
        }
        if let Some(flaw) = flaw {
            self.faults.push(PolicyFault::new(place, self.path(), flaw));
        }
    }

    fn close(&mut self) {
        if let Some(Open { place, inside }) = self.open.pop() {
            let value = match inside {
                Inside::List(items) => Value::List(items),
                Inside::Map { entries, .. } => Value::Map(entries),
            };
            self.add(Node { place, value });
        }
    }
}

/// An unquoted scalar by the core schema (YAML 1.2.2, section 10.3.2).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Value::Bare(text.to_owned()),
        ".inf" | ".Inf" | ".INF" | "-.inf" | ".nan" | ".NaN" | ".NAN" => return Value::Bare(text.to_owned()),
        _ => {}
    }
    let radix = |prefix: &str, radix: u32| {
        text.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
    };
    // Without a digit `f64` would also read `inf` and `nan`, which are text in YAML.
    let decimal = text.bytes().any(|b| b.is_ascii_digit()) && text.parse::<f64>().is_ok();
    if decimal || radix("0x", 16) || radix("0o", 8) {
        Value::Bare(text.to_owned())
    } else {
        Value::Text(text.to_owned())
    }
}
