//! The variables by which hushpipe, or a tool that a store runs, logs in.

/// Credentials of secret managers: a program that has one can fetch every secret of the store. The
/// program never inherits them, and no text of a manifest has them. A name that ends in `*` stands for
/// all that start so.
const MANAGERS: &[&str] = &[
    // Vault and OpenBao, HCP
    "VAULT_TOKEN",
    "VAULT_ROLE_ID",
    "VAULT_SECRET_ID",
    "VAULT_WRAPPED_TOKEN",
    "VAULT_PASSWORD",
    "VAULT_AUTH_*",
    "BAO_TOKEN",
    "BAO_ROLE_ID",
    "BAO_SECRET_ID",
    "BAO_WRAPPED_TOKEN",
    "BAO_PASSWORD",
    "BAO_AUTH_*",
    "HCP_CLIENT_SECRET",
    // age, sops, pass, gopass, chamber, teller
    "AGE_IDENTITY",
    "AGE_PASSPHRASE",
    "SOPS_AGE_KEY",
    "SOPS_AGE_SSH_PRIVATE_KEY",
    "GOPASS_AGE_PASSWORD",
    "PASSWORD_STORE_KEY",
    // 1Password
    "OP_SERVICE_ACCOUNT_TOKEN",
    "OP_CONNECT_TOKEN",
    "OP_SESSION*",
    // Bitwarden
    "BWS_ACCESS_TOKEN",
    "BW_SESSION",
    "BW_CLIENTID",
    "BW_CLIENTSECRET",
    "BW_PASSWORD",
    // Doppler, Infisical, Akeyless, Conjur, CyberArk, Delinea, Keeper, Dashlane, LastPass, Proton
    "DOPPLER_TOKEN",
    "INFISICAL_TOKEN",
    "INFISICAL_*_CLIENT_SECRET",
    "INFISICAL_CLIENT_SECRET",
    "AKEYLESS_ACCESS_KEY",
    "AKEYLESS_TOKEN",
    "CONJUR_AUTHN_API_KEY",
    "CONJUR_AUTHN_TOKEN",
    "CYBERARK_TOKEN",
    "CYBERARK_PASSWORD",
    "TSS_CLIENT_SECRET",
    "TSS_PASSWORD",
    "TSS_TOKEN",
    "DSV_CLIENT_SECRET",
    "DSV_PASSWORD",
    "KEEPER_CONFIG",
    "KSM_CONFIG",
    "KSM_TOKEN",
    "DASHLANE_SERVICE_DEVICE_KEYS",
    "LPASS_PASSWORD",
    "PROTON_PASS_PASSWORD",
    "PROTON_PASS_*PASSWORD",
    "PHASE_SERVICE_TOKEN",
    "DOTENV_KEY",
    "DOTENV_PRIVATE_KEY*",
];

/// Credentials of clouds and forges, which stores' tools and programs log in with alike: not inherited
/// unless `run.env.inherit` names them, and no text of a manifest has them.
const ACCOUNTS: &[&str] = &[
    // AWS
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_BEARER_TOKEN_*",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    // Google Cloud
    "GOOGLE_CREDENTIALS",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "GOOGLE_API_KEY",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    // Azure
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "AZURE_ACCESS_TOKEN",
    "ARM_CLIENT_SECRET",
    "ARM_CLIENT_CERTIFICATE_PASSWORD",
    "ARM_ACCESS_KEY",
    "ARM_OIDC_TOKEN",
    "ARM_SAS_TOKEN",
    "IDENTITY_HEADER",
    "MSI_SECRET",
    // Other clouds
    "ALIBABA_CLOUD_ACCESS_KEY_*",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
    "ALICLOUD_ACCESS_KEY",
    "ALICLOUD_SECRET_KEY",
    "IBMCLOUD_API_KEY",
    "IC_API_KEY",
    "OCI_CLI_PASSPHRASE",
    "OCI_CLI_KEY_CONTENT",
    "SCW_ACCESS_KEY",
    "SCW_SECRET_KEY",
    "YC_TOKEN",
    "YC_IAM_TOKEN",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "DIGITALOCEAN_TOKEN",
    "HCLOUD_TOKEN",
    "LINODE_TOKEN",
    "CLOUDFLARE_API_KEY",
    "CLOUDFLARE_API_TOKEN",
    "HEROKU_API_KEY",
    // Forges
    "GITHUB_TOKEN",
    "GH_TOKEN",
    "GH_ENTERPRISE_TOKEN",
    "GITHUB_ENTERPRISE_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "GITLAB_TOKEN",
    "GITLAB_ACCESS_TOKEN",
    "CI_JOB_TOKEN",
    "CI_JOB_JWT*",
    // HashiCorp's others
    "CONSUL_HTTP_TOKEN",
    "CONSUL_HTTP_AUTH",
    "NOMAD_TOKEN",
    "TFE_TOKEN",
    "TF_TOKEN_*",
];

/// Where a store is and as whom one logs in there: no secrets, but of no use without the credentials,
/// and half an identity is worse than none.
const PLACES: &[&str] = &[
    // hushpipe's own
    "HUSHPIPE_*",
    // systemd's LoadCredential=
    "CREDENTIALS_DIRECTORY",
    // Vault and OpenBao
    "VAULT_ADDR",
    "VAULT_AGENT_ADDR",
    "VAULT_PROXY_ADDR",
    "VAULT_HTTP_PROXY",
    "VAULT_NAMESPACE",
    "VAULT_CACERT",
    "VAULT_CACERT_BYTES",
    "VAULT_CAPATH",
    "VAULT_TLS_SERVER_NAME",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_SKIP_VERIFY",
    "VAULT_TOKEN_FILE",
    "BAO_ADDR",
    "BAO_AGENT_ADDR",
    "BAO_PROXY_ADDR",
    "BAO_HTTP_PROXY",
    "BAO_NAMESPACE",
    "BAO_CACERT",
    "BAO_CACERT_BYTES",
    "BAO_CAPATH",
    "BAO_TLS_SERVER_NAME",
    "BAO_CLIENT_CERT",
    "BAO_CLIENT_KEY",
    "BAO_SKIP_VERIFY",
    "BAO_TOKEN_FILE",
    "CONSUL_HTTP_TOKEN_FILE",
    // AWS
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CREDENTIAL_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    // Google Cloud
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_IMPERSONATE_SERVICE_ACCOUNT",
    "CLOUDSDK_AUTH_CREDENTIAL_FILE_OVERRIDE",
    "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE",
    "CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT",
    // Azure
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_USERNAME",
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_FEDERATED_TOKEN_FILE",
    "ARM_CLIENT_ID",
    "ARM_CLIENT_CERTIFICATE_PATH",
    "ARM_OIDC_TOKEN_FILE_PATH",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
    // age, sops, Bitwarden
    "AGE_IDENTITY_*",
    "SOPS_AGE_KEY_*",
    "SOPS_AGE_SSH_PRIVATE_KEY_*",
    "SOPS_PGP_FP",
    "SOPS_KMS_ARN",
    "BWS_SERVER_URL",
];

/// What those of them start with that are a program's own identity in a cloud.
const CLOUDS: [&str; 7] = [
    "AWS_",
    "GOOGLE_",
    "CLOUDSDK_",
    "AZURE_",
    "ARM_",
    "IDENTITY_",
    "MSI_",
];

/// Variables that make one identity together.
pub const IDENTITIES: [&[&str]; 4] = [
    &["AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"],
    &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"],
    &[
        "AZURE_CLIENT_ID",
        "AZURE_TENANT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
    ],
    &["ARM_CLIENT_ID", "ARM_CLIENT_SECRET"],
];

/// What many programs need, and what is no credential also where a store's `env:` names it.
const PLAIN: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TERM",
    "PWD",
    "TMPDIR",
    "TMP",
    "TEMP",
    "HOSTNAME",
    "DISPLAY",
    "XDG_*",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_CA_BUNDLE",
    "CLOUDSDK_CORE_PROJECT",
    "GOOGLE_CLOUD_PROJECT",
];

/// Whether a variable is not inherited unless it is named: it holds what hushpipe or a store's tool
/// logs in with, or where.
pub fn is_bootstrap(name: &[u8]) -> bool {
    is_secret(name) || is_one_of(PLACES, name)
}

/// Whether the value itself is a credential.
pub fn is_secret(name: &[u8]) -> bool {
    is_of_manager(name) || is_one_of(ACCOUNTS, name)
}

/// Whether it is a credential of a secret manager.
pub fn is_of_manager(name: &[u8]) -> bool {
    is_one_of(MANAGERS, name)
}

/// Whether programs log in with it on their own, to a cloud or a forge.
pub fn is_identity(name: &[u8]) -> bool {
    let of_cloud = || {
        CLOUDS
            .iter()
            .any(|start| name.starts_with(start.as_bytes()))
    };
    is_one_of(ACCOUNTS, name) || (is_one_of(PLACES, name) && of_cloud())
}

/// Whether what a store's `env:` names is a credential: it is unknown what it is for.
pub fn is_login(name: &str) -> bool {
    !is_one_of(PLAIN, name.as_bytes())
}

/// Whether it is hushpipe's own.
pub fn is_own(name: &[u8]) -> bool {
    name.starts_with(b"HUSHPIPE_")
}

fn is_one_of(known: &[&str], name: &[u8]) -> bool {
    // A manifest may ask for a hundred thousand names: most differ in their first letter.
    let near = |known: &&&str| known.as_bytes().first() == name.first();
    known
        .iter()
        .filter(near)
        .any(|known| match known.split_once('*') {
            Some((start, end)) => {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start.as_bytes())
                    && name.ends_with(end.as_bytes())
            }
            None => name == known.as_bytes(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_credentials_are_told_by_name() {
        for name in [
            "BAO_TOKEN",
            "VAULT_ADDR",
            "BAO_SKIP_VERIFY",
            "AGE_IDENTITY_FILE",
            "HUSHPIPE_ANY",
            "OP_SERVICE_ACCOUNT_TOKEN",
            "OP_SESSION_my",
            "GITHUB_TOKEN",
            "AWS_PROFILE",
            "INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET",
        ] {
            assert!(is_bootstrap(name.as_bytes()), "{name}");
        }
        for name in [
            "VAULT_FORMAT",
            "AWS_REGION",
            "PATH",
            "VAULT_TOKEN_X",
            "HUSHPIPE",
            "SSH_AUTH_SOCK",
        ] {
            assert!(!is_bootstrap(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn an_identity_is_kept_from_the_program_as_a_whole() {
        for name in IDENTITIES.iter().copied().flatten() {
            assert!(is_identity(name.as_bytes()), "{name}");
        }
    }
}
