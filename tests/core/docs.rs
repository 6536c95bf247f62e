//! The documents say what the code does: the README's policy is valid and its tables are complete.

use streamseal::config::Config;
use streamseal::domain::policy::Policy;

const README: &str = include_str!("../../README.md");

/// The text of the first fenced block of a language.
fn block<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, after) = text.split_once(&format!("```{language}\n")).unwrap();
    after.split_once("```").unwrap().0
}

#[test]
fn the_policy_of_the_readme_is_valid() {
    let policy = Policy::load(block(README, "yaml")).unwrap();
    assert_eq!(policy.rules.len(), 4);
    assert!(policy.needs_tags());
}

#[test]
fn the_policy_for_many_accounts_is_valid() {
    let policy = Policy::load(block(include_str!("../../docs/many-accounts.md"), "yaml")).unwrap();
    assert_eq!(policy.rules.len(), 2);
}

#[test]
fn every_variable_that_is_read_is_in_the_readme() {
    let read = std::cell::RefCell::new(Vec::new());
    let _ = Config::from_vars(|name| {
        read.borrow_mut().push(name.to_owned());
        None
    });
    assert!(read.borrow().len() > 5);
    for name in read.borrow().iter() {
        assert!(README.contains(&format!("| `{name}` |")), "{name}");
    }
}
