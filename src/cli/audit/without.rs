//! The audit without a policy: is each stream encrypted, whose key is it, and can the key be used.
//!
//! It is an audit by a policy that asks for no more, so that all forms have it. Encrypted counts with the AWS-managed key, or with a
//! customer-managed key of the account that can be used. A key of another account can be taken away by its owner, and nobody said that
//! it may be used.

use super::report::{Audit, Row};
use super::severity::Severity;
use super::totals::Totals;
use crate::domain::evidence::Evidence;
use crate::domain::model::{Encryption, KeyIdentity};
use crate::domain::remedy::advice::Remedy;
use crate::domain::verdict::Reason;

/// What stands for the policy's source.
pub(super) const SOURCE: &str = "none";

/// The policy.
pub(crate) const POLICY: &str = "{version: 1, defaults: {existing: report, settle: {terraform: 0s, cloudformation: 0s, pulumi: 0s}}, \
                                 rules: [{name: encrypted, key: alias/aws/kinesis, accept: [customer-managed]}]}";

/// The columns of its table.
pub(super) const HEAD: [&str; 5] = ["STREAM", "ENCRYPTED", "KEY", "WHOSE", "KEY STATE"];

/// The policy, as a command is given one.
pub(crate) fn source() -> String {
    format!("inline:{POLICY}")
}

/// Whether an audit is one.
pub(super) fn is_of(audit: &Audit) -> bool {
    audit.policy_source == SOURCE
}

/// What could be said about a rule is no advice: nobody wrote one.
pub(super) fn leave_out_rule(evidence: &mut Evidence) {
    if matches!(evidence.remedy, Remedy::Rule(_)) {
        evidence.remedy = Remedy::None;
    }
}

/// The cells of one stream.
pub(super) fn cells(evidence: &Evidence) -> [String; 5] {
    let row = Row::new(evidence);
    let encrypted = match row.encryption_type {
        None => "unknown",
        Some("NONE") => "no",
        Some("KMS") => "yes",
        Some(_) => "unknown",
    };
    let key = if encrypted == "no" { "-" } else { row.key() };
    let key = row.key_alias.unwrap_or_else(|| key.rsplit_once(":key/").map_or(key, |(_, id)| id));
    [row.stream.to_owned(), encrypted.to_owned(), key.to_owned(), whose(evidence), state(evidence)]
}

/// Whose key it is.
fn whose(evidence: &Evidence) -> String {
    let own = &evidence.stream.scope.account;
    let desired = evidence.desired.as_ref().and_then(|(_, key)| key.as_ref());
    match evidence.before.as_ref().map(|setting| (&setting.observed.encryption, setting.key.as_ref())) {
        Some((Encryption::None, _)) => "-".to_owned(),
        Some((_, Some(KeyIdentity::AwsManagedAlias))) => "AWS".to_owned(),
        Some((_, key)) if key.is_some() && key == desired => "AWS".to_owned(),
        Some((_, Some(key))) => match key.account() {
            Some(account) if account != own => format!("account {account}"),
            _ => "this account".to_owned(),
        },
        None | Some((_, None)) => "unknown".to_owned(),
    }
}

/// Whether the key can be used.
fn state(evidence: &Evidence) -> String {
    let detail = &evidence.verdict.detail;
    match (evidence.verdict.reason, Row::new(evidence).encryption_type) {
        (_, Some("NONE")) => "-".to_owned(),
        (Reason::RightKey | Reason::AcceptedKey, _) => "can be used".to_owned(),
        // The key is in a column of its own.
        (Reason::KeyUnusable, _) => detail
            .split_once("cannot be used")
            .map_or_else(|| detail.clone(), |(_, why)| format!("cannot be used{why}")),
        (Reason::ForeignKey, _) => "only its owner knows".to_owned(),
        (Reason::WrongKey, _) => "KMS does not know it".to_owned(),
        _ => detail.clone(),
    }
}

/// `12 streams: 3 not encrypted, 1 on a key that cannot be used, 8 encrypted`.
pub(super) fn counts(totals: &Totals) -> Vec<String> {
    let counted = [
        (totals.of(Severity::High), "not encrypted"),
        (
            totals.of(Severity::Critical) + totals.of(Severity::Medium),
            "on a key that cannot be used or is another account's",
        ),
        (totals.of(Severity::Low), "unknown"),
        (totals.of(Severity::Informational), "encrypted"),
    ];
    counted.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect()
}
