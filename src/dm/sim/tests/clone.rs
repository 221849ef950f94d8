//! What clones show, keep and refuse.

use super::*;
use crate::dm::{CloneFeatures, Regions};

const REGION: u64 = 16 * 512;

impl World {
    fn clone_of(&self, features: CloneFeatures) -> Target<DevNo> {
        let [metadata, destination, source] = ["meta", "dst", "src"].map(|text| self.number(text));
        Target::Clone { metadata, destination, source, region: Sectors(16), features }
    }

    /// `c` over a source that is all 7 and a destination that is all 9.
    fn with_clone(features: CloneFeatures) -> Self {
        let world = Self::new();
        for (place, text) in ["src", "dst", "meta"].into_iter().enumerate() {
            world.linear(text, place as u64);
        }
        for (text, byte) in [("src", 7), ("dst", 9)] {
            world.fill(text, 0, SIZE.bytes().get(), byte);
        }
        world.create("c");
        world.load("c", world.clone_of(features));
        world.resume("c").unwrap();
        world
    }

    fn open(&self, text: &str) -> Arc<dyn Device> {
        self.kernel.devices().open(&Path::new("/dev/mapper").join(text), Access::Write).unwrap()
    }

    fn fill(&self, text: &str, at: u64, length: u64, byte: u8) {
        self.open(text).write_at(Bytes(at), &vec![byte; usize::try_from(length).unwrap()]).unwrap();
    }

    fn byte(&self, text: &str, at: u64) -> u8 {
        let mut byte = [0];
        self.open(text).read_at(Bytes(at), &mut byte).unwrap();
        byte[0]
    }

    fn hydrated(&self) -> u64 {
        match self.status("c") {
            Status::Clone { hydrated: Regions(hydrated), total: Regions(128), .. } => hydrated,
            other => panic!("{other:?}"),
        }
    }

    /// The kernel after a restart with these disks, and `c` made again.
    fn restarted(&self) -> Self {
        let (disks, disk) = (self.disks.clone(), Arc::clone(&self.disk));
        let world = Self { kernel: SimKernel::new(&disks), disks, disk };
        for (place, text) in ["src", "dst", "meta"].into_iter().enumerate() {
            world.linear(text, place as u64);
        }
        world.create("c");
        world.load("c", world.clone_of(CloneFeatures::default()));
        world.resume("c").unwrap();
        world
    }
}

#[test]
fn a_clone_shows_its_source_until_a_region_is_filled() {
    let world = World::with_clone(CloneFeatures::default());
    assert_eq!((world.byte("c", 0), world.hydrated()), (7, 0));
    assert_eq!(world.kernel.hydrate(&name("c"), 2).unwrap(), 2);
    assert_eq!([0, 2].map(|region| world.byte("dst", region * REGION)), [7, 9]);
    world.fill("src", 0, 512, 1);
    assert_eq!(world.byte("c", 0), 7, "a filled region is its own");
    assert_eq!(world.kernel.hydrate(&name("c"), 1000).unwrap(), 126);
    assert_eq!((world.byte("c", 127 * REGION), world.hydrated()), (7, 128));
}

#[test]
fn a_write_to_a_clone_fills_its_region_and_leaves_the_source() {
    let world = World::with_clone(CloneFeatures { no_hydration: true, ..CloneFeatures::default() });
    world.fill("c", REGION + 512, 512, 3);
    world.fill("c", 4 * REGION, REGION, 5);
    assert_eq!([0, 512, 1024].map(|at| world.byte("c", REGION + at)), [7, 3, 7]);
    assert_eq!(world.byte("c", 4 * REGION), 5);
    assert_eq!([1, 4].map(|region| world.byte("src", region * REGION + 512)), [7, 7]);
    assert_eq!(
        (world.hydrated(), world.kernel.hydrate(&name("c"), 9).unwrap()),
        (2, 0),
        "it was told not to"
    );
    world.kernel.message(&name("c"), CloneMessage::EnableHydration).unwrap();
    assert_eq!(world.kernel.hydrate(&name("c"), 9).unwrap(), 9);
}

#[test]
fn what_was_flushed_is_filled_after_a_restart() {
    let world = World::with_clone(CloneFeatures::default());
    world.fill("c", 0, REGION, 3);
    world.open("c").flush().unwrap();
    world.fill("c", REGION, REGION, 4);
    let world = world.restarted();
    assert_eq!((world.hydrated(), world.byte("c", 0)), (1, 3));
    assert_eq!(world.byte("c", REGION), 7, "nobody was promised that it lasts");
}

#[test]
fn a_clone_that_is_stopped_has_written_down_what_it_knows() {
    let world = World::with_clone(CloneFeatures::default());
    world.kernel.hydrate(&name("c"), 5).unwrap();
    world.suspend("c");
    assert_eq!(world.restarted().hydrated(), 5);
}

#[test]
fn a_clone_is_loaded_only_over_what_fits_it() {
    let world = World::with_clone(CloneFeatures::default());
    world.create("d");
    world.create("bare");
    let load =
        |length: u64, target| world.kernel.load(&name("d"), &Table::single(Sectors(length), target), false);
    let with = |region: u64, source: &str| match world.clone_of(CloneFeatures::default()) {
        Target::Clone { metadata, destination, features, .. } => Target::Clone {
            metadata,
            destination,
            source: world.number(source),
            region: Sectors(region),
            features,
        },
        other => other,
    };
    assert!(reason(load(2048, with(24, "src"))).contains("invalid region size"));
    assert!(reason(load(2048, with(4, "src"))).contains("invalid region size"));
    assert!(reason(load(2056, with(16, "src"))).contains("larger than destination device"));
    assert!(reason(load(2048, with(16, "bare"))).contains("error opening source device"));
    world.kernel.remove(&name("c"), VISIBLE).unwrap();
    assert!(reason(load(2048, with(32, "src"))).contains("don't match the ones in metadata"));
    world.fill("meta", 0, 512, 1);
    assert!(reason(load(2048, with(16, "src"))).contains("superblock check failed"));
    assert_eq!(world.kernel.violations(), Vec::<String>::new());
}

#[test]
fn a_second_clone_on_the_same_metadata_is_a_mistake() {
    let world = World::with_clone(CloneFeatures::default());
    world.load("c", world.clone_of(CloneFeatures::default()));
    assert!(world.kernel.violations()[0].contains("two clones"));
}
