//! What the operating system says of a process.

use crate::status::ProcessStatus;

/// How the process of this id is; what is not known is left out.
pub(crate) fn of_process(id: u32) -> ProcessStatus {
    let (cpu, memory) = figures_of(id);
    ProcessStatus { id, cpu, memory }
}

#[cfg(all(feature = "process", target_os = "linux"))]
fn figures_of(id: u32) -> (Option<std::time::Duration>, Option<u64>) {
    use std::time::Duration;

    let Ok(id) = i32::try_from(id) else {
        return (None, None);
    };
    let Ok(stat) = procfs::process::Process::new(id).and_then(|process| process.stat()) else {
        return (None, None);
    };
    let ticks = (stat.utime + stat.stime) as f64;
    let cpu = Duration::try_from_secs_f64(ticks / procfs::ticks_per_second() as f64);
    (cpu.ok(), Some(stat.rss * procfs::page_size()))
}

#[cfg(not(all(feature = "process", target_os = "linux")))]
fn figures_of(_: u32) -> (Option<std::time::Duration>, Option<u64>) {
    (None, None)
}
