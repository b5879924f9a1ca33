//! The people of one namespace: what they write, and when each write was answered.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::story::Story;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// Where objects of each kind are.
pub(super) mod resource {
    pub(in crate::storm) const SETS: &str = "apis/apps/v1 statefulsets";
    pub(in crate::storm) const PODS: &str = "api/v1 pods";
    pub(in crate::storm) const CLAIMS: &str = "api/v1 persistentvolumeclaims";
}

/// Somebody with every right, who acts in one namespace.
pub(super) struct Person {
    client: Client,
    namespace: String,
    story: Arc<Story>,
}

impl Person {
    /// Somebody in this namespace, whose story is told there.
    pub(super) fn new(client: Client, namespace: &str, story: Arc<Story>) -> Self {
        Self { client, namespace: namespace.to_owned(), story }
    }

    /// What happens in the namespace.
    pub(super) fn story(&self) -> &Arc<Story> {
        &self.story
    }

    /// Makes the namespace.
    ///
    /// # Errors
    /// Where the API server refuses or does not answer.
    pub(super) async fn settle(&self) -> Result<()> {
        let body = json!({ "metadata": { "name": self.namespace } });
        self.send(Method::POST, "/api/v1/namespaces".to_owned(), JSON, &body).await.map(|_| ())
    }

    /// Makes an object. Answers whether the cluster took it.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn create(&self, of: &str, object: &Value) -> Result<bool> {
        self.send(Method::POST, self.path(of, ""), JSON, object).await
    }

    /// Changes an object. Answers whether the cluster took it.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn patch(&self, of: &str, name: &str, change: &Value) -> Result<bool> {
        self.send(Method::PATCH, self.path(of, name), MERGE, change).await
    }

    /// Marks a pod as a kubelet does whose node shuts down.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn mark_shut_down(&self, pod: &str) -> Result<bool> {
        let mark = json!({
            "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
        });
        let change = json!({ "status": { "conditions": [mark] } });
        let path = self.path(resource::PODS, &format!("{pod}/status"));
        self.send(Method::PATCH, path, STRATEGIC, &change).await
    }

    /// Evicts a pod.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn evict(&self, pod: &str) -> Result<bool> {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod },
        });
        let path = self.path(resource::PODS, &format!("{pod}/eviction"));
        self.send(Method::POST, path, JSON, &eviction).await
    }

    /// Deletes an object, as these options of the API say.
    ///
    /// # Errors
    /// Where the API server does not answer.
    pub(super) async fn delete(&self, of: &str, name: &str, options: &Value) -> Result<bool> {
        self.send(Method::DELETE, self.path(of, name), JSON, options).await
    }

    fn path(&self, of: &str, name: &str) -> String {
        let (group, resource) = of.split_once(' ').unwrap_or(("api/v1", of));
        let slash = if name.is_empty() { "" } else { "/" };
        format!("/{group}/namespaces/{}/{resource}{slash}{name}", self.namespace)
    }

    /// What is not there, is there already or has changed meanwhile is no fault of a storm.
    async fn send(&self, method: Method, path: String, kind: &str, body: &Value) -> Result<bool> {
        let what = format!("{method} {path}");
        let request = Request::builder().method(method).uri(path);
        let request = request.header(http::header::CONTENT_TYPE, kind);
        let answer = self.client.request_text(request.body(body.to_string().into_bytes())?).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {
                return Ok(false);
            }
            Err(error) => return Err(error).with_context(|| format!("{what} of a storm")),
        };
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let revision = answer["metadata"]["resourceVersion"].as_str();
        if let Some(revision) = revision.and_then(|text| text.parse().ok()) {
            self.story.answered(revision);
        }
        Ok(true)
    }
}
