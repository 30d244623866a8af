//! How much time of cores processes have taken, as Linux counts it.

use std::collections::HashMap;
use std::fs;
use std::ops::Sub;

use crate::load::Error;

/// Seconds of cores.
#[derive(Clone, Copy, Default)]
pub struct Cpu {
    pub server: f64,
    pub caller: f64,
    pub workers: f64,
    /// All that the machine did, whoever it was, and what its host took away.
    pub machine: f64,
}

impl Cpu {
    /// What nobody of this run has taken: cores that were not there for it.
    pub fn others(&self) -> f64 {
        (self.machine - self.server - self.caller - self.workers).max(0.0)
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            server: self.server - before.server,
            caller: self.caller - before.caller,
            workers: self.workers - before.workers,
            machine: self.machine - before.machine,
        }
    }
}

/// Whose time is taken; each with all its children.
pub struct Meter {
    pub server: u32,
    pub caller: u32,
    pub workers: Vec<u32>,
}

impl Meter {
    pub fn read(&self) -> Result<Cpu, Error> {
        let all = Processes::read()?;
        let of_workers = self.workers.iter().map(|worker| all.with_children(*worker));
        Ok(Cpu {
            server: all.with_children(self.server),
            // The caller may be the one who has started all the others.
            caller: all.alone(self.caller),
            workers: of_workers.sum(),
            machine: machine()?,
        })
    }
}

fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// What all cores have done but to idle and to wait for disks. Who is nice counts: groups of processes share alike, however nice they are.
fn machine() -> Result<f64, Error> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().ok_or("/proc/stat is empty")?;
    let counts = line.split_whitespace().skip(1);
    let counts = counts
        .map(str::parse::<u64>)
        .collect::<Result<Vec<_>, _>>()?;
    // user nice system idle iowait irq softirq steal
    let busy = [0, 1, 2, 5, 6, 7].map(|index| counts.get(index).copied().unwrap_or_default());
    Ok(busy.iter().sum::<u64>() as f64 / ticks())
}

/// Seconds and parents, by process.
struct Processes(HashMap<u32, (f64, u32)>);

impl Processes {
    fn read() -> Result<Self, Error> {
        let mut all = HashMap::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // One may have ended meanwhile.
            if let Some(process) = process(id) {
                all.insert(id, process);
            }
        }
        Ok(Self(all))
    }

    fn alone(&self, id: u32) -> f64 {
        self.0.get(&id).map_or(0.0, |(seconds, _)| *seconds)
    }

    fn with_children(&self, id: u32) -> f64 {
        let children = self.0.iter().filter(|(_, (_, parent))| *parent == id);
        let of_children = children.map(|(child, _)| self.with_children(*child));
        self.alone(id) + of_children.sum::<f64>()
    }
}

fn process(id: u32) -> Option<(f64, u32)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, which may have any letters, stands in parentheses before all this.
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = rest.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let seconds = (number(11)? + number(12)?) as f64 / ticks();
    Some((seconds, number(1)? as u32))
}
