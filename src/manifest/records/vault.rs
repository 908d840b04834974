//! `type: vault` and its `auth:`.

use std::time::Duration;

use serde_json::{Value, json};

use super::trust::TrustRecord;
use crate::manifest::addresses::{Namespace, ServerName, Servers};
use crate::manifest::decode::{Decode, Decoder, NO_SECRET, Tag, record, tagged};
use crate::manifest::paths::{HostPath, LoginMount};
use crate::manifest::tree::Node;
use crate::manifest::values::Word;

record! {
    /// HashiCorp Vault or OpenBao. Keys that are left out are taken from BAO_* or VAULT_* of
    /// hushpipe's environment.
    VaultRecord("a vault store") {
        /// The type of the store.
        required kind "type": Tag;
        /// Where the server is: https://, http:// or unix:///path, or a list of such, tried in turn.
        /// Default: VAULT_ADDR.
        optional address "address": Servers;
        /// The namespace. Default: VAULT_NAMESPACE.
        optional namespace "namespace": Namespace;
        /// PEM certificates of the authorities that are trusted. Default: VAULT_CACERT, else those of
        /// the system.
        optional ca_file "ca_file": HostPath;
        /// A directory of such files. Default: VAULT_CAPATH.
        optional ca_path "ca_path": HostPath;
        /// The name that the server's certificate must have. Default: VAULT_TLS_SERVER_NAME, else the
        /// address's host.
        optional tls_server_name "tls_server_name": ServerName;
        /// The PEM certificate that hushpipe shows itself with, and its chain. Default:
        /// VAULT_CLIENT_CERT.
        optional client_cert "client_cert": HostPath;
        /// Its private key. Default: VAULT_CLIENT_KEY.
        optional client_key "client_key": HostPath;
        /// How hushpipe logs in. Default: the token in VAULT_TOKEN, else in ~/.vault-token.
        optional auth "auth": Login;
        /// What is tried again, and for how long.
        optional retry "retry": Retry;
        /// How long people may take to approve what is in a control group.
        optional control_group "control_group": ControlGroupRecord;
        /// Whether leases, and the token that hushpipe logged in for, are revoked at the end.
        /// Default: true; in mode exec only what the program does not use is, before it starts.
        optional revoke_on_exit "revoke_on_exit": bool;
        /// Whom its files may belong to, beside root and hushpipe's own user: those of the login and of
        /// TLS, and wrapping tokens.
        optional trust "trust": TrustRecord;
    } elsewhere {
        "token": NO_SECRET => "set VAULT_TOKEN for hushpipe, or name the token's file: auth: { method: token, file: PATH }",
        "skip_verify": "the server's certificate is always checked" => "name the authority that signed it: ca_file: PATH",
        "tls_skip_verify": "the server's certificate is always checked" => "name the authority that signed it: ca_file: PATH",
        "insecure": "the server's certificate is always checked" => "name the authority that signed it: ca_file: PATH",
        "method": "it is a key of `auth`" => "write auth: { method: ... }",
        "deadline": "it is a key of `retry`" => "write retry: { deadline: 60s }",
        "path": "it is a key of secrets" => "write address: https://HOST:PORT here, and `path` for each secret",
        "mount": "it is a key of secrets and of `auth`" => "write it there",
        "token_file": "it is a key of `auth`" => "write auth: { method: token, file: PATH }",
        "url": "it is called `address` here" => "write address: https://HOST:PORT",
        "addr": "it is called `address` here" => "write address: https://HOST:PORT",
        "role": "it is a key of `auth`" => "write it in `auth`, as in auth: { method: kubernetes, role: NAME }",
    }
}

impl VaultRecord {
    /// `trust.owners`
    pub fn owners(&self) -> Vec<u32> {
        self.trust.get().map_or_else(Vec::new, TrustRecord::uids)
    }
}

record! {
    /// What is tried again: connections, and answers that say `later`.
    Retry("a mapping such as { deadline: 60s }") {
        /// How long a request may take, with all that is tried again.
        optional deadline "deadline": Duration = "60s";
    } elsewhere {}
}

record! {
    /// Secrets that people have to approve, in a control group of the server.
    ControlGroupRecord("a mapping such as { wait: 10m }") {
        /// How long a start of the program waits for approvals; a rotation does not wait.
        optional wait "wait": Duration = "10m";
    } elsewhere {
        "deadline": "it is a key of `retry`, for requests" => "write control_group: { wait: 10m }",
        "approvals": "the server's policy says how many are needed" => "write `approvals` in the policy of the login",
    }
}

record! {
    /// A token in a file.
    TokenLogin("a login by token") {
        /// The kind of login.
        required kind "method": Tag;
        /// The file, read again when it changes.
        optional file "file": HostPath = "~/.vault-token";
    } elsewhere {
        "token": NO_SECRET => "name the token's file: `file: PATH`",
    }
}

record! {
    /// A role id and a secret id.
    AppRoleLogin("a login by AppRole") {
        /// The kind of login.
        required kind "method": Tag;
        /// The file with the role id.
        required role_id_file "role_id_file": HostPath;
        /// The file with the secret id; roles may need none.
        optional secret_id_file "secret_id_file": HostPath;
        /// The file holds a wrapping token of the secret id.
        optional wrapped "wrapped": bool = "false";
        /// The secret id's file is removed once a login with it has worked.
        optional remove_secret_id_file "remove_secret_id_file": bool = "false";
        /// Where the method is mounted.
        optional mount "mount": LoginMount = "approle";
    } elsewhere {
        "role_id": "it is read from a file" => "name the file: `role_id_file: PATH`",
        "secret_id": NO_SECRET => "name the file that holds it: `secret_id_file: PATH`",
    }
}

record! {
    /// A JSON web token.
    JwtLogin("a login by JWT") {
        /// The kind of login.
        required kind "method": Tag;
        /// The file with the token, read again at every login.
        required jwt_file "jwt_file": HostPath;
        /// The role. Default: the method's own default role.
        optional role "role": Word;
        /// Where the method is mounted.
        optional mount "mount": LoginMount = "jwt";
    } elsewhere {
        "jwt": NO_SECRET => "name the file that holds it: `jwt_file: PATH`",
    }
}

record! {
    /// The token of a pod's service account.
    KubernetesLogin("a login by Kubernetes") {
        /// The kind of login.
        required kind "method": Tag;
        /// The role.
        required role "role": Word;
        /// The file with the token, read again at every login.
        optional jwt_file "jwt_file": HostPath = "/var/run/secrets/kubernetes.io/serviceaccount/token";
        /// Where the method is mounted.
        optional mount "mount": LoginMount = "kubernetes";
    } elsewhere {
        "jwt": NO_SECRET => "name the file that holds it: `jwt_file: PATH`",
    }
}

record! {
    /// The client certificate of the store: client_cert and client_key.
    CertificateLogin("a login by TLS certificate") {
        /// The kind of login.
        required kind "method": Tag;
        /// The certificate role. Default: one that fits.
        optional role "role": Word;
        /// Where the method is mounted.
        optional mount "mount": LoginMount = "cert";
    } elsewhere {
        "client_cert": "it is a key of the store, beside `auth`" => "move it there",
        "client_key": "it is a key of the store, beside `auth`" => "move it there",
    }
}

record! {
    /// A user name and a password, for people.
    UserPassLogin("a login by user name and password") {
        /// The kind of login.
        required kind "method": Tag;
        /// Who logs in.
        required username "username": Word;
        /// The file with the password; one line end at its end is not part of it.
        required password_file "password_file": HostPath;
        /// Where the method is mounted.
        optional mount "mount": LoginMount = "userpass";
    } elsewhere {
        "password": NO_SECRET => "name the file that holds it: `password_file: PATH`",
    }
}

/// `auth:`, by its `method`.
pub enum Login {
    /// `method: token`
    Token(TokenLogin),
    /// `method: approle`
    AppRole(AppRoleLogin),
    /// `method: jwt`
    Jwt(JwtLogin),
    /// `method: kubernetes`
    Kubernetes(KubernetesLogin),
    /// `method: cert`
    Certificate(CertificateLogin),
    /// `method: userpass`
    UserPass(UserPassLogin),
}

impl Login {
    const METHODS: [&'static str; 6] =
        ["token", "approle", "jwt", "kubernetes", "cert", "userpass"];
}

impl Decode for Login {
    const WANTED: &'static str = "a login, such as { method: token, file: /run/token }";

    fn decode(node: &Node<'_>, to: &mut Decoder<'_>) -> Option<Self> {
        let (method, place) = to.tag(node, "method", Self::WANTED, &Self::METHODS)?;
        match method.as_str() {
            "token" => TokenLogin::decode(node, to).map(Self::Token),
            "approle" => AppRoleLogin::decode(node, to).map(Self::AppRole),
            "jwt" => JwtLogin::decode(node, to).map(Self::Jwt),
            "kubernetes" => KubernetesLogin::decode(node, to).map(Self::Kubernetes),
            "cert" => CertificateLogin::decode(node, to).map(Self::Certificate),
            "userpass" => UserPassLogin::decode(node, to).map(Self::UserPass),
            other => {
                to.not_a_choice(place, other, &Self::METHODS);
                None
            }
        }
    }

    fn schema() -> Value {
        let schemas = [
            TokenLogin::schema(),
            AppRoleLogin::schema(),
            JwtLogin::schema(),
            KubernetesLogin::schema(),
            CertificateLogin::schema(),
            UserPassLogin::schema(),
        ];
        let methods = Self::METHODS.iter().zip(schemas);
        let methods: Vec<Value> = methods
            .map(|(method, schema)| tagged(schema, "method", method))
            .collect();
        json!({ "oneOf": methods })
    }
}
