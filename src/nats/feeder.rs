//! What feeds a service from a cluster's queue: it asks for requests, hands them to the service, and stores what comes of them.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_nats::{Event, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::handle::Handle;
use crate::nats::appetite::{Appetite, TICK};
use crate::nats::codec::Codec;
use crate::nats::connection::Connection;
use crate::nats::error::NatsError;
use crate::nats::finished::Finished;
use crate::nats::held::{Held, Stage};
use crate::nats::link::{Events, Link, Outbox, heard, number_of};
use crate::nats::look::Unknown;
use crate::nats::message::{Answer, Stored};
use crate::nats::orphans;
use crate::nats::pull::Pull;
use crate::nats::queue::Queue;
use crate::nats::recent::Recent;
use crate::nats::slots::Slots;
use crate::nats::submission::Name;
use crate::processor::Processor;
use crate::sync::now;

/// How often it is looked for what the server has forgotten that it is done.
const SWEEP: Duration = Duration::from_secs(30);
/// For how long it takes leave of the server.
const FAREWELL: Duration = Duration::from_secs(1);

/// Feeds one service, on a thread of its own.
pub(crate) struct Feeder<P: Processor> {
    pub(crate) link: Link,
    events: Events,
    pub(crate) outbox: Outbox,
    pub(crate) handle: Handle<P>,
    pub(crate) codec: Codec,
    pub(crate) lease: Duration,
    pub(crate) most_starts: u32,
    /// Where acknowledgements come, with a place behind it.
    pub(crate) inbox: String,
    /// The numbers of what is held whose acknowledgements are to come there.
    pub(crate) asked: Slots<u64>,
    acknowledgements: Subscriber,
    deliveries: Subscriber,
    aborts: Subscriber,
    finished: mpsc::UnboundedReceiver<(u64, Finished)>,
    pub(crate) finishing: mpsc::UnboundedSender<(u64, Finished)>,
    pub(crate) held: HashMap<u64, Held<P::Request, P::Output>, ahash::RandomState>,
    /// What is held, by the name of its submission.
    pub(crate) names: HashMap<Name, u64, ahash::RandomState>,
    next: u64,
    /// What is to be handed to the service, in this order.
    pub(crate) ready: VecDeque<u64>,
    /// What is to be alone when it is begun.
    pub(crate) suspects: VecDeque<u64>,
    /// Since when the first of these waits for the others to end, or runs.
    pub(crate) alone_since: Option<Instant>,
    /// How many the service has.
    pub(crate) fed: usize,
    pub(crate) recent: Recent,
    pub(crate) tasks: JoinSet<Learned>,
    pub(crate) appetite: Appetite,
    pull: Pull,
    stop: oneshot::Receiver<()>,
    /// Since when it takes no more.
    pub(crate) leaving: Option<Instant>,
    tick: Pin<Box<tokio::time::Sleep>>,
    next_heartbeat: Instant,
    next_sweep: Instant,
    /// Whether somebody asks the server for it.
    pub(crate) asks_for_idlers: bool,
}

/// What a task has found out.
#[derive(Debug)]
pub(crate) enum Learned {
    /// What is stored on the subject of a result.
    Answer(u64, Result<Option<(u64, Answer)>, Unknown>),
    /// How many workers wait for requests.
    Idlers(usize),
    Swept,
}

/// What a feeder is made of.
pub(crate) struct Terms<P: Processor> {
    pub(crate) handle: Handle<P>,
    pub(crate) workers: usize,
    pub(crate) name: String,
    pub(crate) stop: oneshot::Receiver<()>,
}

impl<P: Processor> Feeder<P>
where
    P::Request: DeserializeOwned,
    P::Output: Serialize,
{
    pub(crate) async fn connect(
        connection: &Connection,
        queue: &Queue,
        terms: Terms<P>,
    ) -> Result<Self, NatsError> {
        let (link, mut events) = Link::connect(connection, queue, &terms.name).await?;
        let inbox = link.client.new_inbox();
        let (finishing, finished) = mpsc::unbounded_channel();
        let acknowledgements = link.subscribe(format!("{inbox}.a.*")).await?;
        let deliveries = link.subscribe(format!("{inbox}.p.*")).await?;
        let aborts = link.subscribe(link.names.aborts()).await?;
        link.has_heard(&mut events).await?;
        let time = now();
        Ok(Self {
            acknowledgements,
            deliveries,
            aborts,
            outbox: Outbox::new(link.client.clone()),
            link,
            events,
            handle: terms.handle,
            codec: queue.codec,
            lease: queue.lease,
            most_starts: queue.starts,
            pull: Pull::new(format!("{inbox}.p"), time),
            inbox,
            asked: Slots::new(),
            finished,
            finishing,
            held: HashMap::default(),
            names: HashMap::default(),
            next: 1,
            ready: VecDeque::new(),
            suspects: VecDeque::new(),
            alone_since: None,
            fed: 0,
            recent: Recent::default(),
            tasks: JoinSet::new(),
            appetite: Appetite::new(terms.workers),
            stop: terms.stop,
            leaving: None,
            tick: Box::pin(tokio::time::sleep(TICK)),
            next_heartbeat: time + queue.lease / 3,
            next_sweep: time,
            asks_for_idlers: false,
        })
    }

    /// Works until it is stopped and everything that it holds has ended, or was given back.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        // What was delivered to nobody any more is given back, too, and not left to its lease.
        let _ = tokio::time::timeout(FAREWELL, self.give_back_the_last()).await;
        // That they have not begun is on its way to be written down.
        let left: Vec<u64> = self.held.keys().copied().collect();
        left.into_iter()
            .for_each(|number| self.let_go(number, b"-NAK"));
        self.outbox.flush(FAREWELL).await;
    }

    async fn give_back_the_last(&mut self) {
        if self.deliveries.drain().await.is_ok() {
            while let Some(message) =
                poll_fn(|cx| Pin::new(&mut self.deliveries).poll_next(cx)).await
            {
                self.delivered(message);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.hear_of_stop(cx);
        while let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            if let Event::Connected = event {
                self.reconnected();
            }
        }
        while let Poll::Ready(Some((number, finished))) = self.finished.poll_recv(cx) {
            self.appetite.count();
            self.finish(number, finished);
        }
        while let Some(message) = heard(&mut self.acknowledgements, cx) {
            let place = number_of(&message).and_then(|place| usize::try_from(place).ok());
            if let Some(number) = place.and_then(|place| self.asked.take(place)) {
                self.stored(number, Stored::read(&message));
            }
        }
        while let Some(message) = heard(&mut self.aborts, cx) {
            self.abort(&message);
        }
        while let Some(message) = heard(&mut self.deliveries, cx) {
            self.delivered(message);
        }
        while let Poll::Ready(Some(done)) = self.tasks.poll_join_next(cx) {
            if let Ok(learned) = done {
                self.learn(learned);
            }
        }
        self.feed();
        if self.has_left() {
            let _ = self.outbox.poll_send(cx);
            return Poll::Ready(());
        }
        self.ask();
        self.look_at_the_clock(cx);
        let _ = self.outbox.poll_send(cx);
        Poll::Pending
    }

    fn hear_of_stop(&mut self, cx: &mut Context<'_>) {
        // Whoever may stop it is gone: that is a stop, too.
        if self.leaving.is_none() && Pin::new(&mut self.stop).poll(cx).is_ready() {
            self.leaving = Some(now());
            self.give_back_all();
        }
    }

    /// Whether it is done. What the server does not acknowledge in time is delivered to others anyway.
    fn has_left(&self) -> bool {
        let Some(since) = self.leaving else {
            return false;
        };
        let is_late = now().saturating_duration_since(since) > self.lease;
        self.held.is_empty() || (is_late && self.fed == 0)
    }

    fn reconnected(&mut self) {
        self.pull.forget();
        self.next_heartbeat = now();
        self.next_sweep = now();
        self.store_all_again();
    }

    /// Something was delivered, or the server says something of a question.
    fn delivered(&mut self, message: Message) {
        let time = now();
        if !self.pull.hear(&message, time) {
            return;
        }
        let receipt = message.reply.clone();
        let Some(held) = Held::new(message, time) else {
            // It is no request, and will not become one.
            if let Some(receipt) = receipt {
                let term = Bytes::from_static(b"+TERM");
                self.outbox.push(receipt, None, None, term);
            }
            return;
        };
        if let Some(known) = self.names.get(&held.submission)
            && let Some(known) = self.held.get_mut(known)
        {
            // Its heartbeats were late, and it goes on. From now on it is acknowledged as the new delivery.
            known.receipt = held.receipt;
            known.delivery = held.delivery;
            return;
        }
        if self.held.is_empty() {
            // It may have been asleep for longer than a lease is.
            self.tick
                .as_mut()
                .reset(tokio::time::Instant::from_std(now() + TICK));
        }
        let number = self.next;
        self.next += 1;
        self.names.insert(held.submission.clone(), number);
        self.held.insert(number, held);
        self.accept(number);
    }

    /// Asks for more, where there is need of more.
    fn ask(&mut self) {
        if self.leaving.is_some() || !self.suspects.is_empty() {
            return;
        }
        let waiting = self.waiting();
        if waiting == 0 && self.pull.take_satisfied() {
            self.appetite.starve();
        }
        let room = self.appetite.room(waiting, self.pull.open());
        self.pull.ask(&self.link, &mut self.outbox, room, now());
    }

    /// How many have not begun.
    fn waiting(&self) -> usize {
        self.ready.len() + self.handle.home.queue.status().queued
    }

    fn look_at_the_clock(&mut self, cx: &mut Context<'_>) {
        while self.tick.as_mut().poll(cx).is_ready() {
            let time = now();
            let pause = if self.held.is_empty() {
                TICK * 25
            } else {
                TICK
            };
            self.tick
                .as_mut()
                .reset(tokio::time::Instant::from_std(now() + pause));
            self.appetite.tick(self.waiting());
            self.pull.look(time);
            self.look_for_idlers(time);
            self.store_what_is_due(time);
            if time >= self.next_heartbeat {
                self.next_heartbeat = time + self.lease / 3;
                self.extend_leases();
            }
            if time >= self.next_sweep {
                self.next_sweep = time + SWEEP;
                let link = self.link.clone();
                self.tasks.spawn(async move {
                    orphans::sweep(&link).await;
                    Learned::Swept
                });
            }
            cx.waker().wake_by_ref();
        }
    }

    /// Says of everything that is held that it still is.
    fn extend_leases(&mut self) {
        for held in self.held.values() {
            let receipt = held.receipt.clone();
            self.outbox
                .push(receipt, None, None, Bytes::from_static(b"+WPI"));
        }
    }

    /// It is held no more, and the server is told so.
    pub(crate) fn let_go(&mut self, number: u64, word: &'static [u8]) {
        if let Some(receipt) = self.forget(number) {
            self.outbox
                .push(receipt, None, None, Bytes::from_static(word));
        }
    }

    /// It is held no more. Gives where that could be told.
    pub(crate) fn forget(&mut self, number: u64) -> Option<Subject> {
        let held = self.held.remove(&number)?;
        if let Stage::Fed(_) = held.stage {
            self.fed -= 1;
        }
        self.names.remove(&held.submission);
        Some(held.receipt)
    }
}
