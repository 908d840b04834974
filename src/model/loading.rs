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
const NAMES: [&str; 80] = [
    "BASHOPTS",
    "BASH_ENV",
    "BASH_LOADABLES_PATH",
    "BUNDLE_GEMFILE",
    "BUN_OPTIONS",
    "CAML_LD_LIBRARY_PATH",
    "CATALINA_OPTS",
    "CLASSPATH",
    "CUDA_INJECTION64_PATH",
    "DOTNET_ADDITIONAL_DEPS",
    "EDITOR",
    "ELIXIR_ERL_OPTIONS",
    "ERL_AFLAGS",
    "ERL_FLAGS",
    "ERL_LIBS",
    "ERL_ZFLAGS",
    "GCONV_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "GIO_EXTRA_MODULES",
    "GIT_CONFIG_GLOBAL",
    "GIT_EXEC_PATH",
    "GIT_SSH_COMMAND",
    "GLIBC_TUNABLES",
    "GST_PLUGIN_PATH",
    "GTK_MODULES",
    "GUILE_LOAD_COMPILED_PATH",
    "GUILE_LOAD_PATH",
    "JAVA_HOME",
    "JAVA_OPTS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "JULIA_DEPOT_PATH",
    "JULIA_LOAD_PATH",
    "JULIA_PROJECT",
    "KRB5_CONFIG",
    "LESSOPEN",
    "LIBGL_DRIVERS_PATH",
    "MONO_PATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "ODBCSYSINI",
    "OMP_TOOL_LIBRARIES",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "PAGER",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PERLLIB",
    "PHPRC",
    "PHP_INI_SCAN_DIR",
    "PS4",
    "PSModulePath",
    "PYTHONBREAKPOINT",
    "PYTHONEXECUTABLE",
    "PYTHONHOME",
    "PYTHONINSPECT",
    "PYTHONPATH",
    "PYTHONPLATLIBDIR",
    "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONWARNINGS",
    "QT_PLUGIN_PATH",
    "RUBYLIB",
    "RUBYOPT",
    "R_LIBS",
    "R_PROFILE",
    "R_PROFILE_USER",
    "SASL_PATH",
    "SHELLOPTS",
    "TCLLIBPATH",
    "VISUAL",
    "VK_LAYER_PATH",
    "ZDOTDIR",
    "_JAVA_OPTIONS",
    "_RLD_LIST",
    "npm_config_script_shell",
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
