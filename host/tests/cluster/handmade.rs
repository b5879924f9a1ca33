//! A policy that a test makes: it renders one template and says `complete` to whatever became of it.

use serde_json::{Value, json};

use crate::components::Guest;
use crate::site::gate;

/// Where the template lies in the memory of the policy: behind its reason and before what the host puts there.
const TEMPLATE_AT: usize = 1024;

/// The policy that renders this template, as a component.
pub(crate) fn renders(template: &Value) -> Vec<u8> {
    let Rendering { render, items } = rendering(template);
    Guest { render: &render, items: &items, reason: "drained", ..Guest::default() }.component()
}

/// What a policy needs to render one template, for a [`Guest`].
pub(crate) struct Rendering {
    pub(crate) render: String,
    pub(crate) items: String,
}

/// Answers `pod` with this template.
pub(crate) fn rendering(template: &Value) -> Rendering {
    let text = template.to_string();
    let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let items = format!("(data (i32.const {TEMPLATE_AT}) \"{bytes}\")");
    // The variant `pod`: its template, the traffic `none`, nothing to discard and no state.
    let render = format!(
        "(i32.store8 (i32.const 0) (i32.const 0))
         (i32.store (i32.const 8) (i32.const {TEMPLATE_AT}))
         (i32.store (i32.const 12) (i32.const {}))
         (i32.store8 (i32.const 16) (i32.const 0))
         (i32.store (i32.const 20) (i32.const 0))
         (i32.store (i32.const 24) (i32.const 0))
         (i32.store8 (i32.const 28) (i32.const 0))
         (i32.const 0)",
        text.len()
    );
    Rendering { render, items }
}

/// A template with one container of this name that mounts these volumes and waits at the [`gate`] of the first.
pub(crate) fn waits_at_the_gate(container: &str, volumes: &[&str]) -> Value {
    let mounts: Vec<Value> = volumes
        .iter()
        .map(|name| json!({ "name": name, "mountPath": format!("/{name}") }))
        .collect();
    json!({
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": container,
                "image": "docker.io/library/box:1",
                "command": ["sh", "-c", gate()],
                "volumeMounts": mounts,
            }],
        },
    })
}
