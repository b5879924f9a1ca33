//! A policy that says what its config says: it renders the text of `tidegate.dev/policy-config` as the pod template, and believes every
//! drain pod that ended.

use anyhow::Result;
use serde_json::Value;

use crate::components::Guest;
use crate::site::Site;
use crate::store::Store;

/// The annotation with the template that it renders.
pub(crate) const TEMPLATE: &str = "tidegate.dev/policy-config";

/// Answers `pod` with the config, which the record `situation` has at 72 and 76.
pub(crate) const RENDER: &str = "
    (i32.store8 (i32.const 0) (i32.const 0))
    (i32.store (i32.const 8) (i32.load offset=72 (local.get 0)))
    (i32.store (i32.const 12) (i32.load offset=76 (local.get 0)))
    (i32.store8 (i32.const 16) (i32.const 0))
    (i32.store (i32.const 20) (i32.const 0))
    (i32.store (i32.const 24) (i32.const 0))
    (i32.store8 (i32.const 28) (i32.const 0))
    (i32.const 0)";

/// Puts the policy into the namespace; answers a set without members' data to lose that it drains at zero replicas, by this template.
pub(crate) fn store(site: &Site<'_>, template: &Value) -> Result<Store> {
    let component = Guest { render: RENDER, ..Guest::default() }.component();
    let digest = site.config_map("puppet", ("policy.wasm", &component))?;
    Ok(Store::bare()
        .of(1)
        .annotated("tidegate.dev/policy", &format!("puppet@sha256:{digest}"))
        .annotated("tidegate.dev/scale-to-zero", "drain")
        .annotated(TEMPLATE, &template.to_string()))
}
