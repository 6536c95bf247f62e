//! What holds for any input: the state table row by row and for all states, the parser over any JSON, work messages, and
//! that a second run of what is finished writes nothing.

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::{Value, json};
use streamseal::domain::arn::{KeyArn, KeyRef};
use streamseal::domain::cause::Cause;
use streamseal::domain::event::item::{Input, Item};
use streamseal::domain::event::parse;
use streamseal::domain::history::Contention;
use streamseal::domain::model::{Encryption, KeyIdentity, KeyManager, Mode, Observed, StreamStatus, Tags};
use streamseal::domain::plan::observation::{Observation, observation_of};
use streamseal::domain::plan::permit::{Circumstances, Permission, by_history, permit};
use streamseal::domain::plan::proof::Owed;
use streamseal::domain::plan::situation::{Keys as KnownKeys, Situation, Wrong, assess, key_needed};
use streamseal::domain::plan::step::{Progress, Started, Step, next_step};
use streamseal::domain::policy::{Outcome, Policy};
use streamseal::domain::text::{EVENT_TEXT_MAX, EventText};
use streamseal::domain::verdict::{Withheld, Would};
use streamseal::domain::work::{PutBack, Work};

use crate::sim::actors::{Tool, event};
use crate::sim::faults::Weather;
use crate::sim::kms::{Keys, key_arn};
use crate::sim::scene::{Scene, secs};
use crate::sim::{BEGIN, Op, arn, own};

const SETTING_OUT: &str = r#"
version: 1
defaults: { existing: report, enforce_from: 2026-03-01T00:00:00Z }
rules:
  - { name: exempt, match: { stream: "exempt" }, exempt: { reason: RISK-1 } }
  - { name: tagged, match: { stream: "tagged" }, key: "alias/team-${tag:team}" }
  - { name: unknown, match: { stream: "unknown-key" }, key: alias/nothing }
  - { name: any, match: { stream: "any-key" }, key: alias/app, accept: [customer-managed] }
  - { name: listed, match: { stream: "listed" }, key: alias/app, accept: [alias/other, "arn:aws:kms:eu-west-1:444455556666:key/1"] }
  - { name: central, match: { stream: "central" }, key: alias/app, accept: [customer-managed: ["444455556666"]] }
  - { name: elsewhere, match: { stream: "elsewhere" }, key: "arn:aws:kms:eu-west-1:444455556666:key/1" }
  - { name: aws, match: { stream: "aws" }, key: alias/aws/kinesis, accept: [customer-managed] }
  - { name: app, match: { stream: ["app", "later"] }, key: alias/app, existing: enforce }
"#;

/// Keys of other accounts.
const CENTRAL: &str = "arn:aws:kms:eu-west-1:444455556666:key/1";
const CENTRAL_2: &str = "arn:aws:kms:eu-west-1:444455556666:key/2";
const STRANGE: &str = "arn:aws:kms:eu-west-1:999988887777:key/1";
/// The key `other` by its ARN.
const OTHER: &str = "arn:aws:kms:eu-west-1:111122223333:key/other";

fn now() -> Timestamp {
    BEGIN.parse().unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// One row: an ACTIVE stream of a rule (named like it), on a key, and how far the run is.
#[derive(Clone, Debug)]
struct Row {
    status: StreamStatus,
    rule: &'static str,
    on: Option<&'static str>,
    keys: Keys,
    progress: Progress,
    permission: Permission,
    created: Timestamp,
}

fn row(rule: &'static str, on: Option<&'static str>) -> Row {
    let mut keys = Keys::default();
    keys.add("app");
    keys.add("other");
    keys.add("third");
    [CENTRAL, CENTRAL_2, STRANGE].iter().for_each(|key| keys.add(key));
    let (status, progress, permission) = (StreamStatus::Active, Progress::default(), Permission::Allowed);
    Row { status, rule, on, keys, progress, permission, created: ago(86_400) }
}

impl Row {
    fn status(self, status: StreamStatus) -> Self {
        Self { status, ..self }
    }

    fn key(mut self, id: &str, state: &str) -> Self {
        self.keys.set_state(id, state, Timestamp::MIN);
        self
    }

    fn secret(mut self, id: &str) -> Self {
        self.keys.key(id).secret = true;
        self
    }

    fn owes(mut self) -> Self {
        self.progress.proof = Owed::Now;
        self
    }

    /// A Start was sent, and this long ago the stream was ACTIVE without it first.
    fn started(mut self, acknowledged: bool, wrong_for: Option<i64>) -> Self {
        self.progress.started = Some(Started { acknowledged });
        self.progress.wrong_since = wrong_for.map(ago);
        self
    }

    fn permission(self, permission: Permission) -> Self {
        Self { permission, ..self }
    }

    /// The run is there to put `other` back.
    fn puts_back(mut self) -> Self {
        self.progress.put_back = KeyArn::parse(&key_arn("other")).map(KeyIdentity::Arn);
        self
    }

    fn observation(&self) -> Observation {
        let encryption = self.on.map_or(Encryption::None, |key| Encryption::Kms(KeyRef::parse(key).unwrap()));
        let (status, created) = (self.status.clone(), self.created);
        let observed = Observed { status, encryption, created, retention_hours: 24, at: now() };
        match observation_of(&observed, Some(ago(86_400))) {
            Some(observation) => observation,
            None => Observation::Active(self.situation(&observed)),
        }
    }

    fn situation(&self, observed: &Observed) -> Situation {
        static POLICY: LazyLock<Policy> = LazyLock::new(|| Policy::load(SETTING_OUT).unwrap());
        let outcome = POLICY.decide(&arn(self.rule), &Tags::new(), now()).outcome;
        let mut known = KnownKeys::new();
        while let Some(key) = key_needed(&outcome, &observed.encryption, &known, &own()) {
            let found = self.keys.describe(key.as_str(), now());
            assert!(known.insert(key, found).is_none(), "it asks for what it knows");
        }
        assess(&outcome, observed, &known, &own())
    }

    fn step(&self) -> Step {
        next_step(&self.observation(), &self.progress, |_| self.permission.clone(), now())
    }

    /// The step in a few words.
    fn words(&self) -> String {
        match self.step() {
            Step::Await(condition) => format!("await {}", condition.as_str()),
            Step::Start(key) => format!("start {}", key.as_str().rsplit('/').next().unwrap()),
            Step::ReadHistory(wrong) => {
                format!("read history, then start {}", wrong.target.as_str().rsplit('/').next().unwrap())
            }
            Step::Prove => "prove".to_owned(),
            Step::Defer(_) => "later".to_owned(),
            Step::StartAfresh => "afresh".to_owned(),
            Step::Finish(verdict) => {
                let alarm = if verdict.alarm { " alarm" } else { "" };
                let withheld = verdict.withheld.map(|why| format!(" {}", why.as_str())).unwrap_or_default();
                let would = match verdict.would {
                    None => String::new(),
                    Some(Would { action, withheld: None }) => format!(", would {}", action.as_str()),
                    Some(Would { action, withheld: Some(why) }) => {
                        format!(", would {} but for {}", action.as_str(), why.as_str())
                    }
                };
                format!("{} {}{withheld}{alarm}{would}", verdict.compliance.as_str(), verdict.reason.as_str())
            }
        }
    }
}

/// The rows of the state table, in its order: where two would fit, the first one counts.
#[test]
fn the_state_table() {
    use StreamStatus::{Creating, Deleting, Unknown, Updating};
    let gone = "NOT_APPLICABLE stream-gone";
    let unusable = "NON_COMPLIANT key-unusable alarm";
    let recreated = Row { created: ago(10), ..row("app", None) };
    let withheld = |why, enforced| row("app", None).permission(Permission::Withheld { why, enforced });
    let report = Permission::Withheld { why: Withheld::ReportMode, enforced: None };
    let foreign = "NON_COMPLIANT foreign-key report-mode alarm, would re-key";
    let wrong = "NON_COMPLIANT wrong-key report-mode, would re-key";
    for (number, (row, expected)) in [
        // Gone, or another one of the same name.
        (row("app", None).status(Deleting), gone),
        (row("exempt", None).status(Deleting).owes(), gone),
        (recreated.clone(), "afresh"),
        (recreated.status(Creating).owes(), "afresh"),
        // A status that nobody knows.
        (row("app", None).status(Unknown(EventText::new("MIGRATING"))), "later"),
        (row("exempt", None).status(Unknown(EventText::new("MIGRATING"))).started(true, None), "later"),
        // Busy.
        (row("app", None).status(Creating), "await active"),
        (row("app", Some("alias/app")).status(Updating).owes(), "await active"),
        (row("exempt", None).status(Creating), "await active"),
        (row("app", None).status(Updating).started(true, Some(60)), "await active"),
        // Exempt, whatever its key.
        (row("exempt", None), "NOT_APPLICABLE exempt"),
        (row("exempt", Some("alias/app")).key("app", "Disabled").owes(), "NOT_APPLICABLE exempt"),
        // No rule, no key, no usable key.
        (row("nobody", None), "NON_COMPLIANT unmatched"),
        (row("nobody", Some("alias/app")).owes(), "NON_COMPLIANT unmatched"),
        (row("tagged", None), "NON_COMPLIANT key-unresolvable"),
        (row("unknown-key", None), "NON_COMPLIANT key-missing alarm"),
        (row("app", None).secret("app"), "NON_COMPLIANT key-unresolvable alarm"),
        (row("app", None).key("app", "Disabled"), unusable),
        (row("app", Some("alias/other")).key("app", "PendingDeletion").owes(), unusable),
        (row("app", None).key("app", "Creating"), "later"),
        // A key that cannot be checked.
        (row("app", Some("alias/other")).secret("other"), "INSUFFICIENT_DATA unreadable alarm"),
        (row("app", Some("alias/other")).secret("other").owes(), "INSUFFICIENT_DATA unreadable alarm"),
        // Right, on a key that cannot be used.
        (row("app", Some("alias/app")).key("app", "Disabled"), unusable),
        (row("any-key", Some("alias/other")).key("other", "PendingDeletion").owes(), unusable),
        // Right.
        (row("app", Some("alias/app")).owes(), "prove"),
        (row("any-key", Some("alias/other")).owes(), "prove"),
        (row("app", Some("alias/app")).started(true, None).owes(), "prove"),
        (row("app", Some("alias/app")), "COMPLIANT right-key"),
        (row("any-key", Some("alias/other")), "COMPLIANT accepted-key"),
        // A rule accepts the keys that it lists and no others.
        (row("listed", Some("alias/other")), "COMPLIANT accepted-key"),
        (row("listed", Some(OTHER)), "COMPLIANT accepted-key"),
        (row("listed", Some(CENTRAL)), "COMPLIANT accepted-key"),
        (row("listed", Some("alias/app")), "COMPLIANT right-key"),
        (row("listed", Some("alias/third")), "start app"),
        (row("listed", Some("alias/third")).permission(report.clone()), wrong),
        (row("listed", None), "start app"),
        // Customer-managed is one of the stream's own account, or of an account that is listed.
        (row("central", Some("alias/other")), "COMPLIANT accepted-key"),
        (row("central", Some(CENTRAL_2)), "COMPLIANT accepted-key"),
        (row("elsewhere", Some(CENTRAL)), "COMPLIANT right-key"),
        // A key of an account that nobody named is wrong like any other, and an alarm where it is left.
        (row("any-key", Some(STRANGE)), "start app"),
        (row("any-key", Some(STRANGE)).secret(STRANGE), "start app"),
        (row("any-key", Some(STRANGE)).permission(report.clone()), foreign),
        (row("any-key", Some(STRANGE)).secret(STRANGE).permission(report.clone()), foreign),
        (row("any-key", Some("arn:aws:kms:eu-west-1:999988887777:key/gone")).permission(report.clone()), foreign),
        (row("any-key", Some("arn:aws:kms:eu-west-1:999988887777:alias/a")).permission(report.clone()), foreign),
        (row("any-key", Some(CENTRAL)).permission(report.clone()), foreign),
        (row("central", Some(STRANGE)).permission(report.clone()), foreign),
        (row("aws", Some(STRANGE)).permission(report.clone()), foreign),
        (row("app", Some(STRANGE)).permission(report.clone()), foreign),
        // Wrong, and of an account that its rule names.
        (row("elsewhere", Some(CENTRAL_2)).permission(report.clone()), wrong),
        (row("listed", Some(CENTRAL_2)).permission(report.clone()), wrong),
        (row("elsewhere", Some(CENTRAL_2)).secret(CENTRAL_2), "INSUFFICIENT_DATA unreadable alarm"),
        (
            row("elsewhere", Some(STRANGE)).permission(Permission::Contested("who".into())),
            "NON_COMPLIANT contested contested alarm, would re-key but for contested",
        ),
        // Wrong, and nothing started.
        (row("app", None), "start app"),
        (row("app", Some("alias/other")), "start app"),
        (row("app", None).owes(), "start app"),
        (row("app", Some("12345678-1234-1234-1234-123456789012")), "start app"),
        (row("app", None).permission(Permission::Settling(now())), "await settled"),
        (row("app", None).permission(Permission::NotShownYet(now())), "await shown"),
        (withheld(Withheld::ReportMode, None), "NON_COMPLIANT not-encrypted report-mode, would encrypt"),
        (
            withheld(Withheld::ReportMode, Some(Withheld::Existing)),
            "NON_COMPLIANT not-encrypted report-mode, would encrypt but for existing",
        ),
        (
            withheld(Withheld::Downgrade, Some(Withheld::Downgrade)),
            "NON_COMPLIANT not-encrypted downgrade, would encrypt but for downgrade",
        ),
        (
            row("app", None).permission(Permission::Contested("who".into())),
            "NON_COMPLIANT contested contested alarm, would encrypt but for contested",
        ),
        (row("app", None).permission(Permission::Unknown("why".into())), "INSUFFICIENT_DATA unreadable alarm"),
        (row("app", None).permission(Permission::Unweighed), "read history, then start app"),
        (row("app", Some("alias/app")).permission(Permission::Unweighed), "COMPLIANT right-key"),
        // Wrong, and started.
        (row("app", None).started(true, None), "await applied"),
        (row("app", None).started(true, Some(29)), "await applied"),
        (row("app", None).started(true, Some(30)), "NON_COMPLIANT overtaken alarm"),
        (row("app", None).started(false, Some(29)), "await applied"),
        (row("app", None).started(false, Some(30)), "later"),
        // A key that has to be put back.
        (row("app", Some("alias/app")).key("app", "Disabled").puts_back(), "start other"),
        (row("app", Some("alias/app")).key("app", "Disabled").puts_back().started(true, None), "await applied"),
        (row("app", Some("alias/other")).key("app", "Disabled").puts_back().owes(), "prove"),
        (row("app", Some("alias/other")).key("app", "Disabled").puts_back(), "NON_COMPLIANT put-back alarm"),
        (row("app", Some("alias/app")).puts_back(), "COMPLIANT right-key"),
        (row("exempt", Some("alias/app")).puts_back(), "NOT_APPLICABLE exempt"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(row.words(), expected, "row {number}: `{}` on {:?}", row.rule, row.on);
    }
}

/// Who is allowed a change, and which reason is reported where several hold: settling first, then the mode.
#[test]
fn the_reasons_to_withhold() {
    let policy = Policy::load(SETTING_OUT).unwrap();
    let cause = |creator: Option<&str>, at| -> Cause {
        serde_json::from_value(json!({"call": "CreateStream", "at": at, "creator": creator})).unwrap()
    };
    let wrong = |stream: &str, created| {
        let Outcome::Encrypt(target) = policy.decide(&arn(stream), &Tags::new(), now()).outcome else { panic!() };
        let (existing, replace_customer_key) = (target.existing, target.replace_customer_key);
        let (target, target_manager) = (KeyIdentity::AwsManagedAlias, KeyManager::Customer);
        Wrong { target, target_manager, current: None, existing, replace_customer_key, created, at: now() }
    };
    let weighed = |stream: &str, mode, created, active_since, creator, contention: Contention| {
        let cause = cause(creator, created);
        let (policy, cause, active_since, planned) = (&policy, &cause, Some(active_since), None);
        let circumstances = Circumstances { mode, policy, cause, active_since, planned, now: now() };
        match permit(&wrong(stream, created), &circumstances) {
            Permission::Unweighed => by_history(&contention, now()),
            permission => permission,
        }
    };
    let permission = |stream: &str, mode, created, active_since, creator| {
        weighed(stream, mode, created, active_since, creator, Contention::Clear)
    };
    let (old, day, young) = (ago(86_400 * 30), ago(86_400 / 2), ago(60));
    use Mode::{Enforce, Prove, Report};
    use Permission::{Allowed, Settling};
    let withheld = |why, enforced| Permission::Withheld { why, enforced };
    assert_eq!(permission("app", Enforce, day, day, None), Allowed);
    assert_eq!(permission("app", Enforce, old, now(), None), Allowed, "its rule enforces existing streams");
    assert_eq!(
        permission("any-key", Enforce, old, now(), None),
        withheld(Withheld::Existing, Some(Withheld::Existing))
    );
    assert_eq!(
        permission("any-key", Report, old, now(), None),
        withheld(Withheld::ReportMode, Some(Withheld::Existing))
    );
    assert_eq!(permission("any-key", Enforce, day, day, None), Allowed, "it is not an existing one");
    assert_eq!(permission("app", Report, day, day, None), withheld(Withheld::ReportMode, None));
    for (created, creator) in [(day, None), (young, Some("terraform")), (old, None)] {
        assert_eq!(
            permission("app", Prove, created, created, creator),
            withheld(Withheld::ProveOnly, None),
            "never a Start"
        );
    }
    let until = |seconds| Settling(young + SignedDuration::from_secs(seconds));
    assert_eq!(permission("app", Report, young, young, Some("terraform")), until(120));
    assert_eq!(permission("app", Enforce, young, young, Some("pulumi")), until(120));
    assert_eq!(permission("app", Enforce, ago(30), ago(30), Some("cloudformation")), until(90));
    assert_eq!(permission("app", Enforce, young, young, Some("cloudformation")), Allowed, "60 s are over");
    assert_eq!(permission("app", Enforce, young, young, Some("other")), Allowed);
    assert_eq!(permission("app", Enforce, young, young, None), until(120), "as long as any");
    // A person agreed to another key; the history need not be asked then.
    let planned = |key: &KeyIdentity, mode| {
        let (policy, cause) = (&policy, &cause(None, day));
        let circumstances = Circumstances { mode, policy, cause, active_since: None, planned: Some(key), now: now() };
        permit(&wrong("app", day), &circumstances)
    };
    let (agreed, other) = (KeyIdentity::AwsManagedAlias, KeyIdentity::Arn(KeyArn::parse(&key_arn("other")).unwrap()));
    assert_eq!(planned(&agreed, Enforce), Permission::Unweighed);
    assert_eq!(planned(&other, Enforce), withheld(Withheld::PlanOutOfDate, Some(Withheld::PlanOutOfDate)));
    assert_eq!(planned(&other, Report), withheld(Withheld::ReportMode, Some(Withheld::PlanOutOfDate)));
    // Somebody else's changes come last: what is withheld anyway is withheld for its own reason.
    let fought = |mode, contention| weighed("app", mode, day, day, None, contention);
    let contested = Contention::Contested("by whom".into());
    assert_eq!(fought(Enforce, contested.clone()), Permission::Contested("by whom".into()));
    assert_eq!(fought(Report, contested), withheld(Withheld::ReportMode, None));
    assert_eq!(fought(Enforce, Contention::Unknown("why".into())), Permission::Unknown("why".into()));
    assert_eq!(fought(Enforce, Contention::Wait(now())), Allowed);
    assert_eq!(
        fought(Enforce, Contention::Wait(now() + SignedDuration::from_secs(1))),
        Permission::NotShownYet(now() + SignedDuration::from_secs(1))
    );
}

/// The same cases each time, unless `PROPTEST_RNG_SEED` says otherwise.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    let given = ProptestConfig::default();
    let rng_seed = if given.rng_seed == RngSeed::Random { RngSeed::Fixed(1) } else { given.rng_seed };
    ProptestConfig { cases, failure_persistence: None, rng_seed, ..given }
}

fn any_row() -> impl Strategy<Value = Row> {
    let statuses = prop_oneof![
        4 => Just(StreamStatus::Active),
        1 => Just(StreamStatus::Creating),
        1 => Just(StreamStatus::Updating),
        1 => Just(StreamStatus::Deleting),
        1 => Just(StreamStatus::Unknown(EventText::new("NEW"))),
    ];
    let rules = prop::sample::select(vec!["app", "any-key", "exempt", "tagged", "unknown-key", "nobody"]);
    let on = prop::sample::select(vec![None, Some("alias/app"), Some("alias/other"), Some("alias/aws/kinesis")]);
    let states = || prop::sample::select(vec!["Enabled", "Enabled", "Disabled", "Creating", "PendingDeletion"]);
    let permissions = prop::sample::select(vec![
        Permission::Allowed,
        Permission::Settling(now()),
        Permission::Withheld { why: Withheld::ReportMode, enforced: None },
        Permission::Unweighed,
    ]);
    let started = prop::sample::select(vec![None, None, Some(true), Some(false)]);
    let world = (statuses, rules, on, states(), states(), any::<bool>());
    (world, permissions, started, any::<bool>(), 0..60_i64, any::<bool>()).prop_map(
        |((status, rule, on, app, other, secret), permission, started, owes, wrong_for, puts_back)| {
            let mut row = row(rule, on).status(status).key("app", app).key("other", other).permission(permission);
            if secret {
                row = row.secret("other");
            }
            if owes {
                row = row.owes();
            }
            if puts_back {
                row = row.puts_back();
            }
            if let Some(acknowledged) = started {
                row = row.started(acknowledged, Some(wrong_for));
            }
            row
        },
    )
}

/// JSON of any shape, rich in the words that the parser searches for.
fn any_json() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "Records",
        "messageId",
        "body",
        "eventSource",
        "aws:sqs",
        "aws:sns",
        "Sns",
        "Message",
        "detail",
        "detail-type",
        "source",
        "aws.kinesis",
        "AWS API Call via CloudTrail",
        "eventName",
        "CreateStream",
        "TagResource",
        "action",
        "reconcile",
        "stream",
        "streamseal",
        "requestParameters",
        "streamName",
        "streamARN",
        "requestContext",
        "requestPayload",
        "account",
        "region",
        "111122223333",
        "eu-west-1",
        "kinesis.amazonaws.com",
    ]);
    let word = move || prop_oneof![3 => words.clone().prop_map(str::to_owned), 1 => ".{0,20}"].boxed();
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop_oneof![any::<u64>(), Just(u64::MAX), Just(u64::from(u32::MAX) + 1)].prop_map(Value::from),
        prop::sample::select(vec!["9999-12-30T22:00:00Z", "2026-03-03T08:00:00Z", "1970-01-01T00:00:00Z"])
            .prop_map(Value::from),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word(), inner.clone(), 0..8).prop_map(|map| json!(map)),
            inner.prop_map(|value| Value::from(value.to_string())),
        ]
    })
}

fn event_files() -> Vec<Value> {
    let folder = format!("{}/events", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// Every pointer into a value.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| {
            pointers(inner, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found)
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, inner)| pointers(inner, &format!("{at}/{i}"), found))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whatever came in: work is for a stream of ours alone, and every text can be logged.
fn is_safe(payload: &Value) {
    let items = match parse(payload, &own(), now()) {
        Input::Direct(items) => items,
        Input::Batch(messages) => messages.into_iter().flat_map(|message| message.items).collect(),
    };
    for item in items {
        let (text, texts) = match &item {
            Item::Reconcile(work) => {
                assert_eq!(work.stream.scope, own());
                (work.cause.call.to_string(), 1)
            }
            Item::Scan(scan) | Item::ScanNow(scan) | Item::PolicyChanged(_, scan) => (scan.cause.call.to_string(), 1),
            Item::Ignored(why) => (why.to_string(), 2),
            Item::Rejected(why) => (why.to_string(), 2),
            Item::Malformed(why) => (why.to_string(), 1),
            Item::Rest(rest) => (rest.code.to_owned(), 1),
        };
        // A character is escaped to 10 at the most.
        assert!(text.chars().count() < texts * (EVENT_TEXT_MAX + 10) + 300, "{text}");
        assert!(text.chars().all(crate::fuzz::is_shown), "{text:?}");
    }
}

fn any_work() -> impl Strategy<Value = Work> {
    let time = || prop::option::of((-1_000_000..0_i64).prop_map(|seconds| now() + SignedDuration::from_secs(seconds)));
    let key = prop::option::of("[0-9a-f-]{1,36}").prop_map(|id| id.and_then(|id| KeyArn::parse(&key_arn(&id))));
    let put_back = prop::sample::select(vec![PutBack::No, PutBack::Due, PutBack::Done]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), put_back);
    let texts = ("[a-zA-Z0-9_.-]{1,128}", ".{0,300}", prop::option::of(".{0,300}"));
    (texts, flags, key, (any::<u32>(), any::<u32>()), [time(), time(), time(), time(), time(), time()]).prop_map(
        |((name, call, actor), (proof_owed, started, rekeyed, put_back), previous_key, (attempt, reruns), times)| {
            let [created, not_before, active_since, right_since, started_at, at] = times;
            let [call, actor] = [Some(call), actor].map(|text| text.map(|text| EventText::new(&text)));
            let cause = Cause { call: call.unwrap(), event_id: None, actor, at, creator: None };
            let work = Work::new(arn(&name), cause, now());
            let work = Work { attempt, reruns, proof_owed, started, rekeyed, put_back, previous_key, ..work };
            Work { created, not_before, active_since, right_since, started_at, ..work }
        },
    )
}

proptest! {
    #![proptest_config(cases(2_000))]

    /// Never unless ACTIVE, allowed and nothing was started; never on a key that cannot be used; never where exempt.
    #[test]
    fn a_start_is_right_or_is_not_made(row in any_row()) {
        let Step::Start(key) = row.step() else { return Ok(()) };
        prop_assert_eq!(&row.status, &StreamStatus::Active);
        prop_assert!(row.progress.started.is_none());
        let back = row.progress.put_back.is_some() && !row.keys.is_usable("alias/app", now());
        if back {
            prop_assert_eq!(key.as_str(), key_arn("other"));
            prop_assert!(row.on == Some("alias/app"));
        } else {
            prop_assert_eq!(&row.permission, &Permission::Allowed);
            prop_assert!(row.keys.is_usable(key.as_str(), now()));
            prop_assert_eq!(key.as_str(), key_arn("app"));
        }
        prop_assert!(matches!(row.rule, "app" | "any-key"));
    }

    /// COMPLIANT is only what is on the rule's key or an accepted one, usable, with no proof owed.
    #[test]
    fn compliant_is_never_said_too_soon(row in any_row()) {
        let Step::Finish(verdict) = row.step() else { return Ok(()) };
        if verdict.compliance.as_str() != "COMPLIANT" { return Ok(()) }
        prop_assert_eq!(row.progress.proof, Owed::No);
        let on = row.on.unwrap();
        prop_assert!(row.keys.is_usable(on, now()), "{} is not usable", on);
        prop_assert!(row.keys.same(on, "alias/app") || row.rule == "any-key");
        prop_assert!(matches!(row.rule, "app" | "any-key"));
    }

    /// Whether a change is allowed is asked where one is to be made, and nowhere else: it depends on CloudTrail's history, which is read
    /// for it.
    #[test]
    fn permission_is_asked_for_a_wrong_stream_before_the_start_alone(row in any_row()) {
        let observation = row.observation();
        let asked = std::cell::Cell::new(0);
        let permission = |_: &Wrong| {
            asked.set(asked.get() + 1);
            row.permission.clone()
        };
        let step = next_step(&observation, &row.progress, permission, now());
        let is_wrong = matches!(&observation, Observation::Active(Situation::Wrong(_))) && row.progress.started.is_none();
        prop_assert_eq!(asked.get(), usize::from(is_wrong), "{:?} {:?}", observation, step);
    }

    #[test]
    fn the_parser_takes_any_json(payload in any_json()) {
        is_safe(&payload);
        is_safe(&json!({"Records": [{"eventSource": "aws:sqs", "messageId": "1", "body": payload.to_string()}]}));
    }

    #[test]
    fn a_work_message_comes_back_as_it_was(work in any_work()) {
        let wire: Value = serde_json::from_str(&work.to_json()).unwrap();
        prop_assert_eq!(Work::parse(&wire, &own(), now()), Ok(work));
    }
}

proptest! {
    #![proptest_config(cases(1_000))]

    /// Each file of `events/` with any one value replaced or left out.
    #[test]
    fn the_parser_takes_any_damaged_event(
        file in prop::sample::select(event_files()),
        place in any::<prop::sample::Index>(),
        value in prop::option::of(any_json()),
    ) {
        let mut payload = file;
        let mut places = Vec::new();
        pointers(&payload, "", &mut places);
        let place = place.get(&places);
        match (value, place.rsplit_once('/')) {
            (None, Some((parent, name))) => {
                if let Some(map) = payload.pointer_mut(parent).unwrap().as_object_mut() {
                    map.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
            }
            (value, _) => *payload.pointer_mut(place).unwrap() = value.unwrap_or_default(),
        }
        is_safe(&payload);
    }
}

proptest! {
    #![proptest_config(cases(150))]

    /// Whatever the world is like, it comes to rest; and the same event once more makes no write.
    #[test]
    fn a_second_run_of_what_is_finished_writes_nothing(
        stream in prop::sample::select(vec!["app", "any-key", "exempt", "tagged", "unknown-key", "nobody", "later"]),
        on in prop::sample::select(vec![None, Some("alias/app"), Some("alias/other"), Some("alias/aws/kinesis")]),
        (app, other) in (any::<bool>(), any::<bool>()),
        new in any::<bool>(),
        (lag, faults) in (prop::sample::select(vec![0, 2_000]), prop::sample::select(vec![0, 150])),
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let weather = Weather { describe_lag_ms: lag, faults, ..Weather::calm() };
        runtime.block_on(async {
            let mut scene = Scene::with(SETTING_OUT, seed, weather, &[]);
            scene.set(|state, now| {
                for (id, usable) in [("app", app), ("other", other)] {
                    if !usable {
                        state.keys.set_state(id, "Disabled", now);
                    }
                }
                if new {
                    state.create(stream, now, secs(3.0), Tool::Cli);
                } else {
                    state.existing(stream, on, now);
                }
            });
            let payload = scene.set(|_, now| event("CreateStream", stream, Tool::Cli, "e", now));
            scene.set(|state, now| state.enqueue(payload.to_string(), now, secs(5.0), 0));
            scene.drain().await;
            scene.set(|state, _| state.weather.faults = 0);
            let before = scene.journal().len();
            scene.direct(&payload).await.unwrap();
            let writes = scene.journal().split_off(before).into_iter().filter(|c| matches!(c.op, Op::Start | Op::Put));
            let writes: Vec<_> = writes.collect();
            assert!(writes.is_empty(), "{writes:?}\n{}", scene.story(stream));
        });
    }
}
