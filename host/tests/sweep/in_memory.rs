//! The fake ground: everything in this process, so that every call can meet every fault in a time that is spent at each change.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Value, json};

use crate::fake::Fake;
use crate::ground::Ground;

/// A fake cluster, with what the host is told of it.
struct InMemory {
    fake: Fake,
    fresh: PathBuf,
    behind: PathBuf,
    user: Value,
    flags: Vec<String>,
}

/// Starts it.
pub(crate) fn start() -> Result<Box<dyn Ground>> {
    let fake = Fake::start()?;
    let flags = vec![fake.library("exec")?];
    let (fresh, behind) = (fake.kubeconfig(), fake.kubeconfig_behind());
    Ok(Box::new(InMemory { fake, fresh, behind, user: json!({}), flags }))
}

impl Ground for InMemory {
    fn kubeconfig(&self) -> &Path {
        &self.fresh
    }

    fn lagging(&self) -> &Path {
        &self.behind
    }

    fn host_user(&self) -> &Value {
        &self.user
    }

    fn host_flags(&self) -> &[String] {
        &self.flags
    }

    fn pod_fields(&self) -> Value {
        json!({ "terminationGracePeriodSeconds": 1 })
    }

    fn finish(
        &self,
        namespace: &str,
        pod: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> Result<()> {
        self.fake.finish((namespace, pod), "member", exit_code, message)
    }
}
