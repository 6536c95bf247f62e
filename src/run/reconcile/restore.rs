//! The way back of a stream that its change broke: what is read before it, the one Start, and what its users do afterwards. What follows from
//! each is decided in `domain/plan/guard/restore.rs`.

use std::time::Duration;

use jiff::Timestamp;

use super::{Run, Taken, wait};
use crate::domain::arn::KeyRef;
use crate::domain::failure::Unfinished;
use crate::domain::history::{Query, Trail};
use crate::domain::model::{KeyInfo, KeyLookup, KeyManager};
use crate::domain::plan::close::{End, later};
use crate::domain::plan::guard::denied::{Changed, Denied, denied};
use crate::domain::plan::guard::life::{self, Watched};
use crate::domain::plan::guard::restore::{Answer, Facts, Place, Way, answer, standing};
use crate::domain::plan::guard::watch::{On, Restore, Standing, Step, Watch};
use crate::domain::plan::observation::Observation;
use crate::domain::plan::proof::Owed;
use crate::domain::plan::situation::Situation;
use crate::domain::plan::step::Condition;
use crate::domain::traffic::judge::Users;
use crate::ports::{Clock, KeyApi, StreamApi, TrafficApi, TrailApi};
use crate::run::session::Session;
use crate::run::trail::{Limits, read};

/// What each of two readings of who used a key may cost.
const USES_LIMITS: Limits = Limits { pages: 6, time: Duration::from_secs(10) };

impl<W: StreamApi + KeyApi + TrailApi + TrafficApi + Clock> Run<'_, W> {
    /// A run of a stream that is broken and may go back to its key of before.
    pub(super) async fn restore(&mut self, watch: &Watch, mut restore: Restore) -> End {
        let mut asked_at = None;
        loop {
            let observation = match self.observe_at_last().await {
                Ok(observation) => observation,
                Err(end) => return end,
            };
            let place = match self.place(&observation, watch).await {
                Ok(place) => place,
                Err(why) => return later(why),
            };
            let now = self.world.now();
            match restore.way(place, asked_at, now) {
                Way::Await if self.pause(Condition::Applied).await => {}
                Way::Await => return wait::over(Condition::Applied),
                Way::Defer => {
                    self.state.observed_in_vain();
                    let why = "the Start that restores it had no effect";
                    return later(Unfinished::open("streamseal:Restore", "NoEffect", why));
                }
                Way::Over(standing, why) => {
                    let step = standing.map_or(Step::Drop, Step::End);
                    let restoring = why.map(str::to_owned);
                    let watched = Watched { step, users: None, denied: Vec::new(), restoring };
                    return self.end_of_watch(self.base(&observation), watch, watched);
                }
                Way::Ask => match self.send_back(&observation, watch, restore).await {
                    Ok(sent) => {
                        asked_at = sent.or(asked_at);
                        restore.sent = sent.filter(|_| self.state.is_accepted()).or(restore.sent);
                        self.state.work.watch = Some(Watch { restore: Some(restore), ..watch.clone() });
                    }
                    Err(end) => return end,
                },
                Way::Arrived => {
                    self.prove_restored().await;
                    let (restore, at) = restore.arrived(self.world.now());
                    let watch = Watch { restore: Some(restore), ..watch.clone() };
                    return self.went_back(&observation, &watch, Some(at)).await;
                }
                Way::Users(at) => {
                    self.prove_restored().await;
                    return self.went_back(&observation, watch, Some(at).filter(|at| *at > now)).await;
                }
            }
        }
    }

    /// Where the stream is, by the key that it goes back to as KMS knows it.
    async fn place(&mut self, observation: &Observation, watch: &Watch) -> Result<Option<Place>, Unfinished> {
        let on = |run: &Self, key: &str| {
            let after = run.state.after.as_ref();
            let setting = after.map(|after| (&after.observed.encryption, after.key.as_ref()));
            life::on(observation, setting, key)
        };
        Ok(match on(self, &watch.target) {
            None => None,
            Some(On::Gone) => Some(Place::Gone),
            Some(On::Target) => Some(Place::Target),
            Some(On::Other) => {
                let back = watch.back.clone().unwrap_or_default();
                let is_named = on(self, &back) == Some(On::Target);
                let identity = match self.back(watch).await? {
                    KeyLookup::Found(info) if !is_named => Some(info.identity),
                    _ => None,
                };
                let is_same = identity.is_some_and(|key| on(self, key.as_str()) == Some(On::Target));
                Some(if is_named || is_same { Place::Back } else { Place::Other })
            }
        })
    }

    /// What KMS says of the key to go back to.
    async fn back(&mut self, watch: &Watch) -> Result<KeyLookup, Unfinished> {
        match watch.back.as_deref().and_then(KeyRef::parse) {
            Some(key) => Ok(self.observer.ask_again(&key, &self.log).await?),
            None => Ok(KeyLookup::NotFound),
        }
    }

    /// Sends the one Start where it may be sent; when. `None`: it waited for its turn, and has to observe again.
    ///
    /// # Errors
    /// The end of the run.
    async fn send_back(
        &mut self,
        observation: &Observation,
        watch: &Watch,
        restore: Restore,
    ) -> Result<Option<Timestamp>, End> {
        let (answer, users, denied) = self.may_go_back(watch, restore).await.map_err(later)?;
        let now = self.world.now();
        let (step, why) = match answer {
            Answer::Given(key) => {
                if let Some(end) = self.start(&key, observation).await {
                    return Err(end);
                }
                return Ok(self.state.has_started().then_some(now));
            }
            Answer::NotYet(at, why) => {
                (Step::Then(Standing::Broken, Watch { restore: Some(restore), ..watch.clone() }, at), why)
            }
            Answer::Refused(why) => (Step::End(Standing::Broken), why),
        };
        let base = self.base(observation);
        let watched = Watched { step, users, denied, restoring: Some(why) };
        Err(self.end_of_watch(base, watch, watched))
    }

    /// Whether it may go back; how its users fare, and who is denied.
    async fn may_go_back(
        &mut self,
        watch: &Watch,
        restore: Restore,
    ) -> Result<(Answer, Option<Users>, Vec<Denied>), Unfinished> {
        let back = self.back(watch).await?;
        let lets_in = match &back {
            KeyLookup::Found(KeyInfo { manager: KeyManager::Aws, .. }) => self.others().await,
            KeyLookup::Found(_) | KeyLookup::NotFound | KeyLookup::Denied { .. } => Ok(Vec::new()),
        };
        let users = self.users(watch).await.ok();
        let denied = self.denied(watch).await;
        // On the key of its rule, which can be used: whoever makes a key unusable may mean it.
        let is_right =
            matches!(&self.state.situation, Some(Situation::Right { key, .. }) if key.as_str() == watch.target);
        let guard = self.guard().filter(|_| is_right);
        let facts = Facts {
            mode: self.session.mode,
            guard: guard.as_ref(),
            watch,
            back: &back,
            lets_in: lets_in.as_deref().map_err(String::as_str),
            users: users.as_ref(),
            denied: denied.as_deref().map_err(String::as_str),
        };
        let answer = answer(&facts, restore.since, self.world.now());
        Ok((answer, users, denied.unwrap_or_default()))
    }

    /// The other accounts that the stream's resource policies let in, or why that is not known.
    async fn others(&self) -> Result<Vec<String>, String> {
        let consumers = self.world.consumers(&self.state.work.stream, &self.log).await;
        let consumers = consumers.map_err(|failure| failure.to_string())?;
        self.lets_in(consumers).await.map_err(|failure| failure.to_string())?
    }

    /// Who is denied the key of the change and used the stream before, as far as CloudTrail shows it; or why that cannot be read.
    pub(super) async fn denied(&self, watch: &Watch) -> Result<Vec<Denied>, String> {
        let Session { config, paces, deadline, .. } = *self.session;
        let Watch { target, sent, back, .. } = watch;
        let before = back.as_deref().filter(|back| back.starts_with("arn:"));
        let changed = Changed {
            stream: &self.state.work.stream,
            target,
            sent: *sent,
            before,
            own_role: config.own_role_arn.as_deref().unwrap_or_default(),
        };
        let baseline = self.guard().unwrap_or_default().baseline;
        let since = sent.saturating_sub(baseline).unwrap_or(*sent);
        let queries: Vec<Query> =
            [Some(target.as_str()), before].into_iter().flatten().map(|key| Query::Resource(key.to_owned())).collect();
        let reading = |queries: Vec<Query>, since: Timestamp| async move {
            read(self.world, &queries, since, USES_LIMITS, (paces, deadline), &self.log).await
        };
        let Trail { mut uses, .. } = reading(queries, since).await.map_err(|why| why.to_string())?;
        let found = denied(&uses, &changed);
        if !found.is_empty() {
            return Ok(found);
        }
        // A call that was refused may have no resources.
        uses.extend(reading(Query::USES.to_vec(), *sent).await.map_err(|why| why.to_string())?.uses);
        Ok(denied(&uses, &changed))
    }

    /// Makes the proof that is owed of the key that the stream went back to. Where it cannot be made, evidence says so.
    async fn prove_restored(&mut self) {
        let is_owed = self.state.progress.as_ref().is_some_and(|progress| progress.proof != Owed::No);
        if is_owed && let Taken::End((verdict, _)) = self.prove().await {
            self.warnings.push(verdict.detail);
        }
    }

    /// The end of a run that observes the stream on its key of before: `at`, where its users are observed once more.
    async fn went_back(&mut self, observation: &Observation, watch: &Watch, at: Option<Timestamp>) -> End {
        let standing = standing(watch.back.as_deref().unwrap_or_default());
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
