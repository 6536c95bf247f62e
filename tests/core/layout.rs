//! The layout of `src`: no circle of modules, no import upwards, no file that is too long, by the `use` lists and the paths in the code.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::{Source, sources};

/// The most lines of code that a file may have: without tests, comments and empty lines. There are no exceptions.
const LINES_MAX: usize = 400;

/// The rings, the innermost first. A module imports from its own ring and from those before it; two rings on one line know nothing of
/// each other.
const RINGS: [&[&str]; 5] = [&["domain"], &["config"], &["ports"], &["run", "aws"], &["lambda", "cli"]];

/// `src/domain/plan.rs` is `crate::domain::plan`.
fn module(path: &str) -> String {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    if path == "lib" { "crate".to_owned() } else { format!("crate::{}", path.replace('/', "::")) }
}

/// Each path that a `use` list names: `a::{b, c::{d, e}}` names three.
fn leaves(tree: &str) -> Vec<String> {
    let Some((head, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let inner = rest.trim_end().strip_suffix('}').unwrap();
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for character in inner.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(character);
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| leaves(part).into_iter().map(|leaf| format!("{}{leaf}", head.trim()))).collect()
}

/// Every path in a file that may be one of ours.
fn paths(source: &Source) -> Vec<String> {
    let code: String = source.code().map(|(_, line)| format!("{line}\n")).collect();
    let mut found = Vec::new();
    // A message may have the word too.
    let is_list = |line: &str| {
        let tree =
            ["use ", "pub use ", "pub(crate) use "].iter().find_map(|start| line.trim_start().strip_prefix(start));
        tree.is_some_and(|tree| tree.split(' ').next().is_some_and(|path| path.contains("::")))
    };
    for statement in code.split(';') {
        let lines: Vec<&str> = statement.lines().skip_while(|line| !is_list(line)).collect();
        if let Some((_, tree)) = lines.join(" ").split_once("use ") {
            found.extend(leaves(tree).into_iter().map(|leaf| leaf.split(" as ").next().unwrap().to_owned()));
        }
    }
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    // A path may begin with a module of this one's own.
    let others = code.split(|c| !is_path(c)).filter(|word| word.contains("::") && !word.ends_with("::"));
    found.extend(others.map(str::to_owned));
    found
}

/// Each module with those that it uses. A path counts for the deepest module in it.
fn graph(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeSet<String> = sources.iter().map(|source| module(&source.path)).collect();
    let deepest = |path: &str, within: &str| -> Option<String> {
        let (mut place, mut parts) = (within.to_owned(), path.split("::").peekable());
        match *parts.peek()? {
            "crate" => place = parts.next()?.to_owned(),
            "self" => drop(parts.next()),
            "super" => {}
            first if names.contains(&format!("{within}::{first}")) => {}
            _ => return None,
        }
        for part in parts {
            let deeper = format!("{place}::{part}");
            if part == "super" {
                place = place.rsplit_once("::")?.0.to_owned();
            } else if names.contains(&deeper) {
                place = deeper;
            } else {
                break;
            }
        }
        (place != "crate" && place != within).then_some(place)
    };
    let uses = |source: &Source| {
        let within = module(&source.path);
        (within.clone(), paths(source).iter().filter_map(|path| deepest(path, &within)).collect())
    };
    sources.iter().map(uses).filter(|(name, _)| name != "crate").collect()
}

/// What can be reached from a module.
fn reached<'a>(graph: &'a BTreeMap<String, BTreeSet<String>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut found, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(name) = left.pop() {
        for next in graph.get(name).into_iter().flatten() {
            if found.insert(next.as_str()) {
                left.push(next);
            }
        }
    }
    found
}

fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let in_one = |name: &&String| reached(graph, name).contains(name.as_str());
    graph.keys().filter(in_one).map(|name| format!("{name} uses {:?}", graph[name])).collect()
}

fn ours() -> Vec<Source> {
    let is_test = |path: &str| path.ends_with("/tests.rs") || path.contains("/tests/");
    let is_ours = |source: &Source| !source.path.starts_with("src/bin/") && !is_test(&source.path);
    sources("src").into_iter().filter(is_ours).collect()
}

/// All else asks for the traits that it uses.
#[test]
fn only_what_takes_a_payload_of_any_kind_asks_for_the_whole_world() {
    let asks = |source: &Source| source.code().any(|(_, line)| line.contains(": World") || line.contains("+ World"));
    let found: Vec<String> = sources("src").into_iter().filter(asks).map(|source| source.path).collect();
    assert_eq!(found, ["src/lambda.rs", "src/run/handler.rs"]);
}

#[test]
fn no_modules_form_a_circle() {
    let graph = graph(&ours());
    assert!(graph.len() > 80, "{} modules", graph.len());
    let known = &graph["crate::run::reconcile"];
    assert!(known.contains("crate::domain::plan::close") && known.contains("crate::run::observe"), "{known:?}");
    let circles = circles(&graph);
    assert!(circles.is_empty(), "in a circle:\n{}", circles.join("\n"));
}

#[test]
fn a_circle_would_be_found() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let around = [
        source("src/domain/mod.rs", ""),
        source("src/domain/a.rs", "use super::b::{self, Of};\n"),
        source("src/domain/b.rs", "fn f() { crate::domain::c::g() }\n"),
        source("src/domain/c/mod.rs", "pub use self::d::{\n    One,\n    other::{Two, Three},\n};\n"),
        source("src/domain/c/d.rs", "#[cfg(feature = \"x\")]\nuse crate::{config, domain::{a::A, b}};\n"),
        source("src/domain/e.rs", "#[cfg(test)]\nmod samples;\n\nuse crate::lambda;\n"),
        source("src/lambda.rs", ""),
        source("src/config.rs", "use std::fmt;\n#[cfg(test)]\nmod tests {\n    use crate::domain::a;\n}\n"),
    ];
    assert_eq!(circles(&graph(&around)).len(), 4, "{:?}", graph(&around));
    assert_eq!(circles(&graph(&around[..4])).len(), 0);
    assert_eq!(
        upwards(&graph(&around)).len(),
        2,
        "domain::c::d uses config, and domain::e what is below its tests' name"
    );
}

/// Each import from a ring that is not an inner one.
fn upwards(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let ring = |name: &str| {
        let first = name.split("::").nth(1).unwrap();
        let rank = RINGS.iter().position(|ring| ring.contains(&first));
        (rank.unwrap_or_else(|| panic!("{name} is in no ring")), first.to_owned())
    };
    let pairs = graph.iter().flat_map(|(name, uses)| uses.iter().map(move |used| (name, used)));
    let bad = pairs.filter(|(name, used)| ring(name).1 != ring(used).1 && ring(name).0 <= ring(used).0);
    bad.map(|(name, used)| format!("{name} uses {used}")).collect()
}

#[test]
fn no_ring_imports_from_an_outer_one() {
    let upwards = upwards(&graph(&ours()));
    assert!(upwards.is_empty(), "upwards:\n{}", upwards.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let long = ours().into_iter().map(|source| (source.code().count(), source.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > LINES_MAX).collect();
    assert!(long.is_empty(), "more than {LINES_MAX} lines of code: {long:?}");
}
