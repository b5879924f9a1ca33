//! The types of `wit/policy.wit` and the glue that carries them over the component's border.
#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    elided_lifetimes_in_paths,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    reason = "generated code: its types bear the documentation of the interface, and its glue is unsafe by nature"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "complete",
    additional_derives: [PartialEq],
    export_macro_name: "export_bindings",
    pub_export_macro: true,
    default_bindings_module: "tidegate_policy::bindings",
});
