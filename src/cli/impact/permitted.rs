//! Roles and users whose policies allow them to use a stream. One listing of the account's IAM for all streams; the simulator is asked
//! only where a policy may allow it.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_iam::Client;
use aws_sdk_iam::types::{AttachedPolicy, EntityType, ManagedPolicyDetail, PolicyDetail};
use percent_encoding::percent_decode_str;

use super::calls::AUTHORIZATION_DETAILS;
use super::identity::Identities;
use super::search::Search;
use crate::aws::logged;
use crate::cli::pages::at_most;
use crate::cli::simulator::Answer;
use crate::domain::access::document::Document;
use crate::domain::access::principal::Principal;
use crate::domain::access::request::{Context, to_kinesis};
use crate::domain::codes::is_no_such_entity;
use crate::domain::failure::{Class, Failure, Fault};
use crate::domain::impact::permitted::{
    Account, GET, Holder, Permission, Policies, SUBSCRIBE, WRITES, document, permitted,
};
use crate::domain::impact::report::NotChecked;
use crate::ports::CallLog;

const WHAT: &str = "roles and users by their policies";
/// The largest page (IAM API reference, GetAccountAuthorizationDetails); IAM may give less.
const PAGE: i32 = 1_000;
/// An account has some thousands of roles, users and policies.
const PAGES: usize = 200;
/// So many roles and users are asked about, which takes minutes.
const ASKED_MAX: usize = 500;
/// So many resources are named in one request.
const RESOURCES_MAX: usize = 50;

pub(super) async fn search(search: &mut Search<'_>, identities: &mut Identities<'_>) {
    let account = match account(search).await {
        Ok(account) => account,
        Err(failure) => return search.failed(WHAT, &failure),
    };
    let own = search.context.config.own.clone();
    let mut asked = 0;
    for holder in &account.holders {
        let context = to_kinesis(&holder.principal, &own);
        let wanted = wanted(search, &account, holder, &context);
        if wanted.is_empty() {
            continue;
        }
        if asked == ASKED_MAX {
            let why = format!("there are more than {ASKED_MAX}, and IAM's policy simulator is asked about no more");
            return search.not_checked.push(NotChecked { what: WHAT.to_owned(), why });
        }
        asked += 1;
        match ask(search, identities, &holder.principal, &wanted, &context).await {
            Ok(()) => {}
            // It was deleted since.
            Err(failure) if is_no_such_entity(&failure) => {}
            Err(failure) if failure.class == Class::Permanent(Fault::Access) => return search.failed(WHAT, &failure),
            Err(failure) => search.failed(&holder.principal.name, &failure),
        }
    }
}

/// What to ask about one principal: for each set of calls the resources that a policy may allow them on.
fn wanted(
    search: &Search<'_>,
    account: &Account,
    holder: &Holder,
    context: &Context,
) -> Vec<(&'static [&'static str], Vec<String>)> {
    const ON_STREAMS: [&str; 3] = [WRITES[0], WRITES[1], GET];
    let may = |calls: &[&str], resource: &String| calls.iter().any(|call| account.may(holder, call, resource, context));
    let streams = search.streams.iter().map(|stream| stream.arn.to_string());
    let consumers = search.streams.iter().flat_map(|stream| stream.consumers.clone());
    let on_streams: Vec<String> = streams.filter(|arn| may(&ON_STREAMS, arn)).collect();
    let on_consumers: Vec<String> = consumers.filter(|arn| may(&[SUBSCRIBE], arn)).collect();
    let all: [(&'static [&'static str], Vec<String>); 2] = [(&ON_STREAMS, on_streams), (&[SUBSCRIBE], on_consumers)];
    all.into_iter().filter(|(_, resources)| !resources.is_empty()).collect()
}

/// Asks the simulator about one principal, and adds what its answers come to.
async fn ask(
    search: &mut Search<'_>,
    identities: &mut Identities<'_>,
    who: &Principal,
    wanted: &[(&'static [&'static str], Vec<String>)],
    context: &Context,
) -> Result<(), Failure> {
    let mut said: BTreeMap<String, Vec<(&'static str, Permission)>> = BTreeMap::new();
    for (calls, resources) in wanted {
        for resources in resources.chunks(RESOURCES_MAX) {
            let named: Vec<&str> = resources.iter().map(String::as_str).collect();
            let answers = identities.simulate(who, calls, &named, context).await?;
            for resource in resources {
                let of = calls.iter().map(|call| (*call, permission(answers.of(call, resource), context)));
                said.entry(resource.clone()).or_default().extend(of);
            }
        }
    }
    for stream in &mut search.streams {
        let arns = std::iter::once(stream.arn.to_string()).chain(stream.consumers.iter().cloned());
        let calls: Vec<_> = arns.filter_map(|arn| said.get(&arn)).flatten().cloned().collect();
        stream.findings.extend(permitted(who, &calls));
    }
    Ok(())
}

/// What the simulator says of a call. Where it says nothing, or a word that is not known here, nobody is taken for refused.
fn permission(answer: Option<Answer>, context: &Context) -> Permission {
    let Some(answer) = answer.filter(|answer| answer.other.is_none()) else {
        return Permission::Depends(BTreeSet::from(["what IAM's policy simulator did not answer".to_owned()]));
    };
    let unknown = answer.unknown(context);
    match answer.refusal {
        _ if !unknown.is_empty() => Permission::Depends(unknown),
        None => Permission::Allowed,
        Some(_) => Permission::Refused,
    }
}

/// The roles, users, groups and policies of the account.
async fn account(search: &mut Search<'_>) -> Result<Account, Failure> {
    let client = Client::new(&search.context.sdk);
    let mut account = Account::default();
    let kinds = [
        EntityType::Role,
        EntityType::User,
        EntityType::Group,
        EntityType::LocalManagedPolicy,
        EntityType::AwsManagedPolicy,
    ];
    let whole = at_most(PAGES, async |marker| {
        let request = client
            .get_account_authorization_details()
            .set_filter(Some(kinds.to_vec()))
            .max_items(PAGE)
            .set_marker(marker);
        let page = logged(&CallLog::default(), AUTHORIZATION_DETAILS, request.send()).await?;
        let boundary = |of: Option<&aws_sdk_iam::types::AttachedPermissionsBoundary>| {
            of.and_then(|of| of.permissions_boundary_arn()).map(str::to_owned)
        };
        for role in page.role_detail_list() {
            let Some(principal) = role.arn().and_then(Principal::parse) else { continue };
            let policies = policies(role.role_policy_list(), role.attached_managed_policies());
            let boundary = boundary(role.permissions_boundary());
            account.holders.push(Holder { principal, policies, groups: Vec::new(), boundary });
        }
        for user in page.user_detail_list() {
            let Some(principal) = user.arn().and_then(Principal::parse) else { continue };
            let policies = policies(user.user_policy_list(), user.attached_managed_policies());
            let boundary = boundary(user.permissions_boundary());
            account.holders.push(Holder { principal, policies, groups: user.group_list().to_vec(), boundary });
        }
        for group in page.group_detail_list() {
            let policies = policies(group.group_policy_list(), group.attached_managed_policies());
            account.groups.insert(group.group_name().unwrap_or_default().to_owned(), policies);
        }
        for policy in page.policies() {
            account.managed.insert(policy.arn().unwrap_or_default().to_owned(), in_force(policy));
        }
        Ok(page.marker().filter(|_| page.is_truncated()).map(str::to_owned))
    })
    .await?;
    if !whole {
        search.cut_at(WHAT, PAGES);
    }
    Ok(account)
}

fn policies(inline: &[PolicyDetail], attached: &[AttachedPolicy]) -> Policies {
    Policies {
        inline: inline.iter().map(|policy| decoded(policy.policy_document())).collect(),
        attached: attached.iter().filter_map(|policy| policy.policy_arn()).map(str::to_owned).collect(),
    }
}

/// The version of a managed policy that is in force.
fn in_force(policy: &ManagedPolicyDetail) -> Document {
    let version = policy.policy_version_list().iter().find(|version| version.is_default_version());
    decoded(version.and_then(|version| version.document()))
}

/// IAM encodes documents as a URL's parts (IAM API reference, PolicyDetail).
fn decoded(text: Option<&str>) -> Document {
    document(&percent_decode_str(text.unwrap_or_default()).decode_utf8_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::simulator::Refusal;
    use crate::domain::arn::StreamArn;
    use crate::domain::text::EventText;

    #[test]
    fn whoever_the_simulator_says_nothing_of_may_use_the_stream() {
        let stream = StreamArn::parse("arn:aws:kinesis:eu-west-1:111122223333:stream/orders").unwrap();
        let who = Principal::parse("arn:aws:iam::111122223333:role/app").unwrap();
        let context = to_kinesis(&who, &stream.scope);
        let answer = |refusal, missing: &[&str], other: Option<&str>| {
            let missing = missing.iter().map(ToString::to_string).collect();
            Some(Answer { refusal, missing, other: other.map(EventText::new) })
        };
        let depends = |answer| matches!(permission(answer, &context), Permission::Depends(_));
        assert_eq!(permission(answer(None, &[], None), &context), Permission::Allowed);
        assert_eq!(permission(answer(Some(Refusal::NoStatement), &[], None), &context), Permission::Refused);
        assert!(depends(answer(Some(Refusal::NoStatement), &["aws:SourceVpce"], None)));
        assert!(depends(answer(Some(Refusal::NoStatement), &[], Some("novel"))), "a word that is not known");
        assert!(depends(None), "no answer");
    }
}
