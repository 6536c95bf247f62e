//! The way back of a stream that its change broke: whether it is given its previous key, and how that ends.
//!
//! It is the one exception to "no downgrade". Metrics alone never lead to it, since anybody who may put records can make calls fail:
//! CloudTrail has to show a user of the stream who is denied the new key.

use jiff::{SignedDuration, Timestamp};

use super::denied::Denied;
use super::watch::{On, Restore, Standing, Step, Watch};
use crate::domain::arn::{AWS_MANAGED_ALIAS, KeyArn};
use crate::domain::bounds::later;
use crate::domain::history::{Change, ChangeKind};
use crate::domain::impact::finding::Side;
use crate::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager, Mode};
use crate::domain::plan::situation::Situation;
use crate::domain::plan::step::OVERTAKEN_AFTER;
use crate::domain::policy::guard::{FallBack, Guard, OnBreak};
use crate::domain::traffic::judge::{Health, Users};

/// CloudTrail's event history shows a call so late at most (CloudTrail user guide): whoever is denied is there by then.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_mins(15);
/// How long until it is asked again.
const AGAIN: SignedDuration = SignedDuration::from_mins(3);
/// The stream's users are observed so long after it went back: five whole minutes, and the three until they can be judged.
const OBSERVED_AFTER: SignedDuration = SignedDuration::from_mins(9);

/// Where a stream on its way back is observed to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the key that broke it.
    Target,
    /// On the key that it goes back to.
    Back,
    /// On another one, or on none.
    Other,
    /// It is gone, or another one of its name.
    Gone,
}

/// What a run of it does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// Observe it again soon.
    Await,
    /// Leave the rest to a later run.
    Defer,
    /// Ask whether it may go back, and send the one Start where it may.
    Ask,
    /// It has arrived.
    Arrived,
    /// Its users are observed once more, at this time.
    Users(Timestamp),
    /// It is over: how it stands, `None` where the stream is gone; and why, where that is to be said.
    Over(Option<Standing>, Option<&'static str>),
}

impl Restore {
    /// Of a stream that is found broken at `now`.
    pub fn begin(now: Timestamp) -> Self {
        Self { since: now, sent: None, restored: None }
    }

    /// The times in it.
    pub fn times(&self) -> [Option<Timestamp>; 3] {
        [Some(self.since), self.sent, self.restored]
    }

    /// Of a stream that is observed on the key that it goes back to, at `now`; and when its users are observed once more.
    pub fn arrived(self, now: Timestamp) -> (Self, Timestamp) {
        (Self { restored: Some(now), ..self }, later(now, OBSERVED_AFTER))
    }

    /// What a run does that observes the stream at this place; `None` where that is not known now. `asked_at`: when this run sent its Start.
    pub fn way(&self, place: Option<Place>, asked_at: Option<Timestamp>, now: Timestamp) -> Way {
        let is_late = |at: Timestamp| now.duration_since(at) >= OVERTAKEN_AFTER;
        match (place, self.restored, self.sent, asked_at) {
            (None, ..) => Way::Await,
            (Some(Place::Gone), ..) => Way::Over(None, None),
            (Some(Place::Other), ..) | (Some(Place::Target), Some(_), ..) => Way::Over(Some(Standing::Overtaken), None),
            (Some(Place::Target), None, Some(sent), _) if is_late(sent) => {
                let why = "the StartStreamEncryption that was to restore it did not change its key";
                Way::Over(Some(Standing::Broken), Some(why))
            }
            (Some(Place::Target), None, Some(_), _) => Way::Await,
            // Its answer was lost, and it had no effect.
            (Some(Place::Target), None, None, Some(at)) if is_late(at) => Way::Defer,
            (Some(Place::Target), None, None, Some(_)) => Way::Await,
            (Some(Place::Target), None, None, None) => Way::Ask,
            (Some(Place::Back), None, ..) => Way::Arrived,
            (Some(Place::Back), Some(at), ..) => Way::Users(later(at, OBSERVED_AFTER)),
        }
    }
}

/// Where a stream is by its two keys, as far as that is known: by the one that broke it, and whether it is on the one to go back to.
pub fn place(by_target: Option<On>, is_back: bool) -> Option<Place> {
    Some(match by_target? {
        On::Gone => Place::Gone,
        On::Target => Place::Target,
        On::Other if is_back => Place::Back,
        On::Other => Place::Other,
    })
}

/// What follows from an observation that ends a watch: a stream that is broken is restored by a later run, where its rule asks for that and
/// there is a way back; and why not, where its rule asks for it.
pub fn after_break(
    step: Step,
    watch: &Watch,
    guard: Option<&Guard>,
    mode: Mode,
    now: Timestamp,
) -> (Step, Option<&'static str>) {
    let is_asked_for = guard.is_some_and(|guard| guard.on_break == OnBreak::Restore);
    match step {
        Step::End(Standing::Broken) if is_asked_for => match (mode, &watch.back) {
            (Mode::Enforce, Some(_)) => {
                let watch = Watch { restore: Some(Restore::begin(now)), ..watch.clone() };
                (Step::Then(Standing::Broken, watch, now), None)
            }
            (Mode::Enforce, None) => (step, Some("it is not restored: its previous key is not known")),
            (_, _) => (step, Some("it is not restored: the mode is report")),
        },
        step => (step, None),
    }
}

/// Whether a stream's rule still lets us bring the stream back: it does not only report it, and the stream is on the rule's key, which can be
/// used. Whoever makes a key unusable may mean it.
pub fn lets(situation: Option<&Situation>, is_only_reported: bool, watch: &Watch) -> bool {
    let is_on_it = |key: &KeyIdentity| key.as_str() == watch.target;
    !is_only_reported && matches!(situation, Some(Situation::Right { key, .. }) if is_on_it(key))
}

/// What is known before a stream goes back.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The mode now.
    pub mode: Mode,
    /// The guard of its rule now, where that still lets us change it and requires the key that broke it, and the key can be used.
    pub guard: Option<&'a Guard>,
    /// The stream's own account.
    pub account: &'a str,
    /// What the history of the last day shows of the stream, or why it cannot be read whole.
    pub changes: Result<&'a [Change], &'a str>,
    /// The role whose Starts are ours.
    pub own_role: &'a str,
    /// The watch.
    pub watch: &'a Watch,
    /// What KMS says now of the key to go back to.
    pub back: &'a KeyLookup,
    /// The accounts beside the stream's own that use it, or why that is not known; asked only of a key that AWS manages.
    pub lets_in: Result<&'a [String], &'a str>,
    /// How its users fare now; `None` where that cannot be read.
    pub users: Option<&'a Users>,
    /// Who is denied, or why that cannot be read.
    pub denied: Result<&'a [Denied], &'a str>,
}

/// Whether a stream goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes: to this key.
    Given(KeyIdentity),
    /// Not by what is known now: asked again at this time.
    NotYet(Timestamp, String),
    /// No: why.
    Refused(String),
}

/// Why a stream is not restored.
enum Hindrance {
    /// It will not be restored.
    Never(String),
    /// It may be restored later, when more is known.
    NotYet(String),
}

fn never<T>(why: impl Into<String>) -> Result<T, Hindrance> {
    Err(Hindrance::Never(why.into()))
}

fn not_yet<T>(why: impl Into<String>) -> Result<T, Hindrance> {
    Err(Hindrance::NotYet(why.into()))
}

/// Whether a stream goes back that has been broken since `since`.
pub fn answer(facts: &Facts<'_>, since: Timestamp, now: Timestamp) -> Answer {
    match key_to_go_back_to(facts) {
        Ok(key) => Answer::Given(key.identity.clone()),
        Err(Hindrance::NotYet(why)) if now.duration_since(since) < SHOWN_WITHIN => {
            Answer::NotYet(now + AGAIN, format!("it is not restored yet: {why}"))
        }
        Err(Hindrance::NotYet(why) | Hindrance::Never(why)) => Answer::Refused(format!("it is not restored: {why}")),
    }
}

fn key_to_go_back_to<'a>(facts: &Facts<'a>) -> Result<&'a KeyInfo, Hindrance> {
    require_rule(facts)?;
    let key = previous_key(facts)?;
    require_unchanged(facts)?;
    require_key_for_all(facts, key)?;
    require_denied_users(facts)?;
    Ok(key)
}

/// The mode and the rule must ask for it.
fn require_rule(facts: &Facts<'_>) -> Result<(), Hindrance> {
    let fall_back = match (facts.mode, facts.guard) {
        (Mode::Enforce, Some(Guard { on_break: OnBreak::Restore, fall_back, .. })) => *fall_back,
        (Mode::Enforce, _) => return never("its rule does not ask for it any more, or its key cannot be used"),
        (_, _) => return never("the mode is report"),
    };
    if fall_back == FallBack::None && facts.watch.back.as_deref() == Some(AWS_MANAGED_ALIAS) {
        return never("it was not encrypted before, and its rule has `fall_back: none`");
    }
    Ok(())
}

/// The previous key, if it can be used.
fn previous_key<'a>(facts: &Facts<'a>) -> Result<&'a KeyInfo, Hindrance> {
    let target = &facts.watch.target;
    let info = match facts.back {
        KeyLookup::Found(info) => info,
        KeyLookup::NotFound => return never("its previous key no longer exists"),
        KeyLookup::Denied { .. } => return never("its previous key cannot be looked up"),
    };
    if let Some(problem) = &info.problem {
        return never(format!("its previous key cannot be used: {problem}"));
    }
    if info.identity.as_str() == target {
        return never("it is already on its previous key");
    }
    let account_of = |key: &str| KeyArn::parse(key).map(|key| key.account().to_owned());
    let is_known = |account: String| account == facts.account || Some(&account) == account_of(target).as_ref();
    if !account_of(info.identity.as_str()).is_none_or(is_known) {
        return never("its previous key is of another account, which its rule does not name");
    }
    Ok(info)
}

/// Nobody may have changed the stream since.
fn require_unchanged(facts: &Facts<'_>) -> Result<(), Hindrance> {
    match facts.changes {
        Ok(changes) if changes.iter().any(|change| is_later(change, facts.watch, facts.own_role)) => {
            never("it was changed since")
        }
        Ok(_) => Ok(()),
        Err(why) => not_yet(format!("whether it was changed since is not known: {why}")),
    }
}

/// Every account that may use the stream must be able to use this key.
fn require_key_for_all(facts: &Facts<'_>, key: &KeyInfo) -> Result<(), Hindrance> {
    match facts.lets_in {
        _ if key.manager != KeyManager::Aws => Ok(()),
        Ok([]) => Ok(()),
        Ok(accounts) => never(format!("{} could not use the AWS-managed key", accounts.join(", "))),
        Err(why) => not_yet(format!("whether other accounts use it is not known: {why}")),
    }
}

/// Users of the stream must fail now, and CloudTrail must show that they are denied the key.
fn require_denied_users(facts: &Facts<'_>) -> Result<(), Hindrance> {
    let Some(users) = facts.users else { return not_yet("whether its users work cannot be read") };
    match users.health() {
        Health::Broken if users.fail_last() => {}
        Health::Broken => return not_yet("its users work in the last minute that can be judged"),
        Health::Unknown | Health::Suspect | Health::Quiet => {
            return not_yet("it is not certain that its users fail now");
        }
        Health::Fine => return never("its users work again as before"),
    }
    match facts.denied {
        Ok(denied) if denied.iter().any(|one| is_of_broken(one, users)) => Ok(()),
        Ok(_) => not_yet("CloudTrail shows no user of it who is denied the key"),
        Err(why) => not_yet(format!("who is denied the key is not known: {why}")),
    }
}

/// Whether a change came after the one that is watched, which is a Start of ours with its key.
fn is_later(change: &Change, watch: &Watch, own_role: &str) -> bool {
    let is_ours = change.role.as_deref() == Some(own_role) && change.kind == ChangeKind::Start;
    let is_with_target = change.key.as_ref().is_some_and(|key| key.as_str() == watch.target);
    // The history has whole seconds.
    change.at > watch.sent && !(is_ours && is_with_target)
}

/// Whether somebody who is denied is of the side that fails.
fn is_of_broken(denied: &Denied, users: &Users) -> bool {
    match denied.side {
        Side::Producer => users.producers.health == Health::Broken,
        Side::Consumer => users.consumers.health == Health::Broken,
        Side::Both => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::arn::StreamName;
    use crate::domain::impact::finding::Who;
    use crate::domain::text::EventText;

    fn at(minutes: i64) -> Timestamp {
        "2026-03-02T08:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn watch(back: &str) -> Watch {
        let target = "arn:aws:kms:eu-west-1:111122223333:key/new";
        let watched = Watch::new(&KeyIdentity::AwsManagedAlias, at(-20), SignedDuration::from_mins(20), at(-20));
        Watch { target: target.to_owned(), back: Some(back.to_owned()), ..watched }
    }

    #[test]
    fn what_a_run_does_next() {
        let begun = Restore::begin(at(0));
        let sent = Restore { sent: Some(at(1)), ..begun };
        let (restored, again) = sent.arrived(at(2));
        assert_eq!((restored, again), (Restore { restored: Some(at(2)), ..sent }, at(11)));
        let overtaken = || Way::Over(Some(Standing::Overtaken), None);
        let soon = at(1) + SignedDuration::from_secs(29);
        let late = at(1) + SignedDuration::from_secs(30);
        for (restore, place, asked_at, now, expect) in [
            (begun, None, None, at(1), Way::Await),
            (begun, Some(Place::Target), None, at(1), Way::Ask),
            (begun, Some(Place::Target), Some(at(1)), soon, Way::Await),
            (begun, Some(Place::Target), Some(at(1)), late, Way::Defer),
            (sent, Some(Place::Target), Some(at(1)), soon, Way::Await),
            (sent, Some(Place::Target), None, soon, Way::Await),
            (begun, Some(Place::Back), None, at(1), Way::Arrived),
            (sent, Some(Place::Back), None, at(1), Way::Arrived),
            (restored, Some(Place::Back), None, at(3), Way::Users(at(11))),
            (restored, Some(Place::Target), None, at(3), overtaken()),
            (begun, Some(Place::Other), None, at(1), overtaken()),
            (sent, Some(Place::Other), None, at(1), overtaken()),
            (begun, Some(Place::Gone), None, at(1), Way::Over(None, None)),
            (restored, None, None, at(20), Way::Await),
        ] {
            assert_eq!(restore.way(place, asked_at, now), expect, "{restore:?} {place:?} {asked_at:?} {now}");
        }
        let over = sent.way(Some(Place::Target), None, late);
        assert!(matches!(over, Way::Over(Some(Standing::Broken), Some(_))), "{over:?}");
    }

    #[test]
    fn only_what_is_broken_and_asked_for_goes_back() {
        let restores = Guard { on_break: OnBreak::Restore, ..Guard::default() };
        let broken = Step::End(Standing::Broken);
        let rows = [
            (broken.clone(), Some(restores), Mode::Enforce, Some("alias/aws/kinesis"), true),
            (broken.clone(), Some(restores), Mode::Report, Some("alias/aws/kinesis"), false),
            (broken.clone(), Some(restores), Mode::Enforce, None, false),
            (broken.clone(), Some(Guard::default()), Mode::Enforce, Some("alias/aws/kinesis"), false),
            (broken, None, Mode::Enforce, Some("alias/aws/kinesis"), false),
            (Step::End(Standing::Inconclusive), Some(restores), Mode::Enforce, Some("alias/aws/kinesis"), false),
        ];
        for (step, guard, mode, back, expect) in rows {
            let watch = Watch { back: back.map(str::to_owned), ..watch("") };
            let (after, why) = after_break(step.clone(), &watch, guard.as_ref(), mode, at(0));
            let is_asked_for = step == Step::End(Standing::Broken) && guard == Some(restores);
            assert_eq!(why.is_some(), is_asked_for && !expect, "{guard:?} {mode:?} {back:?}");
            let begun = Watch { restore: Some(Restore::begin(at(0))), ..watch };
            let expected = if expect { Step::Then(Standing::Broken, begun, at(0)) } else { step };
            assert_eq!(after, expected, "{guard:?} {mode:?} {back:?}");
        }
    }

    fn users(health: Health) -> Users {
        let mut users = Users::blind("");
        (users.producers.health, users.consumers.health) = (health, Health::Quiet);
        users.producers.fails_last = health == Health::Broken;
        users
    }

    #[test]
    fn what_a_way_back_needs() {
        let key = |id: &str, manager, problem| KeyLookup::Found(KeyInfo::new(identity(id), manager, problem));
        let gone = crate::domain::model::KeyProblem::State(EventText::new("Disabled"));
        let old = key("old", KeyManager::Customer, None);
        let aws = key("aws", KeyManager::Aws, None);
        let (restores, no_fall_back) = (
            Guard { on_break: OnBreak::Restore, ..Guard::default() },
            Guard { on_break: OnBreak::Restore, fall_back: FallBack::None, ..Guard::default() },
        );
        let (of_key, plain) = (watch("arn:aws:kms:eu-west-1:111122223333:key/old"), watch(AWS_MANAGED_ALIAS));
        let (broken, fine) = (users(Health::Broken), users(Health::Fine));
        let who = Who::Unnamed(EventText::new("app"));
        let denied = [Denied { who, side: Side::Producer, calls: 1, last: at(0) }];
        let others = ["account 444455556666".to_owned()];
        let good = Facts {
            mode: Mode::Enforce,
            guard: Some(&restores),
            account: "111122223333",
            changes: Ok(&[]),
            own_role: OURS,
            watch: &of_key,
            back: &old,
            lets_in: Ok(&[]),
            users: Some(&broken),
            denied: Ok(&denied),
        };
        let disabled = key("old", KeyManager::Customer, Some(gone));
        let same = key("new", KeyManager::Customer, None);
        let foreign = KeyArn::parse("arn:aws:kms:eu-west-1:999988887777:key/theirs").map(KeyIdentity::Arn).unwrap();
        let foreign = KeyLookup::Found(KeyInfo::new(foreign, KeyManager::Customer, None));
        let central = Watch { target: "arn:aws:kms:eu-west-1:999988887777:key/new".to_owned(), ..of_key.clone() };
        let consumer = [Denied { side: Side::Consumer, ..denied[0].clone() }];
        let mut recovered = users(Health::Broken);
        recovered.producers.fails_last = false;
        let (suspect, quiet) = (users(Health::Suspect), users(Health::Quiet));
        let (first, ours) = ([change(-20, "new", OURS)], [change(-19, "new", OURS)]);
        let (again, moved) = ([change(-1, "new", "somebody")], [change(-1, "old", OURS)]);
        let rows: &[(&str, Facts<'_>, &str)] = &[
            ("all is there", good, "given"),
            ("report mode", Facts { mode: Mode::Report, ..good }, "refused"),
            ("no guard", Facts { guard: None, ..good }, "refused"),
            ("alarm alone", Facts { guard: Some(&Guard::default()), ..good }, "refused"),
            ("a key, and no way back to AWS's", Facts { guard: Some(&no_fall_back), ..good }, "given"),
            ("unencrypted", Facts { watch: &plain, back: &aws, ..good }, "given"),
            (
                "unencrypted and none",
                Facts { watch: &plain, back: &aws, guard: Some(&no_fall_back), ..good },
                "refused",
            ),
            ("another account", Facts { watch: &plain, back: &aws, lets_in: Ok(&others), ..good }, "refused"),
            ("another account, a customer's key", Facts { lets_in: Ok(&others), ..good }, "given"),
            ("accounts not known", Facts { watch: &plain, back: &aws, lets_in: Err("no"), ..good }, "not yet"),
            ("the key is gone", Facts { back: &KeyLookup::NotFound, ..good }, "refused"),
            ("the key is disabled", Facts { back: &disabled, ..good }, "refused"),
            ("the same key", Facts { back: &same, ..good }, "refused"),
            ("another account's", Facts { back: &foreign, ..good }, "refused"),
            ("the account of the rule's key", Facts { back: &foreign, watch: &central, ..good }, "given"),
            ("our change", Facts { changes: Ok(&first), ..good }, "given"),
            ("our change, by two copies", Facts { changes: Ok(&ours), ..good }, "given"),
            ("somebody set it again", Facts { changes: Ok(&again), ..good }, "refused"),
            ("it went back before", Facts { changes: Ok(&moved), ..good }, "refused"),
            ("the history is not known", Facts { changes: Err("no"), ..good }, "not yet"),
            ("suspect", Facts { users: Some(&suspect), ..good }, "not yet"),
            ("they work again just now", Facts { users: Some(&recovered), ..good }, "not yet"),
            ("they gave up", Facts { users: Some(&quiet), ..good }, "not yet"),
            ("the other side is denied", Facts { denied: Ok(&consumer), ..good }, "not yet"),
            ("blind", Facts { users: None, ..good }, "not yet"),
            ("it fares well", Facts { users: Some(&fine), ..good }, "refused"),
            ("metrics alone", Facts { denied: Ok(&[]), ..good }, "not yet"),
            ("CloudTrail cannot be read", Facts { denied: Err("no"), ..good }, "not yet"),
        ];
        let word = |answer: &Answer| match answer {
            Answer::Given(key) if key.as_str() == "arn:aws:kms:eu-west-1:111122223333:key/new" => "the same key",
            Answer::Given(_) => "given",
            Answer::NotYet(again, _) if *again == at(14) + AGAIN => "not yet",
            Answer::NotYet(..) => "at another time",
            Answer::Refused(_) => "refused",
        };
        for (name, facts, expect) in rows {
            let early = answer(facts, at(0), at(14));
            assert_eq!(word(&early), *expect, "{name}: {early:?}");
            let late = answer(facts, at(0), at(15));
            assert_eq!(word(&late), if *expect == "given" { "given" } else { "refused" }, "{name}: {late:?}");
        }
    }

    const OURS: &str = "arn:aws:iam::111122223333:role/streamseal";

    fn change(minutes: i64, id: &str, role: &str) -> Change {
        Change {
            at: at(minutes),
            kind: ChangeKind::Start,
            stream: StreamName::parse("orders").unwrap(),
            key: Some(EventText::new(identity(id).as_str())),
            role: Some(role.to_owned()),
            actor: EventText::new(role),
        }
    }

    #[test]
    fn what_its_rule_still_lets_us_do() {
        let right = |id: &str| Situation::Right { key: identity(id), accepted: false };
        let problem = crate::domain::model::KeyProblem::State(EventText::new("Disabled"));
        let disabled = Situation::TargetUnusable(identity("new"), problem, Some(identity("new")));
        for (situation, is_only_reported, expect) in [
            (Some(right("new")), false, true),
            (Some(right("new")), true, false),
            (Some(right("other")), false, false),
            (Some(disabled), false, false),
            (Some(Situation::Unmatched), false, false),
            (None, false, false),
        ] {
            let lets = lets(situation.as_ref(), is_only_reported, &watch(AWS_MANAGED_ALIAS));
            assert_eq!(lets, expect, "{situation:?} {is_only_reported}");
        }
    }

    #[test]
    fn where_a_stream_is_by_its_two_keys() {
        for (by_target, is_back, expect) in [
            (None, true, None),
            (Some(On::Gone), false, Some(Place::Gone)),
            (Some(On::Target), true, Some(Place::Target)),
            (Some(On::Other), true, Some(Place::Back)),
            (Some(On::Other), false, Some(Place::Other)),
        ] {
            assert_eq!(place(by_target, is_back), expect, "{by_target:?} {is_back}");
        }
    }

    fn identity(id: &str) -> KeyIdentity {
        let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{id}");
        KeyIdentity::Arn(crate::domain::arn::KeyArn::parse(&arn).unwrap())
    }
}
