//! Wrapping tokens: each opens once, so that who opens it knows that nobody else has.
//! <https://openbao.org/docs/concepts/response-wrapping/>

use std::borrow::Cow;
use std::path::Path;

use reqwest::header::HeaderValue;
use serde::{Deserialize, Serialize};

use super::access::{Access, Call};
use super::answer;
use super::error::{Trouble, denied};
use super::login::{json, kept, text};
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
    access: &Access,
    mount: &str,
    path: &Path,
    wrapping: &SecretBytes,
) -> Result<SecretBytes, Trouble> {
    #[derive(Deserialize)]
    struct SecretId<'a> {
        #[serde(borrow)]
        secret_id: Cow<'a, str>,
    }
    let creation_path = look_up(access, wrapping, path).await?;
    if !is_secret_id(&creation_path, mount) {
        return Err(Trouble::Store(denied(format!(
            "the wrapping token in {} was not made by auth/{mount}/role/…/secret-id: somebody \
             may have taken the true one and put this in its place",
            path.display()
        ))));
    }
    let answer = open(access, wrapping, path).await?;
    let opened: SecretId = answer::data(&answer).map_err(Trouble::Store)?;
    Ok(SecretBytes::new(opened.secret_id.into_owned().into_bytes()))
}

/// The path that a wrapping token was made by; a fault when it cannot be opened (any more).
pub(super) async fn look_up(
    access: &Access,
    wrapping: &SecretBytes,
    path: &Path,
) -> Result<String, Trouble> {
    #[derive(Deserialize)]
    struct Wrapping {
        creation_path: String,
    }
    let body = Wrapped {
        token: text(wrapping, path)?,
    };
    let call = Call::post("sys/wrapping/lookup").body(json(&body)?);
    let answer = access.send_as(&call, None).await?;
    if answer.status != 200 {
        return Err(Trouble::Store(spent(path)));
    }
    let looked: Wrapping = answer::data(&answer.body).map_err(Trouble::Store)?;
    Ok(looked.creation_path)
}

/// What is wrapped; a wrapping token opens once.
pub(super) async fn open(
    access: &Access,
    wrapping: &SecretBytes,
    path: &Path,
) -> Result<SecretBytes, Trouble> {
    let token: HeaderValue = header(&kept(wrapping)?).map_err(Trouble::Store)?;
    let call = Call::post("sys/wrapping/unwrap").once();
    let answer = access.send_as(&call, Some(token)).await?;
    match answer.status {
        200 => Ok(answer.body),
        _ => Err(Trouble::Store(spent(path))),
    }
}

fn spent(path: &Path) -> Fault {
    denied(format!(
        "the wrapping token in {} is not valid: it has expired, or it was used before. If that was \
         not hushpipe, somebody else has the secret",
        path.display()
    ))
}

/// Whether a wrapping token was made for a secret id of this mount; a namespace may stand before.
fn is_secret_id(creation_path: &str, mount: &str) -> bool {
    let mount = mount.trim_matches('/');
    let start = format!("auth/{mount}/role/");
    let Some(at) = creation_path.find(&start) else {
        return false;
    };
    let in_namespace = at == 0 || creation_path[..at].ends_with('/');
    let rest = &creation_path[at + start.len()..];
    let made = |(role, verb): (&str, &str)| {
        !role.is_empty() && matches!(verb, "secret-id" | "custom-secret-id")
    };
    in_namespace && rest.split_once('/').is_some_and(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapping_token_is_of_a_secret_id_by_the_path_that_made_it() {
        for good in [
            "auth/approle/role/app/secret-id",
            "auth/approle/role/app/custom-secret-id",
            "team/a/auth/approle/role/app/secret-id",
        ] {
            assert!(is_secret_id(good, "approle"), "{good}");
            assert!(!is_secret_id(good, "other"), "{good}");
        }
        for bad in [
            "sys/wrapping/wrap",
            "auth/approle/role/app/role-id",
            "auth/approle/role//secret-id",
            "auth/approle/role/app/secret-id/lookup",
            "kv/data/xauth/approle/role/app/secret-id",
        ] {
            assert!(!is_secret_id(bad, "approle"), "{bad}");
        }
        assert!(is_secret_id("auth/a/b/role/app/secret-id", "/a/b/"));
    }
}
