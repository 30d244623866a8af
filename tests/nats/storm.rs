//! A storm: many requests for few keys, from several processes, by way of three servers of which one after the other is killed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use parallel_workers::nats::{self, Connection, Queue, Remote, ServeOptions};
use parallel_workers::{Context, Processor, ProcessorService};
use serde::{Deserialize, Serialize};

use crate::nats::{Cluster, Setup, wait_until};
use crate::role::{Role, end_with_input};

const CALLERS: u64 = 4;
const WORKERS: u64 = 2;
const KEYS: u64 = 40;
/// How many a caller waits for at a time.
const AT_A_TIME: u64 = 16;
/// How many requests there are in all, where `STORM` does not say otherwise.
const REQUESTS: u64 = 40_000;
/// A promise that has not settled by then is stuck.
const STUCK: Duration = Duration::from_secs(40);

fn queue() -> Queue {
    let lease = Duration::from_secs(5);
    Queue::named("storm")
        .replicas(3)
        .lease(lease)
        .storage(64 << 20)
}

/// Squares numbers, and says of each run which one it is.
struct Squares {
    runs: Arc<AtomicU64>,
}

#[derive(Serialize, Deserialize)]
struct Square {
    square: u64,
    process: u32,
    run: u64,
}

impl Processor for Squares {
    type Request = u64;
    type Output = Square;

    fn process(&mut self, number: &u64, _: &Context<'_>) -> Square {
        Square {
            square: number * number,
            process: std::process::id(),
            run: self.runs.fetch_add(1, Ordering::SeqCst),
        }
    }
}

/// What a caller has seen.
#[derive(Default, Serialize, Deserialize)]
struct Tally {
    right: u64,
    wrong: Vec<String>,
    runs: HashSet<(u32, u64)>,
    longest: Duration,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        self.runs.extend(other.runs);
        self.longest = self.longest.max(other.longest);
    }
}

/// Plays a worker, or a caller, where this program was started for that.
pub(crate) fn play() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["--storm-worker", servers] => work(servers),
        ["--storm-caller", servers, seed, requests] => {
            call(servers, seed.parse().unwrap(), requests.parse().unwrap());
        }
        _ => return,
    }
    std::process::exit(0);
}

fn work(servers: &str) {
    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    let make = move || Squares {
        runs: Arc::clone(&counted),
    };
    let options = ServeOptions::of(queue()).workers(2);
    let serving = nats::serve(&Connection::to(servers), options, make).unwrap();
    println!("ready");
    std::io::stdin().lines().for_each(drop);
    serving.stop();
    println!("{}", runs.load(Ordering::SeqCst));
}

fn call(servers: &str, seed: u64, requests: u64) {
    let servers = servers.to_owned();
    let connect = move || Remote::<Squares>::to(Connection::to(servers.clone()), queue()).connect();
    let service = ProcessorService::builder()
        .workers(1)
        .try_start(connect)
        .unwrap();
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    end_with_input();
    let tally = std::thread::scope(|scope| {
        let own = |thread| call_in_turn(&service, seed + thread, requests / AT_A_TIME);
        let threads = (0..AT_A_TIME).map(|thread| scope.spawn(move || own(thread)));
        let threads: Vec<_> = threads.collect();
        let mut tally = Tally::default();
        for thread in threads {
            tally.add(thread.join().unwrap());
        }
        tally
    });
    println!("{}", serde_json::to_string(&tally).unwrap());
}

/// One request after the other, each for any key.
fn call_in_turn(
    service: &ProcessorService<Remote<Squares>>,
    mut seed: u64,
    requests: u64,
) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..requests {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let key = (seed >> 33) % KEYS;
        let begun = Instant::now();
        let promise = service.queue_request(key);
        match promise.wait_timeout(STUCK) {
            Some(Ok(output)) if output.square == key * key => {
                tally.right += 1;
                tally.runs.insert((output.process, output.run));
            }
            Some(Ok(output)) => tally.wrong.push(format!("{key}: {}", output.square)),
            Some(Err(failure)) => tally.wrong.push(format!("{key}: {failure}")),
            None => {
                tally.wrong.push(format!("{key}: stuck"));
                return tally;
            }
        }
        tally.longest = tally.longest.max(begun.elapsed());
        println!("1");
    }
    tally
}

/// How many requests are done, as their callers tell.
#[derive(Default)]
struct Progress(Mutex<u64>, Condvar);

impl Progress {
    fn count(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_all();
    }

    /// Waits until so many are done; not for ever, and then callers tell what is wrong.
    fn wait_for(&self, many: u64) {
        let done = self.0.lock().unwrap();
        let too_few = |done: &mut u64| *done < many;
        drop(self.1.wait_timeout_while(done, STUCK, too_few));
    }
}

/// Hears a caller out.
fn hear_out(caller: &mut Role, progress: &Progress) -> Tally {
    loop {
        match caller.hear().as_str() {
            "1" => progress.count(),
            tally => return serde_json::from_str(tally).unwrap(),
        }
    }
}

fn start(role: &str, many: u64, cluster: &Cluster, requests: u64) -> Vec<Role> {
    let (servers, requests) = (cluster.url(), (requests / many).to_string());
    let roles = (0..many).map(|place| {
        // Far from each other: each counts on from there.
        let seed = (place << 20).to_string();
        let arguments = [role, &servers, &seed, &requests];
        let own = if role == "--storm-worker" { 2 } else { 4 };
        Role::start(&arguments[..own])
    });
    let roles: Vec<Role> = roles.collect();
    for role in &roles {
        assert_eq!(role.hear(), "ready");
    }
    roles
}

/// Has all callers call, and servers killed and brought back in the middle of that, one at a time.
fn rage(cluster: &mut Cluster, callers: &mut [Role], requests: u64) -> Tally {
    let progress = Progress::default();
    callers.iter_mut().for_each(|caller| caller.tell("go"));
    std::thread::scope(|scope| {
        let progress = &progress;
        let hear = |caller| scope.spawn(move || hear_out(caller, progress));
        let heard: Vec<_> = callers.iter_mut().map(hear).collect();
        for (stream, killed_at, back_at) in [("REQUESTS", 2, 3), ("RESULTS", 5, 6)] {
            progress.wait_for(requests * killed_at / 8);
            let leader = cluster.leader_of(&format!("pw_storm_{stream}"));
            cluster.kill(leader);
            // The others go on without it.
            progress.wait_for(requests * back_at / 8);
            cluster.restart(leader);
        }
        let mut tally = Tally::default();
        for heard in heard {
            tally.add(heard.join().unwrap());
        }
        tally
    })
}

/// Waits until nothing is queued, and nothing in anybody's hands.
fn wait_until_empty(cluster: &Cluster) {
    wait_until("an empty queue", || {
        let status = nats::status(&Connection::to(cluster.url()), &queue());
        let status = status.map_err(|error| error.to_string())?;
        if status.requests == 0 {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
}

/// All servers have the same, and nothing was left over, or set aside.
fn replicas_agree(cluster: &Cluster) {
    for stream in ["REQUESTS", "RESULTS", "DEAD"] {
        let name = format!("pw_storm_{stream}");
        let replica = cluster.replicas_agree(&name).unwrap();
        let is_kept = stream == "RESULTS";
        assert_eq!(replica.messages > 0, is_kept, "{stream}: {replica:?}");
    }
}

pub(crate) fn a_storm_is_weathered_though_leaders_are_killed() {
    let requests = std::env::var("STORM").map_or(REQUESTS, |number| number.parse().unwrap());
    // Every caller has so many threads.
    let requests = requests / (CALLERS * AT_A_TIME) * (CALLERS * AT_A_TIME);
    let mut cluster = Cluster::start(&Setup::new());
    let mut workers = start("--storm-worker", WORKERS, &cluster, 0);
    let mut callers = start("--storm-caller", CALLERS, &cluster, requests);
    let begun = Instant::now();
    let tally = rage(&mut cluster, &mut callers, requests);
    let took = begun.elapsed();
    assert!(tally.wrong.is_empty(), "{:?}", tally.wrong);
    assert_eq!(tally.right, requests);
    wait_until_empty(&cluster);
    let runs = workers.iter_mut().map(|worker| {
        worker.close();
        worker.hear().parse::<u64>().unwrap()
    });
    let runs: u64 = runs.sum();
    println!(
        "{requests} requests in {took:.1?}, {:.0} a second; {runs} runs, the outputs of {} of which were had; the \
         longest wait was {:.1?}",
        requests as f64 / took.as_secs_f64(),
        tally.runs.len(),
        tally.longest
    );
    assert!(runs < requests, "{runs} runs: nothing was shared");
    replicas_agree(&cluster);
}
