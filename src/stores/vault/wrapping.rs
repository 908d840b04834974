//! Wrapping tokens: each opens once, so that who opens it knows that nobody else has.
//! <https://openbao.org/docs/concepts/response-wrapping/>

use std::borrow::Cow;
use std::path::Path;

use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::answer;
use super::call::Call;
use super::credential::{json, kept, text};
use super::error::{VaultError, denied};
use super::server::Server;
use super::token::header;
use crate::secret::SecretBytes;
use crate::stores::Fault;

#[derive(Serialize)]
struct Wrapped<'a> {
    token: &'a str,
}

/// Unwraps a secret id, when the wrapping token is what it should be. One that somebody has put in
/// its place was made for another path.
pub(super) async fn unwrap_secret_id(
    server: &Server,
    mount: &str,
    path: &Path,
    wrapping: &SecretBytes,
) -> Result<SecretBytes, VaultError> {
    #[derive(Deserialize)]
    struct SecretId<'a> {
        #[serde(borrow)]
        secret_id: Cow<'a, str>,
    }
    let creation_path = look_up(server, wrapping, path).await?;
    let namespace = server.namespace();
    if !is_secret_id(&creation_path, mount, namespace) {
        return Err(VaultError::Store(denied(format!(
            "the wrapping token in {} was not made by auth/{mount}/role/…/secret-id: somebody \
             may have taken the true one and put this in its place",
            path.display()
        ))));
    }
    let answer = open(server, wrapping, path).await?;
    let opened: SecretId = answer::data(&answer).map_err(VaultError::Store)?;
    Ok(SecretBytes::new(opened.secret_id.into_owned().into_bytes()))
}

/// The path that a wrapping token was made by; a fault when it cannot be opened (any more).
pub(super) async fn look_up(
    server: &Server,
    wrapping: &SecretBytes,
    path: &Path,
) -> Result<String, VaultError> {
    #[derive(Deserialize)]
    struct Wrapping {
        creation_path: String,
    }
    let body = Wrapped {
        token: text(wrapping, path)?,
    };
    let call = Call::post("sys/wrapping/lookup").body(json(&body)?);
    let answer = server.send_as(&call, None).await?;
    if answer.status != 200 {
        return Err(VaultError::Store(spent(path)));
    }
    let looked: Wrapping = answer::data(&answer.body).map_err(VaultError::Store)?;
    Ok(looked.creation_path)
}

/// What is wrapped; a wrapping token opens once.
pub(super) async fn open(
    server: &Server,
    wrapping: &SecretBytes,
    path: &Path,
) -> Result<SecretBytes, VaultError> {
    let token: HeaderValue = header(&kept(wrapping)?).map_err(VaultError::Store)?;
    let call = Call::post("sys/wrapping/unwrap").once();
    let answer = server.send_as(&call, Some(token)).await?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(VaultError::Store(spent(path))),
    }
}

fn spent(path: &Path) -> Fault {
    denied(format!(
        "the wrapping token in {} is not valid: it has expired, or it was used before. If that was \
         not hushpipe, somebody else has the secret",
        path.display()
    ))
}

/// Whether a wrapping token was made for a secret id of this mount. The server names the path within
/// the namespace, or with the namespace before it.
fn is_secret_id(creation_path: &str, mount: &str, namespace: Option<&str>) -> bool {
    let mount = mount.trim_matches('/');
    let within = namespace
        .and_then(|namespace| creation_path.strip_prefix(namespace.trim_matches('/')))
        .and_then(|path| path.strip_prefix('/'))
        .unwrap_or(creation_path);
    let made = |(role, verb): (&str, &str)| {
        !role.is_empty() && matches!(verb, "secret-id" | "custom-secret-id")
    };
    within
        .strip_prefix(&format!("auth/{mount}/role/"))
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapping_token_is_of_a_secret_id_by_the_path_that_made_it() {
        let team = Some("team/a");
        for (good, namespace) in [
            ("auth/approle/role/app/secret-id", None),
            ("auth/approle/role/app/secret-id", team),
            ("auth/approle/role/app/custom-secret-id", None),
            ("team/a/auth/approle/role/app/secret-id", team),
        ] {
            assert!(is_secret_id(good, "approle", namespace), "{good}");
            assert!(!is_secret_id(good, "other", namespace), "{good}");
        }
        for bad in [
            "sys/wrapping/wrap",
            "auth/approle/role/app/role-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/app/secret-id/lookup",
            "kv/data/auth/approle/role/app/secret-id",
            "team/b/auth/approle/role/app/secret-id",
        ] {
            assert!(!is_secret_id(bad, "approle", team), "{bad}");
        }
        assert!(is_secret_id("auth/a/b/role/app/secret-id", "/a/b/", None));
    }
}
