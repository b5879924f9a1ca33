//! Tar archives that depend on nothing but what they hold: sorted, owned by root, of time 0.

use std::fs;
use std::io::Write;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};

use super::{Entry, EntryKind, sha256};

/// A layer as it goes into an archive.
pub(super) struct Layer {
    /// The compressed tar.
    pub(super) gzip: Vec<u8>,
    /// The digest of the tar before it was compressed.
    pub(super) diff_id: String,
}

/// A tar archive in the making.
pub(super) struct Archive<W: Write>(tar::Builder<W>);

/// Builds the layer that holds `entries`. Fails where a file cannot be read, with its path.
pub(super) fn build(entries: &[Entry]) -> Result<Layer> {
    let mut archive = Archive::new(Vec::new());
    for entry in sorted(entries) {
        match &entry.kind {
            EntryKind::Directory => {
                let header = header(tar::EntryType::Directory, entry.mode, 0);
                archive.append(header, &format!("{}/", entry.path), &[])?;
            }
            EntryKind::File(source) => {
                let bytes =
                    fs::read(source).with_context(|| format!("reading {}", source.display()))?;
                let header = header(tar::EntryType::Regular, entry.mode, bytes.len());
                archive.append(header, &entry.path, &bytes)?;
            }
            EntryKind::Symlink(target) => {
                let mut header = header(tar::EntryType::Symlink, 0o777, 0);
                header.set_link_name(target).with_context(|| format!("linking to {target}"))?;
                archive.append(header, &entry.path, &[])?;
            }
        }
    }
    let tar = archive.finish()?;
    let diff_id = format!("sha256:{}", sha256(&tar));
    // The header names neither a time nor the machine's system, either of which would change the digest.
    let mut gzip = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::default());
    gzip.write_all(&tar)?;
    Ok(Layer { gzip: gzip.finish()?, diff_id })
}

/// The entries in the order of their paths, which puts every folder before what it holds.
pub(super) fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|left, right| left.path.cmp(&right.path));
    sorted
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self(tar::Builder::new(out))
    }

    /// Adds a file that everybody may read.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.append(header(tar::EntryType::Regular, 0o644, bytes.len()), path, bytes)
    }

    /// Adds a folder that everybody may enter.
    pub(super) fn folder(&mut self, path: &str) -> Result<()> {
        self.append(header(tar::EntryType::Directory, 0o755, 0), &format!("{path}/"), &[])
    }

    /// Writes the end of the archive and gives back what it was written to.
    pub(super) fn finish(self) -> Result<W> {
        let mut out = self.0.into_inner()?;
        out.flush()?;
        Ok(out)
    }

    fn append(&mut self, mut header: tar::Header, path: &str, bytes: &[u8]) -> Result<()> {
        self.0
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("putting {path} into the archive"))
    }
}

fn header(kind: tar::EntryType, mode: u32, size_bytes: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size_bytes as u64);
    header
}
