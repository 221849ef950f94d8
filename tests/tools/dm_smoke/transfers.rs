//! Reads and writes of any offset and length, against a plain copy.

use dmsnap::block::{Access, Devices};
use dmsnap::error::{Error, Kind, Result};
use dmsnap::units::Bytes;

use super::lab::{Lab, equal, expect, refused};

const LENGTH: u64 = 256 << 10;

pub fn transfers(lab: &Lab) -> Result<()> {
    let device = lab.devices.open(&lab.disk, Access::Exclusive)?;
    println!("  blocks of {}", device.block_size());
    let mut copy = vec![0; index(LENGTH)?];
    device.zero(Bytes::ZERO, Bytes(LENGTH))?;
    for step in 0..200_u64 {
        let offset = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (LENGTH - 20_000);
        let length = step * 7919 % 20_000;
        let range = index(offset)?..index(offset + length)?;
        if step % 3 == 0 {
            device.zero(Bytes(offset), Bytes(length))?;
            copy[range].fill(0);
        } else {
            let data = vec![u8::try_from(step % 251).unwrap_or(1); range.len()];
            device.write_at(Bytes(offset), &data)?;
            copy[range].copy_from_slice(&data);
        }
    }
    device.flush()?;
    let mut read = vec![1; copy.len() - 3];
    device.read_at(Bytes(3), &mut read)?;
    expect(read == copy[3..], || "what was read is not what was written".to_owned())?;
    let end = device.size();
    device.write_at(end - Bytes(1), &[1])?;
    refused("a write beyond the end", device.write_at(end, &[1]), Kind::Internal, "beyond the end")?;
    refused("a second exclusive access", lab.devices.open(&lab.disk, Access::Exclusive), Kind::InUse, "")?;
    drop(device);
    let reader = lab.devices.open(&lab.disk, Access::Read)?;
    refused("a write by a reader", reader.write_at(Bytes::ZERO, &[1]), Kind::Internal, "")?;
    refused("zeroes by a reader", reader.zero(Bytes::ZERO, Bytes(4096)), Kind::Internal, "")?;
    equal("the reader's flush", &reader.flush().is_ok(), &true)
}

fn index(bytes: u64) -> Result<usize> {
    usize::try_from(bytes).map_err(|error| Error::new(Kind::Internal, error.to_string()))
}
