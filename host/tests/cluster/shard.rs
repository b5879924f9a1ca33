//! Members that have data of their own to lose, and what lies on a claim's volume, read where the node keeps it: past every pod, and after the
//! last of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate::policy::Digest;

use crate::receiver::Receiver;
use crate::site::{Site, gate, uid};
use crate::store::Store;
use crate::wait::{Look, SOON, eventually};

/// The file that each member writes once, from random numbers of its own.
const FILE: &str = "shard";

/// How many bytes it has.
const BYTES: u32 = 5_000;

/// Which drain pods wait at their gate before they hand over what they have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gates {
    /// All.
    Every,
    /// That of one ordinal.
    Only(u32),
}

/// A set whose members write a shard each, and whose drain pods hand it to the receiver, the last of them too.
pub(crate) fn store(receiver: &Receiver<'_>, gates: Gates) -> Store {
    let write = format!(
        "trap 'exit 0' TERM
[ -e /data/{FILE} ] || {{ head -c {BYTES} /dev/urandom > /data/new && mv /data/new /data/{FILE}; }}
sleep 2147483647 & wait"
    );
    let waits = match gates {
        Gates::Every => gate(),
        Gates::Only(ordinal) => format!("case $(hostname) in *-{ordinal}) {};; esac", gate()),
    };
    let hand_over = receiver.hand_over();
    let script = format!("{hand_over}\n{waits}\nhand_over /data/{FILE} \"$(hostname)\"");
    Store::exec(&json!({ "script": script, "readyPeers": 0 }))
        .with_container(&json!({ "command": ["sh", "-c", write] }))
}

/// What one member wrote, and the claim and the folder on this machine where it lies.
#[derive(Clone, Debug)]
pub(crate) struct Shard {
    /// The claim's name.
    pub(crate) claim: String,
    claim_uid: String,
    folder: PathBuf,
    sha256: String,
}

impl Shard {
    /// The shard on this claim, once its member has written it.
    pub(crate) fn on(site: &Site<'_>, claim: &str) -> Result<Self> {
        let (claim_uid, folder) = place(site, claim)?;
        let path = folder.join(FILE);
        let sha256 = eventually(&format!("{claim} holds a shard"), SOON, || {
            let none = || Look::NotYet("no such file".to_owned());
            Ok(if path.try_exists()? { Look::Found(digest(&folder)?) } else { none() })
        })?;
        Ok(Self { claim: claim.to_owned(), claim_uid, folder, sha256 })
    }

    /// Lets the drain pod go on that waits at its gate.
    pub(crate) fn open_gate(&self) -> Result<()> {
        let path = self.folder.join("gate");
        fs::write(&path, "").with_context(|| format!("writing {}", path.display()))
    }

    /// Fails unless the very claim is there, nobody has asked for its deletion, and its volume holds the shard byte for byte.
    pub(crate) fn is_kept(&self, site: &Site<'_>) -> Result<()> {
        let claim = site.claim(&self.claim)?.unwrap_or_default();
        let deleted_at = &claim["metadata"]["deletionTimestamp"];
        ensure!(deleted_at.is_null(), "{} is being deleted since {deleted_at}", self.claim);
        let (claim_uid, folder) = place(site, &self.claim)?;
        let is_same = claim_uid == self.claim_uid && folder == self.folder;
        ensure!(is_same, "{} is another claim, with its volume at {folder:?}", self.claim);
        self.is_whole()
    }

    /// Fails unless the volume holds the shard byte for byte, whatever became of its claim.
    pub(crate) fn is_whole(&self) -> Result<()> {
        let (found, wrote) = (digest(&self.folder)?, &self.sha256);
        ensure!(found == *wrote, "the shard on {} is {found} and was {wrote}", self.claim);
        Ok(())
    }

    /// Fails unless this is among what a receiver took, byte for byte, from the pod of this name.
    pub(crate) fn is_among(&self, took: &BTreeMap<String, String>, pod: &str) -> Result<()> {
        let (found, wrote) = (took.get(pod), &self.sha256);
        ensure!(found == Some(wrote), "of {pod} the receiver has {found:?} and not {wrote}");
        Ok(())
    }
}

/// The UID of a bound claim, and where its volume lies on this machine.
pub(crate) fn place(site: &Site<'_>, name: &str) -> Result<(String, PathBuf)> {
    let claim = site.claim(name)?.with_context(|| format!("the claim {name} is not there"))?;
    let volume = claim["spec"]["volumeName"].as_str();
    let volume = volume.with_context(|| format!("the claim {name} has no volume"))?;
    let volume = site.world.api.get(&format!("/api/v1/persistentvolumes/{volume}"))?;
    let volume = volume.with_context(|| format!("the volume of {name} is not there"))?;
    let path = volume["spec"]["hostPath"]["path"].as_str();
    let path = path.with_context(|| format!("the volume of {name} is no folder: {volume}"))?;
    Ok((uid(&claim)?, site.world.cluster.volume_folder(path)))
}

fn digest(folder: &Path) -> Result<String> {
    let path = folder.join(FILE);
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(Digest::of(&bytes).to_string())
}
