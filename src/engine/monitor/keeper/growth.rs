//! How a keeper makes stores larger, and what it does when it cannot.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{HASTY, Keeper, Watched};
use crate::engine::Report;
use crate::engine::monitor::board::Short;
use crate::engine::view::SnapshotView;
use crate::error::Kind;
use crate::lvm::LvName;
use crate::units::Bytes;

/// Who is locked out for so long says so.
const PATIENCE: Duration = Duration::from_secs(1);

impl Keeper<'_> {
    /// Makes those stores larger that need it, the most urgent first.
    pub(super) fn extend(&mut self, now: Duration) {
        self.has_grown = false;
        self.relieve();
        let wanted = self.wanted(now);
        if wanted.is_empty() {
            self.let_in();
            return;
        }
        if let Some(refusal) = self.read.as_ref().and_then(|read| read.refusal()) {
            let words = format!("{refusal}; its snapshots are watched and cannot be extended");
            self.fall_short(&wanted, Short::Refused, &words, now);
            return;
        }
        match self.engine.widen_stores(&self.vg, &wanted, HASTY) {
            Ok(report) => {
                self.let_in();
                self.pace.took(report.worked, now);
                self.grown(&wanted, &report, now);
            }
            Err(error) if error.kind() == Kind::Locked => self.is_locked_out(now),
            Err(error) => {
                self.let_in();
                let is_full = error.kind() == Kind::NoSpace;
                let short = if is_full { Short::NoSpace } else { Short::Failed };
                self.is_stale.fetch_or(!is_full, Ordering::SeqCst);
                self.fall_short(&wanted, short, &error.to_string(), now);
            }
        }
    }

    /// Stores that are large enough after all are short no more; while one is, the group is read often, for its space may be new.
    fn relieve(&mut self) {
        let (mut is_relieved, mut is_any_short) = (false, false);
        for store in self.stores.iter_mut().filter(|store| store.short.is_some()) {
            if store.store().wanted(&self.pace).is_none() {
                store.short = None;
                is_relieved = true;
            }
            is_any_short |= store.short.is_some();
        }
        if is_relieved {
            self.publish(0, None);
        }
        self.is_stale.fetch_or(is_any_short, Ordering::SeqCst);
    }

    /// The stores to be made larger, and their sizes.
    fn wanted(&self, now: Duration) -> Vec<(LvName, Bytes)> {
        let needs = |store: &Watched| {
            let size = store.store().wanted(&self.pace)?;
            let is_due = store.short.is_none() || self.growing.is_due(now);
            is_due.then(|| (store.gauge.until_full(now), store.name.clone(), size))
        };
        let mut wanted: Vec<_> = self.stores.iter().filter_map(needs).collect();
        wanted.sort_by_key(|(left, ..)| left.unwrap_or(Duration::MAX));
        wanted.into_iter().map(|(_, name, size)| (name, size)).collect()
    }

    /// What became of those that were to grow.
    fn grown(&mut self, wanted: &[(LvName, Bytes)], report: &Report<SnapshotView>, now: Duration) {
        let sizes: BTreeMap<_, _> =
            report.objects.iter().map(|view| (view.name.as_str(), view.cow_size_bytes)).collect();
        let (mut grown, mut full, mut failed) = (0, Vec::new(), Vec::new());
        for (name, size) in wanted {
            let Some(store) = self.stores.iter_mut().find(|store| store.name == *name) else { continue };
            let Some(has) = sizes.get(name.as_str()).copied() else {
                failed.push((name.clone(), *size));
                continue;
            };
            let more = has - store.gauge.last().total;
            grown += u64::from(!more.is_zero());
            self.free = self.free - more;
            store.gauge.grown(has);
            if has >= *size {
                store.short = None;
            } else {
                full.push((name.clone(), *size));
            }
        }
        self.has_grown = grown > 0;
        self.pace.shares(self.free, self.stores.len());
        if full.is_empty() && failed.is_empty() {
            self.growing.renew();
        }
        if grown > 0 {
            tracing::info!(vg = %self.vg, grown, took = ?report.worked, "stores were made larger");
        }
        self.publish(grown, Some(report.worked));
        let words = format!("volume group {} is full; `dmsnap vg extend {0} DEV` adds a device", self.vg);
        self.fall_short(&full, Short::NoSpace, &words, now);
        for one in failed {
            // It may also be one that is not there any more.
            self.is_stale.store(true, Ordering::SeqCst);
            let store = format!("{}/{}", self.vg, one.0);
            let note = report.notes.iter().find(|note| note.contains(&store));
            let why = note.cloned().unwrap_or_else(|| report.notes.join("; "));
            self.fall_short(&[one], Short::Failed, &why, now);
        }
    }

    /// These are not as large as they should be, and why.
    fn fall_short(&mut self, wanted: &[(LvName, Bytes)], short: Short, why: &str, now: Duration) {
        if wanted.is_empty() {
            return;
        }
        self.growing.failed(now);
        for (name, _) in wanted {
            let Some(store) = self.stores.iter_mut().find(|store| store.name == *name) else { continue };
            if store.short.replace(short) == Some(short) {
                continue;
            }
            let left = store.gauge.until_full(now);
            let left = left.map_or_else(String::new, |left| format!(", and is full in {} s", left.as_secs()));
            tracing::error!("the store of {}/{name} cannot grow as it should{left}: {why}", self.vg);
        }
        self.publish(0, None);
    }

    /// Somebody has the group's lock.
    fn is_locked_out(&mut self, now: Duration) {
        let since = *self.locked_out.get_or_insert(now);
        self.board.note_locked_out(&self.vg, Some(since));
        if now.saturating_sub(since) >= PATIENCE {
            let words = format!(
                "stores of volume group {} are to grow, and another process keeps it locked; `fuser -v` on its lock file says which",
                self.vg
            );
            self.complaints.tell("the lock", words);
        }
    }

    /// Nobody has it any more.
    fn let_in(&mut self) {
        if self.locked_out.take().is_some() {
            self.board.note_locked_out(&self.vg, None);
            self.complaints.forget("the lock");
        }
    }
}
