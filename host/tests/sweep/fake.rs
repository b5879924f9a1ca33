//! A Kubernetes in the test's own process: an API server on the loopback that keeps everything in memory, and the parts of the control plane
//! and the node that matter to the host. It plays what the host and its tests ask for, by the rules of the real one, and refuses the rest
//! with 501, so that nothing is taken for granted that was never shown.
//!
//! The API server and the controllers are those of `tidegate-miniature`; here are its way through HTTP, the watches, and the stand-in node's pods.
//!
//! What differs from a real cluster beyond what differs there: slow are only scripts, what is behind a proxy, and the watches of
//! [`Fake::kubeconfig_behind`].

mod http;
mod kubelet;
mod watching;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::Router;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_miniature::controllers::Controllers;
use tidegate_miniature::kind::Kind;
use tidegate_miniature::store::{Change, Store};
use tidegate_miniature::write::{Effect, Writer};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use kubelet::{Kubelet, NODE};

/// The namespace of the host's own things.
const OWN_NAMESPACE: &str = "tidegate";

/// The kubeconfig of the API server that shows what is so.
const FRESH: &str = "kubeconfig";
/// The kubeconfig of the one that is behind.
const BEHIND: &str = "behind.kubeconfig";
/// How late its watches are: later than a host needs to start and to make a pass.
const DELAY: Duration = Duration::from_secs(1);

/// A fake cluster. It ends when it is dropped.
pub(crate) struct Fake {
    folder: TempDir,
    shared: Arc<Shared>,
    rested: watch::Receiver<u64>,
    runtime: Runtime,
}

/// What the API server and the controllers share.
pub(crate) struct Shared {
    state: Mutex<State>,
    told: watch::Sender<u64>,
}

/// What is kept.
pub(crate) struct State {
    store: Store,
    controllers: Controllers,
    kubelet: Kubelet,
}

impl Default for State {
    fn default() -> Self {
        Self {
            store: Store::new(Arc::new(Timestamp::now)),
            controllers: Controllers::default(),
            kubelet: Kubelet::default(),
        }
    }
}

impl State {
    /// When a controller has something to do though nothing changes.
    fn next_of_controllers(&self) -> Option<Instant> {
        let wait = self.controllers.next_at()?.duration_since(self.store.now());
        // What is due already has no time to wait for.
        Some(Instant::now() + Duration::try_from(wait).unwrap_or_default())
    }
}

impl Fake {
    /// Starts one, with a node, and the host's own namespace beside `default`.
    pub(crate) fn start() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let (told, _) = watch::channel(0);
        let shared = Arc::new(Shared { state: Mutex::default(), told });
        for namespace in ["default", OWN_NAMESPACE] {
            shared.make(Kind::Namespace, "", &json!({ "metadata": { "name": namespace } }))?;
        }
        let labels = json!({
            "kubernetes.io/hostname": NODE,
            "kubernetes.io/os": "linux",
            "tidegate.dev/stand-in": "true",
        });
        let node = json!({ "metadata": { "name": NODE, "labels": labels } });
        shared.make(Kind::Node, "", &node)?;
        let (rests, rested) = watch::channel(0);
        runtime.spawn(control(Arc::clone(&shared), rests));
        let folder = tempfile::tempdir()?;
        for (name, delay) in [(FRESH, Duration::ZERO), (BEHIND, DELAY)] {
            let router = http::router(Arc::clone(&shared), delay);
            let address = runtime.block_on(serve(router))?;
            fs::write(folder.path().join(name), kubeconfig(address).to_string())?;
        }
        Ok(Self { folder, shared, rested, runtime })
    }

    /// A kubeconfig for it. No credentials are asked for.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join(FRESH)
    }

    /// A kubeconfig for an API server of the same cluster that is behind: its watches show every change late. What is read there without naming a
    /// version is as it is.
    pub(crate) fn kubeconfig_behind(&self) -> PathBuf {
        self.folder.path().join(BEHIND)
    }

    /// Has pods that bear this label played so, in the words of the stand-in node's scripts, unless their own annotation says otherwise.
    /// Without either a main container runs until it is told to end, and exits with 0 then.
    pub(crate) fn play(&self, label: &str, script: &str) -> Result<()> {
        let script = script.parse()?;
        self.shared.lock().kubelet.play(label, script);
        Ok(())
    }

    /// Ends a running container of a pod.
    pub(crate) fn finish(
        &self,
        (namespace, pod): (&str, &str),
        container: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> Result<()> {
        let mut state = self.shared.lock();
        state.kubelet.finish((namespace, pod), container, exit_code, message)?;
        drop(state);
        self.shared.tell();
        Ok(())
    }

    /// Puts a policy of the library where the host looks for it; answers the host's argument that names it.
    pub(crate) fn library(&self, policy: &str) -> Result<String> {
        let path = format!("{}/../deploy/library/{policy}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let value = |key: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once(": "));
            let found = lines.find(|(name, _)| *name == key).map(|(_, value)| value);
            found
                .map(|value| value.trim_matches('"'))
                .with_context(|| format!("{path} has no {key}"))
        };
        let (name, data, digest) =
            (value("name")?, value("policy.wasm.gz")?, value("tidegate.dev/sha256")?);
        let map = json!({
            "metadata": { "name": name },
            "immutable": true,
            "binaryData": { "policy.wasm.gz": data },
        });
        self.shared.make(Kind::ConfigMap, OWN_NAMESPACE, &map)?;
        Ok(format!("--library={policy}={name}/policy.wasm.gz@sha256:{digest}"))
    }

    /// The latest writes, in their order.
    pub(crate) fn history(&self) -> Vec<Change> {
        self.shared.lock().store.changes().cloned().collect()
    }

    /// Forgets what was before: who asks for it is told that it is gone.
    pub(crate) fn compact(&self) {
        self.shared.lock().store.compact();
        self.shared.tell();
    }

    /// Waits until nobody has anything to do any more, and no script has anything due.
    pub(crate) fn settle(&self) -> Result<()> {
        let mut rested = self.rested.clone();
        let asked = *self.shared.told.borrow();
        let waited = self.runtime.block_on(rested.wait_for(|rested| *rested >= asked));
        waited.map(|_| ()).map_err(|_| anyhow!("the controllers of the fake cluster are gone"))
    }
}

impl Shared {
    /// Everything that is kept, for as long as the answer lives.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of every change.
    pub(crate) fn told(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// Tells that something has changed.
    pub(crate) fn tell(&self) {
        self.told.send_modify(|times| *times += 1);
    }

    /// Has one controller do one thing; answers whether there was anything to do.
    fn control(&self) -> bool {
        let mut state = self.lock();
        let State { store, controllers, kubelet } = &mut *state;
        controllers.act(store, kubelet)
    }

    fn make(&self, kind: Kind, within: &str, object: &Value) -> Result<()> {
        let mut state = self.lock();
        let mut writer = Writer { store: &mut state.store, by: "the test", effect: Effect::Real };
        let made = writer.create(kind, within, object);
        made.map_err(|refusal| anyhow!("the fake API server refuses it: {}", refusal.status()))?;
        drop(state);
        self.tell();
        Ok(())
    }
}

fn kubeconfig(address: SocketAddr) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "fake", "cluster": { "server": format!("http://{address}") } }],
        "users": [{ "name": "fake", "user": {} }],
        "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
        "current-context": "fake",
    })
}

/// Answers at an address of the loopback; says which.
async fn serve(router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// Has the controllers act on every change, and when a script has something due. Clients come in between any two of their writes.
async fn control(shared: Arc<Shared>, rests: watch::Sender<u64>) {
    let mut told = shared.told();
    loop {
        let heard = *told.borrow_and_update();
        while shared.control() {
            shared.tell();
            yield_now().await;
        }
        let (due, scripted) = {
            let state = shared.lock();
            let scripted = state.kubelet.next_at();
            (state.next_of_controllers().into_iter().chain(scripted).min(), scripted)
        };
        if scripted.is_none() {
            rests.send_replace(heard);
        }
        let wait = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = told.changed() => if heard.is_err() { return },
            () = wait => {}
        }
    }
}
