use std::net::{IpAddr, Ipv4Addr};

/// Where a server is.
pub struct Place {
    /// What it listens at.
    pub listens: IpAddr,
    /// Where clients find it.
    pub clients: IpAddr,
    /// Where it is found whatever befalls clients; the test asks it there how it is.
    pub steady: IpAddr,
    /// What runs a program there.
    pub prefix: Vec<String>,
}

impl Place {
    /// On this machine, for programs on this machine.
    pub fn here() -> Self {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Self {
            listens: here,
            clients: here,
            steady: here,
            prefix: Vec::new(),
        }
    }
}
