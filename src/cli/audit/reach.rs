//! How far an audit reaches: the account of the credentials, those that are named, the organization, or what AWS Config recorded.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cli::arguments::{Globals, options, switch};
use crate::cli::context::read_file;
use crate::cli::output::Stop;
use crate::domain::arn::Scope;
use crate::domain::text::EventText;

/// So many accounts are observed at the same time where nobody says it.
const AT_ONCE: u16 = 8;

/// What is said of that on the command line.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Many accounts")]
pub(super) struct ReachArguments {
    /// Ask this aggregator of AWS Config, in the Region of `--region`, for all streams of its accounts and Regions; no stream is observed
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "all_regions", "organization"])]
    pub(super) aggregator: Option<String>,
    /// Ask AWS Config for the streams of this account and Region; no stream is observed
    #[arg(long, conflicts_with_all = ["all_regions", "organization", "accounts", "accounts_file", "role"])]
    pub(super) config: bool,
    /// Only these accounts: with --role each stream in them is observed; with --aggregator its other accounts are
    /// left out
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    accounts: Vec<String>,
    /// The same from a file, or from standard input for `-`: one account a line; text after `#` is ignored
    #[arg(long, value_name = "FILE", conflicts_with = "accounts")]
    accounts_file: Option<PathBuf>,
    /// Observe each stream of every active account of the organization, with --role
    #[arg(long, conflicts_with_all = ["accounts", "accounts_file"])]
    organization: bool,
    /// Leave out the aggregator's other Regions
    #[arg(long, value_name = "REGION", value_delimiter = ',', requires = "aggregator")]
    regions: Vec<String>,
    /// The name of the role to assume in each account, with its path; no role is assumed in the account of the
    /// credentials
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// The external id that the role's trust policy requires
    #[arg(long, value_name = "ID", requires = "role")]
    external_id: Option<String>,
    /// Also observe N of the streams that are non-compliant by AWS Config's record, or `all` of them, and report what
    /// differs; with --aggregator this needs --role
    #[arg(long, value_name = "N", value_parser = verify)]
    verify: Option<usize>,
    /// How many accounts are observed at the same time
    #[arg(long, value_name = "N", default_value_t = AT_ONCE, value_parser = clap::value_parser!(u16).range(1..=64))]
    at_once: u16,
}

/// The same, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The account of the credentials.
    Own,
    /// Other accounts, each with a role.
    Accounts {
        /// `None`: every one of the organization.
        named: Option<Vec<String>>,
        role: RoleName,
        at_once: usize,
    },
    /// What AWS Config recorded.
    Recorded(Asked),
}

/// What AWS Config is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `None`: this account and Region alone.
    pub(super) aggregator: Option<String>,
    /// None stands for all.
    pub(super) accounts: Vec<String>,
    pub(super) regions: Vec<String>,
    /// So many streams are observed to verify what was recorded.
    pub(super) verify: usize,
    pub(super) role: Option<RoleName>,
}

/// A role that has the same name in each account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RoleName {
    pub(super) name: String,
    pub(super) external_id: Option<String>,
}

impl RoleName {
    /// The role of this name in an account.
    pub(super) fn arn(&self, partition: &str, account: &str) -> String {
        format!("arn:{partition}:iam::{account}:role/{}", self.name)
    }
}

impl ReachArguments {
    /// The options as they are typed.
    pub(super) fn given(&self) -> String {
        let Self { aggregator, config, accounts, accounts_file, organization, regions, .. } = self;
        let number = |count: usize| if count == usize::MAX { "all".to_owned() } else { count.to_string() };
        [
            options("aggregator", aggregator),
            switch("config", *config),
            options("accounts", accounts),
            options("accounts-file", &accounts_file.as_ref().map(|path| path.display().to_string())),
            switch("organization", *organization),
            options("regions", regions),
            options("role", &self.role),
            options("external-id", &self.external_id),
            options("verify", &self.verify.map(number)),
            options("at-once", &Some(self.at_once.to_string()).filter(|_| self.at_once != AT_ONCE)),
        ]
        .concat()
    }

    pub(super) fn reach(&self, globals: &Globals) -> Result<Reach, Stop> {
        let accounts = self.accounts()?;
        let role = self.role.as_deref().map(|name| role(name, self.external_id.as_deref())).transpose()?;
        let is_other = self.config || self.aggregator.is_some() || self.organization || !accounts.is_empty();
        if is_other && globals.account.is_some() {
            return Err(Stop::usage("`--account` is the one of the credentials: it does not go with other accounts"));
        }
        if let Some(name) = &self.aggregator {
            // As the API takes it (Config API reference, ConfigurationAggregatorName).
            let is_one = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || name.len() > 256 || !name.chars().all(is_one) {
                let why = format!("--aggregator: `{}` is not the name of an aggregator", EventText::new(name));
                return Err(Stop::usage(why).help("names have up to 256 letters, digits, `_` and `-`; an ARN is none"));
            }
        }
        if let Some(other) = self.regions.iter().find(|region| !Scope::is_region(region)) {
            return Err(Stop::usage(format!("--regions: `{}` is not a Region", EventText::new(other))));
        }
        if self.verify.is_some() && !self.config && self.aggregator.is_none() {
            return Err(Stop::usage(
                "--verify: each stream is observed already; it goes with `--aggregator` or `--config`",
            ));
        }
        if self.verify.is_some() && self.aggregator.is_some() && role.is_none() {
            return Err(Stop::usage(
                "--verify: streams of other accounts are observed with a role: name it with `--role`",
            ));
        }
        if self.config || self.aggregator.is_some() {
            let verify = self.verify.unwrap_or_default();
            let (aggregator, regions) = (self.aggregator.clone(), self.regions.clone());
            return Ok(Reach::Recorded(Asked { aggregator, accounts, regions, verify, role }));
        }
        match (role, self.organization || !accounts.is_empty()) {
            (None, false) => Ok(Reach::Own),
            (Some(role), true) => {
                let named = (!self.organization).then_some(accounts);
                Ok(Reach::Accounts { named, role, at_once: usize::from(self.at_once) })
            }
            (None, true) => {
                let stop = Stop::usage("other accounts are observed with a role in each: name it with `--role`");
                Err(stop.help("`--aggregator NAME` needs no role there: it asks AWS Config"))
            }
            (Some(_), false) => {
                Err(Stop::usage("--role: in which accounts? Name them with `--accounts`, or give `--organization`"))
            }
        }
    }

    /// The accounts that are named, each once, in their order.
    fn accounts(&self) -> Result<Vec<String>, Stop> {
        let (text, from) = match &self.accounts_file {
            None => (self.accounts.join("\n"), None),
            Some(path) => (read_file(path)?, Some(path.display().to_string())),
        };
        let (mut accounts, mut known) = (Vec::new(), BTreeSet::new());
        for (index, line) in text.lines().enumerate() {
            let account = line.split('#').next().unwrap_or_default().trim();
            if account.is_empty() {
                continue;
            }
            if !Scope::is_account(account) {
                let place = from.as_ref().map_or("--accounts".to_owned(), |from| format!("{from}:{}", index + 1));
                let why = format!("{place}: `{}` is not the 12 digits of an account", EventText::new(account));
                return Err(Stop::usage(why));
            }
            if known.insert(account.to_owned()) {
                accounts.push(account.to_owned());
            }
        }
        match &from {
            Some(from) if accounts.is_empty() => Err(Stop::usage(format!("{from}: it names no account"))),
            _ => Ok(accounts),
        }
    }
}

/// A number of streams, or all.
fn verify(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        _ => text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "write a number from 1, or `all`".to_owned()),
    }
}

/// A role by its name and path, as IAM takes them (IAM API reference, CreateRole: 64 and 512 characters).
fn role(name: &str, external_id: Option<&str>) -> Result<RoleName, Stop> {
    let is_one = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-/".contains(c);
    let last = name.rsplit('/').next().unwrap_or_default();
    if name.starts_with("arn:") || last.is_empty() || last.len() > 64 || name.len() > 576 || !name.chars().all(is_one) {
        let stop = Stop::usage(format!("--role: `{}` is not the name of a role", EventText::new(name)));
        return Err(stop.help(
            "write the name alone, without an ARN: it is the same in each account, as `audit` or `security/audit`",
        ));
    }
    let external_id = external_id.map(str::to_owned);
    Ok(RoleName { name: name.trim_start_matches('/').to_owned(), external_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(arguments: ReachArguments) -> Result<Reach, String> {
        arguments.reach(&Globals::default()).map_err(|stop| stop.words())
    }

    #[test]
    fn accounts_are_named_once_and_have_12_digits() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("accounts");
            std::fs::write(&path, text).unwrap();
            let of_file = ReachArguments {
                accounts_file: Some(path),
                role: Some("audit".into()),
                at_once: 4,
                ..ReachArguments::default()
            };
            reach(of_file)
        };
        let role = RoleName { name: "audit".into(), external_id: None };
        let named = |accounts: &[&str]| Reach::Accounts {
            named: Some(accounts.iter().map(|account| (*account).to_owned()).collect()),
            role: role.clone(),
            at_once: 4,
        };
        let two = "# ours\n111122223333 # the first\n\n 444455556666\r\n111122223333\n";
        assert_eq!(file(two), Ok(named(&["111122223333", "444455556666"])));
        assert!(
            file("111122223333\n44445555666\n")
                .unwrap_err()
                .ends_with("accounts:2: `44445555666` is not the 12 digits of an account")
        );
        assert!(file("# none\n").unwrap_err().ends_with("it names no account"));
    }

    #[test]
    fn what_is_given_together_makes_sense() {
        let accounts = || vec!["111122223333".to_owned()];
        let role = || Some("audit".to_owned());
        let says = |arguments: ReachArguments| match reach(arguments) {
            Ok(Reach::Own) => "own".to_owned(),
            Ok(Reach::Accounts { named, .. }) => format!("accounts {named:?}"),
            Ok(Reach::Recorded(asked)) => format!("recorded {:?} {:?}", asked.aggregator, asked.accounts),
            Err(why) => why,
        };
        let none = ReachArguments::default;
        assert_eq!(says(none()), "own");
        assert!(says(ReachArguments { accounts: accounts(), ..none() }).contains("name it with `--role`"));
        assert!(says(ReachArguments { organization: true, ..none() }).contains("name it with `--role`"));
        assert!(says(ReachArguments { role: role(), ..none() }).starts_with("--role: in which accounts?"));
        assert_eq!(says(ReachArguments { organization: true, role: role(), ..none() }), "accounts None");
        assert_eq!(says(ReachArguments { aggregator: Some("org".into()), ..none() }), "recorded Some(\"org\") []");
        let some = ReachArguments { aggregator: Some("org".into()), accounts: accounts(), ..none() };
        assert_eq!(says(some), "recorded Some(\"org\") [\"111122223333\"]");
        for bad in ["arn:aws:iam::111122223333:role/audit", "", "a/", "a b", &"x".repeat(65)] {
            let why = says(ReachArguments { organization: true, role: Some(bad.into()), ..none() });
            assert!(why.starts_with("--role: `"), "{bad}: {why}");
        }
        for bad in ["", "a b", "arn:aws:config:eu-west-1:111122223333:config-aggregator/x"] {
            assert!(
                says(ReachArguments { aggregator: Some(bad.into()), ..none() }).starts_with("--aggregator: `"),
                "{bad}"
            );
        }
        assert!(
            says(ReachArguments { verify: Some(1), ..none() }).starts_with("--verify: each stream is observed already")
        );
        let some = ReachArguments { verify: Some(1), aggregator: Some("org".into()), ..none() };
        assert!(says(some).starts_with("--verify: streams of other accounts are observed with a role"));
        assert_eq!(
            ["all", "7", "0", "-1", "x"].map(|text| verify(text).ok()),
            [Some(usize::MAX), Some(7), None, None, None]
        );
        let region = ReachArguments { aggregator: Some("org".into()), regions: vec!["nowhere".into()], ..none() };
        assert_eq!(says(region), "--regions: `nowhere` is not a Region");
    }
}
