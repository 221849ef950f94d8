//! stub
use super::Device;
use crate::{error::Result, units::Bytes};
/// s
#[derive(Debug, Clone)]
pub struct Signature {
    /// n
    pub name: &'static str,
    /// o
    pub offset: Bytes,
}
/// f
pub fn find(_d: &dyn Device) -> Result<Option<Signature>> {
    Ok(None)
}
/// e
pub fn erase(_d: &dyn Device) -> Result<()> {
    Ok(())
}
