//! What was aborted lately, and may be delivered yet.

use std::collections::{HashSet, VecDeque};

/// So many are remembered.
const MOST: usize = 4096;

/// The names of submissions that nobody wants, in the order in which that was heard.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    names: HashSet<String>,
    order: VecDeque<String>,
}

impl Recent {
    pub(crate) fn insert(&mut self, name: String) {
        if self.names.insert(name.clone()) {
            self.order.push_back(name);
        }
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten() {
        let mut recent = Recent::default();
        (0..=MOST).for_each(|n| recent.insert(n.to_string()));
        recent.insert("1".to_owned());
        assert!(!recent.contains("0") && recent.contains("1"));
        assert!(recent.contains(&MOST.to_string()));
    }
}
