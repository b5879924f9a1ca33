//! A namespace that is deleted goes when everything in it is gone.

use crate::fake::kind::Kind;
use crate::fake::object::{is_deleted, name};
use crate::fake::store::Key;
use crate::fake::write::{Deletion, Propagation, Writer};

/// Who writes.
pub(super) const NAME: &str = "namespaces";

/// Deletes one thing of a namespace that is to go, or lets the namespace go.
pub(super) fn act(writer: &mut Writer<'_>) -> bool {
    let namespaces = writer.store.list(Kind::Namespace, None);
    namespaces.iter().filter(|it| is_deleted(it)).any(|namespace| {
        let content = writer.store.content(name(namespace));
        if content.is_empty() {
            writer.finalize(&Key::new(Kind::Namespace, "", name(namespace)));
            return true;
        }
        content.iter().any(|key| delete(writer, key))
    })
}

fn delete(writer: &mut Writer<'_>, key: &Key) -> bool {
    let Some(object) = writer.store.get(key).filter(|object| !is_deleted(object)) else {
        return false;
    };
    let propagation = Some(Propagation::Background);
    writer.delete(key, &Deletion { propagation, ..Deletion::of(&object) }).is_ok()
}
