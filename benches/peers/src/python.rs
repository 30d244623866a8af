//! Python's executors, where there is a `python3`.

use std::process::Command;

use crate::case::{Contender, Done};

const PROGRAM: &str = "
import sys, time
from concurrent.futures import ThreadPoolExecutor, ProcessPoolExecutor, as_completed
def process(n):
    return (n * 3) & 0xFFFFFFFFFFFFFFFF
if __name__ == '__main__':
    kind, n = sys.argv[1], int(sys.argv[2])
    executor = (ThreadPoolExecutor if kind == 'threads' else ProcessPoolExecutor)(2)
    begin = time.perf_counter_ns()
    with executor:
        total = sum(f.result() for f in as_completed([executor.submit(process, i) for i in range(n)]))
    print(total & 0xFFFFFFFFFFFFFFFF, (time.perf_counter_ns() - begin) / n)
";

fn run(kind: &str, n: u64) -> Done {
    // A file, for the process pool imports the program again.
    let path = std::env::temp_dir().join(format!("peers-{}.py", std::process::id()));
    std::fs::write(&path, PROGRAM).expect("the temporary folder can be written to");
    let mut command = Command::new("python3");
    let output = command
        .arg(&path)
        .args([kind, &n.to_string()])
        .output()
        .expect("there is a python3");
    let _ = std::fs::remove_file(&path);
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut figures = printed.split_whitespace();
    let sum = figures
        .next()
        .and_then(|figure| figure.parse().ok())
        .expect("it prints a sum");
    Done {
        sum,
        nanos: figures.next().and_then(|figure| figure.parse().ok()),
    }
}

pub fn contenders() -> Vec<Contender> {
    vec![
        Contender {
            name: "Python, ThreadPoolExecutor",
            run: Box::new(|n| run("threads", n)),
            fewer: 20,
        },
        Contender {
            name: "Python, ProcessPoolExecutor",
            run: Box::new(|n| run("processes", n)),
            fewer: 200,
        },
    ]
}
