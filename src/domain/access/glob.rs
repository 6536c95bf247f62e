//! Patterns of policies: `*` is any text, `?` is one character; `${*}`, `${?}` and `${$}` are those characters themselves.

use super::truth::{Doubt, Truth};
use crate::domain::text::EventText;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Char(char),
}

/// A text of a policy that is compared with a value.
#[derive(Clone, Debug)]
pub struct Pattern<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    has_variable: bool,
}

impl<'a> Pattern<'a> {
    /// A text in which `*` and `?` stand for others.
    pub fn new(text: &'a str) -> Self {
        Self::with(text, true)
    }

    /// A text in which `*` and `?` stand for themselves, as with `StringEquals`.
    pub fn literal(text: &'a str) -> Self {
        Self::with(text, false)
    }

    fn with(text: &'a str, wildcards: bool) -> Self {
        let (mut tokens, mut has_variable, mut rest) = (Vec::new(), false, text);
        loop {
            let escaped = [("${*}", '*'), ("${?}", '?'), ("${$}", '$')]
                .into_iter()
                .find_map(|(mark, character)| Some((rest.strip_prefix(mark)?, character)));
            if let Some((after, character)) = escaped {
                tokens.push(Token::Char(character));
                rest = after;
                continue;
            }
            has_variable |= rest.starts_with("${");
            let mut characters = rest.chars();
            let Some(character) = characters.next() else { break };
            tokens.push(match character {
                '*' if wildcards => Token::Any,
                '?' if wildcards => Token::One,
                other => Token::Char(other),
            });
            rest = characters.as_str();
        }
        Self { text, tokens, has_variable }
    }

    /// Whether the whole of `value` matches. A policy variable makes it unknown.
    pub fn matches(&self, value: &str) -> Truth {
        if self.has_variable {
            return Truth::Unknown(Doubt::Variable(EventText::new(self.text)));
        }
        Truth::of(fits(&self.tokens, &value.chars().collect::<Vec<_>>()))
    }

    /// The same without regard to case.
    pub fn matches_in_any_case(&self, value: &str) -> Truth {
        Pattern { tokens: lower(&self.tokens), ..self.clone() }.matches(&value.to_lowercase())
    }
}

fn lower(tokens: &[Token]) -> Vec<Token> {
    let lowered = tokens.iter().flat_map(|token| match token {
        Token::Char(character) => character.to_lowercase().map(Token::Char).collect(),
        other => vec![*other],
    });
    lowered.collect()
}

/// Goes back to the last `*` alone, so that the time is at most the product of both lengths, whatever the pattern.
fn fits(tokens: &[Token], value: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at < value.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                star = Some((token, at));
                token += 1;
            }
            Some(Token::One) => (token, at) = (token + 1, at + 1),
            Some(Token::Char(character)) if value.get(at) == Some(character) => (token, at) = (token + 1, at + 1),
            _ => match star {
                Some((of, from)) => {
                    star = Some((of, from + 1));
                    (token, at) = (of + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    tokens.iter().skip(token).all(|token| *token == Token::Any)
}

/// Whether an ARN matches a pattern of ARNs, each of the six parts by itself. `None` where one of them has not six parts.
pub fn arn_matches(pattern: &str, arn: &str) -> Option<Truth> {
    let of = |text| {
        let parts: Vec<&str> = split(text);
        (parts.len() == 6 && parts.first().is_some_and(|first| *first == "arn")).then_some(parts)
    };
    let (patterns, parts) = (of(pattern)?, of(arn)?);
    Some(Truth::all(patterns.iter().zip(parts).map(|(pattern, part)| Pattern::new(pattern).matches(part))))
}

/// The parts of an ARN. A colon in a policy variable separates nothing.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut in_variable) = (Vec::new(), 0, false);
    for (at, character) in text.char_indices() {
        match character {
            '{' if text.get(..at).is_some_and(|before| before.ends_with('$')) => in_variable = true,
            '}' => in_variable = false,
            ':' if !in_variable && parts.len() < 5 => {
                parts.extend(text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// Whether a `Resource` of a policy is this ARN. Where a `*` would have to span a colon, it is unknown.
pub fn resource_matches(pattern: &str, arn: &str) -> Truth {
    if pattern == "*" {
        return Truth::Yes;
    }
    let whole = Pattern::new(pattern).matches(arn);
    match (whole, arn_matches(pattern, arn)) {
        (Truth::Yes, Some(Truth::Yes)) => Truth::Yes,
        (Truth::Yes, _) => Truth::Unknown(Doubt::Pattern(EventText::new(pattern))),
        (_, Some(Truth::No)) => Truth::No,
        (whole, _) => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_and_their_escapes() {
        for (pattern, value, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("?", "", false),
            ("?", "é", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("*a*b", "xaybzb", true),
            ("*a*b", "xaybz", false),
            ("a?c", "abc", true),
            ("a?c", "abbc", false),
            ("abc", "Abc", false),
            ("${*}", "*", true),
            ("${*}", "x", false),
            ("${?}", "?", true),
            ("${$}{x}", "${x}", true),
            ("kms:*", "kms:Decrypt", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(value), Truth::of(expected), "{pattern} {value}");
        }
        assert_eq!(Pattern::literal("a*").matches("ab"), Truth::No);
        assert_eq!(Pattern::literal("a*").matches("a*"), Truth::Yes);
        assert_eq!(Pattern::literal("${*}").matches("*"), Truth::Yes);
        assert_eq!(Pattern::new("KMS:d*").matches_in_any_case("kms:Decrypt"), Truth::Yes);
        assert!(matches!(Pattern::new("a${aws:username}").matches("b"), Truth::Unknown(Doubt::Variable(_))));
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let pattern = "*a".repeat(2_000);
        assert_eq!(Pattern::new(&pattern).matches(&"a".repeat(4_000)), Truth::Yes);
        assert_eq!(Pattern::new(&format!("{pattern}b")).matches(&"a".repeat(4_000)), Truth::No);
    }

    #[test]
    fn arns_match_part_by_part() {
        let key = "arn:aws:kms:eu-west-1:111122223333:key/1234";
        for (pattern, expected) in [
            ("*", Some(true)),
            (key, Some(true)),
            ("arn:aws:kms:*:*:key/*", Some(true)),
            ("arn:aws:kms:eu-west-1:111122223333:key/12??", Some(true)),
            ("arn:aws:kms:eu-west-1:111122223333:key/5", Some(false)),
            ("arn:aws:kms:eu-west-2:*:key/*", Some(false)),
            ("arn:aws:kms:eu-west-1:111122223333:alias/x", Some(false)),
            ("arn:aws:kms:*", None),
            ("arn:*:key/1234", None),
            ("*key*", None),
            ("arn:aws:kms:${aws:RequestedRegion}:111122223333:key/1234", None),
            ("arn:aws:kms:${aws:RequestedRegion}:999999999999:key/1234", Some(false)),
            ("1234", Some(false)),
        ] {
            let found = resource_matches(pattern, key);
            match expected {
                Some(expected) => assert_eq!(found, Truth::of(expected), "{pattern}"),
                None => assert!(matches!(found, Truth::Unknown(_)), "{pattern}: {found:?}"),
            }
        }
        assert_eq!(arn_matches("*", key), None);
        assert_eq!(arn_matches("arn:aws:kms:*:*:key:*", "arn:aws:kms:eu-west-1:1:key:a:b"), Some(Truth::Yes));
    }
}
