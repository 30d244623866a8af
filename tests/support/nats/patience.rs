use std::time::{Duration, Instant};

/// No server takes longer than this for anything, not even on a machine that has much else to do.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Other processes tell nobody when they are ready, so they are asked again after so long.
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again; the last error where it is none in time.
pub fn try_until<T, E>(limit: Duration, mut ask: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let start = Instant::now();
    loop {
        match ask() {
            Err(error) if start.elapsed() > limit => return Err(error),
            Err(_) => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
}

/// Asks again and again for what a server is to become, and panics where it does not.
#[track_caller]
pub fn wait_until<T>(what: &str, ask: impl FnMut() -> Result<T, String>) -> T {
    try_until(LIMIT, ask).unwrap_or_else(|error| panic!("{what}: not in {LIMIT:?}; {error}"))
}
