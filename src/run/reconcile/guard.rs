//! A change that has a guard: what has to be read before it, and one observation of a change that is watched. What follows from either is
//! decided in `domain/plan/guard`.

use jiff::{SignedDuration, Timestamp};

use super::{Run, Taken};
use crate::domain::failure::{Class, Failure, Unfinished};
use crate::domain::history::{PUT_KEY_POLICY, Query, Trail};
use crate::domain::model::KeyManager;
use crate::domain::plan::close::{self, After, End, Next, later};
use crate::domain::plan::guard::before::{self, Before, Leave};
use crate::domain::plan::guard::life::{self, Left, Watched, Watching};
use crate::domain::plan::guard::next::{Ended, Turn};
use crate::domain::plan::guard::restore::after_break;
use crate::domain::plan::guard::watch::{On, Standing, Watch};
use crate::domain::plan::observation::Observation;
use crate::domain::plan::proof::is_new;
use crate::domain::plan::situation::{CurrentKey, Situation, Wrong};
use crate::domain::plan::step::{Condition, Step};
use crate::domain::policy::Outcome;
use crate::domain::policy::guard::Guard;
use crate::domain::traffic::Change;
use crate::domain::traffic::judge::Users;
use crate::domain::verdict::{Verdict, Withheld};
use crate::domain::work::Work;
use crate::ports::{Clock, Consumer, KeyApi, StreamApi, TrafficApi, TrailApi};
use crate::run::paces::Paces;
use crate::run::session::Session;
use crate::run::trail::{OF_ONE, read, read_one};
use crate::run::watch;

/// A watch of another stream is over so long after its end, at most: its last minutes are judged, and CloudTrail shows its Start.
const OVER_AFTER: SignedDuration = SignedDuration::from_mins(20);
/// Of so many other streams that we started with the same key it is asked whether they were new. Where more are, some may be watched.
const OTHERS_MAX: usize = 10;

impl<W> Run<'_, W> {
    /// The guard of the stream's rule.
    pub(super) fn guard(&self) -> Option<Guard> {
        match self.decision.as_ref().map(|decision| &decision.outcome) {
            Some(Outcome::Encrypt(target)) if self.session.guards => Some(target.guard),
            _ => None,
        }
    }
}

impl<W: StreamApi + TrailApi + TrafficApi + Clock> Run<'_, W> {
    /// The step for a change that nothing else speaks against.
    pub(super) async fn ask_guard(&mut self, wrong: &Wrong, step: Step) -> Taken {
        let now = self.world.now();
        let (Some(guard), Step::Start(_), false) = (self.guard(), &step, self.guarding.is_given) else {
            return Taken::Next(step);
        };
        if !before::is_guarded(&guard, wrong, now) {
            self.guarding.needs_none = true;
            return Taken::Next(step);
        }
        let leave = match self.may_change(wrong, &guard).await {
            Ok(leave) => leave,
            Err(why) => return Taken::End(later(why)),
        };
        match leave {
            Leave::Given => {}
            Leave::Wait(at) => return Taken::Next(Step::Await(Condition::Shown(at))),
            Leave::Passed(why, words) => {
                // A run of this message before may have changed the stream: then nothing follows it.
                let list = self.state.work.next.clone().filter(|_| !self.state.work.proof_owed);
                self.guarding.turned_away = list.and_then(|list| list.after(Ended::NotStarted).pop());
                return Taken::End((before::refused(wrong, why, &words), After::Verdict));
            }
            Leave::Refused(why, words) => {
                let own_role = self.session.config.own_role_arn.as_deref().unwrap_or_default();
                let asks = why == Withheld::WaitsItsTurn && before::asks_for_scan(&self.state.work, own_role);
                self.guarding.asks_for_scan = asks;
                return Taken::End((before::refused(wrong, why, &words), After::Verdict));
            }
        }
        self.guarding.is_given = true;
        let had_traffic = self.guarding.users.as_ref().is_some_and(Users::had_traffic);
        let list = self.state.work.next.clone().unwrap_or_default();
        match list.turn(&self.state.work.stream.name, had_traffic) {
            Turn::Now(list, others) => {
                self.state.work.next = Some(list);
                self.guarding.others = others;
                Taken::Next(step)
            }
            Turn::Later(message) => {
                self.guarding.turned_away = Some(message);
                let words = "the stream has no traffic, so a watch would show nothing; other streams come first";
                Taken::End((before::refused(wrong, Withheld::WaitsItsTurn, words), After::Verdict))
            }
        }
    }

    /// Whether the change may be made now. What costs no request comes first.
    async fn may_change(&mut self, wrong: &Wrong, guard: &Guard) -> Result<Leave, Unfinished> {
        let Session { config, has_queue, .. } = *self.session;
        let own_role = config.own_role_arn.as_deref().unwrap_or_default();
        let by_event = self.state.work.is_by_event();
        let (mut changes, mut broken, mut lets_in) = (Some(Trail::default()), Ok(0), Ok(Vec::new()));
        let mut is_busy = false;
        if !has_queue {
            broken = Err("WORK_QUEUE_URL is not set, so the change cannot be watched".to_owned());
        } else if own_role.is_empty() {
            broken = Err("OWN_ROLE_ARN is not set, so that our own changes are not known".to_owned());
        } else if !by_event {
            changes = Some(self.long_history(guard).await?).filter(|history| history.whole);
            let is_first = self.state.work.next.as_ref().is_some_and(|list| list.begins);
            is_busy = is_first && self.is_another_watched(wrong, guard, own_role).await;
            if changes.is_some() {
                let consumers = known(self.world.consumers(&self.state.work.stream, &self.log).await)?;
                broken = match &consumers {
                    Ok(consumers) => known(self.measure(wrong, guard, consumers).await)?,
                    Err(why) => Err(why.clone()),
                };
                if let (Ok(consumers), KeyManager::Aws) = (consumers, wrong.target_manager) {
                    lets_in = known(self.lets_in(consumers).await)?.and_then(|accounts| accounts);
                }
            }
        }
        let before = Before {
            by_event,
            is_busy,
            target: (&wrong.target, wrong.target_manager),
            current: wrong.current.as_ref().map(CurrentKey::as_str),
            lets_in: lets_in.as_deref().map_err(String::as_str),
            broken: broken.as_ref().map(|broken| *broken).map_err(String::as_str),
            changes: changes.as_ref().map(|history| history.changes.as_slice()),
            own_role,
            hold: guard.hold,
            waiting_since: Some(self.state.work.first_seen),
            now: self.world.now(),
        };
        match (before.leave(), before.held()) {
            (Leave::Passed(Withheld::Held, words), Some(since)) => {
                let more = self.new_policy_since(wrong, since).await?;
                Ok(Leave::Passed(Withheld::Held, words + &more))
            }
            (leave, _) => Ok(leave),
        }
    }

    /// What is said of a change that is held, where its key got another policy since: it may be what the stream's users lacked.
    async fn new_policy_since(&self, wrong: &Wrong, since: Timestamp) -> Result<String, Unfinished> {
        let Session { paces, deadline, .. } = *self.session;
        let query = [Query::Calls(PUT_KEY_POLICY)];
        let trail = read(self.world, &query, since, OF_ONE, (paces, deadline), &self.log).await?;
        let of_it = trail.policies.iter().filter(|policy| policy.key.as_str() == wrong.target.as_str());
        let newest = of_it.map(|policy| policy.at).filter(|at| *at > since).max();
        let stream = self.state.work.stream.argument();
        Ok(newest.map_or_else(String::new, |at| {
            format!("; the key's policy was changed at {at}: `streamseal seal {stream}` makes the change all the same")
        }))
    }

    /// Whether a change of another stream to the same key may still be watched: we started it, and it was not new then. Where that cannot
    /// be said, it may.
    async fn is_another_watched(&self, wrong: &Wrong, guard: &Guard, own_role: &str) -> bool {
        let Session { config, paces, history, deadline, .. } = *self.session;
        let since = self.world.now() - guard.watch.unwrap_or_default() - OVER_AFTER;
        let started = history.ours_with(&wrong.target, own_role, &self.state.work.stream.name, since).await;
        if started.len() > OTHERS_MAX {
            return true;
        }
        for (name, at) in started {
            let turn = Paces::wait(&paces.describes, self.world, deadline, "kinesis:DescribeStreamSummary").await;
            let observed = match turn {
                Ok(_) => self.world.describe(&config.own.stream(name), &self.log).await,
                Err(_) => return true,
            };
            match observed {
                Ok(observed) if is_new(observed.created, at) => {}
                Err(failure) if failure.class == Class::Ignored => {}
                Ok(_) | Err(_) => return true,
            }
        }
        false
    }

    /// What is known of the changes of the stream as far back as it would be left alone.
    async fn long_history(&self, guard: &Guard) -> Result<Trail, Unfinished> {
        let Session { history, paces, deadline, .. } = *self.session;
        let stream = &self.state.work.stream;
        let since = self.world.now() - guard.hold;
        let pace = (paces, deadline);
        let mut trail = read_one(self.world, stream, since, pace, &self.log).await?;
        trail.add(&history.of(stream, None, self.world, pace, &self.log).await?.changes);
        Ok(trail)
    }

    /// Measures how the stream's users fare before its change: how often a change to the same key broke a stream.
    async fn measure(&mut self, wrong: &Wrong, guard: &Guard, consumers: &[Consumer]) -> Result<u64, Failure> {
        let of_it = (&self.state.work.stream.name, consumers);
        let change = Change::at(self.world.now(), guard.baseline, wrong.created);
        let (users, broken) = watch::measure(self.world, of_it, change, Some(&wrong.target), &self.log).await?;
        self.guarding.users = Some(users);
        Ok(broken)
    }
}

impl<W: StreamApi + KeyApi + TrailApi + TrafficApi + Clock> Run<'_, W> {
    /// One observation of a watched change. It changes nothing, whatever it finds.
    pub(super) async fn watch(&mut self, watch: &Watch) -> End {
        let (on, base) = match self.observe().await {
            Ok(observation) => (self.on(&observation, &watch.target), self.base(&observation)),
            Err(unobserved) => (None, close::unfinished(&unobserved.why())),
        };
        let users = match on {
            Some(On::Target) => self.users(watch).await.ok(),
            _ => None,
        };
        let now = self.world.now();
        let step = watch.step(on.unwrap_or(On::Target), users.as_ref(), now);
        let denied = match step.standing() {
            // For people: where it cannot be read, it is not said.
            Some(Standing::Broken) => self.denied(watch).await.unwrap_or_default(),
            _ => Vec::new(),
        };
        let (step, why) = after_break(step, watch, self.guard().as_ref(), self.session.mode, now);
        self.end_of_watch(base, watch, Watched { step, users, denied, restoring: why.map(str::to_owned) })
    }
}

impl<W: TrailApi + Clock> Run<'_, W> {
    /// Notes whether somebody else set the rule's key on a stream of a list: that is nothing to watch, and the list goes on. What the history
    /// does not show may have been a copy of this message, which has the list then.
    pub(super) async fn ask_who_changed_it(&mut self) -> Result<(), Unfinished> {
        let Session { config, history, paces, deadline, .. } = *self.session;
        let Work { stream, started, watch, next, .. } = &self.state.work;
        let has_list = next.as_ref().is_some_and(|list| !list.is_empty());
        let Some(Situation::Right { key, .. }) = &self.state.situation else { return Ok(()) };
        if *started || watch.is_some() || !has_list || self.guard().is_none_or(|guard| guard.watch.is_none()) {
            return Ok(());
        }
        let own_role = config.own_role_arn.as_deref().unwrap_or_default();
        let trail = history.of(stream, None, self.world, (paces, deadline), &self.log).await?;
        self.guarding.needs_none |= before::was_set_by_another(&trail.changes, key, own_role);
        Ok(())
    }
}

impl<W: Clock> Run<'_, W> {
    /// What the run leaves, where `next` is what its verdict alone would leave.
    pub(super) fn left(&mut self, next: Next, verdict: &Verdict, now: Timestamp) -> (Next, Left) {
        match (&self.state.work.watch, &self.guarding.watched) {
            (Some(_), Some(watched)) => life::after_watch(&self.state.work, watched, next, now),
            (Some(_), None) => (next, Left::default()),
            (None, _) => {
                let watch = self.guard().and_then(|guard| guard.watch);
                let watch = Watching::of(watch, self.guarding.needs_none, &self.state.work, now);
                let (back, turned_away) = (self.guarding.back.take(), self.guarding.turned_away.take());
                life::after_run(&self.state, verdict, next, watch, back, turned_away, now)
            }
        }
    }

    /// What is said of the stream itself in a run that watches it, or brings it back.
    pub(super) fn base(&self, observation: &Observation) -> Verdict {
        let open = |code, words| close::unfinished(&Unfinished::open("streamseal:Watch", code, words));
        match (observation, self.next_step(observation)) {
            (Observation::Active(Situation::Wrong(wrong)), _) => wrong.verdict(),
            // A proof may come to a change, and no change is made now.
            (_, Step::Prove) => open("Owed", "the proof that is owed is made when the watch is over"),
            (_, step) => {
                step.verdict(self.state.situation.as_ref()).unwrap_or_else(|| open("Unknown", "not known by the watch"))
            }
        }
    }

    /// The end of such a run.
    pub(super) fn end_of_watch(&mut self, base: Verdict, watch: &Watch, watched: Watched) -> End {
        let verdict = life::verdict(base, &watched, watch);
        self.guarding.watched = Some(watched);
        (verdict, After::Verdict)
    }
}

impl<W: TrafficApi + Clock> Run<'_, W> {
    /// The accounts that resource policies of the stream and its consumers let in; or why that cannot be said.
    pub(super) async fn lets_in(&self, consumers: Vec<Consumer>) -> Result<Result<Vec<String>, String>, Failure> {
        let stream = &self.state.work.stream;
        let arns = std::iter::once(stream.to_string()).chain(consumers.into_iter().map(|consumer| consumer.arn));
        let mut accounts = Vec::new();
        for arn in arns {
            let Some(policy) = self.world.resource_policy(&arn, &self.log).await? else { continue };
            match before::lets_in(&policy, &stream.scope.account) {
                Ok(some) => accounts.extend(some),
                Err(why) => return Ok(Err(why.to_owned())),
            }
        }
        accounts.sort();
        accounts.dedup();
        Ok(Ok(accounts))
    }

    /// How the stream's users fare by the change of its watch.
    pub(super) async fn users(&self, watch: &Watch) -> Result<Users, Failure> {
        let consumers = self.world.consumers(&self.state.work.stream, &self.log).await?;
        self.users_with(watch, &consumers).await
    }

    /// The same of a stream with these registered consumers.
    pub(super) async fn users_with(&self, watch: &Watch, consumers: &[Consumer]) -> Result<Users, Failure> {
        let (now, of_it) = (self.world.now(), (&self.state.work.stream.name, consumers));
        let baseline = self.guard().unwrap_or_default().baseline;
        let change = watch.change(baseline, self.state.work.created.unwrap_or(now), now);
        Ok(watch::measure(self.world, of_it, change, None, &self.log).await?.0)
    }
}

/// What a request came to: an answer, or why there is none and will be none. One that may have an answer later is an error.
fn known<T>(answer: Result<T, Failure>) -> Result<Result<T, String>, Unfinished> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(failure) => match Unfinished::from(failure) {
            why if why.fault().is_some() => Ok(Err(why.to_string())),
            why => Err(why),
        },
    }
}
