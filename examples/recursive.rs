//! Requests that wait for other requests, on one worker: a build, in which each target waits for what it needs.
//!
//! While a target waits, a spare worker stands in. Each target is built once, whoever needs it; one that needs itself, by
//! whatever way, is an error and not a hang.

use std::error::Error;
use std::sync::{Arc, OnceLock};

use parallel_workers::{Context, Handle, Processor, ProcessorService, Share};

/// Each target, and what it needs.
const TARGETS: [(&str, &[&str]); 7] = [
    ("app", &["library", "pictures"]),
    ("library", &["core", "log"]),
    ("log", &["core"]),
    ("core", &[]),
    ("pictures", &[]),
    ("hen", &["egg"]),
    ("egg", &["hen"]),
];

struct Builder {
    service: Arc<OnceLock<Handle<Self>>>,
}

impl Processor for Builder {
    type Request = &'static str;
    /// How many targets are in it, or why there is none.
    type Output = Result<usize, String>;

    fn process(&mut self, target: &&'static str, _: &Context<'_>) -> Self::Output {
        let needed = TARGETS.iter().find(|(name, _)| name == target);
        let (_, needed) = needed.ok_or_else(|| format!("there is no target {target}"))?;
        let service = self.service.wait();
        // All are queued before the first is waited for.
        let parts: Vec<_> = needed
            .iter()
            .map(|need| service.queue_request(need))
            .collect();
        let mut all = 1;
        for part in parts {
            let built = part.wait().map_err(|failure| failure.to_string())?;
            all += built
                .clone()
                .map_err(|why| format!("{} is missing: {why}", part.request()))?;
        }
        println!("built {target}");
        Ok(all)
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let own = Arc::new(OnceLock::new());
    let service = Arc::clone(&own);
    let builder = ProcessorService::builder()
        .workers(1)
        .share(Share::WhileHeld)
        .debug_requests();
    let service = builder.start(move || Builder {
        service: Arc::clone(&service),
    })?;
    own.get_or_init(|| service.handle());

    // As long as somebody holds their promises, targets are not built again.
    let targets: Vec<_> = TARGETS
        .iter()
        .map(|(name, _)| service.queue_request(name))
        .collect();
    for target in &targets {
        match target.wait()? {
            Ok(parts) => println!("{}: {parts} built into it", target.request()),
            Err(why) => println!("{}: {why}", target.request()),
        }
    }
    let status = service.status();
    println!(
        "{} workers, {} builds",
        status.workers.len(),
        status.settled.outputs
    );
    Ok(())
}
