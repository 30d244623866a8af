use super::line::{Line, Way};
use super::{Server, Setup};

/// A server beyond a line that can be cut, as between machines: nobody is told, packets just do not arrive.
///
/// Connections survive it: what was sent meanwhile is sent again, the longer after healing the longer it lasted.
pub struct Partition {
    /// The first field, so that it has ended before its place goes.
    pub server: Server,
    line: Line,
}

impl Partition {
    /// Needs root and iproute2, and says so.
    pub fn start(setup: Setup) -> Self {
        let line = Line::new();
        let mut server = Server::prepare_at(setup, line.far());
        server.restart();
        Self { server, line }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The same server, for a client whose line is never cut.
    pub fn steady_url(&self) -> String {
        self.server.steady_url()
    }

    /// Nothing arrives any more, on neither side.
    pub fn cut(&self) {
        self.cut_to_server();
        self.cut_from_server();
    }

    /// What is sent to the server is lost.
    pub fn cut_to_server(&self) {
        self.line.cut(Way::There);
    }

    /// What the server sends is lost: it does what it is asked, and nobody learns of it.
    pub fn cut_from_server(&self) {
        self.line.cut(Way::Back);
    }

    pub fn heal(&self) {
        self.line.heal(Way::There);
        self.line.heal(Way::Back);
    }
}
