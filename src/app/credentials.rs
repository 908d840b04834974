//! Where credentials are delivered if the manifest names no directory and the service has none of its own:
//! in /dev/shm, where anyone can take the expected name first.

use std::ffi::{OsStr, OsString};
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::model::{DeliveryKind, Plan};
use crate::sys::filesystem::{self, effective_uid};
use crate::sys::held;
use crate::sys::walk::{self, Rule};

/// Moves the plan's credentials to a name that others cannot foresee, if another user has the usual one:
/// to that of an earlier launch that was killed, as this one sweeps it, else to a new one.
pub fn avoid_strangers(plan: &mut Plan) {
    let Some(usual) = plan.credentials_in_memory.take() else {
        return;
    };
    let holder = usual
        .parent()
        .and_then(|holder| Some((holder.parent()?, holder.file_name()?)));
    let Some((memory, name)) = holder else { return };
    // Without it the launch reports what is wrong with the directory.
    let Ok(open) = walk::directory(memory, &Rule::STRICT) else {
        return;
    };
    if !is_a_strangers(&open, name) {
        return;
    }
    let name = another_name(&open, name);
    let directory = memory
        .join(&name)
        .join(usual.file_name().unwrap_or_default());
    for delivery in &mut plan.deliveries {
        if let DeliveryKind::Credential(file) = &mut delivery.kind
            && let Ok(beneath) = file.path.strip_prefix(&usual)
        {
            file.path = directory.join(beneath);
        }
    }
    plan.warnings.push(warning(&usual, &directory));
}

fn warning(usual: &Path, directory: &Path) -> String {
    let holder = usual.parent().unwrap_or(usual).display();
    format!(
        "another user made {holder}: credentials are delivered in {}. `directory:` of `credentials` \
         names one that others cannot take, such as one below /run",
        directory.display()
    )
}

/// Whether something is there that is not hushpipe's own user's.
fn is_a_strangers(directory: &OwnedFd, name: &OsStr) -> bool {
    match filesystem::status_at(directory, name) {
        Ok(Some(found)) => found.uid != effective_uid(),
        Ok(None) | Err(_) => false,
    }
}

fn another_name(directory: &OwnedFd, usual: &OsStr) -> OsString {
    let mut prefix = usual.to_owned();
    prefix.push("-");
    let mut own = None;
    let visited = filesystem::visit_entries(directory, |name| {
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        let is_random = random
            .is_some_and(|random| random.len() == 16 && random.iter().all(u8::is_ascii_hexdigit));
        if is_random && !is_a_strangers(directory, name) {
            own = Some(name.to_owned());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let found = visited.ok().and(own);
    found.unwrap_or_else(|| held::unguessable(&prefix.to_string_lossy()))
}
