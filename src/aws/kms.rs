//! AWS KMS behind [`KeyApi`]: which key a reference means, and whether it can encrypt a stream here. It only describes.

use aws_sdk_kms::types as sdk;

use super::Aws;
use super::errors::unreadable;
use crate::domain::arn::{KeyArn, KeyRef, Scope};
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager, KeyProblem};
use crate::domain::text::EventText;
use crate::ports::{CallLog, KeyApi};

const DESCRIBE: &str = "kms:DescribeKey";

impl KeyApi for Aws {
    /// Asks for `key` as it is written: KMS takes all five forms, and a bare id or alias name is one of this account and
    /// Region.
    async fn lookup(&self, key: &KeyRef, log: &CallLog) -> Result<KeyLookup, Failure> {
        let request = self.kms().describe_key().key_id(key.as_str());
        match self.logged(log, DESCRIBE, request.send()).await {
            Ok(answer) => key_info(answer.key_metadata, &self.scope)
                .map(KeyLookup::Found)
                .ok_or_else(|| unreadable(DESCRIBE, "no key ARN in the answer")),
            Err(failure) => match failure.class {
                // KMS makes this key on first use (KMS API reference, DescribeKey), so that an account may not have it yet.
                Class::Permanent(Fault::Key) if key.is_aws_managed_alias(&self.scope) => {
                    Ok(KeyLookup::Found(KeyInfo::new(KeyIdentity::AwsManagedAlias, KeyManager::Aws, None)))
                }
                Class::Permanent(Fault::Key) => Ok(KeyLookup::NotFound),
                Class::Permanent(Fault::Access | Fault::Credentials) => {
                    Ok(KeyLookup::Denied { code: failure.code, words: failure.message })
                }
                _ => Err(failure),
            },
        }
    }
}

fn key_info(metadata: Option<sdk::KeyMetadata>, scope: &Scope) -> Option<KeyInfo> {
    let metadata = metadata?;
    let arn = KeyArn::parse(metadata.arn.as_deref()?)?;
    let problem = problem(&metadata, &arn, scope);
    // Whatever is not said to be AWS's is a customer's: such keys are never replaced unasked.
    let manager = match metadata.key_manager {
        Some(sdk::KeyManagerType::Aws) => KeyManager::Aws,
        _ => KeyManager::Customer,
    };
    let material = metadata.current_key_material_id.as_deref().map(EventText::new);
    let state = metadata.key_state.as_ref().map(|state| EventText::new(state.as_str()));
    let origin = metadata.origin.as_ref().map(|origin| EventText::new(origin.as_str()));
    Some(KeyInfo { state, origin, material, ..KeyInfo::new(KeyIdentity::Arn(arn), manager, problem) })
}

/// Services encrypt with keys of their own Region only (KMS developer guide, key concepts): that can never pass.
fn problem(metadata: &sdk::KeyMetadata, arn: &KeyArn, scope: &Scope) -> Option<KeyProblem> {
    if arn.region() != scope.region {
        return Some(KeyProblem::Region(EventText::new(arn.region())));
    }
    #[expect(
        deprecated,
        reason = "`CustomerMasterKeySpec` is the same thing under its old name; older emulators know no other"
    )]
    let old_spec = metadata.customer_master_key_spec.as_ref().map(sdk::CustomerMasterKeySpec::as_str);
    let spec = metadata.key_spec.as_ref().map(sdk::KeySpec::as_str).or(old_spec);
    let usage = metadata.key_usage.as_ref().map(sdk::KeyUsageType::as_str);
    KeyProblem::of(usage, spec, metadata.key_state.as_ref().map(sdk::KeyState::as_str))
}
