//! What must not happen while a volume is suspended is fatal here: an allocation, an event for a log. In a process that was forked it always is.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use dmsnap::dm::Witness;
use dmsnap::error::{Error, Kind, Result};
use nix::sys::resource::{UsageWho, getrusage};

static FROZEN: AtomicBool = AtomicBool::new(false);
/// The process that may allocate, while no other may.
static OWNER: AtomicU32 = AtomicU32::new(0);
static FAULTS: AtomicI64 = AtomicI64::new(0);

pub struct Strict;

// SAFETY: it is the system's allocator, or the end.
unsafe impl GlobalAlloc for Strict {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check();
        // SAFETY: the caller's promises are those of the trait.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        check();
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check();
        // SAFETY: as above.
        unsafe { System.realloc(memory, layout, size) }
    }
}

fn check() {
    let owner = OWNER.load(Ordering::SeqCst);
    if FROZEN.load(Ordering::SeqCst) || (owner != 0 && owner != std::process::id()) {
        // No words: they would allocate.
        std::process::abort();
    }
}

/// Whether a log would be written is fatal to ask as well.
struct NoLog;

impl tracing::Subscriber for NoLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        check();
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// What happens at a call of a switch.
#[derive(Clone, Copy)]
pub enum At {
    /// Nothing, at none.
    Never,
    /// It is refused.
    Refused(u32),
    /// The process waits, and the watchdog takes its switch.
    Late(u32, Duration),
}

/// Looks on from a switch's first call to its end.
pub struct Frozen {
    at: At,
    calls: AtomicU32,
}

impl Frozen {
    /// From now on only this process may allocate.
    pub fn new(at: At) -> Self {
        let _ = tracing::subscriber::set_global_default(NoLog);
        OWNER.store(std::process::id(), Ordering::SeqCst);
        Self { at, calls: AtomicU32::new(0) }
    }

    /// How many page faults there were meanwhile, small and large.
    pub fn faults(&self) -> i64 {
        FAULTS.load(Ordering::SeqCst)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        OWNER.store(0, Ordering::SeqCst);
    }
}

fn faults_so_far() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD)
        .map_or(-1, |usage| usage.minor_page_faults() + usage.major_page_faults())
}

impl Witness for Frozen {
    fn before(&self) -> Result<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if call == 1 {
            // What this itself touches is not to be counted.
            FROZEN.store(false, Ordering::SeqCst);
            FAULTS.store(-faults_so_far(), Ordering::SeqCst);
            FAULTS.store(-faults_so_far(), Ordering::SeqCst);
            FROZEN.store(true, Ordering::SeqCst);
        }
        match self.at {
            At::Refused(at) if at == call => {
                // The words of a refusal are the test's own.
                FROZEN.store(false, Ordering::SeqCst);
                let refusal = Error::new(Kind::Internal, "refused by the test");
                FROZEN.store(true, Ordering::SeqCst);
                return Err(refusal);
            }
            At::Late(at, time) if at == call => std::thread::sleep(time),
            _ => {}
        }
        Ok(())
    }

    fn after(&self) {
        FROZEN.store(false, Ordering::SeqCst);
        FAULTS.fetch_add(faults_so_far(), Ordering::SeqCst);
    }
}
