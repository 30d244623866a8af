//! What a cluster does, from what each part of it costs: by its bottleneck alone, and by a simulation of its queues.
//!
//! A request goes from its caller to a server, from there to a worker, back to the server, and back to the caller; then
//! the caller makes the next one. Each part does one thing at a time, and its requests wait for it in order. Cores are
//! shared by all parts, as on one machine, or each part has its own.

mod simulation;

pub use simulation::simulate;

/// Microseconds of a core for each request.
#[derive(Clone, Copy)]
pub struct Cost {
    /// Where there is always a next one: many are read and written at a time.
    pub loaded: f64,
    /// Where each comes alone, and has to wake who sleeps.
    pub alone: f64,
}

#[derive(Clone, Copy)]
pub struct Costs {
    pub server: Cost,
    pub caller: Cost,
    pub worker: Cost,
}

#[derive(Clone, Copy)]
pub struct Cluster {
    pub callers: usize,
    /// Requests are spread over them by their keys.
    pub servers: usize,
    /// Workers of all hosts, a core for each.
    pub workers: usize,
    /// So many requests are under way at a time, all callers together.
    pub window: usize,
    /// Microseconds.
    pub job: f64,
    /// All that there are, where everybody shares them.
    pub shared_cores: Option<usize>,
    /// So many of these are taken by who has nothing to do with it.
    pub others: f64,
}

/// Who has more to do hands on what is done together, but after so many microseconds at the latest.
const HELD_BACK: f64 = 200.0;

/// At most so many requests a second, and who it is that does no more.
pub fn bottleneck(costs: &Costs, cluster: &Cluster) -> (f64, &'static str) {
    let per_second = |count: usize, micros: f64| count as f64 * 1e6 / micros;
    let worker = costs.worker.loaded + cluster.job;
    let all = costs.server.loaded + costs.caller.loaded + worker;
    let shared = cluster
        .shared_cores
        .map(|cores| cores as f64 - cluster.others);
    let mut limits = vec![
        (per_second(cluster.servers, costs.server.loaded), "servers"),
        (per_second(cluster.callers, costs.caller.loaded), "callers"),
        (per_second(cluster.workers, worker), "workers"),
    ];
    limits.extend(shared.map(|cores| (cores * 1e6 / all, "cores")));
    let least = limits.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    least.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Cluster, Cost, Costs, bottleneck, simulate};

    const CLUSTER: Cluster = Cluster {
        callers: 1,
        servers: 1,
        workers: 4,
        window: 512,
        job: 0.0,
        shared_cores: None,
        others: 0.0,
    };

    fn costs() -> Costs {
        let cost = |loaded, alone| Cost { loaded, alone };
        Costs {
            server: cost(20.0, 100.0),
            caller: cost(2.0, 30.0),
            worker: cost(3.0, 30.0),
        }
    }

    fn check(cluster: &Cluster, limited_by: &str, expected: f64) {
        let (bottleneck, by) = bottleneck(&costs(), cluster);
        let simulated = simulate(&costs(), cluster);
        assert_eq!(by, limited_by);
        for found in [bottleneck, simulated] {
            assert!(
                (found / expected - 1.0).abs() < 0.05,
                "{found} for {expected}, {by}"
            );
        }
    }

    #[test]
    fn deep_queues_come_to_what_their_bottleneck_does() {
        check(&CLUSTER, "servers", 50_000.0);
        check(
            &Cluster {
                servers: 3,
                ..CLUSTER
            },
            "servers",
            150_000.0,
        );
        check(
            &Cluster {
                job: 997.0,
                ..CLUSTER
            },
            "workers",
            4_000.0,
        );
        let shared_cores = Some(1);
        check(
            &Cluster {
                shared_cores,
                ..CLUSTER
            },
            "cores",
            40_000.0,
        );
    }

    #[test]
    fn others_take_what_they_take() {
        let shared = Cluster {
            shared_cores: Some(2),
            others: 1.2,
            ..CLUSTER
        };
        check(&shared, "cores", 32_000.0);
    }

    #[test]
    fn one_at_a_time_takes_what_everybody_takes_alone() {
        let simulated = simulate(
            &costs(),
            &Cluster {
                window: 1,
                ..CLUSTER
            },
        );
        assert!((simulated * 160.0 / 1e6 - 1.0).abs() < 0.01, "{simulated}");
    }
}
