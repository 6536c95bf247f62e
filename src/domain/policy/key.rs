//! The key of a rule: one of the five forms that the Kinesis API takes, or an alias with `${…}` in it.
//!
//! Whoever may tag a stream chooses what `${tag:NAME}` stands for, so a substitution is held short: it stands only after
//! a literal `alias/…`, brings in `[A-Za-z0-9_-]+` and nothing else, and never reaches `alias/aws/`. A key that cannot be
//! worked out is said to be so; nothing here falls back to another key.

use std::fmt;

use wildmatch::WildMatch;

use super::fault::Flaw;
use crate::domain::arn::{AWS_MANAGED_ALIAS, Arn, KeyRef, Scope, StreamArn};
use crate::domain::model::Tags;
use crate::domain::text::EventText;

/// Longest name of a tag, in characters (Kinesis API reference, AddTagsToStream).
pub(super) const TAG_NAME_MAX: usize = 128;

/// A key as a rule writes it, with `${tag:NAME}`, `${stream}`, `${account}` and `${region}` yet to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyTemplate {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Tag(String),
    Stream,
    Account,
    Region,
}

impl KeyTemplate {
    /// Reads what stands under `key`.
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("${") {
            if pieces.is_empty() {
                substitution_may_follow(literal)?;
            }
            pieces.push(Piece::Literal(literal.to_owned()));
            let Some((name, tail)) = after.split_once('}') else {
                return Err(Flaw::new("`${` is not closed: add `}`"));
            };
            pieces.push(substitution(name)?);
            rest = tail;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        let template = Self { text: text.to_owned(), pieces };
        if template.has_substitution() {
            // Any legal value will do to see whether the literal parts are.
            let pieces = template.pieces.iter();
            let sample: String =
                pieces.map(|piece| if let Piece::Literal(text) = piece { text } else { "x" }).collect();
            KeyRef::parse(&sample).ok_or_else(|| not_a_key(text))?;
        } else {
            literal_key(text)?;
        }
        Ok(template)
    }

    /// The key for `stream`, or why there is none.
    pub fn resolve(&self, stream: &StreamArn, tags: &Tags) -> Result<KeyRef, String> {
        let mut key = String::new();
        for piece in &self.pieces {
            let (what, value) = match piece {
                Piece::Literal(literal) => {
                    key.push_str(literal);
                    continue;
                }
                Piece::Tag(name) => {
                    let value = tags.get(name).ok_or_else(|| {
                        format!("the key `{self}` needs the tag `{name}`, which the stream does not have")
                    })?;
                    (format!("the tag `{name}`"), value.as_str())
                }
                Piece::Stream => ("the stream's name".to_owned(), stream.name.as_str()),
                Piece::Account => ("the account".to_owned(), stream.scope.account.as_str()),
                Piece::Region => ("the Region".to_owned(), stream.scope.region.as_str()),
            };
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) {
                let value = EventText::new(value);
                return Err(format!(
                    "{what} is `{value}`; values inserted into `{self}` may have only letters, digits, `_` and `-`"
                ));
            }
            key.push_str(value);
        }
        // INVARIANT: no substitution ends in the namespace of AWS's own keys, however the literal parts are cut.
        if self.has_substitution() && alias_name(&key).is_some_and(|name| name.starts_with("aws/")) {
            return Err(format!("`{self}` resolves to `{key}`, an alias reserved for AWS"));
        }
        KeyRef::parse(&key)
            .ok_or_else(|| format!("`{self}` resolves to `{}`, which is not a valid key", EventText::new(&key)))
    }

    /// The tags that are needed to work it out.
    pub fn tags(&self) -> Vec<&str> {
        let pieces = self.pieces.iter();
        pieces.filter_map(|piece| if let Piece::Tag(name) = piece { Some(name.as_str()) } else { None }).collect()
    }

    /// Whether the stream's name, the account and the Region are needed to work it out.
    pub(super) fn needs(&self) -> [bool; 3] {
        [Piece::Stream, Piece::Account, Piece::Region].map(|piece| self.pieces.contains(&piece))
    }

    /// Whether it can come to this alias, given by its name, in some stream's case: exactly, but for what is substituted.
    pub fn may_be(&self, alias: &KeyRef, own: &Scope) -> bool {
        let Scope { partition, region, account } = own;
        let pattern: String =
            self.pieces.iter().map(|piece| if let Piece::Literal(text) = piece { text } else { "*" }).collect();
        let pattern = WildMatch::new(&pattern);
        pattern.matches(alias.as_str()) || pattern.matches(&format!("arn:{partition}:kms:{region}:{account}:{alias}"))
    }

    /// The account of an ARN. (`${…}` stands behind `alias/` only.)
    pub fn account(&self) -> Option<&str> {
        Arn::parse(&self.text).map(|arn| arn.account)
    }

    /// The Region of an ARN.
    pub fn region(&self) -> Option<&str> {
        Arn::parse(&self.text).map(|arn| arn.region)
    }

    /// The key that it names for every stream alike; `None` where that depends on the stream.
    pub fn fixed(&self) -> Option<KeyRef> {
        if self.has_substitution() { None } else { KeyRef::parse(&self.text) }
    }

    fn has_substitution(&self) -> bool {
        self.pieces.iter().any(|piece| !matches!(piece, Piece::Literal(_)))
    }
}

impl fmt::Display for KeyTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A key with nothing to fill in. Narrower than [`KeyRef::parse`] in two ways that a slip of the pen would pass: a bare id
/// has the 32 hexadecimal digits that KMS gives it (an alias without its `alias/` has not), and of AWS's own aliases only
/// the one that encrypts streams.
pub(super) fn literal_key(text: &str) -> Result<KeyRef, Flaw> {
    let Some(key) = KeyRef::parse(text) else {
        return Err(not_a_key(text));
    };
    match alias_name(text) {
        Some(name) if name.starts_with("aws/") && name != "aws/kinesis" => {
            let help = format!("the only AWS-managed key for streams is `{AWS_MANAGED_ALIAS}`");
            Err(Flaw::new(format!("`{}` cannot encrypt a stream", EventText::new(text))).help(help))
        }
        None if !text.starts_with("arn:") && !is_key_id(text) => Err(not_a_key(text)),
        _ => Ok(key),
    }
}

fn not_a_key(text: &str) -> Flaw {
    let flaw = Flaw::new(format!("`{}` is not a valid key", EventText::new(text)));
    if ["customer-managed", "aws-managed"].contains(&text) {
        return flaw.help("it is allowed only in `accept`");
    }
    let alias = format!("alias/{text}");
    if !text.contains("alias/") && !text.contains(':') && KeyRef::parse(&alias).is_some() {
        return flaw.help(format!("did you mean `{alias}`?"));
    }
    flaw.help("use a key ID, a key ARN, an alias name (`alias/…`) or an alias ARN")
}

/// A key id as KMS makes them: a UUID, or `mrk-` and as many digits.
fn is_key_id(text: &str) -> bool {
    let digits = text.strip_prefix("mrk-").unwrap_or(text);
    digits.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        && digits.bytes().filter(u8::is_ascii_hexdigit).count() == 32
}

/// What follows `alias/` in an alias name or an alias ARN.
fn alias_name(text: &str) -> Option<&str> {
    match text.strip_prefix("alias/") {
        Some(name) => Some(name),
        None => text.split_once(":alias/").map(|(_, name)| name),
    }
}

fn substitution_may_follow(literal: &str) -> Result<(), Flaw> {
    match alias_name(literal) {
        Some(name) if name.starts_with("aws/") => {
            Err(Flaw::new("`${…}` is not allowed in an alias that begins with `alias/aws/`")
                .help("use an alias that does not begin with `alias/aws/`"))
        }
        Some(_) if KeyRef::parse(literal).is_some() => Ok(()),
        _ => Err(Flaw::new("`${…}` is allowed only after `alias/` and at least one more character")
            .help("such as `alias/kinesis/${tag:team}`")),
    }
}

fn substitution(name: &str) -> Result<Piece, Flaw> {
    match name {
        "stream" => Ok(Piece::Stream),
        "account" => Ok(Piece::Account),
        "region" => Ok(Piece::Region),
        _ => match name.strip_prefix("tag:") {
            Some(tag) if is_tag_name(tag) && !tag.contains(['$', '{']) => Ok(Piece::Tag(tag.to_owned())),
            _ => Err(Flaw::new(format!("unknown placeholder `${{{}}}`", EventText::new(name)))
                .help("valid placeholders: `${tag:NAME}`, `${stream}`, `${account}` and `${region}`")),
        },
    }
}

/// Whether a tag can have this name.
pub(super) fn is_tag_name(text: &str) -> bool {
    (1..=TAG_NAME_MAX).contains(&text.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key that `template` comes to, or why it comes to none, for stream `clicks` (or the tag `stream`, if there is one).
    fn check(template: &str, tags: &[(&str, &str)], expect: Result<&str, &str>) {
        let tags: Tags = tags.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let name = tags.get("stream").map_or("clicks", String::as_str);
        let stream = StreamArn::parse(&format!("arn:aws:kinesis:eu-west-1:111122223333:stream/{name}")).unwrap();
        let key = KeyTemplate::parse(template).unwrap().resolve(&stream, &tags);
        assert_eq!(key.as_ref().map(KeyRef::as_str).map_err(String::as_str), expect, "{template}");
    }

    #[test]
    fn substitutions_are_filled_in() {
        check("alias/kinesis", &[], Ok("alias/kinesis"));
        check("alias/aws/kinesis", &[], Ok("alias/aws/kinesis"));
        check("alias/k/${stream}/${account}/${region}_x", &[], Ok("alias/k/clicks/111122223333/eu-west-1_x"));
        check("alias/k-${tag:team}${tag:team}", &[("team", "Pay_m-1")], Ok("alias/k-Pay_m-1Pay_m-1"));
        check("alias/k-${tag:a:b c}", &[("a:b c", "x")], Ok("alias/k-x"));
        let arn = "arn:aws:kms:eu-west-1:444455556666:alias/k";
        check(&format!("{arn}-${{tag:team}}"), &[("team", "x")], Ok(&format!("{arn}-x")));
    }

    #[test]
    fn a_value_that_does_not_fit_leaves_no_key() {
        let team = "alias/k/${tag:team}";
        check(team, &[], Err("the key `alias/k/${tag:team}` needs the tag `team`, which the stream does not have"));
        check(
            team,
            &[("Team", "x")],
            Err("the key `alias/k/${tag:team}` needs the tag `team`, which the stream does not have"),
        );
        for value in ["", "a/b", "a b", "a:b", "ä", "a.b", "${stream}", "a\n", "*"] {
            let shown = EventText::new(value);
            let why = format!(
                "the tag `team` is `{shown}`; values inserted into `{team}` may have only letters, digits, `_` and `-`"
            );
            check(team, &[("team", value)], Err(&why));
        }
        check(
            "alias/k/${stream}",
            &[("stream", "a.b")],
            Err(
                "the stream's name is `a.b`; values inserted into `alias/k/${stream}` may have only letters, digits, `_` and `-`",
            ),
        );
        let long = KeyTemplate::parse("alias/k${tag:a}").unwrap();
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/x").unwrap();
        let resolve = |length| long.resolve(&stream, &Tags::from([("a".into(), "x".repeat(length))]));
        assert!(resolve(249).is_ok());
        assert!(resolve(250).unwrap_err().ends_with("which is not a valid key"));
    }

    #[test]
    fn no_substitution_reaches_the_aliases_of_aws() {
        let why = |template| format!("`{template}` resolves to `alias/aws/kinesis`, an alias reserved for AWS");
        let template = "alias/a${tag:x}/kinesis";
        check(template, &[("x", "ws")], Err(&why(template)));
        check(template, &[("x", "w")], Ok("alias/aw/kinesis"));
        let arn = "arn:aws:kms:eu-west-1:444455556666:alias/aw";
        let why = format!("`{arn}${{tag:x}}/s3` resolves to `{arn}s/s3`, an alias reserved for AWS");
        check(&format!("{arn}${{tag:x}}/s3"), &[("x", "s")], Err(&why));
    }
}
