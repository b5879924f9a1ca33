//! How the API server says no: in Kubernetes' own form and words, since clients read both.

use serde_json::{Value, json};

use super::kind::Kind;

/// A request that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    /// There is no such object.
    pub fn not_found(kind: Kind, name: &str) -> Self {
        Self::about(404, "NotFound", kind, name, "not found")
    }

    /// The name is taken.
    pub fn already_exists(kind: Kind, name: &str) -> Self {
        Self::about(409, "AlreadyExists", kind, name, "already exists")
    }

    /// The object is not the one, or not as it was when the request was decided.
    pub fn conflict(kind: Kind, name: &str, why: &str) -> Self {
        let mut refusal = Self::about(409, "Conflict", kind, name, "");
        let of = qualified(kind);
        refusal.message = format!("Operation cannot be fulfilled on {of} {name:?}: {why}");
        refusal
    }

    /// What is asked for is no valid object.
    pub fn invalid(kind: Kind, name: &str, field: &str, why: &str) -> Self {
        let mut refusal = Self::about(422, "Invalid", kind, name, "");
        refusal.message = format!("{} {name:?} is invalid: {field}: {why}", kind.word());
        refusal.details["causes"] = json!([{ "message": why, "field": field }]);
        refusal
    }

    /// It is not allowed at this moment.
    pub fn forbidden(kind: Kind, name: &str, why: &str) -> Self {
        let mut refusal = Self::about(403, "Forbidden", kind, name, "");
        refusal.message = format!("{} {name:?} is forbidden: {why}", qualified(kind));
        refusal
    }

    /// The request is not understood.
    pub fn bad_request(why: impl Into<String>) -> Self {
        Self { code: 400, reason: "BadRequest", message: why.into(), details: Value::Null }
    }

    /// The version that is asked for is not kept any more.
    pub fn expired(why: impl Into<String>) -> Self {
        Self { code: 410, reason: "Expired", message: why.into(), details: Value::Null }
    }

    /// The real API server may know it; this one does not, and does not act as if it did.
    pub fn not_played(what: &str) -> Self {
        let message = format!("the API server in miniature does not play {what}");
        Self { code: 501, reason: "NotImplemented", message, details: Value::Null }
    }

    /// Why, in words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer's body.
    pub fn status(&self) -> Value {
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        })
    }

    fn about(code: u16, reason: &'static str, kind: Kind, name: &str, what: &str) -> Self {
        let details = json!({ "name": name, "group": kind.group(), "kind": kind.plural() });
        let message = format!("{} {name:?} {what}", qualified(kind));
        Self { code, reason, message, details }
    }
}

/// The name of the kind as messages have it.
fn qualified(kind: Kind) -> String {
    match kind.group() {
        "" => kind.plural().to_owned(),
        group => format!("{}.{group}", kind.plural()),
    }
}
