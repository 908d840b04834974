//! Paths of the API: as the manifest writes them, and what follows from their shape.

use crate::stores::Fault;

/// The path of a URL, with `/v1/`, percent-encoded (RFC 3986) and without a query.
pub(super) fn encoded(path: &str) -> Result<String, Fault> {
    let path = path.trim_matches('/');
    let dots = |segment: &str| matches!(segment, "" | "." | "..");
    if path.split('/').any(dots) {
        return Err(Fault::Malformed {
            reason: "a path has no empty, `.` and `..` parts".to_owned(),
        });
    }
    let mut url = String::from("/v1/");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push(char::from(b"0123456789ABCDEF"[usize::from(byte >> 4)]));
            url.push(char::from(b"0123456789ABCDEF"[usize::from(byte & 15)]));
        }
    }
    Ok(url)
}

/// Where the metadata of a KV v2 secret is, if the path looks like one: `kv/data/a/b` →
/// `kv/metadata/a/b`. A mount whose own path has a part `data` is not told from its keys: what is
/// there then has not the form of metadata.
pub(super) fn metadata(path: &str) -> Option<String> {
    let (mount, key) = path.trim_matches('/').split_once("/data/")?;
    Some(format!("{mount}/metadata/{key}"))
}

/// Where a certificate is revoked that was issued or signed at a path of a PKI engine:
/// `pki/issue/web` → `pki/revoke`.
pub(super) fn revocation(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let mount = ["/issue/", "/sign/"]
        .iter()
        .find_map(|verb| Some(path.split_once(verb)?.0))?;
    let mount = mount.split("/issuer/").next().unwrap_or(mount);
    Some(format!("{mount}/revoke"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded_but_for_their_slashes() {
        assert_eq!(encoded("kv/data/a b").ok().unwrap(), "/v1/kv/data/a%20b");
        assert_eq!(
            encoded("/kv/data/ä?#%/").ok().unwrap(),
            "/v1/kv/data/%C3%A4%3F%23%25"
        );
        for wrong in ["", "/", "a//b", "a/./b", "a/../b", ".."] {
            assert!(encoded(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn metadata_lies_beside_the_data() {
        assert_eq!(metadata("kv/data/a/b").unwrap(), "kv/metadata/a/b");
        assert_eq!(metadata("team/kv/data/a").unwrap(), "team/kv/metadata/a");
        assert_eq!(
            metadata("kv/data/a/data/b").unwrap(),
            "kv/metadata/a/data/b"
        );
        assert_eq!(metadata("database/creds/a"), None);
        assert_eq!(metadata("data/x"), None);
    }

    #[test]
    fn certificates_are_revoked_at_their_mount() {
        assert_eq!(revocation("pki/issue/web").unwrap(), "pki/revoke");
        assert_eq!(revocation("a/pki/sign/web").unwrap(), "a/pki/revoke");
        assert_eq!(revocation("pki/issuer/x/issue/web").unwrap(), "pki/revoke");
        assert_eq!(revocation("database/creds/a"), None);
    }
}
