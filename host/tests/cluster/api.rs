//! The API server, asked from threads that wait for the answer. A process for each look, as `kubectl` is one, would take the
//! processors from the cluster that is looked at.

use std::path::Path;

use anyhow::{Context as _, Result};
use http::{Method, Request, header::CONTENT_TYPE};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The API server, as the admin.
pub(crate) struct Api {
    runtime: Runtime,
    client: Client,
}

impl Api {
    /// The API server that a kubeconfig names.
    pub(crate) fn of(kubeconfig: &Path) -> Result<Self> {
        let runtime = Runtime::new()?;
        let client = client(&runtime, kubeconfig)?;
        Ok(Self { runtime, client })
    }

    /// The object at this path, if it is there.
    pub(crate) fn get(&self, path: &str) -> Result<Option<Value>> {
        match self.send(Method::GET, path, "application/json", None) {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error).with_context(|| format!("GET {path}")),
        }
    }

    /// The items of the list at this path.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.get(path)?.with_context(|| format!("{path} is not there"))?;
        let Value::Array(items) = list["items"].take() else {
            anyhow::bail!("the items of {path} are no list: {list}");
        };
        Ok(items)
    }

    /// Creates an object in the collection at this path.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.send(Method::POST, path, "application/json", Some(object))
            .with_context(|| format!("POST {path}"))
    }

    /// Merges a patch into the object at this path.
    pub(crate) fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let kind = "application/merge-patch+json";
        self.send(Method::PATCH, path, kind, Some(patch))
            .with_context(|| format!("PATCH {path} with {patch}"))
    }

    /// Applies a strategic merge patch, which can take single entries out of a list, to the object at this path.
    pub(crate) fn merge_lists(&self, path: &str, patch: &Value) -> Result<Value> {
        let kind = "application/strategic-merge-patch+json";
        self.send(Method::PATCH, path, kind, Some(patch))
            .with_context(|| format!("PATCH {path} with {patch}"))
    }

    /// Deletes the object at this path with these options.
    pub(crate) fn delete(&self, path: &str, options: &Value) -> Result<Value> {
        self.send(Method::DELETE, path, "application/json", Some(options))
            .with_context(|| format!("DELETE {path}"))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, kind)
            .body(body.into_bytes())
            .map_err(kube::Error::HttpError)?;
        self.runtime.block_on(self.client.request(request))
    }
}

fn client(runtime: &Runtime, kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    runtime.block_on(async {
        let config =
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    })
}
