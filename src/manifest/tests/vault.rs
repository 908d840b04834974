//! Vault stores: the manifest's settings, and those of the environment where it has none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::*;
use crate::model::{
    Address, ClientCertificate, Plan, Source, StoreKind, Tls, VaultAuth, VaultStore,
};

pub const VAULT: &str = include_str!("../../../tests/vectors/manifests/good/vault.yaml");

fn parsed(text: &str, variables: &[(&str, &str)]) -> Result<Plan, ManifestError> {
    let environment = |name: &str| {
        let mut all = variables.iter().chain(&[("HOME", "/home/u")]);
        let found = all.find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    let name = Path::new("/etc/app/hushpipe.yaml");
    parse(name, text, &Overrides::default(), &environment)
}

fn plan(text: &str, variables: &[(&str, &str)]) -> Plan {
    parsed(text, variables).unwrap_or_else(|error| panic!("{}", error.render(false)))
}

fn with(store: &str) -> String {
    format!(
        "version: 1\nservice: a\nstores:\n  bao: {{ type: vault{store} }}\nrun: {{ command: [x] }}\n"
    )
}

fn store_of<'p>(plan: &'p Plan, name: &str) -> &'p VaultStore {
    let mut stores = plan.stores.iter();
    match stores.find(|(known, _)| known.as_str() == name) {
        Some((_, spec)) => match &spec.kind {
            StoreKind::Vault(vault) => vault,
            _ => panic!("{name} is no vault"),
        },
        None => panic!("{name} is not there"),
    }
}

fn vault(store: &str, variables: &[(&str, &str)]) -> VaultStore {
    store_of(&plan(&with(store), variables), "bao").clone()
}

fn fault(store: &str, variables: &[(&str, &str)]) -> String {
    let error = parsed(&with(store), variables).unwrap_err();
    assert_eq!(error.faults().len(), 1, "{}", error.render(false));
    error.text()
}

fn url(text: &str) -> Address {
    Address::Url(text.to_owned())
}

fn source<'p>(plan: &'p Plan, name: &str) -> &'p Source {
    let mut secrets = plan.secrets.iter();
    &secrets
        .find(|(known, _)| known.as_str() == name)
        .unwrap()
        .1
        .source
}

#[test]
fn every_key_reaches_the_plan() {
    let plan = plan(VAULT, &[]);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let store = store_of(&plan, "approle");
    assert_eq!(
        store.addresses,
        [
            url("https://bao-1.internal:8200"),
            url("https://bao-2.internal:8200/bao")
        ]
    );
    assert_eq!(store.namespace.as_deref(), Some("team/payments"));
    assert_eq!(
        store.tls.ca_file.as_deref(),
        Some(Path::new("/etc/ssl/bao-ca.pem"))
    );
    assert_eq!(
        store.tls.ca_path.as_deref(),
        Some(Path::new("/etc/app/authorities"))
    );
    assert_eq!(store.tls.server_name.as_deref(), Some("bao.internal"));
    assert_eq!(store.deadline, Duration::from_secs(10));
    assert!(!store.revoke_on_exit);
    let VaultAuth::AppRole {
        mount,
        secret_id_file,
        wrapped: true,
        remove: true,
        ..
    } = &store.auth
    else {
        panic!("{:?}", store.auth);
    };
    assert_eq!(mount, "team/approle");
    assert_eq!(
        secret_id_file.as_deref(),
        Some(Path::new("/run/bootstrap/secret-id"))
    );
}

#[test]
fn each_login_has_its_defaults() {
    let plan = plan(VAULT, &[]);
    let auth = |name: &str| store_of(&plan, name).auth.clone();
    assert!(
        matches!(auth("cert"), VaultAuth::Certificate { mount, role: Some(_) } if mount == "tls")
    );
    assert!(matches!(auth("jwt"), VaultAuth::Jwt { mount, .. } if mount == "oidc"));
    let VaultAuth::Jwt {
        mount,
        role,
        jwt_file,
    } = auth("kubernetes")
    else {
        panic!("kubernetes is a login by JWT");
    };
    assert_eq!(
        (mount.as_str(), role.as_deref()),
        ("kubernetes", Some("app"))
    );
    assert_eq!(
        jwt_file,
        Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token")
    );
    assert!(
        matches!(auth("password"), VaultAuth::UserPass { mount, password_file, .. }
        if mount == "people" && password_file == Path::new("/home/u/.bao-password"))
    );
    assert!(matches!(auth("socket"), VaultAuth::TokenFile(file)
        if file == Path::new("/home/u/.vault-token")));
    assert!(matches!(auth("token"), VaultAuth::TokenFile(file)
        if file == Path::new("/etc/app/token")));
    let store = store_of(&plan, "token");
    assert_eq!(store.deadline, Duration::from_mins(1));
    assert!(store.revoke_on_exit && store.namespace.is_none());
    let unix = Address::Unix(PathBuf::from("/run/bao.sock"));
    assert_eq!(store_of(&plan, "socket").addresses, [unix]);
}

#[test]
fn a_secret_is_a_path_and_perhaps_parameters() {
    let plan = plan(VAULT, &[]);
    let path = |name: &str| {
        let source = source(&plan, name);
        assert_eq!(source.key, None);
        source.request.as_ref().unwrap().path.clone()
    };
    assert_eq!(path("db"), "database/creds/app");
    assert_eq!(path("kv1"), "kv1/app");
    assert_eq!(path("kv2"), "secret/data/app/db");
    assert_eq!(source(&plan, "kv2").version, Some(3.into()));
    let parameters = |name: &str| source(&plan, name).request.clone().unwrap().parameters;
    assert_eq!(
        parameters("tls").as_deref(),
        Some(
            r#"{"alt_names":["a.internal","b.internal"],"common_name":"web.internal","exclude_cn_from_sans":true,"format":"0","not_before_duration":30,"ttl":"24h"}"#
        )
    );
    assert_eq!(parameters("made").as_deref(), Some("{}"));
    assert_eq!(parameters("db"), None);
    let wrapped = source(&plan, "wrapped").request.clone().unwrap();
    assert_eq!(
        wrapped.token_file.as_deref(),
        Some(Path::new("/run/bootstrap/wrapped"))
    );
}

#[test]
fn mount_and_key_are_the_same_request_as_the_path() {
    let text = with(", address: \"https://bao\"").replace(
        "run:",
        "secrets:\n  a: { store: bao, mount: kv, key: x/y }\n  b: { store: bao, path: /kv/data/x/y }\n\
         deliver: [{ fd: 3, content: \"{{ a.z }}{{ b.z }}\" }]\nrun:",
    );
    let plan = plan(&text, &[]);
    assert_eq!(source(&plan, "a"), source(&plan, "b"));
}

#[test]
fn what_the_manifest_leaves_out_comes_from_the_environment() {
    let variables = [
        ("VAULT_ADDR", "https://vault:8200/"),
        ("VAULT_NAMESPACE", "payments/"),
        ("VAULT_CACERT", "/ca.pem"),
        ("VAULT_TLS_SERVER_NAME", "vault.internal"),
        ("VAULT_CLIENT_CERT", "/client.pem"),
        ("VAULT_CLIENT_KEY", "/client.key"),
        ("VAULT_TOKEN", "x"),
    ];
    let store = vault("", &variables);
    assert_eq!(store.addresses, [url("https://vault:8200")]);
    assert_eq!(store.namespace.as_deref(), Some("payments"));
    assert_eq!(store.tls.ca_file.as_deref(), Some(Path::new("/ca.pem")));
    assert_eq!(store.tls.server_name.as_deref(), Some("vault.internal"));
    let client = ClientCertificate {
        certificate: "/client.pem".into(),
        key: "/client.key".into(),
    };
    assert_eq!(store.tls.client, Some(client));
    assert!(matches!(store.auth, VaultAuth::Environment));
}

#[test]
fn the_manifest_goes_before_the_environment() {
    let variables = [
        ("VAULT_ADDR", "https://vault:8200"),
        ("VAULT_NAMESPACE", "other"),
        ("VAULT_CACERT", "/other.pem"),
        ("VAULT_CAPATH", "/others"),
        ("VAULT_TLS_SERVER_NAME", "other"),
        ("VAULT_CLIENT_KEY", "/other.key"),
        ("VAULT_TOKEN", "x"),
    ];
    let store = vault(
        ", address: \"https://bao\", namespace: mine, ca_path: /mine, tls_server_name: mine, \
         client_cert: /a, client_key: /a, auth: { method: token }",
        &variables,
    );
    assert_eq!(store.addresses, [url("https://bao")]);
    assert_eq!(store.namespace.as_deref(), Some("mine"));
    // Whom the manifest trusts, the environment does not add to.
    let Tls {
        ca_file,
        ca_path,
        server_name,
        client,
        trust: _,
    } = store.tls;
    assert_eq!(
        (ca_file, ca_path.as_deref()),
        (None, Some(Path::new("/mine")))
    );
    assert_eq!(server_name.as_deref(), Some("mine"));
    assert_eq!(client.unwrap().key, Path::new("/a"));
    assert!(matches!(store.auth, VaultAuth::TokenFile(_)));
}

#[test]
fn variables_of_openbao_go_before_those_of_vault_and_empty_ones_are_not_set() {
    let variables = [
        ("VAULT_ADDR", "https://vault"),
        ("BAO_ADDR", "https://bao"),
        ("VAULT_NAMESPACE", "vault"),
        ("BAO_NAMESPACE", ""),
        ("VAULT_TOKEN", ""),
        ("BAO_CAPATH", "/bao"),
        ("VAULT_CACERT", ""),
    ];
    let store = vault("", &variables);
    assert_eq!(store.addresses, [url("https://bao")]);
    assert_eq!(store.namespace.as_deref(), Some("vault"));
    assert_eq!(store.tls.ca_path.as_deref(), Some(Path::new("/bao")));
    assert!(
        matches!(store.auth, VaultAuth::TokenFile(file) if file == Path::new("/home/u/.vault-token"))
    );
    assert!(matches!(
        vault("", &[variables[1], ("BAO_TOKEN", "x")]).auth,
        VaultAuth::Environment
    ));
}

#[test]
fn a_wrong_variable_is_named_and_what_it_holds_is_not_shown() {
    let https = ", address: \"https://bao\"";
    for (store, variable, value, wanted) in [
        (
            "",
            "VAULT_ADDR",
            "https://u:canary@bao",
            "it has a user name or password",
        ),
        (
            "",
            "BAO_ADDR",
            "canary:8200",
            "it starts with none of https://",
        ),
        (https, "VAULT_NAMESPACE", "canary canary", "it has spaces"),
        (
            https,
            "BAO_TLS_SERVER_NAME",
            "can ary",
            "it is neither a host name",
        ),
    ] {
        let text = fault(store, &[(variable, value)]);
        let wanted = format!("the variable {variable} cannot be used: {wanted}");
        assert!(text.contains(&wanted), "{text}");
        assert!(
            !text.contains("canary") && !text.contains("can ary"),
            "{text}"
        );
    }
    let half = fault(https, &[("VAULT_CLIENT_CERT", "/a")]);
    assert!(
        half.contains("VAULT_CLIENT_CERT needs VAULT_CLIENT_KEY"),
        "{half}"
    );
}

#[test]
fn certificates_are_checked_whatever_the_environment_asks() {
    let store = ", address: \"https://bao\"";
    for value in ["1", "true", "T", "yes"] {
        let text = fault(store, &[("VAULT_SKIP_VERIFY", value)]);
        assert!(
            text.contains("VAULT_SKIP_VERIFY asks not to check"),
            "{text}"
        );
        assert!(text.contains("ca_file"), "{text}");
    }
    for value in ["", "0", "false"] {
        vault(store, &[("BAO_SKIP_VERIFY", value)]);
    }
}

#[test]
fn a_secret_that_stands_in_the_manifest_is_never_shown() {
    for store in [
        ", address: \"https://me:canary@bao\", tokn: x",
        ", address: \"canary:canary@bao/x\"",
        ", address: [\"https://bao\", \"https://canary@bao\"]",
        ", address: \"https://bao\", token: canary, adress: x",
        ", address: \"https://bao\", auth: { method: userpass, password: canary }",
        ", address: \"https://bao\", auth: { method: approle, secret_id: canary, wrapped: 1 }",
    ] {
        let error = parsed(&with(store), &[]).unwrap_err();
        for shown in [error.render(false), error.render(true), error.text()] {
            assert!(!shown.contains("canary"), "{shown}");
            assert!(shown.contains("hushpipe.yaml:4:"), "{shown}");
        }
    }
}

#[test]
fn without_a_home_there_is_no_token_file() {
    for (store, wanted) in [
        ("", "neither VAULT_TOKEN nor HOME is set"),
        (", auth: { method: token }", "`~` needs the variable HOME"),
    ] {
        let store = format!(", address: \"https://bao\"{store}");
        let text = fault(&store, &[("HOME", "")]);
        assert!(text.contains(wanted), "{text}");
        assert!(text.starts_with("/etc/app/hushpipe.yaml:4:"), "{text}");
    }
}

#[test]
fn plain_http_to_another_host_is_a_warning() {
    let found = plan(
        &with(", address: [\"http://bao\", \"http://127.0.0.1\"]"),
        &[],
    )
    .warnings;
    assert_eq!(
        found,
        [
            "/etc/app/hushpipe.yaml:4:33: http://bao is plain http to another host: the login and all \
          values can be read on the way"
        ]
    );
    let found = plan(&with(""), &[("BAO_ADDR", "http://bao")]).warnings;
    assert!(
        found[0].contains("4:3: the address in BAO_ADDR is plain http"),
        "{found:?}"
    );
}

#[test]
fn in_mode_exec_too_what_is_not_used_is_given_back() {
    let overrides = Overrides {
        exec: true,
        ..Overrides::default()
    };
    let text = with(", address: \"https://bao\"");
    let environment = |name: &str| (name == "HOME").then(|| "/".to_owned());
    let plan = parse(Path::new("x"), &text, &overrides, &environment).unwrap();
    assert!(store_of(&plan, "bao").revoke_on_exit);
}
