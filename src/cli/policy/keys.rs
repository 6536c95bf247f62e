//! The keys that a policy names, as KMS has them.

use serde_json::{Value, json};

use super::warnings::PolicyWarning;
use crate::cli::context::Context;
use crate::cli::output::Stop;
use crate::cli::words;
use crate::domain::arn::{KeyRef, Scope};
use crate::domain::model::{KeyInfo, KeyLookup};
use crate::domain::policy::{Accept, Effect, Policy, Rule};
use crate::domain::remedy::permission::to_describe;
use crate::ports::{CallLog, KeyApi};

/// Asks KMS for each key that the policy names for every stream alike, and warns of those that cannot be used.
pub(crate) async fn resolve(
    context: &Context,
    policy: &Policy,
    warnings: &mut Vec<PolicyWarning>,
) -> Result<Vec<Value>, Stop> {
    let own = &context.config.own;
    let mut keys = Vec::new();
    for (index, rule) in policy.rules.iter().enumerate() {
        let Effect::Encrypt(encrypt) = &rule.effect else { continue };
        let accepted = encrypt.accept.iter().filter_map(|accept| match accept {
            Accept::Key(key) => Some(("accept", key.clone())),
            Accept::CustomerManaged { .. } | Accept::AwsManaged => None,
        });
        let named = encrypt.key.fixed().map(|key| ("key", key));
        if named.is_none() {
            keys.push(
                json!({"rule": rule.name, "field": "key", "named": encrypt.key.to_string(), "depends_on_stream": true}),
            );
        }
        for (field, key) in named.into_iter().chain(accepted) {
            let found = context.aws.lookup(&key, &CallLog::default()).await;
            let found = found.map_err(|failure| Stop::call(&format!("the key `{key}`"), &failure, Some(own), &[]))?;
            let mut line = words::key_json(&found);
            if let Some(line) = line.as_object_mut() {
                line.extend(
                    [("rule", &*rule.name), ("field", field), ("named", key.as_str())]
                        .map(|(k, v)| (k.to_owned(), json!(v))),
                );
            }
            keys.push(line);
            if let Some(why) = unusable(&key, &found, own) {
                warnings.push(warning(index, rule, field, format!("the key `{key}` of rule `{}` {why}", rule.name)));
            }
        }
    }
    Ok(keys)
}

fn unusable(key: &KeyRef, found: &KeyLookup, own: &Scope) -> Option<String> {
    match found {
        KeyLookup::Found(KeyInfo { problem: None, .. }) => None,
        KeyLookup::Found(KeyInfo { problem: Some(problem), .. }) => Some(format!("cannot be used: {problem}")),
        KeyLookup::NotFound => Some(format!("is not known to KMS in {}", own.region)),
        KeyLookup::Denied { code, words } => {
            let advice = to_describe(key, words.as_str(), own);
            let allow = advice.statement.map(|statement| format!(": {statement}")).unwrap_or_default();
            Some(format!("cannot be read from KMS ({code}): {}{allow}", advice.text))
        }
    }
}

fn warning(index: usize, rule: &Rule, field: &str, message: String) -> PolicyWarning {
    PolicyWarning { line: rule.place.line, column: rule.place.column, path: format!("rules[{index}].{field}"), message }
}
