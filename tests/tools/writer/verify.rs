//! Reading back: which records a file holds, and that there is no hole among them.

use std::error::Error;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::record::{self, Ring};

/// The first and the last number in the files; an error that names the slot if a record is damaged or missing.
pub fn run(paths: &[PathBuf], ring: Ring) -> Result<Value, Box<dyn Error>> {
    let files = paths.iter().map(|path| numbers(path, ring)).collect::<Result<Vec<_>, _>>()?;
    let longest = files.iter().map(Vec::len).max().unwrap_or(0);
    let row = |slot: usize| files.iter().filter_map(move |numbers| numbers.get(slot).copied());
    let numbers: Vec<u64> = (0..longest).flat_map(row).collect();
    let last = numbers.iter().copied().max().unwrap_or(0);
    for (slot, number) in (0..).zip(&numbers) {
        let expected = ring.expected(slot, last);
        if *number != expected {
            return Err(format!(
                "slot {slot} holds record {number} and not {expected}; the last record is {last}"
            )
            .into());
        }
    }
    Ok(json!({ "first": numbers.iter().min(), "last": last, "records": numbers.len() }))
}

fn numbers(path: &Path, ring: Ring) -> Result<Vec<u64>, Box<dyn Error>> {
    let mut file = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut numbers = Vec::new();
    let mut buffer = vec![0; ring.record];
    while !file_ended(&mut file, &mut buffer)? {
        let number = record::unpack(&buffer);
        numbers.push(number.ok_or_else(|| format!("the record in slot {} is damaged", numbers.len()))?);
    }
    Ok(numbers)
}

/// Fills the buffer; true at the end of the file, an error if the file ends within a record.
fn file_ended(file: &mut impl Read, buffer: &mut [u8]) -> Result<bool, Box<dyn Error>> {
    if file.read(&mut buffer[..1])? == 0 {
        return Ok(true);
    }
    match file.read_exact(&mut buffer[1..]) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err("the file ends within a record".into()),
        other => Ok(other.map(|()| false)?),
    }
}
