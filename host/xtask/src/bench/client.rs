//! Clients of the API server, and waiting for what it shows.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How often is looked: seldom enough to leave the processors to what is measured.
const POLL: Duration = Duration::from_millis(100);

/// A client that never retries by itself, as whoever the kubeconfig names.
///
/// # Errors
/// Where the kubeconfig cannot be read.
pub async fn connect(kubeconfig: &Path) -> Result<Client> {
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("reading {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Looks until nothing is missing. `missing` answers what still is, in words.
///
/// # Errors
/// Where something is still missing after `within`, and at once where looking fails.
pub(super) async fn until(
    what: &str,
    within: Duration,
    mut missing: impl AsyncFnMut() -> Result<Option<String>>,
) -> Result<()> {
    let end = Instant::now() + within;
    loop {
        match missing().await.with_context(|| format!("looking whether {what}"))? {
            None => return Ok(()),
            Some(missing) if Instant::now() > end => {
                bail!("after {} s it is not so that {what}: {missing}", within.as_secs())
            }
            Some(_) => tokio::time::sleep(POLL).await,
        }
    }
}
