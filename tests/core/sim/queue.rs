//! The queue, and Lambda that polls it: at least once, in any order, with a visibility timeout and a dead-letter queue; an
//! invocation can be killed at any await point, and is at 120 s.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use streamseal::config::Config;
use streamseal::domain::failure::Failure;
use streamseal::domain::scan::Scan;
use streamseal::domain::scan::subject::Group;
use streamseal::domain::scan::window::Entry;
use streamseal::domain::work::Work;
use streamseal::ports::{Clock, Credentials, WorkQueue};
use streamseal::run::handler::App;
use streamseal::run::handler::answer::{Answer, Invocation, Unhandled};
use tokio::task::JoinSet;

use super::lists::ListSent;
use super::{Op, Sim, State};
use crate::documents_shared::assert_documented;

/// The function's timeout.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);
/// Six times that.
const VISIBILITY: Duration = Duration::from_secs(720);
/// How often a message is received before it goes to the dead-letter queue.
const MAX_RECEIVES: u32 = 5;
/// Lambda cuts a chain of its own messages after about so many, unless the function allows recursion.
const HOPS_MAX: u32 = 16;
/// Await points of an invocation that a kill is drawn from.
const KILL_WITHIN: u64 = 120;

/// The main queue and its dead-letter queue.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) dead: Vec<Message>,
    /// Cut by Lambda's recursion detection.
    pub(crate) dropped: Vec<Message>,
    pub(crate) exists: bool,
    /// `RecursiveLoop: Allow`.
    pub(crate) loops_allowed: bool,
    /// Events and commands that the queue took.
    pub(crate) accepted: Vec<Accepted>,
    /// The FIFO queue of scans: nothing behind the first of a message group is received before that is deleted.
    pub(crate) scans: BTreeMap<u64, Message>,
    /// Its deduplication ids, for 5 minutes.
    scan_ids: BTreeMap<String, Timestamp>,
    /// Whether there is one.
    pub(crate) has_scans: bool,
    /// Scans that were asked for from outside: what about, and when.
    pub(crate) scans_asked: Vec<(String, Timestamp)>,
    /// The lists of guarded streams that the function sent, in order.
    pub(crate) lists: Vec<ListSent>,
    /// The longest chain of messages that the function sent to itself.
    pub(crate) most_hops: u32,
    /// Messages to a batch, at most.
    pub(crate) batch: u64,
    last_id: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
            dead: Vec::new(),
            dropped: Vec::new(),
            exists: true,
            loops_allowed: true,
            accepted: Vec::new(),
            scans: BTreeMap::new(),
            scan_ids: BTreeMap::new(),
            has_scans: true,
            scans_asked: Vec::new(),
            lists: Vec::new(),
            most_hops: 0,
            batch: 10,
            last_id: 0,
        }
    }
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: u64,
    pub(crate) body: String,
    pub(crate) hops: u32,
    visible: Timestamp,
    pub(crate) receives: u32,
    /// Its group, where it is in the queue of scans.
    group: Option<Group>,
}

/// Something that came in from outside and has to end in evidence.
#[derive(Clone, Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: String,
    /// None for a command.
    pub(crate) event_id: Option<String>,
    pub(crate) at: Timestamp,
}

impl State {
    /// Puts a message into the queue; it can be received after `delay`.
    pub(crate) fn enqueue(&mut self, body: String, now: Timestamp, delay: Duration, hops: u32) {
        self.queue.last_id += 1;
        self.queue.most_hops = self.queue.most_hops.max(hops);
        let message = Message { id: self.queue.last_id, body, hops, visible: now + delay, receives: 0, group: None };
        if hops > HOPS_MAX && !self.queue.loops_allowed {
            self.queue.dropped.push(message);
        } else {
            self.queue.messages.insert(message.id, message);
        }
    }

    /// Receives a batch: any of what is visible, in any order.
    fn receive(&mut self, now: Timestamp) -> Vec<Message> {
        let most = self.dice.u64(1..=self.queue.batch);
        let mut ids: Vec<u64> = self.queue.messages.values().filter(|m| m.visible <= now).map(|m| m.id).collect();
        self.dice.shuffle(&mut ids);
        let mut batch = Vec::new();
        for id in ids.into_iter().take(usize::try_from(most).unwrap()) {
            let twice = self.chance(self.weather.duplicates);
            let message = self.queue.messages.get_mut(&id).unwrap();
            message.receives += 1;
            if message.receives > MAX_RECEIVES {
                let dead = self.queue.messages.remove(&id).unwrap();
                self.queue.dead.push(dead);
                continue;
            }
            let again =
                if twice && message.receives < MAX_RECEIVES - 1 { Duration::from_millis(40) } else { VISIBILITY };
            message.visible = now + again;
            batch.push(message.clone());
        }
        batch
    }

    /// Puts a part of a scan into the queue of scans, unless that had it within 5 minutes.
    pub(crate) fn enqueue_scan(&mut self, scan: &Scan, entry: Entry, now: Timestamp, hops: u32) {
        let id = format!("{}/{}/{}", entry.as_str(), scan.id, scan.parts);
        let queue = &mut self.queue;
        queue.scan_ids.retain(|_, at| now.duration_since(*at) < SignedDuration::from_mins(5));
        if queue.scan_ids.insert(id, now).is_some() {
            return;
        }
        queue.last_id += 1;
        queue.most_hops = queue.most_hops.max(hops);
        let group = Some(scan.subject.group());
        let message = Message { id: queue.last_id, body: scan.to_json(), hops, visible: now, receives: 0, group };
        if hops > HOPS_MAX && !queue.loops_allowed {
            queue.dropped.push(message);
        } else {
            queue.scans.insert(message.id, message);
        }
    }

    /// Receives the first part of a scan of some group.
    fn receive_scan(&mut self, now: Timestamp) -> Option<Message> {
        loop {
            let first = self.first_scans().find(|message| message.visible <= now)?.id;
            let message = self.queue.scans.get_mut(&first)?;
            message.receives += 1;
            message.visible = now + VISIBILITY;
            if message.receives <= MAX_RECEIVES {
                return Some(message.clone());
            }
            let dead = self.queue.scans.remove(&first)?;
            self.queue.dead.push(dead);
        }
    }

    /// The first message of each group.
    fn first_scans(&self) -> impl Iterator<Item = &Message> {
        let first_of = |group| self.queue.scans.values().find(move |message| message.group == Some(group));
        Group::ALL.into_iter().filter_map(first_of)
    }

    fn next_visible(&self) -> Option<Timestamp> {
        self.queue.messages.values().chain(self.first_scans()).map(|message| message.visible).min()
    }
}

impl Sim {
    /// There may be something in the queue.
    pub(crate) fn ring(&self) {
        self.shared.bell.notify_one();
    }
}

impl WorkQueue for Sim {
    fn has_queue(&self) -> bool {
        self.lock().queue.exists
    }

    async fn send(&self, work: &Work, delay: Duration) -> Result<(), Failure> {
        assert!(delay <= Duration::from_secs(900), "SQS refuses a delay of {delay:?}");
        assert_documented(&serde_json::from_str(&work.to_json()).unwrap());
        let hops = self.hops.load(Ordering::Relaxed) + 1;
        let name = work.stream.name.as_str();
        let sent = self.call(Op::Send, name, "", None, |state, now, _| {
            state.enqueue(work.to_json(), now, delay, hops);
            state.queue.lists.extend(ListSent::of(work));
            Ok(())
        });
        let result = sent.await;
        self.ring();
        result
    }

    fn has_scan_queue(&self) -> bool {
        self.lock().queue.has_scans
    }

    async fn send_scan(&self, scan: &Scan, entry: Entry) -> Result<(), Failure> {
        assert_documented(&serde_json::from_str(&scan.to_json()).unwrap());
        let hops = self.hops.load(Ordering::Relaxed) + 1;
        let sent = self.call(Op::Send, "", "", None, |state, now, _| {
            state.enqueue_scan(scan, entry, now, hops);
            Ok(())
        });
        let result = sent.await;
        self.ring();
        result
    }

    async fn defer_scan(&self, scan: &Scan, delay: Duration) -> Result<(), Failure> {
        assert!(delay <= Duration::from_secs(900), "SQS refuses a delay of {delay:?}");
        assert_documented(&serde_json::from_str(&scan.to_json()).unwrap());
        let hops = self.hops.load(Ordering::Relaxed) + 1;
        let sent = self.call(Op::Send, "", "", None, |state, now, _| {
            state.enqueue(scan.to_json(), now, delay, hops);
            Ok(())
        });
        let result = sent.await;
        self.ring();
        result
    }
}

/// One instance of the function.
struct Instance {
    app: Arc<App<Sim>>,
    world: Sim,
}

/// How one invocation ended.
struct Done {
    /// `None` where the instance was killed.
    instance: Option<Instance>,
    batch: Vec<Message>,
    /// The ids that have to come again; `None`: all.
    failed: Option<Vec<String>>,
}

/// Lambda with its event source mapping.
pub(crate) struct Lambda {
    world: Sim,
    config: Config,
    /// How many invocations at once.
    pub(crate) concurrency: usize,
    idle: Vec<Instance>,
    instances: u32,
    invocations: u32,
    running: JoinSet<Done>,
    /// The next invocation is killed at this await point.
    pub(crate) kill_next_at: Option<u64>,
    /// The first part of a scan that begins is killed at this await point.
    pub(crate) kill_scan_at: Option<u64>,
    /// No instance lives longer than one invocation.
    pub(crate) always_cold: bool,
    /// Invocations that ran into the timeout.
    pub(crate) timeouts: u32,
}

impl Lambda {
    pub(crate) fn new(world: Sim, config: Config) -> Self {
        let concurrency = usize::try_from(config.max_concurrency).unwrap();
        Self {
            world,
            config,
            concurrency,
            idle: Vec::new(),
            instances: 0,
            invocations: 0,
            running: JoinSet::new(),
            kill_next_at: None,
            kill_scan_at: None,
            always_cold: false,
            timeouts: 0,
        }
    }

    /// Invokes the function directly, without the queue; `None` where it was killed.
    pub(crate) async fn invoke(&mut self, payload: &str, timeout: Duration) -> Option<Result<Answer, Unhandled>> {
        let instance = self.free_instance();
        let invocation = self.invocation(timeout);
        let kill_at = self.kill_next_at.take();
        let answer = Killable { inner: Box::pin(instance.app.handle(payload, &invocation)), polls_left: kill_at };
        let answer = tokio::time::timeout(timeout, answer).await.ok().flatten();
        if answer.is_some() {
            self.idle.push(instance);
        }
        answer
    }

    fn invocation(&mut self, timeout: Duration) -> Invocation {
        self.invocations += 1;
        Invocation { id: format!("invocation-{}", self.invocations), deadline: self.world.now() + timeout }
    }

    fn free_instance(&mut self) -> Instance {
        if self.always_cold {
            self.idle.clear();
        }
        // As the process does it: it ends behind the answer.
        self.idle.retain(|instance| !instance.world.have_expired());
        self.idle.pop().unwrap_or_else(|| {
            self.instances += 1;
            let world = self.world.instance(self.instances);
            Instance { app: Arc::new(App::new(world.clone(), self.config.clone())), world }
        })
    }

    /// Polls until nothing is left to do: no message, no invocation, no actor.
    pub(crate) async fn drain(&mut self, actors: &mut JoinSet<()>) {
        let end = self.world.now() + SignedDuration::from_hours(24 * 7);
        loop {
            assert!(self.world.now() < end, "the queue does not empty: {:?}", self.world.lock().queue.messages);
            while self.running.len() < self.concurrency {
                let batch = self.world.with(State::receive);
                if batch.is_empty() {
                    break;
                }
                self.start(batch);
            }
            while let Some(part) = self.world.with(State::receive_scan) {
                self.start(vec![part]);
            }
            let next = self.world.lock().next_visible();
            if next.is_none() && self.running.is_empty() && actors.is_empty() {
                return;
            }
            let now = self.world.now();
            let pause =
                next.map_or(Duration::ZERO, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            let may_receive = next.is_some() && self.running.len() < self.concurrency;
            let bell = Arc::clone(&self.world.shared);
            tokio::select! {
                biased;
                Some(done) = self.running.join_next() => self.finish(done.unwrap()),
                Some(acted) = actors.join_next() => acted.unwrap(),
                () = bell.bell.notified() => {}
                () = tokio::time::sleep(pause + Duration::from_millis(1)), if may_receive => {}
            }
        }
    }

    fn start(&mut self, batch: Vec<Message>) {
        let instance = self.free_instance();
        let invocation = self.invocation(TIMEOUT);
        let spared = batch.iter().any(|message| message.receives >= MAX_RECEIVES - 1);
        instance.world.spared.store(spared, Ordering::Relaxed);
        let hops = batch.iter().map(|message| message.hops).max().unwrap_or_default();
        instance.world.hops.store(hops, Ordering::Relaxed);
        let is_scan = batch.iter().any(|message| message.group.is_some());
        let kill_scan = if is_scan { self.kill_scan_at.take() } else { None };
        let kill_at = kill_scan.or_else(|| self.kill_next_at.take()).or_else(|| {
            let mut state = self.world.lock();
            let kills = state.weather.kills;
            (!spared && state.chance(kills)).then(|| state.dice.u64(1..=KILL_WITHIN))
        });
        let payload = payload(&batch);
        let handling = async move {
            let handled = instance.app.handle(&payload, &invocation);
            let answer = Killable { inner: Box::pin(handled), polls_left: kill_at }.await;
            if answer.is_some() {
                instance.world.lock().bus.ended.insert(invocation.id.clone());
            }
            match answer {
                None => Done { instance: None, batch, failed: None },
                Some(Ok(Answer::Batch(failed))) => Done { instance: Some(instance), batch, failed: Some(failed) },
                Some(Ok(Answer::Direct(_)) | Err(_)) => Done { instance: Some(instance), batch, failed: None },
            }
        };
        let world = self.world.clone();
        self.running.spawn(async move {
            let timed_out = || Done { instance: None, batch: Vec::new(), failed: Some(vec!["timeout".to_owned()]) };
            let done = tokio::time::timeout(TIMEOUT, handling).await.unwrap_or_else(|_| timed_out());
            world.ring();
            done
        });
    }

    fn finish(&mut self, done: Done) {
        let Done { instance, batch, failed } = done;
        let Some(failed) = failed else {
            self.idle.extend(instance);
            return;
        };
        if instance.is_none() {
            self.timeouts += 1;
        }
        self.idle.extend(instance);
        let mut state = self.world.lock();
        for message in batch {
            // SQS may miss a deletion (SQS developer guide, at-least-once delivery).
            let forgotten = message.receives < MAX_RECEIVES - 1 && {
                let duplicates = state.weather.duplicates;
                state.chance(duplicates / 4)
            };
            // Only the latest receipt deletes (SQS API reference, DeleteMessage).
            let queue = if message.group.is_some() { &mut state.queue.scans } else { &mut state.queue.messages };
            let latest = queue.get(&message.id).is_some_and(|m| m.receives == message.receives);
            if latest && (!forgotten || message.group.is_some()) && !failed.contains(&format!("message-{}", message.id))
            {
                queue.remove(&message.id);
            }
        }
    }
}

/// The event that Lambda makes of a batch.
fn payload(batch: &[Message]) -> String {
    let record = |message: &Message| {
        json!({
            "messageId": format!("message-{}", message.id),
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": message.receives.to_string()},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:eu-west-1:111122223333:{}", if message.group.is_some() { "scans.fifo" } else { "work" }),
        })
    };
    json!({"Records": batch.iter().map(record).collect::<Vec<_>>()}).to_string()
}

/// A future that is dropped at its nth await point.
struct Killable<F> {
    inner: Pin<Box<F>>,
    polls_left: Option<u64>,
}

impl<F: Future> Future for Killable<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.polls_left {
            Some(0) => return Poll::Ready(None),
            Some(left) => *left -= 1,
            None => {}
        }
        self.inner.as_mut().poll(context).map(Some)
    }
}
