//! When what failed is tried again, and what is said of it. Pure, but for the log.

use std::collections::BTreeMap;
use std::time::Duration;

use super::AT_LEAST_EVERY;
use crate::error::Result;

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// Later every time, until something is new: others have to pass between, who may mend it.
#[derive(Debug, Default)]
pub(super) struct Retry {
    again: Duration,
    pause: Duration,
}

impl Retry {
    /// True if it may be tried.
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.again
    }

    /// It has failed.
    pub fn failed(&mut self, now: Duration) {
        self.pause = (self.pause * 2).clamp(FIRST, AT_LEAST_EVERY);
        self.again = now + self.pause;
    }

    /// It went well, or things are not what they were.
    pub fn renew(&mut self) {
        *self = Self::default();
    }
}

/// What was complained of, by what it was about: each trouble is told once.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<String, String>);

impl Complaints {
    /// The value; an error is told if it is another one than the last.
    pub fn hear<T>(&mut self, about: &str, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.0.remove(about);
                Some(value)
            }
            Err(error) => {
                self.tell(about, error.to_string());
                None
            }
        }
    }

    /// Tells a trouble.
    pub fn tell(&mut self, about: &str, words: String) {
        if self.0.get(about) != Some(&words) {
            tracing::error!("{words}");
            self.0.insert(about.to_owned(), words);
        }
    }

    /// It is over.
    pub fn forget(&mut self, about: &str) {
        self.0.remove(about);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    #[test]
    fn what_fails_is_tried_less_and_less_often_until_something_is_new() {
        let mut retry = Retry::default();
        let (mut now, mut tries) = (Duration::ZERO, Vec::new());
        while now < Duration::from_secs(300) {
            if retry.is_due(now) {
                tries.push(now.as_secs());
                retry.failed(now);
            }
            now += Duration::from_millis(100);
        }
        assert_eq!(tries, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        retry.renew();
        assert!(retry.is_due(now));
        retry.failed(now);
        assert!(retry.is_due(now + FIRST));
    }

    #[test]
    fn a_trouble_is_told_once_and_again_when_it_had_been_over() {
        let mut complaints = Complaints::default();
        let trouble = || Err::<(), _>(Error::new(Kind::Internal, "bad"));
        let is_known = |complaints: &Complaints| complaints.0.get("disk").map(String::as_str) == Some("bad");
        assert_eq!(complaints.hear("disk", trouble()), None);
        assert!(is_known(&complaints));
        assert_eq!(complaints.hear("disk", Ok(1)), Some(1));
        assert!(!is_known(&complaints));
    }
}
