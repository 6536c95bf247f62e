//! Grants of a key: what `kms:ListGrants` says of each, and whether one allows a request.

use std::collections::BTreeMap;

use serde_json::json;

use super::principal::{Principal, PrincipalKind};
use super::request::Request;
use super::truth::{Doubt, Truth};
use crate::domain::text::EventText;

/// A grant. It allows and never denies (KMS developer guide, grants).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: String,
    /// To whom: an ARN, or a service.
    pub grantee: String,
    /// Such as `Decrypt`.
    pub operations: Vec<String>,
    /// Pairs that the encryption context has to have among others.
    pub subset: Option<BTreeMap<String, String>>,
    /// The pairs that the encryption context has to consist of.
    pub equals: Option<BTreeMap<String, String>>,
    /// The resource that a call has to be for, which only some services name to KMS.
    pub source_arn: Option<String>,
}

impl Grant {
    /// Whether it allows the request.
    pub fn allows(&self, request: &Request<'_>) -> Truth {
        let operation = request.action.strip_prefix("kms:").unwrap_or(request.action);
        let is_it = self.operations.iter().any(|of| of == operation);
        let has = |(key, value): (&String, &String)| request.encryption_context.get(key) == Some(value);
        let fits = self.subset.as_ref().is_none_or(|subset| subset.iter().all(has))
            && self.equals.as_ref().is_none_or(|equals| equals == request.encryption_context);
        if !is_it || !fits {
            return Truth::No;
        }
        let is_service = Principal::parse(&self.grantee).is_some_and(|of| of.kind == PrincipalKind::Service);
        let kind = if is_service { "Service" } else { "AWS" };
        let named = request.principal.named_by(&json!({kind: self.grantee}));
        // Whether a grant to an account is one to each of its principals is not known.
        let bound = self.source_arn.as_ref().filter(|_| !named.itself.is_no());
        if let Some(source) = bound {
            return Truth::Unknown(Doubt::Unread(EventText::new(&format!("a grant is bound to the source {source}"))));
        }
        match named.itself {
            Truth::No if !named.account.is_no() => Truth::Unknown(Doubt::Principal(EventText::new(&self.grantee))),
            itself => itself,
        }
    }
}
