//! Whatever a user gets wrong is told by an event that names the field and the mend, and nothing is touched.

pub(crate) mod annotation;
pub(crate) mod answer;
pub(crate) mod claim;
pub(crate) mod component;
pub(crate) mod grants;
pub(crate) mod reference;
pub(crate) mod refused;
pub(crate) mod roads;
pub(crate) mod template;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::audit::{Asked, asked_by};
use crate::site::Site;
use crate::store::Store;
use crate::world::HOST_USER;

/// The annotation that names the policy.
const POLICY: &str = "tidegate.dev/policy";

/// What was written is answered with less than this.
const FIRST_CODE_OF_A_REFUSAL: u64 = 300;

/// The claim of a set whose only member was scaled away. Whatever is wrong with what drains it, it must stay as it is.
struct Orphan<'a> {
    site: &'a Site<'a>,
    claim_uid: String,
}

impl<'a> Orphan<'a> {
    /// Starts the set, and scales it to zero.
    fn of(site: &'a Site<'a>, store: &Store) -> Result<Self> {
        site.start(store)?;
        Self::left_by(site)
    }

    /// Scales the set to zero that runs already.
    fn left_by(site: &'a Site<'a>) -> Result<Self> {
        let claim_uid = site.claim_uid("data-web-0")?;
        site.scale("web", 0)?;
        Ok(Self { site, claim_uid })
    }

    /// Gives the set an annotation, and waits for the event about it.
    fn told_of(&self, key: &str, value: &str, reason: &str, words: &[&str]) -> Result<()> {
        self.site.annotate("web", key, Some(value))?;
        self.told(reason, words)
    }

    /// Waits for the event.
    fn told(&self, reason: &str, words: &[&str]) -> Result<()> {
        self.site.told("web", reason, words)?;
        Ok(())
    }

    /// Of the host's there is nothing in the namespace but the label on the claim, and it stays so.
    fn is_untouched(&self) -> Result<()> {
        self.site.no_pod("web-0")?;
        self.site.left_alone("data-web-0", &self.claim_uid, "web-0")?;
        only_the_label_was_written(self.site)
    }

    /// The mistake is mended, and the drain goes on to its end.
    fn is_drained_with(&self, key: &str, value: Option<&str>) -> Result<()> {
        self.site.annotate("web", key, value)?;
        self.site.gone("data-web-0", "web-0")
    }
}

/// All that the host ever wrote in the namespace is the label on the claim.
fn only_the_label_was_written(site: &Site<'_>) -> Result<()> {
    let writes = writes_of_the_host(site)?;
    ensure!(
        matches!(&*writes, [one] if one.what == "patch persistentvolumeclaims data-web-0"),
        "the host wrote more than the label of the claim: {writes:?}"
    );
    Ok(())
}

/// What the host wrote in the namespace and the API server took, events aside.
fn writes_of_the_host(site: &Site<'_>) -> Result<Vec<Asked>> {
    let mut asked = asked_by(site.world, HOST_USER)?;
    asked.retain(|asked| asked.namespace == site.namespace && asked.is_write());
    asked.retain(|asked| asked.code < FIRST_CODE_OF_A_REFUSAL);
    Ok(asked)
}

/// A set whose drain needs no other member and ends at once.
fn moves_nothing() -> Store {
    drained_at_zero(Store::exec(&json!({ "script": "true", "readyPeers": 0 })))
}

/// One member, drained when the set is scaled to zero: the smallest set that has an orphan.
fn drained_at_zero(store: Store) -> Store {
    store.of(1).annotated("tidegate.dev/scale-to-zero", "drain")
}

/// A pod template whose only container mounts the claim and ends at once.
fn template() -> Value {
    json!({ "spec": { "containers": [{
        "name": "drain",
        "image": "docker.io/library/box:1",
        "command": ["true"],
        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
    }] } })
}

/// The same with another value at a JSON pointer; the objects on the way are made.
fn with(mut template: Value, pointer: &str, value: Value) -> Value {
    let mut place = &mut template;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/");
        place = match key.parse::<usize>() {
            Ok(at) => &mut place[at],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
    template
}
