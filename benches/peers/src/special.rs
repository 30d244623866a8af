//! What is measured within a run: joins, latency, scheduling, aborts, sets, memory.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ahash::RandomState;
use dashmap::DashMap;
use parallel_workers::{Context, ProcessorService, PromiseSet, processor_fn};

use crate::case::{Case, Goal, each, measured};
use crate::cases::{spin, triples};
use crate::memory::clear_up;
use crate::ours::start;

pub fn all() -> Vec<Case> {
    let mut all = vec![join()];
    all.extend(
        [
            ("latency p50", 0.5),
            ("latency p99", 0.99),
            ("latency p99.9", 0.999),
        ]
        .map(latency),
    );
    all.extend(
        [
            ("grain 1", 1, 0.90),
            ("grain 10", 10, 0.98),
            ("grain 100", 100, 0.99),
        ]
        .map(grain),
    );
    all.extend([uneven("uneven, late", 999), uneven("uneven, early", 0)]);
    all.extend([callers(), abort(), growth(), set()]);
    all
}

fn with_goal(mut case: Case, ours: &'static str, at_most: f64, of: &'static str) -> Case {
    case.goals.push(Goal::ratio(ours, at_most, of));
    case
}

fn join() -> Case {
    let ours = measured("ours", |n| {
        let (open, gate) = mpsc::sync_channel::<()>(0);
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let service = ProcessorService::start(1, move || {
            let gate = Arc::clone(&gate);
            processor_fn(move |n: &u64, _: &Context<'_>| {
                let _ = gate.lock().map(|gate| gate.recv());
                *n
            })
        });
        let service = service.expect("the service starts");
        let first = service.queue_request(7);
        while service.status().running == 0 {
            thread::yield_now();
        }
        let mut joined = Vec::with_capacity(n as usize);
        let begin = Instant::now();
        joined.extend((0..n).map(|_| service.queue_request(7)));
        let nanos = each(begin, n);
        drop(open);
        first.wait().expect("nothing fails here");
        (joined.len() as u64, nanos)
    });
    let dashmap = measured("dashmap hit, Arc clone", |n| {
        let table: DashMap<u64, Arc<AtomicU64>, RandomState> = DashMap::default();
        table.insert(7, Arc::default());
        let mut joined = Vec::with_capacity(n as usize);
        let begin = Instant::now();
        joined.extend((0..n).filter_map(|_| table.get(&7).map(|found| Arc::clone(&found))));
        let nanos = each(begin, n);
        (joined.len() as u64, nanos)
    });
    let case = Case::new(
        "join",
        "requests equal to one that runs",
        1_000_000,
        vec![dashmap, ours],
    );
    with_goal(case, "ours", 1.5, "dashmap hit, Arc clone")
}

fn percentile(mut nanos: Vec<u128>, part: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * part) as usize] as f64
}

fn latency((name, part): (&'static str, f64)) -> Case {
    let time = |n: u64, part: f64, mut round_trip: Box<dyn FnMut(u64)>| {
        let nanos = (0..n).map(|request| {
            let begin = Instant::now();
            round_trip(request);
            begin.elapsed().as_nanos()
        });
        (n, percentile(nanos.collect(), part))
    };
    let ours = measured("ours", move |n| {
        let service = start(1, |n: &u64| *n);
        time(
            n,
            part,
            Box::new(move |request| {
                service
                    .queue_request(request)
                    .wait()
                    .expect("nothing fails here");
            }),
        )
    });
    let channels = measured("two mpsc channels", move |n| {
        let (ask, asked) = mpsc::channel::<u64>();
        let (answer, answered) = mpsc::channel();
        thread::spawn(move || {
            asked
                .iter()
                .for_each(|n| answer.send(n).expect("somebody listens"))
        });
        time(
            n,
            part,
            Box::new(move |request| {
                ask.send(request).expect("there is a worker");
                answered.recv().expect("there is a worker");
            }),
        )
    });
    let case = Case::new(
        name,
        "one request at a time, queue to wait",
        20_000,
        vec![channels, ours],
    );
    with_goal(case, "ours", 0.25, "two mpsc channels")
}

/// Two threads that take the next job from a shared counter: the best list schedule.
fn list_schedule(n: u64, job: fn(u64)) -> f64 {
    let next = AtomicU64::new(0);
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|index| *index < n)
                {
                    job(index);
                }
            });
        }
    });
    each(begin, n)
}

/// The same on two workers, all queued before they begin.
fn queued_before(n: u64, job: fn(u64)) -> f64 {
    let builder = ProcessorService::builder().workers(2).paused(true);
    let service = builder.start(move || processor_fn(move |n: &u64, _: &Context<'_>| job(*n)));
    let service = service.expect("the service starts");
    let promises: Vec<_> = (0..n)
        .map(|request| service.queue_request(request))
        .collect();
    let begin = Instant::now();
    service.resume();
    service.wait_idle();
    let nanos = each(begin, n);
    drop(promises);
    nanos
}

fn grain((name, micros, efficiency): (&'static str, u64, f64)) -> Case {
    let job: fn(u64) = match micros {
        1 => |_| spin(Duration::from_micros(1)),
        10 => |_| spin(Duration::from_micros(10)),
        _ => |_| spin(Duration::from_micros(100)),
    };
    let contenders = vec![
        measured("ideal", move |n| (n, list_schedule(n, job))),
        measured("ours", move |n| (n, queued_before(n, job))),
    ];
    let case = Case::new(
        name,
        "equal jobs of so many microseconds, 2 workers",
        400_000 / micros,
        contenders,
    );
    with_goal(case, "ours", 1.0 / efficiency, "ideal")
}

/// 1 in 1,000 jobs takes 1,000 times longer: the first of each thousand, or the last.
fn uneven(name: &'static str, slow: u64) -> Case {
    fn job<const SLOW: u64>(index: u64) {
        spin(Duration::from_nanos(if index % 1_000 == SLOW {
            1_000_000
        } else {
            1_000
        }));
    }
    let job: fn(u64) = if slow == 0 { job::<0> } else { job::<999> };
    let contenders = vec![
        measured("list schedule", move |n| (n, list_schedule(n, job))),
        measured("ours", move |n| (n, queued_before(n, job))),
    ];
    let case = Case::new(
        name,
        "1 in 1,000 jobs takes 1,000 times longer",
        100_000,
        contenders,
    );
    with_goal(case, "ours", 1.03, "list schedule")
}

fn callers() -> Case {
    let run = |callers: u64| {
        move |n: u64| {
            let service = start(2, |n: &u64| *n);
            let begin = Instant::now();
            thread::scope(|scope| {
                for caller in 0..callers {
                    let service = &service;
                    scope.spawn(move || {
                        let set = PromiseSet::new();
                        let own = (0..n).skip(caller as usize).step_by(callers as usize);
                        own.for_each(|request| set.insert(service.queue_request(request)));
                        set.wait_for_all()
                    });
                }
            });
            (n, each(begin, n))
        }
    };
    let contenders = vec![
        measured("ours, 1 caller", run(1)),
        measured("ours, 2 callers", run(2)),
        measured("ours, 8 callers", run(8)),
        measured("ours, 64 callers", run(64)),
    ];
    let mut case = Case::new(
        "callers",
        "distinct requests of several callers at once",
        500_000,
        contenders,
    );
    for ours in ["ours, 2 callers", "ours, 8 callers", "ours, 64 callers"] {
        case = with_goal(case, ours, 1.3, "ours, 1 caller");
    }
    case
}

fn abort() -> Case {
    let run = |divide: u64| {
        move |n: u64| {
            let builder = ProcessorService::builder().workers(1).paused(true);
            let service = builder.start(|| processor_fn(|n: &u64, _: &Context<'_>| *n));
            let service = service.expect("the service starts");
            let few = n / divide;
            let promises: Vec<_> = (0..few)
                .map(|request| service.queue_request(request))
                .collect();
            let begin = Instant::now();
            promises
                .iter()
                .rev()
                .for_each(|promise| _ = promise.abort());
            (n, each(begin, few))
        }
    };
    let contenders = vec![measured("ours, a tenth", run(10)), measured("ours", run(1))];
    let case = Case::new(
        "abort",
        "queued, then all aborted in reverse",
        1_000_000,
        contenders,
    );
    let mut case = with_goal(case, "ours", 1.3, "ours, a tenth");
    case.goals.push(Goal::units("ours", 150.0));
    case
}

fn growth() -> Case {
    let run = |divide: u64| {
        move |n: u64| {
            let few = n / divide;
            let begin = Instant::now();
            assert_eq!(
                crate::ours::one_by_one(0..few, |n| n.wrapping_mul(3)),
                triples(few)
            );
            clear_up();
            (n, each(begin, few))
        }
    };
    let contenders = vec![
        measured("ours, 10,000", run(1_000)),
        measured("ours, 100,000", run(100)),
        measured("ours, 1,000,000", run(10)),
        measured("ours, 10,000,000", run(1)),
    ];
    let case = Case::new(
        "growth",
        "distinct requests, ten, a hundred and a thousand times as many",
        10_000_000,
        contenders,
    );
    with_goal(case, "ours, 10,000,000", 1.3, "ours, 100,000")
}

fn set() -> Case {
    let settled = |n: u64| {
        let service = start(2, |n: &u64| *n);
        let set = service.queue_requests(0..n);
        service.wait_idle();
        set
    };
    let select = |divide: u64| {
        move |n: u64| {
            let few = n / divide;
            let set = settled(few);
            let begin = Instant::now();
            let yielded = set.select().count() as u64;
            (yielded * divide, each(begin, few))
        }
    };
    // As many insertions as selections, so there are two steps for each promise.
    let insert = |divide: u64| {
        move |n: u64| {
            let few = n / divide;
            let promises = settled(few).wait_for_all();
            let set = PromiseSet::new();
            let mut yielded = 0;
            let begin = Instant::now();
            for promise in promises {
                set.insert(promise);
                yielded += u64::from(set.try_select().is_some());
            }
            (yielded * divide, each(begin, 2 * few))
        }
    };
    let contenders = vec![
        measured("ours, select, a tenth", select(10)),
        measured("ours, select", select(1)),
        measured("ours, insert while selecting, a tenth", insert(10)),
        measured("ours, insert while selecting", insert(1)),
    ];
    let mut case = Case::new(
        "set",
        "promises that have settled; a step each: a selection, or an insertion or selection in turn",
        1_000_000,
        contenders,
    );
    let all = [
        ("ours, select", "ours, select, a tenth"),
        (
            "ours, insert while selecting",
            "ours, insert while selecting, a tenth",
        ),
    ];
    for (ours, tenth) in all {
        case = with_goal(case, ours, 1.3, tenth);
        case.goals.push(Goal::units(ours, 60.0));
    }
    case
}
