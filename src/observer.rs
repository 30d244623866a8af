//! Who watches a service: subscribers of its events, and meters.
//!
//! While nobody does, every step costs one look at a flag that hardly ever changes. Where somebody does, clocks are
//! read at each step, and he is told with no lock held.

use std::time::{Duration, Instant};

use crate::event::{Event, Outcome};
use crate::events::{Events, Inbox};
use crate::meters::Meters;
use crate::record::WorkerRecord;
use crate::request_id::RequestId;
use crate::status::WorkerId;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{self, Arc, Mutex};
use crate::trace::Trace;

#[derive(Debug)]
pub(crate) struct Observer {
    has_subscribers: AtomicBool,
    subscribers: Mutex<Vec<Arc<Inbox>>>,
    meters: Meters,
}

impl Observer {
    /// For the service of this name.
    pub(crate) fn new(service: &str) -> Self {
        Self::with(Meters::new(service))
    }

    /// For what is no service.
    pub(crate) fn nobody() -> Self {
        Self::with(Meters::none())
    }

    fn with(meters: Meters) -> Self {
        Self {
            has_subscribers: AtomicBool::new(false),
            subscribers: Mutex::default(),
            meters,
        }
    }

    /// Whether anybody watches.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        Meters::IS_ON || Trace::IS_ON || self.has_subscribers()
    }

    /// The time, if anybody wants to know.
    #[inline]
    pub(crate) fn now(&self) -> Option<Instant> {
        self.is_on().then(sync::now)
    }

    pub(crate) fn subscribe(&self, capacity: usize) -> Events {
        let inbox = Inbox::new(capacity);
        let mut subscribers = self.subscribers.lock();
        subscribers.push(Arc::clone(&inbox));
        // ORDERING: written under the lock only. Whoever queues a request after this call takes the inbox's
        // lock, as does whoever brings it to its worker, so that the worker sees this.
        self.has_subscribers.store(true, Ordering::Relaxed);
        drop(subscribers);
        Events::new(inbox)
    }

    /// Nothing more will happen.
    pub(crate) fn close(&self) {
        let subscribers = std::mem::take(&mut *self.subscribers.lock());
        subscribers.iter().for_each(|inbox| inbox.close());
    }

    /// A request came into the queue.
    pub(crate) fn queued(&self) {
        self.meters.queued();
    }

    /// It left the queue again, as if it had never come.
    pub(crate) fn refused(&self) {
        self.meters.refused();
    }

    /// A request joined an equal one.
    pub(crate) fn coalesced(&self) {
        self.meters.coalesced();
    }

    /// A worker begins a request.
    pub(crate) fn started(&self, request: RequestId, worker: &WorkerRecord, waited: Duration) {
        self.meters.started(waited);
        if self.has_subscribers() {
            self.tell(Event::Started {
                request,
                worker: worker.id,
                name: Arc::clone(&worker.name),
                waited,
            });
        }
    }

    /// A run has ended. `waited`: of one that never began. Gives how long it ran, if it did.
    pub(crate) fn settled(
        &self,
        request: RequestId,
        outcome: Outcome,
        worker: Option<&WorkerRecord>,
        waited: Option<Duration>,
    ) -> Option<Duration> {
        let held = worker.and_then(|worker| {
            let held = worker.held.find(request)?;
            let ran = worker.nanos().saturating_sub(held.since);
            Some((Duration::from_nanos(held.waited), Duration::from_nanos(ran)))
        });
        let ran = held.map(|(_, ran)| ran);
        self.meters.settled(outcome, ran);
        if self.has_subscribers() {
            self.tell(Event::Settled {
                request,
                outcome,
                worker: worker.map(|worker| worker.id),
                name: worker.map(|worker| Arc::clone(&worker.name)),
                waited: held.map(|(waited, _)| waited).or(waited),
                ran,
            });
        }
        ran
    }

    pub(crate) fn worker_started(&self, worker: &WorkerRecord) {
        self.tell_of(worker, |worker, name| Event::WorkerStarted { worker, name });
    }

    pub(crate) fn worker_respawned(&self, worker: &WorkerRecord) {
        self.meters.respawned();
        self.tell_of(worker, |worker, name| Event::WorkerRespawned {
            worker,
            name,
        });
    }

    pub(crate) fn worker_lost(&self, worker: &WorkerRecord) {
        self.tell_of(worker, |worker, name| Event::WorkerLost { worker, name });
    }

    pub(crate) fn worker_left(&self, worker: &WorkerRecord) {
        self.tell_of(worker, |worker, name| Event::WorkerLeft { worker, name });
    }

    fn tell_of(&self, worker: &WorkerRecord, event: impl FnOnce(WorkerId, Arc<str>) -> Event) {
        // Of spare workers nobody is told, but of what they do.
        if self.has_subscribers() && !worker.is_spare() {
            self.tell(event(worker.id, Arc::clone(&worker.name)));
        }
    }

    #[inline]
    fn has_subscribers(&self) -> bool {
        self.has_subscribers.load(Ordering::Relaxed)
    }

    fn tell(&self, event: Event) {
        let mut subscribers = self.subscribers.lock();
        subscribers.retain(|inbox| !inbox.is_closed());
        if subscribers.is_empty() {
            self.has_subscribers.store(false, Ordering::Relaxed);
        }
        let inboxes = subscribers.clone();
        // LOCK: released before wakers, which are foreign, are woken.
        drop(subscribers);
        inboxes.iter().for_each(|inbox| inbox.put(event.clone()));
    }
}
