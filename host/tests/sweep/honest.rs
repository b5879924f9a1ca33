//! The fake Kubernetes does what the real one was seen to do: every script that the world is held against.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use xtask::honest::{Ground, play};

use crate::fake::Fake;

/// How long an observer may take to be told of what has happened: the controllers themselves are waited for.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A label of every pod of a script.
const OF_THE_SCRIPTS: &str = "app";

/// A test for each script.
pub(crate) fn all() -> Vec<Trial> {
    let fake = Arc::new(std::sync::OnceLock::new());
    let trial = |path: PathBuf| {
        let fake = Arc::clone(&fake);
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        Trial::test(format!("fake::honest::{}", name.replace('-', "_")), move || {
            let fake = fake.get_or_init(|| start().map_err(|error| format!("{error:#}")));
            let fake = fake.as_ref().map_err(|why| Failed::from(why.clone()))?;
            played(fake, &name, &path).map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    scripts().into_iter().map(trial).collect()
}

fn start() -> Result<Fake> {
    let fake = Fake::start()?;
    // What a line asks of a pod that is being deleted is to find it there.
    fake.play(OF_THE_SCRIPTS, "on-term exit 0 after 300ms")?;
    Ok(fake)
}

fn played(fake: &Fake, name: &str, script: &Path) -> Result<()> {
    let text = fs::read_to_string(script).with_context(|| script.display().to_string())?;
    let client = client(&fake.kubeconfig())?;
    play(client.0, fake, name, &text).map_err(|wrong| anyhow!("{}: {wrong}", script.display()))
}

/// The scripts; none where the folder cannot be read, and then there is no test to be green.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("world/scripts");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// A client without retries, with the runtime that it lives in.
fn client(kubeconfig: &Path) -> Result<(Client, Runtime)> {
    let runtime = Runtime::new()?;
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let client = runtime.block_on(async {
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
        config.default_retry = false;
        anyhow::Ok(Client::try_from(config)?)
    })?;
    Ok((client, runtime))
}

impl Ground for Fake {
    fn pod_fields(&self) -> Value {
        json!({})
    }

    fn end(&self, namespace: &str, pod: &str) -> Result<()> {
        self.finish((namespace, pod), "main", 0, None)
    }

    fn settle(&self, _namespace: &str) -> Result<()> {
        Self::settle(self)
    }

    fn patience(&self) -> Duration {
        TOLD_WITHIN
    }
}
