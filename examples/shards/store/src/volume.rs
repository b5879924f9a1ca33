//! The files of a volume: written once, whole or not at all, and never changed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// The most that one file may hold, since files are kept in memory while they are moved.
pub(crate) const FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The longest name: what most filesystems allow, less the prefix of a file that is being written.
const NAME_BYTES_MAX: usize = 200;

/// A file that is being written begins so, and no name that the store takes does.
const PARTIAL: &str = ".partial-";

/// The list of what was handed over and to whom, which the drain leaves on the volume.
const HANDED_OVER: &str = ".handed-over";

/// How long a volume may take to become writable: some provisioners set the permissions just after they make the folder.
const WRITABLE_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether the volume is writable.
const WRITABLE_POLL: Duration = Duration::from_millis(50);

/// A folder with files.
pub(crate) struct Volume {
    folder: PathBuf,
    partials: AtomicU64,
}

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoredFile {
    pub(crate) name: String,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// What became of a file that was to be stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    /// The volume holds exactly these bytes under this name, written just then or long ago.
    Held,
    /// Another file of this name is there, and stays as it is.
    Conflict,
}

/// A summary of files that two parties agree on exactly when they hold the same.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
    /// The sha256 over a line `NAME SHA256` for each file, sorted by name.
    pub(crate) checksum: String,
}

impl Volume {
    /// Opens a volume once it is writable, and clears away what a process that was killed left half written.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let volume = Self { folder: folder.to_owned(), partials: AtomicU64::new(0) };
        let deadline = Instant::now() + WRITABLE_WITHIN;
        let probe = volume.folder.join(format!("{PARTIAL}probe"));
        while let Err(error) = fs::write(&probe, "") {
            if error.kind() != io::ErrorKind::PermissionDenied || Instant::now() >= deadline {
                return Err(error).with_context(|| format!("writing to {}", folder.display()));
            }
            thread::sleep(WRITABLE_POLL);
        }
        fs::remove_file(&probe)?;
        Ok(volume)
    }

    /// Takes away what was half written when a process was killed. To be called by the only writer alone.
    pub(crate) fn clear_partials(&self) -> Result<()> {
        for name in self.names()? {
            if name.starts_with(PARTIAL) {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// Every file, sorted by name, with the digest of what the volume holds at this time.
    pub(crate) fn files(&self) -> Result<Vec<StoredFile>> {
        let mut files = Vec::new();
        for name in self.names()? {
            if is_name(&name) && self.folder.join(&name).is_file() {
                let content = self.read(&name)?;
                let bytes = content.len() as u64;
                files.push(StoredFile { name, sha256: digest(&content), bytes });
            }
        }
        files.sort();
        Ok(files)
    }

    /// The contents of a file.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        ensure!(is_name(name), "`{name}` is not a name of a file");
        let path = self.folder.join(name);
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Stores a file. When it succeeds with [`Stored::Held`], the file is on disk and survives a crash.
    pub(crate) fn store(&self, name: &str, content: &[u8]) -> Result<Stored> {
        ensure!(is_name(name), "`{name}` is not a name of a file");
        let path = self.folder.join(name);
        let number = self.partials.fetch_add(1, Ordering::Relaxed);
        let partial = self.folder.join(format!("{PARTIAL}{}-{number}", std::process::id()));
        let mut file = File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        // A link, unlike a rename, never takes the place of a file that is there.
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial)?;
        match linked {
            Ok(()) => {
                File::open(&self.folder)?.sync_all()?;
                Ok(Stored::Held)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let same = digest(&self.read(name)?) == digest(content);
                Ok(if same { Stored::Held } else { Stored::Conflict })
            }
            Err(error) => Err(error).with_context(|| format!("writing {}", path.display())),
        }
    }

    /// Writes `count` files of `bytes` bytes each, whose names and contents depend on `seed` alone.
    pub(crate) fn fill(&self, count: usize, bytes: usize, seed: &str) -> Result<()> {
        ensure!(bytes <= FILE_BYTES_MAX, "a file may have at most {FILE_BYTES_MAX} bytes");
        for number in 0..count {
            let name = format!("{seed}-{number:05}");
            let content = content(&name, bytes);
            if self.store(&name, &content)? == Stored::Conflict {
                bail!("another file `{name}` is there");
            }
        }
        Ok(())
    }

    /// Leaves the list of what was handed over on the volume, for whoever looks into it later.
    pub(crate) fn note_handed_over(&self, lines: &str) -> Result<()> {
        let path = self.folder.join(HANDED_OVER);
        fs::write(&path, lines).with_context(|| format!("writing {}", path.display()))
    }

    fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let listing = fs::read_dir(&self.folder)
            .with_context(|| format!("listing {}", self.folder.display()))?;
        for entry in listing {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}

impl StoredFile {
    /// Reads what [`StoredFile`]'s `Display` writes.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (name, sha256, bytes) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
        let whole = is_name(name) && words.next().is_none();
        whole.then(|| Self { name: name.to_owned(), sha256: sha256.to_owned(), bytes })
    }
}

impl fmt::Display for StoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.name, self.sha256, self.bytes)
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "count={} bytes={} checksum={}", self.count, self.bytes, self.checksum)
    }
}

/// The summary of `files`, which must be sorted by name.
pub(crate) fn total(files: &[StoredFile]) -> Total {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(format!("{} {}\n", file.name, file.sha256));
    }
    Total {
        count: files.len(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        checksum: hex::encode(hash.finalize()),
    }
}

/// The sha256 in hexadecimal digits.
pub(crate) fn digest(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Whether the store takes a file of this name: no folders, nothing hidden, nothing that a list would have to escape.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

/// Bytes that look random and depend on `name` alone.
fn content(name: &str, bytes: usize) -> Vec<u8> {
    let seed = Sha256::digest(name);
    let mut state = u64::from_le_bytes(std::array::from_fn(|place| seed[place])) | 1;
    let mut content = Vec::with_capacity(bytes + 8);
    while content.len() < bytes {
        // Marsaglia's xorshift: quick, and good enough not to compress.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(bytes);
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_stored_once_and_never_changed() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::open(folder.path()).unwrap();
        assert_eq!(volume.store("a", b"one").unwrap(), Stored::Held);
        assert_eq!(volume.store("a", b"one").unwrap(), Stored::Held);
        assert_eq!(volume.store("a", b"two").unwrap(), Stored::Conflict);
        assert_eq!(volume.read("a").unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn filling_twice_gives_the_same_files() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::open(folder.path()).unwrap();
        volume.fill(3, 100, "shards-2").unwrap();
        let files = volume.files().unwrap();
        volume.fill(3, 100, "shards-2").unwrap();
        assert_eq!(volume.files().unwrap(), files);
        assert_eq!(total(&files).bytes, 300);
        assert_ne!(files[0].sha256, files[1].sha256);
    }

    #[test]
    fn hidden_and_half_written_files_are_not_listed() {
        let folder = tempfile::tempdir().unwrap();
        let volume = Volume::open(folder.path()).unwrap();
        fs::write(folder.path().join(".partial-9-9"), "half").unwrap();
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        volume.note_handed_over("a\n").unwrap();
        assert_eq!(volume.files().unwrap(), []);
        volume.clear_partials().unwrap();
        assert!(!folder.path().join(".partial-9-9").exists());
    }

    #[test]
    fn names_stay_in_the_folder() {
        assert!(is_name("shards-2-00001"));
        for name in ["", ".", "..", "../x", "a/b", ".hidden", "a b", &"x".repeat(201)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_line_of_a_list_is_read_as_it_was_written() {
        let file = StoredFile { name: "a".to_owned(), sha256: digest(b"x"), bytes: 1 };
        assert_eq!(StoredFile::parse(&file.to_string()), Some(file));
        assert_eq!(StoredFile::parse("a b"), None);
    }
}
