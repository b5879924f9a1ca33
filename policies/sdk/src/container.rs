//! One container of a pod template as JSON.

use serde_json::{Map, Value, json};

/// A container of a [`PodTemplate`](crate::PodTemplate), to be changed in place. Fields that this crate does not know are kept.
#[derive(Debug)]
pub struct ContainerTemplate<'a> {
    fields: &'a mut Map<String, Value>,
}

impl<'a> ContainerTemplate<'a> {
    pub(crate) fn new(fields: &'a mut Map<String, Value>) -> Self {
        Self { fields }
    }

    /// Sets a field, such as `workingDir`.
    pub fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.fields.insert(field.to_owned(), value.into());
    }

    /// Sets the image.
    pub fn set_image(&mut self, image: &str) {
        self.set("image", image);
    }

    /// Sets the command, and empties the arguments, which belonged to the command before.
    pub fn set_command<S: Into<String>>(&mut self, command: impl IntoIterator<Item = S>) {
        self.set("command", strings(command));
        self.set_args::<String>([]);
    }

    /// Sets the arguments.
    pub fn set_args<S: Into<String>>(&mut self, args: impl IntoIterator<Item = S>) {
        self.set("args", strings(args));
    }

    /// Sets a variable of the environment to a plain value, in the place of one of that name, whatever its source, or at the
    /// end.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let variable = json!({ "name": name, "value": value });
        let mut variables = self.take_list("env");
        match variables.iter_mut().find(|one| one["name"] == name) {
            Some(place) => *place = variable,
            None => variables.push(variable),
        }
        self.fields.insert("env".to_owned(), Value::Array(variables));
    }

    /// Mounts a volume. The volumes of the orphan's claims are named like the claims' templates.
    pub fn mount(&mut self, volume: &str, path: &str) {
        let mut mounts = self.take_list("volumeMounts");
        mounts.push(json!({ "name": volume, "mountPath": path }));
        self.fields.insert("volumeMounts".to_owned(), Value::Array(mounts));
    }

    /// Takes a field away, such as `ports`.
    pub fn remove(&mut self, field: &str) {
        self.fields.remove(field);
    }

    /// The container's fields, for what this type has no word for.
    pub fn fields_mut(&mut self) -> &mut Map<String, Value> {
        self.fields
    }

    /// Takes the list in a field out; an empty one where there is none.
    fn take_list(&mut self, field: &str) -> Vec<Value> {
        if let Some(Value::Array(list)) = self.fields.get_mut(field).map(Value::take) {
            list
        } else {
            Vec::new()
        }
    }
}

fn strings<S: Into<String>>(items: impl IntoIterator<Item = S>) -> Value {
    Value::Array(items.into_iter().map(|item| Value::String(item.into())).collect())
}
