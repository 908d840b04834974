//! Variables by which whoever starts a program has it run other code than its own.

/// How they start: ld.so(8); functions that bash(1) imports; lua(1); the runtimes of .NET.
const STARTS: [&str; 6] = [
    "LD_",
    "BASH_FUNC_",
    "LUA_",
    "CORECLR_",
    "COR_",
    "DOTNET_STARTUP",
];

/// The C library, shells, interpreters and OpenSSL: what sudo takes out as well (`initial_badenv_table` of
/// its env.c), and what has come since. PATH is not among them: policy judges what it led to.
const NAMES: [&str; 32] = [
    "BASHOPTS",
    "BASH_ENV",
    "CLASSPATH",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PYTHONBREAKPOINT",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
    "_RLD_LIST",
];

/// Whether a program may run other code because of a variable of this name.
pub fn loads_code(name: &[u8]) -> bool {
    STARTS
        .iter()
        .any(|start| name.starts_with(start.as_bytes()))
        || NAMES.iter().any(|known| name == known.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaders_shells_and_interpreters_are_known() {
        for name in [
            "LD_PRELOAD",
            "LD_AUDIT",
            "BASH_FUNC_ls%%",
            "PYTHONPATH",
            "LUA_INIT_5_4",
        ] {
            assert!(loads_code(name.as_bytes()), "{name}");
        }
        for name in ["PATH", "HOME", "LANG", "ENV", "LDAP_URL", "PYTHON", "BASH"] {
            assert!(!loads_code(name.as_bytes()), "{name}");
        }
    }
}
