//! `hushpipe init` beside the manifest of a project that somebody else began: it makes the identity, and
//! says how to be let in.

use std::path::Path;
use std::rc::Rc;

use super::arguments::InitArgs;
use super::report::{Report, shown};
use crate::app::sealed;
use crate::cli::output::print;
use crate::cli::secret::invitation;
use crate::cli::{Failure, Globals, Outcome, load};
use crate::manifest::Overrides;
use crate::model::{Exit, StoreKind};

/// Makes the identity of the manifest's sealed store, if it is not there. `there` is the error where there is
/// nothing to join, or nothing to do.
pub fn join(arguments: &InitArgs, manifest: &Path, there: Failure, globals: Globals) -> Outcome {
    let overrides = Overrides {
        command: vec!["true".into()],
        no_launch: true,
        identity: arguments.identity.clone(),
        ..Overrides::default()
    };
    let Ok(loaded) = load::load(Some(manifest), &overrides) else {
        return Err(there);
    };
    let sealed = loaded
        .plan
        .stores
        .values()
        .filter_map(|store| match &store.kind {
            StoreKind::Sealed(spec) => Some(spec),
            _ => None,
        });
    let [spec] = sealed.collect::<Vec<_>>()[..] else {
        return Err(there);
    };
    let (path, identity) = (spec.path.clone(), spec.identity_file.clone());
    let failed = |error: &dyn std::error::Error, exit| Failure::text(exit, error.to_string());
    let store = sealed::by_path(path.clone(), identity.clone(), false, Rc::new(()));
    let made = !store
        .is_there()
        .map_err(|error| failed(&error, error.exit()))?;
    if made {
        return make(&path, &identity, manifest, globals);
    }
    let is_new = !identity.exists();
    if !is_new
        && store
            .is_for_us()
            .map_err(|error| failed(&error, error.exit()))?
    {
        return Err(there);
    }
    if is_new {
        store
            .create_identity()
            .map_err(|error| failed(&error, error.exit()))?;
    }
    let own = store
        .own_recipients()
        .map_err(|error| failed(&error, error.exit()))?;
    if globals.quiet {
        return Ok(Exit::Ok);
    }
    let mut report = Report::default();
    let what = if is_new { "new: keep it safe" } else { "kept" };
    report.line("manifest", &format!("{} (kept)", shown(manifest)));
    report.line("identity", &format!("{} ({what})", shown(&identity)));
    for key in &own {
        report.line("public", key);
    }
    let next = "\nThen: git pull; hushpipe check\n";
    print(&format!("{}{}{next}", report.text(), invitation(&own)))
}

/// A manifest that was written by hand, or came without its store: what it names is made.
fn make(store: &Path, identity: &Path, manifest: &Path, globals: Globals) -> Outcome {
    let made = sealed::init(store, identity).map_err(|error| Failure::new(error.exit(), &error))?;
    if globals.quiet {
        return Ok(Exit::Ok);
    }
    let mut report = Report::default();
    let what = if made.kept_identity {
        "kept"
    } else {
        "new: keep it safe, it opens the secrets"
    };
    report.line("manifest", &format!("{} (kept)", shown(manifest)));
    report.line("store", &format!("{} (new)", shown(store)));
    report.line("identity", &format!("{} ({what})", shown(identity)));
    print(&format!("{}\nNext:\n  hushpipe check\n", report.text()))
}
