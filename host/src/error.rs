//! Why a pass failed. Waiting is no error, and neither is an answer of a policy.

/// Why a pass failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a request.
    #[error("{what}: {source}")]
    Refused {
        /// The request.
        what: String,
        /// The refusal.
        source: Box<kube::core::Status>,
    },
    /// The API server did not answer, or not in time: whether the request was carried out is not known.
    #[error("{what}: {why}; whether it was carried out is not known, so the cluster is read again")]
    NoAnswer {
        /// The request.
        what: String,
        /// What happened.
        why: String,
    },
    /// A plan of our own broke an invariant. Nothing of it was carried out.
    #[error("a plan was refused by the check, which is a bug of tidegate: {0}")]
    Illegal(#[from] tidegate_core::check::Violation),
    /// This host may not act any more: it lost the lease, or is told to stop. What is left of the plan is another host's.
    #[error("this host does not hold the lease any more, or is told to stop; the next one goes on")]
    NotHeld,
    /// An object lacks what every object has.
    #[error("{0}")]
    Malformed(String),
}

impl Error {
    /// What a failed request means.
    #[must_use]
    pub fn of_request(what: String, error: kube::Error) -> Self {
        if let kube::Error::Api(source) = error {
            Self::Refused { what, source }
        } else {
            Self::NoAnswer { what, why: error.to_string() }
        }
    }

    /// Whether it tells only that the cluster has changed since it was read, so that looking again at once is right.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        match self {
            Self::Refused { source, .. } => matches!(source.code, 404 | 409),
            Self::NoAnswer { .. } | Self::Illegal(_) | Self::NotHeld | Self::Malformed(_) => false,
        }
    }
}
