//! Which runs wait for which others, of all services: so that a wait that would close a circle is found before it does.
//!
//! A run waits while its worker's thread is blocked in a wait. A wait for one run cannot end while that run waits for
//! this one, directly or through others; a wait for the first of several cannot while that is so of all of them. A run
//! that can be done by one worker only, or after another run only, waits for these before it begins.
//!
//! Whoever would close such a circle is refused, so there never is one, and each question comes to an end.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::WorkerRecord;
use crate::request_id::RequestId;
use crate::service_id::ServiceId;
use crate::status::WorkerId;
use crate::sync::Arc;
use crate::sync::process::Mutex;
use crate::sync::process::atomic::{AtomicUsize, Ordering};

/// A run, and what its request is called, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) id: RequestId,
    pub(crate) name: Option<String>,
}

/// A run that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) run: Named,
    pub(crate) obstacle: Option<Obstacle>,
}

/// What a run that has not begun waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// The worker that alone can do it, the first of its line.
    Worker { service: ServiceId, line: WorkerId },
    /// A run.
    Run(RequestId),
}

/// A worker whose thread waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiter {
    pub(crate) service: ServiceId,
    pub(crate) record: Arc<WorkerRecord>,
}

/// What one thread waits for.
#[derive(Debug)]
struct Wait {
    service: ServiceId,
    worker: WorkerId,
    /// Whose place the worker has; nobody's, once another one has taken that.
    line: Option<WorkerId>,
    /// What the thread runs.
    runs: Vec<Named>,
    any_of: Vec<Target>,
}

/// All that wait. LOCK: taken by threads that are about to block, and alone: nothing is called under it, and what is
/// under it is plain.
static WAITS: Mutex<Waits> = Mutex::new(Waits(BTreeMap::new(), 0));

/// By serial numbers, and the next one of these.
#[derive(Debug)]
struct Waits(BTreeMap<u64, Wait>, u64);

/// How many look for obstacles, or wait.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// Somebody waits, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting(Option<u64>);

/// A run has begun, or whatever it had to wait for is out of its way.
///
/// ORDERING: that is so before, SeqCst or by a lock; then the count is read. Whoever is about to wait counts himself,
/// SeqCst, and looks for obstacles again after he has been entered. So one of the two sees the other.
#[inline]
pub(crate) fn go_on(run: RequestId) {
    if LOOKING.load(Ordering::SeqCst) > 0 {
        WAITS.lock().go_on(run);
    }
}

/// A worker was given up, and what it alone could do is another one's. ORDERING: as in [`go_on`].
pub(crate) fn lose(service: ServiceId, worker: &WorkerRecord) {
    if LOOKING.load(Ordering::SeqCst) > 0 {
        WAITS.lock().lose(service, worker.id);
    }
}

impl Waiting {
    /// `by`, whose thread runs `runs`, waits for the first of `any_of`.
    ///
    /// # Errors
    ///
    /// The runs of the circle that this would close, each waiting for the next.
    pub(crate) fn begin(
        by: &Waiter,
        runs: &[Named],
        any_of: impl Fn() -> Vec<Target>,
    ) -> Result<Self, Vec<Named>> {
        LOOKING.fetch_add(1, Ordering::SeqCst);
        let mut waiting = Self(None);
        loop {
            let any_of_now = any_of();
            let obstacles = obstacles(&any_of_now);
            let wait = Wait {
                service: by.service,
                worker: by.record.id,
                line: Some(by.record.line),
                runs: runs.to_vec(),
                any_of: any_of_now,
            };
            let entered = WAITS.lock().enter(wait);
            // An obstacle may have gone before anybody could be told of it.
            let gone = if obstacles.is_empty() {
                Vec::new()
            } else {
                let left = self::obstacles(&any_of());
                let gone = obstacles.into_iter().filter(|one| !left.contains(one));
                gone.collect()
            };
            match entered {
                Err(circle) if gone.is_empty() => return Err(circle),
                Err(_) => {}
                Ok(serial) => {
                    waiting.0 = Some(serial);
                    if by.record.is_lost() {
                        lose(by.service, &by.record);
                    }
                    gone.into_iter().for_each(|(run, _)| go_on(run));
                    return Ok(waiting);
                }
            }
        }
    }
}

fn obstacles(targets: &[Target]) -> Vec<(RequestId, Obstacle)> {
    let obstacle = |target: &Target| Some((target.run.id, target.obstacle?));
    targets.iter().filter_map(obstacle).collect()
}

impl Drop for Waiting {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::SeqCst);
        if let Some(serial) = self.0 {
            WAITS.lock().0.remove(&serial);
        }
    }
}

impl Waits {
    fn enter(&mut self, wait: Wait) -> Result<u64, Vec<Named>> {
        if let Some(circle) = self.circle(&wait) {
            return Err(circle);
        }
        let serial = self.1;
        self.1 += 1;
        self.0.insert(serial, wait);
        Ok(serial)
    }

    fn go_on(&mut self, run: RequestId) {
        let targets = self.0.values_mut().flat_map(|wait| &mut wait.any_of);
        let freed = targets.filter(|target| target.run.id == run);
        freed.for_each(|target| target.obstacle = None);
    }

    fn lose(&mut self, service: ServiceId, worker: WorkerId) {
        let waits = self.0.values_mut();
        let lost = waits.filter(|wait| wait.service == service && wait.worker == worker);
        lost.for_each(|wait| wait.line = None);
    }

    /// The circle that `new` closes: one of its runs, and those on the way back to it.
    fn circle(&self, new: &Wait) -> Option<Vec<Named>> {
        let mut closed_by = None;
        let mut circle = Vec::new();
        let mut seen = BTreeSet::new();
        // Not recursive: a chain of waits may be as long as there are workers.
        let mut ahead = new.any_of.clone();
        while let Some(target) = ahead.pop() {
            let id = target.run.id;
            if !seen.insert(id) {
                continue;
            }
            if let Some(own) = new.runs.iter().find(|own| own.id == id) {
                closed_by = Some(own.clone());
                continue;
            }
            if let Some((wait, run)) = self.of(id) {
                circle.push(run.clone());
                ahead.extend_from_slice(&wait.any_of);
                continue;
            }
            // One that neither waits nor has an obstacle will end some time, and whoever waits for the first of
            // several with it.
            let obstacle = target.obstacle?;
            circle.push(target.run.clone());
            match obstacle {
                Obstacle::Run(run) => ahead.push(Target::of(run)),
                Obstacle::Worker { service, line } if new.is_of(service, line) => {
                    let own = new.runs.first().or(circle.last());
                    closed_by = own.cloned();
                }
                Obstacle::Worker { service, line } => {
                    let mut all = self.0.values();
                    let wait = all.find(|wait| wait.is_of(service, line))?;
                    circle.extend(wait.runs.first().cloned());
                    ahead.extend_from_slice(&wait.any_of);
                }
            }
        }
        let mut all = vec![closed_by?];
        all.append(&mut circle);
        all.dedup();
        Some(all)
    }

    /// The wait of the thread that runs this.
    fn of(&self, run: RequestId) -> Option<(&Wait, &Named)> {
        self.0.values().find_map(|wait| {
            let found = wait.runs.iter().find(|one| one.id == run)?;
            Some((wait, found))
        })
    }
}

impl Wait {
    /// Whether it is by the worker of this line, or of this id: an answer is asked of a worker, not of its line.
    fn is_of(&self, service: ServiceId, line: WorkerId) -> bool {
        let is_it = |own: WorkerId| own == line || self.worker == line;
        self.service == service && self.line.is_some_and(is_it)
    }
}

impl Target {
    /// A run of which nothing is known.
    fn of(id: RequestId) -> Self {
        Self {
            run: Named { id, name: None },
            obstacle: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that no other test has.
    fn runs<const N: usize>() -> [Named; N] {
        [(); N].map(|()| Named {
            id: RequestId::new(),
            name: None,
        })
    }

    /// A worker of a service of its own.
    fn worker() -> Waiter {
        Waiter {
            service: ServiceId::new(),
            record: Arc::new(WorkerRecord::new(WorkerId(0), "".into())),
        }
    }

    fn wait(run: &Named, any_of: &[&Named]) -> Result<Waiting, Vec<Named>> {
        let any_of: Vec<_> = any_of.iter().map(|run| Target::of(run.id)).collect();
        Waiting::begin(&worker(), std::slice::from_ref(run), || any_of.clone())
    }

    /// Waits for one run that has an obstacle.
    fn wait_behind(
        by: &Waiter,
        run: &Named,
        target: &Named,
        obstacle: Obstacle,
    ) -> Result<Waiting, Vec<Named>> {
        let target = Target {
            run: target.clone(),
            obstacle: Some(obstacle),
        };
        Waiting::begin(by, std::slice::from_ref(run), || vec![target.clone()])
    }

    fn only(worker: &Waiter) -> Obstacle {
        Obstacle::Worker {
            service: worker.service,
            line: worker.record.line,
        }
    }

    #[test]
    fn a_run_that_waits_for_itself_closes_a_circle() {
        let [a] = runs();
        assert_eq!(wait(&a, &[&a]).expect_err("a circle"), [a]);
    }

    #[test]
    fn the_one_who_closes_a_circle_of_many_is_told_who_they_are() {
        let [a, b, c, d] = runs();
        let _a = wait(&a, &[&b]).expect("no circle");
        let _b = wait(&b, &[&c]).expect("no circle");
        assert!(wait(&d, &[&a]).is_ok());
        assert_eq!(wait(&c, &[&a]).expect_err("a circle"), [c.clone(), a, b]);
        assert!(wait(&c, &[&d]).is_ok());
    }

    #[test]
    fn a_wait_that_has_ended_closes_nothing() {
        let [a, b] = runs();
        drop(wait(&a, &[&b]).expect("no circle"));
        assert!(wait(&b, &[&a]).is_ok());
    }

    #[test]
    fn whoever_waits_for_the_first_of_several_is_stuck_when_all_of_them_are() {
        let [a, b, c, free] = runs();
        let _b = wait(&b, &[&a]).expect("no circle");
        let _c = wait(&c, &[&a]).expect("no circle");
        drop(wait(&a, &[&b, &free, &c]).expect("no circle"));
        assert!(wait(&a, &[&b, &c]).is_err());
        drop(wait(&a, &[]).expect("no circle"));
    }

    #[test]
    fn what_only_this_worker_can_do_cannot_be_waited_for_here() {
        let [a, b] = runs();
        let (me, other) = (worker(), worker());
        let circle = wait_behind(&me, &a, &b, only(&me)).expect_err("a circle");
        assert_eq!(circle, [a.clone(), b.clone()]);
        assert!(wait_behind(&me, &a, &b, only(&other)).is_ok());
    }

    #[test]
    fn two_workers_that_wait_for_what_only_the_other_can_do_close_a_circle() {
        let [a, b, for_a, for_b] = runs();
        let (x, y) = (worker(), worker());
        let _a = wait_behind(&x, &a, &for_b, only(&y)).expect("no circle");
        let circle = wait_behind(&y, &b, &for_a, only(&x)).expect_err("a circle");
        assert_eq!(circle, [b.clone(), for_a.clone(), a, for_b.clone()]);
        // Once the one is begun, it will end.
        go_on(for_b.id);
        assert!(wait_behind(&y, &b, &for_a, only(&x)).is_ok());
    }

    #[test]
    fn an_answer_is_that_of_a_worker_also_where_it_took_the_place_of_another() {
        let [a, answer] = runs();
        let first = worker();
        let heir = Waiter {
            service: first.service,
            record: Arc::new(first.record.heir(WorkerId(5))),
        };
        let asked = Obstacle::Worker {
            service: heir.service,
            line: heir.record.id,
        };
        assert!(wait_behind(&heir, &a, &answer, asked).is_err());
        assert!(wait_behind(&heir, &a, &answer, only(&heir)).is_err());
        assert!(wait_behind(&first, &a, &answer, asked).is_ok());
    }

    #[test]
    fn what_comes_after_a_run_that_waits_for_it_never_comes() {
        let [a, next] = runs();
        let behind = Obstacle::Run(a.id);
        assert!(wait_behind(&worker(), &a, &next, behind).is_err());
    }

    #[test]
    fn the_place_of_a_worker_that_was_given_up_is_taken_by_another() {
        let [a, b, for_a, for_b] = runs();
        let (x, y) = (worker(), worker());
        let waits = wait_behind(&x, &a, &for_b, only(&y)).expect("no circle");
        assert!(wait_behind(&y, &b, &for_a, only(&x)).is_err());
        x.record.lose();
        lose(x.service, &x.record);
        assert!(wait_behind(&y, &b, &for_a, only(&x)).is_ok());
        drop(waits);
        let _a = wait_behind(&x, &a, &for_b, only(&y)).expect("no circle");
        assert!(wait_behind(&y, &b, &for_a, only(&x)).is_ok());
    }
}
