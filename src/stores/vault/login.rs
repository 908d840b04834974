//! The ways to log in.

use std::cell::RefCell;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::call::Call;
use super::credential::{Stamp, json, kept, read, read_line, text};
use super::error::{VaultError, denied, unreadable};
use super::server::Server;
use super::token::Token;
use super::wrapping;
use crate::http::Wire;
use crate::model::VaultAuth;
use crate::secret::{Buffer, SecretBytes, Trusted};
use crate::stores::Fault;
use crate::sys::clock::Boottime;
use crate::sys::{filesystem, walk};

/// Where a given token may stand, in the order of who is believed.
pub(super) const VARIABLES: [&str; 2] = ["BAO_TOKEN", "VAULT_TOKEN"];

/// How hushpipe logs in, and what it keeps for the next time.
pub(super) struct Method {
    auth: VaultAuth,
    /// The token of the environment, taken when the store was opened.
    environment: Option<Buffer>,
    /// The token's file as it was read last.
    read: RefCell<Option<Stamp>>,
    /// A secret id that cannot be read again, and the file that it came from.
    secret_id: RefCell<Option<(Stamp, Buffer)>>,
}

#[derive(Serialize)]
struct AppRole<'a> {
    role_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Jwt<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    jwt: &'a str,
}

#[derive(Serialize)]
struct Certificate<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct UserPass<'a> {
    password: &'a str,
}

impl Method {
    /// Takes a token from the environment; files are read at the login. The error is the kernel's
    /// word when it has no memory for what is kept.
    pub fn new(auth: &VaultAuth) -> io::Result<Self> {
        let environment = match auth {
            VaultAuth::Environment => VARIABLES
                .iter()
                .filter_map(std::env::var_os)
                .map(|value| SecretBytes::new(value.into_encoded_bytes()))
                .find(|value| !value.is_empty())
                .map(|value| Buffer::new(value.expose().trim_ascii()))
                .transpose()?,
            _ => None,
        };
        Ok(Self {
            auth: auth.clone(),
            environment,
            read: RefCell::new(None),
            secret_id: RefCell::new(None),
        })
    }

    /// As the manifest calls it.
    pub const fn name(&self) -> &'static str {
        match &self.auth {
            VaultAuth::Environment | VaultAuth::TokenFile(_) => "token",
            VaultAuth::AppRole { .. } => "approle",
            VaultAuth::Jwt { .. } => "jwt",
            VaultAuth::Certificate { .. } => "cert",
            VaultAuth::UserPass { .. } => "userpass",
        }
    }

    /// Whether the token's file has another content than the one that was read. A file that is being
    /// replaced may be missing for a moment: the token that is known is used meanwhile.
    pub fn has_changed(&self) -> bool {
        match &self.auth {
            VaultAuth::TokenFile(path) => {
                Stamp::of(path).is_ok_and(|stamp| *self.read.borrow() != Some(stamp))
            }
            _ => false,
        }
    }

    /// What to say of a given token that the server does not take.
    pub fn refused_given(&self) -> String {
        match &self.auth {
            VaultAuth::TokenFile(path) => format!(
                "the server rejected the token in {} (expired, revoked, or for another \
                 namespace): write a new one",
                path.display()
            ),
            _ => "the server rejected VAULT_TOKEN (expired, revoked, or for another server or \
                 namespace): set a new one"
                .to_owned(),
        }
    }

    /// Logs in.
    /// `wire` tells while the server is at work on it.
    pub async fn log_in(&self, server: &Server, wire: &Wire) -> Result<Token, VaultError> {
        match &self.auth {
            VaultAuth::Environment => self.of_environment(),
            VaultAuth::TokenFile(path) => self.of_file(path, &server.trusted),
            VaultAuth::AppRole {
                mount,
                role_id_file,
                secret_id_file,
                ..
            } => {
                let role_id = read(role_id_file, &server.trusted)?;
                let secret_id = match secret_id_file {
                    Some(path) => Some((self.secret_id(server, path).await?, path)),
                    None => None,
                };
                let secret_id = secret_id.as_ref().map(|(id, path)| text(id, path));
                let body = AppRole {
                    role_id: text(&role_id, role_id_file)?,
                    secret_id: secret_id.transpose()?,
                };
                let token = self.granted(server, mount, "login", &body, wire).await?;
                self.used_secret_id(&server.trusted)?;
                Ok(token)
            }
            VaultAuth::Jwt {
                mount,
                role,
                jwt_file,
            } => {
                let jwt = read(jwt_file, &server.trusted)?;
                let body = Jwt {
                    role: role.as_deref(),
                    jwt: text(&jwt, jwt_file)?,
                };
                self.granted(server, mount, "login", &body, wire).await
            }
            VaultAuth::Certificate { mount, role } => {
                let body = Certificate {
                    name: role.as_deref(),
                };
                self.granted(server, mount, "login", &body, wire).await
            }
            VaultAuth::UserPass {
                mount,
                username,
                password_file,
            } => {
                let password = read_line(password_file, &server.trusted)?;
                let body = UserPass {
                    password: text(&password, password_file)?,
                };
                let login = format!("login/{username}");
                self.granted(server, mount, &login, &body, wire).await
            }
        }
    }

    fn of_environment(&self) -> Result<Token, VaultError> {
        let token = self.environment.as_ref().ok_or_else(|| {
            VaultError::Store(denied(
                "no token: set VAULT_TOKEN, or write `auth:` for the store",
            ))
        })?;
        token
            .with(Buffer::new)
            .map(Token::given)
            .map_err(|error| VaultError::Store(Fault::no_memory(error)))
    }

    fn of_file(&self, path: &Path, trusted: &Trusted) -> Result<Token, VaultError> {
        // The stamp first: a write between the two makes the token be read once more.
        let stamp = Stamp::of(path).map_err(|error| unreadable(path, no_token(error)))?;
        let token = kept(&read(path, trusted)?)?;
        *self.read.borrow_mut() = Some(stamp);
        Ok(Token::given(token))
    }

    /// Sends a login, and reads what is granted.
    async fn granted(
        &self,
        server: &Server,
        mount: &str,
        login: &str,
        body: &impl Serialize,
        wire: &Wire,
    ) -> Result<Token, VaultError> {
        let mount = mount.trim_matches('/');
        let since = Boottime::now();
        let call = Call::post(format!("auth/{mount}/{login}"))
            .body(json(body)?)
            .on(wire);
        let answer = server.send_as(&call, None).await?;
        match answer.status {
            200 => Token::granted(&answer.body, since).map_err(VaultError::Store),
            status => Err(VaultError::Store(self.refused(status, mount))),
        }
    }

    fn refused(&self, status: u16, mount: &str) -> Fault {
        let name = self.name();
        let what = match (status, &self.auth) {
            (404 | 405, _) => format!(
                "no {name} login at auth/{mount}: is the method enabled there, and in this namespace?"
            ),
            (400 | 403, VaultAuth::AppRole { .. }) => "invalid role id or secret id: wrong, used \
                                                       up, expired, or bound to other addresses"
                .to_owned(),
            (400 | 403, VaultAuth::Jwt { .. }) => {
                "unknown role, or one that rejects this token: wrong issuer, audience, subject or time"
                    .to_owned()
            }
            (400 | 403, VaultAuth::Certificate { .. }) => "the client certificate (client_cert) \
                                                           is missing, or no role accepts it"
                .to_owned(),
            (400 | 403, VaultAuth::UserPass { .. }) => {
                "wrong user or password".to_owned()
            }
            _ => format!("HTTP status {status}"),
        };
        denied(format!(
            "the server rejected the login (auth/{mount}): {what}"
        ))
    }

    /// The secret id: from its file, from the wrapping token in it, or as it was kept when that
    /// cannot be read again.
    async fn secret_id(&self, server: &Server, path: &Path) -> Result<SecretBytes, VaultError> {
        let VaultAuth::AppRole {
            mount,
            wrapped,
            remove,
            ..
        } = &self.auth
        else {
            unreachable!("only AppRole has secret ids");
        };
        let found = Stamp::of(path);
        if let Some((stamp, id)) = &*self.secret_id.borrow() {
            let same = found.as_ref().map_or(true, |found| found == stamp);
            if same {
                return Ok(id.with(|bytes| SecretBytes::new(bytes.to_vec())));
            }
        }
        let stamp = found.map_err(|error| unreadable(path, error))?;
        let content = read(path, &server.trusted)?;
        let id = if *wrapped {
            wrapping::unwrap_secret_id(server, mount, path, &content).await?
        } else {
            content
        };
        if *wrapped || *remove {
            *self.secret_id.borrow_mut() = Some((stamp, kept(&id)?));
        }
        Ok(id)
    }

    /// The login worked: the file has done its duty. Before that a server that is down would cost
    /// the secret id.
    fn used_secret_id(&self, trusted: &Trusted) -> Result<(), VaultError> {
        let VaultAuth::AppRole {
            secret_id_file: Some(path),
            remove: true,
            ..
        } = &self.auth
        else {
            return Ok(());
        };
        let removed = walk::parent(path, &trusted.rule())
            .map_err(|error| error.to_string())
            .and_then(|(directory, name)| {
                filesystem::unlink_at(directory, name).map_err(|error| error.to_string())
            });
        removed.map_err(|error| {
            VaultError::Store(denied(format!(
                "cannot remove the secret id's file {} ({error}): allow it, or remove \
                 `remove_secret_id_file`",
                path.display()
            )))
        })
    }
}

/// A token that is not there: every way to give one.
fn no_token(error: std::io::Error) -> std::io::Error {
    if error.kind() != std::io::ErrorKind::NotFound {
        return error;
    }
    let ways = "no token: run `vault login` or `bao login`, set VAULT_TOKEN, or write `auth:` with a method \
                (token, approle, jwt, kubernetes, cert, userpass)";
    std::io::Error::new(error.kind(), ways)
}
