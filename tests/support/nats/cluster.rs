use std::time::Duration;

use serde_json::Value;

use super::patience::{LIMIT, try_until, wait_until};
use super::port::Port;
use super::{Server, Setup};

const SIZE: usize = 3;

/// Three servers that keep streams together.
pub struct Cluster {
    servers: Vec<Server>,
    _routes: Vec<Port>,
}

/// What one of them has of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    pub messages: u64,
    pub first: u64,
    pub last: u64,
}

/// By server, what each has of a stream, or why that is not known.
pub type Replicas = Vec<(usize, Result<Replica, String>)>;

fn name(index: usize) -> String {
    format!("server-{index}")
}

impl Cluster {
    /// Starts three alike, and waits until they have a leader whom all follow.
    pub fn start(setup: &Setup) -> Self {
        let routes: Vec<Port> = (0..SIZE).map(|_| Port::reserve()).collect();
        let all: Vec<String> = routes.iter().map(|port| route(port.number)).collect();
        let servers = (0..SIZE).map(|index| {
            let setup = setup
                .clone()
                .line(format!("server_name: {}", name(index)))
                .line(format!(
                    "cluster {{ name: three, listen: \"127.0.0.1:{}\", routes: {all:?} }}",
                    routes[index].number
                ));
            Server::prepare(setup)
        });
        let mut cluster = Self {
            servers: servers.collect(),
            _routes: routes,
        };
        cluster.restart_all();
        cluster
    }

    /// All three, for a client that goes from one to the next.
    pub fn url(&self) -> String {
        self.urls().join(",")
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    pub fn server(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    pub fn kill(&mut self, index: usize) {
        self.servers[index].kill();
    }

    pub fn stop(&mut self, index: usize) {
        self.servers[index].stop();
    }

    /// Starts it again, and waits until it has caught up.
    pub fn restart(&mut self, index: usize) {
        self.servers[index].restart();
        self.wait_until_ready();
    }

    /// Starts all again, those that run after a stop.
    pub fn restart_all(&mut self) {
        self.servers.iter_mut().for_each(Server::stop);
        self.servers.iter_mut().for_each(Server::begin);
        self.wait_until_ready();
    }

    /// Waits until those that run have a leader who runs and whom all of them follow.
    pub fn wait_until_ready(&mut self) {
        let running = self.servers.iter_mut().filter(|server| server.is_running());
        running.for_each(Server::wait_until_ready);
        wait_until("a leader whom all follow", || self.followed_leader());
    }

    /// The one that decides on which servers a stream is.
    pub fn leader(&self) -> usize {
        wait_until("a leader", || self.followed_leader())
    }

    /// The one that takes what is published into a stream.
    pub fn leader_of(&self, stream: &str) -> usize {
        wait_until("a stream's leader", || {
            let details = self.running().map(|index| self.detail(index, stream));
            let details: Result<Vec<Value>, String> = details.collect();
            self.common(details?.iter().map(|detail| &detail["cluster"]["leader"]))
        })
    }

    /// Waits until all that run have the same of a stream, which is to have a replica on each of them; what each has
    /// where they do not agree in a minute.
    pub fn replicas_agree(&self, stream: &str) -> Result<Replica, Replicas> {
        self.replicas_agree_within(LIMIT, stream)
    }

    pub fn replicas_agree_within(
        &self,
        limit: Duration,
        stream: &str,
    ) -> Result<Replica, Replicas> {
        try_until(limit, || {
            let replicas = self.replicas(stream);
            let Some((_, Ok(first))) = replicas.first() else {
                return Err(replicas);
            };
            if replicas
                .iter()
                .any(|(_, other)| other.as_ref() != Ok(first))
            {
                return Err(replicas);
            }
            Ok(first.clone())
        })
    }

    /// What each that runs has of a stream now.
    pub fn replicas(&self, stream: &str) -> Replicas {
        let replica = |index| {
            let detail = self.detail(index, stream)?;
            let number = |key: &str| detail["state"][key].as_u64().ok_or(format!("{detail}"));
            Ok(Replica {
                messages: number("messages")?,
                first: number("first_seq")?,
                last: number("last_seq")?,
            })
        };
        self.running()
            .map(|index| (index, replica(index)))
            .collect()
    }

    fn running(&self) -> impl Iterator<Item = usize> {
        (0..SIZE).filter(|index| self.servers[*index].is_running())
    }

    /// The leader, where all that run name the same, and he says that all that run are up to date.
    fn followed_leader(&self) -> Result<usize, String> {
        let answers = self.running().map(|index| self.servers[index].ask("/jsz"));
        let answers = answers.collect::<Result<Vec<Value>, String>>()?;
        let leader = self.common(
            answers
                .iter()
                .map(|answer| &answer["meta_cluster"]["leader"]),
        )?;
        let place = self.running().position(|index| index == leader).unwrap();
        // Only the leader knows that of the others.
        let cluster = &answers[place]["meta_cluster"];
        let known = cluster["replicas"].as_array().into_iter().flatten();
        let is_current = |index: usize| {
            let mut replicas = known
                .clone()
                .filter(|replica| replica["name"] == name(index));
            index == leader || replicas.any(|replica| replica["current"] == true)
        };
        if self.running().all(is_current) {
            Ok(leader)
        } else {
            Err(cluster.to_string())
        }
    }

    /// The one server that all of these name, if it runs.
    fn common<'a>(&self, named: impl Iterator<Item = &'a Value>) -> Result<usize, String> {
        let named: Vec<&Value> = named.collect();
        let mut running = self.running();
        let common = running.find(|index| named.iter().all(|other| **other == name(*index)));
        common.ok_or_else(|| format!("they name {named:?}"))
    }

    /// What one says of a stream.
    fn detail(&self, index: usize, stream: &str) -> Result<Value, String> {
        let answer = self.servers[index].ask("/jsz?accounts=true&streams=true")?;
        let accounts = answer["account_details"].as_array().into_iter().flatten();
        let mut streams = accounts
            .flat_map(|account| account["stream_detail"].as_array())
            .flatten();
        let found = streams.find(|detail| detail["name"] == stream);
        found
            .cloned()
            .ok_or_else(|| format!("no {stream} in {answer}"))
    }
}

fn route(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}
