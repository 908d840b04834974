//! Vault stores and what they are asked, in words. Of parameters only the names are shown: variables may stand in their values.

use std::fmt::Write as _;

use crate::model::{Address, Mode, Tls, VaultAuth, VaultRequest, VaultStore, format_duration};

/// One line a subject: addresses, namespace, TLS, login, limits.
pub fn lines(vault: &VaultStore, mode: Mode) -> Vec<String> {
    let addresses: Vec<String> = vault.addresses.iter().map(ToString::to_string).collect();
    let mut lines = vec![addresses.join(", else ")];
    lines.extend(
        vault
            .namespace
            .iter()
            .map(|name| format!("namespace {name}")),
    );
    lines.push(login(&vault.auth));
    if vault.addresses.iter().any(is_https) {
        lines.extend(tls(&vault.tls));
    }
    let given = matches!(vault.auth, VaultAuth::Environment | VaultAuth::TokenFile(_));
    let end = match (vault.revoke_on_exit, given, mode) {
        (true, true, Mode::Supervise) => "leases are revoked at the end",
        (true, false, Mode::Supervise) => "leases and login are revoked at the end",
        (true, false, Mode::Exec) => "a login without leases is revoked before the program starts",
        (true, true, Mode::Exec) | (false, ..) => "nothing is revoked at the end",
    };
    let within = format_duration(vault.deadline);
    lines.push(format!("requests within {within}; {end}"));
    let wait = vault.control_group.wait;
    let wait = format_duration(wait);
    lines.push(format!(
        "a start waits {wait} for approvals in a control group"
    ));
    lines
}

fn is_https(address: &Address) -> bool {
    matches!(address, Address::Url(url) if url.starts_with("https:"))
}

fn tls(tls: &Tls) -> Vec<String> {
    let trusted: Vec<String> = [&tls.ca_file, &tls.ca_path]
        .into_iter()
        .flatten()
        .map(|path| path.display().to_string())
        .collect();
    let trusted = if trusted.is_empty() {
        "the authorities of the system".to_owned()
    } else {
        trusted.join(" and ")
    };
    let name = tls.server_name.as_ref();
    let name = name.map_or(String::new(), |name| format!(", for the name {name}"));
    let mut lines = vec![format!("trusts {trusted}{name}")];
    if let Some(client) = &tls.client {
        let (certificate, key) = (client.certificate.display(), client.key.display());
        lines.push(format!("shows {certificate}, key {key}"));
    }
    lines
}

fn login(auth: &VaultAuth) -> String {
    let of_role = |role: &Option<String>| {
        role.as_ref()
            .map_or(String::new(), |role| format!(", role {role}"))
    };
    match auth {
        VaultAuth::Environment => "token in hushpipe's environment".to_owned(),
        VaultAuth::TokenFile(path) => format!("token in {}", path.display()),
        VaultAuth::AppRole {
            mount,
            role_id_file,
            secret_id_file,
            wrapped,
            remove,
        } => {
            let mut text = format!("login at {mount}, role id {}", role_id_file.display());
            if let Some(file) = secret_id_file {
                let wrapped = if *wrapped { "wrapped " } else { "" };
                let removed = if *remove { " (removed)" } else { "" };
                write!(text, ", {wrapped}secret id {}{removed}", file.display())
                    .expect("writing to a String does not fail");
            }
            text
        }
        VaultAuth::Jwt {
            mount,
            role,
            jwt_file,
        } => {
            let role = of_role(role);
            format!("login at {mount}{role}, token {}", jwt_file.display())
        }
        VaultAuth::Certificate { mount, role } => {
            format!("login at {mount} by certificate{}", of_role(role))
        }
        VaultAuth::UserPass {
            mount,
            username,
            password_file,
        } => format!(
            "login at {mount} as {username}, password {}",
            password_file.display()
        ),
    }
}

/// The path, and what goes with it.
pub fn request(request: &VaultRequest) -> String {
    let mut text = request.path.clone();
    let names = request.parameter_names();
    if !names.is_empty() {
        write!(text, " with {}", names.join(", ")).expect("writing to a String does not fail");
    }
    if let Some(file) = &request.token_file {
        write!(text, " of the token in {}", file.display())
            .expect("writing to a String does not fail");
    }
    text
}
