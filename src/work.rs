//! Counts the steps of what may be done thousands of times, for unit tests that find out without a clock what costs more than a pass.

#[cfg(test)]
thread_local!(static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });

/// One step: a comparison, a place given. Costs nothing outside unit tests.
#[inline]
pub(crate) fn step() {
    #[cfg(test)]
    STEPS.set(STEPS.get() + 1);
}

/// The steps that something takes.
#[cfg(test)]
pub(crate) fn of<T>(work: impl FnOnce() -> T) -> u64 {
    let before = STEPS.get();
    drop(work());
    STEPS.get() - before
}

/// Fails if four times as much takes more than five times the steps: each with each would be sixteen times.
#[cfg(test)]
pub(crate) fn assert_linear(what: &str, mut steps: impl FnMut(u64) -> u64) {
    let (small, large) = (steps(200), steps(800));
    assert!(small > 0, "{what}: nothing is counted");
    assert!(large <= 5 * small, "{what}: {small} steps for 200, {large} for 800");
}
