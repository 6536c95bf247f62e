//! The documents say what the code does: the README's policy is valid, the tables are complete, the runbook has an entry for each alarm, and
//! what a document points to is there. Each answers one question.

use std::collections::BTreeSet;
use std::path::Path;

use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;
use streamseal::config::Config;
use streamseal::domain::bus;
use streamseal::domain::cause::WAKING_CALLS;
use streamseal::domain::policy::Policy;

use crate::common::Deployed;

const README: &str = include_str!("../../README.md");
const FUNCTION: &str = include_str!("../../docs/function.md");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");
const TEMPLATE: &str = include_str!("../../template.yaml");

/// The text of the first fenced block of a language.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0
}

#[test]
fn the_policy_of_the_readme_is_valid() {
    let policy = Policy::load(block(README, "yaml")).unwrap();
    assert_eq!(policy.rules.len(), 4);
    assert!(policy.reads().tags);
}

/// Whoever reads it first reads it whole.
#[test]
fn the_readme_is_short_and_the_policy_of_its_page_is_valid() {
    assert!(README.lines().count() <= 120, "{}", README.lines().count());
    let policy = Policy::load(block(include_str!("../../docs/policy.md"), "yaml")).unwrap();
    assert!(policy.rules.len() == 4 && policy.reads().tags);
}

/// Each call that wakes a run and each selector is in the table of its page.
#[test]
fn the_pages_name_every_waking_call_and_selector() {
    let row = |page: &'static str, start: &str| page.lines().find(|line| line.starts_with(start)).unwrap();
    let events = row(include_str!("../../docs/events.md"), "| `CreateStream`");
    let missing: Vec<&str> = WAKING_CALLS.into_iter().filter(|call| !events.contains(&format!("`{call}`"))).collect();
    assert!(missing.is_empty(), "docs/events.md: {missing:?}");
    let schema: Value = serde_json::from_str(include_str!("../../policy.schema.json")).unwrap();
    let policy = row(include_str!("../../docs/policy.md"), "| `match`, `unless` |");
    for selector in schema["$defs"]["Selectors"]["properties"].as_object().unwrap().keys() {
        assert!(policy.contains(&format!("`{selector}`")), "docs/policy.md: {selector}");
    }
}

/// Its figures are of one run; the steps are those that the demo reports.
#[test]
fn the_readme_shows_what_the_demo_reports() {
    let demo = include_str!("../../tools/demo/main.py");
    let shown = blocks(README, "console").into_iter().find(|text| text.starts_with("$ make demo")).unwrap();
    let mut steps: Vec<&str> = shown.trim_end().lines().skip(1).collect();
    assert_eq!(steps.pop(), Some("compliance: COMPLIANT"));
    assert!(steps.len() > 5, "{shown}");
    for step in steps {
        let word = step.split_whitespace().next().unwrap();
        assert!(demo.contains(&format!("\"{word}\",")), "{step}");
    }
}

/// Of a page nobody reads more than its title before knowing whether it answers. The runbook has many answers, each by the name of an alarm.
#[test]
fn the_title_of_each_page_is_the_question_that_it_answers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap().map(|file| file.unwrap().path());
    let mut pages: Vec<_> = pages.filter(|file| file.extension().is_some_and(|it| it == "md")).collect();
    pages.retain(|page| !page.ends_with("runbook.md"));
    pages.push(root.join("PERFORMANCE.md"));
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let title = text.lines().next().unwrap();
        assert!(title.starts_with("# ") && title.ends_with('?'), "{}: {title}", page.display());
        assert_eq!(title.matches('?').count(), 1, "{}: {title}", page.display());
    }
}

#[test]
fn the_policy_for_many_accounts_is_valid() {
    let policy = Policy::load(block(include_str!("../../docs/many-accounts.md"), "yaml")).unwrap();
    assert_eq!(policy.rules.len(), 2);
}

/// What a bus forwards of a key's account is what the stack's own rules take: the same detail types, calls and conditions.
#[test]
fn the_pattern_that_forwards_events_of_keys_is_that_of_the_stack() {
    let text = include_str!("../../docs/many-accounts.md");
    let (_, after) = text.split_once("keys.json <<'EOF'\n").unwrap();
    let forwards: Value = serde_json::from_str(after.split_once("\nEOF\n").unwrap().0).unwrap();
    let stack = Deployed::new(&[("Policy", "version: 1")]);
    let taken = |rule: &str| stack.properties(rule).unwrap()["EventPattern"].take();
    let (mut direct, mut calls) = (taken("KeyEvents"), taken("KeyCalls"));
    let sources = [&mut direct, &mut calls].map(|pattern| pattern.as_object_mut().unwrap().remove("source").unwrap());
    assert!(sources.iter().all(|source| *source == forwards["source"]));
    assert_eq!(forwards["$or"], serde_json::json!([direct, calls]));
}

#[test]
fn every_variable_that_is_read_is_in_the_documents() {
    let read = std::cell::RefCell::new(Vec::new());
    let _ = Config::from_vars(|name| {
        read.borrow_mut().push(name.to_owned());
        None
    });
    assert!(read.borrow().len() > 5);
    for name in read.borrow().iter() {
        assert!(FUNCTION.contains(&format!("| `{name}` |")), "{name}");
    }
}

/// The names below `section` of the template, of resources of this type.
fn in_template(section: &str, kind: Option<&str>) -> BTreeSet<String> {
    let template = Yaml::load_from_str(TEMPLATE).unwrap().remove(0);
    let all = template.as_mapping_get(section).unwrap().as_mapping().unwrap();
    let is_it = |of: &Yaml| kind.is_none_or(|kind| of.as_mapping_get("Type").and_then(Yaml::as_str) == Some(kind));
    all.iter().filter(|(_, of)| is_it(of)).map(|(name, _)| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_runbook_has_an_entry_for_each_alarm_and_for_no_other() {
    let entries: Vec<(&str, &str)> = RUNBOOK
        .split("\n### ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
        .filter(|(name, _)| name.ends_with("Alarm"))
        .map(|(name, text)| (name, text.split("\n## ").next().unwrap()))
        .collect();
    let alarms = in_template("Resources", Some("AWS::CloudWatch::Alarm"));
    assert!(alarms.len() > 10, "{alarms:?}");
    assert_eq!(entries.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), alarms);
    assert_eq!(entries.len(), alarms.len(), "one each");
    for (name, text) in entries {
        for part in ["- **Means**: ", "- **Check**: ", "- **Do**: ", "- **Ends**: ", "```console\n$ "] {
            assert_eq!(text.matches(part).count(), 1, "{name}: {part}");
        }
    }
}

#[test]
fn the_table_of_alarms_has_each_alarm_once() {
    let (_, table) = include_str!("../../docs/metrics.md").split_once("\n## Alarms of the stack\n").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `")).map(|row| row.split('|').nth(1).unwrap());
    let mut named: Vec<&str> = rows.flat_map(|names| names.split('`').skip(1).step_by(2)).collect();
    named.sort_unstable();
    assert_eq!(named, in_template("Resources", Some("AWS::CloudWatch::Alarm")).iter().collect::<Vec<_>>());
}

/// What rules of others match on.
#[test]
fn the_events_names_are_promised() {
    let promised =
        include_str!("../../docs/versioning.md").lines().find(|line| line.starts_with("| result event |")).unwrap();
    for name in [bus::SOURCE, bus::EVIDENCE, bus::SUMMARY] {
        assert!(promised.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_runbook_names_outputs_that_the_stack_has() {
    let outputs = in_template("Outputs", None);
    let mut named = 0;
    for call in ["$(output ", "$(arn ", "$ waiting "] {
        for (_, after) in RUNBOOK.match_indices(call).map(|(at, _)| RUNBOOK.split_at(at + call.len())) {
            let name = after.split([')', '\n', ' ']).next().unwrap();
            if name != "\"$1\"" {
                assert!(outputs.contains(name), "{call}{name}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}

/// What the fenced blocks of a language hold.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|after| after.split_once("```").unwrap().0).collect()
}

#[test]
fn the_policies_and_templates_of_the_runbook_can_be_read() {
    let json = blocks(RUNBOOK, "json");
    assert_eq!(json.len(), 1);
    let policy: serde_json::Value = serde_json::from_str(json[0]).unwrap();
    assert_eq!(policy["Statement"][0]["Action"], "kinesis:StopStreamEncryption");
    for text in blocks(RUNBOOK, "yaml") {
        Yaml::load_from_str(text).unwrap();
    }
    // As arguments of commands.
    let quoted =
        RUNBOOK.lines().filter(|line| line.starts_with("$ ")).flat_map(|line| line.split('\'').skip(1).step_by(2));
    let objects: Vec<&str> = quoted.filter(|text| text.starts_with("{\"")).collect();
    assert!(objects.len() > 5, "{objects:?}");
    for text in objects {
        serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// Each `](target)` of the documents: a file that is there, and a heading in it.
#[test]
fn links_between_documents_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = ["README.md", "ARCHITECTURE.md"].iter().map(|name| root.join(name)).collect();
    files.extend(
        ["SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "PERFORMANCE.md"].iter().map(|name| root.join(name)),
    );
    files.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|file| file.unwrap().path()));
    let text = |file: &Path| std::fs::read_to_string(file).unwrap();
    let mut links = 0;
    for file in files.iter().filter(|file| file.extension().is_some_and(|it| it == "md")) {
        for after in text(file).split("](").skip(1) {
            let target = after.split(')').next().unwrap();
            if target.starts_with("https://") {
                continue;
            }
            let (name, heading) = target.split_once('#').unwrap_or((target, ""));
            let other = if name.is_empty() { file.clone() } else { file.with_file_name(name) };
            assert!(other.exists(), "{}: {target}", file.display());
            if !heading.is_empty() {
                let anchor = |line: &str| {
                    let kept = line.trim_start_matches('#').trim().to_lowercase();
                    let kept: String = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect();
                    kept.replace(' ', "-")
                };
                let found = text(&other).lines().any(|line| line.starts_with('#') && anchor(line) == heading);
                assert!(found, "{}: {target}", file.display());
            }
            links += 1;
        }
    }
    assert!(links > 10, "{links}");
}

/// What holds a claim is named by its test, which has to be there.
#[test]
fn every_test_that_the_threat_model_names_is_there() {
    fn sources(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => sources(&path, into),
                false if path.extension().is_some_and(|it| it == "rs") => {
                    into.push_str(&std::fs::read_to_string(path).unwrap());
                }
                false => {}
            }
        }
    }
    let mut code = String::new();
    ["src", "tests"].iter().for_each(|folder| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut code));
    let words = include_str!("../../docs/threat-model.md").split('`').skip(1).step_by(2);
    let is_test =
        |word: &&str| word.matches('_').count() > 2 && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let tests: Vec<&str> = words.filter(is_test).collect();
    assert!(tests.len() > 10, "{tests:?}");
    let gone: Vec<_> = tests.iter().filter(|test| !code.contains(&format!("fn {test}("))).collect();
    assert!(gone.is_empty(), "{gone:?}");
}

/// What the table of what AWS does not say names of the code is there: a file under `src`, and names in it.
#[test]
fn what_the_table_of_unconfirmed_facts_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/aws-unconfirmed.md")).unwrap();
    let mut named = 0;
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| id ")) {
        let quoted: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let mut file: Option<(&str, String)> = None;
        for word in quoted {
            if word.ends_with(".rs") {
                let text = std::fs::read_to_string(root.join("src").join(word));
                file = Some((word, text.unwrap_or_else(|error| panic!("{word}: {error}: {row}"))));
            } else if let (Some((path, text)), true) =
                (&file, word.chars().all(|c| c.is_alphanumeric() || "_:".contains(c)))
                && row.contains(&format!("`{path}` `{word}`"))
            {
                let name = word.rsplit("::").next().unwrap();
                assert!(text.contains(name), "src/{path} has no {name}: {row}");
                named += 1;
            }
        }
    }
    assert!(named > 15, "{named}");
}
