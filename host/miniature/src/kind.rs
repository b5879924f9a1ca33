//! The kinds of object that are kept.

/// A kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Namespace.
    Namespace,
    /// A Node.
    Node,
    /// A ConfigMap.
    ConfigMap,
    /// A StatefulSet.
    Set,
    /// A Pod.
    Pod,
    /// A PersistentVolumeClaim.
    Claim,
    /// An Event.
    Event,
    /// A Lease.
    Lease,
}

impl Kind {
    /// All of them. Namespaces are first, since the rest lies in them.
    const ALL: [Self; 8] = [
        Self::Namespace,
        Self::Node,
        Self::ConfigMap,
        Self::Set,
        Self::Pod,
        Self::Claim,
        Self::Event,
        Self::Lease,
    ];

    /// The kind whose collection lies at this place of a path.
    pub fn at(api_version: &str, plural: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.api_version() == api_version && it.plural() == plural)
    }

    /// The kind that an object or a reference names.
    pub fn named(api_version: &str, word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.api_version() == api_version && it.word() == word)
    }

    /// The name of its collections.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Node => "nodes",
            Self::ConfigMap => "configmaps",
            Self::Set => "statefulsets",
            Self::Pod => "pods",
            Self::Claim => "persistentvolumeclaims",
            Self::Event => "events",
            Self::Lease => "leases",
        }
    }

    /// What stands in `kind`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::ConfigMap => "ConfigMap",
            Self::Set => "StatefulSet",
            Self::Pod => "Pod",
            Self::Claim => "PersistentVolumeClaim",
            Self::Event => "Event",
            Self::Lease => "Lease",
        }
    }

    /// What stands in `apiVersion`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::Node | Self::ConfigMap | Self::Pod | Self::Claim => "v1",
            Self::Set => "apps/v1",
            Self::Event => "events.k8s.io/v1",
            Self::Lease => "coordination.k8s.io/v1",
        }
    }

    /// The group of the API; empty for the oldest one.
    pub fn group(self) -> &'static str {
        self.api_version().split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether it lies in a namespace.
    pub const fn is_namespaced(self) -> bool {
        match self {
            Self::Namespace | Self::Node => false,
            Self::ConfigMap | Self::Set | Self::Pod | Self::Claim | Self::Event | Self::Lease => {
                true
            }
        }
    }

    /// Whether its status is written apart from the rest.
    pub const fn has_status(self) -> bool {
        match self {
            Self::Namespace | Self::Node | Self::Set | Self::Pod | Self::Claim => true,
            Self::ConfigMap | Self::Event | Self::Lease => false,
        }
    }

    /// Whether a change of its spec is counted in `metadata.generation`.
    pub const fn has_generation(self) -> bool {
        match self {
            Self::Set | Self::Pod => true,
            Self::Namespace
            | Self::Node
            | Self::ConfigMap
            | Self::Claim
            | Self::Event
            | Self::Lease => false,
        }
    }
}
