//! From what each device holds to volume groups. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::memory::Text;
use super::probe::Probe;
use super::{Finding, OpenPv, OpenVg, Scan};
use crate::block::DevNo;
use crate::lvm::check::{self, Exempt, Host, Refusal};
use crate::lvm::edit::Edit;
use crate::lvm::model::{Pv, Vg};
use crate::lvm::name::{Uuid, VgName};

/// A text that was found, once for all its copies.
pub(super) struct Version {
    pub vg: Vg,
    /// The devices that hold it.
    pub holders: Vec<Holder>,
    text: Arc<Text>,
}

/// A device with a text.
pub(super) struct Holder {
    pub number: Option<DevNo>,
    pub name: String,
}

/// What the devices hold.
#[derive(Default)]
pub(super) struct Gathered {
    pub pvs: Pvs,
    pub versions: BTreeMap<Uuid, Vec<Version>>,
    pub findings: Vec<Finding>,
}

pub(super) fn gather(probes: Vec<Probe>) -> Gathered {
    let mut gathered = Gathered::default();
    for mut probe in probes {
        gathered.findings.append(&mut probe.findings);
        let Some(mut pv) = probe.pv else { continue };
        for (place, text) in probe.texts {
            gathered.pvs.claimed.extend(first_word(&text.bytes).map(|vg| (pv.id, vg)));
            if let Err(finding) = gathered.take(&text, &pv) {
                if let Some(mda) = pv.mdas.get_mut(place) {
                    mda.header = Err(finding.text.clone());
                }
                gathered.findings.push(finding);
            }
        }
        gathered.pvs.add(pv);
    }
    gathered
}

pub(super) fn assemble(probes: Vec<Probe>, host: &Host) -> Scan {
    let Gathered { mut pvs, versions, mut findings } = gather(probes);
    let newest: Vec<(Version, Option<Doubt>)> = versions.into_values().filter_map(newest).collect();
    let mut vgs: Vec<OpenVg> =
        newest.into_iter().map(|(version, doubt)| pvs.group(version.vg, doubt, host)).collect();
    vgs.sort_by(|a, b| (&a.vg.name, a.vg.id).cmp(&(&b.vg.name, b.vg.id)));
    refuse_equal_names(&mut vgs);
    findings.extend(pvs.findings());
    for open in &mut vgs {
        open.findings = findings.iter().filter(|finding| concerns(finding, open)).cloned().collect();
    }
    Scan { vgs, orphans: pvs.orphans(), findings }
}

impl Gathered {
    /// Takes a text among the versions; a copy of one has a holder more.
    fn take(&mut self, text: &Arc<Text>, pv: &OpenPv) -> Result<(), Finding> {
        let vg = text.vg().as_ref().map_err(|error| Finding {
            vg: first_word(&text.bytes),
            device: pv.path().map(Path::to_owned),
            text: format!("the metadata on {} is damaged: {error}", pv.name()),
        })?;
        let holder = Holder { number: pv.number(), name: pv.name() };
        let alike = self.versions.entry(vg.id).or_default();
        match alike.iter_mut().find(|version| Arc::ptr_eq(&version.text, text)) {
            Some(version) => version.holders.push(holder),
            None => alike.push(Version { vg: vg.clone(), holders: vec![holder], text: text.clone() }),
        }
        Ok(())
    }
}

/// The volume group's name, which begins the text: LVM2 insists on that.
fn first_word(text: &[u8]) -> Option<VgName> {
    let end = text.iter().position(|byte| byte.is_ascii_whitespace() || *byte == b'{')?;
    std::str::from_utf8(text.get(..end)?).ok()?.parse().ok()
}

/// Why a version may not be the right one, and the way out.
pub(super) struct Doubt {
    what: String,
    hint: String,
}

/// The versions with the highest seqno.
pub(super) fn highest(versions: Vec<Version>) -> Vec<Version> {
    let seqno = versions.iter().map(|version| version.vg.seqno).max();
    versions.into_iter().filter(|version| Some(version.vg.seqno) == seqno).collect()
}

/// The version with the highest seqno, and why it may not be the right one.
fn newest(versions: Vec<Version>) -> Option<(Version, Option<Doubt>)> {
    let highest = highest(versions);
    let doubt = disputed(&highest);
    let first = highest.into_iter().next()?;
    let misplaced = misplaced(&first);
    Some((first, doubt.or(misplaced)))
}

fn disputed(highest: &[Version]) -> Option<Doubt> {
    let [first, _, ..] = highest else { return None };
    let one = |version: &Version| version.holders.first().map(|holder| holder.name.clone());
    let devices: Vec<String> = highest.iter().filter_map(one).collect();
    let count = if highest.len() == 2 { "two".to_owned() } else { highest.len().to_string() };
    let (vg, seqno) = (&first.vg.name, first.vg.seqno);
    let commands: Vec<_> =
        devices.iter().map(|device| format!("`dmsnap repair {vg} --from {device}`")).collect();
    Some(Doubt {
        what: format!("has {count} different versions under seqno {seqno}, on {}", devices.join(" and ")),
        hint: format!(
            "take one of them as the right one: {}; with --dry-run it shows them",
            commands.join(" or ")
        ),
    })
}

/// A text that begins with anything but its group's name is none to LVM2.
pub(super) fn misplaced(version: &Version) -> Option<Doubt> {
    (first_word(&version.text.bytes).as_ref() != Some(&version.vg.name)).then(|| Doubt {
        what: "has metadata that does not begin with its name".to_owned(),
        hint: "restore the metadata with LVM2's vgcfgrestore".to_owned(),
    })
}

/// True for a finding of a group or of one of its devices.
fn concerns(finding: &Finding, open: &OpenVg) -> bool {
    let has = |path: &PathBuf| open.pvs.iter().any(|pv| pv.path() == Some(path));
    finding.vg.as_ref() == Some(&open.vg.name) || finding.device.as_ref().is_some_and(has)
}

fn refuse_equal_names(vgs: &mut [OpenVg]) {
    let mut seen = HashSet::new();
    let names: Vec<VgName> = vgs.iter().map(|open| open.vg.name.clone()).collect();
    let twice: HashSet<&VgName> = names.iter().filter(|name| !seen.insert(*name)).collect();
    for open in vgs.iter_mut().filter(|open| twice.contains(&open.vg.name)) {
        open.refusal.get_or_insert_with(|| Refusal {
            vg: open.vg.name.clone(),
            reason: format!("there are two volume groups named {}", open.vg.name),
            hint: Some(rename_hint(open.vg.id)),
            allows_activation: false,
            exempt: Some(Exempt::Renaming),
        });
    }
}

/// How one of two groups of one name gets another.
pub(super) fn rename_hint(id: Uuid) -> String {
    format!("give one of them another name: `dmsnap vg rename {id} NEW`")
}

/// Why a group may not be changed, as more and more is found. The first reason is told; all of them decide what may be done.
struct Verdict<'v> {
    vg: &'v VgName,
    refusal: Option<Refusal>,
}

impl Verdict<'_> {
    fn refuse(&mut self, what: &str, hint: Option<String>, allows_activation: bool, exempt: Option<Exempt>) {
        let first = self.refusal.get_or_insert_with(|| Refusal {
            vg: self.vg.clone(),
            reason: format!("volume group {} {what}", self.vg),
            hint,
            allows_activation,
            exempt,
        });
        first.allows_activation &= allows_activation;
        first.exempt = first.exempt.filter(|first| Some(*first) == exempt);
    }
}

/// Physical volumes by identity; more than one under an identity are copies of one another.
#[derive(Default)]
pub(super) struct Pvs {
    found: BTreeMap<Uuid, Vec<OpenPv>>,
    grouped: HashSet<Uuid>,
    /// The group whose metadata lies on a device.
    claimed: HashMap<Uuid, VgName>,
}

impl Pvs {
    fn add(&mut self, pv: OpenPv) {
        self.found.entry(pv.id).or_default().push(pv);
    }

    /// The version without the marks of missing devices that are there again and hold nothing: no extents that may be out
    /// of date, or no metadata by which their return could have been noticed. LVM2 drops the same marks.
    fn without_returned(&self, vg: Vg) -> Vg {
        let is_back = |pv: &&Arc<Pv>| {
            let found = self.found.get(&pv.id).map(Vec::as_slice).unwrap_or_default();
            let holds_nothing = vg.free_on(&pv.id) == pv.pe_count;
            pv.missing()
                && !found.is_empty()
                && (holds_nothing || found.iter().all(|found| found.mdas.is_empty()))
        };
        let back = vg.pvs.iter().filter(is_back);
        let edits: Vec<_> = back.map(|pv| Edit::SetPvMissing { pv: pv.id, missing: false }).collect();
        // A group that is damaged besides stays as it is: it is refused for that.
        if edits.is_empty() { vg } else { vg.apply(&edits).unwrap_or(vg) }
    }

    /// The device with this number.
    pub fn on(&self, number: DevNo) -> Option<&OpenPv> {
        self.found.values().flatten().find(|pv| pv.number() == Some(number))
    }

    pub fn group(&mut self, vg: Vg, doubt: Option<Doubt>, host: &Host) -> OpenVg {
        let vg = self.without_returned(vg);
        let mut verdict = Verdict { refusal: check::refusal(&vg, host), vg: &vg.name };
        if let Some(doubt) = doubt {
            verdict.refuse(&doubt.what, Some(doubt.hint), false, None);
        }
        let pvs: Vec<_> = vg.pvs.iter().map(|known| self.member(&vg, known, &mut verdict)).collect();
        if !pvs.iter().flat_map(|pv| &pv.mdas).any(|mda| mda.header.is_ok()) {
            verdict.refuse("has no metadata area that can be written", None, true, None);
        }
        let refusal = verdict.refusal;
        OpenVg { vg, pvs, refusal, findings: Vec::new() }
    }

    /// The device of a physical volume of a group, and what is wrong with it.
    fn member(&mut self, vg: &Vg, known: &Pv, verdict: &mut Verdict<'_>) -> OpenPv {
        self.grouped.insert(known.id);
        let found = self.found.get(&known.id).map(Vec::as_slice).unwrap_or_default();
        if found.len() > 1 {
            let paths: Vec<_> = found.iter().map(OpenPv::name).collect();
            let hint = "take the copy away, or reject it by devices/filter in lvm.conf";
            let what = format!("has a physical volume that is there twice: {}", paths.join(", "));
            verdict.refuse(&what, Some(hint.into()), false, None);
        }
        let Some(pv) = choose(found, known) else {
            let way = format!("`dmsnap vg reduce {} --missing`", vg.name);
            let hint = format!("bring the device back, or go on without it: {way}");
            let what = format!("lacks a physical volume: {}", describe(known));
            verdict.refuse(&what, Some(hint), true, Some(Exempt::Reduction));
            return absent(known);
        };
        let size = pv.device().map_or(known.dev_size, |device| device.size().sectors_floor());
        if size < known.pe_start + known.pe_count.sectors(vg.extent_size) {
            let what = format!("has extents beyond the end of {}", pv.name());
            verdict.refuse(&what, Some("bring back the larger device".into()), false, None);
        }
        if has_area_among_extents(pv, known, vg) {
            verdict.refuse(&format!("has metadata among the extents of {}", pv.name()), None, true, None);
        }
        pv.clone()
    }

    fn findings(&self) -> Vec<Finding> {
        let copies = self.found.values().filter(|found| found.len() > 1);
        let twice = copies.map(|found| {
            let paths: Vec<_> = found.iter().map(OpenPv::name).collect();
            let id = found.first().map(|pv| pv.id.to_string()).unwrap_or_default();
            Finding {
                vg: None,
                device: found.first().and_then(|pv| pv.path().map(Path::to_owned)),
                text: format!("physical volume {id} is there more than once: {}", paths.join(", ")),
            }
        });
        let outdated = self.lone().filter(|pv| pv.check_free().is_err()).map(|pv| Finding {
            vg: None,
            device: pv.path().map(Path::to_owned),
            text: match self.claimed.get(&pv.id) {
                Some(vg) => format!(
                    "{} is outdated: its metadata is of volume group {vg}, which it is not in any more",
                    pv.name()
                ),
                None => format!("{} is marked as used, but no volume group has it", pv.name()),
            },
        });
        twice.chain(outdated).collect()
    }

    fn lone(&self) -> impl Iterator<Item = &OpenPv> {
        self.found.iter().filter(|(id, _)| !self.grouped.contains(*id)).flat_map(|(_, found)| found)
    }

    fn orphans(self) -> Vec<OpenPv> {
        let Self { found, grouped, .. } = self;
        found.into_iter().filter(|(id, _)| !grouped.contains(id)).flat_map(|(_, found)| found).collect()
    }
}

/// True if a new version of the metadata could be written over a volume.
fn has_area_among_extents(pv: &OpenPv, known: &Pv, vg: &Vg) -> bool {
    let start = known.pe_start.bytes();
    let end = start + known.pe_count.sectors(vg.extent_size).bytes();
    let good = pv.mdas.iter().filter(|mda| mda.header.is_ok());
    good.into_iter().any(|mda| mda.start < end && start < mda.start + mda.size)
}

/// Of several copies the one that has the size and the path that the metadata expects; else the first.
fn choose<'a>(found: &'a [OpenPv], known: &Pv) -> Option<&'a OpenPv> {
    let size = |pv: &OpenPv| pv.device().map(|device| device.size().sectors_floor());
    let path =
        |pv: &OpenPv| pv.path().is_some_and(|path| known.device.as_deref().map(Path::new) == Some(path));
    found.iter().min_by_key(|pv| (size(pv) != Some(known.dev_size), !path(pv)))
}

fn describe(pv: &Pv) -> String {
    match &pv.device {
        Some(device) => format!("{}, last seen at {device}", pv.id),
        None => pv.id.to_string(),
    }
}

fn absent(pv: &Pv) -> OpenPv {
    OpenPv { id: pv.id, present: None, last_seen: pv.device.as_ref().map(PathBuf::from), mdas: Vec::new() }
}
