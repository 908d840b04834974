//! A small server: for a witness's submissions and for scrapes of metrics. HTTP/1.1 without TLS; what is
//! behind it decides on each request at once.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{sleep, timeout};

use super::outgoing::{Content, Outgoing};
use crate::secret::SecretBytes;

/// How many are served at once; whoever came first makes room for one more.
const PLACES: usize = 64;
/// How long one connection lasts, with all its requests.
const LONGEST: Duration = Duration::from_mins(1);
/// How long the accepting rests when the system has no descriptor or memory for a connection.
const REST: Duration = Duration::from_millis(200);
/// A request's head has no more bytes than this.
const HEAD: usize = 16 << 10;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Such as `POST`.
    pub method: String,
    /// Of its target, without the query.
    pub path: String,
    /// Its content.
    pub body: Vec<u8>,
}

/// The answer to it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Of HTTP.
    pub status: u16,
    /// `Content-Type`
    pub content_type: &'static str,
    /// Its content.
    pub body: String,
}

impl Reply {
    /// Words for a person.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into(),
        }
    }
}

/// Where a server listens.
#[derive(Debug)]
pub enum Listener {
    /// At an address.
    Tcp(TcpListener),
    /// At a path.
    Unix(UnixListener),
}

impl Listener {
    /// At an address of this host. Needs a tokio runtime with I/O.
    pub async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Where it listens, if that is an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    async fn accept(&self) -> Box<dyn Stream> {
        loop {
            let accepted: io::Result<Box<dyn Stream>> = match self {
                Self::Tcp(listener) => match listener.accept().await {
                    Ok((stream, _)) => Ok(Box::new(stream)),
                    Err(error) => Err(error),
                },
                Self::Unix(listener) => match listener.accept().await {
                    Ok((stream, _)) => Ok(Box::new(stream)),
                    Err(error) => Err(error),
                },
            };
            match accepted {
                Ok(stream) => return stream,
                // No descriptors, no memory: others have to end first.
                Err(_) => sleep(REST).await,
            }
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

type Connection<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Answers requests for as long as it is polled. Bodies of more than `longest` bytes are refused.
pub async fn serve(
    listener: &Listener,
    longest: usize,
    answer: &dyn Fn(Asked) -> Reply,
) -> Infallible {
    let mut open: Vec<Connection<'_>> = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = one_ended(&mut open) => {}
            stream = listener.accept() => {
                if open.len() >= PLACES {
                    drop(open.remove(0));
                }
                open.push(Box::pin(attend(stream, longest, answer)));
            }
        }
    }
}

/// Drives all connections, and ends when one of them has.
async fn one_ended(open: &mut Vec<Connection<'_>>) {
    poll_fn(|context| {
        let before = open.len();
        open.retain_mut(|connection| connection.as_mut().poll(context).is_pending());
        if open.len() < before {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn attend(stream: Box<dyn Stream>, longest: usize, answer: &dyn Fn(Asked) -> Reply) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let method = request.method().to_string();
        let path = request.uri().path().to_owned();
        let reply = match whole(request.into_body(), longest).await {
            Ok(body) => answer(Asked { method, path, body }),
            Err(status) => Reply::text(status, "the body is too long, or was cut\n"),
        };
        Ok::<_, Infallible>(response(reply))
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever goes away, is slow or speaks no HTTP has no answer, and others have theirs.
    drop(timeout(LONGEST, connection).await);
}

/// A body to its end; the error is a status.
async fn whole(mut body: Incoming, longest: usize) -> Result<Vec<u8>, u16> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let Ok(data) = frame.map_err(|_| 400_u16)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > longest {
            return Err(413);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn response(reply: Reply) -> Response<Outgoing> {
    let content = Content::new(SecretBytes::new(reply.body.into_bytes()));
    let mut response = Response::new(Outgoing::new(&content, None));
    *response.status_mut() =
        StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(reply.content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
