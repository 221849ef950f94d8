//! What programs read through snapshots.

use super::*;

const CHUNK: u64 = 4096;

impl World {
    fn put(&self, text: &str, chunk: u64, byte: u8) -> Result<()> {
        let path = Path::new("/dev/mapper").join(text);
        let length = usize::try_from(CHUNK).unwrap();
        self.kernel.devices().open(&path, Access::Write)?.write_at(Bytes(chunk * CHUNK), &vec![byte; length])
    }

    /// The byte that fills a chunk.
    fn at(&self, text: &str, chunk: u64) -> Result<u8> {
        let path = Path::new("/dev/mapper").join(text);
        let mut buffer = [0; 4096];
        self.kernel.devices().open(&path, Access::Read)?.read_at(Bytes(chunk * CHUNK), &mut buffer)?;
        assert!(buffer.iter().all(|byte| *byte == buffer[0]));
        Ok(buffer[0])
    }

    fn chunks(&self, text: &str, count: u64) -> Vec<u8> {
        (0..count).map(|chunk| self.at(text, chunk).unwrap()).collect()
    }

    /// The kernel after a restart, with the devices of [`World::with_snapshot`] made again.
    fn rebooted(&self) -> Self {
        let (disks, disk) = (self.disks.clone(), Arc::clone(&self.disk));
        let world = Self { kernel: SimKernel::new(&disks), disks, disk };
        world.linear("real", 0);
        world.linear("cow", 1);
        world.create("org");
        world.load("org", Target::Origin { device: world.number("real") });
        world.create("s");
        world.load("s", world.snapshot());
        world.resume("s").unwrap();
        world.resume("org").unwrap();
        world
    }

    fn begin_merge(&self) {
        self.load("org", self.merge());
        self.suspend("org");
        self.suspend("s");
        self.resume("org").unwrap();
        self.kernel.remove(&name("s"), VISIBLE).unwrap();
    }
}

#[test]
fn a_snapshot_keeps_what_the_origin_loses() {
    let world = World::with_snapshot();
    world.put("org", 1, 7).unwrap();
    assert_eq!((world.at("org", 1).unwrap(), world.at("s", 1).unwrap()), (7, 0));
    world.put("org", 1, 8).unwrap();
    assert_eq!(world.at("s", 1).unwrap(), 0);
    assert_eq!(world.status("s").to_string(), "24/2048 16");
}

#[test]
fn a_write_to_a_snapshot_stays_its_own() {
    let world = World::with_snapshot();
    world.put("s", 2, 9).unwrap();
    assert_eq!((world.at("org", 2).unwrap(), world.at("s", 2).unwrap()), (0, 9));
    world.put("org", 2, 4).unwrap();
    assert_eq!(world.at("s", 2).unwrap(), 9);
}

#[test]
fn a_write_past_the_origin_is_not_seen_by_it() {
    let world = World::with_snapshot();
    world.put("real", 1, 7).unwrap();
    assert_eq!(world.at("s", 1).unwrap(), 7);
}

#[test]
fn a_full_store_makes_the_snapshot_invalid_and_the_origin_goes_on() {
    let world = World::new();
    world.linear("real", 0);
    world.create("cow");
    let store = Target::Linear { device: world.disk.number(), offset: SIZE };
    world.kernel.load(&name("cow"), &Table::single(Sectors(8 * 5), store), false).unwrap();
    world.resume("cow").unwrap();
    world.create("org");
    world.load("org", Target::Origin { device: world.number("real") });
    world.create("s");
    world.load("s", world.snapshot());
    world.resume("s").unwrap();
    world.resume("org").unwrap();
    for chunk in 0..4 {
        world.put("org", chunk, 1).unwrap();
    }
    assert_eq!(world.status("s"), Status::Invalid);
    assert!(world.at("s", 9).is_err());
    assert_eq!(world.chunks("org", 5), [1, 1, 1, 1, 0]);
    for text in ["s", "org"] {
        world.kernel.remove(&name(text), VISIBLE).unwrap();
    }
    world.create("s");
    world.load("s", world.snapshot());
    assert_eq!(world.resume("s").map(|()| world.status("s")).unwrap(), Status::Invalid, "it stays so");
}

#[test]
fn a_store_outlives_a_restart() {
    let world = World::with_snapshot();
    for chunk in 0..6 {
        world.put("org", chunk, 5).unwrap();
    }
    let world = world.rebooted();
    assert_eq!(world.status("s").to_string(), "64/2048 16");
    world.put("org", 7, 5).unwrap();
    assert_eq!(world.chunks("s", 9), [0; 9]);
    assert_eq!(world.chunks("org", 9), [5, 5, 5, 5, 5, 5, 0, 5, 0]);
}

#[test]
fn after_a_power_cut_an_acknowledged_snapshot_still_shows_its_moment() {
    let world = World::with_snapshot();
    world.disk.flush().unwrap();
    world.disks.settle();
    for chunk in [3, 1, 3] {
        world.put("org", chunk, 6).unwrap();
    }
    for done in 0..=world.disks.log().len() {
        for remains in world.disks.images_after_cut(done) {
            let disk = remains.devices.device("/dev/a").unwrap();
            let kernel = SimKernel::new(&remains.devices);
            let cut = World { kernel, disks: remains.devices, disk }.rebooted();
            assert_eq!(cut.chunks("s", 5), [0; 5], "{}", remains.words);
        }
    }
}

#[test]
fn a_merge_shows_the_snapshot_at_once_and_ends_with_an_empty_store() {
    let world = World::with_snapshot();
    world.put("org", 0, 1).unwrap();
    world.put("s", 1, 2).unwrap();
    world.begin_merge();
    assert_eq!(world.chunks("org", 3), [0, 2, 0]);
    assert_eq!(world.kernel.merge(&name("org"), 1).unwrap(), 1);
    world.put("org", 0, 3).unwrap();
    world.put("org", 2, 4).unwrap();
    assert_eq!(world.chunks("org", 3), [3, 2, 4]);
    assert_eq!(world.kernel.merge(&name("org"), 9).unwrap(), 1);
    assert_eq!(world.status("org").to_string(), "16/2048 16");
    assert_eq!(world.chunks("real", 3), [3, 2, 4]);
}

#[test]
fn a_merge_goes_on_after_a_restart() {
    let world = World::with_snapshot();
    for chunk in 0..4 {
        world.put("org", chunk, 1).unwrap();
    }
    world.begin_merge();
    world.kernel.merge(&name("org"), 2).unwrap();
    let world = World { kernel: SimKernel::new(&world.disks), ..world };
    world.linear("real", 0);
    world.linear("cow", 1);
    world.create("org");
    world.load("org", world.merge());
    world.resume("org").unwrap();
    assert_eq!(world.chunks("org", 4), [0; 4]);
    assert_eq!(world.kernel.merge(&name("org"), 9).unwrap(), 2);
    assert_eq!(world.chunks("real", 4), [0; 4]);
}

#[test]
fn siblings_keep_their_content_while_another_merges() {
    let world = World::with_snapshot();
    world.put("org", 0, 1).unwrap();
    world.linear("cow2", 2);
    world.create("s2");
    let (origin, cow) = (world.number("real"), world.number("cow2"));
    world.load("s2", Target::Snapshot { origin, cow, chunk: Sectors(8) });
    world.suspend("org");
    world.resume("s2").unwrap();
    world.resume("org").unwrap();
    world.begin_merge();
    world.kernel.merge(&name("org"), 9).unwrap();
    assert_eq!((world.at("org", 0).unwrap(), world.at("s2", 0).unwrap()), (0, 1));
}

#[test]
fn a_merge_without_exceptions_to_take_over_shows_the_origin() {
    let world = World::with_snapshot();
    world.put("org", 0, 1).unwrap();
    world.load("org", world.merge());
    world.suspend("org");
    world.kernel.remove(&name("s"), VISIBLE).unwrap();
    world.resume("org").unwrap();
    assert_eq!(world.chunks("org", 2), [1, 0]);
    world.put("org", 1, 2).unwrap();
    assert_eq!(world.chunks("real", 2), [1, 2]);
}

#[test]
fn a_whole_chunk_written_to_a_snapshot_needs_nothing_of_the_origin() {
    let world = World::with_snapshot();
    world.disk.fail_from(crate::block::mem::Operation::Read, 1);
    world.put("s", 0, 1).unwrap();
    world.disk.heal();
    assert_eq!((world.at("s", 0).unwrap(), world.at("org", 0).unwrap()), (1, 0));
}

#[test]
fn a_store_that_cannot_be_written_costs_the_snapshot_and_not_the_origin() {
    let world = World::with_snapshot();
    world.disk.fail_nth(crate::block::mem::Operation::Write, 1);
    world.put("org", 0, 1).unwrap();
    assert_eq!((world.status("s"), world.at("org", 0).unwrap()), (Status::Invalid, 1));
}

#[test]
fn a_copy_that_would_wait_for_a_suspended_store_costs_nothing() {
    let world = World::with_snapshot();
    world.suspend("cow");
    let error = world.put("org", 0, 1).unwrap_err();
    assert_eq!(error.to_string(), "I/O would wait: cow is suspended");
    world.resume("cow").unwrap();
    world.put("org", 0, 1).unwrap();
    assert_eq!((world.at("org", 0).unwrap(), world.at("s", 0).unwrap()), (1, 0));
}

proptest::proptest! {
    /// Origin and two snapshots against plain arrays.
    #[test]
    fn any_writes_leave_what_plain_copies_would_hold(
        writes in proptest::collection::vec((0..3_usize, 0..12_u64, 1..255_u8), 0..40),
        cut in 0..40_usize,
    ) {
        let world = World::with_snapshot();
        let mut model = vec![[0_u8; 12], [0; 12]];
        for (index, (which, chunk, byte)) in writes.into_iter().enumerate() {
            if index == cut {
                world.linear("cow2", 2);
                world.create("s2");
                let (origin, cow) = (world.number("real"), world.number("cow2"));
                world.load("s2", Target::Snapshot { origin, cow, chunk: Sectors(32) });
                world.suspend("org");
                world.resume("s2").unwrap();
                world.resume("org").unwrap();
                model.push(model[0]);
            }
            let which = which % model.len();
            world.put(["org", "s", "s2"][which], chunk, byte).unwrap();
            model[which][usize::try_from(chunk).unwrap()] = byte;
        }
        for (text, content) in ["org", "s", "s2"].iter().zip(&model) {
            proptest::prop_assert_eq!(world.chunks(text, 12), content.to_vec());
        }
        proptest::prop_assert_eq!(world.kernel.violations(), Vec::<String>::new());
    }
}
