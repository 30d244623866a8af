use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output};

use super::place::Place;
use super::port::Port;

/// Who looks for leftovers knows them by this.
const PREFIX: &str = "pwnats";

/// Addresses for tests of networks, which nobody has elsewhere; four for each line.
const FIRST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// The cards at the ends of each line.
const NEAR: &str = "02:00:00:00:00:01";
const FAR: &str = "02:00:00:00:00:02";

/// An address that no card has: what is sent to it is carried, and picked up by nobody.
const NOBODY: &str = "02:00:00:00:00:ff";

/// A network namespace, and two lines from this one to it: one that can be cut, and one that cannot.
///
/// To cut it is to tell one side a wrong address of the card at the other: that is silence for whoever sends. A card
/// that is taken down, or a route that leads nowhere, would be an error for him; and a queue that loses all packets is
/// not in every kernel.
pub struct Line {
    port: Port,
}

/// Which way packets go.
#[derive(Clone, Copy)]
pub enum Way {
    There,
    Back,
}

impl Line {
    /// Needs root and iproute2, and says so.
    pub fn new() -> Self {
        remove_leftovers();
        let line = Self {
            port: Port::reserve(),
        };
        // The place is ours now, whoever had it.
        line.remove();
        line.set_up().unwrap_or_else(|error| {
            panic!(
                "this test needs a network namespace: Linux, iproute2 (`apt-get install iproute2`) and root, as by \
                 CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='sudo -E' before `cargo test`: {error}"
            )
        });
        line
    }

    fn set_up(&self) -> Result<(), String> {
        let name = self.name();
        ip(&format!("netns add {name}"))?;
        ip(&format!("-n {name} link set lo up"))?;
        self.draw(&name, "far", 0)?;
        self.draw(&self.steady(), "steady", 2)?;
        self.heal(Way::There);
        self.heal(Way::Back);
        Ok(())
    }

    /// A line between two cards, and two addresses from so many on.
    fn draw(&self, near: &str, far: &str, first: u32) -> Result<(), String> {
        let name = self.name();
        let peer = format!("peer name {far} address {FAR} netns {name}");
        ip(&format!("link add {near} address {NEAR} type veth {peer}"))?;
        let (here, there) = (self.address(first), self.address(first + 1));
        ip(&format!("address add {here}/31 dev {near}"))?;
        ip(&format!("-n {name} address add {there}/31 dev {far}"))?;
        ip(&format!("link set {near} up"))?;
        ip(&format!("-n {name} link set {far} up"))?;
        Ok(())
    }

    /// Of the namespace, and of the card on this side.
    fn name(&self) -> String {
        name(self.port.place())
    }

    fn steady(&self) -> String {
        self.name() + "s"
    }

    fn address(&self, number: u32) -> IpAddr {
        let first = u32::from(FIRST) + 4 * u32::from(self.port.place());
        IpAddr::V4(Ipv4Addr::from(first + number))
    }

    /// Where a server on the other side is.
    pub fn far(&self) -> Place {
        let name = self.name();
        Place {
            listens: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            clients: self.address(1),
            steady: self.address(3),
            prefix: ["ip", "netns", "exec", &name].map(str::to_owned).into(),
        }
    }

    /// From now on nothing arrives that is sent this way.
    pub fn cut(&self, way: Way) {
        self.lead(way, NOBODY);
    }

    pub fn heal(&self, way: Way) {
        let card = match way {
            Way::There => FAR,
            Way::Back => NEAR,
        };
        self.lead(way, card);
    }

    /// Tells the side that sends whom to send to. It is not to ask: the answer would not arrive either.
    fn lead(&self, way: Way, card: &str) {
        let (name, here, there) = (self.name(), self.address(0), self.address(1));
        let sender = match way {
            Way::There => format!("neighbour replace {there} dev {name}"),
            Way::Back => format!("-n {name} neighbour replace {here} dev far"),
        };
        ip(&format!("{sender} lladdr {card} nud permanent")).unwrap();
    }

    fn remove(&self) {
        remove(&self.name());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.remove();
    }
}

fn name(place: u16) -> String {
    format!("{PREFIX}{place}")
}

fn ip(arguments: &str) -> Result<Output, String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {arguments}: {}", errors.trim()))
}

/// Removes what killed test programs have left.
fn remove_leftovers() {
    let Ok(list) = ip("netns list") else {
        return;
    };
    let list = String::from_utf8_lossy(&list.stdout).into_owned();
    for name in list.lines().filter_map(|line| line.split(' ').next()) {
        let place = name
            .strip_prefix(PREFIX)
            .and_then(|place| place.parse().ok());
        // Whoever lives holds the number of his.
        if let Some(_held) = place.and_then(Port::hold_place) {
            remove(name);
        }
    }
}

/// Removes a namespace and what is in it, if there is one.
fn remove(name: &str) {
    if let Ok(list) = ip(&format!("netns pids {name}")) {
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let processes: Vec<&str> = list.split_whitespace().collect();
        if !processes.is_empty() {
            let kill = format!("kill -s KILL {}", processes.join(" "));
            // They may have ended before.
            let _ = Command::new("sh").args(["-c", &kill]).output();
        }
    }
    // The cards go with their namespace, but not at once.
    let _ = ip(&format!("link delete {name}"));
    let _ = ip(&format!("link delete {name}s"));
    let _ = ip(&format!("netns delete {name}"));
}
