//! What a passage is walked on: a real control plane, or another API server that claims to be like one.

use std::path::Path;
use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::api::Api;
use crate::history::History;

/// A control plane with a node whose pods do what they are told.
pub(crate) trait Ground: Send + Sync {
    /// The kubeconfig of an admin.
    fn kubeconfig(&self) -> &Path;

    /// The kubeconfig of an admin for an API server that is behind: what it lists is as it is, what its watches show comes late.
    fn lagging(&self) -> &Path;

    /// Who the host is to the API server, as a user of a kubeconfig.
    fn host_user(&self) -> &Value;

    /// What the host is told besides: its library.
    fn host_flags(&self) -> &[String];

    /// What becomes of the pods of a set, merged into their template's specification, so that they run here.
    fn pod_fields(&self) -> Value;

    /// Ends the container of a pod, which runs until then.
    fn finish(
        &self,
        namespace: &str,
        pod: &str,
        exit_code: i32,
        message: Option<&str>,
    ) -> Result<()>;
}

/// A ground that is there, with those who look at it.
pub(crate) struct Place {
    pub(crate) ground: Box<dyn Ground>,
    pub(crate) api: Api,
    pub(crate) history: History,
}

/// A place that is made by the first run that asks for it.
pub(crate) struct Lazy {
    start: fn() -> Result<Box<dyn Ground>>,
    place: OnceLock<Result<Place, String>>,
}

impl Lazy {
    /// A place on the ground that this starts.
    pub(crate) fn of(start: fn() -> Result<Box<dyn Ground>>) -> Self {
        Self { start, place: OnceLock::new() }
    }

    /// The place. Where it could not be made, every run says why.
    pub(crate) fn get(&self) -> Result<&Place> {
        let made = self.place.get_or_init(|| self.make().map_err(|error| format!("{error:#}")));
        made.as_ref().map_err(|why| anyhow!("the ground of the sweep: {why}"))
    }

    fn make(&self) -> Result<Place> {
        let ground = (self.start)()?;
        let api = Api::of(ground.kubeconfig())?;
        let history = History::begin(ground.kubeconfig())?;
        Ok(Place { ground, api, history })
    }
}
