//! Where every file is, by the folders in which the node keeps the volumes. A file bears the sha256 of its contents as its name, so that it proves
//! itself wherever it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate::policy::Digest;

use crate::shard::place;
use crate::site::{Site, uid};

/// How many characters a sha256 has, and so the name of a file that is whole.
const NAME_CHARS: usize = 64;

/// What the volumes of a namespace were ever seen to hold.
pub(crate) struct Ledger<'a> {
    site: &'a Site<'a>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// The files of which a client was told that they are written.
    acknowledged: BTreeSet<String>,
    /// The volumes by the UID of their claim.
    volumes: BTreeMap<String, Volume>,
}

struct Volume {
    claim: String,
    folder: PathBuf,
    /// Every file that was ever seen whole on it.
    files: BTreeSet<String>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Stays,
    /// Its claim is gone, or on its way out.
    Deleted,
}

/// What there was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum {
    /// How many files a client was told of.
    pub(crate) acknowledged: usize,
    /// How many claims were deleted.
    pub(crate) deleted: usize,
}

impl<'a> Ledger<'a> {
    /// An empty one.
    pub(crate) fn new(site: &'a Site<'a>) -> Self {
        Self { site, book: Mutex::default() }
    }

    /// Takes down the files of which a client was told, a name a line.
    pub(crate) fn acknowledge(&self, names: &str) {
        self.book().acknowledged.extend(names.lines().map(str::to_owned));
    }

    /// Looks at every volume. Fails where a claim is deleted of which not every file was seen whole on the volume of another.
    pub(crate) fn look(&self) -> Result<()> {
        let claims = self.site.claims()?;
        let mut book = self.book();
        for claim in &claims {
            book.open(self.site, claim)?;
        }
        for volume in book.volumes.values_mut() {
            volume.look()?;
        }
        let stays = |uid: &str| claims.iter().any(|claim| is_kept(claim, uid));
        let gone: Vec<String> = book.volumes.keys().filter(|uid| !stays(uid)).cloned().collect();
        gone.iter().try_for_each(|uid| book.close(uid))
    }

    /// Fails unless every file that was ever acknowledged or seen lies whole on a claim that stays.
    pub(crate) fn all_is_there(&self) -> Result<Sum> {
        self.look()?;
        let book = self.book();
        let volumes = book.volumes.values();
        let (staying, deleted): (Vec<&Volume>, Vec<&Volume>) =
            volumes.partition(|volume| volume.state == State::Stays);
        let seen = staying.iter().chain(&deleted).flat_map(|volume| &volume.files);
        let all: BTreeSet<&String> = seen.chain(&book.acknowledged).collect();
        let is_lost = |name: &&&String| {
            !staying.iter().any(|volume| is_whole(&volume.folder.join(name.as_str())))
        };
        let lost: Vec<&&String> = all.iter().filter(is_lost).collect();
        ensure!(lost.is_empty(), "of {} files {} are nowhere: {lost:?}", all.len(), lost.len());
        Ok(Sum { acknowledged: book.acknowledged.len(), deleted: deleted.len() })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Begins a page for a claim that has a volume.
    fn open(&mut self, site: &Site<'_>, claim: &Value) -> Result<()> {
        let uid = uid(claim)?;
        let is_bound = claim["status"]["phase"] == "Bound";
        if self.volumes.contains_key(&uid) || !is_bound {
            return Ok(());
        }
        let name = claim["metadata"]["name"].as_str().context("a claim without a name")?;
        // Between the list and this it may have gone, and come back as another.
        if let Ok((found, folder)) = place(site, name)
            && found == uid
        {
            let (claim, files) = (name.to_owned(), BTreeSet::new());
            self.volumes.insert(uid, Volume { claim, folder, files, state: State::Stays });
        }
        Ok(())
    }

    /// Ends the page of a claim that is deleted: by then everything on it must be elsewhere.
    fn close(&mut self, uid: &str) -> Result<()> {
        let others = self.volumes.iter().filter(|(other, _)| *other != uid);
        let elsewhere: BTreeSet<String> =
            others.flat_map(|(_, volume)| volume.files.iter().cloned()).collect();
        let volume = self.volumes.get_mut(uid).context("a claim that was never seen")?;
        if volume.state == State::Deleted {
            return Ok(());
        }
        volume.state = State::Deleted;
        let lost: Vec<&String> = volume.files.difference(&elsewhere).collect();
        let claim = &volume.claim;
        ensure!(lost.is_empty(), "{claim} is deleted, and nobody else was given {lost:?}");
        Ok(())
    }
}

impl Volume {
    /// The folder goes with its volume, and a file that is being written bears another name.
    fn look(&mut self) -> Result<()> {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_file = name.len() == NAME_CHARS && !self.files.contains(&name);
            if !is_file {
                continue;
            }
            if is_whole(&entry.path()) {
                self.files.insert(name);
            } else {
                let is_there = entry.path().try_exists()?;
                ensure!(!is_there, "{name} on {} is not what its name says", self.claim);
            }
        }
        Ok(())
    }
}

/// Whether the claim of this UID is this one, and nobody has asked for its deletion.
fn is_kept(claim: &Value, uid: &str) -> bool {
    let metadata = &claim["metadata"];
    metadata["uid"] == uid && metadata["deletionTimestamp"].is_null()
}

/// Whether the file is there, and is what its name says.
fn is_whole(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    fs::read(path).is_ok_and(|bytes| name == Some(Digest::of(&bytes).to_string()))
}
