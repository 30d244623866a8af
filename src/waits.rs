//! Which runs wait for which others, of all services: so that a wait that would close a circle is found before it does.
//!
//! A run waits while its worker's thread is blocked in a wait. A wait for one run cannot end while that run waits for
//! this one, directly or through others; a wait for the first of several cannot while that is so of all of them.
//! Whoever would close such a circle is refused, so there never is one, and each question comes to an end.

use std::collections::{BTreeMap, BTreeSet};

use crate::request_id::RequestId;
use crate::sync::Arc;
use crate::sync::process::Mutex;

/// A run, and what its request is called, if that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) id: RequestId,
    pub(crate) name: Option<String>,
}

/// A run that waits, and the runs for the first of which it waits.
#[derive(Debug)]
struct Wait {
    waits: Named,
    any_of: Arc<[RequestId]>,
}

/// LOCK: taken by threads that are about to block, and alone: nothing is called under it.
static WAITS: Mutex<BTreeMap<RequestId, Wait>> = Mutex::new(BTreeMap::new());

/// These runs wait, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Waiting(Vec<RequestId>);

impl Waiting {
    /// All of `runs`, which one thread holds, wait for the first of `any_of`.
    ///
    /// # Errors
    ///
    /// The runs of the circle that this would close, each waiting for the next.
    pub(crate) fn begin(runs: Vec<Named>, any_of: Vec<RequestId>) -> Result<Self, Vec<Named>> {
        let mut waits = WAITS.lock();
        if let Some(circle) = circle(&waits, &runs, &any_of) {
            return Err(circle);
        }
        let any_of: Arc<[RequestId]> = any_of.into();
        let ids = runs.iter().map(|run| run.id).collect();
        for run in runs {
            let any_of = Arc::clone(&any_of);
            waits.insert(run.id, Wait { waits: run, any_of });
        }
        Ok(Self(ids))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waits = WAITS.lock();
        for run in &self.0 {
            waits.remove(run);
        }
    }
}

/// The circle that is closed if `runs` wait for the first of `any_of`: one of them, and those on the way back to it.
fn circle(
    waits: &BTreeMap<RequestId, Wait>,
    runs: &[Named],
    any_of: &[RequestId],
) -> Option<Vec<Named>> {
    let mut closed_by = None;
    let mut circle = Vec::new();
    let mut seen = BTreeSet::new();
    // Not recursive: a chain of waits may be as long as there are workers.
    let mut ahead: Vec<_> = any_of.to_vec();
    while let Some(run) = ahead.pop() {
        if !seen.insert(run) {
            continue;
        }
        if let Some(own) = runs.iter().find(|own| own.id == run) {
            closed_by = Some(own.clone());
            continue;
        }
        // One that does not wait will end some time, and whoever waits for the first of several with it.
        let wait = waits.get(&run)?;
        circle.push(wait.waits.clone());
        ahead.extend_from_slice(&wait.any_of);
    }
    let mut all = vec![closed_by?];
    all.append(&mut circle);
    Some(all)
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

    fn wait(run: &Named, any_of: &[&Named]) -> Result<Waiting, Vec<Named>> {
        let any_of = any_of.iter().map(|run| run.id).collect();
        Waiting::begin(vec![run.clone()], any_of)
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
}
