//! The way back of a stream that its change broke: what is read before it, the one Start, and what its users do afterwards. What follows from
//! each is decided in `domain/plan/guard/restore.rs`.

use std::time::Duration;

use jiff::Timestamp;

use super::Run;
use crate::domain::arn::KeyRef;
use crate::domain::failure::Unfinished;
use crate::domain::history::{Query, Trail};
use crate::domain::impact::usage::Usage;
use crate::domain::model::{KeyIdentity, KeyInfo, KeyLookup, KeyManager};
use crate::domain::plan::close::{End, later, still_waits};
use crate::domain::plan::guard::denied::{Changed, Denied, denied};
use crate::domain::plan::guard::life::{self, Watched};
use crate::domain::plan::guard::restore::{Answer, Facts, Place, Way, answer, lets, place};
use crate::domain::plan::guard::watch::{On, Restore, Standing, Step, Watch};
use crate::domain::plan::observation::Observation;
use crate::domain::plan::permit::is_only_reported;
use crate::domain::plan::proof::Owed;
use crate::domain::plan::step::Condition;
use crate::domain::policy::Outcome;
use crate::domain::policy::guard::Guard;
use crate::ports::{Clock, KeyApi, StreamApi, TrafficApi, TrailApi};
use crate::run::reconcile::Taken;
use crate::run::session::Session;
use crate::run::trail::{Limits, read};

/// What reading one list of who used a key may cost.
const USES_LIMITS: Limits = Limits { pages: 6, time: Duration::from_secs(10) };

impl<W: StreamApi + KeyApi + TrailApi + TrafficApi + Clock> Run<'_, W> {
    /// A run of a stream that is broken and may go back to its previous key.
    pub(super) async fn restore(&mut self, watch: &Watch, mut restore: Restore) -> End {
        let (mut given, mut asked_at): (Option<KeyIdentity>, Option<Timestamp>) = (None, None);
        loop {
            let observation = match self.observe_at_last().await {
                Ok(observation) => observation,
                Err(end) => return end,
            };
            self.troubles = 0;
            let place = match self.place(&observation, watch).await {
                Ok(place) => place,
                Err(why) => return later(why),
            };
            let now = self.world.now();
            match (restore.way(place, asked_at, now), &given) {
                (Way::Await, _) if self.pause(Condition::Applied).await => {}
                (Way::Await, _) => return still_waits(Condition::Applied),
                (Way::Defer, _) => {
                    self.state.observed_in_vain();
                    self.session.history.had_no_effect(&self.state.work.stream.name, asked_at.unwrap_or(now));
                    let why = "the Start that restores it had no effect";
                    return later(Unfinished::open("streamseal:Restore", "NoEffect", why));
                }
                (Way::Over(standing, why), _) => {
                    let step = standing.map_or(Step::Drop, Step::End);
                    let restoring = why.map(str::to_owned);
                    let watched = Watched { step, users: None, denied: Vec::new(), restoring };
                    return self.end_of_watch(self.base(&observation), watch, watched);
                }
                // It is observed once more: to ask takes a while.
                (Way::Ask, None) => match self.may_go_back(watch, restore).await {
                    Err(why) => return later(why),
                    Ok(Ok(key)) => given = Some(key),
                    Ok(Err(watched)) => return self.end_of_watch(self.base(&observation), watch, watched),
                },
                (Way::Ask, Some(key)) => {
                    if let Some(end) = self.start(&key.clone(), &observation).await {
                        return end;
                    }
                    asked_at = self.state.has_started().then_some(now);
                    restore.sent = asked_at.filter(|_| self.state.is_accepted());
                    self.state.work.watch = Some(Watch { restore: Some(restore), ..watch.clone() });
                }
                (Way::Arrived, _) => {
                    self.prove_restored().await;
                    let (restore, at) = restore.arrived(self.world.now());
                    let watch = Watch { restore: Some(restore), ..watch.clone() };
                    return self.went_back(&observation, &watch, Some(at)).await;
                }
                (Way::Users(at), _) => {
                    self.prove_restored().await;
                    return self.went_back(&observation, watch, Some(at).filter(|at| *at > now)).await;
                }
            }
        }
    }

    /// Where the stream is, by the key that it goes back to as KMS knows it.
    async fn place(&mut self, observation: &Observation, watch: &Watch) -> Result<Option<Place>, Unfinished> {
        let by_target = self.on(observation, &watch.target);
        let is_named =
            by_target == Some(On::Other) && self.is_on(observation, watch.back.as_deref().unwrap_or_default());
        let is_back = match by_target {
            Some(On::Other) if !is_named => match self.back(watch).await? {
                KeyLookup::Found(info) => self.is_on(observation, info.identity.as_str()),
                KeyLookup::NotFound | KeyLookup::Denied { .. } => false,
            },
            _ => is_named,
        };
        Ok(place(by_target, is_back))
    }

    fn is_on(&self, observation: &Observation, key: &str) -> bool {
        self.on(observation, key) == Some(On::Target)
    }

    /// What KMS says of the key to go back to.
    async fn back(&mut self, watch: &Watch) -> Result<KeyLookup, Unfinished> {
        match watch.back.as_deref().and_then(KeyRef::parse) {
            Some(key) => Ok(self.observer.ask_again(&key, &self.log).await?),
            None => Ok(KeyLookup::NotFound),
        }
    }

    /// The key that the stream goes back to, where it may; or what this run found where it stays as it is, now or for good.
    async fn may_go_back(
        &mut self,
        watch: &Watch,
        restore: Restore,
    ) -> Result<Result<KeyIdentity, Watched>, Unfinished> {
        let Session { config, history, paces, deadline, mode, .. } = *self.session;
        let back = self.back(watch).await?;
        let consumers = self.world.consumers(&self.state.work.stream, &self.log).await;
        let is_awss = matches!(&back, KeyLookup::Found(KeyInfo { manager: KeyManager::Aws, .. }));
        let lets_in = match consumers.clone() {
            Ok(consumers) if is_awss => {
                self.lets_in(consumers).await.unwrap_or_else(|failure| Err(failure.to_string()))
            }
            Err(failure) if is_awss => Err(failure.to_string()),
            _ => Ok(Vec::new()),
        };
        let stream = &self.state.work.stream;
        let changes = match history.of(stream, None, self.world, (paces, deadline), &self.log).await {
            Ok(Trail { whole: true, changes, .. }) => Ok(changes),
            Ok(_) => Err("CloudTrail's history is too long to be read whole".to_owned()),
            Err(why) => Err(why.to_string()),
        };
        let users = match consumers {
            Ok(consumers) => self.users_with(watch, &consumers).await.ok(),
            Err(_) => None,
        };
        let denied = self.denied(watch).await;
        let guard = self.guard_that_lets(watch);
        let facts = Facts {
            mode,
            guard: guard.as_ref(),
            account: &self.state.work.stream.scope.account,
            changes: changes.as_deref().map_err(String::as_str),
            own_role: config.own_role_arn.as_deref().unwrap_or_default(),
            watch,
            back: &back,
            lets_in: lets_in.as_deref().map_err(String::as_str),
            users: users.as_ref(),
            denied: denied.as_deref().map_err(String::as_str),
        };
        let (step, why) = match answer(&facts, restore.since, self.world.now()) {
            Answer::Given(key) => return Ok(Ok(key)),
            Answer::NotYet(at, why) => (Step::Then(Standing::Broken, watch.clone(), at), why),
            Answer::Refused(why) => (Step::End(Standing::Broken), why),
        };
        Ok(Err(Watched { step, users, denied: denied.unwrap_or_default(), restoring: Some(why) }))
    }
}

impl<W: Clock> Run<'_, W> {
    /// The guard of the stream's rule, where that still lets us bring the stream back.
    fn guard_that_lets(&self, watch: &Watch) -> Option<Guard> {
        let created = self.state.work.created.unwrap_or_else(|| self.world.now());
        let is_reported = match self.decision.as_ref().map(|decision| &decision.outcome) {
            Some(Outcome::Encrypt(target)) => is_only_reported(target.existing, self.session.policy, created),
            _ => true,
        };
        self.guard().filter(|_| lets(self.state.situation.as_ref(), is_reported, watch))
    }
}

impl<W: TrailApi + Clock> Run<'_, W> {
    /// Who is denied the key of the change and used the stream before, as far as CloudTrail shows it; or why that is not known.
    pub(super) async fn denied(&self, watch: &Watch) -> Result<Vec<Denied>, String> {
        let Watch { target, sent, back, .. } = watch;
        let before = back.as_deref().filter(|back| back.starts_with("arn:"));
        let changed = Changed {
            stream: &self.state.work.stream,
            target,
            sent: *sent,
            before,
            own_role: self.session.config.own_role_arn.as_deref().unwrap_or_default(),
        };
        let since = sent.saturating_sub(self.guard().unwrap_or_default().baseline).unwrap_or(*sent);
        let (mut uses, mut whole) = (Vec::new(), true);
        for key in [Some(target.as_str()), before].into_iter().flatten() {
            whole &= self.read_uses(Query::Resource(key.to_owned()), since, &mut uses).await?;
        }
        let mut found = denied(&uses, &changed);
        // A call that was refused may have no resources: it is found by its name.
        for query in Query::USES {
            if found.is_empty() {
                whole &= self.read_uses(query, *sent, &mut uses).await?;
                found = denied(&uses, &changed);
            }
        }
        if found.is_empty() && !whole {
            return Err("CloudTrail's KMS events are too many to be read whole".to_owned());
        }
        Ok(found)
    }

    /// Reads one list of who used a key; whether it is whole.
    async fn read_uses(&self, query: Query, since: Timestamp, uses: &mut Vec<Usage>) -> Result<bool, String> {
        let Session { paces, deadline, .. } = *self.session;
        let trail = read(self.world, &[query], since, USES_LIMITS, (paces, deadline), &self.log).await;
        let trail = trail.map_err(|why| why.to_string())?;
        uses.extend(trail.uses);
        Ok(trail.whole)
    }
}

impl<W: StreamApi + KeyApi + TrafficApi + Clock> Run<'_, W> {
    /// Makes the proof that is owed of the key that the stream went back to. Where it cannot be made, evidence says so.
    async fn prove_restored(&mut self) {
        let is_owed = self.state.progress.as_ref().is_some_and(|progress| progress.proof != Owed::No);
        if is_owed && let Taken::End((verdict, _)) = self.prove().await {
            self.warnings.push(verdict.detail);
        }
    }

    /// The end of a run that observes the stream on its previous key: `at`, where its users are observed once more.
    async fn went_back(&mut self, observation: &Observation, watch: &Watch, at: Option<Timestamp>) -> End {
        let standing = watch.went_back();
        let (step, users) = match at {
            Some(at) => (Step::Then(standing, watch.clone(), at), None),
            None => (Step::End(standing), self.users(watch).await.ok()),
        };
        self.state.work.watch = Some(watch.clone());
        self.state.work.proof_owed = false;
        let base = self.base(observation);
        let watched = Watched { step, users, denied: Vec::new(), restoring: None };
        self.end_of_watch(base, watch, watched)
    }
}

impl<W> Run<'_, W> {
    /// Where the stream is by one key.
    pub(super) fn on(&self, observation: &Observation, key: &str) -> Option<On> {
        let after = self.state.after.as_ref();
        life::on(observation, after.map(|after| (&after.observed.encryption, after.key.as_ref())), key)
    }
}
