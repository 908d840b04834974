//! What a plan depends on of hushpipe's environment without naming it: by it, whoever starts hushpipe would
//! have a store's tool or the program be another one, or a server. Policies, approvals and signed manifests
//! go by these variables as by those that a manifest names.

use super::variables::Remembered;
use crate::model::{
    CommandStore, EnvInherit, EnvSpec, Plan, RotateAction, StoreKind, Tls, VerifyHow,
};

/// Where requests go, for clients of HTTP.
const PROXIES: [&str; 8] = [
    "ALL_PROXY",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Whom to trust in place of the system's authorities.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_DIR", "SSL_CERT_FILE"];

/// Where a store's tool finds its files and its user. Its language and its terminal are left out.
const TOOLS: [&str; 4] = ["HOME", "USER", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"];

/// Where this host remembers the newest state of sealed stores.
const MEMORY: [&str; 2] = ["HUSHPIPE_STATE_DIRECTORY", "XDG_STATE_HOME"];

/// Directories of programs that root alone changes on every system.
const DIRECTORIES: [&str; 7] = [
    "/bin",
    "/sbin",
    "/snap/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/sbin",
];

/// Reads them, those that are set.
pub fn read(plan: &Plan, environment: &Remembered<'_>) {
    let all = |names: &[&str]| {
        for name in names {
            environment.get_if_set(name);
        }
    };
    let stores = || plan.stores.values().map(|store| &store.kind);
    let mut tls = stores().filter_map(|kind| match kind {
        StoreKind::Vault(vault) => Some(&vault.tls),
        _ => None,
    });
    let notifies = notifies_by_http(plan);
    if notifies || tls.clone().next().is_some() {
        all(&PROXIES);
    }
    if notifies || tls.any(is_of_the_system) {
        all(&AUTHORITIES);
    }
    for kind in stores() {
        if let StoreKind::Sealed(sealed) = kind {
            all(&MEMORY);
            if sealed.accept {
                environment.note("--accept-store");
            }
        }
    }
    let tools = stores().filter_map(|kind| match kind {
        StoreKind::Command(command) => Some(command).filter(|command| !starts_anew(command)),
        _ => None,
    });
    let mut path = has_callers_path(&plan.run.env);
    for tool in tools {
        all(&TOOLS);
        for name in &tool.env {
            environment.get_if_set(name);
        }
        path = true;
    }
    if path
        && environment
            .look("PATH")
            .is_some_and(|path| !is_of_the_host(&path))
    {
        all(&["PATH"]);
    }
}

fn is_of_the_system(tls: &Tls) -> bool {
    tls.ca_file.is_none() && tls.ca_path.is_none()
}

fn notifies_by_http(plan: &Plan) -> bool {
    let secrets = plan.secrets.values();
    let mut actions = secrets
        .filter_map(|secret| secret.on_rotate.as_ref())
        .chain([&plan.on_rotate.action]);
    let verify = plan.on_rotate.verify.as_ref();
    verify.is_some_and(|verify| matches!(verify.how, VerifyHow::Http(_)))
        || actions.any(|action| matches!(action, RotateAction::Http { .. }))
}

/// env(1) with a path of its own, which passes on nothing.
fn starts_anew(command: &CommandStore) -> bool {
    let is_env = |word: &String| matches!(&**word, "/usr/bin/env" | "/bin/env");
    command.run.first().is_some_and(is_env)
        && command
            .run
            .get(1)
            .is_some_and(|word| matches!(&**word, "-i" | "--ignore-environment"))
}

fn has_callers_path(env: &EnvSpec) -> bool {
    let is_path = |name: &String| name == "PATH";
    let inherits = match &env.inherit {
        EnvInherit::All | EnvInherit::AllAnd(_) => true,
        EnvInherit::Only(names) => names.iter().any(is_path),
        EnvInherit::None => false,
    };
    inherits && !env.set.contains_key("PATH") && !env.unset.iter().any(is_path)
}

fn is_of_the_host(path: &str) -> bool {
    path.split(':')
        .all(|directory| DIRECTORIES.contains(&directory))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::manifest::{Overrides, parse_site, parse_under};

    const VAULT: &str = "stores: { s: { type: vault, address: \"https://bao.internal:8200\", auth: { method: token, \
                         file: /root/token }CA } }\nsecrets: { a: { store: s, path: kv/data/a } }\n";
    const COMMAND: &str = "stores: { s: { type: command, run: [RUN], env: [GNUPGHOME] } }\nsecrets: { a: { store: s } }\n";

    /// The variables that a manifest depends on, of a caller that sets all but those that are refused.
    fn variables(rest: &str, caller: &[(&str, &str)]) -> Vec<String> {
        let site = "version: 1\npolicy: {}\n";
        let site = parse_site(Path::new("/etc/hushpipe/site.yaml"), site.into()).unwrap();
        let text = format!(
            "version: 1\nservice: x\n{rest}deliver: [{{ fd: 5, as: memfd, secret: a{} }}]\n",
            if rest.contains("type: vault") {
                ".b"
            } else {
                ""
            }
        );
        let text = if text.contains("run: {") {
            text
        } else {
            text + "run: { command: [cat] }\n"
        };
        let caller: Vec<(String, String)> = caller
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let environment = |name: &str| {
            let found = caller.iter().find(|(own, _)| own == name);
            found.map(|(_, value)| value.clone())
        };
        let plan = parse_under(
            Some(&site),
            Path::new("/srv/m.yaml"),
            &text,
            &Overrides::default(),
            &environment,
        );
        let plan = plan.unwrap_or_else(|error| panic!("{}\n{text}", error.text()));
        plan.manifest_variables
            .map(|all| all.names)
            .unwrap_or_default()
    }

    /// What every caller has, and some more.
    const CALLER: [(&str, &str); 9] = [
        ("HOME", "/tmp/evil"),
        ("XDG_CONFIG_HOME", "/tmp/evil"),
        ("GNUPGHOME", "/tmp/evil"),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        ("LANG", "C"),
        ("https_proxy", "http://127.0.0.1:9"),
        ("NO_PROXY", "a"),
        ("SSL_CERT_FILE", "/tmp/ca.pem"),
        ("VAULT_SKIP_VERIFY", "false"),
    ];

    #[test]
    fn proxies_and_authorities_count_where_requests_go_over_the_network() {
        let own = VAULT.replace("CA", ", ca_file: /etc/ca.pem");
        let system = VAULT.replace("CA", "");
        assert_eq!(variables(&own, &CALLER), ["NO_PROXY", "https_proxy"]);
        let all = ["NO_PROXY", "SSL_CERT_FILE", "https_proxy"];
        assert_eq!(variables(&system, &CALLER), all);
        // What is not set says nothing.
        assert_eq!(variables(&system, &[]), <[&str; 0]>::default());
        assert_eq!(
            variables(&system, &[("VAULT_NAMESPACE", "n")]),
            ["VAULT_NAMESPACE"]
        );
        let files =
            "stores: { s: { type: directory, path: /s } }\nsecrets: { a: { store: s, key: a } }\n";
        assert_eq!(variables(files, &CALLER), <[&str; 0]>::default());
        for notifies in [
            "on_rotate: { do: http, http: \"https://127.0.0.1/reload\" }\n",
            "on_rotate: { do: signal, signal: HUP, verify: { http: \"https://127.0.0.1/\" } }\n",
        ] {
            assert_eq!(
                variables(&format!("{files}{notifies}"), &CALLER),
                all,
                "{notifies}"
            );
        }
    }

    #[test]
    fn where_a_stores_tool_finds_its_files_counts_unless_it_starts_anew() {
        let with = |run: &str| variables(&COMMAND.replace("RUN", run), &CALLER);
        let all = ["GNUPGHOME", "HOME", "XDG_CONFIG_HOME"];
        assert_eq!(with("/usr/bin/pass, show"), all);
        assert_eq!(with("/usr/bin/env, HOME=/root, /usr/bin/pass"), all);
        assert_eq!(with("env, -i, HOME=/root, /usr/bin/pass"), all);
        let anew = with("/usr/bin/env, -i, HOME=/root, /usr/bin/pass");
        assert_eq!(anew, <[&str; 0]>::default());
    }

    #[test]
    fn where_a_host_remembers_sealed_stores_counts() {
        let sealed = "stores: { s: { type: sealed, path: /s, identity_file: /i } }\nsecrets: { a: { store: s, key: a } }\n";
        let caller = [
            ("HUSHPIPE_STATE_DIRECTORY", "/tmp/x"),
            ("XDG_STATE_HOME", "/tmp/x"),
        ];
        assert_eq!(
            variables(sealed, &caller),
            ["HUSHPIPE_STATE_DIRECTORY", "XDG_STATE_HOME"]
        );
        assert_eq!(variables(sealed, &CALLER), <[&str; 0]>::default());
    }

    #[test]
    fn a_path_counts_that_is_not_the_systems() {
        let files =
            "stores: { s: { type: directory, path: /s } }\nsecrets: { a: { store: s, key: a } }\n";
        let path = |rest: &str, path: &str| variables(&format!("{files}{rest}"), &[("PATH", path)]);
        for evil in [
            "/tmp/bin:/usr/bin",
            "/usr/bin:",
            "",
            "bin",
            "/usr/bin/../../tmp",
        ] {
            assert_eq!(path("", evil), ["PATH"], "{evil}");
        }
        let none = <[&str; 0]>::default();
        assert_eq!(path("", "/usr/bin:/bin:/snap/bin"), none);
        for own in [
            "run: { command: [cat], env: { set: { PATH: /usr/bin } } }\n",
            "run: { command: [/bin/cat], env: { inherit: none } }\n",
            "run: { command: [/bin/cat], env: { inherit: [HOME] } }\n",
        ] {
            assert_eq!(path(own, "/tmp/bin"), none, "{own}");
        }
        let inherits = "run: { command: [cat], env: { inherit: [PATH] } }\n";
        assert_eq!(path(inherits, "/tmp/bin"), ["PATH"]);
        // A store's tool has the caller's, whatever the program has.
        let tool = COMMAND.replace("RUN", "pass")
            + "run: { command: [/bin/cat], env: { inherit: none } }\n";
        assert_eq!(variables(&tool, &[("PATH", "/tmp/bin")]), ["PATH"]);
    }
}
