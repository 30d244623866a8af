//! Parts that this program plays in processes of their own: workers and callers that can be killed.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use parallel_workers::nats::{self, Connection, Queue, Remote, Serving};
use parallel_workers::{ProcessorService, Promise};

use crate::job::{Job, Output, Worker};

pub(crate) type Service = ProcessorService<Remote<Worker>>;
pub(crate) type JobPromise = Promise<Job, Output>;

const ROLE: &str = "NATS_TEST_ROLE";

/// A queue, and where it is kept.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) lease: Duration,
}

impl Place {
    /// On this server, with a lease that is over soon.
    pub(crate) fn new(url: String, name: &str) -> Self {
        let (name, lease) = (name.to_owned(), Duration::from_millis(600));
        Self { url, name, lease }
    }

    /// With a lease that no test outlives.
    pub(crate) fn patient(mut self) -> Self {
        self.lease = Duration::from_secs(300);
        self
    }

    pub(crate) fn connection(&self) -> Connection {
        Connection::to(&self.url)
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::named(&self.name).storage(64 << 20).lease(self.lease)
    }

    /// A caller in this process.
    pub(crate) fn caller(&self) -> Service {
        self.caller_with(512)
    }

    pub(crate) fn caller_with(&self, window: usize) -> Service {
        let place = self.clone();
        let connect = move || {
            let remote = Remote::to(place.connection(), place.queue());
            remote.window(window).connect()
        };
        ProcessorService::builder()
            .workers(1)
            .try_start(connect)
            .unwrap()
    }

    /// Workers in this process.
    pub(crate) fn serve(&self, workers: usize) -> Serving<Worker> {
        let options = nats::ServeOptions::of(self.queue()).workers(workers);
        nats::serve(&self.connection(), options, Worker::default).unwrap()
    }

    pub(crate) fn status(&self) -> nats::QueueStatus {
        nats::status(&self.connection(), &self.queue()).unwrap()
    }

    /// A process with so many workers.
    pub(crate) fn worker_process(&self, workers: usize) -> Role {
        self.play(&["serve", &workers.to_string()])
    }

    /// A process that queues a job.
    pub(crate) fn caller_process(&self, job: &Job) -> Role {
        self.play(&["queue", &serde_json::to_string(job).unwrap()])
    }

    fn play(&self, part: &[&str]) -> Role {
        let millis = self.lease.as_millis().to_string();
        let mut words = vec![&*self.url, &self.name, &millis];
        words.extend(part);
        let mut command = Command::new(env::current_exe().unwrap());
        command.env(ROLE, serde_json::to_string(&words).unwrap());
        // It ends with its input: with this program, however that ends.
        command.stdin(Stdio::piped()).stderr(Stdio::null());
        Role(command.spawn().unwrap())
    }
}

/// A process that plays a part. It is killed when this is dropped.
pub(crate) struct Role(Child);

impl Role {
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Plays a part, if this program was started for one.
pub(crate) fn play() {
    let Ok(words) = env::var(ROLE) else {
        return;
    };
    let words: Vec<String> = serde_json::from_str(&words).unwrap();
    let [url, name, millis, role, what] = &words[..] else {
        panic!("{words:?} is no role");
    };
    let place = Place {
        url: url.clone(),
        name: name.clone(),
        lease: Duration::from_millis(millis.parse().unwrap()),
    };
    std::thread::spawn(|| {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        std::process::abort();
    });
    match &**role {
        "serve" => {
            let _serving = place.serve(what.parse().unwrap());
            loop {
                std::thread::park();
            }
        }
        _ => {
            let service = place.caller();
            let promise = service.queue_request(serde_json::from_str(what).unwrap());
            let _ = promise.wait();
            std::process::exit(0);
        }
    }
}
