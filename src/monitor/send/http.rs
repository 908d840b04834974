//! Batches by HTTP: one request each, confirmed by its status.

use std::time::Duration;

use super::error::SendError;
use crate::http::{Http, HttpError, Method, Request, Settings, Transient};
use crate::model::ServerSpec;
use crate::secret::{SecretBytes, Trusted};

/// How long a batch is tried before it counts as failed; the feed waits and tries it again.
const DEADLINE: Duration = Duration::from_secs(10);

/// A token has no more bytes than this.
const LONGEST_TOKEN: usize = 16 << 10;

/// Requests to one URL.
pub struct Posts {
    http: Http,
    path: &'static str,
    spec: ServerSpec,
}

impl Posts {
    /// Nothing is connected yet; `path` comes after the address.
    pub fn new(spec: &ServerSpec, path: &'static str) -> Self {
        let http = Http::new(Settings {
            addresses: vec![spec.url.clone()],
            tls: spec.tls.clone(),
            deadline: DEADLINE,
            // The feed decides when a batch is sent again, and says so.
            classify: |_: u16| None::<Transient>,
        });
        Self {
            http,
            path,
            spec: spec.clone(),
        }
    }

    /// Sends a body of JSON, with the token as `scheme` has it. Gives what was answered.
    pub async fn send(&self, body: Vec<u8>, scheme: &str) -> Result<Vec<u8>, SendError> {
        self.send_with(body, scheme, &[]).await
    }

    /// The same, with more headers, of ASCII.
    pub async fn send_with(
        &self,
        body: Vec<u8>,
        scheme: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Vec<u8>, SendError> {
        let failed = |error: &dyn std::fmt::Display| SendError::new(0, error.to_string());
        let mut request = Request::new(Method::POST, self.path).json(SecretBytes::new(body));
        for (name, value) in headers {
            request = request
                .header_of(name, value)
                .ok_or_else(|| failed(&format!("the header {name} cannot be sent")))?;
        }
        if let Some(path) = &self.spec.token_file {
            // Read anew each time: a token that was replaced counts at once.
            let token = Trusted::new(&[]).read(path, LONGEST_TOKEN);
            let token = token.map_err(|error| failed(&HttpError::File(error)))?;
            let why = "the token in token_file has characters that no header can have";
            let authorized = request.authorization(scheme, &token);
            request = authorized.ok_or_else(|| failed(&why))?;
        }
        let session = self.http.session().map_err(|error| failed(&error))?;
        let answer = session
            .send(&request)
            .await
            .map_err(|error| failed(&error))?;
        match answer.status {
            200..=299 => Ok(answer.body.expose().to_vec()),
            status => Err(SendError {
                is_large: matches!(status, 400 | 413),
                ..SendError::new(0, refused(status))
            }),
        }
    }
}

fn refused(status: u16) -> String {
    let why = match status {
        401 | 403 => "the token is missing, wrong or expired: write a new one to token_file",
        404 => "nothing takes records at this URL",
        413 => "the batch is too large",
        429 => "too many requests",
        500..=599 => "the server failed",
        _ => "it refused the batch",
    };
    format!("status {status}: {why}")
}
