//! A namespace that is deleted goes when everything in it is gone.

use crate::kind::Kind;
use crate::object::{is_deleted, name};
use crate::store::Key;
use crate::write::{Deletion, Propagation, Writer};

/// Who writes.
pub(crate) const NAME: &str = "namespaces";

/// Deletes one thing of a namespace that is to go, or lets the namespace go.
pub(crate) fn act(writer: &mut Writer<'_>) -> bool {
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
