//! LVM2 on disk: labels, text metadata, the volume group model, allocation, commit and locks.
//!
//! Reads what lvm2 writes and writes what lvm2 reads. The text is kept as a lossless syntax tree ([`config`]); the typed
//! [`model`] is a view over it, changed by values ([`edit`]), so that whatever dmsnap does not understand
//! survives in meaning and order. Nothing here speaks to device-mapper.

pub mod admission;
pub mod admitted;
pub mod alloc;
mod apply;
mod archive;
mod area;
pub mod check;
pub mod commit;
pub mod config;
pub mod devices_file;
pub mod edit;
pub mod free;
pub mod hints;
mod index;
pub mod inspect;
pub mod label;
mod layout;
pub mod lock;
pub mod model;
pub mod name;
mod policy;
mod read;
mod replace;
pub mod ring;
pub mod scan;
pub mod settings;
pub mod span;
mod write;

pub use alloc::{ClingTag, Request, allocate};
pub use apply::extent_size;
pub use check::{Exempt, Host, Refusal};
pub use commit::{
    PvOptions, check_room, commit, create_pv, create_vg, draft_pv, empty_pv, remove_pv, remove_vg,
    wipe_label, write_pv,
};
pub use edit::{Edit, LvFlag, NewLv, NewPv, NewVg};
pub use lock::{Locks, Mode, Wait};
pub use model::{Area, Creation, Lv, Pv, Role, Segment, SegmentKind, Snapshot, Stamp, Vg, Words};
pub use name::{LvName, Tag, Uuid, VgName};
pub use policy::Policy;
pub use scan::{Disputed, Finding, OpenMda, OpenPv, OpenVg, Present, Scan, Scanner, Version, open_vg, scan};
pub use settings::Settings;
