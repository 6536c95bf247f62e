//! Whether an aggregator of AWS Config has what an audit asks it for: every account of the organization, and streams, keys and aliases.

use std::collections::BTreeSet;

use serde_json::Value;

use super::finding::Finding;
use crate::cli::context::Context;
use crate::cli::organization;
use crate::cli::recorder::{Aggregator, Delivered, Queries, SourceStatus};
use crate::domain::failure::Failure;
use crate::domain::recorded::{Kind, accounts_with};

/// Requests a second.
const RATE: u32 = 5;
/// So many accounts are named.
const NAMED_MAX: usize = 5;

pub(super) async fn aggregator(context: &Context, name: &str) -> Vec<Finding> {
    let own = &context.config.own;
    let queries = Queries::new(&context.sdk, &context.aws, Some(name), RATE);
    let found = match queries.aggregators().await {
        Ok(found) => found,
        Err(failure) => return vec![Finding::unobserved("aggregator", &failure, own)],
    };
    let Some(one) = found.iter().find(|aggregator| aggregator.name == name) else {
        let others: Vec<&str> = found.iter().map(|aggregator| aggregator.name.as_str()).collect();
        let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
        let words = format!("account {} has no aggregator {name} in {}; it has {others}", own.account, own.region);
        let fix = "name its Region with `--region`, and credentials of its account with `--profile`";
        return vec![Finding::fault("aggregator", words, fix)];
    };
    let mut findings = vec![reach(one)];
    let sources = match queries.sources().await {
        Ok(sources) => sources,
        Err(failure) => {
            findings.push(Finding::unobserved("sources", &failure, own));
            Vec::new()
        }
    };
    findings.push(delivered(&sources));
    if one.of_organization.is_some() {
        findings.push(match organization::accounts(&context.sdk).await {
            Ok(accounts) => covered(&accounts, &sources),
            Err(failure) => Finding::unobserved("accounts", &failure, own),
        });
    }
    findings.push(match recorded(&queries).await {
        Ok([streams, keys, aliases]) => types(&streams, &keys, &aliases),
        Err(failure) => Finding::unobserved("recorded", &failure, own),
    });
    findings
}

/// Whose accounts it collects from, and in which Regions.
fn reach(one: &Aggregator) -> Finding {
    let Aggregator { name, of_organization, accounts } = one;
    match of_organization {
        Some(regions) if regions.is_empty() => Finding::good(
            "aggregator",
            format!("{name} collects from every account of the organization, in every Region"),
        ),
        Some(regions) => {
            let regions = regions.join(", ");
            Finding::good("aggregator", format!("{name} collects from every account of the organization, in {regions}"))
        }
        None => Finding::fault(
            "aggregator",
            format!("{name} collects from {accounts} accounts of a list, not from the organization"),
            "create an organization aggregator in the management account or in a delegated administrator's account \
             (AWS Config, Aggregators)",
        ),
    }
}

/// How the sources delivered.
fn delivered(sources: &[SourceStatus]) -> Finding {
    let of = |delivered| sources.iter().filter(|source| source.delivered == delivered).collect::<Vec<_>>();
    let (bad, old) = (of(Delivered::Failed), of(Delivered::Outdated));
    let accounts: BTreeSet<&str> =
        sources.iter().filter(|source| source.is_account).map(|source| source.id.as_str()).collect();
    if accounts.is_empty() {
        let fix = "a new aggregator needs some time: try again later";
        return Finding::unknown("sources", "no account has delivered anything", fix);
    }
    let counted = format!("{} accounts, {} Regions in all", accounts.len(), sources.len());
    let name = |source: &&SourceStatus| format!("{} {} ({})", source.id, source.region, source.words);
    match bad.iter().chain(&old).map(name).collect::<Vec<_>>() {
        none if none.is_empty() => Finding::good("sources", format!("{counted}, delivered")),
        some => Finding::fault(
            "sources",
            format!("of {counted}, {} failed and {} are out of date: {}", bad.len(), old.len(), named(&some)),
            "in each of these accounts AWS Config has to record, and to let this account collect (aws configservice \
             describe-configuration-recorder-status)",
        ),
    }
}

/// Whether each account of the organization is a source.
fn covered(accounts: &[String], sources: &[SourceStatus]) -> Finding {
    let known: BTreeSet<&str> = sources.iter().map(|source| source.id.as_str()).collect();
    let missing: Vec<String> = accounts.iter().filter(|account| !known.contains(account.as_str())).cloned().collect();
    if missing.is_empty() {
        return Finding::good(
            "accounts",
            format!("all {} active accounts of the organization are sources", accounts.len()),
        );
    }
    Finding::fault(
        "accounts",
        format!("{} of {} active accounts are not sources: {}", missing.len(), accounts.len(), named(&missing)),
        "turn AWS Config on in them: an audit by this aggregator does not include their streams",
    )
}

/// The accounts that have something recorded, of each type.
async fn recorded(queries: &Queries<'_>) -> Result<[BTreeSet<String>; 3], Failure> {
    let mut found = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    for (kind, accounts) in [Kind::Streams, Kind::Keys, Kind::Aliases].into_iter().zip(&mut found) {
        let (expression, mut token) = (accounts_with(kind), None);
        loop {
            let page = queries.page(&expression, token.as_deref()).await?;
            let name = |result: &Value| result.get("accountId").and_then(Value::as_str).map(str::to_owned);
            accounts.extend(page.results.iter().filter_map(name));
            if page.next.is_none() || page.next == token {
                break;
            }
            token = page.next;
        }
    }
    Ok(found)
}

/// Whether keys and aliases are recorded where streams are.
fn types(streams: &BTreeSet<String>, keys: &BTreeSet<String>, aliases: &BTreeSet<String>) -> Finding {
    let fix = "configure AWS Config in these accounts to record AWS::Kinesis::Stream, AWS::KMS::Key and \
               AWS::KMS::Alias";
    if streams.is_empty() {
        return Finding::fault("recorded", "no stream is recorded in any account", fix);
    }
    let both: BTreeSet<&String> = keys.intersection(aliases).collect();
    let missing: Vec<String> = streams.iter().filter(|account| !both.contains(account)).cloned().collect();
    if missing.is_empty() {
        return Finding::good(
            "recorded",
            format!("streams, keys and aliases, of {} accounts with streams", streams.len()),
        );
    }
    let words = format!(
        "{} of {} accounts with streams have no key or no alias recorded: {}",
        missing.len(),
        streams.len(),
        named(&missing)
    );
    Finding::fault("recorded", words, fix)
}

fn named(all: &[String]) -> String {
    let more = all.len().saturating_sub(NAMED_MAX);
    let first = all.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    fn source(id: &str, delivered: Delivered) -> SourceStatus {
        SourceStatus { id: id.into(), is_account: true, region: "eu-west-1".into(), delivered, words: "in May".into() }
    }

    #[test]
    fn what_an_aggregator_lacks_is_a_fault() {
        let one = |of_organization| reach(&Aggregator { name: "org".into(), of_organization, accounts: 3 });
        assert_eq!(one(Some(vec![])).state, State::Good);
        assert!(one(Some(vec!["eu-west-1".into()])).words.ends_with("in eu-west-1"));
        assert_eq!((one(None).state, one(None).words.contains("3 accounts of a list")), (State::Fault, true));
        use Delivered::{Failed, Outdated, Succeeded};
        assert_eq!(delivered(&[source("1", Succeeded)]).state, State::Good);
        assert_eq!(delivered(&[]).state, State::Unknown);
        for bad in [Failed, Outdated] {
            let finding = delivered(&[source("1", Succeeded), source("2", bad)]);
            assert_eq!((finding.state, finding.words.ends_with("2 eu-west-1 (in May)")), (State::Fault, true));
        }
        let accounts = ["1".to_owned(), "2".to_owned()];
        assert_eq!(covered(&accounts, &[source("1", Succeeded), source("2", Failed)]).state, State::Good);
        let finding = covered(&accounts, &[source("1", Succeeded)]);
        assert_eq!(
            (finding.state, finding.words.as_str()),
            (
                State::Fault,
                "1 of 2 active accounts are not sources: \
                 2"
            )
        );
        let set = |accounts: &[&str]| accounts.iter().map(|account| (*account).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(types(&set(&["1"]), &set(&["1", "2"]), &set(&["1"])).state, State::Good);
        assert_eq!(types(&set(&[]), &set(&["1"]), &set(&["1"])).state, State::Fault);
        for (keys, aliases) in [(&["1"][..], &["1", "2"][..]), (&["1", "2"], &["1"])] {
            let finding = types(&set(&["1", "2"]), &set(keys), &set(aliases));
            assert!(finding.state == State::Fault && finding.words.ends_with("recorded: 2"), "{finding:?}");
        }
    }
}
