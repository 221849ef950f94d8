//! One call at a time for each object: a second one is answered with ABORTED, and the caller tries again. Calls on different objects
//! meet only in the engine, which commits together what waits together.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Status;

/// The objects that are worked on.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<Mutex<HashSet<String>>>);

/// The right to work on some of them, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    objects: Vec<String>,
}

impl Turns {
    /// Takes all of these, or none.
    pub fn take(&self, objects: impl IntoIterator<Item = String>) -> Result<Turn, Status> {
        let objects: Vec<_> = objects.into_iter().collect();
        let mut taken = self.taken();
        if let Some(busy) = objects.iter().find(|object| taken.contains(*object)) {
            return Err(Status::aborted(format!("another call works on {busy}; try again when it is over")));
        }
        taken.extend(objects.iter().cloned());
        Ok(Turn { turns: self.clone(), objects })
    }

    fn taken(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut taken = self.turns.taken();
        self.objects.iter().for_each(|object| {
            taken.remove(object);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_on_an_object_is_aborted_until_the_first_is_over() {
        let turns = Turns::default();
        let first = turns.take(["a".to_owned(), "b".to_owned()]).unwrap();
        assert_eq!(turns.take(["b".to_owned()]).unwrap_err().code(), tonic::Code::Aborted);
        // What was refused has taken nothing.
        assert!(turns.take(["c".to_owned(), "a".to_owned()]).is_err());
        let _third = turns.take(["c".to_owned()]).unwrap();
        drop(first);
        turns.take(["a".to_owned(), "b".to_owned()]).unwrap();
    }
}
