//! Metrics over HTTP: one page, one request a connection, one connection at a time. Whoever is slow is hung up on.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::{CONTENT_TYPE, Metrics};
use crate::error::{Error, Result};

/// How long a client may take for anything.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long until an address is asked for again that somebody else has.
const TAKEN: Duration = Duration::from_secs(2);

/// A request line is shorter.
const REQUEST: usize = 4096;

/// Answers at this address for as long as the process lives: from now on, or as soon as it can be had. That somebody else has it keeps
/// the process from nothing else.
pub fn serve(address: SocketAddr, metrics: Arc<Metrics>) -> Result<()> {
    let work = move || {
        let listener = bound(address);
        for stream in listener.incoming().flatten() {
            if let Err(error) = answer(stream, &metrics) {
                tracing::debug!(%error, "a request for metrics");
            }
        }
    };
    let spawned = std::thread::Builder::new().name("metrics".to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| Error::io("no thread can be made for metrics", error))
}

fn bound(address: SocketAddr) -> TcpListener {
    let mut is_told = false;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => {
                tracing::info!("metrics are at http://{address}/metrics");
                return listener;
            }
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                tracing::error!("metrics cannot be shown at {address}: {error}; give another --metrics");
            }
            Err(_) => {}
        }
        std::thread::sleep(TAKEN);
    }
}

fn answer(mut stream: TcpStream, metrics: &Metrics) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = request(&mut stream)?;
    let mut words = request.split_ascii_whitespace();
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics")) => match metrics.text() {
            Ok(text) => ("200 OK", CONTENT_TYPE, text),
            Err(error) => ("500 Internal Server Error", "text/plain", error.to_string()),
        },
        (Some("GET"), _) => ("404 Not Found", "text/plain", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// What comes before the empty line, as far as it is of use.
fn request(stream: &mut impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0; 512];
    while bytes.len() < REQUEST && !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => break,
            length => bytes.extend_from_slice(part.get(..length).unwrap_or_default()),
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = connected(address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// An address that nobody has.
    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    fn connected(address: SocketAddr) -> TcpStream {
        let until = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => return stream,
                Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn there_is_one_page() {
        let address = free();
        serve(address, Arc::new(Metrics::new(Arc::default()))).unwrap();
        let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("# EOF\n"), "{page}");
        assert!(ask(address, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }

    #[test]
    fn an_address_that_is_taken_is_had_when_it_is_free() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        serve(address, Arc::new(Metrics::new(Arc::default()))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        drop(taken);
        let page = ask(address, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    }
}
