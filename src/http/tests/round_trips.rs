//! How often a launch waits for a server that is far away.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, sleep_until};

use super::multiplexed::Multiplexed;
use super::*;

/// Long, so that what the machine needs for itself is little beside it.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// How often it is tried: a busy machine may need a whole round trip for itself, but not each time.
const TRIES: u32 = 4;

/// Forwards connections to a port, each byte half a round trip later. Gives its own port.
async fn far_away(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            late(from_client, to_server);
            late(from_server, to_client);
        }
    });
    own
}

fn late(
    mut from: impl AsyncRead + Unpin + Send + 'static,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
) {
    let (on_its_way, mut arriving) = unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let arrival = Instant::now() + ROUND_TRIP / 2;
            on_its_way.send((arrival, bytes[..count].to_vec())).unwrap();
        }
    });
    tokio::spawn(async move {
        while let Some((arrival, bytes)) = arriving.recv().await {
            sleep_until(arrival).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    });
}

#[tokio::test]
async fn a_login_and_two_hundred_requests_take_three_and_the_connection_itself() {
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let took = launch_from_far_away().await;
        // TLS, the login, the rest.
        assert!(took >= ROUND_TRIP * 3, "{took:?}");
        least = least.min(took);
        if least < ROUND_TRIP * 4 {
            return;
        }
    }
    panic!("{least:?}");
}

async fn launch_from_far_away() -> Duration {
    let server = Multiplexed::after_a_login(200).await;
    let port = far_away(server.port).await;
    let mut settings = settings(&[&format!("https://localhost:{port}")]);
    settings.tls.ca_file = Some(server.ca.path().to_owned());
    let session = Http::new(settings).session().unwrap();
    let requests: Vec<_> = (0..200).map(|count| get(&format!("/v1/{count}"))).collect();
    let launch = async {
        session.send(&get("/login")).await.unwrap();
        all(requests.iter().map(|request| session.send(request))).await
    };
    let (took, answers) = timed(launch).await;
    assert!(answers.iter().all(Result::is_ok));
    took
}
