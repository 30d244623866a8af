use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// A server that does not answer in this time is asked again.
const LIMIT: Duration = Duration::from_secs(2);

/// Asks a server's monitoring port.
pub fn ask(address: SocketAddr, path: &str) -> Result<Value, String> {
    let answer = get(address, path).map_err(|error| format!("{path}: {error}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("{path}: {answer}"))?;
    let status = head.split(' ').nth(1);
    match serde_json::from_str(body) {
        Ok(value) if status == Some("200") => Ok(value),
        _ => Err(format!("{path}: {answer}")),
    }
}

fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    // Version 1.0, so that the answer comes in one piece and ends with the connection.
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
