//! Places that are taken for a while, and used again.

/// Values, each in a place of its own until it is taken out.
///
/// Answers of the server come under the name of a place. A name is used again only when its answer has come: so each answer is
/// for what it was asked for, and there are no more names than answers that are to come. (The server remembers who listens to
/// the last thousand subjects, and has to look up every other.)
#[derive(Debug)]
pub(crate) struct Slots<T> {
    places: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Puts a value in. Gives its place.
    pub(crate) fn put(&mut self, value: T) -> usize {
        if let Some(place) = self.free.pop() {
            self.places[place] = Some(value);
            return place;
        }
        self.places.push(Some(value));
        self.places.len() - 1
    }

    /// Takes a value out.
    pub(crate) fn take(&mut self, place: usize) -> Option<T> {
        let value = self.places.get_mut(place)?.take();
        if value.is_some() {
            self.free.push(place);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_when_its_value_was_taken_out() {
        let mut slots = Slots::new();
        assert_eq!((slots.put('a'), slots.put('b')), (0, 1));
        assert_eq!(
            (slots.take(0), slots.take(0), slots.take(7)),
            (Some('a'), None, None)
        );
        assert_eq!((slots.put('c'), slots.put('d')), (0, 2));
        assert_eq!(slots.take(1), Some('b'));
    }
}
