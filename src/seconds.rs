//! How figures are serialized: durations as seconds, shared names as strings.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::sync::Arc;

pub(crate) fn one<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

pub(crate) fn some<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration
        .map(|duration| duration.as_secs_f64())
        .serialize(serializer)
}

pub(crate) fn name<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

pub(crate) fn some_name<S: Serializer>(
    name: &Option<Arc<str>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    name.as_deref().serialize(serializer)
}
