//! What the controller does with volumes.

use tonic::Status;

use super::backend::{Content, NewVolume, Volume};
use super::parameters::{self, VolumeParameters};
use super::proto;
use super::proto::{CapacityRange, ListVolumesRequest, ListVolumesResponse, TopologyRequirement};
use super::{Driver, capability, content, names, page};
use crate::lvm::{LvName, VgName};
use crate::units::Bytes;

/// What a volume is given that asks for no size.
const SIZE: Bytes = Bytes::gib(1);

/// The sizes that are right; nothing asked for is nothing kept off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    least: Bytes,
    most: Option<Bytes>,
}

impl Range {
    pub fn of(asked: Option<&CapacityRange>) -> Result<Self, Status> {
        let CapacityRange { required_bytes, limit_bytes } = asked.copied().unwrap_or_default();
        let bytes = |number: i64| {
            let bytes = u64::try_from(number).map(Bytes);
            bytes.map_err(|_| Status::invalid_argument(format!("a capacity of {number} bytes is negative")))
        };
        let (least, most) =
            (bytes(required_bytes)?, Some(bytes(limit_bytes)?).filter(|most| !most.is_zero()));
        match most {
            Some(most) if most < least => Err(Status::invalid_argument(format!(
                "the limit of {most} is less than the required {least}"
            ))),
            most => Ok(Self { least, most }),
        }
    }

    /// Those of them that have room for this content.
    fn with_room_for(self, content: Bytes) -> Result<Self, Status> {
        match self.most {
            Some(most) if most < content => Err(Status::out_of_range(format!(
                "the limit of {most} is less than the {content} that the volume is to hold"
            ))),
            most => Ok(Self { least: self.least.max(content), most }),
        }
    }

    fn holds(self, size: Bytes) -> bool {
        size >= self.least && self.most.is_none_or(|most| size <= most)
    }

    /// The least multiple of `step` that is right.
    fn size(self, step: Bytes) -> Result<Bytes, Status> {
        let usual = self.most.map_or(SIZE, |most| most.min(SIZE));
        let least = if self.least.is_zero() { usual.round_down(step).max(step) } else { self.least };
        let size = least.round_up(step);
        if self.holds(size) {
            return Ok(size);
        }
        let words = format!(
            "sizes are multiples of {step}: the least that is not too small, {size}, is over the limit"
        );
        Err(Status::out_of_range(words))
    }
}

/// Makes a volume, or finds the one that an earlier call made.
pub async fn create(driver: &Driver, asked: proto::CreateVolumeRequest) -> Result<proto::Volume, Status> {
    let id = names::volume(names::check(&asked.name, "name")?);
    let _turn = driver.turns.take([format!("volume {id}")])?;
    capability::all(&asked.volume_capabilities)?;
    refuse_mutable(&asked)?;
    let place = asked.accessibility_requirements;
    let wanted = Wanted {
        parameters: parameters::of_volume(&asked.parameters)?,
        range: Range::of(asked.capacity_range.as_ref())?,
        content: content::of(asked.volume_content_source.as_ref())?,
        name: asked.name,
    };
    if let Some(volume) = driver.backend.volume(id.as_str()).await? {
        return wanted.check_same(driver, &volume).map(|()| shown(driver, &volume));
    }
    check_reachable(driver, place.as_ref())?;
    let new = wanted.planned(driver, id).await?;
    Ok(shown(driver, &driver.backend.create_volume(new).await?))
}

fn refuse_mutable(asked: &proto::CreateVolumeRequest) -> Result<(), Status> {
    let key = asked.mutable_parameters.keys().next();
    key.map_or(Ok(()), |key| {
        Err(Status::invalid_argument(format!("no parameter {key:?} of a volume can be changed later")))
    })
}

/// A volume that is asked for.
struct Wanted {
    name: String,
    parameters: VolumeParameters,
    range: Range,
    content: Option<Content>,
}

impl Wanted {
    /// The volume that is to be made.
    async fn planned(self, driver: &Driver, id: LvName) -> Result<NewVolume, Status> {
        let Self { name, parameters, mut range, content } = self;
        let vg = match &content {
            None => parameters.pool(driver.names.vg.as_ref())?,
            Some(content) => {
                let source = content::source(driver, content).await?;
                range = range.with_room_for(source.size)?;
                in_pool_of(source.vg, parameters.vg.as_ref())?
            }
        };
        let pool = driver.backend.pool(&vg).await?;
        let stripes = if parameters.striped { pool.disks.max(1) } else { 1 };
        let row = pool.extent.checked_mul(stripes);
        let row = row.ok_or_else(|| Status::internal("an extent is too large"))?;
        Ok(NewVolume { id, name, vg, size: range.size(row)?, stripes, content })
    }

    /// An error if what is there is not what is asked for.
    fn check_same(&self, driver: &Driver, volume: &Volume) -> Result<(), Status> {
        let Self { name, parameters, range, content } = self;
        let other = |what: String| Err(Status::already_exists(format!("there is a volume {name:?}, {what}")));
        if volume.name != *name {
            return other(format!("whose name is {:?}", volume.name));
        }
        if volume.content != *content {
            return other("which was not made from the same source".to_owned());
        }
        if !range.holds(volume.size) {
            return other(format!("of {}, which is not the size asked for", volume.size));
        }
        // What is made from a source is where that is, unless the parameters say where.
        let usual = driver.names.vg.as_ref().filter(|_| content.is_none());
        if let Some(vg) = parameters.vg.as_ref().or(usual).filter(|vg| **vg != volume.vg) {
            return other(format!("in {} and not in {vg}", volume.vg));
        }
        // On one disk nothing can be spread.
        if volume.striped && !parameters.striped {
            return other("which is striped".to_owned());
        }
        Ok(())
    }
}

/// The pool of a source, which has to be the one that is named, if one is.
fn in_pool_of(source: VgName, named: Option<&VgName>) -> Result<VgName, Status> {
    match named.filter(|named| **named != source) {
        None => Ok(source),
        Some(named) => Err(Status::invalid_argument(format!(
            "the source is in {source}, and the parameters say {named}: a volume is in the pool of its source"
        ))),
    }
}

/// An error if the volume is to be reached from elsewhere only.
fn check_reachable(driver: &Driver, asked: Option<&TopologyRequirement>) -> Result<(), Status> {
    let terms = asked.map_or(&[][..], |asked| &asked.requisite);
    if terms.is_empty() || terms.iter().any(|term| is_here(driver, term)) {
        return Ok(());
    }
    let words = format!("volumes are made on {}, which is none of the places asked for", driver.names.node);
    Err(Status::resource_exhausted(words))
}

/// Whether a topology can be this host.
fn is_here(driver: &Driver, topology: &proto::Topology) -> bool {
    let node = topology.segments.get(&driver.topology_key());
    node.is_none_or(|node| *node == driver.names.node)
}

/// Removes a volume; one that is not there is removed already.
pub async fn delete(driver: &Driver, id: &str) -> Result<(), Status> {
    names::check(id, "volume_id")?;
    let _turn = driver.turns.take([format!("volume {id}")])?;
    Ok(driver.backend.remove_volume(id).await?)
}

/// The volume of this id.
pub async fn find(driver: &Driver, id: &str) -> Result<Volume, Status> {
    names::check(id, "volume_id")?;
    let found = driver.backend.volume(id).await?;
    found.ok_or_else(|| Status::not_found(format!("there is no volume {id}")))
}

/// A page of all volumes.
pub async fn list(driver: &Driver, asked: &ListVolumesRequest) -> Result<ListVolumesResponse, Status> {
    let all = driver.backend.volumes().await?;
    let (volumes, next_token) =
        page::page(all, |volume| volume.id.as_str(), asked.max_entries, &asked.starting_token)?;
    let entry = |volume: &Volume| proto::list_volumes_response::Entry {
        volume: Some(shown(driver, volume)),
        status: None,
    };
    Ok(ListVolumesResponse { entries: volumes.iter().map(entry).collect(), next_token })
}

/// What is free for volumes of these parameters.
pub async fn capacity(
    driver: &Driver,
    asked: &proto::GetCapacityRequest,
) -> Result<proto::GetCapacityResponse, Status> {
    let vg = parameters::of_volume(&asked.parameters)?.pool(driver.names.vg.as_ref())?;
    let is_possible = asked.volume_capabilities.iter().all(|one| capability::of(Some(one)).is_ok());
    let is_elsewhere = asked.accessible_topology.as_ref().is_some_and(|place| !is_here(driver, place));
    let (free, extent) = if !is_possible || is_elsewhere {
        (Bytes::ZERO, Bytes::ZERO)
    } else {
        let pool = driver.backend.pool(&vg).await?;
        (pool.free, pool.extent)
    };
    Ok(proto::GetCapacityResponse {
        available_capacity: number(free),
        maximum_volume_size: Some(number(free)),
        minimum_volume_size: Some(number(extent)),
    })
}

/// Makes a volume larger. One that is large enough stays as it is.
pub async fn expand(
    driver: &Driver,
    asked: &proto::ControllerExpandVolumeRequest,
) -> Result<proto::ControllerExpandVolumeResponse, Status> {
    let id = names::check(&asked.volume_id, "volume_id")?;
    if asked.capacity_range.is_none() {
        return Err(Status::invalid_argument("the capacity range is missing"));
    }
    let range = Range::of(asked.capacity_range.as_ref())?;
    let form = asked.volume_capability.as_ref().map(|one| capability::of(Some(one))).transpose()?;
    let _turn = driver.turns.take([format!("volume {id}")])?;
    let volume = find(driver, id).await?;
    let volume = if volume.size >= range.least { volume } else { grown(driver, &volume, range).await? };
    if !range.holds(volume.size) {
        return Err(Status::out_of_range(format!(
            "volume {id} has {}, which is over the limit",
            volume.size
        )));
    }
    let is_device = form.is_some_and(|form| form.form == capability::Form::Block);
    Ok(proto::ControllerExpandVolumeResponse {
        capacity_bytes: number(volume.size),
        node_expansion_required: !is_device,
    })
}

async fn grown(driver: &Driver, volume: &Volume, range: Range) -> Result<Volume, Status> {
    let pool = driver.backend.pool(&volume.vg).await?;
    Ok(driver.backend.extend_volume(volume, range.size(pool.extent)?).await?)
}

/// Says whether a volume can be used so.
pub async fn validate(
    driver: &Driver,
    asked: proto::ValidateVolumeCapabilitiesRequest,
) -> Result<proto::ValidateVolumeCapabilitiesResponse, Status> {
    names::check(&asked.volume_id, "volume_id")?;
    if asked.volume_capabilities.is_empty() {
        return Err(Status::invalid_argument("the volume capabilities are missing"));
    }
    find(driver, &asked.volume_id).await?;
    let possible = capability::all(&asked.volume_capabilities).map(drop);
    let possible = possible.and_then(|()| match asked.parameters.is_empty() {
        true => Ok(()),
        false => parameters::of_volume(&asked.parameters).map(drop),
    });
    let (confirmed, message) = match possible {
        Ok(()) => (Some(confirmed(asked)), String::new()),
        Err(status) => (None, status.message().to_owned()),
    };
    Ok(proto::ValidateVolumeCapabilitiesResponse { confirmed, message })
}

fn confirmed(
    asked: proto::ValidateVolumeCapabilitiesRequest,
) -> proto::validate_volume_capabilities_response::Confirmed {
    proto::validate_volume_capabilities_response::Confirmed {
        volume_context: asked.volume_context,
        volume_capabilities: asked.volume_capabilities,
        parameters: asked.parameters,
        mutable_parameters: asked.mutable_parameters,
    }
}

/// A volume as the standard shows it.
pub fn shown(driver: &Driver, volume: &Volume) -> proto::Volume {
    proto::Volume {
        capacity_bytes: number(volume.size),
        volume_id: volume.id.to_string(),
        volume_context: [].into(),
        content_source: volume.content.as_ref().map(content::shown),
        accessible_topology: vec![driver.topology()],
    }
}

/// The standard's numbers have a sign; no volume reaches it.
pub fn number(bytes: Bytes) -> i64 {
    i64::try_from(bytes.get()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(required_bytes: i64, limit_bytes: i64) -> Result<Bytes, tonic::Code> {
        let range = Range::of(Some(&CapacityRange { required_bytes, limit_bytes }));
        range.and_then(|range| range.size(Bytes::mib(4))).map_err(|status| status.code())
    }

    #[test]
    fn a_size_is_the_least_multiple_of_an_extent_within_the_range() {
        let mib = |n: i64| n << 20;
        assert_eq!(size(mib(5), 0), Ok(Bytes::mib(8)));
        assert_eq!(size(mib(5), mib(8)), Ok(Bytes::mib(8)));
        assert_eq!(size(0, 0), Ok(Bytes::gib(1)));
        assert_eq!(size(0, mib(7)), Ok(Bytes::mib(4)));
        assert_eq!(size(mib(5), mib(7)), Err(tonic::Code::OutOfRange));
        assert_eq!(size(0, mib(3)), Err(tonic::Code::OutOfRange));
        assert_eq!(size(mib(8), mib(4)), Err(tonic::Code::InvalidArgument));
        assert_eq!(size(-1, 0), Err(tonic::Code::InvalidArgument));
        assert_eq!(size(i64::MAX, 0), Ok(Bytes(1 << 63)));
    }
}
