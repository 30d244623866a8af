//! What is measured: requests of several kinds, the same for everybody.

use std::time::{Duration, Instant};

use crate::case::{Case, Contender, Goal, timed};
use crate::{awaiting, floor, memory, ours, processes, special, threads, tokio_peers};

pub fn all() -> Vec<Case> {
    let mut all = vec![distinct(), strings(), shared()];
    all.extend(special::all());
    all.extend([awaiting::ready(), awaiting::timers()]);
    all.push(memory::case());
    all.push(memory::waiting());
    all.extend(processes::all());
    all
}

fn triple(n: &u64) -> u64 {
    n.wrapping_mul(3)
}

pub fn triples(n: u64) -> u64 {
    (0..n).fold(0, |sum, n| sum.wrapping_add(triple(&n)))
}

fn distinct() -> Case {
    type Numbers = std::ops::Range<u64>;
    type Run = fn(Numbers, fn(&u64) -> u64) -> u64;
    let runs: [(&'static str, Run); 12] = [
        ("ours", ours::one_by_one),
        ("ours, bulk", ours::bulk),
        ("flume + dashmap, by hand", threads::by_hand),
        ("rayon + dashmap", threads::rayon_dashmap),
        ("crossbeam-channel (no sharing)", threads::crossbeam),
        ("threadpool (no sharing)", threads::threadpool),
        ("rusty_pool (no sharing)", threads::rusty_pool),
        ("tokio JoinSet (no sharing)", tokio_peers::join_set),
        (
            "tokio spawn_blocking (no sharing)",
            tokio_peers::spawn_blocking,
        ),
        ("futures Shared", tokio_peers::shared),
        ("moka sync on rayon", threads::moka_rayon),
        ("moka future on tokio", tokio_peers::moka_future),
    ];
    let mut contenders = vec![timed("floor", |n| floor::run(0..n, triple))];
    contenders.extend(runs.map(|(name, run)| Contender {
        fewer: if name.starts_with("moka") { 5 } else { 1 },
        ..timed(name, move |n| run(0..n, triple))
    }));
    contenders.push(Contender {
        fewer: 5,
        ..timed("async_singleflight on tokio", |n| {
            tokio_peers::singleflight(0..n, triple)
        })
    });
    Case {
        name: "distinct",
        work: "distinct u64, empty job, queued one by one or in bulk",
        unit: "ns",
        rounds: usize::MAX,
        requests: 1_000_000,
        expected: triples,
        contenders,
        goals: vec![
            Goal::ratio("ours", 1.0, "floor"),
            Goal::ratio("ours", 1.0, "flume + dashmap, by hand"),
            Goal::ratio("ours, bulk", 0.75, "floor"),
            Goal::ratio("ours, bulk", 1.0, "threadpool (no sharing)"),
            Goal::ratio("ours, bulk", 1.0, "crossbeam-channel (no sharing)"),
        ],
    }
}

fn text(n: u64) -> String {
    format!("request {n:016}")
}

#[expect(clippy::ptr_arg, reason = "the requests are strings")]
fn length(text: &String) -> u64 {
    text.bytes().fold(0, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    })
}

fn strings() -> Case {
    let texts = |n: u64| (0..n).map(text);
    Case {
        name: "strings",
        work: "distinct 24-byte strings, nearly empty job",
        unit: "ns",
        rounds: usize::MAX,
        requests: 1_000_000,
        expected: |n| (0..n).fold(0, |sum, n| sum.wrapping_add(length(&text(n)))),
        contenders: vec![
            timed("floor", move |n| floor::run(texts(n), length)),
            timed("ours", move |n| ours::one_by_one(texts(n), length)),
            timed("ours, bulk", move |n| ours::bulk(texts(n), length)),
            timed("flume + dashmap, by hand", move |n| {
                threads::by_hand(texts(n), length)
            }),
            timed("rayon + dashmap", move |n| {
                threads::rayon_dashmap(texts(n), length)
            }),
        ],
        goals: vec![
            Goal::ratio("ours", 1.0, "floor"),
            Goal::ratio("ours, bulk", 0.75, "floor"),
        ],
    }
}

/// Takes so long.
pub fn spin(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn two_microseconds(n: &u64) -> u64 {
    spin(Duration::from_micros(2));
    triple(n)
}

/// Numbers below 10,000, the k-th most frequent one a k-th as often as the first.
fn zipf(n: u64) -> impl Iterator<Item = u64> {
    let mut sums = Vec::with_capacity(10_000);
    let mut sum = 0.0;
    for key in 1..=10_000 {
        sum += 1.0 / f64::from(key);
        sums.push(sum);
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..n).map(move |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let drawn = (state >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        sums.partition_point(|sum| *sum < drawn) as u64
    })
}

fn shared() -> Case {
    Case {
        name: "shared",
        work: "10,000 keys by Zipf 1.0, jobs of 2 microseconds",
        unit: "ns",
        rounds: usize::MAX,
        requests: 1_000_000,
        expected: |n| zipf(n).fold(0, |sum, n| sum.wrapping_add(triple(&n))),
        contenders: vec![
            timed("floor", |n| floor::run(zipf(n), two_microseconds)),
            timed("ours", |n| ours::waited_for(zipf(n), two_microseconds)),
            timed("ours, select()", |n| {
                ours::one_by_one(zipf(n), two_microseconds)
            }),
            timed("ours, bulk and select()", |n| {
                ours::bulk(zipf(n), two_microseconds)
            }),
            timed("flume + dashmap, by hand", |n| {
                threads::by_hand(zipf(n), two_microseconds)
            }),
            timed("rayon + dashmap", |n| {
                threads::rayon_dashmap(zipf(n), two_microseconds)
            }),
        ],
        // 1.1 of the floor divided by the two workers.
        goals: vec![Goal::ratio("ours", 0.55, "floor")],
    }
}
