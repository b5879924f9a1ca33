//! F27: a member that is restarted while its set grows is never taken for an orphan, in whatever order the watches tell of it.

use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::json;

use crate::audit::{Asked, host_asked_in};
use crate::machine::Machine;
use crate::site::{Site, is_drain_pod, same_claim, uid};
use crate::store::Store;
use crate::trial::{Test, test};
use crate::wait::{Look, SOON, eventually, found_if};

pub(crate) const TESTS: &[Test] =
    &[test("live_member::a_restart_during_a_scale_up_is_no_orphan", restarted)];

/// As many sets go through it side by side, so that the watches have something to do. More would only wait for the controller manager, which
/// sends 20 requests a second.
const SETS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// How often each set goes through it: four hundred times in all. A host that trusts its watches gets one in a hundred wrong.
const TURNS: usize = 50;

/// How long a pod would stay on a node that is not heard of, in seconds: the node is never lost here.
const PATIENCE_S: u32 = 600;

/// The set is scaled down, and up again while a finalizer keeps the member's object; then the object goes. At that moment the set wants the
/// ordinal, for certain, while a watch may still show it smaller.
fn restarted(site: &Site<'_>) -> Result<()> {
    let machine = Machine::start(site.world, &site.namespace)?;
    let config = json!({ "script": "true", "readyPeers": 0 });
    let store = Store::exec(&config).with_pod(&machine.home(PATIENCE_S));
    thread::scope(|scope| {
        let members = SETS.map(|set| {
            let store = store.clone().named(set);
            scope.spawn(move || Member::start(site, &store)?.goes_and_returns())
        });
        members.into_iter().try_for_each(|member| {
            member.join().unwrap_or_else(|_| Err(anyhow!("a thread of the test panicked")))
        })
    })?;
    let asked = host_asked_in(site.world, &site.namespace)?;
    let taken: Vec<&Asked> =
        asked.iter().filter(|asked| asked.what.starts_with("create pods")).collect();
    ensure!(
        taken.is_empty(),
        "the host took a live member for an orphan, and came late: {taken:?}"
    );
    Ok(())
}

/// The last member of a set, again and again another pod with the same claim.
struct Member<'a> {
    site: &'a Site<'a>,
    set: &'static str,
    pod: String,
    claim: String,
    claim_uid: String,
    uid: String,
}

impl<'a> Member<'a> {
    fn start(site: &'a Site<'a>, store: &Store) -> Result<Self> {
        site.start(store)?;
        let set = store.name();
        let (pod, claim) = (format!("{set}-1"), format!("data-{set}-1"));
        let claim_uid = site.claim_uid(&claim)?;
        let uid = uid(&site.member_runs(&pod)?)?;
        Ok(Self { site, set, pod, claim, claim_uid, uid })
    }

    fn goes_and_returns(mut self) -> Result<()> {
        for _ in 0..TURNS {
            self.site.hold(&self.pod)?;
            self.resize(1)?;
            self.has_ended()?;
            self.resize(2)?;
            self.site.let_go(&self.pod)?;
            self.is_back()?;
        }
        same_claim(self.site, &self.claim, &self.claim_uid)
    }

    /// By the subresource, whose answer is short and comes sooner.
    fn resize(&self, replicas: u32) -> Result<()> {
        let scale = self.site.path("apps/v1", "statefulsets", &format!("{}/scale", self.set));
        self.site.world.api.merge(&scale, &json!({ "spec": { "replicas": replicas } }))?;
        Ok(())
    }

    /// Waits until the node has ended the pod, so that only the finalizer keeps its object.
    fn has_ended(&self) -> Result<()> {
        eventually(&format!("{} has ended", self.pod), SOON, || {
            let pod = self.site.pod(&self.pod)?.context("the pod is gone, though it was held")?;
            let metadata = &pod["metadata"];
            let ended = metadata["deletionGracePeriodSeconds"] == 0;
            Ok(found_if(ended, || metadata.to_string()))
        })
    }

    /// Waits until another pod runs in its place, which is again a member.
    fn is_back(&mut self) -> Result<()> {
        self.uid = eventually(&format!("{} runs again", self.pod), SOON, || {
            let Some(pod) = self.site.pod(&self.pod)? else {
                return Ok(Look::NotYet("none".to_owned()));
            };
            let metadata = &pod["metadata"];
            ensure!(!is_drain_pod(&pod), "a live member was taken for an orphan: {metadata}");
            let uid = uid(&pod)?;
            let runs = pod["status"]["phase"] == "Running" && uid != self.uid;
            Ok(if runs { Look::Found(uid) } else { Look::NotYet(metadata.to_string()) })
        })?;
        Ok(())
    }
}
