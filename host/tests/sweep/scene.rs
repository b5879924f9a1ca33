//! One walk through a passage: its namespace, its host, and what a person does there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::StatusCode;
use serde_json::{Value, json};
use xtask::proxy::{Call, Proxy, Refused};

use crate::call::Journal;
use crate::fault::{Armed, Fault, Next, spoilt};
use crate::ground::Place;
use crate::host::{self, Host};
use crate::state::State;
use crate::store::Store;
use crate::wait::{Look, eventually, found_if};

/// How long each step may take that is done in a second or two on an idle machine.
const STEP: Duration = Duration::from_secs(90);

/// The namespace of a walk, and who is there.
pub(crate) struct Scene<'a> {
    pub(crate) place: &'a Place,
    pub(crate) namespace: String,
    pub(crate) journal: Arc<Journal>,
    proxy: Proxy,
    behind: Option<Proxy>,
    host: Mutex<Option<Host>>,
    _barred: Vec<Refused>,
}

impl<'a> Scene<'a> {
    /// Makes the namespace, arms the fault and starts the host. What a passage bars is refused all the while.
    pub(crate) fn open(
        place: &'a Place,
        namespace: &str,
        bars: fn(&Call) -> bool,
        fault: Option<(&str, Fault)>,
    ) -> Result<(Self, Option<Armed>)> {
        host::forget(namespace);
        place.api.create("/api/v1/namespaces", &json!({ "metadata": { "name": namespace } }))?;
        let journal = Arc::new(Journal::default());
        let proxy = Proxy::start(place.ground.kubeconfig())?;
        let armed = fault.map(|(call, fault)| fault.arm(call, &proxy, &journal));
        let behind = match fault {
            Some((_, Fault::RestartBehind)) => Some(Proxy::start(place.ground.lagging())?),
            Some(_) | None => None,
        };
        let refuse = |proxy: &Proxy| {
            let noted = Arc::clone(&journal);
            proxy.listen(move |call| noted.note(call));
            proxy.refuse(StatusCode::SERVICE_UNAVAILABLE, bars)
        };
        let barred = std::iter::once(&proxy).chain(&behind).map(refuse).collect();
        let host = Mutex::new(Some(Host::start(&*place.ground, &proxy, namespace)?));
        let namespace = namespace.to_owned();
        let scene = Self { place, namespace, journal, proxy, behind, host, _barred: barred };
        Ok((scene, armed))
    }

    /// Waits until the fault has befallen its call, and sees to what follows. What is still held is answered.
    pub(crate) fn befall(&self, armed: Armed) -> Result<Option<Armed>> {
        match armed {
            Armed::Crash(held, next) => {
                held.caught()?;
                let mut host = self.host();
                // The host dies first, so that it never hears of what it asked for.
                drop(host.take());
                drop(held);
                let proxy = match next {
                    Next::AsItIs => &self.proxy,
                    Next::Behind => self.behind.as_ref().context("nothing is behind here")?,
                };
                *host = Some(Host::start(&*self.place.ground, proxy, &self.namespace)?);
                Ok(None)
            }
            Armed::Spoil(told) => {
                spoilt(&told)?;
                Ok(None)
            }
            Armed::Hang(held) => {
                held.caught()?;
                Ok(Some(Armed::Hang(held)))
            }
            Armed::Refuse(refused, asked) => {
                eventually("the call that is refused comes", STEP, || {
                    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    Ok(found_if(asked.is_some(), || "it did not".to_owned()))
                })?;
                Ok(Some(Armed::Refuse(refused, asked)))
            }
        }
    }

    /// Whether the host answers and is ready.
    pub(crate) fn host_is_ready(&self) -> Result<bool> {
        self.host().as_mut().context("no host runs")?.is_ready()
    }

    /// Waits until the host is ready, creates the set, and waits until its members run and their claims are enrolled.
    pub(crate) fn start(&self, store: &Store) -> Result<()> {
        eventually("the host is ready", STEP, || {
            Ok(found_if(self.host_is_ready()?, || "it is not".to_owned()))
        })?;
        let store = store.clone().with_pod(&self.place.ground.pod_fields());
        self.place.api.create(&self.path("apis/apps/v1", "statefulsets", ""), &store.set())?;
        eventually("the members run", STEP, || {
            let set = self.get("apis/apps/v1", "statefulsets", "web")?;
            let ready = set["status"]["readyReplicas"] == store.replicas();
            Ok(found_if(ready, || set["status"].to_string()))
        })?;
        eventually("every claim is enrolled", STEP, || {
            let claims = self.place.api.list(&self.path("api/v1", "persistentvolumeclaims", ""))?;
            let is_stray =
                |claim: &&Value| claim["metadata"]["labels"]["tidegate.dev/set-uid"].is_null();
            let stray = claims.iter().filter(is_stray).count();
            Ok(found_if(stray == 0, || format!("{stray} are not")))
        })
    }

    /// Merges a patch into the set.
    pub(crate) fn change(&self, patch: &Value) -> Result<()> {
        self.place.api.merge(&self.path("apis/apps/v1", "statefulsets", "web"), patch)?;
        Ok(())
    }

    /// Scales the set.
    pub(crate) fn scale(&self, replicas: u32) -> Result<()> {
        self.change(&json!({ "spec": { "replicas": replicas } }))
    }

    /// Has the set deleted in the background.
    pub(crate) fn delete_set(&self) -> Result<()> {
        let options = json!({ "propagationPolicy": "Background" });
        self.place.api.delete(&self.path("apis/apps/v1", "statefulsets", "web"), &options)?;
        Ok(())
    }

    /// Waits until the drain pod of this attempt runs.
    pub(crate) fn drains(&self, pod: &str, attempt: u64) -> Result<()> {
        self.pod_is(&format!("attempt {attempt} of drain pod {pod} runs"), pod, |pod| {
            let marks = pod["metadata"]["annotations"]["tidegate.dev/drain"].as_str();
            let marks: Value = serde_json::from_str(marks.unwrap_or_default()).unwrap_or_default();
            marks["attempt"] == attempt && pod["status"]["phase"] == "Running"
        })
    }

    /// Waits until the drain pod is sealed.
    pub(crate) fn sealed(&self, pod: &str) -> Result<()> {
        self.pod_is("the drain pod is sealed", pod, |pod| {
            pod["metadata"]["finalizers"].to_string().contains("tidegate.dev/seal")
        })
    }

    /// Waits until the set and all of its claims are held.
    pub(crate) fn held(&self) -> Result<()> {
        eventually("the set is held and its claims are anchored", STEP, || {
            let set = self.get("apis/apps/v1", "statefulsets", "web")?;
            let claims = self.place.api.list(&self.path("api/v1", "persistentvolumeclaims", ""))?;
            let is_anchored = |claim: &Value| {
                claim["metadata"]["ownerReferences"].to_string().contains("\"Namespace\"")
            };
            let held = set["metadata"]["finalizers"].to_string().contains("drain-on-delete");
            Ok(found_if(held && claims.iter().all(is_anchored), || set["metadata"].to_string()))
        })
    }

    /// Ends the work of a drain pod with this exit code and message.
    pub(crate) fn finish(&self, pod: &str, exit_code: i32, message: Option<&str>) -> Result<()> {
        self.place.ground.finish(&self.namespace, pod, exit_code, message)
    }

    /// Waits until so many calls of this name have come.
    pub(crate) fn asked(&self, name: &str, times: u64) -> Result<()> {
        eventually(&format!("the host asks {times} times to {name}"), STEP, || {
            let asked = self.journal.count(name);
            Ok(found_if(asked >= times, || format!("{asked} times")))
        })
    }

    /// What the namespace holds.
    pub(crate) fn state(&self) -> Result<State> {
        State::read(self.place, &self.namespace)
    }

    /// Has the namespace deleted, without waiting for it.
    pub(crate) fn leave(&self) {
        // What it holds ends with the ground at the latest.
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let _ = self.place.api.delete(&path, &json!({}));
    }

    fn pod_is(&self, what: &str, name: &str, is_so: impl Fn(&Value) -> bool) -> Result<()> {
        eventually(what, STEP, || {
            let pod = self.get("api/v1", "pods", name)?;
            let is_so = is_so(&pod);
            Ok(if is_so { Look::Found(()) } else { Look::NotYet(pod.to_string()) })
        })
    }

    /// The object; null where it is not there.
    fn get(&self, group: &str, kind: &str, name: &str) -> Result<Value> {
        Ok(self.place.api.get(&self.path(group, kind, name))?.unwrap_or_default())
    }

    fn path(&self, group: &str, kind: &str, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/{group}/namespaces/{}/{kind}{slash}{name}", self.namespace)
    }

    fn host(&self) -> MutexGuard<'_, Option<Host>> {
        self.host.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fails where something is left that would have been said otherwise.
pub(crate) fn nothing_more(difference: &str, of: &str) -> Result<()> {
    if difference.is_empty() { Ok(()) } else { bail!("{of}:\n{difference}") }
}
