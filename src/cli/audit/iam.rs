//! The IAM policies that an audit needs. Each allows reading, and nothing else.

use serde_json::{Value, json};

use super::reach::{Asked, Reach, RoleName};
use super::roles::ASSUME_ROLE;
use crate::cli::arguments::Globals;
use crate::cli::caller::identity;
use crate::cli::context::{given_account, sdk_of};
use crate::cli::iam::{allow, observe, parameters_of, policy};
use crate::cli::organization::LIST_ACCOUNTS;
use crate::cli::output::Stop;
use crate::cli::recorder::{AGGREGATORS, SELECT, SELECT_AGGREGATE, SOURCES};
use crate::domain::arn::Scope;

/// The permissions of the caller. With a role, also the role's permissions and its trust policy.
pub(super) async fn policies(reach: &Reach, globals: &Globals) -> Result<Value, Stop> {
    let role = match reach {
        Reach::Own => None,
        Reach::Accounts { role, .. } => Some(role),
        Reach::Recorded(asked) => asked.role.as_ref(),
    };
    let caller = |partition| policy(&[statements(reach, partition), parameters_of(globals)].concat());
    let Some(role) = role else { return Ok(json!({"caller": caller("aws")})) };
    let sdk = sdk_of(globals, globals.region.first().cloned()).await?;
    let account = match given_account(globals) {
        Some(account) => account,
        None => {
            let asked = identity(&sdk).await;
            let asked = asked.map_err(|failure| Stop::call("which account this is", &failure, None, &[]))?;
            asked.account.ok_or_else(|| Stop::failure("sts:GetCallerIdentity returned no account"))?
        }
    };
    let partition = sdk.region().map_or("aws", |region| Scope::partition_of(region.as_ref()));
    Ok(json!({
        "caller": caller(partition),
        "role": policy(&[observe()]),
        "role_trusts": trust(role, partition, &account),
    }))
}

/// What the caller needs.
fn statements(reach: &Reach, partition: &str) -> Vec<Value> {
    let assume = |role: &RoleName| {
        allow("StreamsealAssume", &[ASSUME_ROLE], &format!("arn:{partition}:iam::*:role/{}", role.name))
    };
    match reach {
        Reach::Own => vec![observe()],
        Reach::Accounts { named, role, .. } => {
            let list = named.is_none().then(|| allow("StreamsealAccounts", &[LIST_ACCOUNTS], "*"));
            [Some(assume(role)), list, Some(observe())].into_iter().flatten().collect()
        }
        Reach::Recorded(Asked { aggregator: Some(_), role, .. }) => {
            let ask = allow("StreamsealRecorded", &[AGGREGATORS, SOURCES, SELECT_AGGREGATE], "*");
            [Some(ask), role.as_ref().map(assume)].into_iter().flatten().collect()
        }
        Reach::Recorded(Asked { aggregator: None, verify, .. }) => {
            let ask = allow("StreamsealRecorded", &[SELECT], "*");
            [Some(ask), (*verify > 0).then(observe)].into_iter().flatten().collect()
        }
    }
}

/// The account of the caller: policies there say who of it.
fn trust(role: &RoleName, partition: &str, account: &str) -> Value {
    let principal = json!({"AWS": format!("arn:{partition}:iam::{account}:root")});
    let mut statement = json!({"Effect": "Allow", "Principal": principal, "Action": ASSUME_ROLE});
    if let (Some(fields), Some(id)) = (statement.as_object_mut(), &role.external_id) {
        fields.insert("Condition".to_owned(), json!({"StringEquals": {"sts:ExternalId": id}}));
    }
    policy(&[statement])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(reach: &Reach) -> Vec<String> {
        let statements = statements(reach, "aws");
        let of = |statement: &Value| serde_json::from_value::<Vec<String>>(statement["Action"].clone()).unwrap();
        statements.iter().flat_map(of).collect()
    }

    #[test]
    fn each_way_needs_what_it_calls_and_nothing_that_writes() {
        let role = RoleName { name: "security/audit".into(), external_id: Some("e".into()) };
        let asked = |aggregator: Option<&str>, role: Option<&RoleName>, verify| {
            let aggregator = aggregator.map(str::to_owned);
            Reach::Recorded(Asked { aggregator, accounts: vec![], regions: vec![], verify, role: role.cloned() })
        };
        let accounts = |named| Reach::Accounts { named, role: role.clone(), at_once: 8 };
        let ways = [
            (Reach::Own, 7, ""),
            (accounts(Some(vec![])), 8, ASSUME_ROLE),
            (accounts(None), 9, LIST_ACCOUNTS),
            (asked(Some("org"), None, 0), 3, SELECT_AGGREGATE),
            (asked(Some("org"), Some(&role), 5), 4, ASSUME_ROLE),
            (asked(None, None, 0), 1, SELECT),
            (asked(None, None, 5), 8, SELECT),
        ];
        for (reach, count, action) in ways {
            let actions = actions(&reach);
            assert_eq!(actions.len(), count, "{actions:?}");
            assert!(action.is_empty() || actions.iter().any(|one| one == action), "{action}: {actions:?}");
            let verbs = ["Describe", "Get", "List", "Select", "AssumeRole"];
            let reads = |one: &String| verbs.iter().any(|verb| one.split(':').nth(1).unwrap().starts_with(verb));
            assert!(actions.iter().all(reads), "{actions:?}");
        }
        let assume = &statements(&accounts(None), "aws-cn")[0];
        assert_eq!(assume["Resource"], "arn:aws-cn:iam::*:role/security/audit");
        let trust = trust(&role, "aws", "111122223333");
        assert_eq!(trust["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::111122223333:root");
        assert_eq!(trust["Statement"][0]["Condition"]["StringEquals"]["sts:ExternalId"], "e");
    }
}
