//! The operating system refuses one thread, the k-th, or several in a row: for each k, everything settles, and whoever
//! asked is told.

#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parallel_workers::{
    Context, Failure, Handle, ProcessorFn, ProcessorService, StartError, processor_fn,
};

const CHILD: &str = "PARALLEL_WORKERS_THREAD_FAULT_CHILD";
const WORKERS: usize = 3;
/// A number that has a request of its own, for the rest of it, wait for that.
const NESTED: u32 = 100;

type Function = Box<dyn FnMut(&u32, &Context<'_>) -> Result<u32, Failure>>;
type Nesting = ProcessorFn<u32, Result<u32, Failure>, Function>;

/// What the others wait for ends when this is so.
static MAY_END: AtomicBool = AtomicBool::new(false);

fn start() -> Result<ProcessorService<Nesting>, StartError> {
    let own: Arc<OnceLock<Handle<Nesting>>> = Arc::default();
    let inner = Arc::clone(&own);
    let service: ProcessorService<Nesting> = ProcessorService::start(WORKERS, move || {
        let own = Arc::clone(&inner);
        let function: Function = Box::new(move |n, _| {
            while *n == 1 && !MAY_END.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            if *n < NESTED {
                return Ok(*n);
            }
            own.wait().queue_request(*n - NESTED).wait()?.clone()
        });
        processor_fn(function)
    })?;
    assert!(own.set(service.handle()).is_ok());
    Ok(service)
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// Starts workers, has one replaced, and another one wait inside a request. Says what was refused.
fn use_threads() -> &'static str {
    let before = threads();
    let service = match start() {
        Ok(service) => service,
        Err(StartError::Thread { worker, .. }) => {
            assert!(worker.starts_with("worker-"));
            assert_eq!(threads(), before, "those that had begun have ended");
            return "start";
        }
        Err(other) => panic!("{other}"),
    };
    let lost = service.worker_named("worker-0").unwrap();
    let replaced = lost.kill();
    let workers = service.workers().len();
    let has_threads = |n: usize| {
        while threads() != before + n && !MAY_END.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
    };
    // The lost one has ended.
    has_threads(workers);
    let waits = service.queue_request(NESTED + 1);
    waits.on_settled(|_| MAY_END.store(true, Ordering::SeqCst));
    // There is a spare one, or there is not to be one.
    has_threads(workers + 1);
    MAY_END.store(true, Ordering::SeqCst);
    let rest: Vec<_> = (2..50).map(|n| service.queue_request(n)).collect();
    for promise in &rest {
        assert_eq!(promise.wait(), Ok(&Ok(*promise.request())));
    }
    let refused = match (replaced, waits.wait().unwrap()) {
        (Err(StartError::Thread { .. }), Ok(1)) => {
            assert_eq!(service.workers().len(), WORKERS - 1);
            // A worker can be had as soon as the system gives a thread.
            service.resize(WORKERS).unwrap();
            "replacement"
        }
        (Ok(Some(_)), Err(Failure::WouldDeadlock)) => "spare worker",
        (Ok(Some(_)), Ok(1)) => "nothing",
        other => panic!("{other:?}"),
    };
    assert_eq!(service.workers().len(), WORKERS);
    assert!(service.queue_request(60).wait().is_ok());
    service.stop();
    assert_eq!(
        service.status().settled.total(),
        service.status().settled.outputs
    );
    refused
}

#[test]
fn whichever_thread_is_refused_everything_settles_and_whoever_asked_is_told() {
    let own = "whichever_thread_is_refused_everything_settles_and_whoever_asked_is_told";
    if let Ok(asked) = std::env::var(CHILD) {
        let refused = match &*asked {
            "apart" => std::thread::spawn(use_threads).join().unwrap(),
            _ => use_threads(),
        };
        println!("refused: {refused}.");
        return;
    }
    let program = std::env::current_exe().unwrap();
    // Each thread of the program is refused the k-th that it starts; one that runs tests goes on without it.
    let refused = |mode: &str, k: &str| {
        let output = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=clone3"])
            .args(["-e", &format!("inject=clone3:error=EAGAIN:when={k}")])
            .arg(&program)
            .args(["--exact", own, "--nocapture", "--test-threads=1"])
            .env(CHILD, mode)
            .output()
            .expect("strace, Debian's package of that name, is needed");
        assert!(output.status.success(), "thread {k}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.split("refused: ").nth(1).unwrap();
        said.split('.').next().unwrap().to_owned()
    };
    let of_a_caller: Vec<_> = ["1", "2", "3", "4", "4..7", "4..8", "9"]
        .map(|k| refused("apart", k))
        .to_vec();
    let expected = [
        "start",
        "start",
        "start",
        "nothing",
        "nothing",
        "replacement",
        "nothing",
    ];
    assert_eq!(
        of_a_caller, expected,
        "a replacement's thread is asked for five times"
    );
    assert_eq!(refused("here", "1"), "spare worker", "a worker's first");
}
