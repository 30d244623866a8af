//! Real NATS servers for tests: alone, three in a cluster, behind TLS and passwords, and beyond a line that can be cut.
//!
//! Everything here blocks. A server ends with the test that started it, and at the latest with the test program.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "every test file uses its own part of this"
)]

#[path = "nats/binary.rs"]
mod binary;
#[path = "nats/certificates.rs"]
mod certificates;
#[path = "nats/cluster.rs"]
mod cluster;
#[path = "nats/folder.rs"]
mod folder;
#[path = "nats/line.rs"]
mod line;
#[path = "nats/monitor.rs"]
mod monitor;
#[path = "nats/operator.rs"]
mod operator;
#[path = "nats/partition.rs"]
mod partition;
#[path = "nats/patience.rs"]
mod patience;
#[path = "nats/pip.rs"]
mod pip;
#[path = "nats/place.rs"]
mod place;
#[path = "nats/port.rs"]
mod port;
#[path = "nats/process.rs"]
mod process;
#[path = "nats/python.rs"]
mod python;
#[path = "nats/server.rs"]
mod server;
#[path = "nats/setup.rs"]
mod setup;
#[path = "nats/user.rs"]
mod user;
#[path = "nats/version.rs"]
mod version;

pub use binary::{newest_server, old_server};
pub use certificates::Certificates;
pub use cluster::{Cluster, Replica, Replicas};
pub use operator::Operator;
pub use partition::Partition;
pub use patience::wait_until;
pub use process::Process;
pub use python::python;
pub use server::Server;
pub use setup::Setup;
pub use user::User;
pub use version::Version;
