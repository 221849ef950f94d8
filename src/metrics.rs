//! What Prometheus sees, in its text format. The names are a contract with `deploy/prometheus` and `deploy/grafana`.
//!
//! Figures that somebody else keeps are read when they are asked for; what happens in this process is counted here.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tonic::Code;

use crate::engine::monitor::Board;
use crate::engine::monitor::board::{Figures, Group};
use crate::engine::view::SnapshotState;
use crate::engine::{Done, Observer};
use crate::error::{Error, Result};

pub mod serve;

/// The content type of what [`Metrics::text`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGroup {
    vg: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSnapshot {
    vg: String,
    snapshot: String,
    origin: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    vg: String,
    snapshot: String,
    origin: String,
    state: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ForReason {
    vg: String,
    snapshot: String,
    origin: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfVolume {
    vg: String,
    volume: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCall {
    method: &'static str,
    code: String,
}

type Numbers<L> = Family<L, Gauge<f64, AtomicU64>>;
type Counts = Family<OfGroup, Counter>;
type Times = Family<OfOperation, Histogram>;
type Calls = Family<OfCall, Histogram>;

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    board: Arc<Board>,
    shown: Shown,
    commits: Family<OfGroup, Counter>,
    operations: Times,
    freezes: Histogram,
    calls: Calls,
}

/// What is read when it is asked for.
#[derive(Default)]
struct Shown {
    size: Numbers<OfGroup>,
    free: Numbers<OfGroup>,
    extensions: Counts,
    failures: Counts,
    late: Numbers<OfGroup>,
    suspended: Numbers<OfGroup>,
    used: Numbers<OfSnapshot>,
    store: Numbers<OfSnapshot>,
    rate: Numbers<OfSnapshot>,
    until_full: Numbers<OfSnapshot>,
    short: Numbers<ForReason>,
    progress: Numbers<OfSnapshot>,
    filled: Numbers<OfVolume>,
    state: Numbers<InState>,
}

impl Metrics {
    /// Those of a process whose monitor writes to this board.
    pub fn new(board: Arc<Board>) -> Self {
        let mut registry = Registry::with_prefix("dmsnap");
        let shown = Shown::registered(&mut registry);
        let commits = Family::default();
        registry.register(
            "commits",
            "Versions of a volume group's metadata that were written",
            commits.clone(),
        );
        let operations = Times::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)));
        let help = "From an operation's call to its confirmation";
        registry.register_with_unit("operation", help, Unit::Seconds, operations.clone());
        let freezes = Histogram::new(exponential_buckets(0.0001, 2.0, 17));
        let help = "The longest time that a volume's I/O waited for an operation";
        registry.register_with_unit("freeze", help, Unit::Seconds, freezes.clone());
        let calls = Calls::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)));
        let help = "From a call of the CSI driver to its answer";
        registry.register_with_unit("csi_call", help, Unit::Seconds, calls.clone());
        Self { registry, board, shown, commits, operations, freezes, calls }
    }

    /// All of them, as text.
    pub fn text(&self) -> Result<String> {
        self.shown.show(&self.board);
        self.encoded()
    }

    /// Counts a call of the CSI driver.
    pub fn called(&self, method: &'static str, code: Code, elapsed: Duration) {
        let code = format!("{code:?}");
        self.calls.get_or_create(&OfCall { method, code }).observe(elapsed.as_secs_f64());
    }

    fn encoded(&self) -> Result<String> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)
            .map_err(|error| Error::io("metrics cannot be written", error))?;
        Ok(text)
    }
}

impl Observer for Metrics {
    fn committed(&self, vg: &str) {
        self.commits.get_or_create(&OfGroup { vg: vg.to_owned() }).inc();
    }

    fn done(&self, done: &Done<'_>) {
        // `snapshot create vg0/db`: what it is done to is no label, there are too many.
        let mut words = done.what.split_whitespace().filter(|word| !word.contains('/')).take(2);
        let mut operation = words.next().unwrap_or_default().to_owned();
        // A `String` takes everything.
        let _ = words.next().map_or(Ok(()), |word| write!(operation, " {word}"));
        let outcome = if done.is_ok { "ok" } else { "failed" };
        self.operations
            .get_or_create(&OfOperation { operation, outcome })
            .observe(done.elapsed.as_secs_f64());
        if let Some(frozen) = done.frozen {
            self.freezes.observe(frozen.as_secs_f64());
        }
    }
}

impl Shown {
    fn registered(registry: &mut Registry) -> Self {
        let shown = Self::default();
        let bytes = |name: &str| (name.to_owned(), Some(Unit::Bytes));
        let seconds = |name: &str| (name.to_owned(), Some(Unit::Seconds));
        let plain = |name: &str| (name.to_owned(), None);
        let groups = [
            (bytes("vg_size"), "Extents of a volume group", &shown.size),
            (bytes("vg_free"), "Free extents of a volume group", &shown.free),
            (
                seconds("keeper_late"),
                "How long stores have had to grow and the lock was another's",
                &shown.late,
            ),
            (seconds("vg_suspended"), "How long a volume of the group has been suspended", &shown.suspended),
        ];
        for ((name, unit), help, family) in groups {
            register(registry, name, unit, help, family);
        }
        registry.register("store_extensions", "How often a store was made larger", shown.extensions.clone());
        let help = "How often a store should have grown and did not";
        registry.register("store_extension_failures", help, shown.failures.clone());
        let rate = ("snapshot_fill_rate".to_owned(), Some(Unit::Other("bytes_per_second".to_owned())));
        let snapshots = [
            (bytes("snapshot_used"), "What a snapshot's store holds, its metadata included", &shown.used),
            (bytes("snapshot_store"), "The size of a snapshot's store", &shown.store),
            (rate, "How fast a snapshot's store fills", &shown.rate),
            (
                seconds("snapshot_full_in"),
                "Until a snapshot's store is full, if it goes on so",
                &shown.until_full,
            ),
            (plain("snapshot_progress_ratio"), "How far a snapshot is merged", &shown.progress),
        ];
        for ((name, unit), help, family) in snapshots {
            register(registry, name, unit, help, family);
        }
        let help = "1 for a store that should have grown and did not, by the reason";
        register(registry, "snapshot_short".to_owned(), None, help, &shown.short);
        let help = "How far a volume is filled from a snapshot; absent when it is full";
        register(registry, "volume_filled_ratio".to_owned(), None, help, &shown.filled);
        register(
            registry,
            "snapshot_state".to_owned(),
            None,
            "1 for the state that a snapshot is in",
            &shown.state,
        );
        shown
    }

    /// Puts in what the board says now, and nothing of what it does not know any more.
    fn show(&self, board: &Board) {
        [&self.size, &self.free, &self.late, &self.suspended].into_iter().for_each(Family::clear);
        [&self.extensions, &self.failures].into_iter().for_each(Family::clear);
        for family in [&self.used, &self.store, &self.rate, &self.until_full, &self.progress] {
            family.clear();
        }
        self.state.clear();
        self.short.clear();
        self.filled.clear();
        for (vg, group) in board.groups() {
            self.show_group(vg.as_str(), &group, board.now());
            group.snapshots.values().for_each(|figures| self.show_snapshot(figures, board.now()));
        }
    }

    fn show_group(&self, vg: &str, group: &Group, now: Duration) {
        let label = OfGroup { vg: vg.to_owned() };
        let set = |family: &Numbers<OfGroup>, value: u64| {
            family.get_or_create(&label).set(real(value));
        };
        set(&self.size, group.size.get());
        set(&self.free, group.free.get());
        let since = |when: Option<Duration>| when.map_or(0.0, |when| now.saturating_sub(when).as_secs_f64());
        self.late.get_or_create(&label).set(since(group.locked_out));
        self.suspended.get_or_create(&label).set(since(group.suspended));
        self.extensions.get_or_create(&label).inc_by(group.extensions);
        self.failures.get_or_create(&label).inc_by(group.failures);
        for volume in &group.filling {
            let label = OfVolume { vg: vg.to_owned(), volume: volume.name.clone() };
            if let Some(percent) = volume.progress_percent {
                self.filled.get_or_create(&label).set(percent / 100.0);
            }
        }
    }

    fn show_snapshot(&self, figures: &Figures, now: Duration) {
        let view = &figures.view;
        let (vg, snapshot, origin) = (view.vg.clone(), view.name.clone(), view.origin.clone());
        let label = OfSnapshot { vg: vg.clone(), snapshot: snapshot.clone(), origin: origin.clone() };
        let set = |family: &Numbers<OfSnapshot>, value: f64| {
            family.get_or_create(&label).set(value);
        };
        set(&self.store, real(figures.store().get()));
        if let Some(used) = figures.used() {
            set(&self.used, real(used.get()));
        }
        if let Some(gauge) = &figures.gauge {
            set(&self.rate, real(gauge.rate(now).0));
            if let Some(left) = gauge.until_full(now) {
                set(&self.until_full, left.as_secs_f64());
            }
        }
        if let Some(short) = figures.short {
            let reason = short.word();
            let label =
                ForReason { vg: vg.clone(), snapshot: snapshot.clone(), origin: origin.clone(), reason };
            self.short.get_or_create(&label).set(1.0);
        }
        if let Some(percent) = view.progress_percent {
            set(&self.progress, percent / 100.0);
        }
        let state = InState { vg, snapshot, origin, state: word(view.state) };
        self.state.get_or_create(&state).set(1.0);
    }
}

fn register<L>(registry: &mut Registry, name: String, unit: Option<Unit>, help: &str, family: &Numbers<L>)
where
    L: EncodeLabelSet + Clone + std::hash::Hash + Eq + std::fmt::Debug + Send + Sync + 'static,
{
    match unit {
        Some(unit) => registry.register_with_unit(name, help, unit, family.clone()),
        None => registry.register(name, help, family.clone()),
    }
}

/// Prometheus has floating point numbers only.
#[allow(clippy::cast_precision_loss)]
fn real(value: u64) -> f64 {
    value as f64
}

/// As in JSON.
fn word(state: SnapshotState) -> String {
    serde_json::to_value(state).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::monitor::board::Short;
    use crate::engine::monitor::gauge::Sample;
    use crate::engine::view::{SnapshotView, VolumeState, VolumeView};
    use crate::units::Bytes;

    /// The names in a text that are of this process.
    fn names(text: &str) -> std::collections::BTreeSet<&str> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        words.filter(|word| word.starts_with("dmsnap_")).collect()
    }

    /// A snapshot that is merged and fills, which no real one does.
    fn figures() -> Figures {
        let sample =
            |ms, used| Sample { at: Duration::from_millis(ms), used: Bytes::mib(used), total: Bytes::mib(9) };
        let mut gauge = crate::engine::monitor::gauge::Gauge::new(sample(0, 1));
        gauge.note(sample(1000, 2));
        let view = SnapshotView {
            vg: "vg0".into(),
            name: "s".into(),
            uuid: "u".into(),
            origin: "db".into(),
            size_bytes: Bytes::mib(8),
            cow_size_bytes: Bytes::mib(9),
            used_bytes: None,
            metadata_bytes: None,
            used_percent: None,
            chunk_bytes: Bytes::kib(64),
            state: SnapshotState::Merging,
            read_only: false,
            created_at: None,
            merging: true,
            invalid: false,
            progress_percent: Some(50.0),
            eta_full_seconds: None,
            in_use_by: Vec::new(),
            tags: Vec::new(),
            device: None,
        };
        Figures { view, gauge: Some(gauge), short: Some(Short::NoSpace) }
    }

    fn filling() -> VolumeView {
        VolumeView {
            vg: "vg0".into(),
            name: "copy".into(),
            uuid: "v".into(),
            size_bytes: Bytes::mib(8),
            layout: "linear".into(),
            state: VolumeState::Filling,
            open: false,
            snapshots: Vec::new(),
            filled_from: Some("s".into()),
            progress_percent: Some(25.0),
            tags: Vec::new(),
            device: None,
        }
    }

    #[test]
    fn what_alerts_dashboard_and_documentation_ask_for_is_there() {
        let metrics = Metrics::new(Arc::default());
        metrics.committed("vg0");
        metrics.done(&Done {
            what: "check",
            is_ok: true,
            elapsed: Duration::ZERO,
            frozen: Some(Duration::ZERO),
        });
        metrics.shown.show_group(
            "vg0",
            &Group { filling: vec![filling()], ..Group::default() },
            Duration::ZERO,
        );
        metrics.shown.show_snapshot(&figures(), Duration::from_secs(1));
        let text = metrics.encoded().unwrap();
        let shown = names(&text);
        let asked = [
            include_str!("../deploy/prometheus/dmsnap.rules.yaml"),
            include_str!("../deploy/grafana/dmsnap.json"),
            include_str!("../docs/monitor.md"),
        ];
        for name in asked.iter().flat_map(|text| names(text)) {
            assert!(shown.contains(name), "{name} is not in\n{text}");
        }
        let labels = "vg=\"vg0\",snapshot=\"s\",origin=\"db\"";
        for line in [
            format!("dmsnap_snapshot_used_bytes{{{labels}}} 2097152.0"),
            format!("dmsnap_snapshot_full_in_seconds{{{labels}}} 7.0"),
            format!("dmsnap_snapshot_progress_ratio{{{labels}}} 0.5"),
            "dmsnap_volume_filled_ratio{vg=\"vg0\",volume=\"copy\"} 0.25".to_owned(),
            format!("dmsnap_snapshot_state{{{labels},state=\"merging\"}} 1.0"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn operations_and_calls_are_counted_by_what_they_are_and_not_by_what_they_are_done_to() {
        let metrics = Metrics::new(Arc::default());
        let done = |what, is_ok, frozen| Done { what, is_ok, elapsed: Duration::from_millis(3), frozen };
        metrics.done(&done("snapshot create vg0/a, vg0/b", true, Some(Duration::from_micros(200))));
        metrics.done(&done("snapshot create vg0/c", true, None));
        metrics.done(&done("activate vg0/c", false, None));
        metrics.committed("vg0");
        metrics.committed("vg0");
        metrics.called("CreateSnapshot", Code::AlreadyExists, Duration::from_millis(1));
        let text = metrics.text().unwrap();
        for line in [
            "dmsnap_operation_seconds_count{operation=\"snapshot create\",outcome=\"ok\"} 2",
            "dmsnap_operation_seconds_count{operation=\"activate\",outcome=\"failed\"} 1",
            "dmsnap_freeze_seconds_count 1",
            "dmsnap_csi_call_seconds_count{method=\"CreateSnapshot\",code=\"AlreadyExists\"} 1",
            "dmsnap_commits_total{vg=\"vg0\"} 2",
            "# EOF",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        }
    }
}
