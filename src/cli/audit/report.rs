//! What an audit found, as a value: its rows, its totals, its exit code and its JSON, `streamseal.audit/v1`. Frozen like
//! evidence: fields may be added, none is renamed, moved or given another meaning.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Value, json};

use super::change::Since;
use super::filter::{Filter, Given};
pub(super) use super::found::{Broken, Lack};
use super::found::{Said, Suspect, Verified};
use super::severity::Severity;
pub(super) use super::totals::ORDER;
use super::totals::{Counted, Totals};
use crate::cli::exit::Exit;
use crate::cli::words::{exit_of, remedy_json};
use crate::domain::evidence::Evidence;
use crate::domain::evidence::v1::{ExemptionWire, WouldWire};
use crate::domain::model::{Encryption, KeyIdentity, Mode, Tags};
use crate::domain::policy::Exemption;
use crate::domain::remedy::advice::Remedy;
use crate::domain::text::EventText;
use crate::domain::time::Time;
use crate::domain::verdict::{Compliance, Reason};

/// The document's name and version.
pub(super) const SCHEMA: &str = "streamseal.audit/v1";
pub(super) use crate::cli::heading::TOOL;
/// Where a stream is counted that has no rule, and one that has no key.
pub(super) const NO_RULE: &str = "(no rule)";
pub(super) const NOT_ENCRYPTED: &str = "(not encrypted)";
pub(super) const NOT_SEEN: &str = "(not seen)";

/// A whole audit.
#[derive(Debug)]
pub(super) struct Audit {
    /// Of the run, as each stream's evidence has it too.
    pub(super) id: String,
    /// Who asked, where that is known.
    pub(super) actor: Option<String>,
    /// What was asked for, for the next command.
    pub(super) given: Given,
    /// The one that the credentials are of.
    pub(super) account: String,
    pub(super) source: Source,
    pub(super) mode: Mode,
    pub(super) policy_source: String,
    pub(super) policy_digest: String,
    /// Every rule, in the policy's order, also those that decided nothing.
    pub(super) rules: Vec<String>,
    /// Rules whose exemption ends soon, with its last day.
    pub(super) exemptions_ending: BTreeMap<String, Date>,
    /// Every exemption of the policy, by its rule's name.
    pub(super) exemptions: Vec<(String, Exemption)>,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
    pub(super) regions: Vec<Region>,
    /// Of the streams that are not in `regions`, since they were written already.
    pub(super) written: Totals,
    /// Requests that were sent for no Region of its own, by operation.
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// What the audit lacks besides Regions: accounts, and answers that cannot be read.
    pub(super) lacks: Vec<Lack>,
    /// What was observed to verify what was recorded.
    pub(super) verified: Option<Verified>,
    /// Which streams it is about, and lists.
    pub(super) filter: Filter,
    /// What changed since an audit before, where there is one to compare with.
    pub(super) since: Option<Since>,
}

/// Where the streams' settings are from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Each stream was observed.
    Kinesis,
    /// AWS Config recorded them, in the account and Region of this name.
    Config { region: String },
    /// The same of many accounts and Regions, by an aggregator.
    Aggregator { name: String, region: String },
}

impl Source {
    fn to_json(&self) -> Value {
        match self {
            Self::Kinesis => json!({"kind": "kinesis"}),
            Self::Config { region } => json!({"kind": "config", "region": region}),
            Self::Aggregator { name, region } => json!({"kind": "aggregator", "name": name, "region": region}),
        }
    }
}

/// What was found by other ways than observing the account of the credentials.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) regions: Vec<Region>,
    pub(super) written: Totals,
    pub(super) lacks: Vec<Lack>,
    pub(super) calls: BTreeMap<&'static str, u64>,
    /// The worst streams, which are to be verified.
    pub(super) suspects: Vec<Suspect>,
}

/// What was found in one Region of an account.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) account: String,
    pub(super) name: String,
    pub(super) ended: Ended,
    /// How many streams were listed.
    pub(super) listed: usize,
    /// How many of them went away before they were observed.
    pub(super) gone: usize,
    /// In the order of the service: by name.
    pub(super) streams: Vec<Evidence>,
    /// How many streams were written already and are not in `streams`.
    pub(super) written: usize,
    /// Requests sent, by operation.
    pub(super) calls: BTreeMap<&'static str, u64>,
}

/// How the audit of a Region ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Every stream was observed.
    Complete,
    /// The account does not have the Region: nobody enabled it, and so it has no streams.
    NotEnabled,
    /// A service control policy denies it to the whole account, as that of AWS Control Tower does: nothing of it can be observed.
    Denied,
    /// It could not be observed to its end.
    Failed(Broken),
    /// AWS Config delivered no stream of it: it has none, or they are not recorded there.
    Silent,
    /// What AWS Config has of it may be old: since when, and why.
    Outdated(String),
    /// Somebody stopped the audit before its end.
    Interrupted,
}

/// What ends the command with another exit code than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum FailOn {
    /// A stream that is non-compliant
    NonCompliant,
    /// A stream that is non-compliant or unknown, or a Region that the organization denies
    Unknown,
    /// A stream that is non-compliant, and was not in the audit that `--since` names
    New,
    /// Nothing that the audit finds
    None,
}

impl Region {
    pub(super) fn new(account: &str, name: &str) -> Self {
        let (streams, calls) = (Vec::new(), BTreeMap::new());
        let (account, name) = (account.to_owned(), name.to_owned());
        Self { account, name, ended: Ended::Complete, listed: 0, gone: 0, streams, written: 0, calls }
    }

    /// Where nobody said whose the credentials are: that every stream of a list is gone says that the list is of another account.
    pub(super) fn doubt(&mut self) {
        if self.ended == Ended::Complete && self.listed > 0 && self.gone == self.listed {
            self.ended = Ended::Failed(Broken {
                why: format!("none of the {} listed streams exists", self.listed),
                help: Some("check the account of the credentials: `aws sts get-caller-identity` prints it".to_owned()),
                passes: false,
            });
        }
    }

    fn to_json(&self) -> Value {
        let (state, failure) = match &self.ended {
            Ended::Complete => ("complete", None),
            Ended::NotEnabled => ("not-enabled", None),
            Ended::Denied => ("denied", None),
            Ended::Failed(broken) => ("failed", Some(&broken.why)),
            Ended::Silent => ("no-streams", None),
            Ended::Outdated(why) => ("outdated", Some(why)),
            Ended::Interrupted => ("interrupted", None),
        };
        json!({
            "account": self.account, "region": self.name, "state": state, "failure": failure, "listed": self.listed,
            "gone": self.gone, "streams": self.written + self.streams.len(), "calls": self.calls,
        })
    }
}

/// One stream in one line.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) stream: &'a str,
    pub(super) arn: String,
    pub(super) compliance: &'static str,
    pub(super) reason: &'static str,
    pub(super) withheld: Option<&'static str>,
    pub(super) would: Option<WouldWire>,
    pub(super) alarm: bool,
    pub(super) rule: Option<&'a str>,
    pub(super) status: Option<String>,
    pub(super) encryption_type: Option<&'a str>,
    pub(super) key_id: Option<&'a str>,
    pub(super) key_arn: Option<&'a str>,
    pub(super) key_alias: Option<&'a str>,
    pub(super) key_manager: Option<&'static str>,
    pub(super) key_state: Option<&'a str>,
    pub(super) key_rotation: Option<String>,
    pub(super) key_origin: Option<&'a str>,
    pub(super) desired_key: Option<&'a str>,
    pub(super) desired_key_arn: Option<&'a str>,
    pub(super) exemption: Option<ExemptionWire<'a>>,
    /// Those that decided.
    pub(super) tags: &'a Tags,
    pub(super) created_at: Option<Time>,
    /// When it was so: when it was observed, or when AWS Config recorded it.
    pub(super) as_of: Time,
    pub(super) annotation: &'a str,
}

impl<'a> Row<'a> {
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let (verdict, setting) = (&evidence.verdict, evidence.before.as_ref());
        let (encryption_type, key_id) = match setting.map(|setting| &setting.observed.encryption) {
            None => (None, None),
            Some(Encryption::None) => (Some("NONE"), None),
            Some(Encryption::Kms(key)) => (Some("KMS"), Some(key.as_str())),
            Some(Encryption::Unreadable(text)) => (Some(text.as_str()), None),
        };
        let known = evidence.current_key();
        Self {
            account: &evidence.stream.scope.account,
            region: &evidence.stream.scope.region,
            stream: evidence.stream.name.as_str(),
            arn: evidence.stream.to_string(),
            compliance: verdict.compliance.as_str(),
            reason: verdict.reason.as_str(),
            withheld: verdict.withheld.map(|why| why.as_str()),
            would: verdict.would.map(WouldWire::from),
            alarm: verdict.alarm,
            rule: evidence.rule.as_ref().map(|(_, name)| name.as_str()),
            status: setting.map(|setting| setting.observed.status.to_string()),
            encryption_type,
            key_id,
            key_arn: setting.and_then(|setting| setting.key.as_ref()).and_then(arn),
            key_alias: known.and_then(|key| key.alias.as_deref()),
            key_manager: known.map(|key| key.info.manager.as_str()),
            key_state: known.and_then(|key| key.info.state.as_ref()).map(EventText::as_str),
            key_rotation: known.and_then(|key| key.rotation).map(|rotation| rotation.to_string()),
            key_origin: known.and_then(|key| key.info.origin.as_ref()).map(EventText::as_str),
            desired_key: evidence.desired.as_ref().map(|(key, _)| key.as_str()),
            desired_key_arn: evidence.desired.as_ref().and_then(|(_, identity)| identity.as_ref()).and_then(arn),
            exemption: evidence.exemption.as_ref().map(ExemptionWire::from),
            tags: &evidence.tags,
            // Where AWS Config does not know it, the stream counts as old.
            created_at: setting
                .map(|setting| setting.observed.created)
                .filter(|at| *at > Timestamp::UNIX_EPOCH)
                .map(Time),
            as_of: Time(setting.map_or(evidence.finished_at, |setting| setting.observed.at)),
            annotation: &verdict.detail,
        }
    }

    /// What is compared where what was recorded is verified.
    pub(super) fn said(&self) -> Said {
        Said { compliance: self.compliance, reason: self.reason, key: self.key().to_owned() }
    }

    /// The key that the stream is on, for counting.
    pub(super) fn key(&self) -> &str {
        match self.encryption_type {
            None => NOT_SEEN,
            Some("NONE") => NOT_ENCRYPTED,
            Some(other) => self.key_arn.or(self.key_id).unwrap_or(other),
        }
    }
}

fn arn(key: &KeyIdentity) -> Option<&str> {
    match key {
        KeyIdentity::Arn(arn) => Some(arn.as_str()),
        KeyIdentity::AwsManagedAlias => None,
    }
}

impl Audit {
    pub(super) fn streams(&self) -> impl Iterator<Item = &Evidence> {
        self.regions.iter().flat_map(|region| &region.streams)
    }

    /// Those that are listed, one by one.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Evidence> {
        self.streams().filter(|evidence| self.filter.lists(evidence))
    }

    /// Takes what was found.
    pub(super) fn take(&mut self, found: Found) {
        (self.regions, self.written) = (found.regions, found.written);
        (self.lacks, self.calls) = (found.lacks, found.calls);
    }

    /// Whose streams these are.
    pub(super) fn whose(&self) -> String {
        let Self { account, source, .. } = self;
        match source {
            Source::Aggregator { name, region } => format!("aggregator {name} of account {account} in {region}"),
            Source::Kinesis | Source::Config { .. } if self.accounts() > 1 => format!("{} accounts", self.accounts()),
            Source::Kinesis | Source::Config { .. } => format!("account {account}"),
        }
    }

    /// How many accounts there are.
    pub(super) fn accounts(&self) -> usize {
        self.regions.iter().map(|region| region.account.as_str()).collect::<BTreeSet<_>>().len()
    }

    /// How many Regions there are, of all accounts.
    pub(super) fn region_names(&self) -> BTreeSet<&str> {
        self.regions.iter().map(|region| region.name.as_str()).collect()
    }

    /// Of all streams, also of those that were written already.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.written.clone();
        self.streams().for_each(|evidence| count(&mut totals, evidence));
        totals
    }

    /// Whether every Region that the accounts have was observed to its end.
    pub(super) fn is_complete(&self) -> bool {
        let failed = self.regions.iter().any(|r| matches!(r.ended, Ended::Failed(_) | Ended::Interrupted));
        // Credentials that are good nowhere give the same answer as Regions that nobody enabled.
        let somewhere = self.regions.iter().any(|region| !matches!(region.ended, Ended::NotEnabled | Ended::Denied));
        !failed && somewhere && self.lacks.is_empty()
    }

    pub(super) fn exit(&self, fail_on: Option<FailOn>) -> Exit {
        let totals = self.totals();
        let found = match fail_on {
            Some(FailOn::None) => Exit::Compliant,
            Some(FailOn::New) if self.since.as_ref().is_some_and(|since| !since.new.is_empty()) => Exit::NonCompliant,
            Some(FailOn::New) => Exit::Compliant,
            Some(FailOn::NonCompliant) if totals.all.of(Compliance::NonCompliant) > 0 => Exit::NonCompliant,
            Some(FailOn::NonCompliant) => Exit::Compliant,
            Some(FailOn::Unknown) => totals.worst,
            None => totals.worst_settled,
        };
        let of_broken = |broken: &Broken| if broken.passes { Exit::TryAgain } else { Exit::Failure };
        let of_region = |region: &Region| match &region.ended {
            Ended::Failed(broken) => of_broken(broken),
            Ended::Interrupted => Exit::Failure,
            Ended::Denied | Ended::Silent if fail_on == Some(FailOn::Unknown) => Exit::Failure,
            Ended::Complete | Ended::NotEnabled | Ended::Denied | Ended::Silent | Ended::Outdated(_) => Exit::Compliant,
        };
        let lacks = self.lacks.iter().map(|lack| of_broken(&lack.broken));
        let parts = self.regions.iter().map(of_region).chain(lacks).fold(Exit::Compliant, Exit::worse);
        if self.is_complete() || parts == Exit::TryAgain { found.worse(parts) } else { Exit::Failure }
    }

    /// Everything but the streams.
    pub(super) fn head(&self) -> Value {
        let ending = self.exemptions_ending.iter().map(|(rule, until)| json!({"rule": rule, "until": until}));
        let exemptions = self.exemptions.iter().map(|(rule, Exemption { reason, owner, until })| {
            json!({"rule": rule, "reason": reason, "owner": owner, "until": until})
        });
        json!({
            "schema": SCHEMA,
            "id": self.id,
            "time": Time(self.finished_at),
            "actor": self.actor,
            "tool": TOOL,
            "account": self.account,
            "source": self.source.to_json(),
            "calls": self.calls,
            "mode": self.mode,
            "policy": {"source": self.policy_source, "digest": self.policy_digest, "rules": self.rules},
            "started_at": Time(self.started_at),
            "finished_at": Time(self.finished_at),
            "complete": self.is_complete(),
            "filter": self.filter.to_json(),
            "since": self.since.as_ref().map(Since::to_json),
            "totals": self.totals().to_json(&self.rules),
            "exemptions": exemptions.collect::<Vec<_>>(),
            "exemptions_ending": ending.collect::<Vec<_>>(),
            "lacks": self.lacks.iter().map(Lack::to_json).collect::<Vec<_>>(),
            "verified": self.verified.as_ref().map(Verified::to_json),
            "regions": self.regions.iter().map(Region::to_json).collect::<Vec<_>>(),
        })
    }
}

/// Counts one stream.
pub(super) fn count(totals: &mut Totals, evidence: &Evidence) {
    let row = Row::new(evidence);
    let (verdict, exit) = (&evidence.verdict, exit_of(&evidence.verdict, &evidence.remedy));
    let is_wrong = verdict.compliance == Compliance::NonCompliant;
    totals.add(Counted {
        compliance: verdict.compliance,
        reason: row.reason,
        severity: Severity::of(evidence),
        is_blocked: is_wrong && !matches!(evidence.remedy, Remedy::Source(_) | Remedy::None),
        groups: [row.account, row.region, row.rule.unwrap_or(NO_RULE), row.key()],
        exit,
        // Its creator is at work on it: the next audit says.
        is_settling: exit == Exit::TryAgain && verdict.reason == Reason::Settling,
    });
}

/// A row, and what to do about the stream.
pub(super) fn row_with_remedy(evidence: &Evidence) -> Value {
    let mut row = serde_json::to_value(Row::new(evidence)).unwrap_or_default();
    if let Some(fields) = row.as_object_mut() {
        if let Some(change) = evidence.remedy.at_source() {
            fields.insert("at_source".to_owned(), json!(change));
        }
        if evidence.remedy != Remedy::None {
            fields.insert("remedy".to_owned(), remedy_json(&evidence.remedy));
        }
    }
    row
}

/// A statement that names this stream, for all streams of its account and Region: a policy that refuses one mostly refuses all.
pub(super) fn for_all_streams(evidence: &Evidence, text: &str) -> String {
    let one = evidence.stream.to_string();
    let all = one.strip_suffix(evidence.stream.name.as_str()).map(|folder| format!("\"{folder}*\""));
    all.map_or_else(|| text.to_owned(), |all| text.replace(&format!("\"{one}\""), &all))
}

/// What can be pasted, in one line: a command, and its alternatives as a comment behind it.
pub(super) fn one_line(remedy: &Remedy) -> Option<String> {
    let commands = remedy.commands();
    if commands.is_empty() { None } else { Some(commands.join(" # or: ")) }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::domain::remedy::advice::Advice;

    #[test]
    fn the_exit_code_says_the_worst() {
        let without = |gone: &[Compliance]| {
            let mut audit = samples::audit();
            for region in &mut audit.regions {
                region.streams.retain(|evidence| !gone.contains(&evidence.verdict.compliance));
            }
            audit.exit(None)
        };
        use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
        assert_eq!(without(&[]), Exit::NonCompliant);
        assert_eq!(without(&[NonCompliant]), Exit::TryAgain);
        assert_eq!(without(&[NonCompliant, InsufficientData]), Exit::Compliant);
        assert_eq!(without(&[NonCompliant, InsufficientData, Compliant, NotApplicable]), Exit::Compliant, "no stream");
        assert_eq!(samples::incomplete().exit(None), Exit::Failure);
        let mut passing = samples::incomplete();
        for region in &mut passing.regions {
            region.streams.clear();
            if let Ended::Failed(broken) = &mut region.ended {
                broken.passes = true;
            }
        }
        assert_eq!(passing.exit(None), Exit::TryAgain, "it may be over with the next try");
        let mut nowhere = samples::audit();
        nowhere.regions.iter_mut().for_each(|region| region.ended = Ended::NotEnabled);
        assert_eq!(nowhere.exit(None), Exit::Failure, "credentials that are good nowhere");
    }

    #[test]
    fn what_is_new_alone_can_fail_the_command() {
        let mut audit = samples::audit();
        audit.since = Some(Since::default());
        assert_eq!(audit.exit(Some(FailOn::New)), Exit::Compliant, "what was wrong before is let through");
        let new = audit.regions[0].streams[1].stream.clone();
        audit.since.iter_mut().for_each(|since| since.new.push(new.clone()));
        assert_eq!(audit.exit(Some(FailOn::New)), Exit::NonCompliant);
        audit.regions[0].ended = Ended::Interrupted;
        assert_eq!(audit.exit(Some(FailOn::New)), Exit::Failure, "whatever was not observed may be new");
        assert_eq!(audit.head()["complete"], false);
    }

    #[test]
    fn what_fails_the_command_can_be_chosen() {
        let mut audit = samples::audit();
        let mut denied = Region::new("111122223333", "eu-west-2");
        denied.ended = Ended::Denied;
        audit.regions.push(denied);
        use FailOn::{NonCompliant, None as Nothing, Unknown};
        let exits = |audit: &Audit| [None, Some(NonCompliant), Some(Unknown), Some(Nothing)].map(|on| audit.exit(on));
        use Exit::{Compliant, Failure, TryAgain};
        assert_eq!(exits(&audit), [Exit::NonCompliant, Exit::NonCompliant, Failure, Compliant]);
        audit.regions[0].streams.retain(|evidence| evidence.verdict.compliance != Compliance::NonCompliant);
        assert_eq!(exits(&audit), [TryAgain, Compliant, Failure, Compliant]);
        audit.regions[0].streams.clear();
        assert_eq!(exits(&audit), [Compliant, Compliant, Failure, Compliant]);
        assert_eq!(exits(&samples::incomplete())[3], Failure, "an audit that failed is one whatever is asked for");
    }

    /// A permission that is missing is missing with the next try too.
    #[test]
    fn a_stream_that_may_not_be_observed_is_a_failure_and_no_reason_to_try_again() {
        let mut audit = samples::audit();
        audit.regions[0].streams.retain(|evidence| evidence.verdict.compliance == Compliance::InsufficientData);
        assert_eq!(audit.exit(None), Exit::TryAgain);
        audit.regions[0].streams[0].remedy =
            Remedy::Permission(Advice { text: "allow it".into(), ..Advice::default() });
        assert_eq!(audit.exit(None), Exit::Failure);
    }

    #[test]
    fn a_statement_is_reported_for_all_streams() {
        let audit = samples::audit();
        let evidence = &audit.regions[0].streams[0];
        let arn = evidence.stream.to_string();
        let text = for_all_streams(evidence, &format!("{{\"Resource\":\"{arn}\"}} {arn}"));
        let all = arn.replace("/orders", "/*");
        assert_eq!(text, format!("{{\"Resource\":\"{all}\"}} {arn}"));
    }

    #[test]
    fn the_json_counts_every_stream() {
        let audit = samples::audit();
        let head = audit.head();
        assert_eq!(head["schema"], SCHEMA);
        let totals = &head["totals"];
        let of = |group: &str, name: &str| {
            let counts = totals[group][name].as_object().unwrap();
            assert_eq!(counts.len(), ORDER.len());
            counts.values().map(|count| count.as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!(totals["streams"], 5);
        assert_eq!(["scratch", "teams", "orders", "rest", NO_RULE].map(|rule| of("by_rule", rule)), [1, 1, 2, 0, 1]);
        assert_eq!(totals["by_rule"]["orders"]["NON_COMPLIANT"], 1);
        assert_eq!(
            (of("by_key", NOT_ENCRYPTED), of("by_account", "111122223333"), of("by_region", "eu-west-1")),
            (4, 5, 5)
        );
        assert_eq!(head["exemptions_ending"], json!([{"rule": "scratch", "until": "2026-12-01"}]));
        // Also those that were written and are not kept.
        let mut written = samples::audit();
        for evidence in written.regions[0].streams.split_off(1) {
            count(&mut written.written, &evidence);
            written.regions[0].written += 1;
        }
        assert_eq!((&written.head(), written.exit(None)), (&head, audit.exit(None)));
        let failed = samples::incomplete().head();
        assert_eq!((&failed["complete"], &failed["regions"][1]["state"]), (&json!(false), &json!("failed")));
    }

    #[test]
    fn a_row_has_what_to_do_about_the_stream() {
        let audit = samples::audit();
        let rows: Vec<Value> = audit.streams().map(row_with_remedy).collect();
        assert!(rows[1]["at_source"]["cli"].is_string() && rows[0]["at_source"].is_null());
        assert_eq!(rows[1]["remedy"]["about"], "source");
        let rule = json!({"about": "rule", "text": "tag it", "commands": ["one", "two"], "statement": null});
        assert_eq!((&rows[2]["remedy"], &rows[2]["at_source"]), (&rule, &Value::Null));
        assert!(rows[0]["remedy"].is_null());
    }

    /// What an audit of many accounts lacks makes it incomplete, and what AWS Config does not say is no success where it is asked for.
    #[test]
    fn what_is_missing_decides_the_exit_code_too() {
        let mut audit = samples::audit();
        audit.regions[0].streams.retain(|evidence| evidence.verdict.compliance == Compliance::Compliant);
        assert_eq!(audit.exit(None), Exit::Compliant);
        let mut silent = Region::new("444455556666", "eu-west-1");
        silent.ended = Ended::Silent;
        audit.regions.push(silent);
        assert_eq!((audit.exit(None), audit.exit(Some(FailOn::Unknown))), (Exit::Compliant, Exit::Failure));
        assert_eq!((audit.is_complete(), audit.accounts()), (true, 2));
        audit.regions[1].ended = Ended::Outdated("it delivered last in May".into());
        assert_eq!((audit.exit(None), audit.exit(Some(FailOn::Unknown))), (Exit::Compliant, Exit::Compliant));
        let broken = |passes| Broken { why: "no".into(), help: None, passes };
        audit.lacks.push(Lack { what: "account 777788889999".into(), broken: broken(true) });
        assert_eq!((audit.exit(None), audit.is_complete()), (Exit::TryAgain, false));
        audit.lacks.push(Lack { what: "account 888899990000".into(), broken: broken(false) });
        assert_eq!(audit.exit(Some(FailOn::None)), Exit::Failure);
    }
}
