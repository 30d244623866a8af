//! Everything that callers and workers do, once: for those who want to see that they may.

use std::time::Duration;

use async_nats::ConnectOptions;
use parallel_workers::nats::{self, Connection, Queue};
use parallel_workers::{Abort, Failure};

use crate::crew::{self, Caller, Run, at, outcome, output, worker};
use crate::door::Door;
use crate::nats::wait_until;
use crate::watch::Watch;

/// How the creator, the caller, the worker and the watcher come to a server.
pub(crate) struct Site<'a> {
    pub(crate) url: String,
    pub(crate) connect: &'a dyn Fn(&str) -> Connection,
    pub(crate) options: &'a dyn Fn(&str) -> ConnectOptions,
    /// What subjects begin with on which workers are answered.
    pub(crate) inbox: &'static str,
}

impl Site<'_> {
    fn watch(&self, subjects: &str) -> Watch {
        let watch = Watch::start_as((self.options)("watcher"), &self.url, subjects);
        watch.catch_up();
        watch
    }

    fn wait_for_requests(&self, queue: &Queue, many: u64) {
        wait_until("so many requests", || {
            let status = nats::status(&(self.connect)("watcher"), queue);
            let status = status.map_err(|error| error.to_string())?;
            if status.requests == many {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
    }
}

pub(crate) fn do_everything(site: &Site<'_>) {
    let queue = Queue::named("thumbnails")
        .storage(1 << 20)
        .lease(Duration::from_secs(1))
        .max_starts(2);
    // Who creates it has nothing to do with it then.
    drop(crew::caller(&(site.connect)("creator"), &queue));
    let door = Door::new();
    let callers = [(); 2].map(|()| crew::caller(&(site.connect)("caller"), &queue));
    abort_what_is_queued(site, &queue, &callers[0]);
    lose_a_worker(site, &queue, &callers[0], &door);
    join_and_abort(site, &queue, &callers, &door);
    site.wait_for_requests(&queue, 0);
}

/// Nobody has it yet.
fn abort_what_is_queued(site: &Site<'_>, queue: &Queue, caller: &Caller) {
    let queued = caller.queue_request(1);
    site.wait_for_requests(queue, 1);
    let _ = queued.abort();
    assert_eq!(outcome(&queued).unwrap_err(), Failure::Aborted);
    site.wait_for_requests(queue, 0);
}

/// Takes a request from the queue, and is never heard of again; its submission.
fn take(site: &Site<'_>, worker: &mut Watch) -> String {
    let next = "$JS.API.CONSUMER.MSG.NEXT.pw_thumbnails_REQUESTS.workers";
    let reply = format!("{}.lost.1", site.inbox);
    worker.tell(next, reply, r#"{"batch":1,"expires":60000000000}"#);
    let taken = worker.wait_for(|message| message.reply.is_some());
    let (submission, _) = str::from_utf8(&taken.payload)
        .unwrap()
        .split_once('\n')
        .unwrap();
    submission.to_owned()
}

/// One request is begun by another worker, and one that was begun too often is set aside.
fn lose_a_worker(site: &Site<'_>, queue: &Queue, caller: &Caller, door: &Door) {
    let inbox = format!("{}.lost.*", site.inbox);
    let mut lost = Watch::start_as((site.options)("worker"), &site.url, &inbox);
    let begun = caller.queue_request(2);
    take(site, &mut lost);
    let dead = caller.queue_request(3);
    let submission = take(site, &mut lost);
    let heads = [("Pw-Status", "started"), ("Pw-Starts", "2")];
    lost.ask(&format!("pw.thumbnails.r.{submission}"), &heads, "");
    // As if there were something to sweep, which only some servers have after a crash.
    let purge = "$JS.API.STREAM.PURGE.pw_thumbnails_REQUESTS";
    let purged = lost.ask(purge, &[], r#"{"seq":1}"#);
    assert!(String::from_utf8_lossy(&purged.payload).contains("\"success\":true"));
    let machine = worker(&(site.connect)("worker"), queue, 1, door);
    door.wait_for(at(1, 2), 1);
    door.let_in(at(1, 2));
    assert_eq!(output(&begun).who, 1);
    let failure = outcome(&dead).unwrap_err();
    assert!(matches!(failure, Failure::Poisoned { .. }), "{failure:?}");
    machine.stop();
}

/// Two callers share a run, one of them leaves, and the other wants it no more either.
fn join_and_abort(site: &Site<'_>, queue: &Queue, callers: &[Caller; 2], door: &Door) {
    let mut joins = site.watch("pw.thumbnails.join.*");
    let mut aborts = site.watch("pw.thumbnails.abort");
    let machine = worker(&(site.connect)("worker"), queue, 1, door);
    let mut share = |number| {
        let own = callers[0].queue_request(number);
        door.wait_for(at(1, number), 1);
        let joined = callers[1].queue_request(number);
        joins.wait_for(|message| message.payload.starts_with(b"+"));
        [own, joined]
    };
    let shared = share(4);
    door.let_in(at(1, 4));
    let runs: [Run; 2] = shared.map(|promise| output(&promise));
    assert_eq!(runs[0], runs[1]);
    let [own, joined] = share(5);
    assert_eq!(joined.abort(), Abort::Running);
    assert_eq!(outcome(&joined).unwrap_err(), Failure::Aborted);
    assert_eq!(own.abort(), Abort::Running);
    aborts.wait_for(|_| true);
    door.let_in(at(1, 5));
    assert_eq!(output(&own).who, 1);
    machine.stop();
}
