use tempfile::TempDir;

/// A folder that goes when this is dropped. What a killed test program leaves is known by its name.
pub fn folder() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("parallel-workers-nats-").tempdir().unwrap()
}
