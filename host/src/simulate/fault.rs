//! Why a simulation does not begin, or breaks off.

/// Why a simulation does not begin, or breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// What it was given is not fit: a file, a flag or a line of a script. Says where, and the mend.
    #[error("{0}")]
    Input(String),
    /// What it needs cannot be had: a cluster, or the engine.
    #[error("{0}")]
    Failed(String),
}

impl Fault {
    /// A file that cannot be read.
    #[must_use]
    pub fn unreadable(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self::Input(format!("{}: {error}", path.display()))
    }
}
