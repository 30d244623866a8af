use std::collections::{BTreeMap, VecDeque};

use super::{Cluster, Costs, HELD_BACK};

/// Requests a second.
pub fn simulate(costs: &Costs, cluster: &Cluster) -> f64 {
    let mut simulation = Simulation::new(costs, cluster);
    // What comes first, while all queues fill, does not count.
    let count = 20_000.max(20 * cluster.window as u64);
    simulation.run_until(count / 4);
    let (begin, first) = (simulation.now, simulation.done);
    simulation.run_until(count);
    (simulation.done - first) as f64 * 1e9 / (simulation.now - begin) as f64
}

/// A request's way: out, stored, processed, stored, and back.
const STEPS: usize = 5;
/// Others take a core for so many microseconds at a time.
const SLICE: f64 = HELD_BACK;
/// Stands for them where requests stand.
const OTHERS: usize = usize::MAX;

struct Station {
    /// So many cores at a time.
    slots: usize,
    busy: usize,
    /// So many requests for each of them, whose outcomes go on together.
    batch: usize,
    /// Nanoseconds for one step of a request.
    loaded: u64,
    /// The same for one that finds nobody at work.
    alone: u64,
    /// Requests, and how long each takes.
    waiting: VecDeque<(usize, u64)>,
    /// Whose cores it runs on.
    cores: usize,
    /// Of all that wait for a core, who began to wait first runs first.
    since: u64,
}

struct Request {
    step: usize,
    caller: usize,
    server: usize,
}

struct Simulation {
    /// Callers, then servers, then all workers as one: whichever is free takes the next request. Then all others.
    stations: Vec<Station>,
    callers: usize,
    servers: usize,
    free_cores: Vec<usize>,
    requests: Vec<Request>,
    /// What ends when, and where.
    ends: BTreeMap<(u64, u64), (usize, Vec<usize>)>,
    /// When others come again, and how much later the next time.
    next_others: u64,
    between_others: u64,
    now: u64,
    /// Counts all that happens.
    ticks: u64,
    done: u64,
}

fn stations(costs: &Costs, cluster: &Cluster, others: usize) -> Vec<Station> {
    let mut stations = Vec::new();
    let mut add = |loaded: f64, alone: f64, slots| {
        let nanos = |micros: f64| (micros * 1e3).max(1.0) as u64;
        let own = stations.len();
        stations.push(Station {
            slots,
            busy: 0,
            batch: (HELD_BACK / loaded).ceil() as usize,
            loaded: nanos(loaded),
            alone: nanos(alone.max(loaded)),
            waiting: VecDeque::new(),
            cores: cluster.shared_cores.map_or(own, |_| 0),
            since: 0,
        });
    };
    let (caller, server, worker) = (&costs.caller, &costs.server, &costs.worker);
    // Who takes an outcome makes the next request, without being woken again.
    let woken = caller.alone - caller.loaded / 2.0;
    (0..cluster.callers).for_each(|_| add(caller.loaded / 2.0, woken, 1));
    (0..cluster.servers).for_each(|_| add(server.loaded / 2.0, server.alone / 2.0, 1));
    let job = cluster.job;
    add(worker.loaded + job, worker.alone + job, cluster.workers);
    add(SLICE, SLICE, others);
    stations
}

impl Simulation {
    fn new(costs: &Costs, cluster: &Cluster) -> Self {
        let others = cluster.others.ceil() as usize;
        let stations = stations(costs, cluster, others);
        let free_cores = match cluster.shared_cores {
            Some(cores) => vec![cores],
            None => stations.iter().map(|station| station.slots).collect(),
        };
        let request = |number: usize| Request {
            step: 0,
            caller: number % cluster.callers,
            server: 0,
        };
        let mut simulation = Self {
            stations,
            callers: cluster.callers,
            servers: cluster.servers,
            free_cores,
            requests: (0..cluster.window).map(request).collect(),
            ends: BTreeMap::new(),
            next_others: if others > 0 { 0 } else { u64::MAX },
            between_others: (SLICE * 1e3 / cluster.others) as u64,
            now: 0,
            ticks: 0,
            done: 0,
        };
        (0..cluster.window).for_each(|number| simulation.arrive(number));
        simulation
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn run_until(&mut self, done: u64) {
        while self.done < done {
            while let Some(station) = self.next_to_start() {
                self.start(station);
            }
            let next = self.ends.first_key_value().map(|((end, _), _)| *end);
            if next.is_none_or(|end| self.next_others < end) {
                self.now = self.next_others;
                self.others_come();
            } else if let Some(((now, _), (station, requests))) = self.ends.pop_first() {
                self.now = now;
                self.end(station, requests);
            }
        }
    }

    fn others_come(&mut self) {
        self.next_others += self.between_others;
        if let Some(others) = self.stations.last_mut() {
            others.waiting.push_back((OTHERS, others.loaded));
        }
    }

    fn end(&mut self, station: usize, requests: Vec<usize>) {
        for number in requests.into_iter().filter(|number| *number != OTHERS) {
            let request = &mut self.requests[number];
            request.step = (request.step + 1) % STEPS;
            self.done += u64::from(request.step == 0);
            self.arrive(number);
        }
        // Whoever was woken by this runs first.
        let tick = self.tick();
        let station = &mut self.stations[station];
        station.since = tick;
        station.busy -= 1;
        self.free_cores[station.cores] += 1;
    }

    fn station_of(&self, number: usize) -> usize {
        let request = &self.requests[number];
        match request.step {
            1 | 3 => self.callers + request.server,
            2 => self.callers + self.servers,
            _ => request.caller,
        }
    }

    fn arrive(&mut self, number: usize) {
        let tick = self.tick();
        if self.requests[number].step == 0 {
            // A new request, whose key leads it anywhere.
            let hash = tick.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            self.requests[number].server = hash as usize % self.servers;
        }
        let index = self.station_of(number);
        let station = &mut self.stations[index];
        let is_alone = station.waiting.is_empty() && station.busy < station.slots;
        if is_alone {
            station.since = tick;
        }
        let takes = if is_alone {
            station.alone
        } else {
            station.loaded
        };
        station.waiting.push_back((number, takes));
    }

    fn next_to_start(&self) -> Option<usize> {
        let can = |station: &Station| {
            !station.waiting.is_empty()
                && station.busy < station.slots
                && self.free_cores[station.cores] > 0
        };
        let stations = self.stations.iter().enumerate();
        let ready = stations.filter(|(_, station)| can(station));
        // What others took was measured: they do not wait.
        let others = self.stations.len() - 1;
        ready
            .min_by_key(|(index, station)| (*index != others, station.since))
            .map(|(index, _)| index)
    }

    fn start(&mut self, index: usize) {
        let tick = self.tick();
        let station = &mut self.stations[index];
        // What waits is shared by all who are free.
        let share = station.waiting.len().div_ceil(station.slots - station.busy);
        let (requests, takes): (Vec<_>, Vec<u64>) =
            station.waiting.drain(..share.min(station.batch)).unzip();
        station.busy += 1;
        self.free_cores[station.cores] -= 1;
        let end = self.now + takes.iter().sum::<u64>();
        self.ends.insert((end, tick), (index, requests));
    }
}
