//! Every EventBridge pattern of the template against every file of `events/`, by an emulator's own matcher (TestEventPattern):
//! what the function needs passes, and what passes only to be ignored is a listed few.

use jiff::Timestamp;
use serde_json::{Value, json};
use streamseal::domain::event::{Input, Item, parse};
use streamseal::domain::model::Scope;

use crate::support::{ACCOUNT, REGION, parts, root};
use crate::template::template;

/// Passes although nothing follows from it, and why the pattern lets it.
const PASSES_IN_VAIN: &[(&str, &str)] = &[];

#[test]
fn the_rules_pass_what_is_needed_and_little_else() {
    let template = template();
    let resources = template["Resources"].as_object().unwrap();
    let patterns: Vec<&Value> = resources
        .values()
        .filter(|resource| resource["Type"] == "AWS::Events::Rule")
        .map(|rule| &rule["Properties"]["EventPattern"])
        .filter(|pattern| !pattern.is_null())
        .collect();
    assert!(patterns.len() >= 4);
    let own = Scope { partition: "aws".into(), region: REGION.into(), account: ACCOUNT.into() };
    let mut used = vec![false; patterns.len()];
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let event: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        if event.get("detail-type").is_none() {
            continue;
        }
        seen += 1;
        let mut passes = false;
        for (pattern, used) in patterns.iter().zip(&mut used) {
            let body = json!({"EventPattern": pattern.to_string(), "Event": event.to_string()});
            if parts().events("TestEventPattern", body)["Result"] == true {
                passes = true;
                *used = true;
            }
        }
        let Input::Direct(items) = parse(&event, &own, Timestamp::now()) else { panic!("{name}") };
        let needed = items.iter().any(|item| matches!(item, Item::Reconcile(_)));
        let in_vain = PASSES_IN_VAIN.iter().any(|(listed, _)| *listed == name);
        assert_eq!(passes, needed || in_vain, "{name}");
    }
    assert!(seen > 20);
    assert_eq!(used, vec![true; patterns.len()], "a pattern that no file passes is wrong or has no file");
}
