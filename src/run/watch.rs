//! The watch of a change, one observation after the other: where the stream is, and how its users fare. What follows from an observation is
//! decided in `domain/plan/guard/watch.rs`.

use jiff::{SignedDuration, Timestamp};

use crate::domain::arn::{KeyRef, StreamArn, StreamName};
use crate::domain::bounds::until;
use crate::domain::failure::{Class, Failure, Unfinished};
use crate::domain::model::{Encryption, KeyIdentity, KeyLookup};
use crate::domain::plan::guard::watch::{On, Standing, Step, Watch};
use crate::domain::plan::observation::{Observation, observation_of};
use crate::domain::traffic::Change;
use crate::domain::traffic::judge::{Users, judge};
use crate::ports::{Asked, CallLog, Clock, Consumer, KeyApi, Measured, StreamApi, TrafficApi};

/// A stream whose change is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The stream.
    pub stream: StreamArn,
    /// When it was made.
    pub created: Timestamp,
    /// What time before the change is compared with.
    pub baseline: SignedDuration,
}

/// What one observation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the stream is.
    pub on: On,
    /// How its users fare, or why that could not be measured.
    pub users: Result<Users, Unfinished>,
}

impl Watched {
    /// How many users the stream has, before it is changed: whether they call, and so whether anything would be seen.
    ///
    /// # Errors
    /// Why that cannot be measured. Nobody would see then what the change does.
    pub async fn before<W: TrafficApi + Clock>(&self, world: &W, log: &CallLog) -> Result<Users, Failure> {
        self.users(world, Change::at(world.now(), self.baseline, self.created), log).await
    }

    /// Observes it once.
    pub async fn observe<W>(&self, world: &W, watch: &Watch, log: &CallLog) -> Found
    where
        W: StreamApi + KeyApi + TrafficApi + Clock,
    {
        let blind = |why: Unfinished| Found { on: On::Target, users: Err(why) };
        let on = match self.on(world, watch, log).await {
            Ok(on) => on,
            // Where it is is not known, and nothing follows from that.
            Err(why) => return blind(why),
        };
        if on != On::Target {
            return Found { on, users: Err(Unfinished::open("streamseal:Watch", "NotOnKey", "it is not on that key")) };
        }
        let users = self.users(world, watch.change(self.baseline, self.created, world.now()), log).await;
        Found { on, users: users.map_err(Unfinished::from) }
    }

    async fn on<W: StreamApi + KeyApi>(&self, world: &W, watch: &Watch, log: &CallLog) -> Result<On, Unfinished> {
        let observed = match world.describe(&self.stream, log).await {
            Ok(observed) => observed,
            Err(Failure { class: Class::Ignored, .. }) => return Ok(On::Gone),
            Err(failure) => return Err(failure.into()),
        };
        let open = |why: &str| Unfinished::open("streamseal:Watch", "NotReady", why);
        match observation_of(&observed, Some(self.created)) {
            None => {}
            Some(Observation::Gone | Observation::Recreated) => return Ok(On::Gone),
            Some(_) => return Err(open(&format!("the stream is {}", observed.status))),
        }
        let is_on_it = match &observed.encryption {
            Encryption::None => false,
            Encryption::Kms(key) => is(world, key, &watch.target, log).await?,
            Encryption::Unreadable(text) => return Err(open(&format!("its setting cannot be read: {text}"))),
        };
        Ok(if is_on_it { On::Target } else { On::Other })
    }

    /// How its users fare by a change of it.
    ///
    /// # Errors
    /// Why that cannot be measured.
    pub async fn users<W: TrafficApi + Clock>(
        &self,
        world: &W,
        change: Change,
        log: &CallLog,
    ) -> Result<Users, Failure> {
        let consumers = world.consumers(&self.stream, log).await?;
        Ok(measure(world, (&self.stream.name, &consumers), change, None, log).await?.0)
    }
}

/// How the users of a stream with these registered consumers fare by a change of it; and how often a change to the key `broken_on` was found
/// to break a stream of late.
///
/// # Errors
/// Why that cannot be measured.
pub async fn measure<W: TrafficApi + Clock>(
    world: &W,
    (stream, consumers): (&StreamName, &[Consumer]),
    change: Change,
    broken_on: Option<&KeyIdentity>,
    log: &CallLog,
) -> Result<(Users, u64), Failure> {
    let consumers: Vec<String> = consumers.iter().map(|consumer| consumer.name.clone()).collect();
    let now = world.now();
    let asked = Asked { stream, consumers: &consumers, from: change.before_from, to: now, broken_on };
    let Measured { traffic, broken } = world.traffic(&asked, log).await?;
    Ok((judge(&traffic, change, now), broken))
}

/// Whether a key, as a stream's setting names it, is the one of this ARN.
async fn is<W: KeyApi>(world: &W, key: &KeyRef, target: &str, log: &CallLog) -> Result<bool, Unfinished> {
    if key.as_str() == target {
        return Ok(true);
    }
    match world.lookup(key, log).await? {
        KeyLookup::Found(info) => Ok(info.identity.as_str() == target),
        KeyLookup::NotFound => Ok(false),
        KeyLookup::Denied { code, .. } => {
            let why = format!("its key cannot be looked up ({code})");
            Err(Unfinished::open("streamseal:Watch", "Unreadable", &why))
        }
    }
}

/// Watches a change until its watch is over, and reports each observation; `None` where the stream is gone.
pub async fn watch<W>(
    world: &W,
    watched: &Watched,
    mut watch: Watch,
    mut report: impl FnMut(&Found, &Step),
) -> Option<Standing>
where
    W: StreamApi + KeyApi + TrafficApi + Clock,
{
    let mut at = watch.next_at(world.now());
    loop {
        world.sleep(until(world.now(), at)).await;
        let found = watched.observe(world, &watch, &CallLog::default()).await;
        let step = watch.step(found.on, found.users.as_ref().ok(), world.now());
        report(&found, &step);
        match step {
            Step::Again(next, again) => (watch, at) = (next, again),
            // A person brings it back.
            Step::Then(standing, ..) | Step::End(standing) => return Some(standing),
            Step::Drop => return None,
        }
    }
}
