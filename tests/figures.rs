//! Whether the figures are right: driven by gates, and compared with a clock outside.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parallel_workers::{Context, Processor, ProcessorService, WorkerState};
use support::{Gate, gated};

/// Lets time pass.
fn pass_time(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        thread::yield_now();
    }
}

/// Between these two a figure must be: what was surely seen from outside, and what was possible at most.
#[derive(Default)]
struct Bounds {
    least: Duration,
    most: Duration,
}

#[test]
fn under_a_known_duty_busy_and_idle_time_are_right_within_two_hundredths() {
    // Three parts busy, one part idle, many times; the test holds the gate and the clock.
    let (service, gated) = gated(1);
    let start = Instant::now();
    let mut busy = Bounds::default();
    for turn in 0..40 {
        let outer = Instant::now();
        let promise = service.queue_request(turn);
        gated.gate.wait_for(turn as usize + 1);
        let inner = Instant::now();
        pass_time(Duration::from_millis(9));
        busy.least += inner.elapsed();
        gated.gate.let_one_pass();
        promise.wait().unwrap();
        service.wait_idle();
        while service.status().workers[0].state != WorkerState::Idle {
            thread::yield_now();
        }
        busy.most += outer.elapsed();
        pass_time(Duration::from_millis(3));
    }
    let worker = service.status().workers[0].clone();
    let total = start.elapsed();
    assert_eq!(
        (worker.processed, worker.busy + worker.idle),
        (40, worker.uptime)
    );
    assert!(worker.uptime >= total, "it was started before the clock");
    let slack = |time: Duration| time.mul_f64(0.02);
    assert!(
        worker.busy >= busy.least && worker.busy <= busy.most + slack(busy.most),
        "{worker:?}"
    );
    let mean = worker.mean_process_time() * 40;
    assert!(mean >= busy.least.mul_f64(0.98) && mean <= busy.most + slack(busy.most));
    let duty = busy.least.as_secs_f64() / total.as_secs_f64();
    let most = busy.most.as_secs_f64() / total.as_secs_f64();
    let utilization = worker.utilization();
    let status = service.status();
    assert_eq!((status.respawns(), status.workers.len()), (0, 1));
    assert_eq!(status.mean_process_time(), worker.mean_process_time());
    assert!(status.utilization() <= utilization);
    assert!(
        utilization >= duty - 0.02 && utilization <= most + 0.02,
        "{duty} {utilization} {most}"
    );
}

#[test]
fn the_age_of_the_oldest_request_is_that_of_the_head_of_the_queue() {
    let (service, gated) = gated(1);
    assert_eq!(service.status().oldest, None);
    service.queue_request(0);
    gated.gate.wait_for(1);
    assert_eq!(service.status().oldest, None, "what runs does not wait");
    let before = Instant::now();
    let first = service.queue_request(1);
    let queued = Instant::now();
    pass_time(Duration::from_millis(5));
    let worker = service.worker_named("worker-0").unwrap();
    let second = worker.assign(2);
    let assigned = Instant::now();
    let oldest = |from: Instant, to: Instant| {
        let least = to.elapsed();
        let oldest = service.status().oldest.expect("something waits");
        assert!(least <= oldest && oldest <= from.elapsed(), "{oldest:?}");
    };
    oldest(before, queued);
    // The head goes, and the next one is the oldest.
    first.abort();
    oldest(queued, assigned);
    // What was assigned keeps its age when its worker leaves.
    worker.remove();
    oldest(queued, assigned);
    second.abort();
    assert_eq!(service.status().oldest, None);
    gated.gate.open();
}

#[test]
fn a_request_that_hangs_is_seen_with_its_id_and_its_time() {
    let (service, gated) = gated(2);
    let hangs = service.queue_request(1);
    gated.gate.wait_for(1);
    let seen = Instant::now();
    pass_time(Duration::from_millis(2));
    let least = seen.elapsed();
    let workers = service.workers();
    let mut held = workers.iter().flat_map(|worker| &worker.requests);
    let request = held.next().expect("one is held");
    assert_eq!((request.id, held.next()), (hangs.id(), None));
    assert!(request.running >= least);
    let holder = hangs.worker().unwrap();
    assert!(
        workers
            .iter()
            .all(|worker| (worker.state == WorkerState::Busy) == (worker.id == holder))
    );
    gated.gate.open();
    service.wait_idle();
    assert!(
        service
            .workers()
            .iter()
            .all(|worker| worker.requests.is_empty())
    );
}

/// Counts what it is asked, once its maker has said that it is made.
struct Late(Arc<AtomicUsize>);

impl Processor for Late {
    type Request = u32;
    type Output = usize;

    fn process(&mut self, _: &u32, _: &Context<'_>) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn the_factory_is_each_workers_start_job_and_runs_before_any_request() {
    let made = Arc::new(AtomicUsize::new(0));
    let gate = Gate::new();
    let (count, inner) = (Arc::clone(&made), gate.clone());
    thread::scope(|scope| {
        let starting = scope.spawn(move || {
            ProcessorService::start(3, move || {
                inner.pass();
                count.fetch_add(1, Ordering::SeqCst);
                Late(Arc::clone(&count))
            })
        });
        gate.wait_for(3);
        assert!(!starting.is_finished());
        gate.open();
        let service = starting.join().unwrap().unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 3);
        assert_eq!(service.queue_request(1).wait(), Ok(&3));
        service.add_workers(1).unwrap();
        assert_eq!(service.queue_request(1).wait(), Ok(&4));
    });
}

#[test]
fn reading_the_status_all_the_time_stops_nobody() {
    let (service, gated) = gated(2);
    gated.gate.open();
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while done.load(Ordering::SeqCst) == 0 {
                let status = service.status();
                let settled = status.settled.total();
                assert!(settled >= last && status.workers.len() == 2);
                last = settled;
            }
        });
        let set = service.queue_requests(0..20_000);
        assert_eq!(set.wait_for_all().len(), 20_000);
        done.store(1, Ordering::SeqCst);
        reader.join().unwrap();
    });
}
