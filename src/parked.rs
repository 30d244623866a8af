//! Runs that wait for an equal one to end.
//!
//! When everybody has left a run that goes on, the next equal request is a new run, and one key has one run at a
//! time: so it is parked behind the old one, out of the queue and out of the in-flight table, until that one ends.

use std::collections::HashMap;

use crate::in_flight::Keyed;
use crate::request_id::RequestId;
use crate::sync::{Arc, Mutex};

/// What is parked, and behind what, by the address of what it waits for. Things are parked, and taken when what they
/// wait for ends, under the lock of their key's shard, so that neither misses the other.
#[derive(Debug)]
pub(crate) struct Parked<E>(Mutex<HashMap<usize, (RequestId, Arc<E>)>>);

impl<E: Keyed> Parked<E> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Parks `entry` behind `running`. It takes the place of one that was withdrawn, whose withdrawer holds it.
    pub(crate) fn park(&self, running: &Arc<E>, entry: Arc<E>) {
        let parked = (running.id(), entry);
        // What was withdrawn is held by whoever did that, so nothing is dropped here.
        self.0.lock().insert(address(running), parked);
    }

    /// What is parked behind `running`, as `f` sees it.
    pub(crate) fn behind<T>(&self, running: &Arc<E>, f: impl FnOnce(&Arc<E>) -> T) -> Option<T> {
        let parked = self.0.lock();
        parked.get(&address(running)).map(|(_, entry)| f(entry))
    }

    /// Takes what is parked behind `running`.
    pub(crate) fn take_behind(&self, running: &Arc<E>) -> Option<Arc<E>> {
        let parked = self.0.lock().remove(&address(running));
        parked.map(|(_, entry)| entry)
    }

    /// What `entry` is parked behind.
    pub(crate) fn obstacle(&self, entry: &Arc<E>) -> Option<RequestId> {
        let parked = self.0.lock();
        let mut all = parked.values();
        let found = all.find(|(_, waits)| Arc::ptr_eq(waits, entry));
        found.map(|(running, _)| *running)
    }

    /// Takes `entry` out, whatever it is parked behind. There are never more than there are running requests.
    pub(crate) fn remove(&self, entry: &Arc<E>) -> Option<Arc<E>> {
        let mut parked = self.0.lock();
        let mut all = parked.iter();
        let (key, _) = all.find(|(_, (_, waits))| Arc::ptr_eq(waits, entry))?;
        let key = *key;
        parked.remove(&key).map(|(_, entry)| entry)
    }

    /// Takes everything out.
    pub(crate) fn drain(&self) -> Vec<Arc<E>> {
        let mut parked = self.0.lock();
        parked.drain().map(|(_, (_, entry))| entry).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn address<E>(entry: &Arc<E>) -> usize {
    Arc::as_ptr(entry).addr()
}
