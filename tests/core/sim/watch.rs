//! What must never happen, watched while the simulation runs. A run is judged by what it was shown: the world may change
//! behind its back, and then the run is not to blame.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use streamseal::domain::evidence::guard::Guard;
use streamseal::domain::evidence::{Evidence, ProofState};
use streamseal::domain::history::{Change, ChangeKind, Query};
use streamseal::domain::impact::usage::{DECRYPT, GENERATE_DATA_KEY, Usage};
use streamseal::domain::model::{Encryption, KeyInfo, KeyLookup, KeyManager, StreamStatus, Tags};
use streamseal::domain::plan::guard::watch::{Standing, Watch as GuardWatch};
use streamseal::domain::policy::guard::OnBreak;
use streamseal::domain::policy::{Existing, Outcome, Policy, Target};
use streamseal::domain::traffic::judge::Health;
use streamseal::domain::verdict::{Compliance, Reason};

use super::actors::Tool;
use super::kinesis::Body;
use super::{Entry, Op, State, arn};

/// More calls than this in one run are a loop. A wait of 60 s takes some 20 observations, an observation up to 4 calls at its first time
/// and 2 later, a proof up to 12.
pub(crate) const CALLS_MAX: usize = 80;
/// What a run was reported a key may not be older than an invocation.
const KEY_AGE_MAX: SignedDuration = SignedDuration::from_secs(120);
/// How far back a lagging describe may observe, and a call take.
const SLACK: Duration = Duration::from_secs(15);

/// What each run was shown, and what it did against the rules.
#[derive(Default)]
pub(crate) struct Watch {
    pub(crate) violations: Vec<String>,
    pub(crate) most_calls: usize,
    /// Messages that are not the function's own are in the queue: what they say was done before need not be so.
    pub(crate) forged: bool,
    runs: BTreeMap<u32, Run>,
    /// By instance and name.
    parameters: BTreeMap<(u32, String), String>,
    policies: BTreeMap<String, Option<Policy>>,
}

/// Where a Start leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To the rule's key.
    Rule,
    /// Away from the rule's key, which cannot be used.
    PutBack,
    /// Away from the rule's key, which can be used.
    Restore,
}

struct Run {
    instance: u32,
    /// The last answer to DescribeStreamSummary of each stream, and when it was so.
    shown: BTreeMap<String, (Body, Timestamp)>,
    tags: Option<Tags>,
    keys: BTreeMap<String, (Timestamp, KeyLookup)>,
    starts: u32,
}

impl Watch {
    pub(crate) fn new_run(&mut self, run: u32, instance: u32) {
        let keys = BTreeMap::new();
        self.runs.insert(run, Run { instance, shown: BTreeMap::new(), tags: None, keys, starts: 0 });
    }

    /// `at`: when the stream was as the answer says.
    pub(crate) fn served_stream(&mut self, run: u32, name: &str, body: &Body, at: Timestamp) {
        self.runs.get_mut(&run).unwrap().shown.insert(name.to_owned(), (body.clone(), at));
    }

    pub(crate) fn served_tags(&mut self, run: u32, tags: &Tags) {
        self.runs.get_mut(&run).unwrap().tags = Some(tags.clone());
    }

    pub(crate) fn served_key(&mut self, run: u32, key: &str, found: &KeyLookup, now: Timestamp) {
        self.runs.get_mut(&run).unwrap().keys.insert(key.to_owned(), (now, found.clone()));
    }

    pub(crate) fn served_parameter(&mut self, instance: u32, name: &str, text: &str) {
        self.parameters.insert((instance, name.to_owned()), text.to_owned());
        if name == "/policy" && !self.policies.contains_key(text) {
            self.policies.insert(text.to_owned(), Policy::load(text).ok());
        }
    }

    /// The policy and the mode that the instance of a run read last.
    fn in_force(&self, run: &Run) -> Option<(&Policy, &str)> {
        let read = |name: &str| self.parameters.get(&(run.instance, name.to_owned()));
        Some((self.policies.get(read("/policy")?)?.as_ref()?, read("/mode")?.trim()))
    }
}

impl State {
    pub(crate) fn violation(&mut self, now: Timestamp, what: &str) {
        self.watch.violations.push(format!("{now}: {what}"));
    }

    pub(crate) fn watch_call(&mut self, run: u32, op: Op, name: &str, key: &str, now: Timestamp) {
        if op != Op::Start {
            return;
        }
        self.watch.runs.get_mut(&run).unwrap().starts += 1;
        if let Err(what) = self.may_start(run, name, key, now) {
            self.violation(now, &format!("run {run} sent Start for `{name}` with {key}: {what}"));
        }
    }

    /// Whether a run may send this Start.
    fn may_start(&self, run: u32, name: &str, key: &str, now: Timestamp) -> Result<(), String> {
        let run = &self.watch.runs[&run];
        if run.starts > 1 {
            return Err("it sent one before".to_owned());
        }
        let shown = run.shown.get(name).filter(|(body, _)| body.status == StreamStatus::Active);
        let Some((body, shown_at)) = shown else {
            return Err("it did not see the stream ACTIVE last".to_owned());
        };
        let of_key = |(at, found): &(Timestamp, KeyLookup)| match found {
            KeyLookup::Found(info) if info.identity.as_str() == key => Some((*at, info.clone())),
            KeyLookup::Found(_) | KeyLookup::NotFound | KeyLookup::Denied { .. } => None,
        };
        let looked_up = run.keys.values().filter_map(of_key).max_by_key(|(at, _)| *at);
        match looked_up {
            None => return Err("it did not observe the key".to_owned()),
            Some((_, KeyInfo { problem: Some(problem), .. })) => return Err(format!("{problem}")),
            Some((at, _)) if now.duration_since(at) > KEY_AGE_MAX => return Err("it observed long ago".to_owned()),
            Some(_) => {}
        }
        let Some((policy, mode)) = self.watch.in_force(run) else {
            return Err("there is no policy in force".to_owned());
        };
        if mode != "enforce" {
            return Err(format!("the mode is {mode}"));
        }
        let tags = run.tags.as_ref().unwrap_or(&self.stream(name).tags);
        let target = match policy.decide(&arn(name), tags, now).outcome {
            Outcome::Encrypt(target) => target,
            Outcome::Exempt(_) => return Err("it is exempt".to_owned()),
            Outcome::Unmatched => return Err("no rule matches".to_owned()),
            Outcome::Unresolvable(why) => return Err(why),
        };
        let way = self.way(run, &target, body, key)?;
        match way {
            Way::Rule => {}
            Way::PutBack => self.may_put_back(name, key, Some(*shown_at), now)?,
            Way::Restore => self.may_restore(name, key, (body, Some(*shown_at)), &target, now)?,
        }
        if policy.enforce_from.is_some_and(|from| body.created < from) && target.existing == Existing::Report {
            return Err("it is an existing stream".to_owned());
        }
        let from = body.key.as_deref().and_then(|key| self.keys.manager(key));
        let downgrade = from == Some(KeyManager::Customer) && self.keys.manager(key) == Some(KeyManager::Aws);
        if downgrade && !target.replace_customer_key && way != Way::Restore {
            return Err("it is a downgrade".to_owned());
        }
        let is_old = now.duration_since(body.created) > SignedDuration::from_mins(61);
        if target.guard.watch.is_some() && is_old && way == Way::Rule {
            if self.is_halted(key, now) {
                return Err("a change to that key broke a stream".to_owned());
            }
            if self.is_held(name, key, body.created, now) {
                return Err("it went back from that key".to_owned());
            }
        }
        let settle = match self.stream(name).made_by {
            Some(Tool::Terraform) => policy.settle.terraform,
            Some(Tool::CloudFormation) => policy.settle.cloudformation,
            Some(Tool::Pulumi) => policy.settle.pulumi,
            Some(Tool::Cli | Tool::Streamseal) => policy.settle.other,
            None => Duration::ZERO,
        };
        let active_since = self.stream(name).active_since(now).unwrap_or(now);
        if now < active_since + settle { Err("it is settling".to_owned()) } else { Ok(()) }
    }

    /// Whether the function could know that a change to this key broke a stream of late. It asks some time before its Start.
    fn is_halted(&self, key: &str, now: Timestamp) -> bool {
        let known = SignedDuration::from_mins(3)..SignedDuration::from_mins(24 * 60 - 3);
        let broke = |e: &&Evidence| e.guard.as_ref().and_then(Guard::broken_on) == Some(key);
        self.evidence.iter().filter(broke).any(|e| known.contains(&now.duration_since(e.finished_at)))
    }

    /// Whether the stream went back from this key by a Start of ours that CloudTrail shows, and nobody else set the key, or stopped the
    /// encryption, since.
    fn is_held(&self, name: &str, key: &str, created: Timestamp, now: Timestamp) -> bool {
        let is_ours =
            |call: &&Entry| call.target == name && call.op == Op::Start && call.took_effect && call.at > created;
        let ours: Vec<&Entry> = self.journal.iter().filter(is_ours).collect();
        let Some(back) = ours.iter().rposition(|call| !self.keys.same(&call.key, key)) else { return false };
        let (at, shown) = (ours[back].at, SignedDuration::from_mins(16));
        let went_back = back > 0 && self.keys.same(&ours[back - 1].key, key);
        let since = |change: &Change| change.stream.as_str() == name && change.at > at && now > change.at;
        let is_by_others = |change: &Change| change.role.as_deref() != Some(Tool::Streamseal.role());
        let is_reset = |change: &Change| {
            let sets_it = change.key.as_ref().is_some_and(|set| self.keys.same(set.as_str(), key));
            since(change) && is_by_others(change) && (change.kind == ChangeKind::Stop || sets_it)
        };
        went_back && now.duration_since(at) > shown && !self.changes().any(is_reset)
    }

    /// Where a Start with this key leads: another key than the rule's may be set on a stream that is on that one alone.
    fn way(&self, run: &Run, target: &Target, body: &Body, key: &str) -> Result<Way, String> {
        let Some((_, KeyLookup::Found(desired))) = run.keys.get(target.key.as_str()) else {
            return Err("it did not observe the rule's key".to_owned());
        };
        let is_on_it = body.key.as_ref().is_some_and(|on| self.keys.same(on, target.key.as_str()));
        match (desired.identity.as_str() == key, is_on_it, desired.problem.is_some()) {
            (true, ..) => Ok(Way::Rule),
            (false, true, true) => Ok(Way::PutBack),
            (false, true, false) => Ok(Way::Restore),
            (false, false, _) => Err(format!("its rule requires {}", desired.identity)),
        }
    }

    /// A stream goes back once, to the key that it had before our Start, where its rule asks for that, a document said that it is broken,
    /// and CloudTrail shows somebody who is denied its key.
    fn may_restore(
        &self,
        name: &str,
        key: &str,
        (body, shown_at): (&Body, Option<Timestamp>),
        target: &Target,
        now: Timestamp,
    ) -> Result<(), String> {
        if target.guard.on_break != OnBreak::Restore {
            return Err("its rule restores nothing".to_owned());
        }
        let of_it = |e: &&Evidence| e.stream.name.as_str() == name;
        let broken = |e: &&Evidence| e.guard.as_ref().is_some_and(|it| it.standing == Some(Standing::Broken));
        let on_it = |watch: &&GuardWatch| {
            let back = watch.back.as_ref().is_some_and(|back| self.keys.same(back, key));
            back && body.key.as_ref().is_some_and(|on| self.keys.same(on, &watch.target))
        };
        let said = self.evidence.iter().filter(of_it).filter(broken);
        let mut watches = said.filter_map(|e| e.guard.as_ref()?.watch.as_ref());
        let watch = watches.rfind(on_it).ok_or("nothing said that it is broken, with this way back")?;
        let failing = self.evidence.iter().filter(of_it).filter(|e| {
            let users = e.guard.as_ref().and_then(|guard| guard.users.as_ref());
            users.is_some_and(|users| users.health() == Health::Broken) && e.finished_at >= watch.from
        });
        let failing: Vec<Timestamp> = failing.map(|e| e.finished_at).collect();
        let apart = failing.last().zip(failing.first()).map(|(last, first)| last.duration_since(*first));
        if apart.is_none_or(|apart| apart < SignedDuration::from_mins(1)) {
            return Err(format!("two observations have to find it broken: {failing:?}"));
        }
        let starts: Vec<&Entry> = self
            .journal
            .iter()
            .filter(|call| call.target == name && call.op == Op::Start && call.took_effect)
            .collect();
        let place = starts.iter().rposition(|call| self.keys.same(&call.key, &watch.target));
        let place = place.ok_or("no Start of ours set the key that broke it")?;
        let could_know = |call: &&&Entry| shown_at.is_none_or(|shown| call.at <= shown);
        if starts[place + 1..].iter().filter(could_know).count() > 0 {
            return Err("it went back before".to_owned());
        }
        let uses = self.uses(&Query::Calls(GENERATE_DATA_KEY), watch.sent, now).into_iter();
        let mut uses = uses.chain(self.uses(&Query::Calls(DECRYPT), watch.sent, now));
        let of_it = |usage: &Usage| usage.stream.as_ref() == Some(&arn(name)) && usage.refused.is_some();
        uses.any(|usage| of_it(&usage)).then_some(()).ok_or("CloudTrail shows nobody who is denied".to_owned())
    }

    /// A key is put back within 15 minutes of our own Start, after a probe that was refused, and once after it: two copies of one message
    /// that run at the same time may both send it, but not one that was shown the stream (`shown_at`) after the other's.
    fn may_put_back(&self, name: &str, key: &str, shown_at: Option<Timestamp>, now: Timestamp) -> Result<(), String> {
        if self.watch.forged {
            return Ok(());
        }
        let of_it = self.journal.iter().filter(|call| call.target == name);
        let calls: Vec<&Entry> = of_it.filter(|call| matches!(call.op, Op::Start | Op::Put)).collect();
        let is_start = |call: &&Entry| call.op == Op::Start && call.took_effect;
        // The one that set the key that cannot be used.
        let place = calls.iter().rposition(|call| is_start(call) && call.key != key);
        let place = place.ok_or("there is nothing to put back: no Start of ours set that key")?;
        if now.duration_since(calls[place].at) > SignedDuration::from_mins(15) + SignedDuration::from_secs(15) {
            return Err(format!("it puts a key back, and our Start was at {}", calls[place].at));
        }
        let could_know = |call: &Entry| shown_at.is_none_or(|shown| call.at <= shown);
        if calls[place..].iter().any(|call| is_start(call) && call.key == key && could_know(call)) {
            return Err("it was put back before".to_owned());
        }
        let refused = |call: &&Entry| call.op == Op::Put && !call.took_effect;
        calls[place..].iter().any(refused).then_some(()).ok_or("no probe was refused".to_owned())
    }

    /// Whether a document says only what is so.
    pub(crate) fn watch_evidence(&mut self, evidence: &Evidence, now: Timestamp) {
        self.watch.most_calls = self.watch.most_calls.max(evidence.calls.len());
        if let Err(what) = self.is_true(evidence) {
            let (stream, id) = (&evidence.stream.name, &evidence.run_id);
            self.violation(now, &format!("evidence for `{stream}` of {id}: {what}"));
        }
    }

    fn is_true(&self, evidence: &Evidence) -> Result<(), String> {
        if evidence.calls.len() > CALLS_MAX {
            return Err(format!("{} calls in one run", evidence.calls.len()));
        }
        let stream = self.streams.get(evidence.stream.name.as_str());
        let proof = &evidence.proof;
        if matches!(proof.state, ProofState::Proven | ProofState::Observed) {
            let number = proof.sequence_number.as_deref().ok_or("a proof without a record")?;
            let records = stream.map(|stream| &stream.records);
            let record = records.and_then(|records| records.iter().find(|r| r.sequence_number == number));
            let record = record.ok_or(format!("its record {number} is not in the stream"))?;
            if record.key.is_none() {
                return Err(format!("its record {number} is not encrypted"));
            }
            if proof.state == ProofState::Proven && (!record.ours || record.at < evidence.started_at) {
                return Err(format!("its record {number} was not put by this run"));
            }
        }
        if evidence.verdict.compliance != Compliance::Compliant {
            return Ok(());
        }
        if matches!(proof.state, ProofState::Owed | ProofState::Failed) {
            return Err(format!("COMPLIANT with a proof that is {}", proof.state.as_str()));
        }
        let after = evidence.after.as_ref().ok_or("COMPLIANT without an observation")?;
        let Encryption::Kms(key) = &after.observed.encryption else { return Err("COMPLIANT and not encrypted".into()) };
        let was_so = |body: &Body| body.status == StreamStatus::Active && body.key.as_deref() == Some(key.as_str());
        let observed_at = after.observed.at;
        if !stream.is_some_and(|stream| stream.was(observed_at - SLACK, observed_at, was_so)) {
            return Err(format!("COMPLIANT on {key}, where the stream was not"));
        }
        let desired = evidence.desired.as_ref().and_then(|(_, identity)| identity.as_ref());
        if evidence.verdict.reason == Reason::RightKey && after.key.as_ref() != desired {
            return Err(format!("COMPLIANT on {key}, which is not the rule's key"));
        }
        Ok(())
    }
}
