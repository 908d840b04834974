//! One request on a connection of its own, of which no more is read than an answer's head can have.
//!
//! hyper reads informational answers (RFC 9110, 15.2) for as long as they come, tens of megabytes at once:
//! a server that sends `100 Continue` without an end would keep signals waiting.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::Request;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_LENGTH, HOST};
use hyper_util::rt::TokioIo;
use reqwest::{Method, Url};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{causes, resolve};

/// So many bytes are read before the final answer's head is whole: hyper takes heads of up to 100 fields.
const LONGEST: usize = 256 << 10;

/// Makes a request without a body, over TLS where there is a configuration, and gives the answer's status.
/// The error is for a person.
pub(super) async fn status(
    url: &Url,
    method: Method,
    tls: Option<ClientConfig>,
) -> Result<u16, String> {
    let stream = open(url, tls).await.map_err(|error| words(&*error))?;
    let too_long = Rc::new(Cell::new(false));
    let bounded = Bounded {
        stream,
        left: LONGEST,
        too_long: Rc::clone(&too_long),
    };
    let request = request(url, method)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(bounded))
        .await
        .map_err(|error| words(&error))?;
    let mut answer = pin!(sender.send_request(request));
    // When the connection ends, the answer has come or has its error.
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    };
    match answer {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(_) if too_long.get() => Err(format!(
            "it sends an answer without an end: {} KiB without its status",
            LONGEST >> 10
        )),
        Err(error) => Err(words(&error)),
    }
}

fn request(url: &Url, method: Method) -> Result<Request<String>, String> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port().map(|port| format!(":{port}"));
    let target = url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    );
    let says_length = says_length(&method);
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .header(HOST, format!("{host}{}", port.unwrap_or_default()))
        .header(ACCEPT, "*/*");
    if says_length {
        request = request.header(CONTENT_LENGTH, 0);
    }
    let request = request.body(String::new());
    request.map_err(|error| format!("not a URL: {error}"))
}

/// RFC 9110, 8.6: a request whose method gives content a meaning says that there is none; servers answer 411
/// where it does not.
pub(super) fn says_length(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
}

type AnyError = Box<dyn Error + 'static>;

async fn open(url: &Url, tls: Option<ClientConfig>) -> Result<Box<dyn Stream>, AnyError> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let mut addresses = resolve::look_up(host).await?;
    let port = url.port_or_known_default().unwrap_or_default();
    for address in &mut addresses {
        address.set_port(port);
    }
    let stream = TcpStream::connect(&addresses[..]).await?;
    stream.set_nodelay(true)?;
    let Some(mut config) = tls else {
        return Ok(Box::new(stream));
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let name = ServerName::try_from(host.to_owned())?;
    let connector = TlsConnector::from(Arc::new(config));
    Ok(Box::new(connector.connect(name, stream).await?))
}

fn words(error: &(dyn Error + 'static)) -> String {
    causes::in_words(error).unwrap_or_else(|| "the connection failed".to_owned())
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// A connection that fails once too much was read.
struct Bounded {
    stream: Box<dyn Stream>,
    left: usize,
    too_long: Rc<Cell<bool>>,
}

impl AsyncRead for Bounded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        let Some(left) = this.left.checked_sub(read) else {
            this.too_long.set(true);
            return Poll::Ready(Err(io::Error::other("too much was read")));
        };
        this.left = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
