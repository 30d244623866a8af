use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::{Cluster, Cost, Costs};

/// Requests a second.
pub fn simulate(costs: &Costs, cluster: &Cluster) -> f64 {
    let mut simulation = Simulation::new(costs, cluster);
    // What comes first, while all queues fill, does not count.
    let count = 20_000.max(20 * cluster.window as u64);
    simulation.run_until(count / 4);
    let begin = simulation.now;
    simulation.run_until(count);
    let nanos = simulation.now - begin;
    (count - count / 4) as f64 * 1e9 / nanos as f64
}

/// A request's way: out, stored, processed, stored, and back.
const STEPS: usize = 5;

struct Station {
    /// So many requests at a time.
    slots: usize,
    busy: usize,
    /// Nanoseconds of a core for one step of a request.
    loaded: u64,
    alone: u64,
    waiting: VecDeque<Step>,
    /// Whose cores it runs on.
    cores: usize,
}

/// A request that has come to a station.
struct Step {
    request: usize,
    /// Whoever came first, of all stations, is served first.
    arrival: u64,
    /// Nobody was there.
    alone: bool,
}

struct Request {
    step: usize,
    caller: usize,
    server: usize,
}

struct Simulation {
    stations: Vec<Station>,
    callers: usize,
    servers: usize,
    free_cores: Vec<usize>,
    requests: Vec<Request>,
    /// When each step ends that has begun.
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    now: u64,
    arrivals: u64,
    done: u64,
}

/// Callers, then servers, then all workers as one: whichever is free takes the next request.
fn stations(costs: &Costs, cluster: &Cluster) -> Vec<Station> {
    let nanos = |cost: f64, steps: f64, job: f64| ((cost / steps + job) * 1e3).max(1.0) as u64;
    let mut stations = Vec::new();
    let mut add = |cost: &Cost, steps, job, slots| {
        let own = stations.len();
        stations.push(Station {
            slots,
            busy: 0,
            loaded: nanos(cost.loaded, steps, job),
            alone: nanos(cost.alone.max(cost.loaded), steps, job),
            waiting: VecDeque::new(),
            cores: cluster.shared_cores.map_or(own, |_| 0),
        });
    };
    (0..cluster.callers).for_each(|_| add(&costs.caller, 2.0, 0.0, 1));
    (0..cluster.servers).for_each(|_| add(&costs.server, 2.0, 0.0, 1));
    add(&costs.worker, 1.0, cluster.job, cluster.workers);
    stations
}

impl Simulation {
    fn new(costs: &Costs, cluster: &Cluster) -> Self {
        let stations = stations(costs, cluster);
        let free_cores = match cluster.shared_cores {
            Some(cores) => vec![cores],
            None => stations.iter().map(|station| station.slots).collect(),
        };
        let requests = (0..cluster.window).map(|number| Request {
            step: 0,
            caller: number % cluster.callers,
            server: 0,
        });
        let mut simulation = Self {
            stations,
            callers: cluster.callers,
            servers: cluster.servers,
            free_cores,
            requests: requests.collect(),
            ends: BinaryHeap::new(),
            now: 0,
            arrivals: 0,
            done: 0,
        };
        (0..cluster.window).for_each(|request| simulation.arrive(request));
        simulation
    }

    fn run_until(&mut self, done: u64) {
        while self.done < done {
            while let Some(station) = self.next_to_start() {
                self.start(station);
            }
            let Some(Reverse((now, request))) = self.ends.pop() else {
                return;
            };
            self.now = now;
            let station = self.station_of(request);
            self.stations[station].busy -= 1;
            self.free_cores[self.stations[station].cores] += 1;
            let step = &mut self.requests[request].step;
            *step = (*step + 1) % STEPS;
            self.done += u64::from(*step == 0);
            self.arrive(request);
        }
    }

    fn station_of(&self, request: usize) -> usize {
        let request = &self.requests[request];
        match request.step {
            1 | 3 => self.callers + request.server,
            2 => self.callers + self.servers,
            _ => request.caller,
        }
    }

    fn arrive(&mut self, request: usize) {
        self.arrivals += 1;
        if self.requests[request].step == 0 {
            // A new request, whose key leads it anywhere.
            let hash = self.arrivals.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
            self.requests[request].server = hash as usize % self.servers;
        }
        let arrival = self.arrivals;
        let index = self.station_of(request);
        let station = &mut self.stations[index];
        station.waiting.push_back(Step {
            request,
            arrival,
            alone: station.waiting.is_empty() && station.busy < station.slots,
        });
    }

    /// The station whose request has waited longest, of those that have a slot and a core for it.
    fn next_to_start(&self) -> Option<usize> {
        let can =
            |station: &Station| station.busy < station.slots && self.free_cores[station.cores] > 0;
        let stations = self.stations.iter().enumerate();
        let ready = stations.filter(|(_, station)| can(station));
        let ready =
            ready.filter_map(|(index, station)| Some((station.waiting.front()?.arrival, index)));
        ready.min().map(|(_, index)| index)
    }

    fn start(&mut self, index: usize) {
        let station = &mut self.stations[index];
        if let Some(step) = station.waiting.pop_front() {
            station.busy += 1;
            self.free_cores[station.cores] -= 1;
            let takes = if step.alone {
                station.alone
            } else {
                station.loaded
            };
            self.ends.push(Reverse((self.now + takes, step.request)));
        }
    }
}
