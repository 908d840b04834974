//! Links from where a program looks for a file to where it is delivered, such as ~/.pgpass: made before the
//! program starts, removed with the last hushpipe that delivers there. No file is ever replaced.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::error::{system, walked};
use super::layout::WantedLink;
use super::made::MARKER;
use super::{DeliveryError, DeliveryFault, Layout, Live};
use crate::sys::filesystem::{self, Kind};
use crate::sys::held;
use crate::sys::walk::{self, Links as Follow, Rule};

/// The links of one launch: removed when dropped.
pub struct Links {
    made: Vec<Made>,
}

struct Made {
    wanted: WantedLink,
    parent: OwnedFd,
    name: OsString,
}

/// What is at a link's path.
enum Standing {
    Nothing,
    /// This link.
    Same,
    /// A link of hushpipe's user that leads to nothing, as one that was killed leaves it.
    Dangling,
}

impl Links {
    /// Makes those of a layout. On an error none of them stays.
    pub fn make(layout: &Layout) -> Result<Self, DeliveryError> {
        let mut links = Self { made: Vec::new() };
        for wanted in &layout.links {
            let made = wanted
                .make(layout.user)
                .map_err(|fault| wanted.error(fault))?;
            links.made.push(made);
        }
        Ok(links)
    }

    /// Whether a layout has none.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    fn remove_all(&mut self) -> Result<(), DeliveryError> {
        let mut result = Ok(());
        for made in self.made.drain(..) {
            if let Err(fault) = made.remove() {
                result = Err(DeliveryError::about(&made.wanted.path, fault));
            }
        }
        result
    }
}

impl Live for Links {
    fn remove(mut self: Box<Self>) -> Result<(), DeliveryError> {
        self.remove_all()
    }

    fn give_up(self: Box<Self>) -> Result<(), DeliveryError> {
        self.remove()
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if self.remove_all().is_err() {
            // A link that leads to nothing stays, which the next start takes over. Who wants to know calls
            // `remove`.
        }
    }
}

impl WantedLink {
    fn error(&self, fault: DeliveryFault) -> DeliveryError {
        DeliveryError {
            at: Some(self.at),
            what: format!("link {}", self.path.display()),
            fault,
        }
    }

    /// Whether it could be made.
    pub(super) fn check(&self, user: Option<u32>) -> Result<(), DeliveryError> {
        let found =
            self.parent(user)
                .and_then(|(parent, name)| match self.standing(&parent, &name)? {
                    Standing::Same => Ok(()),
                    Standing::Nothing | Standing::Dangling => {
                        let wrong = system("cannot make a link there");
                        filesystem::can_make_entries(&parent).map_err(wrong)
                    }
                });
        found.map_err(|fault| self.error(fault))
    }

    fn parent(&self, user: Option<u32>) -> Result<(OwnedFd, OsString), DeliveryFault> {
        let rule = Rule {
            ends_with: user.as_slice(),
            links: Follow::Follow,
            ..Rule::STRICT
        };
        walk::parent(&self.path, &rule).map_err(walked)
    }

    fn standing(&self, parent: &OwnedFd, name: &OsString) -> Result<Standing, DeliveryFault> {
        let looked = || system("cannot look at it");
        let Some(found) = filesystem::status_at(parent, name).map_err(looked())? else {
            return Ok(Standing::Nothing);
        };
        let what = match found.kind {
            Kind::Link => {
                let target = filesystem::read_link_at(parent, name).map_err(looked())?;
                if target == self.target {
                    return Ok(Standing::Same);
                }
                let is_own = found.uid == filesystem::effective_uid();
                if is_own && leads_nowhere(&target) {
                    return Ok(Standing::Dangling);
                }
                format!("a link to {} is there", target.display())
            }
            Kind::Directory => "a directory is there".to_owned(),
            _ => "a file is there".to_owned(),
        };
        let path = self.path.display();
        Err(DeliveryFault::Host(format!(
            "{what}, and hushpipe does not replace it: move it away (mv {path} {path}.old)"
        )))
    }

    fn make(&self, user: Option<u32>) -> Result<Made, DeliveryFault> {
        let (parent, name) = self.parent(user)?;
        let made = match self.standing(&parent, &name)? {
            Standing::Same => Ok(()),
            Standing::Nothing => filesystem::make_link_at(&self.target, &parent, &name),
            Standing::Dangling => {
                let new = held::unguessable(".hushpipe-link-");
                filesystem::make_link_at(&self.target, &parent, &new)
                    .and_then(|()| filesystem::rename_at(&parent, &new, &name))
            }
        };
        made.map_err(system("cannot make the link"))?;
        let wanted = self.clone();
        Ok(Made {
            wanted,
            parent,
            name,
        })
    }
}

impl Made {
    /// What is not hushpipe's link any more stays, and so does one that leads to what another hushpipe
    /// delivers.
    fn remove(&self) -> Result<(), DeliveryFault> {
        let found = filesystem::status_at(&self.parent, &self.name);
        let Some(found) = found.map_err(system("cannot look at it"))? else {
            return Ok(());
        };
        let leads_there = found.kind == Kind::Link
            && filesystem::read_link_at(&self.parent, &self.name)
                .is_ok_and(|target| target == self.wanted.target);
        if !leads_there {
            return Err(DeliveryFault::Host(
                "it is no longer the link that hushpipe made, so hushpipe keeps it: it may \
                 contain a value"
                    .to_owned(),
            ));
        }
        if is_held(&self.wanted.target) {
            return Ok(());
        }
        filesystem::unlink_at(&self.parent, &self.name).map_err(system("cannot remove the link"))
    }
}

/// Whether no hushpipe delivers to where a link leads, nor anything else is there. A private file cannot be
/// seen from here.
fn leads_nowhere(target: &Path) -> bool {
    target.is_absolute() && is_missing(target) && !is_held(target)
}

/// Whether a hushpipe has files in the directory of this one: its marker is there.
fn is_held(target: &Path) -> bool {
    target
        .parent()
        .is_some_and(|directory| !is_missing(&directory.join(MARKER)))
}

fn is_missing(path: &Path) -> bool {
    matches!(filesystem::status_of_path(path), Ok(None))
}
