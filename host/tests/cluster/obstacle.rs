//! An admission policy that lets nobody do one thing in a namespace: it holds a passage at that point, or refuses what is asked.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::site::Site;
use crate::wait::{SOON, eventually, found_if};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

/// What nobody may do.
#[derive(Clone, Copy)]
pub(crate) enum Forbidden {
    /// Delete a claim; the one that is tried, without effect, to see whether the policy stands.
    DeletingClaims(&'static str),
    /// Create a pod.
    CreatingPods,
}

impl Forbidden {
    /// What the API server says to whoever tries.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::DeletingClaims(_) => "no claim is deleted here",
            Self::CreatingPods => "no pod is created here",
        }
    }

    const fn rule(self) -> (&'static str, &'static str) {
        match self {
            Self::DeletingClaims(_) => ("DELETE", "persistentvolumeclaims"),
            Self::CreatingPods => ("CREATE", "pods"),
        }
    }
}

/// The admission policy. It is taken away at the latest when this is dropped, because it outlives the namespace.
pub(crate) struct Obstacle<'a> {
    site: &'a Site<'a>,
    forbidden: Forbidden,
}

impl<'a> Obstacle<'a> {
    /// Puts it up, and waits until it stands.
    pub(crate) fn put(site: &'a Site<'a>, forbidden: Forbidden) -> Result<Self> {
        let name = &site.namespace;
        let (operation, resource) = forbidden.rule();
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": [operation],
            "resources": [resource],
        });
        let policy = json!({
            "metadata": { "name": name },
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": { "resourceRules": [rule] },
                "validations": [{ "expression": "false", "message": forbidden.words() }],
            },
        });
        let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": name } });
        let binding = json!({
            "metadata": { "name": name },
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": { "namespaceSelector": selector },
            },
        });
        let obstacle = Self { site, forbidden };
        site.world.api.create(POLICIES, &policy)?;
        site.world.api.create(BINDINGS, &binding)?;
        eventually("the obstacle stands", SOON, || {
            Ok(found_if(obstacle.stands(), || "nothing is forbidden".to_owned()))
        })?;
        Ok(obstacle)
    }

    /// Takes it away, and waits until it is gone.
    pub(crate) fn take_away(self) -> Result<()> {
        self.delete().context("taking it away")?;
        eventually("the obstacle is gone", SOON, || {
            Ok(found_if(!self.stands(), || "it is still forbidden".to_owned()))
        })
    }

    fn delete(&self) -> Result<()> {
        for kind in [BINDINGS, POLICIES] {
            let path = format!("{kind}/{}", self.site.namespace);
            if self.site.world.api.get(&path)?.is_some() {
                self.site.world.api.delete(&path, &Value::Null)?;
            }
        }
        Ok(())
    }

    /// Whether it stands: the API server heeds it, and that it is gone, some time after it was told.
    fn stands(&self) -> bool {
        let site = self.site;
        let tried = match self.forbidden {
            Forbidden::DeletingClaims(claim) => {
                let path =
                    site.path("v1", "persistentvolumeclaims", &format!("{claim}?dryRun=All"));
                site.world.api.delete(&path, &json!({ "dryRun": ["All"] })).map(drop)
            }
            Forbidden::CreatingPods => site.try_pod(),
        };
        tried.is_err_and(|error| format!("{error:#}").contains(self.forbidden.words()))
    }
}

impl Drop for Obstacle<'_> {
    fn drop(&mut self) {
        // What fails here is told by the test that waits for the obstacle to be gone; the cluster ends with the tests.
        let _ = self.delete();
    }
}
