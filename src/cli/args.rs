//! What may be said on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::csi::DRIVER;
use crate::csi::server::Endpoint;
use crate::engine::setup::Labelling;
use crate::error::Result;
use crate::lvm::{LvName, Policy, Tag, VgName};
use crate::units::{Bytes, ChunkSize, Resize, Size};

mod place;

use place::group_name;
pub use place::{NewName, Place, VolumePath};

/// Snapshots of volumes on LVM-formatted disks, by device-mapper itself.
#[derive(Debug, Parser)]
#[command(name = "dmsnap", version, max_term_width = 120, after_help = EXIT_STATUS)]
pub struct Cli {
    /// How the answer is printed
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        env = "DMSNAP_OUTPUT"
    )]
    pub output: Format,

    /// Print what would be done, under the same checks, and change nothing
    ///
    /// Metadata edits and device-mapper steps are printed in order; those between suspend and resume are marked with "|".
    #[arg(long, global = true)]
    pub dry_run: bool,

    /// Fail at once with exit status 8 if another process holds a lock
    #[arg(long, global = true)]
    pub no_wait: bool,

    /// No notes on standard error
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Say more on standard error; more than once, still more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// The settings file
    #[arg(long, global = true, value_name = "FILE", env = "DMSNAP_CONFIG")]
    pub config: Option<PathBuf>,

    /// No colours
    #[arg(long, global = true)]
    pub no_color: bool,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done, 1 I/O error or kernel refusal, 2 bad argument, 3 not found, 4 name taken, 5 no \
space, 6 in use, 7 a volume group or device that must not be touched, 8 locked (with --no-wait).\n\
Sizes: 10G, 512M, 64k, 8192s (sectors), 4096b (bytes), 20%ORIGIN, 50%FREE, 100%VG; binary units, rounded up to extents.";

/// How the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For people with wide screens
    Wide,
    /// One object
    Json,
    /// The same as YAML
    Yaml,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Physical volumes
    #[command(subcommand)]
    Pv(Pv),
    /// Volume groups
    #[command(subcommand)]
    Vg(Vg),
    /// Volumes
    #[command(subcommand, visible_alias = "lv")]
    Volume(Volume),
    /// Snapshots
    #[command(subcommand, visible_alias = "snap")]
    Snapshot(Snapshot),
    /// Make volumes and their snapshots usable
    Activate {
        /// Volume groups or volumes; none: all
        #[arg(value_name = "VG[/NAME]")]
        places: Vec<Place>,
        /// As at boot: only what is to be active without being named
        ///
        /// Groups of which a device is missing wait, flags and lists of lvm2's that keep volumes from it are obeyed, and where lvm2's
        /// own rules of udev do it nothing is done.
        #[arg(long, conflicts_with = "places")]
        auto: bool,
        /// Only groups that have a physical volume on this device
        #[arg(long, value_name = "DEV", requires = "auto")]
        on: Option<PathBuf>,
    },
    /// Take volumes and their snapshots out of use
    Deactivate {
        /// Volume groups or volumes; none: all
        #[arg(value_name = "VG[/NAME]")]
        places: Vec<Place>,
    },
    /// Show what differs between metadata and kernel and what is unfinished (exit status 1 if anything)
    Check {
        /// Volume groups; none: all
        vgs: Vec<VgName>,
    },
    /// Carry out what check shows
    Repair {
        /// Volume groups; none: all
        vgs: Vec<VgName>,
        /// Take the metadata on this device as the right one, where devices hold different versions under one seqno
        ///
        /// For one volume group. With --dry-run it shows the versions: who wrote each, when and why, and what only one of them has.
        #[arg(long, value_name = "DEV", requires = "vgs")]
        from: Option<PathBuf>,
    },
    /// Show the label, headers and metadata of a device, or the exception store of a snapshot's -cow device
    Inspect {
        /// The device
        #[arg(value_name = "DEV")]
        device: PathBuf,
        /// Print the metadata text only; of a store its exceptions, chunk of the origin and chunk of the store
        #[arg(long)]
        raw: bool,
    },
    /// Keep snapshots from being full and finish what goes on behind, until told to stop
    ///
    /// Stores grow before they are full, by as much as the rate at which they fill asks for. For systemd; ends with a SIGTERM.
    Monitor {
        /// Show metrics for Prometheus at this address, under /metrics
        #[arg(long, value_name = "ADDRESS:PORT")]
        metrics: Option<SocketAddr>,
        /// Only of this volume group; may be repeated
        #[arg(long, value_name = "VG")]
        on: Vec<VgName>,
    },
    /// Serve the Container Storage Interface until told to end
    Csi(Csi),
    /// Print what rules of udev want to know of a device-mapper device
    #[command(hide = true)]
    Udev {
        /// `DM_NAME`
        name: String,
        /// `DM_COOKIE` of the event, which carries flags
        number: Option<u32>,
    },
    /// Print the completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a directory
    Man {
        /// The directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print the version
    Version,
}

/// How the Container Storage Interface is served.
#[derive(Debug, Args)]
pub struct Csi {
    /// The socket to listen on; one that nobody listens on any more is replaced
    #[arg(long, value_name = "unix:///PATH", env = "CSI_ENDPOINT")]
    pub endpoint: Endpoint,
    /// All services in this process, on this host's volume groups, without Kubernetes
    #[arg(long, required = true)]
    pub standalone: bool,
    /// Where volumes go whose parameters say neither poolClass nor vg
    #[arg(long)]
    pub vg: Option<VgName>,
    /// What the orchestrator calls this host [default: its hostname]
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node: Option<String>,
    /// What the orchestrator calls the driver
    #[arg(long, value_name = "NAME", default_value = DRIVER)]
    pub driver: String,
    /// Show metrics for Prometheus at this address, under /metrics
    #[arg(long, value_name = "ADDRESS:PORT", env = "CSI_METRICS")]
    pub metrics: Option<SocketAddr>,
}

/// On physical volumes.
#[derive(Debug, Subcommand)]
pub enum Pv {
    /// Label devices as physical volumes
    Create {
        /// The devices
        #[arg(required = true, value_name = "DEV")]
        devices: Vec<PathBuf>,
        /// How devices are labelled
        #[command(flatten)]
        label: Label,
        /// How many metadata areas each gets: 0, 1 or 2 [default: as lvm.conf says, else 1]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=2))]
        metadata_copies: Option<u64>,
    },
    /// List physical volumes
    #[command(visible_alias = "ls")]
    List,
    /// Wipe the labels of physical volumes that belong to no volume group
    #[command(visible_alias = "rm")]
    Remove {
        /// The devices
        #[arg(required = true, value_name = "DEV")]
        devices: Vec<PathBuf>,
        /// Also those that say that a volume group uses them, where none that is found does
        #[arg(long)]
        wipe: bool,
    },
}

/// How devices are labelled.
#[derive(Debug, Args)]
pub struct Label {
    /// Overwrite other signatures
    #[arg(long)]
    pub wipe: bool,
    /// The least size of the metadata area of a device that is labelled; 16M hold a group of ten thousand volumes [default: 1M]
    #[arg(long, value_name = "SIZE")]
    pub metadata_size: Option<Bytes>,
}

impl Label {
    /// What the engine is told.
    pub fn labelling(&self) -> Labelling {
        Labelling { wipe: self.wipe, metadata_size: self.metadata_size, metadata_copies: None }
    }
}

/// On volume groups.
#[derive(Debug, Subcommand)]
pub enum Vg {
    /// Make a volume group; devices that are no physical volumes yet are labelled
    Create {
        /// Its name
        #[arg(value_name = "VG")]
        name: VgName,
        /// Its devices
        #[arg(required = true, value_name = "DEV")]
        devices: Vec<PathBuf>,
        /// The size of an extent, a power of two [default: 4M]
        #[arg(long, value_name = "SIZE")]
        extent_size: Option<Bytes>,
        /// How devices are labelled
        #[command(flatten)]
        label: Label,
        /// In how many metadata areas its metadata is kept, 0 for all [default: as lvm.conf says, else 0]
        #[arg(long, value_name = "N")]
        metadata_copies: Option<u64>,
    },
    /// List volume groups
    #[command(visible_alias = "ls")]
    List {
        /// Only this one
        vg: Option<VgName>,
    },
    /// Add devices; those that are no physical volumes yet are labelled
    Extend {
        /// The volume group
        vg: VgName,
        /// The devices
        #[arg(required = true, value_name = "DEV")]
        devices: Vec<PathBuf>,
        /// How devices are labelled
        #[command(flatten)]
        label: Label,
        /// Take devices of the group in again that were missing when it was changed: what they hold counts as right
        #[arg(long, conflicts_with_all = ["wipe", "metadata_size"])]
        restore_missing: bool,
    },
    /// Take devices out that no volume lies on
    Reduce {
        /// The volume group
        vg: VgName,
        /// The devices
        #[arg(required_unless_present = "missing", value_name = "DEV")]
        devices: Vec<PathBuf>,
        /// Take out those that are missing
        #[arg(long, conflicts_with = "devices")]
        missing: bool,
    },
    /// Give a volume group another name, its volumes in use or not
    Rename {
        /// The volume group; its uuid where two have one name
        #[arg(value_parser = group_name)]
        vg: VgName,
        /// Its new name
        #[arg(value_name = "NEW", value_parser = group_name)]
        to: VgName,
    },
    /// Remove a volume group without volumes; its devices stay physical volumes
    #[command(visible_alias = "rm")]
    Remove {
        /// The volume group
        vg: VgName,
    },
}

/// On volumes.
#[derive(Debug, Subcommand)]
pub enum Volume {
    /// Make a volume, wiped of old signatures
    Create(VolumeCreate),
    /// List volumes
    #[command(visible_alias = "ls")]
    List {
        /// Only of this volume group, or only this volume
        #[arg(value_name = "VG[/NAME]")]
        place: Option<Place>,
    },
    /// Make a volume larger, in use and under snapshots too
    Extend {
        /// The volume
        #[arg(value_name = "VG/NAME")]
        volume: VolumePath,
        /// To what size, or with + by how much
        #[arg(short, long, value_name = "[+]SIZE")]
        size: Resize,
        /// Grow the mounted ext4 or xfs on it too
        #[arg(long)]
        resize_fs: bool,
        /// Take extents only from these physical volumes
        #[arg(long, value_name = "DEV")]
        on: Vec<PathBuf>,
    },
    /// Give a volume or a snapshot another name
    Rename {
        /// The volume
        #[arg(value_name = "VG/NAME")]
        volume: VolumePath,
        /// Its new name
        #[arg(value_name = "NEW")]
        to: NewName,
    },
    /// Make a new volume with another one's content of this instant, usable at once and filled behind
    Clone {
        /// The volume
        #[arg(value_name = "VG/NAME")]
        volume: VolumePath,
        /// The copy
        #[command(flatten)]
        copy: Copy,
    },
    /// Remove volumes
    #[command(visible_alias = "rm")]
    Remove {
        /// The volumes
        #[arg(required = true, value_name = "VG/NAME")]
        volumes: Vec<VolumePath>,
        /// And their snapshots
        #[arg(long)]
        with_snapshots: bool,
    },
}

/// What a new volume is like.
#[derive(Debug, Args)]
pub struct VolumeCreate {
    /// The volume
    #[arg(value_name = "VG/NAME")]
    pub volume: VolumePath,
    /// Its size
    #[arg(short, long)]
    pub size: Size,
    /// Spread it over so many physical volumes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=128))]
    pub stripes: u64,
    /// How much lies on one of them before the next one's turn [default: 64k]
    #[arg(long, value_name = "SIZE", requires = "stripes")]
    pub stripe_size: Option<Bytes>,
    /// Take extents only from these physical volumes
    #[arg(long, value_name = "DEV")]
    pub on: Vec<PathBuf>,
    /// A tag to give it; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<Tag>,
    /// How extents are chosen, now and when it grows [default: as the group says, else normal]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub alloc: Option<Alloc>,
}

/// How extents are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Alloc {
    /// One piece, behind what is there already
    Contiguous,
    /// Each stripe on one physical volume, then on those that share a tag of lvm.conf's cling_tag_list
    #[value(alias = "cling_by_tags")]
    Cling,
    /// As few pieces as possible, stripes on different physical volumes
    Normal,
    /// Stripes may lie on one physical volume
    Anywhere,
    /// As the group says
    Inherit,
}

impl Alloc {
    /// The policy of a volume's own; none if it is the group's.
    pub fn policy(self) -> Option<Policy> {
        match self {
            Self::Contiguous => Some(Policy::Contiguous),
            Self::Cling => Some(Policy::Cling),
            Self::Normal => Some(Policy::Normal),
            Self::Anywhere => Some(Policy::Anywhere),
            Self::Inherit => None,
        }
    }
}

/// On snapshots.
#[derive(Debug, Subcommand)]
pub enum Snapshot {
    /// Take snapshots of volumes, all at one instant
    Create(SnapshotCreate),
    /// List snapshots
    #[command(visible_alias = "ls")]
    List {
        /// Only of this volume group, or only this snapshot
        #[arg(value_name = "VG[/NAME]")]
        place: Option<Place>,
    },
    /// Make a snapshot's store larger, in use
    ///
    /// No larger than can be of use: a store with room for every chunk of its origin cannot overflow.
    Extend {
        /// The snapshot
        #[arg(value_name = "VG/NAME")]
        snapshot: VolumePath,
        /// To what size, or with + by how much
        #[arg(short, long, value_name = "[+]SIZE")]
        size: Resize,
        /// Take extents only from these physical volumes
        #[arg(long, value_name = "DEV")]
        on: Vec<PathBuf>,
    },
    /// Show which byte ranges of a volume changed since a snapshot was taken, or between two snapshots
    ///
    /// Found in the exception stores, in the volume's use, whatever its size. All that changed is in it; where that may be more than what
    /// changed, the answer says so.
    Diff {
        /// The snapshot
        #[arg(value_name = "VG/NAME")]
        snapshot: VolumePath,
        /// An older snapshot of the same volume: what changed between the two
        #[arg(long, value_name = "VG/OLDER")]
        since: Option<VolumePath>,
        /// Read both snapshots where they may differ, and show only where they do
        #[arg(long, requires = "since")]
        content: bool,
    },
    /// Give a volume the content of one of its snapshots again
    Rollback(SnapshotRollback),
    /// Make a new volume with a snapshot's content, usable at once and filled behind
    Restore {
        /// The snapshot
        #[arg(value_name = "VG/NAME")]
        snapshot: VolumePath,
        /// The copy
        #[command(flatten)]
        copy: Copy,
    },
    /// Remove snapshots
    #[command(visible_alias = "rm")]
    Remove {
        /// The snapshots
        #[arg(required = true, value_name = "VG/NAME")]
        snapshots: Vec<VolumePath>,
    },
}

/// How a volume is rolled back.
#[derive(Debug, Args)]
pub struct SnapshotRollback {
    /// The snapshot
    #[arg(value_name = "VG/NAME")]
    pub snapshot: VolumePath,
    /// Keep the state before as a snapshot of this name
    #[arg(long, value_name = "NAME")]
    pub undo: Option<LvName>,
    /// Merge the snapshot into its volume, as lvm2 does: it is consumed
    #[arg(long)]
    pub merge: bool,
    /// Return when everything is copied, not when the content is there
    #[arg(long)]
    pub wait: bool,
    /// Do it while a program has the volume or the snapshot open; never while a file system is mounted from it
    #[arg(long)]
    pub force: bool,
}

/// What a volume is like that is made with the content of something else.
#[derive(Debug, Args)]
pub struct Copy {
    /// The new volume, in the same volume group
    #[arg(long, value_name = "VG/NEW")]
    pub to: VolumePath,
    /// The size of the new volume, at least that of what it is made from [default: just that]
    #[arg(short, long)]
    pub size: Option<Size>,
    /// Take extents only from these physical volumes
    #[arg(long, value_name = "DEV")]
    pub on: Vec<PathBuf>,
    /// A tag to give it; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<Tag>,
    /// Wait until it is full
    #[arg(long)]
    pub wait: bool,
}

/// What new snapshots are like.
#[derive(Debug, Args)]
pub struct SnapshotCreate {
    /// The volumes
    #[arg(required = true, value_name = "VG/ORIGIN")]
    pub origins: Vec<VolumePath>,
    /// A name for each snapshot, in the order of the volumes; repeated, or with commas between them
    #[arg(short, long = "name", required = true, value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<LvName>,
    /// The size of each COW store; without it a snapshot cannot overflow
    #[arg(short, long)]
    pub size: Option<Size>,
    /// The size of a COW chunk, a power of two from 4k to 512k
    #[arg(short, long, value_name = "SIZE", default_value = "64k")]
    pub chunk_size: Bytes,
    /// Refuse writes to the snapshots
    #[arg(long)]
    pub read_only: bool,
    /// Take extents for the stores only from these physical volumes
    #[arg(long, value_name = "DEV")]
    pub on: Vec<PathBuf>,
    /// A tag to give it; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<Tag>,
}

impl SnapshotCreate {
    /// The chunk size, checked.
    pub fn chunk(&self) -> Result<ChunkSize> {
        ChunkSize::new(self.chunk_size)
    }
}
