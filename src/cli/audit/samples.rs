//! Audits to render, for the tests: one stream of each kind, and one whose tags are hostile.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::filter::{Filter, Given};
use super::report::{Audit, Broken, Ended, Region, Source};
use super::totals::Totals;
use crate::domain::arn::{KeyArn, KeyRef, Scope, StreamName};
use crate::domain::cause::Cause;
use crate::domain::evidence::known::{KnownKey, Rotation};
use crate::domain::evidence::{Evidence, Setting};
use crate::domain::model::{Encryption, KeyIdentity, KeyInfo, KeyManager, Mode, Observed, StreamStatus, Tags};
use crate::domain::policy::Exemption;
use crate::domain::remedy::advice::{Advice, AtSource, Remedy};
use crate::domain::text::EventText;
use crate::domain::verdict::{Action, Compliance, Reason, Verdict, Withheld};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn at() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn evidence(region: &str, name: &str, key: Option<&str>, rule: Option<&str>, verdict: Verdict) -> Evidence {
    let scope = Scope { partition: "aws".into(), region: region.into(), account: "111122223333".into() };
    let identity = |key: &str| KeyIdentity::Arn(KeyArn::parse(key).unwrap());
    let encryption = key.map_or(Encryption::None, |key| Encryption::Kms(KeyRef::parse(key).unwrap()));
    let observed = Observed { status: StreamStatus::Active, encryption, created: at(), retention_hours: 24, at: at() };
    let setting = Setting { observed, key: key.map(identity), material: None };
    let cause = Cause { call: EventText::new("audit"), event_id: None, actor: None, at: None, creator: None };
    Evidence {
        id: format!("id-{name}"),
        run_id: "audit".into(),
        policy_source: "file:policy.yaml".into(),
        policy_digest: "sha256:00".into(),
        rule: rule.map(|rule| (0, rule.to_owned())),
        reasons: vec!["for the sample's sake".into()],
        before: Some(setting.clone()),
        after: Some(setting),
        desired: rule.map(|_| (KeyRef::parse("alias/orders").unwrap(), Some(identity(KEY)))),
        keys: key.map(|key| known(identity(key))).into_iter().collect(),
        ..Evidence::new(&scope.stream(StreamName::parse(name).unwrap()), &cause, verdict, at())
    }
}

fn known(identity: KeyIdentity) -> KnownKey {
    let (state, origin) = (Some(EventText::new("Enabled")), Some(EventText::new("EXTERNAL")));
    let info = KeyInfo { state, origin, ..KeyInfo::new(identity, KeyManager::Customer, None) };
    KnownKey { info, alias: Some("alias/orders".into()), rotation: Some(Rotation::Off) }
}

/// Five streams of one Region.
pub(super) fn audit() -> Audit {
    use Compliance::{Compliant, InsufficientData, NonCompliant, NotApplicable};
    let withheld =
        Verdict::new(NonCompliant, Reason::NotEncrypted, "the stream is not encrypted; its rule requires a key");
    let withheld = Verdict { withheld: Some(Withheld::ReportMode), ..withheld.would(Action::Encrypt, None) };
    let hostile = r#"no tag `team`, </script><img src=x onerror="alert(1)">"#;
    let of = |name, key, rule, verdict| evidence("eu-west-1", name, key, rule, verdict);
    let mut region = Region::new("111122223333", "eu-west-1");
    region.streams = vec![
        of("orders", Some(KEY), Some("orders"), Verdict::new(Compliant, Reason::RightKey, "encrypted with the key")),
        of("orders-new", None, Some("orders"), withheld),
        of("payments", None, Some("teams"), Verdict::new(NonCompliant, Reason::KeyUnresolvable, hostile)),
        of(
            "scratch-1",
            None,
            Some("scratch"),
            Verdict::new(NotApplicable, Reason::Exempt, "a rule exempts the stream"),
        ),
        of("slow", None, None, Verdict::new(InsufficientData, Reason::Unfinished, "waiting for active")),
    ];
    region.listed = region.streams.len();
    region.streams[1].tags = Tags::from([("team".to_owned(), "blue".to_owned())]);
    let until = Some("2026-12-01".parse().unwrap());
    region.streams[3].exemption =
        Some(Exemption { reason: "synthetic data".into(), owner: Some("data-platform".into()), until });
    let change = AtSource {
        terraform: "encryption_type = …".into(),
        cloudformation: "StreamEncryption: …".into(),
        cli: Some("aws kinesis start-stream-encryption --stream-arn …".into()),
    };
    let advice = Advice { text: "tag it".into(), commands: vec!["one".into(), "two".into()], statement: None };
    region.streams[1].remedy = Remedy::Source(change);
    region.streams[2].remedy = Remedy::Rule(advice);
    Audit {
        id: "5f3c1f0e-2d4b-4c8e-9b1a-7d6e5f4c3b2a".into(),
        actor: Some("arn:aws:iam::111122223333:user/alice".into()),
        given: Given::default(),
        account: "111122223333".into(),
        source: Source::Kinesis,
        mode: Mode::Report,
        policy_source: "file:policy.yaml".into(),
        policy_digest: "sha256:00".into(),
        rules: vec!["scratch".into(), "teams".into(), "orders".into(), "rest".into()],
        exemptions_ending: BTreeMap::from([("scratch".to_owned(), "2026-12-01".parse().unwrap())]),
        exemptions: vec![(
            "scratch".into(),
            Exemption {
                reason: "RISK-1421".into(),
                owner: Some("data-platform".into()),
                until: Some("2026-12-01".parse().unwrap()),
            },
        )],
        started_at: at(),
        finished_at: at(),
        regions: vec![region],
        written: Totals::default(),
        calls: BTreeMap::new(),
        lacks: Vec::new(),
        verified: None,
        filter: Filter::default(),
        since: None,
    }
}

/// The same, and a second Region that failed.
pub(super) fn incomplete() -> Audit {
    let mut audit = audit();
    let mut failed = Region::new("111122223333", "eu-west-2");
    failed.ended = Ended::Failed(Broken {
        why: "kinesis:ListStreams failed (AccessDenied): no".into(),
        help: None,
        passes: false,
    });
    audit.regions.push(failed);
    audit
}
