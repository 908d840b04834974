//! Engines that make secrets on demand.

use serde_json::{Value, json};

use super::Bao;
use crate::harness::postgres::{PASSWORD, Postgres};

impl Bao {
    /// The database engine at `database`, on this PostgreSQL, with a role `app` whose leases live so
    /// long: `4s`, `12s`. <https://openbao.org/api-docs/secret/databases/postgresql/>
    pub fn database(&self, postgres: &Postgres, ttl: &str, max_ttl: &str) {
        self.post("sys/mounts/database", &json!({ "type": "database" }));
        let config = json!({
            "plugin_name": "postgresql-database-plugin",
            "allowed_roles": "*",
            "connection_url": format!(
                "postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{}/postgres?sslmode=disable",
                postgres.port()
            ),
            "username": "postgres",
            "password": PASSWORD,
        });
        self.post("database/config/postgres", &config);
        self.database_role(ttl, max_ttl);
    }

    /// Sets how long the leases of the role `app` live.
    pub fn database_role(&self, ttl: &str, max_ttl: &str) {
        let creation = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' \
                        VALID UNTIL '{{expiration}}' IN ROLE app";
        let role = json!({
            "db_name": "postgres",
            "creation_statements": [creation],
            "default_ttl": ttl,
            "max_ttl": max_ttl,
        });
        self.post("database/roles/app", &role);
    }

    /// The PKI engine at `pki` with a root of its own and a role `web` for `localhost` and
    /// 127.0.0.1; gives the root's certificate. <https://openbao.org/api-docs/secret/pki/>
    pub fn pki(&self, ttl: &str) -> String {
        self.post(
            "sys/mounts/pki",
            &json!({ "type": "pki", "config": { "max_lease_ttl": "87600h" } }),
        );
        let root = json!({ "common_name": "test root", "ttl": "87600h", "key_type": "ec" });
        let root = self.post("pki/root/generate/internal", &root);
        let role = json!({
            "allow_localhost": true, "allow_bare_domains": true, "allow_ip_sans": true,
            "allowed_domains": ["localhost"], "key_type": "ec", "key_bits": 256,
            "ttl": ttl, "max_ttl": "87600h", "not_before_duration": "30s",
        });
        self.post("pki/roles/web", &role);
        let Value::String(certificate) = &root["data"]["certificate"] else {
            panic!("no certificate: {root}");
        };
        certificate.clone()
    }
}
