//! What a project's directory tells of it.

use std::path::{Path, PathBuf};

use crate::app::files;

/// A service's name: the directory's, as far as it can be a name of files and of services.
pub fn service(directory: &Path) -> String {
    let absolute = directory.canonicalize().unwrap_or_default();
    let name = absolute
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let fits = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(fits).collect();
    match name.trim_matches('-') {
        "" => "app".to_owned(),
        name => name.to_owned(),
    }
}

/// How its program is started, as its kind of project has it; nothing where that is not known.
pub fn command(directory: &Path) -> Option<&'static str> {
    let has = |name: &str| directory.join(name).is_file();
    if let Some(scripts) = scripts(directory) {
        let tool = |npm, pnpm, yarn| match () {
            () if has("pnpm-lock.yaml") => pnpm,
            () if has("yarn.lock") => yarn,
            () => npm,
        };
        if scripts.get("dev").is_some() {
            return Some(tool("npm run dev", "pnpm dev", "yarn dev"));
        }
        if scripts.get("start").is_some() {
            return Some(tool("npm start", "pnpm start", "yarn start"));
        }
    }
    if has("manage.py") {
        return Some("python3 manage.py runserver");
    }
    let compose = has("compose.yaml") || has("docker-compose.yml");
    compose.then_some("docker compose up")
}

fn scripts(directory: &Path) -> Option<serde_json::Value> {
    let bytes = files::read(&directory.join("package.json")).ok()?;
    let package: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    package.get("scripts").cloned()
}

/// A path relative to a directory, if it lies there.
pub fn below(path: &Path, directory: &Path) -> Option<PathBuf> {
    let absolute = |path: &Path| {
        let parent = path.parent().map(|parent| match parent {
            _ if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        });
        let parent = parent?.canonicalize().ok()?;
        Some(parent.join(path.file_name()?))
    };
    let directory = directory.canonicalize().ok()?;
    let path = absolute(path)?;
    path.strip_prefix(directory).map(Path::to_owned).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_that_of_the_kind_of_project() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(command(path), None);
        for (name, text, expected) in [
            ("compose.yaml", "", "docker compose up"),
            ("manage.py", "", "python3 manage.py runserver"),
            (
                "package.json",
                "{ \"scripts\": { \"start\": \"x\" } }",
                "npm start",
            ),
            (
                "package.json",
                "{ \"scripts\": { \"dev\": \"x\" } }",
                "npm run dev",
            ),
            ("yarn.lock", "", "yarn dev"),
            ("package.json", "no JSON", "python3 manage.py runserver"),
        ] {
            std::fs::write(path.join(name), text).unwrap();
            assert_eq!(command(path), Some(expected));
        }
    }

    #[test]
    fn the_service_is_called_as_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        for (name, expected) in [
            ("shop-2_b", "shop-2_b"),
            (".my shop!", "my-shop"),
            ("ä", "app"),
        ] {
            let path = directory.path().join(name);
            std::fs::create_dir(&path).unwrap();
            assert_eq!(service(&path), expected);
        }
    }
}
