//! Threads that the operating system refuses.

#![cfg(target_os = "linux")]

use std::process::Command;

use parallel_workers::{Context, ProcessorService, StartError, processor_fn};

const CHILD: &str = "PARALLEL_WORKERS_THREAD_LIMIT_CHILD";

/// Runs in a process of its own: so many workers that memory for their stacks runs out.
#[test]
fn a_thread_that_cannot_be_spawned_is_an_error_that_names_the_worker() {
    if std::env::var_os(CHILD).is_some() {
        let started = ProcessorService::builder()
            .workers(100)
            .name("many")
            .start(|| processor_fn(|n: &u32, _: &Context<'_>| *n));
        let Err(StartError::Thread { worker, source }) = started else {
            panic!("{started:?}")
        };
        assert!(worker.starts_with("many-"));
        println!("refused {worker}: {source}");
        // Those that had been started have ended: the figure is this thread, the test's, and no worker.
        let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
        assert!(threads <= 2, "{threads}");
        return;
    }
    let own = std::env::current_exe().unwrap();
    let test = "a_thread_that_cannot_be_spawned_is_an_error_that_names_the_worker";
    // 400 MB of address space hold far fewer than 100 stacks of 64 MB.
    let script = format!(
        "ulimit -v 400000; exec '{}' --exact {test} --nocapture",
        own.display()
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .env(CHILD, "1")
        .env("RUST_MIN_STACK", (64 << 20).to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("refused many-"),
        "{output:?}"
    );
}
