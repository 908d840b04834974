//! Vault stores: what the manifest says, and what the environment says where it does not.

use std::path::PathBuf;
use std::time::Duration;

use super::addresses::{Namespace, Server, ServerName};
use super::build::Builder;
use super::decode::Spanned;
use super::fault::Span;
use super::paths::HostPath;
use super::records::{AppRoleLogin, Login, VaultRecord};
use crate::model::{Address, ClientCertificate, ControlGroup, Mode, Tls, VaultAuth, VaultStore};

/// How long a start waits for people who approve, where the manifest does not say.
const CONTROL_GROUP_WAIT: Duration = Duration::from_mins(10);

/// A variable of hushpipe's environment that is set to something.
struct Variable {
    name: String,
    value: String,
}

impl Variable {
    /// A path: relative ones start at hushpipe's working directory, as for the vendors' own tools.
    fn path(self) -> PathBuf {
        let path = PathBuf::from(self.value);
        std::path::absolute(&path).unwrap_or(path)
    }
}

impl Builder<'_> {
    /// A vault store. `at` is its name.
    pub fn vault(&mut self, at: Span, vault: &VaultRecord, mode: Mode) -> Option<VaultStore> {
        self.certificates_are_checked(at);
        let addresses = self.addresses(at, vault);
        let name = ("namespace", "NAMESPACE");
        let namespace = self.setting(at, &vault.namespace, name, Namespace::parse);
        let tls = self.tls(at, vault);
        let auth = self.login(at, vault);
        let deadline = self.deadline(vault);
        let control_group = control_group(vault);
        let revoke_on_exit = self.revoke_on_exit(vault, mode);
        let (addresses, auth) = (addresses?, auth?);
        if let VaultAuth::Certificate { .. } = auth {
            self.shows_certificate(vault, &addresses, &tls);
        }
        Some(VaultStore {
            addresses,
            namespace: namespace.map(|namespace| namespace.0),
            tls,
            auth,
            deadline: deadline?,
            revoke_on_exit,
            control_group: control_group?,
        })
    }

    /// `BAO_NAME`, else `VAULT_NAME`; set to nothing is not set.
    fn variable(&self, name: &str) -> Option<Variable> {
        ["BAO", "VAULT"].iter().find_map(|vendor| {
            let name = format!("{vendor}_{name}");
            let value = (self.environment)(&name).filter(|value| !value.is_empty())?;
            Some(Variable { name, value })
        })
    }

    /// What the manifest says, else what the environment says. `None` also where that was a fault:
    /// there is no plan then.
    fn setting<T: Clone>(
        &mut self,
        at: Span,
        field: &Spanned<T>,
        (key, variable): (&str, &str),
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        if field.is_present() {
            return field.get().cloned();
        }
        let Variable { name, value } = self.variable(variable)?;
        match parse(&value) {
            Ok(setting) => Some(setting),
            Err(why) => {
                self.wrong_variable(at, &name, why, key);
                None
            }
        }
    }

    /// What a variable holds is not shown.
    fn wrong_variable(&mut self, at: Span, variable: &str, why: &str, key: &str) {
        let message = format!("the variable {variable} cannot be used: {why}");
        let help = format!("correct it, or write `{key}:` in the manifest, which goes before it");
        self.fault(at, message, help);
    }

    fn certificates_are_checked(&mut self, at: Span) {
        let Some(variable) = self.variable("SKIP_VERIFY") else {
            return;
        };
        // Those that the vendors' tools read as false.
        if !matches!(
            variable.value.as_str(),
            "0" | "f" | "F" | "false" | "FALSE" | "False"
        ) {
            let name = variable.name;
            let message = format!(
                "{name} asks not to check the server's certificate, and hushpipe always does"
            );
            let help = format!(
                "unset {name}, and name the authority that signed the certificate: `ca_file:` or \
                 VAULT_CACERT"
            );
            self.fault(at, message, help);
        }
    }

    fn addresses(&mut self, at: Span, vault: &VaultRecord) -> Option<Vec<Address>> {
        if !vault.address.is_present() {
            return self.address_of_variable(at).map(|address| vec![address]);
        }
        let mut addresses = Vec::new();
        for field in &vault.address.get()?.0 {
            let server = field.get()?;
            if server.in_the_clear {
                let text = self.source.get(field.span.start..field.span.end);
                let text = text.unwrap_or("the address").trim_matches(['"', '\'']);
                self.warn_in_the_clear(field.span, text);
            }
            addresses.push(server.address.clone());
        }
        Some(addresses)
    }

    fn address_of_variable(&mut self, at: Span) -> Option<Address> {
        let Some(Variable { name, value }) = self.variable("ADDR") else {
            let message = "the key `address` is missing, and VAULT_ADDR is not set";
            let help = "add `address: https://HOST:8200`, or set VAULT_ADDR";
            self.fault(at, message, help);
            return None;
        };
        match Server::parse(&value) {
            Ok(server) => {
                if server.in_the_clear {
                    self.warn_in_the_clear(at, &format!("the address in {name}"));
                }
                Some(server.address)
            }
            Err(why) => {
                self.wrong_variable(at, &name, why, "address");
                None
            }
        }
    }

    fn warn_in_the_clear(&mut self, span: Span, what: &str) {
        let why = "is plain http to another host: the login and all values can be read on the way";
        self.warn(span, &format!("{what} {why}"));
    }

    fn tls(&mut self, at: Span, vault: &VaultRecord) -> Tls {
        let (ca_file, ca_path) = self.authorities(vault);
        let name = ("tls_server_name", "TLS_SERVER_NAME");
        let server_name = self.setting(at, &vault.tls_server_name, name, ServerName::parse);
        Tls {
            ca_file,
            ca_path,
            server_name: server_name.map(|name| name.0),
            client: self.client(at, vault),
            trust: vault.owners(),
        }
    }

    /// Whom the manifest trusts, nobody in the environment adds to. A file goes before a directory
    /// there, as for the vendors' own tools.
    fn authorities(&self, vault: &VaultRecord) -> (Option<PathBuf>, Option<PathBuf>) {
        if vault.ca_file.is_present() || vault.ca_path.is_present() {
            return (path(&vault.ca_file), path(&vault.ca_path));
        }
        match self.variable("CACERT") {
            Some(file) => (Some(file.path()), None),
            None => (None, self.variable("CAPATH").map(Variable::path)),
        }
    }

    /// A certificate and its key come from one place: both from the manifest, or both from the
    /// environment.
    fn client(&mut self, at: Span, vault: &VaultRecord) -> Option<ClientCertificate> {
        let (certificate, key, names) = match (vault.client_cert.key, vault.client_key.key) {
            (None, None) => {
                let certificate = self.variable("CLIENT_CERT").map(Variable::path);
                let key = self.variable("CLIENT_KEY").map(Variable::path);
                (certificate, key, ["VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY"])
            }
            (Some(_), Some(_)) => {
                // Both stand there: where one cannot be read, that was told.
                let certificate = path(&vault.client_cert)?;
                (Some(certificate), Some(path(&vault.client_key)?), ["", ""])
            }
            _ => {
                let names = ["`client_cert`", "`client_key`"];
                (path(&vault.client_cert), path(&vault.client_key), names)
            }
        };
        let span = vault.client_cert.key.or(vault.client_key.key).unwrap_or(at);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (certificate, _) => {
                let [there, missing] = match certificate {
                    Some(_) => names,
                    None => [names[1], names[0]],
                };
                let message = format!("{there} needs {missing}, and it is not there");
                let help = "a client certificate and its private key go together; they may be one \
                            file, named twice";
                self.fault(span, message, help);
                None
            }
        }
    }

    fn login(&mut self, at: Span, vault: &VaultRecord) -> Option<VaultAuth> {
        if vault.auth.is_present() {
            return self.method(vault.auth.get()?);
        }
        if self.variable("TOKEN").is_some() {
            return Some(VaultAuth::Environment);
        }
        let home = (self.environment)("HOME").filter(|home| home.starts_with('/'));
        if home.is_none() {
            let message = "there is no `auth`, and neither VAULT_TOKEN nor HOME is set";
            let help = "add `auth: { method: ... }`, or set VAULT_TOKEN";
            self.fault(at, message, help);
        }
        home.map(|home| VaultAuth::TokenFile(PathBuf::from(home).join(".vault-token")))
    }

    fn method(&mut self, login: &Login) -> Option<VaultAuth> {
        Some(match login {
            Login::Token(token) => VaultAuth::TokenFile(path(&token.file)?),
            Login::AppRole(approle) => self.approle(approle)?,
            Login::Jwt(jwt) => VaultAuth::Jwt {
                mount: jwt.mount.get()?.0.clone(),
                role: jwt.role.get().map(|role| role.0.clone()),
                jwt_file: path(&jwt.jwt_file)?,
            },
            Login::Kubernetes(pod) => VaultAuth::Jwt {
                mount: pod.mount.get()?.0.clone(),
                role: Some(pod.role.get()?.0.clone()),
                jwt_file: path(&pod.jwt_file)?,
            },
            Login::Certificate(certificate) => VaultAuth::Certificate {
                mount: certificate.mount.get()?.0.clone(),
                role: certificate.role.get().map(|role| role.0.clone()),
            },
            Login::UserPass(user) => VaultAuth::UserPass {
                mount: user.mount.get()?.0.clone(),
                username: user.username.get()?.0.clone(),
                password_file: path(&user.password_file)?,
            },
        })
    }

    fn approle(&mut self, approle: &AppRoleLogin) -> Option<VaultAuth> {
        let flags = [
            (&approle.wrapped, "wrapped"),
            (&approle.remove_secret_id_file, "remove_secret_id_file"),
        ];
        for (flag, name) in flags {
            let without = !approle.secret_id_file.is_present();
            if let (Some(true), Some(span), true) = (flag.get(), flag.key, without) {
                let message = format!("`{name}` is about the secret id, and there is none");
                self.fault(span, message, "add `secret_id_file:`, or remove it");
            }
        }
        Some(VaultAuth::AppRole {
            mount: approle.mount.get()?.0.clone(),
            role_id_file: path(&approle.role_id_file)?,
            secret_id_file: path(&approle.secret_id_file),
            wrapped: *approle.wrapped.get()?,
            remove: *approle.remove_secret_id_file.get()?,
        })
    }

    /// `method: cert` without a certificate, or where no TLS is.
    fn shows_certificate(&mut self, vault: &VaultRecord, addresses: &[Address], tls: &Tls) {
        let span = vault.auth.key.unwrap_or(vault.at);
        let named = vault.client_cert.is_present() || vault.client_key.is_present();
        if tls.client.is_none() && !named {
            let message = "a login by certificate shows a client certificate, and there is none";
            let help = "add `client_cert:` and `client_key:` to the store";
            self.fault(span, message, help);
        }
        let tls =
            |address: &Address| matches!(address, Address::Url(url) if url.starts_with("https"));
        if !addresses.iter().all(tls) {
            let message = "a login by certificate needs TLS, and not every address is https";
            self.fault(span, message, "use https addresses, or another login");
        }
    }

    fn deadline(&mut self, vault: &VaultRecord) -> Option<Duration> {
        let minute = Duration::from_mins(1);
        let Some(retry) = vault.retry.get() else {
            return (!vault.retry.is_present()).then_some(minute);
        };
        let deadline = *retry.deadline.get()?;
        if deadline.is_zero() {
            let help = "write how long a request may take, with all that is tried again: 60s";
            self.fault(retry.deadline.span, "nothing can be asked in no time", help);
        }
        Some(deadline)
    }

    /// In mode exec nobody is left to give back what the program uses. What it does not use is given
    /// back before it starts.
    fn revoke_on_exit(&mut self, vault: &VaultRecord, mode: Mode) -> bool {
        let wanted = vault.revoke_on_exit.get().copied().unwrap_or(true);
        if mode == Mode::Supervise {
            return wanted;
        }
        if let (Some(true), Some(span)) = (vault.revoke_on_exit.get(), vault.revoke_on_exit.key) {
            let why = "hushpipe does not remain to revoke leases";
            self.not_in_exec(span, "`revoke_on_exit: true`", why);
        }
        wanted
    }
}

/// `None`: what the manifest says is a fault.
fn control_group(vault: &VaultRecord) -> Option<ControlGroup> {
    let field = &vault.control_group;
    let named = match field.get() {
        Some(record) => record.wait.get().copied(),
        None => (!field.is_present()).then_some(CONTROL_GROUP_WAIT),
    };
    named.map(|wait| ControlGroup { wait })
}

fn path(field: &Spanned<HostPath>) -> Option<PathBuf> {
    field.get().map(|path| path.0.clone())
}
