//! The controller of StatefulSets: members by ordinal, their claims, and whose the claims are. Rolling updates are left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::retention::{Wanted, is_stale, owners_of, reference};
use crate::kind::Kind;
use crate::object::{
    controller, has_ended, is_deleted, items, name, namespace, text, uid, version,
};
use crate::store::{Key, Store};
use crate::write::{Deletion, Part, Writer};

/// Who writes.
pub(crate) const NAME: &str = "statefulset-controller";

/// How long the controller rests once it could not make a member because its name was held, unless the set or one of the set's own pods
/// changes. The real one tries again after 5 ms, and then each time after twice as long, up to 1000 s: this is longer than anything that a test
/// expects to come of a change, and short enough to be waited for where nobody is left who could wake it.
const RESTS: SignedDuration = SignedDuration::from_secs(30);

/// The controller.
#[derive(Default)]
pub(crate) struct Controller {
    /// What each set, by its UID, and its pods were like when it began to rest, and until when it does.
    resting: BTreeMap<String, (Sight, Timestamp)>,
}

/// The versions of a set and of its own pods.
type Sight = Vec<String>;

/// What came of looking at one ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Something was written.
    Wrote,
    /// It is as it should be.
    Done,
    /// It is not yet as it should be, and nothing is to be done about it at this moment.
    Waits,
    /// It cannot be made because its name is held.
    Held,
}

/// One look at a set.
struct Look<'a> {
    set: &'a Value,
    pods: Vec<Arc<Value>>,
}

impl Controller {
    /// Does one thing for one set.
    pub(crate) fn act(&mut self, writer: &mut Writer<'_>) -> bool {
        let now = writer.store.now();
        let sets = writer.store.list(Kind::Set, None);
        self.resting.retain(|known, _| sets.iter().any(|set| uid(set) == known));
        sets.iter().any(|set| self.sync(writer, set, now))
    }

    /// When it has rested long enough for some set.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.resting.values().map(|(_, until)| *until).min()
    }

    fn sync(&mut self, writer: &mut Writer<'_>, set: &Value, now: Timestamp) -> bool {
        let look = Look::at(writer.store, set);
        if !is_deleted(set) && adopt(writer, set) {
            return true;
        }
        let sight = look.sight();
        let resting = self.resting.get(uid(set));
        if resting.is_some_and(|(before, until)| *before == sight && now < *until) {
            return false;
        }
        let turn = if is_deleted(set) { Turn::Done } else { look.scale(writer) };
        match turn {
            Turn::Wrote => return true,
            Turn::Held => {
                self.resting.insert(uid(set).to_owned(), (sight, now + RESTS));
            }
            Turn::Done | Turn::Waits => {
                self.resting.remove(uid(set));
            }
        }
        look.report(writer)
    }
}

impl<'a> Look<'a> {
    fn at(store: &Store, set: &'a Value) -> Self {
        let pods = store.list(Kind::Pod, Some(namespace(set)));
        let is_own = |pod: &Arc<Value>| controller(pod).is_some_and(|it| it.uid() == uid(set));
        Self { set, pods: pods.into_iter().filter(is_own).collect() }
    }

    fn sight(&self) -> Sight {
        let pods = self.pods.iter().map(|pod| format!("{} {}", uid(pod), version(pod)));
        pods.chain([version(self.set).to_owned()]).collect()
    }

    /// Makes what is missing, lowest ordinal first; then deletes what is too much, highest first. In order, each waits for the one before.
    fn scale(&self, writer: &mut Writer<'_>) -> Turn {
        let mut outcome = Turn::Done;
        for ordinal in self.range() {
            match self.make(writer, ordinal) {
                Turn::Done => {}
                Turn::Wrote => return Turn::Wrote,
                turn @ (Turn::Waits | Turn::Held) if self.is_in_order() => return turn,
                Turn::Held => outcome = Turn::Held,
                Turn::Waits if outcome == Turn::Done => outcome = Turn::Waits,
                Turn::Waits => {}
            }
        }
        if outcome == Turn::Held { outcome } else { self.condemn(writer) }
    }

    /// Makes the member of an ordinal that the set wants, with its claims.
    fn make(&self, writer: &mut Writer<'_>, ordinal: u64) -> Turn {
        let member = self.member(ordinal);
        let key = Key::new(Kind::Pod, namespace(self.set), &member);
        let Some(pod) = self.pods.iter().find(|pod| name(pod) == member) else {
            return self.create(writer, &key, ordinal);
        };
        if has_ended(pod) && !is_deleted(pod) {
            return wrote(writer.delete(&key, &Deletion::of(pod)).is_ok());
        }
        let is_pending = text(pod, "/status/phase") == "Pending";
        if is_pending && self.make_claims(writer, ordinal) == Turn::Wrote {
            return Turn::Wrote;
        }
        let is_whole = is_ready(pod) && !is_deleted(pod);
        if !is_whole && self.is_in_order() {
            return Turn::Waits;
        }
        let turn = self.own_claims(writer, pod, ordinal, Wanted::Yes);
        if turn == Turn::Done && !is_whole { Turn::Waits } else { turn }
    }

    fn create(&self, writer: &mut Writer<'_>, key: &Key, ordinal: u64) -> Turn {
        let set = self.set;
        let claims = self.claims(ordinal).map(|(_, key)| writer.store.get(&key));
        let claims: Vec<Arc<Value>> = claims.flatten().collect();
        if claims.iter().any(|claim| is_stale(claim, set, &key.name)) {
            return Turn::Waits;
        }
        // The name is asked for only after the claims are in order, but who holds it does not let go before they are.
        let is_held = writer.store.get(key).is_some();
        match self.make_claims(writer, ordinal) {
            Turn::Done => {}
            Turn::Waits if is_held => return Turn::Held,
            turn @ (Turn::Wrote | Turn::Waits | Turn::Held) => return turn,
        }
        match writer.create(Kind::Pod, namespace(set), &self.manifest(ordinal)) {
            Ok(_) => Turn::Wrote,
            Err(refusal) if refusal.code == 409 => Turn::Held,
            Err(_) => Turn::Waits,
        }
    }

    /// Makes the claims of an ordinal that are not there, and waits for those that are about to go.
    fn make_claims(&self, writer: &mut Writer<'_>, ordinal: u64) -> Turn {
        let mut outcome = Turn::Done;
        for (template, key) in self.claims(ordinal) {
            match writer.store.get(&key) {
                Some(claim) if is_deleted(&claim) => outcome = Turn::Waits,
                Some(_) => {}
                None => {
                    let mut claim = json!({
                        "metadata": template["metadata"],
                        "spec": template["spec"],
                    });
                    claim["metadata"]["name"] = json!(key.name);
                    merge(
                        &mut claim["metadata"]["labels"],
                        &self.set["spec"]["selector"]["matchLabels"],
                    );
                    return wrote(writer.create(Kind::Claim, &key.namespace, &claim).is_ok());
                }
            }
        }
        outcome
    }

    /// Deletes the members that the set does not want. Before that it is said whose their claims are then.
    fn condemn(&self, writer: &mut Writer<'_>) -> Turn {
        let mut condemned: Vec<(u64, &Arc<Value>)> = self
            .pods
            .iter()
            .filter_map(|pod| Some((ordinal_of(self.set, name(pod))?, pod)))
            .filter(|(ordinal, _)| !self.range().contains(ordinal))
            .collect();
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        for (ordinal, pod) in &condemned {
            if self.own_claims(writer, pod, *ordinal, Wanted::No) == Turn::Wrote {
                return Turn::Wrote;
            }
        }
        for (_, pod) in condemned {
            if !is_deleted(pod) {
                let key = Key::new(Kind::Pod, namespace(pod), name(pod));
                return wrote(writer.delete(&key, &Deletion::of(pod)).is_ok());
            }
            if self.is_in_order() {
                return Turn::Waits;
            }
        }
        Turn::Done
    }

    fn own_claims(
        &self,
        writer: &mut Writer<'_>,
        pod: &Value,
        ordinal: u64,
        wanted: Wanted,
    ) -> Turn {
        for (_, key) in self.claims(ordinal) {
            let before = writer.store.revision();
            // A claim that is not there is made another time.
            let _ = writer.update(&key, Part::Main, |claim| {
                let mut after = claim.clone();
                let references = owners_of(claim, self.set, pod, wanted);
                after["metadata"]["ownerReferences"] = json!(references);
                Ok(after)
            });
            if writer.store.revision() > before {
                return Turn::Wrote;
            }
        }
        Turn::Done
    }

    /// Writes the status where it is not so already.
    fn report(&self, writer: &mut Writer<'_>) -> bool {
        let key = Key::new(Kind::Set, namespace(self.set), name(self.set));
        let live = self.pods.iter().filter(|pod| !is_deleted(pod));
        let ready = live.filter(|pod| is_ready(pod)).count();
        let before = writer.store.revision();
        let written = writer.update(&key, Part::Status, |set| {
            let mut set = set.clone();
            set["status"] = json!({
                "observedGeneration": set["metadata"]["generation"],
                "replicas": self.pods.len(),
                "currentReplicas": self.pods.len(),
                "updatedReplicas": self.pods.len(),
                "readyReplicas": ready,
                "availableReplicas": ready,
            });
            Ok(set)
        });
        written.is_ok() && writer.store.revision() > before
    }

    fn range(&self) -> std::ops::Range<u64> {
        let spec = &self.set["spec"];
        let start = spec["ordinals"]["start"].as_u64().unwrap_or_default();
        start..start + spec["replicas"].as_u64().unwrap_or(1)
    }

    fn is_in_order(&self) -> bool {
        text(self.set, "/spec/podManagementPolicy") != "Parallel"
    }

    fn member(&self, ordinal: u64) -> String {
        format!("{}-{ordinal}", name(self.set))
    }

    /// The claim templates, and where the claims of this ordinal lie.
    fn claims(&self, ordinal: u64) -> impl Iterator<Item = (&'a Value, Key)> {
        let (set, member) = (self.set, self.member(ordinal));
        items(set, "/spec/volumeClaimTemplates").map(move |template| {
            let claim = format!("{}-{member}", name(template));
            (template, Key::new(Kind::Claim, namespace(set), &claim))
        })
    }

    fn manifest(&self, ordinal: u64) -> Value {
        let (set, member) = (self.set, self.member(ordinal));
        let template = &set["spec"]["template"];
        let mut pod = json!({ "metadata": template["metadata"], "spec": template["spec"] });
        let labels = json!({
            "statefulset.kubernetes.io/pod-name": member,
            "apps.kubernetes.io/pod-index": ordinal.to_string(),
            "controller-revision-hash": format!("{}-1", name(set)),
        });
        merge(&mut pod["metadata"]["labels"], &labels);
        pod["metadata"]["name"] = json!(member);
        pod["metadata"]["ownerReferences"] = json!([reference(Kind::Set, set)]);
        pod["spec"]["hostname"] = json!(member);
        pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
        let of_claims = self.claims(ordinal).map(|(template, key)| {
            let source = json!({ "claimName": key.name });
            json!({ "name": name(template), "persistentVolumeClaim": source })
        });
        let of_claims: Vec<Value> = of_claims.collect();
        let is_other = |volume: &&Value| of_claims.iter().all(|it| it["name"] != volume["name"]);
        let others = items(template, "/spec/volumes").filter(is_other);
        pod["spec"]["volumes"] = others.chain(&of_claims).cloned().collect();
        pod
    }
}

/// Takes a pod that nobody directs for a member, where it bears a member's name and labels.
fn adopt(writer: &mut Writer<'_>, set: &Value) -> bool {
    let pods = writer.store.list(Kind::Pod, Some(namespace(set)));
    let stray = pods.iter().find(|pod| {
        let is_free = controller(pod).is_none() && !is_deleted(pod);
        is_free && ordinal_of(set, name(pod)).is_some() && is_selected(set, pod)
    });
    stray.is_some_and(|pod| {
        let key = Key::new(Kind::Pod, namespace(pod), name(pod));
        let adopted = writer.update(&key, Part::Main, |pod| {
            let mut pod = pod.clone();
            let mut owners =
                pod["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            owners.push(reference(Kind::Set, set));
            pod["metadata"]["ownerReferences"] = json!(owners);
            Ok(pod)
        });
        adopted.is_ok()
    })
}

fn is_selected(set: &Value, pod: &Value) -> bool {
    let wanted = set["spec"]["selector"]["matchLabels"].as_object();
    let labels = &pod["metadata"]["labels"];
    wanted.is_some_and(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

/// The ordinal that a name tells, where it is one of the set's.
fn ordinal_of(set: &Value, pod: &str) -> Option<u64> {
    let (stem, ordinal) = pod.rsplit_once('-')?;
    if stem == name(set) { ordinal.parse().ok() } else { None }
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = items(pod, "/status/conditions");
    conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
}

fn wrote(is_written: bool) -> Turn {
    if is_written { Turn::Wrote } else { Turn::Waits }
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}
