//! One of many that work on a volume group at once.

use std::time::{Duration, Instant};

use dmsnap::block::Access;
use dmsnap::lvm::{Edit, Locks, Mode, Wait};

use super::{LOCKS, Outcome, change, open};

/// Commits until the time is over; each takes away the tag of the one before, which must be there alone.
pub fn beat(vg: &str, seconds: u64, name: &str) -> Outcome {
    let until = Instant::now() + Duration::from_secs(seconds);
    let tag = |count: u64| format!("{name}-{count}");
    let mut count = 0;
    while Instant::now() < until {
        change(vg, |open| {
            let mine = format!("{name}-");
            let own = open.vg.tags.iter().filter(|tag| tag.as_str().starts_with(&mine));
            let own: Vec<_> = own.cloned().collect();
            let found: Vec<_> = own.iter().map(ToString::to_string).collect();
            let wanted: Vec<_> = (count > 0).then(|| tag(count)).into_iter().collect();
            if found != wanted {
                return Err(format!("{name}: {found:?} is there and not {wanted:?}").into());
            }
            let old = own.into_iter().map(|tag| Edit::RemoveVgTag { tag });
            Ok(old.chain([Edit::AddVgTag { tag: tag(count + 1).parse()? }]).collect())
        })?;
        count += 1;
    }
    println!("{count}");
    Ok(())
}

/// Reads until the time is over; the group must be whole and never older than before.
pub fn watch(vg: &str, seconds: u64, locked: bool) -> Outcome {
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut count, mut seqno) = (0_u64, 0);
    while Instant::now() < until {
        let lock =
            locked.then(|| Locks::new(LOCKS).vg(&vg.parse()?, Mode::Shared, Wait::Forever)).transpose()?;
        let found = open(vg, Access::Read)?;
        drop(lock);
        if let Some(refusal) = found.refusal {
            return Err(refusal.reason.into());
        }
        if found.vg.seqno < seqno {
            return Err(format!("seqno {} after {seqno}", found.vg.seqno).into());
        }
        seqno = found.vg.seqno;
        count += 1;
        // There is one processor, and others work on it.
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{count}");
    Ok(())
}
