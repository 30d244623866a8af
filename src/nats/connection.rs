//! How a NATS server is reached.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use tokio::sync::mpsc;

use crate::nats::error::NatsError;

/// Where the NATS servers are, and who asks.
///
/// ```
/// use parallel_workers::nats::Connection;
///
/// let connection = Connection::to("nats://one:4222,nats://two:4222").user("thumbnails", "secret");
/// # let _ = connection;
/// ```
///
/// Once there is a connection it is kept: when it breaks, it is made again, for as long as that takes, and what was in the
/// middle goes on.
#[derive(Clone)]
pub struct Connection {
    servers: String,
    login: Login,
    roots: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    needs_tls: bool,
    inbox: Option<String>,
    timeout: Duration,
}

#[derive(Clone)]
enum Login {
    Nobody,
    User { name: String, password: String },
    Token(String),
    File(PathBuf),
}

/// How often a server is asked whether it is still there. One that does not answer for three times as long is given up, and
/// the next one is tried.
const PING: Duration = Duration::from_secs(3);
/// Many requests are answered at a time: what is not taken at once is kept, not dropped.
const UNREAD: usize = 1 << 17;

impl Connection {
    /// The address of a server, `nats://host:port`, or of several of a cluster, with commas. Those of a cluster tell of the others.
    #[must_use]
    pub fn to(servers: impl Into<String>) -> Self {
        Self {
            servers: servers.into(),
            login: Login::Nobody,
            roots: Vec::new(),
            identity: None,
            needs_tls: false,
            inbox: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// With a name and a password.
    #[must_use]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        let (name, password) = (name.into(), password.into());
        self.login = Login::User { name, password };
        self
    }

    /// With a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.login = Login::Token(token.into());
        self
    }

    /// With the credentials in a file, as `nsc` writes them.
    #[must_use]
    pub fn credentials_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.login = Login::File(file.into());
        self
    }

    /// Only by TLS, also where the server would do without.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.needs_tls = true;
        self
    }

    /// Only by TLS, with certificates of those who vouch for the server, in a file. Default: whom the system trusts.
    #[must_use]
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.roots.push(file.into());
        self.tls()
    }

    /// Only by TLS, with a certificate of one's own and its key.
    #[must_use]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((certificate.into(), key.into()));
        self.tls()
    }

    /// What the subjects begin with on which answers come back. Default: `_INBOX`.
    ///
    /// Where everybody has one of his own, nobody can be allowed to read the answers to others.
    #[must_use]
    pub fn inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox = Some(prefix.into());
        self
    }

    /// How long to wait for a server at the start. Default: 5 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The servers, as they may be printed.
    pub(crate) fn shown(&self) -> String {
        without_secrets(&self.servers)
    }

    pub(crate) fn patience(&self) -> Duration {
        self.timeout
    }

    /// Connects. What happens to the connection from then on is told through `events`.
    pub(crate) async fn connect(
        &self,
        name: &str,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Client, NatsError> {
        let addresses = self.addresses()?;
        let options = self.options(name, &addresses, events).await?;
        let connected = tokio::time::timeout(self.timeout, options.connect(addresses)).await;
        match connected {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(source)) if source.kind() != ConnectErrorKind::TimedOut => {
                Err(NatsError::Connect {
                    servers: self.shown(),
                    source: source.into(),
                })
            }
            _ => Err(NatsError::Silent {
                what: format!("a connection to {}", self.shown()),
                timeout: self.timeout,
            }),
        }
    }

    async fn options(
        &self,
        name: &str,
        addresses: &[ServerAddr],
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<ConnectOptions, NatsError> {
        // One that does not answer is not to take the time of those after it. There are not so many.
        let timeout = self.timeout / addresses.len().max(1) as u32;
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(timeout)
            .request_timeout(Some(self.timeout))
            .ping_interval(PING)
            .subscription_capacity(UNREAD)
            .require_tls(self.needs_tls)
            .event_callback(move |event| {
                // Who does not listen any more is about to disconnect.
                let _ = events.send(event);
                async {}
            });
        if let Some(prefix) = &self.inbox {
            options = options.custom_inbox_prefix(prefix);
        }
        for root in &self.roots {
            options = options.add_root_certificates(root.clone());
        }
        if let Some((certificate, key)) = &self.identity {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        self.login(options, addresses).await
    }

    fn addresses(&self) -> Result<Vec<ServerAddr>, NatsError> {
        let addresses = self.servers.split(',').map(|address| {
            read_address(address.trim()).map_err(|source| NatsError::Address {
                address: without_secrets(address.trim()),
                source,
            })
        });
        addresses.collect()
    }

    async fn login(
        &self,
        options: ConnectOptions,
        addresses: &[ServerAddr],
    ) -> Result<ConnectOptions, NatsError> {
        Ok(match &self.login {
            // The client does not look for a name in an address.
            Login::Nobody => match addresses.iter().find_map(ServerAddr::username) {
                Some(name) => {
                    let password = addresses.iter().find_map(ServerAddr::password);
                    let password = password.unwrap_or_default().to_owned();
                    options.user_and_password(name.to_owned(), password)
                }
                None => options,
            },
            Login::User { name, password } => {
                options.user_and_password(name.clone(), password.clone())
            }
            Login::Token(token) => options.token(token.clone()),
            Login::File(file) => {
                let read = options.credentials_file(file).await;
                read.map_err(|source| NatsError::Credentials {
                    file: file.display().to_string(),
                    source,
                })?
            }
        })
    }
}

/// Names no secret.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match &self.login {
            Login::Nobody => "nobody",
            Login::User { name, .. } => name,
            Login::Token(_) => "a token",
            Login::File(_) => "a file",
        };
        f.debug_struct("Connection")
            .field("servers", &without_secrets(&self.servers))
            .field("login", &login)
            .field("needs_tls", &self.needs_tls)
            .finish_non_exhaustive()
    }
}

fn read_address(text: &str) -> io::Result<ServerAddr> {
    let address = ServerAddr::from_str(text)?;
    if address.host().is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it names no host",
        ));
    }
    Ok(address)
}

/// Addresses without the names and passwords that may be in them.
fn without_secrets(servers: &str) -> String {
    let bare = servers
        .split(',')
        .map(|address| match address.split_once('@') {
            Some((before, host)) => {
                let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
                format!("{scheme}://…@{host}")
            }
            None => address.to_owned(),
        });
    bare.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_printed() {
        let connection = Connection::to("nats://me:secret@one:4222,two").user("you", "secret");
        let printed = format!("{connection:?}");
        assert!(!printed.contains("secret"), "{printed}");
        assert!(printed.contains("one:4222,two") && printed.contains("you"));
    }
}
