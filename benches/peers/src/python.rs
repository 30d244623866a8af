//! Python's executors and its pool of processes, where there is a `python3`.

use std::process::Command;

use crate::case::{Contender, measured};
use crate::elsewhere;

const PROGRAM: &str = "
import multiprocessing, sys, time
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor, as_completed

def process(n):
    return (n * 3) & 0xFFFFFFFFFFFFFFFF

def timed(n, total):
    begin = time.perf_counter_ns()
    print(total() & 0xFFFFFFFFFFFFFFFF, (time.perf_counter_ns() - begin) / n)

def executor(kind, started, n):
    with kind(2, initializer=started.wait) as executor:
        # Workers start as requests come: the first of them waits in its initializer, so the second starts too.
        first = [executor.submit(process, 0) for _ in range(2)]
        started.wait()
        for future in first:
            future.result()
        def total():
            futures = [executor.submit(process, i) for i in range(n)]
            return sum(future.result() for future in as_completed(futures))
        timed(n, total)

def pool(chunk, started, n):
    with multiprocessing.Pool(2, initializer=started.wait) as pool:
        started.wait()
        timed(n, lambda: sum(pool.imap_unordered(process, range(n), chunk)))

if __name__ == '__main__':
    kind, n = sys.argv[1], int(sys.argv[2])
    # Two workers and who asks them; a timeout, for a worker that dies as it starts never comes.
    started = multiprocessing.Barrier(3, timeout=60)
    if kind == 'threads':
        executor(ThreadPoolExecutor, started, n)
    elif kind == 'processes':
        executor(ProcessPoolExecutor, started, n)
    else:
        pool(int(kind), started, n)
";

fn run(kind: &str, n: u64) -> (u64, f64) {
    // A file, for processes may import the program again.
    let path = std::env::temp_dir().join(format!("peers-{}.py", std::process::id()));
    std::fs::write(&path, PROGRAM).expect("the temporary folder can be written to");
    let mut command = Command::new("python3");
    let figures = elsewhere::run(command.arg(&path).args([kind, &n.to_string()]));
    let _ = std::fs::remove_file(&path);
    figures
}

/// Those for the case of this name.
pub fn contenders(case: &str) -> Vec<Contender> {
    // A name, what the program is told, and how many times fewer requests.
    let contenders: &[(&'static str, &'static str, u64)] = match case {
        "distinct" => &[
            ("Python, ThreadPoolExecutor", "threads", 20),
            ("Python, ProcessPoolExecutor", "processes", 200),
        ],
        "processes" => &[
            ("Python, ProcessPoolExecutor", "processes", 20),
            ("Python, Pool.imap_unordered", "1", 20),
            ("Python, Pool.imap_unordered, chunks of 100", "100", 1),
        ],
        _ => &[],
    };
    let contenders = contenders.iter().map(|&(name, kind, fewer)| Contender {
        fewer,
        ..measured(name, move |n| run(kind, n))
    });
    contenders.collect()
}
