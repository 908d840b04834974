//! Policies, tokens, leases and the ways to log in.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Bao;
use crate::harness::certificates::{Issued, run};
use crate::harness::{Place, untold};

/// What an application may do: read the secrets of every engine that tests mount, and end its own
/// leases. Renewing and looking up is in OpenBao's policy `default`.
pub const APPLICATION: &str = r#"
path "kv/*" { capabilities = ["read"] }
path "kv1/*" { capabilities = ["read"] }
path "database/creds/*" { capabilities = ["read"] }
path "pki/issue/*" { capabilities = ["create", "update"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"#;

/// The two halves of an AppRole login.
pub struct AppRole {
    /// Not secret by itself.
    pub role_id: String,
    /// Secret.
    pub secret_id: String,
}

/// How a manifest logs in by the files that [`Bao::approle`] writes.
pub const APPROLE_AUTH: &str =
    r#"{ method: approle, role_id_file: "{place}/role_id", secret_id_file: "{place}/secret_id" }"#;

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("the clock is right").as_secs()
}

impl Bao {
    /// Writes a policy, in HCL.
    pub fn policy(&self, name: &str, text: &str) {
        let body = json!({ "policy": text });
        self.post(&format!("sys/policies/acl/{name}"), &body);
    }

    fn enable(&self, method: &str) {
        let mounts = self.get("sys/auth");
        if mounts["data"][format!("{method}/")].is_null() {
            self.post(&format!("sys/auth/{method}"), &json!({ "type": method }));
        }
    }

    /// An AppRole `app` with these settings, such as `{ "token_policies": "app", "token_ttl": "5s" }`;
    /// its ids are written to `role_id` and `secret_id` in the place.
    pub fn approle(&self, place: &Place, settings: &Value) -> AppRole {
        self.enable("approle");
        self.post("auth/approle/role/app", settings);
        let role_id = text(&self.get("auth/approle/role/app/role-id")["data"]["role_id"]);
        place.write("role_id", &role_id);
        let secret_id = self.new_secret_id(place);
        AppRole { role_id, secret_id }
    }

    /// Another secret id of that role, in the same file.
    pub fn new_secret_id(&self, place: &Place) -> String {
        let made = self.post("auth/approle/role/app/secret-id", &json!({}));
        let secret_id = text(&made["data"]["secret_id"]);
        untold::add("a secret id", &secret_id);
        place.write("secret_id", &secret_id);
        secret_id
    }

    /// The same wrapped: the file gets a token that unwraps it once.
    pub fn new_wrapped_secret_id(&self, place: &Place) -> String {
        let header = format!("X-Vault-Token: {}", super::ROOT);
        let curl = ["--header", &header, "--header", "X-Vault-Wrap-TTL: 60s"];
        let path = "auth/approle/role/app/secret-id";
        let made = self.request_with(&curl, "POST", path, Some(&json!({})));
        let token = text(&made.expect("OpenBao answers").body["wrap_info"]["token"]);
        untold::add("a wrapping token", &token);
        place.write("secret_id", &token);
        token
    }

    /// Everything that a test of the usual kind needs: the policy [`APPLICATION`] as `app`, an
    /// AppRole with it, its files in the place; gives the store for the manifest.
    pub fn store_by_approle(&self, place: &Place) -> String {
        self.application(place);
        self.store(&place.fill(APPROLE_AUTH))
    }

    /// The same at another address, with more settings.
    pub fn store_by_approle_at(&self, place: &Place, address: &str, more: &str) -> String {
        self.application(place);
        self.store_at(address, &place.fill(APPROLE_AUTH), more)
    }

    /// The policy `app` and an AppRole with it.
    pub fn application(&self, place: &Place) -> AppRole {
        self.policy("app", APPLICATION);
        self.approle(place, &json!({ "token_policies": "app" }))
    }

    /// A token with these policies (comma-separated) that lives so long (`30s`).
    pub fn token(&self, policies: &str, ttl: &str) -> String {
        let policies: Vec<&str> = policies.split(',').collect();
        let body = json!({ "policies": policies, "ttl": ttl, "no_parent": true });
        let token = text(&self.post("auth/token/create", &body)["auth"]["client_token"]);
        untold::add("a token", &token);
        token
    }

    /// A user with a password.
    pub fn userpass(&self, user: &str, password: &str, policies: &str) {
        self.enable("userpass");
        let body = json!({ "password": password, "token_policies": policies });
        self.post(&format!("auth/userpass/users/{user}"), &body);
    }

    /// People of the group `approvers`, with a token of each: they authorize what control groups that
    /// name the group hold back.
    pub fn approvers(&self, names: &[&str]) -> Vec<String> {
        self.policy(
            "approver",
            "path \"sys/control-group/*\" { capabilities = [\"update\"] }",
        );
        let mut tokens = Vec::new();
        let mut members = Vec::new();
        for name in names {
            self.userpass(name, "of-a-person", "approver");
            let mounts = self.get("sys/auth");
            let accessor = text(&mounts["data"]["userpass/"]["accessor"]);
            let made = self.post("identity/entity", &json!({ "name": name }));
            let entity = text(&made["data"]["id"]);
            let alias = json!({ "name": name, "canonical_id": entity, "mount_accessor": accessor });
            self.post("identity/entity-alias", &alias);
            members.push(entity);
            let path = format!("auth/userpass/login/{name}");
            let login = self.post(&path, &json!({ "password": "of-a-person" }));
            tokens.push(text(&login["auth"]["client_token"]));
        }
        let group = json!({ "name": "approvers", "member_entity_ids": members });
        self.post("identity/group", &group);
        tokens
    }

    /// A role `app` for whoever has a JWT of the subject `app`: see [`Bao::jwt`].
    pub fn jwt_role(&self, policies: &str) {
        self.enable("jwt");
        let mut openssl = Command::new("openssl");
        openssl
            .args(["rsa", "-pubout", "-in"])
            .arg(self.signing_key());
        let public = String::from_utf8(run(&mut openssl)).expect("PEM is ASCII");
        self.post(
            "auth/jwt/config",
            &json!({ "jwt_validation_pubkeys": [public] }),
        );
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_subject": "app",
            "bound_audiences": ["bao"], "token_policies": policies,
        });
        self.post("auth/jwt/role/app", &role);
    }

    /// A JWT for that role that ends in so many seconds.
    pub fn jwt(&self, seconds: u64) -> String {
        let now = now();
        let claims = json!({ "sub": "app", "aud": "bao", "iat": now, "nbf": now - 1,
            "exp": now + seconds });
        self.sign(&claims)
    }

    /// A token as Kubernetes gives to the pods of the service account `app`, for
    /// [`Bao::kubernetes_role`].
    pub fn service_account_token(&self, seconds: u64) -> String {
        let now = now();
        let claims = json!({ "sub": "system:serviceaccount:default:app", "iat": now,
            "exp": now + seconds, "kubernetes.io": { "namespace": "default",
            "serviceaccount": { "name": "app", "uid": "1" } } });
        self.sign(&claims)
    }

    fn signing_key(&self) -> PathBuf {
        let key = self.place.join("jwt.key");
        if !key.exists() {
            run(Command::new("openssl")
                .args(["genrsa", "-out"])
                .arg(&key)
                .arg("2048"));
        }
        key
    }

    /// A compact JWS (RFC 7515) by RS256 (RFC 7518).
    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!(
            "{}.{}",
            part(&json!({ "alg": "RS256", "typ": "JWT" })),
            part(claims)
        );
        self.place.write("jwt.txt", &signed);
        let mut openssl = Command::new("openssl");
        openssl
            .args(["dgst", "-sha256", "-sign"])
            .arg(self.signing_key());
        openssl.arg(self.place.join("jwt.txt"));
        let signature = URL_SAFE_NO_PAD.encode(run(&mut openssl));
        untold::add("a JWT's signature", &signature);
        format!("{signed}.{signature}")
    }

    /// Whoever shows a certificate of the server's own CA logs in by the role `app`; gives one.
    pub fn certificate_role(&self, policies: &str) -> Issued {
        self.enable("cert");
        let ca = std::fs::read_to_string(self.ca_file()).expect("it is there");
        let body = json!({ "certificate": ca, "token_policies": policies });
        self.post("auth/cert/certs/app", &body);
        self.authority.client("client")
    }

    /// A role `app` for service accounts that the API server at this address (see
    /// [`FakeAnswers::kubernetes`](crate::harness::FakeAnswers::kubernetes)) knows.
    pub fn kubernetes_role(&self, address: &str, policies: &str) {
        self.enable("kubernetes");
        let ca = std::fs::read_to_string(self.ca_file()).expect("it is there");
        let config = json!({ "kubernetes_host": address, "disable_local_ca_jwt": true,
            "kubernetes_ca_cert": ca,
            "token_reviewer_jwt": "reviewer" });
        self.post("auth/kubernetes/config", &config);
        let role = json!({ "bound_service_account_names": "*",
            "bound_service_account_namespaces": "*", "token_policies": policies });
        self.post("auth/kubernetes/role/app", &role);
    }

    /// The ids of the leases below a prefix: `database/creds/app`.
    pub fn leases(&self, prefix: &str) -> Vec<String> {
        let path = format!("sys/leases/lookup/{prefix}");
        let answer = self.request("LIST", &path, None);
        let keys = answer.body["data"]["keys"].as_array().cloned();
        let id = |key: Value| format!("{prefix}/{}", text(&key));
        keys.unwrap_or_default().into_iter().map(id).collect()
    }

    /// What is known of a lease; `None` when it has ended.
    pub fn lease(&self, id: &str) -> Option<Value> {
        let body = json!({ "lease_id": id });
        let answer = self.request("POST", "sys/leases/lookup", Some(&body));
        (answer.status == 200).then(|| answer.body["data"].clone())
    }

    /// Ends a lease at once.
    pub fn revoke_lease(&self, id: &str) {
        self.post(
            "sys/leases/revoke",
            &json!({ "lease_id": id, "sync": true }),
        );
    }

    /// Ends every lease below a prefix.
    pub fn revoke_prefix(&self, prefix: &str) {
        self.post(
            &format!("sys/leases/revoke-prefix/{prefix}"),
            &json!({ "sync": true }),
        );
    }

    /// What is known of every token but root's.
    pub fn tokens(&self) -> Vec<Value> {
        let accessors = self.list("auth/token/accessors")["data"]["keys"].clone();
        let look = |accessor: &Value| {
            let body = json!({ "accessor": accessor });
            let answer = self.request("POST", "auth/token/lookup-accessor", Some(&body));
            (answer.status == 200).then(|| answer.body["data"].clone())
        };
        let accessors = accessors.as_array().cloned().unwrap_or_default();
        let known = accessors.iter().filter_map(look);
        known
            .filter(|token| token["display_name"] != super::ROOT_NAME)
            .collect()
    }

    /// Ends every token but root's, with their leases.
    pub fn revoke_tokens(&self) {
        for token in self.tokens() {
            let body = json!({ "accessor": token["accessor"] });
            self.post("auth/token/revoke-accessor", &body);
        }
    }
}
